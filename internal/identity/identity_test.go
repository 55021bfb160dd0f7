package identity_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A clock stands still until it is set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A log is an open Authority with what a test needs of it.
type log struct {
	*identity.Authority
	dir     string
	clock   *clock
	options identity.Options
	server  *tls.Config
}

func open(t testing.TB, options ...func(*identity.Options)) *log {
	t.Helper()
	return openIn(t, t.TempDir(), options...)
}

// copy opens a copy of the log's files.
func (l *log) copy(t testing.TB) *log {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(l.dir)); err != nil {
		t.Fatal(err)
	}
	return openIn(t, dir)
}

func openIn(t testing.TB, dir string, options ...func(*identity.Options)) *log {
	t.Helper()
	l := &log{dir: dir, clock: &clock{now: start}}
	l.options = identity.Options{Now: l.clock.Now}
	l.options.Throttle = identity.NewThrottle(identity.ThrottleOptions{Now: l.clock.Now, Pause: -1})
	for _, o := range options {
		o(&l.options)
	}
	l.reopen(t)
	return l
}

func (l *log) reopen(t testing.TB) {
	t.Helper()
	var err error
	if l.Authority, err = identity.Open(l.dir, []string{"logs.example"}, l.options); err != nil {
		t.Fatal(err)
	}
	l.server = l.ServerTLS()
}

// handshake returns what Admit makes of a client with the given configuration, the client's view of the connection, and the
// error of the server's side, or else of the client's.
func (l *log) handshake(t testing.TB, client *tls.Config) (hippad.Caller, tls.ConnectionState, error) {
	t.Helper()
	client.Time = l.clock.Now
	near, far := pipe(t)
	defer near.Close()
	type end struct {
		state tls.ConnectionState
		err   error
	}
	ended := make(chan end, 1)
	go func() {
		config := client.Clone()
		if config.ServerName == "" {
			config.ServerName = "localhost"
		}
		tc := tls.Client(far, config)
		defer tc.Close()
		err := tc.Handshake()
		if err == nil { // with TLS 1.3 this is where the client hears of a refusal, and gets its ticket
			_, err = tc.Read(make([]byte, 1))
		}
		ended <- end{tc.ConnectionState(), err}
	}()
	s := tls.Server(near, l.server)
	if err := s.Handshake(); err != nil {
		near.Close()
		<-ended
		return hippad.Caller{}, tls.ConnectionState{}, err
	}
	caller := l.Admit(s.ConnectionState(), s.RemoteAddr())
	if _, err := s.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	e := <-ended
	return caller, e.state, e.err
}

// pipe returns the two ends of a TCP connection.
func pipe(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// must returns v, and ends the test if there is an error.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (l *log) file(name ...string) string { return filepath.Join(append([]string{l.dir}, name...)...) }

func TestAdmit(t *testing.T) {
	l, other := open(t), open(t)
	everything := []hippad.Role{hippad.RoleReporter, hippad.RoleReviewer, hippad.RoleOfficer, hippad.RoleAuditor, hippad.RoleAdministrator}
	for _, name := range []string{"localhost", "another.name", "192.0.2.1"} { // the operator's client knows the server by its certificate
		config := must(identity.OperatorTLS(l.dir))
		config.ServerName = name
		if c, _, err := l.handshake(t, config); err != nil || c.Kind != hippad.KindOperator || !slices.Equal(c.Roles, everything) || !l.Current(c.Principal) {
			t.Errorf("operator at %s: %v, %v", name, c, err)
		}
	}
	nobody := must(identity.ReporterTLS(l.file("ca.pem"), ""))
	if c, _, err := l.handshake(t, nobody); err != nil || c.String() != "address:127.0.0.1" || len(c.Roles) > 0 {
		t.Errorf("no certificate: %v, %v", c, err)
	}
	// The operator of another log has the same names in its certificate and another key.
	stranger := must(identity.ReporterTLS(l.file("ca.pem"), other.file("keys", "operator.pem")))
	if _, _, err := l.handshake(t, stranger); reason(err) != identity.ReasonIssuer {
		t.Errorf("operator of another log: %v", err)
	}
	// And clients that trust another authority do not talk to this server, nor those that want another name.
	if _, _, err := l.handshake(t, must(identity.ReporterTLS(other.file("ca.pem"), ""))); err == nil {
		t.Error("a client with another authority accepts the server")
	}
	if _, _, err := l.handshake(t, must(identity.OperatorTLS(other.dir))); err == nil {
		t.Error("the operator of another log accepts the server")
	}
	nobody.ServerName = "elsewhere.example"
	if _, _, err := l.handshake(t, nobody); err == nil {
		t.Error("a client accepts the server under a wrong name")
	}
}

// A member cannot play the server: its certificate is for clients.
func TestMemberIsNoServer(t *testing.T) {
	l := open(t)
	m := l.enrol(t, identity.Member{Name: "m", Roles: reporter})
	token, _, err := l.Invite(identity.Member{Name: "next", Roles: reporter}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ca := must(os.ReadFile(l.file("ca.pem")))
	m.Certificate = append(m.Certificate, decode(t, ca))
	for name, client := range map[string]*tls.Config{
		"operator": must(identity.OperatorTLS(l.dir)), "enrolment": must(identity.BootstrapTLS(token)), "reporter": must(identity.ReporterTLS(l.file("ca.pem"), "")),
	} {
		client.Time = l.clock.Now
		client.ServerName = "localhost"
		near, far := pipe(t)
		go func() {
			s := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{m}, Time: l.clock.Now})
			_ = s.Handshake()
			s.Close()
		}()
		if err := tls.Client(far, client).Handshake(); err == nil {
			t.Errorf("%s accepts a member as the server", name)
		}
		far.Close()
	}
}

func TestAdmitAddress(t *testing.T) {
	l := open(t, func(o *identity.Options) {
		o.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")}
	})
	for addr, want := range map[string]bool{
		"192.0.2.7:514": true, "[::ffff:192.0.2.7]:514": true, "[fe80::1%eth0]:514": true,
		"192.0.3.7:514": false, "[2001:db8::1]:514": false, "not an address": false,
	} {
		c := l.AdmitAddress(named(addr))
		if c.Kind != hippad.KindAddress || c.May(hippad.ActRecord) != want || c.May(hippad.ActRead) || !l.Current(c.Principal) {
			t.Errorf("%s: %v %v", addr, c, c.Roles)
		}
	}
	for addr, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64", "x": "x",
	} {
		if got := identity.NetworkOf(named(addr)); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// named is a network address that is only a text.
type named string

func (n named) Network() string { return "tcp" }
func (n named) String() string  { return string(n) }

func TestCertificatesAreKeptAndRenewed(t *testing.T) {
	dir := t.TempDir()
	names := []string{"ca", "server", "server-rsa", "operator"}
	read := func() map[string]string {
		out := map[string]string{}
		for _, n := range names {
			out[n] = string(must(os.ReadFile(filepath.Join(dir, "keys", n+".pem"))))
		}
		return out
	}
	// expect opens at a time and compares which files are new.
	expect := func(what string, hosts []string, at time.Time, renewed ...string) {
		t.Helper()
		before := map[string]string{}
		if _, err := os.Stat(filepath.Join(dir, "keys")); err == nil {
			before = read()
		}
		if _, err := identity.Open(dir, hosts, identity.Options{Now: func() time.Time { return at }}); err != nil {
			t.Fatal(err)
		}
		after := read()
		for _, n := range names {
			if new := before[n] != after[n]; new != slices.Contains(renewed, n) {
				t.Errorf("%s: %s new: %v", what, n, new)
			}
		}
	}
	expect("first", []string{"a.example", "192.0.2.1"}, start, names...)
	expect("restart", []string{"a.example"}, start.Add(24*time.Hour))
	expect("another host name", []string{"b.example"}, start, "server", "server-rsa")
	expect("near the end", []string{"b.example"}, start.Add(700*24*time.Hour), "server", "server-rsa", "operator")
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	expect("public copy missing", nil, start)
	if !strings.HasPrefix(read()["ca"], string(must(os.ReadFile(filepath.Join(dir, "ca.pem"))))) {
		t.Error("the public copy of the authority does not come back")
	}
	for _, n := range names {
		st, err := os.Stat(filepath.Join(dir, "keys", n+".pem"))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", n, st.Mode(), err)
		}
	}
}

// A renewed certificate is used by the next handshake, without a restart, and the operator's old one is no longer good.
func TestRenewWithoutRestart(t *testing.T) {
	l := open(t)
	old := must(identity.OperatorTLS(l.dir))
	caller, first, err := l.handshake(t, old)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Renew(l.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, again, err := l.handshake(t, old); err != nil || !again.PeerCertificates[0].Equal(first.PeerCertificates[0]) {
		t.Errorf("renewed before it was time: %v", err)
	}
	l.clock.add(600 * 24 * time.Hour)
	if err := l.Renew(l.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.handshake(t, old); reason(err) != identity.ReasonMember {
		t.Errorf("the operator's old certificate: %v", err)
	}
	if l.Current(caller.Principal) {
		t.Error("the operator's old certificate is current")
	}
	_, third, err := l.handshake(t, must(identity.OperatorTLS(l.dir)))
	if err != nil || third.PeerCertificates[0].Equal(first.PeerCertificates[0]) {
		t.Errorf("the server certificate has not changed: %v", err)
	}
}

// A server certificate of another authority, put in place of ours, is used at once and never written over. A half-copied one
// is not used, and is spoken of.
func TestServerCertificateReplaced(t *testing.T) {
	l := open(t)
	hospital := newCA(t, "hospital", nil)
	foreign := hospital.server(t, "audit.hospital.example")
	file := l.file("keys", "server.pem")
	before := must(os.ReadFile(file))
	if err := os.WriteFile(file, foreign[:len(foreign)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	operator := must(identity.OperatorTLS(l.dir))
	if _, _, err := l.handshake(t, operator); err != nil {
		t.Errorf("while a certificate is being copied: %v", err)
	}
	if w := l.Warnings(); len(w) != 1 || !strings.Contains(w[0], file) {
		t.Errorf("warnings: %q", w)
	}
	if err := os.WriteFile(file, foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"replaced", "restarted", "renewed"} {
		client := &tls.Config{RootCAs: hospital.pool(), ServerName: "audit.hospital.example"}
		if _, s, err := l.handshake(t, client); err != nil || s.PeerCertificates[0].Subject.CommonName != "server" {
			t.Errorf("%s: %v", step, err)
		}
		if _, _, err := l.handshake(t, must(identity.OperatorTLS(l.dir))); err != nil {
			t.Errorf("%s: the operator is locked out: %v", step, err)
		}
		if step == "replaced" {
			l.reopen(t)
		} else if l.clock.add(600 * 24 * time.Hour); l.Renew(l.clock.Now()) != nil {
			t.Fatal("cannot renew")
		}
	}
	if !bytes.Equal(foreign, must(os.ReadFile(file))) || bytes.Equal(before, foreign) {
		t.Error("the certificate of another authority was written over")
	}
	if w := strings.Join(l.Warnings(), "\n"); !strings.Contains(w, "does not cover") {
		t.Errorf("warnings: %q", w)
	}
	// Enrolment works all the same: the token names the hospital's authority, and that is what the member gets to trust.
	token, _, err := l.Invite(identity.Member{Name: "m", Roles: reporter}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	config := must(identity.BootstrapTLS(token))
	if _, _, err := l.handshake(t, config); err != nil {
		t.Errorf("enrolment: %v", err)
	}
	_, csr, _ := identity.NewRequest()
	if _, ca, _, err := l.Enrol(token, csr); err != nil || !bytes.Equal(ca, hospital.cert.Raw) {
		t.Errorf("the member is told to trust something else: %v", err)
	}
}

func TestDamagedFileIsNamed(t *testing.T) {
	for _, name := range []string{"ca.pem", "server.pem", "server-rsa.pem", "operator.pem", "members.json"} {
		l := open(t)
		l.enrol(t, identity.Member{Name: "m", Roles: reporter})
		file := l.file("keys", name)
		if err := os.Truncate(file, 100); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.Open(l.dir, nil, l.options); err == nil || !strings.Contains(err.Error(), file) || hippad.KindOf(err) != hippad.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := identity.OperatorTLS(t.TempDir()); hippad.KindOf(err) != hippad.Unauthorised {
		t.Errorf("empty directory: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	l := open(t)
	if w := l.Warnings(); len(w) > 0 {
		t.Errorf("a new log: %q", w)
	}
	m := identity.Member{Name: "secret name", Roles: reporter, Expires: start.Add(10 * 24 * time.Hour)}
	_, id, err := l.IssueToken(m)
	if err != nil {
		t.Fatal(err)
	}
	if w := l.Warnings(); len(w) != 1 || !strings.Contains(w[0], id+" ends on 2026-12-02") || strings.Contains(w[0], m.Name) {
		t.Errorf("a token that ends soon: %q", w)
	}
	l.clock.add(11 * 24 * time.Hour)
	if w := l.Warnings(); len(w) != 1 || !strings.Contains(w[0], "has ended") {
		t.Errorf("a token that has ended: %q", w)
	}
	l.clock.add(60 * 24 * time.Hour)
	if w := l.Warnings(); len(w) > 0 {
		t.Errorf("long after: %q", w)
	}
}
