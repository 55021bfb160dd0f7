package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"hippad/internal/ledger"
)

// Run checks that a store keeps the contract of ledger.Store. Open returns a new, empty store every time; the suite closes
// it. Reopen closes a store and returns it opened again, as after the end of the process.
func Run(t *testing.T, open func(t testing.TB) ledger.Store, reopen func(t testing.TB, s ledger.Store) ledger.Store) {
	tests := []struct {
		name string
		test func(t *testing.T, s ledger.Store, reopen func(testing.TB, ledger.Store) ledger.Store) ledger.Store
	}{
		{"an empty store says so", testEmpty},
		{"what is committed is read back, also after reopening", testCommit},
		{"commit is compare-and-swap", testMoved},
		{"blocks begin with the one that holds from", testBlocks},
		{"hashes are read across rows and tiles", testHashes},
		{"a missing hash is an error", testMissingHash},
		{"a stream has the newest state", testStreams},
		{"a large block is kept", testLarge},
		{"the store keeps nothing of what it was given", testOwnership},
		{"runs are written and read in both directions", testRuns},
		{"runs are written again and dropped", testDrop},
		{"blocks are rewritten, all or none", testRewrite},
		{"blocks are rewritten beside commits", testRewriteBesideCommits},
		{"a run that is written again replaces the old one", testReplace},
		{"iterators can be left early", testEarly},
		{"reads go on while commits and runs are written", testConcurrent},
		{"the end of ctx ends a read", testCancel},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := test.test(t, open(t), reopen)
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// leafHash is the hash of leaf i in the suite's made-up logs.
func leafHash(level int, i int64) tlog.Hash {
	return tlog.RecordHash(fmt.Appendf(nil, "%d %d", level, i))
}

// commit extends a made-up log from prev to size, in blocks of at most 16.
func commit(prev, size int64) ledger.Commit {
	c := ledger.Commit{Prev: prev, Size: size, Checkpoint: fmt.Appendf(nil, "checkpoint %d", size)}
	for first := prev; first < size; first += 16 {
		c.Blocks = append(c.Blocks, ledger.Block{First: first, Value: fmt.Appendf(nil, "block %d to %d", first, min(first+16, size))})
	}
	for level := range 3 {
		from, to := prev>>(8*level), size>>(8*level)
		for first := from; first < to; {
			end := min(to, (first/256+1)*256)
			row := ledger.HashRow{Level: level, First: first}
			for i := first; i < end; i++ {
				row.Hashes = append(row.Hashes, leafHash(level, i))
			}
			c.Hashes = append(c.Hashes, row)
			first = end
		}
	}
	return c
}

func mustCommit(t testing.TB, s ledger.Store, commits ...ledger.Commit) {
	t.Helper()
	for _, c := range commits {
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatalf("commit %d to %d: %v", c.Prev, c.Size, err)
		}
	}
}

func collect[T any](t testing.TB, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func tail(t testing.TB, s ledger.Store) ledger.Tail {
	t.Helper()
	got, err := s.Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func blockNumbers(t testing.TB, s ledger.Store, from, to int64) []int64 {
	t.Helper()
	var out []int64
	for _, b := range collect(t, s.Blocks(t.Context(), from, to)) {
		if !bytes.HasPrefix(b.Value, fmt.Appendf(nil, "block %d to ", b.First)) {
			t.Errorf("block %d has another's value", b.First)
		}
		out = append(out, b.First)
	}
	return out
}

func equal[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

type reopener = func(testing.TB, ledger.Store) ledger.Store

func testEmpty(t *testing.T, s ledger.Store, reopen reopener) ledger.Store {
	for range 2 {
		if got := tail(t, s); got.Size != 0 || len(got.Checkpoint) != 0 {
			t.Errorf("tail %v", got)
		}
		if got := blockNumbers(t, s, 0, math.MaxInt64); len(got) != 0 {
			t.Errorf("blocks %v", got)
		}
		if h, err := s.Hashes(t.Context(), 0, 0, 0); err != nil || len(h) != 0 {
			t.Errorf("no hashes: %v, %v", h, err)
		}
		if state, err := s.Stream(t.Context(), [32]byte{1}); err != nil || state != nil {
			t.Errorf("stream %v, %v", state, err)
		}
		n := len(collect(t, s.Streams(t.Context()))) + len(collect(t, s.Checkpoints(t.Context()))) +
			len(collect(t, s.Runs(t.Context()))) + len(collect(t, s.AllPostings(t.Context()))) +
			len(collect(t, s.Postings(t.Context(), 1, 0, math.MaxInt64, true)))
		if n != 0 {
			t.Errorf("%d things in an empty store", n)
		}
		s = reopen(t, s)
	}
	return s
}

func testCommit(t *testing.T, s ledger.Store, reopen reopener) ledger.Store {
	mustCommit(t, s, commit(0, 1), commit(1, 40), commit(40, 600))
	for range 2 {
		if got := tail(t, s); got.Size != 600 || string(got.Checkpoint) != "checkpoint 600" {
			t.Errorf("tail %d %q", got.Size, got.Checkpoint)
		}
		got := blockNumbers(t, s, 0, math.MaxInt64)
		if len(got) != 1+3+35 || got[1] != 1 || got[2] != 17 {
			t.Errorf("blocks %v", got)
		}
		var sizes []int64
		for _, c := range collect(t, s.Checkpoints(t.Context())) {
			sizes = append(sizes, c.Size)
			if string(c.Checkpoint) != fmt.Sprintf("checkpoint %d", c.Size) {
				t.Errorf("checkpoint of %d: %q", c.Size, c.Checkpoint)
			}
		}
		equal(t, "checkpoints", sizes, []int64{1, 40, 600})
		s = reopen(t, s)
	}
	mustCommit(t, s, commit(600, 601))
	return s
}

func testMoved(t *testing.T, s ledger.Store, _ reopener) ledger.Store {
	mustCommit(t, s, commit(0, 10))
	for _, prev := range []int64{0, 9, 11} {
		if err := s.Commit(t.Context(), commit(prev, 30)); !errors.Is(err, ledger.ErrMoved) {
			t.Errorf("commit at %d: %v", prev, err)
		}
	}
	if got := tail(t, s); got.Size != 10 {
		t.Errorf("tail %d", got.Size)
	}
	equal(t, "blocks", blockNumbers(t, s, 0, 100), []int64{0})
	mustCommit(t, s, commit(10, 30))
	return s
}

func testBlocks(t *testing.T, s ledger.Store, _ reopener) ledger.Store {
	mustCommit(t, s, commit(0, 5), commit(5, 38), commit(38, 39)) // 0, 5, 21, 37, 38
	for _, c := range []struct {
		from, to int64
		want     []int64
	}{
		{0, 1, []int64{0}}, {0, 5, []int64{0}}, {0, 6, []int64{0, 5}}, {4, 6, []int64{0, 5}}, {5, 6, []int64{5}},
		{20, 21, []int64{5}}, {20, 22, []int64{5, 21}}, {37, 38, []int64{37}}, {38, 39, []int64{38}}, {30, 1000, []int64{21, 37, 38}},
		{39, math.MaxInt64, []int64{38}}, {7, 7, nil}, {9, 3, nil},
	} {
		equal(t, fmt.Sprintf("blocks of [%d, %d)", c.from, c.to), blockNumbers(t, s, c.from, c.to), c.want)
	}
	return s
}

func testHashes(t *testing.T, s ledger.Store, reopen reopener) ledger.Store {
	at := int64(0)
	for _, n := range []int64{1, 2, 100, 152, 1, 255, 1, 600, 66000} {
		mustCommit(t, s, commit(at, at+n))
		at += n
	}
	s = reopen(t, s)
	for level := range 3 {
		n := at >> (8 * level)
		for _, c := range [][2]int64{{0, n}, {0, min(1, n)}, {n - 1, n}, {n / 2, n/2 + min(n-n/2, 300)}, {n, n}, {min(n, 255), min(n, 257)}, {min(n, 2), min(n, 4)}} {
			got, err := s.Hashes(t.Context(), level, c[0], c[1])
			if err != nil {
				t.Fatalf("level %d %v: %v", level, c, err)
			}
			if int64(len(got)) != c[1]-c[0] {
				t.Fatalf("level %d %v: %d hashes", level, c, len(got))
			}
			for i, h := range got {
				if h != leafHash(level, c[0]+int64(i)) {
					t.Fatalf("level %d %v: hash %d is another", level, c, i)
				}
			}
		}
	}
	return s
}

func testMissingHash(t *testing.T, s ledger.Store, _ reopener) ledger.Store {
	mustCommit(t, s, commit(0, 300))
	for _, c := range []struct {
		level    int
		from, to int64
	}{{0, 299, 301}, {0, 300, 301}, {0, 1000, 1001}, {1, 0, 2}, {1, 1, 2}, {2, 0, 1}, {7, 0, 1}} {
		if got, err := s.Hashes(t.Context(), c.level, c.from, c.to); err == nil {
			t.Errorf("%v: no error and %d hashes", c, len(got))
		}
	}
	return s
}

func testStreams(t *testing.T, s ledger.Store, reopen reopener) ledger.Store {
	a, b := [32]byte{1}, [32]byte{0xff, 31: 0xff}
	c := commit(0, 1)
	c.Streams = []ledger.StreamState{{Key: a, State: []byte("a1")}, {Key: b, State: []byte("b1")}}
	mustCommit(t, s, c)
	c = commit(1, 2)
	c.Streams = []ledger.StreamState{{Key: a, State: []byte("a2")}}
	mustCommit(t, s, c)
	c = commit(1, 2)
	c.Streams = []ledger.StreamState{{Key: b, State: []byte("lost")}}
	if err := s.Commit(t.Context(), c); !errors.Is(err, ledger.ErrMoved) {
		t.Fatal(err)
	}
	for range 2 {
		for key, want := range map[[32]byte]string{a: "a2", b: "b1"} {
			if got, err := s.Stream(t.Context(), key); err != nil || string(got) != want {
				t.Errorf("stream %x: %q, %v", key[:1], got, err)
			}
		}
		got := map[[32]byte]string{}
		for _, x := range collect(t, s.Streams(t.Context())) {
			got[x.Key] = string(x.State)
		}
		if len(got) != 2 || got[a] != "a2" || got[b] != "b1" {
			t.Errorf("streams %v", got)
		}
		s = reopen(t, s)
	}
	return s
}

func testLarge(t *testing.T, s ledger.Store, reopen reopener) ledger.Store {
	large := make([]byte, 24<<20)
	for i := range large {
		large[i] = byte(i * i >> 7)
	}
	c := commit(0, 1)
	c.Blocks[0].Value = large
	mustCommit(t, s, c, commit(1, 2))
	s = reopen(t, s)
	for _, b := range collect(t, s.Blocks(t.Context(), 0, 1)) {
		if !bytes.Equal(b.Value, large) {
			t.Error("the large block came back changed")
		}
	}
	return s
}

func testOwnership(t *testing.T, s ledger.Store, _ reopener) ledger.Store {
	c := commit(0, 20)
	c.Streams = []ledger.StreamState{{Key: [32]byte{1}, State: []byte("state")}}
	mustCommit(t, s, c)
	for _, b := range c.Blocks {
		clear(b.Value)
	}
	clear(c.Hashes[0].Hashes)
	clear(c.Checkpoint)
	clear(c.Streams[0].State)
	equal(t, "blocks", blockNumbers(t, s, 0, 20), []int64{0, 16})
	if h, err := s.Hashes(t.Context(), 0, 3, 4); err != nil || h[0] != leafHash(0, 3) {
		t.Errorf("hash: %v", err)
	}
	for range 2 {
		got := tail(t, s)
		state, err := s.Stream(t.Context(), [32]byte{1})
		if string(got.Checkpoint) != "checkpoint 20" || err != nil || string(state) != "state" {
			t.Errorf("%q, %q, %v", got.Checkpoint, state, err)
		}
		clear(got.Checkpoint)
		clear(state)
		for _, b := range collect(t, s.Blocks(t.Context(), 0, 20)) {
			clear(b.Value)
		}
	}
	equal(t, "blocks", blockNumbers(t, s, 0, 20), []int64{0, 16})
	return s
}

// run returns a made-up run with the terms t·1000 for t in [0, terms) that its number divides or that are odd.
func run(number int64, terms uint64, generation string) ledger.Run {
	return ledger.Run{Number: number, Marker: fmt.Appendf(nil, "marker %d %s", number, generation), Postings: func(yield func(uint64, []byte) bool) {
		var value []byte
		for t := range terms {
			if t%2 == 1 || int64(t)%(number+1) == 0 {
				value = append(binary.AppendUvarint(value[:0], t), generation...)
				if !yield(t<<40|t, value) {
					return
				}
			}
		}
	}}
}

func testRuns(t *testing.T, s ledger.Store, reopen reopener) ledger.Store {
	mustCommit(t, s, commit(0, 1))
	const runs, terms = 20, 50
	for n := range int64(runs) {
		if err := s.WriteRun(t.Context(), run(n, terms, "x")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i, r := range collect(t, s.Runs(t.Context())) {
			if r.Number != int64(i) || string(r.Marker) != fmt.Sprintf("marker %d x", i) {
				t.Errorf("run %d: %d %q", i, r.Number, r.Marker)
			}
		}
		total := 0
		for term := range uint64(terms) {
			for _, c := range [][2]int64{{0, runs}, {3, 9}, {0, math.MaxInt64}, {19, 20}, {7, 7}, {5, 3}, {-5, 2}} {
				var want []int64
				for n := max(c[0], 0); n < min(c[1], runs); n++ {
					if term%2 == 1 || int64(term)%(n+1) == 0 {
						want = append(want, n)
					}
				}
				for _, descending := range []bool{false, true} {
					var got []int64
					for _, p := range collect(t, s.Postings(t.Context(), term<<40|term, c[0], c[1], descending)) {
						got = append(got, p.Run)
						if v, _ := binary.Uvarint(p.Value); v != term || p.Term != term<<40|term {
							t.Errorf("term %d in run %d has another's value", term, p.Run)
						}
					}
					if descending {
						slices.Reverse(got)
					}
					equal(t, fmt.Sprintf("term %d in %v", term, c), got, want)
				}
				if c == [2]int64{0, runs} {
					total += len(want)
				}
			}
			if got := collect(t, s.Postings(t.Context(), term<<40|term+1<<30, 0, runs, true)); len(got) != 0 {
				t.Errorf("a term that is nowhere: %v", got)
			}
		}
		var last ledger.Posting
		n := 0
		for p, err := range s.AllPostings(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n > 1 && (p.Term < last.Term || p.Term == last.Term && p.Run <= last.Run) {
				t.Errorf("posting %x %d after %x %d", p.Term, p.Run, last.Term, last.Run)
			}
			last = ledger.Posting{Term: p.Term, Run: p.Run}
		}
		if n != total {
			t.Errorf("%d postings, want %d", n, total)
		}
		mustCommit(t, s, commit(tail(t, s).Size, tail(t, s).Size+1)) // a commit that survives takes the runs before it along
		s = reopen(t, s)
	}
	return s
}

func testDrop(t *testing.T, s ledger.Store, reopen reopener) ledger.Store {
	mustCommit(t, s, commit(0, 1))
	write := func(generation string) {
		t.Helper()
		for n := range int64(3) {
			if err := s.WriteRun(t.Context(), run(n, 10, generation)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("x")
	write("x")
	if got := len(collect(t, s.Runs(t.Context()))); got != 3 {
		t.Errorf("%d runs", got)
	}
	if err := s.DropRuns(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, commit(1, 2))
	s = reopen(t, s)
	if n := len(collect(t, s.Runs(t.Context()))) + len(collect(t, s.AllPostings(t.Context()))); n != 0 {
		t.Errorf("%d things left of the index", n)
	}
	write("y")
	mustCommit(t, s, commit(2, 3))
	s = reopen(t, s)
	for _, r := range collect(t, s.Runs(t.Context())) {
		if !bytes.HasSuffix(r.Marker, []byte("y")) {
			t.Errorf("marker %q", r.Marker)
		}
	}
	for p, err := range s.AllPostings(t.Context()) {
		if err != nil || !bytes.HasSuffix(p.Value, []byte("y")) {
			t.Errorf("posting %q, %v", p.Value, err)
		}
	}
	return s
}

func testEarly(t *testing.T, s ledger.Store, _ reopener) ledger.Store {
	mustCommit(t, s, commit(0, 100))
	for n := range int64(3) {
		if err := s.WriteRun(t.Context(), run(n, 10, "x")); err != nil {
			t.Fatal(err)
		}
	}
	for range s.Blocks(t.Context(), 0, 100) {
		break
	}
	for range s.Checkpoints(t.Context()) {
		break
	}
	for range s.Runs(t.Context()) {
		break
	}
	for range s.Postings(t.Context(), 1<<40|1, 0, 3, true) {
		break
	}
	for range s.AllPostings(t.Context()) {
		break
	}
	for range s.Streams(t.Context()) {
		break
	}
	return s
}

func testConcurrent(t *testing.T, s ledger.Store, _ reopener) ledger.Store {
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				size := tail(t, s).Size
				if size == 0 {
					continue
				}
				if got, err := s.Hashes(t.Context(), 0, 0, size); err != nil || got[size-1] != leafHash(0, size-1) {
					t.Errorf("hashes of %d: %v", size, err)
				}
				if got := blockNumbers(t, s, 0, size); got[0] != 0 {
					t.Errorf("blocks %v", got)
				}
				runs := collect(t, s.Runs(t.Context()))
				if got := collect(t, s.Postings(t.Context(), 1<<40|1, 0, int64(len(runs)), false)); len(got) != len(runs) {
					t.Errorf("%d postings in %d runs", len(got), len(runs))
				}
			}
		})
	}
	wg.Go(func() {
		for n := range int64(10) {
			if err := s.WriteRun(t.Context(), run(n, 30, "x")); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range int64(60) {
		mustCommit(t, s, commit(i*7, i*7+7))
	}
	close(stop)
	wg.Wait()
	return s
}

func testCancel(t *testing.T, s ledger.Store, _ reopener) ledger.Store {
	mustCommit(t, s, commit(0, 100))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range s.Blocks(ctx, 0, 100) {
		n++
		last = err
		cancel()
	}
	if n > 2 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d steps, %v", n, last)
	}
	return s
}
