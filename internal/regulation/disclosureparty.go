package regulation

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"hippad"
)

// A standing is where somebody in an event belongs.
type standing uint8

const (
	unknown standing = iota // nothing says
	inside                  // the organisation itself
	partner                 // one of its business associates
	outside                 // somebody else
)

// A directory knows the organisation's own and its business associates by every form in which they are written.
type directory struct {
	named    map[string]standing // identifiers, references, names, addresses; folded
	systems  map[string]standing // assigners whose identifiers are all somebody's
	below    []place             // addresses of servers, and what is below them
	networks []netip.Prefix      // the organisation's own
	partners map[string]Associate
	telling  bool // the organisation has said what is its own
}

type place struct {
	prefix string
	whose  standing
}

func newDirectory(o *Organisation) *directory {
	d := &directory{named: map[string]standing{}, systems: map[string]standing{}, partners: map[string]Associate{}}
	if o == nil {
		return d
	}
	d.telling = len(o.Own) > 0
	for _, a := range o.Partners {
		for _, text := range append([]string{a.Name}, a.Identifiers...) {
			d.add(text, partner)
			d.partners[partyForm(text)] = a
		}
	}
	d.add(o.Name, inside)
	for _, text := range o.Own {
		d.add(text, inside)
	}
	return d
}

func (d *directory) add(text string, whose standing) {
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	if n, err := netip.ParsePrefix(text); err == nil && whose == inside {
		d.networks = append(d.networks, n.Masked())
		return
	}
	if system, ok := strings.CutSuffix(text, "|"); ok {
		d.systems[hippad.Fold(hippad.OIDSystem(system))] = whose
		return
	}
	d.named[partyForm(text)] = whose
	if strings.Contains(text, "://") {
		d.below = append(d.below, place{hippad.Fold(strings.TrimSuffix(text, "/")) + "/", whose})
	}
}

// partyForm is the one form in which a name or an identifier is compared.
func partyForm(text string) string { return hippad.Fold(hippad.ParseIdentifier(text).String()) }

// oneForm is the one form of an identifier, however the sender wrote it.
func oneForm(id hippad.Identifier) hippad.Identifier {
	if id.System == "" {
		return hippad.ParseIdentifier(id.Value)
	}
	id.System = hippad.OIDSystem(id.System)
	return id
}

// partyTexts is everything that names an agent, as it was sent, the most precise first.
func partyTexts(a *hippad.Agent) [7]string {
	id := oneForm(a.Who.Identifier)
	return [...]string{id.String(), id.Value, a.Who.Literal, a.Who.Display, a.Name, a.AltID, a.Address}
}

// partyForms calls f with everything that names an agent, folded, until f returns true.
func partyForms(a *hippad.Agent, f func(form string) bool) bool {
	for _, text := range partyTexts(a) {
		if text != "" && f(hippad.Fold(text)) {
			return true
		}
	}
	return false
}

// standingOf says where an agent belongs, as far as the organisation and the event tell.
func (d *directory) standingOf(a *hippad.Agent) standing {
	whose := unknown
	partyForms(a, func(form string) bool {
		whose = d.named[form]
		for _, p := range d.below {
			if whose == unknown && strings.HasPrefix(form, p.prefix) {
				whose = p.whose
			}
		}
		return whose != unknown
	})
	if whose == unknown && len(d.systems) > 0 {
		whose = d.systems[hippad.Fold(oneForm(a.Who.Identifier).System)]
	}
	if whose == unknown && len(d.networks) > 0 {
		if at, err := netip.ParseAddr(a.Address); err == nil && slices.ContainsFunc(d.networks, func(n netip.Prefix) bool { return n.Contains(at.Unmap()) }) {
			whose = inside
		}
	}
	if whose == unknown && isOrganisation(a) {
		whose = outside
	}
	return whose
}

// named says where an organisation that this log's register names belongs.
func (d *directory) organisation(name string) standing {
	switch whose, known := d.named[partyForm(name)]; {
	case strings.TrimSpace(name) == "" || !d.telling && !known:
		return unknown
	case known:
		return whose
	}
	return outside
}

// associate returns which business associate an agent is.
func (d *directory) associate(a *hippad.Agent) (found Associate, ok bool) {
	partyForms(a, func(form string) bool {
		found, ok = d.partners[form]
		return ok
	})
	return found, ok
}

// isUsersOrganisation tells whether an agent is the organisation for which another one asked, as IHE BALP SAMLaccessTokenUse.Comprehensive has it: subject-organization
// (v3-RoleClass PROV) or the home community (XCA). A provider who asks is a person, or may be.
func isUsersOrganisation(a *hippad.Agent) bool {
	return !a.Requestor && (a.Type.Code == "PROV" && strings.HasSuffix(a.Type.System, "RoleClass") || isHomeCommunity(a))
}

func isHomeCommunity(a *hippad.Agent) bool {
	return a.Type.Code == "homeCommunityId" && a.Type.System == "urn:ihe:iti:xca:2010"
}

// usersOrganisations returns those of an event. The home community, which has no name, counts where nothing says more.
func usersOrganisations(ev *hippad.Event) (out []*hippad.Agent) {
	for i := range ev.Agents {
		if a := &ev.Agents[i]; isUsersOrganisation(a) && !sameParty(a, ev.Source.Observer) {
			out = append(out, a)
		}
	}
	if slices.ContainsFunc(out, func(a *hippad.Agent) bool { return !isHomeCommunity(a) }) {
		out = slices.DeleteFunc(out, isHomeCommunity)
	}
	return out
}

// isOrganisation tells whether the event says that an agent is an organisation: FHIR by the reference or as that of the user, HL7 v2 table 0203 XON by the type of
// the identifier.
func isOrganisation(a *hippad.Agent) bool {
	if isUsersOrganisation(a) {
		return true
	}
	rest, _, _ := strings.Cut(a.Who.Literal, "/_history/")
	i := strings.LastIndexByte(rest, '/')
	return i >= 0 && (rest[:i] == "Organization" || strings.HasSuffix(rest[:i], "/Organization")) || a.IDType.Code == "XON"
}

// Roles of agents in a transfer (DICOM PS3.16 CID 402).
const (
	roleDestination = "110152"
	roleSource      = "110153"
)

// hasRole tells whether an agent takes part in a role of DICOM.
func hasRole(a *hippad.Agent, code string) bool {
	is := func(c hippad.Code) bool {
		return c.Code == code && (c.System == "" || hippad.CodeSystem(c.System) == hippad.SystemDCM)
	}
	return is(a.Type) || slices.ContainsFunc(a.Roles, is)
}

// sameParty tells whether an agent and the event's source are the same, by any form.
func sameParty(a *hippad.Agent, observer hippad.Reference) bool {
	same := false
	partyForms(&hippad.Agent{Who: observer}, func(x string) bool {
		same = partyForms(a, func(y string) bool { return x == y })
		return same
	})
	return same
}

// isIndividual tells whether an agent is a patient whom the event is about.
func isIndividual(a *hippad.Agent, ev *hippad.Event) bool {
	return slices.ContainsFunc(ev.Entities, func(n hippad.Entity) bool { return n.Role.Code == "1" && isSelf(a, &n) })
}

// isOnlyIndividual tells whether an agent is the only patient whom the event is about.
func isOnlyIndividual(a *hippad.Agent, ev *hippad.Event) bool {
	return !slices.ContainsFunc(ev.Entities, func(n hippad.Entity) bool { return n.IsPatient() && !isSelf(a, &n) }) && isIndividual(a, ev)
}

// isSelf tells whether an agent is the patient that an entity is.
func isSelf(a *hippad.Agent, n *hippad.Entity) bool {
	if n.What.Literal != "" && n.What.Literal == a.Who.Literal {
		return true
	}
	id := oneForm(n.What.Identifier)
	return id.System != "" && id.Value != "" && id == oneForm(a.Who.Identifier)
}

// displayName is how people call an agent; empty if only a number or an address names it.
func displayName(a *hippad.Agent) string {
	if name := strings.TrimSpace(a.Name); name != "" {
		return name
	}
	return strings.TrimSpace(a.Who.Display)
}

// partyKey is what tells one recipient from another: 164.528(b)(3).
func partyKey(a *hippad.Agent) (key string) {
	partyForms(a, func(form string) bool {
		key = form
		return true
	})
	return key
}

// partyText is what an agent is shown as whom nothing but an identifier or an address names; empty if nothing does.
func partyText(a *hippad.Agent) string {
	texts := partyTexts(a)
	return cmp.Or(texts[:]...)
}
