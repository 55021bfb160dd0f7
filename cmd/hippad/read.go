package main

import (
	"bytes"
	"mime"

	"hippad"
	"hippad/internal/atna"
	"hippad/internal/fhir"
)

// read is the hippad.Reader of this program: the one place where a media type is given to the door that can read it.
func read(r hippad.Report) hippad.Event {
	media, _, err := mime.ParseMediaType(r.Media)
	if err != nil {
		media = r.Media
	}
	switch media {
	case hippad.MediaSyslog:
		return atna.ReadSyslog(r.Body, fhir.Read)
	case hippad.MediaXML, "text/xml":
		ev := atna.ReadXML(r.Body)
		if ev.Unreadable != "" && mediaOf(r.Body) == hippad.MediaFHIRXML { // a sender that is not so particular
			ev = fhir.ReadXML(r.Body)
		}
		return ev
	case hippad.MediaFHIRJSON, "application/json", "text/json":
		return fhir.Read(r.Body)
	case hippad.MediaFHIRXML:
		return fhir.ReadXML(r.Body)
	}
	return hippad.Event{Unreadable: "unknown media type"}
}

// mediaOf tells the media type of a file that somebody reports, from its first bytes.
func mediaOf(body []byte) string {
	b := bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case bytes.HasPrefix(b, []byte("{")):
		return hippad.MediaFHIRJSON
	case len(b) > 1 && b[0] == '<' && b[1] >= '0' && b[1] <= '9':
		return hippad.MediaSyslog
	case bytes.HasPrefix(b, []byte("<")) && bytes.Contains(b, []byte("<AuditEvent")):
		return hippad.MediaFHIRXML
	case bytes.HasPrefix(b, []byte("<")), utf16XML(body):
		return hippad.MediaXML
	}
	return hippad.MediaUnknown
}

// utf16XML tells whether the bytes begin with a UTF-16 byte order mark and '<'.
func utf16XML(b []byte) bool {
	return bytes.HasPrefix(b, []byte("\xff\xfe<\x00")) || bytes.HasPrefix(b, []byte("\xfe\xff\x00<"))
}
