package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"hippad"
)

const (
	minPassword = 12   // characters
	maxPassword = 1024 // bytes
	hashSize    = sha256.Size
	saltSize    = 16
)

// A Cost is what one password hash costs (argon2id, RFC 9106). It is stored beside each hash.
type Cost struct {
	Passes  uint32 `json:"passes"`
	Memory  uint32 `json:"memory"` // KiB
	Threads uint8  `json:"threads"`
}

// defaultCost is the second recommended option of RFC 9106 section 4, but in one lane: a sign-in must not take all
// processors away from the reports.
var defaultCost = Cost{Passes: 3, Memory: 64 << 10, Threads: 1}

// check bounds a cost, because it also comes from a file: a larger one would stop the server.
func (c Cost) check() error {
	if c.Passes < 1 || c.Passes > 16 || c.Memory < 64 || c.Memory > 256<<10 || c.Threads < 1 || c.Threads > 16 {
		return errors.New("the cost of a password hash is out of bounds: want 1 to 16 passes, 64 to 262144 KiB, 1 to 16 threads")
	}
	return nil
}

// A password is the hash of one.
type password struct {
	Cost
	Salt []byte `json:"salt"`
	Key  []byte `json:"key"`
}

func (p password) check() error {
	if len(p.Salt) != saltSize || len(p.Key) != hashSize {
		return errors.New("a password hash of the wrong length")
	}
	return p.Cost.check()
}

func (p password) is(plain string) bool {
	return subtle.ConstantTimeCompare(p.Cost.key(plain, p.Salt), p.Key) == 1
}

func (c Cost) key(plain string, salt []byte) []byte {
	return argon2.IDKey([]byte(plain), salt, c.Passes, c.Memory, c.Threads, hashSize)
}

// A hasher computes hashes, a few at a time: each takes Cost.Memory.
type hasher struct {
	cost  Cost
	queue chan struct{} // who computes or waits
	turns chan struct{} // who computes
	dummy password      // compared where there is no password, so that it takes as long
}

func newHasher(c Cost) hasher {
	salt := random(saltSize)
	return hasher{cost: c, queue: make(chan struct{}, 32), turns: make(chan struct{}, 2), dummy: password{Cost: c, Salt: salt, Key: random(hashSize)}}
}

// take waits for a turn. The function that it returns gives it back.
func (h *hasher) take(ctx context.Context) (done func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, hippad.Errorf(hippad.Busy, "too many people are signing in at this moment: try again")
	}
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns; <-h.queue }, nil
	case <-ctx.Done():
		<-h.queue
		return nil, ctx.Err()
	}
}

// hash makes the hash of a new password.
func (h *hasher) hash(ctx context.Context, plain string) (*password, error) {
	done, err := h.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	p := password{Cost: h.cost, Salt: random(saltSize)}
	p.Key = p.Cost.key(plain, p.Salt)
	return &p, nil
}

// obvious are what the obvious passwords are made of, digits and signs left aside.
var obvious = []string{"password", "passwort", "passphrase", "letmein", "welcome", "willkommen", "changeme", "qwerty", "qwertz",
	"qwertyuiop", "qwertzuiop", "asdfghjkl", "qwertyuiopasdfghjkl", "administrator", "admin", "hospital", "krankenhaus", "hippad",
	"hipaa", "hippa", "secret", "iloveyou", "abcdefghijkl", "abcdefghijklm", "abcdefghijklmnop"}

// CheckPassword tells what is wrong with a new password for an account.
func CheckPassword(name, plain string) error {
	bad := func(format string, args ...any) error {
		return hippad.Errorf(hippad.Invalid, "this password cannot be used: "+format, args...)
	}
	if !utf8.ValidString(plain) || len(plain) > maxPassword {
		return bad("it is longer than %d bytes, or not text", maxPassword)
	}
	if n := utf8.RuneCountInString(plain); n < minPassword {
		return bad("it has fewer than %d characters", minPassword)
	}
	low := strings.ToLower(plain)
	kinds := map[rune]bool{}
	for _, r := range low {
		kinds[r] = true
	}
	if len(kinds) < 5 {
		return bad("it is the same few characters over and over")
	}
	if rest := strings.ReplaceAll(low, name, ""); len(name) >= 3 && rest != low && utf8.RuneCountInString(rest) < 8 {
		return bad("it is little more than the name of the account")
	}
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, low)
	if strings.Contains("01234567890123456789 98765432109876543210", strings.Trim(low, " .-_")) || slices.ContainsFunc(obvious, func(w string) bool {
		return letters != "" && strings.ReplaceAll(letters, w, "") == ""
	}) {
		return bad("it is among the first that anybody would try")
	}
	return nil
}

// verify tells whether plain is the password of the account, counting failures per account and per address. It costs the
// same whether the account exists, and says the same. found is the account as it was, zero if there is none.
func (a *Accounts) verify(ctx context.Context, name, plain, from string) (found record, err error) {
	keys := throttleKeys(name, from)
	if err := a.locked(keys); err != nil {
		return record{}, err
	}
	done, err := a.hashing.take(ctx)
	if err != nil {
		return record{}, err
	}
	defer done()
	if err := a.locked(keys); err != nil { // others may have failed while this one waited
		return record{}, err
	}
	a.mu.Lock()
	r, exists := a.state.accounts[name]
	a.mu.Unlock()
	hash, reason := a.hashing.dummy, ""
	switch {
	case !exists:
		reason = "no such account"
	case r.Password == nil || r.Factor == nil:
		reason = "the account is not set up"
	case r.Disabled:
		reason = "the account is disabled"
	}
	if exists && r.Password != nil {
		hash = *r.Password
	}
	right := len(plain) <= maxPassword && hash.is(plain)
	if reason == "" && !right {
		reason = "wrong password"
	}
	if reason != "" {
		a.failed(keys)
		return r, refused("name or password is not right", reason)
	}
	return r, nil
}

// throttleKeys are what failures of a sign-in are counted under. A name that no account can have is counted as one, so that
// what somebody types by mistake, a password for one, is kept nowhere.
func throttleKeys(name, from string) []string {
	if !goodName.MatchString(name) {
		name = "?"
	}
	return []string{"account:" + name, addressKey(from)}
}

// addressKey counts a whole /64 of IPv6 as one address: that is what one subscriber has (RFC 6177).
func addressKey(from string) string {
	if a, err := netip.ParseAddr(from); err == nil {
		if a = a.Unmap().WithZone(""); a.Is6() {
			return "address:" + netip.PrefixFrom(a, 64).Masked().String()
		}
		from = a.String()
	}
	return "address:" + from
}

func (a *Accounts) locked(keys []string) error {
	for _, k := range keys {
		if wait, err := a.options.Throttle.Check(k); err != nil {
			return (&hippad.Error{Kind: hippad.Busy, Message: "too many attempts have failed", Cause: fmt.Errorf("locked: %w", err)}).
				WithHint("try again in %s", roughly(wait))
		}
	}
	return nil
}

func (a *Accounts) failed(keys []string) {
	for _, k := range keys {
		a.options.Throttle.Failed(k)
	}
}
