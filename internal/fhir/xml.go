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

const maxXMLElements = 100_000 // of a resource; Read looks at fewer

var (
	errXMLDepth    = errors.New("elements are nested too deeply")
	errXMLElements = errors.New("there are too many elements")
	errXMLRoot     = errors.New("there is not exactly one root element")
)

// ReadXML reads one FHIR AuditEvent in XML as Read reads the same resource in JSON, into which it is turned. An element that the
// definitions do not know may be an array there, and its value is a string. Unreadable is set for what is not one well-formed
// document, has more than 64 levels or 100,000 elements, or is another resource. Entities of its own make it ill-formed.
func ReadXML(body []byte) hippad.Event {
	resource, _, err := fromXML(body, false)
	switch {
	case errors.Is(err, errXMLDepth), errors.Is(err, errXMLElements):
		return hippad.Event{Unreadable: "FHIR XML: " + err.Error()}
	case err != nil: // what encoding/xml says may quote the body
		return hippad.Event{Unreadable: "FHIR XML is not well-formed"}
	}
	return Read(resource)
}

// fromXML turns a FHIR resource in XML into JSON. It is exact if every element is one that the definitions of xmltypes.go know: only
// then is every value of the right type, and an array where FHIR JSON has one. The narrative is kept if it is asked for.
func fromXML(body []byte, narrative bool) (resource []byte, exact bool, err error) {
	p := xmlParser{body: bytes.TrimPrefix(body, bom), narrative: narrative, exact: true}
	root, err := p.parse()
	if err != nil {
		return nil, false, err
	}
	w := jsonWriter{exact: p.exact}
	w.resource(root)
	return w.out, w.exact, nil
}

// An xmlElement is one element of a FHIR resource.
type xmlElement struct {
	name     string
	value    string // of the attribute value; the text of a div
	isValue  bool   // there is one: a primitive
	id       string // the attribute, which the elements of a resource have
	url      string // of an extension
	children []*xmlElement
}

type xmlParser struct {
	body      []byte
	narrative bool
	exact     bool
	root      *xmlElement
	open      []*xmlElement
	elements  int
}

// parse reads a document. What is not an element or an attribute is left out: FHIR XML has no other content.
func (p *xmlParser) parse() (*xmlElement, error) {
	d := xml.NewDecoder(bytes.NewReader(p.body))
	for {
		start := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if p.root == nil {
				return nil, errXMLRoot
			}
			return p.root, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if t.Name.Space == namespaceXHTML {
				if err := d.Skip(); err != nil {
					return nil, err
				}
				p.div(p.body[start:d.InputOffset()])
				continue
			}
			if err := p.push(t); err != nil {
				return nil, err
			}
		case xml.EndElement:
			p.open = p.open[:len(p.open)-1]
		case xml.CharData:
			p.exact = p.exact && len(p.open) > 0 && blank(t) == len(t) || len(p.open) == 0
		}
	}
}

// div keeps the narrative as it was written, if it stands on its own: it must declare its namespace.
func (p *xmlParser) div(text []byte) {
	if !p.narrative || len(p.open) == 0 {
		return
	}
	if !goodDiv(string(text)) {
		p.exact = false
		return
	}
	parent := p.open[len(p.open)-1]
	parent.children = append(parent.children, &xmlElement{name: "div", value: string(text), isValue: true})
}

func (p *xmlParser) push(t xml.StartElement) error {
	if p.elements++; p.elements > maxXMLElements {
		return errXMLElements
	}
	if len(p.open) == maxDepth {
		return errXMLDepth
	}
	e := &xmlElement{name: t.Name.Local}
	if t.Name.Space != "" && t.Name.Space != namespaceFHIR || !isElementName(e.name) {
		p.exact = false
	}
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "xmlns", a.Name.Local == "xmlns", strings.HasSuffix(a.Name.Space, "XMLSchema-instance"):
		case a.Name.Space != "":
			p.exact = false
		case a.Name.Local == "value":
			e.value, e.isValue = a.Value, true
		case a.Name.Local == "url":
			e.url = a.Value
		case a.Name.Local == "id":
			e.id = a.Value
		default:
			p.exact = false
		}
	}
	switch {
	case len(p.open) > 0:
		parent := p.open[len(p.open)-1]
		parent.children = append(parent.children, e)
	case p.root != nil:
		return errXMLRoot
	default:
		p.root = e
	}
	p.open = append(p.open, e)
	return nil
}

// A jsonWriter writes elements as JSON.
type jsonWriter struct {
	out   []byte
	exact bool
}

func (w *jsonWriter) text(s string) {
	w.out, _ = jsontext.AppendQuote(w.out, s) // encoding/xml lets no text through that is not UTF-8
}

// name begins a member.
func (w *jsonWriter) name(name string) {
	if w.out[len(w.out)-1] != '{' {
		w.out = append(w.out, ',')
	}
	w.text(name)
	w.out = append(w.out, ':')
}

// resource writes the element as a resource, whose type is its name.
func (w *jsonWriter) resource(e *xmlElement) {
	r5 := slices.ContainsFunc(e.children, func(c *xmlElement) bool { return onlyR5(c.name) })
	w.out = append(w.out, '{')
	w.name("resourceType")
	w.text(e.name)
	w.members(e, resourceDef(e.name, r5), "resourceType")
	w.out = append(w.out, '}')
}

// members writes the children by name, those of one name as an array if the element repeats or there are several.
func (w *jsonWriter) members(e *xmlElement, def *typeDef, written ...string) {
	children := grouped(e.children)
	for len(children) > 0 {
		name, n := children[0].name, 1
		for n < len(children) && children[n].name == name {
			n++
		}
		same := children[:n]
		children = children[n:]
		if slices.Contains(written, name) {
			w.exact = false
			continue
		}
		el, _, known := def.find(name)
		w.exact = w.exact && known && (el.many || n == 1)
		w.member(same, el)
	}
}

// grouped returns the children with those of one name together, each name where it is first.
func grouped(children []*xmlElement) []*xmlElement {
	first := make(map[string]int)
	together := true
	for i, c := range children {
		if _, ok := first[c.name]; !ok {
			first[c.name] = i
		} else if children[i-1].name != c.name {
			together = false
		}
	}
	if together {
		return children
	}
	children = slices.Clone(children)
	slices.SortStableFunc(children, func(a, b *xmlElement) int { return first[a.name] - first[b.name] })
	return children
}

// member writes the elements of one name.
func (w *jsonWriter) member(same []*xmlElement, def elementDef) {
	isArray := def.many || len(same) > 1
	values, extras := false, false
	for _, e := range same {
		extra := isPrimitive(e, def) && (e.id != "" || len(e.children) > 0)
		extras = extras || extra
		values = values || !extra || e.isValue
	}
	write := func(name string, one func(*xmlElement)) {
		w.name(name)
		if isArray {
			w.out = append(w.out, '[')
		}
		for i, e := range same {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			one(e)
		}
		if isArray {
			w.out = append(w.out, ']')
		}
	}
	if values {
		write(same[0].name, func(e *xmlElement) { w.value(e, def) })
	}
	if extras {
		write("_"+same[0].name, func(e *xmlElement) {
			if isPrimitive(e, def) && (e.id != "" || len(e.children) > 0) {
				w.object(e, typeDefs()["Element"])
			} else {
				w.out = append(w.out, "null"...)
			}
		})
	}
}

// isPrimitive tells whether JSON has a value, and not an object, for the element. One without a value that holds more than extensions is of the
// other release, where it has another type.
func isPrimitive(e *xmlElement, def elementDef) bool {
	switch def.of {
	case "string", "boolean", "number", "xhtml":
		return e.isValue || !slices.ContainsFunc(e.children, func(c *xmlElement) bool { return c.name != "extension" })
	}
	return e.isValue
}

// value writes what the element holds: a value, a resource, or an object.
func (w *jsonWriter) value(e *xmlElement, def elementDef) {
	switch {
	case isPrimitive(e, def):
		w.exact = w.exact && (def.of == "string" || def.of == "boolean" || def.of == "number" || def.of == "xhtml") && e.url == ""
		switch {
		case !e.isValue:
			w.out = append(w.out, "null"...)
		case def.of == "boolean" && (e.value == "true" || e.value == "false"),
			def.of == "number" && isNumber(e.value):
			w.out = append(w.out, e.value...)
		default:
			w.exact = w.exact && def.of != "boolean" && def.of != "number" && e.value != ""
			w.text(e.value)
		}
	case (def.of == "Resource" || def.of == "" && e.name == "resource") && len(e.children) == 1:
		w.resource(e.children[0])
	default:
		w.exact = w.exact && def.of != "Resource" && (e.url == "" || def.of == "Extension") && (e.id != "" || e.url != "" || len(e.children) > 0)
		w.object(e, typeDefs()[def.of])
	}
}

// isNumber tells a number as JSON writes it.
func isNumber(s string) bool {
	v := jsontext.Value(s)
	return v.Kind() == '0' && v.IsValid() && strings.TrimSpace(s) == s
}

// object writes attributes and children.
func (w *jsonWriter) object(e *xmlElement, def *typeDef) {
	w.out = append(w.out, '{')
	var written []string
	if e.id != "" {
		w.name("id")
		w.text(e.id)
		written = append(written, "id")
	}
	if e.url != "" {
		w.name("url")
		w.text(e.url)
		written = append(written, "url")
	}
	w.members(e, def, written...)
	w.out = append(w.out, '}')
}
