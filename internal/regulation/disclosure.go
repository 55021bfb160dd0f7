package regulation

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"hippad"
)

// A Recipient is who got something: 164.528(b)(2)(ii).
type Recipient struct {
	Name    string `json:"name"`
	Address string `json:"address,omitzero"` // empty: not known

	key, text string   // what tells it from others, and what names it as it was sent
	forms     []string // everything that names it, as it is compared
}

// is tells whether a name or an identifier, as it is compared, is the recipient's.
func (r Recipient) is(form string) bool {
	return form != "" && (r.key == form || partyForm(r.Name) == form || slices.Contains(r.forms, form))
}

// A Disclosure is what an entry comes to in an accounting (45 CFR 160.103, 164.528).
type Disclosure struct {
	Entry      int64       `json:"entry"`
	Verdict    Verdict     `json:"verdict"`
	Date       Date        `json:"date,omitzero"` // the day in the organisation's zone; zero if it is missing or cannot be
	Recipients []Recipient `json:"recipients,omitzero"`
	By         string      `json:"by,omitzero"` // the business associate that made it; empty: the organisation
	What       string      `json:"what,omitzero"`
	Purpose    string      `json:"purpose,omitzero"`
	Bases      []string    `json:"bases,omitzero"`    // names of the Basis; several where the event does not tell them apart
	Clause     string      `json:"clause,omitzero"`   // the paragraph that exempts it, or by which it is listed
	Reasons    []string    `json:"reasons,omitzero"`  // why a person has to say
	Unless     string      `json:"unless,omitzero"`   // when the verdict is another one
	Decided    *Decision   `json:"decided,omitzero"`  // by a person; what is above follows it
	Patients   []string    `json:"patients,omitzero"` // identifiers of whom the event is about, for the officer

	through bool // a system reported it as it happened: for 42 USC 17935(c), through an EHR
	part2   bool // of records of substance use disorder treatment: 42 CFR 2.11
	key     string
	many    int // recipients of the event, of whom Recipients has the first
}

// String hides what was disclosed.
func (d Disclosure) String() string { return fmt.Sprintf("disclosure of entry %d", d.Entry) }

// GoString hides what was disclosed under %#v.
func (d Disclosure) GoString() string { return d.String() }

// LogValue hides what was disclosed in slog.
func (d Disclosure) LogValue() slog.Value { return slog.StringValue(d.String()) }

// A Decision is what a person has said of an entry. What is empty stays as the entry has it.
type Decision struct {
	Entry     int64     `json:"entry"`
	Verdict   Verdict   `json:"verdict"`          // Accountable, Exempt or NotDisclosed
	Basis     string    `json:"basis,omitzero"`   // name of a Basis; needed unless NotDisclosed
	Date      Date      `json:"date,omitzero"`    // when it happened, if the entry does not say
	To        string    `json:"to,omitzero"`      // the recipient's name
	Address   string    `json:"address,omitzero"` // and address
	What      string    `json:"what,omitzero"`
	Purpose   string    `json:"purpose,omitzero"` // statement in words; empty: that of the basis
	Why       string    `json:"why"`              // the reason of the decision
	DecidedBy string    `json:"decidedBy,omitzero"`
	At        time.Time `json:"at,omitzero"`
}

// Check tells whether a decision can be one. Kind Invalid if not.
func (x Decision) Check() error {
	b, known := BasisNamed(x.Basis)
	switch {
	case x.Entry < 0:
		return hippad.Errorf(hippad.Invalid, "there is no such entry")
	case !x.Date.IsZero() && x.Date.Before(firstDay):
		return hippad.Errorf(hippad.Invalid, "the day is before there was a rule to disclose by")
	case x.Verdict == NotDisclosed && x.Basis != "":
		return hippad.Errorf(hippad.Invalid, "what is no disclosure has no basis")
	case x.Verdict == NotDisclosed:
		return nil
	case x.Verdict != Accountable && x.Verdict != Exempt:
		return hippad.Errorf(hippad.Invalid, "a decision is accountable, exempt or none")
	case !known:
		return hippad.Errorf(hippad.Invalid, "the basis is missing or not known").WithHint("one of %s", strings.Join(BasisNames(), ", "))
	case x.Verdict == Exempt && b.Exempt == "":
		return hippad.Errorf(hippad.Invalid, "%s (%s) is not exempt: it is accounted for", b.Name, b.Section)
	case x.Verdict == Accountable && b.Exempt != "":
		return hippad.Errorf(hippad.Invalid, "%s (%s) is exempt by %s", b.Name, b.Section, b.Exempt)
	}
	return nil
}

// BasisNames lists the names of all bases.
func BasisNames() (names []string) {
	for _, b := range bases {
		names = append(names, b.Name)
	}
	return names
}

// A Classifier knows whose log it is and what people have decided. It is safe for use by many goroutines if Decided is.
type Classifier struct {
	decided   func(entry int64) (Decision, bool)
	directory *directory
	zone      *time.Location
}

// NewClassifier returns one for an organisation; decided says what a person has said of an entry, and may be nil.
func NewClassifier(o *Organisation, decided func(entry int64) (Decision, bool)) *Classifier {
	return &Classifier{decided: decided, directory: newDirectory(o), zone: o.Zone()}
}

// firstDay is when HIPAA became law: no accounting goes back so far, and a clock that says so is not set. complianceDay is 164.534, from which on
// there is anything to account for; small health plans had a year more.
var (
	firstDay      = Date{1996, time.August, 21}
	complianceDay = Date{2003, time.April, 14}
)

// Classify says what an entry is in an accounting: no disclosure of this organisation, exempt with the paragraph, accountable, or for a person to
// say, with the reasons. Nothing that is missing is guessed. What the log says about itself is never a disclosure.
func (c *Classifier) Classify(e hippad.Entry, ev hippad.Event) Disclosure {
	d := Disclosure{Entry: e.Index, Verdict: NotDisclosed}
	if e.Door == hippad.DoorSelf || e.Destroyed {
		return d
	}
	way := c.wayOf(e, &ev)
	decision, decided := Decision{}, false
	if c.decided != nil {
		decision, decided = c.decided(e.Index)
	}
	if !way.disclosed && !way.doubtful && !decided {
		return d
	}
	d.through = ev.Source.Observer.Identifier.System != SystemManual
	d.part2 = isPart2(&ev)
	c.describe(&d, &ev, way)
	problem := c.date(&d, e, &ev)
	if way.disclosed || way.doubtful {
		c.judge(&d, &ev, way, problem)
	}
	if decided {
		d.apply(decision)
	}
	return d
}

// describe fills in the contents of 164.528(b)(2)(ii) and (iii).
func (c *Classifier) describe(d *Disclosure, ev *hippad.Event, w way) {
	if d.many = len(w.to); d.many > maxRecipients {
		w.to = w.to[:maxRecipients]
	}
	for _, a := range w.to {
		r := Recipient{Name: brief(displayName(a)), Address: brief(strings.TrimSpace(a.Location.Display)), key: Shortened(partyKey(a)), text: brief(partyText(a))}
		partyForms(a, func(form string) bool {
			if len(form) <= longestText { // nobody can give a longer one
				r.forms = append(r.forms, form)
			}
			return false
		})
		if known, ok := c.directory.associate(a); ok {
			r.Name = known.Name
			if r.Address == "" {
				r.Address = strings.Join(known.Address.Written(), ", ")
			}
		}
		if r.Name != "" || r.key != "" {
			d.Recipients = append(d.Recipients, r)
		}
	}
	d.By = w.by
	patients := 0
	for i := range ev.Entities {
		if n := &ev.Entities[i]; n.Role.Code == "1" || n.Role.Code == "" && n.What.IsPatient() {
			if patients++; patients <= maxShown {
				d.Patients = append(d.Patients, Shortened(patientForm(n.What)))
			}
		}
	}
	if patients > maxShown {
		d.Patients = append(d.Patients, fmt.Sprintf("and %d more", patients-maxShown))
	}
	d.What = whatOf(ev, patients > 1)
}

// What somebody sends must not make the answer to a question longer than it can be sent, or remembered: each text is cut, and who is of a crowd is for people to say.
const (
	maxRecipients = 20 // of one disclosure
	maxShown      = 20 // patients of one event, for the officer
)

// patientForm writes the identifier of a patient as a search takes it.
func patientForm(r hippad.Reference) string {
	if r.Identifier.Value != "" {
		return oneForm(r.Identifier).String()
	}
	return r.Literal
}

// date fills in the day, or says why there is none. Nobody is told a day that cannot be.
func (c *Classifier) date(d *Disclosure, e hippad.Entry, ev *hippad.Event) (problem string) {
	at := ev.Occurred.Start
	if at.IsZero() {
		at = ev.Recorded
	}
	if at.IsZero() {
		return "its day is missing"
	}
	day, came := DateOf(at, c.zone), DateOf(e.Received, c.zone)
	switch {
	case day.After(came.AddDays(1)): // a day for clocks and zones
		return "its day is after the log was told of it"
	case day.After(came): // an accounting that is given today ends today
		day = came
	case day.Before(firstDay):
		return "its day is before there was a rule to disclose by"
	}
	d.Date = day
	return ""
}

// judge finds the verdict of what is, or may be, a disclosure.
func (c *Classifier) judge(d *Disclosure, ev *hippad.Event, w way, problem string) {
	p, reason := c.purposeOf(ev, w)
	d.Bases, d.Unless = p.Bases, p.Unless
	d.Purpose = p.Display
	if words := purposeWords(ev); words != "" {
		d.Purpose = brief(words)
	}
	d.key = purposeKey(p)
	if p.Verdict == Exempt {
		d.Verdict, d.Clause = Exempt, basesOf(p.Bases...)[0].Exempt
		return
	}
	if d.Verdict = p.Verdict; reason != "" {
		d.Reasons = append(d.Reasons, reason)
	}
	if p.Verdict == Accountable && !d.Date.IsZero() && d.Date.Before(complianceDay) {
		d.Verdict, d.Clause, d.Bases = Exempt, exemptBefore, []string{basisBefore}
		return
	}
	d.Clause = "164.528(b)(2)"
	for _, x := range []struct {
		reason string
		holds  bool
	}{
		{brief("it cannot be read: " + ev.Unreadable), ev.Unreadable != ""},
		{w.doubt, w.doubtful},
		{problem, problem != ""},
		{"who received it is not said (164.528(b)(2)(ii))", len(d.Recipients) == 0},
		{fmt.Sprintf("it names %d recipients, more than %d (164.528(b)(2)(ii))", d.many, maxRecipients), d.many > maxRecipients},
		{nameless(d.Recipients), slices.ContainsFunc(d.Recipients, func(r Recipient) bool { return r.Name == "" })},
		{"what was disclosed is not said (164.528(b)(2)(iii))", d.What == ""},
		{"whether it succeeded is not said", ev.Outcome == ""},
		{"it failed in part", ev.Outcome == "4"},
	} {
		if x.holds {
			d.Reasons = append(d.Reasons, x.reason)
		}
	}
	if len(d.Reasons) > 0 {
		d.Verdict = Undecided
	}
}

// nameless describes recipients of whom only a number or an address is known.
func nameless(all []Recipient) string {
	for _, r := range all {
		if r.Name == "" {
			return "its recipient has no name, only " + r.text + " (164.528(b)(2)(ii))"
		}
	}
	return ""
}

// apply makes of a disclosure what a person has said it is.
func (d *Disclosure) apply(x Decision) {
	d.Decided, d.Reasons, d.Unless = &x, nil, ""
	if d.Verdict = x.Verdict; x.Verdict == NotDisclosed {
		d.Clause, d.Bases = "", nil
		return
	}
	b, ok := BasisNamed(x.Basis)
	if !ok { // of an older or newer table: a person looks again
		d.Verdict, d.Reasons = Undecided, []string{"its decision names a basis that is not known"}
		return
	}
	d.Bases, d.Clause, d.key = []string{b.Name}, b.Exempt, b.Name
	if b.Exempt == "" {
		d.Clause = "164.528(b)(2)"
	}
	if d.Purpose == "" || x.Purpose != "" || b.Name != basisUnstated {
		d.Purpose = b.Statement
	}
	if x.Purpose != "" {
		d.Purpose = x.Purpose
		d.key += "\x00" + x.Purpose
	}
	if !x.Date.IsZero() {
		d.Date = x.Date
	}
	if x.To != "" {
		d.Recipients, d.many = []Recipient{{Name: x.To, key: partyForm(x.To)}}, 1
	}
	if x.Address != "" && len(d.Recipients) > 0 {
		d.Recipients[0].Address = x.Address
	}
	if x.What != "" {
		d.What = x.What
	}
	if d.Verdict != Accountable {
		return
	}
	for _, x := range []struct {
		what    string
		missing bool
	}{
		{"its day", d.Date.IsZero()},
		{"the recipient's name (164.528(b)(2)(ii))", len(d.Recipients) == 0 || nameless(d.Recipients) != ""},
		{"to whom of so many it went (164.528(b)(2)(ii))", d.many > maxRecipients},
		{"what was disclosed (164.528(b)(2)(iii))", d.What == ""},
	} {
		if x.missing { // whoever decides can say so, or that nobody knows it
			d.Verdict, d.Reasons = Undecided, append(d.Reasons, "it was decided that it is accountable, but "+x.what+" is still missing")
		}
	}
}
