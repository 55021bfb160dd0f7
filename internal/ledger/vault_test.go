package ledger_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"hippad"
	"hippad/internal/ledger"
)

var errKeyGone = errors.New("the key is gone")

// vault hands out data keys: one for each class and month. The month is what the test says, so that no test waits for one.
type vault struct {
	mu        sync.Mutex
	month     int
	ids       map[string]uint32 // by class and month
	asked     []string          // classes that SealKey was asked for
	fail      error             // what SealKey says
	destroyed map[uint32]bool
	lost      map[uint32]bool
}

func newVault() *vault {
	return &vault{ids: map[string]uint32{}, destroyed: map[uint32]bool{}, lost: map[uint32]bool{}}
}

func (v *vault) seal(_ time.Time, class string) (uint32, cipher.AEAD, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, class)
	if v.fail != nil {
		return 0, nil, v.fail
	}
	id := v.id(class, v.month)
	return id, aead(id), nil
}

// id names the key of a class and month. It must be called with mu held.
func (v *vault) id(class string, month int) uint32 {
	name := fmt.Sprintf("%s %d", class, month)
	if v.ids[name] == 0 {
		v.ids[name] = uint32(len(v.ids) + 1)
	}
	return v.ids[name]
}

// key returns the id of the key of a class and month.
func (v *vault) key(class string, month int) uint32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.id(class, month)
}

func (v *vault) open(id uint32) (cipher.AEAD, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.destroyed[id]:
		return nil, fmt.Errorf("open key %d: %w", id, errKeyGone)
	case v.lost[id] || id == 0 || int(id) > len(v.ids):
		return nil, errors.New("no such file")
	}
	return aead(id), nil
}

func (v *vault) destroy(ids ...uint32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		v.destroyed[id] = true
	}
}

// set changes the vault.
func (v *vault) set(f func(*vault)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(v)
}

func (v *vault) options() ledger.Options {
	o := small()
	o.SealKey, o.OpenKey, o.KeyDestroyed = v.seal, v.open, errKeyGone
	return o
}

// aead is the key with an id. It protects nothing: these are also the keys of the frozen store in testdata.
func aead(id uint32) cipher.AEAD {
	secret := sha256.Sum256(fmt.Appendf(nil, "test key %d", id))
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic(err)
	}
	key, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return key
}

// all returns every entry of the log.
func all(t testing.TB, l *ledger.Ledger) []hippad.Entry {
	t.Helper()
	var out []hippad.Entry
	for e, err := range l.Entries(t.Context(), 0, l.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Index != int64(len(out)) {
			t.Fatalf("entry %d at place %d", e.Index, len(out))
		}
		out = append(out, e)
	}
	return out
}

// watched calls back around what passes to a store.
type watched struct {
	ledger.Store
	block  func(first int64) // for every block read
	before func(op string) error
	after  func(op string)
}

func (w *watched) Blocks(ctx context.Context, from, to int64) iter.Seq2[ledger.Block, error] {
	return func(yield func(ledger.Block, error) bool) {
		for b, err := range w.Store.Blocks(ctx, from, to) {
			if w.block != nil {
				w.block(b.First)
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

func (w *watched) around(op string, f func() error) error {
	if w.before != nil {
		if err := w.before(op); err != nil {
			return err
		}
	}
	err := f()
	if w.after != nil {
		w.after(op)
	}
	return err
}

func (w *watched) Rewrite(ctx context.Context, blocks []ledger.Block) error {
	return w.around("rewrite", func() error { return w.Store.Rewrite(ctx, blocks) })
}

func (w *watched) WriteRun(ctx context.Context, r ledger.Run) error {
	return w.around("run", func() error { return w.Store.WriteRun(ctx, r) })
}
