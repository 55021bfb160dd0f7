package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be the program: called under the name hippad it runs main, so that scripts and tests use the
// real program, with the race detector in it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hippad": main})
}

// command returns the program as a process that has not been started.
func command(ctx context.Context, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Args[0] = "hippad"
	c.Env = append(os.Environ(), "XDG_STATE_HOME="+os.TempDir())
	return c
}

// hippad runs one command and returns what it said and its exit code.
func hippadRun(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := command(ctx, args...)
	var out, talk bytes.Buffer
	c.Stdout, c.Stderr = &out, &talk
	err := c.Run()
	if _, isExit := err.(*exec.ExitError); err != nil && !isExit {
		t.Fatal(err)
	}
	return out.String(), talk.String(), c.ProcessState.ExitCode()
}

// A process is a running hippad serve.
type process struct {
	Data      string // data directory
	Address   string // host:port of its TCP port
	CA        string // the PEM file that clients must trust
	SetupCode string // with which the first account is made; empty if there is one
	cmd       *exec.Cmd
	log       *lockedBuffer
}

// startServer starts hippad serve on a free port, in data (empty: a new temporary directory), and waits until it has greeted. Senders of
// this machine may report without a certificate.
func startServer(t testing.TB, data string, args ...string) *process {
	t.Helper()
	if data == "" {
		data = filepath.Join(t.TempDir(), "data")
	}
	p := &process{Data: data, CA: filepath.Join(data, "ca.pem"), log: &lockedBuffer{}}
	p.cmd = command(context.Background(), append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--trust", "127.0.0.0/8"}, args...)...)
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_, _ = p.cmd.Process.Wait()
		if t.Failed() {
			t.Logf("server log:\n%s", p.log)
		}
	})
	greeting := bufio.NewReader(stdout)
	first, err := greeting.ReadString('\n')
	if err != nil || !strings.Contains(first, "listening on") {
		t.Fatalf("server did not start: %q, %v\n%s", first, err, p.log)
	}
	for line := first; !strings.Contains(line, "--trust NETWORK"); { // the rest of the greeting, but for the code, which may not come
		if line, err = greeting.ReadString('\n'); err != nil {
			t.Fatalf("the greeting: %v\n%s", err, p.log)
		}
	}
	if greeting.Buffered() > 0 { // the greeting is one write, and came in one piece
		if line, err := greeting.ReadString('\n'); err == nil {
			_, p.SetupCode, _ = strings.Cut(strings.TrimSpace(line), "with the code ")
		}
	}
	go func() { _, _ = io.Copy(io.Discard, greeting) }()
	address, err := os.ReadFile(filepath.Join(data, "address"))
	if err != nil {
		t.Fatal(err)
	}
	p.Address = strings.TrimSpace(string(address))
	return p
}

// Stop ends the server as systemd does and returns its exit code.
func (p *process) Stop(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	state, err := p.cmd.Process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return state.ExitCode()
}

// Kill ends the server without giving it any chance.
func (p *process) Kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = p.cmd.Process.Wait()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually waits for a condition that another process brings about: it looks again until the deadline, which only a
// failing test reaches.
func eventually(t testing.TB, what string, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// samples returns the folder of third-party samples, which is not part of this repository, and skips the test when it is absent.
func samples(t testing.TB) string {
	t.Helper()
	folder := filepath.Join("..", "..", "..", "shared", "samples")
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the third-party samples are not here: ", fmt.Sprint(err))
	}
	return folder
}
