package atna

import (
	"fmt"
	"strings"

	"hippad"
)

// What a message of nothing but empty participants, or of codes and details, costs in memory is bounded. The second leaves room
// for the instances of the largest study.
const (
	maxParticipants = 1 << 16
	maxValues       = 1 << 18
)

// maxParts bounds how many pieces of text are joined into one description.
const maxParts = 64

// ReadXML reads an AuditMessage (DICOM PS3.15 A.5, RFC 3881) in any dialect, or the IHEYr4 message that preceded both. It never
// fails. A message that leaves out what the schemas require is an event like any other. One that is not well-formed, or cut, is
// Unreadable with the fields that were read up to there and, after a fault whose meaning is plain, beyond it: the
// repository should still find it by patient (IHE ITI TF-2 3.20.4.1.2.1.2).
func ReadXML(body []byte) hippad.Event { return readXML(string(body)) }

func readXML(body string) hippad.Event {
	text, encoding := document(body)
	switch {
	case text == "":
		return hippad.Event{Unreadable: "empty message"}
	case text[0] != '<':
		return hippad.Event{Unreadable: "not XML"}
	}
	r := reader{scanner: scanner{s: text}}
	r.read()
	r.repeat() // of an entity that the document breaks off in
	switch {
	case r.reason != "":
		r.ev.Unreadable = r.reason
	case encoding != "":
		r.ev.Unreadable = encoding
	case r.fault == "":
	case r.fault == faultTruncated:
		r.ev.Unreadable = faultTruncated
	case r.fault == faultDepth, r.fault == faultAttributes, r.fault == faultSubset, r.fault == faultElements:
		r.ev.Unreadable = fmt.Sprintf("XML is refused at byte %d: %s", r.where, r.fault)
	default:
		r.ev.Unreadable = fmt.Sprintf("XML is not well-formed at byte %d: %s", r.where, r.fault)
	}
	return r.ev
}

// A place is what an element is to the reader.
type place uint8

const (
	placeOther place = iota // not looked at, nor anything inside
	placeRoot
	placeEvent
	placeAgent
	placeMedia
	placeSource
	placeEntity
	placeDescription // ParticipantObjectDescription: text, and what it holds as details
	placeDetail      // a property of an entity
	placeCode        // a coded value
	placeName        // ParticipantObjectName
	placeQuery       // ParticipantObjectQuery
	placeOutcome     // EventOutcomeDescription
	placeValue       // an element where the standards have an attribute
)

// A reader makes an event from the tokens of a document. Whatever starts is put into the event at once and completed in
// place, so that the event is right at every point where the document may break off.
type reader struct {
	scanner
	ev     hippad.Event
	reason string // why the document is no audit message; empty if it is one

	places [maxDepth]place // of the open elements
	chunks []string        // text of the innermost element that takes text

	codes  *[]hippad.Code // where the coded value of placeCode goes, or
	code   *hippad.Code   // the one that it is
	added  bool           // it is there already: its attributes said something
	typ    string         // of the detail that is open
	valued bool           // it has its value already
	inner  int            // where the content of ParticipantObjectQuery starts
	nested bool           // and whether it holds elements
	parts  int            // of text that make up the entity's description
	values int            // codes and details so far

	further []string // identifiers of the open entity besides its first
}

func (r *reader) read() {
	for {
		switch r.next() {
		case tokenStart:
			if r.depth == 1 {
				switch r.name {
				case rootName:
					r.places[0] = placeRoot
				case rootIHEYr4:
					r.readIHEYr4()
					return
				default:
					r.reason = "XML root is not AuditMessage"
					return
				}
				continue
			}
			r.start()
		case tokenText:
			if r.places[r.depth-1] >= placeDescription {
				text := r.text
				if !r.raw {
					text = decode(text, false)
				}
				r.chunks = append(r.chunks, text)
			}
		case tokenEnd:
			r.end()
		case tokenDone:
			return
		}
	}
}

func (r *reader) start() {
	parent := r.places[r.depth-2]
	if parent == placeOther {
		r.places[r.depth-1] = placeOther
		return
	}
	at := placeOther
	switch parent {
	case placeRoot:
		at = r.startSection()
	case placeEvent:
		at = r.startInEvent()
	case placeAgent, placeMedia:
		at = r.startInAgent()
	case placeSource:
		at = r.startInSource()
	case placeEntity:
		at = r.startInEntity()
	case placeDescription, placeDetail:
		r.flush(parent, localName(r.open[r.depth-2]), r.places[max(0, r.depth-3)])
		at = r.startDetail()
	case placeQuery:
		r.nested = true
	}
	r.places[r.depth-1] = at
	if at >= placeDescription {
		r.chunks = r.chunks[:0]
	}
}

// startDetail reads a ParticipantObjectDetail, however it is spelt, a DICOM object description (MPPS, Accession, SOPClass,
// ...), or an element of somebody's own.
func (r *reader) startDetail() place {
	isDetail := strings.Contains(r.name, "Detail")
	r.typ, r.valued = r.name, false
	for i := range r.attrs {
		if isDetail && r.attrs[i].name == "type" {
			r.typ = strings.TrimSpace(r.attrs[i].value())
		}
	}
	for i := range r.attrs {
		v := r.attrs[i].value()
		switch name := r.attrs[i].name; {
		case name == "value":
			r.valued = true
			r.addDetail(r.typ, base64Binary(v))
		case (name == "UID" || name == "Number") && v != "":
			r.valued = true
			r.addDetail(r.typ, []byte(v))
		}
	}
	for i := range r.attrs {
		if r.attrs[i].name == "NumberOfInstances" {
			r.addDetail(r.attrs[i].name, []byte(r.attrs[i].value()))
		}
	}
	return placeDetail
}

func (r *reader) entity() *hippad.Entity { return &r.ev.Entities[len(r.ev.Entities)-1] }

func (r *reader) startCode(codes *[]hippad.Code) place {
	c := r.attrCode()
	r.codes, r.code, r.added = codes, nil, c != hippad.Code{}
	if r.added = r.added && r.room(); r.added {
		*codes = append(*codes, c)
	}
	return placeCode
}

func (r *reader) startOneCode(code *hippad.Code) place {
	if c := r.attrCode(); c != (hippad.Code{}) {
		if c.Display == "" {
			c.Display = code.Display // the volume name of a medium
		}
		*code = c
	}
	r.codes, r.code = nil, code
	return placeCode
}

func (r *reader) end() {
	if r.depth == 0 {
		return
	}
	at := r.places[r.depth]
	if at == placeEntity {
		r.repeat()
	}
	if at < placeDescription {
		return
	}
	r.flush(at, localName(r.open[r.depth]), r.places[max(0, r.depth-1)])
	r.typ, r.valued = "", false // text that follows belongs to the enclosing element
}

// flush puts the text gathered so far where the element that holds it, whose parent is at around, wants it.
func (r *reader) flush(at place, name string, around place) {
	text := ""
	if len(r.chunks) == 1 {
		text = r.chunks[0]
	} else if len(r.chunks) > 1 {
		text = strings.Join(r.chunks, "")
	}
	r.chunks = r.chunks[:0]
	trimmed := strings.TrimSpace(text)
	if trimmed == "" && (at != placeQuery || !r.nested) {
		return
	}
	switch at {
	case placeCode:
		r.textCode(trimmed)
	case placeOutcome:
		r.ev.OutcomeDescription = trimmed
	case placeValue:
		r.value(around, name, trimmed)
	case placeName:
		r.entity().Name = trimmed
	case placeQuery:
		if e := r.entity(); r.nested { // XML that should have been base64: as it stands
			e.Query = []byte(r.s[r.inner:r.at])
		} else {
			e.Query = base64Binary(text)
		}
	case placeDescription:
		e := r.entity()
		switch r.parts++; {
		case e.Description == "":
			e.Description, r.parts = trimmed, 1
		case r.parts <= maxParts:
			e.Description += "\n" + trimmed
		}
	case placeDetail:
		switch {
		case r.valued:
		case strings.Contains(name, "Detail") && r.typ != "":
			r.addDetail(r.typ, base64Binary(text))
		default:
			r.addDetail(name, []byte(trimmed))
		}
	}
}

func (r *reader) addDetail(typ string, value []byte) {
	if r.room() {
		e := r.entity()
		e.Details = append(e.Details, hippad.Detail{Type: typ, Value: value})
	}
}

// room counts a code or a detail, and ends the document when there are too many.
func (r *reader) room() bool {
	if r.values == maxValues {
		r.stop(faultElements, r.at)
		return false
	}
	r.values++
	return true
}
