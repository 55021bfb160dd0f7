package identity_test

import (
	"bytes"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// handshake returns what Admit makes of a client with the given configuration.
func handshake(t *testing.T, a *identity.Authority, client *tls.Config) (hippad.Principal, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	failed := make(chan error, 1)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			failed <- err
			return
		}
		config := client.Clone()
		config.ServerName, config.Time = "localhost", func() time.Time { return now }
		tc := tls.Client(c, config)
		err = tc.Handshake()
		if err == nil {
			_, err = tc.Read(make([]byte, 1))
		}
		failed <- err
		tc.Close()
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := tls.Server(c, a.ServerTLS())
	if err := s.Handshake(); err != nil {
		c.Close()
		<-failed
		return hippad.Principal{}, err
	}
	p := a.Admit(s.ConnectionState(), s.RemoteAddr())
	if _, err := s.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	return p, <-failed
}

func TestAdmit(t *testing.T) {
	dir, otherDir := t.TempDir(), t.TempDir()
	a, err := identity.Open(dir, []string{"logs.example"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Open(otherDir, nil, now); err != nil {
		t.Fatal(err)
	}
	operator, err := identity.OperatorTLS(dir)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := handshake(t, a, operator); err != nil || p.Kind != hippad.KindOperator || !p.MayRead() {
		t.Errorf("operator: %v, %v", p, err)
	}
	nobody, err := identity.ReporterTLS(filepath.Join(dir, "ca.pem"), "")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := handshake(t, a, nobody); err != nil || p.String() != "address:127.0.0.1" || p.MayRead() {
		t.Errorf("no certificate: %v, %v", p, err)
	}
	// The operator of another log has the same names in its certificate and another key: it is nobody special here.
	other, err := identity.ReporterTLS(filepath.Join(dir, "ca.pem"), filepath.Join(otherDir, "keys", "operator.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := handshake(t, a, other); err != nil || p.Kind != hippad.KindCertificate || p.MayRead() {
		t.Errorf("operator of another log: %v, %v", p, err)
	}
	// And a client that trusts another authority does not talk to this server.
	stranger, err := identity.ReporterTLS(filepath.Join(otherDir, "ca.pem"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handshake(t, a, stranger); err == nil {
		t.Error("a client with another authority accepts the server")
	}
}

func TestCertificatesAreKeptAndRenewed(t *testing.T) {
	dir := t.TempDir()
	read := func() (ca, server, operator []byte) {
		var out [3][]byte
		for i, f := range []string{"ca.pem", "keys/server.pem", "keys/operator.pem"} {
			b, err := os.ReadFile(filepath.Join(dir, f))
			if err != nil {
				t.Fatal(err)
			}
			out[i] = b
		}
		return out[0], out[1], out[2]
	}
	open := func(hosts []string, at time.Time) {
		t.Helper()
		if _, err := identity.Open(dir, hosts, at); err != nil {
			t.Fatal(err)
		}
	}
	open([]string{"a.example", "192.0.2.1"}, now)
	ca, server, operator := read()
	open([]string{"a.example"}, now.Add(24*time.Hour))
	if c, s, o := read(); !bytes.Equal(c, ca) || !bytes.Equal(s, server) || !bytes.Equal(o, operator) {
		t.Error("a restart makes new certificates")
	}
	open([]string{"b.example"}, now)
	if c, s, o := read(); !bytes.Equal(c, ca) || bytes.Equal(s, server) || !bytes.Equal(o, operator) {
		t.Error("a new host name must give a new server certificate and nothing else")
	}
	open(nil, now.Add(700*24*time.Hour))
	if c, _, o := read(); !bytes.Equal(c, ca) || bytes.Equal(o, operator) {
		t.Error("certificates near their end are not renewed")
	}
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	open(nil, now)
	if c, _, _ := read(); !bytes.Equal(c, ca) {
		t.Error("the public copy of the authority does not come back")
	}
	for _, name := range []string{"ca", "server", "operator"} {
		st, err := os.Stat(filepath.Join(dir, "keys", name+".pem"))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
}

func TestDamagedFileIsNamed(t *testing.T) {
	for _, name := range []string{"ca", "server", "operator"} {
		dir := t.TempDir()
		if _, err := identity.Open(dir, nil, now); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "keys", name+".pem")
		if err := os.Truncate(file, 100); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.Open(dir, nil, now); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := identity.OperatorTLS(t.TempDir()); hippad.KindOf(err) != hippad.Unauthorised {
		t.Errorf("empty directory: %v", err)
	}
}
