package wire

import (
	"context"
	"errors"
	"fmt"
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

// One frame more than the window allows ends the connection; the frames before it are answered all the same.
func TestWindowOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		log := &fakeLog{gate: make(chan struct{})}
		s := serve(t, &Server{Window: 2}, far, log)
		b := greeting(testStream)
		for n := range uint64(3) {
			b = appendFrame(b, report{uint32(n), n + 1, numbered(n+1, n+1).Reports})
		}
		var got []frameType
		var last message
		read := make(chan struct{})
		go func() {
			defer close(read)
			defer near.Close()
			for in := newFrameReader(near); ; {
				ty, n, err := in.header()
				if err != nil {
					return
				}
				p, _ := in.payload(n)
				last, _ = parse(ty, p)
				if got = append(got, ty); ty == typeBye {
					return
				}
			}
		}()
		near.Write(b)
		synctest.Wait()
		close(log.gate)
		<-read
		if !slices.Equal(got, []frameType{typeWelcome, typeAck, typeAck, typeBye}) || last.(bye).status.code != codeInvalid {
			t.Errorf("answered %v, %+v", got, last)
		}
		wantKind(t, s.wait(), hippad.Invalid)
	})
}
