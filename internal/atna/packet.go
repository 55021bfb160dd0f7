package atna

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"hippad"
)

const (
	datagramSize  = 64 << 10 // no UDP payload is longer
	datagramQueue = 4096     // datagrams waiting to be recorded
	datagramBytes = 32 << 20 // and their octets
)

// A datagram is one message and whom it came from.
type datagram struct {
	from   net.Addr
	report hippad.Report
}

// ServePacket takes datagrams (RFC 5426: one message each, byte for byte) from pc and records them in the session that open
// gives for a sender's address, which proves nothing about the sender. It returns nil when pc is closed, or the cause when
// ctx ends; it does not close pc.
//
// There is no back-pressure on datagrams: what arrives while 4096 of them, or 32 MiB, wait for the log is counted in Dropped
// and gone. What was taken is repeated until the log has it, as in ServeConn.
func (s *Server) ServePacket(ctx context.Context, pc net.PacketConn, open func(net.Addr) hippad.Session) error {
	work, release := drainContext(ctx)
	defer release()
	stop := context.AfterFunc(ctx, func() { pc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	queue := make(chan datagram, datagramQueue)
	var held atomic.Int64
	read := make(chan error, 1)
	go func() {
		read <- s.readPackets(ctx, pc, queue, &held)
		close(queue)
	}()
	for first := range queue {
		s.recordPackets(work, collect(first, queue, &held), open)
	}
	return <-read
}

func (s *Server) readPackets(ctx context.Context, pc net.PacketConn, queue chan<- datagram, held *atomic.Int64) error {
	buf := make([]byte, datagramSize)
	for {
		n, from, err := pc.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("reading syslog datagrams: %w", err)
		case n == 0:
			s.Empty.Add(1)
			continue
		}
		if _, ok := priority(buf[:n]); !ok && s.Unexpected != nil {
			s.Unexpected(from, buf[:n])
		}
		f := frame{body: buf[:n]}
		if limit := s.maxMessage(); n > limit {
			f = frame{buf[:limit], hippad.Truncated}
		}
		size := int64(len(f.body))
		// This is the only sender on queue: room that it sees stays.
		if len(queue) == cap(queue) || held.Load()+size > datagramBytes {
			s.Dropped.Add(1)
			continue
		}
		held.Add(size)
		f.body = bytes.Clone(f.body)
		queue <- datagram{from, s.report(f)}
	}
}

// collect returns first and what else waits, up to a batch.
func collect(first datagram, queue <-chan datagram, held *atomic.Int64) []datagram {
	batch := []datagram{first}
	size := len(first.report.Body)
	for len(batch) < batchReports && size < batchBytes {
		select {
		case d, ok := <-queue:
			if ok {
				batch = append(batch, d)
				size += len(d.report.Body)
				continue
			}
		default:
		}
		break
	}
	held.Add(int64(-size))
	return batch
}

// recordPackets records a batch, one frame for each sender, and returns when all are in the log or refused for good. The
// sessions are asked for each time: they belong to addresses, of which there is no end.
func (s *Server) recordPackets(ctx context.Context, datagrams []datagram, open func(net.Addr) hippad.Session) {
	bySender := map[string]*batch{}
	var batches []*batch
	for _, d := range datagrams {
		sender := host(d.from)
		b := bySender[sender]
		if b == nil {
			b = &batch{session: open(d.from)}
			bySender[sender] = b
			batches = append(batches, b)
		}
		b.reports = append(b.reports, d.report)
	}
	for _, b := range batches {
		b.start(ctx)
	}
	for _, b := range batches {
		_ = s.settle(ctx, b, nil) // logged and counted there; other senders' messages are still to come
	}
}

// host returns the address without its port, by which a sender of datagrams is known.
func host(a net.Addr) string {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap().String()
	}
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}
