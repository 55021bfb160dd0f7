package fhir

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hippad"
)

// resource shows an entry in a release, in JSON. A report that is an AuditEvent of that release is shown as it was sent, with id
// and meta set; any other one by what its event says. A report that nobody can read is still an entry, so it is shown too: as an
// AuditEvent of type "object" (audit-event-type) whose outcomeDesc says why there is nothing more, and as recorded when
// the log took it.
func (h *Handler) resource(e hippad.Entry, r Release) []byte {
	if sent, ok := asSent(e.Report, r); ok {
		return identified(sent, e.Index, e.Received)
	}
	ev := h.Read(e.Report)
	if ev.Unreadable != "" {
		if ev.Type == (hippad.Code{}) {
			ev.Type = hippad.Code{System: hippad.SystemEventType, Code: "object", Display: "Object"}
		}
		if ev.Recorded.IsZero() {
			ev.Recorded = e.Received
		}
		ev.OutcomeDescription = "this report cannot be read: " + ev.Unreadable
	}
	return identified(WriteRelease(ev, r), e.Index, e.Received)
}

const versionTag = `W/"1"`

// read answers GET AuditEvent/{id}. An id that is no index of the log is not found, as FHIR has it.
func (x *exchange) read(session hippad.Session, id string) error {
	missing := hippad.Errorf(hippad.NotFound, "there is no entry with this id")
	index, ok := parseIndex(id)
	if !ok {
		return missing
	}
	for e, err := range session.Search(x.r.Context(), hippad.Query{Indexes: []int64{index}, Limit: 1}) {
		if err != nil {
			return err
		}
		if e.Destroyed {
			return status(http.StatusGone, "deleted", "the content of this entry was destroyed at the end of its retention; its receipt still holds")
		}
		modified := e.Received.UTC().Format(http.TimeFormat)
		x.w.Header().Set("ETag", versionTag)
		x.w.Header().Set("Last-Modified", modified)
		x.accepted(e.Index)
		if fresh(x.r, versionTag, modified) {
			x.w.WriteHeader(http.StatusNotModified)
			return nil
		}
		x.answer(http.StatusOK, x.resource(e, x.base.release))
		return nil
	}
	return missing
}

// search answers GET AuditEvent and POST AuditEvent/_search by one reading of the log.
func (x *exchange) search(session hippad.Session) error {
	values, err := x.parameters(session)
	if err != nil {
		return err
	}
	s, t, token, err := x.asked(values)
	if err != nil {
		return err
	}
	count := s.count
	if count == 0 {
		count = defaultCount
	}
	count = min(count, maxCount)
	wantsTotal := s.counting || (s.total == "accurate" || s.total == "estimate") && t.Total == nil
	q := t.continued(s.query)
	if !wantsTotal {
		q.Limit = count + 1
	}
	page := pageBuilder{exchange: x}
	next, found, err := x.fill(&page, session, q, t, count, wantsTotal, s.counting)
	if err != nil {
		return err
	}
	total := t.Total
	switch {
	case wantsTotal, total == nil && next == nil && t.After == nil:
		total = &found
	}
	if s.total == "none" && !s.counting {
		total = nil
	}
	if next != nil && wantsTotal {
		next.Total = total
	}
	if len(s.unknown) > 0 {
		s.notes = append(s.notes, unknownText(s.unknown))
	}
	if len(s.notes) > 0 && !s.counting {
		page.note(outcome("warning", "not-supported", s.notes...))
	}
	x.answer(http.StatusOK, page.bundle(x.links(t, token, next), total))
	return nil
}

// fill puts entries on the page until it is full, and returns the turn of the next one, nil if there is none. If all are to be
// counted, found is how many there are, within the time that the caller has; else how many are on the page.
func (x *exchange) fill(page *pageBuilder, session hippad.Session, q hippad.Query, t turn, count int, all, countOnly bool) (next *turn, found int, err error) {
	size := 0
	var last hippad.Entry
	newest := t.Asked
	for e, err := range session.Search(x.r.Context(), q) {
		if err != nil {
			return nil, 0, err
		}
		if e.Destroyed { // only a search by _id meets one
			continue
		}
		if full := page.entries == count || size >= maxPage; full || countOnly {
			if full && next == nil && !countOnly {
				next = new(turn)
				*next = t
				next.After = &hippad.Place{At: hippad.EventTime(last, x.Read(last.Report)), Index: last.Index}
				if next.Until.IsZero() {
					next.Until = newest
				}
			}
			if !all {
				break
			}
			found++
			continue
		}
		page.add(e)
		found++
		size += len(e.Body)
		last = e
		if !e.Received.Before(newest) { // the clock was set back since
			newest = e.Received.Add(time.Microsecond)
		}
	}
	return next, found, nil
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
	return "parameters that this door does not know, and that had no effect: " + strings.Join(short, ", ") + more
}

// A pageBuilder puts a searchset together from resources as they are, without decoding them again.
type pageBuilder struct {
	exchange *exchange
	buffer   bytes.Buffer
	entries  int
}

func (p *pageBuilder) add(e hippad.Entry) {
	x := p.exchange
	p.entry(x.root()+x.base.location(e.Index), x.resource(e, x.base.release), "match")
	p.entries++
}

// note adds an outcome. It is nobody's resource, so it is given a name of its own: in a searchset every entry has one.
func (p *pageBuilder) note(o *outcomeJSON) {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	p.entry(fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), encode(o), "outcome")
}

func (p *pageBuilder) entry(fullURL string, resource []byte, mode string) {
	if p.buffer.Len() > 0 {
		p.buffer.WriteByte(',')
	}
	fmt.Fprintf(&p.buffer, `{"fullUrl":%s,"resource":`, encode(fullURL))
	p.buffer.Write(resource)
	fmt.Fprintf(&p.buffer, `,"search":{"mode":%q}}`, mode)
}

// bundle finishes the searchset; total is left out when it is nil.
func (p *pageBuilder) bundle(links []linkJSON, total *int) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"resourceType":"Bundle","type":"searchset","timestamp":%q`, p.exchange.now().UTC().Format(time.RFC3339))
	if total != nil {
		fmt.Fprintf(&out, `,"total":%d`, *total)
	}
	fmt.Fprintf(&out, `,"link":%s`, encode(links))
	if p.buffer.Len() > 0 {
		out.WriteString(`,"entry":[`)
		out.Write(p.buffer.Bytes())
		out.WriteByte(']')
	}
	out.WriteByte('}')
	return out.Bytes()
}
