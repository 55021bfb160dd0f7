package repository

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"hippad"
)

const (
	alertWindow   = time.Minute      // in which what repeats is counted
	alertRetry    = 5 * time.Second  // after the log did not take an alert
	alertPatience = 10 * time.Second // with the log
	maxTallies    = 1000             // of one principal and label each
	maxReason     = 300              // bytes
)

// Labels of the alerts that this package raises itself.
const (
	labelDenied  = "denied"  // somebody asked for what they may not
	labelForeign = "foreign" // a report in the name of another's site was kept
)

// others is who stands for everybody beyond maxTallies.
const others = "others"

// alerts counts what is to become alerts. Calling it costs a lock and a look into a map, so that whoever causes alerts cannot
// slow down what raises them.
type alerts struct {
	mu      sync.Mutex
	tallies map[alertKey]*tally
	wake    chan struct{} // capacity 1; made under mu
}

type alertKey struct {
	who   string // hippad.Principal.String, or others
	label string
}

type tally struct {
	who           hippad.Principal
	label, reason string    // of the first
	pending       int64     // that are in no entry yet
	since         time.Time // when the first of pending came, or the entry before was written
	begun         bool      // there is an entry about the first
}

// Alert counts a failed handshake, a failed authentication or a refusal, and returns at once. The first of an address and label
// is an entry as soon as Run comes to it; those that follow within a minute become one entry with their number. Beyond a thousand
// pairs of address and label they are counted together, as those of others. Label and reason must hold nothing of a body, and be
// of the program's own making.
func (r *Repository) Alert(addr net.Addr, label, reason string) {
	r.alert(hippad.Principal{Kind: hippad.KindAddress, ID: host(addr)}, label, reason)
}

// host is an address without port and zone.
func host(addr net.Addr) string {
	if addr == nil {
		return "unknown"
	}
	text := addr.String()
	if h, _, err := net.SplitHostPort(text); err == nil {
		text = h
	}
	text, _, _ = strings.Cut(text, "%")
	if ip := net.ParseIP(text); ip != nil {
		text = ip.String()
	}
	return cmp.Or(text, "unknown")
}

func (r *Repository) alert(who hippad.Principal, label, reason string) {
	now := r.Now()
	a := &r.alerts
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tallies == nil {
		a.tallies = map[alertKey]*tally{}
	}
	k := alertKey{who.String(), label}
	t := a.tallies[k]
	if t == nil && len(a.tallies) >= maxTallies {
		k = alertKey{others, ""}
		who, label, reason = r.Self, others, "from further addresses"
		t = a.tallies[k]
	}
	if t == nil {
		t = &tally{who: who, label: label, reason: strings.ToValidUTF8(reason[:min(len(reason), maxReason)], ""), since: now, begun: k.who == others}
		a.tallies[k] = t
	}
	t.pending++
	select {
	case a.wakeup() <- struct{}{}:
	default:
	}
}

// wakeup returns the channel that Run waits for. mu is held.
func (a *alerts) wakeup() chan struct{} {
	if a.wake == nil {
		a.wake = make(chan struct{}, 1)
	}
	return a.wake
}

// Run writes alerts until ctx ends, and then those that are left. Whoever raises alerts must have ended by then, and the ledger
// must be closed after it: what comes later is counted and not written.
func (r *Repository) Run(ctx context.Context) {
	a := &r.alerts
	a.mu.Lock()
	wake := a.wakeup()
	a.mu.Unlock()
	timer := time.NewTimer(alertWindow)
	defer timer.Stop()
	for {
		next := alertRetry
		if err := r.writeAlerts(ctx, false); err == nil {
			next = a.next(r.Now())
		} else if ctx.Err() == nil {
			r.logger().Warn("alerts wait for the log", "error", err)
			select { // not woken by each new one
			case <-ctx.Done():
			case <-time.After(alertRetry):
			}
		}
		timer.Reset(next)
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
			if err := r.writeAlerts(ctx, true); err != nil {
				r.logger().Error("alerts could not be written at the end", "number", a.waiting(), "error", err)
			}
			return
		}
	}
}

// next returns how long it is to the end of the first window.
func (a *alerts) next(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := alertWindow
	for _, t := range a.tallies {
		if !t.begun {
			return 0
		}
		next = min(next, max(0, t.since.Add(alertWindow).Sub(now)))
	}
	return next
}

// waiting is how many are in no entry.
func (a *alerts) waiting() (n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tallies {
		n += t.pending
	}
	return n
}

// writeAlerts writes what is due, or everything, in one piece.
func (r *Repository) writeAlerts(ctx context.Context, everything bool) error {
	now := r.Now()
	keys, written := r.alerts.due(now, everything)
	if len(keys) == 0 {
		return nil
	}
	events := make([]hippad.Event, len(written))
	for i, t := range written {
		events[i] = r.eventOf(t.who, t.note())
	}
	// What is given up half way may be in the log all the same, and would be counted twice.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), alertPatience)
	defer cancel()
	if _, err := r.report(ctx, events...); err != nil {
		return err
	}
	r.alerts.settle(keys, written, now)
	return nil
}

// due returns copies of the tallies of which an entry is to be written, and forgets those whose window ended without more.
func (a *alerts) due(now time.Time, everything bool) (keys []alertKey, due []tally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, t := range a.tallies {
		over := now.Sub(t.since) >= alertWindow
		switch {
		case t.pending == 0 && over:
			delete(a.tallies, k)
		case t.pending > 0 && (everything || over || !t.begun):
			keys = append(keys, k)
		}
	}
	// The order in which they came, as far as it is known.
	slices.SortFunc(keys, func(x, y alertKey) int {
		return cmp.Or(a.tallies[x].since.Compare(a.tallies[y].since), cmp.Compare(x.who, y.who), cmp.Compare(x.label, y.label))
	})
	for _, k := range keys {
		due = append(due, *a.tallies[k])
	}
	return keys, due
}

// settle takes what is in entries now off the tallies.
func (a *alerts) settle(keys []alertKey, written []tally, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, k := range keys {
		t := a.tallies[k]
		t.pending -= written[i].pending
		t.since, t.begun = now, true
	}
}

// note is what the entry about a tally says. Failures of refusing are DICOM's use of a restricted function, all others node
// authentication.
func (t tally) note() Note {
	subtype := NodeAuthentication
	if t.label == labelDenied || t.label == labelForeign {
		subtype = RestrictedFunction
	}
	text := t.label
	if t.reason != "" {
		text += ": " + t.reason
	}
	if t.pending > 1 || t.label == others {
		text += fmt.Sprintf("; %d times since %s", t.pending, t.since.UTC().Format(time.RFC3339))
	}
	n := SecurityAlert(subtype, text)
	n.Outcome = MinorFailure
	return n
}

func (r *Repository) logger() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}
