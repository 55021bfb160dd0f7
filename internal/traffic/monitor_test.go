package traffic

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// stranger returns a sighting of a source.
func stranger(source string, at time.Duration, l Label) Sighting {
	return Sighting{At: start.Add(at), Source: netip.MustParseAddr(source), Network: "tcp", Port: 2988, Label: l, Confidence: Exact, Hypothesis: Misdirected}
}

func newMonitor() *Monitor { return NewMonitor(func() time.Time { return start }) }

// What a source does within the window says more than one connection.
func TestWindow(t *testing.T) {
	type visit struct {
		after time.Duration // the one before
		label Label
	}
	every := func(d time.Duration, n int, l Label) (out []visit) {
		for range n {
			out = append(out, visit{d, l})
		}
		return out
	}
	for name, c := range map[string]struct {
		visits []visit
		want   Hypothesis
		likely bool
	}{
		"one":                          {every(0, 1, HTTP), Misdirected, false},
		"the same again":               {every(time.Second, 10, HTTP), Misdirected, false},
		"two protocols":                {[]visit{{0, HTTP}, {1, TLS}}, Misdirected, false},
		"three protocols":              {[]visit{{0, HTTP}, {1, TLS}, {2, SSH}}, Scan, true},
		"three protocols, slowly":      {[]visit{{0, HTTP}, {40 * time.Second, TLS}, {40 * time.Second, SSH}}, Misdirected, false},
		"empty at once":                {every(time.Millisecond, 3, Empty), Scan, true},
		"empty now and then":           {[]visit{{0, Empty}, {5 * time.Second, Empty}, {20 * time.Second, Empty}}, Scan, true},
		"empty seldom":                 {[]visit{{0, Empty}, {50 * time.Second, Empty}, {90 * time.Second, Empty}}, Misdirected, false},
		"a health check":               {every(10*time.Second, 4, Empty), HealthCheck, true},
		"a health check in the making": {every(10*time.Second, 3, Empty), Misdirected, false},
		"a health check of a second": {[]visit{{0, Empty}, {1001 * time.Millisecond, Empty}, {998 * time.Millisecond, Empty}, {1002 * time.Millisecond, Empty},
			{999 * time.Millisecond, Empty}}, HealthCheck, true},
		"a slow health check": {every(5*time.Minute, 4, Empty), HealthCheck, true},
		"a service scan": {[]visit{{0, Waits}, {6 * time.Second, BlankLines}, {40 * time.Second, HTTP}, {40 * time.Second, HTTP}, {40 * time.Second, RTSP}},
			Scan, true},
		"the same in another order": {[]visit{{0, RTSP}, {70 * time.Second, HTTP}, {70 * time.Second, BlankLines}}, Misdirected, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, at := newMonitor(), time.Duration(0)
			var last Sighting
			for _, v := range c.visits {
				at += v.after
				last = m.See(stranger("192.0.2.1", at, v.label))
			}
			if last.Hypothesis != c.want || last.Likely != c.likely || c.likely && last.Evidence == "" {
				t.Errorf("%s, likely %v, %q", last.Hypothesis, last.Likely, last.Evidence)
			}
			if other := m.See(stranger("192.0.2.2", at, TLS)); other.Likely {
				t.Errorf("another source is %s", other.Hypothesis)
			}
		})
	}
}

// An attempt at an attack stays one in the midst of a scan.
func TestAttackStays(t *testing.T) {
	m := newMonitor()
	m.See(stranger("192.0.2.1", 0, TLS))
	m.See(stranger("192.0.2.1", 1, SSH))
	s := stranger("192.0.2.1", 2, HTTP)
	s.Hypothesis = Exploit
	if got := m.See(s); got.Hypothesis != Exploit || !got.Likely {
		t.Errorf("%+v", got)
	}
}

// The counts are by label and hypothesis, since the start and for a day; a port can be asked for.
func TestCounts(t *testing.T) {
	now := start
	m := NewMonitor(func() time.Time { return now })
	for i := range 5 {
		m.See(stranger(fmt.Sprintf("192.0.2.%d", i), 0, HTTP))
	}
	other := stranger("192.0.2.9", 2*time.Hour, TLS)
	other.Port = 6514
	m.See(other)
	now = start.Add(3 * time.Hour)
	if got := m.Counts(); len(got) != 2 || got[0] != (Count{"tcp", 2988, HTTP, Misdirected, 5}) || got[1].Port != 6514 {
		t.Errorf("%+v", got)
	}
	if got := m.LastDay(6514); len(got) != 1 || got[0].Count != 1 || got[0].Label != TLS {
		t.Errorf("port 6514: %+v", got)
	}
	for after, want := range map[time.Duration]int{23 * time.Hour: 2, 25 * time.Hour: 1, 26 * time.Hour: 0, 48 * time.Hour: 0} {
		now = start.Add(after)
		if got := m.LastDay(0); len(got) != want {
			t.Errorf("after %v: %+v", after, got)
		}
	}
	if got := m.Counts(); len(got) != 2 {
		t.Errorf("since the start: %+v", got)
	}
	recent := m.Recent()
	if len(recent) != 6 || recent[0].Port != 6514 {
		t.Errorf("%d recent, first %+v", len(recent), recent[0])
	}
}

// Payload that a sensor shows is not remembered.
func TestPayloadIsNotKept(t *testing.T) {
	m := newMonitor()
	s := stranger("192.0.2.1", 0, Text)
	s.Payload = "68656c6c6f"
	if m.See(s); m.Recent()[0].Payload != "" {
		t.Error("payload is kept")
	}
}

// Whoever comes, and however many: the memory has a bound, IPv6 sources are whole networks, and the log gets few entries.
func TestBounds(t *testing.T) {
	m := newMonitor()
	for i := range 60_000 { // of 20,000 sources, in turn, so that none is remembered for long
		a := netip.AddrFrom4([4]byte{10, byte(i % 20_000 >> 8), byte(i % 20_000), 1})
		s := stranger(a.String(), time.Duration(i)*time.Millisecond, Label(i%int(labels)))
		s.Client = strings.Repeat("x", 64)
		m.See(s)
	}
	if len(m.sources) != maxSources || m.order.Len() != maxSources || len(m.Recent()) != maxRecent {
		t.Errorf("%d sources, %d in order, %d recent", len(m.sources), m.order.Len(), len(m.Recent()))
	}
	if n := len(m.total); n > int(labels)*int(hypotheses) {
		t.Errorf("%d counts", n)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 50_000 {
		m.See(stranger("2001:db8::"+fmt.Sprintf("%x", 1+i%20_000), time.Duration(i), HTTP))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("50,000 connections of one network take %d bytes", grown)
	}
	if got := m.Sources()[0]; got.Source.String() != "2001:db8::/64" || got.Count != 50_000 || len(m.sources) != maxSources {
		t.Errorf("%+v of %d", got.Source, len(m.sources))
	}
	// Every source of these is persistent: the first hundred get an entry of their own.
	many := newMonitor()
	for i := range 600 * abuseNumber {
		many.See(stranger(netip.AddrFrom4([4]byte{10, 1, byte(i % 600 >> 8), byte(i % 600)}).String(), time.Duration(i)*time.Microsecond, HTTP))
	}
	due := many.due(start.Add(time.Minute), false)
	if len(due) != maxAbuse {
		t.Errorf("%d reports within an hour", len(due))
	}
	for _, a := range due {
		if !a.Address.IsValid() || !strings.Contains(a.Text, "20 unexpected connections since 2026-11-23T08:00:00Z: http 20") {
			t.Errorf("%+v", a)
		}
	}
	if due = many.due(start.Add(2*time.Minute), false); len(due) != 0 {
		t.Errorf("%d more within the hour", len(due))
	}
	if due = many.due(start.Add(time.Hour+time.Minute), false); len(due) != 1 || due[0].Address.IsValid() || due[0].Text != "10000 unexpected connections of 500 further sources" {
		t.Errorf("after the hour: %+v", due)
	}
}

// Of IPv6 a network is a source, and what is told of it names an address that came, not the first of the network, which did not.
func TestAbuseOfNetwork(t *testing.T) {
	m := newMonitor()
	for i := range abuseNumber {
		m.See(stranger(fmt.Sprintf("2001:db8:1:2::%x", 0xa0+i), 0, HTTP))
	}
	due := m.due(start.Add(time.Second), false)
	if len(due) != 1 || due[0].Address.String() != "2001:db8:1:2::b3" || !strings.Contains(due[0].Text, "20 unexpected connections of 2001:db8:1:2::/64 since") {
		t.Errorf("%+v", due)
	}
}

// Who finishes a handshake, says nothing and goes, at a fixed time, checks health as one does who only connects: a balancer's check of
// TLS. Handshakes that fail at a fixed time are a sender that does not get in.
func TestHealthCheckOfTLS(t *testing.T) {
	for given, want := range map[Hypothesis]Hypothesis{NoIdea: HealthCheck, Misdirected: Misdirected} {
		m := newMonitor()
		var last Sighting
		for i := range 100 {
			s := stranger("192.0.2.1", time.Duration(i)*2*time.Second, TLS)
			s.Hypothesis = given
			last = m.See(s)
		}
		due := m.due(start.Add(time.Hour), false)
		if last.Hypothesis != want || (len(due) == 0) != (want == HealthCheck) {
			t.Errorf("%s is %s, %d reports", given, last.Hypothesis, len(due))
		}
	}
}

// What was found out about a connection is not lost when its source turns out to scan, and what was not looked at is no protocol.
func TestEvidence(t *testing.T) {
	m := newMonitor()
	m.See(stranger("192.0.2.1", 0, HTTP))
	m.See(stranger("192.0.2.1", 1, Unread))
	s := stranger("192.0.2.1", 2, TLS)
	s.Evidence = "the handshake failed"
	if got := m.See(s); got.Likely || got.Evidence != "the handshake failed" {
		t.Errorf("two protocols: %+v", got)
	}
	m.See(stranger("192.0.2.1", 3, SSH))
	if got := m.See(s); got.Hypothesis != Scan || got.Evidence != "the handshake failed; 3 protocols within 1m0s" {
		t.Errorf("three protocols: %+v", got)
	}
}

// A persistent source is reported when it becomes so, then once an hour with what it has done since, and at the end.
func TestAbuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMonitor(time.Now)
		ctx, cancel := context.WithCancel(t.Context())
		reports := make(chan Abuse, 100)
		done := make(chan struct{})
		go func() {
			m.Run(ctx, func(a Abuse) { reports <- a })
			close(done)
		}()
		all := func() (told []Abuse) {
			for len(reports) > 0 {
				told = append(told, <-reports)
			}
			return told
		}
		expect := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			told := all()
			if len(told) != len(want) {
				t.Fatalf("%s: %+v", when, told)
			}
			for i, w := range want {
				if !strings.Contains(told[i].Text, w) {
					t.Errorf("%s: %q, want %q", when, told[i].Text, w)
				}
			}
		}
		come := func(n int, l Label) {
			for range n {
				s := stranger("192.0.2.1", 0, l)
				s.At = time.Now()
				m.See(s)
			}
		}
		come(abuseNumber-1, HTTP)
		expect("not yet")
		come(1, HTTP)
		expect("the twentieth", "misdirected client; 20 unexpected connections since")
		come(5000, HTTP)
		expect("in the same hour")
		time.Sleep(abuseEvery + abuseLook)
		expect("after an hour", "5000 unexpected connections since")
		come(3, HTTP)
		time.Sleep(abuseEvery + abuseLook)
		expect("the remainder", "3 unexpected connections")
		come(3, HTTP)
		time.Sleep(3 * abuseEvery)
		expect("too few to begin again")
		come(abuseScans, Telnet)
		s := stranger("192.0.2.7", 0, Empty)
		for range 30 {
			time.Sleep(10 * time.Second)
			s.At = time.Now()
			m.See(s)
		}
		expect("a health check is none")
		for range abuseScans {
			x := stranger("192.0.2.8", 0, ADB)
			x.At, x.Hypothesis = time.Now(), Exploit
			m.See(x)
		}
		expect("five attempts", "exploit attempt; 5 unexpected connections")
		come(abuseNumber-abuseScans, HTTP)
		cancel()
		<-done
		if told := all(); len(told) != 1 || !strings.Contains(told[0].Text, "http 15, telnet 5") || told[0].Address.String() != "192.0.2.1" {
			t.Errorf("at the end: %+v", told)
		}
	})
}
