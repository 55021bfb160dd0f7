package atna

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hippad"
)

func TestSyslogHeader(t *testing.T) {
	at := time.Date(2024, 3, 5, 8, 15, 30, 0, time.UTC)
	full := hippad.SyslogHeader{Priority: 85, Version: 1, Timestamp: at, Hostname: "host", AppName: "app", ProcID: "77", MsgID: "IHE+RFC-3881"}
	with := func(change func(*hippad.SyslogHeader)) hippad.SyslogHeader {
		h := full
		change(&h)
		return h
	}
	for _, c := range []struct {
		msg  string
		want hippad.SyslogHeader
		rest string
	}{
		{"<85>1 2024-03-05T08:15:30Z host app 77 IHE+RFC-3881 - " + audit, full, " " + audit},
		{"<85>1 2024-03-05T09:15:30.000+01:00 host app 77 IHE+RFC-3881 -", full, ""},
		{`<85>1 2024-03-05T08:15:30Z host app 77 IHE+RFC-3881 [a@1 b="\]\"]x"][c] hello`,
			with(func(h *hippad.SyslogHeader) { h.StructuredData = `[a@1 b="\]\"]x"][c]` }), " hello"},
		{`<85>1 2024-03-05T08:15:30Z host app 77 IHE+RFC-3881 [a b="c hello`, full, ` [a b="c hello`},
		{"<0>1 - - - - - - x", hippad.SyslogHeader{Priority: 0, Version: 1}, " x"},
		{"<191>2 - - - - - -", hippad.SyslogHeader{Priority: 191, Version: 2}, ""},
		{"<192>1 - h - - - -", hippad.SyslogHeader{Priority: -1, Version: 1, Hostname: "h"}, ""},
		{"<85>1 2024-03-05T08:15:30Z host a<b>{} 77 IHE+RFC-3881 - x", with(func(h *hippad.SyslogHeader) { h.AppName = "a<b>{}" }), " x"},
		{"<85>1 2024-03-05T08:15:30Z host app" + audit, with(func(h *hippad.SyslogHeader) { h.ProcID, h.MsgID = "", "" }), audit},
		{"<85>1 2024-03-05T08:15:30Z host  app  77  IHE+RFC-3881  -  " + audit, full, "  " + audit},
		{"<85>1 yesterday host app 77 IHE+RFC-3881 -", with(func(h *hippad.SyslogHeader) { h.Timestamp = time.Time{} }), ""},
		{"<85>1 2024-03-05T08:15:30Z " + strings.Repeat("h", 256) + " a\xff 77 IHE+RFC-3881 -",
			with(func(h *hippad.SyslogHeader) { h.Hostname, h.AppName = "", "" }), ""},
		{"<34>Oct 11 22:14:15 mymachine su: 'su root' failed", hippad.SyslogHeader{Priority: 34, Hostname: "mymachine", AppName: "su"}, " 'su root' failed"},
		{"<34>Oct  1 22:14:15 mymachine su[123]: x", hippad.SyslogHeader{Priority: 34, Hostname: "mymachine", AppName: "su", ProcID: "123"}, " x"},
		{"<34>Oct 11 22:14:15 su: x", hippad.SyslogHeader{Priority: 34, AppName: "su"}, " x"},
		{"<34>Oct 11 22:14:15 host just some text: x", hippad.SyslogHeader{Priority: 34, Hostname: "host"}, " just some text: x"},
		{"2024-03-05T08:15:30Z web nginx: GET", hippad.SyslogHeader{Priority: -1, Timestamp: at, Hostname: "web", AppName: "nginx"}, " GET"},
		{"<85>" + audit, hippad.SyslogHeader{Priority: 85}, audit},
		{"garbage", hippad.SyslogHeader{Priority: -1}, "garbage"},
		{"", hippad.SyslogHeader{Priority: -1}, ""},
	} {
		h, n := parseHeader(c.msg)
		if h != c.want || c.msg[n:] != c.rest {
			t.Errorf("%q: %+v, rest %q", c.msg, h, c.msg[n:])
		}
		if ev := ReadSyslog([]byte(c.msg), jsonReader); ev.Syslog == nil || *ev.Syslog != c.want {
			t.Errorf("%q: the event has %+v", c.msg, ev.Syslog)
		}
	}
}

// TestSyslogCarriesAnyEncoding: the payload of a message may be in UTF-16 or Latin-1, whatever the header is in.
func TestSyslogCarriesAnyEncoding(t *testing.T) {
	wide := func(s string, low, high int) string {
		b := make([]byte, 2*len(s))
		for i := range len(s) {
			b[2*i+low], b[2*i+high] = s[i], 0
		}
		return string(b)
	}
	header := "<85>1 2024-03-05T08:15:30Z host app 1 - - "
	for name, payload := range map[string]string{
		"UTF-16LE": wide(audit, 0, 1), "UTF-16LE with mark": "\xFF\xFE" + wide(audit, 0, 1),
		"UTF-16BE": wide(audit, 1, 0), "UTF-16BE with mark": "\xFE\xFF" + wide(audit, 1, 0),
		"Latin-1": `<?xml version="1.0" encoding="ISO-8859-1"?>` + strings.Replace(audit, `"77"`, "\"77\" ParticipantObjectName=\"M\xfcller\"", 1),
	} {
		ev := ReadSyslog([]byte(header+payload), nil)
		if ev.Unreadable != "" || len(patientTerms(ev)) != 1 || ev.Syslog.Hostname != "host" {
			t.Errorf("%s: %s", name, dump(ev))
		}
		if name == "Latin-1" && ev.Entities[0].Name != "Müller" {
			t.Errorf("%s: name %q", name, ev.Entities[0].Name)
		}
	}
	// Invalid UTF-8 is said so, and the rest is there.
	ev := ReadSyslog([]byte(header+strings.Replace(audit, `"77"`, "\"77\" ParticipantObjectName=\"M\xfcller\"", 1)), nil)
	if !strings.Contains(ev.Unreadable, "not valid UTF-8") || len(patientTerms(ev)) != 1 {
		t.Errorf("invalid UTF-8: %s", dump(ev))
	}
}

// FuzzSyslogHeader: what a message says that is formatted by RFC 5424 is what is read back.
func FuzzSyslogHeader(f *testing.F) {
	f.Add(uint8(85), int64(1_700_000_000_123_456), "host.example.org", "app", "77", "IHE+RFC-3881", "timeQuality", `a"]\b`, "hello")
	f.Add(uint8(0), int64(0), "-", "", "-", "", "", "", "")
	f.Add(uint8(191), int64(-1), "<h>", "{a}", "[x", "]", "x@1", "", "<AuditMessage/>")
	f.Fuzz(func(t *testing.T, pri uint8, micros int64, host, app, proc, id, sd, param, msg string) {
		pri %= 192
		at := time.UnixMicro(micros % 100_000_000_000_000_000).UTC()
		orNil := func(s string, most int) string { // a field, or NILVALUE for what cannot be one
			if s == "" || len(s) > most || !isPrintable(s) {
				return "-"
			}
			return s
		}
		host, app, proc, id = orNil(host, 255), orNil(app, 48), orNil(proc, 128), orNil(id, 32)
		data := "-"
		if sd != "" && sdName(sd, 0) == len(sd) {
			data = "[" + sd + ` p="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(strings.ToValidUTF8(param, "")) + `"]`
		}
		stamp := "-"
		if at.Year() >= 1 && at.Year() <= 9999 {
			stamp = at.Format("2006-01-02T15:04:05.999999Z07:00")
		} else {
			at = time.Time{}
		}
		head := fmt.Sprintf("<%d>1 %s %s %s %s %s %s", pri, stamp, host, app, proc, id, data)
		for i := range len(head) {
			if payloadStarts(head[i:]) { // fields that spell an audit message together
				return
			}
		}
		said := func(s string) string {
			if s == "-" {
				return ""
			}
			return s
		}
		want := hippad.SyslogHeader{Priority: int(pri), Version: 1, Timestamp: at, Hostname: said(host), AppName: said(app), ProcID: said(proc),
			MsgID: said(id), StructuredData: said(data)}
		body := head
		if msg != "" {
			body += " " + msg
		}
		got, n := parseHeader(body)
		if !got.Timestamp.Equal(want.Timestamp) {
			t.Fatalf("%q: at %v", head, got.Timestamp)
		}
		if got.Timestamp = want.Timestamp; got != want || n != len(head) {
			t.Fatalf("%q: %+v, %d bytes", head, got, n)
		}
		var b broken
		if checkHeader(&b, body); b[rulePRI] || b[ruleVersion] || b[ruleTimestamp] || b[ruleFieldsMissing] || b[ruleSpaces] || b[ruleStructuredData] {
			t.Fatalf("%q: breaks %v", head, b.list())
		}
	})
}

// ReadHeader says what ReadSyslog says of the header, for whatever is behind it.
func TestReadHeader(t *testing.T) {
	for _, msg := range []string{
		"<85>1 2026-11-22T10:00:00Z host app 7 id [meta sequenceId=\"3\"] text", "<13>Nov 22 10:00:00 host app[7]: text", "nothing of the sort", "",
		"<85>1 - - - - - [a b=\"" + strings.Repeat("x", 8000) + "\"] " + strings.Repeat("text ", 10000),
	} {
		if got, want := ReadHeader([]byte(msg)), ReadSyslog([]byte(msg), nil).Syslog; *got != *want {
			t.Errorf("%.60q: %+v, want %+v", msg, got, want)
		}
	}
}
