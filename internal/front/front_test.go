package front

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
)

type house struct {
	addr  string
	front *Server
	said  chan string // what a door got, with the door's name
	stop  func() error
}

// open starts a front with doors that report the first bytes they see.
func open(t testing.TB, limits ...Limits) *house {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{said: make(chan string, 100)}
	door := func(name string) func(context.Context, net.Conn, hippad.Caller) error {
		return func(_ context.Context, c net.Conn, p hippad.Caller) error {
			defer c.Close()
			b := make([]byte, 64)
			n, _ := c.Read(b)
			h.said <- fmt.Sprintf("%s %s %q", name, p, b[:n])
			return nil
		}
	}
	h.front = &Server{
		TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: Protocols},
		Admit: func(tls.ConnectionState, net.Addr) hippad.Caller {
			return hippad.Caller{Principal: hippad.Principal{Kind: "address", ID: "test"}, Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleReporter}}}
		},
		Native: door("native"), Syslog: door("syslog"),
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s", r.Proto, r.URL.Path, CallerOf(r))
		}),
		Log: slog.New(slog.DiscardHandler),
	}
	for _, l := range limits {
		h.front.Limits = l
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.front.Serve(ctx, l) }()
	h.stop = func() error { cancel(); return <-ended }
	return h
}

func (h *house) dial(t *testing.T, alpn ...string) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", h.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: alpn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestDoors(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		alpn, say, want string
	}{
		{"", "12 <85>1 - - - - - -", `syslog address:test "12 <85>1 - - - - - -"`},
		{"", "<85>1 - - - - - -\n", `syslog address:test "<85>1 - - - - - -\n"`},
		{"", "hippad/1\nrest", `native address:test "hippad/1\nrest"`},
		{"hippad/1", "hippad/1\nrest", `native address:test "hippad/1\nrest"`},
	} {
		conn := h.dial(t, strings.Fields(c.alpn)...)
		if _, err := io.WriteString(conn, c.say); err != nil {
			t.Fatal(err)
		}
		conn.(*tls.Conn).CloseWrite()
		got := <-h.said
		// The door may see the looked-at bytes first and the others by a second read.
		if !strings.HasPrefix(c.want, strings.TrimSuffix(got, `"`)) || len(got) < len(`native address:test "h"`) {
			t.Errorf("%q said %q: %s", c.alpn, c.say, got)
		}
	}
	for _, alpn := range []string{"", "http/1.1"} {
		conn := h.dial(t, strings.Fields(alpn)...)
		fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(answer.Body); string(b) != "HTTP/1.1 /x address:test" {
			t.Errorf("alpn %q: %q", alpn, b)
		}
	}
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := client.Get("https://" + h.addr + "/y")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(answer.Body); string(b) != "HTTP/2.0 /y address:test" {
		t.Errorf("http/2: %q", b)
	}
	client.CloseIdleConnections()
	if err := h.stop(); err != nil {
		t.Error(err)
	}
}

// What belongs to no door is closed without a byte of reply, and counted under what it was.
func TestNobody(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		secure bool
		say    string
		want   Label
	}{
		{false, "GET / HTTP/1.1\r\n\r\n", LabelPlain},
		{false, "<85>1 - - - - - -\n", LabelPlain},
		{false, "20 <85>1 ", LabelPlain},
		{false, "SSH-2.0-OpenSSH_9.2\r\n", LabelPlain},
		{false, "\x00\x00\x00\x11conf", LabelPlain},
		{false, "", LabelSilent},
		{false, "\x16\x03\x01\x00\x05hello", LabelHandshake},
		{true, "\x00\x01\x02", LabelUnknown},
		{true, "hippad/2\n", LabelUnknown},
		{true, "GETAWAY", LabelUnknown},
		{true, "", LabelSilent},
	} {
		before := h.front.Rejected(c.want)
		var conn net.Conn
		if c.secure {
			conn = h.dial(t)
		} else {
			var err error
			if conn, err = net.Dial("tcp", h.addr); err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		if _, err := io.WriteString(conn, c.say); err != nil {
			t.Fatal(err)
		}
		conn.(interface{ CloseWrite() error }).CloseWrite()
		reply, _ := io.ReadAll(conn) // ends when the server closes
		if len(reply) > 0 && c.want != LabelHandshake {
			t.Errorf("%q: replied %q", c.say, reply)
		}
		if got := h.front.Rejected(c.want) - before; got != 1 {
			t.Errorf("%q: counted %d times as %s", c.say, got, c.want)
		}
	}
	if err := h.stop(); err != nil {
		t.Error(err)
	}
}

// A caller without any right gets no syslog door, where nobody could tell it why; hippad/1 and HTTP have words for it. All of
// them are told of.
func TestNobodyMayReport(t *testing.T) {
	h := open(t)
	admit := h.front.Admit
	h.front.Admit = func(s tls.ConnectionState, a net.Addr) hippad.Caller {
		return hippad.Caller{Principal: admit(s, a).Principal}
	}
	refused := make(chan Label, 10)
	h.front.Refused = func(_ net.Addr, l Label, _ error) { refused <- l }
	for _, say := range []string{"<85>1 - - - - - -\n", "hippad/1\n"} {
		conn := h.dial(t)
		if _, err := io.WriteString(conn, say); err != nil {
			t.Fatal(err)
		}
		if reply, _ := io.ReadAll(conn); len(reply) > 0 {
			t.Errorf("%q: replied %q", say, reply)
		}
		if heard := len(h.said); heard != strings.Count(say, "hippad") {
			t.Errorf("%q: %d doors were opened", say, heard)
		}
		if l := <-refused; l != LabelNobody {
			t.Errorf("%q: refused as %s", say, l)
		}
	}
	conn := h.dial(t, "http/1.1")
	fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Error(err)
	}
	raw, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := io.WriteString(raw, "\x16\x03\x01\x00\x05hello"); err != nil {
		t.Fatal(err)
	}
	if l := <-refused; l != LabelHandshake {
		t.Errorf("a broken handshake is refused as %s", l)
	}
	if err := h.stop(); err != nil {
		t.Error(err)
	}
}

func TestLimitsAndEviction(t *testing.T) {
	h := open(t, Limits{PerAddress: 2})
	ask := func(c net.Conn) { // and so know that the server has finished its side of the handshake
		t.Helper()
		fmt.Fprintf(c, "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
	first, second := h.dial(t, "http/1.1"), h.dial(t, "http/1.1")
	ask(first)
	third, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is let in")
	}
	if n := h.front.Rejected(LabelTooMany); n != 1 {
		t.Errorf("counted %d times", n)
	}
	second.Close()
	for { // until the place is free again: the server has to read the end of the second
		c, err := tls.Dial("tcp", h.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err == nil {
			defer c.Close()
			ask(c)
			break
		}
	}
	if n := h.front.Evict(func(hippad.Principal) bool { return true }); n != 0 {
		t.Errorf("%d connections of those who stay were closed", n)
	}
	if n := h.front.Evict(func(p hippad.Principal) bool { return p.ID != "test" }); n != 2 {
		t.Errorf("%d connections were closed, want 2", n)
	}
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	if err := h.stop(); err != nil {
		t.Error(err)
	}
}

// A connection that never says anything must not hold up the end.
func TestStopWithSilentConnections(t *testing.T) {
	h := open(t)
	plain, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	h.dial(t)
	if err := h.stop(); err != nil {
		t.Error(err)
	}
}

func TestHandshakeDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		s := &Server{Log: slog.New(slog.DiscardHandler)}
		s.guests.init(s.Limits.withDefaults())
		g, _ := s.guests.enter(server)
		began := time.Now()
		s.welcome(t.Context(), g, nil)
		if d := time.Since(began); d != handshakeTime {
			t.Errorf("closed after %v, want %v", d, handshakeTime)
		}
		if n := s.Rejected(LabelSilent); n != 1 {
			t.Errorf("counted %d times as silent", n)
		}
		client.Close()
	})
}

// A word that is begun and not finished is not waited for like a first byte.
func TestUnfinishedWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		began := time.Now()
		go func() { _, _ = io.WriteString(client, "GE") }()
		if _, _, err := recognise(server); err == nil {
			t.Error("half a word is a tongue")
		}
		if d := time.Since(began); d != handshakeTime {
			t.Errorf("given up after %v, want %v", d, handshakeTime)
		}
		client.Close()
	})
}

// FuzzRecognise: whatever the bytes, the connection that comes back says them all again.
func FuzzRecognise(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\n", "hippad/1\n", "hipp", "12 <85>1", "<85>1", "\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		client, server := net.Pipe()
		go func() {
			_, _ = client.Write(said)
			client.Close()
		}()
		_, conn, err := recognise(server)
		if err != nil {
			server.Close()
			return
		}
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != string(said) {
			t.Fatalf("said %q, door hears %q, %v", said, got, err)
		}
		server.Close()
	})
}
