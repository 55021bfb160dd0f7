package ledger

import (
	"encoding/binary"
	"errors"

	"hippad"
)

// A Stream says which numbers the entries of one Append have in their reporter's stream.
type Stream struct {
	Key   [32]byte // which stream; zero: the entries are not numbered
	First uint64   // number of the first entry, from 1
}

// maxPlaces is how many places a stream remembers. The new part of a frame is one place at most, because a frame enters the
// log in one piece, so the last 64 frames can be answered with their places: twice the window of the native protocol.
const maxPlaces = 64

const streamFormat = 1

// A place says that count numbers in a row became count entries in a row.
type place struct {
	number uint64 // the first
	index  int64  // of the first
	count  int64
}

// stream is the state of one stream: the last number that is in the log, and where the newest numbers are. Places follow
// each other without a gap in the numbers and end at last.
type stream struct {
	last   uint64
	places []place
}

// append adds count numbers after last. The receiver is not changed.
func (s stream) append(index, count int64) stream {
	n := len(s.places)
	places := make([]place, n, n+1)
	copy(places, s.places)
	if n > 0 && places[n-1].index+places[n-1].count == index {
		places[n-1].count += count
	} else {
		places = append(places, place{s.last + 1, index, count})
	}
	return stream{last: s.last + uint64(count), places: places[max(0, len(places)-maxPlaces):]}
}

// find appends to ranges where the count numbers from first on are. All of them are at most last. A number whose place is
// forgotten has index -1.
func (s stream) find(ranges []hippad.Range, first uint64, count int64) []hippad.Range {
	for _, p := range s.places {
		if count == 0 {
			break
		}
		if first < p.number {
			n := min(count, int64(p.number-first))
			ranges = appendRange(ranges, -1, n)
			first, count = first+uint64(n), count-n
		}
		if offset := int64(first - p.number); offset < p.count && count > 0 {
			n := min(count, p.count-offset)
			ranges = appendRange(ranges, p.index+offset, n)
			first, count = first+uint64(n), count-n
		}
	}
	if count > 0 {
		ranges = appendRange(ranges, -1, count)
	}
	return ranges
}

func appendRange(ranges []hippad.Range, first, count int64) []hippad.Range {
	if n := len(ranges); n > 0 && first >= 0 && ranges[n-1].First >= 0 && ranges[n-1].First+int64(ranges[n-1].Count) == first {
		ranges[n-1].Count += int(count)
		return ranges
	}
	return append(ranges, hippad.Range{First: first, Count: int(count)})
}

// encode writes the state as format byte, last, number of places, and for each place, newest first, its count and index, the
// index of all but the newest as the distance from that of the newer place. All numbers are uvarints: the places' first numbers follow from
// last and the counts.
func (s stream) encode() []byte {
	b := []byte{streamFormat}
	b = binary.AppendUvarint(b, s.last)
	b = binary.AppendUvarint(b, uint64(len(s.places)))
	for i := len(s.places) - 1; i >= 0; i-- {
		p := s.places[i]
		distance := p.index
		if i < len(s.places)-1 {
			distance = s.places[i+1].index - p.index
		}
		b = binary.AppendUvarint(b, uint64(p.count))
		b = binary.AppendUvarint(b, uint64(distance))
	}
	return b
}

var errStream = errors.New("stream state is damaged")

// decodeStream reads what encode wrote; nil is a stream of which nothing is known.
func decodeStream(b []byte) (stream, error) {
	if b == nil {
		return stream{}, nil
	}
	if len(b) == 0 || b[0] != streamFormat {
		return stream{}, errStream
	}
	r := reader{rest: b[1:]}
	s := stream{last: r.uvarint()}
	n := r.uvarint()
	if r.bad || n > maxPlaces {
		return stream{}, errStream
	}
	s.places = make([]place, n)
	next := s.last
	for i := int(n) - 1; i >= 0; i-- {
		count, index := int64(r.uvarint()), int64(r.uvarint())
		if i < int(n)-1 {
			index = s.places[i+1].index - index
		}
		if r.bad || count <= 0 || index < 0 || uint64(count) > next || index+count < index {
			return stream{}, errStream
		}
		next -= uint64(count)
		s.places[i] = place{next + 1, index, count}
	}
	if len(r.rest) > 0 {
		return stream{}, errStream
	}
	return s, nil
}

// reader takes values off the front of a slice. Once bad, everything it returns is zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// bytes returns the next n bytes, not copied.
func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// prefixed returns a string of bytes that its length precedes.
func (r *reader) prefixed() []byte { return r.bytes(r.uvarint()) }
