package sheet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"hippad"
)

var people = []Column{{Name: "patient", Also: []string{"mrn"}, Needed: true}, {Name: "State"}, {Name: "first name"}}

func read(text string) (rows []string, bad []Bad, err error) {
	bad, err = Read(strings.NewReader(text), people, func(r Row) error {
		if r.Get("patient") == "" {
			return hippad.Errorf(hippad.Invalid, "there is no patient")
		}
		rows = append(rows, fmt.Sprintf("%d %s/%s/%s", r.Line, r.Get("patient"), r.Get("State"), r.Get("first name")))
		return nil
	})
	return rows, bad, err
}

func TestRead(t *testing.T) {
	for _, x := range []struct {
		name, text string
		rows       []string
		bad        []Bad
	}{
		{"plain", "patient,state,first name\n1,TX,Ann\n2,CA,\n", []string{"2 1/TX/Ann", "3 2/CA/"}, nil},
		{"byte order mark, CRLF, other order and names", "\ufeffFirst_Name,MRN\r\nAnn,1\r\n", []string{"2 1//Ann"}, nil},
		{"semicolons", "patient;state\n1;TX\n", []string{"2 1/TX/"}, nil},
		{"lone CR", "patient,state\r1,TX\r2,CA", []string{"2 1/TX/", "3 2/CA/"}, nil},
		{"lines inside a cell", "patient,first name\n1,\"Ann\r\nMary\"\n2,Bob\n", []string{"2 1//Ann\nMary", "4 2//Bob"}, nil},
		{"bad rows stand for themselves", "patient,state\n,TX\n\n , \n2,\"C\"A\n3,CA\n", []string{"6 3/CA/"}, []Bad{{2, "there is no patient"}, {5, "it is not CSV: a quotation mark is out of place"}}},
		{"a short row", "state,patient\nTX\nCA,2\n", []string{"3 2/CA/"}, []Bad{{2, "there is no patient"}}},
		{"a comma that no quotation mark keeps together", "patient,first name,state\n1,Doe, John,TX\n2,Ann,CA,, \n", []string{"3 2/CA/Ann"}, []Bad{{2, "it has 4 cells, and the first row has 3"}}},
		{"a quotation mark that is left open", "patient,first name\n1,\"Ann\n2,Bob\n3,Cy\n", nil, []Bad{{2, "it is not CSV: a quotation mark is out of place or left open, and what follows to line 4 is lost with it"}}},
		{"Windows-1252", "patient,first name\n1,Ren\xe9 \x96\n2,René\n", []string{"2 1//René –", "3 2//René"}, nil},
		{"two names of one column", "MRN,patient\n1,2\n", []string{"2 2//"}, nil},
		{"unnamed, by its place", "component@49,State,first name\n1,TX,Ann\n", []string{"2 1/TX/Ann"}, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			rows, bad, err := read(x.text)
			if err != nil || !reflect.DeepEqual(rows, x.rows) || !reflect.DeepEqual(bad, x.bad) {
				t.Errorf("rows %q, bad %v, %v", rows, bad, err)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "the table is empty",
		"name,state,first name\n1,TX,Ann\n": "no column patient", // as many columns, but of something else
		"name,state\n1,TX\n":                "no column patient",
		"\xff\xfep\x00":                     "UTF-16",
		"patient,state,Patient\n1,TX,2\n":   "the column patient twice",
		"\"pat\"ient\n":                     "the first row is not CSV",
		"patient\n\"" + strings.Repeat("a,\n", 400_000):      "a row has more than",
		"patient,state\n" + strings.Repeat(",x\n", maxBad+1): "rows are bad",
	} {
		if _, _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

// The public list of breaches, as HHS exports it: text of several lines in cells, two kinds of line ends.
func TestReadReference(t *testing.T) {
	folder := filepath.FromSlash("../../../shared/samples/reference")
	files, _ := filepath.Glob(filepath.Join(folder, "hhs-ocr-*.csv"))
	if len(files) == 0 {
		t.Skip("the folder of real samples is not here")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		bad, err := Read(bytes.NewReader(text), []Column{{Name: "Name of Covered Entity", Needed: true}, {Name: "Individuals Affected", Needed: true}}, func(Row) error { rows++; return nil })
		if err != nil || len(bad) > 0 || rows < 500 {
			t.Errorf("%s: %d rows, bad %v, %v", filepath.Base(name), rows, bad, err)
		}
		t.Logf("%s: %d rows", filepath.Base(name), rows)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("patient,state\n1,\"T\"\"X\"\n")
	f.Add("patient\r\"a\r\nb\"\r")
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		rows := 0
		bad, _ := Read(strings.NewReader(text), people, func(r Row) error {
			if r.Line <= last {
				t.Errorf("line %d after %d", r.Line, last)
			}
			last = r.Line
			rows++
			return nil
		})
		if rows+len(bad) > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
			t.Errorf("%d rows and %d bad ones of %d lines", rows, len(bad), strings.Count(text, "\n")+1)
		}
	})
}
