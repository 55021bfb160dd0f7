package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"hippad"
)

// An item is what waits under a number.
type item struct {
	notice bool // it stands for a report that was set aside
	hippad.Report
}

func (i item) encode() []byte {
	b := make([]byte, 0, 3+len(i.Media)+len(i.Body))
	flag := byte(0)
	if i.notice {
		flag = 1
	}
	b = append(b, flag, byte(i.Fault), byte(len(i.Media)))
	b = append(b, i.Media...)
	return append(b, i.Body...)
}

var errDamaged = errors.New("an item of the queue is damaged")

// decodeItem copies what it needs of b.
func decodeItem(b []byte) (item, error) {
	if len(b) < 3 || b[0] > 1 || len(b) < 3+int(b[2]) {
		return item{}, errDamaged
	}
	media := b[3 : 3+int(b[2])]
	return item{b[0] == 1, hippad.Report{Media: string(media), Fault: hippad.Fault(b[1]), Body: bytes.Clone(b[3+len(media):])}}, nil
}

func (p position) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.number), uint64(p.bytes))
}

func (s *Spool) position(key byte) (position, error) {
	b, err := s.get(key)
	if err != nil || len(b) != 16 {
		return position{}, errors.Join(errors.New("a position in the queue is damaged"), err)
	}
	return position{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

func numberKey(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 9), kind), n)
}

// hashKey is where Contains looks for r under the number n.
func hashKey(r hippad.Report, n uint64) []byte {
	h := sha256.New()
	h.Write([]byte{byte(r.Fault), byte(len(r.Media))})
	h.Write([]byte(r.Media))
	h.Write(r.Body)
	k := h.Sum(append(make([]byte, 0, 1+sha256.Size+8), keyHash))
	return binary.BigEndian.AppendUint64(k, n)
}

func (s *Spool) get(key byte) ([]byte, error) {
	v, closer, err := s.db.Get([]byte{key})
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return bytes.Clone(v), nil
}

// commit writes b. Pebble never returns from a write that its log could not take, so the write has a goroutine that may
// be left behind.
func (s *Spool) commit(b *pebble.Batch, o *pebble.WriteOptions) error {
	done := make(chan error, 1)
	go func() {
		err := b.Commit(o)
		done <- errors.Join(err, b.Close())
	}()
	select {
	case err := <-done:
		return err
	case <-s.broken:
		return s.brokenError()
	}
}

func (s *Spool) isBroken() bool {
	select {
	case <-s.broken:
		return true
	default:
		return false
	}
}

func (s *Spool) brokenError() error {
	return hippad.Errorf(hippad.Unavailable, "the spool has stopped because the disk does not keep what is written").
		WithHint("check the disk of %s, then start again: nothing that was added is lost", s.dir)
}

// pebbleLog is Pebble's logger. What it says is for people who know Pebble, and errors come back from its calls as well.
type pebbleLog struct{ s *Spool }

func (pebbleLog) Infof(string, ...any)  {}
func (pebbleLog) Errorf(string, ...any) {}

// Fatalf is where Pebble stops, because it no longer knows what is on the disk. It must not go on, so the goroutine is held
// here with whatever locks it has, and everybody else is told. A restart recovers from what is on the disk.
func (l pebbleLog) Fatalf(string, ...any) {
	l.s.once.Do(func() { close(l.s.broken) })
	select {}
}

// forget notes that everything up to p is acknowledged. It is not synced: a crash that undoes it costs a repetition, and
// what is written after it is not on the disk without it. Only the holder of sending calls it.
func (s *Spool) forget(p position) error {
	b := s.db.NewBatch()
	b.Set([]byte{keyGone}, p.encode(), nil)
	if err := s.commit(b, pebble.NoSync); err != nil {
		return fmt.Errorf("note what is acknowledged: %w", err)
	}
	s.mu.Lock()
	s.gone = p
	s.mu.Unlock()
	return nil
}

// purge deletes what is acknowledged and makes that durable. The holder of sending calls it, and Open.
func (s *Spool) purge() error {
	s.mu.Lock()
	gone := s.gone.number
	s.mu.Unlock()
	if s.purged == gone {
		return nil
	}
	lower, upper := numberKey(keyQueue, s.purged+1), numberKey(keyQueue, gone+1)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("delete what is acknowledged: %w", err)
	}
	if !it.First() && it.Error() == nil {
		s.purged = gone
		return it.Close()
	}
	b := s.db.NewBatch()
	for ; it.Valid(); it.Next() {
		if i, err := decodeItem(it.Value()); err == nil && !i.notice {
			b.Delete(hashKey(i.Report, binary.BigEndian.Uint64(it.Key()[1:])), nil)
		}
	}
	b.DeleteRange(lower, upper, nil)
	if err := it.Close(); err != nil {
		return errors.Join(fmt.Errorf("delete what is acknowledged: %w", err), b.Close())
	}
	if err := s.commit(b, pebble.Sync); err != nil {
		return fmt.Errorf("delete what is acknowledged: %w", err)
	}
	s.purged = gone
	return nil
}
