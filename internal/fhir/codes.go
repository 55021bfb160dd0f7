package fhir

import "hippad"

// one and many tell an element that may repeat, and is an array, from one that may not.
const one, many = false, true

// appendCodes reads an element of codes: a Coding, a CodeableConcept, a bare code or an array of any of them. Each coding of a
// CodeableConcept becomes a Code; one that has text only becomes a Code with that Display. The element is a Coding in some
// releases and a CodeableConcept in others.
func (d *decoder) appendCodes(codes []hippad.Code, repeats bool, coding, concept releases) []hippad.Code {
	if d.err != nil {
		return codes
	}
	d.only(coding | concept)
	if isArray := d.PeekKind() == '['; isArray != repeats {
		d.only(0)
	}
	d.concept, d.bare = false, false
	codes = d.appendAnyCodes(codes)
	if d.concept {
		d.only(concept)
	}
	if d.bare {
		d.only(coding)
	}
	return codes
}

func (d *decoder) appendAnyCodes(codes []hippad.Code) []hippad.Code {
	switch d.PeekKind() {
	case '[':
		d.each(func() {
			if d.PeekKind() == '[' {
				d.only(0)
			}
			codes = d.appendAnyCodes(codes)
		})
		return codes
	case '{':
	default:
		d.only(0)
		if s := d.text(); s != "" && d.fits() {
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
			d.bare, c.System = true, systemName(d.text())
		case "code":
			d.bare, c.Code = true, d.text()
		case "display":
			d.bare, c.Display = true, d.text()
		case "coding":
			if d.PeekKind() != '[' {
				d.only(0)
			}
			outside := d.bare
			codes = d.appendAnyCodes(codes)
			d.concept, d.bare = true, outside
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

// first returns the only code where hippad.Event has one.
func first(codes []hippad.Code) hippad.Code {
	if len(codes) == 0 {
		return hippad.Code{}
	}
	return codes[0]
}

// code reads an element that is one code: what hippad.Event has no room for is passed over.
func (d *decoder) code(coding, concept releases) hippad.Code {
	var room [4]hippad.Code
	return first(d.appendCodes(room[:0], one, coding, concept))
}
