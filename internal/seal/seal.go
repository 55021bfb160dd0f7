// Package seal owns the secrets that the log keeps: the key that signs checkpoints and the key that blinds, from which
// the salts of the leaves and the keyed hashes of the search terms are drawn.
//
// It does not know certificates (internal/identity) and stores nothing but its own files. The invariant: without the key
// directory, neither a leaf nor an index entry can be tested against a guess. What the loss of a file means: without
// log.key the log cannot go on (its past still verifies); without blind.key no new receipt can be made for an old entry,
// and audit can no longer compare bodies with leaves.
package seal

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"hippad"
	"hippad/internal/durable"
)

// File names in the key directory, and the public key's beside it.
const (
	logKeyFile   = "log.key"
	blindKeyFile = "blind.key"
	blindHeader  = "hippad-blind-key-1 "
)

// Keys are the opened secrets. They are safe for use by many goroutines.
type Keys struct {
	Signer      note.Signer   // signs checkpoints; its name is the log's origin
	Verifier    note.Verifier // the other half
	VerifierKey string        // the other half as text, the "vkey" of C2SP signed-note

	salt, term sync.Pool // of *macState, with a key of its own each
}

// Open reads the keys in dir, and makes them where neither file is there. origin names a new log; an existing one keeps
// the name it has. A file that is damaged, or there without its twin, is an error that names the file.
func Open(dir, origin string) (*Keys, error) {
	logKey, errLog := os.ReadFile(filepath.Join(dir, logKeyFile))
	blind, errBlind := os.ReadFile(filepath.Join(dir, blindKeyFile))
	missing := func(err error) bool { return errors.Is(err, fs.ErrNotExist) }
	switch {
	case missing(errLog) && missing(errBlind):
		return create(dir, origin)
	case errLog != nil:
		return nil, hippad.Errorf(hippad.Unavailable, "read the log's signing key: %w", errLog).
			WithHint("restore it from a backup; if this log has never been used, delete %s and start again", filepath.Join(dir, blindKeyFile))
	case errBlind != nil:
		return nil, hippad.Errorf(hippad.Unavailable, "read the blinding key: %w", errBlind).WithHint("restore it from a backup")
	}
	return parse(dir, logKey, blind)
}

func create(dir, origin string) (*Keys, error) {
	skey, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("make the log's signing key for %q: %w", origin, err)
	}
	secret := make([]byte, sha256.Size)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	blind := blindHeader + base64.StdEncoding.EncodeToString(secret)
	// A crash between the two leaves blind.key alone, which Open reports: no entry can have been signed yet, so deleting
	// it is safe, and the message says so.
	if err := durable.WriteFile(filepath.Join(dir, blindKeyFile), []byte(blind+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(dir, logKeyFile), []byte(skey+"\n"), 0o600); err != nil {
		return nil, err
	}
	return parse(dir, []byte(skey), []byte(blind))
}

func parse(dir string, logKey, blind []byte) (*Keys, error) {
	skey := strings.TrimSpace(string(logKey))
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: it holds no signing key", filepath.Join(dir, logKeyFile))
	}
	vkey, err := verifierKey(skey)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", filepath.Join(dir, logKeyFile), err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", filepath.Join(dir, logKeyFile), err)
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(string(blind)), blindHeader)
	secret, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(secret) != sha256.Size {
		return nil, fmt.Errorf("%s is damaged: it holds no blinding key", filepath.Join(dir, blindKeyFile))
	}
	k := &Keys{Signer: signer, Verifier: verifier, VerifierKey: vkey}
	k.salt.New = keyed(secret, "salt")
	k.term.New = keyed(secret, "term")
	return k, nil
}

// verifierKey returns the public text of a signing key (C2SP signed-note: both carry the name and the key's id).
func verifierKey(skey string) (string, error) {
	parts := strings.SplitN(skey, "+", 5) // PRIVATE, KEY, name, id, algorithm and seed
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(parts) != 5 || len(raw) != 1+ed25519.SeedSize {
		return "", errors.New("not an Ed25519 signing key")
	}
	public := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(parts[2], public)
}

// A macState is an HMAC-SHA256 under one key with room for its input and output, so that using it allocates nothing.
type macState struct {
	hash.Hash
	in, out []byte
}

// keyed draws a key for one purpose from the secret and returns a maker of HMACs under it.
func keyed(secret []byte, purpose string) func() any {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(purpose))
	key := m.Sum(nil)
	return func() any { return &macState{Hash: hmac.New(sha256.New, key), out: make([]byte, 0, sha256.Size)} }
}

// of returns the HMAC of m.in; the result is good until the next use.
func (m *macState) of() []byte {
	m.Reset()
	m.Write(m.in)
	return m.Sum(m.out[:0])
}

// Salt returns the salt of the entry at index (see receipt.Commit).
func (k *Keys) Salt(index int64) (salt [sha256.Size]byte) {
	m := k.salt.Get().(*macState)
	m.in = binary.BigEndian.AppendUint64(m.in[:0], uint64(index))
	copy(salt[:], m.of())
	k.salt.Put(m)
	return salt
}

// Term returns the keyed hash under which the index keeps a term.
func (k *Keys) Term(t hippad.Term) uint64 {
	m := k.term.Get().(*macState)
	m.in = append(append(append(m.in[:0], t.Field...), 0), t.Value...)
	sum := binary.BigEndian.Uint64(m.of())
	k.term.Put(m)
	return sum
}
