package front

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"

	"hippad"
	"hippad/internal/traffic"
)

// What belongs to no door is labelled, inside TLS and outside, and gets no reply.
func TestStrangers(t *testing.T) {
	h := open(t, Limits{PerAddress: 20})
	seen := make(chan traffic.Sighting, 10)
	h.front.Unexpected = func(s traffic.Sighting) { seen <- s }
	admit := h.front.Admit
	h.front.Admit = func(s tls.ConnectionState, a net.Addr) hippad.Caller {
		c := admit(s, a)
		c.Grant = hippad.Grant{}
		return c
	}
	for _, c := range []struct {
		secure bool
		say    string
		want   traffic.Label
		end    traffic.End
	}{
		{false, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", traffic.HTTP, traffic.EndLabelled},
		{false, "SSH-2.0-OpenSSH_9.2\r\n", traffic.SSH, traffic.EndLabelled},
		{false, "<85>1 - - - - - -\n", traffic.Syslog, traffic.EndLabelled},
		{false, "\x00\x00\x00\x08\x04\xd2\x16\x2f", traffic.PostgreSQL, traffic.EndLabelled},
		{false, "\x99\x01\x02", traffic.Binary, traffic.EndClosed},
		{false, "", traffic.Empty, traffic.EndClosed},
		{false, "\x16\x03\x01\x00\x05hello", traffic.Binary, traffic.EndLabelled},
		{false, "\x16\x03\x01\x00\x05\x01ello", traffic.TLS, traffic.EndLabelled},
		{true, "\x0bMSH|^~\\&|A|B|C|D|20261123||ADT^A01|1|P|2.5\rPID|1||4711\r\x1c\r", traffic.HL7, traffic.EndLabelled},
		{true, "hippad/2\n", traffic.Text, traffic.EndClosed},
		{true, "GETAWAY", traffic.Text, traffic.EndClosed},
		{true, "", traffic.TLS, traffic.EndClosed},
	} {
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
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		s := <-seen
		if s.Label != c.want || s.End != c.end || s.InTLS != (c.secure && c.say != "") || s.Network != "tcp" || s.Source.String() != "127.0.0.1" || s.Port == 0 {
			t.Errorf("%q: %+v", c.say, s)
		}
		if c.secure && (s.Hello == nil || len(s.Hello.JA4) != 36) {
			t.Errorf("%q: the hello is %+v", c.say, s.Hello)
		}
		if s.Digest != "" || s.Label == traffic.HL7 && (s.Client != "" || s.Bytes != len(c.say)) {
			t.Errorf("something of the message is kept: %+v", s)
		}
	}
	// Who may report and says nothing is no stranger; who speaks in no tongue is.
	h.front.Admit = admit
	h.dial(t).Close()
	conn := h.dial(t)
	if _, err := io.WriteString(conn, "\x01"); err != nil {
		t.Fatal(err)
	}
	_ = conn.(*tls.Conn).CloseWrite()
	if s := <-seen; s.Label != traffic.Binary {
		t.Errorf("a sender that is only connected is %+v", s)
	}
	if err := h.stop(); err != nil {
		t.Error(err)
	}
}

// Who begins a handshake and draws it out is a slow client; who begins one and goes has closed.
func TestHandshakeUnfinished(t *testing.T) {
	for goes, want := range map[bool]traffic.Sighting{
		false: {End: traffic.EndWaited, Hypothesis: traffic.SlowClient, Evidence: "the handshake was not finished"},
		true:  {End: traffic.EndClosed, Hypothesis: traffic.Misdirected, Evidence: "the handshake failed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			var seen traffic.Sighting
			s := &Server{TLS: &tls.Config{}, Log: slog.New(slog.DiscardHandler), Unexpected: func(x traffic.Sighting) { seen = x }}
			s.guests.init(s.Limits.withDefaults())
			s.listenToHello()
			g, _ := s.guests.enter(server)
			go func() {
				_, _ = io.WriteString(client, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
				if goes {
					client.Close()
				}
			}()
			s.welcome(t.Context(), g, nil)
			if seen.Label != traffic.TLS || seen.End != want.End || seen.Hypothesis != want.Hypothesis || seen.Evidence != want.Evidence {
				t.Errorf("goes %v: %+v", goes, seen)
			}
		})
	}
}

// BenchmarkWelcome is what a good connection costs, from the dial to the first bytes at its door.
func BenchmarkWelcome(b *testing.B) {
	h := open(b)
	for b.Loop() {
		c, err := tls.Dial("tcp", h.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"hippad/1"}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(c, "hippad/1\n"); err != nil {
			b.Fatal(err)
		}
		<-h.said
		c.Close()
	}
	if err := h.stop(); err != nil {
		b.Error(err)
	}
}

// A mistake in what looks at strangers ends no more than the look.
func TestLookPanics(t *testing.T) {
	h := open(t)
	seen := make(chan traffic.Sighting, 1)
	mistaken := true
	h.front.Unexpected = func(x traffic.Sighting) {
		if mistaken {
			mistaken = false
			panic("index out of range")
		}
		seen <- x
	}
	for range 2 {
		conn, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, _ := io.ReadAll(conn); len(answer) > 0 {
			t.Errorf("answered %q", answer)
		}
		conn.Close()
	}
	if x := <-seen; x.Label != traffic.SSH {
		t.Errorf("the next one is %+v", x)
	}
}
