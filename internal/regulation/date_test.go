package regulation

import (
	"testing"
	"time"
)

func day(t *testing.T, text string) Date {
	t.Helper()
	d, err := ParseDate(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDate(t *testing.T) {
	for _, x := range []struct{ got, want Date }{
		{day(t, "2028-02-29").AddYears(6), day(t, "2034-03-01")},
		{day(t, "2028-02-29").YearsBefore(6), day(t, "2022-02-28")},
		{day(t, "2028-02-29").YearsBefore(4), day(t, "2024-02-29")},
		{day(t, "2026-11-22").YearsBefore(6), day(t, "2020-11-22")},
		{day(t, "2023-12-31").AddDays(60), day(t, "2024-02-29")},
		{day(t, "2024-03-01").AddDays(-60), day(t, "2024-01-01")},
		{DateOf(time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC), time.FixedZone("", -5*3600)), day(t, "2025-12-31")},
	} {
		if x.got != x.want {
			t.Errorf("%v, want %v", x.got, x.want)
		}
	}
	if n := day(t, "2013-10-22").DaysUntil(day(t, "2014-01-31")); n != 101 {
		t.Errorf("%d days", n)
	}
	for _, bad := range []string{"", "2026-02-29", "2026-13-01", "22.11.2026", "2026-11-22T00:00:00Z", "-001-01-01"} {
		if d, err := ParseDate(bad); err == nil {
			t.Errorf("%q is read as %v", bad, d)
		}
	}
	beirut, err := time.LoadLocation("Asia/Beirut") // begins summer at midnight
	if err != nil {
		t.Skip("there are no time zones on this machine")
	}
	for d := day(t, "2024-01-01"); d.Year == 2024; d = d.AddDays(1) {
		if at := d.In(beirut); DateOf(at, beirut) != d || DateOf(at.Add(-time.Nanosecond), beirut) != d.AddDays(-1) {
			t.Errorf("%v begins at %v", d, at)
		}
	}
}
