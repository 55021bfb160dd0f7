package fhir

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

// A reference as it stands in the resource.
type reference struct {
	hippad.Reference
	idType       hippad.Code // identifier.type
	resourceType string      // type (R4)
}

var patientRole = hippad.Code{System: hippad.SystemObjectRole, Code: "1", Display: "Patient"}

// identifier reads an Identifier, or a bare string as its value.
func (d *decoder) identifier() (id hippad.Identifier, idType hippad.Code) {
	if d.err != nil {
		return
	}
	if d.PeekKind() != '{' {
		d.only(0)
		id.Value = d.text()
		return
	}
	d.object(func(name []byte) {
		switch string(name) {
		case "system":
			id.System = d.text()
		case "value":
			id.Value = d.text()
		case "type":
			idType = d.code(0, every)
		default:
			d.skip()
		}
	})
	return
}

// reference reads a Reference, or a bare string as the literal one.
func (d *decoder) reference() (r reference) {
	if d.err != nil {
		return
	}
	if d.PeekKind() != '{' {
		d.only(0)
		r.Literal = d.text()
		return
	}
	d.object(func(name []byte) {
		switch string(name) {
		case "reference":
			r.Literal = d.text()
		case "identifier":
			r.Identifier, r.idType = d.identifier()
		case "display":
			r.Display = d.text()
		case "type":
			r.resourceType = d.text()
		default:
			d.skip()
		}
	})
	return
}

// takeWho puts a reference where the agent has it.
func takeWho(a *hippad.Agent, r reference) {
	join(&a.Who, r.Reference)
	if r.idType != (hippad.Code{}) {
		a.IDType = r.idType
	}
}

// join adds what r says to a reference whose identifier DSTU2 and STU3 have in an element of its own.
func join(to *hippad.Reference, r hippad.Reference) {
	if r.Identifier.IsZero() {
		r.Identifier = to.Identifier
	}
	*to = r
}

// usual is how many agents, and how many entities, an event seldom has more of: room that is made at once.
const usual = 3

func (d *decoder) appendAgent(agents []hippad.Agent) []hippad.Agent {
	var a hippad.Agent
	absent := false
	is := d.object(func(name []byte) {
		switch string(name) {
		case "who":
			takeWho(&a, d.reference())
		case "reference": // DSTU2, STU3
			d.only(0)
			takeWho(&a, d.reference())
		case "userId": // DSTU2, STU3
			d.only(0)
			a.Who.Identifier, a.IDType = d.identifier()
		case "altId":
			d.only(r4)
			a.AltID = d.text()
		case "name":
			d.only(r4)
			a.Name = d.text()
		case "requestor":
			a.Requestor = d.text2bool()
		case "type":
			// DICOM's RoleIDCode stands behind agent.type and agent.role alike: further codings of the type are roles.
			var room [4]hippad.Code
			if types := d.appendCodes(room[:0], one, 0, every); len(types) > 0 {
				a.Type, a.Roles = types[0], append(a.Roles, types[1:]...)
			}
		case "role":
			a.Roles = d.appendCodes(a.Roles, many, 0, every)
		case "media":
			a.Media = d.code(r4, 0)
		case "location":
			a.Location = d.reference().Reference
		case "policy":
			d.each(func() {
				if s := d.text(); s != "" && d.fits() {
					a.Policies = append(a.Policies, s)
				}
			})
		case "purposeOfUse":
			a.Purposes = d.appendCodes(a.Purposes, many, 0, r4)
		case "authorization":
			a.Purposes = d.appendCodes(a.Purposes, many, 0, r5)
		case "network", "networkString", "networkUri", "networkReference":
			d.network(&a, string(name))
		case "extension":
			absent = d.agentExtensions(&a)
		default:
			d.skip()
		}
	})
	if !is || absent && reflect.ValueOf(a).IsZero() || !d.fits() {
		return agents
	}
	if agents == nil {
		agents = make([]hippad.Agent, 0, usual)
	}
	return append(agents, a)
}

// network reads the object of R4 and earlier, and the choice of types of R5.
func (d *decoder) network(a *hippad.Agent, name string) {
	switch name {
	case "networkString":
		d.only(r5)
		a.Address = d.text()
	case "networkUri":
		d.only(r5)
		a.Address, a.AddressType = d.text(), "5"
	case "networkReference":
		d.only(r5)
		a.Address = nameOf(d.reference().Reference)
	default:
		d.only(r4)
		if d.PeekKind() != '{' {
			d.only(0)
			a.Address = d.text()
			return
		}
		d.object(func(name []byte) {
			switch string(name) {
			case "address":
				a.Address = d.text()
			case "type":
				a.AddressType = oneOf(addressTypes, d.text())
			default:
				d.skip()
			}
		})
	}
}

// nameOf returns the best text for what is pointed at.
func nameOf(r hippad.Reference) string {
	switch {
	case r.Display != "":
		return r.Display
	case r.Identifier.Value != "":
		return r.Identifier.Value
	}
	return r.Literal
}

func (d *decoder) source() {
	s := &d.ev.Source
	d.object(func(name []byte) {
		switch string(name) {
		case "observer":
			join(&s.Observer, d.reference().Reference)
		case "identifier": // DSTU2, STU3
			d.only(0)
			s.Observer.Identifier, _ = d.identifier()
		case "site":
			if d.PeekKind() == '{' {
				d.only(r5)
				s.Site = nameOf(d.reference().Reference)
			} else {
				d.only(r4)
				s.Site = d.text()
			}
		case "type":
			s.Types = d.appendCodes(s.Types, many, r4, r5)
		default:
			d.skip()
		}
	})
}

func (d *decoder) entity() {
	var n hippad.Entity
	var resourceType string
	take := func(r reference) {
		join(&n.What, r.Reference)
		resourceType = r.resourceType
		if r.idType != (hippad.Code{}) {
			n.IDType = r.idType
		}
	}
	is := d.object(func(name []byte) {
		switch string(name) {
		case "what":
			take(d.reference())
		case "reference": // DSTU2, STU3
			d.only(0)
			take(d.reference())
		case "identifier": // DSTU2, STU3
			d.only(0)
			n.What.Identifier, n.IDType = d.identifier()
		case "type":
			n.Type = d.code(r4, 0)
		case "role":
			n.Role = d.code(r4, r5)
		case "lifecycle":
			n.Lifecycle = d.code(r4, 0)
		case "securityLabel":
			n.Labels = d.appendCodes(n.Labels, many, r4, r5)
		case "name":
			d.only(r4)
			n.Name = d.text()
		case "description":
			d.only(r4)
			n.Description = d.text()
		case "query":
			n.Query = decodeBase64(d.text())
		case "detail":
			d.each(func() { d.detail(&n) })
		case "agent":
			d.only(r5)
			d.each(func() { n.Agents = d.appendAgent(n.Agents) })
		case "extension":
			d.entityExtensions(&n)
		default:
			d.skip()
		}
	})
	if !is || !d.fits() {
		return
	}
	// A reference that says "a Patient" by its type alone, with an identifier only, names the patient all the same.
	if resourceType == "Patient" && n.Role == (hippad.Code{}) && !n.What.IsPatient() {
		n.Role = patientRole
	}
	if d.ev.Entities == nil {
		d.ev.Entities = make([]hippad.Entity, 0, usual)
	}
	d.ev.Entities = append(d.ev.Entities, n)
}

// detail reads type and value[x]. A value of a type with parts is kept as JSON, its members in the order of their names.
func (d *decoder) detail(n *hippad.Entity) {
	var t hippad.Detail
	is := d.object(func(name []byte) {
		switch {
		case string(name) == "type":
			if d.PeekKind() == '{' {
				t.Type = words(d.code(0, r5))
				return
			}
			d.only(r4)
			t.Type = d.text()
		case string(name) == "valueString":
			t.Value = []byte(d.text())
		case string(name) == "valueBase64Binary":
			t.Value = decodeBase64(d.text())
		case string(name) == "value": // DSTU2, STU3
			d.only(0)
			t.Value = decodeBase64(d.text())
		case bytes.HasPrefix(name, []byte("value")):
			d.only(r5)
			t.Value = d.raw()
		default:
			d.skip()
		}
	})
	if len(t.Value) == 0 {
		t.Value = nil
	}
	if is && d.fits() {
		n.Details = append(n.Details, t)
	}
}

// raw returns the text of a string, number or boolean, and the JSON of anything else.
func (d *decoder) raw() []byte {
	if d.err != nil {
		return nil
	}
	kind := d.PeekKind()
	if kind == '"' {
		return []byte(d.text())
	}
	value, err := d.ReadValue()
	if err != nil {
		d.fail(err)
		return nil
	}
	switch kind {
	case 'n':
		return nil
	case '{', '[':
		ordered, err := jsontext.AppendFormat(nil, value, jsontext.ReorderRawObjects(true))
		if err != nil {
			return bytes.Clone(value)
		}
		return ordered
	}
	return bytes.Clone(value)
}

// text2bool reads a boolean, or the word for it.
func (d *decoder) text2bool() bool {
	if d.err != nil {
		return false
	}
	switch d.PeekKind() {
	case 't', 'f':
		value, err := d.ReadToken()
		if err != nil {
			d.fail(err)
			return false
		}
		return value.Bool()
	}
	d.only(0)
	return d.text() == "true"
}

// agentExtensions tells whether the extensions say that the agent's data is absent, and finds the alternative user id
// that R5 has moved to one.
func (d *decoder) agentExtensions(a *hippad.Agent) (absent bool) {
	d.each(func() {
		var url string
		var id hippad.Identifier
		d.object(func(name []byte) {
			switch string(name) {
			case "url":
				url = d.text()
			case "valueIdentifier":
				id, _ = d.identifier()
			default:
				d.skip()
			}
		})
		absent = absent || url == dataAbsentReason
		if url == alternativeUserID && a.AltID == "" {
			a.AltID = id.Value
		}
	})
	return absent
}

// entityExtensions finds the lifecycle, which R5 has moved to one.
func (d *decoder) entityExtensions(n *hippad.Entity) {
	d.each(func() {
		var url string
		var c hippad.Code
		d.object(func(name []byte) {
			switch string(name) {
			case "url":
				url = d.text()
			case "valueCodeableConcept":
				c = d.code(0, every)
			default:
				d.skip()
			}
		})
		if url == entityLifecycle && n.Lifecycle == (hippad.Code{}) {
			n.Lifecycle = c
		}
	})
}

// containedResource keeps what a local reference can be resolved to: the first identifier.
func (d *decoder) containedResource() {
	var id string
	var c contained
	d.object(func(name []byte) {
		switch string(name) {
		case "resourceType":
			c.resourceType = d.text()
		case "id":
			id = d.text()
		case "identifier":
			d.each(func() {
				if identifier, _ := d.identifier(); c.identifier.Value == "" {
					c.identifier = identifier
				}
			})
		default:
			d.skip()
		}
	})
	if id == "" || (c.identifier.IsZero() && c.resourceType != "Patient") || !d.fits() {
		return
	}
	if d.contained == nil {
		d.contained = make(map[string]contained)
	}
	d.contained[id] = c
}

// decodeBase64 decodes either alphabet, with or without padding and white space. What is not base64 is kept as it is.
func decodeBase64(s string) []byte {
	if s == "" {
		return nil
	}
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b
	}
	bare := strings.TrimRight(strings.Join(strings.Fields(s), ""), "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(bare); err == nil {
			return b
		}
	}
	return []byte(s)
}
