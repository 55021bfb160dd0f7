package fhir

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"hippad"
)

const (
	typePath   = "/" + auditEvent
	searchPath = typePath + "/_search"

	defaultMaxBody = 16 << 20
	defaultBusy    = 5 * time.Second
	maxEntries     = 10_000   // of a Bundle
	defaultCount   = 50       // entries of a page
	maxCount       = 1000     // entries of a page
	maxPage        = 32 << 20 // bytes of the reports of a page; a page ends behind the report that reaches it
)

// A Handler serves the FHIR REST interface under three bases: /fhir in R4 and /fhir/r5 in R5 with create, read and search of
// AuditEvent, batch and transaction of creates, and the capability statement; /fhir/iti81 in R4 with what of this IHE ITI-81 has,
// under its rules. Its fields are set before the first request and not changed afterwards.
type Handler struct {
	Open    func(*http.Request) (hippad.Session, error) // who asks; kind Unauthorised when that one may not even try
	Read    hippad.Reader                               // makes events of any report, to show DICOM reports as FHIR
	MaxBody int64                                       // bytes of a request body, before and after decompression; 0: 16 MiB
	Busy    time.Duration                               // how long a request waits for room in the log before 503; 0: 5 s
	Log     *slog.Logger                                // nil: nothing is logged
	Now     func() time.Time                            // the clock of the log; nil: time.Now

	// Base is where the callers reach this server, as in "https://audit.example": scheme and host, and a path if something in
	// front of it adds one. Empty: https and the host that the caller used. What a proxy says of itself is not believed.
	Base string

	// KeepRefused has what is refused for not being an AuditEvent (422) recorded all the same, as it came. Such an entry is marked
	// unreadable.
	KeepRefused bool

	// Seal and Unseal make and open the token of a link to another page. Unseal fails for what Seal has not made. Nil: a key that
	// this Handler makes up, so that the links end with the process.
	Seal   func([]byte) []byte
	Unseal func([]byte) ([]byte, error)

	// Refuse is called for each request that is refused for its size, so that the refusal itself can be recorded. size,
	// which may be a lower bound, and limit are bytes. It may be nil.
	Refuse func(session hippad.Session, size, limit int64)

	sealer  sealer    // in place of Seal and Unseal
	zippers sync.Pool // of *gzip.Writer
}

// A base is one of the addresses under which the interface is offered.
type base struct {
	path      string
	release   Release
	readOnly  bool // no create
	needsDate bool // a search without a date is refused (IHE ITI TF-2 3.81.4.1.2.1)
}

// bases lists them, the longer paths first.
var bases = []base{{path: "/fhir/iti81", release: R4, readOnly: true, needsDate: true}, {path: "/fhir/r5", release: R5}, {path: "/fhir", release: R4}}

func (b base) location(index int64) string { return b.path + typePath + "/" + id(index) }

// An exchange is one request and its answer.
type exchange struct {
	*Handler
	w      http.ResponseWriter
	r      *http.Request
	base   base
	format format
}

// ServeHTTP answers everything below /fhir. Every answer forbids caches: it may hold patient data.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := h.exchange(w, r)
	if id := r.Header.Get("X-Request-Id"); id != "" && len(id) <= 200 {
		w.Header().Set("X-Request-Id", id)
	}
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, x.base.path), "/")
	to, ok := x.at(path)
	if !ok {
		x.refuse(hippad.Errorf(hippad.NotFound, "there is nothing here").WithHint("this door has AuditEvent and metadata"))
		return
	}
	answer, ok := to.methods[x.method()]
	if !ok {
		allow := to.allow()
		w.Header().Set("Allow", allow)
		x.refuse(status(http.StatusMethodNotAllowed, "not-supported", "what the log has accepted is never changed or removed, and this address takes "+allow))
		return
	}
	// A report is not lost because of the form in which its sender would like the answer.
	if err := x.negotiate(r.URL.Query().Get("_format")); err != nil && !(r.Method == http.MethodPost && path != searchPath) {
		x.refuse(err)
		return
	}
	var session hippad.Session
	if !to.open {
		var err error
		if session, err = h.Open(r); err != nil {
			x.refuse(err)
			return
		}
	}
	if err := answer(session); err != nil {
		x.refuse(err)
	}
}

// exchange finds the base, and as far as it can be found the format.
func (h *Handler) exchange(w http.ResponseWriter, r *http.Request) *exchange {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Add("Vary", "Accept, Accept-Encoding")
	x := &exchange{Handler: h, w: w, r: r, base: bases[len(bases)-1]}
	if i := slices.IndexFunc(bases, func(b base) bool { return r.URL.Path == b.path || strings.HasPrefix(r.URL.Path, b.path+"/") }); i >= 0 {
		x.base = bases[i]
	}
	_ = x.negotiate(r.URL.Query().Get("_format"))
	return x
}

// negotiate sets the format of the answer.
func (x *exchange) negotiate(named string) (err error) {
	x.format, err = negotiate(named, x.r.Header.Values("Accept"), x.base.release)
	return err
}

func (x *exchange) method() string {
	if x.r.Method == http.MethodHead {
		return http.MethodGet
	}
	return x.r.Method
}

// An address has the answers of one path, by method; HEAD is answered as GET. An open one needs no session.
type address struct {
	open    bool
	methods map[string]func(hippad.Session) error
}

func (a address) allow() string {
	var names []string
	if a.methods[http.MethodGet] != nil {
		names = append(names, http.MethodGet, http.MethodHead)
	}
	if a.methods[http.MethodPost] != nil {
		names = append(names, http.MethodPost)
	}
	return strings.Join(names, ", ")
}

// at finds what is at a path below the base.
func (x *exchange) at(path string) (address, bool) {
	const get, post = http.MethodGet, http.MethodPost
	one, single := strings.CutPrefix(path, typePath+"/")
	a := address{methods: make(map[string]func(hippad.Session) error, 2)}
	switch {
	case path == "/metadata":
		a.open = true
		a.methods[get] = x.metadata
	case path == "" && !x.base.readOnly:
		a.methods[post] = x.bundle
	case path == typePath:
		a.methods[get] = x.search
		if !x.base.readOnly {
			a.methods[post] = x.create
		}
	case path == searchPath:
		a.methods[post] = x.search
	case single && !strings.Contains(one, "/"):
		a.methods[get] = func(s hippad.Session) error { return x.read(s, one) }
	default:
		return a, false
	}
	return a, true
}

func (h *Handler) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
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
