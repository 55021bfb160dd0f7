package regulation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

const dripDays = 90

// A wholeUser is what a user did, day by day.
type wholeUser struct {
	days []int32 // on which there was something, ascending
}

func (p *preparedReview) users() []wholeUser {
	out := make([]wholeUser, len(p.r.people))
	for i, u := range p.r.people {
		for day := range u.days {
			out[i].days = append(out[i].days, day)
		}
		slices.Sort(out[i].days)
	}
	return out
}

// reviewPercentile returns the value below or at which so many of 100 are. list is sorted in place.
func reviewPercentile(list []int32, n int) int32 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[(len(list)*n+99)/100-1]
}

// medianDeviation returns the median of the deviations from the median, at least 1.
func medianDeviation(list []int32) int32 {
	middle := reviewPercentile(list, 50)
	away := make([]int32, len(list))
	for i, n := range list {
		away[i] = max(n-middle, middle-n)
	}
	return max(1, reviewPercentile(away, 50))
}

// userDays finds what is about a user's day as a whole.
func (p *preparedReview) userDays(explained map[uint64]int) (out []Finding) {
	job := p.perJob()
	for id, u := range p.r.people {
		before := int32(-1) // the day on which the user was last seen
		others := sync.OnceValue(func() int32 { return p.usualOfOthers(int32(id), job[reviewFold(u.job)]) })
		for _, day := range p.whole[id].days {
			d := u.days[day]
			last := before
			before = day
			if !d.within {
				continue
			}
			f := Finding{Day: dateOfDay(day), User: u.key, Name: u.name, Events: int(d.events)}
			f.also(u)
			p.burst(&f, int32(id), day, others)
			if began := p.r.dayOf(p.r.began); last >= began && day-last >= revivedDays { // what came late tells nothing of the time before
				f.add(reviewPoints("A15", fmt.Sprintf("the account was not used for %d days", day-last)), append([]int64{d.first}, p.entriesOf(int32(id), day)...)...)
			}
			if d.rare != nil {
				p.rareDay(&f, int32(id), day, d.rare)
			}
			if len(f.Points) == 0 {
				continue
			}
			if n := explained[pairKey(int32(id), day)]; n > 0 {
				f.Explained = fmt.Sprintf("of the %d patients of that day, %d are explained", d.patients, n)
			}
			f.sum()
			out = append(out, f)
		}
	}
	return out
}

func (f *Finding) add(p FindingPoints, entries ...int64) {
	f.Points = append(f.Points, p)
	for _, e := range entries {
		if len(f.Entries) < 4*maxProof && !slices.Contains(f.Entries, e) {
			f.Entries = append(f.Entries, e)
		}
	}
}

// A jobDay is how many patients somebody of a job had on a day.
type jobDay struct{ patients, user int32 }

// perJob returns, of each job, the days of those who have it, the busiest first.
func (p *preparedReview) perJob() map[string][]jobDay {
	all := map[string][]jobDay{}
	for id, u := range p.r.people {
		job := reviewFold(u.job)
		for _, d := range u.days {
			if d.patients > 0 {
				all[job] = append(all[job], jobDay{d.patients, int32(id)})
			}
		}
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b jobDay) int { return cmp.Or(cmp.Compare(b.patients, a.patients), cmp.Compare(a.user, b.user)) })
	}
	return all
}

// usualOfOthers returns the 99th percentile of the days of a job that are not a user's own: somebody alone would make usual whatever they do.
func (p *preparedReview) usualOfOthers(user int32, list []jobDay) int32 {
	own := 0
	for _, d := range p.r.people[user].days {
		if d.patients > 0 {
			own++
		}
	}
	others := len(list) - own
	above := others - (others*99+99)/100 // days of others that may be busier
	for _, x := range list {
		if x.user == user {
			continue
		}
		if above == 0 {
			return x.patients
		}
		above--
	}
	return 0
}

// burst is A5.
func (p *preparedReview) burst(f *Finding, user, day int32, others func() int32) {
	u := p.r.people[user]
	n := u.days[day].patients
	if n < burstPatients {
		return
	}
	var own []int32
	for x := day - 28; x < day; x++ {
		if d := u.days[x]; d != nil && d.patients > 0 {
			own = append(own, d.patients)
		}
	}
	mine, job := reviewPercentile(own, 99), others()
	if 2*n <= 3*max(mine, job) {
		return
	}
	f.add(reviewPoints("A5", fmt.Sprintf("%d patients; the user's usual most is %d, that of others with the job %d", n, mine, job)), p.entriesOf(user, day)...)
}

// entriesOf returns some of the entries of a user's day.
func (p *preparedReview) entriesOf(user, day int32) (entries []int64) {
	for _, list := range p.perUser()[user] {
		for _, x := range p.r.pairs[list] {
			if x.day == day && len(x.entries) > 0 {
				entries = append(entries, x.entries[0])
			}
		}
	}
	slices.Sort(entries)
	return entries[:min(len(entries), 2*maxProof)]
}

// perUser returns the pairs of each user.
func (p *preparedReview) perUser() map[int32][]uint64 {
	if p.ofUser == nil {
		p.ofUser = map[int32][]uint64{}
		for key := range p.r.pairs {
			p.ofUser[int32(key>>32)] = append(p.ofUser[int32(key>>32)], key)
		}
	}
	return p.ofUser
}

// rareDay is A2, A7, A14, A15, A17 and B9.
func (p *preparedReview) rareDay(f *Finding, user, day int32, x *rareDay) {
	u := p.r.people[user]
	if x.exports > 0 {
		switch earlier := p.exportedBefore(user, day); {
		case x.exported >= massPatients:
			f.add(reviewPoints("A7", fmt.Sprintf("%d patients in %d exports or searches", x.exported, x.exports)), x.export...)
		case !earlier && p.whole[user].days[0] <= day-30:
			first := reviewPoints("A7", fmt.Sprintf("the first export ever, %d patients", x.exported))
			first.Points = 15
			f.add(first, x.export...)
		}
	}
	failedLogin(f, u, day)
	if len(x.twice) > 0 {
		f.add(reviewPoints("A15", "two networks by turns within 15 minutes"), x.twice...)
	}
	if x.emergencies > 0 {
		f.add(reviewPoints("A2", fmt.Sprintf("%d emergency events that name no patient", x.emergencies)), x.emergencyEntry...)
	}
	if x.logUse > 0 {
		f.add(reviewPoints("A17", fmt.Sprintf("%d times", x.logUse)), x.logEntries...)
	}
	if x.afterCount > 0 {
		f.add(reviewPoints("B9", fmt.Sprintf("%d events, %d days after the last day", x.afterCount, u.roster.End.DaysUntil(dateOfDay(day)))), x.after...)
	}
}

func (p *preparedReview) exportedBefore(user, day int32) bool {
	for _, x := range p.whole[user].days {
		if d := p.r.people[user].days[x]; x < day && d.rare != nil && d.rare.exports > 0 {
			return true
		}
	}
	return false
}

// failedLogin is A14: five failures in a quarter of an hour, worse if one soon after them succeeds. Those before midnight and the success after it count:
// the day is that of the fifth failure.
func failedLogin(f *Finding, u *reviewUser, day int32) {
	x, before, after := u.days[day].rare, u.rareOn(day-1), u.rareOn(day+1)
	if len(x.failed) == 0 {
		return
	}
	byTime := func(a, b moment) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.entry, b.entry)) }
	failed, succeeded := slices.Concat(before.failed, x.failed), slices.Concat(x.succeeded, after.succeeded)
	slices.SortFunc(failed, byTime)
	slices.SortFunc(succeeded, byTime)
	var tries []moment
	for end := failedLogins - 1; end < len(failed); end++ {
		last := failed[end]
		if last.at-failed[end-failedLogins+1].at > failedWithin || !slices.Contains(x.failed, last) {
			continue
		}
		if tries == nil {
			tries = failed[end-failedLogins+1 : end+1]
		}
		i := slices.IndexFunc(succeeded, func(m moment) bool { return m.at >= last.at && m.at-last.at <= failedWithin })
		if i >= 0 {
			tries = append(slices.Clone(failed[end-failedLogins+1:end+1]), succeeded[i])
			break
		}
	}
	if tries == nil {
		return
	}
	p := reviewPoints("A14", fmt.Sprintf("%d failures that day, %d within 15 minutes", x.failures, failedLogins))
	if len(tries) > failedLogins {
		p.Points += 10
		p.Why += ", then one that succeeded"
	}
	var proof []int64
	for _, m := range tries {
		proof = append(proof, m.entry)
	}
	f.add(p, proof...)
}

// rareOn is what a user did on a day of what few people do.
func (u *reviewUser) rareOn(day int32) *rareDay {
	if d := u.days[day]; d != nil && d.rare != nil {
		return d.rare
	}
	return &rareDay{}
}

// crowds is A10.
func (p *preparedReview) crowds(by map[uint64][]accessAt) (out []Finding) {
	for _, all := range by {
		if len(all) < crowdPeople {
			continue
		}
		from := map[string]bool{}
		for _, a := range all {
			from[reviewFold(p.r.people[a.user].department)] = true
		}
		delete(from, "")
		if p.r.hasPlace && len(from) < crowdDepartments {
			continue
		}
		words := fmt.Sprintf("%d people of %d departments", len(all), len(from))
		if !p.r.hasPlace {
			words = fmt.Sprintf("%d people; nothing names departments", len(all))
		}
		for first := 0; first < len(all); first += crowdNamed {
			some := all[first:min(first+crowdNamed, len(all))]
			f := Finding{Day: dateOfDay(all[0].day), Patient: p.r.patients[all[0].patient]}
			for _, a := range some {
				f.Events += int(a.reads + a.writes)
				f.Users = append(f.Users, p.r.people[a.user].key)
				f.also(p.r.people[a.user])
			}
			why := reviewPoints("A10", words)
			if len(some) < len(all) {
				why.Why += fmt.Sprintf(", of whom these are %d to %d", first+1, first+len(some))
			}
			for _, a := range some {
				f.add(FindingPoints{}, a.entries...)
			}
			f.Points = []FindingPoints{why}
			f.sum()
			out = append(out, f)
		}
	}
	return out
}

// drips is A6. The window is the 90 days before the end of the period.
func (p *preparedReview) drips(all []accessAt) (out []Finding) {
	last := p.r.dayOf(p.r.options.To.Add(-1))
	type drip struct {
		patients map[int32]bool
		entries  []int64
		events   int
		last     int32
		inPeriod bool
	}
	of := map[int32]*drip{}
	for _, a := range all {
		if a.why != nil || a.flags&flagSelf != 0 || a.day <= last-dripDays || a.day > last {
			continue
		}
		d := of[a.user]
		if d == nil {
			d = &drip{patients: map[int32]bool{}, last: -1 << 31}
			of[a.user] = d
		}
		d.patients[a.patient] = true
		d.events += int(a.reads + a.writes)
		if a.day > d.last && len(d.entries) < 4*maxProof && len(a.entries) > 0 { // one of each day shows best that it went on
			d.entries = append(d.entries, a.entries[0])
		}
		d.last = max(d.last, a.day)
		d.inPeriod = d.inPeriod || a.within
	}
	peers := map[string][]int32{}
	for id, u := range p.r.people {
		n := int32(0)
		if d := of[int32(id)]; d != nil {
			n = int32(len(d.patients))
		}
		if u.key != "" && len(u.days) > 0 {
			peers[reviewFold(u.job)] = append(peers[reviewFold(u.job)], n)
		}
	}
	type numbers struct{ high, middle, spread int32 }
	type peer struct {
		job string
		n   int32
	}
	known := map[peer]numbers{} // of many with as much as each other the peers are the same
	others := func(job string, n int32) (high, middle, spread int32) {
		x, ok := known[peer{job, n}]
		if !ok {
			list := slices.Clone(peers[job])
			list = slices.Delete(list, slices.Index(list, n), slices.Index(list, n)+1)
			x = numbers{reviewPercentile(list, 95), reviewPercentile(list, 50), medianDeviation(list)}
			known[peer{job, n}] = x
		}
		return x.high, x.middle, x.spread
	}
	for id, u := range p.r.people {
		d := of[int32(id)]
		if d == nil || !d.inPeriod || len(d.patients) < dripPatients {
			continue
		}
		high, middle, spread := others(reviewFold(u.job), int32(len(d.patients)))
		// Where more than a few do it the 95th percentile is theirs: then three standard deviations count, as the median of the deviations gives them,
		// which outliers do not move.
		if most := min(high, middle+(445*spread+99)/100); int32(len(d.patients)) > most {
			f := Finding{Day: dateOfDay(d.last), User: u.key, Name: u.name, Events: d.events}
			f.also(u)
			f.add(reviewPoints("A6", fmt.Sprintf("%d in %d days; of those with the same job 95 %% have at most %d, half at most %d, with a median deviation of %d", len(d.patients), dripDays, high, middle, spread)), d.entries...)
			f.sum()
			out = append(out, f)
		}
	}
	return out
}

// unapplied says what was lacking.
func (r *Review) unapplied() (out []Unapplied) {
	say := func(rules, reason string, lacks bool) {
		if lacks {
			for _, id := range strings.Fields(rules) {
				out = append(out, Unapplied{id, reason})
			}
		}
	}
	x := r.rosters
	say("E3", "no event and no roster names a department", !r.hasPlace)
	say("A11", fmt.Sprintf("the log has less than %d days before the period", dormantDays), !r.began.IsZero() && r.dayOf(r.began) > r.dayOf(r.options.From)-dormantDays)
	say("B1 B2 B5", "there is no roster of staff, or none of patients", len(x.staff) == 0 || len(x.patients) == 0)
	say("B3 B4", "no roster of staff names the own records of staff", len(x.own) == 0)
	say("B9", "there is no roster of staff", len(x.staff) == 0)
	say("E2 B10", "there is no roster of relations", len(x.relations) == 0)
	vip, dead, born := false, false, false
	for _, p := range x.patients {
		vip, dead, born = vip || p.VIP, dead || !p.Died.IsZero(), born || !p.Born.IsZero()
	}
	say("B6", "no roster names VIPs", !vip)
	say("B7", "no roster says when patients were born", !born)
	say("B8", "no roster says who is deceased", !dead)
	say("A16", "whether a source is silent is what hippad sources says", true)
	return out
}
