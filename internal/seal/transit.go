package seal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
)

// Limits of one exchange with a transit server.
const (
	transitTimeout  = 15 * time.Second
	maxTransitReply = 64 << 10
	maxTransitText  = 1 << 10  // of each field of Transit but CA
	maxTransitCA    = 64 << 10 // bytes of PEM
)

// Transit names a key of a transit engine: HashiCorp Vault, OpenBao, or what speaks the same HTTP API. The key never leaves
// the server; only the ring key, 32 bytes, passes the connection.
type Transit struct {
	Address   string `json:"address"`             // as in https://vault.example:8200; http only to this machine itself
	Mount     string `json:"mount"`               // path of the engine, as in transit
	Key       string `json:"key"`                 // name of the key
	Namespace string `json:"namespace,omitempty"` // X-Vault-Namespace; empty: none
	CA        string `json:"ca,omitempty"`        // PEM of the authorities to trust; empty: the system's
}

// movedTo returns the same key where to says that it is now.
func (t Transit) movedTo(to Transit) Transit {
	return Transit{
		Address: cmp.Or(to.Address, t.Address), Mount: cmp.Or(to.Mount, t.Mount), Key: cmp.Or(to.Key, t.Key),
		Namespace: cmp.Or(to.Namespace, t.Namespace), CA: cmp.Or(to.CA, t.CA),
	}
}

// check also keeps every part from becoming another part of the URL or a second header.
func (t Transit) check() error {
	for _, s := range []string{t.Address, t.Mount, t.Key, t.Namespace} {
		if len(s) > maxTransitText {
			return errors.New("the transit key's description is too long")
		}
	}
	u, err := url.Parse(t.Address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return errors.New("the transit server's address is not https://HOST:PORT")
	}
	path := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$`)
	if !path.MatchString(t.Mount) || !path.MatchString(t.Key) || strings.Contains(t.Key, "/") ||
		t.Namespace != "" && !path.MatchString(strings.TrimSuffix(t.Namespace, "/")) {
		return errors.New("the transit key's mount, name or namespace is not a path")
	}
	if len(t.CA) > maxTransitCA || t.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		return errors.New("the transit server's authorities are not certificates in PEM")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A transitMaster is the client. It holds no connection and no token between two requests.
type transitMaster struct {
	Transit
	token  func() ([]byte, error)
	client *http.Client
}

func newTransit(t Transit, token func() ([]byte, error)) (Master, error) {
	if err := t.check(); err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "%w", err)
	}
	if token == nil {
		return nil, hippad.Errorf(hippad.Unavailable, "the keys are sealed with a key of %s, and no token for it is given", t.Address)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(t.CA))
	}
	return &transitMaster{Transit: t, token: token, client: &http.Client{
		Timeout: transitTimeout,
		// The token goes to the address that was given and nowhere else: no redirect is followed, no proxy of the
		// environment is used, and no connection is kept.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, MaxResponseHeaderBytes: maxTransitReply},
	}}, nil
}

func (m *transitMaster) String() string {
	return fmt.Sprintf("transit %s/v1/%s/keys/%s", m.Address, m.Mount, m.Key)
}

type transitMessage struct {
	Plaintext  string `json:"plaintext,omitempty"` // base64
	Ciphertext string `json:"ciphertext,omitempty"`
}

// Wrap returns the server's ciphertext, a text that begins with "vault:v" and the key's version.
func (m *transitMaster) Wrap(ctx context.Context, plain []byte) ([]byte, error) {
	reply, err := m.call(ctx, "encrypt", transitMessage{Plaintext: base64.StdEncoding.EncodeToString(plain)})
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(reply.Ciphertext, "vault:v") || len(reply.Ciphertext) > maxWrapped {
		return nil, m.unavailable("has not answered with a ciphertext")
	}
	return []byte(reply.Ciphertext), nil
}

func (m *transitMaster) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	reply, err := m.call(ctx, "decrypt", transitMessage{Ciphertext: string(wrapped)})
	if err != nil {
		return nil, err
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(reply.Plaintext)
	if err != nil || len(plain) == 0 {
		return nil, m.unavailable("has not answered with a plaintext")
	}
	return plain, nil
}

func (m *transitMaster) unavailable(format string, args ...any) *hippad.Error {
	return hippad.Errorf(hippad.Unavailable, "the transit server at %s %s", m.Address, fmt.Sprintf(format, args...))
}

// call makes one request. Nothing of what is sent or received is in its errors.
func (m *transitMaster) call(ctx context.Context, operation string, ask transitMessage) (reply transitMessage, err error) {
	token, err := m.token()
	if err != nil {
		return reply, hippad.Errorf(hippad.Unavailable, "get the token for the transit server: %w", err)
	}
	defer clear(token)
	body, err := json.Marshal(ask)
	if err != nil {
		return reply, m.unavailable("cannot be asked: the ring key is not text")
	}
	defer clear(body)
	ctx, cancel := context.WithTimeout(ctx, transitTimeout)
	defer cancel()
	target := strings.TrimSuffix(m.Address, "/") + "/v1/" + m.Mount + "/" + operation + "/" + m.Key
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return reply, m.unavailable("cannot be asked: its address is no URL")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Request", "true") // an agent in between that guards against forged requests wants it
	r.Header.Set("X-Vault-Token", string(bytes.TrimSpace(token)))
	if m.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", m.Namespace)
	}
	response, err := m.client.Do(r)
	if err != nil {
		return reply, hippad.Errorf(hippad.Unavailable, "ask the transit server for the ring key: %w", err).
			WithHint("the keys open only while this server answers; check its address, its certificate and the network")
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxTransitReply+1))
	defer clear(text)
	switch {
	case err != nil:
		return reply, m.unavailable("broke off its answer")
	case len(text) > maxTransitReply:
		return reply, m.unavailable("answers with more than %d bytes", maxTransitReply)
	case response.StatusCode != http.StatusOK:
		return reply, m.refusal(operation, response.StatusCode, text)
	}
	var envelope struct {
		Data transitMessage `json:"data"`
	}
	if json.Unmarshal(text, &envelope) != nil {
		return reply, m.unavailable("does not answer in JSON as a transit engine does")
	}
	return envelope.Data, nil
}

func (m *transitMaster) refusal(operation string, status int, text []byte) error {
	path := m.Mount + "/" + operation + "/" + m.Key
	switch {
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return hippad.Errorf(hippad.Unauthorised, "the transit server at %s does not accept the token for %s", m.Address, path).
			WithHint("the token may have expired; its policy must allow update on %s/encrypt/%s and %s/decrypt/%s", m.Mount, m.Key, m.Mount, m.Key)
	case status == http.StatusNotFound:
		return m.unavailable("has no transit engine at %s", m.Mount).WithHint("check the mount and the namespace")
	case status >= 300 && status < 400:
		return m.unavailable("answers with a redirect, which is not followed with the token").WithHint("give the address of the active node")
	case status == http.StatusBadRequest && bytes.Contains(text, []byte("encryption key not found")):
		return m.unavailable("has no key %s: %s", m.Key, lostMaster)
	case status == http.StatusBadRequest && operation == "decrypt":
		return m.unavailable("does not decrypt the ring key: %s is wrapped by another key, or by a version below min_decryption_version, or is damaged", ringFile)
	case status == http.StatusServiceUnavailable:
		return m.unavailable("is sealed or not ready").WithHint("unseal it, then start again")
	}
	return m.unavailable("answers with status %d", status)
}
