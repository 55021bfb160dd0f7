package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hippad"
)

const (
	keySize = 32 // AES-256, and every secret here
	// sealedSize is a key sealed by cipher.NewGCMWithRandomNonce: nonce, key, tag.
	sealedSize = 12 + keySize + 16
	// sealedFormat is the first byte of what SealBytes returns.
	sealedFormat = 1
)

// What the things that the ring key seals are for: part of the additional data, so that none passes for another.
const (
	purposeBlinding = "blinding"
	purposeDataKey  = "data key"
	purposeBytes    = "bytes"
)

// ErrDestroyed is the error of OpenKey for a key that is gone for good, and with it all content under it.
var ErrDestroyed error = hippad.Errorf(hippad.NotFound, "the data key is destroyed")

// What a KeyUse says was done.
const (
	UseMade      = "made"      // a new ring was made
	UseTakenIn   = "taken-in"  // the blinding secret of a directory of version 1 was moved into a new ring
	UseOpened    = "opened"    // the ring was opened with its master
	UseCreated   = "created"   // a data key was made
	UseDestroyed = "destroyed" // a data key was destroyed
	UseRotated   = "rotated"   // everything was sealed anew under a new ring key and Master
)

// A KeyUse is something that was done with keys, for the log. It holds no secret.
type KeyUse struct {
	What         string // one of the constants
	KeyID        uint32 // of a data key
	Month, Class string // of a data key
	Master       string // which master, as Ring.Master
}

// A DataKey tells of a data key without holding it.
type DataKey struct {
	ID        uint32
	Month     string // UTC, as in 2026-11
	Class     string
	Created   time.Time
	Destroyed time.Time // zero if it is there
}

// A Ring holds the data keys of a key directory. It is safe for use by many goroutines.
type Ring struct {
	// Opened is what opening the ring did with keys, for the caller to record: at that time there is no log to record it in.
	Opened KeyUse

	dir     string
	options Options
	table   atomic.Pointer[table] // replaced, never changed
	created chan struct{}         // holds a token when Created has something new

	// administration serialises Destroy and Rotate. It is apart from mu because they call Options.Used, which writes to the
	// log, and the log may need SealKey to make a key.
	administration sync.Mutex

	mu     sync.Mutex // guards what follows and every replacing of table
	master opened
	onDisk [][sha256.Size]byte // what ring.json may be as this Ring left it; more than one after a write that failed
}

// A table is the ring at one moment.
type table struct {
	document
	secrets ringSecrets
	aeads   []cipher.AEAD     // of the data keys, by id-1; nil if destroyed
	current map[period]uint32 // the newest key of each period that is not destroyed
}

type period struct {
	month int
	class string
}

// ringSecrets are drawn from the ring key, which itself is not kept.
type ringSecrets struct {
	seal  cipher.AEAD // keys in ring.json
	bytes cipher.AEAD // SealBytes
	mac   []byte
}

func drawSecrets(ringKey []byte) (s ringSecrets, err error) {
	draw := func(purpose string) []byte {
		key, e := hkdf.Expand(sha256.New, ringKey, "hippad ring "+purpose, keySize)
		err = errors.Join(err, e)
		return key
	}
	seal, bytes := draw("seal"), draw(purposeBytes)
	defer clear(seal)
	defer clear(bytes)
	if s.mac = draw("mac"); err != nil {
		return s, err
	}
	if s.seal, err = newAEAD(seal); err != nil {
		return s, err
	}
	s.bytes, err = newAEAD(bytes)
	return s, err
}

// newAEAD returns AES-256-GCM that puts 12 random bytes in front of each sealed text as its nonce. NIST SP 800-38D section 8.3
// allows 2^32 texts under one key with random nonces. A data key seals one block of up to 16 entries at a time for a month:
// 2^32 blocks in a month would be 1,600 commits in every second of it, 25,000 entries with full blocks, and whoever comes
// near that has more than one class. What is sealed under the other keys is counted in hundreds.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func additional(purpose string, id uint32, month, class string) []byte {
	b := append([]byte("hippad ring\x00"+purpose+"\x00"), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[len(b)-4:], id)
	return append(append(append(b, month...), 0), class...)
}

func (r keyRecord) additional() []byte { return additional(purposeDataKey, r.ID, r.Month, r.Class) }

// newTable opens everything in a document whose ring key is known.
func newTable(d document, ringKey []byte) (*table, error) {
	s, err := drawSecrets(ringKey)
	if err != nil {
		return nil, err
	}
	if mac, err := d.mac(s.mac); err != nil || !hmac.Equal(mac, d.MAC) {
		return nil, errors.New("somebody without its master has changed it")
	}
	t := &table{document: d, secrets: s, aeads: make([]cipher.AEAD, len(d.Keys))}
	for i, r := range d.Keys {
		if r.Sealed == nil {
			continue
		}
		key, err := s.seal.Open(nil, nil, r.Sealed, r.additional())
		if err != nil {
			return nil, errors.New("a data key in it does not open")
		}
		t.aeads[i], err = newAEAD(key)
		clear(key)
		if err != nil {
			return nil, err
		}
	}
	t.index()
	return t, nil
}

func (t *table) index() {
	t.current = make(map[period]uint32)
	for i, r := range t.Keys {
		if month, ok := parseMonth(r.Month); ok && t.aeads[i] != nil {
			t.current[period{month, r.Class}] = r.ID
		}
	}
}

// clone returns a copy whose lists can be changed.
func (t *table) clone() *table {
	c := *t
	c.Keys, c.aeads = slices.Clone(t.Keys), slices.Clone(t.aeads)
	return &c
}

// OpenRing opens the data keys alone, and changes nothing on the disk: for a folder of keys in a backup, of which nothing is
// there yet but ring.json. Of the options it uses those about the master.
func OpenRing(ctx context.Context, dir string, o Options) (*Ring, error) {
	o.ReadOnly = true
	return openRing(ctx, dir, o)
}

func openRing(ctx context.Context, dir string, o Options) (*Ring, error) {
	name := filepath.Join(dir, ringFile)
	data, err := readLimited(name, maxRing)
	if err != nil {
		return nil, hippad.Errorf(hippad.Unavailable, "read the ring of keys: %w", err).WithHint("restore it from a backup")
	}
	d, err := decode(data)
	if err != nil {
		return nil, damaged(name, err)
	}
	r := &Ring{dir: dir, options: o, created: make(chan struct{}, 1), onDisk: [][sha256.Size]byte{sha256.Sum256(data)}}
	if r.master, err = o.openMaster(ctx, dir, d.Master); err != nil {
		return nil, err
	}
	ringKey, err := r.master.Unwrap(ctx, d.Key)
	if err == nil && len(ringKey) != keySize {
		err = errors.New("it holds no ring key")
	}
	if err != nil {
		var kinded *hippad.Error
		if errors.As(err, &kinded) {
			return nil, err
		}
		return nil, damaged(name, err)
	}
	t, err := newTable(d, ringKey)
	clear(ringKey)
	if err != nil {
		return nil, damaged(name, err)
	}
	r.table.Store(t)
	r.Opened = KeyUse{What: UseOpened, Master: r.Master()}
	r.wake()
	if o.ReadOnly {
		return r, nil
	}
	return r, r.tidy()
}

func damaged(name string, err error) error {
	return hippad.Errorf(hippad.Unavailable, "%s is damaged: %v", name, err).WithHint("restore it from a backup")
}

// makeRing makes a ring around a blinding secret, and the master if it is a file that is not there yet.
func makeRing(ctx context.Context, dir string, o Options, blinding []byte, what string) (*Ring, error) {
	m, err := o.makeMaster(dir, o.Master, nil)
	if err != nil {
		return nil, err
	}
	defer clear(m.secret)
	ringKey := random(keySize)
	defer clear(ringKey)
	wrapped, err := wrapAndTry(ctx, m, ringKey)
	if err != nil {
		return nil, err
	}
	t := &table{document: document{Format: ringFormat, Master: m.record, Key: wrapped}, current: map[period]uint32{}}
	if t.secrets, err = drawSecrets(ringKey); err != nil {
		return nil, err
	}
	t.Blinding = t.secrets.seal.Seal(nil, nil, blinding, additional(purposeBlinding, 0, "", ""))
	r := &Ring{dir: dir, options: o, master: m.opened, created: make(chan struct{}, 1)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := r.write(t, m); err != nil {
		return nil, err
	}
	r.Opened = KeyUse{What: what, Master: r.Master()}
	return r, nil
}

// blinding returns the blinding secret, for the caller to zero.
func (r *Ring) blinding() ([]byte, error) {
	t := r.table.Load()
	secret, err := t.secrets.seal.Open(nil, nil, t.Blinding, additional(purposeBlinding, 0, "", ""))
	if err != nil {
		return nil, damaged(filepath.Join(r.dir, ringFile), errors.New("the blinding key in it does not open"))
	}
	return secret, nil
}

// Master names the ring's master, as in "file /var/lib/hippad/keys/master.key"; empty if there is no ring (Options.ReadOnly).
func (r *Ring) Master() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.master.Master == nil {
		return ""
	}
	return r.master.String()
}

// SealKey returns the data key for the UTC month of at and a retention class (1 to 32 of a to z, 0 to 9 and -), and its id.
// The nonce it takes is empty; a sealed text is 28 bytes longer. The first call for a month and class makes the key, which
// is durable when SealKey returns; the others cost neither a lock nor an allocation.
func (r *Ring) SealKey(at time.Time, class string) (id uint32, key cipher.AEAD, err error) {
	month, ok := monthOf(at)
	t := r.table.Load()
	if id, ok := t.current[period{month, class}]; ok {
		return id, t.aeads[id-1], nil
	}
	if !ok || !validClass(class) {
		return 0, nil, hippad.Errorf(hippad.Invalid, "no data key can be made for this month and class: a class is 1 to %d of a to z, 0 to 9 and -", maxClass)
	}
	return r.create(month, class)
}

// OpenKey returns the data key with an id; ErrDestroyed if it is destroyed, kind Unavailable if there never was one: then
// ring.json is older than the log. Whoever keeps what it returns can open content after the key's destruction.
func (r *Ring) OpenKey(id uint32) (cipher.AEAD, error) {
	t := r.table.Load()
	if id == 0 || int64(id) > int64(len(t.aeads)) {
		return nil, hippad.Errorf(hippad.Unavailable, "no such data key: %d", id).
			WithHint("%s is older than the log: put its newest copy back", filepath.Join(r.dir, ringFile))
	}
	if t.aeads[id-1] == nil {
		return nil, ErrDestroyed
	}
	return t.aeads[id-1], nil
}

// DataKeys lists all data keys in the order of their ids.
func (r *Ring) DataKeys() []DataKey {
	t := r.table.Load()
	keys := make([]DataKey, len(t.Keys))
	for i, k := range t.Keys {
		keys[i] = DataKey{ID: k.ID, Month: k.Month, Class: k.Class, Created: k.Created, Destroyed: k.Destroyed}
	}
	return keys
}

// SealBytes seals something small for a backup, such as log.key: whoever has this ring.json and its master can open it,
// with OpenBytes and the same purpose. After Rotate that takes a ring.json from before, and the old master.
func (r *Ring) SealBytes(purpose string, plain []byte) ([]byte, error) {
	aead := r.table.Load().secrets.bytes
	if aead == nil {
		return nil, errReadOnly()
	}
	return aead.Seal([]byte{sealedFormat}, nil, plain, additional(purposeBytes, 0, "", purpose)), nil
}

// OpenBytes opens what SealBytes has sealed. Whatever else it is given is kind Invalid.
func (r *Ring) OpenBytes(purpose string, sealed []byte) ([]byte, error) {
	aead := r.table.Load().secrets.bytes
	if aead == nil {
		return nil, errReadOnly()
	}
	if len(sealed) == 0 || sealed[0] != sealedFormat {
		return nil, hippad.Errorf(hippad.Invalid, "this is not sealed by a ring of keys")
	}
	plain, err := aead.Open(nil, nil, sealed[1:], additional(purposeBytes, 0, "", purpose))
	if err != nil {
		return nil, hippad.Errorf(hippad.Invalid, "this is sealed by another ring of keys, for another purpose, or damaged")
	}
	return plain, nil
}

func errReadOnly() error {
	return hippad.Errorf(hippad.Conflict, "the keys are opened for reading only")
}
