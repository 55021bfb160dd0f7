package atna

import (
	"bytes"
	"encoding/xml"
	"regexp"
	"strings"
	"unicode/utf8"
)

// judgeable tells whether encoding/xml is a judge of the document: it lets pass several roots, content outside the root,
// duplicate attributes, any markup declaration, and anything inside comments, and it knows no limits.
func judgeable(body []byte) bool {
	if !utf8.Valid(body) || bytes.Contains(body, []byte("<!DOCTYPE")) || bytes.HasPrefix(body, []byte("<\x00")) {
		return false
	}
	body = bytes.TrimPrefix(body, []byte(bomUTF8))
	if strings.Contains(strings.ToLower(string(body)), "encoding") && latin1(string(bytes.TrimSpace(body))) {
		return false
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	depth, from := 0, int64(0)
	for {
		tok, err := d.Token()
		if err != nil {
			return true
		}
		raw := body[from:d.InputOffset()]
		first := len(bytes.TrimSpace(body[:from])) == 0
		from = d.InputOffset()
		switch e := tok.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth || len(e.Attr) > maxAttrs {
				return false
			}
			if strings.Contains(e.Name.Local, ":") {
				return false
			}
			seen := map[xml.Name]bool{}
			for _, a := range e.Attr {
				if seen[a.Name] {
					return false
				}
				seen[a.Name] = true
				if a.Name.Space != "" && a.Name.Space != "xmlns" { // see scanner.dropForeign
					return false
				}
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(raw)) > 0 {
				return false
			}
		case xml.ProcInst:
			if e.Target == "xml" && !first {
				return false
			}
		case xml.Directive:
			return false
		case xml.Comment:
			if regexp.MustCompile(`--|-$`).Match(e) {
				return false
			}
		}
	}
}
