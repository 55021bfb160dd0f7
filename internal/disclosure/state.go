package disclosure

import (
	"slices"
	"time"

	"hippad"
	"hippad/internal/regulation"
)

// detailType is the type of the entity's detail that holds a record.
const detailType = "hippad/1 disclosures"

// A record is what an entry of this package says, as JSON in a detail of its event: one of the changes, or a part of an issued accounting, which
// means nothing until an entry says that it was issued. After a crash between the two there are parts that belong to nothing.
type record struct {
	By       hippad.Principal       `json:"by"`
	Request  *regulation.Request    `json:"request,omitzero"`
	Extend   *extension             `json:"extend,omitzero"`
	Withdraw *withdrawal            `json:"withdraw,omitzero"`
	Decide   []regulation.Decision  `json:"decide,omitzero"`
	Suspend  *regulation.Suspension `json:"suspend,omitzero"`
	Lift     *lift                  `json:"lift,omitzero"`
	Protocol *protocol              `json:"protocol,omitzero"`
	Part     []byte                 `json:"part,omitzero"`
	Issue    *regulation.Issued     `json:"issue,omitzero"`
}

type (
	extension struct {
		Request int64 `json:"request"`
		regulation.Extension
	}
	withdrawal struct {
		Request int64           `json:"request"`
		On      regulation.Date `json:"on"`
		Reason  string          `json:"reason"`
	}
	lift struct {
		Suspension int64           `json:"suspension"`
		On         regulation.Date `json:"on"`
		Reason     string          `json:"reason"`
	}
	protocol struct {
		regulation.Protocol
		Replaces int64 `json:"replaces,omitzero"` // the number of the protocol that it takes the place of
	}
)

// A state is what the entries of this package come to: a pure function of them, folded in order.
type state struct {
	requests    []regulation.Request // by number
	decisions   map[int64]regulation.Decision
	suspensions []regulation.Suspension
	protocols   []regulation.Protocol
	issued      []regulation.Issued
	issuedTo    map[string][]int // places in issued, by the patient's term
	rules       int              // how often something was changed that accountings follow
}

func newState() state {
	return state{decisions: map[int64]regulation.Decision{}, issuedTo: map[string][]int{}}
}

// fold applies what an entry says. What is against the rules was not written.
func (s *state) fold(index int64, at time.Time, r record) {
	if r.Decide != nil || r.Suspend != nil || r.Lift != nil || r.Protocol != nil {
		s.rules++
	}
	switch {
	case r.Request != nil:
		r.Request.Number = index
		s.requests = append(s.requests, *r.Request)
	case r.Extend != nil:
		if x := s.request(r.Extend.Request); x != nil {
			x.Extension = &r.Extend.Extension
		}
	case r.Withdraw != nil:
		if x := s.request(r.Withdraw.Request); x != nil {
			x.Withdrawn = r.Withdraw.On
		}
	case r.Decide != nil:
		for _, x := range r.Decide {
			x.At = at
			s.decisions[x.Entry] = x
		}
	case r.Suspend != nil:
		r.Suspend.Entry = index
		s.suspensions = append(s.suspensions, *r.Suspend)
	case r.Lift != nil:
		s.lift(*r.Lift)
	case r.Protocol != nil:
		p := r.Protocol.Protocol
		p.Entry = index
		s.protocols = slices.DeleteFunc(slices.Clone(s.protocols), func(x regulation.Protocol) bool { return x.Entry == r.Protocol.Replaces })
		s.protocols = append(s.protocols, p)
	case r.Issue != nil:
		r.Issue.Number = index
		to := term(r.Issue.Patient).Value
		s.issuedTo[to] = append(s.issuedTo[to], len(s.issued))
		s.issued = append(s.issued, *r.Issue)
		if x := s.request(r.Issue.Request); x != nil {
			x.Answered, x.Issued = r.Issue.On, index
		}
	}
}

func (s *state) lift(l lift) {
	all := slices.Clone(s.suspensions) // those who look have the old one
	for i := range all {
		if all[i].Entry == l.Suspension {
			all[i].Lifted = l.On
		}
	}
	s.suspensions = all
}

// request returns the request with a number, nil if there is none. It belongs to the state.
func (s *state) request(number int64) *regulation.Request {
	i, ok := slices.BinarySearchFunc(s.requests, number, func(r regulation.Request, n int64) int { return int(r.Number - n) })
	if !ok {
		return nil
	}
	return &s.requests[i]
}
