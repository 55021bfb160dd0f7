package atna

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"hippad"
)

const audit = `<AuditMessage><EventIdentification EventDateTime="2024-01-02T03:04:05Z"><EventID csd-code="110112"/></EventIdentification>` +
	`<ParticipantObjectIdentification ParticipantObjectID="77" ParticipantObjectTypeCodeRole="1"/></AuditMessage>`

// jsonReader stands for the FHIR door: it understands a resource and nothing else.
func jsonReader(body []byte) hippad.Event {
	if bytes.HasPrefix(body, []byte(`{"resourceType"`)) && bytes.HasSuffix(body, []byte("}")) {
		return hippad.Event{Type: hippad.Code{Code: "rest"}}
	}
	return hippad.Event{Unreadable: "no AuditEvent"}
}

func TestReadSyslogFindsThePayload(t *testing.T) {
	want := ReadXML([]byte(audit))
	for _, header := range []string{
		"<85>1 2024-03-05T08:15:30Z host app 1 IHE+RFC-3881 - ",
		"<0>1 - - - - - - ",
		"<191>1 2024-03-05T08:15:30Z host app 1 PDQIN - \xEF\xBB\xBF",
		"<85>1 2024-03-05T08:15:30Z host app 1 - - ?",
		`<85>1 2024-03-05T08:15:30Z host app 1 - [timeQuality tzKnown="1"][x@1 a="\]\"<b>{"] `,
		`<85>1 2024-03-05T08:15:30Z host app 1 - [broken a="b `,
		"<85>1 2024-03-05T08:15:30Z host app ",
		"<85>1 2024-03-05T08:15:30Z host app  1  -  -  ",
		"<85>1 ",
		"<85>",
		"",
		" \r\n",
		"<85>Mar  5 08:15:30 host app: ",
		"<85>Mar  5 08:15:30 app[12]: note {x} ",
		"<85>2024-03-05T08:15:30.5+01:00 host app: ",
		"Mar  5 08:15:30 host app: ",
		"<999>17 x y z",
		"<85>Mar  5 08:15:30 host app: <info> then ",
	} {
		for _, doc := range []string{audit, `<?xml version="1.0"?>` + "\n" + audit, strings.NewReplacer("</", "</p:", "<", "<p:").Replace(audit)} {
			for _, end := range []string{"", "\n", "\x00"} {
				got := ReadSyslog([]byte(header+doc+end), jsonReader)
				if got.Syslog == nil {
					t.Fatalf("%q: no header", header)
				}
				if got.Syslog = nil; !reflect.DeepEqual(got, want) {
					t.Errorf("%q: %s", header, dump(got))
				}
			}
		}
		const fhir = `{"resourceType":"AuditEvent"}`
		got := ReadSyslog([]byte(header+fhir+"\n"), jsonReader)
		if got.Type.Code != "rest" && !strings.Contains(header, "{x}") && !strings.Contains(header, "broken") && !strings.HasSuffix(header, "z") {
			t.Errorf("%q with JSON: %s", header, dump(got))
		}
	}
}

func TestReadSyslogWithoutPayload(t *testing.T) {
	at := time.Date(2024, 3, 5, 8, 15, 30, 0, time.UTC)
	for _, c := range []struct {
		msg, reason, host string
		at                time.Time
	}{
		{"<34>1 2024-03-05T09:15:30+01:00 mail su - - - 'su root' failed", noAuditMessage, "mail", at},
		{"<34>1 2024-03-05T08:15:30Z mail su - - - <b>html</b>", "XML root is not AuditMessage", "mail", at},
		{"<34>1 2024-03-05T08:15:30Z mail su - - - {\"level\":1}", "no AuditEvent", "mail", at},
		{"<34>1 2024-03-05T08:15:30Z mail su - - - " + audit[:20], "truncated XML", "mail", at},
		{"<34>1 - - - - - -", noAuditMessage, "", time.Time{}},
		{"<34>Oct 11 22:14:15 mymachine su: failed", noAuditMessage, "mymachine", time.Time{}},
		{"<34>Oct 11 22:14:15 su: failed", noAuditMessage, "", time.Time{}},
		{"2024-03-05T08:15:30Z web nginx: GET", noAuditMessage, "web", at},
		{"<34>1 2024-03-05T08:15:30Z " + strings.Repeat("h", 256) + " su - - - x", noAuditMessage, "", at},
		{"<34>1 2024-03-05T08:15:30Z h\xff su - - - x", noAuditMessage, "", at},
		{"this is garbage", noAuditMessage, "", time.Time{}},
		{"", noAuditMessage, "", time.Time{}},
		{"<", noAuditMessage, "", time.Time{}},
		{"<34", noAuditMessage, "", time.Time{}},
	} {
		want := hippad.Event{Unreadable: c.reason, Recorded: c.at}
		want.Source.Observer.Identifier.Value = c.host
		got := ReadSyslog([]byte(c.msg), jsonReader)
		if got.Syslog = nil; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %s", c.msg, dump(got))
		}
	}
	if got := ReadSyslog([]byte("<34>1 - - - - - - {}"), nil); got.Unreadable != noAuditMessage {
		t.Errorf("without a JSON reader: %s", dump(got))
	}
	// What the payload says itself is not overwritten.
	cut := "<34>1 2024-03-05T08:15:30Z mail su - - - " + audit[:len(audit)-5]
	if got := ReadSyslog([]byte(cut), nil); got.Recorded.Year() != 2024 || got.Recorded.Month() != 1 || len(patientTerms(got)) == 0 {
		t.Errorf("cut payload: %s", dump(got))
	}
}

// TestRealSyslog reads every message of the real captures; a capture of a stream is framed first.
func TestRealSyslog(t *testing.T) {
	for _, set := range []string{"syslog-atna", "syslog-rfc5424"} {
		dir := samples(t, set)
		count := tally{}
		for _, name := range files(t, dir) {
			folder, _ := filepath.Rel(filepath.Dir(dir), filepath.Dir(name))
			for _, f := range messages(t, name) {
				ev := ReadSyslog(f.body, jsonReader)
				count.add(folder, ev)
				doc := f.body[max(0, bytes.IndexByte(f.body, '<')):]
				if i := bytes.Index(f.body, []byte("<?xml")); i >= 0 {
					doc = f.body[i:]
				} else if i := bytes.Index(f.body, []byte("<AuditMessage")); i >= 0 {
					doc = f.body[i:]
				}
				if ok, patients := oracle(doc); ok && (ev.Unreadable != "" || len(patients) > 0 && len(patientTerms(ev)) == 0) {
					t.Errorf("%s: a well-formed audit message was not understood: %q", name, ev.Unreadable)
				} else if !ok && ev.Unreadable == "" {
					t.Errorf("%s: understood, but it is not well-formed", name)
				}
			}
		}
		count.log(t)
	}
}

// captured tells whether a sample is a piece of a stream, framing included.
func captured(name string) bool {
	return strings.Contains(name, ".tcp.") || strings.Contains(name, "tcp-frame") || strings.Contains(name, "framing")
}

// messages returns what a sample holds.
func messages(t testing.TB, name string) []frame {
	t.Helper()
	body := read(t, name)
	if !captured(name) {
		return []frame{{body: body}}
	}
	return split(t, bytes.NewReader(body), DefaultMaxMessage)
}

func FuzzReadSyslog(f *testing.F) {
	for _, header := range []string{"<85>1 2024-03-05T08:15:30Z host app 1 - [a b=\"c\"] ", "<85>Mar  5 08:15:30 host app: ", ""} {
		f.Add([]byte(header+audit), 5)
		f.Add([]byte(header+`{"resourceType":"AuditEvent"}`), 9)
	}
	f.Add([]byte("<1>1 - - - - - -"), 3)
	f.Fuzz(func(t *testing.T, body []byte, at int) {
		before := bytes.Clone(body)
		ev := ReadSyslog(body, jsonReader)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if again := ReadSyslog(body, jsonReader); !reflect.DeepEqual(ev, again) {
			t.Fatal("the same report gave another event")
		}
		// An audit message behind any well-formed header is found.
		if i := bytes.IndexByte(body, 0); i < 0 && !bytes.ContainsAny(body, "<>{}[\"\\ \r\n\t\xEF?") && len(body) > 0 {
			msg := fmt.Sprintf("<85>1 - %s - - - - %s", body, audit)
			if ev := ReadSyslog([]byte(msg), nil); ev.Unreadable != "" {
				t.Fatalf("behind host %q: %s", body, ev.Unreadable)
			}
		}
	})
}
