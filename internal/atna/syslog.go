package atna

import (
	"bytes"
	"strings"

	"hippad"
)

// noAuditMessage is the reason for syslog messages of other kinds, which a repository accepts too (IHE ITI TF-2 3.20.4.1.3).
const noAuditMessage = "syslog message carries no audit message"

// ReadSyslog reads one syslog message, header included: RFC 5424, RFC 3164 or anything that holds an audit message. Neither PRI
// nor MSGID decides anything (DICOM PS3.15 A.6). The function json reads a payload that starts with '{', a FHIR AuditEvent in
// JSON; nil means that there are none. It is passed in because doors do not import each other. ReadSyslog never fails: what holds
// no audit message is Unreadable, with the time and the host that the header names. Event.Syslog is set in any case.
func ReadSyslog(body []byte, json func([]byte) hippad.Event) hippad.Event {
	text := string(body)
	h, at := parseHeader(text)
	start, kind := findPayload(text, at)
	ev := hippad.Event{Unreadable: noAuditMessage}
	switch {
	case kind == payloadXML:
		ev = readXML(text[start:])
	case kind != payloadNone && json != nil:
		if got := json(bytes.TrimRight(body[start:], blanks)); kind == payloadJSON || got.Unreadable == "" {
			ev = got
		}
	}
	if ev.Unreadable != "" {
		if ev.Recorded.IsZero() {
			ev.Recorded = h.Timestamp
		}
		if ev.Source.Observer.IsZero() {
			ev.Source.Observer.Identifier.Value = h.Hostname
		}
	}
	ev.Syslog = &h
	return ev
}

// A payload is what a syslog message carries.
type payload uint8

const (
	payloadNone payload = iota
	payloadXML
	payloadJSON
	payloadMaybe // something in braces behind other text
)

// blanks are what surrounds a payload on the wire: white space, and the NUL that C programs send along.
const blanks = " \t\r\n\x00"

// findPayload returns where the payload of a message starts whose header ends at at.
func findPayload(s string, at int) (int, payload) {
	msg := s[at:]
	// A byte order mark is legal (RFC 5424 section 6.4), counted or not; a charset conversion makes a question mark of it.
	start := strings.TrimLeft(msg, blanks+"?\uFEFF")
	wide := strings.TrimLeft(msg, " ")
	switch {
	case hasPrefix(wide, bomUTF16LE), hasPrefix(wide, bomUTF16BE), hasPrefix(wide, "<\x00"), hasPrefix(wide, "\x00<\x00"):
		return len(s) - len(wide), payloadXML
	case start == "":
		return len(s), payloadNone
	case start[0] == '<' && (hasPrefix(start, "<?") || hasPrefix(start, "<!") || payloadStarts(start)):
		return len(s) - len(start), payloadXML
	case start[0] == '{':
		return len(s) - len(start), payloadJSON
	}
	// Something else stands before the message: a tag, a header of another sort.
	for _, mark := range [...]string{"<?xml", "<" + rootName, ":" + rootName, "<" + rootIHEYr4} {
		i := strings.Index(msg, mark)
		if i >= 0 && mark[0] == ':' {
			i = strings.LastIndexByte(msg[:i], '<')
		}
		if i >= 0 {
			return at + i, payloadXML
		}
	}
	if i := strings.IndexByte(msg, '{'); i >= 0 {
		return at + i, payloadMaybe
	}
	if start[0] == '<' && isMarkup(start) { // some other document
		return len(s) - len(start), payloadXML
	}
	return at, payloadNone
}

// isMarkup tells whether s, which starts with '<', starts like an XML document.
func isMarkup(s string) bool {
	if len(s) < 2 {
		return false
	}
	c := s[1]
	return c == '?' || c == '!' || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}
