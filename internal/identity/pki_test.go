package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"regexp"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

var reporter = []hippad.Role{hippad.RoleReporter}

// reason is the word for why a handshake has failed.
func reason(err error) string {
	if e := identity.RefusalOf(err); e != nil {
		return e.Reason
	}
	return ""
}

// A ca is an authority of the tests, with what is between it and the root.
type ca struct {
	cert  *x509.Certificate
	key   crypto.Signer
	above [][]byte // DER of the certificates up to, but without, the root
}

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

// make fills a template in and signs it; parent nil: itself.
func (parent *ca) make(t testing.TB, c *x509.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	if c.SerialNumber == nil {
		c.SerialNumber = must(rand.Int(rand.Reader, big.NewInt(1<<62)))
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = start.Add(-30 * 24 * time.Hour)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = start.Add(5 * 365 * 24 * time.Hour)
	}
	issuer, signer := c, key
	if parent != nil {
		issuer, signer = parent.cert, parent.key
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), signer))))
}

func newCA(t testing.TB, name string, parent *ca, edit ...func(*x509.Certificate)) *ca {
	t.Helper()
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, e := range edit {
		e(c)
	}
	key := ecKey(t)
	out := &ca{cert: parent.make(t, c, key), key: key}
	if parent != nil {
		out.above = append([][]byte{out.cert.Raw}, parent.above...)
	}
	return out
}

func (c *ca) pem() []byte { return certPEM(c.cert.Raw) }

func (c *ca) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.cert)
	return p
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func decode(t testing.TB, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

// leaf returns a certificate for a client, with the chain that a client of it shows; edits change it before it is signed.
// A nil ca makes a self-signed one.
func (c *ca) leaf(t testing.TB, edit ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	return c.leafOf(t, ecKey(t), edit...)
}

func (c *ca) leafOf(t testing.TB, key crypto.Signer, edit ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: "client", Organization: []string{"Clinic"}},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, e := range edit {
		e(template)
	}
	out := tls.Certificate{Certificate: [][]byte{c.make(t, template, key).Raw}, PrivateKey: key}
	if c != nil {
		out.Certificate = append(out.Certificate, c.above...)
	}
	return out
}

// server returns the PEM text of a server's certificate with key and authority.
func (c *ca) server(t testing.TB, name string) []byte {
	t.Helper()
	key := ecKey(t)
	leaf := c.make(t, &x509.Certificate{Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, key)
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
	return bytes.Join([][]byte{certPEM(leaf.Raw), certPEM(c.cert.Raw), keyPEM}, nil)
}

// crl returns a revocation list, DER.
func (c *ca) crl(t testing.TB, number int64, updated time.Time, revoked ...[]byte) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: updated, NextUpdate: updated.Add(7 * 24 * time.Hour)}
	for _, der := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: must(x509.ParseCertificate(der)).SerialNumber, RevocationTime: updated, ReasonCode: 1})
	}
	return must(x509.CreateRevocationList(rand.Reader, list, c.cert, c.key))
}

// enrol makes a member of this log and returns its certificate with its key.
func (l *log) enrol(t testing.TB, m identity.Member) tls.Certificate {
	t.Helper()
	token, _, err := l.Invite(m, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, csr, err := identity.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	der, _, _, err := l.Enrol(token, csr)
	if err != nil {
		t.Fatal(err)
	}
	return must(tls.X509KeyPair(certPEM(der), keyPEM))
}

// idOf is the id of the only member of a name.
func (l *log) idOf(t testing.TB, name string) string {
	t.Helper()
	for _, m := range l.Members() {
		if m.Name == name {
			return m.ID
		}
	}
	t.Fatalf("no member %s", name)
	return ""
}

// client shows a certificate whatever the server asks for, in one version of TLS.
func (l *log) client(t testing.TB, c tls.Certificate, version uint16) *tls.Config {
	t.Helper()
	config := must(identity.ReporterTLS(l.file("ca.pem"), ""))
	config.MinVersion, config.MaxVersion = version, version
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c, nil }
	return config
}

func rsaKey(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	return must(rsa.GenerateKey(rand.Reader, bits))
}

func edKey(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(crypto.Signer(key), err)
}

var regexpID = regexp.MustCompile(`m-[0-9a-f]{8}`)
