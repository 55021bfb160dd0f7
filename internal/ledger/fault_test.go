package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/storetest"
)

// TestFaults fails each write and each read of the sequencer in turn, in both flavours, and audits the whole log after
// every step. What was acknowledged must be there once, in its place; what was refused for certain must not.
func TestFaults(t *testing.T) {
	type fault struct {
		op      storetest.Op
		flavour storetest.Flavour
		times   int
		err     error
	}
	full := hippad.Errorf(hippad.Unavailable, "the disk is full").WithHint("make room")
	tests := []struct {
		name   string
		faults []fault
		want   string // of the step that meets the faults: "stored", "refused" or "unknown"
		stored bool   // what is in the log after the store works again
	}{
		{"commit not stored", []fault{{storetest.OpCommit, storetest.NotStored, 1, nil}}, "refused", false},
		{"commit stored", []fault{{storetest.OpCommit, storetest.Stored, 1, nil}}, "stored", true},
		{"disk full", []fault{{storetest.OpCommit, storetest.NotStored, 1, full}}, "refused", false},
		{"commit not stored, tail fails for a moment", []fault{{storetest.OpCommit, storetest.NotStored, 1, nil}, {storetest.OpTail, storetest.NotStored, 2, nil}}, "refused", false},
		{"commit stored, tail fails for a moment", []fault{{storetest.OpCommit, storetest.Stored, 1, nil}, {storetest.OpTail, storetest.NotStored, 2, nil}}, "stored", true},
		{"commit not stored, store gone", []fault{{storetest.OpCommit, storetest.NotStored, 1, nil}, {storetest.OpTail, storetest.NotStored, 4, nil}}, "unknown", false},
		{"commit stored, store gone", []fault{{storetest.OpCommit, storetest.Stored, 1, nil}, {storetest.OpTail, storetest.NotStored, 4, nil}}, "unknown", true},
		{"commit stored, hashes cannot be read", []fault{{storetest.OpCommit, storetest.Stored, 1, nil}, {storetest.OpHashes, storetest.NotStored, 1, nil}}, "stored", true},
		{"commit stored, blocks cannot be read", []fault{{storetest.OpCommit, storetest.Stored, 1, nil}, {storetest.OpBlocks, storetest.NotStored, 4, nil}}, "unknown", true},
		{"stream cannot be read", []fault{{storetest.OpStream, storetest.NotStored, 1, nil}}, "refused", false},
		{"run not stored", []fault{{storetest.OpWriteRun, storetest.NotStored, 3, nil}}, "stored", true},
		{"run stored", []fault{{storetest.OpWriteRun, storetest.Stored, 3, nil}}, "stored", true},
	}
	for _, test := range tests {
		for _, before := range []int{0, 1, 31, 300} { // an empty log; the edge of a run; the second tile
			t.Run(fmt.Sprintf("%s after %d", test.name, before), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := storetest.NewMemory(nil)
					l := open(t, store, small())
					var want []string
					check := func() {
						t.Helper()
						if got := bodies(t, l); !slices.Equal(got, want) {
							t.Fatalf("%d bodies, want %d", len(got), len(want))
						}
						if got := find(t, l, ledger.Find{Terms: [][]uint64{{term("all")}}, Ascending: true}); len(got) != len(want) {
							t.Fatalf("found %d of %d", len(got), len(want))
						}
						audit(t, store, small())
					}
					step := func(number uint64, body string) error {
						_, err := tryRecord(t.Context(), l, ledger.Stream{Key: [32]byte{byte(number), byte(number >> 8)}, First: 1}, entries(body, body+"2"))
						return err
					}
					for i := range before {
						body := fmt.Sprintf("all w%d\n", i)
						record(t, l, ledger.Stream{}, body)
						want = append(want, body)
					}
					synctest.Wait()
					for _, f := range test.faults {
						store.FailNext(f.op, f.flavour, f.times, f.err)
					}
					err := step(1000, "all x\n")
					switch test.want {
					case "stored":
						if err != nil {
							t.Fatal(err)
						}
					case "refused":
						if hippad.KindOf(err) != hippad.Unavailable || strings.Contains(err.Error(), "not known") {
							t.Fatalf("%v", err)
						}
					case "unknown":
						if hippad.KindOf(err) != hippad.Unavailable || !strings.Contains(err.Error(), "not known") {
							t.Fatalf("%v", err)
						}
					}
					if test.faults[0].err != nil {
						if message, hint := hippad.Public(err); message != full.Message || hint != full.Hint {
							t.Errorf("told outside: %s (%s)", message, hint)
						}
					}
					if test.stored {
						want = append(want, "all x\n", "all x\n2")
					}
					if test.want != "unknown" {
						check()
					}
					// Whatever it was told, the reporter repeats, and goes on.
					if err := step(1000, "all x\n"); err != nil {
						t.Fatal(err)
					}
					if !test.stored {
						want = append(want, "all x\n", "all x\n2")
					}
					check()
					for i := range uint64(40) {
						body := fmt.Sprintf("all y%d\n", i)
						if err := step(2000+i, body); err != nil {
							t.Fatal(err)
						}
						want = append(want, body, body+"2")
					}
					check()
					time.Sleep(time.Hour) // of the bubble's time: runs are tried again
					synctest.Wait()
					if s := l.Stats(); s.WaitingRuns != 0 || len(store.State().Markers) != len(want)/32 {
						t.Errorf("%d runs wait, %d are stored", s.WaitingRuns, len(store.State().Markers))
					}
					check()
					checkReceipts(t, l)
					if err := l.Close(t.Context()); err != nil {
						t.Fatal(err)
					}
					l = open(t, store, small())
					check()
					l.Close(t.Context())
				})
			})
		}
	}
}

func TestTwoWritersOfOneLog(t *testing.T) {
	store := storetest.NewMemory(nil)
	a, b := open(t, store, small()), open(t, store, small())
	var want []string
	for i := range 50 {
		for j, l := range []*ledger.Ledger{a, b, b, a} {
			body := fmt.Sprintf("all %d %d\n", i, j)
			ack := record(t, l, ledger.Stream{Key: [32]byte{1}, First: uint64(len(want) + 1)}, body)
			wantRanges(t, ack, hippad.Range{First: int64(len(want)), Count: 1})
			want = append(want, body)
			if n := len(find(t, l, ledger.Find{Terms: [][]uint64{{term("all")}}})); n != len(want) {
				t.Fatalf("found %d of %d", n, len(want))
			}
		}
	}
	if !slices.Equal(bodies(t, b)[:len(want)-1], want[:len(want)-1]) {
		t.Error("other bodies came back")
	}
	audit(t, store, small())
}

func TestAStoreThatWentBackIsNotSignedOn(t *testing.T) {
	for _, how := range []string{"shorter", "another of the same size", "another and longer"} {
		t.Run(how, func(t *testing.T) {
			store := storetest.NewMemory(nil)
			l := open(t, store, small())
			record(t, l, ledger.Stream{}, "a", "b")
			old := store.State()
			record(t, l, ledger.Stream{}, "c")
			other := storetest.NewMemory(&old)
			if how != "shorter" {
				l := open(t, other, small())
				record(t, l, ledger.Stream{}, "d")
				if how == "another and longer" {
					record(t, l, ledger.Stream{}, "e")
				}
			}
			store.Tamper(func(s *storetest.State) { *s = other.State() })
			store.FailNext(storetest.OpCommit, storetest.NotStored, 1, nil)
			for range 2 {
				_, err := tryRecord(t.Context(), l, ledger.Stream{}, entries("x"))
				if hippad.KindOf(err) != hippad.Unavailable || !strings.Contains(err.Error(), "stopped signing") {
					t.Fatalf("%v", err)
				}
			}
			got, want := store.State(), other.State()
			if len(got.Checkpoints) != len(want.Checkpoints) {
				t.Error("something was signed")
			}
			// After a restart only a checkpoint known from elsewhere shows it.
			o := small()
			o.Known = [][]byte{l.Checkpoint()}
			if _, err := ledger.Open(t.Context(), store, o); err == nil {
				t.Error("a store that is no continuation of a known checkpoint was opened")
			}
		})
	}
}

func TestOpenRefusesWhatIsNotUnderItsCheckpoint(t *testing.T) {
	store := storetest.NewMemory(nil)
	l := open(t, store, small())
	record(t, l, ledger.Stream{}, "a", "b", "c")
	l.Close(t.Context())
	good := store.State()
	o := small()
	o.Known = [][]byte{good.Checkpoints[3]}
	open(t, storetest.NewMemory(&good), o)
	for name, tamper := range map[string]func(*storetest.State){
		"hash":       func(s *storetest.State) { s.Hashes[0][1] = s.Hashes[0][2] },
		"no hash":    func(s *storetest.State) { delete(s.Hashes[0], 2) },
		"checkpoint": func(s *storetest.State) { s.Checkpoints[3][len(s.Checkpoints[3])-10] ^= 1 },
		"size":       func(s *storetest.State) { s.Checkpoints[4] = s.Checkpoints[3] },
		"no block":   func(s *storetest.State) { clear(s.Blocks) },
	} {
		bad := good.Clone()
		bad.Checkpoints[3] = slices.Clone(bad.Checkpoints[3])
		tamper(&bad)
		if _, err := ledger.Open(t.Context(), storetest.NewMemory(&bad), small()); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestIndexThatCannotBeWrittenStopsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewMemory(nil)
		l := open(t, store, small())
		store.FailNext(storetest.OpWriteRun, storetest.NotStored, 1000, nil)
		var err error
		n := 0
		for ; err == nil && n < 10000; n++ {
			_, err = tryRecord(t.Context(), l, ledger.Stream{}, entries("all\n"))
		}
		if hippad.KindOf(err) != hippad.Unavailable || n > 32*20 {
			t.Fatalf("after %d: %v", n, err)
		}
		if got := find(t, l, ledger.Find{Terms: [][]uint64{{term("all")}}}); len(got) != n-1 {
			t.Errorf("found %d of %d", len(got), n-1)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if _, err := tryRecord(t.Context(), l, ledger.Stream{}, entries("all\n")); err != nil {
			t.Errorf("after the store works again: %v", err)
		}
		l.Close(t.Context())
	})
}

func TestAuditOfAStoreThatDoesNotAnswer(t *testing.T) {
	store := storetest.NewMemory(nil)
	record(t, open(t, store, small()), ledger.Stream{}, "a")
	store.FailNext(storetest.OpTail, storetest.NotStored, 1, hippad.Errorf(hippad.Unavailable, "away"))
	var wrong *ledger.AuditError
	if _, err := ledger.Audit(t.Context(), store, small(), nil); err == nil || errors.As(err, &wrong) {
		t.Errorf("%v", err)
	}
}
