package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hippad/internal/document"
	"hippad/internal/regulation"
	"hippad/internal/review"
)

// A reviewOutput is how a review is shown.
type reviewOutput struct {
	json, csv bool
	out       string
	limit     int
}

func (o *reviewOutput) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "as JSON, whole")
	f.BoolVar(&o.csv, "csv", false, "the findings as CSV, whole")
	f.StringVar(&o.out, "out", "", "the report into `FILE`.txt, .html or .pdf; it must not exist")
	f.IntVar(&o.limit, "limit", 25, "`N` findings in the text, those with the most points first; 0: all")
}

func (o *reviewOutput) check() error {
	switch {
	case o.json && o.csv:
		return usagef("--json and --csv exclude each other")
	case o.limit < 0:
		return usagef("--limit %d: want a number", o.limit)
	}
	return checkReport(o.out, documentForms...)
}

func (o *reviewOutput) write(cmd *cobra.Command, r reviewOut) error {
	if o.out != "" {
		err := reportTo(cmd, o.out, func(w io.Writer, form string) error { return writeDocument(w, reviewDocument(r), form) })
		if err != nil {
			return err
		}
	}
	switch {
	case o.json:
		return printJSON(cmd, r)
	case o.csv:
		return writeReviewCSV(cmd.OutOrStdout(), r)
	case o.out != "":
		fmt.Fprintln(cmd.OutOrStdout(), o.out)
		return nil
	}
	writeReview(cmd.OutOrStdout(), r, o.limit)
	return nil
}

// reviewTime is of the machine on which it is shown, which need not be where the organisation is.
func reviewTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04 MST") }

func writeReview(w io.Writer, r reviewOut, limit int) {
	n := r.Run
	fmt.Fprintf(w, "review %d: %s to %s, by %s\n", n.ID, reviewTime(n.From), reviewTime(n.To), printable(whoIs(n.By)))
	fmt.Fprintf(w, "%d entries, %d accesses, %s explained%s\n", n.Entries, n.Accesses, reviewShare(n.Explained, n.Accesses), reviewTemplates(n.ReviewCounts))
	fmt.Fprintf(w, "%d findings, %d of them with %d points or more; %d sampled of what was explained\n", n.Found, n.Above, n.Limit, n.Sampled)
	if n.LeftOut > 0 {
		fmt.Fprintf(w, "%d findings with the fewest points were left out\n", n.LeftOut)
	}
	for _, u := range n.Unapplied {
		fmt.Fprintf(w, "not applied: %s: %s\n", u.Rule, u.Reason)
	}
	fmt.Fprintln(w, reviewState(n))
	if len(r.Found) == 0 {
		return
	}
	rows := [][]string{{"FINDING", "POINTS", "DAY", "USER", "PATIENT", "RULES", "VERDICT"}}
	shown := r.Found
	if limit > 0 && limit < len(shown) {
		shown = shown[:limit]
	}
	for _, f := range shown {
		rows = append(rows, []string{fmt.Sprintf("%d/%d", n.ID, f.Number), fmt.Sprint(f.Score), f.Day.String(), printable(firstOf(findingUser(f), "-")), printable(firstOf(f.Patient, "-")), findingRules(f), findingVerdict(f)})
	}
	fmt.Fprintln(w)
	writeTable(w, rows)
	if left := len(r.Found) - len(shown); left > 0 {
		fmt.Fprintf(w, "and %d more: --limit 0 shows all\n", left)
	}
}

func reviewShare(n, of int) string {
	if of == 0 {
		return "none"
	}
	return fmt.Sprintf("%d (%.1f %%)", n, 100*float64(n)/float64(of))
}

func reviewTemplates(c regulation.ReviewCounts) string {
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(c.ByTemplate)) {
		parts = append(parts, fmt.Sprintf("%s %d", id, c.ByTemplate[id]))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

func reviewState(n review.Run) string {
	if s := n.Signature; s != nil {
		return fmt.Sprintf("signed %s by %s (entry %d): %s", reviewTime(s.At), printable(whoIs(s.By)), s.Entry, printable(s.Text))
	}
	return fmt.Sprintf("not signed: %d judged, %d with %d points or more to judge", n.Judged, n.Open, n.Limit)
}

func findingUser(f review.Found) string {
	if len(f.Users) > 0 {
		return fmt.Sprintf("%d people", len(f.Users))
	}
	return f.User
}

func findingRules(f review.Found) string {
	var ids []string
	for _, p := range f.Points {
		ids = append(ids, p.Rule)
	}
	return strings.Join(ids, " ")
}

func findingVerdict(f review.Found) string {
	if f.Verdict == nil {
		return "-"
	}
	return f.Verdict.Verdict
}

// reviewRuleName is a rule or an explanation in words.
func reviewRuleName(id string) string {
	for _, x := range slices.Concat(regulation.ReviewRules(), regulation.Explanations()) {
		if x.ID == id {
			return x.Name
		}
	}
	return id
}

func writeFinding(w io.Writer, n review.Run, f review.Found) {
	fmt.Fprintf(w, "finding %d/%d of %s: %d points, events: %d\n", n.ID, f.Number, f.Day, f.Score, f.Events)
	rows := [][]string{{"WHO", "user", printable(firstOf(findingUser(f), "-"))}}
	if f.Name != "" {
		rows = append(rows, []string{"", "name", printable(f.Name)})
	}
	for _, u := range f.Users {
		rows = append(rows, []string{"", "user", printable(u)})
	}
	rows = append(rows, []string{"WHOSE", "patient", printable(firstOf(f.Patient, "-"))})
	for _, p := range f.Points {
		rows = append(rows, []string{fmt.Sprintf("%+d", p.Points), p.Rule, reviewRuleName(p.Rule) + ": " + printable(p.Why)})
	}
	for _, row := range rows {
		fmt.Fprintf(w, "  %-6s %-8s %s\n", row[0], row[1], row[2])
	}
	if f.Explained != "" {
		fmt.Fprintf(w, "explained: %s\n", printable(f.Explained))
	}
	fmt.Fprintf(w, "entries: %s\n", reviewEntries(f.Entries))
	if v := f.Verdict; v != nil {
		fmt.Fprintf(w, "%s, said %s on %s (entry %d): %s\n", v.Verdict, printable(whoIs(v.By)), reviewTime(v.At), v.Entry, printable(v.Reason))
	}
}

func reviewEntries(list []int64) string {
	var parts []string
	for _, i := range list {
		parts = append(parts, fmt.Sprint(i))
	}
	return strings.Join(parts, " ")
}

func writeReviewCSV(w io.Writer, r reviewOut) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"review", "finding", "points", "day", "user", "name", "patient", "rules", "why", "explained", "events", "entries", "sampled", "verdict", "reason"})
	for _, f := range r.Found {
		var why []string
		for _, p := range f.Points {
			why = append(why, fmt.Sprintf("%s %+d: %s", p.Rule, p.Points, p.Why))
		}
		verdict, reason := "", ""
		if f.Verdict != nil {
			verdict, reason = f.Verdict.Verdict, f.Verdict.Reason
		}
		user := f.User
		if len(f.Users) > 0 {
			user = strings.Join(f.Users, " ")
		}
		_ = out.Write([]string{
			fmt.Sprint(r.Run.ID), fmt.Sprint(f.Number), fmt.Sprint(f.Score), f.Day.String(), safeCell(user), safeCell(f.Name), safeCell(f.Patient), findingRules(f),
			safeCell(strings.Join(why, "; ")), safeCell(f.Explained), fmt.Sprint(f.Events), reviewEntries(f.Entries), fmt.Sprint(f.Sampled), verdict, safeCell(reason),
		})
	}
	out.Flush()
	return out.Error()
}

func writeReviews(w io.Writer, list review.List) {
	rows := [][]string{{"REVIEW", "FROM", "TO", "BY", "FINDINGS", "JUDGED", "TO JUDGE", "SIGNED"}}
	for _, n := range list.Runs {
		signed := "-"
		switch {
		case n.Signature != nil:
			signed = day(n.Signature.At)
		case !n.Complete:
			signed = "never finished"
		}
		rows = append(rows, []string{fmt.Sprint(n.ID), reviewTime(n.From), reviewTime(n.To), printable(whoIs(n.By)), fmt.Sprint(n.Found + n.Sampled), fmt.Sprint(n.Judged), fmt.Sprint(n.Open), signed})
	}
	if len(list.Runs) > 0 {
		writeTable(w, rows)
	}
	if list.LastSigned == nil {
		fmt.Fprintln(w, "no review was ever signed")
	} else {
		fmt.Fprintf(w, "last signed %s; it covers up to %s\n", reviewTime(*list.LastSigned), reviewTime(*list.Covered))
	}
	for _, g := range list.Gaps {
		fmt.Fprintf(w, "no signed review covers %s to %s\n", reviewTime(g.From), reviewTime(g.To))
	}
	switch {
	case list.Overdue && list.Covered == nil:
		fmt.Fprintf(w, "overdue: one is due every %d days\n", list.Every)
	case list.Overdue:
		fmt.Fprintf(w, "overdue since %s: one is due every %d days\n", reviewTime(*list.Due), list.Every)
	case list.Due != nil:
		fmt.Fprintf(w, "the next is due %s\n", reviewTime(*list.Due))
	}
	if len(list.Precision) == 0 {
		return
	}
	rows = [][]string{{"RULE", "INAPPROPRIATE", "APPROPRIATE", "INCONCLUSIVE", "RIGHT", "WHAT"}}
	for _, p := range list.Precision {
		rows = append(rows, []string{p.Rule, fmt.Sprint(p.Inappropriate), fmt.Sprint(p.Appropriate), fmt.Sprint(p.Inconclusive), reviewShare(p.Inappropriate, p.Inappropriate+p.Appropriate), reviewRuleName(p.Rule)})
	}
	fmt.Fprintln(w)
	writeTable(w, rows)
}

// reviewDocument is the report of a review: what was read, what was found, what people said, who signed.
func reviewDocument(r reviewOut) *document.Document {
	n := r.Run
	d := &document.Document{
		Title: "Information system activity review", Language: "en", Letterhead: letterhead(&r.Organisation), Date: day(n.At), Reference: fmt.Sprintf("Review %d", n.ID),
		Footer: "Confidential. 45 CFR 164.308(a)(1)(ii)(D). Each finding names the entries of the log that prove it.",
	}
	fields := [][2]string{
		{"Period", reviewTime(n.From) + " to " + reviewTime(n.To)}, {"Run by", whoIs(n.By)}, {"Entries read", fmt.Sprintf("%d, and %d of the days before", n.Entries, n.History)},
		{"Size of the log", fmt.Sprint(n.Size)}, {"Accesses", fmt.Sprint(n.Accesses)}, {"Explained", reviewShare(n.Explained, n.Accesses) + reviewTemplates(n.ReviewCounts)},
		{"Findings", fmt.Sprintf("%d, of which %d have %d points or more", n.Found, n.Above, n.Limit)}, {"Sampled", fmt.Sprint(n.Sampled)},
		{"Judged", fmt.Sprint(n.Judged)},
	}
	if n.LeftOut > 0 {
		fields = append(fields, [2]string{"Left out", fmt.Sprintf("%d, those with the fewest points", n.LeftOut)})
	}
	for _, x := range n.Rosters {
		fields = append(fields, [2]string{"Roster of " + x.Name, fmt.Sprintf("%d rows, %d bad, SHA-256 %s", x.Rows, x.Bad, x.SHA256)})
	}
	fields = append(fields, [2]string{"State", reviewState(n)})
	if s := n.Signature; s != nil && s.Unjudged != "" {
		fields = append(fields, [2]string{"Left unjudged", fmt.Sprintf("%d: %s", s.Open, s.Unjudged)})
	}
	d.Blocks = append(d.Blocks, document.Fields{Rows: fields})
	if len(n.Unapplied) > 0 {
		var items []string
		for _, u := range n.Unapplied {
			name := u.Rule
			if said := reviewRuleName(name); said != name { // A16 is no rule of a review
				name += ", " + said
			}
			items = append(items, name+": "+u.Reason)
		}
		d.Blocks = append(d.Blocks, document.Heading{Level: 2, Text: "Rules that were not applied"}, document.List{Items: items})
	}
	d.Blocks = append(d.Blocks, document.Heading{Level: 2, Text: "Findings"})
	rows := [][]string{}
	for _, f := range r.Found {
		var why []string
		for _, p := range f.Points {
			why = append(why, fmt.Sprintf("%s %+d: %s", p.Rule, p.Points, p.Why))
		}
		verdict := findingVerdict(f)
		if f.Verdict != nil {
			verdict += ": " + f.Verdict.Reason
			if f.Verdict.Case != "" {
				verdict += " (case " + f.Verdict.Case + ")"
			}
		}
		rows = append(rows, []string{fmt.Sprint(f.Number), fmt.Sprint(f.Score), f.Day.String(), findingUser(f), f.Patient, strings.Join(why, "\n"), reviewEntries(f.Entries), verdict})
	}
	if len(rows) == 0 {
		d.Blocks = append(d.Blocks, document.Paragraph{Text: "None."})
	} else {
		d.Blocks = append(d.Blocks, document.Table{
			Head: []string{"No.", "Points", "Day", "User", "Patient", "Why", "Entries", "Verdict"}, Rows: rows,
		})
	}
	d.Blocks = append(d.Blocks, document.Heading{Level: 2, Text: "The rules"})
	var rules []string
	for _, x := range slices.Concat(regulation.ReviewRules(), regulation.Explanations()) {
		rules = append(rules, fmt.Sprintf("%s (%+d): %s", x.ID, x.Points, x.Name))
	}
	d.Blocks = append(d.Blocks, document.List{Items: rules})
	return d
}
