package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/storetest"
)

// scanned is what the naive search knows of an entry.
type scanned struct {
	terms []string
	when  time.Time
}

// matches is the naive search.
func (s scanned) matches(index int64, terms [][]string, f ledger.Find) bool {
	switch {
	case f.After != nil && index <= *f.After, f.Before != nil && index >= *f.Before,
		!f.From.IsZero() && s.when.Before(f.From), !f.To.IsZero() && !s.when.Before(f.To):
		return false
	}
	for _, any := range terms {
		if !slices.ContainsFunc(any, func(t string) bool { return slices.Contains(s.terms, t) }) {
			return false
		}
	}
	return true
}

var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// randomBody has words of very different frequency, and most times an event time that mostly follows the log.
func randomBody(r *rand.Rand, i int) string {
	words := []string{fmt.Sprintf("only%d", i)}
	for _, n := range []int{1, 2, 7, 40, 300} {
		words = append(words, fmt.Sprintf("w%d.%d", n, r.IntN(n)))
	}
	if r.IntN(200) == 0 {
		words = append(words, "rare", "rare")
	}
	if i > 400 && i < 440 {
		words = append(words, "cluster")
	}
	at := epoch.Add(time.Duration(i)*time.Second + time.Duration(r.IntN(20000))*time.Millisecond)
	switch r.IntN(30) {
	case 0: // a sender that was away
		at = at.Add(-time.Hour)
	case 1: // a sender that does not say when: see below, such a word is no time
		return strings.Join(words, " ") + "\nbody"
	}
	return fmt.Sprintf("@%d %s\nbody", at.UnixMicro(), strings.Join(words, " "))
}

// checkFind compares random searches with the naive one: nothing that matches is missing, the order is right, everything in
// addition is inside the bounds of position and has the terms.
func checkFind(t testing.TB, l *ledger.Ledger, r *rand.Rand, rounds int) {
	t.Helper()
	var log []scanned
	for e, err := range l.Entries(t.Context(), 0, l.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		asked := e
		asked.Index, asked.Received = 0, time.Time{}
		s := scanned{when: indexed(asked).When}
		if s.when.IsZero() {
			s.when = e.Received
		}
		line, _, _ := strings.Cut(string(e.Body), "\n")
		s.terms = strings.Fields(line)
		log = append(log, s)
	}
	size := int64(len(log))
	for range rounds {
		f := ledger.Find{Ascending: r.IntN(2) == 0}
		var terms [][]string
		for range r.IntN(4) {
			var any []string
			for range 1 + r.IntN(3) {
				n := []int{1, 2, 7, 40, 300}[r.IntN(5)]
				word := fmt.Sprintf("w%d.%d", n, r.IntN(n))
				switch r.IntN(8) {
				case 0:
					word = "rare"
				case 1:
					word = "cluster"
				case 2:
					word = fmt.Sprintf("only%d", r.Int64N(size+1))
				case 3:
					word = "nowhere"
				}
				any = append(any, word)
			}
			terms = append(terms, any)
			var hashed []uint64
			for _, w := range any {
				hashed = append(hashed, term(w))
			}
			f.Terms = append(f.Terms, hashed)
		}
		if r.IntN(3) == 0 {
			f.From = epoch.Add(time.Duration(r.Int64N(size+1)) * time.Second)
		}
		if r.IntN(3) == 0 {
			f.To = epoch.Add(time.Duration(r.Int64N(size+1))*time.Second + time.Duration(r.IntN(2000)))
		}
		if r.IntN(3) == 0 {
			n := r.Int64N(size+4) - 2
			f.After = &n
		}
		if r.IntN(3) == 0 {
			n := r.Int64N(size+4) - 2
			f.Before = &n
		}
		got := find(t, l, f)
		if !slices.IsSortedFunc(got, func(a, b int64) int {
			if f.Ascending {
				return int(a - b)
			}
			return int(b - a)
		}) {
			t.Fatalf("%v: out of order: %v", f, got)
		}
		loose := f
		loose.From, loose.To = time.Time{}, time.Time{}
		found := make(map[int64]bool)
		for _, i := range got {
			if found[i] || i < 0 || i >= size || !log[i].matches(i, terms, loose) {
				t.Fatalf("%v: position %d is twice or wrong", terms, i)
			}
			found[i] = true
		}
		for i, s := range log {
			if s.matches(int64(i), terms, f) && !found[int64(i)] {
				t.Fatalf("%v from %v to %v: position %d is missing", terms, f.From, f.To, i)
			}
		}
	}
}

func fill(t testing.TB, l *ledger.Ledger, r *rand.Rand, n int) {
	t.Helper()
	for at := int(l.Size()); n > 0; {
		count := min(n, 1+r.IntN(50))
		var frame []string
		for range count {
			frame = append(frame, randomBody(r, at))
			at++
		}
		record(t, l, ledger.Stream{}, frame...)
		n -= count
	}
}

func TestFindIsANaiveScan(t *testing.T) {
	stores := map[string]func() ledger.Store{
		"memory": func() ledger.Store { return storetest.NewMemory(nil) },
		"local": func() ledger.Store {
			s, err := localstore.Open(t.TempDir(), localstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		},
	}
	for name, store := range stores {
		for _, length := range []int{1, 32, 100, 1500, ledger.DefaultRunLength} {
			t.Run(fmt.Sprintf("%s run=%d", name, length), func(t *testing.T) {
				r := rand.New(rand.NewPCG(7, uint64(length)))
				s := store()
				o := small()
				o.RunLength = length
				n := 3000
				if length == 1 {
					n = 300
				}
				l := open(t, s, o)
				fill(t, l, r, n)
				checkFind(t, l, r, 300)
				audit(t, s, o)
				l.Close(t.Context())
				l = open(t, s, o) // from the stored runs and the tail that is read again
				checkFind(t, l, r, 300)
				fill(t, l, r, 77)
				checkFind(t, l, r, 100)
				l.Close(t.Context())
				o.RunLength = length + 13 // all runs are of another length now
				l = open(t, s, o)
				checkFind(t, l, r, 100)
				audit(t, s, o)
				l.Close(t.Context())
			})
		}
	}
}

func TestFindReadsNoMoreThanItMust(t *testing.T) {
	store := storetest.NewMemory(nil)
	l := open(t, store, small())
	for i := range 40 {
		record(t, l, ledger.Stream{}, slices.Repeat([]string{fmt.Sprintf("@%d all half%d\n", i, i%2)}, 32)...)
	}
	l.Close(t.Context())
	l = open(t, store, small())
	n := 0
	for i, err := range l.Find(t.Context(), ledger.Find{Terms: [][]uint64{{term("all")}, {term("half0")}}}) {
		if n++; err != nil || i != int64(39*32-n) {
			t.Fatalf("%d: %d, %v", n, i, err)
		}
		if n == 10 {
			break
		}
	}
	if got := find(t, l, ledger.Find{Terms: [][]uint64{{}}}); len(got) != 0 {
		t.Errorf("a group without terms is met by %d", len(got))
	}
}

func TestFindDuringWrites(t *testing.T) {
	store, err := localstore.Open(t.TempDir(), localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() }) // after the ledger, which open closes
	l := open(t, store, small())
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				size := l.Size()
				for _, f := range []ledger.Find{{Terms: [][]uint64{{term("all")}}}, {}, {Ascending: true, Terms: [][]uint64{{term("even"), term("odd")}}}} {
					n := int64(0)
					for _, err := range l.Find(t.Context(), f) {
						if err != nil {
							t.Error(err)
							return
						}
						n++
					}
					if n < size {
						t.Errorf("found %d of %d", n, size)
						return
					}
				}
			}
		})
	}
	for i := range 150 {
		record(t, l, ledger.Stream{}, fmt.Sprintf("all even\n%d", i), "all odd\n", "all even\n", "all odd\n", "all even\n", "all odd\n", "all even\n")
	}
	close(done)
	wg.Wait()
	audit(t, store, small())
}

func TestRebuild(t *testing.T) {
	store := storetest.NewMemory(nil)
	o := small()
	l := open(t, store, o)
	r := rand.New(rand.NewPCG(3, 4))
	fill(t, l, r, 1000)
	l.Close(t.Context())
	open(t, store, o).Close(t.Context()) // writes what the first had not written yet
	want := store.State()
	for name, change := range map[string]func(*storetest.State, *ledger.Options){
		"no index": func(s *storetest.State, _ *ledger.Options) { clear(s.Markers); clear(s.Postings) },
		"one run is missing": func(s *storetest.State, _ *ledger.Options) {
			delete(s.Markers, 5)
			for k := range s.Postings {
				if k.Run == 5 {
					delete(s.Postings, k)
				}
			}
		},
		"a marker of another format": func(s *storetest.State, _ *ledger.Options) { s.Markers[7] = []byte{9, 9} },
		"a run beyond the end":       func(s *storetest.State, _ *ledger.Options) { s.Markers[70] = s.Markers[7] },
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			state := want.Clone()
			change(&state, &o)
			s := storetest.NewMemory(&state)
			last := int64(-1)
			o.Progress = func(done, total int64) {
				if done > total || done < last {
					t.Errorf("%d of %d after %d", done, total, last)
				}
				last = done
			}
			l := open(t, s, o)
			checkFind(t, l, r, 50)
			l.Close(t.Context())
			got := s.State()
			if len(got.Postings) != len(want.Postings) || len(got.Markers) != len(want.Markers) {
				t.Fatalf("%d postings in %d runs, want %d in %d", len(got.Postings), len(got.Markers), len(want.Postings), len(want.Markers))
			}
			for k, v := range want.Postings {
				if !slices.Equal(v, got.Postings[k]) {
					t.Fatalf("posting %v differs", k)
				}
			}
			if last < 1000%32 {
				t.Errorf("progress ended at %d", last)
			}
		})
	}
	t.Run("another version of the terms", func(t *testing.T) {
		s := storetest.NewMemory(&want)
		o := o
		o.TermsVersion = 2
		audit(t, s, o) // the stored runs are of another version: no fault, they will be built again
		l := open(t, s, o)
		checkFind(t, l, r, 50)
		l.Close(t.Context())
		audit(t, s, o)
		if slices.Equal(s.State().Markers[0], want.Markers[0]) {
			t.Error("the runs were not built again")
		}
	})
}
