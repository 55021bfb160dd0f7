package regulation

// A ReviewRule is one of the reasons why an access is looked at.
type ReviewRule struct {
	ID     string
	Name   string
	Points int  // that it adds; of A7, B1 and explanations the most
	Always bool // found although the access is explained
}

// ReviewRules are the rules, in the order of their ids. The points are start values: the precision that verdicts show (RulePrecision) is what they are
// to be changed by. A16 (a source is silent) is no rule of a review: internal/completeness finds it.
func ReviewRules() []ReviewRule {
	return []ReviewRule{
		{"A1", "own record", 40, true},
		{"A2", "emergency access (break-the-glass)", 30, true},
		{"A3", "nothing explains it", 10, false},
		{"A4", "first contact ever, and nobody of the department near it", 10, false},
		{"A5", "many patients in one day", 30, true},
		{"A6", "many unexplained patients over 90 days", 30, true},
		{"A7", "mass export, or a first one", 40, true},
		{"A8", "outside the user's own hours", 10, false},
		{"A9", "a device the user has never used", 10, false},
		{"A10", "many people without a reason at one record", 30, true},
		{"A11", "a dormant record, opened once", 15, false},
		{"A12", "looked at again and again, never worked on", 5, false},
		{"A13", "searched for by name, then opened", 10, false},
		{"A14", "failed log-ins", 20, true},
		{"A15", "one account in two places, or revived", 20, true},
		{"A17", "the audit log was used", 5, true},
		{"A18", "was a victim before", 15, false},
		{"B1", "same last name", 20, false},
		{"B2", "same household", 40, true},
		{"B3", "a colleague's record", 25, false},
		{"B4", "the manager's or a subordinate's record", 15, false},
		{"B5", "a neighbour", 10, false},
		{"B6", "a VIP", 25, false},
		{"B7", "a minor", 5, false},
		{"B8", "deceased for more than 30 days", 30, true},
		{"B9", "after the end of employment", 100, true},
		{"B10", "a department that does not treat the patient", 10, false},
		{"B11", "a sensitive record", 10, false},
		{SampleRule, "a sample of what was explained", 0, true},
	}
}

// SampleRule is the id of what was drawn from the accesses that were explained.
const SampleRule = "S"

// Explanations are the templates that explain an access (E1 to E7), and what each takes off a finding that is made all the same.
func Explanations() []ReviewRule {
	return []ReviewRule{
		{"E1", "the user worked on the record within 7 days", -15, false},
		{"E2", "an encounter, an appointment or a care team names the user or the department", -15, false},
		{"E3", "somebody of the same department worked on the record within 72 hours", -10, false},
		{"E4", "a person has found this user's access to this patient appropriate in the last 30 days", -15, false},
		{"E5", "somebody whom the user shares patients with worked on the record within 72 hours", -5, false},
		{"E6", "the job function needs every record", -5, false},
		{"E7", "an order or a referral names the user", -15, false},
	}
}

const (
	massPatients     = 50 // of an export, of one search (A7)
	burstPatients    = 30 // least, of a day (A5)
	dripPatients     = 10 // least, of 90 days (A6)
	dormantDays      = 120
	revivedDays      = 90
	failedLogins     = 5
	failedWithin     = 15 * 60 // seconds
	crowdPeople      = 5       // people without a reason, of one day (A10)
	crowdDepartments = 3       // of them
	crowdNamed       = 100     // in one finding: it is an entry, and must not be too long for one
	deadDays         = 30
	adultYears       = 18
)

// reviewPoints returns the rule's points, with why.
func reviewPoints(id, why string) FindingPoints {
	for _, list := range [][]ReviewRule{ReviewRules(), Explanations()} {
		for _, x := range list {
			if x.ID == id {
				return FindingPoints{id, x.Points, why}
			}
		}
	}
	return FindingPoints{Rule: id, Why: why}
}

// alwaysFound tells whether the rule finds what is explained.
func alwaysFound(id string) bool {
	for _, x := range ReviewRules() {
		if x.ID == id {
			return x.Always
		}
	}
	return false
}
