package hospital

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"
)

func digest(h *Hospital) string {
	sum := sha256.New()
	for e := range h.Events() {
		fmt.Fprintln(sum, e.Case, e.Recorded.UnixNano(), e.Agents[0].Who.Identifier.Value, e.Agents[0].Address, e.Action, e.Outcome)
		for _, n := range e.Entities {
			sum.Write([]byte(n.What.Identifier.Value))
		}
	}
	r := h.Rosters()
	for _, text := range [][]byte{r.Staff, r.Patients, r.Relations, r.VIP, r.Deceased} {
		sum.Write(text)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// The same seed gives the same hospital, however often it is asked; another gives another.
func TestSameSeedSameHospital(t *testing.T) {
	h := New(7, Season())
	one := digest(h)
	if digest(h) != one || digest(New(7, Season())) != one {
		t.Error("the same seed gives two hospitals")
	}
	if digest(New(8, Season())) == one {
		t.Error("two seeds give the same hospital")
	}
}

// Events come in the order of time, within the days there are; every case has events, and only those it says.
func TestEvents(t *testing.T) {
	for _, size := range []Size{Week(), Season()} {
		h := New(1, size)
		var last time.Time
		seen := map[int]int{}
		n := 0
		for e := range h.Events() {
			if n++; e.Recorded.Before(last) || e.Recorded.Before(Start()) || !e.Recorded.Before(Day(size.Days+2)) {
				t.Fatalf("event %d is at %v, after %v", n, e.Recorded, last)
			}
			last = e.Recorded
			seen[e.Case]++
			if e.Case == 0 {
				continue
			}
			c := h.Cases()[e.Case-1]
			if d := int(e.Recorded.Sub(Start()) / (24 * time.Hour)); d < c.First || d > c.Last {
				t.Errorf("case %d of %s has an event on day %d, and is of days %d to %d", e.Case, c.Rule, d, c.First, c.Last)
			}
		}
		t.Logf("%v: %d events", h, n)
		for _, c := range h.Cases() {
			if seen[c.Number] == 0 {
				t.Errorf("case %d of %s has no events", c.Number, c.Rule)
			}
		}
		rules := map[string]int{}
		for _, c := range h.Cases() {
			rules[c.Rule]++
		}
		for _, p := range planters() {
			if rules[p.rule] != size.Cases {
				t.Errorf("%d cases of %s, want %d", rules[p.rule], p.rule, size.Cases)
			}
		}
	}
}

// A ward can stop wherever its reader does.
func TestEventsStop(t *testing.T) {
	var got []Event
	for e := range New(1, Week()).Events() {
		if got = append(got, e); len(got) == 3 {
			break
		}
	}
	if len(got) != 3 || !slices.IsSortedFunc(got, func(a, b Event) int { return a.Recorded.Compare(b.Recorded) }) {
		t.Error("three events are not the first three")
	}
}

// The year is about as large as it says.
func TestYear(t *testing.T) {
	if testing.Short() {
		t.Skip("a year takes a while")
	}
	n := 0
	for range New(1, Year()).Events() {
		n++
	}
	t.Logf("%d events", n)
	if n < 900_000 || n > 1_300_000 {
		t.Errorf("%d events in a year", n)
	}
}
