package localstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"hippad/internal/ledger"
)

func bounds(lower, upper []byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: lower, UpperBound: upper}
}

// each yields what make makes of the keys of one kind, in order, from the position that seek finds.
func each[T any](ctx context.Context, s *Store, o *pebble.IterOptions, seek, step func(*pebble.Iterator) bool,
	make func(*pebble.Iterator) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		it, err := s.db.NewIterWithContext(ctx, o)
		if err != nil {
			yield(zero, err)
			return
		}
		defer it.Close()
		for ok := seek(it); ok; ok = step(it) {
			v, err := make(it)
			if err == nil {
				err = ctx.Err()
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(zero, err)
		}
	}
}

func kind(k byte) *pebble.IterOptions { return bounds([]byte{k}, []byte{k + 1}) }

// Blocks implements ledger.Store.
func (s *Store) Blocks(ctx context.Context, from, to int64) iter.Seq2[ledger.Block, error] {
	if from >= to {
		return func(func(ledger.Block, error) bool) {}
	}
	seek := func(it *pebble.Iterator) bool {
		// The block that holds from begins at it or before it.
		return it.SeekLT(key64(keyBlock, from+1)) || it.First()
	}
	return each(ctx, s, bounds([]byte{keyBlock}, key64(keyBlock, to)), seek, (*pebble.Iterator).Next,
		func(it *pebble.Iterator) (ledger.Block, error) {
			first, err := number(it.Key(), 9, 8)
			if err != nil {
				return ledger.Block{}, err
			}
			v, err := it.ValueAndErr()
			if err != nil {
				err = fmt.Errorf("block at %d: %w", first, err)
			}
			return ledger.Block{First: first, Value: bytes.Clone(v)}, err
		})
}

// Hashes implements ledger.Store.
func (s *Store) Hashes(ctx context.Context, level int, from, to int64) ([]tlog.Hash, error) {
	if from >= to {
		return nil, nil
	}
	const tile = 256 // rows do not cross a tile
	it, err := s.db.NewIterWithContext(ctx, bounds(hashKey(level, from/tile*tile), hashKey(level, to)))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	out := make([]tlog.Hash, 0, min(to-from, 1<<16))
	next := from
	for ok := it.SeekLT(hashKey(level, from+1)) || it.First(); ok && next < to; ok = it.Next() {
		first, err := number(it.Key(), 10, 8)
		if err != nil {
			return nil, err
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, fmt.Errorf("hashes at %d of level %d: %w", first, level, err)
		}
		end := first + int64(len(v)/32)
		if len(v)%32 != 0 || first > next || end <= next {
			return nil, fmt.Errorf("hash %d of level %d is missing", next, level)
		}
		for ; next < min(end, to); next++ {
			out = append(out, tlog.Hash(v[32*(next-first):]))
		}
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	if next < to {
		return nil, fmt.Errorf("hash %d of level %d is missing", next, level)
	}
	return out, nil
}

// Stream implements ledger.Store.
func (s *Store) Stream(_ context.Context, key [32]byte) ([]byte, error) {
	v, closer, err := s.db.Get(streamKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	defer closer.Close()
	return append([]byte{}, v...), nil
}

// Streams implements ledger.Store.
func (s *Store) Streams(ctx context.Context) iter.Seq2[ledger.StreamState, error] {
	return each(ctx, s, kind(keyStream), (*pebble.Iterator).First, (*pebble.Iterator).Next,
		func(it *pebble.Iterator) (ledger.StreamState, error) {
			if len(it.Key()) != 33 {
				return ledger.StreamState{}, errors.New("a stream's key is damaged")
			}
			v, err := it.ValueAndErr()
			return ledger.StreamState{Key: [32]byte(it.Key()[1:]), State: append([]byte{}, v...)}, err
		})
}

// Checkpoints implements ledger.Store.
func (s *Store) Checkpoints(ctx context.Context) iter.Seq2[ledger.Tail, error] {
	return each(ctx, s, kind(keyCheckpoint), (*pebble.Iterator).First, (*pebble.Iterator).Next, tailAt)
}
