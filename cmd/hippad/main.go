// Command hippad is the daemon of port 2988 and every command around it.
//
// It owns flags, wiring, screens and exit codes, and knows all the rooms; none of them knows it. One file is one
// subcommand. The rules of its interface: results go to stdout, talk goes to stderr in lower case, prefixed with
// "hippad:", with a hint where one helps; every query has --json; nothing is coloured and no bar is drawn unless stderr
// is a terminal; the exit code is 0 for yes or done, 1 for no or failed, 2 for a wrong call; port has codes of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"hippad"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errNo is the error of a command whose answer is no and which has said so already.
var errNo = errors.New("no")

// usageError marks a wrong call: exit code 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run is the whole program, with its exit code; the tests call it too.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	var usage usageError
	var exit exitCode
	var coded codedError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNo):
		return 1
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "hippad: %v\nhippad: see %s --help\n", err, command.CommandPath())
		return 2
	}
	fmt.Fprintf(stderr, "hippad: %v\n", err)
	var kinded *hippad.Error
	if errors.As(err, &kinded) && kinded.Hint != "" {
		fmt.Fprintf(stderr, "hippad: %s\n", kinded.Hint)
	}
	if errors.As(err, &coded) {
		return coded.code
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "hippad",
		Short: "keep and prove what happened to patient data: the daemon of port 2988",
		Long: `hippad takes reports of what happened to patient data on port 2988 (ATNA syslog, FHIR AuditEvent, hippad/1), keeps
them in a log that nobody can quietly change, and proves it.

Start with:  hippad demo`,
		SilenceUsage: true, SilenceErrors: true,
		Args: onlyCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"log", "The log:", []*cobra.Command{newServe(), newReport(), newSearch(), newReceipt(), newVerify(), newAudit()}},
		{"senders", "Who reports, and who is told:", []*cobra.Command{newSources(), newConformance(), newForward(), newCrosswalk()}},
		{"who", "Who may:", []*cobra.Command{newMember(), newEnroll(), newRenew(), newAuthority(), newAccount()}},
		{"keep", "What is kept, and how:", []*cobra.Command{newRetention(), newHold(), newPurge(), newExport(), newRequest(), newKey(), newBackup(), newRestore()}},
		{"law", "What the law asks:", []*cobra.Command{newDisclosures(), newDisclose(), newAccess(), newBreach(), newReview(), newCompliance()}},
		{"port", "The port:", []*cobra.Command{newPort(), newTraffic()}},
		{"more", "And:", []*cobra.Command{newDemo(), newBench(), newVersion()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("more")
	root.SetCompletionCommandGroupID("more")
	return root
}

// onlyCommands is for a command that only has others below it.
func onlyCommands(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(c, args[0])
	}
	return nil
}

func unknownCommand(c *cobra.Command, name string) error {
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(name); len(near) > 0 {
		return usagef("there is no command %q: did you mean %s?", name, near[0])
	}
	return usagef("there is no command %q", name)
}

// exactArgs is cobra's, with our exit code and the names of what is missing.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing", names[len(args)])
		case len(args) > len(names):
			return usagef("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}
