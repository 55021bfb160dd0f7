package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/custody"
	"hippad/receipt"
)

// A month whose time is over is purged by two people: its bodies are gone, every receipt given before and after holds, the audit
// passes, and what a hold keeps is there.
func TestPurgeOfAMonth(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	clock := time.Date(2020, 1, 15, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return clock }
	s := openAt(t, data, now, nil)
	about := func(patient string) []byte {
		return []byte(strings.ReplaceAll(canaryReport, "CANARY-7", patient))
	}
	session := s.repo.As(callerWith(hippad.RoleReporter), hippad.DoorNative)
	bodies := map[int64][]byte{}
	add := func(patient string) int64 {
		t.Helper()
		wait, err := session.Record(t.Context(), hippad.Frame{Reports: []hippad.Report{{Media: hippad.MediaXML, Body: about(patient)}}})
		if err != nil {
			t.Fatal(err)
		}
		ack, err := wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		bodies[ack.Ranges[0].First] = about(patient)
		return ack.Ranges[0].First
	}
	var first, last int64
	for i := range 40 {
		patient := "gone-1"
		if i%10 == 3 {
			patient = "held-1^^^&1.2.3&ISO"
		}
		if last = add(patient); i == 0 {
			first = last
		}
	}
	receipts := map[int64][]byte{}
	auditor := s.repo.As(callerWith(hippad.RoleAuditor), hippad.DoorNative)
	keep := func() {
		t.Helper()
		for i := first; i <= last; i++ {
			text, err := auditor.Receipt(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			receipts[i] = text
		}
	}
	verify := func(when string) {
		t.Helper()
		for i, text := range receipts {
			if _, err := receipt.Verify(text, bodies[i], s.keys.Verifier); err != nil {
				t.Errorf("%s: the receipt of %d: %v", when, i, err)
			}
		}
	}
	keep()
	verify("before")

	officer, second := callerWith(hippad.RoleOfficer), callerWith(hippad.RoleOfficer)
	second.ID = "another officer"
	ask := func(c hippad.Caller, path, body string, out any) int {
		t.Helper()
		w := visit(s, "POST /admin/"+path, c, body)
		if w.Code == http.StatusOK && out != nil {
			if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
				t.Fatal(err)
			}
		} else if w.Code != http.StatusOK {
			t.Logf("%s: %d %s", path, w.Code, w.Body)
		}
		return w.Code
	}
	if code := ask(officer, "purge/ask", `{"reason":"too early"}`, nil); code == http.StatusOK {
		t.Error("something is due on the first day")
	}
	clock = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	add("young-1")
	var plan custody.Plan
	if code := ask(officer, "retention", "{}", &plan); code != http.StatusOK || len(plan.Keys) < 3 || plan.Keys[0].Month != "2020-01" || plan.Keys[0].Class != "default" {
		t.Fatalf("%d, %+v", code, plan)
	}
	var hold custody.Hold
	if code := ask(officer, "hold/add", `{"reason":"a lawsuit","patient":"urn:oid:1.2.3|held-1"}`, &hold); code != http.StatusOK {
		t.Fatal(code)
	}
	var request custody.Request
	if code := ask(officer, "purge/ask", `{"reason":"end of retention"}`, &request); code != http.StatusOK {
		t.Fatal(code)
	}
	confirm := fmt.Sprintf(`{"id":%d}`, request.ID)
	if code := ask(officer, "request/confirm", confirm, nil); code != http.StatusForbidden {
		t.Errorf("who asks confirms: %d", code)
	}
	if code := ask(callerWith(hippad.RoleReviewer), "request/confirm", confirm, nil); code != http.StatusForbidden {
		t.Errorf("a reviewer confirms: %d", code)
	}
	if code := ask(second, "request/confirm", confirm, &request); code != http.StatusOK || request.State != custody.StateDone {
		t.Fatalf("%d, %+v", code, request)
	}

	// Bodies are gone but for what is held, under every door.
	reviewer := s.repo.As(callerWith(hippad.RoleReviewer), hippad.DoorNative)
	destroyed := 0
	for i := first; i <= last; i++ {
		held := strings.Contains(string(bodies[i]), "held-1")
		for e, err := range reviewer.Search(t.Context(), hippad.Query{Indexes: []int64{i}}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Destroyed == held || held && !bytes.Equal(e.Body, bodies[i]) {
				t.Errorf("entry %d: held %v, destroyed %v", i, held, e.Destroyed)
			}
			if e.Destroyed {
				destroyed++
			}
		}
		code := visit(s, fmt.Sprintf("GET /fhir/AuditEvent/%d", i), callerWith(hippad.RoleReviewer), "").Code
		if want := map[bool]int{true: http.StatusOK, false: http.StatusGone}[held]; code != want {
			t.Errorf("FHIR of entry %d: %d, want %d", i, code, want)
		}
	}
	if destroyed != 36 {
		t.Errorf("%d entries are destroyed, want 36", destroyed)
	}
	found := func(patient string) (n int) {
		for _, err := range reviewer.Search(t.Context(), hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, patient)}}}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	if a, b, c := found("gone-1"), found("held-1"), found("young-1"); a != 0 || b != 4 || c != 1 {
		t.Errorf("found %d of the gone, %d of the held, %d of the young", a, b, c)
	}
	verify("receipts of before")
	keep()
	verify("receipts of after")

	// An export by two people verifies offline.
	var export custody.Request
	if code := ask(officer, "export/ask", `{"query":{"Terms":[[{"Field":"patient","Value":"held-1"}]]},"reason":"the lawsuit"}`, &export); code != http.StatusOK {
		t.Fatal(code)
	}
	fetch := fmt.Sprintf(`{"id":%d}`, export.ID)
	if code := visit(s, "POST /admin/export/fetch", officer, fetch).Code; code == http.StatusOK {
		t.Error("an export that nobody has confirmed")
	}
	if code := ask(second, "request/confirm", fetch, nil); code != http.StatusOK {
		t.Fatal(code)
	}
	if code := visit(s, "POST /admin/export/fetch", second, fetch).Code; code == http.StatusOK {
		t.Error("somebody else fetches the export")
	}
	w := visit(s, "POST /admin/export/fetch", officer, fetch)
	checkExport(t, s, w.Body, 4)

	verifier := s.keys.Verifier
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	s.ledger = nil
	if out, talk, code := hippadRun(t, "audit", "--data", data); code != 0 || !strings.Contains(out, "36 destroyed") {
		t.Errorf("audit: %d %s%s", code, out, talk)
	}
	// It goes on after a restart, knows its holds, and old receipts still hold.
	s = openAt(t, data, now, nil)
	if holds := s.custody.Holds(); len(holds) != 1 || holds[0].ID != hold.ID {
		t.Errorf("holds after a restart: %+v", holds)
	}
	if s.keys.Verifier.KeyHash() != verifier.KeyHash() {
		t.Error("another key after a restart")
	}
	verify("after a restart")
}

// checkExport reads an export and verifies every body in it against its receipt.
func checkExport(t *testing.T, s *server, r io.Reader, want int) {
	t.Helper()
	files := map[string][]byte{}
	for a := tar.NewReader(r); ; {
		h, err := a.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(a); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for name, text := range files {
		base, ok := strings.CutSuffix(name, ".tlog-proof")
		if !ok {
			continue
		}
		verified := false
		for other, body := range files {
			if strings.HasPrefix(other, base+".") && other != name || other == base {
				_, err := receipt.Verify(text, body, s.keys.Verifier)
				verified = verified || err == nil
			}
		}
		if !verified {
			t.Errorf("%s verifies for no body in the archive", name)
		}
		n++
	}
	if n != want {
		t.Errorf("%d receipts in the archive, want %d", n, want)
	}
}
