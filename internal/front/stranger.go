package front

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"hippad/internal/traffic"
)

// listenToHello makes the configuration that keeps each ClientHello with its connection.
func (s *Server) listenToHello() {
	if s.TLS == nil {
		return
	}
	s.secure.config = s.TLS.Clone()
	before := s.TLS.GetConfigForClient
	s.secure.config.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		if r, ok := info.Conn.(*replay); ok {
			r.hello = info
		}
		if before != nil {
			return before(info)
		}
		return nil, nil
	}
}

// stranger looks at a connection that does not begin with a TLS handshake, and closes it. err is that of its first byte.
func (s *Server) stranger(ctx context.Context, raw *guest, plain *replay, err error, began time.Time) {
	defer raw.Close()
	defer s.survive()
	if err != nil {
		s.count(LabelSilent)
		if ctx.Err() == nil {
			label, end := traffic.SilenceOf(err)
			x := traffic.Describe(traffic.Verdict{Label: label, Confidence: traffic.Weak}, nil, raw.RemoteAddr(), raw.LocalAddr())
			x.End = end
			s.unexpected(x, began)
		}
		return
	}
	s.count(LabelPlain)
	s.look(ctx, plain, false, nil, began)
}

// strangerInside looks at a connection inside which no tongue is spoken, and closes it. Of a caller that may do something, silence is
// nothing unexpected: senders connect ahead of their first event.
func (s *Server) strangerInside(ctx context.Context, tc *tls.Conn, inside, plain *replay, known bool, err error, began time.Time) {
	defer tc.Close()
	defer s.survive()
	hello := plain.hello
	silent := inside.at == inside.end
	if silent {
		s.count(LabelSilent)
	} else {
		s.count(LabelUnknown)
	}
	switch {
	case silent && known || ctx.Err() != nil:
	case silent:
		x := traffic.Describe(traffic.Verdict{Label: traffic.TLS, Confidence: traffic.Exact}, nil, tc.RemoteAddr(), tc.LocalAddr())
		x.Hello, x.Evidence = traffic.HelloOf(hello), "nothing said inside tls"
		_, x.End = traffic.SilenceOf(err)
		s.unexpected(x, began)
	default:
		s.look(ctx, inside, true, hello, began)
	}
}

// look reads what else a stranger says, as far as it takes to label it.
func (s *Server) look(ctx context.Context, c *replay, inTLS bool, hello *tls.ClientHelloInfo, began time.Time) {
	if s.Unexpected == nil {
		return
	}
	b, v, end := traffic.Look(ctx, c, nil)
	x := traffic.Describe(v, b, c.RemoteAddr(), c.LocalAddr())
	x.End, x.InTLS = end, inTLS
	if hello != nil {
		x.Hello = traffic.HelloOf(hello)
	}
	s.unexpected(x, began)
}

// sawHello tells of a handshake that failed.
func (s *Server) sawHello(ctx context.Context, c *replay, err error, began time.Time) {
	defer s.survive()
	if s.Unexpected == nil || ctx.Err() != nil {
		return
	}
	v := traffic.Verdict{Label: traffic.TLS, Confidence: traffic.Exact, Hypothesis: traffic.Misdirected}
	if c.hello == nil {
		v = traffic.Classify(c.first[:c.end])
	}
	x := traffic.Describe(v, nil, c.RemoteAddr(), c.LocalAddr())
	x.Hello, x.End, x.Bytes = traffic.HelloOf(c.hello), traffic.EndLabelled, c.end
	x.Evidence = "the handshake failed" + whyFailed(err)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.End, x.Hypothesis, x.Evidence = traffic.EndWaited, traffic.SlowClient, "the handshake was not finished"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		x.End = traffic.EndClosed
	case errors.Is(err, syscall.ECONNRESET):
		x.End = traffic.EndReset
	}
	s.unexpected(x, began)
}

// whyFailed is what can be said of a handshake's error that is not about somebody's certificate: that is the alerts' to tell.
func whyFailed(err error) string {
	alert := (*net.OpError)(nil)
	switch {
	case !errors.As(err, &alert):
		return ""
	case alert.Op == "remote error": // an alert of the client, in the words of crypto/tls
		return ": the client says " + alert.Err.Error()
	case alert.Op == "local error" && alert.Err.Error() == "tls: bad record MAC":
		// OpenSSL's alert about a certificate in TLS 1.3 comes in the clear, when it should not.
		return " as it does with OpenSSL's clients that do not trust the server's certificate"
	}
	return ""
}

func (s *Server) unexpected(x traffic.Sighting, began time.Time) {
	if s.Unexpected != nil {
		x.Millis = time.Since(began).Milliseconds()
		s.Unexpected(x)
	}
}

// survive ends a panic while a stranger is looked at. A label is a luxury, and whoever may send bytes here is nobody: a mistake in a rule costs the label and not
// the daemon. Doors, which change things, have none of this.
func (s *Server) survive() {
	if p := recover(); p != nil {
		s.Log.Error("looking at a stranger", "panic", p, "stack", string(debug.Stack()))
	}
}
