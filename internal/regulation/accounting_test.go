package regulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
)

func TestWindow(t *testing.T) {
	today := day(t, "2030-01-01")
	for _, x := range []struct{ requested, from, to, begins, ends string }{
		{"2026-11-22", "", "", "2020-11-22", "2026-11-22"},
		{"2028-02-29", "", "", "2022-02-28", "2028-02-29"},
		{"2026-11-22", "2026-01-01", "2026-06-30", "2026-01-01", "2026-06-30"},
		{"2026-11-22", "2010-01-01", "", "2020-11-22", "2026-11-22"},
		{"2026-11-22", "", "2029-01-01", "2020-11-22", "2026-11-22"},
	} {
		q := Question{Requested: day(t, x.requested), Today: today}
		if x.from != "" {
			q.From = day(t, x.from)
		}
		if x.to != "" {
			q.To = day(t, x.to)
		}
		if from, to, err := q.Window(); err != nil || from.String() != x.begins || to.String() != x.ends {
			t.Errorf("%v: %v to %v, %v", x, from, to, err)
		}
	}
	for _, bad := range []Question{{}, {Requested: day(t, "2030-01-02")}, {Requested: day(t, "1990-01-01")}, {Requested: today, From: day(t, "2029-02-01"), To: day(t, "2029-01-01")},
		{Requested: today, To: day(t, "2023-12-31")}, {Requested: day(t, "2029-01-01"), From: day(t, "2029-01-02")}} {
		bad.Today = today
		if _, _, err := bad.Window(); hippad.KindOf(err) != hippad.Invalid || err == nil {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// account makes an accounting as of a day of events that are disclosures on days.
func account(t *testing.T, q Question, r Rules, events ...hippad.Event) Accounting {
	t.Helper()
	a, err := NewAccount(q, r)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClassifier(r.Organisation, nil)
	for i, ev := range events {
		a.Add(c.Classify(hippad.Entry{Index: int64(i), Door: hippad.DoorFHIR, Received: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)}, ev))
	}
	return a.Finish()
}

// on is a disclosure on a day, to somebody, for a purpose.
func on(t *testing.T, date, to, code string) hippad.Event {
	d := day(t, date)
	return disclosed(func(ev *hippad.Event) {
		ev.Recorded = d.In(time.UTC)
		ev.Purposes = []hippad.Code{purpose(code)}
		ev.Agents[1].Name, ev.Agents[1].Who = to, hippad.Reference{}
	})
}

// The first and the last day of the six years are in it, the days around are not.
func TestEdgesOfTheWindow(t *testing.T) {
	q := Question{Requested: day(t, "2028-02-29"), Today: day(t, "2028-03-05"), Officer: true, Every: true}
	a := account(t, q, Rules{Organisation: springfield}, on(t, "2022-02-27", "A", "PUBHLTH"), on(t, "2022-02-28", "A", "PUBHLTH"), on(t, "2028-02-29", "A", "PUBHLTH"), on(t, "2028-03-01", "A", "PUBHLTH"))
	if len(a.Rows) != 2 || a.Rows[0].Entries[0] != 1 || a.Rows[1].Entries[0] != 2 {
		t.Errorf("%+v", a.Rows)
	}
}

// 164.528(b)(3): one recipient and a single purpose, of 164.512 or for the Secretary, and nothing else.
func TestSeries(t *testing.T) {
	q := Question{Requested: day(t, "2026-11-22"), Today: day(t, "2026-11-22")}
	events := []hippad.Event{
		on(t, "2026-03-01", "County", "PUBHLTH"), on(t, "2026-01-01", "County", "PUBHLTH"), on(t, "2026-02-01", "COUNTY", "PUBHLTH"),
		on(t, "2026-02-02", "County", "THREAT"), on(t, "2026-02-03", "State", "PUBHLTH"),
		on(t, "2019-01-01", "County", "PUBHLTH"), // before the period: not the first
	}
	a := account(t, q, Rules{Organisation: springfield}, events...)
	if len(a.Rows) != 3 {
		t.Fatalf("%d rows: %+v", len(a.Rows), a.Rows)
	}
	r := a.Rows[0]
	if r.Count != 3 || r.Date != day(t, "2026-01-01") || r.Last != day(t, "2026-03-01") || r.Clause != "164.528(b)(3)" || !slices.Equal(r.Entries, []int64{1, 2, 0}) {
		t.Errorf("%+v", r)
	}
	// The period moves, and with it the first one.
	q.From = day(t, "2026-01-15")
	if r := account(t, q, Rules{Organisation: springfield}, events...).Rows[0]; r.Count != 2 || r.Date != day(t, "2026-02-01") {
		t.Errorf("%+v", r)
	}
	q.Every = true
	if a := account(t, q, Rules{Organisation: springfield}, events...); len(a.Rows) != 4 {
		t.Errorf("every one: %d rows", len(a.Rows))
	}
	wrong := func(date string) hippad.Event {
		ev := on(t, date, "County", "TREAT")
		ev.Purposes = []hippad.Code{{System: SystemBasis, Code: "impermissible"}}
		return ev
	}
	if a := account(t, Question{Requested: q.Requested, Today: q.Today}, Rules{Organisation: springfield}, wrong("2026-01-01"), wrong("2026-01-02")); len(a.Rows) != 2 {
		t.Errorf("what is not permitted is summarised: %+v", a.Rows)
	}
}

// One address for all who ask, as the anonymous one of web services, or one number of two systems, does not make one recipient of two.
func TestSeriesIsOfOneRecipient(t *testing.T) {
	sent := func(date, name string) hippad.Event {
		ev := on(t, date, name, "PUBHLTH")
		ev.Agents[1].Who = hippad.Reference{Identifier: hippad.Identifier{Value: "http://www.w3.org/2005/08/addressing/anonymous"}}
		return ev
	}
	q := Question{Requested: day(t, "2026-11-22"), Today: day(t, "2026-11-22")}
	a := account(t, q, Rules{Organisation: springfield}, sent("2026-03-01", "County"), sent("2026-03-02", "State"), sent("2026-03-03", "COUNTY"))
	if len(a.Rows) != 2 || a.Rows[0].Count != 2 || a.Rows[1].Recipients[0].Name != "State" {
		t.Errorf("%+v", a.Rows)
	}
}

// 164.528(b)(4): from fifty on.
func TestResearch(t *testing.T) {
	p := Protocol{Entry: 9, Name: "Valves", Description: "x", Records: "y", From: day(t, "2025-01-01"), Sponsor: Party{"a", "b", "c"}, Researcher: Party{"Dr. Ames", "e", "f"}, Recipients: []string{"State University"}}
	q := Question{Requested: day(t, "2026-11-22"), Today: day(t, "2026-11-22"), Officer: true}
	events := []hippad.Event{on(t, "2025-05-01", "STATE university", "HRESCH"), on(t, "2025-06-01", "Dr. Ames", "CLINTRCH"), on(t, "2025-06-02", "Another", "HRESCH"),
		on(t, "2024-12-31", "Dr. Ames", "HRESCH")}
	for n, rows := range map[int]int{1: 4, 49: 4, 50: 2, 51: 2} {
		p.Individuals = n
		if err := p.Check(q.Today); err != nil {
			t.Fatal(err)
		}
		a := account(t, q, Rules{Organisation: springfield, Protocols: []Protocol{p}}, events...)
		listed := n >= 50
		if len(a.Rows) != rows || (len(a.Research) == 1) != listed {
			t.Errorf("%d individuals: %d rows, %d protocols", n, len(a.Rows), len(a.Research))
		}
		if listed && (len(a.Exempt) != 1 || a.Exempt[0].Clause != "164.528(b)(4)" || len(a.Exempt[0].Entries) != 2) {
			t.Errorf("%+v", a.Exempt)
		}
	}
	q.To = day(t, "2024-12-31")
	if a := account(t, q, Rules{Protocols: []Protocol{p}}); len(a.Research) != 0 {
		t.Error("it is listed for a period before it")
	}
	for name, change := range map[string]func(*Protocol){
		"(A)": func(p *Protocol) { p.Name = "" }, "(B)": func(p *Protocol) { p.Description = " " }, "(C)": func(p *Protocol) { p.Records = "" },
		"(D)": func(p *Protocol) { p.From = Date{} }, "last day": func(p *Protocol) { p.To = day(t, "2024-01-01") }, "sponsor's telephone (E)": func(p *Protocol) { p.Sponsor.Phone = "" },
		"researcher's address (E)": func(p *Protocol) { p.Researcher.Address = "" }, "how many": func(p *Protocol) { p.Individuals = 0 },
	} {
		bad := p
		change(&bad)
		if err := bad.Check(day(t, "2026-11-22")); hippad.KindOf(err) != hippad.Invalid || !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// 164.528(a)(2): what is withheld, from whom, and until when.
func TestSuspension(t *testing.T) {
	today := day(t, "2026-11-22")
	oral := Suspension{Agency: "State Police", Official: "Det. Moss", Basis: "164.512(f)", Oral: true, Stated: day(t, "2026-11-01")}
	if err := oral.Check(today); err != nil || oral.Until != day(t, "2026-12-01") || oral.Basis != "law-enforcement" {
		t.Fatalf("%+v, %v", oral, err)
	}
	written := Suspension{Agency: "STATE  police", Basis: "law-enforcement", Stated: day(t, "2026-11-20"), Until: day(t, "2029-11-20")}
	if err := written.Check(today); err != nil {
		t.Fatal(err)
	}
	lifted := written
	lifted.Lifted = day(t, "2027-01-01")
	events := []hippad.Event{on(t, "2026-10-01", "State Police", "HLEGAL"), on(t, "2026-10-02", "State Police", "PUBHLTH"), on(t, "2026-10-03", "City Police", "HLEGAL")}
	for _, x := range []struct {
		today string
		s     []Suspension
		rows  int
	}{
		{"2026-10-31", []Suspension{oral}, 3}, {"2026-11-01", []Suspension{oral}, 2}, {"2026-12-01", []Suspension{oral}, 2}, {"2026-12-02", []Suspension{oral}, 3},
		{"2026-12-02", []Suspension{oral, written}, 2}, {"2029-11-20", []Suspension{oral, written}, 2}, {"2029-11-21", []Suspension{oral, written}, 3},
		{"2026-12-31", []Suspension{lifted}, 2}, {"2027-01-01", []Suspension{lifted}, 3},
	} {
		q := Question{Requested: day(t, "2026-10-20"), Today: day(t, x.today)}
		patient := account(t, q, Rules{Organisation: springfield, Suspensions: x.s}, events...)
		if len(patient.Rows) != x.rows {
			t.Errorf("%s: %d rows, want %d", x.today, len(patient.Rows), x.rows)
		}
		q.Officer = true
		officer := account(t, q, Rules{Organisation: springfield, Suspensions: x.s}, events...)
		withheld := 0
		for _, r := range officer.Rows {
			if r.Withheld != nil {
				withheld++
			}
		}
		if len(officer.Rows) != 3 || withheld != 3-x.rows {
			t.Errorf("%s: the officer has %d rows, %d withheld", x.today, len(officer.Rows), withheld)
		}
	}
	for name, s := range map[string]Suspension{
		"only a health oversight": {Agency: "x", Basis: "public-health", Stated: today, Until: today}, "agency is missing": {Basis: "oversight", Stated: today, Until: today},
		"for how long": {Agency: "x", Basis: "oversight", Stated: today}, "at most 30 days": {Agency: "x", Basis: "oversight", Oral: true, Official: "y", Stated: today, Until: today.AddDays(31)},
		"identity": {Agency: "x", Basis: "oversight", Oral: true, Stated: today}, "cannot be": {Agency: "x", Basis: "oversight", Stated: today.AddDays(1), Until: today.AddDays(2)},
		"before it begins": {Agency: "x", Basis: "oversight", Stated: today, Until: today.AddDays(-1)},
	} {
		if err := s.Check(today); hippad.KindOf(err) != hippad.Invalid || !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is exempt unless a person knows better is told to the officer, and how much of it there is.
func TestExemptUnless(t *testing.T) {
	q := Question{Requested: day(t, "2026-11-22"), Today: day(t, "2026-11-22"), Officer: true}
	a := account(t, q, Rules{Organisation: springfield}, on(t, "2026-01-01", "North", "TREAT"), on(t, "2026-01-02", "North", "POPHLTH"), on(t, "2026-01-03", "North", "HOPERAT"),
		on(t, "2026-01-04", "North", "TRAIN"), on(t, "2026-01-05", "North", "BTG"))
	unless := map[string]int{}
	for _, x := range a.Exempt {
		if x.Clause != "164.528(a)(1)(i)" || x.Basis != "164.506" {
			t.Errorf("%+v", x)
		}
		unless[x.Unless] += len(x.Entries)
	}
	if len(unless) != 4 || unless[""] != 1 || unless[unlessRelation] != 2 {
		t.Errorf("%v", unless)
	}
}

// 164.528(b)(4)(i)(D): the period of the accounting, and the last day in it.
func TestProtocolWithin(t *testing.T) {
	for _, x := range []struct{ from, to, first, last string }{
		{"2024-01-01", "", "2024-01-01", "2026-06-30"}, {"2024-01-01", "2025-12-31", "2024-01-01", "2025-12-31"}, {"2010-01-01", "2027-01-01", "2020-06-30", "2026-06-30"},
	} {
		p := Protocol{From: day(t, x.from)}
		if x.to != "" {
			p.To = day(t, x.to)
		}
		if first, last := p.Within(day(t, "2020-06-30"), day(t, "2026-06-30")); first.String() != x.first || last.String() != x.last {
			t.Errorf("%v: %v to %v", x, first, last)
		}
	}
}

// 164.528(c)(1): 60 days, once 30 more.
func TestRequestClock(t *testing.T) {
	for received, due := range map[string]string{"2023-12-31": "2024-02-29", "2024-01-01": "2024-03-01", "2024-12-31": "2025-03-01", "2026-11-22": "2027-01-21", "2028-01-01": "2028-03-01"} {
		if got := (Request{Received: day(t, received)}).Due(); got.String() != due {
			t.Errorf("%s: %v, want %s", received, got, due)
		}
	}
	r := Request{Received: day(t, "2026-11-22")}
	today := day(t, "2027-06-01")
	x := Extension{Told: day(t, "2027-01-21"), Until: day(t, "2027-02-20"), Reasons: "the archive"}
	if err := r.Extend(x, today); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Request, *Extension){
		"told by 2027-01-21":  func(_ *Request, x *Extension) { x.Told = day(t, "2027-01-22") },
		"until 2027-02-20":    func(_ *Request, x *Extension) { x.Until = day(t, "2027-02-21") },
		"at most 30 days":     func(_ *Request, x *Extension) { x.Until = day(t, "2027-01-21") },
		"reasons":             func(_ *Request, x *Extension) { x.Reasons = "" },
		"cannot be":           func(_ *Request, x *Extension) { x.Told = day(t, "2026-11-21") },
		"one extension":       func(r *Request, x *Extension) { r.Extension = x },
		"the request is clos": func(r *Request, _ *Extension) { r.Answered = today },
	} {
		r, x := r, x
		change(&r, &x)
		if err := r.Extend(x, today); !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.Extension = &x
	if n := r.Received.DaysUntil(r.Due()); n != 90 {
		t.Errorf("%d days", n)
	}
	if err := (Request{Received: today.AddDays(1)}).Check(today); err == nil {
		t.Error("a request that is yet to come")
	}
}

// 164.528(c)(2): one in any twelve months.
func TestFree(t *testing.T) {
	for _, x := range []struct {
		received string
		provided []string
		free     bool
	}{
		{"2026-11-22", nil, true}, {"2026-11-22", []string{"2025-11-22"}, true}, {"2026-11-22", []string{"2025-11-23"}, false}, {"2026-11-22", []string{"2026-11-22"}, false},
		{"2026-11-22", []string{"2019-01-01", "2025-11-22"}, true}, {"2025-02-28", []string{"2024-02-29"}, false}, {"2025-03-01", []string{"2024-02-29"}, true},
		{"2026-11-22", []string{"2026-11-23"}, true},
	} {
		var provided []Date
		for _, p := range x.provided {
			provided = append(provided, day(t, p))
		}
		if got := Free(day(t, x.received), provided); got != x.free {
			t.Errorf("%s after %v: %v", x.received, x.provided, got)
		}
	}
}

// HITECH 13405(c) and 42 CFR 2.25 are off, and when they are on reach back three years.
func TestOptions(t *testing.T) {
	q := Question{Requested: day(t, "2026-11-22"), Today: day(t, "2026-11-22"), Officer: true}
	recorded := func(date, code string, labels ...string) hippad.Event {
		ev := on(t, date, "North Hospital", code)
		for _, l := range labels {
			ev.Entities[1].Labels = append(ev.Entities[1].Labels, hippad.Code{Code: l})
		}
		return ev
	}
	manual := recorded("2026-01-01", "TREAT")
	manual.Source.Observer.Identifier.System = SystemManual
	consent := recorded("2026-01-01", "TREAT", "ETH")
	consent.Purposes = []hippad.Code{{System: SystemBasis, Code: "authorization"}}
	plain := recorded("2026-01-01", "TREAT")
	plain.Purposes = consent.Purposes
	events := []hippad.Event{recorded("2026-01-01", "TREAT"), recorded("2023-11-22", "HPAYMT"), recorded("2023-11-21", "HPAYMT"), manual, consent, plain, recorded("2026-01-01", "PATRQT", "SUD")}
	for name, x := range map[string]struct {
		options LegalOptions
		entries []int64
		clause  string
	}{
		"off": {}, "ehr": {LegalOptions{EHRAccounting: true}, []int64{0, 1}, "42 USC 17935(c)"}, "part 2": {LegalOptions{Part2Accounting: true}, []int64{4}, "42 CFR 2.25"},
	} {
		o := *springfield
		o.Options = x.options
		a := account(t, q, Rules{Organisation: &o}, events...)
		var entries []int64
		for _, r := range a.Rows {
			entries = append(entries, r.Entries...)
			if r.Clause != x.clause {
				t.Errorf("%s: clause %s", name, r.Clause)
			}
		}
		slices.Sort(entries)
		if !slices.Equal(entries, x.entries) || (len(a.Associates) > 0) != x.options.EHRAccounting {
			t.Errorf("%s: %v, want %v; %d associates", name, entries, x.entries, len(a.Associates))
		}
	}
}

// Every disclosure in the period is a row, in a series, exempt with its paragraph, withheld, or open: nothing is left out, and nothing is there twice. The patient's
// copy is the officer's without what is withheld, exempt and open.
func TestNothingIsDropped(t *testing.T) {
	codes := []string{"", "LEGAL"}
	for _, p := range Purposes() {
		codes = append(codes, p.Code)
	}
	rapid.Check(t, func(t *rapid.T) {
		o := *springfield
		o.Options = LegalOptions{EHRAccounting: rapid.Bool().Draw(t, "ehr"), Part2Accounting: rapid.Bool().Draw(t, "part2")}
		q := Question{Requested: Date{2026, 11, 22}, Today: Date{2026, 11, 22}, Officer: true, Every: rapid.Bool().Draw(t, "every")}
		rules := Rules{Organisation: &o, Suspensions: []Suspension{{Agency: "Police", Basis: "law-enforcement", Stated: Date{2026, 11, 1}, Until: Date{2026, 12, 1}}},
			Protocols: []Protocol{{Entry: 3, From: Date{2020, 1, 1}, Individuals: rapid.SampledFrom([]int{49, 50}).Draw(t, "individuals"), Researcher: Party{Name: "Dr. Ames"}}}}
		officer, err := NewAccount(q, rules)
		if err != nil {
			t.Fatal(err)
		}
		q.Officer = false
		patient, _ := NewAccount(q, rules)
		c := NewClassifier(&o, nil)
		want := map[int64]bool{}
		n := rapid.IntRange(0, 30).Draw(t, "entries")
		for i := range int64(n) {
			at := Date{2026, 11, 22}.AddDays(-rapid.IntRange(-5, 2600).Draw(t, "days"))
			ev := disclosed(func(ev *hippad.Event) {
				ev.Recorded = at.In(time.UTC).Add(time.Duration(rapid.IntRange(0, 23).Draw(t, "hour")) * time.Hour)
				ev.Purposes = nil
				for range rapid.IntRange(0, 2).Draw(t, "purposes") {
					ev.Purposes = append(ev.Purposes, purpose(rapid.SampledFrom(codes).Draw(t, "code")))
				}
				ev.Outcome = rapid.SampledFrom([]string{"0", "0", "0", "4", "8", ""}).Draw(t, "outcome")
				ev.Agents[1].Name = rapid.SampledFrom([]string{"Police", "County", "Dr. Ames", "Acme Billing", "EHR-1", ""}).Draw(t, "to")
				ev.Agents[1].Who = hippad.Reference{}
				if rapid.IntRange(0, 9).Draw(t, "timeless") == 0 {
					ev.Recorded = time.Time{}
				}
				if rapid.Bool().Draw(t, "label") {
					ev.Entities[1].Labels = []hippad.Code{{Code: "SUD"}}
				}
			})
			d := c.Classify(hippad.Entry{Index: i, Door: hippad.DoorFHIR, Received: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)}, ev)
			inside := !d.Date.Before(Date{2020, 11, 22}) && !d.Date.After(Date{2026, 11, 22})
			if d.Verdict != NotDisclosed && (d.Date.IsZero() || inside) {
				want[i] = true
			}
			officer.Add(d)
			patient.Add(d)
		}
		all := officer.Finish()
		got := map[int64]bool{}
		put := func(entries ...int64) {
			for _, i := range entries {
				if got[i] {
					t.Fatalf("entry %d is there twice", i)
				}
				got[i] = true
			}
		}
		shown := 0
		for i, r := range all.Rows {
			put(r.Entries...)
			if r.Count != len(r.Entries) || r.Clause == "" || len(r.Recipients) == 0 || r.What == "" || r.Purpose == "" || i > 0 && r.Date.Before(all.Rows[i-1].Date) {
				t.Fatalf("row %+v", r)
			}
			if r.Withheld == nil {
				shown++
			}
		}
		for _, x := range all.Exempt {
			if x.Clause == "" || x.Basis == "" {
				t.Fatalf("exempt by %+v", x)
			}
			put(x.Entries...)
		}
		for _, d := range all.Review {
			if len(d.Reasons) == 0 {
				t.Fatalf("open without a reason: %d", d.Entry)
			}
			put(d.Entry)
		}
		if len(got) != len(want) {
			t.Fatalf("%d of %d disclosures", len(got), len(want))
		}
		for i := range want {
			if !got[i] {
				t.Fatalf("entry %d is left out", i)
			}
		}
		copied := patient.Finish()
		if len(copied.Rows) != shown || copied.Open != all.Open || len(copied.Exempt)+len(copied.Review) != 0 {
			t.Fatalf("the patient has %d rows of %d, open %d of %d", len(copied.Rows), shown, copied.Open, all.Open)
		}
	})
}

func TestAccessReport(t *testing.T) {
	c := NewClassifier(springfield, nil)
	x, err := NewAccesses(c, Date{2026, 3, 1}, Date{2026, 3, 2}, true)
	if err != nil {
		t.Fatal(err)
	}
	add := func(i int64, ev hippad.Event) {
		x.Add(hippad.Entry{Index: i, Door: hippad.DoorFHIR, Received: received}, ev)
	}
	nurse := func(at string, change func(*hippad.Event)) hippad.Event {
		return looked(func(ev *hippad.Event) {
			ev.Recorded = day(t, at).In(time.UTC)
			ev.Agents[0].Name, ev.Agents[0].Address, ev.Agents[0].Who.Identifier.Value = "Nora", "10.0.0.7", "Nurse"
			change(ev)
		})
	}
	add(1, nurse("2026-03-01", func(*hippad.Event) {}))
	add(2, nurse("2026-03-01", func(ev *hippad.Event) { ev.Action, ev.Purposes = "U", []hippad.Code{purpose("TREAT")} }))
	add(3, nurse("2026-03-02", func(ev *hippad.Event) { ev.Outcome = "8" }))
	add(4, nurse("2026-03-03", func(*hippad.Event) {}))
	add(5, nurse("2026-03-02", func(ev *hippad.Event) { ev.Agents = nil }))
	add(6, nurse("2026-03-02", func(ev *hippad.Event) { ev.Recorded = time.Time{} }))
	x.Add(hippad.Entry{Index: 7, Door: hippad.DoorSelf, Received: received}, nurse("2026-03-01", func(*hippad.Event) {}))
	r := x.Finish()
	if len(r.Accesses) != 4 {
		t.Fatalf("%+v", r.Accesses)
	}
	first := r.Accesses[1]
	if first.Who != "Nora" || first.Count != 2 || !slices.Equal(first.Did, []string{"viewed", "changed"}) || !slices.Equal(first.Why, []string{"treatment"}) ||
		!slices.Equal(first.Entries, []int64{1, 2}) || first.Outside || first.Addresses[0] != "10.0.0.7" {
		t.Errorf("%+v", first)
	}
	if first.ID != "urn:oid:1.9|Nurse" {
		t.Errorf("%q is not as it was sent", first.ID)
	}
	if r.Accesses[2].Failed != 1 || !strings.Contains(r.Accesses[3].Who, "does not name") || !r.Accesses[0].Day.IsZero() {
		t.Errorf("%+v", r.Accesses)
	}
	x, _ = NewAccesses(c, Date{}, Date{}, false)
	add(8, looked(func(ev *hippad.Event) {
		ev.Agents = append(ev.Agents[:1:1], hippad.Agent{Who: hippad.Reference{Display: "St. Mary"}, Type: roleClass("PROV")})
		ev.Agents[0].Who = hippad.Reference{Display: "dr-x"}
	}))
	if r := x.Finish(); len(r.Accesses) != 1 || r.Accesses[0].Who != "dr-x" || !r.Accesses[0].Outside {
		t.Errorf("for another organisation: %+v", r.Accesses)
	}
	if _, err := NewAccesses(c, Date{2026, 3, 2}, Date{2026, 3, 1}, false); hippad.KindOf(err) != hippad.Invalid {
		t.Error(err)
	}
}

// Two who come with one id, as two systems may give it or a service gives to all, are two people; one whom some systems name and others do not is one.
func TestAccessReportOfOneID(t *testing.T) {
	x, err := NewAccesses(NewClassifier(springfield, nil), Date{}, Date{}, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"", "Nora", "NORA", "Ben", ""} {
		x.Add(hippad.Entry{Index: int64(i), Door: hippad.DoorFHIR, Received: received}, looked(func(ev *hippad.Event) {
			ev.Agents[0].Who.Identifier, ev.Agents[0].Name = hippad.Identifier{Value: "17"}, name
		}))
	}
	got := ""
	for _, a := range x.Finish().Accesses {
		got += fmt.Sprintf("%s %d, ", a.Who, a.Count)
	}
	if got != "Ben 1, Nora 4, " {
		t.Error(got)
	}
}

// An agency is suspended by whichever name or identifier of it somebody has given, in an accounting as in an access report.
func TestSuspensionByEveryForm(t *testing.T) {
	ev := on(t, "2026-10-01", "SP", "HLEGAL")
	ev.Agents[1].Who = hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.7", Value: "77"}, Display: "State Police, Troop D", Literal: "Organization/9"}
	q := Question{Requested: day(t, "2026-11-20"), Today: day(t, "2026-11-22")}
	for _, agency := range []string{"SP", "state police, troop d", "77^^^&1.7&ISO", "77", "Organization/9"} {
		s := Suspension{Agency: agency, Basis: "law-enforcement", Stated: day(t, "2026-11-20"), Until: day(t, "2026-12-20")}
		if a := account(t, q, Rules{Organisation: springfield, Suspensions: []Suspension{s}}, ev); len(a.Rows) != 0 {
			t.Errorf("%s: %d rows", agency, len(a.Rows))
		}
		x, _ := NewAccesses(NewClassifier(springfield, nil), Date{}, Date{}, false)
		x.Withhold([]Suspension{s}, q.Today)
		x.Add(hippad.Entry{Door: hippad.DoorFHIR, Received: received}, ev)
		if n := len(x.Finish().Accesses); n != 0 {
			t.Errorf("%s: %d accesses", agency, n)
		}
	}
}

// The patient's access report does not tell what an accounting may not: 164.528(a)(2).
func TestAccessReportWithholds(t *testing.T) {
	today := day(t, "2026-11-22")
	s := Suspension{Agency: "State Police", Basis: "law-enforcement", Stated: today, Until: today.AddDays(1)}
	police := hippad.Agent{Name: "STATE police", Who: hippad.Reference{Literal: "Organization/1"}, Requestor: true}
	events := []hippad.Event{
		looked(func(*hippad.Event) {}), // somebody else
		looked(func(ev *hippad.Event) {
			ev.Agents, ev.Purposes = []hippad.Agent{police}, []hippad.Code{purpose("HLEGAL")}
		}),
		looked(func(ev *hippad.Event) { ev.Agents, ev.Outcome = []hippad.Agent{police}, "8" }),
		on(t, "2026-10-01", "State Police", "HLEGAL"), // our own system gave it
		on(t, "2026-10-02", "an officer, as it was decided", "HLEGAL"),
	}
	decided := func(i int64) (Decision, bool) {
		return Decision{Entry: 4, Verdict: Accountable, Basis: "law-enforcement", To: "State Police"}, i == 4
	}
	for _, x := range []struct {
		officer bool
		today   Date
		count   int
	}{{false, today, 1}, {true, today, 5}, {false, today.AddDays(2), 5}} {
		r, err := NewAccesses(NewClassifier(springfield, decided), Date{}, Date{}, x.officer)
		if err != nil {
			t.Fatal(err)
		}
		r.Withhold([]Suspension{s}, x.today)
		for i, ev := range events {
			r.Add(hippad.Entry{Index: int64(i), Door: hippad.DoorFHIR, Received: received}, ev)
		}
		count := 0
		for _, a := range r.Finish().Accesses {
			count += a.Count
		}
		if count != x.count {
			t.Errorf("officer %v on %v: %d events, want %d", x.officer, x.today, count, x.count)
		}
	}
}
