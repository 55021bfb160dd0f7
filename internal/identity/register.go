package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"hippad"
	"hippad/internal/durable"
)

// The kinds of members.
const (
	KindCertificate = "certificate"
	KindToken       = "token"
)

// Who vouches for the certificate of a member: Member.Authority.
const (
	AuthorityOwn    = "own"    // this log's authority has issued it
	AuthorityPinned = "pinned" // nobody: it is known as it is
)

// A Member is a system or service that may report or ask. What it may do is in the register, never in its certificate.
type Member struct {
	ID           string        `json:"id"`    // "m-" and 8 hex digits, for good
	Name         string        `json:"name"`  // 1 to 64 bytes; the common name of a certificate that is issued here
	Kind         string        `json:"kind"`  // KindCertificate or KindToken
	Roles        []hippad.Role `json:"roles"` // at least one
	Organisation string        `json:"organisation,omitzero"`
	Sites        []string      `json:"sites,omitzero"`        // see hippad.Grant
	Patient      string        `json:"patient,omitzero"`      // see hippad.Grant; with RolePatient, and only then
	Scopes       []string      `json:"scopes,omitzero"`       // of a token: SMART scopes, see hippad.ScopesToRoles
	Fingerprints []string      `json:"fingerprints,omitzero"` // of its certificates, the newest last; none while it is invited
	Authority    string        `json:"authority,omitzero"`    // AuthorityOwn or AuthorityPinned; empty for a token
	Created      time.Time     `json:"created"`
	Expires      time.Time     `json:"expires"`          // end of the newest certificate, the token, or the invitation
	Revoked      time.Time     `json:"revoked,omitzero"` // zero: it is not
}

// A record is a member as it is on disk. Records are never changed in place. Member.Fingerprints is empty in it.
type record struct {
	Member
	Certificates []held      `json:"certificates,omitzero"` // the newest last
	Invitation   *invitation `json:"invitation,omitzero"`   // nil once it is used
	Secret       []byte      `json:"secret,omitzero"`       // SHA-256 of a token's secret
}

// An invitation is a one-time enrolment token.
type invitation struct {
	Hash []byte    `json:"hash"` // SHA-256 of its random part
	End  time.Time `json:"end"`
}

// A held certificate is one of a member.
type held struct {
	Fingerprint string    `json:"fingerprint"`
	End         time.Time `json:"end"`              // its own end
	Until       time.Time `json:"until"`            // End, or earlier once it has been replaced
	Revoked     time.Time `json:"revoked,omitzero"` // this one only
}

// public is the member as others see it.
func (m *record) public() Member {
	p := m.Member
	p.Roles, p.Sites, p.Scopes = slices.Clone(p.Roles), slices.Clone(p.Sites), slices.Clone(p.Scopes)
	for _, h := range m.Certificates {
		if h.Revoked.IsZero() && h.Until.Equal(h.End) {
			p.Fingerprints = append(p.Fingerprints, h.Fingerprint)
		}
	}
	return p
}

// caller is p with what the register has about the member.
func (m *record) caller(p hippad.Principal) hippad.Caller {
	p.Name, p.Organisation = m.Name, m.Organisation
	return hippad.Caller{Principal: p, Grant: hippad.Grant{Roles: m.Roles, Member: m.ID, Sites: m.Sites, Patient: m.Patient}}
}

// An authority is an outside one that is trusted.
type authority struct {
	Name                    string        `json:"name"`
	Roles                   []hippad.Role `json:"roles"`
	Organisation            string        `json:"organisation,omitzero"`
	OrganisationFromSubject bool          `json:"organisationFromSubject,omitzero"`
	Added                   time.Time     `json:"added"`
	Certificates            [][]byte      `json:"certificates"` // DER
	CRLs                    []crlMark     `json:"crls,omitzero"`
}

// A crlMark says which revocation list must be in keys/crl, at least: a missing one would un-revoke.
type crlMark struct {
	Issuer  string    `json:"issuer"` // fingerprint of the authority's certificate
	Updated time.Time `json:"updated"`
}

// A document is the whole of keys/members.json. It is written before anything is answered; a crash leaves the one before or
// the one after.
type document struct {
	Format      int          `json:"format"` // documentFormat
	Members     []*record    `json:"members,omitzero"`
	Authorities []*authority `json:"authorities,omitzero"`
	Revoked     []string     `json:"revoked,omitzero"` // fingerprints of certificates that belong to no member
}

const (
	documentFormat = 1
	maxMembers     = 10_000
	maxAuthorities = 100
	maxRevoked     = 10_000
	maxRegister    = 64 << 20
)

// A register is a document ready for use. It is never changed: a change makes a new one.
type register struct {
	document     document
	members      map[string]*record     // by id
	certificates map[string]certificate // by fingerprint
	invitations  map[string]*record     // by hash
	revoked      map[string]bool        // by fingerprint
	anchors      map[string]*anchor     // by fingerprint
	roots        *x509.CertPool         // the anchors that are not revoked
}

// A certificate is one of a member.
type certificate struct {
	held
	member *record
}

// ended says why the register does not let a certificate in.
func (c certificate) ended(now time.Time) string {
	switch {
	case !c.member.Revoked.IsZero() || !c.Revoked.IsZero():
		return ReasonRevoked
	case now.After(c.End):
		return ReasonExpired
	case now.After(c.Until):
		return ReasonReplaced
	}
	return ""
}

// An anchor is a certificate at the top of a chain: the log's own authority (authority is nil), or one of an outside one.
type anchor struct {
	authority   *authority
	certificate *x509.Certificate
	crl         *crl
	revoked     bool // by the list of another one
}

var goodID = regexp.MustCompile(`^m-[0-9a-f]{8}$`)

// newRegister checks a document and makes it ready. crls are the revocation lists by the fingerprint of their issuer.
func (a *Authority) newRegister(d document, crls map[string]*crl) (*register, error) {
	r := &register{
		document: d, members: map[string]*record{}, certificates: map[string]certificate{}, invitations: map[string]*record{},
		revoked: map[string]bool{}, roots: x509.NewCertPool(),
		anchors: map[string]*anchor{Fingerprint(a.ca.Leaf.Raw): {certificate: a.ca.Leaf}},
	}
	if len(d.Members) > maxMembers || len(d.Authorities) > maxAuthorities || len(d.Revoked) > maxRevoked {
		return nil, hippad.Errorf(hippad.TooLarge, "more than %d members, %d authorities or %d revoked certificates are not kept", maxMembers, maxAuthorities, maxRevoked)
	}
	for _, m := range d.Members {
		if m == nil || !goodID.MatchString(m.ID) || r.members[m.ID] != nil || len(m.Member.Fingerprints) > 0 {
			return nil, errors.New("a member has no id of its own")
		}
		if err := m.check(); err != nil {
			return nil, err
		}
		r.members[m.ID] = m
		for _, h := range m.Certificates {
			if _, taken := r.certificates[h.Fingerprint]; taken {
				return nil, errors.New("a certificate has two members")
			}
			r.certificates[h.Fingerprint] = certificate{h, m}
		}
		if m.Invitation != nil {
			r.invitations[string(m.Invitation.Hash)] = m
		}
	}
	for _, id := range d.Revoked {
		r.revoked[id] = true
	}
	names := map[string]bool{}
	for _, o := range d.Authorities {
		if o == nil || names[o.Name] || len(o.Certificates) == 0 {
			return nil, errors.New("an authority has no name of its own, or no certificate")
		}
		names[o.Name] = true
		for _, der := range o.Certificates {
			c, err := x509.ParseCertificate(der)
			id := Fingerprint(der)
			if err != nil || r.anchors[id] != nil {
				return nil, errors.New("the certificate of an authority is damaged, or there twice")
			}
			r.anchors[id] = &anchor{authority: o, certificate: c, crl: crls[id]}
		}
	}
	for _, n := range r.anchors {
		for _, above := range r.anchors {
			n.revoked = n.revoked || above != n && string(n.certificate.RawIssuer) == string(above.certificate.RawSubject) &&
				above.crl.has(n.certificate.SerialNumber.Text(16))
		}
		if !n.revoked {
			r.roots.AddCert(n.certificate)
		}
	}
	return r, nil
}

func (a *Authority) registerFile() string { return filepath.Join(a.dir, keysDir, "members.json") }

// readRegister reads the file of the register, which need not be there, and the revocation lists.
func (a *Authority) readRegister() (*register, error) {
	file := a.registerFile()
	damaged := func(err error) error {
		return hippad.Errorf(hippad.Unavailable, "%s is damaged: %w", file, err).WithHint("restore it from a backup")
	}
	text, err := readBounded(file, maxRegister)
	d := document{Format: documentFormat}
	if err == nil {
		// Not the text of the error: it may quote what is in the file.
		var head struct {
			Format int `json:"format"`
		}
		if json.Unmarshal(text, &head) != nil {
			return nil, damaged(errors.New("it is not JSON"))
		}
		if head.Format != documentFormat {
			return nil, damaged(fmt.Errorf("it has format %d, and this version knows %d", head.Format, documentFormat))
		}
		if json.Unmarshal(text, &d, json.RejectUnknownMembers(true)) != nil {
			return nil, damaged(errors.New("it is not a register"))
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the register: %w", err)
	}
	crls := map[string]*crl{}
	for _, o := range d.Authorities {
		if o == nil {
			continue // newRegister says so
		}
		if err := a.readCRLs(o, crls); err != nil {
			return nil, err
		}
	}
	r, err := a.newRegister(d, crls)
	if err != nil {
		return nil, damaged(err)
	}
	return r, nil
}

// readBounded reads a file of bounded size.
func readBounded(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, hippad.Errorf(hippad.Unavailable, "%s is damaged: it has more than %d bytes", file, limit)
	}
	return os.ReadFile(file)
}

// change makes a new register out of what edit does to a copy of the present one, durably, and then tells Options.OnChange.
// edit runs under a.mu and must not change records in place. lists are revocation lists that come with the change.
func (a *Authority) change(edit func(d *document, r *register) error, lists ...*crl) error {
	a.mu.Lock()
	err := a.changeLocked(edit, lists)
	a.mu.Unlock()
	if err == nil && a.options.OnChange != nil {
		a.options.OnChange()
	}
	return err
}

func (a *Authority) changeLocked(edit func(d *document, r *register) error, lists []*crl) error {
	old := a.register.Load()
	d := old.document
	d.Members, d.Authorities, d.Revoked = slices.Clone(d.Members), slices.Clone(d.Authorities), slices.Clone(d.Revoked)
	if err := edit(&d, old); err != nil {
		return err
	}
	crls := map[string]*crl{}
	for id, n := range old.anchors {
		if n.crl != nil {
			crls[id] = n.crl
		}
	}
	for _, l := range lists {
		for _, id := range l.issuers {
			crls[id] = l
		}
	}
	next, err := a.newRegister(d, crls)
	if err != nil {
		return err
	}
	text, err := json.Marshal(d, json.Deterministic(true), jsontext.Multiline(true))
	if err != nil {
		return fmt.Errorf("write the register: %w", err)
	}
	if len(text) > maxRegister {
		return hippad.Errorf(hippad.TooLarge, "the register would have more than %d bytes", maxRegister)
	}
	if err := durable.WriteFile(a.registerFile(), text, 0o600); err != nil {
		return &hippad.Error{Kind: hippad.Unavailable, Message: "the register of members cannot be written now", Cause: err}
	}
	a.register.Store(next)
	return nil
}

// replace puts m in the place of the record with its id.
func (d *document) replace(m *record) {
	i := slices.IndexFunc(d.Members, func(old *record) bool { return old.ID == m.ID })
	d.Members[i] = m
}

// forget drops members of whom nothing is left to say: invitations that nobody used, a week after their end, and members a
// year after the end of everything that they had. What they did is in the log.
func (d *document) forget(now time.Time) {
	d.Members = slices.DeleteFunc(d.Members, func(m *record) bool {
		if m.Invitation != nil {
			return now.After(m.Expires.AddDate(0, 0, 7))
		}
		return now.After(m.Expires.AddDate(1, 0, 0))
	})
}
