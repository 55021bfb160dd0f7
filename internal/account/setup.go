package account

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"time"

	"hippad"
)

const (
	setupTime = 7 * 24 * time.Hour // how long the code of an invited account is good
	enrolTime = 15 * time.Minute   // from the password to the first code
	maxTries  = 3                  // wrong codes until one has to begin again
)

// An enrolment is a second factor that has been shown and not yet confirmed. Nothing of it is on the disk.
type enrolment struct {
	name     string
	secret   []byte
	password *password // a new one, to be stored with the factor; nil: the account keeps its own
	code     []byte    // hash of the setup code that is used up by this; nil: somebody who is signed in
	before   []byte    // the key of the password that he has, if code is nil
	tries    int
}

// An Enrolment is a second factor to be shown once to its owner, who confirms it with a code.
type Enrolment struct {
	ID     string // for Confirm; single use, 15 minutes
	Name   string // of the account
	URI    string // otpauth://totp/...
	Secret string // in base32, to be typed where a picture cannot be taken
	PNG    []byte // the URI as a QR code
}

// String hides the secret.
func (e Enrolment) String() string { return "enrolment" }

// GoString hides the secret under %#v.
func (e Enrolment) GoString() string { return e.String() }

// LogValue hides the secret in slog.
func (e Enrolment) LogValue() slog.Value { return slog.StringValue(e.String()) }

// FirstRun tells whether there is no account yet.
func (a *Accounts) FirstRun() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.state.accounts) == 0
}

// SetupCode makes the code with which the first account is set up, and forgets the one before: serve shows it on the terminal
// at every start while there is no account. It is empty when there is one. Only its hash is kept.
func (a *Accounts) SetupCode() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.state.accounts) > 0 {
		return "", nil
	}
	code := newCode(20)
	next := a.state.clone()
	next.firstRun = codeHash(code)
	return code, a.commit(context.Background(), next, record{}, nil)
}

// newSetup makes the code of an invited account.
func (a *Accounts) newSetup() (*setup, string) {
	code := newCode(20)
	return &setup{Code: codeHash(code), Until: a.options.Now().Add(setupTime).UTC().Truncate(time.Second)}, code
}

// Setup begins the setup of an account: on the first run of the privacy officer's, under the name given; later of one that
// Add has made. Nothing is changed before Confirm, and until then the code stays good. Failures are counted per address;
// the answer to a wrong name and to a wrong code is the same.
func (a *Accounts) Setup(ctx context.Context, code, name, plain, from string) (Enrolment, error) {
	name = Normal(name)
	keys := []string{addressKey(from)}
	if err := a.locked(keys); err != nil {
		return Enrolment{}, err
	}
	sum := codeHash(code)
	if err := a.setupCode(sum, name); err != nil {
		a.failed(keys)
		return Enrolment{}, err
	}
	if !goodName.MatchString(name) {
		return Enrolment{}, hippad.Errorf(hippad.Invalid, "the name of an account has 1 to 64 of a-z 0-9 . _ @ -")
	}
	if err := CheckPassword(name, plain); err != nil {
		return Enrolment{}, err
	}
	hash, err := a.hashing.hash(ctx, plain)
	if err != nil {
		return Enrolment{}, err
	}
	return a.beginEnrolment(enrolment{name: name, password: hash, code: sum})
}

// setupCode tells whether a code may set this account up now.
func (a *Accounts) setupCode(sum []byte, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.state.accounts) == 0 {
		if a.state.firstRun == nil || subtle.ConstantTimeCompare(a.state.firstRun, sum) != 1 {
			return wrongSetup("wrong code of the first run")
		}
		return nil
	}
	r, ok := a.state.accounts[name]
	switch {
	case !ok:
		return wrongSetup("no such account")
	case r.Setup == nil || subtle.ConstantTimeCompare(r.Setup.Code, sum) != 1:
		return wrongSetup("wrong setup code")
	case !a.options.Now().Before(r.Setup.Until):
		return wrongSetup("the setup code has expired")
	case r.Disabled:
		return wrongSetup("the account is disabled")
	}
	return nil
}

func wrongSetup(reason string) error { return refused("code or name is not right", reason) }

func (a *Accounts) beginEnrolment(e enrolment) (Enrolment, error) {
	e.secret = random(totpSecret)
	shown, err := a.show(e)
	if err != nil {
		return Enrolment{}, err
	}
	now := a.options.Now()
	shown.ID, err = a.enrol.issue(e, now, now.Add(enrolTime))
	return shown, err
}

// Resume shows an enrolment again, after a wrong code.
func (a *Accounts) Resume(id string) (Enrolment, error) {
	e, ok := a.enrol.get(id, a.options.Now())
	if !ok {
		return Enrolment{}, errTooLate()
	}
	shown, err := a.show(e)
	shown.ID = id
	return shown, err
}

func errTooLate() error {
	return hippad.Errorf(hippad.Conflict, "this took too long, was tried too often, or is already done: begin again")
}

// Confirm ends an enrolment with a code of the new second factor: only now is it, and the password that came with it, stored.
// It ends the account's sessions, except the one whose cookie is keep, and returns the new recovery codes, which are shown
// once. A wrong code is kind Unauthorised; after three it is to be begun again.
func (a *Accounts) Confirm(ctx context.Context, id, code, keep string, note Note) (recovery []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.options.Now()
	e, ok := a.enrol.get(id, now)
	if !ok {
		return nil, errTooLate()
	}
	f := factor{Secret: e.secret}
	if f.LastStep, ok = f.totpStep(trimCode(code), now); !ok {
		if e.tries++; e.tries >= maxTries {
			a.enrol.end(id)
			return nil, errTooLate()
		}
		a.enrol.set(id, e)
		return nil, hippad.Errorf(hippad.Unauthorised, "this is not the code that is wanted: take the newest one, and check the clock of your device")
	}
	r, err := a.enrolled(e)
	if err != nil {
		a.enrol.end(id)
		return nil, err
	}
	codes, hashes := newRecovery()
	f.Recovery = hashes
	r.Factor = &f
	if err := a.put(ctx, r, note); err != nil {
		return nil, err
	}
	a.enrol.end(id)
	a.sessions.endAll(r.Name, keep)
	return codes, nil
}

// enrolled is the account as it will be, but for the factor; a.mu is held. What held when the enrolment began must hold
// still: another code may have been given out, or somebody else have been first.
func (a *Accounts) enrolled(e enrolment) (record, error) {
	r, known := a.state.accounts[e.name]
	if e.code == nil {
		if !known || r.Disabled || !samePassword(r, e.before) {
			return r, errTooLate()
		}
		return r, nil
	}
	first := len(a.state.accounts) == 0
	switch {
	case first && subtle.ConstantTimeCompare(a.state.firstRun, e.code) == 1:
		r = record{Name: e.name, Roles: []hippad.Role{hippad.RoleOfficer}, Created: a.options.Now().UTC().Truncate(time.Second)}
	case first || !known || r.Disabled || r.Setup == nil || subtle.ConstantTimeCompare(r.Setup.Code, e.code) != 1:
		return r, errTooLate()
	}
	r.Password, r.Setup = e.password, nil
	return r, nil
}

// ChangePassword sets a new password for somebody who knows the old one, and ends the account's sessions except keep.
func (a *Accounts) ChangePassword(ctx context.Context, name, old, plain, from, keep string, note Note) error {
	if err := CheckPassword(name, plain); err != nil {
		return err
	}
	r, err := a.verify(ctx, name, old, from)
	if err != nil {
		return err
	}
	hash, err := a.hashing.hash(ctx, plain)
	if err != nil {
		return err
	}
	return a.own(ctx, r, keep, note, func(r *record) { r.Password = hash })
}

// NewFactor begins the replacing of the second factor, for somebody who knows the password. Confirm ends it; until then the
// old one is good.
func (a *Accounts) NewFactor(ctx context.Context, name, plain, from string) (Enrolment, error) {
	r, err := a.verify(ctx, name, plain, from)
	if err != nil {
		return Enrolment{}, err
	}
	return a.beginEnrolment(enrolment{name: name, before: r.Password.Key})
}

// NewRecovery replaces the recovery codes, for somebody who knows the password. They are shown once.
func (a *Accounts) NewRecovery(ctx context.Context, name, plain, from, keep string, note Note) ([]string, error) {
	r, err := a.verify(ctx, name, plain, from)
	if err != nil {
		return nil, err
	}
	codes, hashes := newRecovery()
	err = a.own(ctx, r, keep, note, func(r *record) {
		f := *r.Factor
		f.Recovery = hashes
		r.Factor = &f
	})
	if err != nil {
		return nil, fmt.Errorf("store new recovery codes: %w", err)
	}
	return codes, nil
}

// own is a change by the owner, whose password has been checked on the account as it was.
func (a *Accounts) own(ctx context.Context, was record, keep string, note Note, change func(*record)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.state.accounts[was.Name]
	if !ok || r.Disabled || r.Factor == nil || !samePassword(r, was.Password.Key) {
		return errTooLate()
	}
	change(&r)
	if err := a.put(ctx, r, note); err != nil {
		return err
	}
	a.sessions.endAll(r.Name, keep)
	return nil
}
