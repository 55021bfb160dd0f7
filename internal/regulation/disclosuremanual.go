package regulation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hippad"
)

// A Manual disclosure is one that no system has reported: by paper, telephone or fax, or from the list of a business associate, which makes what it
// knows available for accountings (164.504(e)(2)(ii)(G)).
type Manual struct {
	Patient    string `json:"patient"` // identifier, in any form
	Date       Date   `json:"date"`
	To         string `json:"to"`                  // the recipient's name
	Identifier string `json:"identifier,omitzero"` // and identifier, in any form
	Address    string `json:"address,omitzero"`    // if known
	Phone      string `json:"phone,omitzero"`
	What       string `json:"what"`               // brief description of what was disclosed
	Basis      string `json:"basis,omitzero"`     // name or section of a Basis; or else
	Purpose    string `json:"purpose,omitzero"`   // a code of v3-PurposeOfUse
	Why        string `json:"why,omitzero"`       // the purpose in words; empty: those of the basis
	By         string `json:"by,omitzero"`        // the business associate that made it; empty: the organisation
	Reference  string `json:"reference,omitzero"` // tells apart two that are else the same
}

// String hides who and what.
func (m Manual) String() string { return "manual disclosure" }

// GoString hides who and what under %#v.
func (m Manual) GoString() string { return m.String() }

// LogValue hides who and what in slog.
func (m Manual) LogValue() slog.Value { return slog.StringValue(m.String()) }

const longestText = 2000 // bytes of one of its texts

// Check tells whether it has what an accounting needs. Kind Invalid if not, in words that quote nothing.
func (m Manual) Check(today Date) error {
	for _, x := range []struct {
		name, text string
		needed     bool
	}{
		{"the patient", m.Patient, true}, {"the recipient", m.To, true}, {"what was disclosed", m.What, true}, {"the address", m.Address, false},
		{"the identifier", m.Identifier, false}, {"the telephone number", m.Phone, false}, {"the purpose in words", m.Why, false},
		{"who made it", m.By, false}, {"the reference", m.Reference, false},
	} {
		switch {
		case x.needed && strings.TrimSpace(x.text) == "":
			return hippad.Errorf(hippad.Invalid, "%s is missing", x.name)
		case len(x.text) > longestText:
			return hippad.Errorf(hippad.Invalid, "%s has more than %d bytes", x.name, longestText)
		case !utf8.ValidString(x.text) || strings.ContainsFunc(x.text, unicode.IsControl):
			return hippad.Errorf(hippad.Invalid, "%s is not plain text in one line", x.name)
		}
	}
	switch {
	case hippad.NewTerm(hippad.FieldPatient, m.Patient).Value == "":
		return hippad.Errorf(hippad.Invalid, "the patient is missing")
	case m.Date.IsZero():
		return hippad.Errorf(hippad.Invalid, "the day is missing")
	case m.Date.After(today):
		return hippad.Errorf(hippad.Invalid, "the day is yet to come")
	case m.Date.Before(firstDay):
		return hippad.Errorf(hippad.Invalid, "the day is before there was a rule to disclose by")
	}
	_, err := m.code()
	return err
}

// code is what the event names as its purpose.
func (m Manual) code() (hippad.Code, error) {
	purpose, known := PurposeOf(hippad.Code{System: hippad.SystemActReason, Code: strings.ToUpper(strings.TrimSpace(m.Purpose))})
	switch {
	case m.Purpose != "" && !known:
		return hippad.Code{}, hippad.Errorf(hippad.Invalid, "the purpose is no code of v3-PurposeOfUse").WithHint("like PUBHLTH; or name a basis, like public-health")
	case m.Basis != "":
		b, ok := BasisNamed(m.Basis)
		if !ok {
			return hippad.Code{}, hippad.Errorf(hippad.Invalid, "the basis is not known").WithHint("one of %s", strings.Join(BasisNames(), ", "))
		}
		return PurposeOfBasis(b), nil
	case m.Purpose == "":
		return hippad.Code{}, hippad.Errorf(hippad.Invalid, "neither a basis nor a purpose is given").WithHint("one of %s", strings.Join(BasisNames(), ", "))
	}
	return hippad.Code{System: hippad.SystemActReason, Code: purpose.Code, Display: purpose.Display}, nil
}

const systemManualKey = "urn:x-hippad:manual-disclosure"

// Key is the identifier that the data of its event has: the same for the same disclosure, so that a list can be read twice.
func (m Manual) Key() hippad.Identifier {
	m.Patient = hippad.NewTerm(hippad.FieldPatient, m.Patient).Value
	if b, ok := BasisNamed(m.Basis); ok {
		m.Basis = b.Name
	}
	h := sha256.New()
	for _, text := range []string{m.Patient, m.Date.String(), m.To, m.Identifier, m.Address, m.Phone, m.What, m.Basis, strings.ToUpper(m.Purpose), m.Why, m.By, m.Reference} {
		fmt.Fprintf(h, "%d:%s", len(strings.TrimSpace(text)), strings.TrimSpace(text))
	}
	return hippad.Identifier{System: systemManualKey, Value: hex.EncodeToString(h.Sum(nil)[:16])}
}

// Event is what is reported of it: a disclosure as IHE BALP PrivacyDisclosure.Source has it, by an officer, at a moment, to the log self. It happened at noon of
// its day, which is that day in every zone an organisation may move to. Kind Invalid if Check does not hold it for good.
func (m Manual) Event(o *Organisation, self string, officer hippad.Principal, at time.Time) (hippad.Event, error) {
	code, err := m.code()
	if err != nil {
		return hippad.Event{}, err
	}
	dcm := func(code, display string) hippad.Code {
		return hippad.Code{System: hippad.SystemDCM, Code: code, Display: display}
	}
	observer := hippad.Reference{Identifier: hippad.Identifier{System: SystemManual, Value: self}}
	source := hippad.Agent{Who: observer, Name: o.Name, Type: dcm(roleSource, "Source Role ID"), Address: self, AddressType: "1"}
	if m.By != "" {
		source.Who, source.Name = hippad.Reference{Display: m.By}, m.By
	}
	to := hippad.Agent{Who: hippad.Reference{Display: m.To}, Name: m.To, Type: dcm(roleDestination, "Destination Role ID"), Location: hippad.Reference{Display: m.Address}}
	if m.Identifier != "" {
		to.Who = hippad.Reference{Identifier: hippad.ParseIdentifier(m.Identifier), Display: m.To}
	}
	if m.Phone != "" {
		to.Address, to.AddressType = m.Phone, "3"
	}
	noon := m.Date.In(o.Zone()).Add(12 * time.Hour).UTC()
	data := hippad.Entity{
		What: hippad.Reference{Identifier: m.Key()}, Type: hippad.Code{System: hippad.SystemEntityType, Code: "2", Display: "System Object"},
		Role:      hippad.Code{System: hippad.SystemObjectRole, Code: "3", Display: "Report"},
		Lifecycle: hippad.Code{System: hippad.SystemLifecycle, Code: "11", Display: "Disclosure"}, Description: m.What,
	}
	if m.Why != "" {
		data.Details = append(data.Details, hippad.Detail{Type: DetailPurpose, Value: []byte(m.Why)})
	}
	if m.Reference != "" {
		data.Details = append(data.Details, hippad.Detail{Type: "hippad/1 reference", Value: []byte(m.Reference)})
	}
	return hippad.Event{
		Type:     dcm(typeExport, "Export"),
		Subtypes: []hippad.Code{{System: "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", Code: "disclose", Display: "Disclose Record Lifecycle Event"}},
		Action:   "R", Outcome: "0", Recorded: at.UTC().Truncate(time.Microsecond), Occurred: hippad.Period{Start: noon, End: noon},
		Purposes: []hippad.Code{code},
		Agents: []hippad.Agent{source, to, {
			Who: hippad.Reference{Identifier: hippad.Identifier{Value: officer.String()}}, Name: cmp.Or(officer.Name, officer.ID), Requestor: true,
		}},
		Source: hippad.Source{Observer: observer},
		Entities: []hippad.Entity{{
			What: patientReference(m.Patient), Type: hippad.Code{System: hippad.SystemEntityType, Code: "1", Display: "Person"},
			Role: hippad.Code{System: hippad.SystemObjectRole, Code: "1", Display: "Patient"},
		}, data},
	}, nil
}

// patientReference is the patient as FHIR points at one: by a literal reference where that is one, else by an identifier.
func patientReference(text string) hippad.Reference {
	if r := (hippad.Reference{Literal: strings.TrimSpace(text)}); r.IsPatient() {
		return r
	}
	return hippad.Reference{Identifier: hippad.ParseIdentifier(text)}
}
