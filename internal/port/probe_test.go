package port

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func addressOf(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	out, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// serve answers every connection of a listener by f.
func serve(t *testing.T, f func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return addressOf(t, l.Addr())
}

func TestProbe(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "test/1") }))
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.EnableHTTP2 = true
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	hippadPort := httptest.NewUnstartedServer(http.NotFoundHandler())
	hippadPort.TLS = &tls.Config{NextProtos: []string{"hippad/1", "http/1.1"}, ClientAuth: tls.RequestClientCert}
	hippadPort.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"hippad/1": func(_ *http.Server, c *tls.Conn, _ http.Handler) { c.Close() }}
	hippadPort.Config.ErrorLog = log.New(io.Discard, "", 0)
	hippadPort.StartTLS()
	defer hippadPort.Close()
	demands := httptest.NewUnstartedServer(http.NotFoundHandler())
	demands.TLS = &tls.Config{MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"http/1.1"}}
	demands.Config.ErrorLog = log.New(io.Discard, "", 0)
	demands.StartTLS()
	defer demands.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := addressOf(t, closed.Addr())
	closed.Close()

	for _, c := range []struct {
		name   string
		at     netip.AddrPort
		speaks string
		hippad bool
		alpn   []string
	}{
		{"nothing", nobody, "nothing: connection refused", false, nil},
		{"plain HTTP", addressOf(t, plain.Listener.Addr()), "HTTP: HTTP/1.1 200 OK, Server: test/1", false, nil},
		{"HTTPS", addressOf(t, secure.Listener.Addr()), "TLS 1.3; HTTP: HTTP/1.1 404 Not Found", false, []string{"h2"}},
		{"hippad", addressOf(t, hippadPort.Listener.Addr()), "TLS 1.3; hippad/1; HTTP: HTTP/1.1 404 Not Found", true, []string{"hippad/1", "http/1.1"}},
		{"TLS 1.2 for clients with a certificate only", addressOf(t, demands.Listener.Addr()), "TLS 1.2", false, []string{"http/1.1"}},
		{"SSH", serve(t, func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\x1b[31m\r\nrest") }), "SSH: SSH-2.0-OpenSSH_9.2\x1b[31m", false, nil},
		{"silent", serve(t, func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 5)) }), "something that waits", false, nil},
		{"garbage", serve(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 5)); _, _ = c.Write([]byte{0, 1, 2, 0xff, 0xfe}) }), "something that waits", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Probe(t.Context(), c.at)
			if got := strings.Join(f.Speaks, "; "); !strings.HasPrefix(got, c.speaks) || f.Hippad != c.hippad {
				t.Errorf("%s, hippad %v", got, f.Hippad)
			}
			if f.Connected != (c.name != "nothing") {
				t.Errorf("%+v", f)
			}
			if c.alpn == nil {
				if f.TLS != nil {
					t.Errorf("%+v", f.TLS)
				}
				return
			}
			if f.TLS == nil || !slices.Equal(f.TLS.ALPN, c.alpn) || !slices.Contains(f.TLS.Names, "127.0.0.1") || f.TLS.Trusted == "yes" || f.TLS.NotAfter.IsZero() {
				t.Errorf("%+v", f.TLS)
			}
			if f.TLS != nil && f.TLS.AsksForCert != (c.hippad || c.at == addressOf(t, demands.Listener.Addr())) {
				t.Errorf("asks for a certificate: %v", f.TLS.AsksForCert)
			}
		})
	}
}

func TestProbeTarget(t *testing.T) {
	dual, single := true, false
	for _, c := range []struct {
		v    *View
		want string
	}{
		{nil, "127.0.0.1:9"},
		{&View{}, "127.0.0.1:9"},
		{&View{Listeners: []Listener{{Transport: "tcp", Address: netip.MustParseAddr("10.1.2.3"), Port: 9}}}, "10.1.2.3:9"},
		{&View{Listeners: []Listener{{Transport: "udp", Address: netip.MustParseAddr("10.1.2.3"), Port: 9}}}, "127.0.0.1:9"},
		{&View{Listeners: []Listener{{Transport: "tcp", Address: netip.IPv6Unspecified(), Port: 9, DualStack: &dual}}}, "127.0.0.1:9"},
		{&View{Listeners: []Listener{{Transport: "tcp", Address: netip.IPv6Unspecified(), Port: 9, DualStack: &single}}}, "[::1]:9"},
		{&View{Listeners: []Listener{{Transport: "tcp", Address: netip.MustParseAddr("10.1.2.3"), Port: 9, Namespace: "x"}}}, "127.0.0.1:9"},
	} {
		if got := ProbeTarget(9, c.v).String(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.v, got, c.want)
		}
	}
}
