package atna

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hippad"
)

// samples returns the folder of real messages, which are third-party material and not part of the repository.
func samples(t testing.TB, folder string) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "samples", folder)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real messages here: %s is absent", folder)
	}
	return dir
}

// files returns every file below dir, sorted by name.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatalf("%s is empty", dir)
	}
	return names
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A tally counts per folder what was understood, and why not.
type tally map[string]map[string]int

func (c tally) add(folder string, ev hippad.Event) {
	if c[folder] == nil {
		c[folder] = map[string]int{}
	}
	if ev.Unreadable == "" {
		c[folder]["understood"]++
	} else {
		c[folder][ev.Unreadable]++
	}
}

func (c tally) log(t *testing.T) {
	t.Helper()
	var lines []string
	for folder, why := range c {
		for reason, n := range why {
			lines = append(lines, fmt.Sprintf("%-45s %4d  %s", folder, n, reason))
		}
	}
	slices.Sort(lines)
	t.Log("\n" + strings.Join(lines, "\n"))
}

// oracle reads a document with encoding/xml: whether it is one well-formed AuditMessage, and the ids of its patients.
func oracle(body []byte) (wellFormed bool, patients []string) {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte(bomUTF8))))
	depth, roots := 0, 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return roots == 1 && depth == 0, patients
		}
		if err != nil {
			return false, patients
		}
		switch e := tok.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
				if e.Name.Local != "AuditMessage" {
					return false, nil
				}
			}
			depth++
			attrs := map[string]string{}
			for _, a := range e.Attr {
				attrs[a.Name.Local] = a.Value
			}
			if e.Name.Local == "ParticipantObjectIdentification" && attrs["ParticipantObjectTypeCodeRole"] == "1" {
				patients = append(patients, attrs["ParticipantObjectID"])
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(e)) > 0 {
				return false, nil
			}
		}
	}
}

func patientTerms(ev hippad.Event) []string {
	var values []string
	for _, term := range hippad.EntryTerms(hippad.Entry{}, ev) {
		if term.Field == hippad.FieldPatient {
			values = append(values, term.Value)
		}
	}
	return values
}

func TestRealAuditMessages(t *testing.T) {
	dir := samples(t, "dicom-audit-xml")
	count := tally{}
	for _, name := range files(t, dir) {
		folder, _ := filepath.Rel(dir, filepath.Dir(name))
		body := read(t, name)
		ev := ReadXML(body)
		count.add(folder, ev)
		ok, patients := oracle(body)
		switch malformed := strings.Contains(folder, "malformed"); {
		case malformed && ev.Unreadable == "":
			t.Errorf("%s was read", name)
		case malformed && len(patientTerms(ev)) == 0:
			t.Errorf("%s: its patient cannot be found", name)
		case !malformed && !ok:
			t.Errorf("%s: encoding/xml does not take it for an audit message", name)
		case !malformed && ev.Unreadable != "":
			t.Errorf("%s: %s", name, ev.Unreadable)
		}
		for _, id := range patients {
			want := hippad.NewTerm(hippad.FieldPatient, id).Value
			if id != "" && !slices.Contains(patientTerms(ev), want) {
				t.Errorf("%s: a patient cannot be found by the id as sent", name)
			}
		}
		if !bytes.Contains(body, []byte("EventID ")) || ev.Type.Code == "" {
			t.Errorf("%s: no event type", name)
		}
	}
	count.log(t)
}
