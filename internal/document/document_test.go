package document

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

// letter is a document with one of everything.
func letter() *Document {
	rows := [][]string{}
	for i := range 60 {
		rows = append(rows, []string{fmt.Sprintf("2026-%02d-%02d", i%12+1, i%28+1), "State Department of Health, Division of Vaccine-Preventable Diseases",
			"immunisation history", "public health activities, 45 CFR 164.512(b)", fmt.Sprint(100000 + i)})
	}
	rows[3][1] = "Παπαδόπουλος & Соколова <Praxis>\nsecond line"
	rows[4][2] = strings.Repeat("one-very-long-word-without-a-blank", 6)
	rows[5] = []string{"2026-06-06", "short row"}
	rows[6][2] = strings.Repeat("a description that goes on and on; ", 150)
	return &Document{
		Title:      "Accounting of disclosures",
		Language:   "en-US",
		Letterhead: []string{"Samaritan General Hospital", "Privacy Office", "100 Main Street, Springfield, IL 62701", "privacy@samaritan.example · (217) 555-0100"},
		Recipient:  []string{"Zoë Đặng-Müller", "c/o Łukasz Ångström", "42 Rue de l'Église, Apt. 7", "Springfield, IL 62702"},
		Date:       "November 23, 2026",
		Reference:  "A-2026-0042",
		Blocks: []Block{
			Paragraph{"Dear Zoë Đặng-Müller,"},
			Paragraph{"You asked on November 1, 2026 for a list of the disclosures that we made of your health information. This letter is that list. " +
				"It covers the six years before the day of your request (45 CFR 164.528(a)(1)).\nCharacters that a typeface lacks: 山田太郎, 😀, שלום; a decomposed é."},
			Heading{1, "What is not in it"},
			List{Items: []string{"treatment, payment and health care operations", "what you authorised", strings.Repeat("a long item that needs more than one line to be said ", 4)}},
			List{Items: []string{"first", "second"}, Numbered: true},
			Heading{2, "Your request"},
			Fields{[][2]string{{"Received", "2026-11-01"}, {"Period", "2020-11-01 to 2026-11-01"}, {"A label that is longer than what is usual for a label", "and its value"}, {"Fee", ""}}},
			Heading{3, "The disclosures"},
			Table{Head: []string{"Date", "Recipient", "What", "Why", "Entry"}, Rows: rows},
			PageBreak{},
			Heading{1, "Another page"},
			Table{Head: []string{"a", "b"}, Rows: [][]string{{"1", "2", "3"}}, Widths: []float64{1, 3, 1}},
			Paragraph{"Controls: \x1b[31mred\x07 \u202eesrever \x00 tab\there, not UTF-8: \xff\xfe."},
		},
		Footer: "This is not legal advice. Keep this letter.",
	}
}

func written(t rapid.TB, write func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func textOf(t rapid.TB, d *Document, width int) string {
	return string(written(t, func(b *bytes.Buffer) error { return d.WriteText(b, width) }))
}

func htmlOf(t rapid.TB, d *Document) string {
	return string(written(t, func(b *bytes.Buffer) error { return d.WriteHTML(b) }))
}

func pdfOf(t rapid.TB, d *Document) []byte {
	return written(t, func(b *bytes.Buffer) error { return d.WritePDF(b) })
}

func TestGolden(t *testing.T) {
	for name, got := range map[string][]byte{
		"letter.txt":    []byte(textOf(t, letter(), 0)),
		"letter-40.txt": []byte(textOf(t, letter(), 40)),
		"letter.html":   []byte(htmlOf(t, letter())),
	} {
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is different now: see go test -update", name)
		}
	}
	if dir := os.Getenv("HIPPAD_DOCUMENT_OUT"); dir != "" { // to be looked at
		os.WriteFile(filepath.Join(dir, "letter.pdf"), pdfOf(t, letter()), 0o644)
		os.WriteFile(filepath.Join(dir, "letter.html"), []byte(htmlOf(t, letter())), 0o644)
	}
}

// The digest of a document that was given to somebody must be the same when it is made again.
func TestSameBytes(t *testing.T) {
	seen := map[[32]byte]bool{}
	for range 5 {
		seen[sha256.Sum256(pdfOf(t, letter()))] = true
	}
	if len(seen) != 1 {
		t.Errorf("%d different files of one document", len(seen))
	}
}

// pdfText returns the pages of a PDF as poppler reads them.
func pdfText(t testing.TB, pdf []byte, flags ...string) []string {
	t.Helper()
	program, err := exec.LookPath("pdftotext")
	if err != nil {
		if os.Getenv("HIPPAD_TEST_COMPLETE") != "" {
			t.Fatal("pdftotext is not here, and everything should be")
		}
		t.Skip("pdftotext of poppler-utils is not here")
	}
	cmd := exec.Command(program, append(flags, "-enc", "UTF-8", "-", "-")...)
	cmd.Stdin = bytes.NewReader(pdf)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("pdftotext: %v: %s", err, complaints.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\f"), "\f")
}

func TestPDFPages(t *testing.T) {
	pages := pdfText(t, pdfOf(t, letter()), "-layout")
	if len(pages) < 4 {
		t.Fatalf("%d pages", len(pages))
	}
	for i, p := range pages {
		if !strings.Contains(p, fmt.Sprintf("page %d of %d", i+1, len(pages))) {
			t.Errorf("page %d has no number", i+1)
		}
		if !strings.Contains(p, "This is not legal advice.") {
			t.Errorf("page %d has no foot", i+1)
		}
		if table := strings.Contains(p, "Vaccine-Preventable"); table && !regexp.MustCompile(`Date +Recipient +What +Why +Entry`).MatchString(p) {
			t.Errorf("page %d goes on with the table, and its head is not there", i+1)
		}
	}
	all := strings.Join(pages, "\n")
	for _, want := range []string{"Đ", "Müller", "Łukasz Ångström", "Παπαδόπουλος", "Соколова", "\ufffd", "é", "100059"} {
		if !strings.Contains(all, want) {
			t.Errorf("the PDF lacks %q", want)
		}
	}
	if strings.ContainsAny(all, "山\x1b") {
		t.Error("the PDF has characters that its typeface lacks")
	}
}

// A recipient's address shows in the window of an envelope: 2.1 to 3.3 inches from the top, an inch from the left.
func TestAddressWindow(t *testing.T) {
	out := strings.Join(pdfText(t, pdfOf(t, letter()), "-bbox", "-l", "1"), "")
	for _, word := range []string{"Zoë", "Łukasz", "Église,", "62702"} {
		m := regexp.MustCompile(`xMin="([0-9.]+)" yMin="([0-9.]+)" xMax="([0-9.]+)" yMax="([0-9.]+)">[^<]*` + regexp.QuoteMeta(word)).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("%s is not on the first page", word)
		}
		var x0, y0, x1, y1 float64
		fmt.Sscan(strings.Join(m[1:], " "), &x0, &y0, &x1, &y1)
		if x0 < 1*inch-1 || x1 > 5*inch || y0 < 2.1*inch || y1 > 3.3*inch {
			t.Errorf("%s is at %v,%v to %v,%v points", word, x0, y0, x1, y1)
		}
	}
}

func TestPDFSaysWhatItIs(t *testing.T) {
	pdf := pdfOf(t, &Document{Title: "Αccounting \U0001F600 <&>", Language: "es-US) /Evil (", Date: "2026-11-23"})
	if !bytes.Contains(pdf, []byte("/Lang (es-USEvil)")) {
		t.Error("the language is not there, or not reduced to a tag")
	}
	for _, want := range []string{"D:20261123000000", "<dc:language><rdf:Bag><rdf:li>es-USEvil<", "ccounting \ufffd &lt;&amp;&gt;<"} {
		if !bytes.Contains(pdf, []byte(want)) {
			t.Errorf("the PDF lacks %q", want)
		}
	}
}

// What the typeface lacks is shown as near as it can be, and never left out without a trace.
func TestShow(t *testing.T) {
	p, err := newPen()
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"Zoë Đặng":        "Zoë Đăng",
		"Nguyễn Văn Hạnh": "Nguyên Văn Hanh",
		"e\u0301 A\u030a": "é Å",
		"Соколова Й Ќ":    "Соколова Й Ќ",
		"Παπαδόπουλος ΐ":  "Παπαδόπουλος ΐ",
		"山田":              "\ufffd\ufffd",
		"😀":               "\ufffd",
		"a\u200db\u00adc": "ab\u00adc",
		"a\u2003b\u202fc": "a b\u00a0c",
		"x\ny":            "x\ny",
		"\x1b\xff":        "\ufffd\ufffd",
	} {
		if got := p.show(in, bodyFont()); got != want {
			t.Errorf("%q shows as %q, want %q", in, got, want)
		}
	}
}

func TestWritePDFs(t *testing.T) {
	many := func(n int, fail error) func(func(*Document, error) bool) {
		return func(yield func(*Document, error) bool) {
			for i := range n {
				if !yield(&Document{Title: fmt.Sprintf("Notice %d", i), Blocks: []Block{Paragraph{"One."}, PageBreak{}, Paragraph{"Two."}}}, nil) {
					return
				}
			}
			if fail != nil {
				yield(nil, fail)
			}
		}
	}
	var b bytes.Buffer
	if err := WritePDFs(&b, many(0, nil)); err == nil || b.Len() > 0 {
		t.Error("a file of nothing")
	}
	broken := errors.New("broken")
	if err := WritePDFs(&b, many(3, broken)); !errors.Is(err, broken) || b.Len() > 0 {
		t.Errorf("%v, %d bytes written", err, b.Len())
	}
	if err := WritePDFs(&b, many(3, nil)); err != nil {
		t.Fatal(err)
	}
	pages := pdfText(t, b.Bytes())
	if len(pages) != 6 {
		t.Fatalf("%d pages", len(pages))
	}
	for i, p := range pages {
		if !strings.Contains(p, fmt.Sprintf("page %d of 2", i%2+1)) || !strings.Contains(p, fmt.Sprintf("Notice %d", i/2)) {
			t.Errorf("page %d: %q", i+1, p)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func TestWritersSayWhatFails(t *testing.T) {
	for _, err := range []error{letter().WriteText(failing{}, 0), letter().WriteHTML(failing{}), letter().WritePDF(failing{})} {
		if err == nil || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("got %v", err)
		}
	}
}

// HTML is one file that loads and runs nothing, whatever a name says.
func TestHTMLIsSelfContained(t *testing.T) {
	evil := `<script>alert(1)</script><img src=x onerror=alert(1)>" style="x`
	d := &Document{Title: evil, Language: `en" onload="x`, Letterhead: []string{evil}, Recipient: []string{evil}, Reference: evil, Footer: evil, Blocks: []Block{
		Heading{1, evil}, Paragraph{evil}, List{Items: []string{evil}}, Fields{[][2]string{{evil, evil}}}, Table{Head: []string{evil}, Rows: [][]string{{evil}}, Widths: []float64{1}}}}
	got := htmlOf(t, d)
	for _, bad := range []string{"<script", "<img", "<link", "http://", "https://", "url(", `" style="x`, ` onload="`} {
		if strings.Contains(got, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if strings.Contains(got, "ZgotmplZ") {
		t.Error("the template refuses a value")
	}
}

var tags = regexp.MustCompile(`<[^>]*>`)

// words returns what a text says, without how it is broken into lines and columns.
func words(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

// contents lists the texts of a document, in order.
func contents(d *Document) []string {
	all := slices.Concat(d.Letterhead, d.Recipient, []string{d.Date, d.Reference, d.Title})
	for _, b := range d.Blocks {
		switch b := b.(type) {
		case Heading:
			all = append(all, b.Text)
		case Paragraph:
			all = append(all, b.Text)
		case List:
			all = append(all, b.Items...)
		case Fields:
			for _, row := range b.Rows {
				all = append(all, row[:]...)
			}
		case Table:
			all = append(all, b.Head...)
			for _, row := range b.Rows {
				all = append(all, row...)
			}
		}
	}
	return append(all, d.Footer)
}

// check holds the promises of the package against one document.
func check(t rapid.TB, d *Document, width int) {
	t.Helper()
	text, page := textOf(t, d, width), htmlOf(t, d)
	for _, line := range strings.Split(text, "\n") {
		if n := cells(line); n > max(width, leastCells) && width > 0 {
			t.Fatalf("a line of %d cells in a width of %d", n, width)
		}
		if !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) {
			t.Fatal("the text has controls or is not UTF-8")
		}
	}
	if strings.ContainsFunc(page, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) || !utf8.ValidString(page) {
		t.Fatal("the page has controls or is not UTF-8")
	}
	inPage := words(html.UnescapeString(tags.ReplaceAllString(page[strings.Index(page, "<body>"):], "")))
	if !inOrder(inPage, d) {
		t.Fatal("the page lacks some of the document, or has it in another order")
	}
	beside := slices.ContainsFunc(d.Blocks, func(b Block) bool { // lines of several cells stand beside each other
		switch b.(type) {
		case Table, Fields:
			return true
		case List: // its marks stand between
			return true
		}
		return false
	})
	if !beside && !inOrder(words(text), d) {
		t.Fatal("the text lacks some of the document, or has it in another order")
	}
	inText := counts(text)
	for r, n := range counts(strings.Join(contents(d), " ")) {
		if inText[r] < n {
			t.Fatal("the text lacks some of the document")
		}
	}
	if pdf := pdfOf(t, d); !bytes.HasPrefix(pdf, []byte("%PDF-")) || !bytes.HasSuffix(bytes.TrimSpace(pdf), []byte("%%EOF")) {
		t.Fatal("the PDF is not whole")
	}
}

// inOrder tells whether a text without blanks has every text of a document, one after the other.
func inOrder(all string, d *Document) bool {
	for _, s := range contents(d) {
		want := words(clean(s))
		i := strings.Index(all, want)
		if i < 0 {
			return false
		}
		all = all[i+len(want):]
	}
	return true
}

// counts counts the characters of a text but for blanks.
func counts(s string) map[rune]int {
	all := map[rune]int{}
	for _, r := range words(clean(s)) {
		all[r]++
	}
	return all
}

func anyDocument(t *rapid.T) *Document {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Zäöüß é\n\t(){}\\<>&"'-]{0,200}`), rapid.StringMatching(`[^ ]{0,300}`))
	some := rapid.SliceOfN(text, 0, 6)
	block := rapid.Custom(func(t *rapid.T) Block {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return Heading{rapid.IntRange(-1, 9).Draw(t, "level"), text.Draw(t, "heading")}
		case 1:
			return List{some.Draw(t, "items"), rapid.Bool().Draw(t, "numbered")}
		case 2:
			return Table{some.Draw(t, "head"), rapid.SliceOfN(rapid.SliceOfN(text, 0, 30), 0, 8).Draw(t, "rows"), rapid.SliceOfN(rapid.Float64(), 0, 6).Draw(t, "widths")}
		case 3:
			return Fields{rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]string {
				return [2]string{text.Draw(t, "label"), text.Draw(t, "value")}
			}), 0, 4).Draw(t, "fields")}
		case 4:
			return PageBreak{}
		}
		return Paragraph{text.Draw(t, "text")}
	})
	return &Document{Title: text.Draw(t, "title"), Language: text.Draw(t, "language"), Letterhead: some.Draw(t, "letterhead"), Recipient: some.Draw(t, "recipient"),
		Date: text.Draw(t, "date"), Reference: text.Draw(t, "reference"), Blocks: rapid.SliceOfN(block, 0, 6).Draw(t, "blocks"), Footer: text.Draw(t, "footer")}
}

func TestWordsAreInAllForms(t *testing.T) {
	check(t, letter(), 0)
	check(t, letter(), 33)
	rapid.Check(t, func(t *rapid.T) { check(t, anyDocument(t), rapid.IntRange(0, 130).Draw(t, "width")) })
}

// FuzzWordsAreInAllForms puts one text everywhere where a text can be.
func FuzzWordsAreInAllForms(f *testing.F) {
	f.Add("plain words", 3, 80)
	f.Add("\x1b[2J\u202e\xff\r\n\t<b>&amp;\u00ad\u200d\U000e0041", 9, 20)
	f.Add("({\\nb})%PDF- endstream 山😀e\u0301\u1ec5", 40, 61)
	f.Fuzz(func(t *testing.T, s string, columns, width int) {
		if len(s) > 4000 {
			return
		}
		row := slices.Repeat([]string{s}, min(max(columns, 0), 40))
		check(t, &Document{Title: s, Language: s, Letterhead: []string{s}, Recipient: row[:min(len(row), 9)], Date: s, Reference: s, Footer: s, Blocks: []Block{
			Heading{columns, s}, Paragraph{s}, List{row, columns%2 == 0}, Fields{[][2]string{{s, s}}}, Table{row, [][]string{row, {s}, nil}, nil}, Table{nil, [][]string{row}, []float64{1}},
		}}, min(max(width, 0), 500))
	})
}

// BenchmarkLetters says what a file of letters to many patients costs.
func BenchmarkLetters(b *testing.B) {
	d := letter()
	d.Blocks = d.Blocks[:7]
	size := 0
	for b.Loop() {
		out := written(b, func(w *bytes.Buffer) error {
			return WritePDFs(w, func(yield func(*Document, error) bool) {
				for range 1000 {
					if !yield(d, nil) {
						return
					}
				}
			})
		})
		size = len(out)
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "letters/s")
	b.ReportMetric(float64(size)/1000, "bytes/letter")
}

// A day, a count and a reason are not broken because an address beside them is long.
func TestLongWordsBreakFirst(t *testing.T) {
	d := &Document{Blocks: []Block{Table{
		Head: []string{"Day", "Who", "What was done", "Why", "Time", "Where", "Entries"},
		Rows: [][]string{{"2026-11-20", "Dr. Lind https://hospital.example/users|lind", "searched, viewed: images", "treatment", "22:41", "portal, 192.0.2.158", "3, 5"}},
	}}}
	text := textOf(t, d, 80)
	for _, word := range []string{"2026-11-20", "Entries", "treatment", "22:41", "searched,"} {
		if !strings.Contains(text, word) {
			t.Errorf("%q is broken in\n%s", word, text)
		}
	}
}
