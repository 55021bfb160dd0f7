package identity_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

func TestTrust(t *testing.T) {
	l := open(t)
	c := newCA(t, "c", nil)
	if err := l.Trust("region", append(c.pem(), newCA(t, "short", nil, func(c *x509.Certificate) { c.NotAfter = days(20) }).pem()...), reporter, "Region", true); err != nil {
		t.Fatal(err)
	}
	list := l.Authorities()
	if len(list) != 1 || list[0].Name != "region" || !list[0].OrganisationFromSubject || !list[0].Expires.Equal(days(20)) || len(list[0].Fingerprints) != 2 || !list[0].CRLUpdated.IsZero() {
		t.Errorf("%+v", list)
	}
	if w := l.Warnings(); len(w) != 1 || !strings.Contains(w[0], `"region" ends on 2026-12-12`) {
		t.Errorf("%q", w)
	}
	fresh := func() []byte { return newCA(t, "x", nil).pem() }
	kind(t, "name taken", l.Trust("region", fresh(), reporter, "", false), hippad.Conflict)
	kind(t, "certificate taken", l.Trust("b", c.pem(), reporter, "", false), hippad.Conflict)
	kind(t, "own", l.Trust("b", must(os.ReadFile(l.file("ca.pem"))), reporter, "", false), hippad.Conflict)
	x := fresh()
	for name, err := range map[string]error{
		"no name":      l.Trust("", fresh(), reporter, "", false),
		"two lines":    l.Trust("a\nb", fresh(), reporter, "", false),
		"organisation": l.Trust("b", fresh(), reporter, "a\nb", false),
		"no role":      l.Trust("b", fresh(), nil, "", false),
		"patient":      l.Trust("b", fresh(), []hippad.Role{hippad.RolePatient}, "", false),
		"bad role":     l.Trust("b", fresh(), []hippad.Role{"king"}, "", false),
		"garbage":      l.Trust("b", []byte("garbage"), reporter, "", false),
		"twice":        l.Trust("b", append(bytes.Clone(x), x...), reporter, "", false),
		"a client":     l.Trust("b", certPEM(c.leaf(t).Certificate[0]), reporter, "", false),
		"ended":        l.Trust("b", newCA(t, "x", nil, func(c *x509.Certificate) { c.NotAfter = days(-1) }).pem(), reporter, "", false),
	} {
		kind(t, name, err, hippad.Invalid)
	}
	kind(t, "no such", l.Distrust("b"), hippad.NotFound)
	l.reopen(t)
	shown := c.leaf(t)
	caller, _, err := l.handshake(t, l.client(t, shown, tls.VersionTLS13))
	if err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if err := l.Distrust("region"); err != nil || len(l.Authorities()) > 0 || l.Current(caller.Principal) {
		t.Errorf("still there: %v, %v", l.Authorities(), err)
	}
}

func TestSetCRL(t *testing.T) {
	l := open(t)
	c := newCA(t, "c", nil)
	if err := l.Trust("c", c.pem(), reporter, "", false); err != nil {
		t.Fatal(err)
	}
	victim, other := c.leaf(t), c.leaf(t)
	try := func(what string, shown tls.Certificate, want string) {
		t.Helper()
		if _, _, err := l.handshake(t, l.client(t, shown, tls.VersionTLS13)); reason(err) != want || (err == nil) != (want == "") {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	extension := func(oid []int, value []byte) []byte {
		return must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: start, NextUpdate: days(7),
			ExtraExtensions: []pkix.Extension{{Id: oid, Critical: true, Value: value}}}, c.cert, c.key))
	}
	entry := must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: start, NextUpdate: days(7),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(1), RevocationTime: start,
			ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}}}}}, c.cert, c.key))
	tampered := bytes.Replace(c.crl(t, 1, start, victim.Certificate[0]), must(x509.ParseCertificate(victim.Certificate[0])).SerialNumber.Bytes(),
		must(x509.ParseCertificate(other.Certificate[0])).SerialNumber.Bytes(), 1)
	for name, bad := range map[string][]byte{
		"nothing": nil, "garbage": []byte("garbage"), "a certificate": c.cert.Raw, "another's": newCA(t, "c", nil).crl(t, 1, start), "tampered": tampered,
		"from the future": c.crl(t, 1, days(1)), "delta": extension([]int{2, 5, 29, 27}, []byte{2, 1, 1}), "partial": extension([]int{2, 5, 29, 28}, []byte{0x30, 3, 0x81, 1, 0xff}),
		"indirect entry": entry,
	} {
		kind(t, name, l.SetCRL("c", bad), hippad.Invalid)
	}
	kind(t, "no such authority", l.SetCRL("d", c.crl(t, 1, start)), hippad.NotFound)
	kind(t, "large", l.SetCRL("c", make([]byte, 33<<20)), hippad.TooLarge)
	try("none yet", victim, "")

	if err := l.SetCRL("c", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: c.crl(t, 2, start, victim.Certificate[0])})); err != nil {
		t.Fatal(err)
	}
	try("revoked", victim, identity.ReasonRevoked)
	try("another", other, "")
	kind(t, "older", l.SetCRL("c", c.crl(t, 1, days(-1))), hippad.Conflict)
	if err := l.SetCRL("c", c.crl(t, 2, start, victim.Certificate[0])); err != nil {
		t.Errorf("the same again: %v", err)
	}
	l.reopen(t)
	try("after a restart", victim, identity.ReasonRevoked)
	l.clock.add(8 * 24 * time.Hour)
	if w := l.Warnings(); len(w) != 1 || !strings.Contains(w[0], `revocation list of the authority "c"`) {
		t.Errorf("%q", w)
	}
	if got := l.Authorities()[0]; !got.CRLUpdated.Equal(start) || !got.CRLNext.Equal(days(7)) {
		t.Errorf("%+v", got)
	}
	try("after its end", victim, identity.ReasonRevoked)
	// Taken away and brought back: what was revoked is.
	if err := l.Distrust("c"); err != nil {
		t.Fatal(err)
	}
	if err := l.Trust("again", c.pem(), reporter, "", false); err != nil {
		t.Fatal(err)
	}
	try("brought back", victim, identity.ReasonRevoked)
	if err := l.SetCRL("again", c.crl(t, 3, days(8))); err != nil {
		t.Fatal(err)
	}
	try("released", victim, "")
	kind(t, "the old list", l.SetCRL("again", c.crl(t, 2, start, victim.Certificate[0])), hippad.Conflict)

	// An authority with two certificates for one key has one list.
	renewed := &ca{key: c.key, cert: (*ca)(nil).make(t, &x509.Certificate{Subject: c.cert.Subject, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: c.cert.SubjectKeyId}, c.key)}
	if err := l.Distrust("again"); err != nil {
		t.Fatal(err)
	}
	if err := l.Trust("both", append(c.pem(), renewed.pem()...), reporter, "", false); err != nil {
		t.Fatal(err)
	}
	if err := l.SetCRL("both", renewed.crl(t, 4, days(8), victim.Certificate[0])); err != nil {
		t.Fatal(err)
	}
	try("two certificates", victim, identity.ReasonRevoked)
}

// A register that is not whole, or whose revocation lists are not, opens nothing: what was revoked would be good again.
func TestFilesThatAreNotWhole(t *testing.T) {
	fresh := open(t)
	c := newCA(t, "c", nil)
	if err := fresh.Trust("c", c.pem(), reporter, "", false); err != nil {
		t.Fatal(err)
	}
	if err := fresh.SetCRL("c", c.crl(t, 2, start)); err != nil {
		t.Fatal(err)
	}
	fresh.enrol(t, identity.Member{Name: "m", Roles: reporter, Patient: ""})
	if _, _, err := fresh.IssueToken(identity.Member{Name: "t", Roles: []hippad.Role{hippad.RolePatient}, Patient: "patient-4711"}); err != nil {
		t.Fatal(err)
	}
	members := filepath.Join("keys", "members.json")
	list := filepath.Join("keys", "crl", strings.TrimPrefix(identity.Fingerprint(c.cert.Raw), "sha256:")+".crl")
	good := must(os.ReadFile(fresh.file(members)))
	swap := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("no %q in %s", old, good)
		}
		return bytes.Replace(good, []byte(old), []byte(new), 1)
	}
	ids := regexpID.FindAllString(string(good), -1)
	type state struct {
		file string
		text []byte // nil: the file is not there
	}
	states := map[string]state{
		"empty": {members, []byte{}}, "cut": {members, good[:len(good)/2]}, "without its end": {members, good[:len(good)-1]},
		"behind its end": {members, append(bytes.Clone(good), "{}"...)}, "null": {members, []byte("null")}, "zeros": {members, make([]byte, 4096)},
		"newer format": {members, swap(`"format": 1`, `"format": 2`)}, "no format": {members, swap(`"format": 1`, `"form": 1`)},
		"unknown field": {members, swap(`"name"`, `"title"`)}, "a field twice": {members, swap(`"kind"`, `"name": "x", "kind"`)},
		"no role": {members, swap(`"reporter"`, `"king"`)}, "no id": {members, swap(ids[0], "m-1")}, "an id twice": {members, swap(ids[0], ids[1])},
		"list lost": {list, nil}, "list cut": {list, c.crl(t, 2, start)[:50]}, "list empty": {list, []byte{}},
		"list older": {list, c.crl(t, 1, days(-1))}, "list of another": {list, newCA(t, "c", nil).crl(t, 2, start)},
	}
	for name, s := range states {
		l := fresh.copy(t)
		file := l.file(s.file)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if s.text != nil {
			if err := os.WriteFile(file, s.text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := identity.Open(l.dir, nil, l.options)
		if err == nil || !strings.Contains(err.Error(), file) || hippad.KindOf(err) != hippad.Unavailable || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What a crash can leave: a half-written file beside, and a list that is newer than the register.
	l := fresh.copy(t)
	for file, text := range map[string][]byte{members + ".new-123": good[:100], list: c.crl(t, 3, start.Add(time.Hour))} {
		if err := os.WriteFile(l.file(file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.reopen(t)
	if !slices.EqualFunc(l.Members(), fresh.Members(), func(a, b identity.Member) bool { return a.ID == b.ID && a.Expires.Equal(b.Expires) }) {
		t.Errorf("%+v, want %+v", l.Members(), fresh.Members())
	}
	for _, name := range []string{members, list} {
		if st, err := os.Stat(fresh.file(name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
}

// A change that cannot be written has not happened, and says so.
func TestRegisterThatCannotBeWritten(t *testing.T) {
	changes := 0
	l := openIn(t, open(t).dir, func(o *identity.Options) { o.OnChange = func() { changes++ } })
	m := l.enrol(t, identity.Member{Name: "m", Roles: reporter})
	before := changes
	file := l.file("keys", "members.json")
	text := must(os.ReadFile(file))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(file, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, _, err := l.IssueToken(identity.Member{Name: "t", Roles: reporter})
	kind(t, "token", err, hippad.Unavailable)
	kind(t, "revoke", l.Revoke(l.idOf(t, "m")), hippad.Unavailable)
	if changes != before || len(l.Members()) != 1 {
		t.Errorf("%d changes, %+v", changes-before, l.Members())
	}
	if _, _, err := l.handshake(t, l.client(t, m, tls.VersionTLS13)); err != nil {
		t.Errorf("revoked all the same: %v", err)
	}
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Revoke(l.idOf(t, "m")); err != nil || changes != before+1 {
		t.Errorf("%v, %d changes", err, changes-before)
	}
}

// Everything at once: nothing is lost, and nobody gets in who should not.
func TestTogether(t *testing.T) {
	l := open(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := string(rune('a' + i))
			secret, id, err := l.IssueToken(identity.Member{Name: name, Roles: reporter})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := l.Token(t.Context(), secret, named("x")); err != nil {
				t.Error(err)
			}
			cert := l.enrol(t, identity.Member{Name: name + name, Roles: reporter})
			if _, _, err := l.handshake(t, l.client(t, cert, tls.VersionTLS13)); err != nil {
				t.Error(err)
			}
			if err := l.Revoke(id); err != nil {
				t.Error(err)
			}
			if _, err := l.Token(t.Context(), secret, named(name)); err == nil {
				t.Error("a revoked token is good")
			}
			_, _, _ = l.Members(), l.Warnings(), l.Authorities()
		})
	}
	wg.Wait()
	l.reopen(t)
	if m := l.Members(); len(m) != 16 {
		t.Errorf("%d members", len(m))
	}
}
