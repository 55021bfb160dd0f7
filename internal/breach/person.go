package breach

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"hippad"
)

// A Person is one individual, under every identifier that the entries or the crosswalk know.
type Person struct {
	Identifiers []string `json:"identifiers,omitzero"`
	Entries     []int64  `json:"entries"`
}

// String hides the identifiers.
func (p Person) String() string { return fmt.Sprintf("person with %d entries", len(p.Entries)) }

// GoString hides the identifiers under %#v.
func (p Person) GoString() string { return p.String() }

// LogValue hides the identifiers in slog.
func (p Person) LogValue() slog.Value { return slog.StringValue(p.String()) }

// identifiers are those by which an entry names a patient, as the terms of a search have them.
func identifiers(r hippad.Reference) (ids []string) {
	if literal, _, _ := strings.Cut(r.Literal, "/_history/"); literal != "" {
		ids = append(ids, writable(hippad.NewTerm(hippad.FieldPatient, literal).Value))
	}
	id := r.Identifier
	if id.System == "" {
		id = hippad.ParseIdentifier(id.Value)
	}
	if id.Value = strings.TrimSpace(id.Value); id.Value != "" {
		id.System = hippad.OIDSystem(id.System)
		ids = append(ids, writable(id.String()))
	}
	return ids
}

// writable makes of an identifier that nobody could write into a table or an option one that tells it from others all the same: whoever is named by it is to be told,
// too, and what a sender writes must not keep a case open for ever.
func writable(id string) string {
	if line("", id, true) == nil && hippad.NewTerm(hippad.FieldPatient, id).Value == id {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '^' || r == '&' { // the last two have a meaning in an identifier as people write it
			return utf8.RuneError
		}
		return r
	}, strings.TrimSpace(strings.ToValidUTF8(id[:min(len(id), 100)], "\ufffd"))) + "\u2026" + hex.EncodeToString(sum[:16])
}

// groups finds out which identifiers are one person: those that one entity has, and those that the crosswalk has linked. A number that does not say who assigned it,
// or a reference that does not say on which server, may be several persons': where the entries have it beside others that are not one person, it joins nobody, because
// one of them would not be told.
type groups struct {
	same     func(hippad.Term) []hippad.Term
	at       map[string]int // number of an identifier
	names    []string
	parent   []int
	mentions []mention
	shared   map[int]bool // identifiers that may be several persons', after persons
}

func newGroups(same func(hippad.Term) []hippad.Term) *groups {
	return &groups{same: same, at: map[string]int{}, shared: map[int]bool{}}
}

// A mention is that an entry names a patient.
type mention struct {
	entry int64
	ids   []int // numbers of identifiers
}

func (g *groups) number(id string) int {
	n, ok := g.at[id]
	if !ok {
		n = len(g.names)
		g.at[id], g.names, g.parent = n, append(g.names, id), append(g.parent, n)
		if g.same != nil {
			for _, t := range g.same(hippad.Term{Field: hippad.FieldPatient, Value: id}) {
				g.join(n, g.number(t.Value))
			}
		}
	}
	return n
}

func (g *groups) root(n int) int {
	for g.parent[n] != n {
		g.parent[n] = g.parent[g.parent[n]]
		n = g.parent[n]
	}
	return n
}

func (g *groups) join(a, b int) { g.parent[g.root(a)] = g.root(b) }

func (g *groups) add(entry int64, ids []string) {
	m := mention{entry: entry}
	for _, id := range ids {
		m.ids = append(m.ids, g.number(id))
	}
	sure := slices.DeleteFunc(slices.Clone(m.ids), func(n int) bool { return !hippad.Unique(g.names[n]) })
	for i := 1; i < len(sure); i++ {
		g.join(sure[0], sure[i])
	}
	g.mentions = append(g.mentions, m)
}

// share finds the identifiers that are beside others that are not one person.
func (g *groups) share() {
	beside := map[int]int{}
	for _, m := range g.mentions {
		for _, n := range m.ids {
			if hippad.Unique(g.names[n]) {
				continue
			}
			for _, other := range m.ids {
				if other == n {
					continue
				}
				root := g.root(other)
				if known, ok := beside[n]; ok && known != root {
					g.shared[n] = true
				}
				beside[n] = root
			}
		}
	}
}

// holder is the identifier that says whose entry a mention makes.
func (g *groups) holder(m mention) int {
	for _, n := range m.ids {
		if !g.shared[n] {
			return n
		}
	}
	return m.ids[0]
}

func (g *groups) persons() (out []Person) {
	g.share()
	entries := map[int][]int64{} // by root
	for _, m := range g.mentions {
		holder := g.holder(m)
		for _, n := range m.ids {
			if !g.shared[n] && !g.shared[holder] {
				g.join(holder, n)
			}
		}
	}
	for _, m := range g.mentions {
		root := g.root(g.holder(m))
		entries[root] = append(entries[root], m.entry)
	}
	by := map[int]int{}
	for n, id := range g.names {
		root := g.root(n)
		if len(entries[root]) == 0 {
			continue // it is several persons', and each of them has another
		}
		i, ok := by[root]
		if !ok {
			i = len(out)
			by[root] = i
			slices.Sort(entries[root])
			out = append(out, Person{Entries: slices.Compact(entries[root])})
		}
		out[i].Identifiers = append(out[i].Identifiers, id)
	}
	for i := range out {
		slices.Sort(out[i].Identifiers)
	}
	slices.SortFunc(out, func(a, b Person) int { return cmp.Compare(a.Identifiers[0], b.Identifiers[0]) })
	return out
}

// assigned tells whether an identifier says who assigned it. A reference without its server counts, as one server mostly serves a log, unless it turns out to be several
// persons'.
func assigned(id string) bool { return strings.ContainsAny(id, "|/") || strings.HasPrefix(id, "urn:") }
