package breach

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// detailType is the type of the entity's detail that holds a record.
const detailType = "hippad/1 breach"

// A record is what an entry of this package says, as JSON in a detail of its event. One of the fields besides By and Case is set.
type record struct {
	By   hippad.Principal `json:"by"`
	Case int64            `json:"case,omitzero"` // index of the entry that opened it
	Open *Opening         `json:"open,omitzero"`
	Step
	Scope  *Scope  `json:"scope,omitzero"`
	Part   *part   `json:"part,omitzero"`
	Told   *told   `json:"told,omitzero"`
	Packet *sealed `json:"packet,omitzero"`
}

// An Opening is what is known when a case is opened.
type Opening struct {
	Name            string           `json:"name,omitzero"` // what people call it; names no patient
	What            string           `json:"what"`
	Cause           regulation.Cause `json:"cause"`
	Happened        regulation.Date  `json:"happened,omitzero"` // first and last day, if they are known
	Ended           regulation.Date  `json:"ended,omitzero"`
	Discovered      regulation.Date  `json:"discovered"`
	DiscoveredBy    string           `json:"discoveredBy"`
	ShouldHaveKnown regulation.Date  `json:"shouldHaveKnown,omitzero"`

	Associate           string          `json:"associate,omitzero"` // name of the business associate at which it occurred
	AssociateIsAgent    bool            `json:"associateIsAgent,omitzero"`
	AssociateDiscovered regulation.Date `json:"associateDiscovered,omitzero"`
	CoveredEntities     []string        `json:"coveredEntities,omitzero"` // if the organisation is the business associate: whose data

	Entries []hippad.Range `json:"entries,omitzero"` // where it was noticed
	Hold    int64          `json:"hold,omitzero"`    // the hold on them
}

// A Step is what people add to a case. One of its fields is set.
type Step struct {
	Amend    *Amendment                `json:"amend,omitzero"`
	Assess   []regulation.BreachAnswer `json:"assess,omitzero"`
	Decide   *Decision                 `json:"decide,omitzero"`
	Delay    *regulation.LawDelay      `json:"delay,omitzero"`
	Withdraw *Withdrawal               `json:"withdraw,omitzero"`
	Describe *regulation.PortalAnswers `json:"describe,omitzero"`
	Letter   *regulation.BreachLetter  `json:"letter,omitzero"`
	Notice   *Notice                   `json:"notice,omitzero"`
	Close    *Closing                  `json:"close,omitzero"`
	Reopen   *Closing                  `json:"reopen,omitzero"`
}

// An Amendment is what is known of the days better than when the case was opened: what it leaves empty stays as it is.
type Amendment struct {
	Happened            regulation.Date `json:"happened,omitzero"`
	Ended               regulation.Date `json:"ended,omitzero"`
	Discovered          regulation.Date `json:"discovered,omitzero"`
	ShouldHaveKnown     regulation.Date `json:"shouldHaveKnown,omitzero"`
	AssociateDiscovered regulation.Date `json:"associateDiscovered,omitzero"`
	Reason              string          `json:"reason"`
}

func (a *Amendment) apply(o *Opening) {
	for _, x := range []struct {
		from regulation.Date
		to   *regulation.Date
	}{{a.Happened, &o.Happened}, {a.Ended, &o.Ended}, {a.Discovered, &o.Discovered}, {a.ShouldHaveKnown, &o.ShouldHaveKnown}, {a.AssociateDiscovered, &o.AssociateDiscovered}} {
		if !x.from.IsZero() {
			*x.to = x.from
		}
	}
}

// A Withdrawal takes back a law enforcement delay or a notice that was recorded wrongly, or a delay that the official has taken back.
type Withdrawal struct {
	Entry  int64  `json:"entry"` // that records the delay, the notice, or the list of notices to individuals
	Reason string `json:"reason"`
}

// A Decision is whether it is a breach.
type Decision struct {
	Breach bool                   `json:"breach"`
	Basis  regulation.BreachBasis `json:"basis,omitzero"` // why it is none
	Reason string                 `json:"reason"`
	On     regulation.Date        `json:"on,omitzero"` // the day; empty: that of the entry
	Entry  int64                  `json:"entry,omitzero"`
}

func (d *Decision) isBreach() bool { return d != nil && d.Breach }

// A Notice is the record of one that is not to a single individual of the scope.
type Notice struct {
	Kind       string                 `json:"kind"`           // regulation.NoticeIndividual (to somebody whom no entry names), ...Media, ...Secretary, ...Entity, "substitute", or the name of an overlay's rule
	State      string                 `json:"state,omitzero"` // of a media notice
	To         string                 `json:"to,omitzero"`    // outlets, covered entity, authority
	Date       regulation.Date        `json:"date"`
	Persons    int                    `json:"persons,omitzero"` // of an individual notice
	Tracking   string                 `json:"tracking,omitzero"`
	Evidence   string                 `json:"evidence,omitzero"`
	Substitute *regulation.Substitute `json:"substitute,omitzero"`
	Entry      int64                  `json:"entry,omitzero"`
}

// kindSubstitute is a Notice of 164.404(d)(2).
const kindSubstitute = "substitute"

// A Closing says why a case ends, or begins again.
type Closing struct {
	Reason   string    `json:"reason"`
	Override bool      `json:"override,omitzero"` // although something is missing
	Missing  []string  `json:"missing,omitzero"`  // what, if so
	Entry    int64     `json:"entry,omitzero"`
	At       time.Time `json:"at,omitzero"`
}

type (
	// told says that individuals have had notice. It is in force when all its parts are there.
	told struct {
		Batch   string                    `json:"batch"` // SHA-256 of the rows
		Parts   int                       `json:"parts,omitzero"`
		Persons []regulation.PersonNotice `json:"persons,omitzero"` // if there are no parts
	}
	// part holds some of the rows in front of their told: what a crash leaves of it has no effect.
	part struct {
		Batch   string                    `json:"batch"`
		Number  int                       `json:"number"`
		Persons []regulation.PersonNotice `json:"persons"`
	}
	// sealed says what was in an evidence packet.
	sealed struct {
		SHA256 string `json:"sha256"` // of its SHA256SUMS
	}
)

const (
	maxProse = 10_000 // bytes of a text of several lines
	maxLine  = 500
)

// prose checks a text of several lines. name is for the error, which quotes nothing.
func prose(name, text string, needed bool) error {
	switch {
	case needed && strings.TrimSpace(text) == "":
		return hippad.Errorf(hippad.Invalid, "%s is missing", name)
	case len(text) > maxProse:
		return hippad.Errorf(hippad.Invalid, "%s has more than %d bytes", name, maxProse)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }):
		return hippad.Errorf(hippad.Invalid, "%s is not plain text", name)
	}
	return nil
}

// all returns the first error.
func all(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func line(name, text string, needed bool) error {
	if len(text) > maxLine {
		return hippad.Errorf(hippad.Invalid, "%s has more than %d bytes", name, maxLine)
	}
	return repository.Words(name, text, needed)
}
