package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/front"
	"hippad/internal/identity"
	"hippad/internal/port"
)

// The exit codes of hippad port are of its own: they answer a question that scripts ask.
const (
	exitFree    = 0  // answered, and nothing listens
	exitListens = 1  // something listens
	exitUnseen  = 2  // nothing was seen, and not everything could be
	exitUsage   = 64 // EX_USAGE of sysexits.h
)

// exitCode is the error of a command that has said everything, with the code to end with.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// codedError is an error to be shown, with the code to end with.
type codedError struct {
	error
	code int
}

func (e codedError) Unwrap() error { return e.error }

// wrongPort makes a wrong call of hippad port.
func wrongPort(err error) error { return codedError{err, exitUsage} }

// portDesk answers about this machine, from inside the server.
func (s *server) portDesk() *port.Desk {
	desk := port.Local(port.Embedded())
	desk.Traffic = s.unexpectedTraffic
	return desk
}

// unexpectedTraffic counts what came to this server within a day and belonged to no door; false for a port that is not this server's.
func (s *server) unexpectedTraffic(n uint16) (t port.Traffic, ok bool) {
	for _, l := range s.listeners {
		if a, isTCP := l.Addr().(*net.TCPAddr); isTCP && a.Port == int(n) {
			ok = true
		}
	}
	t = port.Traffic{Since: s.traffic.Since(), Labels: []port.LabelCount{}}
	if day := s.config.now().Add(-24 * time.Hour); t.Since.Before(day) {
		t.Since = day
	}
	for _, c := range s.traffic.LastDay(n) {
		t.Unexpected += c.Count
		t.Labels = append(t.Labels, port.LabelCount{Label: c.Label.String(), Hypothesis: c.Hypothesis.String(), Count: c.Count})
	}
	return t, ok
}

type portTrafficIn struct {
	Port uint16 `json:"port"`
}

// portRoutes are the page over HTTP, and what hippad port asks of the server on its machine. The registry is open to everybody; who
// listens on this machine is for those who may observe it.
func (s *server) portRoutes() []route {
	page := &port.Handler{Desk: s.portDesk(), Log: s.log, MayLook: func(r *http.Request) bool { return front.CallerOf(r).May(hippad.ActObserve) }}
	return []route{
		{pattern: "GET /port/{port}", open: true, page: true, handler: page},
		{pattern: "POST /admin/port/traffic", needs: hippad.ActObserve, handler: answers(s, func(_ context.Context, _ hippad.Caller, in portTrafficIn) (port.Traffic, error) {
			t, ok := s.unexpectedTraffic(in.Port)
			if !ok {
				return t, hippad.Errorf(hippad.NotFound, "this server does not listen on port %d", in.Port)
			}
			return t, nil
		})},
	}
}

type portOptions struct {
	data, registry                  string
	asJSON, why, free, watch, probe bool
	every                           time.Duration
	look                            func(port.Want) (port.View, error)
	askTraffic                      func(context.Context, uint16) (port.Traffic, bool, error)
}

func newPort() *cobra.Command {
	o := portOptions{look: port.Listeners}
	cmd := &cobra.Command{
		Use:   "port [N | NAME | A-B]",
		Short: "what a port is, who holds it, and what speaks on it",
		Long: `Show the page of a port: its range (RFC 6335), what IANA has registered, whether anything real is behind the name and on what
evidence, who listens on it here, and who else is known to use it. Without a port: everything that listens on this machine.

Nothing is sent anywhere and no port is touched, unless --probe is given: then this machine's port is connected to a few times, and the page
says what it really speaks. Only for the port of a hippad server on this machine that server is asked what unexpected traffic it has seen.

The exit code answers for scripts: 0 nothing listens, 1 something does, 2 nothing was seen but not everything could be, 64 a wrong call. A
list of everything, and --free, end with 0, or 2 if something was hidden; --free with 1 if no port is free.`,
		Example: `  hippad port 2988
  hippad port 2988 --why --probe
  hippad port postgresql --json
  hippad port 2980-2995
  hippad port 8000 --free
  hippad port 2988 --registry service-names-port-numbers.csv
  hippad port --watch`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return wrongPort(fmt.Errorf("%q is one argument too many", args[1]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			text := ""
			if len(args) == 1 {
				text = args[0]
				if strings.TrimSpace(text) == "" {
					return wrongPort(hippad.Errorf(hippad.Invalid, "a port is missing").WithHint("give a number from 1 to 65535, A-B, or the name of a service"))
				}
			}
			return o.run(cmd, text)
		},
	}
	o.askTraffic = o.askServer
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if number, ok := negativePort(err); ok {
			err = hippad.Errorf(hippad.Invalid, "there is no port %s", number).WithHint("ports have numbers from 1 to 65535; for some in a row write 2980-2995")
		}
		return wrongPort(err)
	})
	f := cmd.Flags()
	f.BoolVar(&o.asJSON, "json", false, "as JSON")
	f.BoolVar(&o.why, "why", false, "every line of evidence for the status")
	f.BoolVar(&o.free, "free", false, "the next user port, from the one given on or within A-B, that is free here and registered for nobody")
	f.StringVar(&o.registry, "registry", "", "IANA's service-names-port-numbers.csv, downloaded to `FILE`, instead of the table in this program")
	f.BoolVar(&o.watch, "watch", false, "go on, and print a line for every listener that comes or goes")
	f.DurationVar(&o.every, "every", time.Second, "how often --watch looks")
	f.BoolVar(&o.probe, "probe", false, "connect to the port of this machine, and say what it speaks")
	f.StringVar(&o.data, "data", defaultData, "data `DIRECTORY` of the hippad server on this machine")
	return cmd
}

// negativePort finds out that a flag that does not exist was meant as a number.
func negativePort(err error) (string, bool) {
	_, after, found := strings.Cut(err.Error(), "unknown shorthand flag: ")
	if !found {
		return "", false
	}
	_, arg, found := strings.Cut(after, " in ")
	if !found || len(arg) < 2 || arg[1] < '0' || arg[1] > '9' {
		return "", false
	}
	return arg[:min(len(arg), 20)], true
}

// run does what the flags say.
func (o *portOptions) run(cmd *cobra.Command, text string) error {
	registry, err := o.openRegistry()
	if err != nil {
		return err
	}
	desk := port.Local(registry)
	desk.Look = o.look
	var ranges []port.Range
	if text != "" {
		if ranges, err = port.Parse(text, registry); err != nil {
			return wrongPort(err)
		}
	}
	single := len(ranges) == 1 && ranges[0].First == ranges[0].Last
	switch {
	case o.every < 10*time.Millisecond:
		return wrongPort(fmt.Errorf("--every %v: want 10ms or more", o.every))
	case o.probe && !single:
		return wrongPort(fmt.Errorf("--probe needs one port"))
	case o.probe && o.watch:
		return wrongPort(fmt.Errorf("--probe does not go with --watch"))
	case o.free && (o.watch || o.probe):
		return wrongPort(fmt.Errorf("--free goes with neither --watch nor --probe"))
	case o.free:
		in := port.User.Range()
		if len(ranges) > 0 && ranges[0].First > in.Last {
			return wrongPort(hippad.Errorf(hippad.Invalid, "--free looks for user ports, and %s is dynamic", ranges[0]).WithHint("user ports are %s", in))
		}
		if len(ranges) > 0 && ranges[0].First < ranges[0].Last {
			in = ranges[0]
		} else if len(ranges) > 0 {
			in.First = ranges[0].First
		}
		return o.printFree(cmd, desk, in)
	case o.watch:
		return o.follow(cmd, desk, ranges)
	case single:
		return o.onePage(cmd, desk, ranges[0].First)
	case len(ranges) > 0:
		return o.manyPages(cmd, desk, ranges)
	}
	return o.list(cmd, desk)
}

func (o *portOptions) openRegistry() (*port.Registry, error) {
	if o.registry == "" {
		return port.Embedded(), nil
	}
	f, err := os.Open(o.registry)
	if err != nil {
		return nil, wrongPort(err)
	}
	defer f.Close()
	r, err := port.ReadCSV(f, filepath.Base(o.registry))
	if err != nil {
		return nil, wrongPort(err)
	}
	return r, nil
}

// exitOf answers the question of a script.
func exitOf(v port.View) error {
	switch {
	case len(v.Listeners) > 0:
		return exitCode(exitListens)
	case !v.AllPorts:
		return exitCode(exitUnseen)
	}
	return nil
}

func (o *portOptions) onePage(cmd *cobra.Command, desk *port.Desk, n uint16) error {
	asked := ""
	desk.Traffic = func(n uint16) (port.Traffic, bool) {
		t, ok, err := o.askTraffic(cmd.Context(), n)
		if err != nil {
			asked = err.Error()
		}
		return t, ok
	}
	p, err := desk.Page(n)
	if err != nil {
		return codedError{err, exitUnseen}
	}
	if asked != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "hippad: the server of %s was not asked for its traffic: %s\n", o.data, asked)
	}
	if o.probe {
		found := port.Probe(cmd.Context(), port.ProbeTarget(n, p.View))
		p.Probe = &found
	}
	if o.asJSON {
		err = printJSON(cmd, p)
	} else {
		w := bufio.NewWriter(cmd.OutOrStdout())
		writePortPage(w, p, o.why)
		err = w.Flush()
	}
	if err != nil {
		return err
	}
	return exitOf(*p.View)
}

func (o *portOptions) manyPages(cmd *cobra.Command, desk *port.Desk, ranges []port.Range) error {
	pages, v, err := desk.Pages(ranges)
	if err != nil {
		return codedError{err, exitUnseen}
	}
	if o.asJSON {
		for _, p := range pages {
			if err := printJSON(cmd, p); err != nil {
				return err
			}
		}
		return exitOf(v)
	}
	rows := [][]string{{"PORT", "STATUS", "REGISTERED", "LISTENING"}}
	for _, p := range pages {
		rows = append(rows, []string{strconv.Itoa(int(p.Port)), string(p.Status), registeredAs(p), listeningAs(*p.View)})
	}
	writeTable(cmd.OutOrStdout(), rows)
	if len(rows) == 1 {
		fmt.Fprintln(cmd.OutOrStdout(), "nothing is registered there, and nothing listens")
	}
	tellHidden(cmd, v)
	return exitOf(v)
}

// list shows everything that listens.
func (o *portOptions) list(cmd *cobra.Command, desk *port.Desk) error {
	v, err := desk.Look(port.Want{Owners: true})
	if err != nil {
		return codedError{err, exitUnseen}
	}
	if o.asJSON {
		out := listOut{View: v, Ports: []portLine{}}
		for _, l := range v.Listeners {
			if n := len(out.Ports); n == 0 || out.Ports[n-1].Port != l.Port {
				out.Ports = append(out.Ports, portLine{l.Port, desk.Line(l.Port)})
			}
		}
		if err := printJSON(cmd, out); err != nil {
			return err
		}
	} else {
		rows := [][]string{{"PORT", "ADDRESS", "PROCESS", "USER", "UNIT", "REGISTRY"}}
		for _, l := range v.Listeners {
			rows = append(rows, portRow(l, desk.Line(l.Port)))
		}
		writeTable(cmd.OutOrStdout(), rows)
		tellHidden(cmd, v)
	}
	if !v.Complete {
		return exitCode(exitUnseen)
	}
	return nil
}

type (
	listOut struct {
		port.View
		Ports []portLine `json:"ports"`
	}
	portLine struct {
		Port     uint16 `json:"port"`
		Registry string `json:"registry"`
	}
)

func (o *portOptions) printFree(cmd *cobra.Command, desk *port.Desk, in port.Range) error {
	v, err := desk.Look(port.Want{})
	if err != nil {
		return codedError{err, exitUnseen}
	}
	n, ok := desk.Free(in, v)
	if !ok {
		return codedError{hippad.Errorf(hippad.NotFound, "no user port of %d-%d is free: each is held here, registered, or taken for connections", in.First, in.Last), exitListens}
	}
	if o.asJSON {
		err = printJSON(cmd, struct {
			Port     uint16   `json:"port"`
			AllPorts bool     `json:"allPorts"`
			Hidden   []string `json:"hidden"`
		}{n, v.AllPorts, v.Hidden})
	} else {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), n)
		tellHidden(cmd, v)
	}
	if err == nil && !v.AllPorts {
		err = exitCode(exitUnseen)
	}
	return err
}

// askServer asks the server of --data about a port, if it is that server's.
func (o *portOptions) askServer(ctx context.Context, n uint16) (t port.Traffic, ok bool, err error) {
	c := connection{data: o.data}
	text, err := os.ReadFile(filepath.Join(o.data, addressFile))
	if err != nil {
		return t, false, nil // there is none
	}
	_, number, err := net.SplitHostPort(strings.TrimSpace(string(text)))
	if err != nil || number != strconv.Itoa(int(n)) {
		return t, false, nil
	}
	if _, err := identity.OperatorTLS(o.data); err != nil {
		return t, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	t, err = call[port.Traffic](ctx, &c, "/admin/port/traffic", portTrafficIn{n})
	return t, err == nil, err
}
