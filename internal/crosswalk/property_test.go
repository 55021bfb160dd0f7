package crosswalk_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/seal"
	"hippad/internal/storetest"
	"hippad/internal/testlog"
)

// A naive crosswalk: sets of identifiers.
type naive []map[string]bool

func (n *naive) link(ids []string) {
	whole := map[string]bool{}
	for _, id := range ids {
		whole[id] = true
	}
	*n = slices.DeleteFunc(*n, func(s map[string]bool) bool {
		if !slices.ContainsFunc(ids, func(id string) bool { return s[id] }) {
			return false
		}
		maps.Copy(whole, s)
		return true
	})
	*n = append(*n, whole)
}

func (n *naive) unlink(id string) {
	for _, s := range *n {
		delete(s, id)
	}
	*n = slices.DeleteFunc(*n, func(s map[string]bool) bool { return len(s) < 2 })
}

func (n naive) same(id string) (out []string) {
	for _, s := range n {
		if s[id] {
			for other := range s {
				if other != id {
					out = append(out, other)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// Whatever is linked and unlinked in whatever order, with the log breaking in between: Same is what sets would say, and with that symmetric and
// transitive, and a restart replays what was there, to who, when and why.
func TestReplayIsTheLiveState(t *testing.T) {
	keys := testlog.New(t).Keys
	rapid.Check(t, func(t *rapid.T) { replayed(t, keys) })
}

func replayed(t *rapid.T, keys *seal.Keys) {
	ctx := context.Background()
	w := &world{log: &testlog.Log{Store: storetest.NewMemory(nil), Keys: keys, RunLength: 64}}
	w.open(t)
	defer func() { w.log.Close(t) }()
	var want naive
	var all []string
	for i := range 12 {
		all = append(all, fmt.Sprintf("urn:oid:1.2.%d|%d", i%3, i))
	}
	some := rapid.SampledFrom(all)
	row := func() []string { return rapid.SliceOfN(some, 1, 4).Draw(t, "row") }
	two := func(ids []string) bool {
		return slices.ContainsFunc(ids, func(id string) bool { return id != ids[0] })
	}
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		reason := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "reason")
		switch rapid.IntRange(0, 7).Draw(t, "step") {
		case 0, 1, 2:
			ids := row()
			if _, err := w.Link(ctx, olga, ids, reason); (err == nil) != two(ids) {
				t.Fatal(ids, err)
			}
			if two(ids) {
				want.link(ids)
			}
		case 3, 4:
			id := some.Draw(t, "id")
			if _, err := w.Unlink(ctx, olga, id, reason); (err == nil) != (want.same(id) != nil) {
				t.Fatal(id, err)
			}
			want.unlink(id)
		case 5:
			rows := [][]string{row(), row(), row()}
			trial := rapid.Bool().Draw(t, "trial")
			got, err := w.Import(ctx, olga, rows, reason, trial)
			if err != nil {
				t.Fatal(err)
			}
			draft := naive{}
			for _, s := range want {
				draft = append(draft, maps.Clone(s))
			}
			for i, ids := range rows {
				before := draft.same(ids[0])
				already := !slices.ContainsFunc(ids, func(id string) bool { return id != ids[0] && !slices.Contains(before, id) })
				if (got[i].Refused == "") != two(ids) || got[i].Linked != (two(ids) && !already) {
					t.Fatalf("row %v: %+v", ids, got[i])
				}
				if two(ids) {
					draft.link(ids)
				}
			}
			if !trial {
				want = draft
			}
		case 6:
			w.restart(t)
		case 7: // more than is read without the index
			w.log.Report(t, slices.Repeat([]string{dicom("4711"), "{}"}, 40)...)
		}
	}
	for _, id := range all {
		if got := w.same(id); !slices.Equal(got, want.same(id)) {
			t.Fatalf("same as %s are %v, want %v", id, got, want.same(id))
		}
	}
	live := w.everybody(t)
	w.restart(t)
	if again := w.everybody(t); again != live {
		t.Fatalf("replayed:\n%s\nlive:\n%s", again, live)
	}
}

// A log that fails leaves either no change, or one that has its effect as soon as it is known: at the next change and after a restart.
func TestWhenTheLogFails(t *testing.T) {
	const a, b, c = "urn:oid:1.2|a", "urn:oid:1.2|b", "urn:oid:1.2|c"
	for _, flavour := range []storetest.Flavour{storetest.NotStored, storetest.Stored} {
		for name, change := range map[string]func(w *world) error{
			"link":   func(w *world) error { _, err := w.Link(t.Context(), olga, []string{b, c}, "x"); return err },
			"unlink": func(w *world) error { _, err := w.Unlink(t.Context(), olga, b, "x"); return err },
			"import": func(w *world) error {
				_, err := w.Import(t.Context(), olga, [][]string{{b, c}}, "x", false)
				return err
			},
		} {
			t.Run(string(flavour)+" "+name, func(t *testing.T) {
				w := open(t)
				w.link(t, a, b)
				w.log.Store.FailNext(storetest.OpCommit, flavour, 1, hippad.Errorf(hippad.Unavailable, "disk full"))
				err := change(w)
				live := w.same(a)
				w.restart(t)
				replayed := w.same(a)
				done := map[string][]string{"link": {b, c}, "import": {b, c}, "unlink": nil}[name]
				switch {
				case err == nil && !slices.Equal(live, done):
					t.Errorf("acknowledged, and %v", live)
				case flavour == storetest.NotStored && (err == nil || !slices.Equal(live, []string{b}) || !slices.Equal(replayed, live)):
					t.Errorf("%v, and %v, replayed %v", err, live, replayed)
				case flavour == storetest.Stored && !slices.Equal(replayed, done):
					t.Errorf("%v, replayed %v, want %v", err, replayed, done)
				}
				w.link(t, "urn:oid:1.2|y", "urn:oid:1.2|z") // and goes on
			})
		}
	}
}

// Links are seen by the next search, whoever makes them meanwhile.
func TestTogether(t *testing.T) {
	w := open(t)
	const people, links = 4, 20
	done := make(chan error, people)
	for p := range people {
		go func() {
			done <- func() error {
				first := fmt.Sprintf("urn:oid:1.2.%d|0", p)
				for i := 1; i <= links; i++ {
					id := fmt.Sprintf("urn:oid:1.2.%d|%d", p, i)
					if _, err := w.Link(t.Context(), olga, []string{first, id}, "x"); err != nil {
						return err
					}
					if n := len(w.Same(hippad.NewTerm(hippad.FieldPatient, first))); n != i {
						return fmt.Errorf("%d identifiers, want %d", n, i)
					}
					if _, err := w.Show(t.Context(), olga, id); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range people {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	everybody := w.everybody(t)
	if w.restart(t); w.everybody(t) != everybody {
		t.Error("replayed is not what was there")
	}
}

// Who does not wait has changed it all the same; who comes meanwhile waits only as long as they want.
func TestGoneAway(t *testing.T) {
	w := open(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Link(gone, olga, []string{"urn:oid:1.2|a", "urn:oid:1.2|b"}, "x")
	linked := w.same("urn:oid:1.2|a") != nil
	if (err == nil) != linked {
		t.Errorf("%v, and linked is %v", err, linked)
	}
	if err != nil && hippad.KindOf(err) != hippad.Busy {
		t.Error(err)
	}
	before := w.everybody(t)
	if w.restart(t); w.everybody(t) != before {
		t.Error("replayed is not what was there")
	}
}
