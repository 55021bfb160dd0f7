package atna

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"hippad"
)

const (
	defaultCount = 50     // messages of a page
	maxCount     = 1000   // messages of a page
	maxLooked    = 10_000 // messages that one page looks at; a search for what is rare goes on with the next page
	maxPage      = 8 << 20
)

// A SyslogSearch answers GET /fhir/syslogsearch, Retrieve Syslog Event [ITI-82] of IHE's RESTful-ATNA supplement: syslog messages by
// time and by the fields of their headers. What is asked and answered is described in docs/iti82.md. Its fields are set before
// the first request and not changed afterwards.
type SyslogSearch struct {
	Open func(*http.Request) (hippad.Session, error) // who asks; kind Unauthorised when that one may not even try
	Base string                                      // scheme and host by which callers reach this log, for links; empty: links are relative
	Log  *slog.Logger                                // nil: nothing is logged
}

// ServeHTTP answers one request. Every answer forbids caches: it may hold patient data. The reading is recorded by the session.
func (s *SyslogSearch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Vary", "Accept")
	if id := r.Header.Get("X-Request-Id"); id != "" && len(id) <= 200 {
		head.Set("X-Request-Id", id)
	}
	form, err := negotiate(r)
	if err != nil {
		s.refuse(w, form, err)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		s.refuse(w, form, &refusal{http.StatusMethodNotAllowed, "not-supported", "this address is for searching: it takes GET and HEAD"})
		return
	}
	session, err := s.Open(r)
	if err == nil {
		err = s.search(w, r, form, session)
	}
	if err != nil {
		s.refuse(w, form, err)
	}
}

func (s *SyslogSearch) search(w http.ResponseWriter, r *http.Request, form format, session hippad.Session) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return hippad.Errorf(hippad.Invalid, "the query part of the address is not well-formed")
	}
	asked, err := parseSearch(values)
	if err != nil {
		return err
	}
	if len(asked.unknown) > 0 {
		if strict(r) {
			return hippad.Errorf(hippad.Invalid, "parameters that this search does not know: %s", asked.ignored())
		}
		w.Header().Set("X-Ignored-Parameters", asked.ignored())
	}
	found, next, err := collectMessages(r.Context(), session, asked)
	if err != nil {
		return err
	}
	if next >= 0 {
		for name := range values {
			if slices.Contains(asked.unknown, name) || strings.EqualFold(name, pageParameter) {
				delete(values, name)
			}
		}
		values.Set(pageParameter, pageToken(next))
		address := "?" + values.Encode()
		if s.Base != "" {
			address = strings.TrimSuffix(s.Base, "/") + r.URL.Path + address
		}
		w.Header().Set("Link", "<"+address+`>; rel="next"`)
	}
	return form.answer(w, found)
}

// collectMessages reads one page from the log, newest entry first. next is the index before which the next page begins, -1
// if there is none.
func collectMessages(ctx context.Context, session hippad.Session, asked search) (found []message, next int64, err error) {
	q := asked.query
	if len(asked.checks) == 0 {
		q.Limit = asked.count + 1
	}
	looked, size, last := 0, 0, int64(-1)
	for e, err := range session.Search(ctx, q) {
		switch {
		case err != nil:
			return nil, -1, err
		case len(found) == asked.count, looked == maxLooked, size >= maxPage:
			return found, last, nil
		}
		looked++
		last = e.Index
		if e.Destroyed {
			continue
		}
		if m := newMessage(e); asked.met(&m.header) {
			found = append(found, m)
			size += len(e.Body)
		}
	}
	return found, -1, nil
}

// A pageToken says where a page begins. It is opaque to callers and holds an index of the log, nothing else.
func pageToken(before int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint([]byte{1}, uint64(before)))
}

func parsePageToken(s string) (before int64, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 2 || b[0] != 1 {
		return 0, false
	}
	n, size := binary.Uvarint(b[1:])
	if size != len(b)-1 || n > 1<<62 || pageToken(int64(n)) != s {
		return 0, false
	}
	return int64(n), true
}

// strict tells whether the caller wants unknown parameters refused (FHIR R4 search, Handling Errors; RFC 7240).
func strict(r *http.Request) bool {
	for _, line := range r.Header.Values("Prefer") {
		for item := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ',' || c == ';' }) {
			name, value, _ := strings.Cut(item, "=")
			if strings.EqualFold(strings.TrimSpace(name), "handling") && strings.EqualFold(strings.Trim(strings.TrimSpace(value), `"`), "strict") {
				return true
			}
		}
	}
	return false
}

// A refusal is an error with an HTTP status of its own, where the kinds of package hippad are too coarse.
type refusal struct {
	status int
	code   string // FHIR issue type
	text   string
}

func (p *refusal) Error() string { return p.text }

// refusals is this handler's table from kinds to HTTP and to FHIR issue types.
var refusals = map[hippad.Kind]refusal{
	hippad.Invalid:      {status: http.StatusBadRequest, code: "invalid"},
	hippad.Unauthorised: {status: http.StatusForbidden, code: "forbidden"},
	hippad.NotFound:     {status: http.StatusNotFound, code: "not-found"},
	hippad.Conflict:     {status: http.StatusConflict, code: "conflict"},
	hippad.TooLarge:     {status: http.StatusRequestEntityTooLarge, code: "too-long"},
	hippad.Busy:         {status: http.StatusServiceUnavailable, code: "throttled"},
	hippad.Unavailable:  {status: http.StatusServiceUnavailable, code: "transient"},
	hippad.Internal:     {status: http.StatusInternalServerError, code: "exception"},
}

// refuse answers an error. The cause of an internal one goes to the log.
func (s *SyslogSearch) refuse(w http.ResponseWriter, form format, err error) {
	var p *refusal
	if !errors.As(err, &p) {
		kind := hippad.KindOf(err)
		known := refusals[kind]
		p = &known
		var hint string
		if p.text, hint = hippad.Public(err); hint != "" {
			p.text += " (" + hint + ")"
		}
		switch kind {
		case hippad.Busy:
			w.Header().Set("Retry-After", "1")
		case hippad.Unavailable:
			w.Header().Set("Retry-After", "10")
		case hippad.Internal:
			if s.Log != nil {
				s.Log.Error("syslog search failed", "error", err)
			}
		}
	}
	w.Header().Del("Link")
	form.refuse(w, *p)
}

// ignored names the unknown parameters to the caller, who chose them, in characters that a header may hold.
func (q search) ignored() string {
	const most, long = 20, 64
	var names []string
	for i, name := range q.unknown {
		if i == most {
			names = append(names, "and "+strconv.Itoa(len(q.unknown)-most)+" more")
			break
		}
		if name = url.QueryEscape(name); len(name) > long {
			name = name[:long] + "..."
		}
		names = append(names, name)
	}
	return strings.Join(slices.Compact(names), ", ")
}
