package fhir

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"hippad"
)

// A batch is what a Bundle asks for.
type batch struct {
	resourceType string
	kind         string // Bundle.type
	entries      []batchEntry
}

// An entry of a Bundle: its resource is a slice of the body, as it was sent.
type batchEntry struct {
	resource    []byte
	method, url string
}

var errTooMany = hippad.Errorf(hippad.TooLarge, "a Bundle may have %d entries", maxEntries)

// bundle answers POST /fhir: a Bundle of type batch or transaction whose entries create AuditEvents (IHE ITI-20 3.20.4.4).
// All that is recorded goes to the log in one frame. A batch answers for each entry; a transaction is recorded whole or
// not at all. A body that is no JSON is recorded as it came, as one unreadable report.
func (h *Handler) bundle(w http.ResponseWriter, r *http.Request, session hippad.Session) error {
	body, err := h.body(w, r, session)
	if err != nil {
		return err
	}
	b, at, err := readBundle(body)
	switch {
	case errors.Is(err, errTooMany):
		return err
	case err != nil:
		indexes, err := h.record(r.Context(), session, []hippad.Report{{Media: hippad.MediaFHIRJSON, Body: body}})
		if err != nil {
			return err
		}
		accepted(w, indexes[0])
		return kept(indexes[0], fmt.Sprintf("not JSON at byte %d", at))
	case b.resourceType != "Bundle":
		return status(http.StatusUnprocessableEntity, "business-rule", "resourceType is not Bundle; nothing was kept")
	case b.kind != "batch" && b.kind != "transaction":
		return status(http.StatusUnprocessableEntity, "business-rule", "the Bundle's type is neither batch nor transaction; nothing was kept")
	}
	whole := b.kind == "transaction"
	refusals := make([]error, len(b.entries)) // what is wrong with an entry
	var reports []hippad.Report
	for i, e := range b.entries {
		keep, refusal := e.judge()
		if whole && refusal != nil {
			return status(http.StatusBadRequest, describe(refusal).code, fmt.Sprintf("Bundle.entry[%d]: %s; nothing was kept", i, refusal))
		}
		refusals[i] = refusal
		if keep {
			reports = append(reports, hippad.Report{Media: hippad.MediaFHIRJSON, Body: e.resource})
		} else {
			b.entries[i].resource = nil
		}
	}
	var indexes []int64
	if len(reports) > 0 {
		if indexes, err = h.record(r.Context(), session, reports); err != nil {
			return err
		}
	}
	answer(w, http.StatusOK, b.response(indexes, refusals))
	return nil
}

// judge tells whether the entry's resource is to be recorded, and what is wrong with the entry. A resource without
// resourceType is both: nobody else can tell what it was.
func (e batchEntry) judge() (keep bool, refusal error) {
	if e.method != http.MethodPost || e.url != auditEvent {
		return false, status(http.StatusBadRequest, "not-supported", "want request.method POST and request.url AuditEvent")
	}
	if e.resource == nil {
		return false, status(http.StatusBadRequest, "required", "resource is missing")
	}
	ev, is := read(e.resource)
	switch is {
	case wrongType:
		return false, status(http.StatusUnprocessableEntity, "business-rule", ev.Unreadable)
	case isR4, isOther:
		return true, nil
	}
	return true, status(http.StatusBadRequest, "structure", ev.Unreadable)
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

// response says what became of each entry; indexes are those of the entries that have kept their resource, in order.
func (b batch) response(indexes []int64, refusals []error) []byte {
	out := bundleJSON{ResourceType: "Bundle", Type: b.kind + "-response", Entry: make([]bundleEntryJSON, len(b.entries))}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for i, e := range b.entries {
		entry := &out.Entry[i]
		index := int64(-1)
		if e.resource != nil {
			index, indexes = indexes[0], indexes[1:]
			entry.Link = []linkJSON{{receiptRelation, receiptURL(index)}}
		}
		if refusal := refusals[i]; refusal != nil {
			p := describe(refusal)
			if index >= 0 {
				p = describe(kept(index, p.text))
			}
			entry.Response = responseJSON{Status: statusLine(p.status), Outcome: failed(p)}
			continue
		}
		entry.Response = responseJSON{Status: statusLine(http.StatusCreated), Location: location(index), ETag: `W/"1"`, LastModified: now}
	}
	return encode(out)
}

func statusLine(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

// readBundle reads the frame of a Bundle and leaves the resources as they are. For what is not JSON it returns the
// byte at which that shows.
func readBundle(body []byte) (b batch, at int64, err error) {
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
	if !d.end() {
		return b, int64(len(body)-len(text)) + d.at, d.err
	}
	return b, 0, nil
}
