package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/front"
)

// Commands that change or ask something about a running server call it by POST /admin/...: JSON in, JSON out. What a command
// sends and what its route reads is one type, in the command's own file. Nothing but the path is in the address, because a
// hold may name a patient.

const (
	maxCall   = 1 << 20 // bytes of a request
	maxAnswer = 64 << 20
)

// callStatus is the table from kinds to HTTP, for the administration's calls.
var callStatus = map[hippad.Kind]int{
	hippad.Invalid: http.StatusBadRequest, hippad.Unauthorised: http.StatusForbidden, hippad.NotFound: http.StatusNotFound,
	hippad.Conflict: http.StatusConflict, hippad.TooLarge: http.StatusRequestEntityTooLarge, hippad.Busy: http.StatusTooManyRequests,
	hippad.Unavailable: http.StatusServiceUnavailable, hippad.Internal: http.StatusInternalServerError,
}

// A callError is how an error travels.
type callError struct {
	Error string      `json:"error"`
	Hint  string      `json:"hint,omitzero"`
	Kind  hippad.Kind `json:"kind"`
}

// answers makes a route's handler of a function: what it returns is the answer.
func answers[In, Out any](s *server, f func(context.Context, hippad.Caller, In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A purge or the rotation of a key may take longer than a request usually has.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		var in In
		out, err := *new(Out), readCall(r, &in)
		if err == nil {
			out, err = f(r.Context(), front.CallerOf(r), in)
		}
		if err != nil {
			s.refuseCall(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.MarshalWrite(w, out); err != nil {
			s.log.Debug("answer", "error", err)
		}
	})
}

// readCall reads the request of a call. Content-Type is asked for because no form of another site's page can send it.
func readCall(r *http.Request, in any) error {
	if r.Header.Get("Content-Type") != "application/json" {
		return hippad.Errorf(hippad.Invalid, "want Content-Type application/json")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxCall+1))
	if err != nil {
		return hippad.Errorf(hippad.Invalid, "the request cannot be read")
	}
	if len(body) > maxCall {
		return hippad.Errorf(hippad.TooLarge, "the request has more than %d bytes", maxCall)
	}
	if err := json.Unmarshal(body, in, json.RejectUnknownMembers(true)); err != nil {
		return hippad.Errorf(hippad.Invalid, "the request is not what this address takes")
	}
	return nil
}

// refuseCall answers an error.
func (s *server) refuseCall(w http.ResponseWriter, r *http.Request, err error) {
	kind := hippad.KindOf(err)
	if kind == hippad.Internal {
		s.log.Error("call", "path", r.URL.Path, "error", err)
	}
	refuseAs(w, callStatus[kind], err)
}

func refuseAs(w http.ResponseWriter, status int, err error) {
	message, hint := hippad.Public(err)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, callError{message, hint, hippad.KindOf(err)})
}

// call asks the server that c names, as the operator or whoever c says.
func call[Out any](ctx context.Context, c *connection, path string, in any) (out Out, err error) {
	body, err := c.post(ctx, path, in)
	if err != nil {
		return out, err
	}
	defer body.Close()
	return out, readJSON(body, &out)
}

func readJSON(body io.Reader, out any) error {
	if err := json.UnmarshalRead(io.LimitReader(body, maxAnswer), out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// post sends a call and returns the body of its answer, which may be long.
func (c *connection) post(ctx context.Context, path string, in any) (io.ReadCloser, error) {
	config, err := c.operatorTLS()
	if err != nil {
		return nil, err
	}
	address, err := c.address()
	if err != nil {
		return nil, err
	}
	return postTo(ctx, address, config, c.token, path, in)
}

func postTo(ctx context.Context, address string, config *tls.Config, token, path string, in any) (io.ReadCloser, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+path, bytes.NewReader(body))
	if err != nil {
		return nil, usageError{fmt.Errorf("--server %q: want HOST:PORT", address)}
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: config, TLSHandshakeTimeout: dialTime, DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, unanswered(address, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var e callError
	if err := json.UnmarshalRead(io.LimitReader(answer.Body, maxCall), &e); err != nil || e.Error == "" {
		return nil, hippad.Errorf(hippad.Unavailable, "the server at %s answered %s", address, answer.Status)
	}
	return nil, &hippad.Error{Kind: e.Kind, Message: e.Error, Hint: e.Hint, Cause: errors.New(answer.Status)}
}
