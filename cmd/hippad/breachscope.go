package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/breach"
	"hippad/internal/regulation"
	"hippad/internal/sheet"
)

const maxAddressRows = 1_000_000

// An addressRow is a row of a table of addresses. It stays on the machine of whoever has the table, but for patient and State.
type addressRow struct {
	line                 int
	patient, name, email string
	address              regulation.Address
}

func addressColumns() []sheet.Column {
	return []sheet.Column{
		{Name: "patient", Also: []string{"id", "mrn", "patient id"}, Needed: true}, {Name: "name", Also: []string{"patient name", "full name"}},
		{Name: "address", Also: []string{"address1", "address line 1", "street", "line1"}}, {Name: "address2", Also: []string{"address line 2", "line2"}},
		{Name: "city"}, {Name: "state"}, {Name: "zip", Also: []string{"zip code", "postal code"}}, {Name: "email", Also: []string{"e-mail"}},
	}
}

// breachTable opens a table that somebody has; "-" is stdin.
func breachTable(cmd *cobra.Command, name string, read func(io.Reader) error) error {
	if name == "-" {
		return read(cmd.InOrStdin())
	}
	f, err := os.Open(name)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	return read(f)
}

// readAddresses reads a table of addresses; a row without a patient is refused.
func readAddresses(cmd *cobra.Command, name string) (rows []addressRow, bad []breach.Refused, err error) {
	err = breachTable(cmd, name, func(in io.Reader) error {
		listed, err := sheet.Read(in, addressColumns(), func(r sheet.Row) error {
			x := addressRow{line: r.Line, patient: r.Get("patient"), name: r.Get("name"), email: r.Get("email")}
			if x.patient == "" {
				return hippad.Errorf(hippad.Invalid, "the patient is missing")
			}
			x.address = regulation.Address{City: r.Get("city"), State: r.Get("state"), ZIP: r.Get("zip")}
			for _, l := range []string{r.Get("address"), r.Get("address2")} {
				if l != "" {
					x.address.Lines = append(x.address.Lines, l)
				}
			}
			rows = append(rows, x)
			return nil
		})
		for _, b := range listed {
			bad = append(bad, breach.Refused{Line: b.Line, Reason: b.Reason})
		}
		return err
	})
	return rows, bad, err
}

// printRefused lists rows of a table that were not taken, in order.
func printRefused(w io.Writer, refused []breach.Refused) {
	slices.SortStableFunc(refused, func(a, b breach.Refused) int { return cmp.Compare(a.Line, b.Line) })
	for _, r := range refused {
		fmt.Fprintf(w, "line %d: %s\n", r.Line, printable(r.Reason))
	}
}

func newBreachScope() *cobra.Command {
	var c connection
	var o breach.Order
	var entries []string
	var addresses string
	var residents []string
	var asJSON bool
	texts := map[string]*string{}
	cmd := &cobra.Command{
		Use: "scope CASE [QUERY...]", Short: "find whom it affects, and hold the entries that prove it",
		Long: `Find whom a case affects: every patient whom an entry names that answers the question. All that is given must be met; QUERY is that of hippad
search. Entries with outcome 8 or 12 are attempts that failed, and are left out. What is kept is the question, the size of the log, the counts
and a hash of the list; the list is made again whenever it is needed.

--addresses is a CSV with the columns patient, name, address, address2, city, state, zip, email; a whole hospital's will do, up to a million rows. Only patient and State leave
this machine, and only the counts are kept. Who has no State that there is counts as unknown. Rows that cannot be taken are listed with their
lines, and the exit code is 1. The counts are made anew each time, with --add too: give --addresses again. While so many
have no known State that one State could have more than 500 of them, the case does not close: its media would have to be told (164.406). --residents says where they live.`,
		Example: `  hippad breach scope 41 --user nurse17 --from 2026-10-01 --to 2026-11-02 --addresses patients.csv
  hippad breach scope 41 --user nurse17 --except Patient/7 --reason "her own patient that day" --dry-run
  hippad breach scope 41 --add 'address=10.1.2.3&date=ge2026-10-01'
  hippad breach scope 41 --estimate 600 --residents IL=550 --residents WI=50 --basis "the census of the ward on that day"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 {
				return usagef("CASE is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Case, err = breachID(args[0]); err != nil {
				return err
			}
			if err := breachDays(map[string]*regulation.Date{"from": &o.From, "to": &o.To}, texts); err != nil {
				return err
			}
			if len(args) > 1 {
				q, err := parseQuery(args[1:])
				if err != nil {
					return err
				}
				o.Query = &q
			}
			for _, text := range entries {
				r, err := parseRange(text)
				if err != nil {
					return usagef("--entries: %w", err)
				}
				o.Entries = append(o.Entries, r)
			}
			if o.EstimatedResidents, err = parseResidents(residents); err != nil {
				return err
			}
			var bad []breach.Refused
			if o.Residents, bad, err = readResidents(cmd, addresses); err != nil {
				return err
			}
			out, err := call[breach.Scoped](cmd.Context(), &c, "/admin/breach/scope", o)
			if err != nil {
				return err
			}
			out.Refused = append(out.Refused, bad...)
			return printScoped(cmd, out, o, asJSON)
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.User, "user", "", "what this user did, by `ID` or name")
	f.StringVar(&o.Device, "device", "", "what came from this device, by `ID` or network address")
	f.StringVar(&o.Source, "source", "", "what the system `ID` has reported")
	f.StringArrayVar(&entries, "entries", nil, "only these entries, as `FIRST-LAST` or one index; may be repeated")
	f.BoolVar(&o.Add, "add", false, "add to the scope, instead of replacing it")
	f.StringArrayVar(&o.Except, "except", nil, "leave out the patient with this `ID`; may be repeated")
	f.StringVar(&o.Reason, "reason", "", "why patients are left out, in `WORDS`")
	f.StringVar(&addresses, "addresses", "", "`FILE.csv` with addresses, for the counts by State")
	f.IntVar(&o.Estimate, "estimate", 0, "`NUMBER` of individuals, if the log does not name all of them")
	f.StringVar(&o.Basis, "basis", "", "what the estimates rest on, in `WORDS`")
	f.StringArrayVar(&residents, "residents", nil, "how many live in a State, as `STATE=NUMBER`, if no table tells; may be repeated")
	f.BoolVar(&o.Trial, "dry-run", false, "count, and write nothing down")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	dayFlag(cmd, texts, "from", "only what happened on or after this `DAY`")
	dayFlag(cmd, texts, "to", "only what happened on or before this `DAY`")
	return cmd
}

// readResidents reads which patient lives in which State from a table of addresses, none if it has no name.
func readResidents(cmd *cobra.Command, name string) (out []breach.Address, bad []breach.Refused, err error) {
	if name == "" {
		return nil, nil, nil
	}
	rows, bad, err := readAddresses(cmd, name)
	if err != nil {
		return nil, nil, err
	}
	if len(rows) > maxAddressRows {
		return nil, nil, usagef("%s has %d rows, at most %d are taken: leave out who cannot be affected", name, len(rows), maxAddressRows)
	}
	for _, r := range rows {
		out = append(out, breach.Address{Line: r.line, Patient: r.patient, State: r.address.State})
	}
	return out, bad, nil
}

// parseResidents reads how many live in which State.
func parseResidents(texts []string) (map[string]int, error) {
	out := map[string]int{}
	for _, text := range texts {
		name, number, _ := strings.Cut(text, "=")
		n, err := strconv.Atoi(number)
		state, ok := regulation.ParseState(name)
		if err != nil || n < 1 || !ok {
			return nil, usagef("--residents %q: want a State and a number of individuals, like IL=550", text)
		}
		out[state] = n
	}
	return out, nil
}

func printScoped(cmd *cobra.Command, out breach.Scoped, o breach.Order, asJSON bool) error {
	if asJSON {
		if err := printJSON(cmd, out); err != nil {
			return err
		}
	} else {
		writeScope(cmd.OutOrStdout(), out.Scope)
		printRefused(cmd.OutOrStdout(), out.Refused)
	}
	if out.NotAffected > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %d rows of the table are about nobody whom it affects\n", out.NotAffected)
	}
	if o.Trial {
		fmt.Fprintln(cmd.ErrOrStderr(), "hippad: nothing was written down (--dry-run)")
	}
	if len(out.Refused) > 0 {
		return errNo
	}
	return nil
}

// writeScope says what a scope came to.
func writeScope(w io.Writer, s breach.Scope) {
	fmt.Fprintf(w, "%d individuals in %d entries\n", s.Individuals, s.Entries)
	for _, x := range []struct {
		n    int
		what string
	}{
		{s.Estimate, "individuals by estimate"}, {s.Unassigned, "individuals are named by a number without its assigner: they may be the same as others"},
		{s.Unnamed, "entries name no patient, or one without an identifier"}, {s.Unreadable, "of them nobody can read"}, {s.Destroyed, "of them are destroyed"},
		{s.Review, "entries are minor failures (outcome 4): look whether anything was seen"}, {s.Failed, "attempts failed and are left out (outcome 8, 12)"},
		{len(s.Except), "identifiers are left out"},
	} {
		if x.n > 0 {
			fmt.Fprintf(w, "%d %s\n", x.n, x.what)
		}
	}
	var states []string
	for _, state := range slices.Sorted(maps.Keys(s.Residents)) {
		states = append(states, fmt.Sprintf("%s %d", state, s.Residents[state]))
	}
	if s.Unknown > 0 {
		states = append(states, fmt.Sprintf("unknown %d", s.Unknown))
	}
	fmt.Fprintf(w, "by State: %s\n", strings.Join(states, ", "))
}
