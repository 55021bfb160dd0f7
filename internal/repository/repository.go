// Package repository owns who may record and who may read, and that every reading is itself recorded before anything
// is shown.
//
// It gives doors and commands a hippad.Session for one principal through one door, and turns searches into candidates of
// the ledger, each checked against its own event. It does not order, store or prove (internal/ledger), and does not know
// how a report is read: it is given a Reader. The invariant: no entry leaves through a Session whose reading is not in
// the log.
package repository

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"hippad"
	"hippad/internal/ledger"
)

// A Repository is one log with its rules. The fields must be set before use and not changed.
type Repository struct {
	Ledger *ledger.Ledger
	Read   hippad.Reader
	Write  hippad.Writer
	Term   func(hippad.Term) uint64 // keyed hash under which the index keeps a term
	Self   hippad.Principal         // this log, in what it records about itself
	Now    func() time.Time
}

// Indexer returns what the ledger's index is built from: the keyed terms and the time of what an entry's report means.
// unreadable counts the reports that nobody could read; it may be nil.
func Indexer(read hippad.Reader, term func(hippad.Term) uint64, unreadable *Unreadable) func(hippad.Entry) ledger.Indexed {
	return func(e hippad.Entry) ledger.Indexed {
		ev := read(e.Report)
		if ev.Unreadable != "" {
			unreadable.count(e.Reporter)
		}
		terms := hippad.EntryTerms(e, ev)
		out := ledger.Indexed{When: ev.Recorded, Terms: make([]uint64, len(terms))}
		for i, t := range terms {
			out.Terms[i] = term(t)
		}
		return out
	}
}

// As opens the log for a principal that came in by a door.
func (r *Repository) As(p hippad.Principal, d hippad.Door) hippad.Session {
	return &session{repository: r, who: p, door: d}
}

// Report records something that this log has to say about itself, and waits until it is durable.
func (r *Repository) Report(ctx context.Context, ev hippad.Event) error {
	wait, err := r.Ledger.Append(ctx, ledger.Stream{}, []hippad.Entry{{Door: hippad.DoorSelf, Reporter: r.Self, Report: r.Write(ev)}})
	if err == nil {
		_, err = wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("record what hippad did itself: %w", err)
	}
	return nil
}

type session struct {
	repository *Repository
	who        hippad.Principal
	door       hippad.Door
}

// Record implements hippad.Session. Until reporters are enrolled, whoever finishes a TLS handshake may report, and is
// recorded as what the handshake proved.
func (s *session) Record(ctx context.Context, f hippad.Frame) (hippad.Wait, error) {
	entries := make([]hippad.Entry, len(f.Reports))
	for i, r := range f.Reports {
		if r.Media == "" || len(r.Media) > hippad.MaxMedia {
			return nil, hippad.Errorf(hippad.Invalid, "report %d of the frame: media type of %d bytes, want 1 to %d", i, len(r.Media), hippad.MaxMedia)
		}
		entries[i] = hippad.Entry{Door: s.door, Reporter: s.who, Report: r}
	}
	return s.repository.Ledger.Append(ctx, s.stream(f), entries)
}

// stream names a reporter's stream to the ledger. A stream belongs to the certificate that shows it. Without a certificate
// it belongs to whoever knows its 128 random bits: the address is left out, because a reporter that comes back from
// another address must still find its repeats recognised.
func (s *session) stream(f hippad.Frame) ledger.Stream {
	if f.Stream == (hippad.StreamID{}) {
		return ledger.Stream{}
	}
	owner := ""
	if s.who.Kind != hippad.KindAddress {
		owner = s.who.String()
	}
	return ledger.Stream{Key: sha256.Sum256(append(f.Stream[:], owner...)), First: f.First}
}

// Receipt implements hippad.Session. Readers may have any receipt; a reporter those of its own reports, which it needs to
// prove that it has reported. A receipt tells nothing of the body, so it is not a reading.
func (s *session) Receipt(ctx context.Context, index int64) (hippad.Receipt, error) {
	if !s.who.MayRead() {
		for e, err := range s.repository.Ledger.EntriesAt(ctx, []int64{index}) {
			if err != nil && hippad.KindOf(err) != hippad.NotFound {
				return nil, err
			}
			if err != nil || e.Reporter.Key() != s.who.Key() {
				return nil, errMayNotRead // also when there is none: whether there is one is not this principal's business
			}
		}
	}
	return s.repository.Ledger.Receipt(ctx, index)
}
