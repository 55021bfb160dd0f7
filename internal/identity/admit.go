package identity

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"strings"
	"sync"
	"unicode"

	"hippad"
)

// maxGuests is how many certificates of outside authorities are remembered for Current. A connection whose certificate has
// been forgotten is closed at the next change and may come again.
const maxGuests = 50_000

// Admit names the other side of a finished handshake of ServerTLS, with what it may do: the operator, a member by its
// certificate, a certificate of an outside authority with the rights that go with the authority, or, without a certificate,
// the address it comes from. One whose certificate is no longer good has no rights.
func (a *Authority) Admit(state tls.ConnectionState, addr net.Addr) hippad.Caller {
	if len(state.PeerCertificates) == 0 {
		return a.AdmitAddress(addr)
	}
	c := state.PeerCertificates[0]
	p := hippad.Principal{Kind: hippad.KindCertificate, ID: Fingerprint(c.Raw)}
	v, err := a.judge(state.PeerCertificates)
	switch {
	case err != nil:
		return hippad.Caller{Principal: p}
	case v.operator:
		p.Kind, p.Name = hippad.KindOperator, c.Subject.CommonName
		return hippad.Caller{Principal: p, Grant: hippad.Grant{Roles: a.options.OperatorRoles}}
	case v.member != nil:
		return v.member.caller(p)
	}
	p.Name, p.Organisation = clean(c.Subject.CommonName), v.authority.Organisation
	if o := organisationOf(c); v.authority.OrganisationFromSubject && o != "" {
		p.Organisation = o
	}
	a.guests.put(p.ID, v)
	return hippad.Caller{Principal: p, Grant: hippad.Grant{Roles: v.authority.Roles}}
}

// AdmitAddress names one of whom nothing is known but where it sends from: a reporter if that is in a network of
// Options.Trusted, else one without rights.
func (a *Authority) AdmitAddress(addr net.Addr) hippad.Caller {
	caller := hippad.Caller{Principal: Address(addr)}
	ip, err := netip.ParseAddr(caller.ID)
	if err != nil {
		return caller
	}
	ip = ip.Unmap().WithZone("")
	for _, n := range a.options.Trusted {
		if n.Contains(ip) {
			caller.Roles = []hippad.Role{hippad.RoleReporter}
		}
	}
	return caller
}

// Address is the principal of whom nothing is known but where it sends from.
func Address(addr net.Addr) hippad.Principal {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		host = addr.String()
	}
	return hippad.Principal{Kind: hippad.KindAddress, ID: host}
}

// NetworkOf is the part of an address that one subscriber has for himself, as a key for Throttle: all of an IPv4 address,
// the first 64 bits of an IPv6 address.
func NetworkOf(addr net.Addr) string {
	host := Address(addr).ID
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

// Current tells whether a principal that Admit or Token has named is still as good as then: not revoked, not ended, its
// authority still trusted. To be asked about every open connection after Options.OnChange, and from time to time because of
// what ends. Of an address, and of people, who are not known here, it has nothing to say: true.
func (a *Authority) Current(p hippad.Principal) bool {
	now, r := a.options.Now(), a.register.Load()
	switch p.Kind {
	case hippad.KindOperator:
		c := a.operator.get().Leaf
		return p.ID == Fingerprint(c.Raw) && !now.After(c.NotAfter) && !r.revoked[p.ID]
	case hippad.KindToken:
		m := r.members[p.ID]
		return m != nil && m.Kind == KindToken && m.Revoked.IsZero() && !now.After(m.Expires)
	case hippad.KindCertificate:
		if h, ok := r.certificates[p.ID]; ok {
			return h.ended(now) == ""
		}
		v, ok := a.guests.get(p.ID)
		if !ok || now.After(v.until) || r.revoked[p.ID] {
			return false
		}
		trusted := false
		for _, l := range v.links {
			if n := r.anchors[l.anchor]; n != nil && n.crl.has(l.serial) {
				return false
			} else if n != nil && !n.revoked {
				trusted = true
			}
		}
		return trusted
	}
	return true
}

// guests are the verdicts about certificates of outside authorities, by fingerprint.
type guests struct {
	mu sync.Mutex
	recent[verdict]
}

func (g *guests) put(id string, v verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.recent.put(id, v)
}

func (g *guests) get(id string) (verdict, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.recent.get(id)
}

// organisationOf is the O of a subject, if it can stand on a screen.
func organisationOf(c *x509.Certificate) string {
	if len(c.Subject.Organization) == 0 {
		return ""
	}
	return clean(c.Subject.Organization[0])
}

// clean returns a name out of a certificate, or nothing if it is not one: whoever asked for the certificate has chosen it.
func clean(s string) string {
	if s = strings.TrimSpace(s); !isLine(s) {
		return ""
	}
	return s
}

// isHidden tells of control and format characters, the ones that turn the writing direction round for one.
func isHidden(r rune) bool { return unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029' }
