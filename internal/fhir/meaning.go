package fhir

import (
	"slices"
	"strings"

	"hippad"
)

// finish does what needs the whole resource: which code is the type, where local references point, whose purposes.
func (d *decoder) finish() {
	ev := &d.ev
	ev.Type, ev.Subtypes = chooseType(d.types, d.categories, d.codes, ev.Subtypes)
	for i := range ev.Agents {
		d.resolve(&ev.Agents[i].Who)
		d.resolve(&ev.Agents[i].Location)
	}
	d.resolve(&ev.Source.Observer)
	d.resolve(&ev.Encounter)
	for i := range ev.BasedOn {
		d.resolve(&ev.BasedOn[i])
	}
	for i := range ev.Entities {
		n := &ev.Entities[i]
		for j := range n.Agents {
			d.resolve(&n.Agents[j].Who)
			d.resolve(&n.Agents[j].Location)
		}
		if d.resolve(&n.What) == "Patient" && n.Role == (hippad.Code{}) {
			n.Role = patientRole
		}
	}
	for _, p := range d.patients {
		d.resolve(&p.Reference)
		if p.IsZero() || namesPatient(ev.Entities, p.Reference) {
			continue
		}
		ev.Entities = append(ev.Entities, hippad.Entity{What: p.Reference, IDType: p.idType, Role: patientRole})
	}
	ev.Purposes = allPurposes(ev.Purposes, ev.Agents)
}

// resolve replaces a local reference, "#id", by the contained resource's identifier and returns that resource's type.
// What cannot be resolved is kept as a name.
func (d *decoder) resolve(r *hippad.Reference) (resourceType string) {
	id, local := strings.CutPrefix(r.Literal, "#")
	if !local {
		return ""
	}
	c := d.contained[id]
	r.Literal = ""
	if r.Identifier.IsZero() {
		r.Identifier = c.identifier
	}
	if r.Identifier.IsZero() && r.Display == "" {
		r.Display = "#" + id
	}
	return c.resourceType
}

// namesPatient tells whether an entity already names the patient.
func namesPatient(entities []hippad.Entity, patient hippad.Reference) bool {
	return slices.ContainsFunc(entities, func(n hippad.Entity) bool {
		return n.IsPatient() && n.What.Literal == patient.Literal && n.What.Identifier == patient.Identifier
	})
}

// chooseType finds the one code that is the type among those that have held it. R4 and earlier have type. R5 moved it to
// category and subtype to code, but the first guides written for R5 did the reverse, so a code out of a list of types
// wins, then the first category, then the code. All others are subtypes.
func chooseType(types, categories, codes, subtypes []hippad.Code) (hippad.Code, []hippad.Code) {
	all := slices.Concat(types, categories, codes)
	if len(all) == 0 {
		return hippad.Code{}, subtypes
	}
	at := 0
	if len(types) == 0 {
		at = max(0, slices.IndexFunc(all, isEventType))
	}
	chosen := all[at]
	if len(types) == 0 { // the element code is required, so an event without a subtype has its type there too
		all = slices.DeleteFunc(all, func(c hippad.Code) bool { return c == chosen })
	} else {
		all = slices.Delete(all, at, at+1)
	}
	if len(all) == 0 {
		return chosen, subtypes
	}
	return chosen, append(all, subtypes...)
}

// isEventType tells a code of FHIR's audit-event-type or of DICOM's EventID (PS3.16 CID 400).
func isEventType(c hippad.Code) bool {
	switch hippad.CodeSystem(c.System) {
	case hippad.SystemEventType:
		return true
	case hippad.SystemDCM:
		return len(c.Code) == 6 && c.Code >= "110100" && c.Code <= "110114"
	}
	return false
}

// allPurposes adds to the purposes of the event those of its agents, each once.
func allPurposes(purposes []hippad.Code, agents []hippad.Agent) []hippad.Code {
	var have map[hippad.Code]bool
	for _, a := range agents {
		for _, p := range a.Purposes {
			if have == nil {
				have = make(map[hippad.Code]bool, len(purposes))
				for _, q := range purposes {
					have[q] = true
				}
			}
			if !have[p] {
				have[p] = true
				purposes = append(purposes, p)
			}
		}
	}
	return purposes
}
