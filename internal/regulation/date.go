package regulation

import (
	"fmt"
	"time"

	"hippad"
)

// A Date is a calendar day, without time or zone: what the law counts in. Which day a moment is depends on where the organisation is, so
// whoever has a moment says in which zone (DateOf). The zero Date is no day.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf returns the day that a moment is in a zone.
func DateOf(t time.Time, zone *time.Location) Date {
	y, m, d := t.In(zone).Date()
	return Date{y, m, d}
}

// ParseDate reads YYYY-MM-DD. Kind Invalid for anything else, a day that does not exist included.
func ParseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return Date{}, hippad.Errorf(hippad.Invalid, "this is no day").WithHint("write it like 2026-11-23")
	}
	return DateOf(t, time.UTC), nil
}

// IsZero tells that it is no day.
func (d Date) IsZero() bool { return d == Date{} }

// String writes it as YYYY-MM-DD; empty for the zero Date.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day)
}

// MarshalText writes it as String does.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d = Date{}
	if len(text) > 0 {
		*d, err = ParseDate(string(text))
	}
	return err
}

func (d Date) utc() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// In returns the moment at which the day begins in a zone. (Where the clock skips midnight, the first moment there is.)
func (d Date) In(zone *time.Location) time.Time {
	t := time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, zone)
	if DateOf(t, zone) != d { // midnight does not exist: Go gives the hour before it
		t = t.Add(time.Hour)
	}
	return t
}

// AddDays returns the day n calendar days later, or earlier if n is negative.
func (d Date) AddDays(n int) Date { return DateOf(d.utc().AddDate(0, 0, n), time.UTC) }

// AddYears returns the same day n years later. After a 29th of February that the other year does not have, it is the 1st of March: what is
// kept is kept longer.
func (d Date) AddYears(n int) Date { return DateOf(d.utc().AddDate(n, 0, 0), time.UTC) }

// YearsBefore returns the same day n years earlier; for a 29th of February that the other year does not have, the 28th: what is looked back on
// includes more.
func (d Date) YearsBefore(n int) Date {
	x := Date{d.Year - n, d.Month, d.Day}
	if y := DateOf(x.utc(), time.UTC); y != x {
		return y.AddDays(-1)
	}
	return x
}

// DaysUntil returns how many days e is after d.
func (d Date) DaysUntil(e Date) int { return int(e.utc().Sub(d.utc()) / (24 * time.Hour)) }

// Compare returns -1, 0 or 1.
func (d Date) Compare(e Date) int { return d.utc().Compare(e.utc()) }

// Before tells whether d is an earlier day.
func (d Date) Before(e Date) bool { return d.Compare(e) < 0 }

// After tells whether d is a later day.
func (d Date) After(e Date) bool { return d.Compare(e) > 0 }

// Weekday returns the day of the week.
func (d Date) Weekday() time.Weekday { return d.utc().Weekday() }
