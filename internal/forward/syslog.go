package forward

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"hippad"
)

const (
	dialWithin  = 10 * time.Second
	writeWithin = 30 * time.Second
	// quiet is how long a connection must live on before what was written counts as delivered: a program that dies ends
	// it within that time.
	quiet = time.Second
	// confirmWithin is how long the other machine may leave bytes unconfirmed.
	confirmWithin = time.Minute
)

// A mark remembers what was written when.
type mark struct {
	last   int64 // the entry
	offset int64 // bytes written up to its end
	at     time.Time
}

// written is what both syslog transports know of what they have sent.
type written struct {
	marks  []mark // not sure, in order
	upto   int64  // sure
	lost   chan error
	ended  error
	queued func() (int64, bool) // bytes of offset that the other machine has not confirmed; false: nobody knows
	offset func() int64
}

func (w *written) note(last int64) {
	w.marks = append(w.marks, mark{last, w.offset(), time.Now()})
}

func (w *written) sure() (int64, error) {
	if w.ended == nil {
		select {
		case w.ended = <-w.lost:
		default:
		}
	}
	if w.ended != nil {
		return w.upto, w.ended
	}
	confirmed := w.offset()
	if n, known := w.queued(); known {
		confirmed -= n
	}
	now := time.Now()
	for len(w.marks) > 0 && now.Sub(w.marks[0].at) >= quiet && w.marks[0].offset <= confirmed {
		w.upto = w.marks[0].last
		w.marks = w.marks[1:]
	}
	if len(w.marks) > 0 && now.Sub(w.marks[0].at) > confirmWithin {
		return w.upto, hippad.Errorf(hippad.Unavailable, "the other machine has confirmed nothing for %v", confirmWithin)
	}
	return w.upto, nil
}

// listen waits for the end of the connection. What the other side says means nothing in syslog.
func (w *written) listen(c net.Conn) {
	_, err := io.Copy(io.Discard, c)
	if err == nil {
		w.lost <- errClosedThere
		return
	}
	w.lost <- fmt.Errorf("the connection is lost: %w", err)
}

// why prefers what the other side has said, a TLS alert for one, to the broken pipe that follows from it.
func (w *written) why(err error) error {
	select {
	case w.ended = <-w.lost:
		return w.ended
	default:
		return fmt.Errorf("write: %w", err)
	}
}

var errClosedThere = hippad.Errorf(hippad.Unavailable, "the destination has closed the connection")

// A stream is a connection of RFC 5425: syslog inside TLS, each message behind its number of octets.
type stream struct {
	written
	conn  *tls.Conn
	out   *bufio.Writer
	bytes *counter
}

// A counter is a connection that knows how many bytes it was given.
type counter struct {
	net.Conn
	n atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func (r *runner) dialTLS(ctx context.Context) (destination, error) {
	config, err := r.rule.tls()
	if err != nil {
		return nil, hippad.Errorf(hippad.Unavailable, "%w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.rule.url.Host)
	if err != nil {
		return nil, err // it says itself that it could not dial
	}
	s := &stream{bytes: &counter{Conn: raw}}
	s.conn = tls.Client(s.bytes, config)
	if err := s.conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	s.out = bufio.NewWriterSize(s.conn, 64<<10)
	s.written = written{upto: -1, lost: make(chan error, 1), offset: s.bytes.n.Load, queued: func() (int64, bool) { return unconfirmed(raw) }}
	go s.listen(s.conn)
	return s, nil
}

// send writes every message as RFC 5425 section 4.3 has it.
func (s *stream) send(_ context.Context, items []item) (int, error) {
	for _, it := range items {
		if err := s.conn.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
			return 0, fmt.Errorf("write: %w", err)
		}
		s.out.WriteString(strconv.Itoa(len(it.payload)))
		s.out.WriteByte(' ')
		if _, err := s.out.Write(it.payload); err != nil {
			return 0, s.why(err)
		}
	}
	if err := s.out.Flush(); err != nil {
		return 0, s.why(err)
	}
	s.note(items[len(items)-1].Index)
	return len(items), nil
}

// close says goodbye, and takes the goodbye of a destination that has read everything before as its confirmation.
func (s *stream) close(gently bool) {
	if gently && s.ended == nil && s.conn.CloseWrite() == nil {
		t := time.NewTimer(stopWithin)
		defer t.Stop()
		select {
		case s.ended = <-s.lost:
			if errors.Is(s.ended, errClosedThere) && len(s.marks) > 0 {
				s.upto = s.marks[len(s.marks)-1].last
			}
		case <-t.C:
		}
	}
	s.bytes.Close()
	if s.ended == nil {
		s.ended = errClosedHere
	}
}

// A packet socket sends syslog by RFC 5426, a message in a datagram. A destination that is not there shows in an ICMP message, if
// it shows at all.
type packets struct {
	written
	r    *runner
	conn net.Conn
}

func (r *runner) dialUDP(ctx context.Context) (destination, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", r.rule.url.Host)
	if err != nil {
		return nil, err // it says itself that it could not dial
	}
	p := &packets{r: r, conn: conn}
	p.written = written{upto: -1, lost: make(chan error, 1), offset: func() int64 { return 0 }, queued: func() (int64, bool) { return 0, false }}
	go p.listen(conn)
	return p, nil
}

func (p *packets) send(_ context.Context, items []item) (int, error) {
	for _, it := range items {
		b := cut(it.payload, p.r.rule.Datagram)
		if len(b) < len(it.payload) {
			p.r.count(func(s *Status) { s.Cut++ })
		}
		if _, err := p.conn.Write(b); err != nil {
			return 0, p.why(err)
		}
	}
	p.note(items[len(items)-1].Index)
	return len(items), nil
}

func (p *packets) close(bool) {
	p.conn.Close()
	if p.ended == nil {
		p.ended = errClosedHere
	}
}

var errClosedHere = hippad.Errorf(hippad.Unavailable, "the connection is closed")
