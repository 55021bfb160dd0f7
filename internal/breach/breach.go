// Package breach owns breaches as cases (45 CFR 164.400 to 164.414): what was found, whom it affects and which entries prove that, how it was
// assessed and decided, when whom must be told, who was told how, and the evidence of all of it.
//
// It does not compute the law (internal/regulation), does not hold entries itself (it is given how), and makes no letters or forms (cmd/hippad
// does, of what it answers). The invariants: every step of a case is an entry before it has an effect, and a case is nothing but those entries,
// replayed. Whom a case affects is a question and the size of the log it was asked of, so it is asked again instead of kept, and what has
// changed since shows by a hash. No notice is recorded that a law enforcement delay forbids, and no case ends while one is due, unless
// somebody says why.
package breach

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// Config is what the cases of a log are made of.
type Config struct {
	Ledger       *ledger.Ledger
	Repository   *repository.Repository
	Organisation *regulation.Organisation
	VerifierKey  string // the log's public key, for packets
	Now          func() time.Time

	// Hold places a hold on entries for a case and returns its id; nil: nothing is held. Where retention could destroy the evidence, it must not be nil.
	Hold func(ctx context.Context, who hippad.Caller, name, reason string, entries []hippad.Range) (int64, error)
}

// Breaches are the cases of one log. They are safe for use by many goroutines.
type Breaches struct {
	Config

	overlays []regulation.Overlay
	journal  *repository.Journal[record]

	mu    sync.RWMutex // guards state, for those who only look
	state *state
}

// Open replays the log. It must be called after the ledger was opened. Kind Invalid if the organisation names an overlay that there is not.
func Open(ctx context.Context, c Config) (*Breaches, error) {
	if c.Ledger == nil || c.Repository == nil || c.Organisation == nil || c.Now == nil {
		return nil, errors.New("breach: the configuration is not complete")
	}
	overlays, err := regulation.Overlays(c.Organisation.Options.Overlays...)
	if err != nil {
		return nil, err
	}
	b := &Breaches{Config: c, overlays: overlays, state: newState()}
	b.journal = repository.NewJournal(c.Repository, detailType, b.take, repository.ActivityBreach)
	if err := b.journal.CatchUp(ctx); err != nil {
		return nil, fmt.Errorf("replay breaches: %w", err)
	}
	return b, nil
}

// take folds an entry into the state, for those who look meanwhile as a whole.
func (b *Breaches) take(index int64, at time.Time, r record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state.fold(index, at, r)
}

// today is the day that it is for the organisation.
func (b *Breaches) today() regulation.Date {
	return regulation.DateOf(b.Now(), b.Organisation.Zone())
}

// permit checks that a caller may answer for the organisation. A refusal is an entry before it is an answer.
func (b *Breaches) permit(ctx context.Context, who hippad.Caller, what string) error {
	return b.Repository.Permit(ctx, who, "breach "+what, hippad.ActAnswer)
}

// asked is the note that somebody asks something about a case.
func (b *Breaches) asked(query string) repository.Note {
	return b.Repository.AuditLogUsed("breach "+query, repository.ActivityBreach.Code())
}

// enter writes a step of a case and replays it. It is called with the turn.
func (b *Breaches) enter(ctx context.Context, who hippad.Caller, description string, r record) (int64, error) {
	r.By = who.Principal
	return b.journal.Enter(ctx, who, repository.Changed(repository.ActivityBreach, "C", description), r)
}

// fits tells whether a record can be written, before something is held for it: a hold of no case would keep content for ever.
func (b *Breaches) fits(who hippad.Caller, r record) error {
	r.By = who.Principal
	r.Case = math.MaxInt64 // as long as the numbers can be that are not known yet
	_, err := repository.Noted(repository.Note{}, b.Repository.Self, detailType, r)
	return err
}

// find returns a copy of a case. Kind NotFound if there is none.
func (b *Breaches) find(id int64) (Case, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	c := b.state.cases[id]
	if c == nil {
		return Case{}, hippad.Errorf(hippad.NotFound, "there is no case %d", id).WithHint("hippad breach list names those that there are")
	}
	return c.clone(), nil
}

// open returns a case to which something can be added. Kind Conflict if it is closed.
func (b *Breaches) open(id int64) (Case, error) {
	c, err := b.find(id)
	if err == nil && c.Closed != nil {
		return c, hippad.Errorf(hippad.Conflict, "case %d is closed", id).WithHint("hippad breach reopen opens it again, with a reason")
	}
	return c, err
}

// An Overview is a case as a line.
type Overview struct {
	ID          int64                      `json:"id"`
	Name        string                     `json:"name,omitzero"`
	State       string                     `json:"state"`
	Discovered  regulation.Date            `json:"discovered"` // the day on which it is treated as discovered: day 0 of the clocks
	Individuals int                        `json:"individuals,omitzero"`
	Next        *regulation.BreachStanding `json:"next,omitzero"` // the notice that is due first, by what is written down
}

// List returns all cases, the newest first, to a caller with hippad.ActAnswer. What is due is said by what is written down: Status asks the log
// again whom a case affects.
func (b *Breaches) List(ctx context.Context, who hippad.Caller) ([]Overview, error) {
	if err := b.permit(ctx, who, "list"); err != nil {
		return nil, err
	}
	if err := b.Repository.Note(ctx, who, b.asked("list")); err != nil {
		return nil, err
	}
	b.mu.RLock()
	cases := slices.Collect(maps.Values(b.state.cases))
	for i, c := range cases {
		copied := c.clone()
		cases[i] = &copied
	}
	b.mu.RUnlock()
	slices.SortFunc(cases, func(x, y *Case) int { return cmp.Compare(y.ID, x.ID) })
	out := []Overview{}
	for _, c := range cases {
		v := Overview{ID: c.ID, Name: c.Name, State: c.StateName(), Discovered: c.facts(nil).DayZero(), Individuals: c.individuals()}
		if c.Closed == nil { // the clock runs before anything is decided, too
			for _, s := range b.standings(c, nil) {
				if s.Given.IsZero() && !s.Last.IsZero() && (v.Next == nil || s.Last.Before(v.Next.Last)) {
					v.Next = &s
				}
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// String hides the patients whom a scope leaves out, and what was asked.
func (s Scope) String() string { return fmt.Sprintf("scope of %d individuals", s.Individuals) }

// GoString hides the fields under %#v.
func (s Scope) GoString() string { return s.String() }

// LogValue hides the fields in slog.
func (s Scope) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String hides what is asked.
func (o Order) String() string { return fmt.Sprintf("order to scope case %d", o.Case) }

// GoString hides the fields under %#v.
func (o Order) GoString() string { return o.String() }

// LogValue hides the fields in slog.
func (o Order) LogValue() slog.Value { return slog.StringValue(o.String()) }

// String hides who lives where.
func (a Address) String() string { return fmt.Sprintf("address in line %d", a.Line) }

// GoString hides the fields under %#v.
func (a Address) GoString() string { return a.String() }

// LogValue hides the fields in slog.
func (a Address) LogValue() slog.Value { return slog.StringValue(a.String()) }

// String hides what a case says.
func (c Case) String() string { return fmt.Sprintf("breach case %d", c.ID) }

// GoString hides the fields under %#v.
func (c Case) GoString() string { return c.String() }

// LogValue hides the fields in slog.
func (c Case) LogValue() slog.Value { return slog.StringValue(c.String()) }
