package forward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
)

// A fakeDestination takes what it is given, or fails.
type fakeDestination struct {
	start time.Time

	mu      sync.Mutex
	working bool
	asked   time.Duration
	when    []time.Duration // of each attempt that failed, since the start
}

func (d *fakeDestination) send(_ context.Context, items []item) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.working {
		return len(items), nil
	}
	d.when = append(d.when, time.Since(d.start))
	return 0, temporaryError{errors.New("not now"), d.asked}
}

// set says whether it works from now on, and for how much patience it asks.
func (d *fakeDestination) set(working bool, asked time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.working, d.asked = working, asked
}

func (d *fakeDestination) failures() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.when)
}

func (*fakeDestination) sure() (int64, error) { return math.MaxInt64, nil }
func (*fakeDestination) close(bool)           {}

// The pauses double from a second to a minute, half of each by lot; what a destination asks for is heeded, to five minutes; and what
// has worked begins anew.
func TestBackoff(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, log: &fakeLog{}, dir: dir}
		w.log.add(messages(0, 10)...)
		start := time.Now()
		d := &fakeDestination{start: start}
		stop := w.run(parse(t, `{"rules":[{"name":"a","to":"https://h","since":"start"}]}`), func(r *runner) {
			r.dial = func(context.Context) (destination, error) { return d, nil }
		})
		defer stop()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if s := w.now.Status()[0]; s.State != StateRetrying || s.Cause != "not now" || s.Behind != 10 || s.Oldest != day || !s.Since.Equal(start) {
			t.Errorf("%+v", s)
		}
		want, when := time.Second, d.failures()
		for i := 1; i < len(when); i++ {
			if pause := when[i] - when[i-1]; pause < want/2 || pause > want+time.Millisecond {
				t.Errorf("pause %d: %v, want %v to %v", i, pause, want/2, want)
			}
			want = min(2*want, time.Minute)
		}
		if len(when) < 14 {
			t.Errorf("%d attempts in ten minutes", len(when))
		}
		d.set(false, time.Hour)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := len(d.failures())
		time.Sleep(longestAsked - time.Minute - time.Second)
		synctest.Wait()
		if n := len(d.failures()) - before; n != 0 {
			t.Errorf("%d attempts while the destination had asked for patience", n)
		}
		d.set(true, 0)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := w.now.Status()[0]; s.State != StateOK || s.Cause != "" || s.Behind != 0 || s.Delivered != 10 || !s.Since.IsZero() || !s.Oldest.IsZero() {
			t.Errorf("%+v", s)
		}
		d.set(false, 0)
		n := len(d.failures())
		w.log.add(messages(10, 11)...)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(d.failures()) - n; n < 2 {
			t.Errorf("%d attempts in two seconds after it had worked", n)
		}
	})
}

// The log cannot be read, cannot record the rule, or cannot record a refusal: the rule waits, says why, and loses nothing.
func TestLogFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail  func(w *world, f *Forwarder, failing *atomic.Bool)
		cause string
	}{
		"read": {func(w *world, _ *Forwarder, failing *atomic.Bool) {
			w.log.read = func(i int64) error {
				if i == 5 && failing.Load() {
					return hippad.Errorf(hippad.Unavailable, "a key is missing")
				}
				return nil
			}
		}, "a key is missing"},
		"configure": {func(w *world, f *Forwarder, failing *atomic.Bool) {
			note := f.Configured
			f.Configured = func(ctx context.Context, what string) error {
				if failing.Load() {
					return hippad.Errorf(hippad.Unavailable, "the disk is full")
				}
				return note(ctx, what)
			}
		}, "the disk is full"},
		"refuse": {func(w *world, f *Forwarder, failing *atomic.Bool) {
			note := f.Refused
			f.Refused = func(ctx context.Context, what string) error {
				if failing.Load() {
					return hippad.Errorf(hippad.Unavailable, "the disk is full")
				}
				return note(ctx, what)
			}
		}, "the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, w := newFHIRStub(t), newWorld(t)
			w.log.add(report(hippad.MediaFHIRJSON, `{"refuse":1}`))
			for i := 1; i < 10; i++ {
				w.log.add(report(hippad.MediaFHIRJSON, fmt.Sprintf(auditEvent, i)))
			}
			failing := &atomic.Bool{}
			failing.Store(true)
			w.run(toFHIR(t, s, ""), func(r *runner) {
				r.pause.first = time.Millisecond
				c.fail(w, r.f, failing)
			})
			eventually(t, "the rule says why it waits", func() error {
				if st := w.now.Status()[0]; st.State != StateRetrying || !strings.Contains(st.Cause, c.cause) {
					return fmt.Errorf("%+v", st)
				}
				return nil
			})
			failing.Store(false)
			if st := w.settled(); st.Refused != 1 {
				t.Errorf("%+v", st)
			}
			if got := s.received(); len(got) != 9 {
				t.Errorf("%d arrived", len(got))
			}
			eventually(t, "the refusal is told of", func() error {
				if told := w.told(&w.refused); len(told) != 1 {
					return fmt.Errorf("%q", told)
				}
				return nil
			})
		})
	}
}

// Logs that forward everything to each other, in a pair or a ring, with nobody having thought of it: every report gets around once
// and comes to rest.
func TestRing(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3} {
		for _, kind := range []string{kindHippad, kindSyslogTLS} {
			t.Run(fmt.Sprintf("%d by %s", n, kind), func(t *testing.T) {
				t.Parallel()
				worlds := make([]*world, n)
				for i := range worlds {
					worlds[i] = newWorld(t)
				}
				// The destination of log i is log i+1, which takes what arrives as a report of log i.
				for i, w := range worlds {
					next := worlds[(i+1)%n]
					from := hippad.Principal{Kind: hippad.KindCertificate, ID: fmt.Sprintf("sha256:%d", i)}
					config := parse(t, fmt.Sprintf(`{"rules":[{"name":"next","to":"%s://h"}]}`, kind))
					w.run(config, func(r *runner) {
						r.dial = func(context.Context) (destination, error) {
							return &toNext{kind, func(media string, body []byte) {
								next.log.add(hippad.Entry{Door: hippad.DoorNative, Reporter: from, Report: hippad.Report{Media: media, Body: body}})
							}}, nil
						}
					})
				}
				for i := range 20 {
					worlds[0].log.add(report(hippad.MediaXML, fmt.Sprintf("<a>%d</a>", i)), report(hippad.MediaSyslog, fmt.Sprintf("<85>1 %d", i)))
				}
				worlds[0].log.add(report(hippad.MediaSyslog, "<85>1 0")) // the same reporter says the same twice: both go
				eventually(t, "it comes to rest", func() error {
					if s := worlds[0].now.Status()[0]; s.Returned != 41 || s.Behind != 0 {
						return fmt.Errorf("%+v", s)
					}
					return nil
				})
				for i, w := range worlds {
					if got, want := w.log.size(), map[bool]int64{true: 82, false: 41}[i == 0]; got != want {
						t.Errorf("log %d has %d entries, want %d", i, got, want)
					}
				}
			})
		}
	}
}

// toNext puts what it is sent into another log.
type toNext struct {
	kind string
	add  func(media string, body []byte)
}

func (d *toNext) send(_ context.Context, items []item) (int, error) {
	for _, it := range items {
		media := it.media
		if d.kind == kindSyslogTLS {
			media = hippad.MediaSyslog
		}
		d.add(media, it.payload)
	}
	return len(items), nil
}
func (*toNext) sure() (int64, error) { return math.MaxInt64, nil }
func (*toNext) close(bool)           {}

// What was written is sure when the other machine has confirmed it and the connection has lived on for a while.
func TestSure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		offset, queued := int64(0), int64(0)
		w := written{upto: -1, lost: make(chan error, 1), offset: func() int64 { return offset }, queued: func() (int64, bool) { return queued, true }}
		want := func(upto int64, lost bool) {
			t.Helper()
			if got, err := w.sure(); got != upto || (err != nil) != lost {
				t.Errorf("sure up to %d, %v; want %d, %v", got, err, upto, lost)
			}
		}
		want(-1, false)
		offset = 100
		w.note(7)
		time.Sleep(quiet / 2)
		offset, queued = 200, 50
		w.note(9)
		want(-1, false)
		time.Sleep(quiet / 2)
		want(7, false) // confirmed and old enough
		time.Sleep(quiet)
		want(7, false) // 50 bytes of the second are not confirmed
		queued = 0
		want(9, false)
		offset, queued = 300, 100
		w.note(11)
		time.Sleep(confirmWithin + time.Second)
		want(9, true) // a machine that has gone without a word
		w.lost <- errClosedThere
		queued = 0
		want(9, true)
		want(9, true)
	})
}

// The log was put back from an old copy: what it takes from now on is forwarded, although the cursor was further.
func TestShorterLog(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	g, w := newTarget(t, a), newWorld(t)
	g.start()
	w.log.add(messages(0, 20)...)
	config := toTarget(t, a, g, "")
	stop := w.start(config)
	w.settled()
	stop()
	w.log.entries = w.log.entries[:10]
	stop = w.start(config)
	w.log.add(messages(100, 105)...)
	w.settled()
	stop()
	if got := g.texts(); !slices.Equal(got, append(bodies(messages(0, 20)), bodies(messages(100, 105))...)) {
		t.Errorf("%d reports", len(got))
	}
}

// The whole destination is away while 10,000 reports come in, and then takes them: the log never waits, nothing is missing. One that
// is there gets them meanwhile.
func TestOutage(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	away, there, w := newTarget(t, a), newReceiver(t, a), newWorld(t)
	away.start()
	there.start()
	address := away.addr
	away.stop()
	w.start(parse(t, fmt.Sprintf(`{"rules":[{"name":"away","to":"hippad://%s","ca":%q},{"name":"there","to":%q,"ca":%q}]}`, address, a.CA, there.url(), a.CA)))
	for i := range 100 {
		w.log.add(messages(100*i, 100*i+100)...)
	}
	eventually(t, "the other rule delivers", func() error {
		if s := w.now.Status()[1]; s.Delivered != 10_000 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if s := w.now.Status()[0]; s.State != StateRetrying || s.Behind != 10_000 || s.Oldest != day {
		t.Errorf("%+v", s)
	}
	away.start()
	w.settled()
	want := bodies(messages(0, 10_000))
	if !slices.Equal(away.texts(), want) || !slices.Equal(there.received(), want) {
		t.Errorf("%d and %d arrived", len(away.texts()), len(there.received()))
	}
}

// BenchmarkHippad is how fast one rule forwards to another hippad on this machine: the real protocol and TLS, to a log in memory.
func BenchmarkHippad(b *testing.B) {
	a := newAuthority(b)
	g, w := newTarget(b, a), newWorld(b)
	g.start()
	one := report(hippad.MediaXML, strings.Repeat("x", 1000))
	for range b.N {
		w.log.entries = append(w.log.entries, one)
	}
	for i := range w.log.entries {
		w.log.entries[i].Index = int64(i)
		w.log.entries[i].Body = append([]byte(fmt.Sprint(i)), one.Body...)
	}
	b.SetBytes(1000)
	b.ResetTimer()
	w.start(toTarget(b, a, g, ""))
	w.settled()
}

// BenchmarkSyslogTLS is the same to a syslog receiver.
func BenchmarkSyslogTLS(b *testing.B) {
	a := newAuthority(b)
	r, w := newReceiver(b, a), newWorld(b)
	r.start()
	for i := range b.N {
		e := report(hippad.MediaSyslog, fmt.Sprint("<85>1 - - - - - - ", i, strings.Repeat("x", 1000)))
		e.Index = int64(i)
		w.log.entries = append(w.log.entries, e)
	}
	b.SetBytes(1000)
	b.ResetTimer()
	w.start(toReceiver(b, a, r, ""))
	w.settled()
}
