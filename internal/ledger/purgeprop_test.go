package ledger_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/storetest"
	"hippad/receipt"
)

// modelled is what a model of the log knows of an entry.
type modelled struct {
	body      string
	received  time.Time
	keys      []uint32 // that its content was under, the newest last
	destroyed bool     // the newest key is then the one that it ended with
	receipt   hippad.Receipt
}

// model is a log of which everything is known, beside a real one.
type model struct {
	v      *vault
	store  *storetest.Memory
	l      *ledger.Ledger
	log    []*modelled
	leaves [][]byte
	holds  int
}

// A random log with random purges and holds is, after every step and after reopening, what the model says; no leaf, root
// or receipt ever changes.
func TestPurgeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{v: newVault(), store: storetest.NewMemory(nil)}
		m.l = openModel(t, m)
		defer func() { m.l.Close(t.Context()) }()
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append,
			"purge":  m.purge,
			"month":  func(t *rapid.T) { m.v.set(func(v *vault) { v.month++ }) },
			"reopen": func(t *rapid.T) {
				m.l.Close(t.Context())
				m.l = openModel(t, m)
			},
			"": m.check,
		})
	})
}

func openModel(t *rapid.T, m *model) *ledger.Ledger {
	l, err := ledger.Open(t.Context(), m.store, m.v.options())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (m *model) append(t *rapid.T) {
	classes := rapid.SliceOfN(rapid.IntRange(0, 2), 1, 24).Draw(t, "classes")
	var frame []hippad.Entry
	for _, c := range classes {
		i := len(m.log)
		e := &modelled{body: fmt.Sprintf("@%d all class=c%d only%d\nbody of %d", 1000*i, c, i, i)}
		e.keys = []uint32{m.v.key(fmt.Sprintf("c%d", c), m.v.month)}
		m.log = append(m.log, e)
		frame = append(frame, entry(e.body))
	}
	ack, err := tryRecord(t.Context(), m.l, ledger.Stream{}, frame)
	if err != nil {
		t.Fatal(err)
	}
	first := ack.Ranges[0].First
	for i := first; i < int64(len(m.log)); i++ {
		if m.log[i].receipt, err = m.l.Receipt(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	for e, err := range m.l.Entries(t.Context(), first, m.l.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		m.log[e.Index].received = e.Received
	}
	leaves, err := m.l.Leaves(t.Context(), first, m.l.Size())
	if err != nil {
		t.Fatal(err)
	}
	m.leaves = append(m.leaves, leaves...)
}

func (m *model) purge(t *rapid.T) {
	if len(m.log) == 0 {
		t.Skip("nothing to purge")
	}
	known := uint32(len(m.v.ids))
	p := ledger.Purge{Keys: rapid.SliceOfNDistinct(rapid.Uint32Range(1, known+1), 0, int(known), rapid.ID).Draw(t, "keys")}
	at := rapid.IntRange(0, len(m.log)-1)
	if rapid.Bool().Draw(t, "from?") {
		p.From = m.log[at.Draw(t, "from")].received
	}
	if rapid.Bool().Draw(t, "to?") {
		p.To = m.log[at.Draw(t, "to")].received.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "after")) * time.Microsecond)
	}
	held := rapid.IntRange(1, 5).Draw(t, "held") // every so many; 5: none
	if held < 5 {
		m.holds++
		p.KeepClass = fmt.Sprintf("hold%d", m.holds)
		p.Keep = func(e hippad.Entry) bool {
			if e.Destroyed || string(e.Body) != m.log[e.Index].body || e.Reporter != reporter {
				t.Errorf("entry %d came to Keep changed", e.Index)
			}
			return e.Index%int64(held) == 0
		}
	}
	// The key of the hold gets an id that the purge may name only when the vault has given it out.
	p.Keys = slices.DeleteFunc(p.Keys, func(k uint32) bool { return k > known })
	got, err := m.l.Purge(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	want := m.purged(p)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("purge came to %+v, want %+v", got, want)
	}
	if p.From.IsZero() && p.To.IsZero() && rapid.Bool().Draw(t, "destroy") {
		m.v.destroy(p.Keys...)
	}
}

// purged does to the model what a purge does.
func (m *model) purged(p ledger.Purge) (want ledger.Purged) {
	for i, e := range m.log {
		if !p.From.IsZero() && e.received.Before(p.From) || !p.To.IsZero() && !e.received.Before(p.To) {
			continue
		}
		now := e.keys[len(e.keys)-1]
		if !e.destroyed && slices.Contains(p.Keys, now) {
			switch {
			case m.v.destroyed[now], p.Keep == nil, !p.Keep(hippad.Entry{Index: int64(i), Reporter: reporter, Report: hippad.Report{Body: []byte(e.body)}}):
				e.destroyed = true
			default:
				e.keys = append(e.keys, m.v.key(p.KeepClass, m.v.month))
			}
		}
		had := slices.ContainsFunc(e.keys, func(k uint32) bool { return slices.Contains(p.Keys, k) })
		switch last := e.keys[len(e.keys)-1]; {
		case e.destroyed && slices.Contains(p.Keys, last):
			want.Destroyed++
			n := len(want.Ranges)
			if n > 0 && want.Ranges[n-1].First+int64(want.Ranges[n-1].Count) == int64(i) {
				want.Ranges[n-1].Count++
			} else {
				want.Ranges = append(want.Ranges, hippad.Range{First: int64(i), Count: 1})
			}
		case !e.destroyed && had:
			want.Kept++
		}
	}
	return want
}

// gone tells whether the content of an entry is to be had no more.
func (m *model) gone(e *modelled) bool { return e.destroyed || m.v.destroyed[e.keys[len(e.keys)-1]] }

func (m *model) check(t *rapid.T) {
	_, verifier := testKey()
	i := 0
	for e, err := range m.l.Entries(t.Context(), 0, m.l.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		want := m.log[i]
		if gone := m.gone(want); e.Destroyed != gone || gone && (e.Body != nil || e.Reporter != hippad.Principal{}) ||
			!gone && (string(e.Body) != want.body || e.Reporter != reporter) || e.Received != want.received || e.Media != hippad.MediaXML {
			t.Fatalf("entry %d: destroyed %v, want %v", i, e.Destroyed, gone)
		}
		i++
	}
	if i != len(m.log) {
		t.Fatalf("%d entries, want %d", i, len(m.log))
	}
	leaves, err := m.l.Leaves(t.Context(), 0, m.l.Size())
	if err != nil || len(m.leaves) > 0 && !reflect.DeepEqual(leaves, m.leaves) {
		t.Fatal("leaves changed", err)
	}
	found := map[int64]bool{}
	for i, err := range m.l.Find(t.Context(), ledger.Find{Terms: [][]uint64{{term("all")}}}) {
		if err != nil {
			t.Fatal(err)
		}
		found[i] = true
	}
	for i, e := range m.log {
		if !m.gone(e) && !found[int64(i)] {
			t.Fatalf("entry %d is not found", i)
		}
		if i%17 != len(m.log)%17 {
			continue
		}
		now, err := m.l.Receipt(t.Context(), int64(i))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []hippad.Receipt{e.receipt, now} {
			if p, err := receipt.Verify(r, []byte(e.body), verifier); err != nil || p.Index != int64(i) {
				t.Fatalf("the receipt of %d: %v", i, err)
			}
		}
	}
	a, err := ledger.Audit(t.Context(), m.store, m.v.options(), nil)
	if err != nil {
		t.Fatal(err)
	}
	m.checkAudited(t, a)
}

func (m *model) checkAudited(t *rapid.T, a ledger.Audited) {
	var want []ledger.Gone
	for i, e := range m.log {
		if !m.gone(e) {
			continue
		}
		key := e.keys[len(e.keys)-1]
		if n := len(want); n > 0 && want[n-1].Key == key && want[n-1].First+int64(want[n-1].Count) == int64(i) {
			want[n-1].Count++
		} else {
			want = append(want, ledger.Gone{Range: hippad.Range{First: int64(i), Count: 1}, Key: key})
		}
	}
	if a.Entries != int64(len(m.log)) || a.NotLookedAt != 0 || !reflect.DeepEqual(a.Gone, want) {
		t.Fatalf("audit: %+v, want %+v", a, want)
	}
}

// The same log, purged or not, has the same roots: purging is nothing that a tree can show.
func TestPurgeLeavesTheTreeAlone(t *testing.T) {
	roots := func(purge bool) (out []string) {
		synctest.Test(t, func(t *testing.T) {
			v := newVault()
			store := storetest.NewMemory(nil)
			l := open(t, store, v.options())
			for range 5 {
				months(t, l, v, 1, 5)
				time.Sleep(time.Second)
				if purge {
					mustPurge(t, l, ledger.Purge{Keys: []uint32{v.key("c0", 0)}, Keep: keepOdd, KeepClass: "hold"})
				}
			}
			l.Close(t.Context())
			state := store.State()
			for _, size := range slices.Sorted(maps.Keys(state.Checkpoints)) {
				out = append(out, string(state.Checkpoints[size]))
			}
		})
		return out
	}
	if plain, purged := roots(false), roots(true); len(plain) != 25 || !slices.Equal(plain, purged) {
		t.Error("the checkpoints differ")
	}
}
