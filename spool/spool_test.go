package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

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

func TestAddSendForget(t *testing.T) {
	dir := t.TempDir() + "/spool"
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v", info.Mode(), err)
	}
	_, err = Open(dir)
	wantKind(t, err, hippad.Conflict)
	if _, hint := hippad.Public(err); hint == "" {
		t.Error("no hint")
	}
	stream := s.Stream()
	if first := add(t, s, "a", "b"); first != 1 {
		t.Errorf("first %d", first)
	}
	if first := add(t, s, "ccc"); first != 3 {
		t.Errorf("first %d", first)
	}
	b := hippad.Report{Media: "text/plain", Body: []byte("b")}
	check := func(n int, size int64, has bool) {
		t.Helper()
		if gotN, gotSize := s.Pending(); gotN != n || gotSize != size || s.Contains(b) != has {
			t.Errorf("pending %d reports of %d bytes, contains %v", gotN, gotSize, s.Contains(b))
		}
	}
	check(3, 5, true)
	for _, r := range []hippad.Report{{Media: "text/plain", Body: []byte("x")}, {Media: "text/html", Body: b.Body}, {Media: b.Media, Body: b.Body, Fault: hippad.Framing}} {
		if s.Contains(r) {
			t.Errorf("contains %v", r)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.Close() != nil {
		t.Error("closing twice")
	}
	_, err = s.Add(b)
	wantKind(t, err, hippad.Unavailable)
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	if s.Stream() != stream || stream == (hippad.StreamID{}) {
		t.Error("another stream")
	}
	check(3, 5, true)
	log := &fakeLog{}
	log.other()
	at, err := send(s, &session{log: log}, Limits{Reports: 2})
	if err != nil || len(at) != 3 || at[1] != 1 || at[2] != 2 || at[3] != 3 {
		t.Fatalf("%v, %v", at, err)
	}
	check(0, 0, false)
	if first := add(t, s, "b"); first != 4 {
		t.Errorf("first %d", first)
	}
	check(1, 1, true)
	if at, err = send(s, &session{log: log}, Limits{}); err != nil || at[4] != 4 {
		t.Fatalf("%v, %v", at, err)
	}
	if at, err = send(s, &session{log: log}, Limits{}); err != nil || len(at) != 0 {
		t.Fatalf("%v, %v", at, err)
	}
	// What is acknowledged is gone from the disk, the hashes too.
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if k := it.Key()[0]; k == keyQueue || k == keyHash {
			t.Errorf("left on the disk: %q", it.Key())
		}
	}
}

func TestAddRefuses(t *testing.T) {
	s := reopen(t, t.TempDir(), vfs.Default)
	_, err := s.Add(hippad.Report{Media: "text/plain"}, hippad.Report{Media: strings.Repeat("m", 128)})
	wantKind(t, err, hippad.Invalid)
	_, err = s.Add(hippad.Report{Fault: 9})
	wantKind(t, err, hippad.Invalid)
	if n, _ := s.Pending(); n != 0 {
		t.Errorf("%d pending", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	newer := t.TempDir()
	s, err := Open(newer)
	if err != nil {
		t.Fatal(err)
	}
	s.db.Set([]byte{keyFormat}, append([]byte(formatTag), 0, 0, 0, 2), pebble.Sync)
	s.Close()
	_, err = Open(newer)
	wantKind(t, err, hippad.Conflict)

	other := t.TempDir()
	db, err := pebble.Open(other, &pebble.Options{Logger: pebbleLog{}})
	if err != nil {
		t.Fatal(err)
	}
	db.Set([]byte("x"), nil, pebble.Sync)
	db.Close()
	_, err = Open(other)
	wantKind(t, err, hippad.Conflict)

	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(file); err == nil {
		t.Error("opened a file")
	}
}

// Frames stay within the limits, hold as much as they may, and no more than a window of them is on its way.
func TestLimits(t *testing.T) {
	s := reopen(t, t.TempDir(), vfs.Default)
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprintf("%3d%s", i, strings.Repeat("x", i%7*10)))
	}
	add(t, s, want...)
	log := &fakeLog{}
	frames, most := 0, 0
	ses := &session{log: log, before: func(_ int, f hippad.Frame) error {
		size := 16
		for _, r := range f.Reports {
			size += 6 + len(r.Media) + len(r.Body)
		}
		if size > 400 || len(f.Reports) > 9 {
			t.Errorf("a frame of %d bytes and %d reports", size, len(f.Reports))
		}
		frames++
		most = max(most, len(f.Reports))
		return nil
	}}
	if _, err := send(s, ses, Limits{Report: 100, Frame: 400, Reports: 9, Window: 3}); err != nil {
		t.Fatal(err)
	}
	if got := log.stored(); !slices.Equal(got, want) || frames > 25 || most < 6 {
		t.Errorf("%d stored in %d frames of up to %d", len(got), frames, most)
	}
}

// A report that the log will not take is replaced by a notice; what comes after it gets through, and nothing more than it is set aside.
func TestRejected(t *testing.T) {
	s := reopen(t, t.TempDir(), vfs.Default)
	log := &fakeLog{}
	all := count(1, 30)
	all[11], all[12], all[29] = "bad one", "bad two", "bad three"
	huge := strings.Repeat("y", 2000)
	all[20] = huge
	add(t, s, all...)
	at, err := send(s, &session{log: log}, Limits{Report: 1000, Reports: 8})
	if err != nil {
		t.Fatal(err)
	}
	got := log.stored()
	if len(got) != 30 || len(at) != 26 {
		t.Fatalf("%d stored, %d acknowledged", len(got), len(at))
	}
	for i, body := range all {
		n := uint64(i + 1)
		if strings.HasPrefix(body, "bad") || body == huge {
			want := fmt.Sprintf("report %d of stream %x was rejected by the log and is withheld\n", n, s.Stream())
			if !strings.HasPrefix(got[i], want) || strings.Contains(got[i], body) {
				t.Errorf("notice %q", got[i])
			}
			if _, ok := at[n]; ok {
				t.Errorf("report %d is called acknowledged", n)
			}
		} else if got[i] != body || at[n] != int64(i) {
			t.Errorf("place %d has %q, told %d", i, got[i], at[n])
		}
	}
	aside, err := s.Rejected()
	if err != nil || len(aside) != 4 {
		t.Fatalf("%d rejected, %v", len(aside), err)
	}
	if r := aside[0]; r.Number != 12 || string(r.Report.Body) != "bad one" || r.Kind != hippad.Invalid || r.Reason != "a bad report" {
		t.Errorf("%+v", r)
	}
	if r := aside[2]; r.Number != 21 || string(r.Report.Body) != huge || r.Kind != hippad.TooLarge {
		t.Errorf("rejection of %d: %v", r.Number, r.Kind)
	}
	if n, size := s.Pending(); n != 0 || size != 0 {
		t.Errorf("%d pending of %d bytes", n, size)
	}
	for _, r := range aside[:3] {
		if err := s.Discard(r.Number); err != nil {
			t.Fatal(err)
		}
	}
	if aside, err = s.Rejected(); err != nil || len(aside) != 1 || s.Contains(aside[0].Report) {
		t.Errorf("%v, %v", aside, err)
	}
}

// Errors that say nothing about the reports leave the queue as it is.
func TestQueueStays(t *testing.T) {
	s := reopen(t, t.TempDir(), vfs.Default)
	add(t, s, count(1, 10)...)
	for _, k := range []hippad.Kind{hippad.Internal, hippad.Unauthorised, hippad.Conflict, hippad.Busy, hippad.Unavailable} {
		for _, late := range []bool{false, true} {
			fail := func(int, hippad.Frame) error { return hippad.Errorf(k, "no") }
			ses := &session{log: &fakeLog{}, before: fail}
			if late {
				ses = &session{log: &fakeLog{}, after: fail}
			}
			_, err := send(s, ses, Limits{})
			wantKind(t, err, k)
			if n, _ := s.Pending(); n != 10 {
				t.Fatalf("%v: %d pending", k, n)
			}
		}
	}
	if aside, err := s.Rejected(); err != nil || len(aside) != 0 {
		t.Errorf("%v, %v", aside, err)
	}
	short := &session{log: &fakeLog{}, after: func(int, hippad.Frame) error { return nil }}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Send(ctx, short, Limits{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestOneSendAtATime(t *testing.T) {
	s := reopen(t, t.TempDir(), vfs.Default)
	add(t, s, "a")
	entered, leave := make(chan struct{}), make(chan struct{})
	ses := &session{log: &fakeLog{}, before: func(n int, _ hippad.Frame) error {
		if n == 1 {
			close(entered)
		}
		<-leave
		return nil
	}}
	done := make(chan error)
	go func() { done <- s.Send(context.Background(), ses, Limits{}, nil) }()
	<-entered
	wantKind(t, s.Send(context.Background(), ses, Limits{}, nil), hippad.Conflict)
	wantKind(t, s.Renumber(), hippad.Conflict)
	add(t, s, "b") // does not wait
	close(leave)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Pending(); n != 0 {
		t.Errorf("%d pending: what is added meanwhile is sent too", n)
	}
}

// Close ends a Send that waits for the log.
func TestCloseEndsSend(t *testing.T) {
	s := reopen(t, t.TempDir(), vfs.Default)
	add(t, s, "a")
	entered := make(chan struct{})
	done := make(chan error)
	go func() { done <- s.Send(context.Background(), waiting{entered}, Limits{}, nil) }()
	<-entered
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

type waiting struct{ entered chan struct{} }

func (w waiting) Record(context.Context, hippad.Frame) (hippad.Wait, error) {
	return func(ctx context.Context) (hippad.Ack, error) {
		close(w.entered)
		<-ctx.Done()
		return hippad.Ack{}, ctx.Err()
	}, nil
}
func (waiting) Search(context.Context, hippad.Query) iter.Seq2[hippad.Entry, error] { return nil }
func (waiting) Receipt(context.Context, int64) (hippad.Receipt, error)              { return nil, nil }

// A log that was restored from an old copy says Conflict; a new stream carries on.
func TestRenumber(t *testing.T) {
	dir := t.TempDir()
	s := reopen(t, dir, vfs.Default)
	add(t, s, count(1, 5)...)
	if _, err := send(s, &session{log: &fakeLog{}}, Limits{}); err != nil {
		t.Fatal(err)
	}
	add(t, s, count(6, 8)...)
	log := &fakeLog{}
	_, err := send(s, &session{log: log}, Limits{})
	wantKind(t, err, hippad.Conflict)
	old := s.Stream()
	if err := s.Renumber(); err != nil || s.Stream() == old {
		t.Fatal(err)
	}
	s.Close()
	s = reopen(t, dir, vfs.Default)
	add(t, s, "report 9")
	at, err := send(s, &session{log: log}, Limits{})
	if err != nil || !slices.Equal(log.stored(), count(6, 9)) || at[6] != 0 || at[9] != 3 {
		t.Fatalf("%v %v %v", at, log.stored(), err)
	}
}

// The fault table: the power goes at every step of the life of a report. disk is what a power cut would leave behind. In each
// row nothing that Add has returned for is missing from the log in the end, and nothing is there twice.
func TestCrashTable(t *testing.T) {
	const dir = "/spool"
	want := count(1, 20)
	for name, crash := range map[string]func(t *testing.T, s *Spool, log *fakeLog, cut func()){
		"after Add": func(t *testing.T, s *Spool, log *fakeLog, cut func()) { cut() },
		"before a frame is committed": func(t *testing.T, s *Spool, log *fakeLog, cut func()) {
			send(s, &session{log: log, before: func(n int, _ hippad.Frame) error {
				if n == 3 {
					cut()
				}
				if n >= 3 {
					return errLost
				}
				return nil
			}}, Limits{Reports: 4, Window: 2})
		},
		"after commit, before the answer": func(t *testing.T, s *Spool, log *fakeLog, cut func()) {
			send(s, &session{log: log, after: func(n int, _ hippad.Frame) error {
				if n == 3 {
					cut()
				}
				if n >= 3 {
					return errLost
				}
				return nil
			}}, Limits{Reports: 4, Window: 2})
		},
		"after the answer, before it is noted": func(t *testing.T, s *Spool, log *fakeLog, cut func()) {
			if err := s.Send(context.Background(), &session{log: log}, Limits{Reports: 4}, func(n uint64, _ int64) {
				if n == 8 {
					cut()
				}
			}); err != nil {
				t.Fatal(err)
			}
		},
		"in the middle of a frame": func(t *testing.T, s *Spool, log *fakeLog, cut func()) {
			if err := s.Send(context.Background(), &session{log: log}, Limits{Reports: 4}, func(n uint64, _ int64) {
				if n == 6 {
					cut()
				}
			}); err != nil {
				t.Fatal(err)
			}
		},
		"after all of it": func(t *testing.T, s *Spool, log *fakeLog, cut func()) {
			if _, err := send(s, &session{log: log}, Limits{}); err != nil {
				t.Fatal(err)
			}
			cut()
			if n, _ := s.Pending(); n != 0 {
				t.Errorf("%d pending", n)
			}
		},
	} {
		for _, unsynced := range []int{0, 50, 100} {
			t.Run(fmt.Sprintf("%s, %d%% of the rest kept", name, unsynced), func(t *testing.T) {
				mem := vfs.NewCrashableMem()
				log := &fakeLog{}
				s := reopen(t, dir, mem)
				add(t, s, want[:7]...)
				add(t, s, want[7:]...)
				stream := s.Stream()
				var left *vfs.MemFS
				crash(t, s, log, func() {
					left = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rand.New(rand.NewPCG(1, uint64(unsynced)))})
				})
				s = reopen(t, dir, left)
				if s.Stream() != stream {
					t.Fatal("another stream")
				}
				if _, err := send(s, &session{log: log}, Limits{}); err != nil {
					t.Fatal(err)
				}
				if got := log.stored(); !slices.Equal(got, want) {
					t.Fatalf("the log has %v", got)
				}
				if first := add(t, s, "next"); first != 21 {
					t.Errorf("the next number is %d", first)
				}
			})
		}
	}
}

// A power cut between setting a report aside and sending the notice, and after sending it.
func TestCrashWithhold(t *testing.T) {
	for _, step := range []string{"before", "after"} {
		mem := vfs.NewCrashableMem()
		log := &fakeLog{}
		s := reopen(t, "/spool", mem)
		add(t, s, "a", "bad b", "c")
		var left *vfs.MemFS
		cut := func(_ int, f hippad.Frame) error {
			if left == nil && len(f.Reports) == 1 && f.First == 2 && bytes.HasPrefix(f.Reports[0].Body, []byte("report 2 of stream")) {
				left = mem.CrashClone(vfs.CrashCloneCfg{})
			}
			if left != nil {
				return errLost
			}
			return nil
		}
		ses := &session{log: log, before: cut}
		if step == "after" {
			ses = &session{log: log, after: cut}
		}
		_, err := send(s, ses, Limits{})
		wantKind(t, err, hippad.Unavailable)
		s = reopen(t, "/spool", left)
		if n, _ := s.Pending(); n != 2 {
			t.Errorf("%s: %d pending", step, n)
		}
		if _, err := send(s, &session{log: log}, Limits{}); err != nil {
			t.Fatal(err)
		}
		aside, err := s.Rejected()
		if err != nil || len(aside) != 1 || string(aside[0].Report.Body) != "bad b" {
			t.Errorf("%s: rejected %v, %v", step, aside, err)
		}
		if got := log.stored(); len(got) != 3 || got[0] != "a" || !strings.HasPrefix(got[1], "report 2 of stream") || got[2] != "c" {
			t.Errorf("%s: the log has %q", step, got)
		}
	}
}

// The disk fails under Add: an error, no hang, and what was added before is there after a restart.
func TestDiskFails(t *testing.T) {
	mem := vfs.NewCrashableMem()
	disk := &failing{FS: mem}
	s, err := open("/spool", disk)
	if err != nil {
		t.Fatal(err)
	}
	add(t, s, "a", "b")
	disk.fail(true)
	_, err = s.Add(reports("c")...)
	wantKind(t, err, hippad.Unavailable)
	_, err = s.Add(reports("d")...)
	wantKind(t, err, hippad.Unavailable)
	s.Close()
	left := mem.CrashClone(vfs.CrashCloneCfg{})
	s = reopen(t, "/spool", left)
	log := &fakeLog{}
	if _, err := send(s, &session{log: log}, Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := log.stored(); len(got) < 2 || !slices.Equal(got[:2], []string{"a", "b"}) || slices.Contains(got, "d") {
		t.Errorf("the log has %v", got)
	}
}

// failing is a disk whose files cannot be synced any more.
type failing struct {
	vfs.FS
	mu  sync.Mutex
	bad bool
}

func (d *failing) fail(v bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = v
}

func (d *failing) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bad {
		return errors.New("input/output error")
	}
	return nil
}

func (d *failing) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &failingFile{f, d}, nil
}

func (d *failing) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.Create(name, c))
}

func (d *failing) ReuseForWrite(o, n string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.ReuseForWrite(o, n, c))
}

func (d *failing) Unwrap() vfs.FS { return d.FS }

type failingFile struct {
	vfs.File
	d *failing
}

func (f *failingFile) Sync() error     { return errors.Join(f.d.err(), f.File.Sync()) }
func (f *failingFile) SyncData() error { return errors.Join(f.d.err(), f.File.SyncData()) }
func (f *failingFile) SyncTo(n int64) (bool, error) {
	full, err := f.File.SyncTo(n)
	return full, errors.Join(f.d.err(), err)
}

// Many goroutines add while one sends: everything is stored once, and each goroutine's reports in their order.
func TestConcurrentAdd(t *testing.T) {
	s := reopen(t, t.TempDir(), vfs.Default)
	log := &fakeLog{}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 25 {
				if _, err := s.Add(reports(fmt.Sprintf("%d %03d", g, i))...); err != nil {
					t.Error(err)
				}
				s.Pending()
				s.Contains(reports("x")[0])
			}
		})
	}
	stop := make(chan struct{})
	sent := make(chan error)
	go func() {
		for {
			select {
			case <-stop:
				sent <- s.Send(context.Background(), &session{log: log}, Limits{Reports: 3}, nil)
				return
			default:
			}
			if err := s.Send(context.Background(), &session{log: log}, Limits{Reports: 3}, nil); err != nil {
				sent <- err
				return
			}
		}
	}()
	wg.Wait()
	close(stop)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	got := log.stored()
	if len(got) != 200 {
		t.Fatalf("%d stored", len(got))
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 200 {
		t.Error("something is stored twice")
	}
}

// Whatever happens in whatever order (connections that die before or after a commit, power cuts, frames of a dead connection
// that reach the log late, reports that are rejected), in the end the log has every report once, in order, with a notice in
// place of each rejected one; these are set aside; and the caller has been told the right place of each of the others.
func TestExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := vfs.NewCrashableMem()
		log := &fakeLog{}
		s, err := open("/spool", mem)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.Close() }()
		var want []string
		told := map[uint64]int64{}
		var late []hippad.Frame // sent in a dead connection and not yet read by the log
		tell := func(n uint64, i int64) {
			if old, ok := told[n]; ok && old != i {
				t.Fatalf("report %d was at %d and is at %d", n, old, i)
			}
			told[n] = i
		}
		limits := func() Limits {
			return Limits{Report: 600, Reports: rapid.IntRange(1, 5).Draw(t, "reports"), Window: rapid.IntRange(1, 4).Draw(t, "window")}
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2: // add
				var bodies []string
				for range rapid.IntRange(1, 8).Draw(t, "n") {
					b := fmt.Sprintf("report %d", len(want)+1)
					switch rapid.IntRange(0, 9).Draw(t, "body") {
					case 0:
						b = "bad " + b
					case 1:
						b += strings.Repeat(" ", 700)
					}
					bodies = append(bodies, b)
					want = append(want, b)
				}
				if _, err := s.Add(reports(bodies...)...); err != nil {
					t.Fatal(err)
				}
			case 3, 4, 5: // send in a connection that dies at some frame
				dies := rapid.IntRange(1, 6).Draw(t, "dies at")
				stored := rapid.Bool().Draw(t, "after the commit")
				ses := &session{log: log}
				ses.before = func(n int, f hippad.Frame) error {
					if n > dies || n == dies && !stored {
						if rapid.Bool().Draw(t, "late") {
							late = append(late, f)
						}
						return errLost
					}
					return nil
				}
				ses.after = func(n int, _ hippad.Frame) error {
					if n >= dies {
						return errLost
					}
					return nil
				}
				if err := s.Send(t.Context(), ses, limits(), tell); err != nil && hippad.KindOf(err) != hippad.Unavailable {
					t.Fatal(err)
				}
			case 6, 7: // power cut
				left := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rapid.SampledFrom([]int{0, 30, 100}).Draw(t, "kept"),
					RNG: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))})
				s.Close()
				mem = left
				if s, err = open("/spool", mem); err != nil {
					t.Fatal(err)
				}
			case 8: // late frames arrive
				for _, f := range late {
					log.commit(f)
				}
				late = nil
			case 9:
				log.other()
			}
		}
		if err := s.Send(t.Context(), &session{log: log}, limits(), tell); err != nil {
			t.Fatal(err)
		}
		for _, f := range late {
			log.commit(f)
		}
		checkExactlyOnce(t, s, log, want, told)
	})
}

func checkExactlyOnce(t *rapid.T, s *Spool, log *fakeLog, want []string, told map[uint64]int64) {
	got := log.stored()
	if len(got) != len(want) {
		t.Fatalf("%d reports added, %d stored", len(want), len(got))
	}
	aside, err := s.Rejected()
	if err != nil {
		t.Fatal(err)
	}
	set := map[uint64]string{}
	for _, r := range aside {
		set[r.Number] = string(r.Report.Body)
	}
	for i, w := range want {
		n := uint64(i + 1)
		if strings.HasPrefix(w, "bad") || len(w) > 600 {
			if !strings.HasPrefix(got[i], fmt.Sprintf("report %d of stream %x was rejected", n, s.Stream())) || set[n] != w {
				t.Fatalf("report %d: the log has %q, set aside is %q", n, got[i], set[n])
			}
			delete(set, n)
			continue
		}
		at, ok := told[n]
		if got[i] != w || !ok || log.bodies[at] != w {
			t.Fatalf("report %d: the log has %q, told %d %v", n, got[i], at, ok)
		}
	}
	if len(set) != 0 {
		t.Fatalf("set aside without need: %v", set)
	}
	if n, size := s.Pending(); n != 0 || size != 0 {
		t.Fatalf("%d pending of %d bytes", n, size)
	}
}

// BenchmarkAdd adds 64 reports of 2 KB at a time, synced.
func BenchmarkAdd(b *testing.B) {
	s := reopen(b, b.TempDir(), vfs.Default)
	all := make([]hippad.Report, 64)
	for i := range all {
		all[i] = hippad.Report{Media: "application/xml", Body: bytes.Repeat([]byte{byte(i)}, 2048)}
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(all) {
		if _, err := s.Add(all...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSend sends a queue of 2 KB reports to a session in memory.
func BenchmarkSend(b *testing.B) {
	s := reopen(b, b.TempDir(), vfs.Default)
	for n := 0; n < b.N; n += 64 {
		if _, err := s.Add(reports(slices.Repeat([]string{strings.Repeat("x", 2048)}, min(64, b.N-n))...)...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := s.Send(context.Background(), &session{log: &fakeLog{}}, Limits{}, nil); err != nil {
		b.Fatal(err)
	}
}
