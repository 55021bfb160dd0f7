package fhir

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
)

// dated adds reports about a patient, whose event times go back and forth.
func dated(t *testing.T, h *Handler, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		body := fmt.Sprintf(`{"resourceType":"AuditEvent","recorded":"2026-11-22T09:00:%02dZ","entity":[{"what":{"reference":"Patient/Miller"}}]}`, (i*7)%20)
		if w := do(h, "POST", "/fhir/AuditEvent", body); w.Code != 201 {
			t.Fatal(w.Code)
		}
	}
}

// pages follows the next links to the end, calling each time before it does.
func pages(t *testing.T, h *Handler, target string, each func(searchset)) (ids []string) {
	t.Helper()
	for target != "" {
		s := getSet(t, h, target)
		for _, e := range s.Entry {
			ids = append(ids, e.Resource.ID)
		}
		each(s)
		target = s.link("next")
		if len(ids) > 1000 {
			t.Fatal("the pages do not end")
		}
	}
	return ids
}

// Pages, put together, are what there was when the first was asked for, in any order, whatever arrives meanwhile.
func TestPagesAreStable(t *testing.T) {
	for _, order := range []string{"", "date", "-date", "_lastUpdated", "-_lastUpdated", "_id"} {
		for _, path := range []string{"/fhir", "/fhir/r5", "/fhir/iti81"} {
			h, _ := newHandler()
			now := time.Date(2026, 11, 22, 10, 0, 0, 20_000, time.UTC) // twenty entries of the fake log later
			h.Now = func() time.Time { return now }
			dated(t, h, 0, 20)
			target := path + "/AuditEvent?_count=3&date=2026"
			if order != "" {
				target += "&_sort=" + order
			}
			whole := getSet(t, h, strings.Replace(target, "_count=3", "_count=100", 1))
			var want []string
			for _, e := range whole.Entry {
				want = append(want, e.Resource.ID)
			}
			filled := false
			got := pages(t, h, target, func(searchset) {
				if !filled { // what the log takes after the first page
					filled = true
					now = now.Add(time.Hour)
					for range 25 {
						do(h, "POST", "/fhir/AuditEvent", `{"resourceType":"Patient"}`)
					}
					h.KeepRefused = true
					for range 20 {
						do(h, "POST", "/fhir/AuditEvent", `{"resourceType":"Patient"}`)
					}
					dated(t, h, 20, 45)
				}
			})
			if !slices.Equal(got, want) || len(want) != 20 {
				t.Errorf("%s by %q:\n got %v\nwant %v", path, order, got, want)
			}
		}
	}
}

// A search that puts new entries at its end ends, although every page is read by a search that is an entry itself.
func TestPagesEnd(t *testing.T) {
	h, _ := newHandler()
	now := time.Date(2026, 11, 22, 10, 0, 0, 5_000, time.UTC)
	h.Now = func() time.Time { return now }
	dated(t, h, 0, 5)
	ids := pages(t, h, "/fhir/AuditEvent?_count=1&_sort=_id", func(searchset) { dated(t, h, 5, 6) })
	if !slices.Equal(ids, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("%v", ids)
	}
}

func TestLinks(t *testing.T) {
	h, _ := newHandler()
	dated(t, h, 0, 7)
	const asked = "/AuditEvent?patient=Patient/Miller&_count=2&nonsense=1"
	for _, c := range []struct{ base, path, root string }{
		{"", "/fhir", "https://example.com"}, {"https://audit.example/log/", "/fhir", "https://audit.example/log"}, {"https://audit.example", "/fhir/r5", "https://audit.example"},
	} {
		h.Base = c.base
		first := getSet(t, h, c.path+asked, "X-Forwarded-Host", "inner.example", "Forwarded", "host=inner.example")
		second := getSet(t, h, strings.TrimPrefix(first.link("next"), c.root))
		start := c.root + c.path + "/AuditEvent?"
		if want := start + "_count=2&patient=Patient%2FMiller"; first.link("self") != want || first.link("first") != want {
			t.Errorf("self %s, first %s, want %s", first.link("self"), first.link("first"), want)
		}
		if second.link("self") != first.link("next") {
			t.Errorf("self of the second page: %s", second.link("self"))
		}
		for _, link := range []string{first.link("next"), second.link("next"), second.link("first")} {
			token, ok := strings.CutPrefix(link, start+"_page=")
			text, err := base64.RawURLEncoding.DecodeString(token)
			if !ok || err != nil || bytes.Contains(text, []byte("Miller")) || bytes.Contains(text, []byte("patient")) || strings.Contains(link, "inner") {
				t.Errorf("%s: %v", link, err)
			}
		}
		again := getSet(t, h, strings.TrimPrefix(second.link("first"), c.root))
		if len(again.Entry) != 2 || again.Entry[0].Resource.ID != "6" || again.link("next") == "" || first.Entry[0].FullURL != c.root+c.path+"/AuditEvent/6" {
			t.Errorf("first: %+v", again)
		}
	}
}

// What is asked by POST stays out of every address.
func TestSearchByPost(t *testing.T) {
	h, _ := newHandler()
	dated(t, h, 0, 7)
	form := []string{"Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"}
	w := do(h, "POST", "/fhir/AuditEvent/_search?_count=2", "patient=Patient%2FMiller&date=ge2026", form...)
	var s searchset
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Code != 200 || len(s.Entry) != 2 {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	for _, relation := range []string{"self", "first", "next"} {
		link := s.link(relation)
		if !strings.HasPrefix(link, "https://example.com/fhir/AuditEvent?_page=") {
			t.Errorf("%s: %s", relation, link)
		}
		want := map[string]string{"self": "6", "first": "6", "next": "4"}[relation]
		if got := getSet(t, h, link); len(got.Entry) != 2 || got.Entry[0].Resource.ID != want {
			t.Errorf("%s: %+v", relation, got)
		}
	}
	checkOutcome(t, do(h, "POST", "/fhir/AuditEvent/_search", small), 415, "not-supported")
	checkOutcome(t, do(h, "POST", "/fhir/AuditEvent/_search", "patient=%zz", form...), 400, "invalid")
	checkOutcome(t, do(h, "POST", "/fhir/AuditEvent/_search", "patient=", form...), 400, "invalid")
	var refused int64
	h.Refuse = func(_ hippad.Session, size, limit int64) { refused = size }
	checkOutcome(t, do(h, "POST", "/fhir/AuditEvent/_search", strings.Repeat("a", 5*maxQuery), form...), 413, "too-long")
	if refused <= 4*maxQuery {
		t.Errorf("refused %d", refused)
	}
	checkOutcome(t, do(h, "POST", "/fhir/iti81/AuditEvent/_search", "patient=7", form...), 400, "required")
	if w := do(h, "POST", "/fhir/iti81/AuditEvent/_search", "date=2026", form...); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

// Only what this log has sealed is a page, and only at the base that sealed it.
func TestTokens(t *testing.T) {
	h, _ := newHandler()
	other, _ := newHandler()
	dated(t, h, 0, 5)
	dated(t, other, 0, 5)
	token := func(h *Handler, path string) string {
		_, token, _ := strings.Cut(getSet(t, h, path+"/AuditEvent?_count=2&date=2026").link("next"), "_page=")
		return token
	}
	good := token(h, "/fhir")
	if s := getSet(t, h, "/fhir/AuditEvent?_page="+good+"&_format=json"); len(s.Entry) != 2 {
		t.Fatalf("%+v", s)
	}
	bent := []byte(good)
	bent[len(bent)/2] ^= 1
	for name, query := range map[string]string{
		"another key": token(other, "/fhir"), "another base": token(h, "/fhir/iti81"), "bent": string(bent), "cut": good[:len(good)-4], "none": "", "no token": "Miller", "no base64": "%21%21",
		"an index": "5", "twice": good + "&_page=" + good, "with more": good + "&patient=Miller", "padded": good + "=",
	} {
		if text := checkOutcome(t, do(h, "GET", "/fhir/AuditEvent?_page="+query, ""), 400, "invalid"); !strings.Contains(text, "_page") || strings.Contains(text, "Miller") {
			t.Errorf("%s: %s", name, text)
		}
	}
	// With keys of somebody else.
	h.Seal = func(text []byte) []byte { return append([]byte("sealed:"), bytes.ToUpper(text)...) }
	h.Unseal = func(text []byte) ([]byte, error) {
		text, ok := bytes.CutPrefix(text, []byte("sealed:"))
		if !ok {
			return nil, errors.New("not ours")
		}
		return bytes.ToLower(text), nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token(h, "/fhir"))
	if err != nil || !bytes.HasPrefix(text, []byte("sealed:")) {
		t.Errorf("%q %v", text, err)
	}
	checkOutcome(t, do(h, "GET", "/fhir/AuditEvent?_page="+good, ""), 400, "invalid")
}

func TestTotals(t *testing.T) {
	h, log := newHandler()
	dated(t, h, 0, 7)
	for query, want := range map[string]int{
		"": 7, "_count=7": 7, "_count=2": -1, "_count=2&_total=accurate": 7, "_count=2&_total=estimate": 7, "_total=none": -1, "_count=7&_total=none": -1,
		"_summary=count": 7, "_count=0": 7, "_summary=count&_total=none": 7, "_summary=count&_count=2": 7, "patient=none": 0, "patient=none&_summary=count": 0,
		"_sort=date&_count=2&_total=accurate": 7, "_id=1,2,99&_total=accurate": 2,
	} {
		log.searches = nil
		s := getSet(t, h, "/fhir/AuditEvent?"+query)
		if got := s.Total; (got == nil) != (want < 0) || got != nil && *got != want {
			t.Errorf("%q: total %v, want %d", query, got, want)
		}
		values, _ := url.ParseQuery(query)
		if counting := values.Get("_summary") == "count" || values.Get("_count") == "0"; counting && (len(s.Entry) != 0 || s.link("next") != "") {
			t.Errorf("%q: entries %d", query, len(s.Entry))
		}
		if len(log.searches) != 1 {
			t.Errorf("%q: %d readings", query, len(log.searches))
		}
	}
	// The pages after the first know the number without counting again.
	log.searches = nil
	n := 0
	pages(t, h, "/fhir/AuditEvent?_count=2&_total=accurate", func(s searchset) {
		if n++; s.Total == nil || *s.Total != 7 {
			t.Errorf("page %d: total %v", n, s.Total)
		}
		if limit := log.searches[n-1].Limit; (limit == 0) != (n == 1) {
			t.Errorf("page %d: limit %d", n, limit)
		}
	})
	if n != 4 {
		t.Errorf("%d pages", n)
	}
}

// What has no effect is said in the answer, and is an error for who is strict.
func TestNotes(t *testing.T) {
	h, _ := newHandler()
	dated(t, h, 0, 1)
	for query, want := range map[string][]string{
		"foo=1&zoo:bar=2":                                      {"foo, zoo:bar"},
		"encounter=1&category=2":                               {"category, encounter"},
		"_include=AuditEvent:patient&_include=*":               {"_include"},
		"_summary=true":                                        {"_summary"},
		"_include=AuditEvent:agent&foo=1":                      {"_include", "foo"},
		"_summary=false&_format=json&_pretty=true&_total=none": nil,
	} {
		s := getSet(t, h, "/fhir/AuditEvent?"+query)
		if len(s.Entry) != 1+min(1, len(want)) {
			t.Errorf("%s: %d entries", query, len(s.Entry))
			continue
		}
		if want == nil {
			continue
		}
		e := s.Entry[1]
		if e.Search.Mode != "outcome" || !strings.HasPrefix(e.FullURL, "urn:uuid:") || len(e.Resource.Issue) != len(want) {
			t.Errorf("%s: %+v", query, e)
			continue
		}
		for i, text := range want {
			if issue := e.Resource.Issue[i]; issue.Severity != "warning" || !strings.Contains(issue.Diagnostics, text) {
				t.Errorf("%s: %+v", query, issue)
			}
		}
	}
	long := strings.Repeat("x", 100)
	text := checkOutcome(t, do(h, "GET", "/fhir/r5/AuditEvent?subtype=Miller&address=Miller&"+long+"=1", "", "Prefer", "respond-async, handling=strict"), 400, "not-supported")
	if !strings.Contains(text, "address, subtype, xxx") || strings.Contains(text, "Miller") || strings.Contains(text, long) {
		t.Error(text)
	}
	if w := do(h, "GET", "/fhir/AuditEvent?encounter=1", "", "Prefer", "handling=strict"); w.Code != 400 {
		t.Errorf("a parameter of R5 in R4: %d", w.Code)
	}
	if w := do(h, "GET", "/fhir/r5/AuditEvent?encounter=1&outcome=success", "", "Prefer", "handling=strict"); w.Code != 200 {
		t.Errorf("a parameter of R5 in R5: %d", w.Code)
	}
}

// ITI-81 has a date; the general base does without one.
func TestITI81(t *testing.T) {
	h, log := newHandler()
	dated(t, h, 0, 3)
	log.searches = nil
	for _, query := range []string{"", "patient=7", "_lastUpdated=2026", "date:missing=true", "_id=1"} {
		w := do(h, "GET", "/fhir/iti81/AuditEvent?"+query, "")
		if text := describeOutcome(t, w.Body.Bytes()); w.Code != 400 || !strings.Contains(text, "parameter date") {
			t.Errorf("%s: %d %s", query, w.Code, text)
		}
	}
	if len(log.searches) != 0 {
		t.Error("searched all the same")
	}
	for _, query := range []string{"date=ge2026-11-01&date=le2026-11-30", "date=2026-11-22&patient.identifier=Miller&_count=1"} {
		if s := getSet(t, h, "/fhir/iti81/AuditEvent?"+query); len(s.Entry) == 0 || !strings.HasPrefix(s.Entry[0].FullURL, "https://example.com/fhir/iti81/AuditEvent/") {
			t.Errorf("%s: %+v", query, s)
		}
	}
}

func describeOutcome(t *testing.T, body []byte) string {
	t.Helper()
	var o outcomeJSON
	if err := json.Unmarshal(body, &o); err != nil || len(o.Issue) == 0 {
		t.Fatalf("%v %s", err, body)
	}
	return o.Issue[0].Diagnostics
}
