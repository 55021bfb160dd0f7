// Package front owns the TCP port: it accepts, finishes TLS, finds out which tongue is spoken, by ALPN or by the first
// bytes, and hands the connection to that door. What belongs to no door is labelled, counted and closed, without a
// word of reply.
//
// It knows no door from inside: it is given functions. The invariant: until the TLS handshake is done and the tongue is
// known, a connection costs bounded memory and bounded time.
//
// What such a connection was is package traffic's to say.
package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"hippad"
	"hippad/internal/traffic"
)

// ALPN names, best first: what the TLS configuration must offer.
var Protocols = []string{"hippad/1", "h2", "http/1.1"}

const (
	// handshakeTime bounds everything up to the end of the TLS handshake.
	handshakeTime = 10 * time.Second
	// httpHeaderTime bounds the reading of a request's header; httpIdle is how long a kept-alive connection may rest.
	httpHeaderTime = 10 * time.Second
	httpIdle       = 2 * time.Minute
	// httpBodyTime bounds a whole request and its answer: 16 MiB in a minute is a slow modem.
	httpBodyTime = time.Minute
	// firstBytes is how much of a connection is read at first; longestWord is what it takes to tell a tongue.
	firstBytes  = 64
	longestWord = 16
)

// A Server is the front of one port. The fields must be set before Serve.
type Server struct {
	TLS    *tls.Config
	Admit  func(tls.ConnectionState, net.Addr) hippad.Caller
	Native func(context.Context, net.Conn, hippad.Caller) error // hippad/1; closes the connection
	Syslog func(context.Context, net.Conn, hippad.Caller) error // RFC 5425, RFC 6587; closes the connection
	HTTP   http.Handler                                         // finds the caller with CallerOf
	// Refused is told of every connection that ends because of who it is from: a handshake that failed, a caller without the
	// right to what a door does. It must not block. It may be nil.
	Refused func(from net.Addr, label Label, err error)
	// Unexpected is told of every connection that belongs to no door: what it was. It must not block. It may be nil.
	Unexpected func(traffic.Sighting)
	Limits     Limits
	// Quiet is how long a client without ALPN may be connected before it says its first byte; 0 is a day. It is long
	// because a syslog sender that connects ahead of its first event loses that event when it is thrown out: RFC
	// 5425 has no acknowledgement that would tell it.
	Quiet time.Duration
	// Grace is how long Serve waits for the doors after the context has ended; 0 is 5 s.
	Grace time.Duration
	Log   *slog.Logger

	counts
	guests guests
	secure struct {
		sync.Once
		config *tls.Config // TLS, and keeps the ClientHello for as long as a connection is not at its door
	}
}

// Limits bound what connections cost. Zero fields have the defaults named.
type Limits struct {
	Connections int // open at a time, all together; 10,000
	PerAddress  int // open at a time from one address; 1,000: a gateway stands in front of many senders
}

func (l Limits) withDefaults() Limits {
	or := func(v, otherwise int) int {
		if v <= 0 {
			return otherwise
		}
		return v
	}
	return Limits{or(l.Connections, 10_000), or(l.PerAddress, 1_000)}
}

// Serve accepts on l until ctx ends, then lets the doors finish and returns nil. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.guests.init(s.Limits.withDefaults())
	s.secure.Do(s.listenToHello)
	web := newHandover(l.Addr())
	hs := &http.Server{
		Handler: s.HTTP, ReadHeaderTimeout: httpHeaderTime, ReadTimeout: httpBodyTime, WriteTimeout: httpBodyTime, IdleTimeout: httpIdle,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, callerKey{}, web.caller(c))
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				web.forget(c)
			}
		},
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = hs.Serve(web) })

	grace := s.Grace
	if grace == 0 {
		grace = 5 * time.Second
	}
	stopped := context.AfterFunc(ctx, func() { l.Close() })
	defer stopped()
	var err error
	for {
		var c net.Conn
		if c, err = l.Accept(); err != nil {
			if ctx.Err() == nil && isTemporary(err) { // out of file descriptors, for one: a moment later there may be some
				select {
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
				}
				continue
			}
			break
		}
		g, ok := s.guests.enter(c)
		if !ok {
			s.unexpected(traffic.Describe(traffic.Verdict{Label: traffic.Unread, Confidence: traffic.Weak}, nil, c.RemoteAddr(), c.LocalAddr()), time.Now())
			s.reject(c, LabelTooMany)
			continue
		}
		wg.Go(func() { s.welcome(ctx, g, web) })
	}
	l.Close()
	// The order: no new connections (above); HTTP requests under way get their answer; native connections have said BYE
	// and syslog connections have stored what they read, because both see ctx.
	shut, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if hs.Shutdown(shut) != nil {
		hs.Close()
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("accept on %s: %w", l.Addr(), err)
}

func isTemporary(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Temporary() //lint:ignore SA1019 the only way to tell EMFILE on accept from a closed listener
}

// welcome takes one connection as far as its door.
func (s *Server) welcome(ctx context.Context, raw *guest, web *handover) {
	began := time.Now()
	_ = raw.SetDeadline(began.Add(handshakeTime))
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Now()) })
	first, plain, err := peek(raw, 1)
	if err != nil || first[0] != recordHandshake {
		stop()
		s.stranger(ctx, raw, plain, err, began)
		return
	}
	tc := tls.Server(plain, s.secure.config)
	if err := tc.HandshakeContext(ctx); err != nil {
		stop()
		s.Log.Debug("tls handshake", "from", raw.RemoteAddr(), "error", err)
		s.sawHello(ctx, plain, err, began)
		s.refuse(ctx, raw, LabelHandshake, err)
		return
	}
	who := s.Admit(tc.ConnectionState(), raw.RemoteAddr())
	s.guests.name(raw, who.Principal)
	tongue := tc.ConnectionState().NegotiatedProtocol
	var conn net.Conn = tc
	if tongue == "" {
		quiet := s.Quiet
		if quiet == 0 {
			quiet = 24 * time.Hour
		}
		_ = raw.SetDeadline(time.Now().Add(quiet))
		if ctx.Err() != nil { // it may have ended just before: then this deadline has undone the one that ends the wait
			_ = raw.SetDeadline(time.Now())
		}
		word, inside, err := recognise(tc)
		if err != nil || word == "" {
			stop()
			s.strangerInside(ctx, tc, inside, plain, len(who.Roles) > 0, err, began)
			return
		}
		tongue, conn = word, inside
	}
	plain.hello = nil
	// From here the door owns the deadlines. A ctx that ended in between has set one in the past: the door sees ctx too.
	if !stop() {
		s.reject(tc, "")
		return
	}
	_ = raw.SetDeadline(time.Time{})
	if len(who.Roles) == 0 && (tongue == "hippad/1" || tongue == tongueSyslog) {
		if s.Refused != nil {
			s.Refused(raw.RemoteAddr(), LabelNobody, errNobody)
		}
		s.count(LabelNobody)
		if tongue == tongueSyslog { // it has no way to be told
			tc.Close()
			return
		}
	}
	switch tongue {
	case "hippad/1":
		s.logEnd("hippad/1", who.Principal, s.Native(ctx, conn, who))
	case tongueSyslog:
		s.logEnd("syslog", who.Principal, s.Syslog(ctx, conn, who))
	case "h2", "http/1.1":
		if !web.give(conn, who) {
			s.reject(tc, "")
		}
	}
}

func (s *Server) logEnd(door string, who hippad.Principal, err error) {
	if err != nil {
		s.Log.Info("connection ended", "door", door, "from", who, "error", err)
	}
}

var errNobody = errors.New("no certificate, and the address is not one that may report without")

// Evict closes the connections of every principal that stays says no to: after a revocation, which ends not only the next
// handshake but the connections that are open. It returns how many there were.
func (s *Server) Evict(stays func(hippad.Principal) bool) int { return s.guests.evict(stays) }

// refuse is reject for a connection that ends because of who it is from. A server that is closing refuses nobody.
func (s *Server) refuse(ctx context.Context, c net.Conn, label Label, err error) {
	if s.Refused != nil && ctx.Err() == nil {
		s.Refused(c.RemoteAddr(), label, err)
	}
	s.reject(c, label)
}

// reject closes a connection that belongs to no door, and counts it under label.
func (s *Server) reject(c net.Conn, label Label) {
	if label != "" {
		s.count(label)
	}
	c.Close()
}
