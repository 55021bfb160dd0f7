package regulation_test

import (
	"testing"

	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/regulation"
)

// The holidays of 2026 and some that are observed on another day.
func TestFederalHoliday(t *testing.T) {
	want := map[string]bool{}
	for _, d := range []string{"2026-01-01", "2026-01-19", "2026-02-16", "2026-05-25", "2026-06-19", "2026-07-03", "2026-07-04", "2026-09-07", "2026-10-12", "2026-11-11", "2026-11-26", "2026-12-25"} {
		want[d] = true
	}
	for d := date(t, "2026-01-01"); d.Year == 2026; d = d.AddDays(1) {
		if got := regulation.FederalHoliday(d); got != want[d.String()] {
			t.Errorf("%s: %v", d, got)
		}
	}
	for day, want := range map[string]bool{
		"2021-12-31": true,  // New Year of 2022 was a Saturday
		"2023-01-02": true,  // that of 2023 a Sunday
		"2027-07-05": true,  // a Sunday
		"2027-06-18": true,  // Juneteenth is a Saturday
		"2020-06-19": false, // before it was one
		"2021-06-18": true, "2025-11-28": false, "2024-05-27": true, "2024-11-11": true,
	} {
		if got := regulation.FederalHoliday(date(t, day)); got != want {
			t.Errorf("%s: %v", day, got)
		}
	}
}

func TestAddBusinessDays(t *testing.T) {
	for _, x := range []struct {
		from string
		n    int
		want string
	}{
		{"2026-11-23", 1, "2026-11-24"},
		{"2026-11-25", 1, "2026-11-27"},  // Thanksgiving between
		{"2026-11-23", 15, "2026-12-15"}, // 15 of California, over Thanksgiving
		{"2026-12-18", 15, "2027-01-12"}, // over Christmas and New Year
		{"2026-07-02", 1, "2026-07-06"},
	} {
		if got := regulation.AddBusinessDays(date(t, x.from), x.n).String(); got != x.want {
			t.Errorf("%d business days after %s: %s, want %s", x.n, x.from, got, x.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		from := regulation.Date{Year: 2025, Month: 1, Day: 1}.AddDays(rapid.IntRange(0, 3000).Draw(t, "from"))
		n := rapid.IntRange(1, 60).Draw(t, "n")
		to, counted := regulation.AddBusinessDays(from, n), 0
		for d := from.AddDays(1); !d.After(to); d = d.AddDays(1) {
			if regulation.BusinessDay(d) {
				counted++
			}
		}
		if counted != n || !regulation.BusinessDay(to) {
			t.Fatalf("%d business days from %s to %s, want %d", counted, from, to, n)
		}
	})
}

// Every file is whole, none applies unless it is named, and each counts from its own trigger.
func TestOverlays(t *testing.T) {
	if none, err := regulation.Overlays(); err != nil || len(none) != 0 {
		t.Errorf("overlays that nobody named: %v, %v", none, err)
	}
	if _, err := regulation.Overlays("../breach"); hippad.KindOf(err) != hippad.Invalid {
		t.Errorf("an overlay of no name: %v", err)
	}
	if twice, err := regulation.Overlays("tx", "TX"); err != nil || len(twice) != 2 {
		t.Errorf("tx twice: %d rules, %v", len(twice), err)
	}
	all, err := regulation.Overlays(regulation.OverlayNames()...)
	if err != nil || len(all) < 6 {
		t.Fatalf("%d rules: %v", len(all), err)
	}
	f := regulation.BreachFacts{Discovered: date(t, "2026-11-23"), Determined: date(t, "2026-12-01"), Individuals: 1000, Residents: map[string]int{"CA": 500, "TX": 250, "NY": 1}, Overlays: all,
		Delays: []regulation.LawDelay{{Agency: "a", Official: "b", Stated: date(t, "2026-11-24"), Until: date(t, "2027-06-01"), Written: true}}}
	last := map[string]string{}
	for _, c := range regulation.BreachClocks(f) {
		last[c.Notice] = c.Last.String()
	}
	for name, want := range map[string]string{
		"ca-cdph": "2026-12-15", "ca-individual": "2026-12-15", "ca-attorney-general": "", "tx-individual": "2027-01-30", "tx-attorney-general": "2026-12-31",
		"ny-individual": "2026-12-23", "ny-authorities": "2026-12-23", "individual": "2027-06-01",
	} {
		if last[name] != want {
			t.Errorf("%s: %q, want %q", name, last[name], want)
		}
	}
	f.Residents, f.Determined = map[string]int{"TX": 249, "CA": 501}, regulation.Date{}
	names := map[string]regulation.BreachClock{}
	for _, c := range regulation.BreachClocks(f) {
		names[c.Notice] = c
	}
	if _, ok := names["tx-attorney-general"]; ok {
		t.Error("249 Texans: the Attorney General is told at 250")
	}
	if _, ok := names["ca-attorney-general"]; !ok {
		t.Error("501 Californians: the Attorney General is told at more than 500")
	}
	if c := names["tx-individual"]; !c.Begins.IsZero() || !c.Last.IsZero() {
		t.Errorf("Texas counts from the determination, which there is not: %+v", c)
	}
}
