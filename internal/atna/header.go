package atna

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"hippad"
)

// maxWord bounds a field of a header. RFC 5424 section 6 allows 255 octets of HOSTNAME and less of the others; senders
// exceed those, and what is longer than any of them is not taken for a field.
const maxWord = 255

// ReadHeader reads the header of a syslog message and nothing behind it.
func ReadHeader(body []byte) *hippad.SyslogHeader {
	h, _ := parseHeader(string(body[:min(len(body), headerPart)]))
	return &h
}

// headerPart is how much of a message ReadHeader looks at: more than any header that was seen, signed blocks (RFC 5848) included.
const headerPart = 16 << 10

// parseHeader reads the header of an RFC 5424 or RFC 3164 message as far as it goes, and is satisfied with any part of it. It
// returns where the message starts, or at least what is not yet the header. The fields are parts of s.
func parseHeader(s string) (hippad.SyslogHeader, int) {
	f := fields{s: s, h: hippad.SyslogHeader{Priority: -1}}
	if n, ok := priority(s); ok {
		f.pos = n
		if pri, err := strconv.Atoi(s[1 : n-1]); err == nil && pri <= 191 {
			f.h.Priority = pri
		}
		if n := version(s[f.pos:]); n > 0 {
			f.h.Version, _ = strconv.Atoi(s[f.pos : f.pos+n-1])
			f.pos += n
			f.rfc5424()
			return f.h, f.pos
		}
	}
	f.rfc3164()
	return f.h, f.pos
}

// priority returns the length of "<PRI>" at the start of b.
func priority[T string | []byte](b T) (int, bool) {
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
func version[T string | []byte](b T) int {
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
	s   string
	pos int
	h   hippad.SyslogHeader
}

// word returns the next word and moves past it, unless the payload starts here: senders leave fields out.
func (f *fields) word() string {
	start := f.pos
	for start < len(f.s) && f.s[start] == ' ' {
		start++
	}
	i := start
	for i < len(f.s) && f.s[i] > ' ' {
		if c := f.s[i]; (c == '<' || c == '{' || c == bomUTF8[0]) && payloadStarts(f.s[i:]) {
			break
		}
		i++
	}
	if i > start {
		f.pos = i
	}
	return f.s[start:i]
}

// payloadStarts tells whether an audit message starts at the beginning of s, and not a field of the header, which may have any
// printable character.
func payloadStarts(s string) bool {
	switch {
	case strings.HasPrefix(s, bomUTF8), strings.HasPrefix(s, "<?xml"):
		return true
	case s[0] == '<':
		name, _ := scanName(s, 1)
		name = localName(name)
		return name == rootName || name == rootIHEYr4
	case s[0] == '{':
		rest := s[skipSpace(s, 1):]
		if rest == "" || rest[0] != '"' {
			return rest == "}"
		}
		_, rest, _ = strings.Cut(rest[1:], `"`) // the first member, of which nothing may have arrived but its beginning
		rest = rest[skipSpace(rest, 0):]
		return rest == "" || rest[0] == ':'
	}
	return false
}

// field returns what a word of the header says: nothing if it is NILVALUE or cannot be a field.
func field(w string) string {
	if w == "-" || len(w) > maxWord || !utf8.ValidString(w) {
		return ""
	}
	return w
}

func (f *fields) rfc5424() {
	f.h.Timestamp = parseTime(f.word())
	f.h.Hostname = field(f.word())
	f.h.AppName = field(f.word())
	f.h.ProcID = field(f.word())
	f.h.MsgID = field(f.word())
	f.structuredData()
}

// structuredData moves past STRUCTURED-DATA (RFC 5424 section 6.3), or past nothing if it is not complete.
func (f *fields) structuredData() {
	start := f.pos
	for start < len(f.s) && f.s[start] == ' ' {
		start++
	}
	i := start
	if i < len(f.s) && f.s[i] == '-' && (i+1 == len(f.s) || f.s[i+1] == ' ') {
		f.pos = i + 1
		return
	}
	for i < len(f.s) && f.s[i] == '[' {
		quoted, closed := false, false
		for i++; i < len(f.s) && !closed; i++ {
			switch c := f.s[i]; {
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
		f.h.StructuredData = f.s[start:i]
	}
}

// rfc3164 reads "Mmm dd hh:mm:ss host tag[pid]: message", with or without PRI before it. Many daemons write an RFC 3339 time
// there, which has a year.
func (f *fields) rfc3164() {
	if i := f.pos; i+15 <= len(f.s) && f.s[i+3] == ' ' && f.s[i+6] == ' ' && f.s[i+9] == ':' && f.s[i+12] == ':' {
		f.pos += 15
	} else {
		before := f.pos
		if f.h.Timestamp = parseTime(f.word()); f.h.Timestamp.IsZero() {
			f.pos = before
			return
		}
	}
	before := f.pos
	if f.h.Hostname = field(f.word()); strings.HasSuffix(f.h.Hostname, ":") { // no host: this is the tag
		f.h.Hostname, f.pos = "", before
	}
	f.tag()
}

// tag reads "su:" or "su[123]:" (RFC 3164 section 5.3), or nothing if the next word is neither.
func (f *fields) tag() {
	before := f.pos
	w, ok := strings.CutSuffix(f.word(), ":")
	name, pid := w, ""
	if i := strings.IndexByte(w, '['); i >= 0 && strings.HasSuffix(w, "]") {
		name, pid = w[:i], w[i+1:len(w)-1]
	}
	if !ok || field(name) == "" || strings.ContainsAny(name, ":[]{}\"") {
		f.pos = before
		return
	}
	f.h.AppName, f.h.ProcID = field(name), field(pid)
}
