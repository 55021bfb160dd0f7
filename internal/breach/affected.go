package breach

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// Affected is whom a scope comes to, with the entries that prove it.
type Affected struct {
	Persons []Person `json:"persons"`         // in the order of their first identifier
	Nobody  []int64  `json:"nobody,omitzero"` // entries that name no patient
	Counts

	left []string // identifiers of those whom the scope leaves out
}

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

// Lines writes the list in its one form: a JSON object a line, first the entries that name nobody, then each person.
func (a *Affected) Lines(w io.Writer) error {
	write := func(p Person) error {
		text, err := json.Marshal(p)
		if err == nil {
			_, err = w.Write(append(text, '\n'))
		}
		return err
	}
	if len(a.Nobody) > 0 {
		if err := write(Person{Entries: a.Nobody}); err != nil {
			return err
		}
	}
	for _, p := range a.Persons {
		if err := write(p); err != nil {
			return err
		}
	}
	return nil
}

// SHA256 is the hash of Lines.
func (a *Affected) SHA256() string {
	h := sha256.New()
	_ = a.Lines(h) // a hash takes everything
	return hex.EncodeToString(h.Sum(nil))
}

// indexes returns every entry, each once, in order.
func (a *Affected) indexes() []int64 {
	out := slices.Clone(a.Nobody)
	for _, p := range a.Persons {
		out = append(out, p.Entries...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ranges are the entries as a hold wants them.
func (a *Affected) ranges() (out []hippad.Range) {
	for _, i := range a.indexes() {
		if n := len(out) - 1; n >= 0 && out[n].First+int64(out[n].Count) == i {
			out[n].Count++
		} else {
			out = append(out, hippad.Range{First: i, Count: 1})
		}
	}
	return out
}

// places maps every identifier to its person.
func (a *Affected) places() map[string]int {
	at := make(map[string]int, len(a.Persons))
	for i, p := range a.Persons {
		for _, id := range p.Identifiers {
			at[id] = i
		}
	}
	return at
}

// residents counts the persons by State, as a table of addresses has it. Who is in no row, or in one without a State that there is, is unknown.
func (a *Affected) residents(table []Address) (by map[string]int, unknown int, refused []Refused, others int) {
	at := a.places()
	states := make([]string, len(a.Persons))
	for _, row := range table {
		i, ok := at[hippad.NewTerm(hippad.FieldPatient, row.Patient).Value]
		state, known := regulation.ParseState(row.State)
		switch {
		case strings.TrimSpace(row.Patient) == "":
			refused = append(refused, Refused{row.Line, "the patient is missing"})
		case !ok:
			others++
		case !known && strings.TrimSpace(row.State) != "":
			refused = append(refused, Refused{row.Line, "this is no State: counted as unknown"})
		case known && states[i] != "" && states[i] != state:
			refused = append(refused, Refused{row.Line, "an earlier row has the patient in another State"})
		case known:
			states[i] = state
		}
	}
	by = map[string]int{}
	for _, s := range states {
		if s == "" {
			unknown++
		} else {
			by[s]++
		}
	}
	return by, unknown, refused, others
}

// A touch is what one entry says for a scope.
type touch struct {
	index                                 int64
	patients                              [][]string // each the identifiers of one
	failed, review, unreadable, destroyed bool
	nameless                              bool // it names nobody, or somebody without an identifier
}

// ask asks the questions of a scope, each of the log as it was then.
func (b *Breaches) ask(ctx context.Context, reading *repository.Reading, s Scope) (*Affected, error) {
	var all []touch
	for _, q := range s.Questions {
		found, err := b.touches(ctx, reading, q)
		if err != nil {
			return nil, err
		}
		if all = append(all, found...); len(all) > maxEntries {
			return nil, hippad.Errorf(hippad.TooLarge, "more than %d entries answer", maxEntries).WithHint("a shorter period, or several cases")
		}
	}
	slices.SortFunc(all, func(x, y touch) int { return cmp.Compare(x.index, y.index) })
	all = slices.CompactFunc(all, func(x, y touch) bool { return x.index == y.index })
	a := &Affected{Persons: []Person{}}
	g := groups{same: b.Repository.Same, at: map[string]int{}, shared: map[int]bool{}}
	for _, t := range all {
		switch {
		case t.failed:
			a.Failed++
			continue
		case t.review:
			a.Review++
		case t.unreadable:
			a.Unreadable++
		case t.destroyed:
			a.Destroyed++
		}
		if a.Entries++; t.nameless {
			a.Unnamed++
			a.Nobody = append(a.Nobody, t.index)
		}
		for _, p := range t.patients {
			g.add(t.index, p)
		}
	}
	a.Persons = append(a.Persons, g.persons()...)
	a.leaveOut(s.Except)
	for _, p := range a.Persons {
		if !slices.ContainsFunc(p.Identifiers, func(id string) bool { return assigned(id) && !g.shared[g.at[id]] }) {
			a.Unassigned++
		}
	}
	return a, nil
}

// assigned tells whether an identifier says who assigned it.
func assigned(id string) bool { return strings.ContainsAny(id, "|/") || strings.HasPrefix(id, "urn:") }

// strangers returns which of the identifiers are of nobody; of those whom leaveOut has taken away.
func (a *Affected) strangers(except []string) (missing []int) {
	for i, id := range except {
		if !slices.Contains(a.left, id) {
			missing = append(missing, i)
		}
	}
	return missing
}

// leaveOut takes persons away, with the entries that prove nothing about anybody else.
func (a *Affected) leaveOut(except []string) {
	if len(except) == 0 {
		return
	}
	out := map[string]bool{}
	for _, id := range except {
		out[id] = true
	}
	kept := map[int64]bool{}
	gone := map[int64]bool{}
	for _, i := range a.Nobody {
		kept[i] = true
	}
	a.Persons = slices.DeleteFunc(a.Persons, func(p Person) bool {
		leave := slices.ContainsFunc(p.Identifiers, func(id string) bool { return out[id] })
		for _, i := range p.Entries {
			if leave {
				gone[i] = true
			} else {
				kept[i] = true
			}
		}
		if leave {
			a.left = append(a.left, p.Identifiers...)
		}
		return leave
	})
	for i := range gone {
		if !kept[i] {
			a.Entries--
		}
	}
}

// stretch is how many entries of the log one goroutine looks through at a time.
const stretch = 1 << 16

// touches looks for what answers a question, with every processor: each entry is read and compared.
func (b *Breaches) touches(ctx context.Context, reading *repository.Reading, q Question) ([]touch, error) {
	size := min(q.Size, reading.Size())
	if len(q.Query.Indexes) > 0 {
		return b.some(ctx, reading, q, size)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := make([][]touch, (size+stretch-1)/stretch)
	errs := make([]error, runtime.GOMAXPROCS(0))
	next := make(chan int)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for n := range next {
				after, before := int64(n)*stretch-1, min(size, int64(n+1)*stretch)
				part := q
				part.Query.Ascending, part.Query.After, part.Query.Before = true, &after, &before
				if parts[n], errs[w] = b.some(ctx, reading, part, size); errs[w] != nil {
					cancel()
					return
				}
			}
		})
	}
feed:
	for n := range parts {
		select {
		case next <- n:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(parts...), context.Cause(ctx)
}

// indexChunk is how many places are asked for at once: an entry is compared with each of them.
const indexChunk = 256

func (b *Breaches) some(ctx context.Context, reading *repository.Reading, question Question, size int64) (out []touch, err error) {
	q := question.Query
	chunks := [][]int64{nil}
	if len(q.Indexes) > 0 {
		chunks = slices.Collect(slices.Chunk(q.Indexes, indexChunk))
	}
	for _, chunk := range chunks {
		q.Indexes = chunk
		if q.Before == nil {
			q.Before = &size
		}
		for e, err := range reading.Search(ctx, q) {
			if err != nil {
				return nil, err
			}
			var ev hippad.Event
			if !e.Destroyed {
				ev = b.Repository.Read(e.Report)
			}
			if !question.within(e, ev) {
				continue
			}
			out = append(out, touched(e, ev))
			if len(out) > maxEntries {
				return nil, hippad.Errorf(hippad.TooLarge, "more than %d entries answer", maxEntries).WithHint("a shorter period, or several cases")
			}
		}
	}
	return out, nil
}

// within tells whether an entry is of the days that are asked for.
func (q Question) within(e hippad.Entry, ev hippad.Event) bool {
	at := hippad.Happened(e, ev)
	return (q.Days.Start.IsZero() || !at.Before(q.Days.Start)) && (q.Days.End.IsZero() || at.Before(q.Days.End))
}

// touched takes from an entry what it says: nothing, if it is destroyed.
func touched(e hippad.Entry, ev hippad.Event) touch {
	t := touch{
		index: e.Index, destroyed: e.Destroyed, unreadable: ev.Unreadable != "", failed: ev.Outcome == "8" || ev.Outcome == "12", review: ev.Outcome == "4",
	}
	for _, n := range ev.Entities {
		if !n.IsPatient() {
			continue
		}
		ids := identifiers(n.What)
		if len(ids) == 0 {
			t.nameless = true
			continue
		}
		t.patients = append(t.patients, ids)
	}
	t.nameless = t.nameless || len(t.patients) == 0
	return t
}

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

// unique tells an identifier that is one person's wherever it is used.
func unique(id string) bool {
	return strings.Contains(id, "|") || strings.Contains(id, "://") || strings.HasPrefix(id, "urn:")
}

func (g *groups) add(entry int64, ids []string) {
	m := mention{entry: entry}
	for _, id := range ids {
		m.ids = append(m.ids, g.number(id))
	}
	sure := slices.DeleteFunc(slices.Clone(m.ids), func(n int) bool { return !unique(g.names[n]) })
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
			if unique(g.names[n]) {
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
		for _, n := range m.ids {
			if holder := g.holder(m); !g.shared[n] && !g.shared[holder] {
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
