// Package localstore keeps a log in one directory, in Pebble: ledger.Store for one machine.
//
// It owns the directory, its lock, the keys and the number of the format, and what to do when the disk is full. It does not
// know what is in a value. The invariant: what Tail has shown is on the disk, all of it, whatever happens next to the
// process or the power. The format is described in docs/store.md.
package localstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/internal/ledger"
)

// DefaultReserve is how much of the disk commits leave free: room for what Pebble has to move about, twice.
const DefaultReserve = 256 << 20

// openNeeds is what must be free on the disk for Pebble to open a directory for writing.
const openNeeds = 16 << 20

// Options are how a store is opened. The zero value is good.
type Options struct {
	FS      vfs.FS       // nil: the operating system's
	Log     *slog.Logger // nil: discarded
	Cache   int64        // bytes of memory for blocks read; zero: 128 MiB
	Reserve int64        // commits are refused while the disk has less free, in bytes; zero: DefaultReserve, negative: none
}

// Store is one open directory. It implements ledger.Store.
type Store struct {
	dir  string
	o    Options
	db   *pebble.DB
	disk *patientFS
	lock *pebble.Lock

	readOnly bool

	mu       sync.Mutex  // held by Commit and Tail; owns what follows
	tail     ledger.Tail // the newest that is durable
	inFlight *inFlight   // a commit whose outcome is open

	ahead map[int64][]uint64 // owned by WriteRun: the terms of runs that may be replaced next

	broken chan struct{} // closed when Pebble cannot go on
	reason atomic.Pointer[error]
	size   atomic.Int64
}

var _ ledger.Store = (*Store)(nil)

// Open opens the store in dir and creates it if there is none. Kind Conflict if another process has it, or if it was
// written by a newer program.
func Open(dir string, o Options) (*Store, error) { return open(dir, o, false) }

// OpenReadOnly opens a store that exists, and changes nothing in it: for an audit. It too needs the directory for itself.
func OpenReadOnly(dir string, o Options) (*Store, error) { return open(dir, o, true) }

func open(dir string, o Options, readOnly bool) (_ *Store, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Cache <= 0 {
		o.Cache = 128 << 20
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	s := &Store{dir: dir, o: o, readOnly: readOnly, disk: newPatientFS(o.FS), broken: make(chan struct{})}
	if readOnly {
		if _, err := o.FS.Stat(dir); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	} else if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	} else if err := s.freeAtLeast(openNeeds); err != nil {
		return nil, err
	}
	if s.lock, err = pebble.LockDirectory(dir, o.FS); errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("open store: %w", err)
	} else if err != nil {
		return nil, hippad.Errorf(hippad.Conflict, "the store in %s is in use: %w", dir, err).
			WithHint("stop the other hippad, or work on a snapshot")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.db, err = pebble.Open(dir, s.pebbleOptions(readOnly)); err != nil {
		return nil, fmt.Errorf("open store in %s: %w", dir, err)
	}
	if err := s.checkFormat(readOnly); err != nil {
		return nil, fmt.Errorf("open store in %s: %w", dir, err)
	}
	if s.tail, err = s.readTail(); err != nil {
		return nil, fmt.Errorf("open store in %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) pebbleOptions(readOnly bool) *pebble.Options {
	o := &pebble.Options{
		FS:       s.disk,
		Lock:     s.lock,
		ReadOnly: readOnly,
		Logger:   pebbleLog{s},
		// Fixed, so that a new release of Pebble does not change what is on the disk: a step of our own ladder does.
		FormatMajorVersion: pebble.FormatValueSeparation,
		CacheSize:          s.o.Cache,
		MemTableSize:       32 << 20,
		// Every run of the index lies across all others and is a sublevel of its own until it is compacted. Commits must
		// not wait for that.
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       128,
		LBaseMaxBytes:               256 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		EventListener: &pebble.EventListener{BackgroundError: func(err error) {
			s.o.Log.Error("store: background work", "err", err)
		}},
	}
	// Blocks are zstd frames, hashes are random and postings are deltas: there is nothing to gain, see docs/store.md.
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	for i := range o.Levels {
		o.Levels[i].BlockSize = 16 << 10
		if i < len(o.Levels)-1 { // for the streams; in the last level a filter is as large as what it saves
			o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		}
	}
	return o
}

// Close gives the directory back.
func (s *Store) Close() error {
	s.disk.stop()
	if s.reason.Load() != nil {
		// Pebble stands still with its locks held, so it cannot be closed. The lock on the directory stays until the
		// process ends: another process must not write while this one still has goroutines that may.
		return nil
	}
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Snapshot writes a consistent copy of the store, as of now, to dst, which must not exist. On the same file system it is made of
// links and costs next to nothing. The store goes on meanwhile.
func (s *Store) Snapshot(dst string) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.db.Checkpoint(dst, pebble.WithFlushedWAL()); errors.Is(err, fs.ErrExist) {
		return hippad.Errorf(hippad.Conflict, "snapshot: %s exists already", dst)
	} else if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// Size returns how many bytes the store's content takes on the disk: its tables, and what is in the write-ahead log and in no
// table yet. Log files that are kept to be written again, up to 160 MiB whatever the size of the log, are not content.
func (s *Store) Size() int64 {
	if s.reason.Load() == nil {
		m := s.db.Metrics()
		s.size.Store(int64(m.Table.Local.LiveSize + m.WAL.Size))
	}
	return s.size.Load()
}

// Forget drops what was overwritten by Rewrite and by runs that were replaced from the tables of the store, which would
// happen by itself in time. The log goes on meanwhile. It is housekeeping and no erasure: the write-ahead log keeps old bytes
// until its files are written over or the store is opened again, and what a file system, a disk or a snapshot keeps of
// deleted files is beyond a program. What makes content unreadable is that its key is destroyed.
func (s *Store) Forget(ctx context.Context) error {
	if err := s.writable(); err != nil {
		return err
	}
	// A flush alone takes what was overwritten soon after it was written.
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	for _, r := range [][2]byte{{keyBlock, keyBlock + 1}, {keyPosting, keyRun + 1}} {
		if err := s.db.Compact(ctx, []byte{r[0]}, []byte{r[1]}, false); err != nil {
			return fmt.Errorf("forget: %w", err)
		}
	}
	return nil
}

// Compact moves everything to its final place. The store does so by itself in time; this is for measuring.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	if err := s.db.Compact(ctx, []byte{0}, []byte{0xff}, true); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

// usable returns the error of kind Unavailable that every write gets once Pebble cannot go on.
func (s *Store) usable() error {
	if err := s.reason.Load(); err != nil {
		return *err
	}
	return nil
}

// writable is asked first by everything that writes.
func (s *Store) writable() error {
	if s.readOnly {
		return errReadOnly
	}
	return s.usable()
}

var errReadOnly = errors.New("the store is open for reading only")

// fail notes that Pebble cannot go on.
func (s *Store) fail(what string) {
	var err error = hippad.Errorf(hippad.Unavailable, "the store has stopped because the disk does not keep what is written").
		WithHint("check the disk, then start hippad again: nothing that was acknowledged is lost")
	if s.reason.CompareAndSwap(nil, &err) {
		s.o.Log.Error("the store has stopped", "cause", what)
		close(s.broken)
	}
}

// pebbleLog is Pebble's logger.
type pebbleLog struct{ s *Store }

func (pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.s.o.Log.Error("store: " + fmt.Sprintf(format, args...))
}

// Fatalf is where Pebble stops: its log or its manifest took an error, so it no longer knows what is on the disk. It must not
// go on. The goroutine is held here, with whatever locks it has; Commit and Tail see broken and refuse. A restart
// recovers from what is on the disk.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Sprintf(format, args...))
	select {}
}
