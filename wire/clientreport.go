package wire

import (
	"context"
	"math"
	"time"

	"hippad"
)

// A pending frame has no final answer yet.
type pending struct {
	frame report
	done  chan struct{} // closed when ack and err are set
	ack   hippad.Ack
	err   error
}

func (p *pending) finish(ack hippad.Ack, err error) {
	p.ack, p.err = ack, err
	p.frame.reports = nil
	close(p.done)
}

// Record sends a frame. It blocks while as many frames as the server allows are unanswered. The frame must be within
// Limits: it is never split. The reports, bodies included, must not be changed before Wait has returned. A frame that
// the server has no room for is sent again, in order, without the caller noticing.
func (c *Client) Record(ctx context.Context, f hippad.Frame) (hippad.Wait, error) {
	if err := c.check(f); err != nil {
		return nil, err
	}
	select {
	case c.window <- struct{}{}:
	default:
		select {
		case c.window <- struct{}{}:
		case <-c.over:
			return nil, c.lost()
		case <-ctx.Done():
			return nil, hippad.Errorf(hippad.Busy, "wait for room: %w", ctx.Err())
		}
	}
	p := &pending{frame: report{reports: f.Reports}, done: make(chan struct{})}
	if f.Stream != (hippad.StreamID{}) {
		p.frame.first = f.First
	}
	if err := c.queue(p); err != nil {
		<-c.window
		return nil, err
	}
	return func(ctx context.Context) (hippad.Ack, error) {
		select {
		case <-p.done:
			return p.ack, p.err
		default:
		}
		select {
		case <-p.done:
			return p.ack, p.err
		case <-ctx.Done():
			return hippad.Ack{}, hippad.Errorf(hippad.Unavailable, "wait for the log: %w", ctx.Err())
		}
	}, nil
}

// check applies the limits of this connection.
func (c *Client) check(f hippad.Frame) error {
	size := frameOverhead
	for _, r := range f.Reports {
		if len(r.Media) > hippad.MaxMedia {
			return hippad.Errorf(hippad.Invalid, "a media type is longer than %d bytes", hippad.MaxMedia)
		}
		if len(r.Body) > c.limits.MaxReport {
			return hippad.Errorf(hippad.TooLarge, "a report of %d bytes, the log takes at most %d", len(r.Body), c.limits.MaxReport)
		}
		size += reportOverhead + len(r.Media) + len(r.Body)
	}
	switch {
	case len(f.Reports) == 0:
		return hippad.Errorf(hippad.Invalid, "a frame without reports")
	case len(f.Reports) > c.limits.MaxReports:
		return hippad.Errorf(hippad.TooLarge, "%d reports in a frame, the log takes at most %d", len(f.Reports), c.limits.MaxReports)
	case size > c.limits.MaxFrame:
		return hippad.Errorf(hippad.TooLarge, "a frame of %d bytes, the log takes at most %d", size, c.limits.MaxFrame)
	case f.Stream == (hippad.StreamID{}):
		return nil
	case f.Stream != c.stream:
		// Not Invalid: nothing is wrong with the reports, and a reporter must not give them up for this.
		return hippad.Errorf(hippad.Conflict, "the frame belongs to another stream than the connection")
	case f.First == 0 || f.First > math.MaxUint64-uint64(len(f.Reports)):
		return hippad.Errorf(hippad.Invalid, "the numbers of a stream begin with 1 and do not overflow")
	}
	return nil
}

// lost returns why the connection is over.
func (c *Client) lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// queue gives p its place: on the wire or, while the server is busy, behind the frames that wait to be repeated.
func (c *Client) queue(p *pending) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	switch {
	case c.err != nil:
		defer c.mu.Unlock()
		return c.err
	case c.closing:
		defer c.mu.Unlock()
		return errClosed
	}
	c.serial++
	p.frame.serial = c.serial
	if c.paused {
		c.held = append(c.held, p)
		c.mu.Unlock()
		return nil
	}
	c.inflight = append(c.inflight, p)
	m := p.frame // a copy, because an answer, or the loss of the connection, takes the reports away
	c.mu.Unlock()
	c.out.send(m) // if it fails the connection is over, and p ends with it
	return nil
}

// answered takes the oldest frame off inflight. It is called with mu held.
func (c *Client) answered(serial uint32) (*pending, error) {
	if len(c.inflight) == 0 || c.inflight[0].frame.serial != serial {
		return nil, hippad.Errorf(hippad.Invalid, "the server answered frame %d out of order", serial)
	}
	p := c.inflight[0]
	c.inflight[0] = nil
	c.inflight = c.inflight[1:]
	return p, nil
}

func (c *Client) acked(m ack) error {
	c.mu.Lock()
	p, err := c.answered(m.serial)
	if err != nil {
		c.mu.Unlock()
		return err
	}
	var sum int64
	for _, r := range m.ranges {
		sum += int64(r.Count)
	}
	if sum != int64(len(p.frame.reports)) {
		c.inflight = append([]*pending{p}, c.inflight...)
		c.mu.Unlock()
		return hippad.Errorf(hippad.Invalid, "the server acknowledged %d of %d reports", sum, len(p.frame.reports))
	}
	c.resumeLater()
	c.mu.Unlock()
	p.finish(hippad.Ack{Ranges: m.ranges, Checkpoint: m.checkpoint}, nil)
	<-c.window
	return nil
}

func (c *Client) rejected(m reject) error {
	c.mu.Lock()
	p, err := c.answered(m.serial)
	if err != nil {
		c.mu.Unlock()
		return err
	}
	c.resumeLater()
	c.mu.Unlock()
	p.finish(hippad.Ack{}, m.status.err())
	<-c.window
	return nil
}

const (
	shortestRetry = 10 * time.Millisecond
	longestRetry  = time.Minute
)

// refuse keeps a frame that was answered BUSY, and stops sending.
func (c *Client) refuse(m busy) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.answered(m.serial)
	if err != nil {
		return err
	}
	c.refused = append(c.refused, p)
	c.paused = true
	retry := time.Duration(m.retry) * time.Millisecond
	c.retry = max(c.retry, min(max(retry, shortestRetry), longestRetry))
	c.resumeLater()
	return nil
}

// resumeLater starts the wait before the repetition, as soon as nothing is unanswered. It is called with mu held.
func (c *Client) resumeLater() {
	if c.paused && len(c.inflight) == 0 {
		time.AfterFunc(c.retry, c.resume)
		c.retry = 0
	}
}

// resume sends the refused frames again, and then those that have come since. When the server is busy again meanwhile, the
// rest stays held: it is later in order than everything that can be refused.
func (c *Client) resume() {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	queue := append(c.refused, c.held...)
	c.refused, c.held, c.paused = nil, nil, false
	for i, p := range queue {
		if c.err != nil {
			// fail has not seen these: they were in nobody's list while mu was free.
			for _, p := range queue[i:] {
				p.finish(hippad.Ack{}, c.err)
			}
			return
		}
		if c.paused {
			c.held = append(queue[i:len(queue):len(queue)], c.held...)
			return
		}
		c.inflight = append(c.inflight, p)
		m := p.frame
		c.mu.Unlock()
		c.out.send(m)
		c.mu.Lock()
	}
}
