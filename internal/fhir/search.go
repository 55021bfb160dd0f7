package fhir

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hippad"
)

// A parameter of the search interface: what the capability statement says of it, and how a value becomes part of a query.
type parameter struct {
	name  string
	kind  string // FHIR search parameter type
	about string
	field hippad.Field // of a parameter that looks for a term
	check func(value string) (string, bool)
}

// parameters lists everything that ParseQuery understands.
var parameters = []parameter{
	{name: "date", kind: "date", about: "recorded; prefixes eq gt ge lt le sa eb, any precision from year to fraction, UTC if no zone; several are an intersection"},
	{name: "patient", kind: "reference", about: "who the data is about: Patient/id, id, system|value, absolute URL, HL7 CX", field: hippad.FieldPatient},
	{name: "agent", kind: "reference", about: "who took part, by reference, identifier, alternative id or name; case does not matter", field: hippad.FieldAgent},
	{name: "entity", kind: "reference", about: "what was touched, by reference or identifier", field: hippad.FieldEntity},
	{name: "source", kind: "reference", about: "which system reported, by reference or identifier", field: hippad.FieldSource},
	{name: "type", kind: "token", about: "code or system|code; every name of a code system finds all of them", field: hippad.FieldType},
	{name: "subtype", kind: "token", about: "code or system|code; every name of a code system finds all of them", field: hippad.FieldSubtype},
	{name: "action", kind: "token", about: "C R U D E", field: hippad.FieldAction, check: inCodes(actions)},
	{name: "outcome", kind: "token", about: "0 4 8 12", field: hippad.FieldOutcome, check: inCodes(outcomes)},
	{name: "address", kind: "string", about: "network address of an agent, the whole of it; case does not matter", field: hippad.FieldAddress},
	{name: "_id", kind: "token", about: "index in the log"},
	{name: "_reporter", kind: "token", about: "who sent it, as kind:id", field: hippad.FieldReporter, check: isReporter},
	{name: "_organisation", kind: "token", about: "whose system sent it, as the register of members has it", field: hippad.FieldOrganisation},
	{name: "_door", kind: "token", about: "how it came in: self native fhir syslog-tls syslog-udp", field: hippad.FieldDoor, check: isDoor},
	{name: "_mark", kind: "token", about: "what is wrong with it: framing truncated stray foreign unreadable", field: hippad.FieldMark, check: isMark},
}

// Names that stand for another parameter: ITI-81 asks by identifier (ITI TF-2 3.81.4.1.2.2). References are found by
// their identifiers in any case.
var aliases = map[string]string{
	"patient.identifier": "patient", "agent.identifier": "agent", "entity.identifier": "entity", "source.identifier": "source",
	"patient:identifier": "patient", "agent:identifier": "agent", "entity:identifier": "entity", "source:identifier": "source",
	"patient:Patient": "patient",
}

// maxValues bounds what one search may ask for.
const maxValues = 1000

// ParseQuery makes a query of FHIR search parameters: those of "patient=a,b&type=c" by AND, the values between commas by OR,
// with "\," for a comma inside a value. Limit is _count (0 when absent) and Before is _before, the index from which a page
// goes on. The names of parameters that it does not know are returned, sorted, and have no effect; _format and _pretty
// are known and have none either. Errors are of kind Invalid and name the parameter, never its value.
func ParseQuery(values url.Values) (hippad.Query, []string, error) {
	var q hippad.Query
	var unknown []string
	names := make([]string, 0, len(values))
	total := 0
	for name, list := range values {
		names = append(names, name)
		total += len(list)
	}
	slices.Sort(names)
	for _, name := range names {
		if p, ok := findParameter(name); ok {
			for _, value := range values[name] {
				if total += strings.Count(value, ","); total > maxValues {
					return hippad.Query{}, nil, hippad.Errorf(hippad.Invalid, "more than %d search values", maxValues)
				}
				if err := p.add(&q, value); err != nil {
					return hippad.Query{}, nil, err
				}
			}
			continue
		}
		known, err := control(&q, name, values[name])
		if err != nil {
			return hippad.Query{}, nil, err
		}
		if !known {
			unknown = append(unknown, name)
		}
	}
	return q, unknown, nil
}

func findParameter(name string) (parameter, bool) {
	if alias, ok := aliases[name]; ok {
		name = alias
	}
	i := slices.IndexFunc(parameters, func(p parameter) bool { return p.name == name })
	if i < 0 {
		return parameter{}, false
	}
	return parameters[i], true
}

// control handles the parameters that do not look for anything. A modifier on a known parameter must not be passed over
// (FHIR R4 search, Modifiers): the answer would be wider than what was asked for.
func control(q *hippad.Query, name string, list []string) (known bool, err error) {
	switch name {
	case "_format", "_pretty":
		return true, nil
	case "_count", "_before":
		n, err := strconv.ParseInt(list[0], 10, 64)
		switch {
		case len(list) != 1 || err != nil || n < 0:
			return true, hippad.Errorf(hippad.Invalid, "parameter %s: want one whole number", name)
		case name == "_before":
			q.Before = &n
		case n == 0:
			return true, hippad.Errorf(hippad.Invalid, "parameter _count: counting without entries is not offered; want 1 or more")
		default:
			q.Limit = int(min(n, 1<<30))
		}
		return true, nil
	}
	if base, _, modified := strings.Cut(name, ":"); modified {
		if p, ok := findParameter(base); ok {
			return true, hippad.Errorf(hippad.Invalid, "parameter %s: this modifier is not offered", p.name)
		}
	}
	return false, nil
}

// add narrows q by one parameter value.
func (p parameter) add(q *hippad.Query, value string) error {
	switch p.name {
	case "date":
		return addDate(q, value)
	case "_id":
		return addIndexes(q, value)
	}
	var any []hippad.Term
	for _, v := range splitValues(value) {
		if v = strings.TrimSpace(v); v == "" {
			return hippad.Errorf(hippad.Invalid, "parameter %s: a value is empty", p.name)
		}
		if p.check != nil {
			var ok bool
			if v, ok = p.check(v); !ok {
				return hippad.Errorf(hippad.Invalid, "parameter %s: a value is none of its codes", p.name).WithHint("%s", p.about)
			}
		}
		for _, form := range p.forms(v) {
			t := hippad.NewTerm(p.field, form)
			if t.Value == "" || strings.HasSuffix(t.Value, "|") {
				return hippad.Errorf(hippad.Invalid, "parameter %s: a system alone cannot be searched for", p.name)
			}
			if !slices.Contains(any, t) {
				any = append(any, t)
			}
		}
	}
	q.Terms = append(q.Terms, any)
	return nil
}

// forms returns the values under which a coded value may have been stored: DICOM and the releases of FHIR write one
// code system in several ways.
func (p parameter) forms(value string) []string {
	if p.field != hippad.FieldType && p.field != hippad.FieldSubtype {
		return []string{value}
	}
	system, code, ok := strings.Cut(value, "|")
	if !ok || system == "" {
		return []string{value}
	}
	var forms []string
	for _, name := range sameSystem(system) {
		forms = append(forms, name+"|"+code)
	}
	return forms
}

// splitValues splits at commas and takes away the escapes of FHIR R4 search (Escaping Search Parameters): \, \| \$ \\.
func splitValues(s string) []string {
	if !strings.ContainsAny(s, `\,`) {
		return []string{s}
	}
	var values []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`,|$\`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case s[i] == ',':
			values = append(values, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(values, b.String())
}

func addIndexes(q *hippad.Query, value string) error {
	var indexes []int64
	for _, v := range splitValues(value) {
		n, ok := parseIndex(v)
		if !ok {
			return hippad.Errorf(hippad.Invalid, "parameter _id: want an index of the log")
		}
		if !slices.Contains(indexes, n) {
			indexes = append(indexes, n)
		}
	}
	if len(q.Indexes) > 0 {
		indexes = slices.DeleteFunc(indexes, func(n int64) bool { return !slices.Contains(q.Indexes, n) })
		if len(indexes) == 0 {
			indexes = []int64{-1} // no entry: the empty list would mean every one
		}
	}
	q.Indexes = indexes
	return nil
}

// parseIndex reads an index as it is written in an id: decimal, no sign, no leading zero.
func parseIndex(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, false
	}
	return int64(n), true
}

// addDate narrows the query's interval by one date with its prefix. The value stands for the interval that its
// precision covers (FHIR R4 search, date); an event's time is a point, so gt and sa mean the same, as do lt and eb.
func addDate(q *hippad.Query, value string) error {
	bad := func(reason string) error { return hippad.Errorf(hippad.Invalid, "parameter date: %s", reason) }
	prefix := "eq"
	if len(value) > 2 && value[0] >= 'a' && value[0] <= 'z' {
		prefix, value = value[:2], value[2:]
	}
	if strings.Contains(value, ",") {
		return bad("alternatives are not offered")
	}
	from, to, ok := dateInterval(value)
	if !ok {
		return bad("want a year, month, day, minute, second or fraction as in 2026-11-22T10:00:00Z")
	}
	var low, high time.Time
	switch prefix {
	case "eq":
		low, high = from, to
	case "ge":
		low = from
	case "gt", "sa":
		low = to
	case "lt", "eb":
		if high = from; high.IsZero() {
			high = high.Add(1) // the zero time would mean no bound
		}
	case "le":
		high = to
	default:
		return bad("want one of the prefixes eq gt ge lt le sa eb")
	}
	if low.After(q.From) {
		q.From = low
	}
	if !high.IsZero() && (q.To.IsZero() || high.Before(q.To)) {
		q.To = high
	}
	return nil
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
	return from, from.Add(width), ok && from.Year() >= 1
}

// parseLayout is time.Parse in UTC, without the comma that it would take for a decimal point.
func parseLayout(layout, s string) (time.Time, bool) {
	t, err := time.Parse(layout, s)
	return t.UTC(), err == nil && !strings.Contains(s, ",")
}

func inCodes(list []string) func(string) (string, bool) {
	return func(value string) (string, bool) {
		value = value[strings.LastIndexByte(value, '|')+1:]
		return value, slices.Contains(list, value)
	}
}

func isReporter(value string) (string, bool) {
	_, err := hippad.ParsePrincipal(value)
	return value, err == nil
}

func isDoor(value string) (string, bool) {
	for d := hippad.Door(0); !strings.HasPrefix(d.String(), "door-"); d++ {
		if d.String() == value {
			return value, true
		}
	}
	return value, false
}

func isMark(value string) (string, bool) {
	if value == hippad.MarkUnreadable {
		return value, true
	}
	for f := hippad.Framing; !strings.HasPrefix(f.String(), "fault-"); f++ {
		if f.String() == value {
			return value, true
		}
	}
	return value, false
}
