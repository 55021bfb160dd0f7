package localstore

import (
	"bytes"
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/internal/ledger"
)

// patience is how long Commit waits for a disk that is full in the middle of it, and Tail for the outcome.
const patience = 2 * time.Second

// inFlight is a commit that Pebble has taken and not finished.
type inFlight struct {
	tail ledger.Tail
	done chan error
}

// Commit implements ledger.Store.
//
// Pebble cannot take a write back: once its log has an error it stops for good. So a disk that is nearly full is refused
// before anything is written. If it fills up all the same in the middle of a write, the write waits for room (see
// patientFS), and Commit gives up waiting for it: the commit is then in flight, and Tail says what became of it.
func (s *Store) Commit(ctx context.Context, c ledger.Commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	if s.tail.Size != c.Prev {
		return ledger.ErrMoved
	}
	b := s.db.NewBatch()
	if err := fill(b, c); err != nil {
		return err
	}
	if err := s.room(int64(b.Len())); err != nil {
		return err
	}
	f := &inFlight{tail: ledger.Tail{Size: c.Size, Checkpoint: bytes.Clone(c.Checkpoint)}, done: make(chan error, 1)}
	go func() { f.done <- s.db.Apply(b, pebble.Sync) }()
	s.inFlight = f
	return s.await(context.WithoutCancel(ctx))
}

// fill writes the commit into a batch.
func fill(b *pebble.Batch, c ledger.Commit) error {
	for _, x := range c.Blocks {
		if err := b.Set(key64(keyBlock, x.First), x.Value, nil); err != nil {
			return err
		}
	}
	for _, r := range c.Hashes {
		value := make([]byte, 0, 32*len(r.Hashes))
		for _, h := range r.Hashes {
			value = append(value, h[:]...)
		}
		if err := b.Set(hashKey(r.Level, r.First), value, nil); err != nil {
			return err
		}
	}
	for _, x := range c.Streams {
		if err := b.Set(streamKey(x.Key), x.State, nil); err != nil {
			return err
		}
	}
	return b.Set(key64(keyCheckpoint, c.Size), c.Checkpoint, nil)
}

// room refuses a write that would leave the disk too full for Pebble to do its work.
func (s *Store) room(bytes int64) error {
	return s.freeAtLeast(s.o.Reserve + 2*bytes)
}

// freeAtLeast is an error of kind Unavailable if the disk has less room.
func (s *Store) freeAtLeast(need int64) error {
	if s.o.Reserve < 0 {
		return nil
	}
	usage, err := s.o.FS.GetDiskUsage(s.dir)
	if err == vfs.ErrUnsupported {
		return nil
	}
	if err != nil {
		return hippad.Errorf(hippad.Unavailable, "the free space of the disk cannot be read: %w", err)
	}
	if int64(usage.AvailBytes) < need {
		return full(int64(usage.AvailBytes), need)
	}
	return nil
}

func full(free, need int64) error {
	return hippad.Errorf(hippad.Unavailable, "the disk is full: %d MiB free, %d MiB needed", free>>20, need>>20).
		WithHint("make room on the disk of the data directory; the log goes on by itself")
}

// settled returns nil when no commit is in flight.
func (s *Store) settled(ctx context.Context) error {
	if err := s.usable(); err != nil || s.inFlight == nil {
		return err
	}
	return s.await(ctx)
}

// await waits for the commit in flight.
func (s *Store) await(ctx context.Context) error {
	err, over := s.finish(ctx, s.inFlight.done)
	if !over {
		return err
	}
	if err == nil {
		s.tail = s.inFlight.tail
	}
	s.inFlight = nil
	return err
}

// finish waits for a write that Pebble has taken: to its end, or while the disk is full, a while. It tells whether the write is
// over; if not, it may still be done.
func (s *Store) finish(ctx context.Context, done <-chan error) (err error, over bool) {
	var stuck time.Duration
	tick := time.NewTicker(patience / 8)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err := s.usable(); err != nil {
				return err, false
			}
			return err, true
		case <-s.broken:
			return s.usable(), false
		case <-ctx.Done():
			return ctx.Err(), false
		case <-tick.C:
			if s.disk.waiting() {
				stuck += patience / 8
			}
			if stuck >= patience {
				return full(0, s.o.Reserve), false
			}
		}
	}
}

// Tail implements ledger.Store.
func (s *Store) Tail(ctx context.Context) (ledger.Tail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.settled(ctx); err != nil {
		return ledger.Tail{}, err
	}
	return ledger.Tail{Size: s.tail.Size, Checkpoint: bytes.Clone(s.tail.Checkpoint)}, nil
}

// readTail finds the newest checkpoint.
func (s *Store) readTail() (ledger.Tail, error) {
	it, err := s.db.NewIter(bounds([]byte{keyCheckpoint}, []byte{keyCheckpoint + 1}))
	if err != nil {
		return ledger.Tail{}, err
	}
	defer it.Close()
	if !it.Last() {
		return ledger.Tail{}, it.Error()
	}
	return tailAt(it)
}

func tailAt(it *pebble.Iterator) (ledger.Tail, error) {
	size, err := number(it.Key(), 9, 8)
	if err != nil {
		return ledger.Tail{}, err
	}
	v, err := it.ValueAndErr()
	return ledger.Tail{Size: size, Checkpoint: bytes.Clone(v)}, err
}
