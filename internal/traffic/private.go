package traffic

import "bytes"

// clinicalWords are what messages, documents and requests about patients hold, in lower case: the segments of HL7, X12, EDIFACT and
// ASTM E1394, the names of FHIR, CDA, DICOM and audit messages.
var clinicalWords = [...]string{
	"patient", "fhir", "hl7", "resourcetype", "clinicaldocument", "auditmessage", "auditevent", "dicom", "dicm", "wado", "/studies", "stow",
	"msh|", "pid|", "obx|", `|^~\&`, `h|\^&`, "nm1*", "isa*", "unb+", "unh+", "una:+",
}

// mayHoldPatientData tells whether b, labelled l, may be about a patient: by its label, or because such data travels in another
// protocol: as the target or the body of a request, behind the header of a proxy, in UTF-16.
func mayHoldPatientData(l Label, b []byte) bool {
	if l.MayHoldPatientData() || begins(b, "\xff\xfe") == exact || begins(b, "\xfe\xff") == exact {
		return true
	}
	plain := bytes.ReplaceAll(b, []byte{0}, nil)
	for _, w := range clinicalWords {
		if containsFold(plain, w) {
			return true
		}
	}
	switch l {
	case HTTP, HTTPProxy, WebSocket:
		if end := headerEnd(b); end >= 0 && end < len(b) {
			return leftover(b[end:]).MayHoldPatientData()
		}
	case ProxyProtocol:
		if _, rest, _ := bytes.Cut(b, []byte("\n")); len(rest) > 0 {
			return Classify(rest).Label.MayHoldPatientData()
		}
	}
	return false
}
