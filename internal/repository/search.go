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
			r.matching(ctx, r.widened(limited), end)(yield)
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
		r.matching(ctx, r.widened(q), end)(yield)
	}
}

// Consult checks that a caller may read, records that they ask one of the questions that take more than one search, in the words of a
// note, and returns how to look for what answers it: as often as the question needs, in what was in the log before. Who reads as a
// patient finds what concerns that patient. An entry is found by all identifiers of a patient that the crosswalk knows.
func (r *Repository) Consult(ctx context.Context, c hippad.Caller, n Note) (*Reading, error) {
	if !c.May(hippad.ActRead) {
		r.alert(c.Principal, labelDenied, "consult")
		return nil, mayNotRead(c)
	}
	end := r.Ledger.Size()
	if err := r.Note(ctx, c, n); err != nil {
		return nil, fmt.Errorf("consult: %w", err)
	}
	return &Reading{r, c.Grant, end}, nil
}

// A Reading looks for what answers one question of one caller. It is safe for use by many goroutines.
type Reading struct {
	repository *Repository
	grant      hippad.Grant
	end        int64
}

// Size is how many entries the log had when the question was asked. The Reading sees no others.
func (x *Reading) Size() int64 { return x.end }

// Search yields what answers q, as Session.Search does, without an entry about it: the note of Consult is that.
func (x *Reading) Search(ctx context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
	limited, nothing := limit(x.grant, q)
	if nothing {
		return func(func(hippad.Entry, error) bool) {}
	}
	return x.repository.matching(ctx, x.repository.widened(limited), x.end)
}

// widened adds to every patient asked for the other identifiers of the same person.
func (r *Repository) widened(q hippad.Query) hippad.Query {
	if r.Same == nil {
		return q
	}
	terms := make([][]hippad.Term, len(q.Terms))
	for i, any := range q.Terms {
		terms[i] = slices.Clip(any)
		for _, t := range any {
			if t.Field == hippad.FieldPatient {
				terms[i] = append(terms[i], r.Same(t)...)
			}
		}
	}
	filters := slices.Clone(q.Filters)
	for i, f := range filters {
		if f.Field != hippad.FieldPatient {
			continue
		}
		values := slices.Clip(f.Values)
		for _, v := range f.Values {
			for _, t := range r.Same(hippad.Term{Field: f.Field, Value: v}) {
				values = append(values, t.Value)
			}
		}
		filters[i].Values = values
	}
	q.Terms, q.Filters = terms, filters
	return q
}

// Follow yields every entry after an index, in the order of the log, and waits for those to come until ctx ends. It is for the
// server's own work on what is reported (forwarding, keeping count of sources): who asks for entries asks a Session.
func (r *Repository) Follow(ctx context.Context, after int64) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		for next := after + 1; ; {
			end, err := r.Ledger.Wait(ctx, next)
			if err != nil {
				return
			}
			for e, err := range r.Ledger.Entries(ctx, next, end) {
				if ctx.Err() != nil || !yield(e, err) || err != nil {
					return
				}
				next = e.Index + 1
			}
		}
	}
}

// ownByReading is how many entries Own reads without asking the index, whose lists may be long.
const ownByReading = 64

// Own yields what the log wrote about itself in [from, to) under one of the activities, in order: the entries that rooms replay their
// state from. What the index offers is checked: only the log itself comes by its own door. Of few entries some may be of other
// activities, so the caller looks for its own record.
func (r *Repository) Own(ctx context.Context, from, to int64, of ...Activity) iter.Seq2[hippad.Entry, error] {
	after := from - 1
	term := func(f hippad.Field, value string) uint64 { return r.Term(hippad.NewTerm(f, value)) }
	find := ledger.Find{After: &after, Before: &to, Ascending: true, Terms: [][]uint64{{term(hippad.FieldDoor, hippad.DoorSelf.String())}, nil}}
	for _, a := range of {
		find.Terms[1] = append(find.Terms[1], term(hippad.FieldSubtype, ActivitySystem+"|"+string(a)))
	}
	return func(yield func(hippad.Entry, error) bool) {
		own := func(entries iter.Seq2[hippad.Entry, error]) (more bool) {
			for e, err := range entries {
				if err == nil && (e.Door != hippad.DoorSelf || e.Destroyed) {
					continue
				}
				if !yield(e, err) || err != nil {
					return false
				}
			}
			return true
		}
		if to-from <= ownByReading {
			own(r.Ledger.Entries(ctx, from, to))
			return
		}
		for group, err := range groups(r.Ledger.Find(ctx, find)) {
			if err != nil {
				yield(hippad.Entry{}, err)
				return
			}
			if !own(r.Ledger.EntriesAt(ctx, group)) {
				return
			}
		}
	}
}

// matching yields the entries below end that answer q. Of what is destroyed nothing is known but its place: only a query that
// asks for places, and for no term, finds it.
func (r *Repository) matching(ctx context.Context, q hippad.Query, end int64) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		q, err := r.bounded(ctx, q, end)
		if err != nil {
			yield(hippad.Entry{}, err)
			return
		}
		found := r.inOrder(ctx, q, end)
		if q.ByTime {
			found = r.byTime(ctx, q, end)
		}
		left := q.Limit
		for e, err := range found {
			if !yield(e, err) || err != nil {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// bounded turns what the query says of Received into bounds of the index: Received never decreases.
func (r *Repository) bounded(ctx context.Context, q hippad.Query, end int64) (hippad.Query, error) {
	var from, to time.Time
	for _, any := range q.Received {
		low, high := hull(any)
		if low.After(from) {
			from = low
		}
		if !high.IsZero() && (to.IsZero() || high.Before(to)) {
			to = high
		}
	}
	if !from.IsZero() {
		first, err := r.Ledger.FirstSince(ctx, from, end)
		if err != nil {
			return q, fmt.Errorf("search from a time on: %w", err)
		}
		if after := first - 1; q.After == nil || *q.After < after {
			q.After = &after
		}
	}
	if !to.IsZero() {
		first, err := r.Ledger.FirstSince(ctx, to, end)
		if err != nil {
			return q, fmt.Errorf("search up to a time: %w", err)
		}
		if q.Before == nil || *q.Before > first {
			q.Before = &first
		}
	}
	return q, nil
}

// hull returns the bounds of all the periods together, zero where one of them is open.
func hull(any []hippad.Period) (from, to time.Time) {
	for i, p := range any {
		if i == 0 || p.Start.Before(from) {
			from = p.Start
		}
		if i == 0 || p.End.IsZero() || !to.IsZero() && p.End.After(to) {
			to = p.End
		}
	}
	return from, to
}

// inOrder yields what answers q in the order of the log.
func (r *Repository) inOrder(ctx context.Context, q hippad.Query, end int64) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
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
				if r.answers(q, e) && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// maxSorted is how many entries a search by time puts in order: 24 bytes for each.
const maxSorted = 1_000_000

// byTime yields what answers q in the order of the event times. It has to find all of it before it can yield the first.
func (r *Repository) byTime(ctx context.Context, q hippad.Query, end int64) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		var all []hippad.Place
		for e, err := range r.inOrder(ctx, q, end) {
			if err == nil && len(all) == maxSorted {
				err = hippad.Errorf(hippad.Invalid, "more than %d entries answer: too many to sort by time", maxSorted).WithHint("ask for a shorter time, or for the order of the log")
			}
			if err != nil {
				yield(hippad.Entry{}, err)
				return
			}
			all = append(all, hippad.Place{At: hippad.EventTime(e, r.Read(e.Report)), Index: e.Index})
		}
		slices.SortFunc(all, func(a, b hippad.Place) int { return a.CompareIn(q.Ascending, b) })
		if q.Limit > 0 && len(all) > q.Limit {
			all = all[:q.Limit]
		}
		for group := range slices.Chunk(all, lastGroup) {
			indexes := make([]int64, len(group))
			for i, p := range group {
				indexes[i] = p.Index
			}
			for e, err := range r.Ledger.EntriesAt(ctx, indexes) {
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

func (r *Repository) answers(q hippad.Query, e hippad.Entry) bool {
	if e.Destroyed {
		return len(q.Indexes) > 0 && len(q.Terms) == 0 && len(q.Filters) == 0 && q.Matches(e, hippad.Event{})
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
	f := ledger.Find{From: q.From, To: q.To, Before: &end, After: q.After, Ascending: q.Ascending}
	if q.Before != nil && *q.Before < end {
		f.Before = q.Before
	}
	for _, any := range q.Times {
		low, high := hull(any)
		if low.After(f.From) {
			f.From = low
		}
		if !high.IsZero() && (f.To.IsZero() || high.Before(f.To)) {
			f.To = high
		}
	}
	for _, any := range q.Lookup() {
		terms := make([]uint64, len(any))
		for i, t := range any {
			terms[i] = r.Term(t)
		}
		f.Terms = append(f.Terms, terms)
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
	times := func(name string, all [][]hippad.Period) {
		for _, any := range all {
			var spans []string
			for _, p := range any {
				spans = append(spans, "from "+bound(p.Start)+" to "+bound(p.End))
			}
			add(name, strings.Join(spans, ","))
		}
	}
	times("date", q.Times)
	times("_lastUpdated", q.Received)
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
	for _, f := range q.Filters {
		switch f.Op {
		case hippad.OpNone:
			add(string(f.Field)+":not", strings.Join(f.Values, ","))
		case hippad.OpExact:
			add(string(f.Field)+":exact", strings.Join(f.Values, ","))
		case hippad.OpMissing, hippad.OpPresent:
			add(string(f.Field)+":missing", fmt.Sprint(f.Op == hippad.OpMissing))
		default:
			add(string(f.Field), strings.Join(f.Values, ","))
		}
	}
	if q.ByTime {
		add("_sort", map[bool]string{true: "date", false: "-date"}[q.Ascending])
	}
	return strings.Join(parts, "&")
}

// bound writes one end of a period.
func bound(t time.Time) string {
	if t.IsZero() {
		return "any time"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
