// Package seal owns the secrets that the log keeps: the key that signs checkpoints; the secret that blinds, from which the
// salts of the leaves and the keyed hashes of the search terms are drawn; and the data keys under which content is sealed,
// one for each month and retention class.
//
// It does not know certificates (internal/identity), decides neither what is sealed nor when a key is due to be destroyed, and
// stores nothing but its own files. The invariant: without the key directory and its master key, neither a leaf nor an
// index entry can be tested against a guess and no content can be read; and no data key is handed out before it is durable.
//
// The files: log.key is the signing key (C2SP). ring.json (see document) holds everything else, sealed under a ring key that
// only the master key opens. master.key is that master, unless it is a passphrase or a key of a transit server. What the loss
// of a file means: without log.key the log cannot go on (its past still verifies); without ring.json or the master, bodies,
// searches and new receipts for old entries are gone for good, while what was given out still verifies.
package seal

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"hippad"
	"hippad/internal/durable"
)

// logKeyFile is the signing key's name in the key directory.
const logKeyFile = "log.key"

// Options say how to open a key directory.
type Options struct {
	Origin string // name of a new log; an existing one keeps the name it has
	// Master is the master key of a new directory; zero: a file in it. For an existing one ring.json knows the master: leave it
	// zero, or say where the same master is now (File, or the Transit's address, mount, namespace and authorities).
	Master       MasterConfig
	Passphrase   func() ([]byte, error)              // asked when the master is a passphrase; the bytes are zeroed after use
	TransitToken func() ([]byte, error)              // asked when the master is a transit key, for each request
	Now          func() time.Time                    // time.Now if nil
	Used         func(context.Context, KeyUse) error // called before a key is destroyed or the ring rotated; its error stops that; may be nil
	// ReadOnly changes nothing on the disk: a directory of version 1 is read as it is, what a crash left is left, and
	// SealKey, Destroy and Rotate refuse to make anything.
	ReadOnly bool
}

// Keys are the opened secrets. They are safe for use by many goroutines.
type Keys struct {
	Signer      note.Signer   // signs checkpoints; its name is the log's origin
	Verifier    note.Verifier // the other half
	VerifierKey string        // the other half as text, the "vkey" of C2SP signed-note

	*Ring // the data keys

	salt, term sync.Pool // of *macState, with a key of its own each
}

// Open reads the keys in dir, and makes them where no file is there. A file that is damaged, or missing beside another, is
// an error that names the file. The master key is asked for here and, except by Rotate, never again.
func Open(ctx context.Context, dir string, o Options) (*Keys, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	logKey, errLog := readLimited(filepath.Join(dir, logKeyFile), maxWrapped)
	blind, errBlind := readLimited(filepath.Join(dir, blindKeyFile), maxWrapped)
	_, errRing := os.Stat(filepath.Join(dir, ringFile))
	missing := func(err error) bool { return errors.Is(err, fs.ErrNotExist) }
	switch {
	case missing(errLog) && missing(errBlind) && missing(errRing) && !o.ReadOnly:
		return create(ctx, dir, o)
	case errLog != nil:
		other := ringFile
		if missing(errRing) {
			other = blindKeyFile
		}
		return nil, hippad.Errorf(hippad.Unavailable, "read the log's signing key: %w", errLog).
			WithHint("restore it from a backup; if this log has never been used, delete %s and start again", filepath.Join(dir, other))
	case errBlind != nil && !missing(errBlind):
		return nil, hippad.Errorf(hippad.Unavailable, "read the blinding key: %w", errBlind)
	case missing(errRing) && missing(errBlind):
		return nil, hippad.Errorf(hippad.Unavailable, "read the ring of keys: %w", errRing).WithHint("restore it from a backup")
	}
	k, err := signing(dir, logKey)
	if err != nil {
		return nil, err
	}
	if missing(errRing) {
		return k.takeIn(ctx, dir, o, blind)
	}
	if k.Ring, err = openRing(ctx, dir, o); err != nil {
		return nil, err
	}
	secret, err := k.blinding()
	if err != nil {
		return nil, err
	}
	k.blindWith(secret)
	if errBlind == nil {
		err = k.dropBlindKey(blind, secret)
	}
	clear(secret)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// create makes a key directory. A crash leaves master.key.new alone, which the next Open writes over; or ring.json, with its
// master, and no log.key, which it reports: no entry can have been signed yet, so deleting ring.json is safe, and the message
// says so.
func create(ctx context.Context, dir string, o Options) (*Keys, error) {
	skey, _, err := note.GenerateKey(rand.Reader, o.Origin)
	if err != nil {
		return nil, fmt.Errorf("make the log's signing key for %q: %w", o.Origin, err)
	}
	k, err := signing(dir, []byte(skey))
	if err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "%q cannot be the name of a log", o.Origin)
	}
	secret := random(sha256.Size)
	defer clear(secret)
	if k.Ring, err = makeRing(ctx, dir, o, secret, UseMade); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(dir, logKeyFile), []byte(skey+"\n"), 0o600); err != nil {
		return nil, err
	}
	k.blindWith(secret)
	return k, nil
}

// takeIn opens a directory of version 1, whose blinding secret lies in blind.key as it is, and moves the secret into a new
// ring. The ring is durable before blind.key goes. A crash in between leaves both: then the ring counts, and the next Open
// removes blind.key if it says the same, and stops if it says something else.
func (k *Keys) takeIn(ctx context.Context, dir string, o Options, blind []byte) (*Keys, error) {
	secret, err := parseBlindKey(dir, blind)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	k.blindWith(secret)
	if o.ReadOnly {
		k.Ring = &Ring{dir: dir, options: o, created: make(chan struct{}, 1)}
		k.Ring.table.Store(&table{})
		return k, nil
	}
	if k.Ring, err = makeRing(ctx, dir, o, secret, UseTakenIn); err != nil {
		return nil, err
	}
	if err := k.dropBlindKey(blind, secret); err != nil {
		return nil, err
	}
	return k, nil
}

// signing returns Keys with the signing key alone.
func signing(dir string, logKey []byte) (*Keys, error) {
	name := filepath.Join(dir, logKeyFile)
	skey := strings.TrimSpace(string(logKey))
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: it holds no signing key", name)
	}
	vkey, err := verifierKey(skey)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", name, err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", name, err)
	}
	return &Keys{Signer: signer, Verifier: verifier, VerifierKey: vkey}, nil
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

// random returns n bytes of crypto/rand, which does not fail.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
