package completeness

import (
	"slices"
	"strings"
	"time"
)

const (
	maxSequenceID = 1<<31 - 1 // RFC 5424 section 7.3.1: after it comes 1

	// lateTime is how long a number may be late before it is missing: over UDP, or over several connections of one sender.
	lateTime = time.Minute

	nearNumbers   = 64      // so far ahead a number still continues a sequence
	repeatNumbers = 1024    // so far back a number is a repeat rather than a restart
	wrapNumbers   = 1 << 16 // so much may be lost across the wrap
	maxHoles      = 64      // kept of one sequence, open and settled each
)

// A mark is an entry, and when it came.
type mark struct {
	Index int64     `json:"i"`
	At    time.Time `json:"t"`
}

// A hole is numbers that have not been seen, between two entries.
type hole struct {
	First  int64 `json:"f"`
	Last   int64 `json:"l"`
	After  mark  `json:"a"` // the entry before it
	Before mark  `json:"b"` // the entry that showed it
}

func (h hole) size() int64 { return h.Last - h.First + 1 }

// fill takes a number out of the hole that it belongs to, and tells whether there was one.
func fill(holes []hole, n int64) ([]hole, bool) {
	for i, h := range holes {
		if n < h.First || n > h.Last {
			continue
		}
		left, right := h, h
		left.Last, right.First = n-1, n+1
		var parts []hole
		for _, p := range []hole{left, right} {
			if p.size() > 0 {
				parts = append(parts, p)
			}
		}
		return slices.Replace(holes, i, i+1, parts...), true
	}
	return holes, false
}

// A sequence is one counter of sequenceIds. It begins anywhere, because a log begins to listen at any time.
type sequence struct {
	Next int64  `json:"n"` // the number expected
	Last mark   `json:"m"` // the entry with the newest number
	Open []hole `json:"o,omitempty"`
	Lost []hole `json:"x,omitempty"` // settled; the newest of them
	// Old is what was before a restart, as long as it can still turn out that it was none: a sender that repeats what it is not
	// sure of goes on with its old numbers.
	Old       *sequence `json:"p,omitempty"`
	Restarted time.Time `json:"r,omitzero"`
}

// follows returns the number after n.
func follows(n int64) int64 { return n%maxSequenceID + 1 }

// ahead is how far n is ahead of what is expected, around the wrap.
func (s *sequence) ahead(n int64) int64 {
	return (n - s.Next + maxSequenceID) % maxSequenceID
}

// forward tells whether n is to be taken as ahead, and not as a number that comes again, late or from a restart.
func (s *sequence) forward(n int64) bool {
	if n >= s.Next {
		return !(n > maxSequenceID-repeatNumbers && s.Next <= repeatNumbers)
	}
	return s.ahead(n) < wrapNumbers
}

// fits tells whether n continues the sequence, or is late in it.
func (s *sequence) fits(n int64) bool {
	if s.forward(n) {
		return s.ahead(n) < nearNumbers
	}
	return slices.ContainsFunc(s.Open, func(h hole) bool { return h.First <= n && n <= h.Last })
}

// What a number turned out to be.
type verdict uint8

const (
	isNext  verdict = iota
	isLate          // fills a hole in time
	isFound         // was counted as missing
	isRepeat
	isRestart
	isNoRestart // the last restart was a repeat
)

// take takes the number of an entry, and returns what it is, and the holes that are settled by it.
func (s *sequence) take(n int64, m mark) (verdict, []hole) {
	switch {
	case s.Next == 0:
		s.Next, s.Last = follows(n), m
		return isNext, nil
	case s.ahead(n) == 0:
		s.Next, s.Last = follows(n), m
		return isNext, nil
	}
	if s.Old != nil && m.At.Sub(s.Restarted) > lateTime {
		s.Old = nil
	}
	if old := s.Old; old != nil && !s.inHole(n) && old.forward(n) && old.ahead(n) < nearNumbers && (!s.forward(n) || old.ahead(n) < s.ahead(n)) {
		*s = *old
		_, settled := s.take(n, m)
		return isNoRestart, settled
	}
	if s.forward(n) {
		return isNext, s.jump(n, m)
	}
	var ok bool
	if s.Open, ok = fill(s.Open, n); ok {
		return isLate, s.settleFirst(max(0, len(s.Open)-maxHoles)) // a hole that is filled in the middle is two
	}
	if s.Lost, ok = fill(s.Lost, n); ok {
		s.Lost = slices.Delete(s.Lost, 0, max(0, len(s.Lost)-maxHoles))
		return isFound, nil
	}
	back := s.Next - n
	if n > s.Next { // from before the wrap
		back += maxSequenceID
	}
	if n == 1 || n <= nearNumbers && back > nearNumbers || back > repeatNumbers {
		return isRestart, s.restart(n, m)
	}
	return isRepeat, nil
}

func (s *sequence) inHole(n int64) bool {
	return slices.ContainsFunc(s.Open, func(h hole) bool { return h.First <= n && n <= h.Last })
}

// jump opens a hole up to n.
func (s *sequence) jump(n int64, m mark) []hole {
	h := hole{First: s.Next, Last: n - 1, After: s.Last, Before: m}
	if n < s.Next { // across the wrap
		if s.Next <= maxSequenceID {
			s.Open = append(s.Open, hole{s.Next, maxSequenceID, s.Last, m})
		}
		h.First = 1
	}
	if h.size() > 0 {
		s.Open = append(s.Open, h)
	}
	s.Next, s.Last = follows(n), m
	return s.settleFirst(max(0, len(s.Open)-maxHoles))
}

// restart begins again at n: RFC 5424 has every start begin with 1, so what is before a small number is missing. A sender that does
// otherwise is followed from where it is.
func (s *sequence) restart(n int64, m mark) (settled []hole) {
	settled = s.settleFirst(len(s.Open))
	old, last := *s, s.Last
	old.Old = nil
	*s = sequence{Next: follows(n), Last: m, Old: &old, Restarted: m.At}
	if n > 1 && n <= nearNumbers {
		s.Open = []hole{{1, n - 1, last, m}}
	}
	return settled
}

// settle gives up what is late by more than lateTime.
func (s *sequence) settle(now time.Time) []hole {
	n := 0
	for n < len(s.Open) && now.Sub(s.Open[n].Before.At) >= lateTime {
		n++
	}
	return s.settleFirst(n)
}

func (s *sequence) settleFirst(n int) []hole {
	if n == 0 {
		return nil
	}
	settled := slices.Clone(s.Open[:n])
	s.Open = slices.Delete(s.Open, 0, n)
	s.Lost = append(s.Lost, settled...)
	s.Lost = slices.Delete(s.Lost, 0, max(0, len(s.Lost)-maxHoles))
	return settled
}

// A host is the counters of one HOSTNAME beneath a reporter. RFC 5424 section 7.3.1 numbers what the syslog function of a host submits,
// whatever program it comes from, but libraries number each process by itself. Which it is shows in the numbers: each is given
// to the sequence that it continues.
type host struct {
	sequences []*sequence // the one used last at the end
	routes    map[process]*sequence
}

// A process is who has sent a message within a host: APP-NAME and PROCID.
type process struct{ App, Proc string }

const (
	maxSequences = 32
	maxRoutes    = 256
)

// route returns the sequence that number n of a process belongs to.
func (h *host) route(p process, n int64) *sequence {
	s := h.routes[p]
	if s != nil && s.fits(n) {
		return s
	}
	routed := s
	var best *sequence
	for _, x := range h.sequences {
		if x != s && n != 1 && x.fits(n) && (best == nil || x.ahead(n) < best.ahead(n)) {
			best = x
		}
	}
	switch {
	case best != nil:
		s = best
	case s == nil:
		s = &sequence{}
		h.sequences = append(h.sequences, s)
		if len(h.sequences) > maxSequences {
			h.drop(h.oldest())
		}
	}
	if s == routed {
		return s
	}
	if len(h.routes) >= maxRoutes { // their numbers will show again where they belong
		clear(h.routes)
	}
	h.routes[process{strings.Clone(p.App), strings.Clone(p.Proc)}] = s // not parts of a message
	return s
}

func (h *host) oldest() *sequence {
	return slices.MinFunc(h.sequences[:len(h.sequences)-1], func(a, b *sequence) int { return a.Last.At.Compare(b.Last.At) })
}

func (h *host) drop(s *sequence) {
	h.sequences = slices.DeleteFunc(h.sequences, func(x *sequence) bool { return x == s })
	for p, x := range h.routes {
		if x == s {
			delete(h.routes, p)
		}
	}
}
