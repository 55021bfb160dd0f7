package fhir

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hippad"
)

// A batch is what a Bundle asks for.
type batch struct {
	resourceType string
	kind         string // Bundle.type
	entries      []batchEntry
}

// An entry of a Bundle: its resource is a piece of the body, as it was sent.
type batchEntry struct {
	resource    []byte
	method, url string
	index       int64 // where it was recorded
	refusal     error // what is wrong with it
}

var errTooMany = hippad.Errorf(hippad.TooLarge, "a Bundle may have %d entries", maxEntries)

// bundle answers POST to a base: a Bundle of type batch or transaction whose entries create AuditEvents (IHE ITI-20 3.20.4.4).
// All that is recorded goes to the log in one frame. A batch answers for each entry; a transaction is recorded whole or
// not at all. A body that cannot be read is recorded as it came, as one unreadable report.
func (x *exchange) bundle(session hippad.Session) error {
	body, f, err := x.body(session)
	if err != nil {
		return err
	}
	report := hippad.Report{Media: f.media(), Body: body}
	read := readBundle
	if f == formatXML {
		read = readXMLBundle
	}
	b, reason, err := read(body)
	switch {
	case err != nil:
		return err
	case reason != "":
		return x.keep(session, report, http.StatusBadRequest, "structure", reason)
	case b.resourceType != "Bundle":
		return x.refuseOther(session, report, "the resource is not a Bundle")
	case b.kind != "batch" && b.kind != "transaction":
		return x.refuseOther(session, report, "the Bundle's type is neither batch nor transaction")
	}
	var reports []hippad.Report
	var recorded []*batchEntry
	for i := range b.entries {
		e := &b.entries[i]
		keep := e.judge(f, x.KeepRefused)
		if b.kind == "transaction" && e.refusal != nil {
			return status(http.StatusBadRequest, describe(e.refusal).code, fmt.Sprintf("Bundle.entry[%d]: %s; nothing was kept", i, e.refusal))
		}
		if keep {
			reports = append(reports, hippad.Report{Media: f.media(), Body: e.resource})
			recorded = append(recorded, e)
		}
	}
	if len(reports) > 0 {
		indexes, err := x.record(x.r.Context(), session, reports)
		if err != nil {
			return err
		}
		for i, e := range recorded {
			e.index = indexes[i]
		}
	}
	x.answer(http.StatusOK, x.response(b))
	return nil
}

// judge tells whether the entry's resource is to be recorded, and sets what is wrong with it.
func (e *batchEntry) judge(f format, keepRefused bool) (keep bool) {
	e.index = -1
	if e.method != http.MethodPost || !isTypeURL(e.url) {
		e.refusal = status(http.StatusBadRequest, "not-supported", "want request.method POST and request.url AuditEvent")
		return false
	}
	if e.resource == nil {
		e.refusal = status(http.StatusBadRequest, "required", "resource is missing")
		return false
	}
	ev, is := judge(e.resource, f)
	switch is {
	case isR4, isR5, isOther:
		return true
	case malformed: // too large in itself: the Bundle was well-formed
		e.refusal = status(http.StatusBadRequest, "structure", ev.Unreadable)
		return true
	}
	e.refusal = status(http.StatusUnprocessableEntity, "business-rule", ev.Unreadable)
	return keepRefused
}

// isTypeURL takes the address of the type, relative to the base as FHIR has it, or in full.
func isTypeURL(s string) bool {
	s = strings.TrimSuffix(s, "/")
	return s == auditEvent || strings.HasSuffix(s, typePath)
}

type (
	bundleJSON struct {
		ResourceType string            `json:"resourceType"`
		Type         string            `json:"type"`
		Entry        []bundleEntryJSON `json:"entry,omitempty"`
	}
	bundleEntryJSON struct {
		Link     []linkJSON   `json:"link,omitempty"`
		Response responseJSON `json:"response"`
	}
	linkJSON struct {
		Relation string `json:"relation"`
		URL      string `json:"url"`
	}
	responseJSON struct {
		Status       string       `json:"status"`
		Location     string       `json:"location,omitzero"`
		ETag         string       `json:"etag,omitzero"`
		LastModified string       `json:"lastModified,omitzero"`
		Outcome      *outcomeJSON `json:"outcome,omitzero"`
	}
)

// response says what became of each entry. The link to a receipt has a relation of its own, but in R5, which has a closed list.
func (x *exchange) response(b batch) []byte {
	out := bundleJSON{ResourceType: "Bundle", Type: b.kind + "-response", Entry: make([]bundleEntryJSON, len(b.entries))}
	now := x.now().UTC().Format(time.RFC3339Nano)
	relation := receiptRelation
	if x.base.release == R5 {
		relation = "describedby"
	}
	for i, e := range b.entries {
		entry := &out.Entry[i]
		if e.index >= 0 {
			entry.Link = []linkJSON{{relation, receiptURL(e.index)}}
		}
		if e.refusal == nil {
			entry.Response = responseJSON{Status: statusLine(http.StatusCreated), Location: x.base.location(e.index), ETag: versionTag, LastModified: now}
			continue
		}
		p := describe(e.refusal)
		if e.index >= 0 {
			p = describe(kept(p.status, p.code, e.index, p.text))
		}
		entry.Response = responseJSON{Status: statusLine(p.status), Outcome: failed(p)}
	}
	return encode(out)
}

func statusLine(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

// readBundle reads the frame of a Bundle and leaves the resources as they are. For what is not JSON it returns the reason; an error
// is a refusal of the whole.
func readBundle(body []byte) (b batch, reason string, err error) {
	text := bytes.TrimPrefix(body, bom)
	d := newDecoder(text)
	entry := func() {
		if len(b.entries) == maxEntries {
			d.fail(errTooMany)
			return
		}
		var e batchEntry
		d.object(func(name []byte) {
			switch string(name) {
			case "resource":
				value, err := d.ReadValue()
				if err != nil {
					d.fail(err)
					return
				}
				end := int(d.InputOffset())
				e.resource = text[end-len(value) : end : end]
			case "request":
				d.object(func(name []byte) {
					switch string(name) {
					case "method":
						e.method = d.text()
					case "url":
						e.url = d.text()
					default:
						d.skip()
					}
				})
			default:
				d.skip()
			}
		})
		b.entries = append(b.entries, e)
	}
	d.object(func(name []byte) {
		switch string(name) {
		case "resourceType":
			b.resourceType = d.text()
		case "type":
			b.kind = d.text()
		case "entry":
			d.each(entry)
		default:
			d.skip()
		}
	})
	switch {
	case d.end():
		return b, "", nil
	case errors.Is(d.err, errTooMany):
		return b, "", errTooMany
	}
	return b, fmt.Sprintf("not JSON at byte %d", int64(len(body)-len(text))+d.at), nil
}
