package port

import (
	"encoding/csv"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hippad"
)

func TestLookup(t *testing.T) {
	r := Embedded()
	for _, c := range []struct {
		port uint16
		want string // name transports from, of each row
	}{
		{2988, "hippad tcp udp both"},
		{80, "http tcp udp fix; www tcp udp fix; www-http tcp udp fix; http sctp fix"},
		{465, "igmpv3lite udp both; urd tcp fix; submissions tcp fix"},
		{6000, "x11 tcp udp fix"}, {6063, "x11 tcp udp fix"}, {6064, "ndl-ahp-svc tcp udp both"},
		{6667, "ircu tcp fix;  udp fix"},
		{2, " tcp udp fix"},
		{3980, " udp names;  tcp fix"},
		{4, ""}, {65535, ""}, {49152, ""},
		{0, " tcp udp both"},
	} {
		var rows []string
		for _, x := range r.Lookup(c.port) {
			rows = append(rows, fmt.Sprintf("%s %s %s", x.Name, strings.Join(x.Transports, " "), x.From))
		}
		if got := strings.Join(rows, "; "); got != c.want {
			t.Errorf("%d: %q, want %q", c.port, got, c.want)
		}
	}
	hippadRow := r.Lookup(2988)[0]
	if hippadRow.Description != "HIPPA Reporting Protocol" || hippadRow.Assignee != "William Randolph Roy" || hippadRow.Registered != "" || hippadRow.Reference != "" {
		t.Errorf("%+v", hippadRow)
	}
}

// The search finds what a reading of the whole table finds, for every number there is.
func TestLookupFindsEveryRow(t *testing.T) {
	r := Embedded()
	all := map[uint16][]Record{}
	for line := range strings.Lines(r.ranges + r.singles) {
		x := parseRecord(strings.TrimSuffix(line, "\n"))
		for n := int(x.First); n <= int(x.Last); n++ {
			all[uint16(n)] = append(all[uint16(n)], x)
		}
	}
	for n := range 65536 {
		if got, want := r.Lookup(uint16(n)), all[uint16(n)]; !reflect.DeepEqual(got, want) {
			t.Fatalf("%d: %v, want %v", n, got, want)
		}
	}
	if len(all) < 6000 {
		t.Errorf("%d numbers", len(all))
	}
}

// The table in this program agrees with IANA's own of a known month, but for what changed in the months between.
func TestRegistryAgreesWithIANA(t *testing.T) {
	const file = "../../../shared/samples/reference/iana-service-names-port-numbers-2026-02.csv"
	f, err := os.Open(file)
	if err != nil {
		t.Skip("IANA's table of 2026-02 is not beside the repository")
	}
	defer f.Close()
	iana, err := ReadCSV(f, "IANA")
	if err != nil {
		t.Fatal(err)
	}
	if iana.NamesAsOf != "2026-02" {
		t.Errorf("as of %s", iana.NamesAsOf)
	}
	names := func(r *Registry, n int) (out []string) {
		for _, x := range r.Lookup(uint16(n)) {
			for _, transport := range append(slices.Clone(x.Transports), strings.Repeat("any", 1-min(1, len(x.Transports)))) {
				if transport != "" {
					out = append(out, transport+" "+x.Name)
				}
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	ours, differ, deassigned := Embedded(), 0, 0
	for n := range 65536 {
		if a, b := names(iana, n), names(ours, n); !slices.Equal(a, b) {
			differ++
			if differ > 15 {
				t.Errorf("%d: IANA %v, ours %v", n, a, b)
			}
		}
		for _, x := range iana.Lookup(uint16(n)) {
			if x.Deassigned() {
				deassigned++
				if !slices.ContainsFunc(ours.Lookup(uint16(n)), Record.Deassigned) {
					t.Errorf("%d: IANA has de-assigned it (%s)", n, x.Note)
				}
			}
		}
	}
	if deassigned < 10 {
		t.Errorf("%d numbers are de-assigned", deassigned)
	}
	t.Logf("%d of 65536 numbers differ from IANA's table of 2026-02", differ)
}

func TestEmbeddedIsSmall(t *testing.T) {
	if len(embedded) > 500_000 {
		t.Errorf("registry.tsv has %d bytes", len(embedded))
	}
	if strings.Contains(embedded, "@") && strings.Contains(embedded, "mailto") {
		t.Error("registry.tsv has mail addresses")
	}
}

func TestNamedAndNearest(t *testing.T) {
	r := Embedded()
	if got := r.Named("HIPPAD"); len(got) != 1 || got[0].First != 2988 {
		t.Errorf("%v", got)
	}
	if got := r.Named(""); got != nil {
		t.Errorf("%v", got)
	}
	for typo, want := range map[string]string{
		"HIPPA": "hippad (2988)", "hipad": "hippad (2988)", "hippda": "hippad (2988)", "postgresq": "postgresql (5432)", "htpp": "http (80)",
	} {
		if got := r.Nearest(typo); !slices.Contains(got, want) {
			t.Errorf("%s: %v, want %s", typo, got, want)
		}
	}
	if got := r.Nearest(strings.Repeat("x", 10_000)); got != nil {
		t.Errorf("%v", got)
	}
}

func TestParse(t *testing.T) {
	r := Embedded()
	for text, want := range map[string][]Range{
		"2988": {{2988, 2988}}, "2980-2995": {{2980, 2995}}, "hippad": {{2988, 2988}}, "HIPPAD": {{2988, 2988}}, "http": {{80, 80}}, "1": {{1, 1}},
		"65535": {{65535, 65535}}, "x11": {{6000, 6063}}, " 22 ": {{22, 22}},
	} {
		if got, err := Parse(text, r); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"70000": "there is no port 70000", "0": "port 0 is reserved", "-1": "there is no port -1", "": "a port is missing", "20-10": "ends before it begins",
		"1-70000": "there is no port 70000", "HIPPA": `no service of the registry has the name "HIPPA"`, "0-5": "port 0", "--": "no service", "+5": "there is no port +5",
		"1-": "1- has no end", "1-2-3": "there is no port 2-3", "99999999999999999999999": "there is no port", "\x1b[31m": `\x1b[31m`,
	} {
		_, err := Parse(text, r)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
			continue
		}
		if _, hint := hippad.Public(err); hint == "" {
			t.Errorf("%q: no hint", text)
		}
	}
}

const csvHeader = "Service Name,Port Number,Transport Protocol,Description,Assignee,Contact,Registration Date,Modification Date,Reference,Service Code,Unauthorized Use Reported,Assignment Notes\n"

func TestReadCSV(t *testing.T) {
	row := "hippad,2988,tcp,HIPPA Reporting Protocol,[William_Randolph_Roy],[W],,2026-02-03,[RFC1][RFC2],,,\"a\nnote\"\n"
	r, err := ReadCSV(strings.NewReader(csvHeader+row+strings.Replace(row, "tcp", "udp", 1)+",7,udp,Unassigned,,,,,,,,\nx11,6000-6063,tcp,X,,,,,,,,\nname-only,,tcp,X,,,,,,,,\n"), "f.csv")
	if err != nil {
		t.Fatal(err)
	}
	want := Record{First: 2988, Last: 2988, Transports: []string{"tcp", "udp"}, Name: "hippad", Description: "HIPPA Reporting Protocol", Assignee: "William Randolph Roy",
		Modified: "2026-02-03", Reference: "RFC1, RFC2", Note: "a note", From: FromFile}
	if got := r.Lookup(2988); !reflect.DeepEqual(got, []Record{want}) {
		t.Errorf("%+v", got)
	}
	if len(r.Lookup(6010)) != 1 || len(r.Lookup(7)) != 0 || r.NamesAsOf != "2026-02" || r.Source != "f.csv" {
		t.Errorf("%v %v %s", r.Lookup(6010), r.Lookup(7), r.NamesAsOf)
	}
	// Columns in another order, the older name of one, a byte order mark.
	other := "\ufeffPort Number,Service Name,Known Unauthorized Uses,Description,Transport Protocol\n1,tcpmux,somebody,TCP Port Service Multiplexer,tcp\n"
	if r, err = ReadCSV(strings.NewReader(other), "f.csv"); err != nil {
		t.Fatal(err)
	}
	if got := r.Lookup(1); len(got) != 1 || got[0].Name != "tcpmux" || got[0].Unauthorised != "somebody" {
		t.Errorf("%+v", got)
	}
	for text, want := range map[string]string{
		"":        "line 1 cannot be read",
		csvHeader: "no row with a port number",
		strings.Replace(csvHeader, "Port Number", "Port", 1) + row:         `has no column "Port Number"`,
		strings.Replace(csvHeader, "Transport Protocol", "Proto", 1) + row: `has no column "Transport Protocol"`,
		csvHeader + "x,70000,tcp,,,,,,,,,\n":                               "line 2: the port number is none",
		csvHeader + "x,20-10,tcp,,,,,,,,,\n":                               "line 2: the port number is none",
		csvHeader + "a,1,tcp,\"open,,,,,,,,\n" + row:                       "line 2 cannot be read as CSV",
		csvHeader + row + "a,1,tcp,b\"ad,,,,,,,,\n" + row:                  "line 4 cannot be read as CSV",
		csvHeader + strings.Repeat(row, maxRegistry/len(row)+1):            "f.csv is longer than 16 MB",
		csvHeader + row + "x,abc,tcp,,,,,,,,,\n":                           "line 4: the port number is none",
	} {
		if _, err := ReadCSV(strings.NewReader(text), "f.csv"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// Whatever a file says, what is read of it can be looked up, and is what the file says.
func FuzzReadCSVKeepsEveryRow(f *testing.F) {
	f.Add(csvHeader + "a,1,tcp,d,,,,,,,,\nb,2-9,udp,d,,,,,,,,\n")
	f.Add(csvHeader + "a,1,tcp,\"d\td\",,,,,,,,\na,1,tcp,d\x7f,,,,,,,,\n")
	f.Add("Service Name,Port Number,Transport Protocol,Description\n\"\n,5\",")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ReadCSV(strings.NewReader(text), "f.csv")
		if err != nil {
			return
		}
		reader := csv.NewReader(strings.NewReader(text))
		reader.FieldsPerRecord = -1
		rows, err := reader.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		places, err := findColumns(rows[0], "f.csv")
		if err != nil {
			t.Fatal(err)
		}
		for _, cells := range rows[1:] {
			want, ok, err := readRow(cells, places)
			if err != nil {
				t.Fatal(err)
			}
			if ok && !slices.ContainsFunc(r.Lookup(want.First), func(x Record) bool {
				return x.Name == want.Name && x.Description == want.Description && x.Note == want.Note && x.Last == want.Last
			}) {
				t.Fatalf("%+v is not found", want)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	r := Embedded()
	b.ReportAllocs()
	n := uint16(0)
	for b.Loop() {
		if n += 997; len(r.Lookup(n)) > 20 {
			b.Fatal(n)
		}
	}
}

func BenchmarkLookupHippad(b *testing.B) {
	r := Embedded()
	for b.Loop() {
		if len(r.Lookup(2988)) != 1 {
			b.Fatal("not found")
		}
	}
}
