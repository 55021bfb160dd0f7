package forward

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"hippad"
	"hippad/wire"
)

// A target is another hippad: the real door over a log that remembers the last number of each stream, as the real one does. It
// refuses bodies that begin with "refuse".
type target struct {
	t      testing.TB
	config *tls.Config
	server *wire.Server
	addr   string

	l  net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex
	open    map[net.Conn]bool
	got     []hippad.Report
	streams map[hippad.StreamID]uint64
	calls   int
	// fate is asked for each frame: whether the connection dies before it is stored, or after. It may be nil.
	fate func(call int) (before, after bool)
}

func newTarget(t testing.TB, a *authority) *target {
	pair, _, _ := a.issue("target")
	g := &target{t: t, config: &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{wire.ALPN}}, server: &wire.Server{MaxReport: 100_000},
		addr: "127.0.0.1:0", open: map[net.Conn]bool{}, streams: map[hippad.StreamID]uint64{}}
	t.Cleanup(g.stop)
	return g
}

func (g *target) start() {
	g.t.Helper()
	l, err := net.Listen("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.l, g.addr = l, l.Addr().String()
	g.wg.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			g.open[raw] = true
			g.mu.Unlock()
			g.wg.Go(func() {
				defer raw.Close()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				_ = g.server.ServeConn(ctx, tls.Server(raw, g.config), &targetSession{g, raw})
				g.mu.Lock()
				delete(g.open, raw)
				g.mu.Unlock()
			})
		}
	})
}

func (g *target) stop() {
	if g.l == nil {
		return
	}
	g.l.Close()
	g.mu.Lock()
	for c := range g.open {
		c.Close()
	}
	g.mu.Unlock()
	g.wg.Wait()
	g.l = nil
}

func (g *target) received() []hippad.Report {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.got)
}

func (g *target) texts() (all []string) {
	for _, r := range g.received() {
		all = append(all, string(r.Body))
	}
	return all
}

type targetSession struct {
	g    *target
	conn net.Conn
}

func (s *targetSession) Record(_ context.Context, f hippad.Frame) (hippad.Wait, error) {
	g := s.g
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range f.Reports {
		if bytes.HasPrefix(r.Body, []byte("refuse")) {
			return nil, hippad.Errorf(hippad.Invalid, "this is refused")
		}
	}
	g.calls++
	before, after := false, false
	if g.fate != nil {
		before, after = g.fate(g.calls)
	}
	lost := func(context.Context) (hippad.Ack, error) {
		s.conn.Close()
		return hippad.Ack{}, hippad.Errorf(hippad.Unavailable, "lost")
	}
	if before {
		return lost, nil
	}
	have := g.streams[f.Stream]
	if f.Stream == (hippad.StreamID{}) || f.First > have+1 {
		return nil, hippad.Errorf(hippad.Conflict, "a gap: have %d, got %d", have, f.First)
	}
	for i, r := range f.Reports {
		if n := f.First + uint64(i); n > have {
			r.Body = bytes.Clone(r.Body)
			g.got = append(g.got, r)
			g.streams[f.Stream] = n
		}
	}
	if after {
		return lost, nil
	}
	return func(context.Context) (hippad.Ack, error) {
		return hippad.Ack{Ranges: []hippad.Range{{First: int64(f.First), Count: len(f.Reports)}}}, nil
	}, nil
}

func (*targetSession) Search(context.Context, hippad.Query) iter.Seq2[hippad.Entry, error] {
	return nil
}

func (*targetSession) Receipt(context.Context, int64) (hippad.Receipt, error) { return nil, nil }

func toTarget(t testing.TB, a *authority, g *target, more string) *Config {
	return parse(t, fmt.Sprintf(`{"rules":[{"name":"archive","to":"hippad://%s","ca":%q,"since":"start"%s}]}`, g.addr, a.CA, more))
}

// What gets to another hippad is the report: media type, fault and body.
func TestHippad(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	g, w := newTarget(t, a), newWorld(t)
	g.start()
	w.log.add(report("application/xml; charset=utf-8", "<a>\x00\xff</a>"), report(hippad.MediaUnknown, ""))
	cut := report(hippad.MediaSyslog, "<85>1 cut")
	cut.Fault = hippad.Truncated
	foreign := report(hippad.MediaSyslog, "<85>1 foreign")
	foreign.Fault = hippad.Foreign
	w.log.add(cut, foreign)
	w.log.add(messages(4, 5000)...)
	w.start(toTarget(t, a, g, ""))
	if s := w.settled(); s.Delivered != 5000 {
		t.Errorf("%+v", s)
	}
	got := g.received()
	if len(got) != 5000 {
		t.Fatalf("%d reports arrived", len(got))
	}
	for i, e := range w.log.entries {
		want := e.Report
		if i == 3 {
			want.Fault = hippad.NoFault
		}
		if r := got[i]; r.Media != want.Media || r.Fault != want.Fault || !bytes.Equal(r.Body, want.Body) {
			t.Fatalf("report %d: %v with fault %v, want %v with %v", i, r, r.Fault, want, want.Fault)
		}
	}
}

// A report that the other log will never take, because of what it is or for its size, holds up none of the others: a notice has
// its number, the count and an entry say so.
func TestHippadRefuses(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	g, w := newTarget(t, a), newWorld(t)
	g.start()
	self := report(hippad.MediaSyslog, "refuse _door=self")
	self.Door = hippad.DoorSelf
	w.log.add(messages(0, 100)...)
	w.log.add(report(hippad.MediaSyslog, "refuse patient 4711"), self)
	w.log.add(messages(100, 200)...)
	w.log.add(report(hippad.MediaSyslog, strings.Repeat("x", 100_001)))
	w.log.add(messages(200, 300)...)
	stop := w.start(toTarget(t, a, g, `,"match":"_door=self,native"`))
	s := w.settled()
	if s.Refused != 3 || s.Delivered != 300 {
		t.Errorf("%+v", s)
	}
	got := g.texts()
	if len(got) != 303 {
		t.Fatalf("%d reports arrived", len(got))
	}
	for i, want := range map[int]string{100: "entry 100 was withheld", 101: "entry 101 was withheld", 202: "entry 202 was withheld"} {
		if !strings.HasPrefix(got[i], want) || strings.Contains(got[i], "4711") {
			t.Errorf("in its place: %q", got[i])
		}
	}
	if !slices.Equal(slices.Concat(got[:100], got[102:202], got[203:]), bodies(messages(0, 300))) {
		t.Error("the others are not what was reported")
	}
	told := w.told(&w.refused)
	if len(told) != 1 || !strings.Contains(told[0], "2 reports, entries 100 to 202: the other log says: invalid") && !strings.Contains(told[0], "entry 100: the other log says: invalid") {
		t.Errorf("told: %q", told)
	}
	stop()
	w.start(toTarget(t, a, g, `,"match":"_door=self,native"`))
	if s := w.settled(); s.Refused != 3 || len(g.texts()) != 303 {
		t.Errorf("after a restart: %+v, %d", s, len(g.texts()))
	}
}

// The other log does not know the stream any more: a new one begins, and the rest arrives.
func TestHippadForgets(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	g, w := newTarget(t, a), newWorld(t)
	g.start()
	w.log.add(messages(0, 100)...)
	w.start(toTarget(t, a, g, ""))
	w.settled()
	g.mu.Lock()
	clear(g.streams)
	g.got = g.got[:50]
	g.mu.Unlock()
	w.log.add(messages(100, 200)...)
	w.settled()
	if got := g.texts(); !slices.Equal(got, append(bodies(messages(0, 50)), bodies(messages(100, 200))...)) {
		t.Errorf("%d reports", len(got))
	}
}

// The power goes when the other log has stored a frame and nobody here knows. Whatever becomes of the entries or of the rule before the
// next start, their numbers stay theirs: nothing that comes after is taken for a repetition.
func TestPlan(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for name, c := range map[string]struct {
		destroy bool
		match   string
	}{"nothing": {}, "content is destroyed": {destroy: true}, "the rule is changed": {match: `,"match":"_media=text/plain"`}} {
		for _, stored := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, stored %v", name, stored), func(t *testing.T) {
				t.Parallel()
				g, w := newTarget(t, a), newWorld(t)
				g.fate = func(int) (bool, bool) { return !stored, stored }
				g.start()
				w.log.add(messages(0, 10)...)
				stop := w.start(toTarget(t, a, g, ""))
				eventually(t, "the connection dies", func() error {
					if s := w.now.Status()[0]; s.State != StateRetrying {
						return fmt.Errorf("%+v", s)
					}
					return nil
				})
				file := filepath.Join(w.dir, "archive"+cursorSuffix)
				left, err := os.ReadFile(file)
				stop()
				if err == nil {
					err = os.WriteFile(file, left, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				g.mu.Lock()
				g.fate = nil
				g.mu.Unlock()
				if c.destroy {
					w.log.destroy(3)
				}
				w.start(toTarget(t, a, g, c.match))
				for i := range 10 {
					w.log.add(report("text/plain", fmt.Sprintf("later %d", i)))
				}
				w.settled()
				want := append(bodies(messages(0, 10)), bodies(w.log.entries[10:])...)
				got := g.texts()
				if c.destroy && !stored {
					if len(got) > 3 && strings.HasPrefix(got[3], "entry 3 was withheld") {
						want[3] = got[3]
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%d arrived: %q", len(got), got)
				}
			})
		}
	}
}

// Whatever happens, in whatever order, the other log has every report once, in order: connections that die before or after a
// commit, crashes of this server with whatever cursor was on the disk, and restarts; rules that change, and content that is
// destroyed, meanwhile.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	rapid.Check(t, func(rt *rapid.T) {
		g, w := newTarget(t, a), newWorld(t)
		defer g.stop()
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		g.fate = func(int) (bool, bool) { return rng.IntN(10) == 0, rng.IntN(10) == 0 }
		g.start()
		file := filepath.Join(w.dir, "archive"+cursorSuffix)
		// Two rules that are different words for the same: changing the rule in the middle changes no number.
		rules, total := []*Config{toTarget(t, a, g, ""), toTarget(t, a, g, `,"match":"_door=native"`)}, 0
		config := rules[0]
		stop := w.impatient(config)
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1:
				n := rapid.IntRange(1, 300).Draw(rt, "reports")
				w.log.add(messages(total, total+n)...)
				total += n
			case 2: // a crash: what is on the disk at some moment is all that is left
				left, err := os.ReadFile(file)
				stop()
				if err == nil {
					err = os.WriteFile(file, left, 0o600)
				}
				if err != nil {
					rt.Fatal(err)
				}
				stop = w.impatient(config)
			case 3:
				stop()
				config = rules[rng.IntN(2)]
				stop = w.impatient(config)
			case 4: // part of the log is gone, perhaps with what is on its way
				next := w.now.Status()[0].Next
				stop()
				if next < w.log.size() {
					w.log.destroy(next)
				}
				stop = w.impatient(config)
			}
		}
		w.settled()
		stop()
		var want []string
		for _, e := range w.log.entries {
			want = append(want, string(e.Body))
		}
		got := g.texts()
		at := 0
		for i, b := range want {
			if w.log.entries[i].Destroyed {
				// It was sent before it was destroyed, a notice was sent instead, or nothing.
				if at < len(got) && (strings.HasPrefix(got[at], fmt.Sprintf("entry %d was withheld", i)) || got[at] == string(messages(i, i+1)[0].Body)) {
					at++
				}
				continue
			}
			if at >= len(got) || got[at] != b {
				rt.Fatalf("report %d is not number %d of %d that arrived", i, at, len(got))
			}
			at++
		}
		if at != len(got) {
			rt.Fatalf("%d arrived, want %d", len(got), at)
		}
	})
}
