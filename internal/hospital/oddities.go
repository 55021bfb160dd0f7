package hospital

import (
	"fmt"
	"time"

	"hippad"
)

// oddities are what is done for good reasons that nobody wrote down, and looks like snooping: a review that never sees one is no review of a
// hospital.
func (t *today) oddities() {
	r, h := t.r, t.h
	for _, s := range h.byDay[t.day] {
		switch r.IntN(600) {
		case 0, 1, 2: // asked on the telephone by the other ward
			if who := t.anybody("nurse"); who != nil {
				t.add(touch(t.at(9, 10), who, "R", s.patient), 0)
			}
		case 3: // the same, and the number of the record was not known
			if who := t.anybody("nurse"); who != nil {
				at := t.at(9, 10)
				t.add(search(at, who, s.patient), 0)
				t.add(touch(at.Add(time.Minute), who, "R", s.patient), 0)
			}
		case 4: // an emergency that was one
			who, at := s.physician, t.at(0, 23)
			ev := touch(at, who, "R", s.patient)
			ev.Purposes = []hippad.Code{{System: hippad.SystemActReason, Code: "ETREAT"}}
			t.add(ev, 0)
			t.add(touch(at.Add(20*time.Minute), who, "U", s.patient), 0)
		case 5: // the consultant's office asks for an old record
			t.add(touch(t.at(9, 6), h.of(s.ward, "clerk")[0], "R", t.anyone()), 0)
		case 6: // overtime
			t.add(touch(t.at(20, 3), h.of(s.ward, "clerk")[0], "R", t.anyone()), 0)
		}
	}
	who := pick(r, h.staff)
	if who.absent || who.Ended >= 0 {
		return
	}
	switch r.IntN(20) {
	case 0: // a password forgotten over the holidays
		at := t.at(7, 1)
		for i := range 6 {
			t.add(signIn(at.Add(time.Duration(i)*30*time.Second), who, who.devices[0], i == 5), 0)
		}
	case 1: // a new computer
		ev := touch(t.at(9, 6), who, "R", t.anyone())
		ev.Agents[0].Address = fmt.Sprintf("10.30.0.%d", 1+r.IntN(200))
		t.add(ev, 0)
	case 2: // a registry gets its list
		var all []*Patient
		for range 60 {
			all = append(all, t.anyone())
		}
		ev := touch(t.at(10, 4), h.serve["HIM"][0], "R", all...)
		ev.Type = coded("110106", "Export")
		t.add(ev, 0)
	case 3: // who keeps the audit log
		ev := by(t.at(9, 6), h.serve["HIM"][1], h.serve["HIM"][1].devices[0])
		ev.Type, ev.Action = coded("110101", "Audit Log Used"), "R"
		t.add(ev, 0)
	case 4: // a study of quality
		if nurse := t.anybody("nurse"); nurse != nil && r.IntN(3) == 0 {
			at := t.at(9, 3)
			for i := range 40 {
				t.add(touch(at.Add(time.Duration(i)*time.Minute), nurse, "R", t.anyone()), 0)
			}
		}
	}
}

// anybody returns somebody of any ward who is here, nil if it is nobody.
func (t *today) anybody(job string) *Staff {
	all := t.h.of(t.r.IntN(len(t.h.ward)), job)
	if s := pick(t.r, all); s.Ended < 0 || t.day <= s.Ended {
		return s
	}
	return nil
}

// anyone returns a patient whom no case is about: what is planted stays what it is.
func (t *today) anyone() *Patient {
	for {
		if p := pick(t.r, t.h.patients); !p.taken {
			return p
		}
	}
}
