package breach

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// A Scope is whom a breach affects: questions to the log, and what they came to. The log only grows, so the same question of a log of the same size has the same
// answer; SHA256 tells when it has not, because content was destroyed or identifiers were linked since.
type Scope struct {
	Questions []Question `json:"questions"`
	Except    []string   `json:"except,omitzero"` // patients who are left out, as hippad.NewTerm has them
	Reason    string     `json:"reason,omitzero"` // why

	Individuals int `json:"individuals"` // persons whom the entries name, by the crosswalk of that moment
	Counts
	Residents map[string]int `json:"residents,omitzero"` // by State
	Unknown   int            `json:"unknown"`            // individuals whose State is not known

	Estimate int    `json:"estimate,omitzero"` // how many there are, if the entries do not tell
	Basis    string `json:"basis,omitzero"`    // of the estimates

	EstimatedResidents map[string]int `json:"estimatedResidents,omitzero"` // by State, where the table of addresses does not tell

	SHA256 string    `json:"sha256"` // of Affected.Lines
	Hold   int64     `json:"hold,omitzero"`
	Entry  int64     `json:"entry,omitzero"`
	At     time.Time `json:"at,omitzero"`
}

// Counts are of entries.
type Counts struct {
	Entries    int `json:"entries"`             // that prove it
	Unnamed    int `json:"unnamed,omitzero"`    // of them: they name no patient, or one without an identifier
	Unassigned int `json:"unassigned,omitzero"` // individuals who are named by a number without its assigner: they may be the same as others
	Review     int `json:"review,omitzero"`     // entries with outcome 4: whether anything was seen is for a person to say; they are counted
	Failed     int `json:"failed,omitzero"`     // entries with outcome 8 or 12: nothing was seen; they are left out
	Unreadable int `json:"unreadable,omitzero"` // entries that nobody can read; they are among the unnamed
	Destroyed  int `json:"destroyed,omitzero"`  // entries of which only the place is left; they are among the unnamed
}

// A Question is what the log is asked.
type Question struct {
	Text  string        `json:"text"`
	Query hippad.Query  `json:"query"`
	Days  hippad.Period `json:"days,omitzero"` // when it happened, the start inclusive, the end exclusive; by hippad.Happened
	Size  int64         `json:"size"`          // of the log
}

// An Order says what to scope.
type Order struct {
	Case    int64           `json:"case"`
	User    string          `json:"user,omitzero"`   // id or name of an agent
	Device  string          `json:"device,omitzero"` // id of an agent, or network address
	Source  string          `json:"source,omitzero"` // id of the system that reported
	Query   *hippad.Query   `json:"query,omitzero"`
	From    regulation.Date `json:"from,omitzero"` // days of the organisation, both inclusive
	To      regulation.Date `json:"to,omitzero"`
	Entries []hippad.Range  `json:"entries,omitzero"` // only these

	Add       bool      `json:"add,omitzero"`    // to what was asked before, instead of in its place
	Except    []string  `json:"except,omitzero"` // patients in any form
	Reason    string    `json:"reason,omitzero"`
	Residents []Address `json:"residents,omitzero"`
	Estimate  int       `json:"estimate,omitzero"`
	Basis     string    `json:"basis,omitzero"`
	// EstimatedResidents are at least so many by State, in letters or by name, if the table does not tell.
	EstimatedResidents map[string]int `json:"estimatedResidents,omitzero"`

	Trial bool `json:"trial,omitzero"` // count, and write nothing
}

// An Address is what of a table of addresses leaves it: which patient lives in which State.
type Address struct {
	Line    int    `json:"line"`
	Patient string `json:"patient"`
	State   string `json:"state,omitzero"`
}

// A Refused row of a table is one that could not be taken, in words that quote nothing of it.
type Refused struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// A Scoped says what a scope came to.
type Scoped struct {
	Scope
	Refused     []Refused `json:"refused,omitzero"`
	NotAffected int       `json:"notAffected,omitzero"` // rows of the table that are about nobody who is affected
}

const (
	maxEntries   = 5_000_000 // of a scope
	maxQuestions = 20
	maxPlaces    = 20_000 // entries that are named one by one
	maxExcept    = 10_000
)

// Scope asks the log whom a case affects, holds the entries that prove it, and writes the answer down. It needs hippad.ActAnswer, hippad.ActRead
// and, to hold, hippad.ActRetain. Kind NotFound if nothing answers and nothing is estimated.
func (b *Breaches) Scope(ctx context.Context, who hippad.Caller, o Order) (Scoped, error) {
	if err := b.permit(ctx, who, "scope"); err != nil {
		return Scoped{}, err
	}
	c, err := b.open(o.Case)
	if err != nil {
		return Scoped{}, err
	}
	question, err := b.question(o)
	if err != nil {
		return Scoped{}, err
	}
	var s Scope
	if o.Add && c.Scope != nil {
		s.Questions, s.Except, s.Reason = slices.Clone(c.Scope.Questions), slices.Clone(c.Scope.Except), c.Scope.Reason
		s.Estimate, s.Basis, s.EstimatedResidents = c.Scope.Estimate, c.Scope.Basis, maps.Clone(c.Scope.EstimatedResidents)
	}
	reading, err := b.Repository.Consult(ctx, who, b.asked(fmt.Sprintf("%d scope: %s", o.Case, question.Text)))
	if err != nil {
		return Scoped{}, err
	}
	if question.Text != "" {
		question.Size = reading.Size()
		s.Questions = append(s.Questions, question)
	}
	if len(s.Questions) > maxQuestions {
		return Scoped{}, hippad.Errorf(hippad.Conflict, "more than %d questions in one scope", maxQuestions)
	}
	if err := s.narrow(o); err != nil {
		return Scoped{}, err
	}
	affected, err := b.ask(ctx, reading, s)
	if err != nil {
		return Scoped{}, err
	}
	if missing := affected.strangers(s.Except); len(missing) > 0 {
		return Scoped{}, hippad.Errorf(hippad.NotFound, "%d of the patients to leave out are not affected, the first is number %d", len(missing), missing[0]+1).WithHint("identifiers are compared as hippad search does, and by the crosswalk")
	}
	if affected.Entries == 0 && s.Estimate == 0 {
		return Scoped{}, hippad.Errorf(hippad.NotFound, "no entry answers, so nobody is affected").WithHint("try the question with hippad search; --estimate says how many there are if the log cannot")
	}
	s.Individuals, s.Counts, s.SHA256 = len(affected.Persons), affected.Counts, affected.SHA256()
	out := Scoped{}
	s.Residents, s.Unknown, out.Refused, out.NotAffected = affected.residents(o.Residents)
	s.Unknown += max(0, s.Estimate-s.Individuals)
	if err := s.estimateResidents(); err != nil {
		return Scoped{}, err
	}
	if o.Trial {
		out.Scope = s
		return out, nil
	}
	if err := b.fits(who, record{Case: o.Case, Scope: &s}); err != nil {
		return Scoped{}, err
	}
	if s.Hold, err = b.hold(ctx, who, c, "scope of a breach", affected.ranges()); err != nil {
		return Scoped{}, err
	}
	done, err := b.journal.Begin(ctx)
	if err != nil {
		return Scoped{}, err
	}
	defer done()
	now, err := b.open(o.Case)
	if err != nil {
		return Scoped{}, err
	}
	if o.Add && now.scopedBy() != c.scopedBy() { // what was added meanwhile would be lost
		return Scoped{}, hippad.Errorf(hippad.Conflict, "case %d has just been scoped by somebody else", o.Case).WithHint("look at it, and add to it again: hippad breach status")
	}
	if _, err := b.enter(ctx, who, "a breach was scoped", record{Case: o.Case, Scope: &s}); err != nil {
		return Scoped{}, err
	}
	c, err = b.find(o.Case)
	if err == nil {
		out.Scope = *c.Scope
	}
	return out, err
}

// scopedBy is the entry of the newest scope, 0 if there is none.
func (c Case) scopedBy() int64 {
	if c.Scope == nil {
		return 0
	}
	return c.Scope.Entry
}

// question makes one of an order; its Text is empty if it asks nothing.
func (b *Breaches) question(o Order) (Question, error) {
	for _, x := range []struct{ name, text string }{{"the user", o.User}, {"the device", o.Device}, {"the source", o.Source}} {
		if err := line(x.name, x.text, false); err != nil {
			return Question{}, err
		}
	}
	var q hippad.Query
	if o.Query != nil {
		q = *o.Query
		q.ByTime, q.Before, q.After, q.Beyond, q.Limit = false, nil, nil, nil, 0
	}
	if len(q.Indexes) > maxPlaces {
		return Question{}, hippad.Errorf(hippad.Invalid, "want at most %d entries by their places", maxPlaces)
	}
	if o.User != "" {
		q.Terms = append(q.Terms, []hippad.Term{hippad.NewTerm(hippad.FieldAgent, o.User)})
	}
	if o.Device != "" {
		q.Terms = append(q.Terms, []hippad.Term{hippad.NewTerm(hippad.FieldAgent, o.Device), hippad.NewTerm(hippad.FieldAddress, o.Device)})
	}
	if o.Source != "" {
		q.Terms = append(q.Terms, []hippad.Term{hippad.NewTerm(hippad.FieldSource, o.Source)})
	}
	if !o.From.IsZero() && !o.To.IsZero() && o.To.Before(o.From) {
		return Question{}, hippad.Errorf(hippad.Invalid, "the period ends before it begins")
	}
	var days hippad.Period
	if !o.From.IsZero() {
		days.Start = o.From.In(b.Organisation.Zone()).UTC()
	}
	if !o.To.IsZero() {
		days.End = o.To.AddDays(1).In(b.Organisation.Zone()).UTC()
	}
	if len(o.Entries) > 0 {
		places, err := places(o.Entries)
		if err != nil {
			return Question{}, err
		}
		q.Indexes = append(q.Indexes, places...)
	}
	q.Ascending = true
	asked := q
	if !days.IsZero() {
		asked.Times = append(slices.Clone(q.Times), []hippad.Period{days})
	}
	if !days.Start.IsZero() { // nothing happened on these days that came before them
		q.Received = append(slices.Clone(q.Received), []hippad.Period{{Start: days.Start}})
	}
	text := repository.QueryText(asked)
	if text == "" && o.Estimate == 0 && len(o.Except) == 0 && !o.Add {
		return Question{}, hippad.Errorf(hippad.Invalid, "a scope needs a question").WithHint("a user, a device, a source, a query, a period or entries")
	}
	return Question{Text: text, Query: q, Days: days}, nil
}

// places lists the indexes of ranges.
func places(ranges []hippad.Range) (out []int64, err error) {
	for _, r := range ranges {
		if r.First < 0 || r.Count < 1 || len(out)+r.Count > maxPlaces {
			return nil, hippad.Errorf(hippad.Invalid, "want 1 to %d entries", maxPlaces)
		}
		for i := range r.Count {
			out = append(out, r.First+int64(i))
		}
	}
	return out, nil
}

// narrow takes what an order says besides its question.
func (s *Scope) narrow(o Order) error {
	for i, text := range o.Except {
		value := hippad.NewTerm(hippad.FieldPatient, text).Value
		if err := line("a patient to leave out", text, true); err != nil || value == "" {
			return hippad.Errorf(hippad.Invalid, "patient %d to leave out is no identifier", i+1)
		}
		if !slices.Contains(s.Except, value) {
			s.Except = append(s.Except, value)
		}
	}
	if len(s.Except) > maxExcept {
		return hippad.Errorf(hippad.Invalid, "more than %d patients to leave out", maxExcept)
	}
	if len(o.Except) > 0 && strings.TrimSpace(o.Reason) == "" {
		return hippad.Errorf(hippad.Invalid, "the reason why patients are left out is missing").WithHint("164.414(b): who was not told needs a reason that can be shown")
	}
	if o.Reason != "" {
		s.Reason = strings.TrimSpace(s.Reason + "\n" + o.Reason)
	}
	if o.Estimate < 0 {
		return hippad.Errorf(hippad.Invalid, "an estimate is a number of individuals")
	}
	for name, n := range o.EstimatedResidents {
		state, ok := regulation.ParseState(name)
		if !ok || n < 1 {
			return hippad.Errorf(hippad.Invalid, "estimated residents are a State and a number of individuals")
		}
		if s.EstimatedResidents == nil {
			s.EstimatedResidents = map[string]int{}
		}
		s.EstimatedResidents[state] = n
	}
	if o.Estimate > 0 || len(o.EstimatedResidents) > 0 {
		if s.Basis = o.Basis; o.Estimate > 0 {
			s.Estimate = o.Estimate
		}
		if err := prose("the basis of the estimate", o.Basis, true); err != nil {
			return err
		}
	}
	return prose("the reason", s.Reason, false)
}

// estimateResidents raises the counts by State to what is estimated; those who are counted so are no longer unknown.
func (s *Scope) estimateResidents() error {
	for state, n := range s.EstimatedResidents {
		more := max(0, n-s.Residents[state])
		if more > s.Unknown {
			return hippad.Errorf(hippad.Invalid, "more residents are estimated than there are individuals whose State is not known").WithHint("--estimate says how many individuals there are")
		}
		s.Residents[state] += more
		s.Unknown -= more
	}
	return nil
}

const maxHeldRanges = 1000

// hold places a hold on entries; where they are too many ranges, on what lies between the closest of them too: a hold keeps too much rather than too little.
func (b *Breaches) hold(ctx context.Context, who hippad.Caller, c Case, reason string, ranges []hippad.Range) (int64, error) {
	if b.Hold == nil || len(ranges) == 0 {
		return 0, nil
	}
	name := c.Name
	if name == "" {
		name = "breach"
	}
	id, err := b.Config.Hold(ctx, who, name, reason, coarser(ranges, maxHeldRanges))
	if err != nil {
		return 0, fmt.Errorf("hold the evidence: %w", err)
	}
	return id, nil
}

// coarser joins ranges, which are in order, until there are at most so many: those with the smallest gaps first.
func coarser(ranges []hippad.Range, most int) []hippad.Range {
	if len(ranges) <= most {
		return ranges
	}
	var gaps []int64
	for i := 1; i < len(ranges); i++ {
		gaps = append(gaps, ranges[i].First-ranges[i-1].First-int64(ranges[i-1].Count))
	}
	slices.Sort(gaps)
	limit := gaps[len(gaps)-most] // at most most-1 gaps are greater
	out := []hippad.Range{ranges[0]}
	for i := 1; i < len(ranges); i++ {
		last := &out[len(out)-1]
		if ranges[i].First-last.First-int64(last.Count) <= limit {
			last.Count = int(ranges[i].First + int64(ranges[i].Count) - last.First)
		} else {
			out = append(out, ranges[i])
		}
	}
	return out
}
