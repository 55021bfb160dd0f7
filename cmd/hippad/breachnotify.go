package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"hippad/internal/breach"
	"hippad/internal/regulation"
	"hippad/internal/sheet"
)

func newBreachNotify() *cobra.Command {
	cmd := &cobra.Command{
		Use: "notify", Short: "write the letter, and record who was told when",
		Long: `Write the letter of a case, and record its notices after they were given: to individuals from a CSV, to the media, to the Secretary, to the covered
entity, to the authority of a State. A notice that law enforcement delays is refused, and so is one without a letter that is complete.`,
		Example: `  hippad breach notify letter 41 --file letter.json
  hippad breach notify individuals 41 notices.csv
  hippad breach notify secretary 41 --on 2026-11-25 --tracking TRK-1`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBreachLetter(), newBreachIndividuals(),
		newBreachNotice(regulation.NoticeMedia, "media CASE", "record a notice to the media of a State (164.406)", `  hippad breach notify media 41 --state IL --to "Chicago Tribune, WGN" --on 2026-11-25`, "state", "to"),
		newBreachNotice(regulation.NoticeSecretary, "secretary CASE", "record the report to the Secretary of HHS (164.408)", `  hippad breach notify secretary 41 --on 2026-11-25 --tracking TRK-1`, "tracking"),
		newBreachNotice(regulation.NoticeEntity, "entity CASE", "record the notice to the covered entity (164.410)", `  hippad breach notify entity 41 --to "Lakeside Hospital" --on 2026-11-25`, "to"),
		newBreachNotice(regulation.NoticeIndividual, "others CASE", "record notices to individuals whom no entry names", `  hippad breach notify others 41 --persons 12 --on 2026-11-25 --evidence "mailing house, job 7"`, "persons", "evidence"),
		newBreachNotice("", "authority CASE", "record a notice that an overlay of a State asks for", `  hippad breach notify authority 41 --rule tx-attorney-general --on 2026-11-25`, "rule"),
		newBreachSubstitute())
	return cmd
}

func newBreachLetter() *cobra.Command {
	var c connection
	var l regulation.BreachLetter
	var file string
	cmd := &cobra.Command{
		Use: "letter CASE", Short: "write the letter: the five elements of 164.404(c)",
		Long: `Write the letter of a case, from flags or from a JSON file {"what": "", "types": "", "steps": "", "doing": "", "contact": {"tollFree": "", "email":
"", "web": ""}, "postal": ""}. Without a contact it is that of the organisation (serve --organisation). What is missing of (A) to (E) is said, and the exit
code is 1: until it is there no notice is taken.`,
		Example: `  hippad breach notify letter 41 --file letter.json
  hippad breach notify letter 41 --what "A nurse opened your record without need." --types "Your name and diagnosis." --steps "Call us." --doing "She no longer works here."`,
		Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				text, err := os.ReadFile(file)
				if err != nil {
					return usageError{err}
				}
				flags := l
				if err := json.Unmarshal(text, &l, json.RejectUnknownMembers(true)); err != nil {
					return usagef("%s: %w", file, err)
				}
				l.What, l.Types, l.Steps, l.Doing = firstOf(flags.What, l.What), firstOf(flags.Types, l.Types), firstOf(flags.Steps, l.Steps), firstOf(flags.Doing, l.Doing)
			}
			id, err := breachID(args[0])
			if err != nil {
				return err
			}
			out, err := call[breach.Case](cmd.Context(), &c, "/admin/breach/step", breachStepIn{id, breach.Step{Letter: &l}})
			if err != nil {
				return err
			}
			if missing := out.Letter.Missing(); len(missing) > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "a draft: missing is %s\n", strings.Join(missing, ", "))
				return errNo
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the letter is complete: (A) to (E) of 164.404(c)(1) are there")
			return err
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&file, "file", "", "JSON `FILE` with the letter")
	f.StringVar(&l.What, "what", "", "(A) what happened, in plain `WORDS`")
	f.StringVar(&l.Types, "types", "", "(B) the types of PHI, in `WORDS`; never the PHI itself")
	f.StringVar(&l.Steps, "steps", "", "(C) what individuals should do, in `WORDS`")
	f.StringVar(&l.Doing, "doing", "", "(D) what is being done, in `WORDS`")
	return cmd
}

func noticeColumns() []sheet.Column {
	return []sheet.Column{
		{Name: "patient", Also: []string{"id", "mrn"}, Needed: true}, {Name: "method", Needed: true}, {Name: "date", Also: []string{"day", "sent"}, Needed: true},
		{Name: "basis", Also: []string{"address basis"}, Needed: true}, {Name: "agreed"}, {Name: "returned"},
	}
}

// readNotices reads a table of notices; a day that there is not makes a row bad.
func readNotices(in io.Reader) (rows []breach.NoticeRow, bad []breach.Refused, err error) {
	listed, err := sheet.Read(in, noticeColumns(), func(r sheet.Row) (err error) {
		x := breach.NoticeRow{Line: r.Line, PersonNotice: regulation.PersonNotice{Patient: r.Get("patient"), Method: strings.ToLower(r.Get("method")), Basis: r.Get("basis")}}
		for _, d := range []struct {
			column string
			day    *regulation.Date
		}{{"date", &x.Date}, {"agreed", &x.Agreed}, {"returned", &x.Returned}} {
			if text := r.Get(d.column); text != "" && err == nil {
				*d.day, err = regulation.ParseDate(text)
			}
		}
		if err == nil {
			rows = append(rows, x)
		}
		return err
	})
	for _, b := range listed {
		bad = append(bad, breach.Refused{Line: b.Line, Reason: b.Reason})
	}
	return rows, bad, err
}

func newBreachIndividuals() *cobra.Command {
	var c connection
	var trial, asJSON bool
	cmd := &cobra.Command{
		Use: "individuals CASE FILE.csv", Short: "record notices to individuals from a CSV",
		Long: `Record notices to individuals. The CSV ("-" is stdin) has the columns patient, method, date, basis, and if they apply agreed and returned, which are days:

  mail           first-class mail to the last known address
  email          if the individual agreed to it: the day is in the column agreed
  next-of-kin    mail to next of kin or personal representative of somebody deceased
  substitute     another way, because the contact data are insufficient
  urgent-phone   by telephone or otherwise, in addition: it does not count alone

basis is where the address is from. A row with the same patient, method and date as an earlier one replaces it: that is how mail that came back is
recorded. The good rows are taken together; the others are listed with their lines, and the exit code is 1.`,
		Example: "  hippad breach notify individuals 41 notices.csv --dry-run\n  hippad breach notify individuals 41 notices.csv", Args: exactArgs("CASE", "FILE.csv"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := breachID(args[0])
			if err != nil {
				return err
			}
			in := breachNotifyIn{ID: id, Trial: trial}
			var bad []breach.Refused
			if err := breachTable(cmd, args[1], func(r io.Reader) (err error) {
				in.Rows, bad, err = readNotices(r)
				return err
			}); err != nil {
				return err
			}
			out, err := call[breach.Notified](cmd.Context(), &c, "/admin/breach/notify", in)
			if err != nil {
				return err
			}
			if out.Refused = append(out.Refused, bad...); asJSON {
				if err := printJSON(cmd, out); err != nil {
					return err
				}
			} else {
				printRefused(cmd.OutOrStdout(), out.Refused)
				entered := "recorded"
				if trial {
					entered = "would be recorded"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%d notices %s, %d rows refused; %d of %d individuals reached\n", out.Entered, entered, len(out.Refused), out.Reached, out.Of)
			}
			if len(out.Refused) > 0 {
				return errNo
			}
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&trial, "dry-run", false, "say what would be recorded, and record nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// newBreachNotice is one of the commands that record a notice; needed are the flags that it must have.
func newBreachNotice(kind, use, short, example string, needed ...string) *cobra.Command {
	var c connection
	n := breach.Notice{Kind: kind}
	texts := map[string]*string{}
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := breachDays(map[string]*regulation.Date{"on": &n.Date}, texts); err != nil {
				return err
			}
			for _, flag := range append([]string{"on"}, needed...) {
				if !cmd.Flags().Changed(flag) {
					return usagef("--%s is missing", flag)
				}
			}
			return stepOf(cmd, &c, args[0], breach.Step{Notice: &n})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	dayFlag(cmd, texts, "on", "`DAY` on which it was given")
	f.StringVar(&n.Evidence, "evidence", "", "what shows it, in `WORDS`")
	for _, flag := range needed {
		switch flag {
		case "state":
			f.StringVar(&n.State, "state", "", "`STATE` whose media they are, in two letters")
		case "to":
			f.StringVar(&n.To, "to", "", "`WHO` was told")
		case "tracking":
			f.StringVar(&n.Tracking, "tracking", "", "`NUMBER` that the portal has given")
		case "persons":
			f.IntVar(&n.Persons, "persons", 0, "`NUMBER` of individuals")
		case "rule":
			f.StringVar(&n.Kind, "rule", "", "`NAME` of the rule, as hippad breach status shows it")
		}
	}
	return cmd
}

func newBreachSubstitute() *cobra.Command {
	var c connection
	var s regulation.Substitute
	texts := map[string]*string{}
	cmd := &cobra.Command{
		Use: "substitute CASE", Short: "record the substitute notice to those who cannot be reached",
		Long: `Record the notice to those whose contact data are insufficient or out of date (164.404(d)(2)). For fewer than 10: another written notice, telephone
or other means. For 10 or more: on the home page for at least 90 days, or in major media where they likely live, with a toll-free number for at
least 90 days.`,
		Example: `  hippad breach notify substitute 41 --form other --persons 2 --from 2026-11-25 --evidence "telephone, two calls"
  hippad breach notify substitute 41 --form web --persons 14 --from 2026-11-25 --until 2027-02-28 --toll-free 1-800-555-0100 --evidence "home page, screenshot 3"`,
		Args: exactArgs("CASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := breachDays(map[string]*regulation.Date{"from": &s.From, "until": &s.Until}, texts); err != nil {
				return err
			}
			return stepOf(cmd, &c, args[0], breach.Step{Notice: &breach.Notice{Kind: "substitute", Substitute: &s}})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.Form, "form", "", "`FORM`: web, media or other")
	f.IntVar(&s.Persons, "persons", 0, "`NUMBER` of individuals whom it is for")
	f.StringVar(&s.TollFree, "toll-free", "", "the toll-free `NUMBER`")
	f.StringVar(&s.Evidence, "evidence", "", "where and by whom, and what shows it, in `WORDS`")
	dayFlag(cmd, texts, "from", "first `DAY`")
	dayFlag(cmd, texts, "until", "last `DAY`")
	return cmd
}
