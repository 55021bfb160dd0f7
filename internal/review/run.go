package review

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// A Question is what a review is asked.
type Question struct {
	From time.Time `json:"from,omitzero"` // zero: the end of the last signed review; if there is none, 90 days before To
	To   time.Time `json:"to,omitzero"`   // zero: now
	// FromDay and ToDay are the same as days of Config.Zone, which who asks from elsewhere does not know. They come before From and To.
	FromDay regulation.Date `json:"fromDay,omitzero"`
	ToDay   regulation.Date `json:"toDay,omitzero"`
	History int             `json:"history"`   // days before From that the rules may know
	Limit   int             `json:"threshold"` // points from which on a finding must be judged before the review is signed
	Sample  int             `json:"sample"`    // of 1,000 accesses that were explained, how many are shown all the same
	Rosters Rosters         `json:"rosters,omitzero"`
}

// Defaults of a Question.
const (
	Threshold  = 30
	Sample     = 15
	firstDays  = 90
	maxHistory = 400
)

// A Result is what a review has found.
type Result struct {
	Run     Run      `json:"run"`
	Found   []Found  `json:"findings"`
	BadRows []BadRow `json:"badRows,omitempty"`
}

// A Found is a finding with what somebody thinks of it.
type Found struct {
	regulation.Finding
	Verdict *Verdict `json:"verdict,omitzero"`
}

// Run reviews a period, and keeps what it has found. It needs hippad.ActReview. Kind Busy while another review reads. progress hears how many entries of
// the log are done.
func (x *Reviews) Run(ctx context.Context, who hippad.Caller, q Question, progress func(done, total int64)) (Result, error) {
	if err := x.permit(ctx, who, "run"); err != nil {
		return Result{}, err
	}
	select {
	case x.running <- struct{}{}:
		defer func() { <-x.running }()
	default:
		return Result{}, hippad.Errorf(hippad.Busy, "another review is being run").WithHint("try again when it is done")
	}
	late, err := x.complete(&q)
	if err != nil {
		return Result{}, err
	}
	rosters, kept, bad, err := q.Rosters.read(x.canonical)
	if err != nil {
		return Result{}, err
	}
	words := fmt.Sprintf("review of %s to %s, and of the %d days before", q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339), q.History)
	reading, err := x.Repository.Consult(ctx, who, x.Repository.AuditLogUsed(words, repository.ActivityReview.Code()))
	if err != nil {
		return Result{}, err
	}
	cleared, victims := x.learned()
	r := regulation.NewReview(regulation.ReviewOptions{
		From: q.From, To: q.To, LateFrom: late, Zone: x.Zone, Sample: q.Sample, Seed: seed(q, kept), Cleared: cleared, Victims: victims, Patient: x.canonical,
	}, rosters)
	if err := x.read(ctx, reading, q, late, r, progress); err != nil {
		return Result{}, err
	}
	out := r.Outcome()
	run := Run{From: q.From, To: q.To, Late: late, Size: reading.Size(), Rosters: kept, Limit: q.Limit, ReviewCounts: out.Counts}
	for _, f := range out.Findings {
		if f.Score >= q.Limit && !f.Sampled {
			run.Above++
		}
	}
	id, err := x.keep(ctx, who, run, out.Findings, rosters)
	if err != nil {
		return Result{}, err
	}
	n, err := x.find(id)
	if err != nil {
		return Result{}, err
	}
	return x.result(n, out.Findings, bad), nil
}

// complete fills in what the question leaves open, and returns from which index on an entry counts although it happened before the period.
func (x *Reviews) complete(q *Question) (late int64, err error) {
	now := x.Repository.Now().UTC().Truncate(time.Microsecond)
	x.mu.RLock()
	last := x.lastSigned()
	x.mu.RUnlock()
	if !q.FromDay.IsZero() {
		q.From = q.FromDay.In(x.Zone)
	}
	if !q.ToDay.IsZero() {
		q.To = q.ToDay.In(x.Zone)
	}
	if q.To.IsZero() {
		q.To = now
	}
	switch {
	case !q.From.IsZero():
	case last != nil && last.To.Before(q.To):
		q.From = last.To
	default:
		q.From = q.To.AddDate(0, 0, -firstDays)
	}
	q.From, q.To = q.From.UTC(), q.To.UTC()
	// What has come since is of this review wherever it goes on from the last one: when this one is signed the next asks only for what comes after it.
	if last != nil && !q.From.After(last.To) && !q.To.Before(last.To) {
		late = last.Size
	}
	switch {
	case !q.From.Before(q.To):
		return 0, hippad.Errorf(hippad.Invalid, "the period ends before it begins")
	case q.To.After(now):
		return 0, hippad.Errorf(hippad.Invalid, "the period is not over yet")
	case q.History < 0 || q.History > maxHistory:
		return 0, hippad.Errorf(hippad.Invalid, "the history is of 0 to %d days", maxHistory)
	case q.Limit < 0 || q.Limit > 1000:
		return 0, hippad.Errorf(hippad.Invalid, "the threshold has 0 to 1000 points")
	case q.Sample < 0 || q.Sample > 1000:
		return 0, hippad.Errorf(hippad.Invalid, "the sample is 0 to 1000 of 1000")
	}
	if q.Limit == 0 {
		q.Limit = Threshold
	}
	if q.Sample == 0 {
		q.Sample = Sample
	}
	return late, nil
}

// seed decides which accesses are sampled: the same for the same period and rosters.
func seed(q Question, rosters []Roster) []byte {
	sum := sha256.New()
	fmt.Fprintln(sum, q.From.UnixMicro(), q.To.UnixMicro())
	for _, r := range rosters {
		fmt.Fprintln(sum, r.Name, r.SHA256)
	}
	return sum.Sum(nil)
}

// chunk is how many entries are looked through in one piece.
const chunk = 16 << 10

// read adds what the log has of the period, and of what came late for earlier ones, to a review, in the order of the log: pieces are read by all processors, and added one after the other.
func (x *Reviews) read(ctx context.Context, reading *repository.Reading, q Question, late int64, r *regulation.Review, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type piece struct {
		seen []regulation.Observation
		err  error
	}
	queue := make(chan chan piece, runtime.GOMAXPROCS(0))
	look := func(first int64) (p piece) {
		end := min(first+chunk, reading.Size())
		known := end // from here on entries count however old they are
		if late > 0 {
			known = min(max(first, late), end)
		}
		begin := q.From.AddDate(0, 0, -q.History)
		for _, part := range []struct {
			query     hippad.Query
			low, high int64
		}{
			{hippad.Query{From: begin, To: q.To}, first, known},
			{hippad.Query{To: q.To}, known, end},
			{hippad.Query{From: q.To, Received: [][]hippad.Period{{{Start: begin, End: q.To}}}}, first, end}, // of a clock that is ahead: see Observe
		} {
			if part.low == part.high {
				continue
			}
			after, query := part.low-1, part.query
			query.After, query.Before, query.Ascending = &after, &part.high, true
			for e, err := range reading.Search(ctx, query) {
				if err != nil {
					return piece{err: err}
				}
				p.seen = append(p.seen, r.Observe(e, x.Repository.Read(e.Report)))
			}
		}
		slices.SortFunc(p.seen, func(a, b regulation.Observation) int { return cmp.Compare(a.Entry, b.Entry) })
		return p
	}
	go func() {
		defer close(queue)
		for first := int64(0); first < reading.Size(); first += chunk {
			done := make(chan piece, 1)
			select {
			case queue <- done:
			case <-ctx.Done():
				return
			}
			go func() { done <- look(first) }()
		}
	}()
	at := int64(0)
	for done := range queue {
		p := <-done
		if p.err != nil {
			return p.err
		}
		for _, o := range p.seen {
			r.Add(o)
		}
		at = min(at+chunk, reading.Size())
		progress(at, reading.Size())
	}
	return ctx.Err()
}

// maxPart is how many bytes of findings go into one entry.
const maxPart = repository.MaxRecord / 2

// keep writes a run and its findings. A crash in between leaves a run that is not complete, and that nobody can judge or sign.
func (x *Reviews) keep(ctx context.Context, who hippad.Caller, n Run, findings []regulation.Finding, rosters *regulation.ReviewRosters) (int64, error) {
	parts, err := split(findings, rosters)
	if err != nil {
		return 0, err
	}
	done, err := x.journal.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	n.Parts = len(parts)
	id, err := x.enter(ctx, who, "C", fmt.Sprintf("activity was reviewed: %d findings, %d of them above %d points", len(findings), n.Above, n.Limit), record{Run: &n})
	if err != nil {
		return 0, err
	}
	for i, p := range parts {
		p.Run, p.Number = id, i+1
		words := fmt.Sprintf("findings of review %d, part %d of %d", id, p.Number, len(parts))
		if _, err := x.enter(ctx, who, "C", words, record{Part: &p}); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// split makes parts of findings, and of who is above whom, none of them too long for an entry.
func split(findings []regulation.Finding, rosters *regulation.ReviewRosters) ([]part, error) {
	var parts []part
	var now part
	size := 0
	next := func(more int) {
		if size += more; size > maxPart {
			parts = append(parts, now)
			now, size = part{}, more
		}
	}
	var users []string
	for _, f := range findings {
		text, err := json.Marshal(f)
		if err != nil {
			return nil, hippad.Errorf(hippad.Invalid, "a finding cannot be written down")
		}
		next(len(text) + 1)
		now.Findings = append(now.Findings, f)
		users = append(users, f.User)
		users = append(users, f.Users...)
	}
	slices.Sort(users)
	below := rosters.Below(slices.Compact(users), userForms)
	for _, user := range sorted(below) {
		next(len(user) + len(below[user]) + 16)
		if now.Lines == nil {
			now.Lines = map[string]string{}
		}
		now.Lines[user] = below[user]
	}
	if size > 0 {
		parts = append(parts, now)
	}
	return parts, nil
}

func sorted(m map[string]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// result puts findings and verdicts together.
func (x *Reviews) result(n *run, findings []regulation.Finding, bad []BadRow) Result {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := Result{Run: n.Run, Found: make([]Found, len(findings)), BadRows: bad}
	for i, f := range findings {
		out.Found[i].Finding = f
		if v, ok := n.verdicts[f.Number]; ok {
			out.Found[i].Verdict = &v
		}
	}
	return out
}

// Show returns a review with its findings. It needs hippad.ActReview. Kind NotFound if there is none, Conflict if it was never finished.
func (x *Reviews) Show(ctx context.Context, who hippad.Caller, id int64) (Result, error) {
	if err := x.permit(ctx, who, "show"); err != nil {
		return Result{}, err
	}
	if err := x.asked(ctx, who, fmt.Sprintf("show %d", id)); err != nil {
		return Result{}, err
	}
	n, err := x.find(id)
	if err != nil {
		return Result{}, err
	}
	findings, err := x.findings(ctx, n)
	if err != nil {
		return Result{}, err
	}
	return x.result(n, findings, nil), nil
}
