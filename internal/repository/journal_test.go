package repository

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
)

// What was folded before the log could not be read is not folded again: an unlink that was taken back would have its effect twice.
func TestJournalReplaysEachEntryOnce(t *testing.T) {
	type record struct{ Text string }
	texts := []string{"a", "b", "c", "d"}
	read := func(r hippad.Report) hippad.Event {
		n, err := Noted(Note{}, hippad.Principal{ID: "log"}, "detail", record{texts[r.Body[0]]})
		if err != nil {
			t.Fatal(err)
		}
		return hippad.Event{Entities: n.Entities}
	}
	var folded []string
	j := NewJournal(&Repository{Read: read}, "detail", func(_ int64, _ time.Time, r record) { folded = append(folded, r.Text) })
	entries := func(upTo int64, end error) iter.Seq2[hippad.Entry, error] {
		return func(yield func(hippad.Entry, error) bool) {
			for i := j.seen; i < upTo; i++ {
				if !yield(hippad.Entry{Index: i, Report: hippad.Report{Body: []byte{byte(i)}}}, nil) {
					return
				}
			}
			if end != nil {
				yield(hippad.Entry{}, end)
			}
		}
	}
	broken := errors.New("broken")
	if err := j.replay(entries(3, broken), 4); !errors.Is(err, broken) || j.seen != 3 {
		t.Fatalf("%v, seen %d", err, j.seen)
	}
	if err := j.replay(entries(4, nil), 10); err != nil || j.seen != 10 {
		t.Fatalf("%v, seen %d", err, j.seen)
	}
	if !slices.Equal(folded, texts) {
		t.Errorf("folded %q", folded)
	}
}

// What does not fit into an entry is refused before anything is written.
func TestNotedIsBounded(t *testing.T) {
	_, err := Noted(Note{}, hippad.Principal{ID: "log"}, "detail", strings.Repeat("x", MaxRecord))
	if hippad.KindOf(err) != hippad.TooLarge {
		t.Error(err)
	}
	if _, err := Noted(Note{}, hippad.Principal{ID: "log"}, "detail", func() {}); hippad.KindOf(err) != hippad.Invalid {
		t.Error(err)
	}
	if _, ok := RecordOf[string](hippad.Event{Entities: []hippad.Entity{{Details: []hippad.Detail{{Type: "other", Value: []byte(`"x"`)}}}}}, "detail"); ok {
		t.Error("the record of another room was read")
	}
}

func TestWords(t *testing.T) {
	for text, good := range map[string]bool{"": false, " ": false, "why": true, "two\nlines": false, "\xff": false, strings.Repeat("x", maxWords+1): false} {
		if err := Words("the reason", text, true); (err == nil) != good || err != nil && len(text) > 5 && strings.Contains(err.Error(), text) {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	if err := Words("the case", "", false); err != nil {
		t.Error(err)
	}
}
