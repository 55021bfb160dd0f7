package custody_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
	"hippad/internal/custody"
	"hippad/internal/fhir"
	"hippad/internal/ledger"
	"hippad/internal/regulation"
	"hippad/internal/repository"
	"hippad/internal/seal"
	"hippad/internal/storetest"
)

// A test report is a small JSON object. What the log says about itself is read and written as it really is.
type fact struct {
	Patient string
	At      time.Time
	Ends    string
	Garbage bool
}

const media = "application/json"

func read(r hippad.Report) hippad.Event {
	if r.Media == hippad.MediaFHIRJSON {
		return fhir.Read(r.Body)
	}
	var f fact
	if err := json.Unmarshal(r.Body, &f); err != nil || f.Garbage {
		return hippad.Event{Unreadable: "not a fact"}
	}
	ev := hippad.Event{Action: "R", Recorded: f.At}
	n := hippad.Entity{What: hippad.Reference{Identifier: hippad.Identifier{Value: f.Patient}}, Role: hippad.Code{Code: "1"}}
	if f.Ends != "" {
		n.Details = []hippad.Detail{{Type: "retention-ends", Value: []byte(f.Ends)}}
	}
	ev.Entities = []hippad.Entity{n}
	return ev
}

// vault hands out data keys as seal.Ring does: one for each month and class.
type vault struct {
	mu      sync.Mutex
	keys    []custody.DataKey
	destroy func(ids []uint32) error // before keys are destroyed; nil: nothing
}

var errGone = errors.New("the key is gone")

func (v *vault) seal(at time.Time, class string) (uint32, cipher.AEAD, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	month := at.UTC().Format("2006-01")
	for _, k := range v.keys {
		if k.Month == month && k.Class == class && k.Destroyed.IsZero() {
			return k.ID, aead(k.ID), nil
		}
	}
	id := uint32(len(v.keys) + 1)
	v.keys = append(v.keys, custody.DataKey{ID: id, Month: month, Class: class, Created: time.Now()})
	return id, aead(id), nil
}

func (v *vault) open(id uint32) (cipher.AEAD, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if id == 0 || int(id) > len(v.keys) {
		return nil, errors.New("no such key")
	}
	if !v.keys[id-1].Destroyed.IsZero() {
		return nil, errGone
	}
	return aead(id), nil
}

func (v *vault) list() []custody.DataKey {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.keys)
}

func (v *vault) end(_ context.Context, ids []uint32) error {
	if v.destroy != nil {
		if err := v.destroy(ids); err != nil {
			return err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		if v.keys[id-1].Destroyed.IsZero() {
			v.keys[id-1].Destroyed = time.Now()
		}
	}
	return nil
}

// key returns the key of a month and class that is there, 0 if there is none.
func (v *vault) key(month, class string) uint32 {
	for _, k := range v.list() {
		if k.Month == month && k.Class == class && k.Destroyed.IsZero() {
			return k.ID
		}
	}
	return 0
}

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

var (
	olga  = person("olga", hippad.RoleOfficer)
	otto  = person("otto", hippad.RoleOfficer)
	admin = person("ada", hippad.RoleAdministrator)
	pacs  = hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:01", Organisation: "West"},
		Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleReporter}}}
)

func person(id string, roles ...hippad.Role) hippad.Caller {
	return hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindPerson, ID: id}, Grant: hippad.Grant{Roles: roles}}
}

type world struct {
	*custody.Custody
	store   *storetest.Memory
	vault   *vault
	keys    *seal.Keys
	classes *regulation.Classes
	compact func() error
	resumed error // what finishing purges came to at the start
}

// keysFor makes the log's secrets once: outside the bubble, and not for every world.
func keysFor(t *testing.T) *seal.Keys {
	keys, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example"})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// story runs a test in a bubble, where a year passes in no time.
func story(t *testing.T, f func(t *testing.T, w *world)) {
	keys := keysFor(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(keys)
		w.open(t)
		defer w.stop(t)
		f(t, w)
	})
}

func newWorld(keys *seal.Keys) *world {
	return &world{store: storetest.NewMemory(nil), vault: &vault{}, keys: keys}
}

func (w *world) options() ledger.Options {
	return ledger.Options{
		Signer: w.keys.Signer, Verifier: w.keys.Verifier, Salt: w.keys.Salt, RunLength: 64,
		SealKey: w.vault.seal, OpenKey: w.vault.open, KeyDestroyed: errGone,
		Index: repository.Indexer(read, w.keys.Term, nil, w.classes.Classify),
	}
}

type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// open opens the log and its custody, as a start does.
func (w *world) open(t fatal) {
	t.Helper()
	l, err := ledger.Open(context.Background(), w.store, w.options())
	if err != nil {
		t.Fatal(err)
	}
	w.Custody, err = custody.Open(context.Background(), w.config(l))
	if err != nil {
		t.Fatal(err)
	}
	w.resumed = w.Resume(context.Background())
}

func (w *world) config(l *ledger.Ledger) custody.Config {
	return custody.Config{
		Ledger: l, Classes: w.classes, DataKeys: w.vault.list, DestroyKeys: w.vault.end, VerifierKey: w.keys.VerifierKey, Now: time.Now,
		Compact: func(context.Context) error {
			if w.compact != nil {
				return w.compact()
			}
			return nil
		},
		Repository: &repository.Repository{
			Ledger: l, Read: read, Write: fhir.Write, Term: w.keys.Term, Now: time.Now, Self: hippad.Principal{Kind: hippad.KindSelf, ID: "log.example"},
		},
	}
}

func (w *world) stop(t fatal) {
	if err := w.Ledger.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// crash stops the log and opens it again with what its store has.
func (w *world) crash(t fatal) {
	t.Helper()
	w.stop(t)
	state := w.store.State()
	w.store = storetest.NewMemory(&state)
	w.open(t)
}

// report returns the indexes of what it reports.
func (w *world) report(t fatal, c hippad.Caller, facts ...fact) (indexes []int64) {
	t.Helper()
	var f hippad.Frame
	for _, x := range facts {
		body, _ := json.Marshal(x)
		f.Reports = append(f.Reports, hippad.Report{Media: media, Body: body})
	}
	wait, err := w.Repository.As(c, hippad.DoorNative).Record(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ack.Ranges {
		for i := range r.Count {
			indexes = append(indexes, r.First+int64(i))
		}
	}
	return indexes
}

// entry reads one.
func (w *world) entry(t fatal, index int64) hippad.Entry {
	t.Helper()
	for e, err := range w.Ledger.Entries(context.Background(), index, index+1) {
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	t.Fatalf("no entry %d", index)
	return hippad.Entry{}
}

// alive returns which of the entries have their content.
func (w *world) alive(t fatal, indexes ...int64) (out []int64) {
	for _, i := range indexes {
		if !w.entry(t, i).Destroyed {
			out = append(out, i)
		}
	}
	return out
}

// purge asks for and confirms.
func (w *world) purge(t fatal, order custody.PurgeOrder) custody.Certificate {
	t.Helper()
	q, err := w.AskPurge(context.Background(), olga, order, "the six years are over")
	if err == nil {
		q, err = w.Confirm(context.Background(), otto, q.ID, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if q.State != custody.StateDone {
		t.Fatalf("the purge is %s", q.State)
	}
	all := w.Certificates()
	return all[len(all)-1]
}

// sound audits the log: all of it must hold, and whatever is gone must have a certificate.
func (w *world) sound(t fatal) {
	t.Helper()
	evidence := custody.NewEvidence(read)
	o := w.options()
	index := o.Index
	o.Index = func(e hippad.Entry) ledger.Indexed {
		evidence.See(e)
		return index(e)
	}
	got, err := ledger.Audit(context.Background(), w.store, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	var gone []hippad.Range
	for _, g := range got.Gone {
		gone = append(gone, g.Range)
	}
	if left := evidence.Uncertified(gone); len(left) > 0 || len(evidence.Unfinished()) > 0 {
		t.Fatalf("%v are gone without a certificate; unfinished: %v", left, evidence.Unfinished())
	}
	if left, err := w.Uncertified(context.Background(), gone); err != nil || len(left) > 0 {
		t.Fatalf("%v are gone without a certificate, %v", left, err)
	}
}

const (
	days  = 24 * time.Hour
	years = 366 * days
)
