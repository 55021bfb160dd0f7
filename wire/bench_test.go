package wire

import (
	"context"
	"testing"

	"hippad"
)

// A sink acknowledges everything at once and keeps nothing.
type sink struct {
	fakeLog
	next int64
}

func (s *sink) Record(_ context.Context, f hippad.Frame) (hippad.Wait, error) {
	a := hippad.Ack{Ranges: []hippad.Range{{First: s.next, Count: len(f.Reports)}}, Checkpoint: fakeCheckpoint}
	s.next += int64(len(f.Reports))
	return func(context.Context) (hippad.Ack, error) { return a, nil }, nil
}

// BenchmarkRecord measures client and server together over a memory pipe: 2 KB bodies, 64 in a frame, pipelined. The unit
// of b.N is the report, and the allocations are those of both ends.
func BenchmarkRecord(b *testing.B) { benchmarkRecord(b, 64) }

// BenchmarkRecordSingle is the same with one report in each frame.
func BenchmarkRecordSingle(b *testing.B) { benchmarkRecord(b, 1) }

func benchmarkRecord(b *testing.B, size int) {
	c, _ := dial(b, &Server{}, &sink{}, ClientOptions{Stream: testStream})
	f := hippad.Frame{Stream: testStream, First: 1, Reports: make([]hippad.Report, size)}
	for i := range f.Reports {
		f.Reports[i] = hippad.Report{Media: hippad.MediaXML, Body: make([]byte, 2048)}
	}
	ctx := context.Background()
	b.ReportAllocs()
	b.SetBytes(2048)
	b.ResetTimer()
	waits := make([]hippad.Wait, 0, b.N/size+1)
	for n := 0; n < b.N; n += size {
		wait, err := c.Record(ctx, f)
		if err != nil {
			b.Fatal(err)
		}
		f.First += uint64(size)
		waits = append(waits, wait)
	}
	for _, wait := range waits {
		if _, err := wait(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
}

// BenchmarkSearch measures entries per second of one search.
func BenchmarkSearch(b *testing.B) {
	log := &fakeLog{}
	for range 1000 {
		log.add(hippad.Report{Media: hippad.MediaXML, Body: make([]byte, 2048)})
	}
	c, _ := dial(b, &Server{}, log, ClientOptions{})
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		for _, err := range c.Search(context.Background(), hippad.Query{Ascending: true, Limit: b.N - n}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
}

// BenchmarkDecode measures the server's share of decoding alone.
func BenchmarkDecode(b *testing.B) {
	m := report{reports: make([]hippad.Report, 64)}
	for i := range m.reports {
		m.reports[i] = hippad.Report{Media: hippad.MediaXML, Body: make([]byte, 2048)}
	}
	p := m.appendTo(nil)
	b.ReportAllocs()
	for n := 0; n < b.N; n += 64 {
		if _, err := parseReport(p, maxReportsEver); err != nil {
			b.Fatal(err)
		}
	}
}
