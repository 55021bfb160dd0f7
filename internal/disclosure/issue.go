package disclosure

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// maxPart is how much of an accounting one entry holds, which base64 makes a third longer.
const maxPart = repository.MaxRecord * 2 / 3

// issue keeps an accounting as it is given, closes the request it answers, and numbers it. Kind Conflict if it is not complete, NotFound if the log has no
// such patient and it was not asked for all the same. version is that of the rules that it was made by.
func (d *Disclosures) issue(ctx context.Context, who hippad.Caller, ask Ask, version int, a *Answer) error {
	switch {
	case a.Unknown && !ask.Empty:
		return hippad.Errorf(hippad.NotFound, "the log has nothing of such a patient, so nothing is issued").
			WithHint("is the identifier right? hippad crosswalk show. If it is: --empty issues the answer that there is nothing")
	case len(a.Several) > 0:
		return hippad.Errorf(hippad.Conflict, "the identifier names several patients, so nothing is issued").WithHint("say who assigned it, or link them: hippad crosswalk")
	case a.Open > 0:
		return hippad.Errorf(hippad.Conflict, "%d disclosures wait for a decision, so it is not complete and not issued", a.Open).WithHint("hippad disclosures queue, and decide")
	}
	done, err := d.journal.Begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if d.state.rules != version { // it may tell what is suspended by now
		return hippad.Errorf(hippad.Conflict, "something that accountings follow was decided, suspended or registered meanwhile, so it is not issued").WithHint("ask again")
	}
	request, err := d.answered(ask, a)
	if err != nil {
		return err
	}
	text, err := json.Marshal(a.Accounting, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("write an accounting down: %w", err)
	}
	sum := sha256.Sum256(text)
	issued := regulation.Issued{
		Patient: a.Patient, Request: request.Number, On: d.today(), By: nameOf(who.Principal), From: a.From, To: a.To, Rows: len(a.Rows),
		Free: regulation.Free(request.Received, d.provided(a.Patient, request.Number)), Digest: hex.EncodeToString(sum[:]),
	}
	for part := range slices.Chunk(text, maxPart) {
		index, err := d.enter(ctx, who, "C", "a part of an accounting of disclosures", record{Part: part})
		if err != nil {
			return err
		}
		issued.Parts = append(issued.Parts, index)
	}
	if issued.Number, err = d.enter(ctx, who, "C", "an accounting of disclosures was issued", record{Issue: &issued}); err != nil {
		return err
	}
	a.Number, a.Issued = issued.Number, &issued
	return nil
}

// answered returns the request that an accounting answers: the one named, or else the patient's oldest open one of that day and period; without a number if there is none.
func (d *Disclosures) answered(ask Ask, a *Answer) (regulation.Request, error) {
	if ask.Request != 0 {
		r := d.state.request(ask.Request)
		if !r.Answered.IsZero() || !r.Withdrawn.IsZero() {
			return *r, hippad.Errorf(hippad.Conflict, "the request is closed")
		}
		return *r, nil
	}
	for _, r := range d.state.requests {
		if r.Answered.IsZero() && r.Withdrawn.IsZero() && r.Received == a.Requested && r.From == ask.From && r.To == ask.To &&
			slices.Contains(a.Tried, term(r.Patient).Value) {
			return r, nil
		}
	}
	return regulation.Request{Received: a.Requested}, nil
}

// IssuedList returns what was issued, the newest first: to a patient, or to everybody if patient is empty. It needs hippad.ActAnswer.
func (d *Disclosures) IssuedList(ctx context.Context, who hippad.Caller, patient string) ([]regulation.Issued, error) {
	if err := d.permit(ctx, who, "issued"); err != nil {
		return nil, err
	}
	if patient != "" {
		if err := checkPatient(patient); err != nil {
			return nil, err
		}
	}
	if err := d.asked(ctx, who, "issued patient="+patient); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := append([]regulation.Issued{}, d.state.issued...)
	if patient != "" {
		out = out[:0]
		tried := d.tried(patient)
		for _, i := range d.state.issued { // a number without its assigner finds those with one, as a search does
			if to := term(i.Patient).Value; slices.ContainsFunc(tried, func(known string) bool { return sameBut(to, known) }) {
				out = append(out, i)
			}
		}
	}
	slices.SortFunc(out, func(a, b regulation.Issued) int { return cmp.Compare(b.Number, a.Number) })
	return out, nil
}

// Issued returns an accounting as it was given. It needs hippad.ActAnswer. Kind NotFound if none has the number.
func (d *Disclosures) Issued(ctx context.Context, who hippad.Caller, number int64) (Answer, error) {
	if err := d.permit(ctx, who, "issued"); err != nil {
		return Answer{}, err
	}
	if err := d.asked(ctx, who, fmt.Sprintf("issued %d", number)); err != nil {
		return Answer{}, err
	}
	d.mu.RLock()
	i := slices.IndexFunc(d.state.issued, func(x regulation.Issued) bool { return x.Number == number })
	var issued regulation.Issued
	if i >= 0 {
		issued = d.state.issued[i]
	}
	d.mu.RUnlock()
	if i < 0 {
		return Answer{}, hippad.Errorf(hippad.NotFound, "no accounting %d was issued", number)
	}
	var text []byte
	for e, err := range d.Repository.Ledger.EntriesAt(ctx, issued.Parts) {
		if err != nil {
			return Answer{}, fmt.Errorf("read accounting %d: %w", number, err)
		}
		r, ok := repository.RecordOf[record](d.Repository.Read(e.Report), detailType)
		if !ok {
			return Answer{}, fmt.Errorf("entry %d is no part of accounting %d", e.Index, number)
		}
		text = append(text, r.Part...)
	}
	out := Answer{Issued: &issued}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != issued.Digest {
		return Answer{}, fmt.Errorf("accounting %d is not what was issued", number)
	}
	if err := json.Unmarshal(text, &out.Accounting); err != nil {
		return Answer{}, fmt.Errorf("read accounting %d: %w", number, err)
	}
	out.Number = number
	return out, nil
}
