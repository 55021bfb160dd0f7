package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	strict "github.com/go-json-experiment/json"
)

func batchOf(kind string, resources ...string) string {
	var entries []string
	for _, r := range resources {
		entries = append(entries, `{"fullUrl":"urn:uuid:1","resource": `+r+` ,"request":{"method":"POST","url":"AuditEvent"}}`)
	}
	return `{"resourceType":"Bundle","type":"` + kind + `","entry":[` + strings.Join(entries, ",") + `]}`
}

func TestBatch(t *testing.T) {
	h, log := newHandler()
	missing := `{"type":{"code":"rest"}}`
	body := "\xef\xbb\xbf" + `{"entry":[` +
		`{"resource":` + small + `,"request":{"method":"POST","url":"AuditEvent"}},` +
		`{"resource":{"resourceType":"Patient","name":"Miller"},"request":{"method":"POST","url":"AuditEvent"}},` +
		`{"resource":` + small + `},` +
		`{"resource":` + small + `,"request":{"method":"PUT","url":"AuditEvent/1"}},` +
		`{"request":{"method":"POST","url":"AuditEvent"}},` +
		`{"resource":` + missing + `,"request":{"method":"POST","url":"AuditEvent"}},` +
		`null,` +
		`{"request":{"url":"AuditEvent","method":"POST"},"resource":` + typical + `}` +
		`],"type":"batch","resourceType":"Bundle"}`
	w := do(h, "POST", "/fhir/", body)
	var b bundleJSON
	if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || w.Code != 200 || b.Type != "batch-response" || len(b.Entry) != 8 {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	var statuses []string
	for _, e := range b.Entry {
		statuses = append(statuses, e.Response.Status[:3])
		if (e.Response.Status[:3] == "201") == (e.Response.Outcome != nil) {
			t.Errorf("%+v", e)
		}
	}
	if want := []string{"201", "422", "400", "400", "400", "422", "400", "201"}; !slices.Equal(statuses, want) {
		t.Errorf("statuses %v, want %v", statuses, want)
	}
	if e := b.Entry[7]; e.Response.Location != "/fhir/AuditEvent/1" || e.Response.ETag != `W/"1"` || e.Link[0].URL != "/log/receipt/1" || e.Response.LastModified == "" {
		t.Errorf("%+v", e)
	}
	if len(log.frames) != 1 || log.frames[0] != 2 || string(log.entries[0].Body) != small || string(log.entries[1].Body) != typical {
		t.Errorf("frames %v", log.frames)
	}
	// What is refused is kept too, where a setting says so, and each entry is told where.
	h, log = newHandler()
	h.KeepRefused = true
	w2 := do(h, "POST", "/fhir/r5", body)
	if err := json.Unmarshal(w2.Body.Bytes(), &b); err != nil || len(log.frames) != 1 || log.frames[0] != 4 || string(log.entries[2].Body) != missing {
		t.Fatalf("%v, frames %v", err, log.frames)
	}
	for i, want := range map[int]string{1: "kept as entry 1", 5: "kept as entry 2"} {
		if text := b.Entry[i].Response.Outcome.Issue[0].Diagnostics; !strings.Contains(text, want) || b.Entry[i].Response.Status[:3] != "422" {
			t.Errorf("%d: %s", i, text)
		}
	}
	if e := b.Entry[7]; e.Response.Location != "/fhir/r5/AuditEvent/3" || e.Link[0].Relation != "describedby" {
		t.Errorf("%+v", e)
	}
	if bytes.Contains(w.Body.Bytes(), []byte("Miller")) {
		t.Error("the answer quotes the body")
	}
}

func TestTransaction(t *testing.T) {
	h, log := newHandler()
	w := do(h, "POST", "/fhir", batchOf("transaction", small, typical))
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"type":"transaction-response"`) || len(log.frames) != 1 || log.frames[0] != 2 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, wrong := range []string{`{"resourceType":"Patient"}`, `{}`, `5`} {
		text := checkOutcome(t, do(h, "POST", "/fhir", batchOf("transaction", small, typical, wrong)), 400, "business-rule")
		if !strings.Contains(text, "Bundle.entry[2]") || len(log.frames) != 1 {
			t.Errorf("%s: %s, frames %v", wrong, text, log.frames)
		}
	}
}

func TestBundleRefusals(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		code       string
		kept       int
	}{
		{"not JSON", `{"resourceType":"Bundle","type":"batch","entry":[{"resource":`, 400, "structure", 1},
		{"two values", batchOf("batch", small) + `{}`, 400, "structure", 1},
		{"not a Bundle", small, 422, "business-rule", 0},
		{"not an object", `[]`, 422, "business-rule", 0},
		{"a collection", batchOf("collection", small), 422, "business-rule", 0},
		{"too many entries", `{"resourceType":"Bundle","type":"batch","entry":[` + strings.Repeat(`{},`, maxEntries) + `{}]}`, 413, "too-long", 0},
	} {
		h, log := newHandler()
		checkOutcome(t, do(h, "POST", "/fhir", c.body), c.status, c.code)
		if len(log.entries) != c.kept || c.kept == 1 && string(log.entries[0].Body) != c.body {
			t.Errorf("%s: %d kept", c.name, len(log.entries))
		}
	}
	h, log := newHandler()
	full := strings.Repeat(`{"resource":{"resourceType":"AuditEvent"},"request":{"method":"POST","url":"AuditEvent"}},`, maxEntries)
	if w := do(h, "POST", "/fhir", `{"resourceType":"Bundle","type":"batch","entry":[`+strings.TrimSuffix(full, ",")+`]}`); w.Code != 200 || log.frames[0] != maxEntries {
		t.Errorf("a full Bundle: %d", w.Code)
	}
	if w := do(h, "POST", "/fhir", `{"resourceType":"Bundle","type":"batch"}`); w.Code != 200 || len(log.frames) != 1 {
		t.Errorf("an empty Bundle: %d %s", w.Code, w.Body)
	}
}

// Every resource that a Bundle carries is recorded as a slice of it, byte for byte, or answered for by an error; the
// answer has one entry for each.
func FuzzBundle(f *testing.F) {
	f.Add([]byte(batchOf("batch", small, `{"resourceType":"Patient"}`, `{}`)))
	f.Add([]byte(batchOf("transaction", small)))
	f.Add([]byte(`{"resourceType":"Bundle","type":"batch","entry":{"resource":[],"request":null}}`))
	f.Add([]byte("\xef\xbb\xbf" + batchOf("batch", "\n\t{ \"resourceType\":\"AuditEvent\"}")))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, log := newHandler()
		w := do(h, "POST", "/fhir", string(body), "Content-Type", "application/json")
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("the answer is not JSON: %s", w.Body)
		}
		for _, e := range log.entries {
			if !bytes.Contains(body, e.Body) {
				t.Fatal("a report is not a piece of the body")
			}
		}
		switch w.Code {
		case http.StatusOK:
			var sent struct { // by the strict reader: encoding/json would take any case of "entry"
				Entry []any `json:"entry"`
			}
			var got bundleJSON
			if strict.Unmarshal(bytes.TrimPrefix(body, bom), &sent) == nil && json.Unmarshal(w.Body.Bytes(), &got) == nil && len(sent.Entry) > 0 && len(got.Entry) != len(sent.Entry) {
				t.Fatalf("%d entries, %d answers", len(sent.Entry), len(got.Entry))
			}
			created := strings.Count(w.Body.String(), `"status":"201 Created"`)
			kept := strings.Count(w.Body.String(), "kept as entry")
			if created+kept != len(log.entries) || len(log.frames) > 1 {
				t.Fatalf("%d created, %d kept, %d in the log", created, kept, len(log.entries))
			}
		case http.StatusBadRequest:
			if len(log.entries) > 1 || len(log.entries) == 1 && !bytes.Equal(log.entries[0].Body, body) {
				t.Fatal("refused, and recorded in part")
			}
		case http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
			if len(log.entries) != 0 {
				t.Fatal("refused and recorded")
			}
		default:
			t.Fatalf("status %d", w.Code)
		}
	})
}

func BenchmarkBundle(b *testing.B) {
	resources := make([]string, 100)
	for i := range resources {
		resources[i] = typical
	}
	body := batchOf("batch", resources...)
	h, _ := newHandler()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if w := do(h, "POST", "/fhir", body); w.Code != 200 {
			b.Fatal(fmt.Sprint(w.Code))
		}
	}
}
