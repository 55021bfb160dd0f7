package traffic

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// A Hello is what a TLS ClientHello says of its client.
type Hello struct {
	ServerName string   `json:"sni,omitzero"`  // RFC 6066 section 3; cleaned
	Protocols  []string `json:"alpn,omitzero"` // RFC 7301; cleaned, four at most
	JA4        string   `json:"ja4"`           // fingerprint of client programs (FoxIO, JA4)
}

// ReadHello reads the ClientHello that b begins with, in one or several records, with crypto/tls; nil when it is not all there
// or is none. Not for the way of every connection: it allocates.
func ReadHello(b []byte) *Hello {
	var out *Hello
	server := tls.Server(&halfConn{r: bytes.NewReader(b)}, &tls.Config{
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			out = HelloOf(info)
			return nil, errSeen
		},
	})
	_ = server.Handshake() // it cannot succeed
	return out
}

var errSeen = errors.New("seen")

// HelloOf is what the ClientHello of a handshake under way says.
func HelloOf(info *tls.ClientHelloInfo) *Hello {
	if info == nil {
		return nil
	}
	h := &Hello{ServerName: clean(info.ServerName, 253), JA4: ja4(info)}
	for _, p := range info.SupportedProtos[:min(len(info.SupportedProtos), 4)] {
		h.Protocols = append(h.Protocols, clean(p, 32))
	}
	return h
}

// clean makes a short word of what a stranger calls itself: printable ASCII, the rest as dots.
func clean[T string | []byte](s T, longest int) string {
	out := make([]byte, 0, min(len(s), longest))
	for i := 0; i < min(len(s), longest); i++ {
		c := s[i]
		if c < ' ' || c > '~' {
			c = '.'
		}
		out = append(out, c)
	}
	return string(out)
}

// ja4 is the TLS client fingerprint JA4: protocol, version, whether a name is asked for, numbers of suites and extensions, ALPN, and
// hashes of the sorted suites and of the sorted extensions with the signature schemes. Values of RFC 8701 are left out.
func ja4(info *tls.ClientHelloInfo) string {
	version := uint16(0)
	if len(info.SupportedVersions) == 0 {
		version = 0x0300 // crypto/tls lists nothing older than TLS 1.0
	}
	for _, v := range info.SupportedVersions {
		if !grease(v) {
			version = max(version, v)
		}
	}
	versions := map[uint16]string{tls.VersionTLS13: "13", tls.VersionTLS12: "12", tls.VersionTLS11: "11", tls.VersionTLS10: "10", 0x0300: "s3"}
	short := versions[version]
	if short == "" {
		short = "00"
	}
	suites, extensions := honest(info.CipherSuites), honest(info.Extensions)
	name, alpn := "i", "00"
	if slices.Contains(extensions, 0) {
		name = "d"
	}
	if len(info.SupportedProtos) > 0 && info.SupportedProtos[0] != "" {
		p := info.SupportedProtos[0]
		first, last := p[0], p[len(p)-1]
		if isAlnum(first) && isAlnum(last) {
			alpn = string([]byte{first, last})
		} else {
			all := hex.EncodeToString([]byte(p))
			alpn = all[:1] + all[len(all)-1:]
		}
	}
	a := fmt.Sprintf("t%s%s%02d%02d%s", short, name, min(len(suites), 99), min(len(extensions), 99), alpn)
	slices.Sort(suites)
	sorted := slices.DeleteFunc(extensions, func(e uint16) bool { return e == 0 || e == 16 })
	slices.Sort(sorted)
	c := fourHex(sorted)
	if len(info.SignatureSchemes) > 0 {
		schemes := make([]uint16, len(info.SignatureSchemes))
		for i, s := range info.SignatureSchemes {
			schemes[i] = uint16(s)
		}
		c += "_" + fourHex(honest(schemes))
	}
	return a + "_" + twelve(fourHex(suites)) + "_" + twelve(c)
}

func twelve(s string) string {
	if s == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

func fourHex(all []uint16) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = fmt.Sprintf("%04x", v)
	}
	return strings.Join(words, ",")
}

// grease tells the values that clients make up (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func honest(all []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(all), grease)
}

// halfConn is a connection that says what was read, and that swallows every answer.
type halfConn struct{ r io.Reader }

func (c *halfConn) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c *halfConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *halfConn) Close() error                     { return nil }
func (c *halfConn) LocalAddr() net.Addr              { return nil }
func (c *halfConn) RemoteAddr() net.Addr             { return nil }
func (c *halfConn) SetDeadline(time.Time) error      { return nil }
func (c *halfConn) SetReadDeadline(time.Time) error  { return nil }
func (c *halfConn) SetWriteDeadline(time.Time) error { return nil }
