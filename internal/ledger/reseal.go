package ledger

import (
	"context"
	"fmt"

	"hippad"
)

// Reseal seals the content that is not: blocks that were written when the log had no keys, or was of an older program.
// They get the key of their own time and DefaultClass. Leaves are not touched. The log goes on meanwhile.
//
// Blocks are sealed from the newest to the oldest, and a log that has sealed content takes no other any more. So the
// blocks that are not sealed are always the oldest, however often Reseal was interrupted: that there is nothing to do is
// told by the very first block, and where to go on is found by bisection. Nothing needs to be noted.
//
// The store may keep the old bytes, which no key protects, on the disk for a while: see localstore.Store.Forget.
func (l *Ledger) Reseal(ctx context.Context, tell func(done, total int64)) error {
	if l.o.SealKey == nil {
		return hippad.Errorf(hippad.Invalid, "reseal: there are no keys to seal content with")
	}
	ctx, done, err := l.beginRewriting(ctx)
	if err != nil {
		return fmt.Errorf("reseal: %w", err)
	}
	defer done()
	end, err := l.firstSealed(ctx)
	if err == nil && end > 0 {
		l.o.Log.Info("sealing the content of the log", "entries", end)
		err = l.resealBefore(ctx, end, newProgress(tell, end))
	}
	if err != nil {
		return fmt.Errorf("reseal: %w", err)
	}
	return nil
}

// firstSealed returns where the part of the log whose content is sealed begins.
func (l *Ledger) firstSealed(ctx context.Context) (int64, error) {
	lo, hi := int64(0), l.Size()
	for at := lo; lo < hi; at = lo + (hi-lo)/2 {
		o, err := l.blockOf(ctx, at)
		if err != nil {
			return 0, err
		}
		if o.key != notSealed {
			hi = o.first
		} else {
			lo = o.end()
		}
	}
	return lo, nil
}

// resealBefore seals the blocks in front of an index, the last one first.
func (l *Ledger) resealBefore(ctx context.Context, end int64, progress *progress) error {
	w := rewriter{store: l.store}
	for end > 0 {
		o, err := l.blockOf(ctx, end-1)
		if err != nil {
			return err
		}
		b, err := l.resealed(o)
		if err == nil {
			err = w.put(ctx, b)
		}
		if err != nil {
			return err
		}
		end = o.first
		progress.add(int64(o.count))
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	progress.finish()
	return nil
}

// resealed returns the block, sealed.
func (l *Ledger) resealed(o *opened) (Block, error) {
	entries, err := l.codec.entries(o)
	if err != nil {
		return Block{}, err
	}
	key, err := l.o.sealKey(entries[0].Received, DefaultClass)
	if err != nil {
		return Block{}, err
	}
	living := make([]*hippad.Entry, 0, len(entries))
	for i := range entries {
		if !entries[i].Destroyed {
			living = append(living, &entries[i])
		}
	}
	o.key = key.id
	return l.codec.encodeBlock(o.head, o.packedLeaves, living, key), nil
}
