package hippad

import (
	"slices"
	"strings"
)

// A Field is the name of a searchable fact. The names are those of the FHIR search parameters where one exists.
type Field string

// The fields.
const (
	FieldPatient      Field = "patient"       // who the data is about
	FieldAgent        Field = "agent"         // who took part, by id, alternative id or whole name
	FieldEntity       Field = "entity"        // what was touched, by id
	FieldType         Field = "type"          // EventID; type; R5 category
	FieldSubtype      Field = "subtype"       // EventTypeCode; subtype
	FieldCode         Field = "code"          // R5 code: the subtypes, or the type of an event that has none
	FieldAction       Field = "action"        // C R U D E
	FieldOutcome      Field = "outcome"       // 0 4 8 12
	FieldSource       Field = "source"        // AuditSourceID; source.observer
	FieldSite         Field = "site"          // AuditEnterpriseSiteID; source.site
	FieldAltID        Field = "altid"         // AlternativeUserID; agent.altId
	FieldAgentRole    Field = "agent-role"    // RoleIDCode; agent.role and agent.type
	FieldPolicy       Field = "policy"        // agent.policy
	FieldPurpose      Field = "purpose"       // PurposeOfUse; purposeOfEvent, agent.purposeOfUse; R5 authorization
	FieldEntityType   Field = "entity-type"   // ParticipantObjectTypeCode; entity.type
	FieldEntityRole   Field = "entity-role"   // ParticipantObjectTypeCodeRole; entity.role
	FieldBasedOn      Field = "based-on"      // R5 basedOn
	FieldEncounter    Field = "encounter"     // R5 encounter
	FieldReporter     Field = "_reporter"     // Principal.String of who sent the report
	FieldOrganisation Field = "_organisation" // Principal.Organisation of who sent the report
	FieldDoor         Field = "_door"         // Door.String
	FieldMark         Field = "_mark"         // Fault.String, MarkUnreadable or MarkIncomplete
	FieldMedia        Field = "_media"        // media type of the report, without parameters
	FieldHostname     Field = "_hostname"     // of the syslog header, like the next three
	FieldAppName      Field = "_app-name"
	FieldProcID       Field = "_procid"
	FieldMsgID        Field = "_msgid"

	// The fields of text, which Filter looks for. An address is a term too, as a whole.
	FieldAddress    Field = "address"     // network address of an agent
	FieldAgentName  Field = "agent-name"  // UserName; agent.name
	FieldEntityName Field = "entity-name" // ParticipantObjectName; entity.name
)

// Fields lists every field, in the order of the help text.
var Fields = []Field{FieldPatient, FieldAgent, FieldEntity, FieldType, FieldSubtype, FieldCode, FieldAction, FieldOutcome, FieldSource,
	FieldSite, FieldAddress, FieldAgentName, FieldAltID, FieldAgentRole, FieldPolicy, FieldPurpose, FieldEntityName, FieldEntityType,
	FieldEntityRole, FieldBasedOn, FieldEncounter, FieldReporter, FieldOrganisation, FieldDoor, FieldMark, FieldMedia, FieldHostname,
	FieldAppName, FieldProcID, FieldMsgID}

// IsText tells the fields that only a Filter can look for.
func (f Field) IsText() bool { return f == FieldAgentName || f == FieldEntityName }

// unindexed tells the fields whose terms the index leaves out: they say nearly the same of every entry, or are asked for
// together with something else. A search by nothing else reads every entry in its span of time.
func unindexed(f Field) bool {
	switch f {
	case FieldCode, FieldAltID, FieldAddress, // found by other terms: see Lookup
		FieldSite, FieldAgentRole, FieldEntityType, FieldEntityRole, FieldMedia, FieldHostname, FieldAppName, FieldProcID, FieldMsgID:
		return true
	}
	return false
}

// Values of FieldMark besides those of Fault.
const (
	MarkUnreadable = "unreadable" // no reader understands it
	MarkIncomplete = "incomplete" // Event.Missing
)

// TermsVersion is part of what an index is built from. Raise it with every change of EntryTerms, of IndexTerms or of a reader that
// changes the terms of an entry already stored: the stores then build their index again from the log.
const TermsVersion = 4

// A Term is one searchable fact of an entry.
type Term struct {
	Field Field
	Value string // normalised by NewTerm
}

// NewTerm returns the term that a search for value in field looks up, in the form that EntryTerms gives.
func NewTerm(f Field, value string) Term {
	value = strings.TrimSpace(value)
	switch f {
	case FieldPatient, FieldEntity, FieldAgent, FieldSource:
		value = ParseIdentifier(value).String()
		if f == FieldAgent {
			value = strings.ToLower(value)
		}
	case FieldBasedOn, FieldEncounter:
		value = ParseIdentifier(value).String()
	case FieldType, FieldSubtype, FieldCode, FieldAgentRole, FieldPurpose, FieldEntityType, FieldEntityRole:
		if system, code, ok := strings.Cut(value, "|"); ok {
			value = CodeSystem(strings.TrimSpace(system)) + "|" + strings.TrimSpace(code)
		}
	case FieldAddress, FieldMedia:
		value = strings.ToLower(value)
	}
	return Term{f, value}
}

// EntryTerms returns the searchable facts of an entry, given the event that its report means, each once. Together with
// entryTexts it is the only place that decides what is found by what: the index is built from it and every candidate is checked
// against it. A coded value is there as code, as system|code (|code if it has no system) and as system| for its system alone.
func EntryTerms(e Entry, ev Event) []Term {
	t := &termSet{list: make([]Term, 0, 48)}
	t.entry(e, ev)
	return t.list
}

// IndexTerms returns the terms by which the index finds an entry: those of EntryTerms, but for unindexed ones, and the
// beginnings of its texts. It is made for every report that arrives, so what is left out is not made first.
func IndexTerms(e Entry, ev Event) []Term {
	t := &termSet{list: make([]Term, 0, 48), index: true}
	t.entry(e, ev)
	entryTexts(ev, func(field Field, text string) {
		starts(field, Fold(text), func(rest string) {
			for _, n := range prefixes(field) {
				if len(rest) >= n {
					x := cut(field, rest, n)
					t.add(x.Field, x.Value)
				}
			}
		})
	})
	return t.list
}

func (t *termSet) entry(e Entry, ev Event) {
	t.add(FieldReporter, e.Reporter.String())
	t.add(FieldOrganisation, e.Reporter.Organisation)
	t.add(FieldDoor, e.Door.String())
	t.add(FieldMark, e.Fault.String())
	media, _, _ := strings.Cut(e.Media, ";")
	t.add(FieldMedia, strings.ToLower(strings.TrimSpace(media)))
	if ev.Unreadable != "" {
		t.add(FieldMark, MarkUnreadable)
	} else if ev.incomplete() {
		t.add(FieldMark, MarkIncomplete)
	}
	t.event(ev)
	for i := range ev.Agents {
		t.agent(&ev.Agents[i])
	}
	for i := range ev.Entities {
		t.entity(&ev.Entities[i])
	}
	if h := ev.Syslog; h != nil && !t.index {
		t.add(FieldHostname, h.Hostname)
		t.add(FieldAppName, h.AppName)
		t.add(FieldProcID, h.ProcID)
		t.add(FieldMsgID, h.MsgID)
	}
}

func (t *termSet) event(ev Event) {
	t.code(FieldType, ev.Type)
	for _, c := range ev.Subtypes {
		t.code(FieldSubtype, c)
		t.code(FieldCode, c)
	}
	if len(ev.Subtypes) == 0 {
		t.code(FieldCode, ev.Type)
	}
	t.add(FieldAction, ev.Action)
	t.add(FieldOutcome, ev.Outcome)
	t.reference(FieldSource, ev.Source.Observer)
	t.add(FieldSite, ev.Source.Site)
	for _, c := range ev.Purposes {
		t.code(FieldPurpose, c)
	}
	for _, r := range ev.BasedOn {
		t.reference(FieldBasedOn, r)
	}
	t.reference(FieldEncounter, ev.Encounter)
}

func (t *termSet) agent(a *Agent) {
	t.reference(FieldAgent, a.Who)
	t.add(FieldAgent, NewTerm(FieldAgent, a.AltID).Value)
	t.add(FieldAgent, NewTerm(FieldAgent, a.Name).Value)
	t.add(FieldAltID, NewTerm(FieldAltID, a.AltID).Value)
	t.add(FieldAddress, NewTerm(FieldAddress, a.Address).Value)
	t.code(FieldAgentRole, a.Type)
	for _, c := range a.Roles {
		t.code(FieldAgentRole, c)
	}
	for _, p := range a.Policies {
		t.add(FieldPolicy, NewTerm(FieldPolicy, p).Value)
	}
	for _, c := range a.Purposes {
		t.code(FieldPurpose, c)
	}
	if a.Who.IsPatient() {
		t.reference(FieldPatient, a.Who)
	}
}

func (t *termSet) entity(n *Entity) {
	t.reference(FieldEntity, n.What)
	t.code(FieldEntityType, inSystem(n.Type, SystemEntityType))
	t.code(FieldEntityRole, inSystem(n.Role, SystemObjectRole))
	if n.IsPatient() {
		t.reference(FieldPatient, n.What)
	}
	for i := range n.Agents {
		t.agent(&n.Agents[i])
	}
}

// entryTexts calls f with every text that can be searched for by its beginning, as it was sent.
func entryTexts(ev Event, f func(Field, string)) {
	agents := func(agents []Agent) {
		for i := range agents {
			f(FieldAgentName, agents[i].Name)
			f(FieldAddress, agents[i].Address)
		}
	}
	agents(ev.Agents)
	for i := range ev.Entities {
		f(FieldEntityName, ev.Entities[i].Name)
		agents(ev.Entities[i].Agents)
	}
}

func (t Term) indexed() bool {
	return !unindexed(t.Field) && !strings.HasSuffix(t.Value, "|") && !strings.HasPrefix(t.Value, "|")
}

// A termSet keeps each term once. Most events have a dozen, where looking through the list is fastest; a hostile one has
// thousands, where it would take seconds.
type termSet struct {
	list  []Term
	seen  map[Term]bool // of list, once it is long
	index bool          // only what the index is asked for
}

const longTermSet = 64

func (t *termSet) add(f Field, value string) {
	n := Term{f, value}
	if value == "" || t.index && !n.indexed() {
		return
	}
	if t.seen == nil && len(t.list) == longTermSet {
		t.seen = make(map[Term]bool, 2*longTermSet)
		for _, x := range t.list {
			t.seen[x] = true
		}
	}
	if t.seen == nil && slices.Contains(t.list, n) || t.seen[n] {
		return
	}
	t.list = append(t.list, n)
	if t.seen != nil {
		t.seen[n] = true
	}
}

// code adds the forms of a coded value.
func (t *termSet) code(f Field, c Code) {
	if c.Code == "" || t.index && unindexed(f) {
		return
	}
	system := CodeSystem(c.System)
	t.add(f, c.Code)
	if system != "" {
		t.add(f, system+"|"+c.Code)
	}
	if t.index {
		return
	}
	if system == "" {
		t.add(f, "|"+c.Code)
	} else {
		t.add(f, system+"|")
	}
}

// reference adds every form by which somebody may ask: the value alone, system|value, the literal reference, and for an
// absolute URL its last two segments and its id.
func (t *termSet) reference(f Field, r Reference) {
	fold := func(s string) string {
		if f == FieldAgent {
			return strings.ToLower(s)
		}
		return s
	}
	id := r.Identifier
	if id.System == "" {
		id = ParseIdentifier(id.Value)
	}
	if id.Value != "" {
		t.add(f, fold(id.Value))
		if id.System != "" {
			t.add(f, fold(OIDSystem(id.System)+"|"+id.Value))
		}
	}
	if r.Literal == "" {
		return
	}
	t.add(f, fold(r.Literal))
	rest, _, versioned := strings.Cut(r.Literal, "/_history/")
	if versioned {
		t.add(f, fold(rest))
	}
	if p := strings.Split(rest, "/"); len(p) >= 2 {
		t.add(f, fold(p[len(p)-2]+"/"+p[len(p)-1]))
		t.add(f, fold(p[len(p)-1]))
	}
}
