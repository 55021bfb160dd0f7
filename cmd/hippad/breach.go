package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/breach"
	"hippad/internal/custody"
	"hippad/internal/regulation"
)

// The calls of hippad breach, besides the types of the room.
type (
	breachStepIn struct {
		ID   int64       `json:"id"`
		Step breach.Step `json:"step"`
	}
	breachNotifyIn struct {
		ID    int64              `json:"id"`
		Rows  []breach.NoticeRow `json:"rows"`
		Trial bool               `json:"trial,omitzero"`
	}
	breachAffectedIn struct {
		ID   int64  `json:"id"`
		What string `json:"what,omitzero"`
	}
	breachAffectedOut struct {
		breach.Affected
		Drift string `json:"drift,omitzero"`
	}
	// breachStatusOut is a case with who answers for it: what every report is made from.
	breachStatusOut struct {
		breach.Status
		Organisation *regulation.Organisation `json:"organisation"`
	}
)

// openBreaches replays the cases. What proves one is held by custody, which the room does not know.
func (s *server) openBreaches(ctx context.Context) (*breach.Breaches, error) {
	return breach.Open(ctx, breach.Config{
		Ledger: s.ledger, Repository: s.repo, Organisation: s.entity, VerifierKey: s.keys.VerifierKey, Now: s.config.now,
		Hold: func(ctx context.Context, who hippad.Caller, name, reason string, entries []hippad.Range) (int64, error) {
			h, err := s.custody.Hold(ctx, who, custody.Hold{Case: name, Reason: reason, Entries: entries})
			return h.ID, err
		},
	})
}

// breachRoutes are the server's side.
func (s *server) breachRoutes() []route {
	needs := hippad.ActAnswer
	return []route{
		{pattern: "POST /admin/breach/open", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in breach.Opening) (breach.Case, error) {
			return s.breaches.OpenCase(ctx, c, in)
		})},
		{pattern: "POST /admin/breach/scope", needs: needs, handler: answersUpTo(s, maxTable, func(ctx context.Context, c hippad.Caller, in breach.Order) (breach.Scoped, error) {
			return s.breaches.Scope(ctx, c, in)
		})},
		{pattern: "POST /admin/breach/step", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in breachStepIn) (breach.Case, error) {
			return s.breaches.Do(ctx, c, in.ID, in.Step)
		})},
		{pattern: "POST /admin/breach/notify", needs: needs, handler: answersUpTo(s, maxTable, func(ctx context.Context, c hippad.Caller, in breachNotifyIn) (breach.Notified, error) {
			return s.breaches.Notify(ctx, c, in.ID, in.Rows, in.Trial)
		})},
		{pattern: "POST /admin/breach/list", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, _ nothing) ([]breach.Overview, error) {
			return s.breaches.List(ctx, c)
		})},
		{pattern: "POST /admin/breach/status", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in idIn) (breachStatusOut, error) {
			status, err := s.breaches.Status(ctx, c, in.ID)
			return breachStatusOut{status, s.entity}, err
		})},
		{pattern: "POST /admin/breach/affected", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in breachAffectedIn) (breachAffectedOut, error) {
			a, drift, err := s.breaches.Affected(ctx, c, in.ID, in.What)
			if err != nil {
				return breachAffectedOut{}, err
			}
			return breachAffectedOut{*a, drift}, nil
		})},
		{pattern: "POST /admin/breach/packet", needs: needs, handler: s.archive("evidence packet", s.breaches.Packet)},
	}
}

func newBreach() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breach",
		Short: "breaches as cases: whom, when due, who was told, and the proof of it",
		Long: `A breach (45 CFR 164.400 to 164.414) is a case: it is opened, scoped, assessed, decided, noticed and closed, and every step is an entry of the log.
The clocks, thresholds and forms are those of the rule; docs/regulation.md says which function and test holds each, and how well it is
verified. It is no legal advice: people decide.

The steps, in their usual order: open, scope, assess, decide, describe, notify letter, report letters, notify individuals, report sheet, notify
secretary, close. At any time: status, delay, amend, withdraw, show, report packet.`,
		Example: `  hippad breach open --cause snooping --what "A nurse read records without need." --discovered 2026-11-02 --by "privacy office"
  hippad breach scope 41 --user nurse17 --addresses patients.csv
  hippad breach status 41`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBreachOpen(), newBreachAmend(), newBreachScope(), newBreachAssess(), newBreachDecide(), newBreachDelay(), newBreachDescribe(), newBreachNotify(), newBreachWithdraw(),
		newBreachStatus(), newBreachReport(), newBreachClose(), newBreachReopen(), newBreachList(), newBreachShow(), newBreachVerify(), newBreachPublished())
	return cmd
}

// breachDay reads a day of a flag.
func breachDay(flag, text string) (regulation.Date, error) {
	if text == "" {
		return regulation.Date{}, nil
	}
	d, err := regulation.ParseDate(text)
	if err != nil {
		return d, usagef("--%s %q: want a day that there is, like 2026-11-23", flag, text)
	}
	return d, nil
}

// breachDays reads the flags that are days, in place.
func breachDays(days map[string]*regulation.Date, texts map[string]*string) error {
	for flag, text := range texts {
		d, err := breachDay(flag, *text)
		if err != nil {
			return err
		}
		*days[flag] = d
	}
	return nil
}

// dayFlag adds a flag that is a day, to be read by breachDays.
func dayFlag(cmd *cobra.Command, texts map[string]*string, flag, help string) {
	text := new(string)
	texts[flag] = text
	cmd.Flags().StringVar(text, flag, "", help)
}

func breachID(text string) (int64, error) {
	id, err := parseIndex(text)
	if err != nil {
		return 0, usagef("CASE %q: want the number that hippad breach open has printed", text)
	}
	return id, nil
}

// stepOf runs a command that adds a step to a case, and says what the case is now.
func stepOf(cmd *cobra.Command, c *connection, text string, s breach.Step) error {
	id, err := breachID(text)
	if err != nil {
		return err
	}
	out, err := call[breach.Case](cmd.Context(), c, "/admin/breach/step", breachStepIn{id, s})
	if err != nil {
		return err
	}
	last := out.Steps[len(out.Steps)-1]
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "case %d, entry %d: %s\n", out.ID, last.Entry, printable(last.What))
	return err
}

func causes() string {
	var all []string
	for _, c := range regulation.Causes {
		all = append(all, string(c))
	}
	return strings.Join(all, ", ")
}

func newBreachOpen() *cobra.Command {
	var c connection
	var in breach.Opening
	var entries []string
	var asJSON bool
	texts := map[string]*string{}
	cmd := &cobra.Command{
		Use: "open", Short: "open a case, and start its clock",
		Long: `Open a case. The clock begins on the earliest day on which anybody of the workforce but the perpetrator knew of it, or would have by reasonable
diligence (164.404(a)(2)). The entries where it was noticed are held. The number of the case is printed.`,
		Example: `  hippad breach open --cause snooping --what "A nurse read records without need." --discovered 2026-11-02 --by "privacy office" --entries 12
  hippad breach open --cause theft --what "A laptop was stolen." --happened 2026-10-30 --discovered 2026-11-02 --by ward --associate "Billing Inc." --agent --associate-discovered 2026-10-31`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := breachDays(map[string]*regulation.Date{"happened": &in.Happened, "ended": &in.Ended, "discovered": &in.Discovered,
				"should-have-known": &in.ShouldHaveKnown, "associate-discovered": &in.AssociateDiscovered}, texts); err != nil {
				return err
			}
			for _, text := range entries {
				r, err := parseRange(text)
				if err != nil {
					return usagef("--entries: %w", err)
				}
				in.Entries = append(in.Entries, r)
			}
			switch {
			case in.What == "":
				return usagef("--what is missing")
			case in.Discovered.IsZero():
				return usagef("--discovered is missing: without the day of discovery there is no clock")
			case in.DiscoveredBy == "":
				return usagef("--by is missing")
			case !slices.Contains(regulation.Causes[:], in.Cause):
				return usagef("--cause %q: want one of %s", in.Cause, causes())
			}
			out, err := call[breach.Case](cmd.Context(), &c, "/admin/breach/open", in)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), out.ID)
			return err
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&in.Name, "name", "", "`NAME` of the case for people, as 2026-17; no patient's")
	f.StringVar(&in.What, "what", "", "what happened, in `WORDS`")
	f.StringVar((*string)(&in.Cause), "cause", "", "`KIND` of event: "+causes())
	f.StringVar(&in.DiscoveredBy, "by", "", "`WHO` discovered it")
	f.StringVar(&in.Associate, "associate", "", "`NAME` of the business associate at which it occurred")
	f.BoolVar(&in.AssociateIsAgent, "agent", false, "the business associate is an agent: what it knew, the organisation knew")
	f.StringArrayVar(&in.CoveredEntities, "covered-entity", nil, "`NAME` of a covered entity whose data it was, if the organisation is the business associate; may be repeated")
	f.StringArrayVar(&entries, "entries", nil, "the entries where it was noticed, as `FIRST-LAST` or one index; may be repeated")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	dayFlag(cmd, texts, "discovered", "`DAY` on which it was first known (2026-11-23)")
	dayFlag(cmd, texts, "should-have-known", "`DAY` on which reasonable diligence would have found it, if earlier")
	dayFlag(cmd, texts, "happened", "first `DAY` on which it happened, if known")
	dayFlag(cmd, texts, "ended", "last `DAY` on which it happened, if known")
	dayFlag(cmd, texts, "associate-discovered", "`DAY` on which the business associate discovered it")
	return cmd
}

func newBreachAmend() *cobra.Command {
	var c connection
	var a breach.Amendment
	texts := map[string]*string{}
	cmd := &cobra.Command{
		Use: "amend CASE", Short: "correct the days of a case, when more is known",
		Long: `Correct the days that a case was opened with, with a reason. What is not given stays as it is; what was said before stays in the log. The clocks follow.`,
		Example: `  hippad breach amend 41 --happened 2026-10-12 --ended 2026-10-21 --reason "by the log of the ward"
  hippad breach amend 41 --should-have-known 2026-10-30 --reason "a colleague knew"`,
		Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := breachDays(map[string]*regulation.Date{"happened": &a.Happened, "ended": &a.Ended, "discovered": &a.Discovered,
				"should-have-known": &a.ShouldHaveKnown, "associate-discovered": &a.AssociateDiscovered}, texts); err != nil {
				return err
			}
			if a.Reason == "" {
				return usagef("--reason is missing")
			}
			return stepOf(cmd, &c, args[0], breach.Step{Amend: &a})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&a.Reason, "reason", "", "why, in `WORDS`")
	dayFlag(cmd, texts, "discovered", "`DAY` on which it was first known")
	dayFlag(cmd, texts, "should-have-known", "`DAY` on which reasonable diligence would have found it")
	dayFlag(cmd, texts, "happened", "first `DAY` on which it happened")
	dayFlag(cmd, texts, "ended", "last `DAY` on which it happened")
	dayFlag(cmd, texts, "associate-discovered", "`DAY` on which the business associate discovered it")
	return cmd
}
