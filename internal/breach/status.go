package breach

import (
	"context"
	"fmt"
	"strings"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// A Status is how a case stands on a day.
type Status struct {
	Case     Case                        `json:"case"`
	Today    regulation.Date             `json:"today"`
	DayZero  regulation.Date             `json:"dayZero"` // on which it is treated as discovered
	Clocks   []regulation.BreachStanding `json:"clocks,omitzero"`
	Missing  []string                    `json:"missing,omitzero"` // before it can be closed
	Affected int                         `json:"affected"`         // individuals whom the entries name now
	Reached  int                         `json:"reached"`          // of them, who have had notice
	// Substituted are those of the reached who had nothing but substitute notice, one by one: 164.404(d)(2)(i).
	Substituted int    `json:"substituted,omitzero"`
	Drift       string `json:"drift,omitzero"` // how the answer differs from the scope that is written down
}

// Status returns how a case stands to a caller with hippad.ActAnswer and hippad.ActRead: it asks the log again whom it affects.
func (b *Breaches) Status(ctx context.Context, who hippad.Caller, id int64) (Status, error) {
	if err := b.permit(ctx, who, "status"); err != nil {
		return Status{}, err
	}
	return b.status(ctx, who, id, "status")
}

func (b *Breaches) status(ctx context.Context, who hippad.Caller, id int64, what string) (Status, error) {
	c, err := b.find(id)
	if err != nil {
		return Status{}, err
	}
	affected, err := b.affected(ctx, who, c, what)
	if err != nil {
		return Status{}, err
	}
	s := Status{Case: c, Today: b.today(), DayZero: c.facts(nil).DayZero(), Affected: len(affected.Persons), Drift: drift(c, affected)}
	days, substituted := reached(c, affected)
	s.Reached, s.Substituted = len(days), substituted
	s.Clocks = b.standings(&c, affected)
	s.Missing = b.missing(c, s)
	return s, nil
}

// Affected returns whom a case affects, to a caller with hippad.ActAnswer and hippad.ActRead, and how that differs from what is written down. what says for
// what it is wanted, in the entry about it.
func (b *Breaches) Affected(ctx context.Context, who hippad.Caller, id int64, what string) (*Affected, string, error) {
	if err := b.permit(ctx, who, "affected"); err != nil {
		return nil, "", err
	}
	if err := line("what it is for", what, false); err != nil {
		return nil, "", err
	}
	c, err := b.find(id)
	if err != nil {
		return nil, "", err
	}
	a, err := b.affected(ctx, who, c, what)
	if err != nil {
		return nil, "", err
	}
	return a, drift(c, a), nil
}

// affected records that somebody asks, and asks the questions of a case's scope again.
func (b *Breaches) affected(ctx context.Context, who hippad.Caller, c Case, what string) (*Affected, error) {
	reading, err := b.Repository.Consult(ctx, who, b.asked(strings.TrimSpace(fmt.Sprintf("%d %s", c.ID, what))))
	if err != nil {
		return nil, err
	}
	return b.again(ctx, reading, c)
}

func (b *Breaches) again(ctx context.Context, reading *repository.Reading, c Case) (*Affected, error) {
	if c.Scope == nil {
		return &Affected{Persons: []Person{}}, nil
	}
	return b.ask(ctx, reading, *c.Scope)
}

// drift says how an answer differs from that of the scope; empty if it does not.
func drift(c Case, a *Affected) string {
	if c.Scope == nil || a.SHA256() == c.Scope.SHA256 {
		return ""
	}
	why := "identifiers were linked or unlinked since"
	if a.Entries < c.Scope.Entries || a.Destroyed > c.Scope.Destroyed {
		why = "content was destroyed since"
	}
	return fmt.Sprintf("the scope was %d individuals in %d entries, and is now %d in %d: %s", c.Scope.Individuals, c.Scope.Entries, len(a.Persons), a.Entries, why)
}

// facts are what the clocks of the case depend on.
func (c *Case) facts(overlays []regulation.Overlay) regulation.BreachFacts {
	f := regulation.BreachFacts{
		Discovered: c.Discovered, ShouldHaveKnown: c.ShouldHaveKnown, AssociateDiscovered: c.AssociateDiscovered, AssociateIsAgent: c.AssociateIsAgent,
		Individuals: c.individuals(), Residents: c.residents(), Delays: c.Delays, Overlays: overlays,
	}
	if c.Decision.isBreach() {
		f.Determined = c.Decision.On
	}
	return f
}

// standings are the clocks of a case today, none of one that was decided to be no breach. Without affected the list of notices is all that is looked at.
func (b *Breaches) standings(c *Case, affected *Affected) (out []regulation.BreachStanding) {
	if c.Decision != nil && !c.Decision.Breach {
		return nil
	}
	f := c.facts(b.overlays)
	f.ByAssociate = b.Organisation.Kind == "Business Associate"
	individualsTold := map[string]bool{regulation.NoticeIndividual: true}
	for _, o := range b.overlays {
		individualsTold[o.Name] = o.Individuals
	}
	for _, k := range regulation.BreachClocks(f) {
		var given regulation.Date
		progress := ""
		switch {
		case individualsTold[k.Notice]:
			given, progress = toldEverybody(*c, affected, b.Repository.Same)
		case k.Notice == regulation.NoticeEntity && len(c.CoveredEntities) > 0:
			given, progress = toldEntities(*c)
		default:
			given = firstNotice(*c, k)
		}
		s := k.At(b.today(), given)
		s.Progress = progress
		out = append(out, s)
	}
	return out
}

// firstNotice is the first day of a notice of that kind.
func firstNotice(c Case, k regulation.BreachClock) (first regulation.Date) {
	for _, n := range c.Notices {
		if n.Kind == k.Notice && (k.Notice != regulation.NoticeMedia || n.State == k.State) && (first.IsZero() || n.Date.Before(first)) {
			first = n.Date
		}
	}
	return first
}

// toldEntities is the day on which the last of the covered entities was told whose data it was, zero if one was not: 164.410(a)(1).
func toldEntities(c Case) (last regulation.Date, progress string) {
	have := 0
	for _, name := range c.CoveredEntities {
		var first regulation.Date
		for _, n := range c.Notices {
			if n.Kind == regulation.NoticeEntity && strings.EqualFold(n.To, name) && (first.IsZero() || n.Date.Before(first)) {
				first = n.Date
			}
		}
		if first.IsZero() {
			continue
		}
		if have++; first.After(last) || last.IsZero() {
			last = first
		}
	}
	progress = fmt.Sprintf("%d of %d", have, len(c.CoveredEntities))
	if have < len(c.CoveredEntities) {
		return regulation.Date{}, progress
	}
	return last, progress
}

// toldEverybody is the day on which the last individual had notice, zero if one has not.
func toldEverybody(c Case, affected *Affected, same func(hippad.Term) []hippad.Term) (last regulation.Date, progress string) {
	if c.Scope == nil {
		return last, ""
	}
	if affected == nil { // by what is written down alone
		affected = recorded(c, same)
	}
	days, _ := reached(c, affected)
	have, others, want := len(days), 0, max(len(affected.Persons), c.Scope.Estimate)
	later := func(d regulation.Date) {
		if d.After(last) || last.IsZero() {
			last = d
		}
	}
	for _, d := range days {
		later(d)
	}
	for _, n := range c.Notices {
		switch {
		case n.Kind == regulation.NoticeIndividual:
			others += n.Persons
		case n.Kind == kindSubstitute:
			have += n.Substitute.Persons
		default:
			continue
		}
		later(n.Date)
	}
	// Others are those whom no entry names: they are in the estimate, and stand for nobody whom an entry names.
	have += min(others, max(0, want-len(affected.Persons)))
	if have = min(have, want); have < want || want == 0 {
		return regulation.Date{}, fmt.Sprintf("%d of %d", have, want)
	}
	return last, fmt.Sprintf("%d of %d", have, want)
}

// substitutes are the notices to all of those who could not be reached.
func (c *Case) substitutes() (out []regulation.Substitute) {
	for _, n := range c.Notices {
		if n.Substitute != nil {
			out = append(out, *n.Substitute)
		}
	}
	return out
}

// recorded is whom a case affects as far as that can be said without asking the log: those who are in the lists of notices, and nameless others up to
// the number of the scope. same is the crosswalk: who is listed under two numbers is one.
func recorded(c Case, same func(hippad.Term) []hippad.Term) *Affected {
	g := newGroups(same)
	for i, n := range c.Persons {
		g.add(int64(i), []string{n.Patient})
	}
	a := &Affected{Persons: g.persons()}
	for len(a.Persons) < c.Scope.Individuals {
		a.Persons = append(a.Persons, Person{})
	}
	return a
}

// missing names what a case lacks before it can be closed.
func (b *Breaches) missing(c Case, s Status) (missing []string) {
	if c.Decision == nil {
		return []string{"it is not decided whether it is a breach"}
	}
	if !c.Decision.Breach {
		return nil
	}
	if c.Scope == nil {
		missing = append(missing, "it is not scoped")
	}
	if s.Drift != "" {
		missing = append(missing, s.Drift)
	}
	for _, k := range s.Clocks {
		if !k.Given.IsZero() {
			continue
		}
		text := fmt.Sprintf("notice to %s (%s)", k.To, k.Cite)
		if k.Progress != "" {
			text += " was given to " + k.Progress
		}
		missing = append(missing, text)
	}
	if b.Organisation.Kind != "Business Associate" && c.Scope != nil && regulation.MediaUnknown(c.Scope.Residents, c.Scope.Unknown) {
		missing = append(missing, fmt.Sprintf("the State of %d individuals is not known: the media of a State with more than 500 residents among them are told (164.406)", c.Scope.Unknown))
	}
	if lack := regulation.SubstituteLacks(s.Substituted, c.substitutes()); lack != "" {
		missing = append(missing, lack)
	}
	for _, n := range c.Notices {
		if x := n.Substitute; x != nil && x.Until.After(s.Today) {
			missing = append(missing, fmt.Sprintf("the substitute notice is to last until %s (164.404(d)(2)(ii))", x.Until))
		}
	}
	return missing
}
