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
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

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

	// turn holds an element while somebody changes something: a change is decided on a state that nobody else changes, from the
	// check to the end of what follows from it. A purge is one change, so whatever is asked for meanwhile waits for its end.
	turn chan struct{}

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
	o := &Custody{Config: c, turn: make(chan struct{}, 1), state: newState()}
	if err := o.catchUp(ctx); err != nil {
		return nil, fmt.Errorf("replay holds and requests: %w", err)
	}
	return o, nil
}

// begin waits for its turn to change something, and brings the state up to the log: an entry of which the log could not say
// whether it was written may be there by now.
func (c *Custody) begin(ctx context.Context) (done func(), err error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, hippad.Errorf(hippad.Busy, "something else is being changed, a purge perhaps").WithHint("try again later")
	}
	if err := c.catchUp(ctx); err != nil {
		<-c.turn
		return nil, err
	}
	return func() { <-c.turn }, nil
}

// activities are the subtypes of the entries that the state is made of.
var activities = []repository.Activity{repository.ActivityHold, repository.ActivityRelease, repository.ActivityRequest, repository.ActivityConfirm,
	repository.ActivityRefuse, repository.ActivityPurge, repository.ActivityExport}

// catchUp replays what is in the log and not yet in the state. It is called with the turn, or before anybody else knows c.
func (c *Custody) catchUp(ctx context.Context) error {
	from, to := c.seen, c.Ledger.Size()
	if from == to {
		return nil
	}
	for e, err := range c.Repository.Own(ctx, from, to, activities...) {
		if err != nil {
			return err
		}
		if r, ok := recordOf(c.Repository.Read(e.Report)); ok {
			c.mu.Lock()
			c.fold(e.Index, e.Received, r)
			c.mu.Unlock()
		}
	}
	c.mu.Lock()
	c.seen = to
	c.mu.Unlock()
	return nil
}

// enter writes an entry about a change and replays it, and returns its index. Whether it had the effect that was meant is for the caller to see
// in the state.
func (c *Custody) enter(ctx context.Context, who hippad.Caller, n repository.Note, r record) (int64, error) {
	r.By = who.Principal
	n, err := r.in(n, c.Repository.Self)
	if err != nil {
		return 0, err
	}
	index, err := c.Repository.Enter(ctx, who, n)
	if err != nil {
		return 0, err
	}
	return index, c.catchUp(ctx)
}

// note is what an entry about a change says besides its record.
func note(what repository.Activity, action, description string) repository.Note {
	n := repository.SecurityAlert(repository.ObjectSecurityAttributeChanged, description)
	n.Subtypes, n.Action = append(n.Subtypes, what.Code()), action
	return n
}

// permit checks that a caller has one of the rights. A refusal is an entry before it is an answer.
func (c *Custody) permit(ctx context.Context, who hippad.Caller, what string, actions ...hippad.Action) error {
	for _, a := range actions {
		if who.May(a) {
			return nil
		}
	}
	return c.deny(ctx, who, what, hippad.Errorf(hippad.Unauthorised, "this principal may not do that"))
}

func (c *Custody) deny(ctx context.Context, who hippad.Caller, what string, refusal error) error {
	if err := c.Repository.Note(ctx, who, repository.SecurityAlert(repository.RestrictedFunction, "denied: "+what)); err != nil {
		return err
	}
	return refusal
}

const maxWords = 2000 // bytes of a reason, a name, an identifier

// words checks what somebody has written. name is for the error, which quotes nothing.
func words(name, text string, needed bool) error {
	switch {
	case needed && strings.TrimSpace(text) == "":
		return hippad.Errorf(hippad.Invalid, "%s is missing", name)
	case len(text) > maxWords:
		return hippad.Errorf(hippad.Invalid, "%s has more than %d bytes", name, maxWords)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return hippad.Errorf(hippad.Invalid, "%s is not plain text in one line", name)
	}
	return nil
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

// in puts a record into the note about it.
func (r record) in(n repository.Note, self hippad.Principal) (repository.Note, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return n, hippad.Errorf(hippad.Invalid, "this cannot be written down")
	}
	n.Entities = append(n.Entities, hippad.Entity{
		What:    hippad.Reference{Identifier: hippad.Identifier{Value: self.ID}},
		Type:    hippad.Code{System: "RFC-3881", Code: "2", Display: "System Object"},
		Role:    hippad.Code{System: "RFC-3881", Code: "13", Display: "Security Resource"},
		Details: []hippad.Detail{{Type: detailType, Value: text}},
	})
	return n, nil
}

// recordOf reads it back. Entries of the log itself without one are of other rooms.
func recordOf(ev hippad.Event) (r record, ok bool) {
	for _, n := range ev.Entities {
		for _, d := range n.Details {
			if d.Type == detailType {
				return r, json.Unmarshal(d.Value, &r) == nil
			}
		}
	}
	return r, false
}
