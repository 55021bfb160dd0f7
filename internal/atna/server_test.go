package atna

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
)

// A memory is a Session that keeps frames in memory and fails as told.
type memory struct {
	mu      sync.Mutex
	stored  []hippad.Report
	frames  []int // how many reports each had
	waiting int
	most    int                              // of frames handed over and not waited for
	record  func(call int) error             // what the nth Record, from 0, says before anything is taken
	commit  func(call int) error             // what Wait of the nth Record says
	block   func(context.Context, int) error // called by Wait first
	calls   int
}

func (m *memory) Record(ctx context.Context, f hippad.Frame) (hippad.Wait, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	call := m.calls
	m.calls++
	if m.record != nil {
		if err := m.record(call); err != nil {
			return nil, err
		}
	}
	m.waiting++
	m.most = max(m.most, m.waiting)
	return func(ctx context.Context) (hippad.Ack, error) {
		if m.block != nil {
			if err := m.block(ctx, call); err != nil {
				return hippad.Ack{}, err
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.waiting--
		if m.commit != nil {
			if err := m.commit(call); err != nil {
				return hippad.Ack{}, err
			}
		}
		m.stored = append(m.stored, f.Reports...)
		m.frames = append(m.frames, len(f.Reports))
		return hippad.Ack{}, nil
	}, nil
}

func (m *memory) Search(context.Context, hippad.Query) iter.Seq2[hippad.Entry, error] {
	panic("not used")
}

func (m *memory) Receipt(context.Context, int64) (hippad.Receipt, error) { panic("not used") }

func (m *memory) bodies() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, r := range m.stored {
		all = append(all, string(r.Body))
	}
	return all
}

// serve runs ServeConn over a pipe whose other end send writes to and closes.
func serve(t *testing.T, s *Server, session hippad.Session, send func(net.Conn)) error {
	t.Helper()
	client, server := net.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer client.Close()
		send(client)
	}()
	err := s.ServeConn(t.Context(), server, session)
	<-sent
	return err
}

func numbered(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("%smessage %d", head, i))
	}
	return all
}

func sendAll(messages []string) func(net.Conn) {
	return func(c net.Conn) {
		for _, m := range messages {
			if _, err := io.WriteString(c, counted(m)); err != nil {
				return
			}
		}
	}
}

func TestServeConnKeepsOrder(t *testing.T) {
	want := numbered(3000)
	m, s := &memory{}, &Server{}
	if err := serve(t, s, m, sendAll(want)); err != nil {
		t.Fatal(err)
	}
	if got := m.bodies(); !slices.Equal(got, want) {
		t.Errorf("%d of %d messages, or in another order", len(got), len(want))
	}
	if m.most > 2 {
		t.Errorf("%d frames on their way at once", m.most)
	}
	if s.Messages.Load() != 3000 || s.Repairs.Load()+s.Strays.Load()+s.Truncations.Load()+s.Refused.Load() != 0 {
		t.Errorf("counters: %d messages", s.Messages.Load())
	}
	for _, r := range m.stored {
		if r.Media != hippad.MediaSyslog || r.Fault != hippad.NoFault {
			t.Fatalf("%v, %v", r, r.Fault)
		}
	}
}

func TestServeConnRetriesUntilStored(t *testing.T) {
	fails := map[string]*memory{
		"busy":        {record: func(call int) error { return upTo(call, 7, hippad.Errorf(hippad.Busy, "no room")) }},
		"unavailable": {commit: func(call int) error { return upTo(call, 7, hippad.Errorf(hippad.Unavailable, "disk full")) }},
		"no kind":     {commit: func(call int) error { return upTo(call, 7, errors.New("broken")) }},
		"both":        {record: func(call int) error { return upTo(call%3, 1, hippad.Errorf(hippad.Busy, "no room")) }, commit: func(call int) error { return upTo(call%5, 2, io.ErrUnexpectedEOF) }},
	}
	for name, m := range fails {
		synctest.Test(t, func(t *testing.T) {
			want := numbered(700)
			s := &Server{}
			if err := serve(t, s, m, sendAll(want)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got := m.bodies()
			if name == "both" { // a frame may overtake one that failed; none is lost
				slices.Sort(got)
				want = slices.Sorted(slices.Values(want))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d of %d messages, or in another order", name, len(got), len(want))
			}
			if s.Retries.Load() == 0 || s.Refused.Load() != 0 {
				t.Errorf("%s: %d retries, %d refused", name, s.Retries.Load(), s.Refused.Load())
			}
		})
	}
}

func upTo(call, n int, err error) error {
	if call < n {
		return err
	}
	return nil
}

func TestServeConnBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		m := &memory{block: func(ctx context.Context, _ int) error {
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		client, server := net.Pipe()
		s := &Server{}
		done := make(chan error, 1)
		go func() { done <- s.ServeConn(t.Context(), server, m) }()
		var sent int
		go func() {
			defer client.Close()
			for _, msg := range numbered(5000) {
				if _, err := io.WriteString(client, counted(msg)); err != nil {
					return
				}
				sent++
			}
		}()
		synctest.Wait()
		if sent > 4*batchReports {
			t.Errorf("%d messages were read while the log took none", sent)
		}
		time.Sleep(time.Hour) // waiting for the log is not idling
		synctest.Wait()
		close(gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := m.bodies(); !slices.Equal(got, numbered(5000)) {
			t.Errorf("%d messages, or in another order", len(got))
		}
	})
}

func TestServeConnRefused(t *testing.T) {
	for _, kind := range []hippad.Kind{hippad.Unauthorised, hippad.Invalid} {
		m := &memory{record: func(int) error { return hippad.Errorf(kind, "no") }}
		s := &Server{}
		err := serve(t, s, m, func(c net.Conn) {
			sendAll(numbered(1000))(c)
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("the connection was not closed: %v", err)
			}
		})
		if hippad.KindOf(err) != kind {
			t.Errorf("%v: %v", kind, err)
		}
		if s.Refused.Load() != s.Messages.Load() || s.Refused.Load() == 0 || s.Retries.Load() != 0 {
			t.Errorf("%v: %d of %d refused, %d retries", kind, s.Refused.Load(), s.Messages.Load(), s.Retries.Load())
		}
	}
}

func TestServeConnSlowClient(t *testing.T) {
	for name, b := range map[string]string{"inside a frame": "1000 " + head + strings.Repeat("x", 500), "stray": strings.Repeat("x", 500)} {
		synctest.Test(t, func(t *testing.T) {
			m, s := &memory{}, &Server{Unfinished: 10 * time.Minute}
			start := time.Now()
			err := serve(t, s, m, func(c net.Conn) {
				io.WriteString(c, counted(head+"first"))
				for i := range b {
					time.Sleep(time.Minute)
					if _, err := io.WriteString(c, b[i:i+1]); err != nil {
						return
					}
				}
			})
			if err == nil || !strings.Contains(err.Error(), "no complete message") {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(start); took > 12*time.Minute {
				t.Errorf("%s: open for %v", name, took)
			}
			if got := strings.Join(m.bodies(), ""); !strings.HasPrefix(got, head+"first") || name == "stray" && !strings.Contains(got, "firstxxxxxxxxx") {
				t.Errorf("%s: %q", name, got)
			}
			if name == "inside a frame" && (s.Truncations.Load() != 1 || m.stored[1].Fault != hippad.Truncated) {
				t.Errorf("%s: what came is not kept", name)
			}
		})
	}
}

func TestServeConnSteadyClientStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := numbered(30)
		m := &memory{}
		if err := serve(t, &Server{}, m, func(c net.Conn) {
			for _, msg := range want {
				time.Sleep(23 * time.Hour) // a modality over the weekend
				io.WriteString(c, counted(msg))
				io.WriteString(c, "\n") // some senders end a counted frame like a line: that begins nothing
			}
		}); err != nil || !slices.Equal(m.bodies(), want) {
			t.Errorf("%v, %d messages", err, len(m.bodies()))
		}
	})
}

func TestServeConnEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The log fails at first and recovers within the time that is left.
		began := time.Now()
		m := &memory{commit: func(int) error {
			if time.Since(began) < 3*time.Second {
				return hippad.Errorf(hippad.Unavailable, "disk full")
			}
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		client, server := net.Pipe()
		done := make(chan error, 1)
		go func() { done <- (&Server{}).ServeConn(ctx, server, m) }()
		io.WriteString(client, counted(head+"first")+"100 "+head)
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if got := m.bodies(); !slices.Equal(got, []string{head + "first", head}) {
			t.Errorf("%q", got)
		}
	})
}

func TestServeConnGivesUpAfterContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{record: func(int) error { return hippad.Errorf(hippad.Busy, "no room") }}
		ctx, cancel := context.WithCancel(t.Context())
		client, server := net.Pipe()
		s := &Server{}
		done := make(chan error, 1)
		go func() { done <- s.ServeConn(ctx, server, m) }()
		io.WriteString(client, counted(head+"first"))
		synctest.Wait()
		began := time.Now()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took > drainTime+retryMost || s.Refused.Load() != 1 {
			t.Errorf("after %v, %d refused", took, s.Refused.Load())
		}
	})
}

// TestRealSyslogThroughServeConn: what goes in comes out byte for byte, all on one connection and each on its own.
func TestRealSyslogThroughServeConn(t *testing.T) {
	for _, set := range []string{"syslog-atna", "syslog-rfc5424"} {
		var all []byte
		var want []string
		n := 0
		for _, name := range files(t, samples(t, set)) {
			body := read(t, name)
			n++
			stream := body
			if !captured(name) {
				stream = []byte(counted(string(body)))
				all = append(all, stream...)
				want = append(want, string(body))
			}
			m, s := &memory{}, &Server{}
			if err := serve(t, s, m, func(c net.Conn) { c.Write(stream) }); err != nil {
				t.Fatal(err)
			}
			got := m.bodies()
			if !captured(name) {
				if len(got) != 1 || got[0] != string(body) || m.stored[0].Fault != hippad.NoFault {
					t.Errorf("%s: %d messages, %v", name, len(got), m.stored[0].Fault)
				}
				continue
			}
			count := 0
			for _, f := range got {
				count += len(f)
				if !bytes.Contains(stream, []byte(f)) {
					t.Errorf("%s: a message that was not sent", name)
				}
			}
			t.Logf("%-75s %d octets, %d in %d messages, %d repaired, %d cut, %d stray", filepath.Base(name), len(stream), count, len(got), s.Repairs.Load(), s.Truncations.Load(), s.Strays.Load())
			if strings.Contains(name, "nonascii.tcp") {
				if len(got) != 1 || s.Repairs.Load() != 1 || !strings.HasSuffix(got[0], "</AuditMessage>") || len(got[0]) != len(stream)-len("1050 ") {
					t.Errorf("%s: the short count was not repaired", name)
				}
			}
		}
		m := &memory{}
		if err := serve(t, &Server{}, m, func(c net.Conn) { c.Write(all) }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.bodies(), want) {
			t.Errorf("%s on one connection: %d messages of %d, or others", set, len(m.bodies()), len(want))
		}
		t.Logf("%s: %d files", set, n)
	}
}

// A packets is a net.PacketConn that delivers what is put into it.
type packets struct {
	net.PacketConn
	in     chan datagramIn
	ended  chan struct{}
	closed sync.Once
}

type datagramIn struct {
	from net.Addr
	body string
}

func newPackets() *packets { return &packets{in: make(chan datagramIn), ended: make(chan struct{})} }

func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-p.in:
		return copy(b, d.body), d.from, nil
	case <-p.ended:
		return 0, nil, net.ErrClosed
	}
}

func (p *packets) Close() error { p.closed.Do(func() { close(p.ended) }); return nil }

func (p *packets) SetReadDeadline(time.Time) error { return p.Close() }

func from(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestServePacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &memory{}, &memory{record: func(int) error { return hippad.Errorf(hippad.Unauthorised, "no") }}
		open := func(a net.Addr) hippad.Session {
			if host(a) == "192.0.2.1" {
				return one
			}
			return two
		}
		pc, s := newPackets(), &Server{MaxMessage: 100}
		done := make(chan error, 1)
		go func() { done <- s.ServePacket(t.Context(), pc, open) }()
		for _, d := range []datagramIn{
			{from("192.0.2.1:1000"), "12 not a frame\n"}, {from("[2001:db8::1]:1"), "refused"}, {from("192.0.2.1:2000"), ""},
			{from("[::ffff:192.0.2.1]:3000"), strings.Repeat("y", 150)}, {from("192.0.2.1:1000"), "last"},
		} {
			pc.in <- d
		}
		synctest.Wait()
		pc.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := one.bodies(); !slices.Equal(got, []string{"12 not a frame\n", strings.Repeat("y", 100), "last"}) {
			t.Errorf("%q", got)
		}
		if one.stored[1].Fault != hippad.Truncated || s.Truncations.Load() != 1 || s.Empty.Load() != 1 || s.Refused.Load() != 1 || s.Messages.Load() != 4 {
			t.Errorf("%v: %d cut, %d empty, %d refused, %d messages", one.stored[1].Fault, s.Truncations.Load(), s.Empty.Load(), s.Refused.Load(), s.Messages.Load())
		}
	})
}

func TestServePacketDropsWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		m := &memory{block: func(context.Context, int) error { <-gate; return nil }}
		pc, s := newPackets(), &Server{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.ServePacket(ctx, pc, func(net.Addr) hippad.Session { return m }) }()
		const sent = 5000
		for i := range sent {
			pc.in <- datagramIn{from("192.0.2.1:1"), fmt.Sprint(i)}
		}
		synctest.Wait()
		dropped := s.Dropped.Load()
		if dropped < sent-datagramQueue-batchReports || dropped == 0 {
			t.Errorf("%d dropped", dropped)
		}
		cancel() // what was taken is recorded all the same
		close(gate)
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if got := int64(len(m.bodies())); got != sent-dropped || got != s.Messages.Load() {
			t.Errorf("%d of %d recorded, %d dropped", got, sent, dropped)
		}
	})
}

func TestServePacketOnSocket(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	m, s := &memory{}, &Server{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stored := make(chan struct{})
	m.commit = func(int) error { close(stored); return nil }
	done := make(chan error, 1)
	go func() { done <- s.ServePacket(ctx, pc, func(net.Addr) hippad.Session { return m }) }()
	client, err := net.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, head+audit); err != nil {
		t.Fatal(err)
	}
	<-stored
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := m.bodies(); !slices.Equal(got, []string{head + audit}) {
		t.Errorf("%q", got)
	}
}
