package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"hippad"
)

const (
	enrolPrefix = "hpe1." // of an enrolment token
	tokenPrefix = "hpt1." // of a bearer token
	// graceTime is how long a certificate stays good after a newer one was issued: a fleet does not change in one moment.
	graceTime = 7 * 24 * time.Hour
	// maxInvitation is the longest life of an enrolment token.
	maxInvitation = 90 * 24 * time.Hour
	// maxCertificates is how many a member may have that are good at the same time.
	maxCertificates = 8
	maxName         = 64  // ub-common-name, RFC 5280 appendix A.1
	maxText         = 200 // bytes of an organisation, a site, a patient's identifier, a scope
	maxList         = 100 // sites, scopes
	maxCSR          = 16 << 10
	maxPEM          = 1 << 20
)

// Members lists everybody in the register, the revoked ones too, in the order in which they came.
func (a *Authority) Members() []Member {
	r := a.register.Load()
	list := make([]Member, 0, len(r.document.Members))
	for _, m := range r.document.Members {
		list = append(list, m.public())
	}
	return list
}

// Invite makes a one-time enrolment token for a new member, good for life (at most 90 days). Of m it takes Name, Roles,
// Organisation, Sites and Patient. The token is "hpe1." and base64url of 16 random bytes and the first 16 bytes of the SHA-256
// of the SubjectPublicKeyInfo of the certificate that the server is to be trusted by (BootstrapTLS checks it); only a hash of
// the random bytes is kept.
func (a *Authority) Invite(m Member, life time.Duration) (token, id string, err error) {
	if life <= 0 || life > maxInvitation {
		return "", "", hippad.Errorf(hippad.Invalid, "an invitation cannot last %v: it can last up to %v", life, maxInvitation)
	}
	trusted, err := x509.ParseCertificate(a.trusted())
	if err != nil {
		return "", "", err
	}
	secret := random(16)
	rec := a.newRecord(m, KindCertificate)
	rec.Member.Authority, rec.Scopes = AuthorityOwn, nil
	rec.Expires = rec.Created.Add(life)
	rec.Invitation = &invitation{Hash: hash(secret), End: rec.Expires}
	if err := a.add(rec); err != nil {
		return "", "", err
	}
	return enrolPrefix + base64.RawURLEncoding.EncodeToString(append(secret, keyPin(trusted)...)), rec.ID, nil
}

// Enrol trades an enrolment token for a certificate of the key in a PKCS #10 request (DER). It is good for two years; its
// subject is the member's name, whatever the request says. Each token works once, however many try. It returns, too, what
// the member has to trust to know this server. Kind Unauthorised for a token that is wrong, used, revoked or has ended, the
// same for all of them; kind Invalid for a bad request, after which the token is as good as before.
//
// The token is used up when this returns: a member that does not get the answer has to be invited again.
func (a *Authority) Enrol(token string, csrDER []byte) (certDER, caDER []byte, m Member, err error) {
	bad := hippad.Errorf(hippad.Unauthorised, "this enrolment token is not good, or not any more").
		WithHint("each works once and for a limited time: ask for a new one (hippad member invite)")
	secret, _, ok := parseEnrolment(token)
	if !ok {
		return nil, nil, Member{}, bad
	}
	now := a.options.Now()
	key := string(hash(secret))
	invited := func(r *register) *record { // found by its hash: nothing here takes longer the more of a guess is right
		m := r.invitations[key]
		if m == nil || !m.Revoked.IsZero() || now.After(m.Invitation.End) {
			return nil
		}
		return m
	}
	rec := invited(a.register.Load())
	if rec == nil {
		return nil, nil, Member{}, bad
	}
	csr, err := parseRequest(csrDER)
	if err != nil {
		return nil, nil, Member{}, err
	}
	certDER, h, err := a.certify(rec.Name, csr, now)
	if err != nil {
		return nil, nil, Member{}, err
	}
	var after record
	err = a.change(func(d *document, r *register) error {
		m := invited(r)
		if m == nil {
			return bad
		}
		after = *m
		after.Invitation, after.Certificates, after.Expires = nil, []held{h}, h.End
		d.replace(&after)
		return nil
	})
	if err != nil {
		return nil, nil, Member{}, err
	}
	return certDER, a.trusted(), after.public(), nil
}

// Reissue gives a member that shows a good certificate one for a new key. The old one stays good for seven days, or to its
// end. Kind Unauthorised if the caller is not a member by certificate.
func (a *Authority) Reissue(c hippad.Caller, csrDER []byte) (certDER, caDER []byte, m Member, err error) {
	bad := hippad.Errorf(hippad.Unauthorised, "renewing needs a good certificate of a member")
	now := a.options.Now()
	member := func(r *register) *record {
		h, ok := r.certificates[c.ID]
		if c.Kind != hippad.KindCertificate || !ok || h.ended(now) != "" {
			return nil
		}
		return h.member
	}
	rec := member(a.register.Load())
	if rec == nil {
		return nil, nil, Member{}, bad
	}
	csr, err := parseRequest(csrDER)
	if err != nil {
		return nil, nil, Member{}, err
	}
	certDER, next, err := a.certify(rec.Name, csr, now)
	if err != nil {
		return nil, nil, Member{}, err
	}
	var after record
	err = a.change(func(d *document, r *register) error {
		m := member(r)
		if m == nil {
			return bad
		}
		after = *m
		after.Certificates = nil
		good := 0
		for _, h := range m.Certificates {
			if grace := now.Add(graceTime).UTC().Truncate(time.Second); h.Until.After(grace) {
				h.Until = grace
			}
			if !now.After(h.Until) {
				good++
			}
			if !now.After(h.End) { // one that has ended is refused whoever it belonged to
				after.Certificates = append(after.Certificates, h)
			}
		}
		if good >= maxCertificates {
			return hippad.Errorf(hippad.Busy, "this member has %d certificates already", good).WithHint("old ones end in %v", graceTime)
		}
		after.Certificates = append(after.Certificates, next)
		after.Member.Authority, after.Expires = AuthorityOwn, next.End
		d.replace(&after)
		return nil
	})
	if err != nil {
		return nil, nil, Member{}, err
	}
	return certDER, a.trusted(), after.public(), nil
}

// Pin makes a member of whoever holds the key of one certificate (PEM), self-signed or from anywhere: the direct validation of
// ITI TF-2 3.19.6.1.2. Kind Conflict if the certificate has a member already.
func (a *Authority) Pin(m Member, certPEM []byte) (Member, error) {
	list, err := parsePEM(certPEM)
	if err != nil {
		return Member{}, err
	}
	if len(list) != 1 {
		return Member{}, hippad.Errorf(hippad.Invalid, "%d certificates: want the one to be pinned", len(list))
	}
	c := list[0]
	if reason := unfit(c); reason != "" {
		return Member{}, errUnfit(reason)
	}
	rec := a.newRecord(m, KindCertificate)
	if rec.Created.After(c.NotAfter) {
		return Member{}, hippad.Errorf(hippad.Invalid, "the certificate has ended on %s", c.NotAfter.UTC().Format(time.DateOnly))
	}
	h := held{Fingerprint: Fingerprint(c.Raw), End: c.NotAfter.UTC(), Until: c.NotAfter.UTC()}
	rec.Member.Authority, rec.Expires, rec.Certificates = AuthorityPinned, h.End, []held{h}
	if h.Fingerprint == Fingerprint(a.operator.get().Leaf.Raw) {
		return Member{}, hippad.Errorf(hippad.Conflict, "this is the operator's certificate")
	}
	if err := a.add(rec); err != nil {
		return Member{}, err
	}
	return rec.public(), nil
}

// IssueToken makes a bearer token for a member that cannot show a certificate. Of m it takes Name, Roles, Scopes (SMART, see
// hippad.ScopesToRoles; their roles are added to Roles), Organisation, Sites, Patient, and Expires (zero: two years from now). The
// token is "hpt1." with the member's id, a dot, and base64url of 32 random bytes, of which only a hash is kept.
func (a *Authority) IssueToken(m Member) (secret, id string, err error) {
	rec := a.newRecord(m, KindToken)
	fromScopes, err := hippad.ScopesToRoles(m.Scopes)
	if err != nil {
		return "", "", err
	}
	rec.Roles = roleSet(append(rec.Roles, fromScopes...))
	if rec.Expires = m.Expires.UTC().Truncate(time.Second); m.Expires.IsZero() {
		rec.Expires = rec.Created.Add(leafLife)
	}
	if !rec.Expires.After(rec.Created) {
		return "", "", hippad.Errorf(hippad.Invalid, "the token would have ended already")
	}
	random := random(32)
	rec.Secret = hash(random)
	if err := a.add(rec); err != nil {
		return "", "", err
	}
	return tokenPrefix + rec.ID + "." + base64.RawURLEncoding.EncodeToString(random), rec.ID, nil
}

// Revoke ends a member with all that it has, by its id, or one certificate, by its fingerprint ("sha256:" and 64 hex
// digits), whoever has issued it. It holds from the next handshake on; for open connections see Current. Repeating it
// changes nothing. Kind NotFound if there is no such member.
func (a *Authority) Revoke(id string) error {
	now := a.options.Now().UTC().Truncate(time.Second)
	return a.change(func(d *document, r *register) error {
		if m := r.members[id]; m != nil {
			after := *m
			if after.Revoked.IsZero() {
				after.Revoked = now
			}
			d.replace(&after)
			return nil
		}
		if digits, ok := strings.CutPrefix(id, "sha256:"); !ok || len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
			return hippad.Errorf(hippad.NotFound, "there is no such member").WithHint("hippad member list shows the ids")
		}
		if id == Fingerprint(a.operator.get().Leaf.Raw) {
			return hippad.Errorf(hippad.Conflict, "this is the operator's certificate").WithHint("delete keys/operator.pem and restart: a new one is made")
		}
		h, ok := r.certificates[id]
		if !ok {
			if !r.revoked[id] {
				d.Revoked = append(d.Revoked, id)
			}
			return nil
		}
		after := *h.member
		after.Certificates = slices.Clone(after.Certificates)
		for i := range after.Certificates {
			if c := &after.Certificates[i]; c.Fingerprint == id && c.Revoked.IsZero() {
				c.Revoked = now
			}
		}
		d.replace(&after)
		return nil
	})
}

// newRecord takes over what an administrator may say about a member.
func (a *Authority) newRecord(m Member, kind string) *record {
	return &record{Member: Member{
		Name: m.Name, Kind: kind, Roles: roleSet(m.Roles), Organisation: m.Organisation, Sites: slices.Clone(m.Sites), Patient: m.Patient,
		Scopes: slices.Clone(m.Scopes), Created: a.options.Now().UTC().Truncate(time.Second),
	}}
}

// add gives a new member its id and stores it.
func (a *Authority) add(m *record) error {
	if err := m.check(); err != nil {
		return err
	}
	return a.change(func(d *document, r *register) error {
		for _, h := range m.Certificates {
			if old, ok := r.certificates[h.Fingerprint]; ok {
				return hippad.Errorf(hippad.Conflict, "this certificate belongs to member %s already", old.member.ID)
			}
			if r.revoked[h.Fingerprint] {
				return hippad.Errorf(hippad.Conflict, "this certificate has been revoked")
			}
		}
		d.forget(m.Created)
		for m.ID = newID(); r.members[m.ID] != nil; m.ID = newID() {
		}
		d.Members = append(d.Members, m)
		return nil
	})
}

// check tells whether a member can be in the register. What it says quotes nothing: a site or a patient may be in it.
func (m *record) check() error {
	switch {
	case m.Name == "" || len(m.Name) > maxName || !isLine(m.Name):
		return hippad.Errorf(hippad.Invalid, "a member needs a name: one line of at most %d bytes", maxName)
	case m.Kind != KindCertificate && m.Kind != KindToken:
		return hippad.Errorf(hippad.Invalid, "a member is a %s or a %s", KindCertificate, KindToken)
	case !isLine(m.Organisation) || !isLine(m.Patient):
		return hippad.Errorf(hippad.Invalid, "organisation and patient must be one line each, of at most %d bytes", maxText)
	case len(m.Sites) > maxList || len(m.Scopes) > maxList || slices.ContainsFunc(m.Sites, func(s string) bool { return s == "" || !isLine(s) }):
		return hippad.Errorf(hippad.Invalid, "sites must be at most %d lines of at most %d bytes, none of them empty", maxList, maxText)
	case m.Kind == KindCertificate && len(m.Scopes) > 0:
		return hippad.Errorf(hippad.Invalid, "scopes are for tokens: a certificate has roles")
	case (m.Patient != "") != slices.Contains(m.Roles, hippad.RolePatient):
		return hippad.Errorf(hippad.Invalid, "the role patient, or a patient/ scope, goes with the identifier of one patient, and the other way round")
	}
	return checkRoles(m.Roles)
}

func checkRoles(roles []hippad.Role) error {
	if len(roles) == 0 {
		return hippad.Errorf(hippad.Invalid, "a role is needed").WithHint("one of %v", hippad.Roles)
	}
	for _, r := range roles {
		if !slices.Contains(hippad.Roles, r) {
			return hippad.Errorf(hippad.Invalid, "there is no role %.40q", string(r)).WithHint("want one of %v", hippad.Roles)
		}
	}
	return nil
}

// roleSet sorts roles and drops repeats.
func roleSet(roles []hippad.Role) []hippad.Role {
	set := slices.Clone(roles)
	slices.Sort(set)
	return slices.Compact(set)
}

// certify issues a member's certificate for the key of a request.
func (a *Authority) certify(name string, csr *x509.CertificateRequest, now time.Time) ([]byte, held, error) {
	der, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotBefore: now.Add(-time.Hour), NotAfter: a.end(now),
	}, a.ca.Leaf, csr.PublicKey, a.ca.PrivateKey)
	if err != nil {
		return nil, held{}, err
	}
	end := a.end(now).UTC().Truncate(time.Second) // as the certificate has it
	return der, held{Fingerprint: Fingerprint(der), End: end, Until: end}, nil
}

// parseRequest reads a PKCS #10 request and checks that whoever made it holds a key that is good enough.
func parseRequest(der []byte) (*x509.CertificateRequest, error) {
	if len(der) > maxCSR {
		return nil, hippad.Errorf(hippad.TooLarge, "the certificate request has more than %d bytes", maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, &hippad.Error{Kind: hippad.Invalid, Message: "this is not a certificate request (PKCS #10, DER)", Cause: err}
	}
	// The key before the signature: checking one of an enormous key would take long.
	if reason := weakness(csr.PublicKey, csr.SignatureAlgorithm); reason != "" {
		return nil, errUnfit(reason)
	}
	if csr.CheckSignature() != nil {
		return nil, hippad.Errorf(hippad.Invalid, "the certificate request is not signed with its own key")
	}
	return csr, nil
}

// parsePEM reads the certificates of a PEM text. Private keys in it are a mistake that has to be known.
func parsePEM(text []byte) (list []*x509.Certificate, err error) {
	if len(text) > maxPEM {
		return nil, hippad.Errorf(hippad.TooLarge, "the PEM text has more than %d bytes", maxPEM)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, hippad.Errorf(hippad.Invalid, "there is a private key in this file").WithHint("it belongs to the other side alone: make a new one there")
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &hippad.Error{Kind: hippad.Invalid, Message: "a certificate in the PEM text cannot be read", Cause: err}
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, hippad.Errorf(hippad.Invalid, "this is not a certificate in PEM")
	}
	return list, nil
}

// parseEnrolment takes an enrolment token apart.
func parseEnrolment(token string) (secret, pin []byte, ok bool) {
	text, ok := strings.CutPrefix(token, enrolPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(raw) != 32 || strings.ContainsAny(text, "\r\n") {
		return nil, nil, false
	}
	return raw[:16], raw[16:], true
}

// keyPin is what an enrolment token says about the certificate that the server is to be trusted by.
func keyPin(c *x509.Certificate) []byte { return hash(c.RawSubjectPublicKeyInfo)[:16] }

func newID() string { return "m-" + hex.EncodeToString(random(4)) }

func hash(b []byte) []byte {
	sum := sha256.Sum256(b)
	return bytes.Clone(sum[:])
}

// random returns n random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails: crypto/rand ends the process first
	return b
}

// isLine tells whether s can stand on a screen as one short line.
func isLine(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, isHidden)
}
