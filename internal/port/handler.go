package port

import (
	"bytes"
	_ "embed"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
)

//go:embed page.html
var pageHTML string

// A Handler answers GET /port/{port}, as HTML or JSON. The registry is for everybody; who listens on a machine, and what comes to it, is
// not: that part needs MayLook.
type Handler struct {
	// Desk makes the pages.
	Desk *Desk
	// MayLook tells whether who asks may see the machine.
	MayLook func(*http.Request) bool
	Log     *slog.Logger
}

// An Answer is what the handler answers as JSON.
type Answer struct {
	Page
	// Withheld says what was left out for want of a permission.
	Withheld string `json:"withheld,omitzero"`
}

// Withheld is what a stranger is told instead of the listeners.
const Withheld = "who listens on this machine is shown to those who may observe it"

// ServeHTTP implements http.Handler. It is routed to by a pattern with {port}.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cache-Control", "no-store")
	head.Set("Vary", "Accept, Cookie, Authorization")
	ranges, err := Parse(r.PathValue("port"), h.Desk.Registry)
	if err == nil && ranges[0].First != ranges[0].Last {
		err = hippad.Errorf(hippad.Invalid, "a page is of one port").WithHint("as in /port/2988")
	}
	answer := Answer{}
	if err == nil {
		answer, err = h.answer(r, ranges[0].First)
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	if wantsJSON(r) {
		h.writeJSON(w, http.StatusOK, answer)
		return
	}
	h.writeHTML(w, http.StatusOK, answer)
}

func (h *Handler) answer(r *http.Request, n uint16) (a Answer, err error) {
	desk := *h.Desk
	if h.MayLook == nil || !h.MayLook(r) {
		desk.Look, desk.Host, desk.Services, desk.Traffic = nil, nil, nil, nil
		a.Withheld = Withheld
	}
	a.Page, err = desk.Page(n)
	return a, err
}

// wantsJSON: ?format=json, or an Accept that asks for JSON and not for HTML.
func wantsJSON(r *http.Request) bool {
	if f := r.URL.Query().Get("format"); f != "" {
		return f == "json"
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "json") && !strings.Contains(accept, "text/html")
}

var statuses = map[hippad.Kind]int{hippad.Invalid: http.StatusBadRequest, hippad.NotFound: http.StatusNotFound}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, ok := statuses[hippad.KindOf(err)]
	if !ok {
		status = http.StatusInternalServerError
		h.Log.Error("port page", "error", err)
	}
	message, hint := hippad.Public(err)
	problem := struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitzero"`
	}{message, hint}
	if wantsJSON(r) {
		h.writeJSON(w, status, problem)
		return
	}
	h.writeHTML(w, status, problem)
}

func (h *Handler) writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		h.Log.Error("port page", "error", err)
		status, text = http.StatusInternalServerError, []byte(`{"error":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

func (h *Handler) writeHTML(w http.ResponseWriter, status int, v any) {
	var out bytes.Buffer
	page, err := template.New("page").Funcs(template.FuncMap{
		"reaches": Listener.Reaches, "many": func(n int) bool { return n > 1 },
		"when": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).Parse(pageHTML)
	name := "page"
	if _, ok := v.(Answer); !ok {
		name = "problem"
	}
	if err == nil {
		err = page.ExecuteTemplate(&out, name, v)
	}
	if err != nil {
		h.Log.Error("port page", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}
