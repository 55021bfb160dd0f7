package traffic

import (
	"net/netip"
	"testing"
	"time"
	"unicode/utf16"
)

// What may be about a patient leaves no digest and no payload, in whatever it travels.
func TestPatientDataIsNotKept(t *testing.T) {
	wide := func(s string) string {
		out := ""
		for _, c := range utf16.Encode([]rune(s)) {
			out += string([]byte{byte(c), byte(c >> 8)})
		}
		return out
	}
	for text, keeps := range map[string]bool{
		"hello MUELLER": true,
		"GET /shell?cd+/tmp HTTP/1.1\r\nHost: a\r\n\r\n":                                           true,
		"GET /fhir/R4/Condition?subject=4711 HTTP/1.1\r\nHost: a\r\n\r\n":                          false,
		"GET /Patient?family=MUELLER HTTP/1.1\r\nHost: a\r\n\r\n":                                  false,
		"GET /rs/studies/1.2.3 HTTP/1.1\r\nAccept: application/dicom+json\r\n\r\n":                 false,
		"POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n{\"name\":\"MUELLER\"}":         false,
		"POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGS*HP*SENDER*RECEIVER*20261123": false,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\x0bMSH|^~\\&|ADT|WARD|":                            false,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n{\"name\":\"MUELLER\"}":                             false,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nSSH-2.0-a\r\n":                                      true,
		"\x05\x021H|\\^&|||LAB":             false,
		wide("MSH|^~\\&|ADT"):               false,
		"\xff\xfe" + wide("<a>MUELLER</a>"): false,
		"<a>M\xfcller</a>":                  false,
		"\r\nMSH|^~\\&|ADT|WARD|":           false,
	} {
		var seen Sighting
		s := &Sensor{Monitor: NewMonitor(time.Now), Payload: true, Seen: func(x Sighting) { seen = x }}
		s.see(Sighting{Label: Classify([]byte(text)).Label, Source: netip.IPv6Loopback()}, []byte(text), time.Now())
		if kept := seen.Digest != "" || seen.Payload != ""; kept != keeps {
			t.Errorf("%q is %s, something of it is kept: %v", text, seen.Label, kept)
		}
	}
}
