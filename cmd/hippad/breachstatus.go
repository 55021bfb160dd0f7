package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"hippad/internal/breach"
	"hippad/internal/regulation"
)

func newBreachStatus() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status CASE", Short: "what is due when, and what was given",
		Long: `Show every notice that is due: by when, how many days are left, who has had it. After 30, 45 and 55 days it warns. What is overdue is said, and while the case is open the exit code is 1.
The log is asked again whom the case affects; if the answer is no longer the one that was written down, that is said.`,
		Example: "  hippad breach status 41\n  hippad breach status 41 --json", Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := breachStatus(cmd, &c, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd, out.Status)
			} else {
				writeBreachStatus(cmd.OutOrStdout(), out.Status)
			}
			for _, k := range out.Clocks {
				if k.Overdue && out.Case.Closed == nil {
					return errNo
				}
			}
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func breachStatus(cmd *cobra.Command, c *connection, text string) (breachStatusOut, error) {
	id, err := breachID(text)
	if err != nil {
		return breachStatusOut{}, err
	}
	return call[breachStatusOut](cmd.Context(), c, "/admin/breach/status", idIn{ID: id})
}

func writeBreachStatus(w io.Writer, s breach.Status) {
	c := s.Case
	fmt.Fprintf(w, "case %d, %s: %s\n", c.ID, c.StateName(), printable(c.What))
	fmt.Fprintf(w, "discovered %s, day %d on %s\n", s.DayZero, s.DayZero.DaysUntil(s.Today), s.Today)
	if c.Scope != nil {
		writeScope(w, *c.Scope)
	} else {
		fmt.Fprintln(w, "not scoped: whom it affects is not known")
	}
	if s.Drift != "" {
		fmt.Fprintln(w, s.Drift)
	}
	for _, d := range c.Delays {
		kind := "oral"
		if d.Written {
			kind = "written"
		}
		fmt.Fprintf(w, "law enforcement delay (%s) of %s until %s: %s\n", kind, d.Stated, d.End(), printable(d.Agency))
	}
	if c.Decision != nil && !c.Decision.Breach {
		fmt.Fprintf(w, "decided on %s to be no breach (%s): no notice is due\n", c.Decision.On, c.Decision.Basis)
	} else {
		writeTable(w, clockRows(s.Clocks))
	}
	for _, m := range s.Missing {
		fmt.Fprintf(w, "missing: %s\n", printable(m))
	}
	if c.Closed != nil {
		fmt.Fprintf(w, "closed on %s\n", day(c.Closed.At))
	}
}

func clockRows(clocks []regulation.BreachStanding) [][]string {
	rows := [][]string{{"NOTICE", "TO", "CITE", "MARK", "DUE", "LAST DAY", "STANDING", "WHY"}}
	for _, k := range clocks {
		name := k.Notice
		if k.Notice == regulation.NoticeMedia {
			name += " " + k.State
		}
		rows = append(rows, []string{name, k.To, k.Cite, k.Mark, firstOf(k.Due.String(), "-"), firstOf(k.Last.String(), "-"), standing(k), firstOf(k.Why, "-")})
	}
	return rows
}

// standing says in words how a clock stands.
func standing(k regulation.BreachStanding) string {
	var parts []string
	switch {
	case k.Begins.IsZero():
		parts = append(parts, "not begun")
	case k.Late:
		parts = append(parts, fmt.Sprintf("given %s, %d days late", k.Given, -k.DaysLeft))
	case !k.Given.IsZero():
		parts = append(parts, fmt.Sprintf("given %s", k.Given))
	case k.Overdue:
		parts = append(parts, fmt.Sprintf("OVERDUE by %d days", -k.DaysLeft))
	default:
		parts = append(parts, fmt.Sprintf("%d days left", k.DaysLeft))
	}
	if k.Warning > 0 && !k.Overdue {
		parts = append(parts, fmt.Sprintf("%d days have passed", k.Warning))
	}
	if k.Blocked {
		parts = append(parts, fmt.Sprintf("not before %s", k.NotBefore))
	}
	if k.Progress != "" {
		parts = append(parts, k.Progress)
	}
	return strings.Join(parts, ", ")
}

func newBreachList() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "list the cases, newest first", Example: "  hippad breach list --json", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call[[]breach.Overview](cmd.Context(), &c, "/admin/breach/list", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, list)
			}
			rows := [][]string{{"CASE", "NAME", "STATE", "DISCOVERED", "INDIVIDUALS", "NEXT", "BY", "STANDING"}}
			for _, v := range list {
				row := []string{fmt.Sprint(v.ID), printable(firstOf(v.Name, "-")), v.State, v.Discovered.String(), "-", "-", "-", "-"}
				if v.Individuals > 0 {
					row[4] = fmt.Sprint(v.Individuals)
				}
				if v.Next != nil {
					row[5], row[6], row[7] = v.Next.Notice, v.Next.Last.String(), standing(*v.Next)
				}
				rows = append(rows, row)
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newBreachShow() *cobra.Command {
	var c connection
	var asJSON, patients bool
	cmd := &cobra.Command{
		Use: "show CASE", Short: "show the life of a case, or whom it affects",
		Long:    `Show the steps of a case, each with its entry; with --patients whom it affects and by which entries. With --json everything that is known of it.`,
		Example: "  hippad breach show 41\n  hippad breach show 41 --patients", Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := breachID(args[0])
			if err != nil {
				return err
			}
			if patients {
				return showAffected(cmd, &c, id, asJSON)
			}
			out, err := breachStatus(cmd, &c, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, out.Case)
			}
			rows := [][]string{{"ENTRY", "WHEN", "BY", "WHAT"}}
			for _, s := range out.Case.Steps {
				rows = append(rows, []string{fmt.Sprint(s.Entry), s.At.Format("2006-01-02T15:04:05Z07:00"), printable(whoIs(s.By)), printable(s.What)})
			}
			writeTable(cmd.OutOrStdout(), rows)
			for _, a := range out.Case.Assessment {
				answer := ""
				if !a.Question.IsFactor() {
					answer = map[bool]string{true: " yes:", false: " no:"}[a.Yes]
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s%s %s (%s, entry %d)\n", a.Question, answer, printable(a.Text), printable(a.Author), a.Entry)
			}
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&patients, "patients", false, "whom it affects, and the entries that prove it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func showAffected(cmd *cobra.Command, c *connection, id int64, asJSON bool) error {
	out, err := call[breachAffectedOut](cmd.Context(), c, "/admin/breach/affected", breachAffectedIn{id, "show"})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd, out)
	}
	rows := [][]string{{"PATIENT", "ENTRIES", "WHICH"}}
	for _, p := range out.Persons {
		var which []string
		for _, e := range p.Entries {
			which = append(which, fmt.Sprint(e))
		}
		rows = append(rows, []string{printable(strings.Join(p.Identifiers, " ")), fmt.Sprint(len(p.Entries)), strings.Join(which, " ")})
	}
	writeTable(cmd.OutOrStdout(), rows)
	if out.Drift != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %s\n", out.Drift)
	}
	return nil
}

func newBreachClose() *cobra.Command {
	var c connection
	var in breach.Closing
	cmd := &cobra.Command{
		Use: "close CASE", Short: "end a case, when every notice that is due was given",
		Long: `End a case: one that was decided to be no breach, or one of which every notice that is due was given. What is missing is said, and the case stays
open, unless --override closes it with a reason. The holds on its entries stay: hippad hold release ends them.`,
		Example: "  hippad breach close 41\n  hippad breach close 41 --override --reason \"filed on paper before this log\"", Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Override && in.Reason == "" {
				return usagef("--reason is missing")
			}
			return stepOf(cmd, &c, args[0], breach.Step{Close: &in})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	cmd.Flags().BoolVar(&in.Override, "override", false, "although something is missing")
	return cmd
}

func newBreachReopen() *cobra.Command {
	var c connection
	var in breach.Closing
	cmd := &cobra.Command{
		Use: "reopen CASE", Short: "open a closed case again", Example: `  hippad breach reopen 41 --reason "letters came back"`, Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Reason == "" {
				return usagef("--reason is missing")
			}
			return stepOf(cmd, &c, args[0], breach.Step{Reopen: &in})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	return cmd
}
