package crosswalk_test

import (
	"slices"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/testlog"
)

func dicom(patient string) string {
	return `<AuditMessage><EventIdentification EventActionCode="R" EventDateTime="2026-11-20T09:12:47Z" EventOutcomeIndicator="0"><EventID csd-code="110110" codeSystemName="DCM"/></EventIdentification>` +
		`<ActiveParticipant UserID="a" UserIsRequestor="true"/><AuditSourceIdentification AuditSourceID="ward"/>` +
		`<ParticipantObjectIdentification ParticipantObjectID="` + patient + `" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1"><ParticipantObjectIDTypeCode csd-code="2"/></ParticipantObjectIdentification></AuditMessage>`
}

func r4(what string) string {
	return `{"resourceType":"AuditEvent","type":{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"},"recorded":"2026-11-20T09:12:47Z",` +
		`"agent":[{"requestor":true}],"source":{"observer":{"display":"x"}},"entity":[{"what":{` + what +
		`},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"}}]}`
}

func r5(what string) string {
	return `{"resourceType":"AuditEvent","code":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/audit-event-type","code":"rest"}]},"recorded":"2026-11-20T09:12:47Z",` +
		`"agent":[{"who":{"display":"x"}}],"source":{"observer":{"display":"x"}},"patient":{` + what + `}}`
}

// Every way of writing assigner and id, and every way of asking for it, is one patient without any link.
func TestFormsMeet(t *testing.T) {
	w := open(t)
	reports := []string{
		dicom("4711^^^&amp;1.2.3&amp;ISO"),
		dicom("4711^^^&amp;amp;1.2.3&amp;amp;ISO^PI"),
		dicom("4711^^^WEST&amp;amp;amp;1.2.3&amp;amp;amp;ISO"),
		dicom("urn:oid:1.2.3|4711"),
		r4(`"identifier":{"system":"urn:oid:1.2.3","value":"4711"}`),
		r4(`"identifier":{"system":"1.2.3","value":"4711"}`),
		r4(`"identifier":{"value":"4711^^^&1.2.3&ISO"}`),
		r4(`"identifier":{"value":"4711^^^&amp;1.2.3&amp;ISO"}`),
		r5(`"identifier":{"system":"urn:oid:1.2.3","value":"4711"}`),
	}
	first := w.log.Report(t, reports...)
	end := w.log.Report(t, dicom("4711^^^&amp;1.2.4&amp;ISO"), dicom("4711"), r4(`"reference":"Patient/4711"`)) + 3
	var want []int64
	for i := range reports {
		want = append(want, first+int64(i))
	}
	for _, asked := range []string{"4711^^^&1.2.3&ISO", "4711^^^&amp;1.2.3&amp;ISO", "4711^^^WEST&amp;amp;1.2.3&amp;amp;ISO^PI^X", "urn:oid:1.2.3|4711", "1.2.3|4711", " urn:oid:1.2.3|4711 "} {
		if got := w.search(t, vera, end, about(asked)); !slices.Equal(got, want) {
			t.Errorf("%q finds %v, want %v", asked, got, want)
		}
	}
	all := append(slices.Clone(want), end-3, end-2, end-1)
	if got := w.search(t, vera, end, about("4711")); !slices.Equal(got, all) {
		t.Errorf("the plain number finds %v, want %v", got, all)
	}
}

// After a link each identifier finds what the others find, whoever asks and however; after an unlink it does not.
func TestLinksMeet(t *testing.T) {
	w := open(t)
	const cx, mrn, relative, url, stranger = "4711^^^&1.2.3&ISO", "https://x.example/mrn|9", "Patient/7", "https://y.example/fhir/Patient/12", "4711^^^&1.2.4&ISO"
	first := w.log.Report(t, dicom("4711^^^&amp;1.2.3&amp;ISO"), r4(`"identifier":{"system":"urn:oid:1.2.3","value":"4711"}`),
		r4(`"identifier":{"system":"https://x.example/mrn","value":"9"}`), r4(`"reference":"Patient/7"`), r4(`"reference":"https://z.example/r4/Patient/7/_history/2"`),
		r5(`"reference":"https://y.example/fhir/Patient/12"`), dicom("4711^^^&amp;1.2.4&amp;ISO"), dicom("4711"))
	end := w.Ledger.Size()
	at := func(offsets ...int64) (out []int64) {
		for _, o := range offsets {
			out = append(out, first+o)
		}
		return out
	}
	expect := func(when string, want map[string][]int64) {
		t.Helper()
		for asked, want := range want {
			if got := w.search(t, vera, end, about(asked)); !slices.Equal(got, want) {
				t.Errorf("%s, %s finds %v, want %v", when, asked, got, want)
			}
			patient := testlog.Person("portal", hippad.RolePatient)
			patient.Patient = asked
			if got := w.search(t, patient, end, hippad.Query{}); !slices.Equal(got, want) {
				t.Errorf("%s, the patient with %s sees %v, want %v", when, asked, got, want)
			}
			var others []int64
			for i := first; i < end; i++ {
				if !slices.Contains(want, i) {
					others = append(others, i)
				}
			}
			after := first - 1
			not := hippad.Query{After: &after, Filters: []hippad.Filter{hippad.NewFilter(hippad.OpNone, hippad.FieldPatient, asked)}}
			if got := w.search(t, vera, end, not); !slices.Equal(got, others) {
				t.Errorf("%s, not %s finds %v, want %v", when, asked, got, others)
			}
		}
	}
	apart := map[string][]int64{cx: at(0, 1), mrn: at(2), relative: at(3, 4), url: at(5), stranger: at(6)}
	expect("before", apart)
	w.link(t, cx, mrn)
	w.link(t, relative, url)
	expect("in pairs", map[string][]int64{cx: at(0, 1, 2), mrn: at(0, 1, 2), relative: at(3, 4, 5), url: at(3, 4, 5), stranger: at(6)})
	w.link(t, url, mrn)
	whole := at(0, 1, 2, 3, 4, 5)
	expect("together", map[string][]int64{cx: whole, "urn:oid:1.2.3|4711": whole, mrn: whole, relative: whole, url: whole, stranger: at(6)})
	w.restart(t)
	expect("after a restart", map[string][]int64{cx: whole, mrn: whole, relative: whole, url: whole, stranger: at(6)})
	if got, err := w.Unlink(t.Context(), olga, "4711^^^&amp;1.2.3&amp;ISO", "it was somebody else"); err != nil || !got.Changed || got.Identifiers != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	expect("without one", map[string][]int64{cx: at(0, 1), mrn: at(2, 3, 4, 5), relative: at(2, 3, 4, 5), url: at(2, 3, 4, 5)})
	for _, id := range []string{mrn, url} {
		if _, err := w.Unlink(t.Context(), olga, id, "so were they"); err != nil {
			t.Fatal(err)
		}
	}
	expect("after", apart)
	if got := w.everybody(t); got != "" {
		t.Errorf("there is still somebody: %s", got)
	}
}

// The entry about a search says what was asked for, and not what it was widened to; and nothing finds the entries of the crosswalk
// by the patient whom they concern.
func TestWhatIsWrittenDown(t *testing.T) {
	w := open(t)
	w.link(t, "urn:oid:1.2.3|4711", "Patient/7")
	from := w.Ledger.Size()
	if got := w.search(t, vera, from, about("4711^^^&1.2.3&ISO")); got != nil {
		t.Errorf("a patient finds %v", got)
	}
	patient := testlog.Person("portal", hippad.RolePatient)
	patient.Patient = "4711^^^&1.2.3&ISO"
	w.search(t, patient, from, hippad.Query{})
	for _, e := range w.entries(t, from) {
		ev := testlog.Read(e.Report)
		if query := string(ev.Entities[0].Query); query != "patient=urn:oid:1.2.3|4711" || strings.Contains(string(e.Body), "Patient/7") {
			t.Errorf("written down is %q", query)
		}
	}
	if w.Ledger.Size() != from+2 {
		t.Errorf("%d readings", w.Ledger.Size()-from)
	}
}
