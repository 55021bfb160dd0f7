package fhir

import (
	"strings"
	"testing"

	"hippad"
)

func TestAsSent(t *testing.T) {
	deep := func(n int) string {
		return `{"resourceType":"AuditEvent","extension":` + strings.Repeat(`[{"url":"u","extension":`, n) + `[]` + strings.Repeat(`}]`, n) + `}`
	}
	for _, c := range []struct {
		name, media, body string
		r4, r5            bool
	}{
		{"R4", hippad.MediaFHIRJSON, jsonEvent, true, false},
		{"R4 with parameters", hippad.MediaFHIRJSON + "; charset=utf-8; fhirVersion=4.0", jsonEvent, true, false},
		{"R5", hippad.MediaFHIRJSON, goodR5, false, true},
		{"a mixture", hippad.MediaFHIRJSON, `{"resourceType":"AuditEvent","category":[{"text":"c"}],"outcome":"0"}`, false, false},
		{"STU3", hippad.MediaFHIRJSON, `{"resourceType":"AuditEvent","agent":[{"userId":{"value":"x"}}]}`, false, false},
		{"unreadable", hippad.MediaFHIRJSON, `{"resourceType":"AuditEvent"`, false, false},
		{"of 12 levels", hippad.MediaFHIRJSON, deep(12), true, false},
		{"too deep for XML", hippad.MediaFHIRJSON, deep(200), false, false},
		{"R4 in XML", hippad.MediaFHIRXML, xmlEvent, true, false},
		{"R5 in XML", hippad.MediaFHIRXML, `<AuditEvent xmlns="http://hl7.org/fhir"><code><text value="c"/></code></AuditEvent>`, false, true},
		{"an element that is not known", hippad.MediaFHIRXML, `<AuditEvent xmlns="http://hl7.org/fhir"><action value="R"/><colour value="red"/></AuditEvent>`, false, false},
		{"text between elements", hippad.MediaFHIRXML, `<AuditEvent xmlns="http://hl7.org/fhir"><action value="R"/>R</AuditEvent>`, false, false},
		{"twice what may be there once", hippad.MediaFHIRXML, `<AuditEvent xmlns="http://hl7.org/fhir"><action value="R"/><action value="C"/></AuditEvent>`, false, false},
		{"a truth that is none", hippad.MediaFHIRXML, `<AuditEvent xmlns="http://hl7.org/fhir"><agent><requestor value="yes"/></agent></AuditEvent>`, false, false},
		{"another namespace", hippad.MediaFHIRXML, `<AuditEvent xmlns="urn:x"><action value="R"/></AuditEvent>`, false, false},
		{"DICOM", hippad.MediaXML, `<AuditMessage/>`, false, false},
	} {
		for release, want := range map[Release]bool{R4: c.r4, R5: c.r5} {
			resource, got := asSent(hippad.Report{Media: c.media, Body: []byte(c.body)}, release)
			if got != want {
				t.Errorf("%s: shown as it was sent in %s: %v", c.name, release, got)
			}
			if !got {
				continue
			}
			if _, err := toXML(resource); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

// Whatever is shown as it was sent can be shown in XML too.
func FuzzAsSent(f *testing.F) {
	f.Add([]byte(jsonEvent))
	f.Add([]byte(goodR5))
	f.Add([]byte(xmlEvent))
	f.Add([]byte(`{"resourceType":"AuditEvent","contained":[{"a":[]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, media := range []string{hippad.MediaFHIRJSON, hippad.MediaFHIRXML} {
			for _, release := range []Release{R4, R5} {
				resource, ok := asSent(hippad.Report{Media: media, Body: body}, release)
				if !ok {
					continue
				}
				if _, is := read(resource); is != release.verdict() {
					t.Fatalf("%s: verdict %d", release, is)
				}
				out, err := toXML(resource)
				if err != nil {
					t.Fatalf("%s: %v", release, err)
				}
				wellFormed(t, "as sent", out)
			}
		}
	})
}
