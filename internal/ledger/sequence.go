package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/receipt"
)

const (
	maxMoved    = 8 // times a pool is sequenced again because somebody else was first
	settleTries = 4 // times the tail is asked for before the outcome of a commit is called unknown
)

// sequence is the sequencer: it takes the pool as soon as the commit before it is done, so commits grow by themselves when
// there is much to do, and no timer delays anybody who waits (see gatherTime for those who do not).
func (l *Ledger) sequence() {
	defer close(l.done)
	for {
		frames, ok := l.pool.take()
		if !ok {
			return
		}
		err := l.commitPool(frames)
		l.outcome.Store(&err)
		if err != nil {
			for _, f := range frames {
				f.finish(hippad.Ack{}, err)
			}
		}
	}
}

// commitPool commits the frames and acknowledges them. When it returns an error, nothing of them was acknowledged.
//
// What a crash leaves behind, by the moment:
//   - before Store.Commit: nothing. Nobody was told anything; reporters repeat.
//   - during Store.Commit: all of the commit or nothing, and nobody was told. If it is all, a stream that repeats gets the
//     places that were stored with it, so nothing is doubled.
//   - after Store.Commit, before the acknowledgement: the commit is there; as above.
//   - after the acknowledgement: the commit is there. The index in memory is gone and is built again by Open.
func (l *Ledger) commitPool(frames []*frame) error {
	asked := false
	for range maxMoved {
		if err := l.ready(); err != nil {
			return err
		}
		p, err := l.plan(frames)
		if gap := err == nil && slices.ContainsFunc(frames, (*frame).conflicts); gap && !asked || errors.Is(err, ErrMoved) {
			// Where several write, another one may have taken the numbers that seem to be missing: look again.
			l.unsettled, asked = true, true
			continue
		}
		if err != nil {
			return err
		}
		if p != nil {
			if err = l.commit(p); errors.Is(err, ErrMoved) {
				continue // somebody else was first, and settle has caught up with them
			} else if err != nil {
				return err
			}
		}
		l.acknowledge(frames)
		return nil
	}
	return hippad.Errorf(hippad.Unavailable, "other writers were first %d times in a row", maxMoved)
}

// ready tells whether the log may be extended now.
func (l *Ledger) ready() error {
	if err := l.fatal.Load(); err != nil {
		return *err
	}
	if l.unsettled {
		if err := l.settle(l.ctx); err != nil {
			return hippad.Errorf(hippad.Unavailable, "the store does not answer: %w", err)
		}
	}
	return l.indexKeepsUp()
}

// indexKeepsUp waits while more runs than are good for the memory wait to be written. It is an error if the store does not
// take them.
func (l *Ledger) indexKeepsUp() error {
	for {
		if _, waiting := l.index.full(); waiting <= maxWaitingRuns {
			return nil
		}
		if err := l.runError.Load(); err != nil {
			return hippad.Errorf(hippad.Unavailable, "the index cannot be written: %w", *err)
		}
		select {
		case <-l.runTried:
		case <-l.ctx.Done():
			return hippad.Errorf(hippad.Unavailable, "the log is closing")
		}
	}
}

// acknowledge wakes those who wait for the frames.
func (l *Ledger) acknowledge(frames []*frame) {
	checkpoint := l.Checkpoint()
	for _, f := range frames {
		if f.err != nil {
			f.finish(hippad.Ack{}, f.err)
			continue
		}
		l.stats.repeats.Add(int64(len(f.items) - len(f.fresh)))
		f.finish(hippad.Ack{Ranges: f.ranges, Checkpoint: checkpoint}, nil)
	}
}

// pending is a commit and the state that the log has after it.
type pending struct {
	items    []*item
	streams  map[[32]byte]stream
	received time.Time
	edge     edge
	tree     tlog.Tree
	commit   Commit
}

// plan gives every frame its place and prepares the commit; nil if there is nothing new. The frames' ranges and err are set.
func (l *Ledger) plan(frames []*frame) (*pending, error) {
	p := &pending{streams: make(map[[32]byte]stream)}
	next := l.edge.size
	for _, f := range frames {
		f.ranges, f.fresh, f.err = nil, nil, nil
		if err := l.place(p, f, next); err != nil {
			return nil, err
		}
		for i := range f.fresh {
			f.fresh[i].entry.Index = next
			next++
			p.items = append(p.items, &f.fresh[i])
		}
	}
	if len(p.items) == 0 {
		return nil, nil
	}
	p.received = l.o.Now().UTC().Truncate(time.Microsecond)
	if p.received.Before(l.received) {
		p.received = l.received // the clock went back; the log does not
	}
	keys, err := l.sealKeys(p)
	if err != nil {
		return nil, err
	}
	blocks, leaves := l.encode(p, keys)
	p.edge = l.edge
	var rows rows
	for _, h := range leaves {
		p.edge.append(h, rows.put)
	}
	p.tree = p.edge.tree()
	checkpoint, err := receipt.NewCheckpoint(p.tree, l.o.Signer)
	if err != nil {
		return nil, err
	}
	p.commit = Commit{Prev: l.edge.size, Size: next, Blocks: blocks, Hashes: rows.all(), Checkpoint: checkpoint}
	for key, s := range p.streams {
		p.commit.Streams = append(p.commit.Streams, StreamState{key, s.encode()})
	}
	return p, nil
}

// place decides what of the frame is new and where everything is: next is the index of the first new entry. A gap sets
// f.err and nothing of the frame is taken.
func (l *Ledger) place(p *pending, f *frame, next int64) error {
	count := int64(len(f.items))
	if f.at.Key == [32]byte{} || count == 0 {
		f.fresh = f.items
		if count > 0 {
			f.ranges = []hippad.Range{{First: next, Count: int(count)}}
		}
		return nil
	}
	s, ok := p.streams[f.at.Key] // earlier frames of this pool count
	if !ok {
		var err error
		if s, err = l.stream(f.at.Key); errors.Is(err, errStream) {
			f.err = err // this stream is broken, the others are not
			return nil
		} else if err != nil {
			return err
		}
	}
	if f.at.First > s.last+1 {
		f.err = hippad.Errorf(hippad.Conflict, "gap in the stream: number %d came, %d is next", f.at.First, s.last+1)
		return nil
	}
	repeats := min(int64(s.last+1-f.at.First), count)
	if repeats > 0 {
		f.ranges = s.find(nil, f.at.First, repeats)
	}
	if f.fresh = f.items[repeats:]; len(f.fresh) > 0 {
		f.ranges = appendRange(f.ranges, next, count-repeats)
		p.streams[f.at.Key] = s.append(next, count-repeats)
	}
	return nil
}

// maxStreams is how many streams' states are kept in memory.
const maxStreams = 8192

// stream returns the committed state of a stream.
func (l *Ledger) stream(key [32]byte) (stream, error) {
	if s, ok := l.streams[key]; ok {
		return s, nil
	}
	b, err := l.store.Stream(l.ctx, key)
	if err != nil {
		return stream{}, hippad.Errorf(hippad.Unavailable, "read the state of a stream: %w", err)
	}
	s, err := decodeStream(b)
	if err != nil {
		return stream{}, fmt.Errorf("read the state of a stream: %w", err)
	}
	if n := len(s.places); n > 0 && s.places[n-1].index+s.places[n-1].count > l.edge.size {
		return stream{}, ErrMoved // somebody else wrote it
	}
	l.keepStream(key, s)
	return s, nil
}

func (l *Ledger) keepStream(key [32]byte, s stream) {
	if len(l.streams) >= maxStreams {
		clear(l.streams)
	}
	l.streams[key] = s
}

// sealKeys returns the key of every class that is in the pool, each asked for once.
func (l *Ledger) sealKeys(p *pending) (map[string]dataKey, error) {
	keys := make(map[string]dataKey)
	for _, it := range p.items {
		if _, ok := keys[it.class]; ok {
			continue
		}
		key, err := l.o.sealKey(p.received, it.class)
		if err != nil {
			return nil, err
		}
		keys[it.class] = key
	}
	return keys, nil
}

// encode stamps the items and makes their blocks and leaf hashes, on all cores.
func (l *Ledger) encode(p *pending, keys map[string]dataKey) ([]Block, []tlog.Hash) {
	var groups [][]*item
	for rest := p.items; len(rest) > 0; {
		n, bytes := 1, len(rest[0].entry.Body)
		for n < len(rest) && n < blockEntries && rest[n].class == rest[0].class && bytes+len(rest[n].entry.Body) <= blockBytes {
			bytes += len(rest[n].entry.Body)
			n++
		}
		groups = append(groups, rest[:n])
		rest = rest[n:]
	}
	blocks := make([]Block, len(groups))
	hashes := make([]tlog.Hash, len(p.items))
	first := p.items[0].entry.Index
	parallel(len(groups), 4, func(i int) {
		leaves := make([][]byte, len(groups[i]))
		entries := make([]*hippad.Entry, len(groups[i]))
		for j, it := range groups[i] {
			it.entry.Received = p.received
			leaf := receipt.NewLeaf(it.entry, l.o.Salt(it.entry.Index), it.digest)
			leaves[j] = leaf.Append(make([]byte, 0, 96+len(it.entry.Media)))
			hashes[it.entry.Index-first] = tlog.RecordHash(leaves[j])
			entries[j] = &it.entry
		}
		key := keys[groups[i][0].class]
		h := head{key: key.id, first: entries[0].Index, count: len(entries)}
		blocks[i] = l.codec.encodeBlock(h, l.codec.packLeaves(leaves), entries, key)
	})
	return blocks, hashes
}

// parallel calls f for 0 to n-1, on all cores if there are at least two portions.
func parallel(n, portion int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n/portion)
	if workers < 2 {
		for i := range n {
			f(i)
		}
		return
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := 0
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				from := next
				next += portion
				mu.Unlock()
				if from >= n {
					return
				}
				for i := from; i < min(from+portion, n); i++ {
					f(i)
				}
			}
		})
	}
	wg.Wait()
}

// commit writes p. It returns nil when p is durable, ErrMoved when it is certain that it is not and that the log has moved,
// and an error of kind Unavailable otherwise.
func (l *Ledger) commit(p *pending) error {
	started := time.Now()
	err := l.store.Commit(l.ctx, p.commit)
	l.stats.lastCommit.Store(int64(time.Since(started)))
	if err == nil {
		l.apply(p)
		return nil
	}
	// From here on the commit may be in the store or not, whatever the error says. Only the tail tells.
	l.unsettled = true
	if !errors.Is(err, ErrMoved) {
		l.stats.commitErrors.Add(1)
		l.logFailure(p, err)
	}
	if serr := l.settleWithPatience(); serr != nil {
		if fatal := l.fatal.Load(); fatal != nil {
			return *fatal
		}
		return hippad.Errorf(hippad.Unavailable, "it is not known whether the entries are stored: %w", errors.Join(err, serr)).
			WithHint("a numbered stream can repeat them safely")
	}
	stored, serr := l.holds(p.tree)
	switch {
	case serr != nil:
		l.unsettled = true
		return hippad.Errorf(hippad.Unavailable, "it is not known whether the entries are stored: %w", errors.Join(err, serr)).
			WithHint("a numbered stream can repeat them safely")
	case stored:
		l.count(p)
		return nil
	case errors.Is(err, ErrMoved):
		return ErrMoved
	}
	return unavailable(err)
}

// logFailure logs that p was not committed, but not for every pool of a disk that stays full.
func (l *Ledger) logFailure(p *pending, err error) {
	const pause = 10 * time.Second
	if now := time.Now(); now.Sub(l.logged) >= pause {
		l.logged = now
		l.o.Log.Error("commit; more of these within ten seconds are only counted", "at", p.commit.Prev, "entries", len(p.items),
			"errors", l.stats.commitErrors.Load(), "err", err)
	}
}

// unavailable makes err one of kind Unavailable, with the store's own words if it has any for outside.
func unavailable(err error) error {
	var e *hippad.Error
	if errors.As(err, &e) && e.Kind == hippad.Unavailable {
		return e
	}
	return &hippad.Error{Kind: hippad.Unavailable, Message: "the store took nothing", Cause: err}
}

// apply makes a stored commit the state of the log: the index first, so that what is acknowledged can be found.
func (l *Ledger) apply(p *pending) {
	l.edge, l.received = p.edge, p.received
	for key, s := range p.streams {
		l.keepStream(key, s)
	}
	l.indexed(l.index.addItems(p.items))
	l.setTail(p.tree, p.commit.Checkpoint)
	l.count(p)
}

// indexed wakes the writer of runs if a segment is full.
func (l *Ledger) indexed(full bool) {
	if full {
		wake(l.wakeRuns)
	}
}

func (l *Ledger) count(p *pending) {
	l.stats.commits.Add(1)
	l.stats.entries.Add(int64(len(p.items)))
	for _, it := range p.items {
		l.stats.bytes.Add(int64(len(it.entry.Body)))
	}
	for _, b := range p.commit.Blocks {
		l.stats.stored.Add(int64(len(b.Value)))
	}
}

// settleWithPatience settles, and asks again a few times if the store does not answer.
func (l *Ledger) settleWithPatience() error {
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := l.settle(l.ctx)
		if err == nil || try == settleTries || l.fatal.Load() != nil {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 4
		case <-l.ctx.Done():
			return err
		}
	}
}

// settle brings the state in memory to what the store has. After an error the store may be where it was, or one commit
// further, or, where several write, much further. If it is anything else than a continuation of what this ledger has
// signed, signing on would be a fork: that is fatal.
func (l *Ledger) settle(ctx context.Context) error {
	t, err := l.store.Tail(ctx)
	if err != nil {
		return fmt.Errorf("read tail: %w", err)
	}
	tree, err := openTail(t, l.o.Verifier)
	if err != nil {
		return l.setFatal(fmt.Errorf("tail: %w", err))
	}
	clear(l.streams)
	have := l.tail.Load().tree
	switch {
	case tree.N < have.N:
		return l.setFatal(fmt.Errorf("the store went back from size %d to %d", have.N, tree.N))
	case tree == have:
	case tree.N == have.N:
		return l.setFatal(fmt.Errorf("the store has another tree of size %d", have.N))
	default:
		if err := l.adopt(ctx, tree, t.Checkpoint); err != nil {
			return err
		}
	}
	l.unsettled = false
	return nil
}

// adopt takes in entries that are in the store and not in memory.
func (l *Ledger) adopt(ctx context.Context, tree tlog.Tree, checkpoint []byte) error {
	have := l.tail.Load().tree
	for _, t := range []tlog.Tree{have, tree} {
		root, err := tlog.TreeHash(t.N, newTiles(ctx, l.store, tree.N))
		if err != nil {
			return fmt.Errorf("read tree of size %d: %w", t.N, err)
		}
		if root != t.Hash {
			return l.setFatal(fmt.Errorf("the stored hashes do not lead to the tree signed for size %d", t.N))
		}
	}
	e, err := readEdge(ctx, l.store, tree.N)
	if err != nil {
		return err
	}
	var items []*item
	received := l.received
	err = l.scan(ctx, have.N, tree.N, func(it *item) {
		items = append(items, it)
		received = it.entry.Received
	})
	if err != nil {
		return err
	}
	l.edge, l.received = e, received
	l.indexed(l.index.addItems(items))
	l.setTail(tree, checkpoint)
	return nil
}

// holds tells whether the log as it is now is t or a continuation of it.
func (l *Ledger) holds(t tlog.Tree) (bool, error) {
	have := l.tail.Load().tree
	if t.N >= have.N {
		return t == have, nil
	}
	root, err := tlog.TreeHash(t.N, newTiles(l.ctx, l.store, have.N))
	return root == t.Hash, err
}
