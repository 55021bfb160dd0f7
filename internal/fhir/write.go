package fhir

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

// The R4 AuditEvent as it is written (http://hl7.org/fhir/R4/auditevent.html). A required element of which nothing is
// known carries the data-absent-reason extension in place of a value.
type (
	resourceJSON struct {
		ResourceType string        `json:"resourceType"`
		Type         codingJSON    `json:"type"`
		Subtype      []codingJSON  `json:"subtype,omitempty"`
		Action       string        `json:"action,omitzero"`
		Recorded     string        `json:"recorded,omitzero"`
		NoRecorded   *absentJSON   `json:"_recorded,omitzero"`
		Outcome      string        `json:"outcome,omitzero"`
		OutcomeDesc  string        `json:"outcomeDesc,omitzero"`
		Purpose      []conceptJSON `json:"purposeOfEvent,omitempty"`
		Agent        []agentJSON   `json:"agent"`
		Source       sourceJSON    `json:"source"`
		Entity       []entityJSON  `json:"entity,omitempty"`
	}
	extensionJSON struct {
		URL       string `json:"url"`
		ValueCode string `json:"valueCode"`
	}
	absentJSON struct {
		Extension []extensionJSON `json:"extension"`
	}
	codingJSON struct {
		Extension []extensionJSON `json:"extension,omitempty"`
		System    string          `json:"system,omitzero"`
		Code      string          `json:"code,omitzero"`
		Display   string          `json:"display,omitzero"`
	}
	conceptJSON struct {
		Coding []codingJSON `json:"coding,omitempty"`
		Text   string       `json:"text,omitzero"`
	}
	identifierJSON struct {
		Type   *conceptJSON `json:"type,omitzero"`
		System string       `json:"system,omitzero"`
		Value  string       `json:"value,omitzero"`
	}
	referenceJSON struct {
		Extension  []extensionJSON `json:"extension,omitempty"`
		Reference  string          `json:"reference,omitzero"`
		Identifier *identifierJSON `json:"identifier,omitzero"`
		Display    string          `json:"display,omitzero"`
	}
	networkJSON struct {
		Address string `json:"address,omitzero"`
		Type    string `json:"type,omitzero"`
	}
	agentJSON struct {
		Extension []extensionJSON `json:"extension,omitempty"`
		Type      *conceptJSON    `json:"type,omitzero"`
		Role      []conceptJSON   `json:"role,omitempty"`
		Who       *referenceJSON  `json:"who,omitzero"`
		AltID     string          `json:"altId,omitzero"`
		Name      string          `json:"name,omitzero"`
		Requestor bool            `json:"requestor"`
		Location  *referenceJSON  `json:"location,omitzero"`
		Policy    []string        `json:"policy,omitempty"`
		Media     *codingJSON     `json:"media,omitzero"`
		Network   networkJSON     `json:"network,omitzero"`
		Purpose   []conceptJSON   `json:"purposeOfUse,omitempty"`
	}
	sourceJSON struct {
		Site     string        `json:"site,omitzero"`
		Observer referenceJSON `json:"observer"`
		Type     []codingJSON  `json:"type,omitempty"`
	}
	entityJSON struct {
		What        *referenceJSON `json:"what,omitzero"`
		Type        *codingJSON    `json:"type,omitzero"`
		Role        *codingJSON    `json:"role,omitzero"`
		Lifecycle   *codingJSON    `json:"lifecycle,omitzero"`
		Label       []codingJSON   `json:"securityLabel,omitempty"`
		Name        string         `json:"name,omitzero"`
		Description string         `json:"description,omitzero"`
		Query       []byte         `json:"query,omitempty"`
		Detail      []detailJSON   `json:"detail,omitempty"`
	}
	detailJSON struct {
		Type     string      `json:"type,omitzero"`
		NoType   *absentJSON `json:"_type,omitzero"`
		String   string      `json:"valueString,omitzero"`
		NoString *absentJSON `json:"_valueString,omitzero"`
		Binary   []byte      `json:"valueBase64Binary,omitempty"`
	}
)

// Write makes an R4 AuditEvent in JSON that says what ev says, as a report of MediaFHIRJSON. Code systems get their R4
// names. Read gives the event back, but for what R4 has no place for: an action, outcome or network type outside
// its closed list, an IDType without an identifier, and the Name of an entity that has a Query (invariant sev-1), which
// moves to what.display if that is free.
func Write(ev hippad.Event) hippad.Report {
	res := resourceJSON{
		ResourceType: auditEvent,
		Type:         toCoding(ev.Type),
		Subtype:      toCodings(ev.Subtypes),
		Action:       oneOf(actions, ev.Action),
		Outcome:      oneOf(outcomes, ev.Outcome),
		OutcomeDesc:  ev.OutcomeDescription,
		Purpose:      toConcepts(ev.Purposes),
		Source: sourceJSON{
			Site: ev.Source.Site,
			Type: toCodings(listed(ev.Source.Types, systemSourceType, "1", "9")),
		},
	}
	if ev.Type == (hippad.Code{}) {
		res.Type.Extension = absentBecause("unknown")
	}
	if at := ev.Recorded.UTC(); ev.Recorded.IsZero() || at.Year() < 1 || at.Year() > 9999 {
		res.NoRecorded = &absentJSON{absentBecause("unknown")}
	} else {
		res.Recorded = at.Format(time.RFC3339Nano)
	}
	if observer := toReference(ev.Source.Observer, hippad.Code{}); observer != nil {
		res.Source.Observer = *observer
	} else {
		res.Source.Observer.Extension = absentBecause("unknown")
	}
	for _, a := range ev.Agents {
		res.Agent = append(res.Agent, toAgent(a))
	}
	if len(ev.Agents) == 0 {
		res.Agent = []agentJSON{{Extension: absentBecause("unknown")}}
	}
	for _, n := range ev.Entities {
		res.Entity = append(res.Entity, toEntity(n))
	}
	return hippad.Report{Media: hippad.MediaFHIRJSON, Body: encode(res)}
}

// encode writes one of the structs of this package. It cannot fail: they hold strings, bytes, booleans and numbers, and
// a string that is not UTF-8 is mended.
func encode(v any) []byte {
	body, _ := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	return body
}

func absentBecause(reason string) []extensionJSON {
	return []extensionJSON{{URL: dataAbsentReason, ValueCode: reason}}
}

func toAgent(a hippad.Agent) agentJSON {
	out := agentJSON{
		Type:      toConcept(a.Type),
		Role:      toConcepts(a.Roles),
		Who:       toReference(a.Who, hippad.Code{}),
		AltID:     a.AltID,
		Name:      a.Name,
		Requestor: a.Requestor,
		Location:  toReference(a.Location, hippad.Code{}),
		Network:   networkJSON{a.Address, oneOf(addressTypes, a.AddressType)},
		Purpose:   toConcepts(a.Purposes),
	}
	for _, p := range a.Policies {
		if p != "" {
			out.Policy = append(out.Policy, unblanked(p))
		}
	}
	if a.Media != (hippad.Code{}) {
		media := toCoding(a.Media)
		out.Media = &media
	}
	return out
}

func toEntity(n hippad.Entity) entityJSON {
	out := entityJSON{
		Type:        listedCoding(n.Type, systemEntityType, "1", "4"),
		Role:        listedCoding(n.Role, systemObjectRole, "1", "24"),
		Lifecycle:   listedCoding(n.Lifecycle, systemLifecycle, "1", "15"),
		Label:       toCodings(n.Labels),
		Name:        n.Name,
		Description: n.Description,
		Query:       n.Query,
	}
	if len(n.Query) > 0 && n.Name != "" {
		if out.Name = ""; n.What.Display == "" {
			n.What.Display = n.Name
		}
	}
	out.What = toReference(n.What, n.IDType)
	for _, t := range n.Details {
		out.Detail = append(out.Detail, toDetail(t))
	}
	return out
}

// toDetail writes text as valueString and anything else as valueBase64Binary. R4 requires a type and a value.
func toDetail(t hippad.Detail) detailJSON {
	out := detailJSON{Type: t.Type}
	if t.Type == "" {
		out.NoType = &absentJSON{absentBecause("unknown")}
	}
	control := func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n", r) }
	switch {
	case len(t.Value) == 0:
		out.NoString = &absentJSON{absentBecause("unknown")}
	case utf8.Valid(t.Value) && !slices.ContainsFunc([]rune(string(t.Value)), control):
		out.String = string(t.Value)
	default:
		out.Binary = t.Value
	}
	return out
}

// toReference returns nil if there is nothing to point at. A reference into the resource that it was taken from
// would dangle: it is written as a name.
func toReference(r hippad.Reference, idType hippad.Code) *referenceJSON {
	if strings.HasPrefix(r.Literal, "#") {
		if r.Display == "" {
			r.Display = r.Literal
		}
		r.Literal = ""
	}
	if r.IsZero() {
		return nil
	}
	out := &referenceJSON{Reference: r.Literal, Display: r.Display}
	if !r.Identifier.IsZero() {
		out.Identifier = &identifierJSON{toConcept(idType), uri(r.Identifier.System), r.Identifier.Value}
	}
	return out
}

func toCoding(c hippad.Code) codingJSON {
	return codingJSON{System: uri(c.System), Code: c.Code, Display: c.Display}
}

func toCodings(codes []hippad.Code) (out []codingJSON) {
	for _, c := range codes {
		if c != (hippad.Code{}) {
			out = append(out, toCoding(c))
		}
	}
	return out
}

func toConcept(c hippad.Code) *conceptJSON {
	switch {
	case c == hippad.Code{}:
		return nil
	case c.System == "" && c.Code == "":
		return &conceptJSON{Text: c.Display}
	}
	return &conceptJSON{Coding: []codingJSON{toCoding(c)}}
}

func toConcepts(codes []hippad.Code) (out []conceptJSON) {
	for _, c := range codes {
		if concept := toConcept(c); concept != nil {
			out = append(out, *concept)
		}
	}
	return out
}

// inList gives the system to a code that DICOM and RFC 3881 write as a bare number, from low to high in decimal.
func inList(c hippad.Code, system, low, high string) hippad.Code {
	bare := c.System == "" || c.System == "RFC-3881" || c.System == "DCM"
	atLeast := func(a, b string) bool { return len(a) > len(b) || len(a) == len(b) && a >= b }
	if bare && c.Code != "" && strings.Trim(c.Code, "0123456789") == "" && c.Code[0] != '0' && atLeast(c.Code, low) && atLeast(high, c.Code) {
		c.System = system
	}
	return c
}

func listed(codes []hippad.Code, system, low, high string) []hippad.Code {
	out := make([]hippad.Code, len(codes))
	for i, c := range codes {
		out[i] = inList(c, system, low, high)
	}
	return out
}

func listedCoding(c hippad.Code, system, low, high string) *codingJSON {
	if c == (hippad.Code{}) {
		return nil
	}
	coding := toCoding(inList(c, system, low, high))
	return &coding
}
