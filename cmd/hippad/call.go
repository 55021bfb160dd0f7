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
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/front"
)

// Commands that change or ask something about a running server call it by POST /admin/...: JSON in, JSON out. What a command
// sends and what its route reads is one type, in the command's own file. Nothing but the path is in the address, because a
// hold may name a patient.

const (
	maxCall   = 1 << 20   // bytes of a request
	maxTable  = 256 << 20 // of one that brings a table of people: a million rows, and more
	maxAnswer = 1 << 30   // of what the server answers, which may be a list of millions
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
	return answersUpTo(s, maxCall, f)
}

// answersUpTo is answers for requests that bring so many bytes: tables of people.
func answersUpTo[In, Out any](s *server, limit int64, f func(context.Context, hippad.Caller, In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A purge or the rotation of a key may take longer than a request usually has.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		var in In
		out, err := *new(Out), readCall(r, limit, &in)
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

// A step is one line of an answer that takes long: how far it is, and at last what came out, or why nothing did.
type step[Out any] struct {
	Done   int64      `json:"done,omitzero"`
	Total  int64      `json:"total,omitzero"`
	Result *Out       `json:"result,omitzero"`
	Error  *callError `json:"error,omitzero"`
}

// answersInSteps is answersUpTo for what goes through the whole log. f says how far it is, one goroutine at a time. An error before its first step is answered
// as that of any call.
func answersInSteps[In, Out any](s *server, limit int64, f func(ctx context.Context, who hippad.Caller, in In, progress func(done, total int64)) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Time{})
		begun := false
		line := func(x step[Out]) {
			if !begun {
				w.Header().Set("Content-Type", "application/x-ndjson")
				begun = true
			}
			if err := json.MarshalWrite(w, x); err == nil {
				_, _ = io.WriteString(w, "\n")
				_ = control.Flush()
			}
		}
		var in In
		out, err := *new(Out), readCall(r, limit, &in)
		if err == nil {
			out, err = f(r.Context(), front.CallerOf(r), in, func(done, total int64) { line(step[Out]{Done: done, Total: total}) })
		}
		switch {
		case err == nil:
			line(step[Out]{Result: &out})
		case !begun:
			s.refuseCall(w, r, err)
		case r.Context().Err() == nil: // or else nobody listens any more
			s.logCall(r, err)
			line(step[Out]{Error: errorOf(err)})
		}
	})
}

// readCall reads the request of a call. Content-Type is asked for because no form of another site's page can send it.
func readCall(r *http.Request, limit int64, in any) error {
	if r.Header.Get("Content-Type") != "application/json" {
		return hippad.Errorf(hippad.Invalid, "want Content-Type application/json")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return hippad.Errorf(hippad.Invalid, "the request cannot be read")
	}
	if int64(len(body)) > limit {
		return hippad.Errorf(hippad.TooLarge, "the request has more than %d bytes", limit)
	}
	if err := json.Unmarshal(body, in, json.RejectUnknownMembers(true)); err != nil {
		return hippad.Errorf(hippad.Invalid, "the request is not what this address takes")
	}
	return nil
}

// refuseCall answers an error.
func (s *server) refuseCall(w http.ResponseWriter, r *http.Request, err error) {
	s.logCall(r, err)
	refuseAs(w, callStatus[hippad.KindOf(err)], err)
}

// logCall logs the cause of an error that does not leave the process.
func (s *server) logCall(r *http.Request, err error) {
	if hippad.KindOf(err) == hippad.Internal {
		s.log.Error("call", "path", r.URL.Path, "error", err)
	}
}

func errorOf(err error) *callError {
	message, hint := hippad.Public(err)
	return &callError{message, hint, hippad.KindOf(err)}
}

func (e *callError) err(cause error) error {
	return &hippad.Error{Kind: e.Kind, Message: e.Error, Hint: e.Hint, Cause: cause}
}

func refuseAs(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, errorOf(err))
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

// callInSteps is call for an answer that takes long, and shows how far it is.
func callInSteps[Out any](cmd *cobra.Command, c *connection, path string, in any, label string) (out Out, err error) {
	body, err := c.post(cmd.Context(), path, in)
	if err != nil {
		return out, err
	}
	defer body.Close()
	bar := newProgress(cmd.ErrOrStderr(), label)
	defer bar.end()
	for lines := jsontext.NewDecoder(io.LimitReader(body, maxAnswer)); ; {
		var x step[Out]
		switch err := json.UnmarshalDecode(lines, &x); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return out, hippad.Errorf(hippad.Unavailable, "the server's answer has no end").WithHint("try again: it was interrupted")
		case err != nil:
			return out, fmt.Errorf("read the server's answer: %w", err)
		case x.Error != nil:
			return out, x.Error.err(nil)
		case x.Result != nil:
			return *x.Result, nil
		}
		bar.set(x.Done, x.Total)
	}
}

func readJSON(body io.Reader, out any) error {
	limited := &io.LimitedReader{R: body, N: maxAnswer}
	err := json.UnmarshalRead(limited, out)
	if err != nil && limited.N <= 0 {
		return hippad.Errorf(hippad.TooLarge, "the server's answer has more than %d bytes", int64(maxAnswer)).WithHint("ask for less at once")
	}
	if err != nil {
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
	return nil, e.err(errors.New(answer.Status))
}
