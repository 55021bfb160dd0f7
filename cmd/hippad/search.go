package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/fhir"
)

func newSearch() *cobra.Command {
	var c connection
	var asJSON, ascending bool
	var limit int
	cmd := &cobra.Command{
		Use:   "search [QUERY...]",
		Short: "find entries",
		Long: `Find entries. QUERY is FHIR search syntax: name=value, joined by & or given as several arguments. Several values of one
name separated by commas mean any of them; one name given twice means both.

  date                        when it happened: 2026, 2026-11, 2026-11-22T08:00Z; with ge, gt, le, lt, ne for a range
  patient                     who the data is about: 12345, urn:oid:1.2.3|12345, 12345^^^&1.2.3&ISO, Patient/7
  agent, source, site, entity    who took part, which system said so, what was touched: by id
  agent-name, entity-name, address    the same by name, and from where: by the beginning, in names of any word
  type, subtype, action, outcome, purpose    what happened and why: codes, alone or as system|code
  altid, agent-role, policy, entity-type, entity-role, based-on, encounter    as FHIR has them
  _reporter, _door, _mark     how it came in: address:192.0.2.7, syslog-tls; unreadable, incomplete, framing, truncated, stray
  _id, _lastUpdated           the index of an entry; when the log took it

Modifiers: name:not, name:missing=true, name:exact. The newest entry is first. Every search is itself an entry of the log. The exit code is 0 if something was found, else 1.`,
		Example: `  hippad search patient=12345
  hippad search 'patient=urn:oid:1.2.3|12345&date=ge2026-11-01&date=lt2026-12-01' --json
  hippad search _mark=unreadable _door=syslog-tls --limit 10`,
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := parseQuery(args)
			if err != nil {
				return err
			}
			q.Ascending = q.Ascending || ascending
			if limit < 0 {
				return usagef("--limit %d: want 0 (all) or more", limit)
			}
			q.Limit = limit
			client, err := c.asOperator(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()

			out := cmd.OutOrStdout()
			rows := [][]string{entryColumns}
			found := 0
			for e, err := range client.Search(cmd.Context(), q) {
				if err != nil {
					return err
				}
				found++
				if asJSON {
					if err := json.NewEncoder(out).Encode(entryJSON(e)); err != nil {
						return err
					}
				} else {
					rows = append(rows, entryRow(e))
				}
			}
			if found == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "hippad: nothing found")
				return errNo
			}
			if !asJSON {
				writeTable(out, rows)
			}
			if limit > 0 && found == limit {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: there may be more: these are the first %d (--limit)\n", limit)
			}
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "one JSON object for each entry, a line each, with the report in base64")
	f.BoolVar(&ascending, "oldest-first", false, "in the order of the log")
	f.IntVar(&limit, "limit", 50, "at most `N` entries; 0 for all")
	return cmd
}

// parameterName is the beginning of a parameter in a query.
var parameterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z_.:-]*=`)

// parseQuery reads the arguments of a search. What the server would ignore in a URL is a wrong call here. An & that no
// name=value follows is part of a value, so that an identifier can be typed as HL7 writes it; a + is a plus.
func parseQuery(args []string) (hippad.Query, error) {
	var pieces []string
	for _, piece := range strings.Split(strings.Join(args, "&"), "&") {
		if n := len(pieces); n > 0 && !parameterName.MatchString(piece) {
			pieces[n-1] += "&" + piece
		} else {
			pieces = append(pieces, piece)
		}
	}
	values := url.Values{}
	for _, piece := range pieces {
		name, value, ok := strings.Cut(piece, "=")
		value, err := url.PathUnescape(value)
		if !ok && piece != "" || err != nil {
			return hippad.Query{}, usagef("the query is not name=value, joined by &")
		}
		if piece != "" {
			values.Add(name, value)
		}
	}
	q, unknown, err := fhir.ParseQuery(values)
	if err != nil {
		return hippad.Query{}, usageError{err}
	}
	if len(unknown) > 0 {
		return hippad.Query{}, usagef("there is no search parameter %q", unknown[0])
	}
	return q, nil
}

// entryJSON is an entry as --json shows it.
func entryJSON(e hippad.Entry) any {
	ev := read(e.Report)
	out := struct {
		Index      int64           `json:"index"`
		Received   time.Time       `json:"received"`
		Door       string          `json:"door"`
		Reporter   string          `json:"reporter,omitempty"`
		Name       string          `json:"reporterName,omitempty"`
		Of         string          `json:"organisation,omitempty"`
		Media      string          `json:"media"`
		Fault      string          `json:"fault,omitempty"`
		Destroyed  bool            `json:"destroyed,omitempty"` // at the end of its retention; nothing else is left of it
		Unreadable string          `json:"unreadable,omitempty"`
		Event      json.RawMessage `json:"event,omitempty"` // FHIR R4 AuditEvent
		Body       []byte          `json:"body"`
	}{
		Index: e.Index, Received: e.Received, Door: e.Door.String(), Reporter: e.Reporter.String(), Name: e.Reporter.Name, Of: e.Reporter.Organisation, Destroyed: e.Destroyed,
		Media: e.Media, Fault: e.Fault.String(), Unreadable: ev.Unreadable, Body: e.Body,
	}
	if e.Destroyed {
		out.Reporter, out.Unreadable = "", ""
	} else if ev.Unreadable == "" {
		out.Event = fhir.Write(ev).Body
	}
	return out
}

var entryColumns = []string{"INDEX", "WHEN", "WHAT", "ACTION", "OUTCOME", "WHO", "PATIENT", "SOURCE", "DOOR", "MARK"}

// entryRow is an entry as a line of a table.
func entryRow(e hippad.Entry) []string {
	ev := read(e.Report)
	var who, patients []string
	for _, a := range ev.Agents {
		if name := firstOf(a.Name, nameOf(a.Who), a.AltID); name != "" && (a.Requestor || len(ev.Agents) == 1) {
			who = append(who, name)
		}
	}
	if len(who) == 0 && len(ev.Agents) > 0 {
		who = append(who, firstOf(ev.Agents[0].Name, nameOf(ev.Agents[0].Who), ev.Agents[0].AltID))
	}
	for _, n := range ev.Entities {
		if n.IsPatient() {
			patients = append(patients, nameOf(n.What))
		}
	}
	mark := e.Fault.String()
	if e.Destroyed {
		mark = strings.TrimSpace(mark + " destroyed")
	} else if ev.Unreadable != "" {
		mark = strings.TrimSpace(mark + " " + hippad.MarkUnreadable)
	} else if len(ev.Missing()) > 0 {
		mark = strings.TrimSpace(mark + " " + hippad.MarkIncomplete)
	}
	row := []string{
		fmt.Sprint(e.Index), hippad.EventTime(e, ev).Format("2006-01-02T15:04:05Z07:00"), firstOf(ev.Type.Display, ev.Type.Code),
		ev.Action, ev.Outcome, strings.Join(who, ", "), strings.Join(patients, ", "), nameOf(ev.Source.Observer), e.Door.String(), mark,
	}
	for i := range row {
		if row[i] = printable(row[i]); row[i] == "" {
			row[i] = "-"
		}
	}
	return row
}

func nameOf(r hippad.Reference) string {
	id := r.Identifier.Value
	if id != "" && r.Identifier.System == "" {
		id = hippad.ParseIdentifier(id).Value
	}
	return firstOf(id, r.Literal, r.Display)
}

func firstOf(s ...string) string {
	for _, x := range s {
		if x != "" {
			return x
		}
	}
	return ""
}
