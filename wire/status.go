package wire

import (
	"strings"
	"unicode/utf8"

	"hippad"
)

// A code is what a status says to the other side.
type code uint8

// The codes, docs/protocol.md section 2.
const (
	codeOK           code = 0
	codeInternal     code = 1
	codeInvalid      code = 2
	codeUnauthorised code = 3
	codeNotFound     code = 4
	codeConflict     code = 5
	codeTooLarge     code = 6
	codeBusy         code = 7
	codeUnavailable  code = 8
	codeCancelled    code = 9
	codeVersion      code = 10
	codeTimeout      code = 11
)

// kindCodes is this door's table from error kinds to codes.
var kindCodes = [...]code{
	hippad.Internal:     codeInternal,
	hippad.Invalid:      codeInvalid,
	hippad.Unauthorised: codeUnauthorised,
	hippad.NotFound:     codeNotFound,
	hippad.Conflict:     codeConflict,
	hippad.TooLarge:     codeTooLarge,
	hippad.Busy:         codeBusy,
	hippad.Unavailable:  codeUnavailable,
}

// codeKinds is the way back.
var codeKinds = [...]hippad.Kind{
	codeOK:           hippad.Internal, // never an error
	codeInternal:     hippad.Internal,
	codeInvalid:      hippad.Invalid,
	codeUnauthorised: hippad.Unauthorised,
	codeNotFound:     hippad.NotFound,
	codeConflict:     hippad.Conflict,
	codeTooLarge:     hippad.TooLarge,
	codeBusy:         hippad.Busy,
	codeUnavailable:  hippad.Unavailable,
	codeCancelled:    hippad.Unavailable,
	codeVersion:      hippad.Invalid,
	codeTimeout:      hippad.Unavailable,
}

// A status is how a request, a frame or a connection ended.
type status struct {
	code          code
	message, hint string
}

const maxStatusText = 1024 // bytes of message and of hint that are sent

// statusOf returns what the other side may know about err.
func statusOf(err error) status {
	message, hint := hippad.Public(err)
	c := codeInternal
	if k := hippad.KindOf(err); int(k) < len(kindCodes) {
		c = kindCodes[k]
	}
	return status{c, cut(message), cut(hint)}
}

// cut shortens s to maxStatusText at a rune boundary.
func cut(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= maxStatusText {
		return s
	}
	s = s[:maxStatusText]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// err returns the status as an error of the matching kind. An internal error of the other side keeps that kind.
func (s status) err() *hippad.Error {
	k := hippad.Internal
	if int(s.code) < len(codeKinds) {
		k = codeKinds[s.code]
	}
	return &hippad.Error{Kind: k, Message: s.message, Hint: s.hint}
}

func (s status) appendTo(b []byte) []byte {
	b = append(b, byte(s.code))
	b = appendS16(b, s.message)
	return appendS16(b, s.hint)
}

func (c *cursor) status() status {
	return status{code: code(c.u8()), message: c.s16(), hint: c.s16()}
}
