package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

// The suites that ITI TF-2 3.19.6.2.3 and RFC 9662 name are taken from a client that has nothing else, and others are not.
func TestSuites(t *testing.T) {
	plain := open(t)
	migrating := openIn(t, plain.copy(t).dir, func(o *identity.Options) { o.LegacySuite = true })
	for _, c := range []struct {
		suite         uint16
		plain, legacy bool
	}{
		{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true, true},
		{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, true, true},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, true, true},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, true, true},
		{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, true, true},
		{tls.TLS_RSA_WITH_AES_128_CBC_SHA, false, true},
		{tls.TLS_RSA_WITH_AES_256_CBC_SHA, false, false},
		{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, false, false},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, false, false},
		{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, false, false},
		{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, false, false},
	} {
		for _, l := range []struct {
			name string
			*log
			want bool
		}{{"plain", plain, c.plain}, {"legacy", migrating, c.legacy}} {
			config := must(identity.ReporterTLS(l.file("ca.pem"), ""))
			config.CipherSuites, config.MaxVersion = []uint16{c.suite}, tls.VersionTLS12
			config.ServerName = "192.0.2.99" // a device that has been given an address we do not know, and checks no names
			config.InsecureSkipVerify = true
			_, state, err := l.handshake(t, config)
			if ok := err == nil && state.CipherSuite == c.suite; ok != l.want {
				t.Errorf("%s, %s: %v, %v", l.name, tls.CipherSuiteName(c.suite), ok, err)
			}
		}
	}
	// With a choice, the old suite is not the one that is taken.
	config := must(identity.ReporterTLS(migrating.file("ca.pem"), ""))
	config.CipherSuites, config.MaxVersion = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, tls.VersionTLS12
	if _, state, err := migrating.handshake(t, config); err != nil || state.CipherSuite != tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 {
		t.Errorf("%s, %v", tls.CipherSuiteName(state.CipherSuite), err)
	}
}

func TestVersions(t *testing.T) {
	l := open(t)
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := must(identity.ReporterTLS(l.file("ca.pem"), ""))
		config.MinVersion, config.MaxVersion = version, version
		if _, _, err := l.handshake(t, config); (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		} else if err != nil && identity.RefusalOf(err) != nil {
			t.Errorf("%s: taken for a matter of certificates: %v", tls.VersionName(version), err)
		}
	}
	_, state, err := l.handshake(t, must(identity.ReporterTLS(l.file("ca.pem"), "")))
	if err != nil || state.Version != tls.VersionTLS13 {
		t.Errorf("%s, %v", tls.VersionName(state.Version), err)
	}
	if identity.RefusalOf(nil) != nil {
		t.Error("no error is a refusal")
	}
}

// A ticket from before a revocation is worth nothing after it, whatever has revoked the certificate.
func TestResumption(t *testing.T) {
	fresh := open(t)
	type thing struct {
		name   string
		shown  func(*pki) tls.Certificate
		revoke func(*pki, tls.Certificate) error
		want   string
	}
	outside := func(p *pki) tls.Certificate { return p.outside.leaf(t) }
	member := func(p *pki) tls.Certificate { return p.enrol(t, identity.Member{Name: "m", Roles: reporter}) }
	for _, c := range []thing{
		{"nothing", member, nil, ""},
		{"nothing outside", outside, nil, ""},
		{"member", member, func(p *pki, _ tls.Certificate) error { return p.Revoke(p.idOf(t, "m")) }, identity.ReasonRevoked},
		{"one certificate", member, func(p *pki, c tls.Certificate) error { return p.Revoke(fingerprint(c)) }, identity.ReasonRevoked},
		{"fingerprint", outside, func(p *pki, c tls.Certificate) error { return p.Revoke(fingerprint(c)) }, identity.ReasonRevoked},
		{"list", outside, func(p *pki, c tls.Certificate) error {
			return p.SetCRL("outside", p.outside.crl(t, 1, start, c.Certificate[0]))
		}, identity.ReasonRevoked},
		{"authority", outside, func(p *pki, _ tls.Certificate) error { return p.Distrust("outside") }, identity.ReasonIssuer},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			p := newPKI(t, fresh)
			shown := c.shown(p)
			config := p.client(t, shown, version)
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			caller, state, err := p.handshake(t, config)
			if err != nil || state.DidResume {
				t.Fatalf("%s: first: %v", c.name, err)
			}
			if c.revoke != nil {
				if err := c.revoke(p, shown); err != nil {
					t.Fatal(err)
				}
				if p.Current(caller.Principal) {
					t.Errorf("%s: still current", c.name)
				}
			}
			again, state, err := p.handshake(t, config)
			if reason(err) != c.want || (err == nil) != (c.want == "") {
				t.Errorf("%s, %s: %v", c.name, tls.VersionName(version), err)
			}
			if err == nil && (!state.DidResume || again.ID != caller.ID || !slices.Equal(again.Roles, caller.Roles)) {
				t.Errorf("%s, %s: resumed %v as %v, want %v", c.name, tls.VersionName(version), state.DidResume, again, caller)
			}
		}
	}
}

// What Admit gives is in the register, and the certificate has nothing to say about it.
func TestGrants(t *testing.T) {
	p := newPKI(t, open(t))
	m := identity.Member{Name: "ct", Roles: []hippad.Role{hippad.RoleReporter, hippad.RoleAuditor}, Organisation: "North", Sites: []string{"CT-1"}}
	c, _, err := p.handshake(t, p.client(t, p.enrol(t, m), tls.VersionTLS13))
	if err != nil || c.Name != "ct" || c.Organisation != "North" || !slices.Equal(c.Sites, m.Sites) || !c.May(hippad.ActProve) || c.May(hippad.ActRead) {
		t.Errorf("member: %+v, %v", c, err)
	}
	patient := identity.Member{Name: "portal", Roles: []hippad.Role{hippad.RolePatient}, Patient: "urn:oid:1.2.3|4711"}
	if c, _, err = p.handshake(t, p.client(t, p.enrol(t, patient), tls.VersionTLS13)); err != nil || !c.OnlyPatient() || c.Patient != patient.Patient {
		t.Errorf("patient: %+v, %v", c, err)
	}
	pinned := (*ca)(nil).leaf(t)
	p.pin(t, pinned)
	if c, _, err = p.handshake(t, p.client(t, pinned, tls.VersionTLS13)); err != nil || c.Name != "pinned" || c.Organisation != "Pinned Hospital" {
		t.Errorf("pinned: %+v, %v", c, err)
	}
	fixed := newCA(t, "fixed", nil)
	if err := p.Trust("fixed", fixed.pem(), []hippad.Role{hippad.RoleAuditor}, "Fixed", false); err != nil {
		t.Fatal(err)
	}
	subject := func(cn string, o ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject.CommonName, c.Subject.Organization = cn, o }
	}
	for name, w := range map[string]struct {
		shown              tls.Certificate
		name, organisation string
		role               hippad.Role
	}{
		"subject":            {p.outside.leaf(t), "client", "Clinic", hippad.RoleReporter},
		"no subject":         {p.outside.leaf(t, subject("")), "", "Region", hippad.RoleReporter},
		"hostile subject":    {p.outside.leaf(t, subject("a\nb", "\u202eevil")), "", "Region", hippad.RoleReporter},
		"fixed organisation": {fixed.leaf(t, subject("x", "Somebody Else")), "x", "Fixed", hippad.RoleAuditor},
	} {
		c, _, err := p.handshake(t, p.client(t, w.shown, tls.VersionTLS13))
		if err != nil || c.Name != w.name || c.Organisation != w.organisation || !slices.Equal(c.Roles, []hippad.Role{w.role}) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestCurrent(t *testing.T) {
	changes := 0
	l := openIn(t, open(t).dir, func(o *identity.Options) {
		o.OnChange = func() { changes++ }
		o.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	p := &pki{log: l, outside: newCA(t, "outside", nil)}
	if err := p.Trust("outside", p.outside.pem(), reporter, "", false); err != nil || changes != 1 {
		t.Fatalf("%v, %d changes", err, changes)
	}
	admitted := func(c tls.Certificate) hippad.Principal {
		t.Helper()
		caller, _, err := l.handshake(t, l.client(t, c, tls.VersionTLS13))
		if err != nil || !l.Current(caller.Principal) {
			t.Fatalf("%v", err)
		}
		return caller.Principal
	}
	short := func(c *x509.Certificate) { c.NotAfter = days(10) }
	ends := map[string]hippad.Principal{
		"outside":                   admitted(p.outside.leaf(t, short)),
		"outside, its intermediate": admitted(newCA(t, "one", p.outside, short).leaf(t)),
	}
	pinned := (*ca)(nil).leaf(t, short)
	p.pin(t, pinned)
	ends["pinned"] = admitted(pinned)
	secret, id, err := l.IssueToken(identity.Member{Name: "t", Roles: reporter, Expires: days(10)})
	if err != nil {
		t.Fatal(err)
	}
	caller, err := l.Token(t.Context(), secret, named("192.0.2.1:1"))
	if err != nil || caller.ID != id {
		t.Fatal(err)
	}
	ends["token"] = caller.Principal
	stays := admitted(l.enrol(t, identity.Member{Name: "m", Roles: reporter}))
	l.clock.add(11 * 24 * time.Hour)
	for name, who := range ends {
		if l.Current(who) {
			t.Errorf("%s: current after its end", name)
		}
	}
	for _, who := range []hippad.Principal{stays, {Kind: hippad.KindSelf, ID: "x"}, {Kind: hippad.KindPerson, ID: "ada"}, {Kind: hippad.KindAddress, ID: "192.0.2.1"}} {
		if !l.Current(who) {
			t.Errorf("%s: not current", who)
		}
	}
	for _, who := range []hippad.Principal{
		{Kind: hippad.KindCertificate, ID: "sha256:00"}, {Kind: hippad.KindToken, ID: "m-00000000"}, {Kind: hippad.KindToken, ID: l.idOf(t, "m")},
		{Kind: hippad.KindOperator, ID: "sha256:00"},
	} {
		if l.Current(who) {
			t.Errorf("%s: current", who)
		}
	}
}
