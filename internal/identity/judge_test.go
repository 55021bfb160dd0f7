package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

// A lying key says that it is another one, so that the client's side of crypto/tls shows a certificate that it would not.
type lyingKey struct {
	crypto.Signer
	public crypto.PublicKey
}

func (k lyingKey) Public() crypto.PublicKey { return k.public }
func (k lyingKey) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(r, digest, o)
}

// lie makes c look to the client's side like a P-256 certificate.
func lie(t testing.TB, c tls.Certificate) tls.Certificate {
	key := ecKey(t)
	c.PrivateKey = lyingKey{key, key.Public()}
	return c
}

// pinned makes c a member.
func (l *log) pin(t testing.TB, c tls.Certificate) identity.Member {
	t.Helper()
	m, err := l.Pin(identity.Member{Name: "pinned", Roles: reporter, Organisation: "Pinned Hospital"}, certPEM(c.Certificate[0]))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func days(n int) time.Time { return start.AddDate(0, 0, n) }

func with(oid asn1.ObjectIdentifier, critical bool, value []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
	}
}

var privateOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}

func (p *pki) expired(c *x509.Certificate) { c.NotAfter = days(-1) }
func (p *pki) notYet(c *x509.Certificate)  { c.NotBefore = days(1) }
func (p *pki) forServers(c *x509.Certificate) {
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}
func (p *pki) isCA(c *x509.Certificate)    { c.IsCA, c.BasicConstraintsValid = true, true }
func (p *pki) sha1(c *x509.Certificate)    { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }
func (p *pki) noUsage(c *x509.Certificate) { c.ExtKeyUsage = nil }
func (p *pki) unknownUsage(c *x509.Certificate) {
	c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{privateOID}
}

// A pki is a log that trusts an outside authority, and others that it does not trust.
type pki struct {
	*log
	outside, gone, stranger *ca
}

// newPKI makes one on a copy of a fresh log, whose keys take long to make.
func newPKI(t testing.TB, fresh *log) *pki {
	t.Helper()
	p := &pki{log: fresh.copy(t), outside: newCA(t, "outside", nil), gone: newCA(t, "gone", nil), stranger: newCA(t, "outside", nil)}
	for name, c := range map[string]*ca{"outside": p.outside, "gone": p.gone} {
		if err := p.Trust(name, c.pem(), reporter, "Region", true); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

type certificateCase struct {
	name string
	make func(*testing.T, *pki) tls.Certificate
	want string // reason word; empty: admitted
}

// good are the controls: without them a refusal proves nothing.
var good = []certificateCase{
	{"member", func(t *testing.T, p *pki) tls.Certificate {
		return p.enrol(t, identity.Member{Name: "m", Roles: reporter})
	}, ""},
	{"outside, ECDSA", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leaf(t) }, ""},
	{"outside, RSA 2048", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leafOf(t, rsaKey(t, 2048)) }, ""},
	{"outside, Ed25519", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leafOf(t, edKey(t)) }, ""},
	{"outside, P-384", func(t *testing.T, p *pki) tls.Certificate {
		return p.outside.leafOf(t, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)))
	}, ""},
	{"outside, no usage", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leaf(t, p.noUsage) }, ""},
	{"outside, no names at all", func(t *testing.T, p *pki) tls.Certificate {
		return p.outside.leaf(t, func(c *x509.Certificate) { c.Subject = pkix.Name{} })
	}, ""},
	{"outside, unknown extension", func(t *testing.T, p *pki) tls.Certificate {
		return p.outside.leaf(t, with(privateOID, false, bytes.Repeat([]byte{1}, 10_000)))
	}, ""},
	{"outside, two intermediates", func(t *testing.T, p *pki) tls.Certificate {
		return newCA(t, "two", newCA(t, "one", p.outside)).leaf(t)
	}, ""},
	{"outside, names within the constraint", func(t *testing.T, p *pki) tls.Certificate {
		return newCA(t, "narrow", p.outside, narrow).leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{"ct.clinic.example"} })
	}, ""},
	{"pinned, self-signed", func(t *testing.T, p *pki) tls.Certificate {
		c := (*ca)(nil).leaf(t)
		p.pin(t, c)
		return c
	}, ""},
	{"pinned, self-signed and an authority", func(t *testing.T, p *pki) tls.Certificate { // as openssl req -x509 makes them
		c := (*ca)(nil).leaf(t, p.isCA, p.noUsage)
		p.pin(t, c)
		return c
	}, ""},
	{"pinned, critical unknown extension", func(t *testing.T, p *pki) tls.Certificate { // no path is validated there
		c := p.stranger.leaf(t, with(privateOID, true, []byte("garbage")))
		p.pin(t, c)
		return c
	}, ""},
	{"serial number that another authority has revoked", func(t *testing.T, p *pki) tls.Certificate {
		c := p.outside.leaf(t)
		serial := must(x509.ParseCertificate(c.Certificate[0])).SerialNumber
		twin := p.gone.leaf(t, func(c *x509.Certificate) { c.SerialNumber = serial })
		if err := p.SetCRL("gone", p.gone.crl(t, 1, start, twin.Certificate[0])); err != nil {
			t.Fatal(err)
		}
		return c
	}, ""},
	{"revocation list that has ended and names another", func(t *testing.T, p *pki) tls.Certificate {
		if err := p.SetCRL("outside", p.outside.crl(t, 1, days(-30), p.outside.leaf(t).Certificate[0])); err != nil {
			t.Fatal(err)
		}
		return p.outside.leaf(t)
	}, ""},
}

func narrow(c *x509.Certificate) {
	c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"clinic.example"}, true
}

var bad = []certificateCase{
	{"expired", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leaf(t, p.expired) }, identity.ReasonExpired},
	{"not yet valid", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leaf(t, p.notYet) }, identity.ReasonNotYetValid},
	{"revoked member", func(t *testing.T, p *pki) tls.Certificate {
		c := p.enrol(t, identity.Member{Name: "m", Roles: reporter})
		if err := p.Revoke(p.idOf(t, "m")); err != nil {
			t.Fatal(err)
		}
		return c
	}, identity.ReasonRevoked},
	{"revoked by fingerprint", func(t *testing.T, p *pki) tls.Certificate {
		c := p.outside.leaf(t)
		if err := p.Revoke(fingerprint(c)); err != nil {
			t.Fatal(err)
		}
		return c
	}, identity.ReasonRevoked},
	{"revoked by list", func(t *testing.T, p *pki) tls.Certificate {
		c := p.outside.leaf(t)
		if err := p.SetCRL("outside", p.outside.crl(t, 1, start, c.Certificate[0])); err != nil {
			t.Fatal(err)
		}
		return c
	}, identity.ReasonRevoked},
	{"revoked by list that has ended", func(t *testing.T, p *pki) tls.Certificate {
		c := p.outside.leaf(t)
		if err := p.SetCRL("outside", p.outside.crl(t, 1, days(-30), c.Certificate[0])); err != nil {
			t.Fatal(err)
		}
		return c
	}, identity.ReasonRevoked},
	{"below a revoked intermediate", func(t *testing.T, p *pki) tls.Certificate {
		one := newCA(t, "one", p.outside)
		if err := p.SetCRL("outside", p.outside.crl(t, 1, start, one.cert.Raw)); err != nil {
			t.Fatal(err)
		}
		return one.leaf(t)
	}, identity.ReasonRevoked},
	{"below a revoked intermediate that is trusted by itself", func(t *testing.T, p *pki) tls.Certificate {
		one := newCA(t, "one", p.outside)
		if err := p.Trust("one", one.pem(), reporter, "", false); err != nil {
			t.Fatal(err)
		}
		if err := p.SetCRL("outside", p.outside.crl(t, 1, start, one.cert.Raw)); err != nil {
			t.Fatal(err)
		}
		c := one.leaf(t)
		c.Certificate = c.Certificate[:1]
		return c
	}, identity.ReasonIssuer},
	{"wrong authority of the same name", func(t *testing.T, p *pki) tls.Certificate { return p.stranger.leaf(t) }, identity.ReasonIssuer},
	{"our authority's name and a member's serial, another key", func(t *testing.T, p *pki) tls.Certificate {
		m := must(x509.ParseCertificate(p.enrol(t, identity.Member{Name: "m", Roles: reporter}).Certificate[0]))
		impostor := newCA(t, "hippad certificate authority", nil, func(c *x509.Certificate) { c.SubjectKeyId = m.AuthorityKeyId })
		return impostor.leaf(t, func(c *x509.Certificate) { c.SerialNumber, c.Subject = m.SerialNumber, m.Subject })
	}, identity.ReasonIssuer},
	{"self-signed, not pinned", func(t *testing.T, p *pki) tls.Certificate { return (*ca)(nil).leaf(t) }, identity.ReasonIssuer},
	{"RSA 1024", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leafOf(t, rsaKey(t, 1024)) }, identity.ReasonWeakKey},
	{"RSA 2047", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leafOf(t, rsaKey(t, 2047)) }, identity.ReasonWeakKey},
	{"RSA 16384", func(t *testing.T, p *pki) tls.Certificate { // only crypto/tls sees it
		n := must(rand.Prime(rand.Reader, 128))
		n.Lsh(n, 16384-128).SetBit(n, 0, 1)
		key := lyingKey{ecKey(t), &rsa.PublicKey{N: n, E: 65537}}
		return lie(t, p.outside.leafOf(t, key))
	}, identity.ReasonWeakKey},
	{"P-224", func(t *testing.T, p *pki) tls.Certificate {
		return lie(t, p.outside.leafOf(t, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))))
	}, identity.ReasonWeakKey},
	{"SHA-1", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leaf(t, p.sha1) }, identity.ReasonWeakSign},
	{"MD5", func(t *testing.T, p *pki) tls.Certificate {
		c := (*ca)(nil).leafOf(t, rsaKey(t, 2048))
		sha256 := must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}))
		md5 := must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 4}))
		c.Certificate[0] = bytes.ReplaceAll(c.Certificate[0], sha256, md5)
		return c
	}, identity.ReasonWeakSign},
	{"SHA-1 intermediate", func(t *testing.T, p *pki) tls.Certificate {
		return newCA(t, "one", p.outside, p.sha1).leaf(t)
	}, identity.ReasonWeakSign},
	{"intermediate of RSA 1024", func(t *testing.T, p *pki) tls.Certificate {
		key := rsaKey(t, 1024)
		c := p.outside.make(t, &x509.Certificate{Subject: pkix.Name{CommonName: "one"}, IsCA: true, BasicConstraintsValid: true}, key)
		return (&ca{cert: c, key: key, above: [][]byte{c.Raw}}).leaf(t)
	}, identity.ReasonWeakKey},
	{"wrong usage", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leaf(t, p.forServers) }, identity.ReasonUsage},
	{"unknown usage only", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leaf(t, p.unknownUsage) }, identity.ReasonUsage},
	{"intermediate for servers only", func(t *testing.T, p *pki) tls.Certificate {
		return newCA(t, "one", p.outside, p.forServers).leaf(t)
	}, identity.ReasonUsage},
	{"pinned, wrong usage", func(t *testing.T, p *pki) tls.Certificate {
		c := (*ca)(nil).leaf(t, p.forServers)
		p.pin(t, c)
		return c
	}, identity.ReasonUsage},
	{"authority as client", func(t *testing.T, p *pki) tls.Certificate {
		return tls.Certificate{Certificate: [][]byte{p.outside.cert.Raw}, PrivateKey: p.outside.key}
	}, identity.ReasonAuthority},
	{"intermediate as client", func(t *testing.T, p *pki) tls.Certificate { return p.outside.leaf(t, p.isCA) }, identity.ReasonAuthority},
	{"own authority, in nobody's name", func(t *testing.T, p *pki) tls.Certificate {
		own := must(tls.LoadX509KeyPair(p.file("keys", "ca.pem"), p.file("keys", "ca.pem")))
		return (&ca{cert: own.Leaf, key: own.PrivateKey.(crypto.Signer)}).leaf(t)
	}, identity.ReasonMember},
	{"this server's own certificate", func(t *testing.T, p *pki) tls.Certificate {
		return must(tls.LoadX509KeyPair(p.file("keys", "server.pem"), p.file("keys", "server.pem")))
	}, identity.ReasonUsage},
	{"operator of another log", func(t *testing.T, p *pki) tls.Certificate {
		other := open(t)
		return must(tls.LoadX509KeyPair(other.file("keys", "operator.pem"), other.file("keys", "operator.pem")))
	}, identity.ReasonIssuer},
	{"member of another log", func(t *testing.T, p *pki) tls.Certificate {
		return open(t).enrol(t, identity.Member{Name: "m", Roles: reporter})
	}, identity.ReasonIssuer},
	{"expired intermediate", func(t *testing.T, p *pki) tls.Certificate { return newCA(t, "one", p.outside, p.expired).leaf(t) }, identity.ReasonExpired},
	{"intermediate not yet valid", func(t *testing.T, p *pki) tls.Certificate { return newCA(t, "one", p.outside, p.notYet).leaf(t) }, identity.ReasonNotYetValid},
	{"intermediate missing", func(t *testing.T, p *pki) tls.Certificate {
		c := newCA(t, "one", p.outside).leaf(t)
		c.Certificate = c.Certificate[:1]
		return c
	}, identity.ReasonIssuer},
	{"intermediate that is none", func(t *testing.T, p *pki) tls.Certificate {
		one := p.outside.leaf(t, p.noUsage, func(c *x509.Certificate) { c.Subject.CommonName = "one" })
		c := must(x509.ParseCertificate(one.Certificate[0]))
		return (&ca{cert: c, key: one.PrivateKey.(crypto.Signer), above: [][]byte{c.Raw}}).leaf(t)
	}, identity.ReasonNotAuthority},
	{"name constraint", func(t *testing.T, p *pki) tls.Certificate {
		return newCA(t, "narrow", p.outside, narrow).leaf(t, func(c *x509.Certificate) { c.DNSNames = []string{"ct.other.example"} })
	}, identity.ReasonConstraint},
	{"path length", func(t *testing.T, p *pki) tls.Certificate {
		last := newCA(t, "one", p.outside, func(c *x509.Certificate) { c.MaxPathLenZero = true })
		return newCA(t, "two", last).leaf(t)
	}, identity.ReasonPathLength},
	{"critical unknown extension", func(t *testing.T, p *pki) tls.Certificate {
		return p.outside.leaf(t, with(privateOID, true, []byte("garbage")))
	}, identity.ReasonExtension},
	{"pinned, shown by another key", func(t *testing.T, p *pki) tls.Certificate {
		c := (*ca)(nil).leaf(t)
		p.pin(t, c)
		c.PrivateKey = ecKey(t)
		return c
	}, identity.ReasonKey},
	{"pinned, revoked", func(t *testing.T, p *pki) tls.Certificate {
		c := (*ca)(nil).leaf(t)
		if err := p.Revoke(p.pin(t, c).ID); err != nil {
			t.Fatal(err)
		}
		return c
	}, identity.ReasonRevoked},
	{"pinned, expired", func(t *testing.T, p *pki) tls.Certificate {
		c := (*ca)(nil).leaf(t, func(c *x509.Certificate) { c.NotAfter = days(1) })
		p.pin(t, c)
		p.clock.add(48 * time.Hour)
		return c
	}, identity.ReasonExpired},
	{"pinned, same key in another certificate", func(t *testing.T, p *pki) tls.Certificate {
		c := (*ca)(nil).leaf(t)
		p.pin(t, c)
		return (*ca)(nil).leafOf(t, c.PrivateKey.(crypto.Signer))
	}, identity.ReasonIssuer},
	{"authority no longer trusted", func(t *testing.T, p *pki) tls.Certificate {
		if err := p.Distrust("gone"); err != nil {
			t.Fatal(err)
		}
		return p.gone.leaf(t)
	}, identity.ReasonIssuer},
	{"20 intermediates", func(t *testing.T, p *pki) tls.Certificate {
		c := p.outside
		for i := range 20 {
			c = newCA(t, fmt.Sprint("level ", i), c)
		}
		return c.leaf(t)
	}, identity.ReasonTooLong},
	{"a thousand certificates", func(t *testing.T, p *pki) tls.Certificate {
		c := p.outside.leaf(t)
		for range 1000 {
			c.Certificate = append(c.Certificate, p.outside.cert.Raw)
		}
		return c
	}, identity.ReasonTooLarge},
	{"an extension of a megabyte", func(t *testing.T, p *pki) tls.Certificate {
		return p.outside.leaf(t, with(privateOID, false, make([]byte, 1<<20)))
	}, identity.ReasonTooLarge},
	{"garbage", func(t *testing.T, p *pki) tls.Certificate {
		c := p.outside.leaf(t)
		c.Certificate[0] = append([]byte{0x30, 0x82, 0x01, 0x00}, bytes.Repeat([]byte{0xff}, 256)...)
		return lie(t, c)
	}, identity.ReasonUnreadable},
	{"garbage above a good one", func(t *testing.T, p *pki) tls.Certificate {
		c := p.outside.leaf(t)
		c.Certificate = append(c.Certificate, []byte("garbage"))
		return c
	}, identity.ReasonUnreadable},
}

func fingerprint(c tls.Certificate) string {
	return identity.Fingerprint(c.Certificate[0])
}

// Every certificate is shown to a real server, in both versions of TLS.
func TestCertificates(t *testing.T) {
	fresh := open(t)
	for _, c := range slices.Concat(good, bad) {
		for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				p := newPKI(t, fresh)
				shown := c.make(t, p)
				caller, state, err := p.handshake(t, p.client(t, shown, version))
				if c.want == "" {
					if err != nil || caller.Kind != hippad.KindCertificate || caller.ID != fingerprint(shown) || !caller.May(hippad.ActRecord) ||
						caller.May(hippad.ActRead) || !p.Current(caller.Principal) || state.Version != version {
						t.Fatalf("not admitted: %v, %v, %x", caller, err, state.Version)
					}
					return
				}
				if err == nil || reason(err) != c.want {
					t.Fatalf("%v (reason %q), want %q", err, reason(err), c.want)
				}
				// Admit, asked all the same, gives nothing.
				var chain []*x509.Certificate
				for _, der := range shown.Certificate {
					parsed, err := x509.ParseCertificate(der)
					if err != nil {
						return
					}
					chain = append(chain, parsed)
				}
				if c.want == identity.ReasonKey {
					return // the key is TLS's matter alone
				}
				caller = p.Admit(tls.ConnectionState{PeerCertificates: chain}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)})
				if c.want != identity.ReasonTooLarge && len(caller.Roles) > 0 {
					t.Errorf("Admit gives it %v", caller.Roles)
				}
			})
		}
	}
	if len(good) < 10 || len(bad) < 40 {
		t.Errorf("only %d good and %d bad certificates", len(good), len(bad))
	}
}
