package wire

import (
	"context"
	"time"

	"hippad"
)

const (
	defaultBusy  = 5 * time.Second
	defaultRetry = time.Second
)

// A request is a QUERY or PROVE that has not ended.
type request struct {
	cancel context.CancelCauseFunc
	credit int64         // bytes of ENTRY that may be sent; guarded by serverConn.mu
	more   chan struct{} // signalled when credit has grown
}

// Why a request was ended before its time.
var (
	errCancelled = hippad.Errorf(hippad.Unavailable, "cancelled")
	errClosing   = hippad.Errorf(hippad.Unavailable, "the connection is closing")
)

// begin starts a request in its own goroutine.
func (c *serverConn) begin(base context.Context, id, credit uint32, run func(context.Context, *request)) error {
	ctx, cancel := context.WithCancelCause(base)
	r := &request{cancel: cancel, credit: int64(credit), more: make(chan struct{}, 1)}
	c.mu.Lock()
	taken, full := c.requests[id] != nil, len(c.requests) >= maxOpen
	if !taken && !full {
		c.requests[id] = r
	}
	c.mu.Unlock()
	if taken {
		cancel(nil)
		return hippad.Errorf(hippad.Invalid, "request %d has not ended yet", id)
	}
	if full {
		cancel(nil)
		return c.out.send(end{id, status{codeBusy, "too many open requests", ""}})
	}
	c.open.Go(func() {
		defer cancel(nil)
		run(ctx, r)
	})
	return nil
}

// end ends a request with m. The id is free before the client can know.
func (c *serverConn) end(id uint32, m message) {
	c.mu.Lock()
	delete(c.requests, id)
	c.mu.Unlock()
	c.out.send(m)
}

func (c *serverConn) more(m more) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.requests[m.id]; r != nil {
		r.credit = min(r.credit+int64(m.credit), 1<<40)
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
}

func (c *serverConn) cancel(m cancel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.requests[m.id]; r != nil {
		r.cancel(errCancelled)
	}
}

func (c *serverConn) cancelAll(cause error) {
	why := errClosing
	if cause == errShutdown {
		why = hippad.Errorf(hippad.Unavailable, "%s", cause.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.requests {
		r.cancel(why)
	}
}

// spend waits until the client has given credit, and takes n bytes of it.
func (c *serverConn) spend(ctx context.Context, r *request, n int) bool {
	for ctx.Err() == nil {
		c.mu.Lock()
		if r.credit > 0 {
			r.credit -= int64(n)
			c.mu.Unlock()
			return true
		}
		c.mu.Unlock()
		select {
		case <-r.more:
		case <-ctx.Done():
		}
	}
	return false
}

// search answers a QUERY.
func (c *serverConn) search(ctx context.Context, r *request, id uint32, q hippad.Query) {
	c.end(id, end{id, c.result(ctx, c.entries(ctx, r, id, q))})
}

// entries sends the entries that answer q.
func (c *serverConn) entries(ctx context.Context, r *request, id uint32, q hippad.Query) error {
	if err := checkQuery(q); err != nil {
		return err
	}
	for i, group := range q.Terms {
		for k, t := range group {
			q.Terms[i][k] = hippad.NewTerm(t.Field, t.Value)
		}
	}
	for i, f := range q.Filters {
		q.Filters[i] = hippad.NewFilter(f.Op, f.Field, f.Values...)
	}
	for e, err := range c.session.Search(ctx, q) {
		if err != nil {
			return err
		}
		m := entry{id, e}
		n := m.size()
		if n > c.peerFrame {
			return hippad.Errorf(hippad.TooLarge, "entry %d is larger than the frames that the client takes", e.Index)
		}
		if !c.spend(ctx, r, n) {
			return context.Cause(ctx)
		}
		if err := c.out.send(m); err != nil {
			return err
		}
	}
	return nil
}

// prove answers a PROVE.
func (c *serverConn) prove(ctx context.Context, id uint32, index int64) {
	receipt, err := c.session.Receipt(ctx, index)
	if err == nil && len(receipt)+8 > c.peerFrame {
		err = hippad.Errorf(hippad.TooLarge, "the receipt is larger than the frames that the client takes")
	}
	if err != nil {
		c.end(id, end{id, c.result(ctx, err)})
		return
	}
	c.end(id, proof{id, receipt})
}

// result returns the status of a request that ended with err.
func (c *serverConn) result(ctx context.Context, err error) status {
	if err == nil {
		return status{}
	}
	// Whatever a session says when its context ends, the reason is why it ended.
	if why := context.Cause(ctx); why != nil {
		err = why
	}
	s := statusOf(err)
	if err == errCancelled {
		s.code = codeCancelled
	}
	if s.code == codeInternal {
		c.log.Error("a request failed", "error", err)
	}
	return s
}
