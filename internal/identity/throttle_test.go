package identity_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
	"hippad/internal/identity"
)

func TestThrottle(t *testing.T) {
	c := &clock{now: start}
	th := identity.NewThrottle(identity.ThrottleOptions{Now: c.Now, Pause: -1})
	// locked tells for how long a key is locked.
	locked := func(key string) time.Duration {
		t.Helper()
		d, err := th.Check(key)
		if (d > 0) != (hippad.KindOf(err) == hippad.Busy) || d <= 0 && err != nil {
			t.Errorf("%s: %v, %v", key, d, err)
		}
		return d
	}
	for i := range 4 {
		th.Failed("a")
		if d := locked("a"); d != 0 {
			t.Errorf("locked for %v after %d failures", d, i+1)
		}
	}
	want := time.Minute
	for range 9 {
		th.Failed("a")
		th.Failed("a") // one that was under way: it does not count
		if d := locked("a"); d != want {
			t.Errorf("locked for %v, want %v", d, want)
		}
		c.add(want - time.Nanosecond)
		if locked("a") == 0 {
			t.Error("free too early")
		}
		c.add(time.Nanosecond)
		if d := locked("a"); d != 0 {
			t.Errorf("locked for %v more", d)
		}
		want = min(2*want, time.Hour)
	}
	if want != time.Hour || locked("b") != 0 {
		t.Error("the wrong key is locked, or for too short")
	}
	c.add(24*time.Hour + time.Nanosecond) // since the last failure it is more than that
	th.Failed("a")
	if d := locked("a"); d != 0 {
		t.Errorf("not forgotten after a quiet day: %v", d)
	}
	for range 4 {
		th.Failed("a")
	}
	th.Succeeded("a")
	if d := locked("a"); d != 0 {
		t.Errorf("not forgotten after a success: %v", d)
	}
}

// Memory is bounded, and a key that goes on failing is the last to be forgotten.
func TestThrottleForgets(t *testing.T) {
	c := &clock{now: start}
	th := identity.NewThrottle(identity.ThrottleOptions{Now: c.Now, Keys: 100, Pause: -1})
	for range 5 {
		th.Failed("victim")
		th.Failed("early")
	}
	for i := range 10_000 {
		if i%50 == 0 {
			c.add(time.Hour)
			th.Failed("victim")
		}
		th.Failed(fmt.Sprint("noise ", i))
	}
	if _, err := th.Check("early"); err != nil {
		t.Error("the oldest key is still known: memory is not bounded")
	}
	if _, err := th.Check("victim"); err == nil {
		t.Error("a key under attack was forgotten")
	}
}

func TestThrottleTogether(t *testing.T) {
	th := identity.NewThrottle(identity.ThrottleOptions{Keys: 10, Pause: -1})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 200 {
				key := fmt.Sprint((i + j) % 15)
				_, _ = th.Check(key)
				th.Failed(key)
				if j%7 == 0 {
					th.Succeeded(key)
				}
			}
		})
	}
	wg.Wait()
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := identity.NewThrottle(identity.ThrottleOptions{})
		from := time.Now()
		th.Pause(t.Context())
		if d := time.Since(from); d != 300*time.Millisecond {
			t.Errorf("paused %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		from = time.Now()
		th.Pause(ctx)
		if d := time.Since(from); d != time.Millisecond {
			t.Errorf("paused %v after its context had ended", d)
		}
	})
}
