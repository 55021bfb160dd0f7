package account

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"hippad"
)

// tickets holds what somebody has begun, under a random id that only he knows; the map has its SHA-256. Not more than most
// at a time.
type tickets[T any] struct {
	most int

	mu   sync.Mutex
	open map[[hashSize]byte]ticket[T]
}

type ticket[T any] struct {
	value T
	until time.Time
}

func newID() string { return base64.RawURLEncoding.EncodeToString(random(32)) }

func (t *tickets[T]) issue(value T, now, until time.Time) (id string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) >= t.most {
		for k, v := range t.open {
			if !now.Before(v.until) {
				delete(t.open, k)
			}
		}
		if len(t.open) >= t.most {
			return "", hippad.Errorf(hippad.Busy, "too many people are signing in at this moment: try again")
		}
	}
	if t.open == nil {
		t.open = map[[hashSize]byte]ticket[T]{}
	}
	id = newID()
	t.open[sha256.Sum256([]byte(id))] = ticket[T]{value, until}
	return id, nil
}

func (t *tickets[T]) get(id string, now time.Time) (value T, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.open[sha256.Sum256([]byte(id))]
	if !ok || !now.Before(v.until) {
		return value, false
	}
	return v.value, true
}

// set replaces the value of a ticket that is still open.
func (t *tickets[T]) set(id string, value T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := sha256.Sum256([]byte(id))
	if v, ok := t.open[key]; ok {
		v.value = value
		t.open[key] = v
	}
}

func (t *tickets[T]) end(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, sha256.Sum256([]byte(id)))
}

// refused is an answer that says nothing but that it is no. The reason is for the log: see Reason.
func refused(message, reason string) error {
	return &hippad.Error{Kind: hippad.Unauthorised, Message: message, Cause: errors.New(reason)}
}

// Reason says for the log why somebody was refused. It is not for the answer, and holds nothing that was typed.
func Reason(err error) string {
	var e *hippad.Error
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		return hippad.Internal.String()
	case e.Cause != nil && (e.Kind == hippad.Unauthorised || e.Kind == hippad.Busy || e.Kind == hippad.Conflict):
		return e.Cause.Error()
	default:
		return e.Message
	}
}

// roughly says a time the way people do.
func roughly(d time.Duration) string {
	switch {
	case d <= time.Minute:
		return "a minute"
	case d <= 59*time.Minute:
		return fmt.Sprintf("%d minutes", int((d+time.Minute-1)/time.Minute))
	case d <= time.Hour:
		return "an hour"
	default:
		return fmt.Sprintf("%d hours", int((d+time.Hour-1)/time.Hour))
	}
}

func sortRecords(list []record) {
	slices.SortFunc(list, func(a, b record) int { return cmp.Compare(a.Name, b.Name) })
}
