package regulation

import (
	"slices"
	"strings"
	"time"

	"hippad"
)

// breachLawBegins is the first day to which the rule applies: 45 CFR 164.400.
var breachLawBegins = Date{2009, time.September, 23}

// A Cause is what kind of event a breach is, in the words of those who report it.
type Cause string

// The causes.
const (
	CauseSnooping    Cause = "snooping"    // somebody of the workforce looked without need
	CauseMisdirected Cause = "misdirected" // sent, given or shown to the wrong one
	CauseHacking     Cause = "hacking"
	CauseTheft       Cause = "theft"
	CauseLoss        Cause = "loss"
	CauseDisposal    Cause = "disposal"
	CauseOther       Cause = "other"
)

// Causes lists every cause, in the order of the help text.
var Causes = [...]Cause{CauseSnooping, CauseMisdirected, CauseHacking, CauseTheft, CauseLoss, CauseDisposal, CauseOther}

// PortalType returns the type of breach that the portal of HHS calls it; empty for one that people must choose.
func (c Cause) PortalType() string {
	switch c {
	case CauseSnooping, CauseMisdirected:
		return "Unauthorized Access/Disclosure"
	case CauseHacking:
		return "Hacking/IT Incident"
	case CauseTheft:
		return "Theft"
	case CauseLoss:
		return "Loss"
	case CauseDisposal:
		return "Improper Disposal"
	}
	return ""
}

// A BreachQuestion is one that 45 CFR 164.402 asks of an event before it is a breach, or is none.
type BreachQuestion string

// The questions, in the order of the rule.
const (
	Unsecured    BreachQuestion = "unsecured"     // was the PHI unsecured: 164.402, 74 FR 19006
	Permitted    BreachQuestion = "permitted"     // was it permitted under subpart E after all
	ExclusionI   BreachQuestion = "exclusion-i"   // 164.402(1)(i): unintentional, by workforce, in good faith and within the scope of authority
	ExclusionII  BreachQuestion = "exclusion-ii"  // 164.402(1)(ii): inadvertent, between two who are authorised
	ExclusionIII BreachQuestion = "exclusion-iii" // 164.402(1)(iii): the recipient could not have retained it
	Factor1      BreachQuestion = "factor-1"      // 164.402(2)(i): nature and extent of the PHI, likelihood of re-identification
	Factor2      BreachQuestion = "factor-2"      // 164.402(2)(ii): who used it or to whom it was disclosed
	Factor3      BreachQuestion = "factor-3"      // 164.402(2)(iii): whether it was actually acquired or viewed
	Factor4      BreachQuestion = "factor-4"      // 164.402(2)(iv): how far the risk has been mitigated
)

// BreachQuestions lists every question, in the order of the rule.
var BreachQuestions = [...]BreachQuestion{Unsecured, Permitted, ExclusionI, ExclusionII, ExclusionIII, Factor1, Factor2, Factor3, Factor4}

var breachFactors = [...]BreachQuestion{Factor1, Factor2, Factor3, Factor4}

// IsFactor tells the questions that are not answered by yes or no.
func (q BreachQuestion) IsFactor() bool { return slices.Contains(breachFactors[:], q) }

// Text asks the question in a line.
func (q BreachQuestion) Text() string {
	switch q {
	case Unsecured:
		return "was the PHI unsecured (164.402)?"
	case Permitted:
		return "was the use or disclosure permitted by subpart E?"
	case ExclusionI:
		return "164.402(1)(i): unintentional, by workforce, in good faith, within the scope of authority, not used further?"
	case ExclusionII:
		return "164.402(1)(ii): inadvertent, between two authorised persons of the same entity, not used further?"
	case ExclusionIII:
		return "164.402(1)(iii): could the recipient not reasonably have retained it?"
	case Factor1:
		return "164.402(2)(i): nature and extent of the PHI, likelihood of re-identification"
	case Factor2:
		return "164.402(2)(ii): the unauthorised person who used it or got it"
	case Factor3:
		return "164.402(2)(iii): was it actually acquired or viewed?"
	case Factor4:
		return "164.402(2)(iv): how far the risk has been mitigated"
	}
	return ""
}

// A BreachAnswer is what somebody has written down about one question: 164.414(b), 164.530(j)(1)(iv).
type BreachAnswer struct {
	Question BreachQuestion `json:"question"`
	Yes      bool           `json:"yes"` // of a factor nothing
	Text     string         `json:"text"`
	Author   string         `json:"author"`
	Entry    int64          `json:"entry,omitzero"` // index of the entry that says so
	At       time.Time      `json:"at,omitzero"`
}

// A BreachAssessment is what is written down so far, at most one answer for a question.
type BreachAssessment []BreachAnswer

// Answer returns what is written down about a question.
func (a BreachAssessment) Answer(q BreachQuestion) (BreachAnswer, bool) {
	i := slices.IndexFunc(a, func(x BreachAnswer) bool { return x.Question == q })
	if i < 0 {
		return BreachAnswer{}, false
	}
	return a[i], true
}

// With returns the assessment with an answer, which replaces an earlier one to the same question, in the order of the rule.
func (a BreachAssessment) With(x BreachAnswer) BreachAssessment {
	out := slices.DeleteFunc(slices.Clone(a), func(y BreachAnswer) bool { return y.Question == x.Question })
	out = append(out, x)
	slices.SortStableFunc(out, func(x, y BreachAnswer) int {
		return slices.Index(BreachQuestions[:], x.Question) - slices.Index(BreachQuestions[:], y.Question)
	})
	return out
}

// says tells whether a question is answered so, with a text.
func (a BreachAssessment) says(q BreachQuestion, yes bool) bool {
	x, ok := a.Answer(q)
	return ok && x.Yes == yes && strings.TrimSpace(x.Text) != ""
}

// A BreachBasis is why an event is not a breach.
type BreachBasis string

// The bases. Every other event that is not permitted is presumed to be a breach: 164.402(2).
const (
	BasisSecured        BreachBasis = "secured"
	BasisPermitted      BreachBasis = "permitted"
	BasisExclusionI     BreachBasis = "exclusion-i"
	BasisExclusionII    BreachBasis = "exclusion-ii"
	BasisExclusionIII   BreachBasis = "exclusion-iii"
	BasisLowProbability BreachBasis = "low-probability"
)

// BreachBases lists every basis.
var BreachBases = [...]BreachBasis{BasisSecured, BasisPermitted, BasisExclusionI, BasisExclusionII, BasisExclusionIII, BasisLowProbability}

// CheckBreachAnswer tells why an answer cannot be given about an event of that cause. Kind Invalid.
func CheckBreachAnswer(cause Cause, x BreachAnswer) error {
	switch {
	case !slices.Contains(BreachQuestions[:], x.Question):
		return hippad.Errorf(hippad.Invalid, "164.402 does not ask that").WithHint("it asks %s", joined(BreachQuestions[:]))
	case strings.TrimSpace(x.Text) == "":
		return hippad.Errorf(hippad.Invalid, "the answer about %s has no text", x.Question).WithHint("164.414(b): whoever decides must be able to show why")
	case strings.TrimSpace(x.Author) == "":
		return hippad.Errorf(hippad.Invalid, "the answer about %s has no author", x.Question)
	case x.Question == ExclusionI && x.Yes && cause == CauseSnooping:
		return errSnooping
	}
	return nil
}

var errSnooping = hippad.Errorf(hippad.Invalid, "snooping is not within the scope of authority, so 164.402(1)(i) does not exclude it").
	WithHint("if it was no snooping after all, open the case with another cause")

// CheckNoBreach tells why an event of that cause cannot be decided to be no breach on a basis, with what is written down. That it is a
// breach can always be decided: notice may be given without an assessment (78 FR 5641). Kind Conflict for what is still missing, Invalid for what can never be.
func CheckNoBreach(cause Cause, a BreachAssessment, basis BreachBasis) error {
	missing := func(what string) error {
		return hippad.Errorf(hippad.Conflict, "this cannot be decided on %s: %s", basis, what).WithHint("unless it is shown not to be one, it is a breach: 164.402(2), 164.414(b)")
	}
	switch basis {
	case BasisSecured:
		if !a.says(Unsecured, false) {
			return missing("it is not written down why the PHI was secured")
		}
	case BasisPermitted:
		if !a.says(Permitted, true) {
			return missing("it is not written down why it was permitted")
		}
	case BasisExclusionI, BasisExclusionII, BasisExclusionIII:
		if basis == BasisExclusionI && cause == CauseSnooping {
			return errSnooping
		}
		if !a.says(BreachQuestion(basis), true) {
			return missing("it is not written down why the exclusion applies")
		}
	case BasisLowProbability:
		for _, q := range breachFactors {
			if x, ok := a.Answer(q); !ok || strings.TrimSpace(x.Text) == "" {
				return missing("nothing is written down about " + string(q) + " of 164.402(2)")
			}
		}
	default:
		return hippad.Errorf(hippad.Invalid, "this is no basis on which an event is not a breach").WithHint("one of %s", joined(BreachBases[:]))
	}
	return nil
}

// CheckBreachDates tells why the days of a case cannot be. today is a day of the organisation. happened and ended may be zero: not known.
func CheckBreachDates(today, happened, ended, discovered, shouldHaveKnown Date) error {
	switch {
	case discovered.IsZero():
		return hippad.Errorf(hippad.Invalid, "the day of discovery is missing").WithHint("164.404(a)(2): the first day on which anybody of the workforce but the perpetrator knew")
	case discovered.After(today):
		return hippad.Errorf(hippad.Invalid, "the day of discovery is in the future")
	case shouldHaveKnown.After(today):
		return hippad.Errorf(hippad.Invalid, "the day on which it should have been known is in the future")
	case happened.After(today), ended.After(today):
		return hippad.Errorf(hippad.Invalid, "a day on which it happened is in the future")
	case happened.IsZero() && !ended.IsZero():
		return hippad.Errorf(hippad.Invalid, "it has a last day and no first")
	case !ended.IsZero() && ended.Before(happened):
		return hippad.Errorf(hippad.Invalid, "it ended before it began")
	case happened.After(discovered), !shouldHaveKnown.IsZero() && happened.After(shouldHaveKnown):
		return hippad.Errorf(hippad.Invalid, "it was known before it happened")
	case !ended.IsZero() && ended.Before(breachLawBegins), ended.IsZero() && !happened.IsZero() && happened.Before(breachLawBegins), discovered.Before(breachLawBegins):
		return hippad.Errorf(hippad.Invalid, "the rule applies to breaches on or after %s (164.400)", breachLawBegins)
	}
	return nil
}

func joined[S ~string](all []S) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}
