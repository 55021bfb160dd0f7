// Package testlog owns a whole log in memory for the tests of the rooms that keep what people decide: ledger, repository, readers, keys, and a
// store that can be told to fail.
//
// It opens no room and judges nothing: that is the test's. The invariant: what is opened again has what its store has, and nothing else.
package testlog

import (
	"context"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/atna"
	"hippad/internal/fhir"
	"hippad/internal/ledger"
	"hippad/internal/repository"
	"hippad/internal/seal"
	"hippad/internal/storetest"
)

// T is a test, a benchmark or a property.
type T interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// A Log is a log that can be stopped and started. The fields may be set before Open.
type Log struct {
	Store     *storetest.Memory
	Disk      ledger.Store // instead of Store, if it is not nil
	Keys      *seal.Keys
	RunLength int                      // entries of a run of the index; 0: as many as there really are
	Now       func() time.Time         // nil: time.Now
	Term      func(hippad.Term) uint64 // nil: that of Keys

	*repository.Repository // since Open
}

// New returns a log that is not open yet.
func New(t testing.TB) *Log {
	t.Helper()
	keys, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example"})
	if err != nil {
		t.Fatal(err)
	}
	return &Log{Store: storetest.NewMemory(nil), Keys: keys}
}

// Read reads what Report takes.
func Read(r hippad.Report) hippad.Event {
	if r.Media == hippad.MediaXML {
		return atna.ReadXML(r.Body)
	}
	return fhir.Read(r.Body)
}

// Open opens the ledger with what the store has.
func (l *Log) Open(t T) {
	t.Helper()
	store := ledger.Store(l.Store)
	if l.Disk != nil {
		store = l.Disk
	}
	now := l.Now
	if now == nil {
		now = time.Now
	}
	term := l.Term
	if term == nil {
		term = l.Keys.Term
	}
	opened, err := ledger.Open(context.Background(), store, ledger.Options{
		Signer: l.Keys.Signer, Verifier: l.Keys.Verifier, Salt: l.Keys.Salt, RunLength: l.RunLength, Now: now,
		SealKey: l.Keys.SealKey, OpenKey: l.Keys.OpenKey, KeyDestroyed: seal.ErrDestroyed,
		Index: repository.Indexer(Read, term, nil, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Repository = &repository.Repository{
		Ledger: opened, Read: Read, Write: fhir.Write, Term: term, Now: now, Self: hippad.Principal{Kind: hippad.KindSelf, ID: "log.example"},
	}
}

// Close closes the ledger.
func (l *Log) Close(t T) {
	t.Helper()
	if err := l.Ledger.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Reopen closes the ledger, and opens it again with what its store has.
func (l *Log) Reopen(t T) {
	t.Helper()
	l.Close(t)
	state := l.Store.State()
	l.Store = storetest.NewMemory(&state)
	l.Open(t)
}

// Report records bodies, audit messages in XML or AuditEvents in JSON, as one frame of a reporter, and returns the index of the first.
func (l *Log) Report(t T, bodies ...string) int64 {
	t.Helper()
	var f hippad.Frame
	for _, b := range bodies {
		media := hippad.MediaFHIRJSON
		if strings.HasPrefix(b, "<") {
			media = hippad.MediaXML
		}
		f.Reports = append(f.Reports, hippad.Report{Media: media, Body: []byte(b)})
	}
	wait, err := l.As(Person("pacs", hippad.RoleReporter), hippad.DoorNative).Record(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return ack.Ranges[0].First
}

// Person is somebody with roles.
func Person(id string, roles ...hippad.Role) hippad.Caller {
	return hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindPerson, ID: id}, Grant: hippad.Grant{Roles: roles}}
}
