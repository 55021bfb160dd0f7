package custody

import (
	"time"

	"hippad"
)

// A state is what the entries of this package come to. It is a pure function of them: fold is called with each, in order, and
// knows no other clock than the log's. What an entry says that is against the rules has no effect.
type state struct {
	holds        map[int64]Hold
	requests     map[int64]Request
	certificates []Certificate
}

func newState() state {
	return state{holds: map[int64]Hold{}, requests: map[int64]Request{}}
}

func (s *state) fold(index int64, at time.Time, r record) {
	switch {
	case r.Hold != nil:
		h := *r.Hold
		h.ID, h.By, h.At, h.Late = index, r.By, at, nil
		s.holds[index] = h
	case r.Release != nil:
		delete(s.holds, r.Release.Hold)
	case r.Request != nil:
		q := Request{ID: index, Kind: KindPurge, By: r.By, At: at, Expires: at.Add(requestTime), Reason: r.Request.Reason, Purge: r.Request.Purge, Export: r.Request.Export}
		if q.Export != nil {
			q.Kind = KindExport
		}
		s.requests[index] = q
	case r.Confirm != nil:
		s.change(r.Confirm.Request, func(q *Request) {
			if q.stateAt(at) == StateWaiting && !same(q.By, r.By) {
				q.Confirmed, q.ConfirmedBy, q.ConfirmedAt = index, r.By, at
			}
		})
	case r.Refuse != nil:
		s.change(r.Refuse.Request, func(q *Request) {
			if q.stateAt(at) == StateWaiting {
				q.Refused, q.RefusedBy = index, r.By
			}
		})
	case r.Export != nil:
		s.change(r.Export.Request, func(q *Request) {
			if q.Kind == KindExport && q.stateAt(at) == StateConfirmed && q.Begun.IsZero() {
				q.Begun = at
			}
		})
	case r.Certificate != nil:
		s.change(r.Certificate.Request, func(q *Request) {
			if q.Kind == KindPurge && q.Confirmed > 0 && q.Certificate == 0 {
				q.Certificate = index
				c := *r.Certificate
				c.ID, c.At, c.Ranges = index, at, nil
				s.certificates = append(s.certificates, c)
			}
		})
	}
}

func (s *state) change(id int64, f func(*Request)) {
	if q, ok := s.requests[id]; ok {
		f(&q)
		s.requests[id] = q
	}
}

// same tells whether two principals are one, as far as anybody can tell.
func same(a, b hippad.Principal) bool { return a.String() == b.String() }
