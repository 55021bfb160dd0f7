package fhir

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"

	"hippad"
)

func (h *Handler) maxBody() int64 {
	if h.MaxBody == 0 {
		return defaultMaxBody
	}
	return h.MaxBody
}

// body returns the request's body, inflated, and its format. One over the limit is refused and reported; one that says it is gzip and
// is not is recorded as it came and refused, so that it is not lost.
func (x *exchange) body(session hippad.Session) ([]byte, format, error) {
	f, err := formatOf(x.r)
	if err != nil {
		return nil, f, err
	}
	limit := x.maxBody()
	if x.r.ContentLength > limit {
		return nil, f, x.tooLarge(session, x.r.ContentLength, limit)
	}
	body, err := readAtMost(x.r.Body, limit)
	switch {
	case errors.Is(err, errTooLong):
		return nil, f, x.tooLarge(session, limit+1, limit)
	case err != nil:
		return nil, f, hippad.Errorf(hippad.Invalid, "the body ended early; nothing was kept")
	}
	switch encoding := strings.ToLower(strings.TrimSpace(x.r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		inflated, err := inflate(body, limit)
		if errors.Is(err, errTooLong) {
			return nil, f, x.tooLarge(session, limit+1, limit)
		}
		if err != nil {
			return nil, f, x.keep(session, hippad.Report{Media: hippad.MediaUnknown, Body: body}, http.StatusBadRequest, "structure", "the body is not gzip")
		}
		body = inflated
	default:
		return nil, f, status(http.StatusUnsupportedMediaType, "not-supported", "want Content-Encoding gzip, or none")
	}
	if len(body) == 0 {
		return nil, f, hippad.Errorf(hippad.Invalid, "the body is empty")
	}
	return body, f, nil
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
func (x *exchange) tooLarge(session hippad.Session, size, limit int64) error {
	if x.Refuse != nil {
		x.Refuse(session, size, limit)
	}
	return hippad.Errorf(hippad.TooLarge, "the request was refused: it is over the limit of %d bytes", limit)
}
