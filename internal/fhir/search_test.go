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

func parsed(t testing.TB, query string) (hippad.Query, []string, error) {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return ParseQuery(values)
}

func TestParseQueryDates(t *testing.T) {
	type span = [2]string
	for in, want := range map[string][][]span{
		"date=2026":                           {{{"2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"}}},
		"date=eq2026-02":                      {{{"2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"}}},
		"date=2024-02-29":                     {{{"2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"}}},
		"date=2026-11-22T10:11Z":              {{{"2026-11-22T10:11:00Z", "2026-11-22T10:12:00Z"}}},
		"date=2026-11-22T10:11:12":            {{{"2026-11-22T10:11:12Z", "2026-11-22T10:11:13Z"}}},
		"date=2026-11-22T10:11:12.05%2B01:00": {{{"2026-11-22T09:11:12.05Z", "2026-11-22T09:11:12.06Z"}}},
		"date=2026-11-22T10:11:12+01:00":      {{{"2026-11-22T09:11:12Z", "2026-11-22T09:11:13Z"}}},
		"date=2026-11-22T10:11:12.123456789Z": {{{"2026-11-22T10:11:12.123456789Z", "2026-11-22T10:11:12.12345679Z"}}},
		"date=ge2026-11-22":                   {{{"2026-11-22T00:00:00Z", ""}}},
		"date=gt2026-11-22":                   {{{"2026-11-23T00:00:00Z", ""}}},
		"date=sa2026-11":                      {{{"2026-12-01T00:00:00Z", ""}}},
		"date=lt2026-11-22":                   {{{"", "2026-11-22T00:00:00Z"}}},
		"date=eb2026":                         {{{"", "2026-01-01T00:00:00Z"}}},
		"date=le2026-11-22":                   {{{"", "2026-11-23T00:00:00Z"}}},
		"date=ne2026":                         {{{"", "2026-01-01T00:00:00Z"}, {"2027-01-01T00:00:00Z", ""}}},
		"date=2026,2020-05,lt2001":            {{{"2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"}, {"2020-05-01T00:00:00Z", "2020-06-01T00:00:00Z"}, {"", "2001-01-01T00:00:00Z"}}},
		"date=ge2026-01-01&date=le2026-01-31": {{{"2026-01-01T00:00:00Z", ""}}, {{"", "2026-02-01T00:00:00Z"}}},
		"date=9999":                           {{{"9999-01-01T00:00:00Z", ""}}},
		"date=gt9999":                         {{{"9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"}}},
		"date=lt0001-01-01":                   {{{"", "0001-01-01T00:00:00.000000001Z"}}},
	} {
		for _, name := range []string{"date", "_lastUpdated"} {
			q, unknown, err := parsed(t, strings.ReplaceAll(in, "date=", name+"="))
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
			all := q.Times
			if name == "_lastUpdated" {
				all = q.Received
			}
			var got [][]span
			for _, any := range all {
				var spans []span
				for _, p := range any {
					spans = append(spans, span{show(p.Start), show(p.End)})
				}
				got = append(got, spans)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, want %v", in, got, want)
			}
		}
	}
	now := time.Date(2026, 1, 11, 0, 0, 0, 0, time.UTC)
	s, err := parseSearch(url.Values{"date": {"ap2026-01-01"}}, r4, now)
	if p := s.query.Times[0][0]; err != nil || !p.Start.Equal(now.AddDate(0, 0, -11)) || !p.End.Equal(now.AddDate(0, 0, -8)) {
		t.Errorf("ap: %v %v", p, err)
	}
	if s, err = parseSearch(url.Values{"date": {"ap0001"}}, r4, now); err != nil || !s.query.Times[0][0].Start.IsZero() {
		t.Errorf("ap of the beginning of time: %v %v", s.query.Times, err)
	}
}

func TestParseQueryTerms(t *testing.T) {
	type terms = []hippad.Term
	term, filter := hippad.NewTerm, hippad.NewFilter
	for in, want := range map[string]hippad.Query{
		"patient=Patient/7": {Terms: []terms{{term(hippad.FieldPatient, "Patient/7")}}},
		"patient.identifier=urn:oid:1.2.3|7,8&patient=9": {Terms: []terms{{term(hippad.FieldPatient, "9")},
			{term(hippad.FieldPatient, "urn:oid:1.2.3|7"), term(hippad.FieldPatient, "8")}}},
		"patient=7%5E%5E%5E%261.2.3%26ISO":                                     {Terms: []terms{{term(hippad.FieldPatient, "urn:oid:1.2.3|7")}}},
		"patient:Patient=7&patient:identifier=|7":                              {Terms: []terms{{term(hippad.FieldPatient, "Patient/7")}, {term(hippad.FieldPatient, "7")}}},
		"entity:Binary=https://x.example/Binary/1/_history/2,3":                {Terms: []terms{{term(hippad.FieldEntity, "https://x.example/Binary/1/_history/2"), term(hippad.FieldEntity, "Binary/3")}}},
		`agent=M%C3%BCller%5C, J.,x`:                                           {Terms: []terms{{{Field: hippad.FieldAgent, Value: "müller, j."}, {Field: hippad.FieldAgent, Value: "x"}}}},
		"action=R,C&outcome=0":                                                 {Terms: []terms{{term(hippad.FieldAction, "R"), term(hippad.FieldAction, "C")}, {term(hippad.FieldOutcome, "0")}}},
		"action=http://hl7.org/fhir/audit-event-action|R&action=|C":            {Terms: []terms{{term(hippad.FieldAction, "R")}, {term(hippad.FieldAction, "C")}}},
		"outcome=success,information,http://hl7.org/fhir/issue-severity|fatal": {Terms: []terms{{term(hippad.FieldOutcome, "0"), term(hippad.FieldOutcome, "12")}}},
		"subtype=ITI-43&subtype=|x&subtype=DCM|":                               {Terms: []terms{{term(hippad.FieldSubtype, "ITI-43")}, {{Field: hippad.FieldSubtype, Value: "|x"}}, {{Field: hippad.FieldSubtype, Value: hippad.SystemDCM + "|"}}}},
		"source=s&entity=e&address=2001:DB8::1": {Terms: []terms{{term(hippad.FieldEntity, "e")}, {term(hippad.FieldSource, "s")}},
			Filters: []hippad.Filter{{Op: hippad.OpStarts, Field: hippad.FieldAddress, Values: []string{"2001:db8::1"}}}},
		"agent-name=M%C3%BCl,x&entity-name:exact= A":                         {Filters: []hippad.Filter{{Op: hippad.OpStarts, Field: hippad.FieldAgentName, Values: []string{"mul", "x"}}, {Op: hippad.OpExact, Field: hippad.FieldEntityName, Values: []string{" A"}}}},
		"type:not=DCM|1,2&category:not=|3":                                   {Filters: []hippad.Filter{filter(hippad.OpNone, hippad.FieldType, "|3"), filter(hippad.OpNone, hippad.FieldType, hippad.SystemDCM+"|1", "2")}},
		"purpose:missing=true&code:missing=false&patient:missing=true":       {Filters: []hippad.Filter{filter(hippad.OpPresent, hippad.FieldCode), filter(hippad.OpMissing, hippad.FieldPatient), filter(hippad.OpMissing, hippad.FieldPurpose)}},
		"altid=|a&site=S 1&policy=http://p/1|2&_media=application/fhir+json": {Terms: []terms{{term(hippad.FieldMedia, "application/fhir+json")}, {term(hippad.FieldAltID, "a")}, {term(hippad.FieldPolicy, "http://p/1|2")}, {term(hippad.FieldSite, "S 1")}}},
		"encounter=Encounter/1&based-on:Task=2&agent-role=|r&entity-type=2&entity-role=1": {Terms: []terms{{term(hippad.FieldAgentRole, "|r")}, {term(hippad.FieldBasedOn, "Task/2")}, {term(hippad.FieldEncounter, "Encounter/1")},
			{term(hippad.FieldEntityRole, "1")}, {term(hippad.FieldEntityType, "2")}}},
		"_reporter=address:192.0.2.1&_door=fhir":     {Terms: []terms{{term(hippad.FieldDoor, "fhir")}, {term(hippad.FieldReporter, "address:192.0.2.1")}}},
		"_mark=unreadable,truncated,incomplete":      {Terms: []terms{{term(hippad.FieldMark, "unreadable"), term(hippad.FieldMark, "truncated"), term(hippad.FieldMark, "incomplete")}}},
		"_hostname=h&_app-name=a&_procid=1&_msgid=m": {Terms: []terms{{term(hippad.FieldAppName, "a")}, {term(hippad.FieldHostname, "h")}, {term(hippad.FieldMsgID, "m")}, {term(hippad.FieldProcID, "1")}}},
		"_id=3,1,3":                        {Indexes: []int64{3, 1}},
		"_id=3,1&_id=1,2":                  {Indexes: []int64{1}},
		"_id=3&_id=4":                      {Indexes: []int64{-1}},
		"_count=20&_format=json&_pretty=1": {Limit: 20},
		"_sort=date":                       {ByTime: true, Ascending: true},
		"_sort=-date,-_id":                 {ByTime: true},
		"_sort=_lastUpdated,_id":           {Ascending: true},
		"_sort=-_lastUpdated":              {},
		"_sort=_id":                        {Ascending: true},
		"":                                 {},
	} {
		if got, unknown, err := parsed(t, in); err != nil || len(unknown) != 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v %v\n%+v %+v\n%+v %+v", in, unknown, err, got.Terms, got.Filters, want.Terms, want.Filters)
		}
	}
	_, unknown, err := ParseQuery(url.Values{"zebra": {"1"}, "patient": {"7"}, "foo:bar": {"x"}, "_before": {"3"}, "_total": {"none"}})
	if err != nil || !slices.Equal(unknown, []string{"_before", "_total", "foo:bar", "zebra"}) {
		t.Errorf("%v %v", unknown, err)
	}
}

// Each release has its own parameters, and those of the other are not known there.
func TestParametersOfReleases(t *testing.T) {
	both := strings.Fields("action agent agent-role date entity entity-role outcome patient policy source")
	only := map[Release][]string{
		R4: strings.Fields("address agent-name altid entity-name entity-type site subtype type"),
		R5: strings.Fields("based-on category code encounter purpose"),
	}
	for r, other := range map[Release]Release{R4: R5, R5: R4} {
		names := slices.Concat(both, only[r])
		if want := map[Release]int{R4: 18, R5: 15}[r]; len(names) != want {
			t.Fatalf("%d", len(names))
		}
		var have []string
		for _, p := range parameters {
			if p.in&r.set() != 0 && !strings.HasPrefix(p.name, "_") {
				have = append(have, p.name)
			}
		}
		slices.Sort(names)
		if slices.Sort(have); !slices.Equal(have, names) {
			t.Errorf("%v: %v, want %v", r, have, names)
		}
		for _, name := range only[other] {
			if s, err := parseSearch(url.Values{name: {"x"}, name + ":not": {"y"}}, r.set(), time.Time{}); err != nil || len(s.unknown) != 2 {
				t.Errorf("%v %s: %v %v", r, name, s.unknown, err)
			}
		}
	}
	if _, err := parseSearch(url.Values{"outcome": {"success"}}, r4, time.Time{}); err == nil {
		t.Error("R4 has no outcome of success")
	}
	if s, err := parseSearch(url.Values{"outcome": {"warning"}}, r5, time.Time{}); err != nil || s.query.Terms[0][0].Value != "4" {
		t.Errorf("%v %v", s.query.Terms, err)
	}
}

// A code is found whatever name its sender had for the code system, and whatever name the searcher has.
func TestParseQueryFindsEverySystemName(t *testing.T) {
	stored := []hippad.Code{{System: "DCM", Code: "110106"}, {System: hippad.SystemDCM, Code: "110106"}, {System: "http://nema.org/dicom/dicm", Code: "110106"}}
	finds := func(asked string, code hippad.Code) bool {
		q, _, err := ParseQuery(url.Values{"type": {asked}})
		if err != nil {
			t.Fatal(err)
		}
		return q.Matches(hippad.Entry{}, hippad.Event{Type: code})
	}
	for _, asked := range []string{"DCM|110106", hippad.SystemDCM + "|110106", "110106", "1.2.840.10008.2.16.4|110106", "DCM|", "urn:oid:1.2.840.10008.2.16.4|"} {
		for _, code := range stored {
			if !finds(asked, code) {
				t.Errorf("%s does not find %v", asked, code)
			}
		}
	}
	for _, asked := range []string{"|110106", "other|110106", "DCM|110107", "other|"} {
		if finds(asked, stored[0]) {
			t.Errorf("%s finds %v", asked, stored[0])
		}
	}
	if !finds("|110106", hippad.Code{Code: "110106"}) {
		t.Error("a code without a system is not found as one")
	}
}

func TestParseQueryRefuses(t *testing.T) {
	const secret = "Miller"
	for _, c := range []struct{ name, query string }{
		{"date", "date=" + secret}, {"date", "date=2026,"}, {"date", "date:missing=true"}, {"date", "date:not=2026"},
		{"_lastUpdated", "_lastUpdated=" + secret}, {"_lastUpdated", "_lastUpdated:missing=false"},
		{"patient", "patient="}, {"patient", "patient=|"}, {"patient", "patient=urn:oid:1.2.3|"}, {"patient", "patient:Group=" + secret},
		{"patient", "patient:Patient=Group/" + secret}, {"patient", "patient:Patient=1.2|" + secret}, {"patient", "patient:not=" + secret}, {"patient", "patient:exact=" + secret},
		{"patient.identifier", "patient.identifier:not=" + secret}, {"patient.identifier", "patient.identifier:Patient=" + secret},
		{"type", "type=|"}, {"type", "type:text=" + secret}, {"type", "type:in=" + secret}, {"type", "type:missing=" + secret}, {"type", "type:=" + secret},
		{"action", "action=" + secret}, {"action", "action=other|R"}, {"action", "action:exact=R"}, {"outcome", "outcome=2"}, {"outcome", "outcome=other|0"},
		{"agent-name", "agent-name:contains=" + secret}, {"agent-name", "agent-name=%20"}, {"agent-name", "agent-name=%CC%81"}, {"altid", "altid=|"},
		{"policy", "policy:below=" + secret}, {"entity", "entity=a,,b"}, {"entity", "entity:lowercase=" + secret},
		{"_id", "_id=" + secret}, {"_id", "_id:not=3"}, {"_count", "_count=0"}, {"_count", "_count=-1"}, {"_count", "_count=99999999999999999999"}, {"_id", "_id=99999999999999999999"}, {"_count", "_count=1&_count=2"}, {"_count", "_count:exact=1"},
		{"_sort", "_sort=" + secret}, {"_sort", "_sort=date,-_id"}, {"_sort", "_sort=_id,date"}, {"_sort", "_sort="}, {"_summary", "_summary=" + secret}, {"_total", "_total=" + secret},
		{"_include", "_include=" + secret}, {"_include", "_include=AuditEvent:type"}, {"_include", "_include=AuditEvent:patient:Group"}, {"_include", "_include=Patient:agent"},
		{"_reporter", "_reporter=" + secret}, {"_door", "_door=" + secret}, {"_mark", "_mark=" + secret}, {"_media", "_media=" + secret},
	} {
		_, _, err := parsed(t, c.query)
		if hippad.KindOf(err) != hippad.Invalid || err == nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if message, hint := hippad.Public(err); !strings.Contains(message, "parameter "+c.name+":") || strings.Contains(message+hint, secret) {
			t.Errorf("%s: %s (%s)", c.query, message, hint)
		}
	}
	for _, date := range []string{"xx2026", "2026-1", "2026-13", "2026-02-30", "2026-11-22T", "2026-11-22T10", "2026-11-22T10:11:12.", "2026-11-22T10:11:12.1234567890Z",
		"2026-11-22T10:11:12\\,5Z", "9999-12-31T23:59-01:00", "0001-01-01T00:00+01:00", "0000", "20260", "2026-11-22T25:00Z", "", "ge"} {
		if _, _, err := ParseQuery(url.Values{"date": {date}}); hippad.KindOf(err) != hippad.Invalid || err == nil {
			t.Errorf("date=%s: %v", date, err)
		}
	}
	for _, much := range []url.Values{{"patient": {strings.Repeat("a,", 2000) + "a"}}, {"patient": {strings.Repeat("a", maxQuery)}}, {"x": slices.Repeat([]string{"1"}, maxValues+1)}} {
		if _, _, err := ParseQuery(much); hippad.KindOf(err) != hippad.Invalid || err == nil {
			t.Errorf("too much: %v", err)
		}
	}
	if _, _, err := parsed(t, "_include=AuditEvent:patient&_include:iterate=AuditEvent:agent:Device&_include=*&_include=AuditEvent:encounter"); err != nil {
		t.Error(err)
	}
}

// Whatever is asked, the answer is a query or an error of kind Invalid; every parameter given narrows the query.
func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"date=ge2026-01-01&date=le2026-01-31&patient=a,b", `agent=a\,b,c`, "_id=1,2&_count=3&_sort=-date", "type=DCM|110106&foo=bar", "date=ne2026-11-22T10:11:12.5+01:00,ap2026",
		"patient:identifier=urn:oid:1.2|3&action=R&outcome=0&address=::1&_mark=unreadable&_door=self&_reporter=self:x", "date=lt0001", "patient=%5C%5C%7C",
		"type:not=a|b,|c&purpose:missing=true&agent-name:exact=A", "_include=AuditEvent:patient&_summary=count&_total=none"} {
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
		narrowing := 0
		for name, list := range values {
			switch base, _, _ := strings.Cut(name, ":"); {
			case slices.Contains(unknown, name), base == "_format", base == "_pretty", base == "_sort":
			case base == "_count":
				if q.Limit <= 0 {
					t.Fatal("no limit")
				}
			case base == "_id":
				if len(q.Indexes) == 0 {
					t.Fatal("_id without indexes")
				}
			default:
				narrowing += len(list)
			}
		}
		if len(q.Terms)+len(q.Filters)+len(q.Times)+len(q.Received) != narrowing {
			t.Fatalf("%d terms, %d filters, %d and %d times for %d parameters", len(q.Terms), len(q.Filters), len(q.Times), len(q.Received), narrowing)
		}
		for _, any := range q.Terms {
			if len(any) == 0 || slices.ContainsFunc(any, func(t hippad.Term) bool { return t.Value == "" }) {
				t.Fatal("an empty alternative")
			}
		}
		for _, f := range q.Filters {
			if (len(f.Values) == 0) != (f.Op == hippad.OpMissing || f.Op == hippad.OpPresent) || slices.Contains(f.Values, "") {
				t.Fatal("an empty filter")
			}
		}
	})
}
