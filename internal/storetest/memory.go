// Package storetest holds the contract of ledger.Store as a suite, Run, and Memory, a store that keeps everything in memory
// and breaks on command. It is imported by tests only.
//
// It does not test what is in the values: that is the ledger's business. The invariant: what the suite demands of one store
// it demands of all, Memory included.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/internal/ledger"
)

// An Op is a call that Memory can be told to fail.
type Op string

// The calls that can fail.
const (
	OpTail     Op = "tail"
	OpCommit   Op = "commit"
	OpRewrite  Op = "rewrite"
	OpStream   Op = "stream"
	OpBlocks   Op = "blocks"
	OpHashes   Op = "hashes"
	OpWriteRun Op = "write run"
	OpDropRuns Op = "drop runs"
)

// A Flavour is how a write fails.
type Flavour string

// The flavours. For reads they are the same.
const (
	NotStored Flavour = "failed and not stored"
	Stored    Flavour = "failed but stored"
)

// ErrInjected is the error of a call that was told to fail.
var ErrInjected = errors.New("injected")

// State is everything in a Memory store, laid open so that a test can tamper with it.
type State struct {
	Blocks      map[int64][]byte
	Hashes      map[int]map[int64]tlog.Hash
	Streams     map[[32]byte][]byte
	Checkpoints map[int64][]byte
	Markers     map[int64][]byte
	Postings    map[PostingKey][]byte
}

// A PostingKey names a posting.
type PostingKey struct {
	Term uint64
	Run  int64
}

func newState() State {
	return State{make(map[int64][]byte), make(map[int]map[int64]tlog.Hash), make(map[[32]byte][]byte), make(map[int64][]byte),
		make(map[int64][]byte), make(map[PostingKey][]byte)}
}

// Clone returns a copy that shares nothing that is changed in place.
func (s State) Clone() State {
	hashes := make(map[int]map[int64]tlog.Hash)
	for level, row := range s.Hashes {
		hashes[level] = maps.Clone(row)
	}
	return State{maps.Clone(s.Blocks), hashes, maps.Clone(s.Streams), maps.Clone(s.Checkpoints), maps.Clone(s.Markers), maps.Clone(s.Postings)}
}

func (s State) size() int64 {
	size := int64(0)
	for n := range s.Checkpoints {
		size = max(size, n)
	}
	return size
}

// Memory is a ledger.Store in memory. Make it with NewMemory.
type Memory struct {
	mu     sync.RWMutex
	state  *State
	faults map[Op][]fault
	before func(Op)
}

type fault struct {
	flavour Flavour
	err     error
}

// NewMemory returns a store with the given content, which is copied; nil for an empty one.
func NewMemory(s *State) *Memory {
	if s == nil {
		empty := newState()
		return &Memory{state: &empty}
	}
	c := s.Clone()
	return &Memory{state: &c}
}

// FailNext makes the next n calls of op fail, after those that were told to fail already. A nil err is ErrInjected.
func (m *Memory) FailNext(op Op, f Flavour, n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faults == nil {
		m.faults = make(map[Op][]fault)
	}
	if err == nil {
		err = fmt.Errorf("%s: %w", op, ErrInjected)
	}
	for range n {
		m.faults[op] = append(m.faults[op], fault{f, err})
	}
}

// Before has f called at the beginning of every call; f may block.
func (m *Memory) Before(f func(Op)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = f
}

// Tamper lets f change the content behind everybody's back.
func (m *Memory) Tamper(f func(*State)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.state)
}

// State returns a copy of the content.
func (m *Memory) State() State {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.Clone()
}

// begin is called first by every call. It returns whether the call has to fail, and how.
func (m *Memory) begin(ctx context.Context, op Op) (fault, bool) {
	m.mu.Lock()
	before := m.before
	m.mu.Unlock()
	if before != nil {
		before(op)
	}
	if err := ctx.Err(); err != nil {
		return fault{NotStored, err}, true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if q := m.faults[op]; len(q) > 0 {
		m.faults[op] = q[1:]
		return q[0], true
	}
	return fault{}, false
}

// Tail implements ledger.Store.
func (m *Memory) Tail(ctx context.Context) (ledger.Tail, error) {
	if f, ok := m.begin(ctx, OpTail); ok {
		return ledger.Tail{}, f.err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	n := m.state.size()
	return ledger.Tail{Size: n, Checkpoint: bytes.Clone(m.state.Checkpoints[n])}, nil
}

// Commit implements ledger.Store.
func (m *Memory) Commit(ctx context.Context, c ledger.Commit) error {
	f, fail := m.begin(ctx, OpCommit)
	if fail && f.flavour == NotStored {
		return f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.size() != c.Prev {
		return ledger.ErrMoved
	}
	for _, b := range c.Blocks {
		m.state.Blocks[b.First] = bytes.Clone(b.Value)
	}
	for _, r := range c.Hashes {
		if r.First/256 != (r.First+int64(len(r.Hashes))-1)/256 {
			return hippad.Errorf(hippad.Internal, "row %d of level %d crosses a tile", r.First, r.Level)
		}
		row := m.state.Hashes[r.Level]
		if row == nil {
			row = make(map[int64]tlog.Hash)
			m.state.Hashes[r.Level] = row
		}
		for i, h := range r.Hashes {
			row[r.First+int64(i)] = h
		}
	}
	for _, s := range c.Streams {
		m.state.Streams[s.Key] = bytes.Clone(s.State)
	}
	m.state.Checkpoints[c.Size] = bytes.Clone(c.Checkpoint)
	if fail {
		return f.err
	}
	return nil
}

// Rewrite implements ledger.Store.
func (m *Memory) Rewrite(ctx context.Context, blocks []ledger.Block) error {
	f, fail := m.begin(ctx, OpRewrite)
	if fail && f.flavour == NotStored {
		return f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range blocks {
		if _, ok := m.state.Blocks[b.First]; !ok {
			return fmt.Errorf("rewrite: there is no block at %d", b.First)
		}
	}
	for _, b := range blocks {
		m.state.Blocks[b.First] = bytes.Clone(b.Value)
	}
	if fail {
		return f.err
	}
	return nil
}

// Blocks implements ledger.Store.
func (m *Memory) Blocks(ctx context.Context, from, to int64) iter.Seq2[ledger.Block, error] {
	return func(yield func(ledger.Block, error) bool) {
		if f, ok := m.begin(ctx, OpBlocks); ok {
			yield(ledger.Block{}, f.err)
			return
		}
		if from >= to {
			return
		}
		m.mu.RLock()
		keys := slices.Sorted(maps.Keys(m.state.Blocks))
		m.mu.RUnlock()
		i, found := slices.BinarySearch(keys, from)
		if !found && i > 0 {
			i--
		}
		for _, first := range keys[i:] {
			if first >= to {
				return
			}
			m.mu.RLock()
			value := bytes.Clone(m.state.Blocks[first])
			m.mu.RUnlock()
			err := ctx.Err()
			if !yield(ledger.Block{First: first, Value: value}, err) || err != nil {
				return
			}
		}
	}
}

// Hashes implements ledger.Store.
func (m *Memory) Hashes(ctx context.Context, level int, from, to int64) ([]tlog.Hash, error) {
	if f, ok := m.begin(ctx, OpHashes); ok {
		return nil, f.err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []tlog.Hash
	for i := from; i < to; i++ {
		h, ok := m.state.Hashes[level][i]
		if !ok {
			return nil, fmt.Errorf("hash %d of level %d is missing", i, level)
		}
		out = append(out, h)
	}
	return out, nil
}

// Stream implements ledger.Store.
func (m *Memory) Stream(ctx context.Context, key [32]byte) ([]byte, error) {
	if f, ok := m.begin(ctx, OpStream); ok {
		return nil, f.err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return bytes.Clone(m.state.Streams[key]), nil
}

// Streams implements ledger.Store.
func (m *Memory) Streams(ctx context.Context) iter.Seq2[ledger.StreamState, error] {
	return func(yield func(ledger.StreamState, error) bool) {
		for key, state := range m.State().Streams {
			if !yield(ledger.StreamState{Key: key, State: state}, ctx.Err()) {
				return
			}
		}
	}
}

// Checkpoints implements ledger.Store.
func (m *Memory) Checkpoints(ctx context.Context) iter.Seq2[ledger.Tail, error] {
	return func(yield func(ledger.Tail, error) bool) {
		all := m.State().Checkpoints
		for _, size := range slices.Sorted(maps.Keys(all)) {
			if !yield(ledger.Tail{Size: size, Checkpoint: all[size]}, ctx.Err()) {
				return
			}
		}
	}
}

// WriteRun implements ledger.Store.
func (m *Memory) WriteRun(ctx context.Context, r ledger.Run) error {
	f, fail := m.begin(ctx, OpWriteRun)
	if fail && f.flavour == NotStored {
		return f.err
	}
	postings := make(map[PostingKey][]byte)
	for term, value := range r.Postings {
		postings[PostingKey{term, r.Number}] = bytes.Clone(value)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.state.Markers[r.Number]; there {
		maps.DeleteFunc(m.state.Postings, func(k PostingKey, _ []byte) bool { return k.Run == r.Number })
	}
	maps.Copy(m.state.Postings, postings)
	m.state.Markers[r.Number] = bytes.Clone(r.Marker)
	if fail {
		return f.err
	}
	return nil
}

// DropRuns implements ledger.Store.
func (m *Memory) DropRuns(ctx context.Context) error {
	f, fail := m.begin(ctx, OpDropRuns)
	if fail && f.flavour == NotStored {
		return f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.state.Markers)
	clear(m.state.Postings)
	if fail {
		return f.err
	}
	return nil
}

// Runs implements ledger.Store.
func (m *Memory) Runs(ctx context.Context) iter.Seq2[ledger.Run, error] {
	return func(yield func(ledger.Run, error) bool) {
		all := m.State().Markers
		for _, n := range slices.Sorted(maps.Keys(all)) {
			if !yield(ledger.Run{Number: n, Marker: all[n]}, ctx.Err()) {
				return
			}
		}
	}
}

// Postings implements ledger.Store.
func (m *Memory) Postings(ctx context.Context, term uint64, from, to int64, descending bool) iter.Seq2[ledger.Posting, error] {
	return func(yield func(ledger.Posting, error) bool) {
		m.mu.RLock()
		var runs []int64
		for run := range m.state.Markers {
			if run >= from && run < to {
				runs = append(runs, run)
			}
		}
		m.mu.RUnlock()
		slices.Sort(runs)
		if descending {
			slices.Reverse(runs)
		}
		for _, run := range runs {
			m.mu.RLock()
			value, ok := m.state.Postings[PostingKey{term, run}]
			m.mu.RUnlock()
			if ok && !yield(ledger.Posting{Term: term, Run: run, Value: bytes.Clone(value)}, ctx.Err()) {
				return
			}
		}
	}
}

// AllPostings implements ledger.Store.
func (m *Memory) AllPostings(ctx context.Context) iter.Seq2[ledger.Posting, error] {
	return func(yield func(ledger.Posting, error) bool) {
		all := m.State().Postings
		keys := slices.SortedFunc(maps.Keys(all), func(a, b PostingKey) int {
			if a.Term != b.Term {
				if a.Term < b.Term {
					return -1
				}
				return 1
			}
			return int(a.Run - b.Run)
		})
		for _, k := range keys {
			if !yield(ledger.Posting{Term: k.Term, Run: k.Run, Value: all[k]}, ctx.Err()) {
				return
			}
		}
	}
}

// Close implements ledger.Store. A closed Memory can be used again, like a directory that is opened again.
func (m *Memory) Close() error { return nil }
