package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"hippad"
)

// Blocks are rewritten in batches: one synced write for each.
const (
	rewriteBlocks = 128
	rewriteBytes  = 4 << 20
)

// A Purge says what content is to end.
type Purge struct {
	Keys []uint32 // the data keys whose content ends

	// From and To are bounds of Received, from inclusive, to exclusive; zero: none. Nothing outside is looked at.
	From, To time.Time

	// Keep tells whether an entry keeps its content: a hold. Nil: none does. It is given whole entries and must be a pure
	// function as long as the purge is not done.
	Keep func(hippad.Entry) bool

	// KeepClass is the class under which what is kept is sealed anew, with the key of the entry's own time. That key must
	// not be one of Keys.
	KeepClass string

	Progress func(done, total int64) // may be nil
}

// Purged is what a purge has come to. When a purge is repeated it is the same: what was done before counts.
type Purged struct {
	Destroyed int64          // entries that had their content under one of the keys, and have it no more
	Kept      int64          // entries that had, and have it under another key
	Ranges    []hippad.Range // the destroyed, in order
}

// Purge ends the content of entries: of all that are sealed with one of the keys, but for those that Keep keeps. It does not
// destroy the keys. When it has returned nil nothing that is kept needs them, and the caller can, and must: old bytes of the
// store may stay on the disk for a while, and are only unreadable when the key is gone.
//
// Leaves are not touched, so neither is any proof. What ended is then taken out of the index too: out of the stored runs,
// and out of what is in memory and not written yet. Entries are read, found and committed meanwhile; a reader sees an
// entry whole or Destroyed.
//
// Purge looks at what was in the log when it began. Blocks that are committed later, perhaps under a key that is being
// purged, keep their content until that key is destroyed, or until the next purge: do not purge a class and month that still
// grow.
//
// What a crash, or an error, leaves behind: some blocks are rewritten and others not, and runs may still have the terms of
// destroyed entries, which the log bears. The same Purge again finishes it, and counts what the first had done.
func (l *Ledger) Purge(ctx context.Context, p Purge) (Purged, error) {
	if slices.Contains(p.Keys, notSealed) {
		return Purged{}, hippad.Errorf(hippad.Invalid, "purge: 0 is not the id of a key")
	}
	ctx, done, err := l.beginRewriting(ctx)
	if err != nil {
		return Purged{}, fmt.Errorf("purge: %w", err)
	}
	defer done()
	from, to := int64(0), l.Size()
	if !p.To.IsZero() {
		to, err = l.FirstSince(ctx, p.To, to)
	}
	if err == nil && !p.From.IsZero() {
		from, err = l.FirstSince(ctx, p.From, to)
	}
	var result Purged
	if err == nil && from < to {
		progress := newProgress(p.Progress, to-from+l.storedWithin(from, to))
		if result, err = l.purgeBlocks(ctx, p, from, to, progress); err == nil {
			err = l.purgeIndex(ctx, result.Ranges, progress)
		}
		if err == nil {
			progress.finish()
		}
	}
	if err != nil {
		return Purged{}, fmt.Errorf("purge: %w", err)
	}
	return result, nil
}

// beginRewriting waits until nobody else rewrites blocks. The context it returns ends with the ledger.
func (l *Ledger) beginRewriting(ctx context.Context) (_ context.Context, done func(), err error) {
	closing := hippad.Errorf(hippad.Unavailable, "the log is closing")
	select {
	case l.rewriting <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-l.ctx.Done():
		return nil, nil, closing
	}
	if l.ctx.Err() != nil {
		<-l.rewriting
		return nil, nil, closing
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
		<-l.rewriting
	}, nil
}

// FirstSince returns the first index below size that was received at t or later, size if there is none. Received never
// decreases, and is one and the same in a block.
func (l *Ledger) FirstSince(ctx context.Context, t time.Time, size int64) (int64, error) {
	lo, hi := int64(0), size
	for lo < hi {
		o, err := l.blockOf(ctx, lo+(hi-lo)/2)
		if err != nil {
			return 0, err
		}
		leaf, err := o.leaf(0)
		if err != nil {
			return 0, err
		}
		if leaf.Received.Before(t) {
			lo = o.end()
		} else {
			hi = o.first
		}
	}
	return lo, nil
}

// purgeBlocks rewrites the blocks of [from, to).
func (l *Ledger) purgeBlocks(ctx context.Context, p Purge, from, to int64, progress *progress) (Purged, error) {
	var result Purged
	w := rewriter{store: l.store}
	for o, err := range l.openBlocks(ctx, from, to) {
		if err != nil {
			return result, err
		}
		if o.living() > 0 && slices.Contains(p.Keys, o.key) {
			b, err := l.purgeBlock(o, p)
			if err == nil {
				err = w.put(ctx, b)
			}
			if err != nil {
				return result, err
			}
		}
		result.add(&o.head, p.Keys)
		progress.add(int64(o.count))
	}
	return result, w.flush(ctx)
}

// purgeBlock makes what a block is to become, and brings its head up to it.
func (l *Ledger) purgeBlock(o *opened, p Purge) (Block, error) {
	entries, err := l.codec.entries(o)
	if errors.Is(err, errKeyDestroyed) {
		entries, err = o.withoutContent(allDestroyed) // there is nothing left to keep
	}
	if err != nil {
		return Block{}, err
	}
	if len(o.purges) == maxPurges {
		return Block{}, fmt.Errorf("block at %d: it was purged %d times already", o.first, maxPurges)
	}
	ended := purged{key: o.key}
	before := o.destroyed()
	var kept []*hippad.Entry
	for i := range entries {
		switch e := &entries[i]; {
		case before>>i&1 == 1:
		case !e.Destroyed && p.Keep != nil && p.Keep(*e):
			kept = append(kept, e)
		default:
			ended.bits |= 1 << i
		}
	}
	var key dataKey
	if len(kept) > 0 {
		if key, err = l.o.sealKey(kept[0].Received, p.KeepClass); err != nil {
			return Block{}, err
		}
		if slices.Contains(p.Keys, key.id) || key.id == notSealed {
			return Block{}, hippad.Errorf(hippad.Invalid, "what is kept would be under key %d, which is not one that stays", key.id)
		}
		o.key = key.id
	}
	o.purges = append(slices.Clip(o.purges), ended)
	return l.codec.encodeBlock(o.head, o.packedLeaves, kept, key), nil
}

// add counts what of a block ended with the keys, now or before.
func (d *Purged) add(h *head, keys []uint32) {
	var ended uint64
	met := false
	for _, p := range h.purges {
		if slices.Contains(keys, p.key) {
			ended, met = ended|p.bits, true
		}
	}
	if met { // all of a block is under one key at a time, so what is left was under that one too
		d.Kept += int64(h.living())
	}
	d.Destroyed += int64(bits.OnesCount64(ended))
	for i := range h.count {
		if ended>>i&1 == 1 {
			d.Ranges = appendRange(d.Ranges, h.first+int64(i), 1)
		}
	}
}

// rewriter gathers blocks and writes them in batches.
type rewriter struct {
	store  Store
	blocks []Block
	bytes  int
}

func (w *rewriter) put(ctx context.Context, b Block) error {
	w.blocks = append(w.blocks, b)
	w.bytes += len(b.Value)
	if len(w.blocks) < rewriteBlocks && w.bytes < rewriteBytes {
		return nil
	}
	return w.flush(ctx)
}

func (w *rewriter) flush(ctx context.Context) error {
	if len(w.blocks) == 0 {
		return nil
	}
	if err := w.store.Rewrite(ctx, w.blocks); err != nil {
		return fmt.Errorf("rewrite %d blocks from %d on: %w", len(w.blocks), w.blocks[0].First, err)
	}
	w.blocks, w.bytes = w.blocks[:0], 0
	return nil
}

// storedWithin returns how many entries the stored runs have that entries of [from, to) lie in.
func (l *Ledger) storedWithin(from, to int64) int64 {
	length := l.index.length
	stored := int64(len(l.index.snapshot().stored)) * length
	return max(0, min((to+length-1)/length*length, stored)-from/length*length)
}

// purgeIndex takes destroyed entries out of the index: out of the segments in memory first, so that no run is written with
// them any more, then out of the runs that are stored. A run is made again from the log, as after a crash.
func (l *Ledger) purgeIndex(ctx context.Context, destroyed []hippad.Range, progress *progress) error {
	l.runWriter.Lock()
	stored := l.index.forget(destroyed)
	l.runWriter.Unlock()
	next := int64(0)
	for _, r := range destroyed {
		last := (r.First + int64(r.Count) - 1) / l.index.length
		for next = max(next, r.First/l.index.length); next <= last && next < stored; next++ {
			s, err := l.buildRun(ctx, next, func() { progress.add(1) })
			if err == nil {
				err = l.replaceRun(ctx, s)
			}
			if err != nil {
				return fmt.Errorf("run %d of the index: %w", next, err)
			}
		}
	}
	return nil
}

func (l *Ledger) replaceRun(ctx context.Context, s *segment) error {
	l.runWriter.Lock()
	defer l.runWriter.Unlock()
	if err := l.writeRun(ctx, s); err != nil {
		return err
	}
	l.index.replaced(s.run, s.allZones())
	return nil
}

// progress tells a caller how far something has come, not too often.
type progress struct {
	tell        func(done, total int64)
	done, total int64
	told        int64
}

func newProgress(tell func(done, total int64), total int64) *progress {
	return &progress{tell: tell, total: total}
}

func (p *progress) add(n int64) {
	if p.done += n; p.tell != nil && p.done-p.told >= 8192 && p.done < p.total {
		p.told = p.done
		p.tell(p.done, p.total)
	}
}

func (p *progress) finish() {
	if p.tell != nil {
		p.tell(p.total, p.total)
	}
}
