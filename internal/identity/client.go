package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hippad"
)

// OperatorTLS returns the operator's side of the handshake, from the data directory of a server on this machine. It accepts
// that server, whatever name it is reached by: the one whose certificate is in the directory, or which the log's authority has
// certified as a server, and it certifies no other.
func OperatorTLS(dir string) (*tls.Config, error) {
	c, err := ReporterTLS(filepath.Join(dir, caFile), certificateFile(dir, operator))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hippad.Errorf(hippad.Unauthorised, "%s is not the data directory of a hippad server, or not yours to read", dir).
			WithHint("give the directory with --data; hippad serve makes one")
	} else if err != nil {
		return nil, err
	}
	var own [][]byte
	for _, name := range []string{server, serverRSA} {
		if pair, err := load(certificateFile(dir, name), name); err == nil { // one that is damaged is the server's matter
			own = append(own, pair.Certificate[0])
		}
	}
	// Go's own verification is replaced, not left out: the files of this directory say more than a chain does.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		leaf := s.PeerCertificates[0]
		if slices.ContainsFunc(own, func(der []byte) bool { return bytes.Equal(der, leaf.Raw) }) {
			return nil
		}
		return verifyServer(s, c.RootCAs, c.Time)
	}
	return c, nil
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

// NewRequest makes a key (PEM, PKCS #8) and a request for a certificate of it (PKCS #10, DER), on the machine of the one that
// enrols or renews. The request names nobody: who it is for is in the server's register.
func NewRequest() (keyPEM, csrDER []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	if csrDER, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key); err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), csrDER, nil
}

// BootstrapTLS returns the client's side of the handshake for one that has nothing but an enrolment token of Invite: it
// accepts a server whose certificate is below the one whose key the token names, and no other. The name of the host is not
// compared: the token says which authority, that authority certifies one server, and a machine that enrols may know it by
// any address.
func BootstrapTLS(token string) (*tls.Config, error) {
	_, pin, ok := parseEnrolment(token)
	if !ok {
		return nil, hippad.Errorf(hippad.Invalid, "this is not an enrolment token").WithHint("it begins with %s; hippad member invite makes one", enrolPrefix)
	}
	// Go's own verification is replaced, not left out: VerifyConnection is called in every handshake.
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		for _, top := range s.PeerCertificates {
			if subtle.ConstantTimeCompare(keyPin(top), pin) == 1 {
				roots := x509.NewCertPool()
				roots.AddCert(top)
				return verifyServer(s, roots, c.Time)
			}
		}
		return hippad.Errorf(hippad.Unauthorised, "this is not the server that the enrolment token is for").
			WithHint("check the address; if it is right, somebody is in between")
	}
	return c, nil
}

// verifyServer checks the chain of a server's certificate, and that it is one for servers.
func verifyServer(s tls.ConnectionState, roots *x509.CertPool, now func() time.Time) error {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	if now != nil {
		o.CurrentTime = now()
	}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	return err
}
