package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/disclosure"
	"hippad/internal/regulation"
	"hippad/internal/sheet"
)

// The calls of hippad disclosures, hippad disclose and hippad access.
type (
	accountOut struct {
		Organisation regulation.Organisation `json:"organisation"` // for the letterhead
		Answers      []disclosure.Answer     `json:"answers"`
	}
	extendIn struct {
		Request int64 `json:"request"`
		regulation.Extension
	}
	closeIn struct { // what has a number is ended, with the reason
		Number int64  `json:"number"`
		Reason string `json:"reason"`
	}
	requestsIn struct {
		All bool `json:"all"`
	}
	queueIn struct {
		Patient string          `json:"patient,omitzero"`
		Begin   int64           `json:"begin,omitzero"`
		From    regulation.Date `json:"from,omitzero"`
		To      regulation.Date `json:"to,omitzero"`
	}
	decideIn struct {
		Decisions []regulation.Decision `json:"decisions"`
	}
	decideOut struct {
		Entry int64 `json:"entry"` // that says so
	}
	protocolIn struct {
		Protocol regulation.Protocol `json:"protocol"`
		Replaces int64               `json:"replaces,omitzero"`
	}
	issuedIn struct {
		Patient string `json:"patient,omitzero"`
		Number  int64  `json:"number,omitzero"`
	}
	discloseIn struct {
		Rows  []regulation.Manual `json:"rows"`
		Trial bool                `json:"trial,omitzero"`
	}
	accessIn struct {
		Patient string          `json:"patient"`
		From    regulation.Date `json:"from,omitzero"`
		To      regulation.Date `json:"to,omitzero"`
		Officer bool            `json:"officer,omitzero"`
	}
	accessOut struct {
		Organisation regulation.Organisation `json:"organisation"`
		Report       regulation.AccessReport `json:"report"`
	}
)

// disclosureRoutes are the server's side: for those who answer for the organisation.
func (s *server) disclosureRoutes() (all []route) {
	d := s.disclosures
	add := func(path string, limit int64, h func(int64) route) {
		rt := h(limit)
		rt.pattern, rt.needs = "POST /admin/"+path, hippad.ActAnswer
		all = append(all, rt)
	}
	add("disclosures/account", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in disclosure.Ask) (accountOut, error) {
		answers, err := d.Account(ctx, c, in)
		return accountOut{s.letterhead(), answers}, err
	}))
	add("disclosures/request", maxCall, called(s, d.Receive))
	add("disclosures/requests", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in requestsIn) ([]disclosure.Standing, error) {
		return d.Requests(ctx, c, in.All)
	}))
	add("disclosures/extend", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in extendIn) (disclosure.Standing, error) {
		return d.Extend(ctx, c, in.Request, in.Extension)
	}))
	add("disclosures/withdraw", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in closeIn) (disclosure.Standing, error) {
		return d.Withdraw(ctx, c, in.Number, in.Reason)
	}))
	add("disclosures/queue", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in queueIn) (disclosure.Queue, error) {
		return d.Queue(ctx, c, in.Patient, in.Begin, in.From, in.To)
	}))
	add("disclosures/decide", 8<<20, called(s, func(ctx context.Context, c hippad.Caller, in decideIn) (decideOut, error) {
		index, err := d.Decide(ctx, c, in.Decisions)
		return decideOut{index}, err
	}))
	add("disclosures/suspend", maxCall, called(s, d.Suspend))
	add("disclosures/lift", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in closeIn) (regulation.Suspension, error) {
		return d.Lift(ctx, c, in.Number, in.Reason)
	}))
	add("disclosures/suspensions", maxCall, called(s, func(ctx context.Context, c hippad.Caller, _ nothing) ([]regulation.Suspension, error) {
		return d.Suspensions(ctx, c)
	}))
	add("disclosures/protocol", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in protocolIn) (regulation.Protocol, error) {
		return d.Register(ctx, c, in.Protocol, in.Replaces)
	}))
	add("disclosures/protocols", maxCall, called(s, func(ctx context.Context, c hippad.Caller, _ nothing) ([]regulation.Protocol, error) {
		return d.Protocols(ctx, c)
	}))
	add("disclosures/issued", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in issuedIn) ([]regulation.Issued, error) {
		return d.IssuedList(ctx, c, in.Patient)
	}))
	add("disclosures/issued/show", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in issuedIn) (accountOut, error) {
		answer, err := d.Issued(ctx, c, in.Number)
		return accountOut{s.letterhead(), []disclosure.Answer{answer}}, err
	}))
	add("disclose", 16<<20, called(s, func(ctx context.Context, c hippad.Caller, in discloseIn) ([]disclosure.Outcome, error) {
		return d.Disclose(ctx, c, in.Rows, in.Trial)
	}))
	add("access", maxCall, called(s, func(ctx context.Context, c hippad.Caller, in accessIn) (accessOut, error) {
		report, err := d.Access(ctx, c, in.Patient, in.From, in.To, in.Officer)
		return accessOut{s.letterhead(), report}, err
	}))
	return all
}

// called makes a route of a function, up to a limit of what it is sent.
func called[In, Out any](s *server, f func(context.Context, hippad.Caller, In) (Out, error)) func(limit int64) route {
	return func(limit int64) route { return route{handler: answersUpTo(s, limit, f)} }
}

// letterhead is the organisation as letters show it: its own identifiers stay here.
func (s *server) letterhead() regulation.Organisation {
	o := *s.entity
	o.Own, o.Partners = nil, nil
	return o
}

// accountFlags are those of hippad disclosures.
type accountFlags struct {
	connection
	ask                    disclosure.Ask
	csv, format, out, keep string
}

func newDisclosures() *cobra.Command {
	var x accountFlags
	cmd := &cobra.Command{
		Use:   "disclosures PATIENT...",
		Short: "answer what was disclosed of a patient: 45 CFR 164.528",
		Long: `Make the accounting of disclosures of one patient or of many: what went outside in the six years before the request, but for what
45 CFR 164.528(a)(1) exempts. Repeats to one recipient for one purpose are one line; research of fifty or more is listed by its protocol; what an agency has
had suspended is left out of the patient's copy. An identifier is written as in searches (hippad search), and all that the crosswalk has of the patient are
looked for.

What a person has to decide (hippad disclosures queue) is counted and not guessed: an accounting is complete, and can be issued, when nothing is open. --issue keeps
it as it is given, closes the request and stops its clock; with --empty it does when the log has nothing of the patient, too: that is an answer as well. --officer
shows what the patient's copy leaves out: exempt, withheld, open.

The exit code is 1 if a patient is not known, an identifier names several patients, or something could not be issued.`,
		Example: `  hippad disclosures 'urn:oid:1.2.3|4711'
  hippad disclosures 4711^^^\&1.2.3\&ISO --officer --json
  hippad disclosures --request 81 --issue --format pdf --out letter.pdf --receipts proofs
  hippad disclosures --csv patients.csv --requested 2026-11-20 --format pdf --out letters/`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && x.csv == "" && x.ask.Request == 0 {
				return usagef("want a patient, --csv FILE or --request NUMBER")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return x.run(cmd, args) },
	}
	x.connection.flags(cmd)
	f := cmd.Flags()
	f.TextVar(&x.ask.Requested, "requested", regulation.Date{}, "the `DAY` of the request, as 2026-11-23 (default: today)")
	f.TextVar(&x.ask.From, "from", regulation.Date{}, "a shorter period that the patient asked for: its first `DAY`")
	f.TextVar(&x.ask.To, "to", regulation.Date{}, "and its last `DAY`")
	f.Int64Var(&x.ask.Request, "request", 0, "answer the request with this `NUMBER`, which says patient, day and period")
	f.BoolVar(&x.ask.Every, "every", false, "list every disclosure: no summaries of repeats")
	f.BoolVar(&x.ask.Officer, "officer", false, "the officer's copy: with what is exempt, withheld and open, and the clauses")
	f.BoolVar(&x.ask.Issue, "issue", false, "keep it as given to the patient, and close the request")
	f.BoolVar(&x.ask.Empty, "empty", false, "with --issue: also of a patient of whom the log has nothing, to say that there is none")
	f.StringVar(&x.csv, "csv", "", "more patients from a table: `FILE` with a column patient")
	f.StringVar(&x.keep, "receipts", "", "also fetch receipt and report of every entry into `DIRECTORY` (hippad verify)")
	outputFlags(cmd, &x.format, &x.out)
	cmd.AddCommand(newDisclosuresRequest(), newDisclosuresRequests(), newDisclosuresExtend(), newDisclosuresWithdraw(), newDisclosuresQueue(), newDisclosuresDecide(),
		newDisclosuresSuspend(), newDisclosuresSuspensions(), newDisclosuresLift(), newDisclosuresProtocol(), newDisclosuresProtocols(), newDisclosuresIssued(),
		newDisclosuresBases())
	return cmd
}

// run asks for all patients, some at a time, and writes what comes.
func (x *accountFlags) run(cmd *cobra.Command, patients []string) error {
	bad := 0
	if x.csv != "" {
		more, wrong, err := patientsOf(cmd, x.csv)
		if err != nil {
			return err
		}
		for _, b := range wrong {
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: line %d: %s\n", b.Line, printable(b.Reason))
		}
		patients, bad = append(patients, more...), len(wrong)
	}
	if all := len(patients); all > 0 {
		seen := map[string]bool{} // twice in a list would be two accountings given, and the second not free of charge
		patients = slices.DeleteFunc(slices.Clone(patients), func(p string) bool {
			one := hippad.NewTerm(hippad.FieldPatient, p).Value
			again := seen[one]
			seen[one] = true
			return again
		})
		if n := all - len(patients); n > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %d patients more than once: each is answered once\n", n)
		}
	}
	if len(patients) == 0 && x.ask.Request == 0 {
		return hippad.Errorf(hippad.Invalid, "there is no patient to answer for")
	}
	out, err := newAccountWriter(cmd, x, max(len(patients), 1))
	if err != nil {
		return err
	}
	const batch = 50 // patients of one call: their answers are in memory together
	bar := newProgress(cmd.ErrOrStderr(), "accounting")
	defer bar.end()
	for first := 0; first < max(len(patients), 1); first += batch {
		ask := x.ask
		ask.Patients = patients[first:min(first+batch, len(patients))]
		answer, err := call[accountOut](cmd.Context(), &x.connection, "/admin/disclosures/account", ask)
		if err == nil && len(answer.Answers) != max(len(ask.Patients), 1) {
			err = fmt.Errorf("the server answers for %d patients of %d", len(answer.Answers), len(ask.Patients))
		}
		if err != nil {
			return out.abandon(err)
		}
		for _, a := range answer.Answers {
			if err := out.write(answer.Organisation, a); err != nil {
				return out.abandon(err)
			}
		}
		bar.set(int64(first+len(ask.Patients)), int64(len(patients)))
	}
	if err := out.finish(); err != nil {
		out.tellIssued(err)
		return err
	}
	if out.wrong > 0 || bad > 0 {
		return errNo
	}
	return nil
}

// patientsOf reads identifiers from a table.
func patientsOf(cmd *cobra.Command, name string) (patients []string, bad []sheet.Bad, err error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	// The others are named so that a table without names, however many columns it has, is refused: its first row is a patient.
	columns := []sheet.Column{{Name: "patient", Also: []string{"patient id", "mrn", "identifier", "id"}, Needed: true},
		{Name: "name"}, {Name: "date of birth"}, {Name: "remark"}, {Name: "reference"}, {Name: "file"}, {Name: "request"}, {Name: "ward"}, {Name: "office"}}
	bad, err = sheet.Read(in, columns, func(r sheet.Row) error {
		p := r.Get("patient")
		if p == "" {
			return hippad.Errorf(hippad.Invalid, "the patient is missing")
		}
		if len(p) > 2000 || printable(p) != p {
			return hippad.Errorf(hippad.Invalid, "the patient is no identifier")
		}
		patients = append(patients, p)
		return nil
	})
	return patients, bad, err
}

// outputFlags say what a document looks like, and where it goes.
func outputFlags(cmd *cobra.Command, format, out *string) {
	f := cmd.Flags()
	f.StringVar(format, "format", "", "`FORM`: text, json, csv, html or pdf (default: that of the name of --out, or else text)")
	f.StringVar(out, "out", "", "into this `FILE` instead of stdout; into a file for each patient if it is a DIRECTORY or ends with /")
	f.Bool("json", false, "as JSON: the same as --format json")
}

// outputForm is the form of what is written, by the flags.
func outputForm(cmd *cobra.Command, format, out string) (string, error) {
	asJSON, _ := cmd.Flags().GetBool("json")
	switch {
	case asJSON && format != "" && format != "json":
		return "", usagef("--json and --format %s are different", format)
	case asJSON:
		format = "json"
	case format == "":
		format = "text"
		if i := strings.LastIndexByte(out, '.'); i >= 0 {
			switch end := strings.ToLower(out[i+1:]); end {
			case "json", "csv", "html", "pdf":
				format = end
			}
		}
	}
	switch format {
	case "text", "json", "csv", "html":
	case "pdf":
		if out == "" && terminalWidth(cmd.OutOrStdout()) > 0 {
			return "", usagef("a PDF is nothing for a terminal: give --out FILE")
		}
	default:
		return "", usagef("--format %s: want text, json, csv, html or pdf", format)
	}
	return format, nil
}

// isFolder tells whether --out means a directory.
func isFolder(out string) bool {
	if strings.HasSuffix(out, "/") || strings.HasSuffix(out, string(os.PathSeparator)) {
		return true
	}
	info, err := os.Stat(out)
	return out != "" && err == nil && info.IsDir()
}

// safeCell keeps a program for tables from taking what a stranger has sent for a formula.
func safeCell(text string) string {
	text = printable(text)
	if first, _ := utf8.DecodeRuneInString(text); text != "" && strings.ContainsRune("=+-@＝＋－＠", first) { // the wide forms where people write Japanese
		return "'" + text
	}
	return text
}

func joinEntries(entries []int64) string {
	var b strings.Builder
	for i, n := range entries {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}
