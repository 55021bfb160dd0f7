package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hippad"
	"hippad/internal/completeness"
	"hippad/internal/front"
	"hippad/internal/identity"
	"hippad/internal/repository"
)

// The two packages that must not know each other mean one code system.
func TestActivitySystem(t *testing.T) {
	if completeness.ActivitySystem != repository.ActivitySystem {
		t.Errorf("%s is not %s", completeness.ActivitySystem, repository.ActivitySystem)
	}
}

func TestParseSilences(t *testing.T) {
	all, each, err := parseSilences([]string{"6h", "pacs-1=30m", "address:192.0.2.7=90m", "a=b=1h"})
	if err != nil || all != 6*time.Hour || len(each) != 3 || each["pacs-1"] != 30*time.Minute || each["address:192.0.2.7"] != 90*time.Minute || each["a=b"] != time.Hour {
		t.Errorf("%v, %v, %v", all, each, err)
	}
	for _, bad := range []string{"", "x", "6", "=6h", "a=", "-1h", "1s", "a=-1h"} {
		if _, _, err := parseSilences([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// sourcesServer is a server in this process, with a clock that the test moves.
type sourcesServer struct {
	*server
	data  string
	ahead atomic.Int64 // of the real clock
	stop  func()
}

func startSources(t *testing.T, data string, ahead time.Duration) *sourcesServer {
	t.Helper()
	x := &sourcesServer{data: data}
	x.ahead.Store(int64(ahead))
	var err error
	x.server, err = openServer(t.Context(), serveConfig{
		Data: data, Listen: []string{"127.0.0.1:0"}, Origin: "hospital.example/log", MaxMessage: 64 << 10, Trust: []string{"127.0.0.0/8"},
		SilentAfter: []string{"1h"}, now: func() time.Time { return time.Now().Add(time.Duration(x.ahead.Load())) },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	x.sources.Every = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.run(ctx) }()
	ended := false
	x.stop = func() {
		if cancel(); !ended {
			ended = true
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(x.stop)
	return x
}

// send sends syslog messages with these sequenceIds over TLS (RFC 5425), and waits until the log has them.
func (x *sourcesServer) send(t *testing.T, numbers ...int) {
	t.Helper()
	config, err := identity.ReporterTLS(filepath.Join(x.data, "ca.pem"), "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", x.address(), config)
	if err != nil {
		t.Fatal(err)
	}
	size := x.ledger.Size()
	for _, n := range numbers {
		m := fmt.Sprintf(`<85>1 2026-11-23T05:00:00Z ct-7 dcm4che 7 - [meta sequenceId="%d"] CANARY`, n)
		if _, err := fmt.Fprintf(conn, "%d %s", len(m), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log has the messages", func() error {
		if got := x.ledger.Size() - size; got < int64(len(numbers)) {
			return fmt.Errorf("%d of them", got)
		}
		return nil
	})
}

// entries waits for so many entries of an activity.
func (x *sourcesServer) entries(t *testing.T, activity string, want int) []foundEntry {
	t.Helper()
	var all []foundEntry
	eventually(t, activity, func() error {
		if all = search(t, x.data, "subtype="+completeness.ActivitySystem+"|"+activity, "type=110113", "_door=self"); len(all) < want {
			return fmt.Errorf("%d entries, want %d", len(all), want)
		}
		return nil
	})
	if len(all) != want {
		t.Fatalf("%d entries of %s, want %d", len(all), activity, want)
	}
	return all
}

// scraped is what /metrics says of sources.
func (x *sourcesServer) scraped(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "https://audit.example/metrics", nil)
	x.front.HTTP.ServeHTTP(w, front.As(r, callerWith(hippad.RoleAuditor)))
	text, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	return string(text)
}

// A syslog sender loses messages and falls silent: each becomes one entry, whatever happens to the server in between.
func TestSources(t *testing.T) {
	x := startSources(t, filepath.Join(t.TempDir(), "data"), 0)
	x.send(t, 1, 2, 3)
	x.ahead.Add(int64(15 * time.Minute))
	x.send(t, 45, 46)
	x.ahead.Add(int64(2 * time.Minute))
	gap := x.entries(t, completeness.ActivityGap, 1)[0]
	if !strings.Contains(string(gap.Event), "41 missing") || !strings.Contains(string(gap.Event), "ct-7") || strings.Contains(string(gap.Event), "CANARY") {
		t.Errorf("%s", gap.Event)
	}
	stdout, stderr, code := hippadRun(t, "sources", "127.0.0.1", "--data", x.data)
	if code != 1 || !strings.Contains(stderr, "nothing was heard") { // it is kind:id, a name, an organisation or a host
		t.Errorf("%d: %s%s", code, stdout, stderr)
	}
	stdout, stderr, code = hippadRun(t, "sources", "address:127.0.0.1", "--gaps", "--data", x.data)
	if code != 0 || !strings.Contains(stdout, "41 missing (sequenceId 4 to 44), between entries 3 and 4") {
		t.Errorf("%d: %s%s", code, stdout, stderr)
	}
	x.ahead.Add(int64(2 * time.Hour))
	x.entries(t, completeness.ActivitySilent, 1)
	stdout, _, _ = hippadRun(t, "sources", "--silent", "--data", x.data)
	if !strings.Contains(stdout, "silent since ") || strings.Contains(stdout, "operator") {
		t.Errorf("%s", stdout)
	}
	text := x.scraped(t)
	for _, want := range []string{"\nhippad_sources_silent 1\n", "\nhippad_sources_missing_total 41\n", "\nhippad_source_last_heard_seconds{organisation=\"\"} "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the metrics", want)
		}
	}
	if strings.Contains(text, "ct-7") {
		t.Error("a word of a reporter is in the metrics")
	}

	// A restart, with the snapshot and without, says nothing again; then the source is heard.
	for _, keep := range []bool{true, false} {
		ahead := time.Duration(x.ahead.Load())
		x.stop()
		if !keep {
			if err := os.Remove(filepath.Join(x.data, sourcesFile)); err != nil {
				t.Fatal(err)
			}
		}
		x = startSources(t, x.data, ahead+30*time.Minute)
		x.sources.CatchUp(t.Context())
		x.entries(t, completeness.ActivitySilent, 1)
		x.entries(t, completeness.ActivityGap, 1)
	}
	x.send(t, 47)
	heard := x.entries(t, completeness.ActivityHeard, 1)[0]
	if !strings.Contains(string(heard.Event), "heard again") {
		t.Errorf("%s", heard.Event)
	}
	stdout, _, _ = hippadRun(t, "sources", "ct-7", "--data", x.data)
	if !strings.Contains(stdout, "41 missing") || strings.Contains(stdout, "silent since") {
		t.Errorf("%s", stdout)
	}
}
