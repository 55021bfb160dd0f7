package tlog

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"hippad"
)

func TestParseTile(t *testing.T) {
	for path, want := range map[string]tile{
		"/tile/0/000":                      {width: 256},
		"/tile/0/000.p/1":                  {width: 1},
		"/tile/2/x001/x234/067":            {level: 2, n: 1234067, width: 256},
		"/tile/7/999.p/255":                {level: 7, n: 999, width: 255},
		"/tile/entries/x001/000.p/17":      {entries: true, n: 1000, width: 17},
		"/tile/entries/x123/x456/x789/012": {entries: true, n: 123456789012, width: 256},
	} {
		if got, err := parseTile(path); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", path, got, err)
		}
	}
	for _, path := range []string{"", "/", "/tile", "/tile/", "/tile/0", "/tile/0/", "/tile/0/0", "/tile/0/0000", "/tile/0/x000/001",
		"/tile/00/000", "/tile/8/000", "/tile/-1/000", "/tile/0/000.p/0", "/tile/0/000.p/256", "/tile/0/000.p/01", "/tile/0/000.p/",
		"/tile/0/x001", "/tile/0/001/002", "/tile/data/000", "/tile/entries/+01", "/tile/0/000/", "/checkpoint/",
		"/tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999"} {
		if got, err := parseTile(path); err == nil {
			t.Errorf("%s: accepted as %+v", path, got)
		}
	}
}

func TestServe(t *testing.T) {
	const size = 300
	h := &Handler{
		Log:        slog.New(slog.DiscardHandler),
		Checkpoint: func() []byte { return []byte("log.example\n300\n") },
		Hashes: func(_ context.Context, level int, from, to int64) ([]tlog.Hash, error) {
			if level > 1 || to > size>>(8*level) {
				return nil, hippad.Errorf(hippad.NotFound, "not yet there")
			}
			return make([]tlog.Hash, to-from), nil
		},
		Leaves: func(_ context.Context, from, to int64) ([][]byte, error) {
			if from == 512 {
				return nil, fmt.Errorf("a secret cause")
			}
			out := make([][]byte, to-from)
			for i := range out {
				out[i] = []byte{1, 2, 3}
			}
			return out, nil
		},
	}
	for _, c := range []struct {
		method, path string
		status, size int
	}{
		{"GET", "/checkpoint", 200, 16},
		{"HEAD", "/checkpoint", 200, 16},
		{"GET", "/tile/0/000", 200, 8192},
		{"GET", "/tile/0/001.p/44", 200, 44 * 32},
		{"GET", "/tile/1/000.p/1", 200, 32},
		{"GET", "/tile/0/001", 404, -1},
		{"GET", "/tile/entries/000.p/4", 200, 20},
		{"GET", "/tile/entries/002", 500, len("internal error\n")},
		{"GET", "/elsewhere", 404, -1},
		{"POST", "/checkpoint", 405, -1},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(c.method, c.path, http.NoBody))
		if rec.Code != c.status || c.size >= 0 && rec.Body.Len() != c.size {
			t.Errorf("%s %s: %d with %d bytes", c.method, c.path, rec.Code, rec.Body.Len())
		}
		if cached := rec.Header().Get("Cache-Control"); c.status != 200 && cached != "" {
			t.Errorf("%s %s: error with Cache-Control %q", c.method, c.path, cached)
		}
	}
}
