package custody

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"hippad"
	"hippad/internal/repository"
)

// Evidence collects what the log says of its purges, to compare it with what is missing. It is given entries in any order, from
// any number of goroutines, so an audit can do it along the way, without an open ledger.
type Evidence struct {
	read hippad.Reader

	mu        sync.Mutex
	named     map[int64][]hippad.Range // by request
	certified map[int64]bool
	confirmed map[int64]bool // purges
}

// NewEvidence returns an empty Evidence. Read is the log's.
func NewEvidence(read hippad.Reader) *Evidence {
	return &Evidence{read: read, named: map[int64][]hippad.Range{}, certified: map[int64]bool{}, confirmed: map[int64]bool{}}
}

// See takes in an entry. Index and Received are not needed.
func (v *Evidence) See(e hippad.Entry) {
	if e.Door != hippad.DoorSelf || e.Destroyed {
		return
	}
	r, ok := repository.RecordOf[record](v.read(e.Report), detailType)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case r.Confirm != nil && r.Confirm.Kind == KindPurge:
		v.confirmed[r.Confirm.Request] = true
	case r.Part != nil:
		v.named[r.Part.Request] = append(v.named[r.Part.Request], fromPairs(r.Part.Ranges)...)
	case r.Certificate != nil:
		v.named[r.Certificate.Request] = append(v.named[r.Certificate.Request], fromPairs(r.Certificate.Ranges)...)
		v.certified[r.Certificate.Request] = true
	}
}

func fromPairs(pairs [][2]int64) (out []hippad.Range) {
	for _, p := range pairs {
		if p[0] >= 0 && p[1] > 0 && p[1] <= math.MaxInt32 && p[0] <= math.MaxInt64-p[1] {
			out = append(out, hippad.Range{First: p[0], Count: int(p[1])})
		}
	}
	return out
}

// Uncertified returns, in order, those of the destroyed entries that no certificate names: somebody has taken them away, or a purge was interrupted
// and is not finished yet (see Unfinished).
func (v *Evidence) Uncertified(destroyed []hippad.Range) []hippad.Range {
	v.mu.Lock()
	defer v.mu.Unlock()
	var named []hippad.Range
	for request, ranges := range v.named {
		if v.certified[request] {
			named = append(named, ranges...)
		}
	}
	return without(destroyed, named)
}

// Unfinished returns the requests of purges that are confirmed and have no certificate.
func (v *Evidence) Unfinished() (requests []int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for request := range v.confirmed {
		if !v.certified[request] {
			requests = append(requests, request)
		}
	}
	slices.Sort(requests)
	return requests
}

// Uncertified is Evidence.Uncertified for an open log.
func (c *Custody) Uncertified(ctx context.Context, destroyed []hippad.Range) ([]hippad.Range, error) {
	v := NewEvidence(c.Repository.Read)
	for e, err := range c.Repository.Own(ctx, 0, c.Ledger.Size(), repository.ActivityPurge, repository.ActivityConfirm) {
		if err != nil {
			return nil, err
		}
		v.See(e)
	}
	return v.Uncertified(destroyed), nil
}

// without returns what is in a and not in b, in order, neighbours as one range.
func without(a, b []hippad.Range) (out []hippad.Range) {
	a, b = merged(a), merged(b)
	for _, r := range a {
		at, end := r.First, r.First+int64(r.Count)
		for len(b) > 0 && b[0].First+int64(b[0].Count) <= at {
			b = b[1:]
		}
		for i := 0; at < end; i++ {
			if i == len(b) || b[i].First >= end {
				out = append(out, hippad.Range{First: at, Count: int(end - at)})
				break
			}
			if b[i].First > at {
				out = append(out, hippad.Range{First: at, Count: int(b[i].First - at)})
			}
			at = max(at, b[i].First+int64(b[i].Count))
		}
	}
	return out
}

// merged returns the ranges in order, those that touch or overlap as one.
func merged(in []hippad.Range) (out []hippad.Range) {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b hippad.Range) int { return cmp.Compare(a.First, b.First) })
	for _, r := range in {
		if r.Count < 1 {
			continue
		}
		if n := len(out) - 1; n >= 0 && r.First <= out[n].First+int64(out[n].Count) {
			out[n].Count = int(max(out[n].First+int64(out[n].Count), r.First+int64(r.Count)) - out[n].First)
			continue
		}
		out = append(out, r)
	}
	return out
}
