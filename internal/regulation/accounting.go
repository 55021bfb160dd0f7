package regulation

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"hippad"
)

// Periods of 164.528 and its neighbours, in years.
const (
	accountingYears = 6 // 164.528(a)(1)
	ehrYears        = 3 // 42 USC 17935(c)(1)(B)
	part2Years      = 3 // 42 CFR 2.25
)

// A Question is what one accounting is asked for.
type Question struct {
	Requested Date // the day of the request, on which the period ends
	From, To  Date // a shorter period, which the patient may ask for (164.528(a)(3)); zero: the whole
	Today     Date // the day on which it is made, which decides what is suspended
	Every     bool // list every disclosure, and do not summarise
	Officer   bool // with what the patient's copy leaves out: exempt, in review, withheld
}

// Window returns the first and the last day of the period. Kind Invalid for a day that cannot be. The period begins on the same day six years earlier; from a 29th
// of February that there was not, on the 28th: it includes more.
func (q Question) Window() (from, to Date, err error) {
	from, to = q.Requested.YearsBefore(accountingYears), q.Requested
	switch {
	case q.Requested.IsZero() || q.Requested.Before(firstDay):
		return from, to, hippad.Errorf(hippad.Invalid, "the day of the request cannot be")
	case q.Requested.After(q.Today):
		return from, to, hippad.Errorf(hippad.Invalid, "the day of the request is yet to come")
	case !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From):
		return from, to, hippad.Errorf(hippad.Invalid, "the period ends before it begins")
	case !q.From.IsZero() && q.From.After(to), !q.To.IsZero() && q.To.Before(from):
		return from, to, hippad.Errorf(hippad.Invalid, "the period is outside the six years before the request (164.528(a)(1))")
	}
	if q.From.After(from) {
		from = q.From
	}
	if !q.To.IsZero() && q.To.Before(to) {
		to = q.To
	}
	return from, to, nil
}

// A Row is one line of an accounting: a disclosure, or several of a series (164.528(b)(2), (b)(3)).
type Row struct {
	Date       Date        `json:"date"`            // of the only or the first one in the period
	Last       Date        `json:"last,omitzero"`   // of the last one, of a series
	Count      int         `json:"count"`           // how many
	Recipients []Recipient `json:"recipients"`      // 164.528(b)(2)(ii)
	What       string      `json:"what"`            // 164.528(b)(2)(iii)
	Purpose    string      `json:"purpose"`         // 164.528(b)(2)(iv)
	Basis      []string    `json:"basis"`           // the sections that permit or require it; several where it is one of them
	By         string      `json:"by,omitzero"`     // the business associate that made it
	Clause     string      `json:"clause"`          // by which it is listed
	Entries    []int64     `json:"entries"`         // that it stands for: their receipts prove them
	Unless     string      `json:"unless,omitzero"` // for the officer: when it would not have to be listed
	Withheld   *Suspension `json:"withheld,omitzero"`
}

// An Exemption is how much is exempt by one paragraph, for the officer.
type Exemption struct {
	Clause  string  `json:"clause"`
	Basis   string  `json:"basis"`
	Entries []int64 `json:"entries"`
	Unless  string  `json:"unless,omitzero"` // when it would have to be listed, which only a person can know
}

// An Accounting is the answer to one patient's request.
type Accounting struct {
	Number       int64        `json:"number,omitzero"` // of the issued one; 0: it was not issued
	Organisation string       `json:"organisation"`
	Patient      string       `json:"patient"`           // as asked for
	Tried        []string     `json:"tried"`             // the identifiers looked for
	Unknown      bool         `json:"unknown,omitzero"`  // the log has nothing of such a patient
	Several      []string     `json:"several,omitzero"`  // whom the identifier names: it is not one patient, so there is no answer
	Requested    Date         `json:"requested"`         // the day of the request
	Prepared     Date         `json:"prepared"`          // the day it was made
	From         Date         `json:"from"`              // the period, both days included
	To           Date         `json:"to"`                //
	Rows         []Row        `json:"rows"`              // oldest first
	Research     []Protocol   `json:"research,omitzero"` // 164.528(b)(4)
	Associates   []Associate  `json:"businessAssociates,omitzero"`
	Open         int          `json:"open"` // how many disclosures a person has yet to decide on: it is not complete before
	Officer      bool         `json:"officer,omitzero"`
	Exempt       []Exemption  `json:"exempt,omitzero"` // for the officer, like the next
	Review       []Disclosure `json:"review,omitzero"`
	Size         int64        `json:"size"` // entries of the log that were looked at: what came later is not in it
}

// String hides what was disclosed.
func (a Accounting) String() string { return fmt.Sprintf("accounting of %d rows", len(a.Rows)) }

// GoString hides what was disclosed under %#v.
func (a Accounting) GoString() string { return a.String() }

// LogValue hides what was disclosed in slog.
func (a Accounting) LogValue() slog.Value { return slog.StringValue(a.String()) }

// Rules are what an accounting follows besides the disclosures.
type Rules struct {
	Organisation *Organisation
	Suspensions  []Suspension // of this patient's right: those of others are left out
	Protocols    []Protocol
}

// An Account gathers the disclosures of one patient. NewAccount makes it.
type Account struct {
	question Question
	rules    Rules
	from, to Date
	options  LegalOptions

	rows   []gathered
	exempt map[exemptBy][]int64
	review []Disclosure
	// research that was made under a registered protocol is listed once, as that.
	protocols map[int64]bool
}

// exemptBy is what the disclosures of an Exemption have in common.
type exemptBy struct{ clause, basis, unless string }

type gathered struct {
	Disclosure
	withheld *Suspension
	clause   string
}

// NewAccount begins the answer to a question. Kind Invalid if it cannot be answered.
func NewAccount(q Question, r Rules) (*Account, error) {
	from, to, err := q.Window()
	if err != nil {
		return nil, err
	}
	a := &Account{question: q, rules: r, from: from, to: to, exempt: map[exemptBy][]int64{}, protocols: map[int64]bool{}}
	if r.Organisation != nil {
		a.options = r.Organisation.Options
	}
	return a, nil
}

func (a *Account) within(d Date) bool { return !d.Before(a.from) && !d.After(a.to) }

// Add takes a disclosure in. What lies outside the period is left out; what has no day is in it, because nobody knows that it is not.
func (a *Account) Add(d Disclosure) {
	if d.Verdict == NotDisclosed || !d.Date.IsZero() && !a.within(d.Date) {
		return
	}
	switch d.Verdict {
	case Undecided:
		a.review = append(a.review, d)
	case Exempt:
		if clause := a.listedAllTheSame(d); clause != "" {
			a.rows = append(a.rows, gathered{Disclosure: d, clause: clause})
			return
		}
		key := exemptBy{d.Clause, strings.Join(sections(d.Bases), ", "), d.Unless}
		a.exempt[key] = append(a.exempt[key], d.Entry)
	case Accountable:
		if p := a.protocolOf(d); p != nil {
			a.protocols[p.Entry] = true
			key := exemptBy{clause: "164.528(b)(4)", basis: "164.512(i)"}
			a.exempt[key] = append(a.exempt[key], d.Entry)
			return
		}
		a.rows = append(a.rows, gathered{Disclosure: d, withheld: a.suspended(d), clause: d.Clause})
	}
}

// listedAllTheSame returns the clause by which an exempt disclosure is listed where an option of the organisation says so; empty if none does.
func (a *Account) listedAllTheSame(d Disclosure) string {
	tpo := d.Clause == exemptTPO
	recent := func(years int) bool {
		return !d.Date.IsZero() && !d.Date.Before(a.question.Requested.YearsBefore(years))
	}
	switch {
	case a.options.Part2Accounting && d.part2 && recent(part2Years) && (d.Clause == exemptAuthorization || tpo && d.through):
		return "42 CFR 2.25"
	case a.options.EHRAccounting && tpo && d.through && recent(ehrYears):
		return "42 USC 17935(c)"
	}
	return ""
}

// sections returns the sections of bases by their names, each once.
func sections(names []string) (out []string) {
	for _, b := range basesOf(names...) {
		if !slices.Contains(out, b.Section) {
			out = append(out, b.Section)
		}
	}
	return out
}

// Finish returns the answer, without what only the log knows: whose it is and what was tried.
func (a *Account) Finish() Accounting {
	out := Accounting{
		Requested: a.question.Requested, Prepared: a.question.Today, From: a.from, To: a.to,
		Rows: []Row{}, Open: len(a.review), Officer: a.question.Officer,
	}
	if o := a.rules.Organisation; o != nil {
		out.Organisation = o.Name
		if a.options.EHRAccounting {
			out.Associates = o.Partners
		}
	}
	for _, p := range a.rules.Protocols {
		if p.listed(a.from, a.to) {
			p.Recipients = nil
			out.Research = append(out.Research, p)
		}
	}
	for _, r := range a.series() {
		if a.question.Officer {
			out.Rows = append(out.Rows, r)
			continue
		}
		if r.Withheld == nil {
			r.Unless = ""
			out.Rows = append(out.Rows, r)
		}
	}
	if !a.question.Officer {
		return out
	}
	for key, entries := range a.exempt {
		slices.Sort(entries)
		out.Exempt = append(out.Exempt, Exemption{key.clause, key.basis, entries, key.unless})
	}
	slices.SortFunc(out.Exempt, func(x, y Exemption) int {
		return cmp.Or(cmp.Compare(x.Clause, y.Clause), cmp.Compare(x.Basis, y.Basis), cmp.Compare(x.Unless, y.Unless))
	})
	out.Review = a.review
	slices.SortFunc(out.Review, func(x, y Disclosure) int { return cmp.Compare(x.Entry, y.Entry) })
	return out
}

// series makes rows of what was gathered. Several to one recipient for a single purpose are one row, where the basis allows it and nobody asked
// for each (164.528(b)(3)): in full the first one in the period, with the number and the last day.
func (a *Account) series() (rows []Row) {
	slices.SortStableFunc(a.rows, func(x, y gathered) int {
		return cmp.Or(x.Date.Compare(y.Date), cmp.Compare(x.Entry, y.Entry))
	})
	at := map[string]int{}
	for _, d := range a.rows {
		key, ok := d.seriesKey()
		if i, seen := at[key]; ok && seen && !a.question.Every {
			r := &rows[i]
			r.Count++
			r.Last, r.Clause = d.Date, "164.528(b)(3)"
			r.Entries = append(r.Entries, d.Entry)
			continue
		}
		at[key] = len(rows)
		rows = append(rows, Row{
			Date: d.Date, Count: 1, Recipients: named(d.Recipients), What: cmp.Or(d.What, "not recorded"), Purpose: cmp.Or(d.Purpose, "not recorded"),
			Basis: sections(d.Bases), By: d.By, Clause: d.clause, Entries: []int64{d.Entry}, Unless: d.Unless, Withheld: d.withheld,
		})
	}
	return rows
}

func named(all []Recipient) []Recipient {
	out := []Recipient{}
	for _, r := range all {
		out = append(out, Recipient{Name: cmp.Or(r.Name, r.text), Address: r.Address})
	}
	if len(out) == 0 {
		out = append(out, Recipient{Name: "not recorded"})
	}
	return out
}

// seriesKey is what disclosures of one series share. ok is false for one that may not be in a series: 164.528(b)(3) is for 164.502(a)(2)(ii) and 164.512 alone.
func (d gathered) seriesKey() (key string, ok bool) {
	ok = d.clause == "164.528(b)(2)" && len(d.Recipients) > 0
	for _, b := range basesOf(d.Bases...) {
		ok = ok && b.Series
	}
	var who []string
	for _, r := range d.Recipients {
		who = append(who, r.key+"\x00"+hippad.Fold(r.Name)) // one id may be several recipients'
		ok = ok && r.key != ""
	}
	slices.Sort(who)
	return strings.Join([]string{d.key, d.Purpose, d.By, strings.Join(who, "\x00"), fmt.Sprint(d.withheld != nil)}, "\x01"), ok
}
