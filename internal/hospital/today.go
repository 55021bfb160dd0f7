package hospital

import (
	"math/rand/v2"
	"time"

	"hippad"
)

// today is one day's work.
type today struct {
	h      *Hospital
	day    int
	r      *rand.Rand
	events []Event
}

// Shifts begin at 7, 15 and 23; the last belongs to the day on which it begins.
const (
	early = 7
	late  = 15
	night = 23
)

// nurses returns who of a ward is on a shift: each third of the rota changes shift every week.
func (h *Hospital) nurses(ward, day, shift int) (out []*Staff) {
	third := map[int]int{early: 0, late: 1, night: 2}[shift]
	for i, s := range h.of(ward, "nurse") {
		if (s.turn+day/7)%3 == third && (i+day)%7 < 5 && (s.Ended < 0 || day <= s.Ended) && !s.absent {
			out = append(out, s)
		}
	}
	return out
}

// at returns a moment within hours of the day.
func (t *today) at(from, hours int) time.Time {
	return Day(t.day).Add(time.Duration(from)*time.Hour + time.Duration(t.r.Int64N(int64(hours)*int64(time.Hour)))).Truncate(time.Millisecond)
}

func (t *today) add(ev hippad.Event, number int) { t.events = append(t.events, Event{ev, number}) }

// search is a search for a patient by name.
func search(at time.Time, s *Staff, p *Patient) hippad.Event {
	ask := by(at, s, s.devices[0])
	ask.Type, ask.Action = coded("110112", "Query"), "E"
	ask.Entities = []hippad.Entity{{
		Type:  hippad.Code{System: hippad.SystemEntityType, Code: "2"},
		Role:  hippad.Code{System: hippad.SystemObjectRole, Code: "24", Display: "Query"},
		Query: []byte("Patient?family=" + p.Last + "&given=" + p.First),
	}}
	return ask
}

// signIn lets everybody who works today sign in, some at the second try; on the first days also those who hardly ever do.
func (t *today) signIn() {
	for _, s := range t.h.staff {
		if s.Ended >= 0 && t.day > s.Ended || s.absent && t.day > 10 || (int(s.User[len(s.User)-1])+t.day)%7 >= 5 {
			continue
		}
		at := t.at(7, 1)
		if t.r.IntN(25) == 0 {
			t.add(signIn(at, s, s.devices[0], false), 0)
			at = at.Add(20 * time.Second)
		}
		t.add(signIn(at, s, s.devices[0], true), 0)
	}
}

// care is what is done with one patient's record today.
func (t *today) care(s *stay) {
	r, h := t.r, t.h
	if s.first == t.day {
		if clerks := h.of(s.ward, "clerk"); len(clerks) > 0 {
			clerk, at := pick(r, clerks), t.at(8, 8)
			if r.IntN(3) == 0 {
				t.add(search(at, clerk, s.patient), 0)
			}
			t.add(touch(at.Add(90*time.Second), clerk, "C", s.patient), 0)
		}
	}
	for _, shift := range []int{early, late, night} {
		on := h.nurses(s.ward, t.day, shift)
		if len(on) == 0 {
			continue
		}
		n := on[int(s.patient.MRN[5]-'0')%len(on)]
		at := t.at(shift, 6)
		t.add(touch(at, n, "R", s.patient), 0)
		t.add(touch(at.Add(time.Duration(2+r.IntN(20))*time.Minute), n, "U", s.patient), 0)
		if r.IntN(3) == 0 { // a colleague who only looks
			t.add(touch(t.at(shift, 7), pick(r, on), "R", s.patient), 0)
		}
	}
	at := t.at(8, 8)
	t.add(touch(at, s.physician, "R", s.patient), 0)
	t.add(touch(at.Add(7*time.Minute), s.physician, "U", s.patient), 0)
	if r.IntN(5) < 3 {
		t.add(order(at.Add(9*time.Minute), s.physician, s.technician, s.patient), 0)
		t.add(touch(at.Add(time.Duration(30+r.IntN(60))*time.Minute), s.technician, "R", s.patient), 0)
		t.add(touch(at.Add(time.Duration(100+r.IntN(60))*time.Minute), s.technician, "U", s.patient), 0)
	}
	t.visitors(s)
}

// visitors are those from elsewhere who take part in a stay.
func (t *today) visitors(s *stay) {
	r := t.r
	if r.IntN(2) == 0 {
		at := t.at(8, 9)
		t.add(touch(at, s.pharmacist, "R", s.patient), 0)
		if r.IntN(2) == 0 {
			t.add(touch(at.Add(5*time.Minute), s.pharmacist, "U", s.patient), 0)
		}
	}
	if s.therapist != nil {
		at := t.at(9, 7)
		t.add(touch(at, s.therapist, "R", s.patient), 0)
		if r.IntN(3) > 0 {
			t.add(touch(at.Add(30*time.Minute), s.therapist, "U", s.patient), 0)
		}
	}
	if s.consultant != nil && t.day == s.first {
		at := t.at(9, 4)
		t.add(order(at, s.physician, s.consultant, s.patient), 0)
		t.add(touch(at.Add(time.Duration(1+r.IntN(5))*time.Hour), s.consultant, "R", s.patient), 0)
	}
	if s.float != nil {
		t.add(touch(t.at(9, 7), s.float, "R", s.patient), 0)
	}
}

// papers is what is done after a stay.
func (t *today) papers(s *stay) {
	for _, d := range []string{"Billing", "HIM"} {
		t.add(touch(t.at(8, 9), pick(t.r, t.h.serve[d]), "R", s.patient), 0)
	}
}

// The kinds of events (DICOM PS3.16 CID 400, 401).
func coded(code, display string) hippad.Code {
	return hippad.Code{System: hippad.SystemDCM, Code: code, Display: display}
}

func by(at time.Time, s *Staff, device string) hippad.Event {
	return hippad.Event{
		Recorded: at, Outcome: "0",
		Agents: []hippad.Agent{{
			Who:  hippad.Reference{Identifier: hippad.Identifier{System: UserSystem, Value: s.User}},
			Name: s.First + " " + s.Last, Requestor: true, Roles: []hippad.Code{{System: "urn:x-hospital:job", Code: s.Job}},
			Location: hippad.Reference{Display: s.Department}, Address: device, AddressType: "2",
		}},
		Source: hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: "ehr-1"}}, Site: "Springfield"},
	}
}

func about(p *Patient) hippad.Entity {
	n := hippad.Entity{
		What: hippad.Reference{Identifier: hippad.Identifier{System: PatientSystem, Value: p.MRN}},
		Type: hippad.Code{System: hippad.SystemEntityType, Code: "1", Display: "Person"},
		Role: hippad.Code{System: hippad.SystemObjectRole, Code: "1", Display: "Patient"},
	}
	if p.Sensitive {
		n.Labels = []hippad.Code{{System: "http://terminology.hl7.org/CodeSystem/v3-ActCode", Code: "ETH"}}
	}
	return n
}

// touch is a record read (R), made (C) or changed (U), at one of the usual places.
func touch(at time.Time, s *Staff, action string, patients ...*Patient) hippad.Event {
	ev := by(at, s, s.devices[int(at.UnixMilli()/7)%len(s.devices)])
	ev.Type, ev.Action = coded("110110", "Patient Record"), action
	for _, p := range patients {
		ev.Entities = append(ev.Entities, about(p))
	}
	return ev
}

// order is an order or a referral to somebody.
func order(at time.Time, from, to *Staff, p *Patient) hippad.Event {
	ev := touch(at, from, "C", p)
	ev.Type = coded("110109", "Order Record")
	ev.Agents = append(ev.Agents, hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{System: UserSystem, Value: to.User}}, Name: to.First + " " + to.Last})
	return ev
}

func signIn(at time.Time, s *Staff, device string, ok bool) hippad.Event {
	ev := by(at, s, device)
	ev.Type, ev.Subtypes, ev.Action = coded("110114", "User Authentication"), []hippad.Code{coded("110122", "Login")}, "E"
	if !ok {
		ev.Outcome = "4"
	}
	return ev
}
