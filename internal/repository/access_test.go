package repository_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/repository"
	"hippad/internal/storetest"
)

var (
	officer = as(hippad.Principal{Kind: hippad.KindPerson, ID: "olga"}, hippad.RoleOfficer)
	nobody  = as(hippad.Principal{Kind: hippad.KindAddress, ID: "192.0.2.66"})
)

// everything yields the whole log, as far as it can be read.
func everything(t testing.TB, w *world) (all []hippad.Entry) {
	t.Helper()
	for e, err := range w.Ledger.Entries(context.Background(), 0, w.Ledger.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// Every role with everything that a session and the repository offer: what the table of permissions does not list is denied.
func TestRoles(t *testing.T) {
	for _, role := range append([]hippad.Role{""}, hippad.Roles...) {
		t.Run("role="+string(role), func(t *testing.T) {
			w := open(t, t.TempDir(), 0)
			defer w.close(t)
			record(t, w.As(reporter, hippad.DoorNative), hippad.Frame{Reports: reports(fact{Patient: "1"})})
			c := as(hippad.Principal{Kind: hippad.KindToken, ID: "t"}, role)
			c.Patient = "1"
			s := w.As(c, hippad.DoorNative)
			check := func(what string, a hippad.Action, err error) {
				t.Helper()
				want := hippad.KindOf(nil)
				if !c.May(a) {
					want = hippad.Unauthorised
				}
				if (err == nil) != c.May(a) || hippad.KindOf(err) != want {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err := search(s, hippad.Query{})
			check("search", hippad.ActRead, err)
			_, err = s.Receipt(t.Context(), 0)
			check("receipt", hippad.ActProve, err)
			_, err = s.Record(t.Context(), hippad.Frame{Reports: reports(fact{Patient: "1"})})
			check("record", hippad.ActRecord, err)
			err = nil
			for _, e := range w.Export(t.Context(), c, hippad.Query{}, w.Exported("")) {
				err = e
			}
			check("export", hippad.ActExport, err)
		})
	}
}

// Whether there is an entry is nobody's business who may not read it: the words are the same, and so is the kind.
func TestRefusalsTellNothing(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	record(t, w.As(operator, hippad.DoorNative), hippad.Frame{Reports: reports(fact{Patient: "1"})})
	for name, c := range map[string]hippad.Caller{"reporter": reporter, "nobody": nobody, "patient": as(nobody.Principal, hippad.RolePatient)} {
		s := w.As(c, hippad.DoorFHIR)
		_, there := s.Receipt(t.Context(), 0)
		for _, index := range []int64{1, 99, -1} {
			_, missing := s.Receipt(t.Context(), index)
			if fmt.Sprint(there) != fmt.Sprint(missing) || hippad.KindOf(missing) != hippad.Unauthorised {
				t.Errorf("%s: %v, but %v for %d", name, there, missing, index)
			}
		}
	}
}

func TestPatientSeesTheirOwn(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	record(t, w.As(reporter, hippad.DoorNative), hippad.Frame{Reports: reports(fact{Patient: "1^^^&1.2&ISO", Action: "R"},
		fact{Patient: "2", Action: "R"}, fact{Patient: "1^^^&1.3&ISO", Action: "R"}, fact{Patient: "1^^^&1.2&ISO", Action: "C"}, fact{Action: "R"})})
	patient := func(id string, roles ...hippad.Role) hippad.Session {
		c := as(hippad.Principal{Kind: hippad.KindToken, ID: "p"}, append(roles, hippad.RolePatient)...)
		c.Patient = id
		return w.As(c, hippad.DoorFHIR)
	}
	reads := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldAction, "R")}}}
	size := w.Ledger.Size()
	for _, c := range []struct {
		name string
		s    hippad.Session
		q    hippad.Query
		want []int64
	}{
		{"all of it", patient("urn:oid:1.2|1"), hippad.Query{}, []int64{3, 0}},
		{"in another form", patient("1^^^&1.2&ISO"), reads, []int64{0}},
		{"without a system", patient("1"), hippad.Query{}, []int64{3, 2, 0}},
		{"somebody else by index", patient("urn:oid:1.2|1"), hippad.Query{Indexes: []int64{1}}, nil},
		{"what does not exist", patient("urn:oid:1.2|1"), hippad.Query{Indexes: []int64{999}}, nil},
		{"own by index", patient("urn:oid:1.2|1"), hippad.Query{Indexes: []int64{0, 1}}, []int64{0}},
		{"somebody else by name", patient("urn:oid:1.2|1"), hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, "2")}}}, nil},
		{"no patient", patient(""), hippad.Query{}, nil},
		{"blank", patient(" "), hippad.Query{}, nil},
		{"no patient by index", patient(""), hippad.Query{Indexes: []int64{4}}, nil},
		{"who also reports", patient("2", hippad.RoleReporter), hippad.Query{}, []int64{1}},
		{"a reviewer who is a patient", patient("2", hippad.RoleReviewer), reads, []int64{4, 2, 1, 0}},
	} {
		if c.q.Before == nil {
			c.q.Before = &size
		}
		before := w.Ledger.Size()
		got, err := search(c.s, c.q)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
		if w.Ledger.Size() != before+1 {
			t.Errorf("%s: the reading is not recorded", c.name)
		}
	}
}

func TestSites(t *testing.T) {
	read := func(r hippad.Report) hippad.Event {
		ev := read(r)
		if id, ok := strings.CutPrefix(ev.Source.Site, "observer "); ok {
			ev.Source = hippad.Source{Observer: hippad.Reference{Identifier: hippad.ParseIdentifier(id)}}
		}
		if name, ok := strings.CutPrefix(ev.Source.Site, "name "); ok {
			ev.Source = hippad.Source{Observer: hippad.Reference{Display: name}}
		}
		return ev
	}
	member := reporter
	member.Sites = []string{"PACS", "West", "urn:oid:1.2|RIS"}
	for _, c := range []struct {
		source  string
		foreign bool
	}{
		{"", false}, {"West", false}, {" West ", false}, {"west", true}, {"East", true}, {"observer PACS", false}, {"observer MRI", true},
		{"observer RIS^^^&1.2&ISO", false}, {"observer RIS^^^&1.3&ISO", true}, {"observer RIS", true}, {"name PACS", false}, {"name MRI", true},
	} {
		frame := hippad.Frame{Reports: reports(fact{Patient: "1"}, fact{Patient: "2", Source: c.source})}
		for _, door := range []hippad.Door{hippad.DoorNative, hippad.DoorFHIR, hippad.DoorSyslogTLS, hippad.DoorSyslogUDP} {
			w := open(t, t.TempDir(), 0)
			w.Read = read
			wait, err := w.As(member, door).Record(t.Context(), frame)
			kept := int64(0)
			if err == nil {
				if _, err := wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				kept = 2
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			w.Run(ctx) // writes what alerts there are
			all := everything(t, w)
			switch refused := c.foreign && door.Acknowledges(); {
			case refused && hippad.KindOf(err) != hippad.Unauthorised, !refused && err != nil:
				t.Errorf("%q by %v: %v", c.source, door, err)
			case c.foreign && int64(len(all)) != kept+1, !c.foreign && int64(len(all)) != 2:
				t.Errorf("%q by %v: %d entries", c.source, door, len(all))
			case c.foreign && read(all[kept].Report).Type.Code != "110113":
				t.Errorf("%q by %v: no alert", c.source, door)
			case kept == 2 && (all[0].Fault != hippad.NoFault || (all[1].Fault == hippad.Foreign) != c.foreign):
				t.Errorf("%q by %v: marked %v, %v", c.source, door, all[0].Fault, all[1].Fault)
			}
			w.close(t)
		}
	}
	// Without a durable entry about it there is no answer that names the reason.
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	w.store.FailNext(storetest.OpCommit, storetest.NotStored, 1, hippad.Errorf(hippad.Unavailable, "disk full"))
	_, err := w.As(member, hippad.DoorNative).Record(t.Context(), hippad.Frame{Reports: reports(fact{Source: "East"})})
	if hippad.KindOf(err) != hippad.Unavailable {
		t.Errorf("%v", err)
	}
}

// What is destroyed is found by its place alone, by those who may read everything.
func TestDestroyedEntries(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	record(t, w.As(reporter, hippad.DoorNative), hippad.Frame{Reports: reports(fact{Patient: "1"}, fact{Patient: "2"})})
	keep := func(e hippad.Entry) bool { return e.Index == 1 }
	if _, err := w.Ledger.Purge(t.Context(), ledger.Purge{Keys: []uint32{1}, Keep: keep, KeepClass: "held"}); err != nil {
		t.Fatal(err)
	}
	patient := as(nobody.Principal, hippad.RolePatient)
	patient.Patient = "1"
	one := [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, "1")}}
	size := w.Ledger.Size()
	for name, c := range map[string]struct {
		c    hippad.Caller
		q    hippad.Query
		want []int64
	}{
		"by index":          {operator, hippad.Query{Indexes: []int64{0, 1}}, []int64{1, 0}},
		"by index and time": {operator, hippad.Query{Indexes: []int64{0}, From: time.Now().Add(time.Hour)}, nil},
		"by index and term": {operator, hippad.Query{Indexes: []int64{0}, Terms: one}, nil},
		"by term":           {operator, hippad.Query{Terms: one}, nil},
		"all":               {operator, hippad.Query{Before: &size}, []int64{1}},
		"patient":           {patient, hippad.Query{Indexes: []int64{0}}, nil},
	} {
		got, err := search(w.As(c.c, hippad.DoorNative), c.q)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	for e, err := range w.As(operator, hippad.DoorNative).Search(t.Context(), hippad.Query{Indexes: []int64{0}}) {
		if err != nil || !e.Destroyed || len(e.Body) > 0 {
			t.Errorf("%v, %v", e, err)
		}
	}
	if _, err := w.As(reporter, hippad.DoorNative).Receipt(t.Context(), 0); hippad.KindOf(err) != hippad.Unauthorised {
		t.Errorf("%v", err)
	}
	if _, err := w.As(operator, hippad.DoorNative).Receipt(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if x := repository.Indexer(read, w.keys.Term, nil, func(hippad.Entry, hippad.Event) string { return "x" })(hippad.Entry{Destroyed: true}); len(x.Terms) > 0 || x.Class != "" {
		t.Errorf("it has terms: %v", x)
	}
}

// With a store that refuses to commit nobody is shown anything, whichever way they ask. Receipts are not readings.
func TestNoEntryNoAnswer(t *testing.T) {
	for _, flavour := range []storetest.Flavour{storetest.NotStored, storetest.Stored} {
		w := open(t, t.TempDir(), 0)
		record(t, w.As(reporter, hippad.DoorNative), hippad.Frame{Reports: reports(fact{Patient: "1"})})
		full := hippad.Errorf(hippad.Unavailable, "disk full")
		patient := as(nobody.Principal, hippad.RolePatient)
		patient.Patient = "1"
		s := w.As(operator, hippad.DoorFHIR)
		for name, ask := range map[string]func() ([]int64, error){
			"search":          func() ([]int64, error) { return search(s, hippad.Query{}) },
			"read":            func() ([]int64, error) { return search(s, hippad.Query{Indexes: []int64{0}, Limit: 1}) },
			"read as patient": func() ([]int64, error) { return search(w.As(patient, hippad.DoorFHIR), hippad.Query{}) },
			"export": func() (found []int64, err error) {
				for e, err := range w.Export(t.Context(), officer, hippad.Query{}, w.Exported("")) {
					if err != nil {
						return found, err
					}
					found = append(found, e.Index)
				}
				return found, nil
			},
			"consult": func() ([]int64, error) { return consult(t, w, operator, hippad.Query{}) },
		} {
			w.store.FailNext(storetest.OpCommit, flavour, 1, full)
			before := w.Ledger.Size()
			found, err := ask()
			if recorded := w.Ledger.Size() == before+1; recorded != (err == nil) || (len(found) > 0) != recorded {
				t.Errorf("%s, %s: %v, %v; recorded: %v", name, flavour, found, err, recorded)
			}
			if flavour == storetest.NotStored && hippad.KindOf(err) != hippad.Unavailable {
				t.Errorf("%s: %v", name, err)
			}
			if found, err := ask(); len(found) == 0 || err != nil {
				t.Errorf("%s afterwards: %v, %v", name, found, err)
			}
		}
		w.store.FailNext(storetest.OpCommit, flavour, 1, full)
		if _, err := s.Receipt(t.Context(), 0); err != nil {
			t.Errorf("receipt: %v", err)
		}
		before := w.Ledger.Size()
		if err := w.Note(t.Context(), operator, repository.ApplicationActivity(true)); (err == nil) != (w.Ledger.Size() == before+1) {
			t.Errorf("note, %s: %v", flavour, err)
		}
		w.close(t)
	}
}

func consult(t *testing.T, w *world, who hippad.Caller, q hippad.Query) (found []int64, err error) {
	reading, err := w.Consult(t.Context(), who, w.AuditLogUsed("a question"))
	if err != nil {
		return nil, err
	}
	for e, err := range reading.Search(t.Context(), q) {
		if err != nil {
			return found, err
		}
		found = append(found, e.Index)
	}
	return found, nil
}

// A question that takes many searches is one entry, of which none of them sees anything; whoever asks sees no more by it than by searching.
func TestConsult(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	record(t, w.As(reporter, hippad.DoorNative), hippad.Frame{Reports: reports(fact{Patient: "1"}, fact{Patient: "2"})})
	patient := as(nobody.Principal, hippad.RolePatient)
	patient.Patient = "1"
	for _, c := range []struct {
		name string
		who  hippad.Caller
		want []int64
	}{{"operator", operator, []int64{1, 0}}, {"patient", patient, []int64{0}}} {
		before := w.Ledger.Size()
		reading, err := w.Consult(t.Context(), c.who, w.AuditLogUsed("a question"))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			var found []int64
			for e, err := range reading.Search(t.Context(), hippad.Query{Indexes: []int64{0, 1, before}}) {
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, e.Index)
			}
			if !slices.Equal(found, c.want) || reading.Size() != before {
				t.Errorf("%s: %v, want %v; of %d entries", c.name, found, c.want, reading.Size())
			}
		}
		if w.Ledger.Size() != before+1 {
			t.Errorf("%s: %d entries about one question", c.name, w.Ledger.Size()-before)
		}
	}
	if found, err := consult(t, w, patient, hippad.Query{}); err != nil || !slices.Equal(found, []int64{0}) {
		t.Errorf("the patient finds %v, %v", found, err)
	}
	patient.Patient = ""
	if found, err := consult(t, w, patient, hippad.Query{}); err != nil || len(found) > 0 {
		t.Errorf("the patient of nothing finds %v, %v", found, err)
	}
	if found, err := consult(t, w, reporter, hippad.Query{}); len(found) > 0 || hippad.KindOf(err) != hippad.Unauthorised {
		t.Errorf("the reporter finds %v, %v", found, err)
	}
}

func TestIndexerGivesTheClass(t *testing.T) {
	classify := func(e hippad.Entry, ev hippad.Event) string { return e.Door.String() + ev.Action }
	x := repository.Indexer(read, func(hippad.Term) uint64 { return 1 }, nil, classify)(hippad.Entry{Door: hippad.DoorFHIR, Report: reports(fact{Action: "C"})[0]})
	if x.Class != "fhirC" {
		t.Errorf("class %q", x.Class)
	}
}
