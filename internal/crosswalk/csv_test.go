package crosswalk_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"hippad"
	"hippad/internal/crosswalk"
)

func rowsOf(t *testing.T, text string) string {
	t.Helper()
	rows, err := crosswalk.ReadCSV(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		if (r.Wrong == "") != (len(r.IDs) > 1) {
			t.Errorf("line %d: %q and %d identifiers", r.Line, r.Wrong, len(r.IDs))
		}
		out = append(out, fmt.Sprintf("%d %s%s", r.Line, strings.Join(r.IDs, " "), r.Wrong))
	}
	return strings.Join(out, "\n")
}

func TestReadCSV(t *testing.T) {
	const mark = "\ufeff"
	for name, c := range map[string]struct{ text, want string }{
		"rows": {"4711^^^&1.2.3&ISO,Patient/7\n\n,,\nurn:oid:1.2.3|5, Patient/8 ,,\"https://x.example/mrn|9\"",
			"1 Patient/7 urn:oid:1.2.3|4711\n4 Patient/8 https://x.example/mrn|9 urn:oid:1.2.3|5"},
		"semicolons":        {mark + "Patient/1;Patient/2\r\nPatient/3;Patient/4\r\n", "1 Patient/1 Patient/2\n2 Patient/3 Patient/4"},
		"tabs":              {"Patient/1\tPatient/2\n", "1 Patient/1 Patient/2"},
		"a semicolon in it": {"urn:x:a;b|1,Patient/2\n", "1 Patient/2 urn:x:a;b|1"},
		"bad ones": {"4711,Patient/1\nPatient/1\nPatient/1,Patient/1\n\"Patient/1,Patient/2\nPa\"tient/1,Patient/2\nPatient/1,Patient/\xff\nPatient/5,Patient/6\nmrn,epic\n",
			"1 column 1: it does not say who assigned it: two hospitals may have the same number\n2 the person has only one identifier that can be linked\n" +
				"3 the person has only one identifier that can be linked\n4 it is not CSV: a quotation mark is out of place\n5 it is not CSV: a quotation mark is out of place\n" +
				"6 column 2: it is not plain text in one line\n7 Patient/5 Patient/6\n8 column 1: it does not say who assigned it: two hospitals may have the same number"},
		"persons": {"Site,Identifier,PERSON\nW,Patient/1,a\nE,Patient/2,b\nW,1.2.3|4,a\nW,4711,a\nE,Patient/3,\nE\n,,\nE,Patient/9,c\nW,4^^^&1.2.3&ISO,a\nW,Patient/5,b\n",
			"2 Patient/1 urn:oid:1.2.3|4\n3 Patient/2 Patient/5\n5 the identifier: it does not say who assigned it: two hospitals may have the same number\n" +
				"6 it does not have both a person and an identifier\n7 it does not have both a person and an identifier\n9 the person has only one identifier that can be linked"},
		"nothing":         {"", ""},
		"only a header":   {"person;identifier\n", ""},
		"old line ends":   {"Patient/1,Patient/2\rPatient/3,Patient/4\r", "1 column 2: it is not plain text in one line"},
		"a line too long": {strings.Repeat("x", 3<<20) + "\nPatient/1,Patient/2\n", "1 it has more than 1048576 bytes\n2 Patient/1 Patient/2"},
		"long identifiers": {manyIDs(1000, 200) + "\n" + manyIDs(1001, 1) + "\n" + manyIDs(1000, 1),
			"1 the identifiers of the person have more than 131072 bytes\n2 the person has more than 1000 identifiers\n3 " + strings.ReplaceAll(manyIDs(1000, 1), ",", " ")},
	} {
		if got := rowsOf(t, c.text); got != c.want {
			t.Errorf("%s:\n%.1000s\nwant\n%.1000s", name, got, c.want)
		}
	}
	if _, err := crosswalk.ReadCSV(strings.NewReader("\xff\xfeP\x00a\x00")); hippad.KindOf(err) != hippad.Invalid {
		t.Error(err)
	}
	broken := errors.New("broken")
	if _, err := crosswalk.ReadCSV(io.MultiReader(strings.NewReader("Patient/1,Patient/2\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := crosswalk.ReadCSV(io.LimitReader(endless{}, 1<<30)); hippad.KindOf(err) != hippad.TooLarge {
		t.Error(err)
	}
}

func manyIDs(n, length int) string {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("urn:x:y|%06d%s", i, strings.Repeat("x", length)))
	}
	return strings.Join(ids, ",")
}

// endless is a file of rows without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	const row = "Patient/1,Patient/2\n"
	n := 0
	for n+len(row) <= len(p) {
		n += copy(p[n:], row)
	}
	return n, nil
}

// Whatever is in a file, a row that is given out can be linked, and batches are what Import takes and hold every good row once.
func FuzzReadCSV(f *testing.F) {
	f.Add([]byte("person,identifier\na,Patient/1\na,Patient/2\n"))
	f.Add([]byte("Patient/1;urn:oid:1.2|3\n\"x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rows, err := crosswalk.ReadCSV(strings.NewReader(string(text)))
		if err != nil {
			return
		}
		good := 0
		for i, r := range rows {
			if i > 0 && r.Line <= rows[i-1].Line || r.Line > strings.Count(string(text), "\n")+1 {
				t.Fatalf("line %d", r.Line)
			}
			for _, id := range r.IDs {
				if again, err := crosswalk.Canonical(id); err != nil || again != id {
					t.Fatalf("%q: %v", id, err)
				}
			}
			if r.Wrong == "" {
				good++
			}
		}
		for _, b := range crosswalk.Batches(rows) {
			if len(b) == 0 || len(b) > crosswalk.MaxRows {
				t.Fatalf("a batch of %d", len(b))
			}
			good -= len(b)
		}
		if good != 0 {
			t.Fatalf("%d rows are in no batch", good)
		}
	})
}

func TestBatches(t *testing.T) {
	w := open(t)
	var rows []crosswalk.Row
	for i := range 2500 {
		rows = append(rows, crosswalk.Row{Line: i + 1, IDs: []string{fmt.Sprintf("urn:x:y|%d%s", i, strings.Repeat(`"`, 450)), fmt.Sprintf("Patient/%d", i)}})
		if i%100 == 0 {
			rows = append(rows, crosswalk.Row{Line: i + 1, Wrong: "x"})
		}
	}
	linked := 0
	for _, b := range crosswalk.Batches(rows) {
		var ids [][]string
		for _, r := range b {
			ids = append(ids, r.IDs)
		}
		got, err := w.Import(t.Context(), olga, ids, "x", false)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range got {
			if o.Linked {
				linked++
			}
		}
	}
	if linked != 2500 {
		t.Errorf("%d are linked", linked)
	}
}
