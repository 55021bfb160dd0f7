package fhir

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"hippad"
)

// maxString is the longest FHIR string, in bytes (http://hl7.org/fhir/R4/datatypes.html#string).
const maxString = 1 << 20

// fitString returns s as a FHIR string can hold it: characters that neither FHIR nor XML has become U+FFFD, a text of
// nothing but blanks is none, and one that is too long is cut.
func fitString(s string) string {
	if !plain(s) {
		s = strings.Map(func(r rune) rune {
			if fitRune(r) {
				return r
			}
			return utf8.RuneError
		}, s)
	}
	if len(s) > maxString {
		end := maxString
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	if s != "" && strings.TrimSpace(s) == "" {
		return ""
	}
	return s
}

// plain tells whether every byte is printable ASCII.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// fitRune tells whether FHIR strings and XML 1.0 (section 2.2, Char) have the character. Next to those, a byte that is not UTF-8
// decodes to U+FFFD, which both have.
func fitRune(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r >= 0xd800 && r <= 0xdfff, r == 0xfffe, r == 0xffff:
		return false
	}
	return r <= 0x10ffff
}

// fitCode returns s as the FHIR type code can hold it: no blanks at its ends, single ones inside.
func fitCode(s string) string {
	if s = fitString(s); strings.ContainsAny(s, " \t\r\n") || !plain(s) {
		s = strings.Join(strings.Fields(s), " ")
	}
	return s
}

// schemePrefix makes a URI, which is what Coding.system must be, of the name of a coding scheme that has none: DICOM's
// codeSystemName is any text ("99DCM4CHEE"). systemName takes it off again.
const schemePrefix = "urn:hippad:coding-scheme:"

// rfc3881 is how the schemas of DICOM and RFC 3881 call their own lists, and the name of that document as a URI (RFC 2648).
const rfc3881, uriRFC3881 = "RFC-3881", "urn:ietf:rfc:3881"

// systemURI returns the name that R4 gives to a code system, as an absolute URI.
func systemURI(name string) string {
	if name = strings.TrimSpace(fitString(name)); name == "" {
		return ""
	}
	if name = hippad.CodeSystem(name); isURI(name) {
		return name
	}
	if name == rfc3881 {
		return uriRFC3881
	}
	return schemePrefix + escapeURI(name)
}

// systemName returns what systemURI was given.
func systemName(uri string) string {
	if uri == uriRFC3881 {
		return rfc3881
	}
	if name, ok := strings.CutPrefix(uri, schemePrefix); ok {
		return unescapeURI(name)
	}
	return uri
}

const hexDigits = "0123456789ABCDEF"

// escapeURI writes what a URI cannot hold as percent and two digits for each byte.
func escapeURI(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || strings.IndexByte("%\"<>\\^`{|}", c) >= 0 {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unescapeURI(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), string(utf8.RuneError))
}

var (
	uriForm  = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:[!-~]+$`)
	oidForm  = regexp.MustCompile(`^urn:oid:[0-2](\.(0|[1-9][0-9]*))+$`)
	uuidForm = regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	pathForm = regexp.MustCompile(`^[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}(/_history/[A-Za-z0-9.-]{1,64})?$`)
)

// isURI tells whether s can stand where FHIR wants an absolute URI.
func isURI(s string) bool {
	switch {
	case strings.HasPrefix(s, "http://"), strings.HasPrefix(s, "https://"):
		return plain(s) && !strings.ContainsAny(s, " |\"<>\\^`{}") && len(s) > len("https://")
	case strings.HasPrefix(s, "urn:oid:"):
		return oidForm.MatchString(s)
	case strings.HasPrefix(s, "urn:uuid:"):
		return uuidForm.MatchString(s)
	}
	return uriForm.MatchString(s) && !strings.ContainsAny(s, "|\"<>\\^`{}")
}

// fitReference tells whether s can stand as Reference.reference: an absolute URL, or a type and an id.
func fitReference(s string) bool {
	return pathForm.MatchString(s) || strings.Contains(s, ":") && isURI(s)
}

// systemURIs is the system of identifiers that are URIs themselves.
const systemURIs = "urn:ietf:rfc:3986"

// fitIdentifier returns an identifier as FHIR has it: an HL7 CX or "system|value" is taken apart, and a system that is no URI goes
// back into the value.
func fitIdentifier(id hippad.Identifier) hippad.Identifier {
	id.System, id.Value = strings.TrimSpace(fitString(id.System)), fitString(id.Value)
	if id.System == "" {
		if p := hippad.ParseIdentifier(id.Value); p.System != "" && p.Value != "" && isURI(p.System) {
			return p
		}
		return id
	}
	if id.System == systemURIs && !isURI(id.Value) {
		return hippad.Identifier{Value: id.Value} // it says that the value is a URI, and it is none (invariant of R5)
	}
	if id.System = hippad.OIDSystem(id.System); !isURI(id.System) {
		return hippad.Identifier{Value: id.System + "|" + id.Value}
	}
	return id
}

// dateTime writes a point in time; empty if FHIR has no year for it.
func dateTime(t time.Time) string {
	if t = t.UTC(); t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// fitPeriod returns the two ends as they are written. An end before its start breaks invariant per-1: it is left out.
func fitPeriod(p hippad.Period) (start, end string) {
	if !p.Start.IsZero() && !p.End.IsZero() && p.End.Before(p.Start) {
		p.End = time.Time{}
	}
	return dateTime(p.Start), dateTime(p.End)
}
