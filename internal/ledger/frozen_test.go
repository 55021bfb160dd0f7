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

	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/receipt"
)

var freeze = flag.Bool("freeze", false, "write testdata/format1.zip again: only when there is no release with this format yet")

const frozen = "testdata/format1.zip"

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
	if *freeze {
		writeFrozen(t)
	}
	dir := t.TempDir()
	z, err := zip.OpenReader(frozen)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
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

func writeFrozen(t *testing.T) {
	dir := t.TempDir()
	store, err := localstore.Open(dir, localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, store, frozenOptions())
	all := frozenBodies()
	for at := 0; at < 333; {
		n := min(1+at%40, 333-at)
		record(t, l, stream(9, uint64(at+1)), all[at:at+n]...)
		at += n
	}
	record(t, l, ledger.Stream{}, all[333])
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, store, frozenOptions()).Close(t.Context())
	copied := filepath.Join(t.TempDir(), "copy")
	if err := store.Snapshot(copied); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(frozen), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(frozen)
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
