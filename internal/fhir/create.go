package fhir

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"hippad"
)

// create records the body of POST /fhir/AuditEvent as one report.
func (h *Handler) create(w http.ResponseWriter, r *http.Request, session hippad.Session) error {
	body, err := h.body(w, r, session)
	if err != nil {
		return err
	}
	ev, is := read(body)
	if is == wrongType {
		return status(http.StatusUnprocessableEntity, "business-rule", ev.Unreadable+"; nothing was kept")
	}
	indexes, err := h.record(r.Context(), session, []hippad.Report{{Media: hippad.MediaFHIRJSON, Body: body}})
	if err != nil {
		return err
	}
	accepted(w, indexes[0])
	if ev.Unreadable != "" {
		return kept(indexes[0], ev.Unreadable)
	}
	now := time.Now().UTC()
	w.Header().Set("Location", location(indexes[0]))
	w.Header().Set("ETag", `W/"1"`)
	w.Header().Set("Last-Modified", now.Format(http.TimeFormat))
	switch preferred(r, "return") {
	case "representation":
		if is == isOther {
			body = Write(ev).Body
		}
		answer(w, http.StatusCreated, identified(body, indexes[0], now))
	case "operationoutcome":
		answer(w, http.StatusCreated, encode(outcome("information", "informational", fmt.Sprintf("accepted as entry %d", indexes[0]))))
	default:
		w.WriteHeader(http.StatusCreated)
	}
	return nil
}

// kept is the answer to a report that cannot be read: the log has it, and the sender should know.
func kept(index int64, reason string) error {
	return status(http.StatusBadRequest, "structure", fmt.Sprintf("%s; kept as entry %d, marked unreadable", reason, index))
}

// location is path-absolute: whatever stands in front of this server, no inner address gets out.
func location(index int64) string { return typePath + "/" + strconv.FormatInt(index, 10) }

const receiptRelation = "https://c2sp.org/tlog-proof"

func receiptURL(index int64) string { return "/log/receipt/" + strconv.FormatInt(index, 10) }

// accepted names the receipt of a report that is in the log.
func accepted(w http.ResponseWriter, index int64) {
	w.Header().Set("Link", fmt.Sprintf("<%s>; rel=%q", receiptURL(index), receiptRelation))
}

func (h *Handler) maxBody() int64 {
	if h.MaxBody == 0 {
		return defaultMaxBody
	}
	return h.MaxBody
}

// body returns the request's body, inflated. One over the limit is refused and reported; one that says it is gzip and
// is not is recorded as it came and refused, so that it is not lost.
func (h *Handler) body(w http.ResponseWriter, r *http.Request, session hippad.Session) ([]byte, error) {
	if err := contentIsJSON(r); err != nil {
		return nil, err
	}
	limit := h.maxBody()
	if r.ContentLength > limit {
		return nil, h.tooLarge(session, r.ContentLength)
	}
	body, err := readAtMost(r.Body, limit)
	switch {
	case errors.Is(err, errTooLong):
		return nil, h.tooLarge(session, limit+1)
	case err != nil:
		return nil, hippad.Errorf(hippad.Invalid, "the body ended early; nothing was kept")
	}
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		inflated, err := inflate(body, limit)
		if errors.Is(err, errTooLong) {
			return nil, h.tooLarge(session, limit+1)
		}
		if err != nil {
			indexes, err := h.record(r.Context(), session, []hippad.Report{{Media: hippad.MediaUnknown, Body: body}})
			if err != nil {
				return nil, err
			}
			accepted(w, indexes[0])
			return nil, kept(indexes[0], "the body is not gzip")
		}
		body = inflated
	default:
		return nil, status(http.StatusUnsupportedMediaType, "not-supported", "want Content-Encoding gzip, or none")
	}
	if len(body) == 0 {
		return nil, hippad.Errorf(hippad.Invalid, "the body is empty")
	}
	return body, nil
}

var errTooLong = errors.New("over the limit")

func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		return nil, errTooLong
	}
	return body, err
}

func inflate(body []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return readAtMost(z, limit)
}

// tooLarge tells of a request of at least size bytes, and returns the refusal.
func (h *Handler) tooLarge(session hippad.Session, size int64) error {
	if h.Refuse != nil {
		h.Refuse(session, size, h.maxBody())
	}
	return hippad.Errorf(hippad.TooLarge, "the request was refused: it is over the limit of %d bytes", h.maxBody())
}

// identified returns a resource with the id and the meta elements that this door owns: id, meta.versionId and
// meta.lastUpdated. Everything else stays as it is, in its order. The resource must be a JSON object.
func identified(resource []byte, index int64, updated time.Time) []byte {
	var rest bytes.Buffer
	var meta []byte
	eachMember(resource, func(name []byte, value jsontext.Value) {
		switch string(name) {
		case `"resourceType"`, `"id"`:
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
		if s := string(name); s != `"versionId"` && s != `"lastUpdated"` {
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
