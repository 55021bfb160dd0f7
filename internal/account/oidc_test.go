package account_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hippad"
	"hippad/internal/account"
)

// config writes the configuration file, changed by change, and loads it.
func (p *idp) config(change func(map[string]any)) (*account.OIDCConfig, error) {
	dir := p.t.TempDir()
	c := map[string]any{
		"issuer": p.server.URL, "client_id": "hippad", "secret_file": "secret", "ca_file": "ca.pem",
		"redirect_url": "https://audit.example:2988/signin/callback", "name": "Hospital login", "claim": "groups",
		"roles":    map[string][]string{"privacy": {"officer"}, "reading": {"reviewer"}, "it": {"administrator", "auditor"}},
		"audience": "https://audit.example/fhir", "organisation": "St. Elsewhere",
	}
	if change != nil {
		change(c)
	}
	text, _ := json.Marshal(c)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	for name, content := range map[string][]byte{"oidc.json": text, "secret": []byte(clientSecret + "\n"), "ca.pem": ca, "empty": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	return account.LoadOIDC(filepath.Join(dir, "oidc.json"))
}

func openWithIDP(t *testing.T, change func(map[string]any)) (*house, *idp) {
	t.Helper()
	c := newClock()
	p := newIDP(t, c)
	config, err := p.config(change)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, dir: t.TempDir(), clock: c, count: &counter{after: 1000}}
	h.again(func(o *account.Options) { o.OIDC = config })
	return h, p
}

func (h *house) oidc(p *idp) (account.Session, error) {
	h.t.Helper()
	address, cookie, err := h.BeginOIDC(h.t.Context())
	if err != nil {
		return account.Session{}, err
	}
	return h.FinishOIDC(h.t.Context(), cookie, p.authorize(address))
}

func TestOIDC(t *testing.T) {
	h, p := openWithIDP(t, nil)
	if name, ok := h.OIDC(); name != "Hospital login" || !ok {
		t.Error(name, ok)
	}
	s, err := h.oidc(p)
	if err != nil {
		t.Fatal(err, account.Reason(err))
	}
	c, err := h.Session(s.Cookie)
	want := hippad.Principal{Kind: hippad.KindPerson, ID: p.server.URL + " f81d4fae", Name: "Olga Officer", Organisation: "St. Elsewhere"}
	if err != nil || c.Principal != want || !slices.Equal(c.Roles, []hippad.Role{hippad.RoleOfficer}) || s.How != account.HowOIDC {
		t.Errorf("%+v, %v", c, err)
	}
	p.set(func() {
		p.sign = func(c map[string]any) string { return p.signed(jose.ES256, p.ec, "e", c) }
		p.claims = map[string]any{"name": nil, "preferred_username": "ol\u202ega\n" + strings.Repeat("ö", 300), "groups": []string{"it", "reading", "it"}}
	})
	s, err = h.oidc(p)
	if err != nil || !slices.Equal(s.Caller.Roles, []hippad.Role{"administrator", "auditor", "reviewer"}) {
		t.Fatal(err, s.Caller.Roles)
	}
	if n := s.Caller.Name; !strings.HasPrefix(n, "olgaö") || len(n) > 200 || strings.ContainsAny(n, "\n\u202e") {
		t.Errorf("%q", n)
	}
	p.set(func() { p.claims = map[string]any{"groups": "reading"} }) // a string in place of a list
	if s, err = h.oidc(p); err != nil || !slices.Equal(s.Caller.Roles, []hippad.Role{hippad.RoleReviewer}) {
		t.Error(err, s.Caller.Roles)
	}
}

// Everything that can be wrong with an answer of the provider keeps its bearer out.
func TestOIDCRefused(t *testing.T) {
	h, p := openWithIDP(t, nil)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := func(c map[string]any) func() { return func() { p.claims = c } }
	sign := func(f func(map[string]any) string) func() { return func() { p.sign = f } }
	now := h.clock.now()
	for what, prepare := range map[string]func(){
		"nonce":            set(map[string]any{"nonce": "another"}),
		"no nonce":         set(map[string]any{"nonce": nil}),
		"issuer":           set(map[string]any{"iss": "https://other.example"}),
		"audience":         set(map[string]any{"aud": "another"}),
		"our API":          set(map[string]any{"aud": "https://audit.example/fhir"}),
		"many audiences":   set(map[string]any{"aud": []string{"hippad", "another"}}),
		"another's client": set(map[string]any{"aud": []string{"hippad", "another"}, "azp": "another"}),
		"expired":          set(map[string]any{"exp": now.Add(-time.Second).Unix()}),
		"no expiry":        set(map[string]any{"exp": nil}),
		"not yet":          set(map[string]any{"nbf": now.Add(2 * time.Minute).Unix()}),
		"no subject":       set(map[string]any{"sub": nil}),
		"long subject":     set(map[string]any{"sub": strings.Repeat("x", 256)}),
		"hidden subject":   set(map[string]any{"sub": "a\nb"}),
		"at_hash":          set(map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
		"no role":          set(map[string]any{"groups": []string{"staff"}}),
		"no claim":         set(map[string]any{"groups": nil}),
		"claim of numbers": set(map[string]any{"groups": []int{1, 2}}),
		"alg none":         sign(unsigned),
		"HS256":            sign(p.withPublicKey),
		"another's key":    sign(func(c map[string]any) string { return p.signed(jose.RS256, stranger, "r", c) }),
		"unknown key":      sign(func(c map[string]any) string { return p.signed(jose.RS256, stranger, "x", c) }),
		"no token":         sign(func(map[string]any) string { return "" }),
		"garbage":          sign(func(map[string]any) string { return "a.b.c" }),
		"JSON form": sign(func(c map[string]any) string {
			part := strings.Split(p.signed(jose.RS256, p.rsa, "r", c), ".")
			return `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`
		}),
		"long": set(map[string]any{"filler": strings.Repeat("x", 20<<10)}),
	} {
		p.set(func() { p.claims, p.sign = nil, nil; prepare() })
		s, err := h.oidc(p)
		if hippad.KindOf(err) != hippad.Unauthorised || s.Cookie != "" {
			t.Errorf("%s: %v", what, err)
		}
		if message, _ := hippad.Public(err); message != "the sign-in at the identity provider was not accepted" {
			t.Errorf("%s: %q", what, message)
		}
		if known := s.Caller.ID != ""; known != (what == "no role" || what == "no claim" || what == "claim of numbers") {
			t.Errorf("%s: it is said to have been %q", what, s.Caller.ID)
		}
	}
	p.set(func() { p.claims, p.sign = nil, nil })
	if _, err := h.oidc(p); err != nil {
		t.Error(err)
	}
}

func TestOIDCFlow(t *testing.T) {
	h, p := openWithIDP(t, nil)
	ctx := t.Context()
	address, cookie, err := h.BeginOIDC(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, otherCookie, _ := h.BeginOIDC(ctx)
	answer := p.authorize(address)
	with := func(k, v string) url.Values {
		a := url.Values{"code": answer["code"], "state": answer["state"]}
		a.Set(k, v)
		return a
	}
	tampered := []byte(cookie)
	tampered[len(tampered)/2] ^= 1
	for what, c := range map[string]struct {
		cookie string
		answer url.Values
	}{
		"wrong state":        {cookie, with("state", "another")},
		"no state":           {cookie, with("state", "")},
		"no cookie":          {"", answer},
		"another's cookie":   {otherCookie, answer},
		"a cookie made up":   {string(tampered), answer},
		"garbage":            {"!!", answer},
		"a long cookie":      {strings.Repeat("A", 1<<20), answer},
		"another issuer":     {cookie, with("iss", "https://other.example")},
		"the provider's no":  {cookie, with("error", "access_denied")},
		"no code":            {cookie, with("code", "")},
		"a code of somebody": {cookie, with("code", "made-up")},
	} {
		_, err := h.FinishOIDC(ctx, c.cookie, c.answer)
		if hippad.KindOf(err) != hippad.Unauthorised {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A code that was given for another browser: its PKCE verifier is not here.
	swapped := p.authorize(address)
	second, secondCookie, _ := h.BeginOIDC(ctx)
	u, _ := url.Parse(second)
	_, err = h.FinishOIDC(ctx, secondCookie, url.Values{"code": swapped["code"], "state": {u.Query().Get("state")}})
	wantKind(t, err, hippad.Unauthorised)

	if _, err := h.FinishOIDC(ctx, cookie, with("iss", p.server.URL)); err != nil {
		t.Error(err)
	}
	_, err = h.FinishOIDC(ctx, cookie, answer) // the code is used
	wantKind(t, err, hippad.Unauthorised)

	address, cookie, _ = h.BeginOIDC(ctx)
	answer = p.authorize(address)
	h.clock.move(account.FlowTime)
	_, err = h.FinishOIDC(ctx, cookie, answer)
	wantKind(t, err, hippad.Unauthorised)

	none := open(t)
	_, _, err = none.BeginOIDC(ctx)
	wantKind(t, err, hippad.NotFound)
	_, err = none.FinishOIDC(ctx, cookie, answer)
	wantKind(t, err, hippad.NotFound)
}

// A provider that is down keeps nobody from opening the accounts, and is found when it is up again.
func TestProviderDown(t *testing.T) {
	c := newClock()
	p := newIDP(t, c)
	p.set(func() { p.down = true })
	config, err := p.config(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, dir: t.TempDir(), clock: c, count: &counter{after: 1000}}
	h.again(func(o *account.Options) { o.OIDC = config })
	for range 5 {
		_, _, err = h.BeginOIDC(t.Context())
		wantKind(t, err, hippad.Unavailable)
		_, err = h.Bearer(t.Context(), "a.b.c")
		wantKind(t, err, hippad.Unavailable)
	}
	p.set(func() {
		if n := p.asked["/.well-known/openid-configuration"]; n != 1 {
			t.Errorf("it was asked %d times in one moment", n)
		}
		p.down = false
	})
	c.move(5 * time.Second)
	if _, err := h.oidc(p); err != nil {
		t.Error(err)
	}
	p.set(func() { p.down = true })
	_, err = h.oidc(p)
	wantKind(t, err, hippad.Unavailable)
	p.set(func() { p.down = false })
	if _, err := h.oidc(p); err != nil {
		t.Error(err)
	}
}

func TestSecondFactorAtProvider(t *testing.T) {
	h, p := openWithIDP(t, func(c map[string]any) {
		c["require_acr"], c["require_amr"] = []string{"urn:two", "urn:three"}, []string{"mfa", "hwk"}
		c["claim"], c["roles"] = "realm_access.roles", map[string][]string{"privacy": {"officer"}}
	})
	realm := map[string]any{"roles": []string{"privacy"}}
	for _, c := range []struct {
		claims map[string]any
		in     bool
	}{
		{map[string]any{"realm_access": realm}, false},
		{map[string]any{"realm_access": realm, "acr": "urn:two"}, false},
		{map[string]any{"realm_access": realm, "amr": []string{"mfa"}}, false},
		{map[string]any{"realm_access": realm, "acr": "urn:one", "amr": []string{"pwd", "mfa"}}, false},
		{map[string]any{"realm_access": "privacy", "acr": "urn:two", "amr": []string{"pwd", "mfa"}}, false},
		{map[string]any{"realm_access": realm, "acr": "urn:two", "amr": []string{"pwd", "mfa"}}, true},
		{map[string]any{"realm_access.roles": "privacy", "acr": "urn:three", "amr": "hwk"}, true},
	} {
		p.set(func() { p.claims = c.claims })
		address, cookie, err := h.BeginOIDC(t.Context())
		if err != nil || !strings.Contains(address, "acr_values=urn%3Atwo+urn%3Athree") {
			t.Fatal(address, err)
		}
		if _, err := h.FinishOIDC(t.Context(), cookie, p.authorize(address)); (err == nil) != c.in {
			t.Errorf("%v: %v", c.claims, err)
		}
	}
}

func TestBearer(t *testing.T) {
	h, p := openWithIDP(t, nil)
	now := h.clock.now()
	token := func(more map[string]any) map[string]any {
		c := map[string]any{"iss": p.server.URL, "sub": "gateway", "aud": []string{"https://audit.example/fhir"}, "exp": now.Add(time.Minute).Unix(), "scope": "openid system/AuditEvent.rs"}
		for k, v := range more {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return c
	}
	rs256 := func(more map[string]any) string { return p.signed(jose.RS256, p.rsa, "r", token(more)) }
	for _, c := range []struct {
		scope, patient string
		want           []hippad.Role
		whose          string
	}{
		{"system/AuditEvent.rs", "", []hippad.Role{"reviewer"}, ""},
		{"system/AuditEvent.read", "7", []hippad.Role{"reviewer"}, ""},
		{"launch system/*.cruds", "", []hippad.Role{"reporter", "reviewer"}, ""},
		{"system/AuditEvent.c", "", []hippad.Role{"reporter"}, ""},
		{"system/AuditEvent.c system/AuditEvent.rs", "", []hippad.Role{"reporter", "reviewer"}, ""},
		{"patient/AuditEvent.rs", "7", []hippad.Role{"patient"}, "Patient/7"},
		{"patient/AuditEvent.rs", "Patient/7", []hippad.Role{"patient"}, "Patient/7"},
		{"patient/*.read", "urn:oid:1.2.3|7", []hippad.Role{"patient"}, "urn:oid:1.2.3|7"},
		{"patient/AuditEvent.rs", "7^^^&1.2.3&ISO", []hippad.Role{"patient"}, "7^^^&1.2.3&ISO"},
		{"patient/AuditEvent.rs", "", nil, ""},
		{"patient/AuditEvent.rs", "John Doe", nil, ""},
		{"patient/AuditEvent.rs", "7\n", nil, ""},
		{"patient/AuditEvent.rs", strings.Repeat("7", 600), nil, ""},
		{"patient/AuditEvent.c", "7", nil, ""},
		{"user/AuditEvent.rs", "", nil, ""},
		{"system/AuditEvent.r", "", nil, ""},
		{"system/AuditEvent.rs?patient=7", "", nil, ""},
		{"system/Patient.rs system/AuditEventX.rs", "", nil, ""},
		{"", "", nil, ""},
	} {
		more := map[string]any{"scope": c.scope}
		if c.patient != "" {
			more["patient"] = c.patient
		}
		got, err := h.Bearer(t.Context(), rs256(more))
		if (err == nil) != (c.want != nil) || !slices.Equal(got.Roles, c.want) || got.Patient != c.whose {
			t.Errorf("%q %q: %v %q, %v", c.scope, c.patient, got.Roles, got.Patient, err)
		}
		if err != nil {
			wantKind(t, err, hippad.Unauthorised)
		}
		if got.Principal.String() != "person:"+p.server.URL+" gateway" {
			t.Error(got.Principal)
		}
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.RS512} {
		if _, err := h.Bearer(t.Context(), p.signed(alg, p.rsa, "r", token(nil))); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
	if _, err := h.Bearer(t.Context(), p.signed(jose.ES256, p.ec, "", token(nil))); err != nil {
		t.Error(err)
	}
	id := p.signed(jose.RS256, p.rsa, "r", token(map[string]any{"aud": "hippad"}))
	for what, jwt := range map[string]string{
		"ID token":       id,
		"issuer":         rs256(map[string]any{"iss": p.server.URL + "/"}),
		"expired":        rs256(map[string]any{"exp": now.Add(-time.Second).Unix()}),
		"no expiry":      rs256(map[string]any{"exp": nil}),
		"not yet":        rs256(map[string]any{"nbf": now.Add(2 * time.Minute).Unix()}),
		"nobody":         rs256(map[string]any{"sub": nil}),
		"no audience":    rs256(map[string]any{"aud": nil}),
		"alg none":       unsigned(token(nil)),
		"HS256":          p.withPublicKey(token(nil)),
		"wrong key":      p.signed(jose.ES256, p.ec, "r", token(nil)),
		"empty":          "",
		"garbage":        "a.b.c",
		"not compact":    `{"payload":"e30"}`,
		"cut":            rs256(nil)[:100],
		"changed":        strings.Replace(rs256(nil), ".", ".A", 1),
		"very long":      strings.Repeat("A", 1<<20) + ".A.A",
		"trailing space": rs256(nil) + "\n",
	} {
		got, err := h.Bearer(t.Context(), jwt)
		if hippad.KindOf(err) != hippad.Unauthorised || got.ID != "" {
			t.Errorf("%s: %v", what, err)
		}
		if message, hint := hippad.Public(err); message != "this bearer token is not accepted" || hint != "" {
			t.Errorf("%s: %q %q", what, message, hint)
		}
	}
	none := open(t)
	_, err := none.Bearer(t.Context(), rs256(nil))
	wantKind(t, err, hippad.Unauthorised)
}

// The provider's keys are asked for again when it has new ones, and not for each token that somebody makes up.
func TestKeyRotation(t *testing.T) {
	h, p := openWithIDP(t, nil)
	token := func(key crypto.PrivateKey, kid string) string {
		return p.signed(jose.RS256, key, kid, map[string]any{"iss": p.server.URL, "sub": "gateway", "aud": "https://audit.example/fhir", "exp": h.clock.now().Add(time.Minute).Unix(), "scope": "system/AuditEvent.rs"})
	}
	if _, err := h.Bearer(t.Context(), token(p.rsa, "r")); err != nil {
		t.Fatal(err)
	}
	fresh, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		_, err := h.Bearer(t.Context(), token(fresh, "n"))
		wantKind(t, err, hippad.Unauthorised)
	}
	p.set(func() {
		if p.asked["/jwks"] != 1 {
			t.Errorf("the keys were asked for %d times", p.asked["/jwks"])
		}
	})
	// The library gives the answer of a request for keys that has just ended to whoever comes in the same moment, so an answer may be
	// one that was true a moment ago: it is asked for until it is the one that stays.
	becomes := func(key crypto.PrivateKey, good func(error) bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var err error
		for ctx.Err() == nil {
			if _, err = h.Bearer(ctx, token(key, "r")); good(err) {
				return
			}
		}
		t.Errorf("it stays %v", err)
	}
	of := func(k hippad.Kind) func(error) bool {
		return func(err error) bool { return err != nil && hippad.KindOf(err) == k }
	}
	old := p.rsa
	p.rsa = fresh
	h.clock.move(10 * time.Second)
	becomes(fresh, func(err error) bool { return err == nil })
	becomes(old, of(hippad.Unauthorised))
	// While its keys cannot be had, an unknown key may be a good one.
	h.clock.move(10 * time.Second)
	p.set(func() { p.down = true })
	becomes(old, of(hippad.Unavailable))
	becomes(fresh, func(err error) bool { return err == nil })
}

func TestOIDCConfig(t *testing.T) {
	p := newIDP(t, newClock())
	for what, change := range map[string]func(map[string]any){
		"unknown member": func(c map[string]any) { c["isuer"] = "x" },
		"no issuer":      func(c map[string]any) { delete(c, "issuer") },
		"plain HTTP":     func(c map[string]any) { c["issuer"] = "http://login.example" },
		"no redirect":    func(c map[string]any) { delete(c, "redirect_url") },
		"redirect":       func(c map[string]any) { c["redirect_url"] = "https://audit.example/elsewhere" },
		"no client":      func(c map[string]any) { delete(c, "client_id") },
		"no secret":      func(c map[string]any) { c["secret_file"] = "absent" },
		"empty secret":   func(c map[string]any) { c["secret_file"] = "empty" },
		"ca":             func(c map[string]any) { c["ca_file"] = "secret" },
		"no claim":       func(c map[string]any) { delete(c, "claim") },
		"no roles":       func(c map[string]any) { delete(c, "roles") },
		"no such role":   func(c map[string]any) { c["roles"] = map[string][]string{"x": {"king"}} },
		"reporter":       func(c map[string]any) { c["roles"] = map[string][]string{"x": {"reporter"}} },
		"audience":       func(c map[string]any) { c["audience"] = "hippad" },
	} {
		_, err := p.config(change)
		if hippad.KindOf(err) != hippad.Invalid || !strings.Contains(err.Error(), "oidc.json") {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && bytes.Contains([]byte(err.Error()), []byte(clientSecret)) {
			t.Errorf("%s: it quotes the secret", what)
		}
	}
	if _, err := account.LoadOIDC(filepath.Join(t.TempDir(), "absent.json")); err == nil {
		t.Error("read what is not there")
	}
}
