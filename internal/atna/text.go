package atna

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// reference reads the reference at the start of s, which begins with '&'. n is its length in bytes; 0 if there is none
// (a bare ampersand, an entity that XML does not predefine), -1 if it names a character that XML does not have.
//
// Half of a surrogate pair is taken, against XML 1.0 section 4.1: serialisers of the Xalan family write a character beyond
// U+FFFF as two such references. See decode.
func reference(s string) (r rune, n int) {
	if len(s) > 2 && s[1] == '#' {
		return charRef(s)
	}
	for _, e := range [...]struct {
		text string
		char rune
	}{{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}} {
		if strings.HasPrefix(s, e.text) {
			return e.char, len(e.text)
		}
	}
	return 0, 0
}

func charRef(s string) (rune, int) {
	i, base := 2, rune(10)
	if s[2] == 'x' {
		i, base = 3, 16
	}
	r, digits := rune(0), 0
	for ; i < len(s); i++ {
		c := rune(s[i])
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case base == 16 && c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		case c == ';' && digits > 0:
			if r > utf8.MaxRune || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
				return 0, -1
			}
			return r, i + 1
		default:
			return 0, 0
		}
		digits++
		if r <= utf8.MaxRune { // any number of leading zeros is legal
			r = r*base + c
		}
	}
	return 0, 0
}

// decode replaces references and normalises white space (XML 1.0 sections 2.11 and 3.3.3). What is no reference stays.
func decode(raw string, attribute bool) string {
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		switch c := raw[i]; c {
		case '&':
			r, n := reference(raw[i:])
			if n <= 0 {
				b = append(b, c)
				i++
				continue
			}
			i += n
			if utf16.IsSurrogate(r) && strings.HasPrefix(raw[i:], "&#") {
				if low, m := reference(raw[i:]); m > 0 {
					if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
						r, i = pair, i+m
					}
				}
			}
			b = utf8.AppendRune(b, r)
			continue
		case '\r':
			if i+1 < len(raw) && raw[i+1] == '\n' {
				i++
			}
			b = append(b, lineEnd(attribute))
		case '\n':
			b = append(b, lineEnd(attribute))
		case '\t':
			if attribute {
				c = ' '
			}
			b = append(b, c)
		default:
			b = append(b, c)
		}
		i++
	}
	return string(b)
}

func lineEnd(attribute bool) byte {
	if attribute {
		return ' '
	}
	return '\n'
}

func normalLineEnds(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// base64Binary returns what an xsd:base64Binary means. Some senders write plain text there; it is returned as it is.
func base64Binary(s string) []byte {
	t := strings.Trim(s, " \t\r\n")
	if strings.ContainsAny(t, " \t\r\n") {
		lines := strings.Fields(t)
		for _, line := range lines[:len(lines)-1] {
			if len(line) < 16 { // prose: encoders break lines at 64 or 76
				return []byte(s)
			}
		}
		t = strings.Join(lines, "")
	}
	if t == "" || len(t)%4 != 0 {
		return []byte(s)
	}
	b, err := base64.StdEncoding.DecodeString(t)
	if err != nil {
		return []byte(s)
	}
	return b
}

const (
	bomUTF8    = "\xEF\xBB\xBF"
	bomUTF16LE = "\xFF\xFE"
	bomUTF16BE = "\xFE\xFF"
)

// document returns body as UTF-8 text without byte order mark and without what surrounds a document on the wire. fault is not
// empty if the text is not valid in its encoding.
func document(body string) (text, fault string) {
	switch {
	case hasPrefix(body, bomUTF16LE), hasPrefix(body, "<\x00"):
		text = utf16Text(body, 0)
	case hasPrefix(body, bomUTF16BE), hasPrefix(body, "\x00<"):
		text = utf16Text(body, 1)
	default:
		text = strings.TrimPrefix(body, bomUTF8)
		text = strings.Trim(text, blanks)
		if latin1(strings.TrimPrefix(text, bomUTF8)) {
			return latin1Text(strings.TrimPrefix(text, bomUTF8)), ""
		}
	}
	text = strings.Trim(strings.TrimPrefix(text, bomUTF8), blanks)
	if !utf8.ValidString(text) {
		text, fault = validPart(text)
	}
	return text, fault
}

func hasPrefix[T string | []byte](b T, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// validPart cuts off a character that the end of text cut in two, which says truncation and nothing else, and replaces
// other invalid bytes by U+FFFD.
func validPart(text string) (string, string) {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		tail := text[len(text)-n:]
		if utf8.RuneStart(tail[0]) {
			if !utf8.FullRuneInString(tail) {
				text = text[:len(text)-n]
			}
			break
		}
	}
	if utf8.ValidString(text) {
		return text, ""
	}
	at := 0
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			at = i
			break
		}
	}
	return strings.ToValidUTF8(text, "\uFFFD"), fmt.Sprintf("text is not valid UTF-8 at byte %d", at)
}

// utf16Text decodes UTF-16; low is the place of the less significant byte in each pair. An odd byte at the end is dropped:
// the text was cut there.
func utf16Text(body string, low int) string {
	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = uint16(body[2*i+low]) | uint16(body[2*i+1-low])<<8
	}
	return string(utf16.Decode(units))
}

// latin1 tells whether the XML declaration names ISO-8859-1 or windows-1252. Any other name is read as UTF-8: US-ASCII
// is a part of it, and a sender that writes UTF-8 under the name "utf-16", as .NET string writers do, means UTF-8.
func latin1(body string) bool {
	if !hasPrefix(body, "<?xml") {
		return false
	}
	end := strings.Index(body, "?>")
	if end < 0 {
		return false
	}
	switch strings.ToLower(pseudoAttr(body[:end], "encoding")) {
	case "iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "l1", "windows-1252", "cp1252":
		return true
	}
	return false
}

// pseudoAttr returns the value of name in an XML declaration.
func pseudoAttr(decl, name string) string {
	_, rest, ok := strings.Cut(decl, name)
	rest = strings.TrimLeft(rest, " \t\r\n")
	if !ok || !strings.HasPrefix(rest, "=") {
		return ""
	}
	rest = strings.TrimLeft(rest[1:], " \t\r\n")
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return ""
	}
	value, _, _ := strings.Cut(rest[1:], rest[:1])
	return value
}

// latin1Text decodes windows-1252, of which ISO-8859-1 text is a part: the two differ only in 80 to 9F, which are control
// characters in ISO-8859-1 and do not occur in text.
func latin1Text(body string) string {
	const high = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"
	table := []rune(high)
	var b strings.Builder
	b.Grow(len(body) + len(body)/8)
	for _, c := range []byte(body) {
		if c >= 0x80 && c < 0xA0 {
			b.WriteRune(table[c-0x80])
		} else {
			b.WriteRune(rune(c))
		}
	}
	return b.String()
}
