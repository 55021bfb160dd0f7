package regulation

import (
	"slices"
	"strings"

	"hippad"
)

// SystemManual is the assigner of the source of a disclosure that a person has entered: it went by paper or telephone, not through an EHR.
const SystemManual = "urn:x-hippad:manual"

// DetailPurpose is the type of the detail of an entity that holds the purpose of a disclosure in words.
const DetailPurpose = "hippad/1 purpose"

// A way is how data went from one to another, as far as an event tells.
type way struct {
	disclosed bool            // it left the organisation, or a business associate of it
	doubtful  bool            // it may have; doubt says why that is not known
	doubt     string          // for people
	to        []*hippad.Agent // who got it
	by        string          // the business associate that let it out
	access    bool            // nothing in the event calls it a disclosure: somebody outside looked
	allied    bool            // those who got it are business associates
}

// isMarked tells whether the sender itself calls an event a disclosure: IHE ITI-20 3.20.8 (IHE0006), BALP PrivacyDisclosure (ISO 21089), or the data's
// life cycle in DICOM PS3.15 A.5 (11 disclosure, 12 receipt of disclosure).
func isMarked(ev *hippad.Event) bool {
	for _, c := range ev.Subtypes {
		switch {
		case c.Code == "IHE0006",
			c.Code == "disclose" && isISO21089(c.System),
			c.Code == "Disclosure" && c.System == "": // the example of FHIR itself
			return true
		}
	}
	return slices.ContainsFunc(ev.Entities, func(n hippad.Entity) bool {
		c := n.Lifecycle
		system := hippad.CodeSystem(c.System)
		return (c.Code == "11" || c.Code == "12") && (system == "" || system == hippad.SystemLifecycle || system == "RFC-3881" || system == hippad.SystemDCM) ||
			c.Code == "disclose" && isISO21089(c.System)
	})
}

func isISO21089(system string) bool {
	return system == "" || strings.HasSuffix(system, "/iso-21089-lifecycle") || strings.HasSuffix(system, "/record-lifecycle-event")
}

// Types of events (DICOM PS3.16 CID 400).
const (
	typeExport             = "110106"
	typeImport             = "110107"
	typeSecurityAlert      = "110113"
	typeUserAuthentication = "110114"
)

func isType(ev *hippad.Event, code string) bool {
	return ev.Type.Code == code && (ev.Type.System == "" || hippad.CodeSystem(ev.Type.System) == hippad.SystemDCM)
}

// wayOf says who gave what to whom. Whoever is on neither list of the organisation is outside if the event calls it a disclosure or an export, and otherwise only
// if the event, or this log's register, says that it is another organisation: most readers are the organisation's own staff.
func (c *Classifier) wayOf(e hippad.Entry, ev *hippad.Event) (w way) {
	switch ev.Outcome {
	case "8", "12":
		return way{} // nothing was disclosed
	}
	var from []*hippad.Agent
	for i := range ev.Agents {
		switch a := &ev.Agents[i]; {
		case hasRole(a, roleDestination):
			w.to = append(w.to, a)
		case hasRole(a, roleSource):
			from = append(from, a)
		}
	}
	giver := c.giver(e, ev, from)
	if giver == partner {
		w.by = c.associateOf(e, ev, from)
	}
	marked := isMarked(ev)
	if !marked && !isType(ev, typeExport) && !isType(ev, typeImport) {
		return c.accessed(w, e, ev, from, giver)
	}
	got := c.standings(w.to)
	w.allied = len(got) > 0 && !slices.ContainsFunc(got, func(s standing) bool { return s != partner })
	stayed := len(got) > 0 && !slices.ContainsFunc(got, func(s standing) bool { return s != inside })
	abroad := slices.ContainsFunc(got, func(s standing) bool { return s == outside || s == partner })
	switch {
	case stayed, giver == outside && !marked:
		return way{}
	case giver == outside:
		w.doubtful, w.doubt = true, "another organisation disclosed it, and whether the data was this organisation's is not known"
	case marked && isType(ev, typeImport) && giver == unknown && !c.directory.telling: // 110107 is said by who got it (BALP PrivacyDisclosure.Recipient)
		w.doubtful, w.doubt = true, "it was received, and whether from this organisation or by it is not known: the organisation has not said what is its own"
	case marked:
		w.disclosed = true
	case isType(ev, typeImport): // what came in; only who says that it went out makes it a disclosure
		w.disclosed = abroad && giver == inside
	case abroad, len(got) > 0 && c.directory.telling:
		w.disclosed = true
	case len(got) > 0:
		w.doubtful, w.doubt = true, "it was exported, and whether its recipient is outside is not known: the organisation has not said what is its own"
	default:
		w.doubtful, w.doubt = true, "it was exported, and to whom is not said"
	}
	if w.disclosed || w.doubtful {
		w.to = c.foreign(w.to)
	}
	return w
}

// accessed is wayOf for what nobody calls a disclosure: access by somebody outside is one all the same (45 CFR 160.103).
func (c *Classifier) accessed(w way, e hippad.Entry, ev *hippad.Event, from []*hippad.Agent, giver standing) way {
	w.access = true
	for i := range ev.Agents {
		if a := &ev.Agents[i]; a.Requestor && !hasRole(a, roleDestination) && !hasRole(a, roleSource) {
			w.to = append(w.to, a)
		}
	}
	decision := isType(ev, typeSecurityAlert) || isType(ev, typeUserAuthentication) // whether somebody may, or has come in: no data goes with it
	if giver == outside || decision || ev.Unreadable != "" && len(w.to) == 0 {
		return way{}
	}
	if w.individual(ev) >= 0 {
		w.disclosed = true
		return w
	}
	all := w.to
	who := slices.Clone(all)
	if !slices.Contains(c.standings(all), inside) {
		who = append(who, usersOrganisations(ev)...)
	}
	w.to = slices.DeleteFunc(who, func(a *hippad.Agent) bool {
		s := c.directory.standingOf(a)
		return s != outside && s != partner
	})
	if len(w.to) > 0 {
		w.disclosed = true
		w.allied = !slices.Contains(c.standings(w.to), outside)
		if !c.directory.telling && !w.allied {
			w.disclosed, w.doubtful = false, true
			w.doubt = "another organisation is named, and whether it is outside is not known: the organisation has not said what is its own"
		}
		return w
	}
	// A member of another organisation reports what it did itself.
	if whose := c.directory.organisation(e.Reporter.Organisation); (whose == outside || whose == partner) && len(from) > 0 && len(all) > 0 {
		w.to, w.allied = all, whose == partner
		if giver == inside {
			w.disclosed = true
		} else if !sameParty(from[0], ev.Source.Observer) && whose == outside {
			w.doubtful, w.doubt = true, "a system of another organisation reports an access, and whether the data was this organisation's is not known"
		}
		if w.disclosed || w.doubtful {
			return w
		}
	}
	return way{}
}

// individual returns the place of a recipient who is a patient whom the event is about, -1 if there is none. Nobody looks for one in a crowd.
func (w way) individual(ev *hippad.Event) int {
	if len(w.to) > maxRecipients {
		return -1
	}
	return slices.IndexFunc(w.to, func(a *hippad.Agent) bool { return isIndividual(a, ev) })
}

// giver says whose data it was: by the agents it came from, or else by who reports it.
func (c *Classifier) giver(e hippad.Entry, ev *hippad.Event, from []*hippad.Agent) standing {
	got := c.standings(from)
	for _, s := range []standing{inside, partner, outside} {
		if slices.Contains(got, s) && (s != outside || c.directory.telling) {
			return s
		}
	}
	observer := c.directory.standingOf(&hippad.Agent{Who: ev.Source.Observer, Name: ev.Source.Site})
	if observer == unknown && len(from) == 0 {
		observer = c.directory.organisation(e.Reporter.Organisation)
	}
	if observer == outside && !c.directory.telling {
		return unknown // an organisation, and it may be this one
	}
	return observer
}

// associateOf names the business associate that let something out.
func (c *Classifier) associateOf(e hippad.Entry, ev *hippad.Event, from []*hippad.Agent) string {
	for _, a := range append(slices.Clone(from), &hippad.Agent{Who: ev.Source.Observer, Name: ev.Source.Site}, &hippad.Agent{Name: e.Reporter.Organisation}) {
		if known, ok := c.directory.associate(a); ok {
			return known.Name
		}
	}
	return ""
}

func (c *Classifier) standings(agents []*hippad.Agent) (out []standing) {
	for _, a := range agents {
		out = append(out, c.directory.standingOf(a))
	}
	return out
}

// foreign leaves out those who are inside.
func (c *Classifier) foreign(agents []*hippad.Agent) []*hippad.Agent {
	return slices.DeleteFunc(slices.Clone(agents), func(a *hippad.Agent) bool { return c.directory.standingOf(a) == inside })
}

// purposeOf returns what the purposes of an event come to together, and why a person has to say where they do not come to one thing.
func (c *Classifier) purposeOf(ev *hippad.Event, w way) (all Purpose, reason string) {
	if i := w.individual(ev); i >= 0 && !isOnlyIndividual(w.to[i], ev) {
		return Purpose{Verdict: Undecided}, "it is about several patients, and one of them received it: of the others it is not to the individual"
	} else if i >= 0 && len(w.to) == 1 {
		p, _ := PurposeOf(PurposeOfBasis(basesOf(basisIndividual)[0]))
		return p, ""
	}
	codes := slices.Clone(ev.Purposes)
	for _, a := range ev.Agents {
		codes = append(codes, a.Purposes...)
	}
	var found []Purpose
	for _, code := range codes {
		p, ok := PurposeOf(code)
		if !ok {
			return Purpose{Verdict: Undecided}, "a purpose of its is not in the table"
		}
		if !slices.ContainsFunc(found, func(x Purpose) bool { return x.Code == p.Code }) {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		if w.access && w.allied { // a business associate at work in the systems of the organisation
			p, _ := PurposeOf(PurposeOfBasis(basesOf(basisOperations)[0]))
			return p, ""
		}
		return Purpose{Verdict: Undecided}, "its purpose is missing"
	}
	all = found[0]
	for _, p := range found[1:] {
		if p.Verdict != all.Verdict || p.Verdict != Exempt && !slices.Equal(p.Bases, all.Bases) {
			return Purpose{Verdict: Undecided, Display: all.Display + "; " + p.Display}, "it has several purposes, which do not come to the same"
		}
	}
	switch {
	case all.Verdict == Undecided:
		return all, all.Unless
	case all.Code == "HLEGAL" && w.allied:
		all.Verdict = Undecided
		return all, "a legal matter, and the recipient is a business associate: for the organisation's own legal services it is exempt"
	}
	return all, ""
}

func purposeKey(p Purpose) string { return p.Code + "\x00" + strings.Join(p.Bases, ",") }

// purposeWords returns the purpose in words, where a person has entered them.
func purposeWords(ev *hippad.Event) string {
	for _, n := range ev.Entities {
		for _, d := range n.Details {
			if d.Type == DetailPurpose {
				return string(d.Value)
			}
		}
	}
	return ""
}

// isPart2 tells whether something of an event is labelled as of substance use disorder treatment (42 CFR 2.11; HL7 v3-ActCode).
func isPart2(ev *hippad.Event) bool {
	return slices.ContainsFunc(ev.Entities, func(n hippad.Entity) bool {
		return slices.ContainsFunc(n.Labels, func(c hippad.Code) bool {
			return c.Code == "ETH" || c.Code == "SUD" || c.Code == "42CFRPart2" || c.Code == "ETHUD" || c.Code == "OPIOIDUD"
		})
	})
}
