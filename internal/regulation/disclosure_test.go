package regulation

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/fhir"
)

var springfield = &Organisation{
	Name: "Springfield General", TimeZone: "UTC", zone: time.UTC, Own: []string{"EHR-1", "urn:oid:1.9|", "https://fhir.springfield.example/r4", "10.0.0.0/8"},
	Partners: []Associate{{Name: "Acme Billing", Identifiers: []string{"urn:oid:1.8|acme"}, Address: Address{City: "Peoria", State: "IL"}}},
}

func dcmRole(code string) hippad.Code { return hippad.Code{System: "DCM", Code: code} }

func roleClass(code string) hippad.Code {
	return hippad.Code{System: "http://terminology.hl7.org/CodeSystem/v3-RoleClass", Code: code}
}

var homeCommunity = hippad.Agent{
	Who:  hippad.Reference{Identifier: hippad.Identifier{Value: "urn:uuid:cadbf8d0-5493-11ec-bf63-0242ac130002"}},
	Type: hippad.Code{System: "urn:ihe:iti:xca:2010", Code: "homeCommunityId"},
}

func purpose(code string) hippad.Code {
	return hippad.Code{System: hippad.SystemActReason, Code: code}
}

// disclosed is an event as a sender marks a disclosure, made what a test is about by change.
func disclosed(change func(*hippad.Event)) hippad.Event {
	ev := hippad.Event{
		Type: hippad.Code{System: "DCM", Code: "110106"}, Subtypes: []hippad.Code{{System: "IHE Transactions", Code: "IHE0006"}}, Action: "R", Outcome: "0",
		Recorded: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Purposes: []hippad.Code{purpose("PUBHLTH")},
		Source: hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: "EHR-1"}}},
		Agents: []hippad.Agent{
			{Who: hippad.Reference{Identifier: hippad.Identifier{Value: "EHR-1"}}, Type: dcmRole("110153"), Requestor: true},
			{Who: hippad.Reference{Identifier: hippad.Identifier{Value: "county"}}, Name: "County Health", Roles: []hippad.Code{dcmRole("110152")}},
		},
		Entities: []hippad.Entity{
			{What: hippad.Reference{Identifier: hippad.Identifier{Value: "4711^^^&1.2.3&ISO"}}, Role: hippad.Code{Code: "1"}},
			{What: hippad.Reference{Literal: "Observation/1"}, Type: hippad.Code{Code: "2"}, Role: hippad.Code{Code: "4"}},
		},
	}
	change(&ev)
	return ev
}

// looked is an event that nobody calls a disclosure.
func looked(change func(*hippad.Event)) hippad.Event {
	return disclosed(func(ev *hippad.Event) {
		ev.Type, ev.Subtypes, ev.Purposes = hippad.Code{System: hippad.SystemEventType, Code: "rest"}, []hippad.Code{{Code: "read"}}, nil
		ev.Agents = []hippad.Agent{{Who: hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.9", Value: "nurse"}}, Requestor: true}}
		change(ev)
	})
}

var received = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func classified(o *Organisation, ev hippad.Event) Disclosure {
	return NewClassifier(o, nil).Classify(hippad.Entry{Index: 7, Door: hippad.DoorFHIR, Received: received}, ev)
}

func TestClassify(t *testing.T) {
	to := func(a hippad.Agent) func(*hippad.Event) {
		return func(ev *hippad.Event) {
			a.Roles = []hippad.Code{dcmRole("110152")}
			ev.Agents[1] = a
		}
	}
	for _, x := range []struct {
		name    string
		ev      hippad.Event
		verdict Verdict
		says    string // in the clause or the reasons
	}{
		{"IHE0006", disclosed(func(*hippad.Event) {}), Accountable, "164.528(b)(2)"},
		{"ISO 21089", disclosed(func(ev *hippad.Event) {
			ev.Type = hippad.Code{Code: "x"}
			ev.Subtypes = []hippad.Code{{System: "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", Code: "disclose"}}
		}), Accountable, ""},
		{"life cycle 11", disclosed(func(ev *hippad.Event) {
			ev.Type, ev.Subtypes, ev.Entities[1].Lifecycle = hippad.Code{Code: "110104"}, nil, hippad.Code{Code: "11"}
		}), Accountable, ""},
		{"life cycle 12", disclosed(func(ev *hippad.Event) {
			ev.Type, ev.Subtypes = hippad.Code{Code: "110104"}, nil
			ev.Entities[1].Lifecycle = hippad.Code{System: hippad.SystemLifecycle, Code: "12"}
		}), Accountable, ""},
		{"life cycle 6", disclosed(func(ev *hippad.Event) {
			ev.Type, ev.Subtypes, ev.Entities[1].Lifecycle = hippad.Code{Code: "110104"}, nil, hippad.Code{Code: "6"}
		}), NotDisclosed, ""},
		{"an export to somebody who is not ours", disclosed(func(ev *hippad.Event) { ev.Subtypes = nil }), Accountable, ""},
		{"an export to ourselves, by address", disclosed(func(ev *hippad.Event) { ev.Subtypes = nil; to(hippad.Agent{Address: "10.9.9.9", AddressType: "2"})(ev) }), NotDisclosed, ""},
		{"marked, and to ourselves", disclosed(to(hippad.Agent{Who: hippad.Reference{Literal: "https://fhir.springfield.example/r4/Device/1"}})), NotDisclosed, ""},
		{"an export to nobody", disclosed(func(ev *hippad.Event) { ev.Subtypes, ev.Agents = nil, ev.Agents[:1] }), Undecided, "to whom is not said"},
		{"an import", disclosed(func(ev *hippad.Event) { ev.Type.Code, ev.Subtypes, ev.Agents = "110107", nil, ev.Agents[:1] }), NotDisclosed, ""},
		{"an import by somebody who is not ours, from us", disclosed(func(ev *hippad.Event) {
			ev.Type.Code, ev.Subtypes, ev.Agents[1].Who = "110107", nil, hippad.Reference{Literal: "Organization/9"}
		}), Accountable, ""},
		{"what we received", disclosed(func(ev *hippad.Event) {
			ev.Type.Code = "110107"
			ev.Agents[0].Who, ev.Agents[1].Who = hippad.Reference{Literal: "Organization/9"}, hippad.Reference{Identifier: hippad.Identifier{Value: "EHR-1"}}
		}), NotDisclosed, ""},
		{"between others", disclosed(func(ev *hippad.Event) { ev.Agents[0].Who = hippad.Reference{Literal: "Organization/9"} }), Undecided, "another organisation disclosed it"},
		{"an export between others", disclosed(func(ev *hippad.Event) {
			ev.Subtypes, ev.Agents[0].Who = nil, hippad.Reference{Literal: "Organization/9"}
		}), NotDisclosed, ""},
		{"treatment", disclosed(func(ev *hippad.Event) { ev.Purposes = []hippad.Code{purpose("TREAT")} }), Exempt, "164.528(a)(1)(i)"},
		{"break the glass", disclosed(func(ev *hippad.Event) { ev.Purposes = []hippad.Code{purpose("BTG")} }), Exempt, "164.528(a)(1)(i)"},
		{"organs, below operations in HL7", disclosed(func(ev *hippad.Event) { ev.Purposes = []hippad.Code{purpose("DONAT")} }), Accountable, ""},
		{"marketing", disclosed(func(ev *hippad.Event) { ev.Purposes = []hippad.Code{purpose("HMARKT")} }), Undecided, "breach"},
		{"no purpose", disclosed(func(ev *hippad.Event) { ev.Purposes = nil }), Undecided, "its purpose is missing"},
		{"an agent's purpose", disclosed(func(ev *hippad.Event) { ev.Purposes, ev.Agents[1].Purposes = nil, []hippad.Code{purpose("THREAT")} }), Accountable, ""},
		{"an unknown purpose", disclosed(func(ev *hippad.Event) { ev.Purposes = append(ev.Purposes, hippad.Code{Code: "LEGAL"}) }), Undecided, "not in the table"},
		{"two purposes", disclosed(func(ev *hippad.Event) { ev.Purposes = append(ev.Purposes, purpose("TREAT")) }), Undecided, "several purposes"},
		{"two exempt purposes", disclosed(func(ev *hippad.Event) { ev.Purposes = []hippad.Code{purpose("TREAT"), purpose("HPAYMT")} }), Exempt, ""},
		{"the same purpose twice", disclosed(func(ev *hippad.Event) { ev.Purposes = append(ev.Purposes, purpose("PUBHLTH")) }), Accountable, ""},
		{"a basis", disclosed(func(ev *hippad.Event) { ev.Purposes = []hippad.Code{{System: SystemBasis, Code: "limited-data-set"}} }), Exempt, "164.528(a)(1)(viii)"},
		{"it failed", disclosed(func(ev *hippad.Event) { ev.Outcome = "8" }), NotDisclosed, ""},
		{"it failed badly", disclosed(func(ev *hippad.Event) { ev.Outcome = "12" }), NotDisclosed, ""},
		{"it failed in part", disclosed(func(ev *hippad.Event) { ev.Outcome = "4" }), Undecided, "failed in part"},
		{"it may have failed", disclosed(func(ev *hippad.Event) { ev.Outcome = "" }), Undecided, "succeeded"},
		{"it may have failed, and is exempt", disclosed(func(ev *hippad.Event) { ev.Outcome, ev.Purposes = "", []hippad.Code{purpose("TREAT")} }), Exempt, ""},
		{"no recipient", disclosed(func(ev *hippad.Event) { ev.Agents = ev.Agents[:1] }), Undecided, "who received it is not said"},
		{"a recipient without a name", disclosed(to(hippad.Agent{Address: "192.0.2.1", AddressType: "2"})), Undecided, "no name, only 192.0.2.1"},
		{"nothing said of what", disclosed(func(ev *hippad.Event) { ev.Entities = ev.Entities[:1] }), Undecided, "what was disclosed"},
		{"no day", disclosed(func(ev *hippad.Event) { ev.Recorded = time.Time{} }), Undecided, "its day is missing"},
		{"a day to come", disclosed(func(ev *hippad.Event) { ev.Recorded = received.AddDate(0, 0, 2) }), Undecided, "after the log was told"},
		{"a clock that is a day ahead", disclosed(func(ev *hippad.Event) { ev.Recorded = received.AddDate(0, 0, 1) }), Accountable, ""},
		{"a clock that was never set", disclosed(func(ev *hippad.Event) { ev.Recorded = time.Unix(0, 0) }), Undecided, "before there was a rule"},
		{"before the rule applied", disclosed(func(ev *hippad.Event) { ev.Recorded = time.Date(2003, 4, 13, 0, 0, 0, 0, time.UTC) }), Exempt, "164.528(a)(1)(ix)"},
		{"since it applied", disclosed(func(ev *hippad.Event) { ev.Recorded = time.Date(2003, 4, 14, 0, 0, 0, 0, time.UTC) }), Accountable, ""},
		{"a legal matter", disclosed(func(ev *hippad.Event) { ev.Purposes = []hippad.Code{purpose("HLEGAL")} }), Accountable, ""},
		{"our own lawyer", disclosed(func(ev *hippad.Event) {
			ev.Purposes = []hippad.Code{purpose("HLEGAL")}
			to(hippad.Agent{Name: "Acme Billing"})(ev)
		}), Undecided, "business associate"},
		{"an associate for public health", disclosed(to(hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.8", Value: "acme"}}})), Accountable, ""},
		{"an associate, and no purpose", disclosed(func(ev *hippad.Event) { ev.Purposes = nil; to(hippad.Agent{Name: "ACME  billing"})(ev) }), Undecided, "its purpose is missing"},
		{"to the patient", disclosed(func(ev *hippad.Event) {
			ev.Purposes = nil
			to(hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.2.3", Value: "4711"}}})(ev)
		}), Exempt, "164.528(a)(1)(ii)"},
		{"cannot be read", disclosed(func(ev *hippad.Event) { ev.Unreadable = "it is cut" }), Undecided, "cannot be read"},

		{"a nurse", looked(func(*hippad.Event) {}), NotDisclosed, ""},
		{"somebody of whom nothing is known", looked(func(ev *hippad.Event) { ev.Agents[0].Who = hippad.Reference{Display: "x"} }), NotDisclosed, ""},
		{"another organisation", looked(func(ev *hippad.Event) {
			ev.Agents[0].Who, ev.Purposes = hippad.Reference{Literal: "https://else.example/fhir/Organization/3", Display: "Elsewhere"}, []hippad.Code{purpose("PUBHLTH")}
		}), Accountable, ""},
		{"another organisation, for treatment", looked(func(ev *hippad.Event) {
			ev.Agents[0].Who, ev.Purposes = hippad.Reference{Literal: "Organization/3"}, []hippad.Code{purpose("TREAT")}
		}), Exempt, "(i)"},
		{"another organisation, failed", looked(func(ev *hippad.Event) {
			ev.Agents[0].Who, ev.Outcome = hippad.Reference{Literal: "Organization/3"}, "8"
		}), NotDisclosed, ""},
		{"for another organisation, by SAML", looked(func(ev *hippad.Event) {
			ev.Purposes = []hippad.Code{purpose("PUBHLTH")}
			ev.Agents = append(ev.Agents[:1:1], hippad.Agent{Who: hippad.Reference{Display: "St. Mary"}, Type: roleClass("PROV")}, homeCommunity)
			ev.Agents[0].Who = hippad.Reference{Display: "dr-x"}
		}), Accountable, ""},
		{"for ourselves, by SAML", looked(func(ev *hippad.Event) {
			ev.Agents = append(ev.Agents[:1:1], hippad.Agent{Who: hippad.Reference{Display: "Springfield General"}, Type: roleClass("PROV")}, homeCommunity)
		}), NotDisclosed, ""},
		{"one of ours, for a department that nobody has named", looked(func(ev *hippad.Event) {
			ev.Agents = append(ev.Agents[:1:1], hippad.Agent{Who: hippad.Reference{Display: "Radiology"}, Type: roleClass("PROV")})
		}), NotDisclosed, ""},
		{"for the organisation that reports it", looked(func(ev *hippad.Event) {
			ev.Agents = append(ev.Agents[:1:1], hippad.Agent{Who: hippad.Reference{Display: "EHR-1"}, Type: roleClass("PROV")})
			ev.Agents[0].Who = hippad.Reference{Display: "dr-x"}
		}), NotDisclosed, ""},
		{"for another community, which has no name", looked(func(ev *hippad.Event) {
			ev.Agents, ev.Purposes = append(ev.Agents[:1:1], homeCommunity), []hippad.Code{purpose("PUBHLTH")}
			ev.Agents[0].Who = hippad.Reference{Display: "dr-x"}
		}), Undecided, "no name, only urn:uuid:cadbf8d0"},
		{"a provider who asks", looked(func(ev *hippad.Event) {
			ev.Agents[0].Who, ev.Agents[0].Type = hippad.Reference{Display: "Dr. X"}, roleClass("PROV")
		}), NotDisclosed, ""},
		{"whether another organisation may", looked(func(ev *hippad.Event) {
			ev.Type = hippad.Code{System: "DCM", Code: "110113"}
			ev.Agents[0].Who = hippad.Reference{Literal: "Organization/3"}
		}), NotDisclosed, ""},
		{"an associate at work", looked(func(ev *hippad.Event) { ev.Agents[0].Name = "Acme Billing"; ev.Agents[0].Who = hippad.Reference{} }), Exempt, "(i)"},
		{"the patient", looked(func(ev *hippad.Event) {
			ev.Agents[0].Who = hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.2.3", Value: "4711"}}
		}), Exempt, "164.528(a)(1)(ii)"},
	} {
		d := classified(springfield, x.ev)
		if text := d.Clause + strings.Join(d.Reasons, "; "); d.Verdict != x.verdict || !strings.Contains(text, x.says) {
			t.Errorf("%s: %s (%s), want %s (%s)", x.name, d.Verdict, text, x.verdict, x.says)
		}
		if (d.Verdict == Undecided) != (len(d.Reasons) > 0) || d.Verdict == Exempt && !strings.HasPrefix(d.Clause, "164.528(a)(1)(") {
			t.Errorf("%s: %s with the reasons %q and the clause %q", x.name, d.Verdict, d.Reasons, d.Clause)
		}
	}
}

// Whether somebody is outside is not guessed when the organisation has not said what is its own.
// What one of several patients received is to the individual for that one alone: a person says for whom it has to be accounted for.
func TestToOneOfSeveralPatients(t *testing.T) {
	of := func(others ...hippad.Reference) hippad.Event {
		return looked(func(ev *hippad.Event) {
			ev.Agents[0].Who = hippad.Reference{Literal: "Patient/7"}
			ev.Entities = []hippad.Entity{{What: hippad.Reference{Literal: "Patient/7"}, Role: hippad.Code{Code: "1"}}, {What: hippad.Reference{Literal: "Observation/1"}, Role: hippad.Code{Code: "4"}}}
			for _, r := range others {
				ev.Entities = append(ev.Entities, hippad.Entity{What: r, Role: hippad.Code{Code: "1"}})
			}
		})
	}
	for _, x := range []struct {
		name string
		ev   hippad.Event
		want Verdict
	}{
		{"alone", of(), Exempt}, {"named twice", of(hippad.Reference{Literal: "Patient/7"}), Exempt}, {"and a child", of(hippad.Reference{Literal: "Patient/8"}), Undecided},
	} {
		if d := classified(springfield, x.ev); d.Verdict != x.want {
			t.Errorf("%s: %s %v", x.name, d.Verdict, d.Reasons)
		}
	}
}

func TestClassifyWithoutOrganisation(t *testing.T) {
	for _, o := range []*Organisation{nil, {Name: "host"}} {
		if d := classified(o, disclosed(func(*hippad.Event) {})); d.Verdict != Accountable {
			t.Errorf("marked: %v %v", d.Verdict, d.Reasons)
		}
		if d := classified(o, disclosed(func(ev *hippad.Event) { ev.Subtypes = nil })); d.Verdict != Undecided || !strings.Contains(d.Reasons[0], "has not said") {
			t.Errorf("an export: %v %v", d.Verdict, d.Reasons)
		}
		if d := classified(o, disclosed(func(ev *hippad.Event) { ev.Type.Code = "110107" })); d.Verdict != Undecided || !strings.Contains(d.Reasons[0], "received") {
			t.Errorf("a receipt: %v %v", d.Verdict, d.Reasons)
		}
		if d := classified(o, looked(func(ev *hippad.Event) { ev.Agents[0].Who = hippad.Reference{Literal: "Organization/3"} })); d.Verdict != Undecided {
			t.Errorf("another organisation: %v %v", d.Verdict, d.Reasons)
		}
		if d := classified(o, looked(func(*hippad.Event) {})); d.Verdict != NotDisclosed {
			t.Errorf("a nurse: %v %v", d.Verdict, d.Reasons)
		}
		ours := disclosed(func(ev *hippad.Event) {
			ev.Agents[0].Who = hippad.Reference{Literal: "Organization/springfield"}
			ev.Source.Observer = ev.Agents[0].Who
		})
		if d := classified(o, ours); d.Verdict != Accountable {
			t.Errorf("by an organisation that may be this one: %v %v", d.Verdict, d.Reasons)
		}
	}
}

// A member of this log that belongs to another organisation, by the register.
func TestClassifyByRegister(t *testing.T) {
	source := hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{Value: "EHR-1"}}, Type: dcmRole("110153")}
	c := NewClassifier(springfield, nil)
	for organisation, want := range map[string]Verdict{"": NotDisclosed, "Springfield General": NotDisclosed, "West Clinic": Accountable, "Acme Billing": Accountable} {
		ev := looked(func(ev *hippad.Event) {
			ev.Agents = append(ev.Agents, source)
			ev.Agents[0] = hippad.Agent{Name: "Dr. West", Requestor: true}
			ev.Source.Observer, ev.Purposes = hippad.Reference{Display: "West EHR"}, []hippad.Code{purpose("PUBHLTH")}
		})
		e := hippad.Entry{Door: hippad.DoorFHIR, Received: received, Reporter: hippad.Principal{Organisation: organisation}}
		if d := c.Classify(e, ev); d.Verdict != want {
			t.Errorf("%q: %v %v, want %v", organisation, d.Verdict, d.Reasons, want)
		}
		ev.Agents[1].Who = hippad.Reference{Display: "HIE"}
		want := map[bool]Verdict{true: Undecided, false: NotDisclosed}[organisation == "West Clinic"]
		if d := c.Classify(e, ev); d.Verdict != want {
			t.Errorf("%q, from a system that nobody knows: %v %v, want %v", organisation, d.Verdict, d.Reasons, want)
		}
	}
	if d := c.Classify(hippad.Entry{Door: hippad.DoorSelf, Received: received}, disclosed(func(*hippad.Event) {})); d.Verdict != NotDisclosed {
		t.Errorf("the log itself: %v", d.Verdict)
	}
	if d := c.Classify(hippad.Entry{Destroyed: true, Received: received}, hippad.Event{}); d.Verdict != NotDisclosed {
		t.Errorf("destroyed: %v", d.Verdict)
	}
}

func TestDescription(t *testing.T) {
	d := classified(springfield, disclosed(func(ev *hippad.Event) {
		ev.Agents[1].Location.Display = "5 Oak Street"
		ev.Entities[1].Description = "measles case report"
		ev.Entities = append(ev.Entities, hippad.Entity{What: hippad.Reference{Literal: "https://x/fhir/Condition/2"}, Role: hippad.Code{Code: "4"}},
			hippad.Entity{What: hippad.Reference{Literal: "Condition/3"}, Role: hippad.Code{Code: "4"}}, hippad.Entity{Role: hippad.Code{Code: "24"}, Query: []byte("x")})
	}))
	if d.What != "measles case report; diagnoses (2)" || d.Recipients[0].Name != "County Health" || d.Recipients[0].Address != "5 Oak Street" || d.Patients[0] != "urn:oid:1.2.3|4711" {
		t.Errorf("%q to %v of %v", d.What, d.Recipients, d.Patients)
	}
	// What has no name is shown as it was sent.
	d = classified(springfield, disclosed(func(ev *hippad.Event) {
		ev.Agents[1] = hippad.Agent{Who: hippad.Reference{Literal: "Organization/South"}, Type: dcmRole("110152")}
	}))
	if d.Verdict != Undecided || !strings.Contains(d.Reasons[0], "only Organization/South") {
		t.Errorf("%v", d.Reasons)
	}
	// Of an event about two patients nobody is told the words of one.
	d = classified(springfield, disclosed(func(ev *hippad.Event) {
		ev.Entities[1].Description = "HIV result"
		ev.Entities = append(ev.Entities, hippad.Entity{What: hippad.Reference{Literal: "Patient/8"}, Role: hippad.Code{Code: "1"}})
	}))
	if d.What != "observations and results" {
		t.Errorf("%q", d.What)
	}
	d = classified(springfield, disclosed(func(ev *hippad.Event) { ev.Agents[1] = hippad.Agent{Name: "Acme Billing", Type: dcmRole("110152")} }))
	if d.Recipients[0].Address != "Peoria, IL" {
		t.Errorf("the associate's address: %v", d.Recipients)
	}
	for _, text := range []string{fmt.Sprint(d), fmt.Sprintf("%+v", d), fmt.Sprintf("%#v", d)} {
		if strings.Contains(text, "Acme") {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestDecisions(t *testing.T) {
	decide := func(x Decision, ev hippad.Event) Disclosure {
		x.Why = "because"
		if err := x.Check(); err != nil {
			t.Fatal(err)
		}
		return NewClassifier(springfield, func(int64) (Decision, bool) { return x, true }).Classify(hippad.Entry{Door: hippad.DoorFHIR, Received: received}, ev)
	}
	open := disclosed(func(ev *hippad.Event) { ev.Purposes, ev.Recorded, ev.Agents = nil, time.Time{}, ev.Agents[:1] })
	d := decide(Decision{Verdict: Accountable, Basis: "oversight", To: "State Auditor", Address: "Capitol", What: "claims", Date: Date{2026, 2, 3}, Purpose: "an audit"}, open)
	if d.Verdict != Accountable || d.Date != (Date{2026, 2, 3}) || d.Recipients[0].Name != "State Auditor" || d.Recipients[0].Address != "Capitol" || d.What != "claims" || d.Purpose != "an audit" || d.Decided == nil {
		t.Errorf("%+v", d.Reasons)
	}
	if d := decide(Decision{Verdict: Accountable, Basis: "oversight"}, open); d.Verdict != Undecided || !strings.Contains(d.Reasons[0], "day is still missing") {
		t.Errorf("without a day: %v", d.Verdict)
	}
	// What an accounting must say, a person says, and be it that nobody knows.
	bare := disclosed(func(ev *hippad.Event) { ev.Agents, ev.Entities = ev.Agents[:1], ev.Entities[:1] })
	if d := decide(Decision{Verdict: Accountable, Basis: "oversight"}, bare); d.Verdict != Undecided || len(d.Reasons) != 2 || !strings.Contains(d.Reasons[0], "recipient's name") {
		t.Errorf("without a recipient: %v %q", d.Verdict, d.Reasons)
	}
	if d := decide(Decision{Verdict: Accountable, Basis: "oversight", To: "not known", What: "not known"}, bare); d.Verdict != Accountable {
		t.Errorf("nobody knows: %v %q", d.Verdict, d.Reasons)
	}
	if d := decide(Decision{Verdict: Exempt, Basis: "authorization"}, disclosed(func(*hippad.Event) {})); d.Verdict != Exempt || d.Clause != "164.528(a)(1)(iv)" {
		t.Errorf("%v %v", d.Verdict, d.Clause)
	}
	if d := decide(Decision{Verdict: NotDisclosed}, disclosed(func(*hippad.Event) {})); d.Verdict != NotDisclosed {
		t.Errorf("%v", d.Verdict)
	}
	// What nobody called a disclosure can be decided to be one: a breach by an own member of staff.
	if d := decide(Decision{Verdict: Accountable, Basis: "impermissible", To: "a neighbour", What: "diagnosis"}, looked(func(*hippad.Event) {})); d.Verdict != Accountable {
		t.Errorf("%v %v", d.Verdict, d.Reasons)
	}
	for _, bad := range []Decision{{}, {Verdict: Undecided}, {Verdict: Exempt}, {Verdict: Exempt, Basis: "oversight"}, {Verdict: Accountable, Basis: "treatment"},
		{Verdict: NotDisclosed, Basis: "treatment"}, {Verdict: Accountable, Basis: "x"}, {Entry: -1, Verdict: NotDisclosed},
		{Verdict: Accountable, Basis: "oversight", Date: Date{1996, 8, 20}}} {
		if err := bad.Check(); hippad.KindOf(err) != hippad.Invalid || err == nil {
			t.Errorf("%v %v: %v", bad.Verdict, bad.Basis, err)
		}
	}
}

// The examples of disclosures of FHIR and IHE.
func TestClassifySamples(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "samples", "fhir-auditevent")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the samples are not here")
	}
	for file, want := range map[string]Verdict{
		"r4/hl7-AuditEvent-example-disclosure.json":                            Undecided, // marketing
		"r4-balp/AuditEvent-ex-auditPrivacyDisclosure-source2.json":            Exempt,    // the patient asked for it
		"r4-balp/AuditEvent-ex-auditPrivacyDisclosure-recipient.json":          Exempt,
		"r4-balp/AuditEvent-ex-auditPrivacyDisclosure-recipient-minCodes.json": Exempt,
	} {
		body, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if d := classified(springfield, fhir.Read(body)); d.Verdict != want {
			t.Errorf("%s: %v %v %v, want %v", file, d.Verdict, d.Clause, d.Reasons, want)
		}
	}
}

func TestManual(t *testing.T) {
	today := Date{2026, 11, 23}
	m := Manual{Patient: "4711^^^&1.2.3&ISO", Date: Date{2026, 11, 20}, To: "County Health", Address: "5 Oak Street", Phone: "+1 217", What: "case report", Basis: "164.512(b)", Why: "measles", Reference: "7"}
	if err := m.Check(today); err != nil {
		t.Fatal(err)
	}
	ev, err := m.Event(springfield, "log.example", hippad.Principal{Kind: hippad.KindPerson, ID: "olga"}, received)
	if err != nil {
		t.Fatal(err)
	}
	again := fhir.Read(fhir.Write(ev).Body) // as the log has it
	d := classified(springfield, again)
	if d.Verdict != Accountable || d.Date != m.Date || d.Recipients[0].Name != m.To || d.Recipients[0].Address != m.Address || d.What != m.What || d.Purpose != "measles" || !slices.Equal(d.Bases, []string{"public-health"}) || d.through {
		t.Errorf("%v %v %v %v %v %v", d.Verdict, d.Reasons, d.Date, d.Recipients, d.What, d.Purpose)
	}
	same, other := m, m
	same.Patient, same.Basis = "urn:oid:1.2.3|4711", "public-health"
	other.Reference = "8"
	if same.Key() != m.Key() || other.Key() == m.Key() {
		t.Error("the keys do not tell what is the same")
	}
	for name, change := range map[string]func(*Manual){
		"the patient is missing": func(m *Manual) { m.Patient = " " }, "the recipient is missing": func(m *Manual) { m.To = "" }, "what was": func(m *Manual) { m.What = "" },
		"the day is missing": func(m *Manual) { m.Date = Date{} }, "yet to come": func(m *Manual) { m.Date = Date{2026, 11, 24} }, "before there was": func(m *Manual) { m.Date = Date{1990, 1, 1} },
		"basis is not known": func(m *Manual) { m.Basis = "x" }, "neither": func(m *Manual) { m.Basis = "" }, "no code": func(m *Manual) { m.Basis, m.Purpose = "", "LEGAL" }, "no code of": func(m *Manual) { m.Purpose = "LEGAL" },
		"one line": func(m *Manual) { m.Why = "a\nb" }, "bytes": func(m *Manual) { m.Address = strings.Repeat("x", 3000) },
	} {
		bad := m
		change(&bad)
		if err := bad.Check(today); hippad.KindOf(err) != hippad.Invalid || !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
