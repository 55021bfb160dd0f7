package document

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/norm"
)

// family is the name of the typeface inside the PDF.
const family = "go"

// The styles of the typeface, as fpdf calls them.
const (
	regular = ""
	strong  = "B"
	italic  = "I"
)

// A font is a style and a size in points.
type font struct {
	style string
	size  float64
}

// A pen measures and draws text on the pages of one PDF. Units are points, from the top left corner of the page.
type pen struct {
	pdf   *fpdf.Fpdf
	faces map[string]*face
	at    font // what the PDF is set to
}

// A face is one style of the typeface. It knows which characters the typeface has, and how wide they are for the size of one point.
type face struct {
	font   *sfnt.Font
	buffer sfnt.Buffer
	widths map[rune]float64 // negative: the typeface does not have it
}

func newPen() (*pen, error) {
	pdf := fpdf.NewCustom(&fpdf.InitType{UnitStr: "pt", SizeStr: "Letter"})
	pdf.SetCompression(true)
	pdf.SetCatalogSort(true)
	pdf.SetAutoPageBreak(false, 0)
	pdf.SetMargins(0, 0, 0)
	pdf.SetLineWidth(0.5)
	p := &pen{pdf: pdf, faces: map[string]*face{}}
	for _, x := range []struct {
		style string
		ttf   []byte
	}{{regular, goregular.TTF}, {strong, gobold.TTF}, {italic, goitalic.TTF}} {
		parsed, err := sfnt.Parse(x.ttf)
		if err != nil {
			return nil, fmt.Errorf("read the typeface: %w", err)
		}
		pdf.AddUTF8FontFromBytes(family, x.style, x.ttf)
		p.faces[x.style] = &face{font: parsed, widths: map[rune]float64{}}
	}
	return p, pdf.Error()
}

func (p *pen) use(f font) {
	if p.at != f {
		p.pdf.SetFont(family, f.style, f.size)
		p.at = f
	}
}

// width returns the width of a character in the style of f for the size of one point, negative if the typeface does not have it.
func (p *pen) width(f font, r rune) float64 {
	known := p.faces[f.style]
	w, ok := known.widths[r]
	if !ok {
		w = -1
		if g, err := known.font.GlyphIndex(&known.buffer, r); r <= 0xffff && err == nil && g != 0 {
			p.use(f)
			w = float64(p.pdf.GetStringSymbolWidth(string(r))) / 1000
		}
		known.widths[r] = w
	}
	return w
}

// measure returns a function that tells how wide characters are in f, for texts that have gone through show.
func (p *pen) measure(f font) func(rune) float64 {
	return func(r rune) float64 { return max(p.width(f, r), 0) * f.size }
}

// show returns a text as it can be drawn: composed, and with what the typeface lacks replaced. A letter whose accents it lacks loses those of them
// that it must; anything else shows as U+FFFD. What joins characters and cannot be seen is left out.
func (p *pen) show(s string, f font) string {
	s = clean(s)
	var b strings.Builder
	for _, r := range norm.NFC.String(s) {
		switch {
		case r == '\n' || p.width(f, r) >= 0:
			b.WriteRune(r)
		case breaks(r):
			b.WriteByte(' ')
		case unicode.IsSpace(r):
			b.WriteRune('\u00a0')
		case unicode.Is(unicode.Cf, r):
		default:
			b.WriteRune(p.nearest(r, f))
		}
	}
	return b.String()
}

// nearest returns the letter with the most of r's accents that the typeface has, U+FFFD if there is none.
func (p *pen) nearest(r rune, f font) rune {
	parts := []rune(norm.NFD.String(string(r)))
	if len(parts) < 2 || !unicode.IsLetter(parts[0]) {
		return utf8.RuneError
	}
	for _, mark := range parts[1:] {
		one := []rune(norm.NFC.String(string([]rune{parts[0], mark})))
		if len(one) == 1 && len(parts) > 2 && p.width(f, one[0]) >= 0 {
			return one[0]
		}
	}
	if p.width(f, parts[0]) >= 0 {
		return parts[0]
	}
	return utf8.RuneError
}

// wrap breaks a text into lines that can be drawn in f.
func (p *pen) wrap(text string, f font, room float64) []string {
	return wrap(p.show(text, f), room, p.measure(f))
}

// text draws a line that wrap gave. y is where its letters stand.
func (p *pen) text(x, y float64, f font, line string) {
	if line != "" {
		p.use(f)
		p.pdf.Text(x, y, line)
	}
}

// right draws a line that ends at x.
func (p *pen) right(x, y float64, f font, line string) {
	width := p.measure(f)
	for _, r := range line {
		x -= width(r)
	}
	p.text(x, y, f, line)
}

// plain returns a text on one line for the PDF's own fields, which know no characters beyond U+FFFF.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case r > 0xffff:
			return utf8.RuneError
		}
		return r
	}, clean(s))
}
