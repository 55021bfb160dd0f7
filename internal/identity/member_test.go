package identity_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

// kind fails the test if an error is not of a kind.
func kind(t testing.TB, what string, err error, want hippad.Kind) {
	t.Helper()
	if err == nil || hippad.KindOf(err) != want {
		t.Errorf("%s: %v (%v), want %v", what, err, hippad.KindOf(err), want)
	}
}

func csr(t testing.TB) []byte {
	t.Helper()
	_, der, err := identity.NewRequest()
	return must(der, err)
}

func TestEnrol(t *testing.T) {
	l := open(t)
	token, id, err := l.Invite(identity.Member{Name: "pacs-1", Roles: reporter, Organisation: "North"}, time.Hour)
	if err != nil || !regexp.MustCompile(`^m-[0-9a-f]{8}$`).MatchString(id) || !regexp.MustCompile(`^hpe1\.[A-Za-z0-9_-]{43}$`).MatchString(token) {
		t.Fatalf("%q, %q, %v", token, id, err)
	}
	if m := l.Members(); len(m) != 1 || m[0].ID != id || len(m[0].Fingerprints) > 0 || !m[0].Expires.Equal(start.Add(time.Hour)) {
		t.Errorf("invited: %+v", m)
	}
	text := must(os.ReadFile(l.file("keys", "members.json")))
	secret := must(base64.RawURLEncoding.DecodeString(token[5:]))
	if strings.Contains(string(text), token[5:]) || bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString(secret[:16]))) {
		t.Error("the token is on disk")
	}

	// The request's own wishes count for nothing.
	key := ecKey(t)
	wish := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "operator", Organization: []string{"Everybody"}}, DNSNames: []string{"localhost"},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}}, // CA:TRUE
	}, key))
	der, caDER, m, err := l.Enrol(token, wish)
	if err != nil {
		t.Fatal(err)
	}
	c := must(x509.ParseCertificate(der))
	own := must(x509.ParseCertificate(caDER))
	if c.Subject.String() != "CN=pacs-1" || len(c.DNSNames) > 0 || c.IsCA || c.CheckSignatureFrom(own) != nil ||
		!slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || !c.NotAfter.Equal(start.Add(2*365*24*time.Hour)) {
		t.Errorf("certificate: %v %v %v %v", c.Subject, c.DNSNames, c.IsCA, c.NotAfter)
	}
	if m.ID != id || !m.Expires.Equal(c.NotAfter) || !slices.Equal(m.Fingerprints, []string{identity.Fingerprint(der)}) || m.Organisation != "North" {
		t.Errorf("member: %+v", m)
	}
	if !bytes.Equal(certPEM(caDER), must(os.ReadFile(l.file("ca.pem")))) {
		t.Error("the authority is not the one of ca.pem")
	}
	l.reopen(t)
	caller, _, err := l.handshake(t, l.client(t, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, tls.VersionTLS12))
	if err != nil || caller.Name != "pacs-1" {
		t.Errorf("after a restart: %v, %v", caller, err)
	}
}

// Whatever is wrong with a token is told in the same words, and a bad request does not use one up.
func TestEnrolRefuses(t *testing.T) {
	l := open(t)
	token, _, err := l.Invite(identity.Member{Name: "m", Roles: reporter}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	revoked, id, _ := l.Invite(identity.Member{Name: "revoked", Roles: reporter}, time.Hour)
	ended, _, _ := l.Invite(identity.Member{Name: "ended", Roles: reporter}, time.Minute)
	if err := l.Revoke(id); err != nil {
		t.Fatal(err)
	}
	l.clock.add(2 * time.Minute)
	swapped := "hpe1." + base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	var first string
	for name, bad := range map[string]string{"empty": "", "prefix": "hpt1." + token[5:], "short": token[:40], "padded": token + "=", "line": token + "\n", "zero": swapped, "revoked": revoked, "ended": ended} {
		_, _, _, err := l.Enrol(bad, csr(t))
		kind(t, name, err, hippad.Unauthorised)
		if first == "" {
			first = err.Error()
		} else if err.Error() != first {
			t.Errorf("%s: %q tells more than %q", name, err, first)
		}
	}
	good := csr(t)
	broken := bytes.Clone(good)
	broken[len(broken)-1] ^= 1
	request := func(key any, alg x509.SignatureAlgorithm) []byte {
		return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{SignatureAlgorithm: alg}, key))
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "garbage": []byte("garbage"), "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0), "signature": broken,
		"PEM":      certPEM(good),
		"RSA 1024": request(rsaKey(t, 1024), 0), "P-224": request(must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), 0),
		"SHA-1": request(ecKey(t), x509.ECDSAWithSHA1),
	} {
		_, _, _, err := l.Enrol(token, bad)
		kind(t, name, err, hippad.Invalid)
	}
	_, _, _, err = l.Enrol(token, make([]byte, 1<<20))
	kind(t, "large", err, hippad.TooLarge)
	for _, key := range []any{rsaKey(t, 2048), edKey(t)} { // other keys than our own client makes
		other, _, _ := l.Invite(identity.Member{Name: "other", Roles: reporter}, time.Hour)
		if _, _, _, err := l.Enrol(other, request(key, 0)); err != nil {
			t.Errorf("%T: %v", key, err)
		}
	}
	if _, _, _, err := l.Enrol(token, good); err != nil {
		t.Errorf("a bad request has used the token up: %v", err)
	}
	_, _, _, err = l.Enrol(token, good)
	kind(t, "used", err, hippad.Unauthorised)
}

func TestEnrolOnce(t *testing.T) {
	l := open(t)
	token, _, err := l.Invite(identity.Member{Name: "m", Roles: reporter}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	requests := make([][]byte, 50)
	for i := range requests {
		requests[i] = csr(t)
	}
	var wg sync.WaitGroup
	results := make([]error, len(requests))
	for i, r := range requests {
		wg.Go(func() { _, _, _, results[i] = l.Enrol(token, r) })
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else {
			kind(t, "lost", err, hippad.Unauthorised)
		}
	}
	if m := l.Members(); won != 1 || len(m) != 1 || len(m[0].Fingerprints) != 1 {
		t.Errorf("%d have enrolled: %+v", won, m)
	}
}

// The token says which server is the right one.
func TestBootstrap(t *testing.T) {
	l, other := open(t), open(t)
	token, _, err := l.Invite(identity.Member{Name: "m", Roles: reporter}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := must(identity.BootstrapTLS(token))
		config.MinVersion, config.MaxVersion, config.ServerName = version, version, "a.name.of.its.own"
		if caller, _, err := l.handshake(t, config); err != nil || caller.Kind != hippad.KindAddress {
			t.Errorf("%v, %v", caller, err)
		}
		if _, _, err := other.handshake(t, config); err == nil {
			t.Error("another log's server is accepted")
		}
		l.clock.add(3 * 365 * 24 * time.Hour)
		if _, _, err := l.handshake(t, config); err == nil {
			t.Error("an expired server certificate is accepted")
		}
		l.clock.add(-3 * 365 * 24 * time.Hour)
	}
	// One who has our public certificate, and shows it behind his own, which has the same issuer's name.
	impostor := newCA(t, "hippad certificate authority", nil)
	text := impostor.server(t, "localhost")
	pair := must(tls.X509KeyPair(text, text))
	pair.Certificate = [][]byte{pair.Certificate[0], decode(t, must(os.ReadFile(l.file("ca.pem"))))}
	l.server = &tls.Config{Certificates: []tls.Certificate{pair}, Time: l.clock.Now}
	if _, _, err := l.handshake(t, must(identity.BootstrapTLS(token))); err == nil {
		t.Error("an impostor with our authority's certificate is accepted")
	}
	for _, bad := range []string{"", "hpe1.", token[:20], "hpt1." + token[5:], token + "A"} {
		_, err := identity.BootstrapTLS(bad)
		kind(t, bad, err, hippad.Invalid)
	}
}

func TestReissue(t *testing.T) {
	l := open(t)
	old := l.enrol(t, identity.Member{Name: "m", Roles: reporter})
	caller, _, err := l.handshake(t, l.client(t, old, tls.VersionTLS13))
	if err != nil {
		t.Fatal(err)
	}
	l.clock.add(30 * 24 * time.Hour)
	keyPEM, request, _ := identity.NewRequest()
	der, _, m, err := l.Reissue(caller, request)
	if err != nil || m.ID != l.idOf(t, "m") || !slices.Equal(m.Fingerprints, []string{identity.Fingerprint(der)}) {
		t.Fatalf("%+v, %v", m, err)
	}
	fresh := must(tls.X509KeyPair(certPEM(der), keyPEM))
	try := func(what string, c tls.Certificate, want string) {
		t.Helper()
		if _, _, err := l.handshake(t, l.client(t, c, tls.VersionTLS13)); reason(err) != want || (err == nil) != (want == "") {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	try("new", fresh, "")
	l.clock.add(7 * 24 * time.Hour)
	try("old, after 7 days", old, "")
	l.clock.add(2 * time.Second)
	try("old, after more", old, identity.ReasonReplaced)
	try("new", fresh, "")
	if l.Current(caller.Principal) {
		t.Error("the replaced certificate is current")
	}
	_, _, _, err = l.Reissue(caller, csr(t))
	kind(t, "with a replaced certificate", err, hippad.Unauthorised)
	caller.ID = identity.Fingerprint(der)
	_, _, _, err = l.Reissue(caller, []byte("garbage"))
	kind(t, "garbage", err, hippad.Invalid)
	for _, k := range []hippad.PrincipalKind{hippad.KindOperator, hippad.KindToken, hippad.KindAddress} {
		_, _, _, err = l.Reissue(hippad.Caller{Principal: hippad.Principal{Kind: k, ID: caller.ID}}, csr(t))
		kind(t, string(k), err, hippad.Unauthorised)
	}
	for range 7 {
		if _, _, _, err := l.Reissue(caller, csr(t)); err != nil {
			t.Fatal(err)
		}
	}
	_, _, _, err = l.Reissue(caller, csr(t))
	kind(t, "the ninth at a time", err, hippad.Busy)
	l.clock.add(8 * 24 * time.Hour)
	newest := l.Members()[0].Fingerprints[0]
	caller.ID = newest
	l.reopen(t) // what has been replaced is so after a restart
	try("old", old, identity.ReasonReplaced)
	if _, _, _, err := l.Reissue(caller, csr(t)); err != nil {
		t.Errorf("after the others have ended: %v", err)
	}
	if err := l.Revoke(m.ID); err != nil {
		t.Fatal(err)
	}
	try("revoked", fresh, identity.ReasonRevoked)
	_, _, _, err = l.Reissue(caller, csr(t))
	kind(t, "revoked", err, hippad.Unauthorised)
}

func TestPin(t *testing.T) {
	l := open(t)
	c := (*ca)(nil).leaf(t)
	text := certPEM(c.Certificate[0])
	m := identity.Member{Name: "m", Roles: reporter}
	got, err := l.Pin(m, text)
	if err != nil || got.ID == "" || got.Authority != identity.AuthorityPinned || !slices.Equal(got.Fingerprints, []string{fingerprint(c)}) {
		t.Fatalf("%+v, %v", got, err)
	}
	_, err = l.Pin(m, text)
	kind(t, "twice", err, hippad.Conflict)
	if err := l.Revoke(got.ID); err != nil {
		t.Fatal(err)
	}
	_, err = l.Pin(m, text)
	kind(t, "revoked", err, hippad.Conflict)
	other := (*ca)(nil).leaf(t)
	if err := l.Revoke(fingerprint(other)); err != nil {
		t.Fatal(err)
	}
	_, err = l.Pin(m, certPEM(other.Certificate[0]))
	kind(t, "revoked by fingerprint", err, hippad.Conflict)
	operator := must(os.ReadFile(l.file("keys", "operator.pem")))
	_, err = l.Pin(m, operator[:bytes.Index(operator, []byte("-----BEGIN PRIVATE"))])
	kind(t, "operator", err, hippad.Conflict)
	ended := (*ca)(nil).leaf(t, func(c *x509.Certificate) { c.NotAfter = days(-1) })
	weak := (*ca)(nil).leafOf(t, rsaKey(t, 1024))
	for name, bad := range map[string][]byte{
		"nothing": nil, "garbage": []byte("garbage"), "DER": c.Certificate[0], "key": operator, "two": append(bytes.Clone(text), text...),
		"damaged": certPEM(c.Certificate[0][:100]), "expired": certPEM(ended.Certificate[0]), "weak": certPEM(weak.Certificate[0]),
	} {
		_, err = l.Pin(m, bad)
		kind(t, name, err, hippad.Invalid)
	}
	_, err = l.Pin(m, make([]byte, 2<<20))
	kind(t, "large", err, hippad.TooLarge)
	// A certificate of our own authority whose member is lost, with the register, can be taken up again.
	lost := l.enrol(t, identity.Member{Name: "lost", Roles: reporter})
	if err := os.Remove(l.file("keys", "members.json")); err != nil {
		t.Fatal(err)
	}
	l.reopen(t)
	if _, _, err := l.handshake(t, l.client(t, lost, tls.VersionTLS13)); reason(err) != identity.ReasonMember {
		t.Errorf("lost: %v", err)
	}
	if _, err := l.Pin(m, certPEM(lost.Certificate[0])); err != nil {
		t.Errorf("taken up again: %v", err)
	}
}

// What an administrator may say of a member is checked, wherever it is said.
func TestMemberIsChecked(t *testing.T) {
	l := open(t)
	text := certPEM((*ca)(nil).leaf(t).Certificate[0])
	long := strings.Repeat("x", 201)
	for name, m := range map[string]identity.Member{
		"no name":               {Roles: reporter},
		"long name":             {Name: strings.Repeat("x", 65), Roles: reporter},
		"two lines":             {Name: "a\nb", Roles: reporter},
		"not UTF-8":             {Name: "a\xff", Roles: reporter},
		"turned round":          {Name: "a\u202e", Roles: reporter},
		"no role":               {Name: "a"},
		"no such role":          {Name: "a", Roles: []hippad.Role{"king"}},
		"patient without":       {Name: "a", Roles: []hippad.Role{hippad.RolePatient}},
		"patient without role":  {Name: "a", Roles: reporter, Patient: "4711"},
		"long organisation":     {Name: "a", Roles: reporter, Organisation: long},
		"long patient":          {Name: "a", Roles: []hippad.Role{hippad.RolePatient}, Patient: long},
		"empty site":            {Name: "a", Roles: reporter, Sites: []string{""}},
		"long site":             {Name: "a", Roles: reporter, Sites: []string{long}},
		"too many sites":        {Name: "a", Roles: reporter, Sites: slices.Repeat([]string{"s"}, 101)},
		"scopes that are wrong": {Name: "a", Roles: reporter, Scopes: []string{"system/Patient.rs"}},
	} {
		if m.Scopes == nil {
			_, _, err := l.Invite(m, time.Hour)
			kind(t, "invite: "+name, err, hippad.Invalid)
		}
		_, err := l.Pin(m, text)
		kind(t, "pin: "+name, err, hippad.Invalid)
		_, _, err = l.IssueToken(m)
		kind(t, "token: "+name, err, hippad.Invalid)
		if m.Patient != "" && strings.Contains(err.Error(), m.Patient) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, life := range []time.Duration{0, -1, 91 * 24 * time.Hour} {
		_, _, err := l.Invite(identity.Member{Name: "a", Roles: reporter}, life)
		kind(t, life.String(), err, hippad.Invalid)
	}
	if m := l.Members(); len(m) > 0 {
		t.Errorf("members: %+v", m)
	}
}

func TestRevoke(t *testing.T) {
	l := open(t)
	for _, id := range []string{"", "m-00000000", "sha256:", "sha256:xyz", "sha256:" + strings.Repeat("A", 64)} {
		kind(t, id, l.Revoke(id), hippad.NotFound)
	}
	operator := must(tls.LoadX509KeyPair(l.file("keys", "operator.pem"), l.file("keys", "operator.pem")))
	kind(t, "operator", l.Revoke(fingerprint(operator)), hippad.Conflict)
	l.enrol(t, identity.Member{Name: "m", Roles: reporter})
	id := l.idOf(t, "m")
	if err := l.Revoke(id); err != nil {
		t.Fatal(err)
	}
	at := l.Members()[0].Revoked
	l.clock.add(time.Hour)
	if err := l.Revoke(id); err != nil || !l.Members()[0].Revoked.Equal(at) || at.IsZero() {
		t.Errorf("again: %v, %v", err, l.Members()[0].Revoked)
	}
	l.reopen(t)
	if !l.Members()[0].Revoked.Equal(at) {
		t.Error("forgotten by a restart")
	}
}

// What nobody can use any more does not stay for ever.
func TestForgotten(t *testing.T) {
	l := open(t)
	member := func(name string) identity.Member { return identity.Member{Name: name, Roles: reporter} }
	if _, _, err := l.Invite(member("unused"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.IssueToken(member("token")); err != nil {
		t.Fatal(err)
	}
	names := func() (all []string) {
		for _, m := range l.Members() {
			all = append(all, m.Name)
		}
		return all
	}
	for _, step := range []struct {
		days int
		want []string
	}{{6, []string{"unused", "token", "6"}}, {2, []string{"token", "6", "2"}}, {1000, []string{"token", "6", "2", "1000"}}, {200, []string{"1000", "200"}}} {
		l.clock.add(time.Duration(step.days) * 24 * time.Hour)
		name := map[int]string{6: "6", 2: "2", 1000: "1000", 200: "200"}[step.days]
		if _, _, err := l.IssueToken(member(name)); err != nil {
			t.Fatal(err)
		}
		if got := names(); !slices.Equal(got, step.want) {
			t.Errorf("after %d days more: %q, want %q", step.days, got, step.want)
		}
	}
}

func FuzzEnrolAcceptsOnlyRequests(f *testing.F) {
	l := open(f)
	good := csr(f)
	f.Add(good)
	f.Add(good[:50])
	f.Add(must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "x"}}, edKey(f))))
	f.Add([]byte{0x30, 0x80})
	token, _, err := l.Invite(identity.Member{Name: "m", Roles: reporter}, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		der, _, m, err := l.Enrol(token, request)
		if err != nil {
			if k := hippad.KindOf(err); k != hippad.Invalid && k != hippad.TooLarge {
				t.Fatalf("kind %v", k)
			}
			return
		}
		c, err := x509.ParseCertificate(der)
		parsed, e := x509.ParseCertificateRequest(request)
		if err != nil || e != nil || parsed.CheckSignature() != nil || c.Subject.String() != "CN=m" || c.IsCA {
			t.Fatalf("%v, %v", err, e)
		}
		if err := l.Revoke(m.ID); err != nil {
			t.Fatal(err)
		}
		if token, _, err = l.Invite(identity.Member{Name: "m", Roles: reporter}, time.Hour); err != nil {
			t.Fatal(err)
		}
	})
}
