package main

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"
	"unicode"

	"hippad/internal/regulation"
	"hippad/internal/review"
)

// What strangers have sent steers neither a terminal nor a program for tables, whichever way a review is shown.
func TestReviewShowsStrangers(t *testing.T) {
	for _, bad := range []string{"\x1b[2Jx", "=1+1", "+1", "-1", "@x", "\t=1+1", "\r=1", "x\u202ey", "x\x00", "\xff"} {
		f := review.Found{Finding: regulation.Finding{
			Number: 1, Score: 10, Day: regulation.Date{Year: 2026, Month: 3, Day: 1}, User: bad, Name: bad, Patient: bad, Explained: bad, Points: []regulation.FindingPoints{{Rule: "A3", Points: 10, Why: bad}},
		}, Verdict: &review.Verdict{Verdict: review.Appropriate, Reason: bad}}
		many := f
		many.User, many.Users = "", []string{bad, bad}
		r := reviewOut{Result: review.Result{Found: []review.Found{f, many}}}
		var table, text bytes.Buffer
		if err := writeReviewCSV(&table, r); err != nil {
			t.Fatal(err)
		}
		writeReview(&text, r, 0)
		writeFinding(&text, r.Run, f)
		writeFinding(&text, r.Run, many)
		rows, err := csv.NewReader(strings.NewReader(table.String())).ReadAll()
		if err != nil || len(rows) != 3 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for _, row := range rows[1:] {
			for i, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
					t.Errorf("%q: the cell %q of %s is a formula", bad, cell, rows[0][i])
				}
			}
		}
		if s := table.String() + text.String(); strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) }) {
			t.Errorf("%q steers a terminal: %q", bad, s)
		}
	}
}

// The report of a review says what was not kept, what became of a finding, and in which zone its times are.
func TestReviewReport(t *testing.T) {
	n := review.Run{From: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}
	n.LeftOut = 7
	v := &review.Verdict{Verdict: review.Inappropriate, Reason: "no part in it", Case: "2026-17"}
	var b bytes.Buffer
	if err := writeDocument(&b, reviewDocument(reviewOut{Result: review.Result{Run: n, Found: []review.Found{{Verdict: v}}}}), ".txt"); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"Left out 7, those with the fewest points", n.From.Local().Format("2006-01-02 15:04 MST"), "2026-17"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

// Nor does a statement of what was done.
func TestComplianceShowsStrangers(t *testing.T) {
	f := statementFacts()
	f.Steps = append(f.Steps, regulation.Step{Activity: "review", Words: "\x1b[2J", Count: 1}, regulation.Step{Activity: "review", Words: "\t=1", Count: 1}, regulation.Step{Activity: "review", Words: "@x", Count: 1})
	f.Organisations = append(f.Organisations, regulation.Count{ID: "\x1b[2J", Count: 1})
	c, err := regulation.FindCatalogue("hipaa")
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"text", "csv"} {
		var b bytes.Buffer
		if err := statementForms[form](&b, regulation.Compliance(c, f), organisation{}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) || strings.Contains(b.String(), ",@x") {
			t.Errorf("%s steers a terminal or has a formula", form)
		}
	}
}
