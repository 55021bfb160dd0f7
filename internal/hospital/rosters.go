package hospital

import (
	"bytes"
	"encoding/csv"
)

// Rosters are what the hospital's other systems know, as CSV.
type Rosters struct{ Staff, Patients, Relations, VIP, Deceased []byte }

// Rosters writes them. They say nothing of who snoops.
func (h *Hospital) Rosters() Rosters {
	staff := [][]string{{"user", "name", "department", "job", "manager", "street", "city", "zip", "phone", "patient", "end date"}}
	for _, s := range h.staff {
		row := []string{s.User, s.Last + ", " + s.First, s.Department, s.Job, "", s.Home.Street, s.Home.City, s.Home.ZIP, s.Home.Phone, "", ""}
		if s.Manager != nil {
			row[4] = s.Manager.User
		}
		if s.Patient != nil {
			row[9] = PatientSystem + "|" + s.Patient.MRN
		}
		if s.Ended >= 0 {
			row[10] = Day(s.Ended).Format("2006-01-02")
		}
		staff = append(staff, row)
	}
	patients := [][]string{{"patient", "name", "street", "city", "zip", "phone", "born"}}
	vip := [][]string{{"patient"}}
	dead := [][]string{{"patient", "died"}}
	for _, p := range h.patients {
		id := PatientSystem + "|" + p.MRN
		patients = append(patients, []string{id, p.Last + ", " + p.First, p.Home.Street, p.Home.City, p.Home.ZIP, p.Home.Phone, p.Born})
		if p.VIP {
			vip = append(vip, []string{id})
		}
		if p.Died != "" {
			dead = append(dead, []string{id, p.Died})
		}
	}
	relations := [][]string{{"patient", "user", "department", "from", "to"}}
	for _, s := range h.stays {
		relations = append(relations, []string{PatientSystem + "|" + s.patient.MRN, "", h.ward[s.ward][0].Department, Day(s.first).Format("2006-01-02"), Day(s.last).Format("2006-01-02")})
	}
	for _, x := range h.relations {
		relations = append(relations, []string{PatientSystem + "|" + x.patient.MRN, x.user.User, "", Day(x.from).Format("2006-01-02"), Day(x.to).Format("2006-01-02")})
	}
	return Rosters{written(staff), written(patients), written(relations), written(vip), written(dead)}
}

func written(rows [][]string) []byte {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	_ = w.WriteAll(rows) // into memory
	return text.Bytes()
}
