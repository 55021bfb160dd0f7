package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"hippad"
)

// The fault table: the power goes at every step of the life of a report. disk is what a power cut would leave behind.
// In each row nothing that Add has returned for is missing from the log in the end, and nothing is there twice.
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

// Whatever happens in whatever order (connections that die before or after a commit, power cuts, frames of a dead
// connection that reach the log late, reports that are rejected), in the end the log has every report once, in order,
// with a notice in place of each rejected one; these are set aside; and the caller has been told the right place of
// each of the others.
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
