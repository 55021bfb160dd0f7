package repository

import (
	"context"
	"fmt"
	"time"

	"hippad"
)

// A Note is something that somebody did to the log, or asked of it.
type Note struct {
	Type        hippad.Code   // DICOM PS3.15 A.5.3: EventID
	Subtypes    []hippad.Code // EventTypeCode
	Action      string        // EventActionCode: C, R, U, D, E
	Outcome     string        // EventOutcomeIndicator: 0, 4, 8, 12
	Description string        // EventOutcomeDescription; names no patient
	Address     string        // from where, if that is known and is not the principal itself
	Entities    []hippad.Entity
}

// Outcomes (DICOM PS3.15 A.5.1, EventOutcomeIndicator).
const (
	Success        = "0"
	MinorFailure   = "4"
	SeriousFailure = "8"
)

// Event types and their subtypes (DICOM PS3.16 CID 400, 401, 403) of what the log says about itself.
var (
	applicationActivity = hippad.Code{System: "DCM", Code: "110100", Display: "Application Activity"}
	auditLogUsed        = hippad.Code{System: "DCM", Code: "110101", Display: "Audit Log Used"}
	exported            = hippad.Code{System: "DCM", Code: "110106", Display: "Export"}
	securityAlert       = hippad.Code{System: "DCM", Code: "110113", Display: "Security Alert"}
	userAuthentication  = hippad.Code{System: "DCM", Code: "110114", Display: "User Authentication"}

	ApplicationStart = hippad.Code{System: "DCM", Code: "110120", Display: "Application Start"}
	ApplicationStop  = hippad.Code{System: "DCM", Code: "110121", Display: "Application Stop"}
	Login            = hippad.Code{System: "DCM", Code: "110122", Display: "Login"}
	Logout           = hippad.Code{System: "DCM", Code: "110123", Display: "Logout"}

	NodeAuthentication             = hippad.Code{System: "DCM", Code: "110126", Display: "Node Authentication"}
	NetworkConfiguration           = hippad.Code{System: "DCM", Code: "110128", Display: "Network Configuration"}
	SecurityConfiguration          = hippad.Code{System: "DCM", Code: "110129", Display: "Security Configuration"}
	RestrictedFunction             = hippad.Code{System: "DCM", Code: "110132", Display: "Use of Restricted Function"}
	ObjectSecurityAttributeChanged = hippad.Code{System: "DCM", Code: "110135", Display: "Object Security Attributes Changed"}
	SecurityRolesChanged           = hippad.Code{System: "DCM", Code: "110136", Display: "Security Roles Changed"}
	UserSecurityAttributeChanged   = hippad.Code{System: "DCM", Code: "110137", Display: "User Security Attributes Changed"}
)

// ActivitySystem is the code system of hippad's own subtypes.
const ActivitySystem = "urn:x-hippad:activity"

// An Activity is a code of ActivitySystem: what was done that DICOM has no code for.
type Activity string

// The activities.
const (
	ActivityHold      Activity = "hold"
	ActivityRelease   Activity = "release"
	ActivityRequest   Activity = "request"
	ActivityConfirm   Activity = "confirm"
	ActivityRefuse    Activity = "refuse"
	ActivityPurge     Activity = "purge"
	ActivityExport    Activity = "export"
	ActivityBackup    Activity = "backup"
	ActivityRotate    Activity = "rotate"
	ActivityKey       Activity = "key"
	ActivityMember    Activity = "member"
	ActivityAccount   Activity = "account"
	ActivityRetention Activity = "retention"
	ActivityForward   Activity = "forward"
	ActivityLink      Activity = "link"
	ActivityUnlink    Activity = "unlink"
	ActivityCrosswalk Activity = "crosswalk" // somebody looked at it

	ActivityDisclosure Activity = "disclosure" // accountings of disclosures, and what is decided for them
	ActivityAccess     Activity = "access"     // an access report was made
	ActivityBreach     Activity = "breach"     // a step of a breach
	ActivityReview     Activity = "review"     // activity was reviewed, a finding judged, a review signed
	ActivityCompliance Activity = "compliance" // a statement of what was done was made
)

// Code returns the activity as a subtype.
func (a Activity) Code() hippad.Code { return hippad.Code{System: ActivitySystem, Code: string(a)} }

// ApplicationActivity says that the log was started or stopped (DICOM PS3.15 A.5.3.1).
func ApplicationActivity(started bool) Note {
	n := Note{Type: applicationActivity, Subtypes: []hippad.Code{ApplicationStop}, Action: "E", Outcome: Success}
	if started {
		n.Subtypes = []hippad.Code{ApplicationStart}
	}
	return n
}

// AuditLogUsed says that somebody asked the log for what answers a query, in the words of the query (DICOM PS3.15 A.5.3.2; IHE
// ITI-81 names the security resource role, 13).
func (r *Repository) AuditLogUsed(query string, more ...hippad.Code) Note {
	return Note{Type: auditLogUsed, Subtypes: more, Action: "R", Outcome: Success, Entities: []hippad.Entity{logItself(r.Self, query)}}
}

// Exported says that what answers a query left the log (DICOM PS3.15 A.5.3.4 Data Export).
func (r *Repository) Exported(query string) Note {
	return Note{Type: exported, Subtypes: []hippad.Code{ActivityExport.Code()}, Action: "R", Outcome: Success, Entities: []hippad.Entity{logItself(r.Self, query)}}
}

// logItself is the log as what was touched.
func logItself(self hippad.Principal, query string) hippad.Entity {
	n := hippad.Entity{
		What: hippad.Reference{Identifier: hippad.Identifier{Value: self.ID}},
		Type: hippad.Code{System: "RFC-3881", Code: "2", Display: "System Object"},
		Role: hippad.Code{System: "RFC-3881", Code: "13", Display: "Security Resource"},
	}
	if query != "" {
		n.Query = []byte(query)
	}
	return n
}

// SecurityAlert says that something concerns the security of the log: a change of it (outcome 0), or an attempt that failed
// (DICOM PS3.15 A.5.3.11: outcomes other than 0 are the severity). Failed attempts get outcome 8.
func SecurityAlert(subtype hippad.Code, description string) Note {
	n := Note{Type: securityAlert, Subtypes: []hippad.Code{subtype}, Action: "E", Outcome: Success, Description: description}
	if subtype == NodeAuthentication || subtype == RestrictedFunction {
		n.Outcome = SeriousFailure
	}
	return n
}

// UserAuthentication says that somebody signed in, or out, or failed to (DICOM PS3.15 A.5.3.12).
func UserAuthentication(login bool, outcome, address string) Note {
	n := Note{Type: userAuthentication, Subtypes: []hippad.Code{Logout}, Action: "E", Outcome: outcome, Address: address}
	if login {
		n.Subtypes = []hippad.Code{Login}
	}
	return n
}

// Note records what a caller did, and waits until it is durable.
func (r *Repository) Note(ctx context.Context, c hippad.Caller, n Note) error {
	_, err := r.Enter(ctx, c, n)
	return err
}

// Enter is Note, and returns the index of the entry. After an error the entry may be in the log all the same: Find tells, when
// the log takes entries again.
func (r *Repository) Enter(ctx context.Context, c hippad.Caller, n Note) (int64, error) {
	return r.report(ctx, r.eventOf(c.Principal, n))
}

// Refused records that a report was refused for its size: what was refused cannot be kept, but that it came can. session is
// the one through which it came; size may be a lower bound.
func (r *Repository) Refused(ctx context.Context, from hippad.Session, size, limit int64) error {
	who := hippad.Caller{Principal: r.Self}
	if s, ok := from.(*session); ok {
		who = s.who
	}
	n := SecurityAlert(RestrictedFunction, fmt.Sprintf("a report of at least %d bytes was refused: the limit is %d", size, limit))
	n.Subtypes = nil // no code says this
	return r.Note(ctx, who, n)
}

// eventOf is the event that a note about somebody means.
func (r *Repository) eventOf(who hippad.Principal, n Note) hippad.Event {
	agent := hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{Value: who.String()}}, Name: who.Name, Requestor: true, Address: n.Address}
	if who.Kind == hippad.KindAddress && agent.Address == "" {
		agent.Address = who.ID
	}
	if agent.Address != "" {
		agent.AddressType = "2"
	}
	return hippad.Event{
		Type: n.Type, Subtypes: n.Subtypes, Action: n.Action, Outcome: n.Outcome, OutcomeDescription: n.Description,
		Recorded: r.Now().UTC().Truncate(time.Microsecond), Agents: []hippad.Agent{agent}, Entities: n.Entities,
		Source: hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: r.Self.ID}}},
	}
}
