package custody

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hippad"
	"hippad/internal/repository"
)

const (
	requestTime = 7 * 24 * time.Hour // in which a request can be confirmed, and what was confirmed can be fetched
	beginTime   = 24 * time.Hour     // in which an export must be begun once it is confirmed
	maxWaiting  = 1000               // requests that wait, at a time
	listed      = 1000               // requests that Requests returns
	maxIndexes  = 10_000             // in the query of an export
	maxTerms    = 1000
)

// A Kind is what somebody asks for.
type Kind string

// The kinds.
const (
	KindExport Kind = "export"
	KindPurge  Kind = "purge"
)

// A State is what has become of a request.
type State string

// The states.
const (
	StateWaiting   State = "waiting"   // for somebody else to confirm it
	StateConfirmed State = "confirmed" // a purge is being done, or is left for Resume; an export can be fetched
	StateRefused   State = "refused"
	StateExpired   State = "expired" // nobody confirmed it in time, or a confirmed export was not begun in time
	StateDone      State = "done"    // a purge has its certificate; an export was fetched, and can be no more
)

// A Request is something for which two people are needed.
type Request struct {
	ID      int64            `json:"id"` // index of its entry
	Kind    Kind             `json:"kind"`
	By      hippad.Principal `json:"by"`
	At      time.Time        `json:"at"`
	Expires time.Time        `json:"expires"`
	Reason  string           `json:"reason"`
	State   State            `json:"state"` // as of when it was looked at

	Purge  *PurgeOrder   `json:"purge,omitzero"`
	Export *hippad.Query `json:"export,omitzero"`

	Confirmed   int64            `json:"confirmed,omitzero"` // index of the entry; 0: nobody has
	ConfirmedBy hippad.Principal `json:"confirmedBy,omitzero"`
	ConfirmedAt time.Time        `json:"confirmedAt,omitzero"`
	Refused     int64            `json:"refused,omitzero"`
	RefusedBy   hippad.Principal `json:"refusedBy,omitzero"`
	Begun       time.Time        `json:"begun,omitzero"`       // when an export was fetched first
	Certificate int64            `json:"certificate,omitzero"` // index of the entry with which a purge ended
}

// stateAt is what has become of a request by a time.
func (q Request) stateAt(at time.Time) State {
	switch over := !at.Before(q.Expires); {
	case q.Refused > 0:
		return StateRefused
	case q.Certificate > 0:
		return StateDone
	case q.Confirmed == 0 && over:
		return StateExpired
	case q.Confirmed == 0:
		return StateWaiting
	case q.Kind == KindPurge:
		return StateConfirmed // to be finished whenever that is possible
	case !q.Begun.IsZero() && over:
		return StateDone
	case q.Begun.IsZero() && (over || !at.Before(q.ConfirmedAt.Add(beginTime))):
		return StateExpired
	}
	return StateConfirmed
}

// What says, for people, what is asked for. It may name a patient.
func (q Request) What() string {
	if q.Export != nil {
		return "all entries with " + cmp.Or(repository.QueryText(*q.Export), "anything")
	}
	if q.Purge == nil {
		return ""
	}
	var keys []string
	for _, k := range q.Purge.Keys {
		keys = append(keys, k.Month+" "+k.Class)
	}
	text := fmt.Sprintf("%d entries of %s, and %d kept", q.Purge.Entries-q.Purge.Kept, strings.Join(keys, ", "), q.Purge.Kept)
	if q.Purge.Override != "" {
		text += ", before their time: " + q.Purge.Override
	}
	return text
}

// Requests returns the requests, newest first, to a caller with hippad.ActConfirm, hippad.ActRetain or hippad.ActExport. That they asked is
// in the log before they are told.
func (c *Custody) Requests(ctx context.Context, who hippad.Caller) ([]Request, error) {
	if err := c.asked(ctx, who, "requests", hippad.ActConfirm, hippad.ActRetain, hippad.ActExport); err != nil {
		return nil, err
	}
	c.mu.RLock()
	all := slices.Collect(maps.Values(c.requests))
	c.mu.RUnlock()
	slices.SortFunc(all, func(a, b Request) int { return cmp.Compare(b.ID, a.ID) })
	all = all[:min(len(all), listed)]
	now := c.Now()
	for i := range all {
		all[i].State = all[i].stateAt(now)
	}
	return all, nil
}

// AskExport asks for everything that answers q, which needs hippad.ActExport.
func (c *Custody) AskExport(ctx context.Context, who hippad.Caller, q hippad.Query, reason string) (Request, error) {
	if err := c.Repository.Permit(ctx, who, "ask for an export", hippad.ActExport); err != nil {
		return Request{}, err
	}
	terms := 0
	for _, any := range q.Terms {
		terms += 1 + len(any)
		for _, t := range any {
			if err := repository.Words("a value of the query", t.Value, false); err != nil {
				return Request{}, err
			}
		}
	}
	for _, f := range q.Filters {
		terms += 1 + len(f.Values)
		for _, v := range f.Values {
			if err := repository.Words("a value of the query", v, false); err != nil {
				return Request{}, err
			}
		}
	}
	if len(q.Indexes) > maxIndexes || terms > maxTerms || q.Limit < 0 {
		return Request{}, hippad.Errorf(hippad.Invalid, "the query is too long")
	}
	return c.ask(ctx, who, requestRecord{Reason: reason, Export: &q})
}

// ask writes a request down.
func (c *Custody) ask(ctx context.Context, who hippad.Caller, r requestRecord) (Request, error) {
	if err := repository.Words("the reason", r.Reason, true); err != nil {
		return Request{}, err
	}
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return Request{}, err
	}
	defer done()
	waiting := 0
	now := c.Now()
	for _, q := range c.requests {
		if q.stateAt(now) == StateWaiting {
			waiting++
		}
	}
	if waiting >= maxWaiting {
		return Request{}, hippad.Errorf(hippad.Conflict, "%d requests wait to be confirmed already", waiting)
	}
	what := "an export"
	if r.Purge != nil {
		what = "a purge"
	}
	id, err := c.enter(ctx, who, repository.Changed(repository.ActivityRequest, "C", what+" was asked for"), record{Request: &r})
	if err != nil {
		return Request{}, err
	}
	return c.request(id), nil
}

// request returns a request as it is now; the zero Request if there is none.
func (c *Custody) request(id int64) Request {
	c.mu.RLock()
	defer c.mu.RUnlock()
	q := c.requests[id]
	q.State = q.stateAt(c.Now())
	return q
}

// decidable returns a request that waits, or why there is none. It is called with the turn.
func (c *Custody) decidable(id int64) (Request, error) {
	if _, ok := c.requests[id]; !ok {
		return Request{}, hippad.Errorf(hippad.NotFound, "there is no request %d", id)
	}
	q := c.request(id)
	if q.State != StateWaiting {
		return q, hippad.Errorf(hippad.Conflict, "request %d is not waiting any more: it is %s", id, q.State)
	}
	return q, nil
}

// Confirm confirms what somebody else has asked for, which needs hippad.ActConfirm. A purge is then done, whether ctx ends or not, and
// the request that is returned has its certificate. After an error of the purge the request stays confirmed, and Resume
// finishes it. progress may be nil.
func (c *Custody) Confirm(ctx context.Context, who hippad.Caller, id int64, progress func(done, total int64)) (Request, error) {
	if err := c.Repository.Permit(ctx, who, "confirm", hippad.ActConfirm); err != nil {
		return Request{}, err
	}
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return Request{}, err
	}
	defer done()
	q, err := c.decidable(id)
	if err != nil {
		return Request{}, err
	}
	if same(q.By, who.Principal) {
		return Request{}, c.Repository.Deny(ctx, who, "confirm an own request", hippad.Errorf(hippad.Unauthorised, "somebody else must confirm"))
	}
	at, err := c.enter(ctx, who, repository.Changed(repository.ActivityConfirm, "U", "a request was confirmed"), record{Confirm: &decision{id, q.Kind}})
	if err != nil {
		return Request{}, err
	}
	if q = c.request(id); q.Confirmed != at {
		return Request{}, hippad.Errorf(hippad.Conflict, "request %d is not waiting any more: it is %s", id, q.State)
	}
	if q.Kind == KindPurge {
		// Who asked has hung up perhaps; what two people have decided is done all the same.
		if err := c.execute(context.WithoutCancel(ctx), q, false, progress); err != nil {
			return q, fmt.Errorf("the purge is confirmed but not finished: %w", err)
		}
	}
	return c.request(id), nil
}

// Refuse ends a request that waits. It needs hippad.ActConfirm, or that it is one's own.
func (c *Custody) Refuse(ctx context.Context, who hippad.Caller, id int64) (Request, error) {
	if !same(c.request(id).By, who.Principal) {
		if err := c.Repository.Permit(ctx, who, "refuse", hippad.ActConfirm); err != nil {
			return Request{}, err
		}
	}
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return Request{}, err
	}
	defer done()
	q, err := c.decidable(id)
	if err != nil {
		return Request{}, err
	}
	at, err := c.enter(ctx, who, repository.Changed(repository.ActivityRefuse, "U", "a request was refused"), record{Refuse: &decision{id, q.Kind}})
	if err != nil {
		return Request{}, err
	}
	if q = c.request(id); q.Refused != at {
		return Request{}, hippad.Errorf(hippad.Conflict, "request %d is not waiting any more: it is %s", id, q.State)
	}
	return q, nil
}
