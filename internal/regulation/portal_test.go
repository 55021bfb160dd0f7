package regulation_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hippad/internal/regulation"
	"hippad/internal/sheet"
)

func portalColumns() (columns []sheet.Column) {
	for _, name := range regulation.PortalListColumns {
		columns = append(columns, sheet.Column{Name: name, Needed: true})
	}
	return columns
}

// The lists that the portal has published: every row is read, and what does not fit our lists is blank there.
func TestPublishedLists(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/samples/reference/hhs-ocr-breach-report-*.csv")
	if len(files) == 0 {
		t.Skip("the reference samples are not here")
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		misfits, rows, exactly500 := map[string]int{}, 0, 0
		bad, err := sheet.Read(f, portalColumns(), func(r sheet.Row) error {
			p := regulation.ReadPublishedBreach(r.Get)
			rows++
			if p.Individuals == 500 {
				exactly500++
			}
			for _, m := range p.Misfits {
				misfits[m]++
			}
			if p.Submitted.Before(date(t, "2009-10-01")) || p.Name == "" {
				t.Errorf("line %d: submitted %s", r.Line, p.Submitted)
			}
			return nil
		})
		if err != nil || len(bad) > 0 {
			t.Fatalf("%s: %d bad rows, %v", filepath.Base(name), len(bad), err)
		}
		t.Logf("%s: %d rows, %d with exactly 500, misfits %v", filepath.Base(name), rows, exactly500, misfits)
		for m, n := range misfits {
			if !strings.HasSuffix(m, ": empty") || n > 20 {
				t.Errorf("%s: %d of %s", filepath.Base(name), n, m)
			}
		}
		if rows < 800 || exactly500 == 0 {
			t.Errorf("%d rows, %d with exactly 500", rows, exactly500)
		}
	}
}

// What an export may look like: names of Java objects, line breaks in a cell, blanks, several values, a day that there is not.
func TestReadPublishedBreach(t *testing.T) {
	table := "javax.faces.component.UIPanel@495f2e1e,State,Covered Entity Type,Individuals Affected,Breach Submission Date,Type of Breach,Location of Breached Information,Business Associate Present,javax.faces.component.UIPanel@3408c427\r\n" +
		"\"Saint  Mary, Inc. \",il,Healthcare Provider,501,01/31/2014,\"Theft, Loss\",\"Paper/Films, Laptop\",Yes,\"one\r\ntwo\"\r\n" +
		"X,,Clearing,12,02/30/2024,Snooping,Cloud,maybe,\r\n"
	var got []regulation.PublishedBreach
	if _, err := sheet.Read(strings.NewReader(table), portalColumns(), func(r sheet.Row) error {
		got = append(got, regulation.ReadPublishedBreach(r.Get))
		return nil
	}); err != nil || len(got) != 2 {
		t.Fatalf("%d rows: %v", len(got), err)
	}
	if text := fmt.Sprint(got[0]); text != "{Saint Mary, Inc. IL Healthcare Provider 501 2014-01-31 [Loss Theft] [Laptop Paper/Films] true one\ntwo []}" {
		t.Error(text)
	}
	if len(got[1].Misfits) != 7 {
		t.Errorf("misfits: %q", got[1].Misfits)
	}
}

func TestPortalAnswers(t *testing.T) {
	good := regulation.PortalAnswers{Types: []string{"Theft"}, Locations: []string{"Laptop", "Paper/Films"}, PHI: []string{"Demographic: SSN"}, Safeguards: []string{"None"}, Actions: []string{"Took steps to mitigate harm"}}
	if wrong := good.Wrong(); len(wrong) != 0 {
		t.Error(wrong)
	}
	bad := regulation.PortalAnswers{Types: []string{"theft"}, Locations: []string{"Cloud"}, PHI: []string{"SSN"}, Safeguards: regulation.PortalSafeguards[:2], Actions: []string{"sanctioned workforce"}, Description: strings.Repeat("x", 4001)}
	wrong := strings.Join(bad.Wrong(), "\n")
	for _, want := range []string{`"theft" is not offered, did you mean "Theft"?`, `"Cloud" is not offered` + "\n", `did you mean "Demographic: SSN"?`, "None together", `did you mean "Sanctioned workforce members involved (including termination)"?`, "4001 letters"} {
		if !strings.Contains(wrong+"\n", want) {
			t.Errorf("want %s in\n%s", want, wrong)
		}
	}
}

// A sheet with everything has nothing missing; an empty one names each field that the form needs.
func TestPortalSheet(t *testing.T) {
	whole := regulation.PortalFacts{
		Organisation: &regulation.Organisation{Name: "Lakeside Hospital", Kind: "Healthcare Provider", Address: regulation.Address{Lines: []string{"1 Shore Road"}, City: "Chicago", State: "IL", ZIP: "60601"},
			Contact: regulation.Contact{First: "Olga", Last: "Lind", Email: "privacy@lakeside.example", Phone: "312-555-0100"}},
		Cause: regulation.CauseSnooping, Happened: date(t, "2026-10-01"), Discovered: date(t, "2026-11-02"), Individuals: 500,
		Answers:    regulation.PortalAnswers{Locations: []string{"Electronic Medical Record"}, PHI: []string{"Demographic: Name"}, Safeguards: []string{"None"}, Actions: []string{"Other"}, OtherActions: "x", Description: "y"},
		NoticeFrom: date(t, "2026-11-20"), NoticeUntil: date(t, "2026-11-21"), Media: []string{"IL"}, Substitutes: 10,
	}
	s := regulation.NewPortalSheet(whole)
	if missing := s.Missing(); len(missing) != 0 {
		t.Errorf("missing: %q", missing)
	}
	value := func(name string) string {
		for _, f := range s {
			if f.Name == name {
				return strings.Join(f.Values, ", ")
			}
		}
		return "?"
	}
	for name, want := range map[string]string{
		"Report type": "Initial Breach Report", "Breach affecting": "500 or More Individuals", "Type of breach": "Unauthorized Access/Disclosure", "Breach end date": "10/01/2026",
		"Discovery start date": "11/02/2026", "Was substitute notice required?": "Yes: 10 or more", "Was media notice required?": "Yes: IL", "Type": "Healthcare Provider",
	} {
		if got := value(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	whole.Individuals, whole.Answers.AddendumTo = 499, "TR-1"
	s = regulation.NewPortalSheet(whole)
	for n, want := range map[int]string{0: "No", 1: "Yes: fewer than 10", 9: "Yes: fewer than 10", 10: "Yes: 10 or more"} {
		whole.Substitutes = n
		if s = regulation.NewPortalSheet(whole); value("Was substitute notice required?") != want {
			t.Errorf("substitute notice for %d: %q", n, value("Was substitute notice required?"))
		}
	}
	if value("Breach affecting") != "Fewer Than 500 Individuals" || value("Tracking number") != "TR-1" {
		t.Errorf("%q, %q", value("Breach affecting"), value("Tracking number"))
	}
	// A business associate at which it occurred is asked for as the covered entity is.
	whole.AtAssociate = &regulation.Associate{Name: "Acme Billing", Phone: "217-555-0199", Address: whole.Organisation.Address}
	if missing := strings.Join(regulation.NewPortalSheet(whole).Missing(), ", "); missing != "Business Associate: First name, Business Associate: Last name, Business Associate: Email" {
		t.Errorf("missing: %s", missing)
	}
	whole.AtAssociate.Contact = regulation.Contact{First: "A", Last: "B", Email: "a@acme.example"}
	if missing := regulation.NewPortalSheet(whole).Missing(); len(missing) > 0 {
		t.Errorf("missing: %q", missing)
	}
	if missing := regulation.NewPortalSheet(regulation.PortalFacts{Organisation: &regulation.Organisation{}}).Missing(); len(missing) < 20 {
		t.Errorf("an empty sheet misses only %q", missing)
	}
}
