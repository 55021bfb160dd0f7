package regulation

import "strings"

// States are those of 45 CFR 160.103, by the letters of the post: the fifty, the District of Columbia, Puerto Rico, the Virgin Islands, Guam, American
// Samoa and the Northern Mariana Islands.
var States = [...]struct{ Code, Name string }{
	{"AL", "Alabama"}, {"AK", "Alaska"}, {"AZ", "Arizona"}, {"AR", "Arkansas"}, {"CA", "California"}, {"CO", "Colorado"}, {"CT", "Connecticut"},
	{"DE", "Delaware"}, {"DC", "District of Columbia"}, {"FL", "Florida"}, {"GA", "Georgia"}, {"HI", "Hawaii"}, {"ID", "Idaho"}, {"IL", "Illinois"},
	{"IN", "Indiana"}, {"IA", "Iowa"}, {"KS", "Kansas"}, {"KY", "Kentucky"}, {"LA", "Louisiana"}, {"ME", "Maine"}, {"MD", "Maryland"},
	{"MA", "Massachusetts"}, {"MI", "Michigan"}, {"MN", "Minnesota"}, {"MS", "Mississippi"}, {"MO", "Missouri"}, {"MT", "Montana"}, {"NE", "Nebraska"},
	{"NV", "Nevada"}, {"NH", "New Hampshire"}, {"NJ", "New Jersey"}, {"NM", "New Mexico"}, {"NY", "New York"}, {"NC", "North Carolina"},
	{"ND", "North Dakota"}, {"OH", "Ohio"}, {"OK", "Oklahoma"}, {"OR", "Oregon"}, {"PA", "Pennsylvania"}, {"RI", "Rhode Island"}, {"SC", "South Carolina"},
	{"SD", "South Dakota"}, {"TN", "Tennessee"}, {"TX", "Texas"}, {"UT", "Utah"}, {"VT", "Vermont"}, {"VA", "Virginia"}, {"WA", "Washington"},
	{"WV", "West Virginia"}, {"WI", "Wisconsin"}, {"WY", "Wyoming"}, {"PR", "Puerto Rico"}, {"VI", "Virgin Islands"}, {"GU", "Guam"},
	{"AS", "American Samoa"}, {"MP", "Northern Mariana Islands"},
}

// ParseState returns the letters of a State that is written as letters or by its name, in any case; false for anything else, which is then not known.
func ParseState(text string) (string, bool) {
	text = strings.TrimSpace(text)
	for _, s := range States {
		if strings.EqualFold(text, s.Code) || strings.EqualFold(text, s.Name) {
			return s.Code, true
		}
	}
	return "", false
}

// StateName returns the name of a State; what is none comes back as it is.
func StateName(code string) string {
	for _, s := range States {
		if s.Code == code {
			return s.Name
		}
	}
	return code
}
