package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hippad/internal/port"
)

// A field writes lines under a heading at the left.
type field struct {
	w    io.Writer
	name string
}

func (f *field) line(format string, args ...any) {
	fmt.Fprintf(f.w, "%-12s%s\n", f.name, printable(fmt.Sprintf(format, args...)))
	f.name = ""
}

// writePortPage writes a page as text.
func writePortPage(w io.Writer, p port.Page, why bool) {
	f := &field{w, strconv.Itoa(int(p.Port))}
	text := fmt.Sprintf("%s port (%s)", p.Tier, p.TierRange)
	if p.Host != nil && p.Ephemeral != nil {
		text += fmt.Sprintf("; ephemeral on this host: %s (%s)", yesOrNo(*p.Ephemeral), p.Host.Ephemeral)
	}
	f.line("%s", text)
	writeRegistered(w, p)
	f = &field{w, "status"}
	f.line("%s", p.Status)
	for i, e := range p.Evidence {
		if i == 1 && !why {
			f.line("and %d more (--why)", len(p.Evidence)-1)
			break
		}
		f.line("%s", e)
	}
	if p.View != nil {
		writeListening(w, *p.View)
	}
	f = &field{w, "also seen"}
	for _, e := range p.AlsoSeen {
		f.line("%s", e)
	}
	if p.Traffic != nil {
		writeTraffic(w, *p.Traffic)
	}
	if p.Probe != nil {
		writeProbe(w, *p.Probe)
	}
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func writeRegistered(w io.Writer, p port.Page) {
	f := &field{w, "registered"}
	if len(p.Registrations) == 0 {
		f.line("for nobody")
	}
	for _, r := range p.Registrations {
		name := r.Name
		if name == "" {
			name = "no service"
		}
		text := strings.TrimSpace(name + "  " + strings.Join(r.Transports, " "))
		if r.Last > r.First {
			text += fmt.Sprintf("  (%d-%d)", r.First, r.Last)
		}
		if r.Description != "" {
			text += fmt.Sprintf("  %q", r.Description)
		}
		f.line("%s", text)
		if !r.HasDetails() {
			f.line("    assignee, dates and reference are not in our copy: it has no such row in %s", p.Registry.DetailsAsOf)
			continue
		}
		if r.Assigned() {
			f.line("    %s; %s; %s", orElse(r.Assignee, "no assignee"), datesOf(r), orElse(r.Reference, "no reference"))
		}
		for _, note := range []string{r.Note, r.Unauthorised} {
			if note != "" {
				f.line("    %s", note)
			}
		}
	}
	for _, remark := range p.Remarks {
		f.line("    %s", remark)
	}
	if len(p.Same) > 0 {
		var others []string
		for _, s := range p.Same {
			others = append(others, s.Port.String()+" "+s.Name)
		}
		f.line("    the same assignee: %s", strings.Join(others, ", "))
	}
	f.line("    registry: %s", copyOf(p.Registry))
}

// copyOf says which copy of the registry it is, and of when.
func copyOf(d port.Dates) string {
	switch {
	case d.NamesAsOf == "":
		return d.Source + ", which has no dates"
	case d.NamesAsOf == d.DetailsAsOf:
		return d.Source + ", newest row of " + d.NamesAsOf
	}
	text := fmt.Sprintf("names of %s, all else of %s", d.NamesAsOf, d.DetailsAsOf)
	if d.FixesAsOf != "" {
		text += "; rows that both lack of " + d.FixesAsOf
	}
	return text
}

func orElse(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

func datesOf(r port.Record) string {
	switch {
	case r.Registered != "" && r.Modified != "":
		return "registered " + r.Registered + ", changed " + r.Modified
	case r.Registered != "":
		return "registered " + r.Registered
	case r.Modified != "":
		return "changed " + r.Modified
	}
	return "no date"
}

func writeListening(w io.Writer, v port.View) {
	f := &field{w, "listening"}
	complete := "complete: " + yesOrNo(v.Complete)
	if v.Untested {
		complete += "; untested on this system"
	}
	switch {
	case len(v.Listeners) == 0 && v.AllPorts:
		f.line("nothing  (%s; rules that forward packets were not read)", complete)
	case len(v.Listeners) == 0:
		f.line("nothing was seen, but not everything could be  (%s)", complete)
	}
	for i, l := range v.Listeners {
		for j, at := range l.Reaches() {
			text := l.Transport + " " + at
			if j == 0 {
				text += "  " + holdersOf(l)
			}
			if i == 0 && j == 0 {
				text += "  (" + complete + ")"
			}
			f.line("%s", text)
		}
		if l.Namespace != "" {
			f.line("    in network namespace %s", l.Namespace)
		}
		for _, p := range l.Owners {
			if p.PID == 1 && p.Name == "systemd" {
				f.line("    systemd holds it, perhaps for a service that is not running: systemctl list-sockets")
			}
		}
	}
	for _, h := range v.Hidden {
		f.line("not seen: %s", h)
	}
}

// holdersOf says who holds a listener, on one line.
func holdersOf(l port.Listener) string {
	var parts []string
	for _, p := range l.Owners {
		text := fmt.Sprintf("%s  pid %d", orElse(p.Name, "(name hidden)"), p.PID)
		if p.User != "" {
			text += "  " + p.User
		}
		if place := strings.TrimSpace(p.Unit + " " + p.Container); place != "" {
			text += "  " + place
		}
		if !p.Started.IsZero() {
			text += "  since " + p.Started.Format(time.RFC3339)
		}
		parts = append(parts, text)
	}
	if l.Hidden != "" {
		parts = append(parts, l.Hidden)
	}
	if place := strings.TrimSpace(l.Unit + " " + l.Container); place != "" && len(l.Owners) == 0 {
		parts = append(parts, place)
	}
	return strings.Join(parts, "; ")
}

func writeTraffic(w io.Writer, t port.Traffic) {
	f := &field{w, "traffic"}
	var labels []string
	for _, l := range t.Labels {
		text := fmt.Sprintf("%d %s", l.Count, l.Label)
		if l.Hypothesis != "" {
			text += " (" + l.Hypothesis + ")"
		}
		labels = append(labels, text)
	}
	text := fmt.Sprintf("since %s: %d unexpected", t.Since.Format(time.RFC3339), t.Unexpected)
	if len(labels) > 0 {
		text += ": " + strings.Join(labels, ", ")
	}
	f.line("%s", text)
}

func writeProbe(w io.Writer, found port.Finding) {
	f := &field{w, "probe"}
	f.line("%s speaks %s", found.Address, strings.Join(found.Speaks, "; "))
	if t := found.TLS; t != nil && t.Subject+t.Issuer+strings.Join(t.Names, "") != "" {
		f.line("    certificate of %s, by %s, for %s, until %s", orElse(t.Subject, "(no subject)"), orElse(t.Issuer, "(no issuer)"),
			orElse(strings.Join(t.Names, ", "), "no name"), t.NotAfter.Format(time.RFC3339))
		f.line("    trusted by this machine: %s", t.Trusted)
		if len(t.ALPN) > 0 {
			f.line("    takes by ALPN: %s", strings.Join(t.ALPN, ", "))
		}
		if t.AsksForCert {
			f.line("    asks for a client certificate")
		}
	}
	if found.Connected {
		f.line("    hippad/1: %s", yesOrNo(found.Hippad))
	}
}

// registeredAs is a page's registration in a cell.
func registeredAs(p port.Page) string {
	var names []string
	for _, r := range p.Registrations {
		if text := orElse(r.Name, strings.ToLower(r.Description)) + " " + strings.Join(r.Transports, "/"); !strings.Contains(strings.Join(names, ", "), text) {
			names = append(names, strings.TrimSpace(text))
		}
	}
	text := strings.Join(names, ", ")
	if len(p.AlsoSeen) > 0 {
		text = strings.TrimPrefix(text+"; also "+p.AlsoSeen[0].Says, "; ")
	}
	return printable(text)
}

func listeningAs(v port.View) string {
	var parts []string
	for _, l := range v.Listeners {
		parts = append(parts, l.Transport+" "+l.Reaches()[0]+" "+shortHolders(l))
	}
	return printable(strings.Join(parts, "; "))
}

func shortHolders(l port.Listener) string {
	var parts []string
	for _, p := range l.Owners {
		parts = append(parts, fmt.Sprintf("%s (%d)", orElse(p.Name, "?"), p.PID))
	}
	if len(parts) == 0 {
		return "owner hidden"
	}
	return strings.Join(parts, ", ")
}

// portRow is a listener as a row of the list.
func portRow(l port.Listener, registry string) []string {
	at := strings.Join(l.Reaches(), ", ")
	if l.Namespace != "" {
		at += " in namespace " + l.Namespace
	}
	return []string{fmt.Sprintf("%d/%s", l.Port, l.Transport), printable(at), printable(shortHolders(l)), printable(l.User), printable(strings.TrimSpace(l.Unit + " " + l.Container)), printable(registry)}
}

// tellHidden says below a list what is not in it.
func tellHidden(cmd *cobra.Command, v port.View) {
	for _, h := range v.Hidden {
		fmt.Fprintf(cmd.ErrOrStderr(), "hippad: not seen: %s\n", printable(h))
	}
	if v.Untested {
		fmt.Fprintln(cmd.ErrOrStderr(), "hippad: untested on this system")
	}
}

// A portChange is a listener that came or went.
type portChange struct {
	At     time.Time `json:"at"`
	Change string    `json:"change"` // listening at the start, opened, closed
	port.Listener
	Registry string `json:"registry"`
}

// follow looks again and again, and prints what has changed, until the command is interrupted.
func (o *portOptions) follow(cmd *cobra.Command, desk *port.Desk, ranges []port.Range) error {
	known := map[string]port.Listener{}
	ticker := time.NewTicker(o.every)
	defer ticker.Stop()
	for word := "listening"; ; word = "opened" {
		v, err := desk.Look(port.Want{Ports: ranges, Owners: true})
		if err != nil {
			return codedError{err, exitUnseen}
		}
		if word == "listening" {
			tellHidden(cmd, v)
			if len(v.Listeners) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "hippad: nothing that can be seen listens there now")
			}
		}
		if err := o.printChanges(cmd, desk, word, v, known); err != nil {
			return err
		}
		select {
		case <-cmd.Context().Done():
			if context.Cause(cmd.Context()) == context.DeadlineExceeded {
				return cmd.Context().Err()
			}
			return exitOf(v)
		case <-ticker.C:
		}
	}
}

// printChanges compares a view with the one before, which known becomes.
func (o *portOptions) printChanges(cmd *cobra.Command, desk *port.Desk, word string, v port.View, known map[string]port.Listener) error {
	now := time.Now().UTC().Truncate(time.Second)
	here := map[string]bool{}
	for _, l := range v.Listeners {
		key := fmt.Sprint(l.Transport, l.Reaches(), l.Namespace, shortHolders(l))
		for here[key] { // as many as there are: several sockets of one process may share a port
			key += "+"
		}
		here[key] = true
		if _, ok := known[key]; !ok {
			known[key] = l
			if err := o.printChange(cmd, portChange{now, word, l, desk.Line(l.Port)}); err != nil {
				return err
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if l := known[key]; !here[key] {
			delete(known, key)
			if err := o.printChange(cmd, portChange{now, "closed", l, desk.Line(l.Port)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *portOptions) printChange(cmd *cobra.Command, c portChange) error {
	if o.asJSON {
		return printJSON(cmd, c)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %-9s  %s\n", c.At.Format(time.RFC3339), c.Change,
		printable(fmt.Sprintf("%s %s  %s  %s", c.Transport, c.Reaches()[0], shortHolders(c.Listener), c.Registry)))
	return err
}
