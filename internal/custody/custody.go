// Package custody owns what needs two people, what is held, and what ends: holds, the end of retention, purges with their
// certificates, and exports.
//
// It does not store, seal or destroy (internal/ledger, and the functions of Config), does not know how long what is kept
// (internal/regulation), and lets nobody in (internal/front). The invariants: the log is the truth. Every hold, request, confirmation and
// certificate is an entry before it has an effect, and the state in memory is nothing but those entries, replayed. Nothing that a
// hold matches is destroyed. Nothing is destroyed or exported that somebody else has not confirmed. What was destroyed has a
// certificate, or will have one when the purge that a crash interrupted is finished.
package custody

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// A DataKey tells of a key under which the content of one month and class is sealed, without holding it.
type DataKey struct {
	ID        uint32    `json:"id"`
	Month     string    `json:"month"` // UTC, as in 2026-11
	Class     string    `json:"class"`
	Created   time.Time `json:"created"`
	Destroyed time.Time `json:"destroyed,omitzero"` // zero if it is there
}

// Config is what a custody is made of.
type Config struct {
	Ledger     *ledger.Ledger
	Repository *repository.Repository
	Classes    *regulation.Classes // nil: only the default

	DataKeys    func() []DataKey
	DestroyKeys func(ctx context.Context, ids []uint32) error // passes over those that are destroyed
	Compact     func(ctx context.Context) error               // drops old bytes of the store; may be nil
	VerifierKey string                                        // the log's public key, for what is exported

	Now func() time.Time
	Log *slog.Logger // nil: nothing is logged
}

// A Custody is the state of one log. It is safe for use by many goroutines.
type Custody struct {
	Config

	// journal gives the turn to change something. A purge is one change, so whatever is asked for meanwhile waits for its end.
	journal *repository.Journal[record]

	mu sync.RWMutex // guards state, for those who only look
	state
}

// Open replays the log. It must be called after the ledger was opened. It does not finish purges that were interrupted: that takes as long
// as a purge, and the log is to take reports meanwhile. Whoever opens calls Resume as soon as the doors are open.
func Open(ctx context.Context, c Config) (*Custody, error) {
	if c.Ledger == nil || c.Repository == nil || c.DataKeys == nil || c.DestroyKeys == nil || c.Now == nil {
		return nil, errors.New("custody: the configuration is not complete")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	o := &Custody{Config: c, state: newState()}
	o.journal = repository.NewJournal(c.Repository, detailType, o.take, activities...)
	if err := o.journal.CatchUp(ctx); err != nil {
		return nil, fmt.Errorf("replay holds and requests: %w", err)
	}
	return o, nil
}

// activities are the subtypes of the entries that the state is made of.
var activities = []repository.Activity{repository.ActivityHold, repository.ActivityRelease, repository.ActivityRequest, repository.ActivityConfirm,
	repository.ActivityRefuse, repository.ActivityPurge, repository.ActivityExport}

// take folds an entry into the state, for those who look meanwhile as a whole.
func (c *Custody) take(index int64, at time.Time, r record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fold(index, at, r)
}

// enter writes an entry about a change and replays it, and returns its index. Whether it had the effect that was meant is for the caller to see
// in the state.
func (c *Custody) enter(ctx context.Context, who hippad.Caller, n repository.Note, r record) (int64, error) {
	r.By = who.Principal
	return c.journal.Enter(ctx, who, n, r)
}

// detailType is the type of the entity's detail that holds a record.
const detailType = "hippad/1 custody"

// A record is what an entry of this package says, as JSON in a detail of its event. One of the fields besides By is set.
type record struct {
	By          hippad.Principal `json:"by"`
	Hold        *Hold            `json:"hold,omitzero"`
	Release     *releaseRecord   `json:"release,omitzero"`
	Request     *requestRecord   `json:"request,omitzero"`
	Confirm     *decision        `json:"confirm,omitzero"`
	Refuse      *decision        `json:"refuse,omitzero"`
	Export      *decision        `json:"export,omitzero"`
	Part        *part            `json:"part,omitzero"`
	Certificate *Certificate     `json:"certificate,omitzero"`
}

type (
	releaseRecord struct {
		Hold   int64  `json:"hold"`
		Reason string `json:"reason"`
	}
	requestRecord struct {
		Reason string        `json:"reason"`
		Purge  *PurgeOrder   `json:"purge,omitzero"`
		Export *hippad.Query `json:"export,omitzero"`
	}
	decision struct {
		Request int64 `json:"request"`
		Kind    Kind  `json:"kind"`
	}
	// part holds some of what a purge has destroyed, in front of its certificate.
	part struct {
		Request int64      `json:"request"`
		Ranges  [][2]int64 `json:"ranges"` // first, count
	}
)
