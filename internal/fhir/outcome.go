package fhir

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"

	"github.com/klauspost/compress/gzip"

	"hippad"
)

// A problem is an error with an HTTP status of its own, where the kinds of package hippad are too coarse.
type problem struct {
	status int
	code   string // FHIR issue-type
	text   string
}

func (p *problem) Error() string { return p.text }

func status(code int, issue, text string) error { return &problem{code, issue, text} }

// statuses is the door's table from kinds to HTTP and to FHIR issue types.
var statuses = map[hippad.Kind]problem{
	hippad.Invalid:      {status: http.StatusBadRequest, code: "invalid"},
	hippad.Unauthorised: {status: http.StatusForbidden, code: "forbidden"},
	hippad.NotFound:     {status: http.StatusNotFound, code: "not-found"},
	hippad.Conflict:     {status: http.StatusConflict, code: "conflict"},
	hippad.TooLarge:     {status: http.StatusRequestEntityTooLarge, code: "too-long"},
	hippad.Busy:         {status: http.StatusServiceUnavailable, code: "throttled"},
	hippad.Unavailable:  {status: http.StatusServiceUnavailable, code: "transient"},
	hippad.Internal:     {status: http.StatusInternalServerError, code: "exception"},
}

// describe returns status, issue type and words for an error.
func describe(err error) problem {
	var p *problem
	if errors.As(err, &p) {
		return *p
	}
	out := statuses[hippad.KindOf(err)]
	message, hint := hippad.Public(err)
	if out.text = message; hint != "" {
		out.text += " (" + hint + ")"
	}
	return out
}

// refuse answers an error with an OperationOutcome. The cause of an internal one goes to the log.
func (x *exchange) refuse(err error) {
	p := describe(err)
	if p.status == http.StatusInternalServerError && x.Log != nil {
		x.Log.Error("fhir request failed", "error", err)
	}
	switch hippad.KindOf(err) {
	case hippad.Busy:
		x.w.Header().Set("Retry-After", "1")
	case hippad.Unavailable:
		x.w.Header().Set("Retry-After", "10")
	}
	x.answer(p.status, encode(failed(p)))
}

// Deny refuses a request that never reached this door, in the format that it asks for: err with an HTTP status that the
// caller has chosen.
func (h *Handler) Deny(w http.ResponseWriter, r *http.Request, code int, err error) {
	p := describe(err)
	if code == http.StatusUnauthorized {
		p.code = "login"
	}
	h.exchange(w, r).answer(code, encode(failed(p)))
}

// answer writes a resource, given in JSON, in the format of the exchange.
func (x *exchange) answer(status int, resource []byte) {
	if x.format == formatXML {
		text, err := toXML(resource)
		if err == nil {
			x.write(status, text)
			return
		}
		if x.Log != nil {
			x.Log.Error("fhir answer in XML", "error", err)
		}
		x.format = formatJSON // an answer in the wrong format is better than none
	}
	x.write(status, resource)
}

// worthZipping is the size in bytes from which an answer is compressed for who takes that.
const worthZipping = 1024

// write writes a body that is in the format of the exchange. The answer to HEAD has the same header and no body.
func (x *exchange) write(status int, body []byte) {
	head := x.w.Header()
	head.Set("Content-Type", x.format.contentType())
	if len(body) >= worthZipping && takesGzip(x.r) {
		head.Set("Content-Encoding", "gzip")
		body = x.zipped(body)
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) // the caller has gone: there is nobody to tell
	}
}

func (h *Handler) zipped(body []byte) []byte {
	var out bytes.Buffer
	z, ok := h.zippers.Get().(*gzip.Writer)
	if !ok {
		z, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one of the package's own
	}
	defer h.zippers.Put(z)
	z.Reset(&out)
	_, _ = z.Write(body) // a Buffer takes everything
	_ = z.Close()
	return out.Bytes()
}

type outcomeJSON struct {
	ResourceType string      `json:"resourceType"`
	Issue        []issueJSON `json:"issue"`
}

type issueJSON struct {
	Severity    string `json:"severity"`
	Code        string `json:"code"`
	Diagnostics string `json:"diagnostics,omitzero"`
}

func failed(p problem) *outcomeJSON { return outcome("error", p.code, p.text) }

func outcome(severity, code string, texts ...string) *outcomeJSON {
	o := &outcomeJSON{ResourceType: "OperationOutcome"}
	for _, text := range texts {
		o.Issue = append(o.Issue, issueJSON{severity, code, text})
	}
	return o
}
