package regulation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const (
	reviewDaySeconds = 24 * 60 * 60
	ownWork          = 7 * reviewDaySeconds
	teamWork         = 3 * reviewDaySeconds
	clearedDays      = 30
	afterCare        = 3 // days after a relation in which papers are done
)

// A reviewExplanation says why an access needs nobody's attention.
type reviewExplanation struct {
	id, why string
	weak    bool // it says something of the user, and little of the patient
}

// work is somebody's change of a patient's record on a day.
type work struct {
	user        int32
	first, last int64
	entry       int64
}

func (w work) compare(o work) int {
	return cmp.Or(cmp.Compare(w.first, o.first), cmp.Compare(w.entry, o.entry))
}

func (x *pairDay) work(user int32) work { return work{user, x.wrote, x.wroteLast, x.wroteEntry} }

// preparedReview is what explaining and scoring need of all accesses together.
type preparedReview struct {
	r        *Review
	work     map[int32][]work          // of patients
	touched  map[int32][]reviewVisit   // of patients, by day
	team     map[uint64]teamAt         // of patients and departments: one record may be opened by very many
	known    map[int32]map[int32]int32 // of users: with whom they share patients, and how many (E5)
	shared   map[int32]int32           // of users: patients on whom they worked
	function []string                  // of users: what explains by itself (E6); empty: nothing
	division []int32                   // of users: the number of the department; 0: none is known
	whole    []wholeUser
	ofUser   map[int32][]uint64
}

type reviewVisit struct {
	user, day int32
	wrote     bool
}

// A teamAt is what a department did with a patient's data.
type teamAt struct {
	work    []work        // by time
	touched []reviewVisit // by day
}

func (r *Review) prepare() *preparedReview {
	p := &preparedReview{r: r, work: map[int32][]work{}, touched: map[int32][]reviewVisit{}, team: map[uint64]teamAt{}, known: map[int32]map[int32]int32{}, shared: map[int32]int32{}}
	divisions := map[string]int32{"": 0}
	for _, u := range r.people {
		p.function = append(p.function, jobFunction(u.job, u.department))
		name := reviewFold(u.department)
		if _, ok := divisions[name]; !ok {
			divisions[name] = int32(len(divisions))
		}
		p.division = append(p.division, divisions[name])
	}
	for key, days := range r.pairs {
		user, patient := int32(key>>32), int32(uint32(key))
		for _, x := range days {
			if x.reads+x.writes == 0 {
				continue
			}
			v := reviewVisit{user, x.day, x.writes > 0}
			p.touched[patient] = append(p.touched[patient], v)
			if x.writes > 0 {
				p.work[patient] = append(p.work[patient], x.work(user))
			}
			if p.division[user] == 0 {
				continue
			}
			team := p.team[pairKey(patient, p.division[user])]
			team.touched = append(team.touched, v)
			if x.writes > 0 {
				team.work = append(team.work, x.work(user))
			}
			p.team[pairKey(patient, p.division[user])] = team
		}
	}
	byDay := func(a, b reviewVisit) int { return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.user, b.user)) }
	for _, list := range p.touched {
		slices.SortFunc(list, byDay)
	}
	for _, t := range p.team {
		slices.SortFunc(t.work, work.compare)
		slices.SortFunc(t.touched, byDay)
	}
	p.group()
	return p
}

const (
	sharedLeast = 5  // patients on whom two people worked
	sharedPart  = 5  // of those of the one who has more, at least one in so many
	maxTeam     = 60 // people at one record: more tell nothing of who works with whom
)

// group finds who works with whom: those who worked on the same patients, which are at least a fifth of the patients of either. Who
// works on everybody's belongs to nobody.
func (p *preparedReview) group() {
	pairs := map[uint64]int32{}
	for _, list := range p.work {
		var users []int32
		for _, w := range list {
			if p.function[w.user] == "" {
				users = append(users, w.user)
			}
		}
		slices.Sort(users)
		users = slices.Compact(users)
		for i, a := range users {
			p.shared[a]++
			if len(users) > maxTeam {
				continue
			}
			for _, b := range users[i+1:] {
				pairs[pairKey(a, b)]++
			}
		}
	}
	for key, n := range pairs {
		a, b := int32(key>>32), int32(uint32(key))
		if n < sharedLeast || n*sharedPart < max(p.shared[a], p.shared[b]) {
			continue
		}
		for _, x := range [][2]int32{{a, b}, {b, a}} {
			if p.known[x[0]] == nil {
				p.known[x[0]] = map[int32]int32{}
			}
			p.known[x[0]][x[1]] = n
		}
	}
}

// explain returns why a user looked at a patient's data on a day, nil if nothing tells.
func (p *preparedReview) explain(user, patient int32, x *pairDay) *reviewExplanation {
	r := p.r
	u, name := r.people[user], r.patients[patient]
	if e := p.ownWork(user, patient, x); e != nil {
		return e
	}
	if e := p.relation(u, name, x); e != nil {
		return e
	}
	if e := p.named(user, patient, x); e != nil {
		return e
	}
	if e := p.teamWork(user, patient, x); e != nil {
		return e
	}
	if c, ok := r.cleared(u.key, name); ok && !dateOfDay(x.day).Before(c.Day) && x.first <= c.At.Unix()+clearedDays*reviewDaySeconds {
		return &reviewExplanation{"E4", fmt.Sprintf("an access on %s was found appropriate on %s", c.Day, DateOf(c.At, r.options.Zone)), false}
	}
	if f := p.function[user]; f != "" {
		if n := u.days[x.day].patients; int(n) <= r.options.FunctionCap {
			return &reviewExplanation{"E6", fmt.Sprintf("job function %s: %d patients that day, of at most %d", f, n, r.options.FunctionCap), true}
		}
	}
	return nil
}

// cleared returns what a person has found appropriate. A roster may have named the user without the system.
func (r *Review) cleared(user, patient string) (ReviewCleared, bool) {
	c, ok := r.options.Cleared[ReviewPair{user, patient}]
	if i := strings.LastIndexByte(user, '|'); !ok && i >= 0 {
		c, ok = r.options.Cleared[ReviewPair{user[i+1:], patient}]
	}
	return c, ok
}

// ownWork is E1.
func (p *preparedReview) ownWork(user, patient int32, x *pairDay) *reviewExplanation {
	best, entry, found := int64(0), int64(0), false
	for _, d := range p.r.pairs[pairKey(user, patient)] {
		if d.writes == 0 {
			continue
		}
		if away := secondsApart(x.first, x.last, d.wrote, d.wroteLast); away <= ownWork {
			if gap := d.wrote - x.first; !found || absSeconds(gap) < absSeconds(best) {
				best, entry, found = gap, d.wroteEntry, true
			}
		}
	}
	if !found {
		return nil
	}
	return &reviewExplanation{"E1", fmt.Sprintf("the same user worked on it %s (entry %d)", spanWords(best), entry), false}
}

// relation is E2.
func (p *preparedReview) relation(u *reviewUser, patient string, x *pairDay) *reviewExplanation {
	day := dateOfDay(x.day)
	for _, rel := range p.r.rosters.relations[patient] {
		if !rel.From.IsZero() && day.Before(rel.From) || !rel.To.IsZero() && day.After(rel.To.AddDays(afterCare)) {
			continue
		}
		until := ""
		if !rel.From.IsZero() || !rel.To.IsZero() {
			until = fmt.Sprintf(" from %s to %s", firstGiven(rel.From.String(), "any day"), firstGiven(rel.To.String(), "any day"))
		}
		switch {
		case rel.User != "" && sameUser(rel.User, u.key):
			return &reviewExplanation{"E2", "the relations name the user" + until, false}
		case rel.User == "" && u.department != "" && reviewFold(rel.Department) == reviewFold(u.department):
			return &reviewExplanation{"E2", "the relations name the department" + until, false}
		}
	}
	return nil
}

// sameUser tells whether two ids are of one user, where one of them may be without the system that assigned it: rosters are written with or without.
func sameUser(a, b string) bool {
	without := func(id string) string { return id[strings.LastIndexByte(id, '|')+1:] }
	return a != "" && b != "" && (a == b || a == without(b) || b == without(a))
}

// named is E7.
func (p *preparedReview) named(user, patient int32, x *pairDay) *reviewExplanation {
	for _, d := range p.r.pairs[pairKey(user, patient)] {
		if d.flags&flagNamed != 0 && secondsApart(x.first, x.last, d.named, d.named) <= ownWork {
			return &reviewExplanation{"E7", fmt.Sprintf("named by somebody else's work on it %s (entry %d)", spanWords(d.named-x.first), d.namedEntry), false}
		}
	}
	return nil
}

// teamWork is E3, and E5 where nobody of the department has worked on the record.
func (p *preparedReview) teamWork(user, patient int32, x *pairDay) *reviewExplanation {
	list := p.team[pairKey(patient, p.division[user])].work
	from, _ := slices.BinarySearchFunc(list, x.first-teamWork-reviewDaySeconds, func(w work, at int64) int { return cmp.Compare(w.first, at) })
	for _, w := range list[from:] {
		if w.first > x.last+teamWork {
			break
		}
		if w.user != user && secondsApart(x.first, x.last, w.first, w.last) <= teamWork {
			return &reviewExplanation{"E3", fmt.Sprintf("somebody of the same department worked on it %s (entry %d)", spanWords(w.first-x.first), w.entry), false}
		}
	}
	var other *work // the first; those who work with one are few, those who work on one record may be very many
	for colleague := range p.known[user] {
		for _, d := range p.r.pairs[pairKey(colleague, patient)] {
			if w := d.work(colleague); d.writes > 0 && secondsApart(x.first, x.last, w.first, w.last) <= teamWork && (other == nil || w.compare(*other) < 0) {
				other = &w
			}
		}
	}
	if other == nil {
		return nil
	}
	n := p.known[user][other.user]
	return &reviewExplanation{"E5", fmt.Sprintf("somebody who shares %d patients with the user worked on it %s (entry %d)", n, spanWords(other.first-x.first), other.entry), true}
}

// secondsApart is how far two spans are from one another, 0 if they meet.
func secondsApart(a1, a2, b1, b2 int64) int64 { return max(0, b1-a2, a1-b2) }

func absSeconds(n int64) int64 { return max(n, -n) }

// spanWords writes a time before or after.
func spanWords(seconds int64) string {
	word := "later"
	if seconds < 0 {
		word, seconds = "earlier", -seconds
	}
	switch {
	case seconds < 60:
		return "within a minute"
	case seconds < 2*60*60:
		return fmt.Sprintf("%d min %s", seconds/60, word)
	case seconds < 2*reviewDaySeconds:
		return fmt.Sprintf("%d h %s", seconds/3600, word)
	}
	return fmt.Sprintf("%d days %s", seconds/reviewDaySeconds, word)
}

// jobFunction is what in a job or a department needs every record: medical records, coding, billing, the laboratory.
func jobFunction(job, department string) string {
	for _, text := range []string{job, department} {
		text = reviewFold(text)
		for _, phrase := range [...]string{"medical records", "health information", "revenue integrity", "release of information"} {
			if strings.Contains(text, phrase) {
				return phrase
			}
		}
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r < 'a' || r > 'z' }) {
			switch word {
			case "him", "rim", "coder", "coding", "billing", "biller", "laboratory", "lab", "pharmacist", "pharmacy":
				return word
			}
		}
	}
	return ""
}

// paperwork tells the functions that go on after a patient's death.
func paperwork(function string) bool {
	switch function {
	case "laboratory", "lab", "pharmacist", "pharmacy", "":
		return false
	}
	return true
}
