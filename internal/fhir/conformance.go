package fhir

import (
	"bytes"
	"encoding/base64"
	"mime"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

// Check tells which rules of FHIR and IHE BALP an AuditEvent in JSON or XML breaks: a hippad.Checker. It has nothing to say of a report
// of another media type. The rules are those of R4, or of R5 for a resource in the shape of R5; one of an older release, or a
// mixture, breaks fhir-release and is held against what the rules of R4 have in common with it. BALP (R4) is held against a
// resource that claims one of its profiles, or that has the codes by which BALP tells REST events.
func Check(report hippad.Report) []hippad.Rule {
	media, _, err := mime.ParseMediaType(report.Media)
	if err != nil {
		media = report.Media
	}
	resource := report.Body
	switch media {
	case hippad.MediaFHIRJSON:
	case hippad.MediaFHIRXML:
		if resource, _, err = fromXML(report.Body, false); err != nil {
			return []hippad.Rule{ruleXML}
		}
	default:
		return nil
	}
	var broken []hippad.Rule
	if bytes.HasPrefix(resource, bom) {
		resource = resource[len(bom):]
		broken = append(broken, ruleBOM)
	}
	ev, is := read(resource)
	switch is {
	case notJSON:
		return append(broken, ruleJSON)
	case notObject, noType, wrongType:
		return append(broken, ruleResource)
	}
	x := checked{ev: ev, is: is, members: membersOf(bytes.TrimSpace(resource))}
	for _, r := range eventRules {
		if r.broken(&x) {
			broken = append(broken, r.Rule)
		}
	}
	if is == isR4 {
		broken = append(broken, checkBALP(x)...)
	}
	return broken
}

var (
	ruleXML      = hippad.Rule{ID: "fhir-xml", Standard: "FHIR R4 2.6.1 XML", Text: "the body is not well-formed XML, or beyond every measure of a resource"}
	ruleJSON     = hippad.Rule{ID: "fhir-json", Standard: "FHIR R4 2.6.2 JSON; RFC 7493", Text: "the body is not JSON, has a name twice in one object, or is not UTF-8"}
	ruleBOM      = hippad.Rule{ID: "fhir-bom", Standard: "RFC 8259 8.1", Text: "the JSON begins with a byte order mark"}
	ruleResource = hippad.Rule{ID: "fhir-resource", Standard: "IHE ITI TF-2 3.20.4.2 (RESTful ATNA); FHIR R4 AuditEvent", Text: "the body is no AuditEvent"}
)

// A checked is an AuditEvent that is held against the rules: what it means, and the text of its elements.
type checked struct {
	ev      hippad.Event
	is      verdict
	members map[string][]byte
}

// membersOf returns the members of an object by name.
func membersOf(object []byte) map[string][]byte {
	m := make(map[string][]byte)
	eachJSONMember(object, func(name string, value []byte) { m[name] = value })
	return m
}

// eachValue calls f with every value of an element, or the one that stands where an array should.
func eachValue(element []byte, f func(value []byte)) {
	if len(element) == 0 || element[0] != '[' {
		if len(element) > 0 {
			f(element)
		}
		return
	}
	for rest := element[1:]; ; {
		var v []byte
		if v, rest = nextJSONValue(rest); v == nil {
			return
		}
		f(v)
	}
}

// has tells whether the element is there, with a value or with a reason why it has none.
func (x *checked) has(name string) bool { return x.members[name] != nil || x.members["_"+name] != nil }

// anyOf tells whether a value of the element has members of which f is true.
func (x *checked) anyOf(element string, f func(m map[string][]byte) bool) (yes bool) {
	eachValue(x.members[element], func(v []byte) { yes = yes || f(membersOf(v)) })
	return yes
}

// str returns the text of a string, and whether it is one.
func str(value []byte) (string, bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	return unquote(value), true
}

// outside tells whether there is a value that is not on the list.
func outside(list []string, value []byte) bool {
	s, _ := str(value)
	return value != nil && oneOf(list, s) == ""
}

func (x *checked) r4() bool { return x.is == isR4 }
func (x *checked) r5() bool { return x.is == isR5 }

// An eventRule is a rule with what breaks it.
type eventRule struct {
	hippad.Rule
	broken func(x *checked) bool
}

var (
	instantForm = regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))$`)
	withoutZone = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.,]+$`)
)

// eventRules are the rules of FHIR for AuditEvent, R4 and R5.
var eventRules = []eventRule{
	{hippad.Rule{ID: "fhir-release", Standard: "FHIR R4 AuditEvent; FHIR R5 AuditEvent", Text: "it has elements or data types of a release before R4, or of several releases"},
		func(x *checked) bool { return x.is == isOther }},
	{hippad.Rule{ID: "fhir-type", Standard: "FHIR R4 AuditEvent.type", Text: "type is missing"},
		func(x *checked) bool { return x.r4() && !x.has("type") }},
	{hippad.Rule{ID: "fhir-code", Standard: "FHIR R5 AuditEvent.code", Text: "code is missing"},
		func(x *checked) bool { return x.r5() && !x.has("code") }},
	{hippad.Rule{ID: "fhir-recorded", Standard: "FHIR R4 AuditEvent.recorded", Text: "recorded is missing"},
		func(x *checked) bool { return x.members["event"] == nil && !x.has("recorded") }},
	{hippad.Rule{ID: "fhir-recorded-zone", Standard: "FHIR R4 instant", Text: "recorded has no time zone: nobody knows when it was"},
		func(x *checked) bool { s, _ := str(x.members["recorded"]); return withoutZone.MatchString(s) }},
	{hippad.Rule{ID: "fhir-recorded-form", Standard: "FHIR R4 instant", Text: "recorded is no instant: date, time to the second, zone"},
		func(x *checked) bool {
			s, is := str(x.members["recorded"])
			return x.members["recorded"] != nil && (!is || !instantForm.MatchString(s) && !withoutZone.MatchString(s))
		}},
	{hippad.Rule{ID: "fhir-agent", Standard: "FHIR R4 AuditEvent.agent", Text: "there is no agent"},
		func(x *checked) bool { return x.members["participant"] == nil && isEmptyElement(x.members["agent"]) }},
	{hippad.Rule{ID: "fhir-agent-requestor", Standard: "FHIR R4 AuditEvent.agent.requestor", Text: "an agent does not say whether it is the requestor"},
		func(x *checked) bool {
			return !x.r5() && x.anyOf("agent", func(m map[string][]byte) bool { return m["requestor"] == nil && m["_requestor"] == nil })
		}},
	{hippad.Rule{ID: "fhir-agent-who", Standard: "FHIR R5 AuditEvent.agent.who", Text: "an agent does not say who it is"},
		func(x *checked) bool {
			return x.r5() && x.anyOf("agent", func(m map[string][]byte) bool { return m["who"] == nil })
		}},
	{hippad.Rule{ID: "fhir-source", Standard: "FHIR R4 AuditEvent.source.observer", Text: "source or its observer is missing"},
		func(x *checked) bool {
			return x.members["source"] == nil || x.is != isOther && membersOf(x.members["source"])["observer"] == nil
		}},
	{hippad.Rule{ID: "fhir-action", Standard: "FHIR R4 AuditEvent.action", Text: "action is not C, R, U, D or E"},
		func(x *checked) bool { return outside(actions, x.members["action"]) }},
	{hippad.Rule{ID: "fhir-outcome", Standard: "FHIR R4 AuditEvent.outcome", Text: "outcome is not 0, 4, 8 or 12"},
		func(x *checked) bool { return x.r4() && outside(outcomes, x.members["outcome"]) }},
	{hippad.Rule{ID: "fhir-outcome-code", Standard: "FHIR R5 AuditEvent.outcome.code", Text: "outcome has no code"},
		func(x *checked) bool {
			return x.r5() && x.members["outcome"] != nil && membersOf(x.members["outcome"])["code"] == nil
		}},
	{hippad.Rule{ID: "fhir-severity", Standard: "FHIR R5 AuditEvent.severity", Text: "severity is not one of its codes"},
		func(x *checked) bool { return x.r5() && outside(severities, x.members["severity"]) }},
	{hippad.Rule{ID: "fhir-period", Standard: "FHIR R4 Period, per-1", Text: "the period ends before it starts"},
		func(x *checked) bool {
			p := x.ev.Occurred
			return !p.Start.IsZero() && !p.End.IsZero() && p.End.Before(p.Start)
		}},
	{hippad.Rule{ID: "fhir-network-type", Standard: "FHIR R4 AuditEvent.agent.network.type", Text: "the type of a network address is not 1 to 5"},
		func(x *checked) bool {
			return x.anyOf("agent", func(m map[string][]byte) bool { return outside(addressTypes, membersOf(m["network"])["type"]) })
		}},
	{hippad.Rule{ID: "fhir-entity-sev-1", Standard: "FHIR R4 AuditEvent.entity, sev-1", Text: "an entity has a name and a query"},
		func(x *checked) bool {
			return x.anyOf("entity", func(m map[string][]byte) bool { return m["name"] != nil && m["query"] != nil })
		}},
	{hippad.Rule{ID: "fhir-query", Standard: "FHIR R4 AuditEvent.entity.query", Text: "a query is not in base64"},
		func(x *checked) bool {
			return x.anyOf("entity", func(m map[string][]byte) bool { return notBase64(m["query"]) })
		}},
	{hippad.Rule{ID: "fhir-detail", Standard: "FHIR R4 AuditEvent.entity.detail", Text: "a detail of an entity has no type, no value, or a value that is not in base64"},
		func(x *checked) bool {
			return x.is != isOther && x.anyOf("entity", func(m map[string][]byte) (bad bool) {
				eachValue(m["detail"], func(v []byte) { bad = bad || badDetail(membersOf(v)) })
				return bad
			})
		}},
	{hippad.Rule{ID: "fhir-empty", Standard: "FHIR R4 2.6.2 JSON", Text: "an element is empty: no text, no value, no member"},
		func(x *checked) bool { return anyValue(x.members, isEmptyElement) }},
	{hippad.Rule{ID: "fhir-system-uri", Standard: "FHIR R4 Coding.system, Identifier.system", Text: "a system is no absolute URI"},
		func(x *checked) bool {
			return anySystem(x.members, func(s string) bool { return !strings.Contains(s, ":") })
		}},
	{hippad.Rule{ID: "fhir-system-old", Standard: "FHIR R4 AuditEvent terminology bindings", Text: "a code system goes by a name that it had before R4"},
		func(x *checked) bool { return x.is != isOther && anySystem(x.members, isOldSystem) }},
}

// isOldSystem tells a name of a code system that R4 does not use.
func isOldSystem(s string) bool {
	return hippad.CodeSystem(s) != s && strings.HasPrefix(s, "http://")
}

// isEmptyElement tells what FHIR never has: an empty string, array or object; and what is not there.
func isEmptyElement(value []byte) bool {
	if len(value) == 0 {
		return true
	}
	switch value[0] {
	case '"':
		return len(value) == 2
	case '{', '[':
		c := value[1+blank(value[1:])]
		return c == '}' || c == ']'
	}
	return false
}

func notBase64(value []byte) bool {
	s, is := str(value)
	if !is {
		return value != nil
	}
	_, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	return err != nil
}

func badDetail(m map[string][]byte) bool {
	hasValue := false
	for name := range m {
		hasValue = hasValue || strings.HasPrefix(strings.TrimPrefix(name, "_"), "value")
	}
	return !hasValue || m["type"] == nil && m["_type"] == nil || m["valueBase64Binary"] != nil && notBase64(m["valueBase64Binary"])
}

// anyValue tells whether f is true of a value anywhere, the narrative aside.
func anyValue(members map[string][]byte, f func(value []byte) bool) bool {
	for name, value := range members {
		if name != "text" && (f(value) || anyInside(value, func(_ string, v []byte) bool { return f(v) })) {
			return true
		}
	}
	return false
}

// anySystem tells whether f is true of a system of a Coding or Identifier anywhere.
func anySystem(members map[string][]byte, f func(system string) bool) bool {
	for name, value := range members {
		if name != "text" && name != "contained" && anyInside(value, func(n string, v []byte) bool {
			s, is := str(v)
			return n == "system" && is && f(s)
		}) {
			return true
		}
	}
	return false
}

// anyInside tells whether f is true of a member or element inside a value. It reads the text once, from its beginning: a value that
// is nested deeply costs no more than a flat one.
func anyInside(value []byte, f func(name string, value []byte) bool) bool {
	d := jsontext.NewDecoder(bytes.NewBuffer(value))
	name := ""
	for {
		kind := d.PeekKind()
		container, n := d.StackIndex(d.StackDepth())
		if kind == 0 {
			return false
		}
		isName := container == '{' && n%2 == 0 && kind == '"'
		if kind == '{' || kind == '[' || kind == '}' || kind == ']' {
			if _, err := d.ReadToken(); err != nil {
				return false
			}
			if (kind == '{' || kind == '[') && (d.PeekKind() == '}' || d.PeekKind() == ']') && f("", []byte("{}")) {
				return true
			}
			continue
		}
		text, err := d.ReadValue()
		switch {
		case err != nil:
			return false
		case isName:
			name = unquote(text)
		case f(name, text):
			return true
		}
	}
}
