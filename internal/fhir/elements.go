package fhir

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"strings"

	"hippad"
)

// A reference as it stands in the resource.
type reference struct {
	hippad.Reference
	idType       hippad.Code // identifier.type
	resourceType string      // type (R4)
}

var patientRole = hippad.Code{System: systemObjectRole, Code: "1", Display: "Patient"}

// appendCodes reads a Coding, a CodeableConcept, a bare code or an array of any of them. Each coding of a
// CodeableConcept becomes a Code; one that has text only becomes a Code with that Display.
func (d *decoder) appendCodes(codes []hippad.Code) []hippad.Code {
	if d.err != nil {
		return codes
	}
	switch d.PeekKind() {
	case '[':
		d.each(func() { codes = d.appendCodes(codes) })
		return codes
	case '{':
	default:
		if s := d.text(); s != "" && d.fits() {
			d.bare = true
			codes = append(codes, hippad.Code{Code: s})
		}
		return codes
	}
	var c hippad.Code
	var text string
	before := len(codes)
	d.object(func(name []byte) {
		switch string(name) {
		case "system":
			d.bare, c.System = true, d.text()
		case "code":
			d.bare, c.Code = true, d.text()
		case "display":
			d.bare, c.Display = true, d.text()
		case "coding":
			codes = d.appendCodes(codes)
			d.concept, d.bare = true, false
		case "text":
			d.concept, text = true, d.text()
		default:
			d.skip()
		}
	})
	if c == (hippad.Code{}) && len(codes) == before {
		c.Display = text
	}
	if c != (hippad.Code{}) && d.fits() {
		codes = append(codes, c)
	}
	return codes
}

// appendCodings reads what R4 has as Coding.
func (d *decoder) appendCodings(codes []hippad.Code) []hippad.Code {
	d.concept = false
	codes = d.appendCodes(codes)
	d.foreign = d.foreign || d.concept
	return codes
}

// appendConcepts reads what R4 has as CodeableConcept.
func (d *decoder) appendConcepts(codes []hippad.Code) []hippad.Code {
	d.bare = false
	codes = d.appendCodes(codes)
	d.foreign = d.foreign || d.bare
	return codes
}

// first returns the only code where hippad.Event has one.
func first(codes []hippad.Code) hippad.Code {
	if len(codes) == 0 {
		return hippad.Code{}
	}
	return codes[0]
}

func (d *decoder) coding() hippad.Code { return first(d.appendCodings(nil)) }

// identifier reads an Identifier, or a bare string as its value.
func (d *decoder) identifier() (id hippad.Identifier, idType hippad.Code) {
	if d.err != nil {
		return
	}
	if d.PeekKind() != '{' {
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
			idType = first(d.appendConcepts(nil))
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

// join adds what r says to a reference whose identifier DSTU2 and STU3 have in an element of its own.
func join(to *hippad.Reference, r hippad.Reference) {
	if r.Identifier.IsZero() {
		r.Identifier = to.Identifier
	}
	*to = r
}

func (d *decoder) agent() {
	var a hippad.Agent
	absent := false
	is := d.object(func(name []byte) {
		switch string(name) {
		case "who":
			join(&a.Who, d.reference().Reference)
		case "reference": // DSTU2, STU3
			d.foreign = true
			join(&a.Who, d.reference().Reference)
		case "userId": // DSTU2, STU3
			d.foreign = true
			a.Who.Identifier, _ = d.identifier()
		case "altId":
			a.AltID = d.text()
		case "name":
			a.Name = d.text()
		case "requestor":
			a.Requestor = d.text2bool()
		case "type":
			// DICOM's RoleIDCode stands behind agent.type and agent.role alike: further codings of the type are roles.
			if types := d.appendConcepts(nil); len(types) > 0 {
				a.Type, a.Roles = types[0], append(a.Roles, types[1:]...)
			}
		case "role":
			a.Roles = d.appendConcepts(a.Roles)
		case "media":
			a.Media = d.coding()
		case "location":
			a.Location = d.reference().Reference
		case "policy":
			d.each(func() {
				if s := d.text(); s != "" && d.fits() {
					a.Policies = append(a.Policies, s)
				}
			})
		case "purposeOfUse":
			a.Purposes = d.appendConcepts(a.Purposes)
		case "authorization": // R5
			d.foreign = true
			a.Purposes = d.appendConcepts(a.Purposes)
		case "network", "networkString", "networkUri", "networkReference":
			d.network(&a, string(name))
		case "extension":
			absent = d.agentExtensions(&a)
		default:
			d.skip()
		}
	})
	if is && !(absent && reflect.ValueOf(a).IsZero()) && d.fits() {
		d.ev.Agents = append(d.ev.Agents, a)
	}
}

// network reads the object of R4 and earlier, and the choice of types of R5.
func (d *decoder) network(a *hippad.Agent, name string) {
	switch name {
	case "networkString":
		d.foreign = true
		a.Address = d.text()
	case "networkUri":
		d.foreign = true
		a.Address, a.AddressType = d.text(), "5"
	case "networkReference":
		d.foreign = true
		r := d.reference()
		for _, s := range []string{r.Display, r.Identifier.Value, r.Literal} {
			if s != "" {
				a.Address = s
				break
			}
		}
	default:
		if d.PeekKind() == '"' {
			d.foreign = true
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

func (d *decoder) source() {
	s := &d.ev.Source
	d.object(func(name []byte) {
		switch string(name) {
		case "observer":
			join(&s.Observer, d.reference().Reference)
		case "identifier": // DSTU2, STU3
			d.foreign = true
			s.Observer.Identifier, _ = d.identifier()
		case "site":
			if d.PeekKind() != '{' {
				s.Site = d.text()
				return
			}
			d.foreign = true // R5
			r := d.reference()
			for _, site := range []string{r.Display, r.Identifier.Value, r.Literal} {
				if site != "" {
					s.Site = site
					break
				}
			}
		case "type":
			s.Types = d.appendCodings(s.Types)
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
			d.foreign = true
			take(d.reference())
		case "identifier": // DSTU2, STU3
			d.foreign = true
			n.What.Identifier, n.IDType = d.identifier()
		case "type":
			n.Type = d.coding()
		case "role":
			n.Role = d.coding()
		case "lifecycle":
			n.Lifecycle = d.coding()
		case "securityLabel":
			n.Labels = d.appendCodings(n.Labels)
		case "name":
			n.Name = d.text()
		case "description":
			n.Description = d.text()
		case "query":
			n.Query = decodeBase64(d.text())
		case "detail":
			d.each(func() { d.detail(&n) })
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
	d.ev.Entities = append(d.ev.Entities, n)
}

// detail reads type and value[x]. A value of a type with parts is taken as it is written.
func (d *decoder) detail(n *hippad.Entity) {
	var t hippad.Detail
	is := d.object(func(name []byte) {
		switch {
		case string(name) == "type":
			if d.PeekKind() == '{' {
				d.foreign = true // R5
				t.Type = words(first(d.appendCodes(nil)))
				return
			}
			t.Type = d.text()
		case string(name) == "valueBase64Binary":
			t.Value = decodeBase64(d.text())
		case string(name) == "value": // DSTU2, STU3
			d.foreign = true
			t.Value = decodeBase64(d.text())
		case bytes.HasPrefix(name, []byte("value")):
			d.foreign = d.foreign || string(name) != "valueString"
			t.Value = d.raw()
		default:
			d.skip()
		}
	})
	if is && d.fits() {
		n.Details = append(n.Details, t)
	}
}

// raw returns the text of a string, number or boolean, and the JSON of anything else.
func (d *decoder) raw() []byte {
	if d.err != nil {
		return nil
	}
	switch d.PeekKind() {
	case '{', '[':
		value, err := d.ReadValue()
		if err != nil {
			d.fail(err)
		}
		return bytes.Clone(value)
	}
	if s := d.text(); s != "" {
		return []byte(s)
	}
	return nil
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
