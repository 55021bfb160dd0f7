// Package identity owns who is on the other end: the log's own certificate authority, the certificates it issues, and the
// step from a finished TLS handshake to a hippad.Principal.
//
// It does not decide what a principal may do (internal/repository does) and knows nothing of the log's keys
// (internal/seal). The invariant: a principal is only ever what the handshake has proved, a key in somebody's hand
// or an address, and never a name that the other side has chosen.
package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hippad"
	"hippad/internal/durable"
)

// Files of a data directory. Everything under keys is secret.
const (
	caFile   = "ca.pem" // public: what clients trust
	keysDir  = "keys"
	caName   = "ca"
	server   = "server"
	operator = "operator"
)

const (
	caLife = 20 * 365 * 24 * time.Hour
	// leafLife is the two years that ITI TF-2 3.19.6.1.3 advises; a certificate is issued anew in its last quarter.
	leafLife = 2 * 365 * 24 * time.Hour
)

// An Authority is a data directory's certificates: its CA, and the server's and the operator's certificates.
type Authority struct {
	server   tls.Certificate
	operator hippad.Principal
}

// Open reads the certificates of the data directory dir, and makes those that are not there. hosts are the names and
// addresses that the server certificate must cover, besides localhost; it is issued anew when one is not covered or its
// end is near. A damaged file is an error that names it.
func Open(dir string, hosts []string, now time.Time) (*Authority, error) {
	ca, err := load(dir, caName)
	if errors.Is(err, fs.ErrNotExist) {
		ca, err = issue(dir, caName, nil, &x509.Certificate{
			Subject: pkix.Name{CommonName: "hippad certificate authority"}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife),
		})
	}
	if err != nil {
		return nil, err
	}
	// The public copy is derived: written again whenever it is missing or differs.
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate[0]})
	if old, err := os.ReadFile(filepath.Join(dir, caFile)); err != nil || string(old) != string(caPEM) {
		if err := durable.WriteFile(filepath.Join(dir, caFile), caPEM, 0o644); err != nil {
			return nil, err
		}
	}

	hosts = append([]string{"localhost", "127.0.0.1", "::1"}, hosts...)
	srv, err := load(dir, server)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !serves(srv.Leaf, hosts, now) {
		t := &x509.Certificate{
			Subject: pkix.Name{CommonName: "hippad server"}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		}
		for _, h := range hosts {
			if ip := net.ParseIP(h); ip != nil {
				t.IPAddresses = append(t.IPAddresses, ip)
			} else if !slices.Contains(t.DNSNames, h) {
				t.DNSNames = append(t.DNSNames, h)
			}
		}
		srv, err = issue(dir, server, &ca, t)
	}
	if err != nil {
		return nil, err
	}

	op, err := load(dir, operator)
	if errors.Is(err, fs.ErrNotExist) || err == nil && ending(op.Leaf, now) {
		op, err = issue(dir, operator, &ca, &x509.Certificate{
			Subject: pkix.Name{CommonName: "hippad operator"}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		})
	}
	if err != nil {
		return nil, err
	}
	srv.Certificate = append(srv.Certificate, ca.Certificate[0])
	return &Authority{
		server:   srv,
		operator: hippad.Principal{Kind: hippad.KindOperator, ID: fingerprint(op.Leaf), Name: op.Leaf.Subject.CommonName},
	}, nil
}

func ending(c *x509.Certificate, now time.Time) bool {
	return now.After(c.NotAfter.Add(-leafLife / 4))
}

func serves(c *x509.Certificate, hosts []string, now time.Time) bool {
	return !ending(c, now) && !slices.ContainsFunc(hosts, func(h string) bool { return c.VerifyHostname(h) != nil })
}

func certificateFile(dir, name string) string { return filepath.Join(dir, keysDir, name+".pem") }

// load reads a certificate and its key, which are in one file so that they cannot be torn apart by a crash.
func load(dir, name string) (tls.Certificate, error) {
	file := certificateFile(dir, name)
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

// issue makes a key and a certificate signed by ca (by itself when ca is nil) and writes both to one file.
func issue(dir, name string, ca *tls.Certificate, t *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return tls.Certificate{}, err
	}
	parent, signer := t, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue the %s certificate: %w", name, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	if err := durable.WriteFile(certificateFile(dir, name), text, 0o600); err != nil {
		return tls.Certificate{}, err
	}
	return load(dir, name)
}
