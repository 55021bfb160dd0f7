package disclosure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// A Standing is a request and where it stands on a day.
type Standing struct {
	regulation.Request
	Due     regulation.Date `json:"due"`
	Left    int             `json:"daysLeft"` // until Due; negative: it is overdue; of a closed request 0
	Overdue bool            `json:"overdue,omitzero"`
	Free    bool            `json:"free"` // of charge: 164.528(c)(2)
}

// standing is called with mu.
func (d *Disclosures) standing(r regulation.Request) Standing {
	x := Standing{Request: r, Due: r.Due(), Free: regulation.Free(r.Received, d.provided(r.Patient, r.Number))}
	if r.Answered.IsZero() && r.Withdrawn.IsZero() {
		x.Left = d.today().DaysUntil(x.Due)
		x.Overdue = x.Left < 0
	}
	return x
}

// provided returns the days on which a patient was given accountings, but for those of a request. It is called with mu.
func (d *Disclosures) provided(patient string, except int64) (days []regulation.Date) {
	for _, known := range d.tried(patient) {
		for _, at := range d.state.issuedTo[known] {
			if i := d.state.issued[at]; except == 0 || i.Request != except {
				days = append(days, i.On)
			}
		}
	}
	return days
}

func term(patient string) hippad.Term { return hippad.NewTerm(hippad.FieldPatient, patient) }

// tried returns the identifiers by which a patient is looked for.
func (d *Disclosures) tried(patient string) []string {
	t := term(patient)
	out := []string{t.Value}
	if d.Repository.Same != nil {
		for _, x := range d.Repository.Same(t) {
			out = append(out, x.Value)
		}
	}
	slices.Sort(out[1:])
	return out
}

func checkPatient(patient string) error {
	if err := repository.Words("the patient", patient, true); err != nil {
		return err
	}
	if term(patient).Value == "" {
		return hippad.Errorf(hippad.Invalid, "the patient is missing")
	}
	return nil
}

// Receive says that a patient has asked for an accounting (164.528(a)(1)). It needs hippad.ActAnswer.
func (d *Disclosures) Receive(ctx context.Context, who hippad.Caller, r regulation.Request) (Standing, error) {
	if err := d.permit(ctx, who, "request"); err != nil {
		return Standing{}, err
	}
	if r.Received.IsZero() {
		r.Received = d.today()
	}
	r = regulation.Request{Patient: strings.TrimSpace(r.Patient), Received: r.Received, From: r.From, To: r.To, Note: r.Note}
	if err := checkPatient(r.Patient); err != nil {
		return Standing{}, err
	}
	if err := repository.Words("the note", r.Note, false); err != nil {
		return Standing{}, err
	}
	if err := r.Check(d.today()); err != nil {
		return Standing{}, err
	}
	return d.change(ctx, who, "C", "a request for an accounting of disclosures was received", func() (record, error) { return record{Request: &r}, nil })
}

// change writes what make returns, with the turn, and returns where the request that it is about stands.
func (d *Disclosures) change(ctx context.Context, who hippad.Caller, action, description string, make func() (record, error)) (Standing, error) {
	done, err := d.journal.Begin(ctx)
	if err != nil {
		return Standing{}, err
	}
	defer done()
	r, err := make()
	if err != nil {
		return Standing{}, err
	}
	index, err := d.enter(ctx, who, action, description, r)
	if err != nil {
		return Standing{}, err
	}
	switch {
	case r.Extend != nil:
		index = r.Extend.Request
	case r.Withdraw != nil:
		index = r.Withdraw.Request
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	x := d.state.request(index)
	if x == nil {
		return Standing{}, fmt.Errorf("request %d is not in the state after its entry", index)
	}
	return d.standing(*x), nil
}

func noRequest(number int64) error {
	return hippad.Errorf(hippad.NotFound, "there is no request %d", number)
}

// Extend says that a patient was told in writing that the answer takes longer, and why (164.528(c)(1)(ii)). It needs hippad.ActAnswer.
func (d *Disclosures) Extend(ctx context.Context, who hippad.Caller, request int64, x regulation.Extension) (Standing, error) {
	if err := d.permit(ctx, who, "extend"); err != nil {
		return Standing{}, err
	}
	if err := repository.Words("the reasons", x.Reasons, true); err != nil {
		return Standing{}, err
	}
	return d.change(ctx, who, "U", "the time to answer a request was extended", func() (record, error) {
		r := d.state.request(request)
		if r == nil {
			return record{}, noRequest(request)
		}
		if x.Told.IsZero() {
			x.Told = d.today()
		}
		if x.Until.IsZero() {
			x.Until = r.Received.AddDays(90)
		}
		return record{Extend: &extension{request, x}}, r.Extend(x, d.today())
	})
}

// Withdraw says that a patient has taken a request back, as one may who is told of a fee (164.528(c)(2)). It needs hippad.ActAnswer.
func (d *Disclosures) Withdraw(ctx context.Context, who hippad.Caller, request int64, reason string) (Standing, error) {
	if err := d.permit(ctx, who, "withdraw"); err != nil {
		return Standing{}, err
	}
	if err := repository.Words("the reason", reason, true); err != nil {
		return Standing{}, err
	}
	return d.change(ctx, who, "D", "a request for an accounting was withdrawn", func() (record, error) {
		r := d.state.request(request)
		switch {
		case r == nil:
			return record{}, noRequest(request)
		case !r.Answered.IsZero() || !r.Withdrawn.IsZero():
			return record{}, hippad.Errorf(hippad.Conflict, "the request is closed")
		}
		return record{Withdraw: &withdrawal{request, d.today(), reason}}, nil
	})
}

// Requests returns where requests stand, the one that is due first at the beginning; closed ones too if all are asked for. It needs hippad.ActAnswer.
func (d *Disclosures) Requests(ctx context.Context, who hippad.Caller, all bool) ([]Standing, error) {
	if err := d.permit(ctx, who, "requests"); err != nil {
		return nil, err
	}
	if err := d.asked(ctx, who, "requests"); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := []Standing{}
	for _, r := range d.state.requests {
		if all || r.Answered.IsZero() && r.Withdrawn.IsZero() {
			out = append(out, d.standing(r))
		}
	}
	slices.SortStableFunc(out, func(a, b Standing) int { return a.Due.Compare(b.Due) })
	return out, nil
}

// MaxDecisions is how many entries are decided on at once.
const MaxDecisions = 1000

// Decide says what entries are in an accounting, in place of what the table says of them. The newest decision counts. It needs hippad.ActAnswer. It
// returns the index of the entry that says so.
func (d *Disclosures) Decide(ctx context.Context, who hippad.Caller, decisions []regulation.Decision) (int64, error) {
	if err := d.permit(ctx, who, "decide"); err != nil {
		return 0, err
	}
	if len(decisions) == 0 || len(decisions) > MaxDecisions {
		return 0, hippad.Errorf(hippad.Invalid, "want 1 to %d entries to decide on", MaxDecisions)
	}
	size, today := d.Repository.Ledger.Size(), d.today()
	for i := range decisions {
		x := &decisions[i]
		x.DecidedBy = nameOf(who.Principal)
		if b, ok := regulation.BasisNamed(x.Basis); ok {
			x.Basis = b.Name
		}
		if x.Entry >= size {
			return 0, hippad.Errorf(hippad.NotFound, "there is no entry %d", x.Entry)
		}
		if err := x.Check(); err != nil {
			return 0, err
		}
		if x.Date.After(today) {
			return 0, hippad.Errorf(hippad.Invalid, "the day is yet to come")
		}
		for _, w := range [][2]string{{"the recipient", x.To}, {"the address", x.Address}, {"what was disclosed", x.What}, {"the purpose", x.Purpose}} {
			if err := repository.Words(w[0], w[1], false); err != nil {
				return 0, err
			}
		}
		if err := repository.Words("the reason", x.Why, true); err != nil {
			return 0, err
		}
	}
	if err := d.decidable(ctx, decisions); err != nil {
		return 0, err
	}
	done, err := d.journal.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	return d.enter(ctx, who, "U", fmt.Sprintf("what %d entries are in an accounting of disclosures was decided", len(decisions)), record{Decide: decisions})
}

// decidable tells whether a decision on entries can have an effect. Kind Invalid if not.
func (d *Disclosures) decidable(ctx context.Context, decisions []regulation.Decision) error {
	var indexes []int64
	for _, x := range decisions {
		indexes = append(indexes, x.Entry)
	}
	for e, err := range d.Repository.Ledger.EntriesAt(ctx, indexes) {
		switch {
		case err != nil:
			return fmt.Errorf("read the entries of a decision: %w", err)
		case e.Door == hippad.DoorSelf:
			return hippad.Errorf(hippad.Invalid, "entry %d is about the log itself, which is never a disclosure", e.Index)
		case e.Destroyed:
			return hippad.Errorf(hippad.Invalid, "the content of entry %d is destroyed: there is nothing to decide", e.Index)
		}
	}
	return nil
}

// Suspend keeps disclosures to an agency out of patients' copies (164.528(a)(2)). It needs hippad.ActAnswer. Who suspends by a written statement what an oral one
// suspends already adds it: both hold.
func (d *Disclosures) Suspend(ctx context.Context, who hippad.Caller, s regulation.Suspension) (regulation.Suspension, error) {
	if err := d.permit(ctx, who, "suspend"); err != nil {
		return s, err
	}
	if s.Stated.IsZero() {
		s.Stated = d.today()
	}
	s.Lifted, s.Entry = regulation.Date{}, 0
	for _, w := range [][2]string{{"the agency", s.Agency}, {"the official", s.Official}, {"the reason", s.Reason}} {
		if err := repository.Words(w[0], w[1], false); err != nil {
			return s, err
		}
	}
	if len(s.Patients) > MaxPatients {
		return s, hippad.Errorf(hippad.Invalid, "want at most %d patients of one suspension", MaxPatients)
	}
	for _, p := range s.Patients {
		if err := checkPatient(p); err != nil {
			return s, err
		}
	}
	if err := s.Check(d.today()); err != nil {
		return s, err
	}
	done, err := d.journal.Begin(ctx)
	if err != nil {
		return s, err
	}
	defer done()
	s.Entry, err = d.enter(ctx, who, "C", "accountings of disclosures to an agency were suspended", record{Suspend: &s})
	return s, err
}

// Lift ends a suspension before its time. It needs hippad.ActAnswer. Kind NotFound if there is none with the number.
func (d *Disclosures) Lift(ctx context.Context, who hippad.Caller, suspension int64, reason string) (regulation.Suspension, error) {
	if err := d.permit(ctx, who, "lift"); err != nil {
		return regulation.Suspension{}, err
	}
	if err := repository.Words("the reason", reason, true); err != nil {
		return regulation.Suspension{}, err
	}
	done, err := d.journal.Begin(ctx)
	if err != nil {
		return regulation.Suspension{}, err
	}
	defer done()
	find := func() *regulation.Suspension {
		for i := range d.state.suspensions {
			if d.state.suspensions[i].Entry == suspension {
				return &d.state.suspensions[i]
			}
		}
		return nil
	}
	switch s := find(); {
	case s == nil:
		return regulation.Suspension{}, hippad.Errorf(hippad.NotFound, "there is no suspension %d", suspension)
	case !s.Lifted.IsZero():
		return *s, hippad.Errorf(hippad.Conflict, "the suspension is lifted already")
	}
	if _, err := d.enter(ctx, who, "D", "a suspension of accountings was lifted", record{Lift: &lift{suspension, d.today(), reason}}); err != nil {
		return regulation.Suspension{}, err
	}
	return *find(), nil
}

// Suspensions returns all of them, the oldest first. It needs hippad.ActAnswer.
func (d *Disclosures) Suspensions(ctx context.Context, who hippad.Caller) ([]regulation.Suspension, error) {
	if err := d.permit(ctx, who, "suspensions"); err != nil {
		return nil, err
	}
	if err := d.asked(ctx, who, "suspensions"); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return append([]regulation.Suspension{}, d.state.suspensions...), nil
}

// Register puts research into the register of protocols (164.528(b)(4)), in place of another one if replaces is its number. It needs hippad.ActAnswer.
func (d *Disclosures) Register(ctx context.Context, who hippad.Caller, p regulation.Protocol, replaces int64) (regulation.Protocol, error) {
	if err := d.permit(ctx, who, "protocol"); err != nil {
		return p, err
	}
	p.Entry = 0
	for _, text := range append([]string{p.Name, p.Description, p.Records, p.Sponsor.Name, p.Sponsor.Address, p.Sponsor.Phone, p.Researcher.Name,
		p.Researcher.Address, p.Researcher.Phone}, p.Recipients...) {
		if err := repository.Words("a part of the protocol", text, false); err != nil {
			return p, err
		}
	}
	if err := p.Check(d.today()); err != nil {
		return p, err
	}
	done, err := d.journal.Begin(ctx)
	if err != nil {
		return p, err
	}
	defer done()
	if replaces != 0 && !slices.ContainsFunc(d.state.protocols, func(x regulation.Protocol) bool { return x.Entry == replaces }) {
		return p, hippad.Errorf(hippad.NotFound, "there is no protocol %d", replaces)
	}
	p.Entry, err = d.enter(ctx, who, "C", "a research protocol was registered", record{Protocol: &protocol{p, replaces}})
	return p, err
}

// Protocols returns the register. It needs hippad.ActAnswer.
func (d *Disclosures) Protocols(ctx context.Context, who hippad.Caller) ([]regulation.Protocol, error) {
	if err := d.permit(ctx, who, "protocols"); err != nil {
		return nil, err
	}
	if err := d.asked(ctx, who, "protocols"); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return append([]regulation.Protocol{}, d.state.protocols...), nil
}
