package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"iter"
	"slices"
)

// loadRuns reads what the store has of the index, as one digest for each run: comparing digests needs no second copy of
// the index and one pass over it. Postings are stored by term, so each run meets its own in the order in which they are built.
func (a *auditor) loadRuns() error {
	a.markers = make(map[int64][]byte)
	known := make(map[int64]bool)
	for r, err := range a.store.Runs(a.ctx) {
		if err != nil {
			return wrong(-1, err, "the runs of the index cannot be read")
		}
		known[r.Number] = true
		if _, ok := decodeMarker(r.Marker, a.o.TermsVersion, a.length); ok {
			if r.Number < 0 || r.Number >= a.size/a.length {
				return wrong(a.size, nil, "the index has a run %d, the log ends before", r.Number)
			}
			a.markers[r.Number] = r.Marker
		}
	}
	sums := make(map[int64]hash.Hash)
	for p, err := range a.store.AllPostings(a.ctx) {
		if err != nil {
			return wrong(-1, err, "the index cannot be read")
		}
		if !known[p.Run] {
			return wrong(min(p.Run, a.size/a.length)*a.length, nil, "the index has postings of run %d, which it does not have", p.Run)
		}
		if a.markers[p.Run] == nil {
			continue
		}
		if sums[p.Run] == nil {
			sums[p.Run] = sha256.New()
		}
		addPosting(sums[p.Run], p.Term, p.Value)
	}
	a.digests = make(map[int64][sha256.Size]byte)
	for run := range a.markers {
		if sums[run] == nil {
			sums[run] = sha256.New()
		}
		a.digests[run] = [sha256.Size]byte(sums[run].Sum(nil))
	}
	return nil
}

func addPosting(h hash.Hash, term uint64, value []byte) {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:], term)
	binary.BigEndian.PutUint32(b[8:], uint32(len(value)))
	h.Write(b[:])
	h.Write(value)
}

// absent is what of a run cannot be known from the log.
type absent struct {
	destroyed []uint64 // bitmap of the offsets whose entries were destroyed; nil if none
	living    []zone   // the zones without those entries
	hidden    bool     // there are entries that could not be looked at
}

// allows tells whether the stored run may have a posting at an offset that the log does not give a reason for.
func (a absent) allows(offset uint32) bool {
	return int(offset/64) < len(a.destroyed) && a.destroyed[offset/64]>>(offset%64)&1 == 1
}

// index takes the next entry into the run that should be, and compares the run when it is complete.
func (a *auditor) index(it *item, hidden bool) error {
	if a.segment.n%zoneLength == 0 {
		a.absent.living = append(a.absent.living, emptyZone)
	}
	if !it.entry.Destroyed {
		a.absent.living[len(a.absent.living)-1].add(it.when(it.entry.Received))
	} else {
		for n := int(a.segment.n / 64); len(a.absent.destroyed) <= n; {
			a.absent.destroyed = append(a.absent.destroyed, 0)
		}
		a.absent.destroyed[a.segment.n/64] |= 1 << (a.segment.n % 64)
	}
	a.absent.hidden = a.absent.hidden || hidden
	a.segment.add(it.terms, it.when(it.entry.Received))
	if a.segment.n < a.length {
		return nil
	}
	err := a.compareRun(a.segment)
	a.segment, a.absent = newSegment(a.segment.run+1), absent{}
	return err
}

// compareRun compares a stored run with what it should be. Of destroyed entries it may have more.
func (a *auditor) compareRun(s *segment) error {
	marker := a.markers[s.run]
	if marker == nil || a.absent.hidden {
		return nil
	}
	h := sha256.New()
	for term, value := range s.postings() {
		addPosting(h, term, value)
	}
	if [sha256.Size]byte(h.Sum(nil)) != a.digests[s.run] {
		if err := a.comparePostings(s); err != nil {
			return err
		}
		if a.absent.destroyed == nil {
			return wrong(s.run*a.length, nil, "run %d of the index is not written as it should be", s.run)
		}
	}
	if !slices.Equal(marker, encodeMarker(a.o.TermsVersion, a.length, s.allZones())) {
		if i := a.zoneDifference(marker, s); i >= 0 {
			return wrong(s.run*a.length+i, nil, "run %d of the index gives other times", s.run)
		}
	}
	return nil
}

// zoneDifference returns the first offset whose zone is not what it should be, -1 if there is none. A zone with destroyed entries
// may still be the one that they widened, which nobody knows any more.
func (a *auditor) zoneDifference(marker []byte, s *segment) int64 {
	got, _ := decodeMarker(marker, a.o.TermsVersion, a.length)
	excused := false
	for i, z := range s.allZones() {
		from := int64(i) * zoneLength
		switch {
		case i < len(got) && got[i] == z:
		case i < len(got) && a.absent.within(from, from+zoneLength) && got[i].covers(a.absent.living[i]):
			excused = true
		default:
			return from
		}
	}
	if excused {
		return -1
	}
	return 0
}

// within tells whether there are destroyed entries at the offsets [from, to).
func (a absent) within(from, to int64) bool {
	for i := from; i < to; i++ {
		if a.allows(uint32(i)) {
			return true
		}
	}
	return false
}

// earlierPosting is asked when something else was found wrong, before the run it lies in could be compared: a posting of an
// entry in front of it may be wrong too.
func (a *auditor) earlierPosting(err error) error {
	var e *AuditError
	if !errors.As(err, &e) || a.segment.n == 0 || a.absent.hidden || a.markers[a.segment.run] == nil {
		return err
	}
	var earlier *AuditError
	if perr := a.comparePostings(a.segment); errors.As(perr, &earlier) && earlier.Index < e.Index {
		return perr
	}
	return err
}

// comparePostings compares the stored run with s, which may be the beginning of it, posting by posting, and names the first
// entry that one of them has and the other has not. Nil if there is none.
func (a *auditor) comparePostings(s *segment) error {
	next, stop := iter.Pull2(a.storedPostings(s.run))
	defer stop()
	first := s.n
	differ := func(offsets []uint32) {
		// What only the log has is never of a destroyed entry.
		if offsets = slices.DeleteFunc(offsets, a.absent.allows); len(offsets) > 0 {
			first = min(first, int64(offsets[0]))
		}
	}
	stored, err, more := next()
	for term, value := range s.postings() {
		for more && err == nil && stored.Term < term {
			differ(a.offsets(stored.Value))
			stored, err, more = next()
		}
		want := a.offsets(value)
		if !more || stored.Term != term {
			differ(want)
			continue
		}
		differ(firstDifference(want, slices.DeleteFunc(a.offsets(stored.Value), a.absent.allows)))
		stored, err, more = next()
	}
	for more && err == nil {
		differ(a.offsets(stored.Value))
		stored, err, more = next()
	}
	if err != nil {
		return wrong(s.run*a.length, err, "run %d of the index cannot be read", s.run)
	}
	if first == s.n {
		return nil
	}
	return wrong(s.run*a.length+first, nil, "run %d of the index does not have the entry's terms", s.run)
}

// storedPostings yields the postings of one run, by term.
func (a *auditor) storedPostings(run int64) iter.Seq2[Posting, error] {
	return func(yield func(Posting, error) bool) {
		for p, err := range a.store.AllPostings(a.ctx) {
			if (err != nil || p.Run == run) && !yield(p, err) {
				return
			}
		}
	}
}

// offsets decodes a value; one that is damaged counts as wrong from the first entry of the run on.
func (a *auditor) offsets(value []byte) []uint32 {
	out, err := decodeOffsets(nil, value, a.length)
	if err != nil {
		return []uint32{0}
	}
	return out
}

// firstDifference returns the rest of x or y, whichever begins with the smallest offset that only one of them has.
func firstDifference(x, y []uint32) []uint32 {
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	if len(x) == 0 || len(y) > 0 && y[0] < x[0] {
		return y
	}
	return x
}
