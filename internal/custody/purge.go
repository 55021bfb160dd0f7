package custody

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

const (
	maxNamed       = 10_000 // months, or classes, or keys of an order
	certificateMax = 20_000 // ranges in one entry
)

// A KeyRef names a data key.
type KeyRef struct {
	ID    uint32 `json:"id"`
	Month string `json:"month"`
	Class string `json:"class"`
	Why   string `json:"why,omitzero"` // it was left alone
}

// A PurgeOrder says what is to be purged.
type PurgeOrder struct {
	Months  []string `json:"months,omitzero"`  // as in 2020-11; none: every month
	Classes []string `json:"classes,omitzero"` // none: every class
	// Override is the written reason for purging what is not due. It needs Months. Without it everything that is due is meant, of the months and
	// classes that are given. Holds are never overridden, nor what the log says about itself.
	Override string `json:"override,omitzero"`

	// What AskPurge found out, for the one who confirms.
	Keys    []KeyRef `json:"keys"`
	Entries int64    `json:"entries"` // under the keys when it was asked
	Kept    int64    `json:"kept"`    // of them, those that would stay
}

// AskPurge asks for a purge, which needs hippad.ActRetain. Of order it reads Months, Classes and Override. Kind Invalid if something that
// is named is not due and not overridden, NotFound if nothing is due.
func (c *Custody) AskPurge(ctx context.Context, who hippad.Caller, order PurgeOrder, reason string) (Request, error) {
	if err := c.Repository.Permit(ctx, who, "ask for a purge", hippad.ActRetain); err != nil {
		return Request{}, err
	}
	if err := order.check(); err != nil {
		return Request{}, err
	}
	if err := repository.Words("the reason", reason, true); err != nil {
		return Request{}, err
	}
	now := c.Now().UTC()
	var keys []DataKey
	for _, k := range c.DataKeys() {
		if !order.names(k) {
			continue
		}
		ok, why := c.purgeable(k, order.Override != "", now, monthOf(now))
		switch named := len(order.Months) > 0; {
		case ok:
			keys = append(keys, k)
		case named && k.Destroyed.IsZero() && k.Class != regulation.Self:
			return Request{}, hippad.Errorf(hippad.Invalid, "%s %s is not due: %s", k.Month, k.Class, why).
				WithHint("a purge before the time needs an override with the reason in writing, and the month to be over")
		}
	}
	counts, err := c.count(ctx, keys, now, order.Override != "")
	if err != nil {
		return Request{}, err
	}
	order.Keys, order.Entries, order.Kept = nil, 0, 0
	for _, k := range keys {
		n := counts[k.ID]
		if isHeld(k.Class) && n.entries == n.kept {
			continue // it would only be sealed again
		}
		order.Keys = append(order.Keys, KeyRef{ID: k.ID, Month: k.Month, Class: k.Class})
		if !n.shared {
			order.Entries += n.entries
			order.Kept += n.kept
		}
	}
	if len(order.Keys) == 0 {
		return Request{}, hippad.Errorf(hippad.NotFound, "nothing of that is due")
	}
	if len(order.Keys) > maxNamed {
		return Request{}, hippad.Errorf(hippad.TooLarge, "more than %d data keys: ask for fewer months at a time", maxNamed)
	}
	return c.ask(ctx, who, requestRecord{Reason: reason, Purge: &order})
}

func (o PurgeOrder) check() error {
	if len(o.Months) > maxNamed || len(o.Classes) > maxNamed {
		return hippad.Errorf(hippad.Invalid, "more than %d months or classes", maxNamed)
	}
	for _, m := range o.Months {
		if _, ok := parseMonth(m); !ok {
			return hippad.Errorf(hippad.Invalid, "a month is written as 2020-11")
		}
	}
	for _, class := range o.Classes {
		if err := repository.Words("a class", class, true); err != nil {
			return err
		}
	}
	if slices.Contains(o.Classes, regulation.Self) {
		return hippad.Errorf(hippad.Invalid, "what the log says about itself is never purged")
	}
	if o.Override != "" && len(o.Months) == 0 {
		return hippad.Errorf(hippad.Invalid, "an override needs the months that it is for")
	}
	return repository.Words("the override", o.Override, false)
}

func (o PurgeOrder) names(k DataKey) bool {
	return (len(o.Months) == 0 || slices.Contains(o.Months, k.Month)) && (len(o.Classes) == 0 || slices.Contains(o.Classes, k.Class))
}

// purgeable tells whether the content under a key may be purged, and if not why.
func (c *Custody) purgeable(k DataKey, override bool, now, open time.Time) (bool, string) {
	x := c.keyPlan(k, now, open)
	if x.State == KeyDue {
		return true, ""
	}
	month, ok := parseMonth(k.Month)
	return override && ok && x.State == KeyKept && k.Class != regulation.Self && month.Before(open), cmp.Or(x.Why, x.State)
}

// A Certificate is the entry with which a purge ends: what was destroyed, what was kept, and by whose decision.
type Certificate struct {
	ID          int64            `json:"id"` // index of its entry
	At          time.Time        `json:"at"`
	Request     int64            `json:"request"`
	AskedBy     hippad.Principal `json:"askedBy"`
	Asked       time.Time        `json:"asked"`
	ConfirmedBy hippad.Principal `json:"confirmedBy"`
	Confirmed   time.Time        `json:"confirmed"`
	Reason      string           `json:"reason"`
	Override    string           `json:"override,omitzero"`

	Keys      []KeyRef   `json:"keys"`           // the data keys that were destroyed
	Left      []KeyRef   `json:"left,omitzero"`  // those that were asked for and left alone
	Destroyed int64      `json:"destroyed"`      // entries
	Kept      int64      `json:"kept"`           // entries of the keys that were sealed anew
	Holds     []int64    `json:"holds,omitzero"` // in force while the purge ran
	KeptBy    []HoldKept `json:"keptBy,omitzero"`
	// Checkpoint is the log's newest when the purge began.
	Checkpoint string `json:"checkpoint"`
	// Resumed says that the purge was interrupted and finished later. KeptBy then counts what was looked at the second time.
	Resumed bool `json:"resumed,omitzero"`

	// Ranges are the last of the ranges that were destroyed, as first and count; the others are in the entries in front of this one. They
	// are in the log alone: Evidence collects them.
	Ranges [][2]int64 `json:"ranges,omitzero"`
}

// HoldKept is how many entries a hold kept. One that several holds match counts for each.
type HoldKept struct {
	Hold    int64 `json:"hold"`
	Entries int64 `json:"entries"`
}

// Certificates returns the certificates, oldest first, without Ranges.
func (c *Custody) Certificates() []Certificate {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.certificates)
}

// Resume finishes the purges that are confirmed and have no certificate: those that a crash or an error interrupted. A hold that was placed
// since then counts for what is still there. It is to be called at every start, and may be called again at any time.
func (c *Custody) Resume(ctx context.Context) error {
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	for _, id := range slices.Sorted(maps.Keys(c.requests)) {
		q := c.request(id)
		if q.Kind != KindPurge || q.State != StateConfirmed {
			continue
		}
		c.Log.Info("finishing a purge that was interrupted", "request", id)
		if err := c.execute(ctx, q, true, nil); err != nil {
			return fmt.Errorf("finish the purge of request %d: %w", id, err)
		}
	}
	return nil
}

// execute does a purge that was confirmed, with the turn: what is held is decided now, and no hold comes in between. The steps are content,
// keys, old bytes, certificate; each can be repeated, so after a crash or an error all are done again, and what had been done
// already counts.
func (c *Custody) execute(ctx context.Context, q Request, resumed bool, progress func(done, total int64)) error {
	cert := Certificate{
		Request: q.ID, AskedBy: q.By, Asked: q.At, ConfirmedBy: q.ConfirmedBy, Confirmed: q.ConfirmedAt, Reason: q.Reason, Override: q.Purge.Override,
		Checkpoint: string(c.Ledger.Checkpoint()), Resumed: resumed,
	}
	keys, err := c.stillPurgeable(ctx, q, &cert)
	if err != nil {
		return err
	}
	keep := c.newKeeper(c.Now().UTC(), q.Purge.Override != "")
	for _, h := range keep.holds {
		cert.Holds = append(cert.Holds, h.ID)
	}
	var ranges []hippad.Range
	for _, s := range steps(keys) {
		from, to := span(s.keys)
		got, err := c.Ledger.Purge(ctx, ledger.Purge{Keys: ids(s.keys), From: from, To: to, Keep: keep.keeps, KeepClass: s.keepClass, Progress: progress})
		if err != nil {
			return err
		}
		if err := c.DestroyKeys(ctx, ids(s.keys)); err != nil {
			return fmt.Errorf("destroy data keys: %w", err)
		}
		cert.Destroyed += got.Destroyed
		cert.Kept += got.Kept
		ranges = append(ranges, got.Ranges...)
	}
	if c.Compact != nil {
		if err := c.Compact(ctx); err != nil {
			return fmt.Errorf("drop old bytes of the store: %w", err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(keep.byHold)) {
		cert.KeptBy = append(cert.KeptBy, HoldKept{id, keep.byHold[id]})
	}
	return c.certify(ctx, q, cert, ranges)
}

// stillPurgeable returns the keys of an order that may still be purged, and puts them and the others into the certificate. Those that
// are destroyed already were this purge's own before it was interrupted, or another's, to which nothing is added.
func (c *Custody) stillPurgeable(ctx context.Context, q Request, cert *Certificate) (keys []DataKey, err error) {
	now := c.Now().UTC()
	open, err := c.openMonth(ctx, now)
	if err != nil {
		return nil, err
	}
	have := map[uint32]DataKey{}
	for _, k := range c.DataKeys() {
		have[k.ID] = k
	}
	for _, r := range q.Purge.Keys {
		k, ok := have[r.ID]
		if !ok || k.Month != r.Month || k.Class != r.Class {
			return nil, hippad.Errorf(hippad.Unavailable, "data key %d is not the one that was asked for", r.ID).
				WithHint("the keys are older than the log: put their newest copy back")
		}
		if may, why := c.purgeable(k, q.Purge.Override != "", now, open); !may && k.Destroyed.IsZero() {
			r.Why = why
			cert.Left = append(cert.Left, r)
			continue
		}
		keys = append(keys, k)
		cert.Keys = append(cert.Keys, r)
	}
	return keys, nil
}

// A step is what one call of the ledger purges.
type step struct {
	keys      []DataKey
	keepClass string
}

// steps puts the keys into an order in which what is kept never goes under a key that is being purged. What is kept of one class of the held
// goes to the other; if both are to go, one after the other.
func steps(keys []DataKey) (out []step) {
	var first, second step
	first.keepClass, second.keepClass = regulation.Held, regulation.Held
	if slices.ContainsFunc(keys, func(k DataKey) bool { return k.Class == regulation.Held }) {
		first.keepClass = regulation.HeldAgain
	}
	for _, k := range keys {
		if k.Class == regulation.HeldAgain && first.keepClass == regulation.HeldAgain {
			second.keys = append(second.keys, k)
		} else {
			first.keys = append(first.keys, k)
		}
	}
	for _, s := range []step{first, second} {
		if len(s.keys) > 0 {
			out = append(out, s)
		}
	}
	return out
}

func ids(keys []DataKey) (out []uint32) {
	for _, k := range keys {
		out = append(out, k.ID)
	}
	return out
}

// span returns the time in which what is under the keys was received.
func span(keys []DataKey) (from, to time.Time) {
	for i, k := range keys {
		month, _ := parseMonth(k.Month)
		next := month.AddDate(0, 1, 0)
		if i == 0 || month.Before(from) {
			from = month
		}
		if i == 0 || next.After(to) {
			to = next
		}
	}
	return from, to
}

// certify writes the certificate, and in front of it as many entries as the ranges need. A crash in between leaves entries without a
// certificate, which say nothing that is not true, and the ranges are written again.
func (c *Custody) certify(ctx context.Context, q Request, cert Certificate, ranges []hippad.Range) error {
	who := hippad.Caller{Principal: q.ConfirmedBy}
	for len(ranges) > certificateMax {
		p := part{Request: q.ID, Ranges: pairs(ranges[:certificateMax])}
		if _, err := c.enter(ctx, who, repository.Changed(repository.ActivityPurge, "D", "what a purge has destroyed, in part"), record{Part: &p}); err != nil {
			return err
		}
		ranges = ranges[certificateMax:]
	}
	cert.Ranges = pairs(ranges)
	n := repository.Changed(repository.ActivityPurge, "D", fmt.Sprintf("a purge has destroyed the content of %d entries and kept that of %d", cert.Destroyed, cert.Kept))
	if _, err := c.enter(ctx, who, n, record{Certificate: &cert}); err != nil {
		return err
	}
	if c.request(q.ID).Certificate == 0 {
		return hippad.Errorf(hippad.Internal, "the certificate of request %d has no effect", q.ID)
	}
	return nil
}

func pairs(ranges []hippad.Range) [][2]int64 {
	out := make([][2]int64, len(ranges))
	for i, r := range ranges {
		out[i] = [2]int64{r.First, int64(r.Count)}
	}
	return out
}
