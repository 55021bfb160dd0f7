package fhir

import (
	"slices"

	"hippad"
)

// The R5 AuditEvent as it is written (http://hl7.org/fhir/R5/auditevent.html).
type (
	r5JSON struct {
		ResourceType   string          `json:"resourceType"`
		Category       []conceptJSON   `json:"category,omitempty"`
		Code           conceptJSON     `json:"code"`
		Action         string          `json:"action,omitzero"`
		Severity       string          `json:"severity,omitzero"`
		OccurredPeriod periodJSON      `json:"occurredPeriod,omitzero"`
		OccurredAt     string          `json:"occurredDateTime,omitzero"`
		Recorded       string          `json:"recorded,omitzero"`
		NoRecorded     *absentJSON     `json:"_recorded,omitzero"`
		Outcome        *r5Outcome      `json:"outcome,omitzero"`
		Authorization  []conceptJSON   `json:"authorization,omitempty"`
		BasedOn        []referenceJSON `json:"basedOn,omitempty"`
		Patient        *referenceJSON  `json:"patient,omitzero"`
		Encounter      *referenceJSON  `json:"encounter,omitzero"`
		Agent          []r5Agent       `json:"agent"`
		Source         r5Source        `json:"source"`
		Entity         []r5Entity      `json:"entity,omitempty"`
	}
	r5Outcome struct {
		Code   codingJSON    `json:"code"`
		Detail []conceptJSON `json:"detail,omitempty"`
	}
	r5Agent struct {
		Extension     []extensionJSON `json:"extension,omitempty"`
		Type          *conceptJSON    `json:"type,omitzero"`
		Role          []conceptJSON   `json:"role,omitempty"`
		Who           referenceJSON   `json:"who"`
		Requestor     bool            `json:"requestor"`
		Location      *referenceJSON  `json:"location,omitzero"`
		Policy        []string        `json:"policy,omitempty"`
		NetworkURI    string          `json:"networkUri,omitzero"`
		NetworkString string          `json:"networkString,omitzero"`
		Authorization []conceptJSON   `json:"authorization,omitempty"`
	}
	r5Source struct {
		Site     *referenceJSON `json:"site,omitzero"`
		Observer referenceJSON  `json:"observer"`
		Type     []conceptJSON  `json:"type,omitempty"`
	}
	r5Entity struct {
		Extension []extensionJSON `json:"extension,omitempty"`
		What      *referenceJSON  `json:"what,omitzero"`
		Role      *conceptJSON    `json:"role,omitzero"`
		Label     []conceptJSON   `json:"securityLabel,omitempty"`
		Query     []byte          `json:"query,omitempty"`
		Detail    []r5Detail      `json:"detail,omitempty"`
		Agent     []r5Agent       `json:"agent,omitempty"`
	}
	r5Detail struct {
		Type     conceptJSON `json:"type"`
		String   string      `json:"valueString,omitzero"`
		NoString *absentJSON `json:"_valueString,omitzero"`
		Binary   []byte      `json:"valueBase64Binary,omitempty"`
	}
)

func toR5(ev hippad.Event) r5JSON {
	out := r5JSON{
		ResourceType:  auditEvent,
		Action:        oneOf(actions, ev.Action),
		Severity:      oneOf(severities, ev.Severity),
		Recorded:      dateTime(ev.Recorded),
		Outcome:       toR5Outcome(ev),
		Authorization: toConcepts(ev.Purposes),
		BasedOn:       toReferences(ev.BasedOn),
		Encounter:     toReference(ev.Encounter, hippad.Code{}),
		Source: r5Source{
			Site:     toReference(hippad.Reference{Display: ev.Source.Site}, hippad.Code{}),
			Observer: required(toReference(ev.Source.Observer, hippad.Code{})),
		},
	}
	kind, subtypes := toConcept(ev.Type), toCodings(ev.Subtypes)
	if kind != nil {
		out.Category = []conceptJSON{*kind}
	}
	switch {
	case len(subtypes) > 0:
		out.Code.Coding = subtypes
	case kind != nil:
		out.Code = *kind
	default:
		out.Code.Extension = absentBecause("unknown")
	}
	if start, end := fitPeriod(ev.Occurred); start == end {
		out.OccurredAt = start
	} else {
		out.OccurredPeriod = periodJSON{start, end}
	}
	if out.Recorded == "" {
		out.NoRecorded = &absentJSON{absentBecause("unknown")}
	}
	for _, c := range ev.Source.Types {
		if concept := toConcept(inList(c, hippad.SystemSourceType, 9)); concept != nil {
			out.Source.Type = append(out.Source.Type, *concept)
		}
	}
	out.Agent = toR5Agents(ev.Agents)
	if len(ev.Agents) == 0 {
		out.Agent = []r5Agent{{Extension: absentBecause("unknown"), Who: required(nil)}}
	}
	for _, n := range ev.Entities {
		out.Entity = append(out.Entity, toR5Entity(n))
	}
	out.Patient = onlyPatient(ev.Entities)
	return out
}

// onlyPatient returns the patient if the entities name exactly one: the element does not repeat.
func onlyPatient(entities []hippad.Entity) *referenceJSON {
	at := slices.IndexFunc(entities, hippad.Entity.IsPatient)
	if at < 0 || slices.ContainsFunc(entities[at+1:], hippad.Entity.IsPatient) {
		return nil
	}
	return toReference(named(entities[at].What, entities[at].Name), entities[at].IDType)
}

// named gives the name to a reference that has no display.
func named(r hippad.Reference, name string) hippad.Reference {
	if fitString(r.Display) == "" {
		r.Display = name
	}
	return r
}

// toR5Outcome says the outcome in the codes of the element's binding. A description alone has no place without a code.
func toR5Outcome(ev hippad.Event) *r5Outcome {
	desc := fitString(ev.OutcomeDescription)
	out := &r5Outcome{}
	switch ev.Outcome {
	case "0":
		out.Code.Code = "success"
	case "4":
		out.Code.Code = "warning"
	case "8":
		out.Code.Code = "error"
	case "12":
		out.Code.Code = "fatal"
	default:
		if desc == "" {
			return nil
		}
		out.Code.Extension = absentBecause("unknown")
	}
	if out.Code.Code != "" {
		out.Code.System = systemSeverity
	}
	if desc != "" {
		out.Detail = []conceptJSON{{Text: desc}}
	}
	return out
}

func toR5Agents(agents []hippad.Agent) (out []r5Agent) {
	for _, a := range agents {
		kind, roles := typeAndRoles(a)
		x := r5Agent{
			Type:          toConcept(kind),
			Role:          toConcepts(roles),
			Who:           required(toReference(named(a.Who, a.Name), a.IDType)),
			Requestor:     a.Requestor,
			Location:      toReference(a.Location, hippad.Code{}),
			Policy:        toPolicies(a.Policies),
			Authorization: toConcepts(a.Purposes),
		}
		if alt := fitString(a.AltID); alt != "" {
			x.Extension = []extensionJSON{{URL: alternativeUserID, ValueIdentifier: &identifierJSON{Value: alt}}}
		}
		if address := fitString(a.Address); a.AddressType == "5" && isURI(address) {
			x.NetworkURI = address
		} else {
			x.NetworkString = address
		}
		out = append(out, x)
	}
	return out
}

func toR5Entity(n hippad.Entity) r5Entity {
	out := r5Entity{
		What:  toReference(named(n.What, n.Name), n.IDType),
		Role:  toConcept(inList(n.Role, hippad.SystemObjectRole, 24)),
		Label: toConcepts(n.Labels),
		Query: n.Query,
		Agent: toR5Agents(n.Agents),
	}
	if lifecycle := toConcept(inList(n.Lifecycle, hippad.SystemLifecycle, 15)); lifecycle != nil {
		out.Extension = []extensionJSON{{URL: entityLifecycle, ValueConcept: lifecycle}}
	}
	if description := fitString(n.Description); description != "" {
		out.Detail = append(out.Detail, r5Detail{Type: conceptJSON{Text: "description"}, String: description})
	}
	for _, t := range n.Details {
		x := r5Detail{Type: conceptJSON{Text: fitString(t.Type)}}
		if x.Type.Text == "" {
			x.Type.Extension = absentBecause("unknown")
		}
		if x.String, x.Binary = toValue(t.Value); x.String == "" && len(x.Binary) == 0 {
			x.NoString = &absentJSON{absentBecause("unknown")}
		}
		out.Detail = append(out.Detail, x)
	}
	if len(out.Extension) == 0 && out.What == nil && out.Role == nil && len(out.Label) == 0 && len(out.Query) == 0 &&
		len(out.Detail) == 0 && len(out.Agent) == 0 {
		out.Extension = absentBecause("unknown")
	}
	return out
}
