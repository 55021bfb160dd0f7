package identity

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hippad"
	"hippad/internal/durable"
)

const (
	maxCRL = 32 << 20 // bytes: about a million revoked certificates
	// clockSkew is how far ahead of ours the clock of an authority may be.
	clockSkew = time.Hour
)

// A TrustedAuthority is an outside authority as others see it.
type TrustedAuthority struct {
	Name                    string        `json:"name"`
	Roles                   []hippad.Role `json:"roles"` // of every certificate that it has issued
	Organisation            string        `json:"organisation,omitzero"`
	OrganisationFromSubject bool          `json:"organisationFromSubject,omitzero"` // the O of the certificate's subject, if there is one
	Fingerprints            []string      `json:"fingerprints"`                     // of the authority's own certificates
	Added                   time.Time     `json:"added"`
	Expires                 time.Time     `json:"expires"`             // when the first of them ends
	CRLUpdated              time.Time     `json:"crlUpdated,omitzero"` // of its newest revocation list; zero: there is none
	CRLNext                 time.Time     `json:"crlNext,omitzero"`    // when a newer one is due
}

// Authorities lists the outside authorities that are trusted.
func (a *Authority) Authorities() []TrustedAuthority {
	r := a.register.Load()
	list := make([]TrustedAuthority, 0, len(r.document.Authorities))
	for _, o := range r.document.Authorities {
		t := TrustedAuthority{
			Name: o.Name, Roles: slices.Clone(o.Roles), Organisation: o.Organisation, OrganisationFromSubject: o.OrganisationFromSubject, Added: o.Added,
		}
		for _, der := range o.Certificates {
			n := r.anchors[Fingerprint(der)]
			t.Fingerprints = append(t.Fingerprints, Fingerprint(der))
			if end := n.certificate.NotAfter; t.Expires.IsZero() || end.Before(t.Expires) {
				t.Expires = end
			}
			if n.crl != nil && n.crl.updated.After(t.CRLUpdated) {
				t.CRLUpdated, t.CRLNext = n.crl.updated, n.crl.next
			}
		}
		list = append(list, t)
	}
	return list
}

// Trust adds an outside authority: every good certificate below one of those in caPEM is admitted with the given roles,
// and as of the given organisation, or of the one that its subject names (O) if organisationFromSubject. Each certificate
// in caPEM is trusted by itself, so that an authority that issues can be trusted without the one above it. Kind Conflict if
// the name or a certificate is there already.
func (a *Authority) Trust(name string, caPEM []byte, roles []hippad.Role, organisation string, organisationFromSubject bool) error {
	now := a.options.Now()
	if name == "" || len(name) > maxName || !isLine(name) || !isLine(organisation) {
		return hippad.Errorf(hippad.Invalid, "an authority needs a name: one line of at most %d bytes, and an organisation of at most %d", maxName, maxText)
	}
	if slices.Contains(roles, hippad.RolePatient) {
		return hippad.Errorf(hippad.Invalid, "an authority cannot have the role patient: nothing says which one")
	}
	if err := checkRoles(roles); err != nil {
		return err
	}
	list, err := parsePEM(caPEM)
	if err != nil {
		return err
	}
	o := &authority{Name: name, Roles: roleSet(roles), Organisation: organisation, OrganisationFromSubject: organisationFromSubject, Added: now.UTC().Truncate(time.Second)}
	for _, c := range list {
		switch {
		case c.Version == 3 && !(c.BasicConstraintsValid && c.IsCA):
			return hippad.Errorf(hippad.Invalid, "a certificate in the PEM text is not that of an authority").
				WithHint("a single certificate is admitted by pinning it (hippad member pin)")
		case !strong(c.PublicKey):
			return errUnfit(ReasonWeakKey)
		case now.After(c.NotAfter):
			return hippad.Errorf(hippad.Invalid, "the authority's certificate has ended on %s", c.NotAfter.UTC().Format(time.DateOnly))
		case bytes.Equal(c.RawSubjectPublicKeyInfo, a.ca.Leaf.RawSubjectPublicKeyInfo):
			return hippad.Errorf(hippad.Conflict, "this log's own authority needs no trust: its members are in the register")
		}
		o.Certificates = append(o.Certificates, c.Raw)
	}
	// A list that is left from before, when the authority was trusted already, still counts.
	crls := map[string]*crl{}
	if err := a.readCRLs(o, crls); err != nil {
		return err
	}
	lists := make([]*crl, 0, len(crls))
	for id, l := range crls {
		o.CRLs = append(o.CRLs, crlMark{Issuer: id, Updated: l.updated})
		lists = append(lists, l)
	}
	return a.change(func(d *document, r *register) error {
		seen := map[string]bool{}
		for _, der := range o.Certificates {
			id := Fingerprint(der)
			if n := r.anchors[id]; n != nil {
				return hippad.Errorf(hippad.Conflict, "a certificate in the PEM text is trusted already, as %q", n.authority.Name)
			} else if seen[id] {
				return hippad.Errorf(hippad.Invalid, "a certificate is in the PEM text twice")
			}
			seen[id] = true
		}
		if slices.ContainsFunc(d.Authorities, func(old *authority) bool { return old.Name == name }) {
			return hippad.Errorf(hippad.Conflict, "there is already an authority of this name")
		}
		d.Authorities = append(d.Authorities, o)
		return nil
	}, lists...)
}

// Distrust takes an outside authority away. Its revocation lists stay on disk, for the case that it comes back.
func (a *Authority) Distrust(name string) error {
	return a.change(func(d *document, _ *register) error {
		before := len(d.Authorities)
		d.Authorities = slices.DeleteFunc(d.Authorities, func(o *authority) bool { return o.Name == name })
		if len(d.Authorities) == before {
			return errNoAuthority()
		}
		return nil
	})
}

// SetCRL takes in the newest revocation list (RFC 5280 section 5, DER or PEM) of an outside authority. It must be signed by
// one of the authority's certificates, be complete (not a delta, not for a part), and not be older than the one that is
// there: kind Conflict. One whose next update is overdue goes on being used; Warnings says so.
func (a *Authority) SetCRL(name string, list []byte) error {
	if block, _ := pem.Decode(list); block != nil && block.Type == "X509 CRL" {
		list = block.Bytes
	}
	var l *crl
	var err error
	found := errNoAuthority()
	for _, o := range a.register.Load().document.Authorities {
		if o.Name == name {
			found = nil
			l, err = parseCRL(o, list)
		}
	}
	switch {
	case found != nil:
		return found
	case err != nil:
		return err
	case l.updated.After(a.options.Now().Add(clockSkew)):
		return hippad.Errorf(hippad.Invalid, "the revocation list is from the future")
	}
	return a.change(func(d *document, r *register) error {
		i := slices.IndexFunc(d.Authorities, func(o *authority) bool { return o.Name == name })
		if i < 0 {
			return errNoAuthority()
		}
		after := *d.Authorities[i]
		after.CRLs = slices.DeleteFunc(slices.Clone(after.CRLs), func(m crlMark) bool { return slices.Contains(l.issuers, m.Issuer) })
		for _, issuer := range l.issuers {
			n := r.anchors[issuer]
			if n == nil || n.authority.Name != name { // it was taken away and came back as another
				return errNoAuthority()
			}
			if n.crl.newerThan(l) {
				return hippad.Errorf(hippad.Conflict, "there is a newer revocation list of this authority, of %s", n.crl.updated.UTC().Format(time.RFC3339))
			}
			after.CRLs = append(after.CRLs, crlMark{Issuer: issuer, Updated: l.updated})
		}
		for _, issuer := range l.issuers { // before the register: after a crash in between they are newer than their marks, which is no harm
			if err := durable.WriteFile(a.crlFile(issuer), list, 0o600); err != nil {
				return &hippad.Error{Kind: hippad.Unavailable, Message: "the revocation list cannot be written now", Cause: err}
			}
		}
		d.Authorities[i] = &after
		return nil
	}, l)
}

func errNoAuthority() error {
	return hippad.Errorf(hippad.NotFound, "there is no authority of this name")
}

// A crl is a revocation list in use. A nil one revokes nothing.
type crl struct {
	issuers       []string // fingerprints of the certificates with the key that has signed it: an authority renews its own too
	updated, next time.Time
	revoked       map[string]struct{} // serial numbers, base 16
}

func (l *crl) has(serial string) bool {
	if l == nil {
		return false
	}
	_, ok := l.revoked[serial]
	return ok
}

func (l *crl) newerThan(other *crl) bool { return l != nil && l.updated.After(other.updated) }

// parseCRL reads a list that one of an authority's certificates has signed.
func parseCRL(o *authority, der []byte) (*crl, error) {
	if len(der) > maxCRL {
		return nil, hippad.Errorf(hippad.TooLarge, "the revocation list has more than %d bytes", maxCRL)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, &hippad.Error{Kind: hippad.Invalid, Message: "this is not a certificate revocation list", Cause: err}
	}
	if !sound(list.SignatureAlgorithm) {
		return nil, errUnfit(ReasonWeakSign)
	}
	l := &crl{updated: list.ThisUpdate, next: list.NextUpdate, revoked: make(map[string]struct{}, len(list.RevokedCertificateEntries))}
	for _, raw := range o.Certificates {
		if c, err := x509.ParseCertificate(raw); err == nil && bytes.Equal(c.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(c) == nil {
			l.issuers = append(l.issuers, Fingerprint(raw))
		}
	}
	if len(l.issuers) == 0 {
		return nil, hippad.Errorf(hippad.Invalid, "the revocation list is not signed by this authority")
	}
	// A delta, a list for some certificates only and one for several issuers say so in a critical extension (RFC 5280
	// sections 5.2.4, 5.2.5, 5.3.3). To take one of them for the whole would let revoked certificates in.
	for _, e := range list.Extensions {
		if e.Critical {
			return nil, errPartial()
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, e := range entry.Extensions {
			if e.Critical {
				return nil, errPartial()
			}
		}
		l.revoked[entry.SerialNumber.Text(16)] = struct{}{}
	}
	return l, nil
}

func errPartial() error {
	return hippad.Errorf(hippad.Invalid, "the revocation list is only a part, or for several authorities").WithHint("give the authority's complete one")
}

func (a *Authority) crlFile(issuer string) string {
	return filepath.Join(a.dir, keysDir, "crl", strings.TrimPrefix(issuer, "sha256:")+".crl")
}

// readCRLs reads the revocation lists of an authority from disk. One that is marked and not there is an error: without it
// what is revoked would be good again.
func (a *Authority) readCRLs(o *authority, into map[string]*crl) error {
	for _, raw := range o.Certificates {
		id := Fingerprint(raw)
		file := a.crlFile(id)
		i := slices.IndexFunc(o.CRLs, func(m crlMark) bool { return m.Issuer == id })
		der, err := readBounded(file, maxCRL)
		if errors.Is(err, fs.ErrNotExist) && i < 0 {
			continue
		}
		damaged := func(what string) error {
			return hippad.Errorf(hippad.Unavailable, "%s is damaged: %s", file, what).WithHint("restore it from a backup, or put the authority's newest list there, in DER")
		}
		if err != nil {
			return damaged("it cannot be read")
		}
		l, err := parseCRL(o, der)
		switch {
		case err != nil || !slices.Contains(l.issuers, id):
			return damaged("it is not a revocation list of its authority")
		case i >= 0 && l.updated.Before(o.CRLs[i].Updated):
			return damaged("it is older than the one that was there")
		}
		into[id] = l
	}
	return nil
}
