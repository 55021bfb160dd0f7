package identity

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"hippad"
)

// ServerTLS returns the server's side of the handshake: TLS 1.2 or later, and a client certificate if the client has one.
// Which one is Admit's matter: here it only has to prove that it holds the key. protocols are the ALPN names, best first.
//
// Of the four suites that ITI TF-2 3.19.6.2.3 names for TLS 1.2, Go has the two with ECDHE; it has no finite-field DHE.
func (a *Authority) ServerTLS(protocols ...string) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{a.server},
		MinVersion:   tls.VersionTLS12,
		ClientAuth:   tls.RequestClientCert,
		NextProtos:   protocols,
	}
}

// Admit names the other side of a finished handshake: the operator, another certificate by its fingerprint, or, without
// a certificate, the address it comes from.
func (a *Authority) Admit(state tls.ConnectionState, addr net.Addr) hippad.Principal {
	if len(state.PeerCertificates) == 0 {
		return Address(addr)
	}
	c := state.PeerCertificates[0]
	p := hippad.Principal{Kind: hippad.KindCertificate, ID: fingerprint(c), Name: c.Subject.CommonName}
	if p.ID == a.operator.ID {
		return a.operator
	}
	return p
}

// Address is the principal of whom nothing is known but where it sends from.
func Address(addr net.Addr) hippad.Principal {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		host = addr.String()
	}
	return hippad.Principal{Kind: hippad.KindAddress, ID: host}
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// OperatorTLS returns the operator's side of the handshake, from the data directory of a server on this machine.
func OperatorTLS(dir string) (*tls.Config, error) {
	c, err := ReporterTLS(filepath.Join(dir, caFile), certificateFile(dir, operator))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hippad.Errorf(hippad.Unauthorised, "%s is not the data directory of a hippad server, or not yours to read", dir).
			WithHint("give the directory with --data; hippad serve makes one")
	}
	return c, err
}

// ReporterTLS returns the client's side of the handshake for one who trusts the authority in caFile (PEM; empty: the
// system's roots) and, if certFile is not empty, shows the certificate in it (PEM, certificate and key together).
func ReporterTLS(caFile, certFile string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificate authority: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, hippad.Errorf(hippad.Invalid, "%s holds no certificate", caFile)
		}
	}
	if certFile != "" {
		text, err := os.ReadFile(certFile)
		if err != nil {
			return nil, fmt.Errorf("read the certificate: %w", err)
		}
		pair, err := tls.X509KeyPair(text, text)
		if err != nil {
			return nil, hippad.Errorf(hippad.Invalid, "%s holds no certificate with its key", certFile).
				WithHint("put both into one PEM file")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
