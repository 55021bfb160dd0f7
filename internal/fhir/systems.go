package fhir

import (
	"fmt"
	"slices"
	"strings"

	"hippad"
)

// The code systems that the door itself speaks of, by their R4 names.
const (
	systemDCM        = "http://dicom.nema.org/resources/ontology/DCM"
	systemIHE        = "urn:ihe:event-type-code"
	systemEventType  = "http://terminology.hl7.org/CodeSystem/audit-event-type"
	systemEntityType = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
	systemObjectRole = "http://terminology.hl7.org/CodeSystem/object-role"
	systemLifecycle  = "http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle"
	systemSourceType = "http://terminology.hl7.org/CodeSystem/security-source-type"

	dataAbsentReason  = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
	alternativeUserID = "http://hl7.org/fhir/StructureDefinition/auditevent-AlternativeUserID" // R5
)

// systems lists the names under which DICOM audit messages and the releases of FHIR know one code system; the first is
// that of R4. DICOM: PS3.15 A.5.1 codeSystemName and PS3.16 table 8-1; IHE: ITI TF-2 3.20; FHIR: the releases' own lists.
var systems = [...][]string{
	{systemDCM, "DCM", "http://nema.org/dicom/dicm", "urn:oid:1.2.840.10008.2.16.4", "1.2.840.10008.2.16.4"},
	{systemIHE, "IHE Transactions", "urn:oid:1.3.6.1.4.1.19376.1.2", "1.3.6.1.4.1.19376.1.2"},
	{systemEventType, "http://hl7.org/fhir/audit-event-type"},
	{systemEntityType, "http://hl7.org/fhir/object-type", "http://hl7.org/fhir/audit-entity-type"},
	{systemObjectRole, "http://hl7.org/fhir/object-role"},
	{systemLifecycle, "http://hl7.org/fhir/dicom-audit-lifecycle", "http://hl7.org/fhir/object-lifecycle"},
	{systemSourceType, "http://hl7.org/fhir/security-source-type"},
	{"http://terminology.hl7.org/CodeSystem/v3-ActReason", "http://hl7.org/fhir/v3/ActReason",
		"urn:oid:2.16.840.1.113883.5.8", "2.16.840.1.113883.5.8"},
	{"http://snomed.info/sct", "SCT", "SNM3", "SRT", "urn:oid:2.16.840.1.113883.6.96", "2.16.840.1.113883.6.96"},
}

// sameSystem returns every name of the code system that has the given name, at least that one.
func sameSystem(name string) []string {
	for _, names := range systems {
		if slices.Contains(names, name) {
			return names
		}
	}
	return []string{name}
}

// uri returns the name that R4 gives to a code system. A name on nobody's list stays as it is, as far as a URI can.
func uri(name string) string {
	return unblanked(hippad.OIDSystem(sameSystem(name)[0]))
}

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
	for _, names := range systems {
		for _, s := range names {
			m[s] = s
		}
	}
	for _, s := range []string{auditEvent, "http://hl7.org/fhir/restful-interaction", "110152", "110153", "110110", "110112", "rest",
		"http://terminology.hl7.org/CodeSystem/extra-security-role-type", "Restful Operation", "Patient", "Source Role ID",
		"Destination Role ID", "System Object", "Person", "Query", "search", "read", "create", "update", "TREAT"} {
		m[s] = s
	}
	return m
}()
