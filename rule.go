package hippad

// A Rule is something that a standard asks of whoever reports. Breaking one is never a reason to refuse a report.
type Rule struct {
	ID       string // short and stable, as in "dicom-user-id"
	Standard string // the clause: "DICOM PS3.15 A.5.2.2", "RFC 5424 6.2.7", "FHIR R4 AuditEvent.recorded"
	Text     string // what is wrong with a report that breaks it, in lower case; quotes nothing of a body
}

// A Checker tells which rules a report breaks, each once. Like a Reader it is a pure function and never fails.
type Checker func(Report) []Rule
