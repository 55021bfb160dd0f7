package spool

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"hippad"
)

// MediaNotice is the media type of the notice that takes the place of a rejected report.
const MediaNotice = "text/plain; charset=utf-8"

// A Rejection is a report that the log will not take. It is kept for people to look at; to try once more, Add it again and
// Discard the rejection.
type Rejection struct {
	Number uint64 // as Add gave it
	Kind   hippad.Kind
	Reason string // as the log gave it; quotes nothing of the body
	Report hippad.Report
}

// withhold sets the report under number aside and puts a notice in its place, in one synced write: had the log got the
// notice and a crash brought the report back, its repetition would be taken for acknowledged. Only the holder of
// sending calls it.
func (s *Spool) withhold(number uint64, it item, why error) error {
	reason, _ := hippad.Public(why)
	kind := hippad.KindOf(why)
	s.mu.Lock()
	stream, inStream := s.stream, number-s.base
	gone := s.gone
	s.mu.Unlock()
	notice := item{true, hippad.Report{Media: MediaNotice, Body: fmt.Appendf(nil,
		"report %d of stream %x was rejected by the log and is withheld\nreason: %v: %.500s\nmedia type: %s\nbytes: %d\nsha256: %x\n",
		inStream, stream[:], kind, reason, it.Media, len(it.Body), sha256.Sum256(it.Body))}}
	gone.bytes += int64(len(it.Body)) - int64(len(notice.Body)) // so that added less gone stays the bytes that wait
	b := s.db.NewBatch()
	b.Set(numberKey(keyRejected, number), encodeRejection(kind, reason, it), nil)
	b.Set(numberKey(keyQueue, number), notice.encode(), nil)
	b.Delete(hashKey(it.Report, number), nil)
	b.Set([]byte{keyGone}, gone.encode(), nil)
	if err := s.commit(b, pebble.Sync); err != nil {
		return fmt.Errorf("set a rejected report aside: %w", err)
	}
	s.mu.Lock()
	s.gone = gone
	s.mu.Unlock()
	return nil
}

func encodeRejection(kind hippad.Kind, reason string, it item) []byte {
	reason = reason[:min(len(reason), 4096)]
	b := append([]byte{byte(kind)}, 0, 0)
	binary.BigEndian.PutUint16(b[1:], uint16(len(reason)))
	return append(append(b, reason...), it.encode()...)
}

// Rejected returns the reports that were set aside, oldest first.
func (s *Spool) Rejected() ([]Rejection, error) {
	release, err := s.use()
	if err != nil {
		return nil, err
	}
	defer release()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyRejected}, UpperBound: []byte{keyRejected + 1}})
	if err != nil {
		return nil, fmt.Errorf("read the rejected reports: %w", err)
	}
	var all []Rejection
	for it.First(); it.Valid(); it.Next() {
		v := it.Value()
		if len(v) < 3 || len(v) < 3+int(binary.BigEndian.Uint16(v[1:])) {
			err = errDamaged
			break
		}
		rest := v[3+int(binary.BigEndian.Uint16(v[1:])):]
		var i item
		if i, err = decodeItem(rest); err != nil {
			break
		}
		all = append(all, Rejection{Number: binary.BigEndian.Uint64(it.Key()[1:]), Kind: hippad.Kind(v[0]),
			Reason: string(v[3 : len(v)-len(rest)]), Report: i.Report})
	}
	if err := errors.Join(err, it.Close()); err != nil {
		return nil, fmt.Errorf("read the rejected reports: %w", err)
	}
	return all, nil
}

// Discard deletes a rejection. It is no error if there is none.
func (s *Spool) Discard(number uint64) error {
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	b := s.db.NewBatch()
	b.Delete(numberKey(keyRejected, number), nil)
	if err := s.commit(b, pebble.Sync); err != nil {
		return fmt.Errorf("discard a rejected report: %w", err)
	}
	return nil
}
