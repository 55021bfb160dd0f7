package forward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"hippad"
	"hippad/wire"
)

// patience is how long another hippad may leave a frame unanswered: its client repeats for ever what it has no room for.
const patience = 30 * time.Second

// A log is a connection to another hippad.
type log struct {
	r      *runner
	client *wire.Client
}

func (r *runner) dialHippad(ctx context.Context) (destination, error) {
	config, err := r.rule.tls()
	if err != nil {
		return nil, hippad.Errorf(hippad.Unavailable, "%w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	client, err := wire.Dial(ctx, r.rule.url.Host, config, wire.ClientOptions{Stream: r.cur.stream(), Software: r.f.Software})
	if err != nil {
		return nil, err
	}
	return &log{r, client}, nil
}

// send numbers the reports: the first has the number that comes after the last settled one. What is refused as a frame is tried
// in halves, until the report that is the reason is alone.
func (l *log) send(ctx context.Context, items []item) (done int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limits := l.client.Limits()
	most := limits.MaxReports
	for done < len(items) {
		n := l.frame(items[done:], min(most, limits.MaxReports), limits.MaxFrame)
		err := l.record(ctx, items[done:done+n], l.r.cur.Number+1+uint64(done))
		switch kind := hippad.KindOf(err); {
		case err == nil:
			done += n
			most = min(2*most, limits.MaxReports)
		case kind == hippad.Conflict:
			// It has forgotten what it had acknowledged, or takes us for somebody else. What is unsure is sent under new numbers.
			l.r.f.Log.Warn("the destination does not continue the stream: it begins anew", "rule", l.r.rule.Name, "error", err)
			l.r.cur.renumber()
			return done, errors.Join(err, l.r.save())
		case kind != hippad.Invalid && kind != hippad.TooLarge:
			return done, err
		case n > 1:
			most = n / 2
		case items[done].notice:
			return done, hippad.Errorf(hippad.Unavailable, "the destination refuses even the notice in place of a report")
		default:
			if err := l.withhold(&items[done], kind); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// frame returns how many of the reports make a frame.
func (l *log) frame(items []item, most, bytes int) int {
	size := 16
	for i, it := range items {
		if size += 6 + len(it.media) + len(it.payload); i > 0 && (i == most || size > bytes) {
			return i
		}
	}
	return len(items)
}

func (l *log) record(ctx context.Context, items []item, first uint64) error {
	f := hippad.Frame{Stream: l.r.cur.stream(), First: first}
	for _, it := range items {
		r := hippad.Report{Media: it.media, Fault: it.Fault, Body: it.payload}
		if it.notice || r.Fault > hippad.Stray { // whether a source is foreign there, the other log decides
			r.Fault = hippad.NoFault
		}
		f.Reports = append(f.Reports, r)
	}
	stalled := hippad.Errorf(hippad.Unavailable, "the destination answers nothing: it may have no room")
	ctx, cancel := context.WithTimeoutCause(ctx, patience, stalled)
	defer cancel()
	wait, err := l.client.Record(ctx, f)
	var ack hippad.Ack
	if err == nil {
		ack, err = wait(ctx)
	}
	if err != nil {
		if context.Cause(ctx) == error(stalled) {
			return stalled
		}
		return err
	}
	sum := 0
	for _, g := range ack.Ranges {
		sum += g.Count
	}
	if sum != len(items) {
		return fmt.Errorf("the destination acknowledged %d of %d reports", sum, len(items))
	}
	return nil
}

// withhold binds the number of a report that was refused to a notice. The number cannot be left out, which would be a gap, nor
// given to the next report, because a copy of the frame may be on its way in an older connection. So it is on the disk before
// the notice is sent.
func (l *log) withhold(it *item, kind hippad.Kind) error {
	l.r.refuse(it, "the other log says: "+kind.String())
	it.notice = true
	l.r.prepare(it)
	l.r.cur.Withheld = append(l.r.cur.Withheld, it.Index)
	slices.Sort(l.r.cur.Withheld)
	return l.r.save()
}

func (l *log) sure() (int64, error) {
	select {
	case <-l.client.Done():
		return math.MaxInt64, errClosedThere
	default:
		return math.MaxInt64, nil
	}
}

func (l *log) close(gently bool) {
	if gently {
		_ = l.client.Close()
		return
	}
	go l.client.Close() // which waits some seconds for a goodbye that may not come
}
