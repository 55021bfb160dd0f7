package fhir

import (
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hippad"
)

const (
	basePath = "/fhir"
	typePath = basePath + "/" + auditEvent

	defaultMaxBody = 16 << 20
	defaultBusy    = 5 * time.Second
	maxEntries     = 10_000   // of a Bundle
	defaultCount   = 50       // entries of a page
	maxCount       = 1000     // entries of a page
	maxPage        = 32 << 20 // bytes of the reports of a page; a page ends behind the report that reaches it
)

// A Handler serves the FHIR REST interface under /fhir: create, read and search of AuditEvent, batch and transaction
// of creates, and the capability statement. Its fields are set before the first request and not changed afterwards.
type Handler struct {
	Open    func(*http.Request) (hippad.Session, error) // who asks; kind Unauthorised when that one may not even try
	Read    hippad.Reader                               // makes events of any report, to show DICOM reports as FHIR
	MaxBody int64                                       // bytes of a request body, before and after decompression; 0: 16 MiB
	Busy    time.Duration                               // how long a request waits for room in the log before 503; 0: 5 s
	Log     *slog.Logger                                // nil: nothing is logged

	// Refuse is called for each request that is refused for its size, so that the refusal itself can be recorded. size,
	// which may be a lower bound, and limit are bytes. It may be nil.
	Refuse func(session hippad.Session, size, limit int64)
}

// ServeHTTP answers everything below /fhir. Every answer forbids caches: it may hold patient data.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	if id := r.Header.Get("X-Request-Id"); id != "" && len(id) <= 200 {
		head.Set("X-Request-Id", id)
	}
	if err := acceptable(r); err != nil {
		h.refuse(w, err)
		return
	}
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, basePath), "/")
	id, one := strings.CutPrefix(path, "/"+auditEvent+"/")
	switch {
	case path == "":
		h.serve(w, r, routes{http.MethodPost: h.bundle})
	case path == "/metadata":
		h.open(w, r, routes{http.MethodGet: h.metadata})
	case path == "/"+auditEvent:
		h.serve(w, r, routes{http.MethodPost: h.create, http.MethodGet: h.search})
	case one && !strings.Contains(id, "/"):
		h.serve(w, r, routes{http.MethodGet: func(w http.ResponseWriter, r *http.Request, s hippad.Session) error {
			return h.read(w, r, s, id)
		}})
	default:
		h.refuse(w, hippad.Errorf(hippad.NotFound, "there is nothing here").WithHint("this door has AuditEvent and metadata"))
	}
}

// routes has the answers of one address, by method; HEAD is answered as GET.
type routes map[string]func(http.ResponseWriter, *http.Request, hippad.Session) error

// serve finds the method, then the session.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, to routes) {
	if _, ok := to.find(r.Method); !ok {
		h.open(w, r, to)
		return
	}
	session, err := h.Open(r)
	if err != nil {
		h.refuse(w, err)
		return
	}
	answer, _ := to.find(r.Method)
	if err := answer(w, r, session); err != nil {
		h.refuse(w, err)
	}
}

// open answers what needs no session.
func (h *Handler) open(w http.ResponseWriter, r *http.Request, to routes) {
	answer, ok := to.find(r.Method)
	if !ok {
		var allow []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			if _, ok := to.find(method); ok {
				allow = append(allow, method)
			}
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		h.refuse(w, status(http.StatusMethodNotAllowed, "not-supported", "what the log has accepted is never changed or removed, and this address takes "+strings.Join(allow, ", ")))
		return
	}
	if err := answer(w, r, nil); err != nil {
		h.refuse(w, err)
	}
}

func (to routes) find(method string) (func(http.ResponseWriter, *http.Request, hippad.Session) error, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	answer, ok := to[method]
	return answer, ok
}

// acceptable tells whether the caller takes JSON. _format wins over Accept (FHIR R4 http, Content Types and encodings).
func acceptable(r *http.Request) error {
	accept := r.URL.Query().Get("_format")
	if accept == "" {
		accept = strings.Join(r.Header.Values("Accept"), ",")
	}
	if accept == "" {
		return nil
	}
	for item := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(item, ";")
		if q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok && strings.Trim(q, "0.") == "" {
			continue
		}
		switch media = strings.ToLower(strings.TrimSpace(media)); media {
		case "*/*", "application/*", "application/json", "text/json", "json", "text/*":
			return nil
		}
		// A plus sign that was not escaped in _format arrives as a space.
		if strings.ReplaceAll(media, " ", "+") == hippad.MediaFHIRJSON {
			return nil
		}
	}
	return status(http.StatusNotAcceptable, "not-supported", "this version answers in "+hippad.MediaFHIRJSON+" only; FHIR XML comes in a later one")
}

// contentIsJSON checks the Content-Type of a body.
func contentIsJSON(r *http.Request) error {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || (media != hippad.MediaFHIRJSON && media != "application/json") ||
		(charset != "" && charset != "utf-8" && charset != "utf8" && charset != "us-ascii") {
		return status(http.StatusUnsupportedMediaType, "not-supported",
			"want Content-Type "+hippad.MediaFHIRJSON+" or application/json in UTF-8; FHIR XML is taken by a later version")
	}
	return nil
}

// preferred returns the value that Prefer has for a name (RFC 7240), in lower case.
func preferred(r *http.Request, name string) string {
	for _, line := range r.Header.Values("Prefer") {
		for item := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ',' || c == ';' }) {
			if key, value, ok := strings.Cut(strings.TrimSpace(item), "="); ok && strings.EqualFold(strings.TrimSpace(key), name) {
				return strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`))
			}
		}
	}
	return ""
}

// record hands the reports to the log and returns their indexes once they are durable.
func (h *Handler) record(ctx context.Context, session hippad.Session, reports []hippad.Report) ([]int64, error) {
	busy := h.Busy
	if busy == 0 {
		busy = defaultBusy
	}
	room, cancel := context.WithTimeout(ctx, busy)
	defer cancel()
	wait, err := session.Record(room, hippad.Frame{Reports: reports})
	if err != nil {
		if hippad.KindOf(err) == hippad.Internal && errors.Is(err, context.DeadlineExceeded) {
			err = hippad.Errorf(hippad.Busy, "the log has no room now")
		}
		return nil, err
	}
	ack, err := wait(ctx)
	if err != nil {
		if hippad.KindOf(err) == hippad.Internal && ctx.Err() != nil {
			err = hippad.Errorf(hippad.Unavailable, "the request ended before the log answered; the outcome is not known")
		}
		return nil, err
	}
	indexes := make([]int64, 0, len(reports))
	for _, run := range ack.Ranges {
		for i := range min(run.Count, len(reports)-len(indexes)) {
			indexes = append(indexes, run.First+int64(i))
		}
	}
	if len(indexes) != len(reports) {
		return nil, errors.New("the acknowledgement does not cover the reports")
	}
	return indexes, nil
}

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
func (h *Handler) refuse(w http.ResponseWriter, err error) {
	p := describe(err)
	if p.status == http.StatusInternalServerError && h.Log != nil {
		h.Log.Error("fhir request failed", "error", err)
	}
	switch hippad.KindOf(err) {
	case hippad.Busy:
		w.Header().Set("Retry-After", "1")
	case hippad.Unavailable:
		w.Header().Set("Retry-After", "10")
	}
	answer(w, p.status, encode(failed(p)))
}

// Deny refuses a request that never reached this door: err with an HTTP status that the caller has chosen.
func (h *Handler) Deny(w http.ResponseWriter, code int, err error) {
	p := describe(err)
	p.status = code
	if code == http.StatusUnauthorized {
		p.code = "login"
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, p.status, encode(failed(p)))
}

// answer writes a resource.
func answer(w http.ResponseWriter, status int, resource []byte) {
	w.Header().Set("Content-Type", hippad.MediaFHIRJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(resource)))
	w.WriteHeader(status)
	_, _ = w.Write(resource) // the caller has gone: there is nobody to tell
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

func outcome(severity, code, text string) *outcomeJSON {
	return &outcomeJSON{"OperationOutcome", []issueJSON{{severity, code, text}}}
}
