package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/disclosure"
	"hippad/internal/regulation"
	"hippad/internal/sheet"
)

// manualColumns are those of a table of disclosures.
var manualColumns = []sheet.Column{
	{Name: "patient", Also: []string{"identifier of the patient", "mrn", "patient id"}, Needed: true},
	{Name: "date", Also: []string{"day", "disclosed"}, Needed: true},
	{Name: "to", Also: []string{"recipient", "recipient name"}, Needed: true},
	{Name: "what", Also: []string{"description", "information"}, Needed: true},
	{Name: "basis", Also: []string{"section"}}, {Name: "purpose", Also: []string{"purpose of use"}}, {Name: "why", Also: []string{"statement"}},
	{Name: "address", Also: []string{"recipient address"}}, {Name: "phone", Also: []string{"telephone"}}, {Name: "identifier", Also: []string{"recipient identifier"}},
	{Name: "by", Also: []string{"business associate"}}, {Name: "reference", Also: []string{"number"}},
}

func newDisclose() *cobra.Command {
	var c connection
	var m regulation.Manual
	var file string
	var trial, asJSON bool
	cmd := &cobra.Command{
		Use:   "disclose",
		Short: "enter a disclosure that no system has reported",
		Long: `Enter a disclosure by paper, telephone or fax, or the list of a business associate, so that accountings have it. Each is an entry like any other, in the name of
whoever enters it, and is found by searches. It needs the day, the recipient, what was disclosed, and why: a basis (hippad disclosures bases) or a code of
v3-PurposeOfUse.

With --csv the columns are patient, date, to, what, and basis or purpose; and, if known, why, address, phone, identifier, by, reference. Good rows are taken, bad ones are
listed with their lines, and the exit code is 1. What is in the log already is passed over, so a list can be read twice; two disclosures that are the same in
everything are told apart by reference.`,
		Example: `  hippad disclose --patient 'urn:oid:1.2.3|4711' --date 2026-11-20 --to "County Health Department" --what "measles case report" --basis public-health
  hippad disclose --patient Patient/7 --date 2026-11-20 --to "Circuit Court" --address "1 Court Square, Springfield, IL" --what "chart" --basis 164.512(e)
  hippad disclose --csv billing-associate.csv --by "Acme Billing" --dry-run`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				for _, name := range []string{"patient", "date", "to", "address", "phone", "identifier", "what", "basis", "purpose", "why", "reference"} {
					if cmd.Flags().Changed(name) {
						return usagef("--%s is a column of the table", name)
					}
				}
				return discloseTable(cmd, &c, file, m.By, trial, asJSON)
			}
			for _, x := range [][2]string{{"patient", m.Patient}, {"to", m.To}, {"what", m.What}, {"date", m.Date.String()}, {"basis", m.Basis + m.Purpose}} {
				if x[1] == "" {
					return usagef("--%s is missing", x[0])
				}
			}
			out, err := call[[]disclosure.Outcome](cmd.Context(), &c, "/admin/disclose", discloseIn{Rows: []regulation.Manual{m}, Trial: trial})
			if err == nil && len(out) != 1 {
				err = fmt.Errorf("the server answers %d disclosures of one", len(out))
			}
			if err != nil {
				return err
			}
			if out[0].Refused != "" {
				return hippad.Errorf(hippad.Invalid, "%s", out[0].Refused).WithHint("%s", out[0].Hint)
			}
			if asJSON {
				return printJSON(cmd, out[0])
			}
			switch {
			case out[0].Already:
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "entry %d says so already\n", out[0].Entry)
			case trial:
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "it would be entered")
			default:
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "entered as entry %d\n", out[0].Entry)
			}
			return err
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&m.Patient, "patient", "", "`ID` of the patient, as in searches")
	f.TextVar(&m.Date, "date", regulation.Date{}, "the `DAY` it happened, as 2026-11-23")
	f.StringVar(&m.To, "to", "", "`NAME` of the recipient")
	f.StringVar(&m.Address, "address", "", "`ADDRESS` of the recipient, if known")
	f.StringVar(&m.Phone, "phone", "", "`NUMBER` of the recipient's telephone")
	f.StringVar(&m.Identifier, "identifier", "", "`ID` of the recipient, as system|value")
	f.StringVar(&m.What, "what", "", "what was disclosed, in a few `WORDS`")
	f.StringVar(&m.Basis, "basis", "", "`BASIS`: a name or a section (hippad disclosures bases)")
	f.StringVar(&m.Purpose, "purpose", "", "or else a `CODE` of v3-PurposeOfUse")
	f.StringVar(&m.Why, "why", "", "the purpose as the patient reads it, in `WORDS` (default: those of the basis)")
	f.StringVar(&m.By, "by", "", "`NAME` of the business associate that made it")
	f.StringVar(&m.Reference, "reference", "", "a number of your own, in `WORDS`")
	f.StringVar(&file, "csv", "", "enter those of a table: `FILE`, - for stdin")
	f.BoolVar(&trial, "dry-run", false, "say what would be entered, and enter nothing")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// entered is what a table came to.
type entered struct {
	Trial   bool        `json:"dryRun,omitzero"`
	Entered int         `json:"entered"`
	Already int         `json:"already"`
	Refused []sheet.Bad `json:"refused"`
}

// discloseTable enters the rows of a table, some at a time, so that its length does not matter.
func discloseTable(cmd *cobra.Command, c *connection, name, by string, trial, asJSON bool) error {
	in, size := cmd.InOrStdin(), int64(0)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		in = f
	}
	bar := newProgress(cmd.ErrOrStderr(), "entering")
	defer bar.end()
	read := &counted{in: in}
	out := entered{Trial: trial, Refused: []sheet.Bad{}}
	var rows []regulation.Manual
	var lines []int
	var failed error // of the server: rows after it are not read
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		answer, err := call[[]disclosure.Outcome](cmd.Context(), c, "/admin/disclose", discloseIn{rows, trial})
		if err == nil && len(answer) != len(rows) {
			err = fmt.Errorf("the server answers %d rows of %d", len(answer), len(rows))
		}
		if err != nil {
			failed = err
			return err
		}
		for i, o := range answer {
			switch {
			case o.Refused != "":
				out.Refused = append(out.Refused, sheet.Bad{Line: lines[i], Reason: o.Refused})
			case o.Already:
				out.Already++
			default:
				out.Entered++
			}
		}
		rows, lines = rows[:0], lines[:0]
		bar.set(min(read.n, size), size)
		return nil
	}
	bad, err := sheet.Read(read, manualColumns, func(r sheet.Row) error {
		if failed != nil {
			return failed
		}
		date, err := regulation.ParseDate(r.Get("date"))
		if err != nil {
			return hippad.Errorf(hippad.Invalid, "the day is missing, or is not like 2026-11-23")
		}
		m := regulation.Manual{
			Patient: r.Get("patient"), Date: date, To: r.Get("to"), What: r.Get("what"), Basis: r.Get("basis"), Purpose: r.Get("purpose"), Why: r.Get("why"),
			Address: r.Get("address"), Phone: r.Get("phone"), Identifier: r.Get("identifier"), By: firstOf(r.Get("by"), by), Reference: r.Get("reference"),
		}
		// The server checks too, and knows what day it is. A cell that is too long must not make a call too long, and take other rows with it.
		if err := m.Check(date); err != nil {
			return err
		}
		rows = append(rows, m)
		if lines = append(lines, r.Line); len(rows) == disclosure.MaxManual {
			_ = flush()
		}
		return nil
	})
	if err == nil && failed == nil {
		err = flush()
	}
	if failed != nil {
		err = failed
	}
	if err != nil {
		bar.end()
		if out.Entered > 0 || failed != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: it ended early, with %d entered; it can be repeated\n", out.Entered)
		}
		return err
	}
	out.Refused = append(out.Refused, bad...)
	bar.end()
	return out.print(cmd, asJSON)
}

// print shows what a table came to; errNo if a row was refused.
func (x entered) print(cmd *cobra.Command, asJSON bool) error {
	slices.SortStableFunc(x.Refused, func(a, b sheet.Bad) int { return a.Line - b.Line })
	if asJSON {
		if err := printJSON(cmd, x); err != nil {
			return err
		}
	} else {
		for _, b := range x.Refused {
			fmt.Fprintf(cmd.OutOrStdout(), "line %d: %s\n", b.Line, printable(b.Reason))
		}
		word := "entered"
		if x.Trial {
			word = "would be entered"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d %s, %d there already, %d refused\n", x.Entered, word, x.Already, len(x.Refused))
	}
	if len(x.Refused) > 0 {
		return errNo
	}
	return nil
}

// counted counts what is read, for the bar.
type counted struct {
	in io.Reader
	n  int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += int64(n)
	return n, err
}
