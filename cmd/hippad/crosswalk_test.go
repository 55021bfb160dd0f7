package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/crosswalk"
)

// What a DICOM message, a syslog message and FHIR say of one person is found by each of the identifiers through the FHIR door, by a reviewer
// and by the person; and an identifier stays out of what the program says of itself.
func TestCrosswalkAtTheDoors(t *testing.T) {
	said := &lockedBuffer{}
	s := openHere(t, nil, said)
	session := s.repo.As(callerWith(hippad.RoleReporter), hippad.DoorNative)
	about := func(id string) string { return strings.ReplaceAll(canaryReport, "CANARY-7", id) }
	fhirAbout := func(what string) string {
		return `{"resourceType":"AuditEvent","type":{"code":"rest"},"recorded":"2026-11-20T09:12:47Z","agent":[{"requestor":true}],"source":{"observer":{"display":"x"}},"entity":[{"what":{` + what + `},"role":{"code":"1"}}]}`
	}
	first := s.ledger.Size()
	for _, r := range []hippad.Report{
		{Media: hippad.MediaXML, Body: []byte(about("CANARY-8^^^&amp;1.2.3&amp;ISO"))},
		{Media: hippad.MediaSyslog, Body: []byte("<85>1 2026-11-20T09:12:47Z ward pacs 1 IHE+RFC-3881 - " + about("CANARY-8^^^&amp;amp;1.2.3&amp;amp;ISO"))},
		{Media: hippad.MediaFHIRJSON, Body: []byte(fhirAbout(`"identifier":{"system":"urn:oid:1.2.3","value":"CANARY-8"}`))},
		{Media: hippad.MediaFHIRJSON, Body: []byte(fhirAbout(`"reference":"Patient/CANARY-9"`))},
		{Media: hippad.MediaXML, Body: []byte(about("CANARY-8^^^&amp;1.2.4&amp;ISO"))},
	} {
		wait, err := session.Record(t.Context(), hippad.Frame{Reports: []hippad.Report{r}})
		if err == nil {
			_, err = wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	find := func(c hippad.Caller, query string) (found []int64) {
		t.Helper()
		w := visit(s, "GET /fhir/AuditEvent?"+query, c, "")
		var bundle struct {
			Entry []struct {
				Resource struct {
					ID string `json:"id"`
				} `json:"resource"`
			} `json:"entry"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &bundle); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d, %v: %s", query, w.Code, err, w.Body)
		}
		for _, e := range bundle.Entry {
			var i int64
			if _, err := fmt.Sscan(e.Resource.ID, &i); err != nil {
				t.Fatal(err)
			}
			found = append(found, i-first)
		}
		slices.Sort(found)
		return found
	}
	ids := []string{"CANARY-8^^^&1.2.3&ISO", "urn:oid:1.2.3|CANARY-8", "Patient/CANARY-9"}
	expect := func(when string, want ...[]int64) {
		t.Helper()
		for i, id := range ids {
			for _, name := range []string{"patient", "patient.identifier"} {
				if name == "patient.identifier" && strings.HasPrefix(id, "Patient/") {
					continue
				}
				if got := find(callerWith(hippad.RoleReviewer), name+"="+url.QueryEscape(id)); !slices.Equal(got, want[i]) {
					t.Errorf("%s, %s=%s finds %v, want %v", when, name, id, got, want[i])
				}
			}
			patient := callerWith(hippad.RolePatient)
			patient.Patient = id
			if got := find(patient, "date=ge2026"); !slices.Equal(got, want[i]) {
				t.Errorf("%s, the patient with %s sees %v, want %v", when, id, got, want[i])
			}
		}
	}
	ask := func(path, body string, out any) {
		t.Helper()
		w := visit(s, "POST /admin/crosswalk/"+path, callerWith(hippad.RoleOfficer), body)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			t.Fatal(err)
		}
	}
	expect("before", []int64{0, 1, 2}, []int64{0, 1, 2}, []int64{3})
	var change crosswalk.Change
	ask("link", `{"identifiers":["CANARY-8^^^&1.2.3&ISO","Patient/CANARY-9"],"reason":"x"}`, &change)
	all := []int64{0, 1, 2, 3}
	expect("linked", all, all, all)
	ask("unlink", `{"identifier":"urn:oid:1.2.3|CANARY-8","reason":"x"}`, &change)
	expect("unlinked", []int64{0, 1, 2}, []int64{0, 1, 2}, []int64{3})

	// What goes wrong says nothing of whom it is about.
	for path, body := range map[string]string{
		"link":   `{"identifiers":["CANARY-8","Patient/CANARY-9"],"reason":"x"}`,
		"unlink": `{"identifier":"Patient/CANARY-9","reason":"x"}`,
		"show":   `{"identifier":"Patient/CANARY-9"}`,
		"import": `{"rows":[["CANARY-8","Patient/CANARY-9"]],"reason":"x"}`,
	} {
		w := visit(s, "POST /admin/crosswalk/"+path, callerWith(hippad.RoleOfficer), body)
		if path != "import" && w.Code == http.StatusOK || strings.Contains(w.Body.String(), "CANARY") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if w := visit(s, "POST /admin/crosswalk/"+path, callerWith(hippad.RoleReviewer), body); w.Code != http.StatusForbidden {
			t.Errorf("%s as a reviewer: %d", path, w.Code)
		}
	}
	if text := said.String(); strings.Contains(text, "CANARY") {
		t.Errorf("logged: %s", text)
	}
}
