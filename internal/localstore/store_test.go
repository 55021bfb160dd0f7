package localstore

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t,
		func(t testing.TB) ledger.Store { return mustOpen(t, t.TempDir(), Options{}) },
		func(t testing.TB, s ledger.Store) ledger.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return mustOpen(t, s.(*Store).dir, s.(*Store).o)
		})
}

func TestStoreKeepsTheContractAfterACrash(t *testing.T) {
	storetest.Run(t,
		func(t testing.TB) ledger.Store { return mustOpen(t, "store", Options{FS: vfs.NewCrashableMem()}) },
		func(t testing.TB, s ledger.Store) ledger.Store {
			// The disk after a power cut: only what was synced is there.
			crashed := s.(*Store).o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
			t.Cleanup(func() { s.Close() })
			return mustOpen(t, "store", Options{FS: crashed})
		})
}

func mustOpen(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	defer s.Close()
	for _, open := range []func(string, Options) (*Store, error){Open, OpenReadOnly} {
		_, err := open(dir, Options{})
		if _, hint := hippad.Public(err); hippad.KindOf(err) != hippad.Conflict || hint == "" {
			t.Errorf("%v", err)
		}
	}
}

func TestFormatLadder(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	if n, err := s.format(); err != nil || n != 1 {
		t.Fatalf("format %d, %v", n, err)
	}
	if err := s.db.Set([]byte{keyFormat}, binary.BigEndian.AppendUint32(nil, 2), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	if hippad.KindOf(err) != hippad.Conflict || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer store: %v", err)
	}
	last := uint32(0)
	for _, step := range ladder() {
		if step.format != last+1 || step.reason == "" {
			t.Errorf("rung %d after %d", step.format, last)
		}
		last = step.format
	}
}

func TestOtherDirectory(t *testing.T) {
	dir := t.TempDir()
	db, err := pebble.Open(dir, &pebble.Options{Logger: pebbleLog{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set([]byte("x"), nil, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("%v", err)
	}
	if _, err := OpenReadOnly(filepath.Join(dir, "missing"), Options{}); err == nil {
		t.Error("a directory that is not there was opened for reading")
	}
	if _, err := os.Stat(filepath.Join(dir, "missing")); err == nil {
		t.Error("reading made a directory")
	}
}
