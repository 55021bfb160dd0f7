package completeness

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hippad"
)

// ActivitySystem is the code system of Notice.Activity, that of everything hippad does that DICOM has no code for.
const ActivitySystem = "urn:x-hippad:activity"

// The activities of notices.
const (
	ActivitySilent = "source-silent" // sources are silent beyond their habit
	ActivityHeard  = "source-heard"  // they are heard again
	ActivityGap    = "source-gap"    // something is missing
)

// A Notice is what is to be recorded: a DICOM Security Alert (110113) with the subtype Activity. ParseNotice reads it from the entry
// again, so that it is said once whatever happens in between.
type Notice struct {
	Activity    string
	Description string // names systems, never patients
	Sources     []NoticeSource
}

// A NoticeSource is a source that a notice is about.
type NoticeSource struct {
	Reporter, Hostname, AppName string
	Last                        int64 // index of the newest entry of the source when this was decided
	Found                       int64 // how many were found missing, ever
}

// Entities are the sources as what the entry is about.
func (n Notice) Entities() []hippad.Entity {
	var list []hippad.Entity
	for _, s := range n.Sources {
		e := hippad.Entity{
			What: hippad.Reference{Identifier: hippad.Identifier{Value: s.Reporter}},
			Type: hippad.Code{System: "RFC-3881", Code: "2", Display: "System Object"},
			Role: hippad.Code{System: "RFC-3881", Code: "13", Display: "Security Resource"},
		}
		for _, d := range [][2]string{{"reporter", s.Reporter}, {"hostname", s.Hostname}, {"app-name", s.AppName},
			{"last", strconv.FormatInt(s.Last, 10)}, {"found", strconv.FormatInt(s.Found, 10)}} {
			if d[1] != "" {
				e.Details = append(e.Details, hippad.Detail{Type: d[0], Value: []byte(d[1])})
			}
		}
		list = append(list, e)
	}
	return list
}

// ParseNotice returns the notice that an event of the log's own is; false if it is none.
func ParseNotice(ev hippad.Event) (n Notice, ok bool) {
	for _, c := range ev.Subtypes {
		if c.System == ActivitySystem && slices.Contains([]string{ActivitySilent, ActivityHeard, ActivityGap}, c.Code) {
			n.Activity = c.Code
		}
	}
	if n.Activity == "" {
		return n, false
	}
	n.Description = ev.OutcomeDescription
	for _, e := range ev.Entities {
		var s NoticeSource
		for _, d := range e.Details {
			v := string(d.Value)
			switch d.Type {
			case "reporter":
				s.Reporter = v
			case "hostname":
				s.Hostname = v
			case "app-name":
				s.AppName = v
			case "last":
				s.Last, _ = strconv.ParseInt(v, 10, 64)
			case "found":
				s.Found, _ = strconv.ParseInt(v, 10, 64)
			}
		}
		if s.Reporter != "" {
			n.Sources = append(n.Sources, s)
		}
	}
	return n, true
}

// own takes in what the log says about itself: that it began to run, and notices, of which it thereby knows after a restart.
func (k *known) own(e hippad.Entry, ev hippad.Event) {
	if n, ok := ParseNotice(ev); ok {
		k.said(n, e.Received)
		return
	}
	if hippad.CodeSystem(ev.Type.System) == hippad.SystemDCM && ev.Type.Code == "110100" &&
		slices.ContainsFunc(ev.Subtypes, func(c hippad.Code) bool { return c.Code == "110120" }) {
		k.started = e.Received
	}
}

// said takes in that a notice is in the log.
func (k *known) said(n Notice, at time.Time) {
	for _, x := range n.Sources {
		s := k.find(x.Reporter, origin{x.Hostname, x.AppName})
		if s == nil {
			continue
		}
		switch n.Activity {
		case ActivitySilent:
			s.told = at
			if !s.silent {
				s.silent, s.back = true, false
				if s.lastIndex > x.Last {
					s.back, s.since = true, s.last
				}
			}
		case ActivityHeard:
			s.silent, s.back = false, false
		case ActivityGap:
			s.announced, s.noticed = max(s.announced, x.Found), at
		}
	}
}

func (k *known) find(reporter string, o origin) *source {
	r := k.reporters[reporter]
	if r == nil || o == (origin{}) {
		if r == nil {
			return nil
		}
		return &r.source
	}
	return r.origins[o]
}

// judge settles what is late and returns what there is to say.
func (k *known) judge(now time.Time, limitOf func(*source) (limit, usual time.Duration)) []Notice {
	var silent, heard, gaps []*source
	for _, r := range k.everyReporter() {
		r.settle(now)
	}
	for _, s := range k.all() {
		if now.Sub(s.last) > forgetting && (s.parent != nil || len(k.reporters[s.who.String()].origins) == 0) {
			k.forget(s)
			continue
		}
		switch {
		case s.silent && s.back:
			heard = append(heard, s)
		case s.silent || s.parent != nil && s.parent.silent: // said already, or said of who passes its messages on
		default:
			if limit, _ := limitOf(s); limit > 0 && now.Sub(s.quietFrom(k.started)) > limit && now.Sub(s.told) >= tellAgain {
				silent = append(silent, s)
			}
		}
		if s.found > s.announced && now.Sub(s.noticed) >= tellAgain {
			gaps = append(gaps, s)
		}
	}
	// An origin is not silent beyond its reporter, which is judged in the same round.
	silent = slices.DeleteFunc(silent, func(s *source) bool { return s.parent != nil && slices.Contains(silent, &s.parent.source) })
	var notices []Notice
	for _, x := range []struct {
		activity string
		sources  []*source
		describe func(*source) string
	}{
		{ActivitySilent, silent, func(s *source) string {
			text := "silent since " + moment(s.last)
			if _, usual := limitOf(s); usual > 0 {
				text += ", usually for " + Span(usual) + " at most"
			}
			return text
		}},
		{ActivityHeard, heard, func(s *source) string { return "heard again at " + moment(s.since) }},
		{ActivityGap, gaps, func(s *source) string {
			text := fmt.Sprintf("%d missing", s.found-s.announced)
			if i := lastCounted(s.gaps); i >= 0 {
				g := s.gaps[i]
				text = fmt.Sprintf("%s, %s to %s, between entries %d and %d", text, moment(g.From), moment(g.To), g.After, g.Before)
			}
			return text
		}},
	} {
		for part := range slices.Chunk(x.sources, maxNamed) {
			notices = append(notices, notice(x.activity, part, x.describe))
		}
	}
	return notices
}

func lastCounted(gaps []Gap) int {
	for i := len(gaps) - 1; i >= 0; i-- {
		if gaps[i].Kind != Unsigned {
			return i
		}
	}
	return -1
}

// settle gives up what is late, though nothing more came.
func (r *reporter) settle(now time.Time) {
	for name, h := range r.hosts {
		for _, s := range h.sequences {
			for _, x := range s.settle(now) {
				r.revealing(name, x).missing(gapOf(SequenceID, x))
			}
		}
	}
	r.settleSigned(now)
}

// revealing is the source on a host whose entry showed a hole, or else the reporter.
func (r *reporter) revealing(hostname string, h hole) *source {
	best := &r.source
	for _, from := range sortedOrigins(r) {
		if o := r.origins[from]; from.Host == hostname && o.numbered && (best == &r.source || o.lastIndex >= h.Before.Index && best.lastIndex < h.Before.Index) {
			best = o
		}
	}
	return best
}

// quietFrom is when the silence began that the source is to be judged by.
func (s *source) quietFrom(started time.Time) time.Time {
	from := s.deaf(started)
	if s.last.After(from) {
		return s.last
	}
	return from
}

func notice(activity string, sources []*source, describe func(*source) string) Notice {
	n := Notice{Activity: activity}
	var words []string
	for _, s := range sources {
		x := NoticeSource{Reporter: s.reporterID(), Hostname: s.origin.Host, AppName: s.origin.App, Last: s.lastIndex, Found: s.found}
		n.Sources = append(n.Sources, x)
		words = append(words, "source "+s.name()+": "+describe(s))
	}
	n.Description = strings.Join(words, "; ")
	return n
}

func (s *source) reporterID() string {
	if s.parent != nil {
		return s.parent.who.String()
	}
	return s.who.String()
}

// name is the source in words.
func (s *source) name() string {
	who := s.who
	if s.parent != nil {
		who = s.parent.who
	}
	name := cmp.Or(who.Name, who.String())
	if who.Organisation != "" {
		name += " (" + who.Organisation + ")"
	}
	for _, part := range []string{s.origin.Host, s.origin.App} {
		if part != "" {
			name += ", " + strconv.QuoteToGraphic(part)
		}
	}
	return name
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04Z") }

// Span is a duration in words short enough for a table: 14h, 20m, 3d.
func Span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", (d+12*time.Hour)/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", (d+30*time.Minute)/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", (d+30*time.Second)/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
