package wire

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"hippad"
)

func TestRecordSearchReceipt(t *testing.T) {
	log := &fakeLog{}
	c, s := dial(t, &Server{Origin: "log.example", VerifierKey: "log.example+1+k", Software: "hippad test"}, log, ClientOptions{Stream: testStream})
	if c.Origin() != "log.example" || c.VerifierKey() != "log.example+1+k" || c.Software() != "hippad test" {
		t.Errorf("welcome: %q %q %q", c.Origin(), c.VerifierKey(), c.Software())
	}
	if l := c.Limits(); l.MaxReport != 16<<20 || l.MaxReports != 4096 || l.Window != 32 || l.Idle != 2*time.Minute || l.MaxFrame <= l.MaxReport {
		t.Errorf("limits %+v", l)
	}
	f := hippad.Frame{Stream: testStream, First: 1, Reports: []hippad.Report{
		{Media: hippad.MediaXML, Body: []byte("<a/>")},
		{Media: hippad.MediaSyslog, Fault: hippad.Truncated, Body: nil},
		{Media: strings.Repeat("m", hippad.MaxMedia), Fault: hippad.Stray, Body: make([]byte, 3<<20)}}}
	got, err := record(c, f)
	if err != nil || !reflect.DeepEqual(got, hippad.Ack{Ranges: []hippad.Range{{First: 0, Count: 3}}, Checkpoint: fakeCheckpoint}) {
		t.Fatalf("ack %v, %v", got, err)
	}
	var found []hippad.Entry
	for e, err := range c.Search(context.Background(), hippad.Query{Ascending: true}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, e)
	}
	if len(found) != 3 {
		t.Fatalf("%d entries", len(found))
	}
	for i, e := range found {
		want := log.entries[i]
		if e.Index != want.Index || !e.Received.Equal(want.Received) || e.Door != want.Door || e.Reporter != want.Reporter ||
			e.Media != f.Reports[i].Media || e.Fault != f.Reports[i].Fault || string(e.Body) != string(f.Reports[i].Body) {
			t.Errorf("entry %d came back different", i)
		}
	}
	r, err := c.Receipt(context.Background(), 2)
	if err != nil || string(r) != "c2sp.org/tlog-proof@v1\nindex 2\n" {
		t.Fatalf("receipt %q, %v", r, err)
	}
	_, err = c.Receipt(context.Background(), 3)
	wantKind(t, err, hippad.NotFound)
	if _, hint := hippad.Public(err); hint != "the log has 3 entries" {
		t.Errorf("hint %q", hint)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	_, err = c.Record(context.Background(), plain("late"))
	wantKind(t, err, hippad.Unavailable)
}

// Every field of a query reaches the session.
func TestQueryTravels(t *testing.T) {
	before, after := int64(-1), int64(1<<60)
	at := time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)
	want := hippad.Query{Indexes: []int64{0, 7, 1 << 50}, From: time.Date(2024, 2, 29, 1, 2, 3, 456789012, time.UTC), To: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, "a^^^&1.2.3&ISO"), hippad.NewTerm(hippad.FieldMark, "unreadable")}, {hippad.NewTerm(hippad.FieldAgent, "Dr. É")}},
		Filters: []hippad.Filter{hippad.NewFilter(hippad.OpStarts, hippad.FieldAgentName, "Jörg", "x"), hippad.NewFilter(hippad.OpMissing, hippad.FieldPurpose),
			hippad.NewFilter(hippad.OpNone, hippad.FieldType, "DCM|110112")},
		Times:    [][]hippad.Period{{{Start: at}, {End: at}, {}}, {{Start: at, End: at.Add(1)}}},
		Received: [][]hippad.Period{{{Start: at}}}, ByTime: true, Beyond: &hippad.Place{At: at, Index: 7},
		Ascending: true, Before: &before, After: &after, Limit: 1 << 30}
	for _, q := range []hippad.Query{want, {}, {To: want.To}, {Before: &after}} {
		var got hippad.Query
		log := &fakeLog{search: func(_ context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
			got = q
			return func(func(hippad.Entry, error) bool) {}
		}}
		c, _ := dial(t, &Server{}, log, ClientOptions{})
		for _, err := range c.Search(context.Background(), q) {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, q) {
			t.Errorf("a query came out different: %#v", got.Terms)
		}
	}
}

func TestQueryRefused(t *testing.T) {
	c, _ := dial(t, &Server{}, &fakeLog{}, ClientOptions{})
	for name, q := range map[string]hippad.Query{
		"field":     {Terms: [][]hippad.Term{{{Field: "nonsense", Value: "x"}}}},
		"group":     {Terms: [][]hippad.Term{{}}},
		"limit":     {Limit: -1},
		"op":        {Filters: []hippad.Filter{{Op: 9, Field: hippad.FieldType}}},
		"filter":    {Filters: []hippad.Filter{{Op: hippad.OpNone, Field: "nonsense", Values: []string{"x"}}}},
		"times":     {Times: [][]hippad.Period{{}}},
		"received":  {Received: [][]hippad.Period{{{Start: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}}}},
		"year":      {From: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"long":      {Terms: [][]hippad.Term{{{Field: hippad.FieldAgent, Value: strings.Repeat("x", 70000)}}}},
		"too large": {Indexes: make([]int64, 1<<18)},
	} {
		n := 0
		for _, err := range c.Search(context.Background(), q) {
			n++
			if k := hippad.KindOf(err); err == nil || k != hippad.Invalid && k != hippad.TooLarge {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: yielded %d times", name, n)
		}
	}
	if _, err := record(c, plain("still works")); err != nil {
		t.Fatal(err)
	}
}

func TestClientLimits(t *testing.T) {
	c, _ := dial(t, &Server{MaxReport: 100, MaxFrame: 1000, MaxReports: 3}, &fakeLog{}, ClientOptions{Stream: testStream})
	big := strings.Repeat("x", 100)
	other := numbered(1, 1)
	other.Stream[0]++
	for _, x := range []struct {
		f    hippad.Frame
		kind hippad.Kind
	}{
		{plain(big + "x"), hippad.TooLarge},
		{plain("1", "2", "3", "4"), hippad.TooLarge},
		{hippad.Frame{}, hippad.Invalid},
		{hippad.Frame{Reports: []hippad.Report{{Media: strings.Repeat("m", 128)}}}, hippad.Invalid},
		{other, hippad.Conflict},
		{numbered(0, 0), hippad.Invalid},
	} {
		_, err := record(c, x.f)
		wantKind(t, err, x.kind)
	}
	if _, err := record(c, plain(big, big, big)); err != nil {
		t.Fatal(err)
	}
}

// Many searches and records share one connection; a search that nobody reads holds up none of them.
func TestConcurrent(t *testing.T) {
	log := &fakeLog{}
	for range 300 {
		log.add(hippad.Report{Media: "text/plain", Body: make([]byte, 20_000)}) // 6 MB: several credits
	}
	c, _ := dial(t, &Server{}, log, ClientOptions{})
	next, stop := iter.Pull2(c.Search(context.Background(), hippad.Query{Ascending: true, Limit: 300}))
	defer stop()
	if _, err, ok := next(); !ok || err != nil { // one entry is taken, and then nobody reads
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 20 {
		wg.Go(func() {
			n := 0
			for e, err := range c.Search(context.Background(), hippad.Query{Ascending: true, Limit: 200}) {
				if err != nil || e.Index != int64(n) {
					t.Errorf("entry %d, %v; want %d", e.Index, err, n)
					return
				}
				if n++; g%4 == 0 && n == 50 {
					break // cancels
				}
				if n == 10 {
					if _, err := c.Receipt(context.Background(), e.Index); err != nil {
						t.Error(err)
					}
				}
			}
			if want := map[bool]int{true: 50, false: 200}[g%4 == 0]; n != want {
				t.Errorf("%d entries, want %d", n, want)
			}
		})
		wg.Go(func() {
			for range 20 {
				if _, err := record(c, plain("a", "b")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	n := 1
	for _, err, ok := next(); ok; _, err, ok = next() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 300 {
		t.Errorf("the slow search got %d entries", n)
	}
	if len(log.bodies()) != 300+20*20*2 {
		t.Errorf("%d entries", len(log.bodies()))
	}
}

func TestSearchErrors(t *testing.T) {
	log := &fakeLog{search: func(ctx context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
		return func(yield func(hippad.Entry, error) bool) {
			if q.Limit == 1 {
				yield(hippad.Entry{}, hippad.Errorf(hippad.Unauthorised, "not a reader"))
				return
			}
			if yield(hippad.Entry{Report: hippad.Report{Body: make([]byte, 100_000)}}, nil) {
				<-ctx.Done()
				yield(hippad.Entry{}, ctx.Err())
			}
		}
	}}
	c, _ := dial(t, &Server{}, log, ClientOptions{MaxFrame: 65536})
	for _, err := range c.Search(context.Background(), hippad.Query{Limit: 1}) {
		wantKind(t, err, hippad.Unauthorised)
	}
	for _, err := range c.Search(context.Background(), hippad.Query{}) {
		wantKind(t, err, hippad.TooLarge)
	}
	c, s := dial(t, &Server{}, log, ClientOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	for _, err := range c.Search(ctx, hippad.Query{}) {
		if n++; n == 1 {
			cancel()
			continue
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after cancel: %v", err)
		}
	}
	for _, err := range c.Search(context.Background(), hippad.Query{}) {
		if err != nil {
			wantKind(t, err, hippad.Unavailable)
			break
		}
		s.stop()
	}
}
