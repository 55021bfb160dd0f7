package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// anyActivity is an event as systems and this log report them, and as they should not.
func anyActivity(t *rapid.T) (hippad.Entry, hippad.Event) {
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	code := rapid.Custom(func(t *rapid.T) hippad.Code {
		return hippad.Code{
			System: rapid.SampledFrom([]string{"DCM", hippad.SystemDCM, "1.2.840.10008.2.16.4", "", "urn:other", repository.ActivitySystem}).Draw(t, "system"),
			Code: rapid.SampledFrom([]string{"110101", "110113", "110114", "110120", "110121", "110122", "110123", "110126", "110127", "110132", "", "BTG", "ETREAT",
				"hold", "review", "breach", "source-gap", "purge"}).Draw(t, "code"),
		}
	})
	agent := rapid.Custom(func(t *rapid.T) hippad.Agent {
		id := rapid.SampledFrom([]string{"", "lind", "Nurse", "ADMIN", "admin2", "1.2.3|guest", "Practitioner/7"})
		return hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{Value: id.Draw(t, "id")}, Literal: rapid.SampledFrom([]string{"", "Practitioner/guest",
			"https://x.example/fhir/Practitioner/root/_history/2"}).Draw(t, "literal")}, AltID: id.Draw(t, "alt"), Name: id.Draw(t, "name"),
			Purposes: rapid.SliceOfN(code, 0, 1).Draw(t, "purposes"), Requestor: rapid.Bool().Draw(t, "requestor")}
	})
	e := hippad.Entry{
		Door: hippad.Door(rapid.IntRange(0, 4).Draw(t, "door")), Report: hippad.Report{Fault: hippad.Fault(rapid.IntRange(0, 4).Draw(t, "fault")), Media: "text/plain"},
		Reporter: hippad.Principal{Kind: hippad.KindCertificate, ID: "x"},
	}
	if rapid.IntRange(0, 9).Draw(t, "unreadable") == 0 {
		return e, hippad.Event{Unreadable: "it is text"}
	}
	return e, hippad.Event{
		Type: code.Draw(t, "type"), Subtypes: rapid.SliceOfN(code, 0, 3).Draw(t, "subtypes"), Outcome: pick("outcome", "", "0", "4", "8", "12", "1"),
		Purposes: rapid.SliceOfN(code, 0, 2).Draw(t, "purposes"), Agents: rapid.SliceOfN(agent, 0, 2).Draw(t, "agents"),
		Source: hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: pick("source", "", "PACS")}}},
	}
}

// Below each count of a statement stands how to list what was counted. It must list just that.
func TestMeasuresAreQueries(t *testing.T) {
	queries := map[string]hippad.Query{}
	for _, m := range regulation.Measures() {
		if m.Query == nil {
			continue
		}
		q, err := parseQuery(m.Query)
		if err != nil {
			t.Fatalf("%s: %v", m.ID, err)
		}
		queries[m.ID] = q
	}
	rapid.Check(t, func(t *rapid.T) {
		e, ev := anyActivity(t)
		tally := regulation.NewTally(time.UTC)
		tally.Add(e, ev)
		f := tally.Facts(regulation.Date{}, regulation.Date{})
		for id, q := range queries {
			if counted := f.Count(id) == 1; counted != q.Matches(e, ev) {
				t.Fatalf("%s: counted %v, found %v", id, counted, q.Matches(e, ev))
			}
		}
	})
}

// Every activity of the log is counted, under the name that the repository has for it.
func TestEveryActivityIsCounted(t *testing.T) {
	for _, a := range []repository.Activity{repository.ActivityHold, repository.ActivityRelease, repository.ActivityRequest, repository.ActivityConfirm, repository.ActivityRefuse,
		repository.ActivityPurge, repository.ActivityExport, repository.ActivityBackup, repository.ActivityRotate, repository.ActivityKey, repository.ActivityMember,
		repository.ActivityAccount, repository.ActivityRetention, repository.ActivityForward, repository.ActivityLink, repository.ActivityUnlink, repository.ActivityCrosswalk,
		repository.ActivityDisclosure, repository.ActivityAccess, repository.ActivityBreach, repository.ActivityReview, repository.ActivityCompliance} {
		tally := regulation.NewTally(time.UTC)
		tally.Add(hippad.Entry{Door: hippad.DoorSelf}, hippad.Event{Subtypes: []hippad.Code{a.Code()}})
		if f := tally.Facts(regulation.Date{}, regulation.Date{}); f.Count(string(a)) != 1 {
			t.Errorf("%s is not counted", a)
		}
	}
}

// statementFacts are those of a made-up year: every measure has another count.
func statementFacts() regulation.Facts {
	from, to := regulation.Date{Year: 2026, Month: 1, Day: 1}, regulation.Date{Year: 2026, Month: 12, Day: 31}
	f := regulation.NewTally(time.UTC).Facts(from, to)
	for i := range f.Counts {
		f.Counts[i].Count = int64(i * 7 % 41)
	}
	f.Log, f.At, f.First, f.Entries = "samaritan.example/hippad", time.Date(2027, 1, 4, 9, 30, 0, 0, time.UTC), 1200, 81_000
	f.Reporters, f.ManyPlaced, f.Certificates, f.Silent, f.Missing, f.Holds = 12, 3, 1, 2, 40, 5
	f.Organisations = []regulation.Count{{ID: "North Hospital", Count: 70_000}, {ID: "", Count: 11_000}}
	f.Steps = []regulation.Step{{Activity: "review", Words: "a review was signed", Count: 4}, {Activity: "breach", Words: "=cmd|' /C calc'!A0", Count: 1}}
	return f
}

func TestStatementGolden(t *testing.T) {
	who := organisation{"Samaritan General Hospital", []string{"100 Main Street", "Springfield, IL 62701"}}
	for _, c := range regulation.Catalogues() {
		s := regulation.Compliance(c, statementFacts())
		for _, form := range []string{"text", "csv", "json", "html"} {
			var got, again bytes.Buffer
			if err := statementForms[form](&got, s, who); err != nil {
				t.Fatal(err)
			}
			if err := statementForms[form](&again, s, who); err != nil || !bytes.Equal(got.Bytes(), again.Bytes()) {
				t.Errorf("%s differs from one time to the next", form)
			}
			if !bytes.Contains(got.Bytes(), []byte("not legal advice")) && form != "csv" {
				t.Errorf("%s of %s does not say that it is not legal advice", form, c.Name)
			}
			if c.Proposed && !slices.ContainsFunc([]string{"PROPOSED, NOT IN FORCE", `"proposed": true`, ",no,"}, func(x string) bool { return strings.Contains(got.String(), x) }) {
				t.Errorf("%s of %s does not say that it is not in force", form, c.Name)
			}
			if form == "html" {
				continue
			}
			file := filepath.Join("testdata", "compliance", c.Name+"."+form+".golden")
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s is different now: see go test -update", file)
			}
		}
		var pdf bytes.Buffer
		if err := statementForms["pdf"](&pdf, s, who); err != nil || !bytes.HasPrefix(pdf.Bytes(), []byte("%PDF-")) {
			t.Errorf("%v", err)
		}
		if dir := os.Getenv("HIPPAD_DOCUMENT_OUT"); dir != "" { // to be looked at
			os.WriteFile(filepath.Join(dir, c.Name+".pdf"), pdf.Bytes(), 0o644)
		}
	}
}

// What is counted month by month, on several processors, is what is there; days are those of the organisation.
func TestComplianceCounts(t *testing.T) {
	clock := time.Date(2025, 11, 30, 23, 0, 0, 0, time.UTC)
	s := openAt(t, filepath.Join(t.TempDir(), "data"), func() time.Time { return clock }, nil)
	for month := range 5 {
		clock = time.Date(2025, 12, 15, 12, 0, 0, 0, time.UTC).AddDate(0, month, 0)
		for range month + 1 {
			reportCanary(t, s)
		}
	}
	clock = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		from, to string
		want     int64
	}{
		{"2025-12-01", "2026-04-30", 15}, {"2025-12-15", "2025-12-15", 1}, {"2025-12-16", "2026-04-14", 2 + 3 + 4}, {"2026-04-16", "2026-04-30", 0},
		{"0001-01-01", "9998-12-31", 15}, {"2030-01-01", "2030-01-02", 0}, {"2000-01-01", "2000-01-02", 0}, {"2026-01-31", "2026-02-01", 0},
	} {
		from, _ := regulation.ParseDate(x.from)
		to, _ := regulation.ParseDate(x.to)
		span, err := s.complianceSpan(complianceIn{From: from, To: to})
		if err != nil {
			t.Fatal(err)
		}
		f, err := s.count(t.Context(), span, func(int64, int64) {})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Count("reports"); got != x.want {
			t.Errorf("%s to %s: %d reports, want %d", x.from, x.to, got, x.want)
		}
		if sum := f.Count("reports") + f.Count("own"); sum != f.Entries {
			t.Errorf("%s to %s: %d of %d entries", x.from, x.to, sum, f.Entries)
		}
	}
	span, err := s.complianceSpan(complianceIn{})
	if err != nil || fmt.Sprint(span.from, span.to) != "2025-05-02 2026-05-01" {
		t.Errorf("%v to %v, %v", span.from, span.to, err)
	}
}

// What was asked is an entry before anything is answered, and nobody can have the log counted twice at a time.
func TestComplianceIsRecordedFirst(t *testing.T) {
	disk := &fullDisk{FS: vfs.Default}
	s := openHere(t, disk)
	reportCanary(t, s)
	officer := callerWith(hippad.RoleOfficer)
	ask := func() *httptest.ResponseRecorder {
		return visit(s, "POST /admin/compliance", officer, `{"catalogue":"hipaa"}`)
	}
	before := s.ledger.Size()
	if w := ask(); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"facts"`) || strings.Contains(w.Body.String(), "CANARY") {
		t.Errorf("%d: %.300s", w.Code, w.Body)
	}
	if n := s.ledger.Size() - before; n != 1 {
		t.Errorf("%d entries about it, want 1", n)
	}
	if w := visit(s, "POST /admin/compliance", officer, `{"catalogue":"iso"}`); w.Code != http.StatusBadRequest {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	s.counting.Lock()
	if w := ask(); w.Code != http.StatusTooManyRequests {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	s.counting.Unlock()
	disk.full.Store(true)
	if w := ask(); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), `"facts"`) {
		t.Errorf("%d: %.300s", w.Code, w.Body)
	}
}

// BenchmarkCompliance says how fast a period is counted, and how much the heap grows for it.
func BenchmarkCompliance(b *testing.B) {
	s, err := openServer(b.Context(), serveConfig{Data: filepath.Join(b.TempDir(), "data"), Listen: []string{"127.0.0.1:0"}, Origin: "hospital.example/log", MaxMessage: 64 << 10},
		slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	const entries = 100_000
	g := benchGeneratorOf(b, benchDoorNative, 2000, benchDICOM, benchFHIR)
	session := s.repo.As(callerWith(hippad.RoleReporter), hippad.DoorNative)
	for range entries / 1000 {
		var f hippad.Frame
		for range 1000 {
			body, media := g.next(nil)
			f.Reports = append(f.Reports, hippad.Report{Media: media, Body: body})
		}
		wait, err := session.Record(b.Context(), f)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	span, err := s.complianceSpan(complianceIn{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f, err := s.count(b.Context(), span, func(int64, int64) {})
		if err != nil || f.Count("reports") != entries {
			b.Fatalf("%d, %v", f.Count("reports"), err)
		}
	}
	b.ReportMetric(entries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
