package document

import (
	"fmt"
	"html/template"
	"io"
)

// WriteHTML writes the document as one HTML page that needs nothing else: it has its style in it, no script, and loads nothing. It can be read
// on a telephone, in the dark and on paper.
func (d *Document) WriteHTML(w io.Writer) error {
	v := pageView{Language: d.language(), Title: clean(d.Title), Letterhead: cleanAll(d.Letterhead), Recipient: cleanAll(d.Recipient),
		Date: clean(d.Date), Reference: clean(d.Reference), Footer: clean(d.Footer)}
	for _, b := range d.Blocks {
		v.Blocks = append(v.Blocks, viewOf(b))
	}
	t, err := template.New("page").Parse(pageTemplate)
	if err == nil {
		err = t.Execute(w, v)
	}
	if err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// htmlCells is about how many letters stand beside each other on the page, for the widths of columns.
const htmlCells = 70

type pageView struct {
	Language, Title, Date, Reference, Footer string
	Letterhead, Recipient                    []string
	Blocks                                   []blockView
}

type blockView struct {
	Kind   string // of the template below
	Text   string
	Items  []string
	Fields [][2]string
	Head   []string
	Shares []float64 // of the columns, in percent
	Rows   [][]cellView
}

type cellView struct{ Label, Text string }

func viewOf(b Block) blockView {
	switch b := b.(type) {
	case Heading:
		return blockView{Kind: fmt.Sprintf("h%d", b.level()+1), Text: clean(b.Text)}
	case Paragraph:
		return blockView{Kind: "p", Text: clean(b.Text)}
	case List:
		return blockView{Kind: map[bool]string{true: "ol", false: "ul"}[b.Numbered], Items: cleanAll(b.Items)}
	case Fields:
		v := blockView{Kind: "fields"}
		for _, row := range b.Rows {
			v.Fields = append(v.Fields, [2]string{clean(row[0]), clean(row[1])})
		}
		return v
	case Table:
		return viewOfTable(b)
	}
	return blockView{Kind: "break"}
}

func viewOfTable(b Table) blockView {
	v, n := blockView{Kind: "table"}, b.columns()
	natural, least := b.extents(func(s string, _ bool) (float64, float64) {
		line, word := extent(clean(s), runeCells)
		return line + 4, word + 4
	})
	v.Shares = divide(b.Widths, natural, least, htmlCells)
	sum := 0.0
	for _, w := range v.Shares {
		sum += w
	}
	for i := range v.Shares {
		v.Shares[i] *= 100 / sum
	}
	if len(b.Head) > 0 {
		for i := range n {
			v.Head = append(v.Head, clean(at(b.Head, i)))
		}
	}
	for _, row := range b.Rows {
		view := make([]cellView, n)
		for i := range view {
			view[i] = cellView{at(v.Head, i), clean(at(row, i))}
		}
		v.Rows = append(v.Rows, view)
	}
	return v
}

func cleanAll(lines []string) []string {
	out := make([]string, len(lines))
	for i, s := range lines {
		out[i] = clean(s)
	}
	return out
}

// On a narrow screen the cells of a row stand below each other, each with the name of its column; the roles keep it a table for those who listen to it.
const pageTemplate = `<!DOCTYPE html>
<html lang="{{.Language}}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --faint: #595959; --line: #c4c4c4; --shade: #f2f2f2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #161616; --faint: #a8a8a8; --line: #4a4a4a; --shade: #242424; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 54rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 2rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
h4 { font-size: 1rem; font-style: italic; margin: 1.25rem 0 .5rem; }
h1, h2, h3, h4, p, li, td, th, dd, dt, address, footer { white-space: pre-line; }
address { font-style: normal; margin: 0 0 1.5rem; }
.letterhead > div:first-child { font-weight: 700; font-size: 1.1rem; }
.meta { color: var(--faint); }
table { border-collapse: collapse; table-layout: fixed; width: 100%; margin: 1rem 0; font-size: .9rem; }
th, td { text-align: start; vertical-align: top; padding: .35rem .5rem; border-bottom: 1px solid var(--line); }
thead th { background: var(--shade); border-bottom: 2px solid var(--faint); }
dl { display: grid; grid-template-columns: minmax(8rem, 30%) 1fr; margin: 1rem 0; }
dt, dd { margin: 0; padding: .35rem .5rem .35rem 0; border-bottom: 1px solid var(--line); }
dt { font-weight: 600; }
hr { border: 0; border-top: 1px dashed var(--line); margin: 2rem 0; }
footer { margin-top: 2.5rem; padding-top: .75rem; border-top: 1px solid var(--line); color: var(--faint); font-size: .85rem; }
@media screen and (max-width: 40rem) {
  dl { display: block; } dt { border: 0; padding-bottom: 0; }
  table, tbody, tr, td { display: block; } thead, colgroup { display: none; }
  tr { border: 1px solid var(--line); border-radius: .4rem; margin: 0 0 .75rem; padding: .25rem .5rem; }
  td { border: 0; padding: .2rem 0; } td:empty { display: none; }
  td[data-label]:not([data-label=""])::before { content: attr(data-label); display: block; color: var(--faint); font-size: .8rem; }
}
@page { size: letter; margin: 0.9in 0.9in 0.8in; }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --faint: #333; --line: #999; --shade: #eee; }
  body { padding: 0; max-width: none; font-size: 10.5pt; line-height: 1.35; }
  h1, h2, h3, h4 { break-after: avoid; } p, li { orphans: 2; widows: 2; }
  thead { display: table-header-group; } tr { break-inside: avoid; }
  hr { border: 0; margin: 0; break-after: page; }
}
</style>
</head>
<body>
<header>
{{- if .Letterhead}}
<address class="letterhead" dir="auto">{{range .Letterhead}}<div>{{.}}</div>{{end}}</address>
{{- end}}
{{- if .Recipient}}
<address dir="auto">{{range .Recipient}}<div>{{.}}</div>{{end}}</address>
{{- end}}
{{- if .Date}}
<div class="meta">{{.Date}}</div>
{{- end}}
{{- if .Reference}}
<div class="meta">Reference: {{.Reference}}</div>
{{- end}}
</header>
<main>
{{- if .Title}}
<h1 dir="auto">{{.Title}}</h1>
{{- end}}
{{- range .Blocks}}
{{if eq .Kind "h2"}}<h2 dir="auto">{{.Text}}</h2>
{{- else if eq .Kind "h3"}}<h3 dir="auto">{{.Text}}</h3>
{{- else if eq .Kind "h4"}}<h4 dir="auto">{{.Text}}</h4>
{{- else if eq .Kind "p"}}<p dir="auto">{{.Text}}</p>
{{- else if eq .Kind "ul"}}<ul>{{range .Items}}<li dir="auto">{{.}}</li>{{end}}</ul>
{{- else if eq .Kind "ol"}}<ol>{{range .Items}}<li dir="auto">{{.}}</li>{{end}}</ol>
{{- else if eq .Kind "fields"}}<dl>{{range .Fields}}<dt dir="auto">{{index . 0}}</dt><dd dir="auto">{{index . 1}}</dd>{{end}}</dl>
{{- else if eq .Kind "table"}}<table role="table">
{{- if .Shares}}<colgroup>{{range .Shares}}<col style="width: {{printf "%.1f" .}}%">{{end}}</colgroup>{{end}}
{{- if .Head}}<thead role="rowgroup"><tr role="row">{{range .Head}}<th role="columnheader" scope="col" dir="auto">{{.}}</th>{{end}}</tr></thead>{{end}}
<tbody role="rowgroup">{{range .Rows}}
<tr role="row">{{range .}}<td role="cell" dir="auto" data-label="{{.Label}}">{{.Text}}</td>{{end}}</tr>{{end}}
</tbody></table>
{{- else}}<hr>{{end}}
{{- end}}
</main>
{{- if .Footer}}
<footer dir="auto">{{.Footer}}</footer>
{{- end}}
</body>
</html>
`
