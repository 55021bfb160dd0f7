package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"regexp"
	"strings"

	"hippad"
)

// Token names the holder of a bearer token of IssueToken (what stands behind "Bearer " in RFC 6750 section 2.1). Kind
// Unauthorised for a token that is wrong, revoked or has ended, the same for all of them, after a pause; kind Busy, with
// nothing looked at, after too many of those from the same network.
//
// Failures are counted by network and not by token: the id of a token is no secret, and somebody who shouts wrong secrets
// for it must not lock its owner out. For the same reason a token that is right is let in even while its network, perhaps
// that of a gateway in front of many, is locked: 256 random bits need no such protection.
func (a *Authority) Token(ctx context.Context, bearer string, from net.Addr) (hippad.Caller, error) {
	if m := a.holder(bearer); m != nil {
		return m.caller(hippad.Principal{Kind: hippad.KindToken, ID: m.ID}), nil
	}
	key := "token:" + NetworkOf(from)
	if _, err := a.options.Throttle.Check(key); err != nil {
		return hippad.Caller{}, err
	}
	a.options.Throttle.Failed(key)
	a.options.Throttle.Pause(ctx)
	return hippad.Caller{}, hippad.Errorf(hippad.Unauthorised, "this bearer token is not good, or not any more")
}

// holder finds whose a bearer token is; nil if it is not good. An id that is not there takes the same time.
func (a *Authority) holder(bearer string) *record {
	text, ok := strings.CutPrefix(bearer, tokenPrefix)
	id, secret, found := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if !ok || !found || err != nil || len(raw) != 32 || strings.ContainsAny(secret, "\r\n") {
		return nil
	}
	m := a.register.Load().members[id]
	want := make([]byte, 32) // the hash of nothing that anybody can find
	if m != nil && m.Kind == KindToken {
		want = m.Secret
	}
	if subtle.ConstantTimeCompare(hash(raw), want) != 1 || !a.Current(hippad.Principal{Kind: hippad.KindToken, ID: id}) {
		return nil
	}
	return m
}

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
func ScopesToRoles(scopes []string) ([]hippad.Role, error) {
	letters := map[string]string{}
	var err error
	complain := func(format string, args ...any) {
		if err == nil {
			err = hippad.Errorf(hippad.Invalid, format, args...).
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
	var roles []hippad.Role
	for _, context := range []string{"system", "patient"} {
		have := letters[context]
		if have == "" {
			continue
		}
		create := context == "system" && strings.Contains(have, "c")
		read, search := strings.Contains(have, "r"), strings.Contains(have, "s")
		if create {
			roles = append(roles, hippad.RoleReporter)
		}
		if read && search {
			roles = append(roles, map[string]hippad.Role{"system": hippad.RoleReviewer, "patient": hippad.RolePatient}[context])
		} else if read || search {
			complain("%s/AuditEvent: r and s are only given together", context)
		}
		if !create && !read && !search {
			complain("%s/AuditEvent.%.10s gives nothing here", context, have)
		}
	}
	return roles, err
}
