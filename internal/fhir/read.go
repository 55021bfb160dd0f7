// Package fhir is the FHIR door: it turns AuditEvent resources into events and back, and serves them over REST under
// /fhir (IHE ITI-20 FHIR feed, ITI-81).
//
// It owns the FHIR shapes from DSTU2 to R5, the names that FHIR and DICOM have for the same code system, the search
// syntax and the HTTP exchange. It does not own the log: it sees a hippad.Session and nothing behind it. It reads XML
// (ReadXML) but neither takes nor gives it over REST.
//
// The invariant: a body is handed to the session byte for byte, or refused in so many words; an answer of 201 is
// written only after the session says that the report is durable.
package fhir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

// A verdict says what a body turned out to be.
type verdict uint8

const (
	isR4      verdict = iota // an AuditEvent in which nothing was seen that R4 does not have
	isOther                  // an AuditEvent of another release, or a mixture of several
	notJSON                  // no JSON text, or something behind it; duplicate names and invalid UTF-8 count
	notObject                // JSON, but not an object
	noType                   // an object without resourceType
	wrongType                // another resource
)

// Read makes an event from one FHIR AuditEvent in JSON. The release, DSTU2 to R5 with the drafts between them, is told
// by the shape of each element, not declared; elements that hippad.Event has no field for are passed over, a missing or
// mistyped element costs that element only. Unreadable is set for a body that is not strict JSON (RFC 7493: no
// duplicate names, valid UTF-8; at most 10,000 levels), not an object, or not a resource of type AuditEvent.
//
// Of more than 10,000 repeated elements in one resource the first 10,000 are taken.
//
// Purposes holds those of the event and of every agent. The patient element of R5 becomes an entity in the role of
// patient. A reference to a contained resource is replaced by that resource's identifier: it means nothing outside.
func Read(body []byte) hippad.Event {
	ev, _ := read(body)
	return ev
}

var bom = []byte("\xef\xbb\xbf")

func read(body []byte) (hippad.Event, verdict) {
	text := bytes.TrimPrefix(body, bom)
	d := newDecoder(text)
	if kind := d.PeekKind(); kind != '{' && kind != 0 {
		if d.skip(); d.end() {
			return hippad.Event{Unreadable: "not a JSON object"}, notObject
		}
	}
	d.object(d.member)
	if !d.end() {
		at := int64(len(body)-len(text)) + d.at
		if d.resourceType == auditEvent {
			d.finish()
		} else {
			d.ev = hippad.Event{}
		}
		d.ev.Unreadable = fmt.Sprintf("not JSON at byte %d", at)
		return d.ev, notJSON
	}
	switch d.resourceType {
	case auditEvent:
	case "":
		d.finish()
		d.ev.Unreadable = "resourceType is missing"
		return d.ev, noType
	default:
		return hippad.Event{Unreadable: "resourceType is not AuditEvent"}, wrongType
	}
	d.finish()
	if d.foreign {
		return d.ev, isOther
	}
	return d.ev, isR4
}

const auditEvent = "AuditEvent"

// maxElements bounds the agents, entities, codes, details and so on that one event is given, and with them what a body
// can make of the memory; those that come after are passed over. Real events have a few dozen.
const maxElements = 10_000

// decoder walks one resource. Every method consumes exactly one value, whatever its type, and does nothing after the
// first error, so that a field of the wrong type costs that field only.
type decoder struct {
	*jsontext.Decoder
	err     error
	at      int64 // where the text stopped being JSON
	room    int   // repeated elements that still find a place
	foreign bool  // something was seen that R4 does not have
	concept bool  // the code read last was a CodeableConcept
	bare    bool  // the code read last was a Coding outside a CodeableConcept

	ev           hippad.Event
	resourceType string
	types        []hippad.Code // type, event.type
	categories   []hippad.Code // R5 category
	codes        []hippad.Code // R5 code
	patients     []reference   // R5 patient
	contained    map[string]contained
}

// A contained resource, as far as a reference to it can use it.
type contained struct {
	resourceType string
	identifier   hippad.Identifier
}

func newDecoder(text []byte) decoder {
	return decoder{Decoder: jsontext.NewDecoder(bytes.NewBuffer(text)), room: maxElements}
}

// fail keeps the first error and the byte that it is about. The library's own message may quote the text.
func (d *decoder) fail(err error) {
	if d.err != nil {
		return
	}
	d.err, d.at = err, d.InputOffset()
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		d.at = syntax.ByteOffset
	}
}

// fits tells whether one more repeated element finds a place.
func (d *decoder) fits() bool {
	d.room--
	return d.room >= 0
}

func (d *decoder) skip() {
	if d.err == nil {
		if err := d.SkipValue(); err != nil {
			d.fail(err)
		}
	}
}

// end tells whether the text was one JSON value and nothing else.
func (d *decoder) end() bool {
	if d.err == nil {
		at := d.InputOffset()
		if _, err := d.ReadToken(); err == nil {
			d.fail(errors.New("more than one value"))
			d.at = at
		} else if err != io.EOF {
			d.fail(err)
		}
	}
	return d.err == nil
}

// object calls member for every member of an object, with its value up next, and tells whether it was an object. The
// name is valid until the value is read.
func (d *decoder) object(member func(name []byte)) bool {
	if d.err != nil {
		return false
	}
	if d.PeekKind() != '{' {
		d.foreign = true
		d.skip()
		return false
	}
	if _, err := d.ReadToken(); err != nil {
		d.fail(err)
		return false
	}
	for d.err == nil && d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			d.fail(err)
			break
		}
		if bytes.IndexByte(name, '\\') < 0 {
			member(name[1 : len(name)-1])
		} else if name, err = jsontext.AppendUnquote(nil, name); err == nil {
			member(name)
		} else {
			d.fail(err)
		}
	}
	if d.err == nil {
		if _, err := d.ReadToken(); err != nil {
			d.fail(err)
		}
	}
	return true
}

// each calls element for every element of an array, or once for a value that stands where an array should.
func (d *decoder) each(element func()) {
	if d.err != nil {
		return
	}
	switch d.PeekKind() {
	case '[':
	case 'n':
		d.skip()
		return
	default:
		d.foreign = true
		element()
		return
	}
	if _, err := d.ReadToken(); err != nil {
		d.fail(err)
		return
	}
	for d.err == nil && d.PeekKind() != ']' {
		element()
	}
	if d.err == nil {
		if _, err := d.ReadToken(); err != nil {
			d.fail(err)
		}
	}
}

// text reads a string. A number or a boolean in its place is taken as written; anything else is empty.
func (d *decoder) text() string {
	if d.err != nil {
		return ""
	}
	switch kind := d.PeekKind(); kind {
	case '"':
		value, err := d.ReadValue()
		if err != nil {
			d.fail(err)
			return ""
		}
		if bytes.IndexByte(value, '\\') < 0 {
			return known(value[1 : len(value)-1])
		}
		if value, err = jsontext.AppendUnquote(nil, value); err != nil {
			d.fail(err)
		}
		return string(value)
	case '0', 't', 'f':
		d.foreign = true
		value, err := d.ReadValue()
		if err != nil {
			d.fail(err)
		}
		return string(value)
	default:
		d.foreign = d.foreign || kind != 'n'
		d.skip()
		return ""
	}
}

func (d *decoder) member(name []byte) {
	switch string(name) {
	case "resourceType":
		d.resourceType = d.text()
	case "contained":
		d.each(d.containedResource)
	case "type":
		d.types = d.appendCodings(d.types)
	case "subtype":
		d.ev.Subtypes = d.appendCodings(d.ev.Subtypes)
	case "category":
		d.foreign = true
		d.categories = d.appendCodes(d.categories)
	case "code":
		d.foreign = true
		d.codes = d.appendCodes(d.codes)
	case "action":
		d.ev.Action = oneOf(actions, d.text())
	case "recorded":
		d.ev.Recorded = parseInstant(d.text())
	case "outcome":
		d.outcome()
	case "outcomeDesc":
		d.ev.OutcomeDescription = d.text()
	case "purposeOfEvent":
		d.ev.Purposes = d.appendConcepts(d.ev.Purposes)
	case "authorization":
		d.foreign = true
		d.ev.Purposes = d.appendConcepts(d.ev.Purposes)
	case "event": // DSTU2
		d.foreign = true
		d.object(func(name []byte) {
			switch string(name) {
			case "dateTime":
				d.ev.Recorded = parseInstant(d.text())
			case "type", "subtype", "action", "outcome", "outcomeDesc", "purposeOfEvent":
				d.member(name)
			default:
				d.skip()
			}
		})
	case "agent":
		d.each(d.agent)
	case "participant": // DSTU2
		d.foreign = true
		d.each(d.agent)
	case "source":
		d.source()
	case "entity":
		d.each(d.entity)
	case "object": // DSTU2
		d.foreign = true
		d.each(d.entity)
	case "patient":
		d.foreign = true
		d.each(func() {
			if p := d.reference(); d.fits() {
				d.patients = append(d.patients, p)
			}
		})
	case "occurredDateTime", "occurredPeriod", "severity", "basedOn", "encounter": // R5
		d.foreign = true
		d.skip()
	default:
		d.skip()
	}
}

// outcome reads the code of R4 and earlier, the CodeableConcept of the R5 drafts and the element of R5.
func (d *decoder) outcome() {
	if d.PeekKind() != '{' {
		d.ev.Outcome = outcomeCode(d.text())
		return
	}
	d.foreign = true
	var codes, details []hippad.Code
	d.object(func(name []byte) {
		switch string(name) {
		case "code", "coding":
			codes = d.appendCodes(codes)
		case "detail":
			details = d.appendCodes(details)
		case "text":
			details = append(details, hippad.Code{Display: d.text()})
		default:
			d.skip()
		}
	})
	for _, c := range codes {
		if d.ev.Outcome = outcomeCode(c.Code); d.ev.Outcome != "" {
			break
		}
	}
	for _, c := range details {
		if d.ev.OutcomeDescription == "" {
			d.ev.OutcomeDescription = words(c)
		}
	}
}

// outcomeCode returns 0, 4, 8, 12 for those and for the issue-severity codes to which R5 binds outcome.code.
func outcomeCode(s string) string {
	switch s {
	case "success", "information":
		return "0"
	case "warning":
		return "4"
	case "error":
		return "8"
	case "fatal":
		return "12"
	}
	return oneOf(outcomes, s)
}

// words returns what a code says to people.
func words(c hippad.Code) string {
	if c.Display != "" {
		return c.Display
	}
	return c.Code
}

// instants are the forms of a point in time, the usual one first. Each takes any number of fraction digits.
var instants = [...]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02"}

// parseInstant returns the point in time in UTC, zero if it is none. Without a zone it is taken as UTC.
func parseInstant(s string) time.Time {
	s = strings.TrimSpace(s)
	for _, layout := range instants {
		if t, err := time.Parse(layout, s); err == nil {
			if t = t.UTC(); t.Year() >= 1 && t.Year() <= 9999 {
				return t
			}
			return time.Time{}
		}
	}
	return time.Time{}
}
