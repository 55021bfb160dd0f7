package completeness

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ssign makes a signature block of messages (RFC 5848 section 4.2), without a signature.
func ssign(version string, session, counter, first int, messages ...string) string {
	var hb []string
	for _, m := range messages {
		if version == "0111" {
			sum := sha1.Sum([]byte(m))
			hb = append(hb, base64.StdEncoding.EncodeToString(sum[:]))
		} else {
			sum := sha256.Sum256([]byte(m))
			hb = append(hb, base64.StdEncoding.EncodeToString(sum[:]))
		}
	}
	return fmt.Sprintf(`[ssign VER="%s" RSID="%d" SG="0" SPRI="0" GBC="%d" FMN="%d" CNT="%d" HB="%s" SIGN="AAAA"]`,
		version, session, counter, first, len(messages), strings.Join(hb, " "))
}

const aCertificate = `[ssign-cert VER="0121" RSID="1" SG="0" SPRI="0" TPBL="10" INDEX="1" FLEN="1" FRAG="x" SIGN=""]`

func TestParseBlock(t *testing.T) {
	good := ssign("0121", 1, 5, 7, "a", "b")
	if b, ok := parseBlock(`[meta sequenceId="1"]` + good); !ok || b.counter != 5 || b.first != 7 || len(b.hashes) != 2 || b.session != 1 || !b.sha256 ||
		b.hashes[0] != hashOf([]byte("a"), true) {
		t.Errorf("%+v, %v", b, ok)
	}
	if b, ok := parseBlock(ssign("0111", 9_999_999_999, 0, 1, "a")); !ok || b.sha256 || b.hashes[0] != hashOf([]byte("a"), false) {
		t.Errorf("SHA-1: %+v, %v", b, ok)
	}
	if b, ok := parseBlock(aCertificate); !ok || !b.isCertificate {
		t.Errorf("certificate: %+v, %v", b, ok)
	}
	for _, c := range [][2]string{
		{`VER="0121"`, `VER="0221"`}, {`VER="0121"`, `VER="0131"`}, {`VER="0121"`, `VER="01"`}, {`RSID="1"`, `RSID="x"`}, {`RSID="1"`, `RSID="10000000000"`},
		{`SG="0"`, `SG="4"`}, {`SPRI="0"`, `SPRI="192"`}, {`GBC="5"`, `GBC="-5"`}, {`FMN="7"`, `FMN="0"`}, {`CNT="2"`, `CNT="3"`}, {`CNT="2"`, `CNT="100"`},
		{`CNT="2"`, `CNT="0"`}, {`HB="`, `HB="!`}, {`HB="`, `XX="`}, {`VER="0121"`, `VER="0111"`}, {`"]`, `"`}, {`GBC="5"`, ``},
	} {
		if _, ok := parseBlock(strings.Replace(good, c[0], c[1], 1)); ok {
			t.Errorf("%s is taken instead of %s", c[1], c[0])
		}
	}
}

// A signer sends messages m1, m2 and so on, and blocks of them.
func TestSigned(t *testing.T) {
	m := func(from, to int) (list []string) {
		for ; from <= to; from++ {
			list = append(list, fmt.Sprintf("host|app|1||m%d", from))
		}
		return list
	}
	block := func(s string) string { return "host|syslogd|1|" + s }
	concat := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	type want struct{ missing, blocks, unsigned int64 }
	for _, c := range []struct {
		name string
		sent []string
		want want
	}{
		{"nothing before the first block is judged", concat(m(1, 3), []string{block(ssign("0121", 1, 0, 1, m(1, 3)...))}), want{}},
		{"all there", concat([]string{block(aCertificate), block(ssign("0121", 1, 0, 1, m(1, 2)...))}, m(3, 6), []string{block(ssign("0121", 1, 1, 3, m(3, 6)...))}), want{}},
		{"two lost", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...))}, m(3, 4), m(7, 8), []string{block(ssign("0121", 1, 1, 3, m(3, 8)...))}), want{missing: 2}},
		{"the block before its messages", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...)), block(ssign("0121", 1, 1, 3, m(3, 6)...))}, m(3, 5)), want{missing: 1}},
		{"SHA-1", concat([]string{block(ssign("0111", 1, 0, 1, m(1, 2)...))}, m(3, 4), m(6, 6), []string{block(ssign("0111", 1, 1, 3, m(3, 6)...))}), want{missing: 1}},
		{"altered on the way", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...))}, m(3, 3), []string{"host|app|1||M4"}, []string{block(ssign("0121", 1, 1, 3, m(3, 4)...))}), want{missing: 1}},
		{"overlapping blocks, one lost", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...))}, m(3, 4), m(5, 6),
			[]string{block(ssign("0121", 1, 2, 3, m(3, 6)...))}), want{blocks: 1}},
		{"overlapping blocks judge once", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...))}, m(3, 3), m(5, 6),
			[]string{block(ssign("0121", 1, 1, 3, m(3, 5)...)), block(ssign("0121", 1, 2, 4, m(4, 6)...))}), want{missing: 1}},
		{"a block lost with its hashes", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...))}, m(3, 8),
			[]string{block(ssign("0121", 1, 2, 6, m(6, 8)...))}), want{blocks: 1, unsigned: 3}},
		{"and sent again in time", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...))}, m(3, 8),
			[]string{block(ssign("0121", 1, 2, 6, m(6, 8)...)), block(ssign("0121", 1, 1, 3, m(3, 5)...))}), want{blocks: 1}},
		{"certificates counted by the signer", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...)), block(aCertificate), block(aCertificate)}, m(3, 3),
			[]string{block(ssign("0121", 1, 3, 3, m(3, 3)...))}), want{}},
		{"repeated block", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...))}, m(3, 3), []string{block(ssign("0121", 1, 1, 3, m(3, 3)...)),
			block(ssign("0121", 1, 1, 3, m(3, 3)...))}), want{}},
		{"new session", concat([]string{block(ssign("0121", 1, 7, 50, m(1, 2)...))}, m(3, 3), []string{block(ssign("0121", 2, 0, 1, m(3, 4)...))}), want{missing: 1}},
		{"replay of an old session", concat([]string{block(ssign("0121", 2, 0, 1, m(1, 2)...)), block(ssign("0121", 1, 40, 90, m(20, 29)...))}), want{}},
		{"malformed", concat([]string{block(ssign("0121", 1, 0, 1, m(1, 2)...))}, m(3, 3), []string{block(`[ssign VER="0121" GBC="x"]`), block(`[ssign `)}), want{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				stop := w.runs()
				for i, body := range c.sent {
					w.raw(certificate("ct-1"), body)
					time.Sleep(time.Second)
					if i == len(c.sent)/2 { // a restart changes nothing
						stop()
						w.start()
						stop = w.runs()
					}
				}
				time.Sleep(5 * time.Minute)
				s := w.source("ct-1", "host")
				for _, x := range w.Sources() {
					if x.AppName == "syslogd" {
						s = x
					}
				}
				if got := (want{s.Missing, s.Blocks, s.Unsigned}); got != c.want || !s.Signs {
					t.Errorf("got %+v, want %+v\n%+v", got, c.want, s)
				}
				told := 0
				for _, n := range w.heardOf() {
					if strings.HasPrefix(n, ActivityGap) {
						told++
					}
				}
				if (told > 0) != (c.want.missing > 0) || told > 1 {
					t.Errorf("%d entries", told)
				}
				stop()
			})
		})
	}
}

// When so much came in between that the hashes are gone, nothing is called missing.
func TestWindowIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.runs()
		ct := certificate("ct-1")
		w.raw(ct, "host|syslogd|1|"+ssign("0121", 1, 0, 1, "x"))
		w.raw(ct, "host|app|1||early")
		for i := range 2 * maxWindow {
			w.raw(ct, fmt.Sprintf("other|app|1||%d", i))
		}
		w.raw(ct, "host|app|1||m3")
		w.raw(ct, "host|syslogd|1|"+ssign("0121", 1, 1, 2, "host|app|1||early", "host|app|1||m3"))
		time.Sleep(5 * time.Minute)
		if s := w.source("ct-1", "host"); s.Missing != 0 {
			t.Errorf("%+v", s)
		}
		var unchecked int64
		for _, s := range w.Sources() {
			unchecked += s.Unchecked
		}
		if unchecked != 1 {
			t.Errorf("%d unchecked, want 1", unchecked)
		}
		if n := len(w.known.reporters[ct.String()].signing.byHash); n > maxWindow {
			t.Errorf("%d hashes", n)
		}
		stop()
		if _, err := decode(w.saved); err != nil {
			t.Error(err)
		}
	})
}
