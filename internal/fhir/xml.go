package fhir

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

const (
	namespaceXHTML = "http://www.w3.org/1999/xhtml"
	maxXMLDepth    = 64
	maxXMLElements = 100_000 // of a resource; Read looks at fewer
)

var (
	errXMLDepth    = errors.New("elements are nested too deeply")
	errXMLElements = errors.New("there are too many elements")
	errXMLRoot     = errors.New("there is not exactly one root element")
)

// ReadXML reads one FHIR AuditEvent in XML, as Read reads one in JSON: it is turned into JSON without knowing the types,
// which Read does not insist on. An element that stands alone may be an array there, and every value is a string. Never
// fails; Unreadable otherwise.
func ReadXML(body []byte) hippad.Event {
	root, err := parseXML(body)
	switch {
	case errors.Is(err, errXMLDepth), errors.Is(err, errXMLElements):
		return hippad.Event{Unreadable: "FHIR XML: " + err.Error()}
	case err != nil: // what encoding/xml says may quote the body
		return hippad.Event{Unreadable: "FHIR XML is not well-formed"}
	}
	var text bytes.Buffer
	// A value with a byte that is not UTF-8 does not come this far: the XML decoder refuses it.
	if err := root.resource(jsontext.NewEncoder(&text)); err != nil {
		return hippad.Event{Unreadable: "FHIR XML cannot be read as JSON"}
	}
	return Read(text.Bytes())
}

// An xmlElement is one element of a FHIR resource.
type xmlElement struct {
	name     string
	value    string // of the attribute value
	isValue  bool   // there is one: a primitive
	url      string // of an extension
	children []*xmlElement
}

// parseXML reads a document. Narrative is left out, as is everything else that is not an element or an attribute: FHIR XML has
// no other content.
func parseXML(body []byte) (*xmlElement, error) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	var root *xmlElement
	var open []*xmlElement
	for elements := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if root == nil {
				return nil, errXMLRoot
			}
			return root, nil
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
				continue
			}
			if elements++; elements > maxXMLElements {
				return nil, errXMLElements
			}
			if len(open) == maxXMLDepth {
				return nil, errXMLDepth
			}
			e := newXMLElement(t)
			switch {
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.children = append(parent.children, e)
			case root != nil:
				return nil, errXMLRoot
			default:
				root = e
			}
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
}

func newXMLElement(t xml.StartElement) *xmlElement {
	e := &xmlElement{name: t.Name.Local}
	for _, a := range t.Attr {
		if a.Name.Space != "" {
			continue
		}
		switch a.Name.Local {
		case "value":
			e.value, e.isValue = a.Value, true
		case "url":
			e.url = a.Value
		}
	}
	return e
}

// resource writes the element as a resource, whose type is its name.
func (e *xmlElement) resource(to *jsontext.Encoder) error {
	return e.object(to, "resourceType", e.name)
}

// json writes what the element holds: a string, a contained resource, or an object.
func (e *xmlElement) json(to *jsontext.Encoder) error {
	switch {
	case e.isValue:
		return to.WriteToken(jsontext.String(e.value))
	case e.name == "contained" && len(e.children) == 1:
		return e.children[0].resource(to)
	case e.url != "":
		return e.object(to, "url", e.url)
	}
	return e.object(to, "", "")
}

// object writes the children by name, those of one name as an array, and in front of them one member if it has a name.
func (e *xmlElement) object(to *jsontext.Encoder, name, value string) error {
	var order []string
	by := map[string][]*xmlElement{}
	for _, c := range e.children {
		if c.name == name {
			continue
		}
		if by[c.name] == nil {
			order = append(order, c.name)
		}
		by[c.name] = append(by[c.name], c)
	}
	err := to.WriteToken(jsontext.BeginObject)
	if name != "" {
		err = errors.Join(err, to.WriteToken(jsontext.String(name)), to.WriteToken(jsontext.String(value)))
	}
	for _, n := range order {
		err = errors.Join(err, to.WriteToken(jsontext.String(n)))
		if len(by[n]) > 1 {
			err = errors.Join(err, to.WriteToken(jsontext.BeginArray))
		}
		for _, c := range by[n] {
			err = errors.Join(err, c.json(to))
		}
		if len(by[n]) > 1 {
			err = errors.Join(err, to.WriteToken(jsontext.EndArray))
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(err, to.WriteToken(jsontext.EndObject))
}
