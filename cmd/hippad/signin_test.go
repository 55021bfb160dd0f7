package main

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hippad/internal/identity"
)

// A browser visits the pages of a running server.
type browser struct {
	t      *testing.T
	client *http.Client
	base   string
}

func newBrowser(t *testing.T, p *process) *browser {
	t.Helper()
	config, err := identity.ReporterTLS(p.CA, "")
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, &http.Client{Jar: jar, Transport: transport}, "https://" + p.Address}
}

// visit gets a page, or sends a form, and returns the status and the page where it ended.
func (b *browser) visit(path string, form ...string) (int, string) {
	b.t.Helper()
	var answer *http.Response
	var err error
	if len(form) == 0 {
		answer, err = b.client.Get(b.base + path)
	} else {
		values := url.Values{}
		for i := 0; i+1 < len(form); i += 2 {
			values.Set(form[i], form[i+1])
		}
		answer, err = b.client.PostForm(b.base+path, values)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer.StatusCode, html.UnescapeString(string(text))
}

// find returns what a page holds.
func (b *browser) find(page, expression string) string {
	b.t.Helper()
	found := regexp.MustCompile(expression).FindStringSubmatch(page)
	if found == nil {
		b.t.Fatalf("the page has no %s: %.1500s", expression, page)
	}
	return found[1]
}

// The privacy officer of a new server: the first account with the code that serve prints, a second factor, signing in, a search, the
// second pair of eyes, and signing out. Every step of it is in the log.
func TestSignInStory(t *testing.T) {
	p := startServer(t, "")
	file := filepath.Join(t.TempDir(), "canary.xml")
	if err := os.WriteFile(file, []byte(canaryReport), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, talk, code := hippadRun(t, "report", file, "--data", p.Data, "--spool", t.TempDir()); code != 0 {
		t.Fatalf("report: %s%s", out, talk)
	}
	b := newBrowser(t, p)
	if status, page := b.visit("/search"); status != http.StatusOK || !strings.Contains(page, "/signin") || strings.Contains(page, "Found") {
		t.Errorf("search without signing in: %d %.300s", status, page)
	}
	const password = "correct horse battery staple"
	if status, _ := b.visit("/setup", "code", "AAAA-AAAA-AAAA-AAAA-AAAA", "name", "maria", "password", password, "again", password); status == http.StatusOK {
		t.Error("a wrong setup code is taken")
	}
	_, page := b.visit("/setup", "code", p.SetupCode, "name", "maria", "password", password, "again", password)
	enrolment, secret := b.find(page, `name="enrolment" value="([^"]+)"`), strings.ReplaceAll(b.find(page, `<dt>Key</dt><dd[^>]*>([A-Z2-7 ]{16,})</dd>`), " ", "")
	oneTime := func(at time.Time) string {
		code, err := totp.GenerateCode(secret, at)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if status, page := b.visit("/setup/confirm", "enrolment", enrolment, "code", oneTime(time.Now())); status != http.StatusOK {
		t.Fatalf("second factor: %d %.600s", status, page)
	}

	// Signing in takes both, and a code is good once: the next one is.
	if status, _ := b.visit("/signin", "name", "maria", "password", "not the password"); status == http.StatusOK {
		t.Error("a wrong password is taken")
	}
	_, page = b.visit("/signin", "name", "maria", "password", password)
	pending := b.find(page, `name="pending" value="([^"]+)"`)
	if status, page := b.visit("/signin/code", "pending", pending, "code", oneTime(time.Now().Add(30*time.Second))); status != http.StatusOK || !strings.Contains(page, "maria") {
		t.Fatalf("signing in: %d %.600s", status, page)
	}
	if status, page := b.visit("/search", "patient", "CANARY-7"); status != http.StatusOK || !strings.Contains(page, "CANARY name") {
		t.Errorf("search: %d %.600s", status, page)
	}
	if status, page := b.visit("/entries/1"); status != http.StatusOK || !strings.Contains(page, "CANARY-user") {
		t.Errorf("entry: %d %.600s", status, page)
	}
	// The session is for pages only: no other address takes the cookie, and no page of another site can use it.
	if status, _ := b.visit("/fhir/AuditEvent/1"); status != http.StatusUnauthorized {
		t.Errorf("FHIR with a cookie: %d", status)
	}
	if status, _ := b.visit("/admin/hold/list", "x", "y"); status != http.StatusUnauthorized {
		t.Errorf("a call with a cookie: %d", status)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.base+"/signout", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	if answer, err := b.client.Do(request); err != nil || answer.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %v, %v", answer, err)
	}

	// The operator asks for an export; the officer is the second pair of eyes.
	id, talk, code := hippadRun(t, "export", "patient=CANARY-7", "--reason", "a request of the patient", "--data", p.Data)
	if code != 0 {
		t.Fatalf("export: %s", talk)
	}
	id = strings.TrimSpace(id)
	if status, page := b.visit("/requests"); status != http.StatusOK || !strings.Contains(page, "a request of the patient") {
		t.Errorf("requests: %d %.600s", status, page)
	}
	if status, page := b.visit("/requests", "id", id, "decision", "confirm"); status != http.StatusOK {
		t.Errorf("confirm: %d %.600s", status, page)
	}
	archive := filepath.Join(t.TempDir(), "export.tar")
	if out, talk, code := hippadRun(t, "export", "--request", id, "--out", archive, "--data", p.Data); code != 0 {
		t.Errorf("fetch: %s%s", out, talk)
	}
	if _, page := b.visit("/signout", "x", "y"); strings.Contains(page, "Sign out") {
		t.Error("still signed in after signing out")
	}
	if _, page := b.visit("/entries/1"); strings.Contains(page, "CANARY") {
		t.Error("an entry is shown after signing out")
	}
	for query, want := range map[string]int{"subtype=110122&outcome=0": 1, "subtype=110122&outcome=4": 2, "subtype=110123": 1} {
		out, _, _ := hippadRun(t, "search", query, "--json", "--data", p.Data)
		if n := strings.Count(out, `"index"`); n < want {
			t.Errorf("%s: %d entries, want %d at least", query, n, want)
		}
	}
}

// Who is locked out cannot fill the log: the attempts are counted and become one entry.
func TestLockedOutIsCounted(t *testing.T) {
	s := openHere(t, nil)
	try := func() int {
		return visit(s, "POST /signin", stranger, url.Values{"name": {"nobody"}, "password": {"wrong wrong wrong"}}.Encode()).Code
	}
	for range 5 {
		if code := try(); code != http.StatusForbidden && code != http.StatusUnauthorized {
			t.Fatalf("a wrong password: %d", code)
		}
	}
	before := s.ledger.Size()
	for range 20 {
		if code := try(); code != http.StatusServiceUnavailable && code != http.StatusTooManyRequests {
			t.Fatalf("a locked address: %d", code)
		}
	}
	if n := s.ledger.Size() - before; n != 0 {
		t.Errorf("20 attempts of a locked address left %d entries at once", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.repo.Run(ctx) // writes what is left
	if n := s.ledger.Size() - before; n < 1 || n > 2 {
		t.Errorf("20 attempts of a locked address are %d entries", n)
	}
}
