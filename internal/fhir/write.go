package fhir

import (
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

// A Release is a release of FHIR in which an event can be written.
type Release uint8

// The releases.
const (
	R4 Release = iota
	R5
)

// String returns the version as CapabilityStatement.fhirVersion has it.
func (r Release) String() string {
	if r == R5 {
		return "5.0.0"
	}
	return "4.0.1"
}

// Write makes an R4 AuditEvent in JSON that says what ev says, as a report of MediaFHIRJSON: see WriteRelease.
func Write(ev hippad.Event) hippad.Report {
	return hippad.Report{Media: hippad.MediaFHIRJSON, Body: WriteRelease(ev, R4)}
}

// WriteRelease makes an AuditEvent in JSON that says what ev says, in the given release, without id and meta. It follows
// FHIR's mapping from DICOM PS3.15 A.5 (AuditEvent, Mappings) and the codings of IHE BALP and RESTful-ATNA:
//
//   - code systems get their R4 names; a scheme that has no URI gets one of ours, which Read takes off again; the bare numbers of
//     DICOM's lists get the code system of the list; a code of a known system is shown by that system's word for it;
//   - an identifier in the form of HL7 CX is taken apart into system and value;
//   - the first RoleIDCode out of DICOM's own list (CID 402) is agent.type, the others are agent.role;
//   - what is required and not known carries the data-absent-reason extension.
//
// What a release has no place for is left out. R4: severity, basedOn, encounter, the agents of an entity, and the name of an
// entity that has a query (invariant sev-1), which moves to what.display if that is free. R5: media, the kind of a network
// address, and the type of an entity; the name of an agent or entity moves to the display if that is free, and the description
// of an entity becomes a detail. Neither has an action, outcome or severity outside its closed list.
func WriteRelease(ev hippad.Event, r Release) []byte {
	if r == R5 {
		return encode(toR5(ev))
	}
	return encode(toR4(ev))
}

// The data types that both releases have. A required element of which nothing is known carries the data-absent-reason
// extension in place of a value.
type (
	extensionJSON struct {
		URL             string          `json:"url"`
		ValueCode       string          `json:"valueCode,omitzero"`
		ValueConcept    *conceptJSON    `json:"valueCodeableConcept,omitzero"`
		ValueIdentifier *identifierJSON `json:"valueIdentifier,omitzero"`
	}
	absentJSON struct {
		Extension []extensionJSON `json:"extension"`
	}
	codingJSON struct {
		Extension []extensionJSON `json:"extension,omitempty"`
		System    string          `json:"system,omitzero"`
		Code      string          `json:"code,omitzero"`
		Display   string          `json:"display,omitzero"`
	}
	conceptJSON struct {
		Extension []extensionJSON `json:"extension,omitempty"`
		Coding    []codingJSON    `json:"coding,omitempty"`
		Text      string          `json:"text,omitzero"`
	}
	identifierJSON struct {
		Type   *conceptJSON `json:"type,omitzero"`
		System string       `json:"system,omitzero"`
		Value  string       `json:"value,omitzero"`
	}
	referenceJSON struct {
		Extension  []extensionJSON `json:"extension,omitempty"`
		Reference  string          `json:"reference,omitzero"`
		Identifier *identifierJSON `json:"identifier,omitzero"`
		Display    string          `json:"display,omitzero"`
	}
	periodJSON struct {
		Start string `json:"start,omitzero"`
		End   string `json:"end,omitzero"`
	}
)

// encode writes one of the structs of this package. It cannot fail: they hold strings, bytes, booleans and numbers, and
// a string that is not UTF-8 is mended.
func encode(v any) []byte {
	body, _ := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	return body
}

func absentBecause(reason string) []extensionJSON {
	return []extensionJSON{{URL: dataAbsentReason, ValueCode: reason}}
}

// toReference returns nil if there is nothing to point at. What FHIR does not take for a literal reference, such as one into the
// resource that it was taken from, is written as a name, or else as an identifier.
func toReference(r hippad.Reference, idType hippad.Code) *referenceJSON {
	out := referenceJSON{Reference: strings.TrimSpace(r.Literal), Display: fitString(r.Display)}
	id := fitIdentifier(r.Identifier)
	if out.Reference != "" && !fitReference(out.Reference) {
		switch text := fitString(r.Literal); {
		case out.Display == "":
			out.Display = text
		case id.Value == "" && id.System == "":
			id.Value = text
		}
		out.Reference = ""
	}
	if !id.IsZero() {
		out.Identifier = &identifierJSON{toConcept(idType), id.System, id.Value}
	}
	if out.Reference == "" && out.Identifier == nil && out.Display == "" {
		return nil
	}
	return &out
}

// required returns the reference, or one that says that it is not known.
func required(r *referenceJSON) referenceJSON {
	if r == nil {
		return referenceJSON{Extension: absentBecause("unknown")}
	}
	return *r
}

func toReferences(list []hippad.Reference) (out []referenceJSON) {
	for _, r := range list {
		if ref := toReference(r, hippad.Code{}); ref != nil {
			out = append(out, *ref)
		}
	}
	return out
}

// toCoding returns false for a code that says nothing.
func toCoding(c hippad.Code) (codingJSON, bool) {
	out := codingJSON{System: systemURI(c.System), Code: fitCode(c.Code)}
	out.Display = display(out.System, out.Code, fitString(c.Display))
	return out, out.System != "" || out.Code != "" || out.Display != ""
}

func toCodings(codes []hippad.Code) (out []codingJSON) {
	for _, c := range codes {
		if coding, ok := toCoding(c); ok {
			out = append(out, coding)
		}
	}
	return out
}

// optionalCoding returns nil for a code that says nothing.
func optionalCoding(c hippad.Code) *codingJSON {
	if coding, ok := toCoding(c); ok {
		return &coding
	}
	return nil
}

// toConcept returns nil for a code that says nothing. Words without a code are the text.
func toConcept(c hippad.Code) *conceptJSON {
	coding, ok := toCoding(c)
	switch {
	case !ok:
		return nil
	case coding.System == "" && coding.Code == "":
		return &conceptJSON{Text: coding.Display}
	}
	return &conceptJSON{Coding: []codingJSON{coding}}
}

func toConcepts(codes []hippad.Code) (out []conceptJSON) {
	for _, c := range codes {
		if concept := toConcept(c); concept != nil {
			out = append(out, *concept)
		}
	}
	return out
}

// typeAndRoles tells an agent's type from its roles. DICOM has RoleIDCode for both.
func typeAndRoles(a hippad.Agent) (hippad.Code, []hippad.Code) {
	if a.Type != (hippad.Code{}) {
		return a.Type, a.Roles
	}
	for i, c := range a.Roles {
		if c.Code >= "110150" && c.Code <= "110155" && len(c.Code) == 6 && hippad.CodeSystem(c.System) == hippad.SystemDCM {
			others := make([]hippad.Code, 0, len(a.Roles))
			return c, append(append(others, a.Roles[:i]...), a.Roles[i+1:]...)
		}
	}
	return a.Type, a.Roles
}

func toPolicies(policies []string) (out []string) {
	for _, p := range policies {
		if p = unblanked(fitString(p)); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// toValue tells text from bytes: what a FHIR string can hold as it is, and anything else.
func toValue(value []byte) (text string, binary []byte) {
	if utf8.Valid(value) && len(value) > 0 {
		if s := string(value); fitString(s) == s {
			return s, nil
		}
	}
	return "", value
}

// inList gives the system to a code that DICOM and RFC 3881 write as a bare number, from 1 to high.
func inList(c hippad.Code, system string, high int) hippad.Code {
	bare := c.System == "" || c.System == rfc3881 || c.System == "DCM"
	if !bare || c.Code == "" || len(c.Code) > 2 || c.Code[0] == '0' {
		return c
	}
	n := 0
	for _, d := range []byte(c.Code) {
		if d < '0' || d > '9' {
			return c
		}
		n = n*10 + int(d-'0')
	}
	if n <= high {
		c.System = system
	}
	return c
}
