package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/storetest"
)

func TestContentIsSealed(t *testing.T) {
	v := newVault()
	store := storetest.NewMemory(nil)
	l := open(t, store, v.options())
	who := hippad.Principal{Kind: hippad.KindToken, ID: "token-77", Name: "Nurse Joy", Organisation: "St. Elsewhere"}
	var want []hippad.Entry
	for _, body := range []string{"all class=a\nsecret 0", "class=a all\nsecret 1", "class=b\nsecret 2", "class=a\nsecret 3", "\nsecret 4", "class=default\nsecret 5"} {
		e := entry(body)
		e.Reporter = who
		want = append(want, e)
	}
	if _, err := tryRecord(t.Context(), l, ledger.Stream{}, want); err != nil {
		t.Fatal(err)
	}
	slices.Sort(v.asked)
	if got := strings.Join(v.asked, " "); got != "a b default" {
		t.Errorf("keys asked for: %s", got)
	}
	state := store.State()
	firsts := make([]int64, 0)
	for first, value := range state.Blocks {
		firsts = append(firsts, first)
		for _, secret := range []string{"secret", "Joy", "Elsewhere", "token-77", "class"} {
			if bytes.Contains(value, []byte(secret)) {
				t.Errorf("the block at %d shows %q", first, secret)
			}
		}
	}
	slices.Sort(firsts)
	if !slices.Equal(firsts, []int64{0, 2, 3, 4}) {
		t.Errorf("blocks at %v: a block holds entries of one class", firsts)
	}
	for range 2 {
		for i, e := range all(t, l) {
			if e.Reporter != who || !bytes.Equal(e.Body, want[i].Body) || e.Destroyed {
				t.Errorf("entry %d came back changed", i)
			}
		}
		checkReceipts(t, l)
		if got := find(t, l, ledger.Find{Terms: [][]uint64{{term("all")}}}); !slices.Equal(got, []int64{1, 0}) {
			t.Errorf("found %v", got)
		}
		l.Close(t.Context())
		if got := audit(t, store, v.options()); got.Entries != 6 || got.Destroyed != 0 || got.NotLookedAt != 0 {
			t.Errorf("audit: %+v", got)
		}
		l = open(t, store, v.options())
	}
	o := v.options()
	o.SealKey = nil
	if _, err := ledger.Open(t.Context(), store, o); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("a sealed log without keys to go on with: %v", err)
	}
}

func TestWithoutAKeyNothingIsStored(t *testing.T) {
	v := newVault()
	store := storetest.NewMemory(nil)
	l := open(t, store, v.options())
	record(t, l, stream(1, 1), "a")
	v.set(func(v *vault) { v.fail = errors.New("the key store does not answer") })
	for range 2 {
		_, err := tryRecord(t.Context(), l, stream(1, 2), entries("b", "class=other\nb"))
		if s := store.State(); hippad.KindOf(err) != hippad.Unavailable || l.Size() != 1 || len(s.Blocks) != 1 || len(s.Checkpoints) != 1 {
			t.Errorf("%v, size %d", err, l.Size())
		}
		if l.Failing() == nil {
			t.Error("the ledger does not say so")
		}
	}
	v.set(func(v *vault) { v.fail = nil })
	wantRanges(t, record(t, l, stream(1, 1), "a", "b"), hippad.Range{First: 0, Count: 2})
	audit(t, store, v.options())
}

// A key that is gone is not a key that is lost.
func TestDestroyedAndLostKeys(t *testing.T) {
	v := newVault()
	store := storetest.NewMemory(nil)
	l := open(t, store, v.options())
	var want []hippad.Entry
	for i := range 100 {
		want = append(want, entry(fmt.Sprintf("all class=c%d only%d\nbody %d", i/10%2, i, i)))
	}
	if _, err := tryRecord(t.Context(), l, ledger.Stream{}, want); err != nil {
		t.Fatal(err)
	}
	gone, lost := v.key("c0", 0), v.key("c1", 0)
	v.destroy(gone)
	check := func() {
		t.Helper()
		got := all(t, l)
		for i, e := range got {
			if e.Destroyed != (i/10%2 == 0) {
				t.Fatalf("entry %d: destroyed %v", i, e.Destroyed)
			}
			if e.Media != hippad.MediaXML || e.Door != hippad.DoorNative || e.Received.IsZero() {
				t.Errorf("entry %d is not as its leaf has it", i)
			}
			if e.Destroyed && (e.Body != nil || e.Reporter != hippad.Principal{}) || !e.Destroyed && string(e.Body) != string(want[i].Body) {
				t.Errorf("entry %d has another content", i)
			}
		}
		for e, err := range l.EntriesAt(t.Context(), []int64{55, 45, 3}) {
			if err != nil || e.Destroyed != (e.Index != 55) && e.Index != 3 {
				t.Errorf("entry %d: %v, %v", e.Index, e.Destroyed, err)
			}
		}
	}
	check()
	l.Close(t.Context())
	store.Tamper(func(s *storetest.State) { clear(s.Markers); clear(s.Postings) })
	l = open(t, store, v.options())
	check()
	if got := find(t, l, ledger.Find{Terms: [][]uint64{{term("all")}}}); len(got) != 50 || got[0] != 99 {
		t.Errorf("found %d after the index was built again", len(got))
	}
	if got := audit(t, store, v.options()); got.Destroyed != 50 || len(got.Gone) != 5 || got.Gone[1] != (ledger.Gone{Range: hippad.Range{First: 20, Count: 10}, Key: gone}) {
		t.Errorf("audit: %+v", got)
	}
	v.set(func(v *vault) { v.lost[lost] = true })
	for _, read := range []func() error{
		func() (err error) { _, err = ledger.Open(t.Context(), store, v.options()); return err },
		func() (err error) { _, err = ledger.Audit(t.Context(), store, v.options(), nil); return err },
		func() (err error) {
			for _, err = range l.EntriesAt(t.Context(), []int64{15}) {
			}
			return err
		},
		func() (err error) {
			for _, err = range l.Entries(t.Context(), 12, 13) {
			}
			return err
		},
	} {
		var wrong *ledger.AuditError
		if err := read(); hippad.KindOf(err) != hippad.Unavailable || !strings.Contains(err.Error(), fmt.Sprintf("key %d", lost)) || errors.As(err, &wrong) {
			t.Errorf("a lost key: %v", err)
		}
	}
	checkReceiptOf(t, l, 15, want[15].Body)
}

// checkReceiptOf verifies one receipt.
func checkReceiptOf(t testing.TB, l *ledger.Ledger, index int64, body []byte) {
	t.Helper()
	r, err := l.Receipt(t.Context(), index)
	if err != nil {
		t.Fatal(err)
	}
	verifyReceipt(t, r, index, body)
}

func TestReseal(t *testing.T) {
	store := storetest.NewMemory(nil)
	o := small()
	l := open(t, store, o)
	for i := range 300 {
		record(t, l, ledger.Stream{}, fmt.Sprintf("all w%d\nsecret %d", i%3, i), "all\nsecret")
	}
	want := bodies(t, l)
	if err := l.Reseal(t.Context(), nil); hippad.KindOf(err) != hippad.Invalid {
		t.Errorf("without keys: %v", err)
	}
	l.Close(t.Context())
	before := store.State()
	v := newVault()
	for _, flavour := range []storetest.Flavour{storetest.NotStored, storetest.Stored} {
		for at := range 4 {
			t.Run(fmt.Sprintf("%s at %d", flavour, at), func(t *testing.T) {
				store := storetest.NewMemory(&before)
				l := open(t, store, v.options())
				record(t, l, ledger.Stream{}, "all new\n") // sealed at once, before the rest is
				calls := 0
				store.Before(func(op storetest.Op) {
					if op == storetest.OpRewrite {
						if calls++; calls == at {
							store.FailNext(op, flavour, 1, nil)
						}
					}
				})
				err := l.Reseal(t.Context(), nil)
				if failed := at > 0 && at <= 3; (err != nil) != failed {
					t.Fatalf("%v", err)
				}
				l.Close(t.Context())
				audit(t, store, v.options())
				l = open(t, store, v.options())
				last := int64(0)
				if err := l.Reseal(t.Context(), func(done, total int64) { last = total - done }); err != nil || last != 0 {
					t.Fatalf("%v, progress ended %d before the end", err, last)
				}
				for first, value := range store.State().Blocks {
					if bytes.Contains(value, []byte("secret")) || value[0] != 2 || value[6] == 0 {
						t.Fatalf("the block at %d is not sealed", first)
					}
				}
				if got := bodies(t, l); !slices.Equal(got[:len(want)], want) {
					t.Error("other bodies came back")
				}
				audit(t, store, v.options())
				reads := 0
				store.Before(func(op storetest.Op) {
					if reads++; op == storetest.OpRewrite {
						t.Error("a block is written again that was sealed")
					}
				})
				if err := l.Reseal(t.Context(), nil); err != nil || reads > 1 {
					t.Errorf("nothing to do: %v, %d calls of the store", err, reads)
				}
			})
		}
	}
}
