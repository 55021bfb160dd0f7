package fhir

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hippad"
)

// resource shows an entry as R4. A report that is an R4 AuditEvent is shown as it was sent, with id and meta set;
// any other one by what its event says. A report that nobody can read is still an entry, so it is shown too: as an
// AuditEvent of type "object" (audit-event-type) whose outcomeDesc says why there is nothing more, and as recorded when
// the log took it.
func (h *Handler) resource(e hippad.Entry) []byte {
	if e.Media == hippad.MediaFHIRJSON {
		if _, is := read(e.Body); is == isR4 {
			return identified(e.Body, e.Index, e.Received)
		}
	}
	ev := h.Read(e.Report)
	if ev.Unreadable != "" {
		if ev.Type == (hippad.Code{}) {
			ev.Type = hippad.Code{System: systemEventType, Code: "object", Display: "Object"}
		}
		if ev.Recorded.IsZero() {
			ev.Recorded = e.Received
		}
		ev.OutcomeDescription = "this report cannot be read: " + ev.Unreadable
	}
	return identified(Write(ev).Body, e.Index, e.Received)
}

// read answers GET /fhir/AuditEvent/{id}. An id that is no index of the log is not found, as FHIR has it.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, session hippad.Session, id string) error {
	missing := hippad.Errorf(hippad.NotFound, "there is no entry with this id")
	index, ok := parseIndex(id)
	if !ok {
		return missing
	}
	for e, err := range session.Search(r.Context(), hippad.Query{Indexes: []int64{index}, Limit: 1}) {
		if err != nil {
			return err
		}
		if e.Destroyed {
			return status(http.StatusGone, "deleted", "the content of this entry was destroyed at the end of its retention; its receipt still holds")
		}
		w.Header().Set("ETag", `W/"1"`)
		w.Header().Set("Last-Modified", e.Received.UTC().Format(http.TimeFormat))
		accepted(w, e.Index)
		answer(w, http.StatusOK, h.resource(e))
		return nil
	}
	return missing
}

// search answers GET /fhir/AuditEvent by one reading of the log. Pages go from the newest entry backwards; the cursor of
// the next one is an index, beside the caller's own parameters, relative to the address that was asked.
func (h *Handler) search(w http.ResponseWriter, r *http.Request, session hippad.Session) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return hippad.Errorf(hippad.Invalid, "the query part of the address is not well-formed")
	}
	q, unknown, err := ParseQuery(values)
	if err != nil {
		return err
	}
	if len(unknown) > 0 && preferred(r, "handling") == "strict" {
		return hippad.Errorf(hippad.Invalid, "%s", unknownText(unknown))
	}
	for _, name := range unknown {
		delete(values, name)
	}
	count := q.Limit
	if count == 0 {
		count = defaultCount
	}
	count = min(count, maxCount)
	q.Limit = count + 1
	page := pageBuilder{handler: h, base: requestBase(r)}
	more := false
	size := 0
	for e, err := range session.Search(r.Context(), q) {
		if err != nil {
			return err
		}
		if e.Destroyed { // only a search by _id meets one
			continue
		}
		if more = page.entries == count || size >= maxPage; more {
			break
		}
		page.add(e)
		size += len(e.Body)
	}
	if len(unknown) > 0 {
		page.note(outcome("warning", "not-supported", unknownText(unknown)))
	}
	total, next := page.entries, ""
	if q.Before != nil {
		total = -1 // the pages before this one are not counted
	}
	self := "?" + values.Encode()
	if more {
		values.Set("_before", strconv.FormatInt(page.last, 10))
		total, next = -1, "?"+values.Encode()
	}
	answer(w, http.StatusOK, page.bundle(self, next, total))
	return nil
}

// unknownText names parameters to the caller, who chose them.
func unknownText(names []string) string {
	const most = 20
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	short := slices.Clone(names)
	for i, name := range short {
		if len(name) > 64 {
			short[i] = name[:64] + "..."
		}
	}
	return "parameters that this door does not know: " + strings.Join(short, ", ") + more
}

// requestBase is the address by which the caller reached this door, for fullUrl, which FHIR wants absolute.
func requestBase(r *http.Request) string {
	if r.Host == "" {
		return ""
	}
	if r.TLS == nil {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// A pageBuilder puts a searchset together from resources as they are, without decoding them again.
type pageBuilder struct {
	handler *Handler
	base    string
	buffer  bytes.Buffer
	entries int
	last    int64
}

func (p *pageBuilder) add(e hippad.Entry) {
	p.entry(p.base+location(e.Index), p.handler.resource(e), "match")
	p.entries++
	p.last = e.Index
}

func (p *pageBuilder) note(o *outcomeJSON) { p.entry("", encode(o), "outcome") }

func (p *pageBuilder) entry(fullURL string, resource []byte, mode string) {
	if p.buffer.Len() > 0 {
		p.buffer.WriteByte(',')
	}
	p.buffer.WriteByte('{')
	if fullURL != "" {
		fmt.Fprintf(&p.buffer, `"fullUrl":%s,`, encode(fullURL))
	}
	p.buffer.WriteString(`"resource":`)
	p.buffer.Write(resource)
	fmt.Fprintf(&p.buffer, `,"search":{"mode":%q}}`, mode)
}

// bundle finishes the searchset; total is left out when it is negative, and next when it is empty.
func (p *pageBuilder) bundle(self, next string, total int) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"resourceType":"Bundle","type":"searchset","timestamp":%q`, time.Now().UTC().Format(time.RFC3339))
	if total >= 0 {
		fmt.Fprintf(&out, `,"total":%d`, total)
	}
	fmt.Fprintf(&out, `,"link":[{"relation":"self","url":%s}`, encode(self))
	if next != "" {
		fmt.Fprintf(&out, `,{"relation":"next","url":%s}`, encode(next))
	}
	out.WriteByte(']')
	if p.buffer.Len() > 0 {
		out.WriteString(`,"entry":[`)
		out.Write(p.buffer.Bytes())
		out.WriteByte(']')
	}
	out.WriteByte('}')
	return out.Bytes()
}
