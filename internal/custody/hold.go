package custody

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"hippad"
	"hippad/internal/repository"
)

const (
	maxHolds  = 10_000
	maxRanges = 10_000 // of one hold
)

// A Hold keeps entries whatever retention says, until it is released. All criteria that are given must be met. Where it cannot be
// known whether an entry meets one, it does: a hold keeps too much rather than too little.
type Hold struct {
	ID     int64            `json:"id"` // index of its entry
	By     hippad.Principal `json:"by"`
	At     time.Time        `json:"at"`
	Reason string           `json:"reason"`
	Case   string           `json:"case,omitzero"` // a name for people; it matches nothing, so it needs another criterion

	// Patient is an identifier in any form that hippad.ParseIdentifier knows. An entry that names the same value without a
	// system is held too, and so is one that nobody can read. So are the entries under every other identifier that the
	// crosswalk links to it when the hold is looked at: an unlink narrows the hold.
	Patient      string `json:"patient,omitzero"`
	Reporter     string `json:"reporter,omitzero"`     // hippad.Principal.String
	Organisation string `json:"organisation,omitzero"` // hippad.Principal.Organisation
	// From, inclusive, and To, exclusive, are met by an entry that was received between them, or that says so of itself.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Entries are places in the log: what a case consists of, when somebody has looked it up.
	Entries []hippad.Range `json:"entries,omitzero"`

	patients []hippad.Term // Patient, and who the crosswalk says is the same; set by holdsNow

	// Late are the certificates of purges that ended while the hold waited for its turn: what they destroyed it came too late for.
	Late []int64 `json:"late,omitzero"`
}

// check tells what is wrong with a hold that somebody wants, quoting nothing of it.
func (h Hold) check() error {
	for _, x := range []struct{ name, text string }{
		{"the case", h.Case}, {"the patient", h.Patient}, {"the reporter", h.Reporter}, {"the organisation", h.Organisation},
	} {
		if err := repository.Words(x.name, x.text, false); err != nil {
			return err
		}
	}
	if err := repository.Words("the reason", h.Reason, true); err != nil {
		return err
	}
	if h.Patient == "" && h.Reporter == "" && h.Organisation == "" && h.From.IsZero() && h.To.IsZero() && len(h.Entries) == 0 {
		return hippad.Errorf(hippad.Invalid, "a hold needs something to match").
			WithHint("the name of a case matches nothing: give a patient, a reporter, an organisation, a time or entries")
	}
	if h.Patient != "" && hippad.NewTerm(hippad.FieldPatient, h.Patient).Value == "" {
		return hippad.Errorf(hippad.Invalid, "the patient is blank")
	}
	if _, err := hippad.ParsePrincipal(h.Reporter); h.Reporter != "" && err != nil {
		return hippad.Errorf(hippad.Invalid, "the reporter is not kind:id, as in certificate:sha256:9f86")
	}
	if !h.From.IsZero() && !h.To.IsZero() && !h.From.Before(h.To) {
		return hippad.Errorf(hippad.Invalid, "the time ends before it begins")
	}
	if len(h.Entries) > maxRanges {
		return hippad.Errorf(hippad.Invalid, "more than %d ranges of entries", maxRanges)
	}
	for _, r := range h.Entries {
		if r.First < 0 || r.Count < 1 {
			return hippad.Errorf(hippad.Invalid, "a range of entries is empty")
		}
	}
	return nil
}

// matches tells whether the hold keeps an entry. terms are those of the entry and its event.
func (h Hold) matches(e hippad.Entry, ev hippad.Event, terms []hippad.Term) bool {
	switch {
	case h.Reporter != "" && e.Reporter.String() != h.Reporter,
		h.Organisation != "" && e.Reporter.Organisation != h.Organisation,
		!within(e.Received, h.From, h.To) && !within(hippad.EventTime(e, ev), h.From, h.To),
		len(h.Entries) > 0 && !slices.ContainsFunc(h.Entries, func(r hippad.Range) bool { return e.Index >= r.First && e.Index-r.First < int64(r.Count) }):
		return false
	}
	return h.Patient == "" || ev.Unreadable != "" || slices.ContainsFunc(h.patients, func(t hippad.Term) bool { return concerns(t, ev, terms) })
}

func within(t, from, to time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (to.IsZero() || t.Before(to))
}

// concerns tells whether an entry may be about a patient: it names them, or names their value without saying who assigned it.
func concerns(want hippad.Term, ev hippad.Event, terms []hippad.Term) bool {
	if slices.Contains(terms, want) {
		return true
	}
	i := strings.LastIndexByte(want.Value, '|')
	if i < 0 {
		return false
	}
	value := want.Value[i+1:]
	return slices.ContainsFunc(ev.Entities, func(n hippad.Entity) bool { return n.IsPatient() && unassigned(n.What, value) }) ||
		slices.ContainsFunc(ev.Agents, func(a hippad.Agent) bool { return a.Who.IsPatient() && unassigned(a.Who, value) })
}

// unassigned tells whether a reference names a value without saying who assigned it.
func unassigned(r hippad.Reference, value string) bool {
	id := r.Identifier
	if id.System == "" {
		id = hippad.ParseIdentifier(id.Value)
	}
	literal, _, _ := strings.Cut(r.Literal, "/_history/")
	return id == (hippad.Identifier{Value: value}) || literal[strings.LastIndexByte(literal, '/')+1:] == value
}

// holdsNow returns the holds with every identifier by which the crosswalk knows their patients now.
func (c *Custody) holdsNow() []Hold {
	all := c.Holds()
	for i := range all {
		if h := &all[i]; h.Patient != "" {
			patient := hippad.NewTerm(hippad.FieldPatient, h.Patient)
			h.patients = []hippad.Term{patient}
			if c.Repository.Same != nil {
				h.patients = append(h.patients, c.Repository.Same(patient)...)
			}
		}
	}
	return all
}

// held returns which of the holds, from holdsNow, keep an entry.
func held(holds []Hold, e hippad.Entry, ev hippad.Event) (ids []int64) {
	if len(holds) == 0 {
		return nil
	}
	terms := hippad.EntryTerms(e, ev)
	for _, h := range holds {
		if h.matches(e, ev, terms) {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

// Hold places a hold, which needs hippad.ActRetain, and returns it as it is in the log. While a purge runs it waits for the purge's end, as
// long as ctx allows: it wins over everything that has not begun, and Late says what it came too late for.
func (c *Custody) Hold(ctx context.Context, who hippad.Caller, h Hold) (Hold, error) {
	if err := c.Repository.Permit(ctx, who, "hold", hippad.ActRetain); err != nil {
		return Hold{}, err
	}
	if err := h.check(); err != nil {
		return Hold{}, err
	}
	before := len(c.Certificates())
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return Hold{}, err
	}
	defer done()
	if len(c.holds) >= maxHolds {
		return Hold{}, hippad.Errorf(hippad.Conflict, "there are %d holds already", maxHolds)
	}
	var late []int64
	for _, x := range c.Certificates()[before:] {
		late = append(late, x.ID)
	}
	h.ID, h.By, h.At, h.Late = 0, hippad.Principal{}, time.Time{}, nil
	id, err := c.enter(ctx, who, repository.Changed(repository.ActivityHold, "C", "a hold was placed"), record{Hold: &h})
	if err != nil {
		return Hold{}, err
	}
	placed := c.holds[id]
	placed.Late = late
	return placed, nil
}

// Release ends a hold, which needs hippad.ActRetain. What it kept goes with the next purge.
func (c *Custody) Release(ctx context.Context, who hippad.Caller, id int64, reason string) error {
	if err := c.Repository.Permit(ctx, who, "release", hippad.ActRetain); err != nil {
		return err
	}
	if err := repository.Words("the reason", reason, true); err != nil {
		return err
	}
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if _, ok := c.holds[id]; !ok {
		return hippad.Errorf(hippad.NotFound, "there is no hold %d in force", id)
	}
	_, err = c.enter(ctx, who, repository.Changed(repository.ActivityRelease, "D", "a hold was released"), record{Release: &releaseRecord{id, reason}})
	return err
}

// Holds returns the holds in force, oldest first. It asks nobody who they are: HoldsFor does.
func (c *Custody) Holds() []Hold {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.SortedFunc(maps.Values(c.holds), func(a, b Hold) int { return cmp.Compare(a.ID, b.ID) })
}

// HoldsFor is Holds for a caller, who needs hippad.ActRetain or hippad.ActConfirm. That they asked is in the log before they are
// told: a hold may name a patient.
func (c *Custody) HoldsFor(ctx context.Context, who hippad.Caller) ([]Hold, error) {
	if err := c.asked(ctx, who, "holds", hippad.ActRetain, hippad.ActConfirm); err != nil {
		return nil, err
	}
	return c.Holds(), nil
}

// asked checks and records that somebody asks for something.
func (c *Custody) asked(ctx context.Context, who hippad.Caller, what string, actions ...hippad.Action) error {
	if err := c.Repository.Permit(ctx, who, what, actions...); err != nil {
		return err
	}
	return c.Repository.Note(ctx, who, c.Repository.AuditLogUsed(what, repository.ActivityRetention.Code()))
}

// Held tells whether a hold keeps an entry.
func (c *Custody) Held(e hippad.Entry, ev hippad.Event) bool {
	return len(held(c.holdsNow(), e, ev)) > 0
}
