package disclosure

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

func accessCode() hippad.Code { return repository.ActivityAccess.Code() }

// queueStep is how many entries of the log one page of the queue looks at, queuePage how many of them it shows at most: a log in which everything waits must
// be shown too. queueBytes is how long a page gets.
const (
	queueStep  = 20_000
	queuePage  = 1000
	queueBytes = 4 << 20
)

// A Queue is a page of what waits for a decision.
type Queue struct {
	Waiting []regulation.Disclosure `json:"waiting"`
	Next    int64                   `json:"next"` // where the next page begins; Size: there is none
	Size    int64                   `json:"size"` // entries of the log
	Tried   []string                `json:"tried,omitzero"`
	Unknown bool                    `json:"unknown,omitzero"` // the log has nothing of the patient asked for
}

// Queue returns what waits for a person's decision among the entries from an index on, as far as a page goes, on days in a period, of which either end may be
// open; what has no day is always among it. It needs hippad.ActAnswer.
func (d *Disclosures) Queue(ctx context.Context, who hippad.Caller, patient string, begin int64, from, to regulation.Date) (Queue, error) {
	if err := d.permit(ctx, who, "queue"); err != nil {
		return Queue{}, err
	}
	query := hippad.Query{Ascending: true}
	if patient != "" {
		if err := checkPatient(patient); err != nil {
			return Queue{}, err
		}
		query.Terms = [][]hippad.Term{{term(patient)}}
	}
	if begin < 0 || !from.IsZero() && !to.IsZero() && to.Before(from) {
		return Queue{}, hippad.Errorf(hippad.Invalid, "there is no such page, or the period ends before it begins")
	}
	reading, err := d.Repository.Consult(ctx, who, d.note(fmt.Sprintf("queue patient=%s from entry %d", patient, begin)))
	if err != nil {
		return Queue{}, err
	}
	after, before := begin-1, reading.Size()
	if patient == "" {
		before = min(begin+queueStep, reading.Size())
	}
	query.After, query.Before = &after, &before
	classifier, _, _ := d.rules()
	s := d.subject(patient)
	size := 0
	page := Queue{Waiting: []regulation.Disclosure{}, Next: max(before, begin), Size: reading.Size()}
	for e, err := range reading.Search(ctx, query) {
		if err != nil {
			return Queue{}, fmt.Errorf("search what waits for a decision: %w", err)
		}
		ev := d.Repository.Read(e.Report)
		if patient != "" && !s.meet(&ev) {
			continue
		}
		x := classifier.Classify(e, ev)
		if x.Verdict != regulation.Undecided || !x.Date.IsZero() && (!from.IsZero() && x.Date.Before(from) || !to.IsZero() && x.Date.After(to)) {
			continue
		}
		text, err := json.Marshal(x)
		if err != nil {
			return Queue{}, fmt.Errorf("measure what waits for a decision: %w", err)
		}
		size += len(text)
		if page.Waiting = append(page.Waiting, x); len(page.Waiting) == queuePage || size >= queueBytes {
			page.Next = e.Index + 1
			break
		}
	}
	if patient != "" {
		page.Tried, page.Unknown = s.tried, !s.known
	}
	return page, nil
}

// MaxManual is how many disclosures Disclose takes at once.
const MaxManual = 500

// An Outcome says what became of a manual disclosure.
type Outcome struct {
	Entry   int64  `json:"entry,omitzero"`   // the index of its entry; 0 of a trial
	Already bool   `json:"already,omitzero"` // it was in the log
	Refused string `json:"refused,omitzero"` // why it was not taken, in words that quote nothing
	Hint    string `json:"hint,omitzero"`    // and what would be
}

// Disclose records disclosures that no system has reported, each as an ordinary entry in the name of the caller, so that searches find them as any other. One that is
// refused does not keep others out; one that is in the log already is not recorded again. A trial does all but record. It needs hippad.ActAnswer. After
// an error some or all of them may have been recorded: it can be repeated.
func (d *Disclosures) Disclose(ctx context.Context, who hippad.Caller, rows []regulation.Manual, trial bool) ([]Outcome, error) {
	if err := d.permit(ctx, who, "disclose"); err != nil {
		return nil, err
	}
	if len(rows) == 0 || len(rows) > MaxManual {
		return nil, hippad.Errorf(hippad.Invalid, "want 1 to %d disclosures at once", MaxManual)
	}
	done, err := d.journal.Begin(ctx) // two lists at the same time must not both find that it is not there
	if err != nil {
		return nil, err
	}
	defer done()
	reading, err := d.Repository.Consult(ctx, who, d.note(fmt.Sprintf("which of %d manual disclosures are there", len(rows))))
	if err != nil {
		return nil, err
	}
	out := make([]Outcome, len(rows))
	fresh := map[string][]int{} // rows by key
	var order []string
	var frame hippad.Frame
	for i, row := range rows {
		if err := row.Check(d.today()); err != nil {
			out[i].Refused, out[i].Hint = hippad.Public(err)
			continue
		}
		key := row.Key().String()
		if fresh[key] != nil {
			fresh[key] = append(fresh[key], i)
			out[i].Already = true
			continue
		}
		ev, err := row.Event(d.Organisation, d.Repository.Self.ID, who.Principal, d.Now())
		if err != nil {
			return nil, err
		}
		report := d.Repository.Write(ev)
		there, err := d.there(ctx, reading, key, d.Repository.Read(report))
		if err != nil {
			return nil, err
		}
		if there >= 0 {
			out[i] = Outcome{Entry: there, Already: true}
			continue
		}
		fresh[key] = []int{i}
		order = append(order, key)
		frame.Reports = append(frame.Reports, report)
	}
	if len(frame.Reports) == 0 || trial {
		return out, nil
	}
	indexes, err := d.record(ctx, who, frame)
	if err != nil {
		return nil, err
	}
	for n, key := range order {
		for _, i := range fresh[key] {
			out[i].Entry = indexes[n]
		}
	}
	return out, nil
}

// there returns the index of an entry that has a key and says what the event does, -1 if there is none. The key alone proves nothing: any sender can write it.
func (d *Disclosures) there(ctx context.Context, reading *repository.Reading, key string, ev hippad.Event) (int64, error) {
	classifier := regulation.NewClassifier(d.Organisation, nil)
	says := func(e hippad.Entry, ev hippad.Event) string {
		x := classifier.Classify(e, ev)
		return fmt.Sprintf("%v %q %v %q %q %q %v", x.Verdict != regulation.NotDisclosed, x.Patients, x.Date, x.What, x.Recipients, x.Purpose, ev.Purposes)
	}
	want := says(hippad.Entry{Door: hippad.DoorFHIR, Received: d.Now()}, ev)
	q := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldEntity, key)}}, Ascending: true}
	for e, err := range reading.Search(ctx, q) {
		if err != nil {
			return 0, fmt.Errorf("search a manual disclosure: %w", err)
		}
		if !e.Destroyed && says(e, d.Repository.Read(e.Report)) == want {
			return e.Index, nil
		}
	}
	return -1, nil
}

// record reports in the name of a caller, who gets the right to report for this alone, and waits until it is durable. Going away does not take it back.
func (d *Disclosures) record(ctx context.Context, who hippad.Caller, f hippad.Frame) ([]int64, error) {
	ctx = context.WithoutCancel(ctx)
	reporter := hippad.Caller{Principal: who.Principal, Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleReporter}}}
	wait, err := d.Repository.As(reporter, hippad.DoorFHIR).Record(ctx, f)
	var ack hippad.Ack
	if err == nil {
		ack, err = wait(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("record manual disclosures: %w", err)
	}
	var indexes []int64
	for _, r := range ack.Ranges {
		for i := range r.Count {
			indexes = append(indexes, r.First+int64(i))
		}
	}
	if len(indexes) != len(f.Reports) {
		return nil, fmt.Errorf("the log acknowledged %d of %d manual disclosures", len(indexes), len(f.Reports))
	}
	return slices.Clip(indexes), nil
}
