package fhir

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hippad"
)

func brokenIDs(media string, body []byte) (ids []string) {
	for _, r := range Check(hippad.Report{Media: media, Body: body}) {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return ids
}

// goodR4 breaks no rule; the others are made from it.
const goodR4 = `{"resourceType":"AuditEvent","meta":{"profile":["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead|1.1.4"]},` +
	`"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},` +
	`"subtype":[{"system":"http://hl7.org/fhir/restful-interaction","code":"read"}],"action":"R","recorded":"2026-11-22T09:49:00.000Z","outcome":"0",` +
	`"agent":[{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110152"}]},"who":{"display":"c"},"requestor":false,"network":{"address":"192.0.2.1","type":"2"}},` +
	`{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153"}]},"who":{"display":"s"},"requestor":false,"network":{"address":"192.0.2.2","type":"2"}},` +
	`{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"IRCP"}]},"who":{"display":"u"},"requestor":true}],` +
	`"source":{"observer":{"display":"o"}},` +
	`"entity":[{"what":{"reference":"Patient/1"},"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1"},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"}},` +
	`{"what":{"reference":"List/1"},"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"2"},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"4"},"detail":[{"type":"t","valueString":"v"}]}]}`

const goodR5 = `{"resourceType":"AuditEvent","category":[{"text":"k"}],"code":{"text":"c"},"action":"R","severity":"notice","occurredPeriod":{"start":"2026-01-01","end":"2026-01-02"},` +
	`"recorded":"2026-11-22T09:49:00+01:00","outcome":{"code":{"system":"http://hl7.org/fhir/issue-severity","code":"success"}},"agent":[{"who":{"display":"d"}}],` +
	`"source":{"observer":{"display":"o"}},"entity":[{"what":{"display":"w"},"query":"YQ==","detail":[{"type":{"text":"t"},"valueInteger":1}]}]}`

const goodQuery = `{"resourceType":"AuditEvent","meta":{"profile":["` + balpProfile + `Query"]},` +
	`"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},"subtype":[{"system":"http://hl7.org/fhir/restful-interaction","code":"search"}],` +
	`"action":"E","recorded":"2026-11-22T09:49:00Z","outcome":"0",` +
	`"agent":[{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153"}]},"who":{"display":"c"},"requestor":false,"network":{"address":"a"}},` +
	`{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110152"}]},"who":{"display":"s"},"requestor":false,"network":{"address":"b"}}],` +
	`"source":{"observer":{"display":"o"}},"entity":[{"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"2"},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"24"},"query":"YQ=="}]}`

const goodDisclosure = `{"resourceType":"AuditEvent","meta":{"profile":["` + balpProfile + `PrivacyDisclosure.Source","` + balpProfile + `SAMLaccessTokenUse.Minimal"]},` +
	`"type":{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110106"},"subtype":[{"system":"http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle","code":"disclose"}],` +
	`"action":"R","recorded":"2026-11-22T09:49:00Z","outcome":"0",` +
	`"agent":[{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153"}]},"who":{"display":"o"},"requestor":false,"network":{"address":"a"}},` +
	`{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110152"}]},"who":{"display":"s"},"requestor":false,"network":{"address":"b"}},` +
	`{"type":{"coding":[{"system":"` + balpUserAgent + `","code":"UserSamlAgent"}]},"who":{"identifier":{"value":"u"}},"requestor":true,"policy":["urn:token"]}],` +
	`"source":{"observer":{"display":"o"}},"entity":[{"what":{"reference":"Patient/1"},"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1"},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"}}]}`

// Every rule has a report that breaks it and no other, made from one that breaks none by one change.
func TestCheckRules(t *testing.T) {
	for name, body := range map[string]string{"R4": goodR4, "R5": goodR5, "query": goodQuery, "disclosure": goodDisclosure} {
		if ids := brokenIDs(hippad.MediaFHIRJSON, []byte(body)); len(ids) > 0 {
			t.Errorf("%s: a good one breaks %v", name, ids)
		}
	}
	covered := map[string]bool{}
	for _, c := range []struct{ good, old, new, want string }{
		{goodR4, `"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},`, ``, "balp-type fhir-type"},
		{goodR5, `"code":{"text":"c"},`, ``, "fhir-code"},
		{goodR4, `"recorded":"2026-11-22T09:49:00.000Z",`, ``, "fhir-recorded"},
		{goodR4, `49:00.000Z`, `49:00`, "fhir-recorded-zone"},
		{goodR4, `49:00.000Z`, `49Z`, "fhir-recorded-form"},
		{goodR5, `"2026-11-22T09:49:00+01:00"`, `"22.11.2026"`, "fhir-recorded-form"},
		{goodR5, `"agent":[{"who":{"display":"d"}}],`, ``, "fhir-agent"},
		{goodR4, `"requestor":false,`, ``, "fhir-agent-requestor"},
		{goodR5, `{"who":{"display":"d"}}`, `{"requestor":true}`, "fhir-agent-who"},
		{goodR4, `"source":{"observer":{"display":"o"}},`, ``, "fhir-source"},
		{goodR4, `"observer":{"display":"o"}`, `"site":"s"`, "fhir-source"},
		{goodR5, `"action":"R"`, `"action":"read"`, "fhir-action"},
		{goodR4, `"outcome":"0"`, `"outcome":"success!"`, "balp-outcome fhir-outcome"},
		{goodR4, `"outcome":"0"`, `"outcome":"8"`, "balp-outcome"},
		{goodR5, `"code":{"system":"http://hl7.org/fhir/issue-severity","code":"success"}`, `"detail":[{"text":"x"}]`, "fhir-outcome-code"},
		{goodR5, `"notice"`, `"loud"`, "fhir-severity"},
		{goodR5, `"end":"2026-01-02"`, `"end":"2025-01-02"`, "fhir-period"},
		{goodR4, `"192.0.2.1","type":"2"`, `"192.0.2.1","type":"9"`, "fhir-network-type"},
		{goodQuery, `"query":"YQ=="`, `"query":"YQ==","name":"n"`, "fhir-entity-sev-1"},
		{goodQuery, `"query":"YQ=="`, `"query":"?a=b"`, "fhir-query"},
		{goodR4, `"type":"t","valueString":"v"`, `"type":"t"`, "fhir-detail"},
		{goodR4, `"type":"t","valueString":"v"`, `"valueString":"v"`, "fhir-detail"},
		{goodR4, `"type":"t","valueString":"v"`, `"type":"t","valueBase64Binary":"#"`, "fhir-detail"},
		{goodR4, `"observer":{"display":"o"}`, `"observer":{"display":""}`, "fhir-empty"},
		{goodR4, `"observer":{"display":"o"}`, `"observer":{"display":"o"},"type":[]`, "fhir-empty"},
		{goodR4, `"observer":{"display":"o"}`, `"observer":{"display":"o"},"type":[{}]`, "fhir-empty"},
		{goodR5, `"system":"http://hl7.org/fhir/issue-severity"`, `"system":"99LOCAL"`, "fhir-system-uri"},
		{goodR5, `"system":"http://hl7.org/fhir/issue-severity"`, `"system":"http://nema.org/dicom/dicm"`, "fhir-system-old"},
		{goodR4, `"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"}`, `"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"}]}`, "fhir-release"},
		{goodR4, `"action":"R"`, `"action":"R","action":"R"`, "fhir-json"},
		{goodR4, `{"resourceType":"AuditEvent"`, "\xef\xbb\xbf" + `{"resourceType":"AuditEvent"`, "fhir-bom"},
		{goodR4, `"AuditEvent"`, `"Patient"`, "fhir-resource"},
		{goodR4, `"code":"read"`, `"code":"create"`, "balp-subtype"},
		{goodR4, `"action":"R"`, `"action":"C"`, "balp-action"},
		{goodR4, `"code":"110153"`, `"code":"110150"`, "balp-agents"},
		{goodR4, `,"network":{"address":"192.0.2.1","type":"2"}`, ``, "balp-agent-network"},
		{goodR4, `"network":{"address":"192.0.2.1","type":"2"}`, `"media":{"code":"1"},"network":{"address":"192.0.2.1","type":"2"}`, "balp-agent-media"},
		{goodR4, `"who":{"display":"u"},"requestor":true`, `"who":{"display":"u"},"requestor":true,"network":{"address":"x"}`, "balp-user"},
		{goodR4, `"code":"4"}`, `"code":"5"}`, "balp-data"},
		{goodQuery, `"query":"YQ=="`, `"what":{"display":"x"},"query":"YQ=="`, "balp-query"},
		{goodR4, `"code":"1"},"role"`, `"code":"3"},"role"`, "balp-patient"},
		{goodDisclosure, `"observer":{"display":"o"}`, `"observer":{"display":"p"}`, "balp-disclosure-source"},
		{goodDisclosure, `,"policy":["urn:token"]`, ``, "balp-token"},
	} {
		body := strings.Replace(c.good, c.old, c.new, 1)
		if body == c.good {
			t.Errorf("%s: nothing was changed", c.want)
		}
		if got := strings.Join(brokenIDs(hippad.MediaFHIRJSON, []byte(body)), " "); got != c.want {
			t.Errorf("%s: breaks %q", c.want, got)
		}
		for _, id := range strings.Fields(c.want) {
			covered[id] = true
		}
		if c.want == "fhir-json" || c.want == "fhir-bom" || c.want == "fhir-resource" || c.want == "fhir-empty" || c.want == "fhir-release" {
			continue // what JSON alone can break
		}
		asXML, err := toXML([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(brokenIDs(hippad.MediaFHIRXML, asXML), " "); got != c.want {
			t.Errorf("%s: as XML it breaks %q", c.want, got)
		}
	}
	for _, r := range eventRules {
		if !covered[r.ID] {
			t.Errorf("no report breaks %s", r.ID)
		}
	}
	if got := brokenIDs(hippad.MediaFHIRXML, []byte("<AuditEvent>")); !slices.Equal(got, []string{"fhir-xml"}) {
		t.Errorf("broken XML breaks %v", got)
	}
	if got := Check(hippad.Report{Media: hippad.MediaSyslog, Body: []byte("<85>1")}); got != nil {
		t.Errorf("a syslog message breaks %v", got)
	}
}

// IHE's own examples of BALP break none of its rules; and what hippad writes breaks no rule of FHIR.
func TestCheckGood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := drawEvent(t)
		for _, r := range []Release{R4, R5} {
			body := WriteRelease(ev, r)
			for _, id := range brokenIDs(hippad.MediaFHIRJSON, body) {
				if strings.HasPrefix(id, "fhir-") && id != "fhir-agent-requestor" {
					t.Fatalf("%s: what was written breaks %s: %s", r, id, body)
				}
			}
		}
	})
	bodies, _ := sampleBodies(t)
	byRule := map[string]int{}
	for name, body := range bodies {
		ids := brokenIDs(hippad.MediaFHIRJSON, body)
		for _, id := range ids {
			byRule[filepath.Dir(name)+" "+id]++
		}
		if filepath.Dir(name) == "r4-balp" && len(ids) > 0 {
			t.Errorf("%s: breaks %v", name, ids)
		}
	}
	for _, k := range slices.Sorted(mapKeys(byRule)) {
		t.Logf("%s: %d", k, byRule[k])
	}
}

// FuzzCheck: it ends, changes nothing, and names each rule once.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{goodR4, goodR5, goodQuery, goodDisclosure, jsonEvent, `[`, `{"resourceType":"AuditEvent","agent":[[]],"entity":[null,{"detail":{}}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, media := range []string{hippad.MediaFHIRJSON, hippad.MediaFHIRXML} {
			seen := map[string]bool{}
			for _, r := range Check(hippad.Report{Media: media, Body: body}) {
				if seen[r.ID] || r.Standard == "" || r.Text == "" {
					t.Fatalf("rule %+v", r)
				}
				seen[r.ID] = true
			}
			if media == hippad.MediaFHIRJSON && (Read(body).Unreadable != "") != (seen["fhir-json"] || seen["fhir-resource"]) {
				t.Fatalf("unreadable and rules disagree: %v", seen)
			}
		}
	})
}
