package fhir

import "hippad"

// The R4 AuditEvent as it is written (http://hl7.org/fhir/R4/auditevent.html).
type (
	r4JSON struct {
		ResourceType string        `json:"resourceType"`
		Type         codingJSON    `json:"type"`
		Subtype      []codingJSON  `json:"subtype,omitempty"`
		Action       string        `json:"action,omitzero"`
		Period       periodJSON    `json:"period,omitzero"`
		Recorded     string        `json:"recorded,omitzero"`
		NoRecorded   *absentJSON   `json:"_recorded,omitzero"`
		Outcome      string        `json:"outcome,omitzero"`
		OutcomeDesc  string        `json:"outcomeDesc,omitzero"`
		Purpose      []conceptJSON `json:"purposeOfEvent,omitempty"`
		Agent        []r4Agent     `json:"agent"`
		Source       r4Source      `json:"source"`
		Entity       []r4Entity    `json:"entity,omitempty"`
	}
	r4Network struct {
		Address string `json:"address,omitzero"`
		Type    string `json:"type,omitzero"`
	}
	r4Agent struct {
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
		Network   r4Network       `json:"network,omitzero"`
		Purpose   []conceptJSON   `json:"purposeOfUse,omitempty"`
	}
	r4Source struct {
		Site     string        `json:"site,omitzero"`
		Observer referenceJSON `json:"observer"`
		Type     []codingJSON  `json:"type,omitempty"`
	}
	r4Entity struct {
		Extension   []extensionJSON `json:"extension,omitempty"`
		What        *referenceJSON  `json:"what,omitzero"`
		Type        *codingJSON     `json:"type,omitzero"`
		Role        *codingJSON     `json:"role,omitzero"`
		Lifecycle   *codingJSON     `json:"lifecycle,omitzero"`
		Label       []codingJSON    `json:"securityLabel,omitempty"`
		Name        string          `json:"name,omitzero"`
		Description string          `json:"description,omitzero"`
		Query       []byte          `json:"query,omitempty"`
		Detail      []r4Detail      `json:"detail,omitempty"`
	}
	r4Detail struct {
		Type     string      `json:"type,omitzero"`
		NoType   *absentJSON `json:"_type,omitzero"`
		String   string      `json:"valueString,omitzero"`
		NoString *absentJSON `json:"_valueString,omitzero"`
		Binary   []byte      `json:"valueBase64Binary,omitempty"`
	}
)

func toR4(ev hippad.Event) r4JSON {
	out := r4JSON{
		ResourceType: auditEvent,
		Subtype:      toCodings(ev.Subtypes),
		Action:       oneOf(actions, ev.Action),
		Recorded:     dateTime(ev.Recorded),
		Outcome:      oneOf(outcomes, ev.Outcome),
		OutcomeDesc:  fitString(ev.OutcomeDescription),
		Purpose:      toConcepts(ev.Purposes),
		Source:       r4Source{Site: fitString(ev.Source.Site), Observer: required(toReference(ev.Source.Observer, hippad.Code{}))},
	}
	var known bool
	if out.Type, known = toCoding(ev.Type); !known {
		out.Type.Extension = absentBecause("unknown")
	}
	if out.Recorded == "" {
		out.NoRecorded = &absentJSON{absentBecause("unknown")}
	}
	out.Period.Start, out.Period.End = fitPeriod(ev.Occurred)
	for _, c := range ev.Source.Types {
		if coding, ok := toCoding(inList(c, hippad.SystemSourceType, 9)); ok {
			out.Source.Type = append(out.Source.Type, coding)
		}
	}
	for _, a := range ev.Agents {
		out.Agent = append(out.Agent, toR4Agent(a))
	}
	if len(ev.Agents) == 0 {
		out.Agent = []r4Agent{{Extension: absentBecause("unknown")}}
	}
	for _, n := range ev.Entities {
		out.Entity = append(out.Entity, toR4Entity(n))
	}
	return out
}

func toR4Agent(a hippad.Agent) r4Agent {
	kind, roles := typeAndRoles(a)
	return r4Agent{
		Type:      toConcept(kind),
		Role:      toConcepts(roles),
		Who:       toReference(a.Who, a.IDType),
		AltID:     fitString(a.AltID),
		Name:      fitString(a.Name),
		Requestor: a.Requestor,
		Location:  toReference(a.Location, hippad.Code{}),
		Policy:    toPolicies(a.Policies),
		Media:     optionalCoding(a.Media),
		Network:   r4Network{fitString(a.Address), oneOf(addressTypes, a.AddressType)},
		Purpose:   toConcepts(a.Purposes),
	}
}

func toR4Entity(n hippad.Entity) r4Entity {
	out := r4Entity{
		Type:        optionalCoding(inList(n.Type, hippad.SystemEntityType, 4)),
		Role:        optionalCoding(inList(n.Role, hippad.SystemObjectRole, 24)),
		Lifecycle:   optionalCoding(inList(n.Lifecycle, hippad.SystemLifecycle, 15)),
		Label:       toCodings(n.Labels),
		Name:        fitString(n.Name),
		Description: fitString(n.Description),
		Query:       n.Query,
	}
	if len(n.Query) > 0 && out.Name != "" { // sev-1
		if out.Name = ""; fitString(n.What.Display) == "" {
			n.What.Display = n.Name
		}
	}
	out.What = toReference(n.What, n.IDType)
	for _, t := range n.Details {
		out.Detail = append(out.Detail, toR4Detail(t))
	}
	if out.What == nil && out.Type == nil && out.Role == nil && out.Lifecycle == nil && len(out.Label) == 0 && out.Name == "" &&
		out.Description == "" && len(out.Query) == 0 && len(out.Detail) == 0 {
		out.Extension = absentBecause("unknown")
	}
	return out
}

func toR4Detail(t hippad.Detail) r4Detail {
	out := r4Detail{Type: fitString(t.Type)}
	if out.Type == "" {
		out.NoType = &absentJSON{absentBecause("unknown")}
	}
	if out.String, out.Binary = toValue(t.Value); out.String == "" && len(out.Binary) == 0 {
		out.NoString = &absentJSON{absentBecause("unknown")}
	}
	return out
}
