package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"hippad"
)

// Kinds of messages that bench sends.
const (
	benchDICOM  = "dicom"  // DICOM Instances Accessed, PS3.15 A.5.3.6
	benchFHIR   = "fhir"   // FHIR R4 AuditEvent
	benchBroken = "broken" // the first part of one of the others, as a sender leaves it that cuts messages
)

var benchKinds = []string{benchDICOM, benchFHIR, benchBroken}

// The templates hold a $ and a letter where messages differ:
//
//	$t time   $p patient id   $n patient name, which goes with the id   $u user   $h host   $s study, the same all over the message
//	$d six digits   $* filler up to the size
const benchDICOMTemplate = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?><AuditMessage>` +
	`<EventIdentification EventActionCode="R" EventDateTime="$t" EventOutcomeIndicator="0">` +
	`<EventID csd-code="110103" codeSystemName="DCM" originalText="DICOM Instances Accessed"/></EventIdentification>` +
	`<ActiveParticipant UserID="$u" AlternativeUserID="uid=$u,ou=radiology,dc=hospital,dc=example" UserIsRequestor="true" ` +
	`NetworkAccessPointID="192.0.2.$h" NetworkAccessPointTypeCode="2">` +
	`<RoleIDCode csd-code="110153" codeSystemName="DCM" originalText="Source Role ID"/></ActiveParticipant>` +
	`<ActiveParticipant UserID="PACS" AlternativeUserID="AETITLE=ARCHIVE$h" UserIsRequestor="false" ` +
	`NetworkAccessPointID="pacs.hospital.example" NetworkAccessPointTypeCode="1">` +
	`<RoleIDCode csd-code="110152" codeSystemName="DCM" originalText="Destination Role ID"/></ActiveParticipant>` +
	`<AuditSourceIdentification AuditEnterpriseSiteID="Hospital" AuditSourceID="pacs$h.hospital.example">` +
	`<AuditSourceTypeCode csd-code="4"/></AuditSourceIdentification>` +
	`<ParticipantObjectIdentification ParticipantObjectID="$s" ParticipantObjectTypeCode="2" ` +
	`ParticipantObjectTypeCodeRole="3" ParticipantObjectDataLifeCycle="6">` +
	`<ParticipantObjectIDTypeCode csd-code="110180" codeSystemName="DCM" originalText="Study Instance UID"/>` +
	`<ParticipantObjectName>CT chest</ParticipantObjectName><ParticipantObjectDescription><Accession Number="A$d"/>` +
	`<SOPClass UID="1.2.840.10008.5.1.4.1.1.2" NumberOfInstances="4">$*</SOPClass>` +
	`</ParticipantObjectDescription></ParticipantObjectIdentification>` +
	`<ParticipantObjectIdentification ParticipantObjectID="$p^^^&amp;2.16.840.1.113883.19.5&amp;ISO" ParticipantObjectTypeCode="1" ` +
	`ParticipantObjectTypeCodeRole="1"><ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" originalText="Patient Number"/>` +
	`<ParticipantObjectName>$n</ParticipantObjectName></ParticipantObjectIdentification></AuditMessage>`

const benchDICOMFiller = `<Instance UID="$s.1.$d"/>`

const benchFHIRTemplate = `{"resourceType":"AuditEvent","meta":{"profile":["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"]},` +
	`"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest","display":"Restful Operation"},` +
	`"subtype":[{"system":"http://hl7.org/fhir/restful-interaction","code":"read","display":"read"}],"action":"R","recorded":"$t","outcome":"0",` +
	`"agent":[{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153","display":"Source Role ID"}]},` +
	`"who":{"display":"portal$h.hospital.example"},"requestor":false,"network":{"address":"192.0.2.$h","type":"2"}},` +
	`{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"IRCP","display":"information recipient"}]},` +
	`"who":{"identifier":{"system":"https://hospital.example/users","value":"$u"}},"requestor":true,` +
	`"purposeOfUse":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"TREAT","display":"treatment"}]}]}],` +
	`"source":{"site":"Hospital","observer":{"identifier":{"value":"ehr$h.hospital.example"}},` +
	`"type":[{"system":"http://terminology.hl7.org/CodeSystem/security-source-type","code":"4","display":"Application Server"}]},` +
	`"entity":[{"what":{"identifier":{"system":"urn:oid:2.16.840.1.113883.19.5","value":"$p"}},` +
	`"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1","display":"Person"},` +
	`"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1","display":"Patient"},"name":"$n"},` +
	`{"what":{"reference":"Observation/$d"},"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"2","display":"System Object"},` +
	`"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"4","display":"Domain Resource"}$*}]}`

// benchFHIRFiller stands once: a detail whose value is made as long as need be.
const benchFHIRFiller = `,"detail":[{"type":"request","valueString":"$d$d$*"}]`

// benchPatients is how many patients the messages are about.
const benchPatients = 100_000

// A benchTemplate is a message cut where messages differ.
type benchTemplate struct {
	media  string
	pieces []string
	fields []byte // what stands after each piece but the last
	keep   int    // per cent of the message that are sent
}

func newBenchTemplate(media, text string, keep int) benchTemplate {
	t := benchTemplate{media: media, keep: keep}
	for {
		piece, rest, more := strings.Cut(text, "$")
		t.pieces = append(t.pieces, piece)
		if !more {
			return t
		}
		t.fields = append(t.fields, rest[0])
		text = rest[1:]
	}
}

// benchText returns the template of a kind with filler, so that messages have about size bytes.
func benchText(kind string, size int) string {
	if kind == benchFHIR {
		text := strings.Replace(benchFHIRTemplate, "$*", benchFHIRFiller, 1)
		return strings.Replace(text, "$*", strings.Repeat("detail of the request ", 1+size/20)[:max(0, size-benchLength(text))], 1)
	}
	filler := max(0, size-benchLength(benchDICOMTemplate)+benchLength(benchDICOMFiller)/2) / benchLength(benchDICOMFiller)
	return strings.Replace(benchDICOMTemplate, "$*", strings.Repeat(benchDICOMFiller, filler), 1)
}

// benchLength returns how long the messages of a template are on average.
func benchLength(text string) int {
	g := newBenchGenerator(rand.NewPCG(1, 1), time.Now)
	return len(g.fill(nil, newBenchTemplate("", strings.ReplaceAll(text, "$*", ""), 100)))
}

// A benchGenerator makes one connection's messages. Making one costs about a microsecond.
type benchGenerator struct {
	random    *rand.Rand
	now       func() time.Time
	templates []benchTemplate
	upTo      []int // for each template, the weights up to it

	second  int64  // of stamp
	stamp   []byte // the time, without fraction
	syslog  []byte // scratch
	patient uint32 // of the message that is being made
	study   []byte // of that message
}

func newBenchGenerator(source rand.Source, now func() time.Time) *benchGenerator {
	return &benchGenerator{random: rand.New(source), now: now}
}

// add lets the generator make messages of a kind, weight times as often as those of weight 1.
func (g *benchGenerator) add(kind string, weight, size int, door string) {
	media, keep, base := hippad.MediaXML, 100, kind
	switch {
	case kind == benchBroken:
		keep = 60
		if door == benchDoorFHIR {
			media, base = hippad.MediaFHIRJSON, benchFHIR
		}
	case kind == benchFHIR:
		media = hippad.MediaFHIRJSON
	}
	g.templates = append(g.templates, newBenchTemplate(media, benchText(base, size), keep))
	if n := len(g.upTo); n > 0 {
		weight += g.upTo[n-1]
	}
	g.upTo = append(g.upTo, weight)
}

// next appends a message to b and returns its media type.
func (g *benchGenerator) next(b []byte) ([]byte, string) {
	t := &g.templates[0]
	if n := len(g.upTo); n > 1 {
		at, found := slices.BinarySearch(g.upTo, g.random.IntN(g.upTo[n-1]))
		if found {
			at++
		}
		t = &g.templates[at]
	}
	return g.fill(b, *t), t.media
}

// nextSyslog appends a message as an RFC 5424 message in an RFC 5425 frame.
func (g *benchGenerator) nextSyslog(b []byte) []byte {
	s := append(g.syslog[:0], "<85>1 "...)
	s = g.appendTime(s)
	s = append(s, " pacs.hospital.example archive 2988 IHE+RFC-3881 - \xEF\xBB\xBF"...)
	g.syslog, _ = g.next(s)
	b = strconv.AppendInt(b, int64(len(g.syslog)), 10)
	return append(append(b, ' '), g.syslog...)
}

func (g *benchGenerator) fill(b []byte, t benchTemplate) []byte {
	start := len(b)
	g.patient = g.random.Uint32N(benchPatients)
	g.study = append(g.study[:0], "1.2.826.0.1.3680043.9.7133.1."...) // UIDs of one study begin with one root
	for range 3 {
		g.study = appendDigits(g.study, 100_000+g.random.Uint32N(900_000), 6)
	}
	for i, piece := range t.pieces {
		b = append(b, piece...)
		if i < len(t.fields) {
			b = g.field(b, t.fields[i])
		}
	}
	if t.keep < 100 {
		b = b[:start+(len(b)-start)*t.keep/100]
	}
	return b
}

func (g *benchGenerator) field(b []byte, kind byte) []byte {
	first := [...]string{"Ada", "Berta", "Carl", "Dora", "Emil", "Frida", "Gustav", "Hanna", "Ida", "Jon", "Karla", "Lars", "Maria", "Nils", "Olga", "Paul"}
	last := [...]string{"Andersen", "Berg", "Clausen", "Dahl", "Eriksen", "Fischer", "Gruber", "Holm", "Ibsen", "Jensen", "Krog", "Lund", "Moen", "Nygård", "Olsen", "Petersen"}
	switch kind {
	case 't':
		return g.appendTime(b)
	case 'p':
		return appendDigits(b, 10_000_000+g.patient, 8)
	case 'n':
		b = append(append(b, last[g.patient/16%16]...), '^')
		return append(b, first[g.patient%16]...)
	case 'u':
		return appendDigits(append(b, "user"...), g.random.Uint32N(500), 3)
	case 's':
		return append(b, g.study...)
	case 'h':
		return strconv.AppendUint(b, uint64(1+g.random.Uint32N(40)), 10)
	}
	return appendDigits(b, g.random.Uint32N(1_000_000), 6)
}

// appendTime appends the time of now, to the millisecond.
func (g *benchGenerator) appendTime(b []byte) []byte {
	now := g.now()
	if s := now.Unix(); s != g.second || g.stamp == nil {
		g.second, g.stamp = s, now.UTC().AppendFormat(g.stamp[:0], "2006-01-02T15:04:05.")
	}
	return append(appendDigits(append(b, g.stamp...), uint32(now.Nanosecond()/1e6), 3), 'Z')
}

func appendDigits(b []byte, v uint32, width int) []byte {
	var digits [10]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return append(b, digits[:width]...)
}

// parseBenchMix reads "dicom=8,fhir=1,broken=1".
func parseBenchMix(text string) (map[string]int, error) {
	mix := map[string]int{}
	for part := range strings.SplitSeq(text, ",") {
		kind, number, ok := strings.Cut(strings.TrimSpace(part), "=")
		weight, err := strconv.Atoi(number)
		if !ok || err != nil || weight < 0 || weight > 1_000_000 || !slices.Contains(benchKinds, kind) {
			return nil, fmt.Errorf("--mix %q: want KIND=WEIGHT joined by commas, with the kinds %s", text, strings.Join(benchKinds, ", "))
		}
		if _, twice := mix[kind]; twice {
			return nil, fmt.Errorf("--mix %q names %s twice", text, kind)
		}
		if weight > 0 {
			mix[kind] = weight
		}
	}
	if len(mix) == 0 {
		return nil, fmt.Errorf("--mix %q leaves nothing to send", text)
	}
	return mix, nil
}
