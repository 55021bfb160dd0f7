package hippad

import (
	"regexp"
	"strings"
)

// ampersands is an ampersand however often it was escaped, so that reading what was read changes nothing.
var ampersands = regexp.MustCompile(`&(?:amp;)+`)

// ParseIdentifier reads the ways in which audit messages write one identifier:
//
//	id^^^&1.2.3&ISO^PI      HL7 v2 CX: assigning authority as OID; "&amp;" and "&amp;amp;", left over from escaping too often, are taken as &
//	id^^^NAME               CX with a namespace only: System is empty, because NAME is not unique
//	urn:oid:1.2.3|id        system and value
//	https://x.example/mrn|id
//	urn:oid:1.2.3           an identifier that is itself a URI: no system
//	id
//
// It never fails: what fits no form is a Value without a System, and reading such a Value again changes nothing.
func ParseIdentifier(s string) Identifier {
	if strings.Contains(s, "&amp;") {
		s = ampersands.ReplaceAllLiteralString(s, "&")
	}
	s = strings.TrimSpace(s)
	// CX.2 and CX.3 are check digits, which nobody sends: a caret next to text is a name (Welby^Marcus), not a CX.
	if id, rest, ok := strings.Cut(s, "^^^"); ok && id != "" && !strings.Contains(id, "^") {
		authority, _, _ := strings.Cut(rest, "^")
		system := ""
		if hd := strings.Split(authority, "&"); len(hd) >= 2 {
			system = OIDSystem(strings.TrimSpace(hd[1]))
		}
		if system == "" {
			return ParseIdentifier(id)
		}
		return Identifier{System: system, Value: strings.TrimSpace(id)}
	}
	if i := strings.LastIndexByte(s, '|'); i >= 0 && i < len(s)-1 {
		return Identifier{System: OIDSystem(strings.TrimSpace(s[:i])), Value: strings.TrimSpace(s[i+1:])}
	}
	return Identifier{Value: s}
}

// OIDSystem turns a bare OID into the URI that FHIR uses for it, and leaves anything else alone.
func OIDSystem(s string) string {
	if s == "" || s[0] < '0' || s[0] > '2' || !strings.Contains(s, ".") || strings.Trim(s, "0123456789.") != "" {
		return s
	}
	return "urn:oid:" + s
}

// String returns system|value, or the value of an identifier without a system.
func (id Identifier) String() string {
	if id.System == "" {
		return id.Value
	}
	return id.System + "|" + id.Value
}

// IsZero tells that nothing is named.
func (id Identifier) IsZero() bool { return id == Identifier{} }

// IsPatient tells whether the literal reference points at a FHIR Patient.
func (r Reference) IsPatient() bool {
	rest, _, _ := strings.Cut(r.Literal, "/_history/")
	i := strings.LastIndexByte(rest, '/')
	return i >= 0 && (rest[:i] == "Patient" || strings.HasSuffix(rest[:i], "/Patient"))
}

// IsZero tells that nothing is pointed at.
func (r Reference) IsZero() bool { return r == Reference{} }

// Unique tells whether a patient's identifier, as NewTerm has it, is one person's wherever it is used: it says who assigned it, or it is a URI. A number alone, or a
// reference that does not say on which server, may be several persons'.
func Unique(id string) bool {
	return strings.Contains(id, "|") || strings.Contains(id, "://") || strings.HasPrefix(id, "urn:")
}
