package hospital

import (
	"fmt"
	"math/rand/v2"
)

// A Staff is a member of the workforce (45 CFR 160.103).
type Staff struct {
	User       string // identifier within UserSystem
	First      string
	Last       string
	Department string
	Job        string // nurse, physician, clerk, pharmacist, technician, therapist, billing, coder, administrator
	Manager    *Staff // nil: nobody
	Home       Home
	Patient    *Patient // the own record; nil: none
	Ended      int      // the last day of work; -1: still here

	turn    int      // of a nurse: which third of the rota
	devices []string // where he or she usually works
	absent  bool     // does nothing but what is planted, and a few things in the first days
}

// A Home is where somebody lives.
type Home struct{ Street, City, ZIP, Phone string }

// A Patient is whose data it is.
type Patient struct {
	MRN       string // identifier within PatientSystem
	First     string
	Last      string
	Home      Home
	Born      string // day
	Died      string // day; empty: alive
	VIP       bool
	Sensitive bool

	away  bool // never comes to a ward: nobody but who is planted looks at the record
	taken bool // by a case
	stays []*stay
}

// hire makes up who works here.
func (h *Hospital) hire(r *rand.Rand) {
	h.ward = make([][]*Staff, h.Size.Wards)
	for w := range h.ward {
		name := fmt.Sprintf("Ward %d", w+1)
		for i := range max(12, h.Size.PerWard) {
			job := "nurse"
			switch {
			case i%5 == 0:
				job = "physician"
			case i%11 == 7:
				job = "clerk"
			}
			s := h.person(r, name, job, w)
			s.turn = i % 3
			if i > 0 {
				s.Manager = h.ward[w][0]
			}
			h.ward[w] = append(h.ward[w], s)
		}
	}
	for i, x := range []struct {
		department, job string
		each            int // one for so many wards
	}{{"Laboratory", "technician", 2}, {"Pharmacy", "pharmacist", 2}, {"Physiotherapy", "therapist", 1}, {"Billing", "billing", 3}, {"HIM", "coder", 3}, {"Administration", "administrator", 1}} {
		for n := range 3 + h.Size.Wards/x.each {
			s := h.person(r, x.department, x.job, 100+i)
			if n > 0 {
				s.Manager = h.serve[x.department][0]
			}
			s.absent = x.department == "Administration"
			h.serve[x.department] = append(h.serve[x.department], s)
		}
	}
}

func (h *Hospital) person(r *rand.Rand, department, job string, net int) *Staff {
	s := &Staff{
		User: fmt.Sprintf("u%04d", len(h.staff)+1), First: firstName(r), Last: lastName(r), Department: department, Job: job, Home: home(r), Ended: -1,
	}
	for range 4 {
		s.devices = append(s.devices, fmt.Sprintf("10.20.%d.%d", net, 10+r.IntN(6)))
	}
	h.staff = append(h.staff, s)
	return s
}

// register makes up who has a record. One in three of the staff does.
func (h *Hospital) register(r *rand.Rand) {
	for i := range h.Size.Patients {
		p := &Patient{
			MRN: fmt.Sprintf("%06d", 100_000+i), First: firstName(r), Last: lastName(r), Home: home(r),
			Born: Start().AddDate(-20-r.IntN(70), -r.IntN(12), -r.IntN(28)).Format("2006-01-02"), away: i%4 == 3,
		}
		h.patients = append(h.patients, p)
	}
	for i, s := range h.staff {
		if i%3 == 1 && 4*i+3 < len(h.patients) {
			p := h.patients[4*i+2+i%2] // half of them come as patients too
			p.First, p.Last, p.Home, p.taken = s.First, s.Last, s.Home, true
			s.Patient = p
		}
	}
}

// Names are made of syllables: some are frequent, most are rare, as in life.
func lastName(r *rand.Rand) string {
	begin := []string{"Al", "Bar", "Car", "Dor", "El", "Fen", "Gar", "Hol", "Ing", "Jor", "Kel", "Lin", "Mar", "Nor", "Os", "Pel", "Quin", "Ros", "Sten", "Tor", "Ul", "Ves", "Wil", "Yar", "Zim"}
	middle := []string{"", "a", "e", "i", "o", "an", "en", "in", "on", "er", "ar", "ber", "der", "mer", "ler", "ther"}
	end := []string{"son", "berg", "man", "ton", "ley", "field", "ova", "ez", "sen", "ski", "well", "worth", "stein", "dal", "mann", "rup", "by", "ford", "low", "gard"}
	skewed := func(list []string) string { return list[int(float64(len(list))*r.Float64()*r.Float64())] }
	return skewed(begin) + skewed(middle) + skewed(end)
}

func firstName(r *rand.Rand) string {
	return pick(r, []string{"Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hal", "Ida", "Jon", "Kim", "Leo", "Mia", "Ned", "Olga", "Per", "Rosa", "Sam", "Tess", "Uma", "Vera", "Will", "Zoe"})
}

func home(r *rand.Rand) Home {
	return Home{
		Street: fmt.Sprintf("%d %s Street", 1+r.IntN(900), lastName(r)), City: "Springfield", ZIP: fmt.Sprintf("627%02d", r.IntN(40)),
		Phone: fmt.Sprintf("+1 217 555 %04d", r.IntN(10_000)) + fmt.Sprintf("%02d", r.IntN(100)),
	}
}
