package completeness

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
)

// random makes what many senders would have left behind.
func random(t *rapid.T) *known {
	k := newKnown()
	at := monday
	for i := range rapid.IntRange(0, 120).Draw(t, "entries") {
		at = at.Add(time.Duration(rapid.IntRange(0, 7_200_000_000).Draw(t, "gap")) * time.Microsecond)
		e := hippad.Entry{Index: int64(i), Received: at, Door: hippad.DoorSyslogTLS,
			Reporter: certificate(rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "name"))}
		e.Reporter.ID += rapid.SampledFrom([]string{"", "-2"}).Draw(t, "renewed")
		e.Body = []byte(fmt.Sprint(i % 7))
		h := &hippad.SyslogHeader{Hostname: rapid.SampledFrom([]string{"h1", "h\xff", ""}).Draw(t, "host"),
			AppName: rapid.SampledFrom([]string{"app", "<&>"}).Draw(t, "app"), ProcID: rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "proc")}
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0:
			h = nil
		case 1:
			h.StructuredData = ssign("0121", rapid.IntRange(0, 2).Draw(t, "session"), rapid.IntRange(0, 9).Draw(t, "gbc"), rapid.IntRange(1, 30).Draw(t, "fmn"), "0", "3", "9")
		default:
			h.StructuredData = fmt.Sprintf(`[meta sequenceId="%d"]`, rapid.Int64Range(1, 5000).Draw(t, "n"))
		}
		k.entry(e, h)
		k.next, k.newest = e.Index+1, e.Received
		if rapid.IntRange(0, 9).Draw(t, "judge") == 0 {
			for _, n := range k.judge(at, (&Completeness{SilentAfter: time.Hour}).limitOf) {
				k.said(n, at)
			}
		}
	}
	return k
}

// A snapshot holds all of it: what comes back writes the same bytes, and learns the same from what follows.
func TestSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := random(t)
		text, err := k.encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		again, err := back.encode()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%v\n%s\nis not\n%s", err, again, text)
		}
		for i := range 20 {
			e := hippad.Entry{Index: k.next + int64(i), Received: k.newest.Add(time.Duration(i) * time.Minute), Reporter: certificate("a"), Report: hippad.Report{Body: []byte("3")}}
			h := &hippad.SyslogHeader{Hostname: "h1", AppName: "app", StructuredData: fmt.Sprintf(`[meta sequenceId="%d"]`, 100+i*i)}
			k.entry(e, h)
			back.entry(e, h)
		}
		k.next, back.next = k.next+20, back.next+20
		one, _ := k.encode()
		two, _ := back.encode()
		if !bytes.Equal(one, two) {
			t.Fatalf("they learn differently:\n%s\n%s", one, two)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	k := newKnown()
	k.entry(hippad.Entry{Received: monday, Reporter: certificate("a")}, &hippad.SyslogHeader{Hostname: "h", AppName: "app", StructuredData: `[meta sequenceId="5"]`})
	k.entry(hippad.Entry{Received: monday.Add(time.Hour), Reporter: certificate("a")}, &hippad.SyslogHeader{Hostname: "h", AppName: "app", StructuredData: `[meta sequenceId="8"]`})
	k.next = 1
	text, err := k.encode()
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	if _, err := decode(text); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`"version":1`, `"version":2`}, {`"version":1`, `"versions":1`}, {`"next":1`, `"next":-1`}, {`"next":1`, `"next":0`}, {`"n":9`, `"n":0`},
		{`"n":9`, `"n":2147483648`}, {`"f":6`, `"f":8`}, {`"l":7`, `"l":2147483648`}, {`"sequence":0`, `"sequence":1`}, {`"sequence":0`, `"sequence":-1`},
		{`"kind":"certificate"`, `"kind":"king"`}, {`"id":"sha256:a"`, `"id":""`}, {`"entries":2`, `"entries":0`}, {`"silences":1`, `"silences":0`},
		{`"Host":"h"`, `"Host":"` + strings.Repeat("h", 300) + `"`}, {`}]}`, `}]} x`}, {`}]}`, `}]`}, {`"sequences":[{`, `"sequences":[null,{`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Errorf("%s is not in\n%s", c[0], good)
		}
		if _, err := decode([]byte(bad)); err == nil {
			t.Errorf("%s is taken instead of %s", c[1], c[0])
		}
	}
}

// Whatever decode takes can be worked with, and is written as it was read.
func FuzzDecode(f *testing.F) {
	for i := range 5 {
		text, err := rapid.Custom(random).Example(i).encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"version":1,"next":0,"reporters":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := decode(text)
		if err != nil {
			return
		}
		one, err := k.encode()
		if err != nil {
			return // a time that JSON does not know
		}
		back, err := decode(one)
		if err != nil {
			t.Fatalf("%v\n%s", err, one)
		}
		if two, err := back.encode(); err != nil || !bytes.Equal(one, two) {
			t.Fatalf("%v\n%s\n%s", err, one, two)
		}
		c := &Completeness{Now: func() time.Time { return monday }, Size: func() int64 { return 0 }, known: *k}
		_ = c.Sources()
		_ = c.Totals()
		_ = c.LastHeard()
		for _, r := range c.known.everyReporter() {
			for i := range int64(3) {
				h := &hippad.SyslogHeader{Hostname: "h1", AppName: "app", StructuredData: fmt.Sprintf(`[meta sequenceId="%d"]`, 1+i*700) + ssign("0121", 1, 1, 1, "x")}
				c.known.entry(hippad.Entry{Index: k.next + i, Received: monday.Add(time.Duration(i) * time.Hour), Reporter: r.who}, h)
			}
		}
		_ = c.known.judge(monday.Add(48*time.Hour), c.limitOf)
	})
}

func BenchmarkTake(b *testing.B) {
	for _, c := range []struct {
		name    string
		sources int
		sd      func(n int) string
	}{
		{"unnumbered", 100, func(int) string { return "" }},
		{"sequenceId", 100, func(n int) string { return fmt.Sprintf(`[meta sequenceId="%d"]`, n+1) }},
		{"sequenceId with gaps", 100, func(n int) string { return fmt.Sprintf(`[meta sequenceId="%d"]`, 1+n+n/10) }},
		{"sequenceId of 2000 hosts", 2000, func(n int) string { return fmt.Sprintf(`[meta sequenceId="%d"]`, n+1) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			headers := make([]hippad.SyslogHeader, 64*c.sources)
			for i := range headers {
				headers[i] = hippad.SyslogHeader{Hostname: fmt.Sprint("host-", i%c.sources), AppName: "app", ProcID: "77", StructuredData: c.sd(i / c.sources)}
			}
			w := &Completeness{Header: func(hippad.Report) *hippad.SyslogHeader { return nil }, known: *newKnown()}
			i := 0
			w.Header = func(hippad.Report) *hippad.SyslogHeader { i++; return &headers[i%len(headers)] }
			e := hippad.Entry{Reporter: certificate("relay"), Door: hippad.DoorSyslogTLS, Report: hippad.Report{Media: hippad.MediaSyslog}, Received: monday}
			b.ReportAllocs()
			for b.Loop() {
				e.Index++
				e.Received = e.Received.Add(time.Millisecond)
				w.take(e)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
	b.Run("signing", func(b *testing.B) {
		w := &Completeness{Header: header, known: *newKnown()}
		e := hippad.Entry{Reporter: certificate("relay"), Door: hippad.DoorSyslogTLS, Report: hippad.Report{Media: hippad.MediaSyslog}, Received: monday}
		e.Body = []byte("host|app|1|" + ssign("0121", 1, 0, 1, "x"))
		w.take(e)
		e.Body = []byte("host|app|1||" + strings.Repeat("x", 1000))
		b.ReportAllocs()
		for b.Loop() {
			e.Index++
			w.take(e)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	})
}
