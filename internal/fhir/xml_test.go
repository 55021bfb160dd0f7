package fhir

import (
	"reflect"
	"strings"
	"testing"

	"hippad"
)

const xmlEvent = `<?xml version="1.0" encoding="UTF-8"?>
<!-- an R4 event in our own words -->
<AuditEvent xmlns="http://hl7.org/fhir">
  <id value="example"/>
  <text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p>Narrative &amp; more</p></div></text>
  <contained><Patient><id value="p"/><identifier><system value="urn:oid:1.2.3"/><value value="4711"/></identifier></Patient></contained>
  <type><system value="http://terminology.hl7.org/CodeSystem/audit-event-type"/><code value="rest"/></type>
  <subtype><system value="http://hl7.org/fhir/restful-interaction"/><code value="read"/></subtype>
  <subtype><system value="http://hl7.org/fhir/restful-interaction"/><code value="vread"/></subtype>
  <action value="R"/>
  <recorded value="2026-11-22T08:00:00.5+01:00"/>
  <outcome value="0"/>
  <purposeOfEvent><coding><system value="http://terminology.hl7.org/CodeSystem/v3-ActReason"/><code value="TREAT"/></coding></purposeOfEvent>
  <agent>
    <role><coding><system value="http://dicom.nema.org/resources/ontology/DCM"/><code value="110153"/></coding></role>
    <who><identifier><value value="nora"/></identifier></who>
    <name value="Nora &quot;N&quot; Nurse"/>
    <requestor value="true"/>
    <policy value="http://example.org/a"/><policy value="http://example.org/b"/>
    <network><address value="192.0.2.7"/><type value="2"/></network>
  </agent>
  <agent><who><reference value="Device/1"/></who><requestor value="false"/></agent>
  <source><site value="Main"/><observer><display value="EHR"/></observer><type><code value="4"/></type></source>
  <entity><what><reference value="#p"/></what><type><code value="1"/></type><role><code value="1"/></role></entity>
  <entity><query value="UGF0aWVudD94"/><detail><type value="n"/><valueString value="v"/></detail></entity>
</AuditEvent>`

const jsonEvent = `{"resourceType":"AuditEvent","id":"example",
 "contained":[{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:oid:1.2.3","value":"4711"}]}],
 "type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},
 "subtype":[{"system":"http://hl7.org/fhir/restful-interaction","code":"read"},{"system":"http://hl7.org/fhir/restful-interaction","code":"vread"}],
 "action":"R","recorded":"2026-11-22T08:00:00.5+01:00","outcome":"0",
 "purposeOfEvent":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"TREAT"}]}],
 "agent":[{"role":[{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153"}]}],"who":{"identifier":{"value":"nora"}},
   "name":"Nora \"N\" Nurse","requestor":true,"policy":["http://example.org/a","http://example.org/b"],"network":{"address":"192.0.2.7","type":"2"}},
  {"who":{"reference":"Device/1"},"requestor":false}],
 "source":{"site":"Main","observer":{"display":"EHR"},"type":[{"code":"4"}]},
 "entity":[{"what":{"reference":"#p"},"type":{"code":"1"},"role":{"code":"1"}},
  {"query":"UGF0aWVudD94","detail":[{"type":"n","valueString":"v"}]}]}`

// The same resource in XML and in JSON is the same event.
func TestXMLAndJSONAreOneEvent(t *testing.T) {
	got, want := ReadXML([]byte(xmlEvent)), Read([]byte(jsonEvent))
	if !reflect.DeepEqual(got, want) || got.Unreadable != "" || len(got.Agents) != 2 || len(got.Entities) != 2 {
		t.Errorf("from XML:\n%s\nfrom JSON:\n%s", describeEvent(got), describeEvent(want))
	}
	if bom := ReadXML([]byte("\xef\xbb\xbf" + xmlEvent)); !reflect.DeepEqual(bom, want) {
		t.Error("a byte order mark makes a difference")
	}
}

func TestXMLUnreadable(t *testing.T) {
	const secret = "CANARY"
	for body, want := range map[string]string{
		"":                               "FHIR XML is not well-formed",
		"<AuditEvent>" + secret:          "FHIR XML is not well-formed",
		"<AuditEvent a=" + secret + "/>": "FHIR XML is not well-formed",
		"<AuditEvent/><AuditEvent/>":     "FHIR XML is not well-formed",
		"<AuditEvent>\xff</AuditEvent>":  "FHIR XML is not well-formed",
		"<!DOCTYPE a [<!ENTITY b '" + secret + "'>]><AuditEvent><id value='&b;'/></AuditEvent>": "FHIR XML is not well-formed",
		"<Patient><id value='" + secret + "'/></Patient>":                                       "resourceType is not AuditEvent",
		"<Bundle/>": "resourceType is not AuditEvent",
		"<AuditEvent>" + strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100) + "</AuditEvent>": "FHIR XML: elements are nested too deeply",
		"<AuditEvent>" + strings.Repeat("<a/>", 200_000) + "</AuditEvent>":                          "FHIR XML: there are too many elements",
	} {
		if ev := ReadXML([]byte(body)); ev.Unreadable != want {
			t.Errorf("%.60q: %q, want %q", body, ev.Unreadable, want)
		}
	}
	if ev := ReadXML([]byte("<AuditEvent/>")); ev.Unreadable != "" {
		t.Errorf("an event without anything required is odd, not unreadable: %s", ev.Unreadable)
	}
}

// Every AuditEvent of the samples in XML is understood, alone or in a Bundle, and one that is shown as it was sent says in JSON what
// it says in XML.
func TestXMLSamples(t *testing.T) {
	_, names := sampleBodies(t)
	understood, sent := 0, 0
	for _, name := range names {
		for entry, body := range xmlResources(t, name) {
			media := hippad.MediaFHIRJSON
			ev := Read(body)
			if entry == name {
				media, ev = hippad.MediaFHIRXML, ReadXML(body)
			}
			if ev.Unreadable != "" || len(ev.Missing()) > 0 {
				t.Errorf("%s: %q, %s", entry, ev.Unreadable, describeEvent(ev))
				continue
			}
			understood++
			for _, release := range []Release{R4, R5} {
				resource, ok := asSent(hippad.Report{Media: media, Body: body}, release)
				if !ok {
					continue
				}
				sent++
				if got := Read(resource); !reflect.DeepEqual(got, ev) {
					t.Errorf("%s: as JSON\n%s\nas XML\n%s", entry, describeEvent(got), describeEvent(ev))
				}
				asXML, err := toXML(resource)
				if err != nil {
					t.Errorf("%s: %v", entry, err)
				} else if got := ReadXML(asXML); !reflect.DeepEqual(got, ev) {
					t.Errorf("%s: back in XML\n%s\nwant\n%s", entry, describeEvent(got), describeEvent(ev))
				}
			}
		}
	}
	t.Logf("%d understood, %d can be shown as they were sent", understood, sent)
	if understood < 14 || sent < 8 {
		t.Errorf("%d understood, %d shown as they were sent", understood, sent)
	}
}

// FuzzReadXML: it ends, does not panic, and an unreadable event says so without a word of the body.
func FuzzReadXML(f *testing.F) {
	f.Add([]byte(xmlEvent))
	f.Add([]byte("<AuditEvent><contained/><contained><a/><b/></contained><extension url='x'><url value='y'/></extension></AuditEvent>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if ev := ReadXML(body); strings.ContainsAny(ev.Unreadable, "<>&") {
			t.Errorf("quotes the body: %q", ev.Unreadable)
		}
	})
}
