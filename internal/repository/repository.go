// Package repository owns who may record and who may read, how fast, and that everything somebody asks of the log, or does to
// it, is itself recorded before the answer leaves.
//
// It gives doors and commands a hippad.Session for one caller through one door, turns searches into candidates of the
// ledger, each checked against its own event, and writes what this log has to say about itself: notes, one for each thing
// that somebody did, and alerts, which are counted so that whoever causes them cannot fill the log. It does not order, store or
// prove (internal/ledger), and does not know how a report is read: it is given a Reader. The invariant: no entry leaves it
// whose reading is not in the log, and nobody gets more than hippad.Grant says.
package repository

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
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
	Limits Limits       // of those who report
	Log    *slog.Logger // nil: nothing is logged
	// Same returns the other terms under which a patient is known, by the crosswalk; nil: there is none.
	Same func(hippad.Term) []hippad.Term

	gate   gate
	alerts alerts
}

// Indexer returns what the ledger's index is built from: the keyed terms and the time of what an entry's report means, and how
// long it is kept. unreadable counts the reports that nobody could read; it and classify may be nil. What is destroyed has no
// terms.
func Indexer(read hippad.Reader, term func(hippad.Term) uint64, unreadable *Unreadable,
	classify func(hippad.Entry, hippad.Event) string) func(hippad.Entry) ledger.Indexed {
	return func(e hippad.Entry) ledger.Indexed {
		if e.Destroyed {
			return ledger.Indexed{}
		}
		ev := read(e.Report)
		if ev.Unreadable != "" {
			unreadable.count(e.Reporter)
		}
		terms := hippad.IndexTerms(e, ev)
		out := ledger.Indexed{When: ev.Recorded, Terms: make([]uint64, len(terms))}
		for i, t := range terms {
			out.Terms[i] = term(t)
		}
		if classify != nil {
			out.Class = classify(e, ev)
		}
		return out
	}
}

// Refusals say the same whether what was asked for exists or not.
var (
	errMayNotReport  = hippad.Errorf(hippad.Unauthorised, "this principal may not report")
	errMayOnlyReport = hippad.Errorf(hippad.Unauthorised, "this principal may report but not read").
				WithHint("reading needs the role of a reviewer, an officer or the operator")
	errMayNotRead = hippad.Errorf(hippad.Unauthorised, "this principal may not read").
			WithHint("reading needs the role of a reviewer, an officer or the operator")
	errMayNotExport = hippad.Errorf(hippad.Unauthorised, "this principal may not export")
)

// mayNotRead is why a caller is refused what only readers get.
func mayNotRead(c hippad.Caller) error {
	if c.May(hippad.ActRecord) {
		return errMayOnlyReport
	}
	return errMayNotRead
}

// As opens the log for a caller that came in by a door.
func (r *Repository) As(c hippad.Caller, d hippad.Door) hippad.Session {
	return &session{repository: r, who: c, door: d}
}

type session struct {
	repository *Repository
	who        hippad.Caller
	door       hippad.Door
}

// Record implements hippad.Session. A frame waits for its turn under the Limits. A report in the name of a site that is not the
// caller's is refused, with its whole frame, by a door that can say so; where the sender cannot be told it is kept and marked.
func (s *session) Record(ctx context.Context, f hippad.Frame) (hippad.Wait, error) {
	if !s.who.May(hippad.ActRecord) {
		s.denied("record")
		return nil, errMayNotReport
	}
	entries := make([]hippad.Entry, len(f.Reports))
	bytes := 0
	for i, r := range f.Reports {
		if r.Media == "" || len(r.Media) > hippad.MaxMedia {
			return nil, hippad.Errorf(hippad.Invalid, "report %d of the frame: media type of %d bytes, want 1 to %d", i, len(r.Media), hippad.MaxMedia)
		}
		entries[i] = hippad.Entry{Door: s.door, Reporter: s.who.Principal, Report: r}
		bytes += len(r.Body)
	}
	if err := s.repository.gate.enter(ctx, s.repository.Limits, s.who.Key(), len(entries), bytes); err != nil {
		return nil, err
	}
	if err := s.checkSites(ctx, entries); err != nil {
		return nil, err
	}
	return s.repository.Ledger.Append(ctx, s.stream(f), entries)
}

// stream names a reporter's stream to the ledger. A stream belongs to the member of the register whose it is, so that it
// outlives the member's certificate, or else to the principal that shows it. Without a certificate it belongs to whoever knows
// its 128 random bits: the address is left out, because a reporter that comes back from another address must still find
// its repeats recognised.
func (s *session) stream(f hippad.Frame) ledger.Stream {
	if f.Stream == (hippad.StreamID{}) {
		return ledger.Stream{}
	}
	owner := ""
	switch {
	case s.who.Member != "":
		owner = "member:" + s.who.Member // no PrincipalKind
	case s.who.Kind != hippad.KindAddress:
		owner = s.who.String()
	}
	return ledger.Stream{Key: sha256.Sum256(append(f.Stream[:], owner...)), First: f.First}
}

// Receipt implements hippad.Session. Who may prove may have any receipt; a reporter those of its own reports, which it needs to
// prove that it has reported, as long as their content is there: afterwards nothing says whose they were. A receipt tells
// nothing of a body, and everything in it but the salt is public by construction, so it is not a reading and leaves no entry.
func (s *session) Receipt(ctx context.Context, index int64) (hippad.Receipt, error) {
	if !s.who.May(hippad.ActProve) {
		own, err := s.own(ctx, index)
		if err != nil {
			return nil, err
		}
		if !own {
			s.denied("receipt")
			return nil, mayNotRead(s.who) // also when there is none: whether there is one is not this principal's business
		}
	}
	return s.repository.Ledger.Receipt(ctx, index)
}

// own tells whether the entry at index exists and is the caller's own report.
func (s *session) own(ctx context.Context, index int64) (bool, error) {
	if !s.who.May(hippad.ActRecord) {
		return false, nil
	}
	for e, err := range s.repository.Ledger.EntriesAt(ctx, []int64{index}) {
		if hippad.KindOf(err) == hippad.NotFound {
			return false, nil
		}
		return err == nil && !e.Destroyed && e.Reporter.Key() == s.who.Key(), err
	}
	return false, nil
}

// denied counts a refusal.
func (s *session) denied(what string) {
	s.repository.alert(s.who.Principal, labelDenied, what+" by "+s.door.String())
}

// Report records something that this log has to say about itself, and waits until it is durable.
func (r *Repository) Report(ctx context.Context, ev hippad.Event) error {
	_, err := r.report(ctx, ev)
	return err
}

// report records events of this log's own, in one piece, and returns the index of the first.
func (r *Repository) report(ctx context.Context, events ...hippad.Event) (int64, error) {
	entries := make([]hippad.Entry, len(events))
	for i, ev := range events {
		entries[i] = hippad.Entry{Door: hippad.DoorSelf, Reporter: r.Self, Report: r.Write(ev)}
	}
	wait, err := r.Ledger.Append(ctx, ledger.Stream{}, entries)
	var ack hippad.Ack
	if err == nil {
		ack, err = wait(ctx)
	}
	if err == nil && len(ack.Ranges) == 0 {
		err = fmt.Errorf("the log acknowledged nothing of %d entries", len(entries))
	}
	if err != nil {
		return 0, fmt.Errorf("record what hippad did itself: %w", err)
	}
	return ack.Ranges[0].First, nil
}
