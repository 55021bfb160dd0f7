package regulation

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"hippad"
)

//go:embed overlays/*.json
var overlayFiles embed.FS

// An Overlay is a rule of a State that applies besides 45 CFR. It is data: nothing of it is compiled in but what its fields can say, and it is
// off unless LegalOptions.Overlays names it.
type Overlay struct {
	Name         string `json:"name"` // unique; what a notice under it is called
	Jurisdiction string `json:"jurisdiction"`
	Audience     string `json:"audience"` // who is told
	Trigger      string `json:"trigger"`  // detection, discovery: day 0 of the case; determination: the day it was decided to be a breach
	Days         int    `json:"n"`
	Unit         string `json:"unit"`                  // calendar or business
	MinResidents int    `json:"minResidents,omitzero"` // of the jurisdiction, below which it asks for nothing
	Op           string `json:"op,omitzero"`           // how they are compared: >= or >
	Individuals  bool   `json:"individuals,omitzero"`  // the audience is the individuals themselves: done when each resident has notice
	Cite         string `json:"cite"`
	Mark         string `json:"mark"`
	Note         string `json:"note,omitzero"`
}

// Overlays returns the rules of the named jurisdictions ("ca", "tx"), in the order of the names. Without names it returns none. Kind Invalid for a
// name that there is not.
func Overlays(names ...string) (all []Overlay, err error) {
	seen := map[string]bool{}
	for _, name := range names {
		if name = strings.ToLower(name); seen[name] {
			continue
		}
		seen[name] = true
		text, err := overlayFiles.ReadFile("overlays/" + name + ".json")
		if err != nil {
			return nil, hippad.Errorf(hippad.Invalid, "there is no overlay of that name").WithHint("there are %s", strings.Join(OverlayNames(), ", "))
		}
		var rules []Overlay
		if err := json.Unmarshal(text, &rules, json.RejectUnknownMembers(true)); err != nil {
			return nil, fmt.Errorf("overlay %s: %w", name, err)
		}
		for _, o := range rules {
			if err := o.check(); err != nil {
				return nil, fmt.Errorf("overlay %s: %w", name, err)
			}
			all = append(all, o)
		}
	}
	return all, nil
}

// OverlayNames lists the jurisdictions that there are overlays for.
func OverlayNames() (names []string) {
	files, _ := overlayFiles.ReadDir("overlays")
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), path.Ext(f.Name())))
	}
	return names
}

func (o Overlay) check() error {
	_, isState := ParseState(o.Jurisdiction)
	switch {
	case o.Name == "" || o.Audience == "" || o.Cite == "" || !isState || o.Days < 1:
		return fmt.Errorf("rule %q is not complete", o.Name)
	case !slices.Contains([]string{"V", "M", "C"}, o.Mark):
		return fmt.Errorf("rule %q has no mark", o.Name)
	case !slices.Contains([]string{"detection", "discovery", "determination"}, o.Trigger):
		return fmt.Errorf("rule %q begins with %q", o.Name, o.Trigger)
	case o.Unit != "calendar" && o.Unit != "business":
		return fmt.Errorf("rule %q counts in %q", o.Name, o.Unit)
	case (o.MinResidents > 0) != (o.Op != "") || o.Op != "" && o.Op != ">=" && o.Op != ">":
		return fmt.Errorf("rule %q compares by %q", o.Name, o.Op)
	}
	return nil
}

// applies tells whether so many residents are enough.
func (o Overlay) applies(residents int) bool {
	switch o.Op {
	case ">":
		return residents > o.MinResidents
	case ">=":
		return residents >= o.MinResidents
	}
	return residents > 0
}

// clocks returns the clock of the rule, none if it asks for nothing. A law enforcement delay under 164.412 is one of federal law: it moves nothing here.
func (o Overlay) clocks(f BreachFacts) []BreachClock {
	residents := f.Residents[o.Jurisdiction]
	if !o.applies(residents) {
		return nil
	}
	c := BreachClock{Notice: o.Name, State: o.Jurisdiction, To: o.Audience, Cite: o.Cite, Mark: o.Mark, Why: fmt.Sprintf("%d residents of %s", residents, StateName(o.Jurisdiction))}
	if o.Note != "" {
		c.Why += "; " + o.Note
	}
	if c.Begins = f.DayZero(); o.Trigger == "determination" {
		if c.Begins = f.Determined; c.Begins.IsZero() {
			c.Why += "; it begins when it is decided to be a breach"
			return []BreachClock{c}
		}
	}
	if c.Due = c.Begins.AddDays(o.Days); o.Unit == "business" {
		c.Due = AddBusinessDays(c.Begins, o.Days)
	}
	c.Last = c.Due
	return []BreachClock{c}
}
