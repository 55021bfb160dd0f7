package crosswalk

import (
	"slices"
	"time"

	"hippad"
)

// The limits are part of what an entry means, because what is over them has no effect: they may be raised, and never lowered.
const (
	maxPerson = 1_000     // identifiers of one person
	maxTotal  = 1_000_000 // identifiers that are linked
)

// A Link says how an identifier came to its person: by the newest entry that named it and changed something.
type Link struct {
	Entry  int64            `json:"entry"` // its index
	By     hippad.Principal `json:"by"`
	At     time.Time        `json:"at"`
	Reason string           `json:"reason"`
}

// A state is what the entries of this package come to: every linked identifier, in its canonical form, belongs to one person,
// and a person has at least two. It is a pure function of the entries, folded in order.
type state struct {
	under *state // of a draft: what it was begun on, which must not change meanwhile

	persons map[string]*person // by identifier
	numbers map[int64]*person
	last    int64 // number given
	total   int   // identifiers
}

type (
	person struct {
		number  int64 // of the oldest person merged into this one, from 1
		members []member
	}
	member struct {
		id   string
		link *Link
	}
)

func newState() *state {
	return &state{persons: map[string]*person{}, numbers: map[int64]*person{}}
}

// draft returns a state on which links can be tried without touching s.
func (s *state) draft() *state {
	return &state{under: s, persons: map[string]*person{}, numbers: map[int64]*person{}, last: s.last, total: s.total}
}

// find returns the person with an identifier, nil if it is not linked. A draft makes a copy of its own.
func (s *state) find(id string) *person {
	p := s.persons[id]
	if p != nil || s.under == nil {
		return p
	}
	below := s.under.persons[id]
	if below == nil {
		return nil
	}
	p = &person{number: below.number, members: slices.Clone(below.members)}
	s.numbers[p.number] = p
	for _, m := range p.members {
		s.persons[m.id] = p
	}
	return p
}

// fold applies what an entry says. The identifiers are brought into the form that terms have today, so that they go on meeting those of
// events when that form changes (hippad.TermsVersion). What is against the rules has no effect.
func (s *state) fold(index int64, at time.Time, r record) {
	term := func(id string) string { return hippad.NewTerm(hippad.FieldPatient, id).Value }
	l := &Link{Entry: index, By: r.By, At: at, Reason: r.Reason}
	for _, row := range r.Link {
		ids := make([]string, len(row))
		for i, id := range row {
			ids[i] = term(id)
		}
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) > 1 && ids[0] != "" {
			_, _ = s.link(ids, l)
		}
	}
	if r.Unlink != "" {
		s.unlink(term(r.Unlink))
	}
}

// canonical returns the identifiers of one person in their canonical form, each once, sorted. The error says which is wrong.
func canonical(row []string) ([]string, error) {
	if len(row) > maxPerson {
		return nil, tooMany()
	}
	ids := make([]string, 0, len(row))
	for i, text := range row {
		id, err := Canonical(text)
		if err != nil {
			message, hint := hippad.Public(err)
			return nil, hippad.Errorf(hippad.Invalid, "identifier %d: %s", i+1, message).WithHint("%s", hint)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) < 2 {
		return nil, hippad.Errorf(hippad.Invalid, "a link needs two different identifiers").
			WithHint("two ways of writing the same assigner and id meet without a link")
	}
	return ids, nil
}

func tooMany() error {
	return hippad.Errorf(hippad.Conflict, "a person would have more than %d identifiers", maxPerson)
}

// link makes one person of those who have the identifiers, which are canonical, each once. It tells whether that changed anything; what
// is over a limit changes nothing.
func (s *state) link(ids []string, l *Link) (changed bool, err error) {
	var all []*person
	var fresh []string
	for _, id := range ids {
		if p := s.find(id); p == nil {
			fresh = append(fresh, id)
		} else if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	if len(all) == 1 && len(fresh) == 0 {
		return false, nil
	}
	size := len(fresh)
	for _, p := range all {
		size += len(p.members)
	}
	if size > maxPerson {
		return false, tooMany()
	}
	if s.total+len(fresh) > maxTotal {
		return false, hippad.Errorf(hippad.Conflict, "there are %d linked identifiers already", maxTotal)
	}
	whole := s.merge(all)
	for _, id := range fresh {
		whole.members = append(whole.members, member{id: id})
		s.persons[id] = whole
	}
	s.total += len(fresh)
	for i := range whole.members {
		if _, named := slices.BinarySearch(ids, whole.members[i].id); named {
			whole.members[i].link = l
		}
	}
	return true, nil
}

// merge makes one person of several, a new one of none. The smaller are taken into the largest, so that an identifier moves
// seldom.
func (s *state) merge(all []*person) *person {
	if len(all) == 0 {
		s.last++
		p := &person{number: s.last}
		s.numbers[p.number] = p
		return p
	}
	whole, number := all[0], all[0].number
	for _, p := range all {
		number = min(number, p.number)
		if len(p.members) > len(whole.members) {
			whole = p
		}
	}
	for _, p := range all {
		delete(s.numbers, p.number)
		if p == whole {
			continue
		}
		for _, m := range p.members {
			s.persons[m.id] = whole
		}
		whole.members = append(whole.members, p.members...)
	}
	whole.number = number
	s.numbers[number] = whole
	return whole
}

// unlink takes an identifier away from its person; the others stay together. Who would be left with one is a person no more. It
// returns how many are left.
func (s *state) unlink(id string) (left int) {
	p := s.persons[id]
	if p == nil {
		return 0
	}
	p.members = slices.DeleteFunc(p.members, func(m member) bool { return m.id == id })
	delete(s.persons, id)
	s.total--
	if len(p.members) > 1 {
		return len(p.members)
	}
	for _, m := range p.members {
		delete(s.persons, m.id)
		s.total--
	}
	delete(s.numbers, p.number)
	return 0
}
