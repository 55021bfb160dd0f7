package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"hippad/internal/identity"
)

// TestScripts runs the real program as people call it. Besides testscript's own, the scripts have these commands:
//
//	exits CODE PROGRAM [ARG...]      run it, and want this very exit code
//	ready DIR                        wait for the server of a data directory, and set $ADDR to where it listens
//	forge DIR INDEX BEFORE AFTER     replace text in the body of an entry, behind the log's back
//	size FILE BYTES                  make a file of so many bytes of text
//	say ADDRESS FILE                 connect, say what is in a file, and want to be closed without an answer
//	metrics DIR                      print what /metrics says to the operator
//	capture NAME REGEXP              set $NAME to what matches in the last command's stdout
//	day NAME DAYS                    set $NAME to the day so many days from now, UTC
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": scriptExits, "ready": scriptReady, "forge": scriptForge, "size": scriptSize, "capture": scriptCapture, "day": scriptDay,
			"say": scriptSay, "metrics": scriptMetrics,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready DIR")
	}
	data := ts.MkAbs(args[0])
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	for {
		var address string
		if address, err = healthy(ctx, data); err == nil {
			ts.Setenv("ADDR", address)
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("the server of %s does not answer: %v", args[0], err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// healthy asks the server of a data directory whether it is well, and returns where it listens.
func healthy(ctx context.Context, data string) (string, error) {
	text, err := os.ReadFile(filepath.Join(data, addressFile))
	if err != nil {
		return "", err
	}
	config, err := identity.ReporterTLS(filepath.Join(data, "ca.pem"), "")
	if err != nil {
		return "", err
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	address := strings.TrimSpace(string(text))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/healthz", nil)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("/healthz answers %s", response.Status)
	}
	return address, nil
}

func scriptSay(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: say ADDRESS FILE")
	}
	c, err := net.Dial("tcp", args[0])
	ts.Check(err)
	defer c.Close()
	_, err = io.WriteString(c, ts.ReadFile(args[1]))
	ts.Check(err)
	_ = c.(*net.TCPConn).CloseWrite() // the server may have seen enough, and have closed before
	if answer, _ := io.ReadAll(c); len(answer) > 0 {
		ts.Fatalf("answered %q", answer)
	}
}

func scriptMetrics(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: metrics DIR")
	}
	config, err := identity.OperatorTLS(ts.MkAbs(args[0]))
	ts.Check(err)
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Get("https://" + ts.Getenv("ADDR") + "/metrics")
	ts.Check(err)
	defer answer.Body.Close()
	_, err = io.Copy(ts.Stdout(), answer.Body)
	ts.Check(err)
}

func scriptForge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: forge DIR INDEX BEFORE AFTER")
	}
	index, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(forge(context.Background(), ts.MkAbs(args[0]), index, args[2], args[3]))
}

func scriptSize(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: size FILE BYTES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Repeat("x", n)), 0o600))
}

func scriptCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	expression, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := expression.FindString(ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("nothing in stdout matches %s", args[1])
	}
	ts.Setenv(args[0], found)
}

func scriptDay(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: day NAME DAYS")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Setenv(args[0], time.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly))
}

// Every command explains itself: what it does in one line and at length, with an example, and every flag with a word.
func TestHelp(t *testing.T) {
	for _, c := range newRoot().Commands() {
		if c.Short == "" || c.Example == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short %q, example %q", c.Name(), c.Short, c.Example)
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(line, "hippad "+c.Name()) {
				t.Errorf("%s: the example %q does not call it", c.Name(), line)
			}
		}
	}
}
