package web

import (
	"context"
	"fmt"
	"net/http"

	"hippad"
	"hippad/internal/account"
)

// changed makes a Note of account out of Changed. c is who changes; nil for the owner, who is not signed in yet.
func (h *Handler) changed(c *hippad.Caller, what string) account.Note {
	return func(ctx context.Context, about account.Account) error {
		who := hippad.Caller{Principal: about.Principal()}
		if c != nil {
			who = *c
		}
		if err := h.Changed(ctx, who, what); err != nil {
			return &hippad.Error{Kind: hippad.Unavailable, Message: "the log cannot be written now, so nothing was changed", Cause: err}
		}
		return nil
	}
}

type setupData struct {
	Code, Name string
	FirstRun   bool
}

func (h *Handler) setupPage(w http.ResponseWriter, r *http.Request, code int, p page, typed, name string) error {
	p.Title = "Set up an account"
	return h.show(w, r, code, "setup", p, setupData{Code: typed, Name: name, FirstRun: h.Accounts.FirstRun()})
}

func (h *Handler) setupForm(w http.ResponseWriter, r *http.Request) error {
	return h.setupPage(w, r, http.StatusOK, page{}, "", "")
}

// setup takes code, name and password, and shows the second factor.
func (h *Handler) setup(w http.ResponseWriter, r *http.Request) error {
	code, name, plain := r.PostForm.Get("code"), r.PostForm.Get("name"), r.PostForm.Get("password")
	var e account.Enrolment
	err := twice(plain, r.PostForm.Get("again"))
	if err == nil {
		e, err = h.Accounts.Setup(r.Context(), code, name, plain, address(r))
	}
	if err == nil {
		return h.enrolPage(w, r, http.StatusOK, page{}, e, "/setup/confirm")
	}
	if k := hippad.KindOf(err); k == hippad.Unauthorised || k == hippad.Busy {
		if e := h.failed(r, name, HowSetup, err); e != nil {
			return e
		}
	}
	if !isAnswer(err) {
		return err
	}
	p, status := again(page{}, err)
	return h.setupPage(w, r, status, p, cut(code, 64), cut(name, 64))
}

func twice(a, b string) error {
	if a != b {
		return hippad.Errorf(hippad.Invalid, "the two passwords are not the same")
	}
	return nil
}

// enrolPage shows a new second factor, and asks for a code of it.
func (h *Handler) enrolPage(w http.ResponseWriter, r *http.Request, status int, p page, e account.Enrolment, to string) error {
	p.Title = "Second factor"
	return h.show(w, r, status, "enrol", p, struct {
		account.Enrolment
		Picture any
		To      string
	}{e, qr(e.PNG), to})
}

func (h *Handler) setupConfirm(w http.ResponseWriter, r *http.Request) error {
	return h.confirm(w, r, "/setup/confirm", h.changed(nil, "account set up: password and second factor"))
}

// confirm ends an enrolment, and shows the recovery codes.
func (h *Handler) confirm(w http.ResponseWriter, r *http.Request, to string, note account.Note) error {
	id := r.PostForm.Get("enrolment")
	codes, err := h.Accounts.Confirm(r.Context(), id, r.PostForm.Get("code"), SessionCookie(r), note)
	if err == nil {
		return h.codesPage(w, r, codes, "The second factor is set up.")
	}
	if hippad.KindOf(err) != hippad.Unauthorised {
		return err
	}
	e, gone := h.Accounts.Resume(id)
	if gone != nil {
		return gone
	}
	p, status := again(page{}, err)
	return h.enrolPage(w, r, status, p, e, to)
}

func (h *Handler) codesPage(w http.ResponseWriter, r *http.Request, codes []string, said string) error {
	return h.show(w, r, http.StatusOK, "codes", page{Title: "Recovery codes", Said: said}, codes)
}

func (h *Handler) account(w http.ResponseWriter, r *http.Request) error {
	return h.accountPage(w, r, http.StatusOK, page{})
}

func (h *Handler) accountPage(w http.ResponseWriter, r *http.Request, status int, p page) error {
	p.Title = "Your account"
	own, ok := h.own(h.Caller(r))
	provider, _ := h.Accounts.OIDC()
	return h.show(w, r, status, "account", p, struct {
		Local    bool
		Own      account.Account
		Provider string
	}{ok, own, provider})
}

// owner returns the local account that somebody changes, his own.
func (h *Handler) owner(r *http.Request) (hippad.Caller, error) {
	c := h.Caller(r)
	if _, ok := h.own(c); !ok {
		return c, hippad.Errorf(hippad.Conflict, "your password and second factor are kept by your identity provider")
	}
	return c, nil
}

// refuseOwn answers what is wrong with a change of one's own account. A wrong password is recorded like one at the door.
func (h *Handler) refuseOwn(w http.ResponseWriter, r *http.Request, c hippad.Caller, err error) error {
	if k := hippad.KindOf(err); k == hippad.Unauthorised || k == hippad.Busy {
		if e := h.failed(r, c.ID, HowPassword, err); e != nil {
			return e
		}
	}
	if !isAnswer(err) {
		return err
	}
	p, status := again(page{}, err)
	return h.accountPage(w, r, status, p)
}

func (h *Handler) changePassword(w http.ResponseWriter, r *http.Request) error {
	c, err := h.owner(r)
	if err != nil {
		return err
	}
	plain := r.PostForm.Get("new")
	if err = twice(plain, r.PostForm.Get("again")); err == nil {
		err = h.Accounts.ChangePassword(r.Context(), c.ID, r.PostForm.Get("password"), plain, address(r), SessionCookie(r), h.changed(&c, "own password changed"))
	}
	if err != nil {
		return h.refuseOwn(w, r, c, err)
	}
	return h.accountPage(w, r, http.StatusOK, page{Said: "The password is changed. Other browsers are signed out."})
}

func (h *Handler) newFactor(w http.ResponseWriter, r *http.Request) error {
	c, err := h.owner(r)
	if err != nil {
		return err
	}
	e, err := h.Accounts.NewFactor(r.Context(), c.ID, r.PostForm.Get("password"), address(r))
	if err != nil {
		return h.refuseOwn(w, r, c, err)
	}
	return h.enrolPage(w, r, http.StatusOK, page{}, e, "/account/confirm")
}

func (h *Handler) confirmFactor(w http.ResponseWriter, r *http.Request) error {
	c, err := h.owner(r)
	if err != nil {
		return err
	}
	// An enrolment of somebody else is none.
	if e, err := h.Accounts.Resume(r.PostForm.Get("enrolment")); err == nil && e.Name != c.ID {
		return hippad.Errorf(hippad.Unauthorised, "you may not do this here")
	}
	return h.confirm(w, r, "/account/confirm", h.changed(&c, "own second factor replaced"))
}

func (h *Handler) newRecovery(w http.ResponseWriter, r *http.Request) error {
	c, err := h.owner(r)
	if err != nil {
		return err
	}
	codes, err := h.Accounts.NewRecovery(r.Context(), c.ID, r.PostForm.Get("password"), address(r), SessionCookie(r), h.changed(&c, "own recovery codes replaced"))
	if err != nil {
		return h.refuseOwn(w, r, c, err)
	}
	return h.codesPage(w, r, codes, fmt.Sprintf("There are %d new recovery codes; the old ones are no longer good.", len(codes)))
}
