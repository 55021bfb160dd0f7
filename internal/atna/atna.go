// Package atna is the syslog door: it takes ATNA audit messages off syslog connections (RFC 5425, RFC 6587) and datagrams
// (RFC 5426), hands them to a hippad.Session, reads the syslog header and DICOM PS3.15 A.5 / RFC 3881 audit XML into
// hippad.Event, answers searches for syslog messages (ITI-82), and tells which rules of these standards a report breaks.
//
// It owns framing and its repair, the syslog header, and the audit XML dialects. It does not own TLS, who the sender is, nor
// FHIR: the reader and the checker for a FHIR payload are passed in. The invariant: every byte that a sender delivers is in the
// body of some report, except the framing itself and what exceeds the size limit; and a report's body is never changed.
package atna
