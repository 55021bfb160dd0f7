package hippad

import "slices"

// A Role is a set of things that a caller may do. A caller may have several; one without any may do what everybody may.
type Role string

// The roles.
const (
	RoleReporter      Role = "reporter"      // adds reports, for its own organisation, and reads nothing
	RoleReviewer      Role = "reviewer"      // searches and reads: 45 CFR 164.308(a)(1)(ii)(D), activity review
	RoleOfficer       Role = "officer"       // the privacy officer: reads, exports, holds, answers for the organisation, decides what is purged
	RoleAuditor       Role = "auditor"       // proofs and structure, no bodies
	RoleAdministrator Role = "administrator" // configures, no bodies
	RolePatient       Role = "patient"       // reads what concerns the one patient of the Grant
)

// Roles lists every role, in the order of the help text.
var Roles = []Role{RoleReporter, RoleReviewer, RoleOfficer, RoleAuditor, RoleAdministrator, RolePatient}

// An Action is what a role permits. Every route of every door needs one of them, or is open to everybody on purpose.
type Action string

// The actions.
const (
	ActRecord    Action = "record"    // add reports
	ActRead      Action = "read"      // search, and read bodies
	ActProve     Action = "prove"     // receipts of any entry, the structure of the log, which data keys there are
	ActObserve   Action = "observe"   // counts: /metrics
	ActConfigure Action = "configure" // reporters, authorities, tokens, accounts, keys
	ActRetain    Action = "retain"    // legal holds, what the end of retention would destroy, asking for a purge
	ActExport    Action = "export"    // ask for a bulk export, and fetch it
	ActConfirm   Action = "confirm"   // be the second pair of eyes for what somebody else asked for
	ActBackup    Action = "backup"    // copy the sealed store
	ActReview    Action = "review"    // review activity, judge what a review found, sign it: 45 CFR 164.308(a)(1)(ii)(D)
	ActAnswer    Action = "answer"    // answer for the organisation: accountings of disclosures, access reports, breaches
)

// Actions lists every action.
var Actions = []Action{ActRecord, ActRead, ActProve, ActObserve, ActConfigure, ActRetain, ActExport, ActConfirm, ActBackup, ActReview, ActAnswer}

// permissions is the whole of who may do what. What is not in it is denied.
var permissions = map[Role][]Action{
	RoleReporter:      {ActRecord},
	RoleReviewer:      {ActRead, ActProve, ActReview},
	RoleOfficer:       {ActRead, ActProve, ActObserve, ActRetain, ActExport, ActConfirm, ActReview, ActAnswer},
	RoleAuditor:       {ActProve, ActObserve},
	RoleAdministrator: {ActObserve, ActConfigure, ActConfirm, ActBackup},
	RolePatient:       {ActRead},
}

// A Grant is what a principal may do here. It comes from this log's own register of members and accounts, or from a token
// of its identity provider, and never from what the other side says about itself.
type Grant struct {
	Roles []Role
	// Member is the id in the register of members, which stays the same when a certificate is renewed. Empty for those who
	// are not in it.
	Member string
	// Sites are the AuditSourceIDs and AuditEnterpriseSiteIDs in whose name a reporter may speak. Empty: its reports are
	// not compared.
	Sites []string
	// Patient is the identifier of the only patient whose entries a caller with RolePatient sees, in any form that
	// ParseIdentifier knows.
	Patient string
}

// May tells whether the grant permits an action.
func (g Grant) May(a Action) bool {
	return slices.ContainsFunc(g.Roles, func(r Role) bool { return slices.Contains(permissions[r], a) })
}

// OnlyPatient tells whether what the caller reads is limited to Grant.Patient: it may read as a patient and not otherwise.
func (g Grant) OnlyPatient() bool {
	return slices.Contains(g.Roles, RolePatient) && !slices.ContainsFunc(g.Roles, func(r Role) bool {
		return r != RolePatient && slices.Contains(permissions[r], ActRead)
	})
}

// A Caller is a principal with what it may do: what identity makes of whoever is on the other end.
type Caller struct {
	Principal
	Grant
}
