package hippad

import (
	"regexp"
	"strings"
)

var scopeForm = regexp.MustCompile(`^(patient|system)/(?:AuditEvent|\*)\.(read|write|\*|c?r?u?d?s?)$`)

// ScopesToRoles says what SMART scopes amount to here. It knows those of SMART App Launch 2 (letters c, r, u, d, s, in this
// order) and of 1 (read is rs, write is cud, * is all), for AuditEvent or *, in these contexts:
//
//   - system: c gives RoleReporter, r together with s gives RoleReviewer, which searches and reads;
//   - patient: r together with s gives RolePatient, for the one patient that somebody else has to name.
//
// The letters of several scopes of one context add up. Neither r nor s alone gives anything, because there is no role that
// may do only one of them. u and d give nothing: a log is not changed. A scope that is narrowed by a query (?type=…) is not
// known, because the narrowing would not be kept to; nor is the context user: what people may do is in their account.
//
// The error, kind Invalid, says that a scope is not known or gives nothing. The roles count all the same: who issues a scope
// must heed the error, who is shown scopes meant for several servers need not.
func ScopesToRoles(scopes []string) ([]Role, error) {
	letters := map[string]string{}
	var err error
	complain := func(format string, args ...any) {
		if err == nil {
			err = Errorf(Invalid, format, args...).
				WithHint("system/AuditEvent.c to report, system/AuditEvent.rs to search and read, patient/AuditEvent.rs for one patient")
		}
	}
	for _, scope := range scopes {
		m := scopeForm.FindStringSubmatch(scope)
		if m == nil || m[2] == "" {
			complain("the scope %.80q is not known here", scope)
			continue
		}
		switch m[2] {
		case "read":
			m[2] = "rs"
		case "write":
			m[2] = "cud"
		case "*":
			m[2] = "cruds"
		}
		letters[m[1]] += m[2]
	}
	var roles []Role
	for _, context := range []string{"system", "patient"} {
		have := letters[context]
		if have == "" {
			continue
		}
		create := context == "system" && strings.Contains(have, "c")
		read, search := strings.Contains(have, "r"), strings.Contains(have, "s")
		if create {
			roles = append(roles, RoleReporter)
		}
		if read && search {
			roles = append(roles, map[string]Role{"system": RoleReviewer, "patient": RolePatient}[context])
		} else if read || search {
			complain("%s/AuditEvent: r and s are only given together", context)
		}
		if !create && !read && !search {
			complain("%s/AuditEvent.%.10s gives nothing here", context, have)
		}
	}
	return roles, err
}
