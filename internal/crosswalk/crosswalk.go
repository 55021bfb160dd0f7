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
	"iter"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

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

	// turn holds an element while somebody changes something: what a change is checked against must not change until it is written.
	turn chan struct{}
	seen int64 // the entries below are folded; belongs to the turn

	mu    sync.RWMutex // guards state, for those who only look
	state *state
}

// Open replays the log. It must be called after the ledger was opened.
func Open(ctx context.Context, config Config) (*Crosswalk, error) {
	if config.Ledger == nil || config.Repository == nil {
		return nil, errors.New("crosswalk: the configuration is not complete")
	}
	c := &Crosswalk{Config: config, turn: make(chan struct{}, 1), state: newState()}
	if err := c.catchUp(ctx); err != nil {
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

// begin waits for its turn to change something, and brings the state up to the log: an entry of which the log could not say
// whether it was written may be there by now.
func (c *Crosswalk) begin(ctx context.Context) (done func(), err error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, hippad.Errorf(hippad.Busy, "the crosswalk is being changed").WithHint("try again later")
	}
	if err := c.catchUp(ctx); err != nil {
		<-c.turn
		return nil, err
	}
	return func() { <-c.turn }, nil
}

// catchUp replays what is in the log and not yet in the state. It is called with the turn, or before anybody else knows c.
func (c *Crosswalk) catchUp(ctx context.Context) error {
	to := c.Ledger.Size()
	return c.replay(c.Repository.Own(ctx, c.seen, to, repository.ActivityLink, repository.ActivityUnlink), to)
}

// replay folds the log's own entries, which are all that matter below an index. seen follows every entry: one that was folded twice could
// take an identifier back to whom it was taken from.
func (c *Crosswalk) replay(entries iter.Seq2[hippad.Entry, error], below int64) error {
	for e, err := range entries {
		if err != nil {
			return err
		}
		if r, ok := recordOf(c.Repository.Read(e.Report)); ok {
			c.mu.Lock()
			c.state.fold(e.Index, e.Received, r)
			c.mu.Unlock()
		}
		c.seen = e.Index + 1
	}
	c.seen = below
	return nil
}

// entryTime bounds how long the log may take for an entry about a change.
const entryTime = 30 * time.Second

// enter writes an entry about a change and replays it. Whoever asked does not take the change back by going away: it would be in the
// log, and have no effect until the next one.
func (c *Crosswalk) enter(ctx context.Context, who hippad.Caller, n repository.Note, r record) (int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), entryTime)
	defer cancel()
	r.By = who.Principal
	text, err := json.Marshal(r)
	if err != nil {
		return 0, hippad.Errorf(hippad.Invalid, "this cannot be written down")
	}
	if len(text) > maxRecord {
		return 0, hippad.Errorf(hippad.TooLarge, "these are more than %d bytes for one entry", maxRecord).WithHint("make several of it")
	}
	n.Entities = []hippad.Entity{{
		What:    hippad.Reference{Identifier: hippad.Identifier{Value: c.Repository.Self.ID}},
		Type:    hippad.Code{System: "RFC-3881", Code: "2", Display: "System Object"},
		Role:    hippad.Code{System: "RFC-3881", Code: "13", Display: "Security Resource"},
		Details: []hippad.Detail{{Type: detailType, Value: text}},
	}}
	index, err := c.Repository.Enter(ctx, who, n)
	if err != nil {
		return 0, err
	}
	return index, c.catchUp(ctx)
}

// note is what an entry about a change says besides its record. It names no patient: a search by one of the identifiers would show the
// others to whoever may see that one patient only, also after an unlink.
func note(what repository.Activity, action, description string) repository.Note {
	n := repository.SecurityAlert(repository.ObjectSecurityAttributeChanged, description)
	n.Subtypes, n.Action = append(n.Subtypes, what.Code()), action
	return n
}

// permit checks that a caller may keep the crosswalk. A refusal is an entry before it is an answer.
func (c *Crosswalk) permit(ctx context.Context, who hippad.Caller, what string) error {
	if who.May(hippad.ActRetain) {
		return nil
	}
	if err := c.Repository.Note(ctx, who, repository.SecurityAlert(repository.RestrictedFunction, "denied: crosswalk "+what)); err != nil {
		return err
	}
	return hippad.Errorf(hippad.Unauthorised, "this principal may not do that")
}

// asked records that somebody is told something, in the words of what was asked.
func (c *Crosswalk) asked(ctx context.Context, who hippad.Caller, query string) error {
	return c.Repository.Note(ctx, who, c.Repository.AuditLogUsed("crosswalk "+query, repository.ActivityCrosswalk.Code()))
}

const (
	maxReason = 2000      // bytes
	maxRecord = 512 << 10 // bytes of JSON: half of what a FHIR string may have
)

// checkReason checks what somebody has written. The error quotes nothing.
func checkReason(reason string) error {
	switch {
	case strings.TrimSpace(reason) == "":
		return hippad.Errorf(hippad.Invalid, "the reason is missing")
	case len(reason) > maxReason:
		return hippad.Errorf(hippad.Invalid, "the reason has more than %d bytes", maxReason)
	case !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl):
		return hippad.Errorf(hippad.Invalid, "the reason is not plain text in one line")
	}
	return nil
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

// recordOf reads it back.
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
