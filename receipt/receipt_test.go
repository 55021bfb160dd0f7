package receipt_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/receipt"
)

var update = flag.Bool("update", false, "write vectors/receipt anew")

// The test key is made from a fixed seed so that the vectors stay the same.
const (
	testOrigin   = "vectors.hippad.example"
	vectorFolder = "../vectors/receipt"
)

func testKeys(t testing.TB) (note.Signer, note.Verifier) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seed()), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

func seed() []byte {
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func body(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("report %d\n", i), i+1)) }

func salt(i int) [32]byte { return sha256.Sum256([]byte{byte(i)}) }

// testLog builds a log of n entries and returns a receipt for each.
func testLog(t testing.TB, n int) ([]hippad.Receipt, note.Verifier) {
	t.Helper()
	signer, verifier := testKeys(t)
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = hashes[x]
		}
		return out, nil
	})
	leaves := make([]receipt.Leaf, n)
	for i := range n {
		e := hippad.Entry{
			Index: int64(i), Received: time.Date(2026, 11, 22, 8, 0, i, 1000, time.UTC), Door: hippad.Door(i % 5),
			Reporter: hippad.Principal{Kind: hippad.KindAddress, ID: "192.0.2.7"},
			Report:   hippad.Report{Media: hippad.MediaXML, Fault: hippad.Fault(i % 4), Body: body(i)},
		}
		leaves[i] = receipt.NewLeaf(e, salt(i), sha256.Sum256(e.Body))
		h, err := tlog.StoredHashes(int64(i), leaves[i].Append(nil), read)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h...)
	}
	root, err := tlog.TreeHash(int64(n), read)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := receipt.NewCheckpoint(tlog.Tree{N: int64(n), Hash: root}, signer)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]hippad.Receipt, n)
	for i := range n {
		path, err := tlog.ProveRecord(int64(n), int64(i), read)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = receipt.Proof{Index: int64(i), Salt: salt(i), Leaf: leaves[i], Path: path, Checkpoint: checkpoint}.Marshal()
	}
	return out, verifier
}

func TestEveryReceiptOfTreesUpTo20Verifies(t *testing.T) {
	for n := 1; n <= 20; n++ {
		receipts, v := testLog(t, n)
		for i, r := range receipts {
			p, err := receipt.Verify(r, body(i), v)
			if err != nil {
				t.Fatalf("size %d, entry %d: %v", n, i, err)
			}
			if p.Index != int64(i) || p.Leaf.Media != hippad.MediaXML {
				t.Errorf("size %d, entry %d: got index %d, media %q", n, i, p.Index, p.Leaf.Media)
			}
			if got := p.Marshal(); !bytes.Equal(got, r) {
				t.Errorf("size %d, entry %d: text changes when written again", n, i)
			}
		}
	}
}

// Changing any one byte of a receipt, or of the body, must be noticed.
func TestEveryChangedByteIsNoticed(t *testing.T) {
	receipts, v := testLog(t, 7)
	r, b := receipts[5], body(5)
	for i := range r {
		for _, x := range []byte{1, 0x20, 0x80} {
			c := bytes.Clone(r)
			c[i] ^= x
			if _, err := receipt.Verify(c, b, v); err == nil {
				t.Fatalf("byte %d (%q) changed by %#x: still verifies", i, r[i], x)
			}
		}
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		var m *receipt.Mismatch
		if _, err := receipt.Verify(r, c, v); !errors.As(err, &m) || m.Step != "body" {
			t.Fatalf("body byte %d changed: %v", i, err)
		}
	}
	if _, err := receipt.Verify(receipts[4], b, v); err == nil {
		t.Fatal("receipt of another entry verifies")
	}
}

// Of an entry whose body is gone the place in the log can still be checked, and nothing but the salt can be changed.
func TestVerifyLeaf(t *testing.T) {
	receipts, v := testLog(t, 7)
	if p, err := receipt.VerifyLeaf(receipts[5], v); err != nil || p.Index != 5 {
		t.Fatalf("entry %d, %v", p.Index, err)
	}
	p, err := receipt.Parse(receipts[5])
	if err != nil {
		t.Fatal(err)
	}
	p.Leaf.Length++
	var m *receipt.Mismatch
	if _, err := receipt.VerifyLeaf(p.Marshal(), v); !errors.As(err, &m) || m.Step != "path" {
		t.Errorf("a leaf of another length: %v", err)
	}
	if _, err := receipt.VerifyLeaf([]byte("no receipt"), v); err == nil {
		t.Error("what is no receipt holds")
	}
}

// A signature has spare bits in its last letter, which Ed25519 does not see: with them set it is not the signature that the log has written.
func TestSpareBitsOfSignature(t *testing.T) {
	receipts, v := testLog(t, 1)
	at := len(bytes.TrimRight(receipts[0], "=\n")) - 1
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	text := bytes.Clone(receipts[0])
	text[at] = letters[bytes.IndexByte([]byte(letters), text[at])+1]
	if _, err := receipt.Verify(text, body(0), v); err == nil {
		t.Errorf("%q instead of %q: still verifies", text[at], receipts[0][at])
	}
}

func TestReceiptOfAnotherLog(t *testing.T) {
	receipts, _ := testLog(t, 3)
	_, vkey, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	other, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	var m *receipt.Mismatch
	if _, err := receipt.Verify(receipts[0], body(0), other); !errors.As(err, &m) || m.Step != "checkpoint" {
		t.Fatalf("got %v, want a checkpoint mismatch", err)
	}
}

func TestCheckpointText(t *testing.T) {
	signer, v := testKeys(t)
	good, err := receipt.NewCheckpoint(tlog.Tree{N: 12}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if tree, err := receipt.OpenCheckpoint(good, v); err != nil || tree.N != 12 {
		t.Fatalf("got %v, %v", tree, err)
	}
	for name, text := range map[string]string{
		"other origin":  "elsewhere.example\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"leading zero":  testOrigin + "\n012\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"negative size": testOrigin + "\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"short root":    testOrigin + "\n12\nAAAA\n",
		"no root":       testOrigin + "\n12\n",
	} {
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.OpenCheckpoint(signed, v); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestVectors checks vectors/receipt, which are there for other implementers too, through every entry point.
func TestVectors(t *testing.T) {
	_, v := testKeys(t)
	if *update {
		writeVectors(t, v)
	}
	files, err := filepath.Glob(filepath.Join(vectorFolder, "*.tlog-proof"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d vectors in %s: %v", len(files), vectorFolder, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(f), ".tlog-proof")
		b, err := os.ReadFile(strings.TrimSuffix(f, ".tlog-proof") + ".body")
		if err != nil {
			t.Fatal(err)
		}
		_, err = receipt.Verify(text, b, v)
		if good := strings.HasPrefix(name, "good-"); good != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if p, err := receipt.Parse(text); err == nil && !bytes.Equal(p.Marshal(), text) {
			t.Errorf("%s: parses but is written differently", name)
		}
	}
}

func writeVectors(t *testing.T, v note.Verifier) {
	_, vkey, _ := note.GenerateKey(bytes.NewReader(seed()), testOrigin)
	put := func(name string, text, b []byte) {
		for f, c := range map[string][]byte{name + ".tlog-proof": text, name + ".body": b} {
			if err := os.WriteFile(filepath.Join(vectorFolder, f), c, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(vectorFolder, "log.vkey"), []byte(vkey+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	one, _ := testLog(t, 1)
	put("good-only-entry", one[0], body(0))
	receipts, _ := testLog(t, 11)
	for _, i := range []int{0, 7, 10} {
		put(fmt.Sprintf("good-%d-of-11", i), receipts[i], body(i))
	}
	r, b := string(receipts[7]), body(7)
	put("bad-body", receipts[7], append(bytes.Clone(b), '!'))
	put("bad-other-entry", receipts[6], b)
	put("bad-index", []byte(strings.Replace(r, "index 7", "index 6", 1)), b)
	put("bad-index-leading-zero", []byte(strings.Replace(r, "index 7", "index 07", 1)), b)
	put("bad-size", []byte(strings.Replace(r, "\n11\n", "\n12\n", 1)), b)
	put("bad-header", []byte(strings.Replace(r, "@v1", "@v2", 1)), b)
	put("bad-no-extra", []byte(strings.Join(append(strings.SplitN(r, "\n", 3)[:1], strings.SplitN(r, "\n", 3)[2]), "\n")), b)
	put("bad-crlf", []byte(strings.ReplaceAll(r, "\n", "\r\n")), b)
	put("bad-truncated", []byte(r[:len(r)-20]), b)
}

// FuzzMalleability: whatever parses must be written again to the same bytes.
func FuzzMalleability(f *testing.F) {
	receipts, v := testLog(f, 9)
	for _, r := range receipts {
		f.Add([]byte(r))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := receipt.Parse(text)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Marshal(), text) {
			t.Fatalf("parses, but is written as %q", p.Marshal())
		}
		_, _ = receipt.Verify(text, body(1), v)
	})
}

// FuzzLeafMalleability: the same for leaves.
func FuzzLeafMalleability(f *testing.F) {
	f.Add(receipt.Leaf{Media: hippad.MediaSyslog, Length: 12}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := receipt.ParseLeaf(b)
		if err == nil && !bytes.Equal(l.Append(nil), b) {
			t.Fatalf("leaf parses, but is written as %x", l.Append(nil))
		}
	})
}
