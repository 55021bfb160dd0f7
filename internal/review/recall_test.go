package review

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/hospital"
	"hippad/internal/regulation"
)

// rostersOf are those that a hospital has.
func rostersOf(h *hospital.Hospital) Rosters {
	r := h.Rosters()
	return Rosters{Staff: r.Staff, Patients: r.Patients, Relations: r.Relations, VIP: r.VIP, Deceased: r.Deceased}
}

type reviewed struct {
	regulation.ReviewOutcome
	caseOf map[int64]int // of entries
}

// reviewHospital reviews the days with cases.
func reviewHospital(t testing.TB, h *hospital.Hospital, rosters Rosters, victims map[string][]regulation.Date) reviewed {
	t.Helper()
	known, _, bad, err := rosters.read(nil)
	if err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	r := regulation.NewReview(regulation.ReviewOptions{
		From: hospital.Day(h.Size.QuietDays), To: hospital.Day(h.Size.Days + 1), Seed: []byte("seed"), Victims: victims,
	}, known)
	out := reviewed{caseOf: map[int64]int{}}
	index := int64(0)
	for e := range h.Events() {
		r.Add(r.Observe(hippad.Entry{Index: index, Received: e.Recorded}, e.Event))
		if e.Case > 0 {
			out.caseOf[index] = e.Case
		}
		index++
	}
	out.ReviewOutcome = r.Outcome()
	return out
}

// A score is how a rule did.
type tally struct{ planted, recalled, found, right int }

// measure compares findings with what was planted. Right is a finding whose entries have to do with any case.
func (x reviewed) measure(h *hospital.Hospital, into map[string]*tally) {
	at := func(rule string) *tally {
		if into[rule] == nil {
			into[rule] = &tally{}
		}
		return into[rule]
	}
	recalled := map[int]map[string]bool{}
	for _, f := range x.Findings {
		cases := map[int]bool{}
		for _, e := range f.Entries {
			if c := x.caseOf[e]; c > 0 {
				cases[c] = true
			}
		}
		for _, p := range f.Points {
			if strings.HasPrefix(p.Rule, "E") {
				continue
			}
			if at(p.Rule).found++; len(cases) > 0 {
				at(p.Rule).right++
			}
			for c := range cases {
				if recalled[c] == nil {
					recalled[c] = map[string]bool{}
				}
				recalled[c][p.Rule] = true
			}
		}
	}
	for _, c := range h.Cases() {
		at(c.Rule).planted++
		if recalled[c.Number][c.Rule] {
			at(c.Rule).recalled++
		}
	}
}

// victims are the patients of whom an earlier review has confirmed something.
func victims(h *hospital.Hospital) map[string][]regulation.Date {
	out := map[string][]regulation.Date{}
	for _, c := range h.Cases() {
		if c.Rule == "A18" {
			id := hospital.PatientSystem + "|" + c.Patient
			out[id] = append(out[id], regulation.DateOf(hospital.Day(c.First-1), time.UTC))
		}
	}
	return out
}

func show(t testing.TB, all map[string]*tally) {
	var rules []string
	for rule := range all {
		rules = append(rules, rule)
	}
	sort.Slice(rules, func(i, j int) bool {
		return slices.IndexFunc(regulation.ReviewRules(), is(rules[i])) < slices.IndexFunc(regulation.ReviewRules(), is(rules[j]))
	})
	var text strings.Builder
	for _, rule := range rules {
		x := all[rule]
		fmt.Fprintf(&text, "%-4s planted %4d recall %s   found %6d precision %s\n", rule, x.planted, ratio(x.recalled, x.planted), x.found, ratio(x.right, x.found))
	}
	t.Logf("\n%s", text.String())
}

func is(rule string) func(regulation.ReviewRule) bool {
	return func(x regulation.ReviewRule) bool { return x.ID == rule }
}

func ratio(n, of int) string {
	if of == 0 {
		return "   -"
	}
	return fmt.Sprintf("%.2f", float64(n)/float64(of))
}

// Every kind of snooping that is planted is found by its rule, in at least 95 of 100 cases, whatever the seed; nothing here is tuned to one.
func TestRecall(t *testing.T) {
	all := map[string]*tally{}
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		h := hospital.New(seed, hospital.Season())
		x := reviewHospital(t, h, rostersOf(h), victims(h))
		x.measure(h, all)
		c := x.Counts
		t.Logf("seed %d: %d entries, %d accesses, explained %.1f %% %v, %d findings, %d sampled", seed, c.Entries, c.Accesses, 100*float64(c.Explained)/float64(c.Accesses), c.ByTemplate, c.Found, c.Sampled)
	}
	show(t, all)
	for rule, x := range all {
		if 20*x.recalled < 19*x.planted {
			t.Errorf("%s: %d of %d cases are found by it", rule, x.recalled, x.planted)
		}
	}
}

// What is in the events is found without any roster.
func TestRecallFromEventsAlone(t *testing.T) {
	all := map[string]*tally{}
	seeds := uint64(2)
	if testing.Short() {
		seeds = 1
	}
	for seed := uint64(11); seed < 11+seeds; seed++ {
		h := hospital.New(seed, hospital.Season())
		x := reviewHospital(t, h, Rosters{}, victims(h))
		x.measure(h, all)
		c := x.Counts
		t.Logf("seed %d: explained %.1f %% %v, %d findings", seed, 100*float64(c.Explained)/float64(c.Accesses), c.ByTemplate, c.Found)
	}
	show(t, all)
	for rule, x := range all {
		needsRoster := rule == "A1" || rule[0] == 'B' && rule != "B11"
		if !needsRoster && 20*x.recalled < 19*x.planted {
			t.Errorf("%s: %d of %d cases are found by it", rule, x.recalled, x.planted)
		}
	}
}
