package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/forward"
	"hippad/internal/identity"
	"hippad/wire"
)

// reportAll reports bodies to a server over one connection, as its operator, and waits until all are durable.
func reportAll(t testing.TB, p *process, media string, bodies []string) {
	t.Helper()
	config, err := identity.OperatorTLS(p.Data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := wire.Dial(ctx, p.Address, config, wire.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var waits []hippad.Wait
	for group := range slices.Chunk(bodies, 100) {
		var f hippad.Frame
		for _, b := range group {
			f.Reports = append(f.Reports, hippad.Report{Media: media, Body: []byte(b)})
		}
		wait, err := client.Record(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, wait)
	}
	for _, wait := range waits {
		if _, err := wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// forwarding asks a server how far its rules have come.
func forwarding(t testing.TB, data string) []forward.Status {
	t.Helper()
	stdout, stderr, code := hippadRun(t, "forward", "--json", "--data", data)
	var list []forward.Status
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code > 1 {
		t.Fatalf("forward: exit code %d, %v\n%s", code, err, stderr)
	}
	return list
}

func writeRules(t testing.TB, rules string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Two real servers: 10,000 reports come in while the second is away; then it comes, and both are killed in the middle of the delivery.
// In the end the second has every report once, in order, byte for byte.
func TestForwardToHippad(t *testing.T) {
	const reports = 10_000
	port := freePort(t, "tcp")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	archive := startServer(t, "", "--listen", address)
	archive.Stop(t)
	rules := writeRules(t, fmt.Sprintf(`{"rules":[{"name":"archive","to":"hippad://%s","ca":%q}]}`, address, archive.CA))
	log := startServer(t, "", "--forward", rules)
	var bodies []string
	for i := range reports {
		bodies = append(bodies, patientRecord(fmt.Sprintf("F-%d", i), "anna", "Ærlig Gåsvær"))
	}
	reportAll(t, log, hippad.MediaXML, bodies)
	eventually(t, "the rule says that it waits", func() error {
		if s := forwarding(t, log.Data)[0]; s.State != forward.StateRetrying || s.Behind < reports || s.Oldest.IsZero() || !strings.Contains(s.Cause, "connection refused") {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	archive = startServer(t, archive.Data, "--listen", address)
	for _, p := range []**process{&log, &archive, &log} {
		begun := forwarding(t, log.Data)[0].Next
		eventually(t, "more is forwarded", func() error {
			if s := forwarding(t, log.Data)[0]; s.Next == begun && s.Behind > 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		(*p).Kill(t)
		if *p == log {
			log = startServer(t, log.Data, "--forward", rules)
		} else {
			archive = startServer(t, archive.Data, "--listen", address)
		}
	}
	eventually(t, "everything is forwarded", func() error {
		if s := forwarding(t, log.Data)[0]; s.Behind > 0 || s.State != forward.StateOK {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	got := search(t, archive.Data, "_door=native", "--oldest-first")
	if len(got) != reports {
		t.Fatalf("%d reports arrived", len(got))
	}
	for i, e := range got {
		if string(e.Body) != bodies[i] || e.Media != hippad.MediaXML {
			t.Fatalf("report %d is another one", i)
		}
	}
	if told := search(t, log.Data, "subtype=forward"); len(told) != 1 || !strings.Contains(string(told[0].Event), "new: to hippad://"+address) {
		t.Errorf("the log says of the rule: %d entries", len(told))
	}
	log.Stop(t)
	archive.Stop(t)
	audit(t, log.Data)
	audit(t, archive.Data)
}

// rsyslogd gets over TLS, byte for byte, what was reported.
func TestForwardToRsyslog(t *testing.T) {
	daemon := tool(t, "rsyslogd")
	for _, driver := range rsyslogDrivers(t) {
		t.Run(driver, func(t *testing.T) {
			first := startServer(t, "") // makes the certificates, which serve rsyslogd too
			first.Stop(t)
			port := freePort(t, "tcp")
			out := startReceivingRsyslog(t, daemon, driver, port, first)
			rules := writeRules(t, fmt.Sprintf(`{"rules":[{"name":"siem","to":"syslog+tls://localhost:%d","ca":%q,"since":"start"}]}`, port, first.CA))
			p := startServer(t, first.Data, "--forward", rules)
			var bodies []string
			for i := range 200 {
				record := patientRecord(fmt.Sprintf("FR-%d", i), "åsa ødegård", "Ærlig Gåsvær")
				if i%3 == 0 {
					record = indented(record)
				}
				bodies = append(bodies, "<85>1 2026-11-23T08:00:00.123456Z ward.example ward 7 IHE+RFC-3881 - "+record)
			}
			reportAll(t, p, hippad.MediaSyslog, bodies)
			reportAll(t, p, hippad.MediaXML, []string{patientRecord("FR-LAST", "anna", "x")})
			var got []string
			eventually(t, "rsyslogd writes what it gets", func() error {
				text, _ := os.ReadFile(out)
				if got = strings.Split(string(text), rsyslogEnd); len(got) != len(bodies)+2 { // nothing follows the last end
					return fmt.Errorf("%d messages", len(got)-1)
				}
				return nil
			})
			if !slices.Equal(got[:len(bodies)], bodies) {
				t.Error("what rsyslogd got is not what was reported")
			}
			last := got[len(bodies)]
			if !strings.HasPrefix(last, "<85>1 ") || !strings.Contains(last, " hippad - IHE+RFC-3881 - <?xml") || !strings.Contains(last, "FR-LAST") {
				t.Error("a report that came without a header did not get one")
			}
			if code := p.Stop(t); code != 0 {
				t.Errorf("the server's exit code is %d", code)
			}
		})
	}
}

const rsyslogEnd = "\n==== end ====\n"

// startReceivingRsyslog runs rsyslogd as a receiver of RFC 5425 and returns the file to which it writes each message as it came.
func startReceivingRsyslog(t *testing.T, daemon, driver string, port int, certified *process) (out string) {
	t.Helper()
	dir := t.TempDir()
	out = filepath.Join(dir, "out")
	pem := filepath.Join(certified.Data, "keys", "server.pem")
	config := fmt.Sprintf(`global(workDirectory=%q defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q
  maxMessageSize="256k" parser.escapeControlCharactersOnReceive="off")
module(load="imtcp" streamDriver.name=%q streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" address="127.0.0.1" port="%d" ruleset="keep")
template(name="raw" type="string" string="%%rawmsg%%%s")
ruleset(name="keep") { action(type="omfile" file=%q template="raw") }
`, dir, certified.CA, pem, pem, driver, port, strings.ReplaceAll(rsyslogEnd, "\n", `\n`), out)
	file := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	talk := &lockedBuffer{}
	c := exec.Command(daemon, "-n", "-f", file, "-i", filepath.Join(dir, "pid"))
	c.Stdout, c.Stderr = talk, talk
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("rsyslogd:\n%s", talk)
		}
	})
	eventually(t, "rsyslogd listens", func() error {
		l, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
		}
		return err
	})
	return out
}
