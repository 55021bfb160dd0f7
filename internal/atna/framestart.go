package atna

import "bytes"

// A verdict on bytes of which the rest may not have arrived.
type verdict uint8

const (
	no verdict = iota
	maybe
	yes
)

// maxHeader is more than the longest octet count, space and PRI: "999999999 <191>".
const maxHeader = 16

// trailers returns how many bytes at the start of b are trailers of the frame before: RFC 6587 section 3.4.2.
func trailers(b []byte) int {
	for i, c := range b {
		if c != '\n' && c != '\r' && c != 0 {
			return i
		}
	}
	return len(b)
}

// octetCount reads "MSG-LEN SP" (RFC 5425 section 4.3): no leading zero, at most nine digits.
func octetCount(b []byte) (header, size int, v verdict) {
	i := 0
	for i < len(b) && i < 10 && b[i] >= '0' && b[i] <= '9' {
		size = size*10 + int(b[i]-'0')
		i++
	}
	switch {
	case i == 0 || i == 10 || b[0] == '0':
		return 0, 0, no
	case i == len(b):
		return 0, 0, maybe
	case b[i] != ' ':
		return 0, 0, no
	}
	return i + 1, size, yes
}

// frameStart tells whether a frame starts at the beginning of a, which b continues: "N <PRI>" or "<PRI>". Neither occurs inside
// XML.
func frameStart(a, b []byte) verdict {
	if len(a) < maxHeader && len(b) > 0 {
		var joined [2 * maxHeader]byte
		n := copy(joined[:], a)
		n += copy(joined[n:], b)
		a = joined[:n]
	}
	if len(a) > 0 && a[0] != '<' {
		header, _, v := octetCount(a)
		if v != yes {
			return v
		}
		a = a[header:]
	}
	if len(a) == 0 {
		return maybe
	}
	if a[0] != '<' {
		return no
	}
	i := 1
	for i < len(a) && i < 4 && a[i] >= '0' && a[i] <= '9' {
		i++
	}
	switch {
	case i == len(a):
		return maybe
	case i == 1 || a[i] != '>':
		return no
	}
	return yes
}

// boundary tells whether a message may end between body and rest.
func boundary(body, rest []byte, ended bool) bool {
	rest = rest[trailers(rest):]
	if len(rest) == 0 {
		return true
	}
	switch v := frameStart(rest, nil); {
	case v == yes:
		return true
	case v == maybe && !ended:
		return true
	}
	// A count before something without PRI is believed unless the message before is visibly incomplete.
	_, _, v := octetCount(rest)
	return v == yes && !unclosed(body)
}

const rootName = "AuditMessage"

// unclosed tells whether an audit message begins in body and does not end there.
func unclosed(body []byte) bool {
	return bytes.Contains(body, []byte(rootName)) && closedAt(body) == len(body) && !bytes.HasSuffix(body, []byte(rootName+">"))
}

// closedAt returns the offset in body after the end tag of its audit message; the length of body if there is none.
func closedAt(body []byte) int {
	i := bytes.LastIndex(body, []byte(rootName+">"))
	if i < 0 {
		return len(body)
	}
	if open := bytes.LastIndexByte(body[:i], '<'); open < 0 || body[open+1] != '/' {
		return len(body)
	}
	return i + len(rootName) + 1
}

// messageStart returns the first offset, from or later, at which a frame plausibly starts in the midst of other bytes: before
// a header "N <PRI>V ", before "<PRI>V " and a time, or after a line end or markup before any "<PRI>". -1 if there is none.
func messageStart(b []byte, from int) int {
	for i := from; ; i++ {
		j := bytes.IndexByte(b[min(i, len(b)):], '<')
		if j < 0 {
			return -1
		}
		i += j
		n, ok := priority(b[i:])
		if !ok {
			continue
		}
		after := b[i+n:]
		v := version(after)
		if start := countBefore(b, i); v > 0 && start < i && start >= from {
			return start
		}
		if v > 0 && v < len(after) && (after[v] == '-' || after[v] >= '0' && after[v] <= '9') {
			return i
		}
		if (i == 0 || atBreak(b[i-1])) && len(after) > 0 && (v > 0 || after[0]|0x20 >= 'a' && after[0]|0x20 <= 'z') {
			return i
		}
	}
}

// countedHeader returns the first offset, from or later, of a header "N <PRI>V "; -1 if there is none.
func countedHeader(b []byte, from int) int {
	for i := from; ; i++ {
		j := bytes.IndexByte(b[min(i, len(b)):], '<')
		if j < 0 {
			return -1
		}
		i += j
		if n, ok := priority(b[i:]); ok && version(b[i+n:]) > 0 {
			if start := countBefore(b, i); start < i && start >= from {
				return start
			}
		}
	}
}

// countBefore returns where the octet count starts that ends, with its space, at offset i of b; i if there is none.
func countBefore(b []byte, i int) int {
	if i < 2 || b[i-1] != ' ' {
		return i
	}
	start := i - 1
	for start > 0 && b[start-1] >= '0' && b[start-1] <= '9' {
		start--
	}
	if n := i - 1 - start; n == 0 || n > 9 || b[start] == '0' {
		return i
	}
	return start
}

// startPrefix returns how many bytes at the end of b may be the beginning of a frame start.
func startPrefix(b []byte) int {
	for k := max(1, len(b)-maxHeader); k < len(b); k++ {
		if atBreak(b[k-1]) && frameStart(b[k:], nil) == maybe {
			return len(b) - k
		}
	}
	return 0
}

// atBreak tells whether a message can end with c: a line end, or the end of XML or JSON.
func atBreak(c byte) bool { return c == '\n' || c == 0 || c == '>' || c == '}' }
