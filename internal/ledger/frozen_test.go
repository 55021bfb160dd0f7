package ledger_test

import (
	"archive/zip"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/receipt"
)

var freeze = flag.Bool("freeze", false, "write testdata/format2.zip again: only when there is no release with this format yet")

const (
	frozen1 = "testdata/format1.zip"
	frozen2 = "testdata/format2.zip"
)

// frozenBodies are what is in the frozen store: enough for a full tile, three runs of 100 and a tail, and one larger body.
func frozenBodies() []string {
	var out []string
	for i := range 333 {
		out = append(out, fmt.Sprintf("@%d all w%d\nreport %d", 1000*i, i%7, i))
	}
	return append(out, "all large\n"+string(bytes.Repeat([]byte("0123456789"), 1000)))
}

func frozenOptions() ledger.Options {
	o := options()
	o.RunLength = 100
	return o
}

// TestFrozenStore opens a store that was written when format 1 was new. Its bytes must never be written again.
func TestFrozenStore(t *testing.T) {
	dir := unpackFrozen(t, frozen1)
	readOnly, err := localstore.OpenReadOnly(dir, localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	audit(t, readOnly, frozenOptions())
	if err := readOnly.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := localstore.Open(dir, localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l := open(t, store, frozenOptions())
	want := frozenBodies()
	got := bodies(t, l)
	for i, body := range want {
		if i >= len(got) || got[i] != body {
			t.Fatalf("entry %d is another", i)
		}
	}
	checkReceipts(t, l)
	if got := find(t, l, ledger.Find{Terms: [][]uint64{{term("w3")}, {term("all")}}}); len(got) != 48 || got[0] != 332 {
		t.Errorf("found %d, first %v", len(got), got[:1])
	}
	// Streams go on where they were.
	wantRanges(t, record(t, l, stream(9, 330), want[329:333]...), ranges(329, 4)...)
	_, verifier := testKey()
	ack := record(t, l, stream(9, 334), "all new\n")
	if tree, err := receipt.OpenCheckpoint(ack.Checkpoint, verifier); err != nil || tree.N != int64(len(want)+1) {
		t.Errorf("checkpoint %v, %v", tree, err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	audit(t, store, frozenOptions())
}

// unpackFrozen returns a directory with the store of an archive.
func unpackFrozen(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	z, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A store of format 1 is sealed by a program that has keys.
func TestFrozenStoreIsSealed(t *testing.T) {
	store, err := localstore.Open(unpackFrozen(t, frozen1), localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	v := newVault()
	o := v.options()
	o.RunLength = 100
	l := open(t, store, o)
	if err := l.Reseal(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for i, body := range bodies(t, l) {
		if body != frozenBodies()[i] {
			t.Fatalf("entry %d is another", i)
		}
	}
	for b, err := range store.Blocks(t.Context(), 0, l.Size()) {
		if err != nil || b.Value[0] != 2 || bytes.Contains(b.Value, []byte("report")) {
			t.Fatalf("the block at %d is not sealed, %v", b.First, err)
		}
	}
	checkReceipts(t, l)
	l.Close(t.Context())
	audit(t, store, o)
}

// frozenVault has the keys of the frozen store of format 2: "default" with number 1, "long" with 2, which was destroyed after a
// purge, and 3 for what was kept then.
func frozenVault() *vault {
	v := newVault()
	v.ids = map[string]uint32{"default 0": 1, "long 0": 2, "hold 0": 3}
	return v
}

var frozenReporter = hippad.Principal{Kind: hippad.KindToken, ID: "t-1", Name: "ward 3", Organisation: "St. Elsewhere"}

func frozen2Bodies() []string {
	var out []string
	for i := range 333 {
		class := ""
		if i%40 >= 20 {
			class = "class=long "
		}
		out = append(out, fmt.Sprintf("@%d %sall w%d only%d\nreport %d", 1000*i, class, i%7, i, i))
	}
	return out
}

func frozen2Destroyed(i int) bool { return i%40 >= 20 && i%5 != 0 }

// TestFrozenStore2 opens a store that was written when format 2 was new. Its bytes must never be written again.
func TestFrozenStore2(t *testing.T) {
	v := frozenVault()
	o := v.options()
	o.RunLength = 100
	if *freeze {
		writeFrozen(t, o, v)
	}
	v.destroy(2)
	dir := unpackFrozen(t, frozen2)
	readOnly, err := localstore.OpenReadOnly(dir, localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for i := range 333 {
		if frozen2Destroyed(i) {
			n++
		}
	}
	if a := audit(t, readOnly, o); a.Entries != 333 || a.Destroyed != n || a.NotLookedAt != 0 || a.Gone[0].Key != 2 {
		t.Errorf("audit: %d entries, %d destroyed", a.Entries, a.Destroyed)
	}
	if err := readOnly.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := localstore.Open(dir, localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l := open(t, store, o)
	want := frozen2Bodies()
	for i, e := range all(t, l) {
		if e.Destroyed != frozen2Destroyed(i) || !e.Destroyed && (string(e.Body) != want[i] || e.Reporter != frozenReporter) {
			t.Fatalf("entry %d is another, destroyed %v", i, e.Destroyed)
		}
		checkReceiptOf(t, l, int64(i), []byte(want[i]))
		if found := find(t, l, ledger.Find{Terms: [][]uint64{{term(fmt.Sprintf("only%d", i))}}}); (len(found) == 0) != e.Destroyed {
			t.Errorf("entry %d is found at %v", i, found)
		}
	}
	record(t, l, ledger.Stream{}, "all new\n")
	if got := mustPurge(t, l, ledger.Purge{Keys: []uint32{3}}); got.Destroyed == 0 {
		t.Error("what was kept cannot be purged")
	}
	l.Close(t.Context())
	audit(t, store, o)
}

func writeFrozen(t *testing.T, o ledger.Options, v *vault) {
	dir := t.TempDir()
	store, err := localstore.Open(dir, localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, store, o)
	var all []hippad.Entry
	for _, body := range frozen2Bodies() {
		e := entry(body)
		e.Reporter = frozenReporter
		all = append(all, e)
	}
	for at := 0; at < len(all); {
		n := min(1+at%40, len(all)-at)
		if _, err := tryRecord(t.Context(), l, stream(9, uint64(at+1)), all[at:at+n]); err != nil {
			t.Fatal(err)
		}
		at += n
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l = open(t, store, o)
	mustPurge(t, l, ledger.Purge{Keys: []uint32{v.key("long", 0)}, KeepClass: "hold",
		Keep: func(e hippad.Entry) bool { return !frozen2Destroyed(int(e.Index)) }})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	packStore(t, store, frozen2)
}

// packStore closes a store and writes it into an archive.
func packStore(t *testing.T, store *localstore.Store, archive string) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := store.Snapshot(copied); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(out)
	files, err := os.ReadDir(copied)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		in, err := os.Open(filepath.Join(copied, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		part, err := w.Create(f.Name())
		if err == nil {
			_, err = io.Copy(part, in)
		}
		if err != nil {
			t.Fatal(err)
		}
		in.Close()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
