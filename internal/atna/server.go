package atna

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"hippad"
)

const (
	// DefaultMaxMessage is the limit of one message, twice what DICOM PS3.15 A.6 asks for.
	DefaultMaxMessage = 64 << 10
	// MaxMaxMessage is the highest limit that can be set.
	MaxMaxMessage = 16 << 20
	// DefaultIdle is how long a connection may rest between messages. It is long, because syslog has no acknowledgement: a
	// sender whose resting connection is closed writes its next message into a dead one and loses it without noticing.
	DefaultIdle = 24 * time.Hour
	// DefaultUnfinished is how long a message may take from its first byte to its last.
	DefaultUnfinished = time.Minute

	batchReports = 256       // of one hippad.Frame
	batchBytes   = 512 << 10 // of one hippad.Frame, unless one message alone is longer
	retryFirst   = 100 * time.Millisecond
	retryMost    = 5 * time.Second
	drainTime    = 5 * time.Second // for what was read when the server ends
)

// A Server takes syslog messages from connections and datagrams into sessions. Its fields are set before the first use. The
// counters go up only.
type Server struct {
	MaxMessage int           // octets of one message; 0 means DefaultMaxMessage, at most MaxMaxMessage
	Idle       time.Duration // a connection that delivers no complete message for so long is closed; 0 means DefaultIdle
	Unfinished time.Duration // and one that has begun a message, or sends what is none, after so long; 0 means DefaultUnfinished
	Log        *slog.Logger  // nil: nothing is logged
	// Unexpected is told of every datagram that does not begin as a syslog message does, before it is treated like any other. It must
	// neither block nor keep the octets. It may be nil.
	Unexpected func(from net.Addr, datagram []byte)

	Messages    atomic.Int64 // reports taken off the wire, repaired, cut and stray ones included
	Repairs     atomic.Int64 // messages whose frame boundary was wrong: hippad.Framing
	Truncations atomic.Int64 // messages that were cut: hippad.Truncated
	Strays      atomic.Int64 // runs of bytes that belong to no frame: hippad.Stray
	Retries     atomic.Int64 // attempts to record a batch again
	Refused     atomic.Int64 // reports that the log will not take, or could not before the server ended
	Dropped     atomic.Int64 // datagrams for which there was no room
	Empty       atomic.Int64 // datagrams without content
}

func (s *Server) maxMessage() int {
	if s.MaxMessage <= 0 {
		return DefaultMaxMessage
	}
	return min(s.MaxMessage, MaxMaxMessage)
}

func (s *Server) idle() time.Duration {
	if s.Idle <= 0 {
		return DefaultIdle
	}
	return s.Idle
}

func (s *Server) unfinished() time.Duration {
	if s.Unfinished <= 0 {
		return DefaultUnfinished
	}
	return s.Unfinished
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// report makes the report of a message, whose body it keeps, and counts it.
func (s *Server) report(f frame) hippad.Report {
	s.Messages.Add(1)
	switch f.fault {
	case hippad.Framing:
		s.Repairs.Add(1)
	case hippad.Truncated:
		s.Truncations.Add(1)
	case hippad.Stray:
		s.Strays.Add(1)
	}
	return hippad.Report{Media: hippad.MediaSyslog, Fault: f.fault, Body: f.body}
}

// ServeConn reads syslog messages from conn, a TLS connection after its handshake, and records them in order until the
// sender ends the connection (nil), it fails or idles, the log refuses (hippad.Unauthorised and the other kinds that a
// repetition cannot mend), or ctx ends. It closes conn.
//
// Syslog has no acknowledgement: what was read is tried again until the log has it. While the log takes nothing, the
// connection is not read. When ctx ends, what was read has five more seconds. A batch whose outcome is unknown is recorded
// again, so a message may be stored twice, never lost, by a failing log.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn, session hippad.Session) error {
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work, release := drainContext(ctx)
	defer release()
	// A blocked read ends with ctx. The deadline cannot be overwritten by the reader: it looks at ctx after setting its own.
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	box := newMailbox()
	read := make(chan error, 1)
	go func() {
		err := s.readConn(ctx, work, conn, box)
		box.close()
		read <- err
	}()
	err := s.record(work, box, session)
	if err == nil {
		return <-read
	}
	cancel(err)
	box.close()
	<-read
	for batch := box.poll(); batch != nil; batch = box.poll() {
		s.Refused.Add(int64(len(batch)))
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("recording syslog messages: %w", err)
}

// drainContext returns a context that outlives ctx by drainTime. release frees it at once.
func drainContext(ctx context.Context) (work context.Context, release func()) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(drainTime):
		case <-work.Done():
		}
		cancel()
	})
	return work, func() { stop(); cancel() }
}

// readConn puts messages into box until the stream ends. While there is no room in box it does not read; that time does not
// count as idle.
func (s *Server) readConn(ctx, work context.Context, conn net.Conn, box *mailbox) error {
	alive := time.Now()     // when the last message was complete
	var begun time.Time     // when what belongs to no complete message was first seen; zero: there is nothing
	var strays bool         // stray bytes were taken since the last message
	var frames *frameReader // declared here because its reader looks at what it holds
	frames = newFrameReader(readerFunc(func(p []byte) (int, error) {
		deadline := alive.Add(s.idle())
		switch {
		case !frames.holds() && !strays:
			begun = time.Time{}
		case begun.IsZero():
			begun = time.Now()
		}
		if !begun.IsZero() {
			deadline = begun.Add(s.unfinished())
		}
		_ = conn.SetReadDeadline(deadline) // fails only on a connection that has ended, as Read will tell
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return conn.Read(p)
	}), s.maxMessage())
	for {
		f, err := frames.next()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("syslog connection: no complete message since %v", alive.UTC().Format(time.RFC3339))
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("reading syslog connection: %w", err)
		}
		before := time.Now()
		if err := box.put(work, s.report(f)); err != nil {
			s.Refused.Add(1)
			return err
		}
		waited := time.Since(before)
		if strays = f.fault == hippad.Stray; strays { // no message: it does not keep the connection alive
			alive = alive.Add(waited)
			if !begun.IsZero() {
				begun = begun.Add(waited)
			}
		} else {
			alive, begun = time.Now(), time.Time{}
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// record hands what comes into box to session until box is closed and empty. A second batch is handed over while the
// first is not yet durable; there are never three.
func (s *Server) record(ctx context.Context, box *mailbox, session hippad.Session) error {
	var before *batch // handed over, outcome not known
	for {
		var reports []hippad.Report
		if before != nil {
			reports = box.poll()
		} else if reports = box.take(); reports == nil {
			return nil
		}
		var now *batch
		if reports != nil {
			now = &batch{session: session, reports: reports}
			if before == nil || before.err == nil {
				now.start(ctx)
			}
		}
		if before != nil {
			if err := s.settle(ctx, before, now); err != nil {
				if now != nil {
					s.Refused.Add(int64(len(now.reports)))
				}
				return err
			}
		}
		before = now
	}
}
