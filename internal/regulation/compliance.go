package regulation

import (
	"strings"

	"hippad"
)

// A Catalogue is a list of what a law asks for, and what a log can say of it.
type Catalogue struct {
	Name     string
	Title    string
	Proposed bool // not in force
	Source   string
	Controls []Control
}

// A Requirement is how binding a control is (45 CFR 164.306(d)).
type Requirement string

// The requirements. An addressable one is to be assessed: implemented, or documented why not and what instead.
const (
	Required    Requirement = "R"
	Addressable Requirement = "A"
	Standard    Requirement = "standard"
	Rule        Requirement = "rule" // of the Privacy or the Breach Notification Rule, which know no such difference
	Proposed    Requirement = "proposed"
)

// A Mark says how far a rule was checked.
type Mark string

// The marks of docs/regulation.md.
const (
	Verified Mark = "V" // against a copy of its text
	Memory   Mark = "M" // from memory or a summary: check it before relying on it
)

// A Control is one section.
type Control struct {
	Section     string
	Title       string
	Requirement Requirement
	Mark        Mark
	Does        string   // what hippad does by its construction, whether or not anything happened
	Measures    []string // what of a period's facts is evidence of it
	Steps       string   // the activity whose steps are evidence of it
	Duty        string   // what remains the organisation's own
}

// NotLegalAdvice stands in every statement.
const NotLegalAdvice = "This is not legal advice, and it is no certificate of compliance. It says what one program has recorded and done. Whether that is enough, " +
	"and everything under \"your own duty\", is for the organisation to decide and to answer for."

// An Evidence is one thing that a period's facts say of a control.
type Evidence struct {
	Text    string   `json:"text"`
	Count   int64    `json:"count"`
	Concern bool     `json:"concern,omitzero"` // it asks for somebody's attention
	Query   []string `json:"query,omitzero"`   // hippad search lists the entries by it
}

// A ControlLine is what a statement says of one control.
type ControlLine struct {
	Section     string      `json:"section"`
	Title       string      `json:"title"`
	Requirement Requirement `json:"requirement"`
	Mark        Mark        `json:"mark"`
	Does        string      `json:"does"`
	Evidence    []Evidence  `json:"evidence"`
	Duty        string      `json:"duty"`
}

// Concerns counts the evidence that asks for attention.
func (l ControlLine) Concerns() (n int) {
	for _, f := range l.Evidence {
		if f.Concern {
			n++
		}
	}
	return n
}

// Recorded counts the evidence of which there is anything.
func (l ControlLine) Recorded() (n int) {
	for _, f := range l.Evidence {
		if f.Count > 0 {
			n++
		}
	}
	return n
}

// A Statement says, for each section of a catalogue, what was done in a period, from the log itself, and what remains the organisation's own duty.
type Statement struct {
	Catalogue string        `json:"catalogue"`
	Title     string        `json:"title"`
	Proposed  bool          `json:"proposed,omitzero"` // the catalogue is not in force
	Source    string        `json:"source"`
	Notice    string        `json:"notice"` // NotLegalAdvice
	Facts     Facts         `json:"facts"`
	Lines     []ControlLine `json:"lines"`
}

// Catalogues lists the catalogues: that of what is in force first.
func Catalogues() []Catalogue { return []Catalogue{inForce(), proposed2025()} }

// FindCatalogue returns a catalogue by its name. Kind Invalid if there is none.
func FindCatalogue(name string) (Catalogue, error) {
	var names []string
	for _, c := range Catalogues() {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Catalogue{}, hippad.Errorf(hippad.Invalid, "there is no such catalogue").WithHint("one of %s", strings.Join(names, ", "))
}

// Compliance says what the facts of a period are evidence of.
func Compliance(c Catalogue, f Facts) Statement {
	s := Statement{Catalogue: c.Name, Title: c.Title, Proposed: c.Proposed, Source: c.Source, Notice: NotLegalAdvice, Facts: f, Lines: []ControlLine{}}
	measures := map[string]Measure{}
	for _, m := range Measures() {
		measures[m.ID] = m
	}
	for _, x := range c.Controls {
		l := ControlLine{x.Section, x.Title, x.Requirement, x.Mark, x.Does, []Evidence{}, x.Duty}
		for _, id := range x.Measures {
			if m, ok := measures[id]; ok {
				n := f.Count(id)
				l.Evidence = append(l.Evidence, Evidence{m.Text, n, m.Concern && n > 0, m.Query})
				continue
			}
			l.Evidence = append(l.Evidence, f.known(id))
		}
		for _, step := range f.Steps {
			if step.Activity == x.Steps {
				l.Evidence = append(l.Evidence, Evidence{Text: step.Words, Count: step.Count, Query: []string{"_door=self", "subtype=" + x.Steps}})
			}
		}
		s.Lines = append(s.Lines, l)
	}
	return s
}

// known are the evidence that no entry alone is: what the rooms know, and what takes more than one entry to see.
func (f Facts) known(id string) Evidence {
	switch id {
	case knownReporters:
		return Evidence{Text: "reporters heard", Count: f.Reporters}
	case knownOrganisations:
		return Evidence{Text: "organisations whose systems reported", Count: int64(len(f.Organisations))}
	case knownManyPlaced:
		return Evidence{Text: "times that one user id was used at 5 or more addresses on one day", Count: f.ManyPlaced, Concern: f.ManyPlaced > 0}
	case knownCertificates:
		return Evidence{Text: "certificates of purges", Count: f.Certificates}
	case knownSilent:
		return Evidence{Text: "sources silent when this was made", Count: f.Silent, Concern: f.Silent > 0}
	case knownMissing:
		return Evidence{Text: "reports found missing by their senders' own numbers, ever", Count: f.Missing, Concern: f.Missing > 0}
	case knownHolds:
		return Evidence{Text: "holds in force when this was made", Count: f.Holds}
	}
	return Evidence{Text: "entries of the period, each under a signed checkpoint", Count: f.Entries}
}

// The names of known evidence in Control.Measures.
const (
	knownEntries       = "entries"
	knownReporters     = "reporters"
	knownOrganisations = "organisations"
	knownManyPlaced    = "many-placed"
	knownCertificates  = "certificates"
	knownSilent        = "silent"
	knownMissing       = "missing"
	knownHolds         = "holds"
)

// knownEvidence lists them: every name in a catalogue is here or in Measures.
var knownEvidence = [...]string{knownEntries, knownReporters, knownOrganisations, knownManyPlaced, knownCertificates, knownSilent, knownMissing, knownHolds}
