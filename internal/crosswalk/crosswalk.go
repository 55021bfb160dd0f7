// Package crosswalk owns which patient identifiers are one person: links, unlinks, and what a search for one of them has to look for
// besides.
//
// It does not search (internal/repository does, with Same), does not know how an identifier is written (hippad.ParseIdentifier), and
// guesses nothing: names, dates of birth and likeness are no business of a log. Links come from people with hippad.ActRetain, by a
// command, and from nobody else: there is no report type for them, because a reporter that could link would join strangers, and with
// that show one patient's entries to another. The invariants: every change is an entry before it has an effect, and the state in memory is
// nothing but those entries, replayed. Nobody is told an identifier, or whether two are linked, before that is in the log too.
package crosswalk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/repository"
)

// Config is what a crosswalk is made of.
type Config struct {
	Ledger     *ledger.Ledger
	Repository *repository.Repository
}

// A Crosswalk is the state of one log. It is safe for use by many goroutines.
type Crosswalk struct {
	Config

	journal *repository.Journal[record] // what a change is checked against must not change until it is written

	mu    sync.RWMutex // guards state, for those who only look
	state *state
}

// Open replays the log. It must be called after the ledger was opened.
func Open(ctx context.Context, config Config) (*Crosswalk, error) {
	if config.Ledger == nil || config.Repository == nil {
		return nil, errors.New("crosswalk: the configuration is not complete")
	}
	c := &Crosswalk{Config: config, state: newState()}
	c.journal = repository.NewJournal(config.Repository, detailType, c.take, repository.ActivityLink, repository.ActivityUnlink)
	if err := c.journal.CatchUp(ctx); err != nil {
		return nil, fmt.Errorf("replay the crosswalk: %w", err)
	}
	return c, nil
}

// Same returns the other terms of the person whom a hippad.FieldPatient term names, in no particular order; none for a term of another field and for
// one that is not linked. It is what repository.Repository.Same wants. A link that was acknowledged is in its answer.
func (c *Crosswalk) Same(t hippad.Term) []hippad.Term {
	if t.Field != hippad.FieldPatient {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	p := c.state.persons[t.Value]
	if p == nil {
		return nil
	}
	out := make([]hippad.Term, 0, len(p.members)-1)
	for _, m := range p.members {
		if m.id != t.Value {
			out = append(out, hippad.Term{Field: hippad.FieldPatient, Value: m.id})
		}
	}
	return out
}

// take folds an entry into the state.
func (c *Crosswalk) take(index int64, at time.Time, r record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.fold(index, at, r)
}

// enter writes an entry about a change and replays it. The entry names no patient: a search by one of the identifiers would show the
// others to whoever may see that one patient only, also after an unlink.
func (c *Crosswalk) enter(ctx context.Context, who hippad.Caller, n repository.Note, r record) (int64, error) {
	r.By = who.Principal
	return c.journal.Enter(ctx, who, n, r)
}

// permit checks that a caller may keep the crosswalk. A refusal is an entry before it is an answer.
func (c *Crosswalk) permit(ctx context.Context, who hippad.Caller, what string) error {
	return c.Repository.Permit(ctx, who, "crosswalk "+what, hippad.ActRetain)
}

// asked records that somebody is told something, in the words of what was asked.
func (c *Crosswalk) asked(ctx context.Context, who hippad.Caller, query string) error {
	return c.Repository.Note(ctx, who, c.Repository.AuditLogUsed("crosswalk "+query, repository.ActivityCrosswalk.Code()))
}

// detailType is the type of the entity's detail that holds a record.
const detailType = "hippad/1 crosswalk"

// A record is what an entry of this package says, as JSON in a detail of its event: links or an unlink.
type record struct {
	By     hippad.Principal `json:"by"`
	Reason string           `json:"reason"`
	Link   [][]string       `json:"link,omitzero"` // each the canonical identifiers of one person
	Unlink string           `json:"unlink,omitzero"`
}
