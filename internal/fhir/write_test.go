package fhir

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
)

// carried is what R4 can say of an event: the oracle for Write followed by Read. It speaks for itself and uses nothing
// of the writer but the name of a system.
func carried(ev hippad.Event) hippad.Event {
	code := func(c hippad.Code) hippad.Code { c.System = uri(c.System); return c }
	codes := func(list []hippad.Code) (out []hippad.Code) {
		for _, c := range list {
			if c != (hippad.Code{}) {
				out = append(out, code(c))
			}
		}
		return out
	}
	number := func(c hippad.Code, system string, valid string) hippad.Code {
		if (c.System == "" || c.System == "DCM" || c.System == "RFC-3881") && c.Code != "" && strings.Contains(" "+valid+" ", " "+c.Code+" ") {
			c.System = system
		}
		return code(c)
	}
	ref := func(r hippad.Reference) hippad.Reference {
		if strings.HasPrefix(r.Literal, "#") {
			if r.Display == "" {
				r.Display = r.Literal
			}
			r.Literal = ""
		}
		r.Identifier.System = uri(r.Identifier.System)
		return r
	}
	member := func(valid, s string) string {
		if s != "" && strings.Contains(" "+valid+" ", " "+s+" ") {
			return s
		}
		return ""
	}
	out := hippad.Event{
		Type: code(ev.Type), Subtypes: codes(ev.Subtypes), Action: member("C R U D E", ev.Action), Recorded: ev.Recorded.UTC(),
		Outcome: member("0 4 8 12", ev.Outcome), OutcomeDescription: ev.OutcomeDescription, Purposes: codes(ev.Purposes),
		Source: hippad.Source{Observer: ref(ev.Source.Observer), Site: ev.Source.Site},
	}
	for _, c := range ev.Source.Types {
		if c != (hippad.Code{}) {
			out.Source.Types = append(out.Source.Types, number(c, systemSourceType, "1 2 3 4 5 6 7 8 9"))
		}
	}
	for _, a := range ev.Agents {
		b := hippad.Agent{Who: ref(a.Who), AltID: a.AltID, Name: a.Name, Requestor: a.Requestor, Type: code(a.Type), Roles: codes(a.Roles),
			Media: code(a.Media), Location: ref(a.Location), Address: a.Address, AddressType: member("1 2 3 4 5", a.AddressType), Purposes: codes(a.Purposes)}
		for _, p := range a.Policies {
			if p != "" {
				b.Policies = append(b.Policies, unblanked(p))
			}
		}
		for _, p := range b.Purposes {
			seen := false
			for _, q := range out.Purposes {
				seen = seen || p == q
			}
			if !seen {
				out.Purposes = append(out.Purposes, p)
			}
		}
		out.Agents = append(out.Agents, b)
	}
	for _, n := range ev.Entities {
		if len(n.Query) > 0 && n.Name != "" {
			if n.What.Display == "" {
				n.What.Display = n.Name
			}
			n.Name = ""
		}
		m := hippad.Entity{What: ref(n.What), Name: n.Name, Description: n.Description, Labels: codes(n.Labels),
			Type: number(n.Type, systemEntityType, "1 2 3 4"), Lifecycle: number(n.Lifecycle, systemLifecycle, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"),
			Role: number(n.Role, systemObjectRole, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24")}
		if !n.What.Identifier.IsZero() {
			m.IDType = code(n.IDType)
		}
		if len(n.Query) > 0 {
			m.Query = n.Query
		}
		for _, t := range n.Details {
			if len(t.Value) == 0 {
				t.Value = nil
			}
			m.Details = append(m.Details, t)
		}
		out.Entities = append(out.Entities, m)
	}
	return out
}

func drawEvent(t *rapid.T) hippad.Event {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringMatching(`[A-Za-z0-9 ^&|/#:.-]{1,20}`))
	code := rapid.Custom(func(t *rapid.T) hippad.Code {
		return hippad.Code{
			System: rapid.OneOf(rapid.SampledFrom([]string{"", "DCM", "RFC-3881", "IHE Transactions", "IHE XDS Metadata", "1.2.3", systemObjectRole,
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
		return hippad.Agent{Who: ref.Draw(t, "who"), AltID: text.Draw(t, "alt"), Name: text.Draw(t, "name"), Requestor: rapid.Bool().Draw(t, "requestor"),
			Type: code.Draw(t, "type"), Roles: codes.Draw(t, "roles"), Media: code.Draw(t, "media"), Location: ref.Draw(t, "location"),
			Policies: rapid.SliceOfN(text, 0, 3).Draw(t, "policies"), Address: text.Draw(t, "address"),
			AddressType: rapid.SampledFrom([]string{"", "1", "2", "5", "6", "x"}).Draw(t, "address type"), Purposes: codes.Draw(t, "purposes")}
	})
	entity := rapid.Custom(func(t *rapid.T) hippad.Entity {
		return hippad.Entity{What: ref.Draw(t, "what"), IDType: code.Draw(t, "id type"), Name: text.Draw(t, "name"), Type: code.Draw(t, "type"),
			Role: code.Draw(t, "role"), Lifecycle: code.Draw(t, "lifecycle"), Labels: codes.Draw(t, "labels"), Description: text.Draw(t, "description"),
			Query: value.Draw(t, "query"), Details: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) hippad.Detail {
				return hippad.Detail{Type: text.Draw(t, "type"), Value: value.Draw(t, "value")}
			}), 0, 3).Draw(t, "details")}
	})
	at := time.Time{}
	if rapid.Bool().Draw(t, "timed") {
		at = time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
	}
	return hippad.Event{Type: code.Draw(t, "type"), Subtypes: codes.Draw(t, "subtypes"), Recorded: at,
		Action:             rapid.SampledFrom([]string{"", "C", "R", "U", "D", "E", "X", "c"}).Draw(t, "action"),
		Outcome:            rapid.SampledFrom([]string{"", "0", "4", "8", "12", "2"}).Draw(t, "outcome"),
		OutcomeDescription: text.Draw(t, "description"), Purposes: codes.Draw(t, "purposes"), Agents: rapid.SliceOfN(agent, 0, 3).Draw(t, "agents"),
		Source:   hippad.Source{Observer: ref.Draw(t, "observer"), Site: text.Draw(t, "site"), Types: codes.Draw(t, "types")},
		Entities: rapid.SliceOfN(entity, 0, 3).Draw(t, "entities")}
}

// What Write says, Read understands; and saying it again changes nothing.
func TestWriteThenRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := drawEvent(t)
		report := Write(ev)
		if report.Media != hippad.MediaFHIRJSON || report.Fault != hippad.NoFault {
			t.Fatalf("a report of %q", report.Media)
		}
		got, is := read(report.Body)
		if is != isR4 {
			t.Fatalf("what was written is not seen as R4: %s", report.Body)
		}
		if want := carried(ev); !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%s\nwant\n%s\nfrom %s", describeEvent(got), describeEvent(want), report.Body)
		}
		second := Write(got)
		if third := Write(Read(second.Body)); !bytes.Equal(third.Body, second.Body) {
			t.Fatalf("written again:\n%s\n%s", third.Body, second.Body)
		}
		validR4(t, "drawn", report.Body)
	})
}

func TestWriteMapsDICOM(t *testing.T) {
	ev := hippad.Event{
		Type:     hippad.Code{System: "DCM", Code: "110110", Display: "Patient Record"},
		Subtypes: []hippad.Code{{System: "IHE Transactions", Code: "ITI-8", Display: "Patient Identity Feed"}},
		Action:   "C", Outcome: "0", Recorded: time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("", 3600)),
		Agents: []hippad.Agent{{Who: hippad.Reference{Identifier: hippad.Identifier{Value: "app|fac"}}, AltID: "4711", Requestor: true,
			Roles: []hippad.Code{{System: "DCM", Code: "110153"}}, Address: "192.0.2.1", AddressType: "2"}},
		Source: hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: "src"}}, Types: []hippad.Code{{Code: "4"}}},
		Entities: []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{Value: "1^^^&1.2.3&ISO"}}, Type: hippad.Code{Code: "1"},
			Role: hippad.Code{Code: "1"}, Lifecycle: hippad.Code{Code: "11"}, IDType: hippad.Code{System: "RFC-3881", Code: "2"},
			Details: []hippad.Detail{{Type: "MSH-10", Value: []byte("abc")}, {Type: "raw", Value: []byte{0, 1}}}}},
	}
	const want = `{"resourceType":"AuditEvent",` +
		`"type":{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110110","display":"Patient Record"},` +
		`"subtype":[{"system":"urn:ihe:event-type-code","code":"ITI-8","display":"Patient Identity Feed"}],"action":"C",` +
		`"recorded":"2026-01-02T02:04:05.0000006Z","outcome":"0",` +
		`"agent":[{"role":[{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153"}]}],` +
		`"who":{"identifier":{"value":"app|fac"}},"altId":"4711","requestor":true,"network":{"address":"192.0.2.1","type":"2"}}],` +
		`"source":{"observer":{"identifier":{"value":"src"}},"type":[{"system":"http://terminology.hl7.org/CodeSystem/security-source-type","code":"4"}]},` +
		`"entity":[{"what":{"identifier":{"type":{"coding":[{"system":"RFC-3881","code":"2"}]},"value":"1^^^&1.2.3&ISO"}},` +
		`"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1"},` +
		`"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"},` +
		`"lifecycle":{"system":"http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle","code":"11"},` +
		`"detail":[{"type":"MSH-10","valueString":"abc"},{"type":"raw","valueBase64Binary":"AAE="}]}]}`
	if got := string(Write(ev).Body); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	validR4(t, "mapped", Write(ev).Body)
}

func TestWriteNothing(t *testing.T) {
	body := Write(hippad.Event{}).Body
	validR4(t, "empty", body)
	if got := Read(body); !reflect.DeepEqual(got, hippad.Event{}) {
		t.Errorf("an empty event comes back as\n%s", describeEvent(got))
	}
}

// validR4 checks a written resource against the element table of HL7's own R4 StructureDefinition: no element that it
// does not have, cardinalities, primitive types, and the closed lists of codes.
func validR4(t tester, name string, body []byte) {
	t.Helper()
	elements, err := r4Elements()
	if err != nil {
		t.Logf("the R4 definition is absent: %v", err)
		return
	}
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	delete(doc, "resourceType")
	checkElement(t, name, elements, "AuditEvent", doc)
	for _, e := range list(doc["entity"]) {
		if m := e.(map[string]any); m["name"] != nil && m["query"] != nil {
			t.Errorf("%s: sev-1: name and query", name)
		}
	}
}

// tester is what testing.T and rapid.T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

type r4Element struct {
	min, many bool
	types     []string
}

var r4Elements = sync.OnceValues(func() (map[string]r4Element, error) {
	body, err := os.ReadFile(filepath.Join(samples, "schemas/fhir-r4/StructureDefinition-AuditEvent.json"))
	if err != nil {
		return nil, err
	}
	var def struct {
		Snapshot struct {
			Element []struct {
				Path string
				Min  int
				Max  string
				Type []struct{ Code string }
			}
		}
	}
	if err := json.Unmarshal(body, &def); err != nil {
		return nil, err
	}
	elements := make(map[string]r4Element)
	for _, e := range def.Snapshot.Element {
		el := r4Element{min: e.Min > 0, many: e.Max == "*"}
		for _, ty := range e.Type {
			el.types = append(el.types, ty.Code)
		}
		if base, ok := strings.CutSuffix(e.Path, "[x]"); ok {
			for _, ty := range el.types {
				elements[base+strings.ToUpper(ty[:1])+ty[1:]] = r4Element{types: []string{ty}}
			}
			continue
		}
		elements[e.Path] = el
	}
	// The data types that the resource uses, http://hl7.org/fhir/R4/datatypes.html.
	for path, ty := range map[string]string{"Coding.system": "uri", "Coding.code": "code", "Coding.display": "string", "CodeableConcept.text": "string",
		"Reference.reference": "string", "Reference.display": "string", "Reference.identifier": "Identifier", "Identifier.type": "CodeableConcept",
		"Identifier.system": "uri", "Identifier.value": "string"} {
		elements[path] = r4Element{types: []string{ty}}
	}
	elements["CodeableConcept.coding"] = r4Element{many: true, types: []string{"Coding"}}
	for _, ty := range []string{"Coding", "CodeableConcept", "Reference", "Identifier"} {
		elements[ty+".extension"] = r4Element{many: true, types: []string{"Extension"}}
	}
	return elements, nil
})

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func checkElement(t tester, name string, elements map[string]r4Element, path string, m map[string]any) {
	t.Helper()
	if len(m) == 0 {
		t.Errorf("%s: %s: an empty element", name, path)
	}
	for key, value := range m {
		if strings.HasPrefix(key, "_") {
			continue // an extension in place of a value
		}
		el, ok := elements[path+"."+key]
		if !ok {
			t.Errorf("%s: %s.%s: no such element in R4", name, path, key)
			continue
		}
		values, isList := value.([]any)
		if isList != el.many || isList && len(values) == 0 {
			t.Errorf("%s: %s.%s: array or not", name, path, key)
			continue
		}
		if !isList {
			values = []any{value}
		}
		for _, v := range values {
			checkValue(t, name, elements, path+"."+key, el.types[0], v)
		}
	}
	for p, el := range elements {
		key, below := strings.CutPrefix(p, path+".")
		if below && el.min && !strings.Contains(key, ".") && m[key] == nil && m["_"+key] == nil {
			t.Errorf("%s: %s: missing", name, p)
		}
	}
	if path == "AuditEvent.entity.detail" && m["valueString"] == nil && m["_valueString"] == nil && m["valueBase64Binary"] == nil {
		t.Errorf("%s: %s: value[x] missing", name, path)
	}
}

func checkValue(t tester, name string, elements map[string]r4Element, path, ty string, v any) {
	t.Helper()
	switch ty {
	case "BackboneElement":
		checkElement(t, name, elements, path, v.(map[string]any))
	case "Coding", "CodeableConcept", "Reference", "Identifier":
		checkElement(t, name, elements, ty, v.(map[string]any))
	case "Extension":
		if v.(map[string]any)["url"] != dataAbsentReason {
			t.Errorf("%s: %s: what extension?", name, path)
		}
	case "boolean":
		_ = v.(bool)
	default:
		s, ok := v.(string)
		if !ok || s == "" {
			t.Errorf("%s: %s: want a string that is not empty", name, path)
		}
		closed := map[string]string{"AuditEvent.action": " C R U D E ", "AuditEvent.outcome": " 0 4 8 12 ", "AuditEvent.agent.network.type": " 1 2 3 4 5 "}
		if allowed := closed[path]; allowed != "" && !strings.Contains(allowed, " "+s+" ") {
			t.Errorf("%s: %s: a code outside its list", name, path)
		}
		if ty == "instant" {
			if _, err := time.Parse(time.RFC3339, s); err != nil {
				t.Errorf("%s: %s: not an instant", name, path)
			}
		}
		if ty == "uri" && strings.ContainsAny(s, " \t\r\n") {
			t.Errorf("%s: %s: white space in a URI", name, path)
		}
	}
}
