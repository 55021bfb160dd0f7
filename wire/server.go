package wire

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"hippad"
)

// A Server holds what all connections of the native door have in common. The zero value is ready to use. The fields must
// not be changed once ServeConn has been called.
type Server struct {
	MaxReport   int           // largest body in bytes; 0: 16 MiB
	MaxFrame    int           // largest REPORT payload in bytes; never less than what one report needs, which is the default
	MaxReports  int           // most reports in a frame; 0 or more than 4,096: 4,096
	Window      int           // most unanswered REPORT frames of a connection; 0: 32
	Busy        time.Duration // how long a frame may wait for room before it is answered BUSY; 0: 5 s
	Retry       time.Duration // what BUSY tells the client to wait; 0: 1 s
	Idle        time.Duration // silence after which a connection is given up; 0: 2 min
	Origin      string        // the log's name, told to clients
	VerifierKey string        // the log's C2SP verifier key, told to clients
	Software    string        // name and version, told to clients; empty: "hippad"

	// Refuse is called for each report that is refused for its size, so that the refusal itself can be recorded. size and
	// limit are bytes, of the body or, if the whole frame was too large to be read, of the frame. It may be nil. It is
	// called from the connection's goroutine: what takes long there holds up that connection.
	Refuse func(session hippad.Session, size, limit int64)

	Log *slog.Logger // internal errors and their causes; nil: slog.Default
}

// Limits are what one side may send to the other, told in WELCOME.
type Limits struct {
	MaxReport  int           // largest body in bytes
	MaxFrame   int           // largest REPORT payload in bytes: 16, and for each report 6 + media type + body
	MaxReports int           // most reports in a frame
	Window     int           // most unanswered REPORT frames
	Idle       time.Duration // silence after which the server gives up
}

const (
	defaultMaxReport = 16 << 20
	largestReport    = 1 << 30
	maxReportsEver   = 4096
	maxOpen          = 128      // requests of a connection that have not ended
	maxHeld          = 32 << 20 // bytes of unanswered frames of a connection; one frame is always let in
	grace            = 10 * time.Second
	linger           = 2 * time.Second
)

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// limits returns the limits with the defaults filled in.
func (s *Server) limits() Limits {
	l := Limits{
		MaxReport:  min(or(max(s.MaxReport, 0), defaultMaxReport), largestReport),
		MaxReports: min(or(max(s.MaxReports, 0), maxReportsEver), maxReportsEver),
		Window:     min(or(max(s.Window, 0), 32), 1024),
		Idle:       min(or(max(s.Idle, 0), 2*time.Minute), 24*time.Hour),
	}
	l.MaxFrame = min(max(s.MaxFrame, l.MaxReport+frameOverhead+reportOverhead+hippad.MaxMedia), 2*largestReport-1)
	return l
}

// How a connection ends, besides errors of kind Invalid (the client broke the protocol) and errors of the network.
var (
	errGoodbye  = errors.New("the client said goodbye")
	errShutdown = errors.New("the server is shutting down")
	errSilence  = errors.New("the client was silent for too long")
)

// A serverConn is one connection. Three kinds of goroutines work on it: the reader (ServeConn's own), one that answers
// REPORT frames in their order, and one for each open request; the frameWriter has a fourth.
type serverConn struct {
	s       *Server
	limits  Limits
	conn    net.Conn
	in      *frameReader // the reader's
	out     *frameWriter
	session hippad.Session
	log     *slog.Logger

	stream    hippad.StreamID // from HELLO, then constant
	peerFrame int             // largest payload the client takes, from HELLO, then constant

	answers chan answer    // from the reader to the answering goroutine
	waiting atomic.Int32   // REPORT frames read and not answered
	held    *budget        // their bytes
	open    sync.WaitGroup // request goroutines

	mu       sync.Mutex
	stopped  error // why reading is over, if it was not the reader that noticed; no read deadline may be set after
	refusing bool  // a frame was answered BUSY, or is about to be, and has not come again
	known    bool  // the BUSY is on its way, for serial refused
	refused  uint32
	requests map[uint32]*request
}

// ServeConn speaks hippad/1 on conn, on behalf of the principal that session stands for, until the client says BYE, the
// connection breaks, or ctx ends; then it still answers the frames that it has read, says BYE and closes conn. conn must
// replay bytes already read, the magic included, and is closed in every case. The error is nil if the connection ended
// as the protocol wants it: after BYE or end of input, or because ctx ended.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn, session hippad.Session) error {
	c := &serverConn{s: s, limits: s.limits(), conn: conn, in: newFrameReader(conn), out: newFrameWriter(conn), session: session,
		log: or(s.Log, slog.Default()), requests: map[uint32]*request{}}
	c.answers = make(chan answer, c.limits.Window)
	c.held = newBudget(maxHeld)
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { c.stop(errShutdown) })
	defer stop()
	go c.out.run()

	if !c.deadline(helloWithin) {
		return nil // ctx has ended before anything was said
	}
	if err := c.magic(); err != nil {
		c.out.sendLast(nil)
		<-c.out.done
		return ended(c.cause(err))
	}
	// Frames that were handed over are answered even when ctx has ended, and requests are ended by finish.
	base, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		c.answer(base)
	}()
	err := c.hello()
	if err == nil {
		err = c.read(ctx, base)
	}
	return c.finish(err, abandon, answered)
}

// magic reads the first bytes.
func (c *serverConn) magic() error {
	b, err := c.in.payload(int64(len(Magic)))
	if err != nil {
		return err
	}
	if string(b) != Magic {
		return hippad.Errorf(hippad.Invalid, "the client does not speak hippad/1")
	}
	return nil
}

// hello reads HELLO and answers WELCOME.
func (c *serverConn) hello() error {
	t, n, err := c.in.header()
	if err != nil {
		return c.cause(err)
	}
	if t != typeHello || n > minPeerMax {
		return hippad.Errorf(hippad.Invalid, "the first frame must be HELLO")
	}
	p, err := c.in.payload(n)
	if err != nil {
		return c.cause(err)
	}
	m, err := parse(t, p)
	if err != nil {
		return err
	}
	h := m.(hello)
	if !contains(h.versions, Version) {
		return errVersion
	}
	if h.maxFrame < minPeerMax {
		return hippad.Errorf(hippad.Invalid, "a client must take frames of %d bytes", minPeerMax)
	}
	c.stream = h.stream
	c.peerFrame = int(min(h.maxFrame, 2*largestReport-1))
	l := c.limits
	return c.out.send(welcome{version: Version, maxReport: uint32(l.MaxReport), maxFrame: uint32(l.MaxFrame),
		maxReports: uint32(l.MaxReports), window: uint32(l.Window), idle: uint32(l.Idle.Milliseconds()),
		origin: c.s.Origin, key: c.s.VerifierKey, software: or(c.s.Software, "hippad")})
}

var errVersion = hippad.Errorf(hippad.Invalid, "this server speaks version %d of hippad/1", Version)

func contains(versions []uint16, v uint16) bool {
	for _, have := range versions {
		if have == v {
			return true
		}
	}
	return false
}

// read takes frames until something ends the connection, and returns what it was: never nil. Requests run under base.
func (c *serverConn) read(ctx, base context.Context) error {
	for {
		c.deadline(c.limits.Idle)
		t, n, err := c.in.header()
		if err == nil {
			switch {
			case t == typeReport:
				err = c.report(ctx, n)
			case t >= firstIgnorable && n <= int64(c.limits.MaxFrame):
				err = c.in.skip(n)
			case n > maxControl:
				err = hippad.Errorf(hippad.Invalid, "a frame of %v may not have %d bytes", t, n)
			default:
				err = c.control(base, t, n)
			}
		}
		if err != nil {
			return c.cause(err)
		}
	}
}

// control handles every frame but REPORT.
func (c *serverConn) control(base context.Context, t frameType, n int64) error {
	p, err := c.in.payload(n)
	if err != nil {
		return err
	}
	m, err := parse(t, p)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case ping:
		return c.out.send(pong{m.token})
	case pong:
		return nil
	case bye:
		return errGoodbye
	case query:
		return c.begin(base, m.id, m.credit, func(ctx context.Context, r *request) { c.search(ctx, r, m.id, m.q) })
	case prove:
		return c.begin(base, m.id, 0, func(ctx context.Context, _ *request) { c.prove(ctx, m.id, m.index) })
	case more:
		c.more(m)
		return nil
	case cancel:
		c.cancel(m)
		return nil
	}
	return hippad.Errorf(hippad.Invalid, "a client may not send %v here", t)
}

// deadline gives the next frame so much time, unless reading has been stopped.
func (c *serverConn) deadline(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped != nil {
		return false
	}
	c.conn.SetReadDeadline(time.Now().Add(d))
	return true
}

// stop makes the reader return err, whatever it is waiting for.
func (c *serverConn) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped == nil {
		c.stopped = err
		c.conn.SetReadDeadline(time.Unix(1, 0))
		c.held.close()
	}
}

// cause says what a read error means.
func (c *serverConn) cause(err error) error {
	c.mu.Lock()
	stopped := c.stopped
	c.mu.Unlock()
	switch {
	case stopped != nil:
		return stopped
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSilence
	}
	return err
}

// ended turns what ended a connection into the result of ServeConn.
func ended(err error) error {
	switch err {
	case io.EOF, errGoodbye, errShutdown:
		return nil
	}
	return err
}

// finish answers what has been read, says BYE and lets the client read it.
func (c *serverConn) finish(cause error, abandon func(), answered chan struct{}) error {
	close(c.answers)
	c.cancelAll(cause)
	timer := time.AfterFunc(grace, abandon)
	<-answered
	c.open.Wait()
	timer.Stop()
	// The answering goroutine may have met an internal error after the reader had ended for another reason.
	c.mu.Lock()
	if c.stopped != nil && c.stopped != errShutdown {
		cause = c.stopped
	}
	c.mu.Unlock()
	c.out.sendLast(bye{goodbye(cause)})
	<-c.out.done
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	if cause != io.EOF {
		// Unread input would turn the close into a TCP reset, which can overtake the answers. See docs/protocol.md, BYE.
		c.conn.SetReadDeadline(time.Now().Add(linger))
		io.Copy(io.Discard, c.in.r)
	}
	return ended(cause)
}

// goodbye is what BYE says about the end of a connection.
func goodbye(cause error) status {
	switch cause {
	case io.EOF, errGoodbye:
		return status{}
	case errShutdown:
		return status{codeUnavailable, cause.Error(), ""}
	case errSilence:
		return status{codeTimeout, cause.Error(), ""}
	case errVersion:
		return status{codeVersion, cause.Error(), ""}
	}
	return statusOf(cause)
}

// A budget bounds the bytes of frames that have no answer yet.
type budget struct {
	mu     sync.Mutex
	room   sync.Cond
	used   int64
	max    int64
	closed bool
}

func newBudget(max int64) *budget {
	b := &budget{max: max}
	b.room.L = &b.mu
	return b
}

// acquire waits until n bytes fit or nothing else is held. After close it does not wait.
func (b *budget) acquire(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.used > 0 && b.used+n > b.max && !b.closed {
		b.room.Wait()
	}
	b.used += n
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.room.Signal()
}

func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.room.Broadcast()
}
