package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/atna"
	"hippad/internal/durable"
	"hippad/internal/fhir"
	"hippad/internal/front"
	"hippad/internal/identity"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/repository"
	"hippad/internal/seal"
	"hippad/internal/tlog"
	"hippad/wire"
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
	Data       string   // data directory
	Listen     []string // TCP addresses, TLS
	UDP        string   // UDP address for RFC 5426 syslog; empty: off
	Hosts      []string // further names and addresses that the server certificate must cover
	Origin     string   // name of a new log; empty: made from the host name
	MaxMessage int      // bytes of one syslog message
	Verbose    bool     // also log what is only of interest when something does not work

	Progress func(done, total int64) // told how far the reading of the log at the start has come; may be nil
}

func newServe() *cobra.Command {
	c := serveConfig{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the daemon",
		Long: `Run the daemon: one TCP port with TLS for ATNA syslog, FHIR AuditEvent and hippad/1.

On first use it makes its keys, a certificate authority and a server certificate in the data directory. Keep a copy
of the keys folder in a safe place: without log.key the log cannot go on, without blind.key old entries get no receipt.`,
		Example: `  hippad serve
  hippad serve --data /var/lib/hippad --host audit.hospital.example --origin audit.hospital.example/log
  hippad serve --listen :2988 --listen :6514 --udp :514`,
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
	f.BoolVar(&c.Verbose, "verbose", false, "log more")
	return cmd
}

// A server is one opened data directory with its listeners.
type server struct {
	config    serveConfig
	log       *slog.Logger
	store     *localstore.Store
	ledger    *ledger.Ledger
	keys      *seal.Keys
	front     *front.Server
	syslog    *atna.Server
	listeners []net.Listener
	udp       net.PacketConn
	repo      *repository.Repository

	unreadable repository.Unreadable
}

// openServer opens everything that can fail, in the order in which failures are cheapest.
func openServer(ctx context.Context, c serveConfig, log *slog.Logger) (s *server, err error) {
	if c.MaxMessage < 2048 || c.MaxMessage > maxMessage {
		return nil, usagef("--max-message %d: want 2048 (RFC 5425 section 4.3.1) to %d", c.MaxMessage, maxMessage)
	}
	s = &server{config: c, log: log}
	opened := s // a return of an error has taken s away when the deferred function runs
	defer func() {
		if err != nil {
			opened.close()
		}
	}()
	for _, a := range c.Listen {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return nil, hippad.Errorf(hippad.Unavailable, "listen: %w", err).WithHint("give another address with --listen, as in --listen :12988")
		}
		s.listeners = append(s.listeners, l)
	}
	if c.UDP != "" {
		if s.udp, err = net.ListenPacket("udp", c.UDP); err != nil {
			return nil, hippad.Errorf(hippad.Unavailable, "listen: %w", err)
		}
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	if c.Origin == "" {
		c.Origin = strings.ToLower(host) + "/hippad"
	}
	if s.store, err = localstore.Open(filepath.Join(c.Data, "store"), localstore.Options{}); err != nil {
		return nil, err
	}
	if s.keys, err = seal.Open(filepath.Join(c.Data, "keys"), c.Origin); err != nil {
		return nil, err
	}
	authority, err := identity.Open(c.Data, append([]string{host}, c.Hosts...), time.Now())
	if err != nil {
		return nil, err
	}
	if s.ledger, err = s.openLedger(ctx); err != nil {
		return nil, err
	}
	s.wire(authority)
	return s, s.publish()
}

func (s *server) openLedger(ctx context.Context) (*ledger.Ledger, error) {
	options := ledgerOptions(s.keys, &s.unreadable, s.log)
	options.Progress = s.config.Progress
	seen := filepath.Join(s.config.Data, seenFile)
	if text, err := os.ReadFile(seen); err == nil {
		options.Known = [][]byte{text}
	}
	l, err := ledger.Open(ctx, s.store, options)
	var old *ledger.AuditError
	if errors.As(err, &old) {
		return nil, hippad.Errorf(hippad.Conflict, "the store does not continue what this server has signed: %w", err).
			WithHint("put the newest store back; if it is lost for good, delete %s to go on without it: receipts given since then will not hold", seen)
	}
	return l, err
}

// ledgerOptions is what a log is opened with, by the server and by audit.
func ledgerOptions(keys *seal.Keys, unreadable *repository.Unreadable, log *slog.Logger) ledger.Options {
	return ledger.Options{
		Signer: keys.Signer, Verifier: keys.Verifier, Salt: keys.Salt,
		Index: repository.Indexer(read, keys.Term, unreadable), TermsVersion: hippad.TermsVersion, Log: log,
	}
}

// wire puts the doors in front of the log.
func (s *server) wire(authority *identity.Authority) {
	s.repo = &repository.Repository{
		Ledger: s.ledger, Read: read, Write: fhir.Write, Term: s.keys.Term, Now: time.Now,
		Self: hippad.Principal{Kind: hippad.KindSelf, ID: s.keys.Signer.Name()},
	}
	s.syslog = &atna.Server{MaxMessage: s.config.MaxMessage, Log: s.log}
	native := &wire.Server{Origin: s.keys.Signer.Name(), VerifierKey: s.keys.VerifierKey, Refuse: s.refused, Log: s.log}

	mux := http.NewServeMux()
	api := &fhir.Handler{Read: read, Refuse: s.refused, Log: s.log, Open: func(r *http.Request) (hippad.Session, error) {
		return s.repo.As(front.PrincipalOf(r), hippad.DoorFHIR), nil
	}}
	mux.Handle("/fhir", api)
	mux.Handle("/fhir/", api)
	mux.Handle("/log/", http.StripPrefix("/log", &tlog.Handler{
		Checkpoint: s.ledger.Checkpoint, Hashes: s.ledger.Hashes, Leaves: s.ledger.Leaves, Log: s.log,
	}))
	mux.Handle("GET /log/receipt/{index}", s.receiptHandler())
	mux.Handle("GET /metrics", s.metrics())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)

	s.front = &front.Server{
		TLS: authority.ServerTLS(front.Protocols...), Admit: authority.Admit, HTTP: mux, Log: s.log,
		Native: func(ctx context.Context, c net.Conn, p hippad.Principal) error {
			return native.ServeConn(ctx, c, s.repo.As(p, hippad.DoorNative))
		},
		Syslog: func(ctx context.Context, c net.Conn, p hippad.Principal) error {
			return s.syslog.ServeConn(ctx, c, s.repo.As(p, hippad.DoorSyslogTLS))
		},
	}
}

// refused records a report that a door has refused for its size.
func (s *server) refused(from hippad.Session, size, limit int64) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.repo.Refused(ctx, from, size, limit); err != nil {
		s.log.Error("a report was refused for its size", "error", err)
	}
}

// publish leaves in the data directory what others need: where the server listens, and the key that its receipts verify under.
func (s *server) publish() error {
	for name, text := range map[string]string{addressFile: s.address(), "log.vkey": s.keys.VerifierKey} {
		if err := durable.WriteFile(filepath.Join(s.config.Data, name), []byte(text+"\n"), 0o644); err != nil {
			return err
		}
	}
	return s.keepSeen()
}

// keepSeen writes the newest checkpoint outside the store. When it is out of date the log is only watched less well.
func (s *server) keepSeen() error {
	return durable.WriteFile(filepath.Join(s.config.Data, seenFile), s.ledger.Checkpoint(), 0o644)
}

// address returns where a client on this machine reaches the server.
func (s *server) address() string {
	a := s.listeners[0].Addr().(*net.TCPAddr)
	if a.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", a.Port)
	}
	return a.String()
}

func (s *server) greeting() string {
	ca := filepath.Join(s.config.Data, "ca.pem")
	return fmt.Sprintf(`hippad: log %s in %s, %d entries, listening on %s (TLS). To send a first report:
  hippad report FILE... --data %s
  curl --cacert %s -H 'Content-Type: application/fhir+json' --data-binary @FILE https://%s/fhir/AuditEvent
  or point any ATNA syslog/TLS sender at this port and let it trust %s
`, s.keys.Signer.Name(), s.config.Data, s.ledger.Size(), s.listeners[0].Addr(), s.config.Data, ca, s.address(), ca)
}

// run serves until ctx ends, then closes in order: no new connections, doors finish, ledger drains, store closes.
func (s *server) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, l := range s.listeners {
		wg.Go(func() {
			if err := s.front.Serve(ctx, l); err != nil {
				cancel(err)
			}
		})
	}
	if s.udp != nil {
		wg.Go(func() {
			if err := s.syslog.ServePacket(ctx, s.udp, func(a net.Addr) hippad.Session {
				return s.repo.As(identity.Address(a), hippad.DoorSyslogUDP)
			}); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) { // also the cause that signal.NotifyContext gives
		err = nil
	}
	if e := s.close(); err == nil {
		err = e
	}
	return err
}

func (s *server) close() (err error) {
	for _, l := range s.listeners {
		l.Close()
	}
	if s.udp != nil {
		s.udp.Close()
	}
	if s.ledger != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(s.ledger.Close(ctx), s.keepSeen())
	}
	if s.store != nil {
		if e := s.store.Close(); err == nil {
			err = e
		}
	}
	return err
}
