package regulation

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PortalListColumns are the columns of the list that the portal of HHS publishes of breaches with 500 individuals or more, in their order. An export of 2026
// has names of Java objects in two places instead, so they are known by place too.
var PortalListColumns = [...]string{"Name of Covered Entity", "State", "Covered Entity Type", "Individuals Affected", "Breach Submission Date", "Type of Breach",
	"Location of Breached Information", "Business Associate Present", "Web Description"}

// A PublishedBreach is one row of that list.
type PublishedBreach struct {
	Name        string   `json:"name"`
	State       string   `json:"state,omitzero"`
	Kind        string   `json:"kind,omitzero"`        // one of EntityKinds
	Individuals int      `json:"individuals,omitzero"` // 0: not said
	Submitted   Date     `json:"submitted,omitzero"`
	Types       []string `json:"types,omitzero"` // of PortalTypes and PortalOldTypes
	Locations   []string `json:"locations,omitzero"`
	Associate   bool     `json:"associate,omitzero"`
	Description string   `json:"description,omitzero"`

	// Misfits says what of the row is empty or fits no list, by column; it quotes nothing.
	Misfits []string `json:"misfits,omitzero"`
}

var slashDate = regexp.MustCompile(`^([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})$`)

// ReadPublishedBreach makes a PublishedBreach from a row; cell gives what is in a column of PortalListColumns. It never fails: what does not fit
// is left out and named.
func ReadPublishedBreach(cell func(column string) string) PublishedBreach {
	p := PublishedBreach{Name: strings.Join(strings.Fields(cell(PortalListColumns[0])), " "), Description: strings.TrimSpace(cell(PortalListColumns[8]))}
	misfit := func(column int, why string) { p.Misfits = append(p.Misfits, PortalListColumns[column]+": "+why) }
	if p.Name == "" {
		misfit(0, "empty")
	}
	if state, ok := ParseState(cell(PortalListColumns[1])); ok {
		p.State = state
	} else {
		misfit(1, emptyOr(cell(PortalListColumns[1]), "not a State"))
	}
	if kind := Closest(cell(PortalListColumns[2]), EntityKinds[:]); kind != "" {
		p.Kind = kind
	} else {
		misfit(2, emptyOr(cell(PortalListColumns[2]), "not a type of entity"))
	}
	n, err := strconv.Atoi(strings.ReplaceAll(strings.TrimSpace(cell(PortalListColumns[3])), ",", ""))
	if err != nil || n < 0 {
		misfit(3, emptyOr(cell(PortalListColumns[3]), "not a number"))
	} else if p.Individuals = n; n < largeBreach {
		misfit(3, "fewer than 500, of which the portal publishes nothing")
	}
	if d, ok := parseSlashed(cell(PortalListColumns[4])); ok {
		p.Submitted = d
	} else {
		misfit(4, emptyOr(cell(PortalListColumns[4]), "not a day"))
	}
	var bad int
	if p.Types, bad = portalValues(cell(PortalListColumns[5]), slices.Concat(PortalTypes[:], PortalOldTypes[:])); bad > 0 {
		misfit(5, "not a type of breach")
	} else if len(p.Types) == 0 {
		misfit(5, "empty")
	}
	if p.Locations, bad = portalValues(cell(PortalListColumns[6]), PortalLocations[:]); bad > 0 {
		misfit(6, "not a location")
	} else if len(p.Locations) == 0 {
		misfit(6, "empty")
	}
	switch yes := strings.TrimSpace(cell(PortalListColumns[7])); {
	case strings.EqualFold(yes, "yes"):
		p.Associate = true
	case !strings.EqualFold(yes, "no"):
		misfit(7, emptyOr(yes, "neither Yes nor No"))
	}
	return p
}

func emptyOr(cell, otherwise string) string {
	if strings.TrimSpace(cell) == "" {
		return "empty"
	}
	return otherwise
}

// portalValues splits what the portal joins by ", ".
func portalValues(cell string, offered []string) (values []string, bad int) {
	for _, v := range strings.Split(cell, ",") {
		if v = strings.TrimSpace(v); v == "" {
			continue
		}
		if i := slices.IndexFunc(offered, func(o string) bool { return strings.EqualFold(o, v) }); i >= 0 {
			values = append(values, offered[i])
		} else {
			bad++
		}
	}
	slices.Sort(values)
	return slices.Compact(values), bad
}

// parseSlashed reads MM/DD/YYYY.
func parseSlashed(text string) (Date, bool) {
	m := slashDate.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return Date{}, false
	}
	t, err := time.Parse("1/2/2006", strings.TrimLeft(m[1], "0")+"/"+strings.TrimLeft(m[2], "0")+"/"+m[3])
	if err != nil {
		return Date{}, false
	}
	return DateOf(t, time.UTC), true
}
