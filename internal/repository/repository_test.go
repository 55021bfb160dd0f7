package repository_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/repository"
	"hippad/internal/seal"
	"hippad/internal/storetest"
	"hippad/receipt"
)

// A test report is a small JSON object, so that any event can be written as a report and read back.
type fact struct {
	At      int64 // minutes
	Patient string
	Agent   string
	Action  string
	Type    string
	Outcome string
	Source  string
	Words   string
}

func read(r hippad.Report) hippad.Event {
	var f fact
	if err := json.Unmarshal(r.Body, &f); err != nil {
		return hippad.Event{Unreadable: "not a fact"}
	}
	ev := hippad.Event{OutcomeDescription: f.Words, Action: f.Action, Outcome: f.Outcome, Type: hippad.Code{Code: f.Type}}
	if f.At != 0 {
		ev.Recorded = time.Unix(f.At*60, 0).UTC()
	}
	ev.Source.Site = f.Source
	if f.Patient != "" {
		ev.Entities = []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{Value: f.Patient}}, Role: hippad.Code{Code: "1"}}}
	}
	if f.Agent != "" {
		ev.Agents = []hippad.Agent{{Who: hippad.Reference{Identifier: hippad.Identifier{Value: f.Agent}}}}
	}
	return ev
}

func write(ev hippad.Event) hippad.Report {
	f := fact{At: ev.Recorded.Unix() / 60, Type: ev.Type.Code, Action: ev.Action, Outcome: ev.Outcome}
	if len(ev.Entities) > 0 {
		f.Agent = string(ev.Entities[0].Query) // where a test finds it
	}
	f.Words = ev.OutcomeDescription
	body, _ := json.Marshal(f)
	return hippad.Report{Media: "application/json", Body: body}
}

var (
	operator = as(hippad.Principal{Kind: hippad.KindOperator, ID: "sha256:00"}, hippad.RoleReporter, hippad.RoleReviewer, hippad.RoleAuditor)
	reporter = as(hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:01"}, hippad.RoleReporter)
)

func as(p hippad.Principal, roles ...hippad.Role) hippad.Caller {
	return hippad.Caller{Principal: p, Grant: hippad.Grant{Roles: roles}}
}

type world struct {
	*repository.Repository
	store      *storetest.Memory
	keys       *seal.Keys
	unreadable *repository.Unreadable
}

func open(t testing.TB, dir string, runLength int) *world {
	t.Helper()
	keys, err := seal.Open(t.Context(), dir, seal.Options{Origin: "log.example"})
	if err != nil {
		t.Fatal(err)
	}
	store, unreadable := storetest.NewMemory(nil), &repository.Unreadable{}
	l, err := ledger.Open(t.Context(), store, ledger.Options{
		Signer: keys.Signer, Verifier: keys.Verifier, Salt: keys.Salt, RunLength: runLength,
		Index: repository.Indexer(read, keys.Term, unreadable, nil), TermsVersion: hippad.TermsVersion,
		SealKey: keys.SealKey, OpenKey: keys.OpenKey, KeyDestroyed: seal.ErrDestroyed,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &world{keys: keys, store: store, unreadable: unreadable, Repository: &repository.Repository{
		Ledger: l, Read: read, Write: write, Term: keys.Term, Now: time.Now, Self: hippad.Principal{Kind: hippad.KindSelf, ID: "log.example"},
	}}
}

func (w *world) close(t testing.TB) {
	if err := w.Ledger.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func record(t testing.TB, s hippad.Session, f hippad.Frame) hippad.Ack {
	t.Helper()
	wait, err := s.Record(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

func reports(facts ...fact) (out []hippad.Report) {
	for _, f := range facts {
		body, _ := json.Marshal(f)
		out = append(out, hippad.Report{Media: "application/json", Body: body})
	}
	return out
}

func search(s hippad.Session, q hippad.Query) (found []int64, err error) {
	for e, err := range s.Search(context.Background(), q) {
		if err != nil {
			return found, err
		}
		found = append(found, e.Index)
	}
	return found, nil
}

// Search answers equal a naive scan, for any events, any query, in both directions, across runs.
func TestSearchEqualsNaiveScan(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		w := open(t, dir, 16)
		defer w.close(t)
		someFact := rapid.Custom(func(t *rapid.T) fact {
			return fact{
				At:      rapid.Int64Range(0, 50).Draw(t, "at"),
				Patient: rapid.SampledFrom([]string{"", "1", "2^^^&1.2&ISO", "2^^^&1.3&ISO", "2"}).Draw(t, "patient"),
				Agent:   rapid.SampledFrom([]string{"", "Ann", "ann", "Bob"}).Draw(t, "agent"),
				Action:  rapid.SampledFrom([]string{"", "R", "C"}).Draw(t, "action"),
			}
		})
		facts := rapid.SliceOfN(someFact, 0, 80).Draw(rt, "facts")
		s := w.As(operator, hippad.DoorNative)
		for part := range slices.Chunk(facts, 7) {
			record(t, s, hippad.Frame{Reports: reports(part...)})
		}
		var all []hippad.Entry
		for e, err := range w.Ledger.Entries(context.Background(), 0, w.Ledger.Size()) {
			if err != nil {
				rt.Fatal(err)
			}
			all = append(all, e)
		}
		for range 5 {
			q := someQuery(rt)
			if len(all) > 0 && rapid.IntRange(0, 3).Draw(rt, "received") == 0 {
				some := func(name string) time.Time { return all[rapid.IntRange(0, len(all)-1).Draw(rt, name)].Received }
				q.Received = [][]hippad.Period{{{Start: some("since")}}, {{End: some("until")}, {Start: some("or"), End: some("and").Add(time.Hour)}}}
			}
			var want []int64
			at := func(i int64) hippad.Place {
				return hippad.Place{At: hippad.EventTime(all[i], read(all[i].Report)), Index: i}
			}
			for _, e := range all {
				if q.Matches(e, read(e.Report)) {
					want = append(want, e.Index)
				}
			}
			if q.ByTime {
				slices.SortFunc(want, func(a, b int64) int { return at(a).CompareIn(q.Ascending, at(b)) })
			} else if !q.Ascending {
				slices.Reverse(want)
			}
			if q.Limit > 0 && len(want) > q.Limit {
				want = want[:q.Limit]
			}
			// What searches leave in the log is not part of the answer to compare with.
			size := int64(len(all))
			if q.Before == nil || *q.Before > size {
				q.Before = &size
			}
			got, err := search(s, q)
			if err != nil || !slices.Equal(got, want) {
				rt.Fatalf("%#v: got %v, %v, want %v", q.Terms, got, err, want)
			}
		}
	})
}

func someQuery(t *rapid.T) hippad.Query {
	q := hippad.Query{Ascending: rapid.Bool().Draw(t, "ascending"), Limit: rapid.IntRange(0, 5).Draw(t, "limit")}
	minute := func(name string) time.Time {
		if m := rapid.Int64Range(0, 60).Draw(t, name); m > 0 {
			return time.Unix(m*60, 0)
		}
		return time.Time{}
	}
	q.From, q.To = minute("from"), minute("to")
	if rapid.Bool().Draw(t, "cursor") {
		i := rapid.Int64Range(-1, 90).Draw(t, "before")
		q.Before = &i
		j := rapid.Int64Range(-1, 90).Draw(t, "after")
		q.After = &j
	}
	for range rapid.IntRange(0, 2).Draw(t, "groups") {
		q.Terms = append(q.Terms, rapid.SampledFrom([][]hippad.Term{
			{hippad.NewTerm(hippad.FieldPatient, "2")},
			{hippad.NewTerm(hippad.FieldPatient, "urn:oid:1.2|2"), hippad.NewTerm(hippad.FieldPatient, "1")},
			{hippad.NewTerm(hippad.FieldAgent, "ANN")},
			{hippad.NewTerm(hippad.FieldAction, "R"), hippad.NewTerm(hippad.FieldAction, "C")},
			{hippad.NewTerm(hippad.FieldDoor, "native")},
			{hippad.NewTerm(hippad.FieldPatient, "nobody")},
		}).Draw(t, "group"))
	}
	for range rapid.IntRange(0, 1).Draw(t, "filters") {
		q.Filters = append(q.Filters, rapid.SampledFrom([]hippad.Filter{
			hippad.NewFilter(hippad.OpNone, hippad.FieldPatient, "2", "1"),
			hippad.NewFilter(hippad.OpMissing, hippad.FieldAgent),
			hippad.NewFilter(hippad.OpPresent, hippad.FieldAction),
		}).Draw(t, "filter"))
	}
	if rapid.IntRange(0, 3).Draw(t, "times") == 0 {
		q.Times = [][]hippad.Period{{{Start: minute("a"), End: minute("b")}, {Start: minute("c")}}, {{End: minute("d")}}}
	}
	if rapid.IntRange(0, 2).Draw(t, "by time") == 0 {
		q.ByTime = true
		if rapid.Bool().Draw(t, "beyond") {
			q.Beyond = &hippad.Place{At: time.Unix(60*rapid.Int64Range(0, 50).Draw(t, "beyond at"), 0), Index: rapid.Int64Range(0, 80).Draw(t, "beyond index")}
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "by index") == 0 {
		q.Indexes = rapid.SliceOfN(rapid.Int64Range(-3, 90), 1, 5).Draw(t, "indexes")
	}
	return q
}

// Every reading is in the log before the first entry leaves, with what was asked; and the answer does not contain it.
func TestEveryReadingIsRecorded(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	s := w.As(operator, hippad.DoorNative)
	record(t, s, hippad.Frame{Reports: reports(fact{Patient: "1"}, fact{Patient: "2"})})
	q := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, "1")}}}
	for e, err := range s.Search(t.Context(), q) {
		if err != nil || e.Index != 0 {
			t.Fatalf("%v, %v", e, err)
		}
		if size := w.Ledger.Size(); size != 3 {
			t.Fatalf("at the first entry the log has %d entries, want the reading as the third", size)
		}
	}
	for e, err := range w.Ledger.Entries(t.Context(), 2, 3) {
		if err != nil || e.Door != hippad.DoorSelf || e.Reporter.Kind != hippad.KindSelf {
			t.Fatalf("%v by %v, %v", e, e.Reporter, err)
		}
		if ev := read(e.Report); ev.Type.Code != "110101" || ev.Agents[0].Who.Identifier.Value != "patient=1" {
			t.Errorf("the entry says %s", e.Body)
		}
	}
	if found, err := search(s, hippad.Query{}); err != nil || !slices.Equal(found, []int64{2, 1, 0}) {
		t.Errorf("a search finds %v, %v: its own entry must not be among them", found, err)
	}
}

func TestNothingIsShownWhenTheReadingCannotBeRecorded(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	s := w.As(operator, hippad.DoorFHIR)
	record(t, s, hippad.Frame{Reports: reports(fact{Patient: "1"})})
	w.store.FailNext(storetest.OpCommit, storetest.NotStored, 1, hippad.Errorf(hippad.Unavailable, "disk full"))
	found, err := search(s, hippad.Query{})
	if len(found) > 0 || hippad.KindOf(err) != hippad.Unavailable {
		t.Errorf("got %v, %v", found, err)
	}
}

func TestReportersDoNotRead(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	s := w.As(reporter, hippad.DoorNative)
	record(t, s, hippad.Frame{Reports: reports(fact{Patient: "1"})})
	record(t, w.As(operator, hippad.DoorNative), hippad.Frame{Reports: reports(fact{Patient: "1"})})
	if found, err := search(s, hippad.Query{}); len(found) > 0 || hippad.KindOf(err) != hippad.Unauthorised {
		t.Errorf("a reporter finds %v, %v", found, err)
	}
	text, err := s.Receipt(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Verify(text, reports(fact{Patient: "1"})[0].Body, w.keys.Verifier); err != nil {
		t.Error(err)
	}
	for _, index := range []int64{1, 99, -1} {
		if _, err := s.Receipt(t.Context(), index); hippad.KindOf(err) != hippad.Unauthorised {
			t.Errorf("receipt %d: %v, want no word about whether there is one", index, err)
		}
	}
}

// A stream belongs to the certificate that shows it; without one, to whoever knows its bits.
func TestWhoseStream(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	first := hippad.Frame{Stream: hippad.StreamID{1}, First: 1, Reports: reports(fact{Patient: "1"})}
	at := func(p hippad.Caller) int64 {
		return record(t, w.As(p, hippad.DoorNative), first).Ranges[0].First
	}
	address := func(ip string) hippad.Caller {
		return as(hippad.Principal{Kind: hippad.KindAddress, ID: ip}, hippad.RoleReporter)
	}
	one := at(reporter)
	if again := at(reporter); again != one {
		t.Errorf("a repeat is stored twice: %d, %d", one, again)
	}
	other := at(as(hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:02"}, hippad.RoleReporter))
	if other == one {
		t.Error("another certificate's stream of the same id is taken for the first one's")
	}
	renewed := as(hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:03"}, hippad.RoleReporter)
	renewed.Member = "m-1"
	before := at(renewed)
	if renewed.ID = "sha256:04"; at(renewed) != before {
		t.Error("a member whose certificate was renewed is taken for another")
	}
	if a, b := at(address("192.0.2.1")), at(address("192.0.2.2")); a != b {
		t.Errorf("a reporter that moves to another address is stored twice: %d, %d", a, b)
	}
}

func TestRefused(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	if err := w.Refused(t.Context(), w.As(reporter, hippad.DoorNative), 1000, 10); err != nil {
		t.Fatal(err)
	}
	if found, err := search(w.As(operator, hippad.DoorNative), hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldType, "110113")}}}); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestUnreadableIsCountedPerReporter(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	garbage := hippad.Report{Media: "application/json", Body: []byte("no fact")}
	record(t, w.As(reporter, hippad.DoorNative), hippad.Frame{Reports: []hippad.Report{garbage, reports(fact{Patient: "1"})[0], garbage}})
	for i := range 1100 {
		p := as(hippad.Principal{Kind: hippad.KindAddress, ID: fmt.Sprint(i)}, hippad.RoleReporter)
		record(t, w.As(p, hippad.DoorNative), hippad.Frame{Reports: []hippad.Report{garbage}})
	}
	counts := w.unreadable.Counts()
	if counts[reporter.String()] != 2 || counts["address:0"] != 1 || counts[repository.OtherReporters] != 101 || len(counts) != 1001 {
		t.Errorf("%d reporters; %d, %d, other %d", len(counts), counts[reporter.String()], counts["address:0"], counts[repository.OtherReporters])
	}
}

func TestMediaTypeMustFitTheLeaf(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	for _, media := range []string{"", strings.Repeat("x", hippad.MaxMedia+1)} {
		_, err := w.As(reporter, hippad.DoorNative).Record(t.Context(), hippad.Frame{Reports: []hippad.Report{{Media: media}}})
		if hippad.KindOf(err) != hippad.Invalid {
			t.Errorf("media of %d bytes: %v", len(media), err)
		}
	}
}

func BenchmarkSearchByPatient(b *testing.B) {
	w := open(b, b.TempDir(), 0)
	defer w.close(b)
	s := w.As(operator, hippad.DoorNative)
	for i := range 1000 {
		var part []fact
		for j := range 100 {
			part = append(part, fact{At: int64(i + 1), Patient: fmt.Sprint((i*100 + j) % 5000), Agent: "a", Action: "R"})
		}
		record(b, s, hippad.Frame{Reports: reports(part...)})
	}
	q := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, "77")}}}
	for b.Loop() {
		if found, err := search(s, q); err != nil || len(found) != 20 {
			b.Fatal(errors.New("wrong answer"))
		}
	}
}

// What follows the log gets every entry once, in order, those of the past and those to come, and ends when it is told to.
func TestFollow(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	s := w.As(reporter, hippad.DoorNative)
	record(t, s, hippad.Frame{Reports: reports(make([]fact, 5)...)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	later := func(n int) {
		if _, err := s.Record(ctx, hippad.Frame{Reports: reports(make([]fact, n)...)}); err != nil {
			t.Error(err)
		}
	}
	next := int64(3)
	for e, err := range w.Follow(ctx, 2) {
		if err != nil || e.Index != next {
			t.Fatalf("%d, %v, want %d", e.Index, err, next)
		}
		switch next++; {
		case next == 5: // all that was there
			go later(1)
		case next == 6:
			go later(2)
		case next == 8:
			cancel()
		}
	}
	if next != 8 {
		t.Errorf("it ended before %d", next)
	}
}

// The crosswalk widens what is asked for, whoever asks, and not what is written down about it.
func TestSamePatient(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	w.Same = func(t hippad.Term) []hippad.Term {
		if t.Value == "1" {
			return []hippad.Term{hippad.NewTerm(hippad.FieldPatient, "2^^^&1.2&ISO")}
		}
		return nil
	}
	s := w.As(operator, hippad.DoorNative)
	record(t, s, hippad.Frame{Reports: reports(fact{Patient: "1"}, fact{Patient: "2^^^&1.2&ISO"}, fact{Patient: "3"}, fact{Patient: "2^^^&1.3&ISO"})})
	before := int64(4)
	patient := as(hippad.Principal{Kind: hippad.KindToken, ID: "7"}, hippad.RolePatient)
	patient.Patient = "1"
	one := hippad.NewTerm(hippad.FieldPatient, "1")
	for name, c := range map[string]struct {
		s    hippad.Session
		q    hippad.Query
		want []int64
	}{
		"by one":     {s, hippad.Query{Terms: [][]hippad.Term{{one}}}, []int64{1, 0}},
		"by another": {s, hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, "3")}}}, []int64{2}},
		"not":        {s, hippad.Query{Filters: []hippad.Filter{hippad.NewFilter(hippad.OpNone, hippad.FieldPatient, "1")}}, []int64{3, 2}},
		"a patient":  {w.As(patient, hippad.DoorFHIR), hippad.Query{}, []int64{1, 0}},
	} {
		c.q.Before = &before
		if got, err := search(c.s, c.q); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	for _, e := range everything(t, w)[4:] {
		if text := read(e.Report).Agents; len(text) > 0 && strings.Contains(text[0].Who.Identifier.Value, "1.2|2") {
			t.Errorf("what was asked is written down as %q", text[0].Who.Identifier.Value)
		}
	}
}
