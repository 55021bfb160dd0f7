package crosswalk

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"hippad"
)

// maxIdentifier bounds an identifier, in bytes.
const maxIdentifier = 512

const howToWrite = "write ID^^^&1.2.3&ISO, urn:oid:1.2.3|ID, https://hospital.example/mrn|ID, Patient/ID or an absolute URL"

var (
	relative = regexp.MustCompile(`^Patient/[^\s/?#]+$`)
	uuid     = regexp.MustCompile(`^urn:uuid:[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
)

// Canonical returns the one form of an identifier that can be linked, which is the value of its hippad.FieldPatient term: the
// literal reference to a patient, or assigner and id as system|value. Kind Invalid, in words that quote nothing, for one that does
// not say who assigned it: 4711 alone is a patient in every hospital, and a namespace or a name is not unique either.
func Canonical(text string) (string, error) {
	if len(text) > maxIdentifier {
		return "", hippad.Errorf(hippad.Invalid, "it has more than %d bytes", maxIdentifier)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return "", hippad.Errorf(hippad.Invalid, "it is not plain text in one line")
	}
	value := hippad.NewTerm(hippad.FieldPatient, text).Value
	if value == "" {
		return "", hippad.Errorf(hippad.Invalid, "it is empty")
	}
	id := hippad.ParseIdentifier(value)
	if id.System != "" {
		if id.Value == "" {
			return "", hippad.Errorf(hippad.Invalid, "it names an assigner and no id")
		}
		if !unique(id.System) {
			return "", hippad.Errorf(hippad.Invalid, "its assigner is neither an OID nor a URI, so it is not unique").WithHint(howToWrite)
		}
		return value, nil
	}
	literal, _, _ := strings.Cut(id.Value, "/_history/") // a version of a patient is that patient
	literal = strings.TrimSpace(literal)
	if relative.MatchString(literal) || uuid.MatchString(literal) || absolute(literal) {
		return literal, nil
	}
	return "", hippad.Errorf(hippad.Invalid, "it does not say who assigned it: two hospitals may have the same number").WithHint(howToWrite)
}

// unique tells whether a system is a name that only one assigner has.
func unique(system string) bool {
	if oid, ok := strings.CutPrefix(system, "urn:oid:"); ok {
		return hippad.OIDSystem(oid) != oid
	}
	u, err := url.Parse(system)
	switch {
	case err != nil || u.Scheme == "":
		return false
	case u.Scheme == "http" || u.Scheme == "https":
		return u.Host != ""
	}
	return u.Opaque != "" || u.Host != "" || u.Path != ""
}

// absolute tells whether a literal reference is an absolute URL of a resource: its last two segments are type and id.
func absolute(literal string) bool {
	u, err := url.Parse(literal)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	p := strings.Split(u.Path, "/")
	return len(p) >= 3 && p[len(p)-1] != "" && p[len(p)-2] != ""
}
