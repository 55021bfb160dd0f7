package account

import (
	"context"
	"strings"
	"time"

	"hippad"
)

const pendingTime = 5 * time.Minute // from the password to the code

// pending is a sign-in whose password was right.
type pending struct {
	name  string
	key   []byte // of that password: a change in between ends it
	tries int
}

// Begin checks name and password, and returns an id for Finish: good for one sign-in, 5 minutes and three codes. Failures are
// counted per account and per address; while either is locked the kind is Busy and the hint says how long. Neither the
// answer nor the time it takes tells whether there is such an account. from is the network address.
func (a *Accounts) Begin(ctx context.Context, name, plain, from string) (id string, err error) {
	r, err := a.verify(ctx, Normal(name), plain, from)
	if err != nil {
		return "", err
	}
	now := a.options.Now()
	return a.pending.issue(pending{name: r.Name, key: r.Password.Key}, now, now.Add(pendingTime))
}

// PendingName tells whose sign-in it is, empty if it is none or has ended.
func (a *Accounts) PendingName(id string) string {
	p, _ := a.pending.get(id, a.options.Now())
	return p.name
}

// Finish checks the second factor, a TOTP or a recovery code, and opens a session. The code is used up, durably, before the
// session exists. A wrong code is kind Unauthorised; kind Conflict says that the sign-in has to begin again.
func (a *Accounts) Finish(ctx context.Context, id, code, from string) (Session, error) {
	p, ok := a.pending.get(id, a.options.Now())
	if !ok {
		return Session{}, errTooLate()
	}
	keys := throttleKeys(p.name, from)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.locked(keys); err != nil { // under the lock: of codes that come at once each sees the failures before it
		return Session{}, err
	}
	now := a.options.Now()
	if p, ok = a.pending.get(id, now); !ok {
		return Session{}, errTooLate()
	}
	r, ok := a.state.accounts[p.name]
	if !ok || r.Disabled || !r.ready() || !samePassword(r, p.key) {
		a.pending.end(id)
		return Session{}, errTooLate()
	}
	used, how, ok := r.Factor.accept(code, now)
	if !ok {
		a.failed(keys)
		if p.tries++; p.tries >= maxTries {
			a.pending.end(id)
			return Session{}, &hippad.Error{Kind: hippad.Conflict, Message: "the code was wrong too often: begin again", Cause: errWrongCode}
		}
		a.pending.set(id, p)
		return Session{}, &hippad.Error{Kind: hippad.Unauthorised, Message: "this is not the code that is wanted: each is good once, take the newest one",
			Cause: errWrongCode}
	}
	r.Factor = &used
	if err := a.put(ctx, r, nil); err != nil {
		return Session{}, err
	}
	a.pending.end(id)
	// Only now, and only for the account: a right password alone must not give more tries at the code, nor somebody's own
	// sign-in more tries at the accounts of others.
	a.options.Throttle.Succeeded(keys[0])
	account := r.public()
	return a.sessions.open(session{
		account: r.Name, how: how, caller: hippad.Caller{Principal: account.Principal(), Grant: hippad.Grant{Roles: account.Roles}},
	}, now, now.Add(a.options.Absolute))
}

// Session tells who the holder of a session cookie is, and counts as use. Kind Unauthorised: there is no such session, or no
// longer.
func (a *Accounts) Session(cookie string) (hippad.Caller, error) {
	return a.sessions.use(cookie, a.options.Now())
}

// SignOut ends a session. It is no error if there is none.
func (a *Accounts) SignOut(cookie string) { a.sessions.end(cookie) }

func trimCode(code string) string { return strings.Join(strings.Fields(code), "") }
