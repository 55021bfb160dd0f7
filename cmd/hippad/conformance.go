package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/atna"
	"hippad/internal/fhir"
)

// check is the hippad.Checker of this program, put together like read.
func check(r hippad.Report) []hippad.Rule {
	media, _, err := mime.ParseMediaType(r.Media)
	if err != nil {
		media = r.Media
	}
	switch media {
	case hippad.MediaFHIRJSON, hippad.MediaFHIRXML, "application/json", "text/json":
		return fhir.Check(r)
	}
	return atna.Check(r, fhir.Check)
}

// A broken rule, by one sender.
type brokenRule struct {
	Rule     string `json:"rule"`
	Standard string `json:"standard"`
	Text     string `json:"text"`
	Count    int64  `json:"count"`
	Example  int64  `json:"example"` // index of the newest entry that breaks it
}

// A senderReport is what one sender does right and wrong.
type senderReport struct {
	Reporter     string       `json:"reporter"`
	Name         string       `json:"reporterName,omitempty"`
	Organisation string       `json:"organisation,omitempty"`
	Sender       string       `json:"sender,omitempty"` // as the messages name it: audit source, or APP-NAME
	Entries      int64        `json:"entries"`
	Conforming   int64        `json:"conforming"`
	Breaches     []brokenRule `json:"breaches"` // the most frequent first

	byRule map[string]*brokenRule
}

// maxSenders bounds how many senders one report tells apart: a name is free text.
const maxSenders = 10_000

// A conformance counts by sender.
type conformance map[[2]string]*senderReport

func (c conformance) add(e hippad.Entry) {
	sender := senderOf(read(e.Report))
	if len(c) >= maxSenders {
		sender = ""
	}
	key := [2]string{e.Reporter.String(), sender}
	s := c[key]
	if s == nil {
		s = &senderReport{Reporter: key[0], Name: e.Reporter.Name, Organisation: e.Reporter.Organisation, Sender: sender, byRule: map[string]*brokenRule{}}
		c[key] = s
	}
	s.Entries++
	broken := check(e.Report)
	if len(broken) == 0 {
		s.Conforming++
	}
	for _, rule := range broken {
		b := s.byRule[rule.ID]
		if b == nil {
			b = &brokenRule{Rule: rule.ID, Standard: rule.Standard, Text: rule.Text, Example: e.Index}
			s.byRule[rule.ID] = b
		}
		b.Count++
	}
}

// senderOf names the program behind a message, as far as the message does.
func senderOf(ev hippad.Event) string {
	if name := nameOf(ev.Source.Observer); name != "" {
		return name
	}
	if ev.Syslog != nil {
		return ev.Syslog.AppName
	}
	return ""
}

// sorted returns the senders in the order of their names, each with the most frequent breach first.
func (c conformance) sorted() []*senderReport {
	all := slices.Collect(maps.Values(c))
	for _, s := range all {
		s.Breaches = []brokenRule{}
		for _, b := range s.byRule {
			s.Breaches = append(s.Breaches, *b)
		}
		slices.SortFunc(s.Breaches, func(a, b brokenRule) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Rule, b.Rule)) })
	}
	slices.SortFunc(all, func(a, b *senderReport) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Reporter, b.Reporter), cmp.Compare(a.Sender, b.Sender))
	})
	return all
}

func newConformance() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "conformance [REPORTER] [QUERY...]",
		Short: "what each sender gets wrong",
		Long: `List, for each sender, what its reports get wrong against the standards: DICOM PS3.15 A.5, IHE ITI-20, RFC 5424 and FHIR AuditEvent
with IHE BALP. Each line has the clause, how often, and the newest entry as an example. Nothing is refused for it: this is
what to show to the vendor.

REPORTER is kind:id as in hippad search, or the name or organisation of a member. QUERY is as in hippad search, and narrows what is looked at.
The exit code is 0 if everything conforms, else 1.`,
		Example: `  hippad conformance
  hippad conformance pacs-north
  hippad conformance certificate:sha256:9f86... date=ge2026-11-01 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var name string
			if len(args) > 0 && !strings.Contains(args[0], "=") {
				if name, args = args[0], args[1:]; name == "" {
					return usagef("REPORTER is empty")
				}
			}
			if p, err := hippad.ParsePrincipal(name); err == nil {
				name, args = "", append(args, "_reporter="+p.String())
			}
			q, err := parseQuery(args)
			if err != nil {
				return err
			}
			q.Filters = append(q.Filters, hippad.NewFilter(hippad.OpNone, hippad.FieldDoor, hippad.DoorSelf.String()))
			client, err := c.asOperator(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			senders, newest := conformance{}, int64(-1)
			bar := newProgress(cmd.ErrOrStderr(), "checking")
			for e, err := range client.Search(cmd.Context(), q) {
				if err != nil {
					bar.end()
					return err
				}
				newest = max(newest, e.Index)
				bar.set(newest-e.Index, newest)
				if !e.Destroyed && (name == "" || name == e.Reporter.Name || name == e.Reporter.Organisation) {
					senders.add(e)
				}
			}
			bar.end()
			if len(senders) == 0 {
				return hippad.Errorf(hippad.NotFound, "no reports to look at").WithHint("hippad sources lists who reports")
			}
			return showConformance(cmd.OutOrStdout(), senders.sorted(), asJSON)
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object for each sender, a line each")
	return cmd
}

// showConformance writes the report, and errNo if there is anything to complain about.
func showConformance(w io.Writer, senders []*senderReport, asJSON bool) error {
	var err error
	for i, s := range senders {
		if len(s.Breaches) > 0 {
			err = errNo
		}
		if asJSON {
			if err := json.NewEncoder(w).Encode(s); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		who := firstOf(s.Name, s.Reporter)
		if s.Sender != "" && s.Sender != who {
			who += ", " + s.Sender
		}
		fmt.Fprintf(w, "%s: %d of %d reports conform\n", style(w, bold, printable(who)), s.Conforming, s.Entries)
		rows := [][]string{{"COUNT", "EXAMPLE", "WHAT", "CLAUSE"}}
		for _, b := range s.Breaches {
			rows = append(rows, []string{fmt.Sprint(b.Count), fmt.Sprint(b.Example), b.Text, b.Standard})
		}
		if len(rows) > 1 {
			writeTable(w, rows)
		}
	}
	return err
}
