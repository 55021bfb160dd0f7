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
		func(t testing.TB) ledger.Store { return mustOpen(t, "store", Options{FS: storetest.NewDisk()}) },
		func(t testing.TB, s ledger.Store) ledger.Store {
			// The disk after a power cut: only what was synced is there.
			crashed := s.(*Store).o.FS.(*storetest.Disk).Cut(vfs.CrashCloneCfg{})
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
	if n, err := s.format(); err != nil || n != 2 {
		t.Fatalf("format %d, %v", n, err)
	}
	if err := s.db.Set([]byte{keyFormat}, binary.BigEndian.AppendUint32(nil, 3), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	if hippad.KindOf(err) != hippad.Conflict || !strings.Contains(err.Error(), "format 3") {
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

func TestSnapshotOfARunningStore(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "store"), Options{})
	defer s.Close()
	for n := range int64(50) {
		if err := s.Commit(t.Context(), plain(n, 5000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WriteRun(t.Context(), ledger.Run{Marker: []byte("m"), Postings: func(yield func(uint64, []byte) bool) { yield(7, []byte{1}) }}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := int64(50); n < 150; n++ {
			if err := s.Commit(t.Context(), plain(n, 5000)); err != nil {
				t.Error(err)
			}
		}
	}()
	dst := filepath.Join(t.TempDir(), "copy")
	if err := s.Snapshot(dst); err != nil {
		t.Fatal(err)
	}
	<-done
	if err := s.Snapshot(dst); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("a snapshot over another: %v", err)
	}
	c, err := OpenReadOnly(dst, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := size(t, c)
	if n < 50 || n > 150 {
		t.Errorf("size %d", n)
	}
	i := int64(0)
	for b, err := range c.Blocks(t.Context(), 0, n) {
		if err != nil || string(b.Value) != string(plain(i, 5000).Blocks[0].Value) {
			t.Fatalf("block %d: %v", i, err)
		}
		i++
	}
	if i != n {
		t.Errorf("%d blocks, size %d", i, n)
	}
	for p, err := range c.AllPostings(t.Context()) {
		if err != nil || p.Term != 7 {
			t.Errorf("%v, %v", p, err)
		}
	}
	if err := c.Commit(t.Context(), plain(n, 1)); err == nil {
		t.Error("a commit to a store that is open for reading only")
	}
	if err := c.WriteRun(t.Context(), ledger.Run{}); err == nil {
		t.Error("a run written to a store that is open for reading only")
	}
	if s.Size() <= 0 {
		t.Errorf("size on the disk %d", s.Size())
	}
	usage, err := s.Usage()
	if err != nil || usage[keyBlock] < 0 {
		t.Errorf("%v, %v", usage, err)
	}
}
