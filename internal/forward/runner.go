package forward

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"hippad"
)

const (
	tick       = 250 * time.Millisecond
	saveEvery  = time.Second           // how often a cursor is written that only saves repetitions
	scanEvery  = 5 * time.Second       // how often one is written that only saves reading
	gather     = 50 * time.Millisecond // how long a batch for another hippad may grow: each costs a synced write
	tellEvery  = time.Minute           // how often refusals become an entry
	stopWithin = 5 * time.Second       // what the end of the server leaves for a goodbye
)

// A destination is one connection, or what stands for it. Only one goroutine uses it.
type destination interface {
	// send hands over reports, in order, and returns how many it is done with: handed over, or refused for good, of which it has
	// told the runner. They are all of them if err is nil.
	send(ctx context.Context, items []item) (done int, err error)
	// sure returns up to which entry what send was done with has arrived as well, and whether the connection is over.
	sure() (upto int64, lost error)
	// close ends the connection. Gently, it gives the other side a moment to confirm what was sent; sure may be asked after.
	close(gently bool)
}

// A temporaryError is what may be different the next time.
type temporaryError struct {
	error
	after time.Duration // what the destination asks to wait; 0: it does not say
}

// A runner follows one rule.
type runner struct {
	f     *Forwarder
	rule  Rule
	reads bool // some match needs the event
	cur   *cursor
	dial  func(context.Context) (destination, error)
	pace  *rate.Limiter
	sent  ring
	pause backoff

	saved time.Time // when the cursor was last written
	dirty bool      // it has moved since
	moved bool      // it has moved over something that was sent
	told  time.Time // when refusals were last made an entry

	refusals int64 // by this connection, of reports that are not settled yet

	mu     sync.Mutex
	status Status
}

func newRunner(f *Forwarder, rule Rule, c *cursor) *runner {
	r := &runner{f: f, rule: rule, cur: c, sent: ring{from: map[[16]byte][8]byte{}}}
	r.status = Status{Name: rule.Name, To: rule.To, State: StateOK, Next: c.After + 1, Refused: c.Refused}
	r.reads = needsEvent(rule.Match)
	for _, q := range append(append([]hippad.Query{}, rule.Peers...), f.Config.forwarders...) {
		r.reads = r.reads || needsEvent(q)
	}
	if rule.Rate > 0 {
		r.pace = rate.NewLimiter(rate.Limit(rule.Rate), max(1, int(rule.Rate/10)))
	}
	switch rule.kind {
	case kindHippad:
		r.dial = r.dialHippad
	case kindFHIR:
		r.dial = r.dialFHIR
	case kindSyslogUDP:
		r.dial = r.dialUDP
	default:
		r.dial = r.dialTLS
	}
	return r
}

// needsEvent tells whether a query asks for more than where an entry came from, which costs the reading of the report.
func needsEvent(q hippad.Query) bool {
	if len(q.Filters) > 0 || !q.From.IsZero() || !q.To.IsZero() || len(q.Times) > 0 {
		return true
	}
	for _, any := range q.Terms {
		for _, t := range any {
			switch t.Field {
			case hippad.FieldReporter, hippad.FieldOrganisation, hippad.FieldDoor, hippad.FieldMedia:
			default:
				return true
			}
		}
	}
	return false
}

// run follows the rule until ctx ends.
func (r *runner) run(ctx context.Context) {
	for ctx.Err() == nil {
		before := r.settled()
		err := r.attempt(ctx)
		if ctx.Err() != nil {
			break
		}
		if r.settled() != before {
			r.pause.reset()
		}
		r.failing(err)
		var t temporaryError
		errors.As(err, &t)
		if !r.pause.wait(ctx, t.after) {
			break
		}
	}
	if r.dirty {
		if err := r.save(); err != nil {
			r.f.Log.Error("forward", "rule", r.rule.Name, "error", err)
		}
	}
}

// settled returns the last entry that is settled, as the status has it.
func (r *runner) settled() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.Next
}

// failing notes why the rule does not go on.
func (r *runner) failing(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cause := causeOf(err)
	if r.status.State == StateOK || r.status.Cause != cause {
		r.f.Log.Warn("forwarding waits", "rule", r.rule.Name, "to", r.rule.To, "cause", cause, "error", err)
	}
	if r.status.State == StateOK {
		r.status.State, r.status.Since = StateRetrying, time.Now().UTC()
	}
	r.status.Cause = cause
}

// causeOf is an error in words that a status may show: those of a kinded error, or of the network. None quotes a report.
func causeOf(err error) string {
	var kinded *hippad.Error
	if errors.As(err, &kinded) && kinded.Kind != hippad.Internal {
		return kinded.Message
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	return text[:min(len(text), 300)]
}

func (r *runner) working() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status.State != StateOK {
		r.f.Log.Info("forwarding goes on", "rule", r.rule.Name, "to", r.rule.To)
		r.status.State, r.status.Since, r.status.Cause = StateOK, time.Time{}, ""
	}
}

// attempt forwards from the cursor on, until something fails.
func (r *runner) attempt(ctx context.Context) (err error) {
	if err := r.recordRule(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	feed := newFeed(r.cur.After)
	var reader sync.WaitGroup
	after, plan, withheld := r.cur.After, append([]int64{}, r.cur.Plan...), append([]int64{}, r.cur.Withheld...)
	reader.Go(func() { feed.fill(ctx, r, after, plan, withheld) })
	a := &attempt{runner: r, feed: feed}
	defer func() {
		gently := ctx.Err() != nil
		cancel()
		reader.Wait()
		if a.d != nil {
			a.d.close(gently)
			_ = a.confirm() // what is not sure is sent again
		}
	}()
	return a.run(ctx)
}

// recordRule sees to it that the log says what is forwarded before it is.
func (r *runner) recordRule(ctx context.Context) error {
	if r.cur.Rule == r.rule.fingerprint {
		return nil
	}
	what := "new"
	if r.cur.Rule != "" {
		what = "changed"
	}
	if err := r.f.Configured(ctx, fmt.Sprintf("forwarding rule %q: %s: %s, from entry %d on", r.rule.Name, what, r.rule, r.cur.After+1)); err != nil {
		return fmt.Errorf("record the rule: %w", err)
	}
	r.cur.Rule = r.rule.fingerprint
	return r.save()
}

func (r *runner) save() error {
	if err := r.cur.save(); err != nil {
		return err
	}
	r.saved, r.dirty, r.moved = time.Now(), false, false
	return nil
}

// saveSometimes writes the cursor when what a crash would repeat is worth it.
func (r *runner) saveSometimes() error {
	age := time.Since(r.saved)
	if r.dirty && (age >= scanEvery || r.moved && age >= saveEvery) {
		return r.save()
	}
	return nil
}

// tell makes an entry of what was refused: of the first at once, of the rest once a minute.
func (r *runner) tell(ctx context.Context) error {
	u := r.cur.Untold
	if u.Count == 0 || time.Since(r.told) < tellEvery {
		return nil
	}
	where := fmt.Sprintf("entry %d", u.First)
	if u.Count > 1 {
		where = fmt.Sprintf("%d reports, entries %d to %d", u.Count, u.First, u.Last)
	}
	if err := r.f.Refused(ctx, fmt.Sprintf("forwarding rule %q: %s refused for good: %s: %s", r.rule.Name, r.rule.To, where, u.Reason)); err != nil {
		return fmt.Errorf("record what was refused: %w", err)
	}
	r.told, r.cur.Untold = time.Now(), tally{}
	return r.save()
}

// count changes the status.
func (r *runner) count(change func(*Status)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status)
}

// refuse counts a report that the destination will never take. What the log itself has said is only counted: an entry about it
// could be refused in its turn, for ever.
func (r *runner) refuse(it *item, reason string) {
	r.refusals++
	r.cur.Refused++
	if it.Door != hippad.DoorSelf {
		r.cur.untold(it.Index, reason)
	}
	r.dirty = true
	r.f.Log.Warn("a report is refused for good", "rule", r.rule.Name, "entry", it.Index, "reason", reason)
	r.count(func(s *Status) { s.Refused = r.cur.Refused })
}
