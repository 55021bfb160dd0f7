package port

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Limits of a probe.
const (
	probeDial     = 2 * time.Second
	probeGreeting = 500 * time.Millisecond // how long a server that speaks first may take
	probeAnswer   = 3 * time.Second
	maxGreeting   = 256
)

// hippadProtocol is the ALPN name of the native protocol (docs/protocol.md).
const hippadProtocol = "hippad/1"

// A Finding is what a port really speaks, found out by connecting to it.
type Finding struct {
	Address   string    `json:"address"`
	Connected bool      `json:"connected"`
	Error     string    `json:"error,omitzero"`    // why there was no connection
	Greeting  string    `json:"greeting,omitzero"` // what the server says before it is asked, its first line
	TLS       *TLSFound `json:"tls,omitempty"`
	HTTP      string    `json:"http,omitzero"` // the status line and Server of the answer to GET /
	Hippad    bool      `json:"hippad"`        // whether it speaks hippad/1
	Speaks    []string  `json:"speaks"`        // all of it in words
}

// TLSFound is what a handshake told. The certificate is looked at, not trusted.
type TLSFound struct {
	Version     string    `json:"version"`
	CipherSuite string    `json:"cipherSuite"`
	ALPN        []string  `json:"alpn"` // which of hippad/1, h2 and http/1.1 it takes
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names"`
	NotBefore   time.Time `json:"notBefore"`
	NotAfter    time.Time `json:"notAfter"`
	Trusted     string    `json:"trusted"` // yes, or why this machine's authorities do not vouch for it
	AsksForCert bool      `json:"asksForCertificate"`
}

// ProbeTarget returns where to connect for a port: to a TCP listener of this namespace that was seen, else to the loopback address.
func ProbeTarget(n uint16, v *View) netip.AddrPort {
	at := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if v == nil {
		return netip.AddrPortFrom(at, n)
	}
	for _, l := range v.Listeners {
		if l.Port != n || l.Transport != "tcp" || l.Namespace != "" {
			continue
		}
		switch {
		case !l.Address.IsUnspecified():
			return netip.AddrPortFrom(l.Address, n)
		case l.Address.Is6() && (l.DualStack == nil || !*l.DualStack):
			return netip.AddrPortFrom(netip.IPv6Loopback(), n)
		}
		break
	}
	return netip.AddrPortFrom(at, n)
}

// Probe connects to an address of this machine, a few times, and says what answers. It sends a TLS ClientHello and GET /, nothing else.
func Probe(ctx context.Context, at netip.AddrPort) Finding {
	f := Finding{Address: at.String(), Speaks: []string{}}
	c, err := dial(ctx, at)
	if err != nil {
		f.Error = plainDialError(err)
		f.Speaks = append(f.Speaks, "nothing: "+f.Error)
		return f
	}
	f.Connected = true
	f.Greeting = greeting(c)
	c.Close()
	if f.Greeting != "" {
		f.Speaks = append(f.Speaks, greetingName(f.Greeting))
		return f
	}
	f.TLS = probeTLS(ctx, at)
	if f.TLS != nil {
		f.Speaks = append(f.Speaks, f.TLS.Version)
		for _, p := range f.TLS.ALPN {
			if p == hippadProtocol {
				f.Hippad = true
				f.Speaks = append(f.Speaks, hippadProtocol)
			}
		}
	}
	if f.HTTP = probeHTTP(ctx, at, f.TLS != nil); f.HTTP != "" {
		f.Speaks = append(f.Speaks, "HTTP: "+f.HTTP)
	}
	if len(f.Speaks) == 0 {
		f.Speaks = append(f.Speaks, "something that waits for its client, and is neither TLS nor HTTP")
	}
	return f
}

func dial(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: probeDial}
	return d.DialContext(ctx, "tcp", at.String())
}

func plainDialError(err error) string {
	var timeout net.Error
	switch {
	case isRefused(err):
		return "connection refused"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer within " + probeDial.String()
	}
	return err.Error()
}

// greeting waits for a server that speaks first: SSH, SMTP, FTP, MySQL and others.
func greeting(c net.Conn) string {
	_ = c.SetReadDeadline(time.Now().Add(probeGreeting))
	buffer := make([]byte, maxGreeting)
	n, _ := c.Read(buffer)
	line, _, _ := strings.Cut(string(buffer[:n]), "\n")
	return strings.TrimRight(strings.ToValidUTF8(line, "?"), "\r")
}

func greetingName(g string) string {
	switch {
	case strings.HasPrefix(g, "SSH-"):
		return "SSH: " + g
	case strings.HasPrefix(g, "220 ") || strings.HasPrefix(g, "220-"):
		return "SMTP or FTP: " + g
	case strings.HasPrefix(g, "+OK"):
		return "POP3: " + g
	case strings.HasPrefix(g, "* OK"):
		return "IMAP: " + g
	case strings.HasPrefix(g, "RFB "):
		return "RFB (VNC): " + g
	}
	return "a protocol whose server speaks first: " + g
}

// probeTLS makes a handshake for each protocol, because a server names only one of those that it is offered.
func probeTLS(ctx context.Context, at netip.AddrPort) (found *TLSFound) {
	alpn := []string{}
	refused := ""
	for _, offer := range []string{"", hippadProtocol, "h2", "http/1.1"} {
		asked := false
		var shown tls.ConnectionState
		config := &tls.Config{
			InsecureSkipVerify: true, // the point is to look at the certificate, whatever it is
			MinVersion:         tls.VersionTLS10,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked = true
				return &tls.Certificate{}, nil
			},
			// Before TLS 1.3 a server that wants a certificate of its client ends the handshake after it has shown its own.
			VerifyConnection: func(state tls.ConnectionState) error { shown = state; return nil },
		}
		if offer != "" {
			config.NextProtos = []string{offer}
		}
		state, err := handshake(ctx, at, config)
		if err != nil {
			if !refusesAsTLS(err) {
				return found
			}
			refused = err.Error()
			if !asked || shown.Version == 0 {
				continue
			}
			state = shown
		}
		if offer != "" && state.NegotiatedProtocol == offer {
			alpn = append(alpn, offer)
		}
		if found == nil {
			found = describeTLS(state)
		}
		found.AsksForCert = found.AsksForCert || asked
	}
	if found == nil {
		return &TLSFound{Version: "TLS, refused: " + refused, ALPN: alpn, Names: []string{}}
	}
	found.ALPN = alpn
	return found
}

// refusesAsTLS: an alert is TLS too; the server may want a protocol to be named, or a certificate.
func refusesAsTLS(err error) bool {
	var alert tls.AlertError
	var remote *net.OpError
	return errors.As(err, &alert) || errors.As(err, &remote) && remote.Op == "remote error"
}

func handshake(ctx context.Context, at netip.AddrPort, config *tls.Config) (tls.ConnectionState, error) {
	raw, err := dial(ctx, at)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(probeAnswer))
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), nil
}

func describeTLS(state tls.ConnectionState) *TLSFound {
	f := &TLSFound{Version: tls.VersionName(state.Version), CipherSuite: tls.CipherSuiteName(state.CipherSuite), Names: []string{}}
	if len(state.PeerCertificates) == 0 {
		return f
	}
	leaf := state.PeerCertificates[0]
	f.Subject, f.Issuer, f.NotBefore, f.NotAfter = leaf.Subject.String(), leaf.Issuer.String(), leaf.NotBefore.UTC(), leaf.NotAfter.UTC()
	f.Names = append(f.Names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		f.Names = append(f.Names, ip.String())
	}
	others := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		others.AddCert(c)
	}
	f.Trusted = "yes"
	if _, err := leaf.Verify(x509.VerifyOptions{Intermediates: others}); err != nil {
		f.Trusted = err.Error()
	}
	return f
}

// probeHTTP asks GET / and returns the status line and the Server.
func probeHTTP(ctx context.Context, at netip.AddrPort, withTLS bool) string {
	raw, err := dial(ctx, at)
	if err != nil {
		return ""
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(probeAnswer))
	c := raw
	if withTLS {
		c = tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, NextProtos: []string{"http/1.1"}})
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.String()+"/", nil)
	if err != nil {
		return ""
	}
	request.Header.Set("User-Agent", "hippad-port-probe")
	request.Close = true
	if err := request.Write(c); err != nil {
		return ""
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(c, 16<<10), request)
	if err != nil {
		return ""
	}
	answer.Body.Close()
	line := answer.Proto + " " + answer.Status
	if server := answer.Header.Get("Server"); server != "" {
		line += ", Server: " + server
	}
	return line
}
