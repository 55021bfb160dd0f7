package review

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/sheet"
)

// Rosters are tables that come with the question, as CSV; each may be missing. They are read and forgotten: of them the log keeps what Roster says.
type Rosters struct {
	Staff     []byte `json:"staff,omitempty"`
	Patients  []byte `json:"patients,omitempty"`
	Relations []byte `json:"relations,omitempty"`
	VIP       []byte `json:"vip,omitempty"`
	Deceased  []byte `json:"deceased,omitempty"`
}

// A Roster is what is kept of one.
type Roster struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // of the file as it came
	Rows   int    `json:"rows"`   // that were good
	Bad    int    `json:"bad"`
}

// A BadRow is one that could not be taken.
type BadRow struct {
	Roster string `json:"roster"`
	sheet.Bad
}

// MaxRosters is how many bytes the rosters of a review may have, together and in the form of a call.
const MaxRosters = 64 << 20

type table struct {
	name    string
	text    []byte
	columns []sheet.Column
	take    func(sheet.Row) error
}

// read takes the rosters apart. Good rows are taken, bad rows listed; the error, kind Invalid or TooLarge, is for what is no such table.
func (x Rosters) read(canonical func(string) string) (*regulation.ReviewRosters, []Roster, []BadRow, error) {
	r := regulation.NewReviewRosters(canonical)
	var kept []Roster
	var bad []BadRow
	for _, t := range x.tables(r) {
		if len(t.text) == 0 {
			continue
		}
		sum := sha256.Sum256(t.text)
		k := Roster{Name: t.name, SHA256: hex.EncodeToString(sum[:])}
		wrong, err := sheet.Read(bytes.NewReader(t.text), t.columns, func(row sheet.Row) error {
			err := t.take(row)
			if err == nil {
				k.Rows++
			}
			return err
		})
		if err != nil {
			message, hint := hippad.Public(err)
			return nil, nil, nil, hippad.Errorf(hippad.KindOf(err), "the roster of %s: %s", t.name, message).WithHint("%s", hint)
		}
		k.Bad = len(wrong)
		kept = append(kept, k)
		for _, b := range wrong {
			bad = append(bad, BadRow{t.name, b})
		}
	}
	return r, kept, bad, nil
}

func (x Rosters) tables(r *regulation.ReviewRosters) []table {
	patient := sheet.Column{Name: "patient", Also: []string{"mrn", "patient id", "identifier"}, Needed: true}
	name := []sheet.Column{{Name: "name"}, {Name: "last name", Also: []string{"surname", "family"}}}
	home := []sheet.Column{{Name: "street", Also: []string{"address"}}, {Name: "zip", Also: []string{"zip code", "postal code"}}, {Name: "phone", Also: []string{"telephone"}}}
	born := sheet.Column{Name: "born", Also: []string{"date of birth", "birth date", "dob"}}
	died := sheet.Column{Name: "died", Also: []string{"date of death", "deceased"}}
	// A column that nobody needs keeps sheet from taking one of another name for the patient, because there are as many as it asks for.
	note := sheet.Column{Name: "note"}
	join := func(lists ...[]sheet.Column) (all []sheet.Column) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	return []table{
		{"staff", x.Staff, join([]sheet.Column{
			{Name: "user", Also: []string{"user id", "login", "account"}, Needed: true}, {Name: "department", Also: []string{"unit"}}, {Name: "job", Also: []string{"role", "title", "job function"}},
			{Name: "manager", Also: []string{"supervisor"}}, {Name: "patient", Also: []string{"mrn", "own record"}}, {Name: "end date", Also: []string{"ended", "terminated", "termination date"}},
		}, name, home), func(row sheet.Row) (err error) {
			s := regulation.RosterStaff{User: row.Get("user"), Last: lastName(row), Department: row.Get("department"), Job: row.Get("job"),
				Manager: row.Get("manager"), Home: homeOf(row), Patient: row.Get("patient")}
			if s.End, err = dayOf(row, "end date", false); err != nil {
				return err
			}
			return r.AddStaff(s)
		}},
		{"patients", x.Patients, join([]sheet.Column{patient, born, died, {Name: "vip", Also: []string{"confidential"}}, {Name: "sensitive"}}, name, home), func(row sheet.Row) (err error) {
			p := regulation.RosterPatient{Last: lastName(row), Home: homeOf(row)}
			if p.Born, err = dayOf(row, "born", false); err != nil {
				return err
			}
			if p.Died, err = dayOf(row, "died", false); err != nil {
				return err
			}
			if p.VIP, err = yes(row, "vip"); err != nil {
				return err
			}
			if p.Sensitive, err = yes(row, "sensitive"); err != nil {
				return err
			}
			return r.AddPatient(row.Get("patient"), p)
		}},
		{"relations", x.Relations, []sheet.Column{
			patient, {Name: "user", Also: []string{"user id", "login", "account"}}, {Name: "department", Also: []string{"unit", "team"}}, {Name: "from", Also: []string{"start", "begin"}}, {Name: "to", Also: []string{"end", "until"}},
		}, func(row sheet.Row) (err error) {
			x := regulation.RosterRelation{User: row.Get("user"), Department: row.Get("department")}
			if x.From, err = dayOf(row, "from", false); err != nil {
				return err
			}
			if x.To, err = dayOf(row, "to", false); err != nil {
				return err
			}
			return r.AddRelation(row.Get("patient"), x)
		}},
		{"VIPs", x.VIP, []sheet.Column{patient, note}, func(row sheet.Row) error { return r.AddVIP(row.Get("patient")) }},
		{"deceased", x.Deceased, []sheet.Column{patient, {Name: "died", Also: died.Also, Needed: true}, note}, func(row sheet.Row) error {
			day, err := dayOf(row, "died", true)
			if err != nil {
				return err
			}
			return r.AddDeceased(row.Get("patient"), day)
		}},
	}
}

func homeOf(row sheet.Row) regulation.RosterHome {
	return regulation.RosterHome{Street: row.Get("street"), ZIP: row.Get("zip"), Phone: row.Get("phone")}
}

// lastName is the column of it, or else what stands before the comma of the name, or its last word.
func lastName(row sheet.Row) string {
	if last := row.Get("last name"); last != "" {
		return last
	}
	name := row.Get("name")
	if last, _, ok := strings.Cut(name, ","); ok {
		return strings.TrimSpace(last)
	}
	if words := strings.Fields(name); len(words) > 0 {
		return words[len(words)-1]
	}
	return ""
}

func dayOf(row sheet.Row, column string, needed bool) (regulation.Date, error) {
	text := row.Get(column)
	if text == "" && !needed {
		return regulation.Date{}, nil
	}
	day, err := regulation.ParseDate(text)
	if err != nil {
		return day, hippad.Errorf(hippad.Invalid, "%q is no day like 2026-11-23", column)
	}
	return day, nil
}

func yes(row sheet.Row, column string) (bool, error) {
	switch strings.ToLower(row.Get(column)) {
	case "", "no", "n", "false", "0":
		return false, nil
	case "yes", "y", "true", "1", "x":
		return true, nil
	}
	return false, hippad.Errorf(hippad.Invalid, "%q is neither yes nor no", column)
}
