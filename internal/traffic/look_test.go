package traffic

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A connection is looked at as long as it takes, and no longer than MaxWait and MaxFirst; nothing is ever written to it.
func TestLook(t *testing.T) {
	type piece struct {
		after time.Duration
		text  string
	}
	for name, c := range map[string]struct {
		pieces []piece
		close  bool
		want   Label
		end    End
		took   time.Duration
		slow   bool
	}{
		"at once":             {[]piece{{0, "SSH-2.0-a\r\n"}}, false, SSH, EndLabelled, 0, false},
		"in pieces":           {[]piece{{0, "GET / HT"}, {time.Second, "TP/1.1\r\nHost: a\r\n"}, {time.Second, "\r\n"}}, false, HTTP, EndLabelled, 2 * time.Second, false},
		"drawn out":           {[]piece{{0, "GET / HT"}, {time.Second, "TP/1.1\r\nA: b\r\n"}, {time.Second, "C: d\r\n"}, {time.Second / 2, "E: f\r\n"}}, false, HTTP, EndWaited, MaxWait, true},
		"drawn-out attempt":   {[]piece{{0, "GET /cgi-bin/"}, {time.Second, "luci"}, {time.Second, "?a"}}, false, HTTP, EndWaited, MaxWait, false},
		"talks and waits":     {[]piece{{0, "hello\n"}, {time.Second, "is there\n"}, {time.Second, "anybody?\n"}}, false, Text, EndWaited, MaxWait, false},
		"waits":               {nil, false, Waits, EndWaited, MaxWait, false},
		"closes":              {nil, true, Empty, EndClosed, 0, false},
		"says little, closes": {[]piece{{0, "hel"}, {time.Second, "lo"}}, true, Text, EndClosed, time.Second, false},
		"says little, waits":  {[]piece{{0, "hello"}}, false, Text, EndWaited, MaxWait, false},
		"says much":           {[]piece{{0, strings.Repeat("words ", 2000)}}, false, Text, EndFull, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				wrote := make(chan error, 1)
				go func() {
					for _, p := range c.pieces {
						time.Sleep(p.after)
						_, _ = io.WriteString(client, p.text)
					}
					if c.close {
						client.Close()
					}
				}()
				go func() {
					b, err := io.ReadAll(client)
					if len(b) > 0 {
						err = errors.New("something was written")
					}
					wrote <- err
				}()
				began := time.Now()
				b, v, end := Look(t.Context(), server, nil)
				if v.Label != c.want || end != c.end || time.Since(began) != c.took || (v.Hypothesis == SlowClient) != c.slow || len(b) > MaxFirst {
					t.Errorf("%s, %s, after %v, %s, %d bytes", v.Label, end, time.Since(began), v.Hypothesis, len(b))
				}
				server.Close()
				if err := <-wrote; err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Error(err)
				}
				client.Close()
			})
		})
	}
}

// An end of the context ends the looking.
func TestLookEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		if _, v, _ := Look(ctx, server, nil); time.Since(began) != time.Second {
			t.Errorf("%s after %v", v.Label, time.Since(began))
		}
		client.Close()
	})
}

// A ClientHello is read as crypto/tls reads it, also when it comes in several records, and what is no hello gives none.
func TestReadHello(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, &tls.Config{ServerName: "audit.example", NextProtos: []string{"h2", "http/1.1"}}).Handshake()
		client.Close()
	}()
	b, v, end := Look(t.Context(), server, nil)
	server.Close()
	if v.Label != TLS || v.Confidence != Exact || end != EndLabelled {
		t.Fatalf("%+v, %s", v, end)
	}
	h := ReadHello(b)
	if h == nil || h.ServerName != "audit.example" || strings.Join(h.Protocols, " ") != "h2 http/1.1" || !strings.HasPrefix(h.JA4, "t13d") || h.JA4[8:11] != "h2_" {
		t.Fatalf("%+v", h)
	}
	var split []byte // the same in records of 100 bytes
	for rest := b[5:]; len(rest) > 0; {
		n := min(100, len(rest))
		split = append(append(split, 0x16, 3, 1, 0, byte(n)), rest[:n]...)
		rest = rest[n:]
	}
	if again := ReadHello(split); again == nil || again.JA4 != h.JA4 {
		t.Errorf("in several records: %+v", again)
	}
	for n := range b {
		if ReadHello(b[:n]) != nil {
			t.Fatalf("%d of %d bytes are a hello", n, len(b))
		}
	}
}

// The example of FoxIO's description of JA4.
func TestJA4(t *testing.T) {
	info := &tls.ClientHelloInfo{
		SupportedVersions: []uint16{0x7a7a, 0x0304, 0x0303},
		CipherSuites:      []uint16{0x8a8a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		Extensions: []uint16{0x4a4a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a,
			0x0015, 0xdada},
		SignatureSchemes: []tls.SignatureScheme{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
		SupportedProtos:  []string{"h2", "http/1.1"},
		ServerName:       "example.com",
	}
	if got := ja4(info); got != "t13d1516h2_8daaf6152771_e5627efa2ab1" {
		t.Error(got)
	}
}

// The versions of hellos without the extension that lists them.
func TestJA4OfOldVersions(t *testing.T) {
	for version, want := range map[string]string{"0300": "ts3i", "0301": "t10i", "0302": "t11i", "0303": "t12i"} {
		body := version + strings.Repeat("07", 32) + "00 0004 002f 000a 01 00"
		n := len(unhex(body))
		hello := unhex(fmt.Sprintf("16 0300 %04x 01 %06x", n+4, n) + body)
		if h := ReadHello([]byte(hello)); h == nil || !strings.HasPrefix(h.JA4, want+"020000_") {
			t.Errorf("%s: %+v, want %s", version, h, want)
		}
	}
}

// FuzzReadHello: whatever the bytes, they cost no panic and what comes out is printable.
func FuzzReadHello(f *testing.F) {
	f.Add([]byte(unhex("16 0301 0005 01 000001 03")))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := ReadHello(b[:min(len(b), MaxFirst)])
		if h == nil {
			return
		}
		if !graphic([]byte(h.ServerName+strings.Join(h.Protocols, ""))) || len(h.JA4) != 36 {
			t.Fatalf("%+v", h)
		}
	})
}
