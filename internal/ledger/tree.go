package ledger

import (
	"context"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// tileHeight is the number of tree levels between two stored rows (C2SP tlog-tiles), tileWidth the hashes in a full tile.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// edge is the right edge of the tree: the roots of the perfect subtrees that the binary digits of size stand for. It is
// all that is needed to go on.
type edge struct {
	size  int64
	roots [63]tlog.Hash // roots[i] is meaningful if bit i of size is set
}

// append adds a leaf and hands every hash that belongs to a stored row to put.
func (e *edge) append(leaf tlog.Hash, put func(level int, index int64, h tlog.Hash)) {
	put(0, e.size, leaf)
	h, level := leaf, 0
	for ; e.size>>level&1 == 1; level++ {
		h = tlog.NodeHash(e.roots[level], h)
		if up := level + 1; up%tileHeight == 0 {
			put(up/tileHeight, e.size>>up, h)
		}
	}
	e.roots[level] = h
	e.size++
}

// tree returns size and root (RFC 6962 section 2.1).
func (e *edge) tree() tlog.Tree {
	t := tlog.Tree{N: e.size}
	if e.size == 0 {
		t.Hash, _ = tlog.TreeHash(0, nil)
		return t
	}
	level := bits.TrailingZeros64(uint64(e.size))
	t.Hash = e.roots[level]
	for level++; level < len(e.roots); level++ {
		if e.size>>level&1 == 1 {
			t.Hash = tlog.NodeHash(e.roots[level], t.Hash)
		}
	}
	return t
}

// readEdge loads the edge of the tree of the given size.
func readEdge(ctx context.Context, store Store, size int64) (edge, error) {
	e := edge{size: size}
	tiles := newTiles(ctx, store, size)
	for level := range e.roots {
		if size>>level&1 == 1 {
			h, err := tiles.node(level, size>>level-1)
			if err != nil {
				return edge{}, err
			}
			e.roots[level] = h
		}
	}
	return e, nil
}

// rows gathers hashes into rows that do not cross a tile.
type rows struct {
	done []HashRow
	open [64 / tileHeight]HashRow // by level
}

func (r *rows) put(level int, index int64, h tlog.Hash) {
	row := &r.open[level]
	if len(row.Hashes) == 0 {
		*row = HashRow{Level: level, First: index}
	}
	row.Hashes = append(row.Hashes, h)
	if (index+1)%tileWidth == 0 {
		r.done = append(r.done, *row)
		row.Hashes = nil
	}
}

func (r *rows) all() []HashRow {
	for _, row := range r.open {
		if len(row.Hashes) > 0 {
			r.done = append(r.done, row)
		}
	}
	return r.done
}

// tiles reads hashes of any level of the tree of a fixed size out of the stored rows. It keeps the tiles that it has read: use
// one for one answer. It is a tlog.HashReader.
type tiles struct {
	ctx   context.Context
	store Store
	size  int64
	read  map[[2]int64][]tlog.Hash
}

func newTiles(ctx context.Context, store Store, size int64) *tiles {
	return &tiles{ctx: ctx, store: store, size: size, read: make(map[[2]int64][]tlog.Hash)}
}

// ReadHashes implements tlog.HashReader.
func (t *tiles) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		h, err := t.node(level, n)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

// node returns hash n of a level of the tree, whose leaves are all inside size.
func (t *tiles) node(level int, n int64) (tlog.Hash, error) {
	row, up := level/tileHeight, level%tileHeight
	first := n << up
	tile := first / tileWidth
	key := [2]int64{int64(row), tile}
	have, ok := t.read[key]
	if !ok {
		var err error
		from, to := tile*tileWidth, min((tile+1)*tileWidth, t.size>>(row*tileHeight))
		if have, err = t.store.Hashes(t.ctx, row, from, to); err != nil {
			return tlog.Hash{}, fmt.Errorf("tile %d of level %d: %w", tile, row, err)
		}
		t.read[key] = have
	}
	offset := int(first % tileWidth)
	if offset+1<<up > len(have) {
		return tlog.Hash{}, fmt.Errorf("hash %d of level %d is outside a tree of %d", n, level, t.size)
	}
	return foldPerfect(have[offset : offset+1<<up]), nil
}

// foldPerfect returns the root over hashes, whose number is a power of two.
func foldPerfect(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(foldPerfect(hashes[:half]), foldPerfect(hashes[half:]))
}
