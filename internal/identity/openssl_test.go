package identity_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"hippad"
	"hippad/internal/identity"
)

// Another implementation of TLS and X.509 agrees about who gets in: keys, requests and self-signed certificates of OpenSSL, with
// the suites of ITI-19 and RFC 9662, and a server that it accepts.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("there is no openssl here")
	}
	l := openIn(t, t.TempDir(), func(o *identity.Options) { o.LegacySuite, o.Now = true, time.Now }) // openssl has its own clock
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
	}
	key, request, member, self := l.file("key.pem"), l.file("csr.der"), l.file("member.pem"), l.file("self.pem")
	run("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=somebody", "-outform", "DER", "-out", request)
	run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", l.file("self.key"), "-subj", "/CN=self", "-out", self)
	token, _, err := l.Invite(identity.Member{Name: "member", Roles: reporter}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	der, _, _, err := l.Enrol(token, must(os.ReadFile(request)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(member, certPEM(der), 0o600); err != nil {
		t.Fatal(err)
	}
	run("verify", "-x509_strict", "-CAfile", l.file("ca.pem"), "-purpose", "sslclient", member)
	if _, err := l.Pin(identity.Member{Name: "self", Roles: reporter}, must(os.ReadFile(self))); err != nil {
		t.Fatal(err)
	}
	stranger := l.file("stranger.pem")
	run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", l.file("stranger.key"), "-subj", "/CN=self", "-out", stranger)

	for _, c := range []struct {
		name, cert, key string
		args            []string
		want            string // reason word
	}{
		{"member, TLS 1.3", member, key, []string{"-tls1_3"}, ""},
		{"member, TLS 1.2", member, key, []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"}, ""},
		{"pinned, TLS 1.2", self, l.file("self.key"), []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"}, ""},
		{"pinned, RFC 9662", self, l.file("self.key"), []string{"-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"}, ""},
		{"stranger, TLS 1.3", stranger, l.file("stranger.key"), []string{"-tls1_3"}, identity.ReasonIssuer},
		{"stranger, TLS 1.2", stranger, l.file("stranger.key"), []string{"-tls1_2"}, identity.ReasonIssuer},
	} {
		caller, err := l.acceptOpenSSL(t, append([]string{"-cert", c.cert, "-key", c.key}, c.args...)...)
		if reason(err) != c.want || (err == nil) != (c.want == "") || err == nil && !slices.Equal(caller.Roles, reporter) {
			t.Errorf("%s: %v, %v", c.name, caller, err)
		}
	}
}

// acceptOpenSSL lets openssl s_client come once. It must accept the server, by ca.pem.
func (l *log) acceptOpenSSL(t *testing.T, args ...string) (hippad.Caller, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", append([]string{"s_client", "-connect", listener.Addr().String(), "-CAfile", l.file("ca.pem"),
		"-verify_return_error", "-verify_ip", "127.0.0.1", "-quiet"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait()
	}()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := tls.Server(conn, l.server)
	if err := s.HandshakeContext(ctx); err != nil {
		return hippad.Caller{}, err
	}
	return l.Admit(s.ConnectionState(), s.RemoteAddr()), nil
}
