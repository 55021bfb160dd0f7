package hippad

import (
	"log/slog"
	"slices"
	"time"
)

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
