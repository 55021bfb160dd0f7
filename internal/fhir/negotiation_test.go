package fhir

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"hippad"
)

func TestNegotiate(t *testing.T) {
	const none = format(9)
	for _, c := range []struct {
		named, accept string
		release       Release
		want          format
	}{
		{"", "", R4, formatJSON},
		{"", "*/*", R4, formatJSON},
		{"", "application/fhir+json", R4, formatJSON},
		{"", "application/fhir+xml", R4, formatXML},
		{"", "application/xml", R4, formatXML},
		{"", "text/xml; charset=utf-8", R4, formatXML},
		{"", "application/xml+fhir", R4, formatXML},
		{"", "application/json;q=0.5, application/xml;q=0.9", R4, formatXML},
		{"", "application/xml;q=0.5, application/json;q=0.9", R4, formatJSON},
		{"", "application/fhir+xml, application/fhir+json", R4, formatXML},
		{"", "application/fhir+json, application/fhir+xml", R4, formatJSON},
		{"", "application/fhir+xml;q=1.0, */*;q=0.1", R4, formatXML},
		{"", "application/xml;q=0, */*", R4, formatJSON},
		{"", "application/json;q=0, */*", R4, formatXML},
		{"", "application/*;q=0.2, text/xml;q=0.1", R4, formatJSON},
		{"", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", R4, formatXML},
		{"", "text/html, */*;q=0.1", R4, formatJSON},
		{"", "application/fhir+xml, application/json;q=0", R4, formatXML},
		{"", "text/html", R4, none},
		{"", "application/fhir+json;q=0", R4, none},
		{"", "application/fhir+turtle", R4, none},
		{"", "application/fhir+json; fhirVersion=4.0", R4, formatJSON},
		{"", "application/fhir+json; fhirVersion=4.0", R5, none},
		{"", "application/fhir+xml; fhirVersion=5.0, application/json;q=0.1", R5, formatXML},
		{"", "application/fhir+json; q=nonsense", R4, formatJSON},
		{"json", "application/fhir+xml", R4, formatJSON},
		{"xml", "application/fhir+json", R4, formatXML},
		{"application/fhir+xml", "", R4, formatXML},
		{"application/fhir xml", "", R4, formatXML},
		{"text/xml", "", R4, formatXML},
		{"application/json", "", R4, formatJSON},
		{"ttl", "application/fhir+json", R4, none},
		{"html", "", R4, none},
	} {
		got, err := negotiate(c.named, []string{c.accept}, c.release)
		if (err != nil) != (c.want == none) || err == nil && got != c.want {
			t.Errorf("_format %q, Accept %q, %v: %d %v, want %d", c.named, c.accept, c.release, got, err, c.want)
		}
	}
}

// Whatever is answered, it is in the format that was asked for, errors included.
func TestEveryAnswerInBothFormats(t *testing.T) {
	h, _ := newHandler()
	do(h, "POST", "/fhir/AuditEvent", small)
	for _, c := range []struct {
		method, target, body string
		root                 string
		status               int
		headers              []string
	}{
		{"GET", "/fhir/metadata", "", "CapabilityStatement", 200, nil},
		{"GET", "/fhir/r5/metadata", "", "CapabilityStatement", 200, nil},
		{"GET", "/fhir/AuditEvent/0", "", "AuditEvent", 200, nil},
		{"GET", "/fhir/r5/AuditEvent/0", "", "AuditEvent", 200, nil},
		{"GET", "/fhir/iti81/AuditEvent/0", "", "AuditEvent", 200, nil},
		{"GET", "/fhir/AuditEvent?foo=1", "", "Bundle", 200, nil},
		{"GET", "/fhir/AuditEvent?date=x", "", "OperationOutcome", 400, nil},
		{"GET", "/fhir/iti81/AuditEvent?patient=7", "", "OperationOutcome", 400, nil},
		{"GET", "/fhir/AuditEvent/7", "", "OperationOutcome", 404, nil},
		{"GET", "/fhir/Patient", "", "OperationOutcome", 404, nil},
		{"DELETE", "/fhir/AuditEvent/0", "", "OperationOutcome", 405, nil},
		{"POST", "/fhir/AuditEvent", "{}", "OperationOutcome", 422, nil},
		{"POST", "/fhir/AuditEvent", small, "AuditEvent", 201, []string{"Prefer", "return=representation"}},
		{"POST", "/fhir/AuditEvent", small, "OperationOutcome", 201, []string{"Prefer", "return=OperationOutcome"}},
		{"POST", "/fhir", batchOf("batch", small, "{}"), "Bundle", 200, nil},
		{"POST", "/fhir/r5", batchOf("transaction", small), "Bundle", 200, nil},
		{"POST", "/fhir/AuditEvent/_search", "patient=7", "Bundle", 200, []string{"Content-Type", "application/x-www-form-urlencoded"}},
	} {
		for _, ask := range []struct{ target, accept, media string }{
			{c.target, "application/fhir+json", hippad.MediaFHIRJSON}, {c.target, "text/xml", hippad.MediaFHIRXML},
			{c.target + map[bool]string{true: "&", false: "?"}[strings.Contains(c.target, "?")] + "_format=xml", "application/json", hippad.MediaFHIRXML},
		} {
			w := do(h, c.method, ask.target, c.body, append([]string{"Accept", ask.accept}, c.headers...)...)
			if w.Code != c.status || w.Header().Get("Content-Type") != ask.media+"; charset=UTF-8" {
				t.Errorf("%s %s as %s: %d %s", c.method, c.target, ask.accept, w.Code, w.Header().Get("Content-Type"))
				continue
			}
			root := ""
			if ask.media == hippad.MediaFHIRXML {
				var doc struct{ XMLName xml.Name }
				if err := xml.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.XMLName.Space != "http://hl7.org/fhir" {
					t.Errorf("%s %s: %v %s", c.method, c.target, err, w.Body)
				}
				root = doc.XMLName.Local
			} else {
				var doc struct{ ResourceType string }
				if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
					t.Error(err)
				}
				root = doc.ResourceType
			}
			if root != c.root {
				t.Errorf("%s %s as %s: %s, want %s", c.method, c.target, ask.accept, root, c.root)
			}
		}
	}
}

// A caller that can take neither format is told so, but a report is not lost for it.
func TestNotAcceptable(t *testing.T) {
	h, log := newHandler()
	for _, target := range []string{"/fhir/metadata", "/fhir/AuditEvent", "/fhir/AuditEvent/0", "/fhir/AuditEvent?_format=ttl"} {
		checkOutcome(t, do(h, "GET", target, "", "Accept", "text/html"), 406, "not-supported")
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	checkOutcome(t, do(h, "POST", "/fhir/AuditEvent/_search", "", "Accept", "text/html"), 406, "not-supported")
	checkOutcome(t, do(h, "POST", "/fhir/AuditEvent/_search", "_format=ttl", form...), 406, "not-supported")
	if w := do(h, "POST", "/fhir/AuditEvent/_search", "_format=xml", form...); w.Code != 200 || w.Header().Get("Content-Type") != "application/fhir+xml; charset=UTF-8" {
		t.Errorf("%d %s", w.Code, w.Header())
	}
	if len(log.entries) != 0 {
		t.Fatal("recorded")
	}
	if w := do(h, "POST", "/fhir/AuditEvent", small, "Accept", "text/html"); w.Code != 201 || len(log.entries) != 1 {
		t.Errorf("%d", w.Code)
	}
}

func TestGzipOut(t *testing.T) {
	h, _ := newHandler()
	plain := do(h, "GET", "/fhir/metadata", "")
	for accept, zipped := range map[string]bool{"gzip": true, "deflate, gzip;q=0.5": true, "*": true, "gzip;q=0": false, "*;q=0": false, "br": false, "gzip;q=0, *": false} {
		for range 2 { // the second time with a used writer
			w := do(h, "GET", "/fhir/metadata", "", "Accept-Encoding", accept)
			if (w.Header().Get("Content-Encoding") == "gzip") != zipped || !strings.Contains(w.Header().Get("Vary"), "Accept-Encoding") {
				t.Fatalf("%q: %v", accept, w.Header())
			}
			body := w.Body.Bytes()
			if zipped {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				if body, err = io.ReadAll(z); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(body, plain.Body.Bytes()) {
				t.Errorf("%q: another body", accept)
			}
		}
	}
	if w := do(h, "GET", "/fhir/AuditEvent/7", "", "Accept-Encoding", "gzip"); w.Header().Get("Content-Encoding") != "" {
		t.Error("a short answer is compressed")
	}
}

// HEAD is GET without a body, conditional reads are answered shortly.
func TestHeadAndConditions(t *testing.T) {
	h, log := newHandler()
	do(h, "POST", "/fhir/AuditEvent", small)
	modified := log.entries[0].Received.Format(http.TimeFormat)
	get := do(h, "GET", "/fhir/AuditEvent/0", "")
	if get.Header().Get("ETag") != `W/"1"` || get.Header().Get("Last-Modified") != modified || get.Header().Get("Link") != `</log/receipt/0>; rel="https://c2sp.org/tlog-proof"` {
		t.Errorf("%v", get.Header())
	}
	for _, target := range []string{"/fhir/AuditEvent/0", "/fhir/AuditEvent", "/fhir/metadata", "/fhir/AuditEvent/9"} {
		get, head := do(h, "GET", target, ""), do(h, "HEAD", target, "")
		if head.Code != get.Code || head.Body.Len() != 0 || head.Header().Get("Content-Length") != get.Header().Get("Content-Length") {
			t.Errorf("%s: %d %d %v", target, head.Code, head.Body.Len(), head.Header())
		}
	}
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"If-None-Match", `W/"1"`, 304}, {"If-None-Match", `"1"`, 304}, {"If-None-Match", `"0", W/"1"`, 304}, {"If-None-Match", "*", 304}, {"If-None-Match", `W/"2"`, 200},
		{"If-Modified-Since", modified, 304}, {"If-Modified-Since", "Mon, 01 Jan 2001 00:00:00 GMT", 200}, {"If-Modified-Since", "nonsense", 200},
	} {
		w := do(h, "GET", "/fhir/AuditEvent/0", "", c.name, c.value)
		if w.Code != c.status || (w.Body.Len() == 0) != (c.status == 304) || w.Header().Get("ETag") != `W/"1"` {
			t.Errorf("%s: %s: %d", c.name, c.value, w.Code)
		}
	}
	if w := do(h, "GET", "/fhir/AuditEvent/9", "", "If-None-Match", "*"); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}

func TestRequestID(t *testing.T) {
	h, _ := newHandler()
	for id, want := range map[string]string{"abc-1": "abc-1", "": "", strings.Repeat("x", 201): ""} {
		for _, target := range []string{"/fhir/metadata", "/fhir/AuditEvent/7", "/fhir/r5/Patient"} {
			if got := do(h, "GET", target, "", "X-Request-Id", id).Header().Get("X-Request-Id"); got != want {
				t.Errorf("%s: %q", target, got)
			}
		}
	}
}

// A report is shown in the release of the base, as it was sent where it is of that release.
func TestReleases(t *testing.T) {
	h, log := newHandler()
	const five = `{"resourceType":"AuditEvent","category":[{"coding":[{"code":"rest"}]}],"code":{"coding":[{"code":"read"}]},"recorded":"2026-11-22T09:00:00Z",` +
		`"agent":[{"who":{"display":"x"}}],"source":{"observer":{"display":"y"}},"outcome":{"code":{"code":"success"}}}`
	const xmlEvent = `<AuditEvent xmlns="http://hl7.org/fhir"><id value="old"/><type><code value="rest"/></type><recorded value="2026-11-22T09:00:00Z"/></AuditEvent>`
	if w := do(h, "POST", "/fhir/AuditEvent", five); w.Code != 201 || w.Header().Get("Location") != "/fhir/AuditEvent/0" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := do(h, "POST", "/fhir/r5/AuditEvent", small); w.Code != 201 || w.Header().Get("Location") != "/fhir/r5/AuditEvent/1" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := do(h, "POST", "/fhir/AuditEvent", xmlEvent, "Content-Type", "application/xml"); w.Code != 201 || log.entries[2].Media != hippad.MediaFHIRXML || string(log.entries[2].Body) != xmlEvent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for target, want := range map[string]string{
		"/fhir/r5/AuditEvent/0": five[len(`{"resourceType":"AuditEvent",`):],
		"/fhir/AuditEvent/1":    `"type":{"code":"rest"},"recorded":"2026-11-22T09:00:00Z","entity":[{"what":{"reference":"Patient/7"}}],"extra":1.10}`,
		"/fhir/AuditEvent/0":    `"type":{"code":"rest"},"subtype":[{"code":"read"}]`,
		"/fhir/r5/AuditEvent/1": `"code":{"coding":[{"code":"rest"}]}`,
		"/fhir/AuditEvent/2":    `"type":{"code":"rest"},"recorded":"2026-11-22T09:00:00Z"}`,
	} {
		if w := do(h, "GET", target, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), `"versionId":"1"`) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	w := do(h, "GET", "/fhir/AuditEvent/2", "", "Accept", "application/fhir+xml")
	if !strings.Contains(w.Body.String(), `<id value="2"/><meta><versionId value="1"/><lastUpdated value="`) || strings.Contains(w.Body.String(), "old") {
		t.Errorf("%s", w.Body)
	}
}

func TestKeepRefused(t *testing.T) {
	for _, c := range []struct{ target, body, media string }{
		{"/fhir/AuditEvent", `{"resourceType":"Patient"}`, hippad.MediaFHIRJSON}, {"/fhir/AuditEvent", `[1]`, hippad.MediaFHIRJSON}, {"/fhir/r5/AuditEvent", `<Patient/>`, hippad.MediaFHIRXML},
		{"/fhir", small, hippad.MediaFHIRJSON}, {"/fhir", `{"resourceType":"Bundle","type":"document"}`, hippad.MediaFHIRJSON}, {"/fhir/r5", `<Bundle xmlns="http://hl7.org/fhir"/>`, hippad.MediaFHIRXML},
	} {
		for _, keep := range []bool{false, true} {
			h, log := newHandler()
			h.KeepRefused = keep
			text := checkOutcome(t, do(h, "POST", c.target, c.body, "Content-Type", c.media), 422, "business-rule")
			if keep != (len(log.entries) == 1) || keep != strings.Contains(text, "kept as entry 0") {
				t.Fatalf("%s: %d kept: %s", c.body, len(log.entries), text)
			}
			if keep && (string(log.entries[0].Body) != c.body || log.entries[0].Media != c.media) {
				t.Errorf("%s: kept otherwise", c.body)
			}
			if keep && c.body != small && readAny(log.entries[0].Report).Unreadable == "" {
				t.Errorf("%s: not marked", c.body)
			}
		}
	}
}

// An incomplete AuditEvent is accepted: the mark is derived from it.
func TestIncomplete(t *testing.T) {
	h, log := newHandler()
	for i, body := range []string{`{"resourceType":"AuditEvent"}`, `<AuditEvent/>`} {
		w := do(h, "POST", "/fhir/AuditEvent", body, "Content-Type", []string{hippad.MediaFHIRJSON, hippad.MediaFHIRXML}[i])
		if w.Code != 201 {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
		q := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldMark, hippad.MarkIncomplete)}}}
		if !q.Matches(log.entries[i], readAny(log.entries[i].Report)) {
			t.Errorf("%s: not marked", body)
		}
	}
}

// The interface over a real connection: the header of HEAD, and gzip as Go's own client takes it.
func TestOverHTTP(t *testing.T) {
	h, _ := newHandler()
	server := httptest.NewServer(h)
	defer server.Close()
	for _, method := range []string{"GET", "HEAD"} {
		r, err := http.NewRequest(method, server.URL+"/fhir/metadata", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != 200 || (method == "GET") != json.Valid(body) {
			t.Errorf("%s: %d %v %d bytes", method, answer.StatusCode, err, len(body))
		}
	}
}
