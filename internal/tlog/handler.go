// Package tlog is the door through which strangers watch the log: checkpoint, hash tiles and entry bundles over HTTP as
// C2SP tlog-tiles lays them out, so that any standard client, monitor or mirror works.
//
// Everything here is public: a leaf holds no patient data (see package receipt). It serves what the log has committed and
// computes nothing. The invariant: what is served under an immutable path never changes.
package tlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"hippad"
)

// tileWidth is the number of hashes in a full tile, and of entries in a full bundle.
const tileWidth = 256

// maxLevel is the highest tile level that a tree of 2^63 leaves can have.
const maxLevel = 7

// A Handler serves one log, mounted at its prefix: <prefix>/checkpoint, <prefix>/tile/<L>/<N>[.p/<W>] and
// <prefix>/tile/entries/<N>[.p/<W>].
type Handler struct {
	Checkpoint func() []byte
	// Hashes returns the hashes [from, to) of tile level level: the roots of complete subtrees of 256^level leaves.
	Hashes func(ctx context.Context, level int, from, to int64) ([]tlog.Hash, error)
	// Leaves returns the bytes of the leaves [from, to).
	Leaves func(ctx context.Context, from, to int64) ([][]byte, error)
	Log    *slog.Logger
}

// ServeHTTP implements http.Handler for paths relative to the prefix, as http.StripPrefix leaves them.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the log can only be read", http.StatusMethodNotAllowed)
		return
	}
	var body []byte
	var err error
	if r.URL.Path == "/checkpoint" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		body = h.Checkpoint()
	} else {
		var t tile
		if t, err = parseTile(r.URL.Path); err == nil {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Cache-Control", "public, max-age=604800, immutable")
			body, err = h.tile(r.Context(), t)
		}
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	switch hippad.KindOf(err) {
	case hippad.NotFound:
		status = http.StatusNotFound
	case hippad.Unavailable, hippad.Busy:
		status = http.StatusServiceUnavailable
	default:
		h.Log.Error("serve tile", "path", r.URL.Path, "error", err)
	}
	w.Header().Del("Cache-Control")
	message, _ := hippad.Public(err)
	http.Error(w, message, status)
}

func (h *Handler) tile(ctx context.Context, t tile) ([]byte, error) {
	from := t.n * tileWidth
	var b bytes.Buffer
	if t.entries {
		leaves, err := h.Leaves(ctx, from, from+t.width)
		if err != nil {
			return nil, fmt.Errorf("entry bundle %d: %w", t.n, err)
		}
		for _, l := range leaves {
			b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(l))))
			b.Write(l)
		}
		return b.Bytes(), nil
	}
	hashes, err := h.Hashes(ctx, t.level, from, from+t.width)
	if err != nil {
		return nil, fmt.Errorf("tile %d of level %d: %w", t.n, t.level, err)
	}
	for _, x := range hashes {
		b.Write(x[:])
	}
	return b.Bytes(), nil
}

// A tile is what a path names.
type tile struct {
	entries bool  // an entry bundle, else hashes
	level   int   // of hashes
	n       int64 // place in its level
	width   int64 // how many of its 256 are asked for
}

// parseTile reads the path of a tile. Only the one canonical spelling of each tile is found.
func parseTile(path string) (tile, error) {
	bad := hippad.Errorf(hippad.NotFound, "no such tile")
	rest, ok := strings.CutPrefix(path, "/tile/")
	if !ok {
		return tile{}, hippad.Errorf(hippad.NotFound, "not part of a log: want checkpoint or tile/...")
	}
	level, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return tile{}, bad
	}
	t := tile{width: tileWidth}
	if level == "entries" {
		t.entries = true
	} else if l, ok := decimal(level, maxLevel); ok {
		t.level = int(l)
	} else {
		return tile{}, bad
	}
	if full, w, partial := strings.Cut(rest, ".p/"); partial {
		if t.width, ok = decimal(w, tileWidth-1); !ok || t.width == 0 {
			return tile{}, bad
		}
		rest = full
	}
	groups := strings.Split(rest, "/")
	for i, g := range groups {
		if i < len(groups)-1 {
			if g, ok = strings.CutPrefix(g, "x"); !ok {
				return tile{}, bad
			}
		}
		if len(g) != 3 || strings.Trim(g, "0123456789") != "" || t.n > 1<<50 || i == 0 && len(groups) > 1 && g == "000" {
			return tile{}, bad
		}
		d, _ := strconv.ParseInt(g, 10, 64)
		t.n = t.n*1000 + d
	}
	return t, nil
}

// decimal reads a number without sign or leading zeros, up to most.
func decimal(s string, most int64) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n <= most && strconv.FormatInt(n, 10) == s
}
