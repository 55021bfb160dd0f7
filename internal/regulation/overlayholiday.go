package regulation

import "time"

// FederalHoliday tells whether a day is a legal public holiday of the United States, or the weekday on which one is observed that falls on a Saturday (the
// Friday before) or a Sunday (the Monday after): 5 USC 6103, Executive Order 11582. Inauguration Day, which is one of Washington alone, is left out.
func FederalHoliday(d Date) bool {
	switch d.Weekday() {
	case time.Friday:
		return holiday(d) || holiday(d.AddDays(1)) && fixed(d.AddDays(1))
	case time.Monday:
		return holiday(d) || holiday(d.AddDays(-1)) && fixed(d.AddDays(-1))
	}
	return holiday(d)
}

func holiday(d Date) bool { return fixed(d) || floating(d) }

// fixed tells the holidays that have a date.
func fixed(d Date) bool {
	switch {
	case d.Month == time.January && d.Day == 1, d.Month == time.July && d.Day == 4, d.Month == time.November && d.Day == 11, d.Month == time.December && d.Day == 25:
		return true
	}
	return d.Month == time.June && d.Day == 19 && d.Year >= 2021 // Public Law 117-17
}

// floating tells the holidays that have a weekday.
func floating(d Date) bool {
	nth := (d.Day-1)/7 + 1
	switch d.Weekday() {
	case time.Monday:
		switch d.Month {
		case time.January, time.February:
			return nth == 3 // Birthday of Martin Luther King, Jr.; Washington's Birthday
		case time.May:
			return d.Day > 31-7 // Memorial Day
		case time.September:
			return nth == 1 // Labor Day
		case time.October:
			return nth == 2 // Columbus Day
		}
	case time.Thursday:
		return d.Month == time.November && nth == 4 // Thanksgiving
	}
	return false
}

// BusinessDay tells the days that are neither Saturday, Sunday nor a federal holiday. A State may have holidays of its own: counting without them gives an
// earlier day, never a later one.
func BusinessDay(d Date) bool {
	return d.Weekday() != time.Saturday && d.Weekday() != time.Sunday && !FederalHoliday(d)
}

// AddBusinessDays returns the nth business day after a day, which itself is not counted.
func AddBusinessDays(d Date, n int) Date {
	for n > 0 {
		d = d.AddDays(1)
		if BusinessDay(d) {
			n--
		}
	}
	return d
}
