package ledger

import (
	"context"
	"errors"
	"iter"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrMoved is what Store.Commit returns when the log is not at Commit.Prev any more: somebody else was first.
var ErrMoved = errors.New("the log has moved on")

// Store keeps one log. It knows keys and values, not what they mean: what is in a block, a stream's state or a run is the
// business of this package, so every store keeps the same bytes. It is implemented by internal/localstore and
// storetest.Memory; storetest.Run is this contract as a suite.
//
// There is one writer at a time: Commit is called by one goroutine, WriteRun and DropRuns by another, Rewrite by a third. Reads come from any
// number of goroutines at any moment. Iterators may be left early, and report an error as their last pair. What a store
// hands out belongs to the receiver. A wait ends when ctx does. An error of kind Unavailable says that the store does not
// work now but may again; ledger retries on its own.
//
// The log (Commit, Rewrite, Blocks, Hashes, Stream, Streams, Checkpoints) is the truth. The runs (WriteRun, DropRuns, Runs,
// Postings, AllPostings) are derived from it and may be missing at any time.
type Store interface {
	// Tail returns the size of the log and its newest checkpoint; the zero Tail for an empty log. It shows only what
	// is durable. It settles what became of a Commit that returned an error: a commit that a Tail after it does
	// not show will never appear.
	Tail(ctx context.Context) (Tail, error)

	// Commit extends the log from Prev to Size entries: all of it or nothing. It is durable when Commit returns nil: it
	// survives the end of the process and of the machine. ErrMoved: the log is not at Prev and nothing was
	// stored. Any other error: it may have been stored or not, see Tail. Reads that begin after Tail or Commit showed a
	// size see everything below it. The store keeps nothing of c, and changes nothing in it, after it returned.
	Commit(ctx context.Context, c Commit) error

	// Rewrite replaces the values of blocks that exist, found by First: all of them or none. It is durable when it returns
	// nil. An error if one does not exist; then nothing was changed. After any other error it may have been done or not,
	// or be done later, but never in part. The store keeps nothing of the blocks after it returned.
	Rewrite(ctx context.Context, blocks []Block) error

	// Blocks yields, in order, the blocks that hold entries of [from, to): it begins with the last block whose First is not
	// greater than from, and goes on while First is less than to.
	Blocks(ctx context.Context, from, to int64) iter.Seq2[Block, error]

	// Hashes returns the hashes [from, to) of a level of tile rows, see HashRow; none if from is to. An error if one
	// is missing.
	Hashes(ctx context.Context, level int, from, to int64) ([]tlog.Hash, error)

	// Stream returns the state of a stream as of the newest commit, nil if there is none.
	Stream(ctx context.Context, key [32]byte) ([]byte, error)

	// Streams yields the state of every stream, in any order.
	Streams(ctx context.Context) iter.Seq2[StreamState, error]

	// Checkpoints yields the checkpoint of every commit, oldest first.
	Checkpoints(ctx context.Context) iter.Seq2[Tail, error]

	// WriteRun stores a run: all of it or nothing. It need not be durable on return, but if a later Commit survives a crash
	// a run that is there is there whole. Runs never returns a number whose postings are not all readable. Writing a number
	// that is there already replaces that run in one step: what the new one does not have is gone.
	WriteRun(ctx context.Context, r Run) error

	// DropRuns removes every run.
	DropRuns(ctx context.Context) error

	// Runs yields number and marker of every run, by number. Postings is nil.
	Runs(ctx context.Context) iter.Seq2[Run, error]

	// Postings yields where term occurs in the runs [from, to), by run, or from the last to the first when descending.
	Postings(ctx context.Context, term uint64, from, to int64, descending bool) iter.Seq2[Posting, error]

	// AllPostings yields every posting of every run, by term, then by run. The value is good until the next step.
	AllPostings(ctx context.Context) iter.Seq2[Posting, error]

	// Close gives the store back. Nothing else may be under way or follow.
	Close() error
}

// A Tail is the end of the log as of one commit.
type Tail struct {
	Size       int64
	Checkpoint []byte // signed; its tree has Size leaves
}

// A Commit is one pool's worth of entries.
type Commit struct {
	Prev, Size int64 // the log before and after, in entries; Size > Prev
	Blocks     []Block
	Hashes     []HashRow
	Streams    []StreamState
	Checkpoint []byte
}

// A Block is a few consecutive entries as one value. Blocks follow each other without gap or overlap.
type Block struct {
	First int64 // index of the first entry
	Value []byte
}

// A HashRow is a piece of one level of the Merkle tree. Only every eighth level of the tree is stored: level n of tile rows is
// level 8n of the tree, so its hash i is the root over the leaves [i·256^n, (i+1)·256^n). That is what a C2SP tile holds; the
// hashes between are computed. A row never crosses a multiple of 256, the edge of a tile.
type HashRow struct {
	Level  int
	First  int64
	Hashes []tlog.Hash
}

// A StreamState is what is known of one reporter's stream.
type StreamState struct {
	Key   [32]byte
	State []byte
}

// A Run is the sorted index of one run length of entries.
type Run struct {
	Number   int64
	Marker   []byte                    // what the run was built with, and its zone map
	Postings iter.Seq2[uint64, []byte] // by term, each once; a value is good until the next step
}

// A Posting says where one term occurs in one run.
type Posting struct {
	Term  uint64
	Run   int64
	Value []byte
}
