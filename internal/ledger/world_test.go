package ledger_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"hippad"
	"hippad/internal/ledger"
	"hippad/receipt"
)

// The key of the logs in these tests, and of the frozen store in testdata. It protects nothing.
const (
	testSigner   = "PRIVATE+KEY+log.example.org+c9f1081a+AfG4v1tDfoZaAKZSK3jYaTYd5x+jtj7b2+WHmdMBH2ZX"
	testVerifier = "log.example.org+c9f1081a+AVFQpGacxidXCFRdGIHEHZ4y/spOUGRizahptVdSkRdS"
)

func testKey() (note.Signer, note.Verifier) {
	signer, err := note.NewSigner(testSigner)
	if err != nil {
		panic(err)
	}
	verifier, err := note.NewVerifier(testVerifier)
	if err != nil {
		panic(err)
	}
	return signer, verifier
}

func salt(index int64) [32]byte {
	m := hmac.New(sha256.New, []byte("a secret"))
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(index))
	m.Write(b[:])
	return [32]byte(m.Sum(nil))
}

func term(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// indexed reads a test body: the first line is an event time in microseconds, or empty, and then words, which are the terms.
func indexed(e hippad.Entry) ledger.Indexed {
	if e.Index != 0 || !e.Received.IsZero() {
		panic("Index was given what only the sequencer knows")
	}
	line, _, _ := bytes.Cut(e.Body, []byte("\n"))
	words := strings.Fields(string(line))
	var x ledger.Indexed
	for _, w := range words {
		var micros int64
		if _, err := fmt.Sscanf(w, "@%d", &micros); err == nil {
			x.When = time.UnixMicro(micros).UTC()
			continue
		}
		if class, ok := strings.CutPrefix(w, "class="); ok {
			x.Class = class
			continue
		}
		x.Terms = append(x.Terms, term(w))
	}
	return x
}

func options() ledger.Options {
	signer, verifier := testKey()
	return ledger.Options{Signer: signer, Verifier: verifier, Salt: salt, Index: indexed, TermsVersion: 1}
}

// small are options with short runs, so that a test sees many of them.
func small() ledger.Options {
	o := options()
	o.RunLength = 32
	return o
}

var reporter = hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:" + strings.Repeat("ab", 32), Name: "pacs"}

func entry(body string) hippad.Entry {
	return hippad.Entry{Door: hippad.DoorNative, Reporter: reporter, Report: hippad.Report{Media: hippad.MediaXML, Body: []byte(body)}}
}

func entries(bodies ...string) []hippad.Entry {
	var out []hippad.Entry
	for _, b := range bodies {
		out = append(out, entry(b))
	}
	return out
}

func open(t testing.TB, store ledger.Store, o ledger.Options) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// record appends and waits.
func record(t testing.TB, l *ledger.Ledger, at ledger.Stream, bodies ...string) hippad.Ack {
	t.Helper()
	ack, err := tryRecord(t.Context(), l, at, entries(bodies...))
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

func tryRecord(ctx context.Context, l *ledger.Ledger, at ledger.Stream, e []hippad.Entry) (hippad.Ack, error) {
	wait, err := l.Append(ctx, at, e)
	if err != nil {
		return hippad.Ack{}, err
	}
	return wait(ctx)
}

// bodies reads the whole log.
func bodies(t testing.TB, l *ledger.Ledger) []string {
	t.Helper()
	out := []string{}
	for e, err := range l.Entries(t.Context(), 0, l.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Index != int64(len(out)) {
			t.Fatalf("entry %d at place %d", e.Index, len(out))
		}
		out = append(out, string(e.Body))
	}
	return out
}

func audit(t testing.TB, store ledger.Store, o ledger.Options) ledger.Audited {
	t.Helper()
	got, err := ledger.Audit(context.Background(), store, o, nil)
	if err != nil {
		t.Fatalf("audit: %v", err)
	}
	return got
}

// checkReceipts verifies the receipt of every entry.
func checkReceipts(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	for i, body := range bodies(t, l) {
		r, err := l.Receipt(t.Context(), int64(i))
		if err != nil {
			t.Fatal(err)
		}
		verifyReceipt(t, r, int64(i), []byte(body))
	}
}

func verifyReceipt(t testing.TB, r hippad.Receipt, index int64, body []byte) {
	t.Helper()
	_, verifier := testKey()
	if p, err := receipt.Verify(r, body, verifier); err != nil || p.Index != index {
		t.Fatalf("receipt of %d: %v", index, err)
	}
}

func find(t testing.TB, l *ledger.Ledger, f ledger.Find) []int64 {
	t.Helper()
	out := []int64{}
	for i, err := range l.Find(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, i)
	}
	return out
}
