package traffic

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxSources  = 1024 // that are remembered; the one that was heard longest ago gives way
	maxRecent   = 200  // sightings that are kept
	hours       = 24
	abuseEvery  = time.Hour
	abuseNumber = 20  // connections of one source within abuseEvery that are persistent
	abuseScans  = 5   // the same when they are scans or attempts
	maxAbuse    = 100 // sources reported within abuseEvery; the rest are told of together
	abuseLook   = time.Minute
)

// A Monitor judges what comes together with what its source did before, counts it, and keeps the last of it. The memory that it
// takes does not depend on who comes. It is safe for concurrent use.
type Monitor struct {
	now  func() time.Time
	wake chan struct{} // a source has become persistent; capacity 1

	mu      sync.Mutex
	begun   time.Time
	total   map[key]int64
	days    [hours]hour
	recent  [maxRecent]Sighting
	number  int // of all sightings
	sources map[netip.Prefix]*list.Element
	order   list.List // of *source, heard last first
	reports reports
}

// A key is what is counted. Ports are those that this machine listens on, so there are boundedly many.
type key struct {
	network    string
	port       uint16
	label      Label
	hypothesis Hypothesis
}

type hour struct {
	begins time.Time
	counts map[key]int64
}

// A source is an address, or a network of /64 of IPv6, which one host has for itself.
type source struct {
	prefix      netip.Prefix
	newest      netip.Addr // of prefix, heard last
	first, last time.Time
	count       int64
	labels      [labels]uint32
	hypothesis  Hypothesis
	likely      bool
	history     history

	pending      int64 // since the last report
	bad          int64 // of them scans and attempts
	since        time.Time
	reported     bool
	pendingLabel [labels]uint32
}

// reports bounds how much is written into the log.
type reports struct {
	began  time.Time
	number int
	others int64 // of sources that were not reported apart
	among  int
}

// A Count is how many connections or datagrams came.
type Count struct {
	Network    string     `json:"network"`
	Port       uint16     `json:"port"`
	Label      Label      `json:"label"`
	Hypothesis Hypothesis `json:"hypothesis"`
	Count      int64      `json:"count"`
}

// A Source is what is remembered of one.
type Source struct {
	Source     netip.Prefix    `json:"source"` // IPv6 by /64
	First      time.Time       `json:"first"`
	Last       time.Time       `json:"last"`
	Count      int64           `json:"count"`
	Labels     map[Label]int64 `json:"labels"`
	Hypothesis Hypothesis      `json:"hypothesis"` // of the newest that said something
	Likely     bool            `json:"likely,omitzero"`
}

// An Abuse is what a source did persistently. Address is the one of its network that was heard last; it is invalid when several sources
// are told of together.
type Abuse struct {
	Address netip.Addr
	Text    string // of the program's own words, and numbers
}

// NewMonitor returns a monitor that takes the time from now.
func NewMonitor(now func() time.Time) *Monitor {
	return &Monitor{now: now, wake: make(chan struct{}, 1), begun: now(), total: map[key]int64{}, sources: map[netip.Prefix]*list.Element{}}
}

// See judges a sighting, counts it and keeps it. At is set where it is not.
func (m *Monitor) See(s Sighting) Sighting {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.At.IsZero() {
		s.At = m.now()
	}
	src := m.source(s.Source, s.At)
	s.judged(&src.history)
	src.note(s)
	m.count(s)
	kept := s
	kept.Payload = ""
	m.recent[m.number%maxRecent] = kept
	m.number++
	if !src.reported && src.persistent() {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
	return s
}

// source finds or makes room for a source. mu is held.
func (m *Monitor) source(a netip.Addr, at time.Time) *source {
	p := prefixOf(a)
	if e := m.sources[p]; e != nil {
		m.order.MoveToFront(e)
		return e.Value.(*source)
	}
	if len(m.sources) >= maxSources {
		oldest := m.order.Remove(m.order.Back()).(*source)
		delete(m.sources, oldest.prefix)
		if oldest.pending > 0 && (oldest.reported || oldest.persistent()) {
			m.reports.others += oldest.pending
			m.reports.among++
		}
	}
	src := &source{prefix: p, first: at, since: at}
	m.sources[p] = m.order.PushFront(src)
	return src
}

func prefixOf(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero address has the zero prefix
	return p
}

func (x *source) note(s Sighting) {
	x.last, x.newest = s.At, s.Source
	x.count++
	x.labels[s.Label]++
	if s.Hypothesis != NoIdea {
		x.hypothesis, x.likely = s.Hypothesis, s.Likely
	}
	if s.Hypothesis == HealthCheck {
		return // it is no abuse however long it lasts
	}
	x.pending++
	x.pendingLabel[s.Label]++
	if s.Hypothesis == Scan || s.Hypothesis == Exploit {
		x.bad++
	}
}

func (x *source) persistent() bool { return x.pending >= abuseNumber || x.bad >= abuseScans }

// count adds to the counts. mu is held.
func (m *Monitor) count(s Sighting) {
	k := key{s.Network, s.Port, s.Label, s.Hypothesis}
	m.total[k]++
	begins := s.At.UTC().Truncate(time.Hour)
	h := &m.days[begins.Unix()/3600%hours]
	if !h.begins.Equal(begins) {
		*h = hour{begins, map[key]int64{}}
	}
	h.counts[k]++
}

// Since is when the monitor began to count.
func (m *Monitor) Since() time.Time { return m.begun }

// Counts returns what came since the start, the most first.
func (m *Monitor) Counts() []Count {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sorted(m.total)
}

// LastDay returns what came within the last 24 hours, by label and hypothesis, the most first. It counts whole hours: what came up to
// an hour less than 24 hours ago may be left out. Port 0 stands for all.
func (m *Monitor) LastDay(port uint16) []Count {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[key]int64{}
	for _, h := range m.days {
		if m.now().UTC().Truncate(time.Hour).Sub(h.begins) >= hours*time.Hour {
			continue
		}
		for k, n := range h.counts {
			if port == 0 || k.port == port {
				all[k] += n
			}
		}
	}
	return sorted(all)
}

func sorted(counts map[key]int64) []Count {
	out := make([]Count, 0, len(counts))
	for k, n := range counts {
		out = append(out, Count{k.network, k.port, k.label, k.hypothesis, n})
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Label.String(), b.Label.String()), cmp.Compare(a.Hypothesis, b.Hypothesis),
			cmp.Compare(a.Port, b.Port), cmp.Compare(a.Network, b.Network))
	})
	return out
}

// Recent returns the last sightings, the newest first.
func (m *Monitor) Recent() []Sighting {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Sighting
	for i := range min(m.number, maxRecent) {
		out = append(out, m.recent[(m.number-1-i)%maxRecent])
	}
	return out
}

// Sources returns what is remembered of sources, those that came most often first.
func (m *Monitor) Sources() []Source {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Source
	for e := m.order.Front(); e != nil; e = e.Next() {
		x := e.Value.(*source)
		s := Source{x.prefix, x.first, x.last, x.count, map[Label]int64{}, x.hypothesis, x.likely}
		for l, n := range x.labels {
			if n > 0 {
				s.Labels[Label(l)] = int64(n)
			}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b Source) int { return cmp.Compare(b.Count, a.Count) })
	return out
}

// Run tells report of sources that are persistent: of each when it becomes so, and then once an hour what it has done since. When
// ctx ends it tells what is left. report must not block.
func (m *Monitor) Run(ctx context.Context, report func(Abuse)) {
	tick := time.NewTicker(abuseLook)
	defer tick.Stop()
	for {
		ended := false
		select {
		case <-m.wake:
		case <-tick.C:
		case <-ctx.Done():
			ended = true
		}
		for _, a := range m.due(m.now(), ended) {
			report(a)
		}
		if ended {
			return
		}
	}
}

// due returns what is to be reported now.
func (m *Monitor) due(now time.Time, ended bool) (out []Abuse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &m.reports
	over := now.Sub(r.began) >= abuseEvery
	if over || ended {
		if r.others > 0 {
			out = append(out, Abuse{Text: fmt.Sprintf("%d unexpected connections of %d further sources", r.others, r.among)})
		}
		*r = reports{began: now}
	}
	for e := m.order.Back(); e != nil; e = e.Prev() {
		x := e.Value.(*source)
		elapsed := now.Sub(x.since) >= abuseEvery
		switch {
		case x.pending == 0 || x.reported && !elapsed && !ended:
			if elapsed {
				x.begin(now, false)
			}
			continue
		case !x.reported && !x.persistent():
			if elapsed { // too few for an hour: the next one begins anew
				x.begin(now, false)
			}
			continue
		}
		if r.number++; r.number > maxAbuse {
			r.others += x.pending
			r.among++
		} else {
			out = append(out, Abuse{x.newest, x.describe()})
		}
		x.begin(now, x.persistent()) // what comes after a small remainder has to be persistent anew
	}
	return out
}

// begin starts the next hour of a source.
func (x *source) begin(now time.Time, reported bool) {
	x.pending, x.bad, x.since, x.reported = 0, 0, now, reported
	x.pendingLabel = [labels]uint32{}
}

// describe says what a source did since the last report, in our own words.
func (x *source) describe() string {
	what := x.hypothesis.String()
	if x.likely {
		what += ", likely"
	}
	counts := map[Label]uint32{}
	for l, n := range x.pendingLabel {
		if n > 0 {
			counts[Label(l)] = n
		}
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b Label) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var words []string
	for _, l := range names[:min(len(names), 5)] {
		words = append(words, fmt.Sprintf("%s %d", l, counts[l]))
	}
	if more := len(names) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	from := ""
	if x.prefix.IsValid() && !x.prefix.IsSingleIP() {
		from = " of " + x.prefix.String()
	}
	return fmt.Sprintf("%s; %d unexpected connections%s since %s: %s", what, x.pending, from, x.since.UTC().Format(time.RFC3339), strings.Join(words, ", "))
}
