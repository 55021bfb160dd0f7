package identity_test

import (
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

func TestToken(t *testing.T) {
	l := open(t)
	m := identity.Member{Name: "portal", Scopes: []string{"system/AuditEvent.c", "patient/AuditEvent.rs"}, Patient: "urn:oid:1.2.3|4711", Organisation: "North"}
	secret, id, err := l.IssueToken(m)
	if err != nil || !strings.HasPrefix(secret, "hpt1."+id+".") || len(secret) != 5+10+1+43 {
		t.Fatalf("%q, %q, %v", secret, id, err)
	}
	from := named("192.0.2.1:4000")
	c, err := l.Token(t.Context(), secret, from)
	want := hippad.Principal{Kind: hippad.KindToken, ID: id, Name: "portal", Organisation: "North"}
	if err != nil || c.Principal != want || !c.OnlyPatient() || !c.May(hippad.ActRecord) || c.Patient != m.Patient || !l.Current(c.Principal) {
		t.Errorf("%+v, %v", c, err)
	}
	text := string(must(os.ReadFile(l.file("keys", "members.json"))))
	raw := must(base64.RawURLEncoding.DecodeString(secret[16:]))
	if strings.Contains(text, secret[16:]) || strings.Contains(text, base64.StdEncoding.EncodeToString(raw)) {
		t.Error("the secret is on disk")
	}
	l.reopen(t)
	if _, err := l.Token(t.Context(), secret, from); err != nil {
		t.Errorf("after a restart: %v", err)
	}

	short, _, _ := l.IssueToken(identity.Member{Name: "short", Roles: reporter, Expires: start.Add(time.Minute)})
	revoked, revokedID, _ := l.IssueToken(identity.Member{Name: "revoked", Roles: reporter})
	if err := l.Revoke(revokedID); err != nil {
		t.Fatal(err)
	}
	l.enrol(t, identity.Member{Name: "m", Roles: reporter})
	l.clock.add(2 * time.Minute)
	other := secret[:16] + base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	words := ""
	for name, bad := range map[string]string{
		"empty": "", "wrong secret": other, "another's id": "hpt1." + l.idOf(t, "short") + secret[15:], "no such id": "hpt1.m-00000000" + secret[15:],
		"id of a certificate": "hpt1." + l.idOf(t, "m") + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 32)),
		"prefix":              "hpe1" + secret[4:], "cut": secret[:len(secret)-1], "longer": secret + "A", "line": secret + "\n", "space": " " + secret,
		"no dot": strings.ReplaceAll(secret, ".", ""), "expired": short, "revoked": revoked, "huge": strings.Repeat("A", 1<<20),
	} {
		_, err := l.Token(t.Context(), bad, named(name))
		kind(t, name, err, hippad.Unauthorised)
		if words == "" {
			words = err.Error()
		} else if words != err.Error() {
			t.Errorf("%s: %q tells more than %q", name, err, words)
		}
	}
}

// Wrong tokens are counted by network; the right one is let in even from there.
func TestTokenThrottle(t *testing.T) {
	l := open(t)
	secret, _, err := l.IssueToken(identity.Member{Name: "t", Roles: reporter})
	if err != nil {
		t.Fatal(err)
	}
	try := func(bearer, from string, want hippad.Kind) {
		t.Helper()
		_, err := l.Token(t.Context(), bearer, named(from))
		kind(t, from, err, want)
	}
	for i := range 5 {
		try("hpt1.wrong", []string{"[2001:db8::1]:1", "[2001:db8::2]:2"}[i%2], hippad.Unauthorised)
	}
	try("hpt1.wrong", "[2001:db8::3]:3", hippad.Busy)
	try("hpt1.wrong", "[2001:db8:0:1::1]:1", hippad.Unauthorised)
	if _, err := l.Token(t.Context(), secret, named("[2001:db8::1]:1")); err != nil {
		t.Errorf("the right one: %v", err)
	}
	l.clock.add(time.Minute)
	try("hpt1.wrong", "[2001:db8::1]:1", hippad.Unauthorised)
	try("hpt1.wrong", "[2001:db8::1]:1", hippad.Busy)
}

func TestIssueTokenRefuses(t *testing.T) {
	l := open(t)
	_, _, err := l.IssueToken(identity.Member{Name: "t", Roles: reporter, Expires: start})
	kind(t, "ended", err, hippad.Invalid)
	_, _, err = l.IssueToken(identity.Member{Name: "t", Scopes: []string{"patient/AuditEvent.rs"}})
	kind(t, "patient scope without a patient", err, hippad.Invalid)
	_, _, err = l.IssueToken(identity.Member{Name: "t", Scopes: []string{"system/AuditEvent.c", "launch/patient"}})
	kind(t, "unknown scope", err, hippad.Invalid)
	if _, _, err = l.IssueToken(identity.Member{Name: "t", Roles: []hippad.Role{hippad.RoleAuditor}, Scopes: []string{"system/AuditEvent.c"}}); err != nil {
		t.Fatal(err)
	}
	if got := l.Members()[0]; !slices.Equal(got.Roles, []hippad.Role{hippad.RoleAuditor, hippad.RoleReporter}) || !got.Expires.Equal(start.Add(2*365*24*time.Hour)) {
		t.Errorf("%+v", got)
	}
}
