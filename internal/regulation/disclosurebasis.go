package regulation

import (
	"slices"
	"strings"

	"hippad"
)

// SystemBasis is the code system in which an event's purpose names a Basis: how `hippad disclose` says under which paragraph a disclosure was made.
const SystemBasis = "urn:x-hippad:basis"

// A Basis is why a disclosure is permitted or required. Its paragraph decides whether it is accounted for.
type Basis struct {
	Name      string `json:"name"`            // as people write it
	Section   string `json:"section"`         // the paragraph that permits it
	Exempt    string `json:"exempt,omitzero"` // the paragraph of 164.528(a)(1) that keeps it out of an accounting; empty: it is accounted for
	Statement string `json:"statement"`       // 164.528(b)(2)(iv): the purpose in words that inform a patient of the basis
	Series    bool   `json:"series,omitzero"` // repeats may be summarised: 164.528(b)(3)
}

// Exempt paragraphs of 164.528(a)(1).
const (
	exemptTPO           = "164.528(a)(1)(i)"
	exemptIndividual    = "164.528(a)(1)(ii)"
	exemptIncident      = "164.528(a)(1)(iii)"
	exemptAuthorization = "164.528(a)(1)(iv)"
	exemptDirectory     = "164.528(a)(1)(v)"
	exemptSecurity      = "164.528(a)(1)(vi)"
	exemptCustody       = "164.528(a)(1)(vii)"
	exemptLimited       = "164.528(a)(1)(viii)"
	exemptBefore        = "164.528(a)(1)(ix)"
)

// Names of bases that the code speaks of.
const (
	basisTreatment      = "treatment"
	basisPayment        = "payment"
	basisOperations     = "operations"
	basisIndividual     = "individual"
	basisAuthorization  = "authorization"
	basisDirectory      = "directory"
	basisInvolved       = "involved"
	basisBefore         = "before-compliance"
	basisLaw            = "law"
	basisPublicHealth   = "public-health"
	basisOversight      = "oversight"
	basisProceedings    = "proceedings"
	basisLawEnforcement = "law-enforcement"
	basisDecedents      = "decedents"
	basisDonation       = "donation"
	basisResearch       = "research"
	basisThreat         = "threat"
	basisMilitary       = "military"
	basisBenefits       = "benefits"
	basisProtective     = "protective-services"
	basisImpermissible  = "impermissible"
	basisUnstated       = "unstated"
)

// bases is the whole of 164.502, 164.506, 164.508, 164.510, 164.512 and 164.514(e) as far as it matters to an accounting.
var bases = [...]Basis{
	{basisTreatment, "164.506", exemptTPO, "treatment of the patient", false},
	{basisPayment, "164.506", exemptTPO, "payment for care", false},
	{basisOperations, "164.506", exemptTPO, "operations of those who provide or pay for care", false},
	{basisIndividual, "164.502(a)(1)(i)", exemptIndividual, "given to the patient, or to whoever acts for the patient", false},
	{"incident", "164.502(a)(1)(iii)", exemptIncident, "incident to another use or disclosure that is permitted", false},
	{basisAuthorization, "164.508", exemptAuthorization, "the patient's written authorization", false},
	{basisDirectory, "164.510(a)", exemptDirectory, "the facility's directory", false},
	{basisInvolved, "164.510(b)", exemptDirectory, "persons involved in the patient's care, or notification", false},
	{"national-security", "164.512(k)(2)", exemptSecurity, "national security and intelligence", false},
	{"custody", "164.512(k)(5)", exemptCustody, "a correctional institution or official who has the patient in custody", false},
	{"limited-data-set", "164.514(e)", exemptLimited, "part of a limited data set", false},
	{basisBefore, "164.528(a)(1)(ix)", exemptBefore, "before the rule applied", false},
	{"secretary", "164.502(a)(2)(ii)", "", "required by the Secretary of Health and Human Services", true},
	{basisLaw, "164.512(a)", "", "required by law", true},
	{basisPublicHealth, "164.512(b)", "", "public health activities", true},
	{"abuse", "164.512(c)", "", "report about a victim of abuse, neglect or domestic violence", true},
	{basisOversight, "164.512(d)", "", "oversight of the health system by an agency", true},
	{basisProceedings, "164.512(e)", "", "a judicial or administrative proceeding", true},
	{basisLawEnforcement, "164.512(f)", "", "law enforcement", true},
	{basisDecedents, "164.512(g)", "", "coroner, medical examiner or funeral director", true},
	{basisDonation, "164.512(h)", "", "donation of organs, eyes or tissue", true},
	{basisResearch, "164.512(i)", "", "research", true},
	{basisThreat, "164.512(j)", "", "averting a serious threat to health or safety", true},
	{basisMilitary, "164.512(k)(1)", "", "military and veterans activities", true},
	{basisProtective, "164.512(k)(3)", "", "protective services for the President and others", true},
	{"medical-suitability", "164.512(k)(4)", "", "medical suitability determinations of the Department of State", true},
	{basisBenefits, "164.512(k)(6)", "", "a government programme that provides public benefits", true},
	{"firearms", "164.512(k)(7)", "", "the national background check for firearms", true},
	{"workers-compensation", "164.512(l)", "", "workers' compensation", true},
	{basisImpermissible, "164.502(a)", "", "not permitted: it was disclosed in error or against the rules", false},
	{basisUnstated, "164.528(b)(2)(iv)", "", "the purpose was not recorded", false},
}

// Bases lists every basis, in the order of the help text.
func Bases() []Basis { return slices.Clone(bases[:]) }

// BasisNamed returns a basis by its name, or by its section however it is written: "public-health", "164.512(b)", "45 CFR 164.512(b)". A section
// that has several bases is none.
func BasisNamed(text string) (Basis, bool) {
	text = strings.TrimSpace(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "45 cfr"))
	for _, b := range bases {
		if b.Name == text {
			return b, true
		}
	}
	var found []Basis
	for _, b := range bases {
		if strings.ToLower(b.Section) == text {
			found = append(found, b)
		}
	}
	if len(found) == 1 {
		return found[0], true
	}
	return Basis{}, false
}

// basesOf returns those of the names.
func basesOf(names ...string) (out []Basis) {
	for _, n := range names {
		for _, b := range bases {
			if b.Name == n {
				out = append(out, b)
			}
		}
	}
	return out
}

// PurposeOfBasis is the code under which an event names a basis.
func PurposeOfBasis(b Basis) hippad.Code {
	return hippad.Code{System: SystemBasis, Code: b.Name, Display: b.Statement}
}
