package front

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Label says what a connection was that belonged to no door.
type Label string

// The labels.
const (
	LabelPlainHTTP   Label = "http without tls"
	LabelPlainSyslog Label = "syslog without tls"
	LabelSSH         Label = "ssh"
	LabelPlain       Label = "no tls"
	LabelSilent      Label = "silent"
	LabelHandshake   Label = "tls handshake failed"
	LabelNobody      Label = "may not report"
	LabelTooMany     Label = "too many connections"
	LabelUnknown     Label = "unknown inside tls"
)

// Labels lists them all.
var Labels = []Label{LabelPlainHTTP, LabelPlainSyslog, LabelSSH, LabelPlain, LabelSilent, LabelHandshake, LabelNobody, LabelTooMany, LabelUnknown}

type counts struct{ m sync.Map } // Label -> *atomic.Int64

func (c *counts) count(l Label) {
	n, _ := c.m.LoadOrStore(l, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// Rejected returns how many connections were closed under a label since the start.
func (c *counts) Rejected(l Label) int64 {
	if n, ok := c.m.Load(l); ok {
		return n.(*atomic.Int64).Load()
	}
	return 0
}

// recordHandshake is the first byte of a TLS ClientHello record (RFC 8446 section 5.1).
const recordHandshake = 22

const (
	tongueSyslog = "syslog" // no ALPN name is registered for it
	nativeMagic  = "hippad/1\n"
)

// methods are the beginnings of HTTP/1 requests, and of the HTTP/2 preface.
var methods = []string{"GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "PATCH ", "DELETE ", "TRACE ", "CONNECT "}

// recognise tells a tongue from the first bytes inside TLS, which the returned connection replays; "" is none.
func recognise(c net.Conn) (string, net.Conn, error) {
	first, conn, err := peek(c, 1)
	if err != nil {
		return "", nil, err
	}
	switch b := first[0]; {
	case b >= '1' && b <= '9', b == '<':
		return tongueSyslog, conn, nil
	case b != 'h' && (b < 'A' || b > 'Z'):
		return "", conn, nil
	}
	// A word: read on until it is one of ours or cannot become one. Who has begun to speak has no day for the rest of it.
	if err := c.SetReadDeadline(time.Now().Add(handshakeTime)); err != nil {
		return "", nil, err
	}
	for n := 2; n <= firstBytes; n++ {
		if first, conn, err = peek(conn, n); err != nil {
			return "", nil, err
		}
		could := false
		for _, m := range append(methods, nativeMagic) {
			if !bytes.HasPrefix([]byte(m), first[:min(n, len(m))]) {
				continue
			}
			if could = true; n >= len(m) {
				if m == nativeMagic {
					return "hippad/1", conn, nil
				}
				return "http/1.1", conn, nil
			}
		}
		if !could {
			break
		}
	}
	return "", conn, nil
}

// labelPlain names a connection that does not begin with a TLS handshake.
func labelPlain(first []byte, err error) Label {
	switch {
	case err != nil:
		return LabelSilent
	case first[0] == '<' || first[0] >= '1' && first[0] <= '9':
		return LabelPlainSyslog
	case first[0] == 'S':
		return LabelSSH
	case first[0] >= 'A' && first[0] <= 'Z':
		return LabelPlainHTTP
	}
	return LabelPlain
}

// peek reads at least n bytes and returns them with a connection that will read them again.
func peek(c net.Conn, n int) ([]byte, net.Conn, error) {
	r, ok := c.(*replay)
	if !ok {
		r = &replay{Conn: c}
	}
	for len(r.first) < n {
		b := make([]byte, n-len(r.first))
		got, err := io.ReadAtLeast(r.Conn, b, len(b))
		r.first = append(r.first, b[:got]...)
		if err != nil {
			return nil, nil, err
		}
	}
	return r.first, r, nil
}

// replay is a connection some of whose bytes have been looked at already.
type replay struct {
	net.Conn
	first []byte
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(p, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Conn.Read(p)
}
