package forward

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"hippad"
)

const (
	maxBatch      = 1024    // reports that are handed to a destination in one piece
	maxBatchBytes = 1 << 20 // bytes of them; one report is always taken
)

// An item is an entry that is for the destination.
type item struct {
	hippad.Entry
	payload []byte // what is sent
	media   string // its media type
	notice  bool   // a notice is sent instead
	refused string // why it cannot be sent at all; empty: it can
}

// A feed reads the log ahead of the destination, by no more than one batch.
type feed struct {
	ready chan struct{} // has one token while there is something to take
	room  chan struct{} // has one token when something was taken

	mu    sync.Mutex
	items []item
	bytes int
	upto  int64 // the last entry read
	seen  counts
	err   error // the log cannot be read; nothing follows
}

// counts are what the feed has passed over.
type counts struct{ destroyed, returned int64 }

func newFeed(after int64) *feed {
	return &feed{ready: make(chan struct{}, 1), room: make(chan struct{}, 1), upto: after}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds an entry, or only that it was passed over, and waits while there is no room.
func (f *feed) put(ctx context.Context, index int64, it *item, passed counts) bool {
	for {
		f.mu.Lock()
		if it == nil || len(f.items) < maxBatch && (f.bytes < maxBatchBytes || len(f.items) == 0) {
			f.upto = index
			f.seen.destroyed += passed.destroyed
			f.seen.returned += passed.returned
			if it != nil {
				f.items = append(f.items, *it)
				f.bytes += len(it.payload)
			}
			f.mu.Unlock()
			signal(f.ready)
			return true
		}
		f.mu.Unlock()
		select {
		case <-f.room:
		case <-ctx.Done():
			return false
		}
	}
}

func (f *feed) fail(err error) {
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
	signal(f.ready)
}

// full tells whether there is a batch that cannot grow.
func (f *feed) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.items) >= maxBatch || f.bytes >= maxBatchBytes || f.err != nil
}

// take returns what there is, and up to which entry that is everything. An error comes after all that was read before it.
func (f *feed) take() (items []item, upto int64, passed counts, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	items, passed = f.items, f.seen
	if len(items) == 0 {
		err = f.err
	} else if f.err != nil {
		signal(f.ready)
	}
	f.items, f.bytes, f.seen = nil, 0, counts{}
	signal(f.room)
	return items, f.upto, passed, err
}

// fill reads the log until ctx ends or the log cannot be read.
func (f *feed) fill(ctx context.Context, r *runner, after int64, plan, withheld []int64) {
	for e, err := range r.f.Follow(ctx, after) {
		if err != nil {
			f.fail(fmt.Errorf("read the log after entry %d: %w", after, err))
			return
		}
		var it *item
		var passed counts
		if len(plan) > 0 && e.Index <= plan[len(plan)-1] {
			// What has a number keeps it, whatever the rule says today and whatever became of the entry.
			if slices.Contains(plan, e.Index) {
				it = &item{Entry: e, notice: e.Destroyed || slices.Contains(withheld, e.Index)}
				r.prepare(it)
			}
		} else if e.Destroyed {
			passed.destroyed = 1
		} else if r.wants(e) {
			it = &item{Entry: e}
			if r.prepare(it); r.returns(it) {
				it, passed.returned = nil, 1
			}
		}
		if !f.put(ctx, e.Index, it, passed) {
			return
		}
		after = e.Index
	}
	if ctx.Err() == nil {
		f.fail(hippad.Errorf(hippad.Unavailable, "the log is closed"))
	}
}

// wants tells whether an entry is for the rule's destination: it matches; it is one of the log's own only if the match says so;
// it is not the destination's own; and it comes from another forwarder only if the rule relays.
func (r *runner) wants(e hippad.Entry) bool {
	if e.Door == hippad.DoorSelf && !r.rule.self {
		return false
	}
	var ev hippad.Event
	if r.reads {
		ev = r.f.Read(e.Report)
	}
	any := func(all []hippad.Query) bool {
		return slices.ContainsFunc(all, func(q hippad.Query) bool { return q.Matches(e, ev) })
	}
	return r.rule.Match.Matches(e, ev) && !any(r.rule.Peers) && (r.rule.Relay || !any(r.f.Config.forwarders))
}

// returnsMemory is how many of the newest bodies and payloads a rule remembers, to recognise what comes back.
const returnsMemory = 1 << 16

// A ring remembers what was forwarded: which bytes, and who had reported them.
type ring struct {
	from  map[[16]byte][8]byte
	order [][16]byte
	next  int
}

// returns tells whether these very bytes have been forwarded already and come now from somebody else: then a destination, or
// whoever it forwards to, has sent them back, and sending them on again would never end. It is the last defence, for when nobody
// has configured peers and forwarders: it knows the newest reports since the start, and not what is rewritten on the way back.
func (r *runner) returns(it *item) bool {
	who := it.Reporter.Key()
	if first, known := r.sent.from[keyOf(it.Body)]; known {
		return first != who
	}
	r.sent.add(keyOf(it.Body), who)
	if !bytes.Equal(it.Body, it.payload) {
		r.sent.add(keyOf(it.payload), who)
	}
	return false
}

func keyOf(b []byte) [16]byte {
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

func (g *ring) add(key [16]byte, who [8]byte) {
	if _, known := g.from[key]; known {
		return
	}
	if len(g.order) < returnsMemory {
		g.order = append(g.order, key)
	} else {
		delete(g.from, g.order[g.next])
		g.order[g.next] = key
		g.next = (g.next + 1) % returnsMemory
	}
	g.from[key] = who
}
