package atna

import (
	"bytes"
	"strings"
	"testing"

	"hippad"
)

// benchmark reads the same reports over and over, and tells reports per second besides bytes.
func benchmark(b *testing.B, bodies [][]byte, read func([]byte)) {
	total := 0
	for _, body := range bodies {
		total += len(body)
	}
	b.SetBytes(int64(total))
	b.ReportAllocs()
	for b.Loop() {
		for _, body := range bodies {
			read(body)
		}
	}
	b.ReportMetric(float64(b.N*len(bodies))/b.Elapsed().Seconds(), "reports/s")
}

// query is a message of the size and make that document registries send.
func query() []byte {
	doc := `<?xml version="1.0" encoding="UTF-8"?><AuditMessage><EventIdentification EventActionCode="E" EventDateTime="2024-03-05T08:15:30.250Z" EventOutcomeIndicator="0"><EventID csd-code="110112" codeSystemName="DCM" originalText="Query"/><EventTypeCode csd-code="ITI-18" codeSystemName="IHE Transactions" originalText="Registry Stored Query"/></EventIdentification><ActiveParticipant UserID="consumer" AlternativeUserID="4711" UserIsRequestor="true" NetworkAccessPointID="192.0.2.10" NetworkAccessPointTypeCode="2"><RoleIDCode csd-code="110153" codeSystemName="DCM" originalText="Source Role ID"/></ActiveParticipant><ActiveParticipant UserID="https://registry.example.org/iti18" UserIsRequestor="false" NetworkAccessPointID="registry.example.org" NetworkAccessPointTypeCode="1"><RoleIDCode csd-code="110152" codeSystemName="DCM" originalText="Destination Role ID"/></ActiveParticipant><AuditSourceIdentification AuditEnterpriseSiteID="1.2.3" AuditSourceID="gw"><AuditSourceTypeCode csd-code="9" codeSystemName="DCM" originalText="Other"/></AuditSourceIdentification><ParticipantObjectIdentification ParticipantObjectID="P-1^^^&amp;1.2.3.4&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1"><ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" originalText="Patient Number"/></ParticipantObjectIdentification><ParticipantObjectIdentification ParticipantObjectID="urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="24"><ParticipantObjectIDTypeCode csd-code="ITI-18" codeSystemName="IHE Transactions" originalText="Registry Stored Query"/><ParticipantObjectQuery>` +
		strings.Repeat("TVNIfF5+", 20) + `</ParticipantObjectQuery><ParticipantObjectDetail type="QueryEncoding" value="VVRGLTg="/></ParticipantObjectIdentification></AuditMessage>`
	return []byte(doc)
}

func BenchmarkReadXML2KB(b *testing.B) {
	if ev := ReadXML(query()); ev.Unreadable != "" {
		b.Fatal(ev.Unreadable)
	}
	benchmark(b, [][]byte{query()}, func(body []byte) { ReadXML(body) })
}

func BenchmarkReadSyslog2KB(b *testing.B) {
	benchmark(b, [][]byte{append([]byte("<85>1 2026-11-22T20:37:50.959Z vm atna-audit.js 9688 IHE+RFC-3881 - "), query()...)},
		func(body []byte) { ReadSyslog(body, nil) })
}

func BenchmarkReadSyslogHeader(b *testing.B) {
	msg := "<85>1 2026-11-22T20:37:50.959Z vm atna-audit.js 9688 IHE+RFC-3881 - <AuditMessage/>"
	b.ReportAllocs()
	for b.Loop() {
		parseHeader(msg)
	}
}

func BenchmarkReadIHEYr4(b *testing.B) {
	body := []byte(dialects[len(dialects)-1].xml)
	if !bytes.Contains(body, []byte(rootIHEYr4)) {
		b.Fatal("another dialect")
	}
	benchmark(b, [][]byte{body}, func(body []byte) { ReadXML(body) })
}

func BenchmarkReadXMLSamples(b *testing.B) {
	benchmark(b, sampleBodies(b, "dicom-audit-xml"), func(body []byte) { ReadXML(body) })
}

func BenchmarkReadSyslogSamples(b *testing.B) {
	var bodies [][]byte
	for _, name := range files(b, samples(b, "syslog-atna")) {
		for _, f := range messages(b, name) {
			bodies = append(bodies, f.body)
		}
	}
	benchmark(b, bodies, func(body []byte) { ReadSyslog(body, nil) })
}

func BenchmarkCheckSamples(b *testing.B) {
	benchmark(b, sampleBodies(b, "dicom-audit-xml"), func(body []byte) { Check(hippad.Report{Media: hippad.MediaXML, Body: body}, nil) })
}

func sampleBodies(b *testing.B, set string) (bodies [][]byte) {
	for _, name := range files(b, samples(b, set)) {
		bodies = append(bodies, read(b, name))
	}
	return bodies
}
