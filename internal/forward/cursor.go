package forward

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/durable"
)

const cursorSuffix = ".json"

// A cursor is the file of one rule. Its runner owns it.
type cursor struct {
	file string

	// Rule is the fingerprint of the rule that the log knows of; empty: of none.
	Rule string `json:"rule"`
	To   string `json:"to"`
	// After is the last entry that is settled.
	After   int64 `json:"after"`
	Refused int64 `json:"refused"`
	// Untold is what was refused and is not in the log yet.
	Untold tally `json:"untold"`

	// What follows is for another hippad. Number is that of the last report that is settled, in Stream. Plan lists the entries
	// after After that have the next numbers, from before they are sent; of those in Withheld a notice is sent instead.
	Stream   string  `json:"stream"`
	Number   uint64  `json:"number"`
	Plan     []int64 `json:"plan,omitzero"`
	Withheld []int64 `json:"withheld,omitzero"`
}

// A tally counts refusals.
type tally struct {
	Count  int64  `json:"count"`
	First  int64  `json:"first"`
	Last   int64  `json:"last"`
	Reason string `json:"reason"` // of the first
}

// readCursor returns nil if there is none.
func readCursor(file string) (*cursor, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := &cursor{file: file}
	err = json.Unmarshal(text, c)
	stream, hexErr := hex.DecodeString(c.Stream)
	if err != nil || hexErr != nil || len(stream) != len(hippad.StreamID{}) || c.After < -1 ||
		!slices.IsSorted(c.Plan) || len(c.Plan) > 0 && c.Plan[0] <= c.After {
		return nil, hippad.Errorf(hippad.Conflict, "the cursor in %s is damaged", file).
			WithHint("take the file away: the rule then begins where its \"since\" says")
	}
	return c, nil
}

func (c *cursor) save() error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(c.file, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the cursor: %w", err)
	}
	return nil
}

// renumber begins a new stream. What was on its way under the old one may be stored twice.
func (c *cursor) renumber() {
	var id hippad.StreamID
	rand.Read(id[:])
	c.Stream, c.Number, c.Plan, c.Withheld = hex.EncodeToString(id[:]), 0, nil, nil
}

func (c *cursor) stream() (id hippad.StreamID) {
	b, _ := hex.DecodeString(c.Stream) // readCursor and renumber see to it
	copy(id[:], b)
	return id
}

// settle notes that everything up to an entry is settled.
func (c *cursor) settle(upto int64) {
	c.After = max(c.After, upto)
	done := 0
	for done < len(c.Plan) && c.Plan[done] <= c.After {
		done++
	}
	c.Number += uint64(done)
	c.Plan = c.Plan[done:]
	c.Withheld = slices.DeleteFunc(c.Withheld, func(i int64) bool { return i <= c.After })
}

// untold counts a refusal that the log is to be told of.
func (c *cursor) untold(index int64, reason string) {
	if c.Untold.Count == 0 {
		c.Untold = tally{First: index, Reason: reason}
	}
	c.Untold.Count++
	c.Untold.Last = index
}
