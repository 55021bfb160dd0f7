package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/storetest"
)

// keepOdd holds the entries with an odd index.
func keepOdd(e hippad.Entry) bool { return e.Index%2 == 1 }

// months fills a log with frames of 7 entries of two classes, a month after every so many frames. Entry i has the words all,
// w(i mod 5) and only(i).
func months(t testing.TB, l *ledger.Ledger, v *vault, months, frames int) (bodies []string) {
	t.Helper()
	n := 0
	for month := range months {
		v.set(func(v *vault) { v.month = month })
		for f := range frames {
			var frame []string
			for range 7 {
				frame = append(frame, fmt.Sprintf("@%d all class=c%d w%d only%d\nbody of %d", n*1000, f%2, n%5, n, n))
				n++
			}
			record(t, l, ledger.Stream{}, frame...)
			bodies = append(bodies, frame...)
		}
	}
	return bodies
}

func mustPurge(t testing.TB, l *ledger.Ledger, p ledger.Purge) ledger.Purged {
	t.Helper()
	got, err := l.Purge(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPurge(t *testing.T) {
	v := newVault()
	store := storetest.NewMemory(nil)
	l := open(t, store, v.options())
	want := months(t, l, v, 3, 40) // 840 entries, 280 a month
	var receipts []hippad.Receipt
	for i := range want {
		r, err := l.Receipt(t.Context(), int64(i))
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	leaves, err := l.Leaves(t.Context(), 0, l.Size())
	if err != nil {
		t.Fatal(err)
	}
	checkpoint := l.Checkpoint()
	key := v.key("c0", 1)
	last := int64(0)
	p := ledger.Purge{Keys: []uint32{key, 999}, Keep: keepOdd, KeepClass: "hold", Progress: func(done, total int64) {
		if done < last || done > total {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	}}
	got := mustPurge(t, l, p)
	gone := func(i int) bool { return i/280 == 1 && i/7%2 == 0 && i%2 == 0 }
	n := 0
	for i := range want {
		if gone(i) {
			n++
		}
	}
	if got.Destroyed != int64(n) || got.Kept != 140-int64(n) || len(got.Ranges) != n || got.Ranges[0] != (hippad.Range{First: 280, Count: 1}) || last == 0 {
		t.Errorf("%d destroyed, %d kept, %d ranges, progress %d", got.Destroyed, got.Kept, len(got.Ranges), last)
	}
	v.destroy(key) // what is kept does not need it
	check := func() {
		t.Helper()
		for i, e := range all(t, l) {
			if e.Destroyed != gone(i) || !e.Destroyed && (string(e.Body) != want[i] || e.Reporter != reporter) {
				t.Fatalf("entry %d: destroyed %v", i, e.Destroyed)
			}
			if found := find(t, l, ledger.Find{Terms: [][]uint64{{term(fmt.Sprintf("only%d", i))}}}); (len(found) == 0) != gone(i) {
				t.Errorf("entry %d is found at %v", i, found)
			}
			verifyReceipt(t, receipts[i], int64(i), []byte(want[i]))
			checkReceiptOf(t, l, int64(i), []byte(want[i]))
		}
		now, err := l.Leaves(t.Context(), 0, l.Size())
		if err != nil || !reflect.DeepEqual(now, leaves) || string(l.Checkpoint()) != string(checkpoint) {
			t.Error("the leaves or the checkpoint changed", err)
		}
		if again := mustPurge(t, l, p); !reflect.DeepEqual(again, got) {
			t.Errorf("purged again: %d destroyed, %d kept", again.Destroyed, again.Kept)
		}
		a := audit(t, store, v.options())
		if a.Destroyed != got.Destroyed || len(a.Gone) != len(got.Ranges) || a.NotLookedAt != 0 {
			t.Errorf("audit: %d destroyed in %d ranges", a.Destroyed, len(a.Gone))
		}
		for i, g := range a.Gone {
			if g.Range != got.Ranges[i] || g.Key != key {
				t.Errorf("audit: %v", g)
			}
		}
	}
	check()
	// By date a destroyed entry is found as of its receipt: here, where every event was in 1970, only they are. Those whose
	// terms are in memory follow when the log is opened again.
	began := all(t, l)[0].Received
	if found := find(t, l, ledger.Find{From: began}); len(found) == 0 || !slices.Contains(found, 280) {
		t.Errorf("%d destroyed entries are found by date", len(found))
	}
	l.Close(t.Context())
	l = open(t, store, v.options())
	check()
	for k := range store.State().Postings {
		for i := range want {
			if gone(i) && k.Term == term(fmt.Sprintf("only%d", i)) {
				t.Fatalf("the index still has the terms of entry %d", i)
			}
		}
	}
	// What was held can end later.
	hold := v.key("hold", 2)
	if got := mustPurge(t, l, ledger.Purge{Keys: []uint32{hold}}); got.Destroyed != 140-int64(n) || got.Kept != 0 {
		t.Errorf("the hold: %+v", got)
	}
	if got := mustPurge(t, l, ledger.Purge{Keys: []uint32{hold, key}}); got.Destroyed != 140 || len(got.Ranges) != 20 {
		t.Errorf("both keys: %d in %d ranges", got.Destroyed, len(got.Ranges))
	}
	v.destroy(hold)
	if a := audit(t, store, v.options()); a.Destroyed != 140 || a.Gone[0].Key != key || a.Gone[1].Key != hold {
		t.Errorf("audit: %d, %v", a.Destroyed, a.Gone[:2])
	}
}

func TestPurgeReadsItsSpanOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault()
		memory := storetest.NewMemory(nil)
		reads := map[int64]int{}
		counting := false
		store := &watched{Store: memory, block: func(first int64) {
			if counting {
				reads[first]++
			}
		}}
		o := v.options()
		o.RunLength = 1 << 16
		l := open(t, store, o)
		began := time.Now()
		for range 500 {
			record(t, l, ledger.Stream{}, "all\n", "all\n")
			time.Sleep(time.Hour)
		}
		counting = true
		p := ledger.Purge{Keys: []uint32{v.key("default", 0)}, From: began.Add(200 * time.Hour), To: began.Add(210 * time.Hour)}
		got := mustPurge(t, l, p)
		if got.Destroyed != 20 || !slices.Equal(got.Ranges, ranges(400, 20)) {
			t.Errorf("%+v", got)
		}
		if len(reads) > 10+2*10 {
			t.Errorf("%d blocks of 500 were read", len(reads))
		}
		for _, p := range []ledger.Purge{
			{Keys: p.Keys, To: began},
			{Keys: p.Keys, From: began.Add(500 * time.Hour)},
			{Keys: p.Keys, From: p.To, To: p.From},
			{From: p.From, To: p.To},
			{Keys: []uint32{77}},
		} {
			if got := mustPurge(t, l, p); got.Destroyed != 0 || got.Kept != 0 || got.Ranges != nil {
				t.Errorf("%+v: %+v", p, got)
			}
		}
		l.Close(t.Context())
	})
}

func TestPurgeRefuses(t *testing.T) {
	v := newVault()
	store := storetest.NewMemory(nil)
	l := open(t, store, v.options())
	want := months(t, l, v, 1, 10)
	before := store.State()
	c0, hold := v.key("c0", 0), v.key("hold", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		p      ledger.Purge
		change func(*vault)
		kind   hippad.Kind
	}{
		"key 0":                      {t.Context(), ledger.Purge{Keys: []uint32{0}}, nil, hippad.Invalid},
		"kept under a key that ends": {t.Context(), ledger.Purge{Keys: []uint32{c0, hold}, Keep: keepOdd, KeepClass: "hold"}, nil, hippad.Invalid},
		"no key for what is kept": {t.Context(), ledger.Purge{Keys: []uint32{c0}, Keep: keepOdd, KeepClass: "hold"},
			func(v *vault) { v.fail = errors.New("away") }, hippad.Unavailable},
		"a key that is lost": {t.Context(), ledger.Purge{Keys: []uint32{c0}, Keep: keepOdd, KeepClass: "hold"},
			func(v *vault) { v.lost[c0] = true }, hippad.Unavailable},
		"the end of ctx": {ctx, ledger.Purge{Keys: []uint32{c0}}, nil, hippad.Internal},
	} {
		if c.change != nil {
			v.set(c.change)
		}
		if _, err := l.Purge(c.ctx, c.p); err == nil || hippad.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
		v.set(func(v *vault) { v.fail = nil; clear(v.lost) })
		if got := bodies(t, l); !slices.Equal(got, want) || !reflect.DeepEqual(store.State().Blocks, before.Blocks) {
			t.Errorf("%s: something was changed", name)
		}
	}
	l.Close(t.Context())
	if _, err := l.Purge(t.Context(), ledger.Purge{Keys: []uint32{c0}}); hippad.KindOf(err) != hippad.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}

// What is destroyed while its terms are in memory only must not come into the store with the run.
func TestPurgeOfEntriesWhoseRunIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault()
		store := storetest.NewMemory(nil)
		l := open(t, store, v.options())
		// One segment is full and waits for a store that does not take it, another one is growing.
		store.FailNext(storetest.OpWriteRun, storetest.NotStored, 3, nil)
		months(t, l, v, 1, 6)
		synctest.Wait()
		if len(store.State().Markers) != 0 {
			t.Fatal("the run is written already")
		}
		p := ledger.Purge{Keys: []uint32{v.key("c0", 0)}, Keep: func(e hippad.Entry) bool { return e.Index%7 == 0 }, KeepClass: "hold"}
		if got := mustPurge(t, l, p); got.Destroyed != 18 {
			t.Errorf("%+v", got)
		}
		v.destroy(p.Keys...)
		if found := find(t, l, ledger.Find{Terms: [][]uint64{{term("only15")}}}); len(found) != 0 {
			t.Errorf("found %v in memory", found)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		months(t, l, v, 1, 6)
		synctest.Wait()
		state := store.State()
		if len(state.Markers) != 2 {
			t.Fatalf("%d runs", len(state.Markers))
		}
		for i := range 42 {
			run := int64(i / 32)
			_, ok := state.Postings[storetest.PostingKey{Term: term(fmt.Sprintf("only%d", i)), Run: run}]
			if gone := i/7%2 == 0 && i%7 != 0; ok == gone {
				t.Errorf("entry %d: in the stored index %v", i, ok)
			}
		}
		l.Close(t.Context())
		audit(t, store, v.options())
		open(t, store, v.options()).Close(t.Context())
		audit(t, store, v.options())
	})
}

// A reader that has read a block before its key was destroyed finds what was kept where it is now.
func TestReaderThatIsOvertakenByAPurge(t *testing.T) {
	v := newVault()
	memory := storetest.NewMemory(nil)
	var overtake func()
	store := &watched{Store: memory}
	l := open(t, store, v.options())
	months(t, l, v, 1, 1)
	key := v.key("c0", 0)
	overtake = func() {
		overtake = nil
		mustPurge(t, l, ledger.Purge{Keys: []uint32{key}, Keep: keepOdd, KeepClass: "hold"})
		v.destroy(key)
	}
	store.block = func(int64) {
		if overtake != nil {
			overtake() // the block has been read, and is not decoded yet
		}
	}
	for i, e := range all(t, l) {
		if e.Destroyed != (i%2 == 0) || !e.Destroyed && !strings.HasSuffix(string(e.Body), fmt.Sprintf("body of %d", i)) {
			t.Errorf("entry %d: destroyed %v", i, e.Destroyed)
		}
	}
}

func TestPurgeBesideEverythingElse(t *testing.T) {
	stores := map[string]func() ledger.Store{
		"memory": func() ledger.Store { return storetest.NewMemory(nil) },
		"disk": func() ledger.Store {
			s, err := localstore.Open(t.TempDir(), localstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		},
	}
	for name, make := range stores {
		t.Run(name, func(t *testing.T) {
			v := newVault()
			store := make()
			l := open(t, store, v.options())
			want := months(t, l, v, 6, 20) // 840 entries
			v.set(func(v *vault) { v.month = 7 })
			stop := newStop()
			var wg sync.WaitGroup
			wg.Go(func() { besideAppend(t, l, stop) })
			for range 2 {
				wg.Go(func() { besideRead(t, l, want, stop) })
			}
			for month := range 6 {
				keys := []uint32{v.key("c0", month), v.key("c1", month)}
				p := ledger.Purge{Keys: keys, Keep: func(e hippad.Entry) bool { return e.Index%3 == 0 }, KeepClass: "hold"}
				var both sync.WaitGroup
				for range 2 { // a purge beside a purge waits
					both.Go(func() {
						if got, err := l.Purge(t.Context(), p); err != nil || got.Destroyed+got.Kept != 140 {
							t.Errorf("%+v, %v", got, err)
						}
					})
				}
				both.Wait()
				v.destroy(keys...)
			}
			stop.now()
			wg.Wait()
			for i, e := range all(t, l)[:len(want)] {
				if e.Destroyed != (i%3 != 0) || !e.Destroyed && string(e.Body) != want[i] {
					t.Errorf("entry %d: destroyed %v", i, e.Destroyed)
				}
			}
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := audit(t, store, v.options()); got.Destroyed != 560 {
				t.Errorf("audit: %d destroyed", got.Destroyed)
			}
		})
	}
}

// stopper ends goroutines, not before each of them has gone round.
type stopper struct {
	c    chan struct{}
	once sync.WaitGroup
}

func newStop() *stopper {
	s := &stopper{c: make(chan struct{})}
	s.once.Add(3)
	return s
}

func (s *stopper) now() {
	s.once.Wait()
	close(s.c)
}

// rounds calls f until the end, and at least once.
func (s *stopper) rounds(f func(i int)) {
	for i := 0; ; i++ {
		f(i)
		if i == 0 {
			s.once.Done()
		}
		select {
		case <-s.c:
			return
		default:
		}
	}
}

func besideAppend(t *testing.T, l *ledger.Ledger, stop *stopper) {
	stop.rounds(func(i int) {
		if _, err := tryRecord(t.Context(), l, ledger.Stream{}, entries(fmt.Sprintf("all class=c%d late\n%d", i%2, i), "all late\n")); err != nil {
			t.Error(err)
		}
	})
}

// besideRead reads and searches: what it sees is whole or destroyed, and of what is to be kept nothing is missing.
func besideRead(t *testing.T, l *ledger.Ledger, want []string, stop *stopper) {
	stop.rounds(func(int) {
		i := 0
		for e, err := range l.Entries(t.Context(), 0, int64(len(want))) {
			if err != nil {
				t.Error(err)
				return
			}
			if e.Destroyed && (i%3 == 0 || e.Body != nil) || !e.Destroyed && string(e.Body) != want[i] {
				t.Errorf("entry %d: destroyed %v", i, e.Destroyed)
			}
			i++
		}
		kept := 0
		for at, err := range l.Find(t.Context(), ledger.Find{Terms: [][]uint64{{term("all")}}}) {
			if err != nil {
				t.Error(err)
				return
			}
			if at < int64(len(want)) && at%3 == 0 {
				kept++
			}
		}
		if kept != len(want)/3 {
			t.Errorf("%d of what is kept is found", kept)
		}
	})
}
