package account_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// idp is a small and strict OpenID Connect provider: code flow, PKCE S256, client_secret_basic, one use of a code.
type idp struct {
	t      *testing.T
	server *httptest.Server
	clock  *clock
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey

	mu     sync.Mutex
	down   bool
	codes  map[string]url.Values              // the parameters that a code was given for
	claims map[string]any                     // over the usual ones of the ID token; nil values take one away
	sign   func(claims map[string]any) string // of the ID token; nil: RS256
	asked  map[string]int                     // requests by path
}

const clientSecret = "s3cr3t: with a colon & an ampersand"

func newIDP(t *testing.T, c *clock) *idp {
	t.Helper()
	p := &idp{t: t, clock: c, codes: map[string]url.Values{}, asked: map[string]int{}}
	var err error
	if p.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if p.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, 200, map[string]any{
			"issuer": p.server.URL, "authorization_endpoint": p.server.URL + "/authorize", "token_endpoint": p.server.URL + "/token",
			"jwks_uri": p.server.URL + "/jwks", "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"},
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: p.rsa.Public(), KeyID: "r", Use: "sig"}, {Key: p.ec.Public(), KeyID: "e", Use: "sig"},
		}})
	})
	mux.HandleFunc("POST /token", p.token)
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		down := p.down
		p.mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.server.StartTLS()
	t.Cleanup(p.server.Close)
	return p
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *idp) set(f func()) { p.mu.Lock(); defer p.mu.Unlock(); f() }

// authorize is the person at the provider: it checks what the browser brings, and sends it back with a code.
func (p *idp) authorize(address string) url.Values {
	p.t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, p.server.URL+"/authorize?") {
		p.t.Fatalf("sent to %s", address)
	}
	q := u.Query()
	for name, want := range map[string]string{"response_type": "code", "client_id": "hippad", "code_challenge_method": "S256", "redirect_uri": "https://audit.example:2988/signin/callback", "scope": "openid profile"} {
		if q.Get(name) != want {
			p.t.Fatalf("%s is %q", name, q.Get(name))
		}
	}
	if len(q.Get("state")) < 40 || len(q.Get("nonce")) < 40 || len(q.Get("code_challenge")) != 43 {
		p.t.Fatalf("not enough randomness: %v", q)
	}
	code := rand.Text()
	p.set(func() { p.codes[code] = q })
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}

func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	began, ok := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	switch {
	case id != "hippad" || secret != clientSecret:
		answerJSON(w, 401, map[string]string{"error": "invalid_client"})
		return
	case !ok, r.FormValue("grant_type") != "authorization_code", r.FormValue("redirect_uri") != began.Get("redirect_uri"),
		base64.RawURLEncoding.EncodeToString(sum[:]) != began.Get("code_challenge"):
		answerJSON(w, 400, map[string]string{"error": "invalid_grant"})
		return
	}
	c := map[string]any{
		"iss": p.server.URL, "sub": "f81d4fae", "aud": "hippad", "iat": p.clock.now().Unix(), "exp": p.clock.now().Add(5 * time.Minute).Unix(),
		"nonce": began.Get("nonce"), "name": "Olga Officer", "groups": []string{"staff", "privacy"},
	}
	for k, v := range p.claims {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	sign := p.sign
	if sign == nil {
		sign = func(c map[string]any) string { return p.signed(jose.RS256, p.rsa, "r", c) }
	}
	answerJSON(w, 200, map[string]any{"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": sign(c)})
}

func (p *idp) signed(alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	text, _ := json.Marshal(claims)
	jws, err := signer.Sign(text)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	compact, _ := jws.CompactSerialize()
	return compact
}

// unsigned makes the token of RFC 7519 section 6.
func unsigned(claims map[string]any) string {
	text, _ := json.Marshal(claims)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
}

// withPublicKey signs with HMAC, the provider's public key as the secret: the classic confusion.
func (p *idp) withPublicKey(claims map[string]any) string {
	der, _ := x509.MarshalPKIXPublicKey(p.rsa.Public())
	return p.signed(jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "r", claims)
}
