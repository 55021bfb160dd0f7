package atna

import (
	"strings"
	"time"
	"unicode/utf8"

	"hippad"
)

// Check tells which rules of the syslog RFCs, of ITI-20 and of DICOM PS3.15 A.5 a report breaks: one of MediaSyslog with its frame and
// its payload, or one of MediaXML. A payload in JSON is json's to judge, which is given it as a report of its own; nil means that
// nobody judges it. A syslog message without an audit message, which ITI-20 takes too, is held to the RFCs only.
func Check(report hippad.Report, json hippad.Checker) []hippad.Rule {
	var b broken
	b.when(report.Fault == hippad.Framing, ruleFrame)
	b.when(report.Fault == hippad.Truncated, ruleFrameCut)
	if report.Fault == hippad.Stray {
		b.when(true, ruleFrameStray)
		return b.list()
	}
	media, _, _ := strings.Cut(report.Media, ";")
	text := string(report.Body)
	if strings.TrimSpace(strings.ToLower(media)) != hippad.MediaSyslog {
		checkXML(&b, text)
		return b.list()
	}
	h, at := parseHeader(text)
	start, kind := findPayload(text, at)
	var others []hippad.Rule
	audit := false
	switch kind {
	case payloadXML:
		if audit = checkXML(&b, text[start:]); !audit { // some other document
			b[ruleRoot] = false
		}
	case payloadJSON:
		audit = true
		if json != nil {
			others = json(hippad.Report{Media: hippad.MediaFHIRJSON, Body: []byte(strings.TrimRight(text[start:], blanks))})
		}
	}
	checkHeader(&b, text)
	if audit && h.Priority >= 0 {
		b.when(h.Priority>>3 != 10, ruleFacility)
		b.when(h.Priority&7 != 5 && h.Priority&7 != 4, ruleSeverity)
	}
	if audit {
		b.when(h.MsgID != "" && h.MsgID != "IHE+RFC-3881" && h.MsgID != "DICOM+RFC3881", ruleIHEMsgID)
		b.when(h.StructuredData != "", ruleIHEStructuredData)
		b.when(strings.ContainsAny(text[at:start], "?\uFEFF"), ruleBOM)
	}
	return append(b.list(), others...)
}

// checkHeader holds a message to RFC 5424 section 6. Where it has no VERSION it is one of RFC 3164, of which nothing more is asked.
func checkHeader(b *broken, s string) {
	n, ok := priority(s)
	if !ok {
		b[rulePRI] = true
	} else {
		pri := s[1 : n-1]
		h, _ := parseHeader(s[:n])
		b.when(h.Priority < 0 || len(pri) > 1 && pri[0] == '0', rulePRI)
	}
	v := 0
	if ok {
		v = version(s[n:])
	}
	if v == 0 {
		b[ruleVersion] = true
		return
	}
	b.when(s[n:n+v] != "1 ", ruleVersion)
	rest := s[n+v:]
	for _, f := range [...]struct {
		most    int
		form    rule
		missing rule
	}{
		{0, ruleTimestamp, ruleTimestampMissing}, {255, ruleHostname, ruleHostnameMissing}, {48, ruleAppName, ruleAppNameMissing},
		{128, ruleProcID, ruleCount}, {32, ruleMsgID, ruleMsgIDMissing},
	} {
		trimmed := strings.TrimLeft(rest, " ")
		b.when(len(trimmed) != len(rest), ruleSpaces)
		if rest = trimmed; rest == "" || payloadStarts(rest) {
			b.when(true, ruleFieldsMissing)
			if f.missing != ruleCount {
				b[f.missing] = true
			}
			continue
		}
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		switch {
		case word == "-":
			if f.missing != ruleCount {
				b[f.missing] = true
			}
		case f.form == ruleTimestamp:
			b.when(!isTimestamp(word), ruleTimestamp)
		default:
			b.when(len(word) > f.most || !isPrintable(word), f.form)
		}
	}
	b.when(strings.HasPrefix(rest, " "), ruleSpaces)
	checkStructuredData(b, strings.TrimLeft(rest, " "))
}

// isTimestamp tells whether s is a TIMESTAMP (RFC 5424 section 6.2.3).
func isTimestamp(s string) bool {
	_, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || strings.Contains(s, ",") {
		return false
	}
	_, fraction, _ := strings.Cut(s, ".")
	return len(fraction)-len(strings.TrimLeft(fraction, "0123456789")) <= 6
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}

// checkStructuredData holds what follows the header to RFC 5424 section 6.3.
func checkStructuredData(b *broken, s string) {
	if s == "-" || strings.HasPrefix(s, "- ") {
		return
	}
	seen := map[string]bool{}
	for {
		id, n := sdElement(s)
		if n == 0 {
			break
		}
		b.when(seen[id], ruleDuplicateSD)
		seen[id] = true
		s = s[n:]
		if s == "" || s[0] == ' ' {
			return
		}
	}
	b[ruleStructuredData] = true
}

// sdElement returns the SD-ID and the length of the SD-ELEMENT at the start of s; the length is 0 if there is none.
func sdElement(s string) (id string, n int) {
	if s == "" || s[0] != '[' {
		return "", 0
	}
	i := sdName(s, 1)
	if id = s[1:i]; id == "" {
		return "", 0
	}
	for i < len(s) && s[i] == ' ' {
		from := i + 1
		if i = sdName(s, from); i == from || !strings.HasPrefix(s[i:], `="`) {
			return "", 0
		}
		start := i + 2
		for i = start; i < len(s) && s[i] != '"'; i++ {
			switch s[i] {
			case '\\':
				i++
			case ']':
				return "", 0
			}
		}
		if i >= len(s) || !utf8.ValidString(s[start:i]) {
			return "", 0
		}
		i++
	}
	if i >= len(s) || s[i] != ']' {
		return "", 0
	}
	return id, i + 1
}

// sdName returns where the SD-NAME ends that starts at i: 1 to 32 printable characters but = ] and ".
func sdName(s string, i int) int {
	start := i
	for i < len(s) && i-start < 32 && s[i] > ' ' && s[i] <= '~' && s[i] != '=' && s[i] != ']' && s[i] != '"' {
		i++
	}
	return i
}
