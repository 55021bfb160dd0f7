package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/custody"
)

type (
	idIn struct {
		ID     int64  `json:"id"`
		Reason string `json:"reason,omitzero"`
	}
)

// holdRoutes are the server's side of hippad hold.
func (s *server) holdRoutes() []route {
	needs := hippad.ActRetain
	return []route{
		{pattern: "POST /admin/hold/list", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, _ nothing) ([]custody.Hold, error) {
			return s.custody.HoldsFor(ctx, c)
		})},
		{pattern: "POST /admin/hold/add", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in custody.Hold) (custody.Hold, error) {
			return s.custody.Hold(ctx, c, in)
		})},
		{pattern: "POST /admin/hold/release", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in idIn) (nothing, error) {
			return nothing{}, s.custody.Release(ctx, c, in.ID, in.Reason)
		})},
	}
}

func newHold() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "what must be kept although its time is over",
		Long: `A hold keeps every entry that it matches, whatever retention says, until it is released: for a lawsuit, an
investigation, an audit. All that is given must match. Holds are entries of the log.`,
		Example: `  hippad hold add --reason "Lind v. Hospital" --patient 'urn:oid:1.2.3|4711'
  hippad hold add --reason "incident of 20 November" --case 2026-17 --entries 1200-1340
  hippad hold list
  hippad hold release 1204 --reason "settled"`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newHoldAdd(), newHoldList(), newHoldRelease())
	return cmd
}

func newHoldAdd() *cobra.Command {
	var c connection
	var h custody.Hold
	var from, to string
	var entries []string
	cmd := &cobra.Command{
		Use: "add", Short: "hold what matches",
		Example: `  hippad hold add --reason "Lind v. Hospital" --patient 4711 --from 2020-01-01`, Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if h.From, err = parseDay(from); err != nil {
				return usagef("--from: %w", err)
			}
			if h.To, err = parseDay(to); err != nil {
				return usagef("--to: %w", err)
			}
			for _, text := range entries {
				r, err := parseRange(text)
				if err != nil {
					return usagef("--entries: %w", err)
				}
				h.Entries = append(h.Entries, r)
			}
			if h.Reason == "" {
				return usagef("--reason is missing")
			}
			out, err := call[custody.Hold](cmd.Context(), &c, "/admin/hold/add", h)
			if err != nil {
				return err
			}
			if len(out.Late) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: a purge ended while the hold waited: see entries %v for what it came too late for\n", out.Late)
			}
			fmt.Fprintln(cmd.OutOrStdout(), out.ID)
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&h.Reason, "reason", "", "why, in `WORDS`")
	f.StringVar(&h.Patient, "patient", "", "everything about the patient with this `ID`, in any form")
	f.StringVar(&h.Case, "case", "", "`NAME` of the case that it is for")
	f.StringVar(&h.Reporter, "reporter", "", "everything from the reporter `KIND:ID`")
	f.StringVar(&h.Organisation, "organisation", "", "everything from the systems of the organisation `NAME`")
	f.StringArrayVar(&entries, "entries", nil, "the entries of a case, as `FIRST-LAST` or one index; may be repeated")
	f.StringVar(&from, "from", "", "only what was received on or after this `DAY` (2026-11-23, UTC)")
	f.StringVar(&to, "to", "", "only what was received before this `DAY`")
	return cmd
}

// parseRange reads 12 or 12-40.
func parseRange(text string) (hippad.Range, error) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		last = first
	}
	a, err := parseIndex(first)
	b, err2 := parseIndex(last)
	if err != nil || err2 != nil || b < a || b-a >= math.MaxInt32 {
		return hippad.Range{}, fmt.Errorf("%q: want entries like 12 or 12-40", text)
	}
	return hippad.Range{First: a, Count: int(b - a + 1)}, nil
}

// parseDay reads a day; empty is the zero time.
func parseDay(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, fmt.Errorf("%q: want a day like 2026-11-23", text)
	}
	return t, nil
}

func newHoldList() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "list the holds in force", Example: "  hippad hold list --json", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call[[]custody.Hold](cmd.Context(), &c, "/admin/hold/list", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, list)
			}
			rows := [][]string{{"ID", "SINCE", "BY", "CASE", "WHAT", "REASON"}}
			for _, h := range list {
				rows = append(rows, []string{fmt.Sprint(h.ID), day(h.At), printable(whoIs(h.By)), printable(firstOf(h.Case, "-")), printable(describeHold(h)), printable(h.Reason)})
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// whoIs is a principal for a table.
func whoIs(p hippad.Principal) string {
	if p.Kind == hippad.KindPerson {
		return firstOf(p.Name, p.ID)
	}
	return firstOf(p.Name, string(p.Kind))
}

func describeHold(h custody.Hold) string {
	var parts []string
	for _, r := range h.Entries {
		parts = append(parts, fmt.Sprintf("entries %d to %d", r.First, r.First+int64(r.Count)-1))
	}
	for _, x := range []struct{ name, value string }{
		{"patient", h.Patient}, {"reporter", h.Reporter}, {"organisation", h.Organisation}, {"from", day(h.From)}, {"to", day(h.To)},
	} {
		if x.value != "" && x.value != "-" {
			parts = append(parts, x.name+" "+x.value)
		}
	}
	return strings.Join(parts, ", ")
}

func newHoldRelease() *cobra.Command {
	var c connection
	var in idIn
	cmd := &cobra.Command{
		Use: "release ID", Short: "end a hold", Example: `  hippad hold release 1204 --reason "settled"`, Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.ID, err = parseIndex(args[0]); err != nil {
				return usageError{err}
			}
			if in.Reason == "" {
				return usagef("--reason is missing")
			}
			_, err = call[nothing](cmd.Context(), &c, "/admin/hold/release", in)
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	return cmd
}
