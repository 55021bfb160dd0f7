package fhir

import (
	"strings"
	"time"

	"hippad"
)

// dates reads the alternatives of one date parameter. A value stands for the interval that its precision covers (FHIR R4
// search, date); what is searched for is a point in time, so gt and sa mean the same, as do lt and eb. A value with ap finds
// what is off by no more than a tenth of the time between the value and now, as the standard suggests.
func dates(name, value string, now time.Time) ([]hippad.Period, error) {
	var any []hippad.Period
	for _, v := range splitValues(value) {
		periods, reason := datePeriods(v, now)
		if reason != "" {
			return nil, hippad.Errorf(hippad.Invalid, "parameter %s: %s", name, reason)
		}
		for _, p := range periods {
			any = append(any, inTime(p))
		}
	}
	return any, nil
}

// lastTime is the last moment that a FHIR instant can name. Nothing happens after it.
var lastTime = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)

// inTime returns the part of a period that has a date.
func inTime(p hippad.Period) hippad.Period {
	if p.Start.After(lastTime) {
		return hippad.Period{Start: lastTime, End: lastTime} // no time is in it
	}
	if p.End.After(lastTime) {
		p.End = time.Time{}
	}
	return p
}

// datePeriods returns the periods in which a time meets the value, or what is wrong with it.
func datePeriods(value string, now time.Time) ([]hippad.Period, string) {
	prefix := "eq"
	value = strings.TrimSpace(value)
	if len(value) > 2 && value[0] >= 'a' && value[0] <= 'z' {
		prefix, value = value[:2], value[2:]
	}
	from, to, ok := dateInterval(value)
	if !ok {
		return nil, "want a year, month, day, minute, second or fraction as in 2026-11-22T10:00:00Z"
	}
	before := func(end time.Time) hippad.Period {
		if end.IsZero() {
			end = end.Add(1) // the zero time would mean no bound; nothing happened before it
		}
		return hippad.Period{End: end}
	}
	switch prefix {
	case "eq":
		return []hippad.Period{{Start: from, End: to}}, ""
	case "ne":
		return []hippad.Period{before(from), {Start: to}}, ""
	case "ge":
		return []hippad.Period{{Start: from}}, ""
	case "gt", "sa":
		return []hippad.Period{{Start: to}}, ""
	case "lt", "eb":
		return []hippad.Period{before(from)}, ""
	case "le":
		return []hippad.Period{{End: to}}, ""
	case "ap":
		tenth := now.Sub(from).Abs() / 10 // a Duration ends at 292 years, which is near enough
		start, end := from.Add(-tenth), to.Add(tenth)
		if start.Year() < 1 {
			start = time.Time{}
		}
		return []hippad.Period{{Start: start, End: end}}, ""
	}
	return nil, "want one of the prefixes eq ne gt ge lt le sa eb ap"
}

// dateInterval returns the half-open interval that a partial date covers, in UTC.
func dateInterval(s string) (from, to time.Time, ok bool) {
	if i := strings.IndexByte(s, ' '); i > 0 {
		s = s[:i] + "+" + s[i+1:] // a plus sign that the caller did not escape
	}
	date, clock, timed := strings.Cut(s, "T")
	if !timed {
		switch len(date) {
		case len("2006"):
			from, ok = parseLayout("2006", s)
			to = from.AddDate(1, 0, 0)
		case len("2006-01"):
			from, ok = parseLayout("2006-01", s)
			to = from.AddDate(0, 1, 0)
		default:
			from, ok = parseLayout("2006-01-02", s)
			to = from.AddDate(0, 0, 1)
		}
		return from, to, ok && from.Year() >= 1
	}
	zone := ""
	if i := strings.IndexAny(clock, "Z+-"); i >= 0 {
		clock, zone = clock[:i], "Z07:00"
	}
	width := time.Minute
	layout := "2006-01-02T15:04"
	if len(clock) > len("15:04") {
		layout += ":05"
		width = time.Second
	}
	if i := strings.IndexByte(clock, '.'); i >= 0 {
		for range len(clock) - i - 1 {
			if width /= 10; width == 0 {
				return from, to, false
			}
		}
	}
	from, ok = parseLayout(layout+zone, s)
	return from, from.Add(width), ok && from.Year() >= 1 && !from.After(lastTime)
}

// parseLayout is time.Parse in UTC, without the comma that it would take for a decimal point.
func parseLayout(layout, s string) (time.Time, bool) {
	t, err := time.Parse(layout, s)
	return t.UTC(), err == nil && !strings.Contains(s, ",")
}
