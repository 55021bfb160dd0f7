package traffic

import (
	"bytes"
	"unicode/utf8"
)

// A command is a line with which clients of a text protocol begin.
type command struct {
	label Label
	text  string
	says  answer
}

var commands = [...]command{
	{SMTP, "EHLO ", exact}, {SMTP, "HELO ", exact}, {SMTP, "LHLO ", exact}, {SMTP, "ehlo ", exact}, {SMTP, "helo ", exact}, // RFC 5321 section 4.1.1.1
	{MailOrFTP, "USER ", prefix}, {MailOrFTP, "AUTH TLS", prefix}, {MailOrFTP, "CAPA\r\n", prefix}, {MailOrFTP, "FEAT\r\n", prefix}, {MailOrFTP, "STLS\r\n", prefix},
	{IRC, "NICK ", prefix}, {IRC, "CAP LS", prefix},
	{Redis, "PING\r\n", prefix}, {Redis, "INFO\r\n", prefix}, {Redis, "CONFIG ", prefix}, {Redis, "SLAVEOF ", prefix}, {Redis, "REPLICAOF ", prefix},
	{Redis, "info\r\n", prefix}, {Redis, "ping\r\n", prefix}, {Redis, "config ", prefix}, {Redis, "COMMAND\r\n", prefix}, {Redis, "EVAL ", prefix},
	{Memcached, "stats\r\n", prefix}, {Memcached, "stats ", prefix}, {Memcached, "stats\n", prefix}, {Memcached, "version\r\n", prefix}, {Memcached, "version\n", prefix},
	{Memcached, "get ", prefix}, {Memcached, "gets ", prefix}, {Memcached, "set ", prefix}, {Memcached, "mn\r\n", prefix}, {Memcached, "mg ", prefix}, {Memcached, "flush_all", prefix},
	{ZooKeeperClient, "ruok", structural}, {ZooKeeperClient, "mntr", structural}, {ZooKeeperClient, "envi", structural}, {ZooKeeperClient, "srvr", structural},
	{ZooKeeperClient, "stat", structural}, {ZooKeeperClient, "conf", structural}, {ZooKeeperClient, "cons", structural}, {ZooKeeperClient, "dump", structural},
	{ZooKeeperClient, "isro", structural}, {ZooKeeperClient, "wchs", structural}, {ZooKeeperClient, "dirs", structural},
	{Help, "HELP\r\n", prefix}, {Help, "help\r\n", prefix}, {Help, "HELP\n", prefix}, {Help, "help\n", prefix},
}

// lines are commands and headers of text protocols.
func lines(b []byte) (Label, answer) {
	switch c := b[0]; {
	case c == '<':
		return priority(b)
	case c >= '1' && c <= '9': // RFC 6587 section 3.4.1: octet count
		i := 1
		for i < len(b) && i < 8 && isDigit(b[i]) {
			i++
		}
		if i == len(b) {
			return Unknown, maybe
		}
		if b[i] == ' ' && i+1 < len(b) && b[i+1] == '<' {
			return priority(b[i+1:])
		}
		if b[i] == ' ' && i+1 == len(b) {
			return Unknown, maybe
		}
	case c == '\r' || c == '\n':
		if len(b) <= 64 && len(bytes.Trim(b, "\r\n")) == 0 {
			return BlankLines, structural | soFar
		}
		return Unknown, no
	case c == 't': // WebLogic: t3, and the version of the client
		if a := begins(b, "t3 "); a == maybe || a == exact && len(b) == 3 {
			return Unknown, maybe
		} else if a == exact && isDigit(b[3]) {
			return WebLogic, exact
		}
	case c == '0': // git: a line of so many bytes (gitprotocol-pack)
		if len(b) >= 4 && !hexadecimal(b[:4]) || !hexadecimal(b[:min(len(b), 4)]) {
			return Unknown, no
		}
		if len(b) < 4 {
			return Unknown, maybe
		}
		return Git, begins(b[4:], "git-")
	}
	partial := no
	for i := range commands {
		c := &commands[i]
		if c.text[0] != b[0] {
			continue
		}
		a := begins(b, c.text)
		if c.label == ZooKeeperClient && a == exact { // four letters, and nothing or the end of the line
			if rest := b[4:]; len(rest) > 2 || len(bytes.Trim(rest, "\r\n")) > 0 {
				continue
			}
			return c.label, c.says | soFar
		}
		switch a {
		case exact:
			return c.label, c.says
		case maybe:
			partial = maybe
		}
	}
	if l, a := imap(b); a != no {
		return l, a
	}
	return Unknown, partial
}

func hexadecimal(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// priority is the beginning of a syslog message: <0> to <191> (RFC 5424 section 6.2.1).
func priority(b []byte) (Label, answer) {
	n, i := 0, 1
	for ; i < len(b) && i < 4 && isDigit(b[i]); i++ {
		n = 10*n + int(b[i]-'0')
	}
	if i == len(b) && i < 5 {
		return Unknown, maybe
	}
	if i == 1 || b[i] != '>' || n > 191 {
		return Unknown, no
	}
	return Syslog, exact
}

// imap is a tag and a command that is allowed before authentication (RFC 9051 section 6.1 and 6.2).
func imap(b []byte) (Label, answer) {
	i := 0
	for i < len(b) && i < 12 && isAlnum(b[i]) {
		i++
	}
	if i == 0 || i == len(b) || b[i] != ' ' || !isDigit(b[i-1]) {
		return Unknown, no
	}
	partial := no
	for _, word := range [...]string{"CAPABILITY", "LOGIN ", "STARTTLS", "AUTHENTICATE ", "NOOP\r\n", "LOGOUT"} {
		switch begins(b[i+1:], word) {
		case exact:
			return IMAP, structural
		case maybe:
			partial = maybe
		}
	}
	return Unknown, partial
}

// requests are HTTP/1 and what has its form: method, target, version (RFC 9112 section 3).
func requests(b []byte) (Label, answer) {
	i := 0
	for i < len(b) && i < 20 && (isUpper(b[i]) || b[i] == '-') {
		i++
	}
	if i == len(b) {
		return Unknown, maybe
	}
	if i < 3 || b[i] != ' ' {
		return Unknown, no
	}
	method, rest := b[:i], b[i+1:]
	end := 0
	for end < len(rest) && rest[end] > ' ' && rest[end] != 0x7f {
		end++
	}
	target := rest[:end]
	if end == len(rest) {
		return unfinished(target), prefix | soFar
	}
	if end == 0 {
		return Unknown, no
	}
	if rest[end] != ' ' {
		if (rest[end] == '\r' || rest[end] == '\n') && string(method) == "GET" && target[0] == '/' {
			return HTTP, prefix // HTTP/0.9
		}
		return Unknown, no
	}
	version := rest[end+1:]
	switch {
	case begins(version, "HTTP/1.") == exact:
		return httpRequest(method, target, b)
	case begins(version, "RTSP/") == exact: // RFC 7826 section 20.2.1
		return RTSP, exact
	case begins(version, "SIP/2.0") == exact: // RFC 3261 section 7.1
		return SIP, exact
	case begins(version, "HTTP/1.") == maybe, begins(version, "RTSP/") == maybe, begins(version, "SIP/2.0") == maybe:
		return unfinished(target), prefix | soFar
	}
	return Unknown, no
}

// unfinished says what a request line may become by what its target begins with.
func unfinished(target []byte) Label {
	switch {
	case begins(target, "sip:") == exact, begins(target, "sips:") == exact:
		return SIP
	case begins(target, "rtsp:") == exact:
		return RTSP
	case len(target) > 0 && (target[0] == '/' || target[0] == '*'):
		return HTTP
	case begins(target, "http://") == exact, begins(target, "https://") == exact:
		return HTTPProxy
	}
	return Text
}

// httpRequest tells a plain request from those to a proxy, and from a WebSocket's opening, for which the header must be complete.
func httpRequest(method, target, b []byte) (Label, answer) {
	switch {
	case string(method) == "CONNECT", begins(target, "http://") == exact, begins(target, "https://") == exact:
		return HTTPProxy, exact
	case string(method) == "M-SEARCH", string(method) == "NOTIFY" && target[0] == '*':
		return SSDP, exact
	}
	end := headerEnd(b)
	if end < 0 {
		return HTTP, structural | soFar
	}
	if upgrade := header(b[:end], "upgrade"); equalFold(upgrade, "websocket") {
		return WebSocket, exact // RFC 6455 section 4.1
	}
	return HTTP, exact
}

// headerEnd returns where the header ends, after its empty line; -1 when it has not come yet.
func headerEnd(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i + 1
		switch begins(b[at:], "\r\n") {
		case exact:
			return at + 2
		}
		if at < len(b) && b[at] == '\n' {
			return at + 1
		}
	}
}

// header returns the value of a field, whose name is given in lower case; nil when there is none.
func header(b []byte, name string) []byte {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return nil
		}
		at += i + 1
		line := b[at:]
		if len(line) > len(name) && line[len(name)] == ':' && equalFold(line[:len(name)], name) {
			line = line[len(name)+1:]
			if end := bytes.IndexByte(line, '\n'); end >= 0 {
				line = line[:end]
			}
			return bytes.TrimSpace(line)
		}
	}
}

// equalFold compares with lower, ASCII letters in either case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if isUpper(c) {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// containsFold tells whether lower is in b, ASCII letters in either case.
func containsFold(b []byte, lower string) bool {
	for i := 0; i+len(lower) <= len(b); i++ {
		if b[i]|0x20 == lower[0]|0x20 && equalFold(b[i:i+len(lower)], lower) {
			return true
		}
	}
	return false
}

// leftover says what can be said of bytes that fit nothing.
func leftover(b []byte) Label {
	if l := clinical(b); l != Unknown {
		return l
	}
	if text(b) {
		return textual(b)
	}
	if n := len(b); n >= 6 && n < MaxFirst && (int64(be32(b)) == int64(n-4) || int64(le32(b)) == int64(n-4) || int64(le32(b)) == int64(n) || be16(b) == n-2) {
		return LengthPrefixed
	}
	if collisions, pairs := collide(b); pairs >= 64*63/2 && collisions*256 < pairs*3/2 {
		return Scrambled
	}
	return Binary
}

// clinical is a message about patients that does not begin as it should: with line ends or a mark of UTF-8 in front, with other
// separators, without its envelope, or in an older character set. Unknown is none.
func clinical(b []byte) Label {
	t := bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n\v\x1c")
	if len(t) < 4 {
		return Unknown
	}
	separator := func(at int) bool { return at < len(t) && t[at] > ' ' && t[at] <= '~' && !isAlnum(t[at]) }
	switch string(t[:3]) {
	case "MSH", "FHS", "BHS":
		if separator(3) && separator(4) && separator(5) {
			return HL7
		}
	case "ISA":
		if separator(3) && len(t) > 6 && t[6] == t[3] {
			return X12
		}
	case "UNA":
		if separator(3) && separator(4) {
			return EDIFACT
		}
	case "UNB", "UNH":
		if t[3] == '+' {
			return EDIFACT
		}
	case "PID", "EVN", "FTS", "BTS":
		if t[3] == '|' {
			return HL7
		}
	}
	switch {
	case len(t) > 6 && (string(t[:2]) == "GS" && isUpper(t[3]) && isUpper(t[4]) && t[5] == t[2] || string(t[:2]) == "ST" && isDigit(t[3]) && isDigit(t[5]) && t[6] == t[2]) && separator(2):
		return X12
	case t[0] == '<' || t[0] == '{' || t[0] == '[':
		if end := bytes.IndexByte(t, 0); end > 8 { // GELF over TCP, and others, end a message with a zero
			t = t[:end]
		}
		if l := textual(t); l != Text && eightBit(t[:min(len(t), 256)]) {
			return l
		}
	}
	return Unknown
}

// eightBit tells whether everything is printable in some character set of eight bits.
func eightBit(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
			return false
		}
	}
	return true
}

// textual tells notations apart.
func textual(b []byte) Label {
	t := bytes.TrimLeft(b, " \t\r\n")
	if len(t) == 0 {
		return Text
	}
	head := t[:min(len(t), 1024)]
	switch t[0] {
	case '{', '[':
		switch {
		case bytes.Contains(head, []byte(`"resourceType"`)):
			return FHIR
		case bytes.Contains(head, []byte(`"short_message"`)):
			return GELF // Graylog Extended Log Format 1.1
		}
		return JSON
	case '<':
		if bytes.Contains(head, []byte("http://hl7.org/fhir")) {
			return FHIR
		}
		if len(t) > 1 && (t[1] == '?' || t[1] == '!' || isAlnum(t[1])) {
			return XML
		}
	}
	return Text
}

// text tells whether everything is UTF-8 without control characters but for tabs and line ends. A character that is cut at the
// end is one.
func text(b []byte) bool {
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c >= ' ' && c < 0x7f, c == '\t', c == '\r', c == '\n':
			i++
		case c < 0x80:
			return false
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n <= 1 {
				return !utf8.FullRune(b[i:])
			}
			i += n
		}
	}
	return true
}

// collide counts the pairs of equal bytes among the first 512: in random bytes one pair in 256 is (collision entropy), in text and
// records many more are.
func collide(b []byte) (collisions, pairs int) {
	var seen [256]uint16
	b = b[:min(len(b), 512)]
	for _, c := range b {
		collisions += int(seen[c])
		seen[c]++
	}
	return collisions, len(b) * (len(b) - 1) / 2
}
