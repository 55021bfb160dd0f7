package atna

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"hippad"
)

// TestOddities has messages that are written otherwise than any schema says, of which it is plain all the same what they mean.
func TestOddities(t *testing.T) {
	patient := hippad.Entity{What: cx("urn:oid:1.2.3", "7"), Type: hippad.Code{Code: "1"}, Role: hippad.Code{Code: "1"}}
	other := patient
	other.What = cx("urn:oid:1.2.4", "8")
	for _, c := range []struct {
		name, xml string
		want      hippad.Event
	}{
		{"misspelt sections, elements and attributes", `<AuditMessage><EventIdentifcation EventActioncode="R" EventDateTiem="2024-01-02T03:04:05Z" EventOutcomeIndicatior="4">
<EventID csd-code="110112"/><EventTypCode csd-code="ITI-18"/></EventIdentifcation><activeParticipant UserID="u" UserIsRequester="true" NetworkAccesPointID="192.0.2.1">
<RoleIdCode csd-code="110153"/></activeParticipant><AuditSourceIdentificaton AuditSourceId="s"><AuditSourceTypeCod code="4"/></AuditSourceIdentificaton>
<ParticipantObjectIdentifcation ParticipantObjectId="7^^^&amp;1.2.3&amp;ISO" ParticipantObjectTypeCodeRol="1" ParticipantObjectTypCode="1"/></AuditMessage>`,
			hippad.Event{Type: hippad.Code{Code: "110112"}, Subtypes: []hippad.Code{{Code: "ITI-18"}}, Action: "R", Outcome: "4",
				Recorded: utc("2024-01-02T03:04:05Z"), Agents: []hippad.Agent{{Who: id("u"), Requestor: true, Address: "192.0.2.1", Roles: []hippad.Code{{Code: "110153"}}}},
				Source: hippad.Source{Observer: id("s"), Types: []hippad.Code{{Code: "4"}}}, Entities: []hippad.Entity{patient}}},
		{"attributes where elements belong", `<AuditMessage><EventIdentification EventID="110112" EventTypeCode="ITI-18" PurposeOfUse="TREAT"/>
<ActiveParticipant UserID="u" RoleIDCode="110153"/><AuditSourceIdentification AuditSourceID="s" AuditSourceTypeCode="4"/>
<ParticipantObjectIdentification ParticipantObjectID="7^^^&amp;1.2.3&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1"
 ParticipantObjectDescription="d" ParticipantObjectSensitivity="VIP"/></AuditMessage>`,
			hippad.Event{Type: hippad.Code{Code: "110112"}, Subtypes: []hippad.Code{{Code: "ITI-18"}}, Purposes: []hippad.Code{{Code: "TREAT"}},
				Agents: []hippad.Agent{{Who: id("u"), Roles: []hippad.Code{{Code: "110153"}}}}, Source: hippad.Source{Observer: id("s"), Types: []hippad.Code{{Code: "4"}}},
				Entities: []hippad.Entity{{What: patient.What, Type: patient.Type, Role: patient.Role, Description: "d", Labels: []hippad.Code{{Code: "VIP"}}}}}},
		{"elements where attributes belong", `<AuditMessage><EventIdentification><EventActionCode>R</EventActionCode><EventDateTime> 2024-01-02T03:04:05Z </EventDateTime>
<EventOutcomeIndicator>0</EventOutcomeIndicator><EventID csd-code="110112"/></EventIdentification><ActiveParticipant><UserID>u</UserID><UserName>U &amp; V</UserName>
<UserIsRequestor>true</UserIsRequestor></ActiveParticipant><AuditSourceIdentification><AuditSourceID>s</AuditSourceID></AuditSourceIdentification>
<ParticipantObjectIdentification><ParticipantObjectID>7^^^&amp;1.2.3&amp;ISO</ParticipantObjectID><ParticipantObjectTypeCode>1</ParticipantObjectTypeCode>
<ParticipantObjectTypeCodeRole>1</ParticipantObjectTypeCodeRole></ParticipantObjectIdentification></AuditMessage>`,
			hippad.Event{Type: hippad.Code{Code: "110112"}, Action: "R", Outcome: "0", Recorded: utc("2024-01-02T03:04:05Z"),
				Agents: []hippad.Agent{{Who: id("u"), Name: "U & V", Requestor: true}}, Source: hippad.Source{Observer: id("s")}, Entities: []hippad.Entity{patient}}},
		{"private elements everywhere, default namespace", `<AuditMessage xmlns="urn:a" xmlns:p="urn:p"><p:Extra><EventID csd-code="1"/><p:a/></p:Extra>
<EventIdentification><p:Ward>4b<EventID csd-code="2"/></p:Ward><EventID csd-code="110112"/></EventIdentification>
<ActiveParticipant UserID="u" p:UserID="v"><p:Shift code="n">night</p:Shift></ActiveParticipant></AuditMessage>`,
			hippad.Event{Type: hippad.Code{Code: "110112"}, Agents: []hippad.Agent{{Who: id("u")}}}},
		{"ids of one patient in one attribute", `<AuditMessage><ParticipantObjectIdentification ParticipantObjectID="7^^^A&amp;1.2.3&amp;ISO^PI~8^^^B&amp;1.2.4&amp;ISO"
 ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1"/><ParticipantObjectIdentification ParticipantObjectID="a~b"/></AuditMessage>`,
			hippad.Event{Entities: []hippad.Entity{patient, other, {What: id("a~b")}}}},
		{"mixed dialects in one coded value", `<AuditMessage><EventIdentification><EventID code="1" csd-code="110112" codeSystem="1.2" codeSystemName="DCM" displayName="a" originalText="Query"/>
<EventTypeCode codeSystem="1.2.9" code="x" displayName="b"/></EventIdentification></AuditMessage>`,
			hippad.Event{Type: dcm("110112", "Query"), Subtypes: []hippad.Code{{System: "1.2.9", Code: "x", Display: "b"}}}},
		{"sources of which the first says nothing", `<AuditMessage><AuditSourceIdentification/><AuditSourceIdentification AuditSourceID="" AuditEnterpriseSiteID="A"/>
<AuditSourceIdentification AuditSourceID="two" AuditEnterpriseSiteID="B"/></AuditMessage>`,
			hippad.Event{Source: hippad.Source{Observer: id("two"), Site: "A"}}},
	} {
		if got := ReadXML([]byte(c.xml)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, dump(got), dump(c.want))
		}
	}
}

// TestRepeatedIDsOfACutMessage: an entity that the message breaks off in is found by all its ids.
func TestRepeatedIDsOfACutMessage(t *testing.T) {
	ev := ReadXML([]byte(`<AuditMessage><ParticipantObjectIdentification ParticipantObjectTypeCodeRole="1" ParticipantObjectID="7^^^&amp;1.2.3&amp;ISO~8^^^&amp;1.2.4&amp;ISO"><Part`))
	if got := strings.Join(patientTerms(ev), " "); ev.Unreadable != faultTruncated || got != "7 urn:oid:1.2.3|7 8 urn:oid:1.2.4|8" {
		t.Errorf("%q, %s", ev.Unreadable, got)
	}
}

// TestHostileDocuments: what is built to cost time or memory ends early, with a reason, and with what was read before.
func TestHostileDocuments(t *testing.T) {
	const megabyte = 1 << 20
	laughs := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">`
	for i := range 9 {
		laughs += fmt.Sprintf(`<!ENTITY lol%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&lol%d;", i), 10))
	}
	head := `<AuditMessage><ParticipantObjectIdentification ParticipantObjectID="77" ParticipantObjectTypeCodeRole="1"/>`
	var wide strings.Builder
	for i := 0; wide.Len() < 4*megabyte; i++ {
		fmt.Fprintf(&wide, ` a%d="x"`, i)
	}
	for _, c := range []struct{ name, xml, want string }{
		{"entities in entities", laughs + `]><AuditMessage>&lol9;</AuditMessage>`, faultSubset},
		{"an external entity", `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><AuditMessage>&x;</AuditMessage>`, faultSubset},
		{"an external subset", `<!DOCTYPE a SYSTEM "http://192.0.2.1/x.dtd"><AuditMessage>&x;</AuditMessage>`, faultAmpersand},
		{"a million open elements", head + strings.Repeat("<a>", megabyte), faultDepth},
		{"megabytes of attributes", head + "<ActiveParticipant" + wide.String() + "/></AuditMessage>", faultAttributes},
		{"megabytes of one attribute", head + `<ActiveParticipant UserName="` + strings.Repeat("&amp;", megabyte) + `"/></AuditMessage>`, ""},
		{"megabytes of a name", head + "<" + strings.Repeat("a", 4*megabyte) + "/></AuditMessage>", ""},
		{"a million codes", head + "<EventIdentification>" + strings.Repeat(`<EventTypeCode code="1"/>`, maxValues+1) + "</EventIdentification></AuditMessage>", faultElements},
		{"a million details", head + "<ParticipantObjectIdentification>" + strings.Repeat(`<a>b</a>`, maxValues+1) + "</ParticipantObjectIdentification></AuditMessage>", faultElements},
		{"a million ids", head + `<ParticipantObjectIdentification ParticipantObjectID="1^^^&amp;1.2&amp;ISO` + strings.Repeat("~1^^^&amp;1.2&amp;ISO", maxParticipants) + `"/></AuditMessage>`, faultElements},
		{"a million comments in a text", head + "<ParticipantObjectIdentification><ParticipantObjectName>" + strings.Repeat("a<!---->", megabyte/4) +
			"</ParticipantObjectName></ParticipantObjectIdentification></AuditMessage>", ""},
		{"a million misprints", head + strings.Repeat("<AuditSourceIdentificatiom/>", megabyte/8) + "</AuditMessage>", ""},
		{"a document type without end", "<!DOCTYPE a " + strings.Repeat("x", 4*megabyte), faultTruncated},
		{"a comment without end", "<!-- " + strings.Repeat("-> ", megabyte), faultTruncated},
	} {
		ev := ReadXML([]byte(c.xml))
		if c.want == "" && ev.Unreadable != "" || !strings.Contains(ev.Unreadable, c.want) {
			t.Errorf("%s: %q", c.name, ev.Unreadable)
		}
		if strings.HasPrefix(c.xml, head) && (len(patientTerms(ev)) == 0 || patientTerms(ev)[0] != "77") {
			t.Errorf("%s: what stood before it is lost", c.name)
		}
	}
}
