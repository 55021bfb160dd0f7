package port

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A Page is everything that is known of one number here and now.
type Page struct {
	Port          uint16     `json:"port"`
	Tier          Tier       `json:"tier"`
	TierRange     Range      `json:"tierRange"`
	Host          *Host      `json:"host,omitempty"`
	Ephemeral     *bool      `json:"ephemeral,omitzero"` // whether connections of this host may take it; nil where the host was not asked
	Registrations []Record   `json:"registrations"`
	Registry      Dates      `json:"registry"`
	Remarks       []string   `json:"remarks"` // on the registration, such as a typo that is IANA's
	Same          []Related  `json:"sameAssignee"`
	Status        Status     `json:"status"`
	Evidence      []Evidence `json:"evidence"`
	AlsoSeen      []Evidence `json:"alsoSeen"` // who else is known to use the number
	View          *View      `json:"view,omitempty"`
	Traffic       *Traffic   `json:"traffic,omitempty"` // of this machine's own daemon, where it listens on the port
	Probe         *Finding   `json:"probe,omitempty"`
}

// Dates says of when a copy of the registry is.
type Dates struct {
	Source      string `json:"source"`
	NamesAsOf   string `json:"namesAsOf"`
	DetailsAsOf string `json:"detailsAsOf"`
	// FixesAsOf is the month of IANA's own page, where a row is from there: neither copy has it as it is.
	FixesAsOf string `json:"fixesAsOf,omitzero"`
}

// Related is another number of the same assignee.
type Related struct {
	Port Range  `json:"port"`
	Name string `json:"name"`
}

// Traffic counts what came to the daemon's port and belonged to none of its doors.
type Traffic struct {
	Since      time.Time    `json:"since"`
	Unexpected int64        `json:"unexpected"`
	Labels     []LabelCount `json:"labels"` // most frequent first
}

// A LabelCount is how often a label was given, with what the sender may be up to.
type LabelCount struct {
	Label      string `json:"label"`
	Hypothesis string `json:"hypothesis,omitzero"`
	Count      int64  `json:"count"`
}

// A Desk makes pages.
type Desk struct {
	Registry *Registry
	// Look returns the listeners; nil leaves them out of the pages.
	Look func(Want) (View, error)
	// Host returns what this machine does with its ports; nil leaves it out.
	Host func() Host
	// Services returns the names of this machine's services file for a number; nil for none.
	Services func(n uint16) []string
	// Traffic returns what unexpected traffic this machine's own daemon has counted on a port; nil, or false, when there is none
	// that listens on it.
	Traffic func(n uint16) (Traffic, bool)
}

// Local returns the desk of this machine.
func Local(r *Registry) *Desk {
	return &Desk{Registry: r, Look: Listeners, Host: ReadHost, Services: func(n uint16) []string {
		name := "/etc/services"
		if runtime.GOOS == "windows" {
			name = os.Getenv("SystemRoot") + `\System32\drivers\etc\services`
		}
		f, err := os.Open(name)
		if err != nil {
			return nil
		}
		defer f.Close()
		return Services(f, n)
	}}
}

// Page makes the page of a number. The error is for a machine that tells nothing of its listeners.
func (d *Desk) Page(n uint16) (Page, error) {
	p := d.registration(n)
	if d.Look != nil {
		v, err := d.Look(Want{Ports: []Range{{n, n}}, Owners: true})
		if err != nil {
			return p, err
		}
		p.View = &v
	}
	if d.Traffic != nil {
		if t, ok := d.Traffic(n); ok {
			p.Traffic = &t
		}
	}
	return p, nil
}

// Pages makes the pages of all numbers of some ranges of which anything is known, with one look at the listeners.
func (d *Desk) Pages(ranges []Range) (pages []Page, v View, err error) {
	if d.Look != nil {
		if v, err = d.Look(Want{Ports: ranges, Owners: true}); err != nil {
			return nil, v, err
		}
	}
	few := Desk{Registry: d.Registry} // the host and its services file are the same for all
	for _, r := range ranges {
		for n := int(r.First); n <= int(r.Last); n++ {
			here := View{Listeners: []Listener{}, Complete: v.Complete, AllPorts: v.AllPorts, Hidden: v.Hidden, Source: v.Source, Untested: v.Untested}
			for _, l := range v.Listeners {
				if int(l.Port) == n {
					here.Listeners = append(here.Listeners, l)
				}
			}
			if len(here.Listeners) == 0 && len(d.Registry.Lookup(uint16(n))) == 0 && wellKnownUse(uint16(n)) == "" {
				continue
			}
			p := few.registration(uint16(n))
			if d.Look != nil {
				p.View = &here
			}
			pages = append(pages, p)
		}
	}
	return pages, v, nil
}

// registration makes a page without what listens.
func (d *Desk) registration(n uint16) Page {
	p := Page{Port: n, Tier: TierOf(n), TierRange: TierOf(n).Range(), Registrations: d.Registry.Lookup(n), Remarks: []string{}, Same: []Related{},
		Registry: Dates{Source: d.Registry.Source, NamesAsOf: d.Registry.NamesAsOf, DetailsAsOf: d.Registry.DetailsAsOf}}
	if d.Host != nil {
		h := d.Host()
		takes := h.TakesEphemeral(n)
		p.Host, p.Ephemeral = &h, &takes
	}
	var services []string
	if d.Services != nil {
		services = d.Services(n)
	}
	p.Status, p.Evidence, p.AlsoSeen = assess(n, d.Registry, services)
	for i, r := range p.Registrations {
		if strings.Contains(r.Description, "HIPPA") {
			p.remark("[sic: the law is HIPAA]")
		}
		if full := fullName(r.Assignee); full != "" {
			p.remark(full + " (IANA cuts the name at 20 characters)")
		}
		if r.From == FromFix {
			p.Registry.FixesAsOf = fixesAsOf
		}
		if i == 0 {
			p.Same = d.same(r)
		}
	}
	for _, list := range []*[]Evidence{&p.Evidence, &p.AlsoSeen} {
		if *list == nil {
			*list = []Evidence{}
		}
	}
	if p.Registrations == nil {
		p.Registrations = []Record{}
	}
	return p
}

func (p *Page) remark(s string) {
	if !slices.Contains(p.Remarks, s) {
		p.Remarks = append(p.Remarks, s)
	}
}

// maxSame is how many other numbers of an assignee are worth a line; the IESG has hundreds.
const maxSame = 8

// same finds the other numbers of an assignee who has few.
func (d *Desk) same(r Record) []Related {
	out := []Related{}
	if r.Assignee == "" || !r.Assigned() {
		return out
	}
	for _, x := range d.Registry.AssignedTo(r.Assignee) {
		related := Related{Range{x.First, x.Last}, x.Name}
		if x.Assigned() && x.First != r.First && !slices.Contains(out, related) {
			out = append(out, related)
		}
	}
	if len(out) > maxSame {
		return []Related{}
	}
	return out
}

// Free returns the first user port of a range that nothing holds and nobody is registered for, and that connections of this machine do
// not take; false when there is none. The listeners must be of all ports.
func (d *Desk) Free(in Range, v View) (uint16, bool) {
	taken := map[uint16]bool{}
	for _, l := range v.Listeners {
		taken[l.Port] = true
	}
	h := Host{}
	if d.Host != nil {
		h = d.Host()
	}
	for n := int(max(in.First, User.Range().First)); n <= int(min(in.Last, User.Range().Last)); n++ {
		if at := uint16(n); !taken[at] && !h.TakesEphemeral(at) && len(d.Registry.Lookup(at)) == 0 && wellKnownUse(at) == "" {
			return at, true
		}
	}
	return 0, false
}

// wellKnownUse is what a number that nobody has registered is known for; empty for nothing.
func wellKnownUse(n uint16) string {
	for cells := range linesOf(wellKnown, Range{n, n}.String()) {
		return cells[3]
	}
	return ""
}

// Line is what the registry says of a number in one line, for lists. A name is never given as if it were the program.
func (d *Desk) Line(n uint16) string {
	var names []string
	for _, r := range d.Registry.Lookup(n) {
		if r.Assigned() && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	status, _, _ := assess(n, d.Registry, nil)
	text := string(status)
	if len(names) > 0 {
		text = "registered: " + strings.Join(names, ", ") + " (" + text + ")"
		if status == StatusUnknown {
			text = "registered: " + strings.Join(names, ", ") + " (use unknown)"
		}
	}
	if use := otherUse(n); use != "" {
		text += "; known for " + use
	}
	return text
}

func otherUse(n uint16) string {
	for cells := range linesOf(wellKnown, Range{n, n}.String()) {
		if cells[1] == "other" {
			return cells[3]
		}
	}
	return ""
}
