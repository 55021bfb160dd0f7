package localstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"hippad/internal/ledger"
)

// Rewrite implements ledger.Store. It is one batch of Pebble's, beside those of Commit and not among them: neither waits for
// the other but at the disk. On a full disk it does as Commit does, and what it gives up waiting for may still be done.
func (s *Store) Rewrite(ctx context.Context, blocks []ledger.Block) error {
	if err := s.writable(); err != nil {
		return err
	}
	b := s.db.NewBatch()
	for _, x := range blocks {
		key := key64(keyBlock, x.First)
		_, closer, err := s.db.Get(key)
		if errors.Is(err, pebble.ErrNotFound) {
			return fmt.Errorf("rewrite: there is no block at %d", x.First)
		}
		if err == nil {
			err = closer.Close()
		}
		if err == nil {
			err = b.Set(key, x.Value, nil)
		}
		if err != nil {
			return fmt.Errorf("rewrite block at %d: %w", x.First, err)
		}
	}
	if err := s.room(int64(b.Len())); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.db.Apply(b, pebble.Sync) }()
	err, _ := s.finish(context.WithoutCancel(ctx), done)
	return err
}
