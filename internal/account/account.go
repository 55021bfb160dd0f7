// Package account owns the people who sign in: local accounts with their passwords and second factors, sign-in by OpenID
// Connect, the sessions of browsers, and the bearer JWTs of the OpenID Connect issuer.
//
// It does not decide what a role may do (hippad.Grant.May), knows nothing of pages (internal/web), and writes no log entries:
// whatever changes something is given a Note, which is called after every check and before the change, and stops it by an
// error; it must not call back. The invariant: nobody gets a session without a second factor, its own or one that the identity provider answers for,
// and a code that has been used once is never good again, not even after a crash.
//
// The accounts are in one file, keys/accounts.json of the data directory (see document). One process at a time may change
// it. Sessions, half-done sign-ins and half-done enrolments are in memory only: a restart signs everybody out.
package account

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"hippad"
)

// Bounds of what is kept.
const (
	maxAccounts = 10_000
	maxText     = 200 // bytes of a display name or an organisation
)

// Options say how accounts are opened. Zero fields have the defaults named.
type Options struct {
	Now      func() time.Time // time.Now
	OIDC     *OIDCConfig      // nil: no sign-in by an identity provider, and no bearer JWTs
	Throttle Throttle         // required
	Cost     Cost             // of new password hashes; the second recommendation of RFC 9106 section 4, in one lane
	Issuer   string           // what authenticator applications show above the account; "hippad"

	Idle     time.Duration // a session that is not used for so long ends; 15 minutes (45 CFR 164.312(a)(2)(iii), automatic logoff)
	Absolute time.Duration // a session ends after so long whatever happens; 8 hours
	Sessions int           // open at a time; 10,000
}

// A Throttle counts failures under a key ("account:NAME", "address:IP"). All three functions are required; they are those of
// identity.Throttle.
type Throttle struct {
	Check     func(key string) (time.Duration, error) // kind Busy, and how long to wait, while the key is locked
	Failed    func(key string)
	Succeeded func(key string)
}

// A Note is told of a change after everything has been checked and before anything is changed. Its error stops the change
// and comes back to the caller. A nil Note is not called.
type Note func(ctx context.Context, about Account) error

// An Account is what others may know about somebody who signs in here.
type Account struct {
	Name         string // what is typed to sign in: [a-z0-9._@-]{1,64}
	Display      string // the person's name; may be empty
	Roles        []hippad.Role
	Organisation string
	Created      time.Time
	Disabled     bool
	Ready        bool // has a password and a second factor; otherwise a setup code is waiting to be used, or has expired
	RecoveryLeft int  // unused recovery codes
}

// Principal is who the account's owner is to the log.
func (a Account) Principal() hippad.Principal {
	return hippad.Principal{Kind: hippad.KindPerson, ID: a.Name, Name: a.Display, Organisation: a.Organisation}
}

// Accounts are the people of one data directory. They are safe for use by many goroutines.
type Accounts struct {
	options  Options
	file     file
	hashing  hasher
	sessions sessions
	pending  tickets[pending]
	enrol    tickets[enrolment]
	provider *provider // nil without OpenID Connect

	mu    sync.Mutex // guards state, and orders its changes with the ending of sessions
	state state
}

// state is everything that is in the file. A change makes a new one; records are never changed in place.
type state struct {
	firstRun []byte // SHA-256 of the code of the first run; nil once there is an account
	accounts map[string]record
}

func (s state) clone() state {
	return state{firstRun: s.firstRun, accounts: maps.Clone(s.accounts)}
}

// Open reads keys/accounts.json in the data directory dir. A file that is not there means that there are no accounts yet; one
// that is damaged is an error that names it.
func Open(dir string, o Options) (*Accounts, error) {
	if o.Throttle.Check == nil || o.Throttle.Failed == nil || o.Throttle.Succeeded == nil {
		return nil, errors.New("accounts need a throttle")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Cost == (Cost{}) {
		o.Cost = defaultCost
	}
	if err := o.Cost.check(); err != nil {
		return nil, err
	}
	if o.Issuer = strings.ReplaceAll(o.Issuer, ":", " "); o.Issuer == "" { // a colon separates issuer and account in the URI
		o.Issuer = "hippad"
	}
	if o.Idle <= 0 {
		o.Idle = 15 * time.Minute
	}
	if o.Absolute <= 0 {
		o.Absolute = 8 * time.Hour
	}
	if o.Sessions <= 0 {
		o.Sessions = 10_000
	}
	a := &Accounts{
		options: o, file: newFile(dir), hashing: newHasher(o.Cost),
		pending: tickets[pending]{most: 1000}, enrol: tickets[enrolment]{most: 100},
	}
	a.sessions.most, a.sessions.idle = o.Sessions, o.Idle
	if o.OIDC != nil {
		p, err := newProvider(*o.OIDC, o.Now)
		if err != nil {
			return nil, err
		}
		a.provider = p
	}
	var err error
	if a.state, err = a.file.read(); err != nil {
		return nil, err
	}
	return a, nil
}

// Idle is how long a session lasts that nobody uses.
func (a *Accounts) Idle() time.Duration { return a.options.Idle }

// List returns every account, by name.
func (a *Accounts) List() []Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]Account, 0, len(a.state.accounts))
	for _, name := range slices.Sorted(maps.Keys(a.state.accounts)) {
		list = append(list, a.state.accounts[name].public())
	}
	return list
}

// Account returns one account; ok is false when there is none of the name.
func (a *Accounts) Account(name string) (found Account, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.state.accounts[name]
	return r.public(), ok
}

// Add makes an account whose owner has still to set a password and a second factor, at /setup, with the code that is
// returned: good once, for a week. It is kept only as a hash.
func (a *Accounts) Add(ctx context.Context, name, display string, roles []hippad.Role, organisation string, note Note) (code string, err error) {
	name = Normal(name)
	r := record{Name: name, Display: display, Roles: roleSet(roles), Organisation: organisation, Created: a.options.Now().UTC().Truncate(time.Second)}
	if err := r.check(); err != nil {
		return "", err
	}
	r.Setup, code = a.newSetup()
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, taken := a.state.accounts[name]; taken {
		return "", hippad.Errorf(hippad.Conflict, "there is already an account of this name")
	}
	return code, a.put(ctx, r, note)
}

// SetRoles replaces the roles of an account, and ends its sessions.
func (a *Accounts) SetRoles(ctx context.Context, name string, roles []hippad.Role, note Note) error {
	return a.edit(ctx, name, note, func(r *record) error {
		r.Roles = roleSet(roles)
		return nil
	})
}

// Disable keeps somebody out, and ends the sessions that are open.
func (a *Accounts) Disable(ctx context.Context, name string, note Note) error {
	return a.edit(ctx, name, note, func(r *record) error {
		r.Disabled = true
		return nil
	})
}

// Enable undoes Disable.
func (a *Accounts) Enable(ctx context.Context, name string, note Note) error {
	return a.edit(ctx, name, note, func(r *record) error {
		r.Disabled = false
		return nil
	})
}

// Reset takes password, second factor and recovery codes away, ends the sessions, and returns a new setup code as Add does:
// for somebody who has lost any of them.
func (a *Accounts) Reset(ctx context.Context, name string, note Note) (code string, err error) {
	err = a.edit(ctx, name, note, func(r *record) error {
		r.Password, r.Factor = nil, nil
		r.Setup, code = a.newSetup()
		return nil
	})
	if err != nil {
		return "", err
	}
	return code, nil
}

// Remove deletes an account and ends its sessions. The name can be used again: who it was is in the log.
func (a *Accounts) Remove(ctx context.Context, name string, note Note) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.state.accounts[name]
	if !ok {
		return errNoAccount()
	}
	next := a.state.clone()
	delete(next.accounts, name)
	if err := a.commit(ctx, next, r, note); err != nil {
		return err
	}
	a.sessions.endAll(name, "")
	return nil
}

// edit changes one account durably, and ends its sessions.
func (a *Accounts) edit(ctx context.Context, name string, note Note, change func(*record) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.state.accounts[name]
	if !ok {
		return errNoAccount()
	}
	if err := change(&r); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	if err := a.put(ctx, r, note); err != nil {
		return err
	}
	a.sessions.endAll(name, "")
	return nil
}

// put stores one account; a.mu is held. With the first account the code of the first run is no longer good.
func (a *Accounts) put(ctx context.Context, r record, note Note) error {
	next := a.state.clone()
	if _, known := next.accounts[r.Name]; !known && len(next.accounts) >= maxAccounts {
		return hippad.Errorf(hippad.TooLarge, "there are %d accounts: no more are kept", maxAccounts)
	}
	next.accounts[r.Name], next.firstRun = r, nil
	return a.commit(ctx, next, r, note)
}

// commit makes next the state, durably; a.mu is held.
func (a *Accounts) commit(ctx context.Context, next state, about record, note Note) error {
	if note != nil {
		if err := note(ctx, about.public()); err != nil {
			return err
		}
	}
	if err := a.file.write(next); err != nil {
		return err
	}
	a.state = next
	return nil
}

func errNoAccount() error { return hippad.Errorf(hippad.NotFound, "there is no account of this name") }

// Normal is a name the way accounts have it: people type capitals and blanks.
func Normal(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

var goodName = regexp.MustCompile(`^[a-z0-9._@-]{1,64}$`)

// canHold are the roles of people. Reporters and patients are known by certificates and tokens.
var canHold = []hippad.Role{hippad.RoleReviewer, hippad.RoleOfficer, hippad.RoleAuditor, hippad.RoleAdministrator}

// roleSet sorts roles and drops repeats.
func roleSet(roles []hippad.Role) []hippad.Role {
	set := slices.Clone(roles)
	slices.Sort(set)
	return slices.Compact(set)
}

func checkRoles(roles []hippad.Role) error {
	if len(roles) == 0 {
		return hippad.Errorf(hippad.Invalid, "an account needs a role").WithHint("one of %v", canHold)
	}
	for _, r := range roles {
		if !slices.Contains(canHold, r) {
			return hippad.Errorf(hippad.Invalid, "%.40q is not a role of people", r).WithHint("one of %v", canHold)
		}
	}
	return nil
}

// isLine tells whether s can stand on a screen as one short line.
func isLine(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, isHidden)
}

// isHidden tells of control and format characters, the ones that turn the writing direction round for one.
func isHidden(r rune) bool { return unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029' }

// random returns n random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails: crypto/rand ends the process first
	return b
}

// samePassword tells whether an account still has the password that a half-done step began with.
func samePassword(r record, key []byte) bool {
	return r.Password != nil && bytes.Equal(r.Password.Key, key)
}
