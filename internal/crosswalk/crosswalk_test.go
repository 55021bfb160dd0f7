package crosswalk_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/crosswalk"
	"hippad/internal/fhir"
	"hippad/internal/repository"
	"hippad/internal/storetest"
	"hippad/internal/testlog"
)

// calls is everything that somebody may ask.
func calls(t *testing.T, w *world) map[string]func(hippad.Caller) (any, error) {
	const a, b = "urn:oid:1.2|a", "urn:oid:1.2|b"
	return map[string]func(hippad.Caller) (any, error){
		"link":   func(c hippad.Caller) (any, error) { return w.Link(t.Context(), c, []string{a, "Patient/9"}, "x") },
		"again":  func(c hippad.Caller) (any, error) { return w.Link(t.Context(), c, []string{a, b}, "x") },
		"unlink": func(c hippad.Caller) (any, error) { return w.Unlink(t.Context(), c, b, "x") },
		"absent": func(c hippad.Caller) (any, error) { return w.Unlink(t.Context(), c, "urn:oid:1.2|x", "x") },
		"show":   func(c hippad.Caller) (any, error) { return w.Show(t.Context(), c, a) },
		"list":   func(c hippad.Caller) (any, error) { return w.List(t.Context(), c, 0) },
		"import": func(c hippad.Caller) (any, error) {
			return w.Import(t.Context(), c, [][]string{{a, "Patient/9"}}, "x", false)
		},
		"trial": func(c hippad.Caller) (any, error) {
			return w.Import(t.Context(), c, [][]string{{a, "Patient/9"}}, "x", true)
		},
	}
}

func TestOnlyOfficers(t *testing.T) {
	for _, role := range append(slices.Clone(hippad.Roles), "") {
		w := open(t)
		w.link(t, "urn:oid:1.2|a", "urn:oid:1.2|b")
		for name, call := range calls(t, w) {
			who := testlog.Person("somebody", role)
			who.Patient = "urn:oid:1.2|a"
			size := w.Ledger.Size()
			_, err := call(who)
			if role == hippad.RoleOfficer {
				if hippad.KindOf(err) == hippad.Unauthorised {
					t.Errorf("%s as %s: %v", name, role, err)
				}
				continue
			}
			if hippad.KindOf(err) != hippad.Unauthorised {
				t.Errorf("%s as %q: %v", name, role, err)
			}
			refusals := w.entries(t, size)
			if len(refusals) != 1 || testlog.Read(refusals[0].Report).Outcome != repository.SeriousFailure {
				t.Errorf("%s as %q leaves %d entries", name, role, len(refusals))
			}
		}
		if role != hippad.RoleOfficer && !slices.Equal(w.same("urn:oid:1.2|a"), []string{"urn:oid:1.2|b"}) {
			t.Errorf("%q has changed something", role)
		}
	}
}

// Nobody is told or changes anything that is not in the log, and what is in it is one entry with who and what.
func TestEverythingIsRecorded(t *testing.T) {
	for name := range calls(t, nil) {
		w := open(t)
		w.link(t, "urn:oid:1.2|a", "urn:oid:1.2|b")
		call := calls(t, w)[name]
		w.log.Store.FailNext(storetest.OpCommit, storetest.NotStored, 1, hippad.Errorf(hippad.Unavailable, "disk full"))
		before := w.same("urn:oid:1.2|a")
		if got, err := call(olga); hippad.KindOf(err) != hippad.Unavailable || !slices.Equal(w.same("urn:oid:1.2|a"), before) {
			t.Errorf("%s without the log: %v, %v", name, got, err)
		}
		size := w.Ledger.Size()
		if _, err := call(olga); err != nil && name != "absent" {
			t.Errorf("%s: %v", name, err)
		}
		all := w.entries(t, size)
		if len(all) != 1 {
			t.Fatalf("%s leaves %d entries", name, len(all))
		}
		ev := testlog.Read(all[0].Report)
		want := map[string]string{"link": "link", "import": "link", "unlink": "unlink"}[name]
		if want == "" {
			want = "crosswalk"
		}
		if ev.Subtypes[len(ev.Subtypes)-1].Code != want || ev.Agents[0].Who.Identifier.Value != "person:olga" || all[0].Door != hippad.DoorSelf {
			t.Errorf("%s leaves an entry of %v by %v", name, ev.Subtypes, ev.Agents)
		}
		if query := string(ev.Entities[0].Query); want == "crosswalk" && name != "list" && !strings.Contains(query, "urn:oid:1.2|") {
			t.Errorf("%s is written down as %q", name, query)
		}
	}
}

func TestShowAndList(t *testing.T) {
	w := open(t)
	one := w.link(t, "4711^^^&1.2.3&ISO", "Patient/7")
	two, err := w.Link(t.Context(), olga, []string{"Patient/7", "Patient/8", "Patient/8/_history/1"}, "also")
	if err != nil || !two.Changed || two.Identifiers != 3 || two.Entry <= one.Entry {
		t.Fatalf("%+v, %v", two, err)
	}
	if again := w.link(t, "Patient/8", "urn:oid:1.2.3|4711"); again != (crosswalk.Change{Identifiers: 3}) {
		t.Errorf("again: %+v", again)
	}
	for _, asked := range []string{"4711^^^&amp;1.2.3&amp;ISO", "Patient/7", "Patient/8"} {
		p, err := w.Show(t.Context(), olga, asked)
		if err != nil || len(p.Identifiers) != 3 {
			t.Fatalf("%v, %v", p, err)
		}
		for i, want := range []struct {
			id     string
			entry  int64
			reason string
		}{{"Patient/7", two.Entry, "also"}, {"Patient/8", two.Entry, "also"}, {"urn:oid:1.2.3|4711", one.Entry, "same person"}} {
			if x := p.Identifiers[i]; x.ID != want.id || x.Entry != want.entry || x.Reason != want.reason || x.By.String() != "person:olga" || x.At.IsZero() {
				t.Errorf("%d: %+v", i, x)
			}
		}
	}
	if _, err := w.Show(t.Context(), olga, "Patient/99"); hippad.KindOf(err) != hippad.NotFound {
		t.Error(err)
	}
	// Pages are of persons as a whole, and together everybody.
	for i := range 15 {
		var rows [][]string
		for j := range 1000 {
			rows = append(rows, []string{fmt.Sprintf("urn:oid:1.2|%d-%d", i, j), fmt.Sprintf("urn:oid:1.3|%d-%d", i, j)})
		}
		if _, err := w.Import(t.Context(), olga, rows, "x", false); err != nil {
			t.Fatal(err)
		}
	}
	persons, pages, last := 0, 0, int64(0)
	for after := int64(0); ; pages++ {
		page, err := w.List(t.Context(), olga, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Persons {
			if p.Number <= last {
				t.Fatalf("%d after %d", p.Number, last)
			}
			last = p.Number
			persons++
		}
		if after = page.Next; after == 0 {
			break
		}
	}
	if persons != 15_001 || pages < 2 {
		t.Errorf("%d persons on %d pages", persons, pages+1)
	}
	if _, err := w.List(t.Context(), olga, -1); hippad.KindOf(err) != hippad.Invalid {
		t.Error(err)
	}
	p, _ := w.Show(t.Context(), olga, "Patient/7")
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "p", p)
	if text := fmt.Sprintf("%v %+v %#v %s", p, p, p, logged.String()); strings.Contains(text, "4711") {
		t.Errorf("printed: %s", text)
	}
}

func TestBadInput(t *testing.T) {
	w := open(t)
	size := w.Ledger.Size()
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprintf("urn:oid:1.2|%d", i)
	}
	for name, c := range map[string]struct {
		ids    []string
		reason string
		kind   hippad.Kind
		says   string
	}{
		"nobody":         {nil, "x", hippad.Invalid, "two different"},
		"one":            {[]string{"Patient/7"}, "x", hippad.Invalid, "two different"},
		"the same twice": {[]string{"4711^^^&1.2.3&ISO", "urn:oid:1.2.3|4711"}, "x", hippad.Invalid, "two different"},
		"a number":       {[]string{"Patient/7", "4711"}, "x", hippad.Invalid, "identifier 2: it does not say who assigned it"},
		"a namespace":    {[]string{"Patient/7", "4711^^^WEST"}, "x", hippad.Invalid, "identifier 2: it does not say"},
		"empty":          {[]string{"Patient/7", " "}, "x", hippad.Invalid, "identifier 2: it is empty"},
		"too many":       {many, "x", hippad.Conflict, "more than 1000"},
		"no reason":      {[]string{"Patient/7", "Patient/8"}, " ", hippad.Invalid, "the reason is missing"},
		"a long reason":  {[]string{"Patient/7", "Patient/8"}, strings.Repeat("x", 2001), hippad.Invalid, "the reason has more"},
		"a dirty reason": {[]string{"Patient/7", "Patient/8"}, "a\nb", hippad.Invalid, "not plain text"},
	} {
		if _, err := w.Link(t.Context(), olga, c.ids, c.reason); hippad.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Unlink(t.Context(), olga, "4711", "x"); hippad.KindOf(err) != hippad.Invalid || !strings.HasPrefix(err.Error(), "the identifier: ") {
		t.Error(err)
	}
	if _, err := w.Unlink(t.Context(), olga, "Patient/7", ""); hippad.KindOf(err) != hippad.Invalid {
		t.Error(err)
	}
	if _, err := w.Show(t.Context(), olga, "4711"); hippad.KindOf(err) != hippad.Invalid {
		t.Error(err)
	}
	for _, rows := range [][][]string{nil, make([][]string, crosswalk.MaxRows+1)} {
		if _, err := w.Import(t.Context(), olga, rows, "x", false); hippad.KindOf(err) != hippad.Invalid {
			t.Error(err)
		}
	}
	if _, err := w.Import(t.Context(), olga, [][]string{{"Patient/7", "Patient/8"}}, "", false); hippad.KindOf(err) != hippad.Invalid {
		t.Error(err)
	}
	if w.Ledger.Size() != size {
		t.Errorf("%d entries about nothing", w.Ledger.Size()-size)
	}
	if _, err := crosswalk.Open(t.Context(), crosswalk.Config{}); err == nil {
		t.Error("opened without a log")
	}
}

// A person has at most a thousand identifiers, however they come together.
func TestPersonIsBounded(t *testing.T) {
	w := open(t)
	half := func(system string) (ids []string) {
		for i := range 500 {
			ids = append(ids, fmt.Sprintf("urn:oid:1.2.%s|%d", system, i))
		}
		return ids
	}
	a, b := half("1"), half("2")
	w.link(t, a...)
	w.link(t, b...)
	w.link(t, a[0], b[0])
	if n := len(w.same(a[0])); n != 999 {
		t.Fatal(n)
	}
	size := w.Ledger.Size()
	if _, err := w.Link(t.Context(), olga, []string{a[1], "Patient/7"}, "x"); hippad.KindOf(err) != hippad.Conflict {
		t.Error(err)
	}
	if w.Ledger.Size() != size || w.same("Patient/7") != nil {
		t.Error("one too many")
	}
	got, err := w.Import(t.Context(), olga, [][]string{{a[3], "Patient/7"}, {"Patient/7", "Patient/8"}, {"Patient/8", b[3]}}, "x", false)
	if err != nil || got[0].Refused == "" || !got[1].Linked || got[2].Refused == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if !slices.Equal(w.same("Patient/7"), []string{"Patient/8"}) {
		t.Error("half a row is linked")
	}
}

func TestImport(t *testing.T) {
	w := open(t)
	w.link(t, "urn:oid:1.2|a", "urn:oid:1.2|b")
	size := w.Ledger.Size()
	rows := [][]string{
		{"a^^^&1.2&ISO", "Patient/1"},
		{"Patient/1", "urn:oid:1.2|b"},     // by now
		{"Patient/2", "Patient/3", "4711"}, // not even the first two
		{"Patient/2"},
		{"Patient/4", "Patient/5"},
	}
	want := []crosswalk.Outcome{{Linked: true}, {}, {}, {}, {Linked: true}}
	for _, trial := range []bool{true, false} {
		got, err := w.Import(t.Context(), olga, rows, "from the EMPI", trial)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if bad := i == 2 || i == 3; (got[i].Refused != "") != bad || got[i].Linked != want[i].Linked || strings.Contains(got[i].Refused, "4711") {
				t.Errorf("trial %v, row %d: %+v", trial, i, got[i])
			}
		}
		if trial && (w.same("Patient/1") != nil || w.Ledger.Size() != size+1) {
			t.Error("a trial has changed something")
		}
	}
	if got := w.same("urn:oid:1.2|a"); !slices.Equal(got, []string{"Patient/1", "urn:oid:1.2|b"}) {
		t.Error(got)
	}
	if w.same("Patient/2") != nil || !slices.Equal(w.same("Patient/4"), []string{"Patient/5"}) {
		t.Error("half done")
	}
	p, err := w.Show(t.Context(), olga, "Patient/4")
	if err != nil || p.Identifiers[0].Reason != "from the EMPI" {
		t.Errorf("%+v, %v", p.Identifiers, err)
	}
	again, err := w.Import(t.Context(), olga, rows, "again", false)
	if err != nil || again[0] != (crosswalk.Outcome{}) || again[4] != (crosswalk.Outcome{}) {
		t.Errorf("%+v, %v", again, err)
	}
	huge := [][]string{}
	for i := range crosswalk.MaxRows {
		huge = append(huge, []string{fmt.Sprintf("urn:oid:1.2|%s%d", strings.Repeat("x", 300), i), fmt.Sprintf("urn:oid:1.3|%s%d", strings.Repeat("y", 450), i)})
	}
	if _, err := w.Import(t.Context(), olga, huge, "x", false); hippad.KindOf(err) != hippad.TooLarge || w.same(huge[0][0]) != nil {
		t.Error(err)
	}
}

// What others report, in whatever words, links nobody; nor does what the index offers by mistake.
func TestForgedLinks(t *testing.T) {
	w := &world{log: testlog.New(t)}
	w.log.Term = func(hippad.Term) uint64 { return 1 }
	w.open(t)
	t.Cleanup(func() { w.log.Close(t) })
	w.link(t, "Patient/1", "Patient/2")
	real := w.entries(t, 0)[0]
	forged := strings.ReplaceAll(string(real.Body), "Patient/2", "Patient/3")
	if forged == string(real.Body) {
		t.Fatal("nothing is forged")
	}
	text, err := json.Marshal(map[string]any{"reason": "x", "link": [][]string{{"Patient/1", "Patient/3"}}})
	if err != nil {
		t.Fatal(err)
	}
	event := fhir.Write(hippad.Event{Entities: []hippad.Entity{{Details: []hippad.Detail{{Type: "hippad/1 crosswalk", Value: text}}}}})
	w.log.Report(t, forged, string(event.Body), strings.Repeat("{", 1000), dicom("Patient/3"))
	if err := w.log.Note(t.Context(), olga, w.log.AuditLogUsed("something else")); err != nil {
		t.Fatal(err)
	}
	again, err := crosswalk.Open(t.Context(), crosswalk.Config{Ledger: w.log.Ledger, Repository: w.log.Repository})
	if err != nil {
		t.Fatal(err)
	}
	w.link(t, "Patient/8", "Patient/9")
	for _, c := range []*crosswalk.Crosswalk{w.Crosswalk, again} {
		w.Crosswalk = c
		if got := w.same("Patient/1"); !slices.Equal(got, []string{"Patient/2"}) || w.same("Patient/3") != nil {
			t.Errorf("same: %v", got)
		}
	}
}

// Only a patient is the same as another.
func TestSameOfOtherFields(t *testing.T) {
	w := open(t)
	w.link(t, "Patient/1", "Patient/2")
	for _, term := range []hippad.Term{hippad.NewTerm(hippad.FieldEntity, "Patient/1"), hippad.NewTerm(hippad.FieldPatient, "1"), {Field: hippad.FieldPatient}} {
		if got := w.Same(term); got != nil {
			t.Errorf("%v", got)
		}
	}
}
