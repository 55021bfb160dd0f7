package atna

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hippad"
)

// A shelf is a session over a few entries. It answers queries as hippad.Query.Matches has it.
type shelf struct {
	entries []hippad.Entry
	queries []hippad.Query
	err     error // of every search
}

func (s *shelf) Record(context.Context, hippad.Frame) (hippad.Wait, error) {
	return nil, errors.New("nobody records here")
}

func (s *shelf) Receipt(context.Context, int64) (hippad.Receipt, error) {
	return nil, errors.New("no receipts here")
}

func (s *shelf) Search(_ context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
	s.queries = append(s.queries, q)
	return func(yield func(hippad.Entry, error) bool) {
		if s.err != nil {
			yield(hippad.Entry{}, s.err)
			return
		}
		n := 0
		for _, e := range slices.Backward(s.entries) {
			if q.Matches(e, ReadSyslog(e.Body, nil)) {
				if n++; !yield(e, nil) || n == q.Limit {
					return
				}
			}
		}
	}
}

func (s *shelf) add(media, body string) {
	i := int64(len(s.entries))
	s.entries = append(s.entries, hippad.Entry{Index: i, Received: time.Date(2026, 11, 22, 9, 0, int(i), 0, time.UTC), Door: hippad.DoorSyslogTLS,
		Report: hippad.Report{Media: media, Body: []byte(body)}})
}

// newShelf has five syslog messages at indexes 0 to 4, and one that is none.
func newShelf() *shelf {
	s := &shelf{}
	s.add(hippad.MediaSyslog, "<85>1 2026-11-20T10:00:00Z pacs exporter 77 IHE+RFC-3881 - "+strings.Replace(audit, "2024-01-02T03:04:05Z", "2026-11-20T09:59:59Z", 1))
	s.add(hippad.MediaSyslog, "<84>1 2026-11-21T10:00:00.5+01:00 pacs,2 viewer - DICOM+RFC3881 [a b=\"c\"] hello\x01")
	s.add(hippad.MediaSyslog, "<34>1 2026-11-22T10:00:00Z mail su - - - \xff")
	s.add(hippad.MediaSyslog, "<13>Nov 22 10:00:00 old ftpd[9]: x<y>&")
	s.add(hippad.MediaSyslog, "nothing at all")
	s.add(hippad.MediaFHIRJSON, "{}")
	s.entries[2].Fault = hippad.Truncated
	return s
}

// ask makes one request.
func ask(t *testing.T, h http.Handler, method, query string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "/fhir/syslogsearch?"+query, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
		t.Errorf("%s %s: headers %v", method, query, w.Header())
	}
	return w
}

func search82(s *shelf) *SyslogSearch {
	return &SyslogSearch{Open: func(*http.Request) (hippad.Session, error) { return s, nil }}
}

// indexes reads which entries an answer in JSON has.
func indexes(t *testing.T, w *httptest.ResponseRecorder) []int64 {
	t.Helper()
	var list []message
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	got := []int64{}
	for _, m := range list {
		got = append(got, m.Index)
	}
	return got
}

func TestSyslogSearchFinds(t *testing.T) {
	const all = "date=ge2000&"
	for query, want := range map[string][]int64{
		"date=ge2000":                 {4, 3, 2, 1, 0},
		"date=2026-11-20":             {0},
		"date=eq2026-11-20T09:59:59Z": {0}, // the time of the event, not of the header
		"date=ge2026-11-20T10:00:00Z&date=lt2026-11-22T10:00:00Z": {4, 3, 1},
		"date=gt2026-11-22":                          {},
		"date=le2026-11-21":                          {1, 0},
		"date=2026-11-20,2026-11-21":                 {1, 0},
		"date=sa2026-11-20&date=eb2026-11-22":        {1},
		"date=2026-11-21T10:00:00.5%2B01:00":         {1},
		"date=2026-11-21T10:00:00.5+01:00":           {1}, // a plus sign that nobody escaped
		"date=lt2026-11-20T09:59Z":                   {},
		all + "pri=85":                               {0},
		all + "pri=85,84":                            {1, 0},
		all + "facility=10":                          {1, 0},
		all + "facility=4,1":                         {3, 2},
		all + "severity=5":                           {3, 0},
		all + "severity=2&facility=4":                {2},
		all + "severity=2&facility=10":               {},
		all + "version=1":                            {2, 1, 0},
		all + "version=0":                            {4, 3},
		all + "hostname=pacs":                        {0},
		all + "hostname=PACS":                        {},
		all + "hostname=pacs,mail":                   {2, 0},
		all + "HOSTNAME=mail&APP-NAME=su":            {2},
		all + "app-name=su&app-name=viewer":          {},
		all + "procid=9":                             {3},
		all + "procid=-":                             {4, 2, 1},
		all + "procid=-,77":                          {4, 2, 1, 0},
		all + "msgid=IHE%2BRFC-3881,DICOM%2BRFC3881": {1, 0},
		all + "timestamp=2026-11-21":                 {1},
		all + "timestamp=ge2026-11-21":               {2, 1},
		all + "_count=2":                             {4, 3},
		all + "_count=5000":                          {4, 3, 2, 1, 0},
		all + "nonsense=1":                           {4, 3, 2, 1, 0},
	} {
		s := newShelf()
		if got := indexes(t, ask(t, search82(s), "GET", query)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
		if len(s.queries) != 1 || s.queries[0].Terms[0][0] != hippad.NewTerm(hippad.FieldMedia, hippad.MediaSyslog) || len(s.queries[0].Times) == 0 {
			t.Errorf("%s: asked %d times", query, len(s.queries))
		}
	}
}

func TestSyslogSearchRefuses(t *testing.T) {
	for query, want := range map[string]string{
		"":                              "parameter date",
		"hostname=pacs":                 "parameter date",
		"date=":                         "parameter date",
		"date=yesterday":                "parameter date",
		"date=ne2026":                   "parameter date",
		"date=2026-13":                  "parameter date",
		"date=2026-11-22T10:00:00,5Z":   "parameter date",
		"date=ge2026,":                  "parameter date",
		"date=2026&pri=192":             "parameter pri",
		"date=2026&pri=-1":              "parameter pri",
		"date=2026&facility=24":         "parameter facility",
		"date=2026&severity=warning":    "parameter severity",
		"date=2026&severity=":           "parameter severity",
		"date=2026&version=1.0":         "parameter version",
		"date=2026&hostname=":           "parameter hostname",
		"date=2026&msgid=a,,b":          "parameter msgid",
		"date=2026&timestamp=x":         "parameter timestamp",
		"date=2026&_count=0":            "parameter _count",
		"date=2026&_count=many":         "parameter _count",
		"date=2026&_page=5":             "parameter _page",
		"date=2026&_page=AQA&_page=AQA": "parameter _page",
		"date=2026&%zz":                 "not well-formed",
		"date=2026&pri=" + strings.Repeat("1,", 1000) + "1": "more than 1000",
	} {
		s := newShelf()
		for _, form := range []string{"application/json", "application/xml"} {
			w := ask(t, search82(s), "GET", query, "Accept", form)
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), "OperationOutcome") {
				t.Errorf("%.60s: %d %s", query, w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "yesterday") || strings.Contains(w.Body.String(), "warning\"") {
				t.Errorf("%s: the answer repeats a value", query)
			}
		}
		if len(s.queries) > 0 {
			t.Errorf("%s: the log was read", query)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		if w := ask(t, search82(newShelf()), method, "date=2026"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if w := ask(t, search82(newShelf()), "HEAD", "date=2026"); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
}

func TestSyslogSearchErrorsOfTheLog(t *testing.T) {
	var log strings.Builder
	for err, want := range map[error]int{
		hippad.Errorf(hippad.Unauthorised, "not yours"): 403, hippad.Errorf(hippad.Busy, "wait"): 503, hippad.Errorf(hippad.Unavailable, "later"): 503,
		errors.New("patient 4711 is on fire"): 500, hippad.Errorf(hippad.NotFound, "gone").WithHint("look"): 404,
	} {
		h := search82(&shelf{err: err})
		h.Log = slog.New(slog.NewTextHandler(&log, nil))
		w := ask(t, h, "GET", "date=2026&_count=1")
		if w.Code != want || strings.Contains(w.Body.String(), "4711") || (want == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
		h.Open = func(*http.Request) (hippad.Session, error) { return nil, err }
		if w := ask(t, h, "GET", "date=2026"); w.Code != want {
			t.Errorf("opening, %v: %d", err, w.Code)
		}
	}
	if !strings.Contains(log.String(), "on fire") {
		t.Error("an internal error is not in the log")
	}
}

func TestSyslogSearchUnknownParameters(t *testing.T) {
	w := ask(t, search82(newShelf()), "GET", "date=2026&zone=1&zone=2&b%0d%0aSet-Cookie:x=1&_pretty=true&_format=json")
	if got := w.Header().Get("X-Ignored-Parameters"); w.Code != 200 || got != "b%0D%0ASet-Cookie%3Ax, zone" {
		t.Errorf("%d %q", w.Code, got)
	}
	w = ask(t, search82(newShelf()), "GET", "date=2026&zone=1", "Prefer", "respond-async, handling=strict")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "zone") {
		t.Errorf("strict: %d %s", w.Code, w.Body)
	}
	if w := ask(t, search82(newShelf()), "GET", "date=2026&_count=1", "Prefer", "handling=strict"); w.Code != 200 {
		t.Errorf("strict, nothing unknown: %d", w.Code)
	}
}

func TestSyslogSearchNegotiates(t *testing.T) {
	for _, c := range []struct{ accept, format, want string }{
		{"", "", "application/json"}, {"*/*", "", "application/json"}, {"application/json", "", "application/json"},
		{"application/xml", "", "application/xml; charset=utf-8"}, {"text/xml;q=0.5, application/json;q=0.4", "", "application/xml; charset=utf-8"},
		{"application/json;q=0, application/fhir+xml", "", "application/xml; charset=utf-8"}, {"image/png, */*;q=0.1", "", "application/json"},
		{"application/json", "xml", "application/xml; charset=utf-8"}, {"image/png", "application/fhir+json", "application/json"},
		{"image/png", "", ""}, {"", "html", ""}, {"application/json;q=0", "", ""},
	} {
		w := ask(t, search82(newShelf()), "GET", "date=2026&_format="+c.format, "Accept", c.accept)
		switch {
		case c.want == "" && w.Code == http.StatusNotAcceptable:
		case w.Code != 200 || w.Header().Get("Content-Type") != c.want:
			t.Errorf("%+v: %d %s", c, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

func TestSyslogSearchAnswers(t *testing.T) {
	s := newShelf()
	w := ask(t, search82(s), "GET", "date=ge2000", "X-Request-Id", "r-1")
	var list []message
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Header().Get("X-Request-Id") != "r-1" {
		t.Fatal(err, w.Header())
	}
	w = ask(t, search82(s), "GET", "date=ge2000&_format=xml")
	var doc struct {
		Messages []message `xml:"SyslogMessage"`
	}
	if err := xml.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if len(list) != 5 || len(doc.Messages) != 5 {
		t.Fatalf("%d and %d messages", len(list), len(doc.Messages))
	}
	for i, inXML := range doc.Messages {
		m := list[i]
		e := s.entries[m.Index]
		for _, x := range []message{m, inXML} {
			body := x.Text
			if x.Base64 != "" {
				b, err := base64.StdEncoding.DecodeString(x.Base64)
				if err != nil || x.Text != "" {
					t.Fatal(err)
				}
				body = string(b)
			}
			if body != string(e.Body) || x.Receipt != fmt.Sprintf("/log/receipt/%d", e.Index) || !x.Received.Equal(e.Received) {
				t.Errorf("entry %d: %+v", e.Index, x)
			}
		}
		if inXML.Text, inXML.Base64 = m.Text, m.Base64; fmt.Sprint(inXML.Timestamp, inXML.Hostname, inXML.AppName, inXML.StructuredData, inXML.Fault) !=
			fmt.Sprint(m.Timestamp, m.Hostname, m.AppName, m.StructuredData, m.Fault) {
			t.Errorf("entry %d: XML and JSON differ", e.Index)
		}
	}
	m := list[3] // entry 1
	if *m.Pri != 84 || *m.Facility != 10 || *m.Severity != 4 || m.Version != 1 || m.Timestamp != "2026-11-21T09:00:00.5Z" || m.Hostname != "pacs,2" ||
		m.AppName != "viewer" || m.ProcID != "" || m.MsgID != "DICOM+RFC3881" || m.StructuredData != `[a b="c"]` || list[2].Fault != "truncated" ||
		list[2].Base64 == "" || list[0].Pri != nil {
		t.Errorf("%+v", m)
	}
	if w := ask(t, search82(s), "GET", "date=1999"); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("nothing found: %s", w.Body)
	}
}

var nextLink = regexp.MustCompile(`^<([^>]*)\?([^>]*)>; rel="next"$`)

// TestSyslogSearchPages follows the links: every message comes once, also when more arrive in between.
func TestSyslogSearchPages(t *testing.T) {
	s := &shelf{}
	want := []int64{}
	for i := range 25_000 {
		s.add(hippad.MediaSyslog, fmt.Sprintf("<%d>1 2026-11-20T10:00:00Z h a - m - secret", cmp.Or(i%5000, 1)%192))
	}
	for i := range slices.Backward(s.entries) {
		if p, _ := parseHeader(string(s.entries[i].Body)); p.Priority == 85 {
			want = append(want, int64(i))
		}
	}
	h := search82(s)
	h.Base = "https://audit.example.org/"
	query := "date=ge2026&pri=85&_count=7&x=secret"
	var got []int64
	pages := 0
	for query != "" {
		w := ask(t, h, "GET", query)
		got = append(got, indexes(t, w)...)
		query = ""
		if m := nextLink.FindStringSubmatch(w.Header().Get("Link")); m != nil {
			query = m[2]
			if m[1] != "https://audit.example.org/fhir/syslogsearch" || strings.Contains(query, "secret") {
				t.Fatalf("link to %s?%s", m[1], query)
			}
		}
		if pages++; pages == 3 {
			s.add(hippad.MediaSyslog, "<85>1 2026-11-20T10:00:00Z h a - m - x")
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d of %d messages in %d pages", len(got), len(want), pages)
	}
	// Rare messages: a page ends after what it may look at, and the next goes on.
	if w := ask(t, h, "GET", "date=2026&version=7"); len(indexes(t, w)) != 0 || w.Header().Get("Link") == "" {
		t.Errorf("looking for what is not there: %v", w.Header())
	}
}

// FuzzSyslogSearchQuery: any query is answered or refused, the page that a link leads to is understood, and what is answered was asked for.
func FuzzSyslogSearchQuery(f *testing.F) {
	for _, q := range []string{"date=ge2026-11-01&date=lt2026-12-01", "date=2026&pri=85,84&hostname=-&_count=1", "DATE=eq2026-11-22T10:00:00.5Z&msgid=a",
		"date=le9999&timestamp=gt0001&_format=xml&x=y&_page=AQI"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		first, err := parseSearch(values)
		if err != nil {
			if hippad.KindOf(err) != hippad.Invalid {
				t.Fatalf("%v is not the caller's fault", err)
			}
			return
		}
		if len(first.query.Times) == 0 || first.count < 1 || first.count > maxCount {
			t.Fatal("a search without a bound")
		}
		s := newShelf()
		found, next, err := collectMessages(t.Context(), s, first)
		if err != nil || len(found) > first.count {
			t.Fatal(err, len(found))
		}
		for _, m := range found {
			e := s.entries[m.Index]
			if !first.query.Matches(e, ReadSyslog(e.Body, nil)) || !first.met(&m.header) {
				t.Fatalf("entry %d was not asked for", m.Index)
			}
		}
		if next < 0 {
			return
		}
		for name := range values {
			if strings.EqualFold(name, pageParameter) {
				delete(values, name)
			}
		}
		values.Set(pageParameter, pageToken(next))
		second, err := parseSearch(values)
		if err != nil || second.query.Before == nil || *second.query.Before != next {
			t.Fatalf("the next page is not understood: %v", err)
		}
	})
}
