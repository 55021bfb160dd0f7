package atna

import (
	"strings"
	"time"
)

// parseTime reads an xsd:dateTime or RFC 3339 time as audit senders write it: any number of fractional digits (nanoseconds
// are kept), "Z", "+01:00", "+0100", "+01" or no zone at all, which is taken as UTC. It returns the zero time for
// anything else, a day that does not exist included.
func parseTime(s string) time.Time {
	s = strings.TrimSpace(s)
	year, ok1 := digits(s, 0, 4)
	month, ok2 := digits(s, 5, 2)
	day, ok3 := digits(s, 8, 2)
	if !ok1 || !ok2 || !ok3 || s[4] != '-' || s[7] != '-' || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return time.Time{}
	}
	if len(s) == 10 {
		return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	}
	hour, ok1 := digits(s, 11, 2)
	minute, ok2 := digits(s, 14, 2)
	second, ok3 := digits(s, 17, 2)
	if !ok1 || !ok2 || !ok3 || s[13] != ':' || s[16] != ':' || !strings.ContainsRune("Tt ", rune(s[10])) {
		return time.Time{}
	}
	// 24:00:00 is the end of the day (xsd:dateTime), 60 a leap second; both mean the next moment.
	if hour > 24 || minute > 59 || second > 60 || hour == 24 && minute+second > 0 {
		return time.Time{}
	}
	nanos, rest := fraction(s[19:])
	offset, ok := zone(strings.TrimSpace(rest))
	if !ok {
		return time.Time{}
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC).Add(-offset)
}

func digits(s string, at, n int) (int, bool) {
	if at+n > len(s) {
		return 0, false
	}
	v := 0
	for _, c := range []byte(s[at : at+n]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// fraction reads the decimal fraction of a second at the start of s and returns what follows it.
func fraction(s string) (nanos int, rest string) {
	if len(s) < 2 || s[0] != '.' && s[0] != ',' {
		return 0, s
	}
	i, scale := 1, 100_000_000
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		nanos += int(s[i]-'0') * scale
		scale /= 10
	}
	return nanos, s[i:]
}

func zone(s string) (time.Duration, bool) {
	if s == "" || s == "Z" || s == "z" {
		return 0, true
	}
	hour, ok := digits(s, 1, 2)
	if !ok || s[0] != '+' && s[0] != '-' || hour > 23 {
		return 0, false
	}
	minute := 0
	if rest := strings.TrimPrefix(s[3:], ":"); rest != "" {
		if minute, ok = digits(rest, 0, 2); !ok || len(rest) != 2 || minute > 59 {
			return 0, false
		}
	}
	d := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	if s[0] == '-' {
		d = -d
	}
	return d, true
}
