package fhir

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hippad"
)

func TestFitString(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "",
		" \t\u00a0\n":                          "",
		"plain":                                "plain",
		" edge ":                               " edge ",
		"Jürgen\nMüller":                       "Jürgen\nMüller",
		"nul\x00 esc\x1b":                      "nul\ufffd esc\ufffd",
		"\ufffe\uffff":                         "\ufffd\ufffd",
		"cut \xc3":                             "cut \ufffd",
		strings.Repeat("ä", maxString/2) + "b": strings.Repeat("ä", maxString/2),
		"b" + strings.Repeat("ä", maxString/2) + "": "b" + strings.Repeat("ä", maxString/2-1),
	} {
		if got := fitString(in); got != want {
			t.Errorf("%.40q: %.40q, want %.40q", in, got, want)
		}
	}
	for in, want := range map[string]string{" a  b\tc ": "a b c", "x": "x", " ": "", "\u00a0a": "a"} {
		if got := fitCode(in); got != want {
			t.Errorf("code %q: %q, want %q", in, got, want)
		}
	}
}

func TestSystemURI(t *testing.T) {
	for name, want := range map[string]string{
		"":                          "",
		"DCM":                       hippad.SystemDCM,
		"IHE Transactions":          hippad.SystemIHE,
		"RFC-3881":                  "urn:ietf:rfc:3881",
		"1.2.840.1":                 "urn:oid:1.2.840.1",
		"99DCM4CHEE":                "urn:hippad:coding-scheme:99DCM4CHEE",
		"IHE XDS Metadata":          "urn:hippad:coding-scheme:IHE%20XDS%20Metadata",
		"http://x.example/a b":      "urn:hippad:coding-scheme:http://x.example/a%20b",
		"https://x.example/codes":   "https://x.example/codes",
		"urn:oid:1.2..3":            "urn:hippad:coding-scheme:urn:oid:1.2..3",
		"urn:uuid:ABC":              "urn:hippad:coding-scheme:urn:uuid:ABC",
		"urn:oid:1.3.6.1.4.1.21367": "urn:oid:1.3.6.1.4.1.21367",
		"C:\\codes":                 "urn:hippad:coding-scheme:C:%5Ccodes",
	} {
		got := systemURI(name)
		if got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		if back := systemName(got); back != hippad.CodeSystem(name) {
			t.Errorf("%q comes back as %q", name, back)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		uri := systemURI(name)
		if uri != "" && !isURI(uri) {
			t.Fatalf("%q gives %q, which is no URI", name, uri)
		}
		if again := systemURI(systemName(uri)); again != uri {
			t.Fatalf("%q gives %q, and then %q", name, uri, again)
		}
	})
}

func TestFitIdentifier(t *testing.T) {
	for in, want := range map[hippad.Identifier]hippad.Identifier{
		{Value: "4711^^^&1.2.3&ISO"}:                     {System: "urn:oid:1.2.3", Value: "4711"},
		{Value: "4711^^^&amp;1.2.3&amp;ISO^PI"}:          {System: "urn:oid:1.2.3", Value: "4711"},
		{Value: "4711^^^WARD"}:                           {Value: "4711^^^WARD"},
		{Value: "app|fac"}:                               {Value: "app|fac"},
		{Value: "https://x.example/mrn|7"}:               {System: "https://x.example/mrn", Value: "7"},
		{System: "1.2.3", Value: "7"}:                    {System: "urn:oid:1.2.3", Value: "7"},
		{System: "WARD", Value: "7"}:                     {Value: "WARD|7"},
		{System: "urn:oid:1.2.3", Value: "7^^^&4.5&ISO"}: {System: "urn:oid:1.2.3", Value: "7^^^&4.5&ISO"},
		{Value: "urn:oid:1.2.3"}:                         {Value: "urn:oid:1.2.3"},
		{Value: " "}:                                     {},
	} {
		if got := fitIdentifier(in); got != want {
			t.Errorf("%v: %v, want %v", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := fitIdentifier(hippad.Identifier{System: rapid.String().Draw(t, "system"), Value: rapid.String().Draw(t, "value")})
		if again := fitIdentifier(id); again != id || id.System != "" && !isURI(id.System) {
			t.Fatalf("%v, then %v", id, again)
		}
	})
}

func TestFitReference(t *testing.T) {
	for s, want := range map[string]bool{
		"Patient/1": true, "Patient/a-b.c/_history/2": true, "https://x.example/fhir/Patient/1": true, "urn:uuid:c757873d-ec9a-4326-a141-556f43239520": true,
		"urn:uuid:x": false, "Patient": false, "patient/1": false, "Patient/1 2": false, "#a": false, "Patient?identifier=x": false, "http://a b": false,
		"Patient/" + strings.Repeat("1", 65): false,
	} {
		if got := fitReference(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestFitPeriod(t *testing.T) {
	a, b := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 0, 0, 0, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		p          hippad.Period
		start, end string
	}{
		{hippad.Period{}, "", ""},
		{hippad.Period{Start: a, End: b}, "2026-01-01T00:00:00Z", "2026-01-01T23:00:00Z"},
		{hippad.Period{Start: b, End: a}, "2026-01-01T23:00:00Z", ""},
		{hippad.Period{End: a}, "", "2026-01-01T00:00:00Z"},
		{hippad.Period{Start: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}, "", ""},
	} {
		if start, end := fitPeriod(c.p); start != c.start || end != c.end {
			t.Errorf("%v: %q %q", c.p, start, end)
		}
	}
}

// What the lists say of a code wins over what a sender says; a code that is not on a list shows nothing.
func TestDisplay(t *testing.T) {
	for _, c := range [][4]string{
		{hippad.SystemDCM, "110106", "export of data", "Export"},
		{hippad.SystemDCM, "110106", "", ""},
		{hippad.SystemDCM, "121181", "DICOM Object Catalog", ""},
		{"http://snomed.info/sct", "1", "said", "said"},
		{"", "rest", "said", "said"},
		{hippad.SystemObjectRole, "20", "x", "Job"},
	} {
		if got := display(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%q", c)
		}
	}
	if n := len(displays()); n < 140 {
		t.Errorf("only %d codes", n)
	}
}
