package document

import (
	"fmt"
	"strings"
)

// US Letter in points, and where things are on it. A US No. 10 envelope shows, of a letter folded in three, what stands 2.1 to 3.2 inches from the
// top and 1 to 5 inches from the left.
const (
	inch       = 72.0
	paperWidth = 8.5 * inch
	paperEnd   = 11 * inch
	left       = 1.0 * inch
	right      = paperWidth - 0.9*inch
	room       = right - left
	top        = 0.9 * inch
	bottom     = paperEnd - 0.9*inch // the foot stands below
	headTop    = 0.55 * inch
	windowTop  = 2.15 * inch
	windowRoom = 3.75 * inch
	foldEnd    = 3.75 * inch // the first fold; a letter's text begins below

	maxFoot     = 5  // lines; a longer footer is shown once, at the end
	leastPoints = 32 // of a table's column; narrower ones are shown row by row
	cellGap     = 6.0
)

// A layout puts one document on pages. It goes through it without drawing when the pages are to be counted.
type layout struct {
	*pen
	doc     *Document
	drawing bool
	page    int // the current, from 1
	pages   int // of the whole document; known when drawing
	y       float64
	bottom  float64
	foot    []string
	running string  // what stands above each page but the first
	again   func()  // draws the head of the current table on a new page; nil outside of tables
	height  float64 // of that head
	fresh   bool    // nothing stands on the page yet, but what stands on each
}

func bodyFont() font  { return font{regular, 10} }
func smallFont() font { return font{regular, 8} }

// leading is the distance of lines.
func (f font) leading() float64 { return f.size * 1.36 }

func newLayout(d *Document, p *pen) *layout {
	l := &layout{pen: p, doc: d, bottom: bottom}
	if d.Footer != "" {
		if l.foot = p.wrap(d.Footer, smallFont(), room-1.1*inch); len(l.foot) > maxFoot {
			l.foot = nil
		}
	}
	l.bottom -= float64(max(len(l.foot)-2, 0)) * smallFont().leading()
	running := d.Title
	if d.Reference != "" {
		running = strings.TrimPrefix(running+" · "+d.Reference, " · ")
	}
	if running != "" {
		l.running = p.wrap(strings.ReplaceAll(clean(running), "\n", " "), smallFont(), room)[0]
	}
	return l
}

func (l *layout) run() {
	l.newPage()
	l.opening()
	for i, b := range l.doc.Blocks {
		l.block(b, l.doc.Blocks[i+1:])
	}
	if l.doc.Footer != "" && l.foot == nil {
		l.space(10)
		l.flow(l.doc.Footer, smallFont(), left, room, "")
	}
}

func (l *layout) newPage() {
	l.page++
	l.y, l.fresh = top, true
	if l.drawing {
		l.pdf.AddPage()
		l.at = font{} // a page begins without one
		l.edges()
	}
	if l.again != nil {
		l.again()
		l.fresh = true
	}
}

// edges draws what stands on each page.
func (l *layout) edges() {
	small := smallFont()
	if l.page > 1 {
		l.text(left, 0.6*inch, small, l.running)
	}
	y := l.bottom + 0.32*inch
	l.pdf.SetDrawColor(150, 150, 150)
	l.pdf.Line(left, y-small.leading(), right, y-small.leading())
	for i, line := range l.foot {
		l.text(left, y+float64(i)*small.leading(), small, line)
	}
	l.pen.right(right, y, small, fmt.Sprintf("page %d of %d", l.page, l.pages))
}

// space leaves room between blocks, but not at the top of a page.
func (l *layout) space(points float64) {
	if !l.fresh {
		l.y += points
	}
}

// need begins a new page if there is not so much room on this one.
func (l *layout) need(points float64) {
	if l.y+points > l.bottom && !l.fresh {
		l.newPage()
	}
}

// opening draws what a letter has above its text.
func (l *layout) opening() {
	d := l.doc
	if len(d.Letterhead) > 0 {
		l.y = headTop
		for i, s := range d.Letterhead {
			f := font{regular, 9}
			if i == 0 {
				f = font{strong, 13}
			}
			l.flow(s, f, left, room, "")
		}
		l.y += 6
	}
	if len(d.Recipient) > 0 {
		l.y = max(l.y, windowTop)
		for _, s := range d.Recipient {
			l.flow(s, font{regular, 10.5}, left, windowRoom, "")
		}
		l.y = max(l.y+14, foldEnd)
	} else {
		l.y = max(l.y, top)
	}
	if d.Date != "" {
		l.flow(d.Date, bodyFont(), left, room, "")
	}
	if d.Reference != "" {
		l.flow("Reference: "+d.Reference, bodyFont(), left, room, "")
	}
	if d.Title != "" {
		l.space(12)
		l.flow(d.Title, font{strong, 15}, left, room, "")
		l.space(4)
	}
}

func (l *layout) block(b Block, rest []Block) {
	switch b := b.(type) {
	case Heading:
		f := [...]font{{strong, 12.5}, {strong, 10.5}, {italic, 10.5}}[b.level()-1]
		l.space([...]float64{12, 8, 6}[b.level()-1])
		l.need(float64(len(l.wrap(b.Text, f, room)))*f.leading() + keep(rest))
		l.flow(b.Text, f, left, room, "")
		l.space(2)
	case Paragraph:
		l.space(4)
		l.flow(b.Text, bodyFont(), left, room, "")
		l.space(4)
	case List:
		l.space(2)
		indent := 22.0
		if b.Numbered {
			widest, _ := extent(fmt.Sprintf("%d.", len(b.Items)), l.measure(bodyFont()))
			indent = max(indent, 12+widest)
		}
		for i, item := range b.Items {
			mark := "•"
			if b.Numbered {
				mark = fmt.Sprintf("%d.", i+1)
			}
			l.flow(item, bodyFont(), left+indent, room-indent, mark)
			l.space(2)
		}
		l.space(2)
	case Fields:
		l.fields(b)
	case Table:
		l.table(b)
	case PageBreak:
		if !l.fresh {
			l.newPage()
		}
	}
}

// keep returns how much of what follows a heading must stand on the page with it.
func keep(rest []Block) float64 {
	if len(rest) == 0 {
		return 0
	}
	switch rest[0].(type) {
	case Table:
		return 4 * bodyFont().leading()
	case PageBreak:
		return 0
	}
	return 2 * bodyFont().leading()
}

// A cell is some lines beside others.
type cell struct {
	x     float64
	font  font
	lines []string
}

// flow draws a text line by line, over as many pages as it takes, with a mark before the first.
func (l *layout) flow(text string, f font, x, width float64, mark string) {
	cells := []cell{{x, f, l.wrap(text, f, width)}}
	if mark != "" {
		cells = append(cells, cell{left + 6, f, []string{mark}})
	}
	l.put(cells, false, 0)
}

func (l *layout) fields(b Fields) {
	l.space(4)
	label := 0.0
	bold := font{strong, 9}
	for _, row := range b.Rows {
		line, _ := extent(l.show(row[0], bold), l.measure(bold))
		label = max(label, line)
	}
	label = min(label+1, room*0.36)
	for _, row := range b.Rows {
		l.put([]cell{
			{left, bold, l.wrap(row[0], bold, label)},
			{left + label + 2*cellGap, font{regular, 9.5}, l.wrap(row[1], font{regular, 9.5}, room-label-2*cellGap)},
		}, true, 2)
		l.rule(220)
	}
	l.space(6)
}

func (l *layout) table(b Table) {
	n := b.columns()
	if n == 0 {
		return
	}
	inner := room - cellGap*float64(n)
	if inner < leastPoints*float64(n) {
		for _, f := range b.records() {
			l.fields(f)
		}
		return
	}
	f, head := font{regular, 8.5}, font{strong, 8.5}
	if n > 7 {
		f.size, head.size = 7, 7
	}
	natural, least := b.extents(func(s string, isHead bool) (float64, float64) {
		as := f
		if isHead {
			as = head
		}
		line, word := extent(l.show(s, as), l.measure(as))
		return max(line+1, as.size), max(word+1, as.size)
	})
	widths := divide(b.Widths, natural, least, inner)
	row := func(texts []string, f font) []cell {
		cells, x := make([]cell, n), left+cellGap/2
		for i := range cells {
			cells[i] = cell{x, f, l.wrap(at(texts, i), f, max(widths[i], f.size))}
			x += widths[i] + cellGap
		}
		return cells
	}
	l.space(6)
	if len(b.Head) > 0 {
		l.tableHead(row(b.Head, head))
	}
	for _, texts := range b.Rows {
		l.put(row(texts, f), true, 3)
		l.rule(205)
	}
	l.again, l.height = nil, 0
	l.space(8)
}

// tableHead draws the head of a table, and has it drawn again on each page that the table goes on to, unless it would take most of it.
func (l *layout) tableHead(cells []cell) {
	f, lines := cells[0].font, 0
	for _, c := range cells {
		lines = max(lines, len(c.lines))
	}
	height := float64(lines)*f.leading() + 6
	if height > (bottom-top)/3 {
		l.put(cells, true, 3)
		l.rule(90)
		return
	}
	l.need(height + 2*f.leading())
	draw := func() {
		if l.drawing {
			l.pdf.SetFillColor(238, 238, 238)
			l.pdf.Rect(left, l.y, room, height, "F")
			l.pdf.SetFillColor(0, 0, 0) // that of text
		}
		l.put(cells, true, 3)
		l.rule(90)
	}
	draw()
	l.again, l.height = draw, height
}

// rule draws a line across the page.
func (l *layout) rule(grey int) {
	if l.drawing {
		l.pdf.SetDrawColor(grey, grey, grey)
		l.pdf.Line(left, l.y, right, l.y)
	}
}

// put draws cells beside each other with padding above and below. What does not fit on the page goes on to the next ones: together, if whole
// asks for it and a page has so much room, else line by line, but for a single first or last line.
func (l *layout) put(cells []cell, whole bool, padding float64) {
	leading, size, lines := 0.0, 0.0, 0
	for _, c := range cells {
		leading, size, lines = max(leading, c.font.leading()), max(size, c.font.size), max(lines, len(c.lines))
	}
	full := l.bottom - top - l.height
	for from := 0; from < lines; {
		more := lines - from
		fit := int((l.bottom - l.y - 2*padding) / leading)
		if from == 0 && more > fit && whole && float64(more)*leading+2*padding <= full || more > 1 && fit < 2 || fit < 1 {
			if !l.fresh {
				l.newPage()
				continue
			}
			fit = max(fit, 1)
		}
		n := min(more, fit)
		if more-n == 1 && n > 2 {
			n--
		}
		l.y += padding
		if l.drawing {
			for _, c := range cells {
				for i := from; i < min(from+n, len(c.lines)); i++ {
					l.text(c.x, l.y+float64(i-from)*leading+(leading-size)/2+size*0.82, c.font, c.lines[i])
				}
			}
		}
		l.y += float64(n)*leading + padding
		l.fresh = false
		from += n
	}
}
