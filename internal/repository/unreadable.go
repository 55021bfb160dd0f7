package repository

import (
	"maps"
	"sync"

	"hippad"
)

// maxReporters bounds how many reporters are counted by name: whoever can connect can be a new one.
const maxReporters = 1000

// OtherReporters is the name under which the reporters beyond the first thousand are counted together.
const OtherReporters = "other"

// Unreadable counts, for each reporter, the reports that no reader understands. It counts what it sees: what arrives, and
// what is read again when the log is opened.
type Unreadable struct {
	mu     sync.Mutex
	counts map[string]int64 // by Principal.String; guarded by mu
}

func (u *Unreadable) count(p hippad.Principal) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	name := p.String()
	if _, known := u.counts[name]; !known && len(u.counts) >= maxReporters {
		name = OtherReporters
	}
	if u.counts == nil {
		u.counts = map[string]int64{}
	}
	u.counts[name]++
}

// Counts returns the counts by Principal.String.
func (u *Unreadable) Counts() map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.counts)
}
