// Package review owns activity reviews (45 CFR 164.308(a)(1)(ii)(D)): what a review was asked and what it found, how people have judged that, and who has
// signed it.
//
// It does not know what is suspicious (internal/regulation does, as pure functions) and shows nothing (cmd/hippad does). Rosters of staff and patients
// come with a question and are not kept: of them the log has the digests. The invariants: a run, a verdict and a signature are entries before they have an
// effect, and the state is nothing but those entries, replayed; nobody is shown a finding before that is in the log; nobody judges what was found about
// themselves or about somebody above them, as far as that can be known.
package review

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// Config is what reviews are made of.
type Config struct {
	Ledger     *ledger.Ledger
	Repository *repository.Repository
	Zone       *time.Location // in which days begin; nil: that of the machine
	Every      int            // days after which the next review is due; 0: nothing is said
}

// Reviews are the activity reviews of one log. They are safe for use by many goroutines.
type Reviews struct {
	Config

	journal *repository.Journal[record]

	mu    sync.RWMutex // guards what is below, for those who only look
	runs  map[int64]*run
	order []int64

	running chan struct{} // holds an element while a review reads: one at a time is enough for memory
}

// A run is what is remembered of a review. Its findings are read from the log when somebody asks for them.
type run struct {
	Run
	parts    []int64 // entries with its findings
	lines    map[string]string
	verdicts map[int]Verdict
}

// Open replays the log. It must be called after the ledger was opened.
func Open(ctx context.Context, c Config) (*Reviews, error) {
	if c.Ledger == nil || c.Repository == nil {
		return nil, errors.New("review: the configuration is not complete")
	}
	if c.Zone == nil {
		c.Zone = time.Local
	}
	x := &Reviews{Config: c, runs: map[int64]*run{}, running: make(chan struct{}, 1)}
	x.journal = repository.NewJournal(c.Repository, detailType, x.take, repository.ActivityReview)
	if err := x.journal.CatchUp(ctx); err != nil {
		return nil, fmt.Errorf("replay the reviews: %w", err)
	}
	return x, nil
}

// detailType is the type of the entity's detail that holds a record.
const detailType = "hippad/1 review"

// A record is what an entry of this package says: a run without its findings, a part of those, a verdict, or a signature.
type record struct {
	By    hippad.Principal `json:"by"`
	Run   *Run             `json:"run,omitzero"`
	Part  *part            `json:"part,omitzero"`
	Judge *Verdict         `json:"verdict,omitzero"`
	Sign  *Signature       `json:"signature,omitzero"`
}

// A part has some of the findings of a run.
type part struct {
	Run      int64                `json:"run"`
	Number   int                  `json:"number"` // from 1
	Findings []regulation.Finding `json:"findings,omitempty"`
	Lines    map[string]string    `json:"managers,omitempty"` // of users, their managers: so far as somebody who was found is above them
}

// A Run is a review: what was asked, and its numbers.
type Run struct {
	ID      int64            `json:"id"` // index of the entry that says what was asked
	At      time.Time        `json:"at"` // when that was
	By      hippad.Principal `json:"by"`
	From    time.Time        `json:"from"`
	To      time.Time        `json:"to"`
	Late    int64            `json:"late,omitzero"` // entries from this index on count although they happened before From
	Size    int64            `json:"size"`          // of the log that was read
	Rosters []Roster         `json:"rosters,omitempty"`
	Above   int              `json:"above"`     // findings with at least Threshold points: those with the smallest numbers
	Limit   int              `json:"threshold"` // points from which on a finding must be judged before the review is signed
	Parts   int              `json:"parts"`     // entries with its findings
	regulation.ReviewCounts

	Complete  bool       `json:"complete"` // all of its findings are in the log
	Judged    int        `json:"judged"`
	Open      int        `json:"open"` // findings above the threshold that nobody has judged
	Signature *Signature `json:"signature,omitzero"`
}

// A Verdict is what a person thinks of a finding.
type Verdict struct {
	Run     int64            `json:"run"`
	Finding int              `json:"finding"`
	Verdict string           `json:"verdict"` // appropriate, inappropriate or inconclusive
	Reason  string           `json:"reason"`
	Case    string           `json:"case,omitzero"` // of the breach or incident that it became
	User    string           `json:"user,omitzero"`
	Patient string           `json:"patient,omitzero"`
	Day     regulation.Date  `json:"day"` // of the access
	Rules   []string         `json:"rules"`
	By      hippad.Principal `json:"by"`
	At      time.Time        `json:"at"`
	Entry   int64            `json:"entry"`
}

// The verdicts.
const (
	Appropriate   = "appropriate"
	Inappropriate = "inappropriate"
	Inconclusive  = "inconclusive"
)

// A Signature is what says that a review took place.
type Signature struct {
	Run      int64            `json:"run"`
	Text     string           `json:"text"`
	Unjudged string           `json:"unjudgedReason,omitzero"` // why findings above the threshold were left unjudged
	Open     int              `json:"open"`                    // how many
	Counts   map[string]int   `json:"verdicts"`                // of each verdict
	By       hippad.Principal `json:"by"`
	At       time.Time        `json:"at"`
	Entry    int64            `json:"entry"`
}

// String hides whom it is about.
func (v Verdict) String() string { return fmt.Sprintf("verdict on finding %d/%d", v.Run, v.Finding) }

// GoString hides whom it is about under %#v.
func (v Verdict) GoString() string { return v.String() }

// LogValue hides whom it is about in slog.
func (v Verdict) LogValue() slog.Value { return slog.StringValue(v.String()) }

// take folds an entry into the state. What contradicts what is there has no effect.
func (x *Reviews) take(index int64, at time.Time, r record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case r.Run != nil:
		n := &run{Run: *r.Run, verdicts: map[int]Verdict{}, lines: map[string]string{}}
		n.ID, n.At, n.By = index, at, r.By
		n.Complete, n.Judged, n.Open, n.Signature = n.Parts == 0, 0, n.Above, nil
		x.runs[index] = n
		x.order = append(x.order, index)
	case r.Part != nil:
		n := x.runs[r.Part.Run]
		if n == nil || n.Complete || r.Part.Number != len(n.parts)+1 {
			return
		}
		n.parts = append(n.parts, index)
		maps.Copy(n.lines, r.Part.Lines)
		n.Complete = len(n.parts) == n.Parts
	case r.Judge != nil:
		n := x.runs[r.Judge.Run]
		if n == nil {
			return
		}
		v := *r.Judge
		v.By, v.At, v.Entry = r.By, at, index
		if _, again := n.verdicts[v.Finding]; !again {
			n.Judged++
			if v.Finding <= n.Above {
				n.Open--
			}
		}
		n.verdicts[v.Finding] = v
	case r.Sign != nil:
		n := x.runs[r.Sign.Run]
		if n == nil || n.Signature != nil {
			return
		}
		s := *r.Sign
		s.By, s.At, s.Entry = r.By, at, index
		n.Signature = &s
	}
}

// enter writes an entry and replays it.
func (x *Reviews) enter(ctx context.Context, who hippad.Caller, action, description string, r record) (int64, error) {
	r.By = who.Principal
	return x.journal.Enter(ctx, who, repository.Changed(repository.ActivityReview, action, description), r)
}

func (x *Reviews) permit(ctx context.Context, who hippad.Caller, what string) error {
	return x.Repository.Permit(ctx, who, "review "+what, hippad.ActReview)
}

// asked records that somebody is told something.
func (x *Reviews) asked(ctx context.Context, who hippad.Caller, query string) error {
	return x.Repository.Note(ctx, who, x.Repository.AuditLogUsed("review "+query, repository.ActivityReview.Code()))
}

// find returns a complete run. Kind NotFound if there is none.
func (x *Reviews) find(id int64) (*run, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := x.runs[id]
	if n == nil {
		return nil, hippad.Errorf(hippad.NotFound, "there is no review %d", id).WithHint("hippad review list has them")
	}
	if !n.Complete {
		return nil, hippad.Errorf(hippad.Conflict, "review %d was never finished", id).WithHint("run it again")
	}
	return n, nil
}

// findings reads what a run has found from the log.
func (x *Reviews) findings(ctx context.Context, n *run) ([]regulation.Finding, error) {
	var out []regulation.Finding
	for e, err := range x.Ledger.EntriesAt(ctx, n.parts) {
		if err != nil {
			return nil, fmt.Errorf("read the findings of a review: %w", err)
		}
		r, ok := repository.RecordOf[record](x.Repository.Read(e.Report), detailType)
		if !ok || r.Part == nil {
			return nil, fmt.Errorf("entry %d has no findings of a review", e.Index)
		}
		out = append(out, r.Part.Findings...)
	}
	return out, nil
}

// A List is every review, and when the next is due.
type List struct {
	Runs       []Run       `json:"runs"`
	Precision  []Precision `json:"precision"`
	LastSigned *time.Time  `json:"lastSigned,omitzero"` // when
	Covered    *time.Time  `json:"coveredTo,omitzero"`  // the end of the last signed period
	Gaps       []Span      `json:"gaps,omitempty"`      // between signed periods, in none of them
	Due        *time.Time  `json:"due,omitzero"`        // when the next must be signed
	Overdue    bool        `json:"overdue"`
	Every      int         `json:"everyDays,omitzero"`
}

// A Span is a time; To is not part of it.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Precision is how often a rule was right, by the verdicts: what its points are to be changed by.
type Precision struct {
	Rule          string `json:"rule"`
	Inappropriate int    `json:"inappropriate"`
	Appropriate   int    `json:"appropriate"`
	Inconclusive  int    `json:"inconclusive"`
}

// List returns the reviews, newest first, and what verdicts say of the rules. every is the cadence in days; 0: that of the configuration. It needs
// hippad.ActReview.
func (x *Reviews) List(ctx context.Context, who hippad.Caller, every int) (List, error) {
	if err := x.permit(ctx, who, "list"); err != nil {
		return List{}, err
	}
	if every < 0 || every > 3660 {
		return List{}, hippad.Errorf(hippad.Invalid, "a cadence has 1 to 3660 days")
	}
	if err := x.asked(ctx, who, "list"); err != nil {
		return List{}, err
	}
	if every == 0 {
		every = x.Every
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := List{Runs: []Run{}, Precision: x.precision(), Every: every}
	for _, id := range slices.Backward(x.order) {
		out.Runs = append(out.Runs, x.runs[id].Run)
	}
	if last := x.lastSigned(); last != nil {
		out.LastSigned, out.Covered = &last.Signature.At, &last.To
	}
	out.Gaps = x.gaps()
	if every > 0 {
		due := x.Repository.Now()
		if out.Covered != nil {
			due = out.Covered.AddDate(0, 0, every)
		}
		out.Due, out.Overdue = &due, !x.Repository.Now().Before(due)
	}
	return out, nil
}

// lastSigned returns the signed run whose period ends last; nil if there is none.
func (x *Reviews) lastSigned() (last *run) {
	for _, id := range x.order {
		if n := x.runs[id]; n.Signature != nil && (last == nil || !n.To.Before(last.To)) {
			last = n
		}
	}
	return last
}

// gaps returns the times after the beginning of the first signed period that are in no signed one, up to the end of the last.
func (x *Reviews) gaps() (out []Span) {
	var signed []*run
	for _, n := range x.runs {
		if n.Signature != nil {
			signed = append(signed, n)
		}
	}
	slices.SortFunc(signed, func(a, b *run) int { return a.From.Compare(b.From) })
	var end time.Time
	for i, n := range signed {
		if i > 0 && n.From.After(end) {
			out = append(out, Span{end, n.From})
		}
		if n.To.After(end) {
			end = n.To
		}
	}
	return out
}

func (x *Reviews) precision() []Precision {
	all := map[string]*Precision{}
	for _, n := range x.runs {
		for _, v := range n.verdicts {
			for _, rule := range v.Rules {
				p := all[rule]
				if p == nil {
					p = &Precision{Rule: rule}
					all[rule] = p
				}
				switch v.Verdict {
				case Inappropriate:
					p.Inappropriate++
				case Appropriate:
					p.Appropriate++
				default:
					p.Inconclusive++
				}
			}
		}
	}
	out := []Precision{}
	for _, rule := range regulation.ReviewRules() {
		if p := all[rule.ID]; p != nil {
			out = append(out, *p)
		}
	}
	return out
}

// learned returns what verdicts say to a review of a period: which pairs were found appropriate by the newest verdict about them, and of which patients
// something was confirmed.
func (x *Reviews) learned() (map[regulation.ReviewPair]regulation.ReviewCleared, map[string][]regulation.Date) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	newest, victims := map[regulation.ReviewPair]Verdict{}, map[string][]regulation.Date{}
	for _, id := range x.order {
		for _, v := range x.runs[id].verdicts {
			if v.Patient == "" {
				continue
			}
			patient := x.canonical(v.Patient)
			pair := regulation.ReviewPair{User: v.User, Patient: patient}
			if v.User != "" && v.Entry >= newest[pair].Entry {
				newest[pair] = v
			}
			if v.Verdict == Inappropriate && !slices.Contains(victims[patient], v.Day) {
				victims[patient] = append(victims[patient], v.Day)
			}
		}
	}
	cleared := map[regulation.ReviewPair]regulation.ReviewCleared{}
	for pair, v := range newest {
		if v.Verdict == Appropriate {
			cleared[pair] = regulation.ReviewCleared{Day: v.Day, At: v.At}
		}
	}
	return cleared, victims
}

// canonical is the one name of a patient: of the identifiers that the crosswalk knows, the first by the alphabet.
func (x *Reviews) canonical(patient string) string {
	if x.Repository.Same == nil || patient == "" {
		return patient
	}
	for _, t := range x.Repository.Same(hippad.Term{Field: hippad.FieldPatient, Value: patient}) {
		if strings.Compare(t.Value, patient) < 0 {
			patient = t.Value
		}
	}
	return patient
}
