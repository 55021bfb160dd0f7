package ledger

import (
	"context"
	"crypto/sha256"
	"math"
	"sync"
	"time"

	"hippad"
)

// item is one entry on its way into the log.
type item struct {
	entry  hippad.Entry // Index and Received are set by the sequencer
	digest [32]byte     // SHA-256 of the body
	terms  []uint64     // distinct; none of an entry that is destroyed
	class  string       // retention class
	time   time.Time    // event time, may be zero
}

func (it *item) when(received time.Time) int64 { return Indexed{When: it.time}.micros(received) }

// frame is what one Append brought. Its owner is the caller until it enters the pool, then the sequencer, and whoever waits
// once done is closed.
type frame struct {
	at    Stream
	items []item
	bytes int
	waits bool // a reporter waits for the acknowledgement

	ranges []hippad.Range
	fresh  []item // the items that are not repeats
	ack    hippad.Ack
	err    error
	done   chan struct{}
}

// conflicts tells that the frame's numbers leave a gap.
func (f *frame) conflicts() bool { return f.err != nil && hippad.KindOf(f.err) == hippad.Conflict }

func (f *frame) finish(ack hippad.Ack, err error) {
	f.ack, f.err, f.items, f.fresh = ack, err, nil, nil
	close(f.done)
}

// Append hands over a frame of entries, without Index and Received. It returns as soon as the frame has its place in the
// order; Wait then tells when it is durable. Frames of one caller keep the order of the calls. Bodies must not be changed
// before Wait has returned.
//
// While the pool is full Append blocks, and gives up with kind Busy when ctx ends. With a stream, numbers that are in
// the log already are set aside and acknowledged with their old place: Range.First is -1 where the place is forgotten,
// which is older than the last 64 frames of that stream. A gap in the numbers makes Wait fail with kind Conflict. Wait
// fails with kind Unavailable when nothing of the frame is stored, or when the store does not say whether it is; a stream
// can be repeated safely in both cases.
func (l *Ledger) Append(ctx context.Context, at Stream, entries []hippad.Entry) (hippad.Wait, error) {
	if err := checkFrame(at, entries); err != nil {
		return nil, err
	}
	f := &frame{at: at, items: make([]item, len(entries)), done: make(chan struct{})}
	for i, e := range entries {
		x := l.o.Index(e)
		f.items[i] = item{entry: e, digest: sha256.Sum256(e.Body), terms: x.terms(), class: x.class(), time: x.When}
		f.bytes += len(e.Body) + 16*len(x.Terms) + 256
		f.waits = f.waits || e.Door.Acknowledges()
	}
	if err := l.enqueue(ctx, f); err != nil {
		return nil, err
	}
	return func(ctx context.Context) (hippad.Ack, error) {
		select {
		case <-f.done:
			return f.ack, f.err
		case <-ctx.Done():
			return hippad.Ack{}, hippad.Errorf(hippad.Busy, "the outcome is not known yet: %w", ctx.Err())
		}
	}, nil
}

func checkFrame(at Stream, entries []hippad.Entry) error {
	if at.Key != [32]byte{} && (at.First == 0 || at.First > math.MaxInt64-uint64(len(entries))) {
		return hippad.Errorf(hippad.Invalid, "number %d in a stream: numbers start at 1", at.First)
	}
	for _, e := range entries {
		switch p := e.Reporter; {
		case len(e.Body) > MaxBody:
			return hippad.Errorf(hippad.TooLarge, "a body of %d bytes is over the limit of %d", len(e.Body), MaxBody)
		case len(e.Media) > hippad.MaxMedia:
			return hippad.Errorf(hippad.Invalid, "a media type of %d bytes is over the limit of %d", len(e.Media), hippad.MaxMedia)
		case len(p.Kind)+len(p.ID)+len(p.Name)+len(p.Organisation) > maxPrincipal:
			return hippad.Errorf(hippad.Invalid, "the name of a reporter is over the limit of %d bytes", maxPrincipal)
		}
	}
	return nil
}

// enqueue puts the frame into the open pool, as soon as it has room.
func (l *Ledger) enqueue(ctx context.Context, f *frame) error {
	busy := func() error {
		return hippad.Errorf(hippad.Busy, "the log has no room now: %w", ctx.Err())
	}
	select {
	case l.pool.turn <- struct{}{}:
	default:
		select {
		case l.pool.turn <- struct{}{}:
		case <-ctx.Done():
			return busy()
		}
	}
	defer func() { <-l.pool.turn }()
	for first := true; ; first = false {
		if err := l.fatal.Load(); err != nil {
			return *err
		}
		room, err := l.pool.put(f)
		if err != nil || room == nil {
			return err
		}
		if first {
			l.stats.poolFull.Add(1)
		}
		select {
		case <-room:
		case <-ctx.Done():
			return busy()
		}
	}
}

// intake is the open pool.
type intake struct {
	maxBytes, maxReports int

	// turn holds one element while somebody puts a frame in, which includes waiting for room: so a large frame is not
	// overtaken for ever by small ones. Those who wait on a channel are served in the order in which they came.
	turn  chan struct{}
	ready chan struct{} // capacity 1; an element: the pool is not empty, or closed
	hurry chan struct{} // capacity 1; an element: the pool is to be taken at once

	mu      sync.Mutex
	frames  []*frame
	bytes   int
	reports int
	room    chan struct{} // closed and replaced when the pool is taken or closed
	closed  bool
}

func (p *intake) init(maxBytes, maxReports int) {
	p.maxBytes, p.maxReports = maxBytes, maxReports
	p.turn, p.ready, p.hurry, p.room = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
}

// A pool in which nobody waits for an acknowledgement gathers for a moment, until it is worth a commit: at a light load every
// syslog message would otherwise cost a signature, a sync and a block of its own. A crash loses what was
// gathered, as it loses what is still in the connection: syslog has no acknowledgement, whatever we do.
const (
	gatherTime    = 5 * time.Millisecond
	gatherReports = 256
	gatherBytes   = 256 << 10
)

// put adds the frame. If there is no room it returns a channel that is closed when it is worth another try.
func (p *intake) put(f *frame) (room <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, hippad.Errorf(hippad.Unavailable, "the log is closing")
	}
	if len(p.frames) > 0 && (p.bytes+f.bytes > p.maxBytes || p.reports+len(f.items) > p.maxReports) {
		wake(p.hurry)
		return p.room, nil
	}
	p.frames = append(p.frames, f)
	p.bytes += f.bytes
	p.reports += len(f.items)
	if f.waits || len(f.items) == 0 || p.reports >= gatherReports || p.bytes >= gatherBytes {
		wake(p.hurry)
	}
	wake(p.ready)
	return nil, nil
}

// take returns everything in the pool and leaves it empty. It returns false when the pool is empty and closed.
func (p *intake) take() ([]*frame, bool) {
	for range p.ready {
		gathered := time.NewTimer(gatherTime)
		select {
		case <-p.hurry:
			gathered.Stop()
		case <-gathered.C:
		}
		p.mu.Lock()
		// A hurry that came for what is taken now must not drive the next pool. One that comes after this is for the next.
		select {
		case <-p.hurry:
		default:
		}
		frames, closed := p.frames, p.closed
		p.frames, p.bytes, p.reports = nil, 0, 0
		close(p.room)
		p.room = make(chan struct{})
		p.mu.Unlock()
		if closed {
			wake(p.ready) // for the next take, which finds nothing
			wake(p.hurry)
		}
		if len(frames) > 0 {
			return frames, true
		}
		if closed {
			break
		}
	}
	return nil, false
}

// close lets nothing more in.
func (p *intake) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	wake(p.hurry)
	wake(p.ready)
}
