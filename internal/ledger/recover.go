package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/receipt"
)

// recover brings a new Ledger to the state of its store: it trusts the store's bytes only as far as they lead to a
// signed checkpoint. What an earlier process left half done needs no repair: a commit is there or not, a run that is missing
// is built again, and the entries after the last run are read again into memory.
func (l *Ledger) recover(ctx context.Context) error {
	t, err := l.store.Tail(ctx)
	if err != nil {
		return fmt.Errorf("read tail: %w", err)
	}
	tree, err := openTail(t, l.o.Verifier)
	if err != nil {
		return fmt.Errorf("tail: %w", err)
	}
	if tree.N == 0 {
		if t.Checkpoint, err = receipt.NewCheckpoint(tree, l.o.Signer); err != nil {
			return err
		}
	}
	if l.edge, err = readEdge(ctx, l.store, tree.N); err != nil {
		return err
	}
	if got := l.edge.tree(); got != tree {
		return fmt.Errorf("the stored hashes do not lead to the checkpoint of size %d", tree.N)
	}
	if err := checkKnown(ctx, l.store, l.o, tree); err != nil {
		return err
	}
	if tree.N > 0 {
		o, err := l.blockOf(ctx, tree.N-1)
		if err != nil {
			return err
		}
		leaf, err := o.leaf(int(tree.N - 1 - o.first))
		if err != nil {
			return err
		}
		l.received = leaf.Received
		if o.key != notSealed && l.o.SealKey == nil {
			return hippad.Errorf(hippad.Conflict, "the content of this log is sealed, and there are no keys to go on with")
		}
	}
	if err := l.recoverIndex(ctx, tree.N); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	l.setTail(tree, t.Checkpoint)
	return nil
}

// checkKnown tells whether tree, the store's own, is a continuation of every checkpoint in Options.Known. When it is not, the
// error is an AuditError.
func checkKnown(ctx context.Context, store Store, o Options, tree tlog.Tree) error {
	for _, text := range o.Known {
		known, err := receipt.OpenCheckpoint(text, o.Verifier)
		if err != nil {
			return fmt.Errorf("checkpoint known from elsewhere: %w", err)
		}
		if known.N > tree.N {
			return wrong(tree.N, nil, "the log ends before it, but a checkpoint of %d entries is known: this is an old copy", known.N)
		}
		root, err := tlog.TreeHash(known.N, newTiles(ctx, store, tree.N))
		if err != nil {
			return fmt.Errorf("read tree of size %d: %w", known.N, err)
		}
		if root != known.Hash {
			return wrong(-1, nil, "another log: its first %d entries are not those of a checkpoint that is known", known.N)
		}
	}
	return nil
}

// recoverIndex loads the zone maps of the runs, builds what is missing, and reads the entries after the last full run.
func (l *Ledger) recoverIndex(ctx context.Context, size int64) error {
	full := size / l.index.length
	zones, err := l.storedRuns(ctx, full)
	if err != nil {
		return err
	}
	var missing []int64
	for run := range full {
		if zones[run] == nil {
			missing = append(missing, run)
		}
	}
	total := int64(len(missing))*l.index.length + size%l.index.length
	var done atomic.Int64
	var mu sync.Mutex // Progress need not be safe for concurrent use
	progress := func() {
		if n := done.Add(1); l.o.Progress != nil && (n%8192 == 0 || n == total) {
			mu.Lock()
			defer mu.Unlock()
			l.o.Progress(n, total)
		}
	}
	if len(missing) > 0 {
		l.o.Log.Info("building the index again", "runs", len(missing), "of", full)
	}
	// Store has one writer of runs, so the cores build and one of them at a time writes.
	var write sync.Mutex
	err = parallelErr(len(missing), func(i int) error {
		s, err := l.buildRun(ctx, missing[i], progress)
		if err != nil {
			return err
		}
		zones[missing[i]] = s.allZones()
		write.Lock()
		defer write.Unlock()
		return l.writeRun(ctx, s)
	})
	if err != nil {
		return err
	}
	l.index.stored, l.index.size = zones, full*l.index.length
	return l.scan(ctx, l.index.size, size, func(it *item) {
		l.index.addOne(it.terms, it.when(it.entry.Received))
		progress()
	})
}

// storedRuns returns the zone maps of the first full runs, nil where one is missing. If any run was built with another version
// of the terms or another run length, all are dropped first.
func (l *Ledger) storedRuns(ctx context.Context, full int64) ([][]zone, error) {
	zones := make([][]zone, full)
	for r, err := range l.store.Runs(ctx) {
		if err != nil {
			return nil, err
		}
		z, ok := decodeMarker(r.Marker, l.o.TermsVersion, l.index.length)
		if !ok || r.Number < 0 || r.Number >= full {
			l.o.Log.Info("dropping an index that was built differently", "run", r.Number)
			return make([][]zone, full), l.store.DropRuns(ctx)
		}
		zones[r.Number] = z
	}
	return zones, nil
}

// buildRun makes the index of one full run from the log.
func (l *Ledger) buildRun(ctx context.Context, run int64, progress func()) (*segment, error) {
	s := newSegment(run)
	from := run * l.index.length
	for o, err := range l.openBlocks(ctx, from, from+l.index.length) {
		if err != nil {
			return nil, err
		}
		items, err := l.decode(ctx, o, from, from+l.index.length)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			s.add(it.terms, it.when(it.entry.Received))
			progress()
		}
	}
	return s, nil
}

// scan reads the entries [from, to) and hands them to f in order, decoding on all cores. Items have no digest.
func (l *Ledger) scan(ctx context.Context, from, to int64, f func(*item)) error {
	const batch = 256 // blocks
	var blocks []*opened
	flush := func() error {
		items := make([][]*item, len(blocks))
		errs := make([]error, len(blocks))
		parallel(len(blocks), 4, func(i int) { items[i], errs[i] = l.decode(ctx, blocks[i], from, to) })
		blocks = blocks[:0]
		for i := range items {
			if errs[i] != nil {
				return errs[i]
			}
			for _, it := range items[i] {
				f(it)
			}
		}
		return nil
	}
	bytes := 0
	for o, err := range l.openBlocks(ctx, from, to) {
		if err != nil {
			return err
		}
		blocks = append(blocks, o)
		if bytes += len(o.packed); len(blocks) == batch || bytes > maxSection {
			bytes = 0
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// decode unfolds the entries of a block that lie in [from, to) and indexes them. The bodies are let go.
func (l *Ledger) decode(ctx context.Context, o *opened, from, to int64) ([]*item, error) {
	entries, err := l.unfold(ctx, o)
	if err != nil {
		return nil, err
	}
	var items []*item
	for _, e := range entries {
		if e.Index < from || e.Index >= to {
			continue
		}
		items = append(items, indexedItem(e, l.o.Index))
	}
	return items, nil
}

// indexedItem makes the item of a stored entry, without its body. Nothing but its place and the time of receipt is known of one that is
// destroyed.
func indexedItem(e hippad.Entry, index func(hippad.Entry) Indexed) *item {
	if e.Destroyed {
		return &item{entry: e}
	}
	// Index gets what Append gave it.
	asked := e
	asked.Index, asked.Received = 0, time.Time{}
	x := index(asked)
	e.Body = nil
	return &item{entry: e, terms: x.terms(), time: x.When}
}

// parallelErr calls f for 0 to n-1 on all cores and returns the errors. After the first error no more are begun.
func parallelErr(n int, f func(i int) error) error {
	var next, failed atomic.Int64
	errs := make([]error, n)
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for failed.Load() == 0 {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[i] = f(i); errs[i] != nil {
					failed.Store(1)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// writeRuns is the goroutine that writes full segments to the store, oldest first. A run that cannot be written stays in
// memory, serves from there, and is tried again; after a crash Open builds it again.
func (l *Ledger) writeRuns() {
	pause := time.Duration(0)
	for {
		if s, _ := l.index.full(); s == nil {
			pause = 0
			select {
			case <-l.wakeRuns:
			case <-l.ctx.Done():
				return
			}
		} else if err := l.writeSegment(s); err == nil {
			l.runError.Store(nil)
			wake(l.runTried)
			pause = 0
		} else {
			l.stats.runErrors.Add(1)
			l.o.Log.Warn("write index", "run", s.run, "err", err)
			l.runError.Store(&err)
			wake(l.runTried)
			pause = min(2*pause+100*time.Millisecond, 30*time.Second)
		}
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-l.ctx.Done():
				return
			}
		}
	}
}

// writeSegment writes the oldest segment, which is full. Purge must not mark entries in it meanwhile.
func (l *Ledger) writeSegment(s *segment) error {
	l.runWriter.Lock()
	defer l.runWriter.Unlock()
	err := l.writeRun(l.ctx, s)
	if err == nil {
		l.index.written()
	}
	return err
}

func (l *Ledger) writeRun(ctx context.Context, s *segment) error {
	marker := encodeMarker(l.o.TermsVersion, l.index.length, s.allZones())
	return l.store.WriteRun(ctx, Run{Number: s.run, Marker: marker, Postings: s.postings()})
}

// wake puts an element into a channel of capacity 1, unless there is one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
