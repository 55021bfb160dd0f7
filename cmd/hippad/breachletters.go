package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/breach"
	"hippad/internal/document"
	"hippad/internal/regulation"
	"hippad/internal/sheet"
)

func newBreachLetters() *cobra.Command {
	var c connection
	var addresses, out, notices string
	cmd := &cobra.Command{
		Use: "letters CASE", Short: "make a letter to each individual",
		Long: `Make a letter to each individual whom the case affects, in one file, each on its own page. --addresses is a CSV with the columns patient, name, address,
address2, city, state, zip; it stays on this machine. Those without a usable address are listed by their row or counted, and the exit code
is 1: they need a substitute notice. A letter without one of the five elements is not made.

--notices also writes the CSV that hippad breach notify individuals takes once the letters are in the post.`,
		Example: `  hippad breach report letters 41 --addresses patients.csv --out letters.pdf --notices notices.csv`, Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if addresses == "" {
				return usagef("--addresses is missing")
			}
			if err := checkReport(out, documentForms...); err != nil {
				return err
			}
			if notices != "" && filepath.Clean(notices) == filepath.Clean(out) {
				return usagef("--out and --notices are the same file")
			}
			if err := checkReport(notices, ".csv", ".txt"); err != nil {
				return err
			}
			rows, bad, err := readAddresses(cmd, addresses)
			if err != nil {
				return err
			}
			s, err := breachStatus(cmd, &c, args[0])
			if err != nil {
				return err
			}
			if err := completeLetter(s.Case); err != nil {
				return err
			}
			whom, err := call[breachAffectedOut](cmd.Context(), &c, "/admin/breach/affected", breachAffectedIn{s.Case.ID, "letters"})
			if err != nil {
				return err
			}
			to, lost := addressees(whom.Persons, rows)
			if whom.Drift != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %s\n", whom.Drift)
			}
			warnDelayed(cmd, s, regulation.NoticeIndividual, "post them")
			if len(to) == 0 {
				return fmt.Errorf("none of the %d individuals is in the table with an address", len(whom.Persons))
			}
			if err := reportTo(cmd, out, func(w io.Writer, form string) error { return writeLetters(w, s, to, form) }); err != nil {
				return err
			}
			if notices != "" {
				if err := reportTo(cmd, notices, func(w io.Writer, _ string) error { return writeNotices(w, s.Today, to) }); err != nil {
					return err
				}
			}
			printRefused(cmd.ErrOrStderr(), bad)
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %d letters\n", len(to))
			if lost > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %d individuals have no usable address: they need a substitute notice (164.404(d)(2))\n", lost)
			}
			if lost > 0 || len(bad) > 0 {
				return errNo
			}
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&addresses, "addresses", "", "`FILE.csv` with addresses")
	f.StringVar(&out, "out", "", "`FILE`, ending with .pdf, .html or .txt")
	f.StringVar(&notices, "notices", "", "also write this `FILE.csv`, to be recorded when the letters are in the post")
	return cmd
}

// warnDelayed says that what is made now must not leave the house yet.
func warnDelayed(cmd *cobra.Command, s breachStatusOut, notice, what string) {
	for _, k := range s.Clocks {
		if k.Notice == notice && k.Blocked {
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: law enforcement delays notice until %s (164.412): do not %s before\n", k.NotBefore, what)
			return
		}
	}
}

// addressees finds a usable address for each person, by any identifier; lost counts those without one.
func addressees(persons []breach.Person, rows []addressRow) (to []addressRow, lost int) {
	by := map[string]addressRow{}
	for _, r := range rows {
		id := hippad.NewTerm(hippad.FieldPatient, r.patient).Value
		if len(r.address.Lines) > 0 && r.address.City != "" {
			if _, had := by[id]; !had {
				by[id] = r
			}
		}
	}
	for _, p := range persons {
		found := false
		for _, id := range p.Identifiers {
			if r, ok := by[id]; ok {
				to, found = append(to, r), true
				break
			}
		}
		if !found {
			lost++
		}
	}
	return to, lost
}

func letterTo(s breachStatusOut, to addressRow) *document.Document {
	o := s.Organisation
	sign := []string{"Sincerely,", "", strings.TrimSpace(o.Contact.First + " " + o.Contact.Last), o.Contact.Title, o.Name}
	dear := "Dear patient,"
	if to.name != "" {
		dear = "Dear " + to.name + ","
	}
	d := &document.Document{
		Title: "Notice of a breach of your health information", Language: firstOf(s.Case.Letter.Language, "en-US"), Letterhead: letterhead(o),
		Recipient: append([]string{firstOf(to.name, "To the patient")}, to.address.Written()...), Date: longDay(s.Today), Reference: fmt.Sprintf("Case %d", s.Case.ID),
		Blocks: append([]document.Block{document.Paragraph{Text: dear}}, noticeBlocks(s.Case)...),
		Footer: "45 CFR 164.404",
	}
	var lines []string
	for i, l := range sign {
		if l != "" || i == 1 {
			lines = append(lines, l)
		}
	}
	d.Blocks = append(d.Blocks, document.Paragraph{Text: strings.Join(lines, "\n")})
	return d
}

// writeLetters writes all letters into one file. As HTML they are one document, with a new page before each.
func writeLetters(w io.Writer, s breachStatusOut, to []addressRow, form string) error {
	letters := func(yield func(*document.Document, error) bool) {
		for _, r := range to {
			if !yield(letterTo(s, r), nil) {
				return
			}
		}
	}
	switch form {
	case ".pdf":
		return document.WritePDFs(w, letters)
	case ".txt":
		first := true
		for d := range letters {
			if !first {
				if _, err := io.WriteString(w, "\f"); err != nil {
					return err
				}
			}
			first = false
			if err := d.WriteText(w, 80); err != nil {
				return err
			}
		}
		return nil
	case ".html":
		return together(letters, len(to)).WriteHTML(w)
	}
	return usagef("--out: want a name that ends with .pdf, .html or .txt")
}

// together makes one document of several.
func together(letters iter.Seq2[*document.Document, error], n int) *document.Document {
	all := &document.Document{Title: fmt.Sprintf("%d letters", n), Language: "en-US"}
	for d := range letters {
		if len(all.Blocks) > 0 {
			all.Blocks = append(all.Blocks, document.PageBreak{})
		}
		for _, lines := range [][]string{d.Letterhead, d.Recipient, {d.Date, d.Reference}} {
			all.Blocks = append(all.Blocks, document.Paragraph{Text: strings.Join(lines, "\n")})
		}
		all.Blocks = append(append(append(all.Blocks, document.Heading{Level: 1, Text: d.Title}), d.Blocks...), document.Paragraph{Text: d.Footer})
	}
	return all
}

// writeNotices writes the table that is recorded once the letters are in the post.
func writeNotices(w io.Writer, day regulation.Date, to []addressRow) error {
	t := csv.NewWriter(w)
	rows := [][]string{{"patient", "method", "date", "basis", "agreed", "returned"}}
	for _, r := range to {
		rows = append(rows, []string{r.patient, regulation.MethodMail, day.String(), "last known address, of the table of addresses", "", ""})
	}
	return t.WriteAll(rows)
}

func writeJSON(w io.Writer, v any) error {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return err
}

// printVerified says what became of a check.
func printVerified(cmd *cobra.Command, v breach.Verified, err error, asJSON bool) error {
	out := cmd.OutOrStdout()
	var wrong *breach.WrongFile
	if errors.As(err, &wrong) {
		fmt.Fprintf(out, "%s: %s\n", style(out, red, "no"), printable(wrong.Error()))
		return errNo
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, v)
	}
	fmt.Fprintf(out, "%s: case %d of %s, %d entries of its own, %d entries that prove whom it affects, sealed by entry %d\n",
		style(out, green, "yes"), v.Case.ID, v.Log, v.Own, v.Scope, v.Sealed)
	if v.Destroyed > 0 {
		fmt.Fprintf(out, "%d of them are destroyed: that they were in the log is proved, and no more\n", v.Destroyed)
	}
	if v.Changed {
		fmt.Fprintln(out, "the list of whom it affects is not the one that was written down when it was scoped: see README.txt")
	}
	return nil
}

func newBreachPublished() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "published FILE.csv", Short: "read the list of breaches that HHS publishes",
		Long: `Read a list that the breach portal of HHS publishes, offline: how many breaches of which type, and what of it fits no list of the portal, with the lines. With
--json every breach is a line. It is for comparing what was filed with what is published.`,
		Example: "  hippad breach published breach_report.csv\n  hippad breach published breach_report.csv --json", Args: exactArgs("FILE.csv"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var columns []sheet.Column
			for _, name := range regulation.PortalListColumns {
				columns = append(columns, sheet.Column{Name: name, Needed: true})
			}
			var unread []breach.Refused
			types, misfits, rows, individuals := map[string]int{}, []breach.Refused{}, 0, 0
			err := breachTable(cmd, args[0], func(in io.Reader) error {
				bad, err := sheet.Read(in, columns, func(r sheet.Row) error {
					p := regulation.ReadPublishedBreach(r.Get)
					rows, individuals = rows+1, individuals+p.Individuals
					for _, t := range p.Types {
						types[t]++
					}
					if len(p.Misfits) > 0 {
						misfits = append(misfits, breach.Refused{Line: r.Line, Reason: strings.Join(p.Misfits, "; ")})
					}
					if asJSON {
						return writeJSON(cmd.OutOrStdout(), p)
					}
					return nil
				})
				for _, b := range bad {
					unread = append(unread, breach.Refused{Line: b.Line, Reason: b.Reason})
				}
				misfits = append(misfits, unread...)
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				printRefused(cmd.ErrOrStderr(), unread)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d breaches, %d individuals\n", rows, individuals)
			table := [][]string{{"TYPE OF BREACH", "BREACHES"}}
			for _, t := range append(regulation.PortalTypes[:], regulation.PortalOldTypes[:]...) {
				table = append(table, []string{t, fmt.Sprint(types[t])})
			}
			writeTable(cmd.OutOrStdout(), table)
			printRefused(cmd.OutOrStdout(), misfits)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object for each breach, a line each")
	return cmd
}
