package web_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/web"
)

func (h *house) as(kind hippad.PrincipalKind, roles ...hippad.Role) {
	h.do(func() {
		h.fixed = &hippad.Caller{Principal: hippad.Principal{Kind: kind, ID: "rita"}, Grant: hippad.Grant{Roles: roles, Patient: "Patient/7"}}
	})
}

// fill puts n entries in the log: about two patients, by turns.
func (h *house) fill(n int) {
	h.t.Helper()
	for i := range n {
		patient := []string{"7", "8"}[i%2]
		ev := hippad.Event{
			Type: hippad.Code{System: "DCM", Code: "110110", Display: "Patient Record"}, Action: "R", Outcome: "0",
			Recorded: time.Date(2026, 11, 1+i/24, i%24, 0, 0, 0, time.UTC),
			Agents:   []hippad.Agent{{Name: "Dr " + hostle, Requestor: true, Who: hippad.Reference{Identifier: hippad.Identifier{Value: "doc1"}}}},
			Source:   hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: "ward\u202e" + hostle}}},
			Entities: []hippad.Entity{{Name: secret, Role: hippad.Code{Code: "1"}, What: hippad.Reference{Identifier: hippad.Identifier{Value: patient}},
				Query: []byte("<b>query</b>"), Details: []hippad.Detail{{Type: "<i>", Value: []byte("\x00" + hostle)}}}},
		}
		body, _ := json.Marshal(ev)
		h.entries = append(h.entries, hippad.Entry{Index: int64(i), Received: ev.Recorded, Door: hippad.DoorFHIR,
			Reporter: hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:00", Name: hostle}, Report: hippad.Report{Media: hippad.MediaFHIRJSON, Body: body}})
	}
}

// silentAbout fails the test if a word stands where patient data must not.
func (h *house) silentAbout(p page, word string) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if strings.Contains(h.log.String(), word) || strings.Contains(p.url.String(), url.QueryEscape(word)) || strings.Contains(fmt.Sprint(p.header), word) {
		h.t.Errorf("%q is in the log, an address or a header: %s %s", word, p.url, h.log.String())
	}
}

func TestSearch(t *testing.T) {
	h := open(t)
	h.fill(180)
	h.as(hippad.KindPerson, hippad.RoleReviewer)
	h.get("/search").want(200, "Every search is itself an entry")
	if len(h.queries) != 0 {
		t.Error("the empty form has searched")
	}
	var seen []string
	p := h.post("/search", "patient", "7", "agent", "DOC1", "from", "2026-11-01", "to", "2026-11-30").want(200, "Found", secret, "Patient Record (110110), read", "Dr <script>")
	for {
		for line := range strings.SplitSeq(p.text, "\n") {
			if _, rest, ok := strings.Cut(line, `href="/entries/`); ok {
				i, _, _ := strings.Cut(rest, `"`)
				seen = append(seen, i)
			}
		}
		h.silentAbout(p, secret)
		if p.url.RawQuery != "" || p.url.Path != "/search" {
			t.Errorf("%s", p.url)
		}
		if !strings.Contains(p.text, "Older entries") {
			break
		}
		p = h.post("/search", "patient", p.hidden("patient"), "agent", p.hidden("agent"), "from", p.hidden("from"), "to", p.hidden("to"), "before", p.hidden("before")).want(200, "from entry")
	}
	var want []string
	for i := 178; i >= 0; i -= 2 {
		want = append(want, fmt.Sprint(i))
	}
	if !slices.Equal(seen, want) {
		t.Errorf("%d found: %v", len(seen), seen)
	}
	for _, q := range h.queries {
		if q.Limit > 100 || q.Limit == 0 || len(q.Terms) != 2 || !q.To.Equal(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v", q)
		}
	}
	h.post("/search", "patient", "9").want(200, "Nothing found")
	asked := len(h.queries)
	for what, bad := range map[string][]string{
		"day":          {"from", "23.11.2026"},
		"no such day":  {"to", "2026-02-30"},
		"upside down":  {"from", "2026-11-02", "to", "2026-11-01"},
		"cursor":       {"before", "-1"},
		"cursor again": {"before", "99999999999999999999"},
		"long":         {"patient", strings.Repeat("x", 513)},
	} {
		if p := h.post("/search", bad...); p.status != 400 {
			t.Errorf("%s: %d", what, p.status)
		}
	}
	// What stands in the address of a POST counts for nothing, and a GET searches nothing.
	h.send("POST", "/search?patient=7", url.Values{"patient": {"9"}}).want(200, "Nothing found")
	h.send("GET", "/search?patient=7", nil).want(200)
	if len(h.queries) != asked+1 {
		t.Errorf("%d searches", len(h.queries)-asked)
	}
	h.post("/search", "patient", strings.Repeat("x", 70<<10)).want(413)

	h.do(func() { h.broken = fmt.Errorf("read block: %w", errors.New("checksum")) })
	h.post("/search", "patient", secret).want(500, "Internal error")
	h.do(func() { h.broken = hippad.Errorf(hippad.Unavailable, "the log takes no writes now") })
	h.silentAbout(h.post("/search", "patient", secret).want(503, "The log takes no writes now"), secret)
	if !strings.Contains(h.log.String(), "checksum") {
		t.Errorf("the cause is not in the log: %s", h.log.String())
	}

	h.do(func() { h.broken = nil })
	h.as(hippad.KindPerson, hippad.RolePatient)
	if p := h.get("/search").want(200, "the entries that concern you"); strings.Contains(p.text, `name="patient"`) {
		t.Error("a patient is asked for which patient")
	}
}

func TestEntry(t *testing.T) {
	h := open(t)
	h.fill(3)
	long := hippad.Event{OutcomeDescription: strings.Repeat("x", 300<<10)}
	for range 500 {
		long.Agents, long.Entities = append(long.Agents, hippad.Agent{AltID: "a"}), append(long.Entities, hippad.Entity{Name: "e"})
	}
	body, _ := json.Marshal(long)
	for _, r := range []hippad.Report{
		{Media: hippad.MediaXML, Body: []byte(`<a:x xmlns:a="u&quot;v"><b c="&lt;script>">t &amp; u<d/></b><!-- <script> --></a:x>`)},
		{Media: hippad.MediaSyslog, Body: []byte(`<85>1 2026-11-23T09:00:00Z host app - - - <?xml version="1.0"?><AuditMessage><x/></AuditMessage>`)},
		{Media: hippad.MediaUnknown, Fault: hippad.Stray, Body: []byte("\xff\x00<script>\u202eevil\u2066")},
		{Media: hippad.MediaFHIRJSON, Body: body},
		{Media: "text/<script>", Body: nil},
	} {
		h.entries = append(h.entries, hippad.Entry{Index: int64(len(h.entries)), Report: r})
	}
	h.entries = append(h.entries, hippad.Entry{Index: 8, Destroyed: true, Received: h.now, Report: hippad.Report{Media: hippad.MediaXML}})
	h.as(hippad.KindPerson, hippad.RoleReviewer)
	p := h.get("/entries/1").want(200, "Entry 1", secret, "certificate:sha256:00", "Patient Record (110110)", "<b>query</b>", "\uFFFD"+hostle, "/log/receipt/1", "\n  \"Type\": {")
	if strings.Contains(p.text, "\u202e") || strings.Contains(p.text, "\x00") {
		t.Error("a character that turns the text, or none at all, is on the page")
	}
	h.get("/entries/3").want(200, "<a:x xmlns:a=\"u&quot;v\">\n  <b c=\"&lt;script&gt;\">t &amp; u\n    <d>", "<!-- <script> -->")
	h.get("/entries/4").want(200, "<85>1 2026-11-23T09:00:00Z host app - - - \n<?xml version=\"1.0\"?>\n<AuditMessage>\n  <x></x>\n</AuditMessage>")
	h.get("/entries/5").want(200, "Unreadable", "stray", "\uFFFD\uFFFD<script>\uFFFDevil\uFFFD")
	if p := h.get("/entries/6").want(200, "The first 262144 of", "and 300 more agents", "and 300 more objects"); len(p.text) > 1<<20 {
		t.Errorf("a page of %d bytes", len(p.text))
	}
	h.get("/entries/7").want(200, "text/<script>")
	h.get("/entries/8").want(200, "The content was destroyed", "2026-11-23 09:00:10 UTC", "/log/receipt/8")
	if p := h.get("/entries/8"); strings.Contains(p.text, "<pre") {
		t.Error("a body that is not there")
	}
	missing := h.get("/entries/99").want(404).text
	for _, path := range []string{"/entries/-1", "/entries/007", "/entries/x", "/entries/99999999999999999999", "/entries/%3Cscript%3E"} {
		if p := h.get(path).want(404); p.text != missing {
			t.Errorf("%s is told apart from an entry that is not there", path)
		}
	}
	// Whoever may not read learns nothing, not even whether there is one.
	h.as(hippad.KindCertificate, hippad.RoleAuditor)
	asked := len(h.queries)
	if a, b := h.get("/entries/1").want(403), h.get("/entries/99").want(403); a.text != b.text || len(h.queries) != asked {
		t.Error("403 tells whether there is an entry")
	}
	// A receipt is not for everybody who may read.
	h.as(hippad.KindPerson, hippad.RolePatient)
	if p := h.get("/entries/1").want(200); strings.Contains(p.text, "/log/receipt") {
		t.Error("a link that leads to 403")
	}
}

func TestRequests(t *testing.T) {
	h := open(t)
	h.requests = []web.Request{
		{ID: 12, Kind: "export", What: "patient, all of 2026 " + hostle, Reason: "<b>a court order</b>", By: "person:olga", State: web.StateWaiting, At: h.now, Expires: h.now.Add(time.Hour)},
		{ID: 13, Kind: "purge", What: "1,000 entries", Reason: "retention", By: "person:rita", State: web.StateWaiting, At: h.now},
		{ID: 14, Kind: "purge", By: "person:olga", State: "refused", At: h.now},
	}
	h.as(hippad.KindPerson, hippad.RoleOfficer)
	p := h.get("/requests").want(200, "<b>a court order</b>", "You have asked for this yourself", "2026-11-23 10:00:10 UTC")
	if n := strings.Count(p.text, `value="confirm"`); n != 1 {
		t.Errorf("%d requests can be confirmed", n)
	}
	h.post("/requests", "id", "12", "decision", "confirm").want(200, "The request is confirmed")
	h.post("/requests", "id", "12", "decision", "refuse").want(200, "The request is refused")
	h.post("/requests", "id", "404", "decision", "refuse").want(404)
	for _, bad := range [][]string{{"id", "12"}, {"decision", "confirm"}, {"id", "x", "decision", "confirm"}, {"id", "12", "decision", "maybe"}} {
		h.post("/requests", bad...).want(400)
	}
	if !slices.Equal(h.decided, []string{"confirm rita", "refuse rita"}) {
		t.Errorf("%q", h.decided)
	}
	h.requests = nil
	h.get("/requests").want(200, "There are none")
}

// Every route against every role: what Routes says is what happens, without a guard in front.
func TestRoutes(t *testing.T) {
	h := open(t)
	h.fill(1)
	h.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, r := range web.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		path = strings.NewReplacer("{$}", "", "{index}", "0").Replace(path)
		for _, kind := range []hippad.PrincipalKind{hippad.KindPerson, hippad.KindCertificate, hippad.KindAddress} {
			for _, role := range append([]hippad.Role{""}, hippad.Roles...) {
				h.as(kind, role)
				grant := hippad.Grant{Roles: []hippad.Role{role}}
				may := (r.Action == "" || grant.May(r.Action)) && (!r.SignedIn || kind == hippad.KindPerson)
				p := h.send(method, path, url.Values{})
				refused := p.status == 403 && strings.Contains(p.text, "you may not do this") || p.status == 403 && strings.Contains(p.text, "You may not do this") ||
					kind == hippad.KindAddress && p.status == 303 && p.header.Get("Location") == "/signin"
				if may == refused {
					t.Errorf("%s as %s %q: %d, refused is %v", r.Pattern, kind, role, p.status, refused)
				}
				if p.status >= 500 {
					t.Errorf("%s as %s %q: %d", r.Pattern, kind, role, p.status)
				}
			}
		}
	}
	for _, path := range []string{"/nothing", "/pages/layout.html", "/entries", "/entries/", "/entries/1/x", "/..%2fetc"} {
		h.send("GET", path, nil).want(404, "There is no such page")
	}
	h.send("PUT", "/search", url.Values{}).want(404)
	if p := h.send("GET", "/style.css", nil).want(200); p.header.Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(p.text, "prefers-color-scheme: dark") {
		t.Error("no style sheet")
	}
}

// A name from an account or a provider is text on every page.
func TestHostileNames(t *testing.T) {
	h := open(t)
	h.do(func() {
		h.fixed = &hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindPerson, ID: "https://idp.example " + hostle, Name: hostle, Organisation: hostle},
			Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleOfficer}}}
	})
	for _, path := range []string{"/", "/search", "/account", "/requests", "/nothing"} {
		h.get(path).want(map[bool]int{true: 404, false: 200}[path == "/nothing"], hostle)
	}
	h.post("/account/password", "password", "x").want(409)
	h.do(func() { h.fixed = nil })
	h.post("/signin", "name", `"><script>`, "password", "x").want(403, `"><script>`)
	h.post("/setup", "name", `"><script>`, "code", `"><script>`, "password", good, "again", good).want(403, `"><script>`)
}
