package spool

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/wire"
)

// A dyingConn breaks after a number of bytes, wherever in a frame that is, in one direction or the other.
type dyingConn struct {
	net.Conn
	left atomic.Int64
}

func (c *dyingConn) spend(n int) {
	if c.left.Add(-int64(n)) < 0 {
		c.Conn.Close()
	}
}

func (c *dyingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 1000)])
	c.spend(n)
	return n, err
}

func (c *dyingConn) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		n, err := c.Conn.Write(p[:min(len(p), 1000)])
		done += n
		c.spend(n)
		if err != nil {
			return done, err
		}
		p = p[n:]
	}
	return done, nil
}

// The spool behind the real client and server, over connections that break in the middle of everything, to a log that is
// often busy: every report is stored once and in order.
func TestOverWire(t *testing.T) {
	s := reopen(t, t.TempDir(), vfs.Default)
	rng := rand.New(rand.NewPCG(7, 7))
	var want []string
	for i := range 3000 {
		body := fmt.Sprintf("report %d %s", i, strings.Repeat("x", rng.IntN(300)))
		if i%500 == 250 {
			body = "bad " + body
		}
		want = append(want, body)
	}
	add(t, s, want...)
	log := &fakeLog{}
	var calls atomic.Int64
	server := &wire.Server{MaxReport: 1000, MaxReports: 20, Window: 8, Retry: time.Millisecond}
	breaks := 0
	for {
		near, far := net.Pipe()
		dying := &dyingConn{Conn: near}
		dying.left.Store(5000 + rng.Int64N(150_000))
		served := make(chan struct{})
		go func() {
			defer close(served)
			server.ServeConn(context.Background(), far, &session{log: log, before: func(int, hippad.Frame) error {
				if calls.Add(1)%7 == 0 {
					return hippad.Errorf(hippad.Busy, "no room")
				}
				return nil
			}})
		}()
		c, err := wire.NewClient(context.Background(), dying, wire.ClientOptions{Stream: s.Stream()})
		if err == nil {
			l := c.Limits()
			err = s.Send(context.Background(), c, Limits{Report: l.MaxReport, Frame: l.MaxFrame, Reports: l.MaxReports, Window: l.Window}, nil)
			c.Close()
		}
		near.Close()
		<-served
		if err == nil {
			break
		}
		if breaks++; hippad.KindOf(err) != hippad.Unavailable || breaks > 1000 {
			t.Fatalf("after %d breaks: %v", breaks, err)
		}
	}
	if breaks < 3 {
		t.Errorf("only %d connections broke", breaks)
	}
	aside, err := s.Rejected()
	if err != nil || len(aside) != 6 {
		t.Fatalf("%d rejected, %v", len(aside), err)
	}
	got := log.stored()
	for _, r := range aside {
		if int(r.Number) > len(got) || want[r.Number-1] != string(r.Report.Body) {
			t.Fatalf("report %d set aside", r.Number)
		}
		want[r.Number-1] = got[r.Number-1]
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d stored of %d", len(got), len(want))
	}
	t.Logf("%d connections broke", breaks)
}
