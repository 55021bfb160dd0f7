package fhir

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
)

// carried is what a release can say of an event: the oracle for WriteRelease followed by Read. What becomes of one name,
// identifier or text is tested by itself, in fit_test.go.
func carried(ev hippad.Event, r Release) hippad.Event {
	subtypes := carriedCodes(ev.Subtypes)
	out := hippad.Event{
		Type: carriedCode(ev.Type), Subtypes: subtypes, Action: allowed("C R U D E", ev.Action), Recorded: ev.Recorded.UTC(),
		Outcome: allowed("0 4 8 12", ev.Outcome), OutcomeDescription: fitString(ev.OutcomeDescription), Purposes: carriedCodes(ev.Purposes),
		Source: hippad.Source{Observer: carriedReference(ev.Source.Observer), Site: fitString(ev.Source.Site)},
	}
	out.Occurred = hippad.Period{Start: ev.Occurred.Start.UTC(), End: ev.Occurred.End.UTC()}
	if !out.Occurred.Start.IsZero() && !out.Occurred.End.IsZero() && out.Occurred.End.Before(out.Occurred.Start) {
		out.Occurred.End = time.Time{}
	}
	for _, c := range ev.Source.Types {
		if c = carriedCode(number(c, hippad.SystemSourceType, "1 2 3 4 5 6 7 8 9")); c != (hippad.Code{}) {
			out.Source.Types = append(out.Source.Types, c)
		}
	}
	for _, a := range ev.Agents {
		out.Agents = append(out.Agents, carriedAgent(a, r))
	}
	out.Purposes = allPurposes(out.Purposes, out.Agents)
	for _, n := range ev.Entities {
		out.Entities = append(out.Entities, carriedEntity(n, r))
	}
	if r == R5 {
		var categories []hippad.Code
		if out.Type != (hippad.Code{}) {
			categories = []hippad.Code{out.Type}
			if len(subtypes) == 0 {
				subtypes = categories
			}
		}
		out.Type, out.Subtypes = chooseType(nil, categories, subtypes, nil)
		out.Severity = allowed("emergency alert critical error warning notice informational debug", ev.Severity)
		for _, b := range ev.BasedOn {
			if b = carriedReference(b); !b.IsZero() {
				out.BasedOn = append(out.BasedOn, b)
			}
		}
		out.Encounter = carriedReference(ev.Encounter)
	}
	return out
}

func allowed(valid, s string) string {
	if s != "" && strings.Contains(" "+valid+" ", " "+s+" ") {
		return s
	}
	return ""
}

func number(c hippad.Code, system string, valid string) hippad.Code {
	if (c.System == "" || c.System == "DCM" || c.System == "RFC-3881") && allowed(valid, c.Code) != "" {
		c.System = system
	}
	return c
}

func carriedCode(c hippad.Code) hippad.Code {
	system, code := systemURI(c.System), fitCode(c.Code)
	return hippad.Code{System: systemName(system), Code: code, Display: display(system, code, fitString(c.Display))}
}

func carriedCodes(list []hippad.Code) (out []hippad.Code) {
	for _, c := range list {
		if c = carriedCode(c); c != (hippad.Code{}) {
			out = append(out, c)
		}
	}
	return out
}

func carriedReference(r hippad.Reference) hippad.Reference {
	r.Identifier, r.Display = fitIdentifier(r.Identifier), fitString(r.Display)
	if literal := strings.TrimSpace(r.Literal); literal == "" || fitReference(literal) {
		r.Literal = literal
		return r
	}
	text := fitString(r.Literal)
	if r.Literal = ""; r.Display == "" {
		r.Display = text
	} else if r.Identifier.IsZero() {
		r.Identifier.Value = text
	}
	return r
}

func carriedAgent(a hippad.Agent, r Release) hippad.Agent {
	kind, roles := typeAndRoles(a)
	b := hippad.Agent{Who: carriedReference(a.Who), AltID: fitString(a.AltID), Name: fitString(a.Name), Requestor: a.Requestor, Type: carriedCode(kind),
		Roles: carriedCodes(roles), Media: carriedCode(a.Media), Location: carriedReference(a.Location), Address: fitString(a.Address),
		AddressType: allowed("1 2 3 4 5", a.AddressType), Purposes: carriedCodes(a.Purposes)}
	for _, p := range a.Policies {
		if p = unblanked(fitString(p)); p != "" {
			b.Policies = append(b.Policies, p)
		}
	}
	if r == R5 {
		b.Who = carriedReference(named(a.Who, a.Name))
		b.Name, b.Media = "", hippad.Code{}
		if b.AddressType != "5" || !isURI(b.Address) {
			b.AddressType = ""
		}
	}
	if !b.Who.Identifier.IsZero() {
		b.IDType = carriedCode(a.IDType)
	}
	return b
}

func carriedEntity(n hippad.Entity, r Release) hippad.Entity {
	if (r == R5 || len(n.Query) > 0) && fitString(n.Name) != "" {
		n.What, n.Name = named(n.What, n.Name), ""
	}
	m := hippad.Entity{What: carriedReference(n.What), Name: fitString(n.Name), Description: fitString(n.Description), Labels: carriedCodes(n.Labels),
		Type:      carriedCode(number(n.Type, hippad.SystemEntityType, "1 2 3 4")),
		Lifecycle: carriedCode(number(n.Lifecycle, hippad.SystemLifecycle, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15")),
		Role:      carriedCode(number(n.Role, hippad.SystemObjectRole, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24"))}
	if !fitIdentifier(n.What.Identifier).IsZero() || !m.What.Identifier.IsZero() {
		m.IDType = carriedCode(n.IDType)
	}
	if len(n.Query) > 0 {
		m.Query = n.Query
	}
	if r == R5 {
		if m.Description != "" {
			m.Details = []hippad.Detail{{Type: "description", Value: []byte(m.Description)}}
		}
		m.Name, m.Description, m.Type = "", "", hippad.Code{}
		for _, a := range n.Agents {
			m.Agents = append(m.Agents, carriedAgent(a, r))
		}
	}
	for _, t := range n.Details {
		t.Type = fitString(t.Type)
		if len(t.Value) == 0 {
			t.Value = nil
		}
		m.Details = append(m.Details, t)
	}
	return m
}

func drawEvent(t *rapid.T) hippad.Event {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringMatching(`[A-Za-z0-9 ^&|/#:.-]{1,20}`))
	code := rapid.Custom(func(t *rapid.T) hippad.Code {
		return hippad.Code{
			System: rapid.OneOf(rapid.SampledFrom([]string{"", "DCM", "RFC-3881", "IHE Transactions", "IHE XDS Metadata", "1.2.3", hippad.SystemObjectRole,
				"http://hl7.org/fhir/object-type", "http://hl7.org/fhir/v3/ActReason", "99DCM4CHEE"}), text).Draw(t, "system"),
			Code:    rapid.OneOf(rapid.SampledFrom([]string{"", "1", "4", "5", "9", "10", "15", "16", "24", "25", "01", "110110", "ITI-43"}), text).Draw(t, "code"),
			Display: text.Draw(t, "display"),
		}
	})
	codes := rapid.SliceOfN(code, 0, 3)
	ref := rapid.Custom(func(t *rapid.T) hippad.Reference {
		return hippad.Reference{
			Literal:    rapid.OneOf(text, rapid.SampledFrom([]string{"Patient/1", "#c", "http://a.example/fhir/Patient/7"})).Draw(t, "literal"),
			Identifier: hippad.Identifier{System: text.Draw(t, "system"), Value: text.Draw(t, "value")},
			Display:    text.Draw(t, "display"),
		}
	})
	value := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(text, func(s string) []byte { return []byte(s) }))
	agent := rapid.Custom(func(t *rapid.T) hippad.Agent {
		return hippad.Agent{Who: ref.Draw(t, "who"), IDType: code.Draw(t, "id type"), AltID: text.Draw(t, "alt"), Name: text.Draw(t, "name"), Requestor: rapid.Bool().Draw(t, "requestor"),
			Type: code.Draw(t, "type"), Roles: codes.Draw(t, "roles"), Media: code.Draw(t, "media"), Location: ref.Draw(t, "location"),
			Policies: rapid.SliceOfN(text, 0, 3).Draw(t, "policies"), Address: text.Draw(t, "address"),
			AddressType: rapid.SampledFrom([]string{"", "1", "2", "5", "6", "x"}).Draw(t, "address type"), Purposes: codes.Draw(t, "purposes")}
	})
	entity := rapid.Custom(func(t *rapid.T) hippad.Entity {
		return hippad.Entity{What: ref.Draw(t, "what"), IDType: code.Draw(t, "id type"), Name: text.Draw(t, "name"), Type: code.Draw(t, "type"),
			Role: code.Draw(t, "role"), Lifecycle: code.Draw(t, "lifecycle"), Labels: codes.Draw(t, "labels"), Description: text.Draw(t, "description"),
			Query: value.Draw(t, "query"), Agents: rapid.SliceOfN(agent, 0, 1).Draw(t, "entity agents"), Details: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) hippad.Detail {
				return hippad.Detail{Type: text.Draw(t, "type"), Value: value.Draw(t, "value")}
			}), 0, 3).Draw(t, "details")}
	})
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "no time") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
	})
	at := instant.Draw(t, "recorded")
	return hippad.Event{Type: code.Draw(t, "type"), Subtypes: codes.Draw(t, "subtypes"), Recorded: at,
		Action:             rapid.SampledFrom([]string{"", "C", "R", "U", "D", "E", "X", "c"}).Draw(t, "action"),
		Outcome:            rapid.SampledFrom([]string{"", "0", "4", "8", "12", "2"}).Draw(t, "outcome"),
		OutcomeDescription: text.Draw(t, "description"), Purposes: codes.Draw(t, "purposes"), Agents: rapid.SliceOfN(agent, 0, 3).Draw(t, "agents"),
		Source:   hippad.Source{Observer: ref.Draw(t, "observer"), Site: text.Draw(t, "site"), Types: codes.Draw(t, "types")},
		Entities: rapid.SliceOfN(entity, 0, 3).Draw(t, "entities"), Occurred: hippad.Period{Start: instant.Draw(t, "start"), End: instant.Draw(t, "end")},
		Severity: rapid.SampledFrom([]string{"", "alert", "debug", "loud"}).Draw(t, "severity"), BasedOn: rapid.SliceOfN(ref, 0, 2).Draw(t, "based on"),
		Encounter: ref.Draw(t, "encounter")}
}

// What WriteRelease says, Read understands; and saying it again changes nothing.
func TestWriteThenRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := drawEvent(t)
		for release, verdict := range map[Release]verdict{R4: isR4, R5: isR5} {
			body := WriteRelease(ev, release)
			got, is := read(body)
			if is != verdict {
				t.Fatalf("what was written is not seen as %s: %s", release, body)
			}
			if want := carried(ev, release); !reflect.DeepEqual(got, want) {
				t.Fatalf("got\n%s\nwant\n%s\nfrom %s", describeEvent(got), describeEvent(want), body)
			}
			second := WriteRelease(got, release)
			if third := WriteRelease(Read(second), release); !bytes.Equal(third, second) {
				t.Fatalf("written again:\n%s\n%s", third, second)
			}
			validWritten(t, "drawn", body, release)
		}
	})
}

func TestWriteMapsDICOM(t *testing.T) {
	ev := hippad.Event{
		Type:     hippad.Code{System: "DCM", Code: "110110", Display: "Patient Record"},
		Subtypes: []hippad.Code{{System: "IHE Transactions", Code: "ITI-8", Display: "Patient Identity Feed"}},
		Action:   "C", Outcome: "0", Recorded: time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600)),
		Agents: []hippad.Agent{{Who: hippad.Reference{Identifier: hippad.Identifier{Value: "app|fac"}}, AltID: "4711", Requestor: true,
			Roles: []hippad.Code{{System: "99NURSE", Code: "ward"}, {System: "DCM", Code: "110153", Display: "Source"}}, Address: "192.0.2.1", AddressType: "2"}},
		Source: hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: "src"}}, Types: []hippad.Code{{Code: "4"}}},
		Entities: []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{Value: "1^^^&1.2.3&ISO"}}, Type: hippad.Code{Code: "1"},
			Role: hippad.Code{Code: "1"}, Lifecycle: hippad.Code{Code: "11"}, IDType: hippad.Code{System: "RFC-3881", Code: "2"},
			Details: []hippad.Detail{{Type: "MSH-10", Value: []byte("abc")}, {Type: "raw", Value: []byte{0, 1}}}}},
	}
	const want = `{"resourceType":"AuditEvent",` +
		`"type":{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110110","display":"Patient Record"},` +
		`"subtype":[{"system":"urn:ihe:event-type-code","code":"ITI-8","display":"Patient Identity Feed"}],"action":"C",` +
		`"recorded":"2026-01-02T02:04:05.0000006Z","outcome":"0",` +
		`"agent":[{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153","display":"Source Role ID"}]},` +
		`"role":[{"coding":[{"system":"urn:hippad:coding-scheme:99NURSE","code":"ward"}]}],` +
		`"who":{"identifier":{"value":"app|fac"}},"altId":"4711","requestor":true,"network":{"address":"192.0.2.1","type":"2"}}],` +
		`"source":{"observer":{"identifier":{"value":"src"}},"type":[{"system":"http://terminology.hl7.org/CodeSystem/security-source-type","code":"4"}]},` +
		`"entity":[{"what":{"identifier":{"type":{"coding":[{"system":"urn:ietf:rfc:3881","code":"2"}]},"system":"urn:oid:1.2.3","value":"1"}},` +
		`"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1"},` +
		`"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"},` +
		`"lifecycle":{"system":"http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle","code":"11"},` +
		`"detail":[{"type":"MSH-10","valueString":"abc"},{"type":"raw","valueBase64Binary":"AAE="}]}]}`
	const want5 = `{"resourceType":"AuditEvent",` +
		`"category":[{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110110","display":"Patient Record"}]}],` +
		`"code":{"coding":[{"system":"urn:ihe:event-type-code","code":"ITI-8","display":"Patient Identity Feed"}]},"action":"C",` +
		`"recorded":"2026-01-02T02:04:05.0000006Z","outcome":{"code":{"system":"http://hl7.org/fhir/issue-severity","code":"success"}},` +
		`"patient":{"identifier":{"type":{"coding":[{"system":"urn:ietf:rfc:3881","code":"2"}]},"system":"urn:oid:1.2.3","value":"1"}},` +
		`"agent":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/auditevent-AlternativeUserID","valueIdentifier":{"value":"4711"}}],` +
		`"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153","display":"Source Role ID"}]},` +
		`"role":[{"coding":[{"system":"urn:hippad:coding-scheme:99NURSE","code":"ward"}]}],` +
		`"who":{"identifier":{"value":"app|fac"}},"requestor":true,"networkString":"192.0.2.1"}],` +
		`"source":{"observer":{"identifier":{"value":"src"}},"type":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/security-source-type","code":"4"}]}]},` +
		`"entity":[{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/auditevent-Lifecycle","valueCodeableConcept":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle","code":"11"}]}}],` +
		`"what":{"identifier":{"type":{"coding":[{"system":"urn:ietf:rfc:3881","code":"2"}]},"system":"urn:oid:1.2.3","value":"1"}},` +
		`"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"}]},` +
		`"detail":[{"type":{"text":"MSH-10"},"valueString":"abc"},{"type":{"text":"raw"},"valueBase64Binary":"AAE="}]}]}`
	for release, want := range map[Release]string{R4: want, R5: want5} {
		if got := string(WriteRelease(ev, release)); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		validWritten(t, "mapped", WriteRelease(ev, release), release)
	}
}

func TestWriteNothing(t *testing.T) {
	for _, release := range []Release{R4, R5} {
		body := WriteRelease(hippad.Event{}, release)
		validWritten(t, "empty", body, release)
		if got := Read(body); !reflect.DeepEqual(got, hippad.Event{}) {
			t.Errorf("an empty event comes back as\n%s", describeEvent(got))
		}
		body = WriteRelease(hippad.Event{Agents: make([]hippad.Agent, 1), Entities: []hippad.Entity{{Details: make([]hippad.Detail, 1)}, {}}}, release)
		validWritten(t, "hollow", body, release)
	}
}
