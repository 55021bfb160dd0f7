package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
)

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

// A report that the log will not take is replaced by a notice; what comes after it gets through, and nothing more than
// it is set aside.
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
