package forward

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hippad"
)

// toReceiver is one rule that sends everything to r.
func toReceiver(t testing.TB, a *authority, r *receiver, more string) *Config {
	return parse(t, fmt.Sprintf(`{"rules":[{"name":"siem","to":%q,"ca":%q,"since":"start"%s}]}`, r.url(), a.CA, more))
}

// What arrives over TLS is what came, byte for byte, and the client shows its certificate.
func TestSyslogTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	r := newReceiver(t, a)
	r.config.ClientAuth = 4 // require and verify
	r.start()
	_, certificate, key := a.issue("this log")
	w := newWorld(t)
	xml := "<AuditMessage>\n \xe2\x82\xac \x00 </AuditMessage>"
	w.log.add(messages(0, 50)...)
	w.log.add(report(hippad.MediaXML, xml), report(hippad.MediaSyslog, ""), report(hippad.MediaSyslog, strings.Repeat("x", 3<<20)))
	stop := w.start(toReceiver(t, a, r, fmt.Sprintf(`,"certificate":%q,"key":%q`, certificate, key)))
	w.log.add(messages(50, 60)...)
	if s := w.settled(); s.Delivered != 63 || s.Next != 63 || s.State != StateOK {
		t.Errorf("%+v", s)
	}
	want := append(bodies(messages(0, 50)), "<85>1 2026-11-23T08:00:50.000000Z audit.example hippad - IHE+RFC-3881 - "+xml, "", strings.Repeat("x", 3<<20))
	if got := r.received(); !slices.Equal(got, append(want, bodies(messages(50, 60))...)) {
		t.Errorf("%d messages, not those that were reported", len(got))
	}
	if !slices.Equal(slices.Compact(r.by), []string{"this log"}) {
		t.Errorf("reported by %q", slices.Compact(r.by))
	}
	// A server that stops and starts in good order repeats nothing: the goodbye confirms what was not sure yet.
	w.log.add(messages(60, 70)...)
	eventually(t, "the last ones arrive", func() error {
		if n := len(r.received()); n != 73 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	stop()
	w.start(toReceiver(t, a, r, fmt.Sprintf(`,"certificate":%q,"key":%q`, certificate, key)))
	w.log.add(messages(70, 80)...)
	w.settled()
	if got := r.received(); len(got) != 83 {
		t.Errorf("%d messages after a restart, want 83", len(got))
	}
	if told := w.told(&w.configured); len(told) != 1 || !strings.Contains(told[0], `"siem": new: to syslog+tls://127.0.0.1:`) || !strings.Contains(told[0], "from entry 0 on") {
		t.Errorf("configured: %q", told)
	}
}

// The fault table of a destination that cannot acknowledge: nothing is missing, and what is repeated is what was not sure.
func TestSyslogTLSFaults(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	want := bodies(messages(0, 2000))
	t.Run("away at the start", func(t *testing.T) {
		t.Parallel()
		r, w := newReceiver(t, a), newWorld(t)
		r.start()
		config := toReceiver(t, a, r, "")
		r.stop()
		w.start(config)
		w.log.add(messages(0, 2000)...)
		eventually(t, "the rule says that it waits", func() error {
			if s := w.now.Status()[0]; s.State != StateRetrying || s.Behind != 2000 || s.Oldest != day || !strings.Contains(s.Cause, "connection refused") || s.Since.IsZero() {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		r.start()
		if s := w.settled(); s.State != StateOK || s.Cause != "" {
			t.Errorf("%+v", s)
		}
		if got := r.received(); !slices.Equal(got, want) {
			t.Errorf("%d messages arrived", len(got))
		}
	})
	t.Run("dies in the middle, again and again", func(t *testing.T) {
		t.Parallel()
		r, w := newReceiver(t, a), newWorld(t)
		dead := map[int]bool{1: true, 700: true, 1500: true, 2100: true}
		r.die = func(n int) bool { return dead[n] }
		r.start()
		w.log.add(messages(0, 1000)...)
		w.start(toReceiver(t, a, r, ""))
		w.log.add(messages(1000, 2000)...)
		w.settled()
		if err := inOrder(r.received(), want); err != nil {
			t.Error(err)
		}
	})
	t.Run("dies and comes back, and so does this server", func(t *testing.T) {
		t.Parallel()
		r, w := newReceiver(t, a), newWorld(t)
		r.start()
		config := toReceiver(t, a, r, "")
		stop := w.start(config)
		w.log.add(messages(0, 600)...)
		eventually(t, "some arrive", func() error {
			if len(r.received()) == 0 {
				return fmt.Errorf("none")
			}
			return nil
		})
		r.stop()
		stop()
		w.log.add(messages(600, 1500)...)
		stop = w.start(config)
		w.log.add(messages(1500, 2000)...)
		r.start()
		w.settled()
		stop()
		if err := inOrder(r.received(), want); err != nil {
			t.Error(err)
		}
	})
	t.Run("another than the configured one", func(t *testing.T) {
		t.Parallel()
		r, w := newReceiver(t, newAuthority(t)), newWorld(t)
		r.start()
		w.log.add(messages(0, 1)...)
		w.start(toReceiver(t, a, r, ""))
		eventually(t, "the rule says why it waits", func() error {
			if s := w.now.Status()[0]; s.State != StateRetrying || !strings.Contains(s.Cause, "certificate") {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		if got := r.received(); len(got) != 0 {
			t.Errorf("%d messages for a stranger", len(got))
		}
	})
	t.Run("wants a certificate that we have not", func(t *testing.T) {
		t.Parallel()
		r, w := newReceiver(t, a), newWorld(t)
		r.config.ClientAuth = 4
		r.start()
		w.log.add(messages(0, 3)...)
		w.start(toReceiver(t, a, r, ""))
		eventually(t, "the rule says why it waits", func() error {
			if s := w.now.Status()[0]; s.State != StateRetrying || !strings.Contains(s.Cause, "certificate") || s.Next != 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	})
}

func TestSyslogUDP(t *testing.T) {
	t.Parallel()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { c.Close() }()
	config := fmt.Sprintf(`{"rules":[{"name":"u","to":"syslog+udp://%s","since":"start","datagram":500,"rate":5000}]}`, c.LocalAddr())
	w := newWorld(t)
	long := "<85>1 - - - - - - " + strings.Repeat("æ", 400)
	w.log.add(messages(0, 100)...)
	w.log.add(report(hippad.MediaSyslog, long))
	w.start(parse(t, config))
	buffer := make([]byte, 1<<16)
	var got []string
	for len(got) < 101 {
		n, err := c.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(buffer[:n]))
	}
	if !slices.Equal(got, append(bodies(messages(0, 100)), long[:500])) {
		t.Error("the datagrams are not the messages")
	}
	if s := w.settled(); s.Cut != 1 || s.Delivered != 101 {
		t.Errorf("%+v", s)
	}
	// A port where nobody listens shows, and what was sent there is sent again.
	c.Close()
	w.log.add(messages(100, 110)...)
	eventually(t, "the rule says that it waits", func() error {
		if s := w.now.Status()[0]; s.State != StateRetrying || !strings.Contains(s.Cause, "refused") {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if c, err = net.ListenUDP("udp", c.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	for i := 100; i < 110; i++ {
		n, err := c.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if string(buffer[:n]) != string(messages(i, i+1)[0].Body) {
			t.Errorf("datagram %d is another one", i)
		}
	}
	w.settled()
}

// What the rule matches goes, and nothing else; what is destroyed is counted.
func TestSelection(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for name, c := range map[string]struct {
		config string // rule members
		top    string
		want   []string
	}{
		"everything but the log's own": {``, ``, []string{"type=1 a", "type=2 b", "bad c", "type=1 relayed", "type=1 f"}},
		"by type":                      {`"match":"type=1",`, ``, []string{"type=1 a", "type=1 relayed", "type=1 f"}},
		"by type and reporter":         {`"match":"type=1&_organisation=Radiology",`, ``, []string{"type=1 a", "type=1 f"}},
		"the log's own":                {`"match":"_door=self",`, ``, []string{"type=1 self"}},
		"both":                         {`"match":"_door=self,native&type=1",`, ``, []string{"type=1 a", "type=1 relayed", "type=1 self", "type=1 f"}},
		"not what others forward":      {``, `"forwarders":["_organisation=North relay"],`, []string{"type=1 a", "type=2 b", "bad c", "type=1 f"}},
		"relaying":                     {`"relay":true,`, `"forwarders":["_organisation=North relay"],`, []string{"type=1 a", "type=2 b", "bad c", "type=1 relayed", "type=1 f"}},
		"relaying, but not back":       {`"relay":true,"peers":["_reporter=token:relay"],`, `"forwarders":["_organisation=North relay"],`, []string{"type=1 a", "type=2 b", "bad c", "type=1 f"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t), newReceiver(t, a)
			r.start()
			self, relayed := report(hippad.MediaSyslog, "type=1 self"), report(hippad.MediaSyslog, "type=1 relayed")
			self.Door, self.Reporter = hippad.DoorSelf, hippad.Principal{Kind: hippad.KindSelf, ID: "log"}
			relayed.Reporter = relay
			w.log.add(report(hippad.MediaSyslog, "type=1 a"), report(hippad.MediaSyslog, "type=2 b"), report(hippad.MediaSyslog, "bad c"), relayed, self,
				report(hippad.MediaSyslog, "type=1 gone"), report(hippad.MediaSyslog, "type=1 f"))
			w.log.destroy(5)
			w.start(parse(t, fmt.Sprintf(`{%s"rules":[{"name":"siem","to":%q,%s"ca":%q,"since":"start"}]}`, c.top, r.url(), c.config, a.CA)))
			if s := w.settled(); s.Destroyed != 1 || s.Delivered != int64(len(c.want)) {
				t.Errorf("%+v", s)
			}
			if got := r.received(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Where a new rule begins, and that one that is there goes on where it was; what the log hears of it.
func TestSince(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	w, r := newWorld(t), newReceiver(t, a)
	r.start()
	rule := func(name, since string) string {
		return fmt.Sprintf(`{"name":%q,"to":%q,"ca":%q,"match":"type=%s"%s}`, name, r.url(), a.CA, name, since)
	}
	for range 10 {
		w.log.add(report(hippad.MediaSyslog, "type=now"), report(hippad.MediaSyslog, "type=time"), report(hippad.MediaSyslog, "type=start"))
	}
	stop := w.start(parse(t, `{"rules":[`+rule("now", "")+","+rule("time", `,"since":"2026-11-23T08:00:15Z"`)+","+rule("start", `,"since":"start"`)+`]}`))
	count := func(want int) {
		t.Helper()
		eventually(t, "all arrive", func() error {
			for _, s := range w.now.Status() {
				if s.Behind > 0 {
					return fmt.Errorf("%+v", s)
				}
			}
			if n := len(r.received()); n != want {
				return fmt.Errorf("%d arrived, want %d", n, want)
			}
			return nil
		})
	}
	count(5 + 10)
	stop()
	w.log.add(report(hippad.MediaSyslog, "type=now"), report(hippad.MediaSyslog, "type=start"))
	stop = w.start(parse(t, `{"rules":[`+rule("now", "")+`]}`))
	count(16)
	eventually(t, "the log hears of it", func() error {
		if told := w.told(&w.configured); len(told) != 5 {
			return fmt.Errorf("%q", told)
		}
		return nil
	})
	stop()
	stop = w.start(parse(t, `{"rules":[`+rule("now", `,"since":"start"`)+`,`+rule("start", `,"since":"now"`)+`]}`))
	count(17)
	stop()
	if told := w.told(&w.configured); len(told) != 7 || !strings.Contains(told[3]+told[4], `"time": taken away; it had come to entry 30`) ||
		!strings.Contains(told[5]+told[6], `"now": changed`) || !strings.Contains(told[5]+told[6], `"start": new`) {
		t.Errorf("configured: %q", told)
	}
	// A cursor that is damaged is no reason to begin anew in silence.
	if err := os.WriteFile(filepath.Join(w.dir, "now.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.forwarder(parse(t, `{"rules":[`+rule("now", "")+`]}`)).Open(t.Context()); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("a damaged cursor: %v", err)
	}
}
