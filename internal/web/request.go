package web

import (
	"net/http"

	"hippad"
)

// requestRow is a request as one caller sees it.
type requestRow struct {
	Request
	Open bool // can be decided by this caller
	Own  bool // waits for somebody else: whoever asks cannot confirm
}

func (h *Handler) requests(w http.ResponseWriter, r *http.Request) error {
	return h.requestsPage(w, r, "")
}

func (h *Handler) requestsPage(w http.ResponseWriter, r *http.Request, said string) error {
	c := h.Caller(r)
	list, err := h.Requests(r.Context(), c)
	if err != nil {
		return err
	}
	rows := make([]requestRow, len(list))
	for i, q := range list {
		own := q.By == c.Principal.String()
		rows[i] = requestRow{q, q.State == StateWaiting && !own, q.State == StateWaiting && own}
	}
	return h.show(w, r, http.StatusOK, "requests", page{Title: "Requests", Said: said}, rows)
}

// decide confirms or refuses one request. Who may is for Confirm and Refuse to say: the buttons are only a help.
func (h *Handler) decide(w http.ResponseWriter, r *http.Request) error {
	id, ok := index(r.PostForm.Get("id"))
	do, said := h.Confirm, "The request is confirmed."
	switch r.PostForm.Get("decision") {
	case "confirm":
	case "refuse":
		do, said = h.Refuse, "The request is refused."
	default:
		ok = false
	}
	if !ok {
		return hippad.Errorf(hippad.Invalid, "the form names no request and decision")
	}
	if err := do(r.Context(), h.Caller(r), id); err != nil {
		return err
	}
	return h.requestsPage(w, r, said)
}
