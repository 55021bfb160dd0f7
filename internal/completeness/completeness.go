// Package completeness owns what is known about whether sources are heard and whole: for each reporter, and each syslog origin
// (HOSTNAME and APP-NAME) beneath it, when it was heard, how long it usually is silent, and what its own numbers say is missing
// (RFC 5424 section 7.3.1 sequenceId, RFC 5848 signature blocks). It says so once, in an entry, when a source falls silent, when it
// is heard again, and when something is missing.
//
// It does not read the log, reports or files itself, nor know how a syslog header is parsed: all of that is passed in. It does
// not verify the signatures of RFC 5848, only their counters and hashes. A stream of hippad/1 cannot have gaps, because a number
// that does not follow is refused (docs/protocol.md), so there is nothing to count there; and FHIR senders number nothing.
//
// The invariant: what it knows follows from the entries of the log alone, in their order, its own among them. So a snapshot of it is
// disposable, and neither a restart nor a lost snapshot makes it say again what is in the log already. It never stands in the way
// of intake, and everything it holds is bounded.
package completeness

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"hippad"
)

const (
	checkEvery = 30 * time.Second // silence, gaps
	saveEvery  = 5 * time.Minute
	retryAfter = 5 * time.Second // to follow the log after an error
	noteTime   = 10 * time.Second
	// maxNamed is how many sources one entry names; there are more entries when more fall silent at once.
	maxNamed = 100
)

// A Completeness follows one log. The exported fields must be set before Run and not changed; those said to may be nil.
type Completeness struct {
	// Follow yields the entries after an index, in the order of the log, and waits for more until ctx ends.
	Follow func(ctx context.Context, after int64) iter.Seq2[hippad.Entry, error]
	Size   func() int64                             // number of entries in the log
	Header func(hippad.Report) *hippad.SyslogHeader // of a report of media syslog; nil if it has none
	Read   hippad.Reader                            // of what the log says about itself
	Note   func(context.Context, Notice) error      // makes an entry of a notice, and waits until it is durable; nil: nothing is said

	// Load returns what Save was given last, and nil if there is nothing. Either may be nil: then every start reads the whole log.
	Load func() ([]byte, error)
	Save func([]byte) error

	// SilentAfter is how long every reporter may be silent; 0: by its own habit. Silences has exceptions, by a reporter's
	// Principal.String, name or organisation. Origins beneath a reporter are always judged by habit.
	SilentAfter time.Duration
	Silences    map[string]time.Duration

	Now   func() time.Time
	Every time.Duration // between two looks for silence and gaps; 0: half a minute
	Log   *slog.Logger  // nil: nothing is logged

	mu      sync.Mutex
	known   known    // guarded by mu
	waiters []waiter // guarded by mu
}

// A waiter waits until so many entries are taken in.
type waiter struct {
	size int64
	done chan struct{}
}

// Run follows the log until ctx ends, and leaves a snapshot then. What is recorded about silence waits until the log is followed up
// to its end.
func (c *Completeness) Run(ctx context.Context) {
	c.restore()
	var wg sync.WaitGroup
	wg.Go(func() { c.follow(ctx) })
	wg.Go(func() { c.watch(ctx) })
	wg.Wait()
	c.save()
}

// follow takes entries in until ctx ends.
func (c *Completeness) follow(ctx context.Context) {
	for ctx.Err() == nil {
		for e, err := range c.Follow(ctx, c.followed()-1) {
			if err != nil {
				c.logger().Warn("completeness: follow the log", "error", err)
				break
			}
			c.take(e)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// followed is how many entries are taken in.
func (c *Completeness) followed() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.next
}

// take takes one entry in. What is parsed is parsed before the lock is taken.
func (c *Completeness) take(e hippad.Entry) {
	var h *hippad.SyslogHeader
	var own hippad.Event
	switch {
	case e.Destroyed:
	case e.Door == hippad.DoorSelf:
		own = c.Read(e.Report)
	case isSyslog(e.Media) && e.Fault != hippad.Stray:
		h = c.Header(e.Report)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &c.known
	if e.Index < k.next {
		return
	}
	switch {
	case e.Destroyed: // nothing is left of who sent it
	case e.Door == hippad.DoorSelf:
		k.own(e, own)
	default:
		k.entry(e, h)
	}
	k.next, k.newest = e.Index+1, e.Received
	if c.waiters != nil {
		c.waiters = slices.DeleteFunc(c.waiters, func(w waiter) bool {
			if k.next >= w.size {
				close(w.done)
			}
			return k.next >= w.size
		})
	}
}

// CatchUp waits until everything that is in the log now is taken in, or until ctx ends. Before Run it returns at once.
func (c *Completeness) CatchUp(ctx context.Context) {
	w := waiter{c.Size(), make(chan struct{})}
	c.mu.Lock()
	if c.known.next >= w.size || c.known.reporters == nil { // it does not run
		c.mu.Unlock()
		return
	}
	c.waiters = append(c.waiters, w)
	c.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiters = slices.DeleteFunc(c.waiters, func(x waiter) bool { return x.done == w.done })
	}
}

// watch looks for silence and for gaps, and saves, until ctx ends.
func (c *Completeness) watch(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(c.Every, checkEvery))
	defer tick.Stop()
	saved, size := c.Now(), c.Size()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Whoever was at the end of the log a moment ago is at its end as far as this matters; on the way there, what is long past
		// would look like silence.
		if c.followed() >= size {
			c.check(ctx)
		}
		size = c.Size()
		if now := c.Now(); now.Sub(saved) >= saveEvery {
			c.save()
			saved = now
		}
	}
}

// check says what there is to say now. What cannot be recorded is tried again at the next check.
func (c *Completeness) check(ctx context.Context) {
	c.mu.Lock()
	notices := c.known.judge(c.Now(), c.limitOf)
	c.mu.Unlock()
	if c.Note == nil {
		return
	}
	for _, n := range notices {
		if err := c.note(ctx, n); err != nil {
			c.logger().Warn("completeness: an entry could not be made", "activity", n.Activity, "error", err)
			return
		}
		c.mu.Lock()
		c.known.said(n, c.Now())
		c.mu.Unlock()
	}
}

func (c *Completeness) note(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	return c.Note(ctx, n)
}

// limitOf returns how long a source may be silent now, and its usual silence; 0 when nothing can be said. People and the operator
// report when they like.
func (c *Completeness) limitOf(s *source) (limit, usual time.Duration) {
	usual, ok := s.habit.usual(s.first, s.last)
	if ok {
		limit = usual + slack(usual)
	}
	if s.parent == nil {
		for _, name := range []string{s.who.String(), s.who.Name, s.who.Organisation} {
			if d, ok := c.Silences[name]; ok && name != "" {
				return d, usual
			}
		}
		if s.who.Kind == hippad.KindOperator || s.who.Kind == hippad.KindPerson {
			return 0, usual
		}
		if c.SilentAfter > 0 {
			return c.SilentAfter, usual
		}
	}
	return limit, usual
}

// restore begins with the snapshot, or with nothing.
func (c *Completeness) restore() {
	fresh := newKnown()
	if c.Load != nil {
		text, err := c.Load()
		if err == nil && text != nil {
			var k *known
			if k, err = decode(text); err == nil && k.next > c.Size() {
				err = fmt.Errorf("it knows %d entries of a log of %d", k.next, c.Size())
			}
			if err == nil {
				fresh = k
			}
		}
		if err != nil {
			c.logger().Warn("completeness: the snapshot is of no use; the log is read again", "error", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = *fresh
}

// save leaves a snapshot. Without it the next start takes longer.
func (c *Completeness) save() {
	if c.Save == nil {
		return
	}
	c.mu.Lock()
	text, err := c.known.encode()
	c.mu.Unlock()
	if err == nil {
		err = c.Save(text)
	}
	if err != nil {
		c.logger().Warn("completeness: save the snapshot", "error", err)
	}
}

func (c *Completeness) logger() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}
