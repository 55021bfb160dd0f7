package regulation

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
)

// An Organisation is who answers for the log: the covered entity or business associate (45 CFR 160.103). What is not said stays empty in the
// letters and forms, and they say that they are not complete.
type Organisation struct {
	Name     string       `json:"name"`
	Kind     string       `json:"kind,omitzero"` // one of EntityKinds
	Address  Address      `json:"address,omitzero"`
	Contact  Contact      `json:"contact,omitzero"`  // whom patients and the Secretary may ask
	TimeZone string       `json:"timeZone,omitzero"` // IANA name; the zone in which its days begin. Empty: that of the machine
	Own      []string     `json:"own,omitzero"`      // names and identifiers, in any form, of itself, its sites and its systems: what they get is a use, not a disclosure
	Partners []Associate  `json:"businessAssociates,omitzero"`
	Options  LegalOptions `json:"options,omitzero"`
	// ReviewDays is the cadence of activity reviews, 45 CFR 164.308(a)(1)(ii)(D), in days. The rule says "regularly". 0: none is watched.
	ReviewDays int `json:"reviewEveryDays,omitzero"`

	zone *time.Location
}

// An Address is one of the post.
type Address struct {
	Lines []string `json:"lines,omitzero"`
	City  string   `json:"city,omitzero"`
	State string   `json:"state,omitzero"` // two letters of the States table
	ZIP   string   `json:"zip,omitzero"`
}

// IsZero tells that nothing is known of it.
func (a Address) IsZero() bool {
	return len(a.Lines) == 0 && a.City == "" && a.State == "" && a.ZIP == ""
}

// Written returns the address in the lines of an envelope.
func (a Address) Written() []string {
	lines := slices.Clone(a.Lines)
	last := strings.TrimSpace(strings.TrimSpace(a.State) + " " + strings.TrimSpace(a.ZIP))
	switch {
	case a.City != "" && last != "":
		lines = append(lines, a.City+", "+last)
	case a.City != "" || last != "":
		lines = append(lines, a.City+last)
	}
	return lines
}

// A Contact is whom to ask.
type Contact struct {
	First    string `json:"first,omitzero"`
	Last     string `json:"last,omitzero"`
	Title    string `json:"title,omitzero"` // title or office (45 CFR 164.530(a)(1))
	Phone    string `json:"phone,omitzero"`
	TollFree string `json:"tollFree,omitzero"`
	Email    string `json:"email,omitzero"`
	Web      string `json:"web,omitzero"`
}

// An Associate is a business associate (45 CFR 160.103): what it gets for the organisation's own operations is exempt.
type Associate struct {
	Name        string   `json:"name"`
	Identifiers []string `json:"identifiers,omitzero"` // in any form
	Address     Address  `json:"address,omitzero"`
	Phone       string   `json:"phone,omitzero"`
	Contact     Contact  `json:"contact,omitzero"` // whom the portal of HHS asks for where a breach occurred at it
}

// LegalOptions are parts of the law that are off unless somebody who knows turns them on.
type LegalOptions struct {
	// EHRAccounting lists disclosures for treatment, payment and operations through an EHR, of three years: HITECH 13405(c),
	// 42 USC 17935(c). No rule under it was ever made final.
	EHRAccounting bool `json:"ehrTpoAccounting,omitzero"`
	// Part2Accounting lists what was disclosed with consent of records of substance use disorder treatment, of three years: 42 CFR 2.25.
	// Compliance is tolled until HHS changes 45 CFR 164.528.
	Part2Accounting bool `json:"part2Accounting,omitzero"`
	// Overlays names the rules of States that apply too, of those that Overlays lists.
	Overlays []string `json:"overlays,omitzero"`
}

// EntityKinds are the kinds of organisation, as the breach portal of HHS spells them.
var EntityKinds = [...]string{"Healthcare Provider", "Health Plan", "Healthcare Clearing House", "Business Associate"}

// ParseOrganisation reads the JSON file that describes the organisation. Kind Invalid for one that does not, with the reason.
func ParseOrganisation(r io.Reader) (*Organisation, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read the organisation: %w", err)
	}
	if len(text) > maxConfig {
		return nil, hippad.Errorf(hippad.Invalid, "the organisation has more than %d bytes", maxConfig)
	}
	var o Organisation
	if err := json.Unmarshal(text, &o, json.RejectUnknownMembers(true)); err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "the organisation: %w", err)
	}
	if strings.TrimSpace(o.Name) == "" {
		return nil, hippad.Errorf(hippad.Invalid, "the organisation has no name")
	}
	if o.ReviewDays < 0 || o.ReviewDays > 3660 {
		return nil, hippad.Errorf(hippad.Invalid, "reviewEveryDays is not 1 to 3660 days")
	}
	if o.Kind != "" && !slices.Contains(EntityKinds[:], o.Kind) {
		return nil, hippad.Errorf(hippad.Invalid, "the organisation is of an unknown kind").WithHint("one of %s", strings.Join(EntityKinds[:], ", "))
	}
	if o.zone, err = time.LoadLocation(o.TimeZone); o.TimeZone == "Local" || err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "the organisation's time zone is not known here").WithHint("a name like America/Chicago")
	}
	return &o, nil
}

// Zone returns the zone in which the organisation's days begin.
func (o *Organisation) Zone() *time.Location {
	if o == nil || o.TimeZone == "" || o.zone == nil {
		return time.Local
	}
	return o.zone
}
