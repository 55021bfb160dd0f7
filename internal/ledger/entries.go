package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/receipt"
)

// Entries yields the entries [from, to), those of them that exist, in order. One whose content was destroyed is Destroyed. A
// key that is missing for another reason is an error of kind Unavailable.
func (l *Ledger) Entries(ctx context.Context, from, to int64) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		from, to := max(from, 0), min(to, l.Size())
		for o, err := range l.openBlocks(ctx, from, to) {
			var entries []hippad.Entry
			if err == nil {
				entries, err = l.unfold(ctx, o)
			}
			if err != nil {
				yield(hippad.Entry{}, err)
				return
			}
			for _, e := range entries {
				if e.Index >= from && e.Index < to && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// EntriesAt yields the entries at the given indexes, in the order given. Kind NotFound if one does not exist. Neighbours
// that are asked for one after the other are decoded together. Entries whose content was destroyed, and missing keys, are as
// with Entries.
func (l *Ledger) EntriesAt(ctx context.Context, indexes []int64) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		var have []hippad.Entry // of one block
		for _, i := range indexes {
			if len(have) == 0 || i < have[0].Index || i > have[len(have)-1].Index {
				o, err := l.openBlock(ctx, i)
				if err == nil {
					have, err = l.unfold(ctx, o)
				}
				if err != nil {
					yield(hippad.Entry{}, err)
					return
				}
			}
			if !yield(have[i-have[0].Index], nil) {
				return
			}
		}
	}
}

// Receipt proves that the entry at index is in the log, under the newest checkpoint. Kind NotFound if there is none.
func (l *Ledger) Receipt(ctx context.Context, index int64) (hippad.Receipt, error) {
	t := l.tail.Load()
	if index < 0 || index >= t.tree.N {
		return nil, hippad.Errorf(hippad.NotFound, "there is no entry %d", index)
	}
	leaves, err := l.leaves(ctx, index, index+1)
	if err != nil {
		return nil, fmt.Errorf("receipt of %d: %w", index, err)
	}
	leaf, err := receipt.ParseLeaf(leaves[0])
	if err != nil {
		return nil, fmt.Errorf("receipt of %d: %w", index, err)
	}
	path, err := tlog.ProveRecord(t.tree.N, index, newTiles(ctx, l.store, t.tree.N))
	if err != nil {
		return nil, fmt.Errorf("receipt of %d: %w", index, err)
	}
	proof := receipt.Proof{Index: index, Salt: l.o.Salt(index), Leaf: leaf, Path: path, Checkpoint: t.checkpoint}
	return proof.Marshal(), nil
}

// ProveTree returns the C2SP consistency proof from an older size of the log to size, both at most Size.
func (l *Ledger) ProveTree(ctx context.Context, size, older int64) (tlog.TreeProof, error) {
	if older < 1 || older > size || size > l.Size() {
		return nil, hippad.Errorf(hippad.Invalid, "no consistency proof from size %d to %d", older, size)
	}
	return tlog.ProveTree(size, older, newTiles(ctx, l.store, size))
}

// Hashes returns the hashes [from, to) of a level of C2SP tlog-tiles: hash i of level n is the root over the leaves
// [i·256^n, (i+1)·256^n). Kind NotFound if the log has not come as far.
func (l *Ledger) Hashes(ctx context.Context, level int, from, to int64) ([]tlog.Hash, error) {
	if level < 0 || level*tileHeight > 62 || from < 0 || from > to || to > l.Size()>>(level*tileHeight) {
		return nil, hippad.Errorf(hippad.NotFound, "there are no hashes %d to %d on level %d", from, to, level)
	}
	if from == to {
		return nil, nil
	}
	return l.store.Hashes(ctx, level, from, to)
}

// Leaves returns the leaf bytes of the entries [from, to), for C2SP entry bundles. Kind NotFound if the log has not come as far.
func (l *Ledger) Leaves(ctx context.Context, from, to int64) ([][]byte, error) {
	if from < 0 || from > to || to > l.Size() {
		return nil, hippad.Errorf(hippad.NotFound, "there are no leaves %d to %d", from, to)
	}
	return l.leaves(ctx, from, to)
}

func (l *Ledger) leaves(ctx context.Context, from, to int64) ([][]byte, error) {
	out := make([][]byte, 0, min(to-from, 1<<16))
	for o, err := range l.openBlocks(ctx, from, to) {
		if err != nil {
			return nil, err
		}
		out = append(out, o.leaves[max(from-o.first, 0):min(to-o.first, int64(o.count))]...)
	}
	return out, nil
}

func (l *Ledger) openBlock(ctx context.Context, index int64) (*opened, error) {
	if index < 0 || index >= l.Size() {
		return nil, hippad.Errorf(hippad.NotFound, "there is no entry %d", index)
	}
	return l.blockOf(ctx, index)
}

// blockOf returns the block that holds an entry, which may lie beyond what readers may see.
func (l *Ledger) blockOf(ctx context.Context, index int64) (*opened, error) {
	for o, err := range l.openBlocks(ctx, index, index+1) {
		return o, err
	}
	return nil, fmt.Errorf("entry %d: no block holds it", index)
}

// unfold returns the entries of a block. If its key was destroyed, what Purge had to keep is by now under another key, in the
// same place: a reader that was slower than both looks again.
func (l *Ledger) unfold(ctx context.Context, o *opened) ([]hippad.Entry, error) {
	for {
		entries, err := l.codec.entries(o)
		if !errors.Is(err, errKeyDestroyed) {
			return entries, err
		}
		now, err := l.blockOf(ctx, o.first)
		if err != nil {
			return nil, err
		}
		if now.key == o.key {
			return now.withoutContent(allDestroyed)
		}
		o = now
	}
}

// openBlocks yields the blocks that hold [from, to), checked to follow each other and to leave nothing out.
func (l *Ledger) openBlocks(ctx context.Context, from, to int64) iter.Seq2[*opened, error] {
	return openBlocks(ctx, l.store, l.codec, from, to)
}

func openBlocks(ctx context.Context, store Store, c *codec, from, to int64) iter.Seq2[*opened, error] {
	return func(yield func(*opened, error) bool) {
		if from >= to {
			return
		}
		next := from
		for b, err := range store.Blocks(ctx, from, to) {
			var o *opened
			if err == nil {
				o, err = c.open(b)
			}
			if err == nil && (o.first > next || o.end() <= next || next > from && o.first != next) {
				err = fmt.Errorf("block at %d holds %d entries, wanted is %d: %w", o.first, o.count, next, errBlock)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			next = o.end()
			if !yield(o, nil) {
				return
			}
		}
		if next < to {
			yield(nil, fmt.Errorf("entry %d: no block holds it", next))
		}
	}
}
