package atna

import (
	"fmt"
	"slices"
	"strings"

	"hippad"
)

// maxParticipants bounds what a message of nothing but empty participants costs in memory.
const maxParticipants = 1 << 16

// maxParts bounds how many pieces of text are joined into one description.
const maxParts = 64

// ReadXML reads an AuditMessage (DICOM PS3.15 A.5, RFC 3881) in any dialect, or the IHEYr4 message that preceded both. It never
// fails. A message that leaves out what the schemas require is an event like any other. One that is not well-formed, or cut, is
// Unreadable with the fields that were read up to there and, after a fault whose meaning is plain, beyond it: the
// repository should still find it by patient (IHE ITI TF-2 3.20.4.1.2.1.2).
func ReadXML(body []byte) hippad.Event {
	text, encoding := document(body)
	switch {
	case text == "":
		return hippad.Event{Unreadable: "empty message"}
	case text[0] != '<':
		return hippad.Event{Unreadable: "not XML"}
	}
	r := reader{scanner: scanner{s: text}}
	r.read()
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
}

func (r *reader) read() {
	for {
		switch r.next() {
		case tokenStart:
			if r.depth == 1 {
				switch r.name {
				case "AuditMessage":
					r.places[0] = placeRoot
				case "IHEYr4":
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
	at := placeOther
	switch parent {
	case placeRoot:
		at = r.startSection()
	case placeEvent:
		at = r.startInEvent()
	case placeAgent, placeMedia:
		at = r.startInAgent()
	case placeSource:
		if r.name == "AuditSourceTypeCode" {
			at = r.startCode(&r.ev.Source.Types)
		}
	case placeEntity:
		at = r.startInEntity()
	case placeDescription, placeDetail:
		r.flush(parent, localName(r.open[r.depth-2]))
		at = r.startDetail()
	case placeQuery:
		r.nested = true
	}
	r.places[r.depth-1] = at
	if at >= placeDescription {
		r.chunks = r.chunks[:0]
	}
}

func (r *reader) startSection() place {
	switch r.name {
	case "EventIdentification":
		r.eventAttrs()
		return placeEvent
	case "ActiveParticipant":
		if len(r.ev.Agents) == maxParticipants {
			r.stop(faultElements, r.at)
			return placeOther
		}
		if r.ev.Agents == nil {
			r.ev.Agents = make([]hippad.Agent, 0, 2)
		}
		r.ev.Agents = append(r.ev.Agents, hippad.Agent{})
		r.agentAttrs(&r.ev.Agents[len(r.ev.Agents)-1])
		return placeAgent
	case "AuditSourceIdentification":
		r.sourceAttrs()
		return placeSource
	case "ParticipantObjectIdentification":
		if len(r.ev.Entities) == maxParticipants {
			r.stop(faultElements, r.at)
			return placeOther
		}
		if r.ev.Entities == nil {
			r.ev.Entities = make([]hippad.Entity, 0, 2)
		}
		r.ev.Entities = append(r.ev.Entities, hippad.Entity{})
		r.entityAttrs(&r.ev.Entities[len(r.ev.Entities)-1])
		return placeEntity
	case "PurposeOfUse":
		return r.startCode(&r.ev.Purposes)
	}
	return placeOther
}

func (r *reader) eventAttrs() {
	for i := range r.attrs {
		v := strings.TrimSpace(r.attrs[i].value())
		switch r.attrs[i].name {
		case "EventActionCode":
			if a := strings.ToUpper(v); len(a) == 1 && strings.Contains("CRUDE", a) {
				r.ev.Action = a
			}
		case "EventDateTime":
			r.ev.Recorded = parseTime(v)
		case "EventOutcomeIndicator":
			if slices.Contains([]string{"0", "4", "8", "12"}, v) {
				r.ev.Outcome = v
			}
		case "EventOutcomeDescription":
			r.ev.OutcomeDescription = v
		}
	}
}

func (r *reader) startInEvent() place {
	switch r.name {
	case "EventID":
		return r.startOneCode(&r.ev.Type)
	case "EventTypeCode":
		return r.startCode(&r.ev.Subtypes)
	case "PurposeOfUse":
		return r.startCode(&r.ev.Purposes)
	case "EventOutcomeDescription":
		return placeOutcome
	}
	return placeOther
}

func (r *reader) agentAttrs(a *hippad.Agent) {
	for i := range r.attrs {
		v := strings.TrimSpace(r.attrs[i].value())
		switch r.attrs[i].name {
		case "UserID":
			a.Who.Identifier = participantID(v)
		case "AlternativeUserID", "AlternateUserID", "AlternativUserID":
			a.AltID = v
		case "UserName":
			a.Name = v
		case "UserIsRequestor", "IsRequestor":
			a.Requestor = v == "1" || strings.EqualFold(v, "true")
		case "NetworkAccessPointID":
			a.Address = v
		case "NetworkAccessPointTypeCode":
			a.AddressType = v
		case "MediaIdentifier": // RFC-era senders: a volume name; the code, if any, is the element MediaType
			a.Media.Display = v
		}
	}
}

func (r *reader) startInAgent() place {
	a := &r.ev.Agents[len(r.ev.Agents)-1]
	switch r.name {
	case "RoleIDCode":
		return r.startCode(&a.Roles)
	case "UserIDTypeCode": // DICOM, since 2017: what UserID is
		return r.startOneCode(&a.Type)
	case "MediaIdentifier":
		return placeMedia
	case "MediaType":
		return r.startOneCode(&a.Media)
	case "PurposeOfUse":
		return r.startCode(&a.Purposes)
	}
	return placeOther
}

// sourceAttrs reads AuditSourceIdentification. With several of them the first that says something counts, and the types of
// all are kept. Old senders put the type's attributes into the element itself.
func (r *reader) sourceAttrs() {
	src := &r.ev.Source
	for i := range r.attrs {
		v := strings.TrimSpace(r.attrs[i].value())
		switch r.attrs[i].name {
		case "AuditSourceID":
			if src.Observer.IsZero() {
				src.Observer.Identifier = participantID(v)
			}
		case "AuditEnterpriseSiteID":
			if src.Site == "" {
				src.Site = v
			}
		}
	}
	if c := r.attrCode(); c.Code != "" {
		src.Types = append(src.Types, c)
	}
}

func (r *reader) entityAttrs(e *hippad.Entity) {
	for i := range r.attrs {
		v := strings.TrimSpace(r.attrs[i].value())
		switch r.attrs[i].name {
		case "ParticipantObjectID":
			e.What.Identifier = hippad.ParseIdentifier(v)
		case "ParticipantObjectTypeCode":
			e.Type.Code = v
		case "ParticipantObjectTypeCodeRole":
			e.Role.Code = v
		case "ParticipantObjectDataLifeCycle":
			e.Lifecycle.Code = v
		case "ParticipantObjectSensitivity", "ParticipantObjectSensistity": // the second is DICOM's own misprint
			if v != "" {
				e.Labels = append(e.Labels, hippad.Code{Code: v})
			}
		case "ParticipantObjectIDTypeCode":
			e.IDType.Code = v
		case "ParticipantObjectName":
			e.Name = v
		case "ParticipantObjectQuery":
			e.Query = binary(v)
		case "ParticipantObjectDetail":
			e.Details = append(e.Details, hippad.Detail{Type: r.attrs[i].name, Value: binary(v)})
		}
	}
}

func (r *reader) startInEntity() place {
	e := r.entity()
	switch r.name {
	case "ParticipantObjectIDTypeCode":
		e.IDType = hippad.Code{} // the element outranks the attribute of the same name, which some fill with the object type
		return r.startOneCode(&e.IDType)
	case "ParticipantObjectName":
		return placeName
	case "ParticipantObjectQuery":
		r.inner, r.nested = r.pos, false
		return placeQuery
	case "ParticipantObjectDescription":
		return placeDescription
	case "ParticipantObjectSensitivity", "ParticipantObjectSensistity":
		return r.startCode(&e.Labels)
	}
	return r.startDetail()
}

// startDetail reads a ParticipantObjectDetail, however it is spelt, a DICOM object description (MPPS, Accession, SOPClass,
// ...), or an element of somebody's own.
func (r *reader) startDetail() place {
	e := r.entity()
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
			e.Details = append(e.Details, hippad.Detail{Type: r.typ, Value: binary(v)})
		case (name == "UID" || name == "Number") && v != "":
			r.valued = true
			e.Details = append(e.Details, hippad.Detail{Type: r.typ, Value: []byte(v)})
		}
	}
	for i := range r.attrs {
		if r.attrs[i].name == "NumberOfInstances" {
			e.Details = append(e.Details, hippad.Detail{Type: r.attrs[i].name, Value: []byte(r.attrs[i].value())})
		}
	}
	return placeDetail
}

func (r *reader) entity() *hippad.Entity { return &r.ev.Entities[len(r.ev.Entities)-1] }

func (r *reader) startCode(codes *[]hippad.Code) place {
	c := r.attrCode()
	r.codes, r.code, r.added = codes, nil, c != hippad.Code{}
	if r.added {
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

// attrCode reads a coded value in the attributes of DICOM (csd-code, originalText) or RFC 3881 (code, displayName), or a mixture.
func (r *reader) attrCode() hippad.Code {
	var c hippad.Code
	var system, name, display string
	for i := range r.attrs {
		v := strings.TrimSpace(r.attrs[i].value())
		switch r.attrs[i].name {
		case "csd-code":
			c.Code = v
		case "code":
			if c.Code == "" {
				c.Code = v
			}
		case "codeSystemName":
			name = v
		case "codeSystem":
			system = v
		case "originalText":
			c.Display = v
		case "displayName":
			display = v
		}
	}
	if c.System = name; name == "" {
		c.System = system
	}
	if c.Display == "" {
		c.Display = display
	}
	return c
}

func (r *reader) end() {
	if r.depth == 0 {
		return
	}
	at := r.places[r.depth]
	if at < placeDescription {
		return
	}
	r.flush(at, localName(r.open[r.depth]))
	r.typ, r.valued = "", false // text that follows belongs to the enclosing element
}

// flush puts the text gathered so far where the element that holds it wants it.
func (r *reader) flush(at place, name string) {
	text := strings.Join(r.chunks, "")
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
	case placeName:
		r.entity().Name = trimmed
	case placeQuery:
		if e := r.entity(); r.nested { // XML that should have been base64: as it stands
			e.Query = []byte(r.s[r.inner:r.at])
		} else {
			e.Query = binary(text)
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
			r.addDetail(r.typ, binary(text))
		default:
			r.addDetail(name, []byte(trimmed))
		}
	}
}

func (r *reader) addDetail(typ string, value []byte) {
	e := r.entity()
	e.Details = append(e.Details, hippad.Detail{Type: typ, Value: value})
}

// textCode takes the text of a coded element that has no code attribute: early DICOM schemas had AuditSourceTypeCode so.
func (r *reader) textCode(text string) {
	switch {
	case r.code != nil:
		if r.code.Code == "" {
			r.code.Code = text
		}
	case !r.added:
		*r.codes = append(*r.codes, hippad.Code{Code: text})
	default:
		if c := &(*r.codes)[len(*r.codes)-1]; c.Code == "" {
			c.Code = text
		}
	}
}

// participantID reads an id of a person, a process or a system. What stands before a bar is kept apart only if it is a URI:
// HL7 senders join facility and application by one.
func participantID(s string) hippad.Identifier {
	if id := hippad.ParseIdentifier(s); id.System == "" || strings.Contains(id.System, ":") {
		return id
	}
	return hippad.Identifier{Value: s}
}
