package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/disclosure"
	"hippad/internal/document"
	"hippad/internal/regulation"
)

// benchWard reports of 10,000 patients, in turn as a hospital's systems do: mostly reads by its own staff, in FHIR and in DICOM, and every fiftieth
// a disclosure, for one purpose or another.
func benchWard(i, patients int) hippad.Report {
	patient := (i*7919 + i/patients) % patients
	at := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 3 * time.Minute).Format(time.RFC3339)
	switch {
	case i%50 == 0:
		code := []string{"PUBHLTH", "TREAT", "HLEGAL", "HPAYMT", "XYZ"}[i/50%5]
		return hippad.Report{Media: hippad.MediaFHIRJSON, Body: fmt.Appendf(nil, `{"resourceType":"AuditEvent","type":{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110106"},"subtype":[{"system":"http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle","code":"disclose"}],"action":"R","recorded":%q,"outcome":"0","purposeOfEvent":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":%q}]}],"agent":[{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153"}]},"who":{"identifier":{"value":"ehr-1"}},"requestor":true},{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110152"}]},"name":"Agency %d","requestor":false}],"source":{"observer":{"identifier":{"value":"ehr-1"}}},"entity":[{"what":{"identifier":{"system":"urn:oid:2.16.840.1.113883.19.5","value":"%08d"}},"role":{"code":"1"}},{"what":{"reference":"DocumentReference/%d"},"type":{"code":"2"},"role":{"code":"3"}}]}`, at, code, i%7, patient, i)}
	case i%3 == 0:
		return hippad.Report{Media: hippad.MediaXML, Body: fmt.Appendf(nil, `<AuditMessage><EventIdentification EventActionCode="R" EventDateTime=%q EventOutcomeIndicator="0"><EventID csd-code="110103" codeSystemName="DCM" originalText="DICOM Instances Accessed"/></EventIdentification><ActiveParticipant UserID="user-%d" UserName="Somebody" UserIsRequestor="true" NetworkAccessPointID="10.0.%d.%d" NetworkAccessPointTypeCode="2"/><AuditSourceIdentification AuditSourceID="pacs-1"/><ParticipantObjectIdentification ParticipantObjectID="%08d^^^&amp;2.16.840.1.113883.19.5&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1"><ParticipantObjectIDTypeCode csd-code="2"/></ParticipantObjectIdentification><ParticipantObjectIdentification ParticipantObjectID="1.2.840.%d" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3"><ParticipantObjectIDTypeCode csd-code="110180" codeSystemName="DCM"/></ParticipantObjectIdentification></AuditMessage>`, at, i%900, i%250, i%200, patient, i)}
	}
	return hippad.Report{Media: hippad.MediaFHIRJSON, Body: fmt.Appendf(nil, `{"resourceType":"AuditEvent","type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},"subtype":[{"system":"http://hl7.org/fhir/restful-interaction","code":"read"}],"action":"R","recorded":%q,"outcome":"0","purposeOfEvent":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"TREAT"}]}],"agent":[{"who":{"identifier":{"system":"urn:oid:1.9","value":"user-%d"}},"name":"Somebody","requestor":true,"network":{"address":"10.0.%d.%d","type":"2"}}],"source":{"observer":{"identifier":{"value":"ehr-1"}}},"entity":[{"what":{"identifier":{"system":"urn:oid:2.16.840.1.113883.19.5","value":"%08d"}},"role":{"code":"1"}},{"what":{"reference":"Observation/%d"},"type":{"code":"2"},"role":{"code":"4"}}]}`, at, i%900, i%250, i%200, patient, i)}
}

// cpuSeconds is what the processors have worked for this process, which says more than the clock where others use them too.
func cpuSeconds() float64 {
	runtime.GC() // brings the figure up to date
	sample := []metrics.Sample{{Name: "/cpu/classes/user:cpu-seconds"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64() + sample[1].Value.Float64()
}

// BenchmarkAccounting answers for every patient of a store on the disk, as hippad disclosures --csv does, with a hundred entries of each: 1,000 patients,
// or as many as HIPPAD_BENCH_ENTRIES makes.
//
//	HIPPAD_BENCH_ENTRIES=1000000 go test ./cmd/hippad -run '^$' -bench Accounting -benchtime 1x
func BenchmarkAccounting(b *testing.B) {
	entries := 100_000
	if text := os.Getenv("HIPPAD_BENCH_ENTRIES"); text != "" {
		var err error
		if entries, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	patients := entries / 100
	s, err := openServer(b.Context(), serveConfig{Data: b.TempDir(), Listen: []string{"127.0.0.1:0"}, Origin: "bench.example", MaxMessage: 64 << 10}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	s.entity.Own = []string{"ehr-1", "pacs-1", "urn:oid:1.9|"}
	operator := hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindOperator, ID: "sha256:00"}, Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleReporter, hippad.RoleOfficer}}}
	session := s.repo.As(operator, hippad.DoorNative)
	for sent := 0; sent < entries; {
		var f hippad.Frame
		for range min(1000, entries-sent) {
			f.Reports = append(f.Reports, benchWard(sent+len(f.Reports), patients))
		}
		wait, err := session.Record(b.Context(), f)
		if err == nil {
			_, err = wait(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
		sent += len(f.Reports)
	}
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	before, most := memory.HeapAlloc, uint64(0)
	cpu := cpuSeconds()
	rounds, rows, open := 0, 0, 0
	for b.Loop() {
		rounds++
		for first := 0; first < patients; first += 50 {
			ask := disclosure.Ask{}
			for p := first; p < min(first+50, patients); p++ {
				ask.Patients = append(ask.Patients, fmt.Sprintf("urn:oid:2.16.840.1.113883.19.5|%08d", p))
			}
			answers, err := s.disclosures.Account(b.Context(), operator, ask)
			if err != nil {
				b.Fatal(err)
			}
			for _, a := range answers {
				if a.Unknown {
					b.Fatal("a patient is not known")
				}
				rows += len(a.Rows)
				open += a.Open
			}
			runtime.ReadMemStats(&memory)
			most = max(most, memory.HeapAlloc)
		}
	}
	if rows == 0 || open == 0 {
		b.Fatalf("%d rows, %d open", rows, open)
	}
	b.ReportMetric(float64(patients*rounds)/b.Elapsed().Seconds(), "patients/s")
	b.ReportMetric((cpuSeconds()-cpu)/float64(rounds), "cpu-s/op")
	b.ReportMetric(float64(before)/1e6, "MB-before")
	b.ReportMetric(float64(most)/1e6, "MB-most")
	b.ReportMetric(float64(rows)/float64(patients*rounds), "rows/patient")
}

// Every command below disclosures explains itself, with an example that calls it.
func TestDisclosuresHelp(t *testing.T) {
	for _, c := range newDisclosures().Commands() {
		if c.Short == "" || c.Long == "" || !strings.Contains(c.Example, "hippad disclosures "+c.Name()) {
			t.Errorf("%s: short %q, long %q, example %q", c.Name(), c.Short, c.Long, c.Example)
		}
	}
}

// What a stranger has sent is no formula to a program for tables.
func TestSafeCell(t *testing.T) {
	for text, want := range map[string]string{"": "", "County": "County", "=1+1": "'=1+1", "@x": "'@x", "-2": "'-2", "+1 217": "'+1 217", "a\nb": "a?b", "＝1": "'＝1", "é": "é"} {
		if got := safeCell(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Letters that come one by one are one file; a file that cannot be written ends with an error and not in waiting.
func TestPDFStream(t *testing.T) {
	letter := func() *document.Document {
		return accountingDocument(regulation.Organisation{Name: "x"}, disclosure.Answer{Accounting: regulation.Accounting{Patient: "p"}})
	}
	var b bytes.Buffer
	p := newPDFStream(&b)
	for range 3 {
		if err := p.add(letter()); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.end(nil); err != nil || !bytes.HasPrefix(b.Bytes(), []byte("%PDF-")) {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
	p = newPDFStream(&b)
	_ = p.add(letter())
	if err := p.end(errNo); err == nil {
		t.Error("an abandoned file is whole")
	}
}
