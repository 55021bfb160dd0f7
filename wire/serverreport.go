package wire

import (
	"context"
	"errors"
	"fmt"
	"math"

	"hippad"
)

// An answer is a REPORT frame between the reader and the answering goroutine.
type answer struct {
	serial uint32
	size   int64       // bytes held
	count  int         // reports
	wait   hippad.Wait // nil if err is set
	err    error
}

// errRefused stands for a frame that comes after one that was answered BUSY.
var errRefused = hippad.Errorf(hippad.Busy, "an earlier frame was refused")

// report reads one REPORT frame and hands it to the session.
func (c *serverConn) report(ctx context.Context, n int64) error {
	if int(c.waiting.Add(1)) > c.limits.Window {
		c.waiting.Add(-1)
		return hippad.Errorf(hippad.Invalid, "more than %d frames are unanswered", c.limits.Window)
	}
	if n > int64(c.limits.MaxFrame) {
		return c.oversize(n)
	}
	c.held.acquire(n)
	p, err := c.in.payload(n)
	if err != nil {
		return err
	}
	m, err := parseReport(p, c.limits.MaxReports)
	if err != nil && hippad.KindOf(err) != hippad.TooLarge {
		return err
	}
	if m.first != 0 && c.stream == (hippad.StreamID{}) {
		return hippad.Errorf(hippad.Invalid, "a numbered frame in a connection without a stream")
	}
	a := answer{serial: m.serial, size: n, count: len(m.reports), err: err}
	if c.turnedAway(m.serial) {
		a.err = errRefused
	}
	if a.err == nil {
		a.err = c.check(m)
	}
	if a.err == nil {
		a.wait, a.err = c.hand(ctx, m)
	}
	c.answers <- a // never blocks: it has room for a whole window
	return nil
}

// oversize answers a REPORT frame that is too large to be read, and ends the connection.
func (c *serverConn) oversize(n int64) error {
	// MaxFrame is more than the overhead, so a serial is there; what follows it is left in the connection.
	p, err := c.in.payload(4)
	if err != nil {
		return err
	}
	limit := int64(c.limits.MaxFrame)
	tooLarge := hippad.Errorf(hippad.TooLarge, "a frame of %d bytes, at most %d are taken", n, limit)
	if c.s.Refuse != nil {
		c.s.Refuse(c.session, n, limit)
	}
	cur := cursor{b: p}
	c.answers <- answer{serial: cur.u32(), err: tooLarge}
	return tooLarge
}

// turnedAway tells whether the frame must be answered BUSY unseen, because it comes between a BUSY and the repetition
// of the frame that was refused.
func (c *serverConn) turnedAway(serial uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusing && c.known && serial == c.refused {
		c.refusing, c.known = false, false
	}
	return c.refusing
}

// check applies the rules that concern a report by itself.
func (c *serverConn) check(m report) error {
	if len(m.reports) == 0 {
		return hippad.Errorf(hippad.Invalid, "a frame without reports")
	}
	if m.first != 0 && m.first > math.MaxUint64-uint64(len(m.reports)) {
		return hippad.Errorf(hippad.Invalid, "the numbers of the stream overflow")
	}
	var err error
	for i, r := range m.reports {
		switch {
		case len(r.Body) > c.limits.MaxReport:
			err = hippad.Errorf(hippad.TooLarge, "report %d of the frame has %d bytes, at most %d are taken", i+1, len(r.Body), c.limits.MaxReport)
			if c.s.Refuse != nil {
				c.s.Refuse(c.session, int64(len(r.Body)), int64(c.limits.MaxReport))
			}
		case err != nil:
		case len(r.Media) > hippad.MaxMedia:
			err = hippad.Errorf(hippad.Invalid, "the media type of report %d of the frame is longer than %d bytes", i+1, hippad.MaxMedia)
		case r.Fault > hippad.Stray:
			err = hippad.Errorf(hippad.Invalid, "report %d of the frame has an unknown fault", i+1)
		}
	}
	return err
}

// hand gives the frame to the session, which may take a while to find room for it.
func (c *serverConn) hand(ctx context.Context, m report) (hippad.Wait, error) {
	ctx, cancel := context.WithTimeout(ctx, or(c.s.Busy, defaultBusy))
	defer cancel()
	f := hippad.Frame{Reports: m.reports}
	if m.first != 0 {
		f.Stream, f.First = c.stream, m.first
	}
	wait, err := c.session.Record(ctx, f)
	if err == nil {
		return wait, nil
	}
	if ctx.Err() != nil && hippad.KindOf(err) == hippad.Internal && errors.Is(err, ctx.Err()) {
		err = hippad.Errorf(hippad.Busy, "no room: %w", err) // a session that says nothing but that its time was over
	}
	if k := hippad.KindOf(err); k == hippad.Busy || k == hippad.Unavailable {
		// From here on, and not only when the answer leaves: the next frame must not overtake this one.
		c.mu.Lock()
		c.refusing = true
		c.mu.Unlock()
	}
	return nil, err
}

// answer answers REPORT frames in their order until the reader has ended. After an internal error it only drains.
func (c *serverConn) answer(ctx context.Context) {
	failed := false
	for a := range c.answers {
		var m message
		if !failed {
			var got hippad.Ack
			if a.err == nil {
				got, a.err = a.wait(ctx)
			}
			if m = c.verdict(a, got); m == nil {
				failed = true
			}
		}
		c.waiting.Add(-1)
		c.held.release(a.size)
		if m != nil {
			c.out.send(m) // if it fails, the reader finds out by itself
		}
	}
}

// verdict returns the answer to a frame: this door's table from kinds to frames. It is nil if the connection has to end
// without one.
func (c *serverConn) verdict(a answer, got hippad.Ack) message {
	if a.err == nil {
		sum := 0
		for _, r := range got.Ranges {
			sum += r.Count
		}
		if sum == a.count {
			return ack{a.serial, got.Ranges, got.Checkpoint}
		}
		a.err = fmt.Errorf("the log acknowledged %d of %d reports", sum, a.count)
	}
	kind := hippad.KindOf(a.err)
	if kind == hippad.Internal || kind == hippad.NotFound {
		c.log.Error("a frame could not be recorded", "error", a.err)
		c.stop(&hippad.Error{Kind: hippad.Internal, Message: hippad.Internal.String(), Cause: a.err})
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if kind == hippad.Busy || kind == hippad.Unavailable || c.refusing && c.known {
		if !c.known {
			c.refusing, c.known, c.refused = true, true, a.serial
		}
		return busy{a.serial, uint32(or(c.s.Retry, defaultRetry).Milliseconds())}
	}
	return reject{a.serial, statusOf(a.err)}
}
