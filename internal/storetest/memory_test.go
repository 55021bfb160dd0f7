package storetest

import (
	"errors"
	"testing"

	"hippad/internal/ledger"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	Run(t, func(testing.TB) ledger.Store { return NewMemory(nil) },
		func(_ testing.TB, s ledger.Store) ledger.Store {
			state := s.(*Memory).State()
			return NewMemory(&state)
		})
}

func TestMemoryFailsOnCommand(t *testing.T) {
	for _, f := range []Flavour{NotStored, Stored} {
		m := NewMemory(nil)
		mustCommit(t, m, commit(0, 3))
		if err := m.WriteRun(t.Context(), run(0, 10, "x")); err != nil {
			t.Fatal(err)
		}
		m.FailNext(OpRewrite, f, 1, nil)
		m.FailNext(OpWriteRun, f, 1, nil)
		for _, err := range []error{m.Rewrite(t.Context(), []ledger.Block{{First: 0, Value: []byte("new")}}), m.WriteRun(t.Context(), run(0, 5, "y"))} {
			if !errors.Is(err, ErrInjected) {
				t.Errorf("%s: %v", f, err)
			}
		}
		block, marker := "block 0 to 3", "marker 0 x"
		if f == Stored {
			block, marker = "new", "marker 0 y"
		}
		if s := m.State(); string(s.Blocks[0]) != block || string(s.Markers[0]) != marker {
			t.Errorf("%s: %q, %q", f, s.Blocks[0], s.Markers[0])
		}
	}
	for _, f := range []Flavour{NotStored, Stored} {
		m := NewMemory(nil)
		m.FailNext(OpCommit, f, 1, nil)
		if err := m.Commit(t.Context(), commit(0, 3)); !errors.Is(err, ErrInjected) {
			t.Errorf("%s: %v", f, err)
		}
		want := int64(0)
		if f == Stored {
			want = 3
		}
		if got := tail(t, m).Size; got != want {
			t.Errorf("%s: size %d", f, got)
		}
	}
}
