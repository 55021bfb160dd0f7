package regulation

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
)

// Every section says what the program does and what it does not, and names nothing that is not counted.
func TestComplianceCatalogue(t *testing.T) {
	known := knownEvidence[:]
	ids := map[string]bool{}
	for _, m := range Measures() {
		if ids[m.ID] || slices.Contains(known, m.ID) || m.Text == "" {
			t.Errorf("measure %q is there twice, or says nothing", m.ID)
		}
		ids[m.ID] = true
	}
	if !slices.IsSorted(sharedNames[:]) {
		t.Error("sharedNames must be sorted: they are looked for by halves")
	}
	for _, c := range Catalogues() {
		seen := map[string]bool{}
		for _, x := range c.Controls {
			if x.Does == "" || x.Duty == "" || x.Title == "" || !slices.Contains([]Mark{Verified, Memory}, x.Mark) {
				t.Errorf("%s %s: something is missing", c.Name, x.Section)
			}
			if c.Proposed != (x.Requirement == Proposed) {
				t.Errorf("%s %s is %s", c.Name, x.Section, x.Requirement)
			}
			if key := x.Section + x.Title; seen[key] {
				t.Errorf("%s %s is there twice", c.Name, key)
			} else {
				seen[key] = true
			}
			for _, id := range x.Measures {
				if !ids[id] && !slices.Contains(known, id) {
					t.Errorf("%s %s names %q, which nothing counts", c.Name, x.Section, id)
				}
			}
			if x.Steps != "" && !slices.Contains(stepped[:], x.Steps) {
				t.Errorf("%s %s names the steps of %q", c.Name, x.Section, x.Steps)
			}
		}
	}
}

// The marks R and A are those of the table in 45 CFR 164 (appendix A to subpart C).
func TestComplianceRequirements(t *testing.T) {
	want := map[string]Requirement{
		"164.308(a)(1)(ii)(C)": Required, "164.308(a)(1)(ii)(D)": Required, "164.308(a)(3)(ii)(C)": Addressable, "164.308(a)(4)(ii)(B)": Addressable,
		"164.308(a)(4)(ii)(C)": Addressable, "164.308(a)(5)(ii)(C)": Addressable, "164.308(a)(6)(ii)": Required, "164.308(a)(7)(ii)(A)": Required,
		"164.308(a)(8)": Standard, "164.312(a)(1)": Standard, "164.312(a)(2)(i)": Required, "164.312(a)(2)(ii)": Required, "164.312(a)(2)(iii)": Addressable,
		"164.312(a)(2)(iv)": Addressable, "164.312(b)": Standard, "164.312(c)(1)": Standard, "164.312(c)(2)": Addressable, "164.312(d)": Standard,
		"164.312(e)(1)": Standard, "164.312(e)(2)(i)": Addressable, "164.312(e)(2)(ii)": Addressable, "164.316(b)(1)": Standard, "164.316(b)(2)(i)": Required,
		"164.400 to 164.414": Rule, "164.528": Rule, "164.530(j)": Rule,
	}
	for _, x := range inForce().Controls {
		if want[x.Section] != x.Requirement {
			t.Errorf("%s is %s, want %s", x.Section, x.Requirement, want[x.Section])
		}
		delete(want, x.Section)
	}
	if len(want) > 0 {
		t.Errorf("the catalogue lacks %v", want)
	}
}

func TestFindCatalogue(t *testing.T) {
	c, err := FindCatalogue("hipaa-nprm-2025")
	if err != nil || !c.Proposed {
		t.Errorf("%v, %v", c.Proposed, err)
	}
	if c, err := FindCatalogue("hipaa"); err != nil || c.Proposed {
		t.Errorf("%v, %v", c.Proposed, err)
	}
	if _, err := FindCatalogue("iso"); hippad.KindOf(err) != hippad.Invalid {
		t.Errorf("%v", err)
	}
}

func dcm(code string) hippad.Code { return hippad.Code{System: "DCM", Code: code} }

func TestTally(t *testing.T) {
	patient := hippad.Entity{Role: hippad.Code{Code: "1"}}
	by := func(id, address string) hippad.Agent {
		return hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{Value: id}}, Requestor: true, Address: address}
	}
	own := func(description string, codes ...hippad.Code) hippad.Event {
		return hippad.Event{Type: dcm(dcmSecurityAlert), Outcome: "0", OutcomeDescription: description, Subtypes: codes}
	}
	activity := func(a string) hippad.Code { return hippad.Code{System: "urn:x-hippad:activity", Code: a} }
	at := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	zone := time.FixedZone("", -6*3600) // still the 22nd there
	tally := NewTally(zone)
	add := func(after time.Duration, door hippad.Door, who hippad.Principal, ev hippad.Event) {
		tally.Add(hippad.Entry{Received: at.Add(after), Door: door, Reporter: who}, ev)
	}
	north := hippad.Principal{Kind: hippad.KindCertificate, ID: "n", Organisation: "North"}
	somebody := hippad.Principal{Kind: hippad.KindAddress, ID: "192.0.2.1"}
	add(0, hippad.DoorSyslogTLS, north, hippad.Event{Type: dcm("110114"), Subtypes: []hippad.Code{dcm("110122")}, Outcome: "8", Agents: []hippad.Agent{by("Nurse", "a")}})
	add(0, hippad.DoorSyslogTLS, north, hippad.Event{Type: dcm("110114"), Subtypes: []hippad.Code{dcm("110122")}, Outcome: "0", Agents: []hippad.Agent{by("lind", "a")}})
	add(0, hippad.DoorSyslogUDP, somebody, hippad.Event{Type: dcm("110113"), Subtypes: []hippad.Code{dcm("110127")}, Outcome: "0"})
	add(0, hippad.DoorNative, north, hippad.Event{Unreadable: "it is text"})
	add(0, hippad.DoorFHIR, north, hippad.Event{Type: dcm("110110"), Outcome: "0", Entities: []hippad.Entity{patient}, Purposes: []hippad.Code{{Code: "BTG"}}})
	for i, address := range []string{"b", "c", "d", "e", "f", "g"} { // with a: the fifth address of lind's day counts once
		add(time.Duration(i)*time.Minute, hippad.DoorNative, north, hippad.Event{Agents: []hippad.Agent{by("LIND", address)}})
	}
	for i, address := range []string{"h", "i", "j"} { // another day begins after the first
		add(3*time.Hour+time.Duration(i)*50*time.Minute, hippad.DoorNative, north, hippad.Event{Agents: []hippad.Agent{by("berg", address)}})
	}
	self := hippad.Principal{Kind: hippad.KindSelf, ID: "log"}
	add(5*time.Hour, hippad.DoorSelf, self, own("review 12 was signed", dcm("110135"), activity("review")))
	add(5*time.Hour, hippad.DoorSelf, self, own("review 1305 was signed", dcm("110135"), activity("review")))
	add(5*time.Hour, hippad.DoorSelf, self, hippad.Event{Type: dcm("110101"), Subtypes: []hippad.Code{activity("review")}, OutcomeDescription: "looked"})
	tally.Add(hippad.Entry{Door: hippad.DoorNative, Received: at.Add(6 * time.Hour), Destroyed: true}, hippad.Event{})

	f := tally.Facts(day(t, "2026-11-22"), day(t, "2026-11-23"))
	for id, want := range map[string]int64{
		"reports": 15, "own": 3, "door-native": 11, "door-fhir": 1, "door-syslog-tls": 2, "unencrypted": 1, "unauthenticated": 1, "unreadable": 1, "destroyed": 1,
		"login": 1, "login-failed": 1, "emergency": 1, "glass": 1, "nobody": 1, "shared": 1, "review": 2, "readings": 1, "breach": 0, "no such measure": 0,
	} {
		if got := f.Count(id); got != want {
			t.Errorf("%s: %d, want %d", id, got, want)
		}
	}
	if f.Entries != 18 || f.ManyPlaced != 1 || f.Reporters != 2 || len(f.Steps) != 1 || f.Steps[0] != (Step{"review", "review N was signed", 2}) {
		t.Errorf("%+v", f)
	}
	if len(f.Organisations) != 2 || f.Organisations[0] != (Count{"North", 13}) {
		t.Errorf("%v", f.Organisations)
	}

	s := Compliance(inForce(), f)
	i := slices.IndexFunc(s.Lines, func(l ControlLine) bool { return l.Section == "164.308(a)(1)(ii)(D)" })
	if l := s.Lines[i]; l.Recorded() != 4 || l.Concerns() != 0 || l.Evidence[3].Text != "review N was signed" {
		t.Errorf("%+v", l)
	}
	i = slices.IndexFunc(s.Lines, func(l ControlLine) bool { return l.Section == "164.312(a)(2)(i)" })
	if l := s.Lines[i]; l.Concerns() != 3 {
		t.Errorf("%+v", l)
	}
	if s.Notice != NotLegalAdvice || !strings.Contains(s.Notice, "not legal advice") || s.Proposed {
		t.Errorf("%q", s.Notice)
	}
	if s := Compliance(proposed2025(), f); !s.Proposed || len(s.Lines) != 10 {
		t.Errorf("%v, %d lines", s.Proposed, len(s.Lines))
	}
}

// Who only looks at reviews, cases and disclosures has not reviewed, notified or accounted for anything; and what was begun may not have come to its end.
func TestComplianceClaimsNoMore(t *testing.T) {
	tally := NewTally(time.UTC)
	for _, activity := range []string{"review", "breach", "disclosure"} {
		tally.Add(hippad.Entry{Door: hippad.DoorSelf}, hippad.Event{Type: dcm("110101"), Subtypes: []hippad.Code{{System: "urn:x-hippad:activity", Code: activity}}})
	}
	f := tally.Facts(day(t, "2026-11-22"), day(t, "2026-11-23"))
	if f.Count("review")+f.Count("breach")+f.Count("disclosure") != 0 || f.Count("readings") != 3 || len(f.Steps) != 0 {
		t.Errorf("%+v", f)
	}
	for _, m := range Measures() {
		if slices.Contains([]string{"backup", "rotate", "export"}, m.ID) && !strings.Contains(m.Text, "begun") {
			t.Errorf("%s, whose entry comes before it, is counted as %q", m.ID, m.Text)
		}
	}
}

// What is counted in parts is what is counted at once, and what somebody sends cannot make it grow.
func TestTallyMerges(t *testing.T) {
	var parts [3]*Tally
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	whole, merged := NewTally(time.UTC), NewTally(time.UTC)
	for p := range parts {
		parts[p] = NewTally(time.UTC)
		for i := range 3000 {
			e := hippad.Entry{Received: at.AddDate(0, p, i/1000), Door: hippad.Door(i % 5), Reporter: hippad.Principal{Kind: hippad.KindCertificate, ID: fmt.Sprint(i % 40), Organisation: fmt.Sprint(p, i%500)}}
			ev := hippad.Event{Type: dcm("110113"), OutcomeDescription: strings.Repeat("x", i%7), Subtypes: []hippad.Code{{System: "urn:x-hippad:activity", Code: "breach"}},
				Agents: []hippad.Agent{{AltID: fmt.Sprint(i % 3), Requestor: true, Address: fmt.Sprint(i % 11)}}}
			parts[p].Add(e, ev)
			whole.Add(e, ev)
		}
	}
	for _, p := range parts {
		merged.Merge(p)
	}
	from, to := day(t, "2026-01-01"), day(t, "2026-03-31")
	a, b := whole.Facts(from, to), merged.Facts(from, to)
	if fmt.Sprint(a.Counts, a.Steps, a.Entries, a.Reporters, a.ManyPlaced) != fmt.Sprint(b.Counts, b.Steps, b.Entries, b.Reporters, b.ManyPlaced) {
		t.Errorf("%+v\n%+v", a, b)
	}
	if a.ManyPlaced == 0 || len(a.Organisations) != maxOrganisations+1 || len(b.Organisations) != maxOrganisations+1 {
		t.Errorf("%d, %d and %d organisations", a.ManyPlaced, len(a.Organisations), len(b.Organisations))
	}
	for _, f := range []Facts{a, b} {
		var sum int64
		for _, o := range f.Organisations {
			sum += o.Count
		}
		if sum != f.Count("reports") {
			t.Errorf("organisations have %d reports of %d", sum, f.Count("reports"))
		}
	}
}

func TestWording(t *testing.T) {
	for in, want := range map[string]string{
		"review 12 was signed": "review N was signed", "": "", "2026-11-23": "N-N-N", strings.Repeat("é", 200): strings.Repeat("é", 100), "0": "N", "٣": "N",
	} {
		if got := wording(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if regexp.MustCompile(`[0-9]`).MatchString(wording(strings.Repeat("1a23", 100))) {
		t.Error("a number is left")
	}
}

// BenchmarkTally says what a statement costs for each entry, reading it aside.
func BenchmarkTally(b *testing.B) {
	t := NewTally(time.UTC)
	e := hippad.Entry{Received: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Door: hippad.DoorSyslogTLS, Reporter: hippad.Principal{Kind: hippad.KindCertificate, ID: "n", Organisation: "North"}}
	ev := hippad.Event{Type: dcm("110110"), Outcome: "0", Subtypes: []hippad.Code{{System: "IHE", Code: "ITI-43"}}, Entities: []hippad.Entity{{Role: hippad.Code{Code: "1"}}},
		Agents: []hippad.Agent{{AltID: "lind", Requestor: true, Address: "192.0.2.7"}, {AltID: "PACS"}}}
	for b.Loop() {
		t.Add(e, ev)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
