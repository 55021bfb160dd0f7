package localstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/internal/ledger"
)

// runFile is where a run is built before Pebble takes it in. What a crash leaves there is overwritten by the next run.
const runFile = "run.building"

// WriteRun implements ledger.Store: the run becomes one sorted file, which Pebble takes in whole. Nothing of it goes through
// the write-ahead log, and commits do not wait for it. If it replaces another, the same file buries what is left of that one.
func (s *Store) WriteRun(ctx context.Context, r ledger.Run) error {
	if r.Number < 0 || r.Number > math.MaxUint32 {
		return fmt.Errorf("run %d cannot be stored", r.Number)
	}
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.room(0); err != nil {
		return err
	}
	old, err := s.oldTerms(ctx, r.Number)
	if err != nil {
		return fmt.Errorf("write run %d: %w", r.Number, err)
	}
	path := s.o.FS.PathJoin(s.dir, runFile)
	err = s.buildRun(path, r, old)
	if err == nil {
		err = s.ingest(ctx, path)
	}
	if err != nil {
		if rerr := s.disk.Remove(path); rerr != nil && !isNotExist(rerr) {
			err = errors.Join(err, rerr)
		}
		if isFull(err) {
			err = hippad.Errorf(hippad.Unavailable, "the disk is full: %w", err)
		}
		return fmt.Errorf("write run %d: %w", r.Number, err)
	}
	return nil
}

// ingest hands the file to Pebble. When Pebble stops in the middle of it, the call never returns.
func (s *Store) ingest(ctx context.Context, path string) error {
	done := make(chan error, 1)
	go func() { done <- s.db.Ingest(ctx, []string{path}) }()
	select {
	case err := <-done:
		return err
	case <-s.broken:
		return s.usable()
	}
}

// lookAhead is how many runs are looked for in one pass over the index. Postings are sorted by term, so to find those of one
// run is to read all; who replaces a run mostly replaces the next one too.
const lookAhead = 16

// oldTerms returns, in order, the terms of a run that is there already, none if there is none.
func (s *Store) oldTerms(ctx context.Context, run int64) ([]uint64, error) {
	there, err := s.hasRun(run)
	if err != nil || !there {
		s.ahead = nil
		return nil, err
	}
	if terms, ok := s.ahead[run]; ok {
		delete(s.ahead, run)
		return terms, nil
	}
	s.ahead = nil
	found := map[int64][]uint64{run: nil}
	for n := run + 1; n < min(run+lookAhead, math.MaxUint32); n++ {
		if there, err := s.hasRun(n); err != nil {
			return nil, err
		} else if there {
			found[n] = nil
		}
	}
	for p, err := range s.AllPostings(ctx) {
		if err != nil {
			return nil, err
		}
		if terms, ok := found[p.Run]; ok {
			found[p.Run] = append(terms, p.Term)
		}
	}
	terms := found[run]
	delete(found, run)
	s.ahead = found
	return terms, nil
}

func (s *Store) hasRun(run int64) (bool, error) {
	_, closer, err := s.db.Get(runKey(run))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

// buildRun writes the sorted file: the run, and tombstones for the old terms that it has no more.
func (s *Store) buildRun(path string, r ledger.Run, old []uint64) (err error) {
	f, err := s.disk.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	o := s.pebbleOptions(false)
	o.EnsureDefaults()
	level := len(o.Levels) - 1
	if len(old) > 0 {
		level = 0 // in a file for the last level Pebble takes a tombstone for one that buries nothing any more
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(level, s.db.TableFormat()))
	defer func() {
		if cerr := w.Close(); err == nil {
			err = cerr
		}
	}()
	var key []byte
	bury := func(until func(uint64) bool) error {
		for len(old) > 0 && until(old[0]) {
			key = postingKey(key[:0], old[0], r.Number)
			if err := w.Delete(key); err != nil {
				return err
			}
			old = old[1:]
		}
		return nil
	}
	for term, value := range r.Postings {
		if err := bury(func(t uint64) bool { return t < term }); err != nil {
			return err
		}
		if len(old) > 0 && old[0] == term {
			old = old[1:]
		}
		key = postingKey(key[:0], term, r.Number)
		if err := w.Set(key, value); err != nil {
			return err
		}
	}
	if err := bury(func(uint64) bool { return true }); err != nil {
		return err
	}
	return w.Set(runKey(r.Number), r.Marker)
}

// DropRuns implements ledger.Store.
func (s *Store) DropRuns(context.Context) error {
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.db.DeleteRange([]byte{keyPosting}, []byte{keyRun + 1}, pebble.Sync); err != nil {
		return fmt.Errorf("drop the index: %w", err)
	}
	return nil
}

// Runs implements ledger.Store.
func (s *Store) Runs(ctx context.Context) iter.Seq2[ledger.Run, error] {
	return each(ctx, s, kind(keyRun), (*pebble.Iterator).First, (*pebble.Iterator).Next,
		func(it *pebble.Iterator) (ledger.Run, error) {
			n, err := number(it.Key(), 5, 4)
			if err != nil {
				return ledger.Run{}, err
			}
			v, err := it.ValueAndErr()
			return ledger.Run{Number: n, Marker: append([]byte{}, v...)}, err
		})
}

// Postings implements ledger.Store.
func (s *Store) Postings(ctx context.Context, term uint64, from, to int64, descending bool) iter.Seq2[ledger.Posting, error] {
	from, to = max(from, 0), min(to, math.MaxUint32)
	if from >= to {
		return func(func(ledger.Posting, error) bool) {}
	}
	seek, step := (*pebble.Iterator).First, (*pebble.Iterator).Next
	if descending {
		seek, step = (*pebble.Iterator).Last, (*pebble.Iterator).Prev
	}
	return each(ctx, s, bounds(postingKey(nil, term, from), postingKey(nil, term, to)), seek, step,
		func(it *pebble.Iterator) (ledger.Posting, error) {
			p, err := postingAt(it)
			p.Value = bytes.Clone(p.Value)
			return p, err
		})
}

// AllPostings implements ledger.Store.
func (s *Store) AllPostings(ctx context.Context) iter.Seq2[ledger.Posting, error] {
	return each(ctx, s, kind(keyPosting), (*pebble.Iterator).First, (*pebble.Iterator).Next, postingAt)
}

func postingAt(it *pebble.Iterator) (ledger.Posting, error) {
	run, err := number(it.Key(), 13, 4)
	if err != nil {
		return ledger.Posting{}, err
	}
	var term uint64
	for _, b := range it.Key()[1:9] {
		term = term<<8 | uint64(b)
	}
	v, err := it.ValueAndErr()
	return ledger.Posting{Term: term, Run: run, Value: v}, err
}
