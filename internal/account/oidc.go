package account

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"hippad"
)

const (
	// FlowTime is how long somebody may take at the identity provider.
	FlowTime = 10 * time.Minute
	// retryTime is how long a provider is left alone that did not answer.
	retryTime = 5 * time.Second
	maxFlow   = 2048 // bytes of a flow cookie
)

// signedBy are the algorithms that a token may be signed with: none that works with a shared secret, and not "none".
var signedBy = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512}

// A provider is the identity provider as far as it is known. It is asked for its addresses when the first person wants to
// sign in, and again until it answers: that it is down does not keep the server from starting.
type provider struct {
	config OIDCConfig
	now    func() time.Time
	client *http.Client
	seal   cipher.AEAD // of flow cookies; the key lives as long as the process

	turn   chan struct{} // whoever discovers
	mu     sync.Mutex
	known  *endpoints
	failed time.Time
	keys   keyTimes
}

// endpoints are what discovery found.
type endpoints struct {
	oauth oauth2.Config
	id    *oidc.IDTokenVerifier // ID tokens, for this client
	api   *oidc.IDTokenVerifier // access tokens, for the audience
}

func newProvider(c OIDCConfig, now func() time.Time) (*provider, error) {
	if err := c.check(); err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "OpenID Connect: %w", err)
	}
	block, err := aes.NewCipher(random(32))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &provider{config: c, now: now, client: c.client(), seal: aead, turn: make(chan struct{}, 1)}, nil
}

func errProvider(cause error) error {
	return (&hippad.Error{Kind: hippad.Unavailable, Message: "the identity provider does not answer as it should", Cause: cause}).
		WithHint("try again in a minute; a local account works without it")
}

// endpoints returns what is known of the provider, asking it if need be.
func (p *provider) endpoints(ctx context.Context) (*endpoints, error) {
	ctx, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, errProvider(ctx.Err())
	}
	p.mu.Lock()
	known, failed := p.known, p.failed
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	if since := p.now().Sub(failed); since >= 0 && since < retryTime {
		return nil, errProvider(errors.New("it did not answer a moment ago"))
	}
	found, err := p.discover(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed = p.now()
		return nil, errProvider(fmt.Errorf("discover the identity provider: %w", err))
	}
	p.known = found
	return found, nil
}

// discover reads the provider's metadata (OpenID Connect Discovery section 4).
func (p *provider) discover(ctx context.Context) (*endpoints, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.config.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		Keys    string   `json:"jwks_uri"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, err
	}
	at := found.Endpoint()
	for _, address := range []string{at.AuthURL, at.TokenURL, more.Keys} {
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" {
			return nil, errors.New("one of its addresses is not https")
		}
	}
	// client_secret_basic unless the provider says otherwise; guessing would use up the code.
	at.AuthStyle = oauth2.AuthStyleInHeader
	if p.config.secret == "" || len(more.Methods) > 0 && !slices.Contains(more.Methods, "client_secret_basic") {
		at.AuthStyle = oauth2.AuthStyleInParams
	}
	keyClient := *p.client
	keyClient.Transport = &seldom{next: p.client.Transport, times: &p.keys, now: p.now}
	keys := watchedKeys{oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), &keyClient), more.Keys)}
	verifier := func(audience string) *oidc.IDTokenVerifier {
		return oidc.NewVerifier(p.config.Issuer, keys, &oidc.Config{ClientID: audience, SupportedSigningAlgs: signedBy, Now: p.now})
	}
	e := &endpoints{
		oauth: oauth2.Config{ClientID: p.config.ClientID, ClientSecret: p.config.secret, Endpoint: at, RedirectURL: p.config.RedirectURL, Scopes: p.config.Scopes},
		id:    verifier(p.config.ClientID),
	}
	if p.config.Audience != "" {
		e.api = verifier(p.config.Audience)
	}
	return e, nil
}

// flow is what must come back from the provider to the browser that was sent there. It is in a cookie of that browser,
// sealed, so that people who never come back take no memory.
type flow struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // RFC 7636
	Until    time.Time `json:"until"`
}

// OIDC returns the name of the identity provider; ok is false when there is none.
func (a *Accounts) OIDC() (name string, ok bool) {
	if a.provider == nil {
		return "", false
	}
	return a.provider.config.Name, true
}

// BeginOIDC returns the address at the provider to which the browser goes now, and the cookie it must bring back to
// FinishOIDC within FlowTime. Kind Unavailable: the provider does not answer.
func (a *Accounts) BeginOIDC(ctx context.Context) (address, cookie string, err error) {
	p := a.provider
	if p == nil {
		return "", "", errNoProvider()
	}
	e, err := p.endpoints(ctx)
	if err != nil {
		return "", "", err
	}
	f := flow{State: newID(), Nonce: newID(), Verifier: oauth2.GenerateVerifier(), Until: p.now().Add(FlowTime)}
	text, err := json.Marshal(f)
	if err != nil {
		return "", "", fmt.Errorf("begin a sign-in: %w", err)
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(f.Verifier), oidc.Nonce(f.Nonce)}
	if len(p.config.RequireACR) > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(p.config.RequireACR, " ")))
	}
	return e.oauth.AuthCodeURL(f.State, options...), base64.RawURLEncoding.EncodeToString(p.seal.Seal(nil, nil, text, nil)), nil
}

func errNoProvider() error {
	return hippad.Errorf(hippad.NotFound, "there is no identity provider configured here")
}

// refusedOIDC is the answer to everything that is wrong with what came from the provider.
func refusedOIDC(reason string) error {
	return (&hippad.Error{Kind: hippad.Unauthorised, Message: "the sign-in at the identity provider was not accepted", Cause: errors.New(reason)}).
		WithHint("begin again; if it goes on, ask whoever runs this server")
}

// FinishOIDC checks what the browser brought back and opens a session. answer is the query of the callback. When it fails
// and it is known who it was, for somebody without a role for one, Session.Caller says so, without a Grant.
func (a *Accounts) FinishOIDC(ctx context.Context, cookie string, answer url.Values) (Session, error) {
	p := a.provider
	if p == nil {
		return Session{}, errNoProvider()
	}
	f, err := p.openFlow(cookie)
	if err != nil {
		return Session{}, err
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(f.State)) != 1:
		return Session{}, refusedOIDC("state does not match")
	case answer.Has("iss") && answer.Get("iss") != p.config.Issuer: // RFC 9207
		return Session{}, refusedOIDC("answer of another issuer")
	case answer.Get("error") != "":
		return Session{}, refusedOIDC("the provider said no")
	case answer.Get("code") == "":
		return Session{}, refusedOIDC("no code in the answer")
	}
	e, err := p.endpoints(ctx)
	if err != nil {
		return Session{}, err
	}
	claims, err := p.exchange(ctx, e, f, answer.Get("code"))
	if err != nil {
		return Session{}, err
	}
	caller := hippad.Caller{Principal: p.principal(claims)}
	if caller.Roles, err = p.admit(claims); err != nil {
		return Session{Caller: caller}, err
	}
	now := a.options.Now()
	return a.sessions.open(session{how: HowOIDC, caller: caller}, now, now.Add(a.options.Absolute))
}

func (p *provider) openFlow(cookie string) (flow, error) {
	var f flow
	if len(cookie) > maxFlow {
		return f, refusedOIDC("not a cookie of this server")
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil || len(sealed) == 0 {
		return f, refusedOIDC("no cookie: another browser, or too late")
	}
	text, err := p.seal.Open(nil, nil, sealed, nil)
	if err != nil || json.Unmarshal(text, &f) != nil {
		return f, refusedOIDC("not a cookie of this server, or of before its restart")
	}
	if !p.now().Before(f.Until) {
		return f, refusedOIDC("too late")
	}
	return f, nil
}

// exchange turns the code into the claims of an ID token that is for this sign-in (OpenID Connect Core section 3.1.3.7).
func (p *provider) exchange(ctx context.Context, e *endpoints, f flow, code string) (claims, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*providerTime)
	defer cancel()
	token, err := e.oauth.Exchange(context.WithValue(ctx, oauth2.HTTPClient, p.client), code, oauth2.VerifierOption(f.Verifier))
	var answered *oauth2.RetrieveError
	switch {
	case errors.As(err, &answered) && answered.Response.StatusCode < http.StatusInternalServerError:
		return nil, refusedOIDC("the provider did not take the code") // its words may quote what it likes
	case err != nil:
		return nil, errProvider(errors.New("the token endpoint did not answer"))
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, refusedOIDC("no ID token")
	}
	id, c, err := verifyToken(ctx, e.id, raw, p.now())
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1 {
		return nil, refusedOIDC("nonce does not match")
	}
	if azp := c.text("azp"); azp != "" && azp != p.config.ClientID || azp == "" && len(id.Audience) > 1 {
		return nil, refusedOIDC("the ID token was issued to another client")
	}
	if id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil {
		return nil, refusedOIDC("access token and ID token do not belong together")
	}
	return c, nil
}

// principal is who the claims speak of.
func (p *provider) principal(c claims) hippad.Principal {
	name := c.text("name")
	if name == "" {
		name = c.text("preferred_username")
	}
	return hippad.Principal{Kind: hippad.KindPerson, ID: p.config.Issuer + " " + c.text("sub"), Name: shownName(name), Organisation: p.config.Organisation}
}

// shownName makes what a provider calls somebody fit to be shown: one line, not long.
func shownName(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if isHidden(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s))
	for len(s) > maxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// admit turns claims into roles. Nobody without one gets in.
func (p *provider) admit(c claims) ([]hippad.Role, error) {
	if len(p.config.RequireACR) > 0 && !slices.Contains(p.config.RequireACR, c.text("acr")) {
		return nil, refusedOIDC("no second factor: acr")
	}
	if len(p.config.RequireAMR) > 0 && !slices.ContainsFunc(c.list("amr"), func(m string) bool { return slices.Contains(p.config.RequireAMR, m) }) {
		return nil, refusedOIDC("no second factor: amr")
	}
	var roles []hippad.Role
	for _, value := range c.list(p.config.Claim) {
		roles = append(roles, p.config.Roles[value]...)
	}
	if len(roles) == 0 {
		return nil, refusedOIDC("no role")
	}
	return roleSet(roles), nil
}
