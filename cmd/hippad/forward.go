package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/fhir"
	"hippad/internal/forward"
	"hippad/internal/repository"
)

// openForward reads the rules of --forward. Without a file there is nothing to forward; rules that were there before are noted
// as taken away.
func (s *server) openForward(ctx context.Context) (*forward.Forwarder, error) {
	config := &forward.Config{}
	if file := s.config.Forward; file != "" {
		in, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, usagef("--forward: %w", err)
		}
		if err != nil {
			return nil, err
		}
		defer in.Close()
		if config, err = forward.Parse(in, matchQuery); err != nil {
			return nil, err
		}
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	note := func(outcome string) func(context.Context, string) error {
		return func(ctx context.Context, what string) error {
			n := repository.SecurityAlert(repository.NetworkConfiguration, what)
			n.Outcome = outcome
			n.Subtypes = append(n.Subtypes, repository.ActivityForward.Code())
			return s.repo.Note(ctx, s.itself(), n)
		}
	}
	f := &forward.Forwarder{
		Dir: filepath.Join(s.config.Data, "forward"), Config: config, Follow: s.repo.Follow, Size: s.ledger.Size,
		FirstSince: func(ctx context.Context, t time.Time) (int64, error) {
			return s.ledger.FirstSince(ctx, t, s.ledger.Size())
		},
		Read: read, Write: fhir.Write, Configured: note(repository.Success), Refused: note(repository.MinorFailure),
		Host: host, Software: "hippad/" + versionText(), Log: s.log,
	}
	return f, f.Open(ctx)
}

// matchQuery reads what a rule matches as hippad search would. What is wrong with it is wrong in the file, not in the call.
func matchQuery(text string) (hippad.Query, error) {
	q, err := parseQuery([]string{text})
	var usage usageError
	if errors.As(err, &usage) {
		err = usage.error
	}
	return q, err
}

// forwardRoutes are the server's side of hippad forward.
func (s *server) forwardRoutes() []route {
	return []route{{pattern: "POST /admin/forward", needs: hippad.ActObserve,
		handler: answers(s, func(context.Context, hippad.Caller, nothing) ([]forward.Status, error) {
			return s.forward.Status(), nil
		})}}
}

// forwardCollector gives the counts of each rule. The name of a rule is the operator's word.
type forwardCollector struct{ s *server }

// Describe implements prometheus.Collector: nothing said beforehand makes it an unchecked one.
func (forwardCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c forwardCollector) Collect(out chan<- prometheus.Metric) {
	type value struct {
		name, help string
		kind       prometheus.ValueType
		of         func(forward.Status) float64
	}
	for _, v := range []value{
		{"behind", "Entries of the log that a forwarding rule has not come to.", prometheus.GaugeValue, func(s forward.Status) float64 { return float64(s.Behind) }},
		{"oldest_seconds", "Age of the oldest entry that is on its way.", prometheus.GaugeValue, func(s forward.Status) float64 {
			if s.Oldest.IsZero() {
				return 0
			}
			return c.s.config.now().Sub(s.Oldest).Seconds()
		}},
		{"retrying", "1 while the destination does not take anything.", prometheus.GaugeValue, func(s forward.Status) float64 {
			if s.State == forward.StateRetrying {
				return 1
			}
			return 0
		}},
		{"delivered_total", "Reports that a forwarding rule has delivered since the start, repetitions included.", prometheus.CounterValue, func(s forward.Status) float64 { return float64(s.Delivered) }},
		{"refused_total", "Reports that a destination has refused for good.", prometheus.CounterValue, func(s forward.Status) float64 { return float64(s.Refused) }},
		{"destroyed_total", "Entries passed over since the start because their content is gone.", prometheus.CounterValue, func(s forward.Status) float64 { return float64(s.Destroyed) }},
		{"returned_total", "Reports not sent again since the start because their very bytes came back.", prometheus.CounterValue, func(s forward.Status) float64 { return float64(s.Returned) }},
		{"cut_total", "Datagrams that were cut since the start.", prometheus.CounterValue, func(s forward.Status) float64 { return float64(s.Cut) }},
	} {
		desc := prometheus.NewDesc("hippad_forward_"+v.name, v.help, []string{"rule"}, nil)
		for _, status := range c.s.forward.Status() {
			out <- prometheus.MustNewConstMetric(desc, v.kind, v.of(status), status.Name)
		}
	}
}

func newForward() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "forward",
		Short: "how far the forwarding rules have come",
		Long: `Show how far each rule of serve --forward FILE has come. FILE is JSON:

  {"rules": [
    {"name": "siem", "to": "syslog+tls://siem.example:6514", "match": "type=110113,110114", "ca": "siem-ca.pem"},
    {"name": "archive", "to": "hippad://archive.example:2988", "since": "start", "ca": "archive-ca.pem", "certificate": "me.pem"},
    {"name": "ehr", "to": "https://fhir.example/r4", "match": "patient:missing=false", "token_file": "token", "batch": 50}
  ]}

to is syslog+tls, syslog+udp, hippad or https (a FHIR base). match is what hippad search takes; without it every report is
forwarded, but for what this log says about itself: that only with _door=self. A new rule begins with the next entry, with
"since": "start" with the oldest, with a time at that time; afterwards it goes on where it was.

What another forwarder reports here (named in "forwarders": ["_reporter=..."] beside the rules) is forwarded only by rules with
"relay": true, and never to a destination whose own reports are named in the rule's "peers".

The exit code is 0 if every rule delivers, else 1.`,
		Example: "  hippad forward\n  hippad forward --json --server audit.hospital.example:2988 --ca ca.pem --cert auditor.pem", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call[[]forward.Status](cmd.Context(), &c, "/admin/forward", nothing{})
			if err != nil {
				return err
			}
			stuck := false
			rows := [][]string{{"RULE", "TO", "UP TO", "BEHIND", "OLDEST", "STATE", "REFUSED", "CAUSE"}}
			for _, s := range list {
				state, oldest := s.State, "-"
				if s.State == forward.StateRetrying {
					stuck = true
					state += " since " + s.Since.Format("2006-01-02T15:04:05Z07:00")
				}
				if !s.Oldest.IsZero() {
					oldest = time.Since(s.Oldest).Truncate(time.Second).String()
				}
				rows = append(rows, []string{s.Name, printable(s.To), fmt.Sprint(s.Next), fmt.Sprint(s.Behind), oldest, state, fmt.Sprint(s.Refused), printable(firstOf(s.Cause, "-"))})
			}
			switch {
			case asJSON:
				err = printJSON(cmd, list)
			case len(list) == 0:
				fmt.Fprintln(cmd.ErrOrStderr(), "hippad: nothing is forwarded (serve --forward FILE)")
			default:
				writeTable(cmd.OutOrStdout(), rows)
			}
			if err == nil && stuck {
				err = errNo
			}
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
