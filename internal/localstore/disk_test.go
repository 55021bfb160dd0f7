package localstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/storetest"
)

// smallDisk is a file system in memory with room for quota bytes, and a switch that makes every sync fail.
type smallDisk struct {
	*storetest.Disk
	mu      sync.Mutex
	quota   int64
	broken  atomic.Bool
	refused atomic.Int64
}

func newSmallDisk(quota int64) *smallDisk {
	return &smallDisk{Disk: storetest.NewDisk(), quota: quota}
}

func (d *smallDisk) setQuota(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.quota = n
}

func (d *smallDisk) used() int64 {
	names, err := d.List("store")
	if err != nil {
		return 0
	}
	var n int64
	for _, name := range names {
		if st, err := d.Stat(d.PathJoin("store", name)); err == nil {
			n += st.Size()
		}
	}
	return n
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	used := min(d.used(), d.quota)
	return vfs.DiskUsage{AvailBytes: uint64(d.quota - used), TotalBytes: uint64(d.quota), UsedBytes: uint64(used)}, nil
}

func (d *smallDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.Disk.Create(name, c)
	return d.wrap(f), err
}

func (d *smallDisk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.Disk.ReuseForWrite(oldname, newname, c)
	return d.wrap(f), err
}

func (d *smallDisk) wrap(f vfs.File) vfs.File {
	if f == nil {
		return nil
	}
	return &smallFile{f, d}
}

type smallFile struct {
	vfs.File
	disk *smallDisk
}

// Write writes what there is room for, as a real disk does.
func (f *smallFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	free := max(0, f.disk.quota-f.disk.used())
	if free >= int64(len(p)) {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:free])
	if err != nil {
		return n, err
	}
	f.disk.refused.Add(1)
	return n, &os.PathError{Op: "write", Path: "file", Err: syscall.ENOSPC}
}

func (f *smallFile) Sync() error {
	if f.disk.broken.Load() {
		return &os.PathError{Op: "sync", Path: "file", Err: syscall.EIO}
	}
	return f.File.Sync()
}

func (f *smallFile) SyncData() error { return f.Sync() }

// plain is a commit of one block of n bytes that do not repeat.
func plain(prev int64, n int) ledger.Commit {
	value := make([]byte, n)
	for i := range value {
		value[i] = byte((int64(i) + prev) * 7919 >> 5)
	}
	return ledger.Commit{Prev: prev, Size: prev + 1, Blocks: []ledger.Block{{First: prev, Value: value}}, Checkpoint: fmt.Appendf(nil, "checkpoint %d", prev+1)}
}

func size(t testing.TB, s *Store) int64 {
	t.Helper()
	got, err := s.Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got.Size
}

func TestFullDiskIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	disk := newSmallDisk(64 << 20)
	s := mustOpen(t, "store", Options{FS: disk, Reserve: 16 << 20})
	defer s.Close()
	n := int64(0)
	var err error
	for ; err == nil; n++ {
		err = s.Commit(t.Context(), plain(n, 1<<20))
	}
	n--
	message, hint := hippad.Public(err)
	if hippad.KindOf(err) != hippad.Unavailable || !strings.Contains(message, "full") || hint == "" {
		t.Errorf("%v (%s)", err, hint)
	}
	if n == 0 || size(t, s) != n || disk.refused.Load() != 0 {
		t.Errorf("%d commits, size %d, %d writes refused by the disk", n, size(t, s), disk.refused.Load())
	}
	disk.setQuota(disk.used() + 1<<20)
	if err := s.WriteRun(t.Context(), ledger.Run{Marker: []byte("m"), Postings: func(func(uint64, []byte) bool) {}}); hippad.KindOf(err) != hippad.Unavailable {
		t.Errorf("a run: %v", err)
	}
	disk.setQuota(256 << 20)
	if err := s.Commit(t.Context(), plain(n, 1<<20)); err != nil || size(t, s) != n+1 {
		t.Errorf("after room was made: %v", err)
	}
}

func TestDiskThatFillsUpInTheMiddleOfAWrite(t *testing.T) {
	disk := newSmallDisk(24 << 20)
	s := mustOpen(t, "store", Options{FS: disk, Reserve: -1})
	defer s.Close()
	n := int64(0)
	var err error
	for ; err == nil && n < 1000; n++ {
		err = s.Commit(t.Context(), plain(n, 1<<20))
	}
	n--
	if hippad.KindOf(err) != hippad.Unavailable || disk.refused.Load() == 0 {
		t.Fatalf("after %d: %v", n, err)
	}
	for range 2 {
		if _, err := s.Tail(t.Context()); hippad.KindOf(err) != hippad.Unavailable {
			t.Errorf("tail while the outcome is open: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.Tail(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("tail with little time: %v", err)
	}
	if err := s.Commit(t.Context(), plain(n, 1)); hippad.KindOf(err) != hippad.Unavailable {
		t.Errorf("commit while the outcome is open: %v", err)
	}
	disk.setQuota(1 << 30)
	if got := size(t, s); got != n+1 {
		t.Errorf("size %d after room was made, want %d: what waited is stored", got, n+1)
	}
	for ; n < 100; n++ {
		if err := s.Commit(t.Context(), plain(n+1, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	// And all of it is there after a power cut.
	crashed := mustOpen(t, "store", Options{FS: disk.Cut(vfs.CrashCloneCfg{})})
	defer crashed.Close()
	i := int64(0)
	for b, err := range crashed.Blocks(t.Context(), 0, n+1) {
		if err != nil || b.First != i || string(b.Value) != string(plain(i, 1<<20).Blocks[0].Value) {
			t.Fatalf("block %d: %v", i, err)
		}
		i++
	}
	if i != n+1 {
		t.Errorf("%d blocks, want %d", i, n+1)
	}
}

func TestDiskThatDoesNotKeepWhatIsWritten(t *testing.T) {
	disk := newSmallDisk(1 << 30)
	s := mustOpen(t, "store", Options{FS: disk})
	for n := range int64(5) {
		if err := s.Commit(t.Context(), plain(n, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	disk.broken.Store(true)
	err := s.Commit(t.Context(), plain(5, 1000))
	if _, hint := hippad.Public(err); hippad.KindOf(err) != hippad.Unavailable || hint == "" {
		t.Fatalf("%v", err)
	}
	disk.broken.Store(false)
	for what, err := range map[string]error{
		"commit":   s.Commit(t.Context(), plain(5, 1000)),
		"run":      s.WriteRun(t.Context(), ledger.Run{}),
		"drop":     s.DropRuns(t.Context()),
		"snapshot": s.Snapshot("copy"),
	} {
		if hippad.KindOf(err) != hippad.Unavailable {
			t.Errorf("%s on a store that has stopped: %v", what, err)
		}
	}
	if _, err := s.Tail(t.Context()); hippad.KindOf(err) != hippad.Unavailable {
		t.Errorf("tail of a store that has stopped: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again := mustOpen(t, "store", Options{FS: disk.Cut(vfs.CrashCloneCfg{})})
	defer again.Close()
	if n := size(t, again); n != 5 {
		t.Errorf("size %d after a restart", n)
	}
}

func TestRunOnAFullDisk(t *testing.T) {
	disk := newSmallDisk(64 << 20)
	s := mustOpen(t, "store", Options{FS: disk, Reserve: -1})
	defer s.Close()
	if err := s.Commit(t.Context(), plain(0, 1000)); err != nil {
		t.Fatal(err)
	}
	run := ledger.Run{Marker: []byte("marker"), Postings: func(yield func(uint64, []byte) bool) {
		for i := range uint64(200000) {
			if !yield(i<<20, []byte{byte(i)}) {
				return
			}
		}
	}}
	disk.setQuota(disk.used() + 100<<10)
	if err := s.WriteRun(t.Context(), run); hippad.KindOf(err) != hippad.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := disk.Stat("store/" + runFile); err == nil {
		t.Error("the half of the run is still there")
	}
	disk.setQuota(1 << 30)
	if err := s.WriteRun(t.Context(), run); err != nil {
		t.Error(err)
	}
	n := 0
	for range s.AllPostings(t.Context()) {
		n++
	}
	if n != 200000 {
		t.Errorf("%d postings", n)
	}
}

func TestOpenOnAFullDisk(t *testing.T) {
	_, err := Open("store", Options{FS: newSmallDisk(1 << 20)})
	if hippad.KindOf(err) != hippad.Unavailable {
		t.Errorf("%v", err)
	}
}
