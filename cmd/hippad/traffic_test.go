package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hippad/internal/traffic"
)

// A visitor is a program of another project that takes a port for something else, with what the port should make of it.
type visitor struct {
	tool string
	args []string // HOST, PORT and ADDR stand for where it is to go
	want traffic.Label
}

var strangers = []visitor{
	{"curl", []string{"-s", "-m", "5", "http://ADDR/"}, traffic.HTTP},
	{"curl", []string{"-s", "-m", "5", "https://ADDR/"}, traffic.TLS}, // it does not trust the log's authority
	{"openssl", []string{"s_client", "-connect", "ADDR", "-alpn", "something-else"}, traffic.TLS},
	{"psql", []string{"host=HOST port=PORT sslmode=prefer gssencmode=disable connect_timeout=5"}, traffic.PostgreSQL},
	{"psql", []string{"host=HOST port=PORT sslmode=disable gssencmode=disable connect_timeout=5"}, traffic.PostgreSQL},
	{"redis-cli", []string{"-h", "HOST", "-p", "PORT", "PING"}, traffic.Redis},
	{"ssh", []string{"-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-F", "none", "-p", "PORT", "HOST"}, traffic.SSH},
	{"mosquitto_pub", []string{"-h", "HOST", "-p", "PORT", "-t", "a", "-m", "b"}, traffic.MQTT},
	{"nmap", []string{"-sT", "-Pn", "-n", "-p", "PORT", "HOST"}, traffic.Empty},
}

// visit lets a program come to an address. That it fails is what it should.
func (s visitor) visit(t *testing.T, address string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	args := make([]string, len(s.args))
	for i, a := range s.args {
		args[i] = strings.NewReplacer("HOST", host, "PORT", port, "ADDR", address).Replace(a)
	}
	c := exec.CommandContext(ctx, tool(t, s.tool), args...)
	c.Env = append(os.Environ(), "HOME="+t.TempDir(), "PGPASSFILE=/dev/null")
	if err := c.Run(); ctx.Err() != nil {
		t.Fatalf("%s does not end: %v", s.tool, err)
	}
}

// peers are what a ZooKeeper server says first to the leader of its ensemble, and a client to a server.
var peers = map[traffic.Label]string{
	traffic.ZooKeeperPeer:   "\x00\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00\x03\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff",
	traffic.ZooKeeperClient: "\x00\x00\x00\x2c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x75\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10" + strings.Repeat("\x00", 16),
}

// say connects, says something, and waits for the other side to close. It returns what was answered.
func say(t testing.TB, address, text string) []byte {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	return answer
}

// seenBy asks a server, with the command.
func seenBy(t testing.TB, p *process) (out trafficOut) {
	t.Helper()
	stdout, stderr, code := hippadRun(t, "traffic", "--data", p.Data, "--json", "--last", "200")
	if code != 0 {
		t.Fatalf("traffic: exit code %d\n%s", code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (o trafficOut) number(want func(traffic.Count) bool) (n int64) {
	for _, c := range o.Counts {
		if want(c) {
			n += c.Count
		}
	}
	return n
}

// Real clients of other protocols at the front of the running server: each gets its label, none gets an answer in its own tongue,
// and together they are a scan.
func TestStrangersAtTheFront(t *testing.T) {
	p := startServer(t, "")
	labelled := func(t *testing.T, l traffic.Label, before int64) {
		t.Helper()
		eventually(t, "a connection of "+l.String(), func() error {
			if n := seenBy(t, p).number(func(c traffic.Count) bool { return c.Label == l }); n <= before {
				return fmt.Errorf("%d of %s", n, l)
			}
			return nil
		})
	}
	count := func(l traffic.Label) int64 {
		return seenBy(t, p).number(func(c traffic.Count) bool { return c.Label == l })
	}
	for _, s := range strangers {
		t.Run(s.tool+" as "+s.want.String(), func(t *testing.T) {
			before := count(s.want)
			s.visit(t, p.Address)
			labelled(t, s.want, before)
		})
	}
	for l, text := range peers {
		t.Run(l.String(), func(t *testing.T) {
			if answer := say(t, p.Address, text); len(answer) > 0 {
				t.Errorf("answered %q", answer)
			}
			labelled(t, l, 0)
		})
	}
	out := seenBy(t, p)
	if out.number(func(c traffic.Count) bool { return c.Hypothesis == traffic.Scan }) == 0 || len(out.Sources) != 1 {
		t.Errorf("nobody scans: %+v", out.Sources)
	}
	if day, all := len(out.LastDay), len(out.Counts); day != all {
		t.Errorf("%d counts of a day, %d of all", day, all)
	}
	eventually(t, "an entry about a handshake that failed, once", func() error {
		for _, e := range search(t, p.Data, "type=110113", "_door=self") {
			if bytes.Contains(e.Body, []byte(`"tls handshake failed"`)) {
				return nil
			}
		}
		return errors.New("none")
	})
	for _, x := range out.Recent {
		if x.Label != traffic.TLS {
			continue
		}
		if x.Hello == nil {
			t.Errorf("nothing is known of the hello of %+v", x)
		} else if len(x.Hello.Protocols) == 2 && !strings.Contains(x.Evidence, "do not trust") && !strings.Contains(x.Evidence, "certificate authority") { // curl
			t.Errorf("%+v", x)
		}
	}
}

// A sensing process is hippad traffic --listen --json.
type sensingProcess struct {
	address string
	lines   *bufio.Scanner
	cmd     *exec.Cmd
}

func startSensor(t *testing.T, args ...string) *sensingProcess {
	t.Helper()
	s := &sensingProcess{cmd: command(context.Background(), append([]string{"traffic", "--listen", "127.0.0.1:0", "--json"}, args...)...)}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	talk := bufio.NewReader(stderr)
	first, err := talk.ReadString('\n')
	if err != nil {
		t.Fatalf("the sensor says %q, %v", first, err)
	}
	go func() { _, _ = io.Copy(io.Discard, talk) }()
	_, s.address, _ = strings.Cut(strings.TrimSuffix(first, "; nothing is answered\n"), " to ")
	s.lines = bufio.NewScanner(stdout)
	return s
}

// next is the next line. A sensor that has nothing to say for so long that nobody will come any more is ended.
func (s *sensingProcess) next(t *testing.T) (x traffic.Sighting) {
	t.Helper()
	silence := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() })
	defer silence.Stop()
	if !s.lines.Scan() {
		t.Fatalf("the sensor shows nothing more: %v", s.lines.Err())
	}
	if err := json.Unmarshal(s.lines.Bytes(), &x); err != nil {
		t.Fatal(err)
	}
	return x
}

// The same clients at the sensor: one line for each connection.
func TestStrangersAtTheSensor(t *testing.T) {
	for _, s := range strangers {
		t.Run(s.tool+" as "+s.want.String(), func(t *testing.T) {
			sensor := startSensor(t)
			s.visit(t, sensor.address)
			x := sensor.next(t)
			if x.Label != s.want || x.Likely || x.Network != "tcp" || x.Source.String() != "127.0.0.1" {
				t.Errorf("%+v", x)
			}
			switch s.want {
			case traffic.TLS:
				if x.Hello == nil || !strings.HasPrefix(x.Hello.JA4, "t1") {
					t.Errorf("the hello is %+v", x.Hello)
				}
			case traffic.SSH, traffic.HTTP:
				if x.Client == "" {
					t.Error("the client's name is not known")
				}
			}
		})
	}
	t.Run("openssl s_client -servername", func(t *testing.T) {
		sensor := startSensor(t)
		visitor{"openssl", []string{"s_client", "-connect", "ADDR", "-servername", "audit.example", "-alpn", "hippad/1"}, traffic.TLS}.visit(t, sensor.address)
		if x := sensor.next(t); x.Hello == nil || x.Hello.ServerName != "audit.example" || strings.Join(x.Hello.Protocols, "") != "hippad/1" {
			t.Errorf("%+v", x)
		}
	})
}

// The order in which nmap's service detection asks is a scan by the third connection of its kind, whoever sends it.
func TestServiceScan(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	path := tool(t, "nmap")
	sensor := startSensor(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, port, _ := net.SplitHostPort(sensor.address)
	scan := exec.CommandContext(ctx, path, "-sV", "-Pn", "-n", "-p", port, "127.0.0.1")
	if err := scan.Start(); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		x := sensor.next(t)
		if strings.Contains(x.Evidence, "service scan") {
			if x.Hypothesis != traffic.Scan || !x.Likely {
				t.Errorf("%+v", x)
			}
			break
		}
		if n > 20 {
			t.Fatalf("twenty connections, and it is not recognised: %+v", x)
		}
	}
	cancel()
	_ = scan.Wait()
}

// What may be about a patient leaves nothing but its label and its length, not even where payload is asked for.
func TestSensorKeepsNothingOfPatients(t *testing.T) {
	sensor := startSensor(t, "--payload", "--udp")
	message := "\x0bMSH|^~\\&|ADT|WARD|X|Y|20261123||ADT^A01|1|P|2.5\rPID|1||4711^^^H||MUELLER^EVA\r\x1c\r"
	for _, m := range []struct {
		text string
		want traffic.Label
	}{
		{message, traffic.HL7}, {`{"resourceType":"Patient","name":[{"family":"MUELLER"}]}`, traffic.FHIR}, {"UNB+UNOA:1+MUELLER+X+", traffic.EDIFACT},
		{"hello MUELLER", traffic.Text}, {"GET /fhir/Patient?family=MUELLER HTTP/1.1\r\nHost: a\r\n\r\n", traffic.HTTP},
	} {
		if answer := say(t, sensor.address, m.text); len(answer) > 0 {
			t.Errorf("answered %q", answer)
		}
		x := sensor.next(t)
		if x.Label != m.want || x.Bytes == 0 {
			t.Errorf("%.10q is %+v", m.text, x)
		}
		if kept := x.Payload != "" || x.Digest != "" || x.Client != ""; kept != (m.want == traffic.Text) {
			t.Errorf("%s: %+v", x.Label, x)
		}
		if strings.Contains(sensor.lines.Text(), "MUELLER") {
			t.Errorf("%s", sensor.lines.Text())
		}
	}
	c, err := net.Dial("udp", sensor.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, message[1:]); err != nil {
		t.Fatal(err)
	}
	if x := sensor.next(t); x.Label != traffic.HL7 || x.Network != "udp" || x.Payload != "" || x.Bytes != len(message)-1 {
		t.Errorf("%+v", x)
	}
}

// A datagram at the syslog port that is no syslog is labelled; syslog is not.
func TestUnexpectedDatagrams(t *testing.T) {
	udp := freePort(t, "udp")
	p := startServer(t, "", "--udp", fmt.Sprintf("127.0.0.1:%d", udp))
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", udp))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, text := range []string{
		"<85>1 2026-11-23T05:00:01Z ct dcm4che 7 - - one", "12 <85>1 - - - -", "<?xml version='1.0'?><a/>", "OPTIONS sip:a@192.0.2.1 SIP/2.0\r\n\r\n",
		"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01",
	} {
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	var out trafficOut
	eventually(t, "three datagrams", func() error {
		if out = seenBy(t, p); len(out.Recent) < 3 {
			return fmt.Errorf("%d seen", len(out.Recent))
		}
		return nil
	})
	if len(out.Recent) != 3 || out.Recent[2].Label != traffic.XML || out.Recent[0].Label != traffic.DNS || out.Recent[1].Label != traffic.SIP || int(out.Recent[0].Port) != udp || out.Recent[0].Network != "udp" {
		t.Errorf("%+v", out.Recent)
	}
}

// Thousands of connections of one source: all are counted, the memory does not grow with them, and the log gets one entry when
// the source is persistent and one with the rest at the end.
func TestFloodOfStrangers(t *testing.T) {
	const flood = 4000
	p := startServer(t, "")
	come := func(n int) {
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := worker; i < n; i += 8 {
					c, err := net.Dial("tcp", p.Address)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.WriteString(c, "SSH-2.0-Go\r\n")
					_, _ = io.Copy(io.Discard, c)
					c.Close()
				}
			})
		}
		wg.Wait()
	}
	all := func(traffic.Count) bool { return true }
	counted := func(want int64) {
		t.Helper()
		eventually(t, "the count", func() error {
			if n := seenBy(t, p).number(all); n != want {
				return fmt.Errorf("%d, want %d", n, want)
			}
			return nil
		})
	}
	come(flood / 2)
	counted(flood / 2)
	before := residentSet(t, p.cmd.Process.Pid)
	come(flood / 2)
	counted(flood)
	if grown := residentSet(t, p.cmd.Process.Pid) - before; grown > 96<<20 { // the race detector's included
		t.Errorf("%d connections have made the server grow by %d bytes", flood/2, grown)
	}
	var entries []foundEntry
	eventually(t, "the first entry", func() error {
		if entries = search(t, p.Data, "type=110113", "_door=self"); len(entries) == 0 {
			return errors.New("none")
		}
		return nil
	})
	if code := p.Stop(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	p = startServer(t, p.Data)
	entries, total := nil, 0
	for _, e := range search(t, p.Data, "type=110113", "_door=self") {
		if !bytes.Contains(e.Body, []byte(alertTraffic)) {
			continue
		}
		entries = append(entries, e)
		_, text, _ := strings.Cut(string(e.Body), "misdirected client; ")
		number, _, _ := strings.Cut(text, " unexpected connections")
		n, err := strconv.Atoi(number)
		if err != nil || !strings.Contains(text, "ssh "+number) || !strings.Contains(string(e.Body), "127.0.0.1") {
			t.Errorf("%s", e.Body)
		}
		total += n
	}
	if len(entries) != 2 || total != flood {
		t.Errorf("%d entries about %d connections, want 2 about %d", len(entries), total, flood)
	}
}

// residentSet is the memory of a process, in bytes.
func residentSet(t testing.TB, pid int) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
