package review

import (
	"context"
	"slices"
	"testing"
	"time"

	"hippad"
	"hippad/internal/fhir"
	"hippad/internal/hospital"
	"hippad/internal/testlog"
)

// The people of the tests. None of them works in the hospital.
func vera() hippad.Caller { return testlog.Person("vera", hippad.RoleReviewer) }
func olga() hippad.Caller { return testlog.Person("olga", hippad.RoleOfficer) }

// A world is a log with reviews, whose store can be told to fail and which can be started again.
type world struct {
	*Reviews
	log  *testlog.Log
	same func(hippad.Term) []hippad.Term
	now  time.Time // zero: really now
}

func open(t testing.TB) *world {
	w := &world{log: testlog.New(t)}
	w.log.Now = func() time.Time {
		if w.now.IsZero() {
			return time.Now()
		}
		return w.now
	}
	w.open(t)
	t.Cleanup(func() { w.stop(t) })
	return w
}

func (w *world) open(t testlog.T) {
	t.Helper()
	w.log.Open(t)
	w.room(t)
}

func (w *world) room(t testlog.T) {
	t.Helper()
	w.log.Same = w.same
	var err error
	if w.Reviews, err = Open(context.Background(), Config{Ledger: w.log.Ledger, Repository: w.log.Repository, Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) stop(t testlog.T) { w.log.Close(t) }

// restart stops the log and opens it again with what its store has.
func (w *world) restart(t testlog.T) {
	t.Helper()
	w.log.Reopen(t)
	w.room(t)
}

// report has a system report events, and returns the index of the first.
func (w *world) report(t testlog.T, events ...hippad.Event) (first int64) {
	t.Helper()
	session := w.Repository.As(hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:00"}, Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleReporter}}}, hippad.DoorNative)
	first = -1
	for part := range slices.Chunk(events, 500) {
		var f hippad.Frame
		for _, ev := range part {
			f.Reports = append(f.Reports, fhir.Write(ev))
		}
		wait, err := session.Record(context.Background(), f)
		if err != nil {
			t.Fatal(err)
		}
		ack, err := wait(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if first < 0 {
			first = ack.Ranges[0].First
		}
	}
	return first
}

// fill reports what happens in a hospital, and returns the cases of the entries.
func (w *world) fill(t testlog.T, h *hospital.Hospital) map[int64]int {
	t.Helper()
	caseOf := map[int64]int{}
	var events []hippad.Event
	var cases []int
	send := func() {
		first := w.report(t, events...)
		for i, c := range cases {
			if c > 0 {
				caseOf[first+int64(i)] = c
			}
		}
		events, cases = nil, nil
	}
	for e := range h.Events() {
		events, cases = append(events, e.Event), append(cases, e.Case)
		if len(events) == 500 {
			send()
		}
	}
	send()
	return caseOf
}

func small() hospital.Size {
	return hospital.Size{Wards: 3, PerWard: 14, Patients: 900, Admitted: 1, Days: 40, QuietDays: 16, Cases: 1}
}

// question asks for the days of a hospital in which somebody snoops.
func question(h *hospital.Hospital) Question {
	return Question{From: hospital.Day(h.Size.QuietDays), To: hospital.Day(h.Size.Days + 1), History: 120, Rosters: rostersOf(h)}
}

// run fails the test if the review cannot be run.
func (w *world) run(t testlog.T, q Question) Result {
	t.Helper()
	r, err := w.Run(context.Background(), vera(), q, unwatched)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// unwatched is the progress of a review at which nobody looks.
func unwatched(_, _ int64) {}
