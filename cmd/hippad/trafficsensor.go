package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/traffic"
)

// A sensing is hippad traffic --listen.
type sensing struct {
	listen             string
	udp, json, payload bool
	count              int
}

// address is what to listen at: a port alone stands for every address of this machine.
func (x *sensing) address() (string, error) {
	text := x.listen
	if _, err := strconv.Atoi(text); err == nil {
		text = ":" + text
	}
	_, port, err := net.SplitHostPort(text)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
		return "", usagef("--listen %q: want a port like 2988, or an address like 192.0.2.1:2988", x.listen)
	}
	return text, nil
}

func (x *sensing) run(cmd *cobra.Command) error {
	address, err := x.address()
	if err != nil {
		return err
	}
	if x.count < 0 {
		return usagef("--count %d: want 0 or more", x.count)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return cannotListen(err)
	}
	defer l.Close()
	var pc net.PacketConn
	if x.udp {
		host, _, _ := net.SplitHostPort(address)
		if pc, err = net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))); err != nil {
			return cannotListen(err)
		}
		defer pc.Close()
	}
	ctx, stop := context.WithCancelCause(cmd.Context())
	defer stop(nil)
	seen := 0
	var counts []traffic.Count // of what was shown: more may come before the end
	sensor := &traffic.Sensor{Monitor: traffic.NewMonitor(time.Now), Payload: x.payload}
	sensor.Seen = func(s traffic.Sighting) {
		if x.count > 0 && seen >= x.count {
			return
		}
		if err := x.show(cmd, s); err != nil {
			stop(err)
			return
		}
		if seen++; seen == x.count {
			counts = sensor.Monitor.Counts()
			stop(nil)
		}
	}
	what := "connections"
	if x.udp {
		what = "connections and datagrams"
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "hippad: looking at %s to %s; nothing is answered\n", what, l.Addr())
	var wg sync.WaitGroup
	serve := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				stop(err)
			}
		})
	}
	serve(func(ctx context.Context) error { return sensor.Serve(ctx, l) })
	if pc != nil {
		serve(func(ctx context.Context) error { return sensor.ServePacket(ctx, pc) })
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if counts == nil {
		counts = sensor.Monitor.Counts()
	}
	for _, n := range counts {
		fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %d %s over %s, %s\n", n.Count, n.Label, n.Network, n.Hypothesis)
	}
	return nil
}

// show writes a line about one.
func (x *sensing) show(cmd *cobra.Command, s traffic.Sighting) error {
	s.At = s.At.UTC()
	if x.json {
		return printJSON(cmd, s)
	}
	line := fmt.Sprintf("%s %s %s %s (%s), %s, %d bytes in %d ms, %s", s.At.Format(time.RFC3339), s.Network, net.JoinHostPort(s.Source.String(), strconv.Itoa(int(s.SourcePort))),
		s.Label, s.Confidence, hypothesis(s.Hypothesis, s.Likely), s.Bytes, s.Millis, s.End)
	if s.End == "" {
		line = strings.TrimSuffix(line, ", ")
	}
	if more := sightingMore(s); more != "" {
		line += "; " + printable(more)
	}
	if s.Payload != "" {
		line += "; " + s.Payload
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), line)
	return err
}

// cannotListen says why, and what to do.
func cannotListen(err error) error {
	e := hippad.Errorf(hippad.Unavailable, "listen: %w", err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return e.WithHint("somebody listens there already")
	case errors.Is(err, fs.ErrPermission):
		return e.WithHint("ports below 1024 need root, or the right CAP_NET_BIND_SERVICE")
	}
	return e
}
