package completeness

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"hippad"
)

// snapshotVersion is raised with every change of what a snapshot means: an old one is then no longer read, and the log is.
const snapshotVersion = 1

// maxSnapshot is the most that is read or written.
const maxSnapshot = 256 << 20

// The snapshot is JSON, in a fixed order, so that the same knowledge is the same bytes.
type (
	snapshot struct {
		Version   int                `json:"version"`
		Next      int64              `json:"next"` // true up to here: the first entry that is not in it
		Newest    time.Time          `json:"newest,omitzero"`
		Started   time.Time          `json:"started,omitzero"`
		Untracked int64              `json:"untracked,omitempty"`
		Missing   int64              `json:"goneMissing,omitempty"`
		Blocks    int64              `json:"goneBlocks,omitempty"`
		Reporters []snapshotReporter `json:"reporters"`
	}
	snapshotReporter struct {
		snapshotSource
		Kind         hippad.PrincipalKind `json:"kind"`
		ID           string               `json:"id"`
		Name         string               `json:"name,omitempty"`
		Organisation string               `json:"organisation,omitempty"`
		Old          string               `json:"old,omitempty"`
		TookOver     time.Time            `json:"tookOver,omitzero"`
		Distinct     bool                 `json:"distinct,omitempty"`
		Origins      []snapshotSource     `json:"origins,omitempty"`
		Hosts        []snapshotHost       `json:"hosts,omitempty"`
		Signing      *snapshotSigning     `json:"signing,omitempty"`
	}
	snapshotSource struct {
		Origin    origin      `json:"origin,omitzero"`
		First     time.Time   `json:"first"`
		Last      time.Time   `json:"last"`
		LastIndex int64       `json:"lastIndex"`
		Entries   int64       `json:"entries"`
		Door      hippad.Door `json:"door"`
		Slots     [][5]uint16 `json:"slots,omitempty"` // hour, gap, week, seen, visits
		Longest   [4]uint16   `json:"longest"`         // gap, week, seen, visits
		Silences  int64       `json:"silences,omitempty"`
		Silent    bool        `json:"silent,omitempty"`
		Back      bool        `json:"back,omitempty"`
		Since     time.Time   `json:"since,omitzero"`
		Told      time.Time   `json:"told,omitzero"`
		Found     int64       `json:"found,omitempty"`
		Late      int64       `json:"late,omitempty"`
		Announced int64       `json:"announced,omitempty"`
		Noticed   time.Time   `json:"noticed,omitzero"`
		Repeats   int64       `json:"repeats,omitempty"`
		Restarts  int64       `json:"restarts,omitempty"`
		Blocks    int64       `json:"blocks,omitempty"`
		Unsigned  int64       `json:"unsigned,omitempty"`
		Unchecked int64       `json:"unchecked,omitempty"`
		Numbered  bool        `json:"numbered,omitempty"`
		Signs     bool        `json:"signs,omitempty"`
		Gaps      []Gap       `json:"gaps,omitempty"`
	}
	snapshotHost struct {
		Name      string          `json:"name"`
		Sequences []*sequence     `json:"sequences"`
		Routes    []snapshotRoute `json:"routes"`
	}
	snapshotRoute struct {
		Process  process `json:"process"`
		Sequence int     `json:"sequence"` // place in Sequences
	}
	snapshotSigning struct {
		SHA1    bool             `json:"sha1,omitempty"`
		SHA256  bool             `json:"sha256,omitempty"`
		Window  []hashed         `json:"window,omitempty"` // oldest first
		Signers []snapshotSigner `json:"signers,omitempty"`
	}
	snapshotSigner struct {
		Origin origin  `json:"origin"`
		Signer *signer `json:"signer"`
	}
)

// encode returns the snapshot.
func (k *known) encode() ([]byte, error) {
	out := snapshot{Version: snapshotVersion, Next: k.next, Newest: k.newest, Started: k.started, Untracked: k.untracked,
		Missing: k.gone.Missing, Blocks: k.gone.Blocks, Reporters: []snapshotReporter{}}
	for _, r := range k.everyReporter() {
		x := snapshotReporter{snapshotSource: r.snapshot(), Kind: r.who.Kind, ID: r.who.ID, Name: r.who.Name, Organisation: r.who.Organisation,
			Old: r.old, TookOver: r.tookOver, Distinct: r.distinct}
		for _, from := range sortedOrigins(r) {
			x.Origins = append(x.Origins, r.origins[from].snapshot())
		}
		for _, name := range slices.Sorted(maps.Keys(r.hosts)) {
			x.Hosts = append(x.Hosts, r.hosts[name].snapshot(name))
		}
		if r.signing != nil {
			x.Signing = r.signing.snapshot()
		}
		out.Reporters = append(out.Reporters, x)
	}
	text, err := json.Marshal(out)
	if err == nil && len(text) > maxSnapshot {
		err = fmt.Errorf("%d bytes of sources are more than is kept", len(text))
	}
	return text, err
}

func (s *source) snapshot() snapshotSource {
	x := snapshotSource{Origin: s.origin, First: s.first, Last: s.last, LastIndex: s.lastIndex, Entries: s.entries, Door: s.door,
		Longest: [4]uint16{s.habit.longest.gap, s.habit.longest.week, s.habit.longest.seen, uint16(s.habit.longest.visits)}, Silences: s.habit.gaps,
		Silent: s.silent, Back: s.back, Since: s.since, Told: s.told, Found: s.found, Late: s.late, Announced: s.announced, Noticed: s.noticed,
		Repeats: s.repeats, Restarts: s.restarts, Blocks: s.blocks, Unsigned: s.unsigned, Unchecked: s.unchecked,
		Numbered: s.numbered, Signs: s.signs, Gaps: s.gaps}
	if s.habit.slots != nil {
		for i, sl := range s.habit.slots {
			if sl.visits > 0 {
				x.Slots = append(x.Slots, [5]uint16{uint16(i), sl.gap, sl.week, sl.seen, uint16(sl.visits)})
			}
		}
	}
	return x
}

func (h *host) snapshot(name string) snapshotHost {
	x := snapshotHost{Name: name, Sequences: h.sequences, Routes: []snapshotRoute{}}
	for p, s := range h.routes {
		x.Routes = append(x.Routes, snapshotRoute{p, slices.Index(h.sequences, s)})
	}
	slices.SortFunc(x.Routes, func(a, b snapshotRoute) int {
		return cmp.Or(cmp.Compare(a.Process.App, b.Process.App), cmp.Compare(a.Process.Proc, b.Process.Proc))
	})
	return x
}

func (g *signing) snapshot() *snapshotSigning {
	x := &snapshotSigning{SHA1: g.sha1, SHA256: g.sha256, Window: slices.Concat(g.window[g.pos:], g.window[:g.pos])}
	for _, from := range slices.SortedFunc(maps.Keys(g.signers), origin.compare) {
		x.Signers = append(x.Signers, snapshotSigner{from, g.signers[from]})
	}
	return x
}

var errDamaged = errors.New("the snapshot is damaged")

// decode reads a snapshot. It takes nothing that encode does not write, so that what it returns is as bounded and as coherent as what is
// learnt from the log.
func decode(text []byte) (*known, error) {
	if len(text) > maxSnapshot {
		return nil, fmt.Errorf("the snapshot has %d bytes", len(text))
	}
	var in snapshot
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, errDamaged // the cause may quote it
	}
	if in.Version != snapshotVersion {
		return nil, fmt.Errorf("the snapshot has version %d, want %d", in.Version, snapshotVersion)
	}
	if d.More() || in.Next < 0 || in.Untracked < 0 || in.Missing < 0 || in.Blocks < 0 || len(in.Reporters) > maxReporters {
		return nil, errDamaged
	}
	k := newKnown()
	k.next, k.newest, k.started, k.untracked, k.gone = in.Next, in.Newest, in.Started, in.Untracked, Totals{Missing: in.Missing, Blocks: in.Blocks}
	for _, x := range in.Reporters {
		if err := k.restore(x); err != nil {
			return nil, err
		}
	}
	if k.origins > maxOrigins {
		return nil, errDamaged
	}
	return k, nil
}

func (k *known) restore(x snapshotReporter) error {
	r := &reporter{origins: map[origin]*source{}, hosts: map[string]*host{}, old: x.Old, tookOver: x.TookOver, distinct: x.Distinct}
	var ok bool
	if r.source, ok = x.snapshotSource.restore(k.next); !ok || r.origin != (origin{}) {
		return errDamaged
	}
	r.who = hippad.Principal{Kind: x.Kind, ID: x.ID, Name: x.Name, Organisation: x.Organisation}
	_, err := hippad.ParsePrincipal(r.who.String())
	if err != nil || k.reporters[r.who.String()] != nil || x.Old != "" && k.reporters[x.Old] != nil || x.Old == r.who.String() ||
		len(x.ID) > 4*maxText || len(x.Old) > 5*maxText || len(x.Name) > maxText || len(x.Organisation) > maxText ||
		len(x.Origins) > maxBeneath || len(x.Hosts) > maxBeneath {
		return errDamaged
	}
	for _, y := range x.Origins {
		o, ok := y.restore(k.next)
		if !ok || o.origin == (origin{}) || r.origins[o.origin] != nil {
			return errDamaged
		}
		o.parent = r
		r.origins[o.origin] = &o
		k.origins++
	}
	for _, y := range x.Hosts {
		h, ok := y.restore()
		if !ok || r.hosts[y.Name] != nil {
			return errDamaged
		}
		r.hosts[y.Name] = h
	}
	if x.Signing != nil {
		if r.signing, ok = x.Signing.restore(); !ok {
			return errDamaged
		}
	}
	k.add(r)
	return nil
}

func (x snapshotSource) restore(next int64) (s source, ok bool) {
	s = source{origin: x.Origin, first: x.First, last: x.Last, lastIndex: x.LastIndex, entries: x.Entries, door: x.Door,
		silent: x.Silent, back: x.Back, since: x.Since, told: x.Told, found: x.Found, late: x.Late, announced: x.Announced, noticed: x.Noticed,
		repeats: x.Repeats, restarts: x.Restarts, blocks: x.Blocks, unsigned: x.Unsigned, unchecked: x.Unchecked,
		numbered: x.Numbered, signs: x.Signs, gaps: x.Gaps}
	if len(x.Gaps) > maxGaps || len(x.Slots) > weekHours || len(x.Origin.Host) > maxText || len(x.Origin.App) > maxText ||
		x.LastIndex < 0 || x.LastIndex >= next || x.Entries < 1 || x.First.After(x.Last) || x.Longest[3] > 255 || x.Silences < 0 {
		return s, false
	}
	s.habit.longest = slot{x.Longest[0], x.Longest[1], x.Longest[2], uint8(x.Longest[3])}
	s.habit.gaps = x.Silences
	for i, v := range x.Slots {
		if v[0] >= weekHours || v[4] < 1 || v[4] > 255 || i > 0 && v[0] <= x.Slots[i-1][0] {
			return s, false
		}
		if s.habit.slots == nil {
			s.habit.slots = new([weekHours]slot)
		}
		s.habit.slots[v[0]] = slot{v[1], v[2], v[3], uint8(v[4])}
	}
	return s, (s.habit.slots != nil) == (x.Silences > 0)
}

func (x snapshotHost) restore() (*host, bool) {
	h := &host{sequences: x.Sequences, routes: map[process]*sequence{}}
	if len(x.Name) > maxText || len(x.Sequences) > maxSequences || len(x.Routes) > maxRoutes {
		return nil, false
	}
	for _, s := range x.Sequences {
		if !s.sound() || s.Old != nil && (!s.Old.sound() || s.Old.Old != nil) {
			return nil, false
		}
	}
	for _, y := range x.Routes {
		if y.Sequence < 0 || y.Sequence >= len(h.sequences) || len(y.Process.App) > maxText || len(y.Process.Proc) > maxText || h.routes[y.Process] != nil {
			return nil, false
		}
		h.routes[y.Process] = h.sequences[y.Sequence]
	}
	return h, true
}

func (s *sequence) sound() bool {
	return s != nil && s.Next >= 1 && s.Next <= maxSequenceID && sound(s.Open, maxSequenceID) && sound(s.Lost, maxSequenceID)
}

func sound(holes []hole, most int64) bool {
	return len(holes) <= maxHoles && !slices.ContainsFunc(holes, func(h hole) bool { return h.First < 1 || h.Last < h.First || h.Last > most })
}

func (x *snapshotSigning) restore() (*signing, bool) {
	g := newSigning()
	g.sha1, g.sha256 = x.SHA1, x.SHA256
	if len(x.Window) > maxWindow || len(x.Signers) > maxSigners {
		return nil, false
	}
	g.window = x.Window
	for _, w := range x.Window {
		g.byHash[w.Hash] = w.Mark
	}
	for _, y := range x.Signers {
		if y.Signer == nil || g.signers[y.Origin] != nil || len(y.Signer.Groups) > maxGroups {
			return nil, false
		}
		for _, z := range y.Signer.Groups {
			if z == nil || z.Next < 1 || z.Next > maxCounter+maxHashes+1 || !sound(z.Open, maxCounter) {
				return nil, false
			}
			g.waiting += len(z.Waiting)
		}
		g.signers[y.Origin] = y.Signer
	}
	return g, g.waiting <= maxWaiting
}
