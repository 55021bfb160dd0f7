package seal

import (
	"bytes"
	"errors"
	"path/filepath"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"hippad"
)

// What a passphrase may be. Whoever has a copy of ring.json can try passphrases as fast as his machines go, so a new one has at
// least the 15 characters that NIST SP 800-63B-4 section 3.1.1.2 asks of a password that stands alone.
const (
	minPassphrase = 15 // characters
	maxPassphrase = 1 << 10
	saltSize      = 16 // RFC 9106 section 3.1
)

// Argon2 is the cost of drawing a key from a passphrase with Argon2id (RFC 9106 section 3.1).
type Argon2 struct {
	Memory uint32 `json:"memoryKiB"` // KiB, up to 256 MiB
	Passes uint32 `json:"passes"`    // up to 16
	Lanes  uint8  `json:"lanes"`     // up to 16
}

// check bounds what opening a ring may cost: ring.json may come from anywhere.
func (a Argon2) check() error {
	if a.Passes < 1 || a.Passes > 16 || a.Lanes < 1 || a.Lanes > 16 || a.Memory < 8*uint32(a.Lanes) || a.Memory > 256<<10 {
		return errors.New("the cost of the passphrase is out of bounds: 1 to 16 passes and lanes, up to 256 MiB")
	}
	return nil
}

// newPassphrase makes a master of the passphrase, and describes it in record.
func (o *Options) newPassphrase(cost Argon2, record *masterRecord) (Master, error) {
	if cost == (Argon2{}) {
		cost = Argon2{Memory: 64 << 10, Passes: 3, Lanes: 4}
	}
	if err := cost.check(); err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "%w", err)
	}
	phrase, err := o.passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(phrase)
	if utf8.RuneCount(phrase) < minPassphrase {
		return nil, hippad.Errorf(hippad.Invalid, "the passphrase is too short: it takes %d characters or more", minPassphrase).
			WithHint("take five or more random words")
	}
	record.Cost, record.Salt = &cost, random(saltSize)
	m, err := draw(phrase, *record)
	if err != nil {
		return nil, err
	}
	record.Fingerprint = m.fingerprint
	return m, nil
}

func (o *Options) openPassphrase(dir string, record masterRecord) (Master, error) {
	phrase, err := o.passphrase()
	if err != nil {
		return nil, err
	}
	defer clear(phrase)
	m, err := draw(phrase, record)
	if err != nil {
		return nil, err
	}
	if !m.is(record.Fingerprint) {
		return nil, hippad.Errorf(hippad.Unauthorised, "the passphrase does not open %s", filepath.Join(dir, ringFile)).
			WithHint("if it is forgotten: %s", lostMaster)
	}
	return m, nil
}

// passphrase asks for the passphrase. The end of its line, which a file has, does not belong to it.
func (o *Options) passphrase() ([]byte, error) {
	if o.Passphrase == nil {
		return nil, hippad.Errorf(hippad.Unavailable, "the keys are sealed with a passphrase, and none is given")
	}
	given, err := o.Passphrase()
	if err != nil {
		return nil, hippad.Errorf(hippad.Unavailable, "get the passphrase of the keys: %w", err)
	}
	if len(given) > maxPassphrase {
		clear(given)
		return nil, hippad.Errorf(hippad.Invalid, "the passphrase is longer than %d bytes", maxPassphrase)
	}
	return bytes.TrimRight(given, "\r\n"), nil
}

func draw(phrase []byte, record masterRecord) (*secretMaster, error) {
	secret := argon2.IDKey(phrase, record.Salt, record.Cost.Passes, record.Cost.Memory, record.Cost.Lanes, keySize)
	defer clear(secret)
	return newSecretMaster(secret, "passphrase")
}
