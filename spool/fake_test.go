package spool

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
)

// A fakeLog remembers the last number of each stream, as the real one does, and takes a frame whole or not at all. Reports
// whose body begins with "bad" it rejects for good.
type fakeLog struct {
	mu      sync.Mutex
	bodies  []string
	streams map[hippad.StreamID][]int64
}

func (l *fakeLog) commit(f hippad.Frame) (hippad.Ack, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams == nil {
		l.streams = map[hippad.StreamID][]int64{}
	}
	at := l.streams[f.Stream]
	if f.First == 0 || f.Stream == (hippad.StreamID{}) {
		return hippad.Ack{}, hippad.Errorf(hippad.Internal, "not numbered")
	}
	for i, r := range f.Reports {
		if bytes.HasPrefix(r.Body, []byte("bad")) && f.First+uint64(i) > uint64(len(at)) {
			return hippad.Ack{}, hippad.Errorf(hippad.Invalid, "a bad report")
		}
	}
	if f.First > uint64(len(at))+1 {
		return hippad.Ack{}, hippad.Errorf(hippad.Conflict, "a gap")
	}
	var a hippad.Ack
	for i, r := range f.Reports {
		n := f.First + uint64(i)
		if n > uint64(len(at)) {
			at = append(at, int64(len(l.bodies)))
			l.bodies = append(l.bodies, string(r.Body))
		}
		a.Ranges = append(a.Ranges, hippad.Range{First: at[n-1], Count: 1})
	}
	l.streams[f.Stream] = at
	return a, nil
}

// other stores something of somebody else, so that indexes and numbers differ.
func (l *fakeLog) other() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodies = append(l.bodies, "other")
}

func (l *fakeLog) stored() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.bodies), func(s string) bool { return s == "other" })
}

// A session is one connection to the log. The n-th frame, from 1, and all after it may meet a fate.
type session struct {
	log   *fakeLog
	calls int
	// before is asked before the n-th frame is committed; an error fails Record. after is asked when it has been
	// committed; an error fails Wait.
	before, after func(n int, f hippad.Frame) error
}

func (s *session) Record(_ context.Context, f hippad.Frame) (hippad.Wait, error) {
	s.calls++
	if s.before != nil {
		if err := s.before(s.calls, f); err != nil {
			return nil, err
		}
	}
	got, err := s.log.commit(f)
	if s.after != nil {
		if lost := s.after(s.calls, f); lost != nil {
			err = lost
		}
	}
	return func(ctx context.Context) (hippad.Ack, error) {
		if err == nil && ctx.Err() != nil {
			return hippad.Ack{}, hippad.Errorf(hippad.Unavailable, "wait: %w", ctx.Err())
		}
		return got, err
	}, nil
}

func (*session) Search(context.Context, hippad.Query) iter.Seq2[hippad.Entry, error] { return nil }

func (*session) Receipt(context.Context, int64) (hippad.Receipt, error) { return nil, nil }

var errLost = hippad.Errorf(hippad.Unavailable, "the connection is lost")

func reports(bodies ...string) []hippad.Report {
	var all []hippad.Report
	for _, b := range bodies {
		all = append(all, hippad.Report{Media: "text/plain", Body: []byte(b)})
	}
	return all
}

func count(from, to int) []string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprintf("report %d", i))
	}
	return all
}

func add(t testing.TB, s *Spool, bodies ...string) uint64 {
	t.Helper()
	first, err := s.Add(reports(bodies...)...)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func reopen(t testing.TB, dir string, disk vfs.FS) *Spool {
	t.Helper()
	s, err := open(dir, disk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func send(s *Spool, session hippad.Session, l Limits) (map[uint64]int64, error) {
	at := map[uint64]int64{}
	err := s.Send(context.Background(), session, l, func(n uint64, i int64) { at[n] = i })
	return at, err
}

func wantKind(t testing.TB, err error, k hippad.Kind) {
	t.Helper()
	if err == nil || hippad.KindOf(err) != k {
		t.Fatalf("error %v of kind %v, want %v", err, hippad.KindOf(err), k)
	}
}
