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

// The day around which the tests of reviews are.
func reviewDay(n int, hour int) time.Time {
	return time.Date(2026, 6, 1, hour, 0, 0, 0, time.UTC).AddDate(0, 0, n)
}

// reviewedEvent is something that a user did with a patient's data.
func reviewedEvent(at time.Time, user, department, action, patient string) hippad.Event {
	ev := hippad.Event{
		Type: hippad.Code{System: "DCM", Code: "110110"}, Recorded: at, Action: action, Outcome: "0",
		Agents: []hippad.Agent{{
			Who:       hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.9", Value: user}},
			Requestor: true, Location: hippad.Reference{Display: department}, Address: "10.0.0.1",
		}},
	}
	if patient != "" {
		ev.Entities = []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{Value: patient + "^^^&1.3&ISO"}}, Role: hippad.Code{Code: "1"}}}
	}
	return ev
}

// reviewOf reviews the 1st to the 30th of June 2026, and returns what is found about nina and patient 7.
func reviewOf(o ReviewOptions, rosters *ReviewRosters, events ...hippad.Event) (Finding, ReviewOutcome) {
	o.From, o.To = reviewDay(0, 0), reviewDay(30, 0)
	if o.Sample == 0 {
		o.Sample = -1 // none
	}
	r := NewReview(o, rosters)
	for i, ev := range events {
		r.Add(r.Observe(hippad.Entry{Index: int64(100 + i), Received: ev.Recorded}, ev))
	}
	out := r.Outcome()
	for _, f := range out.Findings {
		if strings.HasSuffix(f.User, "nina") && f.Patient == "urn:oid:1.3|7" {
			return f, out
		}
	}
	return Finding{}, out
}

// A period may begin and end within a day: what happened on that day, and not in the period, is known and not found.
func TestPartsOfDays(t *testing.T) {
	review := func(from, to time.Time, late int64, events ...hippad.Event) ReviewOutcome {
		r := NewReview(ReviewOptions{From: from, To: to, LateFrom: late, Sample: -1}, nil)
		for i, ev := range events {
			r.Add(r.Observe(hippad.Entry{Index: int64(100 + i), Received: ev.Recorded}, ev))
		}
		return r.Outcome()
	}
	morning, evening := reviewedEvent(reviewDay(0, 9), "nina", "W1", "R", "7"), reviewedEvent(reviewDay(0, 18), "nina", "W1", "R", "8")
	export := reviewedEvent(reviewDay(0, 8), "otto", "W1", "R", "9")
	export.Type.Code = "110101"
	for _, x := range []struct {
		name     string
		from, to time.Time
		late     int64
		accesses int
		findings int
	}{
		{"the day", reviewDay(0, 0), reviewDay(1, 0), 0, 3, 4}, {"the afternoon", reviewDay(0, 12), reviewDay(1, 0), 0, 1, 1}, {"the morning", reviewDay(0, 0), reviewDay(0, 12), 0, 2, 3},
		{"from the very moment", reviewDay(0, 18), reviewDay(1, 0), 0, 1, 1}, {"to the very moment", reviewDay(-1, 0), reviewDay(0, 18), 0, 2, 3}, {"and what came late", reviewDay(0, 12), reviewDay(1, 0), 101, 3, 4},
		{"the next day", reviewDay(1, 0), reviewDay(2, 0), 0, 0, 0},
	} {
		out := review(x.from, x.to, x.late, evening, morning, export)
		if out.Counts.Accesses != x.accesses || len(out.Findings) != x.findings {
			t.Errorf("%s: %d accesses, %d findings, want %d and %d", x.name, out.Counts.Accesses, len(out.Findings), x.accesses, x.findings)
		}
	}
}

// What explains an access, to the second where it ends.
func TestExplanations(t *testing.T) {
	access := reviewedEvent(reviewDay(10, 12), "nina", "W1", "R", "7")
	order := reviewedEvent(reviewDay(9, 12), "paul", "W9", "C", "7")
	order.Agents = append(order.Agents, hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.9", Value: "nina"}}})
	look := order
	look.Action = "R"
	sent := look
	sent.Type.Code = "110106"
	relation := func(x RosterRelation) *ReviewRosters {
		r := NewReviewRosters(nil)
		if err := r.AddRelation("7^^^&1.3&ISO", x); err != nil {
			t.Fatal(err)
		}
		return r
	}
	day := func(n int) Date { return DateOf(reviewDay(n, 0), time.UTC) }
	cleared := func(n int, at time.Time) ReviewOptions {
		return ReviewOptions{Cleared: map[ReviewPair]ReviewCleared{{"urn:oid:1.9|nina", "urn:oid:1.3|7"}: {Day: day(n), At: at}}}
	}
	for _, x := range []struct {
		name    string
		want    string // template; empty: found
		options ReviewOptions
		rosters *ReviewRosters
		events  []hippad.Event
	}{
		{name: "nothing"},
		{name: "own work, 7 days before", want: "E1", events: []hippad.Event{reviewedEvent(reviewDay(3, 12), "nina", "W1", "U", "7")}},
		{name: "own work, 7 days after", want: "E1", events: []hippad.Event{reviewedEvent(reviewDay(17, 12), "nina", "W1", "U", "7")}},
		{name: "own work, a second earlier", events: []hippad.Event{reviewedEvent(reviewDay(3, 12).Add(-time.Second), "nina", "W1", "U", "7")}},
		{name: "own work on somebody else", events: []hippad.Event{reviewedEvent(reviewDay(10, 12), "nina", "W1", "U", "8")}},
		{name: "relation of the user", want: "E2", rosters: relation(RosterRelation{User: "nina", From: day(10), To: day(10)})},
		{name: "relation of the user, without who assigned the id", want: "E2", rosters: relation(RosterRelation{User: "Nina"})},
		{name: "relation of the user, as the event has it", want: "E2", rosters: relation(RosterRelation{User: "nina^^^&1.9&ISO"})},
		{name: "relation of a user of another system", rosters: relation(RosterRelation{User: "urn:oid:1.8|nina"})},
		{name: "relation of another user", rosters: relation(RosterRelation{User: "ina"})},
		{name: "relation of the department, 3 days over", want: "E2", rosters: relation(RosterRelation{Department: "w1", From: day(1), To: day(7)})},
		{name: "relation of the department, 4 days over", rosters: relation(RosterRelation{Department: "W1", From: day(1), To: day(6)})},
		{name: "relation of tomorrow", rosters: relation(RosterRelation{Department: "W1", From: day(11)})},
		{name: "relation of another department", rosters: relation(RosterRelation{Department: "W2"})},
		{name: "the department, 72 h before", want: "E3", events: []hippad.Event{reviewedEvent(reviewDay(7, 12), "otto", "W1", "U", "7")}},
		{name: "the department, a second earlier", events: []hippad.Event{reviewedEvent(reviewDay(7, 12).Add(-time.Second), "otto", "W1", "U", "7")}},
		{name: "the department only looked", events: []hippad.Event{reviewedEvent(reviewDay(10, 9), "otto", "W1", "R", "7")}},
		{name: "another department", events: []hippad.Event{reviewedEvent(reviewDay(10, 9), "otto", "W2", "U", "7")}},
		{name: "cleared", want: "E4", options: cleared(10, reviewDay(20, 0))},
		{name: "cleared for a month", want: "E4", options: cleared(-30, reviewDay(-19, 12))},
		{name: "cleared for a month, and over", options: cleared(-30, reviewDay(-20, 11))},
		{name: "cleared for a later day", options: cleared(11, reviewDay(20, 0))},
		{name: "named by an order", want: "E7", events: []hippad.Event{order}},
		{name: "named as one to whom it was sent", want: "E7", events: []hippad.Event{sent}},
		{name: "named by somebody who only looked", events: []hippad.Event{look}},
		{name: "somebody else's failed attempt", events: []hippad.Event{func() hippad.Event {
			e := reviewedEvent(reviewDay(10, 9), "otto", "W1", "U", "7")
			e.Outcome = "8"
			return e
		}()}},
	} {
		t.Run(x.name, func(t *testing.T) {
			f, out := reviewOf(x.options, x.rosters, append(x.events, access)...)
			if found := f.Has("A3"); found == (x.want != "") {
				t.Errorf("found is %v, want it explained by %q: %v, %+v", found, x.want, f.Points, out.Counts.ByTemplate)
			}
			if out.Counts.Sampled > 0 {
				t.Errorf("%d are sampled, want none", out.Counts.Sampled)
			}
			if x.want != "" && out.Counts.ByTemplate[x.want] == 0 {
				t.Errorf("explained by %v, want %s", out.Counts.ByTemplate, x.want)
			}
		})
	}
}

// A job function explains up to its cap, and never a colleague or a VIP.
func TestJobFunction(t *testing.T) {
	var events []hippad.Event
	for i := range 12 {
		ev := reviewedEvent(reviewDay(10, 12), "nina", "Billing", "R", fmt.Sprint(7+i))
		events = append(events, ev)
	}
	if f, out := reviewOf(ReviewOptions{FunctionCap: 12}, nil, events...); f.Score != 0 || out.Counts.ByTemplate["E6"] != 12 {
		t.Errorf("%v, %v", f.Points, out.Counts.ByTemplate)
	}
	if f, _ := reviewOf(ReviewOptions{FunctionCap: 11}, nil, events...); !f.Has("A3") {
		t.Errorf("over the cap: %v", f.Points)
	}
	vip := NewReviewRosters(nil)
	if err := vip.AddVIP("urn:oid:1.3|7"); err != nil {
		t.Fatal(err)
	}
	if f, _ := reviewOf(ReviewOptions{}, vip, events...); !f.Has("B6") || !f.Has("E6") || f.Score != 20 || !strings.HasPrefix(f.Explained, "E6: job function billing") {
		t.Errorf("a VIP: %d, %v, %q", f.Score, f.Points, f.Explained)
	}
	for text, want := range map[string]string{"Senior Coder": "coder", "Health Information Management": "health information", "Collaboration": "", "nurse": "", "HIM": "him", "Labour ward": ""} {
		if got := jobFunction(text, ""); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// Who is near the patient, by rosters, to the day and the house number.
func TestRelatives(t *testing.T) {
	access := reviewedEvent(reviewDay(10, 12), "nina", "W1", "R", "7")
	nina := RosterStaff{User: "Nina", Last: "Lind", Department: "W1", Manager: "vera", Home: RosterHome{"12 Elm Street", "62701", "+1 (217) 555-0100"}}
	for _, x := range []struct {
		name    string
		patient RosterPatient
		staff   []RosterStaff
		job     string
		want    []string
		not     []string
	}{
		{name: "household", patient: RosterPatient{Home: RosterHome{"12 ELM  street", "62701", ""}}, want: []string{"B2"}, not: []string{"B5"}},
		{name: "telephone", patient: RosterPatient{Home: RosterHome{"", "", "+1 217 5550100"}}, want: []string{"B2"}},
		{name: "neighbour", patient: RosterPatient{Home: RosterHome{"14 Elm Street", "62701", ""}}, want: []string{"B5"}, not: []string{"B2"}},
		{name: "the street of another town", patient: RosterPatient{Home: RosterHome{"14 Elm Street", "10001", ""}}, not: []string{"B5", "B2"}},
		{name: "nobody knows where", patient: RosterPatient{Last: "Other"}, not: []string{"B1", "B2", "B5"}},
		{name: "last name", patient: RosterPatient{Last: "LIND"}, want: []string{"B1"}},
		{name: "colleague", staff: []RosterStaff{{User: "otto", Patient: "urn:oid:1.3|7"}}, want: []string{"B3"}, not: []string{"B4"}},
		{name: "manager", staff: []RosterStaff{{User: "vera", Patient: "urn:oid:1.3|7"}}, want: []string{"B3", "B4"}},
		{name: "subordinate", staff: []RosterStaff{{User: "otto", Manager: "NINA", Patient: "urn:oid:1.3|7"}}, want: []string{"B3", "B4"}},
		{name: "manager, written otherwise", staff: []RosterStaff{{User: "urn:oid:1.9|vera", Patient: "urn:oid:1.3|7"}}, want: []string{"B3", "B4"}},
		{name: "17", patient: RosterPatient{Born: Date{2008, 6, 12}}, want: []string{"B7"}},
		{name: "18 that day", patient: RosterPatient{Born: Date{2008, 6, 11}}, not: []string{"B7"}},
		{name: "31 days dead", patient: RosterPatient{Died: Date{2026, 5, 11}}, want: []string{"B8"}},
		{name: "30 days dead", patient: RosterPatient{Died: Date{2026, 5, 12}}, not: []string{"B8"}},
		{name: "31 days dead, and billing", job: "billing", patient: RosterPatient{Died: Date{2026, 5, 11}}, not: []string{"B8"}},
		{name: "31 days dead, and laboratory", job: "laboratory", patient: RosterPatient{Died: Date{2026, 5, 11}}, want: []string{"B8"}},
		{name: "sensitive", patient: RosterPatient{Sensitive: true}, want: []string{"B11"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := NewReviewRosters(nil)
			me := nina
			me.Job = x.job
			for _, s := range append(x.staff, me) {
				if err := r.AddStaff(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.AddPatient("7^^^&1.3&ISO", x.patient); err != nil {
				t.Fatal(err)
			}
			f, _ := reviewOf(ReviewOptions{}, r, access)
			for _, rule := range x.want {
				if !f.Has(rule) {
					t.Errorf("%s is missing: %v", rule, f.Points)
				}
			}
			for _, rule := range x.not {
				if f.Has(rule) {
					t.Errorf("%s: %v", rule, f.Points)
				}
			}
		})
	}
}

// Two lines about one patient say more than either: the crosswalk may know that two identifiers are one person. What a later line leaves open stays.
func TestPatientTwice(t *testing.T) {
	access := reviewedEvent(reviewDay(10, 12), "nina", "W1", "R", "7")
	full := RosterPatient{Last: "Lind", Home: RosterHome{"12 Elm Street", "62701", "217 555 0100"}, Born: Date{2010, 1, 1}, Died: Date{2026, 3, 1}, VIP: true, Sensitive: true}
	for name, rows := range map[string][]RosterPatient{"once": {full}, "then nothing": {full, {}}, "nothing first": {{}, full}, "another last name": {full, {Last: "Lind-Moss"}}} {
		r := NewReviewRosters(func(string) string { return "urn:oid:1.3|7" })
		if err := r.AddStaff(RosterStaff{User: "nina", Last: "Lind", Home: full.Home}); err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			if err := r.AddPatient(fmt.Sprintf("urn:oid:1.3|%d", 7+i), row); err != nil {
				t.Fatal(err)
			}
		}
		f, _ := reviewOf(ReviewOptions{}, r, access)
		var got []string
		for _, p := range f.Points {
			got = append(got, fmt.Sprint(p.Rule, p.Points))
		}
		if want := "[A310 B120 B240 B625 B75 B830 B1110 A410]"; fmt.Sprint(got) != want || r.counted != 1 {
			t.Errorf("%s: %v, want %s; %d last names", name, got, want, r.counted)
		}
	}
}

// A last name counts by how rare it is.
func TestFrequentNames(t *testing.T) {
	for _, x := range []struct{ bearers, of, want int }{{1, 1, 20}, {4, 500, 5}, {21, 500, 0}, {10, 5000, 10}, {5, 100_000, 20}} {
		r := NewReviewRosters(nil)
		_ = r.AddStaff(RosterStaff{User: "nina", Last: "Lind"})
		for i := range x.of {
			last := fmt.Sprint("Name", i)
			if i < x.bearers {
				last = "Lind"
			}
			_ = r.AddPatient(fmt.Sprintf("urn:oid:1.3|%d", 7+i), RosterPatient{Last: last})
		}
		f, _ := reviewOf(ReviewOptions{}, r, reviewedEvent(reviewDay(10, 12), "nina", "W1", "R", "7"))
		got := 0
		for _, p := range f.Points {
			if p.Rule == "B1" {
				got = p.Points
			}
		}
		if got != x.want {
			t.Errorf("%d of %d: %d points, want %d", x.bearers, x.of, got, x.want)
		}
	}
}

// Five failures within a quarter of an hour; worse if the next try succeeds.
func TestFailedLogin(t *testing.T) {
	login := func(second int, ok bool) hippad.Event {
		ev := reviewedEvent(reviewDay(10, 12).Add(time.Duration(second)*time.Second), "nina", "", "E", "")
		ev.Type, ev.Subtypes = hippad.Code{System: "DCM", Code: "110114"}, []hippad.Code{{System: "DCM", Code: "110122"}}
		if !ok {
			ev.Outcome = "4"
		}
		return ev
	}
	every := func(from, to, step int) (all []int) {
		for ; from < to; from += step {
			all = append(all, from)
		}
		return all
	}
	for _, x := range []struct {
		name string
		at   []int
		ok   int
		want int
	}{
		{"four", []int{0, 1, 2, 3}, -1, 0}, {"five in 900 s", []int{0, 1, 2, 3, 900}, -1, 20}, {"five in 901 s", []int{0, 1, 2, 3, 901}, -1, 0},
		{"and then one that succeeds", []int{0, 1, 2, 3, 4}, 60, 30}, {"after an hour of them one succeeds", every(0, 3600, 10), 3605, 30},
		{"after thousands of them one succeeds", every(0, 9000, 2), 9001, 30}, {"one succeeds before", []int{10, 11, 12, 13, 14}, 5, 20},
		{"five around midnight", []int{43_100, 43_150, 43_190, 43_210, 43_220}, -1, 20}, {"and one that succeeds after it", []int{43_100, 43_120, 43_130, 43_140, 43_150}, 43_300, 30},
		{"four and four around midnight, apart", []int{42_000, 42_001, 42_002, 42_003, 43_300, 43_301, 43_302, 43_303}, -1, 0}, {"in any order", []int{4, 2, 0, 3, 1}, 60, 30}, {"much later", []int{0, 1, 2, 3, 4}, 5000, 20},
	} {
		var events []hippad.Event
		for _, s := range x.at {
			events = append(events, login(s, false))
		}
		if x.ok >= 0 {
			events = append(events, login(x.ok, true))
		}
		_, out := reviewOf(ReviewOptions{}, nil, events...)
		got := 0
		for _, f := range out.Findings {
			got += f.Score
		}
		if got != x.want {
			t.Errorf("%s: %d points, want %d", x.name, got, x.want)
		}
	}
}

// A search by name leads to what is opened within ten minutes, also if midnight lies between.
func TestSearchedByName(t *testing.T) {
	for seconds, want := range map[int]bool{0: true, 600: true, 601: false, -1: false} {
		for _, at := range []time.Time{reviewDay(10, 12), reviewDay(10, 0)} {
			search := reviewedEvent(at.Add(-time.Duration(seconds)*time.Second), "nina", "W1", "E", "")
			search.Entities = []hippad.Entity{{Role: hippad.Code{Code: "24"}, Query: []byte("family=x")}}
			if f, _ := reviewOf(ReviewOptions{}, nil, search, reviewedEvent(at, "nina", "W1", "R", "7")); f.Has("A13") != want {
				t.Errorf("%d s before %v: %v", seconds, at, f.Points)
			}
		}
	}
}

// All failures are counted, however many they are.
func TestManyFailedLogins(t *testing.T) {
	var events []hippad.Event
	for i := range 1000 {
		ev := reviewedEvent(reviewDay(10, 12).Add(time.Duration(i)*time.Second), "nina", "", "E", "")
		ev.Type, ev.Outcome = hippad.Code{System: "DCM", Code: "110122"}, "8"
		events = append(events, ev)
	}
	if _, out := reviewOf(ReviewOptions{}, nil, events...); len(out.Findings) != 1 || !strings.HasPrefix(out.Findings[0].Points[0].Why, "1000 failures that day") {
		t.Errorf("%+v", out.Findings)
	}
}

// A burst is one beside what the user did before and what others of the job do: it does not make itself usual.
func TestBurst(t *testing.T) {
	opened := func(user string, day, patients int) (events []hippad.Event) {
		for i := range patients {
			events = append(events, reviewedEvent(reviewDay(day, 12), user, "W1", "R", fmt.Sprint(user, day, "-", i)))
		}
		return events
	}
	days := func(lists ...[]hippad.Event) []hippad.Event { return slices.Concat(lists...) }
	for _, x := range []struct {
		name   string
		events []hippad.Event
		want   int
	}{
		{"as many as ever", days(opened("nina", 1, 40), opened("nina", 2, 40), opened("nina", 3, 60)), 1}, // the first day, of which nothing is known before
		{"the only one of the job", days(opened("nina", 1, 10), opened("nina", 2, 10), opened("nina", 3, 90)), 1},
		{"colleagues do it too", days(opened("nina", 3, 50), opened("otto", -3, 40)), 0},
		{"colleagues do less", days(opened("nina", 3, 50), opened("otto", -3, 20)), 1},
		{"day after day", days(opened("nina", 3, 50), opened("nina", 4, 300), opened("otto", 3, 20)), 2},
		{"29", opened("nina", 3, 29), 0},
	} {
		_, out := reviewOf(ReviewOptions{}, nil, x.events...)
		got := 0
		for _, f := range out.Findings {
			if f.Has("A5") {
				got++
			}
		}
		if got != x.want {
			t.Errorf("%s: %d bursts, want %d", x.name, got, x.want)
		}
	}
}

// An event may say anything: nothing panics, and what is found holds together.
func TestAnyEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := rapid.SampledFrom([]string{"", "nina", "otto", "vera^Hall", "urn:oid:1.9|paul", "\xff"})
		code := func(list ...string) *rapid.Generator[hippad.Code] {
			return rapid.Custom(func(t *rapid.T) hippad.Code {
				return hippad.Code{System: rapid.SampledFrom([]string{"DCM", "", "x"}).Draw(t, "system"), Code: rapid.SampledFrom(list).Draw(t, "code")}
			})
		}
		agent := rapid.Custom(func(t *rapid.T) hippad.Agent {
			return hippad.Agent{
				Who:  hippad.Reference{Identifier: hippad.Identifier{Value: user.Draw(t, "user")}, Literal: rapid.SampledFrom([]string{"", "Practitioner/7", "/"}).Draw(t, "literal")},
				Name: user.Draw(t, "name"), Requestor: rapid.Bool().Draw(t, "requestor"), Address: rapid.SampledFrom([]string{"", "10.0.0.1", "192.168.1.1", "::1", "2001:db8::1", "pc"}).Draw(t, "address"),
				Location: hippad.Reference{Display: rapid.SampledFrom([]string{"", "W1", "W2"}).Draw(t, "location")}, Roles: rapid.SliceOfN(code("", "110153", "billing"), 0, 2).Draw(t, "roles"),
				Purposes: rapid.SliceOfN(code("BTG", "TREAT"), 0, 1).Draw(t, "purposes"),
			}
		})
		entity := rapid.Custom(func(t *rapid.T) hippad.Entity {
			return hippad.Entity{
				What: hippad.Reference{Identifier: hippad.Identifier{Value: rapid.SampledFrom([]string{"", "7", "8^^^&1.3&ISO"}).Draw(t, "patient")}, Literal: rapid.SampledFrom([]string{"", "Patient/9"}).Draw(t, "literal")},
				Role: code("1", "24", "").Draw(t, "role"), Query: []byte(rapid.SampledFrom([]string{"", "name=x"}).Draw(t, "query")), Labels: rapid.SliceOfN(code("ETH", "x"), 0, 1).Draw(t, "labels"),
			}
		})
		event := rapid.Custom(func(t *rapid.T) hippad.Event {
			at := rapid.SampledFrom([]time.Time{{}, time.Unix(1<<40, 0), reviewDay(-200, 3), reviewDay(10, 12), reviewDay(10, 12).Add(time.Minute), reviewDay(11, 3), reviewDay(29, 23)}).Draw(t, "at")
			return hippad.Event{
				Type: code("110110", "110106", "110112", "110114", "110101", "110122").Draw(t, "type"), Subtypes: rapid.SliceOfN(code("110122", "110127"), 0, 2).Draw(t, "subtypes"),
				Action: rapid.SampledFrom([]string{"", "C", "R", "U", "D", "E", "?"}).Draw(t, "action"), Outcome: rapid.SampledFrom([]string{"", "0", "4", "8"}).Draw(t, "outcome"), Recorded: at,
				Agents: rapid.SliceOfN(agent, 0, 3).Draw(t, "agents"), Entities: rapid.SliceOfN(entity, 0, 3).Draw(t, "entities"),
			}
		})
		events := rapid.SliceOfN(event, 0, 60).Draw(t, "events")
		rosters := NewReviewRosters(nil)
		_ = rosters.AddStaff(RosterStaff{User: "nina", Patient: "Patient/9", End: Date{2026, 6, 5}, Manager: "nina"})
		_ = rosters.AddPatient("7", RosterPatient{VIP: true})
		_, out := reviewOf(ReviewOptions{Sample: 500, LateFrom: 130}, rosters, events...)
		for i, f := range out.Findings {
			sum := 0
			for _, p := range f.Points {
				sum += p.Points
			}
			if sum != f.Score || f.Number != i+1 || len(f.Points) == 0 || len(f.Entries) == 0 {
				t.Fatalf("finding %d: %d points, %v, entries %v", f.Number, f.Score, f.Points, f.Entries)
			}
			if slices.ContainsFunc(f.Entries, func(e int64) bool { return e < 100 || e >= 100+int64(len(events)) }) {
				t.Fatalf("finding %d names entries that are not there: %v", f.Number, f.Entries)
			}
		}
		if _, again := reviewOf(ReviewOptions{Sample: 500, LateFrom: 130}, rosters, events...); fmt.Sprintf("%+v", again.Counts) != fmt.Sprintf("%+v", out.Counts) || len(again.Findings) != len(out.Findings) {
			t.Fatal("the same events give two reviews")
		}
	})
}

// One record that very many open, as that of a patient whom a system calls unknown, and very many users with as much unexplained as each other,
// cost what they are, not the square of it.
func TestCrowdedRecord(t *testing.T) {
	r := NewReview(ReviewOptions{From: reviewDay(0, 0), To: reviewDay(30, 0), Sample: -1}, nil)
	at := int64(0)
	add := func(user, department int, patient string, write bool) {
		r.Add(Observation{
			Entry: at, At: reviewDay(20, 0).Add(time.Duration(at) * time.Millisecond), User: fmt.Sprint("u", user), Department: fmt.Sprint("W", department), Patients: []string{patient}, Write: write,
		})
		at++
	}
	const many = 20_000
	for i := range many {
		add(i, i, "unknown", false)
		add(many+i, many+i, "unknown", true)
	}
	for i := range 5 * many {
		add(i/10, i/10, fmt.Sprint("p", i), false)
	}
	out := r.Outcome()
	if out.Counts.Accesses != 7*many || out.Counts.Explained != many {
		t.Errorf("%d accesses, %d explained", out.Counts.Accesses, out.Counts.Explained)
	}
}

// One event of very many patients and agents costs what it says, not the product of it.
func TestHugeEvent(t *testing.T) {
	ev := reviewedEvent(reviewDay(10, 12), "nina", "W1", "R", "7")
	ev.Type.Code = "110106"
	for i := range 20_000 {
		ev.Entities = append(ev.Entities, hippad.Entity{What: hippad.Reference{Literal: fmt.Sprint("Patient/", i)}})
		ev.Agents = append(ev.Agents, hippad.Agent{Name: fmt.Sprint("x", i)})
	}
	_, out := reviewOf(ReviewOptions{}, nil, ev)
	if out.Counts.Accesses != 20_001 || !slices.ContainsFunc(out.Findings, func(f Finding) bool { return f.Has("A7") }) {
		t.Errorf("%d accesses", out.Counts.Accesses)
	}
}

// Entries come in any order; a day is one access of a user and a patient all the same.
func TestAnyOrder(t *testing.T) {
	day := func(n int) hippad.Event { return reviewedEvent(reviewDay(n, 12), "nina", "W1", "R", "7") }
	for _, order := range [][]int{{10, 5, 10}, {5, 10, 5, 10}, {10, 5, 7, 5, 10, 7}} {
		var events []hippad.Event
		days := map[int]bool{}
		for _, n := range order {
			events, days[n] = append(events, day(n)), true
		}
		if _, out := reviewOf(ReviewOptions{}, nil, events...); out.Counts.Accesses != len(days) {
			t.Errorf("%v: %d accesses, want %d", order, out.Counts.Accesses, len(days))
		}
	}
}

// What came late may be older than anything that was read: it tells nothing of the time in between.
func TestLongAgo(t *testing.T) {
	before := reviewedEvent(reviewDay(-300, 12), "nina", "W1", "R", "7") // entry 101
	_, out := reviewOf(ReviewOptions{LateFrom: 101}, nil, reviewedEvent(reviewDay(-1, 12), "otto", "W1", "R", "8"), before, reviewedEvent(reviewDay(10, 12), "nina", "W1", "R", "7"))
	if out.Counts.Accesses != 2 {
		t.Errorf("%d accesses", out.Counts.Accesses)
	}
	for _, f := range out.Findings {
		if f.Has("A15") || f.Has("A11") {
			t.Errorf("%v", f.Points)
		}
	}
	if !slices.ContainsFunc(out.Counts.Unapplied, func(u Unapplied) bool { return u.Rule == "A11" }) {
		t.Error("A11 was applied to two days of history")
	}
}
