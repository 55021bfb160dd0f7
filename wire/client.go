package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"hippad"
)

// ClientOptions say who dials and what for. The zero value is a reader, or a reporter that does not number.
type ClientOptions struct {
	Stream   hippad.StreamID // the stream that numbered frames belong to
	Software string          // name and version, told to the server; empty: "hippad"
	MaxFrame int             // largest payload that the client takes, in bytes; 0: 64 MiB, at least 64 KiB
}

// A Client is a hippad.Session at the other end of a connection. All methods may be used from many goroutines at once.
//
// Its errors have the kind that the server gave. When the connection is lost, everything that is open ends with kind
// Unavailable: whether an unanswered frame was recorded is then unknown, and only the repetition of a numbered frame in
// a new connection tells.
type Client struct {
	conn   net.Conn
	in     *frameReader
	out    *frameWriter
	stream hippad.StreamID
	limits Limits
	hello  welcome
	max    int64         // largest payload taken
	window chan struct{} // one token for each frame that has no final answer
	over   chan struct{} // closed when the connection is over; err says why

	sending sync.Mutex // held while frames go into inflight and out, so that both have the same order; taken before mu

	mu       sync.Mutex
	err      error
	closing  bool // Close has been called
	serial   uint32
	inflight []*pending // sent and unanswered, in order
	refused  []*pending // answered BUSY, in order
	paused   bool       // from the first BUSY until the refused are sent again
	held     []*pending // not sent, because of paused
	retry    time.Duration
	nextID   uint32
	requests map[uint32]*inquiry
}

// Dial connects to addr (host:port) with TLS and begins a conversation. ctx bounds that, and not the life of the client.
func Dial(ctx context.Context, addr string, config *tls.Config, o ClientOptions) (*Client, error) {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if len(config.NextProtos) == 0 {
		config = config.Clone()
		config.NextProtos = []string{ALPN}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*helloWithin)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, hippad.Errorf(hippad.Unavailable, "connect to %s: %w", addr, err)
	}
	return NewClient(ctx, conn, o)
}

// NewClient begins a conversation on conn, which it owns from then on: it is closed when NewClient fails or the client
// ends. ctx bounds HELLO and WELCOME, and not the life of the client.
func NewClient(ctx context.Context, conn net.Conn, o ClientOptions) (*Client, error) {
	maxFrame := max(or(o.MaxFrame, 64<<20), minPeerMax)
	c := &Client{conn: conn, in: newFrameReader(conn), out: newFrameWriter(conn), stream: o.Stream,
		max: int64(min(maxFrame, 2*largestReport-1)), over: make(chan struct{}), requests: map[uint32]*inquiry{}}
	if err := c.greet(ctx, o); err != nil {
		conn.Close()
		return nil, err
	}
	c.window = make(chan struct{}, c.limits.Window)
	go c.out.run()
	go c.read()
	go c.keepAlive()
	return c, nil
}

// greet sends magic and HELLO and reads WELCOME.
func (c *Client) greet(ctx context.Context, o ClientOptions) error {
	ctx, cancel := context.WithTimeout(ctx, helloWithin)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	lost := func(err error) error {
		if why := ctx.Err(); why != nil {
			err = why
		}
		return hippad.Errorf(hippad.Unavailable, "greet the log: %w", err)
	}
	first := appendFrame([]byte(Magic), hello{versions: []uint16{Version}, stream: o.Stream, maxFrame: uint32(c.max),
		software: or(o.Software, "hippad")})
	if _, err := c.conn.Write(first); err != nil {
		return lost(err)
	}
	t, n, err := c.in.header()
	if err != nil {
		return lost(err)
	}
	if t != typeWelcome && t != typeBye || n > 4*minPeerMax {
		return hippad.Errorf(hippad.Invalid, "the other side does not speak hippad/1")
	}
	p, err := c.in.payload(n)
	if err != nil {
		return lost(err)
	}
	if !stop() {
		return lost(ctx.Err())
	}
	m, err := parse(t, p)
	if err != nil {
		return err
	}
	if b, ok := m.(bye); ok {
		return b.status.err()
	}
	return c.welcomed(m.(welcome))
}

// welcomed checks what the server says about itself.
func (c *Client) welcomed(m welcome) error {
	if m.version != Version {
		return hippad.Errorf(hippad.Invalid, "the server chose version %d, which was not offered", m.version)
	}
	if m.window == 0 || m.maxReports == 0 || m.maxReports > maxReportsEver || m.idle == 0 || m.maxReport > 2*largestReport-1 ||
		int64(m.maxFrame) < int64(m.maxReport)+frameOverhead+reportOverhead+hippad.MaxMedia || m.maxFrame > 2*largestReport-1 {
		return hippad.Errorf(hippad.Invalid, "the limits that the server gives make no sense")
	}
	c.hello = m
	c.limits = Limits{MaxReport: int(m.maxReport), MaxFrame: int(m.maxFrame), MaxReports: int(m.maxReports),
		Window: int(min(m.window, 1024)), Idle: time.Duration(m.idle) * time.Millisecond}
	return nil
}

// Limits returns what the server takes. Record refuses frames beyond them.
func (c *Client) Limits() Limits { return c.limits }

// Origin returns the log's name as the server gives it; may be empty.
func (c *Client) Origin() string { return c.hello.origin }

// VerifierKey returns the log's C2SP verifier key as the server gives it; may be empty. It proves nothing: whoever verifies
// must have the key from elsewhere.
func (c *Client) VerifierKey() string { return c.hello.key }

// Software returns the server's name and version.
func (c *Client) Software() string { return c.hello.software }

// Done is closed when the connection is over.
func (c *Client) Done() <-chan struct{} { return c.over }

// Close says goodbye, gives the frames that have been sent some seconds to be answered, and ends the connection. Frames
// that wait to be repeated after BUSY are given up. The error is nil if the server said goodbye too.
func (c *Client) Close() error {
	c.mu.Lock()
	first := !c.closing
	c.closing = true
	c.mu.Unlock()
	if first {
		c.out.sendLast(bye{})
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-c.over:
	case <-t.C:
		c.fail(hippad.Errorf(hippad.Unavailable, "the server did not answer the goodbye"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == errClosed {
		return nil
	}
	return c.err
}

var (
	errClosed    = hippad.Errorf(hippad.Unavailable, "the client is closed")
	errServerBye = hippad.Errorf(hippad.Unavailable, "the server said goodbye")
)

// fail ends everything with err, which is made kind Unavailable because the outcome of whatever is open is unknown.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	if hippad.KindOf(err) != hippad.Unavailable {
		err = hippad.Errorf(hippad.Unavailable, "the connection to the log is lost: %w", err)
	}
	c.err = err
	frames := append(append(c.inflight, c.refused...), c.held...)
	c.inflight, c.refused, c.held = nil, nil, nil
	open := c.requests
	c.requests = nil
	c.mu.Unlock()
	c.out.fail(err) // first, so that no body is read any more when its caller gets it back
	for _, p := range frames {
		p.finish(hippad.Ack{}, err)
	}
	for _, q := range open {
		q.end(err)
	}
	c.conn.Close()
	close(c.over)
}

// read takes frames from the server until the connection is over. It must never wait for anything but the connection.
func (c *Client) read() {
	for {
		c.conn.SetReadDeadline(time.Now().Add(c.limits.Idle))
		t, n, err := c.in.header()
		if err == nil {
			switch {
			case n > c.max:
				err = hippad.Errorf(hippad.Invalid, "the server sent a frame of %d bytes, at most %d are taken", n, c.max)
			case t >= firstIgnorable:
				err = c.in.skip(n)
			case t == typeReport:
				err = hippad.Errorf(hippad.Invalid, "unexpected frame of %v", t)
			default:
				err = c.take(t, n)
			}
		}
		if err != nil {
			c.fail(c.cause(err))
			return
		}
	}
}

// cause says what a read error means.
func (c *Client) cause(err error) error {
	c.mu.Lock()
	closing := c.closing
	c.mu.Unlock()
	switch {
	case closing && (err == io.EOF || err == errServerBye):
		return errClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return hippad.Errorf(hippad.Unavailable, "the log was silent for %v", c.limits.Idle)
	}
	return err
}

func (c *Client) take(t frameType, n int64) error {
	p, err := c.in.payload(n)
	if err != nil {
		return err
	}
	m, err := parse(t, p)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case ack:
		return c.acked(m)
	case busy:
		return c.refuse(m)
	case reject:
		return c.rejected(m)
	case ping:
		c.out.offer(pong{m.token})
		return nil
	case pong:
		return nil
	case bye:
		if m.status.code == codeOK {
			return errServerBye
		}
		return m.status.err()
	case entry:
		return c.entry(m, n)
	case proof:
		return c.proved(m)
	case end:
		return c.ended(m)
	}
	return hippad.Errorf(hippad.Invalid, "a server may not send %v here", t)
}

// keepAlive makes both sides notice when the other is gone.
func (c *Client) keepAlive() {
	t := time.NewTicker(max(c.limits.Idle/3, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-t.C:
			c.out.offer(ping{})
		case <-c.over:
			return
		}
	}
}
