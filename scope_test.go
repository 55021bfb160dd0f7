package hippad_test

import (
	"slices"
	"strings"
	"testing"

	"hippad"
)

func TestScopesToRoles(t *testing.T) {
	const c, r, p = hippad.RoleReporter, hippad.RoleReviewer, hippad.RolePatient
	for scopes, want := range map[string]struct {
		roles []hippad.Role
		bad   bool
	}{
		"":                        {nil, false},
		"system/AuditEvent.c":     {[]hippad.Role{c}, false},
		"system/AuditEvent.rs":    {[]hippad.Role{r}, false},
		"system/AuditEvent.crs":   {[]hippad.Role{c, r}, false},
		"system/AuditEvent.cruds": {[]hippad.Role{c, r}, false},
		"system/AuditEvent.read":  {[]hippad.Role{r}, false},
		"system/AuditEvent.write": {[]hippad.Role{c}, false},
		"system/AuditEvent.*":     {[]hippad.Role{c, r}, false},
		"system/*.rs":             {[]hippad.Role{r}, false},
		"system/*.*":              {[]hippad.Role{c, r}, false},
		"system/AuditEvent.r system/AuditEvent.s":    {[]hippad.Role{r}, false},
		"system/AuditEvent.rs patient/AuditEvent.rs": {[]hippad.Role{r, p}, false},
		"patient/AuditEvent.rs":                      {[]hippad.Role{p}, false},
		"patient/AuditEvent.read":                    {[]hippad.Role{p}, false},
		"patient/*.*":                                {[]hippad.Role{p}, false},
		"system/AuditEvent.r":                        {nil, true},
		"system/AuditEvent.s":                        {nil, true},
		"system/AuditEvent.cr":                       {[]hippad.Role{c}, true},
		"system/AuditEvent.r patient/AuditEvent.s":   {nil, true},
		"system/AuditEvent.ud":                       {nil, true},
		"patient/AuditEvent.c":                       {nil, true},
		"patient/AuditEvent.write":                   {nil, true},
		"system/AuditEvent.":                         {nil, true},
		"system/AuditEvent":                          {nil, true},
		"system/AuditEvent.sr":                       {nil, true},
		"system/AuditEvent.rr":                       {nil, true},
		"system/AuditEvent.rs?type=rest":             {nil, true},
		"system/Patient.rs":                          {nil, true},
		"user/AuditEvent.rs":                         {nil, true},
		"SYSTEM/AuditEvent.rs":                       {nil, true},
		"openid fhirUser system/AuditEvent.c":        {[]hippad.Role{c}, true},
	} {
		got, err := hippad.ScopesToRoles(strings.Fields(scopes))
		if !slices.Equal(got, want.roles) || (err != nil) != want.bad || err != nil && hippad.KindOf(err) != hippad.Invalid {
			t.Errorf("%q: %v, %v", scopes, got, err)
		}
	}
}

// Whatever the scopes are, one that is not of ours adds nothing, and rights never come from letters that are not there.
func FuzzScopesGiveNoMoreThanTheirLetters(f *testing.F) {
	for _, s := range []string{"system/AuditEvent.crs", "patient/AuditEvent.read system/*.*", "user/AuditEvent.rs openid", "system/AuditEvent.rs?x=y", "\xff/\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		scopes := strings.Split(text, " ")
		roles, err := hippad.ScopesToRoles(scopes)
		if err != nil && hippad.KindOf(err) != hippad.Invalid {
			t.Fatal(err)
		}
		has := func(context, letters string) bool {
			return slices.ContainsFunc(scopes, func(s string) bool {
				_, end, ok := strings.Cut(s, ".")
				return strings.HasPrefix(s, context+"/") && ok && (end == "*" || end == letters || strings.ContainsAny(end, "crs") && len(end) <= 5)
			})
		}
		for _, r := range roles {
			switch r {
			case hippad.RoleReporter, hippad.RoleReviewer:
				if !has("system", "") {
					t.Fatalf("%q gives %s", text, r)
				}
			case hippad.RolePatient:
				if !has("patient", "") {
					t.Fatalf("%q gives %s", text, r)
				}
			default:
				t.Fatalf("%q gives %s", text, r)
			}
		}
		noise, _ := hippad.ScopesToRoles(append(scopes, "launch/patient", "offline_access"))
		if !slices.Equal(noise, roles) {
			t.Fatalf("%q: %v, with scopes of others %v", text, roles, noise)
		}
	})
}
