package forward

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
)

const (
	maxConfig = 1 << 20 // bytes
	maxRules  = 64

	largestDatagram  = 65_507 // bytes of payload over IPv4 (RFC 5426 section 3.2)
	smallestDatagram = 480    // what every receiver takes over IPv4 (RFC 5426 section 3.2)
	datagramRate     = 1000   // a second, if the rule does not say; faster ones get lost in the receiver's buffer
	largestBatch     = 256    // reports of a Bundle
)

// configJSON is the file:
//
//	{"forwarders": ["_organisation=North Hospital relay"],
//	 "rules": [
//	   {"name": "siem", "to": "syslog+tls://siem.example:6514", "match": "type=110113", "ca": "siem-ca.pem"},
//	   {"name": "archive", "to": "hippad://archive.example:2988", "since": "start", "ca": "archive-ca.pem", "certificate": "me.pem"}
//	]}
type configJSON struct {
	Forwarders []string   `json:"forwarders"`
	Rules      []ruleJSON `json:"rules"`
}

type ruleJSON struct {
	Name        string   `json:"name"`
	To          string   `json:"to"`
	Match       string   `json:"match"`
	Since       string   `json:"since"`
	CA          string   `json:"ca"`
	Certificate string   `json:"certificate"`
	Key         string   `json:"key"`
	TokenFile   string   `json:"token_file"`
	Format      string   `json:"format"`
	Batch       int      `json:"batch"`
	Datagram    int      `json:"datagram"`
	Rate        float64  `json:"rate"`
	Relay       bool     `json:"relay"`
	Peers       []string `json:"peers"`
}

// A Config says what is forwarded to whom.
type Config struct {
	Rules      []Rule
	forwarders []hippad.Query // what other forwarders report here
}

// A Rule says which entries go to one destination.
type Rule struct {
	Name      string
	To        string       // the destination, without credentials
	Match     hippad.Query // the zero Query: every entry
	FromStart bool         // where a rule that is new begins: with the oldest entry
	Since     time.Time    // with the first that was received then or later; otherwise with the next one

	CA          string  // PEM file with whom the destination's certificate must come from; empty: the system's
	Certificate string  // PEM file with the client certificate; empty: none
	Key         string  // PEM file with its key; empty: it is in Certificate
	TokenFile   string  // file with a bearer token, for https
	R4          bool    // https: everything as R4 AuditEvent, FHIR reports of other releases too
	Batch       int     // https: reports of a Bundle; 1: each on its own
	Datagram    int     // syslog+udp: most bytes; what is longer is cut
	Rate        float64 // most reports a second; 0: as fast as it goes

	// Relay says that what other forwarders report here is forwarded too. Peers are what the destination itself reports here: it
	// never goes back there.
	Relay bool
	Peers []hippad.Query

	self        bool // the match asks for the log's own entries
	kind        string
	url         *url.URL
	fingerprint string // of the rule as it was configured
}

// The kinds of destinations: the schemes of their addresses.
const (
	kindSyslogTLS = "syslog+tls"
	kindSyslogUDP = "syslog+udp"
	kindHippad    = "hippad"
	kindFHIR      = "https"
)

var (
	defaultPorts = map[string]string{kindSyslogTLS: "6514", kindSyslogUDP: "514", kindHippad: "2988", kindFHIR: "443"}
	goodName     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
)

// Parse reads the rules. query makes a query of what somebody would ask a search for. Errors are of kind Invalid and name the
// rule and the member.
func Parse(r io.Reader, query func(string) (hippad.Query, error)) (*Config, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("read the forwarding rules: %w", err)
	}
	if len(text) > maxConfig {
		return nil, hippad.Errorf(hippad.Invalid, "the forwarding rules have more than %d bytes", maxConfig)
	}
	var in configJSON
	if err := json.Unmarshal(text, &in, json.RejectUnknownMembers(true)); err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "the forwarding rules: %w", err)
	}
	if len(in.Rules) > maxRules {
		return nil, hippad.Errorf(hippad.Invalid, "%d forwarding rules: want at most %d", len(in.Rules), maxRules)
	}
	out := &Config{}
	if out.forwarders, err = queries("forwarders", in.Forwarders, query); err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "the forwarding rules: %w", err)
	}
	seen := map[string]bool{}
	for i, j := range in.Rules {
		rule, err := j.rule(query)
		if err == nil && seen[rule.Name] {
			err = fmt.Errorf("name: there are two rules of this name")
		}
		if err != nil {
			return nil, hippad.Errorf(hippad.Invalid, "forwarding rule %d (%q): %w", i+1, j.Name, err)
		}
		seen[rule.Name] = true
		configured, err := json.Marshal(struct {
			Forwarders []string
			Rule       ruleJSON
		}{in.Forwarders, j})
		if err != nil {
			return nil, err
		}
		rule.fingerprint = fmt.Sprintf("%x", sha256.Sum256(configured))
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

func (j ruleJSON) rule(query func(string) (hippad.Query, error)) (r Rule, err error) {
	r = Rule{Name: j.Name, CA: j.CA, Certificate: j.Certificate, Key: j.Key, TokenFile: j.TokenFile, Batch: max(j.Batch, 1),
		Datagram: j.Datagram, Rate: j.Rate, Relay: j.Relay, R4: j.Format == "r4"}
	if !goodName.MatchString(j.Name) {
		return r, fmt.Errorf("name: want 1 to 63 of a to z, 0 to 9 and -")
	}
	if err := r.destination(j.To); err != nil {
		return r, fmt.Errorf("to: %w", err)
	}
	if j.Match != "" {
		if r.Match, err = oneQuery(j.Match, query); err != nil {
			return r, fmt.Errorf("match: %w", err)
		}
	}
	r.self = slices.ContainsFunc(r.Match.Terms, func(any []hippad.Term) bool {
		return slices.Contains(any, hippad.Term{Field: hippad.FieldDoor, Value: hippad.DoorSelf.String()})
	})
	if r.Peers, err = queries("peers", j.Peers, query); err != nil {
		return r, err
	}
	switch j.Since {
	case "", "now":
	case "start":
		r.FromStart = true
	default:
		if r.Since, err = time.Parse(time.RFC3339, j.Since); err != nil {
			return r, fmt.Errorf(`since: want "now", "start" or a time like 2026-11-23T08:00:00Z`)
		}
	}
	return r, r.check(j)
}

// destination reads the address.
func (r *Rule) destination(text string) error {
	u, err := url.Parse(text)
	if err != nil { // whose text would quote the address, and with it a password
		return fmt.Errorf("this is not an address")
	}
	port, known := defaultPorts[u.Scheme]
	switch {
	case !known:
		return fmt.Errorf("want syslog+tls://HOST:PORT, syslog+udp://HOST:PORT, hippad://HOST:PORT or https://HOST/BASE")
	case u.Hostname() == "":
		return fmt.Errorf("the host is missing")
	case u.User != nil:
		return fmt.Errorf("credentials do not belong in the address: use certificate or token_file")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return fmt.Errorf("the address ends with its path")
	case u.Scheme != kindFHIR && strings.Trim(u.Path, "/") != "":
		return fmt.Errorf("a path belongs to https only")
	}
	if u.Port() == "" && u.Scheme != kindFHIR {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	r.kind, r.url, r.To = u.Scheme, u, u.String()
	return nil
}

// check refuses members that mean nothing to the kind of destination, and files that cannot be used.
func (r *Rule) check(j ruleJSON) error {
	for _, x := range []struct {
		name string
		set  bool
		to   []string
	}{
		{"ca", j.CA != "", []string{kindSyslogTLS, kindHippad, kindFHIR}},
		{"certificate", j.Certificate != "", []string{kindSyslogTLS, kindHippad, kindFHIR}},
		{"key", j.Key != "", []string{kindSyslogTLS, kindHippad, kindFHIR}},
		{"token_file", j.TokenFile != "", []string{kindFHIR}},
		{"format", j.Format != "", []string{kindFHIR}},
		{"batch", j.Batch != 0, []string{kindFHIR}},
		{"datagram", j.Datagram != 0, []string{kindSyslogUDP}},
	} {
		if x.set && !slices.Contains(x.to, r.kind) {
			return fmt.Errorf("%s: it means nothing to %s", x.name, r.kind)
		}
	}
	switch {
	case j.Key != "" && j.Certificate == "":
		return fmt.Errorf("key: the certificate is missing")
	case j.Format != "" && j.Format != "unchanged" && j.Format != "r4":
		return fmt.Errorf(`format: want "unchanged" or "r4"`)
	case j.Batch < 0 || j.Batch > largestBatch:
		return fmt.Errorf("batch: want 1 to %d", largestBatch)
	case j.Datagram != 0 && (j.Datagram < smallestDatagram || j.Datagram > largestDatagram):
		return fmt.Errorf("datagram: want %d to %d bytes", smallestDatagram, largestDatagram)
	case j.Rate < 0 || j.Rate > 1e9:
		return fmt.Errorf("rate: want reports a second, or nothing")
	}
	if r.Datagram == 0 {
		r.Datagram = largestDatagram
	}
	if r.Rate == 0 && r.kind == kindSyslogUDP {
		r.Rate = datagramRate
	}
	if r.kind == kindSyslogUDP {
		return nil
	}
	if _, err := r.tls(); err != nil {
		return err
	}
	if r.TokenFile != "" {
		_, err := r.token()
		return err
	}
	return nil
}

// tls reads the certificates, at the start to see that they are good and then for each connection: they get renewed.
func (r *Rule) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.url.Hostname()}
	if r.CA != "" {
		text, err := os.ReadFile(r.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca: %s holds no certificate", r.CA)
		}
	}
	if r.Certificate != "" {
		key := r.Key
		if key == "" {
			key = r.Certificate
		}
		pair, err := tls.LoadX509KeyPair(r.Certificate, key)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// token reads the bearer token.
func (r *Rule) token() (string, error) {
	text, err := os.ReadFile(r.TokenFile)
	if err != nil {
		return "", fmt.Errorf("token_file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", fmt.Errorf("token_file: %s holds no token", r.TokenFile)
	}
	return token, nil
}

func queries(name string, texts []string, query func(string) (hippad.Query, error)) (all []hippad.Query, err error) {
	for i, text := range texts {
		q, err := oneQuery(text, query)
		if err != nil {
			return nil, fmt.Errorf("%s: number %d: %w", name, i+1, err)
		}
		all = append(all, q)
	}
	return all, nil
}

// oneQuery reads what is matched. What asks for an order, a page or certain entries is for searches only.
func oneQuery(text string, query func(string) (hippad.Query, error)) (hippad.Query, error) {
	q, err := query(text)
	if err != nil {
		return q, err
	}
	if len(q.Indexes) > 0 || q.ByTime || q.Ascending || q.Before != nil || q.After != nil || q.Beyond != nil || q.Limit != 0 {
		return q, fmt.Errorf("order, pages and indexes are for searches")
	}
	return q, nil
}

// openly lists the fields whose values say nothing of a person.
var openly = []hippad.Field{hippad.FieldType, hippad.FieldSubtype, hippad.FieldCode, hippad.FieldAction, hippad.FieldOutcome, hippad.FieldSource,
	hippad.FieldSite, hippad.FieldPurpose, hippad.FieldEntityType, hippad.FieldEntityRole, hippad.FieldReporter, hippad.FieldOrganisation,
	hippad.FieldDoor, hippad.FieldMark, hippad.FieldMedia, hippad.FieldHostname, hippad.FieldAppName, hippad.FieldMsgID}

// String says what the rule is, for the log: of what might name a person, only how many values are asked for.
func (r Rule) String() string {
	var parts []string
	add := func(f hippad.Field, op string, values []string) {
		if len(values) > 0 && !slices.Contains(openly, f) {
			values = []string{fmt.Sprintf("(values kept private: %d)", len(values))}
		}
		parts = append(parts, string(f)+op+strings.Join(values, ","))
	}
	for _, any := range r.Match.Terms {
		var values []string
		for _, t := range any {
			values = append(values, t.Value)
		}
		if len(any) > 0 {
			add(any[0].Field, "=", values)
		}
	}
	for _, f := range r.Match.Filters {
		add(f.Field, map[hippad.Op]string{hippad.OpNone: ":not=", hippad.OpStarts: "=", hippad.OpExact: ":exact=", hippad.OpMissing: ":missing=true",
			hippad.OpPresent: ":missing=false"}[f.Op], f.Values)
	}
	if m := r.Match; !m.From.IsZero() || !m.To.IsZero() || len(m.Times) > 0 || len(m.Received) > 0 {
		parts = append(parts, "date=(a span)")
	}
	what := "every report"
	if len(parts) > 0 {
		what = strings.Join(parts, "&")
	}
	if r.Relay {
		what += ", what others forward too"
	}
	return "to " + r.To + ": " + what
}
