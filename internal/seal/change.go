package seal

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hippad"
	"hippad/internal/durable"
)

// write makes next the ring, on the disk first, together with the master file m.secret if that is not nil. The caller holds mu.
//
// If another program has written ring.json since, nothing is written: a ring that forgets the other's newest key would lose
// content. What an error leaves on the disk is the old ring or next; the table in memory stays the old one, and a later write
// replaces either. No key of a next that failed has been handed out.
//
// Every version of ring.json is overwritten in place once the next has its name. On a disk that writes in place this leaves no
// copy of a destroyed key; an SSD, a copy-on-write file system, a snapshot and a backup keep old blocks all the same, and so
// does a crash between the two. Against those only Rotate helps: it makes every old copy useless.
func (r *Ring) write(next *table, m *made) error {
	unlock, err := lock(r.dir)
	if err != nil {
		return err
	}
	defer unlock()
	name := filepath.Join(r.dir, ringFile)
	if err := r.unchanged(name); err != nil {
		return err
	}
	data, err := next.encode(next.secrets.mac)
	if err != nil {
		return err
	}
	if len(data) > maxRing {
		return hippad.Errorf(hippad.Unavailable, "%s would be larger than %d bytes", name, maxRing)
	}
	if _, err := decode(data); err != nil { // a clock that has no date, for one
		return fmt.Errorf("%s would not be read again: %w", name, err)
	}
	sum := sha256.Sum256(data)
	if err := r.stage(m); err != nil {
		return err
	}
	old, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		defer old.Close()
	}
	if err := durable.WriteFile(name, data, 0o600); err != nil {
		r.onDisk = append(r.onDisk, sum)
		return hippad.Errorf(hippad.Unavailable, "keep the ring of keys: %w", err)
	}
	overwrite(old)
	clear(data)
	r.onDisk = [][sha256.Size]byte{sum}
	r.table.Store(next)
	if m == nil {
		return nil
	}
	r.master = m.opened
	if err := r.master.settle(); err != nil {
		return err
	}
	return r.master.retire(r.dir)
}

// stage writes a new master file beside its place, where the file of the rotation before may still be.
func (r *Ring) stage(m *made) error {
	if m == nil || m.secret == nil {
		return nil
	}
	if err := r.master.settle(); err != nil {
		return err
	}
	return m.stage()
}

// unchanged tells whether ring.json is as this Ring left it.
func (r *Ring) unchanged(name string) error {
	data, err := readLimited(name, maxRing)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if len(r.onDisk) == 0 {
			return nil // a new ring
		}
		return hippad.Errorf(hippad.Unavailable, "%s is gone", name).WithHint("put it back from a backup before this program ends")
	case err != nil:
		return hippad.Errorf(hippad.Unavailable, "read the ring of keys: %w", err)
	case !slices.Contains(r.onDisk, sha256.Sum256(data)):
		return hippad.Errorf(hippad.Conflict, "another program has changed %s", name).WithHint("start this one again")
	}
	return nil
}

// tidy finishes or takes back what a crash has left behind in the key directory. See Rotate for the order of its steps.
func (r *Ring) tidy() error {
	unlock, err := lock(r.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.unchanged(filepath.Join(r.dir, ringFile)); err != nil {
		return err
	}
	// Files that durable.WriteFile had not given their name yet.
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		whole, _, left := strings.Cut(f.Name(), ".new-")
		if left && slices.Contains([]string{ringFile, logKeyFile, masterFile, masterFile + newSuffix}, whole) {
			if err := wipe(filepath.Join(r.dir, f.Name())); err != nil {
				return err
			}
		}
	}
	if err := r.master.settle(); err != nil {
		return err
	}
	_ = r.master.retire(r.dir) // Rotate has said so if it cannot be; the log must go on all the same
	if r.master.path != "" {
		return wipe(r.master.path + newSuffix) // of a rotation that did not come to its ring.json
	}
	return nil
}

// create makes the key for a month and class.
func (r *Ring) create(month int, class string) (uint32, cipher.AEAD, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.table.Load()
	if id, ok := t.current[period{month, class}]; ok {
		return id, t.aeads[id-1], nil
	}
	if r.options.ReadOnly {
		return 0, nil, errReadOnly()
	}
	if len(t.Keys) == maxDataKeys {
		return 0, nil, hippad.Errorf(hippad.Unavailable, "there are %d data keys, and no more can be made", maxDataKeys)
	}
	key := random(keySize)
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return 0, nil, err
	}
	record := keyRecord{ID: uint32(len(t.Keys) + 1), Month: monthText(month), Class: class, Created: r.now()}
	record.Sealed = t.secrets.seal.Seal(nil, nil, key, record.additional())
	next := t.clone()
	next.Keys, next.aeads = append(next.Keys, record), append(next.aeads, aead)
	next.index()
	if err := r.write(next, nil); err != nil {
		return 0, nil, err
	}
	r.wake()
	return record.ID, aead, nil
}

func (r *Ring) now() time.Time { return r.options.Now().UTC().Truncate(time.Second) }

// Created lists the makings of data keys that Recorded has not been told of, oldest first, after a restart too. SealKey is called
// from inside the log, where nothing can be recorded: so whoever records them waits for CreatedC and asks.
func (r *Ring) Created() (uses []KeyUse) {
	t := r.table.Load()
	master := r.Master()
	for _, k := range t.Keys[t.Recorded:] {
		uses = append(uses, KeyUse{What: UseCreated, KeyID: k.ID, Month: k.Month, Class: k.Class, Master: master})
	}
	return uses
}

// CreatedC yields when Created may have something. One goroutine should wait for it.
func (r *Ring) CreatedC() <-chan struct{} { return r.created }

// Recorded says that the log holds the making of the keys up to id. A crash between the record and Recorded makes
// Created list it again: it may be recorded twice, never not at all.
func (r *Ring) Recorded(id uint32) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.table.Load()
	switch {
	case id <= t.Recorded:
		return nil
	case int64(id) > int64(len(t.Keys)):
		return noSuchKey(id)
	case r.options.ReadOnly:
		return errReadOnly()
	}
	next := t.clone()
	next.document.Recorded = id
	return r.write(next, nil)
}

// wake leaves a token in created if there is something for Created to list.
func (r *Ring) wake() {
	if t := r.table.Load(); int(t.Recorded) < len(t.Keys) {
		select {
		case r.created <- struct{}{}:
		default: // one is there already
		}
	}
}

func noSuchKey(id uint32) error {
	return hippad.Errorf(hippad.NotFound, "there is no data key %d", id)
}

// Destroy destroys data keys: all content under them is gone for good when it returns nil, all of it or, with an error, none
// of it (except that after an error of writing a restart may find them destroyed). Keys that are destroyed already are passed over;
// an id that never was is kind NotFound. Options.Used is asked for each key first.
//
// What is left of a key is its id, month, class and when it went. The key schedules in memory are let go, which Go cannot
// zero; write says what stays on which disks.
func (r *Ring) Destroy(ctx context.Context, ids ...uint32) error {
	if r.options.ReadOnly {
		return errReadOnly()
	}
	r.administration.Lock()
	defer r.administration.Unlock()
	t := r.table.Load()
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for _, id := range ids {
		if id == 0 || int64(id) > int64(len(t.Keys)) {
			return noSuchKey(id)
		}
	}
	ids = slices.DeleteFunc(ids, func(id uint32) bool { return t.aeads[id-1] == nil })
	for _, id := range ids {
		k := t.Keys[id-1]
		if err := r.used(ctx, KeyUse{What: UseDestroyed, KeyID: id, Month: k.Month, Class: k.Class, Master: r.Master()}); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t = r.table.Load() // Used may have led to a new key
	next := t.clone()
	for _, id := range ids {
		k := &next.Keys[id-1]
		k.Destroyed, k.Sealed = r.now(), nil
		next.aeads[id-1] = nil
	}
	next.index()
	if err := r.write(next, nil); err != nil {
		return err
	}
	for _, id := range ids {
		clear(t.Keys[id-1].Sealed)
	}
	return nil
}

func (r *Ring) used(ctx context.Context, use KeyUse) error {
	if r.options.Used == nil {
		return nil
	}
	return r.options.Used(ctx, use)
}

// Rotate makes a new ring key, seals everything in ring.json anew under it, and wraps it with a new master: of the same kind and
// place if to is zero, but with a new secret in a file, the passphrase that passphrase now returns, or the transit key's newest
// version. Bodies are not touched. Every old copy of ring.json, and what SealBytes made before, needs the old master from
// now on; an old master file is overwritten and removed. Options.Used is asked before anything changes.
//
// The steps, under one lock: the new master file is written as FILE.new; ring.json, which names its master file by
// fingerprint, is written, and this is the moment of change; FILE.new gets its name, and the old file goes. A crash before the
// moment leaves a FILE.new that opens nothing, which the next Open removes. A crash after it leaves FILE.new not renamed or
// the old file not removed, and the next Open does that.
func (r *Ring) Rotate(ctx context.Context, to MasterConfig, passphrase, token func() ([]byte, error)) error {
	if r.options.ReadOnly {
		return errReadOnly()
	}
	r.administration.Lock()
	defer r.administration.Unlock()
	r.mu.Lock()
	from := r.master
	r.mu.Unlock()
	o := r.options
	o.Passphrase, o.TransitToken = passphrase, token
	m, err := o.makeMaster(r.dir, to, &from)
	if err != nil {
		return err
	}
	defer clear(m.secret)
	ringKey := random(keySize)
	defer clear(ringKey)
	wrapped, err := wrapAndTry(ctx, m, ringKey)
	if err != nil {
		return err
	}
	if err := r.used(ctx, KeyUse{What: UseRotated, Master: m.String()}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	next, err := r.table.Load().reseal(ringKey)
	if err != nil {
		return err
	}
	next.Master, next.document.Key = m.record, wrapped
	return r.write(next, m)
}

// reseal returns the same ring under another ring key.
func (t *table) reseal(ringKey []byte) (*table, error) {
	next := t.clone()
	var err error
	if next.secrets, err = drawSecrets(ringKey); err != nil {
		return nil, err
	}
	again := func(sealed, additional []byte) []byte {
		plain, e := t.secrets.seal.Open(nil, nil, sealed, additional)
		err = errors.Join(err, e)
		defer clear(plain)
		return next.secrets.seal.Seal(nil, nil, plain, additional)
	}
	next.Blinding = again(t.Blinding, additional(purposeBlinding, 0, "", ""))
	for i, k := range next.Keys {
		if k.Sealed != nil {
			next.Keys[i].Sealed = again(k.Sealed, k.additional())
		}
	}
	return next, err
}

// wrapAndTry wraps a ring key and unwraps it again before anything relies on it: a transit token may be allowed to encrypt and
// not to decrypt, and that must not show at the next start.
func wrapAndTry(ctx context.Context, m Master, ringKey []byte) ([]byte, error) {
	wrapped, err := m.Wrap(ctx, ringKey)
	if err != nil {
		return nil, err
	}
	back, err := m.Unwrap(ctx, wrapped)
	defer clear(back)
	if err == nil && !bytes.Equal(back, ringKey) {
		err = errors.New("the master key does not unwrap what it has wrapped")
	}
	return wrapped, err
}
