package traffic

import (
	"fmt"
	"time"
)

const (
	window     = time.Minute            // within which a source's connections are seen together
	scanLabels = 3                      // different labels within it are a scan
	scanEmpty  = 3                      // empty connections within it are one too
	probeSpan  = 3 * time.Minute        // in which a service scan sends its probes
	remembered = 16                     // connections of a source
	minPeriod  = 900 * time.Millisecond // of a health check: every second, give or take a tenth; what comes faster is no habit
)

// A history is what a source did lately. Its size is fixed.
type history struct {
	last   [remembered]moment // a ring
	number int                // of all that were added
}

type moment struct {
	at    time.Time
	label Label
	quiet bool // nothing was said, or nothing inside TLS
}

func (h *history) add(m moment) {
	h.last[h.number%remembered] = m
	h.number++
}

// back returns the i-th newest, 0 the newest; false when there is none.
func (h *history) back(i int) (moment, bool) {
	if i >= min(h.number, remembered) {
		return moment{}, false
	}
	return h.last[(h.number-1-i)%remembered], true
}

// silent tells the labels of connections on which nothing came.
func silent(l Label) bool { return l == Empty || l == Waits }

// judge says what the newest connection means together with those before it. ok is false when they add nothing.
func (h *history) judge() (what Hypothesis, evidence string, ok bool) {
	newest, _ := h.back(0)
	if period, times := h.period(); times >= 3 && newest.quiet {
		return HealthCheck, fmt.Sprintf("empty connections every %s", period.Round(time.Second/10)), true
	} else if times == 2 && newest.quiet {
		return NoIdea, "", false // it may become a habit: the next one tells
	}
	if h.probes() {
		return Scan, "probes in the order of a service scan, as nmap -sV sends them", true
	}
	var seen [labels]bool
	different, empty := 0, 0
	for i := range remembered {
		m, there := h.back(i)
		if !there || newest.at.Sub(m.at) > window {
			break
		}
		if silent(m.label) {
			empty++
		}
		if !seen[m.label] && m.label != Unread {
			seen[m.label] = true
			different++
		}
	}
	switch {
	case different >= scanLabels:
		return Scan, fmt.Sprintf("%d protocols within %s", different, window), true
	case empty >= scanEmpty && silent(newest.label):
		return Scan, fmt.Sprintf("%d empty connections within %s", empty, window), true
	}
	return NoIdea, "", false
}

// period tells how often in a row, counted back from the newest, the source came after the same time, give or take a tenth of it.
func (h *history) period() (period time.Duration, times int) {
	for i := 0; ; i++ {
		m, ok := h.back(i)
		before, okBefore := h.back(i + 1)
		if !ok || !okBefore || m.label != before.label || m.quiet != before.quiet {
			return period, times
		}
		gap := m.at.Sub(before.at)
		if times == 0 {
			period = gap
		}
		if gap < minPeriod || (gap-period).Abs() > period/10 {
			return period, times
		}
		times++
	}
}

// probes tells whether the newest connections are, in this order and with whatever between them, blank lines, HTTP, RTSP: a
// scanner that asks each service in turn, a connection each.
func (h *history) probes() bool {
	wanted := [...]Label{RTSP, HTTP, BlankLines}
	newest, _ := h.back(0)
	next := 0
	for i := range remembered {
		m, ok := h.back(i)
		if !ok || newest.at.Sub(m.at) > probeSpan {
			break
		}
		if m.label == wanted[next] {
			if next++; next == len(wanted) {
				return true
			}
		}
	}
	return false
}

// judged puts the verdict of the window into a sighting. What its own bytes say of an attack stays.
func (s *Sighting) judged(h *history) {
	h.add(moment{s.At, s.Label, silent(s.Label) || s.Label == TLS && s.Hypothesis == NoIdea})
	what, evidence, ok := h.judge()
	if !ok {
		return
	}
	s.Likely = true
	if s.Evidence != "" {
		evidence = s.Evidence + "; " + evidence
	}
	s.Evidence = evidence
	if s.Hypothesis != Exploit {
		s.Hypothesis = what
	}
}
