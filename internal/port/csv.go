package port

import (
	"cmp"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"hippad"
)

// maxRegistry bounds a file of IANA's table; today's has 1.2 MB.
const maxRegistry = 16 << 20

// The columns of IANA's CSV, by the names of its header. The last name of each is the one of today; the eleventh column had another
// until 2018.
var csvColumns = [...]struct {
	names    []string
	required bool
}{
	{[]string{"Service Name"}, true},
	{[]string{"Port Number"}, true},
	{[]string{"Transport Protocol"}, true},
	{[]string{"Description"}, true},
	{[]string{"Assignee"}, false},
	{[]string{"Registration Date"}, false},
	{[]string{"Modification Date"}, false},
	{[]string{"Reference"}, false},
	{[]string{"Known Unauthorized Uses", "Unauthorized Use Reported"}, false},
	{[]string{"Assignment Notes"}, false},
}

// ReadCSV reads the table as IANA publishes it (service-names-port-numbers.csv). Columns are found by their names, whatever their
// order; a file without one that is needed is refused, naming it. The name is that of the file, for Source.
func ReadCSV(in io.Reader, name string) (*Registry, error) {
	limited := &io.LimitedReader{R: in, N: maxRegistry + 1}
	reader := csv.NewReader(limited)
	reader.FieldsPerRecord = -1
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "%s: line 1 cannot be read as CSV", name).WithHint("want IANA's service-names-port-numbers.csv")
	}
	places, err := findColumns(header, name)
	if err != nil {
		return nil, err
	}
	rows := map[csvKey]*csvRow{}
	var order []*csvRow
	newest := ""
	for {
		cells, err := reader.Read()
		if limited.N == 0 {
			return nil, hippad.Errorf(hippad.Invalid, "%s is longer than %d MB", name, maxRegistry>>20).WithHint("want IANA's service-names-port-numbers.csv, which has about one")
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line := 0
			if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
				line = wrong.StartLine
			}
			return nil, hippad.Errorf(hippad.Invalid, "%s: line %d cannot be read as CSV", name, line).WithHint("is it damaged? want IANA's service-names-port-numbers.csv")
		}
		row, ok, err := readRow(cells, places)
		if err != nil {
			line, _ := reader.FieldPos(0)
			return nil, hippad.Errorf(hippad.Invalid, "%s: line %d: the port number is none", name, line)
		}
		if !ok {
			continue
		}
		newest = max(newest, row.Registered, row.Modified)
		k := csvKey{row.First, row.Last, [8]string{row.Name, row.Description, row.Assignee, row.Registered, row.Modified, row.Reference, row.Unauthorised, row.Note}}
		if have := rows[k]; have != nil {
			have.Transports = append(have.Transports, row.Transports...)
			continue
		}
		rows[k] = row
		order = append(order, row)
	}
	if len(order) == 0 {
		return nil, hippad.Errorf(hippad.Invalid, "%s has no row with a port number", name).WithHint("want IANA's service-names-port-numbers.csv")
	}
	if len(newest) > 7 {
		newest = newest[:7]
	}
	r := &Registry{Source: name, NamesAsOf: newest, DetailsAsOf: newest}
	r.split(encode(order))
	return r, nil
}

type csvRow = Record

type csvKey struct {
	first, last uint16
	cells       [8]string
}

func findColumns(header []string, file string) (places [len(csvColumns)]int, err error) {
	for i, column := range csvColumns {
		places[i] = slices.IndexFunc(header, func(h string) bool {
			h = strings.TrimSpace(strings.TrimPrefix(h, "\ufeff"))
			return slices.ContainsFunc(column.names, func(n string) bool { return strings.EqualFold(n, h) })
		})
		if places[i] < 0 && column.required {
			return places, hippad.Errorf(hippad.Invalid, "%s has no column %q", file, column.names[len(column.names)-1]).
				WithHint("want IANA's service-names-port-numbers.csv, with its header")
		}
	}
	return places, nil
}

// readRow reads a row; false for one without a number (names for DNS-SD) and for what is unassigned.
func readRow(cells []string, places [len(csvColumns)]int) (*csvRow, bool, error) {
	var text [len(csvColumns)]string
	for i, at := range places {
		if at >= 0 && at < len(cells) {
			text[i] = strings.Join(strings.FieldsFunc(cells[at], func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
		}
	}
	if text[1] == "" || text[0] == "" && strings.HasPrefix(text[3], "Unassigned") {
		return nil, false, nil
	}
	from, to, isRange := strings.Cut(text[1], "-")
	if !isRange {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return nil, false, err
	}
	last, err := strconv.ParseUint(to, 10, 16)
	if err == nil && last < first {
		err = strconv.ErrRange
	}
	if err != nil {
		return nil, false, err
	}
	r := &csvRow{First: uint16(first), Last: uint16(last), From: FromFile, Name: text[0], Description: text[3], Assignee: people(text[4]),
		Registered: text[5], Modified: text[6], Reference: people(text[7]), Unauthorised: text[8], Note: text[9]}
	if text[2] != "" {
		r.Transports = []string{text[2]}
	}
	return r, true, nil
}

// people makes IANA's keys readable: [A_B][C_D] is A B, C D.
func people(s string) string {
	s = strings.ReplaceAll(s, "][", ", ")
	return strings.TrimSpace(strings.NewReplacer("[", "", "]", "", "_", " ").Replace(s))
}

// encode writes rows as registry.tsv has them, so that there is one way to look something up.
func encode(rows []*Record) string {
	slices.SortStableFunc(rows, func(a, b *Record) int { return cmp.Compare(a.First, b.First) })
	var out strings.Builder
	for _, ranges := range []bool{true, false} {
		for _, r := range rows {
			if (r.Last > r.First) != ranges {
				continue
			}
			out.WriteString(Range{r.First, r.Last}.String())
			for _, cell := range []string{strings.Join(r.Transports, " "), string(r.From), r.Name, r.Description, r.Assignee, r.Registered,
				r.Modified, r.Reference, r.Unauthorised, r.Note} {
				out.WriteByte('\t')
				out.WriteString(cell)
			}
			out.WriteByte('\n')
		}
	}
	return out.String()
}
