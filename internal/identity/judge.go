package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hippad"
)

// Why a certificate is not good: the words of CertificateError.Reason.
const (
	ReasonUnreadable   = "unreadable"            // not a certificate that can be parsed
	ReasonTooLarge     = "too-large"             // more than TLS carries here: 256 KiB
	ReasonTooLong      = "chain-too-long"        // more certificates than maxChain, or too many ways through them
	ReasonWeakKey      = "weak-key"              // RSA under 2048 or over 8192 bits, a curve below P-256, another kind of key
	ReasonWeakSign     = "weak-signature"        // SHA-1, MD5, or a signature algorithm that is not known
	ReasonNotYetValid  = "not-yet-valid"         // it, or one above it, is not valid before a later time
	ReasonExpired      = "expired"               // it, or one above it, has ended
	ReasonRevoked      = "revoked"               // by its member, by fingerprint, or on its authority's list
	ReasonReplaced     = "replaced"              // a newer one was issued, more than graceTime ago
	ReasonAuthority    = "authority-certificate" // a CA's own certificate, and not pinned
	ReasonMember       = "unknown-member"        // issued here, to nobody in the register
	ReasonIssuer       = "unknown-authority"     // not pinned, and no chain to an authority that is trusted
	ReasonUsage        = "wrong-usage"           // it, or one above it, is not for clients (extended key usage)
	ReasonConstraint   = "name-constraint"       // its authority may not certify its names
	ReasonPathLength   = "path-length"           // too many certificates below an authority that limits them
	ReasonNotAuthority = "not-an-authority"      // one above it may not issue certificates
	ReasonExtension    = "critical-extension"    // it says that it must not be used by who does not know an extension
	ReasonChain        = "invalid-chain"         // its chain is not good for another reason, a certificate policy for one
	ReasonKey          = "wrong-key"             // whoever shows it does not hold its key
)

const (
	// maxChain is how many certificates a client may show: a deep hierarchy has four.
	maxChain = 10
	minRSA   = 2048
	maxRSA   = 8192
)

// A CertificateError says that a client certificate is not good. It quotes nothing of the certificate, which may be hostile.
type CertificateError struct {
	Reason      string // one of the words above
	Fingerprint string // "sha256:" and 64 hex digits of the DER; empty if the certificate could not be read
}

func (e *CertificateError) Error() string {
	if e.Fingerprint == "" {
		return "client certificate refused: " + e.Reason
	}
	return fmt.Sprintf("client certificate refused: %s (%s)", e.Reason, e.Fingerprint)
}

// RefusalOf finds in the error of a TLS handshake why the client's certificate was refused; nil if the handshake has failed
// for another reason. Some certificates are refused by crypto/tls before ServerTLS sees them; it has no types for that, so
// they are known by its texts, which the tests of this package hold on to.
func RefusalOf(err error) *CertificateError {
	if e, ok := errors.AsType[*CertificateError](err); ok || err == nil {
		return e
	}
	for text, reason := range map[string]string{
		"tls: failed to parse client certificate":                       ReasonUnreadable,
		"tls: client sent certificate containing RSA key":               ReasonWeakKey,
		"tls: client certificate contains an unsupported public key":    ReasonWeakKey,
		"tls: handshake message of length":                              ReasonTooLarge,
		"tls: invalid signature by the client certificate":              ReasonKey,
		"tls: client certificate used with invalid signature algorithm": ReasonKey,
	} {
		if strings.Contains(err.Error(), text) {
			return &CertificateError{Reason: reason}
		}
	}
	return nil
}

// A verdict is why a certificate is good: exactly one of the first three is set.
type verdict struct {
	operator  bool
	member    *record
	authority *authority
	// Of a certificate of an outside authority, what Current needs.
	links []link
	until time.Time
}

// A link is a certificate directly below a trusted one: what a revocation list can name.
type link struct {
	anchor string // fingerprint
	serial string
}

// judge decides about the certificates that a client shows, its own first. The key behind it is TLS's matter.
func (a *Authority) judge(chain []*x509.Certificate) (verdict, error) {
	c := chain[0]
	id := Fingerprint(c.Raw)
	refuse := func(reason string) (verdict, error) {
		return verdict{}, &CertificateError{Reason: reason, Fingerprint: id}
	}
	if len(chain) > maxChain {
		return refuse(ReasonTooLong)
	}
	now := a.options.Now()
	if reason := unfit(c); reason != "" {
		return refuse(reason)
	}
	switch {
	case now.Before(c.NotBefore):
		return refuse(ReasonNotYetValid)
	case now.After(c.NotAfter):
		return refuse(ReasonExpired)
	}
	r := a.register.Load()
	var v verdict
	h, held := r.certificates[id]
	switch {
	case r.revoked[id]:
		return refuse(ReasonRevoked)
	case held:
		if reason := h.ended(now); reason != "" {
			return refuse(reason)
		}
		v.member = h.member
	case id == Fingerprint(a.operator.get().Leaf.Raw):
		v.operator = true
	default:
		var reason string
		if v, reason = r.follow(chain, now); reason != "" {
			return refuse(reason)
		}
	}
	// A certificate without this extension is for everything: ITI TF-2 3.19.6.1.3 requires none.
	if (len(c.ExtKeyUsage) > 0 || len(c.UnknownExtKeyUsage) > 0) &&
		!slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return refuse(ReasonUsage)
	}
	if c.IsCA && !held {
		return refuse(ReasonAuthority)
	}
	return v, nil
}

// follow looks for a chain to a trusted authority, and says why there is none. Names are not compared with anything (ITI
// TF-2 3.19.6.1.3), but an authority's own constraints on them hold.
func (r *register) follow(chain []*x509.Certificate, now time.Time) (v verdict, reason string) {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{
		Roots: r.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return v, reasonOf(err, chain, now)
	}
	for _, path := range chains {
		if len(path) < 2 { // a trusted authority itself
			return v, ReasonAuthority
		}
		until := path[0].NotAfter
		for _, c := range path[:len(path)-1] {
			if reason := unfit(c); reason != "" {
				return v, reason
			}
			if c.NotAfter.Before(until) {
				until = c.NotAfter
			}
		}
		top := r.anchors[Fingerprint(path[len(path)-1].Raw)]
		if top.authority == nil {
			return v, ReasonMember
		}
		l := link{Fingerprint(top.certificate.Raw), path[len(path)-2].SerialNumber.Text(16)}
		if top.crl.has(l.serial) {
			return v, ReasonRevoked
		}
		v.links = append(v.links, l)
		if until.After(v.until) {
			v.until = until
		}
		// One certificate can be below several authorities that have certified each other: the choice must not change.
		if v.authority == nil || top.authority.Name < v.authority.Name {
			v.authority = top.authority
		}
	}
	return v, ""
}

// unfit says what is wrong with a certificate whoever has issued it.
func unfit(c *x509.Certificate) string { return weakness(c.PublicKey, c.SignatureAlgorithm) }

func weakness(key any, signature x509.SignatureAlgorithm) string {
	if !strong(key) {
		return ReasonWeakKey
	}
	if !sound(signature) {
		return ReasonWeakSign
	}
	return ""
}

func sound(signature x509.SignatureAlgorithm) bool {
	switch signature {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
		return true
	}
	return false
}

func strong(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA && k.E >= 3
	case *ecdsa.PublicKey:
		return k.Params().BitSize >= 256
	case ed25519.PublicKey:
		return true
	}
	return false
}

// reasonOf puts an error of x509.Certificate.Verify into our words.
func reasonOf(err error, chain []*x509.Certificate, now time.Time) string {
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch e.Reason {
		case x509.Expired:
			if now.Before(e.Cert.NotBefore) {
				return ReasonNotYetValid
			}
			return ReasonExpired
		case x509.IncompatibleUsage:
			return ReasonUsage
		case x509.CANotAuthorizedForThisName:
			return ReasonConstraint
		case x509.TooManyIntermediates:
			return ReasonPathLength
		case x509.NotAuthorizedToSign:
			return ReasonNotAuthority
		}
		return ReasonChain
	}
	if _, ok := errors.AsType[x509.UnhandledCriticalExtension](err); ok {
		return ReasonExtension
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		for _, c := range chain[1:] { // a link that Verify does not follow, for what it is: say so
			if reason := unfit(c); reason != "" && string(c.RawIssuer) != string(c.RawSubject) {
				return reason
			}
			if string(c.RawSubject) == string(chain[0].RawIssuer) && c.Version == 3 && !c.IsCA {
				return ReasonNotAuthority
			}
		}
		return ReasonIssuer
	}
	return ReasonTooLong // the bound of Verify on the signatures that it checks is the only other one
}

// errUnfit refuses a certificate or a request that an administrator or a member hands in.
func errUnfit(reason string) error {
	return hippad.Errorf(hippad.Invalid, "this is not accepted: %s", reason).
		WithHint("keys: RSA of %d to %d bits, ECDSA of P-256 or better, Ed25519; signatures: SHA-256 or better", minRSA, maxRSA)
}

// Fingerprint is how certificates are known in the register and in hippad.Principal: "sha256:" and the 64 hex digits of the
// SHA-256 of the DER.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}
