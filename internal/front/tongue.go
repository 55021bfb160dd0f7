package front

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Label says why a connection ended that belonged to no door. What it was is a traffic.Label.
type Label string

// The labels.
const (
	LabelPlain     Label = "no tls"
	LabelSilent    Label = "silent"
	LabelHandshake Label = "tls handshake failed"
	LabelNobody    Label = "may not report"
	LabelTooMany   Label = "too many connections"
	LabelUnknown   Label = "unknown inside tls"
)

// Labels lists them all.
var Labels = []Label{LabelPlain, LabelSilent, LabelHandshake, LabelNobody, LabelTooMany, LabelUnknown}

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
func recognise(c net.Conn) (string, *replay, error) {
	first, conn, err := peek(c, 1)
	if err != nil {
		return "", conn, err
	}
	switch b := first[0]; {
	case b >= '1' && b <= '9', b == '<':
		return tongueSyslog, conn, nil
	case b != 'h' && (b < 'A' || b > 'Z'):
		return "", conn, nil
	}
	// A word: read on until it is one of ours or cannot become one. Who has begun to speak has no day for the rest of it.
	if err := c.SetReadDeadline(time.Now().Add(handshakeTime)); err != nil {
		return "", conn, err
	}
	for n := 2; n <= longestWord; n++ {
		if first, conn, err = peek(conn, n); err != nil {
			return "", conn, err
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

// peek reads at least n bytes, and what else there is up to firstBytes, and returns them with a connection that will read them
// again. After an error it returns what there was.
func peek(c net.Conn, n int) ([]byte, *replay, error) {
	r, ok := c.(*replay)
	if !ok {
		r = &replay{Conn: c}
	}
	if have := r.end - r.at; have < n {
		got, err := io.ReadAtLeast(r.Conn, r.first[r.end:], n-have)
		r.end += got
		if err != nil {
			return r.first[r.at:r.end], r, err
		}
	}
	return r.first[r.at:r.end], r, nil
}

// replay is a connection some of whose bytes have been looked at already.
type replay struct {
	net.Conn
	first   [firstBytes]byte
	at, end int                  // of what has not been read again
	hello   *tls.ClientHelloInfo // of the handshake over it
}

func (r *replay) Read(p []byte) (int, error) {
	if r.at < r.end {
		n := copy(p, r.first[r.at:r.end])
		r.at += n
		return n, nil
	}
	return r.Conn.Read(p)
}
