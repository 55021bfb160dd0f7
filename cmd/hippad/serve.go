package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"hippad/internal/front"
	"hippad/internal/localstore"
	"hippad/internal/repository"
)

const (
	defaultData = "hippad-data"
	// addressFile holds where the server of a data directory listens, for the commands on the same machine.
	addressFile = "address"
	// seenFile holds the newest checkpoint that the server had signed when it last started or stopped. It lies outside the
	// store, so that a store that is put back from an old copy is noticed before it signs a fork.
	seenFile   = "seen.checkpoint"
	maxMessage = 16 << 20
)

// serveConfig is everything that can be set about a server.
type serveConfig struct {
	Data        string   // data directory
	Listen      []string // TCP addresses, TLS
	UDP         string   // UDP address for RFC 5426 syslog; empty: off
	Hosts       []string // further names and addresses that the server certificate must cover
	Origin      string   // name of a new log; empty: made from the host name
	MaxMessage  int      // bytes of one syslog message
	Base        string   // URL by which callers reach this server, without /fhir; empty: the host that they name
	KeepRefused bool     // record what FHIR clients post that is no AuditEvent
	Verbose     bool     // also log what is only of interest when something does not work

	Trust       []string          // networks whose senders may report without a certificate
	LegacyTLS   bool              // also the suite of RFC 9662 for old senders
	Operator    []string          // roles of the operator certificate; none: every one but patient
	Master      masterFlags       // where the master key is
	OIDC        string            // file that describes an OpenID Connect provider
	Retention   string            // file that describes the classes of retention
	Entity      string            // file that describes the organisation that answers for the log
	Forward     string            // file with the forwarding rules
	SilentAfter []string          // how long reporters may be silent: TIME or NAME=TIME
	Limits      repository.Limits // rates of reports
	Connection  front.Limits

	store    localstore.Options
	now      func() time.Time        // nil: time.Now
	Progress func(done, total int64) // told how far the reading of the log at the start has come; may be nil
}

func newServe() *cobra.Command {
	c := serveConfig{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the daemon",
		Long: `Run the daemon: one TCP port with TLS for ATNA syslog, FHIR AuditEvent and hippad/1.

On first use it makes its keys, a certificate authority and a server certificate in the data directory. Keep a copy
of the keys folder in a safe place: without it nothing on the disk can be read, by nobody.

Who reports shows a certificate (hippad member invite) or a bearer token (hippad member token). Senders that can do neither
are let in by network, with --trust, and recorded by their address.`,
		Example: `  hippad serve
  hippad serve --data /var/lib/hippad --host audit.hospital.example --origin audit.hospital.example/log
  hippad serve --listen :2988 --listen :6514 --udp :514 --trust 10.20.0.0/16
  hippad serve --passphrase-file /run/hippad/passphrase --oidc /etc/hippad/oidc.json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if c.Verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			bar := newProgress(cmd.ErrOrStderr(), "reading the log")
			c.Progress = bar.set
			s, err := openServer(cmd.Context(), c, log)
			bar.end()
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), s.greeting())
			return s.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Data, "data", defaultData, "data `DIRECTORY`, made when it is not there")
	f.StringArrayVar(&c.Listen, "listen", []string{":2988"}, "TCP `ADDRESS` to listen on; may be repeated")
	f.StringVar(&c.UDP, "udp", "", "also take RFC 5426 syslog datagrams on this UDP `ADDRESS`; they are neither encrypted nor acknowledged")
	f.StringArrayVar(&c.Hosts, "host", nil, "`NAME` or address that the server certificate must cover, besides this machine's own; may be repeated")
	f.StringVar(&c.Origin, "origin", "", "`NAME` of a new log, best a domain name with a path (default: made from the host name)")
	f.IntVar(&c.MaxMessage, "max-message", 64<<10, "`BYTES` of one syslog message, up to 16777216; what is longer is cut and marked")
	f.StringArrayVar(&c.Trust, "trust", nil, "`NETWORK` as 10.20.0.0/16 whose senders may report without a certificate, recorded by address; may be repeated")
	f.StringArrayVar(&c.Operator, "operator-role", nil, "what the operator certificate of the key folder may do, a `ROLE`; may be repeated (default: every role but patient)")
	f.StringVar(&c.Base, "base-url", "", "`URL` by which FHIR clients reach this server, as https://audit.hospital.example (default: https and the host that they name)")
	f.BoolVar(&c.KeepRefused, "keep-refused", false, "also keep what is posted over FHIR and is no AuditEvent, marked unreadable; it is refused all the same")
	f.BoolVar(&c.LegacyTLS, "legacy-tls", false, "also offer TLS_RSA_WITH_AES_128_CBC_SHA, which RFC 9662 keeps for old syslog senders")
	f.StringVar(&c.OIDC, "oidc", "", "JSON `FILE` that describes the OpenID Connect provider by which people sign in")
	f.StringVar(&c.Retention, "retention", "", "JSON `FILE` with the classes of retention (default: six years for everything)")
	f.StringVar(&c.Entity, "organisation", "", "`FILE` that describes who answers for the log: name, address, contact, time zone, what is its own (docs/operations.md)")
	f.StringVar(&c.Forward, "forward", "", "JSON `FILE` with the rules by which reports are forwarded: see hippad forward --help")
	f.StringArrayVar(&c.SilentAfter, "silent-after", nil, "record reporters that are silent for so long, a `TIME` like 6h, or NAME=6h for one; may be repeated (default: by the habit of each)")
	f.Float64Var(&c.Limits.ReporterReports, "reporter-rate", 0, "reports a second that one reporter may send; 0 for any `NUMBER`")
	f.Float64Var(&c.Limits.Reports, "rate", 0, "reports a second that all may send together; 0 for any `NUMBER`")
	f.IntVar(&c.Connection.Connections, "max-connections", 10_000, "`NUMBER` of connections at a time")
	f.IntVar(&c.Connection.PerAddress, "max-connections-per-address", 1_000, "`NUMBER` of connections at a time from one address")
	c.Master.add(cmd)
	f.BoolVar(&c.Verbose, "verbose", false, "log more")
	return cmd
}
