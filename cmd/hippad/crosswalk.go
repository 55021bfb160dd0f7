package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/crosswalk"
)

// The calls of hippad crosswalk.
type (
	linkIn struct {
		Identifiers []string `json:"identifiers"`
		Reason      string   `json:"reason"`
	}
	unlinkIn struct {
		Identifier string `json:"identifier"`
		Reason     string `json:"reason"`
	}
	showIn struct {
		Identifier string `json:"identifier"`
	}
	listIn struct {
		After int64 `json:"after"`
	}
	importIn struct {
		Rows   [][]string `json:"rows"`
		Reason string     `json:"reason"`
		Trial  bool       `json:"trial,omitzero"`
	}
)

// crosswalkRoutes are the server's side.
func (s *server) crosswalkRoutes() []route {
	needs := hippad.ActRetain
	return []route{
		{pattern: "POST /admin/crosswalk/link", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in linkIn) (crosswalk.Change, error) {
			return s.crosswalk.Link(ctx, c, in.Identifiers, in.Reason)
		})},
		{pattern: "POST /admin/crosswalk/unlink", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in unlinkIn) (crosswalk.Change, error) {
			return s.crosswalk.Unlink(ctx, c, in.Identifier, in.Reason)
		})},
		{pattern: "POST /admin/crosswalk/show", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in showIn) (crosswalk.Person, error) {
			return s.crosswalk.Show(ctx, c, in.Identifier)
		})},
		{pattern: "POST /admin/crosswalk/list", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in listIn) (crosswalk.Page, error) {
			return s.crosswalk.List(ctx, c, in.After)
		})},
		{pattern: "POST /admin/crosswalk/import", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in importIn) ([]crosswalk.Outcome, error) {
			return s.crosswalk.Import(ctx, c, in.Rows, in.Reason, in.Trial)
		})},
	}
}

func newCrosswalk() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "crosswalk",
		Short: "which identifiers are one patient",
		Long: `A crosswalk says which identifiers are one person: afterwards a search for one of them finds what names any of them.

An identifier is written in any way that says who assigned it: 4711^^^&1.2.3&ISO, urn:oid:1.2.3|4711,
https://hospital.example/mrn|4711, Patient/7, https://hospital.example/fhir/Patient/7. These ways of writing the same assigner and id meet
without a link. A number alone is refused: two hospitals may have the same. Patient/7 is the patient 7 of whichever FHIR server says so.

Links and unlinks are entries of the log. They need the right to hold (the privacy officer, the operator); reporters cannot make them.`,
		Example: `  hippad crosswalk link '4711^^^&1.2.3&ISO' Patient/7 --reason "merged in the EMPI on 20 November"
  hippad crosswalk show Patient/7
  hippad crosswalk unlink Patient/7 --reason "it was her sister"
  hippad crosswalk import empi.csv --reason "EMPI of November" --dry-run
  hippad crosswalk list --json`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCrosswalkLink(), newCrosswalkUnlink(), newCrosswalkShow(), newCrosswalkList(), newCrosswalkImport())
	return cmd
}

func newCrosswalkLink() *cobra.Command {
	var c connection
	var in linkIn
	var asJSON bool
	cmd := &cobra.Command{
		Use: "link ID ID...", Short: "say that identifiers are one person",
		Long: `Say that two or more identifiers are one person, who then has all those that any of them had.`,
		Example: `  hippad crosswalk link '4711^^^&1.2.3&ISO' Patient/7 --reason "merged in the EMPI on 20 November"
  hippad crosswalk link 'urn:oid:1.2.3|4711' 'https://east.example/mrn|99' https://east.example/fhir/Patient/12 --reason "same insurance number"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("want two or more identifiers")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Reason == "" {
				return usagef("--reason is missing")
			}
			in.Identifiers = args
			out, err := call[crosswalk.Change](cmd.Context(), &c, "/admin/crosswalk/link", in)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			if out.Changed {
				fmt.Fprintf(cmd.OutOrStdout(), "linked by entry %d: the person has %d identifiers\n", out.Entry, out.Identifiers)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "linked already: the person has %d identifiers\n", out.Identifiers)
			}
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newCrosswalkUnlink() *cobra.Command {
	var c connection
	var in unlinkIn
	var asJSON bool
	cmd := &cobra.Command{
		Use: "unlink ID", Short: "take an identifier away from its person",
		Long:    `Take an identifier away from its person again, because a merge was wrong. The others stay together.`,
		Example: `  hippad crosswalk unlink Patient/7 --reason "it was her sister"`, Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Reason == "" {
				return usagef("--reason is missing")
			}
			in.Identifier = args[0]
			out, err := call[crosswalk.Change](cmd.Context(), &c, "/admin/crosswalk/unlink", in)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "unlinked by entry %d: %d identifiers are left together\n", out.Entry, out.Identifiers)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newCrosswalkShow() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "show the person who has an identifier", Example: "  hippad crosswalk show '4711^^^&1.2.3&ISO' --json", Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := call[crosswalk.Person](cmd.Context(), &c, "/admin/crosswalk/show", showIn{args[0]})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, p)
			}
			writeTable(cmd.OutOrStdout(), personRows([]crosswalk.Person{p}))
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// personRows are persons as a table, a line for each identifier.
func personRows(persons []crosswalk.Person) [][]string {
	rows := [][]string{{"PERSON", "IDENTIFIER", "SINCE", "ENTRY", "BY", "REASON"}}
	for _, p := range persons {
		for _, id := range p.Identifiers {
			rows = append(rows, []string{fmt.Sprint(p.Number), printable(id.ID), day(id.At), fmt.Sprint(id.Entry), printable(whoIs(id.By)), printable(id.Reason)})
		}
	}
	return rows
}

func newCrosswalkList() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "list everybody who has more than one identifier", Example: "  hippad crosswalk list --json", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for in := (listIn{}); ; {
				page, err := call[crosswalk.Page](cmd.Context(), &c, "/admin/crosswalk/list", in)
				if err != nil {
					return err
				}
				if !asJSON {
					writeTable(cmd.OutOrStdout(), personRows(page.Persons))
				}
				for _, p := range page.Persons {
					if !asJSON {
						break
					}
					if err := printJSON(cmd, p); err != nil {
						return err
					}
				}
				if in.After = page.Next; in.After == 0 {
					return nil
				}
			}
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object for each person, a line each")
	return cmd
}

// An imported is what an import came to.
type imported struct {
	Trial   bool         `json:"dryRun,omitzero"`
	Linked  int          `json:"linked"`
	Already int          `json:"already"`
	Refused []refusedRow `json:"refused"`
}

type refusedRow struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

func newCrosswalkImport() *cobra.Command {
	var c connection
	var in importIn
	var asJSON bool
	cmd := &cobra.Command{
		Use: "import FILE.csv", Short: "link what a CSV says",
		Long: `Link what a CSV says ("-" is stdin). Either each row is the identifiers of one person, or the first row names the columns person
and identifier, and the rows with the same person belong together. What is in the column person stays here.

Rows that are good are linked; those that are not are listed with their lines, and the exit code is 1. A row is linked as a whole or not
at all. An import that was interrupted can be repeated: what is linked already is passed over.`,
		Example: `  hippad crosswalk import empi.csv --reason "EMPI of November" --dry-run
  hippad crosswalk import empi.csv --reason "EMPI of November"`,
		Args: exactArgs("FILE.csv"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Reason == "" {
				return usagef("--reason is missing")
			}
			rows, err := readCSV(cmd, args[0])
			if err != nil {
				return err
			}
			out, err := importRows(cmd, &c, rows, in)
			if err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: the import ended early, with %d rows linked; it can be repeated\n", out.Linked)
				return err
			}
			return out.print(cmd, asJSON)
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	f.BoolVar(&in.Trial, "dry-run", false, "say what would be linked, and link nothing")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func readCSV(cmd *cobra.Command, name string) ([]crosswalk.Row, error) {
	if name == "-" {
		return crosswalk.ReadCSV(cmd.InOrStdin())
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	return crosswalk.ReadCSV(f)
}

// importRows sends the rows that nothing is known against, some at a time.
func importRows(cmd *cobra.Command, c *connection, rows []crosswalk.Row, in importIn) (imported, error) {
	out := imported{Trial: in.Trial, Refused: []refusedRow{}}
	later := map[int]string{} // what the server refuses, by line
	bar := newProgress(cmd.ErrOrStderr(), "importing")
	defer bar.end()
	done, total := int64(0), int64(0)
	batches := crosswalk.Batches(rows)
	for _, b := range batches {
		total += int64(len(b))
	}
	for _, b := range batches {
		in.Rows = in.Rows[:0]
		for _, r := range b {
			in.Rows = append(in.Rows, r.IDs)
		}
		answer, err := call[[]crosswalk.Outcome](cmd.Context(), c, "/admin/crosswalk/import", in)
		if err == nil && len(answer) != len(b) {
			err = fmt.Errorf("the server answers %d rows of %d", len(answer), len(b))
		}
		if err != nil {
			return out, err
		}
		for i, o := range answer {
			switch {
			case o.Refused != "":
				later[b[i].Line] = o.Refused
			case o.Linked:
				out.Linked++
			default:
				out.Already++
			}
		}
		done += int64(len(b))
		bar.set(done, total)
	}
	for _, r := range rows {
		if reason := firstOf(r.Wrong, later[r.Line]); reason != "" {
			out.Refused = append(out.Refused, refusedRow{r.Line, reason})
		}
	}
	return out, nil
}

// print shows what an import came to; errNo if a row was refused.
func (x imported) print(cmd *cobra.Command, asJSON bool) error {
	if asJSON {
		if err := printJSON(cmd, x); err != nil {
			return err
		}
	} else if err := x.text(cmd.OutOrStdout()); err != nil {
		return err
	}
	if len(x.Refused) > 0 {
		return errNo
	}
	return nil
}

func (x imported) text(w io.Writer) error {
	var text strings.Builder
	for _, r := range x.Refused {
		fmt.Fprintf(&text, "line %d: %s\n", r.Line, printable(r.Reason))
	}
	linked := "linked"
	if x.Trial {
		linked = "would be linked"
	}
	fmt.Fprintf(&text, "%d %s, %d linked already, %d refused\n", x.Linked, linked, x.Already, len(x.Refused))
	_, err := io.WriteString(w, text.String())
	return err
}
