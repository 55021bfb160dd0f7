// Package sheet owns how a table is read that people send: a CSV with a first row of names, from whatever program they have.
//
// It does not know what the columns mean: that is the caller's. The invariants: every row is given to the caller or listed as bad, with the line
// it begins at and a reason that quotes nothing of it; memory does not grow with the file, but for the bad rows; a row that is wrong takes
// no other with it, unless it leaves a quotation mark open.
package sheet

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"hippad"
)

const (
	maxRow     = 1 << 20 // bytes of one row
	maxColumns = 1000
	maxBad     = 10_000 // bad rows that are listed
)

// A Column is one that the caller knows. Names are compared without regard to case, spaces, - and _.
type Column struct {
	Name   string
	Also   []string // other names of it, the likelier first: the first that the table has counts
	Needed bool     // a table without it is refused
}

// A Row is one row of the table.
type Row struct {
	Line  int // of the file, from 1, at which the row begins
	cells map[string]string
}

// Get returns what is in a column, without spaces around it; empty if the table has no such column.
func (r Row) Get(name string) string { return r.cells[name] }

// A Bad row is one that could not be taken.
type Bad struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"` // quotes nothing of the row
}

// Read calls take with every row of a table (RFC 4180; UTF-8, a cell that is not is taken for Windows-1252; commas, or semicolons or tabs if the first row has those and no comma). A row
// for which take returns an error is bad, with the public words of the error as reason; empty rows do not count. An unnamed column, as the
// portal of HHS has written it, is known by its place when the table has exactly the columns asked for. Kind Invalid for what is no such
// table, TooLarge for more than ten thousand bad rows; the bad rows so far come with it.
func Read(r io.Reader, columns []Column, take func(Row) error) (bad []Bad, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	start, err := in.Peek(4096)
	if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("read the table: %w", err)
	}
	if bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) {
		return nil, hippad.Errorf(hippad.Invalid, "the table is UTF-16").WithHint("save it as CSV in UTF-8")
	}
	if bytes.HasPrefix(start, []byte("\ufeff")) {
		_, _ = in.Discard(3)
		start = start[3:]
	}
	c := csv.NewReader(&bounded{in: in})
	c.Comma, c.FieldsPerRecord, c.ReuseRecord = comma(start), -1, true

	var places []int // of columns in a row; -1 where there is none
	width := 0       // of the first row
	for {
		cells, err := c.Read()
		if err == io.EOF && places == nil {
			return nil, hippad.Errorf(hippad.Invalid, "the table is empty").WithHint("the first row names the columns: %s", names(columns))
		}
		if err == io.EOF {
			return bad, nil
		}
		var parse *csv.ParseError
		if errors.As(err, &parse) && places != nil {
			bad = append(bad, Bad{parse.StartLine, quoted(parse)})
		} else if parse != nil {
			return nil, hippad.Errorf(hippad.Invalid, "the first row is not CSV")
		} else if err != nil {
			return bad, err
		} else if places == nil {
			if places, err = header(cells, columns); err != nil {
				return nil, err
			}
			width = len(cells)
		} else if line, _ := c.FieldPos(0); !blank(cells) {
			err := wide(cells, width)
			if err == nil {
				err = give(Row{line, nil}, cells, places, columns, take)
			}
			if err != nil {
				message, _ := hippad.Public(err)
				bad = append(bad, Bad{line, message})
			}
		}
		if len(bad) > maxBad {
			return bad, hippad.Errorf(hippad.TooLarge, "more than %d rows are bad", maxBad)
		}
	}
}

// quoted says what is wrong with the quotation marks of a row, and how much went with it: that is in no other row.
func quoted(err *csv.ParseError) string {
	last := err.Line
	if err.Column == 1 && last > err.StartLine { // the end of the table, which is behind its last line
		last--
	}
	if last <= err.StartLine {
		return "it is not CSV: a quotation mark is out of place"
	}
	return fmt.Sprintf("it is not CSV: a quotation mark is out of place or left open, and what follows to line %d is lost with it", last)
}

// wide refuses a row with more cells than the first one: a comma that no quotation marks keep with its text has moved all that comes after it into columns of
// something else. Empty cells at the end, which some programs write, do not count.
func wide(cells []string, width int) error {
	n := len(cells)
	for n > width && strings.TrimSpace(cells[n-1]) == "" {
		n--
	}
	if n > width {
		return hippad.Errorf(hippad.Invalid, "it has %d cells, and the first row has %d", n, width)
	}
	return nil
}

func give(row Row, cells []string, places []int, columns []Column, take func(Row) error) error {
	row.cells = make(map[string]string, len(columns))
	for i, at := range places {
		if at < 0 || at >= len(cells) {
			continue
		}
		cell := cells[at]
		if !utf8.ValidString(cell) {
			// Excel's plain "CSV" on Windows; every byte means something in it, so this cannot fail.
			cell, _ = charmap.Windows1252.NewDecoder().String(cell)
		}
		row.cells[columns[i].Name] = strings.TrimSpace(cell)
	}
	return take(row)
}

// header finds the places of the columns.
func header(cells []string, columns []Column) ([]int, error) {
	if len(cells) > maxColumns {
		return nil, hippad.Errorf(hippad.Invalid, "the table has more than %d columns", maxColumns)
	}
	places, named := make([]int, len(columns)), make([]bool, len(cells))
	for i, c := range columns {
		places[i] = -1
		for _, name := range append([]string{c.Name}, c.Also...) { // the first name that is there: a table may have a patient's number and an MRN
			is := func(cell string) bool { return fold(name) == fold(cell) }
			if places[i] = slices.IndexFunc(cells, is); places[i] < 0 {
				continue
			}
			if slices.ContainsFunc(cells[places[i]+1:], is) {
				return nil, hippad.Errorf(hippad.Invalid, "the table has the column %s twice", name)
			}
			named[places[i]] = true
			break
		}
	}
	var missing []string
	for i, c := range columns {
		if places[i] < 0 && len(cells) == len(columns) && !named[i] && unnamed(cells[i]) {
			places[i] = i
		}
		if places[i] < 0 && c.Needed {
			missing = append(missing, c.Name)
		}
	}
	if len(missing) > 0 {
		return nil, hippad.Errorf(hippad.Invalid, "the table has no column %s", strings.Join(missing, ", ")).WithHint("the first row names the columns: %s", names(columns))
	}
	return places, nil
}

// unnamed tells whether what stands over a column is no name that a person gives: nothing, or what a program calls its own part.
func unnamed(cell string) bool {
	return strings.TrimSpace(cell) == "" || strings.ContainsAny(cell, "@$")
}

func fold(name string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "", "\ufeff", "").Replace(name))
}

func names(columns []Column) string {
	var all []string
	for _, c := range columns {
		if name := c.Name; c.Needed {
			all = append(all, name)
		} else {
			all = append(all, "["+name+"]")
		}
	}
	return strings.Join(all, ", ")
}

func comma(start []byte) rune {
	line, _, _ := bytes.Cut(start, []byte("\n"))
	if !bytes.ContainsRune(line, ',') {
		if i := bytes.IndexAny(line, ";\t"); i >= 0 {
			return rune(line[i])
		}
	}
	return ','
}

func blank(cells []string) bool {
	return !slices.ContainsFunc(cells, func(s string) bool { return strings.TrimSpace(s) != "" })
}

// bounded is the file in lines, for encoding/csv, which would take a quotation mark that is never closed for a row of any length. It ends
// lines where programs of other systems end them with a lone CR.
type bounded struct {
	in   *bufio.Reader
	open bool // inside quotation marks
	row  int  // bytes of the row so far
}

func (b *bounded) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n := 0
	for n < len(p) {
		x, err := b.in.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			if err != io.EOF {
				err = fmt.Errorf("read the table: %w", err)
			}
			return 0, err
		}
		if x == '"' {
			b.open = !b.open
		}
		if x == '\r' && !b.open {
			if next, _ := b.in.Peek(1); len(next) == 0 || next[0] != '\n' {
				x = '\n'
			}
		}
		if b.row++; x == '\n' && !b.open {
			b.row = 0
		}
		if b.row > maxRow {
			return n, hippad.Errorf(hippad.TooLarge, "a row has more than %d bytes", maxRow).WithHint("a quotation mark may have been left open")
		}
		p[n] = x
		n++
		if x == '\n' {
			return n, nil
		}
	}
	return n, nil
}
