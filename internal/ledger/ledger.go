// Package ledger gives the reports one order and keeps it provable: it pools what the doors hand over, sequences, hashes,
// signs, commits, recovers, indexes, proves and audits. It declares Store, the little that it needs of a disk or a database.
//
// It does not know what a report means, who may report or who may read, and it is told the search terms of an entry. The
// invariant: nothing is acknowledged before it is durable under a signed checkpoint and found by a search, and no two
// checkpoints are ever signed of which one is not a continuation of the other.
package ledger

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/receipt"
)

// Defaults of the limits in Options.
const (
	DefaultPoolBytes   = 32 << 20
	DefaultPoolReports = 16384
)

// maxWaitingRuns is how many full runs may wait in memory to be written before the log waits for them: about 200 MB.
const maxWaitingRuns = 16

// Options are what a ledger is told when it is opened.
type Options struct {
	Signer   note.Signer   // the log's key; not needed by Audit
	Verifier note.Verifier // the same key's public half; its name is the log's origin

	// Salt returns the salt of the commitment in the leaf at index: derived from a secret, the same every time.
	Salt func(index int64) [32]byte

	// Index returns the terms and the event time of an entry. It must be a pure function, return a new slice every time and
	// be safe for concurrent use. It is called in the goroutine that calls Append, with an entry that has no Index and no
	// Received yet, and again when the index is rebuilt or audited.
	Index func(hippad.Entry) Indexed

	// SealKey returns the key, and its id, that content received at a time and of a retention class is sealed with. It is called
	// by the sequencer, once for each class of a pool: it must not wait for the log, and its error fails the pool. The AEAD
	// is one of cipher.NewGCMWithRandomNonce; the id is not 0. Nil: content is not sealed, which a log that is sealed refuses.
	SealKey func(received time.Time, class string) (id uint32, key cipher.AEAD, err error)

	// OpenKey returns the key with an id. Its error wraps KeyDestroyed if the key is gone for good; then the content is
	// too. With any other error content cannot be read, but is not called destroyed.
	OpenKey      func(id uint32) (cipher.AEAD, error)
	KeyDestroyed error

	// TermsVersion is the version of Index. When it differs from that of the stored runs, Open builds them again.
	TermsVersion int

	// Known are checkpoints of this log that are known from elsewhere: from receipts, or from a witness. A store that is not a
	// continuation of each of them, an old copy that was put back for one, is refused by Open and wrong to Audit.
	Known [][]byte

	Log *slog.Logger     // nil: discarded
	Now func() time.Time // the time of receipt; nil: time.Now

	// The open pool takes frames up to these limits, then Append blocks. Another pool of this size may be on its way to the
	// store. A frame that is larger on its own is taken when the pool is empty. Zero: DefaultPoolBytes, DefaultPoolReports.
	PoolBytes   int
	PoolReports int

	RunLength int // entries in a run of the index; zero: DefaultRunLength. Changing it rebuilds the index.

	Progress func(done, total int64) // told how far Open has come with reading entries again; may be nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Salt == nil || o.Index == nil {
		return o, errors.New("ledger: options without salt or index")
	}
	return o.withoutSecrets()
}

// withoutSecrets fills in what an audit needs.
func (o Options) withoutSecrets() (Options, error) {
	if o.Verifier == nil {
		return o, errors.New("ledger: options without verifier")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PoolBytes <= 0 {
		o.PoolBytes = DefaultPoolBytes
	}
	if o.PoolReports <= 0 {
		o.PoolReports = DefaultPoolReports
	}
	if o.RunLength <= 0 {
		o.RunLength = DefaultRunLength
	}
	return o, nil
}

// Ledger is one open log.
type Ledger struct {
	o     Options
	store Store
	codec *codec
	index *index
	tail  atomic.Pointer[tail] // what readers may see; set by the sequencer
	pool  intake
	stats counters

	// Owned by the sequencer goroutine, and by Open before that goroutine starts.
	edge      edge
	received  time.Time           // of the newest entry
	streams   map[[32]byte]stream // states that are in the store, to save reading them
	unsettled bool                // the outcome of a commit is not known: Tail must be read before the next one
	logged    time.Time           // when a failed commit was last logged

	fatal   atomic.Pointer[error] // why the log signs nothing any more
	outcome atomic.Pointer[error] // of the newest pool; the error may be nil

	rewriting chan struct{} // holds one element while Purge or Reseal is at work
	runWriter sync.Mutex    // held by whoever calls Store.WriteRun; segments in memory forget entries under it

	ctx      context.Context // ends when Close gives up waiting, and at the end of Close
	cancel   context.CancelFunc
	done     chan struct{} // closed when the sequencer has ended
	runs     sync.WaitGroup
	wakeRuns chan struct{}         // a segment is full; capacity 1
	runTried chan struct{}         // a run was written or not; capacity 1
	runError atomic.Pointer[error] // why the newest try to write a run failed; nil if it did not
}

// tail is one committed state of the log.
type tail struct {
	tree       tlog.Tree
	checkpoint []byte
	replaced   chan struct{} // closed when there is a newer one
}

// Open reads the end of the log, checks it against its checkpoint, rebuilds what is missing of the index and starts the
// sequencer. The store stays the caller's, to close after the ledger.
func Open(ctx context.Context, store Store, o Options) (*Ledger, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Signer == nil || o.Signer.Name() != o.Verifier.Name() || o.Signer.KeyHash() != o.Verifier.KeyHash() {
		return nil, errors.New("ledger: signer and verifier are not one key")
	}
	l := &Ledger{
		o: o, store: store,
		index:    &index{length: int64(o.RunLength)},
		streams:  make(map[[32]byte]stream),
		done:     make(chan struct{}),
		wakeRuns: make(chan struct{}, 1),
		runTried: make(chan struct{}, 1),

		rewriting: make(chan struct{}, 1),
	}
	l.pool.init(o.PoolBytes, o.PoolReports)
	if l.codec, err = newCodec(runtime.GOMAXPROCS(0), o); err != nil {
		return nil, err
	}
	if err := l.recover(ctx); err != nil {
		l.codec.close()
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go l.sequence()
	l.runs.Go(l.writeRuns)
	return l, nil
}

// Close takes no more frames, commits what is in the pool and stops. If ctx ends first, what is left fails. A Purge or Reseal
// under way ends with an error.
func (l *Ledger) Close(ctx context.Context) error {
	l.pool.close()
	var err error
	select {
	case <-l.done:
	case <-ctx.Done():
		err = fmt.Errorf("close ledger: %w", ctx.Err())
	}
	l.cancel()
	<-l.done
	l.runs.Wait()
	l.rewriting <- struct{}{} // Purge and Reseal end with l.ctx, and none begins any more
	<-l.rewriting
	l.codec.close()
	return err
}

// Checkpoint returns the newest signed checkpoint.
func (l *Ledger) Checkpoint() []byte { return l.tail.Load().checkpoint }

// Failing returns why the newest pool could not be committed, nil if it could. It says nothing of the next one.
func (l *Ledger) Failing() error {
	if err := l.outcome.Load(); err != nil {
		return *err
	}
	return nil
}

// Size returns the number of entries.
func (l *Ledger) Size() int64 { return l.tail.Load().tree.N }

// Wait blocks until the log has more than size entries, and returns how many. It ends without them when ctx does.
func (l *Ledger) Wait(ctx context.Context, size int64) (int64, error) {
	for {
		now := l.tail.Load()
		if now.tree.N > size {
			return now.tree.N, nil
		}
		select {
		case <-now.replaced:
		case <-ctx.Done():
			return now.tree.N, ctx.Err()
		}
	}
}

// setTail shows readers a new state.
func (l *Ledger) setTail(tree tlog.Tree, checkpoint []byte) {
	if old := l.tail.Swap(&tail{tree, checkpoint, make(chan struct{})}); old != nil {
		close(old.replaced)
	}
}

// openTail checks a tail's signature. An empty log has no checkpoint in the store.
func openTail(t Tail, v note.Verifier) (tlog.Tree, error) {
	if t.Size == 0 {
		return (&edge{}).tree(), nil
	}
	tree, err := receipt.OpenCheckpoint(t.Checkpoint, v)
	if err != nil {
		return tlog.Tree{}, err
	}
	if tree.N != t.Size {
		return tlog.Tree{}, fmt.Errorf("the checkpoint stored for size %d says %d", t.Size, tree.N)
	}
	return tree, nil
}

// setFatal ends signing for good.
func (l *Ledger) setFatal(err error) error {
	err = hippad.Errorf(hippad.Unavailable, "the log has stopped signing: %w", err).
		WithHint("run hippad audit; an old copy of the data may have been put back")
	l.fatal.CompareAndSwap(nil, &err)
	l.o.Log.Error("the log has stopped signing", "err", err)
	return err
}

// Stats are numbers for /metrics.
type Stats struct {
	Size         int64         // entries in the log
	Commits      int64         // successful commits since Open
	Entries      int64         // entries in them
	Bytes        int64         // bytes of bodies in them
	Stored       int64         // bytes of block values in them
	Repeats      int64         // numbers that streams sent again and were set aside
	PoolFull     int64         // times Append found the pool full
	CommitErrors int64         // commits that returned an error
	RunErrors    int64         // runs that could not be written at once
	WaitingRuns  int64         // full runs in memory that are not in the store yet
	LastCommit   time.Duration // how long the newest commit took in the store
}

// counters back Stats.
type counters struct {
	commits, entries, bytes, stored, repeats, poolFull, commitErrors, runErrors, lastCommit atomic.Int64
}

// Stats returns the numbers as of now.
func (l *Ledger) Stats() Stats {
	_, waiting := l.index.full()
	return Stats{
		Size: l.Size(), Commits: l.stats.commits.Load(), Entries: l.stats.entries.Load(), Bytes: l.stats.bytes.Load(),
		Stored: l.stats.stored.Load(), Repeats: l.stats.repeats.Load(), PoolFull: l.stats.poolFull.Load(),
		CommitErrors: l.stats.commitErrors.Load(), RunErrors: l.stats.runErrors.Load(), WaitingRuns: int64(waiting),
		LastCommit: time.Duration(l.stats.lastCommit.Load()),
	}
}
