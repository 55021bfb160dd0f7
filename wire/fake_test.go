package wire

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"hippad"
)

// A fakeLog is a hippad.Session that keeps everything in memory and knows repeats and gaps as the real one does. It fails
// on command.
type fakeLog struct {
	mu      sync.Mutex
	entries []hippad.Entry
	streams map[hippad.StreamID][]int64 // index of each number, from 1
	calls   int

	// record decides the fate of the n-th call of Record, from 1: early fails Record, late fails Wait. It may be nil.
	record func(n int, f hippad.Frame) (early, late error)
	// gate, if not nil, holds up every Wait until it is closed.
	gate chan struct{}
	// search, if not nil, replaces Search.
	search func(ctx context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error]
}

var fakeCheckpoint = []byte("log.example\n1\nAAAA\n\n")

func (l *fakeLog) Record(ctx context.Context, f hippad.Frame) (hippad.Wait, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	var late error
	if l.record != nil {
		early, then := l.record(l.calls, f)
		if early != nil {
			return nil, early
		}
		late = then
	}
	var got hippad.Ack
	if late == nil {
		got, late = l.store(f)
	}
	gate := l.gate
	return func(ctx context.Context) (hippad.Ack, error) {
		if gate != nil {
			select {
			case <-gate:
			case <-ctx.Done():
				return hippad.Ack{}, ctx.Err()
			}
		}
		return got, late
	}, nil
}

func (l *fakeLog) store(f hippad.Frame) (hippad.Ack, error) {
	if l.streams == nil {
		l.streams = map[hippad.StreamID][]int64{}
	}
	a := hippad.Ack{Checkpoint: fakeCheckpoint}
	numbered := f.Stream != hippad.StreamID{}
	if numbered && f.First > uint64(len(l.streams[f.Stream]))+1 {
		return a, hippad.Errorf(hippad.Conflict, "a gap in the stream: report %d is missing", len(l.streams[f.Stream])+1)
	}
	for i, r := range f.Reports {
		at := int64(len(l.entries))
		if n := f.First + uint64(i); numbered && n <= uint64(len(l.streams[f.Stream])) {
			at = l.streams[f.Stream][n-1]
		} else {
			l.add(r)
			if numbered {
				l.streams[f.Stream] = append(l.streams[f.Stream], at)
			}
		}
		if k := len(a.Ranges) - 1; k >= 0 && a.Ranges[k].First+int64(a.Ranges[k].Count) == at {
			a.Ranges[k].Count++
		} else {
			a.Ranges = append(a.Ranges, hippad.Range{First: at, Count: 1})
		}
	}
	return a, nil
}

var fakeReporter = hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:00ff", Name: "pacs-1", Organisation: "north"}

func (l *fakeLog) add(r hippad.Report) {
	at := int64(len(l.entries))
	r.Body = bytes.Clone(r.Body)
	l.entries = append(l.entries, hippad.Entry{Index: at, Received: time.UnixMicro(1_700_000_000_000_000 + at).UTC(),
		Door: hippad.DoorNative, Reporter: fakeReporter, Report: r})
}

func (l *fakeLog) Search(ctx context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
	if l.search != nil {
		return l.search(ctx, q)
	}
	return func(yield func(hippad.Entry, error) bool) {
		l.mu.Lock()
		all := slices.Clone(l.entries)
		l.mu.Unlock()
		if !q.Ascending {
			slices.Reverse(all)
		}
		n := 0
		for _, e := range all {
			if q.Limit > 0 && n == q.Limit || ctx.Err() != nil {
				break
			}
			if q.Matches(e, hippad.Event{}) {
				if n++; !yield(e, nil) {
					return
				}
			}
		}
		if ctx.Err() != nil {
			yield(hippad.Entry{}, ctx.Err())
		}
	}
}

func (l *fakeLog) Receipt(ctx context.Context, index int64) (hippad.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index < 0 || index >= int64(len(l.entries)) {
		return nil, hippad.Errorf(hippad.NotFound, "there is no entry %d", index).WithHint("the log has %d entries", len(l.entries))
	}
	return fmt.Appendf(nil, "c2sp.org/tlog-proof@v1\nindex %d\n", index), nil
}

func (l *fakeLog) bodies() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range l.entries {
		all = append(all, string(e.Body))
	}
	return all
}

// A served is a Server at work on one connection.
type served struct {
	stop context.CancelFunc
	done chan struct{}
	err  error // once done is closed
}

func (s *served) wait() error { <-s.done; return s.err }

// serve starts srv on conn. The test ends only when ServeConn has returned.
func serve(t testing.TB, srv *Server, conn net.Conn, log hippad.Session) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = srv.ServeConn(ctx, conn, log)
	}()
	t.Cleanup(func() { cancel(); conn.Close(); <-s.done })
	return s
}

// dial connects a client to srv over a pipe.
func dial(t testing.TB, srv *Server, log hippad.Session, o ClientOptions) (*Client, *served) {
	t.Helper()
	near, far := net.Pipe()
	s := serve(t, srv, far, log)
	c, err := NewClient(context.Background(), near, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, s
}

var testStream = hippad.StreamID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// numbered makes a frame of the stream whose bodies are the numbers from first to last.
func numbered(first, last uint64) hippad.Frame {
	f := hippad.Frame{Stream: testStream, First: first}
	for n := first; n <= last; n++ {
		f.Reports = append(f.Reports, hippad.Report{Media: "text/plain", Body: fmt.Append(nil, n)})
	}
	return f
}

func plain(bodies ...string) hippad.Frame {
	var f hippad.Frame
	for _, b := range bodies {
		f.Reports = append(f.Reports, hippad.Report{Media: "text/plain", Body: []byte(b)})
	}
	return f
}

// record records f and waits.
func record(s hippad.Session, f hippad.Frame) (hippad.Ack, error) {
	wait, err := s.Record(context.Background(), f)
	if err != nil {
		return hippad.Ack{}, err
	}
	return wait(context.Background())
}

func wantKind(t testing.TB, err error, k hippad.Kind) {
	t.Helper()
	if err == nil || hippad.KindOf(err) != k {
		t.Fatalf("error %v of kind %v, want kind %v", err, hippad.KindOf(err), k)
	}
}
