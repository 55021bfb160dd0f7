package completeness

import "time"

// A habit is how long a source usually is silent, which depends on when: a modality is silent at night and on Sunday, a server never. For
// each hour of the week (UTC) it keeps the longest silence that began in that hour, forgetting a sixth of it every week, so that half
// is gone after four. A maximum is used and no average, because the question is what would be unusual; it is kept by the hour in which
// the silence began, because then the night that follows a working day, or the weekend that follows a Friday, does not make
// everybody wait until Monday for what breaks on a Tuesday morning. Neighbouring hours count too, for days that are longer and for
// summer time. Until an hour has been seen, the longest silence of any hour stands in for it.
//
// One outage cannot spoil it: a silence that was reported as one is learnt as no more than twice the limit it broke, so that a
// source that has really become rarer is understood after a few times.
type habit struct {
	slots   *[weekHours]slot
	longest slot // of all hours, forgotten four times more slowly
	gaps    int64
}

// A slot is the longest silence that began in one hour of the week.
type slot struct {
	gap    uint16 // minutes, rounded up
	week   uint16 // since 1970, up to which forgetting is done, or in which the gap was last as long
	seen   uint16 // the week in which there was last anything
	visits uint8  // weeks in which there was, up to 255
}

const (
	weekHours = 168
	maxGap    = 1<<16 - 1 // minutes, 45 days

	learnFor   = 7 * 24 * time.Hour // before that there was no weekend
	learnGaps  = 10
	learnSlots = 3 // visits of an hour and its neighbours

	minSlack = 15 * time.Minute
	maxSlack = 26 * time.Hour // a day off, with an hour's change of the clock
)

// slack is what a silence may be longer than usual: three times as long in all, but a day longer at most.
func slack(usual time.Duration) time.Duration {
	return min(max(2*usual, minSlack), maxSlack)
}

func hourOf(t time.Time) (hour int, week uint16) {
	hours := max(t.Unix(), 0) / 3600 // no entry is older than 1970
	return int(hours % weekHours), uint16(hours / weekHours)
}

// at returns the slot as it is in a week, forgetting one part in so many each week, but for the one that goes on: what comes once a week
// is to be remembered until it can come again.
func (s slot) at(week uint16, part uint16) slot {
	for age := week - s.week; age > 1 && age < 1<<15 && s.gap > 1; age-- {
		s.gap -= max(s.gap/part, 1)
		s.week++
	}
	return s
}

func (s *slot) learn(gap uint16, week, part uint16) {
	if s.visits == 0 {
		*s = slot{week: week}
	}
	if s.seen != week || s.visits == 0 {
		*s = s.at(week, part)
		s.seen, s.visits = week, min(s.visits, 254)+1
	}
	if gap >= s.gap-s.gap/part { // as long as ever
		s.week = week
	}
	s.gap = max(s.gap, gap)
}

// Parts that are forgotten each week.
const (
	slotPart    = 6
	longestPart = 24
)

// learn takes in that nothing came from one time to another.
func (h *habit) learn(from, to time.Time) {
	if h.slots == nil {
		h.slots = new([weekHours]slot)
	}
	gap := uint16(min(max(to.Sub(from)+time.Minute-1, 0)/time.Minute, maxGap))
	hour, week := hourOf(from)
	h.slots[hour].learn(gap, week, slotPart)
	h.longest.learn(gap, week, longestPart)
	h.gaps++
}

// usual returns the silence that is usual after the source was heard at a time; false as long as it is not known.
func (h *habit) usual(first, at time.Time) (time.Duration, bool) {
	if h.slots == nil || h.gaps < learnGaps || at.Sub(first) < learnFor {
		return 0, false
	}
	hour, week := hourOf(at)
	gap, visits := uint16(0), 0
	for _, d := range []int{weekHours - 1, 0, 1} {
		s := h.slots[(hour+d)%weekHours]
		gap, visits = max(gap, s.at(week, slotPart).gap), visits+int(s.visits)
	}
	if visits < learnSlots {
		gap = h.longest.at(week, longestPart).gap
	}
	return time.Duration(gap) * time.Minute, true
}
