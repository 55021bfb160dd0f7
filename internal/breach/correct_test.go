package breach_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/breach"
	"hippad/internal/regulation"
)

// A notice that was recorded wrongly can be withdrawn, with a reason: it would hide that nobody was told. All of it is the same after a restart, and in the packet.
func TestNoticesAreWithdrawn(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse"})
	w.do(t, c, decided())
	w.do(t, c, lettered())
	missing := func() string {
		t.Helper()
		s, err := w.Status(t.Context(), olga, c)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(s.Missing, "; ")
	}
	before := missing()
	rows := []breach.NoticeRow{mailed(2, id(1), "2026-11-20"), mailed(3, id(2), "2026-11-21")}
	first, err := w.Notify(t.Context(), olga, c, rows, false)
	if err != nil {
		t.Fatal(err)
	}
	came := mailed(2, id(1), "2026-11-20")
	came.Returned = date("2026-11-22")
	second, err := w.Notify(t.Context(), olga, c, []breach.NoticeRow{came, mailed(3, id(4), "2026-11-22")}, false)
	if err != nil {
		t.Fatal(err)
	}
	persons := w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "substitute", Substitute: &regulation.Substitute{Form: "web", Persons: 1400, From: date("2026-11-23"), Until: date("2027-02-21"), TollFree: "1", Evidence: "x"}}})
	filed := w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "secretary", Date: date("2026-11-22"), Tracking: "of another case"}})
	if got := missing(); strings.Contains(got, "individual") || strings.Contains(got, "Secretary") {
		t.Fatalf("missing %s", got)
	}
	withdraw := func(entry int64) breach.Case {
		t.Helper()
		return w.do(t, c, breach.Step{Withdraw: &breach.Withdrawal{Entry: entry, Reason: "recorded wrongly"}})
	}
	if _, err := w.Do(t.Context(), olga, c, breach.Step{Withdraw: &breach.Withdrawal{Entry: persons.Notices[0].Entry}}); hippad.KindOf(err) != hippad.Invalid {
		t.Errorf("no reason: %v", err)
	}
	if _, err := w.Do(t.Context(), olga, c, breach.Step{Withdraw: &breach.Withdrawal{Entry: c, Reason: "x"}}); hippad.KindOf(err) != hippad.NotFound {
		t.Errorf("what is no notice was withdrawn: %v", err)
	}
	withdraw(persons.Notices[0].Entry)
	withdraw(filed.Notices[1].Entry)
	if got := withdraw(second.Entry); fmt.Sprint(len(got.Persons), got.Persons[0].Returned.IsZero(), len(got.Notices)) != "2 true 0" {
		t.Errorf("without the second table: %d persons, %d notices, returned %v", len(got.Persons), len(got.Notices), got.Persons[0].Returned)
	}
	if got := withdraw(first.Entry); len(got.Persons) != 0 {
		t.Errorf("without both: %d", len(got.Persons))
	}
	if got := missing(); got != before {
		t.Errorf("missing %q, before anything was noticed %q", got, before)
	}
	if _, err := w.Do(t.Context(), olga, c, breach.Step{Withdraw: &breach.Withdrawal{Entry: first.Entry, Reason: "x"}}); hippad.KindOf(err) != hippad.NotFound {
		t.Errorf("withdrawn twice: %v", err)
	}
	if _, err := w.Notify(t.Context(), olga, c, rows[1:], false); err != nil {
		t.Fatal(err)
	}
	s, _ := w.Status(t.Context(), olga, c)
	w.restart(t)
	if after, err := w.Status(t.Context(), olga, c); err != nil || asJSON(t, s.Case) != asJSON(t, after.Case) {
		t.Errorf("it is another case after the restart: %v", err)
	}
	var b bytes.Buffer
	if err := w.Packet(t.Context(), olga, c, &b); err != nil {
		t.Fatal(err)
	}
	if _, err := w.verify(b.Bytes()); err != nil {
		t.Error(err)
	}
}

// Who decides again that it is a breach does not begin the time of a rule anew that runs from the decision.
func TestDecidedAgain(t *testing.T) {
	w := newWorld(t)
	w.organisation.Options.Overlays = []string{"tx"}
	w.open(t)
	t.Cleanup(func() { w.stop(t) })
	w.log.Report(t, access("2026-10-01T08:00:00Z", "nurse", "0", mrn(1)))
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse", Residents: []breach.Address{{Line: 2, Patient: id(1), State: "TX"}}})
	w.do(t, c, decided())
	due := func() regulation.Date {
		t.Helper()
		s, err := w.Status(t.Context(), olga, c)
		if err != nil || len(s.Clocks) != 3 {
			t.Fatal(len(s.Clocks), err)
		}
		return s.Clocks[2].Last
	}
	first := due()
	w.now = w.now.AddDate(0, 0, 50)
	w.do(t, c, breach.Step{Decide: &breach.Decision{Breach: true, Reason: "the reason in better words"}})
	if got := due(); got != first {
		t.Errorf("due %s, before it was decided again %s", got, first)
	}
	w.do(t, c, breach.Step{Decide: &breach.Decision{Breach: true, Reason: "that was the day", On: date("2026-11-30")}})
	if got := due(); got != date("2027-01-29") {
		t.Errorf("due %s, of a day that was given", got)
	}
}

// A person who is in the tables under two numbers is one in the list of cases too, or a notice that is due is not in it.
func TestListKnowsWhoIsOne(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse", Except: []string{id(1), "9"}, Reason: "x"}) // 2, and 4 under two numbers
	w.do(t, c, decided())
	w.do(t, c, lettered())
	w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "secretary", Date: date("2026-11-23"), Tracking: "T"}})
	if _, err := w.Notify(t.Context(), olga, c, []breach.NoticeRow{mailed(2, id(4), "2026-11-22"), mailed(3, "urn:oid:1.2.4|77", "2026-11-22")}, false); err != nil {
		t.Fatal(err)
	}
	list, err := w.List(t.Context(), olga)
	if err != nil || list[0].Next == nil || list[0].Next.Progress != "1 of 2" {
		t.Errorf("%+v, %v", list, err)
	}
}

// Two who add to a scope at the same time do not undo each other.
func TestAddedMeanwhile(t *testing.T) {
	w, first := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, Entries: []hippad.Range{{First: first, Count: 1}}})
	w.meanwhile = func() { w.scope(t, breach.Order{Case: c, Add: true, User: "doctor"}) }
	o := breach.Order{Case: c, Add: true, Entries: []hippad.Range{{First: first + 7, Count: 1}}}
	if _, err := w.Scope(t.Context(), olga, o); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("added to what was changed meanwhile: %v", err)
	}
	if s := w.scope(t, o); s.Individuals != 3 || len(s.Questions) != 3 {
		t.Errorf("%d individuals by %d questions", s.Individuals, len(s.Questions))
	}
}

// What is too long for an entry is refused before anything is held for it.
func TestNothingIsHeldForWhatIsTooLong(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	held := len(w.held)
	var many []hippad.Range
	for i := range 20_000 {
		many = append(many, hippad.Range{First: int64(i)<<40 | 1, Count: 1})
	}
	many[0].First = 0
	if _, err := w.Scope(t.Context(), olga, breach.Order{Case: c, Entries: many}); hippad.KindOf(err) != hippad.TooLarge || len(w.held) != held {
		t.Errorf("%d holds, %v", len(w.held)-held, err)
	}
	o := opening()
	o.CoveredEntities = make([]string, 2000)
	for i := range o.CoveredEntities {
		o.CoveredEntities[i] = fmt.Sprintf("%d%s", math.MaxInt32+i, strings.Repeat("x", 400))
	}
	o.Entries = []hippad.Range{{First: 0, Count: 1}}
	if _, err := w.OpenCase(t.Context(), olga, o); hippad.KindOf(err) != hippad.TooLarge || len(w.held) != held {
		t.Errorf("%d holds, %v", len(w.held)-held, err)
	}
}
