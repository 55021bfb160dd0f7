package breach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hippad"
	"hippad/internal/regulation"
)

// OpenCase opens a case, and holds the entries where it was noticed. It needs hippad.ActAnswer, and to hold hippad.ActRetain.
func (b *Breaches) OpenCase(ctx context.Context, who hippad.Caller, o Opening) (Case, error) {
	if err := b.permit(ctx, who, "open"); err != nil {
		return Case{}, err
	}
	if err := b.checkOpening(o); err != nil {
		return Case{}, err
	}
	var err error
	o.Hold = 0
	if err := b.fits(who, record{Open: &o}); err != nil {
		return Case{}, err
	}
	if o.Hold, err = b.hold(ctx, who, Case{Opening: o}, "a breach was noticed here", o.Entries); err != nil {
		return Case{}, err
	}
	done, err := b.journal.Begin(ctx)
	if err != nil {
		return Case{}, err
	}
	defer done()
	id, err := b.enter(ctx, who, "a breach case was opened", record{Open: &o})
	if err != nil {
		return Case{}, err
	}
	return b.find(id)
}

func (b *Breaches) checkOpening(o Opening) error {
	if err := all(
		line("the name", o.Name, false), prose("what happened", o.What, true), line("who discovered it", o.DiscoveredBy, true), line("the business associate", o.Associate, false),
		regulation.CheckBreachDates(b.today(), o.Happened, o.Ended, o.Discovered, o.ShouldHaveKnown),
	); err != nil {
		return err
	}
	if !slices.Contains(regulation.Causes[:], o.Cause) {
		return hippad.Errorf(hippad.Invalid, "there is no such cause").WithHint("one of %s", joined(regulation.Causes[:]))
	}
	for i, e := range o.CoveredEntities {
		if err := line(fmt.Sprintf("covered entity %d", i+1), e, true); err != nil {
			return err
		}
	}
	switch {
	case o.Associate == "" && (o.AssociateIsAgent || !o.AssociateDiscovered.IsZero()):
		return hippad.Errorf(hippad.Invalid, "the business associate has no name")
	case o.AssociateIsAgent && o.AssociateDiscovered.IsZero():
		return hippad.Errorf(hippad.Invalid, "the day on which the business associate discovered it is missing").WithHint("what an agent knows the covered entity knows: its day counts")
	case o.AssociateDiscovered.After(b.today()):
		return hippad.Errorf(hippad.Invalid, "the business associate discovered it in the future")
	case !o.AssociateDiscovered.IsZero() && o.Happened.After(o.AssociateDiscovered):
		return hippad.Errorf(hippad.Invalid, "the business associate discovered it before it happened")
	}
	if len(o.Entries) > 0 {
		held, err := places(o.Entries)
		if err != nil {
			return err
		}
		if slices.Max(held) >= b.Ledger.Size() {
			return hippad.Errorf(hippad.NotFound, "the log has no entry %d", slices.Max(held))
		}
	}
	return nil
}

func joined[S ~string](all []S) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}

// Do adds a step to a case, and returns the case with it. It needs hippad.ActAnswer. Kind Conflict for what the rule or the state of the case forbids
// now, Invalid for what it forbids always.
func (b *Breaches) Do(ctx context.Context, who hippad.Caller, id int64, s Step) (Case, error) {
	if err := b.permit(ctx, who, "step"); err != nil {
		return Case{}, err
	}
	var missing []string
	looked := 0
	if s.Close != nil { // asks the log, so it comes before the turn
		status, err := b.status(ctx, who, id, "close")
		if err != nil {
			return Case{}, err
		}
		missing, looked = status.Missing, len(status.Case.Steps)
	}
	done, err := b.journal.Begin(ctx)
	if err != nil {
		return Case{}, err
	}
	defer done()
	c, err := b.find(id)
	if err != nil {
		return Case{}, err
	}
	if c.Closed != nil && s.Reopen == nil {
		_, err := b.open(id)
		return Case{}, err
	}
	if s.Close != nil && len(c.Steps) != looked {
		return Case{}, hippad.Errorf(hippad.Conflict, "case %d has just been changed by somebody else", id).WithHint("look at it again: hippad breach show")
	}
	description, err := b.check(c, &s, missing)
	if err != nil {
		return Case{}, err
	}
	if _, err := b.enter(ctx, who, description, record{Case: id, Step: s}); err != nil {
		return Case{}, err
	}
	return b.find(id)
}

// check tells what is wrong with a step, fills in what it leaves to the case, and describes it for the entry, naming no patient.
func (b *Breaches) check(c Case, s *Step, missing []string) (string, error) {
	set := 0
	for _, is := range []bool{len(s.Assess) > 0, s.Amend != nil, s.Decide != nil, s.Delay != nil, s.Withdraw != nil, s.Describe != nil, s.Letter != nil, s.Notice != nil, s.Close != nil, s.Reopen != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return "", hippad.Errorf(hippad.Invalid, "a step says one thing")
	}
	switch {
	case len(s.Assess) > 0:
		return "a breach was assessed", checkAssess(c, s.Assess)
	case s.Amend != nil:
		return "the days of a breach were amended", b.checkAmend(c, s.Amend)
	case s.Decide != nil:
		return "a breach was decided on", b.checkDecide(c, s.Decide)
	case s.Delay != nil:
		if err := all(line("the agency", s.Delay.Agency, false), line("the official", s.Delay.Official, false)); err != nil {
			return "", err
		}
		return "law enforcement delays the notices of a breach", s.Delay.Check(b.today())
	case s.Withdraw != nil:
		what := c.withdraw(s.Withdraw.Entry) // of this copy
		if what == "" {
			return "", hippad.Errorf(hippad.NotFound, "entry %d records no delay and no notice of case %d that is in force", s.Withdraw.Entry, c.ID).WithHint("hippad breach show names the entries")
		}
		return "of a breach: " + what, prose("the reason", s.Withdraw.Reason, true)
	case s.Describe != nil:
		return "a breach was described", checkDescribe(*s.Describe)
	case s.Letter != nil:
		return "the letter of a breach was written", b.checkLetter(s.Letter)
	case s.Notice != nil:
		return "notice of a breach was given", b.checkNotice(c, s.Notice)
	case s.Reopen != nil:
		if c.Closed == nil {
			return "", hippad.Errorf(hippad.Conflict, "case %d is open", c.ID)
		}
		*s.Reopen = Closing{Reason: s.Reopen.Reason}
		return "a breach case was opened again", prose("the reason", s.Reopen.Reason, true)
	}
	return "a breach case was closed", checkClose(c, s.Close, missing)
}

func checkAssess(c Case, answers []regulation.BreachAnswer) error {
	for i := range answers {
		answers[i].Entry, answers[i].At = 0, answers[i].At.Truncate(0)
		if slices.ContainsFunc(answers[:i], func(x regulation.BreachAnswer) bool { return x.Question == answers[i].Question }) {
			return hippad.Errorf(hippad.Invalid, "there are two answers about %s", answers[i].Question)
		}
		name := "the text about " + string(answers[i].Question)
		if err := all(regulation.CheckBreachAnswer(c.Cause, answers[i]), prose(name, answers[i].Text, true), line("the author", answers[i].Author, true)); err != nil {
			return err
		}
	}
	return nil
}

// checkAmend checks the opening as it is with an amendment.
func (b *Breaches) checkAmend(c Case, a *Amendment) error {
	if err := prose("the reason", a.Reason, true); err != nil {
		return err
	}
	a.apply(&c.Opening)
	if *a == (Amendment{Reason: a.Reason}) {
		return hippad.Errorf(hippad.Invalid, "nothing is amended")
	}
	return b.checkOpening(c.Opening)
}

func (b *Breaches) checkDecide(c Case, d *Decision) error {
	if err := prose("the reason", d.Reason, true); err != nil {
		return err
	}
	if d.On.IsZero() {
		if d.On = b.today(); d.Breach && c.Decision.isBreach() {
			d.On = c.Decision.On // it was determined then: to say it again begins no clock anew
		}
	}
	d.Entry = 0
	switch {
	case d.On.After(b.today()):
		return hippad.Errorf(hippad.Invalid, "the day of the decision is in the future")
	case d.On.Before(c.facts(nil).DayZero()):
		return hippad.Errorf(hippad.Invalid, "the day of the decision is before the discovery")
	case d.Breach && d.Basis != "":
		return hippad.Errorf(hippad.Invalid, "a breach needs no basis: it is presumed (164.402(2))")
	case d.Breach:
		return nil
	case len(c.Persons) > 0 || len(c.Notices) > 0:
		return hippad.Errorf(hippad.Conflict, "notices have been given already").WithHint("a report to the Secretary is corrected by an addendum; close the case with a reason. What was recorded wrongly is withdrawn: hippad breach withdraw")
	}
	return regulation.CheckNoBreach(c.Cause, c.Assessment, d.Basis)
}

func checkDescribe(a regulation.PortalAnswers) error {
	if wrong := a.Wrong(); len(wrong) > 0 {
		return hippad.Errorf(hippad.Invalid, "the portal does not take this: %s", strings.Join(wrong, "; ")).WithHint("hippad breach describe --help lists what it offers")
	}
	return all(prose("the description", a.Description, false), prose("the other actions", a.OtherActions, false), line("the tracking number", a.AddendumTo, false))
}

// checkLetter lets a draft through: what is missing is said when it is to be used.
func (b *Breaches) checkLetter(l *regulation.BreachLetter) error {
	if l.Contact == (regulation.Contact{}) && l.Postal == "" {
		l.Contact = b.Organisation.Contact
		if a := b.Organisation.Address; !a.IsZero() {
			l.Postal = strings.Join(append([]string{b.Organisation.Name}, a.Written()...), ", ")
		}
	}
	c := l.Contact
	return all(prose("what happened", l.What, false), prose("the types of PHI", l.Types, false), prose("the steps", l.Steps, false), prose("what is done", l.Doing, false),
		line("the postal address", l.Postal, false), line("the language", l.Language, false),
		line("the contact", strings.Join([]string{c.First, c.Last, c.Title, c.Phone, c.TollFree, c.Email, c.Web}, " "), false))
}

func checkClose(c Case, x *Closing, missing []string) error {
	x.Missing = nil
	if err := prose("the reason", x.Reason, x.Override); err != nil {
		return err
	}
	if len(missing) == 0 {
		x.Override = false
		return nil
	}
	if !x.Override {
		return hippad.Errorf(hippad.Conflict, "case %d cannot be closed: %s", c.ID, strings.Join(missing, "; ")).WithHint("--override closes it all the same, with a reason")
	}
	x.Missing = missing
	return nil
}
