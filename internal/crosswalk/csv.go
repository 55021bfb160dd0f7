package crosswalk

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"hippad"
)

const (
	maxLine = 1 << 20   // bytes of one line of a CSV
	maxRow  = 128 << 10 // bytes of the identifiers of a row
)

// A Row is what a CSV says of one person.
type Row struct {
	Line  int      // of the file, from 1; the first one of this person
	IDs   []string // canonical, each once
	Wrong string   // why the row cannot be linked, in words that quote nothing; IDs is empty then
}

// ReadCSV reads a file of identifiers (RFC 4180, UTF-8; commas, or semicolons or tabs if the first line has those and no comma). Either a
// row is the identifiers of one person; empty cells do not count. Or the first row names the columns "person" and
// "identifier", and the rows with the same person, wherever they are, belong together; what is in the column person is not kept, and other
// columns do not count. Every line stands for itself, so that one which is wrong takes no other with it. Kind TooLarge
// for more identifiers than there can be, Invalid for a file that is not text.
func ReadCSV(r io.Reader) ([]Row, error) {
	c := &csvFile{in: bufio.NewReaderSize(r, maxLine), comma: ',', person: -1, groups: map[string]*Row{}}
	for {
		text, err := c.line()
		if err == io.EOF {
			return c.end(), nil
		}
		if err == nil {
			err = c.take(text)
		}
		if err != nil {
			return nil, err
		}
	}
}

// A csvFile is a file that is being read.
type csvFile struct {
	in                 *bufio.Reader
	lines              int
	begun              bool // the first line that is not empty was seen
	comma              rune
	person, identifier int // columns; person is -1 where a row is a person
	rows               []Row
	groups             map[string]*Row // by person
	order              []*Row          // of groups
	total              int
}

// line returns the next line, without its end; too long a line is noted as wrong and empty.
func (c *csvFile) line() (string, error) {
	text, err := c.in.ReadSlice('\n')
	c.lines++
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = c.in.ReadSlice('\n')
		}
		c.wrong("it has more than %d bytes", maxLine)
		text = nil
	}
	if err == io.EOF && len(text) > 0 {
		err = nil
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read the file: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if c.lines == 1 {
		if strings.HasPrefix(line, "\xff\xfe") || strings.HasPrefix(line, "\xfe\xff") {
			return "", hippad.Errorf(hippad.Invalid, "the file is UTF-16").WithHint("save it as CSV in UTF-8")
		}
		line = strings.TrimPrefix(line, "\ufeff")
	}
	return line, err
}

func (c *csvFile) wrong(format string, args ...any) {
	c.rows = append(c.rows, Row{Line: c.lines, Wrong: fmt.Sprintf(format, args...)})
}

// take reads one line.
func (c *csvFile) take(text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	first := !c.begun
	if c.begun = true; first && !strings.Contains(text, ",") {
		if i := strings.IndexAny(text, ";\t"); i >= 0 {
			c.comma = rune(text[i])
		}
	}
	cells := strings.Split(text, string(c.comma))
	if strings.Contains(text, `"`) {
		parse := csv.NewReader(strings.NewReader(text))
		parse.Comma, parse.FieldsPerRecord = c.comma, -1
		var err error
		if cells, err = parse.Read(); err != nil {
			c.wrong("it is not CSV: a quotation mark is out of place")
			return nil
		}
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	if first && c.header(cells) {
		return nil
	}
	if c.person >= 0 {
		c.takeOne(cells)
	} else {
		c.takePerson(cells)
	}
	if c.total > maxTotal {
		return hippad.Errorf(hippad.TooLarge, "the file has more than %d identifiers", maxTotal)
	}
	return nil
}

// header tells whether the first row names the columns.
func (c *csvFile) header(cells []string) bool {
	named := func(name string) int {
		return slices.IndexFunc(cells, func(s string) bool { return strings.EqualFold(s, name) })
	}
	p, i := named("person"), named("identifier")
	if p < 0 || i < 0 {
		return false
	}
	c.person, c.identifier = p, i
	return true
}

// takePerson takes a row that is the identifiers of one person.
func (c *csvFile) takePerson(cells []string) {
	row := Row{Line: c.lines}
	for i, cell := range cells {
		if cell == "" {
			continue
		}
		id, err := Canonical(cell)
		if err != nil {
			message, _ := hippad.Public(err)
			c.wrong("column %d: %s", i+1, message)
			return
		}
		row.IDs = append(row.IDs, id)
	}
	if len(row.IDs) > 0 {
		c.total += len(row.IDs)
		c.rows = append(c.rows, row.checked())
	}
}

// takeOne takes a row that is one identifier of a person.
func (c *csvFile) takeOne(cells []string) {
	if !slices.ContainsFunc(cells, func(s string) bool { return s != "" }) {
		return
	}
	if len(cells) <= max(c.person, c.identifier) || cells[c.person] == "" {
		c.wrong("it does not have both a person and an identifier")
		return
	}
	id, err := Canonical(cells[c.identifier])
	if err != nil {
		message, _ := hippad.Public(err)
		c.wrong("the identifier: %s", message)
		return
	}
	c.total++
	group := c.groups[cells[c.person]]
	if group == nil {
		group = &Row{Line: c.lines}
		c.groups[cells[c.person]] = group
		c.order = append(c.order, group)
	}
	group.IDs = append(group.IDs, id)
}

// end returns the rows, in the order of their lines.
func (c *csvFile) end() []Row {
	for _, group := range c.order {
		c.rows = append(c.rows, group.checked())
	}
	slices.SortStableFunc(c.rows, func(a, b Row) int { return a.Line - b.Line })
	return c.rows
}

// checked returns the row with each identifier once, or with what is wrong.
func (r Row) checked() Row {
	slices.Sort(r.IDs)
	r.IDs = slices.Compact(r.IDs)
	bytes := 0
	for _, id := range r.IDs {
		bytes += len(id)
	}
	switch {
	case len(r.IDs) < 2:
		r.Wrong = "the person has only one identifier that can be linked"
	case len(r.IDs) > maxPerson:
		r.Wrong = fmt.Sprintf("the person has more than %d identifiers", maxPerson)
	case bytes > maxRow:
		r.Wrong = fmt.Sprintf("the identifiers of the person have more than %d bytes", maxRow)
	default:
		return r
	}
	r.IDs = nil
	return r
}

// Batches divides rows that nothing is wrong with into what Import takes at once.
func Batches(rows []Row) (out [][]Row) {
	var batch []Row
	size := 0
	for _, r := range rows {
		if r.Wrong != "" {
			continue
		}
		bytes := 0
		for _, id := range r.IDs {
			bytes += len(id)
		}
		if len(batch) == MaxRows || size+bytes > maxRow && len(batch) > 0 {
			out, batch, size = append(out, batch), nil, 0
		}
		batch, size = append(batch, r), size+bytes
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}
