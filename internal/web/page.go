package web

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"hippad"
)

// page is what every page has.
type page struct {
	Title   string
	Problem string // what was wrong with the form that is shown again
	Hint    string
	Said    string // what has been done
	Onward  string // the browser goes there at once

	Caller   hippad.Caller
	Nav      []link
	SignedIn bool // has a session that can be ended
	Known    bool // more than an address
}

type link struct {
	Address, Text string
	Here          bool
}

// show writes a page, whole or not at all.
func (h *Handler) show(w http.ResponseWriter, r *http.Request, status int, name string, p page, data any) error {
	c := h.Caller(r)
	p.Caller = c
	p.SignedIn = c.Kind == hippad.KindPerson
	p.Known = c.Kind != hippad.KindAddress && c.Kind != ""
	if r.URL.Path != "/away" {
		p.Nav = navigation(r, c, p)
		if p.SignedIn {
			w.Header().Set("Refresh", fmt.Sprintf("%d; url=/away", int(h.Accounts.Idle().Seconds())+1))
		}
	}
	var b bytes.Buffer
	if err := h.pages.ExecuteTemplate(&b, name, struct {
		page
		Data any
	}{p, data}); err != nil {
		return fmt.Errorf("write page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}

func navigation(r *http.Request, c hippad.Caller, p page) []link {
	all := []struct {
		link
		shown bool
	}{
		{link{"/", "Overview", false}, true},
		{link{"/search", "Search", false}, c.May(hippad.ActRead)},
		{link{"/requests", "Requests", false}, c.May(hippad.ActConfirm)},
		{link{"/account", "Account", false}, p.SignedIn},
		{link{"/signin", "Sign in", false}, !p.SignedIn},
	}
	var nav []link
	for _, l := range all {
		if l.Here = r.URL.Path == l.Address; l.shown {
			nav = append(nav, l.link)
		}
	}
	return nav
}

// status is how this door says the kinds.
func status(k hippad.Kind) int {
	switch k {
	case hippad.Invalid:
		return http.StatusBadRequest
	case hippad.Unauthorised:
		return http.StatusForbidden
	case hippad.NotFound:
		return http.StatusNotFound
	case hippad.Conflict:
		return http.StatusConflict
	case hippad.TooLarge:
		return http.StatusRequestEntityTooLarge
	case hippad.Busy, hippad.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// fail shows an error as a page, in the words of its kind.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	kind := hippad.KindOf(err)
	code := status(kind)
	if code >= http.StatusInternalServerError {
		h.Log.Error("page", "route", r.Pattern, "error", err)
	}
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "30")
	}
	message, hint := hippad.Public(err)
	if e := h.show(w, r, code, "error", page{Title: sentence(kind.String())}, struct {
		Message, Hint string
		Status        int
	}{message, hint, code}); e != nil {
		h.Log.Error("page", "route", r.Pattern, "error", e)
		http.Error(w, hippad.Internal.String(), http.StatusInternalServerError)
	}
}

// again shows a form again with what was wrong. A lock is 429, so that a program notices.
func again(p page, err error) (page, int) {
	p.Problem, p.Hint = hippad.Public(err)
	code := status(hippad.KindOf(err))
	if hippad.KindOf(err) == hippad.Busy {
		code = http.StatusTooManyRequests
	}
	return p, code
}

// isAnswer tells whether an error is one to show with the form, rather than a fault of the server.
func isAnswer(err error) bool {
	return slices.Contains([]hippad.Kind{hippad.Invalid, hippad.Unauthorised, hippad.Busy}, hippad.KindOf(err))
}

func functions() template.FuncMap {
	return template.FuncMap{
		"clean":     clean,
		"short":     func(s string) string { return cut(clean(s), 120) },
		"sentence":  sentence,
		"when":      when,
		"code":      codeWords,
		"groups":    groups,
		"thousands": thousands,
	}
}

// when writes a time, in UTC like everything in the log.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// sentence writes the words of an error or a state with a capital.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// groups writes digits or letters in fours.
func groups(s string) string {
	return string(bytes.Join(slices.Collect(slices.Chunk([]byte(s), 4)), []byte(" ")))
}

// thousands writes a number as in 12,345.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// clean makes text of others fit to be shown: what a reader cannot see, or what turns the direction of writing, becomes a
// replacement character. The template escapes the rest.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.Is(unicode.C, r) || r == '\u2028' || r == '\u2029' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// cut shortens text to n characters.
func cut(s string, n int) string {
	seen := 0
	for i := range s {
		if seen == n {
			return s[:i] + "…"
		}
		seen++
	}
	return s
}

// codeWords shows a code: what it is called and what it is.
func codeWords(c hippad.Code) string {
	switch {
	case c.Display != "" && c.Code != "" && c.Display != c.Code:
		return cut(clean(c.Display+" ("+c.Code+")"), 200)
	case c.Display != "":
		return cut(clean(c.Display), 200)
	default:
		return cut(clean(c.Code), 200)
	}
}

func errorAs[T error](err error) (found T, ok bool) {
	ok = errors.As(err, &found)
	return found, ok
}
