package account

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
)

// OIDCConfig says which OpenID Connect provider people may sign in with, and what its claims mean here. It is a JSON file; see
// docs/operations.md.
type OIDCConfig struct {
	Issuer      string `json:"issuer"`        // as the provider writes it; https
	ClientID    string `json:"client_id"`     // of this server at the provider
	SecretFile  string `json:"secret_file"`   // file with the client secret; relative to the folder of this one
	RedirectURL string `json:"redirect_url"`  // https://HOST:PORT/signin/callback, as registered at the provider
	Name        string `json:"name,omitzero"` // on the button; "single sign-on"
	CAFile      string `json:"ca_file,omitzero"`
	// Scopes are asked for besides openid; "profile" if empty.
	Scopes []string `json:"scopes,omitzero"`
	// Claim is the claim whose values decide the roles: a string or a list of strings. One inside another is written with
	// dots, as in realm_access.roles.
	Claim string                   `json:"claim"`
	Roles map[string][]hippad.Role `json:"roles"` // value of the claim -> roles; nobody gets in without one
	// RequireACR, RequireAMR: the ID token must say one of these, which is how a provider says that it has checked a second
	// factor (OpenID Connect Core section 2, RFC 8176). Empty: the provider is trusted to check one.
	RequireACR   []string `json:"require_acr,omitzero"`
	RequireAMR   []string `json:"require_amr,omitzero"`
	Organisation string   `json:"organisation,omitzero"` // whose members of staff they are
	// Audience is what access tokens must be for, to be taken as bearer tokens (RFC 9068); empty: none are taken. It cannot
	// be ClientID, because then an ID token would do.
	Audience string `json:"audience,omitzero"`

	secret string
	pool   *x509.CertPool // nil: the system's
}

// LoadOIDC reads a configuration file and the files that it names.
func LoadOIDC(name string) (*OIDCConfig, error) {
	bad := func(format string, args ...any) error {
		return hippad.Errorf(hippad.Invalid, "%s: %w", name, fmt.Errorf(format, args...))
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "read the OpenID Connect configuration: %w", err)
	}
	c := &OIDCConfig{}
	if err := json.Unmarshal(text, c, json.RejectUnknownMembers(true)); err != nil {
		return nil, bad("%w", err)
	}
	beside := func(file string) string {
		if filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(filepath.Dir(name), file)
	}
	if c.SecretFile != "" {
		secret, err := os.ReadFile(beside(c.SecretFile))
		if err != nil {
			return nil, bad("secret_file: %w", err)
		}
		c.secret = strings.TrimSpace(string(secret))
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(beside(c.CAFile))
		if err != nil {
			return nil, bad("ca_file: %w", err)
		}
		if c.pool = x509.NewCertPool(); !c.pool.AppendCertsFromPEM(pem) {
			return nil, bad("ca_file: there is no certificate in it")
		}
	}
	if err := c.check(); err != nil {
		return nil, bad("%w", err)
	}
	return c, nil
}

// check also fills in what was left out.
func (c *OIDCConfig) check() error {
	for name, value := range map[string]string{"issuer": c.Issuer, "redirect_url": c.RedirectURL} {
		if u, err := url.Parse(value); err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
			return fmt.Errorf("%s: want an https address", name)
		}
	}
	if u, _ := url.Parse(c.RedirectURL); u.Path != CallbackPath {
		return fmt.Errorf("redirect_url: want https://HOST:PORT%s", CallbackPath)
	}
	switch {
	case c.ClientID == "":
		return fmt.Errorf("client_id is missing")
	case c.SecretFile != "" && c.secret == "":
		return fmt.Errorf("secret_file is empty")
	case c.Claim == "" || len(c.Roles) == 0:
		return fmt.Errorf("claim and roles are needed: without them nobody gets in")
	case c.Audience == c.ClientID:
		return fmt.Errorf("audience must not be the client_id: an ID token would be taken for an access token")
	case !isLine(c.Name) || !isLine(c.Organisation):
		return fmt.Errorf("name and organisation are one line each, of at most %d bytes", maxText)
	}
	for value, roles := range c.Roles {
		if err := checkRoles(roles); err != nil {
			return fmt.Errorf("roles of %q: %w", value, err)
		}
	}
	if c.Name == "" {
		c.Name = "single sign-on"
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"profile"}
	}
	if !slices.Contains(c.Scopes, "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}
	return nil
}

// CallbackPath is where the provider sends the browser back to.
const CallbackPath = "/signin/callback"

const (
	providerTime   = 10 * time.Second // for one request to the provider
	providerAnswer = 1 << 20          // bytes of its answer
)

// client returns what talks to the provider: https only, with bounded time, answers and redirects.
func (c OIDCConfig) client() *http.Client {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: c.pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, MaxIdleConns: 4, IdleConnTimeout: time.Minute,
	}
	return &http.Client{Transport: boundedTransport{t}, Timeout: providerTime, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) >= 3 {
			return fmt.Errorf("more than %d redirects", len(via))
		}
		return nil
	}}
}

// A boundedTransport refuses to speak without TLS, and cuts long answers.
type boundedTransport struct{ http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("the identity provider names an address without https")
	}
	answer, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, providerAnswer)
	}
	return answer, err
}
