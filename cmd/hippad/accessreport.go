package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"hippad/internal/disclosure"
	"hippad/internal/durable"
	"hippad/internal/regulation"
)

func newAccess() *cobra.Command {
	var c connection
	var in accessIn
	var format, out string
	cmd := &cobra.Command{
		Use:   "access PATIENT",
		Short: "answer who touched a patient's data",
		Long: `Say who touched the data of a patient, whichever system says so: a line for each person and day, with what was done and why, if that is
stated. It has uses within the organisation and disclosures, and attempts that failed. No law in force asks for it; patients do.

The patient's form names the person, what was done, why and how often; --officer adds identifiers, systems, addresses and the entries. The exit code is 1 if the
log has nothing of such a patient, or the identifier names several.`,
		Example: `  hippad access 'urn:oid:1.2.3|4711'
  hippad access Patient/7 --from 2026-01-01 --officer --format csv
  hippad access Patient/7 --format pdf --out access.pdf`,
		Args: exactArgs("PATIENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			form, err := outputForm(cmd, format, out)
			if err != nil {
				return err
			}
			if out != "" && isFolder(out) { // before anybody looks, which is in the log from then on
				return usagef("--out %s is a directory: want a file", out)
			}
			in.Patient = args[0]
			answer, err := call[accessOut](cmd.Context(), &c, "/admin/access", in)
			if err != nil {
				return err
			}
			r := answer.Report
			problem, hint := accountProblem(disclosure.Answer{Accounting: regulation.Accounting{Tried: r.Tried, Unknown: r.Unknown, Several: r.Several}})
			if problem != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %s: %s\nhippad: %s\n", printable(r.Patient), printable(problem), printable(hint))
			}
			if problem != "" && form != "json" {
				return errNo
			}
			if err := writeAccess(cmd, form, out, answer); err != nil {
				return err
			}
			if problem != "" {
				return errNo
			}
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.TextVar(&in.From, "from", regulation.Date{}, "the first `DAY`, as 2026-11-23 (default: the beginning)")
	f.TextVar(&in.To, "to", regulation.Date{}, "the last `DAY` (default: today)")
	f.BoolVar(&in.Officer, "officer", false, "with identifiers, systems, addresses and entries")
	outputFlags(cmd, &format, &out)
	return cmd
}

func writeAccess(cmd *cobra.Command, form, out string, answer accessOut) error {
	if out == "" {
		to := bufio.NewWriter(cmd.OutOrStdout())
		if err := accessTo(to, form, terminalWidth(cmd.OutOrStdout()), answer); err != nil {
			return err
		}
		return to.Flush()
	}
	var b bytes.Buffer
	if err := accessTo(&b, form, 0, answer); err != nil {
		return err
	}
	return durable.WriteFile(out, b.Bytes(), 0o600)
}

func accessTo(w io.Writer, form string, width int, answer accessOut) error {
	switch form {
	case "json":
		text, err := json.Marshal(answer.Report, json.Deterministic(true))
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", text)
		}
		return err
	case "csv":
		return accessCSV(w, answer.Report)
	case "html":
		return accessDocument(answer.Organisation, answer.Report).WriteHTML(w)
	case "pdf":
		return accessDocument(answer.Organisation, answer.Report).WritePDF(w)
	}
	return accessDocument(answer.Organisation, answer.Report).WriteText(w, width)
}

func accessCSV(w io.Writer, r regulation.AccessReport) error {
	table := csv.NewWriter(w)
	head := []string{"patient", "day", "who", "role", "outside", "did", "what", "why", "count", "failed"}
	if r.Officer {
		head = append(head, "id", "sources", "addresses", "entries")
	}
	if err := table.Write(head); err != nil {
		return err
	}
	for _, x := range r.Accesses {
		row := []string{r.Patient, x.Day.String(), x.Who, x.Role, strconv.FormatBool(x.Outside), strings.Join(x.Did, ", "), strings.Join(x.What, ", "),
			strings.Join(x.Why, ", "), strconv.Itoa(x.Count), strconv.Itoa(x.Failed)}
		if r.Officer {
			row = append(row, x.ID, strings.Join(x.Sources, ", "), strings.Join(x.Addresses, ", "), joinEntries(x.Entries))
		}
		for i := range row {
			row[i] = safeCell(row[i])
		}
		if err := table.Write(row); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}
