package atna

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"hippad"
)

// A batch is a frame on its way into the log.
type batch struct {
	session hippad.Session
	reports []hippad.Report
	wait    hippad.Wait // of the latest attempt; nil if there is none or its outcome is known
	err     error       // why the latest attempt failed
	tried   bool        // it was handed over at least once
	done    bool        // it is in the log
}

// start hands the batch over.
func (b *batch) start(ctx context.Context) {
	b.tried = true
	b.wait, b.err = b.session.Record(ctx, hippad.Frame{Reports: b.reports})
}

// finish waits for the outcome of the latest attempt.
func (b *batch) finish(ctx context.Context) {
	if b.wait == nil {
		return
	}
	_, b.err = b.wait(ctx)
	b.wait = nil
	b.done = b.err == nil
}

// settle waits until b is in the log, and repeats it until it is. next, handed over after b and possibly nil, keeps its
// place as far as that is in our hands: if b failed, its outcome is awaited before b is repeated.
//
// The error is final: of a kind that no repetition mends, or because ctx ended, and then b counts as refused.
func (s *Server) settle(ctx context.Context, b, next *batch) error {
	if !b.tried {
		b.start(ctx)
	}
	b.finish(ctx)
	if b.done {
		return nil
	}
	if next != nil {
		next.finish(ctx)
	}
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		if final(b.err) || ctx.Err() != nil {
			s.Refused.Add(int64(len(b.reports)))
			s.log().Error("syslog messages not recorded", slog.Int("messages", len(b.reports)),
				slog.String("kind", hippad.KindOf(b.err).String()))
			return b.err
		}
		s.Retries.Add(1)
		s.log().Warn("syslog messages not recorded yet, will repeat", slog.Int("messages", len(b.reports)),
			slog.String("kind", hippad.KindOf(b.err).String()), slog.Duration("after", pause))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			continue
		}
		b.start(ctx)
		b.finish(ctx)
		if b.done {
			return nil
		}
	}
}

// final tells whether the same batch would fail again whatever happens.
func final(err error) bool {
	switch hippad.KindOf(err) {
	case hippad.Invalid, hippad.Unauthorised, hippad.NotFound, hippad.Conflict, hippad.TooLarge:
		return true
	}
	return false
}

// A mailbox holds at most one batch between the one goroutine that reads and the one that records, so that reading goes on
// while the log writes and the batches grow with the load.
type mailbox struct {
	mu      sync.Mutex
	reports []hippad.Report
	size    int
	closed  bool
	some    chan struct{} // a token when there may be something to take
	room    chan struct{} // a token when there may be room
}

func newMailbox() *mailbox {
	return &mailbox{some: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// signal leaves a token in c, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds a report, waiting for room until ctx ends or the mailbox is closed.
func (m *mailbox) put(ctx context.Context, r hippad.Report) error {
	for {
		m.mu.Lock()
		fits := len(m.reports) == 0 || len(m.reports) < batchReports && m.size+len(r.Body) <= batchBytes
		closed := m.closed
		if fits && !closed {
			m.reports = append(m.reports, r)
			m.size += len(r.Body)
		}
		m.mu.Unlock()
		switch {
		case closed:
			return hippad.Errorf(hippad.Unavailable, "recording has ended")
		case fits:
			signal(m.some)
			return nil
		}
		select {
		case <-m.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// poll returns what there is, nil if there is nothing.
func (m *mailbox) poll() []hippad.Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	reports := m.reports
	m.reports, m.size = nil, 0
	if reports != nil {
		signal(m.room)
	}
	return reports
}

// take waits for reports. It returns nil when there will be no more. It ends with the mailbox, not with a context: who reads
// closes it.
func (m *mailbox) take() []hippad.Report {
	for {
		m.mu.Lock()
		closed := m.closed
		m.mu.Unlock()
		if reports := m.poll(); reports != nil {
			return reports
		}
		if closed {
			return nil
		}
		<-m.some
	}
}

// close ends taking, once the mailbox is empty, and putting.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	signal(m.some)
	signal(m.room)
}
