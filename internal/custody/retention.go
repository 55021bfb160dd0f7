package custody

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"time"

	"hippad"
	"hippad/internal/regulation"
)

// What becomes of the content under a data key at the next purge.
const (
	KeyKept      = "kept"      // its time is not over
	KeyDue       = "due"       // it can go, but for what is held
	KeyHeld      = "held"      // its time is over and all of it is held
	KeyDestroyed = "destroyed" // it is gone
)

// A Plan is what the end of retention would destroy, by data key.
type Plan struct {
	At   time.Time `json:"at"`
	Keys []KeyPlan `json:"keys"` // by month, then by class
}

// A KeyPlan is what becomes of the content under one data key.
type KeyPlan struct {
	DataKey
	Ends  time.Time `json:"ends,omitzero"` // when the content may go; zero: it has no end of its own
	State string    `json:"state"`
	Why   string    `json:"why,omitzero"`
	// InMonth is how many entries were received in the month, of all classes.
	InMonth int64 `json:"inMonth"`
	// Entries and Kept are counted where the time is over: what is sealed with this key as far as today's classes tell, and what of it would stay,
	// because of the holds, or because the entry's own class keeps it longer.
	Entries int64   `json:"entries,omitzero"`
	Kept    int64   `json:"kept,omitzero"`
	Holds   []int64 `json:"holds,omitzero"`
}

// Retention tells what is due, which needs hippad.ActRetain. It reads what is due from end to end. That somebody asked is in the
// log before they are told.
func (c *Custody) Retention(ctx context.Context, who hippad.Caller) (Plan, error) {
	if err := c.asked(ctx, who, "retention", hippad.ActRetain); err != nil {
		return Plan{}, err
	}
	return c.plan(ctx)
}

func (c *Custody) plan(ctx context.Context) (Plan, error) {
	now := c.Now().UTC()
	p := Plan{At: now}
	var due []DataKey
	for _, k := range c.DataKeys() {
		x := c.keyPlan(k, now, monthOf(now))
		if x.State == KeyDue {
			due = append(due, k)
		}
		p.Keys = append(p.Keys, x)
	}
	slices.SortStableFunc(p.Keys, func(a, b KeyPlan) int {
		return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Class, b.Class), cmp.Compare(a.ID, b.ID))
	})
	counts, err := c.count(ctx, due, now, false)
	if err != nil {
		return p, err
	}
	inMonth := map[string]int64{}
	for i := range p.Keys {
		x := &p.Keys[i]
		if _, ok := inMonth[x.Month]; !ok {
			from, to, err := c.monthRange(ctx, x.Month)
			if err != nil {
				return p, err
			}
			inMonth[x.Month] = to - from
		}
		x.InMonth = inMonth[x.Month]
		n, ok := counts[x.ID]
		if !ok {
			continue
		}
		x.Entries, x.Kept, x.Holds = n.entries, n.kept, n.holds
		if n.shared {
			x.Why = "counted together with " + regulation.Held
		}
		if n.entries > 0 && n.kept == n.entries || n.entries == 0 && isHeld(x.Class) {
			x.State, x.Why = KeyHeld, "everything is held, or kept longer by a class of its own"
		}
	}
	return p, nil
}

// keyPlan says what is known of a key without looking at any entry. open is the first moment of the month that still grows.
func (c *Custody) keyPlan(k DataKey, now, open time.Time) KeyPlan {
	x := KeyPlan{DataKey: k, State: KeyKept}
	month, ok := parseMonth(k.Month)
	switch {
	case !k.Destroyed.IsZero():
		x.State = KeyDestroyed
		return x
	case !ok:
		x.Why = "its month cannot be read"
		return x
	case k.Class == regulation.Self:
		x.Why = "what the log says about itself has no end"
		return x
	}
	end, err := c.Classes.End(k.Class, month)
	x.Ends = end
	switch {
	case err != nil:
		x.Why = "the class is not configured"
	case !month.Before(open):
		x.Why = "the month is not over"
	case now.Before(end):
		x.Why = "its time is not over"
	default:
		x.State = KeyDue
	}
	return x
}

func isHeld(class string) bool { return class == regulation.Held || class == regulation.HeldAgain }

func parseMonth(text string) (time.Time, bool) {
	t, err := time.Parse("2006-01", text)
	return t, err == nil && !t.IsZero()
}

func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// openMonth is the first month that can still grow. Received never goes back, whatever the clock does: so it is that of the newest
// entry, unless the clock now says an earlier one. Who decides by it has just written an entry.
func (c *Custody) openMonth(ctx context.Context, now time.Time) (time.Time, error) {
	at, err := c.received(ctx, c.Ledger.Size()-1)
	if err != nil || now.Before(at) {
		return monthOf(now), err
	}
	return monthOf(at), nil
}

func (c *Custody) received(ctx context.Context, index int64) (time.Time, error) {
	for e, err := range c.Ledger.Entries(ctx, index, index+1) {
		return e.Received, err
	}
	return time.Time{}, hippad.Errorf(hippad.NotFound, "there is no entry %d", index)
}

// monthRange returns the entries [from, to) that were received in a month.
func (c *Custody) monthRange(ctx context.Context, month string) (from, to int64, err error) {
	begin, ok := parseMonth(month)
	if !ok {
		return 0, 0, nil
	}
	size := c.Ledger.Size()
	since := func(t time.Time) int64 {
		return int64(sort.Search(int(size), func(i int) bool {
			if err != nil {
				return true
			}
			var at time.Time
			at, err = c.received(ctx, int64(i))
			return err == nil && !at.Before(t)
		}))
	}
	from = since(begin)
	to = since(begin.AddDate(0, 1, 0))
	return from, to, err
}

// A keeper decides what a purge keeps. It is the one place for it: the plan counts with it and the purge destroys with it.
type keeper struct {
	classes  *regulation.Classes
	read     hippad.Reader
	now      time.Time
	override bool // the time of what is purged need not be over
	holds    []Hold

	byHold map[int64]int64 // entries that each hold kept
	kept   int64
}

func (c *Custody) newKeeper(now time.Time, override bool) *keeper {
	return &keeper{classes: c.Classes, read: c.Repository.Read, now: now, override: override, holds: c.holdsNow(), byHold: map[int64]int64{}}
}

// keeps tells whether an entry stays, and counts it.
func (k *keeper) keeps(e hippad.Entry) bool {
	holds, stays := k.judge(e)
	for _, id := range holds {
		k.byHold[id]++
	}
	if stays {
		k.kept++
	}
	return stays
}

// judge tells whether an entry stays, and for which holds: because it is held, because the log itself wrote it, or because the
// class that it would have today has not ended. A class that was made longer keeps what was received before, too.
func (k *keeper) judge(e hippad.Entry) (holds []int64, stays bool) {
	ev := k.read(e.Report)
	holds = held(k.holds, e, ev)
	if len(holds) > 0 || e.Door == hippad.DoorSelf {
		return holds, true
	}
	if k.override {
		return nil, false
	}
	end, err := k.classes.End(k.classes.Classify(e, ev), e.Received)
	return nil, err != nil || end.IsZero() || k.now.Before(end)
}

// A keyCount is how many entries are sealed with a key.
type keyCount struct {
	entries, kept int64
	holds         []int64
	shared        bool // with the other key of what is held of the month: which of the two an entry has cannot be told
}

// count reads the months of some keys and tells, for each of those, what is sealed with it and what would stay.
func (c *Custody) count(ctx context.Context, keys []DataKey, now time.Time, override bool) (map[uint32]keyCount, error) {
	out := map[uint32]keyCount{}
	months := map[string]bool{}
	for _, k := range keys {
		months[k.Month] = true
		out[k.ID] = keyCount{}
	}
	for month := range months {
		byClass := map[string]uint32{}
		for _, k := range c.DataKeys() {
			if k.Month == month && k.Destroyed.IsZero() {
				byClass[k.Class] = k.ID
			}
		}
		first, second := byClass[regulation.Held], byClass[regulation.HeldAgain]
		if _, wanted := out[first]; !wanted && second != 0 {
			byClass[regulation.Held] = second
		}
		if err := c.countMonth(ctx, month, byClass, c.newKeeper(now, override), out); err != nil {
			return nil, err
		}
		if _, wanted := out[second]; wanted && first != 0 && byClass[regulation.Held] == first {
			n := out[first]
			n.shared = true
			out[second] = n
		}
	}
	return out, nil
}

// countMonth counts the entries of one month, whose keys are byClass.
func (c *Custody) countMonth(ctx context.Context, month string, byClass map[string]uint32, keep *keeper, out map[uint32]keyCount) error {
	from, to, err := c.monthRange(ctx, month)
	if err != nil {
		return err
	}
	for e, err := range c.Ledger.Entries(ctx, from, to) {
		if err != nil {
			return err
		}
		if e.Destroyed {
			continue
		}
		id := c.sealedWith(e, byClass)
		n, wanted := out[id]
		if !wanted {
			continue
		}
		n.entries++
		holds, stays := keep.judge(e)
		if stays {
			n.kept++
		}
		for _, h := range holds {
			if i, ok := slices.BinarySearch(n.holds, h); !ok {
				n.holds = slices.Insert(n.holds, i, h)
			}
		}
		out[id] = n
	}
	return nil
}

// sealedWith returns the key that an entry is sealed with as far as today's classes tell, given those of its month: that of its class, or else
// of what a purge has kept, or else of the default.
func (c *Custody) sealedWith(e hippad.Entry, byClass map[string]uint32) uint32 {
	class := c.Classes.Classify(e, c.Repository.Read(e.Report))
	for _, name := range []string{class, regulation.Held, regulation.HeldAgain, regulation.Default} {
		if id, ok := byClass[name]; ok {
			return id
		}
	}
	return 0
}
