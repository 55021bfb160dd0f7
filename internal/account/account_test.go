package account_test

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hippad"
	"hippad/internal/account"
)

// cheap is a password hash for tests: argon2 under the race detector takes its time.
var cheap = account.Cost{Passes: 1, Memory: 64, Threads: 1}

const (
	good  = "correct horse battery staple"
	other = "a quite different one, truly"
	from  = "192.0.2.7"
)

// clock is a time that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 23, 9, 0, 10, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// counter is a throttle that locks a key after so many failures.
type counter struct {
	mu     sync.Mutex
	after  int
	failed map[string]int
}

func (c *counter) throttle() account.Throttle {
	c.failed = map[string]int{}
	return account.Throttle{
		Check: func(k string) (time.Duration, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.failed[k] >= c.after {
				return 90 * time.Second, hippad.Errorf(hippad.Busy, "locked")
			}
			return 0, nil
		},
		Failed:    func(k string) { c.mu.Lock(); c.failed[k]++; c.mu.Unlock() },
		Succeeded: func(k string) { c.mu.Lock(); delete(c.failed, k); c.mu.Unlock() },
	}
}

func (c *counter) of(k string) int { c.mu.Lock(); defer c.mu.Unlock(); return c.failed[k] }

// house is one data directory with what a test needs of it.
type house struct {
	*account.Accounts
	t     *testing.T
	dir   string
	clock *clock
	count *counter
	last  account.Enrolment
}

func open(t *testing.T, change ...func(*account.Options)) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), clock: newClock(), count: &counter{after: 1000}}
	h.again(change...)
	return h
}

func (h *house) again(change ...func(*account.Options)) {
	h.t.Helper()
	o := account.Options{Now: h.clock.now, Throttle: h.count.throttle(), Cost: cheap}
	for _, c := range change {
		c(&o)
	}
	var err error
	if h.Accounts, err = account.Open(h.dir, o); err != nil {
		h.t.Fatal(err)
	}
}

// enrol sets an account up with a code, and returns its TOTP secret and recovery codes.
func (h *house) enrol(code, name, password string) (secret string, recovery []string) {
	h.t.Helper()
	e, err := h.Setup(h.t.Context(), code, name, password, from)
	if err != nil {
		h.t.Fatal(err)
	}
	h.last = e
	recovery, err = h.Confirm(h.t.Context(), e.ID, h.code(e.Secret), "", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.clock.move(30 * time.Second)
	return e.Secret, recovery
}

// officer does the first run.
func (h *house) officer() (secret string, recovery []string) {
	h.t.Helper()
	code, err := h.SetupCode()
	if err != nil || code == "" {
		h.t.Fatalf("%q, %v", code, err)
	}
	return h.enrol(code, "olga", good)
}

// code is what an authenticator shows now.
func (h *house) code(secret string) string {
	h.t.Helper()
	c, err := totp.GenerateCode(secret, h.clock.now())
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *house) signIn(name, password, code string) (account.Session, error) {
	id, err := h.Begin(h.t.Context(), name, password, from)
	if err != nil {
		return account.Session{}, err
	}
	return h.Finish(h.t.Context(), id, code, from)
}

func (h *house) mustSignIn(name, password, code string) account.Session {
	h.t.Helper()
	s, err := h.signIn(name, password, code)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func wantKind(t *testing.T, err error, k hippad.Kind) {
	t.Helper()
	if err == nil || hippad.KindOf(err) != k {
		t.Errorf("%v, want %v", err, k)
	}
}

func TestFirstRun(t *testing.T) {
	h := open(t)
	old, err := h.SetupCode()
	if err != nil {
		t.Fatal(err)
	}
	h.again() // a restart before anybody has used it
	code, err := h.SetupCode()
	if err != nil || code == old {
		t.Fatalf("%q again, %v", code, err)
	}
	text, _ := os.ReadFile(filepath.Join(h.dir, "keys", "accounts.json"))
	if len(text) == 0 || bytes.Contains(text, []byte(code)) {
		t.Errorf("the file has the code: %s", text)
	}
	ctx := t.Context()
	for _, bad := range []string{"", "ABCD", old} {
		_, err := h.Setup(ctx, bad, "olga", good, from)
		wantKind(t, err, hippad.Unauthorised)
	}
	if n := h.count.of("address:" + from); n != 3 {
		t.Errorf("%d failures counted", n)
	}
	for _, bad := range []string{"short", strings.Repeat("x", 30), "olga olga olga", "Password1234!", "123456789012", strings.Repeat("abcdefg ", 200), "\xff" + good} {
		_, err := h.Setup(ctx, code, "olga", bad, from)
		wantKind(t, err, hippad.Invalid)
	}
	_, err = h.Setup(ctx, code, "olga o", good, from)
	wantKind(t, err, hippad.Invalid)

	// Typed in lower case and without hyphens it is the same code.
	e, err := h.Setup(ctx, strings.ToLower(strings.ReplaceAll(code, "-", "")), " Olga ", good, from)
	if err != nil {
		t.Fatal(err)
	}
	if pic, err := png.Decode(bytes.NewReader(e.PNG)); err != nil || pic.Bounds().Dx() < 200 || !strings.HasPrefix(e.URI, "otpauth://totp/hippad:olga?") || e.Name != "olga" {
		t.Errorf("%v, %s", err, e.URI)
	}
	if len(h.List()) != 0 || !h.FirstRun() {
		t.Error("there is an account before its second factor is confirmed")
	}
	_, err = h.Confirm(ctx, e.ID, "000000", "", nil)
	wantKind(t, err, hippad.Unauthorised)
	if again, err := h.Resume(e.ID); err != nil || again.Secret != e.Secret || again.ID != e.ID {
		t.Errorf("%v", err)
	}
	stop := errors.New("the log cannot be written")
	if _, err := h.Confirm(ctx, e.ID, h.code(e.Secret), "", func(context.Context, account.Account) error { return stop }); !errors.Is(err, stop) || !h.FirstRun() {
		t.Errorf("%v, and the account is made without its entry", err)
	}
	var noted account.Account
	recovery, err := h.Confirm(ctx, e.ID, h.code(e.Secret), "", func(_ context.Context, a account.Account) error { noted = a; return nil })
	if err != nil || len(recovery) != 10 || noted.Name != "olga" || !noted.Ready {
		t.Fatalf("%v, %q, %+v", err, recovery, noted)
	}
	if a := h.List(); len(a) != 1 || len(a[0].Roles) != 1 || a[0].Roles[0] != hippad.RoleOfficer || a[0].RecoveryLeft != 10 {
		t.Errorf("%+v", a)
	}
	// It is over: neither the code nor the enrolment is good again.
	_, err = h.Setup(ctx, code, "eve", good, from)
	wantKind(t, err, hippad.Unauthorised)
	_, err = h.Confirm(ctx, e.ID, h.code(e.Secret), "", nil)
	wantKind(t, err, hippad.Conflict)
	if code, err := h.SetupCode(); code != "" || err != nil {
		t.Errorf("%q, %v", code, err)
	}
	if _, err := h.signIn("olga", good, h.code(e.Secret)); err == nil {
		t.Error("the code of the enrolment was good again")
	}
	h.clock.move(30 * time.Second)
	h.again()
	s := h.mustSignIn("Olga", good, h.code(e.Secret))
	if c, err := h.Session(s.Cookie); err != nil || c.String() != "person:olga" || !c.May(hippad.ActExport) || c.May(hippad.ActConfigure) {
		t.Errorf("%v, %v", c, err)
	}
	info, err := os.Stat(filepath.Join(h.dir, "keys", "accounts.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Two people with the code of the first run: one of them is first.
func TestFirstRunOnce(t *testing.T) {
	h := open(t)
	code, _ := h.SetupCode()
	a, errA := h.Setup(t.Context(), code, "anna", good, from)
	b, errB := h.Setup(t.Context(), code, "bert", good, from)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if _, err := h.Confirm(t.Context(), a.ID, h.code(a.Secret), "", nil); err != nil {
		t.Fatal(err)
	}
	_, err := h.Confirm(t.Context(), b.ID, h.code(b.Secret), "", nil)
	wantKind(t, err, hippad.Conflict)
	if n := len(h.List()); n != 1 {
		t.Errorf("%d accounts", n)
	}
}

func TestSecondFactor(t *testing.T) {
	h := open(t)
	secret, recovery := h.officer()
	code := h.code(secret)
	if s := h.mustSignIn("olga", good, code); s.How != account.HowTOTP {
		t.Error(s.How)
	}
	if _, err := h.signIn("olga", good, code); err == nil {
		t.Error("a code was good twice")
	}
	h.again() // nor after a restart
	if _, err := h.signIn("olga", good, code); err == nil {
		t.Error("a code was good again after a restart")
	}
	before := code
	h.clock.move(30 * time.Second)
	h.mustSignIn("olga", good, h.code(secret))
	if _, err := h.signIn("olga", good, before); err == nil {
		t.Error("an older code was good after a newer one")
	}
	h.clock.move(30 * time.Second)
	late := h.code(secret)
	h.clock.move(30 * time.Second)
	h.mustSignIn("olga", good, late[:3]+" "+late[3:]) // one period of skew
	h.clock.move(30 * time.Second)
	late = h.code(secret)
	h.clock.move(70 * time.Second)
	if _, err := h.signIn("olga", good, late); err == nil {
		t.Error("a code of two periods ago was good")
	}

	if s := h.mustSignIn("olga", good, strings.ToLower(recovery[3])); s.How != account.HowRecovery {
		t.Error(s.How)
	}
	if _, err := h.signIn("olga", good, recovery[3]); err == nil {
		t.Error("a recovery code was good twice")
	}
	h.again()
	if _, err := h.signIn("olga", good, recovery[3]); err == nil {
		t.Error("a recovery code was good again after a restart")
	}
	h.mustSignIn("olga", good, recovery[4])
	if a, _ := h.Account("olga"); a.RecoveryLeft != 8 {
		t.Errorf("%d recovery codes left", a.RecoveryLeft)
	}
}

// One code, from many sides at once: one of them gets in.
func TestOneCodeAtOnce(t *testing.T) {
	h := open(t)
	secret, _ := h.officer()
	code := h.code(secret)
	var ids []string
	for range 8 {
		id, err := h.Begin(t.Context(), "olga", good, from)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	var wg sync.WaitGroup
	in := make(chan account.Session, len(ids))
	for _, id := range ids {
		wg.Go(func() {
			if s, err := h.Finish(context.Background(), id, code, from); err == nil {
				in <- s
			}
		})
	}
	wg.Wait()
	if len(in) != 1 {
		t.Errorf("%d got in with one code", len(in))
	}
}

func TestPendingSignIn(t *testing.T) {
	h := open(t)
	secret, _ := h.officer()
	begin := func() string {
		t.Helper()
		id, err := h.Begin(t.Context(), "olga", good, from)
		if err != nil || h.PendingName(id) != "olga" {
			t.Fatal(err)
		}
		return id
	}
	finish := func(id, code string) error {
		_, err := h.Finish(t.Context(), id, code, from)
		return err
	}
	wantKind(t, finish("", h.code(secret)), hippad.Conflict)
	wantKind(t, finish("made up", h.code(secret)), hippad.Conflict)

	id := begin()
	wantKind(t, finish(id, "000000"), hippad.Unauthorised)
	wantKind(t, finish(id, ""), hippad.Unauthorised)
	wantKind(t, finish(id, strings.Repeat("A", 1<<20)), hippad.Conflict)
	wantKind(t, finish(id, h.code(secret)), hippad.Conflict) // three tries

	id = begin()
	if err := finish(id, h.code(secret)); err != nil {
		t.Fatal(err)
	}
	h.clock.move(30 * time.Second)
	wantKind(t, finish(id, h.code(secret)), hippad.Conflict) // single use

	id = begin()
	h.clock.move(5 * time.Minute)
	wantKind(t, finish(id, h.code(secret)), hippad.Conflict) // too late

	id = begin()
	if err := h.ChangePassword(t.Context(), "olga", good, other, from, "", nil); err != nil {
		t.Fatal(err)
	}
	wantKind(t, finish(id, h.code(secret)), hippad.Conflict) // the password was changed meanwhile
}

func TestWrongPassword(t *testing.T) {
	h := open(t)
	h.officer()
	code, err := h.Add(t.Context(), "rita", "Rita Review", []hippad.Role{hippad.RoleReviewer}, "St. Elsewhere", nil)
	if err != nil || code == "" {
		t.Fatal(err)
	}
	var answers []string
	reasons := map[string]bool{}
	try := func(name, password string) {
		t.Helper()
		_, err := h.Begin(t.Context(), name, password, from)
		wantKind(t, err, hippad.Unauthorised)
		message, hint := hippad.Public(err)
		answers = append(answers, message+hint)
		reasons[account.Reason(err)] = true
	}
	try("olga", "not this one, certainly")
	try("olga", "")
	try("olga", strings.Repeat("x", 2000))
	try("nobody", good)
	try("rita", good) // not set up
	try("my password by mistake", good)
	if err := h.Disable(t.Context(), "olga", nil); err != nil {
		t.Fatal(err)
	}
	try("olga", good)
	for _, a := range answers {
		if a != answers[0] {
			t.Errorf("%q is not the answer of the others", a)
		}
	}
	if len(reasons) != 4 || !reasons["the account is disabled"] || !reasons["no such account"] {
		t.Errorf("reasons for the log: %v", reasons)
	}
	if h.count.of("account:?") != 1 || h.count.of("account:olga") != 4 || h.count.of("address:"+from) != 7 {
		t.Errorf("%v", h.count.failed)
	}
}

func TestLocked(t *testing.T) {
	h := open(t)
	secret, _ := h.officer()
	h.count.after = 3
	id, err := h.Begin(t.Context(), "olga", good, from)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, err := h.Begin(t.Context(), "olga", other, "192.0.2.99")
		wantKind(t, err, hippad.Unauthorised)
		_, err = h.Begin(t.Context(), "nobody", other, "192.0.2."+string(rune('1'+i)))
		wantKind(t, err, hippad.Unauthorised)
	}
	// Locked is locked, with the right password too, whether or not there is such an account.
	for _, name := range []string{"olga", "nobody"} {
		_, err := h.Begin(t.Context(), name, good, from)
		wantKind(t, err, hippad.Busy)
		if message, hint := hippad.Public(err); message != "too many attempts have failed" || hint != "try again in 2 minutes" {
			t.Errorf("%q, %q", message, hint)
		}
	}
	_, err = h.Finish(t.Context(), id, h.code(secret), from)
	wantKind(t, err, hippad.Busy)
	_, err = h.Begin(t.Context(), "rita", good, "192.0.2.99")
	wantKind(t, err, hippad.Busy) // the address

	// IPv6: the whole network of a subscriber.
	for _, a := range []string{"2001:db8::1", "2001:db8::2:1", "2001:db8:0:0:ffff::%eth0"} {
		_, err := h.Begin(t.Context(), "nobody-"+a[len(a)-1:], good, a)
		wantKind(t, err, hippad.Unauthorised)
	}
	_, err = h.Begin(t.Context(), "somebody", good, "2001:db8::3")
	wantKind(t, err, hippad.Busy)
	_, err = h.Begin(t.Context(), "somebody", good, "2001:db8:0:1::3")
	wantKind(t, err, hippad.Unauthorised)

	// Only a whole sign-in wipes the failures of an account, and never those of an address.
	h = open(t)
	secret, _ = h.officer()
	_, _ = h.Begin(t.Context(), "olga", other, from)
	if id, err = h.Begin(t.Context(), "olga", good, from); err != nil || h.count.of("account:olga") != 1 {
		t.Errorf("%v, %v", err, h.count.failed)
	}
	if _, err = h.Finish(t.Context(), id, h.code(secret), from); err != nil || h.count.of("account:olga") != 0 || h.count.of("address:"+from) != 1 {
		t.Errorf("%v, %v", err, h.count.failed)
	}
}
