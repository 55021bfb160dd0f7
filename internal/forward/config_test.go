package forward

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"hippad"
)

func TestParseRefuses(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	rule := func(members string) string { return `{"rules":[{"name":"a",` + members + `}]}` }
	for config, want := range map[string]string{
		``: "the forwarding rules",
		`{"rules":[{"name":"a","to":"hippad://h","password":"x"}]}`: "password",
		`{"rules":[],"also":1}`:                                                    "also",
		`{"rules":[{"name":"A b","to":"hippad://h"}]}`:                             `rule 1 ("A b"): name`,
		`{"rules":[{"name":"../x","to":"hippad://h"}]}`:                            "name",
		`{"rules":[{"name":"a","to":"hippad://h"},{"name":"a","to":"https://h"}]}`: `rule 2 ("a"): name: there are two`,
		rule(`"to":""`):                                                                         "to: want syslog+tls",
		rule(`"to":"http://h"`):                                                                 "to: want syslog+tls",
		rule(`"to":"syslog+tcp://h"`):                                                           "to: want syslog+tls",
		rule(`"to":"hippad://"`):                                                                "to: the host is missing",
		rule(`"to":"https://anna:secret@h/fhir"`):                                               "to: credentials",
		rule(`"to":"https://h/fhir?token=secret"`):                                              "to: the address ends",
		rule(`"to":"hippad://h/fhir"`):                                                          "to: a path",
		rule(`"to":"https://anna:secret@h:port/"`):                                              "to: this is not an address",
		rule(`"to":"hippad://h","match":"nonsense"`):                                            "match: the query",
		rule(`"to":"hippad://h","match":"type=1&_count=5"`):                                     "match: order",
		rule(`"to":"hippad://h","peers":["nonsense"]`):                                          "peers: number 1",
		`{"forwarders":["nonsense"]}`:                                                           "forwarders: number 1",
		rule(`"to":"hippad://h","since":"yesterday"`):                                           "since",
		rule(`"to":"hippad://h","ca":"` + empty + `"`):                                          "ca: ",
		rule(`"to":"hippad://h","ca":"` + filepath.Join(dir, "none") + `"`):                     "ca: ",
		rule(`"to":"hippad://h","certificate":"` + empty + `"`):                                 "certificate: ",
		rule(`"to":"hippad://h","key":"` + empty + `"`):                                         "key: ",
		rule(`"to":"hippad://h","token_file":"` + empty + `"`):                                  "token_file: it means nothing to hippad",
		rule(`"to":"https://h","token_file":"` + empty + `"`):                                   "token_file: ",
		rule(`"to":"https://h","format":"r9"`):                                                  "format",
		rule(`"to":"https://h","batch":100000`):                                                 "batch",
		rule(`"to":"https://h","datagram":1000`):                                                "datagram: it means nothing",
		rule(`"to":"syslog+udp://h","datagram":100`):                                            "datagram",
		rule(`"to":"syslog+udp://h","ca":"x"`):                                                  "ca: it means nothing",
		rule(`"to":"syslog+udp://h","rate":-1`):                                                 "rate",
		`{"rules":[` + strings.Repeat(`{"name":"a","to":"hippad://h"},`, 64) + `{"name":"a"}]}`: "at most 64",
		strings.Repeat(" ", maxConfig+1):                                                        "more than",
	} {
		_, err := Parse(strings.NewReader(config), fakeQuery)
		if err == nil || hippad.KindOf(err) != hippad.Invalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.80s: %v, want %q", config, err, want)
		}
	}
}

func TestParse(t *testing.T) {
	c := parse(t, `{"forwarders":["_organisation=North relay"],"rules":[
		{"name":"siem","to":"syslog+tls://siem.example","match":"type=110113&patient=4711","since":"2026-11-23T08:00:00Z"},
		{"name":"u","to":"syslog+udp://[2001:db8::1]"},{"name":"fhir","to":"https://fhir.example/r4/","since":"start","batch":50},
		{"name":"self","to":"hippad://h:1","match":"_door=self"}]}`)
	for i, want := range []string{"syslog+tls://siem.example:6514", "syslog+udp://[2001:db8::1]:514", "https://fhir.example/r4", "hippad://h:1"} {
		if got := c.Rules[i].To; got != want {
			t.Errorf("rule %d: to %s, want %s", i, got, want)
		}
	}
	if r := c.Rules[0]; !r.Since.Equal(day) || r.FromStart || r.self || r.Datagram != largestDatagram {
		t.Errorf("%+v", r)
	}
	if text := c.Rules[0].String(); strings.Contains(text, "4711") || !strings.Contains(text, "type=110113&patient=(values kept private: 1)") {
		t.Errorf("the rule in words: %s", text)
	}
	if !c.Rules[2].FromStart || c.Rules[2].Batch != 50 || c.Rules[1].Rate != datagramRate || !c.Rules[3].self {
		t.Errorf("%+v", c.Rules)
	}
	again := parse(t, `{"rules":[{"name":"siem","to":"syslog+tls://siem.example","match":"type=110113&patient=4712","since":"2026-11-23T08:00:00Z"}]}`)
	if again.Rules[0].fingerprint == c.Rules[0].fingerprint {
		t.Error("another rule has the same fingerprint")
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in   string
		most int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aæ", 2, "a"}, {"aæ", 3, "aæ"}, {"ab🏥c", 5, "ab"}, {"ab🏥c", 6, "ab🏥"},
		{"\x80\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80\x80"},
	} {
		if got := string(cut([]byte(c.in), c.most)); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.in, c.most, got, c.want)
		}
	}
	long := []byte(strings.Repeat("🏥æx", 1000))
	for n := 480; n < 500; n++ {
		if b := cut(long, n); len(b) > n || len(b) < n-3 || !utf8.Valid(b) {
			t.Errorf("cut at %d: %d bytes", n, len(b))
		}
	}
}

// What goes to a syslog destination: a message as it came, anything else behind a header of this log's.
func TestSyslogOf(t *testing.T) {
	r := &runner{f: &Forwarder{Host: "audit .example\n"}}
	for media, want := range map[string]string{
		hippad.MediaSyslog:                      "BODY",
		"application/xml; charset=utf-8":        "<85>1 2026-11-23T08:00:00.000000Z audit.example hippad - IHE+RFC-3881 - BODY",
		"text/xml":                              "<85>1 2026-11-23T08:00:00.000000Z audit.example hippad - IHE+RFC-3881 - BODY",
		"application/fhir+json;fhirVersion=4.0": "<85>1 2026-11-23T08:00:00.000000Z audit.example hippad - AuditEvent - BODY",
		"application/octet-stream":              "<85>1 2026-11-23T08:00:00.000000Z audit.example hippad - - - BODY",
	} {
		e := report(media, "BODY")
		e.Received = day
		if got := string(r.syslogOf(e)); got != want {
			t.Errorf("%s: %q, want %q", media, got, want)
		}
	}
}
