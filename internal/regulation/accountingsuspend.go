package regulation

import (
	"slices"
	"strings"

	"hippad"
)

// oralDays is how long an oral statement of an agency suspends: 164.528(a)(2)(ii).
const oralDays = 30

// A Suspension keeps disclosures to an agency out of patients' copies, because the agency has stated that they would be reasonably likely to impede
// it: 164.528(a)(2).
type Suspension struct {
	Entry    int64    `json:"entry"`             // of the log that says so; its number
	Agency   string   `json:"agency"`            // the name, as it is as a recipient
	Official string   `json:"official,omitzero"` // who made the statement; an oral one is documented with it
	Basis    string   `json:"basis"`             // oversight or law-enforcement
	Oral     bool     `json:"oral,omitzero"`
	Stated   Date     `json:"stated"`            // the day of the statement
	Until    Date     `json:"until"`             // the last day; of an oral one at most 30 days after it was stated
	Patients []string `json:"patients,omitzero"` // whose right is suspended, as they were given; empty: everybody's
	Reason   string   `json:"reason,omitzero"`
	Lifted   Date     `json:"lifted,omitzero"` // from that day on it does not hold
}

// Check tells whether a suspension can be one, and fills in until when an oral one holds. Kind Invalid if not.
func (s *Suspension) Check(today Date) error {
	b, ok := BasisNamed(s.Basis)
	switch {
	case !ok || b.Name != basisOversight && b.Name != basisLawEnforcement:
		return hippad.Errorf(hippad.Invalid, "only a health oversight agency or a law enforcement official can have an accounting suspended (164.528(a)(2))").
			WithHint("give oversight (164.512(d)) or law-enforcement (164.512(f)) as the basis")
	case strings.TrimSpace(s.Agency) == "":
		return hippad.Errorf(hippad.Invalid, "the agency is missing")
	case s.Stated.IsZero() || s.Stated.After(today) || s.Stated.Before(firstDay):
		return hippad.Errorf(hippad.Invalid, "the day of the statement cannot be")
	case s.Oral && strings.TrimSpace(s.Official) == "":
		return hippad.Errorf(hippad.Invalid, "an oral statement is documented with the identity of the official (164.528(a)(2)(ii)(A))")
	}
	s.Basis = b.Name
	most := s.Stated.AddDays(oralDays)
	switch {
	case s.Oral && s.Until.IsZero():
		s.Until = most
	case s.Oral && s.Until.After(most):
		return hippad.Errorf(hippad.Invalid, "an oral statement suspends for at most 30 days, until %v (164.528(a)(2)(ii)(C))", most).WithHint("a written statement has no such limit")
	case s.Until.IsZero():
		return hippad.Errorf(hippad.Invalid, "a written statement says for how long (164.528(a)(2)(i))").WithHint("give the last day")
	}
	if s.Until.Before(s.Stated) {
		return hippad.Errorf(hippad.Invalid, "it would end before it begins")
	}
	return nil
}

// Holds tells whether it suspends on a day.
func (s Suspension) Holds(on Date) bool {
	return !on.Before(s.Stated) && !on.After(s.Until) && (s.Lifted.IsZero() || on.Before(s.Lifted))
}

// covers tells whether a disclosure is one that it withholds while it holds. Where the event does not tell the bases apart, one of them is enough.
func (s Suspension) covers(d Disclosure) bool {
	agency := partyForm(s.Agency)
	return slices.Contains(d.Bases, s.Basis) && slices.ContainsFunc(d.Recipients, func(r Recipient) bool { return r.is(agency) })
}

// suspended returns the suspension that keeps a disclosure out of the patient's copy, nil if none does.
func (a *Account) suspended(d Disclosure) *Suspension {
	for i, s := range a.rules.Suspensions {
		if s.Holds(a.question.Today) && s.covers(d) {
			return &a.rules.Suspensions[i]
		}
	}
	return nil
}

// researchMany is from how many individuals on research may be accounted for by its protocol: 164.528(b)(4)(i).
const researchMany = 50

// A Protocol is research under 164.512(i), as 164.528(b)(4)(i) wants it listed.
type Protocol struct {
	Entry       int64    `json:"entry"`               // of the log that says so; its number
	Name        string   `json:"name"`                // (A) of the protocol or activity
	Description string   `json:"description"`         // (B) in plain language: its purpose, and the criteria by which records are selected
	Records     string   `json:"records"`             // (C) what type of PHI
	From        Date     `json:"from"`                // (D) when it was disclosed
	To          Date     `json:"to"`                  // (D) the last time; zero: it goes on
	Sponsor     Party    `json:"sponsor"`             // (E)
	Researcher  Party    `json:"researcher"`          // (E) to whom it was disclosed
	Individuals int      `json:"individuals"`         // of how many
	Recipients  []string `json:"recipients,omitzero"` // names and identifiers by which disclosures for it are known, besides the researcher's
}

// A Party is whom one can write to and call.
type Party struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Phone   string `json:"phone"`
}

// ResearchStatement is 164.528(b)(4)(i)(F).
const ResearchStatement = "Protected health information about you may or may not have been disclosed for this protocol or other research activity."

// ResearchHelp is 164.528(b)(4)(ii).
const ResearchHelp = "If it is reasonably likely that it was, we will help you to contact the sponsor and the researcher, if you ask us to."

// Check tells whether a protocol has what 164.528(b)(4)(i) asks for. Kind Invalid if not.
func (p Protocol) Check(today Date) error {
	for _, x := range [][2]string{
		{p.Name, "the name of the protocol (A)"}, {p.Description, "a description in plain language (B)"}, {p.Records, "the type of records (C)"},
		{p.Sponsor.Name, "the sponsor's name (E)"}, {p.Sponsor.Address, "the sponsor's address (E)"}, {p.Sponsor.Phone, "the sponsor's telephone (E)"},
		{p.Researcher.Name, "the researcher's name (E)"}, {p.Researcher.Address, "the researcher's address (E)"}, {p.Researcher.Phone, "the researcher's telephone (E)"},
	} {
		if strings.TrimSpace(x[0]) == "" {
			return hippad.Errorf(hippad.Invalid, "%s is missing: 164.528(b)(4)(i)", x[1])
		}
	}
	switch {
	case p.From.IsZero() || p.From.Before(firstDay) || p.From.After(today):
		return hippad.Errorf(hippad.Invalid, "the first day of disclosure cannot be: 164.528(b)(4)(i)(D)")
	case !p.To.IsZero() && (p.To.Before(p.From) || p.To.After(today)):
		return hippad.Errorf(hippad.Invalid, "the last day of disclosure cannot be: 164.528(b)(4)(i)(D)")
	case p.Individuals < 1:
		return hippad.Errorf(hippad.Invalid, "of how many individuals is missing: 164.528(b)(4)(i)")
	}
	return nil
}

// Within returns the first and the last day of a period on which it was, or may have been, disclosed for the protocol: 164.528(b)(4)(i)(D).
func (p Protocol) Within(from, to Date) (first, last Date) {
	first, last = p.From, p.To
	if first.Before(from) {
		first = from
	}
	if last.IsZero() || last.After(to) {
		last = to
	}
	return first, last
}

// listed tells whether an accounting of a period names the protocol.
func (p Protocol) listed(from, to Date) bool {
	return p.Individuals >= researchMany && !p.From.After(to) && (p.To.IsZero() || !p.To.Before(from))
}

// protocolOf returns the protocol that stands for a disclosure, nil if it is listed by itself: for fewer than fifty, or of no protocol.
func (a *Account) protocolOf(d Disclosure) *Protocol {
	if len(d.Bases) != 1 || d.Bases[0] != basisResearch || len(d.Recipients) == 0 {
		return nil
	}
	for i := range a.rules.Protocols {
		p := &a.rules.Protocols[i]
		if !p.listed(a.from, a.to) || d.Date.Before(p.From) || !p.To.IsZero() && d.Date.After(p.To) {
			continue
		}
		var known []string
		for _, text := range append([]string{p.Researcher.Name, p.Name}, p.Recipients...) {
			known = append(known, partyForm(text))
		}
		if !slices.ContainsFunc(d.Recipients, func(r Recipient) bool {
			return !slices.ContainsFunc(known, r.is)
		}) {
			return p
		}
	}
	return nil
}
