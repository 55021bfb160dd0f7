package port

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed wellknown.tsv
var wellKnown string

//go:embed reviewed.tsv
var reviewed string

//go:embed people.tsv
var fullNames string

// wellKnownDate is when wellknown.tsv was put together.
const wellKnownDate = "2026-11"

// Status is what is known of the use of a number. It is a verdict with evidence, not a score.
type Status string

const (
	StatusStandard    Status = "standard"                // a standard says what it is for
	StatusInUse       Status = "in use"                  // a program is known to use it as it is registered
	StatusUnknown     Status = "registered, use unknown" // the usual: 98 of 100 user ports have no reference
	StatusGhost       Status = "ghost"                   // somebody looked, and found no implementation
	StatusImplemented Status = "implemented by hippad"   // it was a ghost until this program
	StatusDeassigned  Status = "de-assigned"             // RFC 6335 section 8.2
	StatusReserved    Status = "reserved"
	StatusUnassigned  Status = "unassigned"
	StatusDynamic     Status = "dynamic" // never assigned, RFC 6335 section 6
)

// Evidence is one thing that is known, where from, and as of when. Dates are years and months.
type Evidence struct {
	Says   string `json:"says"`
	Source string `json:"source"`
	Date   string `json:"date,omitzero"`
}

func (e Evidence) String() string {
	if e.Date == "" {
		return fmt.Sprintf("%s (%s)", e.Says, e.Source)
	}
	return fmt.Sprintf("%s (%s, %s)", e.Says, e.Source, e.Date)
}

// linesOf yields the cells of the lines of an embedded table whose first cell is key.
func linesOf(table, key string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(table) {
			line = strings.TrimSuffix(line, "\n")
			if rest, ok := strings.CutPrefix(line, key+"\t"); ok && !yield(strings.Split(rest, "\t")) {
				return
			}
		}
	}
}

// fullName returns the whole name of an assignee whose key IANA has cut; empty for others.
func fullName(assignee string) string {
	for cells := range linesOf(fullNames, assignee) {
		return cells[0]
	}
	return ""
}

// assess gives a number its status and the evidence for it. What this machine adds comes in: the names of its services file.
func assess(n uint16, r *Registry, services []string) (Status, []Evidence, []Evidence) {
	records := r.Lookup(n)
	var why, also []Evidence
	ghost, implemented := false, false
	standard, used := false, false
	key := Range{n, n}.String()
	for cells := range linesOf(wellKnown, key) {
		transports, as, standing, use, citation := cells[0], cells[1], cells[2], cells[3], cells[4]
		e := Evidence{fmt.Sprintf("%s (%s)", use, transports), citation, wellKnownDate}
		if as == "other" {
			also = append(also, e)
			continue
		}
		standard = standard || standing == "standard"
		used = true
		why = append(why, e)
	}
	for cells := range linesOf(reviewed, key) {
		e := Evidence{cells[1], cells[2], cells[3]}
		switch cells[0] {
		case "occupant":
			also = append(also, e)
			continue
		case "ghost":
			ghost = true
		case "implemented":
			implemented = true
		}
		why = append(why, e)
	}
	for _, record := range records {
		if rfc := rfcOf(record.Reference); rfc != "" && record.Assigned() {
			standard = true
			why = append(why, Evidence{fmt.Sprintf("%s refers to %s", record.Name, rfc), "IANA registry", record.detailsAsOf(r)})
		}
	}
	assigned := slices.ContainsFunc(records, Record.Assigned)
	for _, name := range services {
		e := Evidence{fmt.Sprintf("this machine's services file names it %s", name), "/etc/services", ""}
		if slices.ContainsFunc(records, func(r Record) bool { return strings.EqualFold(r.Name, name) }) {
			used = true
			why = append(why, e)
		} else {
			also = append(also, e)
		}
	}
	status := StatusUnassigned
	switch {
	case TierOf(n) == Dynamic:
		status = StatusDynamic
		why = append(why, Evidence{"49152 to 65535 are never assigned", "RFC 6335 section 6", "2011-08"})
	case implemented:
		status = StatusImplemented
	case standard:
		status = StatusStandard
	case used:
		status = StatusInUse
	case ghost:
		status = StatusGhost
	case assigned:
		status = StatusUnknown
		why = append(why, Evidence{"registered; nobody has looked for an implementation. An assignment is no endorsement, and traffic on a registered port need not be of its service", "IANA registry, note", r.NamesAsOf})
	default:
		status = unassignedStatus(records, r, &why)
	}
	return status, why, also
}

// unassignedStatus is for a number that no service has.
func unassignedStatus(records []Record, r *Registry, why *[]Evidence) Status {
	if len(records) == 0 {
		*why = append(*why, Evidence{"no row of the registry has the number", r.Source, r.NamesAsOf})
		return StatusUnassigned
	}
	status := StatusReserved
	for _, x := range records {
		if x.Deassigned() {
			status = StatusDeassigned
		}
		*why = append(*why, Evidence{strings.TrimSuffix(strings.TrimSpace(x.Description+". "+x.Note), "."), "IANA registry", x.rowAsOf(r)})
	}
	return status
}

// rfcOf returns the RFCs of a reference.
func rfcOf(reference string) string {
	var found []string
	for _, part := range strings.Split(reference, ", ") {
		if digits, ok := strings.CutPrefix(part, "RFC"); ok && digits != "" && digits[0] >= '0' && digits[0] <= '9' {
			found = append(found, "RFC "+digits)
		}
	}
	return strings.Join(found, ", ")
}
