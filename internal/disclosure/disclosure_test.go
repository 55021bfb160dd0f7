package disclosure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/disclosure"
	"hippad/internal/regulation"
	"hippad/internal/storetest"
	"hippad/internal/testlog"
)

const olgas = "urn:oid:1.2.3|7"

func marshal(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// snapshot is everything that people have decided.
func (w *world) snapshot(t testing.TB) string {
	t.Helper()
	ctx := t.Context()
	requests, err1 := w.Requests(ctx, olga, true)
	suspensions, err2 := w.Suspensions(ctx, olga)
	protocols, err3 := w.Protocols(ctx, olga)
	issued, err4 := w.IssuedList(ctx, olga, "")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	a := w.account(t, disclosure.Ask{Patients: []string{olgas}, Officer: true})
	a.Size = 0
	return marshal(t, []any{requests, suspensions, protocols, issued, a})
}

// A request from its first day to the accounting as it was given, and all of it again after a restart.
func TestLifeOfARequest(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	first := w.log.Report(t, event("2026-03-01", "urn:oid:1.2.3", "7", "County", "PUBHLTH"), event("2026-04-01", "urn:oid:1.2.3", "7", "County", "PUBHLTH"),
		event("2026-05-01", "urn:oid:1.2.3", "7", "Somebody", "XYZ"), event("2026-05-02", "urn:oid:1.2.3", "8", "County", "PUBHLTH"),
		event("2026-06-01", "urn:oid:1.2.3", "7", "Police", "HLEGAL"))
	r, err := w.Receive(ctx, olga, regulation.Request{Patient: "7^^^&1.2.3&ISO", Received: day("2026-11-20"), Number: 5, Answered: day("2026-11-21")})
	if err != nil || r.Due != day("2027-01-19") || r.Left != 57 || !r.Free || r.Number < first {
		t.Fatalf("%+v, %v", r, err)
	}
	if x, err := w.Extend(ctx, olga, r.Number, regulation.Extension{Reasons: "the archive"}); err != nil || x.Due != day("2027-02-18") {
		t.Fatalf("%+v, %v", x, err)
	}
	if a := w.account(t, disclosure.Ask{Request: r.Number, Issue: true}); a.Issued != nil || !strings.Contains(a.Refused, "1 disclosures wait") || a.Open != 1 {
		t.Fatalf("%q", a.Refused)
	}
	queue, err := w.Queue(ctx, olga, "", 0, regulation.Date{}, regulation.Date{})
	if err != nil || len(queue.Waiting) != 1 || queue.Waiting[0].Entry != first+2 || queue.Waiting[0].Patients[0] != olgas {
		t.Fatalf("%+v, %v", queue, err)
	}
	if _, err := w.Decide(ctx, olga, []regulation.Decision{{Entry: first + 2, Verdict: regulation.Accountable, Basis: "164.512(k)(6)", Why: "asked them"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Suspend(ctx, olga, regulation.Suspension{Agency: "Police", Basis: "law-enforcement", Oral: true, Official: "Moss"}); err != nil {
		t.Fatal(err)
	}
	a := w.account(t, disclosure.Ask{Request: r.Number, Issue: true})
	if a.Issued == nil || len(a.Rows) != 2 || a.Rows[0].Count != 2 || a.Rows[1].Basis[0] != "164.512(k)(6)" || !a.Issued.Free || a.Issued.Request != r.Number {
		t.Fatalf("%v %q", a.Rows, a.Refused)
	}
	if a := w.account(t, disclosure.Ask{Request: r.Number, Issue: true}); !strings.Contains(a.Refused, "closed") {
		t.Errorf("issued twice: %q", a.Refused)
	}
	if _, err := w.Withdraw(ctx, olga, r.Number, "x"); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("withdrawn after it was answered: %v", err)
	}
	given, err := w.Issued(ctx, olga, a.Number)
	if err != nil || marshal(t, given.Rows) != marshal(t, a.Rows) || given.Patient != a.Patient || given.Officer {
		t.Fatalf("%v, %v", given, err)
	}
	before := w.snapshot(t)
	w.restart(t)
	if after := w.snapshot(t); after != before {
		t.Errorf("after the restart:\n%s\nbefore:\n%s", after, before)
	}
	if again, err := w.Issued(ctx, olga, a.Number); err != nil || marshal(t, again) != marshal(t, given) {
		t.Errorf("after the restart: %v", err)
	}
	// The suspension lapses, and the row is in the next accounting; the one that was given stays as it was.
	w.now = w.now.AddDate(0, 0, 31)
	if a := w.account(t, disclosure.Ask{Patients: []string{olgas}}); len(a.Rows) != 3 {
		t.Errorf("%d rows after the suspension", len(a.Rows))
	}
	next, err := w.Receive(ctx, olga, regulation.Request{Patient: olgas})
	if err != nil || next.Free {
		t.Errorf("the second within a year is free: %v", err)
	}
	if x, err := w.Withdraw(ctx, olga, next.Number, "the fee"); err != nil || x.Withdrawn.IsZero() {
		t.Errorf("%+v, %v", x, err)
	}
	w.now = w.now.AddDate(0, 11, 0)
	if next, err = w.Receive(ctx, olga, regulation.Request{Patient: olgas}); err != nil || !next.Free {
		t.Errorf("after a year: %+v, %v", next, err)
	}
	w.now = w.now.AddDate(0, 0, 61)
	if all, err := w.Requests(ctx, olga, false); err != nil || len(all) != 1 || !all[0].Overdue || all[0].Left != -1 {
		t.Errorf("%+v, %v", all, err)
	}
}

// An accounting that is longer than an entry may be is kept in parts, and comes back whole.
func TestIssuedInParts(t *testing.T) {
	w := open(t)
	var bodies []string
	for i := range 600 {
		bodies = append(bodies, event("2026-03-01", "urn:oid:1.2.3", "7", fmt.Sprintf("Agency %d %s", i, strings.Repeat("ä", 400)), "PUBHLTH"))
	}
	w.log.Report(t, bodies...)
	a := w.account(t, disclosure.Ask{Patients: []string{olgas}, Issue: true})
	if a.Issued == nil || len(a.Issued.Parts) < 2 {
		t.Fatalf("%+v %q", a.Issued, a.Refused)
	}
	w.restart(t)
	given, err := w.Issued(t.Context(), olga, a.Number)
	if err != nil || marshal(t, given.Rows) != marshal(t, a.Rows) {
		t.Errorf("%d rows of %d, %v", len(given.Rows), len(a.Rows), err)
	}
}

func TestPatients(t *testing.T) {
	w := open(t)
	w.log.Report(t, event("2026-03-01", "urn:oid:1.2.3", "7", "County", "PUBHLTH"), event("2026-03-01", "urn:oid:1.2.4", "7", "State", "PUBHLTH"))
	if a := w.account(t, disclosure.Ask{Patients: []string{"urn:oid:1.2.9|7"}}); !a.Unknown || !slices.Equal(a.Tried, []string{"urn:oid:1.2.9|7"}) {
		t.Errorf("%v tried", a.Tried)
	}
	a := w.account(t, disclosure.Ask{Patients: []string{"7"}, Officer: true})
	if !slices.Equal(a.Several, []string{"urn:oid:1.2.3|7", "urn:oid:1.2.4|7"}) || len(a.Rows)+len(a.Review)+len(a.Exempt) != 0 {
		t.Errorf("7 of two hospitals: %v, %d rows", a.Several, len(a.Rows))
	}
	if a := w.account(t, disclosure.Ask{Patients: []string{"7"}, Issue: true}); !strings.Contains(a.Refused, "several patients") {
		t.Errorf("issued: %q", a.Refused)
	}
	r, err := w.Access(t.Context(), olga, "7", regulation.Date{}, regulation.Date{}, false)
	if err != nil || len(r.Several) != 2 || len(r.Accesses) != 0 {
		t.Errorf("%v, %v", r.Several, err)
	}
	// Those whom the crosswalk knows as one are one.
	w.same = func(x hippad.Term) []hippad.Term {
		for _, pair := range [][2]string{{"urn:oid:1.2.3|7", "urn:oid:1.2.4|7"}, {"urn:oid:1.2.4|7", "urn:oid:1.2.3|7"}} {
			if x.Value == pair[0] {
				return []hippad.Term{hippad.NewTerm(hippad.FieldPatient, pair[1])}
			}
		}
		return nil
	}
	for _, id := range []string{"7", "urn:oid:1.2.3|7", "7^^^&1.2.4&ISO"} {
		if a := w.account(t, disclosure.Ask{Patients: []string{id}}); len(a.Several) != 0 || len(a.Rows) != 2 {
			t.Errorf("%s, linked: %v, %d rows", id, a.Several, len(a.Rows))
		}
	}
	many, err := w.Account(t.Context(), olga, disclosure.Ask{Patients: []string{"urn:oid:1.2.3|7", "nobody", "urn:oid:1.2.4|7"}})
	if err != nil || many[0].Unknown || !many[1].Unknown || many[2].Patient != "urn:oid:1.2.4|7" {
		t.Errorf("%v, %v", many, err)
	}
	for _, bad := range []disclosure.Ask{{}, {Patients: make([]string, 201)}, {Patients: []string{" "}}, {Patients: []string{"x\ny"}}, {Request: 77},
		{Patients: []string{"x"}, Officer: true, Issue: true}, {Patients: []string{"x"}, Requested: day("2027-01-01")}} {
		if _, err := w.Account(t.Context(), olga, bad); err == nil || hippad.KindOf(err) == hippad.Internal {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A reference without its server is of every server: if those that it stands beside are not one patient, there is no answer that shows one nothing of another.
func TestReferenceOfSeveralServers(t *testing.T) {
	of := func(reference, system, value string) string {
		return strings.Replace(event("2026-03-01", system, value, "County", "PUBHLTH"), `{"what":{`, fmt.Sprintf(`{"what":{"reference":%q,`, reference), 1)
	}
	w := open(t)
	w.log.Report(t, of("Patient/7", "urn:oid:1.2.3", "100"), of("Patient/7", "urn:oid:1.2.4", "200"), of("Patient/8", "urn:oid:1.2.3", "300"), of("Patient/8", "urn:oid:1.2.3", "300"))
	for _, asked := range []string{"Patient/7", "7"} {
		a := w.account(t, disclosure.Ask{Patients: []string{asked}, Officer: true})
		if !slices.Equal(a.Several, []string{"urn:oid:1.2.3|100", "urn:oid:1.2.4|200"}) || len(a.Rows) != 0 {
			t.Errorf("%s: %v, %d rows", asked, a.Several, len(a.Rows))
		}
		if r, err := w.Access(t.Context(), olga, asked, regulation.Date{}, regulation.Date{}, false); err != nil || len(r.Several) != 2 || len(r.Accesses) != 0 {
			t.Errorf("%s: %v, %d accesses, %v", asked, r.Several, len(r.Accesses), err)
		}
	}
	for asked, rows := range map[string]int{"Patient/8": 2, "urn:oid:1.2.3|100": 1} {
		if a := w.account(t, disclosure.Ask{Patients: []string{asked}, Every: true}); len(a.Several) != 0 || len(a.Rows) != rows {
			t.Errorf("%s: %v, %d rows", asked, a.Several, len(a.Rows))
		}
	}
	w.same = func(x hippad.Term) []hippad.Term {
		for _, pair := range [][2]string{{"urn:oid:1.2.3|100", "urn:oid:1.2.4|200"}, {"urn:oid:1.2.4|200", "urn:oid:1.2.3|100"}} {
			if x.Value == pair[0] {
				return []hippad.Term{hippad.NewTerm(hippad.FieldPatient, pair[1])}
			}
		}
		return nil
	}
	if a := w.account(t, disclosure.Ask{Patients: []string{"Patient/7"}, Every: true}); len(a.Several) != 0 || len(a.Rows) != 2 {
		t.Errorf("linked: %v, %d rows", a.Several, len(a.Rows))
	}
}

// An entry that has the number of a disclosure by paper, and says something else, keeps nobody from entering it: any sender could write one, and keep it from the patient.
func TestDiscloseBesideAForgery(t *testing.T) {
	w := open(t)
	m := regulation.Manual{Patient: olgas, Date: day("2026-11-20"), To: "Court", What: "chart", Basis: "proceedings"}
	key := m.Key()
	forged := func(text string) string {
		return strings.Replace(text, `{"what":{"reference":"DocumentReference/11"}`, fmt.Sprintf(`{"what":{"identifier":{"system":%q,"value":%q}}`, key.System, key.Value), 1)
	}
	w.log.Report(t, forged(event("2026-11-20", "urn:oid:1.2.3", "8", "Court", "COVERAGE")), forged(event("2026-11-20", "urn:oid:1.2.3", "7", "Court", "TREAT")))
	got, err := w.Disclose(t.Context(), olga, []regulation.Manual{m}, false)
	if err != nil || got[0].Already {
		t.Fatalf("%+v, %v", got, err)
	}
	w.log.Report(t, forged(event("2026-11-20", "urn:oid:1.2.3", "7", "Court", "TREAT"))) // newer than the true one
	if again, err := w.Disclose(t.Context(), olga, []regulation.Manual{m}, false); err != nil || again[0] != (disclosure.Outcome{Entry: got[0].Entry, Already: true}) {
		t.Errorf("%+v, %v", again, err)
	}
	if a := w.account(t, disclosure.Ask{Patients: []string{olgas}}); len(a.Rows) != 1 {
		t.Errorf("%+v", a.Rows)
	}
}

// What was issued is found by the number of the patient alone, too.
func TestIssuedByTheNumberAlone(t *testing.T) {
	w := open(t)
	w.log.Report(t, event("2026-03-01", "urn:oid:1.2.3", "7", "County", "PUBHLTH"))
	w.account(t, disclosure.Ask{Patients: []string{olgas}, Issue: true})
	w.account(t, disclosure.Ask{Patients: []string{"urn:oid:1.2.3|17"}, Issue: true, Empty: true})
	for patient, want := range map[string]int{"7": 1, olgas: 1, "17": 1, "urn:oid:1.2.4|7": 0, "": 2} {
		if all, err := w.IssuedList(t.Context(), olga, patient); err != nil || len(all) != want {
			t.Errorf("%q: %d, %v", patient, len(all), err)
		}
	}
}

// A clock that is a few hours ahead does not put what has happened behind the end of an accounting that is given today.
func TestClockAFewHoursAhead(t *testing.T) {
	w := open(t) // at noon of 2026-11-23
	w.log.Report(t, event("2026-11-24", "urn:oid:1.2.3", "7", "County", "PUBHLTH"), event("2026-11-25", "urn:oid:1.2.3", "7", "State", "PUBHLTH"))
	a := w.account(t, disclosure.Ask{Patients: []string{olgas}, Officer: true})
	if len(a.Rows) != 1 || a.Rows[0].Date != day("2026-11-23") || len(a.Review) != 1 {
		t.Errorf("%v, %d wait", a.Rows, len(a.Review))
	}
	r, err := w.Access(t.Context(), olga, olgas, regulation.Date{}, day("2026-11-23"), false)
	if err != nil || len(r.Accesses) != 2 || !r.Accesses[0].Day.IsZero() || r.Accesses[1].Day != day("2026-11-23") {
		t.Errorf("%+v, %v", r.Accesses, err)
	}
}

// What is suspended, decided or registered while an accounting is made is in it, or it is not issued.
func TestRulesThatChangeMeanwhile(t *testing.T) {
	w := open(t)
	w.log.Report(t, event("2026-03-01", "urn:oid:1.2.3", "7", "Police", "HLEGAL"))
	meanwhile := true
	w.same = func(hippad.Term) []hippad.Term {
		if meanwhile {
			meanwhile = false
			if _, err := w.Suspend(t.Context(), olga, regulation.Suspension{Agency: "Police", Basis: "law-enforcement", Oral: true, Official: "Moss"}); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	ask := disclosure.Ask{Patients: []string{olgas}, Issue: true}
	if a := w.account(t, ask); a.Issued != nil || !strings.Contains(a.Refused, "meanwhile") {
		t.Errorf("issued %v, %q", a.Issued != nil, a.Refused)
	}
	if a := w.account(t, ask); a.Issued == nil || len(a.Rows) != 0 {
		t.Errorf("asked again: %d rows, %q", len(a.Rows), a.Refused)
	}
}

// What somebody sends does not make an answer longer than whoever asks can take, and a page of the queue ends before it is.
func TestLongTexts(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	long := strings.Repeat("x", 1<<20)
	var crowd strings.Builder
	for i := range 50 {
		fmt.Fprintf(&crowd, `{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110152"}]},"name":"Agency %d","requestor":false},`, i)
	}
	huge := func(purpose string) string {
		text := event("2026-03-01", "urn:oid:1.2.3", "7", long, purpose)
		return strings.Replace(text, `"role":{"code":"3"}`, fmt.Sprintf(`"name":%q,"role":{"code":"3"}`, long), 1)
	}
	first := w.log.Report(t, huge("PUBHLTH"), huge("XYZ"), strings.Replace(event("2026-03-02", "urn:oid:1.2.3", "7", "County", "PUBHLTH"), `"agent":[`, `"agent":[`+crowd.String(), 1))
	queue, err := w.Queue(ctx, olga, "", 0, regulation.Date{}, regulation.Date{})
	if err != nil || len(queue.Waiting) != 2 || len(marshal(t, queue)) > 100_000 {
		t.Fatalf("%d wait in %d bytes, %v", len(queue.Waiting), len(marshal(t, queue)), err)
	}
	if reasons := strings.Join(queue.Waiting[1].Reasons, "; "); !strings.Contains(reasons, "51 recipients") {
		t.Errorf("a crowd: %s", reasons)
	}
	a := w.account(t, disclosure.Ask{Patients: []string{olgas}, Officer: true})
	if len(a.Rows) != 1 || len(a.Review) != 2 || len(marshal(t, a)) > 100_000 {
		t.Errorf("%d rows in %d bytes", len(a.Rows), len(marshal(t, a)))
	}
	r, err := w.Access(ctx, olga, olgas, regulation.Date{}, regulation.Date{}, true)
	if err != nil || len(r.Accesses) == 0 || len(marshal(t, r)) > 100_000 {
		t.Errorf("%d accesses in %d bytes, %v", len(r.Accesses), len(marshal(t, r)), err)
	}
	// Who decides of a crowd says who it was.
	if _, err := w.Decide(ctx, olga, []regulation.Decision{{Entry: first + 2, Verdict: regulation.Accountable, Basis: "public-health", Why: "x"}}); err != nil {
		t.Fatal(err)
	}
	if a := w.account(t, disclosure.Ask{Patients: []string{olgas}, Officer: true}); len(a.Review) != 2 {
		t.Errorf("%d wait after a decision that does not say to whom", len(a.Review))
	}
	if _, err := w.Decide(ctx, olga, []regulation.Decision{{Entry: first + 2, Verdict: regulation.Accountable, Basis: "public-health", To: "all agencies of the State", Why: "x"}}); err != nil {
		t.Fatal(err)
	}
	if a := w.account(t, disclosure.Ask{Patients: []string{olgas}, Officer: true}); len(a.Review) != 1 || len(a.Rows) != 2 {
		t.Errorf("%d wait, %d rows", len(a.Review), len(a.Rows))
	}
}

// Whom a number may be of is told in so many words that the answer can be sent.
func TestLongNamesOfSeveral(t *testing.T) {
	w := open(t)
	long := "urn:x:" + strings.Repeat("x", 1<<20)
	w.log.Report(t, event("2026-03-01", long+"1", "7", "County", "PUBHLTH"), event("2026-03-01", long+"2", "7", "County", "PUBHLTH"))
	a := w.account(t, disclosure.Ask{Patients: []string{"7"}})
	if len(a.Several) != 2 || len(marshal(t, a)) > 10_000 {
		t.Errorf("%d patients in %d bytes", len(a.Several), len(marshal(t, a)))
	}
}

// A page of the queue is short enough to be sent, however long its lines are.
func TestQueuePageOfLongLines(t *testing.T) {
	w := open(t)
	long := strings.Repeat("x", 400)
	var agents strings.Builder
	for i := range 18 {
		fmt.Fprintf(&agents, `{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110152"}]},"name":"Agency %d %s","location":{"display":"%d %s"},"requestor":false},`, i, long, i, long)
	}
	body := strings.Replace(event("2026-03-02", "urn:oid:1.2.3", "7", "County", "XYZ"), `"agent":[`, `"agent":[`+agents.String(), 1)
	for range 3 {
		bodies := make([]string, 300)
		for i := range bodies {
			bodies[i] = body
		}
		w.log.Report(t, bodies...)
	}
	found, longest := 0, 0
	for begin := int64(0); ; {
		page, err := w.Queue(t.Context(), olga, "", begin, regulation.Date{}, regulation.Date{})
		if err != nil {
			t.Fatal(err)
		}
		found, longest = found+len(page.Waiting), max(longest, len(marshal(t, page)))
		if begin = page.Next; begin >= page.Size {
			break
		}
	}
	if found != 900 || longest > 5<<20 {
		t.Errorf("%d wait, a page of %d bytes", found, longest)
	}
}

// Who may not is refused, and that is in the log.
func TestRights(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	for name, call := range map[string]func(c hippad.Caller) error{
		"account": func(c hippad.Caller) error {
			_, err := w.Account(ctx, c, disclosure.Ask{Patients: []string{"x"}})
			return err
		},
		"access": func(c hippad.Caller) error {
			_, err := w.Access(ctx, c, "x", regulation.Date{}, regulation.Date{}, false)
			return err
		},
		"request":  func(c hippad.Caller) error { _, err := w.Receive(ctx, c, regulation.Request{Patient: "x"}); return err },
		"requests": func(c hippad.Caller) error { _, err := w.Requests(ctx, c, true); return err },
		"extend":   func(c hippad.Caller) error { _, err := w.Extend(ctx, c, 1, regulation.Extension{}); return err },
		"withdraw": func(c hippad.Caller) error { _, err := w.Withdraw(ctx, c, 1, "x"); return err },
		"queue": func(c hippad.Caller) error {
			_, err := w.Queue(ctx, c, "", 0, regulation.Date{}, regulation.Date{})
			return err
		},
		"decide":      func(c hippad.Caller) error { _, err := w.Decide(ctx, c, nil); return err },
		"suspend":     func(c hippad.Caller) error { _, err := w.Suspend(ctx, c, regulation.Suspension{}); return err },
		"lift":        func(c hippad.Caller) error { _, err := w.Lift(ctx, c, 1, "x"); return err },
		"suspensions": func(c hippad.Caller) error { _, err := w.Suspensions(ctx, c); return err },
		"protocol":    func(c hippad.Caller) error { _, err := w.Register(ctx, c, regulation.Protocol{}, 0); return err },
		"protocols":   func(c hippad.Caller) error { _, err := w.Protocols(ctx, c); return err },
		"issued":      func(c hippad.Caller) error { _, err := w.IssuedList(ctx, c, ""); return err },
		"issued one":  func(c hippad.Caller) error { _, err := w.Issued(ctx, c, 1); return err },
		"disclose":    func(c hippad.Caller) error { _, err := w.Disclose(ctx, c, nil, false); return err },
	} {
		for _, c := range []hippad.Caller{vera, pacs, testlog.Person("nobody")} {
			size := w.Repository.Ledger.Size()
			if err := call(c); hippad.KindOf(err) != hippad.Unauthorised || w.Repository.Ledger.Size() != size+1 {
				t.Errorf("%s by %s: %v, %d entries more", name, c.ID, err, w.Repository.Ledger.Size()-size)
			}
		}
	}
}

// What cannot be written has no effect, and nothing is told; what was written although the store said no has its effect with the next.
func TestFaults(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	first := w.log.Report(t, event("2026-03-01", "urn:oid:1.2.3", "7", "County", "PUBHLTH"))
	full := hippad.Errorf(hippad.Unavailable, "disk full")
	manual := regulation.Manual{Patient: olgas, Date: day("2026-11-20"), To: "Court", What: "chart", Basis: "proceedings"}
	changes := map[string]func() error{
		"request": func() error { _, err := w.Receive(ctx, olga, regulation.Request{Patient: olgas}); return err },
		"decide": func() error {
			_, err := w.Decide(ctx, olga, []regulation.Decision{{Entry: first, Verdict: regulation.NotDisclosed, Why: "x"}})
			return err
		},
		"suspend": func() error {
			_, err := w.Suspend(ctx, olga, regulation.Suspension{Agency: "a", Basis: "oversight", Until: day("2027-01-01")})
			return err
		},
		"issue": func() error {
			_, err := w.Account(ctx, olga, disclosure.Ask{Patients: []string{olgas}, Issue: true})
			return err
		},
		"disclose": func() error { _, err := w.Disclose(ctx, olga, []regulation.Manual{manual}, false); return err },
	}
	before := w.snapshot(t)
	for name, change := range changes {
		w.log.Store.FailNext(storetest.OpCommit, storetest.NotStored, 1, full)
		if err := change(); hippad.KindOf(err) != hippad.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if after := w.snapshot(t); after != before {
			t.Errorf("%s has an effect without its entry:\n%s\n%s", name, after, before)
		}
	}
	if _, err := w.Account(ctx, olga, disclosure.Ask{Patients: []string{olgas}}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	w.log.Store.FailNext(storetest.OpCommit, storetest.NotStored, 1, full)
	if got, err := w.Account(ctx, olga, disclosure.Ask{Patients: []string{olgas}}); err == nil || got != nil {
		t.Errorf("an answer that is not in the log: %v", got)
	}
	// The question and the part are there, and the entry that says so is not: nothing was issued.
	commits := 0
	w.log.Store.Before(func(op storetest.Op) {
		if op != storetest.OpCommit {
			return
		}
		if commits++; commits == 3 {
			w.log.Store.FailNext(storetest.OpCommit, storetest.NotStored, 1, full)
		}
	})
	if err := changes["issue"](); err == nil || commits < 3 {
		t.Errorf("issued after %d commits", commits)
	}
	w.log.Store.Before(nil)
	if all, err := w.IssuedList(ctx, olga, ""); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	// Nobody knows whether it was recorded: it can be repeated, and is there once.
	for range 3 {
		w.log.Store.FailNext(storetest.OpCommit, storetest.Stored, 1, full)
		_ = changes["disclose"]()
		if err := changes["disclose"](); err != nil {
			t.Fatal(err)
		}
	}
	if a := w.account(t, disclosure.Ask{Patients: []string{olgas}, Every: true}); len(a.Rows) != 2 {
		t.Errorf("%d rows", len(a.Rows))
	}
	before = w.snapshot(t)
	w.restart(t)
	if after := w.snapshot(t); after != before {
		t.Errorf("after the restart:\n%s\n%s", after, before)
	}
}

func TestDisclose(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	m := regulation.Manual{Patient: olgas, Date: day("2026-11-20"), To: "Court", What: "chart", Basis: "proceedings"}
	other, wrong := m, m
	other.Reference, wrong.To = "2", ""
	trial, err := w.Disclose(ctx, olga, []regulation.Manual{m, wrong, m, other}, true)
	if err != nil || trial[0] != (disclosure.Outcome{}) || trial[1].Refused == "" || !trial[2].Already {
		t.Fatalf("%+v, %v", trial, err)
	}
	got, err := w.Disclose(ctx, olga, []regulation.Manual{m, wrong, m, other}, false)
	if err != nil || got[0].Entry == 0 || got[1].Refused != "the recipient is missing" || !got[2].Already || got[2].Entry != got[0].Entry || got[3].Entry != got[0].Entry+1 {
		t.Fatalf("%+v, %v", got, err)
	}
	again, err := w.Disclose(ctx, olga, []regulation.Manual{other, m}, false)
	if err != nil || again[0] != (disclosure.Outcome{Entry: got[3].Entry, Already: true}) || again[1] != (disclosure.Outcome{Entry: got[0].Entry, Already: true}) {
		t.Fatalf("%+v, %v", again, err)
	}
	a := w.account(t, disclosure.Ask{Patients: []string{olgas}})
	if len(a.Rows) != 1 || a.Rows[0].Count != 2 || a.Rows[0].Date != m.Date {
		t.Errorf("%+v", a.Rows)
	}
	for e, err := range w.Repository.As(vera, hippad.DoorFHIR).Search(ctx, hippad.Query{Indexes: []int64{got[0].Entry}}) {
		if ev := testlog.Read(e.Report); err != nil || e.Reporter.ID != "olga" || e.Door == hippad.DoorSelf || len(ev.Missing()) != 0 {
			t.Errorf("%v by %v, missing %v, %v", e, e.Reporter, ev.Missing(), err)
		}
	}
	for _, bad := range [][]regulation.Manual{nil, make([]regulation.Manual, 501)} {
		if _, err := w.Disclose(ctx, olga, bad, false); hippad.KindOf(err) != hippad.Invalid {
			t.Error(err)
		}
	}
}

// Pages of the queue follow each other to the end of the log.
func TestQueuePages(t *testing.T) {
	w := open(t)
	var bodies []string
	for i := range 300 {
		bodies = append(bodies, event("2026-03-01", "urn:oid:1.2.3", fmt.Sprint(i), "County", []string{"TREAT", "XYZ", "PUBHLTH"}[i%3]))
	}
	w.log.Report(t, bodies...)
	found := 0
	for begin := int64(0); ; {
		page, err := w.Queue(t.Context(), olga, "", begin, day("2026-02-01"), day("2026-03-01"))
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.Waiting)
		if begin = page.Next; begin >= page.Size {
			break
		}
	}
	if found != 100 {
		t.Errorf("%d wait", found)
	}
	bodies = nil
	for range 2500 {
		bodies = append(bodies, event("2026-04-01", "urn:oid:1.2.3", "x", "County", "XYZ"))
	}
	for part := range slices.Chunk(bodies, 500) {
		w.log.Report(t, part...)
	}
	for _, patient := range []string{"", "urn:oid:1.2.3|x"} {
		pages := []int{}
		for begin := int64(0); ; {
			page, err := w.Queue(t.Context(), olga, patient, begin, day("2026-04-01"), regulation.Date{})
			if err != nil {
				t.Fatal(err)
			}
			pages = append(pages, len(page.Waiting))
			if begin = page.Next; begin >= page.Size {
				break
			}
		}
		if !slices.Equal(pages, []int{1000, 1000, 500}) {
			t.Errorf("%q: pages of %v", patient, pages)
		}
	}
	if page, err := w.Queue(t.Context(), olga, "", 0, day("2026-03-02"), day("2026-03-31")); err != nil || len(page.Waiting) != 0 {
		t.Errorf("%d wait of later days, %v", len(page.Waiting), err)
	}
	if page, err := w.Queue(t.Context(), olga, "urn:oid:1.2.3|1", 0, regulation.Date{}, regulation.Date{}); err != nil || len(page.Waiting) != 1 || page.Next < page.Size {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestCancelled(t *testing.T) {
	w := open(t)
	w.log.Report(t, event("2026-03-01", "urn:oid:1.2.3", "7", "County", "PUBHLTH"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := w.Account(ctx, olga, disclosure.Ask{Patients: []string{olgas, olgas, olgas}}); err == nil {
		t.Errorf("%d answers", len(got))
	}
}

// A statement of an agency is about somebody's right, or everybody's; however the patient is written.
func TestSuspensionOfOnePatient(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.log.Report(t, event("2026-06-01", "urn:oid:1.2.3", "7", "Police", "HLEGAL"), event("2026-06-01", "urn:oid:1.2.3", "77", "Police", "HLEGAL"),
		event("2026-06-01", "urn:oid:1.2.4", "8", "Police", "HLEGAL"))
	w.same = func(x hippad.Term) []hippad.Term {
		if x.Value == "urn:oid:1.2.4|8" {
			return []hippad.Term{hippad.NewTerm(hippad.FieldPatient, olgas)}
		}
		return nil
	}
	s := regulation.Suspension{Agency: "Police", Basis: "law-enforcement", Until: day("2027-01-01"), Patients: []string{"7^^^&1.2.3&ISO"}}
	if _, err := w.Suspend(ctx, olga, s); err != nil {
		t.Fatal(err)
	}
	w.restart(t)
	for patient, rows := range map[string]int{olgas: 0, "7": 0, "urn:oid:1.2.4|8": 0, "urn:oid:1.2.3|77": 1, "77": 1} {
		if a := w.account(t, disclosure.Ask{Patients: []string{patient}}); len(a.Rows) != rows || a.Unknown || len(a.Several) > 0 {
			t.Errorf("%s: %d rows, want %d", patient, len(a.Rows), rows)
		}
		r, err := w.Access(ctx, olga, patient, regulation.Date{}, regulation.Date{}, false)
		if err != nil || len(r.Accesses) != rows {
			t.Errorf("%s: %d accesses, want %d, %v", patient, len(r.Accesses), rows, err)
		}
	}
	for _, bad := range [][]string{{" "}, {olgas, "x\ny"}, make([]string, disclosure.MaxPatients+1)} {
		s.Patients = bad
		if _, err := w.Suspend(ctx, olga, s); hippad.KindOf(err) != hippad.Invalid {
			t.Errorf("%d patients: %v", len(bad), err)
		}
	}
}

// Who reads a child's record has a patient's identifier too. What was disclosed of the child is the child's.
func TestBystander(t *testing.T) {
	w := open(t)
	child := strings.Replace(event("2026-06-01", "urn:oid:1.2.3", "9", "School", "PUBHLTH"), `"agent":[`, `"agent":[{"who":{"reference":"Patient/mother"},"name":"Mona","requestor":true},`, 1)
	open := strings.Replace(child, "PUBHLTH", "XYZ", 1)
	both := strings.Replace(child, `"entity":[`, `"entity":[{"what":{"reference":"https://x.example/Patient/mother"},"role":{"code":"1"}},`, 1)
	first := w.log.Report(t, child, open, both)
	a := w.account(t, disclosure.Ask{Patients: []string{"Patient/mother"}, Officer: true})
	if a.Unknown || len(a.Rows) != 1 || !slices.Equal(a.Rows[0].Entries, []int64{first + 2}) || a.Open != 0 {
		t.Errorf("the mother's: %+v, %d open", a.Rows, a.Open)
	}
	queue, err := w.Queue(t.Context(), olga, "Patient/mother", 0, regulation.Date{}, regulation.Date{})
	if err != nil || len(queue.Waiting) != 0 || queue.Unknown {
		t.Errorf("the mother's queue: %+v, %v", queue, err)
	}
	r, err := w.Access(t.Context(), olga, "Patient/mother", regulation.Date{}, regulation.Date{}, true)
	if err != nil || len(r.Accesses) == 0 || !slices.Equal(r.Accesses[0].Entries, []int64{first + 2}) {
		t.Errorf("the mother's accesses: %+v, %v", r.Accesses, err)
	}
	if a := w.account(t, disclosure.Ask{Patients: []string{"urn:oid:1.2.3|9"}, Every: true}); len(a.Rows) != 2 || a.Open != 1 {
		t.Errorf("the child's: %d rows, %d open", len(a.Rows), a.Open)
	}
}

// A patient of whom the log has nothing is told so, and the clock of the request stops.
func TestEmptyAccounting(t *testing.T) {
	w := open(t)
	ctx := t.Context()
	w.log.Report(t, event("2026-03-01", "urn:oid:1.2.3", "7", "County", "PUBHLTH"))
	r, err := w.Receive(ctx, olga, regulation.Request{Patient: "urn:oid:1.2.9|1"})
	if err != nil {
		t.Fatal(err)
	}
	if a := w.account(t, disclosure.Ask{Request: r.Number, Issue: true}); a.Issued != nil || !strings.Contains(a.Hint, "--empty") {
		t.Errorf("issued: %q", a.Hint)
	}
	if _, err := w.Account(ctx, olga, disclosure.Ask{Request: r.Number, Empty: true}); hippad.KindOf(err) != hippad.Invalid {
		t.Error(err)
	}
	a := w.account(t, disclosure.Ask{Request: r.Number, Issue: true, Empty: true})
	if a.Issued == nil || a.Issued.Rows != 0 || a.Refused != "" {
		t.Errorf("%+v %q", a.Issued, a.Refused)
	}
	if open, err := w.Requests(ctx, olga, false); err != nil || len(open) != 0 {
		t.Errorf("%+v, %v", open, err)
	}
	if q, err := w.Queue(ctx, olga, "urn:oid:1.2.9|1", 0, regulation.Date{}, regulation.Date{}); err != nil || !q.Unknown || !slices.Equal(q.Tried, []string{"urn:oid:1.2.9|1"}) {
		t.Errorf("%+v, %v", q, err)
	}
}

// What can have no effect is not decided.
func TestDecidable(t *testing.T) {
	w := open(t)
	w.account(t, disclosure.Ask{Patients: []string{olgas}}) // which is entry 0, of the log itself
	for _, entry := range []int64{0, w.Repository.Ledger.Size()} {
		_, err := w.Decide(t.Context(), olga, []regulation.Decision{{Entry: entry, Verdict: regulation.Accountable, Basis: "oversight", Why: "x"}})
		if kind := hippad.KindOf(err); err == nil || kind != hippad.Invalid && kind != hippad.NotFound {
			t.Errorf("entry %d: %v", entry, err)
		}
	}
}
