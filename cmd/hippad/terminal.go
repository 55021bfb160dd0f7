package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// terminalWidth returns the width of w in columns, 0 when it is not a terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 80
	}
	return width
}

// style marks text for a terminal; plain writers get the text as it is.
func style(w io.Writer, code, text string) string {
	if terminalWidth(w) == 0 || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

const (
	bold  = "1"
	red   = "31"
	green = "32"
	faint = "2"
)

// A progress is a bar on a terminal, and nothing anywhere else.
type progress struct {
	w     io.Writer
	width int
	label string

	mu    sync.Mutex
	drawn time.Time // guarded by mu, like the cursor
}

func newProgress(w io.Writer, label string) *progress {
	return &progress{w: w, width: terminalWidth(w), label: label}
}

// set draws the bar, at most ten times a second and once at the end.
func (p *progress) set(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width == 0 || total <= 0 || done < total && time.Since(p.drawn) < 100*time.Millisecond {
		return
	}
	p.drawn = time.Now()
	numbers := fmt.Sprintf(" %d of %d", done, total)
	cells := min(40, p.width-len(p.label)-len(numbers)-4)
	bar := ""
	if cells > 0 {
		full := int(int64(cells) * done / total)
		bar = " [" + strings.Repeat("#", full) + strings.Repeat(".", cells-full) + "]"
	}
	fmt.Fprintf(p.w, "\r%s%s%s\x1b[K", p.label, bar, numbers)
}

// end takes the bar away, so that what follows begins on an empty line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.drawn.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// printable makes one line of text from what a stranger has sent: no control characters, so that a message cannot
// steer the terminal that shows it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return '?'
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, s)
}

// writeTable writes rows in columns two spaces apart. On a terminal the widest column gives way until a row fits.
func writeTable(w io.Writer, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	if total := terminalWidth(w); total > 0 {
		for {
			sum, widest := 2*(len(widths)-1), 0
			for i, n := range widths {
				sum += n
				if n > widths[widest] {
					widest = i
				}
			}
			if sum <= total || widths[widest] <= 8 {
				break
			}
			widths[widest]--
		}
	}
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			runes := []rune(cell)
			if len(runes) > widths[i] {
				runes = append(runes[:widths[i]-1], '…')
			}
			line.WriteString(string(runes))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-len(runes)+2))
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if n == 0 {
			text = style(w, bold, text)
		}
		fmt.Fprintln(w, text)
	}
}
