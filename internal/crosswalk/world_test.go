package crosswalk_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/crosswalk"
	"hippad/internal/testlog"
)

var (
	olga = testlog.Person("olga", hippad.RoleOfficer)
	vera = testlog.Person("vera", hippad.RoleReviewer)
)

// A world is a log with a crosswalk, which can be stopped and started.
type world struct {
	*crosswalk.Crosswalk
	log *testlog.Log
}

func open(t testing.TB) *world {
	w := &world{log: testlog.New(t)}
	w.log.RunLength = 64
	w.open(t)
	t.Cleanup(func() { w.log.Close(t) })
	return w
}

func (w *world) open(t testlog.T) {
	t.Helper()
	w.log.Open(t)
	w.room(t)
}

// room opens the crosswalk on a log that is open.
func (w *world) room(t testlog.T) {
	t.Helper()
	var err error
	if w.Crosswalk, err = crosswalk.Open(context.Background(), crosswalk.Config{Ledger: w.log.Ledger, Repository: w.log.Repository}); err != nil {
		t.Fatal(err)
	}
	w.log.Same = w.Same
}

// restart stops the log and opens it again with what its store has.
func (w *world) restart(t testlog.T) {
	t.Helper()
	w.log.Reopen(t)
	w.room(t)
}

// search returns the indexes, ascending, of what answers q below an index.
func (w *world) search(t testlog.T, c hippad.Caller, below int64, q hippad.Query) (found []int64) {
	t.Helper()
	q.Ascending = true
	q.Before = &below
	for e, err := range w.Repository.As(c, hippad.DoorFHIR).Search(context.Background(), q) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, e.Index)
	}
	return found
}

func about(patient string) hippad.Query {
	return hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, patient)}}}
}

// entries returns what is in the log from an index on.
func (w *world) entries(t testlog.T, from int64) (all []hippad.Entry) {
	t.Helper()
	for e, err := range w.Ledger.Entries(context.Background(), from, w.Ledger.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// link fails the test if the identifiers cannot be linked.
func (w *world) link(t testlog.T, ids ...string) crosswalk.Change {
	t.Helper()
	got, err := w.Link(context.Background(), olga, ids, "same person")
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// same returns the values of Same, sorted.
func (w *world) same(id string) (out []string) {
	for _, t := range w.Same(hippad.NewTerm(hippad.FieldPatient, id)) {
		out = append(out, t.Value)
	}
	slices.Sort(out)
	return out
}

// everybody returns the whole list as text.
func (w *world) everybody(t testlog.T) string {
	t.Helper()
	var text strings.Builder
	for after := int64(0); ; {
		page, err := w.List(context.Background(), olga, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Persons {
			fmt.Fprintln(&text, p.Number)
			for _, id := range p.Identifiers {
				fmt.Fprintln(&text, "", id.ID, id.Entry, id.By, id.At, id.Reason)
			}
		}
		if after = page.Next; after == 0 {
			return text.String()
		}
	}
}
