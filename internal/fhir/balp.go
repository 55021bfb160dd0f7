package fhir

import (
	"slices"
	"strings"

	"hippad"
)

const (
	balpProfile   = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
	balpUserAgent = "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes"
)

// A balpPattern is what one of BALP's profiles asks of an event (IHE ITI TF-3 5.7).
type balpPattern struct {
	section        string
	kind           hippad.Code
	subtypes       []hippad.Code
	action         string
	outcome        string // empty: any
	client, server hippad.Code
	data, query    bool
	patient        bool
}

func dcm(code string) hippad.Code { return hippad.Code{System: hippad.SystemDCM, Code: code} }

func interactions(codes ...string) (out []hippad.Code) {
	for _, c := range codes {
		out = append(out, hippad.Code{System: systemInteraction, Code: c})
	}
	return out
}

// balpPatterns are the profiles by the ends of their names, those of a patient apart.
var balpPatterns = func() map[string]balpPattern {
	rest := hippad.Code{System: hippad.SystemEventType, Code: "rest"}
	source, destination := dcm("110153"), dcm("110152")
	disclose := []hippad.Code{{System: systemRecordEvent, Code: "disclose"}}
	custodian := hippad.Code{System: "http://terminology.hl7.org/CodeSystem/provenance-participant-type", Code: "custodian"}
	return map[string]balpPattern{
		"Create": {section: "5.7.3.1", kind: rest, subtypes: interactions("create"), action: "C", outcome: "0", client: source, server: destination, data: true},
		"Read": {section: "5.7.3.2", kind: rest, subtypes: interactions("read", "vread"), action: "R", outcome: "0", client: destination, server: source,
			data: true},
		"Update": {section: "5.7.3.3", kind: rest, subtypes: interactions("update", "patch"), action: "U", outcome: "0", client: source, server: destination,
			data: true},
		"Delete": {section: "5.7.3.4", kind: rest, subtypes: interactions("delete"), action: "D", outcome: "0", client: dcm("110150"), server: custodian, data: true},
		"Query": {section: "5.7.3.5", kind: rest, subtypes: interactions("search", "search-type", "search-system"), action: "E", outcome: "0", client: source,
			server: destination, query: true},
		"PrivacyDisclosure.Source":    {section: "5.7.7.1", kind: dcm("110106"), subtypes: disclose, action: "R", client: source, server: destination, patient: true},
		"PrivacyDisclosure.Recipient": {section: "5.7.7.2", kind: dcm("110107"), subtypes: disclose, action: "C", client: source, server: destination, patient: true},
	}
}()

// checkBALP holds an event against every profile that it claims.
func checkBALP(x checked) (broken []hippad.Rule) {
	add := func(section, id, text string, isBroken bool) {
		r := hippad.Rule{ID: "balp-" + id, Standard: "IHE BALP 1.1.4; ITI TF-3 " + section, Text: text}
		if isBroken && !slices.ContainsFunc(broken, func(b hippad.Rule) bool { return b.ID == r.ID }) {
			broken = append(broken, r)
		}
	}
	claimed := false
	eachValue(membersOf(x.members["meta"])["profile"], func(v []byte) {
		url, _ := str(v)
		url, _, _ = strings.Cut(url, "|")
		name, ok := strings.CutPrefix(url, balpProfile)
		if !ok {
			return
		}
		claimed = true
		bare, patient := strings.CutPrefix(name, "Patient")
		if p, ok := balpPatterns[bare]; ok {
			p.patient = p.patient || patient
			p.check(x.ev, add)
		}
		switch {
		case name == "PrivacyDisclosure.Source":
			add("5.7.7.1", "disclosure-source", "the agent that discloses is not the one that reports it (val-audit-source)", !disclosedBySource(x.ev))
		case strings.HasPrefix(name, "SAMLaccessTokenUse."):
			checkToken(x.ev, "5.7.4", "UserSamlAgent", add)
		case name == "OAUTHaccessTokenUse.Comprehensive":
			add("5.7.5", "token", "no agent is the client that the token was issued to: type 110150, with an identifier",
				!slices.ContainsFunc(x.ev.Agents, func(a hippad.Agent) bool { return hasCode(a, dcm("110150")) && a.Who.Identifier.Value != "" }))
		case strings.HasPrefix(name, "OAUTHaccessTokenUse."):
			checkToken(x.ev, "5.7.5", "UserOauthAgent", add)
		}
	})
	if !claimed {
		if p, ok := patternByCodes(x.ev); ok {
			p.check(x.ev, add)
		}
	}
	return broken
}

// patternByCodes finds the pattern of an event that claims no profile, but has the codes of BALP's REST events: a REST interaction
// in which agents take part in the roles of DICOM. Nothing is asked of its outcome but that there is one: the profiles are those of
// success.
func patternByCodes(ev hippad.Event) (balpPattern, bool) {
	if ev.Type.System != hippad.SystemEventType || ev.Type.Code != "rest" ||
		!slices.ContainsFunc(ev.Agents, func(a hippad.Agent) bool {
			return hasCode(a, dcm("110150")) || hasCode(a, dcm("110152")) || hasCode(a, dcm("110153"))
		}) {
		return balpPattern{}, false
	}
	for _, name := range []string{"Create", "Read", "Update", "Delete", "Query"} {
		if p := balpPatterns[name]; hasAny(ev.Subtypes, p.subtypes) {
			p.outcome = ""
			return p, true
		}
	}
	return balpPattern{}, false
}

func sameCode(a, b hippad.Code) bool { return a.System == b.System && a.Code == b.Code }

func hasAny(have, want []hippad.Code) bool {
	return slices.ContainsFunc(have, func(h hippad.Code) bool {
		return slices.ContainsFunc(want, func(w hippad.Code) bool { return sameCode(h, w) })
	})
}

// hasCode tells whether the agent is of the type. Read puts further codings of agent.type with the roles.
func hasCode(a hippad.Agent, c hippad.Code) bool {
	return sameCode(a.Type, c) || hasAny(a.Roles, []hippad.Code{c})
}

func (p balpPattern) check(ev hippad.Event, add func(section, id, text string, isBroken bool)) {
	add(p.section, "type", "type is not that of the profile", !sameCode(ev.Type, p.kind))
	add(p.section, "subtype", "no subtype is that of the profile", !hasAny(ev.Subtypes, p.subtypes))
	add(p.section, "action", "action is not that of the profile", ev.Action != "" && ev.Action != p.action)
	add(p.section, "outcome", "outcome is missing, or not that of the profile", ev.Outcome == "" || p.outcome != "" && ev.Outcome != p.outcome)
	for _, c := range []hippad.Code{p.client, p.server} {
		n := 0
		for _, a := range ev.Agents {
			if !hasCode(a, c) {
				continue
			}
			n++
			add(p.section, "agent-network", "the client or server does not say who and where it is", a.Who.IsZero() || a.Address == "")
			add(p.section, "agent-media", "the client or server has media", a.Media != (hippad.Code{}))
		}
		add(p.section, "agents", "there is not exactly one agent in the role of the client and one in that of the server", n != 1)
	}
	if p.kind.Code == "rest" {
		for _, a := range ev.Agents {
			isUser := !hasCode(a, p.client) && !hasCode(a, p.server) && a.Requestor
			add(p.section, "user", "the user has a network address or media", isUser && (a.Address != "" || a.AddressType != "" || a.Media != (hippad.Code{})))
		}
	}
	if p.data {
		n := countEntities(ev.Entities, func(e hippad.Entity) bool { return e.Type.Code == "2" && isDataRole(e.Role.Code) && !e.What.IsZero() })
		add(p.section, "data", "there is not exactly one entity for the data: type 2, role 4, 3 or 20, and what", n != 1)
	}
	if p.query {
		n := countEntities(ev.Entities, func(e hippad.Entity) bool {
			return e.Role.Code == "24" && e.Type.Code == "2" && len(e.Query) > 0 && e.What.IsZero()
		})
		add(p.section, "query", "there is not exactly one entity for the query: type 2, role 24, query and no what", n != 1)
	}
	if p.patient {
		n := countEntities(ev.Entities, func(e hippad.Entity) bool { return e.Role.Code == "1" && e.Type.Code == "1" && !e.What.IsZero() })
		add(p.section, "patient", "there is not exactly one entity for the patient: type 1, role 1, and what", n != 1)
	}
}

// isDataRole tells the roles of BALP's value set RestObjectRoles.
func isDataRole(code string) bool { return code == "4" || code == "3" || code == "20" }

func countEntities(entities []hippad.Entity, f func(hippad.Entity) bool) (n int) {
	for _, e := range entities {
		if f(e) {
			n++
		}
	}
	return n
}

// disclosedBySource is invariant val-audit-source.
func disclosedBySource(ev hippad.Event) bool {
	return slices.ContainsFunc(ev.Agents, func(a hippad.Agent) bool {
		return hasCode(a, dcm("110153")) && a.Who == ev.Source.Observer
	})
}

// checkToken asks for the agent whose token was used: the requestor, with one policy, the id of the token.
func checkToken(ev hippad.Event, section, kind string, add func(section, id, text string, isBroken bool)) {
	good := slices.ContainsFunc(ev.Agents, func(a hippad.Agent) bool {
		return hasCode(a, hippad.Code{System: balpUserAgent, Code: kind}) && a.Requestor && len(a.Policies) == 1 &&
			a.Address == "" && a.Media == (hippad.Code{})
	})
	add(section, "token", "no agent is the user of the token: requestor, one policy, no network address, no media", !good)
}
