package main

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// A pageCommand is a command, and what it is said to print; empty if nothing is said.
type pageCommand struct{ command, prints string }

// The page shows the commands of the script, in its order, and what it says that they print is what the script compares.
func TestExampleBreach(t *testing.T) {
	page, err := os.ReadFile("../../docs/example-breach.md")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := txtar.ParseFile("testdata/breach_example.txtar")
	if err != nil {
		t.Fatal(err)
	}
	shown, run := commandsOfPage(string(page)), commandsOfScript(archive)
	for i := range max(len(shown), len(run)) {
		var a, b pageCommand
		if i < len(shown) {
			a = shown[i]
		}
		if i < len(run) {
			b = run[i]
		}
		if a.command != b.command {
			t.Fatalf("command %d: the page shows\n%s\nthe script runs\n%s", i+1, a.command, b.command)
		}
		if a.prints != b.prints {
			t.Errorf("%s: the page prints\n%s\nthe script wants\n%s", a.command, a.prints, b.prints)
		}
	}
	if len(run) < 20 {
		t.Errorf("only %d commands", len(run))
	}
}

func commandsOfPage(page string) (all []pageCommand) {
	for i, block := range strings.Split(page, "```") {
		if i%2 == 0 {
			continue
		}
		for line := range strings.Lines(strings.TrimPrefix(block, "\n")) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				all = append(all, pageCommand{command: strings.TrimSpace(command)})
			} else if len(all) > 0 {
				all[len(all)-1].prints += line
			}
		}
	}
	return all
}

var (
	scriptCommand = regexp.MustCompile(`^(?:exec|exits [0-9]+) (.*)$`)
	scriptCompare = regexp.MustCompile(`^cmp std(?:out|err) (.*)$`)
	scriptKeep    = regexp.MustCompile(`^cp stdout (.*)$`)
	notShown      = regexp.MustCompile(` --listen \S+| &\w+&$`)
)

func commandsOfScript(a *txtar.Archive) (all []pageCommand) {
	for line := range strings.Lines(string(a.Comment)) {
		line = strings.TrimSuffix(line, "\n")
		if m := scriptCommand.FindStringSubmatch(line); m != nil {
			all = append(all, pageCommand{command: notShown.ReplaceAllString(m[1], "")})
		}
		if m := scriptKeep.FindStringSubmatch(line); m != nil {
			all[len(all)-1].command += " > " + m[1]
		}
		if m := scriptCompare.FindStringSubmatch(line); m != nil {
			for _, f := range a.Files {
				if f.Name == path.Base(m[1]) {
					all[len(all)-1].prints = string(f.Data)
				}
			}
		}
	}
	return all
}
