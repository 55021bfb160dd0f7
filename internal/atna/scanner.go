package atna

import "strings"

// Limits of one document. Audit messages are five deep with a dozen attributes; the limits bound the work on others.
const (
	maxDepth = 64
	maxAttrs = 128
)

// A token is what scanner.next found.
type token uint8

const (
	tokenEnd   token = iota // end tag, also that of an empty-element tag
	tokenStart              // start tag: scanner.name and scanner.attrs are set
	tokenText               // character data inside the root: scanner.text
	tokenDone               // the document ends here, or cannot be read further: see scanner.fault
)

// Why a document is not well-formed (XML 1.0). None quotes the document.
const (
	faultTruncated  = "truncated XML"
	faultAmpersand  = "bare ampersand or unknown entity"
	faultCharRef    = "reference to a character that XML does not have"
	faultControl    = "control character"
	faultLess       = "unescaped < in an attribute"
	faultCDATAEnd   = "]]> in text"
	faultDuplicate  = "duplicate attribute"
	faultAttr       = "malformed attribute"
	faultName       = "malformed name"
	faultTag        = "malformed tag"
	faultMismatch   = "end tag does not match its start tag"
	faultComment    = "-- in a comment"
	faultMarkup     = "malformed markup declaration"
	faultSubset     = "document type with an internal subset"
	faultPlace      = "document type or CDATA at the wrong place"
	faultProlog     = "XML declaration not at the start"
	faultOutside    = "content outside the root element"
	faultDepth      = "elements nested too deep"
	faultAttributes = "too many attributes"
	faultElements   = "too many participants, codes or details"
)

// An attr is one attribute as written.
type attr struct {
	qname string // as written, with prefix
	name  string // local name
	raw   string // value as written; see decode
	plain bool   // raw is the value
}

func (a *attr) value() string {
	if a.plain {
		return a.raw
	}
	return decode(a.raw, true)
}

// A scanner cuts an XML document into tokens without building a tree, and checks that it is well-formed. Names and
// values are parts of the document string.
//
// It knows two classes of fault. After a bare ampersand and its like it is clear how the sender meant it: the first fault is
// remembered and reading goes on, so that a patient id that was not escaped is still found. Anything else ends the document.
type scanner struct {
	s   string
	pos int

	name  string // local name of the element that starts
	attrs []attr // its attributes; valid until the next call
	text  string // character data
	raw   bool   // text needs no decoding: it has no references, or is CDATA

	at    int // offset at which the last token starts
	fault string
	where int // offset of the fault

	few     [16]attr         // what attrs is made of, most of the time
	open    [maxDepth]string // qualified names of the open elements
	depth   int
	root    bool // the root element has started
	pending bool // an end token is due for an empty-element tag
	stopped bool
}

// soft remembers the first fault.
func (x *scanner) soft(fault string, at int) {
	if x.fault == "" {
		x.fault, x.where = fault, at
	}
}

// stop ends the document.
func (x *scanner) stop(fault string, at int) token {
	x.soft(fault, at)
	x.stopped = true
	return tokenDone
}

func (x *scanner) truncated() token { return x.stop(faultTruncated, len(x.s)) }

// next returns the next token. Comments, processing instructions and white space outside the root are passed over.
func (x *scanner) next() token {
	if x.pending {
		x.pending = false
		x.depth--
		return tokenEnd
	}
	for !x.stopped {
		if x.pos >= len(x.s) {
			if x.depth > 0 || !x.root {
				return x.truncated()
			}
			x.stopped = true
			break
		}
		x.at = x.pos
		if x.s[x.pos] != '<' {
			if tok, ok := x.chars(); ok {
				return tok
			}
			continue
		}
		if x.pos+1 >= len(x.s) {
			return x.truncated()
		}
		switch x.s[x.pos+1] {
		case '/':
			return x.endTag()
		case '?':
			if !x.instruction() {
				return tokenDone
			}
		case '!':
			if tok, ok := x.declaration(); ok {
				return tok
			}
		default:
			return x.startTag()
		}
	}
	return tokenDone
}

// Classes of bytes in character data.
const (
	bytePlain = iota
	byteControl
	byteSpace // tab, line feed, carriage return
	byteAmp
	byteGreater
)

// classOf is a switch and not a table in a variable; the compiler makes it a few comparisons.
func classOf(c byte) int {
	if c > '>' {
		return bytePlain
	}
	switch {
	case c == '&':
		return byteAmp
	case c == '>':
		return byteGreater
	case c >= ' ':
		return bytePlain
	case c == '\n' || c == '\t' || c == '\r':
		return byteSpace
	}
	return byteControl
}

// chars reads character data up to the next markup. It reports whether there is a token to return.
func (x *scanner) chars() (token, bool) {
	end := strings.IndexByte(x.s[x.pos:], '<')
	if end < 0 {
		end = len(x.s)
	} else {
		end += x.pos
	}
	text := x.s[x.pos:end]
	plain, blank := true, true
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch classOf(c) {
		case byteAmp:
			plain, blank = false, false
			if _, n := reference(text[i:]); n <= 0 {
				x.badReference(n, x.pos+i, end == len(x.s) && strings.IndexByte(text[i:], ';') < 0)
			}
		case byteGreater:
			blank = false
			if i >= 2 && text[i-1] == ']' && text[i-2] == ']' {
				x.soft(faultCDATAEnd, x.pos+i)
			}
		case byteControl:
			blank = false
			x.soft(faultControl, x.pos+i)
		case byteSpace:
			if c == '\r' {
				plain = false // line ends are normalised: XML 1.0 section 2.11
			}
		default:
			if c != ' ' {
				blank = false
			}
		}
	}
	x.pos = end
	if x.depth == 0 {
		if blank {
			return 0, false
		}
		return x.stop(faultOutside, x.at), true
	}
	x.text, x.raw = text, plain
	return tokenText, true
}

// badReference remembers a fault of a reference, unless the document was merely cut inside it.
func (x *scanner) badReference(n, at int, cut bool) {
	switch {
	case cut && len(x.s)-at < 10:
	case n < 0:
		x.soft(faultCharRef, at)
	default:
		x.soft(faultAmpersand, at)
	}
}

// startTag reads a start tag. When the document ends inside the tag, the attributes that are complete are returned as if
// the tag ended there; the next call reports the truncation.
func (x *scanner) startTag() token {
	at := x.pos
	qname, i := scanName(x.s, at+1)
	if qname == "" {
		return x.stop(faultName, at)
	}
	if x.depth == 0 && x.root {
		return x.stop(faultOutside, at)
	}
	if x.depth == maxDepth {
		return x.stop(faultDepth, at)
	}
	if i == len(x.s) { // the name itself may be cut
		return x.truncated()
	}
	x.name = localName(qname)
	x.open[x.depth] = qname
	x.depth++
	x.root = true
	if x.attrs == nil {
		x.attrs = x.few[:0]
	}
	x.attrs = x.attrs[:0]
	prefixed := false
	for {
		i = skipSpace(x.s, i)
		if i == len(x.s) {
			x.pos = i
			break
		}
		c := x.s[i]
		if c == '>' {
			x.pos = i + 1
			break
		}
		if c == '/' {
			if i+1 == len(x.s) {
				x.pos = i + 1
				break
			}
			if x.s[i+1] != '>' {
				return x.stop(faultTag, i)
			}
			x.pos = i + 2
			x.pending = true
			break
		}
		next, ok := x.attribute(i)
		if !ok {
			return tokenDone
		}
		i = next
		if n := len(x.attrs); n > 0 && len(x.attrs[n-1].name) != len(x.attrs[n-1].qname) {
			prefixed = true
		}
	}
	if prefixed {
		x.dropForeign()
	}
	return tokenStart
}

// attribute reads one attribute at i and returns where it ends: the end of the document if that comes first, in which case
// the attribute, which may be cut, is not kept.
func (x *scanner) attribute(i int) (int, bool) {
	at := i
	qname, i := scanName(x.s, i)
	if qname == "" {
		x.stop(faultAttr, at)
		return 0, false
	}
	i = skipSpace(x.s, i)
	if i == len(x.s) {
		return i, true
	}
	if x.s[i] != '=' {
		x.stop(faultAttr, i)
		return 0, false
	}
	i = skipSpace(x.s, i+1)
	if i == len(x.s) {
		return i, true
	}
	quote := x.s[i]
	if quote != '"' && quote != '\'' {
		x.stop(faultAttr, i)
		return 0, false
	}
	i++
	n := strings.IndexByte(x.s[i:], quote)
	if n < 0 {
		return len(x.s), true
	}
	raw := x.s[i : i+n]
	plain := x.attrValue(raw, i)
	for k := range x.attrs {
		if x.attrs[k].qname == qname {
			x.soft(faultDuplicate, at)
			return i + n + 1, true // the first one counts
		}
	}
	if len(x.attrs) == maxAttrs {
		x.stop(faultAttributes, at)
		return 0, false
	}
	x.attrs = append(x.attrs, attr{qname: qname, name: localName(qname), raw: raw, plain: plain})
	return i + n + 1, true
}

// attrValue checks an attribute value that starts at offset at, and tells whether it needs no decoding.
func (x *scanner) attrValue(raw string, at int) (plain bool) {
	plain = true
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c > '<' {
			continue
		}
		switch {
		case c == '<':
			x.soft(faultLess, at+i)
		case c == '&':
			plain = false
			if _, n := reference(raw[i:]); n <= 0 {
				x.badReference(n, at+i, false)
			}
		case c == '\n' || c == '\t' || c == '\r':
			plain = false
		case c < ' ':
			x.soft(faultControl, at+i)
		}
	}
	return plain
}

// dropForeign removes attributes of other vocabularies (xml:, xmlns:, xsi:) and prefixed ones whose local name is also
// there without prefix, so that xsi:type is never taken for type.
func (x *scanner) dropForeign() {
	kept := x.attrs[:0]
	for _, a := range x.attrs {
		if len(a.name) != len(a.qname) {
			prefix := strings.TrimSuffix(a.qname, ":"+a.name)
			foreign := prefix == "xml" || prefix == "xmlns" || prefix == "xsi"
			for _, b := range x.attrs {
				foreign = foreign || b.qname == a.name
			}
			if foreign {
				continue
			}
		}
		kept = append(kept, a)
	}
	x.attrs = kept
}

func (x *scanner) endTag() token {
	at := x.pos
	qname, i := scanName(x.s, at+2)
	i = skipSpace(x.s, i)
	if i == len(x.s) {
		return x.truncated()
	}
	if qname == "" || x.s[i] != '>' {
		return x.stop(faultTag, at)
	}
	if x.depth == 0 {
		return x.stop(faultOutside, at)
	}
	if x.open[x.depth-1] != qname {
		return x.stop(faultMismatch, at)
	}
	x.depth--
	x.pos = i + 1
	return tokenEnd
}

// instruction passes over a processing instruction or the XML declaration.
func (x *scanner) instruction() bool {
	at := x.pos
	n := strings.Index(x.s[at:], "?>")
	if n < 0 {
		x.truncated()
		return false
	}
	target, _ := scanName(x.s, at+2)
	if target == "" {
		x.stop(faultName, at)
		return false
	}
	if target == "xml" && at != 0 {
		x.soft(faultProlog, at)
	}
	x.pos = at + n + 2
	return true
}

// declaration reads what starts with "<!". It reports whether there is a token to return.
func (x *scanner) declaration() (token, bool) {
	const comment, cdata, doctype = "<!--", "<![CDATA[", "<!DOCTYPE"
	rest := x.s[x.pos:]
	switch {
	case strings.HasPrefix(rest, comment):
		n := strings.Index(rest[len(comment):], "-->")
		if n < 0 {
			return x.truncated(), true
		}
		body := rest[len(comment) : len(comment)+n]
		if strings.Contains(body, "--") || strings.HasSuffix(body, "-") {
			x.soft(faultComment, x.pos)
		}
		x.pos += len(comment) + n + 3
		return 0, false
	case strings.HasPrefix(rest, cdata):
		n := strings.Index(rest, "]]>")
		if n < 0 {
			return x.truncated(), true
		}
		if x.depth == 0 {
			return x.stop(faultPlace, x.pos), true
		}
		x.text, x.raw = rest[len(cdata):n], true
		for i := 0; i < len(x.text); i++ {
			switch classOf(x.text[i]) {
			case byteControl:
				x.soft(faultControl, x.pos+len(cdata)+i)
			case byteSpace:
				x.raw = x.raw && x.text[i] != '\r'
			}
		}
		if !x.raw { // references are not recognised here, so decode must not see it
			x.text, x.raw = normalLineEnds(x.text), true
		}
		x.pos += n + 3
		return tokenText, true
	case strings.HasPrefix(rest, doctype):
		return x.doctype(rest)
	case strings.HasPrefix(comment, rest), strings.HasPrefix(cdata, rest), strings.HasPrefix(doctype, rest):
		return x.truncated(), true
	}
	return x.stop(faultMarkup, x.pos), true
}

// doctype passes over a document type declaration. One with an internal subset could define entities, which are never
// expanded here (billion laughs): such a document is not read.
func (x *scanner) doctype(rest string) (token, bool) {
	if x.root {
		return x.stop(faultPlace, x.pos), true
	}
	quote := byte(0)
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '[':
			return x.stop(faultSubset, x.pos), true
		case c == '>':
			x.pos += i + 1
			return 0, false
		}
	}
	return x.truncated(), true
}
