package regulation

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// A Finding is something that a review could not explain, or shows in any case, with the rules that say why.
type Finding struct {
	Number    int             `json:"number"` // within its review, from 1, those with the most points first
	Score     int             `json:"score"`  // the sum of Points
	Day       Date            `json:"day"`
	User      string          `json:"user,omitzero"`   // empty: it is about many
	Name      string          `json:"name,omitzero"`   // of the user, as the events have it
	Users     []string        `json:"users,omitempty"` // the many
	Also      []string        `json:"also,omitempty"`  // other ids by which events know the user, or the many: who has one of them must not judge
	Patient   string          `json:"patient,omitzero"`
	Points    []FindingPoints `json:"points"`
	Explained string          `json:"explained,omitzero"` // what explains it all the same, or a part of it
	Events    int             `json:"events"`
	Entries   []int64         `json:"entries"` // indexes of those that prove it, the first few
	Sampled   bool            `json:"sampled,omitzero"`
}

// FindingPoints are what one rule adds to a score, or an explanation takes off.
type FindingPoints struct {
	Rule   string `json:"rule"`
	Points int    `json:"points"`
	Why    string `json:"why"` // with the numbers; names no patient
}

// String hides of whom it is.
func (f Finding) String() string { return fmt.Sprintf("finding %d of %d points", f.Number, f.Score) }

// GoString hides of whom it is under %#v.
func (f Finding) GoString() string { return f.String() }

// LogValue hides of whom it is in slog.
func (f Finding) LogValue() slog.Value { return slog.StringValue(f.String()) }

// Has tells whether a rule is among the reasons.
func (f Finding) Has(rule string) bool {
	return slices.ContainsFunc(f.Points, func(p FindingPoints) bool { return p.Rule == rule })
}

// A ReviewOutcome is what a review came to.
type ReviewOutcome struct {
	Counts   ReviewCounts
	Findings []Finding
}

// ReviewCounts are its numbers.
type ReviewCounts struct {
	Entries    int64          `json:"entries"`  // of the period
	History    int64          `json:"history"`  // read besides, of the days before
	Accesses   int            `json:"accesses"` // users with patients, by day, in the period
	Explained  int            `json:"explained"`
	ByTemplate map[string]int `json:"byTemplate,omitempty"` // of those explained
	Found      int            `json:"found"`                // findings, without the sample
	Sampled    int            `json:"sampled"`
	LeftOut    int            `json:"leftOut,omitzero"`    // findings with the fewest points, over the limit
	Unapplied  []Unapplied    `json:"unapplied,omitempty"` // rules that could not be
}

// An Unapplied rule is one for which the review lacked something.
type Unapplied struct {
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
}

// An accessAt is an access of the period.
type accessAt struct {
	user, patient int32
	*pairDay
	why *reviewExplanation
}

// Outcome scores what was added. It is a pure function of that and of the options: the same entries in the same order give the same findings.
func (r *Review) Outcome() ReviewOutcome {
	p := r.prepare()
	p.whole = p.users()
	var out ReviewOutcome
	c := &out.Counts
	c.Entries, c.History, c.ByTemplate, c.Unapplied = r.entries, r.before, map[string]int{}, r.unapplied()
	from, to := r.dayOf(r.options.From), r.dayOf(r.options.To.Add(-1))
	all := p.accesses(from, to)
	again := p.again(all)
	perDay := map[uint64]int{} // explained accesses of a user on a day
	crowds := map[uint64][]accessAt{}
	var samples []Finding
	for _, a := range all {
		if !a.within {
			continue
		}
		c.Accesses++
		if a.why != nil {
			c.Explained++
			c.ByTemplate[a.why.id]++
			perDay[pairKey(a.user, a.day)]++
		} else {
			crowds[pairKey(a.patient, a.day)] = append(crowds[pairKey(a.patient, a.day)], a)
		}
		list := p.score(a, again[pairKey(a.user, a.patient)])
		name := r.patients[a.patient]
		switch {
		case len(list) > 0:
			out.Findings = append(out.Findings, p.finding(a, list))
		case a.why != nil && r.sampled(r.people[a.user].key, name, a.day):
			f := p.finding(a, []FindingPoints{reviewPoints(SampleRule, fmt.Sprintf("drawn, as %d of 1,000", r.options.Sample))})
			f.Sampled = true
			samples = append(samples, f)
		}
	}
	out.Findings = append(out.Findings, p.crowds(crowds)...)
	out.Findings = append(out.Findings, p.userDays(perDay)...)
	out.Findings = append(out.Findings, p.drips(all)...)
	out.finish(samples, r.options.MaxFindings)
	return out
}

// finish puts findings in their order, and numbers them.
func (out *ReviewOutcome) finish(samples []Finding, most int) {
	order := func(a, b Finding) int {
		return cmp.Or(-cmp.Compare(a.Score, b.Score), a.Day.Compare(b.Day), cmp.Compare(a.User, b.User), cmp.Compare(a.Patient, b.Patient),
			slices.Compare(a.Entries, b.Entries))
	}
	slices.SortFunc(out.Findings, order)
	slices.SortFunc(samples, order)
	samples = samples[:min(len(samples), most/10)]
	room := most - len(samples)
	if n := len(out.Findings) - room; n > 0 {
		out.Counts.LeftOut = n
		out.Findings = out.Findings[:room]
	}
	out.Counts.Found, out.Counts.Sampled = len(out.Findings), len(samples)
	out.Findings = append(out.Findings, samples...)
	for i := range out.Findings {
		out.Findings[i].Number = i + 1
	}
}

// accesses returns those of the period and of the 90 days before its end, explained if something explains them, in a fixed order.
func (p *preparedReview) accesses(from, to int32) (all []accessAt) {
	first := min(from, to-dripDays)
	for key, days := range p.r.pairs {
		user, patient := int32(key>>32), int32(uint32(key))
		for i := range days {
			x := &days[i]
			if x.reads+x.writes == 0 || !x.within && (x.day < first || x.day > to) {
				continue
			}
			a := accessAt{user: user, patient: patient, pairDay: x}
			if x.flags&flagSelf == 0 {
				a.why = p.explain(user, patient, x)
			}
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b accessAt) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.user, b.user), cmp.Compare(a.patient, b.patient))
	})
	return all
}

// again counts, of a user and a patient, the days of the period on which nothing explains that they were only looked at (A12).
func (p *preparedReview) again(all []accessAt) map[uint64]int {
	out := map[uint64]int{}
	for _, a := range all {
		if a.why == nil && a.writes == 0 && a.within {
			out[pairKey(a.user, a.patient)]++
		}
	}
	return out
}

// finding makes one of an access.
func (p *preparedReview) finding(a accessAt, list []FindingPoints) Finding {
	u := p.r.people[a.user]
	f := Finding{
		Day: dateOfDay(a.day), User: u.key, Name: u.name, Patient: p.r.patients[a.patient], Points: list,
		Events: int(a.reads + a.writes), Entries: slices.Clone(a.entries),
	}
	f.also(u)
	if a.why != nil {
		f.Explained = a.why.id + ": " + a.why.why
	}
	f.sum()
	return f
}

func (f *Finding) also(u *reviewUser) {
	if u.other != "" {
		f.Also = append(f.Also, u.other)
	}
}

func (f *Finding) sum() {
	f.Score = 0
	for _, p := range f.Points {
		f.Score += p.Points
	}
}

// score returns the rules that speak of an access, none if it needs nobody.
func (p *preparedReview) score(a accessAt, again int) (list []FindingPoints) {
	list = append(p.relatives(a), p.circumstances(a)...)
	if a.why == nil {
		list = append([]FindingPoints{reviewPoints("A3", "no explanation within 7 days")}, list...)
		return append(list, p.unusual(a, again)...)
	}
	// What says something of the user, and little of the patient, does not explain a colleague or a VIP.
	closer := a.why.weak && slices.ContainsFunc(list, func(x FindingPoints) bool { return x.Rule == "B3" || x.Rule == "B4" || x.Rule == "B6" })
	if !closer && !slices.ContainsFunc(list, func(x FindingPoints) bool { return alwaysFound(x.Rule) }) {
		return nil
	}
	return append(list, reviewPoints(a.why.id, a.why.why))
}

// circumstances are the rules that say what kind of access it is.
func (p *preparedReview) circumstances(a accessAt) (list []FindingPoints) {
	u, patient := p.r.people[a.user], p.r.patients[a.patient]
	if a.flags&flagSelf != 0 {
		list = append(list, reviewPoints("A1", "the user's own record"))
	}
	if a.flags&flagEmergency != 0 {
		list = append(list, reviewPoints("A2", "the purpose or the event says emergency"))
	}
	earlier := 0
	for _, d := range p.r.options.Victims[patient] {
		if d.Before(dateOfDay(a.day)) {
			earlier++
		}
	}
	if earlier > 0 {
		list = append(list, reviewPoints("A18", fmt.Sprintf("%d confirmed on earlier days", earlier)))
	}
	x := p.r.rosters.patients[patient]
	if x == nil {
		x = &RosterPatient{}
	}
	day := dateOfDay(a.day)
	if x.VIP {
		list = append(list, reviewPoints("B6", "on the list of VIPs"))
	}
	if !x.Born.IsZero() && day.Before(x.Born.AddYears(adultYears)) {
		list = append(list, reviewPoints("B7", fmt.Sprintf("under %d that day", adultYears)))
	}
	if since := x.Died.DaysUntil(day); !x.Died.IsZero() && since > deadDays && !paperwork(jobFunction(u.job, u.department)) {
		list = append(list, reviewPoints("B8", fmt.Sprintf("%d days after the death", since)))
	}
	if x.Sensitive || a.flags&flagSensitive != 0 {
		list = append(list, reviewPoints("B11", "the record or its roster says so"))
	}
	return list
}

// relatives are the rules that say how near the patient is to the user: they need rosters.
func (p *preparedReview) relatives(a accessAt) (list []FindingPoints) {
	r := p.r.rosters
	patient := p.r.patients[a.patient]
	user, x := p.r.people[a.user].roster, r.patients[patient]
	colleague := r.own[patient]
	if user != nil && colleague == user {
		return nil // A1 says it
	}
	if user != nil && x != nil {
		if n := r.bearers[reviewFold(user.Last)]; user.Last != "" && reviewFold(user.Last) == reviewFold(x.Last) {
			per := max(1, n)
			if r.counted > 1000 {
				per = max(1, (n*1000+r.counted-1)/r.counted)
			}
			if n := reviewPoints("B1", fmt.Sprintf("%d of %d patients have this last name", n, r.counted)); n.Points/per > 0 {
				n.Points /= per
				list = append(list, n)
			}
		}
		switch {
		case user.Home.house() != "" && user.Home.house() == x.Home.house():
			list = append(list, reviewPoints("B2", "the same address"))
		case phoneDigits(user.Home.Phone) != "" && phoneDigits(user.Home.Phone) == phoneDigits(x.Home.Phone):
			list = append(list, reviewPoints("B2", "the same telephone number"))
		case user.Home.street() != "" && user.Home.street() == x.Home.street():
			list = append(list, reviewPoints("B5", "the same street and ZIP code"))
		}
	}
	if colleague != nil {
		list = append(list, reviewPoints("B3", "the patient works here"))
		if user != nil && (sameUser(colleague.Manager, user.User) || sameUser(user.Manager, colleague.User)) {
			list = append(list, reviewPoints("B4", "one is the other's manager"))
		}
	}
	return list
}

// unusual are the rules that count only where nothing explains an access.
func (p *preparedReview) unusual(a accessAt, again int) (list []FindingPoints) {
	r := p.r
	u := r.people[a.user]
	if first, near := p.firstContact(a); first && !near {
		list = append(list, reviewPoints("A4", "never before in what was read, and nobody of the department within 72 hours"))
	}
	if n, total := p.hourShare(u, a); total >= 100 && n*100 < total {
		list = append(list, reviewPoints("A8", fmt.Sprintf("%d of %d events of the 90 days before were near this hour", n, total)))
	}
	if p.newDevice(u, a) {
		list = append(list, reviewPoints("A9", fmt.Sprintf("new that day, after %d others", len(u.devices)-1)))
	}
	if p.dormant(a) {
		list = append(list, reviewPoints("A11", fmt.Sprintf("nobody in %d days before, nobody else within 7 days, nothing written", dormantDays)))
	}
	if again >= 3 && !p.everWrote(a.user, a.patient) {
		list = append(list, reviewPoints("A12", fmt.Sprintf("%d days, nothing written", again)))
	}
	if gap, ok := p.searched(u, a); ok {
		list = append(list, reviewPoints("A13", fmt.Sprintf("%d s after a search by name", gap)))
	}
	if p.elsewhere(u, a) {
		list = append(list, reviewPoints("B10", "the relations of that day name other departments"))
	}
	return list
}

// searched tells how many seconds before an access the user had searched by name, if not too many: it may have been before midnight.
func (p *preparedReview) searched(u *reviewUser, a accessAt) (gap int64, ok bool) {
	for _, day := range []int32{a.day - 1, a.day} {
		d := u.days[day]
		if d == nil || d.rare == nil {
			continue
		}
		for _, m := range d.rare.searches {
			if before := a.first - m.at; before >= 0 && before <= 10*60 && (!ok || before < gap) {
				gap, ok = before, true
			}
		}
	}
	return gap, ok
}

// firstContact tells whether the user never had to do with the patient before, and whether the department had near it.
func (p *preparedReview) firstContact(a accessAt) (first, near bool) {
	first = true
	for _, d := range p.r.pairs[pairKey(a.user, a.patient)] {
		first = first && (d.day >= a.day || d.reads+d.writes == 0)
	}
	list := p.team[pairKey(a.patient, p.division[a.user])].touched
	for _, v := range list[firstVisit(list, a.day-3):] {
		if v.day > a.day+3 {
			break
		}
		if v.user != a.user {
			return first, true
		}
	}
	return first, false
}

// firstVisit is where those of a day and later begin.
func firstVisit(list []reviewVisit, day int32) int {
	at, _ := slices.BinarySearchFunc(list, day, func(v reviewVisit, day int32) int { return cmp.Compare(v.day, day) })
	return at
}

// hourShare counts the user's events of the 90 days before, and those near the hour of the access.
func (p *preparedReview) hourShare(u *reviewUser, a accessAt) (near, total int) {
	hour := time.Unix(a.first, 0).In(p.r.options.Zone).Hour()
	for day := a.day - 90; day < a.day; day++ {
		d := u.days[day]
		if d == nil {
			continue
		}
		for h, n := range d.hours {
			total += int(n)
			if away := (h - hour + 24) % 24; away <= 1 || away == 23 {
				near += int(n)
			}
		}
	}
	return near, total
}

// newDevice tells whether the access came from where the user had never been, after ten days elsewhere.
func (p *preparedReview) newDevice(u *reviewUser, a accessAt) bool {
	fresh := false
	for _, place := range []int32{a.place, a.otherPlace} {
		fresh = fresh || place >= 0 && u.devices[place] == a.day
	}
	if !fresh {
		return false
	}
	before := 0
	for day := range u.days {
		if day < a.day {
			before++
		}
	}
	return before >= 10
}

func (p *preparedReview) dormant(a accessAt) bool {
	if p.r.dayOf(p.r.began) > a.day-dormantDays || a.writes > 0 {
		return false
	}
	list := p.touched[a.patient]
	for _, v := range list[firstVisit(list, a.day-dormantDays):] {
		if v.day > a.day+7 {
			break
		}
		if v.day < a.day || v.user != a.user || v.wrote {
			return false
		}
	}
	return true
}

func (p *preparedReview) everWrote(user, patient int32) bool {
	return slices.ContainsFunc(p.r.pairs[pairKey(user, patient)], func(d pairDay) bool { return d.writes > 0 })
}

// elsewhere tells whether the relations say which departments treat the patient, and the user's is not among them.
func (p *preparedReview) elsewhere(u *reviewUser, a accessAt) bool {
	day, named := dateOfDay(a.day), false
	for _, x := range p.r.rosters.relations[p.r.patients[a.patient]] {
		if x.Department == "" || !x.From.IsZero() && day.Before(x.From) || !x.To.IsZero() && day.After(x.To) {
			continue
		}
		if named = true; reviewFold(x.Department) == reviewFold(u.department) {
			return false
		}
	}
	return named && u.department != ""
}
