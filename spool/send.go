package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"hippad"
)

// Limits are what a session takes. Zero means the default.
type Limits struct {
	Report  int // largest body in bytes; default: no limit
	Frame   int // largest frame in bytes, counted as 16, and 6 + media type + body for each report; default: no limit
	Reports int // most reports in a frame; default: 1,024
	Window  int // frames handed over before the first is acknowledged; default: 32
}

const (
	frameTarget  = 256 << 10 // bytes: larger frames gain nothing, and a window of them is in memory
	purgeReports = 4096      // acknowledged reports, or bytes of them, that may be left on the disk
	purgeBytes   = 16 << 20
)

var errSending = hippad.Errorf(hippad.Conflict, "the spool is being sent already")

func (l Limits) withDefaults() Limits {
	for _, x := range []struct {
		v         *int
		otherwise int
	}{{&l.Report, math.MaxInt32}, {&l.Frame, math.MaxInt32}, {&l.Reports, 1024}, {&l.Window, 32}} {
		if *x.v <= 0 {
			*x.v = x.otherwise
		}
	}
	return l
}

func frameSize(r hippad.Report) int { return 6 + len(r.Media) + len(r.Body) }

// A shipment is a frame that has been handed over.
type shipment struct {
	first uint64
	items []item
	wait  hippad.Wait
	err   error // Record failed
}

func (f shipment) last() uint64 { return f.first + uint64(len(f.items)) - 1 }

// Send hands everything that is pending to session, in order, and forgets what is acknowledged. It returns nil when
// nothing is pending, reports included that were added meanwhile. For each acknowledged report it calls acked, which
// may be nil, with the number that Add gave and the index in the log, in order; after a crash it may be called again
// for the same number. Reports that the session rejects for good are set aside, see Rejected, and acked is not called
// for them. acked must not call Close.
//
// On any other error, call it again with a new session of the same Stream: what is unsure is repeated, nothing is lost
// and nothing doubled. Kind Conflict from the session means that the log has forgotten what it acknowledged: see
// Renumber. Only one Send may be at work at a time.
func (s *Spool) Send(ctx context.Context, session hippad.Session, limits Limits, acked func(number uint64, index int64)) (err error) {
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	if !s.sending.TryLock() {
		return errSending
	}
	defer s.sending.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() // Close ends it
	defer func() {
		if failed := s.purge(); failed != nil {
			err = errors.Join(err, failed)
		}
	}()
	r := &run{s: s, session: session, limits: limits.withDefaults(), acked: acked}
	return r.run(ctx)
}

// A run is one Send at work.
type run struct {
	s       *Spool
	session hippad.Session
	limits  Limits
	acked   func(uint64, int64)

	next    uint64     // the first report not handed over
	way     []shipment // on their way, in order
	left    int64      // bytes acknowledged and not purged
	singles uint64     // up to this number reports go one by one, to find the one that was rejected
}

func (r *run) run(ctx context.Context) error {
	r.next = r.s.acknowledged() + 1
	for {
		for len(r.way) < r.limits.Window && (len(r.way) == 0 || r.way[len(r.way)-1].err == nil) {
			f, err := r.frame()
			if err != nil {
				return err
			}
			if len(f.items) == 0 {
				break
			}
			r.way = append(r.way, r.hand(ctx, f))
			r.next = f.last() + 1
		}
		if len(r.way) == 0 {
			return nil
		}
		f := r.way[0]
		r.way = r.way[1:]
		var got hippad.Ack
		err := f.err
		if err == nil {
			got, err = f.wait(ctx)
		}
		if err == nil {
			err = r.settle(f, got)
		} else if k := hippad.KindOf(err); k == hippad.Invalid || k == hippad.TooLarge {
			err = r.rejected(ctx, f, err)
		}
		if err != nil {
			return err
		}
	}
}

func (s *Spool) acknowledged() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone.number
}

// frame reads the next frame from the disk; it is empty when nothing is left. A report that can be in no frame is withheld.
func (r *run) frame() (shipment, error) {
	r.s.mu.Lock()
	last := r.s.added.number
	r.s.mu.Unlock()
	f := shipment{first: r.next}
	if r.next > last {
		return f, nil
	}
	it, err := r.s.db.NewIter(&pebble.IterOptions{LowerBound: numberKey(keyQueue, r.next), UpperBound: numberKey(keyQueue, last+1)})
	if err != nil {
		return f, fmt.Errorf("read the queue: %w", err)
	}
	defer it.Close()
	size := 16
	for it.First(); it.Valid(); it.Next() {
		number := binary.BigEndian.Uint64(it.Key()[1:])
		if number != f.first+uint64(len(f.items)) {
			return f, fmt.Errorf("read the queue: report %d is missing", f.first+uint64(len(f.items)))
		}
		if len(f.items) > 0 && (number <= r.singles || len(f.items) == r.limits.Reports ||
			size+len(it.Value())+6 > min(r.limits.Frame, frameTarget)) {
			return f, nil
		}
		i, err := decodeItem(it.Value())
		if err != nil {
			return f, fmt.Errorf("read report %d of the queue: %w", number, err)
		}
		if n := frameSize(i.Report); len(i.Body) > r.limits.Report || 16+n > r.limits.Frame {
			if len(f.items) > 0 {
				return f, nil
			}
			if i, err = r.replace(number, i); err != nil {
				return f, err
			}
		}
		f.items = append(f.items, i)
		size += frameSize(i.Report)
	}
	if err := it.Error(); err != nil {
		return f, fmt.Errorf("read the queue: %w", err)
	}
	if len(f.items) == 0 {
		return f, fmt.Errorf("read the queue: report %d is missing", f.first)
	}
	return f, nil
}

// replace withholds a report that is over the limits and returns its notice.
func (r *run) replace(number uint64, i item) (item, error) {
	why := hippad.Errorf(hippad.TooLarge, "a report of %d bytes, the log takes at most %d", len(i.Body), min(r.limits.Report, r.limits.Frame))
	if i.notice {
		return i, why
	}
	if err := r.s.withhold(number, i, why); err != nil {
		return i, err
	}
	v, closer, err := r.s.db.Get(numberKey(keyQueue, number))
	if err != nil {
		return i, fmt.Errorf("read the queue: %w", err)
	}
	defer closer.Close()
	if i, err = decodeItem(v); err != nil {
		return i, err
	}
	if len(i.Body) > r.limits.Report || 16+frameSize(i.Report) > r.limits.Frame {
		return i, why
	}
	return i, nil
}

func (r *run) hand(ctx context.Context, f shipment) shipment {
	r.s.mu.Lock()
	h := hippad.Frame{Stream: r.s.stream, First: f.first - r.s.base, Reports: make([]hippad.Report, len(f.items))}
	r.s.mu.Unlock()
	for i := range f.items {
		h.Reports[i] = f.items[i].Report
	}
	f.wait, f.err = r.session.Record(ctx, h)
	return f
}

// settle tells where the reports of an acknowledged frame are, and then forgets them: the other way round a crash could
// leave a report of which nobody was told.
func (r *run) settle(f shipment, got hippad.Ack) error {
	sum := 0
	for _, g := range got.Ranges {
		sum += g.Count
	}
	if sum != len(f.items) {
		return fmt.Errorf("the log acknowledged %d of %d reports", sum, len(f.items))
	}
	r.s.mu.Lock()
	p := r.s.gone
	r.s.mu.Unlock()
	k, size := 0, int64(0)
	for _, g := range got.Ranges {
		for n := range g.Count {
			if !f.items[k].notice && r.acked != nil {
				r.acked(f.first+uint64(k), g.First+int64(n))
			}
			size += int64(len(f.items[k].Body))
			k++
		}
	}
	p.number, p.bytes = f.last(), p.bytes+size
	if err := r.s.forget(p); err != nil {
		return err
	}
	if r.left += size; p.number-r.s.purged >= purgeReports || r.left >= purgeBytes {
		r.left = 0
		return r.s.purge()
	}
	return nil
}

// rejected deals with a frame that the session will never take. What is on its way behind it cannot have been taken either,
// since a number is missing before it, but its fate must be known before anything is handed over again.
func (r *run) rejected(ctx context.Context, f shipment, why error) error {
	for _, later := range r.way {
		if later.err == nil {
			later.wait(ctx)
		}
	}
	r.way = nil
	r.next = f.first
	if len(f.items) > 1 {
		r.singles = f.last()
		return nil
	}
	if f.items[0].notice {
		return fmt.Errorf("the log rejects even the notice for report %d: %w", f.first, why)
	}
	return r.s.withhold(f.first, f.items[0], why)
}
