package regulation

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"hippad"
)

// A BreachLetter is what an individual notice says, in plain language: the five elements of 164.404(c)(1), which the notice to the media has too
// (164.406(c)).
type BreachLetter struct {
	What     string  `json:"what"`  // (A) what happened; the days of the breach and of its discovery come from the case
	Types    string  `json:"types"` // (B) the types of unsecured PHI: never the PHI itself
	Steps    string  `json:"steps"` // (C) what individuals should do to protect themselves
	Doing    string  `json:"doing"` // (D) what is done to investigate, to mitigate and to prevent
	Contact  Contact `json:"contact,omitzero"`
	Postal   string  `json:"postal,omitzero"` // (E) contact procedures: with those of Contact at least one of toll-free number, e-mail, Web site, postal address
	Language string  `json:"language,omitzero"`
}

// Missing names the elements of 164.404(c)(1) that are empty. A letter is complete when there are none.
func (l BreachLetter) Missing() (missing []string) {
	blank := func(s string) bool { return strings.TrimSpace(s) == "" }
	for _, x := range []struct {
		name  string
		empty bool
	}{
		{"(A) what happened", blank(l.What)},
		{"(B) the types of PHI involved", blank(l.Types)},
		{"(C) what individuals should do", blank(l.Steps)},
		{"(D) what is being done", blank(l.Doing)},
		{"(E) a toll-free number, an e-mail address, a Web site or a postal address to ask", blank(l.Contact.TollFree) && blank(l.Contact.Email) && blank(l.Contact.Web) && blank(l.Postal)},
	} {
		if x.empty {
			missing = append(missing, x.name)
		}
	}
	return missing
}

// Methods of a notice to one individual: 164.404(d).
const (
	MethodMail       = "mail"         // first-class mail to the last known address: (d)(1)(i)
	MethodEmail      = "email"        // if the individual agreed to it: (d)(1)(i)
	MethodNextOfKin  = "next-of-kin"  // mail to next of kin or personal representative of somebody deceased: (d)(1)(ii)
	MethodSubstitute = "substitute"   // another written notice, telephone or other means, where contact data are insufficient: (d)(2)(i)
	MethodUrgent     = "urgent-phone" // by telephone or otherwise, in addition, because misuse may be imminent: (d)(3)
)

// Methods lists them.
var Methods = [...]string{MethodMail, MethodEmail, MethodNextOfKin, MethodSubstitute, MethodUrgent}

// A PersonNotice is the record of one notice to one individual: 164.414(b), 164.530(j)(1)(iv).
type PersonNotice struct {
	Patient  string `json:"patient"` // one of the identifiers, as hippad.NewTerm has it
	Method   string `json:"method"`
	Date     Date   `json:"date"`
	Basis    string `json:"basis"`             // where the address is from, or why this way
	Agreed   Date   `json:"agreed,omitzero"`   // when the individual agreed to e-mail
	Returned Date   `json:"returned,omitzero"` // when it came back as undeliverable
	Entry    int64  `json:"entry,omitzero"`    // that records it
}

// String hides the patient.
func (n PersonNotice) String() string { return "notice of " + n.Date.String() }

// GoString hides the fields under %#v.
func (n PersonNotice) GoString() string { return n.String() }

// LogValue hides the fields in slog.
func (n PersonNotice) LogValue() slog.Value { return slog.StringValue(n.String()) }

// Check tells why such a notice cannot have been. Kind Invalid, quoting nothing.
func (n PersonNotice) Check(today Date) error {
	switch {
	case n.Patient == "":
		return hippad.Errorf(hippad.Invalid, "the patient is missing")
	case !slices.Contains(Methods[:], n.Method):
		return hippad.Errorf(hippad.Invalid, "the method is not one of %s", strings.Join(Methods[:], ", "))
	case n.Date.IsZero():
		return hippad.Errorf(hippad.Invalid, "the day of the notice is missing")
	case n.Date.After(today) || n.Returned.After(today):
		return hippad.Errorf(hippad.Invalid, "a day is in the future")
	case strings.TrimSpace(n.Basis) == "":
		return hippad.Errorf(hippad.Invalid, "the basis of the address is missing")
	case n.Method == MethodEmail && (n.Agreed.IsZero() || n.Agreed.After(n.Date)):
		return hippad.Errorf(hippad.Invalid, "notice by e-mail needs the day on which the individual agreed to it (164.404(d)(1)(i))")
	case !n.Returned.IsZero() && n.Returned.Before(n.Date):
		return hippad.Errorf(hippad.Invalid, "it came back before it was sent")
	}
	return nil
}

// Reached tells whether the notice is one that 164.404(d) counts: it did not come back, and is not only in addition. A notice to next of kin counts even if
// that address is out of date: (d)(2) asks for no substitute then.
func (n PersonNotice) Reached() bool {
	return n.Method == MethodNextOfKin || n.Method != MethodUrgent && n.Returned.IsZero()
}

const (
	substituteMany = 10 // individuals, from which on substitute notice is public: 164.404(d)(2)(ii)
	substituteDays = 90 // that a Web posting and its toll-free number last at least
)

// Forms of a substitute notice for all of those who could not be reached: 164.404(d)(2).
const (
	SubstituteWeb   = "web"   // conspicuous posting on the home page: (d)(2)(ii)
	SubstituteMedia = "media" // in major print or broadcast media where they likely live: (d)(2)(ii)
	SubstituteOther = "other" // alternative written notice, telephone, other means; for fewer than 10: (d)(2)(i)
)

// A Substitute is the notice to those whose contact data are insufficient or out of date.
type Substitute struct {
	Form     string `json:"form"`
	Persons  int    `json:"persons"` // whom it is for
	From     Date   `json:"from"`
	Until    Date   `json:"until,omitzero"` // of a posting, the last day; of the media the last day on which the number is active
	TollFree string `json:"tollFree,omitzero"`
	Evidence string `json:"evidence"` // where, by whom, what shows it
}

// Check tells what 164.404(d)(2) misses. Kind Invalid.
func (s Substitute) Check(today Date) error {
	switch {
	case s.Form != SubstituteWeb && s.Form != SubstituteMedia && s.Form != SubstituteOther:
		return hippad.Errorf(hippad.Invalid, "the form of a substitute notice is %s, %s or %s", SubstituteWeb, SubstituteMedia, SubstituteOther)
	case s.Persons < 1:
		return hippad.Errorf(hippad.Invalid, "for how many individuals it is, is missing")
	case s.From.IsZero():
		return hippad.Errorf(hippad.Invalid, "the day of the substitute notice is missing")
	case s.From.After(today):
		return hippad.Errorf(hippad.Invalid, "the day of the substitute notice is in the future")
	case strings.TrimSpace(s.Evidence) == "":
		return hippad.Errorf(hippad.Invalid, "the evidence of the substitute notice is missing")
	case s.Persons >= substituteMany && s.Form == SubstituteOther:
		return hippad.Errorf(hippad.Invalid, "for %d individuals or more it is posted on the Web or in major media (164.404(d)(2)(ii))", substituteMany)
	case s.Persons >= substituteMany && strings.TrimSpace(s.TollFree) == "":
		return hippad.Errorf(hippad.Invalid, "for %d individuals or more a toll-free number is part of it, for at least %d days (164.404(d)(2)(ii))", substituteMany, substituteDays)
	case s.Persons >= substituteMany && (s.Until.IsZero() || s.From.DaysUntil(s.Until) < substituteDays):
		return hippad.Errorf(hippad.Invalid, "for %d individuals or more posting and toll-free number last at least %d days, here until %s (164.404(d)(2)(ii))", substituteMany, substituteDays, s.From.AddDays(substituteDays))
	case !s.Until.IsZero() && s.Until.Before(s.From):
		return hippad.Errorf(hippad.Invalid, "it ends before it begins")
	}
	return nil
}

// SubstituteFor returns for how many individuals substitute notice was given: to some one by one, to others together.
func SubstituteFor(oneByOne int, together []Substitute) int {
	for _, s := range together {
		oneByOne += s.Persons
	}
	return oneByOne
}

// SubstituteLacks says what substitute notice lacks that was given to some one by one, and to others together; empty if it lacks nothing. 164.404(d)(2)(ii) counts all
// of those who could not be reached, in however many pieces they are told.
func SubstituteLacks(oneByOne int, together []Substitute) string {
	public := func(s Substitute) bool {
		return s.Form != SubstituteOther && strings.TrimSpace(s.TollFree) != "" && !s.Until.IsZero() && s.From.DaysUntil(s.Until) >= substituteDays
	}
	if n := SubstituteFor(oneByOne, together); n >= substituteMany && !slices.ContainsFunc(together, public) {
		return fmt.Sprintf("substitute notice for %d individuals is posted on the Web or in major media for at least %d days, with a toll-free number (164.404(d)(2)(ii))", n, substituteDays)
	}
	return ""
}
