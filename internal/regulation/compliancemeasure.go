package regulation

import (
	"slices"
	"strings"

	"hippad"
)

// A Measure is something that can be counted in a log, of one entry at a time.
type Measure struct {
	ID      string   // short and stable, as in "login-failed"
	Text    string   // what is counted
	Query   []string // what hippad search lists the same entries by; nil if no search can
	Concern bool     // more than none asks for somebody's attention
	counts  func(*seen) bool
}

// seen is an entry with what a Tally finds out about it once.
type seen struct {
	entry  *hippad.Entry
	event  *hippad.Event
	own    bool // the log says it about itself
	failed bool // outcome 4, 8 or 12
}

// Codes of DICOM PS3.16 (CID 400, 401, 403) that say what somebody did to a system rather than to data.
const (
	dcmAuditLogUsed       = "110101"
	dcmSecurityAlert      = "110113"
	dcmUserAuthentication = "110114"
	dcmApplicationStart   = "110120"
	dcmApplicationStop    = "110121"
	dcmLogin              = "110122"
	dcmLogout             = "110123"
	dcmNodeAuthentication = "110126"
	dcmEmergencyOverride  = "110127"
	dcmRestrictedFunction = "110132"
)

// sharedNames are user ids that name no one person, in lower case. (Our choice: 45 CFR 164.312(a)(2)(i) asks for unique names and lists none that
// are not.)
var sharedNames = [...]string{"admin", "administrator", "anonymous", "default", "demo", "doctor", "frontdesk", "generic", "guest", "nurse", "operator",
	"physician", "reception", "registration", "root", "shared", "staff", "student", "temp", "test", "unknown", "user"}

// Measures lists what is counted, in the order in which it is shown.
func Measures() []Measure {
	all := []Measure{
		{ID: "reports", Text: "reports of others accepted", Query: []string{"_door:not=self"}, counts: func(s *seen) bool { return !s.own }},
	}
	for _, d := range []hippad.Door{hippad.DoorNative, hippad.DoorFHIR, hippad.DoorSyslogTLS} {
		all = append(all, Measure{ID: "door-" + d.String(), Text: "of these by the door " + d.String(), Query: []string{"_door=" + d.String()},
			counts: func(s *seen) bool { return s.entry.Door == d }})
	}
	all = append(all, intakeMeasures()...)
	all = append(all, peopleMeasures()...)
	all = append(all, Measure{ID: "own", Text: "entries in which the log says what was done to it or asked of it", Query: []string{"_door=self"},
		counts: func(s *seen) bool { return s.own }})
	return append(all, ownMeasures()...)
}

// intakeMeasures are of what arrives.
func intakeMeasures() []Measure {
	mark := func(id, text string, f hippad.Fault) Measure {
		return Measure{ID: id, Text: text, Query: []string{"_mark=" + f.String()}, Concern: true, counts: func(s *seen) bool { return s.entry.Fault == f }}
	}
	return []Measure{
		{ID: "unencrypted", Text: "reports that came unencrypted (syslog over UDP)", Query: []string{"_door=syslog-udp"}, Concern: true,
			counts: func(s *seen) bool { return s.entry.Door == hippad.DoorSyslogUDP }},
		{ID: "unauthenticated", Text: "reports of senders known by their address alone (serve --trust)", Concern: true,
			counts: func(s *seen) bool { return s.entry.Reporter.Kind == hippad.KindAddress }},
		{ID: "unreadable", Text: "reports that nobody could read, kept all the same", Query: []string{"_mark=unreadable"}, Concern: true,
			counts: func(s *seen) bool { return !s.entry.Destroyed && s.event.Unreadable != "" }},
		{ID: "incomplete", Text: "reports that lack what their standard requires", Query: []string{"_mark=incomplete"}, Concern: true,
			counts: func(s *seen) bool { return !s.entry.Destroyed && len(s.event.Missing()) > 0 }},
		mark("framing", "reports with a wrong frame boundary, mended", hippad.Framing),
		mark("truncated", "reports that were cut", hippad.Truncated),
		mark("stray", "bytes between messages, kept", hippad.Stray),
		mark("foreign", "reports in the name of a site that is not the reporter's", hippad.Foreign),
		{ID: "destroyed", Text: "entries of the period whose content was destroyed since", counts: func(s *seen) bool { return s.entry.Destroyed }},
	}
}

// peopleMeasures are of what the reports say of people and systems, those of the log about itself included.
func peopleMeasures() []Measure {
	const dcm = "DCM|"
	return []Measure{
		{ID: "login", Text: "log-ins that succeeded (DCM 110114, 110122)", Query: []string{"type=" + dcm + dcmUserAuthentication, "subtype=" + dcm + dcmLogin, "outcome=0"},
			counts: func(s *seen) bool {
				return s.isType(dcmUserAuthentication) && s.has(dcmLogin) && s.event.Outcome == "0"
			}},
		{ID: "login-failed", Text: "user authentications that failed (DCM 110114, outcome 4, 8 or 12)", Query: []string{"type=" + dcm + dcmUserAuthentication, "outcome=4,8,12"}, Concern: true,
			counts: func(s *seen) bool { return s.isType(dcmUserAuthentication) && s.failed }},
		{ID: "logout", Text: "log-outs (DCM 110123)", Query: []string{"subtype=" + dcm + dcmLogout}, counts: func(s *seen) bool { return s.has(dcmLogout) }},
		{ID: "node-failed", Text: "node authentications that failed (DCM 110126, outcome 4, 8 or 12); an entry may stand for several",
			Query: []string{"subtype=" + dcm + dcmNodeAuthentication, "outcome=4,8,12"}, Concern: true,
			counts: func(s *seen) bool { return s.has(dcmNodeAuthentication) && s.failed }},
		{ID: "emergency", Text: "emergency overrides begun (DCM 110127)", Query: []string{"subtype=" + dcm + dcmEmergencyOverride}, Concern: true,
			counts: func(s *seen) bool { return s.has(dcmEmergencyOverride) }},
		{ID: "glass", Text: "accesses for break-the-glass or emergency treatment (purpose BTG, ETREAT)", Query: []string{"purpose=BTG,ETREAT"}, Concern: true,
			counts: func(s *seen) bool { return hasPurpose(s.event, "BTG", "ETREAT") }},
		{ID: "nobody", Text: "events about a patient that name nobody who took part", Concern: true,
			counts: func(s *seen) bool { return !s.own && namesNobody(s.event) }},
		{ID: "shared", Text: "events by an id that names no one person (admin, nurse, guest ...)", Query: []string{"agent=" + strings.Join(sharedNames[:], ","), "_door:not=self"}, Concern: true,
			counts: func(s *seen) bool { return !s.own && byShared(s.event) }},
	}
}

// ownMeasures are of what the log says about itself.
func ownMeasures() (all []Measure) {
	const dcm = "DCM|"
	for _, x := range []struct{ id, text, code string }{
		{"started", "starts", dcmApplicationStart}, {"stopped", "stops", dcmApplicationStop},
		{"denied", "attempts to do what somebody may not; an entry may stand for several", dcmRestrictedFunction},
	} {
		all = append(all, Measure{ID: x.id, Text: x.text, Query: []string{"_door=self", "subtype=" + dcm + x.code}, Concern: x.id == "denied",
			counts: func(s *seen) bool { return s.own && s.has(x.code) }})
	}
	all = append(all, Measure{ID: "readings", Text: "questions that somebody asked of the log (DCM 110101)", Query: []string{"_door=self", "type=" + dcm + dcmAuditLogUsed},
		counts: func(s *seen) bool { return s.own && s.isType(dcmAuditLogUsed) }})
	for _, x := range []struct {
		activity, text string
		concern        bool
	}{
		{"source-silent", "notices that sources are silent beyond their habit", true},
		{"source-heard", "notices that they are heard again", false},
		{"source-gap", "notices that reports are missing", true},
		{"hold", "holds placed", false}, {"release", "holds released", false},
		{"request", "purges and exports asked for", false}, {"confirm", "of these confirmed by a second person", false}, {"refuse", "of these refused", false},
		{"export", "exports begun", false}, {"purge", "entries about what purges have destroyed", false},
		{"retention", "looks at what retention would destroy", false},
		{"backup", "backups begun", false}, {"key", "data keys made", false}, {"rotate", "rotations of the master key begun", false},
		{"member", "changes of who may report or read", false}, {"account", "changes of people's accounts", false}, {"forward", "changes of forwarding", false},
		{"link", "patient identifiers linked", false}, {"unlink", "patient identifiers unlinked", false}, {"crosswalk", "looks at the crosswalk", false},
		{"access", "access reports made", false}, {"compliance", "statements like this one", false},
	} {
		all = append(all, Measure{ID: x.activity, Text: x.text, Query: []string{"_door=self", "subtype=" + x.activity}, Concern: x.concern,
			counts: func(s *seen) bool { return s.own && s.does(x.activity) }})
	}
	// Who looks at these has done nothing that the law asks for: that is a reading.
	for _, x := range []struct{ activity, text string }{
		{"disclosure", "entries about disclosures and accountings"}, {"breach", "entries about breaches"}, {"review", "entries about activity reviews"},
	} {
		all = append(all, Measure{ID: x.activity, Text: x.text, Query: []string{"_door=self", "subtype=" + x.activity, "type:not=" + dcm + dcmAuditLogUsed},
			counts: func(s *seen) bool { return s.own && s.does(x.activity) && !s.isType(dcmAuditLogUsed) }})
	}
	return all
}

// has tells whether an event has a subtype of DICOM.
func (s *seen) has(code string) bool {
	return slices.ContainsFunc(s.event.Subtypes, func(c hippad.Code) bool { return c.Code == code && isDICOM(c) })
}

// does tells whether an entry of the log's own has a subtype, which no DICOM code looks like.
func (s *seen) does(activity string) bool {
	return slices.ContainsFunc(s.event.Subtypes, func(c hippad.Code) bool { return c.Code == activity })
}

func (s *seen) isType(code string) bool { return s.event.Type.Code == code && isDICOM(s.event.Type) }

func isDICOM(c hippad.Code) bool { return hippad.CodeSystem(c.System) == hippad.SystemDCM }

func hasPurpose(ev *hippad.Event, codes ...string) bool {
	has := func(list []hippad.Code) bool {
		return slices.ContainsFunc(list, func(c hippad.Code) bool { return slices.Contains(codes, c.Code) })
	}
	return has(ev.Purposes) || slices.ContainsFunc(ev.Agents, func(a hippad.Agent) bool { return has(a.Purposes) })
}

// namesNobody tells whether an event is about a patient and has no agent with an id or a name.
func namesNobody(ev *hippad.Event) bool {
	return slices.ContainsFunc(ev.Entities, hippad.Entity.IsPatient) && !slices.ContainsFunc(ev.Agents, func(a hippad.Agent) bool {
		return a.Who.Identifier.Value != "" || a.Who.Literal != "" || a.AltID != "" || a.Name != "" || a.Who.Display != ""
	})
}

// byShared tells whether an agent goes by one of sharedNames: as a search by agent would find it.
func byShared(ev *hippad.Event) bool {
	is := func(id string) bool {
		_, found := slices.BinarySearch(sharedNames[:], strings.ToLower(strings.TrimSpace(id)))
		return found
	}
	return slices.ContainsFunc(ev.Agents, func(a hippad.Agent) bool {
		id := a.Who.Identifier
		if id.System == "" {
			id = hippad.ParseIdentifier(id.Value)
		}
		literal, _, _ := strings.Cut(a.Who.Literal, "/_history/")
		return is(id.Value) || is(a.AltID) || is(a.Name) || is(literal[strings.LastIndexByte(literal, '/')+1:])
	})
}
