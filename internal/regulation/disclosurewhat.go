package regulation

import (
	"cmp"
	"fmt"
	"strings"

	"hippad"
)

// resources are the words for the types of data that FHIR references name.
var resources = map[string]string{
	"Patient": "demographic data", "Person": "demographic data", "RelatedPerson": "demographic data", "Observation": "observations and results",
	"DiagnosticReport": "diagnostic reports", "DocumentReference": "documents", "DocumentManifest": "documents", "Binary": "documents", "Composition": "documents",
	"Condition": "diagnoses", "Medication": "medications", "MedicationRequest": "medications", "MedicationStatement": "medications",
	"MedicationAdministration": "medications", "MedicationDispense": "medications", "AllergyIntolerance": "allergies", "Immunization": "immunizations",
	"Procedure": "procedures", "Encounter": "visits", "Appointment": "appointments", "ImagingStudy": "images", "Media": "images", "Claim": "billing data",
	"ClaimResponse": "billing data", "ExplanationOfBenefit": "billing data", "Coverage": "insurance data", "Account": "billing data",
	"ServiceRequest": "orders", "CarePlan": "care plans", "CareTeam": "care plans", "Goal": "care plans", "FamilyMemberHistory": "family history",
	"QuestionnaireResponse": "questionnaires", "Specimen": "specimens", "Consent": "consents", "Bundle": "records",
}

// whatOf describes in brief what an event is about (164.528(b)(2)(iii)): names and descriptions that the event has, or else words for the kind of
// data and how many there are. Of an event about several patients only such words: whose a document is is not said.
func whatOf(ev *hippad.Event, several bool) string {
	var words []string
	count := map[string]int{}
	for i := range ev.Entities {
		n := &ev.Entities[i]
		if n.Role.Code == "1" || n.Role.Code == "" && n.What.IsPatient() || !isData(n) {
			continue
		}
		word := ""
		if !several {
			word = brief(cmp.Or(strings.TrimSpace(n.Description), strings.TrimSpace(n.Name)))
		}
		if word == "" {
			word = kindOf(n)
		}
		if word == "" {
			continue
		}
		if count[word] == 0 {
			words = append(words, word)
		}
		count[word]++
	}
	const longest = 10
	more := len(words) - longest
	words = words[:min(len(words), longest)]
	for i, w := range words {
		if n := count[w]; n > 1 {
			words[i] = fmt.Sprintf("%s (%d)", w, n)
		}
	}
	if more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, "; ")
}

// isData tells whether an entity is data, and not a person, a job, a query or a message header around it.
func isData(n *hippad.Entity) bool {
	switch n.Role.Code {
	case "24", "13", "6", "7", "8", "9", "10", "11", "15", "16", "17", "22", "23": // object-role: queries, security resources, people and places
		return false
	}
	return n.Type.Code != "1" && n.Type.Code != "3" || n.What.IsPatient()
}

// kindOf is the word for the kind of data; empty if the event does not say.
func kindOf(n *hippad.Entity) string {
	rest, _, _ := strings.Cut(n.What.Literal, "/_history/")
	if p := strings.Split(rest, "/"); len(p) >= 2 {
		if word, ok := resources[p[len(p)-2]]; ok {
			return word
		}
	}
	switch {
	case n.IDType.Code == "110180" || n.IDType.Code == "110181": // Study Instance UID, SOP Class UID
		return "images"
	case n.Role.Code == "3", n.IDType.Code == "9": // report; report number
		return "documents"
	case n.Role.Code == "4", n.Role.Code == "20": // domain resource, job that moved it
		return "records"
	}
	return ""
}
