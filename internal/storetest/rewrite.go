package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"hippad/internal/ledger"
)

// rewritten is another value of the block at first.
func rewritten(first int64, generation string) ledger.Block {
	return ledger.Block{First: first, Value: fmt.Appendf(nil, "block %d to %s", first, generation)}
}

// generations returns what the blocks of a made-up log were last rewritten with, "" for one as it was committed.
func generations(t testing.TB, s ledger.Store, from, to int64) []string {
	t.Helper()
	var out []string
	for _, b := range collect(t, s.Blocks(t.Context(), from, to)) {
		_, generation, ok := strings.Cut(string(b.Value), fmt.Sprintf("block %d to ", b.First))
		if !ok {
			t.Errorf("block %d has another's value", b.First)
		}
		out = append(out, strings.TrimLeft(generation, "0123456789"))
	}
	return out
}

func testRewrite(t *testing.T, s ledger.Store, reopen reopener) ledger.Store {
	mustCommit(t, s, commit(0, 100)) // 0, 16, ... 96
	if err := s.Rewrite(t.Context(), nil); err != nil {
		t.Errorf("no blocks: %v", err)
	}
	given := []ledger.Block{rewritten(16, "x"), rewritten(96, "x")}
	if err := s.Rewrite(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	for _, b := range given {
		clear(b.Value)
	}
	want := []string{"", "x", "", "", "", "", "x"}
	for range 2 {
		equal(t, "blocks", generations(t, s, 0, 100), want)
		for _, missing := range []int64{1, 17, 112, 1 << 40} {
			if err := s.Rewrite(t.Context(), []ledger.Block{rewritten(0, "lost"), rewritten(missing, "lost")}); err == nil {
				t.Errorf("there is no block at %d: no error", missing)
			}
		}
		if got := tail(t, s); got.Size != 100 || string(got.Checkpoint) != "checkpoint 100" {
			t.Errorf("tail %d %q", got.Size, got.Checkpoint)
		}
		s = reopen(t, s)
	}
	if err := s.Rewrite(t.Context(), []ledger.Block{rewritten(16, "y"), rewritten(0, "y")}); err != nil {
		t.Fatal(err)
	}
	want[0], want[1] = "y", "y"
	mustCommit(t, s, commit(100, 101))
	s = reopen(t, s)
	equal(t, "blocks", generations(t, s, 0, 100), want)
	return s
}

// A batch of rewritten blocks is seen as a whole by every iterator that begins after it, while commits go on.
func testRewriteBesideCommits(t *testing.T, s ledger.Store, _ reopener) ledger.Store {
	mustCommit(t, s, commit(0, 320))
	var wg sync.WaitGroup
	wg.Go(func() {
		for generation := range 40 {
			var blocks []ledger.Block
			for first := int64(0); first < 320; first += 16 {
				blocks = append(blocks, rewritten(first, fmt.Sprintf("g%d", generation)))
			}
			if err := s.Rewrite(t.Context(), blocks); err != nil {
				t.Error(err)
			}
			for _, g := range generations(t, s, 0, 320) {
				if g != fmt.Sprintf("g%d", generation) {
					t.Errorf("a block of generation %s after %d", g, generation)
				}
			}
		}
	})
	for i := int64(320); i < 600; i += 7 {
		mustCommit(t, s, commit(i, i+7))
	}
	wg.Wait()
	if got := tail(t, s); got.Size != 600 {
		t.Errorf("tail %d", got.Size)
	}
	return s
}

func testReplace(t *testing.T, s ledger.Store, reopen reopener) ledger.Store {
	mustCommit(t, s, commit(0, 1))
	terms := make([]uint64, 24) // of each run: how many terms it was last written with
	generation := slices.Repeat([]string{"x"}, len(terms))
	write := func(number int64, n uint64, g string) {
		t.Helper()
		if err := s.WriteRun(t.Context(), run(number, n, g)); err != nil {
			t.Fatal(err)
		}
		terms[number], generation[number] = n, g
	}
	check := func() {
		t.Helper()
		want := map[PostingKey]string{}
		for number := range terms {
			for term, value := range run(int64(number), terms[number], generation[number]).Postings {
				want[PostingKey{term, int64(number)}] = string(value)
			}
		}
		all := collect(t, s.AllPostings(t.Context()))
		if len(all) != len(want) {
			t.Fatalf("%d postings, want %d", len(all), len(want))
		}
		for _, number := range []int64{0, 7, 8, 23} {
			for term := range uint64(60) {
				key := PostingKey{term<<40 | term, number}
				got := collect(t, s.Postings(t.Context(), key.Term, number, number+1, false))
				value, ok := want[key]
				if (len(got) == 1) != ok || ok && string(got[0].Value) != value {
					t.Fatalf("term %d in run %d: %v, want %q", term, number, got, value)
				}
			}
		}
		for i, r := range collect(t, s.Runs(t.Context())) {
			if string(r.Marker) != fmt.Sprintf("marker %d %s", i, generation[i]) {
				t.Errorf("run %d has marker %q", i, r.Marker)
			}
		}
	}
	for number := range terms {
		write(int64(number), 50, "x")
	}
	check()
	for number := range terms[:20] {
		write(int64(number), uint64(number)*3, "y") // fewer terms, more, and none
	}
	check()
	mustCommit(t, s, commit(1, 2)) // takes the runs before it along
	s = reopen(t, s)
	check()
	write(3, 0, "z")
	write(3, 58, "a")
	write(4, 40, "b")
	write(4, 2, "c")
	check()
	write(21, 7, "z")
	write(4, 0, "z")
	write(22, 60, "z")
	check()
	mustCommit(t, s, commit(2, 3))
	s = reopen(t, s)
	check()
	if err := s.DropRuns(t.Context()); err != nil {
		t.Fatal(err)
	}
	for number := range terms {
		write(int64(number), 5, "n")
	}
	check()
	return s
}
