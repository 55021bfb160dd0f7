package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"hippad/internal/document"
	"hippad/internal/regulation"
)

// statementForms are the ways to write a statement.
var statementForms = map[string]func(io.Writer, regulation.Statement, organisation) error{
	"text": func(w io.Writer, s regulation.Statement, o organisation) error {
		return statementDocument(s, o).WriteText(w, terminalWidth(w))
	},
	"html": func(w io.Writer, s regulation.Statement, o organisation) error {
		return statementDocument(s, o).WriteHTML(w)
	},
	"pdf": func(w io.Writer, s regulation.Statement, o organisation) error {
		return statementDocument(s, o).WritePDF(w)
	},
	"json": statementJSON,
	"csv":  statementCSV,
}

func statementJSON(w io.Writer, s regulation.Statement, o organisation) error {
	text, err := json.Marshal(struct {
		Organisation organisation `json:"organisation"`
		regulation.Statement
	}{o, s}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", text)
	}
	return err
}

// statementCSV writes a row for each piece of evidence, and one for a section without any.
func statementCSV(w io.Writer, s regulation.Statement, _ organisation) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"catalogue", "in force", "from", "to", "section", "title", "requirement", "mark", "what", "count", "attention", "hippad search", "own duty"})
	for _, l := range s.Lines {
		evidence := l.Evidence
		if len(evidence) == 0 {
			evidence = []regulation.Evidence{{Text: "nothing that a log can say"}}
		}
		for _, f := range evidence {
			_ = c.Write([]string{s.Catalogue, yesNo(!s.Proposed), s.Facts.From.String(), s.Facts.To.String(), l.Section, l.Title, string(l.Requirement), string(l.Mark),
				safeCell(f.Text), strconv.FormatInt(f.Count, 10), yesNo(f.Concern), searchTerms(f.Query), l.Duty})
		}
	}
	c.Flush() // keeps the first error
	return c.Error()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// statementDocument is a statement as a report.
func statementDocument(s regulation.Statement, o organisation) *document.Document {
	f := s.Facts
	d := &document.Document{
		Title: "What was done, " + f.From.String() + " to " + f.To.String(), Language: "en-US",
		Letterhead: append([]string{o.Name}, o.Address...), Date: f.At.Format(time.DateOnly), Reference: f.Log,
		Footer: "Not legal advice. Counted by hippad from the log " + f.Log + " on " + f.At.Format(time.RFC3339) + ".",
	}
	if s.Proposed {
		d.Title += " (proposed rule, not in force)"
		d.Blocks = append(d.Blocks, document.Paragraph{Text: "PROPOSED, NOT IN FORCE: nobody has to do today what this catalogue lists."})
	}
	end := "none"
	if f.Entries > 0 {
		end = fmt.Sprintf("%d to %d", f.First, f.First+f.Entries-1)
	}
	d.Blocks = append(d.Blocks,
		document.Paragraph{Text: s.Notice},
		document.Fields{Rows: [][2]string{
			{"Catalogue", s.Title}, {"Source", s.Source}, {"Period", fmt.Sprintf("%s to %s, days of %s", f.From, f.To, f.Zone)},
			{"Entries of the log", end}, {"Marks", "R required, A addressable (45 CFR 164.306(d)); V checked against a copy of the text, M from memory: check it before relying on it; ! asks for attention"},
		}},
		document.Heading{Level: 1, Text: "Overview"}, overview(s), document.Heading{Level: 1, Text: "Section by section"})
	for _, l := range s.Lines {
		d.Blocks = append(d.Blocks, sectionBlocks(l)...)
	}
	if len(f.Organisations) > 0 {
		d.Blocks = append(d.Blocks, document.Heading{Level: 1, Text: "Who reported"}, reporters(f))
	}
	return d
}

// shownOrganisations is how many a statement on paper names; JSON has all that were told apart.
const shownOrganisations = 50

func reporters(f regulation.Facts) document.Block {
	t := document.Table{Head: []string{"Organisation", "Reports"}}
	rest := int64(0)
	for i, o := range f.Organisations {
		if i >= shownOrganisations {
			rest += o.Count
			continue
		}
		t.Rows = append(t.Rows, []string{firstOf(o.ID, "(not in the register)"), strconv.FormatInt(o.Count, 10)})
	}
	if rest > 0 {
		t.Rows = append(t.Rows, []string{fmt.Sprintf("(%d others)", len(f.Organisations)-shownOrganisations), strconv.FormatInt(rest, 10)})
	}
	return t
}

func overview(s regulation.Statement) document.Block {
	t := document.Table{Head: []string{"Section", "Title", "Kind", "Recorded", "!"}}
	for _, l := range s.Lines {
		recorded := fmt.Sprintf("%d of %d", l.Recorded(), len(l.Evidence))
		if len(l.Evidence) == 0 {
			recorded = "not in a log"
		}
		attention := ""
		if n := l.Concerns(); n > 0 {
			attention = strconv.Itoa(n)
		}
		t.Rows = append(t.Rows, []string{l.Section, l.Title, string(l.Requirement), recorded, attention})
	}
	return t
}

// searchTerms are the arguments of hippad search, as a shell takes them.
func searchTerms(query []string) string {
	words := make([]string, len(query))
	for i, q := range query {
		words[i] = quoted(q)
	}
	return strings.Join(words, " ")
}

func sectionBlocks(l regulation.ControlLine) []document.Block {
	blocks := []document.Block{
		document.Heading{Level: 2, Text: fmt.Sprintf("%s  %s (%s, %s)", l.Section, l.Title, l.Requirement, l.Mark)},
		document.Paragraph{Text: l.Does},
	}
	if len(l.Evidence) > 0 {
		t := document.Table{Head: []string{"Count", "What", "hippad search"}}
		for _, f := range l.Evidence {
			count := strconv.FormatInt(f.Count, 10)
			if f.Concern {
				count += " !"
			}
			t.Rows = append(t.Rows, []string{count, f.Text, searchTerms(f.Query)})
		}
		blocks = append(blocks, t)
	}
	return append(blocks, document.Paragraph{Text: "Your own duty: " + l.Duty})
}
