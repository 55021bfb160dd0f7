package web

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"hippad"
)

// maxBody is how much of a body a page shows, in bytes.
const maxBody = 256 << 10

// pretty writes a body so that people can read it: JSON and XML indented, anything else as it is. What it writes is for the
// eye only: the bytes of the report are what the receipt proves.
func pretty(media string, body []byte) (text, note string) {
	if len(body) > maxBody {
		return clean(string(body[:maxBody])), fmt.Sprintf("The first %d of %d bytes, as they came.", maxBody, len(body))
	}
	header, rest := "", body
	if media == hippad.MediaSyslog {
		// The header of a syslog message has no < but for the priority before it.
		if i := bytes.IndexAny(body[min(len(body), 1):], "<{"); i >= 0 {
			header, rest = string(body[:i+1])+"\n", body[i+1:]
		}
	}
	if out, ok := indentJSON(rest); ok {
		return clean(header + out), "Indented to be read; the report itself is kept byte for byte."
	}
	if out, ok := indentXML(rest); ok {
		return clean(header + out), "Indented to be read; the report itself is kept byte for byte."
	}
	return clean(string(body)), ""
}

func indentJSON(body []byte) (string, bool) {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return "", false
	}
	var b bytes.Buffer
	if err := json.Indent(&b, trimmed, "", "  "); err != nil || b.Len() > 8*maxBody {
		return "", false
	}
	return b.String(), true
}

// indentXML writes each element on a line of its own. ok is false for what is not well-formed, or so deep that the indents
// would be longer than the text.
func indentXML(body []byte) (text string, ok bool) {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.Strict = true
	var b strings.Builder
	depth, elements, written := 0, 0, false // written: text stands on the line
	line := func() {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(strings.Repeat("  ", depth))
	}
	for {
		t, err := d.RawToken()
		if err != nil {
			return b.String(), errors.Is(err, io.EOF) && elements > 0 && depth == 0
		}
		switch t := t.(type) {
		case xml.StartElement:
			line()
			writeStart(&b, t)
			depth++
			elements++
			written = true
		case xml.EndElement:
			if depth--; depth < 0 {
				return "", false
			}
			if !written {
				line()
			}
			b.WriteString("</" + tag(t.Name) + ">")
			written = false
		case xml.CharData:
			if s := strings.TrimSpace(string(t)); s != "" {
				b.WriteString(escapeText(s))
				written = true
			}
		case xml.ProcInst:
			line()
			fmt.Fprintf(&b, "<?%s %s?>", t.Target, t.Inst)
		case xml.Comment:
			line()
			fmt.Fprintf(&b, "<!--%s-->", t)
			written = false
		case xml.Directive:
			line()
			fmt.Fprintf(&b, "<!%s>", t)
		}
		if depth > 64 || b.Len() > 8*maxBody {
			return "", false
		}
	}
}

func writeStart(b *strings.Builder, t xml.StartElement) {
	b.WriteString("<" + tag(t.Name))
	for _, a := range t.Attr {
		fmt.Fprintf(b, ` %s="%s"`, tag(a.Name), strings.ReplaceAll(escapeText(a.Value), `"`, "&quot;"))
	}
	b.WriteByte('>')
}

func tag(n xml.Name) string {
	if n.Space != "" {
		return n.Space + ":" + n.Local
	}
	return n.Local
}

func escapeText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
