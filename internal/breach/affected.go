package breach

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

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
	g := newGroups(b.Repository.Same)
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
