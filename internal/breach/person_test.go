package breach_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/breach"
)

// read is the report of a nurse's access as FHIR has it: reference and identifier of the patient, of which either may be empty, and when.
func read(when, reference, identifier string) string {
	what := ""
	if reference != "" {
		what = fmt.Sprintf(`"reference":%q`, reference)
	}
	if system, value, ok := strings.Cut(identifier, "|"); ok {
		what += fmt.Sprintf(`,"identifier":{"system":%q,"value":%s}`, system, quote(value))
	} else if identifier != "" {
		what += fmt.Sprintf(`,"identifier":{"value":%q}`, identifier)
	}
	return fmt.Sprintf(`{"resourceType":"AuditEvent","type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},"action":"R","recorded":%q,"outcome":"0","agent":[{"who":{"identifier":{"value":"nurse"}},"requestor":true}],"source":{"observer":{"display":"ehr"}},"entity":[{"what":{%s},"role":{"code":"1"}}]}`,
		when, strings.TrimPrefix(what, ","))
}

// A number that every server may give, or every hospital, does not make one person of two whose other identifiers differ: the second would not be told.
func TestSharedNumbers(t *testing.T) {
	const at = "2026-10-01T08:00:00Z"
	for _, x := range []struct {
		name string
		in   [][2]string
		want string // the persons, by their identifiers
	}{
		{"two servers", [][2]string{{"Patient/7", "urn:oid:1.2.3|100"}, {"Patient/7", "urn:oid:1.2.4|200"}}, "urn:oid:1.2.3|100, urn:oid:1.2.4|200"},
		{"and one of either", [][2]string{{"Patient/7", "urn:oid:1.2.3|100"}, {"Patient/7", "urn:oid:1.2.4|200"}, {"Patient/7", ""}}, "Patient/7, urn:oid:1.2.3|100, urn:oid:1.2.4|200"},
		{"a number without its assigner", [][2]string{{"https://a.example/Patient/1", "4711"}, {"https://b.example/Patient/9", "4711"}}, "https://a.example/Patient/1, https://b.example/Patient/9"},
		{"neither has an assigner", [][2]string{{"Patient/7", "4711"}, {"Patient/7", "4712"}}, "4711, 4712"},
		{"one person", [][2]string{{"Patient/7", "urn:oid:1.2.3|100"}, {"Patient/7", ""}, {"", "urn:oid:1.2.3|100"}}, "Patient/7 urn:oid:1.2.3|100"},
		{"one person by the address", [][2]string{{"https://a.example/Patient/1", "urn:oid:1.2.3|100"}, {"https://a.example/Patient/1", "urn:oid:1.2.4|200"}}, "https://a.example/Patient/1 urn:oid:1.2.3|100 urn:oid:1.2.4|200"},
	} {
		w := open(t)
		var bodies []string
		for _, p := range x.in {
			bodies = append(bodies, read(at, p[0], p[1]))
		}
		w.log.Report(t, bodies...)
		c := w.begin(t)
		w.scope(t, breach.Order{Case: c, User: "nurse"})
		a, drift, err := w.Affected(t.Context(), olga, c, "")
		if err != nil || drift != "" {
			t.Fatal(drift, err)
		}
		var got []string
		entries := 0
		for _, p := range a.Persons {
			got = append(got, strings.Join(p.Identifiers, " "))
			entries += len(p.Entries)
		}
		if strings.Join(got, ", ") != x.want || entries != len(x.in) {
			t.Errorf("%s: %v by %d entries, want %s", x.name, got, entries, x.want)
		}
	}
}

// Whom the crosswalk knows as one is one, whatever else is unclear about the number.
func TestSharedNumberThatIsLinked(t *testing.T) {
	w := open(t)
	w.log.Report(t, read("2026-10-01T08:00:00Z", "Patient/7", "urn:oid:1.2.3|100"), read("2026-10-01T08:00:00Z", "Patient/7", "urn:oid:1.2.4|200"))
	c := w.begin(t)
	if _, err := w.crosswalk.Link(t.Context(), olga, []string{"urn:oid:1.2.3|100", "urn:oid:1.2.4|200"}, "same"); err != nil {
		t.Fatal(err)
	}
	if s := w.scope(t, breach.Order{Case: c, User: "nurse"}); s.Individuals != 1 {
		t.Errorf("%d individuals", s.Individuals)
	}
}

// A clock that is ahead hides nobody: what by its sender happens after it came happened when it came, as in a review.
func TestScopeOfAPeriodWithAClockAhead(t *testing.T) {
	w := open(t) // on 2026-11-23
	w.log.Report(t, access("2031-01-01T08:00:00Z", "nurse", "0", mrn(1)), access("2026-11-20T08:00:00Z", "nurse", "0", mrn(2)), access("2026-11-23T12:00:01Z", "nurse", "0", mrn(3)))
	c := w.begin(t)
	for _, x := range []struct {
		from, to string
		want     int
	}{{"2026-11-23", "2026-11-23", 2}, {"2026-11-20", "2026-11-22", 1}, {"2026-11-20", "", 3}, {"", "2026-11-23", 3}, {"", "2026-11-19", 0}, {"2026-11-24", "", 0}} {
		o := breach.Order{Case: c, User: "nurse"}
		if x.from != "" {
			o.From = date(x.from)
		}
		if x.to != "" {
			o.To = date(x.to)
		}
		s, err := w.Scope(t.Context(), olga, o)
		if x.want == 0 && hippad.KindOf(err) == hippad.NotFound {
			continue
		}
		if err != nil || s.Individuals != x.want {
			t.Errorf("%s to %s: %d individuals, %v", x.from, x.to, s.Individuals, err)
		}
		if a, drift, err := w.Affected(t.Context(), olga, c, ""); err != nil || drift != "" || len(a.Persons) != x.want {
			t.Errorf("%s to %s, asked again: %d individuals, %q, %v", x.from, x.to, len(a.Persons), drift, err)
		}
	}
}

// Whom a sender names by something that nobody can write down is one who can be told all the same, or the case would never end.
func TestNumbersThatNobodyCanWrite(t *testing.T) {
	w := open(t)
	long := "urn:oid:1.2.3|" + strings.Repeat("x", 5000)
	const at = "2026-10-01T08:00:00Z"
	w.log.Report(t, read(at, "", long), read(at, "", long+"y"), read(at, "", "urn:oid:1.2.3|bell\abell"), read(at, "", long), read(at, "", "urn:oid:1.2.3|7^^^X"), read(at, "", "urn:oid:1.2.3| 8 "))
	c := w.begin(t)
	w.scope(t, breach.Order{Case: c, User: "nurse"})
	w.do(t, c, decided())
	w.do(t, c, lettered())
	a, _, err := w.Affected(t.Context(), olga, c, "")
	if err != nil || len(a.Persons) != 5 {
		t.Fatalf("%d persons, %v", len(a.Persons), err)
	}
	var rows []breach.NoticeRow
	for i, p := range a.Persons {
		if len(p.Identifiers[0]) > 200 {
			t.Errorf("an identifier of %d bytes", len(p.Identifiers[0]))
		}
		rows = append(rows, mailed(i+2, p.Identifiers[0], "2026-11-22"))
	}
	if out, err := w.Notify(t.Context(), olga, c, rows, false); err != nil || out.Entered != 5 || out.Reached != 5 {
		t.Errorf("%+v, %v", out, err)
	}
	s := w.scope(t, breach.Order{Case: c, User: "nurse", Except: []string{a.Persons[0].Identifiers[0]}, Reason: "x"})
	if s.Individuals != 4 {
		t.Errorf("%d without one of them", s.Individuals)
	}
}

// An entry that names one patient by number and another by name alone says that somebody is not counted.
func TestNamelessBesideOthers(t *testing.T) {
	w := open(t)
	first := w.log.Report(t, strings.Replace(access("2026-10-01T08:00:00Z", "nurse", "0", mrn(1), "X"), `ParticipantObjectID="X"`, `ParticipantObjectID=""`, 1))
	c := w.begin(t)
	s := w.scope(t, breach.Order{Case: c, User: "nurse"})
	a, _, err := w.Affected(t.Context(), olga, c, "")
	if err != nil || s.Individuals != 1 || s.Entries != 1 || s.Unnamed != 1 || fmt.Sprint(a.Nobody) != fmt.Sprint([]int64{first}) {
		t.Errorf("%+v, %v, %v", s.Counts, a.Nobody, err)
	}
}

// quote writes a JSON string.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}
