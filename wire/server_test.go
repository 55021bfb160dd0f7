package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/big"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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
	want := hippad.Query{Indexes: []int64{0, 7, 1 << 50}, From: time.Date(2024, 2, 29, 1, 2, 3, 456789012, time.UTC), To: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		Terms:     [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, "a^^^&1.2.3&ISO"), hippad.NewTerm(hippad.FieldMark, "unreadable")}, {hippad.NewTerm(hippad.FieldAgent, "Dr. É")}},
		Ascending: true, Before: &before, After: &after, Limit: 1 << 31}
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

// As many frames as the window allows are on their way, not one more, and all of them in order.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		c, _ := dial(t, &Server{Window: 4}, log, ClientOptions{Stream: testStream})
		var waits []hippad.Wait
		for n := uint64(1); n <= 4; n++ {
			wait, err := c.Record(context.Background(), numbered(n, n))
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, wait)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := c.Record(ctx, numbered(5, 5))
		wantKind(t, err, hippad.Busy)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not wrap the reason", err)
		}
		_, err = waits[0](ctx)
		wantKind(t, err, hippad.Unavailable)
		close(log.gate)
		for i, wait := range waits[1:] {
			if a, err := wait(context.Background()); err != nil || a.Ranges[0].First != int64(i+1) {
				t.Fatalf("frame %d: %v, %v", i+2, a, err)
			}
		}
		if _, err := record(c, numbered(5, 5)); err != nil {
			t.Fatal(err)
		}
	})
}

// A server refuses one frame after the other, early and late; the client repeats in order and the caller sees nothing.
func TestBusyKeepsOrder(t *testing.T) {
	busyErr := hippad.Errorf(hippad.Busy, "the pool is full")
	down := hippad.Errorf(hippad.Unavailable, "the disk is full")
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{}
		log.record = func(n int, f hippad.Frame) (early, late error) {
			switch {
			case n%3 == 1:
				return busyErr, nil
			case n%5 == 1:
				return nil, down
			}
			return nil, nil
		}
		c, _ := dial(t, &Server{Window: 8}, log, ClientOptions{Stream: testStream})
		var waits []hippad.Wait
		const frames = 100
		for n := range uint64(frames) {
			wait, err := c.Record(context.Background(), numbered(2*n+1, 2*n+2))
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, wait)
		}
		for n, wait := range waits {
			a, err := wait(context.Background())
			if err != nil || !reflect.DeepEqual(a.Ranges, []hippad.Range{{First: int64(2 * n), Count: 2}}) {
				t.Fatalf("frame %d: %v, %v", n, a, err)
			}
		}
		for i, body := range log.bodies() {
			if body != fmt.Sprint(i+1) {
				t.Fatalf("entry %d is report %s", i, body)
			}
		}
	})
}

// Unnumbered frames that the log had taken before it refused an earlier one are acknowledged, not repeated.
func TestBusyDoublesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		log.record = func(n int, _ hippad.Frame) (early, late error) {
			if n == 1 {
				return nil, hippad.Errorf(hippad.Unavailable, "not now")
			}
			return nil, nil
		}
		c, _ := dial(t, &Server{}, log, ClientOptions{})
		var waits []hippad.Wait
		for n := range 4 {
			wait, err := c.Record(context.Background(), plain(fmt.Sprint(n)))
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, wait)
		}
		synctest.Wait() // all four are with the log before the first is refused
		close(log.gate)
		for _, wait := range waits {
			if _, err := wait(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if got := log.bodies(); !slices.Equal(got, []string{"1", "2", "3", "0"}) {
			t.Fatalf("the log has %v", got)
		}
	})
}

func TestRejectAndGap(t *testing.T) {
	log := &fakeLog{record: func(_ int, f hippad.Frame) (early, late error) {
		switch string(f.Reports[0].Body) {
		case "forbidden":
			return hippad.Errorf(hippad.Unauthorised, "no right to report").WithHint("enrol first"), nil
		case "bad":
			return nil, hippad.Errorf(hippad.Invalid, "bad report")
		}
		return nil, nil
	}}
	c, _ := dial(t, &Server{}, log, ClientOptions{Stream: testStream})
	_, err := record(c, plain("forbidden"))
	wantKind(t, err, hippad.Unauthorised)
	if m, h := hippad.Public(err); m != "no right to report" || h != "enrol first" {
		t.Errorf("%q %q", m, h)
	}
	_, err = record(c, plain("bad"))
	wantKind(t, err, hippad.Invalid)
	_, err = record(c, numbered(2, 3))
	wantKind(t, err, hippad.Conflict)
	if _, err = record(c, numbered(1, 3)); err != nil {
		t.Fatal(err)
	}
	a, err := record(c, numbered(2, 5))
	if err != nil || !reflect.DeepEqual(a.Ranges, []hippad.Range{{First: 1, Count: 4}}) {
		t.Fatalf("%v, %v", a, err)
	}
}

// The connection dies after the log has stored a frame and before the reporter knows. The repetition finds the old place.
func TestRepeatAfterReconnect(t *testing.T) {
	log := &fakeLog{gate: make(chan struct{})}
	near, far := net.Pipe()
	s := serve(t, &Server{}, far, log)
	c, err := NewClient(context.Background(), near, ClientOptions{Stream: testStream})
	if err != nil {
		t.Fatal(err)
	}
	wait, err := c.Record(context.Background(), numbered(1, 5))
	if err != nil {
		t.Fatal(err)
	}
	for len(log.bodies()) < 5 {
		time.Sleep(time.Millisecond) // the frame is on its way: there is no event to wait for
	}
	near.Close()
	_, err = wait(context.Background())
	wantKind(t, err, hippad.Unavailable)
	close(log.gate)
	s.wait()

	c, _ = dial(t, &Server{}, log, ClientOptions{Stream: testStream})
	a, err := record(c, numbered(1, 6))
	if err != nil || !reflect.DeepEqual(a.Ranges, []hippad.Range{{First: 0, Count: 6}}) {
		t.Fatalf("%v, %v", a, err)
	}
	if got := log.bodies(); len(got) != 6 {
		t.Fatalf("the log has %v", got)
	}
}

// A server that shuts down answers what it has read, and the client learns why the rest is not answered.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		c, s := dial(t, &Server{}, log, ClientOptions{Stream: testStream})
		first, err := c.Record(context.Background(), numbered(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.stop()
		synctest.Wait()
		second, err := c.Record(context.Background(), numbered(2, 2))
		if err != nil {
			t.Fatal(err)
		}
		close(log.gate)
		if _, err := first(context.Background()); err != nil {
			t.Errorf("the frame that had been read: %v", err)
		}
		_, err = second(context.Background())
		wantKind(t, err, hippad.Unavailable)
		if !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("the reason is missing: %v", err)
		}
		if err := s.wait(); err != nil {
			t.Error(err)
		}
		_, err = c.Record(context.Background(), numbered(2, 2))
		wantKind(t, err, hippad.Unavailable)
	})
}

// Close lets what is on its way be acknowledged.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		c, s := dial(t, &Server{}, log, ClientOptions{})
		wait, err := c.Record(context.Background(), plain("x"))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { close(log.gate) })
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := wait(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := s.wait(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestInternalErrorEndsConnection(t *testing.T) {
	secret := errors.New("bug with a cause that nobody outside may see")
	for _, early := range []bool{true, false} {
		log := &fakeLog{record: func(int, hippad.Frame) (error, error) {
			if early {
				return secret, nil
			}
			return nil, secret
		}}
		c, s := dial(t, &Server{Log: discard()}, log, ClientOptions{})
		_, err := record(c, plain("x"))
		wantKind(t, err, hippad.Unavailable)
		if strings.Contains(err.Error(), "bug") {
			t.Errorf("the cause left the process: %v", err)
		}
		if err := s.wait(); !errors.Is(err, secret) {
			t.Errorf("ServeConn returned %v", err)
		}
	}
}

// Refuse is told of each oversize report once, and nothing else of the frame is stored.
func TestRefuse(t *testing.T) {
	type refusal struct{ size, limit int64 }
	var mu sync.Mutex
	var got []refusal
	log := &fakeLog{}
	srv := &Server{MaxReport: 100, MaxFrame: 1000, Refuse: func(s hippad.Session, size, limit int64) {
		mu.Lock()
		defer mu.Unlock()
		if s != hippad.Session(log) {
			t.Error("another session")
		}
		got = append(got, refusal{size, limit})
	}}
	c, s := dial(t, srv, log, ClientOptions{})
	c.limits.MaxReport, c.limits.MaxFrame = 1<<20, 1<<20 // a client that does not care
	_, err := record(c, plain(strings.Repeat("x", 101), "ok", strings.Repeat("x", 102)))
	wantKind(t, err, hippad.TooLarge)
	if _, err := record(c, plain("ok")); err != nil {
		t.Fatal(err)
	}
	_, err = record(c, plain(strings.Repeat("x", 5000)))
	wantKind(t, err, hippad.TooLarge)
	wantKind(t, s.wait(), hippad.TooLarge)
	if want := []refusal{{101, 100}, {102, 100}, {16 + 6 + 10 + 5000, 1000}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if b := log.bodies(); !slices.Equal(b, []string{"ok"}) {
		t.Errorf("stored %v", b)
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

// The deadlines: HELLO, silence, a client that keeps alive, a server that is gone.
func TestDeadlines(t *testing.T) {
	t.Run("hello", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := serve(t, &Server{}, far, &fakeLog{})
			near.Write([]byte(Magic))
			go io.Copy(io.Discard, near)
			start := time.Now()
			if err := s.wait(); err != errSilence {
				t.Errorf("ended with %v", err)
			}
			if d := time.Since(start); d < helloWithin || d > helloWithin+linger {
				t.Errorf("took %v", d)
			}
		})
	})
	t.Run("silence", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := serve(t, &Server{Idle: time.Minute}, far, &fakeLog{})
			near.Write(greeting(testStream))
			var last bye
			go func() {
				for in := newFrameReader(near); ; {
					ty, n, err := in.header()
					if err != nil {
						return
					}
					p, _ := in.payload(n)
					if m, err := parse(ty, p); err == nil && ty == typeBye {
						last = m.(bye)
					}
				}
			}()
			if err := s.wait(); err != errSilence {
				t.Errorf("ended with %v", err)
			}
			synctest.Wait()
			if last.status.code != codeTimeout {
				t.Errorf("said %+v", last)
			}
		})
	})
	t.Run("kept alive", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := dial(t, &Server{Idle: time.Minute}, &fakeLog{}, ClientOptions{})
			time.Sleep(time.Hour)
			if _, err := record(c, plain("x")); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("server gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				in := newFrameReader(far)
				in.payload(int64(len(greeting(hippad.StreamID{}))))
				far.Write(appendFrame(nil, saneWelcome()))
				io.Copy(io.Discard, in.r) // reads, and never answers
			}()
			c, err := NewClient(context.Background(), near, ClientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = record(c, plain("x"))
			wantKind(t, err, hippad.Unavailable)
			far.Close()
		})
	})
	t.Run("client does not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := serve(t, &Server{}, far, &fakeLog{})
			near.Write(greeting(testStream))
			if err := s.wait(); err == nil {
				t.Error("ended well")
			}
			near.Close()
		})
	})
	t.Run("no welcome", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go io.Copy(io.Discard, far)
			_, err := NewClient(context.Background(), near, ClientOptions{})
			wantKind(t, err, hippad.Unavailable)
			far.Close()
		})
	})
}

// The log answers late but within the grace of a shutdown, or never.
func TestShutdownGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{gate: make(chan struct{})}
		c, s := dial(t, &Server{Log: discard()}, log, ClientOptions{})
		wait, err := c.Record(context.Background(), plain("x"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.stop()
		_, err = wait(context.Background())
		wantKind(t, err, hippad.Unavailable)
		if err := s.wait(); err != nil {
			t.Error(err)
		}
	})
}

// Over TCP and TLS, with ALPN, and a shutdown while the client is sending: no answer is destroyed by a reset.
func TestTLS(t *testing.T) {
	config, pool := testCertificate(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	log := &fakeLog{}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		done <- (&Server{}).ServeConn(ctx, conn, log)
	}()
	c, err := Dial(context.Background(), ln.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost"}, ClientOptions{Stream: testStream})
	if err != nil {
		t.Fatal(err)
	}
	if p := c.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; p != ALPN {
		t.Errorf("ALPN %q", p)
	}
	acked := 0
	results := make(chan hippad.Wait, 10000)
	go func() {
		defer close(results)
		for n := uint64(1); ; n++ {
			wait, err := c.Record(context.Background(), numbered(n, n))
			if err != nil {
				return
			}
			results <- wait
		}
	}()
	for wait := range results {
		if _, err := wait(context.Background()); err == nil {
			acked++
		}
		if acked == 500 {
			cancel()
		}
	}
	if err := <-done; err != nil {
		t.Errorf("server: %v", err)
	}
	if stored := len(log.bodies()); stored != acked || acked < 500 {
		t.Errorf("%d stored, %d acknowledged", stored, acked)
	}
	_, err = Dial(context.Background(), "127.0.0.1:1", nil, ClientOptions{})
	wantKind(t, err, hippad.Unavailable)
}

func testCertificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{ALPN}}, pool
}

// A frame that finds no room is overtaken by none of those behind it, numbered or not.
func TestBusyIsNotOvertaken(t *testing.T) {
	log := &fakeLog{record: func(n int, _ hippad.Frame) (early, late error) {
		if n == 1 {
			return hippad.Errorf(hippad.Busy, "no room"), nil
		}
		return nil, nil
	}}
	c, _ := dial(t, &Server{Retry: time.Millisecond}, log, ClientOptions{})
	var waits []hippad.Wait
	for n := range 10 {
		wait, err := c.Record(context.Background(), plain(fmt.Sprint(n)))
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, wait)
	}
	for n, wait := range waits {
		if a, err := wait(context.Background()); err != nil || a.Ranges[0].First != int64(n) {
			t.Fatalf("frame %d: %v, %v", n, a, err)
		}
	}
	if log.calls != 11 {
		t.Errorf("%d frames were handed to the log", log.calls)
	}
}
