package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"hippad"
)

// The model of this test: what is reported, said in its own words. It is written out as DICOM XML, FHIR R4 and FHIR R5, and searched
// by going through all of it.
type (
	modelCode struct{ system, code string } // the system by its R4 name
	modelRef  struct{ literal, system, value string }
	agentFact struct {
		who                  modelRef
		altID, name, address string
		roles                []modelCode
		policies             []string
	}
	entityFact struct {
		what      modelRef
		typ, role modelCode
		name      string
	}
	fact struct {
		unreadable       bool
		typ              modelCode
		subtypes         []modelCode
		action, outcome  string
		recorded         time.Time
		purposes         []modelCode
		agents           []agentFact
		source           modelRef
		site             string
		entities         []entityFact
		basedOn          []modelRef
		encounter        modelRef
		plain            bool // every form can say all of it
		form             form
		reporter, member string
		index            int64
		received         time.Time
	}
	form int
)

const (
	dicom form = iota
	formR4
	formR5
	forms
)

// propNames lists other names of the code systems of the model.
var propNames = map[string][]string{
	hippad.SystemDCM:       {"DCM", "http://nema.org/dicom/dicm", "1.2.840.10008.2.16.4", "urn:oid:1.2.840.10008.2.16.4"},
	hippad.SystemIHE:       {"IHE Transactions"},
	"http://vendor.test/x": {"http://vendor.test/x"},
}

// A dice makes facts, documents and queries out of a small vocabulary, so that most questions have an answer.
type dice struct{ *rand.Rand }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

func (d dice) one(in int) bool { return d.IntN(in) == 0 }

var (
	propTypes    = []modelCode{{hippad.SystemDCM, "110106"}, {hippad.SystemDCM, "110112"}, {hippad.SystemDCM, "110110"}}
	propSubtypes = []modelCode{{hippad.SystemIHE, "ITI-18"}, {hippad.SystemIHE, "ITI-43"}, {"http://vendor.test/x", "A"}, {"", "A"}, {"http://vendor.test/x", "B"}}
	propRoles    = []modelCode{{hippad.SystemDCM, "110153"}, {hippad.SystemDCM, "110152"}, {"http://vendor.test/x", "A"}, {"", "nurse"}}
	propPurposes = []modelCode{{hippad.SystemActReason, "TREAT"}, {hippad.SystemActReason, "ETREAT"}, {"", "TREAT"}}
	propIDs      = []string{"7", "8", "Ab", "0042"}
	propSystems  = []string{"", "urn:oid:1.2.3", "urn:oid:1.2.4", "https://mrn.test/a"}
	propNamesOf  = []string{"Anna Meyer", "ANNA MEIER", "Müller, Jörg", "Éva d'Arc", "Strauß^Anna", "Meyer"}
	propAddress  = []string{"10.0.0.7", "10.0.1.7", "2001:DB8::1", "ws7.ward.test", "WS7.other.test"}
	propPolicies = []string{"http://policy.test/1", "http://policy.test/2|1"}
	propDays     = []time.Time{time.Date(2025, 12, 31, 23, 59, 59, 999e6, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 28, 12, 30, 0, 0, time.UTC)}
)

func some[T any](d dice, most int, from []T) (out []T) {
	for range d.IntN(most + 1) {
		if x := pick(d, from...); !slices.ContainsFunc(out, func(y T) bool { return fmt.Sprint(x) == fmt.Sprint(y) }) {
			out = append(out, x)
		}
	}
	return out
}

func (d dice) moment() time.Time {
	return pick(d, propDays...).Add(time.Duration(d.IntN(4)) * pick(d, time.Millisecond, time.Second, time.Minute, 24*time.Hour))
}

func (d dice) ref(kinds ...string) (r modelRef) {
	if d.one(2) && len(kinds) > 0 {
		r.literal = pick(d, "", "https://ehr.test/fhir/") + pick(d, kinds...) + "/" + pick(d, propIDs...) + pick(d, "", "", "/_history/2")
	}
	if r.literal == "" || d.one(4) {
		r.system, r.value = pick(d, propSystems...), pick(d, propIDs...)
	}
	return r
}

func (d dice) fact() fact {
	f := fact{plain: d.one(2), unreadable: d.one(25), reporter: pick(d, "sha256:01", "sha256:02")}
	f.member = map[string]string{"sha256:01": "", "sha256:02": "St Mary"}[f.reporter]
	if f.unreadable {
		return f
	}
	if !d.one(10) {
		f.typ = pick(d, propTypes...)
	}
	if f.typ != (modelCode{}) {
		f.subtypes = some(d, 2, propSubtypes)
	}
	f.action, f.outcome = pick(d, "", "C", "R", "E"), pick(d, "", "0", "4", "8", "12")
	if !d.one(10) {
		f.recorded = d.moment()
	}
	f.purposes = some(d, 2, propPurposes)
	for range d.IntN(3) {
		a := agentFact{altID: pick(d, "", "", "alt-1", "Alt 2"), address: pick(d, append(propAddress, "", "")...), roles: some(d, 2, propRoles)}
		a.who = d.ref()
		if !f.plain {
			a.who, a.name, a.policies = d.ref("Practitioner", "Device", "Patient"), pick(d, append(propNamesOf, "")...), some(d, 2, propPolicies)
		}
		f.agents = append(f.agents, a)
	}
	if !d.one(10) {
		f.source = modelRef{value: pick(d, "pacs", "ehr"), system: pick(d, "", "urn:oid:1.2.9")}
	}
	f.site = pick(d, "", "ward 1", "ward 2")
	for range d.IntN(4) {
		n := entityFact{what: d.ref(), role: modelCode{hippad.SystemObjectRole, pick(d, "1", "3", "24")}}
		if !f.plain {
			n.what = d.ref("Patient", "Binary")
			n.typ = pick(d, modelCode{}, modelCode{hippad.SystemEntityType, "1"}, modelCode{hippad.SystemEntityType, "2"})
			n.role = pick(d, modelCode{}, n.role)
			n.name = pick(d, append(propNamesOf, "")...)
		}
		f.entities = append(f.entities, n)
	}
	if !f.plain {
		for range d.IntN(2) {
			f.basedOn = append(f.basedOn, d.ref("ServiceRequest"))
		}
		f.encounter = pick(d, modelRef{}, d.ref("Encounter"))
	}
	return f
}

// as returns what is left of a fact in a form. DICOM has no FHIR references and no policies; R5 has no names of agents and entities, and
// no type of an entity; only R5 has basedOn and encounter.
func (f fact) as(x form) fact {
	f.form = x
	f.agents, f.entities = slices.Clone(f.agents), slices.Clone(f.entities)
	if x != formR5 {
		f.basedOn, f.encounter = nil, modelRef{}
	}
	for i := range f.agents {
		switch a := &f.agents[i]; x {
		case dicom:
			a.who.literal, a.policies = "", nil
		case formR5:
			a.name = ""
		}
	}
	for i := range f.entities {
		switch n := &f.entities[i]; x {
		case dicom:
			n.what.literal = ""
		case formR5:
			n.name, n.typ = "", modelCode{}
		}
	}
	return f
}

func (d dice) report(f fact) hippad.Report {
	switch {
	case f.unreadable:
		return hippad.Report{Media: []string{hippad.MediaXML, hippad.MediaFHIRJSON, hippad.MediaFHIRJSON}[f.form], Body: []byte("neither")}
	case f.form == dicom:
		return hippad.Report{Media: hippad.MediaXML, Body: d.dicom(f)}
	}
	body, _ := json.Marshal(map[form]func(fact) any{formR4: d.r4, formR5: d.r5}[f.form](f))
	return hippad.Report{Media: hippad.MediaFHIRJSON, Body: body}
}

func esc(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

func (d dice) system(c modelCode) string {
	if names := propNames[c.system]; names != nil {
		return pick(d, append(names, c.system)...)
	}
	return c.system
}

func (d dice) dicomCode(name string, c modelCode) string {
	system := ""
	if c.system != "" {
		system = fmt.Sprintf(` codeSystemName="%s"`, esc(d.system(c)))
	}
	return fmt.Sprintf(`<%s %s="%s"%s originalText="words"/>`, name, pick(d, "csd-code", "code"), esc(c.code), system)
}

// dicomID writes an identifier in one of the ways in which audit messages have it.
func (d dice) dicomID(r modelRef) string {
	oid, isOID := strings.CutPrefix(r.system, "urn:oid:")
	switch {
	case r.value == "":
		return ""
	case r.system == "":
		return esc(r.value + pick(d, "", "^^^NAME"))
	case isOID && d.one(2):
		return pick(d, esc, func(s string) string { return esc(esc(s)) })(r.value + "^^^&" + oid + "&ISO")
	case isOID:
		return esc(pick(d, oid, r.system) + "|" + r.value)
	}
	return esc(r.system + "|" + r.value)
}

func (d dice) at(f fact) string {
	return f.recorded.In(pick(d, time.UTC, time.FixedZone("", 2*3600))).Format("2006-01-02T15:04:05.000Z07:00")
}

func (d dice) dicom(f fact) []byte {
	var b strings.Builder
	b.WriteString(`<AuditMessage><EventIdentification`)
	for name, value := range map[string]string{"EventActionCode": f.action, "EventOutcomeIndicator": f.outcome} {
		if value != "" {
			fmt.Fprintf(&b, ` %s="%s"`, name, value)
		}
	}
	if !f.recorded.IsZero() {
		fmt.Fprintf(&b, ` EventDateTime="%s"`, d.at(f))
	}
	b.WriteString(`>`)
	if f.typ != (modelCode{}) {
		b.WriteString(d.dicomCode("EventID", f.typ))
	}
	for _, c := range f.subtypes {
		b.WriteString(d.dicomCode("EventTypeCode", c))
	}
	for _, c := range f.purposes {
		b.WriteString(d.dicomCode("PurposeOfUse", c))
	}
	b.WriteString(`</EventIdentification>`)
	for _, a := range f.agents {
		fmt.Fprintf(&b, `<ActiveParticipant UserID="%s" UserIsRequestor="true" AlternativeUserID="%s" UserName="%s" NetworkAccessPointID="%s" NetworkAccessPointTypeCode="1">`,
			d.dicomID(a.who), esc(a.altID), esc(a.name), esc(a.address))
		for _, c := range a.roles {
			b.WriteString(d.dicomCode("RoleIDCode", c))
		}
		b.WriteString(`</ActiveParticipant>`)
	}
	if f.source.value != "" || f.site != "" {
		fmt.Fprintf(&b, `<AuditSourceIdentification AuditSourceID="%s" AuditEnterpriseSiteID="%s"/>`, d.dicomID(f.source), esc(f.site))
	}
	for _, n := range f.entities {
		fmt.Fprintf(&b, `<ParticipantObjectIdentification ParticipantObjectID="%s"`, d.dicomID(n.what))
		if n.typ.code != "" {
			fmt.Fprintf(&b, ` ParticipantObjectTypeCode="%s"`, n.typ.code)
		}
		if n.role.code != "" {
			fmt.Fprintf(&b, ` ParticipantObjectTypeCodeRole="%s"`, n.role.code)
		}
		fmt.Fprintf(&b, `><ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" originalText="id"/><ParticipantObjectName>%s</ParticipantObjectName></ParticipantObjectIdentification>`, esc(n.name))
	}
	b.WriteString(`</AuditMessage>`)
	return []byte(b.String())
}

type object = map[string]any

// put sets members that are not empty.
func (o jsonObject) put(name string, value any) {
	switch v := value.(type) {
	case string:
		if v == "" {
			return
		}
	case object:
		if len(v) == 0 {
			return
		}
	case []any:
		if len(v) == 0 {
			return
		}
	case []string:
		if len(v) == 0 {
			return
		}
	}
	o[name] = value
}

type jsonObject object

func (d dice) coding(c modelCode) object {
	o := jsonObject{}
	o.put("system", d.system(c))
	o.put("code", c.code)
	return object(o)
}

func (d dice) codings(codes []modelCode) (list []any) {
	for _, c := range codes {
		list = append(list, d.coding(c))
	}
	return list
}

func (d dice) concepts(codes []modelCode) (list []any) {
	for _, c := range codes {
		list = append(list, object{"coding": []any{d.coding(c)}})
	}
	return list
}

func (d dice) reference(r modelRef) object {
	id, o := jsonObject{}, jsonObject{}
	if r.value != "" {
		id.put("system", r.system)
		id.put("value", r.value)
		if oid, ok := strings.CutPrefix(r.system, "urn:oid:"); ok && d.one(3) {
			id = jsonObject{"value": r.value + "^^^&" + oid + "&ISO"}
		}
	}
	o.put("reference", r.literal)
	o.put("identifier", object(id))
	return object(o)
}

func (d dice) references(refs []modelRef) (list []any) {
	for _, r := range refs {
		list = append(list, d.reference(r))
	}
	return list
}

func (d dice) r4(f fact) any {
	o := jsonObject{"resourceType": "AuditEvent"}
	o.put("type", d.coding(f.typ))
	o.put("subtype", d.codings(f.subtypes))
	o.put("action", f.action)
	o.put("outcome", f.outcome)
	if !f.recorded.IsZero() {
		o.put("recorded", d.at(f))
	}
	o.put("purposeOfEvent", d.concepts(f.purposes))
	var agents, entities []any
	for _, a := range f.agents {
		m := jsonObject{"requestor": true}
		m.put("who", d.reference(a.who))
		m.put("altId", a.altID)
		m.put("name", a.name)
		m.put("role", d.concepts(a.roles))
		m.put("policy", a.policies)
		if a.address != "" {
			m["network"] = object{"address": a.address, "type": "1"}
		}
		agents = append(agents, m)
	}
	for _, n := range f.entities {
		m := jsonObject{}
		m.put("what", d.reference(n.what))
		m.put("type", d.coding(n.typ))
		m.put("role", d.coding(n.role))
		m.put("name", n.name)
		entities = append(entities, m)
	}
	o.put("agent", agents)
	o.put("entity", entities)
	source := jsonObject{}
	source.put("observer", d.reference(f.source))
	source.put("site", f.site)
	o.put("source", object(source))
	return o
}

func (d dice) r5(f fact) any {
	o := jsonObject{"resourceType": "AuditEvent"}
	if len(f.subtypes) > 0 {
		o.put("category", d.concepts([]modelCode{f.typ}))
		o.put("code", object{"coding": d.codings(f.subtypes)})
	} else if f.typ != (modelCode{}) {
		o.put("code", d.concepts([]modelCode{f.typ})[0])
	}
	o.put("action", f.action)
	if f.outcome != "" {
		o["outcome"] = object{"code": object{"system": "http://hl7.org/fhir/issue-severity", "code": map[string]string{"0": pick(d, "success", "information"), "4": "warning", "8": "error", "12": "fatal"}[f.outcome]}}
	}
	if !f.recorded.IsZero() {
		o.put("recorded", d.at(f))
	}
	o.put("authorization", d.concepts(f.purposes))
	o.put("basedOn", d.references(f.basedOn))
	o.put("encounter", d.reference(f.encounter))
	var agents, entities []any
	for _, a := range f.agents {
		m := jsonObject{"requestor": true}
		m.put("who", d.reference(a.who))
		m.put("role", d.concepts(a.roles))
		m.put("policy", a.policies)
		m.put("networkString", a.address)
		if a.altID != "" {
			m["extension"] = []any{object{"url": "http://hl7.org/fhir/StructureDefinition/auditevent-AlternativeUserID", "valueIdentifier": object{"value": a.altID}}}
		}
		agents = append(agents, m)
	}
	for i, n := range f.entities {
		if i == 0 && n.role.code == "1" && d.one(2) {
			o.put("patient", d.reference(n.what))
			continue
		}
		m := jsonObject{}
		m.put("what", d.reference(n.what))
		if n.role != (modelCode{}) {
			m.put("role", object{"coding": []any{d.coding(n.role)}})
		}
		entities = append(entities, m)
	}
	o.put("agent", agents)
	o.put("entity", entities)
	source := jsonObject{}
	source.put("observer", d.reference(f.source))
	if f.site != "" {
		source["site"] = object{"display": f.site}
	}
	o.put("source", object(source))
	return o
}
