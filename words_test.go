package hippad_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
)

func TestParseIdentifier(t *testing.T) {
	for s, want := range map[string]hippad.Identifier{
		"12345":                              {Value: "12345"},
		" 12345 ":                            {Value: "12345"},
		"12345^^^&1.2.3&ISO":                 {System: "urn:oid:1.2.3", Value: "12345"},
		"12345^^^&amp;1.2.3&amp;ISO":         {System: "urn:oid:1.2.3", Value: "12345"},
		"12345^^^&amp;amp;1.2.3&amp;amp;ISO": {System: "urn:oid:1.2.3", Value: "12345"},
		" 12345 ^^^HOSPITAL":                 {Value: "12345"},
		"12345 ^^^&1.2.3&ISO":                {System: "urn:oid:1.2.3", Value: "12345"},
		"1.2.3|12345^^^HOSPITAL":             {System: "urn:oid:1.2.3", Value: "12345"},
		"| 12345":                            {Value: "12345"},
		"12345^^^HOSPITAL&1.2.3&ISO^PI":      {System: "urn:oid:1.2.3", Value: "12345"},
		"12345^^^HOSPITAL":                   {Value: "12345"},
		"12345^^^&hospital.example&DNS":      {System: "hospital.example", Value: "12345"},
		"urn:oid:1.2.3|12345":                {System: "urn:oid:1.2.3", Value: "12345"},
		"1.2.3|12345":                        {System: "urn:oid:1.2.3", Value: "12345"},
		"https://h.example/mrn|12345":        {System: "https://h.example/mrn", Value: "12345"},
		"|12345":                             {Value: "12345"},
		"urn:oid:1.2.3":                      {Value: "urn:oid:1.2.3"},
		"Patient/7":                          {Value: "Patient/7"},
		"Welby^Marcus^^^Dr^MD":               {Value: "Welby^Marcus^^^Dr^MD"},
		"https://h.example/fhir/Patient/12":  {Value: "https://h.example/fhir/Patient/12"},
		"":                                   {},
	} {
		if got := hippad.ParseIdentifier(s); got != want {
			t.Errorf("%q: got %+v, want %+v", s, got, want)
		}
	}
}

func TestIsPatient(t *testing.T) {
	for literal, want := range map[string]bool{
		"Patient/7": true, "https://h.example/fhir/Patient/7": true, "Patient/7/_history/2": true,
		"Practitioner/7": false, "OutPatient/7": false, "Patient": false, "": false,
	} {
		if got := (hippad.Reference{Literal: literal}).IsPatient(); got != want {
			t.Errorf("%q: %v", literal, got)
		}
	}
}

// Every form in which a sender writes a patient must be found by every form that names at most as much.
func TestPatientForms(t *testing.T) {
	entity := func(r hippad.Reference) hippad.Event {
		return hippad.Event{Entities: []hippad.Entity{{What: r, Role: hippad.Code{Code: "1"}}}}
	}
	value := func(s string) hippad.Reference { return hippad.Reference{Identifier: hippad.Identifier{Value: s}} }
	for _, c := range []struct {
		sent  hippad.Reference
		by    []string
		notBy []string
	}{
		{value("4711^^^&1.2.3&ISO"), []string{"4711", "urn:oid:1.2.3|4711", "1.2.3|4711", "4711^^^&1.2.3&ISO", "4711^^^X&1.2.3&ISO^PI"},
			[]string{"urn:oid:1.2.4|4711", "471", "4711^^^&1.2.4&ISO"}},
		{hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.2.3", Value: "4711"}}, []string{"4711", "4711^^^&1.2.3&ISO", "urn:oid:1.2.3|4711"}, []string{"x|4711"}},
		{hippad.Reference{Identifier: hippad.Identifier{System: "1.2.3", Value: "4711"}}, []string{"urn:oid:1.2.3|4711"}, nil},
		{value("4711"), []string{"4711", "|4711"}, []string{"urn:oid:1.2.3|4711"}},
		{hippad.Reference{Literal: "Patient/7"}, []string{"Patient/7", "7"}, []string{"Patient/8", "Practitioner/7"}},
		{hippad.Reference{Literal: "https://h.example/fhir/Patient/7/_history/3"}, []string{"7", "Patient/7", "https://h.example/fhir/Patient/7/_history/3", "https://h.example/fhir/Patient/7"}, nil},
	} {
		ev := entity(c.sent)
		for _, s := range c.by {
			if !find(ev, s) {
				t.Errorf("%+v is not found by %q", c.sent, s)
			}
		}
		for _, s := range c.notBy {
			if find(ev, s) {
				t.Errorf("%+v is found by %q", c.sent, s)
			}
		}
	}
}

func find(ev hippad.Event, patient string) bool {
	q := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, patient)}}}
	return q.Matches(hippad.Entry{}, ev)
}

func TestMatches(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	ev := hippad.Event{
		Recorded: at, Action: "R", Outcome: "0", Type: hippad.Code{System: "DCM", Code: "110103"},
		Agents: []hippad.Agent{{Who: hippad.Reference{Identifier: hippad.Identifier{Value: "NURSE1"}}, Name: "Nora Nurse", Address: "192.0.2.7"}},
		Source: hippad.Source{Observer: hippad.Reference{Identifier: hippad.Identifier{Value: "PACS"}}},
	}
	e := hippad.Entry{Index: 5, Received: at.Add(time.Hour), Door: hippad.DoorSyslogTLS, Reporter: hippad.Principal{Kind: "address", ID: "192.0.2.9"},
		Report: hippad.Report{Fault: hippad.Framing}}
	term := hippad.NewTerm
	index := func(i int64) *int64 { return &i }
	for name, c := range map[string]struct {
		q    hippad.Query
		want bool
	}{
		"all":              {hippad.Query{}, true},
		"from":             {hippad.Query{From: at}, true},
		"from later":       {hippad.Query{From: at.Add(1)}, false},
		"to is excluded":   {hippad.Query{To: at}, false},
		"to":               {hippad.Query{To: at.Add(1)}, true},
		"index":            {hippad.Query{Indexes: []int64{4, 5}}, true},
		"other index":      {hippad.Query{Indexes: []int64{4}}, false},
		"before":           {hippad.Query{Before: index(5)}, false},
		"after":            {hippad.Query{After: index(4)}, true},
		"agent folds case": {hippad.Query{Terms: [][]hippad.Term{{term(hippad.FieldAgent, "nurse1")}, {term(hippad.FieldAgent, "NORA nurse")}}}, true},
		"any":              {hippad.Query{Terms: [][]hippad.Term{{term(hippad.FieldAction, "C"), term(hippad.FieldAction, "R")}}}, true},
		"all of":           {hippad.Query{Terms: [][]hippad.Term{{term(hippad.FieldAction, "C")}, {term(hippad.FieldAction, "R")}}}, false},
		"code with system": {hippad.Query{Terms: [][]hippad.Term{{term(hippad.FieldType, "DCM|110103")}}}, true},
		"mark":             {hippad.Query{Terms: [][]hippad.Term{{term(hippad.FieldMark, "framing")}}}, true},
		"door":             {hippad.Query{Terms: [][]hippad.Term{{term(hippad.FieldDoor, "syslog-tls")}}}, true},
		"unread":           {hippad.Query{Terms: [][]hippad.Term{{term(hippad.FieldMark, hippad.MarkUnreadable)}}}, false},
		"sender":           {hippad.Query{Terms: [][]hippad.Term{{term(hippad.FieldReporter, "address:192.0.2.9")}}}, true},
	} {
		if got := c.q.Matches(e, ev); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := hippad.EventTime(e, hippad.Event{Unreadable: "x"}); !got.Equal(e.Received) {
		t.Errorf("an event without time counts as of %v", got)
	}
}

// Nothing that can hold patient data prints it, however it is printed.
func TestRedaction(t *testing.T) {
	const secret = "CANARY-4711"
	r := hippad.Report{Media: hippad.MediaXML, Body: []byte(secret)}
	ev := hippad.Event{Agents: []hippad.Agent{{Name: secret}}, Entities: []hippad.Entity{{Name: secret}}}
	q := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, secret)}}}
	for _, v := range []any{r, hippad.Entry{Report: r}, ev, q, &r, &ev, &q, []hippad.Report{r}, struct{ E hippad.Entry }{hippad.Entry{Report: r}}} {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", fmt.Sprint(v))
		for _, text := range []string{fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v), log.String()} {
			if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
				t.Errorf("%T prints %s", v, text)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("disk on fire")
	err := fmt.Errorf("commit: %w", hippad.Errorf(hippad.Unavailable, "the store takes no reports: %w", cause).WithHint("make room"))
	if hippad.KindOf(err) != hippad.Unavailable || !errors.Is(err, cause) {
		t.Errorf("kind %v", hippad.KindOf(err))
	}
	if m, h := hippad.Public(err); h != "make room" || !strings.HasPrefix(m, "the store takes no reports") {
		t.Errorf("public: %q, %q", m, h)
	}
	if m, _ := hippad.Public(fmt.Errorf("read %s: %w", "patient 4711", cause)); m != "internal error" {
		t.Errorf("an error without kind is told outside: %q", m)
	}
}

func TestPrincipal(t *testing.T) {
	p := hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:9f86"}
	if q, err := hippad.ParsePrincipal(p.String()); err != nil || q != p {
		t.Errorf("%v, %v", q, err)
	}
	for _, s := range []string{"", "certificate", "certificate:", "king:1"} {
		if _, err := hippad.ParsePrincipal(s); err == nil {
			t.Errorf("%q is a principal", s)
		}
	}
	if p.Key() == (hippad.Principal{Kind: hippad.KindAddress, ID: "sha256:9f86"}).Key() {
		t.Error("two principals, one key")
	}
}

// An event with very many entities gives each term once, and in time that grows with their number.
func TestManyTerms(t *testing.T) {
	const n = 100_000
	var ev hippad.Event
	for i := range n {
		ev.Entities = append(ev.Entities, hippad.Entity{What: hippad.Reference{Identifier: hippad.Identifier{Value: fmt.Sprint(i % (n / 2))}}})
	}
	if terms := hippad.EntryTerms(hippad.Entry{}, ev); len(terms) != n/2+3 { // and reporter, door and mark
		t.Errorf("%d terms", len(terms))
	}
}

// FuzzTerms: what an event says of a patient is found by saying the same.
func FuzzTerms(f *testing.F) {
	for _, s := range []string{"4711^^^&1.2.3&ISO", "a|b|c", "x^^^&amp;", "  ", "^^^&&", "urn:oid:|", "1.2|3^^^&4.5&ISO", "&amp;amp;ISO", "1 ^^^N", "| 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ev := hippad.Event{Entities: []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{Value: s}}, Role: hippad.Code{Code: "1"}}}}
		terms := hippad.EntryTerms(hippad.Entry{}, ev)
		for i, a := range terms {
			if slices.Contains(terms[:i], a) {
				t.Errorf("%q gives a term twice", s)
			}
		}
		if asked := hippad.NewTerm(hippad.FieldPatient, s); asked.Value != "" && !find(ev, s) {
			t.Errorf("%q is not found by itself", s)
		}
		id := hippad.ParseIdentifier(s) // which a reader of XML hands on
		if id.System == "" && hippad.ParseIdentifier(id.Value) != id {
			t.Errorf("%q is read as %q, and that as something else", s, id.Value)
		}
		ev.Entities[0].What.Identifier = id
		if asked := hippad.NewTerm(hippad.FieldPatient, s); asked.Value != "" && !find(ev, s) {
			t.Errorf("%q is not found by itself once it was read", s)
		}
	})
}
