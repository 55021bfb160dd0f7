// Package port owns what can be said of a port number on this machine: what IANA's registry says (a dated, embedded table), whether
// anything real is behind the name (a status with its evidence), and who listens.
//
// It does not open a connection or bind a port, except where a caller asks for Probe by name; it does not judge traffic, which is
// another room's; and it stores nothing.
//
// Invariant: it never says that nothing listens where it could not look. Every answer carries what was hidden and how to see it, and a
// status other than the registry's own words rests on named and dated evidence, never on columns of the registry.
package port

import (
	"fmt"
	"strconv"
	"strings"

	"hippad"
)

// Tier is one of the three ranges of RFC 6335 section 6.
type Tier string

const (
	System  Tier = "system"
	User    Tier = "user"
	Dynamic Tier = "dynamic"
)

// TierOf returns the range that a number is in.
func TierOf(n uint16) Tier {
	switch {
	case n < 1024:
		return System
	case n < 49152:
		return User
	}
	return Dynamic
}

// Range returns the first and last number of a tier.
func (t Tier) Range() Range {
	switch t {
	case System:
		return Range{0, 1023}
	case User:
		return Range{1024, 49151}
	}
	return Range{49152, 65535}
}

// A Range is some numbers in a row, both ends included.
type Range struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// Has tells whether a number is in the range.
func (r Range) Has(n uint16) bool { return r.First <= n && n <= r.Last }

func (r Range) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Parse reads what somebody writes for ports: a number, A-B, or the name of a service of the registry, which may have several
// numbers.
func Parse(text string, r *Registry) ([]Range, error) {
	if text == "" {
		return nil, hippad.Errorf(hippad.Invalid, "a port is missing").WithHint("give a number from 1 to 65535, A-B, or the name of a service")
	}
	if strings.Trim(text, "0123456789-+ ") == "" && strings.ContainsAny(text, "0123456789") {
		one, err := parseNumbers(text)
		return []Range{one}, err
	}
	found := r.Named(text)
	if len(found) > 0 {
		var out []Range
		for _, x := range found {
			if n := len(out); n == 0 || out[n-1] != (Range{x.First, x.Last}) {
				out = append(out, Range{x.First, x.Last})
			}
		}
		return out, nil
	}
	err := hippad.Errorf(hippad.NotFound, "no service of the registry has the name %q", clip(text))
	if near := r.Nearest(text); len(near) > 0 {
		return nil, err.WithHint("did you mean %s?", strings.Join(near, ", or "))
	}
	return nil, err.WithHint("give a number from 1 to 65535, A-B, or a name as in /etc/services")
}

// clip keeps an error from being as long as what somebody pasted.
func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "..."
	}
	return s
}

func parseNumbers(text string) (Range, error) {
	const hint = "ports have numbers from 1 to 65535; for some in a row write 2980-2995"
	text = strings.TrimSpace(text)
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	if strings.TrimSpace(to) == "" {
		return Range{}, hippad.Errorf(hippad.Invalid, "%s has no end", clip(text)).WithHint(hint)
	}
	if from == "" { // -1
		return Range{}, hippad.Errorf(hippad.Invalid, "there is no port %s", clip(text)).WithHint(hint)
	}
	first, err := number(from)
	if err != nil {
		return Range{}, hippad.Errorf(hippad.Invalid, "there is no port %s", clip(from)).WithHint(hint)
	}
	last, err := number(to)
	if err != nil {
		return Range{}, hippad.Errorf(hippad.Invalid, "%s: there is no port %s", clip(text), clip(to)).WithHint(hint)
	}
	if first > last {
		return Range{}, hippad.Errorf(hippad.Invalid, "%s ends before it begins", clip(text)).WithHint("did you mean %d-%d?", last, first)
	}
	if first == 0 {
		return Range{}, hippad.Errorf(hippad.Invalid, "port 0 is reserved and never used: to a bind it means any free port").WithHint(hint)
	}
	return Range{first, last}, nil
}

// number reads digits, without a sign.
func number(s string) (uint16, error) {
	s = strings.TrimSpace(s)
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}
