package breach_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/breach"
	"hippad/internal/regulation"
)

// A day that was mistyped, in a delay or in the opening, does not stay in force; what was said before stays in the log, and all of it is replayed.
func TestCorrections(t *testing.T) {
	w, _ := nursing(t)
	o := opening()
	o.Happened = regulation.Date{}
	opened, err := w.OpenCase(t.Context(), olga, o)
	if err != nil {
		t.Fatal(err)
	}
	c := opened.ID
	w.scope(t, breach.Order{Case: c, User: "nurse"})
	w.do(t, c, decided())
	delayed := w.do(t, c, breach.Step{Delay: &regulation.LawDelay{Written: true, Agency: "FBI", Official: "Moss", Stated: date("2026-11-22"), Until: date("2099-01-01")}})
	try := func(s breach.Step) hippad.Kind { _, err := w.Do(t.Context(), olga, c, s); return hippad.KindOf(err) }
	if got := try(breach.Step{Withdraw: &breach.Withdrawal{Entry: c, Reason: "x"}}); got != hippad.NotFound {
		t.Errorf("what is no delay was withdrawn: %v", got)
	}
	if got := try(breach.Step{Withdraw: &breach.Withdrawal{Entry: delayed.Delays[0].Entry}}); got != hippad.Invalid {
		t.Errorf("withdrawn without a reason: %v", got)
	}
	w.do(t, c, breach.Step{Withdraw: &breach.Withdrawal{Entry: delayed.Delays[0].Entry, Reason: "the year was mistyped"}})
	for name, a := range map[string]breach.Amendment{
		"no reason": {Happened: date("2026-10-01")}, "nothing": {Reason: "x"}, "the future": {Ended: date("2026-11-24"), Happened: date("2026-10-01"), Reason: "x"},
		"after the discovery": {Happened: date("2026-11-21"), Reason: "x"}, "no associate": {AssociateDiscovered: date("2026-11-01"), Reason: "x"},
	} {
		if got := try(breach.Step{Amend: &a}); got != hippad.Invalid {
			t.Errorf("amended with %s: %v", name, got)
		}
	}
	w.do(t, c, breach.Step{Amend: &breach.Amendment{Happened: date("2026-10-01"), Ended: date("2026-10-08"), ShouldHaveKnown: date("2026-11-10"), Reason: "by the log of the ward"}})
	check := func() breach.Status {
		t.Helper()
		s, err := w.Status(t.Context(), olga, c)
		if err != nil || len(s.Case.Delays) != 0 || s.Case.Happened != date("2026-10-01") || s.Case.Discovered != date("2026-11-20") || s.DayZero != date("2026-11-10") || s.Clocks[0].Last != date("2027-01-09") || s.Clocks[0].Blocked {
			t.Errorf("day 0 %s, happened %s, last day %s, %v", s.DayZero, s.Case.Happened, s.Clocks[0].Last, err)
		}
		return s
	}
	if list, err := w.List(t.Context(), olga); err != nil || list[0].Discovered != date("2026-11-10") {
		t.Errorf("the list has another day 0: %v", err)
	}
	before := check()
	w.restart(t)
	if after := check(); asJSON(t, before.Case) != asJSON(t, after.Case) {
		t.Error("it is another case after the restart")
	}
	var b bytes.Buffer
	if err := w.Packet(t.Context(), olga, c, &b); err != nil {
		t.Fatal(err)
	}
	if _, err := w.verify(b.Bytes()); err != nil {
		t.Error(err)
	}
	if got := try(breach.Step{Assess: []regulation.BreachAnswer{{Question: regulation.Unsecured, Yes: true, Text: "a", Author: "o"}, {Question: regulation.Unsecured, Text: "b", Author: "o"}}}); got != hippad.Invalid {
		t.Errorf("two answers to one question: %v", got)
	}
}

// 164.410: a business associate tells every covered entity whose data it was, and nobody else by this rule.
func TestCoveredEntities(t *testing.T) {
	w := newWorld(t)
	w.organisation.Kind, w.organisation.Options.Overlays = "Business Associate", []string{"tx"}
	w.open(t)
	t.Cleanup(func() { w.stop(t) })
	w.log.Report(t, access("2026-10-01T08:00:00Z", "nurse", "0", mrn(1)))
	o := opening()
	o.CoveredEntities = []string{"Lakeside", "Riverside"}
	opened, err := w.OpenCase(t.Context(), olga, o)
	if err != nil {
		t.Fatal(err)
	}
	c := opened.ID
	w.scope(t, breach.Order{Case: c, User: "nurse", Residents: []breach.Address{{Line: 2, Patient: id(1), State: "TX"}}})
	w.do(t, c, decided())
	told := func(name string) error {
		_, err := w.Do(t.Context(), olga, c, breach.Step{Notice: &breach.Notice{Kind: "covered-entity", To: name, Date: date("2026-11-23")}})
		return err
	}
	if err := told("Somebody"); hippad.KindOf(err) != hippad.Invalid {
		t.Errorf("somebody else: %v", err)
	}
	if err := told("lakeside"); err != nil {
		t.Fatal(err)
	}
	if s, err := w.Status(t.Context(), olga, c); err != nil || len(s.Clocks) != 1 || s.Clocks[0].Progress != "1 of 2" || len(s.Missing) != 1 {
		t.Errorf("%d clocks, missing %v, %v", len(s.Clocks), s.Missing, err)
	}
	if err := told("Riverside"); err != nil {
		t.Fatal(err)
	}
	w.do(t, c, breach.Step{Close: &breach.Closing{}})
}

// Others, whom no entry names, do not stand for those whom one names.
func TestOthersStandForNobody(t *testing.T) {
	w, _ := nursing(t)
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse"})
	w.do(t, c, decided())
	w.do(t, c, lettered())
	if _, err := w.Do(t.Context(), olga, c, breach.Step{Notice: &breach.Notice{Kind: "individual", Persons: 4, Date: date("2026-11-23"), Evidence: "x"}}); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("others of a case that has none: %v", err)
	}
	s := w.scope(t, breach.Order{Case: c, User: "nurse", Estimate: 10, Basis: "the list of the ward"})
	others := func(n int) {
		w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "individual", Persons: n, Date: date("2026-11-23"), Evidence: "mailing house"}})
	}
	progress := func(want string) {
		t.Helper()
		status, err := w.Status(t.Context(), olga, c)
		if err != nil || status.Clocks[0].Progress != want || status.Clocks[0].Given.IsZero() != (want != "10 of 10") {
			t.Errorf("%s given %s, want %s: %v", status.Clocks[0].Progress, status.Clocks[0].Given, want, err)
		}
	}
	others(10)
	progress(fmt.Sprintf("%d of 10", 10-s.Individuals))
	for i, patient := range []string{id(1), id(2), id(4), "9"} {
		if out, err := w.Notify(t.Context(), olga, c, []breach.NoticeRow{mailed(i+2, patient, "2026-11-23")}, false); err != nil || out.Entered != 1 {
			t.Fatalf("%s: %+v, %v", patient, out, err)
		}
	}
	progress("10 of 10")
	// What comes back under one identifier of a patient has come back; a trial says so too.
	back := mailed(2, "urn:oid:1.2.4|77", "2026-11-23")
	back.Returned = date("2026-11-23")
	for _, trial := range []bool{true, false} {
		if out, err := w.Notify(t.Context(), olga, c, []breach.NoticeRow{back}, trial); err != nil || out.Reached != s.Individuals-1 {
			t.Errorf("trial %v: %+v, %v", trial, out, err)
		}
	}
	progress("9 of 10")
}

// 164.404(d)(2)(ii) counts all who cannot be reached: ten calls, one by one or in two lists, are no substitute for a posting.
func TestSubstituteInPieces(t *testing.T) {
	for _, oneByOne := range []bool{true, false} {
		w := open(t)
		var bodies []string
		var rows []breach.NoticeRow
		for i := range 10 {
			bodies = append(bodies, access("2026-10-01T08:00:00Z", "nurse", "0", mrn(i)))
			rows = append(rows, breach.NoticeRow{Line: i + 2, PersonNotice: regulation.PersonNotice{Patient: id(i), Method: "substitute", Date: date("2026-11-23"), Basis: "telephone"}})
		}
		w.log.Report(t, bodies...)
		c := w.begin(t)
		w.scope(t, breach.Order{Case: c, User: "nurse"})
		w.do(t, c, decided())
		w.do(t, c, lettered())
		w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "secretary", Date: date("2026-11-23"), Tracking: "T"}})
		if oneByOne {
			if _, err := w.Notify(t.Context(), olga, c, rows, false); err != nil {
				t.Fatal(err)
			}
		} else {
			for range 2 {
				w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "substitute", Substitute: &regulation.Substitute{Form: "other", Persons: 5, From: date("2026-11-23"), Evidence: "telephone"}}})
			}
		}
		if _, err := w.Do(t.Context(), olga, c, breach.Step{Close: &breach.Closing{}}); hippad.KindOf(err) != hippad.Conflict || !strings.Contains(err.Error(), "substitute notice for 10 individuals") {
			t.Errorf("one by one %v: %v", oneByOne, err)
		}
		posted := regulation.Substitute{Form: "web", Persons: 10, From: date("2026-11-23"), Until: date("2027-02-21"), TollFree: "1-800", Evidence: "home page"}
		w.do(t, c, breach.Step{Notice: &breach.Notice{Kind: "substitute", Substitute: &posted}})
		w.now = w.now.AddDate(0, 4, 0)
		w.do(t, c, breach.Step{Close: &breach.Closing{}})
	}
}

// Before anything is decided the clock runs, and the list says so; and nobody's State may stay unknown where that hides a notice to the media.
func TestUnknownStates(t *testing.T) {
	w := open(t)
	c := w.begin(t)
	if list, err := w.List(t.Context(), olga); err != nil || list[0].Next == nil || list[0].Next.Last != date("2027-01-19") {
		t.Errorf("%+v, %v", list, err)
	}
	closing := func() string {
		_, err := w.Do(t.Context(), olga, c, breach.Step{Close: &breach.Closing{}})
		return fmt.Sprint(err)
	}
	w.scope(t, breach.Order{Case: c, Estimate: 600, Basis: "the census"})
	w.do(t, c, decided())
	if got := closing(); !strings.Contains(got, "the State of 600 individuals is not known") || strings.Contains(got, "prominent media") {
		t.Error(got)
	}
	order := breach.Order{Case: c, Add: true, Basis: "the census", EstimatedResidents: map[string]int{"Illinois": 501, "WI": 99}}
	if s := w.scope(t, order); s.Estimate != 600 || s.Unknown != 0 || s.Residents["IL"] != 501 {
		t.Errorf("%+v", s.Residents)
	}
	if got := closing(); strings.Contains(got, "is not known") || !strings.Contains(got, "prominent media of Illinois") {
		t.Error(got)
	}
	for _, wrong := range []map[string]int{{"XX": 1}, {"IL": 0}, {"IL": 601}} {
		order.EstimatedResidents = wrong
		if _, err := w.Scope(t.Context(), olga, order); hippad.KindOf(err) != hippad.Invalid {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	order.EstimatedResidents, order.Basis = map[string]int{"IL": 2}, ""
	if _, err := w.Scope(t.Context(), olga, order); hippad.KindOf(err) != hippad.Invalid {
		t.Errorf("without a basis: %v", err)
	}
}
