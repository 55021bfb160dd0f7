package atna

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hippad"
)

const (
	pageParameter = "_page"
	maxAsked      = 1000 // values of one search
)

// A search is what somebody asks of the syslog messages in the log.
type search struct {
	query   hippad.Query
	checks  []check // what the query cannot ask: every one must be met
	count   int     // messages of a page
	unknown []string
}

// A check looks at the header of a message.
type check func(*hippad.SyslogHeader) bool

func (q *search) met(h *hippad.SyslogHeader) bool {
	return !slices.ContainsFunc(q.checks, func(c check) bool { return !c(h) })
}

// numbers are the parameters that are whole numbers, with their greatest values (RFC 5424 sections 6.2.1, 6.2.2). -1 is what
// a message has that does not say.
var numbers = map[string]struct {
	most int
	of   func(*hippad.SyslogHeader) int
}{
	"pri":      {191, func(h *hippad.SyslogHeader) int { return h.Priority }},
	"facility": {23, func(h *hippad.SyslogHeader) int { return h.Priority >> 3 }}, // an arithmetic shift: -1 stays -1
	"severity": {7, func(h *hippad.SyslogHeader) int {
		if h.Priority < 0 {
			return -1
		}
		return h.Priority & 7
	}},
	"version": {999, func(h *hippad.SyslogHeader) int { return h.Version }},
}

// texts are the parameters that are texts, compared as a whole and with regard to case (RFC 5424 sections 6.2.4 to 6.2.7).
var texts = map[string]struct {
	field hippad.Field
	of    func(*hippad.SyslogHeader) string
}{
	"hostname": {hippad.FieldHostname, func(h *hippad.SyslogHeader) string { return h.Hostname }},
	"app-name": {hippad.FieldAppName, func(h *hippad.SyslogHeader) string { return h.AppName }},
	"procid":   {hippad.FieldProcID, func(h *hippad.SyslogHeader) string { return h.ProcID }},
	"msgid":    {hippad.FieldMsgID, func(h *hippad.SyslogHeader) string { return h.MsgID }},
}

// parseSearch reads the parameters of a search: alternatives between commas, repetition for everything that must be met, names
// without regard to case. Errors are of kind Invalid and name the parameter, never its value.
func parseSearch(values url.Values) (search, error) {
	q := search{count: defaultCount}
	q.query.Terms = [][]hippad.Term{{hippad.NewTerm(hippad.FieldMedia, hippad.MediaSyslog)}}
	names := make([]string, 0, len(values))
	total := 0
	for name, list := range values {
		names = append(names, name)
		for _, value := range list {
			total += 1 + strings.Count(value, ",")
		}
	}
	if total > maxAsked {
		return search{}, hippad.Errorf(hippad.Invalid, "more than %d search values", maxAsked)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range values[name] {
			known, err := q.add(strings.ToLower(name), value)
			if err != nil {
				return search{}, err
			}
			if !known && !slices.Contains(q.unknown, name) {
				q.unknown = append(q.unknown, name)
			}
		}
	}
	if len(q.query.Times) == 0 {
		return search{}, hippad.Errorf(hippad.Invalid, "parameter date is missing: a search needs one bound of time or more").
			WithHint("as in date=ge2026-11-01&date=lt2026-12-01")
	}
	return q, nil
}

func (q *search) add(name, value string) (known bool, err error) {
	if n, ok := numbers[name]; ok {
		return true, q.addNumbers(name, n.most, n.of, value)
	}
	if t, ok := texts[name]; ok {
		return true, q.addTexts(name, t.field, t.of, value)
	}
	switch name {
	case "date":
		periods, err := periodsOf(name, value)
		q.query.Times = append(q.query.Times, periods)
		return true, err
	case "timestamp":
		periods, err := periodsOf(name, value)
		q.checks = append(q.checks, func(h *hippad.SyslogHeader) bool {
			return !h.Timestamp.IsZero() && (hippad.Query{Times: [][]hippad.Period{periods}}).Matches(hippad.Entry{}, hippad.Event{Recorded: h.Timestamp})
		})
		return true, err
	case "_count":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return true, hippad.Errorf(hippad.Invalid, "parameter _count: want a whole number, 1 or more")
		}
		q.count = min(n, maxCount)
		return true, nil
	case pageParameter:
		before, ok := parsePageToken(value)
		if !ok || q.query.Before != nil {
			return true, hippad.Errorf(hippad.Invalid, "parameter %s: want what the link to a next page has", pageParameter)
		}
		q.query.Before = &before
		return true, nil
	case "_format", "_pretty":
		return true, nil
	}
	return false, nil
}

func (q *search) addNumbers(name string, most int, of func(*hippad.SyslogHeader) int, value string) error {
	var any []int
	for v := range strings.SplitSeq(value, ",") {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil || int(n) > most {
			return hippad.Errorf(hippad.Invalid, "parameter %s: want whole numbers from 0 to %d", name, most)
		}
		any = append(any, int(n))
	}
	q.checks = append(q.checks, func(h *hippad.SyslogHeader) bool { return slices.Contains(any, of(h)) })
	return nil
}

// addTexts asks for texts. NILVALUE, "-", stands for a message that does not say, which no term can.
func (q *search) addTexts(name string, field hippad.Field, of func(*hippad.SyslogHeader) string, value string) error {
	var any []string
	var terms []hippad.Term
	for v := range strings.SplitSeq(value, ",") {
		v = strings.TrimSpace(v)
		switch v {
		case "":
			return hippad.Errorf(hippad.Invalid, "parameter %s: a value is empty", name)
		case "-":
			v = ""
		}
		any = append(any, v)
		terms = append(terms, hippad.NewTerm(field, v))
	}
	if !slices.Contains(any, "") {
		q.query.Terms = append(q.query.Terms, terms)
		return nil
	}
	q.checks = append(q.checks, func(h *hippad.SyslogHeader) bool { return slices.Contains(any, of(h)) })
	return nil
}

// periodsOf reads dates with their prefixes (FHIR R4 search, date): eq, which may be left out, ge, gt, le, lt, and sa and eb, which
// mean gt and lt to a point in time. A value stands for the span that its precision covers, in UTC if it has no zone.
func periodsOf(name, value string) ([]hippad.Period, error) {
	var periods []hippad.Period
	for v := range strings.SplitSeq(value, ",") {
		prefix := "eq"
		if len(v) > 2 && v[0] >= 'a' && v[0] <= 'z' {
			prefix, v = v[:2], v[2:]
		}
		from, to, ok := span(v)
		if !ok {
			return nil, hippad.Errorf(hippad.Invalid, "parameter %s: want a year, month, day, minute, second or fraction as in 2026-11-22T10:00:00Z", name)
		}
		var p hippad.Period
		switch prefix {
		case "eq":
			p = hippad.Period{Start: from, End: to}
		case "ge":
			p.Start = from
		case "gt", "sa":
			p.Start = to
		case "le":
			p.End = to
		case "lt", "eb":
			if p.End = from; from.IsZero() {
				p.End = from.Add(1) // a zero time would mean no bound
			}
		default:
			return nil, hippad.Errorf(hippad.Invalid, "parameter %s: want one of the prefixes eq ge gt le lt sa eb", name)
		}
		if prefix == "ge" && from.IsZero() {
			p.Start = from.Add(1)
		}
		periods = append(periods, p)
	}
	return periods, nil
}

// layouts are the precisions of a date without the zone, and what span each covers.
var layouts = [...]struct {
	layout string
	end    func(time.Time) time.Time
}{
	{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{"2006-01-02", func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	{"2006-01-02T15:04", func(t time.Time) time.Time { return t.Add(time.Minute) }},
	{"2006-01-02T15:04:05", func(t time.Time) time.Time { return t.Add(time.Second) }},
}

// span returns the half-open interval that a partial date covers, in UTC.
func span(s string) (from, to time.Time, ok bool) {
	if i := strings.IndexByte(s, ' '); i > 0 {
		s = s[:i] + "+" + s[i+1:] // a plus sign that the caller did not escape
	}
	plain, zone, fraction := s, "", 0
	if i := strings.IndexByte(s, 'T'); i > 0 {
		if j := strings.IndexAny(s[i:], "Z+-"); j > 0 {
			plain, zone = s[:i+j], "Z07:00"
		}
	}
	if i := strings.IndexByte(plain, '.'); i > 0 {
		plain, fraction = plain[:i], len(plain)-i-1
	}
	for _, l := range layouts {
		if len(l.layout) != len(plain) || fraction > 0 && l.layout != layouts[len(layouts)-1].layout {
			continue
		}
		at, err := time.Parse(l.layout+zone, s)
		if err != nil || at.Year() < 1 || fraction > 9 || strings.Contains(s, ",") {
			return from, to, false
		}
		at = at.UTC()
		if fraction == 0 {
			return at, l.end(at), true
		}
		width := time.Second
		for range fraction {
			width /= 10
		}
		return at, at.Add(width), true
	}
	return from, to, false
}
