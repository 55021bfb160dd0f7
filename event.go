package hippad

import (
	"log/slog"
	"time"
)

// An Event is what an entry means: who did what, to whose data, where, when and why. It is hippad's own model of the
// audit message that DICOM PS3.15 A.5, RFC 3881 and FHIR AuditEvent (DSTU2 to R5) all describe; the comments name the
// DICOM element and the FHIR R4 path. A Reader makes it from a report and nothing else.
type Event struct {
	// Unreadable is empty when the report was understood. Otherwise it is the reason, in words that quote nothing of the
	// body, and the other fields hold whatever could still be made out.
	Unreadable string

	Type     Code      // EventID; type
	Subtypes []Code    // EventTypeCode; subtype
	Action   string    // EventActionCode; action: C, R, U, D, E or empty
	Recorded time.Time // EventDateTime; recorded. UTC; zero if missing. A time without zone is taken as UTC.
	Outcome  string    // EventOutcomeIndicator; outcome: 0, 4, 8, 12 or empty
	// OutcomeDescription is EventOutcomeDescription; outcomeDesc.
	OutcomeDescription string
	Purposes           []Code // PurposeOfUse; purposeOfEvent and agent.purposeOfUse
	Agents             []Agent
	Source             Source
	Entities           []Entity

	// What only FHIR has.
	Occurred  Period      // R4: period; R5: occurred[x], a point in time being both ends. When it happened, if that is not Recorded.
	Severity  string      // R5: severity: emergency alert critical error warning notice informational debug
	BasedOn   []Reference // R5: basedOn
	Encounter Reference   // R5: encounter

	Syslog *SyslogHeader // of the syslog message that carried it; nil if it did not come in one
}

// A Period is a span of time, UTC. A zero end is open.
type Period struct{ Start, End time.Time }

// IsZero tells that nothing is said.
func (p Period) IsZero() bool { return p.Start.IsZero() && p.End.IsZero() }

// A SyslogHeader is what stood in front of a syslog message (RFC 5424 section 6.2, RFC 3164 section 4.1 as far as it goes). A field that
// is missing or NILVALUE is empty.
type SyslogHeader struct {
	Priority       int       // PRI: facility * 8 + severity; -1 if there is none
	Version        int       // 1 of RFC 5424; 0 of RFC 3164
	Timestamp      time.Time // UTC; zero if missing or without a year
	Hostname       string
	AppName        string
	ProcID         string
	MsgID          string
	StructuredData string // as it was sent
}

// incomplete tells whether Missing has something to name.
func (e *Event) incomplete() bool {
	return e.Unreadable == "" && (e.Type == (Code{}) || e.Recorded.IsZero() || len(e.Agents) == 0 || e.Source.Observer.IsZero())
}

// Missing names, by their FHIR R4 path, the elements without which neither DICOM PS3.15 A.5 nor FHIR takes an audit message
// for complete. It is empty for an event that has them all, and for one that could not be read.
func (e Event) Missing() (names []string) {
	if e.Unreadable != "" {
		return nil
	}
	for _, x := range []struct {
		name    string
		missing bool
	}{
		{"type", e.Type == (Code{})},
		{"recorded", e.Recorded.IsZero()},
		{"agent", len(e.Agents) == 0},
		{"source.observer", e.Source.Observer.IsZero()},
	} {
		if x.missing {
			names = append(names, x.name)
		}
	}
	return names
}

// A Code is a coded value.
type Code struct {
	System  string // codeSystemName, or the coding's system URI; as sent
	Code    string // csd-code or code
	Display string // originalText or displayName
}

// An Identifier names somebody or something. See ParseIdentifier for the forms it comes in.
type Identifier struct {
	System string // a URI, "urn:oid:1.2.3" for an OID; empty if the sender did not say who assigned Value
	Value  string
}

// A Reference is how FHIR points at something: by a literal reference, by an identifier, or only by a name.
type Reference struct {
	Literal    string // "Patient/123" or an absolute URL; empty for DICOM
	Identifier Identifier
	Display    string
}

// An Agent took part in the event (ActiveParticipant; agent).
type Agent struct {
	Who         Reference // UserID; agent.who
	IDType      Code      // UserIDTypeCode; agent.who.identifier.type
	AltID       string    // AlternativeUserID; agent.altId
	Name        string    // UserName; agent.name
	Requestor   bool      // UserIsRequestor; agent.requestor
	Type        Code      // agent.type
	Roles       []Code    // RoleIDCode; agent.role
	Media       Code      // MediaIdentifier; agent.media
	Location    Reference // agent.location
	Policies    []string  // agent.policy
	Address     string    // NetworkAccessPointID; agent.network.address
	AddressType string    // NetworkAccessPointTypeCode; agent.network.type: 1 name, 2 IP, 3 telephone, 4 e-mail, 5 URI
	Purposes    []Code    // agent.purposeOfUse
}

// A Source reported the event (AuditSourceIdentification; source).
type Source struct {
	Observer Reference // AuditSourceID; source.observer
	Site     string    // AuditEnterpriseSiteID; source.site
	Types    []Code    // AuditSourceTypeCode; source.type
}

// An Entity is data or an object that was touched (ParticipantObjectIdentification; entity).
type Entity struct {
	What        Reference // ParticipantObjectID; entity.what
	IDType      Code      // ParticipantObjectIDTypeCode; entity.what.identifier.type
	Name        string    // ParticipantObjectName; entity.name
	Type        Code      // ParticipantObjectTypeCode: 1 person, 2 system object, 3 organization, 4 other; entity.type
	Role        Code      // ParticipantObjectTypeCodeRole: 1 patient, 24 query ...; entity.role
	Lifecycle   Code      // ParticipantObjectDataLifeCycle; entity.lifecycle
	Labels      []Code    // ParticipantObjectSensitivity; entity.securityLabel
	Description string    // ParticipantObjectDescription; entity.description
	Query       []byte    // ParticipantObjectQuery, decoded; entity.query
	Details     []Detail  // ParticipantObjectDetail; entity.detail
	Agents      []Agent   // R5: entity.agent, to whom the entity is attributed
}

// A Detail is one further property of an entity.
type Detail struct {
	Type  string
	Value []byte // decoded, if the sender encoded it
}

// IsPatient tells whether the entity is the patient: role 1, whatever its type (some senders leave the type out), or a
// literal reference to a Patient.
func (e Entity) IsPatient() bool {
	return e.Role.Code == "1" || e.What.IsPatient()
}

// A Reader makes an event from a report. It never fails: what it cannot read is an Event with Unreadable set. It is a
// pure function: the same report gives the same event, today and after a restart.
type Reader func(Report) Event

// A Writer makes a report that says what the event says. It is used for what hippad reports about itself.
type Writer func(Event) Report

// String hides everything but whether it was read.
func (e Event) String() string {
	if e.Unreadable != "" {
		return "unreadable event: " + e.Unreadable
	}
	return "event"
}

// GoString hides the fields under %#v.
func (e Event) GoString() string { return e.String() }

// LogValue hides the fields in slog.
func (e Event) LogValue() slog.Value { return slog.StringValue(e.String()) }
