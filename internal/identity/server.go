package identity

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"os"
	"sync"
)

// ServerTLS returns the server's side of the handshake: TLS 1.3, or 1.2 at least, and a client certificate if the client has
// one. A client may come without; one that shows a certificate that is not good does not get in, and the error of the
// handshake is, or leads RefusalOf to, a *CertificateError. protocols are the ALPN names, best first.
//
// There is no early data (RFC 9662 section 5): Go has it for QUIC only. A session that is resumed from a ticket is checked
// like a new one, with the certificates that the ticket holds, so that a ticket is worth nothing after a revocation. The
// other side's certificate is asked for without a list of authorities, because a pinned certificate has none.
func (a *Authority) ServerTLS(protocols ...string) *tls.Config {
	return &tls.Config{
		Time:           a.options.Now,
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   suites(a.options.LegacySuite),
		GetCertificate: a.serverCertificate,
		ClientAuth:     tls.RequestClientCert,
		NextProtos:     protocols,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return nil
			}
			_, err := a.judge(s.PeerCertificates)
			return err
		},
	}
}

// suites are those of TLS 1.2; TLS 1.3 has its own, all of them good.
//
// ITI TF-2 3.19.6.2.3 names four: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 (also preferred by RFC 9662 section 4) and
// TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, which are here, and TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 and
// TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, which cannot be: Go has no finite-field Diffie-Hellman, and RFC 9325 section 4.1 (BCP
// 195) advises against it. The others are of RFC 9325 section 4.2 or as strong.
func suites(legacy bool) []uint16 {
	list := []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	if legacy {
		list = append(list, tls.TLS_RSA_WITH_AES_128_CBC_SHA)
	}
	return list
}

// serverCertificate chooses the first certificate that goes with the client's suites and signature schemes. What name the
// client asks for does not matter: devices are given all sorts of addresses, and check what they get or do not.
func (a *Authority) serverCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	nameless := *hello
	nameless.ServerName = ""
	for _, f := range a.servers {
		if pair := f.get(); nameless.SupportsCertificate(pair) == nil {
			return pair, nil
		}
	}
	return a.servers[0].get(), nil
}

// trusted is the certificate, DER, that a client has to trust to accept this server: the log's authority, or, when the
// server certificate has been replaced by somebody else's, the last one of its chain.
func (a *Authority) trusted() []byte {
	chain := a.servers[0].get().Certificate
	return chain[len(chain)-1]
}

// A keyFile is a certificate with its key that may be replaced on disk at any time: the next one who asks gets the new one.
type keyFile struct {
	path, name string
	ca         *x509.Certificate

	mu   sync.Mutex
	seen fs.FileInfo // the version that was read last; nil: none
	pair *tls.Certificate
	err  error // of the newest reading
}

// get returns what the file holds, or, while that cannot be read, what it held before: a copy under way is no reason to
// refuse everybody.
func (f *keyFile) get() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.pair
}

// read is the first get: here an error counts.
func (f *keyFile) read() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refresh()
	return f.err
}

// fault is what was wrong with the newest reading.
func (f *keyFile) fault() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *keyFile) refresh() {
	info, err := os.Stat(f.path)
	if err != nil {
		f.err = err
		return
	}
	if f.seen != nil && os.SameFile(info, f.seen) && info.Size() == f.seen.Size() && info.ModTime().Equal(f.seen.ModTime()) {
		return
	}
	f.seen = info // of before the reading: what is written during it is a new version
	pair, err := load(f.path, f.name)
	f.err = err
	if err != nil {
		return
	}
	if len(pair.Certificate) == 1 && pair.Leaf.CheckSignatureFrom(f.ca) == nil {
		// The authority goes along although TLS does not need it: it is what an enrolment token vouches for.
		pair.Certificate = append(pair.Certificate, f.ca.Raw)
	}
	f.pair = &pair
}
