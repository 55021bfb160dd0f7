package document

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	xwidth "golang.org/x/text/width"
)

const (
	defaultCells = 80
	leastCells   = 20
	leastColumn  = 8 // a table whose columns would be narrower is shown row by row
	leastCell    = 2 // a character of East Asia takes two
	columnGap    = 2
)

// WriteText writes the document as plain text of lines of at most width display cells; 80 if width is 0, never fewer than 20.
func (d *Document) WriteText(w io.Writer, width int) error {
	if width <= 0 {
		width = defaultCells
	}
	t := &textWriter{w: bufio.NewWriter(w), width: max(width, leastCells)}
	t.lines(d.Letterhead)
	t.lines(d.Recipient)
	var head []string
	if d.Date != "" {
		head = append(head, d.Date)
	}
	if d.Reference != "" {
		head = append(head, "Reference: "+d.Reference)
	}
	t.lines(head)
	if d.Title != "" {
		t.underlined(d.Title, '=')
	}
	for _, b := range d.Blocks {
		t.block(b)
	}
	if d.Footer != "" {
		t.gap()
		t.line(strings.Repeat("-", min(t.width, 40)))
		t.begun = false
		t.paragraph(d.Footer)
	}
	if err := t.w.Flush(); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

type textWriter struct {
	w     *bufio.Writer // keeps the first error
	width int           // cells
	begun bool          // something stands above
}

func (t *textWriter) line(s string) {
	t.w.WriteString(strings.TrimRight(s, " "))
	t.w.WriteByte('\n')
	t.begun = true
}

// gap leaves a line between what stands above and what follows.
func (t *textWriter) gap() {
	if t.begun {
		t.line("")
	}
}

func (t *textWriter) wrapped(s string, width int) []string {
	return wrap(clean(s), float64(width), runeCells)
}

func (t *textWriter) lines(lines []string) {
	if len(lines) == 0 {
		return
	}
	t.gap()
	for _, s := range lines {
		for _, part := range t.wrapped(s, t.width) {
			t.line(part)
		}
	}
}

func (t *textWriter) paragraph(s string) { t.lines([]string{s}) }

func (t *textWriter) underlined(s string, with rune) {
	t.gap()
	longest := 0
	for _, part := range t.wrapped(s, t.width) {
		t.line(part)
		longest = max(longest, cells(part))
	}
	t.line(strings.Repeat(string(with), longest))
}

func (t *textWriter) block(b Block) {
	switch b := b.(type) {
	case Heading:
		switch b.level() {
		case 1:
			t.underlined(b.Text, '-')
		default:
			t.paragraph(b.Text)
		}
	case Paragraph:
		t.paragraph(b.Text)
	case List:
		t.gap()
		for i, item := range b.Items {
			mark := "- "
			if b.Numbered {
				mark = fmt.Sprintf("%d. ", i+1)
			}
			for j, part := range t.wrapped(item, t.width-len(mark)) {
				if j > 0 {
					mark = strings.Repeat(" ", len(mark))
				}
				t.line(mark + part)
			}
		}
	case Fields:
		t.fields(b)
	case Table:
		t.table(b)
	case PageBreak:
		t.gap()
		t.line(strings.Repeat("-", t.width))
	}
}

func (t *textWriter) fields(f Fields) {
	if len(f.Rows) == 0 {
		return
	}
	t.gap()
	label := 0
	for _, row := range f.Rows {
		label = max(label, cells(clean(row[0])))
	}
	label = max(min(label, t.width/3), leastCell)
	for _, row := range f.Rows {
		t.row([]string{row[0], row[1]}, []int{label, t.width - label - columnGap})
	}
}

func (t *textWriter) table(b Table) {
	n := b.columns()
	if n == 0 {
		return
	}
	room := t.width - columnGap*(n-1)
	if room < n*leastColumn {
		for _, f := range b.records() {
			t.fields(f)
		}
		return
	}
	natural, least := b.extents(func(s string, _ bool) (float64, float64) {
		line, word := extent(clean(s), runeCells)
		return max(line, 1), max(word, 1)
	})
	widths := make([]int, n)
	for i, w := range divide(b.Widths, natural, least, float64(room)) {
		widths[i] = max(int(w), leastCell)
		room -= widths[i]
	}
	for ; room < 0; room++ {
		widths[slices.Index(widths, slices.Max(widths))]--
	}
	t.gap()
	if len(b.Head) > 0 {
		t.row(b.Head, widths)
		rule := make([]string, n)
		for i, w := range widths {
			rule[i] = strings.Repeat("-", w)
		}
		t.row(rule, widths)
	}
	tall := false
	for i, row := range b.Rows {
		if tall && i > 0 {
			t.line("")
		}
		tall = t.row(row, widths) > 1
	}
}

// row writes cells beside each other and returns how many lines they took.
func (t *textWriter) row(row []string, widths []int) int {
	columns := make([][]string, len(widths))
	height := 0
	for i, w := range widths {
		columns[i] = t.wrapped(at(row, i), w)
		height = max(height, len(columns[i]))
	}
	for y := range height {
		var line strings.Builder
		for i, c := range columns {
			part := at(c, y)
			line.WriteString(part)
			if i < len(columns)-1 {
				line.WriteString(strings.Repeat(" ", max(widths[i]-cells(part), 0)+columnGap))
			}
		}
		t.line(line.String())
	}
	return height
}

// cells returns how many cells of a terminal a text takes (Unicode Annex 11; combining marks take none).
func cells(s string) int {
	n := 0.0
	for _, r := range s {
		n += runeCells(r)
	}
	return int(n)
}

func runeCells(r rune) float64 {
	if r < 0x300 || r == utf8.RuneError {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch xwidth.LookupRune(r).Kind() {
	case xwidth.EastAsianWide, xwidth.EastAsianFullwidth:
		return 2
	}
	return 1
}
