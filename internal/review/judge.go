package review

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

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
	return x.ties(who, n).against(f)
}

// ties are what a caller has to do with people of whom a review has found something.
type ties struct {
	me    []string // every form of every name
	names []string // as words
	above []string // every form of those above
}

func (x *Reviews) ties(who hippad.Caller, n *run) (t ties) {
	t.me = callerForms(who)
	if words := nameWords(who.Name); words != "" {
		t.names = append(t.names, words)
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	for user := range n.lines {
		if !named(t.me, user) {
			continue
		}
		seen := map[string]bool{}
		for above := n.lines[user]; above != "" && !seen[above]; above = n.lines[above] {
			seen[above] = true
			t.above = append(t.above, userForms(above)...)
		}
	}
	return t
}

// against says why who has these ties may not judge a finding; empty if nothing is known against it.
func (t ties) against(f regulation.Finding) string {
	about := append(append([]string{f.User}, f.Users...), f.Also...)
	is := func(forms []string) bool {
		return slices.ContainsFunc(about, func(user string) bool { return named(forms, user) })
	}
	switch {
	case is(t.me), slices.Contains(t.me, hippad.Fold(f.Name)) && f.Name != "", slices.Contains(t.names, nameWords(f.Name)):
		return "nobody judges a finding about themselves"
	case is(t.above):
		return "nobody judges a finding about somebody above them"
	}
	return ""
}

// callerForms are the names by which a caller may be a user of the hospital's systems.
func callerForms(who hippad.Caller) (forms []string) {
	id := who.ID
	if who.Kind == hippad.KindPerson { // of OpenID Connect issuer and subject
		if i := strings.LastIndexByte(id, ' '); i >= 0 {
			forms = append(forms, userForms(id[i+1:])...)
		}
	}
	for _, s := range []string{id, who.String(), who.Name, who.Member} {
		forms = append(forms, userForms(s)...)
	}
	return forms
}

// named tells whether a user id is one of the names in forms.
func named(forms []string, user string) bool {
	return slices.ContainsFunc(userForms(user), func(f string) bool { return slices.Contains(forms, f) })
}

// userForms are the ways of writing a user id: as it is, without who assigned it, and without the domain on either side. Two people of two domains may be
// taken for one: then somebody else judges, which is better than that somebody judges themselves.
func userForms(user string) (forms []string) {
	add := func(s string) {
		if s = hippad.Fold(s); s != "" && !slices.Contains(forms, s) {
			forms = append(forms, s)
		}
	}
	add(user)
	short := user[strings.LastIndexAny(user, `|/\`)+1:]
	add(short)
	for _, s := range []string{user, short} {
		if i := strings.IndexByte(s, '@'); i > 0 {
			add(s[:i])
		}
	}
	return forms
}

// nameWords are the words of a name of several, in the order of the alphabet, because some write the last one first; empty for one word.
func nameWords(name string) string {
	words := strings.FieldsFunc(hippad.Fold(name), func(r rune) bool { return !unicode.IsLetter(r) })
	if len(words) < 2 {
		return ""
	}
	slices.Sort(words)
	return strings.Join(words, " ")
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
	t := x.ties(who, n) // once: findings and staff may both be many
	for _, f := range findings[:min(n.Above, len(findings))] {
		if _, judged := n.verdicts[f.Number]; judged {
			continue
		}
		if why := t.against(f); why != "" {
			what := fmt.Sprintf("sign review %d with finding %d unjudged: %s", a.Run, f.Number, why)
			return x.Repository.Deny(ctx, who, what, hippad.Errorf(hippad.Unauthorised, "finding %d is not judged, and %s", f.Number, why).
				WithHint("somebody else must judge it, or sign"))
		}
	}
	return nil
}
