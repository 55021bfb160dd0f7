package fhir

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

const (
	namespaceFHIR  = "http://hl7.org/fhir"
	namespaceXHTML = "http://www.w3.org/1999/xhtml"
)

// maxDepth is how many levels of elements a resource may have to be written in XML, or read from it. Real ones have about ten.
const maxDepth = 64

// toXML writes a FHIR resource that is given in JSON as FHIR XML (http://hl7.org/fhir/R4/xml.html): the elements of the types of
// xmltypes.go in their order, others behind them in the order they came in. The JSON must be strict (hippad keeps no other
// AuditEvent); it is not changed. What XML has no way to say is left out: a name that no element can have, an empty value, a
// narrative that is not well-formed XHTML, a resource inside that does not say of which type; a character that XML has not becomes U+FFFD. It fails, with kind Invalid and words
// that quote nothing, for what is not strict JSON, not a resource, or nested more than maxDepth levels deep below each resource
// of a Bundle. It takes time in proportion to the size, times the depth at most.
func toXML(resource []byte) ([]byte, error) {
	resource = bytes.TrimSpace(bytes.TrimPrefix(resource, bom))
	if !jsontext.Value(resource).IsValid() {
		return nil, hippad.Errorf(hippad.Invalid, "the resource is not JSON")
	}
	w := xmlWriter{}
	w.out.Grow(len(resource) + len(resource)/4)
	w.out.WriteString(xml.Header)
	if !w.resource(resource, 0) {
		return nil, hippad.Errorf(hippad.Invalid, "the resource cannot be written in XML: it is no resource, or nested too deeply")
	}
	return w.out.Bytes(), nil
}

// An xmlWriter writes JSON that is known to be valid. Values are parts of the JSON text: no tree is built.
type xmlWriter struct {
	out     bytes.Buffer
	members []member // of the objects that are being written, the innermost last
}

// A member of a JSON object. That of _name, with what belongs to the primitive beside its value, is with the one of name.
type member struct {
	name  string
	value []byte
	extra []byte // the value of _name
	def   elementDef
	place int
}

// resource writes an object that has a resourceType, and tells whether it could.
func (w *xmlWriter) resource(object []byte, depth int) bool {
	name, r5 := resourceHead(object)
	if name == "" {
		return false
	}
	w.out.WriteByte('<')
	w.out.WriteString(name)
	if depth == 0 {
		w.out.WriteString(` xmlns="` + namespaceFHIR + `"`)
	}
	w.out.WriteByte('>')
	if !w.children(object, resourceDef(name, r5), depth+1, "resourceType") {
		return false
	}
	w.close(name)
	return true
}

// resourceHead returns the resourceType of an object, empty if it has none that can be the name of an element, and whether it has
// an element that only R5 has.
func resourceHead(object []byte) (name string, r5 bool) {
	eachJSONMember(object, func(n string, value []byte) {
		if n == "resourceType" && value[0] == '"' {
			name = unquote(value)
		}
		r5 = r5 || onlyR5(n)
	})
	if !isElementName(name) {
		return "", false
	}
	return name, r5
}

func nestedType(object []byte) string {
	name, _ := resourceHead(object)
	return name
}

// isElementName tells whether a name can be that of a FHIR element. XML would allow more.
func isElementName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return name != "" && !strings.EqualFold(name[:min(3, len(name))], "xml")
}

// children writes the members of an object as elements, but for those that the caller has written: the names given.
func (w *xmlWriter) children(object []byte, def *typeDef, depth int, written ...string) bool {
	if depth > maxDepth {
		return false
	}
	base := len(w.members)
	defer func() { w.members = w.members[:base] }()
	var extras []member
	eachJSONMember(object, func(name string, value []byte) {
		bare, isExtra := strings.CutPrefix(name, "_")
		if slices.Contains(written, bare) || !isElementName(bare) {
			return
		}
		m := member{name: bare, value: value}
		m.def, m.place, _ = def.find(bare)
		if isExtra {
			m.value, m.extra = nil, value
			extras = append(extras, m)
			return
		}
		w.members = append(w.members, m)
	})
	w.pair(base, extras)
	slices.SortStableFunc(w.members[base:], func(a, b member) int { return a.place - b.place })
	for i := base; i < len(w.members); i++ {
		if !w.member(w.members[i], depth) {
			return false
		}
	}
	return true
}

// pair puts what JSON has in members named _x with those named x, from base on.
func (w *xmlWriter) pair(base int, extras []member) {
	if len(extras) == 0 {
		return
	}
	at := make(map[string]int, len(w.members)-base)
	for i, m := range w.members[base:] {
		at[m.name] = base + i
	}
	for _, x := range extras {
		if i, ok := at[x.name]; ok {
			w.members[i].extra = x.extra
		} else {
			w.members = append(w.members, x)
		}
	}
}

// member writes an element, or one for each value of an array.
func (w *xmlWriter) member(m member, depth int) bool {
	if (len(m.value) == 0 || m.value[0] != '[') && (len(m.extra) == 0 || m.extra[0] != '[') {
		return w.element(m.name, m.value, m.extra, m.def, depth)
	}
	values, extras := inside(m.value), inside(m.extra)
	for len(values) > 0 || len(extras) > 0 {
		var value, extra []byte
		value, values = nextJSONValue(values)
		extra, extras = nextJSONValue(extras)
		if !w.element(m.name, value, extra, m.def, depth) {
			return false
		}
	}
	return true
}

// inside returns what follows the bracket of an array, nil for anything but an array.
func inside(array []byte) []byte {
	if len(array) == 0 || array[0] != '[' {
		return nil
	}
	return array[1:]
}

// element writes one value. extra is the object that JSON has beside a primitive, with its id and extensions.
func (w *xmlWriter) element(name string, value, extra []byte, def elementDef, depth int) bool {
	if depth > maxDepth {
		return false
	}
	kind := byte('n')
	if len(value) > 0 {
		kind = value[0]
	}
	switch kind {
	case '[': // JSON allows it, FHIR does not: as if its values stood in the outer array
		return w.member(member{name: name, value: value, def: def}, depth+1)
	case '{':
		return w.complex(name, value, def, depth)
	}
	text := ""
	switch kind {
	case '"':
		text = unquote(value)
	case 'n':
	default:
		text = string(value)
	}
	if def.of == "xhtml" {
		w.out.WriteString(text) // narrative has seen to it
		return true
	}
	hasExtra := len(extra) > 0 && extra[0] == '{' && !isEmptyObject(extra)
	if text == "" && !hasExtra {
		return true
	}
	w.out.WriteByte('<')
	w.out.WriteString(name)
	if hasExtra {
		w.attribute(extra, "id")
	}
	if text != "" {
		w.out.WriteString(` value="`)
		w.escape(text)
		w.out.WriteByte('"')
	}
	if !hasExtra {
		w.out.WriteString("/>")
		return true
	}
	w.out.WriteByte('>')
	if !w.children(extra, typeDefs()["Element"], depth+1, "id") {
		return false
	}
	w.close(name)
	return true
}

// complex writes an object: a resource inside the element, or the elements of a type.
func (w *xmlWriter) complex(name string, object []byte, def elementDef, depth int) bool {
	if isEmptyObject(object) {
		return true
	}
	if def.of == "Narrative" && !goodNarrative(object) {
		return true
	}
	if head, _ := resourceHead(object); def.of == "Resource" && head == "" {
		return true
	}
	w.out.WriteByte('<')
	w.out.WriteString(name)
	if def.of == "Resource" || def.of == "" && nestedType(object) != "" {
		w.out.WriteByte('>')
		inner := depth + 1
		if name == "resource" { // each resource of a Bundle has the levels that it would have alone
			inner = 1
		}
		if !w.resource(object, inner) {
			return false
		}
		w.close(name)
		return true
	}
	written := []string{"id"}
	w.attribute(object, "id")
	if def.of == "Extension" {
		written = append(written, "url")
		w.attribute(object, "url")
	}
	w.out.WriteByte('>')
	if !w.children(object, typeDefs()[def.of], depth+1, written...) {
		return false
	}
	w.close(name)
	return true
}

// attribute writes the string of a member as an attribute. It writes nothing if there is none.
func (w *xmlWriter) attribute(object []byte, name string) {
	eachJSONMember(object, func(n string, value []byte) {
		if n == name && value[0] == '"' {
			w.out.WriteString(" " + name + `="`)
			w.escape(unquote(value))
			w.out.WriteByte('"')
		}
	})
}

func (w *xmlWriter) close(name string) {
	w.out.WriteString("</")
	w.out.WriteString(name)
	w.out.WriteByte('>')
}

func (w *xmlWriter) escape(s string) {
	if plain(s) && !strings.ContainsAny(s, `<>&"'`) {
		w.out.WriteString(s)
		return
	}
	_ = xml.EscapeText(&w.out, []byte(s)) // a bytes.Buffer takes everything
}

// goodNarrative tells whether a Narrative has a div that can stand in XML as it is: one well-formed XHTML element, without
// declarations, instructions or entities of its own.
func goodNarrative(object []byte) (good bool) {
	eachJSONMember(object, func(name string, value []byte) {
		if name == "div" && value[0] == '"' {
			good = goodDiv(unquote(value))
		}
	})
	return good
}

func goodDiv(div string) bool {
	if !strings.HasPrefix(div, "<div") || !strings.HasSuffix(div, ">") {
		return false
	}
	d := xml.NewDecoder(strings.NewReader(div))
	depth, roots := 0, 0
	for {
		token, err := d.Token()
		if err != nil {
			return errors.Is(err, io.EOF) && depth == 0 && roots == 1
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			if depth++; depth > maxDepth || t.Name.Space != namespaceXHTML {
				return false
			}
		case xml.EndElement:
			depth--
		case xml.ProcInst, xml.Directive:
			return false
		}
	}
}
