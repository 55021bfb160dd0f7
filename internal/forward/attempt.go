package forward

import (
	"context"
	"time"

	"hippad"
)

// An attempt is one connection to the destination, made when there is something to send, with the feed before it.
type attempt struct {
	*runner
	feed *feed
	d    destination
	open []sending // handed over and not sure, in order
}

// A sending is a batch that was handed over. Everything up to upto is settled with it.
type sending struct {
	last   int64 // the last entry that was sent
	upto   int64
	count  int
	oldest time.Time // when the log took the first
}

func (a *attempt) run(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			if err := a.beat(ctx); err != nil {
				return err
			}
			continue
		case <-a.feed.ready:
		}
		if a.rule.kind == kindHippad && !a.feed.full() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(gather):
			}
		}
		items, upto, passed, err := a.feed.take()
		a.count(func(s *Status) { s.Destroyed += passed.destroyed; s.Returned += passed.returned })
		if err != nil {
			return err
		}
		if err := a.batch(ctx, items, upto); err != nil {
			return err
		}
		if err := a.beat(ctx); err != nil {
			return err
		}
	}
}

// beat does what is due now and then.
func (a *attempt) beat(ctx context.Context) error {
	if err := a.confirm(); err != nil {
		return err
	}
	if err := a.tell(ctx); err != nil {
		return err
	}
	return a.saveSometimes()
}

// batch sends what the feed has read.
func (a *attempt) batch(ctx context.Context, items []item, upto int64) error {
	if len(items) == 0 {
		a.pass(upto)
		return nil
	}
	oldest := items[0].Received
	if len(a.open) > 0 {
		oldest = a.open[0].oldest
	}
	a.count(func(s *Status) { s.Oldest = oldest })
	if err := a.plan(items); err != nil {
		return err
	}
	for len(items) > 0 {
		if a.d == nil {
			d, err := a.dial(ctx)
			if err != nil {
				return err
			}
			a.d = d
		}
		n := len(items)
		if a.pace != nil {
			n = min(n, a.pace.Burst())
			if err := a.pace.WaitN(ctx, n); err != nil {
				return err
			}
		}
		done, err := a.d.send(ctx, items[:n])
		if done > 0 {
			s := sending{last: items[done-1].Index, upto: items[done-1].Index, oldest: items[0].Received, count: done}
			if done == len(items) {
				s.upto = upto
			}
			a.open = append(a.open, s)
		}
		if e := a.confirm(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

// pass moves over entries that are none of the rule's business.
func (a *attempt) pass(upto int64) {
	if n := len(a.open); n > 0 {
		a.open[n-1].upto = upto
		return
	}
	a.settle(upto)
	a.working()
}

func (a *attempt) settle(upto int64) {
	a.cur.settle(upto)
	a.dirty = true
	oldest := time.Time{}
	if len(a.open) > 0 {
		oldest = a.open[0].oldest
	}
	a.count(func(s *Status) { s.Next, s.Oldest = a.cur.After+1, oldest })
}

// confirm settles what has arrived, and finds out whether the connection is lost. One that ends when nothing is open is made
// again when it is needed.
func (a *attempt) confirm() error {
	if a.d == nil {
		return nil
	}
	upto, lost := a.d.sure()
	for len(a.open) > 0 && a.open[0].last <= upto {
		s := a.open[0]
		a.open = a.open[1:]
		a.count(func(st *Status) { st.Delivered += int64(s.count) - a.refusals; a.refusals = 0 })
		a.moved = true
		a.settle(s.upto)
		a.working()
	}
	if lost == nil {
		return nil
	}
	a.d.close(false)
	a.d = nil
	if len(a.open) > 0 {
		return lost
	}
	return nil
}

// plan binds the reports to their numbers, on the disk, before another hippad sees them.
func (a *attempt) plan(items []item) error {
	if a.rule.kind != kindHippad {
		return nil
	}
	plan := a.cur.Plan
	for _, it := range items {
		if len(plan) == 0 || it.Index > plan[len(plan)-1] {
			plan = append(plan, it.Index)
		}
	}
	if plan[0] != items[0].Index {
		return hippad.Errorf(hippad.Internal, "entry %d has a number and is not in the log any more", plan[0])
	}
	if len(plan) == len(a.cur.Plan) {
		return nil
	}
	a.cur.Plan = plan
	return a.save()
}
