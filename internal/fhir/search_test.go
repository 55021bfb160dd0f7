package fhir

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
)

func TestParseQueryDates(t *testing.T) {
	for in, want := range map[string][2]string{
		"date=2026":                             {"2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		"date=eq2026-02":                        {"2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"},
		"date=2024-02-29":                       {"2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"},
		"date=2026-11-22T10:11Z":                {"2026-11-22T10:11:00Z", "2026-11-22T10:12:00Z"},
		"date=2026-11-22T10:11:12":              {"2026-11-22T10:11:12Z", "2026-11-22T10:11:13Z"},
		"date=2026-11-22T10:11:12.05%2B01:00":   {"2026-11-22T09:11:12.05Z", "2026-11-22T09:11:12.06Z"},
		"date=2026-11-22T10:11:12+01:00":        {"2026-11-22T09:11:12Z", "2026-11-22T09:11:13Z"},
		"date=2026-11-22T10:11:12.123456789Z":   {"2026-11-22T10:11:12.123456789Z", "2026-11-22T10:11:12.12345679Z"},
		"date=ge2026-11-22":                     {"2026-11-22T00:00:00Z", ""},
		"date=gt2026-11-22":                     {"2026-11-23T00:00:00Z", ""},
		"date=sa2026-11":                        {"2026-12-01T00:00:00Z", ""},
		"date=lt2026-11-22":                     {"", "2026-11-22T00:00:00Z"},
		"date=eb2026":                           {"", "2026-01-01T00:00:00Z"},
		"date=le2026-11-22":                     {"", "2026-11-23T00:00:00Z"},
		"date=ge2026-01-01&date=le2026-01-31":   {"2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
		"date=2026&date=2026-06&date=lt2027":    {"2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"},
		"date=gt2026-01-01T00:00:00Z&date=2025": {"2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z"},
		"date=lt0001-01-01":                     {"", "0001-01-01T00:00:00.000000001Z"},
	} {
		values, err := url.ParseQuery(in)
		if err != nil {
			t.Fatal(err)
		}
		q, unknown, err := ParseQuery(values)
		if err != nil || len(unknown) != 0 {
			t.Errorf("%s: %v %v", in, unknown, err)
			continue
		}
		show := func(at time.Time) string {
			if at.IsZero() {
				return ""
			}
			return at.Format(time.RFC3339Nano)
		}
		if got := [2]string{show(q.From), show(q.To)}; got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

func TestParseQueryTerms(t *testing.T) {
	type terms = []hippad.Term
	term := hippad.NewTerm
	eleven := int64(11)
	for in, want := range map[string]hippad.Query{
		"patient=Patient/7": {Terms: []terms{{term(hippad.FieldPatient, "Patient/7")}}},
		"patient.identifier=urn:oid:1.2.3|7,8&patient=9": {Terms: []terms{{term(hippad.FieldPatient, "9")},
			{term(hippad.FieldPatient, "urn:oid:1.2.3|7"), term(hippad.FieldPatient, "8")}}},
		`agent=M%C3%BCller%5C, J.,x`:                  {Terms: []terms{{{Field: hippad.FieldAgent, Value: "müller, j."}, {Field: hippad.FieldAgent, Value: "x"}}}},
		"action=R,C&outcome=0":                        {Terms: []terms{{term(hippad.FieldAction, "R"), term(hippad.FieldAction, "C")}, {term(hippad.FieldOutcome, "0")}}},
		"action=http://hl7.org/fhir/x|R":              {Terms: []terms{{term(hippad.FieldAction, "R")}}},
		"subtype=ITI-43&subtype=|x":                   {Terms: []terms{{term(hippad.FieldSubtype, "ITI-43")}, {term(hippad.FieldSubtype, "x")}}},
		"source=s&entity=e&address=2001:DB8::1":       {Terms: []terms{{term(hippad.FieldAddress, "2001:db8::1")}, {term(hippad.FieldEntity, "e")}, {term(hippad.FieldSource, "s")}}},
		"_reporter=address:192.0.2.1&_door=fhir":      {Terms: []terms{{term(hippad.FieldDoor, "fhir")}, {term(hippad.FieldReporter, "address:192.0.2.1")}}},
		"_mark=unreadable,truncated":                  {Terms: []terms{{term(hippad.FieldMark, "unreadable"), term(hippad.FieldMark, "truncated")}}},
		"_id=3,1,3":                                   {Indexes: []int64{3, 1}},
		"_id=3,1&_id=1,2":                             {Indexes: []int64{1}},
		"_id=3&_id=4":                                 {Indexes: []int64{-1}},
		"_count=20&_before=11&_format=json&_pretty=1": {Limit: 20, Before: &eleven},
		"": {},
	} {
		values, err := url.ParseQuery(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, unknown, err := ParseQuery(values); err != nil || len(unknown) != 0 || !sameQuery(got, want) {
			t.Errorf("%s: %v %v\n%+v\n%+v", in, unknown, err, got.Terms, want.Terms)
		}
	}
	_, unknown, err := ParseQuery(url.Values{"zebra": {"1"}, "patient": {"7"}, "entity-type": {"2"}, "foo:bar": {"x"}})
	if err != nil || !slices.Equal(unknown, []string{"entity-type", "foo:bar", "zebra"}) {
		t.Errorf("%v %v", unknown, err)
	}
}

func sameQuery(a, b hippad.Query) bool { return reflect.DeepEqual(a, b) }

// A code is found whatever name its sender had for the code system, and whatever name the searcher has.
func TestParseQueryFindsEverySystemName(t *testing.T) {
	stored := []hippad.Code{{System: "DCM", Code: "110106"}, {System: systemDCM, Code: "110106"}, {System: "http://nema.org/dicom/dicm", Code: "110106"}}
	for _, asked := range []string{"DCM|110106", systemDCM + "|110106", "110106", "|110106"} {
		q, _, err := ParseQuery(url.Values{"type": {asked}})
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range stored {
			if !q.Matches(hippad.Entry{}, hippad.Event{Type: code}) {
				t.Errorf("%s does not find %v", asked, code)
			}
		}
		if q.Matches(hippad.Entry{}, hippad.Event{Type: hippad.Code{System: "DCM", Code: "110107"}}) {
			t.Errorf("%s finds another code", asked)
		}
	}
	if q, _, _ := ParseQuery(url.Values{"type": {"other|110106"}}); q.Matches(hippad.Entry{}, hippad.Event{Type: stored[0]}) {
		t.Error("another system's code is found")
	}
}

func TestParseQueryRefuses(t *testing.T) {
	const secret = "Miller"
	for name, values := range map[string]url.Values{
		"date":      {"date": {secret}},
		"patient":   {"patient": {""}},
		"type":      {"type": {"DCM|"}},
		"action":    {"action": {secret}},
		"outcome":   {"outcome": {"2"}},
		"_id":       {"_id": {secret}},
		"_count":    {"_count": {"0"}},
		"_before":   {"_before": {"-1"}},
		"_reporter": {"_reporter": {secret}},
		"_door":     {"_door": {secret}},
		"_mark":     {"_mark": {secret}},
		"agent":     {"agent:missing": {secret}},
		"entity":    {"entity": {"a,,b"}},
	} {
		_, _, err := ParseQuery(values)
		if hippad.KindOf(err) != hippad.Invalid || err == nil {
			t.Errorf("%v: %v", name, err)
			continue
		}
		if message, hint := hippad.Public(err); !strings.Contains(message, "parameter "+name) || strings.Contains(message+hint, secret) {
			t.Errorf("%s: %s (%s)", name, message, hint)
		}
	}
	for _, date := range []string{"ne2026", "ap2026", "xx2026", "2026-1", "2026-13", "2026-02-30", "2026-11-22T", "2026-11-22T10", "2026-11-22T10:11:12.", "2026-11-22T10:11:12.1234567890Z",
		"2026-11-22T10:11:12,5Z", "2026,2027", "0000", "20260", "2026-11-22T25:00Z", "", "ge"} {
		if _, _, err := ParseQuery(url.Values{"date": {date}}); hippad.KindOf(err) != hippad.Invalid || err == nil {
			t.Errorf("date=%s: %v", date, err)
		}
	}
	if _, _, err := ParseQuery(url.Values{"patient": {strings.Repeat("a,", 2000) + "a"}}); hippad.KindOf(err) != hippad.Invalid || err == nil {
		t.Errorf("2001 values: %v", err)
	}
	if _, _, err := ParseQuery(url.Values{"_count": {"1", "2"}}); hippad.KindOf(err) != hippad.Invalid || err == nil {
		t.Errorf("two counts: %v", err)
	}
}

// Whatever is asked, the answer is a query or an error of kind Invalid; every parameter given narrows the query.
func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"date=ge2026-01-01&date=le2026-01-31&patient=a,b", `agent=a\,b,c`, "_id=1,2&_count=3&_before=9", "type=DCM|110106&foo=bar", "date=2026-11-22T10:11:12.5+01:00",
		"patient:identifier=urn:oid:1.2|3&action=R&outcome=0&address=::1&_mark=unreadable&_door=self&_reporter=self:x", "date=lt0001", "patient=%5C%5C%7C"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		q, unknown, err := ParseQuery(values)
		if err != nil {
			if hippad.KindOf(err) != hippad.Invalid {
				t.Fatalf("kind %v", hippad.KindOf(err))
			}
			return
		}
		terms := 0
		for name, list := range values {
			switch {
			case slices.Contains(unknown, name), name == "_format", name == "_pretty":
			case name == "_count":
				if q.Limit <= 0 {
					t.Fatal("no limit")
				}
			case name == "_before":
				if q.Before == nil {
					t.Fatal("no cursor")
				}
			case name == "date":
				if q.From.IsZero() && q.To.IsZero() && !strings.Contains(s, "0001") {
					t.Fatal("a date without bounds")
				}
			case name == "_id":
				if len(q.Indexes) == 0 {
					t.Fatal("_id without indexes")
				}
			default:
				terms += len(list)
			}
		}
		if len(q.Terms) != terms {
			t.Fatalf("%d term sets for %d parameters", len(q.Terms), terms)
		}
		for _, any := range q.Terms {
			if len(any) == 0 || slices.ContainsFunc(any, func(t hippad.Term) bool { return t.Value == "" }) {
				t.Fatal("an empty alternative")
			}
		}
		if again, _, err := ParseQuery(values); err != nil || !sameQuery(again, q) {
			t.Fatal("the same parameters give another query")
		}
	})
}
