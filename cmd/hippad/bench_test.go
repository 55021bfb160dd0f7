package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/atna"
	"hippad/internal/fhir"
	"hippad/internal/identity"
)

func benchGeneratorOf(t testing.TB, door string, size int, kinds ...string) *benchGenerator {
	t.Helper()
	now := time.Date(2026, 11, 22, 9, 30, 15, 42e6, time.UTC)
	g := newBenchGenerator(rand.NewPCG(1, 2), func() time.Time { return now })
	for _, kind := range kinds {
		g.add(kind, 1, size, door)
	}
	return g
}

// What bench sends is read as what it is, is about as long as asked for, and differs from message to message.
func TestBenchMessages(t *testing.T) {
	for _, kind := range []string{benchDICOM, benchFHIR} {
		for _, size := range []int{1, 2048, 100_000} {
			g := benchGeneratorOf(t, benchDoorNative, size, kind)
			patients, bodies := map[string]bool{}, map[string]bool{}
			const n = 200
			for range n {
				body, media := g.next(nil)
				ev := read(hippad.Report{Media: media, Body: body})
				if ev.Unreadable != "" {
					t.Fatalf("%s of %d bytes: %s\n%s", kind, size, ev.Unreadable, body)
				}
				if ev.Recorded.Format(time.RFC3339Nano) != "2026-11-22T09:30:15.042Z" {
					t.Errorf("%s: recorded %v", kind, ev.Recorded)
				}
				if size > 1 && (len(body) < size-100 || len(body) > size+100) {
					t.Errorf("%s: %d bytes, want about %d", kind, len(body), size)
				}
				for _, e := range ev.Entities {
					if e.IsPatient() {
						patients[nameOf(e.What)] = true
					}
				}
				bodies[string(body)] = true
			}
			if len(bodies) != n || len(patients) < n*9/10 || len(patients) > n {
				t.Errorf("%s of %d bytes: %d bodies and %d patients in %d messages", kind, size, len(bodies), len(patients), n)
			}
		}
	}
}

// Syslog messages come out of their frames as they went in.
func TestBenchSyslog(t *testing.T) {
	g := benchGeneratorOf(t, benchDoorSyslog, 2048, benchDICOM, benchFHIR)
	seen := map[string]bool{}
	for range 100 {
		frame := string(g.nextSyslog(nil))
		count, message, _ := strings.Cut(frame, " ")
		if count != fmt.Sprint(len(message)) {
			t.Fatalf("count %s before %d bytes", count, len(message))
		}
		ev := atna.ReadSyslog([]byte(message), fhir.Read)
		if ev.Unreadable != "" {
			t.Fatal(ev.Unreadable)
		}
		seen[ev.Type.Code] = true
	}
	if len(seen) != 2 {
		t.Errorf("kinds of events: %v", seen)
	}
}

func TestBenchBroken(t *testing.T) {
	for _, door := range []string{benchDoorNative, benchDoorFHIR} {
		body, media := benchGeneratorOf(t, door, 2048, benchBroken).next(nil)
		if ev := read(hippad.Report{Media: media, Body: body}); ev.Unreadable == "" {
			t.Errorf("%s: a broken message is read", door)
		}
	}
}

func TestBenchMix(t *testing.T) {
	g := newBenchGenerator(rand.NewPCG(1, 2), time.Now)
	g.add(benchDICOM, 8, 2048, benchDoorNative)
	g.add(benchFHIR, 1, 2048, benchDoorNative)
	g.add(benchBroken, 1, 2048, benchDoorNative)
	count := map[string]int{}
	for range 10_000 {
		body, media := g.next(nil)
		if !strings.HasSuffix(string(body), "</AuditMessage>") && media == hippad.MediaXML {
			media = benchBroken
		}
		count[media]++
	}
	for kind, want := range map[string]int{hippad.MediaXML: 8000, hippad.MediaFHIRJSON: 1000, benchBroken: 1000} {
		if got := count[kind]; got < want*8/10 || got > want*12/10 {
			t.Errorf("%s: %d of 10000, want about %d", kind, got, want)
		}
	}
	for text, want := range map[string]string{
		"dicom=8,fhir=1,broken=1": "map[broken:1 dicom:8 fhir:1]", "fhir=0, dicom=2": "map[dicom:2]",
		"": "", "dicom": "", "dicom=": "", "dicom=-1": "", "dicom=0": "", "x=1": "", "dicom=1,dicom=1": "", "dicom=99999999": "",
	} {
		mix, err := parseBenchMix(text)
		if got := fmt.Sprint(mix); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// A quantile is never less than the true one and at most one sixteenth above it.
func TestLatencyQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l latencies
		values := rapid.SliceOfN(rapid.Int64Range(0, int64(10*time.Minute)), 1, 200).Draw(t, "nanoseconds")
		for _, v := range values {
			l.add(time.Duration(v), 1)
		}
		slices.Sort(values)
		for _, q := range []float64{0.01, 0.5, 0.99, 1} {
			rank := max(0, int(float64(len(values))*q+0.9999999)-1)
			want := float64(values[min(rank, len(values)-1)]) / 1e6
			if got := l.quantile(q); got < want || got > want*17/16+0.002 {
				t.Fatalf("quantile %v of %d values: %v ms, want %v", q, len(values), got, want)
			}
		}
		if got, want := l.quantile(1), float64(values[len(values)-1])/1e6; got != want {
			t.Fatalf("maximum %v, want %v", got, want)
		}
	})
}

// Every report is given out once, whoever asks, and those that are late are given out at once.
func TestBenchPlan(t *testing.T) {
	begin := time.Now()
	p := newBenchPlan(begin.Add(-time.Second), 1000, 0, 5*time.Second)
	if p.total != 5000 {
		t.Fatalf("%d reports in 5 s at 1000/s", p.total)
	}
	if first, n := p.take(64); first != 0 || n != 64 {
		t.Errorf("a second late: %d reports from %d", n, first)
	}
	var mu sync.Mutex
	given := map[int64]bool{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				first, n := p.take(100)
				if n == 0 {
					return
				}
				mu.Lock()
				for i := range n {
					if given[first+i] {
						t.Errorf("report %d is given out twice", first+i)
					}
					given[first+i] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(given) != 5000-64 {
		t.Errorf("%d reports were given out", len(given))
	}
	if due := p.due(2500); !due.Equal(p.begin.Add(2500 * time.Millisecond)) {
		t.Errorf("report 2500 is due at %v", due.Sub(p.begin))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newBenchPlan(time.Now().Add(time.Hour), 1, 1, 0).wait(ctx, 0); err == nil {
		t.Error("nobody can end the wait")
	}
}

func BenchmarkMessage(b *testing.B) {
	for _, kind := range benchKinds {
		b.Run(kind, func(b *testing.B) {
			g := benchGeneratorOf(b, benchDoorNative, 2048, kind)
			var body []byte
			for b.Loop() {
				body, _ = g.next(body[:0])
			}
			b.SetBytes(int64(len(body)))
		})
	}
}

// BenchmarkServer is hippad bench with server and senders in one process, for a profile of both: one operation is one report.
//
//	go test ./cmd/hippad -run '^$' -bench Server/native -benchtime 300000x -cpuprofile cpu.out
func BenchmarkServer(b *testing.B) {
	for _, door := range []string{benchDoorNative, benchDoorSyslog, benchDoorFHIR} {
		b.Run(door, func(b *testing.B) { benchmarkServer(b, benchFlags{door: door}) })
	}
	b.Run("paced", func(b *testing.B) { benchmarkServer(b, benchFlags{door: benchDoorNative, rate: 1000}) })
}

func benchmarkServer(b *testing.B, flags benchFlags) {
	data := b.TempDir()
	ctx, cancel := context.WithCancel(b.Context())
	s, err := openServer(ctx, serveConfig{Data: data, Listen: []string{"127.0.0.1:0"}, Origin: "bench.example", MaxMessage: 64 << 10, Trust: []string{"127.0.0.0/8"}},
		slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	flags.connections, flags.size, flags.duration = 8, 2048, time.Second
	if err := flags.check(false); err != nil {
		b.Fatal(err)
	}
	run := &bench{benchFlags: &flags, address: s.address()}
	if run.tls, err = identity.ReporterTLS(filepath.Join(data, "ca.pem"), ""); err != nil {
		b.Fatal(err)
	}
	senders, err := run.connect(ctx)
	if err != nil {
		b.Fatal(err)
	}
	before := s.ledger.Size() // the start is an entry
	b.ResetTimer()
	run.plan = newBenchPlan(time.Now(), flags.rate, int64(b.N), 0)
	if err := run.send(ctx, senders); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if got := s.ledger.Size() - before; got != int64(b.N) {
		b.Errorf("the log has %d entries more, want %d", got, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
	if flags.rate > 0 {
		b.ReportMetric(run.latency.quantile(0.99), "p99-ms")
	}
}

// BenchmarkSearchByPatient asks a store of a million entries on the disk for one patient of 100,000: the ten or so entries, decoded,
// with the entry about the search committed first, as every search does. HIPPAD_BENCH_ENTRIES makes the store smaller or larger.
//
//	go test ./cmd/hippad -run '^$' -bench SearchByPatient -benchtime 2000x
func BenchmarkSearchByPatient(b *testing.B) {
	entries := 1_000_000
	if text := os.Getenv("HIPPAD_BENCH_ENTRIES"); text != "" {
		var err error
		if entries, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	s, err := openServer(b.Context(), serveConfig{Data: b.TempDir(), Listen: []string{"127.0.0.1:0"}, Origin: "bench.example", MaxMessage: 64 << 10},
		slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	operator := hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindOperator, ID: "sha256:00"},
		Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleReporter, hippad.RoleReviewer}}}
	session := s.repo.As(operator, hippad.DoorNative)
	g := benchGeneratorOf(b, benchDoorNative, 2048, benchDICOM, benchFHIR)
	for sent := 0; sent < entries; {
		var f hippad.Frame
		for range min(1000, entries-sent) {
			body, media := g.next(nil)
			f.Reports = append(f.Reports, hippad.Report{Media: media, Body: body})
		}
		wait, err := session.Record(b.Context(), f)
		if err == nil {
			_, err = wait(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
		sent += len(f.Reports)
	}
	var took []time.Duration
	found, i := 0, 0
	for b.Loop() {
		began := time.Now()
		patient := hippad.NewTerm(hippad.FieldPatient, fmt.Sprintf("urn:oid:2.16.840.1.113883.19.5|%08d", 10_000_000+i*7919%benchPatients))
		for _, err := range session.Search(b.Context(), hippad.Query{Terms: [][]hippad.Term{{patient}}, Limit: 50}) {
			if err != nil {
				b.Fatal(err)
			}
			found++
		}
		took = append(took, time.Since(began))
		i++
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(found)/float64(i), "found/search")
}
