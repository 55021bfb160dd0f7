package atna

import "strings"

// scanName returns the name at offset i, empty if there is none, and where it ends. Every character beyond ASCII counts as a
// name character: telling letters from others there would reject nothing that matters.
func scanName(s string, i int) (string, int) {
	start := i
	for i < len(s) {
		c := s[i]
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c == '_', c == ':', c >= 0x80:
		case i > start && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return s[start:i], i
		}
		i++
	}
	return s[start:i], i
}

func localName(qname string) string {
	if i := strings.LastIndexByte(qname, ':'); i >= 0 {
		return qname[i+1:]
	}
	return qname
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}
