package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/durable"
	"hippad/internal/identity"
	"hippad/internal/repository"
)

// The calls of hippad enroll and hippad renew.
type (
	enrolIn struct {
		Token string `json:"token,omitzero"`
		CSR   []byte `json:"csr"` // DER
	}
	enrolOut struct {
		Certificate []byte `json:"certificate"` // DER
		CA          []byte `json:"ca"`          // DER
	}
)

// enrolRoutes are the server's side. Enrolment is open: the token is the proof. Renewal needs the certificate that is renewed.
func (s *server) enrolRoutes() []route {
	return []route{
		{pattern: "POST /enroll", open: true, handler: answers(s, func(ctx context.Context, c hippad.Caller, in enrolIn) (enrolOut, error) {
			return s.enrol(ctx, c, in)
		})},
		{pattern: "POST /renew", open: true, handler: answers(s, func(ctx context.Context, c hippad.Caller, in enrolIn) (out enrolOut, err error) {
			if c.Kind != hippad.KindCertificate {
				return out, hippad.Errorf(hippad.Unauthorised, "renewing needs the certificate that is renewed")
			}
			if err = s.configured(ctx, c, repository.ActivityMember, "renew the certificate"); err != nil {
				return out, err
			}
			out.Certificate, out.CA, _, err = s.authority.Reissue(c, in.CSR)
			return out, err
		})},
	}
}

// enrol trades a token for a certificate. The entry comes first; a token that is wrong is an alert.
func (s *server) enrol(ctx context.Context, c hippad.Caller, in enrolIn) (out enrolOut, err error) {
	key := "enroll:" + c.ID
	if ip := net.ParseIP(c.ID); ip != nil {
		key = "enroll:" + identity.NetworkOf(&net.IPAddr{IP: ip})
	}
	if _, err := s.throttle.Check(key); err != nil {
		return out, err
	}
	if err := s.configured(ctx, c, repository.ActivityMember, "enrol with a one-time token"); err != nil {
		return out, err
	}
	var m identity.Member
	out.Certificate, out.CA, m, err = s.authority.Enrol(in.Token, in.CSR)
	if err != nil {
		s.throttle.Failed(key)
		s.throttle.Pause(ctx)
		return out, err
	}
	s.log.Info("enrolled", "member", m.ID)
	return out, nil
}

func newEnroll() *cobra.Command {
	var server, token, dir string
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "get a certificate for this machine with a one-time token",
		Long: `Make a key on this machine and get a certificate for it. The token comes from hippad member invite; it also says which
server is the right one, so nothing else has to be trusted. Writes hippad.pem (certificate and key, for this user only) and
ca.pem (what to trust) to --out.`,
		Example: `  hippad enroll --server audit.hospital.example:2988 --token hpe1.AbC...
  hippad enroll --server audit.hospital.example:2988 --token - --out /etc/hippad < token`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if server == "" || token == "" {
				return usagef("--server and --token are needed")
			}
			if token == "-" {
				text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4096))
				if err != nil {
					return err
				}
				token = strings.TrimSpace(string(text))
			}
			config, err := identity.BootstrapTLS(token)
			if err != nil {
				return usageError{err}
			}
			keyPEM, csr, err := identity.NewRequest()
			if err != nil {
				return err
			}
			body, err := postTo(cmd.Context(), server, config, "", "/enroll", enrolIn{token, csr})
			if err != nil {
				return err
			}
			out, err := readEnrolment(body)
			if err != nil {
				return err
			}
			cert, ca := filepath.Join(dir, "hippad.pem"), filepath.Join(dir, "ca.pem")
			if err := writeCertificate(cert, keyPEM, out); err != nil {
				return err
			}
			if err := durable.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: out.CA}), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "hippad report FILE... --server %s --ca %s --cert %s\n", server, ca, cert)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&server, "server", "", "`HOST:PORT` of the server")
	f.StringVar(&token, "token", "", "the one-time `TOKEN`, or - to read it from stdin")
	f.StringVar(&dir, "out", ".", "`DIRECTORY` for hippad.pem and ca.pem")
	return cmd
}

func newRenew() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "get a new certificate for this machine with the one that it has",
		Long: `Make a new key and get a certificate for it, shown the present one, which goes on being good for seven days. The file
of --cert is replaced in one step.`,
		Example: "  hippad renew --server audit.hospital.example:2988 --ca ca.pem --cert hippad.pem",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.server == "" || c.cert == "" {
				return usagef("--server and --cert are needed")
			}
			keyPEM, csr, err := identity.NewRequest()
			if err != nil {
				return err
			}
			body, err := c.post(cmd.Context(), "/renew", enrolIn{CSR: csr})
			if err != nil {
				return err
			}
			out, err := readEnrolment(body)
			if err != nil {
				return err
			}
			return writeCertificate(c.cert, keyPEM, out)
		},
	}
	c.flags(cmd)
	return cmd
}

func readEnrolment(body io.ReadCloser) (out enrolOut, err error) {
	defer body.Close()
	if err = readJSON(body, &out); err != nil {
		return out, err
	}
	if _, err := x509.ParseCertificate(out.Certificate); err != nil {
		return out, hippad.Errorf(hippad.Invalid, "the server's answer holds no certificate")
	}
	return out, nil
}

func writeCertificate(file string, keyPEM []byte, out enrolOut) error {
	if st, err := os.Stat(file); err == nil && st.IsDir() {
		return hippad.Errorf(hippad.Conflict, "%s is a directory", file)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: out.Certificate}), keyPEM...)
	return durable.WriteFile(file, text, 0o600)
}
