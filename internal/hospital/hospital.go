// Package hospital owns a hospital's year, made up: staff on shifts, patients on wards, what everybody does with whose record, and among it known
// snooping of each kind, of which it says which event is which.
//
// It is for tests only, and judges nothing: what ought to be found is said by Case, not by any rule of a review. The invariants: the same seed and size
// give the same people and events, however often and from wherever they are asked for; events come in the order of time; memory is that of one
// day and of the people, not of the year.
package hospital

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"hippad"
)

// A Size says how much there is of everything.
type Size struct {
	Wards     int // with patients in beds; the departments that serve them come besides
	PerWard   int // members of staff of each ward, from 12
	Patients  int // who have a record
	Admitted  int // patients admitted to each ward each day
	Days      int
	QuietDays int // at the beginning, in which nobody snoops: what a review knows before it begins
	Cases     int // of snooping, of each rule; 0: none
}

// Week is a small hospital's week, without snooping: about 3,000 events.
func Week() Size { return Size{Wards: 3, PerWard: 14, Patients: 600, Admitted: 4, Days: 7} }

// Season is a small hospital's half year, with some snooping of each kind in the last ten weeks: about 80,000 events.
func Season() Size {
	return Size{Wards: 4, PerWard: 20, Patients: 6_000, Admitted: 2, Days: 200, QuietDays: 130, Cases: 6}
}

// Year is a hospital's year with about 1,000,000 events.
func Year() Size {
	return Size{Wards: 10, PerWard: 32, Patients: 24_000, Admitted: 6, Days: 365, QuietDays: 140, Cases: 10}
}

// Start is the first day of every hospital.
func Start() time.Time { return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) }

// Systems of identifiers: ISO/IEC 9834-1's OID for examples, with an arc for each.
const (
	UserSystem    = "urn:oid:2.999.1"
	PatientSystem = "urn:oid:2.999.2"
)

// A Hospital has been made up whole, but for its events. It does not change, and may be asked by many goroutines.
type Hospital struct {
	Size  Size
	seed  uint64
	staff []*Staff
	ward  [][]*Staff // of each ward, the head first
	serve map[string][]*Staff

	patients  []*Patient
	stays     []*stay
	byDay     [][]*stay  // those who are in a bed on a day
	leaving   [][]*stay  // those whose papers are done on a day
	relations []relation // beyond the ward: who has been asked to help
	cases     []Case
	planted   [][]planned // of each day
}

// A Case is one thing that somebody does that they should not, or that a review has to show in any case. Days are counted from 0.
type Case struct {
	Number  int
	Rule    string // of the notes: A1 to A18, B1 to B11
	User    string // identifier within UserSystem
	Patient string // identifier within PatientSystem; empty if it is about no single one
	First   int    // day
	Last    int    // day
}

// An Event is what a system of the hospital reports.
type Event struct {
	hippad.Event
	Case int // its number, from 1; 0 for the ordinary work
}

// New makes a hospital up.
func New(seed uint64, size Size) *Hospital {
	h := &Hospital{Size: size, seed: seed, serve: map[string][]*Staff{}}
	r := h.random(1 << 40)
	h.hire(r)
	h.register(r)
	h.admit(r)
	h.plant(r)
	return h
}

// random returns the randomness of a day: the same one each time it is asked.
func (h *Hospital) random(day int) *rand.Rand { return rand.New(rand.NewPCG(h.seed, uint64(day))) }

// Cases returns what there is to be found.
func (h *Hospital) Cases() []Case { return slices.Clone(h.cases) }

// Day returns the first moment of a day.
func Day(n int) time.Time { return Start().AddDate(0, 0, n) }

// Events yields what happens, in the order of time.
func (h *Hospital) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		var left []Event // of the night shift, after midnight
		for d := range h.Size.Days {
			t := &today{h: h, day: d, r: h.random(d), events: left}
			t.signIn()
			for _, s := range h.byDay[d] {
				t.care(s)
			}
			for _, s := range h.leaving[d] {
				t.papers(s)
			}
			t.oddities()
			for _, p := range h.planted[d] {
				p.do(t, p.number)
			}
			slices.SortStableFunc(t.events, func(a, b Event) int { return a.Recorded.Compare(b.Recorded) })
			over, _ := slices.BinarySearchFunc(t.events, Day(d+1), func(e Event, end time.Time) int { return e.Recorded.Compare(end) })
			if d == h.Size.Days-1 {
				over = len(t.events)
			}
			left = slices.Clone(t.events[over:])
			for _, e := range t.events[:over] {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// admit decides who lies where, and when. Nobody lies in two beds.
func (h *Hospital) admit(r *rand.Rand) {
	h.byDay, h.leaving = make([][]*stay, h.Size.Days), make([][]*stay, h.Size.Days)
	free := make([]int, len(h.patients)) // the first day on which a patient may come again
	for d := range h.Size.Days {
		for w := range h.Size.Wards {
			for range h.Size.Admitted {
				p := r.IntN(len(h.patients))
				for try := 0; (free[p] > d || h.patients[p].away) && try < 50; try++ {
					p = r.IntN(len(h.patients))
				}
				if free[p] > d || h.patients[p].away {
					continue
				}
				h.stay(r, p, w, d)
				free[p] = d + 12
			}
		}
	}
}

func (h *Hospital) stay(r *rand.Rand, p, w, d int) {
	s := &stay{patient: h.patients[p], ward: w, first: d, last: d + r.IntN(6)}
	s.physician = pick(r, h.of(w, "physician"))
	s.pharmacist = pick(r, h.serve["Pharmacy"])
	s.technician = pick(r, h.serve["Laboratory"])
	if r.IntN(5) == 0 {
		s.therapist = h.serve["Physiotherapy"][w%len(h.serve["Physiotherapy"])]
	}
	if r.IntN(8) == 0 {
		s.consultant = pick(r, h.of((w+1+r.IntN(max(1, h.Size.Wards-1)))%h.Size.Wards, "physician"))
	}
	if r.IntN(20) == 0 {
		s.float = pick(r, h.of((w+1)%h.Size.Wards, "nurse"))
		h.relations = append(h.relations, relation{s.float, s.patient, d, s.last + 1})
	}
	s.patient.stays = append(s.patient.stays, s)
	h.stays = append(h.stays, s)
	for x := d; x <= s.last && x < h.Size.Days; x++ {
		h.byDay[x] = append(h.byDay[x], s)
	}
	if out := s.last + 2; out < h.Size.Days {
		h.leaving[out] = append(h.leaving[out], s)
	}
}

// A stay is a patient in a bed.
type stay struct {
	patient     *Patient
	ward        int
	first, last int // days

	physician, pharmacist, technician *Staff
	therapist, consultant, float      *Staff // nil: none
}

type relation struct {
	user    *Staff
	patient *Patient
	from,   // days
	to int
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// of returns the members of a ward who do a job.
func (h *Hospital) of(ward int, job string) (out []*Staff) {
	for _, s := range h.ward[ward] {
		if s.Job == job {
			out = append(out, s)
		}
	}
	return out
}

// String says how large it is.
func (h *Hospital) String() string {
	return fmt.Sprintf("hospital %d: %d staff, %d patients, %d stays, %d days, %d cases", h.seed, len(h.staff), len(h.patients), len(h.stays), h.Size.Days, len(h.cases))
}
