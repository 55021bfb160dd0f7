// Package disclosure owns what was disclosed of patients' data, what people decide of it, and whom it was accounted to: requests and their clocks,
// decisions, suspensions, research protocols, the accountings that were issued, disclosures that nobody but a person reports, and access
// reports.
//
// It does not know the law (internal/regulation does, as pure functions), how an answer looks (cmd/hippad, internal/document), or how entries are
// found (internal/repository). The invariants: what people decide is an entry before it has an effect, and the state is nothing but those
// entries, replayed. Nobody is told anything of a patient before that is in the log too. An accounting that was issued is kept as it was given. No
// disclosure is left out of an answer without a paragraph that says so.
package disclosure

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// Config is what the room is made of.
type Config struct {
	Repository   *repository.Repository
	Organisation *regulation.Organisation
	Now          func() time.Time
}

// Disclosures is the state of one log. It is safe for use by many goroutines.
type Disclosures struct {
	Config

	journal *repository.Journal[record]

	mu    sync.RWMutex // guards state, for those who only look
	state state
}

// Open replays the log. It must be called after the ledger was opened.
func Open(ctx context.Context, c Config) (*Disclosures, error) {
	if c.Repository == nil || c.Organisation == nil || c.Now == nil {
		return nil, errors.New("disclosure: the configuration is not complete")
	}
	d := &Disclosures{Config: c, state: newState()}
	d.journal = repository.NewJournal(c.Repository, detailType, d.take, repository.ActivityDisclosure)
	if err := d.journal.CatchUp(ctx); err != nil {
		return nil, fmt.Errorf("replay what was decided of disclosures: %w", err)
	}
	return d, nil
}

func (d *Disclosures) take(index int64, at time.Time, r record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.fold(index, at, r)
}

// today is the day that it is where the organisation is.
func (d *Disclosures) today() regulation.Date {
	return regulation.DateOf(d.Now(), d.Organisation.Zone())
}

// permit checks that a caller may answer for the organisation. A refusal is an entry before it is an answer.
func (d *Disclosures) permit(ctx context.Context, who hippad.Caller, what string) error {
	return d.Repository.Permit(ctx, who, "disclosures "+what, hippad.ActAnswer)
}

// asked records that somebody is told something, in the words of what was asked.
func (d *Disclosures) asked(ctx context.Context, who hippad.Caller, query string) error {
	return d.Repository.Note(ctx, who, d.note(query))
}

func (d *Disclosures) note(query string) repository.Note {
	return d.Repository.AuditLogUsed("disclosures "+query, repository.ActivityDisclosure.Code())
}

// enter writes an entry about a change and replays it, and returns its index. It is called with the turn. The entry names a patient in its record
// alone, so that no patient's own search shows what is decided of another.
func (d *Disclosures) enter(ctx context.Context, who hippad.Caller, action, description string, r record) (int64, error) {
	r.By = who.Principal
	return d.journal.Enter(ctx, who, repository.Changed(repository.ActivityDisclosure, action, description), r)
}

// nameOf is how people call a principal.
func nameOf(p hippad.Principal) string {
	if p.Name != "" {
		return p.Name
	}
	return p.String()
}
