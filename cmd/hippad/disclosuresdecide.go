package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/disclosure"
	"hippad/internal/regulation"
)

func newDisclosuresQueue() *cobra.Command {
	var c connection
	var in queueIn
	var asJSON bool
	cmd := &cobra.Command{
		Use: "queue [PATIENT]", Short: "what waits for a person's decision, and why",
		Long: `List the entries that may be disclosures and that a person has to decide on, with the reasons: a purpose that is missing or unknown, a recipient without
a name, a day that cannot be. Without PATIENT it goes through the whole log. The exit code is 0 if nothing waits, else 1.`,
		Example: `  hippad disclosures queue
  hippad disclosures queue 'urn:oid:1.2.3|4711' --from 2026-01-01 --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%q is one argument too many", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				in.Patient = args[0]
			}
			bar := newProgress(cmd.ErrOrStderr(), "looking")
			defer bar.end()
			rows := [][]string{{"ENTRY", "DAY", "PATIENT", "TO", "WHAT", "PURPOSE", "WHY IT WAITS"}}
			waiting := 0
			for size := int64(0); ; {
				page, err := call[disclosure.Queue](cmd.Context(), &c, "/admin/disclosures/queue", in)
				if err != nil {
					return err
				}
				if size == 0 {
					size = page.Size // what comes meanwhile waits for the next time
				}
				if page.Unknown {
					problem, hint := accountProblem(disclosure.Answer{Accounting: regulation.Accounting{Tried: page.Tried, Unknown: true}})
					return hippad.Errorf(hippad.NotFound, "%s", problem).WithHint("%s", hint)
				}
				waiting += len(page.Waiting)
				for _, d := range page.Waiting {
					if asJSON {
						if err := printJSON(cmd, d); err != nil {
							return err
						}
						continue
					}
					to, _ := recipients(d.Recipients)
					rows = append(rows, cellsOf(fmt.Sprint(d.Entry), d.Date.String(), strings.Join(d.Patients, ", "), to, d.What, d.Purpose, strings.Join(d.Reasons, "; ")))
				}
				bar.set(min(page.Next, size), size)
				if page.Next >= size || page.Next <= in.Begin {
					break
				}
				in.Begin = page.Next
			}
			bar.end()
			if waiting == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "hippad: nothing waits for a decision")
				return nil
			}
			if !asJSON {
				writeTable(cmd.OutOrStdout(), rows)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %d wait: hippad disclosures decide\n", waiting)
			return errNo
		},
	}
	c.flags(cmd)
	cmd.Flags().TextVar(&in.From, "from", regulation.Date{}, "those of this `DAY` and later, and those without a day")
	cmd.Flags().TextVar(&in.To, "to", regulation.Date{}, "those of this `DAY` and earlier, and those without a day")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, an object for each")
	return cmd
}

// cellsOf makes cells of a table of what strangers have sent.
func cellsOf(cells ...string) []string {
	for i := range cells {
		if cells[i] = printable(cells[i]); cells[i] == "" {
			cells[i] = "-"
		}
	}
	return cells
}

func newDisclosuresDecide() *cobra.Command {
	var c connection
	var x regulation.Decision
	var accountable, exempt string
	var none, asJSON bool
	cmd := &cobra.Command{
		Use: "decide ENTRY...", Short: "say what entries are in an accounting",
		Long: `Say of one or more entries what they are in an accounting, in place of what the table says: accountable or exempt, by which basis, or no disclosure at all;
and what the entry does not say itself. The newest decision counts; every one stays in the log, with whoever made it and why. An entry about several patients is decided for all of them. What is
accountable needs a day, a recipient's name and what it was: if the entry lacks one and it is not said here, it goes on waiting. See hippad disclosures bases.`,
		Example: `  hippad disclosures decide 41 --accountable public-health --why "reported to the county, form in file" --to "County Health Department"
  hippad disclosures decide 42 43 --exempt operations --why "the auditor works for us"
  hippad disclosures decide 44 --none --why "a test export, no patient's data"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("ENTRY is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen := 0
			for _, b := range []bool{accountable != "", exempt != "", none} {
				if b {
					chosen++
				}
			}
			if chosen != 1 {
				return usagef("want one of --accountable BASIS, --exempt BASIS and --none")
			}
			if x.Why == "" {
				return usagef("--why is missing")
			}
			switch x.Basis = accountable + exempt; {
			case none:
				x.Verdict = regulation.NotDisclosed
			case exempt != "":
				x.Verdict = regulation.Exempt
			default:
				x.Verdict = regulation.Accountable
			}
			var in decideIn
			for _, a := range args {
				index, err := parseIndex(a)
				if err != nil {
					return usageError{err}
				}
				x.Entry = index
				in.Decisions = append(in.Decisions, x)
			}
			out, err := call[decideOut](cmd.Context(), &c, "/admin/disclosures/decide", in)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "decided by entry %d: %d entries\n", out.Entry, len(args))
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&accountable, "accountable", "", "it is listed; `BASIS` is what permits or requires it")
	f.StringVar(&exempt, "exempt", "", "it is not listed; `BASIS` is what exempts it")
	f.BoolVar(&none, "none", false, "it is no disclosure")
	f.StringVar(&x.Why, "why", "", "the reason of the decision, in `WORDS`")
	f.StringVar(&x.To, "to", "", "the recipient's `NAME`, if the entry has none")
	f.StringVar(&x.Address, "address", "", "the recipient's `ADDRESS`")
	f.StringVar(&x.What, "what", "", "what was disclosed, in `WORDS`")
	f.StringVar(&x.Purpose, "purpose", "", "the purpose as the patient reads it, in `WORDS` (default: those of the basis)")
	f.TextVar(&x.Date, "date", regulation.Date{}, "the `DAY` it happened, if the entry has none that can be")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newDisclosuresBases() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "bases", Short: "the bases of disclosures, and what each purpose of use comes to",
		Long:    `List what permits or requires a disclosure, and what each code of v3-PurposeOfUse comes to in an accounting unless a person decides otherwise. It asks no server.`,
		Example: `  hippad disclosures bases`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return printJSON(cmd, struct {
					Bases    []regulation.Basis   `json:"bases"`
					Purposes []regulation.Purpose `json:"purposes"`
				}{regulation.Bases(), regulation.Purposes()})
			}
			rows := [][]string{{"BASIS", "SECTION", "IN AN ACCOUNTING", "PURPOSE AS A PATIENT READS IT"}}
			for _, b := range regulation.Bases() {
				in := "listed"
				if b.Exempt != "" {
					in = "exempt by " + b.Exempt
				}
				rows = append(rows, []string{b.Name, b.Section, in, b.Statement})
			}
			writeTable(cmd.OutOrStdout(), rows)
			rows = [][]string{{"PURPOSE", "IN AN ACCOUNTING", "BASES", "UNLESS"}}
			for _, p := range regulation.Purposes() {
				rows = append(rows, cellsOf(p.Code, string(p.Verdict), strings.Join(p.Bases, ", "), p.Unless))
			}
			fmt.Fprintln(cmd.OutOrStdout())
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
