package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/disclosure"
	"hippad/internal/regulation"
)

// printStanding shows where a request stands.
func printStanding(cmd *cobra.Command, s disclosure.Standing, asJSON bool) error {
	if asJSON {
		return printJSON(cmd, s)
	}
	fee := "free of charge"
	if !s.Free {
		fee = "a fee may be charged, if the patient is told before (164.528(c)(2))"
	}
	state := fmt.Sprintf("answer by %s, %d days from now", s.Due, s.Left)
	switch {
	case !s.Answered.IsZero():
		state = fmt.Sprintf("answered on %s", s.Answered)
	case !s.Withdrawn.IsZero():
		state = fmt.Sprintf("withdrawn on %s", s.Withdrawn)
	case s.Overdue:
		state = fmt.Sprintf("overdue since %s", s.Due)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "request %d: %s; %s\n", s.Number, state, fee)
	return err
}

func newDisclosuresRequest() *cobra.Command {
	var c connection
	var r regulation.Request
	var asJSON bool
	cmd := &cobra.Command{
		Use: "request PATIENT", Short: "a patient has asked for an accounting",
		Long: `Say that a patient has asked for an accounting, which starts the clock: 60 days from the day it was received, once 30 more (164.528(c)(1)). The number that
is printed is for hippad disclosures --request.`,
		Example: `  hippad disclosures request 'urn:oid:1.2.3|4711' --received 2026-11-20
  hippad disclosures request Patient/7 --from 2026-01-01 --note "by letter, in file 12"`,
		Args: exactArgs("PATIENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Patient = args[0]
			out, err := call[disclosure.Standing](cmd.Context(), &c, "/admin/disclosures/request", r)
			if err != nil {
				return err
			}
			return printStanding(cmd, out, asJSON)
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.TextVar(&r.Received, "received", regulation.Date{}, "the `DAY` it was received (default: today)")
	f.TextVar(&r.From, "from", regulation.Date{}, "the first `DAY` of a shorter period that was asked for")
	f.TextVar(&r.To, "to", regulation.Date{}, "the last `DAY` of it")
	f.StringVar(&r.Note, "note", "", "in `WORDS`")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newDisclosuresRequests() *cobra.Command {
	var c connection
	var in requestsIn
	var asJSON bool
	cmd := &cobra.Command{
		Use: "requests", Short: "which requests are open, and until when",
		Long:    `List the open requests, the one that is due first at the top. The exit code is 1 if one is overdue.`,
		Example: "  hippad disclosures requests\n  hippad disclosures requests --all --json",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := call[[]disclosure.Standing](cmd.Context(), &c, "/admin/disclosures/requests", in)
			if err != nil {
				return err
			}
			late := 0
			rows := [][]string{{"REQUEST", "PATIENT", "RECEIVED", "DUE", "LEFT", "STATE", "FREE"}}
			for _, s := range all {
				state, left := "open", fmt.Sprint(s.Left)
				switch {
				case !s.Answered.IsZero():
					state, left = fmt.Sprintf("answered %s by accounting %d", s.Answered, s.Issued), ""
				case !s.Withdrawn.IsZero():
					state, left = "withdrawn "+s.Withdrawn.String(), ""
				case s.Overdue:
					state = "OVERDUE"
					late++
				case s.Extension != nil:
					state = "extended"
				}
				rows = append(rows, cellsOf(fmt.Sprint(s.Number), s.Patient, s.Received.String(), s.Due.String(), left, state, map[bool]string{true: "yes", false: "no"}[s.Free]))
			}
			switch {
			case asJSON:
				err = printJSON(cmd, all)
			case len(all) == 0:
				fmt.Fprintln(cmd.ErrOrStderr(), "hippad: there are no requests")
			default:
				writeTable(cmd.OutOrStdout(), rows)
			}
			if err == nil && late > 0 {
				err = errNo
			}
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&in.All, "all", false, "closed ones too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// numbered takes the number of a request, a suspension or an accounting.
func numbered(args []string) (int64, error) {
	n, err := parseIndex(args[0])
	if err != nil {
		return 0, usagef("%q is no number", args[0])
	}
	return n, nil
}

func newDisclosuresExtend() *cobra.Command {
	var c connection
	var in extendIn
	var asJSON bool
	cmd := &cobra.Command{
		Use: "extend NUMBER", Short: "the patient was told that the answer takes longer",
		Long: `Say that the patient was told in writing, within the 60 days, why the answer takes longer and by when it comes: once, and at most 30 days more
(164.528(c)(1)(ii)).`,
		Example: `  hippad disclosures extend 81 --reasons "the archive of the old clinic has to be searched" --until 2027-02-10`,
		Args:    exactArgs("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Request, err = numbered(args); err != nil {
				return err
			}
			if in.Reasons == "" {
				return usagef("--reasons is missing")
			}
			out, err := call[disclosure.Standing](cmd.Context(), &c, "/admin/disclosures/extend", in)
			if err != nil {
				return err
			}
			return printStanding(cmd, out, asJSON)
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&in.Reasons, "reasons", "", "of the delay, as the patient was told, in `WORDS`")
	f.TextVar(&in.Told, "told", regulation.Date{}, "the `DAY` on which the patient was told (default: today)")
	f.TextVar(&in.Until, "until", regulation.Date{}, "the `DAY` by which the answer comes (default: as late as may be)")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newDisclosuresWithdraw() *cobra.Command {
	var c connection
	var in closeIn
	var asJSON bool
	cmd := &cobra.Command{
		Use: "withdraw NUMBER", Short: "the patient has taken the request back",
		Long:    `Say that a patient has taken a request back, which closes it: one may who is told of a fee (164.528(c)(2)).`,
		Example: `  hippad disclosures withdraw 81 --reason "after the fee was named"`,
		Args:    exactArgs("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Number, err = numbered(args); err != nil {
				return err
			}
			if in.Reason == "" {
				return usagef("--reason is missing")
			}
			out, err := call[disclosure.Standing](cmd.Context(), &c, "/admin/disclosures/withdraw", in)
			if err != nil {
				return err
			}
			return printStanding(cmd, out, asJSON)
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newDisclosuresSuspend() *cobra.Command {
	var c connection
	var s regulation.Suspension
	var asJSON bool
	cmd := &cobra.Command{
		Use: "suspend AGENCY", Short: "an agency wants its disclosures kept from patients for a time",
		Long: `Keep disclosures to a health oversight agency or a law enforcement official out of patients' copies, because it has stated that they would be reasonably
likely to impede its activities (164.528(a)(2)): for the time of a written statement, or for at most 30 days after an oral one, which is documented with the
official. AGENCY is its name or identifier as it is as a recipient. --patient says whose right is suspended, if it is not everybody's. The patient's access report leaves
out what the agency did, too. Afterwards they are listed again.`,
		Example: `  hippad disclosures suspend "State Police" --basis law-enforcement --stated 2026-11-20 --until 2027-05-20 --patient 'urn:oid:1.2.3|4711'
  hippad disclosures suspend "State Police" --basis law-enforcement --oral --official "Det. A. Moss"`,
		Args: exactArgs("AGENCY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.Agency = args[0]
			out, err := call[regulation.Suspension](cmd.Context(), &c, "/admin/disclosures/suspend", s)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "suspension %d: until %s\n", out.Entry, out.Until)
			return err
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.Basis, "basis", "", "`BASIS`: oversight (164.512(d)) or law-enforcement (164.512(f))")
	f.BoolVar(&s.Oral, "oral", false, "the statement was oral")
	f.StringVar(&s.Official, "official", "", "`NAME` of who made the statement")
	f.TextVar(&s.Stated, "stated", regulation.Date{}, "the `DAY` of the statement (default: today)")
	f.TextVar(&s.Until, "until", regulation.Date{}, "the last `DAY` (default, if it was oral: 30 days after)")
	f.StringArrayVar(&s.Patients, "patient", nil, "`ID` of a patient whose right it is, as in searches; may be repeated (default: everybody's)")
	f.StringVar(&s.Reason, "reason", "", "a note, in `WORDS`")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newDisclosuresSuspensions() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "suspensions", Short: "what is kept from patients, and until when", Long: `List every suspension, past ones too.`,
		Example: "  hippad disclosures suspensions", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := call[[]regulation.Suspension](cmd.Context(), &c, "/admin/disclosures/suspensions", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, all)
			}
			rows := [][]string{{"SUSPENSION", "AGENCY", "BASIS", "STATEMENT", "STATED", "UNTIL", "LIFTED", "PATIENTS"}}
			for _, s := range all {
				how := "written"
				if s.Oral {
					how = "oral, " + s.Official
				}
				whose := firstOf(strings.Join(s.Patients, ", "), "all")
				rows = append(rows, cellsOf(fmt.Sprint(s.Entry), s.Agency, s.Basis, how, s.Stated.String(), s.Until.String(), s.Lifted.String(), whose))
			}
			if len(all) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "hippad: there are no suspensions")
				return nil
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newDisclosuresLift() *cobra.Command {
	var c connection
	var in closeIn
	cmd := &cobra.Command{
		Use: "lift NUMBER", Short: "end a suspension before its time", Long: `End a suspension today.`,
		Example: `  hippad disclosures lift 90 --reason "the agency has told us"`, Args: exactArgs("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Number, err = numbered(args); err != nil {
				return err
			}
			if in.Reason == "" {
				return usagef("--reason is missing")
			}
			out, err := call[regulation.Suspension](cmd.Context(), &c, "/admin/disclosures/lift", in)
			if err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "suspension %d: lifted on %s\n", out.Entry, out.Lifted)
			}
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	return cmd
}

const protocolForm = `{
  "name": "Registry of heart valves",
  "description": "To learn how long valves last. Records of everybody with a valve replacement since 2015 were selected.",
  "records": "operation reports, echocardiograms",
  "from": "2024-01-01", "to": "2025-12-31",
  "sponsor":    {"name": "Heart Foundation", "address": "1 Main Street, Springfield, IL 62701", "phone": "+1 217 555 0100"},
  "researcher": {"name": "Dr. A. Ames, State University", "address": "2 College Road, Urbana, IL 61801", "phone": "+1 217 555 0101"},
  "individuals": 1200,
  "recipients": ["State University"]
}`

func newDisclosuresProtocol() *cobra.Command {
	var c connection
	var in protocolIn
	var asJSON bool
	cmd := &cobra.Command{
		Use: "protocol FILE.json", Short: "register research that is accounted for by its protocol",
		Long: `Register research under 164.512(i). If it is of 50 or more individuals, every accounting of its period names it (164.528(b)(4)), and disclosures to its researcher
or the other recipients are not listed one by one; if it is of fewer they are. The last day of disclosure can be left out while it goes on. The file:

` + protocolForm,
		Example: "  hippad disclosures protocol valves.json\n  hippad disclosures protocol valves.json --replaces 95",
		Args:    exactArgs("FILE.json"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readSmall(cmd, args[0])
			if err != nil {
				return err
			}
			if err := json.Unmarshal(text, &in.Protocol, json.RejectUnknownMembers(true)); err != nil {
				return hippad.Errorf(hippad.Invalid, "the protocol cannot be read: %w", err).WithHint("hippad disclosures protocol --help shows one")
			}
			out, err := call[regulation.Protocol](cmd.Context(), &c, "/admin/disclosures/protocol", in)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "protocol %d: of %d individuals\n", out.Entry, out.Individuals)
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().Int64Var(&in.Replaces, "replaces", 0, "`NUMBER` of the one that it takes the place of")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// readSmall reads a file that somebody wrote by hand.
func readSmall(cmd *cobra.Command, name string) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxCall+1))
	if err == nil && len(text) > maxCall {
		err = hippad.Errorf(hippad.TooLarge, "the file has more than %d bytes", maxCall)
	}
	return text, err
}

func newDisclosuresProtocols() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "protocols", Short: "the register of research", Long: `List the research that is registered.`, Example: "  hippad disclosures protocols", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := call[[]regulation.Protocol](cmd.Context(), &c, "/admin/disclosures/protocols", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, all)
			}
			if len(all) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "hippad: no research is registered")
				return nil
			}
			rows := [][]string{{"PROTOCOL", "NAME", "INDIVIDUALS", "FROM", "TO", "RESEARCHER"}}
			for _, p := range all {
				rows = append(rows, cellsOf(fmt.Sprint(p.Entry), p.Name, fmt.Sprint(p.Individuals), p.From.String(), p.To.String(), p.Researcher.Name))
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newDisclosuresIssued() *cobra.Command {
	var x accountFlags
	var number int64
	cmd := &cobra.Command{
		Use: "issued [PATIENT]", Short: "accountings as they were given",
		Long:    `List the accountings that were issued, the newest first, or show one of them as it was given (164.528(d)(2)).`,
		Example: "  hippad disclosures issued 'urn:oid:1.2.3|4711'\n  hippad disclosures issued --number 120 --format pdf --out copy.pdf",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && number != 0 {
				return usagef("want one PATIENT, or --number")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if number != 0 {
				return x.show(cmd, number)
			}
			form, err := outputForm(cmd, x.format, x.out)
			if err != nil {
				return err
			}
			if form != "text" && form != "json" || x.out != "" {
				return usagef("--format and --out are for one accounting: give its --number")
			}
			all, err := call[[]regulation.Issued](cmd.Context(), &x.connection, "/admin/disclosures/issued", issuedIn{Patient: strings.Join(args, "")})
			if err != nil {
				return err
			}
			if form == "json" {
				return printJSON(cmd, all)
			}
			if len(all) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "hippad: none was issued")
				return nil
			}
			rows := [][]string{{"ACCOUNTING", "PATIENT", "ISSUED", "BY", "FROM", "TO", "ROWS", "REQUEST", "FREE"}}
			for _, i := range all {
				request := ""
				if i.Request != 0 {
					request = fmt.Sprint(i.Request)
				}
				rows = append(rows, cellsOf(fmt.Sprint(i.Number), i.Patient, i.On.String(), i.By, i.From.String(), i.To.String(), fmt.Sprint(i.Rows), request,
					map[bool]string{true: "yes", false: "no"}[i.Free]))
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	x.connection.flags(cmd)
	cmd.Flags().Int64Var(&number, "number", 0, "show the one with this `NUMBER`")
	outputFlags(cmd, &x.format, &x.out)
	return cmd
}

// show writes an issued accounting.
func (x *accountFlags) show(cmd *cobra.Command, number int64) error {
	out, err := newAccountWriter(cmd, x, 1)
	if err != nil {
		return err
	}
	answer, err := call[accountOut](cmd.Context(), &x.connection, "/admin/disclosures/issued/show", issuedIn{Number: number})
	if err != nil {
		return out.abandon(err)
	}
	for _, a := range answer.Answers {
		if err := out.write(answer.Organisation, a); err != nil {
			return out.abandon(err)
		}
	}
	return out.finish()
}
