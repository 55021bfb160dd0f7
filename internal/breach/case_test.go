package breach_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/breach"
	"hippad/internal/regulation"
	"hippad/internal/storetest"
	"hippad/internal/testlog"
)

// nursing is a log in which a nurse has touched patients 1 to 4: 3 was denied, 4 goes by two numbers that the crosswalk links.
func nursing(t *testing.T) (*world, int64) {
	w := open(t)
	first := w.log.Report(t,
		access("2026-10-01T08:00:00Z", "nurse", "0", mrn(1)),
		access("2026-10-02T08:00:00Z", "nurse", "0", mrn(1), mrn(2)),
		access("2026-10-03T08:00:00Z", "nurse", "8", mrn(3)),
		access("2026-10-04T08:00:00Z", "NURSE", "4", mrn(4)),
		access("2026-10-05T08:00:00Z", "nurse", "0", "77^^^&amp;1.2.4&amp;ISO"),
		access("2026-10-06T08:00:00Z", "nurse", "0"),
		access("2026-10-07T08:00:00Z", "doctor", "0", mrn(5)),
		access("2026-10-08T08:00:00Z", "nurse", "0", "9"),
	)
	if _, err := w.crosswalk.Link(t.Context(), olga, []string{id(4), "urn:oid:1.2.4|77"}, "same"); err != nil {
		t.Fatal(err)
	}
	return w, first
}

func TestScope(t *testing.T) {
	w, first := nursing(t)
	c := w.begin(t)
	s := w.scope(t, breach.Order{Case: c, User: "nurse", Residents: []breach.Address{
		{Line: 2, Patient: "1^^^&1.2.3&ISO", State: "il"}, {Line: 3, Patient: id(2), State: "Ontario"}, {Line: 4, Patient: "77^^^&1.2.4&ISO", State: "Wisconsin"},
		{Line: 5, Patient: id(4), State: "IL"}, {Line: 6, Patient: id(99), State: "IL"}, {Line: 7, Patient: " "}, {Line: 8, Patient: id(1), State: "IL"},
	}})
	if s.Individuals != 4 || s.Entries != 6 || s.Failed != 1 || s.Review != 1 || s.Unnamed != 1 || s.Unassigned != 1 {
		t.Errorf("%+v", s.Scope)
	}
	if fmt.Sprint(s.Residents) != "map[IL:1 WI:1]" || s.Unknown != 2 || s.NotAffected != 1 {
		t.Errorf("residents %v, %d unknown, %d others", s.Residents, s.Unknown, s.NotAffected)
	}
	if fmt.Sprint(s.Refused) != "[{3 this is no State: counted as unknown} {5 an earlier row has the patient in another State} {7 the patient is missing}]" {
		t.Errorf("refused %v", s.Refused)
	}
	if got := fmt.Sprint(w.held); got != fmt.Sprintf("[[{%d 2} {%d 3} {%d 1}]]", first, first+3, first+7) {
		t.Errorf("held %s", got)
	}
	a, drift, err := w.Affected(t.Context(), olga, c, "test")
	if err != nil || drift != "" {
		t.Fatalf("%q, %v", drift, err)
	}
	want := fmt.Sprintf("[9: [%d]] [urn:oid:1.2.3|1: [%d %d]] [urn:oid:1.2.3|2: [%d]] [urn:oid:1.2.3|4 urn:oid:1.2.4|77: [%d %d]] ", first+7, first, first+1, first+1, first+3, first+4)
	got := ""
	for _, p := range a.Persons {
		got += fmt.Sprintf("[%s: %v] ", strings.Join(p.Identifiers, " "), p.Entries)
	}
	if got != want {
		t.Errorf("affected %s, want %s", got, want)
	}
}

// A scope is asked of the log as it was: what comes later does not change it, what is linked later shows.
func TestScopeIsAskedAgain(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse"})
	w.log.Report(t, access("2026-10-01T09:00:00Z", "nurse", "0", mrn(100)))
	if a, drift, err := w.Affected(t.Context(), olga, c, ""); err != nil || drift != "" || len(a.Persons) != 4 {
		t.Fatalf("%d persons, %q, %v", len(a.Persons), drift, err)
	}
	if _, err := w.crosswalk.Link(t.Context(), olga, []string{id(1), id(2)}, "same"); err != nil {
		t.Fatal(err)
	}
	if a, drift, err := w.Affected(t.Context(), olga, c, ""); err != nil || !strings.Contains(drift, "was 4 individuals in 6 entries, and is now 3 in 6: identifiers were linked") || len(a.Persons) != 3 {
		t.Fatalf("%d persons, %q, %v", len(a.Persons), drift, err)
	}
	if s := w.scope(t, breach.Order{Case: c, User: "nurse"}); s.Individuals != 4 { // 1+2, 4, 9 and the new one
		t.Errorf("scoped anew: %d", s.Individuals)
	}
}

// The ways to ask, and what is left out.
func TestScopeQuestions(t *testing.T) {
	w, first := nursing(t)
	c := w.begin(t)
	q := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, id(2))}}, Limit: 1}
	for _, x := range []struct {
		name  string
		o     breach.Order
		want  int
		error hippad.Kind
	}{
		{"device", breach.Order{Device: "10.4.2.17"}, 5, 0},
		{"source", breach.Order{Source: "ehr"}, 5, 0},
		{"query", breach.Order{Query: &q}, 2, 0},
		{"period", breach.Order{From: date("2026-10-04"), To: date("2026-10-05")}, 1, 0},
		{"entries", breach.Order{Entries: []hippad.Range{{First: first, Count: 1}}}, 1, 0},
		{"user and period", breach.Order{User: "nurse", To: date("2026-10-01")}, 1, 0},
		{"except", breach.Order{User: "nurse", Except: []string{"77^^^&1.2.4&ISO", id(1)}, Reason: "their nurse"}, 2, 0},
		{"except without reason", breach.Order{User: "nurse", Except: []string{id(1)}}, 0, hippad.Invalid},
		{"except a stranger", breach.Order{User: "nurse", Except: []string{id(5)}, Reason: "x"}, 0, hippad.NotFound},
		{"nobody", breach.Order{User: "somebody else"}, 0, hippad.NotFound},
		{"nothing", breach.Order{}, 0, hippad.Invalid},
		{"backwards", breach.Order{From: date("2026-10-05"), To: date("2026-10-04")}, 0, hippad.Invalid},
		{"no such entries", breach.Order{Entries: []hippad.Range{{First: -1, Count: 1}}}, 0, hippad.Invalid},
		{"too many entries", breach.Order{Entries: []hippad.Range{{First: 0, Count: 1 << 30}}}, 0, hippad.Invalid},
		{"estimate without basis", breach.Order{Estimate: 600}, 0, hippad.Invalid},
		{"estimate", breach.Order{Estimate: 600, Basis: "census"}, 0, 0},
		{"no case", breach.Order{Case: 99, User: "nurse"}, 0, hippad.NotFound},
	} {
		if x.o.Case == 0 {
			x.o.Case = c
		}
		s, err := w.Scope(t.Context(), olga, x.o)
		if x.error != 0 && hippad.KindOf(err) != x.error || x.error == 0 && (err != nil || s.Individuals != x.want) {
			t.Errorf("%s: %d individuals, %v", x.name, s.Individuals, err)
		}
	}
	w.scope(t, breach.Order{Case: c, Entries: []hippad.Range{{First: first, Count: 1}}})
	size := w.Ledger.Size()
	if s := w.scope(t, breach.Order{Case: c, Add: true, User: "doctor", Trial: true}); s.Individuals != 2 || len(s.Questions) != 2 || w.Ledger.Size() != size+1 {
		t.Errorf("added: %d individuals by %d questions, %d entries written", s.Individuals, len(s.Questions), w.Ledger.Size()-size)
	}
}

// A whole life, replayed to the same case after a restart; and a case that is only its entries.
func TestLife(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse", Except: []string{"9"}, Reason: "x"})
	fails := func(what string, kind hippad.Kind, err error) {
		t.Helper()
		if err == nil || hippad.KindOf(err) != kind {
			t.Errorf("%s: %v", what, err)
		}
	}
	try := func(s breach.Step) error { _, err := w.Do(t.Context(), olga, c, s); return err }
	tell := func(rows ...breach.NoticeRow) (breach.Notified, error) {
		return w.Notify(t.Context(), olga, c, rows, false)
	}

	fails("closed undecided", hippad.Conflict, try(breach.Step{Close: &breach.Closing{}}))
	_, err := tell(mailed(2, id(1), "2026-11-21"))
	fails("notice undecided", hippad.Conflict, err)
	fails("snooping by (i)", hippad.Invalid, try(breach.Step{Decide: &breach.Decision{Basis: regulation.BasisExclusionI, Reason: "x"}}))
	fails("low probability of nothing", hippad.Conflict, try(breach.Step{Decide: &breach.Decision{Basis: regulation.BasisLowProbability, Reason: "x"}}))
	fails("two things", hippad.Invalid, try(breach.Step{Decide: &breach.Decision{Breach: true, Reason: "x"}, Reopen: &breach.Closing{Reason: "x"}}))
	fails("nothing", hippad.Invalid, try(breach.Step{}))
	w.do(t, c, breach.Step{Assess: []regulation.BreachAnswer{{Question: regulation.Factor1, Text: "names", Author: "olga"}, {Question: regulation.Unsecured, Yes: true, Text: "plain", Author: "olga"}}})
	w.do(t, c, decided())
	_, err = tell(mailed(2, id(1), "2026-11-21"))
	fails("notice without a letter", hippad.Conflict, err)
	w.do(t, c, breach.Step{Letter: &regulation.BreachLetter{What: "a"}})
	_, err = tell(mailed(2, id(1), "2026-11-21"))
	fails("notice with a draft", hippad.Conflict, err)
	if got := w.do(t, c, lettered()); got.Letter.Contact.TollFree != "1-800-555-0100" {
		t.Errorf("the letter's contact is %+v", got.Letter.Contact)
	}
	out, err := tell(mailed(2, "1^^^&1.2.3&ISO", "2026-11-21"), mailed(3, id(99), "2026-11-21"), mailed(4, id(2), "2026-12-24"), mailed(5, "urn:oid:1.2.4|77", "2026-11-22"), mailed(6, id(2), "2026-11-19"))
	if err != nil || out.Entered != 2 || out.Reached != 2 || out.Of != 3 || len(out.Refused) != 3 {
		t.Fatalf("%+v, %v", out, err)
	}
	err = try(breach.Step{Close: &breach.Closing{}})
	fails("closed too early", hippad.Conflict, err)
	if !strings.Contains(err.Error(), "notice to each individual (164.404) was given to 2 of 3") || !strings.Contains(err.Error(), "the Secretary of HHS (164.408(c))") {
		t.Errorf("refused by %v", err)
	}
	returned := mailed(2, id(1), "2026-11-21")
	returned.Returned = date("2026-11-23")
	if out, err = tell(returned, mailed(3, id(2), "2026-11-23")); err != nil || out.Reached != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "substitute", Substitute: &regulation.Substitute{Form: "other", Persons: 1, From: date("2026-11-23"), Evidence: "telephone"}}})
	w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "secretary", Date: date("2026-11-23"), Tracking: "T-1"}})
	before := w.do(t, c, breach.Step{Close: &breach.Closing{}})
	fails("a step after the end", hippad.Conflict, try(decided()))
	w.restart(t)
	status, err := w.Status(t.Context(), olga, c)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := asJSON(t, before), asJSON(t, status.Case); a != b {
		t.Errorf("before the restart\n%s\nafter\n%s", a, b)
	}
	if len(status.Missing) > 0 || status.Case.Closed == nil || status.Clocks[0].Given != date("2026-11-23") {
		t.Errorf("missing %v, given %v", status.Missing, status.Clocks[0].Given)
	}
	w.do(t, c, breach.Step{Reopen: &breach.Closing{Reason: "a letter came back"}})
	if list, err := w.List(t.Context(), olga); err != nil || len(list) != 1 || list[0].State != "breach" || list[0].Individuals != 3 || list[0].Next != nil {
		t.Errorf("%+v, %v", list, err)
	}
}

func asJSON(t testlog.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// 164.412: no notice is taken before the delay ends, and status shows both days.
func TestDelayBlocks(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse"})
	w.do(t, c, decided())
	w.do(t, c, lettered())
	w.do(t, c, breach.Step{Delay: &regulation.LawDelay{Agency: "FBI", Official: "Moss", Stated: date("2026-11-22")}})
	if out, err := w.Notify(t.Context(), olga, c, []breach.NoticeRow{mailed(2, id(1), "2026-11-21"), mailed(3, id(2), "2026-11-22"), mailed(4, id(4), "2026-11-23")}, false); err != nil || out.Entered != 1 || len(out.Refused) != 2 || !strings.Contains(out.Refused[0].Reason, "2026-12-22") {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := w.Do(t.Context(), olga, c, breach.Step{Notice: &breach.Notice{Kind: "secretary", Date: date("2026-11-23"), Tracking: "T"}}); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("the Secretary is told in spite of the delay: %v", err)
	}
	if _, err := w.Do(t.Context(), olga, c, breach.Step{Delay: &regulation.LawDelay{Agency: "FBI", Official: "Moss", Stated: date("2026-11-22"), Until: date("2026-12-23")}}); hippad.KindOf(err) != hippad.Invalid {
		t.Errorf("an oral delay of 31 days: %v", err)
	}
	s, err := w.Status(t.Context(), olga, c)
	if err != nil {
		t.Fatal(err)
	}
	if k := s.Clocks[0]; !k.Blocked || k.NotBefore != date("2026-12-22") || k.Last != date("2027-01-19") {
		t.Errorf("blocked %v until %s, last day %s", k.Blocked, k.NotBefore, k.Last)
	}
	w.now = w.now.AddDate(0, 1, 0)
	if out, err := w.Notify(t.Context(), olga, c, []breach.NoticeRow{mailed(3, id(2), "2026-12-22")}, false); err != nil || out.Entered != 1 {
		t.Errorf("after the delay: %+v, %v", out, err)
	}
	w.now = w.now.AddDate(0, 2, 0)
	if s, err = w.Status(t.Context(), olga, c); err != nil || !s.Clocks[0].Overdue || s.Clocks[0].DaysLeft >= 0 {
		t.Errorf("overdue %v, %v", s.Clocks[0].Overdue, err)
	}
}

// What is 164.406 and an overlay in a case: the threshold by the table of addresses, a rule of a State by its name.
func TestMediaAndOverlays(t *testing.T) {
	w := newWorld(t)
	w.organisation.Options.Overlays = []string{"tx"}
	w.open(t)
	t.Cleanup(func() { w.stop(t) })
	var table []breach.Address
	var bodies []string
	for i := range 501 {
		bodies = append(bodies, access("2026-10-01T08:00:00Z", "nurse", "0", mrn(i)))
		table = append(table, breach.Address{Line: i + 2, Patient: id(i), State: "TX"})
	}
	w.log.Report(t, bodies...)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse", Residents: table})
	w.do(t, c, decided())
	s, err := w.Status(t.Context(), olga, c)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range s.Clocks {
		names = append(names, k.Notice+" "+k.Last.String())
	}
	if got := strings.Join(names, ", "); got != "individual 2027-01-19, media 2027-01-19, secretary 2027-01-19, tx-individual 2027-01-22, tx-attorney-general 2026-12-23" {
		t.Error(got)
	}
	w.do(t, c, lettered())
	var rows []breach.NoticeRow
	for i := range 501 {
		rows = append(rows, mailed(i+2, id(i), "2026-11-23"))
		rows[i].Basis = strings.Repeat("x", 490) // so that they are several parts
	}
	steps := func() int { v, _ := w.Status(t.Context(), olga, c); return len(v.Case.Steps) }
	before := steps()
	if out, err := w.Notify(t.Context(), olga, c, rows, false); err != nil || out.Reached != 501 {
		t.Fatalf("%d reached, %v", out.Reached, err)
	}
	if n := steps() - before; n < 3 {
		t.Errorf("%d steps: the rows were not written in parts", n)
	}
	for _, n := range []breach.Notice{{Kind: "media", State: "Texas", To: "Dallas Morning News", Date: date("2026-11-23")}, {Kind: "secretary", Date: date("2026-11-23"), Tracking: "T"},
		{Kind: "tx-attorney-general", Date: date("2026-11-23")}} {
		w.do(t, c, breach.Step{Notice: &n})
	}
	for _, n := range []breach.Notice{{Kind: "ca-cdph", Date: date("2026-11-23")}, {Kind: "media", To: "x", Date: date("2026-11-23")}, {Kind: "secretary", Date: date("2026-11-23")}, {Kind: "individual", Date: date("2026-11-23")}, {Kind: "secretary", Tracking: "x"}} {
		if _, err := w.Do(t.Context(), olga, c, breach.Step{Notice: &n}); hippad.KindOf(err) != hippad.Invalid {
			t.Errorf("%s: %v", n.Kind, err)
		}
	}
	w.do(t, c, breach.Step{Close: &breach.Closing{}})
	if _, err := breach.Open(t.Context(), breach.Config{Ledger: w.Ledger, Repository: w.Repository, Now: w.Now, Organisation: &regulation.Organisation{Options: regulation.LegalOptions{Overlays: []string{"zz"}}}}); hippad.KindOf(err) != hippad.Invalid {
		t.Errorf("an overlay that there is not: %v", err)
	}
}

// Parts of a list that has no end, because the log took no more, have no effect, also after a restart; the same rows can then be recorded.
func TestFaultBetweenParts(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse"})
	w.do(t, c, decided())
	w.do(t, c, lettered())
	var rows []breach.NoticeRow
	for i := range 700 {
		rows = append(rows, mailed(i+2, id(1), date("2026-11-20").AddDays(i%4).String()))
		rows[i].Basis = fmt.Sprint(i, strings.Repeat("x", 480))
	}
	commits := 0
	w.log.Store.Before(func(op storetest.Op) {
		if op == storetest.OpCommit {
			if commits++; commits == 3 { // the question, the first part, and then no more
				w.log.Store.FailNext(storetest.OpCommit, storetest.NotStored, 1, hippad.Errorf(hippad.Unavailable, "disk full"))
			}
		}
	})
	size := w.Ledger.Size()
	if _, err := w.Notify(t.Context(), olga, c, rows, false); hippad.KindOf(err) != hippad.Unavailable || w.Ledger.Size() != size+2 {
		t.Errorf("%d entries were written, %v", w.Ledger.Size()-size, err)
	}
	w.restart(t)
	s, err := w.Status(t.Context(), olga, c)
	if err != nil || len(s.Case.Persons) != 0 {
		t.Fatalf("%d rows are in force, %v", len(s.Case.Persons), err)
	}
	if out, err := w.Notify(t.Context(), olga, c, rows, false); err != nil || out.Reached != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
}

// What cannot be written has no effect and no answer, and a hold that fails stops the scope.
func TestFaults(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	w.noHold = hippad.Errorf(hippad.Conflict, "too many holds")
	if _, err := w.Scope(t.Context(), olga, breach.Order{Case: c, User: "nurse"}); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("scoped without a hold: %v", err)
	}
	w.log.Store.FailNext(storetest.OpCommit, storetest.NotStored, 1, hippad.Errorf(hippad.Unavailable, "disk full"))
	if got, err := w.Do(t.Context(), olga, c, decided()); err == nil {
		t.Errorf("decided without an entry: %v", got)
	}
	w.restart(t)
	if s, err := w.Status(t.Context(), olga, c); err != nil || s.Case.Decision != nil || s.Case.Scope != nil {
		t.Errorf("%+v, %v", s.Case.Decision, err)
	}
}

// Who may not answer for the organisation is refused, and that is in the log.
func TestWhoMay(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	for _, who := range []hippad.Caller{vera, pacs, testlog.Person("adm", hippad.RoleAdministrator), testlog.Person("pat", hippad.RolePatient)} {
		size := w.Ledger.Size()
		_, e1 := w.OpenCase(t.Context(), who, opening())
		_, e2 := w.Scope(t.Context(), who, breach.Order{Case: c, User: "nurse"})
		_, e3 := w.Do(t.Context(), who, c, decided())
		_, e4 := w.Notify(t.Context(), who, c, nil, false)
		_, e5 := w.Status(t.Context(), who, c)
		_, e6 := w.List(t.Context(), who)
		_, _, e7 := w.Affected(t.Context(), who, c, "")
		e8 := w.Packet(t.Context(), who, c, new(strings.Builder))
		for i, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8} {
			if hippad.KindOf(err) != hippad.Unauthorised {
				t.Errorf("%s, %d: %v", who.ID, i+1, err)
			}
		}
		if w.Ledger.Size() != size+8 {
			t.Errorf("%s: %d entries about 8 refusals", who.ID, w.Ledger.Size()-size)
		}
	}
}

// What a case cannot be opened with.
func TestOpening(t *testing.T) {
	w := open(t)
	for name, change := range map[string]func(*breach.Opening){
		"no day": func(o *breach.Opening) { o.Discovered = regulation.Date{} }, "tomorrow": func(o *breach.Opening) { o.Discovered = date("2026-11-24") },
		"no words": func(o *breach.Opening) { o.What = " " }, "nobody": func(o *breach.Opening) { o.DiscoveredBy = "" }, "no cause": func(o *breach.Opening) { o.Cause = "bad luck" },
		"control": func(o *breach.Opening) { o.What = "a\x1b[2J" }, "long": func(o *breach.Opening) { o.What = strings.Repeat("x", 10_001) },
		"agent of nobody": func(o *breach.Opening) { o.AssociateIsAgent = true }, "agent without a day": func(o *breach.Opening) { o.Associate, o.AssociateIsAgent = "x", true },
		"entries that are not there": func(o *breach.Opening) { o.Entries = []hippad.Range{{First: 1 << 40, Count: 1}} },
	} {
		o := opening()
		change(&o)
		if _, err := w.OpenCase(t.Context(), olga, o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	o := opening()
	o.Associate, o.AssociateIsAgent, o.AssociateDiscovered = "Billing", true, date("2026-11-01")
	c, err := w.OpenCase(t.Context(), olga, o)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := w.Status(t.Context(), olga, c.ID); err != nil || s.DayZero != date("2026-11-01") {
		t.Errorf("day 0 is %s, %v", s.DayZero, err)
	}
}

// Nothing of a case is printed by accident.
func TestRedacted(t *testing.T) {
	c := breach.Case{ID: 7, Persons: []regulation.PersonNotice{{Patient: "secret"}}}
	p := breach.Person{Identifiers: []string{"secret"}}
	s := breach.Scope{Except: []string{"secret"}, Questions: []breach.Question{{Text: "patient=secret"}}}
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%#v %+v", c, c), fmt.Sprint(p), fmt.Sprintf("%#v", p), fmt.Sprintf("%+v %#v", s, s), fmt.Sprintf("%+v %#v", breach.Scoped{Scope: s}, s),
		fmt.Sprintf("%+v %#v", c.Persons, c.Persons), fmt.Sprintf("%+v", breach.NoticeRow{PersonNotice: c.Persons[0]}), fmt.Sprintf("%+v", breach.Order{User: "secret"}), fmt.Sprintf("%+v", breach.Address{Patient: "secret"})} {
		if strings.Contains(text, "secret") {
			t.Error(text)
		}
	}
}

// Whatever the accesses: the persons of a scope are those that a plain reading finds, each entry proves somebody, and asked again it is the same.
func TestScopeProperty(t *testing.T) {
	w := open(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		user := fmt.Sprintf("user%d", n)
		want := map[int][]int64{}
		for range rapid.IntRange(1, 20).Draw(t, "accesses") {
			patients := rapid.SliceOfNDistinct(rapid.IntRange(1, 8), 1, 3, rapid.ID).Draw(t, "patients")
			failed := rapid.Bool().Draw(t, "failed")
			var names []string
			for _, p := range patients {
				names = append(names, mrn(p))
			}
			at := w.log.Report(t, access("2026-10-01T08:00:00Z", user, map[bool]string{true: "12", false: "0"}[failed], names...))
			for _, p := range patients {
				if !failed {
					want[p] = append(want[p], at)
				}
			}
		}
		c := w.begin(t)
		s, err := w.Scope(context.Background(), olga, breach.Order{Case: c, User: user})
		if len(want) == 0 {
			if hippad.KindOf(err) != hippad.NotFound {
				t.Fatalf("nobody is affected: %v", err)
			}
			return
		}
		a, drift, again := w.Affected(context.Background(), olga, c, "")
		if err != nil || again != nil || drift != "" || s.Individuals != len(want) || a.SHA256() != s.SHA256 {
			t.Fatalf("%d individuals, want %d: %v, %q", s.Individuals, len(want), err, drift)
		}
		for p, entries := range want {
			if !slices.ContainsFunc(a.Persons, func(x breach.Person) bool {
				return slices.Equal(x.Identifiers, []string{id(p)}) && slices.Equal(x.Entries, entries)
			}) {
				t.Fatalf("patient %d is not there with %v", p, entries)
			}
		}
	})
}
