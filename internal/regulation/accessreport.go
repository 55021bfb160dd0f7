package regulation

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"hippad"
)

// An Access is what one person did with one patient's data on one day.
type Access struct {
	Day       Date     `json:"day,omitzero"` // in the organisation's zone; zero: the events have no day that can be
	Who       string   `json:"who"`
	Role      string   `json:"role,omitzero"`      // as the event says it
	Outside   bool     `json:"outside,omitzero"`   // of another organisation: a disclosure, not a use (160.103)
	Did       []string `json:"did"`                // in words
	What      []string `json:"what,omitzero"`      // the kinds of data
	Why       []string `json:"why,omitzero"`       // purposes, if they are stated
	Count     int      `json:"count"`              // events
	Failed    int      `json:"failed,omitzero"`    // of these, which did not succeed
	ID        string   `json:"id,omitzero"`        // for the officer, like what follows
	Sources   []string `json:"sources,omitzero"`   // the systems that say so
	Addresses []string `json:"addresses,omitzero"` // from where
	Entries   []int64  `json:"entries,omitzero"`

	nameless bool // Who is what stands for a name
}

// An AccessReport says who touched one patient's data: uses and disclosures. No rule in force asks for it: 76 FR 31426 proposed it in 2011 and was never made
// final. Patients do.
type AccessReport struct {
	Organisation string   `json:"organisation"`
	Patient      string   `json:"patient"`
	Tried        []string `json:"tried"`
	Unknown      bool     `json:"unknown,omitzero"`
	Several      []string `json:"several,omitzero"` // whom the identifier names: it is not one patient, so there is no answer
	Prepared     Date     `json:"prepared"`
	From         Date     `json:"from,omitzero"`
	To           Date     `json:"to,omitzero"`
	Officer      bool     `json:"officer,omitzero"`
	Accesses     []Access `json:"accesses"` // by day, the oldest first, and by person
	Size         int64    `json:"size"`     // entries of the log that were looked at
}

// String hides who touched what.
func (r AccessReport) String() string {
	return fmt.Sprintf("access report of %d rows", len(r.Accesses))
}

// GoString hides who touched what under %#v.
func (r AccessReport) GoString() string { return r.String() }

// LogValue hides who touched what in slog.
func (r AccessReport) LogValue() slog.Value { return slog.StringValue(r.String()) }

// An Accesses gathers what one access report is made of. Its memory grows with the persons and days, and for an officer with the entries.
type Accesses struct {
	classifier *Classifier
	from, to   Date // zero: open
	officer    bool
	suspended  []Suspension
	agencies   []string // of suspended, as they are compared
	rows       []*Access
	at         map[accessKey]*Access
}

type accessKey struct {
	day      Date
	id, name string // as they are compared; of an id without a name the first row with the id
}

// NewAccesses begins a report of a period, of which either end may be open. Kind Invalid for one that ends before it begins.
func NewAccesses(c *Classifier, from, to Date, officer bool) (*Accesses, error) {
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		return nil, hippad.Errorf(hippad.Invalid, "the period ends before it begins")
	}
	return &Accesses{classifier: c, from: from, to: to, officer: officer, at: map[accessKey]*Access{}}, nil
}

// Withhold keeps from the patient what is suspended on the day on which the report is made (164.528(a)(2)): this report must not tell what an accounting
// may not, so all that such an agency did is left out, what failed too. The officer's report has it.
func (x *Accesses) Withhold(all []Suspension, today Date) {
	for _, s := range all {
		if s.Holds(today) {
			x.suspended = append(x.suspended, s)
			x.agencies = append(x.agencies, partyForm(s.Agency))
		}
	}
}

// withheld tells whether an event is about what is suspended.
func (x *Accesses) withheld(e hippad.Entry, ev *hippad.Event) bool {
	if x.officer || len(x.suspended) == 0 {
		return false
	}
	for i := range ev.Agents {
		if partyForms(&ev.Agents[i], func(form string) bool { return slices.Contains(x.agencies, form) }) {
			return true
		}
	}
	d := x.classifier.Classify(e, *ev)
	return slices.ContainsFunc(x.suspended, func(s Suspension) bool { return s.covers(d) })
}

// Add takes an entry in. What the log says about itself is no access to a patient's data. What has no day is in every report.
func (x *Accesses) Add(e hippad.Entry, ev hippad.Event) {
	if e.Door == hippad.DoorSelf || e.Destroyed {
		return
	}
	var d Disclosure
	if x.classifier.date(&d, e, &ev); !d.Date.IsZero() && (!x.from.IsZero() && d.Date.Before(x.from) || !x.to.IsZero() && d.Date.After(x.to)) {
		return
	}
	if x.withheld(e, &ev) {
		return
	}
	persons := actors(&ev)
	if len(persons) == 0 {
		persons = []*hippad.Agent{{Name: ""}}
	}
	of := x.classifier.standings(usersOrganisations(&ev))
	done := Access{Day: d.Date, Did: include(nil, deed(&ev)), What: include(nil, whatOf(&ev, true))} // once for all, however many they are
	for _, c := range ev.Purposes {
		done.Why = include(done.Why, purposeText(c))
	}
	for _, a := range persons {
		x.add(done, of, a, e, &ev)
	}
}

// add takes in what somebody has done, who may have done it for organisations.
func (x *Accesses) add(done Access, of []standing, a *hippad.Agent, e hippad.Entry, ev *hippad.Event) {
	day := done.Day
	row := x.row(day, a)
	if row == nil {
		whose := x.classifier.directory.standingOf(a)
		if whose == unknown && len(of) > 0 && !slices.Contains(of, inside) {
			whose = of[0]
		}
		row = &Access{Day: day, nameless: displayName(a) == "", Who: brief(cmp.Or(displayName(a), partyText(a), "somebody whom the event does not name")), Role: brief(roleWords(a)), Outside: whose == outside || whose == partner}
		if isOnlyIndividual(a, ev) {
			row.Role = "the patient"
		}
		x.rows = append(x.rows, row)
		key := keyOf(day, a)
		x.at[key] = row
		if key.name = ""; x.at[key] == nil {
			x.at[key] = row
		}
	}
	row.Count++
	switch ev.Outcome {
	case "4", "8", "12":
		row.Failed++
	}
	row.Did, row.What, row.Why = include(row.Did, done.Did...), include(row.What, done.What...), include(row.Why, done.Why...)
	for _, c := range a.Purposes {
		row.Why = include(row.Why, purposeText(c))
	}
	row.Why = include(row.Why, purposeWords(ev))
	if !x.officer {
		return
	}
	row.ID = cmp.Or(row.ID, brief(partyText(a)))
	source := cmp.Or(ev.Source.Observer.Identifier.Value, ev.Source.Observer.Literal, ev.Source.Observer.Display)
	row.Sources = include(row.Sources, source)
	row.Addresses = include(row.Addresses, a.Address)
	row.Entries = append(row.Entries, e.Index)
}

// row returns the row of somebody on a day, nil if there is none yet. Two who come with one id and different names are two people, as an id may be of two systems, or
// of all who come by a service; whom one system names and another does not is one.
func (x *Accesses) row(day Date, a *hippad.Agent) *Access {
	key := keyOf(day, a)
	if row := x.at[key]; row != nil {
		return row
	}
	first := x.at[accessKey{day: day, id: key.id}]
	if first == nil || !first.nameless {
		return nil
	}
	first.Who, first.nameless = brief(displayName(a)), false
	x.at[key] = first
	return first
}

func keyOf(day Date, a *hippad.Agent) accessKey {
	return accessKey{day, Shortened(partyKey(a)), Shortened(hippad.Fold(displayName(a)))}
}

// most bounds the different words of one row.
const most = 20

func include(list []string, texts ...string) []string {
	for _, text := range texts {
		if text = brief(strings.TrimSpace(text)); text != "" && len(list) < most && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// actors are those who did it: who asked for it, or else whoever is no machine in the middle, or else all.
func actors(ev *hippad.Event) (out []*hippad.Agent) {
	var others []*hippad.Agent
	for i := range ev.Agents {
		a := &ev.Agents[i]
		machine := hasRole(a, roleSource) || hasRole(a, roleDestination) || hasRole(a, "110150")
		if a.Requestor && !machine {
			out = append(out, a)
		}
		if a.Requestor {
			others = append(others, a)
		}
	}
	if len(out) == 0 {
		out = others
	}
	if len(out) == 0 {
		for i := range ev.Agents {
			if a := &ev.Agents[i]; !hasRole(a, roleSource) && !hasRole(a, roleDestination) {
				out = append(out, a)
			}
		}
	}
	if len(out) == 0 && len(ev.Agents) > 0 {
		out = append(out, &ev.Agents[0])
	}
	return out
}

// roleWords is the first role of an agent that has words and is not of a transfer.
func roleWords(a *hippad.Agent) string {
	for _, c := range append(slices.Clone(a.Roles), a.Type) {
		if c.Display != "" && hippad.CodeSystem(c.System) != hippad.SystemDCM && c.Code != "IRCP" {
			return c.Display
		}
	}
	return ""
}

// deed says in words what was done.
func deed(ev *hippad.Event) string {
	switch {
	case ev.Unreadable != "":
		return "something that could not be read"
	case isMarked(ev):
		return "disclosed"
	case isType(ev, typeExport):
		return "exported"
	case isType(ev, typeImport):
		return "imported"
	case isType(ev, "110112"), ev.Action == "E" && slices.ContainsFunc(ev.Subtypes, func(c hippad.Code) bool { return strings.HasPrefix(c.Code, "search") }):
		return "searched"
	}
	switch ev.Action {
	case "C":
		return "created"
	case "R":
		return "viewed"
	case "U":
		return "changed"
	case "D":
		return "deleted"
	case "E":
		return "executed"
	}
	return cmp.Or(ev.Type.Display, "used")
}

// purposeText is a purpose in words: those of the table, or else what the sender says.
func purposeText(c hippad.Code) string {
	if p, ok := PurposeOf(c); ok {
		return p.Display
	}
	return cmp.Or(c.Display, c.Code)
}

// Finish returns the report, without what only the log knows: whose it is and what was tried.
func (x *Accesses) Finish() AccessReport {
	out := AccessReport{From: x.from, To: x.to, Officer: x.officer, Accesses: []Access{}}
	for _, row := range x.rows {
		slices.Sort(row.Entries)
		out.Accesses = append(out.Accesses, *row)
	}
	slices.SortFunc(out.Accesses, func(a, b Access) int {
		return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.Who, b.Who), cmp.Compare(a.ID, b.ID), cmp.Compare(strings.Join(a.Did, ","), strings.Join(b.Did, ",")))
	})
	return out
}
