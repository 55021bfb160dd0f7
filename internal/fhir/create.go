package fhir

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

// create records the body of POST AuditEvent as one report, as it came.
func (x *exchange) create(session hippad.Session) error {
	body, f, err := x.body(session)
	if err != nil {
		return err
	}
	report := hippad.Report{Media: f.media(), Body: body}
	ev, is := judge(body, f)
	switch is {
	case isR4, isR5, isOther:
	case malformed:
		return x.keep(session, report, http.StatusBadRequest, "structure", ev.Unreadable)
	default:
		return x.refuseOther(session, report, ev.Unreadable)
	}
	indexes, err := x.record(x.r.Context(), session, []hippad.Report{report})
	if err != nil {
		return err
	}
	now := x.now().UTC()
	x.accepted(indexes[0])
	x.w.Header().Set("Location", x.base.location(indexes[0]))
	x.w.Header().Set("ETag", versionTag)
	x.w.Header().Set("Last-Modified", now.Format(http.TimeFormat))
	switch preferred(x.r, "return") {
	case "representation":
		x.answer(http.StatusCreated, x.resource(hippad.Entry{Index: indexes[0], Received: now, Report: report}, x.base.release))
	case "operationoutcome":
		x.answer(http.StatusCreated, encode(outcome("information", "informational", fmt.Sprintf("accepted as entry %d", indexes[0]))))
	default:
		x.w.WriteHeader(http.StatusCreated)
	}
	return nil
}

// malformed is what a body is that is neither JSON nor, if it says so, XML.
const malformed = notJSON

// judge tells what a body is.
func judge(body []byte, f format) (hippad.Event, verdict) {
	if f == formatJSON {
		return read(body)
	}
	resource, _, err := fromXML(body, false)
	if err != nil {
		return ReadXML(body), malformed // with the reason
	}
	return read(resource)
}

// keep records what cannot be read and refuses it all the same: the log has it, and the sender should know.
func (x *exchange) keep(session hippad.Session, report hippad.Report, code int, issue, reason string) error {
	indexes, err := x.record(x.r.Context(), session, []hippad.Report{report})
	if err != nil {
		return err
	}
	x.accepted(indexes[0])
	return kept(code, issue, indexes[0], reason)
}

func kept(code int, issue string, index int64, reason string) error {
	return status(code, issue, fmt.Sprintf("%s; kept as entry %d, marked unreadable", reason, index))
}

// refuseOther refuses what can be read and is something else than was wanted.
func (x *exchange) refuseOther(session hippad.Session, report hippad.Report, reason string) error {
	if x.KeepRefused {
		return x.keep(session, report, http.StatusUnprocessableEntity, "business-rule", reason)
	}
	return status(http.StatusUnprocessableEntity, "business-rule", reason+"; nothing was kept")
}

func id(index int64) string { return strconv.FormatInt(index, 10) }

const receiptRelation = "https://c2sp.org/tlog-proof"

func receiptURL(index int64) string { return "/log/receipt/" + id(index) }

// accepted names the receipt of a report that is in the log.
func (x *exchange) accepted(index int64) {
	x.w.Header().Set("Link", fmt.Sprintf("<%s>; rel=%q", receiptURL(index), receiptRelation))
}

// identified returns a resource with the id and the meta elements that this door owns: id, meta.versionId and
// meta.lastUpdated. Everything else stays as it is, in its order. The resource must be a JSON object.
func identified(resource []byte, index int64, updated time.Time) []byte {
	var rest bytes.Buffer
	var meta []byte
	eachMember(resource, func(name []byte, value jsontext.Value) {
		switch string(name) {
		case `"resourceType"`, `"id"`, `"_id"`:
		case `"meta"`:
			meta = bytes.Clone(value)
		default:
			writeMember(&rest, name, value)
		}
	})
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"resourceType":%q,"id":"%d","meta":{"versionId":"1","lastUpdated":%q`,
		auditEvent, index, updated.UTC().Format(time.RFC3339Nano))
	eachMember(meta, func(name []byte, value jsontext.Value) {
		switch string(name) {
		case `"versionId"`, `"_versionId"`, `"lastUpdated"`, `"_lastUpdated"`:
		default:
			writeMember(&out, name, value)
		}
	})
	out.WriteByte('}')
	out.Write(rest.Bytes())
	out.WriteByte('}')
	return out.Bytes()
}

// eachMember calls f with every member of an object that is known to be valid, the name in quotes and in its shortest
// form. It does nothing for anything but an object.
func eachMember(object []byte, f func(name []byte, value jsontext.Value)) {
	d := jsontext.NewDecoder(bytes.NewBuffer(bytes.TrimPrefix(object, bom)))
	if d.PeekKind() != '{' {
		return
	}
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() == '"' {
		var name, value jsontext.Value
		if name, err = d.ReadValue(); err != nil {
			return
		}
		if name = bytes.Clone(name); bytes.IndexByte(name, '\\') >= 0 {
			err = name.Canonicalize()
		}
		if value, err = d.ReadValue(); err == nil {
			f(name, value)
		}
	}
}

func writeMember(b *bytes.Buffer, name, value []byte) {
	b.WriteByte(',')
	b.Write(name)
	b.WriteByte(':')
	b.Write(value)
}
