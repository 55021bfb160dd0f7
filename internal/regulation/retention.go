// Package regulation owns what the law says, as pure functions: no clock, no disk, no log. Today that is how long what is
// kept (45 CFR 164.316(b)(2)(i), 164.530(j)(2)).
//
// It does not know who asks, what is held, or how content is destroyed: that is internal/custody. The invariant: the same entry
// has the same class, and the same class and month the same end, whenever and wherever they are asked for; and content
// is never kept shorter than its class says when it is received.
package regulation

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hippad"
)

// The classes that are not configured.
const (
	// Default is the class of what no other class matches. It can be configured to be longer.
	Default = "default"
	// Self is the class of what the log says about itself: searches, holds, confirmations, certificates of what was destroyed. It has
	// no end: there is little of it, and without it nobody could say afterwards why something is gone, or who had looked at it.
	Self = "self"
	// Held and HeldAgain are the classes of what a purge had to keep. They have no end of their own: an entry goes when no
	// hold matches it any more and the class that it would have today is over. There are two, in turn, because
	// what is kept of one key must get another.
	Held      = "held"
	HeldAgain = "held-2"

	untilPrefix = "until-" // until-YYYY, until-YYYY-YEARS: the event says so itself
)

const (
	// MinYears is the shortest retention without an override: 45 CFR 164.316(b)(2)(i) and 164.530(j)(2).
	MinYears = 6
	maxYears = 100 // also of what an event may ask for, from the end of the month

	// No entry is older than this program, so nothing that ends before counts; and what a hostile event can make is a bounded
	// number of classes, each with its own data keys.
	firstUntil, lastUntil = 2027, 2200
)

// A Class says how long content is kept that matches it.
type Class struct {
	Name  string
	Years int
	// Match must all be met, each by any of its terms. Of several classes that match the longest counts.
	Match [][]hippad.Term
	// Override is the written reason why Years is less than MinYears.
	Override string
}

// Classes are the classes of one log. The nil Classes has only the default.
type Classes struct {
	byYears  []Class // without the default, the longest first, and then as configured
	defaults Class
}

// Of returns the configured class of a name, and whether there is one. The default always is.
func (c *Classes) Of(name string) (Class, bool) {
	if c == nil || name == Default {
		return c.fallback(), name == Default
	}
	for _, k := range c.byYears {
		if k.Name == name {
			return k, true
		}
	}
	return Class{}, false
}

func (c *Classes) fallback() Class {
	if c == nil {
		return Class{Name: Default, Years: MinYears}
	}
	return c.defaults
}

// Classify returns the name of the class of an entry, given the event that its report means. It needs neither the index nor the time of
// receipt of the entry, so it gives the same before and after the log has accepted it.
func (c *Classes) Classify(e hippad.Entry, ev hippad.Event) string {
	if e.Door == hippad.DoorSelf {
		return Self
	}
	k := c.fallback()
	if c != nil && len(c.byYears) > 0 {
		have := map[hippad.Term]bool{}
		for _, t := range hippad.EntryTerms(e, ev) {
			have[t] = true
		}
		for _, other := range c.byYears {
			if other.matches(have) {
				k = other
				break
			}
		}
	}
	year := statedEnd(ev)
	switch {
	case year < firstUntil:
		return k.Name
	case k.Years == MinYears:
		return fmt.Sprintf("%s%04d", untilPrefix, min(year, lastUntil))
	}
	// When the entry is received decides which of the two is later, and that is not known yet: the class carries both.
	return fmt.Sprintf("%s%04d-%d", untilPrefix, min(year, lastUntil), k.Years)
}

func (k Class) matches(have map[hippad.Term]bool) bool {
	for _, any := range k.Match {
		met := false
		for _, t := range any {
			met = met || have[t]
		}
		if !met {
			return false
		}
	}
	return true
}

// The types of an entity's detail that say until when the record is to be kept: a FHIR date or dateTime.
var statedTypes = [...]string{"ehds-retention-ends", "retention-ends"}

// statedEnd returns the UTC year in which an event says that its retention ends, the latest if it says so more than once; 0 if it
// does not, or in no way that can be read.
func statedEnd(ev hippad.Event) int {
	year := 0
	for _, n := range ev.Entities {
		for _, d := range n.Details {
			for _, t := range statedTypes {
				if d.Type == t {
					year = max(year, yearOf(d.Value))
				}
			}
		}
	}
	return year
}

// yearOf reads a FHIR R4 date (YYYY, YYYY-MM, YYYY-MM-DD) or dateTime, which has a zone; one without counts as UTC. 0 if it is neither.
func yearOf(value []byte) int {
	if len(value) > 40 {
		return 0
	}
	text := strings.TrimSpace(string(value))
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly, "2006-01", "2006", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Year()
		}
	}
	return 0
}

// End returns when content of a class that was received in a month may go: the first moment at which it need not be kept. The zero
// time if it has no end. Month is any moment of the month, in UTC. Kind NotFound if the class is not configured (any more): then
// its content stays.
//
// The years are calendar years and count from the end of the month. After a 29th of February that the year of the end does not have,
// the 1st of March counts, and is kept to its end.
func (c *Classes) End(class string, month time.Time) (time.Time, error) {
	month = month.UTC()
	switch class {
	case Self, Held, HeldAgain:
		return time.Time{}, nil
	}
	if until, years, ok := parseUntil(class); ok {
		end := time.Date(until+1, 1, 1, 0, 0, 0, 0, time.UTC)
		if limit := endOf(month, maxYears); end.After(limit) {
			end = limit
		}
		if least := endOf(month, years); end.Before(least) {
			end = least
		}
		return end, nil
	}
	k, ok := c.Of(class)
	if !ok {
		return time.Time{}, hippad.Errorf(hippad.NotFound, "there is no class %q", class).
			WithHint("put it back into the configuration of retention: what was received under it stays until then")
	}
	return endOf(month, k.Years), nil
}

// endOf is when some years after a month are over: counted from the month's last day or from its end, whichever is later.
// They differ in February alone.
func endOf(month time.Time, years int) time.Time {
	next := time.Date(month.Year()+years, month.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	last := time.Date(month.Year(), month.Month()+1, 0, 0, 0, 0, 0, time.UTC)
	anniversary := time.Date(last.Year()+years, last.Month(), last.Day(), 0, 0, 0, 0, time.UTC) // 29 February becomes 1 March
	if end := anniversary.AddDate(0, 0, 1); end.After(next) {
		return end
	}
	return next
}

// parseUntil reads the name of a class that an event has asked for.
func parseUntil(class string) (until, years int, ok bool) {
	rest, ok := strings.CutPrefix(class, untilPrefix)
	if !ok {
		return 0, 0, false
	}
	text, more, qualified := strings.Cut(rest, "-")
	until, ok = number(text, 4)
	years = MinYears
	if ok && qualified {
		years, ok = number(more, 3)
	}
	if !ok || until < firstUntil || until > lastUntil || years < 1 || years > maxYears {
		return 0, 0, false
	}
	return until, years, true
}

func number(text string, digits int) (int, bool) {
	if text == "" || len(text) > digits || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// Longest returns the years of the longest class.
func (c *Classes) Longest() int {
	longest := c.fallback().Years
	if c != nil {
		for _, k := range c.byYears {
			longest = max(longest, k.Years)
		}
	}
	return longest
}

// byLength orders classes: the longest first.
func byLength(a, b Class) int { return cmp.Compare(b.Years, a.Years) }
