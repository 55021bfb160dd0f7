package hippad

import (
	"errors"
	"fmt"
)

// A Kind decides what leaves the process: each door has one table from kinds to its own codes.
type Kind uint8

// The kinds. Internal is the zero value: an error that nobody has given a kind says "internal error" outside.
const (
	Internal     Kind = iota // a fault of ours; the cause goes to the log, never to the caller
	Invalid                  // the request cannot be understood or breaks a rule; repeating it is useless
	Unauthorised             // this principal may not
	NotFound                 // there is no such entry
	Conflict                 // it contradicts what is already there: a gap in a stream, another owner of a directory
	TooLarge                 // over a size limit
	Busy                     // no room now; try again
	Unavailable              // the store does not take writes now, a full disk for one; nothing was acknowledged
)

var kindNames = [...]string{"internal error", "invalid", "not allowed", "not found", "conflict", "too large", "busy", "unavailable"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// An Error carries a kind, a message that is safe to show to the caller (no patient data, lower case, no full stop),
// and the cause, which is not.
type Error struct {
	Kind    Kind
	Message string
	Hint    string // what to do about it; may be empty
	Cause   error  // for the log only; may be nil
}

// Errorf returns an Error of kind k. A %w verb sets the cause, whose text is part of the message.
func Errorf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// WithHint returns a copy of e with the hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Cause }

// KindOf returns the kind of the outermost Error in err's chain, Internal if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Public returns what may be told to the other side about err: the message and hint of a kinded error, and nothing
// but "internal error" of any other.
func Public(err error) (message, hint string) {
	var e *Error
	if !errors.As(err, &e) || e.Kind == Internal {
		return Internal.String(), ""
	}
	return e.Message, e.Hint
}
