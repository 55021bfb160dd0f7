package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/identity"
	"hippad/wire"
)

// dialTime bounds the way to the server and the handshake.
const dialTime = 10 * time.Second

// A connection says which server a command talks to, and as whom.
type connection struct {
	data, server, ca, cert, token string
}

func (c *connection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.data, "data", defaultData, "data `DIRECTORY` of a server on this machine")
	f.StringVar(&c.server, "server", "", "`HOST:PORT` of a server elsewhere (default: the one of --data)")
	f.StringVar(&c.ca, "ca", "", "PEM `FILE` with the authority that the server's certificate must come from (default: that of --data; with --server, the system's)")
	f.StringVar(&c.cert, "cert", "", "PEM `FILE` with a client certificate and its key (default: the operator's of --data)")
}

// asReporter connects to report: on the server's machine as the operator, from elsewhere with the certificate of --cert, or
// with none, where the server trusts the network.
func (c *connection) asReporter(ctx context.Context, stream hippad.StreamID) (*wire.Client, error) {
	config, err := c.reporterTLS()
	if err != nil {
		return nil, err
	}
	return c.dial(ctx, config, stream)
}

func (c *connection) reporterTLS() (*tls.Config, error) {
	if c.server == "" && c.ca == "" && c.cert == "" {
		return identity.OperatorTLS(c.data)
	}
	ca := c.ca
	if ca == "" && c.server == "" {
		ca = filepath.Join(c.data, "ca.pem")
	}
	return identity.ReporterTLS(ca, c.cert)
}

// asOperator connects to ask.
func (c *connection) asOperator(ctx context.Context) (*wire.Client, error) {
	config, err := c.operatorTLS()
	if err != nil {
		return nil, err
	}
	return c.dial(ctx, config, hippad.StreamID{})
}

func (c *connection) operatorTLS() (*tls.Config, error) {
	if c.server == "" && c.ca == "" && c.cert == "" {
		return identity.OperatorTLS(c.data)
	}
	return identity.ReporterTLS(c.ca, c.cert)
}

// address returns where the server is.
func (c *connection) address() (string, error) {
	if c.server != "" {
		return c.server, nil
	}
	text, err := os.ReadFile(filepath.Join(c.data, addressFile))
	if err != nil {
		return "", hippad.Errorf(hippad.Unavailable, "%s does not say where its server listens", c.data).
			WithHint("start one with hippad serve --data %s, or give --server HOST:PORT and --ca FILE", c.data)
	}
	return strings.TrimSpace(string(text)), nil
}

func (c *connection) dial(ctx context.Context, config *tls.Config, stream hippad.StreamID) (*wire.Client, error) {
	address, err := c.address()
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	client, err := wire.Dial(dialing, address, config, wire.ClientOptions{Stream: stream})
	if err != nil {
		return nil, unanswered(address, err)
	}
	return client, nil
}

// unanswered says why there is no connection: because nobody is there, or because of who we are.
func unanswered(address string, err error) error {
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" { // how crypto/tls says that the other side has ended the handshake
		return hippad.Errorf(hippad.Unauthorised, "the server at %s refuses this certificate: %w", address, err).
			WithHint("it may have ended, been revoked, or be unknown there; the server's log says which (hippad search type=110113)")
	}
	return hippad.Errorf(hippad.Unavailable, "no hippad server answers at %s: %w", address, err)
}
