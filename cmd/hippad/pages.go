package main

import (
	"context"
	"net"
	"net/http"
	"strings"

	"hippad"
	"hippad/internal/account"
	"hippad/internal/front"
	"hippad/internal/repository"
	"hippad/internal/web"
)

// openAccounts opens the accounts of the people who sign in.
func (s *server) openAccounts() (*account.Accounts, error) {
	o := account.Options{
		Now:      s.config.now,
		Issuer:   s.keys.Signer.Name(),
		Throttle: account.Throttle{Check: s.throttle.Check, Failed: s.throttle.Failed, Succeeded: s.throttle.Succeeded},
	}
	if s.config.OIDC != "" {
		var err error
		if o.OIDC, err = account.LoadOIDC(s.config.OIDC); err != nil {
			return nil, err
		}
	}
	return account.Open(s.config.Data, o)
}

// pageRoutes are the pages.
func (s *server) pageRoutes() []route {
	h := &web.Handler{
		Accounts: s.accounts, Caller: front.CallerOf, Read: read, Size: s.ledger.Size, Log: s.log,
		Open: func(c hippad.Caller) hippad.Session { return s.repo.As(c, hippad.DoorFHIR) },
		Note: s.signedIn,
		Changed: func(ctx context.Context, c hippad.Caller, what string) error {
			return s.configured(ctx, c, repository.ActivityAccount, "own account: "+what)
		},
		Requests: s.webRequests,
		Confirm: func(ctx context.Context, c hippad.Caller, id int64) error {
			_, err := s.confirm(ctx, c, id)
			return err
		},
		Refuse: func(ctx context.Context, c hippad.Caller, id int64) error {
			_, err := s.custody.Refuse(ctx, c, id)
			return err
		},
	}
	var all []route
	for _, r := range web.Routes() {
		all = append(all, route{pattern: r.Pattern, needs: r.Action, open: r.Action == "" && !r.SignedIn, signedIn: r.SignedIn, page: true, handler: h})
	}
	// What is nowhere else is a page that does not exist.
	return append(all, route{pattern: "/", open: true, page: true, handler: h})
}

// signedIn records a sign-in, a failed one or a sign-out (DICOM PS3.15 A.5.3.12 User Authentication). What is locked out already, or
// comes back from nowhere as if from the identity provider, becomes an alert, which is counted: nobody can fill the log with it.
func (s *server) signedIn(ctx context.Context, c hippad.Caller, address string, in web.SignIn) error {
	if in.Locked || in.How == account.HowOIDC && in.Outcome == web.OutcomeFailure && in.Account == "" {
		s.repo.Alert(remote(net.JoinHostPort(address, "0")), "sign-in", in.How+": "+in.Reason)
		return nil
	}
	n := repository.UserAuthentication(in.How != web.HowSignOut, in.Outcome, address)
	n.Description = in.How
	if in.Reason != "" {
		n.Description += ": " + in.Reason
	}
	if c.Kind != hippad.KindPerson && in.Account != "" {
		c.Principal = hippad.Principal{Kind: hippad.KindPerson, ID: in.Account}
	}
	return s.repo.Note(ctx, c, n)
}

// bearer finds out whose token it is: one of this log's register, or of its identity provider.
func (s *server) bearer(r *http.Request, token string) (hippad.Caller, error) {
	from := remote(r.RemoteAddr)
	if _, ok := s.accounts.OIDC(); ok && strings.Count(token, ".") == 2 && !strings.HasPrefix(token, "hpt1.") {
		return s.accounts.Bearer(r.Context(), token)
	}
	return s.authority.Token(r.Context(), token, from)
}

// remote reads the address that net/http writes as text.
func remote(text string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		return &net.TCPAddr{}
	}
	return a
}
