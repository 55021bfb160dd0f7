// Package identity owns who is on the other end: the log's own certificate authority and the certificates it issues, the
// register of members (systems and services, by certificate or by bearer token), the outside authorities whose certificates
// are trusted besides, and the step from a finished TLS handshake, or a token, to a hippad.Caller. It also owns the counting
// of wrong secrets (Throttle).
//
// It does not know people and their accounts (internal/account), does not decide what a role may do (hippad.Grant.May),
// writes no log entries, and knows nothing of the log's keys (internal/seal). The invariant: a caller is only ever what the
// handshake or the token has proved, a key in somebody's hand or an address, with the rights that this log's own register
// gives; and what is revoked is refused by the next handshake, resumed or not, and by Current.
//
// Everything is in the folder keys of the data directory: ca.pem, server.pem, server-rsa.pem and operator.pem (certificate
// and key together), members.json (see document) and crl (one file for each CA certificate, named by its fingerprint). One
// process at a time may change it.
package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hippad"
	"hippad/internal/durable"
)

// Files of a data directory. Everything under keys is secret.
const (
	caFile    = "ca.pem" // public: what clients trust
	keysDir   = "keys"
	caName    = "ca"
	server    = "server"
	serverRSA = "server-rsa"
	operator  = "operator"
)

const (
	caLife = 20 * 365 * 24 * time.Hour
	// leafLife is the two years that ITI TF-2 3.19.6.1.3 advises; a certificate is issued anew in its last quarter.
	leafLife = 2 * 365 * 24 * time.Hour
	// warnBefore is how long before an end that nobody else takes care of Warnings begins to speak of it.
	warnBefore = 30 * 24 * time.Hour
	// rsaBits of the server's RSA key: the size that every RSA client knows; the key lives two years.
	rsaBits = 2048
)

// Options say how an Authority is opened. Zero fields have the defaults named.
type Options struct {
	Now           func() time.Time // time.Now
	Trusted       []netip.Prefix   // networks whose senders may report without a certificate, recorded by address; none
	LegacySuite   bool             // also offer TLS_RSA_WITH_AES_128_CBC_SHA (RFC 9662 section 5: for migration only)
	OperatorRoles []hippad.Role    // what the operator's certificate may do; every role but patient
	OnChange      func()           // called after the register has changed, outside every lock; see Current
	Throttle      *Throttle        // counts wrong tokens; one of its own
}

// An Authority is the certificates and the register of a data directory. It is safe for use by many goroutines.
type Authority struct {
	dir      string
	hosts    []string
	options  Options
	ca       tls.Certificate
	servers  []*keyFile // ECDSA, which is cheaper, and RSA, which ITI-19 and RFC 9662 name; both may be replaced on disk
	operator *keyFile

	mu       sync.Mutex // orders changes
	register atomic.Pointer[register]
	guests   guests
}

// Open reads the certificates and the register of the data directory dir, and makes those that are not there. hosts are the
// names and addresses that the server certificates must cover, besides localhost; one that this authority has issued is
// issued anew when one is not covered or its end is near. A damaged file is an error that names it.
func Open(dir string, hosts []string, o Options) (*Authority, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.OperatorRoles) == 0 {
		o.OperatorRoles = slices.DeleteFunc(slices.Clone(hippad.Roles), func(r hippad.Role) bool { return r == hippad.RolePatient })
	}
	if o.Throttle == nil {
		o.Throttle = NewThrottle(ThrottleOptions{Now: o.Now})
	}
	a := &Authority{dir: dir, hosts: append([]string{"localhost", "127.0.0.1", "::1"}, hosts...), options: o}
	a.guests.max = maxGuests
	if err := a.openCA(o.Now()); err != nil {
		return nil, err
	}
	for _, name := range []string{server, serverRSA} {
		a.servers = append(a.servers, &keyFile{path: certificateFile(dir, name), name: name, ca: a.ca.Leaf})
	}
	a.operator = &keyFile{path: certificateFile(dir, operator), name: operator, ca: a.ca.Leaf}
	if err := a.Renew(o.Now()); err != nil {
		return nil, err
	}
	for _, f := range append([]*keyFile{a.operator}, a.servers...) {
		if err := f.read(); err != nil {
			return nil, err
		}
	}
	r, err := a.readRegister()
	if err != nil {
		return nil, err
	}
	a.register.Store(r)
	return a, nil
}

// openCA reads the log's own authority, or makes it.
func (a *Authority) openCA(now time.Time) (err error) {
	a.ca, err = load(certificateFile(a.dir, caName), caName)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		template := &x509.Certificate{
			Subject: pkix.Name{CommonName: "hippad certificate authority"}, IsCA: true, BasicConstraintsValid: true,
			MaxPathLenZero: true, // it issues to members and to nobody who issues
			KeyUsage:       x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife),
		}
		der, err := sign(template, template, key.Public(), key)
		if err != nil {
			return fmt.Errorf("issue the certificate authority: %w", err)
		}
		if err := keep(certificateFile(a.dir, caName), der, key); err != nil {
			return err
		}
		if a.ca, err = load(certificateFile(a.dir, caName), caName); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	// The public copy is derived: written again whenever it is missing or differs.
	public := filepath.Join(a.dir, caFile)
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.ca.Certificate[0]})
	if old, err := os.ReadFile(public); err != nil || string(old) != string(caPEM) {
		return durable.WriteFile(public, caPEM, 0o644)
	}
	return nil
}

// Renew issues the server's and the operator's certificates anew that are missing, in the last quarter of their life, or do
// not cover the hosts of Open. One that somebody else has issued is left alone: Warnings speaks of its end. New handshakes
// use the new ones at once; the operator's old one is no longer good. To be called daily.
func (a *Authority) Renew(now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range []string{server, serverRSA, operator} {
		old, err := load(certificateFile(a.dir, name), name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case old.Leaf.CheckSignatureFrom(a.ca.Leaf) != nil, !ending(old.Leaf, now) && (name == operator || covers(old.Leaf, a.hosts)):
			continue
		}
		if err := a.issueOwn(name, now); err != nil {
			return fmt.Errorf("issue the %s certificate: %w", name, err)
		}
	}
	return nil
}

// issueOwn makes a key and a certificate for the server or the operator.
func (a *Authority) issueOwn(name string, now time.Time) error {
	t := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: now.Add(-time.Hour), NotAfter: a.end(now)}
	var key crypto.Signer
	var err error
	if name == serverRSA {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment // for the key exchange of RFC 9662's old suite
		key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return err
	}
	if name == operator {
		t.Subject.CommonName = "hippad operator"
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	} else {
		t.Subject.CommonName = "hippad server"
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, h := range a.hosts {
			if ip := net.ParseIP(h); ip != nil {
				t.IPAddresses = append(t.IPAddresses, ip)
			} else if !slices.Contains(t.DNSNames, h) {
				t.DNSNames = append(t.DNSNames, h)
			}
		}
	}
	der, err := sign(t, a.ca.Leaf, key.Public(), a.ca.PrivateKey)
	if err != nil {
		return err
	}
	return keep(certificateFile(a.dir, name), der, key)
}

// end is when a certificate that is issued now ends: not after the authority's own.
func (a *Authority) end(now time.Time) time.Time {
	end := now.Add(leafLife)
	if end.After(a.ca.Leaf.NotAfter) {
		end = a.ca.Leaf.NotAfter
	}
	return end
}

func ending(c *x509.Certificate, now time.Time) bool {
	return now.After(c.NotAfter.Add(-leafLife / 4))
}

func covers(c *x509.Certificate, hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(h string) bool { return c.VerifyHostname(h) != nil })
}

// Warnings says, in sentences for the log of the server, what somebody should look after: certificates and tokens that are
// about to end, revocation lists that should have been renewed, files that cannot be read. Members are named by their id.
func (a *Authority) Warnings() []string {
	now := a.options.Now()
	var list []string
	soon := func(end time.Time, what string, args ...any) {
		if what = fmt.Sprintf(what, args...); now.After(end) {
			list = append(list, fmt.Sprintf("%s has ended on %s", what, end.UTC().Format(time.DateOnly)))
		} else if now.After(end.Add(-warnBefore)) {
			list = append(list, fmt.Sprintf("%s ends on %s", what, end.UTC().Format(time.DateOnly)))
		}
	}
	soon(a.ca.Leaf.NotAfter, "the certificate authority of this log")
	for _, f := range append([]*keyFile{a.operator}, a.servers...) {
		pair := f.get()
		soon(pair.Leaf.NotAfter, "the %s certificate", f.name)
		if f.name != operator && !covers(pair.Leaf, a.hosts) {
			list = append(list, fmt.Sprintf("the certificate in %s does not cover every name that this server was given", f.path))
		}
		if err := f.fault(); err != nil {
			list = append(list, fmt.Sprintf("what was read before goes on being used: %v", err))
		}
	}
	r := a.register.Load()
	for _, m := range r.document.Members {
		if m.Revoked.IsZero() && m.Invitation == nil && now.Before(m.Expires.Add(warnBefore)) {
			soon(m.Expires, "the %s of member %s", m.Kind, m.ID)
		}
	}
	for _, o := range r.document.Authorities {
		for _, der := range o.Certificates {
			n := r.anchors[Fingerprint(der)]
			soon(n.certificate.NotAfter, "a certificate of the authority %q", o.Name)
			if n.crl != nil && !n.crl.next.IsZero() && now.After(n.crl.next) {
				list = append(list, fmt.Sprintf("the revocation list of the authority %q has ended on %s: it is still used, and a newer one is due",
					o.Name, n.crl.next.UTC().Format(time.DateOnly)))
			}
		}
	}
	return list
}

func certificateFile(dir, name string) string { return filepath.Join(dir, keysDir, name+".pem") }

// load reads a certificate and its key, which are in one file so that they cannot be torn apart by a crash.
func load(file, name string) (tls.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read the %s certificate: %w", name, err)
	}
	c, err := tls.X509KeyPair(text, text)
	if err != nil {
		return tls.Certificate{}, hippad.Errorf(hippad.Unavailable, "%s is damaged: it holds no certificate with its key", file).
			WithHint("restore it from a backup; the server and operator certificates can also be deleted, and are then made anew")
	}
	return c, nil
}

// sign issues a certificate with a serial number of its own.
func sign(t, parent *x509.Certificate, key crypto.PublicKey, signer crypto.PrivateKey) (der []byte, err error) {
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, t, parent, key, signer)
}

// keep writes a certificate and its key to one file.
func keep(file string, der []byte, key crypto.Signer) error {
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return durable.WriteFile(file, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...), 0o600)
}
