package crosswalk

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"hippad"
)

// The rules hold for what is replayed as well, whoever wrote it: what is against them has no effect.
func TestFold(t *testing.T) {
	s := newState()
	for i, r := range []record{
		{Link: [][]string{{"Patient/1"}}},
		{Link: [][]string{{"Patient/1", "Patient/1"}}},
		{Link: [][]string{{"", "Patient/1"}}},
		{Link: [][]string{nil}},
		{Unlink: "Patient/1"},
		{},
	} {
		if s.fold(int64(i), time.Time{}, r); s.total != 0 || len(s.persons) != 0 || len(s.numbers) != 0 {
			t.Errorf("%d has an effect", i)
		}
	}
	// What an older program wrote in another form meets today's terms.
	s.fold(6, time.Time{}, record{Link: [][]string{{"a^^^&1.2&ISO", "Patient/1"}}})
	if s.persons["urn:oid:1.2|a"] == nil {
		t.Error("the form has not followed")
	}
}

func TestTotalIsBounded(t *testing.T) {
	s := newState()
	s.total = maxTotal - 3
	l := &Link{}
	if changed, err := s.link([]string{"a", "b"}, l); !changed || err != nil {
		t.Fatal(err)
	}
	for _, on := range []*state{s.draft(), s} {
		if changed, err := on.link([]string{"c", "d"}, l); changed || hippad.KindOf(err) != hippad.Conflict || on.find("c") != nil {
			t.Errorf("%v", err)
		}
		if changed, err := on.link([]string{"a", "d"}, l); !changed || err != nil {
			t.Errorf("%v", err)
		}
	}
	s.unlink("a")
	s.unlink("b")
	if s.total != maxTotal-3 {
		t.Errorf("%d are left", s.total)
	}
}

// A draft sees what it is begun on and leaves it alone.
func TestDraft(t *testing.T) {
	s := newState()
	link := func(on *state, ids ...string) bool {
		changed, err := on.link(ids, &Link{})
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	link(s, "a", "b")
	link(s, "c", "d")
	before := fmt.Sprintf("%+v %+v %d %d", s.persons["a"], s.persons["c"], s.total, s.last)
	d := s.draft()
	if link(d, "a", "b") || !link(d, "b", "c") || link(d, "a", "d") || !link(d, "d", "e") || len(d.find("a").members) != 5 || !link(d, "x", "y") {
		t.Error("the draft is wrong")
	}
	if now := fmt.Sprintf("%+v %+v %d %d", s.persons["a"], s.persons["c"], s.total, s.last); now != before || s.find("e") != nil {
		t.Errorf("%s became %s", before, now)
	}
}

// Of two the number of the older one stays, and members follow the larger.
func TestMerge(t *testing.T) {
	s := newState()
	for _, ids := range [][]string{{"y", "z"}, {"c", "d", "e"}, {"c", "y"}} {
		if _, err := s.link(ids, &Link{}); err != nil {
			t.Fatal(err)
		}
	}
	p := s.find("z")
	if p.number != 1 || len(p.members) != 5 || len(s.numbers) != 1 || s.numbers[1] != p || s.total != 5 {
		t.Errorf("%+v, %d", p, len(s.numbers))
	}
	for _, id := range []string{"y", "z", "c"} {
		s.unlink(id)
	}
	if left := s.unlink("d"); left != 0 || s.total != 0 || len(s.persons) != 0 || len(s.numbers) != 0 {
		t.Error("somebody is left")
	}
}

// million returns a state with so many identifiers, n to a person.
func million(b *testing.B, total, n int) *Crosswalk {
	s := newState()
	ids := make([]string, n)
	for i := range total / n {
		for j := range ids {
			ids[j] = fmt.Sprintf("urn:oid:2.16.840.1.113883.19.%d|%09d", j, i)
		}
		slices.Sort(ids)
		if _, err := s.link(ids, &Link{}); err != nil {
			b.Fatal(err)
		}
	}
	return &Crosswalk{state: s}
}

func BenchmarkSame(b *testing.B) {
	for _, n := range []int{2, 5, 1000} {
		b.Run(fmt.Sprintf("a million, %d of a person", n), func(b *testing.B) {
			c := million(b, maxTotal, n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				t := hippad.Term{Field: hippad.FieldPatient, Value: fmt.Sprintf("urn:oid:2.16.840.1.113883.19.1|%09d", i*7919%(maxTotal/n))}
				if got := c.Same(t); len(got) != n-1 {
					b.Fatal(len(got))
				}
			}
		})
	}
	b.Run("not linked", func(b *testing.B) {
		c := million(b, maxTotal, 2)
		t := hippad.NewTerm(hippad.FieldPatient, "4711^^^&1.2.3&ISO")
		for b.Loop() {
			if c.Same(t) != nil {
				b.Fatal("linked")
			}
		}
	})
}
