package crosswalk

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"hippad"
	"hippad/internal/repository"
)

// A Person is who has the identifiers.
type Person struct {
	Number      int64        `json:"number"` // within this crosswalk; who is merged has the smaller one of both
	Identifiers []Identifier `json:"identifiers"`
}

// An Identifier is one of a person's, and how it came to be.
type Identifier struct {
	ID string `json:"identifier"` // canonical
	Link
}

// String hides the identifiers.
func (p Person) String() string { return fmt.Sprintf("person with %d identifiers", len(p.Identifiers)) }

// GoString hides the identifiers under %#v.
func (p Person) GoString() string { return p.String() }

// LogValue hides the identifiers in slog.
func (p Person) LogValue() slog.Value { return slog.StringValue(p.String()) }

func (p *person) shown() Person {
	out := Person{Number: p.number}
	for _, m := range p.members {
		out.Identifiers = append(out.Identifiers, Identifier{m.id, *m.link})
	}
	slices.SortFunc(out.Identifiers, func(a, b Identifier) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// A Change says what a link or an unlink came to.
type Change struct {
	Changed     bool  `json:"changed"`        // false: it was so already
	Entry       int64 `json:"entry,omitzero"` // index of the entry that says so, if Changed
	Identifiers int   `json:"identifiers"`    // how many the person has now; 0 if there is nobody left with more than one
}

// Link says that two or more identifiers, in any form that says who assigned them, are one person, who then has all those that any of
// them had. It needs hippad.ActRetain.
func (c *Crosswalk) Link(ctx context.Context, who hippad.Caller, row []string, reason string) (Change, error) {
	if err := c.permit(ctx, who, "link"); err != nil {
		return Change{}, err
	}
	if err := repository.Words("the reason", reason, true); err != nil {
		return Change{}, err
	}
	ids, err := canonical(row)
	if err != nil {
		return Change{}, err
	}
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return Change{}, err
	}
	defer done()
	changed, err := c.state.draft().link(ids, &Link{})
	if err != nil {
		return Change{}, err
	}
	if !changed {
		if err := c.asked(ctx, who, "link "+strings.Join(ids, " ")); err != nil {
			return Change{}, err
		}
		return Change{Identifiers: len(c.state.find(ids[0]).members)}, nil
	}
	index, err := c.enter(ctx, who, repository.Changed(repository.ActivityLink, "C", "patient identifiers were linked"), record{Reason: reason, Link: [][]string{ids}})
	if err != nil {
		return Change{}, err
	}
	return Change{true, index, len(c.state.find(ids[0]).members)}, nil
}

// Unlink takes an identifier away from its person, whose others stay together. It needs hippad.ActRetain. Kind NotFound if it is not linked.
func (c *Crosswalk) Unlink(ctx context.Context, who hippad.Caller, text, reason string) (Change, error) {
	if err := c.permit(ctx, who, "unlink"); err != nil {
		return Change{}, err
	}
	if err := repository.Words("the reason", reason, true); err != nil {
		return Change{}, err
	}
	id, err := one(text)
	if err != nil {
		return Change{}, err
	}
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return Change{}, err
	}
	defer done()
	p := c.state.find(id)
	if p == nil {
		return Change{}, c.notLinked(ctx, who, "unlink "+id)
	}
	index, err := c.enter(ctx, who, repository.Changed(repository.ActivityUnlink, "D", "a patient identifier was unlinked"), record{Reason: reason, Unlink: id})
	if err != nil {
		return Change{}, err
	}
	left := len(p.members)
	if left < 2 {
		left = 0
	}
	return Change{true, index, left}, nil
}

// one is Canonical for a single identifier that somebody names.
func one(text string) (string, error) {
	id, err := Canonical(text)
	if err != nil {
		message, hint := hippad.Public(err)
		return "", hippad.Errorf(hippad.Invalid, "the identifier: %s", message).WithHint("%s", hint)
	}
	return id, nil
}

func (c *Crosswalk) notLinked(ctx context.Context, who hippad.Caller, query string) error {
	if err := c.asked(ctx, who, query); err != nil {
		return err
	}
	return hippad.Errorf(hippad.NotFound, "this identifier is not linked")
}

// Show returns the person who has an identifier. It needs hippad.ActRetain. Kind NotFound if it is not linked.
func (c *Crosswalk) Show(ctx context.Context, who hippad.Caller, text string) (Person, error) {
	if err := c.permit(ctx, who, "show"); err != nil {
		return Person{}, err
	}
	id, err := one(text)
	if err != nil {
		return Person{}, err
	}
	if err := c.asked(ctx, who, "show "+id); err != nil {
		return Person{}, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	p := c.state.persons[id]
	if p == nil {
		return Person{}, hippad.Errorf(hippad.NotFound, "this identifier is not linked")
	}
	return p.shown(), nil
}

// A Page is a part of the list of everybody.
type Page struct {
	Persons []Person `json:"persons"`
	Next    int64    `json:"next,omitzero"` // where the next page goes on; 0: there is none
}

const pageSize = 10_000 // identifiers, after which a page ends

// List returns everybody whose number is greater, in the order of the numbers, as far as a page goes. It needs hippad.ActRetain.
func (c *Crosswalk) List(ctx context.Context, who hippad.Caller, after int64) (Page, error) {
	if err := c.permit(ctx, who, "list"); err != nil {
		return Page{}, err
	}
	if after < 0 {
		return Page{}, hippad.Errorf(hippad.Invalid, "there is no such page")
	}
	if err := c.asked(ctx, who, fmt.Sprintf("list after %d", after)); err != nil {
		return Page{}, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	page := Page{Persons: []Person{}}
	size := 0
	for n := after + 1; n <= c.state.last; n++ {
		p := c.state.numbers[n]
		if p == nil {
			continue
		}
		if size >= pageSize {
			page.Next = n - 1
			break
		}
		page.Persons = append(page.Persons, p.shown())
		size += len(p.members)
	}
	return page, nil
}

// MaxRows is how many rows Import takes at once.
const MaxRows = 1000

// An Outcome says what became of a row. If nothing is set it was so already.
type Outcome struct {
	Linked  bool   `json:"linked,omitzero"`
	Refused string `json:"refused,omitzero"` // why, in words that quote nothing
}

// Import links the identifiers of each row, as Link does one, with a single entry for all of them: a row is linked as a whole or refused, and one
// that is refused does not keep others out. A trial does all but write. It needs hippad.ActRetain.
func (c *Crosswalk) Import(ctx context.Context, who hippad.Caller, rows [][]string, reason string, trial bool) ([]Outcome, error) {
	if err := c.permit(ctx, who, "import"); err != nil {
		return nil, err
	}
	if err := repository.Words("the reason", reason, true); err != nil {
		return nil, err
	}
	if len(rows) == 0 || len(rows) > MaxRows {
		return nil, hippad.Errorf(hippad.Invalid, "an import takes 1 to %d rows at once", MaxRows)
	}
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	out := make([]Outcome, len(rows))
	var news, told [][]string // to be written; of which the answer tells something
	draft := c.state.draft()
	for i, row := range rows {
		ids, err := canonical(row)
		if err == nil {
			out[i].Linked, err = draft.link(ids, &Link{})
		}
		switch {
		case err != nil:
			out[i].Refused, _ = hippad.Public(err)
		case out[i].Linked:
			news = append(news, ids)
		}
		if err == nil && (trial || !out[i].Linked) {
			told = append(told, ids)
		}
	}
	if len(told) > 0 {
		var text strings.Builder
		for _, ids := range told {
			fmt.Fprintf(&text, "\nlink %s", strings.Join(ids, " "))
		}
		if err := c.asked(ctx, who, "import:"+text.String()); err != nil {
			return nil, err
		}
	}
	if len(news) > 0 && !trial {
		description := fmt.Sprintf("patient identifiers were linked: %d rows of an import", len(news))
		if _, err := c.enter(ctx, who, repository.Changed(repository.ActivityLink, "C", description), record{Reason: reason, Link: news}); err != nil {
			return nil, err
		}
	}
	return out, nil
}
