package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hippad/internal/breach"
	"hippad/internal/regulation"
)

func newBreachAssess() *cobra.Command {
	var c connection
	var author, unsecured, secured, permitted, notPermitted string
	var exclusions, noExclusions, factors []string
	cmd := &cobra.Command{
		Use: "assess CASE", Short: "write down what 164.402 asks, one answer or several",
		Long: `Write down answers to the questions of 164.402: whether the PHI was unsecured, whether the use was permitted after all, the three exclusions, the four
factors. Each has its text and author; a later answer to a question replaces the earlier one, which stays in the log.

  exclusion i     unintentional, by workforce, in good faith, within the scope of authority; never snooping
  exclusion ii    inadvertent, between two who are authorised
  exclusion iii   the recipient could not reasonably have retained it
  factor 1        nature and extent of the PHI, likelihood of re-identification
  factor 2        the unauthorised person
  factor 3        whether it was actually acquired or viewed
  factor 4        how far the risk has been mitigated`,
		Example: `  hippad breach assess 41 --author "O. Lind" --unsecured "read on screen, in plain text"
  hippad breach assess 41 --author "O. Lind" --factor 1="names and diagnoses" --factor 2="a neighbour" --factor 3="viewed" --factor 4="none"
  hippad breach assess 41 --author "O. Lind" --exclusion iii="the letter came back unopened"`,
		Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if author == "" {
				return usagef("--author is missing")
			}
			var answers []regulation.BreachAnswer
			add := func(q regulation.BreachQuestion, yes bool, text string) {
				answers = append(answers, regulation.BreachAnswer{Question: q, Yes: yes, Text: text, Author: author})
			}
			for _, x := range []struct {
				question regulation.BreachQuestion
				yes      bool
				text     string
			}{{regulation.Unsecured, true, unsecured}, {regulation.Unsecured, false, secured}, {regulation.Permitted, true, permitted}, {regulation.Permitted, false, notPermitted}} {
				if x.text != "" {
					add(x.question, x.yes, x.text)
				}
			}
			for _, x := range []struct {
				flag, prefix string
				values, keys []string
				yes          bool
			}{
				{"exclusion", "exclusion-", exclusions, []string{"i", "ii", "iii"}, true}, {"no-exclusion", "exclusion-", noExclusions, []string{"i", "ii", "iii"}, false},
				{"factor", "factor-", factors, []string{"1", "2", "3", "4"}, false},
			} {
				for _, v := range x.values {
					key, text, ok := strings.Cut(v, "=")
					if !ok || !slices.Contains(x.keys, key) {
						return usagef("--%s: want %s and a text, as %s=TEXT", x.flag, strings.Join(x.keys, ", "), x.keys[0])
					}
					add(regulation.BreachQuestion(x.prefix+key), x.yes, text)
				}
			}
			if len(answers) == 0 {
				return usagef("nothing is answered")
			}
			return stepOf(cmd, &c, args[0], breach.Step{Assess: answers})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&author, "author", "", "`WHO` says so")
	f.StringVar(&unsecured, "unsecured", "", "the PHI was unsecured: why, in `WORDS`")
	f.StringVar(&secured, "secured", "", "the PHI was rendered unusable to others by the guidance of HHS: how, in `WORDS`")
	f.StringVar(&permitted, "permitted", "", "the use was permitted after all: by what, in `WORDS`")
	f.StringVar(&notPermitted, "not-permitted", "", "the use was not permitted: why, in `WORDS`")
	f.StringArrayVar(&exclusions, "exclusion", nil, "an exclusion applies, as `i=WORDS`; may be repeated")
	f.StringArrayVar(&noExclusions, "no-exclusion", nil, "an exclusion does not apply, as `i=WORDS`; may be repeated")
	f.StringArrayVar(&factors, "factor", nil, "a factor, as `1=WORDS`; may be repeated")
	return cmd
}

func newBreachDecide() *cobra.Command {
	var c connection
	var d breach.Decision
	var basis string
	texts := map[string]*string{}
	cmd := &cobra.Command{
		Use: "decide CASE", Short: "decide whether it is a breach",
		Long: `Decide whether it is a breach. That it is can be decided at once: it is presumed, and notice may be given without an assessment. That it is
none needs a basis, and the basis needs what is written down by hippad breach assess:

  secured            the PHI was not unsecured
  permitted          the use was permitted
  exclusion-i, -ii, -iii    the exclusion applies; (i) never to snooping
  low-probability    all four factors`,
		Example: `  hippad breach decide 41 --breach --reason "viewed without need, no mitigation"
  hippad breach decide 41 --no-breach low-probability --reason "the recipient is bound to secrecy and has destroyed it"`,
		Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := breachDays(map[string]*regulation.Date{"on": &d.On}, texts); err != nil {
				return err
			}
			if d.Breach == (basis != "") {
				return usagef("want either --breach or --no-breach BASIS")
			}
			if d.Reason == "" {
				return usagef("--reason is missing")
			}
			d.Basis = regulation.BreachBasis(basis)
			return stepOf(cmd, &c, args[0], breach.Step{Decide: &d})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&d.Breach, "breach", false, "it is a breach")
	f.StringVar(&basis, "no-breach", "", "it is none, on this `BASIS`")
	f.StringVar(&d.Reason, "reason", "", "why, in `WORDS`")
	dayFlag(cmd, texts, "on", "`DAY` of the decision (default: today, or the day on which it was decided to be a breach already)")
	return cmd
}

func newBreachDelay() *cobra.Command {
	var c connection
	var d regulation.LawDelay
	var oral bool
	texts := map[string]*string{}
	cmd := &cobra.Command{
		Use: "delay CASE", Short: "record that law enforcement delays the notices",
		Long: `Record a statement of a law enforcement official that notice would impede a criminal investigation or damage national security (164.412). A written one
delays for the time that it says, an oral one for at most 30 days. Until then no notice is taken; the 60 days do not begin anew. hippad breach withdraw
ends one that was recorded wrongly, or that the official has taken back.`,
		Example: `  hippad breach delay 41 --oral --agency "FBI Chicago" --official "Special Agent Moss" --stated 2026-11-10
  hippad breach delay 41 --written --agency "FBI Chicago" --official "Special Agent Moss" --stated 2026-11-20 --until 2027-02-28`,
		Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := breachDays(map[string]*regulation.Date{"stated": &d.Stated, "until": &d.Until}, texts); err != nil {
				return err
			}
			if oral == d.Written {
				return usagef("want either --written or --oral")
			}
			return stepOf(cmd, &c, args[0], breach.Step{Delay: &d})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&d.Written, "written", false, "the statement is in writing and says how long")
	f.BoolVar(&oral, "oral", false, "the statement was oral")
	f.StringVar(&d.Agency, "agency", "", "`NAME` of the agency")
	f.StringVar(&d.Official, "official", "", "`NAME` and rank of the official")
	dayFlag(cmd, texts, "stated", "`DAY` of the statement")
	dayFlag(cmd, texts, "until", "`DAY` on which notice may be given again")
	return cmd
}

func newBreachWithdraw() *cobra.Command {
	var c connection
	var in breach.Withdrawal
	cmd := &cobra.Command{
		Use: "withdraw CASE ENTRY", Short: "take back a delay or a notice that was recorded wrongly",
		Long: `Take back what an entry records: a delay by law enforcement, a notice, or a list of notices to individuals, all of it. hippad breach show names the
entries. It stays in the log, and counts no more.`,
		Example: `  hippad breach withdraw 41 57 --reason "the year was mistyped"`, Args: exactArgs("CASE", "ENTRY"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Entry, err = parseIndex(args[1]); err != nil {
				return usagef("%q: want the entry that hippad breach show names", args[1])
			}
			if in.Reason == "" {
				return usagef("--reason is missing")
			}
			return stepOf(cmd, &c, args[0], breach.Step{Withdraw: &in})
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	return cmd
}

func newBreachDescribe() *cobra.Command {
	var c connection
	var a regulation.PortalAnswers
	cmd := &cobra.Command{
		Use: "describe CASE", Short: "answer what the portal of HHS asks besides",
		Long:    "Answer what the breach portal of HHS asks besides what the case knows. What is given replaces what was. Values are those of the portal, case and\npunctuation aside, or the beginning of one:\n\n" + portalLists(),
		Example: `  hippad breach describe 41 --location "Electronic Medical Record" --phi Name --phi "Diagnosis/Conditions" --safeguard "Privacy Rule" --action Sanctioned --description "A nurse read..."`,
		Args:    exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, x := range []struct{ given, offered []string }{
				{a.Types, regulation.PortalTypes[:]}, {a.Locations, regulation.PortalLocations[:]}, {a.PHI, regulation.PortalPHI[:]},
				{a.Safeguards, regulation.PortalSafeguards[:]}, {a.Actions, regulation.PortalActions[:]},
			} {
				for i, v := range x.given {
					x.given[i] = firstOf(regulation.Closest(v, x.offered), v)
				}
			}
			if wrong := a.Wrong(); len(wrong) > 0 {
				return usagef("the portal does not take this: %s", printable(strings.Join(wrong, "; ")))
			}
			return stepOf(cmd, &c, args[0], breach.Step{Describe: &a})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&a.Types, "type", nil, "`TYPE` of breach (default: by the cause); may be repeated")
	f.StringArrayVar(&a.Locations, "location", nil, "`LOCATION` of the PHI; may be repeated")
	f.StringArrayVar(&a.PHI, "phi", nil, "`TYPE` of PHI; may be repeated")
	f.StringArrayVar(&a.Safeguards, "safeguard", nil, "`SAFEGUARDS` in place before; may be repeated")
	f.StringArrayVar(&a.Actions, "action", nil, "`ACTION` taken; may be repeated")
	f.StringVar(&a.OtherActions, "other-actions", "", "other actions, in `WORDS`")
	f.StringVar(&a.Description, "description", "", "what happened, in `WORDS`, about 4000 letters")
	f.StringVar(&a.AddendumTo, "addendum-to", "", "tracking `NUMBER` of the report that this one corrects")
	return cmd
}

// portalLists are the enumerations of the portal, for the help.
func portalLists() string {
	var text strings.Builder
	for _, x := range []struct {
		flag   string
		values []string
	}{
		{"type", regulation.PortalTypes[:]}, {"location", regulation.PortalLocations[:]}, {"phi", regulation.PortalPHI[:]},
		{"safeguard", regulation.PortalSafeguards[:]}, {"action", regulation.PortalActions[:]},
	} {
		fmt.Fprintf(&text, "  --%s\n    %s\n", x.flag, strings.Join(x.values, "\n    "))
	}
	return strings.TrimRight(text.String(), "\n")
}
