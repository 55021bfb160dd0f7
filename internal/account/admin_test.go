package account_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/account"
)

func TestInvitedAccount(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	reviewer := []hippad.Role{hippad.RoleReviewer}
	for _, bad := range []struct {
		name, display string
		roles         []hippad.Role
	}{
		{"", "", reviewer}, {"a b", "", reviewer}, {strings.Repeat("a", 65), "", reviewer}, {"é", "", reviewer},
		{"rita", "two\nlines", reviewer}, {"rita", "tur\u202ened", reviewer}, {"rita", strings.Repeat("x", 201), reviewer},
		{"rita", "", nil}, {"rita", "", []hippad.Role{hippad.RoleReporter}}, {"rita", "", []hippad.Role{hippad.RolePatient}}, {"rita", "", []hippad.Role{"root"}},
	} {
		_, err := h.Add(ctx, bad.name, bad.display, bad.roles, "", nil)
		wantKind(t, err, hippad.Invalid)
	}
	if _, err := h.SetupCode(); err != nil {
		t.Fatal(err)
	}
	code, err := h.Add(ctx, "rita", "Rita <b>", []hippad.Role{hippad.RoleReviewer, hippad.RoleAuditor, hippad.RoleReviewer}, "St. Elsewhere", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Add(ctx, "rita", "", reviewer, "", nil)
	wantKind(t, err, hippad.Conflict)
	_, err = h.Setup(ctx, code, "olga", good, from) // the first run is over: this is no way to another account
	wantKind(t, err, hippad.Unauthorised)

	h.again()
	secret, _ := h.enrol(code, "rita", good)
	_, err = h.Setup(ctx, code, "rita", other, from) // a code is good once
	wantKind(t, err, hippad.Unauthorised)
	s := h.mustSignIn("rita", good, h.code(secret))
	want := hippad.Principal{Kind: hippad.KindPerson, ID: "rita", Name: "Rita <b>", Organisation: "St. Elsewhere"}
	if c, err := h.Session(s.Cookie); err != nil || c.Principal != want || !slices.Equal(c.Roles, []hippad.Role{hippad.RoleAuditor, hippad.RoleReviewer}) {
		t.Errorf("%+v, %v", c, err)
	}

	// Lost everything: a new code, and the old ways in are closed.
	code, err = h.Reset(ctx, "rita", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Session(s.Cookie)
	wantKind(t, err, hippad.Unauthorised)
	_, err = h.Begin(ctx, "rita", good, from)
	wantKind(t, err, hippad.Unauthorised)
	h.clock.move(7 * 24 * time.Hour)
	_, err = h.Setup(ctx, code, "rita", other, from)
	wantKind(t, err, hippad.Unauthorised)
	if account.Reason(err) != "the setup code has expired" {
		t.Error(account.Reason(err))
	}
	// A reset while an enrolment is under way: the code that began it is no longer good.
	code, _ = h.Reset(ctx, "rita", nil)
	e, err := h.Setup(ctx, code, "rita", other, from)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = h.Reset(ctx, "rita", nil); err != nil {
		t.Fatal(err)
	}
	_, err = h.Confirm(ctx, e.ID, h.code(e.Secret), "", nil)
	wantKind(t, err, hippad.Conflict)
}

// What ends the sessions of one account leaves those of others alone.
func TestRevocation(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	olga, _ := h.officer()
	code, err := h.Add(ctx, "rita", "", []hippad.Role{hippad.RoleReviewer}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	rita, recovery := h.enrol(code, "rita", good)
	mine := h.mustSignIn("olga", good, h.code(olga))
	stop := errors.New("not written")
	no := func(context.Context, account.Account) error { return stop }
	if err := h.Disable(ctx, "rita", no); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if a, _ := h.Account("rita"); a.Disabled {
		t.Error("disabled without the entry about it")
	}
	for i, end := range []func() error{
		func() error { return h.SetRoles(ctx, "rita", []hippad.Role{hippad.RoleAuditor}, nil) },
		func() error { return h.Disable(ctx, "rita", nil) },
		func() error { return h.Remove(ctx, "rita", nil) },
	} {
		s := h.mustSignIn("rita", good, recovery[i])
		if err := end(); err != nil {
			t.Fatal(err)
		}
		_, err := h.Session(s.Cookie)
		wantKind(t, err, hippad.Unauthorised)
		if _, err := h.Session(mine.Cookie); err != nil {
			t.Errorf("another one's session ended: %v", err)
		}
		if i == 1 {
			_, err := h.Begin(ctx, "rita", good, from)
			wantKind(t, err, hippad.Unauthorised)
			if err := h.Enable(ctx, "rita", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, err := range []error{h.Remove(ctx, "rita", nil), h.Enable(ctx, "rita", nil), h.SetRoles(ctx, "rita", nil, nil)} {
		wantKind(t, err, hippad.NotFound)
	}
	wantKind(t, h.SetRoles(ctx, "olga", nil, nil), hippad.Invalid)
	_ = rita
}

func TestOwnAccount(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	secret, old := h.officer()
	keep := h.mustSignIn("olga", good, h.code(secret))
	elsewhere := h.mustSignIn("olga", good, old[0])
	wantKind(t, h.ChangePassword(ctx, "olga", other, other, from, keep.Cookie, nil), hippad.Unauthorised)
	wantKind(t, h.ChangePassword(ctx, "olga", good, "short", from, keep.Cookie, nil), hippad.Invalid)
	if err := h.ChangePassword(ctx, "olga", good, other, from, keep.Cookie, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Session(keep.Cookie); err != nil {
		t.Errorf("the session that changed the password ended: %v", err)
	}
	_, err := h.Session(elsewhere.Cookie)
	wantKind(t, err, hippad.Unauthorised)
	_, err = h.Begin(ctx, "olga", good, from)
	wantKind(t, err, hippad.Unauthorised)

	_, err = h.NewRecovery(ctx, "olga", good, from, keep.Cookie, nil)
	wantKind(t, err, hippad.Unauthorised)
	fresh, err := h.NewRecovery(ctx, "olga", other, from, keep.Cookie, nil)
	if err != nil || len(fresh) != 10 {
		t.Fatal(err)
	}
	if _, err := h.signIn("olga", other, old[1]); err == nil {
		t.Error("an old recovery code was good")
	}
	h.mustSignIn("olga", other, fresh[0])

	_, err = h.NewFactor(ctx, "olga", good, from)
	wantKind(t, err, hippad.Unauthorised)
	e, err := h.NewFactor(ctx, "olga", other, from)
	if err != nil {
		t.Fatal(err)
	}
	h.clock.move(30 * time.Second)
	h.mustSignIn("olga", other, h.code(secret)) // the old one is good until the new one is confirmed
	if _, err := h.Confirm(ctx, e.ID, h.code(e.Secret), keep.Cookie, nil); err != nil {
		t.Fatal(err)
	}
	h.clock.move(30 * time.Second)
	if _, err := h.signIn("olga", other, h.code(secret)); err == nil {
		t.Error("the old second factor was still good")
	}
	h.mustSignIn("olga", other, h.code(e.Secret))
}

func TestSessionLimits(t *testing.T) {
	h := open(t, func(o *account.Options) { o.Sessions = 20 })
	secret, recovery := h.officer()
	s := h.mustSignIn("olga", good, h.code(secret))
	if strings.Contains(fmt.Sprintf("%v %+v %#v", s, s, s), s.Cookie) {
		t.Error("a session prints its cookie")
	}
	for range 8 * 60 / 14 { // in use all the time
		h.clock.move(14 * time.Minute)
		if _, err := h.Session(s.Cookie); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.move(14 * time.Minute)
	_, err := h.Session(s.Cookie)
	wantKind(t, err, hippad.Unauthorised) // 8 hours are over

	s = h.mustSignIn("olga", good, h.code(secret))
	h.clock.move(15 * time.Minute)
	_, err = h.Session(s.Cookie)
	wantKind(t, err, hippad.Unauthorised) // nobody was there
	for _, made := range []string{"", "AAAA", s.Cookie + "x"} {
		_, err := h.Session(made)
		wantKind(t, err, hippad.Unauthorised)
	}

	var open []account.Session
	for _, code := range recovery[:9] {
		h.clock.move(time.Second)
		open = append(open, h.mustSignIn("olga", good, code))
	}
	_, err = h.Session(open[0].Cookie)
	wantKind(t, err, hippad.Unauthorised) // the ninth ended the one least used
	h.SignOut(open[1].Cookie)
	h.SignOut("nobody's")
	_, err = h.Session(open[1].Cookie)
	wantKind(t, err, hippad.Unauthorised)
	for _, s := range open[2:] {
		if _, err := h.Session(s.Cookie); err != nil {
			t.Error(err)
		}
	}
	h.again()
	_, err = h.Session(open[2].Cookie)
	wantKind(t, err, hippad.Unauthorised) // a restart signs everybody out
}

func TestDamagedFile(t *testing.T) {
	h := open(t)
	h.officer()
	name := filepath.Join(h.dir, "keys", "accounts.json")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole)
	swap := func(old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("the file has no %q", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	for what, bad := range map[string]string{
		"empty":          "",
		"cut":            text[:len(text)/2],
		"no JSON":        "not JSON at all",
		"format":         swap(`"format": 1`, `"format": 2`),
		"unknown member": swap(`"format": 1`, `"format": 1, "x": 1`),
		"twice a member": swap(`"format": 1`, `"format": 1, "format": 1`),
		"role":           swap(`"officer"`, `"king"`),
		"name":           swap(`"name": "olga"`, `"name": "OLGA"`),
		"memory":         swap(`"memory": 64`, `"memory": 4294967295`),
		"passes":         swap(`"passes": 1`, `"passes": 4294967295`),
		"no passes":      swap(`"passes": 1`, `"passes": 0`),
		"salt":           swap(`"salt": "`, `"salt": "AAAA`),
		"secret":         swap(`"secret": "`, `"secret": "AAAA`),
	} {
		if err := os.WriteFile(name, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := account.Open(h.dir, account.Options{Throttle: h.count.throttle()})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A change by another process is noticed, not overwritten.
func TestChangedBehindTheBack(t *testing.T) {
	h := open(t)
	h.officer()
	mine, reviewer := h.Accounts, []hippad.Role{hippad.RoleReviewer}
	h.again()
	if err := h.Disable(t.Context(), "olga", nil); err != nil {
		t.Fatal(err)
	}
	_, err := mine.Add(t.Context(), "rita", "", reviewer, "", nil)
	wantKind(t, err, hippad.Conflict)
	h.again()
	if a, _ := h.Account("olga"); !a.Disabled || len(h.List()) != 1 {
		t.Errorf("%+v", h.List())
	}
	if err := os.Remove(filepath.Join(h.dir, "keys", "accounts.json")); err != nil {
		t.Fatal(err)
	}
	wantKind(t, h.Enable(t.Context(), "olga", nil), hippad.Conflict)
}

// What cannot be stored has not happened.
func TestCannotBeStored(t *testing.T) {
	h := open(t)
	keys := filepath.Join(h.dir, "keys")
	if err := os.WriteFile(keys, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	_, err := h.Add(t.Context(), "rita", "", []hippad.Role{hippad.RoleReviewer}, "", nil)
	wantKind(t, err, hippad.Unavailable)
	if message, _ := hippad.Public(err); strings.Contains(message, keys) {
		t.Errorf("the answer names a path: %s", message)
	}
	if len(h.List()) != 0 {
		t.Error("it is there all the same")
	}
}

func TestOptions(t *testing.T) {
	if _, err := account.Open(t.TempDir(), account.Options{}); err == nil {
		t.Error("opened without a throttle")
	}
	c := &counter{}
	for _, bad := range []account.Cost{{Passes: 1}, {Passes: 1, Memory: 1 << 30, Threads: 1}, {Passes: 100, Memory: 64, Threads: 1}} {
		if _, err := account.Open(t.TempDir(), account.Options{Throttle: c.throttle(), Cost: bad}); err == nil {
			t.Errorf("opened with %+v", bad)
		}
	}
}

// BenchmarkBegin is what one password costs with the parameters of a real server.
func BenchmarkBegin(b *testing.B) {
	c := &counter{after: 1 << 30}
	a, err := account.Open(b.TempDir(), account.Options{Throttle: c.throttle()})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := a.Begin(b.Context(), "nobody", good, from); err == nil {
			b.Fatal("nobody got in")
		}
	}
}
