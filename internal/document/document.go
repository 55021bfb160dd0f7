// Package document owns how a letter, a report or a form looks: one description, shown as plain text, as HTML for a browser or a printer,
// and as PDF.
//
// It does not know what a document says or to whom, reads no clock and keeps nothing. The invariant: all three show the same words in the
// same order, and the same document gives the same bytes.
package document

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Document is what is shown, from top to bottom: letterhead, recipient, date, reference, title, blocks. What is empty is left out. All texts are
// plain: a line feed begins a new line, any other control character is shown as U+FFFD.
type Document struct {
	Title      string
	Language   string   // BCP 47; empty: "en"
	Letterhead []string // lines; the first is the name
	Recipient  []string // lines of the address; on paper they stand where the window of a US No. 10 envelope is
	Date       string   // as it is to be read; one that is written like 2026-11-23 or November 23, 2026 is the date of the PDF too
	Reference  string
	Blocks     []Block
	Footer     string // at the foot of each page of a PDF, at the end of the others
}

// A Block is one of Heading, Paragraph, List, Table, Fields and PageBreak.
type Block interface{ block() }

// A Heading begins a part. Level is 1, 2 or 3; others are taken for the nearest.
type Heading struct {
	Level int
	Text  string
}

// A Paragraph is running text.
type Paragraph struct{ Text string }

// A List is items, with numbers from 1 or with bullets.
type List struct {
	Items    []string
	Numbered bool
}

// A Table is rows under a head, which each page of a PDF repeats. A row may be shorter than others, or longer than the head. One of so many
// columns that nothing could be read in them is shown row by row.
type Table struct {
	Head   []string
	Rows   [][]string
	Widths []float64 // of the columns, relative to each other; used if there is a positive one for each, else what is in them decides
}

// Fields are the rows of a form: a label and what is filled in.
type Fields struct{ Rows [][2]string }

// A PageBreak begins a new page on paper.
type PageBreak struct{}

func (Heading) block()   {}
func (Paragraph) block() {}
func (List) block()      {}
func (Table) block()     {}
func (Fields) block()    {}
func (PageBreak) block() {}

// language returns the language tag, reduced to what such a tag can hold: it is written into the PDF as it is.
func (d *Document) language() string {
	tag := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (r == '-' || unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return -1
	}, d.Language)
	return cmp.Or(tag, "en")
}

func (h Heading) level() int { return min(max(h.Level, 1), 3) }

// columns returns how many columns the widest row has.
func (t Table) columns() int {
	n := len(t.Head)
	for _, row := range t.Rows {
		n = max(n, len(row))
	}
	return n
}

// records is the table row by row, each as fields named by the head; the head alone if there are no rows.
func (t Table) records() []Fields {
	rows := t.Rows
	if len(rows) == 0 {
		rows = [][]string{nil}
	}
	all := make([]Fields, len(rows))
	for i, row := range rows {
		for j := range max(len(row), len(t.Head)) {
			all[i].Rows = append(all[i].Rows, [2]string{at(t.Head, j), at(row, j)})
		}
	}
	return all
}

func at(row []string, i int) string {
	if i < len(row) {
		return row[i]
	}
	return ""
}

// sampled bounds the rows by which the widths of a table's columns are measured.
const sampled = 200

// extents returns what the columns of a table would take without a line break, and what their longest words take. f measures a cell.
func (t Table) extents(f func(text string, head bool) (line, word float64)) (natural, least []float64) {
	n := t.columns()
	natural, least = make([]float64, n), make([]float64, n)
	size := func(row []string, head bool) {
		for i, s := range row {
			line, word := f(s, head)
			natural[i], least[i] = max(natural[i], line), max(least[i], word)
		}
	}
	size(t.Head, true)
	for _, row := range t.Rows[:min(sampled, len(t.Rows))] {
		size(row, false)
	}
	return natural, least
}

// divide returns the widths of a table's columns within room, without the gaps between them. natural and least are those of extents; they are
// changed.
func divide(weights, natural, least []float64, room float64) []float64 {
	widths := make([]float64, len(natural))
	if sum, ok := weighed(weights, len(natural)); ok {
		least, all := sum/float64(8*len(weights)), 0.0
		for i, w := range weights {
			widths[i] = max(w, least)
			all += widths[i]
		}
		for i := range widths {
			widths[i] *= room / all
		}
		return widths
	}
	var wanted, needed float64
	for i := range natural {
		natural[i] = min(natural[i], room*0.6) // one long text takes no more than its share
		least[i] = min(least[i], natural[i], room/3)
		wanted += natural[i]
		needed += least[i]
	}
	if needed >= room && wanted > room {
		share(widths, least, room)
		return widths
	}
	for i := range widths {
		widths[i] = natural[i]
		if wanted > room {
			widths[i] = least[i] + (room-needed)*(natural[i]-least[i])/(wanted-needed)
		}
	}
	return widths
}

// share gives each column what its longest word takes, from the narrowest on, but no more than an equal share of what is left: where words have to be
// broken, they are those of the columns with the longest ones, and not days or counts.
func share(widths, least []float64, room float64) {
	columns := make([]int, len(least))
	for i := range columns {
		columns[i] = i
	}
	slices.SortStableFunc(columns, func(a, b int) int { return cmp.Compare(least[a], least[b]) })
	for n, i := range columns {
		widths[i] = min(least[i], room/float64(len(columns)-n))
		room -= widths[i]
	}
}

func weighed(weights []float64, n int) (sum float64, ok bool) {
	if len(weights) != n || n == 0 {
		return 0, false
	}
	for _, w := range weights {
		if !(w > 0 && w < 1e9) {
			return 0, false
		}
		sum += w
	}
	return sum, true
}

// clean makes a text harmless: what is not UTF-8, controls, and marks that turn the order of what follows show as U+FFFD; line ends become line
// feeds, tabs blanks.
func clean(s string) string {
	harmless := true
	for _, r := range s {
		if r == utf8.RuneError || r != '\n' && cleanRune(r) != r {
			harmless = false
			break
		}
	}
	if harmless {
		return s
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(cleanRune, strings.ToValidUTF8(s, "\ufffd"))
}

func cleanRune(r rune) rune {
	switch {
	case r == '\n' || r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029':
		return '\n'
	case r == '\t' || r == '\u2007':
		return ' '
	case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c,
		r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe007f:
		return '\ufffd'
	}
	return r
}

// wrap breaks a text into lines no wider than room, at blanks, and inside a word where it is longer than a line. A line feed begins a new line. There
// is at least one line.
func wrap(text string, room float64, width func(rune) float64) []string {
	var lines []string
	for part := range strings.SplitSeq(text, "\n") {
		var line strings.Builder
		used, blank := 0.0, width(' ')
		for _, word := range strings.FieldsFunc(part, breaks) {
			w := 0.0
			for _, r := range word {
				w += width(r)
			}
			if line.Len() > 0 && used+blank+w <= room {
				line.WriteByte(' ')
				line.WriteString(word)
				used += blank + w
				continue
			}
			if line.Len() > 0 {
				lines = append(lines, line.String())
				line.Reset()
			}
			used = 0
			for _, r := range word {
				w := width(r)
				if used+w > room && used > 0 {
					lines = append(lines, line.String())
					line.Reset()
					used = 0
				}
				line.WriteRune(r)
				used += w
			}
		}
		lines = append(lines, line.String())
	}
	return lines
}

// breaks tells where a line may end: at a blank that does not say otherwise.
func breaks(r rune) bool { return unicode.IsSpace(r) && r != '\u00a0' && r != '\u202f' }

// extent returns the width of the widest line and of the widest word of a text.
func extent(text string, width func(rune) float64) (line, word float64) {
	var l, w float64
	for _, r := range text {
		if r == '\n' {
			l, w = 0, 0
			continue
		}
		x := width(r)
		if l += x; breaks(r) {
			w = 0
		} else {
			w += x
		}
		line, word = max(line, l), max(word, w)
	}
	return line, word
}
