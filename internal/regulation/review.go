package regulation

import (
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"hippad"
)

// Activity review (45 CFR 164.308(a)(1)(ii)(D)): explain first, then score what is left, visibly. The unit is an access: what one user did with
// one patient's data on one day. The rules and their ids are those of ReviewRules.

// ReviewOptions says what is reviewed, and by which numbers. The zero values of the numbers stand for those of ReviewDefaults.
type ReviewOptions struct {
	From, To time.Time // the period; To is not part of it
	// LateFrom is the index from which on an entry is part of the period although it happened before: it came after the last review. 0: none.
	LateFrom int64
	Zone     *time.Location // in which days begin; nil: UTC

	Sample      int // of 1,000 accesses that were explained, how many are looked at all the same; negative: none
	MaxFindings int // how many are kept, those with the most points first
	FunctionCap int // patients a day up to which a job function explains (E6)
	Seed        []byte

	// Cleared holds the users and patients of whom a person has said that an access was appropriate (E4).
	Cleared map[ReviewPair]ReviewCleared
	// Victims are patients of whom an access was confirmed to be inappropriate, and the days of those (A18).
	Victims map[string][]Date
	// Patient returns the one name of a patient who has several identifiers; nil: nobody has.
	Patient func(string) string
}

// A ReviewPair is a user and a patient, in the form of Finding.
type ReviewPair struct{ User, Patient string }

// ReviewCleared says which access was found appropriate, and when: it explains others from that day to 30 days after the verdict.
type ReviewCleared struct {
	Day Date
	At  time.Time
}

// HistoryDays is how many days before a period the rules want to know: A11 looks back furthest.
const HistoryDays = 120

// ReviewDefaults returns o with the numbers that nobody has chosen.
func ReviewDefaults(o ReviewOptions) ReviewOptions {
	set := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	set(&o.Sample, 15)
	set(&o.MaxFindings, 20_000)
	set(&o.FunctionCap, 150)
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return o
}

// A Review is one being made. Entries are added in the order of the log; what it remembers grows with the days on which somebody touched
// somebody's data, not with the entries.
type Review struct {
	options ReviewOptions
	rosters *ReviewRosters

	names    map[string]int32 // of users
	people   []*reviewUser
	charts   map[string]int32 // of patients
	patients []string
	pairs    map[uint64][]pairDay // by user and patient; of days, ascending
	places   map[string]int32     // addresses
	networks []uint64             // of places

	began    time.Time // the earliest entry, but for what came late
	entries  int64     // of the period
	before   int64     // of the history
	hasPlace bool      // departments are known
}

// A reviewUser is somebody who does things.
type reviewUser struct {
	key, name, department, job string
	other                      string // another id of the user, as the newest event has it
	roster                     *RosterStaff
	days                       map[int32]*userDay
	devices                    map[int32]int32 // place -> day on which it was first used
	recent                     [3]moment       // the newest last
}

type moment struct {
	at, entry int64
	place     int32
}

// A userDay is what somebody did on a day.
type userDay struct {
	patients, events int32
	within           bool // something of it is part of the period, which may begin or end within a day
	hours            [24]uint16
	first            int64 // entry
	rare             *rareDay
}

// A rareDay is of what few people do.
type rareDay struct {
	exported, exports          int32
	export                     []int64  // entries
	failed, succeeded          []moment // log-ins, the newest
	failures, successes        int32
	searches                   []moment // by name, the newest
	searched                   int32
	logUse, emergencies        int32
	logEntries, emergencyEntry []int64
	twice                      []int64 // entries of two places at once
	after                      []int64 // entries after the end of employment
	afterCount                 int32
}

// A pairDay is an access: what a user did with a patient's data on a day.
type pairDay struct {
	day               int32
	reads, writes     int32
	flags             uint8
	within            bool  // as of a userDay
	first, last       int64 // Unix seconds of the accesses
	wrote, wroteEntry int64 // the first that changed something
	wroteLast         int64
	named, namedEntry int64 // by somebody else
	namedBy           int32
	place, otherPlace int32
	entries           []int64
}

const (
	flagEmergency = 1 << iota
	flagSelf
	flagSensitive
	flagNamed
)

const (
	maxProof   = 8   // entries that are kept of an access
	maxMoments = 256 // of a day
)

// NewReview begins a review. rosters may be nil.
func NewReview(o ReviewOptions, rosters *ReviewRosters) *Review {
	if rosters == nil {
		rosters = NewReviewRosters(nil)
	}
	return &Review{
		options: ReviewDefaults(o), rosters: rosters, names: map[string]int32{}, charts: map[string]int32{}, pairs: map[uint64][]pairDay{}, places: map[string]int32{},
	}
}

// Add takes an observation into the review.
func (r *Review) Add(o Observation) {
	late := r.options.LateFrom > 0 && o.Entry >= r.options.LateFrom && o.At.Before(r.options.From)
	within := late || !o.At.Before(r.options.From) && o.At.Before(r.options.To)
	if !late && (r.began.IsZero() || o.At.Before(r.began)) { // what came late may be older than all that is read
		r.began = o.At
	}
	if within {
		r.entries++
	} else {
		r.before++
	}
	if o.User == "" {
		return
	}
	id := r.user(o)
	u := r.people[id]
	day := r.dayOf(o.At)
	d := u.days[day]
	if d == nil {
		d = &userDay{first: o.Entry}
		u.days[day] = d
	}
	d.within = d.within || within
	d.events++
	hour := o.At.In(r.options.Zone).Hour()
	d.hours[hour] = min(d.hours[hour]+1, 1<<16-2)
	place := r.place(o.Address)
	if place >= 0 && !o.Failed {
		if first, ok := u.devices[place]; !ok || day < first {
			u.devices[place] = day
		}
	}
	r.rare(u, d, o, place, day)
	if o.Failed {
		return
	}
	for _, p := range o.Patients {
		r.touch(id, r.patient(p), o, day, place, within, d)
	}
	for _, other := range o.Named {
		named := r.user(Observation{User: other})
		for _, p := range o.Patients {
			x := r.access(named, r.patient(p), day)
			if x.namedEntry == 0 || x.flags&flagNamed == 0 {
				x.named, x.namedEntry, x.namedBy = o.At.Unix(), o.Entry, id
				x.flags |= flagNamed
			}
		}
	}
}

func (r *Review) touch(user, patient int32, o Observation, day, place int32, within bool, d *userDay) {
	x := r.access(user, patient, day)
	at := o.At.Unix()
	if x.reads+x.writes == 0 {
		d.patients++
		x.first, x.last, x.place, x.otherPlace = at, at, place, place
	}
	x.first, x.last, x.within = min(x.first, at), max(x.last, at), x.within || within
	if o.Write {
		if x.writes == 0 || at < x.wrote {
			x.wrote, x.wroteEntry = at, o.Entry
		}
		x.writes++
		x.wroteLast = max(x.wroteLast, at)
	} else {
		x.reads++
	}
	if place != x.place {
		x.otherPlace = place
	}
	if o.Emergency {
		x.flags |= flagEmergency
	}
	if o.Sensitive {
		x.flags |= flagSensitive
	}
	if o.Self || r.people[user].roster != nil && r.people[user].roster.Patient == r.patients[patient] {
		x.flags |= flagSelf
	}
	if len(x.entries) < maxProof {
		x.entries = append(x.entries, o.Entry)
	}
}

// rare takes what is about a user rather than a patient.
func (r *Review) rare(u *reviewUser, d *userDay, o Observation, place, day int32) {
	ended := u.roster != nil && !u.roster.End.IsZero() && DateOf(o.At, r.options.Zone).After(u.roster.End)
	concurrent := r.concurrent(u, o, place)
	if !ended && !concurrent && o.Exported == 0 && !o.Export && !o.Login && !o.ByName && !o.LogUsed && !(o.Emergency && len(o.Patients) == 0) {
		return
	}
	if d.rare == nil {
		d.rare = &rareDay{}
	}
	x := d.rare
	keep := func(list *[]int64) {
		if len(*list) < maxProof {
			*list = append(*list, o.Entry)
		}
	}
	if ended {
		x.afterCount++
		keep(&x.after)
	}
	if concurrent {
		if len(x.twice) == 0 {
			x.twice = []int64{u.recent[0].entry, u.recent[1].entry}
		}
		keep(&x.twice)
	}
	if (o.Export || o.Exported > 0) && !o.Failed {
		x.exports++
		x.exported += int32(o.Exported)
		keep(&x.export)
	}
	now := moment{o.At.Unix(), o.Entry, place}
	switch {
	case o.Login && o.Failed:
		keepNewest(&x.failed, &x.failures, now)
	case o.Login:
		keepNewest(&x.succeeded, &x.successes, now)
	}
	if o.ByName {
		keepNewest(&x.searches, &x.searched, now)
	}
	if o.LogUsed {
		x.logUse++
		keep(&x.logEntries)
	}
	if o.Emergency && len(o.Patients) == 0 {
		x.emergencies++
		keep(&x.emergencyEntry)
	}
}

// keepNewest adds a moment to those of a day, of which n were there, in the place of the oldest if there are very many: what follows on a thousand
// failures is what matters.
func keepNewest(list *[]moment, n *int32, m moment) {
	if len(*list) < maxMoments {
		*list = append(*list, m)
	} else {
		(*list)[*n%maxMoments] = m
	}
	*n++
}

// togetherWithin is the time in which one account, going from one network to another and back, must be in two places (A15).
const togetherWithin = 15 * 60

// concurrent keeps the last places of a user, and tells whether the newest three are of two networks by turns. Moving house takes one turn only.
func (r *Review) concurrent(u *reviewUser, o Observation, place int32) bool {
	if place < 0 || r.networks[place] == 0 || o.Failed {
		return false
	}
	a, b := u.recent[1], u.recent[2]
	u.recent = [3]moment{a, b, {o.At.Unix(), o.Entry, place}}
	if a.at == 0 || b.at == 0 {
		return false
	}
	spanWords := max(a.at, b.at, o.At.Unix()) - min(a.at, b.at, o.At.Unix())
	return spanWords <= togetherWithin && r.networks[a.place] == r.networks[place] && r.networks[b.place] != r.networks[place]
}

func (r *Review) user(o Observation) int32 {
	key, staff := o.User, (*RosterStaff)(nil)
	if staff = r.rosters.find(o.User); staff != nil {
		key = staff.User
	}
	id, ok := r.names[key]
	if !ok {
		id = int32(len(r.people))
		r.names[key] = id
		u := &reviewUser{key: key, roster: staff, days: map[int32]*userDay{}, devices: map[int32]int32{}}
		if staff != nil {
			u.department, u.job = staff.Department, staff.Job
		}
		r.people = append(r.people, u)
	}
	u := r.people[id]
	if o.Name != "" {
		u.name = o.Name
	}
	if o.Other != "" && o.Other != key {
		u.other = o.Other
	}
	if (staff == nil || staff.Department == "") && o.Department != "" {
		u.department = o.Department
	}
	if (staff == nil || staff.Job == "") && o.Job != "" {
		u.job = o.Job
	}
	r.hasPlace = r.hasPlace || u.department != ""
	return id
}

func (r *Review) patient(name string) int32 {
	id, ok := r.charts[name]
	if !ok {
		id = int32(len(r.patients))
		r.charts[name] = id
		r.patients = append(r.patients, name)
	}
	return id
}

func (r *Review) place(address string) int32 {
	if address == "" {
		return -1
	}
	id, ok := r.places[address]
	if !ok {
		id = int32(len(r.networks))
		r.places[address] = id
		r.networks = append(r.networks, networkOf(address))
	}
	return id
}

func pairKey(user, patient int32) uint64 { return uint64(uint32(user))<<32 | uint64(uint32(patient)) }

// access returns the day of a pair, made if it is not there. It is good until the next call.
func (r *Review) access(user, patient, day int32) *pairDay {
	key := pairKey(user, patient)
	days := r.pairs[key]
	i := len(days)
	for i > 0 && days[i-1].day > day { // what comes is mostly of the last of them
		i--
	}
	if i > 0 && days[i-1].day == day {
		return &days[i-1]
	}
	days = slices.Insert(days, i, pairDay{day: day, place: -1, otherPlace: -1, namedBy: -1})
	r.pairs[key] = days
	return &days[i]
}

// dayOf numbers days from 1970-01-01 on.
func (r *Review) dayOf(t time.Time) int32 {
	return int32(Date{1970, 1, 1}.DaysUntil(DateOf(t, r.options.Zone)))
}

func dateOfDay(day int32) Date { return Date{1970, 1, 1}.AddDays(int(day)) }

// sampled tells whether an access that was explained is looked at all the same: the same answer for the same review.
func (r *Review) sampled(user, patient string, day int32) bool {
	h := fnv.New64a()
	_, _ = h.Write(r.options.Seed)
	for _, s := range []string{user, patient} {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		_, _ = h.Write([]byte(s))
	}
	_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(day)))
	x := h.Sum64()
	x ^= x >> 32 // FNV's last bytes are mixed least
	x *= 0x9e3779b97f4a7c15
	return int((x>>32)%1000) < r.options.Sample
}

// An Observation is what a review needs of an entry.
type Observation struct {
	Entry    int64
	At       time.Time
	User     string // identifier; of one in the staff roster, the roster's
	Name     string
	Other    string   // another identifier of the user: a login, where User is a number
	Patients []string // identifiers
	Named    []string // identifiers of the others who take part, where something was made or sent

	Department, Job, Address string

	Write     bool // something was made, changed or deleted
	Failed    bool // nothing came of it
	Emergency bool // break-the-glass
	Self      bool // the user is the patient
	Sensitive bool
	Export    bool
	Exported  int // patients in an export, or in the answer to a search of many
	Login     bool
	ByName    bool // a search by a person's name
	LogUsed   bool // an audit log was read or changed
}

// Observe draws an observation from an entry. It looks at nothing but the options and the rosters: many goroutines may call it, while one calls Add.
func (r *Review) Observe(e hippad.Entry, ev hippad.Event) Observation {
	o := Observation{Entry: e.Index, At: hippad.Happened(e, ev)}
	who := actorOf(ev.Agents)
	if who < 0 {
		return o
	}
	a := &ev.Agents[who]
	forms := agentForms(a)
	o.User, o.Name, o.Address = r.userKey(forms), Shortened(a.Name), Shortened(a.Address)
	o.Other = Shortened(strings.ToLower(strings.TrimSpace(a.AltID)))
	o.Department, o.Job = Shortened(firstGiven(a.Location.Display, a.Location.Identifier.Value, a.Location.Literal)), Shortened(jobOf(a))
	o.observeKind(ev)
	for i := range ev.Entities {
		r.observeEntity(&o, &ev.Entities[i], forms)
	}
	switch n := len(o.Patients); {
	case o.Export:
		o.Exported = n
	case isReviewDCM(ev.Type, "110112") && n >= massPatients:
		o.Exported = n
	}
	if !o.Write && !o.Export && !isReviewDCM(ev.Type, "110107") {
		return o // who looks at a record gives nobody a reason to do so too; who orders, refers or sends a result does
	}
	for i := range ev.Agents {
		if i == who || isMachineAgent(&ev.Agents[i]) || len(o.Patients) == 0 || len(o.Patients) > maxNamed || len(o.Named) == maxNamed {
			continue
		}
		if other := r.userKey(agentForms(&ev.Agents[i])); other != "" && other != o.User {
			o.Named = append(o.Named, other)
		}
	}
	return o
}
