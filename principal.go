package hippad

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// A PrincipalKind says how a principal is known.
type PrincipalKind string

// The kinds of principals.
const (
	KindSelf        PrincipalKind = "self"        // this log itself
	KindOperator    PrincipalKind = "operator"    // the holder of the operator certificate that serve leaves in its data directory
	KindCertificate PrincipalKind = "certificate" // a TLS client certificate, by fingerprint
	KindToken       PrincipalKind = "token"       // a bearer token, by its public id
	KindPerson      PrincipalKind = "person"      // somebody who has signed in, by account
	KindAddress     PrincipalKind = "address"     // nothing but a network address
)

// A Principal is who is on the other end.
type Principal struct {
	Kind PrincipalKind
	// ID is, of a certificate, "sha256:" and 64 hex digits of the DER; of a token its id in the register; of a person the
	// name of a local account, or issuer and subject of OpenID Connect with a space between; of an address an IP address
	// without port; of self the log's origin.
	ID   string
	Name string // for people: the certificate's common name, or the member's; may be empty and proves nothing
	// Organisation is whose system or member of staff it is, as this log's register has it: never what the other side says.
	// Empty if the register does not say.
	Organisation string
}

// String returns kind and id, as in "certificate:sha256:9f86…" or "address:192.0.2.7": the form in searches
// (_reporter=…). ParsePrincipal reads it back, without name and organisation.
func (p Principal) String() string { return string(p.Kind) + ":" + p.ID }

// ParsePrincipal reads the form that String writes.
func ParsePrincipal(s string) (Principal, error) {
	kind, id, ok := strings.Cut(s, ":")
	p := Principal{Kind: PrincipalKind(kind), ID: id}
	switch p.Kind {
	case KindSelf, KindOperator, KindCertificate, KindToken, KindPerson, KindAddress:
		if ok && id != "" {
			return p, nil
		}
	}
	return Principal{}, fmt.Errorf("principal %q: want kind:id", s)
}

// Key returns the short name of a principal that stands in a leaf: the first 8 bytes of the SHA-256 of String.
func (p Principal) Key() [8]byte {
	sum := sha256.Sum256([]byte(p.String()))
	return [8]byte(sum[:8])
}
