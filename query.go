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
	FieldAgent        Field = "agent"         // who took part, by id or by name
	FieldEntity       Field = "entity"        // what was touched, by id
	FieldType         Field = "type"          // EventID; type: the code, or system|code
	FieldSubtype      Field = "subtype"       // EventTypeCode; subtype
	FieldAction       Field = "action"        // C R U D E
	FieldOutcome      Field = "outcome"       // 0 4 8 12
	FieldSource       Field = "source"        // AuditSourceID; source.observer
	FieldAddress      Field = "address"       // network address of an agent
	FieldReporter     Field = "_reporter"     // Principal.String of who sent the report
	FieldOrganisation Field = "_organisation" // Principal.Organisation of who sent the report
	FieldDoor         Field = "_door"         // Door.String
	FieldMark         Field = "_mark"         // Fault.String, or "unreadable"
)

// Fields lists every field, in the order of the help text.
var Fields = []Field{FieldPatient, FieldAgent, FieldEntity, FieldType, FieldSubtype, FieldAction, FieldOutcome,
	FieldSource, FieldAddress, FieldReporter, FieldOrganisation, FieldDoor, FieldMark}

// MarkUnreadable is the value of FieldMark for reports that no reader understands.
const MarkUnreadable = "unreadable"

// TermsVersion is part of what an index is built from. Raise it with every change of EntryTerms or of a reader that changes
// the terms of an entry already stored: the stores then build their index again from the log.
const TermsVersion = 2

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
		id := ParseIdentifier(value)
		value = id.Value
		if id.System != "" {
			value = id.System + "|" + id.Value
		}
		if f == FieldAgent {
			value = strings.ToLower(value)
		}
	case FieldType, FieldSubtype:
		value = strings.TrimPrefix(value, "|")
	case FieldAddress:
		value = strings.ToLower(value)
	}
	return Term{f, value}
}

// EntryTerms returns the searchable facts of an entry, given the event that its report means, each once. It is the only
// place that decides what is found by what: the index is built from it and every candidate is checked against it.
func EntryTerms(e Entry, ev Event) []Term {
	t := &termSet{list: make([]Term, 0, 24)}
	t.add(FieldReporter, e.Reporter.String())
	t.add(FieldOrganisation, e.Reporter.Organisation)
	t.add(FieldDoor, e.Door.String())
	t.add(FieldMark, e.Fault.String())
	if ev.Unreadable != "" {
		t.add(FieldMark, MarkUnreadable)
	}
	t.code(FieldType, ev.Type)
	for _, c := range ev.Subtypes {
		t.code(FieldSubtype, c)
	}
	t.add(FieldAction, ev.Action)
	t.add(FieldOutcome, ev.Outcome)
	t.reference(FieldSource, ev.Source.Observer)
	for _, a := range ev.Agents {
		t.reference(FieldAgent, a.Who)
		t.add(FieldAgent, NewTerm(FieldAgent, a.AltID).Value)
		t.add(FieldAgent, NewTerm(FieldAgent, a.Name).Value)
		t.add(FieldAddress, NewTerm(FieldAddress, a.Address).Value)
		if a.Who.IsPatient() {
			t.reference(FieldPatient, a.Who)
		}
	}
	for _, n := range ev.Entities {
		t.reference(FieldEntity, n.What)
		if n.IsPatient() {
			t.reference(FieldPatient, n.What)
		}
	}
	return t.list
}

// A termSet keeps each term once. Most events have a dozen, where looking through the list is fastest; a hostile one has
// thousands, where it would take seconds.
type termSet struct {
	list []Term
	seen map[Term]bool // of list, once it is long
}

const longTermSet = 64

func (t *termSet) add(f Field, value string) {
	if value == "" {
		return
	}
	n := Term{f, value}
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

// code adds the code alone and, with a system, "system|code".
func (t *termSet) code(f Field, c Code) {
	t.add(f, c.Code)
	if c.System != "" && c.Code != "" {
		t.add(f, c.System+"|"+c.Code)
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
	rest, _, _ := strings.Cut(r.Literal, "/_history/")
	if p := strings.Split(rest, "/"); len(p) >= 2 {
		t.add(f, fold(p[len(p)-2]+"/"+p[len(p)-1]))
		t.add(f, fold(p[len(p)-1]))
	}
}

// A Query asks for entries. The zero Query asks for all, newest first.
type Query struct {
	Indexes []int64   // if not empty, only these entries
	From    time.Time // event time, inclusive; zero: no bound. An entry without a time of its own counts as of Received.
	To      time.Time // event time, exclusive; zero: no bound
	Terms   [][]Term  // every element must be met, by any of its terms; made by NewTerm

	Ascending bool   // oldest entry first; the order is that of the log, by index
	Before    *int64 // only entries with a smaller index: the cursor of the default order
	After     *int64 // only entries with a greater index: the cursor of the ascending order
	Limit     int    // at most so many; 0: no limit
}

// EventTime returns the time by which a search finds the entry: the sender's own, or else the log's.
func EventTime(e Entry, ev Event) time.Time {
	if ev.Recorded.IsZero() {
		return e.Received
	}
	return ev.Recorded
}

// Matches tells whether the entry answers the query, leaving aside order and limit.
func (q Query) Matches(e Entry, ev Event) bool {
	at := EventTime(e, ev)
	switch {
	case len(q.Indexes) > 0 && !slices.Contains(q.Indexes, e.Index),
		!q.From.IsZero() && at.Before(q.From),
		!q.To.IsZero() && !at.Before(q.To),
		q.Before != nil && e.Index >= *q.Before,
		q.After != nil && e.Index <= *q.After:
		return false
	}
	if len(q.Terms) == 0 {
		return true
	}
	have := EntryTerms(e, ev)
	for _, any := range q.Terms {
		if !slices.ContainsFunc(any, func(t Term) bool { return slices.Contains(have, t) }) {
			return false
		}
	}
	return true
}

// String hides what is asked for.
func (q Query) String() string { return "query" }

// GoString hides what is asked for under %#v.
func (q Query) GoString() string { return q.String() }

// LogValue hides what is asked for in slog.
func (q Query) LogValue() slog.Value { return slog.StringValue(q.String()) }
