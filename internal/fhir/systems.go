package fhir

import (
	"fmt"
	"slices"
	"strings"

	"hippad"
)

const (
	dataAbsentReason  = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
	alternativeUserID = "http://hl7.org/fhir/StructureDefinition/auditevent-AlternativeUserID" // R5, like the next
	entityLifecycle   = "http://hl7.org/fhir/StructureDefinition/auditevent-Lifecycle"
)

// unblanked escapes what the FHIR type uri cannot hold: blanks and control characters.
func unblanked(name string) string {
	unfit := func(r rune) bool { return r <= ' ' || r == 0x7f }
	if !strings.ContainsFunc(name, unfit) {
		return name
	}
	var b strings.Builder
	for _, r := range name {
		if unfit(r) {
			fmt.Fprintf(&b, "%%%02X", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// The codes of the elements that R4 binds to a closed list.
var (
	actions      = []string{"C", "R", "U", "D", "E"}
	outcomes     = []string{"0", "4", "8", "12"}
	addressTypes = []string{"1", "2", "3", "4", "5"}
	severities   = []string{"emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"} // R5
)

// oneOf returns the code if it is on the list, and nothing otherwise.
func oneOf(list []string, code string) string {
	if slices.Contains(list, code) {
		return code
	}
	return ""
}

// known returns b as a string, without a copy for the texts that most resources repeat.
func known(b []byte) string {
	if s, ok := repeated[string(b)]; ok {
		return s
	}
	return string(b)
}

var repeated = func() map[string]string {
	m := make(map[string]string)
	for _, s := range hippad.SystemNames() {
		m[s] = s
	}
	for _, s := range []string{auditEvent, "http://hl7.org/fhir/restful-interaction", "110152", "110153", "110110", "110112", "rest",
		"http://terminology.hl7.org/CodeSystem/extra-security-role-type", "Restful Operation", "Patient", "Source Role ID",
		"Destination Role ID", "System Object", "Person", "Query", "search", "read", "create", "update", "TREAT"} {
		m[s] = s
	}
	return m
}()
