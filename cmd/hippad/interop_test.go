package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hippad/internal/identity"
)

// iti81 asks for a patient as an audit consumer does (ITI TF-2 3.81): by date and identifier, over HTTP.
func iti81(t testing.TB, p *process, patient string) []json.RawMessage {
	t.Helper()
	config, err := identity.OperatorTLS(p.Data)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	query := url.Values{"date": {"ge2026-01-01"}, "patient.identifier": {patient}}
	answer, err := client.Get("https://" + p.Address + "/fhir/iti81/AuditEvent?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var bundle struct {
		Entry []struct{ Resource json.RawMessage }
	}
	if err := json.NewDecoder(answer.Body).Decode(&bundle); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("ITI-81: %s, %v", answer.Status, err)
	}
	var found []json.RawMessage
	for _, e := range bundle.Entry {
		found = append(found, e.Resource)
	}
	return found
}

// foundByITI81 waits until a patient has so many events.
func foundByITI81(t testing.TB, p *process, patient string, want int) {
	t.Helper()
	eventually(t, "events of "+patient, func() error {
		if n := len(iti81(t, p, patient)); n != want {
			return fmt.Errorf("%d events, want %d", n, want)
		}
		return nil
	})
}

// Clients of others report in their own ways, and each one's events are found by patient through ITI-81.
func TestClients(t *testing.T) {
	udp := freePort(t, "udp")
	p := startServer(t, "", "--udp", fmt.Sprintf("127.0.0.1:%d", udp))
	t.Run("fhir-kit-client", func(t *testing.T) { testFHIRKit(t, p) })
	t.Run("hapi-balp", func(t *testing.T) { testBALPSink(t, p) })
	t.Run("ipf", func(t *testing.T) { testIPF(t, p, udp) })
	t.Run("syslog-ng", func(t *testing.T) { testSyslogNG(t, p) })
	t.Run("rsyslog", func(t *testing.T) {
		driver := rsyslogDrivers(t)[0]
		sendThroughRsyslog(t, p, startRsyslog(t, tool(t, "rsyslogd"), p, driver, "octet-counted"), "ITI81")
		foundByITI81(t, p, "urn:oid:1.2.3.4.5|R-ITI81-UTF8-7", 1)
	})
	if code := p.Stop(t); code != 0 {
		t.Errorf("the server's exit code is %d", code)
	}
	audit(t, p.Data)
}

// testFHIRKit creates, sends a batch, reads, searches, turns pages and searches by POST with npm's fhir-kit-client.
func testFHIRKit(t *testing.T, p *process) {
	node := tool(t, "node")
	modules := os.Getenv(senderModules)
	if modules == "" {
		missing(t, "%s does not name the folder of the npm package fhir-kit-client", senderModules)
	}
	token, stderr, code := hippadRun(t, "member", "token", "kit", "--scope", "system/AuditEvent.crs", "--data", p.Data)
	if code != 0 {
		t.Fatal(stderr)
	}
	out := runTool(t, []string{"NODE_EXTRA_CA_CERTS=" + p.CA}, node, filepath.Join("testdata", "senders", "fhir.mjs"), modules,
		"https://"+p.Address+"/fhir", strings.TrimSpace(token), "K-1")
	var said struct {
		ID, Read, Version string
		Batch, Times      []string
		Pages, Total      int
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if said.ID == "" || said.ID != said.Read || said.Version != "4.0.1" || said.Total != 7 || said.Pages != 3 || len(said.Batch) != 6 {
		t.Errorf("%s", out)
	}
	for _, status := range said.Batch {
		if !strings.HasPrefix(status, "201") {
			t.Errorf("an entry of the batch: %s", status)
		}
	}
	if len(said.Times) != 7 || !slices.IsSortedFunc(said.Times, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("by pages, newest first: %v", said.Times)
	}
	foundByITI81(t, p, "urn:oid:1.2.3.4.5|K-1", 7)
}

// testBALPSink sends with the sinks of HAPI's BALP interceptor: one creates events one by one, the other in transactions.
func testBALPSink(t *testing.T, p *process) {
	store := trustStore(t, p)
	in, stop := io.Pipe() // the queue's program ends when its input does
	done := make(chan struct{})
	defer func() {
		stop.Close()
		<-done
	}()
	go func() {
		defer close(done)
		java(t, in, "-Djavax.net.ssl.trustStore="+store, "-Djavax.net.ssl.trustStorePassword="+storePassword, "Balp", "https://"+p.Address+"/fhir", "B-1", "5")
	}()
	eventually(t, "events of the sinks", func() error {
		if n := len(iti81(t, p, "Patient/B-1")); n != 5 {
			return fmt.Errorf("%d events, want 5", n)
		}
		return nil
	})
	if n := len(iti81(t, p, "B-1")); n != 5 {
		t.Errorf("by the id alone: %d events", n)
	}
}

// testIPF sends with IPF's ATNA auditor over TLS and UDP.
func testIPF(t *testing.T, p *process, udp int) {
	store := trustStore(t, p)
	_, port, _ := net.SplitHostPort(p.Address)
	for transport, port := range map[string]string{"TLS": port, "UDP": strconv.Itoa(udp)} {
		java(t, nil, "Ipf", transport, "127.0.0.1", port, store, storePassword, "I-"+transport)
		foundByITI81(t, p, "urn:oid:1.2.3.4.5|I-"+transport, 1)
	}
}

const storePassword = "changeit"

// trustStore makes a Java trust store of the server's authority.
func trustStore(t testing.TB, p *process) string {
	t.Helper()
	if os.Getenv(javaClasspath) == "" {
		missing(t, "%s does not say where the Java libraries are", javaClasspath)
	}
	store := filepath.Join(t.TempDir(), "trust.p12")
	runTool(t, nil, tool(t, "keytool"), "-importcert", "-noprompt", "-file", p.CA, "-keystore", store, "-storetype", "PKCS12", "-storepass", storePassword)
	return store
}

// syslogNG names the folder where test.sh has unpacked syslog-ng: installed, it would take rsyslog away.
const syslogNG = "HIPPAD_TEST_SYSLOG_NG"

// testSyslogNG sends through syslog-ng as a relay.
func testSyslogNG(t *testing.T, p *process) {
	root := os.Getenv(syslogNG)
	if root == "" {
		missing(t, "%s does not name the folder of syslog-ng", syslogNG)
	}
	sendThroughRsyslog(t, p, startSyslogNG(t, root, p), "NG")
	foundByITI81(t, p, "urn:oid:1.2.3.4.5|R-NG-UTF8-3", 1)
}

// startSyslogNG runs syslog-ng with all of its files in a folder of the test: RFC 6587 in, RFC 5425 out. It returns a connection to its input.
func startSyslogNG(t *testing.T, root string, p *process) net.Conn {
	t.Helper()
	dir := t.TempDir()
	modules, err := filepath.Glob(filepath.Join(root, "usr", "lib", "syslog-ng", "[0-9]*"))
	if err != nil || len(modules) != 1 {
		t.Fatalf("the modules of syslog-ng: %v, %v", modules, err)
	}
	daemon := filepath.Join(root, "usr", "sbin", "syslog-ng")
	env := append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(root, "usr", "lib", "syslog-ng"))
	_, port, _ := net.SplitHostPort(p.Address)
	ca, err := filepath.Abs(p.CA)
	if err != nil {
		t.Fatal(err)
	}
	listen := freePort(t, "tcp")
	file := filepath.Join(dir, "syslog-ng.conf")
	config := fmt.Sprintf(`@version: %s
options { log-msg-size(262144); stats-freq(0); frac-digits(6); keep-hostname(yes); };
source in { syslog(ip("127.0.0.1") port(%d) transport("tcp") log-iw-size(10000)); };
destination out { syslog("127.0.0.1" port(%s) transport("tls") tls(ca-file(%q) peer-verify(required-trusted)) time-reopen(1)); };
log { source(in); destination(out); flags(flow-control); };
`, filepath.Base(modules[0]), listen, port, ca)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	talk := &lockedBuffer{}
	c := exec.Command(daemon, "--foreground", "--no-caps", "--stderr", "--cfgfile", file, "--module-path", modules[0], "--persist-file", filepath.Join(dir, "persist"),
		"--pidfile", filepath.Join(dir, "pid"), "--control", filepath.Join(dir, "control"))
	c.Env, c.Stdout, c.Stderr = env, talk, talk
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("syslog-ng:\n%s", talk)
		}
	})
	var conn net.Conn
	eventually(t, "syslog-ng takes connections", func() (err error) {
		conn, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", listen))
		return err
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}
