package regulation

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"hippad"
)

// Bounds of what a Tally tells apart, whatever the log holds.
const (
	maxOrganisations = 1000
	maxReporters     = 100_000
	maxSteps         = 200
	maxUsers         = 100_000 // of one day
	manyAddresses    = 5       // from which one id on one day is called many-placed
	otherNames       = "(others)"
)

// stepped are the activities whose entries say in words what was done.
var stepped = [...]string{"disclosure", "access", "breach", "review"}

// A Tally counts what is in a period of a log: the facts of a statement of what was done. Its memory is bounded. It is not safe for use by several
// goroutines; give each its own, and Merge them.
type Tally struct {
	zone          *time.Location
	measures      []Measure
	counts        []int64
	organisations map[string]int64
	reporters     map[[8]byte]struct{}
	steps         map[Step]int64
	entries       int64

	day   Date
	users map[uint64]*[manyAddresses]uint64 // addresses of the ids of the day
	many  int64
}

// NewTally returns an empty Tally. zone is where its days begin.
func NewTally(zone *time.Location) *Tally {
	m := Measures()
	return &Tally{zone: zone, measures: m, counts: make([]int64, len(m)), organisations: map[string]int64{}, reporters: map[[8]byte]struct{}{},
		steps: map[Step]int64{}, users: map[uint64]*[manyAddresses]uint64{}}
}

// Add counts an entry, given the event that its report means; the zero Event for one whose content is destroyed. Entries come in the order of the log.
func (t *Tally) Add(e hippad.Entry, ev hippad.Event) {
	s := &seen{entry: &e, event: &ev, own: e.Door == hippad.DoorSelf, failed: slices.Contains([]string{"4", "8", "12"}, ev.Outcome)}
	t.entries++
	for i := range t.measures {
		if t.measures[i].counts(s) {
			t.counts[i]++
		}
	}
	if s.own {
		for _, activity := range stepped {
			if ev.Type.Code == dcmSecurityAlert && s.does(activity) {
				bumpCount(t.steps, Step{activity, wording(ev.OutcomeDescription), 0}, 1, maxSteps, Step{activity, otherNames, 0})
			}
		}
		return
	}
	if e.Destroyed {
		return
	}
	bumpCount(t.organisations, e.Reporter.Organisation, 1, maxOrganisations, otherNames)
	if len(t.reporters) < maxReporters {
		t.reporters[e.Reporter.Key()] = struct{}{}
	}
	t.place(e.Received, &ev)
}

func bumpCount[K comparable](m map[K]int64, k K, n int64, limit int, rest K) {
	if _, ok := m[k]; !ok && len(m) >= limit {
		k = rest
	}
	m[k] += n
}

// wording is a description without the numbers in it, so that those of one kind count together.
func wording(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return '0'
		}
		return r
	}, s[:min(len(s), 200)])
	for strings.Contains(s, "00") {
		s = strings.ReplaceAll(s, "00", "0")
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "0", "N"), "")
}

// place counts the days on which one user id was used at many addresses.
func (t *Tally) place(received time.Time, ev *hippad.Event) {
	if d := DateOf(received, t.zone); d != t.day {
		t.day = d
		clear(t.users)
	}
	for i := range ev.Agents {
		a := &ev.Agents[i]
		id := strings.ToLower(cmp.Or(a.Who.Identifier.Value, a.Who.Literal, a.AltID))
		if !a.Requestor || id == "" || a.Address == "" {
			continue
		}
		user, address := tallyHash(id), tallyHash(a.Address)
		places := t.users[user]
		if places == nil {
			if len(t.users) >= maxUsers {
				continue
			}
			places = new([manyAddresses]uint64)
			t.users[user] = places
		}
		for j := range places {
			if places[j] == address {
				break
			}
			if places[j] == 0 {
				places[j] = address
				if j == manyAddresses-1 {
					t.many++
				}
				break
			}
		}
	}
}

// tallyHash is never 0, which means nothing yet.
func tallyHash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64() | 1
}

// Merge adds what another Tally has counted, of other days.
func (t *Tally) Merge(o *Tally) {
	t.entries += o.entries
	t.many += o.many
	for i := range t.counts {
		t.counts[i] += o.counts[i]
	}
	for k, n := range o.organisations {
		bumpCount(t.organisations, k, n, maxOrganisations, otherNames)
	}
	for k, n := range o.steps {
		bumpCount(t.steps, k, n, maxSteps, Step{k.Activity, otherNames, 0})
	}
	for k := range o.reporters {
		if len(t.reporters) < maxReporters {
			t.reporters[k] = struct{}{}
		}
	}
}

// A Count is how often something was met.
type Count struct {
	ID    string `json:"id"`
	Count int64  `json:"count"`
}

// A Step is something that was done for one of the questions of the law, in the words of the entries about it, N standing for a number.
type Step struct {
	Activity string `json:"activity"`
	Words    string `json:"words"`
	Count    int64  `json:"count"`
}

// Facts are what a log holds of a period: counts, and names of organisations and doors, nothing of a body.
type Facts struct {
	Log           string    `json:"log"`
	From          Date      `json:"from"`
	To            Date      `json:"to"` // inclusive
	Zone          string    `json:"zone"`
	At            time.Time `json:"at"`    // when this was counted
	First         int64     `json:"first"` // index of the first entry of the period
	Entries       int64     `json:"entries"`
	Counts        []Count   `json:"counts"` // of each of Measures
	Reporters     int64     `json:"reporters"`
	Organisations []Count   `json:"organisations"` // by name, the largest first; "" is of nobody whom the register knows
	Steps         []Step    `json:"steps"`
	ManyPlaced    int64     `json:"manyPlaced"` // user ids at 5 addresses or more on one day, each day counted

	// What the rooms know when it is counted.
	Certificates int64 `json:"certificates"` // of purges in the period
	Silent       int64 `json:"silent"`       // sources that are silent now
	Missing      int64 `json:"missing"`      // reports found missing, ever
	Holds        int64 `json:"holds"`        // in force now
}

// Facts returns what was counted. Log, At, First, and what the rooms know, are the caller's to fill in.
func (t *Tally) Facts(from, to Date) Facts {
	f := Facts{From: from, To: to, Zone: zoneName(t.zone, from), Entries: t.entries, Reporters: int64(len(t.reporters)), ManyPlaced: t.many,
		Organisations: []Count{}, Steps: []Step{}}
	for i, m := range t.measures {
		f.Counts = append(f.Counts, Count{m.ID, t.counts[i]})
	}
	for name, n := range t.organisations {
		f.Organisations = append(f.Organisations, Count{name, n})
	}
	slices.SortFunc(f.Organisations, func(a, b Count) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.ID, b.ID)) })
	for _, s := range slices.SortedFunc(maps.Keys(t.steps), func(a, b Step) int {
		return cmp.Or(cmp.Compare(a.Activity, b.Activity), cmp.Compare(a.Words, b.Words))
	}) {
		f.Steps = append(f.Steps, Step{s.Activity, s.Words, t.steps[s]})
	}
	return f
}

// Count returns the count of a measure, 0 for one that there is not.
func (f Facts) Count(id string) int64 {
	if i := slices.IndexFunc(f.Counts, func(c Count) bool { return c.ID == id }); i >= 0 {
		return f.Counts[i].Count
	}
	return 0
}

// zoneName is what a reader knows a time zone by. That of the machine has no name, only an abbreviation and what it is away from UTC.
func zoneName(zone *time.Location, on Date) string {
	if zone != time.Local {
		return zone.String()
	}
	return on.In(zone).Format("the server (MST, UTC-07:00)")
}
