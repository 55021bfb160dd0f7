package disclosure_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/disclosure"
	"hippad/internal/regulation"
	"hippad/internal/testlog"
)

var (
	olga = testlog.Person("olga", hippad.RoleOfficer)
	vera = testlog.Person("vera", hippad.RoleReviewer)
	pacs = testlog.Person("pacs", hippad.RoleReporter)
)

// A world is a log with what was decided of its disclosures, whose store can be told to fail. It is as late as its clock says.
type world struct {
	*disclosure.Disclosures
	log  *testlog.Log
	now  time.Time
	same func(hippad.Term) []hippad.Term
}

func open(t testing.TB) *world {
	t.Helper()
	w := &world{log: testlog.New(t), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	w.log.Now, w.log.RunLength = func() time.Time { return w.now }, 64
	w.log.Open(t)
	w.room(t)
	t.Cleanup(func() { w.log.Close(t) })
	return w
}

func (w *world) room(t testing.TB) {
	t.Helper()
	w.log.Same = func(x hippad.Term) []hippad.Term {
		if w.same == nil {
			return nil
		}
		return w.same(x)
	}
	organisation, err := regulation.ParseOrganisation(strings.NewReader(`{"name": "Springfield General", "timeZone": "UTC", "own": ["EHR-1"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if w.Disclosures, err = disclosure.Open(context.Background(), disclosure.Config{Repository: w.log.Repository, Organisation: organisation, Now: w.log.Now}); err != nil {
		t.Fatal(err)
	}
}

// restart stops the log and opens it again with what its store has.
func (w *world) restart(t testing.TB) {
	t.Helper()
	w.log.Reopen(t)
	w.room(t)
}

// event is a disclosure on a day of a patient, who is urn:oid:1.2.3|N or of another system, to somebody, for a purpose.
func event(date, system, patient, to, purpose string) string {
	return fmt.Sprintf(`{"resourceType":"AuditEvent","type":{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110106"},"subtype":[{"system":"urn:ihe:event-type-code","code":"IHE0006"}],"action":"R","recorded":"%sT10:00:00Z","outcome":"0","purposeOfEvent":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":%q}]}],"agent":[{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153"}]},"who":{"display":"EHR-1"},"requestor":true},{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110152"}]},"name":%q,"requestor":false}],"source":{"observer":{"display":"EHR-1"}},"entity":[{"what":{"identifier":{"system":%q,"value":%q}},"role":{"code":"1"}},{"what":{"reference":"DocumentReference/11"},"role":{"code":"3"},"type":{"code":"2"}}]}`,
		date, purpose, to, system, patient)
}

// account answers for one patient, and fails the test if it cannot.
func (w *world) account(t testing.TB, ask disclosure.Ask) disclosure.Answer {
	t.Helper()
	all, err := w.Account(t.Context(), olga, ask)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d answers, %v", len(all), err)
	}
	return all[0]
}

func day(text string) regulation.Date {
	d, err := regulation.ParseDate(text)
	if err != nil {
		panic(err)
	}
	return d
}
