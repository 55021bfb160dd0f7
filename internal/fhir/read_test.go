package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
)

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{``, "not JSON at byte 0"},
		{"\xef\xbb\xbf", "not JSON at byte 3"},
		{`{`, "not JSON at byte 1"},
		{`{"resourceType":"AuditEvent"`, "not JSON at byte 28"},
		{`{"resourceType":"AuditEvent"} x`, "not JSON at byte 30"},
		{`{"resourceType":"AuditEvent"}{}`, "not JSON at byte 29"},
		{`{"resourceType":"AuditEvent","a":1,"a":2}`, "not JSON at byte 35"},
		{`{"resourceType":"AuditEvent","a":{"b":1,"b":2}}`, "not JSON at byte 40"},
		{`{"resourceType":"AuditEvent","action":"` + "\xff" + `"}`, "not JSON at byte 39"},
		{`{"resourceType":"AuditEvent","action":"\ud800"}`, "not JSON at byte 39"},
		{`{'resourceType':"AuditEvent"}`, "not JSON at byte 1"},
		{`<AuditEvent/>`, "not JSON at byte 0"},
		{`[]`, "not a JSON object"},
		{`"AuditEvent"`, "not a JSON object"},
		{` null `, "not a JSON object"},
		{`[`, "not JSON at byte 1"},
		{`{}`, "resourceType is missing"},
		{`{"resourceType":null}`, "resourceType is missing"},
		{`{"resourceType":"Patient","name":[{"text":"Miller"}]}`, "resourceType is not AuditEvent"},
		{`{"name":"Miller","resourceType":["AuditEvent"]}`, "resourceType is missing"},
	} {
		if got := Read([]byte(c.body)); got.Unreadable != c.want {
			t.Errorf("%q: %q, want %q", c.body, got.Unreadable, c.want)
		}
	}
}

// What can be made out of a body that was cut is there: the patient must be found.
func TestReadCut(t *testing.T) {
	got := Read([]byte(`{"resourceType":"AuditEvent","entity":[{"what":{"reference":"Patient/7"},"role":{"code":"1"}},{"what":{"refe`))
	if got.Unreadable == "" || len(got.Entities) == 0 || !got.Entities[0].IsPatient() {
		t.Errorf("%s", describeEvent(got))
	}
	if got := Read([]byte(`{"resourceType":"Patient","type":{"code":"x"},`)); !reflect.DeepEqual(got, hippad.Event{Unreadable: got.Unreadable}) {
		t.Errorf("another resource gave an event: %s", describeEvent(got))
	}
}

func TestReadShapes(t *testing.T) {
	event := func(f func(*hippad.Event)) hippad.Event { var ev hippad.Event; f(&ev); return ev }
	rest := hippad.Code{System: hippad.SystemEventType, Code: "rest"}
	create := hippad.Code{System: "http://hl7.org/fhir/restful-interaction", Code: "create"}
	restJSON := `{"system":"` + hippad.SystemEventType + `","code":"rest"}`
	createJSON := `{"system":"http://hl7.org/fhir/restful-interaction","code":"create"}`
	patient := func(ev *hippad.Event, literal string) {
		ev.Entities = []hippad.Entity{{What: hippad.Reference{Literal: literal}, Role: patientRole}}
	}
	for _, c := range []struct {
		name, members string
		want          hippad.Event
		is            verdict
	}{
		{"R5 as specified", `"category":[{"coding":[` + restJSON + `]}],"code":{"coding":[` + createJSON + `]}`,
			event(func(ev *hippad.Event) { ev.Type, ev.Subtypes = rest, []hippad.Code{create} }), isR5},
		{"R5 the other way round", `"code":{"coding":[` + restJSON + `]},"category":[{"coding":[` + createJSON + `]}]`,
			event(func(ev *hippad.Event) { ev.Type, ev.Subtypes = rest, []hippad.Code{create} }), isR5},
		{"R5 with DICOM EventID in code", `"category":[{"coding":[{"system":"x","code":"y"}]}],"code":{"coding":[{"system":"DCM","code":"110113"}]}`,
			event(func(ev *hippad.Event) {
				ev.Type, ev.Subtypes = hippad.Code{System: "DCM", Code: "110113"}, []hippad.Code{{System: "x", Code: "y"}}
			}), isR5},
		{"R5 unknown codes", `"code":{"coding":[{"code":"b"}]},"category":[{"coding":[{"code":"a"}]}]`,
			event(func(ev *hippad.Event) { ev.Type, ev.Subtypes = hippad.Code{Code: "a"}, []hippad.Code{{Code: "b"}} }), isR5},
		{"R5 code only, text only", `"code":{"text":"a task"}`, event(func(ev *hippad.Event) { ev.Type = hippad.Code{Display: "a task"} }), isR5},
		{"draft: type as CodeableConcept", `"type":{"coding":[` + restJSON + `]},"subtype":[{"coding":[` + createJSON + `]}]`,
			event(func(ev *hippad.Event) { ev.Type, ev.Subtypes = rest, []hippad.Code{create} }), isOther},
		{"R4 type", `"type":` + restJSON + `,"subtype":[` + createJSON + `]`,
			event(func(ev *hippad.Event) { ev.Type, ev.Subtypes = rest, []hippad.Code{create} }), isR4},
		{"R4 outcome", `"outcome":"8","outcomeDesc":"no"`, event(func(ev *hippad.Event) { ev.Outcome, ev.OutcomeDescription = "8", "no" }), isR4},
		{"outcome as a number", `"outcome":8`, event(func(ev *hippad.Event) { ev.Outcome = "8" }), isOther},
		{"draft: outcome as CodeableConcept", `"outcome":{"coding":[{"code":"12"}],"text":"no"}`,
			event(func(ev *hippad.Event) { ev.Outcome, ev.OutcomeDescription = "12", "no" }), isOther},
		{"R5 outcome", `"outcome":{"code":{"system":"http://hl7.org/fhir/issue-severity","code":"fatal"},"detail":[{"text":"no"}]}`,
			event(func(ev *hippad.Event) { ev.Outcome, ev.OutcomeDescription = "12", "no" }), isR5},
		{"codes outside their lists", `"action":"READ","outcome":"maybe"`, hippad.Event{}, isR4},
		{"R5 patient", `"patient":{"reference":"Patient/7"}`, event(func(ev *hippad.Event) { patient(ev, "Patient/7") }), isR5},
		{"R5 patient already an entity", `"patient":{"reference":"Patient/7"},"entity":[{"what":{"reference":"Patient/7"}}]`,
			event(func(ev *hippad.Event) { ev.Entities = []hippad.Entity{{What: hippad.Reference{Literal: "Patient/7"}}} }), isR5},
		{"R5 network and purposes", `"authorization":[{"coding":[{"code":"A"}]}],"agent":[{"networkUri":"https://a","authorization":[{"coding":[{"code":"B"}]}]},` +
			`{"networkString":"b"},{"networkReference":{"reference":"Endpoint/1"}}]`,
			event(func(ev *hippad.Event) {
				ev.Purposes = []hippad.Code{{Code: "A"}, {Code: "B"}}
				ev.Agents = []hippad.Agent{{Address: "https://a", AddressType: "5", Purposes: []hippad.Code{{Code: "B"}}}, {Address: "b"}, {Address: "Endpoint/1"}}
			}), isR5},
		{"R5 alternative user id", `"agent":[{"extension":[{"url":"x"},{"url":"http://hl7.org/fhir/StructureDefinition/auditevent-AlternativeUserID","valueIdentifier":{"value":"6580"}}]}]`,
			event(func(ev *hippad.Event) { ev.Agents = []hippad.Agent{{AltID: "6580"}} }), isR4},
		{"R5 detail", `"entity":[{"detail":[{"type":{"text":"size"},"valueInteger":7},{"type":{"coding":[{"code":"q"}]},"valueQuantity":{"value":1.50}},{"type":{"text":"b"},"valueBoolean":false}]}]`,
			event(func(ev *hippad.Event) {
				ev.Entities = []hippad.Entity{{Details: []hippad.Detail{{Type: "size", Value: []byte("7")}, {Type: "q", Value: []byte(`{"value":1.50}`)}, {Type: "b", Value: []byte("false")}}}}
			}), isR5},
		{"R5 site", `"source":{"site":{"display":"ward"},"observer":{"reference":"Device/1"}}`,
			event(func(ev *hippad.Event) {
				ev.Source = hippad.Source{Site: "ward", Observer: hippad.Reference{Literal: "Device/1"}}
			}), isR5},
		{"STU3 userId before reference", `"agent":[{"userId":{"system":"s","value":"v"},"reference":{"reference":"Practitioner/1","display":"d"}}]`,
			event(func(ev *hippad.Event) {
				ev.Agents = []hippad.Agent{{Who: hippad.Reference{Literal: "Practitioner/1", Identifier: hippad.Identifier{System: "s", Value: "v"}, Display: "d"}}}
			}), isOther},
		{"DSTU2", `"event":{"type":` + restJSON + `,"action":"R","dateTime":"2015-08-22T23:42:24.5+02:00","outcome":"0"},"participant":[{"userId":{"value":"95"}}],` +
			`"source":{"identifier":{"value":"src"}},"object":[{"identifier":{"value":"1","type":{"text":"MR"}},"role":{"code":"1"}}]`,
			event(func(ev *hippad.Event) {
				ev.Type, ev.Action, ev.Outcome = rest, "R", "0"
				ev.Recorded = time.Date(2015, 8, 22, 21, 42, 24, 5e8, time.UTC)
				ev.Agents = []hippad.Agent{{Who: hippad.Reference{Identifier: hippad.Identifier{Value: "95"}}}}
				ev.Source.Observer.Identifier.Value = "src"
				ev.Entities = []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{Value: "1"}}, IDType: hippad.Code{Display: "MR"}, Role: hippad.Code{Code: "1"}}}
			}), isOther},
		{"contained", `"entity":[{"what":{"reference":"#p"}},{"what":{"reference":"#none"}}],"agent":[{"who":{"reference":"#u","display":"Dr. Q"}}],` +
			`"contained":[{"resourceType":"Patient","id":"p","identifier":[{"system":"s","value":"v"}]},{"resourceType":"Practitioner","id":"u","identifier":{"value":"w"}}]`,
			event(func(ev *hippad.Event) {
				ev.Entities = []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{System: "s", Value: "v"}}, Role: patientRole}, {What: hippad.Reference{Display: "#none"}}}
				ev.Agents = []hippad.Agent{{Who: hippad.Reference{Identifier: hippad.Identifier{Value: "w"}, Display: "Dr. Q"}}}
			}), isOther},
		{"a Patient by reference type", `"entity":[{"what":{"type":"Patient","identifier":{"value":"v"}}}]`,
			event(func(ev *hippad.Event) {
				ev.Entities = []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{Value: "v"}}, Role: patientRole}}
			}), isR4},
		{"query", `"entity":[{"query":"YS8/"},{"query":"YS8_"},{"query":"Y S8\n/"},{"query":"YQ"},{"query":"GET /x?"}]`,
			event(func(ev *hippad.Event) {
				for _, q := range []string{"a/?", "a/?", "a/?", "a", "GET /x?"} {
					ev.Entities = append(ev.Entities, hippad.Entity{Query: []byte(q)})
				}
			}), isR4},
		{"wrong types cost themselves only", `"type":7,"subtype":{"code":"s"},"action":["R"],"recorded":{},"outcome":[],"agent":{"name":5,"requestor":"true","who":"Device/1","role":"r","policy":"p","network":"n"},` +
			`"source":"x","entity":[null,3,"x",[],{"what":{"reference":["a"],"identifier":"v"},"detail":{"type":1,"valueString":null},"query":[1]}],"contained":5,"purposeOfEvent":null`,
			event(func(ev *hippad.Event) {
				ev.Type, ev.Subtypes = hippad.Code{Code: "7"}, []hippad.Code{{Code: "s"}}
				ev.Agents = []hippad.Agent{{Name: "5", Requestor: true, Who: hippad.Reference{Literal: "Device/1"}, Roles: []hippad.Code{{Code: "r"}}, Policies: []string{"p"}, Address: "n"}}
				ev.Entities = []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{Value: "v"}}, Details: []hippad.Detail{{Type: "1"}}}}
			}), isOther},
		{"escaped names and values", `"\u0061ction":"\u0052","unknown":{"a":[1,{"b":null}]},"agent":[{"name":"M\u00fcller \"x\""}]`,
			event(func(ev *hippad.Event) { ev.Action = "R"; ev.Agents = []hippad.Agent{{Name: `Müller "x"`}} }), isR4},
	} {
		got, is := read([]byte(`{` + c.members + `,"resourceType":"AuditEvent"}`))
		if !reflect.DeepEqual(got, c.want) || is != c.is {
			t.Errorf("%s (%d, want %d): got\n%s\nwant\n%s", c.name, is, c.is, describeEvent(got), describeEvent(c.want))
		}
		if bom, _ := read([]byte("\xef\xbb\xbf{" + c.members + `,"resourceType":"AuditEvent"}`)); !reflect.DeepEqual(got, bom) {
			t.Errorf("%s: a byte order mark changes the event", c.name)
		}
	}
}

func TestReadRecorded(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-22T10:11:12Z":                "2026-11-22T10:11:12Z",
		"2026-11-22T10:11:12.5Z":              "2026-11-22T10:11:12.5Z",
		"2026-11-22T10:11:12.123456789+01:00": "2026-11-22T09:11:12.123456789Z",
		"2026-11-22T10:11:12.123":             "2026-11-22T10:11:12.123Z",
		"2026-11-22T10:11:12-0330":            "2026-11-22T13:41:12Z",
		"2026-11-22":                          "2026-11-22T00:00:00Z",
		"2026-11-22T10:11":                    "2026-11-22T10:11:00Z",
		"9999-12-31T23:59:59-14:00":           "",
		"yesterday":                           "",
		"2026-13-01T00:00:00Z":                "",
	} {
		ev := Read([]byte(`{"resourceType":"AuditEvent","recorded":"` + in + `"}`))
		got := ""
		if !ev.Recorded.IsZero() {
			got = ev.Recorded.Format(time.RFC3339Nano)
		}
		if got != want || ev.Recorded.Location() != time.UTC {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// Terms decide what a search finds: each way of naming the patient must lead to patient terms.
func TestPatientTerms(t *testing.T) {
	for name, c := range map[string]struct{ members, term string }{
		"R4 reference":  {`"entity":[{"what":{"reference":"https://a.example/fhir/Patient/7/_history/2"}}]`, "Patient/7"},
		"R4 identifier": {`"entity":[{"what":{"identifier":{"system":"urn:oid:1.2.3","value":"7"}},"role":{"code":"1"}}]`, "urn:oid:1.2.3|7"},
		"STU3 CX":       {`"entity":[{"identifier":{"value":"7^^^&1.2.3&ISO"},"role":{"code":"1"}}]`, "urn:oid:1.2.3|7"},
		"R5":            {`"patient":{"identifier":{"system":"http://mrn.example","value":"7"}}`, "http://mrn.example|7"},
		"R4 agent":      {`"agent":[{"who":{"reference":"Patient/7"}}]`, "7"},
	} {
		ev := Read([]byte(`{"resourceType":"AuditEvent",` + c.members + `}`))
		terms := hippad.EntryTerms(hippad.Entry{}, ev)
		if !slices.Contains(terms, hippad.Term{Field: hippad.FieldPatient, Value: c.term}) {
			t.Errorf("%s: no term %s in %v", name, c.term, terms)
		}
	}
}

// A body made to be expensive costs no more than its size warrants.
func TestReadHostile(t *testing.T) {
	const million = 1_000_000
	var names strings.Builder
	for i := range million / 5 {
		fmt.Fprintf(&names, `"n%d":0,`, i)
	}
	for _, c := range []struct {
		name, body string
		want       string
	}{
		{"a million arrays in each other", `{"resourceType":"AuditEvent","agent":` + strings.Repeat("[", million) + strings.Repeat("]", million) + `}`, "not JSON"},
		{"a million objects in each other", strings.Repeat(`{"entity":`, million), "not JSON"},
		{"9,000 codings in each other", `{"resourceType":"AuditEvent","type":` + strings.Repeat(`{"coding":`, 9000) + `"x"` + strings.Repeat(`}`, 9000) + `}`, ""},
		{"9,000 arrays of codes in each other", `{"resourceType":"AuditEvent","subtype":` + strings.Repeat(`[`, 9000) + `"x"` + strings.Repeat(`]`, 9000) + `}`, ""},
		{"a million empty entities", `{"resourceType":"AuditEvent","entity":[` + strings.Repeat(`{},`, million) + `{}]}`, "too many elements"},
		{"a million codes", `{"resourceType":"AuditEvent","subtype":[` + strings.Repeat(`"x",`, million) + `"x"]}`, "too many elements"},
		{"a million details", `{"resourceType":"AuditEvent","entity":[{"detail":[` + strings.Repeat(`{},`, million) + `{}]}]}`, "too many elements"},
		{"a million contained", `{"resourceType":"AuditEvent","contained":[` + strings.Repeat(`{"id":"a","resourceType":"Patient"},`, million) + `{}]}`, "too many elements"},
		{"a million nulls", `{"resourceType":"AuditEvent","entity":[` + strings.Repeat(`null,`, million) + `null]}`, ""},
		{"200,000 names", `{"resourceType":"AuditEvent",` + names.String() + `"z":0}`, ""},
		{"200,000 names, one twice", `{"resourceType":"AuditEvent",` + names.String() + `"n7":0}`, "not JSON"},
		{"a long text", `{"resourceType":"AuditEvent","outcomeDesc":"` + strings.Repeat(`\n`, million) + `"}`, ""},
	} {
		body := []byte(c.body)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		ev := Read(body)
		runtime.ReadMemStats(&after)
		if !strings.HasPrefix(ev.Unreadable, c.want) || c.want == "" && ev.Unreadable != "" {
			t.Errorf("%s: %q", c.name, ev.Unreadable)
		}
		grown := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d KB of body, %d MB allocated", c.name, len(body)>>10, grown>>20)
		if limit := uint64(32*len(body) + 64<<20); grown > limit {
			t.Errorf("%s: %d bytes allocated, over %d", c.name, grown, limit)
		}
	}
}

// Of very many repeated elements the first are taken, a body made of them is indexed in bounded time, and what is left out is not hidden.
func TestReadManyElements(t *testing.T) {
	var entities []string
	for i := range maxElements {
		entities = append(entities, fmt.Sprintf(`{"what":{"reference":"Patient/%d"}}`, i))
	}
	of := func(entities []string) []byte {
		return []byte(`{"resourceType":"AuditEvent","entity":[` + strings.Join(entities, ",") + `]}`)
	}
	if ev := Read(of(entities)); ev.Unreadable != "" || len(ev.Entities) != maxElements {
		t.Errorf("%q, %d entities", ev.Unreadable, len(ev.Entities))
	}
	ev, is := read(of(append(entities, entities[0])))
	if ev.Unreadable != "too many elements" || len(ev.Entities) != maxElements || is != isOther && is != isR4 && is != isR5 {
		t.Errorf("one more: %q, %d entities, %v", ev.Unreadable, len(ev.Entities), is)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{`{"resourceType":"AuditEvent"}`, `{"resourceType":"AuditEvent","type":{"coding":[{"code":"x"}]},"agent":[{"who":{"reference":"#a"}}],"contained":[{"id":"a","resourceType":"Patient"}]}`,
		`{"resourceType":"AuditEvent","event":{"type":{"code":"rest"}},"participant":[{"userId":{"value":"95"},"network":{"address":"a","type":"2"}}],"object":[{"query":"YQ==","detail":[{"type":"a","value":"YQ=="}]}]}`,
		`{"resourceType":"AuditEvent","code":{"text":"x"},"outcome":{"code":{"code":"error"}},"patient":{"reference":"Patient/1"},"agent":[{"networkString":"x","authorization":[{"text":"y"}]}]}`, `[]`, "\xef\xbb\xbf{}", `{"a":1,"a":1}`} {
		f.Add([]byte(s))
	}
	if _, err := os.Stat(samples); err == nil {
		bodies, _ := sampleBodies(f)
		for name, body := range bodies {
			if !strings.Contains(name, "#") {
				f.Add(body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		ev := Read(body)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was changed")
		}
		if again := Read(body); !reflect.DeepEqual(ev, again) {
			t.Fatal("the same body gives another event")
		}
		// Strict JSON of the right resource is never unreadable, and nothing else is ever readable.
		good := false
		if d := (newDecoder(bytes.TrimPrefix(body, bom))); true {
			var resource string
			d.object(func(name []byte) {
				if string(name) == "resourceType" {
					resource = d.text()
					return
				}
				d.skip()
			})
			good = d.end() && resource == auditEvent
		}
		if good != (ev.Unreadable == "") {
			t.Fatalf("good %v, but %q", good, ev.Unreadable)
		}
		if good && !json.Valid(bytes.TrimPrefix(body, bom)) {
			t.Fatal("understood what encoding/json refuses")
		}
		if !good {
			return
		}
		if got, want := Read(Write(ev).Body), carried(ev, R4); !reflect.DeepEqual(got, want) {
			t.Fatalf("written and read:\n%s\nwant\n%s", describeEvent(got), describeEvent(want))
		}
		if shown := identified(body, 42, time.Unix(1, 0)); Read(shown).Unreadable != "" || !json.Valid(shown) {
			t.Fatalf("with its id set it is unreadable: %q", Read(shown).Unreadable)
		}
	})
}

// typical is an R4 event of about 2 KB, as a server of records sends it.
const typical = `{"resourceType":"AuditEvent","id":"ex-auditBasicRead","meta":{"security":[{"code":"HTEST","system":"http://terminology.hl7.org/CodeSystem/v3-ActReason"}],
"profile":["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"]},"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest","display":"Restful Operation"},
"subtype":[{"system":"http://hl7.org/fhir/restful-interaction","code":"read","display":"read"}],"action":"R","recorded":"2026-11-22T09:49:00.000Z","outcome":"0",
"agent":[{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110152","display":"Destination Role ID"}]},"who":{"reference":"Device/client-17","display":"ward tablet"},"requestor":false,"network":{"address":"2001:db8::8a2e:370:7334","type":"2"}},
{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153","display":"Source Role ID"}]},"who":{"identifier":{"system":"urn:oid:2.16.840.1.113883.4.2","value":"server.example.com"}},"requestor":false,"network":{"address":"http://server.example.com/fhir","type":"5"}},
{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"IRCP","display":"information recipient"}]},"who":{"reference":"Practitioner/4711","display":"J. Doe"},"requestor":true,"purposeOfUse":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"TREAT","display":"treatment"}]}]}],
"source":{"site":"ward 3","observer":{"reference":"Device/server-1"},"type":[{"system":"http://terminology.hl7.org/CodeSystem/security-source-type","code":"4","display":"Application Server"}]},
"entity":[{"what":{"reference":"Patient/1000042"},"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1","display":"Person"},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1","display":"Patient"}},
{"what":{"reference":"DocumentReference/99-abc"},"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"2","display":"System Object"},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"3","display":"Report"}}]}`
