package regulation

import (
	"net/netip"
	"slices"
	"strings"

	"hippad"
)

func isReviewDCM(c hippad.Code, code string) bool {
	return c.Code == code && (c.System == "" || hippad.CodeSystem(c.System) == hippad.SystemDCM)
}

func hasReviewDCM(codes []hippad.Code, code string) bool {
	return slices.ContainsFunc(codes, func(c hippad.Code) bool { return isReviewDCM(c, code) })
}

// observeKind says what kind of event it is (DICOM PS3.16 CID 400, 401).
func (o *Observation) observeKind(ev hippad.Event) {
	o.Failed = ev.Outcome == "8" || ev.Outcome == "12"
	o.Write = !o.Failed && (ev.Action == "C" || ev.Action == "U" || ev.Action == "D")
	purposes := ev.Purposes
	for i := range ev.Agents {
		purposes = append(slices.Clip(purposes), ev.Agents[i].Purposes...)
	}
	o.Emergency = hasReviewDCM(ev.Subtypes, "110127") || slices.ContainsFunc(purposes, func(c hippad.Code) bool { return c.Code == "BTG" || c.Code == "ETREAT" })
	if o.Export = isReviewDCM(ev.Type, "110106"); o.Export || isReviewDCM(ev.Type, "110107") {
		o.Write = false
	}
	o.Login = hasReviewDCM(ev.Subtypes, "110122") || isReviewDCM(ev.Type, "110122")
	if o.Login {
		o.Failed = ev.Outcome != "" && ev.Outcome != "0"
	}
	o.LogUsed = isReviewDCM(ev.Type, "110101")
}

func (r *Review) observeEntity(o *Observation, n *hippad.Entity, forms []string) {
	for _, c := range n.Labels {
		o.Sensitive = o.Sensitive || slices.Contains(sensitiveLabels[:], strings.ToUpper(c.Code))
	}
	if n.Role.Code == "24" && !o.ByName && len(n.Query) < 64<<10 {
		o.ByName = asksByName(string(n.Query))
	}
	if !n.IsPatient() {
		return
	}
	id := r.patientName(n.What)
	if id == "" || slices.Contains(o.Patients[:min(len(o.Patients), maxDistinct)], id) {
		return
	}
	o.Patients = append(o.Patients, id)
	o.Self = o.Self || slices.ContainsFunc(forms, func(f string) bool { return strings.Contains(f, "|") && strings.EqualFold(f, id) })
}

const (
	maxDistinct = 1000 // patients of one event that are told apart: beyond, one may count twice
	maxNamed    = 16   // others of one event who count as named (E7), and of an event with so many patients
)

// sensitiveLabels are of HL7 v3 ActCode, InformationSensitivityPolicy (42 CFR Part 2, psychiatry, HIV and others).
var sensitiveLabels = [...]string{"ETH", "SUD", "ETHUD", "OPIOIDUD", "PSY", "PSYTHPN", "MH", "HIV", "STD", "SEX", "SDV", "BH", "ABORTION", "TBOO", "CEL", "VIP"}

// asksByName tells a search by a person's name: FHIR, HL7 v2 PDQ, PDQv3, DICOM.
func asksByName(query string) bool {
	query = strings.ToLower(query)
	for _, mark := range [...]string{"name=", "name:", "family=", "family:", "given=", "pid.5", "livingsubjectname", "(0010,0010)", "patientname"} {
		if strings.Contains(query, mark) {
			return true
		}
	}
	return false
}

// actorOf returns which agent did it: the one who asked, a person rather than a machine; -1 if there is no agent.
func actorOf(agents []hippad.Agent) int {
	for _, fits := range []func(*hippad.Agent) bool{
		func(a *hippad.Agent) bool { return a.Requestor && !isMachineAgent(a) },
		func(a *hippad.Agent) bool { return a.Requestor },
		func(a *hippad.Agent) bool { return !isMachineAgent(a) },
		func(*hippad.Agent) bool { return true },
	} {
		for i := range agents {
			if fits(&agents[i]) {
				return i
			}
		}
	}
	return -1
}

// isMachineAgent tells an application, a source or destination, or media (DICOM PS3.16 CID 402).
func isMachineAgent(a *hippad.Agent) bool {
	machine := func(c hippad.Code) bool {
		return len(c.Code) == 6 && c.Code >= "110150" && c.Code <= "110155" && (c.System == "" || hippad.CodeSystem(c.System) == hippad.SystemDCM)
	}
	return machine(a.Type) || slices.ContainsFunc(a.Roles, machine)
}

// agentForms are the ways of writing who somebody is, lower case, the most exact first.
func agentForms(a *hippad.Agent) (forms []string) {
	add := func(s string) {
		if s = strings.ToLower(strings.TrimSpace(s)); s != "" && !slices.Contains(forms, s) {
			forms = append(forms, s)
		}
	}
	id := a.Who.Identifier
	if id.System == "" {
		id = hippad.ParseIdentifier(id.Value)
	}
	if id.Value != "" && id.System != "" {
		add(hippad.OIDSystem(id.System) + "|" + id.Value)
	}
	add(id.Value)
	literal, _, _ := strings.Cut(a.Who.Literal, "/_history/")
	add(literal)
	if p := strings.Split(literal, "/"); len(p) > 2 {
		add(p[len(p)-2] + "/" + p[len(p)-1])
	}
	if len(forms) == 0 || a.AltID != "" {
		add(a.AltID)
	}
	add(a.Name)
	return forms
}

// userKey is the one name of a user: the roster's if it knows any of the forms.
func (r *Review) userKey(forms []string) string {
	for _, f := range forms {
		if s := r.rosters.find(f); s != nil {
			return s.User
		}
	}
	if len(forms) == 0 {
		return ""
	}
	return Shortened(forms[0])
}

// patientName is the one name of a patient.
func (r *Review) patientName(ref hippad.Reference) string {
	id := ref.Identifier
	if id.System == "" {
		id = hippad.ParseIdentifier(id.Value)
	}
	if id.System != "" {
		id.System = hippad.OIDSystem(id.System)
	}
	name := id.String()
	if name == "" || id.Value == "" {
		name, _, _ = strings.Cut(ref.Literal, "/_history/")
	}
	if name == "" {
		return ""
	}
	if r.options.Patient != nil {
		name = r.options.Patient(name)
	}
	return Shortened(name)
}

func jobOf(a *hippad.Agent) string {
	for _, c := range a.Roles {
		if job := firstGiven(c.Display, c.Code); job != "" {
			return job
		}
	}
	return ""
}

func firstGiven(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// networkOf is the part of an address that a building shares: of IPv4 16 bits, of IPv6 48. 0: none is known.
func networkOf(address string) uint64 {
	ip, err := netip.ParseAddr(strings.TrimSpace(address))
	if err != nil || ip.IsLoopback() {
		return 0
	}
	ip = ip.Unmap()
	b := ip.AsSlice()
	if ip.Is4() {
		return 1<<48 | uint64(b[0])<<8 | uint64(b[1])
	}
	return 2<<48 | uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}
