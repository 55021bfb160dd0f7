package atna

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"hippad"
)

// A judge holds one audit message to DICOM PS3.15 A.5.1 and ITI-20. It walks the document as the reader does, but looks at how
// things are said where the reader looks at what they say.
type judge struct {
	scanner
	b        *broken
	sections [placeEntity + 1]int // how many there are of each
	at       place                // the open section
	last     place                // the section before it, for the order
	object   objectFacts
	patients map[string]string // the id of one by who assigned it: one patient may have several, of different assigners
	query    strings.Builder   // the text of the open ParticipantObjectQuery
	ids      int               // of EventID
	first    bool              // the next child of EventIdentification is the first
	disclose bool              // it is a disclosure
	purpose  bool              // it has a PurposeOfUse
}

// objectFacts is what a ParticipantObjectIdentification has.
type objectFacts struct {
	id, typ, role            string
	idType, name, query, xml bool
}

// vocabularies by the place of their section.
func (j *judge) words() *vocabulary {
	switch j.at {
	case placeEvent:
		return &eventWords
	case placeAgent:
		return &agentWords
	case placeSource:
		return &sourceWords
	case placeEntity:
		return &entityWords
	}
	return &messageWords
}

// checkXML notes what an audit message breaks and tells whether it is one.
func checkXML(b *broken, body string) (audit bool) {
	text, encoding := document(body)
	wide := hasPrefix(body, bomUTF16LE) || hasPrefix(body, bomUTF16BE) || len(body) > 1 && (body[0] == 0 || body[1] == 0)
	b.when(encoding != "" || wide || !utf8.ValidString(body) || latin1(strings.Trim(strings.TrimPrefix(body, bomUTF8), blanks)), ruleEncoding)
	if text == "" || text[0] != '<' {
		b[ruleRoot] = true
		return false
	}
	j := judge{scanner: scanner{s: text}, b: b, patients: map[string]string{}}
	audit = j.walk()
	switch j.fault {
	case "":
	case faultTruncated:
		b.when(true, ruleTruncatedXML)
	case faultDepth, faultAttributes, faultSubset, faultElements:
		b.when(true, ruleRefusedXML)
	default:
		b.when(true, ruleWellFormed)
	}
	if b[ruleEncoding] && encoding != "" && j.fault == faultTruncated {
		b[ruleEncoding] = wide // a character that the cut divided
	}
	return audit
}

func (j *judge) walk() (audit bool) {
	for {
		switch j.next() {
		case tokenStart:
			switch {
			case j.depth == 1 && j.name == rootIHEYr4:
				j.b[ruleIHEYr4] = true
				return true
			case j.depth == 1 && j.name != rootName:
				j.b[ruleRoot] = true
				return false
			case j.depth == 1:
				audit = true
				j.b.when(j.open[0] != j.name || slices.ContainsFunc(j.attrs, func(a attr) bool { return a.qname == "xmlns" && a.raw != "" }), ruleNamespace)
			case j.depth == 2:
				j.startSection()
			case j.depth == 3:
				j.startChild()
			case j.at == placeAgent && j.name == "MediaType":
				j.coded(j.name)
			case j.at == placeEntity && localName(j.open[2]) == "ParticipantObjectQuery":
				j.b[ruleBase64] = true // XML as it is
			}
		case tokenText:
			if j.depth == 3 {
				j.takeText()
			}
		case tokenEnd:
			switch j.depth {
			case 2:
				j.endChild(localName(j.open[2]))
			case 1:
				j.endSection()
			}
		case tokenDone:
			if audit && j.fault != faultTruncated {
				j.endMessage()
			} else if !audit && j.fault != faultTruncated && j.fault != faultSubset {
				j.b[ruleRoot] = true
			}
			return audit
		}
	}
}

func (j *judge) startSection() {
	j.at = placeOther
	name := j.name
	if meant := messageWords.misprint(name); meant != "" {
		j.b[ruleMisprint] = true
		name = meant
	}
	switch name {
	case "EventIdentification":
		j.at, j.first = placeEvent, true
	case "ActiveParticipant":
		j.at = placeAgent
	case "AuditSourceIdentification":
		j.at = placeSource
	case "ParticipantObjectIdentification":
		j.at, j.object = placeEntity, objectFacts{}
	default:
		return // a private element, which the schema allows
	}
	j.b.when(j.at < j.last, ruleOrder)
	j.last = j.at
	j.sections[j.at]++
	has := map[string]string{}
	words := j.words()
	for i := range j.attrs {
		name, v := j.attrs[i].name, strings.TrimSpace(j.attrs[i].value())
		meant := words.misprint(name)
		switch {
		case meant != "":
			j.b[ruleMisprint] = true
			name = meant
		case name == "AlternateUserID", name == "IsRequestor":
			j.b[ruleMisprint] = true
		}
		if _, ok := has[name]; !ok {
			has[name] = v
		}
		j.b.when(slices.Contains(words.elements, name), ruleAttribute)
	}
	switch j.at {
	case placeEvent:
		j.eventAttributes(has)
	case placeAgent:
		j.agentAttributes(has)
	case placeSource:
		j.b.when(has["AuditSourceID"] == "", ruleSourceID)
		_, old := has["code"]
		_, typed := has["csd-code"]
		_, attribute := has["AuditSourceTypeCode"]
		j.b.when(old || typed || attribute, ruleSourceType)
	case placeEntity:
		j.objectAttributes(has)
	}
}

func (j *judge) eventAttributes(has map[string]string) {
	at := has["EventDateTime"]
	zero := parseTime(at).IsZero()
	j.b.when(zero || len(at) <= len("2006-01-02"), ruleEventTime)
	if !zero && len(at) > len("2006-01-02") {
		j.b.when(!strings.ContainsAny(at[len("2006-01-02"):], "Zz+-"), ruleEventZone)
	}
	switch has["EventOutcomeIndicator"] {
	case "0", "4", "8", "12":
	default:
		j.b[ruleEventOutcome] = true
	}
	action, ok := has["EventActionCode"]
	j.b.when(ok && (len(action) != 1 || !strings.Contains("CRUDE", action)), ruleEventAction)
}

func (j *judge) agentAttributes(has map[string]string) {
	j.b.when(has["UserID"] == "", ruleUserID)
	requestor := has["UserIsRequestor"]
	j.b.when(requestor != "true" && requestor != "false" && requestor != "1" && requestor != "0", ruleRequestor)
	for i := range j.attrs { // as written: a misprint was taken for what was meant
		if name := j.attrs[i].name; name != "UserIsRequestor" && agentWords.misprint(name) == "UserIsRequestor" {
			j.b[ruleRequestor] = true
		}
	}
	typ, ok := has["NetworkAccessPointTypeCode"]
	j.b.when(ok && !between(typ, 5) || !ok && has["NetworkAccessPointID"] != "", ruleNetworkType)
}

func (j *judge) objectAttributes(has map[string]string) {
	o := &j.object
	o.id, o.typ, o.role = has["ParticipantObjectID"], has["ParticipantObjectTypeCode"], has["ParticipantObjectTypeCodeRole"]
	j.b.when(o.id == "", ruleObjectID)
	j.b.when(o.typ != "" && !between(o.typ, 4), ruleObjectType)
	j.b.when(o.role != "" && !between(o.role, 26), ruleObjectRole)
	cycle := has["ParticipantObjectDataLifeCycle"]
	j.b.when(cycle != "" && !between(cycle, 15), ruleObjectLifecycle)
	_, misprint := has["ParticipantObjectSensistity"]
	j.b.when(misprint, ruleSensistity)
	_, o.idType = has["ParticipantObjectIDTypeCode"]
	_, o.name = has["ParticipantObjectName"]
	query, ok := has["ParticipantObjectQuery"]
	o.query = ok
	j.b.when(ok && !isBase64(query), ruleBase64)
	if o.role != "1" {
		return
	}
	j.b.when(strings.Contains(o.id, "&amp;"), ruleEscapedTwice)
	id := strings.ReplaceAll(o.id, "&amp;", "&")
	value, rest, cx := strings.Cut(id, "^^^")
	authority, _, _ := strings.Cut(rest, "^")
	parts := strings.Split(authority, "&")
	j.b.when(id != "" && (!cx || value == "" || len(parts) != 3 || parts[1] == "" || parts[2] == ""), rulePatientCX)
	if o.id == "" {
		return
	}
	who := hippad.ParseIdentifier(o.id)
	before, ok := j.patients[who.System]
	j.b.when(ok && before != who.Value, rulePatients)
	j.patients[who.System] = who.Value
}

// between tells whether s is a number from 1 to most as the schema writes it.
func between(s string, most int) bool {
	n, ok := digits(s, 0, len(s))
	return ok && s != "" && len(s) <= 2 && s[0] != '0' && n <= most
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	return err == nil
}

func (j *judge) startChild() {
	name := j.name
	if j.at == placeOther {
		return
	}
	words := j.words()
	switch meant := words.misprint(name); {
	case meant != "":
		j.b[ruleMisprint] = true
		name = meant
	case j.at == placeEntity && strings.Contains(name, "Detail") && name != "ParticipantObjectDetail" && strings.HasPrefix(name, "Participant"):
		j.b[ruleMisprint] = true
		name = "ParticipantObjectDetail"
	}
	j.b.when(slices.Contains(words.attributes, name), ruleElement)
	switch name {
	case "EventID", "EventTypeCode", "RoleIDCode", "UserIDTypeCode", "PurposeOfUse", "AuditSourceTypeCode", "ParticipantObjectIDTypeCode":
		j.coded(name)
	case "ParticipantObjectName":
		j.object.name = true
	case "ParticipantObjectQuery":
		j.object.query = true
		j.query.Reset()
	case "ParticipantObjectDetail":
		j.detail()
	}
	if j.at == placeEvent {
		j.b.when(name == "EventID" && !j.first, ruleOrder)
		j.first = false
	}
}

func (j *judge) detail() {
	var typ, value bool
	for i := range j.attrs {
		switch j.attrs[i].name {
		case "type":
			typ = strings.TrimSpace(j.attrs[i].value()) != ""
		case "value":
			value = true
			j.b.when(!isBase64(j.attrs[i].value()), ruleBase64)
		}
	}
	j.b.when(!typ || !value, ruleDetail)
}

// coded looks at a coded value.
func (j *judge) coded(name string) {
	var r reader
	r.attrs = j.attrs
	c := r.attrCode()
	has := func(name string) bool {
		return slices.ContainsFunc(j.attrs, func(a attr) bool { return a.name == name && a.raw != "" })
	}
	if name != "AuditSourceTypeCode" { // which DICOM has with code, and RFC 3881 with the code alone
		j.b.when(has("code") || has("displayName"), ruleDialect)
		j.b.when(c.Code == "" || c.System == "" || c.Display == "", ruleCode)
	}
	switch name {
	case "EventID":
		j.b.when(isPlaceholder(c.Code), ruleEventPlaceholder)
		j.b.when(!isPlaceholder(c.Code) && !inCID400(c.Code), ruleEventCID400)
		j.ids++
	case "EventTypeCode":
		j.disclose = j.disclose || c.Code == "IHE0006"
	case "PurposeOfUse":
		j.purpose = true
	case "ParticipantObjectIDTypeCode":
		j.object.idType = true
		_, number := digits(c.Code, 0, len(c.Code))
		j.b.when(number && c.Code != "" && len(c.Code) <= 2 && c.System != "RFC-3881", ruleIDTypeSystem)
	}
}

// isPlaceholder tells whether an EventID is nothing that a code system has: empty, the name of the field, or the mark-up of a
// template that nobody filled in.
func isPlaceholder(code string) bool {
	if strings.ContainsAny(code, "{}$%<>[]?") {
		return true
	}
	folded := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' || r == '.' {
			return -1
		}
		return r
	}, strings.ToLower(code))
	switch folded {
	case "", "0", "code", "csdcode", "string", "placeholder", "todo", "tbd", "null", "undefined", "unknown", "xxx", "na":
		return true
	}
	return strings.HasPrefix(folded, "eventid") || strings.HasPrefix(folded, "event") && strings.Contains(folded, "code")
}

// inCID400 tells whether a code is one of the events of DICOM PS3.16 CID 400 or of IHE (ITI TF-2 3.20.7).
func inCID400(code string) bool {
	if n, ok := digits(code, 0, len(code)); ok && len(code) == 6 {
		return n >= 110100 && n <= 110114
	}
	return len(code) == 7 && code[:6] == "IHE000" && code[6] >= '1' && code[6] <= '5'
}

func (j *judge) takeText() {
	blank := strings.TrimSpace(j.text) == ""
	switch localName(j.open[2]) {
	case "AuditSourceTypeCode":
		j.b.when(j.at == placeSource && !blank, ruleSourceType)
	case "ParticipantObjectQuery":
		if j.at == placeEntity {
			j.query.WriteString(j.text)
		}
	}
}

func (j *judge) endChild(name string) {
	if j.at == placeEntity && name == "ParticipantObjectQuery" {
		j.b.when(!isBase64(j.query.String()), ruleBase64)
	}
}

func (j *judge) endSection() {
	if j.at == placeEntity {
		o := j.object
		j.b.when(!o.idType, ruleObjectIDType)
		j.b.when(o.name && o.query, ruleNameAndQuery)
		j.b.when(!o.name && !o.query, ruleNameOrQuery)
	}
	j.at = placeOther
}

// endMessage looks at what should have been there.
func (j *judge) endMessage() {
	j.b.when(j.sections[placeEvent] == 0, ruleEvent)
	j.b.when(j.sections[placeEvent] > 0 && j.ids == 0, ruleEventID)
	j.b.when(j.sections[placeAgent] == 0, ruleAgent)
	j.b.when(j.sections[placeSource] == 0, ruleSource)
	j.b.when(j.disclose && !j.purpose, ruleDisclosure)
}
