package hippad_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"hippad"
)

func TestFold(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "plain": "plain", "Jörg  GRÜN ": "jorg grun", "\tStraße\n": "strasse", "Ærø": "aero", "Łódź": "lodz",
		"e\u0301": "e", "Nguyễn": "nguyen", "Иванов": "иванов", "İ": "i", "\xff": "\ufffd",
	} {
		if got := hippad.Fold(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
		if again := hippad.Fold(hippad.Fold(s)); again != hippad.Fold(s) {
			t.Errorf("%q: folded twice %q", s, again)
		}
	}
}

func TestMissing(t *testing.T) {
	whole := hippad.Event{
		Type: hippad.Code{Code: "110112"}, Recorded: time.Unix(1, 0), Agents: []hippad.Agent{{}},
		Source: hippad.Source{Observer: hippad.Reference{Display: "x"}},
	}
	if got := whole.Missing(); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if got := (hippad.Event{}).Missing(); !slices.Equal(got, []string{"type", "recorded", "agent", "source.observer"}) {
		t.Errorf("%v", got)
	}
	marked := func(ev hippad.Event) bool {
		return slices.Contains(hippad.EntryTerms(hippad.Entry{}, ev), hippad.Term{Field: hippad.FieldMark, Value: hippad.MarkIncomplete})
	}
	if marked(whole) || !marked(hippad.Event{}) || marked(hippad.Event{Unreadable: "x"}) {
		t.Error("the mark")
	}
}

// One code of DICOM, and of every release of FHIR, is found by any name of its system.
func TestCodesMeet(t *testing.T) {
	event := func(c hippad.Code) hippad.Event { return hippad.Event{Type: c} }
	for _, sent := range []string{"DCM", hippad.SystemDCM, "http://nema.org/dicom/dicm", "1.2.840.10008.2.16.4"} {
		for asked, want := range map[string]bool{
			"110112": true, "DCM|110112": true, hippad.SystemDCM + "|110112": true, "urn:oid:1.2.840.10008.2.16.4|110112": true,
			"DCM|": true, "|110112": false, "IHE|110112": false, "110113": false, "rest": false,
		} {
			q := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldType, asked)}}}
			if got := q.Matches(hippad.Entry{}, event(hippad.Code{System: sent, Code: "110112"})); got != want {
				t.Errorf("%s asked for by %s: %v", sent, asked, got)
			}
		}
	}
	bare := hippad.Event{Entities: []hippad.Entity{{Role: hippad.Code{Code: "24", System: "RFC-3881"}, Type: hippad.Code{Code: "2"}}}}
	for _, term := range []hippad.Term{
		hippad.NewTerm(hippad.FieldEntityRole, "http://hl7.org/fhir/object-role|24"), hippad.NewTerm(hippad.FieldEntityRole, "24"),
		hippad.NewTerm(hippad.FieldEntityType, hippad.SystemEntityType+"|2"),
	} {
		if !(hippad.Query{Terms: [][]hippad.Term{{term}}}).Matches(hippad.Entry{}, bare) {
			t.Errorf("%v", term)
		}
	}
	none := hippad.Event{Type: hippad.Code{Code: "x"}}
	if !(hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldType, "|x")}}}).Matches(hippad.Entry{}, none) {
		t.Error("a code without a system is not found by saying that it has none")
	}
}

func TestFilters(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	ev := hippad.Event{
		Recorded: at, Type: hippad.Code{System: "DCM", Code: "110112"}, Subtypes: []hippad.Code{{System: "IHE Transactions", Code: "ITI-43"}},
		Agents: []hippad.Agent{
			{Name: "Dr. Jörg  GRÜN", Address: "192.168.17.4", Roles: []hippad.Code{{System: "DCM", Code: "110153"}}, AltID: "4242"},
			{Name: "Welby^Marcus", Policies: []string{"http://consent.example/1"}},
		},
		Source:   hippad.Source{Site: "north"},
		Entities: []hippad.Entity{{Name: "Chest x-ray", Agents: []hippad.Agent{{Name: "Inner"}}}},
	}
	e := hippad.Entry{Index: 9, Received: at.Add(time.Hour), Report: hippad.Report{Media: "Application/XML; charset=utf-8"}}
	term := func(f hippad.Field, v string) hippad.Query {
		return hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(f, v)}}}
	}
	filter := func(op hippad.Op, f hippad.Field, v ...string) hippad.Query {
		return hippad.Query{Filters: []hippad.Filter{hippad.NewFilter(op, f, v...)}}
	}
	times := func(p ...hippad.Period) hippad.Query { return hippad.Query{Times: [][]hippad.Period{p}} }
	for name, c := range map[string]struct {
		q    hippad.Query
		want bool
	}{
		"word":                 {filter(hippad.OpStarts, hippad.FieldAgentName, "gru"), true},
		"words":                {filter(hippad.OpStarts, hippad.FieldAgentName, "dr. JORG g"), true},
		"second part":          {filter(hippad.OpStarts, hippad.FieldAgentName, "marcus"), true},
		"middle of a word":     {filter(hippad.OpStarts, hippad.FieldAgentName, "elby"), false},
		"one of them":          {filter(hippad.OpStarts, hippad.FieldAgentName, "nobody", "wel"), true},
		"agent of an entity":   {filter(hippad.OpStarts, hippad.FieldAgentName, "inn"), true},
		"entity":               {filter(hippad.OpStarts, hippad.FieldEntityName, "X-RAY"), true},
		"address":              {filter(hippad.OpStarts, hippad.FieldAddress, "192.168.1"), true},
		"inside an address":    {filter(hippad.OpStarts, hippad.FieldAddress, "168"), false},
		"exact":                {filter(hippad.OpExact, hippad.FieldAgentName, "Welby^Marcus"), true},
		"exact in other case":  {filter(hippad.OpExact, hippad.FieldAgentName, "welby^marcus"), false},
		"exact beginning":      {filter(hippad.OpExact, hippad.FieldAgentName, "Welby"), false},
		"not":                  {filter(hippad.OpNone, hippad.FieldType, "DCM|110112"), false},
		"not another":          {filter(hippad.OpNone, hippad.FieldType, "DCM|110113", "x"), true},
		"missing":              {filter(hippad.OpMissing, hippad.FieldPurpose), true},
		"present":              {filter(hippad.OpPresent, hippad.FieldPurpose), false},
		"missing text":         {filter(hippad.OpMissing, hippad.FieldEntityName), false},
		"present text":         {filter(hippad.OpPresent, hippad.FieldEntityName), true},
		"unknown operation":    {filter(77, hippad.FieldType, "x"), false},
		"code":                 {term(hippad.FieldCode, "urn:ihe:event-type-code|ITI-43"), true},
		"code of the type":     {term(hippad.FieldCode, "110112"), false},
		"role":                 {term(hippad.FieldAgentRole, hippad.SystemDCM+"|110153"), true},
		"alternative id":       {term(hippad.FieldAltID, "4242"), true},
		"policy":               {term(hippad.FieldPolicy, "http://consent.example/1"), true},
		"site":                 {term(hippad.FieldSite, "north"), true},
		"media":                {term(hippad.FieldMedia, "application/xml"), true},
		"time":                 {times(hippad.Period{Start: at, End: at.Add(1)}), true},
		"time is excluded":     {times(hippad.Period{End: at}), false},
		"one of two times":     {times(hippad.Period{End: at}, hippad.Period{Start: at}), true},
		"two times":            {hippad.Query{Times: [][]hippad.Period{{{Start: at}}, {{End: at}}}}, false},
		"received":             {hippad.Query{Received: [][]hippad.Period{{{Start: at.Add(time.Hour)}}}}, true},
		"received later":       {hippad.Query{Received: [][]hippad.Period{{{Start: at.Add(time.Hour + 1)}}}}, false},
		"beyond, newest first": {hippad.Query{ByTime: true, Beyond: &hippad.Place{At: at, Index: 10}}, true},
		"beyond itself":        {hippad.Query{ByTime: true, Beyond: &hippad.Place{At: at, Index: 9}}, false},
		"beyond, oldest first": {hippad.Query{ByTime: true, Ascending: true, Beyond: &hippad.Place{At: at, Index: 10}}, false},
	} {
		if got := c.q.Matches(e, ev); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		if c.want && !found(c.q, e, ev) {
			t.Errorf("%s: the index does not find it", name)
		}
	}
}

// found tells whether the index gives an entry as a candidate.
func found(q hippad.Query, e hippad.Entry, ev hippad.Event) bool {
	have := hippad.IndexTerms(e, ev)
	for _, any := range q.Lookup() {
		if !slices.ContainsFunc(any, func(t hippad.Term) bool { return slices.Contains(have, t) }) {
			return false
		}
	}
	return true
}

// Whatever answers a query is among what the index gives for it.
func TestLookupLosesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	text := func() string {
		return pick("", "Ann", "anna MÜLLER", "Müll", "Jo", "j", "192.168.1.1", "192.168.1.17", "10.0.0.1", "éa b", "日本語の名前", "日本", "x|y", "|", "a|")
	}
	code := func() hippad.Code {
		return hippad.Code{System: pick("", "DCM", hippad.SystemDCM, "1.2.3", "x"), Code: pick("", "1", "24", "110112", "|")}
	}
	matched := 0
	for range 20_000 {
		ev := hippad.Event{
			Type: code(), Subtypes: []hippad.Code{code(), code()}[:r.IntN(3)], Purposes: []hippad.Code{code()},
			Agents:   []hippad.Agent{{Name: text(), Address: text(), AltID: text(), Type: code(), Who: hippad.Reference{Literal: text()}}},
			Entities: []hippad.Entity{{Name: text(), Role: code(), Type: code(), What: hippad.Reference{Identifier: hippad.Identifier{System: pick("", "1.2.3"), Value: text()}}}},
		}
		e := hippad.Entry{Report: hippad.Report{Media: pick("a/b", "c/d")}}
		for range 10 {
			field := hippad.Fields[r.IntN(len(hippad.Fields))]
			value := func() string {
				c := code()
				return pick(text(), text(), c.Code, c.System+"|"+c.Code)
			}
			var q hippad.Query
			if op := hippad.Op(r.IntN(6)); op == 0 {
				q.Terms = [][]hippad.Term{{hippad.NewTerm(field, value()), hippad.NewTerm(field, value())}}
			} else if op <= hippad.OpExact {
				q.Filters = []hippad.Filter{hippad.NewFilter(op, field, value(), value())}
			} else {
				q.Filters = []hippad.Filter{hippad.NewFilter(op, field)}
			}
			if q.Matches(e, ev) {
				matched++
				if !found(q, e, ev) {
					t.Fatalf("%+v is lost: %+v", q.Terms, q.Filters)
				}
			}
		}
	}
	if matched < 10_000 {
		t.Errorf("only %d matched: this shows nothing", matched)
	}
}

func BenchmarkIndexTerms(b *testing.B) {
	agent := func(id, name, address, role string) hippad.Agent {
		return hippad.Agent{Who: hippad.Reference{Identifier: hippad.Identifier{Value: id}}, AltID: "uid=" + id + ",ou=radiology,dc=hospital,dc=example", Name: name,
			Address: address, Roles: []hippad.Code{{System: "DCM", Code: role, Display: "Source Role ID"}}}
	}
	ev := hippad.Event{
		Type: hippad.Code{System: "DCM", Code: "110103", Display: "DICOM Instances Accessed"}, Action: "R", Outcome: "0", Recorded: time.Unix(1e9, 0),
		Agents: []hippad.Agent{agent("nurse1", "Nora Nurse", "192.0.2.17", "110153"), agent("PACS", "", "pacs.hospital.example", "110152")},
		Source: hippad.Source{Site: "Hospital", Observer: hippad.Reference{Identifier: hippad.Identifier{Value: "pacs7.hospital.example"}}},
		Entities: []hippad.Entity{
			{What: hippad.Reference{Identifier: hippad.Identifier{Value: "1.2.840.113619.2.55.3"}}, Type: hippad.Code{Code: "2"}, Role: hippad.Code{Code: "3"}, Name: "CT chest"},
			{What: hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:2.16.840.1.113883.19.5", Value: "10000001"}}, Type: hippad.Code{Code: "1"}, Role: hippad.Code{Code: "1"}, Name: "Lind^Anna"},
		},
	}
	e := hippad.Entry{Door: hippad.DoorSyslogTLS, Reporter: hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:9f86"}, Report: hippad.Report{Media: hippad.MediaXML}}
	b.ReportAllocs()
	for b.Loop() {
		hippad.IndexTerms(e, ev)
	}
	b.ReportMetric(float64(len(hippad.IndexTerms(e, ev))), "terms")
}

func TestUnique(t *testing.T) {
	for id, want := range map[string]bool{
		"urn:oid:1.2.3|7": true, "https://a.example/mrn|7": true, "urn:oid:1.2.3": true, "https://a.example/Patient/7": true, "7": false, "Patient/7": false, "": false,
	} {
		if hippad.Unique(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}

// A clock that is behind, or a report that comes late, is believed; one that is ahead is not.
func TestHappened(t *testing.T) {
	came := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, x := range []struct{ recorded, want time.Time }{{time.Time{}, came}, {came.AddDate(-3, 0, 0), came.AddDate(-3, 0, 0)}, {came, came}, {came.AddDate(40, 0, 0), came}} {
		if got := hippad.Happened(hippad.Entry{Received: came}, hippad.Event{Recorded: x.recorded}); !got.Equal(x.want) {
			t.Errorf("%v: %v, want %v", x.recorded, got, x.want)
		}
	}
}
