package fhir

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// validWritten checks a written resource against HL7's own StructureDefinition of the release: no element that it does not
// have, cardinalities, primitive types, closed lists of codes, invariants; and that what is required and absent says so.
func validWritten(t tester, name string, body []byte, r Release) {
	t.Helper()
	elements, err := definitions[r]()
	if err != nil {
		t.Logf("the definition of %s is absent: %v", r, err)
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

type defined struct {
	min, many bool
	types     []string
}

var definitions = map[Release]func() (map[string]defined, error){
	R4: sync.OnceValues(func() (map[string]defined, error) { return definition("fhir-r4") }),
	R5: sync.OnceValues(func() (map[string]defined, error) { return definition("fhir-r5") }),
}

func definition(folder string) (map[string]defined, error) {
	body, err := os.ReadFile(filepath.Join(samples, "schemas", folder, "StructureDefinition-AuditEvent.json"))
	if err != nil {
		return nil, err
	}
	var def struct {
		Snapshot struct {
			Element []struct {
				Path, ContentReference string
				Min                    int
				Max                    string
				Type                   []struct{ Code string }
			}
		}
	}
	if err := json.Unmarshal(body, &def); err != nil {
		return nil, err
	}
	elements := make(map[string]defined)
	for _, e := range def.Snapshot.Element {
		el := defined{min: e.Min > 0, many: e.Max == "*"}
		for _, ty := range e.Type {
			el.types = append(el.types, ty.Code)
		}
		if _, path, ok := strings.Cut(e.ContentReference, "#"); ok {
			el.types = []string{"#" + path}
		}
		if base, ok := strings.CutSuffix(e.Path, "[x]"); ok {
			for _, ty := range el.types {
				elements[base+strings.ToUpper(ty[:1])+ty[1:]] = defined{types: []string{ty}}
			}
			continue
		}
		elements[e.Path] = el
	}
	// The data types that the resource uses, http://hl7.org/fhir/R4/datatypes.html.
	for path, ty := range map[string]string{"Coding.system": "uri", "Coding.code": "code", "Coding.display": "string", "CodeableConcept.text": "string",
		"Reference.reference": "string", "Reference.display": "string", "Reference.identifier": "Identifier", "Identifier.type": "CodeableConcept",
		"Identifier.system": "uri", "Identifier.value": "string", "Period.start": "dateTime", "Period.end": "dateTime"} {
		elements[path] = defined{types: []string{ty}}
	}
	elements["CodeableConcept.coding"] = defined{many: true, types: []string{"Coding"}}
	for _, ty := range []string{"Coding", "CodeableConcept", "Reference", "Identifier"} {
		elements[ty+".extension"] = defined{many: true, types: []string{"Extension"}}
	}
	return elements, nil
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func checkElement(t tester, name string, elements map[string]defined, path string, m map[string]any) {
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
			t.Errorf("%s: %s.%s: no such element in this release", name, path, key)
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
		if below && el.min && !strings.Contains(key, ".") && m[key] == nil && m["_"+key] == nil && m["extension"] == nil {
			t.Errorf("%s: %s: missing", name, p)
		}
	}
	if strings.HasSuffix(path, ".detail") && !strings.Contains(path, "outcome") && m["valueString"] == nil && m["_valueString"] == nil && m["valueBase64Binary"] == nil {
		t.Errorf("%s: %s: value[x] missing", name, path)
	}
	if strings.HasSuffix(path, ".agent") && m["requestor"] == nil {
		t.Errorf("%s: %s: requestor missing", name, path)
	}
}

func checkValue(t tester, name string, elements map[string]defined, path, ty string, v any) {
	t.Helper()
	if at, ok := strings.CutPrefix(ty, "#"); ok {
		checkElement(t, name, elements, at, v.(map[string]any))
		return
	}
	switch ty {
	case "BackboneElement":
		checkElement(t, name, elements, path, v.(map[string]any))
	case "Coding", "CodeableConcept", "Reference", "Identifier", "Period":
		checkElement(t, name, elements, ty, v.(map[string]any))
	case "Extension":
		switch v.(map[string]any)["url"] {
		case dataAbsentReason, alternativeUserID, entityLifecycle:
		default:
			t.Errorf("%s: %s: what extension?", name, path)
		}
	case "boolean":
		_ = v.(bool)
	default:
		s, ok := v.(string)
		if !ok {
			t.Errorf("%s: %s: want a string", name, path)
			return
		}
		checkPrimitive(t, name, path, ty, s)
	}
}

var closedLists = map[string]string{"AuditEvent.action": "C R U D E", "AuditEvent.outcome": "0 4 8 12", "AuditEvent.agent.network.type": "1 2 3 4 5",
	"AuditEvent.severity": "emergency alert critical error warning notice informational debug"}

func checkPrimitive(t tester, name, path, ty, s string) {
	t.Helper()
	bad := strings.TrimSpace(s) == "" || len(s) > 1<<20 || !utf8.ValidString(s)
	switch ty {
	case "string":
		bad = bad || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n", r) || r == 0xfffe || r == 0xffff })
	case "code":
		bad = bad || s != strings.Join(strings.Fields(s), " ")
		if allowed := closedLists[path]; allowed != "" && !strings.Contains(" "+allowed+" ", " "+s+" ") {
			bad = true
		}
	case "instant", "dateTime":
		_, err := time.Parse(time.RFC3339, s)
		bad = err != nil
	case "uri":
		// An absolute one: a code system or the system of an identifier; a policy is whatever it is.
		scheme, rest, ok := strings.Cut(s, ":")
		bad = bad || strings.ContainsAny(s, " \t\r\n") || path != "AuditEvent.agent.policy" && (!ok || rest == "" || scheme != strings.ToLower(scheme))
	case "base64Binary":
		_, err := base64.StdEncoding.DecodeString(s)
		bad = err != nil
	default:
		t.Errorf("%s: %s: what is a %s?", name, path, ty)
	}
	if bad {
		t.Errorf("%s: %s: %q is no %s", name, path, s, ty)
	}
}

// validR4 is validWritten for R4.
func validR4(t tester, name string, body []byte) {
	t.Helper()
	validWritten(t, name, body, R4)
}
