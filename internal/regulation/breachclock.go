package regulation

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"hippad"
)

const (
	breachDays    = 60  // outer limit, in calendar days: 164.404(b), 164.406(b), 164.408(c), 164.410(b)
	oralDelayDays = 30  // 164.412(b)
	largeBreach   = 500 // individuals in total, from which on the Secretary is told at once: 164.408(b)
	mediaBreach   = 500 // residents of one State; more than these need a media notice: 164.406(a)
)

// breachWarnings are the days after discovery on which whoever is responsible should look again. They are not in the rule.
var breachWarnings = [...]int{30, 45, 55}

// A LawDelay is what a law enforcement official has said: notice would impede a criminal investigation or damage national security
// (164.412).
type LawDelay struct {
	Written  bool   `json:"written"`
	Agency   string `json:"agency"`
	Official string `json:"official"` // who said so: 164.412(b) asks for the identity
	Stated   Date   `json:"stated"`
	Until    Date   `json:"until,omitzero"` // the time that a written statement specifies; of an oral one at most 30 days
	Entry    int64  `json:"entry,omitzero"` // index of the entry that says so
}

// End returns the first day on which notice may be given again: of an oral statement not later than 30 days from it.
func (d LawDelay) End() Date {
	if d.Written {
		return d.Until
	}
	end := d.Stated.AddDays(oralDelayDays)
	if !d.Until.IsZero() && d.Until.Before(end) {
		return d.Until
	}
	return end
}

// Check tells why a statement delays nothing. Kind Invalid.
func (d LawDelay) Check(today Date) error {
	switch {
	case d.Agency == "" || d.Official == "":
		return hippad.Errorf(hippad.Invalid, "who made the statement is missing").WithHint("164.412(b): document the statement, including the identity of the official")
	case d.Stated.IsZero():
		return hippad.Errorf(hippad.Invalid, "the day of the statement is missing")
	case d.Stated.After(today):
		return hippad.Errorf(hippad.Invalid, "the day of the statement is in the future")
	case d.Written && d.Until.IsZero():
		return hippad.Errorf(hippad.Invalid, "a written statement says how long: the day is missing").WithHint("164.412(a); one that does not say it is taken for an oral one")
	case !d.Until.IsZero() && d.Until.Before(d.Stated):
		return hippad.Errorf(hippad.Invalid, "the delay ends before the statement was made")
	case !d.Written && d.Until.After(d.Stated.AddDays(oralDelayDays)):
		return hippad.Errorf(hippad.Invalid, "an oral statement delays for at most %d days from the day on which it was made, until %s", oralDelayDays, d.Stated.AddDays(oralDelayDays)).
			WithHint("164.412(b); a longer delay needs a written statement")
	}
	return nil
}

// BlockedUntil returns the day before which notice of a given day must not be given; zero if it may be. A notice of a day before the
// statement was made is not touched by it.
func BlockedUntil(delays []LawDelay, day Date) (until Date) {
	for _, d := range delays {
		if end := d.End(); !day.Before(d.Stated) && day.Before(end) && end.After(until) {
			until = end
		}
	}
	return until
}

// extended returns the last day for a notice under the delays: the rule does not start the 60 days anew, so it is the later of both. A statement
// that came when it was too late already changes nothing.
func extended(due Date, delays []LawDelay) Date {
	sorted := slices.Clone(delays)
	slices.SortStableFunc(sorted, func(a, b LawDelay) int { return a.Stated.Compare(b.Stated) })
	for _, d := range sorted {
		if !d.Stated.After(due) && d.End().After(due) {
			due = d.End()
		}
	}
	return due
}

// SixtyDays returns the last day of the outer limit after a discovery: 164.404(b), 164.406(b), 164.410(b). The day of discovery is day 0; calendar
// days, so no weekend and no holiday moves it.
func SixtyDays(discovered Date) Date { return discovered.AddDays(breachDays) }

// AnnualDate returns the last day on which the Secretary is told of breaches with fewer than 500 individuals that were discovered in a year: 60 days
// after its end, the 1st of March or in a leap year the 29th of February (164.408(c)).
func AnnualDate(year int) Date {
	return Date{year, time.December, 31}.AddDays(breachDays)
}

// BreachFacts are what the clocks of a case depend on.
type BreachFacts struct {
	Discovered      Date
	ShouldHaveKnown Date // when reasonable diligence would have found it; zero: not earlier
	// AssociateDiscovered is when a business associate found it. If that is an agent of the covered entity, its knowledge is the entity's (78 FR
	// 5655); if not, the entity's clock begins when it is told, which is Discovered.
	AssociateDiscovered Date
	AssociateIsAgent    bool
	// ByAssociate tells that the organisation itself is a business associate: it tells the covered entity (164.410), and that tells all others.
	ByAssociate bool

	Individuals int            // how many are affected; 0: not known yet
	Residents   map[string]int // by State, of those whose State is known
	Determined  Date           // when it was decided to be a breach; zero: not yet
	Delays      []LawDelay
	Overlays    []Overlay
}

// DayZero returns the day on which the breach is treated as discovered: the earliest on which it was known, or would have been by
// reasonable diligence (164.404(a)(2), 164.410(a)(2)).
func (f BreachFacts) DayZero() Date {
	first := f.Discovered
	for _, d := range []Date{f.ShouldHaveKnown, f.agent()} {
		if !d.IsZero() && d.Before(first) {
			first = d
		}
	}
	return first
}

func (f BreachFacts) agent() Date {
	if f.AssociateIsAgent {
		return f.AssociateDiscovered
	}
	return Date{}
}

// Notices that 45 CFR asks for; those of overlays have the name of their rule.
const (
	NoticeIndividual = "individual"
	NoticeMedia      = "media"
	NoticeSecretary  = "secretary"
	NoticeEntity     = "covered-entity"
)

// A BreachClock is one notice that is due.
type BreachClock struct {
	Notice string `json:"notice"`
	State  string `json:"state,omitzero"` // of a media notice and of an overlay
	To     string `json:"to"`             // who is told
	Cite   string `json:"cite"`
	Mark   string `json:"mark"` // how well the rule is verified: V, M or C
	Why    string `json:"why,omitzero"`

	Begins    Date `json:"begins,omitzero"`    // day 0; zero: it has not begun, because Why
	Due       Date `json:"due,omitzero"`       // by the rule
	NotBefore Date `json:"notBefore,omitzero"` // the end of a law enforcement delay
	Last      Date `json:"last,omitzero"`      // the last day, with every delay: the later of both

	yearly bool
}

// BreachClocks returns every notice that is due, in the order of the rule, overlays last.
func BreachClocks(f BreachFacts) []BreachClock {
	zero := f.DayZero()
	sixty := SixtyDays(zero)
	var all []BreachClock
	if f.ByAssociate {
		all = append(all, BreachClock{Notice: NoticeEntity, To: "the covered entity", Cite: "164.410", Mark: "V", Begins: zero, Due: sixty})
	} else {
		all = append(all, BreachClock{Notice: NoticeIndividual, To: "each individual", Cite: "164.404", Mark: "V", Begins: zero, Due: sixty})
		for _, state := range MediaStates(f.Residents) {
			all = append(all, BreachClock{Notice: NoticeMedia, State: state, To: "prominent media of " + StateName(state), Cite: "164.406", Mark: "V", Begins: zero, Due: sixty,
				Why: fmt.Sprintf("%d residents, more than %d", f.Residents[state], mediaBreach)})
		}
		all = append(all, secretary(f, zero))
	}
	for i := range all {
		all[i].Last = extended(all[i].Due, f.Delays)
		for _, d := range f.Delays {
			if d.End().After(all[i].NotBefore) { // a notice that is late already waits too
				all[i].NotBefore = d.End()
			}
		}
	}
	if f.ByAssociate { // those of a State are the covered entity's to keep, too
		return all
	}
	for _, o := range f.Overlays {
		all = append(all, o.clocks(f)...)
	}
	return all
}

func secretary(f BreachFacts, zero Date) BreachClock {
	c := BreachClock{Notice: NoticeSecretary, To: "the Secretary of HHS", Cite: "164.408(b)", Mark: "V", Begins: zero, Due: SixtyDays(zero),
		Why: fmt.Sprintf("%d individuals, %d or more: at the same time as the individual notice", f.Individuals, largeBreach)}
	switch {
	case f.Individuals == 0:
		c.Why = "how many individuals is not known: estimate, file, and correct it by an addendum"
	case f.Individuals < largeBreach:
		c.Cite, c.Due, c.yearly = "164.408(c)", AnnualDate(zero.Year), true
		c.Why = fmt.Sprintf("%d individuals, fewer than %d: within 60 days after the end of %d", f.Individuals, largeBreach, zero.Year)
	}
	return c
}

// MediaUnknown tells whether a State could have more than 500 residents of whom it is not known that they live there: 164.406(a).
func MediaUnknown(residents map[string]int, unknown int) bool {
	if unknown > mediaBreach {
		return true
	}
	for _, n := range residents {
		if n <= mediaBreach && n+unknown > mediaBreach {
			return true
		}
	}
	return false
}

// MediaStates returns the States with more than 500 residents among those who are affected, whose media are told: 164.406(a).
func MediaStates(residents map[string]int) (states []string) {
	for s, n := range residents {
		if n > mediaBreach {
			states = append(states, s)
		}
	}
	slices.SortFunc(states, cmp.Compare)
	return states
}

// A BreachStanding is how a clock stands on a day.
type BreachStanding struct {
	BreachClock
	Elapsed  int    `json:"elapsed"`           // days since day 0
	DaysLeft int    `json:"daysLeft"`          // until Last; negative: so many days too late. Of a notice that was given: when it was
	Warning  int    `json:"warning,omitzero"`  // 30, 45 or 55, once so many days have passed and the notice was not given
	Blocked  bool   `json:"blocked,omitzero"`  // notice must not be given yet
	Overdue  bool   `json:"overdue,omitzero"`  // the last day is over and the notice was not given
	Late     bool   `json:"late,omitzero"`     // the notice was given after the last day
	Given    Date   `json:"given,omitzero"`    // when the notice was complete; zero: it is not
	Progress string `json:"progress,omitzero"` // how much of it was given, in words
}

// At tells how the clock stands today, given was when its notice was complete, zero if it is not.
func (c BreachClock) At(today, given Date) BreachStanding {
	s := BreachStanding{BreachClock: c, Given: given}
	if c.Begins.IsZero() {
		return s
	}
	if !given.IsZero() {
		s.Elapsed, s.DaysLeft = c.Begins.DaysUntil(given), given.DaysUntil(c.Last)
		s.Late = given.After(c.Last)
		return s
	}
	s.Elapsed, s.DaysLeft = c.Begins.DaysUntil(today), today.DaysUntil(c.Last)
	s.Blocked = today.Before(c.NotBefore)
	s.Overdue = today.After(c.Last)
	for _, n := range breachWarnings {
		if !c.yearly && s.Elapsed >= n {
			s.Warning = n
		}
	}
	return s
}
