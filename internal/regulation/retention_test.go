package regulation_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/regulation"
)

func parse(t testing.TB, text string) *regulation.Classes {
	t.Helper()
	c, err := regulation.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const configured = `{"classes": [
	{"name": "default", "years": 7},
	{"name": "minors", "years": 25, "match": [{"field": "_organisation", "any": ["Children", "Youth"]}]},
	{"name": "short", "years": 2, "override": "test systems hold no patient data", "match": [{"field": "source", "any": ["TEST"]}]},
	{"name": "export-minors", "years": 30, "match": [{"field": "_organisation", "any": ["Children"]}, {"field": "type", "any": ["DCM|110106"]}]}
]}`

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestEnd(t *testing.T) {
	zone := time.FixedZone("", 14*3600)
	c := parse(t, configured)
	for _, x := range []struct {
		classes *regulation.Classes
		class   string
		month   time.Time
		want    string // the first day on which it may go; empty: never
	}{
		{nil, "default", day("2026-11-01"), "2032-12-01"},
		{nil, "default", day("2026-11-30"), "2032-12-01"},
		{nil, "default", day("2026-12-31"), "2033-01-01"},
		{nil, "default", day("2027-01-01"), "2033-02-01"},
		{nil, "default", day("2027-02-01"), "2033-03-01"},
		{nil, "default", day("2028-02-01"), "2034-03-02"}, // 29 February 2028: 2034 has none, so 1 March, to its end
		{nil, "default", day("2026-02-28"), "2032-03-01"}, // 28 February, although 2032 has a 29th
		{nil, "default", day("2032-02-29"), "2038-03-02"}, // past the end of 32-bit time
		{nil, "default", day("2094-02-10"), "2100-03-01"}, // 2100 is no leap year
		{nil, "default", day("2096-02-10"), "2102-03-02"},
		{nil, "default", time.Date(2026, 12, 1, 3, 0, 0, 0, zone), "2032-12-01"}, // November in UTC
		{nil, "default", time.Date(2026, 11, 30, 23, 0, 0, 0, time.FixedZone("", -5*3600)), "2033-01-01"},
		{c, "default", day("2026-11-01"), "2033-12-01"},
		{c, "minors", day("2026-11-01"), "2051-12-01"},
		{c, "short", day("2028-02-01"), "2030-03-02"},
		{c, "self", day("2026-11-01"), ""},
		{c, "held", day("2026-11-01"), ""},
		{c, "held-2", day("2026-11-01"), ""},
		{c, "until-2040", day("2026-11-01"), "2041-01-01"},
		{c, "until-2030", day("2026-11-01"), "2032-12-01"}, // its class keeps it longer
		{c, "until-2040-25", day("2026-11-01"), "2051-12-01"},
		{c, "until-2060-25", day("2026-11-01"), "2061-01-01"},
		{c, "until-2200", day("2026-11-01"), "2126-12-01"}, // at most a hundred years
		{c, "until-2200-100", day("2099-12-01"), "2200-01-01"},
		{nil, "until-2040-25", day("2026-11-01"), "2051-12-01"}, // whatever is configured now
	} {
		got, err := x.classes.End(x.class, x.month)
		want := time.Time{}
		if x.want != "" {
			want = day(x.want)
		}
		if err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s of %s: %v, %v, want %s", x.class, x.month, got, err, x.want)
		}
	}
	for _, class := range []string{"", "gone", "until-", "until-40", "until-20400", "until-2040-", "until-2040-0", "until-2040-101", "until-2040-6-6", "until-+040", "Default", "until-2201", "until-1999"} {
		if got, err := c.End(class, day("2026-11-01")); hippad.KindOf(err) != hippad.NotFound || !got.IsZero() {
			t.Errorf("%q ends %v, %v", class, got, err)
		}
	}
}

// However a month is chosen, its content is kept for six whole years from any moment in it, in every time zone.
func TestEndIsNeverEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(day("2026-01-01").Unix(), day("2150-01-01").Unix()).Draw(t, "at"), 0).UTC()
		class := rapid.SampledFrom([]string{"default", "until-2027", "until-2099", "until-2200", "until-2040-7"}).Draw(t, "class")
		end, err := (*regulation.Classes)(nil).End(class, at)
		if err != nil {
			t.Fatal(err)
		}
		local := at.In(time.FixedZone("", rapid.IntRange(-12, 14).Draw(t, "zone")*3600))
		if anniversary := time.Date(local.Year()+6, local.Month(), local.Day(), 0, 0, 0, 0, local.Location()); end.Before(anniversary) {
			t.Fatalf("%s of %v ends %v, before %v", class, local, end, anniversary)
		}
		if end.After(at.AddDate(101, 0, 0)) {
			t.Fatalf("%s of %v ends %v", class, at, end)
		}
	})
}

func stating(details ...string) hippad.Event {
	n := hippad.Entity{}
	for _, d := range details {
		n.Details = append(n.Details, hippad.Detail{Type: "ehds-retention-ends", Value: []byte(d)})
	}
	return hippad.Event{Entities: []hippad.Entity{{}, n}}
}

func TestClassify(t *testing.T) {
	c := parse(t, configured)
	children := hippad.Entry{Door: hippad.DoorNative, Reporter: hippad.Principal{Kind: hippad.KindToken, ID: "1", Organisation: "Children"}}
	export := hippad.Event{Type: hippad.Code{System: "DCM", Code: "110106"}}
	source := hippad.Event{Source: hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: "TEST"}}}}
	for _, x := range []struct {
		name    string
		classes *regulation.Classes
		e       hippad.Entry
		ev      hippad.Event
		want    string
	}{
		{"nothing configured", nil, hippad.Entry{Door: hippad.DoorFHIR}, export, "default"},
		{"nothing matches", c, hippad.Entry{Door: hippad.DoorFHIR}, export, "default"},
		{"unreadable", c, hippad.Entry{Door: hippad.DoorFHIR}, hippad.Event{Unreadable: "x"}, "default"},
		{"one", c, children, hippad.Event{}, "minors"},
		{"the longest", c, children, export, "export-minors"},
		{"the only one", c, hippad.Entry{Door: hippad.DoorFHIR}, source, "short"},
		{"longer than the short one", c, children, source, "minors"},
		{"the log itself", c, hippad.Entry{Door: hippad.DoorSelf}, export, "self"},
		{"the log itself states an end", c, hippad.Entry{Door: hippad.DoorSelf}, stating("2040"), "self"},
		{"stated", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating("2040-05-01"), "until-2040"},
		{"stated with another default", c, hippad.Entry{Door: hippad.DoorFHIR}, stating("2040-05-01"), "until-2040-7"},
		{"stated and a class", c, children, stating("2040-05-01"), "until-2040-25"},
		{"the latest", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating("2040", "2050-01", "x", "2045"), "until-2050"},
		{"in the past", c, children, stating("2001-01-01"), "minors"},
		{"of another zone", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating("2040-12-31T23:30:00-05:00"), "until-2041"},
		{"with fractions", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating("2040-12-31T23:30:00.123Z"), "until-2040"},
		{"without seconds", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating("2040-12-31T23:30Z"), "until-2040"},
		{"without zone", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating("2040-12-31T23:30:00"), "until-2040"},
		{"blanks", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating(" 2040 "), "until-2040"},
		{"too far", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating("9999-12-31T23:59:59-12:00"), "until-2200"},
		{"leap day", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating("2040-02-29"), "until-2040"},
		{"no leap day", nil, hippad.Entry{Door: hippad.DoorFHIR}, stating("2041-02-29"), "default"},
	} {
		if got := x.classes.Classify(x.e, x.ev); got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
	for _, hostile := range []string{"", "-2040", "2040-13-01", "20400101", "+2040", "2040-01-01T25:00:00Z", "two thousand", "2040\x00", "99999", "2040-01-01; drop", strings.Repeat("2", 1<<20)} {
		if got := (*regulation.Classes)(nil).Classify(hippad.Entry{Door: hippad.DoorFHIR}, stating(hostile)); got != "default" {
			t.Errorf("%.40q: %q", hostile, got)
		}
	}
	other := stating("2040")
	other.Entities[1].Details[0].Type = "retention-ends"
	if got := (*regulation.Classes)(nil).Classify(hippad.Entry{Door: hippad.DoorFHIR}, other); got != "until-2040" {
		t.Errorf("retention-ends: %q", got)
	}
	other.Entities[1].Details[0].Type = "Retention-Ends "
	if got := (*regulation.Classes)(nil).Classify(hippad.Entry{Door: hippad.DoorFHIR}, other); got != "default" {
		t.Errorf("another detail: %q", got)
	}
}

// Whatever an event states, its class is one that has a data key's name and an end, or is for ever.
func TestEveryClassHasAnEnd(t *testing.T) {
	good := regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	classes := []*regulation.Classes{nil, parse(t, configured)}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(classes).Draw(t, "classes")
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9]{4}(-[01][0-9](-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:00(Z|[+-]1[0-4]:00))?)?)?`)).Draw(t, "value")
		e := hippad.Entry{Door: hippad.DoorFHIR, Reporter: hippad.Principal{Organisation: rapid.SampledFrom([]string{"", "Children", "Youth"}).Draw(t, "organisation")}}
		class := c.Classify(e, stating(value))
		end, err := c.End(class, day("2026-11-01"))
		if !good.MatchString(class) || err != nil || end.IsZero() {
			t.Fatalf("%q: %q ends %v, %v", value, class, end, err)
		}
	})
}

func TestParse(t *testing.T) {
	many := `{"classes": [`
	for i := range 65 {
		many += fmt.Sprintf(`{"name": "c%d", "years": 7, "match": [{"field": "type", "any": ["1"]}]},`, i)
	}
	for text, why := range map[string]string{
		``: "classes", `{`: "classes", `[]`: "classes", `{"clases": []}`: "clases",
		`{"classes": [{"name": "x", "years": 7}]}`:                                                                                 "for nothing",
		`{"classes": [{"name": "", "years": 7}]}`:                                                                                  "1 to 32",
		`{"classes": [{"name": "Upper", "years": 7}]}`:                                                                             "1 to 32",
		`{"classes": [{"name": "self", "years": 7}]}`:                                                                              "own use",
		`{"classes": [{"name": "held-2", "years": 7}]}`:                                                                            "own use",
		`{"classes": [{"name": "until-2040", "years": 7}]}`:                                                                        "own use",
		`{"classes": [{"name": "default", "years": 5}]}`:                                                                           "164.316",
		`{"classes": [{"name": "default", "years": 5, "override": "because"}]}`:                                                    "164.316",
		`{"classes": [{"name": "default", "years": 0, "override": "because somebody said so"}]}`:                                   "0 years",
		`{"classes": [{"name": "default", "years": -6, "override": "because somebody said so"}]}`:                                  "-6 years",
		`{"classes": [{"name": "default", "years": 101}]}`:                                                                         "101 years",
		`{"classes": [{"name": "default", "years": 6.5}]}`:                                                                         "classes",
		`{"classes": [{"name": "default", "years": 7, "override": "because somebody said so"}]}`:                                   "nothing to override",
		`{"classes": [{"name": "default", "years": 7, "match": [{"field": "type", "any": ["1"]}]}]}`:                               "no match",
		`{"classes": [{"name": "default", "years": 7}, {"name": "default", "years": 8}]}`:                                          "twice",
		`{"classes": [{"name": "x", "years": 7, "match": [{"field": "color", "any": ["1"]}]}]}`:                                    "color",
		`{"classes": [{"name": "x", "years": 7, "match": [{"field": "type", "any": []}]}]}`:                                        "matches nothing",
		`{"classes": [{"name": "x", "years": 7, "match": [{"field": "type", "any": [" "]}]}]}`:                                     "with nothing",
		`{"classes": [{"name": "x", "years": 7, "years": 8, "match": [{"field": "type", "any": ["1"]}]}]}`:                         "classes",
		strings.TrimSuffix(many, ",") + `]}`:                                                                                       "65 classes",
		`{"classes": [{"name": "x", "years": 7, "match": [{"field": "type", "any": ["1"` + strings.Repeat(`,"1"`, 1000) + `]}]}]}`: "1000 values",
		`{"classes": []}` + strings.Repeat(" ", 1<<20):                                                                             "bytes",
	} {
		if c, err := regulation.Parse(strings.NewReader(text)); err == nil || hippad.KindOf(err) != hippad.Invalid || !strings.Contains(err.Error(), why) {
			t.Errorf("%.100s: %v, %v, want %q", text, c, err, why)
		}
	}
	c := parse(t, configured)
	if k, ok := c.Of("short"); !ok || k.Override == "" || k.Years != 2 {
		t.Errorf("%+v", k)
	}
	if _, ok := c.Of("self"); ok || c.Longest() != 30 || (*regulation.Classes)(nil).Longest() != 6 {
		t.Error("self is configured, or the longest is another")
	}
}
