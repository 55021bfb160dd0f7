package atna

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hippad"
)

// A message is one syslog message of an answer. The members are those of RFC 5424 section 6 by name; what the message does not say
// is left out. docs/iti82.md describes them.
type message struct {
	XMLName  struct{}  `json:"-" xml:"SyslogMessage"`
	Index    int64     `json:"index" xml:"index,attr"`
	Received time.Time `json:"received" xml:"received,attr"`
	Fault    string    `json:"fault,omitempty" xml:"fault,attr,omitempty"`
	Receipt  string    `json:"receipt" xml:"receipt,attr"`

	Pri            *int   `json:"pri,omitempty" xml:"Pri,omitempty"`
	Facility       *int   `json:"facility,omitempty" xml:"Facility,omitempty"`
	Severity       *int   `json:"severity,omitempty" xml:"Severity,omitempty"`
	Version        int    `json:"version,omitempty" xml:"Version,omitempty"`
	Timestamp      string `json:"timestamp,omitempty" xml:"Timestamp,omitempty"`
	Hostname       string `json:"hostname,omitempty" xml:"Hostname,omitempty"`
	AppName        string `json:"app-name,omitempty" xml:"App-Name,omitempty"`
	ProcID         string `json:"procid,omitempty" xml:"Procid,omitempty"`
	MsgID          string `json:"msgid,omitempty" xml:"Msgid,omitempty"`
	StructuredData string `json:"structured-data,omitempty" xml:"Structured-Data,omitempty"`

	Text   string `json:"message,omitempty" xml:"Message,omitempty"`               // all of it, header included, to the byte
	Base64 string `json:"message-base64,omitempty" xml:"Message-Base64,omitempty"` // the same, if it is no text

	header hippad.SyslogHeader
}

func newMessage(e hippad.Entry) message {
	text := string(e.Body)
	h, _ := parseHeader(text)
	m := message{
		Index: e.Index, Received: e.Received.UTC(), Fault: e.Fault.String(), Receipt: "/log/receipt/" + strconv.FormatInt(e.Index, 10),
		Version: h.Version, Hostname: h.Hostname, AppName: h.AppName, ProcID: h.ProcID, MsgID: h.MsgID, StructuredData: h.StructuredData,
		header: h,
	}
	if h.Priority >= 0 {
		facility, severity := h.Priority/8, h.Priority%8
		m.Pri, m.Facility, m.Severity = &h.Priority, &facility, &severity
	}
	if !h.Timestamp.IsZero() {
		m.Timestamp = h.Timestamp.Format(time.RFC3339Nano)
	}
	if utf8.ValidString(text) {
		m.Text = text
	} else {
		m.Base64 = base64.StdEncoding.EncodeToString(e.Body)
	}
	return m
}

// A format is what an answer is written in.
type format uint8

const (
	formatJSON format = iota
	formatXML
)

// negotiate chooses the format. _format wins over Accept, where the greatest quality wins and the first among equals (RFC 9110
// section 12.5.1). Without either it is JSON.
func negotiate(r *http.Request) (format, error) {
	none := &refusal{http.StatusNotAcceptable, "not-supported", "this search answers in application/json or application/xml"}
	if asked := r.URL.Query().Get("_format"); asked != "" {
		form, ok := formatOf(strings.ReplaceAll(asked, " ", "+")) // a plus sign that was not escaped
		if !ok {
			return form, none
		}
		return form, nil
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if accept == "" {
		return formatJSON, nil
	}
	best, quality := formatJSON, 0.0
	for item := range strings.SplitSeq(accept, ",") {
		form, ok := formatOf(item)
		if !ok {
			continue
		}
		q := 1.0
		if _, params, err := mime.ParseMediaType(item); err == nil && params["q"] != "" {
			if n, err := strconv.ParseFloat(params["q"], 64); err == nil {
				q = n
			}
		}
		if q > quality {
			best, quality = form, q
		}
	}
	if quality == 0 {
		return best, none
	}
	return best, nil
}

func formatOf(item string) (format, bool) {
	media, _, _ := strings.Cut(item, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "*/*", "application/*", "application/json", "text/json", "json", hippad.MediaFHIRJSON:
		return formatJSON, true
	case "application/xml", "text/xml", "text/*", "xml", hippad.MediaFHIRXML:
		return formatXML, true
	}
	return formatJSON, false
}

type messagesXML struct {
	XMLName  struct{} `xml:"SyslogMessages"`
	Messages []message
}

// answer writes a page.
func (f format) answer(w http.ResponseWriter, found []message) error {
	if found == nil {
		found = []message{} // an array, not null
	}
	if f == formatXML {
		for i := range found {
			if m := &found[i]; m.Text != "" && !isXMLText(m.Text) {
				m.Text, m.Base64 = "", base64.StdEncoding.EncodeToString([]byte(m.Text))
			}
		}
		return f.write(w, http.StatusOK, "application/xml; charset=utf-8", messagesXML{Messages: found})
	}
	return f.write(w, http.StatusOK, "application/json", found)
}

// isXMLText tells whether XML 1.0 has all characters of a text (section 2.2).
func isXMLText(s string) bool {
	for _, r := range s {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

func (f format) write(w http.ResponseWriter, status int, media string, v any) error {
	var b bytes.Buffer
	if f == formatXML {
		b.WriteString(xml.Header)
		if err := xml.NewEncoder(&b).Encode(v); err != nil {
			return err
		}
	} else {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the caller has gone: there is nobody to tell
	return nil
}

type outcomeJSON struct {
	ResourceType string      `json:"resourceType"`
	Issue        []issueJSON `json:"issue"`
}

type issueJSON struct {
	Severity    string `json:"severity"`
	Code        string `json:"code"`
	Diagnostics string `json:"diagnostics"`
}

type valueXML struct {
	Value string `xml:"value,attr"`
}

type outcomeXML struct {
	XMLName     xml.Name `xml:"http://hl7.org/fhir OperationOutcome"`
	Severity    valueXML `xml:"issue>severity"`
	Code        valueXML `xml:"issue>code"`
	Diagnostics valueXML `xml:"issue>diagnostics"`
}

// refuse answers an error as a FHIR R4 OperationOutcome.
func (f format) refuse(w http.ResponseWriter, p refusal) {
	if f == formatXML {
		_ = f.write(w, p.status, hippad.MediaFHIRXML, outcomeXML{Severity: valueXML{"error"}, Code: valueXML{p.code}, Diagnostics: valueXML{p.text}})
		return
	}
	_ = f.write(w, p.status, hippad.MediaFHIRJSON, outcomeJSON{"OperationOutcome", []issueJSON{{"error", p.code, p.text}}})
}
