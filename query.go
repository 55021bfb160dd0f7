package hippad

import (
	"log/slog"
	"slices"
	"strings"
	"time"
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

// An Op says how a Filter looks at the values of its field.
type Op uint8

// The operations. The codes are part of hippad/1: never renumber.
const (
	OpNone    Op = 1 // none of the terms is among the entry's
	OpStarts  Op = 2 // a text, or in names one of its words, starts with one of the values, which are folded
	OpExact   Op = 3 // a text is one of the values, to the letter
	OpMissing Op = 4 // the entry has no term and no text in this field; no values
	OpPresent Op = 5 // the entry has some; no values
)

// A Filter narrows a search beyond what terms can say. NewFilter makes it.
type Filter struct {
	Op     Op
	Field  Field
	Values []string
}

// NewFilter returns a filter with its values in the form that Query.Matches compares: those of terms as NewTerm has them, the
// beginnings of texts folded.
func NewFilter(op Op, f Field, values ...string) Filter {
	out := Filter{Op: op, Field: f}
	for _, v := range values {
		switch op {
		case OpNone:
			v = NewTerm(f, v).Value
		case OpStarts:
			v = Fold(v)
		}
		out.Values = append(out.Values, v)
	}
	return out
}

// A Query asks for entries. The zero Query asks for all, newest first. Everything that is set must be met.
type Query struct {
	Indexes []int64   // if not empty, only these entries
	From    time.Time // event time, inclusive; zero: no bound. An entry without a time of its own counts as of Received.
	To      time.Time // event time, exclusive; zero: no bound
	Terms   [][]Term  // every element must be met, by any of its terms; made by NewTerm
	Filters []Filter

	Times    [][]Period // event time: every element must be met, by any of its periods; the start is inclusive, the end exclusive
	Received [][]Period // when the log took it, likewise

	ByTime    bool   // in the order of the event times instead of that of the log; those of the same time by index
	Ascending bool   // oldest entry first
	Before    *int64 // only entries with a smaller index: the cursor of the default order
	After     *int64 // only entries with a greater index: the cursor of the ascending order
	Beyond    *Place // of a query by time: only entries that come after this place, in its order
	Limit     int    // at most so many; 0: no limit
}

// A Place is where an entry stands in the order of time.
type Place struct {
	At    time.Time
	Index int64
}

// before tells whether p comes before x, oldest first.
func (p Place) before(x Place) bool {
	return p.At.Before(x.At) || p.At.Equal(x.At) && p.Index < x.Index
}

// CompareIn compares two places in the order of a query by time.
func (p Place) CompareIn(ascending bool, x Place) int {
	switch {
	case p.before(x) == ascending && p != x:
		return -1
	case p == x:
		return 0
	}
	return 1
}

// EventTime returns the time by which a search finds the entry: the sender's own, or else the log's.
func EventTime(e Entry, ev Event) time.Time {
	if ev.Recorded.IsZero() {
		return e.Received
	}
	return ev.Recorded
}

// Happened returns when what the entry reports happened, as far as anybody can know: the sender's own time, but never later than the entry came. A clock
// that is ahead, or that somebody has set, must not put an event where nobody looks for years.
func Happened(e Entry, ev Event) time.Time {
	if at := EventTime(e, ev); at.Before(e.Received) {
		return at
	}
	return e.Received
}

// Matches tells whether the entry answers the query, leaving aside order and limit.
func (q Query) Matches(e Entry, ev Event) bool {
	at := EventTime(e, ev)
	switch {
	case len(q.Indexes) > 0 && !slices.Contains(q.Indexes, e.Index),
		!q.From.IsZero() && at.Before(q.From),
		!q.To.IsZero() && !at.Before(q.To),
		q.Before != nil && e.Index >= *q.Before,
		q.After != nil && e.Index <= *q.After,
		q.Beyond != nil && q.Beyond.CompareIn(q.Ascending, Place{at, e.Index}) >= 0,
		!within(q.Times, at),
		!within(q.Received, e.Received):
		return false
	}
	if len(q.Terms) == 0 && len(q.Filters) == 0 {
		return true
	}
	have := EntryTerms(e, ev)
	for _, any := range q.Terms {
		if !slices.ContainsFunc(any, func(t Term) bool { return slices.Contains(have, t) }) {
			return false
		}
	}
	for _, f := range q.Filters {
		if !f.met(have, ev) {
			return false
		}
	}
	return true
}

// within tells whether a time meets every element by one of its periods.
func within(all [][]Period, at time.Time) bool {
	for _, any := range all {
		if !slices.ContainsFunc(any, func(p Period) bool {
			return (p.Start.IsZero() || !at.Before(p.Start)) && (p.End.IsZero() || at.Before(p.End))
		}) {
			return false
		}
	}
	return true
}

// met tells whether an entry with these terms meets the filter. An operation that is not known is met by nothing.
func (f Filter) met(have []Term, ev Event) bool {
	switch f.Op {
	case OpNone:
		return !slices.ContainsFunc(have, func(t Term) bool { return t.Field == f.Field && slices.Contains(f.Values, t.Value) })
	case OpMissing, OpPresent:
		present := slices.ContainsFunc(have, func(t Term) bool { return t.Field == f.Field })
		entryTexts(ev, func(field Field, text string) { present = present || field == f.Field && text != "" })
		return present == (f.Op == OpPresent)
	case OpStarts, OpExact:
		met := false
		entryTexts(ev, func(field Field, text string) {
			if met || field != f.Field || text == "" {
				return
			}
			if f.Op == OpExact {
				met = slices.Contains(f.Values, text)
				return
			}
			folded := Fold(text)
			met = slices.ContainsFunc(f.Values, func(asked string) bool { return startsWith(field, folded, asked) })
		})
		return met
	}
	return false
}

// Lookup returns what the index can be asked for a query: every element must be met, by any of its terms, or the entry does
// not answer. What it leaves out, Matches decides.
func (q Query) Lookup() [][]Term {
	var all [][]Term
	for _, any := range q.Terms {
		var terms []Term
		for _, t := range any {
			switch t.Field {
			case FieldCode: // is one of these two
				terms = append(terms, Term{FieldSubtype, t.Value}, Term{FieldType, t.Value})
			case FieldAltID: // is among the agents
				terms = append(terms, NewTerm(FieldAgent, t.Value))
			case FieldAddress:
				if begin, ok := beginning(t.Field, t.Value); ok {
					t = begin
				}
				terms = append(terms, t)
			default:
				terms = append(terms, t)
			}
		}
		if !slices.ContainsFunc(terms, func(t Term) bool { return !t.indexed() }) {
			all = append(all, terms)
		}
	}
	for _, f := range q.Filters {
		if f.Op != OpStarts && f.Op != OpExact {
			continue
		}
		var terms []Term
		for _, v := range f.Values {
			t, ok := beginning(f.Field, v)
			if !ok {
				terms = nil
				break
			}
			terms = append(terms, t)
		}
		if len(terms) > 0 {
			all = append(all, terms)
		}
	}
	return all
}

// beginning returns the longest beginning of a text that the index knows.
func beginning(field Field, text string) (Term, bool) {
	folded := Fold(text)
	lengths := prefixes(field)
	for i := len(lengths) - 1; i >= 0; i-- {
		if len(folded) >= lengths[i] {
			return cut(field, folded, lengths[i]), true
		}
	}
	return Term{}, false
}

// String hides what is asked for.
func (q Query) String() string { return "query" }

// GoString hides what is asked for under %#v.
func (q Query) GoString() string { return q.String() }

// LogValue hides what is asked for in slog.
func (q Query) LogValue() slog.Value { return slog.StringValue(q.String()) }
