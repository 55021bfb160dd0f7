package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hippad/internal/breach"
	"hippad/internal/document"
	"hippad/internal/regulation"
)

func newBreachReport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "report", Short: "make the form for HHS, the letters, the media notice, the evidence",
		Long: `Make what leaves the house: the sheet for the breach portal of HHS, the letters to individuals, the notice to the media, and the evidence packet.
The end of the file's name says the form: .pdf, .html, .txt, and of the sheet .csv and .json too; without --out it is text on stdout. No file is
written over.`,
		Example: `  hippad breach report sheet 41 --out sheet.pdf
  hippad breach report letters 41 --addresses patients.csv --out letters.pdf
  hippad breach report packet 41 --out case-41.tar`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBreachSheet(), newBreachLetters(), newBreachMedia(), newBreachPacket())
	return cmd
}

func newBreachSheet() *cobra.Command {
	var c connection
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "sheet CASE", Short: "fill in what the breach portal of HHS asks",
		Long: `Fill in the fields of the breach portal, in its order and with its spelling. What the form needs and nobody has said is listed on stderr, and the exit code is 1. A person
still signs it there: the attestation is left empty. Records of substance use disorder treatment (42 CFR Part 2) need a report of their own.`,
		Example: "  hippad breach report sheet 41\n  hippad breach report sheet 41 --out sheet.pdf\n  hippad breach report sheet 41 --json", Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON && out != "" {
				return usagef("--json is for stdout: leave it out, and give --out a name that ends with .json")
			}
			if err := checkReport(out, slices.Concat(documentForms, []string{".csv", ".json"})...); err != nil {
				return err
			}
			s, err := breachStatus(cmd, &c, args[0])
			if err != nil {
				return err
			}
			warnDelayed(cmd, s, regulation.NoticeSecretary, "submit it")
			filled := portalSheet(s)
			if asJSON {
				err = printJSON(cmd, filled)
			} else {
				err = reportTo(cmd, out, func(w io.Writer, form string) error { return writeSheet(w, s, filled, form) })
			}
			if err != nil {
				return err
			}
			if missing := filled.Missing(); len(missing) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: the sheet is not complete:\nhippad:   %s\n", strings.Join(missing, "\nhippad:   "))
				return errNo
			}
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "`FILE`, ending with .pdf, .html, .txt, .csv or .json")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// portalSheet makes the sheet of a case.
func portalSheet(s breachStatusOut) regulation.PortalSheet {
	c := s.Case
	f := regulation.PortalFacts{Organisation: s.Organisation, Answers: c.Answers, Cause: c.Cause, Happened: c.Happened, Ended: c.Ended, Discovered: s.DayZero, Known: c.Discovered, CoveredEntities: c.CoveredEntities}
	if c.Scope != nil {
		f.Individuals = max(c.Scope.Individuals, c.Scope.Estimate)
		f.Media = regulation.MediaStates(c.Scope.Residents) // required, whether it was given or not, and whoever gives it
	}
	if c.Associate != "" {
		f.AtAssociate = &regulation.Associate{Name: c.Associate}
		for _, a := range s.Organisation.Partners {
			if strings.EqualFold(a.Name, c.Associate) {
				f.AtAssociate = &a
			}
		}
	}
	given := func(d regulation.Date) {
		if f.NoticeFrom.IsZero() || d.Before(f.NoticeFrom) {
			f.NoticeFrom = d
		}
		if d.After(f.NoticeUntil) {
			f.NoticeUntil = d
		}
	}
	var together []regulation.Substitute
	for _, p := range c.Persons {
		given(p.Date)
	}
	for _, n := range c.Notices {
		switch {
		case n.Substitute != nil:
			together = append(together, *n.Substitute)
			given(n.Date)
		case n.Kind == regulation.NoticeMedia && !slices.Contains(f.Media, n.State):
			f.Media = append(f.Media, n.State)
		case n.Kind == regulation.NoticeIndividual:
			given(n.Date)
		}
	}
	f.Substitutes = regulation.SubstituteFor(s.Substituted, together)
	return regulation.NewPortalSheet(f)
}

func writeSheet(w io.Writer, s breachStatusOut, filled regulation.PortalSheet, form string) error {
	switch form {
	case ".csv":
		t := csv.NewWriter(w)
		rows := [][]string{{"step", "field", "value", "needed"}}
		for _, f := range filled {
			rows = append(rows, []string{f.Step, f.Name, safeCell(strings.Join(f.Values, "; ")), map[bool]string{true: "yes", false: "no"}[f.Needed]})
		}
		return t.WriteAll(rows)
	case ".json":
		return writeJSON(w, filled)
	}
	d := &document.Document{
		Title: "Notice of a breach to the Secretary of HHS", Language: "en-US", Letterhead: letterhead(s.Organisation), Date: s.Today.String(),
		Reference: fmt.Sprintf("Case %d", s.Case.ID), Footer: "Filled in for the breach portal (45 CFR 164.408). Check it before it is submitted; the attestation is made there.",
	}
	step := ""
	var fields document.Fields
	flush := func() {
		if len(fields.Rows) > 0 {
			d.Blocks = append(d.Blocks, document.Heading{Level: 2, Text: step}, fields)
		}
		fields = document.Fields{}
	}
	for _, f := range filled {
		if f.Step != step {
			flush()
			step = f.Step
		}
		value := strings.Join(f.Values, "\n")
		if value == "" && f.Needed {
			value = "(missing)"
		}
		fields.Rows = append(fields.Rows, [2]string{f.Name, value})
	}
	flush()
	return writeDocument(w, d, form)
}

func letterhead(o *regulation.Organisation) []string {
	return append([]string{o.Name}, o.Address.Written()...)
}

// longDay writes a day as a letter in the United States does.
func longDay(d regulation.Date) string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s %d, %d", d.Month, d.Day, d.Year)
}

// noticeBlocks are the five elements of 164.404(c)(1), which letters and media notice have in common.
func noticeBlocks(c breach.Case) []document.Block {
	l := c.Letter
	when := "We discovered this on " + longDay(c.Discovered) + "."
	switch {
	case !c.Ended.IsZero() && c.Ended != c.Happened:
		when = fmt.Sprintf("This happened between %s and %s. %s", longDay(c.Happened), longDay(c.Ended), when)
	case !c.Happened.IsZero():
		when = fmt.Sprintf("This happened on %s. %s", longDay(c.Happened), when)
	}
	var ask []string
	for _, x := range []struct{ label, value string }{
		{"Toll-free: ", l.Contact.TollFree}, {"Telephone: ", l.Contact.Phone}, {"E-mail: ", l.Contact.Email}, {"Web: ", l.Contact.Web}, {"Post: ", l.Postal},
	} {
		if strings.TrimSpace(x.value) != "" {
			ask = append(ask, x.label+x.value)
		}
	}
	return []document.Block{
		document.Heading{Level: 2, Text: "What happened"}, document.Paragraph{Text: l.What}, document.Paragraph{Text: when},
		document.Heading{Level: 2, Text: "What information was involved"}, document.Paragraph{Text: l.Types},
		document.Heading{Level: 2, Text: "What you can do"}, document.Paragraph{Text: l.Steps},
		document.Heading{Level: 2, Text: "What we are doing"}, document.Paragraph{Text: l.Doing},
		document.Heading{Level: 2, Text: "For more information"}, document.List{Items: ask},
	}
}

// completeLetter tells what a letter lacks before one can be made.
func completeLetter(c breach.Case) error {
	if c.Letter == nil {
		return fmt.Errorf("the letter of case %d is not written: hippad breach notify letter", c.ID)
	}
	if missing := c.Letter.Missing(); len(missing) > 0 {
		return fmt.Errorf("the letter of case %d is not complete: %s is missing", c.ID, strings.Join(missing, ", "))
	}
	return nil
}

func newBreachMedia() *cobra.Command {
	var c connection
	var out, state string
	cmd := &cobra.Command{
		Use: "media CASE", Short: "make the notice to the media of a State", Example: "  hippad breach report media 41 --state IL --out media.pdf", Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			code, ok := regulation.ParseState(state)
			if !ok {
				return usagef("--state %q: want a State of the United States", state)
			}
			if err := checkReport(out, documentForms...); err != nil {
				return err
			}
			s, err := breachStatus(cmd, &c, args[0])
			if err != nil {
				return err
			}
			if err := completeLetter(s.Case); err != nil {
				return err
			}
			n := 0
			if s.Case.Scope != nil {
				n = s.Case.Scope.Residents[code]
			}
			if !slices.ContainsFunc(s.Clocks, func(k regulation.BreachStanding) bool { return k.Notice == regulation.NoticeMedia && k.State == code }) {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: with %d residents of %s no media notice is due (164.406: more than 500)\n", n, regulation.StateName(code))
			}
			warnDelayed(cmd, s, regulation.NoticeSecretary, "send it")
			d := &document.Document{
				Title: "Notice of a breach of health information", Language: firstOf(s.Case.Letter.Language, "en-US"), Letterhead: letterhead(s.Organisation), Date: longDay(s.Today),
				Recipient: []string{"To the media serving " + regulation.StateName(code)},
				Blocks:    append([]document.Block{document.Paragraph{Text: fmt.Sprintf("%s notifies %d residents of %s, and through you the public, of a breach of unsecured protected health information.", s.Organisation.Name, n, regulation.StateName(code))}}, noticeBlocks(s.Case)...),
				Footer:    "45 CFR 164.406",
			}
			return reportTo(cmd, out, func(w io.Writer, form string) error { return writeDocument(w, d, form) })
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&state, "state", "", "`STATE` whose media they are, in two letters")
	cmd.Flags().StringVar(&out, "out", "", "`FILE`, ending with .pdf, .html or .txt")
	return cmd
}

func newBreachPacket() *cobra.Command {
	var c connection
	var out string
	cmd := &cobra.Command{
		Use: "packet CASE", Short: "fetch the evidence of a case as one archive",
		Long: `Fetch the evidence that 164.414(b) puts the burden of on the organisation, as one tar archive: the entries of the case, those that prove whom it affects,
the receipt of each, the log's public key, the sums of all files, and the receipt of the entry that records them. hippad breach verify checks it
anywhere, with nothing but the program and the key. It holds patient data.`,
		Example: "  hippad breach report packet 41 --out case-41.tar", Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := breachID(args[0])
			if err != nil {
				return err
			}
			if out == "" {
				return usagef("--out is missing")
			}
			if err := mustBeNew(out); err != nil {
				return err
			}
			body, err := c.post(cmd.Context(), "/admin/breach/packet", idIn{ID: id})
			if err != nil {
				return err
			}
			defer body.Close()
			return writeNew(out, func(w io.Writer) error {
				_, err := io.Copy(w, body)
				return err
			})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "`FILE` for the archive; it must not exist")
	return cmd
}

func newBreachVerify() *cobra.Command {
	var key string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify PACKET", Short: "check an evidence packet offline",
		Long: `Check that an evidence packet is what the log with the public key KEY has given, with no network and no server: the receipt of every entry, the case as
its entries replayed, the list of whom it affects by its hash, every file by the sums, and the sums by the log. The first file that is wrong is named. The
exit code is 0 for yes and 1 for no.`,
		Example: "  hippad breach verify case-41.tar --key log.vkey", Args: exactArgs("PACKET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			verifier, err := readVerifier(key)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			v, err := breach.VerifyPacket(f, verifier, read)
			return printVerified(cmd, v, err, asJSON)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log's public `KEY`, or a file with it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, if it holds")
	return cmd
}
