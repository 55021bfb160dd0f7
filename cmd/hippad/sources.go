package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/atna"
	"hippad/internal/completeness"
	"hippad/internal/durable"
	"hippad/internal/repository"
)

const (
	// sourcesFile holds what is known of sources, sealed. It is derived: without it the log is read again at the start.
	sourcesFile   = "sources.sealed"
	sourcesSecret = "what is known of sources"
	// sourcesPatience is how long an answer waits for what is in the log to be counted.
	sourcesPatience = 2 * time.Second
)

// openCompleteness wires the room that follows who is heard.
func (s *server) openCompleteness() (*completeness.Completeness, error) {
	after, silences, err := parseSilences(s.config.SilentAfter)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.config.Data, sourcesFile)
	return &completeness.Completeness{
		Follow: s.repo.Follow, Size: s.ledger.Size, Read: read, Note: s.noteSources,
		Header: func(r hippad.Report) *hippad.SyslogHeader { return atna.ReadHeader(r.Body) },
		Load: func() ([]byte, error) {
			sealed, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			return s.keys.OpenBytes(sourcesSecret, sealed)
		},
		Save: func(plain []byte) error {
			sealed, err := s.keys.SealBytes(sourcesSecret, plain)
			if err != nil {
				return err
			}
			return durable.WriteFile(file, sealed, 0o600)
		},
		SilentAfter: after, Silences: silences, Now: s.config.now, Log: s.log,
	}, nil
}

// noteSources records that sources are silent, heard again, or miss something.
func (s *server) noteSources(ctx context.Context, n completeness.Notice) error {
	alert := repository.SecurityAlert(repository.Activity(n.Activity).Code(), n.Description)
	alert.Entities = n.Entities()
	if n.Activity != completeness.ActivityHeard {
		alert.Outcome = repository.MinorFailure
	}
	return s.repo.Note(ctx, s.itself(), alert)
}

// parseSilences reads --silent-after: a time for all, or NAME=TIME.
func parseSilences(texts []string) (all time.Duration, each map[string]time.Duration, err error) {
	each = map[string]time.Duration{}
	for _, text := range texts {
		name, span, named := cutLast(text, "=")
		if !named {
			span = text
		}
		d, err := time.ParseDuration(span)
		if err != nil || d < time.Minute || named && name == "" {
			return 0, nil, usagef("--silent-after %q: want a time of at least a minute like 6h, or NAME=6h", text)
		}
		if named {
			each[name] = d
		} else {
			all = d
		}
	}
	return all, each, nil
}

// cutLast cuts around the last sep: names may hold one, times do not.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

type (
	sourcesIn struct {
		Reporter string `json:"reporter,omitzero"`
	}
	sourcesOut struct {
		Sources []completeness.Source `json:"sources"`
		Behind  int64                 `json:"behind"` // entries that are not counted yet
	}
)

// sourceRoutes are the server's side of hippad sources.
func (s *server) sourceRoutes() []route {
	return []route{
		{pattern: "POST /admin/sources", needs: hippad.ActObserve, handler: answers(s, func(ctx context.Context, _ hippad.Caller, in sourcesIn) (sourcesOut, error) {
			ctx, cancel := context.WithTimeout(ctx, sourcesPatience)
			defer cancel()
			s.sources.CatchUp(ctx)
			out := sourcesOut{Sources: []completeness.Source{}, Behind: s.sources.Totals().Behind}
			for _, x := range s.sources.Sources() {
				if in.Reporter == "" || slices.Contains([]string{x.Reporter, x.Name, x.Organisation, x.Hostname}, in.Reporter) {
					out.Sources = append(out.Sources, x)
				}
			}
			if in.Reporter != "" && len(out.Sources) == 0 {
				return out, hippad.Errorf(hippad.NotFound, "nothing was heard of such a reporter").WithHint("hippad sources lists who was heard")
			}
			return out, nil
		})},
	}
}

// sourcesCollector gives what is known of sources to /metrics: counts, and one time for each organisation of the register.
type sourcesCollector struct{ s *server }

// Describe implements prometheus.Collector: nothing said beforehand makes it an unchecked one.
func (sourcesCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c sourcesCollector) Collect(out chan<- prometheus.Metric) {
	if c.s.sources == nil {
		return
	}
	t := c.s.sources.Totals()
	one := func(kind prometheus.ValueType, name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("hippad_"+name, help, nil, nil), kind, v)
	}
	one(prometheus.GaugeValue, "sources", "Reporters, and syslog origins beneath them, that are known.", float64(t.Reporters+t.Origins))
	one(prometheus.GaugeValue, "sources_silent", "Sources that an entry says are silent.", float64(t.Silent))
	one(prometheus.CounterValue, "sources_missing_total", "Reports that numbers of their senders say are missing.", float64(t.Missing))
	one(prometheus.CounterValue, "sources_missing_blocks_total", "Syslog signature blocks that did not come.", float64(t.Blocks))
	one(prometheus.CounterValue, "sources_untracked_total", "Reports of sources for which there was no room.", float64(t.Untracked))
	one(prometheus.GaugeValue, "sources_behind", "Entries that are not counted yet.", float64(t.Behind))
	desc := prometheus.NewDesc("hippad_source_last_heard_seconds", "When somebody of an organisation last reported, in seconds since 1970.", []string{"organisation"}, nil)
	for name, at := range c.s.sources.LastHeard() {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(at.UnixMilli())/1000, name)
	}
}

func newSources() *cobra.Command {
	var c connection
	var in sourcesIn
	var silent, gaps, asJSON bool
	cmd := &cobra.Command{
		Use:   "sources [REPORTER]",
		Short: "who is heard, who is silent, and what is missing",
		Long: `List every source: each reporter, and beneath it each syslog origin (HOSTNAME, APP-NAME), with when it was last heard, how long
it usually is silent at such an hour, and what is missing by its own numbers: the sequenceId of RFC 5424 and the signed blocks of RFC
5848, whose hashes are compared and whose signatures are not verified. A report that comes by hippad/1 cannot be missing unnoticed, because
a number that does not follow is refused; FHIR numbers nothing.

REPORTER is kind:id as in hippad search, the name or organisation of a member, or a HOSTNAME; of that, everything is shown, with
every gap and the entries on both sides of it. A source becomes silent after its habit, which is known after a week, or after
serve --silent-after.`,
		Example: `  hippad sources
  hippad sources --silent
  hippad sources pacs-north --gaps`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%q is one argument too many", args[1])
			}
			if len(args) == 1 {
				if in.Reporter = args[0]; in.Reporter == "" {
					return usagef("REPORTER is empty")
				}
			}
			out, err := call[sourcesOut](cmd.Context(), &c, "/admin/sources", in)
			if err != nil {
				return err
			}
			out.Sources = slices.DeleteFunc(out.Sources, func(x completeness.Source) bool {
				return (silent || gaps) && !(silent && !x.SilentSince.IsZero()) && !(gaps && incomplete(x))
			})
			if asJSON {
				return printJSON(cmd, out.Sources)
			}
			if out.Behind > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %d entries are not counted yet\n", out.Behind)
			}
			showSources(cmd.OutOrStdout(), out.Sources, in.Reporter != "", gaps)
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&silent, "silent", false, "only sources that are silent (with --gaps: or that miss something)")
	f.BoolVar(&gaps, "gaps", false, "only sources that miss something, with every gap")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// incomplete tells whether something of a source's own is missing: what is missing of a reporter's origins is said of these.
func incomplete(x completeness.Source) bool {
	return len(x.Gaps) > 0 || x.Missing > 0 && x.IsOrigin() || x.Blocks > 0
}

// showSources writes the table, and below it what else there is to say of each source.
func showSources(w io.Writer, sources []completeness.Source, details, gaps bool) {
	rows := [][]string{{"SOURCE", "WHO", "LAST HEARD", "USUAL SILENCE", "STATE", "ENTRIES"}}
	for _, x := range sources {
		usual := "not known yet"
		if x.Usual > 0 {
			usual = completeness.Span(time.Duration(x.Usual) * time.Second)
		}
		rows = append(rows, []string{printable(sourceName(x)), printable(firstOf(x.Organisation, "-")), minute(x.Last), usual, sourceState(x), fmt.Sprint(x.Entries)})
	}
	writeTable(w, rows)
	for _, x := range sources {
		if !details && !(gaps && incomplete(x)) {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", style(w, bold, printable(sourceName(x))))
		for _, line := range describeSource(x) {
			fmt.Fprintln(w, "  "+line)
		}
		for _, g := range x.Gaps {
			fmt.Fprintln(w, "  "+describeGap(g))
		}
	}
}

// sourceName is short: an origin is set in below its reporter.
func sourceName(x completeness.Source) string {
	if x.IsOrigin() {
		return "  " + firstOf(x.Hostname, "-") + " " + firstOf(x.AppName, "-")
	}
	if x.Name != "" {
		return x.Name
	}
	if len(x.Reporter) > 40 {
		return x.Reporter[:40]
	}
	return x.Reporter
}

func sourceState(x completeness.Source) string {
	var parts []string
	if !x.SilentSince.IsZero() {
		parts = append(parts, "silent since "+minute(x.SilentSince))
	}
	if x.Missing > 0 {
		parts = append(parts, fmt.Sprintf("%d missing", x.Missing))
	}
	if x.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d awaited", x.Waiting))
	}
	if len(parts) == 0 {
		return "ok"
	}
	return strings.Join(parts, ", ")
}

// describeSource is what the table leaves out.
func describeSource(x completeness.Source) []string {
	lines := []string{"reporter " + printable(x.Reporter), fmt.Sprintf("heard since %s, newest entry %d by %s", minute(x.First), x.LastIndex, x.Door)}
	if x.Limit > 0 {
		lines = append(lines, "called silent after "+completeness.Span(time.Duration(x.Limit)*time.Second))
	}
	if !x.IsOrigin() && x.Door == hippad.DoorNative.String() {
		lines = append(lines, "hippad/1 has no gaps: a number that does not follow is refused")
	}
	for _, n := range []struct {
		count int64
		text  string
	}{
		{x.Late, "came after they were counted as missing"}, {x.Repeats, "came again"}, {x.Restarts, "restarts of the counter"},
		{x.Blocks, "signature blocks did not come here"}, {x.Unsigned, "messages of which no signature block came"},
		{x.Unchecked, "signed messages whose hashes came too late to be compared"},
	} {
		if n.count > 0 {
			lines = append(lines, fmt.Sprintf("%d %s", n.count, n.text))
		}
	}
	if x.Signs {
		lines = append(lines, "signs its messages (RFC 5848): hashes are compared, signatures are not verified")
	}
	if !x.Numbered && !x.Signs && strings.HasPrefix(x.Door, "syslog") && x.IsOrigin() {
		lines = append(lines, "numbers nothing: what is lost on the way cannot be noticed")
	}
	return lines
}

func describeGap(g completeness.Gap) string {
	what := fmt.Sprintf("%d missing", g.Missing)
	if g.Kind == completeness.Unsigned {
		what = fmt.Sprintf("%d of which no signature block came", g.Missing)
	}
	return fmt.Sprintf("%s to %s: %s (%s %d to %d), between entries %d and %d", minute(g.From), minute(g.To), what, g.Kind, g.First, g.Last, g.After, g.Before)
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
