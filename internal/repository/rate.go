package repository

import (
	"container/list"
	"context"
	"sync"

	"golang.org/x/time/rate"

	"hippad"
)

// Limits are how much may be reported in a second. Zero or less: no limit. A second's worth may come at once.
type Limits struct {
	ReporterReports, ReporterBytes float64 // of one reporter
	Reports, Bytes                 float64 // of all together
}

// maxGates bounds how many reporters have buckets of their own: whoever can connect can be a new one. The one that has been
// idle for longest gives way, and has a full bucket when it comes back.
const maxGates = 10_000

// A gate holds back what comes faster than Limits allow.
type gate struct {
	mu        sync.Mutex
	all       *buckets
	reporters map[[8]byte]*list.Element // of used; the key is hippad.Principal.Key
	used      list.List                 // of *reporterGate, the newest first
}

type reporterGate struct {
	key [8]byte
	*buckets
}

type buckets struct{ reports, bytes *rate.Limiter }

func newBuckets(reports, bytes float64) *buckets {
	bucket := func(perSecond float64) *rate.Limiter {
		if !(perSecond > 0) { // also not a number
			return nil
		}
		return rate.NewLimiter(rate.Limit(perSecond), int(max(1, min(perSecond, 1<<30))))
	}
	return &buckets{bucket(reports), bucket(bytes)}
}

// enter waits until a reporter may hand over so much. Kind Busy if that would be after the end of ctx.
func (g *gate) enter(ctx context.Context, l Limits, reporter [8]byte, reports, bytes int) error {
	if l == (Limits{}) {
		return nil
	}
	own, all := g.of(l, reporter)
	if err := own.wait(ctx, reports, bytes); err != nil {
		return hippad.Errorf(hippad.Busy, "this reporter sends more than the log takes of one in a second")
	}
	if err := all.wait(ctx, reports, bytes); err != nil {
		return hippad.Errorf(hippad.Busy, "there comes more than the log takes in a second")
	}
	return nil
}

// of returns the buckets of a reporter and those of all.
func (g *gate) of(l Limits, reporter [8]byte) (own, all *buckets) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all, g.reporters = newBuckets(l.Reports, l.Bytes), map[[8]byte]*list.Element{}
	}
	if e := g.reporters[reporter]; e != nil {
		g.used.MoveToFront(e)
		return e.Value.(*reporterGate).buckets, g.all
	}
	if len(g.reporters) >= maxGates {
		oldest := g.used.Back()
		delete(g.reporters, g.used.Remove(oldest).(*reporterGate).key)
	}
	n := &reporterGate{reporter, newBuckets(l.ReporterReports, l.ReporterBytes)}
	g.reporters[reporter] = g.used.PushFront(n)
	return n.buckets, g.all
}

func (b *buckets) wait(ctx context.Context, reports, bytes int) error {
	if err := waitFor(ctx, b.reports, reports); err != nil {
		return err
	}
	return waitFor(ctx, b.bytes, bytes)
}

// waitFor takes n from a bucket, in parts if it never holds so much.
func waitFor(ctx context.Context, l *rate.Limiter, n int) error {
	for l != nil && n > 0 {
		part := min(n, l.Burst())
		if err := l.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}
