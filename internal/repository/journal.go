package repository

import (
	"context"
	"iter"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"hippad"
)

// A Journal is how a room keeps a state that people decide on: every change is an entry of this log before it has an effect, and the
// state is nothing but those entries, replayed. R is what one of them says, kept as JSON in a detail of its event; it says by whom.
//
// A change is made between Begin and the function that Begin returns. What it is checked against does not change meanwhile.
type Journal[R any] struct {
	repository *Repository
	detail     string
	fold       func(index int64, at time.Time, r R)
	activities []Activity

	turn chan struct{} // holds an element while somebody changes something
	seen int64         // the entries below are folded; belongs to the turn
}

// NewJournal returns a journal of which nothing is replayed yet: see CatchUp. detail is the type of the detail that holds a record, as
// "hippad/1 custody"; fold takes one into the state, in the order of the log and each once, and guards the state against those who
// only look. activities are the subtypes of the entries.
func NewJournal[R any](r *Repository, detail string, fold func(index int64, at time.Time, r R), activities ...Activity) *Journal[R] {
	return &Journal[R]{repository: r, detail: detail, fold: fold, activities: activities, turn: make(chan struct{}, 1)}
}

// Begin waits for the turn to change something, and brings the state up to the log: an entry of which the log could not say whether
// it was written may be there by now. done ends the turn. Kind Busy if ctx ends first.
func (j *Journal[R]) Begin(ctx context.Context) (done func(), err error) {
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, hippad.Errorf(hippad.Busy, "something else is being changed").WithHint("try again later")
	}
	if err := j.CatchUp(ctx); err != nil {
		<-j.turn
		return nil, err
	}
	return func() { <-j.turn }, nil
}

// CatchUp replays what is in the log and not yet in the state. It is called with the turn, or before anybody else knows the state.
func (j *Journal[R]) CatchUp(ctx context.Context) error {
	to := j.repository.Ledger.Size()
	if j.seen == to {
		return nil
	}
	return j.replay(j.repository.Own(ctx, j.seen, to, j.activities...), to)
}

// replay folds the log's own entries, which are all that matter below an index. seen follows every entry: after an error nothing may be
// folded twice.
func (j *Journal[R]) replay(entries iter.Seq2[hippad.Entry, error], below int64) error {
	for e, err := range entries {
		if err != nil {
			return err
		}
		if r, ok := RecordOf[R](j.repository.Read(e.Report), j.detail); ok {
			j.fold(e.Index, e.Received, r)
		}
		j.seen = e.Index + 1
	}
	j.seen = below
	return nil
}

const (
	entryTime = 30 * time.Second // that the log may take for an entry about a change
	// MaxRecord is how long a record may be, in bytes of JSON: half of what a FHIR string may have.
	MaxRecord = 512 << 10
)

// Enter writes an entry about a change, which names no patient but in its record, replays it, and returns its index. It is called with the turn.
// Whoever asked does not take the change back by going away: it would be in the log, and have no effect until the next one. Kind
// TooLarge if the record is longer than MaxRecord.
func (j *Journal[R]) Enter(ctx context.Context, who hippad.Caller, n Note, r R) (int64, error) {
	n, err := Noted(n, j.repository.Self, j.detail, r)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), entryTime)
	defer cancel()
	index, err := j.repository.Enter(ctx, who, n)
	if err != nil {
		return 0, err
	}
	return index, j.CatchUp(ctx)
}

// Noted puts a record into a note about this log, which is self. It is for who writes the note by other means than Enter.
func Noted[R any](n Note, self hippad.Principal, detail string, r R) (Note, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return n, hippad.Errorf(hippad.Invalid, "this cannot be written down")
	}
	if len(text) > MaxRecord {
		return n, hippad.Errorf(hippad.TooLarge, "these are more than %d bytes for one entry", MaxRecord).WithHint("make several of it")
	}
	itself := logItself(self, "")
	itself.Details = []hippad.Detail{{Type: detail, Value: text}}
	n.Entities = append(n.Entities, itself)
	return n, nil
}

// RecordOf reads a record back. An entry of the log itself without one is of another room.
func RecordOf[R any](ev hippad.Event, detail string) (r R, ok bool) {
	for _, n := range ev.Entities {
		for _, d := range n.Details {
			if d.Type == detail {
				return r, json.Unmarshal(d.Value, &r) == nil
			}
		}
	}
	return r, false
}

// Changed is the note about a change of what the log keeps, besides its record. action is C, U or D (EventActionCode).
func Changed(what Activity, action, description string) Note {
	n := SecurityAlert(ObjectSecurityAttributeChanged, description)
	n.Subtypes, n.Action = append(n.Subtypes, what.Code()), action
	return n
}

// Permit checks that a caller has one of the rights. A refusal is an entry before it is an answer; what says of what, in words that name no patient.
func (r *Repository) Permit(ctx context.Context, c hippad.Caller, what string, actions ...hippad.Action) error {
	for _, a := range actions {
		if c.May(a) {
			return nil
		}
	}
	return r.Deny(ctx, c, what, hippad.Errorf(hippad.Unauthorised, "this principal may not do that"))
}

// Deny records a refusal, and returns it.
func (r *Repository) Deny(ctx context.Context, c hippad.Caller, what string, refusal error) error {
	if err := r.Note(ctx, c, SecurityAlert(RestrictedFunction, "denied: "+what)); err != nil {
		return err
	}
	return refusal
}

const maxWords = 2000 // bytes of a reason, a name, an identifier

// Words checks what somebody has written in one line: a reason, a name, an identifier. name is for the error, which quotes nothing.
func Words(name, text string, needed bool) error {
	switch {
	case needed && strings.TrimSpace(text) == "":
		return hippad.Errorf(hippad.Invalid, "%s is missing", name)
	case len(text) > maxWords:
		return hippad.Errorf(hippad.Invalid, "%s has more than %d bytes", name, maxWords)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return hippad.Errorf(hippad.Invalid, "%s is not plain text in one line", name)
	}
	return nil
}
