package completeness

import (
	"strconv"
	"strings"
)

// params calls f with every parameter of the first element named id in STRUCTURED-DATA (RFC 5424 section 6.3), and tells whether there
// is one that is complete. What follows something malformed is not looked at.
func params(sd, id string, f func(name, value string)) bool {
	for len(sd) > 0 && sd[0] == '[' {
		name, rest := word(sd[1:])
		found := name == id
		for {
			rest = strings.TrimLeft(rest, " ")
			if rest == "" {
				return false
			}
			if rest[0] == ']' {
				rest = rest[1:]
				break
			}
			var param, value string
			var ok bool
			param, rest = word(rest)
			if !strings.HasPrefix(rest, `="`) {
				return false
			}
			if value, rest, ok = quoted(rest[2:]); !ok {
				return false
			}
			if found {
				f(param, value)
			}
		}
		if found {
			return true
		}
		sd = rest
	}
	return false
}

// word cuts an SD-NAME off.
func word(s string) (name, rest string) {
	i := strings.IndexAny(s, "= ]\"")
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i:]
}

// quoted cuts a PARAM-VALUE off, without its escapes: a backslash escapes '"', '\' and ']', and is itself before anything else (RFC
// 5424 section 6.3.3).
func quoted(s string) (value, rest string, ok bool) {
	end := strings.IndexAny(s, "\"\\")
	if end < 0 {
		return "", "", false
	}
	if s[end] == '"' {
		return s[:end], s[end+1:], true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s) && strings.IndexByte("\"\\]", s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// sequenceID returns the meta sequenceId of STRUCTURED-DATA (RFC 5424 section 7.3.1), 0 if there is none in its range.
func sequenceID(sd string) (n int64) {
	if !strings.Contains(sd, "sequenceId") {
		return 0
	}
	complete := params(sd, "meta", func(name, value string) {
		if name == "sequenceId" && n == 0 {
			n = number(value, 1, maxSequenceID)
		}
	})
	if !complete {
		return 0
	}
	return max(n, 0)
}

// number reads decimal digits within bounds; -1 for anything else.
func number(s string, low, high int64) int64 {
	if s == "" || len(s) > 10 || strings.Trim(s, "0123456789") != "" {
		return -1
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < low || n > high {
		return -1
	}
	return n
}
