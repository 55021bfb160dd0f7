package regulation

import (
	"slices"
	"strings"
	"testing"

	"hippad"
)

// Every code of v3-PurposeOfUse (2018-08-12), with what becomes of it and by which section.
func TestPurposes(t *testing.T) {
	want := map[string]string{}
	for group, codes := range map[string]string{
		"exempt 164.506":            "TREAT CLINTRL COC ETREAT BTG ERTREAT POPHLTH HPAYMT CLMATTCH COVAUTH COVERAGE ELIGDTRM ELIGVER ENROLLM REMITADV HOPERAT CAREMGT FRAUD HACCRED HCOMPL HDM HOUTCOMS HPRGRP HQUALIMP HSYSADMIN LABELING METAMGT MEMADMIN PATADMIN PATSFTY PERFMSR RECORDMGT SYSDEV HTEST TRAIN",
		"exempt 164.510(a)":         "HDIRECT",
		"exempt 164.510(b)":         "FAMRQT SUPNWK",
		"exempt 164.502(a)(1)(i)":   "PATRQT PWATRNY",
		"review 164.510(b)":         "DISASTER",
		"review 164.508":            "HMARKT",
		"accountable 164.512(b)":    "PUBHLTH",
		"accountable 164.512(j)":    "THREAT",
		"accountable 164.512(e)":    "HLEGAL",
		"accountable 164.512(d)":    "GOV",
		"accountable 164.512(k)(1)": "MILCDM MILDCRG",
		"accountable 164.512(h)":    "DONAT",
		"accountable 164.512(g)":    "HDECD",
		"accountable 164.512(i)":    "HRESCH BIORCH CLINTRCH CLINTRCHNPC CLINTRCHPC PRECLINTRCH DSRCH POARCH TRANSRCH",
	} {
		for _, code := range strings.Fields(codes) {
			want[code] = group
		}
	}
	if len(want) != 59 || len(Purposes()) != 59 {
		t.Fatalf("%d codes wanted, %d there: the value set has 59", len(want), len(Purposes()))
	}
	for code, group := range want {
		p, ok := PurposeOf(hippad.Code{System: hippad.SystemActReason, Code: code})
		if !ok || len(p.Bases) == 0 {
			t.Fatalf("%s is not known", code)
		}
		b := basesOf(p.Bases...)
		if got := string(p.Verdict) + " " + b[0].Section; got != group || len(b) != len(p.Bases) {
			t.Errorf("%s: %s, want %s", code, got, group)
		}
		if p.Verdict == Exempt && b[0].Exempt == "" || p.Verdict == Accountable && slices.ContainsFunc(b, func(b Basis) bool { return b.Exempt != "" }) {
			t.Errorf("%s: the verdict does not follow from the bases", code)
		}
		if p.Verdict == Undecided && p.Unless == "" || p.Display == "" {
			t.Errorf("%s: without words", code)
		}
	}
	for _, c := range []hippad.Code{{}, {Code: "LEGAL"}, {Code: "treat"}, {System: "urn:x", Code: "TREAT"}, {System: SystemBasis, Code: "TREAT"}, {System: SystemBasis}} {
		if p, ok := PurposeOf(c); ok {
			t.Errorf("%v is %v", c, p.Code)
		}
	}
	for _, system := range []string{"", "urn:oid:2.16.840.1.113883.5.8", "http://hl7.org/fhir/v3/ActReason"} {
		if p, ok := PurposeOf(hippad.Code{System: system, Code: "DONAT"}); !ok || p.Verdict != Accountable {
			t.Errorf("%s: %v", system, p.Verdict)
		}
	}
}

// Each exempt paragraph of 164.528(a)(1) has a basis, and no basis of 164.512 but (k)(2) and (k)(5) is exempt.
func TestBases(t *testing.T) {
	exempt := map[string]bool{}
	for _, b := range Bases() {
		if b.Exempt != "" {
			exempt[b.Exempt] = true
		}
		family := strings.HasPrefix(b.Section, "164.512")
		if family && (b.Exempt != "") != (b.Section == "164.512(k)(2)" || b.Section == "164.512(k)(5)") {
			t.Errorf("%s: exempt by %q", b.Section, b.Exempt)
		}
		if b.Series != (b.Exempt == "" && (family || b.Section == "164.502(a)(2)(ii)")) {
			t.Errorf("%s: series %v (164.528(b)(3))", b.Section, b.Series)
		}
		if got, ok := BasisNamed(" " + strings.ToUpper(b.Name)); !ok || got != b {
			t.Errorf("%s is not found by its name", b.Name)
		}
		if p, ok := PurposeOf(PurposeOfBasis(b)); !ok || (p.Verdict == Exempt) != (b.Exempt != "") {
			t.Errorf("%s: as a purpose it is %v", b.Name, p.Verdict)
		}
	}
	if len(exempt) != 9 {
		t.Errorf("%d of the 9 exempt paragraphs: %v", len(exempt), exempt)
	}
	if b, ok := BasisNamed("45 CFR 164.512(B)"); !ok || b.Name != "public-health" {
		t.Errorf("%v", b)
	}
	for _, bad := range []string{"", "164.506", "164.5", "nothing"} {
		if b, ok := BasisNamed(bad); ok {
			t.Errorf("%q is %s", bad, b.Name)
		}
	}
}
