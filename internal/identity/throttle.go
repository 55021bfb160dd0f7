package identity

import (
	"context"
	"sync"
	"time"

	"hippad"
)

// ThrottleOptions say how a Throttle counts. Zero fields have the defaults named.
type ThrottleOptions struct {
	Now      func() time.Time // time.Now
	Failures int              // how many are free; 5
	Lock     time.Duration    // how long a key is locked then; 1 minute, twice as long with each failure after it
	MaxLock  time.Duration    // how long at most; 1 hour
	Quiet    time.Duration    // a key without a failure for so long is forgotten; 1 day
	Keys     int              // how many are remembered; 10,000
	Pause    time.Duration    // what Pause takes; 300 ms, negative: nothing
}

// A Throttle slows the guessing of secrets down. Failures are counted under keys that its callers choose: an account, an
// address (best NetworkOf it). It is in memory: a restart forgets. It is safe for use by many goroutines.
//
// When there is no room the key whose last failure is longest ago is forgotten. An attacker with 10,000 networks to fail from
// can so make it forget what he did before, and gets 5 guesses a network; a key for the account that he is after, which
// every failure keeps fresh, is not forgotten. With such a key he can keep the account's owner out: that is the price, and it
// ends an hour after he does.
type Throttle struct {
	o    ThrottleOptions
	mu   sync.Mutex
	keys recent[failures]
}

// failures are those of one key.
type failures struct {
	count       int
	last, until time.Time
}

// NewThrottle returns a Throttle that has seen no failure.
func NewThrottle(o ThrottleOptions) *Throttle {
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range []struct {
		field     *time.Duration
		otherwise time.Duration
	}{{&o.Lock, time.Minute}, {&o.MaxLock, time.Hour}, {&o.Quiet, 24 * time.Hour}, {&o.Pause, 300 * time.Millisecond}} {
		if *d.field == 0 {
			*d.field = d.otherwise
		}
	}
	if o.Failures <= 0 {
		o.Failures = 5
	}
	if o.Keys <= 0 {
		o.Keys = 10_000
	}
	return &Throttle{o: o, keys: recent[failures]{max: o.Keys}}
}

// Check is asked before a secret is looked at. While the key is locked it returns kind Busy, and for how long still.
func (t *Throttle) Check(key string) (retry time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if retry = t.of(key).until.Sub(t.o.Now()); retry <= 0 {
		return 0, nil
	}
	return retry, hippad.Errorf(hippad.Busy, "too many failures").WithHint("try again in %v", max(retry.Round(time.Second), time.Second))
}

// Failed counts a wrong secret. Those that were already being looked at when the key was locked do not lock it for longer.
func (t *Throttle) Failed(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, now := t.of(key), t.o.Now()
	if now.Before(f.until) {
		return
	}
	f.count++
	f.last = now
	if over := f.count - t.o.Failures; over >= 0 {
		lock := t.o.Lock
		for ; over > 0 && lock < t.o.MaxLock; over-- {
			lock *= 2
		}
		f.until = now.Add(min(lock, t.o.MaxLock))
	}
	t.keys.put(key, f)
}

// Succeeded forgets the failures of a key.
func (t *Throttle) Succeeded(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys.remove(key)
}

// of returns what is known of a key, nothing after a quiet day; t.mu is held.
func (t *Throttle) of(key string) failures {
	f, _ := t.keys.get(key)
	if t.o.Now().Sub(f.last) > t.o.Quiet {
		return failures{}
	}
	return f
}

// Pause waits before a wrong secret is answered, always as long, or until ctx ends.
func (t *Throttle) Pause(ctx context.Context) {
	if t.o.Pause < 0 {
		return
	}
	timer := time.NewTimer(t.o.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
