package localstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/internal/ledger"
)

// tablesWith returns the tables in a directory that hold a text. The store must be closed.
func tablesWith(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d tables, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(text)) {
			found = append(found, filepath.Base(f))
		}
	}
	return found
}

func TestForgetDropsWhatWasOverwritten(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	const n = 200
	for i := range int64(n) {
		c := plain(i, 2000)
		copy(c.Blocks[0].Value, "the old value")
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	term := uint64(0x6f6c642d7465726d) // "old-term"
	write := func(terms ...uint64) {
		t.Helper()
		if err := s.WriteRun(t.Context(), ledger.Run{Number: 3, Marker: []byte("m"), Postings: func(yield func(uint64, []byte) bool) {
			for _, x := range terms {
				if !yield(x, []byte{1}) {
					return
				}
			}
		}}); err != nil {
			t.Fatal(err)
		}
	}
	write(1, term)
	if err := s.Compact(t.Context()); err != nil { // everything is in the last level, where nothing moves by itself
		t.Fatal(err)
	}
	var blocks []ledger.Block
	for i := range int64(n) {
		blocks = append(blocks, ledger.Block{First: i, Value: fmt.Appendf(nil, "new %d", i)})
	}
	if err := s.Rewrite(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
	write(1)
	// Whoever reads meanwhile goes on seeing what was there.
	for b, err := range s.Blocks(t.Context(), 0, n) {
		if err != nil || string(b.Value) != fmt.Sprintf("new %d", b.First) {
			t.Fatalf("block %d: %v", b.First, err)
		}
		if b.First == 0 {
			if err := s.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // waits for files to be deleted
		t.Fatal(err)
	}
	for _, text := range []string{"the old value", "old-term"} {
		if found := tablesWith(t, dir, text); len(found) != 0 {
			t.Errorf("%q is still in %v", text, found)
		}
	}
	if found := tablesWith(t, dir, "new 77"); len(found) == 0 {
		t.Error("the new value is in no table")
	}
	// Opening it again leaves nothing of it in the write-ahead log either.
	s = mustOpen(t, dir, Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range logs {
		if b, err := os.ReadFile(f); err != nil || bytes.Contains(b, []byte("the old value")) {
			t.Errorf("%s has the old value after a restart, %v", filepath.Base(f), err)
		}
	}
}

func TestRewriteOnAFullDisk(t *testing.T) {
	disk := newSmallDisk(64 << 20)
	s := mustOpen(t, "store", Options{FS: disk, Reserve: 16 << 20})
	defer s.Close()
	if err := s.Commit(t.Context(), plain(0, 1000)); err != nil {
		t.Fatal(err)
	}
	large := []ledger.Block{{First: 0, Value: bytes.Repeat([]byte("x"), 40<<20)}}
	if err := s.Rewrite(t.Context(), large); hippad.KindOf(err) != hippad.Unavailable || disk.refused.Load() != 0 {
		t.Errorf("%v, %d writes refused by the disk", err, disk.refused.Load())
	}
	for b, err := range s.Blocks(t.Context(), 0, 1) {
		if err != nil || !bytes.Equal(b.Value, plain(0, 1000).Blocks[0].Value) {
			t.Errorf("something was written: %v", err)
		}
	}
	disk.setQuota(1 << 30)
	if err := s.Rewrite(t.Context(), large); err != nil {
		t.Error(err)
	}
}

// A rewrite that a full disk holds up is done when there is room, or is not there at all after a power cut.
func TestRewriteOnADiskThatFillsUp(t *testing.T) {
	disk := newSmallDisk(48 << 20)
	s := mustOpen(t, "store", Options{FS: disk, Reserve: -1})
	defer s.Close()
	for i := range int64(2) {
		if err := s.Commit(t.Context(), plain(i, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	generation := byte(0)
	blocks := func() []ledger.Block {
		generation++
		return []ledger.Block{{First: 0, Value: bytes.Repeat([]byte{generation}, 2<<20)}, {First: 1, Value: bytes.Repeat([]byte{generation}, 2<<20)}}
	}
	var err error
	for err == nil && generation < 100 {
		err = s.Rewrite(t.Context(), blocks())
	}
	if hippad.KindOf(err) != hippad.Unavailable || disk.refused.Load() == 0 {
		t.Fatalf("after %d: %v", generation, err)
	}
	check := func(s *Store, want ...byte) {
		t.Helper()
		var got []byte
		for b, err := range s.Blocks(t.Context(), 0, 2) {
			if err != nil || len(b.Value) != 2<<20 || len(bytes.Trim(b.Value, string(b.Value[:1]))) != 0 {
				t.Fatalf("block %d: %v", b.First, err)
			}
			got = append(got, b.Value[0])
		}
		if len(got) != 2 || got[0] != got[1] || !bytes.Contains(want, got[:1]) {
			t.Errorf("generations %v, want one of %v", got, want)
		}
	}
	cut := mustOpen(t, "store", Options{FS: disk.Cut(vfs.CrashCloneCfg{})})
	check(cut, generation-1)
	if err := cut.Close(); err != nil {
		t.Fatal(err)
	}
	disk.setQuota(1 << 30)
	if err := s.Rewrite(t.Context(), blocks()); err != nil {
		t.Fatal(err)
	}
	check(s, generation)
	crashed := mustOpen(t, "store", Options{FS: disk.Cut(vfs.CrashCloneCfg{})})
	defer crashed.Close()
	check(crashed, generation)
}

func TestRewriteNeedsAStoreThatWorks(t *testing.T) {
	disk := newSmallDisk(1 << 30)
	s := mustOpen(t, "store", Options{FS: disk})
	if err := s.Commit(t.Context(), plain(0, 1000)); err != nil {
		t.Fatal(err)
	}
	disk.broken.Store(true)
	block := []ledger.Block{{First: 0, Value: []byte("new")}}
	for range 2 {
		if err := s.Rewrite(t.Context(), block); hippad.KindOf(err) != hippad.Unavailable {
			t.Errorf("%v", err)
		}
	}
	if err := s.Forget(t.Context()); hippad.KindOf(err) != hippad.Unavailable {
		t.Errorf("forget: %v", err)
	}
	disk.broken.Store(false)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again := disk.Cut(vfs.CrashCloneCfg{})
	mustOpen(t, "store", Options{FS: again}).Close()
	readOnly, err := OpenReadOnly("store", Options{FS: again})
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	for b, err := range readOnly.Blocks(t.Context(), 0, 1) {
		if err != nil || !bytes.Equal(b.Value, plain(0, 1000).Blocks[0].Value) {
			t.Errorf("block %d: %v", b.First, err)
		}
	}
	if readOnly.Rewrite(t.Context(), block) == nil || readOnly.Forget(t.Context()) == nil {
		t.Error("a store that is open for reading only was changed")
	}
}

// A store of format 1 can be read as it is, and has the newest format once it was opened for writing.
func TestOlderFormat(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	if err := s.db.Set([]byte{keyFormat}, binary.BigEndian.AppendUint32(nil, 1), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	format := func(s *Store, err error) uint32 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		n, err := s.format()
		if err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return n
	}
	if n := format(OpenReadOnly(dir, Options{})); n != 1 {
		t.Errorf("reading made it format %d", n)
	}
	if n := format(Open(dir, Options{})); n != 2 {
		t.Errorf("writing left it at format %d", n)
	}
	if _, err := OpenReadOnly(t.TempDir(), Options{}); err == nil {
		t.Error("an empty directory was opened for reading")
	}
}
