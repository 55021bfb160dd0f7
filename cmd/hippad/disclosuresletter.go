package main

import (
	"fmt"
	"slices"
	"strings"

	"hippad/internal/disclosure"
	"hippad/internal/document"
	"hippad/internal/regulation"
)

// accountingDocument is an accounting as a patient reads it, or an officer.
func accountingDocument(o regulation.Organisation, a disclosure.Answer) *document.Document {
	d := &document.Document{
		Title: "Accounting of disclosures", Letterhead: append([]string{o.Name}, o.Address.Written()...), Date: a.Prepared.String(),
		Footer: "Accounting of disclosures under 45 CFR 164.528",
	}
	if a.Number != 0 {
		d.Reference = fmt.Sprintf("Accounting %d", a.Number)
	}
	if a.Officer {
		d.Title = "Accounting of disclosures: the officer's copy, not for the patient"
	}
	d.Blocks = append(d.Blocks, document.Fields{Rows: [][2]string{
		{"Patient", a.Patient}, {"Asked for on", a.Requested.String()}, {"Period", a.From.String() + " to " + a.To.String()},
	}}, document.Paragraph{Text: whatItIs(a)})
	if a.Open > 0 {
		d.Blocks = append(d.Blocks, document.Paragraph{Text: fmt.Sprintf("This is a draft: a decision on %d possible disclosures is still to be made.", a.Open)})
	}
	d.Blocks = append(d.Blocks, document.Heading{Level: 2, Text: "Disclosures"})
	if len(a.Rows) == 0 {
		d.Blocks = append(d.Blocks, document.Paragraph{Text: "There are none to account for in this period."})
	} else {
		d.Blocks = append(d.Blocks, accountTable(a))
	}
	d.Blocks = append(d.Blocks, researchBlocks(a)...)
	if len(a.Associates) > 0 {
		d.Blocks = append(d.Blocks, document.Heading{Level: 2, Text: "Our business associates"},
			document.Paragraph{Text: "Ask them for what they have disclosed (42 USC 17935(c)(3))."})
		t := document.Table{Head: []string{"Name", "Address", "Telephone"}}
		for _, p := range a.Associates {
			t.Rows = append(t.Rows, []string{p.Name, strings.Join(p.Address.Written(), ", "), p.Phone})
		}
		d.Blocks = append(d.Blocks, t)
	}
	if a.Officer {
		d.Blocks = append(d.Blocks, officerBlocks(a)...)
	} else {
		d.Blocks = append(d.Blocks, contactBlocks(o)...)
	}
	return d
}

// whatItIs says what is in an accounting and what is not, which two options change (regulation.LegalOptions).
func whatItIs(a disclosure.Answer) string {
	text := `This is the accounting of the disclosures of your protected health information that you have asked for. By law it leaves out, among others, disclosures for treatment, payment and health care operations, to yourself, and with your authorization`
	if slices.ContainsFunc(a.Rows, func(r regulation.Row) bool { return strings.HasPrefix(r.Clause, "42 ") }) {
		text += `, but for those that are listed because another law asks for them`
	}
	return text + "."
}

// accountTable has the four contents of 164.528(b)(2), and for the officer the clauses.
func accountTable(a disclosure.Answer) document.Table {
	t := document.Table{Head: []string{"Date", "To whom", "What", "Why", "Entry"}}
	if a.Officer {
		t.Head = append(t.Head, "Clause")
	}
	for _, r := range a.Rows {
		when := r.Date.String()
		if r.Count > 1 {
			when += fmt.Sprintf("\nand %d more,\nthe last on\n%s", r.Count-1, r.Last)
		}
		names, addresses := recipients(r.Recipients)
		to := strings.TrimSpace(names + "\n" + addresses)
		if r.By != "" {
			to += "\nby " + r.By
		}
		why := r.Purpose
		if len(r.Basis) > 0 {
			why += "\n(45 CFR " + strings.Join(r.Basis, " or ") + ")"
		}
		row := []string{when, to, r.What, why, someEntries(r.Entries)}
		if a.Officer {
			clause := r.Clause
			if r.Withheld != nil {
				clause += fmt.Sprintf("\nwithheld until %s: 164.528(a)(2), suspension %d", r.Withheld.Until, r.Withheld.Entry)
			}
			if r.Unless != "" {
				clause += "\nunless " + r.Unless
			}
			row = append(row, clause)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// someEntries are the first and last of a series: all of them are in JSON and CSV.
func someEntries(entries []int64) string {
	if len(entries) > 3 {
		return fmt.Sprintf("%d, %d ... %d", entries[0], entries[1], entries[len(entries)-1])
	}
	return strings.ReplaceAll(joinEntries(entries), " ", ", ")
}

// researchBlocks have the contents of 164.528(b)(4)(i).
func researchBlocks(a disclosure.Answer) (blocks []document.Block) {
	if len(a.Research) == 0 {
		return nil
	}
	blocks = append(blocks, document.Heading{Level: 2, Text: "Research"}, document.Paragraph{Text: regulation.ResearchStatement + " " + regulation.ResearchHelp})
	for _, p := range a.Research {
		first, last := p.Within(a.From, a.To)
		when := fmt.Sprintf("%s to %s, which was the last", first, last)
		if last != p.To {
			when = fmt.Sprintf("%s to %s, when this period ends: the last in it may have been on that day", first, last)
		}
		blocks = append(blocks, document.Fields{Rows: [][2]string{
			{"Protocol", p.Name}, {"Description", p.Description}, {"Type of information", p.Records}, {"Disclosed, or may have been", when},
			{"Sponsor", p.Sponsor.Name + ", " + p.Sponsor.Address + ", " + p.Sponsor.Phone},
			{"Researcher", p.Researcher.Name + ", " + p.Researcher.Address + ", " + p.Researcher.Phone},
		}})
	}
	return blocks
}

// officerBlocks are what the patient's copy leaves out.
func officerBlocks(a disclosure.Answer) (blocks []document.Block) {
	if len(a.Review) > 0 {
		t := document.Table{Head: []string{"Entry", "Date", "To whom", "Why a person has to say"}}
		for _, d := range a.Review {
			names, _ := recipients(d.Recipients)
			t.Rows = append(t.Rows, []string{fmt.Sprint(d.Entry), d.Date.String(), names, strings.Join(d.Reasons, "; ")})
		}
		blocks = append(blocks, document.Heading{Level: 2, Text: "Open"}, t)
	}
	if len(a.Exempt) > 0 {
		t := document.Table{Head: []string{"Clause", "Basis", "Unless", "How many", "Entries"}}
		for _, x := range a.Exempt {
			t.Rows = append(t.Rows, []string{x.Clause, x.Basis, x.Unless, fmt.Sprint(len(x.Entries)), someEntries(x.Entries)})
		}
		blocks = append(blocks, document.Heading{Level: 2, Text: "Exempt"}, t)
	}
	return append(blocks, document.Paragraph{Text: fmt.Sprintf("Looked for: %s. The log had %d entries. This says what the program computes; it is not legal advice.", strings.Join(a.Tried, ", "), a.Size)})
}

// contactBlocks say whom to ask.
func contactBlocks(o regulation.Organisation) []document.Block {
	c := o.Contact
	var ways []string
	for _, w := range []string{c.TollFree, c.Phone, c.Email, c.Web} {
		if w != "" && !slices.Contains(ways, w) {
			ways = append(ways, w)
		}
	}
	who := strings.TrimSpace(c.First + " " + c.Last)
	if c.Title != "" {
		who = strings.TrimPrefix(who+", "+c.Title, ", ")
	}
	if who == "" && len(ways) == 0 {
		return nil
	}
	return []document.Block{document.Paragraph{Text: strings.TrimSpace("If you have questions: " + strings.TrimPrefix(who+": "+strings.Join(ways, ", "), ": "))}}
}

// accessDocument is an access report as a patient reads it, or an officer.
func accessDocument(o regulation.Organisation, r regulation.AccessReport) *document.Document {
	d := &document.Document{
		Title: "Who has used your health information", Letterhead: append([]string{o.Name}, o.Address.Written()...), Date: r.Prepared.String(),
		Footer: "Access report. No law in force requires it (proposed in 76 FR 31426, never made final).",
	}
	if r.Officer {
		d.Title = "Access report: the officer's copy, not for the patient"
	}
	period := "all that the log has"
	if !r.From.IsZero() || !r.To.IsZero() {
		period = firstOf(r.From.String(), "the beginning") + " to " + firstOf(r.To.String(), "today")
	}
	d.Blocks = append(d.Blocks, document.Fields{Rows: [][2]string{{"Patient", r.Patient}, {"Period", period}}})
	if len(r.Accesses) == 0 {
		d.Blocks = append(d.Blocks, document.Paragraph{Text: "Nobody has in this period, as far as the systems report it."})
	}
	t := document.Table{Head: []string{"Day", "Who", "What was done", "Why", "Times"}}
	if r.Officer {
		t.Head = append(t.Head, "Where", "Entries")
	}
	for _, x := range r.Accesses {
		who := x.Who
		if x.Role != "" {
			who += ", " + x.Role
		}
		if x.Outside {
			who += "\n(another organisation)"
		}
		times := fmt.Sprint(x.Count)
		if x.Failed > 0 {
			times += fmt.Sprintf(", %d failed", x.Failed)
		}
		did := strings.Join(x.Did, ", ")
		if len(x.What) > 0 {
			did += ": " + strings.Join(x.What, ", ")
		}
		row := []string{firstOf(x.Day.String(), "not known"), who, did, firstOf(strings.Join(x.Why, ", "), "not stated"), times}
		if r.Officer {
			if x.ID != "" && x.ID != x.Who {
				row[1] += "\n" + x.ID
			}
			row = append(row, strings.Join(append(slices.Clone(x.Sources), x.Addresses...), ", "), someEntries(x.Entries))
		}
		t.Rows = append(t.Rows, row)
	}
	if len(t.Rows) > 0 {
		d.Blocks = append(d.Blocks, t)
	}
	if r.Officer {
		d.Blocks = append(d.Blocks, document.Paragraph{Text: fmt.Sprintf("Looked for: %s. The log had %d entries.", strings.Join(r.Tried, ", "), r.Size)})
	} else {
		d.Blocks = append(d.Blocks, contactBlocks(o)...)
	}
	return d
}
