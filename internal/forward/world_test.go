package forward

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"iter"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hippad"
)

// A fakeLog is a log in memory that can be followed, as repository.Follow does it.
type fakeLog struct {
	mu      sync.Mutex
	entries []hippad.Entry
	grown   chan struct{}
	// read is called before each entry is yielded; an error is yielded instead. It may be nil.
	read func(index int64) error
}

var day = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func (l *fakeLog) add(all ...hippad.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range all {
		e.Index = int64(len(l.entries))
		e.Received = day.Add(time.Duration(e.Index) * time.Second)
		l.entries = append(l.entries, e)
	}
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
}

func (l *fakeLog) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.entries))
}

func (l *fakeLog) destroy(index int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[index] = hippad.Entry{Index: index, Received: l.entries[index].Received, Door: l.entries[index].Door, Destroyed: true,
		Report: hippad.Report{Media: l.entries[index].Media}}
}

func (l *fakeLog) follow(ctx context.Context, after int64) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		for next := after + 1; ; next++ {
			l.mu.Lock()
			for next >= int64(len(l.entries)) {
				if l.grown == nil {
					l.grown = make(chan struct{})
				}
				grown := l.grown
				l.mu.Unlock()
				select {
				case <-grown:
				case <-ctx.Done():
					return
				}
				l.mu.Lock()
			}
			e := l.entries[next]
			l.mu.Unlock()
			if l.read != nil {
				if err := l.read(next); err != nil {
					yield(hippad.Entry{}, err)
					return
				}
			}
			if ctx.Err() != nil || !yield(e, nil) {
				return
			}
		}
	}
}

var (
	modality = hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:01", Organisation: "Radiology"}
	relay    = hippad.Principal{Kind: hippad.KindToken, ID: "relay", Organisation: "North relay"}
)

func report(media, body string) hippad.Entry {
	return hippad.Entry{Door: hippad.DoorNative, Reporter: modality, Report: hippad.Report{Media: media, Body: []byte(body)}}
}

func messages(from, to int) (all []hippad.Entry) {
	for i := from; i < to; i++ {
		all = append(all, report(hippad.MediaSyslog, fmt.Sprintf("<85>1 2026-11-23T08:00:00Z ward app 1 IHE+RFC-3881 - message %d æ\n with a second line", i)))
	}
	return all
}

func bodies(all []hippad.Entry) (out []string) {
	for _, e := range all {
		out = append(out, string(e.Body))
	}
	return out
}

// fakeRead says of a body "type=X ..." that X is its type, of "bad ..." that it is unreadable.
func fakeRead(r hippad.Report) hippad.Event {
	body := string(r.Body)
	if strings.HasPrefix(body, "bad") {
		return hippad.Event{Unreadable: "it is bad"}
	}
	ev := hippad.Event{OutcomeDescription: body}
	if rest, ok := strings.CutPrefix(body, "type="); ok {
		ev.Type.Code, _, _ = strings.Cut(rest, " ")
	}
	return ev
}

func fakeWrite(ev hippad.Event) hippad.Report {
	text, err := json.Marshal(map[string]string{"resourceType": "AuditEvent", "outcomeDesc": ev.OutcomeDescription})
	if err != nil {
		panic(err)
	}
	return hippad.Report{Media: hippad.MediaFHIRJSON, Body: text}
}

// fakeQuery knows name=value joined by &.
func fakeQuery(text string) (q hippad.Query, err error) {
	for _, piece := range strings.Split(text, "&") {
		name, value, ok := strings.Cut(piece, "=")
		switch {
		case !ok:
			return q, hippad.Errorf(hippad.Invalid, "the query is not name=value, joined by &")
		case name == "_count":
			q.Limit = 1
			continue
		}
		var any []hippad.Term
		for _, v := range strings.Split(value, ",") {
			any = append(any, hippad.NewTerm(hippad.Field(name), v))
		}
		q.Terms = append(q.Terms, any)
	}
	return q, nil
}

// A world is a log with forwarders, one at a time, over one directory of cursors.
type world struct {
	t   testing.TB
	log *fakeLog
	dir string
	now *Forwarder

	mu         sync.Mutex
	configured []string
	refused    []string
}

func newWorld(t testing.TB) *world {
	return &world{t: t, log: &fakeLog{}, dir: filepath.Join(t.TempDir(), "forward")}
}

func parse(t testing.TB, config string) *Config {
	t.Helper()
	c, err := Parse(strings.NewReader(config), fakeQuery)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) forwarder(config *Config) *Forwarder {
	note := func(to *[]string) func(context.Context, string) error {
		return func(_ context.Context, what string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			*to = append(*to, what)
			return nil
		}
	}
	return &Forwarder{Dir: w.dir, Config: config, Follow: w.log.follow, Size: w.log.size, Read: fakeRead, Write: fakeWrite,
		FirstSince: func(_ context.Context, at time.Time) (int64, error) {
			w.log.mu.Lock()
			defer w.log.mu.Unlock()
			for i, e := range w.log.entries {
				if !e.Received.Before(at) {
					return int64(i), nil
				}
			}
			return int64(len(w.log.entries)), nil
		},
		Configured: note(&w.configured), Refused: note(&w.refused), Host: "audit.example", Software: "hippad/test"}
}

// start runs a forwarder until stop is called or the test ends.
func (w *world) start(config *Config) (stop func()) { return w.run(config, nil) }

// impatient is start with a forwarder that tries again at once.
func (w *world) impatient(config *Config) (stop func()) {
	return w.run(config, func(r *runner) { r.pause.first = time.Millisecond })
}

func (w *world) run(config *Config, change func(*runner)) (stop func()) {
	w.t.Helper()
	f := w.forwarder(config)
	if err := f.Open(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.now = f
	for _, r := range f.runners {
		if change != nil {
			change(r)
		}
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

func (w *world) told(list *[]string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), *list...)
}

// eventually waits for a condition that other goroutines bring about: it looks again until the deadline, which only a failing
// test reaches.
func eventually(t testing.TB, what string, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// settled waits until the only rule has come to the end of the log.
func (w *world) settled() Status {
	w.t.Helper()
	var s Status
	eventually(w.t, "everything is settled", func() error {
		if s = w.now.Status()[0]; s.Behind != 0 || !s.Oldest.IsZero() {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	return s
}

// An authority certifies 127.0.0.1 and clients.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	CA   string // PEM file
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, CA: filepath.Join(t.TempDir(), "ca.pem"), pool: x509.NewCertPool()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	writePEM(t, a.CA, "CERTIFICATE", der)
	return a
}

func writePEM(t testing.TB, file, kind string, der []byte) []byte {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return text
}

// issue returns a certificate for both ends, and the files with it and its key.
func (a *authority) issue(name string) (pair tls.Certificate, certFile, keyFile string) {
	a.t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, _ := x509.MarshalPKCS8PrivateKey(key)
	dir := a.t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM, keyPEM := writePEM(a.t, certFile, "CERTIFICATE", der), writePEM(a.t, keyFile, "PRIVATE KEY", keyDER)
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		a.t.Fatal(err)
	}
	return pair, certFile, keyFile
}

// A receiver is a syslog server of RFC 5425.
type receiver struct {
	t      testing.TB
	config *tls.Config
	addr   string
	// die is asked after each message whether the connection breaks now. It may be nil.
	die func(n int) bool

	l    net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	open map[net.Conn]bool
	got  []string
	by   []string // the client's name, for each
}

func newReceiver(t testing.TB, a *authority) *receiver {
	pair, _, _ := a.issue("receiver")
	r := &receiver{t: t, config: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: a.pool}, addr: "127.0.0.1:0", open: map[net.Conn]bool{}}
	t.Cleanup(r.stop)
	return r
}

// start listens, on the same port as before.
func (r *receiver) start() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.l, r.addr = l, l.Addr().String()
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.open[c] = true
			r.mu.Unlock()
			r.wg.Go(func() { r.serve(c) })
		}
	})
}

// stop breaks everything at once.
func (r *receiver) stop() {
	if r.l == nil {
		return
	}
	r.l.Close()
	r.mu.Lock()
	for c := range r.open {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
	r.l = nil
}

func (r *receiver) serve(raw net.Conn) {
	defer func() {
		raw.Close()
		r.mu.Lock()
		delete(r.open, raw)
		r.mu.Unlock()
	}()
	c := tls.Server(raw, r.config)
	in := bufio.NewReader(c)
	for {
		count, err := in.ReadString(' ')
		if err != nil {
			c.Close()
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(count, " "))
		if err != nil {
			r.t.Errorf("an octet count of %q", count)
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return
		}
		name := ""
		if peers := c.ConnectionState().PeerCertificates; len(peers) > 0 {
			name = peers[0].Subject.CommonName
		}
		r.mu.Lock()
		r.got, r.by = append(r.got, string(b)), append(r.by, name)
		total := len(r.got)
		r.mu.Unlock()
		if r.die != nil && r.die(total) {
			raw.(*net.TCPConn).SetLinger(0)
			return
		}
	}
}

func (r *receiver) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.got...)
}

func (r *receiver) url() string { return (&url.URL{Scheme: kindSyslogTLS, Host: r.addr}).String() }

// inOrder checks that got is want with nothing missing: what is repeated goes back to something that came before, and goes on
// from there in order.
func inOrder(got, want []string) error {
	at := map[string]int{}
	for i, w := range want {
		at[w] = i
	}
	next, most := 0, 0
	for i, g := range got {
		n, known := at[g]
		if !known {
			return fmt.Errorf("message %d was never reported: %d bytes", i, len(g))
		}
		if n != next && n > most {
			return fmt.Errorf("message %d is report %d, after report %d", i, n, next-1)
		}
		next = n + 1
		most = max(most, next)
	}
	if most != len(want) {
		return fmt.Errorf("%d of %d arrived", most, len(want))
	}
	return nil
}
