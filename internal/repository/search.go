package repository

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"hippad"
	"hippad/internal/ledger"
)

var errMayNotRead = hippad.Errorf(hippad.Unauthorised, "this principal may report but not read").
	WithHint("reading needs the operator certificate in the server's data directory")

// Candidates are fetched in groups that grow: a search for one entry reads one block, a search for thousands does not pay for
// each of them.
const (
	firstGroup = 16
	lastGroup  = 512
)

// Search implements hippad.Session. What it yields was in the log before the search began; the entry about the search
// itself is not among it.
func (s *session) Search(ctx context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		if !s.who.MayRead() {
			yield(hippad.Entry{}, errMayNotRead)
			return
		}
		end := s.repository.Ledger.Size()
		if err := s.repository.Report(ctx, s.auditLogUsed(q)); err != nil {
			yield(hippad.Entry{}, err)
			return
		}
		left := q.Limit
		for group, err := range groups(s.repository.candidates(ctx, q, end)) {
			if err != nil {
				yield(hippad.Entry{}, err)
				return
			}
			for e, err := range s.repository.Ledger.EntriesAt(ctx, group) {
				if err != nil {
					yield(hippad.Entry{}, err)
					return
				}
				if !q.Matches(e, s.repository.Read(e.Report)) {
					continue
				}
				if !yield(e, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
		}
	}
}

// candidates yields the indexes below end that may answer q, in its order.
func (r *Repository) candidates(ctx context.Context, q hippad.Query, end int64) iter.Seq2[int64, error] {
	if len(q.Indexes) > 0 {
		return func(yield func(int64, error) bool) {
			sorted := slices.Clone(q.Indexes)
			slices.Sort(sorted)
			sorted = slices.Compact(sorted)
			if !q.Ascending {
				slices.Reverse(sorted)
			}
			for _, i := range sorted {
				if i >= 0 && i < end && !yield(i, nil) {
					return
				}
			}
		}
	}
	f := ledger.Find{From: q.From, To: q.To, Before: &end, After: q.After, Ascending: q.Ascending, Terms: make([][]uint64, len(q.Terms))}
	if q.Before != nil && *q.Before < end {
		f.Before = q.Before
	}
	for i, any := range q.Terms {
		for _, t := range any {
			f.Terms[i] = append(f.Terms[i], r.Term(t))
		}
	}
	return r.Ledger.Find(ctx, f)
}

// groups gathers what a sequence yields, at first a few and then more at a time.
func groups(indexes iter.Seq2[int64, error]) iter.Seq2[[]int64, error] {
	return func(yield func([]int64, error) bool) {
		var group []int64
		size := firstGroup
		for i, err := range indexes {
			if err != nil {
				yield(nil, err)
				return
			}
			if group = append(group, i); len(group) < size {
				continue
			}
			if !yield(group, nil) {
				return
			}
			group, size = nil, min(2*size, lastGroup)
		}
		if len(group) > 0 {
			yield(group, nil)
		}
	}
}

// DICOM PS3.16 codes of what the log says about itself.
var (
	auditLogUsed  = hippad.Code{System: "DCM", Code: "110101", Display: "Audit Log Used"}
	securityAlert = hippad.Code{System: "DCM", Code: "110113", Display: "Security Alert"}
)

// auditLogUsed is the event of a search (DICOM PS3.15 A.5.3.2; IHE ITI-81 names the security resource role, 13).
func (s *session) auditLogUsed(q hippad.Query) hippad.Event {
	ev := s.repository.event(s.who, auditLogUsed)
	ev.Action, ev.Outcome = "R", "0"
	ev.Entities = []hippad.Entity{{
		What:  hippad.Reference{Identifier: hippad.Identifier{Value: s.repository.Self.ID}},
		Type:  hippad.Code{System: "RFC-3881", Code: "2", Display: "System Object"},
		Role:  hippad.Code{System: "RFC-3881", Code: "13", Display: "Security Resource"},
		Query: []byte(queryText(q)),
	}}
	return ev
}

// Refused records that a report was refused for its size: what was refused cannot be kept, but that it came can. session is
// the one through which it came; size may be a lower bound.
func (r *Repository) Refused(ctx context.Context, from hippad.Session, size, limit int64) error {
	who := r.Self
	if s, ok := from.(*session); ok {
		who = s.who
	}
	ev := r.event(who, securityAlert)
	ev.Action, ev.Outcome = "E", "8"
	ev.OutcomeDescription = fmt.Sprintf("a report of at least %d bytes was refused: the limit is %d", size, limit)
	return r.Report(ctx, ev)
}

// event is the frame of an event that this log reports about itself: who did it, seen by whom.
func (r *Repository) event(who hippad.Principal, what hippad.Code) hippad.Event {
	agent := hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{Value: who.String()}}, Name: who.Name, Requestor: true}
	if who.Kind == hippad.KindAddress {
		agent.Address, agent.AddressType = who.ID, "2"
	}
	return hippad.Event{
		Type: what, Recorded: r.Now().UTC().Truncate(time.Microsecond), Agents: []hippad.Agent{agent},
		Source: hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: r.Self.ID}}},
	}
}

// queryText writes a query the way it would be asked, for the entry about it.
func queryText(q hippad.Query) string {
	var parts []string
	add := func(name, value string) { parts = append(parts, name+"="+value) }
	for _, i := range q.Indexes {
		add("_id", fmt.Sprint(i))
	}
	if !q.From.IsZero() {
		add("date", "ge"+q.From.UTC().Format(time.RFC3339Nano))
	}
	if !q.To.IsZero() {
		add("date", "lt"+q.To.UTC().Format(time.RFC3339Nano))
	}
	for _, any := range q.Terms {
		var values []string
		for _, t := range any {
			values = append(values, t.Value)
		}
		if len(any) > 0 {
			add(string(any[0].Field), strings.Join(values, ","))
		}
	}
	return strings.Join(parts, "&")
}
