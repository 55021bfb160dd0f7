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
