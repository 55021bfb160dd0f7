package hippad

import "slices"

// The code systems that hippad itself speaks of, by the names that FHIR R4 has for them.
const (
	SystemDCM        = "http://dicom.nema.org/resources/ontology/DCM"
	SystemIHE        = "urn:ihe:event-type-code"
	SystemEventType  = "http://terminology.hl7.org/CodeSystem/audit-event-type"
	SystemEntityType = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
	SystemObjectRole = "http://terminology.hl7.org/CodeSystem/object-role"
	SystemLifecycle  = "http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle"
	SystemSourceType = "http://terminology.hl7.org/CodeSystem/security-source-type"
	SystemActReason  = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
)

// codeSystems lists the names under which DICOM audit messages and the releases of FHIR know one code system; the first is
// that of R4. DICOM: PS3.15 A.5.1 codeSystemName and PS3.16 table 8-1; IHE: ITI TF-2 3.20; FHIR: the releases' own lists.
var codeSystems = [...][]string{
	{SystemDCM, "DCM", "http://nema.org/dicom/dicm", "urn:oid:1.2.840.10008.2.16.4", "1.2.840.10008.2.16.4"},
	{SystemIHE, "IHE Transactions", "urn:oid:1.3.6.1.4.1.19376.1.2", "1.3.6.1.4.1.19376.1.2"},
	{SystemEventType, "http://hl7.org/fhir/audit-event-type"},
	{SystemEntityType, "http://hl7.org/fhir/object-type", "http://hl7.org/fhir/audit-entity-type"},
	{SystemObjectRole, "http://hl7.org/fhir/object-role", "http://hl7.org/fhir/valueset-object-role"},
	{SystemLifecycle, "http://hl7.org/fhir/dicom-audit-lifecycle", "http://hl7.org/fhir/object-lifecycle"},
	{SystemSourceType, "http://hl7.org/fhir/security-source-type"},
	{SystemActReason, "http://hl7.org/fhir/v3/ActReason", "urn:oid:2.16.840.1.113883.5.8", "2.16.840.1.113883.5.8"},
	{"http://snomed.info/sct", "SCT", "SNM3", "SRT", "urn:oid:2.16.840.1.113883.6.96", "2.16.840.1.113883.6.96"},
}

// systemNamed has the first name of a code system by every other.
var systemNamed = func() map[string]string {
	m := make(map[string]string)
	for _, names := range codeSystems {
		for _, n := range names {
			m[n] = names[0]
		}
	}
	return m
}()

// CodeSystem returns the name that FHIR R4 gives to a code system. A name on nobody's list stays as it is, but for a bare OID,
// which becomes a URI.
func CodeSystem(name string) string {
	if r4, ok := systemNamed[name]; ok {
		return r4
	}
	return OIDSystem(name)
}

// SystemNames returns every name that CodeSystem knows: texts that most reports repeat.
func SystemNames() []string { return slices.Concat(codeSystems[:]...) }

// inSystem gives the system to a code that DICOM and RFC 3881 write as a bare number, because their schemas know what list
// it is from.
func inSystem(c Code, system string) Code {
	if c.Code != "" && c.Code[0] >= '1' && c.Code[0] <= '9' && (c.System == "" || c.System == "RFC-3881" || c.System == "DCM") {
		c.System = system
	}
	return c
}
