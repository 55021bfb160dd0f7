package review

import (
	"runtime"
	"testing"

	"hippad"
	"hippad/internal/fhir"
	"hippad/internal/hospital"
	"hippad/internal/localstore"
	"hippad/internal/regulation"
	"hippad/internal/testlog"
)

// A year of a hospital, about a million entries, reviewed through the log as it really is: read, decoded, explained, scored, kept.
func BenchmarkYear(b *testing.B) {
	store, err := localstore.Open(b.TempDir(), localstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	w := open(b)
	w.stop(b)
	w.log.Disk = store
	w.open(b)
	b.Cleanup(func() { _ = store.Close() })
	h := hospital.New(1, hospital.Year())
	w.fill(b, h)
	q := question(h)
	q.From, q.History = hospital.Start(), 0
	entries := w.Ledger.Size()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	for b.Loop() {
		w.run(b, q)
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(after.HeapSys)/(1<<20), "MiB-heap-reached")
}

// The rules alone: a year of observations added and scored, and what a review remembers of them.
func BenchmarkRules(b *testing.B) {
	h := hospital.New(1, hospital.Year())
	known, _, _, err := rostersOf(h).read(nil)
	if err != nil {
		b.Fatal(err)
	}
	o := regulation.ReviewOptions{From: hospital.Start(), To: hospital.Day(h.Size.Days + 1)}
	look := regulation.NewReview(o, known)
	var all []regulation.Observation
	for e := range h.Events() {
		all = append(all, look.Observe(hippad.Entry{Index: int64(len(all)), Received: e.Recorded}, e.Event))
	}
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var held float64
	for b.Loop() {
		before := memory()
		r := regulation.NewReview(o, known)
		for _, x := range all {
			r.Add(x)
		}
		held = float64(memory()-before) / (1 << 20)
		if out := r.Outcome(); len(out.Findings) == 0 {
			b.Fatal("nothing was found")
		}
	}
	b.ReportMetric(float64(len(all))*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(held, "MiB-held")
}

// What an event costs to be observed, decoded already and not.
func BenchmarkObserve(b *testing.B) {
	var e hospital.Event
	for e = range hospital.New(1, hospital.Week()).Events() {
		if len(e.Entities) > 0 {
			break
		}
	}
	r := regulation.NewReview(regulation.ReviewOptions{}, nil)
	report := fhir.Write(e.Event)
	b.ReportAllocs()
	for b.Loop() {
		r.Observe(hippad.Entry{Report: report}, testlog.Read(report))
	}
}
