package breach_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/breach"
	"hippad/internal/crosswalk"
	"hippad/internal/regulation"
	"hippad/internal/testlog"
)

var (
	olga = testlog.Person("olga", hippad.RoleOfficer)
	vera = testlog.Person("vera", hippad.RoleReviewer)
	pacs = testlog.Person("pacs", hippad.RoleReporter)
)

// A world is a log with cases, whose store can be told to fail, whose clock can be set, and which can be stopped and started.
type world struct {
	*breach.Breaches
	crosswalk    *crosswalk.Crosswalk
	log          *testlog.Log
	organisation regulation.Organisation
	now          time.Time
	held         [][]hippad.Range
	noHold       error
	meanwhile    func() // called once, when something is held
}

func open(t testing.TB) *world {
	w := newWorld(t)
	w.open(t)
	t.Cleanup(func() { w.stop(t) })
	return w
}

func newWorld(t testing.TB) *world {
	w := &world{
		log: testlog.New(t), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		organisation: regulation.Organisation{Name: "Lakeside", Kind: "Healthcare Provider", TimeZone: "UTC", Contact: regulation.Contact{TollFree: "1-800-555-0100"}},
	}
	w.log.Now = func() time.Time { return w.now }
	return w
}

func (w *world) open(t testlog.T) {
	t.Helper()
	w.log.Open(t)
	w.rooms(t)
}

func (w *world) rooms(t testlog.T) {
	t.Helper()
	l, repo := w.log.Ledger, w.log.Repository
	var err error
	if w.crosswalk, err = crosswalk.Open(context.Background(), crosswalk.Config{Ledger: l, Repository: repo}); err != nil {
		t.Fatal(err)
	}
	repo.Same = w.crosswalk.Same
	w.Breaches, err = breach.Open(context.Background(), breach.Config{
		Ledger: l, Repository: repo, Organisation: &w.organisation, Now: w.log.Now, VerifierKey: w.log.Keys.VerifierKey,
		Hold: func(_ context.Context, _ hippad.Caller, _, _ string, entries []hippad.Range) (int64, error) {
			if w.noHold != nil {
				return 0, w.noHold
			}
			if f := w.meanwhile; f != nil {
				w.meanwhile = nil
				f()
			}
			w.held = append(w.held, entries)
			return int64(1000 + len(w.held)), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) stop(t testlog.T) { w.log.Close(t) }

// restart stops the log and opens it again with what its store has.
func (w *world) restart(t testlog.T) {
	t.Helper()
	w.log.Reopen(t)
	w.rooms(t)
}

// access is the report of one access, with as many patients as are given.
func access(when, user, outcome string, patients ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<AuditMessage><EventIdentification EventActionCode="R" EventDateTime="%s" EventOutcomeIndicator="%s"><EventID csd-code="110110" codeSystemName="DCM"/></EventIdentification><ActiveParticipant UserID="%s" UserIsRequestor="true" NetworkAccessPointID="10.4.2.17" NetworkAccessPointTypeCode="2"/><AuditSourceIdentification AuditSourceID="ehr"/>`, when, outcome, user)
	for _, p := range patients {
		fmt.Fprintf(&b, `<ParticipantObjectIdentification ParticipantObjectID="%s" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1"><ParticipantObjectIDTypeCode csd-code="2"/></ParticipantObjectIdentification>`, p)
	}
	return b.String() + `</AuditMessage>`
}

func mrn(n int) string { return fmt.Sprintf("%d^^^&amp;1.2.3&amp;ISO", n) }

func id(n int) string { return fmt.Sprintf("urn:oid:1.2.3|%d", n) }

func date(text string) regulation.Date {
	d, err := regulation.ParseDate(text)
	if err != nil {
		panic(err)
	}
	return d
}

func opening() breach.Opening {
	return breach.Opening{What: "a nurse looked", Cause: regulation.CauseSnooping, Happened: date("2026-10-01"), Discovered: date("2026-11-20"), DiscoveredBy: "the privacy office"}
}

// begin opens a case about a nurse and a few patients, and returns its id.
func (w *world) begin(t testlog.T) int64 {
	t.Helper()
	c, err := w.OpenCase(context.Background(), olga, opening())
	if err != nil {
		t.Fatal(err)
	}
	return c.ID
}

func (w *world) do(t testlog.T, id int64, s breach.Step) breach.Case {
	t.Helper()
	c, err := w.Do(context.Background(), olga, id, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) scope(t testlog.T, o breach.Order) breach.Scoped {
	t.Helper()
	s, err := w.Scope(context.Background(), olga, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decided() breach.Step {
	return breach.Step{Decide: &breach.Decision{Breach: true, Reason: "it is one"}}
}

func lettered() breach.Step {
	return breach.Step{Letter: &regulation.BreachLetter{What: "a", Types: "b", Steps: "c", Doing: "d"}}
}

func mailed(line int, patient, day string) breach.NoticeRow {
	return breach.NoticeRow{Line: line, PersonNotice: regulation.PersonNotice{Patient: patient, Method: "mail", Date: date(day), Basis: "registration"}}
}
