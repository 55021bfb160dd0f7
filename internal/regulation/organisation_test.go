package regulation

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
)

const samaritan = `{
  "name": "Samaritan General Hospital", "kind": "Healthcare Provider", "timeZone": "America/Chicago",
  "address": {"lines": ["Privacy Office", "100 Main Street"], "city": "Springfield", "state": "IL", "zip": "62701"},
  "contact": {"first": "Maria", "last": "Lind", "title": "Privacy Officer", "phone": "217-555-0100", "tollFree": "800-555-0100", "email": "privacy@samaritan.example"},
  "own": ["Samaritan", "urn:oid:1.2.3"],
  "businessAssociates": [{"name": "Billing Inc.", "identifiers": ["1.2.3.9"], "phone": "217-555-0199"}],
  "options": {"ehrTpoAccounting": true, "overlays": ["US-CA"]}
}`

func TestParseOrganisation(t *testing.T) {
	o, err := ParseOrganisation(strings.NewReader(samaritan))
	if err != nil {
		t.Fatal(err)
	}
	if o.Kind != EntityKinds[0] || o.Contact.TollFree != "800-555-0100" || len(o.Own) != 2 || len(o.Partners) != 1 || o.Partners[0].Identifiers[0] != "1.2.3.9" {
		t.Errorf("%+v", o)
	}
	if !o.Options.EHRAccounting || o.Options.Part2Accounting || !slices.Equal(o.Options.Overlays, []string{"US-CA"}) {
		t.Errorf("%+v", o.Options)
	}
	if want := []string{"Privacy Office", "100 Main Street", "Springfield, IL 62701"}; !slices.Equal(o.Address.Written(), want) {
		t.Errorf("%q", o.Address.Written())
	}
	if o.Zone().String() != "America/Chicago" {
		t.Errorf("%v", o.Zone())
	}
	// Half past midnight in London is the day before in Chicago.
	if d := DateOf(time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC), o.Zone()); d != day(t, "2026-11-22") {
		t.Errorf("%v", d)
	}
	if o, err = ParseOrganisation(strings.NewReader(`{"name": "x"}`)); err != nil || o.Zone() != time.Local || !o.Address.IsZero() {
		t.Errorf("%v, %v", o, err)
	}
	if (*Organisation)(nil).Zone() != time.Local {
		t.Error("no organisation has a zone")
	}
}

func TestParseOrganisationRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                ``,
		"no JSON":                `name: x`,
		"a list":                 `[]`,
		"two":                    `{"name": "x"} {"name": "y"}`,
		"a name twice":           `{"name": "x", "name": "y"}`,
		"an unknown member":      `{"name": "x", "adress": {}}`,
		"a wrong type":           `{"name": 7}`,
		"no name":                `{"kind": "Health Plan"}`,
		"a blank name":           `{"name": " \t"}`,
		"an unknown kind":        `{"name": "x", "kind": "hospital"}`,
		"a kind in another case": `{"name": "x", "kind": "health plan"}`,
		"an unknown zone":        `{"name": "x", "timeZone": "Springfield"}`,
		"a zone of the machine":  `{"name": "x", "timeZone": "Local"}`,
		"a path as a zone":       `{"name": "x", "timeZone": "../../etc/passwd"}`,
		"not UTF-8":              "{\"name\": \"\xff\"}",
		"a secret in it":         `{"name": "x", "kind": "4711 is the patient"}`,
		"too much":               `{"name": "` + strings.Repeat("x", maxConfig) + `"}`,
	} {
		o, err := ParseOrganisation(strings.NewReader(text))
		if hippad.KindOf(err) != hippad.Invalid || o != nil {
			t.Errorf("%s: %v, %v", name, o, err)
			continue
		}
		if strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: the error quotes the file: %v", name, err)
		}
	}
	broken := errors.New("broken")
	if _, err := ParseOrganisation(failingReader{broken}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestAddressWritten(t *testing.T) {
	for _, x := range []struct {
		in   Address
		want []string
	}{
		{Address{}, nil},
		{Address{Lines: []string{"1 Main St"}}, []string{"1 Main St"}},
		{Address{City: "Springfield"}, []string{"Springfield"}},
		{Address{State: "IL"}, []string{"IL"}},
		{Address{ZIP: "62701"}, []string{"62701"}},
		{Address{City: "Springfield", ZIP: "62701"}, []string{"Springfield, 62701"}},
		{Address{Lines: []string{"1 Main St", "Apt 7"}, City: "Springfield", State: " IL ", ZIP: "62701"}, []string{"1 Main St", "Apt 7", "Springfield, IL 62701"}},
	} {
		lines := slices.Clone(x.in.Lines)
		if got := x.in.Written(); !slices.Equal(got, x.want) || !slices.Equal(lines, x.in.Lines) {
			t.Errorf("%+v is written %q, want %q", x.in, got, x.want)
		}
		if x.in.IsZero() != (x.want == nil) {
			t.Errorf("%+v: IsZero is %v", x.in, x.in.IsZero())
		}
	}
}
