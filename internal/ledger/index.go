package ledger

import (
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"hippad"
)

// DefaultRunLength is how many entries one run of the index covers.
const DefaultRunLength = 1 << 16

const (
	zoneLength = 1024 // entries in a zone, of which the earliest and the latest event time are known
	chunk      = 4096 // entries after which the newest postings are sorted
)

// DefaultClass is the retention class of an entry that has no other.
const DefaultClass = "default"

// Indexed is what the ledger is told about what an entry means.
type Indexed struct {
	Terms []uint64  // keyed hashes of its terms, in any order; the ledger sorts the slice
	When  time.Time // event time; zero: when it was received
	Class string    // retention class, which decides what key the content is sealed with; empty: DefaultClass
}

func (x Indexed) class() string {
	if x.Class == "" {
		return DefaultClass
	}
	return x.Class
}

// terms returns the distinct terms, sorted.
func (x Indexed) terms() []uint64 {
	slices.Sort(x.Terms)
	return slices.Compact(x.Terms)
}

// micros returns the event time of an entry received at the given time.
func (x Indexed) micros(received time.Time) int64 {
	if x.When.IsZero() {
		return received.UnixMicro()
	}
	return x.When.UnixMicro()
}

// A zone is the span of the event times, in microseconds since 1970, of zoneLength entries in a row.
type zone struct{ min, max int64 }

var emptyZone = zone{math.MaxInt64, math.MinInt64}

func (z *zone) add(t int64) { z.min, z.max = min(z.min, t), max(z.max, t) }

// covers tells whether every time of y, which may be empty, is in z.
func (z zone) covers(y zone) bool { return z.min <= y.min && z.max >= y.max }

// meets tells whether an entry of the zone may have a time in [from, to].
func (z zone) meets(from, to int64) bool { return z.min <= to && z.max >= from }

func span(zones []zone) zone {
	all := emptyZone
	for _, z := range zones {
		all.min, all.max = min(all.min, z.min), max(all.max, z.max)
	}
	return all
}

// A posting says that the entry at an offset inside a run has a term.
type posting struct {
	term   uint64
	offset uint32
}

// sortPostings sorts p by term and keeps the order of what has the same term: a radix sort, because every commit
// pays for it. It returns p or spare, which must be as long.
func sortPostings(p, spare []posting) []posting {
	for shift := 0; shift < 64; shift += 8 {
		var next [256]int
		for _, x := range p {
			next[byte(x.term>>shift)]++
		}
		at := 0
		for i, n := range next {
			next[i] = at
			at += n
		}
		for _, x := range p {
			i := byte(x.term >> shift)
			spare[next[i]] = x
			next[i]++
		}
		p, spare = spare, p
	}
	return p
}

// segment is the index of one run in memory. It grows until it is full, and then serves until the run is in the store.
// A copy of the struct is a snapshot: what lies below the lengths of its slices never changes.
type segment struct {
	run    int64
	n      int64       // entries
	sorted [][]posting // chunks in the order of the log, each sorted by term, then offset
	recent []posting   // the newest entries, in the order of the log
	zones  []zone      // of the full zones
	last   zone        // of the entries after them
	gone   []uint64    // bitmap of the offsets whose entries were destroyed since, nil if none; replaced, never changed
}

func newSegment(run int64) *segment { return &segment{run: run, last: emptyZone} }

// add takes the next entry. Terms must be distinct.
func (s *segment) add(terms []uint64, when int64) {
	for _, t := range terms {
		s.recent = append(s.recent, posting{t, uint32(s.n)})
	}
	s.last.add(when)
	s.n++
	if s.n%zoneLength == 0 {
		s.zones = append(s.zones, s.last)
		s.last = emptyZone
	}
	if s.n%chunk == 0 {
		// Snapshots hold the unsorted slice, so sorting starts with a copy.
		n := len(s.recent)
		s.sorted = append(s.sorted, sortPostings(slices.Clone(s.recent), make([]posting, n)))
		s.recent = make([]posting, 0, n+n/8)
	}
}

// allZones returns the zones, the last and unfinished one included.
func (s *segment) allZones() []zone {
	zones := slices.Clip(s.zones)
	if s.n%zoneLength != 0 {
		zones = append(zones, s.last)
	}
	return zones
}

// find returns the offsets of the entries that have the term, ascending.
func (s *segment) find(term uint64) []uint32 {
	var out []uint32
	for _, c := range s.sorted {
		i := sort.Search(len(c), func(i int) bool { return c[i].term >= term })
		for ; i < len(c) && c[i].term == term; i++ {
			out = append(out, c[i].offset)
		}
	}
	for _, p := range s.recent {
		if p.term == term {
			out = append(out, p.offset)
		}
	}
	if s.gone != nil {
		out = slices.DeleteFunc(out, s.isGone)
	}
	return out
}

// isGone tells whether the entry at an offset was destroyed after it came into the segment.
func (s *segment) isGone(offset uint32) bool {
	return int(offset/64) < len(s.gone) && s.gone[offset/64]>>(offset%64)&1 == 1
}

// forget makes the segment find nothing at the offsets [from, to) any more. The postings stay in memory, but are not written.
func (s *segment) forget(from, to int64) {
	gone := make([]uint64, max(int64(len(s.gone)), (to+63)/64))
	copy(gone, s.gone)
	for i := from; i < to; i++ {
		gone[i/64] |= 1 << (i % 64)
	}
	s.gone = gone
}

// postings yields every term with its encoded offsets, by term. A value is good until the next step.
func (s *segment) postings() iter.Seq2[uint64, []byte] {
	return func(yield func(uint64, []byte) bool) {
		var all []posting
		for _, c := range s.sorted {
			all = append(all, c...)
		}
		all = append(all, s.recent...)
		if s.gone != nil {
			all = slices.DeleteFunc(all, func(p posting) bool { return s.isGone(p.offset) })
		}
		all = sortPostings(all, make([]posting, len(all)))
		var value []byte
		for len(all) > 0 {
			term, n := all[0].term, 0
			value = value[:0]
			previous := uint32(0)
			for ; n < len(all) && all[n].term == term; n++ {
				value = binary.AppendUvarint(value, uint64(all[n].offset-previous))
				previous = all[n].offset
			}
			if !yield(term, value) {
				return
			}
			all = all[n:]
		}
	}
}

var errPosting = errors.New("posting is damaged")

// decodeOffsets reads the value of a posting: offsets as uvarint distances, the first from 0. It appends to out.
func decodeOffsets(out []uint32, value []byte, runLength int64) ([]uint32, error) {
	r := reader{rest: value}
	at := int64(0)
	for first := true; len(r.rest) > 0; first = false {
		d := r.uvarint()
		if r.bad || d >= uint64(runLength) || d == 0 && !first {
			return nil, errPosting
		}
		if at += int64(d); at >= runLength {
			return nil, errPosting
		}
		out = append(out, uint32(at))
	}
	if len(out) == 0 {
		return nil, errPosting
	}
	return out, nil
}

const markerFormat = 1

// encodeMarker writes what a run was built with: format byte, terms version, run length, number of zones (uvarints), and each
// zone's bounds as varints: the earliest time as the distance from that of the zone before, then the span.
func encodeMarker(version int, runLength int64, zones []zone) []byte {
	b := []byte{markerFormat}
	b = binary.AppendUvarint(b, uint64(version))
	b = binary.AppendUvarint(b, uint64(runLength))
	b = binary.AppendUvarint(b, uint64(len(zones)))
	previous := int64(0)
	for _, z := range zones {
		b = binary.AppendVarint(b, z.min-previous)
		b = binary.AppendUvarint(b, uint64(z.max-z.min))
		previous = z.min
	}
	return b
}

// decodeMarker returns the zones of a run, and false if the run was built with anything else than what is asked for.
func decodeMarker(b []byte, version int, runLength int64) ([]zone, bool) {
	if len(b) == 0 || b[0] != markerFormat {
		return nil, false
	}
	r := reader{rest: b[1:]}
	v, length, n := r.uvarint(), r.uvarint(), r.uvarint()
	if r.bad || v != uint64(version) || length != uint64(runLength) || n != uint64((runLength+zoneLength-1)/zoneLength) {
		return nil, false
	}
	zones := make([]zone, n)
	previous := int64(0)
	for i := range zones {
		d, k := binary.Varint(r.rest)
		if k <= 0 {
			return nil, false
		}
		r.rest = r.rest[k:]
		previous += d
		zones[i] = zone{previous, previous + int64(r.uvarint())}
	}
	return zones, !r.bad && len(r.rest) == 0
}

// index is the index of the whole log: runs in the store, and after them segments in memory.
type index struct {
	length int64 // entries in a run

	mu       sync.RWMutex
	stored   [][]zone   // zone maps of the runs that the store has, from run 0 without a gap; under mu
	segments []*segment // the runs after those, all but the last of them full; under mu
	size     int64      // entries indexed; under mu
}

// addItems takes the next entries. It is called by the sequencer, before the entries are acknowledged. It tells whether a
// segment became full.
func (x *index) addItems(items []*item) (full bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, it := range items {
		full = x.addOne(it.terms, it.when(it.entry.Received)) || full
	}
	return full
}

func (x *index) addOne(terms []uint64, when int64) (full bool) {
	if n := len(x.segments); n == 0 || x.segments[n-1].n == x.length {
		x.segments = append(x.segments, newSegment(x.size/x.length))
	}
	s := x.segments[len(x.segments)-1]
	s.add(terms, when)
	x.size++
	return s.n == x.length
}

// full returns the oldest segment that waits to be written, and how many wait.
func (x *index) full() (*segment, int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := 0
	for _, s := range x.segments {
		if s.n == x.length {
			n++
		}
	}
	if n == 0 {
		return nil, 0
	}
	return x.segments[0], n
}

// written is told that the oldest segment is in the store now.
func (x *index) written() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stored = append(x.stored, x.segments[0].allZones())
	x.segments = slices.Clone(x.segments[1:])
}

// forget takes the entries of the ranges out of the segments in memory, and returns how many runs are in the store. Nobody
// may be writing a segment. Zones stay as they are: they only grow in memory.
func (x *index) forget(ranges []hippad.Range) (stored int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.segments {
		base := s.run * x.length
		for _, r := range ranges {
			if from, to := max(r.First-base, 0), min(r.First+int64(r.Count)-base, s.n); from < to {
				s.forget(from, to)
			}
		}
	}
	return int64(len(x.stored))
}

// replaced is told that a run in the store was written again.
func (x *index) replaced(run int64, zones []zone) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stored = slices.Clone(x.stored) // snapshots hold the slice
	x.stored[run] = zones
}

// snapshot is the index as of one moment.
type snapshot struct {
	length   int64
	size     int64
	stored   [][]zone
	segments []segment
}

func (x *index) snapshot() *snapshot {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := &snapshot{length: x.length, size: x.size, stored: x.stored, segments: make([]segment, len(x.segments))}
	for i, g := range x.segments {
		s.segments[i] = *g
	}
	return s
}

// segment returns the run's index in memory, nil if it is in the store.
func (s *snapshot) segment(run int64) *segment {
	if i := run - int64(len(s.stored)); i >= 0 {
		return &s.segments[i]
	}
	return nil
}

func (s *snapshot) zones(run int64) []zone {
	if g := s.segment(run); g != nil {
		return g.allZones()
	}
	return s.stored[run]
}
