package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"

	"hippad"
	"hippad/internal/identity"
	"hippad/receipt"
)

// tileReport returns the n-th report of the tests of the tiles.
func tileReport(n int) hippad.Report {
	return hippad.Report{Media: hippad.MediaXML, Body: []byte(patientRecord(fmt.Sprintf("T-%d", n), "anna", "Ærlig Gåsvær"))}
}

// fill records reports in frames of the given size, and returns when all are durable.
func fill(t testing.TB, s hippad.Session, from, to, frame int) {
	t.Helper()
	var waits []hippad.Wait
	for n := from; n < to; n += frame {
		var f hippad.Frame
		for i := n; i < min(n+frame, to); i++ {
			f.Reports = append(f.Reports, tileReport(i))
		}
		wait, err := s.Record(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, wait)
	}
	for _, wait := range waits {
		if _, err := wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// leafHashes is a fsck.New bundle hasher: RFC 6962 hashes of the leaves of an entry bundle.
func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, leaf := range b.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(leaf))
	}
	return hashes, nil
}

// A watcher is a stranger's view of the log: Tessera's client, which knows the address and the public key and nothing else.
type watcher struct {
	*client.HTTPFetcher
	verifier note.Verifier
}

func newWatcher(t testing.TB, p *process) watcher {
	t.Helper()
	config, err := identity.ReporterTLS(p.CA, "")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	root := &url.URL{Scheme: "https", Host: p.Address, Path: "/log/"}
	fetcher, err := client.NewHTTPFetcher(root, &http.Client{Transport: transport, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return watcher{fetcher, logVerifier(t, p)}
}

// checkpoint fetches the newest checkpoint; what Tessera makes of it is checked by the caller's use.
func (w watcher) checkpoint(t testing.TB) (size uint64, root, text []byte) {
	t.Helper()
	c, text, _, err := client.FetchCheckpoint(t.Context(), w.ReadCheckpoint, w.verifier, w.verifier.Name())
	if err != nil {
		t.Fatal(err)
	}
	return c.Size, c.Hash, text
}

// An asOf shows the log under an older checkpoint, with one resource replaced if spoil is set.
type asOf struct {
	watcher
	text  []byte
	spoil func(path string, b []byte) []byte
}

func (a asOf) ReadCheckpoint(context.Context) ([]byte, error) { return a.text, nil }

func (a asOf) ReadTile(ctx context.Context, level, index uint64, p uint8) ([]byte, error) {
	b, err := a.watcher.ReadTile(ctx, level, index, p)
	if err == nil && a.spoil != nil {
		b = a.spoil(fmt.Sprintf("tile/%d/%d", level, index), b)
	}
	return b, err
}

func (a asOf) ReadEntryBundle(ctx context.Context, index uint64, p uint8) ([]byte, error) {
	b, err := a.watcher.ReadEntryBundle(ctx, index, p)
	if err == nil && a.spoil != nil {
		b = a.spoil(fmt.Sprintf("entries/%d", index), b)
	}
	return b, err
}

func (a asOf) check(ctx context.Context) error {
	return fsck.New(a.verifier.Name(), a.verifier, a, leafHashes, fsck.Opts{N: 4}).Check(ctx)
}

// An implementation of transparency logs that is not ours reads and checks the log over HTTPS.
func TestTilesAgainstTessera(t *testing.T) {
	p := startServer(t, "")
	reporter := operator(t, p)
	w := newWatcher(t, p)

	fill(t, reporter, 0, 1, 1)
	_, _, tiny := w.checkpoint(t)
	fill(t, reporter, 1, 300, 7)
	small, smallRoot, smallText := w.checkpoint(t)
	fill(t, reporter, 300, 1010, 37)
	large, largeRoot, largeText := w.checkpoint(t)
	if small < 300 || large < 1010 || large == small {
		t.Fatalf("checkpoints of %d and %d entries", small, large)
	}

	// The whole log, as of each checkpoint: the partial tiles of the older ones are still to be had.
	for _, text := range [][]byte{tiny, smallText, largeText} {
		if err := (asOf{watcher: w, text: text}).check(t.Context()); err != nil {
			t.Errorf("fsck: %v", err)
		}
	}
	// And it is a check that notices: one bit in any one resource is enough.
	for _, name := range []string{"entries/0", "entries/3", "tile/0/0", "tile/0/3", "tile/1/0"} {
		spoiled := 0
		a := asOf{watcher: w, text: largeText, spoil: func(path string, b []byte) []byte {
			if path != name {
				return b
			}
			spoiled++
			b = bytes.Clone(b)
			b[len(b)-1] ^= 1
			return b
		}}
		if err := a.check(t.Context()); err == nil || spoiled == 0 {
			t.Errorf("a changed bit in %s is not noticed (fetched %d times)", name, spoiled)
		}
	}

	checkConsistency(t, w, small, large, smallRoot, largeRoot, smallText)
	checkInclusion(t, p, w, reporter, int64(large))
	checkLogHeaders(t, p, w)
	if code := p.Stop(t); code != 0 {
		t.Errorf("the server's exit code is %d", code)
	}
	audit(t, p.Data)
}

// checkConsistency proves that the larger tree continues the smaller one, from the tiles and by the tracker that monitors use.
func checkConsistency(t *testing.T, w watcher, small, large uint64, smallRoot, largeRoot, smallText []byte) {
	t.Helper()
	builder, err := client.NewProofBuilder(t.Context(), large, w.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	path, err := builder.ConsistencyProof(t.Context(), small, large)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, small, large, path, smallRoot, largeRoot); err != nil {
		t.Errorf("from %d to %d: %v", small, large, err)
	}
	if proof.VerifyConsistency(rfc6962.DefaultHasher, small, large, path, largeRoot, smallRoot) == nil {
		t.Error("the proof holds the wrong way round")
	}
	tracker, err := client.NewLogStateTracker(t.Context(), w.ReadTile, smallText, w.verifier, w.verifier.Name(), client.UnilateralConsensus(w.ReadCheckpoint))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := tracker.Update(t.Context()); err != nil || tracker.Latest().Size < large {
		t.Errorf("tracker: size %d, %v", tracker.Latest().Size, err)
	}
}

// checkInclusion compares our receipts with the proofs that Tessera builds from the tiles, and the leaf in the receipt with that
// in the entry bundle.
func checkInclusion(t *testing.T, p *process, w watcher, s hippad.Session, size int64) {
	t.Helper()
	checked := 0
	for _, index := range []int64{0, 1, 2, 3, 127, 128, 254, 255, 256, 257, 299, 300, 511, 512, 700, 767, 768, 1000, size - 2, size - 1} {
		text, err := s.Receipt(bounded(t), index)
		if err != nil {
			t.Fatalf("receipt of entry %d: %v", index, err)
		}
		ours, err := receipt.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := receipt.OpenCheckpoint(ours.Checkpoint, w.verifier)
		if err != nil {
			t.Fatal(err)
		}
		builder, err := client.NewProofBuilder(t.Context(), uint64(tree.N), w.ReadTile)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := builder.InclusionProof(t.Context(), uint64(index))
		if err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}
		var path [][]byte
		for _, h := range ours.Path {
			path = append(path, h[:])
		}
		if !slices.EqualFunc(path, theirs, bytes.Equal) {
			t.Errorf("entry %d of %d: our path has %d hashes, Tessera's %d, and they differ", index, tree.N, len(path), len(theirs))
		}
		bundle, err := client.GetEntryBundle(t.Context(), w.ReadEntryBundle, uint64(index/256), uint64(tree.N))
		if err != nil {
			t.Fatal(err)
		}
		leaf := bundle.Entries[index%256]
		if !bytes.Equal(leaf, ours.Leaf.Append(nil)) {
			t.Errorf("entry %d: the leaf in the receipt is not the one in the bundle", index)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(tree.N), rfc6962.DefaultHasher.HashLeaf(leaf), theirs, tree.Hash[:]); err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
		checked++
	}
	for e, err := range s.Search(bounded(t), hippad.Query{Indexes: []int64{0, 256, 1009}, Ascending: true}) {
		if err != nil {
			t.Fatal(err)
		}
		text, err := s.Receipt(bounded(t), e.Index)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.Verify(text, e.Body, w.verifier); err != nil {
			t.Errorf("entry %d: %v", e.Index, err)
		}
		checked++
	}
	t.Logf("%d receipts compared", checked)
}

// checkLogHeaders checks what C2SP tlog-tiles asks of an HTTP server, and that what is public holds nothing of a body.
func checkLogHeaders(t *testing.T, p *process, w watcher) {
	t.Helper()
	for _, c := range []struct {
		path   string
		level  uint64
		bundle bool
	}{{"full tile", 0, false}, {"upper tile", 1, false}, {"bundle", 0, true}} {
		var b []byte
		var err error
		if c.bundle {
			b, err = w.ReadEntryBundle(t.Context(), 0, 0)
		} else {
			b, err = w.ReadTile(t.Context(), c.level, 0, map[uint64]uint8{1: 3}[c.level])
		}
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
		}
		if strings.Contains(string(b), "T-1^") || strings.Contains(string(b), "anna") {
			t.Errorf("%s holds something of a body", c.path)
		}
	}
	if _, err := w.ReadTile(t.Context(), 0, 1000, 0); err == nil || !strings.Contains(err.Error(), "file does not exist") {
		t.Errorf("a tile that is not there: %v, want not found", err)
	}
}
