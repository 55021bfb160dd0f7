package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

// complete is set by test.sh when it has installed everything: then a tool that is missing is a failure.
const complete = "HIPPAD_TEST_COMPLETE"

// senderModules names the folder with the npm packages of testdata/senders, where test.sh has put them.
const senderModules = "HIPPAD_TEST_SENDERS"

// missing skips the test for want of something that belongs to another project, or fails it when everything should be there.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	if os.Getenv(complete) != "" {
		t.Fatalf("%s, although %s is set", what, complete)
	}
	t.Skipf("%s: sh ./test.sh installs what the tests need", what)
}

// tool returns the path of a program of another project.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "there is no %s on this machine", name)
	}
	return path
}

// runTool runs a program of another project and returns what it has written to stdout.
func runTool(t testing.TB, env []string, path string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, path, args...)
	c.Env = append(os.Environ(), env...)
	var out, talk bytes.Buffer
	c.Stdout, c.Stderr = &out, &talk
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(path), err, talk.String())
	}
	return out.Bytes()
}

// freePort returns a port that nobody listens on, below those that systems give to outgoing connections, so that it is
// still free after a server on it was killed.
func freePort(t testing.TB, network string) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(10000)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if network == "udp" {
			if c, err := net.ListenPacket("udp", address); err == nil {
				c.Close()
				return port
			}
		} else if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatalf("no free %s port", network)
	return 0
}

// A foundEntry is a line of hippad search --json.
type foundEntry struct {
	Index      int64           `json:"index"`
	Door       string          `json:"door"`
	Reporter   string          `json:"reporter"`
	Media      string          `json:"media"`
	Fault      string          `json:"fault"`
	Unreadable string          `json:"unreadable"`
	Event      json.RawMessage `json:"event"`
	Body       []byte          `json:"body"`
}

// search asks the server of a data directory, with the command.
func search(t testing.TB, data string, args ...string) []foundEntry {
	t.Helper()
	stdout, stderr, code := hippadRun(t, append([]string{"search", "--data", data, "--json", "--limit", "0"}, args...)...)
	if code > 1 || code == 1 && !strings.Contains(stderr, "nothing found") {
		t.Fatalf("search: exit code %d\n%s", code, stderr)
	}
	var all []foundEntry
	for d := json.NewDecoder(strings.NewReader(stdout)); d.More(); {
		var f foundEntry
		if err := d.Decode(&f); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	if (code == 0) != (len(all) > 0) {
		t.Fatalf("search: exit code %d with %d entries", code, len(all))
	}
	return all
}

// arrived waits until search finds want entries, and returns them.
func arrived(t testing.TB, data string, want int, query string) []foundEntry {
	t.Helper()
	var all []foundEntry
	eventually(t, query, func() error {
		if all = search(t, data, query); len(all) != want {
			return fmt.Errorf("%d entries, want %d", len(all), want)
		}
		return nil
	})
	return all
}

// patientRecord returns our own DICOM audit message (PS3.15 A.5.3.10, Patient Record): user has read the record of patient.
func patientRecord(patient, user, name string) string {
	escape := func(s string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(s))
		return b.String()
	}
	return `<?xml version="1.0" encoding="UTF-8"?><AuditMessage>` +
		`<EventIdentification EventActionCode="R" EventDateTime="` + time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00") + `" EventOutcomeIndicator="0">` +
		`<EventID csd-code="110110" codeSystemName="DCM" originalText="Patient Record"/></EventIdentification>` +
		`<ActiveParticipant UserID="` + escape(user) + `" UserIsRequestor="true" NetworkAccessPointID="192.0.2.7" NetworkAccessPointTypeCode="2"/>` +
		`<AuditSourceIdentification AuditSourceID="ward-system"/>` +
		`<ParticipantObjectIdentification ParticipantObjectID="` + escape(patient) + `^^^&amp;1.2.3.4.5&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1">` +
		`<ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" originalText="Patient Number"/>` +
		`<ParticipantObjectName>` + escape(name) + `</ParticipantObjectName></ParticipantObjectIdentification></AuditMessage>`
}

// indented is the same message over several lines, as senders that print XML prettily have it.
func indented(message string) string { return strings.ReplaceAll(message, "><", ">\n  <") }

// tlsPipe listens on plain TCP and forwards to the server inside TLS, for senders that speak no TLS. It ends a connection
// when the server has closed its side, so that the sender's exit means delivery.
func tlsPipe(t testing.TB, p *process) (host, port string) {
	t.Helper()
	config, err := identity.ReporterTLS(p.CA, "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := tls.Dial("tcp", p.Address, config)
			if err != nil {
				t.Errorf("dial the server: %v", err)
				from.Close()
				continue
			}
			if _, err := io.Copy(to, from); err != nil {
				t.Errorf("forward to the server: %v", err)
			}
			_ = to.CloseWrite()
			_, _ = io.Copy(io.Discard, to)
			to.Close()
			from.Close()
		}
	}()
	host, port, _ = net.SplitHostPort(l.Addr().String())
	return host, port
}

// Programs of others deliver audit messages that say whose record was read, and a search for the patient finds them.
func TestSenders(t *testing.T) {
	udp := freePort(t, "udp")
	p := startServer(t, "", "--udp", fmt.Sprintf("127.0.0.1:%d", udp))
	t.Run("logger", func(t *testing.T) { testLogger(t, p, udp) })
	t.Run("rsyslog", func(t *testing.T) { testRsyslog(t, p) })
	t.Run("atna-audit", func(t *testing.T) { testAtnaAudit(t, p, udp) })
	if code := p.Stop(t); code != 0 {
		t.Errorf("the server's exit code is %d", code)
	}
	audit(t, p.Data)
}

// audit runs hippad audit on the directory of a stopped server.
func audit(t testing.TB, data string) {
	t.Helper()
	if stdout, stderr, code := hippadRun(t, "audit", "--data", data); code != 0 {
		t.Errorf("audit: exit code %d\n%s%s", code, stdout, stderr)
	} else {
		t.Logf("audit: %s", strings.TrimSpace(stdout))
	}
}

// testLogger sends with util-linux logger.
func testLogger(t *testing.T, p *process, udp int) {
	path := tool(t, "logger")
	pipeHost, pipePort := tlsPipe(t, p)
	onUDP := []string{"--udp", "--server", "127.0.0.1", "--port", strconv.Itoa(udp)}
	onTLS := []string{"--tcp", "--server", pipeHost, "--port", pipePort}
	for _, c := range []struct {
		patient string
		where   []string
		how     []string
		pretty  bool
		door    hippad.Door
	}{
		{"L-UDP-5424", onUDP, []string{"--rfc5424"}, false, hippad.DoorSyslogUDP},
		{"L-UDP-5424-PRETTY", onUDP, []string{"--rfc5424"}, true, hippad.DoorSyslogUDP},
		{"L-UDP-5424-BARE", onUDP, []string{"--rfc5424=notime,notq,nohost"}, false, hippad.DoorSyslogUDP},
		{"L-UDP-DEFAULT", onUDP, nil, false, hippad.DoorSyslogUDP},
		{"L-UDP-3164", onUDP, []string{"--rfc3164"}, false, hippad.DoorSyslogUDP},
		{"L-TLS-COUNTED", onTLS, []string{"--octet-count", "--rfc5424"}, false, hippad.DoorSyslogTLS},
		{"L-TLS-COUNTED-PRETTY", onTLS, []string{"--octet-count", "--rfc5424"}, true, hippad.DoorSyslogTLS},
		{"L-TLS-COUNTED-3164", onTLS, []string{"--octet-count", "--rfc3164"}, false, hippad.DoorSyslogTLS},
		{"L-TLS-LF", onTLS, []string{"--rfc5424"}, false, hippad.DoorSyslogTLS},
		{"L-TLS-LF-PRETTY", onTLS, []string{"--rfc5424"}, true, hippad.DoorSyslogTLS},
		{"L-TLS-LF-DEFAULT", onTLS, nil, false, hippad.DoorSyslogTLS},
	} {
		t.Run(c.patient, func(t *testing.T) {
			message := patientRecord(c.patient, "anna", "Ærlig Gåsvær")
			if c.pretty {
				message = indented(message)
			}
			args := append(append([]string{"--size", "65536", "--tag", "ward", "--priority", "authpriv.notice"}, c.where...), c.how...)
			if !strings.Contains(strings.Join(c.how, " "), "3164") {
				args = append(args, "--msgid", "IHE+RFC-3881")
			}
			runTool(t, nil, path, append(args, "--", message)...)
			e := arrived(t, p.Data, 1, "patient="+c.patient)[0]
			if e.Door != c.door.String() || e.Media != hippad.MediaSyslog || e.Reporter != "address:127.0.0.1" || e.Fault != "" || e.Unreadable != "" {
				t.Errorf("door %s, media %s, reporter %s, fault %q, unreadable %q", e.Door, e.Media, e.Reporter, e.Fault, e.Unreadable)
			}
			if !bytes.HasPrefix(e.Body, []byte("<85>")) || !bytes.HasSuffix(bytes.TrimRight(e.Body, "\n"), []byte(message)) {
				t.Errorf("the body is not what logger was given: %d bytes", len(e.Body))
			}
			if !bytes.Contains(e.Event, []byte(`"AuditEvent"`)) || !bytes.Contains(e.Event, []byte(c.patient)) {
				t.Errorf("the event does not name the patient")
			}
		})
	}
}

// testAtnaAudit sends with the npm package atna-audit, whose octet count is the number of UTF-16 units: right for ASCII, too
// small for anything else.
func testAtnaAudit(t *testing.T, p *process, udp int) {
	node := tool(t, "node")
	modules := os.Getenv(senderModules)
	if modules == "" {
		missing(t, "%s does not name the folder of the npm package atna-audit", senderModules)
	}
	tcpHost, tcpPort, _ := net.SplitHostPort(p.Address)
	port, _ := strconv.Atoi(tcpPort)
	for _, c := range []struct {
		patient, user, name string
		onTLS               bool
		fault               hippad.Fault
		cut                 bool
	}{
		{"N-TLS", "anna", "Plain Name", true, hippad.NoFault, false},
		{"N-TLS-NON-ASCII", "åsa ødegård", "Ærlig Gåsvær", true, hippad.Framing, false},
		{"N-TLS-ASTRAL", "anna 🏥", "𝒜𝒷", true, hippad.Framing, false},
		{"N-UDP", "anna", "Plain Name", false, hippad.NoFault, false},
		{"N-UDP-NON-ASCII", "åsa ødegård", "Ærlig Gåsvær", false, hippad.NoFault, true},
	} {
		t.Run(c.patient, func(t *testing.T) {
			type request struct {
				Interface string `json:"interface"`
				Host      string `json:"host"`
				Port      int    `json:"port"`
				CA        string `json:"ca,omitempty"`
				User      string `json:"user"`
				Patient   string `json:"patient"`
				Name      string `json:"name"`
			}
			r := request{"udp", "127.0.0.1", udp, "", c.user, c.patient, c.name}
			door := hippad.DoorSyslogUDP
			if c.onTLS {
				r.Interface, r.Host, r.Port, r.CA = "tls", tcpHost, port, p.CA
				door = hippad.DoorSyslogTLS
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			said := runTool(t, []string{"NODE_PATH=" + modules}, node, filepath.Join("testdata", "senders", "send.js"), string(text))
			e := arrived(t, p.Data, 1, "patient="+c.patient)[0]
			if e.Door != door.String() || e.Media != hippad.MediaSyslog || e.Fault != c.fault.String() {
				t.Errorf("door %s, media %s, fault %q", e.Door, e.Media, e.Fault)
			}
			if c.cut { // the client has sent as many octets as there are UTF-16 units: the end is missing, and the entry says so
				if e.Unreadable == "" || !bytes.HasPrefix(said, e.Body) || len(e.Body) >= len(said) {
					t.Errorf("unreadable %q, %d of %d bytes", e.Unreadable, len(e.Body), len(said))
				}
				return
			}
			if e.Unreadable != "" || !bytes.Equal(e.Body, said) {
				t.Errorf("unreadable %q, %d bytes, want the %d that were sent", e.Unreadable, len(e.Body), len(said))
			}
		})
	}
	// What follows a wrong count is not lost: it is the next frame of the same connection or a stray one, and there is none here.
	if stray := search(t, p.Data, "_mark=stray"); len(stray) > 0 {
		t.Errorf("%d stray entries", len(stray))
	}
}

// rsyslogDrivers returns the TLS drivers of rsyslog that are installed: each is a package of its own.
func rsyslogDrivers(t testing.TB) []string {
	t.Helper()
	var found []string
	for _, driver := range []string{"ossl", "gtls"} {
		for _, folder := range []string{"/usr/lib*/rsyslog", "/usr/lib/*/rsyslog", "/usr/local/lib/rsyslog"} {
			if m, _ := filepath.Glob(filepath.Join(folder, "lmnsd_"+driver+".so")); len(m) > 0 {
				found = append(found, driver)
				break
			}
		}
	}
	if len(found) == 0 {
		missing(t, "rsyslog has no TLS driver (package rsyslog-openssl or rsyslog-gnutls)")
	}
	return found
}

// testRsyslog sends through rsyslogd, which takes messages from a socket of ours and forwards them over TLS (RFC 5425), once
// with counted octets and once with line feeds.
func testRsyslog(t *testing.T, p *process) {
	daemon := tool(t, "rsyslogd")
	for _, driver := range rsyslogDrivers(t) {
		for _, framing := range []string{"octet-counted", "traditional"} {
			t.Run(driver+"-"+framing, func(t *testing.T) {
				in := startRsyslog(t, daemon, p, driver, framing)
				sendThroughRsyslog(t, p, in, driver+"-"+framing)
			})
		}
	}
}

// startRsyslog runs rsyslogd with all of its files in a folder of the test, and returns a connection to its input.
func startRsyslog(t *testing.T, daemon string, p *process, driver, framing string) net.Conn {
	t.Helper()
	dir, err := os.MkdirTemp("", "rsyslog") // the path of a UNIX socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, port, _ := net.SplitHostPort(p.Address)
	ca, err := filepath.Abs(p.CA)
	if err != nil {
		t.Fatal(err)
	}
	socket, file := filepath.Join(dir, "in"), filepath.Join(dir, "rsyslog.conf")
	config := fmt.Sprintf(`global(workDirectory=%q defaultNetstreamDriverCAFile=%q maxMessageSize="256k" parser.escapeControlCharactersOnReceive="off")
module(load="imptcp")
input(type="imptcp" path=%q ruleset="forward" supportOctetCountedFraming="on")
ruleset(name="forward") {
  action(type="omfwd" target="127.0.0.1" port=%q protocol="tcp" tcp_framing=%q template="RSYSLOG_SyslogProtocol23Format"
    streamDriver=%q streamDriverMode="1" streamDriverAuthMode="x509/name" streamDriverPermittedPeers="localhost"
    queue.type="LinkedList" queue.timeoutShutdown="10000" action.resumeRetryCount="-1" action.resumeInterval="1")
}
`, dir, ca, socket, port, framing, driver)
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
		_ = c.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("rsyslogd:\n%s", talk)
		}
	})
	var in net.Conn
	eventually(t, "rsyslogd takes connections", func() (err error) {
		in, err = net.Dial("unix", socket)
		return err
	})
	t.Cleanup(func() { in.Close() })
	return in
}

// sendThroughRsyslog hands rsyslogd messages of every sort and looks for them in the log.
func sendThroughRsyslog(t *testing.T, p *process, in net.Conn, name string) {
	t.Helper()
	const each = 40
	messages := map[string]string{}
	var order []string
	for i := range each {
		for _, c := range []struct {
			sort, user     string
			pretty, seldom bool
		}{
			{"ASCII", "anna", false, false},
			{"UTF8", "åsa ødegård", false, false},
			{"PRETTY", "anna", true, false},
			{"LONG", strings.Repeat("a", 40<<10), false, true},
		} {
			if c.seldom && i%10 != 0 {
				continue
			}
			patient := fmt.Sprintf("R-%s-%s-%d", name, c.sort, i)
			message := patientRecord(patient, c.user, "Ærlig Gåsvær")
			if c.pretty {
				message = indented(message)
			}
			messages[patient], order = message, append(order, patient)
		}
	}
	for _, patient := range order {
		// At most six digits of a second, as RFC 5424 section 6.2.3 has it: rsyslog makes garbage of more.
		frame := fmt.Sprintf("<85>1 %s ward.example ward 7 IHE+RFC-3881 - %s", time.Now().UTC().Format("2006-01-02T15:04:05.000000Z07:00"), messages[patient])
		if _, err := fmt.Fprintf(in, "%d %s", len(frame), frame); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all messages through rsyslog", func() error {
		if last := order[len(order)-1]; len(search(t, p.Data, "_door=syslog-tls&patient="+last)) == 0 {
			return fmt.Errorf("%s is not there", last)
		}
		return nil
	})
	all := map[string][]foundEntry{}
	for _, e := range search(t, p.Data, "source=ward-system&_door=syslog-tls") {
		for _, patient := range order {
			if bytes.Contains(e.Body, []byte(`"`+patient+"^^^")) {
				all[patient] = append(all[patient], e)
			}
		}
	}
	for _, patient := range order {
		if len(all[patient]) != 1 {
			t.Errorf("%s: %d entries, want 1", patient, len(all[patient]))
			continue
		}
		e := all[patient][0]
		if e.Fault != "" || e.Unreadable != "" || !bytes.HasSuffix(bytes.TrimRight(e.Body, "\n"), []byte(messages[patient])) {
			t.Errorf("%s: fault %q, unreadable %q, %d bytes", patient, e.Fault, e.Unreadable, len(e.Body))
		}
	}
	if !t.Failed() {
		t.Logf("%d messages, each there once and unchanged", len(order))
	}
}
