package main

import (
	"fmt"
	"net/http"
	"strings"

	"hippad"
	"hippad/internal/atna"
	"hippad/internal/front"
	"hippad/internal/tlog"
	"hippad/internal/web"
)

// A route is one way into the server over HTTP, and what the caller must be permitted. There is no other: what is not in the
// table of routes is not served, and a route that needs nothing says so.
type route struct {
	pattern string        // of http.ServeMux: method and path
	needs   hippad.Action // what the caller must be permitted
	open    bool          // instead: for everybody, on purpose
	page    bool          // for people: they come with a cookie and are sent to sign in; others bring a certificate or a token
	handler http.Handler

	signedIn bool // instead of needs: for everybody who has signed in, and for no certificate
}

// routes is the table. Which role has which action is the other table: permissions in package hippad.
func (s *server) routes() []route {
	log := http.StripPrefix("/log", &tlog.Handler{Checkpoint: s.ledger.Checkpoint, Hashes: s.ledger.Hashes, Leaves: s.ledger.Leaves, Log: s.log})
	all := []route{
		// What is left under /fhir is a method or an address that does not exist; the door says so as FHIR does.
		{pattern: "/fhir/", open: true, handler: asNobody(s.fhir)},
		{pattern: "/fhir", open: true, handler: asNobody(s.fhir)},
		{pattern: "GET /log/", open: true, handler: log},
		{pattern: "GET /log/receipt/{index}", open: true, handler: s.receiptHandler()}, // the session knows whose entry it is
		{pattern: "GET /metrics", needs: hippad.ActObserve, handler: s.metrics()},
		{pattern: "GET /healthz", open: true, handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })},
		{pattern: "GET /readyz", open: true, handler: http.HandlerFunc(s.ready)},
	}
	for _, more := range [][]route{s.fhirRoutes(), s.memberRoutes(), s.enrolRoutes(), s.authorityRoutes(), s.accountRoutes(), s.keyRoutes(),
		s.custodyRoutes(), s.crosswalkRoutes(), s.backupRoutes(), s.pageRoutes(), s.sourceRoutes(), s.forwardRoutes(),
		s.disclosureRoutes(), s.breachRoutes(), s.reviewRoutes(), s.complianceRoutes(), s.portRoutes(), s.trafficRoutes()} {

		all = append(all, more...)
	}
	return all
}

// fhirRoutes are the bases of the FHIR door, and ITI-82.
func (s *server) fhirRoutes() (all []route) {
	for _, base := range []string{"/fhir", "/fhir/r5"} {
		all = append(all,
			route{pattern: "POST " + base, needs: hippad.ActRecord, handler: s.fhir},
			route{pattern: "POST " + base + "/{$}", needs: hippad.ActRecord, handler: s.fhir},
			route{pattern: "POST " + base + "/AuditEvent", needs: hippad.ActRecord, handler: s.fhir})
	}
	for _, base := range []string{"/fhir", "/fhir/r5", "/fhir/iti81"} {
		all = append(all,
			route{pattern: "GET " + base + "/AuditEvent", needs: hippad.ActRead, handler: s.fhir},
			route{pattern: "POST " + base + "/AuditEvent/_search", needs: hippad.ActRead, handler: s.fhir},
			route{pattern: "GET " + base + "/AuditEvent/{id}", needs: hippad.ActRead, handler: s.fhir},
			route{pattern: "GET " + base + "/metadata", open: true, handler: s.fhir})
	}
	syslog := &atna.SyslogSearch{Open: s.openFHIR, Base: s.config.Base, Log: s.log}
	return append(all,
		route{pattern: "GET /fhir/syslogsearch", needs: hippad.ActRead, handler: syslog},
		route{pattern: "/fhir/syslogsearch", open: true, handler: asNobody(syslog)}) // to say that there are no other methods
}

// openFHIR opens the log for whoever asks over HTTP.
func (s *server) openFHIR(r *http.Request) (hippad.Session, error) {
	return s.repo.As(front.CallerOf(r), hippad.DoorFHIR), nil
}

// asNobody takes every right away.
func asNobody(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, front.As(r, hippad.Caller{Principal: front.CallerOf(r).Principal}))
	})
}

// mux puts the guard in front of every route.
func (s *server) mux(routes []route) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.Handle(rt.pattern, s.guard(rt))
	}
	// A page of another site can make a browser send a certificate or a cookie, but not without saying where it comes from.
	protection := http.NewCrossOriginProtection()
	return protection.Handler(mux)
}

// lets is the rule: what is neither open nor permitted is denied.
func (rt route) lets(c hippad.Caller) bool {
	return rt.open || rt.signedIn && c.Kind == hippad.KindPerson || rt.needs != "" && c.May(rt.needs)
}

// guard lets through who may, as whom they are.
func (s *server) guard(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := s.caller(r, rt.page)
		switch {
		case err != nil:
			s.deny(w, r, rt, caller, err)
		case !rt.lets(caller):
			s.deny(w, r, rt, caller, nil)
		default:
			rt.handler.ServeHTTP(w, front.As(r, caller))
		}
	})
}

// caller finds out who asks: by the session of a page, by a bearer token, or else by the certificate or the address.
func (s *server) caller(r *http.Request, page bool) (hippad.Caller, error) {
	connected := front.CallerOf(r)
	if page {
		if cookie := web.SessionCookie(r); cookie != "" {
			if c, err := s.accounts.Session(cookie); err == nil {
				return c, nil
			}
		}
		return connected, nil
	}
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return connected, nil
	}
	return s.bearer(r, bearer)
}

// deny refuses: 401 to one of whom nothing is known, 403 to one who is known and may not. Neither tells whether what was
// asked for exists, because nothing has looked for it.
func (s *server) deny(w http.ResponseWriter, r *http.Request, rt route, caller hippad.Caller, err error) {
	status := http.StatusForbidden
	unknown := err != nil || caller.Kind == hippad.KindAddress
	switch {
	case err != nil:
	case unknown:
		err = errWho
	default:
		err = errMayNot
	}
	switch {
	case hippad.KindOf(err) == hippad.Busy:
		status = http.StatusTooManyRequests
	case unknown:
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Bearer realm="hippad"`)
	}
	s.repo.Alert(remote(r.RemoteAddr), "denied", rt.pattern)
	switch path := r.URL.Path; {
	case rt.page && status == http.StatusUnauthorized && r.Method == http.MethodGet:
		http.Redirect(w, r, "/signin", http.StatusSeeOther)
	case path == "/fhir" || strings.HasPrefix(path, "/fhir/"):
		s.fhir.Deny(w, r, status, err)
	default:
		refuseAs(w, status, err)
	}
}

var (
	errMayNot = hippad.Errorf(hippad.Unauthorised, "this principal may not do that")
	errWho    = hippad.Errorf(hippad.Unauthorised, "who are you?").WithHint("show a certificate of a member, or a bearer token")
)
