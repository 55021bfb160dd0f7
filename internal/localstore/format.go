package localstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"hippad"
)

// A rung is one step of the ladder of formats: what is different in this format from the one before, and how a store of the
// one before becomes one of this. A step may be interrupted and done again. Without migrate there is nothing to do: what
// was written before is read as it is.
type rung struct {
	format  uint32
	reason  string
	migrate func(*Store) error
}

// ladder returns the formats, oldest first. Stores climb it when they are opened; none ever goes down.
func ladder() []rung {
	return []rung{
		{1, "the first", nil},
		{2, "blocks of format 2: content that is sealed and can be destroyed, the reporter's organisation", nil},
	}
}

// checkFormat gives a new store its number, takes an older one up the ladder, and refuses a newer one.
func (s *Store) checkFormat(readOnly bool) error {
	steps := ladder()
	newest := steps[len(steps)-1].format
	have, err := s.format()
	switch {
	case err != nil:
		return err
	case have > newest:
		return hippad.Errorf(hippad.Conflict, "the store has format %d, this program knows formats up to %d", have, newest).
			WithHint("use the newer hippad that wrote it")
	case have == newest:
		return nil
	case readOnly && have > 0 && !slices.ContainsFunc(steps, func(r rung) bool { return r.format > have && r.migrate != nil }):
		return nil
	case readOnly:
		return hippad.Errorf(hippad.Conflict, "the store has format %d, reading it needs format %d", have, newest).
			WithHint("open it once for writing: hippad serve")
	}
	for _, step := range steps {
		if step.format <= have {
			continue
		}
		if step.migrate != nil {
			if err := step.migrate(s); err != nil {
				return fmt.Errorf("to format %d, %s: %w", step.format, step.reason, err)
			}
		}
		number := binary.BigEndian.AppendUint32(nil, step.format)
		if err := s.db.Set([]byte{keyFormat}, number, pebble.Sync); err != nil {
			return fmt.Errorf("to format %d: %w", step.format, err)
		}
	}
	return nil
}

// format returns the number in the store, 0 if the store is empty.
func (s *Store) format() (uint32, error) {
	v, closer, err := s.db.Get([]byte{keyFormat})
	if err == nil {
		defer closer.Close()
		if len(v) != 4 {
			return 0, errors.New("the number of the format is damaged")
		}
		return binary.BigEndian.Uint32(v), nil
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return 0, fmt.Errorf("read the number of the format: %w", err)
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if it.First() {
		return 0, hippad.Errorf(hippad.Conflict, "the directory holds something else than a store of hippad")
	}
	return 0, it.Error()
}
