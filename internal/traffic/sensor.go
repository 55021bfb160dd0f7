package traffic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	sensorConnections = 1000 // at a time
	sensorPerAddress  = 100  // at a time from one address
	shownPayload      = 64   // bytes
)

// A Sensor looks at everything that comes to a port and answers nothing. The fields must be set before Serve.
type Sensor struct {
	Monitor *Monitor
	// Seen is told of each connection and datagram. It is not called concurrently, and what it takes is time that others wait.
	Seen func(Sighting)
	// Payload adds the beginning of what came, except of what may hold patient data.
	Payload bool

	mu   sync.Mutex // of Seen
	open sync.Mutex
	all  int                // guarded by open
	from map[netip.Addr]int // guarded by open
}

// Serve accepts on l until ctx ends. It closes l.
func (s *Sensor) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			var ne net.Error
			if ctx.Err() == nil && errors.As(err, &ne) && ne.Temporary() { //lint:ignore SA1019 out of file descriptors: a moment later there may be some
				select {
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
				}
				continue
			}
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		began := time.Now()
		address := AddressOf(c.RemoteAddr()).Addr()
		if !s.enter(address) {
			c.Close()
			s.see(Describe(Verdict{Label: Unread, Confidence: Weak}, nil, c.RemoteAddr(), l.Addr()), nil, began)
			continue
		}
		wg.Go(func() {
			defer s.leave(address)
			defer c.Close()
			b, v, end := Look(ctx, c, nil)
			if ctx.Err() != nil && len(b) == 0 {
				return
			}
			x := Describe(v, b, c.RemoteAddr(), c.LocalAddr())
			x.End = end
			s.see(x, b, began)
		})
	}
}

// ServePacket takes datagrams from pc until ctx ends. It closes pc.
func (s *Sensor) ServePacket(ctx context.Context, pc net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { pc.Close() })
	defer stop()
	defer pc.Close()
	b := make([]byte, 64<<10)
	for {
		n, from, err := pc.ReadFrom(b)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		x := DescribePacket(b[:n], from, pc.LocalAddr())
		s.see(x, b[:min(n, MaxFirst)], time.Now())
	}
}

// DescribePacket makes a sighting of a datagram.
func DescribePacket(b []byte, from, local net.Addr) Sighting {
	v := ClassifyPacket(b)
	x := Describe(v, b[:min(len(b), MaxFirst)], from, local)
	x.End, x.Bytes = EndDatagram, len(b)
	return x
}

func (s *Sensor) see(x Sighting, b []byte, began time.Time) {
	x.Millis = time.Since(began).Milliseconds()
	if len(b) > 0 && !mayHoldPatientData(x.Label, b) {
		sum := sha256.Sum256(b)
		x.Digest = hex.EncodeToString(sum[:])
		if s.Payload {
			x.Payload = hex.EncodeToString(b[:min(len(b), shownPayload)])
		}
	}
	payload := x.Payload
	s.mu.Lock()
	defer s.mu.Unlock()
	x = s.Monitor.See(x)
	x.Payload = payload
	s.Seen(x)
}

func (s *Sensor) enter(a netip.Addr) bool {
	s.open.Lock()
	defer s.open.Unlock()
	if s.from == nil {
		s.from = map[netip.Addr]int{}
	}
	if s.all >= sensorConnections || s.from[a] >= sensorPerAddress {
		return false
	}
	s.all++
	s.from[a]++
	return true
}

func (s *Sensor) leave(a netip.Addr) {
	s.open.Lock()
	defer s.open.Unlock()
	s.all--
	if s.from[a]--; s.from[a] == 0 {
		delete(s.from, a)
	}
}
