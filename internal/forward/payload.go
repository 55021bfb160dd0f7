package forward

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"hippad"
)

// prepare sets what is sent of an entry: the report as it came, if the destination takes such a thing at all.
func (r *runner) prepare(it *item) {
	switch r.rule.kind {
	case kindHippad:
		it.payload, it.media = it.Body, it.Media
		if it.notice {
			it.media = "text/plain; charset=utf-8"
			it.payload = fmt.Appendf(nil, "entry %d was withheld by the log that forwards: %s\nmedia type: %s\nbytes: %d\n", it.Index,
				map[bool]string{true: "its content is gone at the end of its retention", false: "its report was refused here"}[it.Destroyed], it.Media, len(it.Body))
		}
	case kindFHIR:
		r.prepareFHIR(it)
	default:
		it.payload = r.syslogOf(it.Entry)
	}
}

// mediaOf is a media type without its parameters.
func mediaOf(r hippad.Report) string {
	media, _, err := mime.ParseMediaType(r.Media)
	if err != nil {
		return strings.ToLower(strings.TrimSpace(r.Media))
	}
	return media
}

// msgID says in a syslog header what comes behind it (ITI TF-2 3.20.4.1.2.1 for the first two).
var msgID = map[string]string{
	hippad.MediaXML: "IHE+RFC-3881", "text/xml": "IHE+RFC-3881", hippad.MediaFHIRJSON: "AuditEvent", hippad.MediaFHIRXML: "AuditEvent",
}

// syslogOf is a syslog message with the report: the one that it came in, or a header of this log's own (RFC 5424 section 6.2)
// with the report unchanged behind it. PRI 85 is facility security/authorisation and severity notice, as ITI TF-2 3.20.4.1.2.1 has
// it. TIMESTAMP is when the log took it, so that whoever sends it twice sends the same.
func (r *runner) syslogOf(e hippad.Entry) []byte {
	media := mediaOf(e.Report)
	if media == hippad.MediaSyslog {
		return e.Body
	}
	id := msgID[media]
	if id == "" {
		id = "-"
	}
	b := make([]byte, 0, 128+len(e.Body))
	b = fmt.Appendf(b, "<85>1 %s %s hippad - %s - ", e.Received.UTC().Format("2006-01-02T15:04:05.000000Z"), headerName(r.f.Host), id)
	return append(b, e.Body...)
}

// headerName makes a name fit for a syslog header: printable ASCII, at most 255 bytes, not empty.
func headerName(s string) string {
	s = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return -1
		}
		return c
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), 255)]
}

// cut shortens a message to what a datagram takes. The end is lost, as RFC 5424 section 6.1 has it, and no character is cut
// through.
func cut(b []byte, most int) []byte {
	if len(b) <= most {
		return b
	}
	end := most
	for range utf8.UTFMax - 1 {
		if utf8.RuneStart(b[end]) {
			break
		}
		end--
	}
	if !utf8.RuneStart(b[end]) { // not UTF-8 at all
		end = most
	}
	return b[:end]
}

// prepareFHIR sets the body of a create: a FHIR AuditEvent as it came, anything else as the R4 AuditEvent that says the same,
// because a FHIR server takes nothing else.
func (r *runner) prepareFHIR(it *item) {
	it.payload, it.media = it.Body, it.Media
	switch media := mediaOf(it.Report); {
	case r.rule.R4:
	case media == hippad.MediaFHIRJSON, media == hippad.MediaFHIRXML:
		return
	case (media == "application/json" || media == "text/json") && bytes.Contains(it.Body, []byte(`"AuditEvent"`)):
		it.media = hippad.MediaFHIRJSON
		return
	}
	ev := r.f.Read(it.Report)
	if ev.Unreadable != "" {
		it.payload, it.refused = nil, "nobody can read the report, so it cannot be made a FHIR AuditEvent"
		return
	}
	w := r.f.Write(ev)
	it.payload, it.media = w.Body, w.Media
}
