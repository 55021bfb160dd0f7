package atna

import (
	"slices"
	"strings"

	"hippad"
)

// A vocabulary is what the standards let a section say (DICOM PS3.15 A.5.1, RFC 3881 section 5). A name that is none of these may be
// a misprint of one. An element with the name of an attribute is read like the attribute, and a code that stands in an attribute
// like the element.
type vocabulary struct{ attributes, elements []string }

var (
	messageWords = vocabulary{elements: []string{"EventIdentification", "ActiveParticipant", "AuditSourceIdentification",
		"ParticipantObjectIdentification"}}
	eventWords = vocabulary{[]string{"EventActionCode", "EventDateTime", "EventOutcomeIndicator"},
		[]string{"EventID", "EventTypeCode", "EventOutcomeDescription", "PurposeOfUse"}}
	agentWords = vocabulary{[]string{"UserID", "AlternativeUserID", "UserName", "UserIsRequestor", "NetworkAccessPointID",
		"NetworkAccessPointTypeCode"}, []string{"RoleIDCode", "MediaIdentifier", "UserIDTypeCode"}}
	sourceWords = vocabulary{[]string{"AuditEnterpriseSiteID", "AuditSourceID"}, []string{"AuditSourceTypeCode"}}
	entityWords = vocabulary{[]string{"ParticipantObjectID", "ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole",
		"ParticipantObjectDataLifeCycle", "ParticipantObjectSensitivity"},
		[]string{"ParticipantObjectIDTypeCode", "ParticipantObjectName", "ParticipantObjectQuery", "ParticipantObjectDetail",
			"ParticipantObjectDescription"}}
)

// misprint returns the word that name is written like but for case, or but for one letter that is missing, too many, another, or
// swapped with the next; empty if there is none. Short names are not guessed at.
func (v *vocabulary) misprint(name string) string {
	if len(name) < 9 {
		return ""
	}
	for _, words := range [...][]string{v.attributes, v.elements} {
		for _, w := range words {
			if d := len(w) - len(name); d >= -1 && d <= 1 && name != w && (strings.EqualFold(name, w) || oneEdit(name, w)) {
				return w
			}
		}
	}
	return ""
}

func oneEdit(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}

// attributes takes the attributes of the section that starts.
func (r *reader) attributes(at place) {
	for i := range r.attrs {
		r.value(at, r.attrs[i].name, strings.TrimSpace(r.attrs[i].value()))
	}
}

// value takes what an attribute, or an element in its place, says of the innermost section of the kind at.
func (r *reader) value(at place, name, v string) {
	var known bool
	var words *vocabulary
	switch at {
	case placeEvent:
		known, words = r.eventValue(name, v), &eventWords
	case placeAgent:
		known, words = r.agentValue(name, v), &agentWords
	case placeSource:
		known, words = r.sourceValue(name, v), &sourceWords
	case placeEntity:
		known, words = r.entityValue(name, v), &entityWords
	default:
		return
	}
	if !known {
		if meant := words.misprint(name); meant != "" {
			r.value(at, meant, v)
		}
	}
}

func (r *reader) eventValue(name, v string) bool {
	switch name {
	case "EventActionCode":
		if a := strings.ToUpper(v); len(a) == 1 && strings.Contains("CRUDE", a) {
			r.ev.Action = a
		}
	case "EventDateTime":
		r.ev.Recorded = parseTime(v)
	case "EventOutcomeIndicator":
		if v == "0" || v == "4" || v == "8" || v == "12" {
			r.ev.Outcome = v
		}
	case "EventOutcomeDescription":
		r.ev.OutcomeDescription = v
	case "EventID":
		r.ev.Type.Code = v
	case "EventTypeCode":
		r.bareCode(&r.ev.Subtypes, v)
	case "PurposeOfUse":
		r.bareCode(&r.ev.Purposes, v)
	default:
		return false
	}
	return true
}

func (r *reader) agentValue(name, v string) bool {
	a := &r.ev.Agents[len(r.ev.Agents)-1]
	switch name {
	case "UserID":
		a.Who.Identifier = participantID(v)
	case "AlternativeUserID", "AlternateUserID":
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
	case "RoleIDCode":
		r.bareCode(&a.Roles, v)
	case "UserTypeCode": // of dcm4che: 1 person, 2 process; the model has no place for it
	default:
		return false
	}
	return true
}

// sourceValue reads AuditSourceIdentification. With several of them the first that says something counts, and the types of
// all are kept.
func (r *reader) sourceValue(name, v string) bool {
	src := &r.ev.Source
	switch name {
	case "AuditSourceID":
		if src.Observer.IsZero() {
			src.Observer.Identifier = participantID(v)
		}
	case "AuditEnterpriseSiteID":
		if src.Site == "" {
			src.Site = v
		}
	case "AuditSourceTypeCode":
		r.bareCode(&src.Types, v)
	default:
		return false
	}
	return true
}

func (r *reader) entityValue(name, v string) bool {
	e := r.entity()
	switch name {
	case "ParticipantObjectID":
		if ids := repetitions(v); len(ids) > 1 {
			v, r.further = ids[0], ids[1:]
		}
		e.What.Identifier = hippad.ParseIdentifier(v)
	case "ParticipantObjectTypeCode":
		e.Type.Code = v
	case "ParticipantObjectTypeCodeRole":
		e.Role.Code = v
	case "ParticipantObjectDataLifeCycle":
		e.Lifecycle.Code = v
	case "ParticipantObjectSensitivity", "ParticipantObjectSensistity": // the second is DICOM's own misprint
		r.bareCode(&e.Labels, v)
	case "ParticipantObjectIDTypeCode":
		e.IDType.Code = v
	case "ParticipantObjectName":
		e.Name = v
	case "ParticipantObjectDescription":
		e.Description = v
	case "ParticipantObjectQuery":
		e.Query = base64Binary(v)
	case "ParticipantObjectDetail":
		r.addDetail(name, base64Binary(v))
	default:
		return false
	}
	return true
}

// repetitions returns the identifiers of a ParticipantObjectID that holds several of one patient, "~" between them: senders of
// HL7 v2 take them over from PID-3 as they stand there.
func repetitions(v string) []string {
	if strings.IndexByte(v, '~') < 0 {
		return nil
	}
	ids := strings.Split(v, "~")
	for _, id := range ids {
		if hippad.ParseIdentifier(id).System == "" {
			return nil
		}
	}
	return ids
}

// repeat adds an entity for each further identifier of the last one, so that it is found by any.
func (r *reader) repeat() {
	for _, id := range r.further {
		if len(r.ev.Entities) == maxParticipants {
			r.stop(faultElements, r.at)
			break
		}
		e := r.entity()
		r.ev.Entities = append(r.ev.Entities, hippad.Entity{What: hippad.Reference{Identifier: hippad.ParseIdentifier(id)}, IDType: e.IDType,
			Name: e.Name, Type: e.Type, Role: e.Role, Lifecycle: e.Lifecycle, Labels: e.Labels})
	}
	r.further = nil
}

// bareCode adds a code of which nothing but the code is said.
func (r *reader) bareCode(codes *[]hippad.Code, v string) {
	if v != "" && r.room() {
		*codes = append(*codes, hippad.Code{Code: v})
	}
}

func (r *reader) startSection() place {
	switch r.name {
	case "EventIdentification":
		r.attributes(placeEvent)
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
		r.attributes(placeAgent)
		return placeAgent
	case "AuditSourceIdentification":
		r.attributes(placeSource)
		if c := r.attrCode(); c.Code != "" && r.room() { // old senders put the attributes of the type here
			r.ev.Source.Types = append(r.ev.Source.Types, c)
		}
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
		r.attributes(placeEntity)
		return placeEntity
	case "PurposeOfUse":
		return r.startCode(&r.ev.Purposes)
	}
	if r.meant(&messageWords) {
		return r.startSection()
	}
	return placeOther
}

// meant tells whether the name of the element that starts is a misprint, and takes it for what was meant.
func (r *reader) meant(words *vocabulary) bool {
	meant := words.misprint(r.name)
	if meant != "" {
		r.name = meant
	}
	return meant != ""
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
	if r.meant(&eventWords) {
		return r.startInEvent()
	}
	return placeValue
}

func (r *reader) startInAgent() place {
	a := &r.ev.Agents[len(r.ev.Agents)-1]
	switch r.name {
	case "RoleIDCode":
		return r.startCode(&a.Roles)
	case "UserIDTypeCode": // DICOM, since 2017: what UserID is
		return r.startOneCode(&a.IDType)
	case "MediaIdentifier":
		return placeMedia
	case "MediaType":
		return r.startOneCode(&a.Media)
	case "PurposeOfUse":
		return r.startCode(&a.Purposes)
	}
	if r.meant(&agentWords) {
		return r.startInAgent()
	}
	return placeValue
}

func (r *reader) startInSource() place {
	if r.name == "AuditSourceTypeCode" {
		return r.startCode(&r.ev.Source.Types)
	}
	if r.meant(&sourceWords) {
		return r.startInSource()
	}
	return placeValue
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
	case "ParticipantObjectDetail":
		return r.startDetail()
	}
	if slices.Contains(entityWords.attributes, r.name) {
		return placeValue
	}
	if r.meant(&entityWords) {
		return r.startInEntity()
	}
	return r.startDetail()
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

// textCode takes the text of a coded element that has no code attribute: early DICOM schemas had AuditSourceTypeCode so.
func (r *reader) textCode(text string) {
	switch {
	case r.code != nil:
		if r.code.Code == "" {
			r.code.Code = text
		}
	case !r.added:
		r.bareCode(r.codes, text)
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
