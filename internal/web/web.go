// Package web is the door of pages for people: signing in, their own account, searching the log, and the second pair of eyes
// for what somebody else has asked for.
//
// It does not decide who somebody is (internal/account, and the guard in front that calls it) nor what the log lets him see
// (the Session it is given); it keeps nothing. The invariants: no patient data stands in an address, a log line or an error
// of this door; what came in reports is shown as text and never becomes part of a page; and no answer to a sign-in or a change
// of an account leaves before Note or Changed has said that it is recorded.
//
// The pages are plain HTML forms without any script. They need nothing from elsewhere: one style sheet, embedded.
package web

import (
	"context"
	"embed"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"hippad"
	"hippad/internal/account"
)

//go:embed pages style.css
var files embed.FS

const maxForm = 64 << 10 // bytes of a request

// A Handler serves the pages, mounted at /. The fields must be set before use and not changed.
type Handler struct {
	Accounts *account.Accounts
	// Caller is who asks, as the guard in front has found: somebody who has signed in (see SessionCookie), a certificate, or
	// only an address.
	Caller func(*http.Request) hippad.Caller
	Open   func(hippad.Caller) hippad.Session
	Read   hippad.Reader
	// Note records a sign-in that succeeded or failed, or a sign-out, before its answer leaves. On its error there is no
	// session, and the answer is 503.
	Note func(ctx context.Context, c hippad.Caller, address string, s SignIn) error
	// Changed records a change that somebody makes to his own account, before it is made. On its error it is not made.
	Changed func(ctx context.Context, c hippad.Caller, what string) error
	// Requests lists what waits for a second pair of eyes, and what became of the last ones; newest first.
	Requests func(context.Context, hippad.Caller) ([]Request, error)
	Confirm  func(ctx context.Context, c hippad.Caller, id int64) error
	Refuse   func(ctx context.Context, c hippad.Caller, id int64) error
	Size     func() int64 // entries in the log
	Log      *slog.Logger

	once  sync.Once
	mux   *http.ServeMux
	pages *template.Template
	csrf  http.CrossOriginProtection
}

// A SignIn is what is recorded about somebody at the door.
type SignIn struct {
	Account string // name of the account, or issuer and subject; empty if there is none of the name that was typed
	How     string // HowPassword to HowSignOut, or how account.Session has it
	Outcome string // OutcomeSuccess or OutcomeFailure
	Reason  string // of a failure; holds nothing that was typed
	Locked  bool   // nothing was looked at, after too many failures: whoever records it may count instead, so that nobody fills the log
}

// Values of SignIn.How, besides account.HowTOTP, HowRecovery and HowOIDC.
const (
	HowPassword = "password"
	HowSetup    = "setup code"
	HowSignOut  = "sign-out"
)

// Values of SignIn.Outcome: DICOM PS3.15 A.5 EventOutcomeIndicator.
const (
	OutcomeSuccess = "0"
	OutcomeFailure = "4"
)

// A Request is something that somebody asked for and that somebody else must confirm.
type Request struct {
	ID      int64
	Kind    string // "export", "purge"
	What    string
	Reason  string
	By      string // Principal.String of who asked
	State   string // StateWaiting, or what became of it
	At      time.Time
	Expires time.Time
}

// StateWaiting is the State of a request that can be confirmed or refused.
const StateWaiting = "waiting"

// A Route is one address of this door, and who may come there.
type Route struct {
	Pattern  string        // of http.ServeMux
	Action   hippad.Action // what the caller must be permitted; empty: nothing
	SignedIn bool          // only for people who have signed in, not for certificates
}

type route struct {
	Route
	serve func(*Handler, http.ResponseWriter, *http.Request) error
}

// routes is the whole door.
func routes() []route {
	return []route{
		{Route{"GET /{$}", "", false}, (*Handler).home},
		{Route{"GET /style.css", "", false}, (*Handler).style},
		{Route{"GET /away", "", false}, (*Handler).away},
		{Route{"GET /signin", "", false}, (*Handler).signInForm},
		{Route{"POST /signin", "", false}, (*Handler).signIn},
		{Route{"POST /signin/code", "", false}, (*Handler).signInCode},
		{Route{"GET /signin/oidc", "", false}, (*Handler).signInOIDC},
		{Route{"GET " + account.CallbackPath, "", false}, (*Handler).callback},
		{Route{"GET /setup", "", false}, (*Handler).setupForm},
		{Route{"POST /setup", "", false}, (*Handler).setup},
		{Route{"POST /setup/confirm", "", false}, (*Handler).setupConfirm},
		{Route{"POST /signout", "", true}, (*Handler).signOut},
		{Route{"GET /account", "", true}, (*Handler).account},
		{Route{"POST /account/password", "", true}, (*Handler).changePassword},
		{Route{"POST /account/factor", "", true}, (*Handler).newFactor},
		{Route{"POST /account/confirm", "", true}, (*Handler).confirmFactor},
		{Route{"POST /account/recovery", "", true}, (*Handler).newRecovery},
		{Route{"GET /search", hippad.ActRead, false}, (*Handler).searchForm},
		{Route{"POST /search", hippad.ActRead, false}, (*Handler).search},
		{Route{"GET /entries/{index}", hippad.ActRead, false}, (*Handler).entry},
		{Route{"GET /requests", hippad.ActConfirm, false}, (*Handler).requests},
		{Route{"POST /requests", hippad.ActConfirm, false}, (*Handler).decide},
	}
}

// Routes lists every address of this door. What is not in it is 404.
func Routes() []Route {
	var list []Route
	for _, r := range routes() {
		list = append(list, r.Route)
	}
	return list
}

// Cookies. The prefix makes browsers refuse them unless they are Secure, for all paths and for this host alone.
const (
	sessionCookie = "__Host-hippad-session"
	flowCookie    = "__Host-hippad-flow"
)

// SessionCookie returns what account.Session wants to know, empty if there is none. It is also empty where coming is no sign
// of life: the page that a browser turns to by itself when nobody is there, and the style sheet.
func SessionCookie(r *http.Request) string {
	if r.URL.Path == "/away" || r.URL.Path == "/style.css" {
		return ""
	}
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie sets a cookie that no script and no other site can use. SameSite=Strict, except for the one that must come along
// when the identity provider sends the browser back: that is a navigation from another site, for which only Lax will do.
func setCookie(w http.ResponseWriter, name, value string, lasts time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: int(lasts.Seconds())}
	if name == flowCookie {
		c.SameSite = http.SameSiteLaxMode
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func (h *Handler) build() {
	h.pages = template.Must(template.New("").Funcs(functions()).ParseFS(files, "pages/*.html"))
	h.mux = http.NewServeMux()
	for _, r := range routes() {
		h.mux.HandleFunc(r.Pattern, func(w http.ResponseWriter, q *http.Request) {
			if err := h.enter(w, q, r); err != nil {
				h.fail(w, q, err)
			}
		})
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		h.fail(w, q, hippad.Errorf(hippad.NotFound, "there is no such page"))
	})
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.once.Do(h.build)
	head := w.Header()
	head.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "DENY")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cache-Control", "no-store")
	head.Set("Strict-Transport-Security", "max-age=31536000")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	if err := h.csrf.Check(r); err != nil {
		h.fail(w, r, hippad.Errorf(hippad.Unauthorised, "this form was sent by another site"))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	h.mux.ServeHTTP(w, r)
}

// enter checks again what the guard in front has checked, and reads the form. Only PostForm is used: what stands in the
// address of a POST counts for nothing.
func (h *Handler) enter(w http.ResponseWriter, q *http.Request, r route) error {
	c := h.Caller(q)
	if r.SignedIn && c.Kind != hippad.KindPerson || r.Action != "" && !c.May(r.Action) {
		if c.Kind == hippad.KindAddress || c.Kind == "" {
			http.Redirect(w, q, "/signin", http.StatusSeeOther)
			return nil
		}
		return hippad.Errorf(hippad.Unauthorised, "you may not do this here")
	}
	if q.Method == http.MethodPost {
		if err := q.ParseForm(); err != nil {
			if _, long := errorAs[*http.MaxBytesError](err); long {
				return hippad.Errorf(hippad.TooLarge, "the form is larger than %d bytes", maxForm)
			}
			return hippad.Errorf(hippad.Invalid, "the form cannot be read")
		}
	}
	return r.serve(h, w, q)
}

func (h *Handler) style(w http.ResponseWriter, _ *http.Request) error {
	text, err := files.ReadFile("style.css")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, err = w.Write(text)
	return err
}

// away is where a page goes by itself when nobody has touched it for as long as a session may rest, so that no patient
// data stays on a screen that nobody watches (45 CFR 164.312(a)(2)(iii)).
func (h *Handler) away(w http.ResponseWriter, r *http.Request) error {
	return h.show(w, r, http.StatusOK, "away", page{Title: "Page closed"}, h.Accounts.Idle().Round(time.Minute).Minutes())
}

// address is where the request comes from, without the port.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// home shows who the caller is and what he may do.
func (h *Handler) home(w http.ResponseWriter, r *http.Request) error {
	c := h.Caller(r)
	data := struct {
		Size     int64
		FirstRun bool
		Roles    []hippad.Role
		May      []string
		Few      int // recovery codes left, when it is time for new ones
	}{Size: h.Size(), FirstRun: h.Accounts.FirstRun(), Roles: c.Roles, Few: -1}
	for _, a := range hippad.Actions {
		if c.May(a) {
			data.May = append(data.May, actionWords(a, c.OnlyPatient()))
		}
	}
	if own, ok := h.own(c); ok && own.RecoveryLeft <= 3 {
		data.Few = own.RecoveryLeft
	}
	return h.show(w, r, http.StatusOK, "home", page{Title: "Audit log"}, data)
}

// own returns the local account of somebody who has signed in.
func (h *Handler) own(c hippad.Caller) (account.Account, bool) {
	if c.Kind != hippad.KindPerson {
		return account.Account{}, false
	}
	return h.Accounts.Account(c.ID)
}

func actionWords(a hippad.Action, onlyPatient bool) string {
	if a == hippad.ActRead && onlyPatient {
		return "read the entries that concern you"
	}
	words := map[hippad.Action]string{
		hippad.ActRecord: "add reports", hippad.ActRead: "search the log and read entries", hippad.ActProve: "get the receipt of any entry",
		hippad.ActObserve: "see counts", hippad.ActConfigure: "configure the server", hippad.ActRetain: "place holds and ask for what is past its retention to be destroyed",
		hippad.ActExport: "ask for an export", hippad.ActConfirm: "confirm or refuse what somebody else asked for", hippad.ActBackup: "copy the sealed store",
	}
	if w, ok := words[a]; ok {
		return w
	}
	return string(a)
}

// index reads the index of an entry from an address or a form: digits, without a sign or a leading zero.
func index(s string) (int64, bool) {
	i, err := strconv.ParseInt(s, 10, 64)
	return i, err == nil && i >= 0 && strconv.FormatInt(i, 10) == s
}
