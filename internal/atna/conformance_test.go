package atna

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"hippad"
)

// conforming is a message that follows every rule.
const conforming = `<AuditMessage><EventIdentification EventActionCode="R" EventDateTime="2026-11-22T08:15:30.250+01:00" EventOutcomeIndicator="0">` +
	`<EventID csd-code="110106" codeSystemName="DCM" originalText="Export"/><EventTypeCode csd-code="IHE0006" codeSystemName="IHE" originalText="Disclosure"/>` +
	`<PurposeOfUse csd-code="TREAT" codeSystemName="2.16.840.1.113883.5.8" originalText="treatment"/></EventIdentification>` +
	`<ActiveParticipant UserID="export" UserIsRequestor="true" NetworkAccessPointID="192.0.2.7" NetworkAccessPointTypeCode="2">` +
	`<RoleIDCode csd-code="110153" codeSystemName="DCM" originalText="Source"/></ActiveParticipant>` +
	`<ActiveParticipant UserID="disk" UserIsRequestor="false"><MediaIdentifier><MediaType csd-code="110030" codeSystemName="DCM" originalText="USB Disk"/></MediaIdentifier></ActiveParticipant>` +
	`<AuditSourceIdentification AuditSourceID="pacs"><AuditSourceTypeCode csd-code="4"/></AuditSourceIdentification>` +
	`<ParticipantObjectIdentification ParticipantObjectID="4711^^^&amp;1.2.3&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1" ParticipantObjectSensitivity="VIP">` +
	`<ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" originalText="Patient Number"/><ParticipantObjectName>Doe^Jane</ParticipantObjectName></ParticipantObjectIdentification>` +
	`<ParticipantObjectIdentification ParticipantObjectID="1.2.3" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3" ParticipantObjectDataLifeCycle="11">` +
	`<ParticipantObjectIDTypeCode csd-code="110180" codeSystemName="DCM" originalText="Study Instance UID"/><ParticipantObjectQuery>UVVFUlk=</ParticipantObjectQuery>` +
	`<ParticipantObjectDetail type="t" value="QQ=="/><x:Ward xmlns:x="urn:x">4b</x:Ward></ParticipantObjectIdentification></AuditMessage>`

const conformingHeader = "<85>1 2026-11-22T08:15:30.250001+01:00 pacs.example.org exporter 77 IHE+RFC-3881 - "

func TestConformingReportsBreakNothing(t *testing.T) {
	for _, header := range []string{conformingHeader, strings.Replace(conformingHeader, "<85>", "<84>", 1),
		"<85>1 2026-11-22T08:15:30Z pacs exporter - DICOM+RFC3881 - "} {
		if got := Check(hippad.Report{Media: hippad.MediaSyslog, Body: []byte(header + conforming)}, nil); len(got) > 0 {
			t.Errorf("%q breaks %v", header, got)
		}
	}
	for _, doc := range []string{conforming, `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + conforming + "\n"} {
		for _, media := range []string{hippad.MediaXML, "text/xml; charset=utf-8"} {
			if got := Check(hippad.Report{Media: media, Body: []byte(doc)}, nil); len(got) > 0 {
				t.Errorf("%s breaks %v", media, got)
			}
		}
	}
	// What is no audit message is held to the RFC alone.
	other := `<34>1 2026-11-22T08:15:30Z mail su - ID47 [a@1 b="\]\"x"][c d=""] 'su root' failed`
	if got := Check(hippad.Report{Media: hippad.MediaSyslog, Body: []byte(other)}, nil); len(got) > 0 {
		t.Errorf("a message of another kind breaks %v", got)
	}
}

// TestRules breaks every rule, by a change of a message that follows them all, and nothing else.
func TestRules(t *testing.T) {
	const sd = `[timeQuality tzKnown="1"]`
	const otherPatient = `<ParticipantObjectIdentification ParticipantObjectID="4712^^^&amp;1.2.3&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1">` +
		`<ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" originalText="Patient Number"/><ParticipantObjectName>x</ParticipantObjectName></ParticipantObjectIdentification></AuditMessage>`
	fault := func(f hippad.Fault) func(*hippad.Report) { return func(r *hippad.Report) { r.Fault = f } }
	// edit replaces texts of the message, each of which must be there.
	edit := func(pairs ...string) func(*hippad.Report) {
		return func(r *hippad.Report) {
			for i := 0; i < len(pairs); i += 2 {
				if !bytes.Contains(r.Body, []byte(pairs[i])) {
					t.Fatalf("the message does not have %q", pairs[i])
				}
				r.Body = bytes.Replace(r.Body, []byte(pairs[i]), []byte(pairs[i+1]), 1)
			}
		}
	}
	attribute := func(name string) func(*hippad.Report) { // takes an attribute away
		return func(r *hippad.Report) {
			from := bytes.Index(r.Body, []byte(" "+name+`="`))
			to := from + len(name) + 3 + bytes.IndexByte(r.Body[from+len(name)+3:], '"') + 1
			r.Body = slices.Delete(r.Body, from, to)
		}
	}
	element := func(name string) func(*hippad.Report) { // takes the first element of a name away
		return func(r *hippad.Report) {
			from := bytes.Index(r.Body, []byte("<"+name))
			end := []byte("</" + name + ">")
			if to := bytes.Index(r.Body[from:], end); to >= 0 {
				r.Body = slices.Delete(r.Body, from, from+to+len(end))
			} else {
				r.Body = slices.Delete(r.Body, from, from+bytes.Index(r.Body[from:], []byte("/>"))+2)
			}
		}
	}
	many := func(r *hippad.Report) {
		r.Body = append(bytes.TrimSuffix(r.Body, []byte("</AuditMessage>")), strings.Repeat("<a>", 64)...)
	}
	used := map[string]bool{}
	for _, c := range []struct {
		want   string
		change func(*hippad.Report)
	}{
		{"syslog-frame", fault(hippad.Framing)},
		{"syslog-frame-cut", fault(hippad.Truncated)},
		{"syslog-stray", fault(hippad.Stray)},
		{"syslog-pri iti20-facility", func(r *hippad.Report) { edit("<85>", "<013>")(r) }},
		{"syslog-pri", edit("<85>", "<192>")},
		{"syslog-pri syslog-version", edit("<85>", "")},
		{"syslog-version", edit(">1 ", ">2 ")},
		{"syslog-version", edit("1 2026-11-22T08:15:30.250001+01:00", "Nov 22 08:15:30", " 77 IHE+RFC-3881 -", ":")},
		{"syslog-timestamp", edit("250001", "2500011")},
		{"syslog-timestamp", edit("2026-11-22T08:15:30.250001+01:00 ", "2026-11-22T08:15:30 ")},
		{"syslog-timestamp", edit("2026-11-22T08:15:30.250001+01:00 ", "2026-11-22t08:15:30z ")},
		{"syslog-timestamp", edit("2026-11-22T08:15:30.250001+01:00 ", "2026-11-22T08:15:60Z ")},
		{"syslog-timestamp-missing", edit("2026-11-22T08:15:30.250001+01:00 ", "- ")},
		{"syslog-hostname", edit("pacs.example.org", strings.Repeat("h", 256))},
		{"syslog-hostname", edit("pacs.example.org", "pächs")},
		{"syslog-hostname-missing", edit("pacs.example.org", "-")},
		{"syslog-app-name", edit("exporter", strings.Repeat("a", 49))},
		{"syslog-app-name-missing", edit("exporter", "-")},
		{"syslog-procid", edit(" 77 ", " "+strings.Repeat("7", 129)+" ")},
		{"syslog-msgid iti20-msgid", edit("IHE+RFC-3881", strings.Repeat("m", 33))},
		{"syslog-msgid-missing", edit("IHE+RFC-3881", "-")},
		{"iti20-msgid", edit("IHE+RFC-3881", "IHE+RFC3881")},
		{"syslog-app-name-missing syslog-msgid-missing syslog-fields-missing syslog-structured-data", edit("exporter 77 IHE+RFC-3881 - ", "")},
		{"syslog-spaces", edit("exporter 77", "exporter  77")},
		{"syslog-structured-data", edit(" - <", " <")},
		{"syslog-structured-data iti20-structured-data", edit(" - <", " [a b] <")},
		{"syslog-sd-id-twice iti20-structured-data", edit(" - <", " "+sd+sd+" <")},
		{"iti20-facility", edit("<85>", "<37>")},
		{"iti20-severity", edit("<85>", "<83>")},
		{"iti20-structured-data", edit(" - <", " "+sd+" <")},
		{"iti20-bom", edit(" - <", " - \uFEFF<")},
		{"iti20-bom", edit(" - <", " - ?<")},

		{"xml-well-formed", edit("Doe^Jane", "Doe & Jane")},
		{"xml-well-formed", edit("&amp;1.2.3&amp;", "&1.2.3&")},
		{"xml-truncated", edit("</AuditMessage>", "")},
		{"xml-limits", edit("<AuditMessage>", `<!DOCTYPE a [<!ENTITY b "c">]><AuditMessage>`)},
		{"xml-limits", many},
		{"iti20-utf-8", edit("Doe^Jane", "D\xf6e^Jane")},
		{"iti20-utf-8", edit("<AuditMessage>", `<?xml version="1.0" encoding="ISO-8859-1"?><AuditMessage>`)},
		{"dicom-iheyr4", edit(conforming, "<IHEYr4><ActorStartStop/></IHEYr4>")},
		{"dicom-namespace", edit("<AuditMessage>", `<AuditMessage xmlns="urn:x">`)},
		{"dicom-namespace", edit("<AuditMessage>", `<a:AuditMessage xmlns:a="urn:x">`, "</AuditMessage>", "</a:AuditMessage>")},
		{"dicom-dialect", edit(`<EventID csd-code="110106" codeSystemName="DCM" originalText="Export"`, `<EventID code="110106" codeSystemName="DCM" displayName="Export"`)},
		{"dicom-order", edit("</AuditMessage>", `<AuditSourceIdentification AuditSourceID="b"/></AuditMessage>`)},
		{"dicom-order", edit(`<EventID csd-code="110106" codeSystemName="DCM" originalText="Export"/>`, "", "<PurposeOfUse", `<EventID csd-code="110106" codeSystemName="DCM" originalText="Export"/><PurposeOfUse`)},
		{"dicom-misprint", edit("<ParticipantObjectDetail", "<ParticipantObjecntObjectDetail")},
		{"dicom-misprint", edit("NetworkAccessPointTypeCode", "NetworkAccesPointTypeCode")},
		{"dicom-misprint", edit(`UserID="export"`, `UserID="export" AlternateUserID="x"`)},
		{"dicom-attribute", edit(`ParticipantObjectSensitivity="VIP"`, `ParticipantObjectName="Doe^Jane"`)},
		{"dicom-element", edit(`ParticipantObjectSensitivity="VIP">`, `><ParticipantObjectSensitivity>VIP</ParticipantObjectSensitivity>`)},
		{"dicom-coded-value", edit(` originalText="Source"`, "")},
		{"dicom-coded-value", edit(`csd-code="110030" codeSystemName="DCM"`, `csd-code="110030"`)},
		{"dicom-base64", edit("UVVFUlk=", "a=b")},
		{"dicom-base64", edit("UVVFUlk=", "<q:x xmlns:q='u'/>")},
		{"dicom-base64", edit("QQ==", "plain text")},
		{"dicom-detail", edit(`type="t" `, "")},

		{"dicom-event iti20-disclosure-purpose", nil}, // see below
		{"dicom-event-id", element("EventID ")},
		{"dicom-event-id-placeholder dicom-coded-value", edit(`csd-code="110106"`, `csd-code=""`)},
		{"dicom-event-id-placeholder", edit(`csd-code="110106"`, `csd-code="eventIDcodeStr"`)},
		{"dicom-event-id-placeholder", edit(`csd-code="110106"`, `csd-code="${event}"`)},
		{"dicom-event-id-unknown", edit("110106", "110122")},
		{"dicom-event-time", attribute("EventDateTime")},
		{"dicom-event-time", edit("2026-11-22T08:15:30.250+01:00\"", "yesterday\"")},
		{"dicom-event-zone", edit(".250+01:00\"", ".250\"")},
		{"dicom-event-outcome", attribute("EventOutcomeIndicator")},
		{"dicom-event-outcome", edit(`EventOutcomeIndicator="0"`, `EventOutcomeIndicator="1"`)},
		{"dicom-event-action", edit(`EventActionCode="R"`, `EventActionCode="X"`)},
		{"dicom-user-id", attribute("UserID")},
		{"dicom-user-is-requestor", attribute("UserIsRequestor")},
		{"dicom-user-is-requestor dicom-misprint", edit("UserIsRequestor", "IsRequestor")},
		{"dicom-user-is-requestor dicom-misprint", edit("UserIsRequestor", "UserIsRequester")},
		{"dicom-network-type", edit(`NetworkAccessPointTypeCode="2"`, `NetworkAccessPointTypeCode="6"`)},
		{"dicom-network-type", attribute("NetworkAccessPointTypeCode")},
		{"dicom-source", element("AuditSourceIdentification")},
		{"dicom-source-id", attribute("AuditSourceID")},
		{"dicom-source-type", edit(`AuditSourceID="pacs"`, `AuditSourceID="pacs" code="4"`)},
		{"dicom-source-type", edit(`<AuditSourceTypeCode csd-code="4"/>`, `<AuditSourceTypeCode>4</AuditSourceTypeCode>`)},
		{"dicom-object-id", attribute("ParticipantObjectID")},
		{"dicom-object-id-type", element("ParticipantObjectIDTypeCode")},
		{"dicom-object-type", edit(`ParticipantObjectTypeCode="2"`, `ParticipantObjectTypeCode="5"`)},
		{"dicom-object-role", edit(`ParticipantObjectTypeCodeRole="3"`, `ParticipantObjectTypeCodeRole="03"`)},
		{"dicom-object-lifecycle", edit(`ParticipantObjectDataLifeCycle="11"`, `ParticipantObjectDataLifeCycle="16"`)},
		{"dicom-name-and-query", edit("<ParticipantObjectQuery>", "<ParticipantObjectName>n</ParticipantObjectName><ParticipantObjectQuery>")},
		{"dicom-name-or-query", element("ParticipantObjectQuery")},
		{"dicom-sensistity", edit("ParticipantObjectSensitivity", "ParticipantObjectSensistity")},
		{"iti20-one-patient", edit("</AuditMessage>", otherPatient)},
		{"", edit("</AuditMessage>", strings.Replace(otherPatient, "1.2.3", "1.2.4", 1))}, // the same one may have two ids
		{"iti20-patient-cx", edit("4711^^^&amp;1.2.3&amp;ISO", "4711")},
		{"iti20-patient-cx", edit("4711^^^&amp;1.2.3&amp;ISO", "4711^^^HOSPITAL")},
		{"iti20-escaped-twice", edit("&amp;1.2.3&amp;", "&amp;amp;1.2.3&amp;amp;")},
		{"iti20-id-type-system", edit("RFC-3881\" originalText", "RFC-3381\" originalText")},
		{"iti20-disclosure-purpose", element("PurposeOfUse")},
	} {
		body := []byte(conformingHeader + conforming)
		r := hippad.Report{Media: hippad.MediaSyslog, Body: body}
		if c.change == nil {
			body = slices.Clone(body)
			from, to := bytes.Index(body, []byte("<EventIdentification")), bytes.Index(body, []byte("<ActiveParticipant"))
			r.Body = slices.Delete(body, from, to)
			c.want = "dicom-event"
		} else {
			c.change(&r)
		}
		var got []string
		for _, rule := range Check(r, nil) {
			got = append(got, rule.ID)
			used[rule.ID] = true
		}
		want := strings.Fields(c.want)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: breaks %v", c.want, got)
		}
		// A document alone breaks the same rules as behind a header, but for the header's own.
		if i := bytes.Index(r.Body, []byte("<AuditMessage")); i >= 0 && r.Fault == hippad.NoFault {
			for _, rule := range Check(hippad.Report{Media: hippad.MediaXML, Body: r.Body[i:]}, nil) {
				if !slices.Contains(got, rule.ID) {
					t.Errorf("%s: the document alone breaks %s", c.want, rule.ID)
				}
			}
		}
	}
	for _, c := range []struct{ body, want string }{
		{"<html/>", "dicom-root"}, {"hello", "dicom-root"}, {"", "dicom-root"}, {"<AuditMessage/>", "dicom-event dicom-agent dicom-source"},
	} {
		var got []string
		for _, rule := range Check(hippad.Report{Media: hippad.MediaXML, Body: []byte(c.body)}, nil) {
			got = append(got, rule.ID)
			used[rule.ID] = true
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q breaks %v", c.body, got)
		}
	}
	ids := map[string]bool{}
	for _, r := range rules {
		if r.ID == "" || r.Standard == "" || r.Text == "" || ids[r.ID] {
			t.Errorf("a rule is not whole: %+v", r)
		}
		if ids[r.ID] = true; !used[r.ID] {
			t.Errorf("nothing breaks %s", r.ID)
		}
	}
}

// An EHR that gets nearly everything wrong, by the description in openemr/openemr#11743.
func TestConformanceOfATypicalOffender(t *testing.T) {
	msg := `<13>1 2026-11-22T08:15:30+01:00 emr OpenEMR - - - <?xml version="1.0" encoding="ASCII"?><AuditMessage><EventIdentification EventActionCode="E" ` +
		`EventDateTime="2026-11-22T08:15:30+01:00" EventOutcomeIndicator="0"><EventID code="eventIDcodeStr" codeSystemName="eventIDcodeSystemName" displayName="eventIDcodeDisplay"/>` +
		`</EventIdentification><ActiveParticipant UserID="admin" UserIsRequestor="true" NetworkAccessPointID="192.0.2.9" NetworkAccessPointTypeCode="2"/>` +
		`<AuditSourceIdentification AuditSourceID="emr"/></AuditMessage>`
	var got []string
	for _, r := range Check(hippad.Report{Media: hippad.MediaSyslog, Fault: hippad.Framing, Body: []byte(msg)}, nil) {
		got = append(got, r.ID)
	}
	if s := strings.Join(got, " "); s != "syslog-frame syslog-msgid-missing iti20-facility dicom-dialect dicom-event-id-placeholder" {
		t.Errorf("breaks %s", s)
	}
}

func TestConformanceOfJSON(t *testing.T) {
	body := conformingHeader + `{"resourceType":"AuditEvent"}` + "\n"
	json := func(r hippad.Report) []hippad.Rule {
		if r.Media != hippad.MediaFHIRJSON || string(r.Body) != `{"resourceType":"AuditEvent"}` {
			t.Errorf("given %v", r)
		}
		return []hippad.Rule{{ID: "fhir"}}
	}
	r := hippad.Report{Media: hippad.MediaSyslog, Body: []byte(body)}
	if got := Check(r, json); len(got) != 1 || got[0].ID != "fhir" {
		t.Errorf("breaks %v", got)
	}
	if got := Check(r, nil); len(got) != 0 {
		t.Errorf("breaks %v", got)
	}
}

// TestConformanceOfRealMessages: whoever sends it, a message is judged without harm, and one that was not understood breaks something.
func TestConformanceOfRealMessages(t *testing.T) {
	count := map[string]int{}
	for _, name := range files(t, samples(t, "dicom-audit-xml")) {
		body := read(t, name)
		broken := Check(hippad.Report{Media: hippad.MediaXML, Body: body}, nil)
		for _, r := range broken {
			count[r.ID]++
		}
		if ReadXML(body).Unreadable != "" && len(broken) == 0 {
			t.Errorf("%s: unreadable, and breaks nothing", name)
		}
	}
	for _, name := range files(t, samples(t, "syslog-atna")) {
		for _, f := range messages(t, name) {
			for _, r := range Check(hippad.Report{Media: hippad.MediaSyslog, Fault: f.fault, Body: f.body}, nil) {
				count[r.ID]++
			}
		}
	}
	t.Log(count)
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(conformingHeader + conforming))
	f.Add([]byte(conforming))
	f.Add([]byte("<34>1 - - - - - [a b=\"c\"][a] x"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, media := range []string{hippad.MediaSyslog, hippad.MediaXML} {
			r := hippad.Report{Media: media, Body: body}
			first := Check(r, nil)
			if !slices.Equal(first, Check(r, nil)) {
				t.Fatal("the same report breaks other rules")
			}
			if media == hippad.MediaXML && len(first) == 0 && ReadXML(body).Unreadable != "" {
				t.Fatal("unreadable, and breaks nothing")
			}
		}
	})
}
