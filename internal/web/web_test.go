package web_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"html"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hippad"
	"hippad/internal/account"
	"hippad/internal/web"
)

const (
	good   = "correct horse battery staple"
	secret = "Zebulon Patient"              // what must never be in a log or an address
	hostle = `<script>alert("x")</script>\` // what reporters send
)

// house is the door with everything that it is given, each of which says what was asked of it.
type house struct {
	t        *testing.T
	server   *httptest.Server
	handler  *web.Handler
	accounts *account.Accounts
	browser  *http.Client

	mu       sync.Mutex
	now      time.Time
	failures map[string]int
	lock     int // failures until a key is locked; 0: never
	notes    []web.SignIn
	whom     []hippad.Caller
	changes  []string
	decided  []string
	silent   error // what Note and Changed answer
	broken   error // what Search answers
	queries  []hippad.Query
	entries  []hippad.Entry
	requests []web.Request
	log      strings.Builder
	fixed    *hippad.Caller // who everybody is; nil: whom the cookie says
}

func (h *house) do(f func()) { h.mu.Lock(); defer h.mu.Unlock(); f() }

func (h *house) Write(b []byte) (int, error) {
	h.do(func() { h.log.Write(b) })
	return len(b), nil
}

func open(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, now: time.Date(2026, 11, 23, 9, 0, 10, 0, time.UTC), failures: map[string]int{}}
	clock := func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }
	var err error
	h.accounts, err = account.Open(t.TempDir(), account.Options{
		Now: clock, Cost: account.Cost{Passes: 1, Memory: 64, Threads: 1},
		Throttle: account.Throttle{
			Check: func(k string) (wait time.Duration, err error) {
				h.do(func() {
					if h.lock > 0 && h.failures[k] >= h.lock {
						wait, err = 10*time.Minute, hippad.Errorf(hippad.Busy, "locked")
					}
				})
				return wait, err
			},
			Failed:    func(k string) { h.do(func() { h.failures[k]++ }) },
			Succeeded: func(k string) { h.do(func() { delete(h.failures, k) }) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.handler = &web.Handler{
		Accounts: h.accounts, Caller: h.caller, Read: read, Log: slog.New(slog.NewTextHandler(h, nil)), Size: func() int64 { return 12345 },
		Open: func(c hippad.Caller) hippad.Session { return &reading{h, c} },
		Note: func(_ context.Context, c hippad.Caller, from string, s web.SignIn) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if from != "127.0.0.1" {
				t.Errorf("from %q", from)
			}
			h.notes, h.whom = append(h.notes, s), append(h.whom, c)
			return h.silent
		},
		Changed: func(_ context.Context, c hippad.Caller, what string) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changes = append(h.changes, c.Principal.String()+": "+what)
			return h.silent
		},
		Requests: func(context.Context, hippad.Caller) ([]web.Request, error) { return h.requests, nil },
		Confirm:  h.decide("confirm"), Refuse: h.decide("refuse"),
	}
	h.server = httptest.NewTLSServer(h.handler)
	t.Cleanup(h.server.Close)
	h.browser = h.newBrowser()
	return h
}

func (h *house) decide(what string) func(context.Context, hippad.Caller, int64) error {
	return func(_ context.Context, c hippad.Caller, id int64) error {
		if id == 404 {
			return hippad.Errorf(hippad.NotFound, "there is no such request")
		}
		h.do(func() { h.decided = append(h.decided, what+" "+c.ID) })
		return nil
	}
}

// caller is the guard in front.
func (h *house) caller(r *http.Request) hippad.Caller {
	h.mu.Lock()
	fixed := h.fixed
	h.mu.Unlock()
	if fixed != nil {
		return *fixed
	}
	if c, err := h.accounts.Session(web.SessionCookie(r)); err == nil {
		return c
	}
	return hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindAddress, ID: "127.0.0.1"}}
}

func (h *house) newBrowser() *http.Client {
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: h.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}}
	h.t.Cleanup(c.CloseIdleConnections)
	return c
}

// read is a reader of bodies that are an event in JSON.
func read(r hippad.Report) hippad.Event {
	var ev hippad.Event
	if json.Unmarshal(r.Body, &ev) != nil {
		return hippad.Event{Unreadable: "no event"}
	}
	return ev
}

// reading is a session that remembers what was asked.
type reading struct {
	*house
	who hippad.Caller
}

func (s *reading) Record(context.Context, hippad.Frame) (hippad.Wait, error) {
	return nil, errors.New("not here")
}
func (s *reading) Receipt(context.Context, int64) (hippad.Receipt, error) {
	return nil, errors.New("not here")
}
func (s *reading) Search(_ context.Context, q hippad.Query) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		s.mu.Lock()
		s.queries = append(s.queries, q)
		all, broken := slices.Clone(s.entries), s.broken
		s.mu.Unlock()
		if broken != nil {
			yield(hippad.Entry{}, broken)
			return
		}
		slices.Reverse(all)
		left := q.Limit
		for _, e := range all {
			if !q.Matches(e, read(e.Report)) {
				continue
			}
			if !yield(e, nil) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// page is an answer.
type page struct {
	t      *testing.T
	status int
	url    *url.URL
	header http.Header
	text   string
}

// send asks as a browser does: with the headers that tell where a form comes from.
func (h *house) send(method, path string, form url.Values, change ...func(*http.Request)) page {
	h.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", h.server.URL)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range change {
		c(r)
	}
	answer, err := h.browser.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	p := page{h.t, answer.StatusCode, answer.Request.URL, answer.Header, string(text)}
	p.check()
	return p
}

func (h *house) get(path string) page { h.t.Helper(); return h.send("GET", path, nil) }
func (h *house) post(path string, pairs ...string) page {
	h.t.Helper()
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return h.send("POST", path, f)
}

// check is what holds for every answer.
func (p page) check() {
	p.t.Helper()
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none';", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
		"Strict-Transport-Security": "max-age=31536000", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		if !strings.HasPrefix(p.header.Get(name), want) {
			p.t.Errorf("%s: %s is %q", p.url.Path, name, p.header.Get(name))
		}
	}
	if strings.HasPrefix(p.header.Get("Content-Type"), "text/html") && p.status/100 != 3 {
		if p.header.Get("Cache-Control") != "no-store" {
			p.t.Errorf("%s may be kept: %q", p.url.Path, p.header.Get("Cache-Control"))
		}
		if !strings.Contains(p.text, "<title>") || !strings.HasSuffix(p.text, "</html>\n") || strings.Count(p.text, "<h1>") != 1 || strings.Contains(p.text, "ZgotmplZ") {
			p.t.Errorf("%s: not a whole page: %s", p.url.Path, p.text)
		}
		if strings.Contains(p.text, "<script") {
			p.t.Errorf("%s: a script: %s", p.url.Path, p.text)
		}
		ids := regexp.MustCompile(`<input id="([^"]+)"`).FindAllStringSubmatch(p.text, -1)
		for _, m := range ids {
			if strings.Count(p.text, `id="`+m[1]+`"`) != 1 || !strings.Contains(p.text, `<label for="`+m[1]+`"`) {
				p.t.Errorf("%s: the field %s has no label, or its id twice", p.url.Path, m[1])
			}
		}
	}
}

func (p page) want(status int, texts ...string) page {
	p.t.Helper()
	if p.status != status {
		p.t.Fatalf("%s: status %d, want %d: %s", p.url.Path, p.status, status, p.text)
	}
	for _, s := range texts {
		if !strings.Contains(html.UnescapeString(p.text), s) {
			p.t.Fatalf("%s: there is no %q: %s", p.url.Path, s, p.text)
		}
	}
	return p
}

// hidden returns the value of a hidden field.
func (p page) hidden(name string) string {
	p.t.Helper()
	m := regexp.MustCompile(`<input type="hidden" name="` + name + `" value="([^"]*)"`).FindStringSubmatch(p.text)
	if m == nil {
		p.t.Fatalf("%s: there is no hidden field %s: %s", p.url.Path, name, p.text)
	}
	return html.UnescapeString(m[1])
}

func (h *house) code(key string) string {
	h.t.Helper()
	var now time.Time
	h.do(func() { now = h.now })
	c, err := totp.GenerateCode(key, now)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *house) move(d time.Duration) { h.do(func() { h.now = h.now.Add(d) }) }

func (h *house) cookies() []*http.Cookie {
	u, _ := url.Parse(h.server.URL)
	return h.browser.Jar.Cookies(u)
}

var (
	keyText  = regexp.MustCompile(`<dt>Key</dt><dd class="id">([A-Z2-7 ]+)</dd>`)
	codeText = regexp.MustCompile(`<li>([0-9A-Z-]{19})</li>`)
)

// firstRun sets the first account up, and returns its TOTP key and recovery codes.
func (h *house) firstRun() (key string, recovery []string) {
	h.t.Helper()
	code, err := h.accounts.SetupCode()
	if err != nil {
		h.t.Fatal(err)
	}
	p := h.post("/setup", "code", code, "name", "olga", "password", good, "again", good).want(200, "Second factor", "data:image/png;base64,")
	key = strings.ReplaceAll(keyText.FindStringSubmatch(p.text)[1], " ", "")
	id := p.hidden("enrolment")
	h.post("/setup/confirm", "enrolment", id, "code", "000000").want(403, "This is not the code that is wanted")
	p = h.post("/setup/confirm", "enrolment", id, "code", h.code(key)).want(200, "Recovery codes")
	for _, m := range codeText.FindAllStringSubmatch(p.text, -1) {
		recovery = append(recovery, m[1])
	}
	if len(recovery) != 10 {
		h.t.Fatalf("%q", recovery)
	}
	h.move(30 * time.Second)
	return key, recovery
}

func (h *house) signIn(name, code string) page {
	h.t.Helper()
	p := h.post("/signin", "name", name, "password", good).want(200, "Second step")
	return h.post("/signin/code", "pending", p.hidden("pending"), "code", code)
}

func (h *house) lastNote(want web.SignIn) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.notes) == 0 || h.notes[len(h.notes)-1] != want {
		h.t.Errorf("recorded %+v, want %+v at the end", h.notes, want)
	}
}

func TestStory(t *testing.T) {
	h := open(t)
	h.get("/").want(200, "There is no account yet", "You are not signed in", "12,345")
	h.get("/signin").want(200, "Set up the first one")
	if p := h.get("/search"); p.url.Path != "/signin" {
		t.Errorf("without a session /search is %s", p.url.Path)
	}
	h.post("/setup", "code", "AAAA", "name", "olga", "password", good, "again", good).want(403, "Code or name is not right")
	h.lastNote(web.SignIn{How: web.HowSetup, Outcome: web.OutcomeFailure, Reason: "wrong code of the first run"})
	h.post("/setup", "code", "AAAA", "name", "olga", "password", good, "again", good+"x").want(400, "The two passwords are not the same")
	key, recovery := h.firstRun()
	if !slices.Equal(h.changes, []string{"person:olga: account set up: password and second factor"}) {
		t.Errorf("%q", h.changes)
	}

	h.post("/signin", "name", "olga", "password", "a wrong one, of course").want(403, "Name or password is not right")
	h.lastNote(web.SignIn{Account: "olga", How: web.HowPassword, Outcome: web.OutcomeFailure, Reason: "wrong password"})
	h.post("/signin", "name", good, "password", "x").want(403, "Name or password is not right")
	h.lastNote(web.SignIn{How: web.HowPassword, Outcome: web.OutcomeFailure, Reason: "no such account"})

	p := h.post("/signin", "name", "Olga ", "password", good).want(200, "Second step")
	id := p.hidden("pending")
	if len(h.cookies()) != 0 {
		t.Error("a cookie before the second factor")
	}
	h.post("/signin/code", "pending", id, "code", "000000").want(403, "This is not the code that is wanted")
	h.lastNote(web.SignIn{Account: "olga", How: account.HowTOTP, Outcome: web.OutcomeFailure, Reason: "wrong code"})
	code := h.code(key)
	p = h.post("/signin/code", "pending", id, "code", code).want(200, "person:olga", "officer", "search the log and read entries")
	if p.url.Path != "/" || p.header.Get("Refresh") != "901; url=/away" {
		t.Errorf("%s, %q", p.url, p.header.Get("Refresh"))
	}
	h.lastNote(web.SignIn{Account: "olga", How: account.HowTOTP, Outcome: web.OutcomeSuccess})
	if c := h.cookies(); len(c) != 1 || c[0].Name != "__Host-hippad-session" {
		t.Errorf("%v", c)
	}
	if p := h.get("/signin"); p.url.Path != "/" {
		t.Errorf("somebody who has signed in is asked again: %s", p.url)
	}
	h.post("/signin/code", "pending", id, "code", code).want(409, "begin again")

	// The account page.
	h.get("/account").want(200, "Recovery codes left")
	h.post("/account/password", "password", "wrong wrong wrong", "new", "a new and different one", "again", "a new and different one").want(403, "Name or password is not right")
	h.post("/account/password", "password", good, "new", "short", "again", "short").want(400, "fewer than 12")
	p = h.post("/account/recovery", "password", good).want(200, "10 new recovery codes")
	fresh := codeText.FindStringSubmatch(p.text)[1]
	if fresh == recovery[0] {
		t.Error("the recovery codes are the old ones")
	}
	p = h.post("/account/factor", "password", good).want(200, "Second factor")
	newKey := strings.ReplaceAll(keyText.FindStringSubmatch(p.text)[1], " ", "")
	h.post("/account/confirm", "enrolment", "made up", "code", h.code(newKey)).want(409)
	h.post("/account/confirm", "enrolment", p.hidden("enrolment"), "code", h.code(newKey)).want(200, "Recovery codes")
	h.get("/account").want(200) // still signed in
	if len(h.changes) != 3 || h.changes[2] != "person:olga: own second factor replaced" {
		t.Errorf("%q", h.changes)
	}

	if p := h.post("/signout"); p.url.Path != "/signin" || len(h.cookies()) != 0 {
		t.Errorf("%s, %v", p.url, h.cookies())
	}
	h.lastNote(web.SignIn{Account: "olga", How: web.HowSignOut, Outcome: web.OutcomeSuccess})
	if p := h.get("/account"); p.url.Path != "/signin" {
		t.Errorf("%s after signing out", p.url)
	}
	h.move(30 * time.Second)
	if p := h.signIn("olga", h.code(key)); p.status != 403 {
		t.Error("the old second factor is still good")
	}
	h.signIn("olga", h.code(newKey)).want(200)
	h.move(15 * time.Minute)
	if p := h.get("/account"); p.url.Path != "/signin" {
		t.Errorf("%s after 15 minutes", p.url)
	}
	h.get("/away").want(200, "for 15 minutes")
}

// The page that a forgotten browser turns to, and the style sheet, are no sign of life.
func TestIdle(t *testing.T) {
	h := open(t)
	key, _ := h.firstRun()
	h.signIn("olga", h.code(key)).want(200)
	h.move(10 * time.Minute)
	h.get("/away").want(200)
	h.get("/style.css").want(200)
	h.move(5 * time.Minute)
	if p := h.get("/account"); p.url.Path != "/signin" {
		t.Errorf("%s: the session was kept alive by nobody", p.url)
	}
}

// Without an entry there is no answer: no session, no change.
func TestNothingUnrecorded(t *testing.T) {
	h := open(t)
	key, recovery := h.firstRun()
	down := func() { h.do(func() { h.silent = errors.New("the disk is full: " + secret) }) }
	up := func() { h.do(func() { h.silent = nil }) }
	down()
	h.post("/signin", "name", "olga", "password", "a wrong one, of course").want(503, "The log cannot be written now")
	h.signIn("olga", h.code(key)).want(503, "The log cannot be written now")
	if len(h.cookies()) != 0 {
		t.Error("a cookie all the same")
	}
	up()
	h.signIn("olga", recovery[0]).want(200)
	down()
	h.post("/account/password", "password", good, "new", "a new and different one", "again", "a new and different one").want(503, "nothing was changed")
	p := h.post("/account/factor", "password", good).want(200)
	newKey := strings.ReplaceAll(keyText.FindStringSubmatch(p.text)[1], " ", "")
	h.post("/account/confirm", "enrolment", p.hidden("enrolment"), "code", h.code(newKey)).want(503)
	h.post("/account/recovery", "password", good).want(503)
	h.post("/signout").want(503)
	if len(h.cookies()) != 0 {
		t.Error("signed in after signing out")
	}
	up()
	h.signIn("olga", recovery[1]).want(200) // password and recovery codes are the old ones

	other := open(t)
	code, _ := other.accounts.SetupCode()
	p = other.post("/setup", "code", code, "name", "olga", "password", good, "again", good)
	k := strings.ReplaceAll(keyText.FindStringSubmatch(p.text)[1], " ", "")
	other.do(func() { other.silent = errors.New("no") })
	other.post("/setup/confirm", "enrolment", p.hidden("enrolment"), "code", other.code(k)).want(503)
	if !other.accounts.FirstRun() {
		t.Error("an account without its entry")
	}
}

func TestLocked(t *testing.T) {
	h := open(t)
	key, _ := h.firstRun()
	h.do(func() { h.lock, h.failures = 3, map[string]int{} })
	pending := h.post("/signin", "name", "olga", "password", good).want(200).hidden("pending")
	for range 3 {
		h.post("/signin", "name", "olga", "password", "a wrong one, of course").want(403)
	}
	for _, name := range []string{"olga", "nobody"} {
		h.post("/signin", "name", name, "password", good).want(429, "Too many attempts have failed", "Try again in 10 minutes")
	}
	h.post("/signin/code", "pending", pending, "code", h.code(key)).want(429, "Too many attempts have failed")
	h.do(func() {
		if n := h.notes[len(h.notes)-1]; n.Outcome != web.OutcomeFailure || n.Reason != "locked: locked" {
			t.Errorf("%+v", n)
		}
	})
}

// A form that another site sends changes nothing, whatever the cookies.
func TestCrossSite(t *testing.T) {
	h := open(t)
	key, _ := h.firstRun()
	h.signIn("olga", h.code(key)).want(200)
	form := url.Values{"id": {"1"}, "decision": {"confirm"}}
	for what, change := range map[string]func(*http.Request){
		"cross-site":      func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":       func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"other origin":    func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") },
		"no origin: null": func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") },
	} {
		for _, path := range []string{"/requests", "/signout", "/search", "/signin", "/setup"} {
			if p := h.send("POST", path, form, change); p.status != 403 || !strings.Contains(p.text, "another site") {
				t.Errorf("%s %s: %d", what, path, p.status)
			}
		}
	}
	if len(h.decided) != 0 || len(h.queries) != 0 {
		t.Errorf("%q, %v", h.decided, h.queries)
	}
	h.get("/account").want(200) // still signed in
	h.send("POST", "/requests", form).want(200)
}

func TestCookies(t *testing.T) {
	h := open(t)
	key, _ := h.firstRun()
	pending := h.post("/signin", "name", "olga", "password", good).hidden("pending")
	h.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p := h.post("/signin/code", "pending", pending, "code", h.code(key))
	if p.status != 303 || p.header.Get("Location") != "/" {
		t.Fatalf("%d, %q", p.status, p.header.Get("Location"))
	}
	if c := p.header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-hippad-session=") || !strings.HasSuffix(c, "; Path=/; HttpOnly; Secure; SameSite=Strict") {
		t.Errorf("%s", c)
	}
	before := h.cookies()[0].Value
	h.move(30 * time.Second)
	h.signIn("olga", h.code(key)).want(303) // again, in the same browser: the old session ends
	if _, err := h.accounts.Session(before); err == nil || h.cookies()[0].Value == before {
		t.Error("the session before is still open")
	}
}
