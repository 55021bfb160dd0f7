package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/receipt"
)

// An AuditError says what in a store does not hold, and where first.
type AuditError struct {
	Index int64  // of the first entry that is wrong or no longer vouched for; -1 if it is not about entries
	What  string // quotes nothing of a body
	Err   error  // may be nil
}

func (e *AuditError) Error() string {
	s := e.What
	if e.Index >= 0 {
		s = fmt.Sprintf("entry %d: %s", e.Index, e.What)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *AuditError) Unwrap() error { return e.Err }

// Audited is what an audit saw.
type Audited struct {
	Entries   int64 // in the log
	Destroyed int64 // of them, those whose content was destroyed
	// NotLookedAt is how many of the others have content that could not be looked at, for want of keys, salts or Index.
	NotLookedAt int64
	// Gone are the destroyed entries, in order, with the key that they ended with. Whether they ended rightfully is not
	// for the store to say: anybody who can write to it can drop content. Compare with what the log says of purges.
	Gone []Gone
}

// Gone are neighbouring entries whose content ended with one key.
type Gone struct {
	hippad.Range
	Key uint32
}

// Audit reads the whole store again and trusts nothing but the log's key, the salts and Index. Of every entry it checks
// that block, body, leaf and stored hash belong together and that time does not go back; of the tree, that every stored hash and
// every checkpoint that was ever signed, or is known from elsewhere, follows from the leaves; of every run of the index, that it holds the terms of its
// entries and nothing else; and that no stream and no block lies beyond the end. A run that is missing, or was built
// with another version of the terms, is no fault: Open builds it again.
//
// Of an entry whose content was destroyed there is the leaf to check, and the tree. That a run still has its terms is no
// fault: a Purge was interrupted. An auditor who has no keys leaves Salt or Index out: then no body is looked at, and no
// term, and all the rest is checked. Without OpenKey the same is true of content that is sealed. A key that OpenKey does not have, and does not
// call destroyed, ends the audit with kind Unavailable.
//
// What is wrong is returned as an *AuditError that names the first wrong index. Any other error means that the audit could
// not be finished; what was counted by then is returned with it. Memory is bounded whatever the size of the log, but for the list of
// what is Gone. Signer is not needed.
func Audit(ctx context.Context, store Store, o Options, progress func(done, total int64)) (Audited, error) {
	o, err := o.withoutSecrets()
	if err != nil {
		return Audited{}, err
	}
	a := &auditor{ctx: ctx, store: store, o: o, length: int64(o.RunLength), progress: progress}
	if a.codec, err = newCodec(runtime.GOMAXPROCS(0), o); err != nil {
		return Audited{}, err
	}
	defer a.codec.close()
	err = a.audit()
	if ctx.Err() != nil || hippad.KindOf(err) == hippad.Unavailable {
		return a.result, fmt.Errorf("audit not finished: %w", err)
	}
	return a.result, err
}

type auditor struct {
	ctx      context.Context
	store    Store
	o        Options
	codec    *codec
	length   int64
	progress func(done, total int64)

	size    int64
	markers map[int64][]byte            // of the runs to be compared
	digests map[int64][sha256.Size]byte // of their postings

	edge     edge
	received time.Time
	segment  *segment // what the run that is being read should be
	absent   absent   // what of it cannot be known
	result   Audited
	good     int64 // size of the newest checkpoint that held

	signed  func() (Tail, error, bool)
	waiting []signedTree // checkpoints that are read and not met yet, by size
	ended   bool         // there are no more
}

// signedTree is a checkpoint whose signature was looked at.
type signedTree struct {
	size int64
	tree tlog.Tree
	err  error
}

// wrong makes an AuditError, unless err is one or is the end of ctx.
func wrong(index int64, err error, format string, args ...any) error {
	var e *AuditError
	if errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		err != nil && hippad.KindOf(err) == hippad.Unavailable {
		return err
	}
	return &AuditError{index, fmt.Sprintf(format, args...), err}
}

func (a *auditor) audit() error {
	t, err := a.store.Tail(a.ctx)
	if err != nil {
		return wrong(-1, err, "the end of the log cannot be read")
	}
	if _, err := openTail(t, a.o.Verifier); err != nil {
		return wrong(-1, err, "the newest checkpoint does not hold")
	}
	a.size = t.Size
	a.result.Entries = t.Size
	if a.bodies() {
		if err := a.loadRuns(); err != nil {
			return err
		}
	}
	var stop func()
	a.signed, stop = iter.Pull2(a.store.Checkpoints(a.ctx))
	defer stop()
	a.segment = newSegment(0)
	if err := a.entries(); err != nil {
		return a.earlierPosting(err)
	}
	if err := a.readSigned(math.MaxInt64); err != nil {
		return err
	}
	if len(a.waiting) > 0 {
		return wrong(a.size, nil, "a checkpoint of size %d was signed, the log ends before", a.waiting[0].size)
	}
	if a.good != a.size {
		return wrong(a.good, nil, "the entries from here on are under no checkpoint")
	}
	if err := checkKnown(a.ctx, a.store, a.o, a.edge.tree()); err != nil {
		return err
	}
	return a.beyond()
}

// bodies tells whether bodies and terms can be checked at all.
func (a *auditor) bodies() bool { return a.o.Salt != nil && a.o.Index != nil }

// entries goes through the log in batches: blocks are checked on all cores, their order in sequence.
func (a *auditor) entries() error {
	var batch []Block
	bytes := 0
	flush := func() error {
		err := a.batch(batch)
		batch, bytes = batch[:0], 0
		if err == nil && a.progress != nil {
			a.progress(a.edge.size, a.size)
		}
		return err
	}
	for b, err := range a.store.Blocks(a.ctx, 0, a.size) {
		if err != nil {
			if ferr := flush(); ferr != nil {
				return ferr
			}
			return wrong(a.edge.size, err, "the block cannot be read")
		}
		batch = append(batch, b)
		if bytes += len(b.Value); len(batch) == 256 || bytes > maxSection {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if a.edge.size != a.size {
		return wrong(a.edge.size, nil, "the log ends here and not at %d", a.size)
	}
	return nil
}

// checked is what the check of one block brought.
type checked struct {
	hashes []tlog.Hash
	items  []*item
	keys   []uint32 // of each item: the key it ended with; 0 if it did not
	hidden bool     // there is content that cannot be looked at
	err    error    // at the entry after the last of items
}

func (a *auditor) batch(blocks []Block) error {
	if len(blocks) == 0 {
		return nil
	}
	results := make([]checked, len(blocks))
	parallel(len(blocks), 4, func(i int) { results[i] = a.block(blocks[i]) })
	if err := a.readSigned(blocks[len(blocks)-1].First + blockEntries); err != nil {
		return err
	}
	for i, r := range results {
		if blocks[i].First != a.edge.size {
			return wrong(a.edge.size, nil, "the next block begins at %d", blocks[i].First)
		}
		if err := a.follow(r); err != nil {
			return err
		}
	}
	return nil
}

// block checks what can be checked of a block alone.
func (a *auditor) block(b Block) (r checked) {
	o, err := a.codec.open(b)
	if err != nil {
		r.err = wrong(b.First, err, "the block cannot be opened")
		return r
	}
	entries, err := a.content(o, &r)
	if err != nil {
		r.err = wrong(b.First, err, "the block cannot be unfolded")
		return r
	}
	for i, e := range entries {
		r.hashes = append(r.hashes, o.hash(i))
		r.keys = append(r.keys, o.endedWith(i, e.Destroyed))
		if r.hidden || e.Destroyed {
			r.items = append(r.items, &item{entry: e})
			continue
		}
		leaf, err := o.leaf(i)
		switch {
		case err != nil:
			r.err = wrong(e.Index, err, "the leaf cannot be read")
		case leaf.Commitment != receipt.Commit(a.o.Salt(e.Index), sha256.Sum256(e.Body)):
			r.err = wrong(e.Index, nil, "the body is not the one that the leaf commits to")
		case leaf.Length != int64(len(e.Body)):
			r.err = wrong(e.Index, nil, "the leaf gives another length of the body")
		case leaf.Reporter != e.Reporter.Key():
			r.err = wrong(e.Index, nil, "the leaf names another reporter")
		}
		if r.err != nil {
			r.hashes, r.keys = r.hashes[:i], r.keys[:i]
			return r
		}
		r.items = append(r.items, indexedItem(e, a.o.Index))
	}
	return r
}

// content unfolds a block as far as that can be done, and says in r if it cannot.
func (a *auditor) content(o *opened, r *checked) ([]hippad.Entry, error) {
	if r.hidden = !a.bodies() || o.key != notSealed && a.o.OpenKey == nil; r.hidden {
		return o.withoutContent(o.destroyed())
	}
	entries, err := a.codec.entries(o)
	if errors.Is(err, errKeyDestroyed) {
		return o.withoutContent(allDestroyed)
	}
	return entries, err
}

// endedWith returns the key with which the content of entry i ended, 0 if it did not.
func (h *head) endedWith(i int, destroyed bool) uint32 {
	for _, p := range h.purges {
		if p.bits>>i&1 == 1 {
			return p.key
		}
	}
	if destroyed {
		return h.key
	}
	return notSealed
}

// follow adds the entries of a block to the tree and to the index that should be.
func (a *auditor) follow(r checked) error {
	first := a.edge.size
	stored, missing := a.store.Hashes(a.ctx, 0, first, first+int64(len(r.hashes)))
	for i, it := range r.items {
		at := first + int64(i)
		if at >= a.size {
			return wrong(a.size, nil, "a block goes on beyond the end of the log")
		}
		if it.entry.Received.Before(a.received) {
			return wrong(at, nil, "it was received before the entry in front of it")
		}
		a.received = it.entry.Received
		h := r.hashes[i]
		if missing != nil {
			one, err := a.store.Hashes(a.ctx, 0, at, at+1)
			if err != nil {
				return wrong(at, err, "the hash of the leaf is missing")
			}
			stored = append(stored[:i:i], one...)
		}
		if stored[i] != h {
			return wrong(at, nil, "the leaf is not the one that was hashed")
		}
		var err error
		a.edge.append(h, func(level int, index int64, h tlog.Hash) {
			if level > 0 && err == nil {
				err = a.higher(level, index, h)
			}
		})
		if err != nil {
			return err
		}
		if err := a.meet(); err != nil {
			return err
		}
		a.count(at, it.entry.Destroyed, r.keys[i], r.hidden)
		if err := a.index(it, r.hidden && !it.entry.Destroyed); err != nil {
			return err
		}
	}
	return r.err
}

// count adds an entry to the result.
func (a *auditor) count(at int64, destroyed bool, key uint32, hidden bool) {
	switch n := len(a.result.Gone) - 1; {
	case !destroyed && hidden:
		a.result.NotLookedAt++
	case !destroyed:
	case n >= 0 && a.result.Gone[n].Key == key && a.result.Gone[n].First+int64(a.result.Gone[n].Count) == at:
		a.result.Gone[n].Count++
		a.result.Destroyed++
	default:
		a.result.Gone = append(a.result.Gone, Gone{hippad.Range{First: at, Count: 1}, key})
		a.result.Destroyed++
	}
}

// higher compares a stored hash above the leaves.
func (a *auditor) higher(level int, index int64, want tlog.Hash) error {
	at := index << (level * tileHeight)
	got, err := a.store.Hashes(a.ctx, level, index, index+1)
	if err != nil {
		return wrong(at, err, "hash %d of level %d is missing", index, level)
	}
	if got[0] != want {
		return wrong(at, nil, "hash %d of level %d does not follow from the leaves", index, level)
	}
	return nil
}

// readSigned reads the checkpoints up to a size, and the first one after it, and checks their signatures on all cores.
func (a *auditor) readSigned(to int64) error {
	var read []Tail
	last := int64(0)
	if n := len(a.waiting); n > 0 {
		last = a.waiting[n-1].size
	}
	for !a.ended && last <= to && len(read) < 1<<16 {
		t, err, ok := a.signed()
		if err != nil {
			return wrong(a.good, err, "the checkpoints cannot be read")
		}
		if !ok {
			a.ended = true
			break
		}
		read, last = append(read, t), t.Size
	}
	n := len(a.waiting)
	a.waiting = append(a.waiting, make([]signedTree, len(read))...)
	parallel(len(read), 4, func(i int) {
		tree, err := openTail(read[i], a.o.Verifier)
		a.waiting[n+i] = signedTree{read[i].Size, tree, err}
	})
	return nil
}

// meet compares the tree with the checkpoint of its size, if there is one.
func (a *auditor) meet() error {
	if len(a.waiting) == 0 || a.waiting[0].size > a.edge.size {
		return nil
	}
	c := a.waiting[0]
	switch {
	case c.err != nil:
		return wrong(a.good, c.err, "the checkpoint of size %d does not hold", c.size)
	case c.size != a.edge.size:
		return wrong(a.good, nil, "a checkpoint of size %d is out of order", c.size)
	case c.tree != a.edge.tree():
		return wrong(a.good, nil, "the entries from here to %d do not lead to the checkpoint of size %d", c.size-1, c.size)
	}
	a.good, a.waiting = c.size, a.waiting[1:]
	return nil
}

// beyond looks for what refers to entries after the end.
func (a *auditor) beyond() error {
	for b, err := range a.store.Blocks(a.ctx, a.size, math.MaxInt64) {
		if err != nil {
			return wrong(a.size, err, "the blocks after the end cannot be read")
		}
		if b.First >= a.size {
			return wrong(a.size, nil, "there is a block at %d, the log ends before", b.First)
		}
	}
	for s, err := range a.store.Streams(a.ctx) {
		if err != nil {
			return wrong(-1, err, "the streams cannot be read")
		}
		state, err := decodeStream(s.State)
		if err != nil {
			return wrong(-1, err, "stream %x", s.Key[:8])
		}
		for _, p := range state.places {
			if p.index+p.count > a.size {
				return wrong(a.size, nil, "stream %x has an entry at %d, the log ends before", s.Key[:8], p.index+p.count-1)
			}
		}
	}
	return nil
}
