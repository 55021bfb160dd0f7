package regulation

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"hippad"
)

const (
	maxConfig   = 1 << 20 // bytes
	maxClasses  = 64
	maxTerms    = 1000 // of one class
	minOverride = 10   // letters of a written reason
	maxOverride = 2000
)

// configJSON is the file:
//
//	{"classes": [
//	  {"name": "default", "years": 10},
//	  {"name": "minors", "years": 25, "match": [{"field": "_organisation", "any": ["Children's Hospital"]}]}
//	]}
type configJSON struct {
	Classes []classJSON `json:"classes"`
}

type classJSON struct {
	Name     string      `json:"name"`
	Years    int         `json:"years"`
	Match    []matchJSON `json:"match"`
	Override string      `json:"override"`
}

type matchJSON struct {
	Field string   `json:"field"`
	Any   []string `json:"any"`
}

var goodName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Parse reads the configuration of the classes. A class shorter than MinYears needs an override: the reason in writing. Errors
// are of kind Invalid and name the class.
func Parse(r io.Reader) (*Classes, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read the classes of retention: %w", err)
	}
	if len(text) > maxConfig {
		return nil, hippad.Errorf(hippad.Invalid, "the classes of retention have more than %d bytes", maxConfig)
	}
	var in configJSON
	if err := json.Unmarshal(text, &in, json.RejectUnknownMembers(true)); err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "the classes of retention: %w", err)
	}
	if len(in.Classes) > maxClasses {
		return nil, hippad.Errorf(hippad.Invalid, "%d classes of retention: want at most %d", len(in.Classes), maxClasses)
	}
	out := &Classes{defaults: Class{Name: Default, Years: MinYears}}
	seen := map[string]bool{}
	for i, j := range in.Classes {
		k, err := j.class()
		if err == nil && seen[k.Name] {
			err = fmt.Errorf("it is there twice")
		}
		if err != nil {
			return nil, hippad.Errorf(hippad.Invalid, "class %d of retention (%q): %w", i+1, j.Name, err)
		}
		seen[k.Name] = true
		if k.Name == Default {
			out.defaults = k
		} else {
			out.byYears = append(out.byYears, k)
		}
	}
	slices.SortStableFunc(out.byYears, byLength)
	return out, nil
}

func (j classJSON) class() (Class, error) {
	k := Class{Name: j.Name, Years: j.Years, Override: strings.TrimSpace(j.Override)}
	switch words := utf8.RuneCountInString(k.Override); {
	case !goodName.MatchString(k.Name):
		return k, fmt.Errorf("a name is 1 to 32 of a to z, 0 to 9 and -")
	case k.Name == Self, k.Name == Held, k.Name == HeldAgain, strings.HasPrefix(k.Name, untilPrefix):
		return k, fmt.Errorf("the name is taken for the log's own use")
	case k.Years < 1, k.Years > maxYears:
		return k, fmt.Errorf("%d years: want %d to %d", k.Years, MinYears, maxYears)
	case len(k.Override) > maxOverride:
		return k, fmt.Errorf("the override has more than %d bytes", maxOverride)
	case k.Years < MinYears && words < minOverride:
		return k, fmt.Errorf("%d years: less than %d (45 CFR 164.316(b)(2)(i), 164.530(j)(2)) needs an \"override\" with the reason in writing", k.Years, MinYears)
	case k.Years >= MinYears && words > 0:
		return k, fmt.Errorf("there is nothing to override: %d years are allowed", k.Years)
	case k.Name == Default && len(j.Match) > 0:
		return k, fmt.Errorf("it is for what no other class matches, so it has no match")
	case k.Name != Default && len(j.Match) == 0:
		return k, fmt.Errorf("without a match it is for nothing")
	}
	terms := 0
	for _, m := range j.Match {
		f := hippad.Field(m.Field)
		if !slices.Contains(hippad.Fields, f) || f.IsText() {
			return k, fmt.Errorf("there is no field %q", m.Field)
		}
		if len(m.Any) == 0 {
			return k, fmt.Errorf("field %q matches nothing", m.Field)
		}
		var group []hippad.Term
		for _, value := range m.Any {
			t := hippad.NewTerm(f, value)
			if t.Value == "" {
				return k, fmt.Errorf("field %q is matched with nothing", m.Field)
			}
			group = append(group, t)
		}
		if terms += len(group); terms > maxTerms {
			return k, fmt.Errorf("more than %d values to match", maxTerms)
		}
		k.Match = append(k.Match, group)
	}
	return k, nil
}
