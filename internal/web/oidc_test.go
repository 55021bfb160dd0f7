package web_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hippad/internal/account"
	"hippad/internal/web"
)

// provider is as much of an identity provider as the pages need; internal/account has a strict one. nonce and groups are what
// it says about the next person.
type provider struct {
	*httptest.Server
	nonce  string
	groups []string
}

func newProvider(t *testing.T, now time.Time) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks"})
		case "/jwks":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public()}}})
		case "/token":
			claims, _ := json.Marshal(map[string]any{"iss": p.URL, "sub": "f81d4fae", "aud": "hippad", "exp": now.Add(time.Hour).Unix(), "nonce": p.nonce, "name": "Anna " + hostle, "groups": p.groups})
			jws, _ := signer.Sign(claims)
			compact, _ := jws.CompactSerialize()
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": compact})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func TestOIDC(t *testing.T) {
	h := open(t)
	p := newProvider(t, h.now)
	dir := t.TempDir()
	config, _ := json.Marshal(map[string]any{"issuer": p.URL, "client_id": "hippad", "redirect_url": "https://audit.example/signin/callback", "name": "Hospital login",
		"ca_file": "ca.pem", "claim": "groups", "roles": map[string][]string{"reading": {"reviewer"}}})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	for name, content := range map[string][]byte{"oidc.json": config, "ca.pem": ca} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := account.LoadOIDC(filepath.Join(dir, "oidc.json"))
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(string) {}
	h.accounts, err = account.Open(dir, account.Options{OIDC: c, Now: func() time.Time { return h.now },
		Throttle: account.Throttle{Check: func(string) (time.Duration, error) { return 0, nil }, Failed: nothing, Succeeded: nothing}})
	if err != nil {
		t.Fatal(err)
	}
	h.handler.Accounts = h.accounts
	h.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	h.get("/signin").want(200, "Sign in with Hospital login")

	// away sends the browser to the provider and returns the address to which it comes back.
	away := func() string {
		t.Helper()
		a := h.get("/signin/oidc").want(303)
		to, err := url.Parse(a.header.Get("Location"))
		if err != nil || !strings.HasPrefix(to.String(), p.URL+"/authorize?") {
			t.Fatal(to, err)
		}
		if cookie := a.header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-hippad-flow=") || !strings.HasSuffix(cookie, "; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax") {
			t.Errorf("%s", cookie)
		}
		p.nonce = to.Query().Get("nonce")
		return "/signin/callback?" + url.Values{"code": {"c"}, "state": {to.Query().Get("state")}}.Encode()
	}
	// The navigation comes from another site.
	foreign := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	back := away()
	p.groups = []string{"staff"}
	h.send("GET", back, nil, foreign).want(403, "was not accepted")
	who := p.URL + " f81d4fae"
	h.lastNote(web.SignIn{Account: who, How: account.HowOIDC, Outcome: web.OutcomeFailure, Reason: "no role"})
	h.send("GET", back, nil, foreign).want(403) // its cookie is gone
	h.lastNote(web.SignIn{How: account.HowOIDC, Outcome: web.OutcomeFailure, Reason: "no cookie: another browser, or too late"})
	if len(h.cookies()) != 0 {
		t.Errorf("%v", h.cookies())
	}

	p.groups = []string{"reading"}
	h.silent = http.ErrAbortHandler
	h.send("GET", away(), nil, foreign).want(503, "The log cannot be written now")
	if len(h.cookies()) != 0 {
		t.Errorf("a session without its entry: %v", h.cookies())
	}
	h.silent = nil
	a := h.send("GET", away(), nil, foreign).want(200, `<meta http-equiv="refresh" content="0; url=/">`)
	if a.header.Get("Location") != "" || len(h.cookies()) != 1 || !strings.Contains(strings.Join(a.header.Values("Set-Cookie"), "\n"), "SameSite=Strict") {
		t.Errorf("%v", a.header)
	}
	h.lastNote(web.SignIn{Account: who, How: account.HowOIDC, Outcome: web.OutcomeSuccess})
	h.get("/").want(200, "person:"+who, "Anna "+hostle, "reviewer")
	h.get("/account").want(200, "Your password and second factor are kept there")
	h.post("/account/recovery", "password", good).want(409)

	p.Close()
	h.accounts, err = account.Open(dir, account.Options{OIDC: c, Throttle: account.Throttle{Check: func(string) (time.Duration, error) { return 0, nil }, Failed: nothing, Succeeded: nothing}})
	if err != nil {
		t.Fatal(err)
	}
	h.handler.Accounts = h.accounts
	h.get("/signin/oidc").want(503, "The identity provider does not answer")
}
