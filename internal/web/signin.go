package web

import (
	"encoding/base64"
	"html/template"
	"net/http"

	"hippad"
	"hippad/internal/account"
)

// note records something about a sign-in. Its error is always kind Unavailable: without an entry there is no answer.
func (h *Handler) note(r *http.Request, c hippad.Caller, s SignIn) error {
	if err := h.Note(r.Context(), c, address(r), s); err != nil {
		return &hippad.Error{Kind: hippad.Unavailable, Message: "the log cannot be written now, so nobody can sign in or out", Cause: err}
	}
	return nil
}

// failed records a failure. The account is named only when there is one: people type passwords into the wrong field.
func (h *Handler) failed(r *http.Request, name, how string, err error) error {
	s := SignIn{How: how, Outcome: OutcomeFailure, Reason: account.Reason(err), Locked: hippad.KindOf(err) == hippad.Busy}
	if a, ok := h.Accounts.Account(account.Normal(name)); ok {
		s.Account = a.Name
	}
	return h.note(r, h.Caller(r), s)
}

type signInData struct {
	Name, OIDC string
	FirstRun   bool
}

func (h *Handler) signInPage(w http.ResponseWriter, r *http.Request, code int, p page, name string) error {
	p.Title = "Sign in"
	d := signInData{Name: name, FirstRun: h.Accounts.FirstRun()}
	d.OIDC, _ = h.Accounts.OIDC()
	return h.show(w, r, code, "signin", p, d)
}

func (h *Handler) signInForm(w http.ResponseWriter, r *http.Request) error {
	if h.Caller(r).Kind == hippad.KindPerson {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	return h.signInPage(w, r, http.StatusOK, page{}, "")
}

// signIn checks name and password, and asks for the second factor.
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) error {
	name := r.PostForm.Get("name")
	id, err := h.Accounts.Begin(r.Context(), name, r.PostForm.Get("password"), address(r))
	if err == nil {
		return h.show(w, r, http.StatusOK, "code", page{Title: "Second step"}, id)
	}
	if e := h.failed(r, name, HowPassword, err); e != nil {
		return e
	}
	if !isAnswer(err) {
		return err
	}
	p, code := again(page{}, err)
	return h.signInPage(w, r, code, p, cut(name, 64))
}

// signInCode checks the second factor.
func (h *Handler) signInCode(w http.ResponseWriter, r *http.Request) error {
	id := r.PostForm.Get("pending")
	name := h.Accounts.PendingName(id)
	s, err := h.Accounts.Finish(r.Context(), id, r.PostForm.Get("code"), address(r))
	if err == nil {
		return h.signedIn(w, r, s, func() error {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return nil
		})
	}
	if e := h.failed(r, name, account.HowTOTP, err); e != nil {
		return e
	}
	if hippad.KindOf(err) == hippad.Conflict { // to be begun again
		p, code := again(page{}, err)
		return h.signInPage(w, r, code, p, "")
	}
	if !isAnswer(err) {
		return err
	}
	p, code := again(page{Title: "Second step"}, err)
	return h.show(w, r, code, "code", p, id)
}

// signedIn records a sign-in and gives the browser its cookie; a session that the browser had before ends.
func (h *Handler) signedIn(w http.ResponseWriter, r *http.Request, s account.Session, answer func() error) error {
	err := h.note(r, s.Caller, SignIn{Account: s.Caller.ID, How: s.How, Outcome: OutcomeSuccess})
	if err != nil {
		h.Accounts.SignOut(s.Cookie)
		return err
	}
	if old := SessionCookie(r); old != "" {
		h.Accounts.SignOut(old)
	}
	setCookie(w, sessionCookie, s.Cookie, 0) // until the browser closes; the server ends it sooner
	return answer()
}

// signInOIDC sends the browser to the identity provider. It is a link and not a form, because form-action of the
// Content-Security-Policy would hold for the redirect too; nothing changes here by it.
func (h *Handler) signInOIDC(w http.ResponseWriter, r *http.Request) error {
	to, cookie, err := h.Accounts.BeginOIDC(r.Context())
	if err != nil {
		return err
	}
	setCookie(w, flowCookie, cookie, account.FlowTime)
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// callback is where the identity provider sends the browser. The answer is a page that goes on by itself and not a
// redirect: a redirect would still be part of the navigation from the other site, and the browser would not send the
// SameSite=Strict cookie along.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request) error {
	cookie := ""
	if c, err := r.Cookie(flowCookie); err == nil {
		cookie = c.Value
	}
	setCookie(w, flowCookie, "", 0)
	s, err := h.Accounts.FinishOIDC(r.Context(), cookie, r.URL.Query())
	if err != nil {
		e := h.note(r, h.Caller(r), SignIn{Account: s.Caller.ID, How: account.HowOIDC, Outcome: OutcomeFailure, Reason: account.Reason(err)})
		if e != nil {
			return e
		}
		return err
	}
	return h.signedIn(w, r, s, func() error {
		return h.show(w, r, http.StatusOK, "onward", page{Title: "Signed in", Onward: "/"}, nil)
	})
}

// signOut ends the session whatever happens, and says so only when that is recorded.
func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) error {
	c := h.Caller(r)
	h.Accounts.SignOut(SessionCookie(r))
	setCookie(w, sessionCookie, "", 0)
	if err := h.note(r, c, SignIn{Account: c.ID, How: HowSignOut, Outcome: OutcomeSuccess}); err != nil {
		return err
	}
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
	return nil
}

// qr is a PNG as the address of a picture.
func qr(png []byte) template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png))
}
