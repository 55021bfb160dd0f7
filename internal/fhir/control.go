package fhir

import (
	"slices"
	"strconv"
	"strings"

	"hippad"
)

// control handles the parameters that do not look for anything (FHIR R4 search, Managing Returned Resources), and tells whether
// name is one of them.
func (s *search) control(name, base string, list []string, in releases) (known bool, err error) {
	if base == "_include" && (name == base || name == "_include:iterate" || name == "_include:recurse") {
		s.shaping = append(s.shaping, name)
		return true, s.include(list, in)
	}
	read := map[string]func(string) string{
		"_format": func(string) string { return "" }, "_pretty": func(string) string { return "" },
		"_count": s.setCount, "_sort": s.setSort, "_summary": s.setSummary, "_total": s.setTotal,
	}[base]
	switch {
	case read == nil:
		return false, nil
	case name != base:
		return true, hippad.Errorf(hippad.Invalid, "parameter %s: this modifier is not offered", base)
	case base == "_format" || base == "_pretty":
		return true, nil
	case len(list) != 1:
		return true, hippad.Errorf(hippad.Invalid, "parameter %s: want one value", base)
	}
	if base == "_summary" || base == "_total" {
		s.shaping = append(s.shaping, base)
	}
	if reason := read(list[0]); reason != "" {
		return true, hippad.Errorf(hippad.Invalid, "parameter %s: %s", base, reason)
	}
	return true, nil
}

func (s *search) setCount(value string) (reason string) {
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil || n < 0:
		return "want a whole number"
	case n == 0: // "the same as _summary=count"
		s.counting = true
	default:
		s.count = int(min(n, 1<<30))
	}
	return ""
}

// setSort takes date, _lastUpdated or _id. No two entries have the same index, and of two the one with the smaller index was not
// received later, so what follows the first name decides nothing, as long as it has the same direction.
func (s *search) setSort(value string) (reason string) {
	for i, item := range strings.Split(value, ",") {
		name, down := strings.CutPrefix(strings.TrimSpace(item), "-")
		switch name {
		case "date", "_lastUpdated", "_id":
		default:
			return "want date, _lastUpdated or _id, with - for the last first"
		}
		if i == 0 {
			s.query.ByTime, s.query.Ascending = name == "date", !down
		} else if down == s.query.Ascending || name == "date" {
			return "only one order at a time is offered"
		}
	}
	return ""
}

func (s *search) setSummary(value string) (reason string) {
	switch value {
	case "count":
		s.counting = true
	case "true", "text", "data":
		s.notes = append(s.notes, "_summary: entries are shown whole")
	case "false":
	default:
		return "want count, or false"
	}
	return ""
}

func (s *search) setTotal(value string) (reason string) {
	switch value {
	case "none", "estimate", "accurate":
		s.total = value
		return ""
	}
	return "want none, estimate or accurate"
}

// include takes the references that an AuditEvent has, and includes nothing: what they point at is not here.
func (s *search) include(list []string, in releases) error {
	for _, value := range list {
		source, rest, _ := strings.Cut(value, ":")
		name, resource, typed := strings.Cut(rest, ":")
		p, known := findParameter(name, in)
		if value != "*" && value != auditEvent+":*" && (source != auditEvent || !known || p.kind != "reference" || p.name != name || typed && !p.mayBe(resource)) {
			return hippad.Errorf(hippad.Invalid, "parameter _include: want a reference of AuditEvent, as in AuditEvent:patient")
		}
	}
	const note = "_include: what entries refer to is not held here, and nothing was included"
	if !slices.Contains(s.notes, note) {
		s.notes = append(s.notes, note)
	}
	return nil
}
