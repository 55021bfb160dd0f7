package main

import (
	"net"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad/internal/port"
)

// BenchmarkPort runs hippad port beside the tools of others, as whole processes: with what this machine has open, and with 500 listeners
// and 10,000 connections more. Inside the process, without its start, the same is in BenchmarkPortInProcess.
func BenchmarkPort(b *testing.B) {
	program := filepath.Join(b.TempDir(), "hippad")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	benchLoads(b, func(b *testing.B) {
		for _, line := range []string{
			"true", program + " version",
			program + " port 2988", "ss -tuln sport = :2988", "lsof -nP -iTCP:2988 -sTCP:LISTEN",
			program + " port", "ss -tulpn", "lsof -nP -i", "netstat -tulpn",
		} {
			words := strings.Fields(line)
			if _, err := exec.LookPath(words[0]); err != nil {
				continue
			}
			b.Run(strings.ReplaceAll(filepath.Base(words[0])+" "+strings.Join(words[1:], " "), "/", "_"), func(b *testing.B) {
				var took []time.Duration
				for b.Loop() {
					began := time.Now()
					_ = exec.CommandContext(b.Context(), words[0], words[1:]...).Run() // an exit code is an answer of several of them
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[0].Microseconds())/1000, "min-ms")
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			})
		}
	})
}

// BenchmarkPortInProcess is the answer without the start of a process.
func BenchmarkPortInProcess(b *testing.B) {
	benchLoads(b, func(b *testing.B) {
		for name, want := range map[string]port.Want{
			"nothing listens": {Ports: []port.Range{{First: 2988, Last: 2988}}, Owners: true},
			"all":             {}, "all with owners": {Owners: true},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if _, err := port.Listeners(want); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

func benchLoads(b *testing.B, f func(*testing.B)) {
	if runtime.GOOS != "linux" {
		b.Skip("beside the tools of Linux")
	}
	b.Run("idle", f)
	b.Run("500 listeners and 10000 connections", func(b *testing.B) {
		holdSockets(b, 500, 10_000)
		f(b)
	})
}

// holdSockets opens listeners and connections for as long as a benchmark runs.
func holdSockets(b *testing.B, listeners, connections int) {
	var all []net.Listener
	for range listeners {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			b.Skipf("%d listeners could not be opened: %v", listeners, err)
		}
		b.Cleanup(func() { l.Close() })
		all = append(all, l)
	}
	for i := range connections / 2 { // both ends are here
		l := all[i%len(all)]
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			b.Skipf("%d connections could not be opened: %v", connections, err)
		}
		b.Cleanup(func() { c.Close() })
		far, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { far.Close() })
	}
}
