package fhir

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"hippad"
)

// A format is one of the two in which resources come and go.
type format uint8

const (
	formatJSON format = iota
	formatXML
)

func (f format) media() string {
	if f == formatXML {
		return hippad.MediaFHIRXML
	}
	return hippad.MediaFHIRJSON
}

// contentType says the character set too: FHIR demands it (R4 http, Content Types and encodings).
func (f format) contentType() string { return f.media() + "; charset=UTF-8" }

// formats lists the names of media types that mean a format: those of FHIR, those that it had before STU3, the general ones,
// and the short names of _format.
var formats = map[string]format{
	hippad.MediaFHIRJSON: formatJSON, "application/json+fhir": formatJSON, "application/json": formatJSON, "text/json": formatJSON, "json": formatJSON,
	hippad.MediaFHIRXML: formatXML, "application/xml+fhir": formatXML, "application/xml": formatXML, "text/xml": formatXML, "xml": formatXML,
}

var errFormat = status(http.StatusNotAcceptable, "not-supported", "this door answers in "+hippad.MediaFHIRJSON+" and "+hippad.MediaFHIRXML)

// negotiate chooses the format of the answer. _format wins over Accept (FHIR R4 http, Content Types and encodings); of two formats
// that are wanted alike the one that was named first is taken, and JSON where neither was named.
func negotiate(named string, accept []string, release Release) (format, error) {
	ranges := strings.Join(accept, ",")
	if named != "" {
		ranges = strings.ReplaceAll(named, " ", "+") // a plus sign that was not escaped arrives as a blank
	}
	if strings.TrimSpace(ranges) == "" {
		return formatJSON, nil
	}
	var wanted [2]preference
	for place, item := range strings.Split(ranges, ",") {
		p, media := readRange(item, place, release)
		if f, ok := formats[media]; ok {
			wanted[f].take(p, 3)
			continue
		}
		if media == "application/*" || media == "text/*" {
			p.place = len(ranges) // named by neither's name
			wanted[formatJSON].take(p, 2)
			wanted[formatXML].take(p, 2)
		}
		if media == "*/*" || media == "*" {
			p.place = len(ranges)
			wanted[formatJSON].take(p, 1)
			wanted[formatXML].take(p, 1)
		}
	}
	j, x := wanted[formatJSON], wanted[formatXML]
	switch {
	case j.weight <= 0 && x.weight <= 0:
		return formatJSON, errFormat
	case x.weight > j.weight || x.weight == j.weight && x.place < j.place:
		return formatXML, nil
	}
	return formatJSON, nil
}

// A preference is what the most exact of the ranges that match a format says of it (RFC 9110 section 12.5.1).
type preference struct {
	weight float64
	place  int // which of the ranges said so
	exact  int // how exactly it names the format
}

func (to *preference) take(p preference, exact int) {
	if exact > to.exact || exact == to.exact && p.weight > to.weight {
		p.exact = exact
		*to = p
	}
}

// readRange reads one media range. One that asks for another release of FHIR matches nothing.
func readRange(item string, place int, release Release) (preference, string) {
	media, rest, _ := strings.Cut(item, ";")
	p := preference{weight: 1, place: place}
	for param := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "q":
			if q, err := strconv.ParseFloat(value, 64); err == nil && q >= 0 && q <= 1 {
				p.weight = q
			}
		case "fhirversion":
			if !strings.HasPrefix(release.String(), value) {
				return p, ""
			}
		}
	}
	return p, strings.ToLower(strings.TrimSpace(media))
}

// takesGzip tells whether the caller takes an answer compressed (RFC 9110 section 12.5.3).
func takesGzip(r *http.Request) bool {
	any := false
	for _, line := range r.Header.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(line, ",") {
			p, coding := readRange(item, 0, R4)
			switch coding {
			case "gzip", "x-gzip":
				return p.weight > 0
			case "*":
				any = p.weight > 0
			}
		}
	}
	return any
}

// formatOf tells the format of a body by its Content-Type.
func formatOf(r *http.Request) (format, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	f, known := formats[media]
	if err != nil || !known || !strings.Contains(media, "/") || charset != "" && charset != "utf-8" && charset != "utf8" && charset != "us-ascii" {
		return f, status(http.StatusUnsupportedMediaType, "not-supported",
			"want Content-Type "+hippad.MediaFHIRJSON+" or "+hippad.MediaFHIRXML+", in UTF-8")
	}
	return f, nil
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

// fresh tells whether the caller has what it asks for already: an entry never changes (FHIR R4 http, conditional read).
func fresh(r *http.Request, tag, modified string) bool {
	if tags := r.Header.Values("If-None-Match"); len(tags) > 0 {
		for item := range strings.SplitSeq(strings.Join(tags, ","), ",") {
			if item = strings.TrimSpace(item); item == "*" || strings.TrimPrefix(item, "W/") == strings.TrimPrefix(tag, "W/") {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(r.Header.Get("If-Modified-Since"))
	at, _ := http.ParseTime(modified)
	return err == nil && !at.After(since)
}
