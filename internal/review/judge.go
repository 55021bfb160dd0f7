package review

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// A Judgement is what somebody says of a finding.
type Judgement struct {
	Run     int64  `json:"run"`
	Finding int    `json:"finding"`
	Verdict string `json:"verdict"` // appropriate, inappropriate or inconclusive
	Reason  string `json:"reason"`
	Case    string `json:"case,omitzero"` // of the incident or breach that it becomes
}

// Judge keeps a verdict; a later one on the same finding takes its place. It needs hippad.ActReview. Kind Unauthorised for a finding about the caller, or
// about somebody above the caller, so far as user names and the roster of staff told.
func (x *Reviews) Judge(ctx context.Context, who hippad.Caller, j Judgement) (Verdict, error) {
	if err := x.permit(ctx, who, "judge"); err != nil {
		return Verdict{}, err
	}
	if !slices.Contains([]string{Appropriate, Inappropriate, Inconclusive}, j.Verdict) {
		return Verdict{}, hippad.Errorf(hippad.Invalid, "this is no verdict").WithHint("%s, %s or %s", Appropriate, Inappropriate, Inconclusive)
	}
	if err := repository.Words("the reason", j.Reason, true); err != nil {
		return Verdict{}, err
	}
	if err := repository.Words("the case", j.Case, false); err != nil {
		return Verdict{}, err
	}
	done, err := x.journal.Begin(ctx)
	if err != nil {
		return Verdict{}, err
	}
	defer done()
	n, err := x.find(j.Run)
	if err != nil {
		return Verdict{}, err
	}
	findings, err := x.findings(ctx, n)
	if err != nil {
		return Verdict{}, err
	}
	at := slices.IndexFunc(findings, func(f regulation.Finding) bool { return f.Number == j.Finding })
	if at < 0 {
		return Verdict{}, hippad.Errorf(hippad.NotFound, "review %d has no finding %d", j.Run, j.Finding)
	}
	f := findings[at]
	if why := x.partial(who, n, f); why != "" {
		what := fmt.Sprintf("judge finding %d of review %d: %s", j.Finding, j.Run, why)
		return Verdict{}, x.Repository.Deny(ctx, who, what, hippad.Errorf(hippad.Unauthorised, "%s", why).WithHint("somebody else must judge it"))
	}
	v := Verdict{Run: j.Run, Finding: j.Finding, Verdict: j.Verdict, Reason: j.Reason, Case: j.Case, User: f.User, Patient: f.Patient, Day: f.Day, Rules: []string{}}
	for _, p := range f.Points {
		v.Rules = append(v.Rules, p.Rule)
	}
	if _, err := x.enter(ctx, who, "U", fmt.Sprintf("finding %d of review %d was judged: %s", j.Finding, j.Run, j.Verdict), record{Judge: &v}); err != nil {
		return Verdict{}, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return n.verdicts[j.Finding], nil
}

// partial says why a caller may not judge a finding; empty if nothing is known against it.
func (x *Reviews) partial(who hippad.Caller, n *run, f regulation.Finding) string {
	me := callerForms(who)
	about := append([]string{f.User}, f.Users...)
	if slices.ContainsFunc(about, func(user string) bool { return named(me, user) }) || f.Name != "" && slices.Contains(me, hippad.Fold(f.Name)) {
		return "nobody judges a finding about themselves"
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	for user := range n.lines {
		if !named(me, user) {
			continue
		}
		seen := map[string]bool{}
		for above := n.lines[user]; above != "" && !seen[above]; above = n.lines[above] {
			if seen[above] = true; slices.Contains(about, above) {
				return "nobody judges a finding about somebody above them"
			}
		}
	}
	return ""
}

// callerForms are the names by which a caller may be a user of the hospital's systems.
func callerForms(who hippad.Caller) (forms []string) {
	id := who.ID
	if who.Kind == hippad.KindPerson { // of OpenID Connect issuer and subject
		if i := strings.LastIndexByte(id, ' '); i >= 0 {
			forms = append(forms, hippad.Fold(id[i+1:]))
		}
	}
	for _, s := range []string{id, who.String(), who.Name, who.Member} {
		if s != "" {
			forms = append(forms, hippad.Fold(s))
		}
	}
	return forms
}

// named tells whether a user id of an event is one of the caller's names: as it is, or without who assigned it.
func named(me []string, user string) bool {
	if user == "" {
		return false
	}
	forms := []string{hippad.Fold(user)}
	if i := strings.LastIndexAny(user, `|/\`); i >= 0 {
		forms = append(forms, hippad.Fold(user[i+1:]))
	}
	if i := strings.IndexByte(user, '@'); i > 0 {
		forms = append(forms, hippad.Fold(user[:i]))
	}
	return slices.ContainsFunc(forms, func(f string) bool { return f != "" && slices.Contains(me, f) })
}

// An Approval is how a review is signed.
type Approval struct {
	Run      int64  `json:"run"`
	Text     string `json:"text"`
	Unjudged string `json:"unjudgedReason,omitzero"` // why findings above the threshold are left unjudged
}

// Sign says that a review took place, and what it came to: the entry is the evidence (45 CFR 164.308(a)(1)(ii)(D), 164.316(b)(1)). It needs
// hippad.ActReview. Kind Conflict if it is signed already, or findings above the threshold are unjudged and nothing says why.
func (x *Reviews) Sign(ctx context.Context, who hippad.Caller, a Approval) (Run, error) {
	if err := x.permit(ctx, who, "sign"); err != nil {
		return Run{}, err
	}
	if err := repository.Words("the text", a.Text, true); err != nil {
		return Run{}, err
	}
	if err := repository.Words("the reason", a.Unjudged, false); err != nil {
		return Run{}, err
	}
	done, err := x.journal.Begin(ctx)
	if err != nil {
		return Run{}, err
	}
	defer done()
	n, err := x.find(a.Run)
	if err != nil {
		return Run{}, err
	}
	if err := x.signable(ctx, who, n, a); err != nil {
		return Run{}, err
	}
	s := Signature{Run: a.Run, Text: a.Text, Unjudged: a.Unjudged, Open: n.Open, Counts: map[string]int{}}
	for _, v := range n.verdicts {
		s.Counts[v.Verdict]++
	}
	words := fmt.Sprintf("review %d was signed: %d entries, %d findings, %d judged, %d above %d points unjudged", a.Run, n.Entries, n.Found+n.Sampled, n.Judged, n.Open, n.Limit)
	if _, err := x.enter(ctx, who, "U", words, record{Sign: &s}); err != nil {
		return Run{}, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return n.Run, nil
}

func (x *Reviews) signable(ctx context.Context, who hippad.Caller, n *run, a Approval) error {
	switch {
	case n.Signature != nil:
		return hippad.Errorf(hippad.Conflict, "review %d is signed already", a.Run)
	case n.Open == 0:
		return nil
	case strings.TrimSpace(a.Unjudged) == "":
		return hippad.Errorf(hippad.Conflict, "%d findings with %d points or more are not judged", n.Open, n.Limit).
			WithHint("judge them, or say with --unjudged why they are left")
	}
	findings, err := x.findings(ctx, n)
	if err != nil {
		return err
	}
	for _, f := range findings[:min(n.Above, len(findings))] {
		if _, judged := n.verdicts[f.Number]; judged {
			continue
		}
		if why := x.partial(who, n, f); why != "" {
			what := fmt.Sprintf("sign review %d with finding %d unjudged: %s", a.Run, f.Number, why)
			return x.Repository.Deny(ctx, who, what, hippad.Errorf(hippad.Unauthorised, "finding %d is not judged, and %s", f.Number, why).
				WithHint("somebody else must judge it, or sign"))
		}
	}
	return nil
}
