package ledger

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"
)

// Find asks for positions. The zero Find asks for all, newest first.
type Find struct {
	Terms     [][]uint64 // every element must be met, by any of its terms
	From, To  time.Time  // event time, from inclusive, to exclusive; zero: no bound
	After     *int64     // only greater positions
	Before    *int64     // only smaller positions
	Ascending bool       // oldest first
}

// Find yields, in order, the positions of the entries that may answer f: all that do, and others that the caller must sort
// out, because terms are hashes and times are known by zone only. It sees everything that was acknowledged before
// the first step, and nothing after it.
func (l *Ledger) Find(ctx context.Context, f Find) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		w := newWalk(ctx, l.store, l.index.snapshot(), f)
		defer w.stop()
		if w.lo >= w.hi || w.impossible {
			return
		}
		first, last := w.lo/w.s.length, (w.hi-1)/w.s.length
		for i := range last - first + 1 {
			run := first + i
			if !f.Ascending {
				run = last - i
			}
			if err := ctx.Err(); err != nil {
				yield(0, fmt.Errorf("find: %w", err))
				return
			}
			if !span(w.s.zones(run)).meets(w.from, w.to) {
				continue
			}
			if more, err := w.run(run, yield); err != nil {
				yield(0, fmt.Errorf("find in run %d: %w", run, err))
				return
			} else if !more {
				return
			}
		}
	}
}

// walk goes through the runs in one direction, once.
type walk struct {
	s          *snapshot
	lo, hi     int64 // positions [lo, hi)
	from, to   int64 // event times [from, to], microseconds
	ascending  bool
	groups     [][]*cursor // all must be met; the one most likely to fail first
	impossible bool        // a group without terms is never met
}

func newWalk(ctx context.Context, store Store, s *snapshot, f Find) *walk {
	w := &walk{s: s, hi: s.size, from: math.MinInt64, to: math.MaxInt64, ascending: f.Ascending}
	if f.After != nil && *f.After >= 0 {
		w.lo = min(*f.After, s.size) + 1
	}
	if f.Before != nil {
		w.hi = min(w.hi, *f.Before)
	}
	if !f.From.IsZero() {
		w.from = f.From.UnixMicro()
	}
	if !f.To.IsZero() {
		w.to = f.To.UnixMicro() // not one less: an event a nanosecond before To has the same microsecond
	}
	for _, any := range f.Terms {
		w.impossible = w.impossible || len(any) == 0
		var g []*cursor
		for _, t := range any {
			g = append(g, &cursor{ctx: ctx, store: store, term: t, runs: int64(len(s.stored)), descending: !f.Ascending})
		}
		w.groups = append(w.groups, g)
	}
	return w
}

func (w *walk) stop() {
	for _, g := range w.groups {
		for _, c := range g {
			c.close()
		}
	}
}

// run yields the positions in one run. It returns false when the caller wants no more.
func (w *walk) run(run int64, yield func(int64, error) bool) (bool, error) {
	base := run * w.s.length
	lo, hi := max(w.lo-base, 0), min(w.hi-base, w.s.length)
	zones := w.s.zones(run)
	ok := func(offset int64) bool {
		return offset >= lo && offset < hi && zones[offset/zoneLength].meets(w.from, w.to)
	}
	if len(w.groups) == 0 {
		for i := range hi - lo {
			offset := lo + i
			if !w.ascending {
				offset = hi - 1 - i
			}
			if ok(offset) && !yield(base+offset, nil) {
				return false, nil
			}
		}
		return true, nil
	}
	offsets, err := w.intersect(run)
	if err != nil {
		return false, err
	}
	if !w.ascending {
		slices.Reverse(offsets)
	}
	for _, offset := range offsets {
		if ok(int64(offset)) && !yield(base+int64(offset), nil) {
			return false, nil
		}
	}
	return true, nil
}

// intersect returns the offsets in the run that meet every group, ascending.
func (w *walk) intersect(run int64) ([]uint32, error) {
	var have []uint32
	for i, g := range w.groups {
		got, err := w.union(run, g)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			got = common(have, got)
		}
		if len(got) == 0 {
			// What is missing here is likely to be rare everywhere: ask for it first in the next run.
			w.groups[0], w.groups[i] = w.groups[i], w.groups[0]
			return nil, nil
		}
		have = got
	}
	return have, nil
}

// union returns the offsets in the run that have any of the group's terms, ascending.
func (w *walk) union(run int64, group []*cursor) ([]uint32, error) {
	var out []uint32
	for _, c := range group {
		if g := w.s.segment(run); g != nil {
			out = append(out, g.find(c.term)...)
			continue
		}
		value, ok, err := c.at(run)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		offsets, err := decodeOffsets(nil, value, w.s.length)
		if err != nil {
			return nil, err
		}
		out = append(out, offsets...)
	}
	if len(group) > 1 {
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out, nil
}

// common returns what is in both, which are ascending. It reuses a.
func common(a, b []uint32) []uint32 {
	out := a[:0]
	for len(a) > 0 && len(b) > 0 {
		switch x, y := a[0], b[0]; {
		case x < y:
			a = a[1:]
		case x > y:
			b = b[1:]
		default:
			out = append(out, x)
			a, b = a[1:], b[1:]
		}
	}
	return out
}

// cursor walks over the runs in the store that have one term.
type cursor struct {
	ctx        context.Context
	store      Store
	term       uint64
	runs       int64 // runs in the store that count
	descending bool

	next func() (Posting, error, bool)
	end  func()
	now  Posting
	have bool // now is set
	done bool // there is nothing more
}

// at returns the posting of the run, if it has one. Runs must be asked for in the direction of the cursor.
func (c *cursor) at(run int64) ([]byte, bool, error) {
	for steps := 0; !c.done && (!c.have || c.before(run)); steps++ {
		if c.next == nil || steps == 1 {
			// One step is cheaper than a new seek if it is enough; more steps would read lists that nobody needs.
			c.close()
			c.open(run)
		}
		p, err, ok := c.next()
		if err != nil {
			return nil, false, err
		}
		c.now, c.have, c.done = p, true, !ok
	}
	if !c.done && c.now.Run == run {
		return c.now.Value, true, nil
	}
	return nil, false, nil
}

// before tells whether the cursor has not come as far as the run.
func (c *cursor) before(run int64) bool {
	if c.descending {
		return c.now.Run > run
	}
	return c.now.Run < run
}

// open starts again at the run.
func (c *cursor) open(run int64) {
	from, to := run, c.runs
	if c.descending {
		from, to = 0, run+1
	}
	c.next, c.end = iter.Pull2(c.store.Postings(c.ctx, c.term, from, to, c.descending))
}

func (c *cursor) close() {
	if c.end != nil {
		c.end()
		c.next, c.end = nil, nil
	}
}
