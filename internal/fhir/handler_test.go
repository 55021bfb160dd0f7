package fhir

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
)

// fakeLog is a hippad.Session over a slice. Its errors can be switched on; a frame is committed by Wait.
type fakeLog struct {
	mu        sync.Mutex
	entries   []hippad.Entry
	frames    []int // reports in each committed frame
	searches  []hippad.Query
	recordErr error
	waitErr   error
	searchErr error
	full      bool // Record blocks until its context ends
	read      hippad.Reader
}

func (f *fakeLog) Record(ctx context.Context, frame hippad.Frame) (hippad.Wait, error) {
	if f.full {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if f.recordErr != nil {
		return nil, f.recordErr
	}
	return func(context.Context) (hippad.Ack, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.waitErr != nil {
			return hippad.Ack{}, f.waitErr
		}
		first := int64(len(f.entries))
		for _, r := range frame.Reports {
			r.Body = bytes.Clone(r.Body)
			at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC).Add(time.Duration(len(f.entries)) * time.Microsecond)
			f.entries = append(f.entries, hippad.Entry{Index: int64(len(f.entries)), Received: at, Door: hippad.DoorFHIR, Report: r,
				Reporter: hippad.Principal{Kind: hippad.KindAddress, ID: "192.0.2.1"}})
		}
		f.frames = append(f.frames, len(frame.Reports))
		return hippad.Ack{Ranges: []hippad.Range{{First: first, Count: len(frame.Reports)}}}, nil
	}, nil
}

func (f *fakeLog) Search(_ context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
	f.mu.Lock()
	f.searches = append(f.searches, q)
	entries := slices.Clone(f.entries)
	f.mu.Unlock()
	return func(yield func(hippad.Entry, error) bool) {
		if f.searchErr != nil {
			yield(hippad.Entry{}, f.searchErr)
			return
		}
		if !q.Ascending {
			slices.Reverse(entries)
		}
		if q.ByTime {
			slices.SortFunc(entries, func(a, b hippad.Entry) int {
				place := func(e hippad.Entry) hippad.Place {
					return hippad.Place{At: hippad.EventTime(e, f.read(e.Report)), Index: e.Index}
				}
				return place(a).CompareIn(q.Ascending, place(b))
			})
		}
		n := 0
		for _, e := range entries {
			if q.Limit > 0 && n == q.Limit {
				return
			}
			if q.Matches(e, f.read(e.Report)) {
				if n++; !yield(e, nil) {
					return
				}
			}
		}
	}
}

func (f *fakeLog) Receipt(_ context.Context, index int64) (hippad.Receipt, error) {
	if index < 0 || index >= int64(len(f.entries)) {
		return nil, hippad.Errorf(hippad.NotFound, "there is no entry %d", index)
	}
	return hippad.Receipt("c2sp.org/tlog-proof@v1\n"), nil
}

// readAny stands for the daemon's reader: FHIR by this package, and one made-up other media type.
func readAny(r hippad.Report) hippad.Event {
	switch r.Media {
	case hippad.MediaFHIRJSON:
		return Read(r.Body)
	case hippad.MediaFHIRXML:
		return ReadXML(r.Body)
	case hippad.MediaXML:
		return hippad.Event{Type: hippad.Code{System: "DCM", Code: "110110"}, Action: "R", Entities: []hippad.Entity{{What: hippad.Reference{
			Identifier: hippad.Identifier{Value: string(r.Body) + "^^^&1.2.3&ISO"}}, Role: hippad.Code{Code: "1"}}}}
	}
	return hippad.Event{Unreadable: "no reader for this media type"}
}

func newHandler() (*Handler, *fakeLog) {
	log := &fakeLog{read: readAny}
	return &Handler{Open: func(*http.Request) (hippad.Session, error) { return log, nil }, Read: readAny, Log: slog.New(slog.DiscardHandler)}, log
}

func do(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", hippad.MediaFHIRJSON)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const small = `{ "resourceType" : "AuditEvent", "id":"mine","type":{"code":"rest"}, "recorded":"2026-11-22T09:00:00Z",` +
	`"entity":[{"what":{"reference":"Patient/7"}}], "meta":{"versionId":"9","profile":["p"]},"extra":1.10 }`

// checkOutcome wants an OperationOutcome with the status.
func checkOutcome(t *testing.T, w *httptest.ResponseRecorder, status int, code string) string {
	t.Helper()
	var o outcomeJSON
	if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || o.ResourceType != "OperationOutcome" || len(o.Issue) != 1 {
		t.Fatalf("status %d, no OperationOutcome: %s", w.Code, w.Body)
	}
	if w.Code != status || o.Issue[0].Code != code || o.Issue[0].Diagnostics == "" || w.Header().Get("Content-Type") != "application/fhir+json; charset=UTF-8" {
		t.Fatalf("status %d, want %d %s: %s", w.Code, status, code, w.Body)
	}
	return o.Issue[0].Diagnostics
}

func TestCreate(t *testing.T) {
	h, log := newHandler()
	w := do(h, "POST", "/fhir/AuditEvent", small, "X-Request-Id", "abc", "Content-Type", "application/fhir+json; charset=UTF-8")
	if w.Code != http.StatusCreated || w.Body.Len() != 0 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{"Location": "/fhir/AuditEvent/0", "ETag": `W/"1"`, "X-Request-Id": "abc",
		"Link": `</log/receipt/0>; rel="https://c2sp.org/tlog-proof"`, "Cache-Control": "no-store"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := http.ParseTime(w.Header().Get("Last-Modified")); err != nil {
		t.Error(err)
	}
	if len(log.entries) != 1 || string(log.entries[0].Body) != small || log.entries[0].Media != hippad.MediaFHIRJSON {
		t.Fatalf("the body is not in the log as it was sent")
	}
	w = do(h, "POST", "/fhir/AuditEvent", small, "Prefer", "return=representation", "Content-Type", "application/json")
	const start = `{"resourceType":"AuditEvent","id":"1","meta":{"versionId":"1","lastUpdated":"`
	const rest = `,"profile":["p"]},"type":{"code":"rest"},"recorded":"2026-11-22T09:00:00Z","entity":[{"what":{"reference":"Patient/7"}}],"extra":1.10}`
	if got := w.Body.String(); w.Code != http.StatusCreated || !strings.HasPrefix(got, start) || !strings.HasSuffix(got, rest) {
		t.Errorf("representation: %d %s", w.Code, got)
	}
	w = do(h, "POST", "/fhir/AuditEvent", small, "Prefer", "respond-async, return=OperationOutcome")
	if text := checkOutcome(t, w, http.StatusCreated, "informational"); text != "accepted as entry 2" {
		t.Error(text)
	}
	w = do(h, "POST", "/fhir/AuditEvent", `{"resourceType":"AuditEvent","code":{"text":"R5"}}`, "Prefer", "return=representation")
	validR4Shown(t, w.Body.Bytes())
}

// validR4Shown checks a resource that has id and meta.
func validR4Shown(t *testing.T, body []byte) {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	if doc["id"] == nil || doc["meta"] == nil {
		t.Errorf("id or meta missing: %s", body)
	}
	delete(doc, "id")
	delete(doc, "meta")
	bare, _ := json.Marshal(doc)
	validR4(t, "shown", bare)
}

var inXML = []string{"Content-Type", "application/fhir+xml"}

func TestCreateRefusals(t *testing.T) {
	for _, c := range []struct {
		name, body string
		headers    []string
		status     int
		code       string
		kept       bool
	}{
		{"another resource", `{"resourceType":"Patient","name":"Miller"}`, nil, 422, "business-rule", false},
		{"not JSON", `{"resourceType":"AuditEvent","agent":"Miller`, nil, 400, "structure", true},
		{"JSON but no object", `["Miller"]`, nil, 422, "business-rule", false},
		{"no resourceType", `{"agent":"Miller"}`, nil, 422, "business-rule", false},
		{"a name twice", `{"resourceType":"AuditEvent","action":"C","action":"Miller"}`, nil, 400, "structure", true},
		{"another resource in XML", `<Patient xmlns="http://hl7.org/fhir"><name value="Miller"/></Patient>`, inXML, 422, "business-rule", false},
		{"not XML", `<AuditEvent><action value="Miller"`, inXML, 400, "structure", true},
		{"a bomb", `<!DOCTYPE x [<!ENTITY a "Miller"><!ENTITY b "&a;&a;&a;">]><AuditEvent><action value="&b;"/></AuditEvent>`, inXML, 400, "structure", true},
		{"deep XML", strings.Repeat("<AuditEvent>", 100_000), inXML, 400, "structure", true},
		{"deep JSON", strings.Repeat(`{"a":`, 100_000), nil, 400, "structure", true},
		{"text", "Miller", []string{"Content-Type", "text/plain"}, 415, "not-supported", false},
		{"Latin-1 in XML", `<AuditEvent/>`, []string{"Content-Type", "application/fhir+xml; charset=iso-8859-1"}, 415, "not-supported", false},
		{"Latin-1", small, []string{"Content-Type", "application/fhir+json; charset=iso-8859-1"}, 415, "not-supported", false},
		{"no type", small, []string{"Content-Type", ""}, 415, "not-supported", false},
		{"unknown coding", small, []string{"Content-Encoding", "br"}, 415, "not-supported", false},
		{"not gzip", small, []string{"Content-Encoding", "gzip"}, 400, "structure", true},
		{"empty", "", []string{"Content-Type", "application/fhir+json"}, 400, "invalid", false},
	} {
		h, log := newHandler()
		w := do(h, "POST", "/fhir/AuditEvent", c.body, c.headers...)
		text := checkOutcome(t, w, c.status, c.code)
		if strings.Contains(w.Body.String(), "Miller") {
			t.Errorf("%s: the answer quotes the body", c.name)
		}
		if c.kept != (len(log.entries) == 1) || c.kept && (string(log.entries[0].Body) != c.body || !strings.Contains(text, "kept as entry 0")) {
			t.Errorf("%s: kept %d, want %v: %s", c.name, len(log.entries), c.kept, text)
		}
		if c.kept && readAny(log.entries[0].Report).Unreadable == "" {
			t.Errorf("%s: kept, but readable", c.name)
		}
	}
}

func TestCreateTooLarge(t *testing.T) {
	big := `{"resourceType":"AuditEvent","outcomeDesc":"` + strings.Repeat("Miller", 1000) + `"}`
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(z, big); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*http.Request{
		"by its length":      httptest.NewRequest("POST", "/fhir/AuditEvent", strings.NewReader(big)),
		"without a length":   httptest.NewRequest("POST", "/fhir/AuditEvent", struct{ io.Reader }{strings.NewReader(big)}),
		"only when inflated": httptest.NewRequest("POST", "/fhir", bytes.NewReader(zipped.Bytes())),
	} {
		h, log := newHandler()
		h.MaxBody = 1000
		var refused []int64
		h.Refuse = func(_ hippad.Session, size, limit int64) { refused = append(refused, size) }
		r.Header.Set("Content-Type", hippad.MediaFHIRJSON)
		if strings.Contains(name, "inflated") {
			r.Header.Set("Content-Encoding", "gzip")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		checkOutcome(t, w, 413, "too-long")
		if len(log.entries) != 0 || len(refused) != 1 || refused[0] <= 1000 {
			t.Fatalf("%s: %d entries, refused %d", name, len(log.entries), refused)
		}
	}
	// An exact fit passes, plain or compressed.
	h, log := newHandler()
	h.MaxBody = int64(len(big))
	if w := do(h, "POST", "/fhir/AuditEvent", big); w.Code != 201 {
		t.Errorf("a body of just the limit: %d", w.Code)
	}
	if w := do(h, "POST", "/fhir/AuditEvent", zipped.String(), "Content-Encoding", "gzip"); w.Code != 201 || string(log.entries[1].Body) != big {
		t.Errorf("gzip: %d", w.Code)
	}
}

func TestErrors(t *testing.T) {
	secret := errors.New("secret cause")
	for _, c := range []struct {
		err    error
		status int
		code   string
		retry  string
	}{
		{hippad.Errorf(hippad.Invalid, "m"), 400, "invalid", ""},
		{hippad.Errorf(hippad.Unauthorised, "m"), 403, "forbidden", ""},
		{hippad.Errorf(hippad.NotFound, "m"), 404, "not-found", ""},
		{hippad.Errorf(hippad.Conflict, "m"), 409, "conflict", ""},
		{hippad.Errorf(hippad.TooLarge, "m"), 413, "too-long", ""},
		{hippad.Errorf(hippad.Busy, "m").WithHint("later"), 503, "throttled", "1"},
		{hippad.Errorf(hippad.Unavailable, "m"), 503, "transient", "10"},
		{fmt.Errorf("wrapped: %w", hippad.Errorf(hippad.Unavailable, "m")), 503, "transient", "10"},
		{secret, 500, "exception", ""},
	} {
		check := func(where string, w *httptest.ResponseRecorder, log *fakeLog) {
			t.Helper()
			text := checkOutcome(t, w, c.status, c.code)
			if strings.Contains(text, "secret") || w.Header().Get("Retry-After") != c.retry || len(log.entries) != 0 || w.Header().Get("Location") != "" {
				t.Errorf("%s, %v: %s, Retry-After %q", where, c.err, text, w.Header().Get("Retry-After"))
			}
		}
		h, log := newHandler()
		log.recordErr = c.err
		check("record", do(h, "POST", "/fhir/AuditEvent", small), log)
		check("record a batch", do(h, "POST", "/fhir", batchOf("batch", small)), log)
		h, log = newHandler()
		log.waitErr = c.err
		check("wait", do(h, "POST", "/fhir/AuditEvent", small), log)
		h, log = newHandler()
		log.searchErr = c.err
		check("search", do(h, "GET", "/fhir/AuditEvent?patient=7", ""), log)
		check("read", do(h, "GET", "/fhir/AuditEvent/0", ""), log)
		h, log = newHandler()
		h.Open = func(*http.Request) (hippad.Session, error) { return nil, c.err }
		for _, target := range []string{"/fhir/AuditEvent", "/fhir", "/fhir/r5/AuditEvent", "/fhir/r5"} {
			check("open", do(h, "POST", target, small), log)
		}
	}
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, log := newHandler()
		log.full = true
		start := time.Now()
		w := do(h, "POST", "/fhir/AuditEvent", small)
		checkOutcome(t, w, 503, "throttled")
		if w.Header().Get("Retry-After") != "1" || time.Since(start) != 5*time.Second {
			t.Errorf("after %v, Retry-After %q", time.Since(start), w.Header().Get("Retry-After"))
		}
		h.Busy = time.Millisecond
		start = time.Now()
		checkOutcome(t, do(h, "POST", "/fhir", batchOf("transaction", small)), 503, "throttled")
		if time.Since(start) != time.Millisecond {
			t.Errorf("after %v", time.Since(start))
		}
	})
}

func TestMethodsAndPaths(t *testing.T) {
	h, log := newHandler()
	h.Open = func(*http.Request) (hippad.Session, error) {
		t.Error("a session was opened")
		return log, nil
	}
	for _, c := range []struct{ method, target, allow string }{
		{"PUT", "/fhir/AuditEvent/0", "GET, HEAD"}, {"DELETE", "/fhir/AuditEvent/0", "GET, HEAD"}, {"PATCH", "/fhir/AuditEvent/0", "GET, HEAD"},
		{"PUT", "/fhir/r5/AuditEvent/0", "GET, HEAD"}, {"DELETE", "/fhir/iti81/AuditEvent/0", "GET, HEAD"}, {"OPTIONS", "/fhir/AuditEvent", "GET, HEAD, POST"},
		{"DELETE", "/fhir/AuditEvent?patient=7", "GET, HEAD, POST"}, {"GET", "/fhir", "POST"}, {"PUT", "/fhir/", "POST"}, {"POST", "/fhir/metadata", "GET, HEAD"},
		{"POST", "/fhir/iti81/AuditEvent", "GET, HEAD"}, {"GET", "/fhir/AuditEvent/_search", "POST"}, {"PUT", "/fhir/r5", "POST"}, {"POST", "/fhir/r5/metadata", "GET, HEAD"},
	} {
		w := do(h, c.method, c.target, "")
		checkOutcome(t, w, 405, "not-supported")
		if got := w.Header().Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.target, got, c.allow)
		}
	}
	for _, target := range []string{"/fhir/Patient", "/fhir/AuditEvent/0/_history/1", "/fhirx", "/fhir/AuditEvent/_search/x", "/fhir/iti81", "/fhir/r4", "/fhir/r5/Patient", "/fhir/r51/AuditEvent"} {
		checkOutcome(t, do(h, "GET", target, ""), 404, "not-found")
	}
	checkOutcome(t, do(h, "POST", "/fhir/iti81", small), 404, "not-found")
}

func TestReadEntry(t *testing.T) {
	h, log := newHandler()
	do(h, "POST", "/fhir/AuditEvent", "\xef\xbb\xbf"+small)
	do(h, "POST", "/fhir/AuditEvent", `{"resourceType":"AuditEvent","id":"x","event":{"type":{"system":"http://hl7.org/fhir/audit-event-type","code":"rest"}},"participant":[{"userId":{"value":"95"}}]}`)
	do(h, "POST", "/fhir/AuditEvent", `{"resourceType":"AuditEvent",`)
	log.entries = append(log.entries, hippad.Entry{Index: 3, Received: time.Date(2026, 11, 22, 11, 0, 0, 5000, time.UTC), Report: hippad.Report{Media: hippad.MediaXML, Body: []byte("7")}})

	w := do(h, "GET", "/fhir/AuditEvent/0", "")
	const want = `{"resourceType":"AuditEvent","id":"0","meta":{"versionId":"1","lastUpdated":"2026-11-22T10:00:00Z","profile":["p"]},` +
		`"type":{"code":"rest"},"recorded":"2026-11-22T09:00:00Z","entity":[{"what":{"reference":"Patient/7"}}],"extra":1.10}`
	if w.Code != 200 || w.Body.String() != want || w.Header().Get("ETag") != `W/"1"` || w.Header().Get("Last-Modified") != "Sun, 22 Nov 2026 10:00:00 GMT" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if got := log.searches[0]; !reflect.DeepEqual(got, hippad.Query{Indexes: []int64{0}, Limit: 1}) {
		t.Error("the reading was not of one entry")
	}
	shown := func(target string) hippad.Event {
		t.Helper()
		w := do(h, "GET", target, "")
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
		validR4Shown(t, w.Body.Bytes())
		ev, is := read(w.Body.Bytes())
		if is != isR4 {
			t.Errorf("%s: not R4: %s", target, w.Body)
		}
		return ev
	}
	if ev := shown("/fhir/AuditEvent/1"); ev.Type != (hippad.Code{System: hippad.SystemEventType, Code: "rest"}) || ev.Agents[0].Who.Identifier.Value != "95" {
		t.Errorf("DSTU2 shown as %s", describeEvent(ev))
	}
	if ev := shown("/fhir/AuditEvent/2"); ev.Type.Code != "object" || !strings.Contains(ev.OutcomeDescription, "not JSON at byte 29") || !ev.Recorded.Equal(log.entries[2].Received) {
		t.Errorf("an unreadable report is shown as %s", describeEvent(ev))
	}
	if ev := shown("/fhir/AuditEvent/3"); ev.Type.System != hippad.SystemDCM || !ev.Entities[0].IsPatient() {
		t.Errorf("DICOM shown as %s", describeEvent(ev))
	}
	for _, id := range []string{"4", "-1", "01", "+1", "abc", "1.0", "99999999999999999999"} {
		checkOutcome(t, do(h, "GET", "/fhir/AuditEvent/"+id, ""), 404, "not-found")
	}
}

type searchset struct {
	Total *int
	Link  []linkJSON
	Entry []struct {
		FullURL  string `json:"fullUrl"`
		Resource struct {
			ResourceType string
			ID           string
			Issue        []issueJSON
		}
		Search struct{ Mode string }
	}
}

func (s searchset) link(relation string) string {
	for _, l := range s.Link {
		if l.Relation == relation {
			return l.URL
		}
	}
	return ""
}

func getSet(t *testing.T, h http.Handler, target string, headers ...string) (s searchset) {
	t.Helper()
	w := do(h, "GET", target, "", headers...)
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != 200 || !strings.HasPrefix(w.Body.String(), `{"resourceType":"Bundle","type":"searchset"`) {
		t.Fatalf("%s: %d %v %s", target, w.Code, err, w.Body)
	}
	return s
}

func TestSearch(t *testing.T) {
	h, log := newHandler()
	for i := range 25 {
		do(h, "POST", "/fhir/AuditEvent", fmt.Sprintf(`{"resourceType":"AuditEvent","recorded":"2026-11-22T09:00:%02dZ","entity":[{"what":{"reference":"Patient/%d"}}]}`, i, i%2))
	}
	all := getSet(t, h, "/fhir/AuditEvent?patient=Patient/1&date=2026-11-22")
	if all.Total == nil || *all.Total != 12 || len(all.Entry) != 12 || all.link("next") != "" || all.Entry[0].Resource.ID != "23" || all.Entry[0].Search.Mode != "match" ||
		all.Entry[0].FullURL != "https://example.com/fhir/AuditEvent/23" {
		t.Errorf("%+v", all)
	}
	// The pages, one after the other, are the whole answer, each by one reading.
	var got []string
	log.searches = nil
	target, pages := "/fhir/AuditEvent?patient=Patient/1&_count=5&patient:Patient=1&foo=bar&patient.identifier=1", 0
	for target != "" {
		s := getSet(t, h, target)
		pages++
		for _, e := range s.Entry {
			if e.Search.Mode == "match" {
				got = append(got, e.Resource.ID)
			} else if pages > 1 || e.Resource.ResourceType != "OperationOutcome" || !strings.Contains(e.Resource.Issue[0].Diagnostics, "foo") {
				t.Errorf("page %d: %+v", pages, e)
			}
		}
		if s.Total != nil {
			t.Error("a part of the answer has a total")
		}
		if target = s.link("next"); target != "" {
			if !strings.HasPrefix(target, "https://example.com/fhir/AuditEvent?_page=") {
				t.Fatalf("next link %q", target)
			}
		}
	}
	want := make([]string, 0, 12)
	for i := 23; i > 0; i -= 2 {
		want = append(want, fmt.Sprint(i))
	}
	if !slices.Equal(got, want) || pages != 3 || len(log.searches) != 3 || log.searches[0].Limit != 6 {
		t.Errorf("%d pages, %d searches: %v", pages, len(log.searches), got)
	}
	if s := getSet(t, h, "/fhir/AuditEvent?patient=none"); len(s.Entry) != 0 || *s.Total != 0 {
		t.Errorf("%+v", s)
	}
	if s := getSet(t, h, "/fhir/AuditEvent?_count=100000"); len(s.Entry) != 25 || log.searches[len(log.searches)-1].Limit != maxCount+1 {
		t.Errorf("%+v", s)
	}
	checkOutcome(t, do(h, "GET", "/fhir/AuditEvent?foo=Miller", "", "Prefer", "handling=strict"), 400, "not-supported")
	if s := getSet(t, h, "/fhir/AuditEvent?foo=Miller", "Prefer", "handling=lenient"); len(s.Entry) != 26 {
		t.Errorf("%d entries", len(s.Entry))
	}
	for _, bad := range []string{"date=Miller", "patient=", "_count=x", "action=Miller", "patient=%zz", "_id=Miller"} {
		if text := checkOutcome(t, do(h, "GET", "/fhir/AuditEvent?"+bad, ""), 400, "invalid"); strings.Contains(text, "Miller") {
			t.Errorf("%s: quoted: %s", bad, text)
		}
	}
}

// A page of large reports ends early and still leads on to all of them.
func TestSearchLargeReports(t *testing.T) {
	h, log := newHandler()
	body := make([]byte, 12<<20)
	for i := range int64(5) {
		log.entries = append(log.entries, hippad.Entry{Index: i, Report: hippad.Report{Media: hippad.MediaUnknown, Body: body}})
	}
	s := getSet(t, h, "/fhir/AuditEvent")
	if len(s.Entry) != 3 || s.link("next") == "" || s.Total != nil {
		t.Fatalf("%d entries, next %q", len(s.Entry), s.link("next"))
	}
	if s = getSet(t, h, s.link("next")); len(s.Entry) != 2 || s.link("next") != "" {
		t.Errorf("%d entries, next %q", len(s.Entry), s.link("next"))
	}
}

// What was destroyed is gone, and not unknown: its index and its proof are still there.
func TestDestroyed(t *testing.T) {
	h, log := newHandler()
	log.entries = []hippad.Entry{
		{Index: 0, Report: hippad.Report{Media: hippad.MediaXML, Body: []byte("4711")}},
		{Index: 1, Destroyed: true, Report: hippad.Report{Media: hippad.MediaXML}},
	}
	checkOutcome(t, do(h, "GET", "/fhir/AuditEvent/1", ""), http.StatusGone, "deleted")
	if s := getSet(t, h, "/fhir/AuditEvent?_id=0,1"); len(s.Entry) != 1 || s.Total == nil || *s.Total != 1 {
		t.Errorf("found %+v, want the one that is still there", s)
	}
}

func TestDeny(t *testing.T) {
	h, _ := newHandler()
	w := httptest.NewRecorder()
	h.Deny(w, httptest.NewRequest("GET", "/fhir/AuditEvent", nil), http.StatusUnauthorized, hippad.Errorf(hippad.Unauthorised, "who are you?"))
	checkOutcome(t, w, http.StatusUnauthorized, "login")
	w = httptest.NewRecorder()
	h.Deny(w, httptest.NewRequest("GET", "/fhir/AuditEvent", nil), http.StatusForbidden, hippad.Errorf(hippad.Unauthorised, "not you"))
	checkOutcome(t, w, http.StatusForbidden, "forbidden")
	w = httptest.NewRecorder()
	h.Deny(w, httptest.NewRequest("GET", "/fhir/AuditEvent?_format=xml", nil), http.StatusForbidden, hippad.Errorf(hippad.Unauthorised, "not you"))
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `<code value="forbidden"/>`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
