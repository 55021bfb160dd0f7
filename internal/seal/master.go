package seal

import (
	"cmp"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"hippad"
	"hippad/internal/durable"
)

// A Master wraps the ring key. Errors that are not the fault of what is unwrapped have a kind, and none quotes a secret.
type Master interface {
	Wrap(ctx context.Context, plain []byte) ([]byte, error)
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) // the caller zeroes the result
	String() string                                             // for people: kind and place, no secret
}

// A MasterKind says what the master key is.
type MasterKind string

// The kinds of masters.
const (
	MasterFile       MasterKind = "file"       // 32 random bytes in a file
	MasterPassphrase MasterKind = "passphrase" // drawn from a passphrase by Argon2id (RFC 9106)
	MasterTransit    MasterKind = "transit"    // a key of a transit engine of HashiCorp Vault or OpenBao, which never leaves it
)

// A MasterConfig says which master to use. The zero value is a file in the key directory.
type MasterConfig struct {
	Kind    MasterKind // empty: MasterFile
	File    string     // of a file: its path; empty: master.key in the key directory. One file serves one ring
	Cost    Argon2     // of a new passphrase; zero: the second recommendation of RFC 9106 section 4
	Transit Transit
}

// A masterRecord is the master's description in ring.json.
type masterRecord struct {
	Kind MasterKind `json:"kind"`
	// Fingerprint tells whether a file or passphrase is the right one: 8 bytes drawn from it, hexadecimal.
	Fingerprint string       `json:"fingerprint,omitempty"`
	File        string       `json:"file,omitempty"` // absolute; empty: master.key in the key directory
	Salt        []byte       `json:"salt,omitempty"`
	Cost        *Argon2      `json:"argon2id,omitempty"`
	Transit     *Transit     `json:"transit,omitempty"`
	Retired     *retiredFile `json:"retired,omitempty"`
}

// A retiredFile is the master file from before a rotation to another place. It is removed after ring.json is written.
type retiredFile struct {
	Fingerprint string `json:"fingerprint"`
	File        string `json:"file,omitempty"`
}

// An opened master, and where it is now, which an option may have said.
type opened struct {
	Master
	record masterRecord
	config MasterConfig
	path   string // of a file
	staged bool   // the file is still at path + newSuffix
}

// A made master is one that no ring.json names yet.
type made struct {
	opened
	secret []byte // of a file that is not written yet
	from   string // of such a file: the path of the file that it replaces, if any
}

const (
	masterFile   = "master.key"
	masterHeader = "hippad-master-key-1 "
	newSuffix    = ".new"
)

const lostMaster = "without it no body can be read, nothing can be searched for and no receipt can be made that has not been given out; " +
	"receipts already given out, checkpoints and tiles still verify"

func lost(format string, args ...any) error {
	return hippad.Errorf(hippad.Unavailable, "%s: "+lostMaster, fmt.Errorf(format, args...)).
		WithHint("put the master key back from its safe place; hippad audit --structure shows whether the log itself is sound")
}

func (m *masterRecord) check() error {
	file, passphrase, transit := m.File != "", len(m.Salt) > 0 || m.Cost != nil, m.Transit != nil
	printed := validFingerprint(m.Fingerprint)
	var ok bool
	switch m.Kind {
	case MasterFile:
		ok = printed && !passphrase && !transit
	case MasterPassphrase:
		ok = printed && !file && !transit && len(m.Salt) == saltSize && m.Cost != nil && m.Cost.check() == nil
	case MasterTransit:
		ok = m.Fingerprint == "" && !file && !passphrase && transit && m.Transit.check() == nil
	}
	if m.Retired != nil && !validFingerprint(m.Retired.Fingerprint) {
		ok = false
	}
	if !ok {
		return errors.New("it does not describe its master key")
	}
	return nil
}

func validFingerprint(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 8 && hex.EncodeToString(b) == s
}

// openMaster opens the master that a ring names; the options may say where it is now, not which it is.
func (o *Options) openMaster(ctx context.Context, dir string, record masterRecord) (m opened, err error) {
	c := o.Master
	if c == (MasterConfig{}) {
		c.Kind = record.Kind
	}
	m.record, m.config = record, MasterConfig{Kind: record.Kind}
	if cmp.Or(c.Kind, MasterFile) != record.Kind {
		return m, contradiction(dir, record.Kind)
	}
	switch record.Kind {
	case MasterPassphrase:
		m.config.Cost = *record.Cost
		m.Master, err = o.openPassphrase(dir, record)
	case MasterTransit:
		t := record.Transit.movedTo(c.Transit)
		if t.Key != record.Transit.Key {
			return m, contradiction(dir, record.Kind)
		}
		m.config.Transit = t
		m.Master, err = newTransit(t, o.TransitToken)
	default:
		m.path = masterPath(dir, cmp.Or(c.File, record.File))
		m.config.File = m.path
		m.Master, m.staged, err = openFile(dir, m.path, record.Fingerprint)
	}
	return m, err
}

func contradiction(dir string, kind MasterKind) error {
	return hippad.Errorf(hippad.Conflict, "%s is sealed with another master key: a %s", filepath.Join(dir, ringFile), kind).
		WithHint("hippad key rotate changes the master key")
}

// makeMaster makes a master for a new ring, or for one that is rotated from another. A file's secret is not written yet.
func (o *Options) makeMaster(dir string, c MasterConfig, from *opened) (*made, error) {
	if c == (MasterConfig{}) && from != nil {
		c = from.config
	}
	c.Kind = cmp.Or(c.Kind, MasterFile)
	m := &made{opened: opened{record: masterRecord{Kind: c.Kind}, config: c}}
	if from != nil && from.record.Kind == MasterFile {
		m.from = from.path
	}
	var err error
	switch c.Kind {
	case MasterPassphrase:
		m.Master, err = o.newPassphrase(c.Cost, &m.record)
	case MasterTransit:
		t := c.Transit
		m.record.Transit = &t
		m.Master, err = newTransit(t, o.TransitToken)
	case MasterFile:
		err = m.newFile(dir, c.File, from)
	default:
		err = hippad.Errorf(hippad.Invalid, "there is no kind of master key %q", c.Kind)
	}
	if err != nil {
		return nil, err
	}
	if m.from != "" && m.from != m.path {
		m.record.Retired = &retiredFile{Fingerprint: from.record.Fingerprint, File: storedPath(dir, m.from)}
	}
	return m, nil
}

// masterPath returns where a file master is; stored is as storedPath returns.
func masterPath(dir, stored string) string {
	if stored == "" {
		stored = filepath.Join(dir, masterFile)
	}
	if abs, err := filepath.Abs(stored); err == nil {
		return abs
	}
	return stored
}

// storedPath returns how ring.json names a path: one in the key directory moves with it.
func storedPath(dir, path string) string {
	if path == masterPath(dir, "") {
		return ""
	}
	return path
}

// newFile uses the file that is at its place if there is no ring yet, and else makes a new secret.
func (m *made) newFile(dir, file string, from *opened) error {
	m.path = masterPath(dir, file)
	m.config.File = m.path
	m.record.File = storedPath(dir, m.path)
	if st, err := os.Lstat(m.path); from != nil && err == nil && st.Mode()&fs.ModeSymlink != 0 {
		return hippad.Errorf(hippad.Invalid, "%s is a symbolic link, which a new master key would replace", m.path).WithHint("name the file itself")
	}
	secret, err := readMasterFile(m.path)
	switch {
	case m.path == m.from, errors.Is(err, fs.ErrNotExist):
		clear(secret)
		secret = random(keySize)
		m.secret = secret
	case err == nil && from == nil: // the operator's, or what is left of a directory of keys that was deleted
		defer clear(secret)
	case err == nil:
		clear(secret)
		return taken(m.path)
	default:
		return hippad.Errorf(hippad.Unavailable, "read the master key: %w", err)
	}
	s, err := newSecretMaster(secret, "file "+m.path)
	if err != nil {
		return err
	}
	m.Master, m.record.Fingerprint = s, s.fingerprint
	return nil
}

func taken(path string) error {
	return hippad.Errorf(hippad.Conflict, "%s is there already", path).WithHint("name a file that is not there: it is made")
}

// stage writes the secret beside its place.
func (m *made) stage() error {
	if _, err := os.Lstat(m.path); err == nil && m.path != m.from {
		return taken(m.path)
	}
	text := []byte(masterHeader + base64.StdEncoding.EncodeToString(m.secret) + "\n")
	defer clear(text)
	m.staged = true
	return durable.WriteFile(m.path+newSuffix, text, 0o600)
}

// settle gives a staged file its name, after ring.json names it.
func (m *opened) settle() error {
	if !m.staged {
		return nil
	}
	if err := replace(m.path+newSuffix, m.path); err != nil {
		return fmt.Errorf("the ring has its new master key, but the file is not renamed yet (the next start does that): %w", err)
	}
	m.staged = false
	return nil
}

// retire removes the file of the master before, if it was at another place and is still there.
func (m *opened) retire(dir string) error {
	if m.record.Retired == nil {
		return nil
	}
	path := masterPath(dir, m.record.Retired.File)
	secret, err := readMasterFile(path)
	if err != nil {
		return nil // gone, or somebody else's
	}
	defer clear(secret)
	s, err := newSecretMaster(secret, "")
	if err != nil || !s.is(m.record.Retired.Fingerprint) {
		return err
	}
	if err := wipe(path); err != nil {
		return fmt.Errorf("the ring has its new master key, but the old file is still there: remove it: %w", err)
	}
	return nil
}

// openFile opens the file whose fingerprint the ring names: at path, or, after a crash in Rotate, beside it.
func openFile(dir, path, fingerprint string) (m Master, staged bool, err error) {
	ring := filepath.Join(dir, ringFile)
	for _, name := range []string{path, path + newSuffix} {
		secret, e := readMasterFile(name)
		if e == nil {
			var s *secretMaster
			s, e = newSecretMaster(secret, "file "+path)
			clear(secret)
			if e == nil && s.is(fingerprint) {
				return s, name != path, nil
			}
		}
		switch {
		case name != path: // what is wrong with path is what counts
		case e == nil:
			err = lost("%s is not the master key that %s is sealed with", path, ring)
		case errors.Is(e, fs.ErrNotExist):
			err = lost("the master key %s is gone", path)
		default:
			err = lost("read the master key: %w", e)
		}
	}
	return nil, false, err
}

func readMasterFile(name string) ([]byte, error) {
	text, err := readLimited(name, maxWrapped)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), masterHeader)
	secret, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(secret) != keySize {
		return nil, fmt.Errorf("%s is damaged: it holds no master key", name)
	}
	return secret, nil
}

// A secretMaster wraps under a secret that is here: a file's, or one drawn from a passphrase.
type secretMaster struct {
	aead        cipher.AEAD
	fingerprint string
	name        string
}

func newSecretMaster(secret []byte, name string) (*secretMaster, error) {
	key, err := hkdf.Expand(sha256.New, secret, "hippad master wrap", keySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	fingerprint, err := hkdf.Expand(sha256.New, secret, "hippad master fingerprint", 8)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	return &secretMaster{aead: aead, fingerprint: hex.EncodeToString(fingerprint), name: name}, err
}

func (m *secretMaster) is(fingerprint string) bool {
	return subtle.ConstantTimeCompare([]byte(m.fingerprint), []byte(fingerprint)) == 1
}

func (m *secretMaster) String() string { return m.name }

func (m *secretMaster) Wrap(_ context.Context, plain []byte) ([]byte, error) {
	return m.aead.Seal(nil, nil, plain, []byte("hippad ring key")), nil
}

// Unwrap fails only for what is damaged, because the fingerprint has said that the secret is the right one.
func (m *secretMaster) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	plain, err := m.aead.Open(nil, nil, wrapped, []byte("hippad ring key"))
	if err != nil {
		return nil, errors.New("the ring key in it does not open")
	}
	return plain, nil
}
