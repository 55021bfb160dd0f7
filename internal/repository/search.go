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

// Candidates are fetched in groups that grow: a search for one entry reads one block, a search for thousands does not pay for
// each of them.
const (
	firstGroup = 16
	lastGroup  = 512
)

// Search implements hippad.Session. What it yields was in the log before the search began; the entry about the search
// itself is not among it. Who reads as a patient finds what concerns that patient; for them an entry of somebody else, or one
// whose content is destroyed, is as one that does not exist.
func (s *session) Search(ctx context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		if !s.who.May(hippad.ActRead) {
			s.denied("search")
			yield(hippad.Entry{}, mayNotRead(s.who))
			return
		}
		limited, nothing := limit(s.who.Grant, q)
		r := s.repository
		end := r.Ledger.Size()
		if err := r.Note(ctx, s.who, r.AuditLogUsed(QueryText(limited))); err != nil {
			yield(hippad.Entry{}, err)
			return
		}
		if !nothing {
			r.matching(ctx, limited, end)(yield)
		}
	}
}

// limit adds to a query what the grant limits its reader to. Nothing says that there is nothing that the reader may see.
func limit(g hippad.Grant, q hippad.Query) (_ hippad.Query, nothing bool) {
	if !g.OnlyPatient() {
		return q, false
	}
	patient := hippad.NewTerm(hippad.FieldPatient, g.Patient)
	q.Terms = append(slices.Clip(q.Terms), []hippad.Term{patient})
	return q, patient.Value == ""
}

// Export yields what answers q to a caller who may export, after the note about it is in the log. It is Search for the one
// room that lets out entries in bulk.
func (r *Repository) Export(ctx context.Context, c hippad.Caller, q hippad.Query, n Note) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		if !c.May(hippad.ActExport) || c.OnlyPatient() {
			r.alert(c.Principal, labelDenied, "export")
			yield(hippad.Entry{}, errMayNotExport)
			return
		}
		end := r.Ledger.Size()
		if err := r.Note(ctx, c, n); err != nil {
			yield(hippad.Entry{}, err)
			return
		}
		r.matching(ctx, q, end)(yield)
	}
}

// matching yields the entries below end that answer q. Of what is destroyed nothing is known but its place: only a query that
// asks for places, and for no term, finds it.
func (r *Repository) matching(ctx context.Context, q hippad.Query, end int64) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		left := q.Limit
		for group, err := range groups(r.candidates(ctx, q, end)) {
			if err != nil {
				yield(hippad.Entry{}, err)
				return
			}
			for e, err := range r.Ledger.EntriesAt(ctx, group) {
				if err != nil {
					yield(hippad.Entry{}, err)
					return
				}
				if !r.answers(q, e) {
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

func (r *Repository) answers(q hippad.Query, e hippad.Entry) bool {
	if e.Destroyed {
		return len(q.Indexes) > 0 && len(q.Terms) == 0 && q.Matches(e, hippad.Event{})
	}
	return q.Matches(e, r.Read(e.Report))
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

// QueryText writes a query the way it would be asked, for the entry about it.
func QueryText(q hippad.Query) string {
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
