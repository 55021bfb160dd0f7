// Package spool keeps reports in one directory until the log has them: what a reporter adds survives a crash, a power
// cut and a server that is away, and each report gets into the log once, in order.
//
// It owns the directory, the id of the reporter's stream and the numbers in it. It does not own connections (the caller
// hands Send a hippad.Session), nor limits (the caller says what the session takes).
//
// Why nothing is lost or doubled: a report gets its number in the same synced write that stores it, Send shows the
// session nothing that is not on the disk, and once shown, a number is bound to its report for ever. The log remembers
// the last number that it committed, in the same commit. So whatever dies between commit and acknowledgement, Send only
// has to repeat from the first report that it does not know to be acknowledged: what the log has is not stored again,
// and what it has not follows without a gap.
//
// A report that the log rejects for good (kinds Invalid and TooLarge) would stop all that come after it, and its number
// can neither be left out, which would be a gap, nor be given to the next report, because copies of later frames may
// still be on their way in an old connection. So, in one synced write, the report is set aside (see Rejected) and its
// number is bound to a small notice that says what was withheld, and that is what the log gets: the hole shows.
// docs/protocol.md section 5 says the same to other implementers.
//
// The invariant: at every moment, and after every crash, the queue on the disk holds exactly the numbers from the last
// known to be acknowledged plus one to the last added, without a gap.
package spool

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
)

// A Spool is one open directory. Its methods may be used from many goroutines at once.
type Spool struct {
	dir  string
	disk vfs.FS
	lock *pebble.Lock
	db   *pebble.DB

	ctx     context.Context // ends when Close is called
	cancel  context.CancelFunc
	using   sync.RWMutex // held for reading while db is in use, for writing by Close
	adding  sync.Mutex   // held by Add, so that numbers reach the disk in their order
	sending sync.Mutex   // held by Send and Renumber
	purged  uint64       // nothing up to this number is left on the disk; owned by whoever holds sending

	broken chan struct{} // closed when Pebble cannot go on
	once   sync.Once

	mu     sync.Mutex
	closed bool
	stream hippad.StreamID
	base   uint64   // a report's number in the stream is its number here less base; see Renumber
	added  position // the last report that is durable
	gone   position // the last report known to be acknowledged
}

// A position is a place in the queue: a number, and the bytes of all bodies up to it.
type position struct {
	number uint64
	bytes  int64
}

const (
	format    = 1
	formatTag = "hippad-spool"
	reserve   = 32 << 20 // bytes of the disk that Add leaves free, for Pebble to work with
)

// Keys. Numbers are big-endian, so that their order is the order of the keys.
const (
	keyFormat   = 'f' // -> formatTag, u32: an older program must not open what a newer one has written
	keyStream   = 's' // -> stream id, u64 base
	keyAdded    = 'n' // -> position
	keyGone     = 'a' // -> position
	keyQueue    = 'q' // u64 number -> item
	keyHash     = 'h' // hash of the report, u64 number -> nothing; may outlive the report until it is purged
	keyRejected = 'r' // u64 number -> rejection
)

// Open opens the spool in dir and creates it if there is none. It is kind Conflict if another process has it open, if a
// newer program has written it, or if the directory holds something else.
func Open(dir string) (*Spool, error) { return open(dir, vfs.Default) }

func open(dir string, disk vfs.FS) (_ *Spool, err error) {
	s := &Spool{dir: dir, disk: disk, broken: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if s.lock, err = pebble.LockDirectory(dir, disk); errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("open spool: %w", err)
	} else if err != nil {
		return nil, hippad.Errorf(hippad.Conflict, "the spool in %s is in use: %w", dir, err).
			WithHint("another hippad is sending from it; wait for it, or give this one a directory of its own")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	s.db, err = pebble.Open(dir, &pebble.Options{FS: disk, Lock: s.lock, Logger: pebbleLog{s}, CacheSize: 8 << 20, MemTableSize: 16 << 20,
		// Fixed, so that a new release of Pebble does not change what is on the disk.
		FormatMajorVersion: pebble.FormatValueSeparation})
	if err != nil {
		return nil, fmt.Errorf("open spool in %s: %w", dir, err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open spool in %s: %w", dir, err)
	}
	// A crash may have left reports that were forgotten and not yet deleted.
	if err := s.purge(); err != nil {
		return nil, fmt.Errorf("open spool in %s: %w", dir, err)
	}
	return s, nil
}

// load reads the state, or creates it in a new directory with one write.
func (s *Spool) load() error {
	have, err := s.get(keyFormat)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return s.create()
	case err != nil:
		return err
	case len(have) != len(formatTag)+4 || string(have[:len(formatTag)]) != formatTag:
		return hippad.Errorf(hippad.Conflict, "the directory holds something else than a spool")
	}
	if v := binary.BigEndian.Uint32(have[len(formatTag):]); v > format {
		return hippad.Errorf(hippad.Conflict, "the spool has format %d, this program knows formats up to %d", v, format).
			WithHint("use the newer hippad that wrote it")
	}
	stream, err := s.get(keyStream)
	if err != nil || len(stream) != 24 {
		return errors.Join(errors.New("the stream id is damaged"), err)
	}
	s.stream, s.base = hippad.StreamID(stream[:16]), binary.BigEndian.Uint64(stream[16:])
	if s.added, err = s.position(keyAdded); err != nil {
		return err
	}
	s.gone, err = s.position(keyGone)
	return err
}

func (s *Spool) create() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	if it.First() {
		err = hippad.Errorf(hippad.Conflict, "the directory holds something else than a spool")
	}
	if err := errors.Join(err, it.Close()); err != nil {
		return err
	}
	rand.Read(s.stream[:])
	b := s.db.NewBatch()
	b.Set([]byte{keyFormat}, binary.BigEndian.AppendUint32([]byte(formatTag), format), nil)
	b.Set([]byte{keyStream}, streamValue(s.stream, 0), nil)
	b.Set([]byte{keyAdded}, position{}.encode(), nil)
	b.Set([]byte{keyGone}, position{}.encode(), nil)
	return s.commit(b, pebble.Sync)
}

func streamValue(id hippad.StreamID, base uint64) []byte {
	return binary.BigEndian.AppendUint64(id[:], base)
}

// Close gives the directory back. A Send that is at work ends.
func (s *Spool) Close() error {
	s.cancel()
	if s.isBroken() {
		// Pebble stands still with its locks held. The directory stays locked until the process ends.
		return nil
	}
	s.using.Lock()
	defer s.using.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	errs = append(errs, s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}

// use is called before db is used; the caller calls release after.
func (s *Spool) use() (release func(), err error) {
	s.using.RLock()
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	switch {
	case closed:
		err = hippad.Errorf(hippad.Unavailable, "the spool is closed")
	case s.isBroken():
		err = s.brokenError()
	default:
		return s.using.RUnlock, nil
	}
	s.using.RUnlock()
	return nil, err
}

// Stream returns the id of the stream that the numbers belong to. Connections must be opened for it.
func (s *Spool) Stream() hippad.StreamID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream
}

// Add puts reports at the end of the queue, all or none. They are on the disk when it returns; the first has number
// first and the others follow. When it fails with kind Unavailable because the disk failed, they may be there or not
// after the next Open: ask Contains.
func (s *Spool) Add(reports ...hippad.Report) (first uint64, err error) {
	var size int64
	for i, r := range reports {
		if len(r.Media) > hippad.MaxMedia || r.Fault > hippad.Stray {
			return 0, hippad.Errorf(hippad.Invalid, "report %d has a media type or a fault that no log takes", i+1)
		}
		size += int64(len(r.Body))
	}
	release, err := s.use()
	if err != nil {
		return 0, err
	}
	defer release()
	s.adding.Lock()
	defer s.adding.Unlock()
	if usage, err := s.disk.GetDiskUsage(s.dir); err == nil && int64(min(usage.AvailBytes, 1<<62)) < reserve+2*size {
		return 0, hippad.Errorf(hippad.Unavailable, "the disk of the spool is full").WithHint("make room on the disk of %s", s.dir)
	}
	s.mu.Lock()
	p := s.added
	s.mu.Unlock()
	first = p.number + 1
	if len(reports) == 0 {
		return first, nil
	}
	b := s.db.NewBatch()
	for _, r := range reports {
		p.number++
		p.bytes += int64(len(r.Body))
		b.Set(numberKey(keyQueue, p.number), item{Report: r}.encode(), nil)
		b.Set(hashKey(r, p.number), nil, nil)
	}
	b.Set([]byte{keyAdded}, p.encode(), nil)
	if err := s.commit(b, pebble.Sync); err != nil {
		return 0, fmt.Errorf("add to spool: %w", err)
	}
	// Only now may Send see them: what is not on the disk must not reach the log, or its number would be given twice.
	s.mu.Lock()
	s.added = p
	s.mu.Unlock()
	return first, nil
}

// Pending returns how many reports wait, and the bytes of their bodies.
func (s *Spool) Pending() (count int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.added.number - s.gone.number), s.added.bytes - s.gone.bytes
}

// Contains tells whether a report with the same media type, fault and body is waiting, so that running a command again
// does not report the same thing twice. A spool that cannot be read contains nothing.
func (s *Spool) Contains(r hippad.Report) bool {
	release, err := s.use()
	if err != nil {
		return false
	}
	defer release()
	s.mu.Lock()
	gone, added := s.gone.number, s.added.number
	s.mu.Unlock()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: hashKey(r, gone+1), UpperBound: hashKey(r, added+1)})
	if err != nil {
		return false
	}
	defer it.Close()
	return it.First()
}

// Renumber gives what is pending a new stream, whose numbers begin with 1. It is for one case only: the log says kind
// Conflict because it no longer knows what it had acknowledged (it was restored from an old copy). Reports whose
// outcome was unknown may then be stored twice. Connections must be opened again, for the new Stream.
func (s *Spool) Renumber() error {
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	if !s.sending.TryLock() {
		return errSending
	}
	defer s.sending.Unlock()
	var id hippad.StreamID
	rand.Read(id[:])
	s.mu.Lock()
	base := s.gone.number
	s.mu.Unlock()
	b := s.db.NewBatch()
	b.Set([]byte{keyStream}, streamValue(id, base), nil)
	if err := s.commit(b, pebble.Sync); err != nil {
		return fmt.Errorf("renumber spool: %w", err)
	}
	s.mu.Lock()
	s.stream, s.base = id, base
	s.mu.Unlock()
	return nil
}
