package forward

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause   = time.Second
	longestPause = time.Minute
	longestAsked = 5 * time.Minute // that a destination can make a rule wait by saying so
)

// A backoff grows from a second to a minute. Half of each pause is drawn by lot, so that many logs do not come back to one
// destination at once.
type backoff struct {
	pause time.Duration
	first time.Duration // 0: firstPause
}

// wait pauses, for as long as asked at least, and tells whether to go on.
func (b *backoff) wait(ctx context.Context, asked time.Duration) bool {
	b.pause = min(max(2*b.pause, cmp.Or(b.first, firstPause)), longestPause)
	pause := max(b.pause/2+rand.N(b.pause/2+1), min(asked, longestAsked))
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *backoff) reset() { b.pause = 0 }
