// Package fhir is the FHIR door: it turns AuditEvent resources into events and back, in JSON and in XML, tells what is wrong with
// them, and serves them over REST under /fhir (IHE ITI-20 FHIR feed, ITI-81).
//
// It owns the FHIR shapes from DSTU2 to R5, how FHIR writes what DICOM says, the rules of FHIR and BALP, the search syntax and the
// HTTP exchange. It does not own the log: it sees a hippad.Session and nothing behind it.
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
	isR5                     // an AuditEvent in which nothing was seen that R5 does not have, and something that R4 does not
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
// Of more than 65,536 repeated elements in one resource the first are taken, and Unreadable says so: whoever asks about a patient must learn that
// there may be others in it.
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
	if d.room < 0 {
		d.ev.Unreadable = "too many elements"
	}
	switch {
	case d.not&r4 == 0:
		return d.ev, isR4
	case d.not&r5 == 0:
		return d.ev, isR5
	}
	return d.ev, isOther
}

const auditEvent = "AuditEvent"

// maxElements bounds the agents, entities, codes, details and so on that one event is given, and with them what a body
// can make of the memory; those that come after are passed over. Real events have a few dozen, an export of a whole ward's records thousands.
const maxElements = 1 << 16

// releases is a set of those in which a resource may be shown as it was sent.
type releases uint8

const (
	r4 releases = 1 << iota
	r5
	every = r4 | r5
)

// decoder walks one resource. Every method consumes exactly one value, whatever its type, and does nothing after the
// first error, so that a field of the wrong type costs that field only.
type decoder struct {
	*jsontext.Decoder
	err     error
	at      int64    // where the text stopped being JSON
	room    int      // repeated elements that still find a place
	not     releases // those that do not have something that was seen
	concept bool     // among the codes read last was a CodeableConcept
	bare    bool     // among them was a Coding outside a CodeableConcept

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
		d.only(0)
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
		d.only(0)
		d.skip()
		return
	default:
		d.only(0)
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
		d.only(0)
		value, err := d.ReadValue()
		if err != nil {
			d.fail(err)
		}
		return string(value)
	default:
		d.only(0)
		d.skip()
		return ""
	}
}

// only notes that something was seen that no release but these has.
func (d *decoder) only(in releases) { d.not |= every &^ in }

func (d *decoder) member(name []byte) {
	switch string(name) {
	case "resourceType":
		d.resourceType = d.text()
	case "contained":
		d.each(d.containedResource)
	case "type":
		d.types = d.appendCodes(d.types, one, r4, 0)
	case "subtype":
		d.ev.Subtypes = d.appendCodes(d.ev.Subtypes, many, r4, 0)
	case "category":
		d.categories = d.appendCodes(d.categories, many, 0, r5)
	case "code":
		d.codes = d.appendCodes(d.codes, one, 0, r5)
	case "action":
		d.ev.Action = oneOf(actions, d.text())
	case "severity":
		d.only(r5)
		d.ev.Severity = oneOf(severities, d.text())
	case "period":
		d.only(r4)
		d.ev.Occurred = d.period()
	case "occurredPeriod":
		d.only(r5)
		d.ev.Occurred = d.period()
	case "occurredDateTime":
		d.only(r5)
		at := parseInstant(d.text())
		d.ev.Occurred = hippad.Period{Start: at, End: at}
	case "recorded":
		d.ev.Recorded = parseInstant(d.text())
	case "outcome":
		d.outcome()
	case "outcomeDesc":
		d.only(r4)
		d.ev.OutcomeDescription = d.text()
	case "purposeOfEvent":
		d.ev.Purposes = d.appendCodes(d.ev.Purposes, many, 0, r4)
	case "authorization":
		d.ev.Purposes = d.appendCodes(d.ev.Purposes, many, 0, r5)
	case "basedOn":
		d.only(r5)
		d.each(func() {
			if r := d.reference(); d.fits() {
				d.ev.BasedOn = append(d.ev.BasedOn, r.Reference)
			}
		})
	case "encounter":
		d.only(r5)
		d.ev.Encounter = d.reference().Reference
	case "patient":
		d.only(r5)
		if d.PeekKind() != '[' {
			d.patient()
			return
		}
		d.only(0)
		d.each(d.patient)
	case "agent":
		d.each(func() { d.ev.Agents = d.appendAgent(d.ev.Agents) })
	case "source":
		d.source()
	case "entity":
		d.each(d.entity)
	case "event", "participant", "object":
		d.memberDSTU2(name)
	default:
		d.skip()
	}
}

func (d *decoder) memberDSTU2(name []byte) {
	d.only(0)
	switch string(name) {
	case "participant":
		d.each(func() { d.ev.Agents = d.appendAgent(d.ev.Agents) })
	case "object":
		d.each(d.entity)
	default:
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
	}
}

func (d *decoder) patient() {
	if p := d.reference(); d.fits() {
		d.patients = append(d.patients, p)
	}
}

func (d *decoder) period() (p hippad.Period) {
	d.object(func(name []byte) {
		switch string(name) {
		case "start":
			p.Start = parseInstant(d.text())
		case "end":
			p.End = parseInstant(d.text())
		default:
			d.skip()
		}
	})
	return p
}

// outcome reads the code of R4 and earlier, the CodeableConcept of the R5 drafts and the element of R5.
func (d *decoder) outcome() {
	if d.PeekKind() != '{' {
		d.only(r4)
		d.ev.Outcome = outcomeCode(d.text())
		return
	}
	d.only(r5)
	var codes, details []hippad.Code
	d.object(func(name []byte) {
		switch string(name) {
		case "code":
			codes = d.appendCodes(codes, one, r5, 0)
		case "detail":
			details = d.appendCodes(details, many, 0, r5)
		case "coding":
			codes = d.appendCodes(codes, many, 0, 0)
		case "text":
			d.only(0)
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
	"2006-01-02 15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02", "2006-01", "2006"}

// parseInstant returns the point in time in UTC, zero if it is none. Without a zone it is taken as UTC; a date is its beginning.
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
