package completeness

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"hippad"
)

const (
	maxReporters = 4096
	maxOrigins   = 16384 // beneath all reporters
	maxBeneath   = 2048  // beneath one
	maxSigning   = 64    // reporters that sign
	maxGaps      = 32    // of one source
	maxText      = 255   // bytes of a name: RFC 5424 section 6.2.4

	mergeGaps  = 10 * time.Minute     // gaps nearer than this are one
	tellAgain  = time.Hour            // between two entries of one kind about one source
	handOver   = time.Hour            // for which an old certificate may still be used beside its successor
	forgetting = 366 * 24 * time.Hour // a source that was not heard for so long is no source any more
)

// An origin is where a syslog message says that it is from. PROCID is left out: it changes with every start.
type origin struct{ Host, App string }

func (o origin) compare(p origin) int {
	return cmp.Or(cmp.Compare(o.Host, p.Host), cmp.Compare(o.App, p.App))
}

// A source is a reporter, or an origin beneath one.
type source struct {
	who    hippad.Principal // of a reporter
	parent *reporter        // of an origin
	origin origin

	first, last       time.Time // Received
	lastIndex         int64
	entries           int64
	door              hippad.Door
	habit             habit
	silent, back      bool      // an entry says that it is silent; and it was heard since
	since             time.Time // when it was heard again
	told              time.Time // of the newest entry that says it is silent
	found, late       int64     // numbers counted as missing, and those of them that came after all
	announced         int64     // of found, in an entry
	noticed           time.Time // of the newest such entry
	repeats, restarts int64
	blocks, unsigned  int64 // signature blocks that did not come; messages of which no block came
	unchecked         int64 // messages whose hashes came too late to be compared
	numbered, signs   bool
	gaps              []Gap
}

// A reporter is a principal that reports, with the origins beneath it.
type reporter struct {
	source
	origins map[origin]*source
	hosts   map[string]*host
	signing *signing

	// A certificate that is renewed is another principal. One with the name and organisation of another takes its place; when the other
	// is still in use long afterwards, they are two.
	old      string    // Principal.String before
	tookOver time.Time // when
	distinct bool
}

// known is everything that is known.
type known struct {
	next      int64                // the first entry that is not taken in
	newest    time.Time            // Received of the last that is
	started   time.Time            // when the log last began to run: before that it may have been deaf
	reporters map[string]*reporter // by Principal.String, old ones too
	names     map[string]*reporter // by nameOf
	origins   int
	untracked int64     // entries of sources for which there was no room
	gone      Totals    // what sources that are forgotten have counted
	full      time.Time // when there was last looked for room
}

func newKnown() *known {
	return &known{reporters: map[string]*reporter{}, names: map[string]*reporter{}}
}

func isSyslog(media string) bool {
	media, _, _ = strings.Cut(media, ";")
	return media == hippad.MediaSyslog
}

// bounded cuts a name to maxText bytes of valid UTF-8.
func bounded(s string) string {
	if len(s) <= maxText && utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "?") // never longer than what it stands for
}

// entry takes in what somebody has reported.
func (k *known) entry(e hippad.Entry, h *hippad.SyslogHeader) {
	r := k.reporter(e)
	if r == nil {
		k.untracked++
		return
	}
	r.heard(e, k.started)
	if h == nil {
		return
	}
	from := origin{bounded(h.Hostname), bounded(h.AppName)}
	o := &r.source // of what names no origin, or one for which there is no room
	if from != (origin{}) {
		if x := k.origin(r, from, e.Received); x != nil {
			o = x
			o.heard(e, k.started)
		} else {
			k.untracked++
		}
	}
	m := mark{e.Index, e.Received}
	if h.StructuredData != "" {
		r.numbers(o, from, bounded(h.ProcID), h.StructuredData, m)
	}
	if g := r.signing; g != nil || strings.Contains(h.StructuredData, "[ssign") {
		k.signed(r, o, from, h.StructuredData, e.Body, m)
	}
}

// numbers takes in a sequenceId.
func (r *reporter) numbers(o *source, from origin, proc, sd string, m mark) {
	n := sequenceID(sd)
	if n == 0 {
		return
	}
	h := r.hosts[from.Host]
	if h == nil {
		if len(r.hosts) >= maxBeneath {
			return
		}
		h = &host{routes: map[process]*sequence{}}
		r.hosts[strings.Clone(from.Host)] = h
	}
	o.numbered = true
	s := h.route(process{from.App, proc}, n)
	v, settled := s.take(n, m)
	switch v {
	case isFound:
		r.came(o, from.Host, n)
	case isRepeat:
		o.repeats++
	case isRestart:
		o.restarts++
	case isNoRestart:
		o.restarts--
		o.repeats++
	}
	for _, x := range append(settled, s.settle(m.At)...) {
		o.missing(gapOf(SequenceID, x))
	}
}

// came takes back what was counted as missing, wherever on the host it was counted.
func (r *reporter) came(o *source, hostname string, n int64) {
	candidates := []*source{o}
	for _, from := range sortedOrigins(r) {
		if x := r.origins[from]; from.Host == hostname && x != o {
			candidates = append(candidates, x)
		}
	}
	for _, s := range append(candidates, &r.source) {
		for i := len(s.gaps) - 1; i >= 0; i-- {
			if g := &s.gaps[i]; g.Kind == SequenceID && g.holds(n) {
				s.late++
				if g.Missing--; g.Missing == 0 {
					s.gaps = slices.Delete(s.gaps, i, i+1)
				}
				return
			}
		}
	}
	o.late++
}

// signed takes in a message of a reporter that signs.
func (k *known) signed(r *reporter, o *source, from origin, sd string, body []byte, m mark) {
	b, ok := parseBlock(sd)
	if r.signing == nil {
		signing := 0
		for id, x := range k.reporters {
			if id == x.who.String() && x.signing != nil {
				signing++
			}
		}
		if !ok || signing >= maxSigning {
			return
		}
		r.signing = newSigning()
	}
	if ok {
		o.signs = true
		blocks, unchecked := r.signing.block(from, b, m)
		o.blocks += blocks
		o.unchecked += unchecked
	}
	r.signing.message(body, m)
	r.settleSigned(m.At)
}

func (r *reporter) settleSigned(now time.Time) {
	if r.signing == nil {
		return
	}
	at := func(from origin) *source {
		if o := r.origins[from]; o != nil {
			return o
		}
		return &r.source
	}
	r.signing.settle(now,
		func(from origin, h hole) { at(from).missing(gapOf(Signed, h)) },
		func(from origin, h hole) {
			o := at(from)
			o.unsigned += h.size()
			o.keep(gapOf(Unsigned, h))
		})
}

// missing counts a gap.
func (s *source) missing(g Gap) {
	s.found += g.Missing
	s.keep(g)
}

// keep adds a gap to the newest, or makes one of them; when there are too many, the oldest become one.
func (s *source) keep(g Gap) {
	for i := len(s.gaps) - 1; i >= 0; i-- {
		if s.gaps[i].Kind == g.Kind {
			if g.From.Sub(s.gaps[i].To) <= mergeGaps {
				s.gaps[i].merge(g)
				return
			}
			break
		}
	}
	s.gaps = append(s.gaps, g)
	if len(s.gaps) <= maxGaps {
		return
	}
	for i := 1; i < len(s.gaps); i++ { // three kinds: the first four have two of one
		if j := slices.IndexFunc(s.gaps[:i], func(x Gap) bool { return x.Kind == s.gaps[i].Kind }); j >= 0 {
			s.gaps[j].merge(s.gaps[i])
			s.gaps = slices.Delete(s.gaps, i, i+1)
			return
		}
	}
}

// heard takes in that an entry came. Silence is learnt from, unless it was not the source's own: while this log did not run, or the
// reporter that passes its messages on was silent itself.
func (s *source) heard(e hippad.Entry, started time.Time) {
	if s.entries == 0 {
		s.first = e.Received
	} else if !s.last.Before(s.deaf(started)) {
		until := e.Received
		if s.silent && !s.back {
			if usual, ok := s.habit.usual(s.first, s.last); ok {
				if most := s.last.Add(2 * (usual + slack(usual))); until.After(most) {
					until = most
				}
			}
		}
		s.habit.learn(s.last, until)
	}
	if s.silent && !s.back {
		s.back, s.since = true, e.Received
	}
	s.last, s.lastIndex, s.door = e.Received, e.Index, e.Door
	s.entries++
}

// deaf is the time up to which silence says nothing about the source.
func (s *source) deaf(started time.Time) time.Time {
	if s.parent != nil && s.parent.since.After(started) {
		return s.parent.since
	}
	return started
}

// reporter returns the reporter of an entry, nil when there is no room for one more.
func (k *known) reporter(e hippad.Entry) *reporter {
	id := e.Reporter.String()
	if r := k.reporters[id]; r != nil {
		if r.who.ID == e.Reporter.ID || e.Received.Sub(r.tookOver) <= handOver {
			if r.who.ID == e.Reporter.ID && (r.who.Name != e.Reporter.Name || r.who.Organisation != e.Reporter.Organisation) {
				r.who.Name, r.who.Organisation = bounded(e.Reporter.Name), bounded(e.Reporter.Organisation)
			}
			return r
		}
		// The old certificate is still in use: there are two of that name.
		r.distinct, r.old = true, ""
		delete(k.reporters, id)
		return k.newReporter(e, true)
	}
	if r := k.names[nameOf(e.Reporter)]; r != nil && !r.distinct {
		if r.old != "" {
			delete(k.reporters, r.old)
		}
		r.old, r.tookOver = r.who.String(), e.Received
		r.who = boundedPrincipal(e.Reporter)
		k.reporters[id] = r
		return r
	}
	return k.newReporter(e, false)
}

func boundedPrincipal(p hippad.Principal) hippad.Principal {
	return hippad.Principal{Kind: p.Kind, ID: strings.Clone(p.ID), Name: bounded(p.Name), Organisation: bounded(p.Organisation)}
}

// nameOf is what a certificate and its successor have in common; empty for those that cannot have one.
func nameOf(p hippad.Principal) string {
	if p.Kind != hippad.KindCertificate || p.Name == "" || p.Organisation == "" {
		return ""
	}
	return bounded(p.Organisation) + "\x00" + bounded(p.Name)
}

func (k *known) newReporter(e hippad.Entry, distinct bool) *reporter {
	if len(k.reporters) >= maxReporters && !k.makeRoom(e.Received, nil) {
		return nil
	}
	who := boundedPrincipal(e.Reporter)
	if len(who.ID) > 4*maxText {
		return nil
	}
	r := &reporter{source: source{who: who}, origins: map[origin]*source{}, hosts: map[string]*host{}, distinct: distinct}
	k.add(r)
	return r
}

// add puts a reporter into the maps.
func (k *known) add(r *reporter) {
	k.reporters[r.who.String()] = r
	if r.old != "" {
		k.reporters[r.old] = r
	}
	if name := nameOf(r.who); name != "" && (k.names[name] == nil || !r.distinct) {
		k.names[name] = r
	}
}

// origin returns an origin beneath a reporter, nil when there is no room for one more.
func (k *known) origin(r *reporter, from origin, now time.Time) *source {
	if o := r.origins[from]; o != nil {
		return o
	}
	switch {
	case len(r.origins) >= maxBeneath && !k.makeRoom(now, func(s *source) bool { return s.parent == r }),
		k.origins >= maxOrigins && !k.makeRoom(now, func(s *source) bool { return s.parent != nil }):
		return nil
	}
	from = origin{strings.Clone(from.Host), strings.Clone(from.App)}
	o := &source{parent: r, origin: from}
	r.origins[from] = o
	k.origins++
	return o
}

// makeRoom forgets the sources of which least is known: those without a habit, a sixteenth at a time, the longest unheard first. A source that
// has a habit is never given up for a newcomer. They are the reporters without origins when among is nil. When there is nothing
// to forget, it is not tried again for a while.
func (k *known) makeRoom(now time.Time, among func(*source) bool) bool {
	if among == nil {
		among = func(s *source) bool { return s.parent == nil && len(k.reporters[s.who.String()].origins) == 0 }
	}
	if now.Sub(k.full) < time.Minute && !k.full.IsZero() {
		return false
	}
	var weak []*source
	for _, s := range k.all() {
		_, has := s.habit.usual(s.first, s.last)
		if !has && !s.silent && now.Sub(s.last) > time.Minute && among(s) {
			weak = append(weak, s)
		}
	}
	if len(weak) == 0 {
		k.full = now
		return false
	}
	slices.SortStableFunc(weak, func(a, b *source) int { return a.last.Compare(b.last) })
	for _, s := range weak[:len(weak)/16+1] {
		k.forget(s)
	}
	return true
}

func (k *known) forget(s *source) {
	k.gone.Missing, k.gone.Blocks = k.gone.Missing+s.found, k.gone.Blocks+s.blocks
	if r := s.parent; r != nil {
		delete(r.origins, s.origin)
		k.origins--
		for from := range r.origins {
			if from.Host == s.origin.Host {
				return
			}
		}
		delete(r.hosts, s.origin.Host)
		return
	}
	r := k.reporters[s.who.String()]
	delete(k.reporters, s.who.String())
	if r.old != "" {
		delete(k.reporters, r.old)
	}
	if name := nameOf(s.who); k.names[name] == r {
		delete(k.names, name)
	}
	k.origins -= len(r.origins)
}

// all returns every source, each reporter before its origins, in a fixed order.
func (k *known) all() []*source {
	var list []*source
	for _, r := range k.everyReporter() {
		list = append(list, &r.source)
		for _, from := range sortedOrigins(r) {
			list = append(list, r.origins[from])
		}
	}
	return list
}

func (k *known) everyReporter() []*reporter {
	var list []*reporter
	for _, id := range slices.Sorted(maps.Keys(k.reporters)) {
		if r := k.reporters[id]; r.who.String() == id {
			list = append(list, r)
		}
	}
	return list
}
