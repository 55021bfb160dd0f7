package regulation

import (
	"fmt"
	"slices"
	"strings"
)

// What the breach portal of HHS offers to choose from, with its spelling. The lists of types, locations and entities are verified with what the portal
// publishes; those of PHI, safeguards and actions are not.
var (
	// PortalTypes are the types of breach (V).
	PortalTypes = [...]string{"Hacking/IT Incident", "Improper Disposal", "Loss", "Theft", "Unauthorized Access/Disclosure"}
	// PortalOldTypes are published of old breaches and no longer offered (V).
	PortalOldTypes = [...]string{"Other", "Unknown"}
	// PortalLocations are where the PHI was (V).
	PortalLocations = [...]string{"Desktop Computer", "Electronic Medical Record", "Email", "Laptop", "Network Server", "Other Portable Electronic Device", "Paper/Films", "Other"}
	// PortalPHI are the types of PHI (M).
	PortalPHI = [...]string{"Clinical: Diagnosis/Conditions", "Clinical: Lab Results", "Clinical: Medications", "Clinical: Other Treatment Information",
		"Demographic: Address/ZIP", "Demographic: Date of Birth", "Demographic: Driver's License", "Demographic: Name", "Demographic: SSN", "Demographic: Other Identifier",
		"Financial: Claims Information", "Financial: Credit Card/Bank Acct #", "Financial: Other Financial Information", "Other"}
	// PortalSafeguards are those in place before (None and Privacy Rule V, the others M).
	PortalSafeguards = [...]string{"None", "Privacy Rule Safeguards (Training, Policies and Procedures, etc.)",
		"Security Rule Administrative Safeguards (Risk Analysis, Risk Management, etc.)",
		"Security Rule Physical Safeguards (Facility Access Controls, Workstation Security, etc.)",
		"Security Rule Technical Safeguards (Access Controls, Transmission Security, etc.)"}
	// PortalActions are those taken in response (M).
	PortalActions = [...]string{"Adopted encryption technologies", "Changed password/strengthened password requirements",
		"Created a new/updated Security Rule Risk Management Plan", "Implemented new technical safeguards", "Implemented periodic technical and nontechnical evaluations",
		"Improved physical security", "Performed a new/updated Security Rule Risk Analysis", "Provided business associate with additional training on HIPAA requirements",
		"Provided individuals with free credit monitoring", "Revised business associate contracts", "Revised policies and procedures",
		"Sanctioned workforce members involved (including termination)", "Took steps to mitigate harm", "Trained or retrained workforce members", "Other"}
	// PortalRoles are as whom the report is filed (V).
	PortalRoles = [...]string{"Covered Entity filing for its own organization", "Business Associate filing on behalf of a Covered Entity", "Covered Entity filing because the breach occurred at or by a Business Associate"}
)

// maxPortalDescription is about how many letters the portal takes (M).
const maxPortalDescription = 4000

// PortalAnswers are what people say for the portal besides what the case knows: 164.408, section 2.8 of what the form asks.
type PortalAnswers struct {
	Types        []string `json:"types,omitzero"` // empty: what the cause of the case means
	Locations    []string `json:"locations,omitzero"`
	PHI          []string `json:"phi,omitzero"`
	Safeguards   []string `json:"safeguards,omitzero"`
	Actions      []string `json:"actions,omitzero"`
	OtherActions string   `json:"otherActions,omitzero"`
	Description  string   `json:"description,omitzero"`
	AddendumTo   string   `json:"addendumTo,omitzero"` // tracking number of the report that this one corrects
}

// Wrong lists the answers that the portal does not offer, with the closest that it does.
func (a PortalAnswers) Wrong() (wrong []string) {
	check := func(name string, given, offered []string) {
		for _, g := range given {
			if slices.Contains(offered, g) {
				continue
			}
			text := name + ": " + fmt.Sprintf("%q", g) + " is not offered"
			if near := Closest(g, offered); near != "" {
				text += fmt.Sprintf(", did you mean %q?", near)
			}
			wrong = append(wrong, text)
		}
	}
	check("type of breach", a.Types, PortalTypes[:])
	check("location", a.Locations, PortalLocations[:])
	check("type of PHI", a.PHI, PortalPHI[:])
	check("safeguards", a.Safeguards, PortalSafeguards[:])
	check("actions taken", a.Actions, PortalActions[:])
	if len(a.Safeguards) > 1 && slices.Contains(a.Safeguards, "None") {
		wrong = append(wrong, "safeguards: None together with others")
	}
	if n := len([]rune(a.Description)); n > maxPortalDescription {
		wrong = append(wrong, fmt.Sprintf("description: %d letters, about %d fit", n, maxPortalDescription))
	}
	return wrong
}

// Closest returns the one of the offered values that a text means but for case, spaces and punctuation, or that alone begins with it; empty if there is none.
func Closest(text string, offered []string) string {
	letters := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, strings.ToLower(s))
	}
	asked, found := letters(text), ""
	if asked == "" {
		return ""
	}
	for _, o := range offered {
		_, leaf, _ := strings.Cut(o, ": ")
		if letters(o) == asked || leaf != "" && letters(leaf) == asked {
			return o
		}
	}
	for _, o := range offered {
		_, leaf, _ := strings.Cut(o, ": ")
		if strings.HasPrefix(letters(o), asked) || leaf != "" && strings.HasPrefix(letters(leaf), asked) {
			if found != "" {
				return ""
			}
			found = o
		}
	}
	return found
}

// A PortalField is one field of the portal's form, in its order.
type PortalField struct {
	Step   string   `json:"step"`
	Name   string   `json:"name"`
	Values []string `json:"values"`
	Needed bool     `json:"needed"`
}

// A PortalSheet is everything that the form asks, filled in as far as it is known.
type PortalSheet []PortalField

// PortalFacts is what a sheet is made from.
type PortalFacts struct {
	Organisation    *Organisation
	Answers         PortalAnswers
	Cause           Cause
	Happened, Ended Date
	Discovered      Date // the day on which it is treated as discovered, and the one on which it was
	Known           Date
	Individuals     int
	Media           []string // States whose media were told, or are due to be
	NoticeFrom      Date     // first and last individual notice
	NoticeUntil     Date
	Substitutes     int        // individuals who had, or need, substitute notice
	AtAssociate     *Associate // where it occurred, if at a business associate
	CoveredEntities []string   // whom a business associate files for
}

// NewPortalSheet fills in the form for the notice to the Secretary: 164.408. What is not known is empty, and Missing names it.
func NewPortalSheet(f PortalFacts) PortalSheet {
	var s PortalSheet
	step := ""
	one := func(name, value string, needed bool) {
		x := PortalField{Step: step, Name: name, Needed: needed}
		if strings.TrimSpace(value) != "" {
			x.Values = []string{value}
		}
		s = append(s, x)
	}
	many := func(name string, values []string) {
		s = append(s, PortalField{Step: step, Name: name, Values: slices.Sorted(slices.Values(values)), Needed: true})
	}
	step = "General"
	if f.Answers.AddendumTo != "" {
		one("Report type", "Addendum to Previous Report", true)
		one("Tracking number", f.Answers.AddendumTo, true)
	} else {
		one("Report type", "Initial Breach Report", true)
	}
	size := ""
	if f.Individuals >= largeBreach {
		size = "500 or More Individuals"
	} else if f.Individuals > 0 {
		size = "Fewer Than 500 Individuals"
	}
	one("Breach affecting", size, true)
	step = "Contact"
	s = append(s, contactFields(f)...)
	step = "Breach"
	one("Breach start date", slashed(f.Happened), true)
	ended := f.Ended
	if ended.IsZero() {
		ended = f.Happened
	}
	one("Breach end date", slashed(ended), true)
	one("Discovery start date", slashed(f.Discovered), true)
	known := f.Known
	if known.IsZero() {
		known = f.Discovered
	}
	one("Discovery end date", slashed(known), true)
	one("Approximate number of individuals affected", counted(f.Individuals), true)
	types := f.Answers.Types
	if t := f.Cause.PortalType(); len(types) == 0 && t != "" {
		types = []string{t}
	}
	many("Type of breach", types)
	many("Location of breach", f.Answers.Locations)
	many("Type of protected health information involved", f.Answers.PHI)
	one("Brief description", f.Answers.Description, true)
	many("Safeguards in place prior to breach", f.Answers.Safeguards)
	step = "Notice of Breach and Actions Taken"
	one("Individual notice provided start date", slashed(f.NoticeFrom), true)
	one("Individual notice provided end date", slashed(f.NoticeUntil), true)
	substitute := "No"
	if f.Substitutes >= substituteMany {
		substitute = "Yes: 10 or more"
	} else if f.Substitutes > 0 {
		substitute = "Yes: fewer than 10"
	}
	one("Was substitute notice required?", substitute, true)
	media := "No"
	if len(f.Media) > 0 {
		media = "Yes: " + strings.Join(f.Media, ", ")
	}
	one("Was media notice required?", media, true)
	many("Actions taken in response to breach", f.Answers.Actions)
	one("Other actions taken", f.Answers.OtherActions, slices.Contains(f.Answers.Actions, "Other"))
	step = "Attestation"
	one("Name", "", false) // signed by a person, on the portal
	one("Date", "", false)
	return s
}

func contactFields(f PortalFacts) (s PortalSheet) {
	o := f.Organisation
	add := func(step, name, value string, needed bool) {
		x := PortalField{Step: step, Name: name, Needed: needed}
		if strings.TrimSpace(value) != "" {
			x.Values = []string{value}
		}
		s = append(s, x)
	}
	role := PortalRoles[0]
	switch {
	case o.Kind == "Business Associate":
		role = PortalRoles[1]
	case f.AtAssociate != nil:
		role = PortalRoles[2]
	}
	entity := func(step, name, kind string, a Address) {
		add(step, "Name", name, true)
		if kind != "-" {
			add(step, "Type", kind, true)
		}
		for i := range 2 {
			line := ""
			if i < len(a.Lines) {
				line = a.Lines[i]
			}
			add(step, fmt.Sprintf("Street address line %d", i+1), line, i == 0)
		}
		add(step, "City", a.City, true)
		add(step, "State", a.State, true)
		add(step, "ZIP", a.ZIP, true)
	}
	add("Contact", "Filing as", role, true)
	kind := o.Kind
	if role == PortalRoles[1] {
		kind = "-"
	}
	entity("Contact", o.Name, kind, o.Address)
	person := func(step string, c Contact) {
		add(step, "First name", c.First, true)
		add(step, "Last name", c.Last, true)
		add(step, "Email", c.Email, true)
		add(step, "Phone", c.Phone, true)
		add(step, "Phone usage", "Work", true)
	}
	person("Contact", o.Contact)
	if a := f.AtAssociate; a != nil {
		entity("Business Associate", a.Name, "-", a.Address)
		c := a.Contact
		if c.Phone == "" {
			c.Phone = a.Phone
		}
		person("Business Associate", c)
	}
	if role == PortalRoles[1] {
		s = append(s, PortalField{Step: "Covered Entities", Name: "Covered entities on whose behalf it is filed", Values: f.CoveredEntities, Needed: true})
	}
	return s
}

// Missing names the fields that the form needs and that are empty.
func (s PortalSheet) Missing() (missing []string) {
	for _, f := range s {
		if f.Needed && len(f.Values) == 0 {
			missing = append(missing, f.Step+": "+f.Name)
		}
	}
	return missing
}

// slashed writes a day as the portal wants it.
func slashed(d Date) string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%02d/%02d/%04d", d.Month, d.Day, d.Year)
}

func counted(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
