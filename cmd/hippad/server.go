package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hippad"
	"hippad/internal/account"
	"hippad/internal/atna"
	"hippad/internal/breach"
	"hippad/internal/completeness"
	"hippad/internal/crosswalk"
	"hippad/internal/custody"
	"hippad/internal/disclosure"
	"hippad/internal/durable"
	"hippad/internal/fhir"
	"hippad/internal/forward"
	"hippad/internal/front"
	"hippad/internal/identity"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/regulation"
	"hippad/internal/repository"
	"hippad/internal/review"
	"hippad/internal/seal"
	"hippad/internal/traffic"
	"hippad/wire"
)

// A server is one opened data directory with its listeners.
type server struct {
	config      serveConfig
	log         *slog.Logger
	store       *localstore.Store
	ledger      *ledger.Ledger
	keys        *seal.Keys
	authority   *identity.Authority
	throttle    *identity.Throttle
	accounts    *account.Accounts
	classes     *regulation.Classes
	entity      *regulation.Organisation
	repo        *repository.Repository
	custody     *custody.Custody
	crosswalk   *crosswalk.Crosswalk
	disclosures *disclosure.Disclosures
	breaches    *breach.Breaches
	reviews     *review.Reviews
	sources     *completeness.Completeness
	forward     *forward.Forwarder
	traffic     *traffic.Monitor
	front       *front.Server
	fhir        *fhir.Handler
	syslog      *atna.Server
	listeners   []net.Listener
	udp         net.PacketConn
	backingUp   sync.Mutex
	counting    sync.Mutex // of the whole log, one at a time
	unrecorded  bool       // the start is not in the log yet; the watch's
	setupCode   string     // makes the first account; empty when there is one

	unreadable repository.Unreadable
}

// openServer opens everything that can fail, in the order in which failures are cheapest.
func openServer(ctx context.Context, c serveConfig, log *slog.Logger) (s *server, err error) {
	if c.MaxMessage < 2048 || c.MaxMessage > maxMessage {
		return nil, usagef("--max-message %d: want 2048 (RFC 5425 section 4.3.1) to %d", c.MaxMessage, maxMessage)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if u, err := url.Parse(c.Base); c.Base != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.User != nil) {
		return nil, usagef("--base-url %q: want a URL as https://audit.hospital.example", c.Base)
	}
	trusted, err := c.trusted()
	if err != nil {
		return nil, err
	}
	operator, err := parseRoles(c.Operator)
	if err != nil {
		return nil, err
	}
	s = &server{config: c, log: log}
	opened := s // a return of an error has taken s away when the deferred function runs
	defer func() {
		if err != nil {
			opened.close()
		}
	}()
	if err := s.listen(); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	if c.Origin == "" {
		c.Origin = strings.ToLower(host) + "/hippad"
	}
	if s.classes, err = openClasses(c.Retention); err != nil {
		return nil, err
	}
	if s.entity, err = openEntity(c.Entity, host); err != nil {
		return nil, err
	}
	if s.store, err = localstore.Open(filepath.Join(c.Data, "store"), c.store); err != nil {
		return nil, err
	}
	options, err := c.Master.options()
	if err != nil {
		return nil, err
	}
	options.Origin, options.Now = c.Origin, c.now
	if s.keys, err = seal.Open(ctx, filepath.Join(c.Data, "keys"), options); err != nil {
		return nil, err
	}
	s.throttle = identity.NewThrottle(identity.ThrottleOptions{Now: c.now})
	s.authority, err = identity.Open(c.Data, append([]string{host}, c.Hosts...), identity.Options{
		Now: c.now, Trusted: trusted, LegacySuite: c.LegacyTLS, Throttle: s.throttle, OnChange: s.evict, OperatorRoles: operator,
	})
	if err != nil {
		return nil, err
	}
	if s.accounts, err = s.openAccounts(); err != nil {
		return nil, err
	}
	if s.setupCode, err = s.accounts.SetupCode(); err != nil {
		return nil, err
	}
	if s.ledger, err = s.openLedger(ctx); err != nil {
		return nil, err
	}
	if err := s.wire(ctx); err != nil {
		return nil, err
	}
	if err := s.started(ctx); err != nil {
		return nil, err
	}
	return s, s.publish()
}

// trusted reads --trust.
func (c serveConfig) trusted() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range c.Trust {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usagef("--trust %q: want a network like 10.20.0.0/16 or 2001:db8::/32", text)
		}
		out = append(out, p)
	}
	if c.UDP != "" && len(out) == 0 {
		return nil, usagef("--udp needs --trust: datagrams carry no certificate, so only their network can let them in")
	}
	return out, nil
}

func (s *server) listen() (err error) {
	for _, a := range s.config.Listen {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return hippad.Errorf(hippad.Unavailable, "listen: %w", err).WithHint("give another address with --listen, as in --listen :12988")
		}
		s.listeners = append(s.listeners, l)
	}
	if s.config.UDP != "" {
		if s.udp, err = net.ListenPacket("udp", s.config.UDP); err != nil {
			return hippad.Errorf(hippad.Unavailable, "listen: %w", err)
		}
	}
	return nil
}

func (s *server) openLedger(ctx context.Context) (*ledger.Ledger, error) {
	options := ledgerOptions(s.keys, s.classes.Classify, &s.unreadable, s.log)
	options.Progress, options.Now = s.config.Progress, s.config.now
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
	if err != nil {
		return nil, err
	}
	// A store of an older program is sealed now; what it wrote unsealed must not stay in the files.
	resealed := false
	err = l.Reseal(ctx, func(done, total int64) {
		resealed = true
		if s.config.Progress != nil {
			s.config.Progress(done, total)
		}
	})
	if err == nil && resealed {
		err = s.store.Forget(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(ctx))
	}
	return l, nil
}

// ledgerOptions is what a log is opened with: by the server, and without classes, which only new entries need, by audit.
func ledgerOptions(keys *seal.Keys, classify func(hippad.Entry, hippad.Event) string, unreadable *repository.Unreadable, log *slog.Logger) ledger.Options {
	return ledger.Options{
		Signer: keys.Signer, Verifier: keys.Verifier, Salt: keys.Salt,
		SealKey: keys.SealKey, OpenKey: keys.OpenKey, KeyDestroyed: seal.ErrDestroyed,
		Index: repository.Indexer(read, keys.Term, unreadable, classify), TermsVersion: hippad.TermsVersion, Log: log,
	}
}

// wire puts the doors in front of the log.
func (s *server) wire(ctx context.Context) (err error) {
	s.repo = &repository.Repository{
		Ledger: s.ledger, Read: read, Write: fhir.Write, Term: s.keys.Term, Now: s.config.now, Limits: s.config.Limits, Log: s.log,
		Self: hippad.Principal{Kind: hippad.KindSelf, ID: s.keys.Signer.Name()},
	}
	if s.crosswalk, err = crosswalk.Open(ctx, crosswalk.Config{Ledger: s.ledger, Repository: s.repo}); err != nil {
		return err
	}
	s.repo.Same = s.crosswalk.Same
	if s.disclosures, err = disclosure.Open(ctx, disclosure.Config{Repository: s.repo, Organisation: s.entity, Now: s.config.now}); err != nil {
		return err
	}
	if s.custody, err = s.openCustody(ctx); err != nil {
		return err
	}
	if s.breaches, err = s.openBreaches(ctx); err != nil {
		return err
	}
	if s.reviews, err = s.openReviews(ctx); err != nil {
		return err
	}
	if s.forward, err = s.openForward(ctx); err != nil {
		return err
	}
	if s.sources, err = s.openCompleteness(); err != nil {
		return err
	}
	s.traffic = traffic.NewMonitor(s.config.now)
	s.syslog = &atna.Server{MaxMessage: s.config.MaxMessage, Log: s.log, Unexpected: s.unexpectedDatagram}
	native := &wire.Server{Origin: s.keys.Signer.Name(), VerifierKey: s.keys.VerifierKey, Refuse: s.refused, Log: s.log}
	s.fhir = &fhir.Handler{
		Open: s.openFHIR, Read: read, Refuse: s.refused, Log: s.log, Now: s.config.now, Base: s.config.Base, KeepRefused: s.config.KeepRefused,
		Seal: s.sealPage, Unseal: func(token []byte) ([]byte, error) { return s.keys.OpenBytes(pageSecret, token) },
	}
	s.front = &front.Server{
		TLS: s.authority.ServerTLS(front.Protocols...), Admit: s.authority.Admit, HTTP: s.mux(s.routes()), Log: s.log,
		Limits: s.config.Connection, Refused: s.turnedAway, Unexpected: s.unexpected,
		Native: func(ctx context.Context, c net.Conn, p hippad.Caller) error {
			return native.ServeConn(ctx, c, s.repo.As(p, hippad.DoorNative))
		},
		Syslog: func(ctx context.Context, c net.Conn, p hippad.Caller) error {
			return s.syslog.ServeConn(ctx, c, s.repo.As(p, hippad.DoorSyslogTLS))
		},
	}
	return nil
}

// pageSecret is what the links to further pages are sealed as.
const pageSecret = "page"

// sealPage seals the token of a link to another page. What cannot be sealed gives a link that leads nowhere.
func (s *server) sealPage(token []byte) []byte {
	sealed, err := s.keys.SealBytes(pageSecret, token)
	if err != nil {
		s.log.Error("seal the link to a page", "error", err)
		return nil
	}
	return sealed
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
	for name, text := range map[string]string{addressFile: s.address(), verifierFile: s.keys.VerifierKey} {
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
	text := fmt.Sprintf(`hippad: log %s in %s, %d entries, listening on %s (TLS). To send a first report:
  hippad report FILE... --data %s
  or let a sender have a certificate: hippad member invite NAME --organisation NAME --data %s
  or point an ATNA syslog/TLS sender at this port, let it trust %s, and start with --trust NETWORK
`, s.keys.Signer.Name(), s.config.Data, s.ledger.Size(), s.listeners[0].Addr(), s.config.Data, s.config.Data, filepath.Join(s.config.Data, "ca.pem"))
	if s.setupCode != "" {
		text += fmt.Sprintf("For people: open https://%s/setup and make the first account, the privacy officer's, with the code %s\n", s.address(), s.setupCode)
	}
	return text
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
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.forward.Run(ctx) })
	if s.udp != nil {
		wg.Go(func() {
			if err := s.syslog.ServePacket(ctx, s.udp, func(a net.Addr) hippad.Session {
				return s.repo.As(s.authority.AdmitAddress(a), hippad.DoorSyslogUDP)
			}); err != nil {
				cancel(err)
			}
		})
	}
	// Who was persistent is told of until nobody comes any more, and alerts are written until nobody raises them.
	counting, counted := context.WithCancel(context.Background())
	var counter sync.WaitGroup
	counter.Go(func() { s.traffic.Run(counting, s.persistent) })
	alerts, quiet := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() { s.repo.Run(alerts) })
	wg.Wait()
	counted()
	counter.Wait()
	quiet()
	writer.Wait()
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) { // also the cause that signal.NotifyContext gives
		err = nil
	}
	end, cancelEnd := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancelEnd()
	if e := s.repo.Note(end, s.itself(), repository.ApplicationActivity(false)); err == nil {
		err = e
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
