package fhir

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions of this file walk JSON that is known to be valid, by its bytes alone.

// blank returns how many bytes of white space b begins with.
func blank(b []byte) int {
	for i, c := range b {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return i
		}
	}
	return len(b)
}

// valueEnd returns the length of the value that b begins with.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
		case ',', ' ', '\t', '\n', '\r', ':':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(b)
}

// stringEnd returns the length of the string that b begins with, its quotes included.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			break
		}
		i += n
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		i++
		if slashes%2 == 0 {
			return i
		}
	}
	return len(b)
}

// unquote returns the text of a string.
func unquote(value []byte) string {
	if bytes.IndexByte(value, '\\') < 0 {
		return known(value[1 : len(value)-1])
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return ""
	}
	return string(text)
}

// eachJSONMember calls f with every member of an object, and never for anything but an object.
func eachJSONMember(object []byte, f func(name string, value []byte)) {
	if len(object) == 0 || object[0] != '{' {
		return
	}
	for b := object[1:]; ; {
		if b = b[blank(b):]; len(b) == 0 || b[0] != '"' {
			return
		}
		n := stringEnd(b)
		name := b[:n]
		if b = b[n:]; len(b) == 0 {
			return
		}
		b = b[blank(b):]
		b = b[1:] // the colon
		b = b[blank(b):]
		n = valueEnd(b)
		f(unquote(name), b[:n])
		b = b[n:]
		if b = b[blank(b):]; len(b) == 0 || b[0] != ',' {
			return
		}
		b = b[1:]
	}
}

// nextJSONValue returns the first value of what is left of an array, behind its bracket or a comma, and what follows it; nil when
// there is none.
func nextJSONValue(b []byte) (value, rest []byte) {
	if b = b[blank(b):]; len(b) == 0 || b[0] == ']' {
		return nil, nil
	}
	n := valueEnd(b)
	value, b = b[:n], b[n:]
	if b = b[blank(b):]; len(b) > 0 && b[0] == ',' {
		b = b[1:]
	}
	return value, b
}

// isEmptyObject tells whether an object has no members.
func isEmptyObject(object []byte) bool {
	return len(object) > 1 && object[1+blank(object[1:])] == '}'
}
