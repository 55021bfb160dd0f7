package completeness

import (
	"maps"
	"slices"
	"time"
)

// Kinds of gaps.
const (
	SequenceID = "sequenceId"      // RFC 5424 section 7.3.1: numbers that were not seen
	Signed     = "signed"          // RFC 5848: messages that were signed and did not come
	Unsigned   = "signature-block" // RFC 5848: messages of which no signature block came; whether they came cannot be told
)

// A Gap is where something is missing, or several that are near each other.
type Gap struct {
	Kind    string    `json:"kind"`
	Missing int64     `json:"missing"`
	First   int64     `json:"first"`  // the sender's number of the first that is missing
	Last    int64     `json:"last"`   // and of the last; smaller than First when the counter began again between them
	After   int64     `json:"after"`  // index of the entry before the gap
	Before  int64     `json:"before"` // and of the one after it
	From    time.Time `json:"from"`   // when these were received
	To      time.Time `json:"to"`
}

func gapOf(kind string, h hole) Gap {
	return Gap{kind, h.size(), h.First, h.Last, h.After.Index, h.Before.Index, h.After.At, h.Before.At}
}

func (g Gap) holds(n int64) bool {
	if g.First <= g.Last {
		return g.First <= n && n <= g.Last
	}
	return n >= g.First || n <= g.Last
}

// merge makes one of two gaps, of which x is the later.
func (g *Gap) merge(x Gap) {
	g.Missing += x.Missing
	g.Last = x.Last
	if x.Before > g.Before {
		g.Before, g.To = x.Before, x.To
	}
}

// A Source is what is known of one source, now.
type Source struct {
	Reporter     string    `json:"reporter"` // hippad.Principal.String
	Name         string    `json:"reporterName,omitempty"`
	Organisation string    `json:"organisation,omitempty"`
	Hostname     string    `json:"hostname,omitempty"` // of an origin beneath the reporter, like AppName
	AppName      string    `json:"appName,omitempty"`
	First        time.Time `json:"first"` // Received of the first entry that is known
	Last         time.Time `json:"last"`
	LastIndex    int64     `json:"lastIndex"`
	Entries      int64     `json:"entries"`
	Door         string    `json:"door"` // of the newest

	Usual       int64     `json:"usualSilence,omitempty"` // seconds; 0: not known yet
	Limit       int64     `json:"silenceLimit,omitempty"` // seconds after which it is said to be silent; 0: never
	SilentSince time.Time `json:"silentSince,omitzero"`   // zero: it is not

	Numbered  bool  `json:"numbered,omitempty"` // it sends sequenceIds
	Signs     bool  `json:"signs,omitempty"`    // it sends signature blocks; the signatures are not verified
	Missing   int64 `json:"missing,omitempty"`  // a message that is numbered and signed is missing in both
	Waiting   int64 `json:"waiting,omitempty"`  // numbers that have not come yet, and are not missing yet
	Late      int64 `json:"late,omitempty"`     // came after they were counted as missing, and are not in Missing
	Repeats   int64 `json:"repeats,omitempty"`
	Restarts  int64 `json:"restarts,omitempty"`
	Blocks    int64 `json:"missingBlocks,omitempty"` // signature blocks that did not come here; they may have gone elsewhere
	Unsigned  int64 `json:"unsigned,omitempty"`      // messages of which no signature block came
	Unchecked int64 `json:"unchecked,omitempty"`     // signed messages whose hashes came too late to be compared
	Gaps      []Gap `json:"gaps,omitempty"`
}

// IsOrigin tells whether it is an origin beneath a reporter.
func (s Source) IsOrigin() bool { return s.Hostname != "" || s.AppName != "" }

// Sources returns every source, each reporter before its origins, by kind and id. What is missing of a reporter includes its origins'.
func (c *Completeness) Sources() []Source {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := map[*source]int64{}
	for _, r := range c.known.everyReporter() {
		for name, h := range r.hosts {
			for _, s := range h.sequences {
				for _, x := range s.Open {
					waiting[r.revealing(name, x)] += x.size()
				}
			}
		}
	}
	var list []Source
	for _, s := range c.known.all() {
		v := c.view(s)
		v.Waiting = waiting[s]
		list = append(list, v)
	}
	return list
}

// view is a source as it is told. mu is held.
func (c *Completeness) view(s *source) Source {
	limit, usual := c.limitOf(s)
	who := s.who
	if s.parent != nil {
		who = s.parent.who
	}
	v := Source{
		Reporter: who.String(), Name: who.Name, Organisation: who.Organisation, Hostname: s.origin.Host, AppName: s.origin.App,
		First: s.first, Last: s.last, LastIndex: s.lastIndex, Entries: s.entries, Door: s.door.String(),
		Usual: int64(usual / time.Second), Limit: int64(limit / time.Second),
		Numbered: s.numbered, Signs: s.signs, Missing: s.found - s.late, Late: s.late, Repeats: s.repeats, Restarts: s.restarts,
		Blocks: s.blocks, Unsigned: s.unsigned, Unchecked: s.unchecked, Gaps: slices.Clone(s.gaps),
	}
	if s.silent && !s.back || limit > 0 && c.Now().Sub(s.quietFrom(c.known.started)) > limit {
		v.SilentSince = s.last
	}
	if s.parent == nil {
		for _, o := range c.known.reporters[s.who.String()].origins {
			v.Missing += o.found - o.late
			v.Late += o.late
		}
	}
	return v
}

// Totals are what the metrics say.
type Totals struct {
	Reporters, Origins int
	Silent             int   // reporters and origins that an entry says are silent
	Missing            int64 // found missing, ever; what came late is not taken off, because a counter does not go back
	Blocks             int64 // signature blocks
	Untracked          int64 // entries of sources for which there was no room
	Behind             int64 // entries that are not taken in yet
}

// Totals counts.
func (c *Completeness) Totals() Totals {
	size := c.Size()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &c.known
	t := Totals{Origins: k.origins, Untracked: k.untracked, Behind: max(0, size-k.next), Missing: k.gone.Missing, Blocks: k.gone.Blocks}
	for _, s := range k.all() {
		if s.parent == nil {
			t.Reporters++
		}
		if s.silent && !s.back {
			t.Silent++
		}
		t.Missing += s.found
		t.Blocks += s.blocks
	}
	return t
}

// LastHeard returns when somebody of each organisation was last heard; the empty name stands for those without one. There are at most
// a few thousand reporters, and the register gives organisations their names, so this is fit for a metric.
func (c *Completeness) LastHeard() map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := map[string]time.Time{}
	for _, r := range c.known.everyReporter() {
		if r.last.After(last[r.who.Organisation]) {
			last[r.who.Organisation] = r.last
		}
	}
	return last
}

func sortedOrigins(r *reporter) []origin {
	return slices.SortedFunc(maps.Keys(r.origins), origin.compare)
}
