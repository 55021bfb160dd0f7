package crosswalk_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/atna"
	"hippad/internal/crosswalk"
	"hippad/internal/fhir"
	"hippad/internal/ledger"
	"hippad/internal/repository"
	"hippad/internal/seal"
	"hippad/internal/storetest"
)

func read(r hippad.Report) hippad.Event {
	if r.Media == hippad.MediaXML {
		return atna.ReadXML(r.Body)
	}
	return fhir.Read(r.Body)
}

var (
	olga = person("olga", hippad.RoleOfficer)
	vera = person("vera", hippad.RoleReviewer)
	pacs = person("pacs", hippad.RoleReporter)
)

func person(id string, roles ...hippad.Role) hippad.Caller {
	return hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindPerson, ID: id}, Grant: hippad.Grant{Roles: roles}}
}

// A fatal is a test or a property.
type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// A world is a log with a crosswalk, whose store can be told to fail and which can be killed.
type world struct {
	*crosswalk.Crosswalk
	store *storetest.Memory
	disk  ledger.Store // instead of store, if it is not nil
	keys  *seal.Keys
	run   int // entries of a run of the index; 0: as many as there really are
}

func keysFor(t testing.TB) *seal.Keys {
	keys, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example"})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func open(t testing.TB) *world {
	w := &world{store: storetest.NewMemory(nil), keys: keysFor(t), run: 64}
	w.open(t)
	t.Cleanup(func() { w.stop(t) })
	return w
}

func (w *world) open(t fatal) {
	t.Helper()
	store := ledger.Store(w.store)
	if w.disk != nil {
		store = w.disk
	}
	l, err := ledger.Open(context.Background(), store, ledger.Options{
		Signer: w.keys.Signer, Verifier: w.keys.Verifier, Salt: w.keys.Salt, RunLength: w.run,
		Index: repository.Indexer(read, w.keys.Term, nil, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	repo := &repository.Repository{
		Ledger: l, Read: read, Write: fhir.Write, Term: w.keys.Term, Now: time.Now, Self: hippad.Principal{Kind: hippad.KindSelf, ID: "log.example"},
	}
	if w.Crosswalk, err = crosswalk.Open(context.Background(), crosswalk.Config{Ledger: l, Repository: repo}); err != nil {
		t.Fatal(err)
	}
	repo.Same = w.Same
}

func (w *world) stop(t fatal) {
	if err := w.Ledger.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// restart stops the log and opens it again with what its store has.
func (w *world) restart(t fatal) {
	t.Helper()
	w.stop(t)
	state := w.store.State()
	w.store = storetest.NewMemory(&state)
	w.open(t)
}

// report records bodies as a reporter, and returns the index of the first.
func (w *world) report(t fatal, bodies ...string) int64 {
	t.Helper()
	var f hippad.Frame
	for _, b := range bodies {
		media := hippad.MediaFHIRJSON
		if strings.HasPrefix(b, "<") {
			media = hippad.MediaXML
		}
		f.Reports = append(f.Reports, hippad.Report{Media: media, Body: []byte(b)})
	}
	wait, err := w.Repository.As(pacs, hippad.DoorNative).Record(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return ack.Ranges[0].First
}

// search returns the indexes, ascending, of what answers q below an index.
func (w *world) search(t fatal, c hippad.Caller, below int64, q hippad.Query) (found []int64) {
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
func (w *world) entries(t fatal, from int64) (all []hippad.Entry) {
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
func (w *world) link(t fatal, ids ...string) crosswalk.Change {
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
func (w *world) everybody(t fatal) string {
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
