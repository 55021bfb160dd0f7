package account

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"hippad"
)

const (
	maxToken   = 16 << 10         // bytes of a JWT
	keyPause   = 10 * time.Second // between two requests for the provider's keys
	clockSkew  = time.Minute      // between the provider's clock and ours
	maxSubject = 255              // OpenID Connect Core section 2
)

// Bearer tells who the holder of an access token of the identity provider is: a JWT (RFC 9068) for our audience, with SMART
// App Launch 2 scopes. system/AuditEvent.rs makes a reviewer, system/AuditEvent.c a reporter, and patient/AuditEvent.rs
// together with the claim "patient" a patient who sees what concerns him. Kind Unauthorised: it is no such token, or one without
// any of these; kind Unavailable: the provider's keys cannot be had now.
func (a *Accounts) Bearer(ctx context.Context, jwt string) (hippad.Caller, error) {
	if a.provider == nil || a.provider.config.Audience == "" {
		return hippad.Caller{}, refusedBearer("no identity provider for bearer tokens")
	}
	e, err := a.provider.endpoints(ctx)
	if err != nil {
		return hippad.Caller{}, err
	}
	_, c, err := verifyToken(ctx, e.api, jwt, a.options.Now())
	if err != nil {
		if hippad.KindOf(err) == hippad.Unauthorised {
			err = refusedBearer(Reason(err))
		}
		return hippad.Caller{}, err
	}
	caller := hippad.Caller{Principal: a.provider.principal(c), Grant: scopeGrant(strings.Join(c.list("scope"), " "), c.text("patient"))}
	if len(caller.Roles) == 0 {
		return hippad.Caller{Principal: caller.Principal}, refusedBearer("no scope that gives a role")
	}
	return caller, nil
}

func refusedBearer(reason string) error { return refused("this bearer token is not accepted", reason) }

// verifyToken checks signature, issuer, audience and times. What it returns holds nothing of a token that is not good.
func verifyToken(ctx context.Context, v *oidc.IDTokenVerifier, raw string, now time.Time) (*oidc.IDToken, claims, error) {
	// The compact form only (RFC 7519 section 3): the library also reads the JSON forms of RFC 7515, which no token has.
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 || strings.ContainsAny(raw, "{ \t\r\n") {
		return nil, nil, refusedOIDC("not a JWT")
	}
	var outage error
	id, err := v.Verify(context.WithValue(ctx, outageKey{}, &outage), raw)
	var expired *oidc.TokenExpiredError
	switch {
	case outage != nil:
		return nil, nil, errProvider(outage)
	case errors.As(err, &expired):
		return nil, nil, refusedOIDC("the token has expired")
	case err != nil:
		return nil, nil, refusedOIDC("the token has the wrong signature, issuer or audience") // the library's words quote it
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return nil, nil, refusedOIDC("the claims cannot be read")
	}
	if nbf, ok := c["nbf"].(float64); ok && nbf > float64(now.Add(clockSkew).Unix()) {
		return nil, nil, refusedOIDC("the token is not good yet")
	}
	if id.Subject == "" || len(id.Subject) > maxSubject || strings.ContainsFunc(id.Subject, isHidden) {
		return nil, nil, refusedOIDC("the token names nobody")
	}
	return id, c, nil
}

// scopeGrant is what SMART scopes permit here. Scopes that are meant for other servers, or give nothing here, are passed over, and
// so is that for one patient when the token names none.
func scopeGrant(scopes, patient string) hippad.Grant {
	g := hippad.Grant{Patient: patientOf(patient)}
	g.Roles, _ = hippad.ScopesToRoles(strings.Fields(scopes))
	if !slices.Contains(g.Roles, hippad.RolePatient) {
		g.Patient = ""
	} else if g.Patient == "" {
		g.Roles = slices.DeleteFunc(g.Roles, func(r hippad.Role) bool { return r == hippad.RolePatient })
	}
	return g
}

var fhirID = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)

// patientOf reads the launch context's patient: an id of the provider's FHIR server, or something that names the assigner
// itself. A value that does neither could be anybody's, and gives "".
func patientOf(claim string) string {
	id := hippad.ParseIdentifier(claim)
	switch {
	case len(claim) > 512 || strings.ContainsFunc(claim, isHidden):
		return ""
	case fhirID.MatchString(claim):
		return "Patient/" + claim
	case id.System != "" && id.Value != "", hippad.Reference{Literal: claim}.IsPatient():
		return claim
	}
	return ""
}

// claims are the claims of a token that has been verified.
type claims map[string]any

// find returns a claim: of the whole name, or else by its way through objects.
func (c claims) find(name string) any {
	if v, ok := c[name]; ok {
		return v
	}
	first, rest, inside := strings.Cut(name, ".")
	object, ok := c[first].(map[string]any)
	if !inside || !ok {
		return nil
	}
	return claims(object).find(rest)
}

// text returns a claim that is one string.
func (c claims) text(name string) string {
	s, _ := c.find(name).(string)
	return s
}

// list returns a claim that is a string or a list of them.
func (c claims) list(name string) []string {
	switch v := c.find(name).(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// watchedKeys remembers why keys could not be had, which the library does not pass on.
type watchedKeys struct{ oidc.KeySet }

type outageKey struct{}

func (k watchedKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	if out, ok := ctx.Value(outageKey{}).(*error); ok && err != nil && errors.Unwrap(err) != nil && !errors.Is(err, errSeldom) {
		*out = err
	}
	return payload, err
}

// keyTimes is when the provider may be asked for its keys again, and whether it failed to answer last.
type keyTimes struct {
	mu     sync.Mutex
	next   time.Time
	failed bool
}

// seldom lets a request for keys through only now and then: each token with an unknown key would cause one, and anybody can
// send such tokens.
type seldom struct {
	next  http.RoundTripper
	times *keyTimes
	now   func() time.Time
}

var (
	errSeldom  = errors.New("the keys were asked for a moment ago")
	errKeysOut = errors.New("the keys could not be had a moment ago")
)

func (s *seldom) RoundTrip(r *http.Request) (*http.Response, error) {
	s.times.mu.Lock()
	defer s.times.mu.Unlock() // the library has one request under way at a time
	now := s.now()
	if now.Before(s.times.next) {
		if s.times.failed {
			return nil, errKeysOut
		}
		return nil, errSeldom
	}
	answer, err := s.next.RoundTrip(r)
	s.times.failed = err != nil || answer.StatusCode != http.StatusOK
	s.times.next = now.Add(keyPause)
	if s.times.failed {
		s.times.next = now.Add(retryTime)
	}
	return answer, err
}
