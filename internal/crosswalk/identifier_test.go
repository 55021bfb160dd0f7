package crosswalk_test

import (
	"strings"
	"testing"

	"hippad"
	"hippad/internal/crosswalk"
)

func TestCanonical(t *testing.T) {
	for text, want := range map[string]string{
		"4711^^^&1.2.3&ISO":                                "urn:oid:1.2.3|4711",
		" 4711^^^WEST&1.2.3&ISO^PI ":                       "urn:oid:1.2.3|4711",
		"4711^^^&amp;1.2.3&amp;ISO":                        "urn:oid:1.2.3|4711",
		"4711^^^&amp;amp;1.2.3&amp;amp;ISO":                "urn:oid:1.2.3|4711",
		"urn:oid:1.2.3|4711":                               "urn:oid:1.2.3|4711",
		"1.2.3|4711":                                       "urn:oid:1.2.3|4711",
		"https://x.example/mrn|4711":                       "https://x.example/mrn|4711",
		"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7|47": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7|47",
		"urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7":    "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7",
		"Patient/7":                                        "Patient/7",
		"Patient/7/_history/2":                             "Patient/7",
		"https://x.example/fhir/Patient/7":                 "https://x.example/fhir/Patient/7",
		"https://x.example/fhir/Patient/7/_history/3":      "https://x.example/fhir/Patient/7",
		"http://x.example/Patient/7":                       "http://x.example/Patient/7",
		"4711":                                             "", // whose?
		"4711^^^WEST":                                      "",
		"4711^^^":                                          "",
		"4711^^^&&ISO":                                     "",
		"|4711":                                            "",
		"MRN|4711":                                         "",
		"urn:oid:1.2.3":                                    "",
		"urn:oid:1.2.3|":                                   "",
		"urn:oid:|4711":                                    "",
		"urn:oid:west|4711":                                "",
		"https://x.example/mrn|":                           "",
		"https://x.example/mrn":                            "",
		"https://|4711":                                    "",
		"https:///fhir/Patient/7":                          "",
		"https://x.example/fhir/Patient?name=Lind":         "",
		"Patient?identifier=urn:oid:1.2.3|4711":            "",
		"Patient/":                                         "",
		"Patient/7/8":                                      "",
		"Group/7":                                          "",
		"Lind^Maria":                                       "",
		"":                                                 "",
		" ":                                                "",
		"urn:oid:1.2.3|47\n11":                             "",
		"urn:oid:1.2.3|47\u200b11":                         "",
		"urn:oid:1.2.3|\xff":                               "",
		"urn:oid:1.2.3|" + strings.Repeat("9", 600): "",
	} {
		got, err := crosswalk.Canonical(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
		if err != nil && (hippad.KindOf(err) != hippad.Invalid || strings.Contains(err.Error(), "4711")) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What is canonical is the value of a term, and stays as it is: searches, entries and the state use it as one.
func FuzzCanonical(f *testing.F) {
	for _, text := range []string{"4711^^^&1.2.3&ISO", "a|b^^^&1.2&ISO", "https://x|a^^^&1.2&ISO", "Patient/7/_history/2", "https://h/fhir/Patient/7/_history/2",
		"urn:oid:1.2|x|y", "x:y | z", "&amp;|1^^^&1.2&x", "urn:oid:1.2|/_history/", "http://0/0/ /_history/", "https://h/Patient/7 /_history/1", "0^^^& 0.", "0. |0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, err := crosswalk.Canonical(text)
		if err != nil {
			return
		}
		if again, err := crosswalk.Canonical(once); err != nil || again != once {
			t.Errorf("%q: %q, and again %q, %v", text, once, again, err)
		}
		if term := hippad.NewTerm(hippad.FieldPatient, once).Value; term != once {
			t.Errorf("%q: %q as a term is %q", text, once, term)
		}
	})
}
