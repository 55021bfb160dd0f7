package atna

import (
	"bytes"
	"time"
	"unicode/utf8"

	"hippad"
)

// noAuditMessage is the reason for syslog messages of other kinds, which a repository accepts too (IHE ITI TF-2 3.20.4.1.3).
const noAuditMessage = "syslog message carries no audit message"

// ReadSyslog reads one syslog message, header included: RFC 5424, RFC 3164 or anything that holds an audit message. Neither PRI
// nor MSGID decides anything (DICOM PS3.15 A.6). The function json reads a payload that starts with '{', a FHIR AuditEvent in
// JSON; nil means that there are none. It is passed in because doors do not import each other. ReadSyslog never fails: what holds
// no audit message is Unreadable, with the time and the host that the header names.
func ReadSyslog(body []byte, json func([]byte) hippad.Event) hippad.Event {
	h := parseHeader(body)
	ev := readPayload(body[h.length:], json)
	if ev.Unreadable != "" {
		if ev.Recorded.IsZero() {
			ev.Recorded = h.recorded
		}
		if ev.Source.Observer.IsZero() {
			ev.Source.Observer.Identifier.Value = h.host
		}
	}
	return ev
}

func readPayload(msg []byte, json func([]byte) hippad.Event) hippad.Event {
	// A byte order mark is legal (RFC 5424 section 6.4), counted or not; a charset conversion makes a question mark of it.
	start := bytes.TrimLeft(msg, " \t\r\n\x00?\xEF\xBB\xBF")
	switch {
	case len(start) == 0:
	case start[0] == '<' && isMarkup(start):
		return ReadXML(start)
	case start[0] == '{' && json != nil:
		return json(bytes.TrimRight(start, " \t\r\n\x00"))
	case hasPrefix(msg, bomUTF16LE), hasPrefix(msg, bomUTF16BE):
		return ReadXML(msg)
	}
	// Something else stands before the message: a tag, a header of another sort.
	for _, mark := range [...]string{"<?xml", "<AuditMessage", ":AuditMessage", "<IHEYr4"} {
		i := bytes.Index(msg, []byte(mark))
		if i >= 0 && mark[0] == ':' {
			i = bytes.LastIndexByte(msg[:i], '<')
		}
		if i >= 0 {
			return ReadXML(msg[i:])
		}
	}
	if i := bytes.IndexByte(msg, '{'); i >= 0 && json != nil {
		if ev := json(bytes.TrimRight(msg[i:], " \t\r\n\x00")); ev.Unreadable == "" {
			return ev
		}
	}
	return hippad.Event{Unreadable: noAuditMessage}
}

// isMarkup tells whether b, which starts with '<', starts like an XML document.
func isMarkup(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	c := b[1]
	return c == '?' || c == '!' || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// A header is what hippad wants of a syslog header.
type header struct {
	recorded time.Time // zero if missing; RFC 3164 has no year, so its time cannot be told
	host     string
	length   int // where the message starts, or at least what is not yet the header
}

// parseHeader reads the header of an RFC 5424 or RFC 3164 message as far as it goes, and is satisfied with any part of it.
func parseHeader(b []byte) header {
	f := fields{b: b}
	if n, ok := priority(b); ok {
		f.pos = n
		if n := version(b[f.pos:]); n > 0 {
			f.pos += n
			return f.rfc5424()
		}
	}
	return f.rfc3164()
}

// priority returns the length of "<PRI>" at the start of b.
func priority(b []byte) (int, bool) {
	if len(b) < 3 || b[0] != '<' {
		return 0, false
	}
	i := 1
	for i < len(b) && i < 4 && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == 1 || i == len(b) || b[i] != '>' {
		return 0, false
	}
	return i + 1, true
}

// version returns the length of "VERSION SP" at the start of b, 0 if there is none.
func version(b []byte) int {
	i := 0
	for i < len(b) && i < 3 && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == 0 || i == len(b) || b[i] != ' ' {
		return 0
	}
	return i + 1
}

// fields cuts a header into words.
type fields struct {
	b   []byte
	pos int
}

// word returns the next word and moves past it, unless the payload starts here: senders leave fields out.
func (f *fields) word() []byte {
	i := f.pos
	for i < len(f.b) && f.b[i] == ' ' {
		i++
	}
	start := i
	for i < len(f.b) && f.b[i] > ' ' && (f.b[i] != '<' || i == start) {
		i++
	}
	if w := f.b[start:i]; len(w) > 0 && w[0] != '<' && w[0] != '{' && !hasPrefix(w, bomUTF8) {
		f.pos = i
		return w
	}
	return nil
}

// hostname returns the next word if it can be a HOSTNAME (RFC 5424 section 6.2.4).
func (f *fields) hostname() string {
	w := f.word()
	if len(w) > 255 || string(w) == "-" || !utf8.Valid(w) {
		return ""
	}
	return string(w)
}

func (f *fields) rfc5424() header {
	var h header
	h.recorded = parseTime(string(f.word()))
	h.host = f.hostname()
	for range 3 { // APP-NAME, PROCID, MSGID
		f.word()
	}
	f.structuredData()
	h.length = f.pos
	return h
}

// structuredData moves past STRUCTURED-DATA (RFC 5424 section 6.3), or past nothing if it is not complete.
func (f *fields) structuredData() {
	i := f.pos
	for i < len(f.b) && f.b[i] == ' ' {
		i++
	}
	if i < len(f.b) && f.b[i] == '-' && (i+1 == len(f.b) || f.b[i+1] == ' ') {
		f.pos = i + 1
		return
	}
	for i < len(f.b) && f.b[i] == '[' {
		quoted, closed := false, false
		for i++; i < len(f.b) && !closed; i++ {
			switch c := f.b[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case c == ']' && !quoted:
				closed = true
			}
		}
		if !closed {
			return
		}
		f.pos = i
	}
}

// rfc3164 reads "Mmm dd hh:mm:ss host tag: message", with or without PRI before it. Many daemons write an RFC 3339 time
// there, which has a year.
func (f *fields) rfc3164() header {
	var h header
	if i := f.pos; i+15 <= len(f.b) && f.b[i+3] == ' ' && f.b[i+6] == ' ' && f.b[i+9] == ':' && f.b[i+12] == ':' {
		f.pos += 15
	} else {
		before := f.pos
		if h.recorded = parseTime(string(f.word())); h.recorded.IsZero() {
			f.pos = before
			h.length = f.pos
			return h
		}
	}
	before := f.pos
	if h.host = f.hostname(); h.host != "" && h.host[len(h.host)-1] == ':' { // no host: this is the tag
		h.host, f.pos = "", before
	}
	h.length = f.pos
	return h
}
