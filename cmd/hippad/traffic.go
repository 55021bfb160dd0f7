package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/traffic"
)

// alertTraffic is the label of the entries about sources that come again and again with what nobody here expects.
const alertTraffic = "unexpected traffic"

// unexpected is told by the front of every connection that belongs to no door.
func (s *server) unexpected(x traffic.Sighting) {
	x = s.traffic.See(x)
	s.log.Debug("unexpected connection", "from", x.Source, "label", x.Label, "confidence", x.Confidence, "hypothesis", x.Hypothesis)
}

// unexpectedDatagram is told by the syslog door of datagrams that do not begin as syslog does. They are recorded or refused
// like all others.
func (s *server) unexpectedDatagram(from net.Addr, datagram []byte) {
	if x := traffic.DescribePacket(datagram, from, s.udp.LocalAddr()); x.Label != traffic.Syslog {
		s.unexpected(x)
	}
}

// persistent records what a source did within an hour. Text and all it is a label, for what has one label is counted together within
// a minute, and the monitor has counted already.
func (s *server) persistent(a traffic.Abuse) {
	var from net.Addr
	if a.Address.IsValid() {
		from = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Address, 0))
	}
	s.repo.Alert(from, alertTraffic+": "+a.Text, "")
}

type (
	trafficIn struct {
		Port uint16 `json:"port,omitzero"` // of the server's; 0: all
		Last int    `json:"last,omitzero"` // sightings
	}
	trafficOut struct {
		Since   time.Time          `json:"since"`
		Counts  []traffic.Count    `json:"counts"`   // since then
		LastDay []traffic.Count    `json:"last_day"` // of 24 hours
		Sources []traffic.Source   `json:"sources"`
		Recent  []traffic.Sighting `json:"recent"` // the newest first
	}
)

// trafficRoutes are the server's side of hippad traffic.
func (s *server) trafficRoutes() []route {
	return []route{
		{pattern: "POST /admin/traffic", needs: hippad.ActObserve, handler: answers(s, func(_ context.Context, _ hippad.Caller, in trafficIn) (trafficOut, error) {
			return s.seenTraffic(in), nil
		})},
	}
}

func (s *server) seenTraffic(in trafficIn) trafficOut {
	out := trafficOut{
		Since: s.traffic.Since().UTC(), Counts: s.traffic.Counts(), LastDay: s.traffic.LastDay(in.Port), Sources: s.traffic.Sources(), Recent: []traffic.Sighting{},
	}
	if in.Port != 0 {
		out.Counts = slices.DeleteFunc(out.Counts, func(c traffic.Count) bool { return c.Port != in.Port })
	}
	for _, x := range s.traffic.Recent() {
		if (in.Port == 0 || x.Port == in.Port) && len(out.Recent) < in.Last {
			out.Recent = append(out.Recent, x)
		}
	}
	return out
}

// trafficCollector gives the counts to /metrics. Labels and hypotheses are the program's own words.
type trafficCollector struct{ s *server }

// Describe implements prometheus.Collector: nothing said beforehand makes it an unchecked one.
func (trafficCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c trafficCollector) Collect(out chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("hippad_unexpected_connections_total", "Connections and datagrams that nobody here expected, by what their first bytes are and what their senders may be up to.",
		[]string{"network", "port", "label", "hypothesis"}, nil)
	for _, n := range c.s.traffic.Counts() {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n.Count), n.Network, strconv.Itoa(int(n.Port)), n.Label.String(), n.Hypothesis.String())
	}
}

func newTraffic() *cobra.Command {
	var c connection
	var look sensing
	var in trafficIn
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "traffic",
		Short: "what came to the port that nobody expected",
		Long: `Ask the server what came to its ports that belongs to none of its doors: counts by protocol and by what the sender may be up to, the
sources, and the newest ones. The protocol is told from the first bytes, without a word of reply. How sure that is stands beside it:
exact (a mark that nothing else has), structural (lengths and fields agree), prefix, or weak. What the sender is up to is a hypothesis; it is
called likely when it rests on what else the source did within minutes. One machine sees too little to know more, and nothing of
what the kernel answers itself: a half-open scan (SYN) is not seen.

With --listen no server is asked: the command listens itself, looks at the first 4 KiB or 4 seconds of whatever comes, never answers, and writes
a line for each. Nothing of the content is kept but how the client calls itself and a digest, and of DICOM, HL7, X12, EDIFACT and the like not
even a digest.`,
		Example: `  hippad traffic
  hippad traffic --last 50 --json
  hippad traffic --listen 2988
  hippad traffic --listen 127.0.0.1:2888 --udp --json --count 100`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			look.json = asJSON
			if cmd.Flags().Changed("listen") {
				for _, name := range []string{"last", "port", "server", "data", "ca", "cert"} {
					if cmd.Flags().Changed(name) {
						return usagef("--%s asks a server, and --listen asks none", name)
					}
				}
				return look.run(cmd)
			}
			for _, name := range []string{"udp", "count", "payload"} {
				if cmd.Flags().Changed(name) {
					return usagef("--%s needs --listen", name)
				}
			}
			if in.Last < 0 || in.Last > 200 {
				return usagef("--last %d: want 0 to 200", in.Last)
			}
			out, err := call[trafficOut](cmd.Context(), &c, "/admin/traffic", in)
			if err != nil {
				return withoutServer(err)
			}
			if asJSON {
				return printJSON(cmd, out)
			}
			showTraffic(cmd.OutOrStdout(), cmd.ErrOrStderr(), out)
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.IntVar(&in.Last, "last", 10, "`NUMBER` of the newest to show, up to 200")
	f.Uint16Var(&in.Port, "port", 0, "only what came to this `PORT` of the server; sources are shown with what they did at all")
	f.BoolVar(&asJSON, "json", false, "as JSON; with --listen a line for each")
	f.StringVar(&look.listen, "listen", "", "listen at this `PORT` or ADDRESS:PORT instead of asking a server")
	f.BoolVar(&look.udp, "udp", false, "with --listen: look at datagrams to the same port, too")
	f.IntVar(&look.count, "count", 0, "with --listen: end after this `NUMBER` (0: when interrupted)")
	f.BoolVar(&look.payload, "payload", false, "with --listen: show the first 64 bytes in hex, except of what may hold patient data")
	return cmd
}

// withoutServer says what can be done when no server answers.
func withoutServer(err error) error {
	const instead = "to look at a port without a server, use hippad traffic --listen PORT"
	message, hint := hippad.Public(err)
	switch hippad.KindOf(err) {
	case hippad.Unavailable, hippad.Unauthorised:
		if hint != "" {
			hint += "; "
		}
		return &hippad.Error{Kind: hippad.KindOf(err), Message: message, Hint: hint + instead, Cause: err}
	}
	return err
}

// showTraffic writes the three tables.
func showTraffic(w, talk io.Writer, out trafficOut) {
	if len(out.Counts) == 0 {
		fmt.Fprintf(talk, "hippad: nothing unexpected came since %s\n", minute(out.Since))
		return
	}
	type what struct {
		network    string
		port       uint16
		label      traffic.Label
		hypothesis traffic.Hypothesis
	}
	day := map[what]int64{}
	for _, n := range out.LastDay {
		day[what{n.Network, n.Port, n.Label, n.Hypothesis}] = n.Count
	}
	rows := [][]string{{"PROTOCOL", "HYPOTHESIS", "PORT", "24 HOURS", "SINCE " + strings.ToUpper(minute(out.Since))}}
	for _, n := range out.Counts {
		rows = append(rows, []string{n.Label.String(), n.Hypothesis.String(), fmt.Sprintf("%d/%s", n.Port, n.Network),
			fmt.Sprint(day[what{n.Network, n.Port, n.Label, n.Hypothesis}]), fmt.Sprint(n.Count)})
	}
	writeTable(w, rows)
	rows = [][]string{{"SOURCE", "NUMBER", "HYPOTHESIS", "LAST", "PROTOCOLS"}}
	for _, x := range out.Sources[:min(len(out.Sources), 20)] {
		rows = append(rows, []string{sourceAddress(x.Source), fmt.Sprint(x.Count), hypothesis(x.Hypothesis, x.Likely), minute(x.Last), protocols(x.Labels)})
	}
	fmt.Fprintln(w)
	writeTable(w, rows)
	if more := len(out.Sources) - 20; more > 0 {
		fmt.Fprintf(w, "and %d more sources (--json has all)\n", more)
	}
	if len(out.Recent) == 0 {
		return
	}
	rows = [][]string{{"TIME", "SOURCE", "PORT", "PROTOCOL", "CONFIDENCE", "HYPOTHESIS", "BYTES", "MORE"}}
	for _, x := range out.Recent {
		rows = append(rows, []string{x.At.UTC().Format("2006-01-02 15:04:05"), x.Source.String(), fmt.Sprintf("%d/%s", x.Port, x.Network), sightingLabel(x),
			x.Confidence.String(), hypothesis(x.Hypothesis, x.Likely), fmt.Sprint(x.Bytes), printable(sightingMore(x))})
	}
	fmt.Fprintln(w)
	writeTable(w, rows)
}

func sourceAddress(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "unknown"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

func hypothesis(h traffic.Hypothesis, likely bool) string {
	if likely {
		return h.String() + " (likely)"
	}
	return h.String()
}

// protocols are the labels of a source, the most first.
func protocols(counts map[traffic.Label]int64) string {
	var all []traffic.Label
	for l := range counts {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b traffic.Label) int {
		if counts[a] != counts[b] {
			return int(counts[b] - counts[a])
		}
		return int(a) - int(b)
	})
	var words []string
	for _, l := range all[:min(len(all), 6)] {
		words = append(words, fmt.Sprintf("%s %d", l, counts[l]))
	}
	if len(all) > 6 {
		words = append(words, "...")
	}
	return strings.Join(words, ", ")
}

func sightingLabel(x traffic.Sighting) string {
	if x.InTLS {
		return x.Label.String() + " in tls"
	}
	return x.Label.String()
}

// sightingMore is what else is known of one.
func sightingMore(x traffic.Sighting) string {
	var parts []string
	if x.Client != "" {
		parts = append(parts, x.Client)
	}
	if h := x.Hello; h != nil {
		if h.ServerName != "" {
			parts = append(parts, "for "+h.ServerName)
		}
		if len(h.Protocols) > 0 {
			parts = append(parts, "alpn "+strings.Join(h.Protocols, ","))
		}
		parts = append(parts, h.JA4)
	}
	if x.Evidence != "" {
		parts = append(parts, x.Evidence)
	}
	return strings.Join(parts, "; ")
}
