package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/internal/front"
	"hippad/internal/identity"
	"hippad/internal/localstore"
)

var update = flag.Bool("update", false, "write testdata/routes.golden anew")

// A fullDisk can be told that it is full, so that the store refuses every commit.
type fullDisk struct {
	vfs.FS
	full atomic.Bool
}

func (d *fullDisk) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	u, err := d.FS.GetDiskUsage(path)
	if d.full.Load() {
		u.AvailBytes = 64 << 20 // less than the store keeps free
	}
	return u, err
}

// openHere opens a server in this process, whose doors are called without a network.
func openHere(t *testing.T, disk *fullDisk, said ...*lockedBuffer) *server {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "data"), nil, disk, said...)
}

// openAt is openHere in a directory and with a clock.
func openAt(t *testing.T, data string, now func() time.Time, disk *fullDisk, said ...*lockedBuffer) *server {
	t.Helper()
	if disk == nil {
		disk = &fullDisk{FS: vfs.Default}
	}
	log := slog.New(slog.DiscardHandler)
	for _, to := range said {
		log = slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s, err := openServer(t.Context(), serveConfig{
		Data: data, now: now, Listen: []string{"127.0.0.1:0"}, Origin: "hospital.example/log", MaxMessage: 64 << 10,
		store: localstore.Options{FS: disk},
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		disk.full.Store(false)
		if s.ledger == nil {
			return // the test has closed it
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// callerWith is somebody with one role; the empty one is somebody who has signed in and has none.
func callerWith(role hippad.Role) hippad.Caller {
	c := hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindPerson, ID: "somebody-" + string(role)}}
	if role != "" {
		c.Roles, c.Patient = []hippad.Role{role}, "CANARY-7"
	}
	return c
}

var stranger = hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindAddress, ID: "192.0.2.1"}}

// visit calls a route as somebody.
func visit(s *server, pattern string, c hippad.Caller, body string) *httptest.ResponseRecorder {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		method, path = http.MethodPut, pattern
	}
	path = strings.NewReplacer("{$}", "", "{id}", "1", "{index}", "1").Replace(path)
	r := httptest.NewRequest(method, "https://audit.example"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(path, "/fhir") {
		r.Header.Set("Content-Type", hippad.MediaFHIRJSON)
	}
	if path == "/search" || strings.HasSuffix(path, "/_search") || strings.HasPrefix(path, "/sign") || strings.HasPrefix(path, "/setup") || strings.HasPrefix(path, "/account") || path == "/requests" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	s.front.HTTP.ServeHTTP(w, front.As(r, c))
	return w
}

// judgesItself are open routes that refuse by a rule of their own, which is not a matter of roles alone.
var judgesItself = []string{
	"GET /log/receipt/{index}", // whose entry it is
	"POST /renew",              // which certificate is shown
	"POST /enroll",             // whether the token is good
	"POST /signin",             // whether the password is
	"POST /signin/code",
	"POST /setup",
	"POST /setup/confirm",
}

// Every route is walked with every role. testdata/routes.golden is the table that people read; what is not in it is not served.
func TestEveryRouteWithEveryRole(t *testing.T) {
	s := openHere(t, nil)
	reportCanary(t, s)
	var golden bytes.Buffer
	for _, rt := range s.routes() {
		var may []string
		for _, role := range append(slices.Clone(hippad.Roles), "") {
			c := callerWith(role)
			code := visit(s, rt.pattern, c, "{}").Code
			switch lets := rt.lets(c); {
			case !lets && code != http.StatusForbidden && code != http.StatusUnauthorized:
				t.Errorf("%s as %q: %d, want a refusal", rt.pattern, role, code)
			case lets && (code == http.StatusForbidden || code == http.StatusUnauthorized) && !slices.Contains(judgesItself, rt.pattern):
				t.Errorf("%s as %q: %d, though the table lets it", rt.pattern, role, code)
			case lets && role != "":
				may = append(may, string(role))
			}
		}
		code := visit(s, rt.pattern, stranger, "{}").Code
		refused := code == http.StatusUnauthorized || code == http.StatusSeeOther || code == http.StatusForbidden
		if !rt.open && !refused {
			t.Errorf("%s as a stranger: %d, want a refusal", rt.pattern, code)
		}
		who := strings.Join(may, " ")
		switch {
		case rt.open:
			who = "everybody"
		case rt.signedIn:
			who = "everybody who has signed in"
		case len(may) == 0:
			t.Errorf("%s is for nobody", rt.pattern)
		}
		fmt.Fprintf(&golden, "%-32s %s\n", rt.pattern, who)
	}
	for _, door := range []hippad.Door{hippad.DoorNative, hippad.DoorSyslogTLS} {
		for _, x := range []struct {
			what string
			call func(hippad.Session) error
		}{
			{"record", func(l hippad.Session) error {
				_, err := l.Record(t.Context(), hippad.Frame{Reports: []hippad.Report{{Media: "text/plain"}}})
				return err
			}},
			{"search", func(l hippad.Session) error {
				for _, err := range l.Search(t.Context(), hippad.Query{Limit: 1}) {
					return err
				}
				return nil
			}},
			{"receipt", func(l hippad.Session) error { _, err := l.Receipt(t.Context(), 1); return err }},
		} {
			var may []string
			for _, role := range append(slices.Clone(hippad.Roles), "") {
				if err := x.call(s.repo.As(callerWith(role), door)); err == nil {
					may = append(may, string(role))
				} else if hippad.KindOf(err) != hippad.Unauthorised {
					t.Errorf("%v %s as %q: %v", door, x.what, role, err)
				}
			}
			fmt.Fprintf(&golden, "%-32s %s\n", door.String()+" "+x.what, strings.Join(may, " "))
		}
	}
	file := filepath.Join("testdata", "routes.golden")
	if *update {
		if err := os.WriteFile(file, golden.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if golden.String() != string(want) {
		t.Errorf("who may what has changed; if it is meant, run the test with -update\n%s", golden.String())
	}
}

const canaryReport = `<AuditMessage><EventIdentification EventActionCode="R" EventDateTime="2026-11-20T09:12:47Z" EventOutcomeIndicator="0"><EventID csd-code="110110" codeSystemName="DCM" originalText="Patient Record"/></EventIdentification><ActiveParticipant UserID="CANARY-user" UserName="CANARY name" UserIsRequestor="true"/><AuditSourceIdentification AuditSourceID="ward"/><ParticipantObjectIdentification ParticipantObjectID="CANARY-7" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1"/></AuditMessage>`

// reportCanary puts an entry into the log that must not be seen where nobody may see it.
func reportCanary(t *testing.T, s *server) int64 {
	t.Helper()
	wait, err := s.repo.As(callerWith(hippad.RoleReporter), hippad.DoorNative).Record(t.Context(), hippad.Frame{Reports: []hippad.Report{{Media: hippad.MediaXML, Body: []byte(canaryReport)}}})
	if err != nil {
		t.Fatal(err)
	}
	ack, err := wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ack.Ranges[0].First
}

// Every route that reads leaves its entry before it answers, and does not answer when the entry cannot be written.
func TestEveryReadingIsRecorded(t *testing.T) {
	disk := &fullDisk{FS: vfs.Default}
	s := openHere(t, disk)
	if index := reportCanary(t, s); index != 1 {
		t.Fatalf("the canary is entry %d", index)
	}
	syslog := hippad.Report{Media: hippad.MediaSyslog, Body: []byte("<85>1 2026-11-23T00:00:00Z pacs CANARY - IHE+RFC-3881 - " + canaryReport)}
	if wait, err := s.repo.As(callerWith(hippad.RoleReporter), hippad.DoorNative).Record(t.Context(), hippad.Frame{Reports: []hippad.Report{syslog}}); err != nil {
		t.Fatal(err)
	} else if _, err := wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	officer := callerWith(hippad.RoleOfficer)
	readings := map[string]func() (answer string, refused bool){
		"hippad/1": func() (string, bool) {
			text := ""
			for e, err := range s.repo.As(officer, hippad.DoorNative).Search(context.Background(), hippad.Query{Indexes: []int64{1}}) {
				if err != nil {
					return text, hippad.KindOf(err) == hippad.Unavailable
				}
				text += string(e.Body)
			}
			return text, false
		},
	}
	for _, rt := range s.routes() {
		if rt.needs != hippad.ActRead || rt.pattern == "GET /search" { // an empty form
			continue
		}
		pattern, body := rt.pattern, ""
		switch {
		case rt.pattern == "POST /search":
			body = url.Values{"patient": {"CANARY-7"}}.Encode()
		case strings.HasSuffix(rt.pattern, "/_search"):
			body = "date=ge2020&patient=CANARY-7"
		case !strings.HasSuffix(rt.pattern, "}"):
			pattern += "?date=ge2020"
		}
		readings[rt.pattern] = func() (string, bool) {
			w := visit(s, pattern, officer, body)
			return w.Body.String(), w.Code == http.StatusServiceUnavailable
		}
	}
	if len(readings) < 13 {
		t.Errorf("only %d routes read", len(readings))
	}
	for name, read := range readings {
		before := s.ledger.Size()
		if text, refused := read(); refused || !strings.Contains(text, "CANARY") {
			t.Errorf("%s does not answer: refused %v, %.200s", name, refused, text)
		}
		if got := s.ledger.Size() - before; got != 1 {
			t.Errorf("%s left %d entries, want 1", name, got)
		}
	}
	disk.full.Store(true)
	for name, read := range readings {
		if text, refused := read(); !refused || strings.Contains(text, "CANARY") {
			t.Errorf("%s answers although its reading cannot be recorded: refused %v, %.200s", name, refused, text)
		}
	}
}

// A bearer token does what its scopes say over FHIR, a wrong one is 401, and too many wrong ones are locked out.
func TestBearerTokens(t *testing.T) {
	s := openHere(t, nil)
	reportCanary(t, s)
	token := func(scopes ...string) string {
		t.Helper()
		m := identity.Member{Name: "portal", Scopes: scopes}
		if strings.HasPrefix(scopes[0], "patient/") {
			m.Patient = "CANARY-7"
		}
		secret, _, err := s.authority.IssueToken(m)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	ask := func(token, method, path, body string) int {
		r := httptest.NewRequest(method, "https://audit.example"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", hippad.MediaFHIRJSON)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.front.HTTP.ServeHTTP(w, front.As(r, stranger))
		if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: 401 without a challenge", method, path)
		}
		return w.Code
	}
	const event = `{"resourceType":"AuditEvent","type":{"code":"rest"},"recorded":"2026-11-23T00:00:00Z","agent":[{"requestor":true}],"source":{"observer":{"display":"x"}}}`
	writer, reader, patient := token("system/AuditEvent.c"), token("system/AuditEvent.rs"), token("patient/AuditEvent.rs")
	for _, c := range []struct {
		token, method, path string
		want                int
	}{
		{writer, "POST", "/fhir/AuditEvent", 201}, {writer, "GET", "/fhir/AuditEvent/1", 403}, {writer, "GET", "/metrics", 403},
		{reader, "POST", "/fhir/AuditEvent", 403}, {reader, "GET", "/fhir/AuditEvent/1", 200}, {reader, "POST", "/admin/member/list", 403},
		{patient, "POST", "/fhir/AuditEvent", 403}, {patient, "GET", "/fhir/AuditEvent/1", 200},
		{patient, "GET", "/fhir/AuditEvent/2", 404}, {patient, "GET", "/fhir/AuditEvent/99", 404}, {patient, "GET", "/fhir/AuditEvent/0", 404},
	} {
		if got := ask(c.token, c.method, c.path, event); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
		}
	}
	for i := range 6 {
		want := http.StatusUnauthorized
		if i == 5 {
			want = http.StatusTooManyRequests
		}
		if got := ask(writer+"x", "POST", "/fhir/AuditEvent", event); got != want {
			t.Errorf("wrong token, try %d: %d, want %d", i+1, got, want)
		}
	}
	if got := ask(writer, "POST", "/fhir/AuditEvent", event); got != http.StatusCreated {
		t.Errorf("the right token from a network that is locked: %d", got)
	}
	for _, m := range s.authority.Members() {
		if err := s.authority.Revoke(m.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(reader, "GET", "/fhir/AuditEvent/1", ""); got == http.StatusOK {
		t.Error("a revoked token reads")
	}
}

// A server whose disk is full at the start runs, shows nothing and takes nothing, and records its start when there is room.
func TestStartOnAFullDisk(t *testing.T) {
	data, disk := filepath.Join(t.TempDir(), "data"), &fullDisk{FS: vfs.Default}
	s := openAt(t, data, nil, disk)
	reportCanary(t, s)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	s.ledger = nil
	disk.full.Store(true)
	s = openAt(t, data, nil, disk)
	before := s.ledger.Size()
	if w := visit(s, "GET /fhir/AuditEvent/{id}", callerWith(hippad.RoleReviewer), ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a reading on a full disk: %d", w.Code)
	}
	if w := visit(s, "GET /log/receipt/{index}", callerWith(hippad.RoleAuditor), ""); w.Code != http.StatusOK {
		t.Errorf("a receipt on a full disk: %d", w.Code)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.watchStart(ctx); close(done) }()
	disk.full.Store(false)
	eventually(t, "the start in the log", func() error {
		if s.ledger.Size() == before {
			return errors.New("nothing was recorded")
		}
		return nil
	})
	<-done
	cancel()
}
