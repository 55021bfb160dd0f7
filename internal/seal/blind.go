package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"path/filepath"
	"strings"

	"hippad"
)

// The file of version 1 that held the blinding secret, before there was a ring.
const (
	blindKeyFile = "blind.key"
	blindHeader  = "hippad-blind-key-1 "
)

func parseBlindKey(dir string, text []byte) ([]byte, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), blindHeader)
	secret, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(secret) != sha256.Size {
		return nil, fmt.Errorf("%s is damaged: it holds no blinding key", filepath.Join(dir, blindKeyFile))
	}
	return secret, nil
}

// dropBlindKey removes a blind.key whose secret is in the ring.
func (k *Keys) dropBlindKey(text, secret []byte) error {
	name := filepath.Join(k.dir, blindKeyFile)
	old, err := parseBlindKey(k.dir, text)
	if err != nil || !hmac.Equal(old, secret) {
		return hippad.Errorf(hippad.Conflict, "%s and %s hold different blinding keys", name, filepath.Join(k.dir, ringFile)).
			WithHint("the ring is the newer one: move %s away; if a backup was put back, put back the whole folder", name)
	}
	clear(old)
	if k.options.ReadOnly {
		return nil
	}
	return wipe(name)
}

// A macState is an HMAC-SHA256 under one key with room for its input and output, so that using it allocates nothing.
type macState struct {
	hash.Hash
	in, out []byte
}

// blindWith draws the keys of Salt and Term from the blinding secret.
func (k *Keys) blindWith(secret []byte) {
	k.salt.New = keyed(secret, "salt")
	k.term.New = keyed(secret, "term")
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
