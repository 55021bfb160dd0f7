package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/front"
)

// Patient data is in bodies, and in answers to those who may read. It is in no log line, no error, no metric, no address and no
// header, whatever is sent where.
func TestCanaries(t *testing.T) {
	var log lockedBuffer
	s := openHere(t, nil, &log)
	reportCanary(t, s)
	said := map[string]string{} // what must hold no canary, by where it was said
	ask := func(name, method, target, media, body string, c hippad.Caller, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "https://audit.example"+target, strings.NewReader(body))
		r.Header.Set("Content-Type", media)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.front.HTTP.ServeHTTP(w, front.As(r, c))
		said[name+": header"] = fmt.Sprint(w.Header())
		if w.Code >= 400 {
			said[name+": error"] = w.Body.String()
		}
		return w
	}
	reporter, reviewer, officer, administrator := callerWith(hippad.RoleReporter), callerWith(hippad.RoleReviewer), callerWith(hippad.RoleOfficer), callerWith(hippad.RoleAdministrator)
	const form, js, fhirJSON = "application/x-www-form-urlencoded", "application/json", hippad.MediaFHIRJSON

	ask("broken FHIR", "POST", "/fhir/AuditEvent", fhirJSON, `{"resourceType":"AuditEvent","CANARY":`, reporter)
	ask("wrong FHIR", "POST", "/fhir/AuditEvent", fhirJSON, `{"resourceType":"Patient","id":"CANARY"}`, reporter)
	ask("broken bundle", "POST", "/fhir", fhirJSON, `{"resourceType":"Bundle","type":"CANARY"}`, reporter)
	ask("wrong parameter", "GET", "/fhir/AuditEvent?date=CANARY", "", "", reviewer)
	ask("unknown address", "GET", "/fhir/CANARY", "", "", reviewer)
	ask("denied search", "GET", "/fhir/AuditEvent?patient=CANARY-7", "", "", reporter)
	ask("stranger's search", "GET", "/fhir/AuditEvent?patient=CANARY-7", "", "", stranger)
	ask("wrong token", "GET", "/fhir/AuditEvent", "", "", stranger, "Authorization", "Bearer CANARY")
	ask("call with a wrong member", "POST", "/admin/member/revoke", js, `{"name":"CANARY"}`, administrator)
	ask("call that is no JSON", "POST", "/admin/member/list", js, `CANARY`, administrator)
	ask("call with another member", "POST", "/admin/member/list", js, `{"CANARY":1}`, administrator)
	ask("wrong invitation", "POST", "/enroll", js, `{"token":"CANARY","csr":"Q0FOQVJZ"}`, stranger)
	ask("hold that cannot be", "POST", "/admin/hold/add", js, `{"reporter":"CANARY","reason":"x"}`, officer)
	ask("release of nothing", "POST", "/admin/hold/release", js, `{"id":999,"reason":"CANARY"}`, officer)
	ask("wrong account", "POST", "/signin", form, url.Values{"name": {"typed"}, "password": {"CANARY"}}.Encode(), stranger)
	ask("wrong setup", "POST", "/setup", form, url.Values{"code": {"typed"}, "name": {"typed"}, "password": {"CANARY"}}.Encode(), stranger)
	page := ask("page of a search", "POST", "/search", form, url.Values{"patient": {"CANARY-7"}}.Encode(), reviewer)
	entry := ask("page of an entry", "GET", "/entries/1", "", "", reviewer)
	found := ask("FHIR search", "GET", "/fhir/AuditEvent?_id=1", "", "", reviewer)
	for name, w := range map[string]*httptest.ResponseRecorder{"page of a search": page, "page of an entry": entry, "FHIR search": found} {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "CANARY") {
			t.Errorf("%s: %d, without the canary: the test proves nothing", name, w.Code)
		}
		for _, link := range regexp.MustCompile(`(?:href|action|src|"url"|"fullUrl")\s*[=:]\s*"([^"]*)"`).FindAllStringSubmatch(w.Body.String(), -1) {
			said[name+": address "+link[1]] = link[1]
		}
	}
	metrics := ask("metrics", "GET", "/metrics", "", "", administrator)
	if metrics.Code != http.StatusOK {
		t.Errorf("metrics: %d", metrics.Code)
	}
	said["metrics"] = metrics.Body.String()
	// Errors that only the other doors give.
	for _, err := range []error{
		func() error {
			_, err := s.repo.As(reporter, hippad.DoorNative).Record(t.Context(), hippad.Frame{Reports: []hippad.Report{{Media: strings.Repeat("CANARY", 100)}}})
			return err
		}(),
		func() error {
			_, err := s.repo.As(stranger, hippad.DoorNative).Record(t.Context(), hippad.Frame{Reports: []hippad.Report{{Media: "x", Body: []byte("CANARY")}}})
			return err
		}(),
	} {
		if err == nil {
			t.Error("an error was expected")
		} else {
			said["native error"] = err.Error()
		}
	}
	for e, err := range s.repo.As(reviewer, hippad.DoorNative).Search(t.Context(), hippad.Query{Indexes: []int64{1}}) {
		if err != nil {
			t.Fatal(err)
		}
		ev := read(e.Report)
		said["printed entry"] = fmt.Sprintf("%v %+v %#v %s %v %+v %#v", e, e, e, e, ev, ev, ev)
	}
	said["log"] = log.String()
	for where, text := range said {
		if i := strings.Index(text, "CANARY"); i >= 0 {
			t.Errorf("%s tells of it: …%s", where, text[max(0, i-80):min(len(text), i+40)])
		}
	}
}

// A copy of the data directory without the key folder tells nothing: not one id or name of the samples is in it.
func TestStolenDisk(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "samples")
	if _, err := os.Stat(root); err != nil {
		t.Skip("the folder of third-party messages is not here")
	}
	s := openHere(t, nil)
	words := map[string]bool{}
	session := s.repo.As(callerWith(hippad.RoleReporter), hippad.DoorNative)
	n := 0
	for _, folder := range []string{"dicom-audit-xml", "fhir-auditevent", "syslog-atna", "syslog-rfc5424"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := os.ReadFile(path)
			if err != nil || len(body) > 1<<20 {
				return err
			}
			r := hippad.Report{Media: mediaOf(body), Body: body}
			for _, word := range identifying(read(r)) {
				words[word] = true
			}
			wait, err := session.Record(t.Context(), hippad.Frame{Reports: []hippad.Report{r}})
			if err != nil {
				return err
			}
			_, err = wait(context.Background())
			n++
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 100 || len(words) < 100 {
		t.Fatalf("%d messages with %d ids and names: the test proves nothing", n, len(words))
	}
	if err := s.store.Compact(t.Context()); err != nil { // what is only in memory goes to the disk
		t.Fatal(err)
	}
	looked := 0
	err := filepath.WalkDir(s.config.Data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "keys" {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		looked += len(text)
		for word := range words {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s holds %q of a sample", filepath.Base(path), word)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d messages, %d ids and names, none of them in %d bytes", n, len(words), looked)
}

// identifying lists what an event says about people: long enough that it is not in random bytes by chance.
func identifying(ev hippad.Event) (words []string) {
	add := func(list ...string) {
		for _, w := range list {
			if len(w) >= 5 && !counting(w) && w != "127.0.0.1" { // which is where this server listens
				words = append(words, w)
			}
		}
	}
	for _, a := range ev.Agents {
		add(a.Who.Identifier.Value, a.Who.Literal, a.Who.Display, a.AltID, a.Name)
	}
	for _, n := range ev.Entities {
		add(n.What.Identifier.Value, n.What.Literal, n.What.Display, n.Name)
	}
	return words
}

// counting tells that a word is a part of the alphabet or of 0123456789: so are the lengths of keys that Pebble writes one after
// the other.
func counting(w string) bool {
	for i := 1; i < len(w); i++ {
		if w[i] != w[i-1]+1 {
			return false
		}
	}
	return true
}
