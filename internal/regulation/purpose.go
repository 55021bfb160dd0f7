package regulation

import (
	"slices"
	"strings"

	"hippad"
)

// A Verdict is what becomes of something in an accounting.
type Verdict string

// The verdicts.
const (
	NotDisclosed Verdict = "none"        // it is no disclosure of this organisation
	Accountable  Verdict = "accountable" // it is listed: 164.528(b)(2)
	Exempt       Verdict = "exempt"      // it is not: one of the paragraphs of 164.528(a)(1)
	Undecided    Verdict = "review"      // a person has to say
)

// A Purpose is what a code of the value set v3-PurposeOfUse means for an accounting. The code is not the legal basis: it says what that is
// unless somebody who knows says otherwise.
type Purpose struct {
	Code    string   `json:"code"`
	Display string   `json:"display"` // in words that a patient reads
	Verdict Verdict  `json:"verdict"`
	Bases   []string `json:"bases"`           // names of the Basis it stands for, the likeliest first; several where the code does not tell them apart
	Unless  string   `json:"unless,omitzero"` // when the verdict is another one, which only a person can know
}

const (
	unlessRelation  = "the recipient's own operations: both must have had a relationship with the patient (164.506(c)(4))"
	unlessResearch  = "the patient has authorized it (164.508), or it was part of a limited data set (164.514(e)): then it is exempt"
	unlessAuthority = "an authorization rather than the patient's agreement permits it (164.508): it is exempt all the same"
)

// purposes is v3-PurposeOfUse, code by code. The hierarchy of HL7 is not used: it has DONAT and HDECD below operations, and
// MILDCRG below coverage, which are accountable.
var purposes = [...]Purpose{
	{"TREAT", "treatment", Exempt, []string{basisTreatment}, ""},
	{"CLINTRL", "treatment within a clinical trial", Exempt, []string{basisTreatment}, ""},
	{"COC", "coordination of care", Exempt, []string{basisTreatment}, ""},
	{"ETREAT", "emergency treatment", Exempt, []string{basisTreatment}, ""},
	{"BTG", "break the glass", Exempt, []string{basisTreatment}, "it was no emergency: every such access is reviewed"},
	{"ERTREAT", "emergency room treatment", Exempt, []string{basisTreatment}, ""},
	{"POPHLTH", "population health", Exempt, []string{basisTreatment}, "it went to a health department: then it is public health, and accountable"},

	{"HPAYMT", "payment", Exempt, []string{basisPayment}, ""},
	{"CLMATTCH", "attachment to a claim", Exempt, []string{basisPayment}, ""},
	{"COVAUTH", "authorization of coverage", Exempt, []string{basisPayment}, ""},
	{"COVERAGE", "coverage under a policy", Exempt, []string{basisPayment}, ""},
	{"ELIGDTRM", "determination of eligibility", Exempt, []string{basisPayment}, ""},
	{"ELIGVER", "verification of eligibility", Exempt, []string{basisPayment}, ""},
	{"ENROLLM", "enrolment", Exempt, []string{basisPayment}, ""},
	{"REMITADV", "remittance advice", Exempt, []string{basisPayment}, ""},

	{"HOPERAT", "health care operations", Exempt, []string{basisOperations}, unlessRelation},
	{"CAREMGT", "care management", Exempt, []string{basisOperations}, unlessRelation},
	{"FRAUD", "fraud detection", Exempt, []string{basisOperations}, unlessRelation},
	{"HACCRED", "accreditation", Exempt, []string{basisOperations}, unlessRelation},
	{"HCOMPL", "compliance", Exempt, []string{basisOperations}, unlessRelation},
	{"HDM", "decision support", Exempt, []string{basisOperations}, unlessRelation},
	{"HOUTCOMS", "outcome measures", Exempt, []string{basisOperations}, unlessRelation},
	{"HPRGRP", "programme reporting", Exempt, []string{basisOperations}, unlessRelation},
	{"HQUALIMP", "quality improvement", Exempt, []string{basisOperations}, unlessRelation},
	{"HSYSADMIN", "administration of systems", Exempt, []string{basisOperations}, unlessRelation},
	{"LABELING", "labelling of records", Exempt, []string{basisOperations}, unlessRelation},
	{"METAMGT", "management of metadata", Exempt, []string{basisOperations}, unlessRelation},
	{"MEMADMIN", "administration of members", Exempt, []string{basisOperations}, unlessRelation},
	{"PATADMIN", "administration of patients", Exempt, []string{basisOperations}, unlessRelation},
	{"PATSFTY", "patient safety", Exempt, []string{basisOperations}, unlessRelation},
	{"PERFMSR", "measurement of performance", Exempt, []string{basisOperations}, unlessRelation},
	{"RECORDMGT", "management of records", Exempt, []string{basisOperations}, unlessRelation},
	{"SYSDEV", "development of systems", Exempt, []string{basisOperations}, unlessRelation},
	{"HTEST", "tests", Exempt, []string{basisOperations}, unlessRelation},
	{"TRAIN", "training", Exempt, []string{basisOperations}, unlessRelation},

	{"HDIRECT", "the facility's directory", Exempt, []string{basisDirectory}, ""},
	{"PATRQT", "the patient asked for it", Exempt, []string{basisIndividual}, ""},
	{"PWATRNY", "whoever acts for the patient asked for it", Exempt, []string{basisIndividual}, ""},
	{"FAMRQT", "the family asked for it", Exempt, []string{basisInvolved}, unlessAuthority},
	{"SUPNWK", "the patient's support network", Exempt, []string{basisInvolved}, unlessAuthority},

	{"DISASTER", "disaster relief", Undecided, []string{basisInvolved, basisPublicHealth, basisThreat},
		"disaster relief is exempt when it went to a relief agency (164.510(b)(4)) and accountable when not (164.512(b), 164.512(j))"},
	{"HMARKT", "marketing", Undecided, []string{basisAuthorization, basisImpermissible},
		"marketing needs an authorization (164.508(a)(3)): with one it is exempt, without one it may be a breach"},

	{"PUBHLTH", "public health", Accountable, []string{basisPublicHealth}, ""},
	{"THREAT", "averting a serious threat", Accountable, []string{basisThreat}, ""},
	{"HLEGAL", "a legal matter", Accountable, []string{basisProceedings, basisLawEnforcement, basisLaw},
		"it was for the organisation's own legal services: then it is operations, and exempt"},
	{"GOV", "a government programme or agency", Accountable, []string{basisOversight, basisBenefits, basisProtective},
		"it was for national security (164.512(k)(2)) or custody (164.512(k)(5)): then it is exempt"},
	{"MILCDM", "military command", Accountable, []string{basisMilitary}, ""},
	{"MILDCRG", "military discharge", Accountable, []string{basisMilitary}, ""},
	{"DONAT", "donation of organs, eyes or tissue", Accountable, []string{basisDonation}, ""},
	{"HDECD", "a decedent", Accountable, []string{basisDecedents}, ""},

	{"HRESCH", "research", Accountable, []string{basisResearch}, unlessResearch},
	{"BIORCH", "biomedical research", Accountable, []string{basisResearch}, unlessResearch},
	{"CLINTRCH", "clinical trial research", Accountable, []string{basisResearch}, unlessResearch},
	{"CLINTRCHNPC", "clinical trial research without care", Accountable, []string{basisResearch}, unlessResearch},
	{"CLINTRCHPC", "clinical trial research with care", Accountable, []string{basisResearch}, unlessResearch},
	{"PRECLINTRCH", "preclinical trial research", Accountable, []string{basisResearch}, unlessResearch},
	{"DSRCH", "disease specific research", Accountable, []string{basisResearch}, unlessResearch},
	{"POARCH", "population origins or ancestry research", Accountable, []string{basisResearch}, unlessResearch},
	{"TRANSRCH", "translational research", Accountable, []string{basisResearch}, unlessResearch},
}

// purposeSystems are the names under which senders write the codes of v3-PurposeOfUse, besides those of hippad.SystemActReason; none at all too.
var purposeSystems = [...]string{
	"", hippad.SystemActReason, "http://terminology.hl7.org/ValueSet/v3-PurposeOfUse", "http://hl7.org/fhir/ValueSet/v3-PurposeOfUse",
	"http://terminology.hl7.org/CodeSystem/v3-PurposeOfUse", "http://hl7.org/fhir/v3/PurposeOfUse", "urn:oid:2.16.840.1.113883.1.11.20448",
}

// Purposes lists the codes of v3-PurposeOfUse, as of the release of 2018-08-12.
func Purposes() []Purpose { return slices.Clone(purposes[:]) }

// PurposeOf returns what a purpose of use means. A basis that is named in its place (SystemBasis) decides itself. ok is false for a code that the
// tables do not have, and for one of another system.
func PurposeOf(c hippad.Code) (p Purpose, ok bool) {
	code := strings.TrimSpace(c.Code)
	if c.System == SystemBasis {
		b, ok := BasisNamed(code)
		p = Purpose{Code: b.Name, Display: b.Statement, Verdict: Accountable, Bases: []string{b.Name}}
		if b.Exempt != "" {
			p.Verdict = Exempt
		}
		return p, ok
	}
	if !slices.Contains(purposeSystems[:], hippad.CodeSystem(c.System)) {
		return Purpose{}, false
	}
	i := slices.IndexFunc(purposes[:], func(p Purpose) bool { return p.Code == code })
	if i < 0 {
		return Purpose{}, false
	}
	return purposes[i], true
}
