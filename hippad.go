// Package hippad holds the words of the house: what is reported (Report), what the log keeps (Entry), what it
// means (Event), how it is asked for (Query) and proved (Receipt), by whom (Principal) and with what right (Grant), and the one interface
// that every door and every command speaks (Session).
//
// It owns names and their meaning, nothing that runs: no I/O, no clock, no goroutine, and it imports the standard
// library only, so that every other package can import it. The invariant: a Report's bytes are never changed. An
// Event, and every Term drawn from it, is derived from those bytes alone and can be made again at any time.
//
// Reports, events and queries hold patient data. Their printed form, under every fmt verb and in slog, is redacted.
package hippad

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"
)

// Media types of the reports that hippad reads. Any other is kept all the same, marked unreadable.
const (
	MediaSyslog   = "application/vnd.hippad.syslog" // one RFC 5424 (or 3164) message, header included, without framing
	MediaXML      = "application/xml"               // a DICOM PS3.15 A.5 or RFC 3881 AuditMessage
	MediaFHIRJSON = "application/fhir+json"         // one FHIR AuditEvent
	MediaFHIRXML  = "application/fhir+xml"          // one FHIR AuditEvent
	MediaUnknown  = "application/octet-stream"      // whatever it is
)

// MaxMedia is the longest media type, in bytes, that a report may carry: it is part of the leaf.
const MaxMedia = 127

// A Report is what a reporter sends. Body is kept byte for byte.
type Report struct {
	Media string // media type, at most MaxMedia bytes
	Fault Fault  // what the door had to do to get hold of the body
	Body  []byte
}

// A Fault says what a door found wrong with the way a report arrived. It is stored with the entry, because it
// cannot be derived from the body.
type Fault uint8

// The codes are part of the leaf format: never renumber.
const (
	NoFault   Fault = 0
	Framing   Fault = 1 // the frame boundary was wrong; the body was recovered from the bytes around it
	Truncated Fault = 2 // the body was cut: at the size limit (RFC 5424 section 6.1) or by the end of the connection
	Stray     Fault = 3 // bytes between frames that belong to no message
	Foreign   Fault = 4 // it names a source in whose name its reporter may not speak; kept where it cannot be refused
)

var faultNames = [...]string{"", "framing", "truncated", "stray", "foreign"}

// String returns the name used in searches (mark=framing) and on screens; empty for NoFault.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return fmt.Sprintf("fault-%d", uint8(f))
}

// A Door is the way by which a report came in.
type Door uint8

// The codes are part of the leaf format: never renumber.
const (
	DoorSelf      Door = 0 // hippad reports about itself
	DoorNative    Door = 1 // hippad/1
	DoorFHIR      Door = 2 // FHIR REST
	DoorSyslogTLS Door = 3 // RFC 5425, RFC 6587 inside TLS
	DoorSyslogUDP Door = 4 // RFC 5426
)

var doorNames = [...]string{"self", "native", "fhir", "syslog-tls", "syslog-udp"}

// String returns the name used in searches (door=syslog-tls) and on screens.
func (d Door) String() string {
	if int(d) < len(doorNames) {
		return doorNames[d]
	}
	return fmt.Sprintf("door-%d", uint8(d))
}

// Acknowledges tells whether the reporter behind the door is told that a report is durable. Syslog has no way to say so
// (RFC 5425, RFC 5426): nobody waits there.
func (d Door) Acknowledges() bool { return d != DoorSyslogTLS && d != DoorSyslogUDP }

// An Entry is a report that the log has accepted.
type Entry struct {
	Index    int64     // place in the log, from 0
	Received time.Time // when the log took it, UTC, whole microseconds, never earlier than the entry before
	Door     Door
	Reporter Principal
	Report
	// Destroyed says that the content is gone for good, at the end of its retention: Reporter and Body are empty. What is
	// left, and every proof, is in the leaf.
	Destroyed bool
}

// A StreamID names one reporter's numbered sequence of reports: 16 random bytes that the reporter keeps beside its
// queue. The zero value means "not numbered".
type StreamID [16]byte

// A Frame is what is handed over in one piece: all of it is committed together, in order, or none of it.
type Frame struct {
	Stream  StreamID // zero: the reports are not numbered and nothing is known of repeats
	First   uint64   // number of Reports[0] in the stream, from 1; the others follow without a gap
	Reports []Report
}

// A Range is a run of consecutive entries.
type Range struct {
	First int64 // index of the first
	Count int
}

// An Ack says that a frame is durable.
type Ack struct {
	Ranges     []Range // where the frame's reports are, in order; more than one if part of the frame was a repeat
	Checkpoint []byte  // a signed checkpoint (C2SP tlog-checkpoint) whose tree covers them
}

// A Wait blocks until the frame it came from is durable, or until it is certain that it is not, and may be called once
// from any goroutine. When ctx ends first the outcome is unknown to the caller, not cancelled.
type Wait func(ctx context.Context) (Ack, error)

// A Receipt is the text of a C2SP tlog-proof for one entry (c2sp.org/tlog-proof@v1). Package receipt makes and checks it.
type Receipt []byte

// Session is the log as one admitted principal sees it. It is implemented by internal/repository (here) and by
// wire.Client (far away), so a command is written once for both.
type Session interface {
	// Record hands over a frame. It returns as soon as the frame has its place in the queue, in the order of the calls;
	// the frame is durable when Wait returns without error. While the log has no room Record blocks, and gives up with
	// kind Busy when ctx ends. A number that the stream has already committed is not stored again: its old place
	// is in the Ack. A gap in the numbers is kind Conflict.
	Record(ctx context.Context, f Frame) (Wait, error)

	// Search yields the entries that answer q. The reading is itself recorded before the first entry is yielded; if it
	// cannot be, the only thing yielded is the error.
	Search(ctx context.Context, q Query) iter.Seq2[Entry, error]

	// Receipt proves that the entry at index is in the log, under the newest checkpoint. Kind NotFound if there is none.
	Receipt(ctx context.Context, index int64) (Receipt, error)
}

// String hides the body.
func (r Report) String() string { return fmt.Sprintf("report of %d bytes of %s", len(r.Body), r.Media) }

// GoString hides the body under %#v.
func (r Report) GoString() string { return r.String() }

// LogValue hides the body in slog.
func (r Report) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String hides the body.
func (e Entry) String() string { return fmt.Sprintf("entry %d: %v", e.Index, e.Report) }

// GoString hides the body under %#v.
func (e Entry) GoString() string { return e.String() }

// LogValue hides the body in slog.
func (e Entry) LogValue() slog.Value { return slog.StringValue(e.String()) }
