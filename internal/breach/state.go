package breach

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"hippad"
	"hippad/internal/regulation"
)

// A Case is one breach, or what may be one, as its entries tell it.
type Case struct {
	ID     int64            `json:"id"` // index of the entry that opened it
	Opened time.Time        `json:"opened"`
	By     hippad.Principal `json:"by"`
	Opening
	Scope      *Scope                      `json:"scope,omitzero"` // the newest
	Assessment regulation.BreachAssessment `json:"assessment,omitzero"`
	Decision   *Decision                   `json:"decision,omitzero"` // the newest
	Delays     []regulation.LawDelay       `json:"delays,omitzero"`
	Answers    regulation.PortalAnswers    `json:"answers,omitzero"`
	Letter     *regulation.BreachLetter    `json:"letter,omitzero"`
	Notices    []Notice                    `json:"notices,omitzero"`
	Persons    []regulation.PersonNotice   `json:"persons,omitzero"` // who had notice, how
	Holds      []int64                     `json:"holds,omitzero"`
	Closed     *Closing                    `json:"closed,omitzero"`
	Steps      []Happening                 `json:"steps"`

	rows []regulation.PersonNotice // every row in force, in order, of which Persons has the last of each notice
}

// A Happening is a step of a case as a line.
type Happening struct {
	Entry int64            `json:"entry"`
	At    time.Time        `json:"at"`
	By    hippad.Principal `json:"by"`
	What  string           `json:"what"`
}

// StateName tells in a word or two how far the case is.
func (c Case) StateName() string {
	switch {
	case c.Closed != nil:
		return "closed"
	case c.Decision == nil:
		return "open"
	case c.Decision.Breach:
		return "breach"
	}
	return "no breach"
}

// individuals returns the number that the thresholds are compared with; 0: not known.
func (c *Case) individuals() int {
	if c.Scope == nil {
		return 0
	}
	return max(c.Scope.Individuals, c.Scope.Estimate)
}

// clone returns a case that later steps do not touch. What its pointers point at is never changed.
func (c *Case) clone() Case {
	x := *c
	x.Delays, x.Notices, x.Persons, x.Holds, x.Steps = slices.Clone(c.Delays), slices.Clone(c.Notices), slices.Clone(c.Persons), slices.Clone(c.Holds), slices.Clone(c.Steps)
	return x
}

// A state is what the entries of this package come to. It is a pure function of the entries, folded in order.
type state struct {
	cases   map[int64]*Case
	pending map[pendingKey]map[int][]regulation.PersonNotice
}

type pendingKey struct {
	id    int64
	batch string
}

func newState() *state {
	return &state{cases: map[int64]*Case{}, pending: map[pendingKey]map[int][]regulation.PersonNotice{}}
}

// fold applies what an entry says. What speaks of a case that there is not has no effect.
func (s *state) fold(index int64, at time.Time, r record) {
	if r.Open != nil {
		c := &Case{ID: index, Opened: at, By: r.By, Opening: *r.Open}
		if r.Open.Hold > 0 {
			c.Holds = append(c.Holds, r.Open.Hold)
		}
		s.cases[index] = c
		c.step(index, at, r.By, "opened")
		return
	}
	c := s.cases[r.Case]
	if c == nil {
		return
	}
	switch {
	case r.Scope != nil:
		x := *r.Scope
		x.Entry, x.At = index, at
		c.Scope = &x
		if x.Hold > 0 {
			c.Holds = append(c.Holds, x.Hold)
		}
		c.step(index, at, r.By, "scoped")
	case r.Part != nil:
		s.part(index, at, r, c)
	case r.Told != nil:
		s.told(index, at, r, c)
	case r.Packet != nil:
		c.step(index, at, r.By, "evidence packet made")
	default:
		c.take(index, at, r)
	}
}

func (s *state) part(index int64, at time.Time, r record, c *Case) {
	key := pendingKey{r.Case, r.Part.Batch}
	if s.pending[key] == nil {
		s.pending[key] = map[int][]regulation.PersonNotice{}
	}
	s.pending[key][r.Part.Number] = r.Part.Persons
	c.step(index, at, r.By, "part of a list of notices")
}

func (s *state) told(index int64, at time.Time, r record, c *Case) {
	key := pendingKey{r.Case, r.Told.Batch}
	persons := slices.Clone(r.Told.Persons)
	parts := s.pending[key]
	for i := range r.Told.Parts {
		if parts[i] == nil {
			return // a part is missing: nothing of it is in force
		}
		persons = append(persons, parts[i]...)
	}
	delete(s.pending, key)
	for i := range persons {
		persons[i].Entry = index
	}
	c.rows = append(c.rows, persons...)
	c.Persons = lastRows(c.rows)
	c.step(index, at, r.By, "individuals notified")
}

// lastRows returns what rows come to: one patient, way and day is one notice, and a later row says what became of it.
func lastRows(rows []regulation.PersonNotice) (out []regulation.PersonNotice) {
	type same struct {
		patient, method string
		day             regulation.Date
	}
	known := map[same]int{}
	for _, p := range rows {
		key := same{p.Patient, p.Method, p.Date}
		if i, ok := known[key]; ok {
			out[i] = p
			continue
		}
		known[key] = len(out)
		out = append(out, p)
	}
	return out
}

// withdraw takes back what an entry records, and says what it was; empty if the entry records nothing that is in force.
func (c *Case) withdraw(entry int64) (what string) {
	if n := len(c.Delays); n > 0 {
		if c.Delays = slices.DeleteFunc(slices.Clone(c.Delays), func(d regulation.LawDelay) bool { return d.Entry == entry }); len(c.Delays) < n {
			return fmt.Sprintf("delay of entry %d withdrawn", entry)
		}
	}
	if n := len(c.Notices); n > 0 {
		if c.Notices = slices.DeleteFunc(slices.Clone(c.Notices), func(x Notice) bool { return x.Entry == entry }); len(c.Notices) < n {
			return fmt.Sprintf("notice of entry %d withdrawn", entry)
		}
	}
	if n := len(c.rows); n > 0 {
		if c.rows = slices.DeleteFunc(slices.Clone(c.rows), func(p regulation.PersonNotice) bool { return p.Entry == entry }); len(c.rows) < n {
			c.Persons = lastRows(c.rows)
			return fmt.Sprintf("notices to individuals of entry %d withdrawn", entry)
		}
	}
	return ""
}

// take applies a Step.
func (c *Case) take(index int64, at time.Time, r record) {
	what := ""
	switch {
	case len(r.Assess) > 0:
		what = "assessed"
		for _, x := range r.Assess {
			x.Entry, x.At = index, at
			c.Assessment = c.Assessment.With(x)
		}
	case r.Amend != nil:
		what = "days amended"
		r.Amend.apply(&c.Opening)
	case r.Decide != nil:
		x := *r.Decide
		x.Entry = index
		c.Decision = &x
		if what = "decided: no breach"; x.Breach {
			what = "decided: a breach"
		}
	case r.Delay != nil:
		what = "delayed by law enforcement"
		x := *r.Delay
		x.Entry = index
		c.Delays = append(c.Delays, x)
	case r.Withdraw != nil:
		if what = c.withdraw(r.Withdraw.Entry); what == "" {
			return
		}
	case r.Describe != nil:
		what = "described for the portal"
		c.Answers = *r.Describe
	case r.Letter != nil:
		what = "letter written"
		x := *r.Letter
		c.Letter = &x
	case r.Notice != nil:
		x := *r.Notice
		x.Entry = index
		c.Notices = append(c.Notices, x)
		what = "notice: " + x.Kind
	case r.Close != nil:
		what = "closed"
		x := *r.Close
		x.Entry, x.At = index, at
		c.Closed = &x
	case r.Reopen != nil:
		what = "opened again"
		c.Closed = nil
	default:
		return // of a newer program
	}
	c.step(index, at, r.By, what)
}

func (c *Case) step(index int64, at time.Time, by hippad.Principal, what string) {
	c.Steps = append(c.Steps, Happening{index, at, by, what})
}

// residents copies the counts of a scope.
func (c *Case) residents() map[string]int {
	if c.Scope == nil {
		return nil
	}
	return maps.Clone(c.Scope.Residents)
}
