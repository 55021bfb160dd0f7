package regulation

import (
	"slices"
	"strings"
	"unicode"

	"hippad"
)

// ReviewRosters are what other systems of the organisation know of people, as far as a review was given it. Nothing of them is kept in a finding
// but what a rule says of it.
type ReviewRosters struct {
	staff     map[string]*RosterStaff   // by every form of the user, lower case
	patients  map[string]*RosterPatient // by the one name of the patient
	relations map[string][]RosterRelation
	bearers   map[string]int // of last names, among patients
	own       map[string]*RosterStaff
	canonical func(string) string
	counted   int // patients with a last name
}

// A RosterStaff is a member of the workforce.
type RosterStaff struct {
	User       string // as the events write it, with or without system; lower case after AddStaff
	Last       string // last name
	Department string
	Job        string
	Manager    string // user; empty: nobody, or not known
	Home       RosterHome
	Patient    string // the own record; empty: none is known
	End        Date   // the last day of employment; zero: there is none
}

// A RosterPatient is somebody with a record.
type RosterPatient struct {
	Last      string
	Home      RosterHome
	Born      Date
	Died      Date // zero: alive, or not known
	VIP       bool
	Sensitive bool
}

// A RosterRelation says that somebody had a reason to open a record: an encounter, an appointment, a place in a care team.
type RosterRelation struct {
	User       string   // or
	Department string   // everybody in it
	From, To   Date     // zero: open
	_          struct{} // fields are named where it is made
}

// A RosterHome is where somebody lives and can be called.
type RosterHome struct{ Street, ZIP, Phone string }

// NewReviewRosters returns rosters in which nobody is. canonical is that of ReviewOptions.Patient; nil: names are as they are.
func NewReviewRosters(canonical func(string) string) *ReviewRosters {
	return &ReviewRosters{
		staff: map[string]*RosterStaff{}, patients: map[string]*RosterPatient{}, relations: map[string][]RosterRelation{},
		bearers: map[string]int{}, own: map[string]*RosterStaff{}, canonical: canonical,
	}
}

func (r *ReviewRosters) name(patient string) string {
	patient = hippad.NewTerm(hippad.FieldPatient, patient).Value
	if r.canonical != nil && patient != "" {
		patient = r.canonical(patient)
	}
	return Shortened(patient)
}

// AddStaff takes a member of staff. Kind Invalid if there is no user, one of more than 200 bytes, or one who is there already.
func (r *ReviewRosters) AddStaff(s RosterStaff) error {
	s.User = hippad.NewTerm(hippad.FieldAgent, s.User).Value
	if s.User == "" {
		return hippad.Errorf(hippad.Invalid, "there is no user")
	}
	if len(s.User) > maxKey || len(s.Manager) > maxKey {
		return hippad.Errorf(hippad.Invalid, "a user has more than %d bytes", maxKey)
	}
	if r.staff[s.User] != nil {
		return hippad.Errorf(hippad.Invalid, "the user is on an earlier line too")
	}
	s.Manager = hippad.NewTerm(hippad.FieldAgent, s.Manager).Value
	s.Patient = r.name(s.Patient)
	r.staff[s.User] = &s
	if s.Patient != "" {
		r.own[s.Patient] = &s
	}
	return nil
}

// find returns who has a user id, nil if nobody is known to.
func (r *ReviewRosters) find(user string) *RosterStaff { return r.staff[user] }

// AddPatient takes a patient, of whom a line under another identifier may have said something already: that stays where this one says nothing. Kind
// Invalid if there is none.
func (r *ReviewRosters) AddPatient(patient string, p RosterPatient) error {
	x, err := r.known(patient)
	if err != nil {
		return err
	}
	if p.Last != "" && x.Last == "" {
		r.bearers[reviewFold(p.Last)]++
		r.counted++
	}
	if x.Last == "" {
		x.Last = p.Last // of two the first, which is the one that was counted
	}
	if p.Home != (RosterHome{}) {
		x.Home = p.Home
	}
	if !p.Born.IsZero() {
		x.Born = p.Born
	}
	x.Died, x.VIP, x.Sensitive = laterDate(p.Died, x.Died), p.VIP || x.VIP, p.Sensitive || x.Sensitive
	return nil
}

// AddVIP says that a patient's record is one that people are curious about.
func (r *ReviewRosters) AddVIP(patient string) error {
	x, err := r.known(patient)
	if err == nil {
		x.VIP = true
	}
	return err
}

// AddDeceased says when a patient died.
func (r *ReviewRosters) AddDeceased(patient string, died Date) error {
	if died.IsZero() {
		return hippad.Errorf(hippad.Invalid, "there is no day of death")
	}
	x, err := r.known(patient)
	if err == nil {
		x.Died = died
	}
	return err
}

// AddRelation says who had a reason. Kind Invalid if there is no patient, or nobody who has it.
func (r *ReviewRosters) AddRelation(patient string, x RosterRelation) error {
	patient = r.name(patient)
	if x.User = hippad.NewTerm(hippad.FieldAgent, x.User).Value; patient == "" || x.User == "" && x.Department == "" {
		return hippad.Errorf(hippad.Invalid, "a relation needs a patient, and a user or a department")
	}
	if !x.From.IsZero() && !x.To.IsZero() && x.To.Before(x.From) {
		return hippad.Errorf(hippad.Invalid, "the relation ends before it begins")
	}
	r.relations[patient] = append(r.relations[patient], x)
	return nil
}

func (r *ReviewRosters) known(patient string) (*RosterPatient, error) {
	patient = r.name(patient)
	if patient == "" {
		return nil, hippad.Errorf(hippad.Invalid, "there is no patient")
	}
	x := r.patients[patient]
	if x == nil {
		x = &RosterPatient{}
		r.patients[patient] = x
	}
	return x, nil
}

func laterDate(a, b Date) Date {
	if a.Before(b) {
		return b
	}
	return a
}

// Below returns, of each user who works under one of those named, directly or not, the manager: what is needed to know afterwards who may not judge
// whom. forms are the ways of writing a user: a manager need not be written as the events do, nor have a line.
func (r *ReviewRosters) Below(users []string, forms func(string) []string) map[string]string {
	under := map[string][]string{}
	for user, s := range r.staff {
		if s.Manager == "" {
			continue
		}
		for _, f := range forms(s.Manager) {
			under[f] = append(under[f], user)
		}
	}
	for _, list := range under {
		slices.Sort(list)
	}
	out := map[string]string{}
	for queue := slices.Clone(users); len(queue) > 0; queue = queue[1:] {
		for _, f := range forms(queue[0]) {
			for _, user := range under[f] {
				if _, seen := out[user]; !seen {
					out[user] = queue[0]
					queue = append(queue, user)
				}
			}
		}
	}
	return out
}

// reviewFold makes names and departments comparable.
func reviewFold(s string) string { return hippad.Fold(strings.TrimSpace(s)) }

// phoneDigits is a telephone number as it is compared: without signs, the last ten.
func phoneDigits(phone string) string {
	d := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return r
		}
		return -1
	}, phone)
	if len(d) < 7 {
		return ""
	}
	return d[max(0, len(d)-12):]
}

// house and street are an address as it is compared: empty if it is not known well enough.
func (h RosterHome) house() string {
	if h.Street == "" || h.ZIP == "" {
		return ""
	}
	return reviewFold(h.Street) + "|" + reviewFold(h.ZIP)
}

func (h RosterHome) street() string {
	name := strings.Join(strings.FieldsFunc(reviewFold(h.Street), func(r rune) bool { return !unicode.IsLetter(r) }), " ")
	if name == "" || h.ZIP == "" {
		return ""
	}
	return name + "|" + reviewFold(h.ZIP)
}
