package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"hippad"
	"hippad/wire"
)

const (
	// benchFrame is how many reports a native frame holds at most: with 2 KB each, 128 KiB.
	benchFrame      = 64
	benchFrameBytes = 1 << 20
	benchWrite      = 64 << 10
)

// A benchSender is one connection.
type benchSender interface {
	run(ctx context.Context) error
	close()
}

// connect opens all connections, before time counts.
func (b *bench) connect(ctx context.Context) ([]benchSender, error) {
	var senders []benchSender
	for range b.connections {
		var s benchSender
		var err error
		switch b.door {
		case benchDoorSyslog:
			s, err = newSyslogBench(ctx, b)
		case benchDoorFHIR:
			s, err = newFHIRBench(ctx, b)
		default:
			s, err = newNativeBench(ctx, b)
		}
		if err != nil {
			for _, s := range senders {
				s.close()
			}
			return nil, err
		}
		senders = append(senders, s)
	}
	return senders, nil
}

// A nativeBench speaks hippad/1 with a numbered stream, as a spool does. Reports that are due together go in one frame.
type nativeBench struct {
	b       *bench
	client  *wire.Client
	stream  hippad.StreamID
	makes   *benchGenerator
	perSend int64
}

// nativeFrame is a frame on its way.
type nativeFrame struct {
	first   int64 // of the plan
	sent    time.Time
	reports []hippad.Report
	bodies  []byte // of reports
	wait    hippad.Wait
}

func newNativeBench(ctx context.Context, b *bench) (*nativeBench, error) {
	conn, err := b.dial(ctx, wire.ALPN)
	if err != nil {
		return nil, err
	}
	s := &nativeBench{b: b, stream: newStream(), makes: b.generator()}
	if s.client, err = wire.NewClient(ctx, conn, wire.ClientOptions{Stream: s.stream, Software: "hippad bench"}); err != nil {
		return nil, err
	}
	limits := s.client.Limits()
	s.perSend = max(1, min(benchFrame, int64(limits.MaxReports), int64(benchFrameBytes/b.size)))
	return s, nil
}

func (s *nativeBench) close() { _ = s.client.Close() }

// run sends and, in a second goroutine, takes the acknowledgements.
func (s *nativeBench) run(ctx context.Context) error {
	window := s.client.Limits().Window
	sent := make(chan *nativeFrame, window)
	free := make(chan *nativeFrame, window+2)
	for range window + 2 { // one being made, one being acknowledged
		free <- &nativeFrame{}
	}
	acknowledged := make(chan error, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		err := s.acknowledge(ctx, sent, free)
		if err != nil {
			cancel(err)
		}
		acknowledged <- err
	}()
	err := s.send(ctx, sent, free)
	close(sent)
	if e := <-acknowledged; e != nil {
		return e
	}
	return err
}

func (s *nativeBench) send(ctx context.Context, sent chan<- *nativeFrame, free <-chan *nativeFrame) error {
	number := uint64(1)
	for {
		var f *nativeFrame
		select {
		case f = <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		first, n := s.b.plan.take(s.perSend)
		if n == 0 {
			return nil
		}
		if err := s.b.plan.wait(ctx, first); err != nil {
			return err
		}
		s.fill(f, int(n))
		f.first, f.sent = first, time.Now()
		var err error
		if f.wait, err = s.client.Record(ctx, hippad.Frame{Stream: s.stream, First: number, Reports: f.reports}); err != nil {
			return err
		}
		number += uint64(n)
		select {
		case sent <- f:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *nativeBench) fill(f *nativeFrame, n int) {
	f.reports, f.bodies = f.reports[:0], f.bodies[:0]
	for range n {
		from := len(f.bodies)
		var media string
		f.bodies, media = s.makes.next(f.bodies)
		f.reports = append(f.reports, hippad.Report{Media: media, Body: f.bodies[from:len(f.bodies):len(f.bodies)]})
	}
}

// acknowledge waits for the frames in their order. A frame is free again when it is answered.
func (s *nativeBench) acknowledge(ctx context.Context, sent <-chan *nativeFrame, free chan<- *nativeFrame) error {
	for f := range sent {
		ack, err := f.wait(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		n := 0
		for _, r := range ack.Ranges {
			n += r.Count
		}
		if n != len(f.reports) {
			return fmt.Errorf("%w: %d of %d in a frame", errLost, n, len(f.reports))
		}
		if s.b.rate == 0 {
			s.b.latency.add(now.Sub(f.sent), int64(n))
		} else {
			for i := range int64(n) {
				s.b.latency.add(now.Sub(s.b.plan.due(f.first+i)), 1)
			}
		}
		s.b.done.Add(int64(n))
		free <- f
	}
	return nil
}

// A syslogBench sends RFC 5425 frames: in large writes when there is no rate, one by one when there is.
type syslogBench struct {
	b     *bench
	conn  *tls.Conn
	makes *benchGenerator
}

func newSyslogBench(ctx context.Context, b *bench) (*syslogBench, error) {
	conn, err := b.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &syslogBench{b: b, conn: conn, makes: b.generator()}, nil
}

func (s *syslogBench) close() { _ = s.conn.Close() }

func (s *syslogBench) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	failed := func(err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("send syslog: %w", err)
	}
	out := bufio.NewWriterSize(s.conn, benchWrite)
	var message []byte
	for {
		first, n := s.b.plan.take(benchFrame)
		if n == 0 {
			break
		}
		if err := s.b.plan.wait(ctx, first); err != nil {
			return err
		}
		for range n {
			message = s.makes.nextSyslog(message[:0])
			if _, err := out.Write(message); err != nil {
				return failed(err)
			}
			if s.b.rate > 0 {
				if err := out.Flush(); err != nil {
					return failed(err)
				}
			}
		}
		s.b.done.Add(n)
	}
	if err := out.Flush(); err != nil {
		return failed(err)
	}
	// The server closes when it has read everything: what is closed before that could be lost on the way.
	if err := s.conn.CloseWrite(); err != nil {
		return failed(err)
	}
	if _, err := io.Copy(io.Discard, s.conn); err != nil {
		return failed(err)
	}
	return nil
}

// A fhirBench posts one AuditEvent after the other over HTTP/1.1.
type fhirBench struct {
	b      *bench
	first  net.Conn // opened before time counts
	client *http.Client
	makes  *benchGenerator
}

func newFHIRBench(ctx context.Context, b *bench) (*fhirBench, error) {
	first, err := b.dial(ctx, "http/1.1")
	if err != nil {
		return nil, err
	}
	ready := make(chan net.Conn, 1)
	ready <- first
	return &fhirBench{b: b, first: first, makes: b.generator(), client: &http.Client{Transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case c := <-ready:
				return c, nil
			default:
				return b.dial(ctx, "http/1.1")
			}
		},
		MaxConnsPerHost: 1, DisableCompression: true,
	}}}, nil
}

func (s *fhirBench) close() {
	s.client.CloseIdleConnections()
	_ = s.first.Close()
}

func (s *fhirBench) run(ctx context.Context) error {
	var body []byte
	for {
		first, n := s.b.plan.take(1)
		if n == 0 {
			return nil
		}
		if err := s.b.plan.wait(ctx, first); err != nil {
			return err
		}
		due := time.Now()
		if s.b.rate > 0 {
			due = s.b.plan.due(first)
		}
		body, _ = s.makes.next(body[:0])
		if err := s.post(ctx, body); err != nil {
			return err
		}
		s.b.latency.add(time.Since(due), 1)
		s.b.done.Add(1)
	}
}

// post repeats while the server is busy.
func (s *fhirBench) post(ctx context.Context, body []byte) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+s.b.address+"/fhir/AuditEvent", bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", hippad.MediaFHIRJSON)
		response, err := s.client.Do(request)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("post: %w", err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		kept := response.Header.Get("Link") != "" // also of what is unreadable, which is answered 400
		switch {
		case err != nil:
			return fmt.Errorf("post: %w", err)
		case response.StatusCode == http.StatusServiceUnavailable:
			seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
			if err != nil {
				seconds = 1
			}
			if err := pause(ctx, time.Duration(min(max(seconds, 1), 60))*time.Second); err != nil {
				return err
			}
			continue
		case !kept:
			return fmt.Errorf("%w: a post was answered %s", errLost, response.Status)
		}
		return nil
	}
}
