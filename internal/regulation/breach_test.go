package regulation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/regulation"
)

func date(t testing.TB, text string) regulation.Date {
	t.Helper()
	d, err := regulation.ParseDate(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

// 164.404(b): the vectors of 60 calendar days, across years, leap years and month ends.
func TestSixtyDays(t *testing.T) {
	for from, want := range map[string]string{
		"2023-12-31": "2024-02-29", "2024-01-01": "2024-03-01", "2024-01-02": "2024-03-02", "2024-12-31": "2025-03-01", "2026-01-15": "2026-03-16",
		"2026-11-22": "2027-01-21", "2027-12-15": "2028-02-13", "2028-01-01": "2028-03-01", "2013-10-22": "2013-12-21",
	} {
		if got := regulation.SixtyDays(date(t, from)).String(); got != want {
			t.Errorf("60 days after %s: %s, want %s", from, got, want)
		}
	}
}

// 164.408(c): March 1, or February 29 when the year of the filing is a leap year.
func TestAnnualDate(t *testing.T) {
	for year, want := range map[int]string{
		2019: "2020-02-29", 2021: "2022-03-01", 2022: "2023-03-01", 2023: "2024-02-29", 2024: "2025-03-01", 2025: "2026-03-01", 2026: "2027-03-01",
		2027: "2028-02-29", 2028: "2029-03-01", 2031: "2032-02-29", 2099: "2100-03-01",
	} {
		if got := regulation.AnnualDate(year).String(); got != want {
			t.Errorf("discovered in %d: %s, want %s", year, got, want)
		}
	}
}

func clocks(f regulation.BreachFacts) string {
	var lines []string
	for _, c := range regulation.BreachClocks(f) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.Notice, c.State, c.Cite, c.Last)))
	}
	return strings.Join(lines, "\n")
}

// 164.406(a) counts residents of one State, 164.408 individuals in total; 500 is "500 or more" and not "more than 500".
func TestThresholds(t *testing.T) {
	const (
		small     = "individual  164.404 2027-01-21\nsecretary  164.408(c) 2027-03-01"
		large     = "individual  164.404 2027-01-21\nsecretary  164.408(b) 2027-01-21"
		withMedia = "individual  164.404 2027-01-21\nmedia IL 164.406 2027-01-21\nsecretary  164.408(b) 2027-01-21"
	)
	for _, x := range []struct {
		name        string
		individuals int
		residents   map[string]int
		want        string
	}{
		{"1", 1, map[string]int{"IL": 1}, small},
		{"499", 499, map[string]int{"IL": 499}, small},
		{"500 of one State", 500, map[string]int{"IL": 500}, large},
		{"501 of one State", 501, map[string]int{"IL": 501}, withMedia},
		{"300 + 300", 600, map[string]int{"IL": 300, "WI": 300}, large},
		{"501 + 501", 1002, map[string]int{"WI": 501, "IL": 501}, "individual  164.404 2027-01-21\nmedia IL 164.406 2027-01-21\nmedia WI 164.406 2027-01-21\nsecretary  164.408(b) 2027-01-21"},
		{"unknown", 0, nil, large},
	} {
		if got := clocks(regulation.BreachFacts{Discovered: date(t, "2026-11-22"), Individuals: x.individuals, Residents: x.residents}); got != x.want {
			t.Errorf("%s:\n%s\nwant\n%s", x.name, got, x.want)
		}
	}
}

// Presence Health: 863 individuals, discovered 2013-10-22, reported on day 101.
func TestPresenceHealth(t *testing.T) {
	all := regulation.BreachClocks(regulation.BreachFacts{Discovered: date(t, "2013-10-22"), Individuals: 863, Residents: map[string]int{"IL": 863}})
	if len(all) != 3 {
		t.Fatalf("%d clocks: want individual, media, Secretary", len(all))
	}
	for _, c := range all {
		s := c.At(date(t, "2014-02-01"), date(t, "2014-01-31"))
		if s.Elapsed != 101 || !s.Late || s.DaysLeft != -41 || c.Last.String() != "2013-12-21" {
			t.Errorf("%s: day %d, late %v, %d left, due %s", c.Notice, s.Elapsed, s.Late, s.DaysLeft, c.Last)
		}
	}
}

// 164.404(a)(2), 164.410: the earlier of known and should have been known; an agent's knowledge is the entity's, another associate's is not.
func TestDiscovery(t *testing.T) {
	d := func(s string) regulation.Date { return date(t, s) }
	for _, x := range []struct {
		name string
		f    regulation.BreachFacts
		want string
	}{
		{"known", regulation.BreachFacts{Discovered: d("2026-05-10")}, "2026-05-10"},
		{"should have been known", regulation.BreachFacts{Discovered: d("2026-05-10"), ShouldHaveKnown: d("2026-05-02")}, "2026-05-02"},
		{"later", regulation.BreachFacts{Discovered: d("2026-05-10"), ShouldHaveKnown: d("2026-05-12")}, "2026-05-10"},
		{"agent", regulation.BreachFacts{Discovered: d("2026-05-10"), AssociateDiscovered: d("2026-04-01"), AssociateIsAgent: true}, "2026-04-01"},
		{"no agent", regulation.BreachFacts{Discovered: d("2026-05-10"), AssociateDiscovered: d("2026-04-01")}, "2026-05-10"},
	} {
		if got := x.f.DayZero().String(); got != x.want {
			t.Errorf("%s: %s, want %s", x.name, got, x.want)
		}
	}
	if got := clocks(regulation.BreachFacts{Discovered: d("2026-11-22"), ByAssociate: true, Individuals: 5000}); got != "covered-entity  164.410 2027-01-21" {
		t.Errorf("a business associate's clocks: %s", got)
	}
}

// 164.412: an oral statement delays 30 days and no more, a written one as long as it says; the 60 days do not begin anew.
func TestLawEnforcementDelay(t *testing.T) {
	d := func(s string) regulation.Date { return date(t, s) }
	oral := regulation.LawDelay{Agency: "FBI", Official: "Agent Moss", Stated: d("2026-11-01")}
	if got := oral.End(); got != d("2026-12-01") {
		t.Errorf("an oral delay of 2026-11-01 ends %s, want 2026-12-01", got)
	}
	today := d("2026-11-20")
	for _, x := range []struct {
		name string
		l    regulation.LawDelay
		ok   bool
	}{
		{"oral", oral, true},
		{"oral of 30 days", regulation.LawDelay{Agency: "FBI", Official: "M", Stated: d("2026-11-01"), Until: d("2026-12-01")}, true},
		{"oral of 31 days", regulation.LawDelay{Agency: "FBI", Official: "M", Stated: d("2026-11-01"), Until: d("2026-12-02")}, false},
		{"written of a year", regulation.LawDelay{Written: true, Agency: "FBI", Official: "M", Stated: d("2026-11-01"), Until: d("2027-11-01")}, true},
		{"written without a time", regulation.LawDelay{Written: true, Agency: "FBI", Official: "M", Stated: d("2026-11-01")}, false},
		{"nobody", regulation.LawDelay{Agency: "FBI", Stated: d("2026-11-01")}, false},
		{"tomorrow", regulation.LawDelay{Agency: "FBI", Official: "M", Stated: d("2026-11-21")}, false},
		{"no day", regulation.LawDelay{Agency: "FBI", Official: "M"}, false},
		{"backwards", regulation.LawDelay{Written: true, Agency: "FBI", Official: "M", Stated: d("2026-11-01"), Until: d("2026-10-01")}, false},
	} {
		if err := x.l.Check(today); (err == nil) != x.ok {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	for _, x := range []struct {
		name   string
		delays []regulation.LawDelay
		last   string
	}{
		{"none", nil, "2026-11-30"},
		{"oral within", []regulation.LawDelay{{Agency: "a", Official: "b", Stated: d("2026-10-10")}}, "2026-11-30"},
		{"oral beyond", []regulation.LawDelay{oral}, "2026-12-01"},
		{"oral, then written", []regulation.LawDelay{{Written: true, Stated: d("2026-11-28"), Until: d("2027-03-01")}, oral}, "2027-03-01"},
		{"written after the last day", []regulation.LawDelay{{Written: true, Stated: d("2026-12-01"), Until: d("2027-03-01")}}, "2026-11-30"},
	} {
		c := regulation.BreachClocks(regulation.BreachFacts{Discovered: d("2026-10-01"), Individuals: 3, Delays: x.delays})[0]
		if c.Due.String() != "2026-11-30" || c.Last.String() != x.last {
			t.Errorf("%s: due %s, last %s; want 2026-11-30, %s", x.name, c.Due, c.Last, x.last)
		}
	}
	for day, want := range map[string]string{"2026-10-31": "", "2026-11-01": "2026-12-01", "2026-11-30": "2026-12-01", "2026-12-01": ""} {
		if got := regulation.BlockedUntil([]regulation.LawDelay{oral}, d(day)).String(); got != want {
			t.Errorf("notice on %s is blocked until %q, want %q", day, got, want)
		}
	}
}

// The warnings of 30, 45 and 55 days, and what overdue is.
func TestWarnings(t *testing.T) {
	c := regulation.BreachClocks(regulation.BreachFacts{Discovered: date(t, "2026-01-01"), Individuals: 700})[0]
	for elapsed, want := range map[int]int{0: 0, 29: 0, 30: 30, 44: 30, 45: 45, 54: 45, 55: 55, 60: 55, 61: 55} {
		s := c.At(date(t, "2026-01-01").AddDays(elapsed), regulation.Date{})
		if s.Warning != want || s.DaysLeft != 60-elapsed || s.Overdue != (elapsed > 60) {
			t.Errorf("day %d: warning %d, %d left, overdue %v", elapsed, s.Warning, s.DaysLeft, s.Overdue)
		}
	}
}

// Whatever the dates: the last day is never before the rule's, never before day 0 + 60, and no notice is both blocked and overdue, unless law enforcement came when it was late.
func TestClockProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := func(name string) regulation.Date {
			return regulation.Date{Year: 2020, Month: time.January, Day: 1}.AddDays(rapid.IntRange(0, 4000).Draw(t, name))
		}
		f := regulation.BreachFacts{Discovered: day("discovered"), ShouldHaveKnown: day("should"), Individuals: rapid.IntRange(0, 2000).Draw(t, "n")}
		f.Residents = map[string]int{"TX": f.Individuals}
		for range rapid.IntRange(0, 3).Draw(t, "delays") {
			l := regulation.LawDelay{Written: rapid.Bool().Draw(t, "written"), Agency: "a", Official: "b", Stated: day("stated")}
			if l.Written {
				l.Until = l.Stated.AddDays(rapid.IntRange(0, 400).Draw(t, "until"))
			}
			f.Delays = append(f.Delays, l)
		}
		zero, today := f.DayZero(), day("today")
		media := false
		for _, c := range regulation.BreachClocks(f) {
			s := c.At(today, regulation.Date{})
			media = media || c.Notice == regulation.NoticeMedia
			switch {
			case zero.After(f.Discovered) || zero.After(f.ShouldHaveKnown):
				t.Fatalf("day 0 %s is not the earliest", zero)
			case c.Last.Before(c.Due) || c.Due.Before(zero.AddDays(60)):
				t.Fatalf("%s: due %s, last %s, day 0 %s", c.Notice, c.Due, c.Last, zero)
			case (s.Blocked && s.Overdue || c.NotBefore.After(c.Last)) && !slices.ContainsFunc(f.Delays, func(d regulation.LawDelay) bool { return d.Stated.After(c.Last) }):
				t.Fatalf("%s may be given from %s and must be by %s, and no statement came after that", c.Notice, c.NotBefore, c.Last)
			}
		}
		if media != (f.Individuals > 500) {
			t.Fatalf("%d residents, media notice %v", f.Individuals, media)
		}
	})
}

func answered(questions ...regulation.BreachQuestion) (a regulation.BreachAssessment) {
	for _, q := range questions {
		a = a.With(regulation.BreachAnswer{Question: q, Yes: q != regulation.Unsecured, Text: "because", Author: "olga"})
	}
	return a
}

// 164.402: presumed to be a breach unless an exclusion, with its text, or low probability by all four factors is written down; snooping is never (1)(i).
func TestCheckNoBreach(t *testing.T) {
	four := answered(regulation.Factor1, regulation.Factor2, regulation.Factor3, regulation.Factor4)
	for _, x := range []struct {
		name  string
		cause regulation.Cause
		a     regulation.BreachAssessment
		basis regulation.BreachBasis
		kind  hippad.Kind
		ok    bool
	}{
		{"nothing said", regulation.CauseOther, nil, regulation.BasisLowProbability, hippad.Conflict, false},
		{"three factors", regulation.CauseOther, four[:3], regulation.BasisLowProbability, hippad.Conflict, false},
		{"four factors", regulation.CauseOther, four, regulation.BasisLowProbability, 0, true},
		{"snooping with four factors", regulation.CauseSnooping, four, regulation.BasisLowProbability, 0, true},
		{"exclusion without text", regulation.CauseMisdirected, four, regulation.BasisExclusionII, hippad.Conflict, false},
		{"exclusion that does not apply", regulation.CauseMisdirected, regulation.BreachAssessment{{Question: regulation.ExclusionII, Text: "no", Author: "o"}}, regulation.BasisExclusionII, hippad.Conflict, false},
		{"exclusion", regulation.CauseMisdirected, answered(regulation.ExclusionII), regulation.BasisExclusionII, 0, true},
		{"accident", regulation.CauseOther, answered(regulation.ExclusionI), regulation.BasisExclusionI, 0, true},
		{"snooping by (i)", regulation.CauseSnooping, answered(regulation.ExclusionI), regulation.BasisExclusionI, hippad.Invalid, false},
		{"secured", regulation.CauseTheft, answered(regulation.Unsecured), regulation.BasisSecured, 0, true},
		{"not secured", regulation.CauseTheft, regulation.BreachAssessment{{Question: regulation.Unsecured, Yes: true, Text: "plain", Author: "o"}}, regulation.BasisSecured, hippad.Conflict, false},
		{"permitted", regulation.CauseOther, answered(regulation.Permitted), regulation.BasisPermitted, 0, true},
		{"no basis", regulation.CauseOther, four, "because", hippad.Invalid, false},
	} {
		err := regulation.CheckNoBreach(x.cause, x.a, x.basis)
		if (err == nil) != x.ok || err != nil && hippad.KindOf(err) != x.kind {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if err := regulation.CheckBreachAnswer(regulation.CauseSnooping, regulation.BreachAnswer{Question: regulation.ExclusionI, Yes: true, Text: "x", Author: "o"}); err == nil {
		t.Error("exclusion (i) is taken for snooping")
	}
	for _, bad := range []regulation.BreachAnswer{{Question: "factor-5", Text: "x", Author: "o"}, {Question: regulation.Factor1, Author: "o"}, {Question: regulation.Factor1, Text: "x"}} {
		if regulation.CheckBreachAnswer(regulation.CauseOther, bad) == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if got := four.With(regulation.BreachAnswer{Question: regulation.Factor2, Text: "better"}); len(got) != 4 || got[1].Text != "better" || four[1].Text != "because" {
		t.Errorf("a new answer does not replace the old one: %v", got)
	}
}

func TestCheckBreachDates(t *testing.T) {
	for _, x := range []struct {
		name                               string
		happened, ended, discovered, known string
		ok                                 bool
	}{
		{"discovered only", "", "", "2026-11-01", "", true},
		{"all", "2026-10-01", "2026-11-03", "2026-11-01", "2026-10-02", true},
		{"none", "2026-10-01", "", "", "", false},
		{"future", "", "", "2026-11-24", "", false},
		{"should in the future", "", "", "2026-11-01", "2026-12-01", false},
		{"backwards", "2026-10-05", "2026-10-04", "2026-11-01", "", false},
		{"end alone", "", "2026-10-04", "2026-11-01", "", false},
		{"known before", "2026-11-02", "", "2026-11-01", "", false},
		{"before the rule", "2009-09-22", "", "2026-11-01", "", false},
		{"ending in the rule", "2009-09-22", "2009-09-23", "2026-11-01", "", true},
	} {
		d := func(s string) (d regulation.Date) {
			if s != "" {
				d = date(t, s)
			}
			return d
		}
		if err := regulation.CheckBreachDates(date(t, "2026-11-23"), d(x.happened), d(x.ended), d(x.discovered), d(x.known)); (err == nil) != x.ok {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// 164.404(c): a letter is complete when none of the five elements is empty.
func TestBreachLetter(t *testing.T) {
	whole := regulation.BreachLetter{What: "a", Types: "b", Steps: "c", Doing: "d", Contact: regulation.Contact{TollFree: "1-800-555-0100"}}
	if missing := whole.Missing(); len(missing) != 0 {
		t.Errorf("missing of a whole letter: %v", missing)
	}
	for i, cut := range []func(*regulation.BreachLetter){
		func(l *regulation.BreachLetter) { l.What = " " }, func(l *regulation.BreachLetter) { l.Types = "" }, func(l *regulation.BreachLetter) { l.Steps = "\n" },
		func(l *regulation.BreachLetter) { l.Doing = "" }, func(l *regulation.BreachLetter) { l.Contact = regulation.Contact{Phone: "555"} },
	} {
		l := whole
		cut(&l)
		if missing := l.Missing(); len(missing) != 1 || !strings.HasPrefix(missing[0], "("+string(rune('A'+i))+")") {
			t.Errorf("without (%c): %v", 'A'+i, missing)
		}
	}
	for _, c := range []regulation.BreachLetter{{Postal: "x"}, {Contact: regulation.Contact{Email: "x"}}, {Contact: regulation.Contact{Web: "x"}}} {
		l := whole
		l.Contact, l.Postal = c.Contact, c.Postal
		if len(l.Missing()) != 0 {
			t.Errorf("%+v does not do for (E)", c)
		}
	}
}

// 164.404(d): e-mail needs agreement; returned mail does not count, next of kin does.
func TestPersonNotice(t *testing.T) {
	d := func(s string) regulation.Date { return date(t, s) }
	today := d("2026-11-23")
	good := regulation.PersonNotice{Patient: "7", Method: "mail", Date: d("2026-11-20"), Basis: "registration"}
	with := func(f func(*regulation.PersonNotice)) regulation.PersonNotice { n := good; f(&n); return n }
	for _, x := range []struct {
		name        string
		n           regulation.PersonNotice
		ok, reached bool
	}{
		{"mail", good, true, true},
		{"returned", with(func(n *regulation.PersonNotice) { n.Returned = d("2026-11-22") }), true, false},
		{"next of kin returned", with(func(n *regulation.PersonNotice) { n.Method, n.Returned = "next-of-kin", d("2026-11-22") }), true, true},
		{"urgent call", with(func(n *regulation.PersonNotice) { n.Method = "urgent-phone" }), true, false},
		{"e-mail", with(func(n *regulation.PersonNotice) { n.Method = "email" }), false, true},
		{"e-mail agreed", with(func(n *regulation.PersonNotice) { n.Method, n.Agreed = "email", d("2025-01-01") }), true, true},
		{"pigeon", with(func(n *regulation.PersonNotice) { n.Method = "pigeon" }), false, true},
		{"no basis", with(func(n *regulation.PersonNotice) { n.Basis = "" }), false, true},
		{"no day", with(func(n *regulation.PersonNotice) { n.Date = regulation.Date{} }), false, true},
		{"tomorrow", with(func(n *regulation.PersonNotice) { n.Date = d("2026-11-24") }), false, true},
		{"back before", with(func(n *regulation.PersonNotice) { n.Returned = d("2026-11-19") }), false, false},
		{"nobody", with(func(n *regulation.PersonNotice) { n.Patient = "" }), false, true},
	} {
		if err := x.n.Check(today); (err == nil) != x.ok || x.n.Reached() != x.reached {
			t.Errorf("%s: %v, reached %v", x.name, err, x.n.Reached())
		}
	}
}

// 164.404(d)(2): fewer than 10 by other means; 10 or more publicly, with a toll-free number, for 90 days.
func TestSubstitute(t *testing.T) {
	d := func(s string) regulation.Date { return date(t, s) }
	for _, x := range []struct {
		name string
		s    regulation.Substitute
		ok   bool
	}{
		{"9 by telephone", regulation.Substitute{Form: "other", Persons: 9, From: d("2026-11-01"), Evidence: "calls"}, true},
		{"10 by telephone", regulation.Substitute{Form: "other", Persons: 10, From: d("2026-11-01"), Evidence: "calls", TollFree: "x", Until: d("2027-11-01")}, false},
		{"10 posted", regulation.Substitute{Form: "web", Persons: 10, From: d("2026-11-01"), Until: d("2027-01-30"), TollFree: "1-800", Evidence: "home page"}, true},
		{"89 days", regulation.Substitute{Form: "web", Persons: 10, From: d("2026-11-01"), Until: d("2027-01-29"), TollFree: "1-800", Evidence: "home page"}, false},
		{"no number", regulation.Substitute{Form: "media", Persons: 10, From: d("2026-11-01"), Until: d("2027-03-01"), Evidence: "paper"}, false},
		{"no evidence", regulation.Substitute{Form: "other", Persons: 2, From: d("2026-11-01")}, false},
		{"nobody", regulation.Substitute{Form: "other", From: d("2026-11-01"), Evidence: "x"}, false},
		{"future", regulation.Substitute{Form: "other", Persons: 2, From: d("2026-12-01"), Evidence: "x"}, false},
	} {
		if err := x.s.Check(d("2026-11-23")); (err == nil) != x.ok {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// 164.404(d)(2)(ii): those who could not be reached are counted together.
func TestSubstituteLacks(t *testing.T) {
	other := func(n int) regulation.Substitute { return regulation.Substitute{Form: "other", Persons: n} }
	web := func(n, days int, number string) regulation.Substitute {
		return regulation.Substitute{Form: "web", Persons: n, From: date(t, "2026-11-01"), Until: date(t, "2026-11-01").AddDays(days), TollFree: number}
	}
	for _, x := range []struct {
		name     string
		oneByOne int
		together []regulation.Substitute
		lacks    bool
	}{
		{"nobody", 0, nil, false},
		{"9", 4, []regulation.Substitute{other(5)}, false},
		{"10", 5, []regulation.Substitute{other(5)}, true},
		{"10, one by one", 10, nil, true},
		{"posted for 2 of them", 8, []regulation.Substitute{web(2, 90, "1-800")}, false},
		{"posted too shortly", 8, []regulation.Substitute{web(2, 89, "1-800")}, true},
		{"posted without a number", 8, []regulation.Substitute{web(2, 90, "")}, true},
	} {
		if got := regulation.SubstituteLacks(x.oneByOne, x.together); (got != "") != x.lacks {
			t.Errorf("%s: %q", x.name, got)
		}
	}
}

// 164.406(a): the States, in order, of those with more than 500.
func TestMediaStates(t *testing.T) {
	if got := regulation.MediaStates(map[string]int{"WI": 501, "IL": 5000, "TX": 500}); !slices.Equal(got, []string{"IL", "WI"}) {
		t.Error(got)
	}
}

// 164.406(a) asks whether a State has more than 500 residents; who lives nowhere known could be one of any.
func TestMediaUnknown(t *testing.T) {
	for _, x := range []struct {
		residents map[string]int
		unknown   int
		want      bool
	}{{nil, 500, false}, {nil, 501, true}, {map[string]int{"IL": 400}, 100, false}, {map[string]int{"IL": 400}, 101, true}, {map[string]int{"IL": 501}, 1, false}, {map[string]int{"IL": 501}, 501, true}} {
		if got := regulation.MediaUnknown(x.residents, x.unknown); got != x.want {
			t.Errorf("%v, %d unknown: %v", x.residents, x.unknown, got)
		}
	}
}

// 160.103: 56 of them, each once, by letters and name.
func TestStates(t *testing.T) {
	if len(regulation.States) != 56 {
		t.Errorf("%d States, want 56", len(regulation.States))
	}
	var codes []string
	for _, s := range regulation.States {
		codes = append(codes, s.Code)
		for _, text := range []string{s.Code, strings.ToLower(s.Code), " " + strings.ToUpper(s.Name) + " "} {
			if got, ok := regulation.ParseState(text); !ok || got != s.Code {
				t.Errorf("%q: %q, %v", text, got, ok)
			}
		}
	}
	slices.Sort(codes)
	if len(slices.Compact(codes)) != 56 {
		t.Error("a State is there twice")
	}
	for _, none := range []string{"", "XX", "Ontario", "FM", "C A"} {
		if got, ok := regulation.ParseState(none); ok {
			t.Errorf("%q is %s", none, got)
		}
	}
}
