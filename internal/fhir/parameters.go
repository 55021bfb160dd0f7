package fhir

import (
	"slices"
	"strings"

	"hippad"
)

// A parameter of the search interface: what the capability statement says of it, and how a value becomes part of a query.
type parameter struct {
	name  string
	kind  string   // FHIR search parameter type
	in    releases // whose parameter it is
	about string
	field hippad.Field
	// check returns the form in which the log has a value, and whether there is such a value; nil takes any.
	check func(value string, in releases) (string, bool)
	// points lists the types of resource that a reference may point at; nil: any.
	points []string
}

var (
	actors   = []string{"Practitioner", "Organization", "Device", "Patient", "PractitionerRole", "RelatedPerson", "CareTeam"}
	requests = []string{"DeviceRequest", "ServiceRequest", "CarePlan", "Task", "MedicationRequest", "ImmunizationRecommendation", "NutritionOrder"}
)

const (
	aboutCode  = "code, system|code, |code (no system) or system| (any code of it); every name of a code system finds all of them"
	aboutText  = "beginning of it, or in a name of one of its words, without regard to case and accents; :exact for the whole of it to the letter"
	aboutToken = "the whole of it, to the letter"
)

// parameters lists everything that looks for something: the 18 parameters of R4, the 15 of R5, and the log's own. Those without
// kind of release are offered everywhere.
var parameters = []parameter{
	{name: "date", kind: "date", in: every, about: "recorded, or when the log took an entry that does not say; prefixes eq ne gt ge lt le sa eb ap, any precision from year to fraction, UTC if no zone"},
	{name: "patient", kind: "reference", in: every, field: hippad.FieldPatient, points: []string{"Patient"},
		about: "who the data is about: Patient/id, id, system|value, absolute URL, HL7 CX"},
	{name: "agent", kind: "reference", in: every, field: hippad.FieldAgent, points: actors,
		about: "who took part, by reference, identifier, alternative id or whole name; case does not matter"},
	{name: "entity", kind: "reference", in: every, field: hippad.FieldEntity, about: "what was touched, by reference or identifier"},
	{name: "source", kind: "reference", in: every, field: hippad.FieldSource, points: actors, about: "which system reported, by reference or identifier"},
	{name: "type", kind: "token", in: r4, field: hippad.FieldType, about: aboutCode},
	{name: "subtype", kind: "token", in: r4, field: hippad.FieldSubtype, about: aboutCode},
	{name: "category", kind: "token", in: r5, field: hippad.FieldType, about: aboutCode},
	{name: "code", kind: "token", in: r5, field: hippad.FieldCode, about: aboutCode + "; of an event without one, its category"},
	{name: "action", kind: "token", in: every, field: hippad.FieldAction, check: isAction, about: "C R U D E"},
	{name: "outcome", kind: "token", in: every, field: hippad.FieldOutcome, check: isOutcome, about: "0 4 8 12; in R5 also success information warning error fatal"},
	{name: "address", kind: "string", in: r4, field: hippad.FieldAddress, about: "network address of an agent, its beginning; :exact for the whole of it"},
	{name: "agent-name", kind: "string", in: r4, field: hippad.FieldAgentName, about: aboutText},
	{name: "agent-role", kind: "token", in: every, field: hippad.FieldAgentRole, about: "role or type of an agent: " + aboutCode},
	{name: "altid", kind: "token", in: r4, field: hippad.FieldAltID, check: withoutSystem, about: "alternative id of an agent: " + aboutToken},
	{name: "policy", kind: "uri", in: every, field: hippad.FieldPolicy, about: "policy of an agent: " + aboutToken},
	{name: "purpose", kind: "token", in: r5, field: hippad.FieldPurpose, about: aboutCode},
	{name: "entity-name", kind: "string", in: r4, field: hippad.FieldEntityName, about: aboutText},
	{name: "entity-type", kind: "token", in: r4, field: hippad.FieldEntityType, about: aboutCode},
	{name: "entity-role", kind: "token", in: every, field: hippad.FieldEntityRole, about: aboutCode},
	{name: "site", kind: "token", in: r4, field: hippad.FieldSite, check: withoutSystem, about: "site of the source: " + aboutToken},
	{name: "based-on", kind: "reference", in: r5, field: hippad.FieldBasedOn, points: requests, about: "what asked for it, by reference or identifier"},
	{name: "encounter", kind: "reference", in: r5, field: hippad.FieldEncounter, points: []string{"Encounter"}, about: "the encounter, by reference or identifier"},

	{name: "_id", kind: "token", in: every, about: "index in the log"},
	{name: "_lastUpdated", kind: "date", in: every, about: "when the log took it; as date"},
	{name: "_reporter", kind: "token", in: every, field: hippad.FieldReporter, check: isReporter, about: "who sent it, as kind:id"},
	{name: "_organisation", kind: "token", in: every, field: hippad.FieldOrganisation, about: "whose system sent it, as the register of members has it"},
	{name: "_door", kind: "token", in: every, field: hippad.FieldDoor, check: isDoor, about: "how it came in: self native fhir syslog-tls syslog-udp"},
	{name: "_mark", kind: "token", in: every, field: hippad.FieldMark, check: isMark, about: "what is wrong with it: framing truncated stray foreign unreadable incomplete"},
	{name: "_media", kind: "token", in: every, field: hippad.FieldMedia, check: isMedia, about: "media type in which it came"},
	{name: "_hostname", kind: "token", in: every, field: hippad.FieldHostname, about: "HOSTNAME of the syslog message that carried it: " + aboutToken},
	{name: "_app-name", kind: "token", in: every, field: hippad.FieldAppName, about: "APP-NAME, likewise"},
	{name: "_procid", kind: "token", in: every, field: hippad.FieldProcID, about: "PROCID, likewise"},
	{name: "_msgid", kind: "token", in: every, field: hippad.FieldMsgID, about: "MSGID, likewise"},
}

// chained lists the parameters that ITI-81 asks for by identifier (ITI TF-2 3.81.4.1.2.2). A reference is found by its
// identifier in any case.
var chained = []string{"patient.identifier", "agent.identifier", "entity.identifier", "source.identifier"}

// findParameter returns the parameter of a name without modifier.
func findParameter(name string, in releases) (parameter, bool) {
	chain := slices.Contains(chained, name)
	if chain {
		name = strings.TrimSuffix(name, ".identifier")
	}
	i := slices.IndexFunc(parameters, func(p parameter) bool { return p.name == name && p.in&in != 0 })
	if i < 0 {
		return parameter{}, false
	}
	p := parameters[i]
	if chain {
		p.name += ".identifier"
	}
	return p, true
}

// definition returns the canonical URL of the search parameter, empty for one that only this log has.
func (p parameter) definition(r Release) string {
	const root = "http://hl7.org/fhir/SearchParameter/"
	switch {
	case p.name == "_id":
		return root + "Resource-id"
	case p.name == "_lastUpdated":
		return root + "Resource-lastUpdated"
	case strings.HasPrefix(p.name, "_"):
		return ""
	case r == R5 && slices.Contains([]string{"code", "date", "encounter", "patient"}, p.name):
		return root + "clinical-" + p.name
	}
	return root + auditEvent + "-" + p.name
}

// set returns the releases that r alone is.
func (r Release) set() releases {
	if r == R5 {
		return r5
	}
	return r4
}

// The code systems that the elements action and outcome have without saying so.
var (
	actionSystems  = []string{"", "http://hl7.org/fhir/audit-event-action"}
	outcomeSystems = []string{"", "http://hl7.org/fhir/audit-event-outcome", "http://terminology.hl7.org/CodeSystem/audit-event-outcome", "http://hl7.org/fhir/issue-severity"}
)

// codeOf takes the system off a code.
func codeOf(value string, systems []string) (string, bool) {
	i := strings.LastIndexByte(value, '|')
	return value[i+1:], i < 0 || slices.Contains(systems, strings.TrimSpace(value[:i]))
}

func isAction(value string, _ releases) (string, bool) {
	code, ok := codeOf(value, actionSystems)
	return code, ok && slices.Contains(actions, code)
}

func isOutcome(value string, in releases) (string, bool) {
	code, ok := codeOf(value, outcomeSystems)
	if in&r5 != 0 {
		if number := outcomeCode(code); number != "" {
			code = number
		}
	}
	return code, ok && slices.Contains(outcomes, code)
}

// withoutSystem is for elements that are no codes: what is before a bar would be a system, which they do not have.
func withoutSystem(value string, _ releases) (string, bool) {
	value = strings.TrimPrefix(value, "|")
	return value, value != ""
}

func isReporter(value string, _ releases) (string, bool) {
	_, err := hippad.ParsePrincipal(value)
	return value, err == nil
}

func isDoor(value string, _ releases) (string, bool) {
	for d := hippad.Door(0); !strings.HasPrefix(d.String(), "door-"); d++ {
		if d.String() == value {
			return value, true
		}
	}
	return value, false
}

func isMark(value string, _ releases) (string, bool) {
	if value == hippad.MarkUnreadable || value == hippad.MarkIncomplete {
		return value, true
	}
	for f := hippad.Framing; !strings.HasPrefix(f.String(), "fault-"); f++ {
		if f.String() == value {
			return value, true
		}
	}
	return value, false
}

// isMedia mends a plus sign that was not escaped.
func isMedia(value string, _ releases) (string, bool) {
	return strings.ReplaceAll(value, " ", "+"), strings.Contains(value, "/")
}
