package hospital

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"hippad"
)

// planned is what somebody does on a day for a case.
type planned struct {
	number int
	do     func(t *today, number int)
}

// A planter plants one case of a rule with a member of staff, on a day from which there are still some weeks to come.
type planter struct {
	rule  string
	plant func(x *plan)
}

// A plan is what a planter works with. It sets what the case is about.
type plan struct {
	h   *Hospital
	r   *rand.Rand
	who *Staff // a nurse of a ward, who has no other case
	day int
	c   *Case
}

// plant makes the cases up, and what is done for them. Every snooper does one thing only.
func (h *Hospital) plant(r *rand.Rand) {
	h.planted = make([][]planned, h.Size.Days)
	var free []*Staff
	for _, w := range h.ward {
		for _, s := range w[1:] {
			if s.Job == "nurse" && s.Patient == nil {
				free = append(free, s)
			}
		}
	}
	r.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	span := h.Size.Days - h.Size.QuietDays - 20
	for n := range h.Size.Cases {
		for i, p := range planters() {
			if span <= 0 || len(free) == 0 {
				return
			}
			h.cases = append(h.cases, Case{Number: len(h.cases) + 1, Rule: p.rule})
			// When all have had their turn they begin again.
			x := &plan{h: h, r: r, who: free[(n*len(planters())+i)%len(free)], day: h.Size.QuietDays + r.IntN(span), c: &h.cases[len(h.cases)-1]}
			x.c.User, x.c.First, x.c.Last = x.who.User, x.day, x.day
			p.plant(x)
		}
	}
}

// planters are the kinds of snooping, by the ids of the rules.
func planters() []planter {
	b := func(rule string, relate func(x *plan, p *Patient)) planter {
		return planter{rule, func(x *plan) {
			p := x.record()
			relate(x, p)
			x.look(p, 13)
		}}
	}
	return []planter{
		{"A1", plantOwn}, {"A2", plantEmergency}, {"A3", func(x *plan) { x.look(x.elsewhere(), 13) }}, {"A4", func(x *plan) { x.look(x.record(), 13) }},
		{"A5", plantBurst}, {"A6", plantDrip}, {"A7", plantExport}, {"A8", plantNight}, {"A9", plantDevice}, {"A10", plantFamous},
		{"A11", func(x *plan) { x.look(x.record(), 13) }}, {"A12", plantAgain}, {"A13", plantByName}, {"A14", plantGuess}, {"A15", plantTwice},
		{"A17", plantLog}, {"A18", plantVictim},
		b("B1", func(x *plan, p *Patient) { p.Last = x.who.Last }),
		b("B2", func(x *plan, p *Patient) { p.Home = x.who.Home }),
		{"B3", plantColleague}, {"B4", plantHead},
		b("B5", func(x *plan, p *Patient) {
			p.Home = Home{Street: "9" + x.who.Home.Street, City: x.who.Home.City, ZIP: x.who.Home.ZIP, Phone: p.Home.Phone}
		}),
		b("B6", func(_ *plan, p *Patient) { p.VIP = true }),
		b("B7", func(x *plan, p *Patient) { p.Born = Day(x.day).AddDate(-9, 0, 0).Format(time.DateOnly) }),
		b("B8", func(x *plan, p *Patient) { p.Died = Day(x.day - 45).Format(time.DateOnly) }),
		{"B9", plantEnded}, {"B10", func(x *plan) { x.look(x.elsewhere(), 13) }},
		b("B11", func(_ *plan, p *Patient) { p.Sensitive = true }),
	}
}

// on has something done on a day of the case.
func (x *plan) on(day int, do func(t *today, number int)) {
	x.c.First, x.c.Last = min(x.c.First, day), max(x.c.Last, day)
	if day < x.h.Size.Days {
		x.h.planted[day] = append(x.h.planted[day], planned{x.c.Number, do})
	}
}

// record returns a patient whose record nobody has a reason to open.
func (x *plan) record() *Patient {
	for {
		p := pick(x.r, x.h.patients)
		if p.away && !p.taken {
			p.taken = true
			return p
		}
	}
}

// regulars returns patients of whom most have been here.
func (x *plan) regulars(n int) (all []*Patient) {
	for len(all) < n {
		if p := pick(x.r, x.h.patients); !p.away && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// elsewhere returns a patient in a bed of another ward, with whom who has nothing to do; a record that nobody uses if there is none.
func (x *plan) elsewhere() *Patient {
	for try := 0; try < 200 && len(x.h.byDay[x.day]) > 0; try++ {
		s := pick(x.r, x.h.byDay[x.day])
		mine := slices.ContainsFunc(s.patient.stays, func(s *stay) bool { return x.h.ward[s.ward][0].Department == x.who.Department || s.float != nil })
		if !mine && !s.patient.taken {
			s.patient.taken = true
			return s.patient
		}
	}
	return x.record()
}

// look opens a record once, at about an hour.
func (x *plan) look(p *Patient, hour int) {
	x.c.Patient = p.MRN
	x.on(x.day, func(t *today, n int) { t.add(touch(t.at(hour, 2), x.who, "R", p), n) })
}

func plantOwn(x *plan) {
	if x.who.Patient == nil {
		p := x.record()
		p.First, p.Last, p.Home, x.who.Patient = x.who.First, x.who.Last, x.who.Home, p
	}
	x.look(x.who.Patient, 13)
}

func plantEmergency(x *plan) {
	p := x.elsewhere()
	x.c.Patient = p.MRN
	x.on(x.day, func(t *today, n int) {
		ev := touch(t.at(13, 2), x.who, "R", p)
		ev.Purposes = []hippad.Code{{System: hippad.SystemActReason, Code: "BTG"}}
		t.add(ev, n)
	})
}

func plantBurst(x *plan) {
	all := x.regulars(70)
	x.on(x.day, func(t *today, n int) {
		at := t.at(9, 2)
		for i, p := range all {
			t.add(touch(at.Add(time.Duration(i)*90*time.Second), x.who, "R", p), n)
		}
	})
}

// plantDrip has somebody open one record every other day for two months.
func plantDrip(x *plan) {

	for d := max(x.h.Size.QuietDays, x.h.Size.Days-75); d < x.h.Size.Days-5; d += 2 {
		p := x.record()
		x.on(d, func(t *today, n int) { t.add(touch(t.at(13, 2), x.who, "R", p), n) })
	}
}

func plantExport(x *plan) {
	all := x.regulars(80)
	x.on(x.day, func(t *today, n int) {
		ev := touch(t.at(10, 4), x.who, "R", all...)
		ev.Type = coded("110106", "Export")
		t.add(ev, n)
	})
}

// plantNight has a clerk or a physician, who never work at night, look at one.
func plantNight(x *plan) {
	var days []*Staff
	for _, w := range x.h.ward {
		for _, s := range w[1:] {
			if s.Job != "nurse" {
				days = append(days, s)
			}
		}
	}
	x.who = days[x.c.Number/len(planters())%len(days)]
	x.c.User = x.who.User
	x.look(x.record(), 2)
}

func plantDevice(x *plan) {
	p := x.elsewhere()
	x.c.Patient = p.MRN
	x.on(x.day, func(t *today, n int) {
		ev := touch(t.at(13, 2), x.who, "R", p)
		ev.Agents[0].Address = fmt.Sprintf("10.99.%d.7", n)
		t.add(ev, n)
	})
}

// plantFamous has a dozen people of several departments look at one who is in the news.
func plantFamous(x *plan) {
	p := x.record()
	x.c.Patient, x.c.User = p.MRN, ""
	var all []*Staff
	for i := range 12 {
		w := x.h.ward[i%len(x.h.ward)]
		all = append(all, w[1+(i/len(x.h.ward)+x.c.Number)%(len(w)-1)])
	}
	x.on(x.day, func(t *today, n int) {
		for _, s := range all {
			if s.Ended < 0 || s.Ended >= t.day {
				t.add(touch(t.at(9, 10), s, "R", p), n)
			}
		}
	})
}

func plantAgain(x *plan) {
	p := x.record()
	x.c.Patient = p.MRN
	for i := range 5 {
		x.on(x.day+i*3, func(t *today, n int) { t.add(touch(t.at(13, 2), x.who, "R", p), n) })
	}
}

func plantByName(x *plan) {
	p := x.elsewhere()
	x.c.Patient = p.MRN
	x.on(x.day, func(t *today, n int) {
		at := t.at(13, 2)
		t.add(search(at, x.who, p), n)
		t.add(touch(at.Add(40*time.Second), x.who, "R", p), n)
	})
}

func plantGuess(x *plan) {
	x.on(x.day, func(t *today, n int) {
		at := t.at(13, 2)
		for i := range 7 {
			t.add(signIn(at.Add(time.Duration(i)*40*time.Second), x.who, "10.98.0.1", i == 6), n)
		}
	})
}

// plantTwice is an account used in two places at once.
func plantTwice(x *plan) {
	var p []*Patient
	for range 3 {
		p = append(p, x.record())
	}
	x.on(x.day, func(t *today, n int) {
		at := t.at(13, 2)
		for i := range 6 {
			ev := touch(at.Add(time.Duration(i)*2*time.Minute), x.who, "R", p[i/2])
			ev.Agents[0].Address = []string{x.who.devices[0], "198.51.100.7"}[i%2]
			t.add(ev, n)
		}
	})
}

func plantLog(x *plan) {
	x.on(x.day, func(t *today, n int) {
		ev := by(t.at(13, 2), x.who, x.who.devices[0])
		ev.Type, ev.Action = coded("110101", "Audit Log Used"), "R"
		t.add(ev, n)
	})
}

// plantVictim is somebody who was spied upon before.
func plantVictim(x *plan) {
	for _, c := range x.h.cases {
		if c.Rule == "A3" && c.First < x.day-1 {
			for _, p := range x.h.patients {
				mine := slices.ContainsFunc(p.stays, func(s *stay) bool { return x.h.ward[s.ward][0].Department == x.who.Department || s.float == x.who })
				if p.MRN == c.Patient && !mine {
					x.look(p, 13)
					return
				}
			}
		}
	}
	x.look(x.record(), 13)
}

// plantColleague opens the record of somebody who works elsewhere in the house.
func plantColleague(x *plan) {
	var all []*Staff
	for _, s := range x.h.staff {
		if s.Patient != nil && s.Department != x.who.Department {
			all = append(all, s)
		}
	}
	x.look(pick(x.r, all).Patient, 13)
}

// plantHead opens the record of the head of the own ward.
func plantHead(x *plan) {
	head := x.who.Manager
	if head.Patient == nil {
		p := x.record()
		p.First, p.Last, p.Home, head.Patient = head.First, head.Last, head.Home, p
	}
	x.look(head.Patient, 13)
}

// plantEnded is somebody who has left, and still signs in.
func plantEnded(x *plan) {
	for _, s := range x.h.serve["Administration"] {
		if s.Ended < 0 {
			x.who, x.c.User = s, s.User
			break
		}
	}
	if x.who.Ended < 0 {
		x.who.Ended = x.day - 5
	}
	x.day = max(x.day, x.who.Ended+1)
	x.c.First, x.c.Last = x.day, x.day
	x.look(x.record(), 13)
}
