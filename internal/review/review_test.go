package review

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/hospital"
	"hippad/internal/regulation"
	"hippad/internal/storetest"
	"hippad/internal/testlog"
)

// What is found through the log is what is found in the events themselves, and is there again after a restart, with every verdict and signature.
func TestReplay(t *testing.T) {
	h := hospital.New(3, small())
	w := open(t)
	caseOf := w.fill(t, h)
	got := w.run(t, question(h))
	direct := reviewHospital(t, h, rostersOf(h), nil)
	if got.Run.Counts() != direct.summary() || len(got.Found) < 20 || got.Run.Above == 0 {
		t.Errorf("through the log %v, in the events %v", got.Run.Counts(), direct.summary())
	}
	cases := map[int]bool{}
	for _, f := range got.Found {
		for _, e := range f.Entries {
			cases[caseOf[e]] = true
		}
	}
	if delete(cases, 0); len(cases) < len(h.Cases())-1 {
		t.Errorf("%d cases of %d are found", len(cases), len(h.Cases()))
	}
	for i, verdict := range []string{Inappropriate, Appropriate, Inconclusive, Appropriate} {
		if _, err := w.Judge(t.Context(), olga(), Judgement{Run: got.Run.ID, Finding: i + 1, Verdict: verdict, Reason: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Judge(t.Context(), olga(), Judgement{Run: got.Run.ID, Finding: 4, Verdict: Inappropriate, Reason: "looked again", Case: "2026-17"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Sign(t.Context(), olga(), Approval{Run: got.Run.ID, Text: "done", Unjudged: "the rest next week"}); err != nil {
		t.Fatal(err)
	}
	live := w.everything(t, got.Run.ID)
	w.restart(t)
	if again := w.everything(t, got.Run.ID); again != live {
		t.Errorf("replayed:\n%s\nlive:\n%s", again, live)
	}
	shown, err := w.Show(t.Context(), vera(), got.Run.ID)
	if err != nil || shown.Run.Judged != 4 || shown.Run.Open != shown.Run.Above-4 || shown.Found[3].Verdict.Case != "2026-17" || shown.Run.Signature.Counts[Inappropriate] != 2 {
		t.Errorf("%+v, %v", shown.Run, err)
	}
	cleared, victims := w.learned()
	if len(victims) == 0 || len(cleared) > 1 {
		t.Errorf("cleared %d, victims %d", len(cleared), len(victims))
	}
}

// Counts returns the numbers in a form that can be compared.
func (n Run) Counts() string { return summary(n.ReviewCounts) }

func (x reviewed) summary() string { return summary(x.ReviewOutcome.Counts) }

func summary(c regulation.ReviewCounts) string {
	return fmt.Sprintln(c.Accesses, c.Explained, c.ByTemplate, c.Found)
}

// everything is what the state says of a run, as text.
func (w *world) everything(t testlog.T, id int64) string {
	t.Helper()
	r, err := w.Show(context.Background(), vera(), id)
	if err != nil {
		t.Fatal(err)
	}
	list, err := w.List(context.Background(), vera(), 0)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal([]any{r, list})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The same log and the same rosters give the same findings, whoever asks; other rosters draw another sample.
func TestRepeated(t *testing.T) {
	h := hospital.New(5, small())
	w := open(t)
	w.fill(t, h)
	q := question(h)
	q.Sample = 200
	one, two := w.run(t, q), w.run(t, q)
	if !reflect.DeepEqual(one.Found, two.Found) || !reflect.DeepEqual(one.Run.ReviewCounts, two.Run.ReviewCounts) {
		t.Error("the same question has two answers")
	}
	q.Rosters.VIP = []byte("patient\nurn:oid:2.999.2|1\n")
	other := w.run(t, q)
	drawn := func(r Result) (out []string) {
		for _, f := range r.Found {
			if f.Sampled {
				out = append(out, f.User+f.Patient+f.Day.String())
			}
		}
		return out
	}
	if len(drawn(one)) < 20 || slices.Equal(drawn(one), drawn(other)) {
		t.Errorf("%d are drawn, and the same ones with other rosters", len(drawn(one)))
	}
}

// Scores are the sums of their points; numbers follow scores; entries are of the user, the patient and the day that the finding says; what is
// both explained and found says so; a sample is of what is explained.
func TestFindingsHold(t *testing.T) {
	h := hospital.New(2, hospital.Season())
	x := reviewHospital(t, h, rostersOf(h), victims(h))
	explained := map[string]bool{}
	for i, f := range x.Findings {
		sum := 0
		for _, p := range f.Points {
			sum += p.Points
			if p.Why == "" {
				t.Errorf("finding %d: %s does not say why", f.Number, p.Rule)
			}
		}
		if sum != f.Score || f.Number != i+1 || len(f.Entries) == 0 || f.Events < 1 {
			t.Fatalf("finding %d: score %d, points %v, %d entries", f.Number, f.Score, f.Points, len(f.Entries))
		}
		if i > 0 && !f.Sampled && f.Score > x.Findings[i-1].Score {
			t.Fatalf("finding %d has more points than the one before", f.Number)
		}
		if f.Sampled && (f.Explained == "" || !f.Has(regulation.SampleRule) || f.Score != 0) {
			t.Errorf("finding %d is sampled, and %q", f.Number, f.Explained)
		}
		if f.Has("A3") && f.Explained != "" {
			t.Errorf("finding %d is unexplained and explained", f.Number)
		}
		if f.User != "" && f.Patient != "" && f.Explained == "" && !f.Has("A3") && !f.Has("A1") {
			t.Errorf("finding %d is neither explained nor unexplained: %v", f.Number, f.Points)
		}
		if f.Explained != "" && f.Patient != "" {
			explained[f.User+"|"+f.Patient+f.Day.String()] = true
		}
	}
	for _, f := range x.Findings {
		if f.Explained == "" && f.Patient != "" && explained[f.User+"|"+f.Patient+f.Day.String()] {
			t.Errorf("finding %d is of an access that another finding calls explained", f.Number)
		}
	}
	if c := x.ReviewOutcome.Counts; c.Explained+c.Found < c.Accesses {
		t.Errorf("of %d accesses %d are explained and %d found", c.Accesses, c.Explained, c.Found)
	}
}

// What verdicts say changes the next review: the same two people are explained for a month, and the patient is watched.
func TestLearns(t *testing.T) {
	h := hospital.New(3, small())
	w := open(t)
	w.fill(t, h)
	first := w.run(t, question(h))
	has := func(f regulation.Finding, rules ...string) bool {
		return f.User != "" && f.Patient != "" && !slices.ContainsFunc(f.Points, func(p regulation.FindingPoints) bool { return !slices.Contains(rules, p.Rule) })
	}
	at := slices.IndexFunc(first.Found, func(f Found) bool { return has(f.Finding, "A3", "A4") })
	if at < 0 {
		t.Fatal("nothing plain was found")
	}
	f := first.Found[at]
	if _, err := w.Judge(t.Context(), olga(), Judgement{Run: first.Run.ID, Finding: f.Number, Verdict: Appropriate, Reason: "covered"}); err != nil {
		t.Fatal(err)
	}
	second := w.run(t, question(h))
	for _, g := range second.Found {
		if g.User == f.User && g.Patient == f.Patient && g.Has("A3") {
			t.Errorf("found appropriate, and found again: %v", g.Points)
		}
	}
	if second.Run.ByTemplate["E4"] == 0 {
		t.Error("nothing is explained by the verdict")
	}
	list, err := w.List(t.Context(), vera(), 0)
	if err != nil || !slices.Contains(list.Precision, Precision{Rule: "A3", Appropriate: 1}) {
		t.Errorf("%+v, %v", list.Precision, err)
	}
}

// Nobody judges what is about themselves, whatever they are called; nor somebody above them. The refusal is an entry.
func TestPartial(t *testing.T) {
	w := open(t)
	n := &run{lines: map[string]string{"u1": "u2", "u2": "u3", "u8": "u9", "u9": "u8"}}
	about := func(user string) regulation.Finding { return regulation.Finding{User: user, Name: "Nina Moss"} }
	for _, x := range []struct {
		who   hippad.Caller
		about string
		want  string
	}{
		{testlog.Person("u1"), "u1", "themselves"},
		{testlog.Person("U1"), "urn:oid:1.2|u1", "themselves"},
		{testlog.Person("https://login.example u1"), "u1", "themselves"},
		{testlog.Person("u1"), `hospital\u1`, "themselves"},
		{testlog.Person("u1"), "u1@hospital.example", "themselves"},
		{hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:1", Name: "nina moss"}}, "u7", "themselves"},
		{hippad.Caller{Grant: hippad.Grant{Member: "m-1"}}, "m-1", "themselves"},
		{testlog.Person("u1"), "urn:oid:1.2|u1@hospital.example", "themselves"},
		{testlog.Person("u1@hospital.example"), "urn:oid:1.2|U1", "themselves"},
		{testlog.Person(`HOSPITAL\u1`), "u1", "themselves"},
		{testlog.Person(`hospital\u1`), "practitioner/u1@hospital.example", "themselves"},
		{hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:1", Name: "Moss, Nina"}}, "u7", "themselves"},
		{hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:1", Name: "Moss, Nils"}}, "u7", ""},
		{testlog.Person("u1@hospital.example"), "u2", "above"},
		{testlog.Person("u1"), "urn:oid:1.2|u2", "above"},
		{testlog.Person("u1"), "urn:oid:1.2|u3", "above"},
		{testlog.Person("u1"), "u2", "above"},
		{testlog.Person("u1"), "u3", "above"},
		{testlog.Person("u3"), "u1", ""},
		{testlog.Person("u8"), "u8", "themselves"},
		{testlog.Person("u8"), "u1", ""}, // managers in a circle end
		{testlog.Person("u5"), "u1", ""},
	} {
		if got := w.partial(x.who, n, about(x.about)); (x.want == "") != (got == "") || !strings.Contains(got, x.want) {
			t.Errorf("%v about %s: %q, want %q", x.who.Principal, x.about, got, x.want)
		}
	}
	if got := w.partial(testlog.Person("u4"), n, regulation.Finding{Users: []string{"u3", "u4"}}); got == "" {
		t.Error("one of many judges the many")
	}
	if got := w.partial(testlog.Person("u1"), n, regulation.Finding{User: "person:u1"}); got == "" {
		t.Error("who used the log judges that")
	}
}

// Events may know somebody by an identifier and a login; and a manager whom the roster names need not have a line in it.
func TestPartialByEvents(t *testing.T) {
	w := open(t)
	var events []hippad.Event
	for i, user := range []string{"101", "102", "103", "104", "105", "106"} {
		ev := snooped(hospital.Day(10), user, "", fmt.Sprint("W", i%3), "1")
		ev.Agents[0].AltID = "login-" + user
		events = append(events, ev)
	}
	w.report(t, append(events, snooped(hospital.Day(11), "vera", "", "W1", "2"))...)
	r := w.run(t, Question{From: hospital.Day(9), To: hospital.Day(12), Rosters: Rosters{Staff: []byte("user,manager\nu1,u2\nu2,vera\n")}})
	judge := func(who string, fits func(f Found) bool) error {
		t.Helper()
		at := slices.IndexFunc(r.Found, fits)
		if at < 0 {
			t.Fatal("it is not found")
		}
		_, err := w.Judge(t.Context(), testlog.Person(who, hippad.RoleReviewer), Judgement{Run: r.Run.ID, Finding: r.Found[at].Number, Verdict: Appropriate, Reason: "x"})
		return err
	}
	about := func(user string) func(f Found) bool {
		return func(f Found) bool { return strings.HasSuffix(f.User, user) && f.Patient != "" }
	}
	for _, x := range []struct {
		who  string
		fits func(f Found) bool
		want bool
	}{
		{"login-101", about("101"), false}, {"login-101", about("102"), true}, {"login-106", func(f Found) bool { return f.Has("A10") }, false},
		{"u1", about("vera"), false}, {"u2", about("vera"), false}, {"u3", about("vera"), true}, {"vera", about("101"), true},
	} {
		if err := judge(x.who, x.fits); (err == nil) != x.want || err != nil && hippad.KindOf(err) != hippad.Unauthorised {
			t.Errorf("%s judges: %v, want that it may: %v", x.who, err, x.want)
		}
	}
}

// A log that fails leaves no review, or one that is not complete and that nobody can show, judge or sign; a verdict and a signature either are in
// the log or have no effect.
func TestWhenTheLogFails(t *testing.T) {
	h := hospital.New(3, small())
	full := hippad.Errorf(hippad.Unavailable, "disk full")
	for _, flavour := range []storetest.Flavour{storetest.NotStored, storetest.Stored} {
		t.Run(string(flavour), func(t *testing.T) {
			w := open(t)
			w.fill(t, h)
			for after := 1; after <= 3; after++ { // the question, the run, its first part
				w.log.Store.FailNext(storetest.OpCommit, flavour, after, full)
				_, err := w.Run(t.Context(), vera(), question(h), unwatched)
				w.restart(t)
				list, listErr := w.List(t.Context(), vera(), 0)
				if listErr != nil {
					t.Fatal(listErr)
				}
				for _, n := range list.Runs {
					if n.Complete {
						continue
					}
					for what, e := range map[string]error{
						"show":  second(w.Show(t.Context(), vera(), n.ID)),
						"judge": second(w.Judge(t.Context(), vera(), Judgement{Run: n.ID, Finding: 1, Verdict: Appropriate, Reason: "x"})),
						"sign":  second(w.Sign(t.Context(), vera(), Approval{Run: n.ID, Text: "x"})),
					} {
						if hippad.KindOf(e) != hippad.Conflict {
							t.Errorf("%s of a review that was not finished: %v", what, e)
						}
					}
				}
				if err == nil && (len(list.Runs) == 0 || !list.Runs[0].Complete) {
					t.Errorf("acknowledged, and %+v", list.Runs)
				}
			}
			got := w.run(t, question(h))
			w.log.Store.FailNext(storetest.OpCommit, flavour, 1, full)
			_, err := w.Judge(t.Context(), olga(), Judgement{Run: got.Run.ID, Finding: 1, Verdict: Appropriate, Reason: "x"})
			w.restart(t)
			shown, showErr := w.Show(t.Context(), vera(), got.Run.ID)
			if showErr != nil || err == nil && shown.Run.Judged != 1 || flavour == storetest.NotStored && err != nil && shown.Run.Judged != 0 || flavour == storetest.Stored && shown.Run.Judged != 1 {
				t.Errorf("%v, and %d judged, %v", err, shown.Run.Judged, showErr)
			}
			w.log.Store.FailNext(storetest.OpCommit, flavour, 1, full)
			_, err = w.Sign(t.Context(), olga(), Approval{Run: got.Run.ID, Text: "x", Unjudged: "y"})
			w.restart(t)
			shown, showErr = w.Show(t.Context(), vera(), got.Run.ID)
			if signed := shown.Run.Signature != nil; showErr != nil || err == nil && !signed || flavour == storetest.NotStored && err != nil && signed || flavour == storetest.Stored && !signed {
				t.Errorf("%v, and signed is %v, %v", err, signed, showErr)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

// What comes late is reviewed by the next review, and by no other.
func TestLate(t *testing.T) {
	h := hospital.New(3, small())
	w := open(t)
	w.fill(t, h)
	q := question(h)
	first := w.run(t, q)
	if _, err := w.Sign(t.Context(), vera(), Approval{Run: first.Run.ID, Text: "done", Unjudged: "a test"}); err != nil {
		t.Fatal(err)
	}
	one := hospital.Size{Wards: 3, PerWard: 14, Patients: 900, Admitted: 1, Days: 2}
	w.fill(t, hospital.New(77, one)) // two days of January come only now
	second := w.run(t, Question{To: q.To.AddDate(0, 0, 7), History: maxHistory})
	if !second.Run.From.Equal(q.To) || second.Run.Late != first.Run.Size {
		t.Errorf("the next review begins %v at entry %d, want %v at %d", second.Run.From, second.Run.Late, q.To, first.Run.Size)
	}
	if second.Run.Entries < 30 || second.Run.Accesses == 0 {
		t.Errorf("%d entries came late, %d accesses", second.Run.Entries, second.Run.Accesses)
	}
}

// The newest verdict about a user and a patient is what the next review knows: what somebody found inappropriate is explained by nothing that was said before.
func TestTakenBack(t *testing.T) {
	for _, x := range []struct {
		name     string
		verdicts []string // on findings of one user and one patient, in this order
		cleared  bool
	}{
		{"found appropriate", []string{Appropriate}, true}, {"and then inappropriate", []string{Appropriate, Inappropriate}, false},
		{"and then nobody knows", []string{Appropriate, Inconclusive}, false}, {"and then appropriate again", []string{Inappropriate, Appropriate}, true},
	} {
		w := open(t)
		w.now = hospital.Day(50) // all at the same moment
		w.report(t, snooped(hospital.Day(40), "nina", "", "W1", "1"), snooped(hospital.Day(41), "nina", "", "W1", "1"))
		r := w.run(t, Question{From: hospital.Day(40), To: hospital.Day(42)})
		for i, verdict := range x.verdicts {
			at := slices.IndexFunc(r.Found, func(f Found) bool { return f.Patient != "" && f.Day.Day == hospital.Day(40+i).Day() })
			if _, err := w.Judge(t.Context(), olga(), Judgement{Run: r.Run.ID, Finding: r.Found[at].Number, Verdict: verdict, Reason: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			if cleared, _ := w.learned(); (len(cleared) == 1) != x.cleared {
				t.Fatalf("%s: cleared is %v", x.name, len(cleared) == 1)
			}
		}
	}
}

// A clock that is ahead, or that somebody has set, hides nothing: what happened after it came happened when it came, and is in one review only.
func TestClockAhead(t *testing.T) {
	w := open(t)
	w.now = hospital.Day(50)
	w.report(t, snooped(hospital.Day(49), "nina", "", "W1", "1"), snooped(hospital.Day(4000), "nina", "", "W1", "2"), snooped(hospital.Day(60), "nina", "", "W1", "3"))
	w.now = hospital.Day(55)
	w.report(t, snooped(hospital.Day(54), "nina", "", "W1", "4"), snooped(hospital.Day(49), "nina", "", "W1", "5"))
	w.now = hospital.Day(70)
	for _, x := range []struct {
		from, to int
		want     string
	}{{40, 52, "[1 2 3 5]"}, {52, 58, "[4]"}, {58, 65, "[]"}, {40, 70, "[1 2 3 4 5]"}, {50, 51, "[2 3]"}} {
		r := w.run(t, Question{From: hospital.Day(x.from), To: hospital.Day(x.to), History: 30})
		patients := []string{}
		for _, f := range r.Found {
			if f.Patient != "" {
				patients = append(patients, strings.TrimPrefix(f.Patient, "urn:oid:1.3|"))
			}
		}
		slices.Sort(patients)
		if fmt.Sprint(patients) != x.want {
			t.Errorf("%d to %d: %v, want %s", x.from, x.to, patients, x.want)
		}
	}
}

// However late something comes, the next review has it; also where somebody has said on which day that begins. What lies before a history stays there.
func TestVeryLate(t *testing.T) {
	w := open(t)
	days := func(from, to int) Question {
		return Question{From: hospital.Day(from), To: hospital.Day(to), History: 7}
	}
	w.report(t, snooped(hospital.Day(2), "nina", "", "W1", "1"), snooped(hospital.Day(40), "nina", "", "W1", "2"))
	first := w.run(t, days(30, 60))
	if first.Run.Accesses != 1 {
		t.Errorf("%d accesses in the first", first.Run.Accesses)
	}
	if _, err := w.Sign(t.Context(), vera(), Approval{Run: first.Run.ID, Text: "done"}); err != nil {
		t.Fatal(err)
	}
	w.report(t, snooped(hospital.Day(1), "nina", "", "W1", "3"), snooped(hospital.Day(59), "nina", "", "W1", "4"), snooped(hospital.Day(61), "nina", "", "W1", "5"))
	for what, q := range map[string]Question{
		"from where the last ended": {To: hospital.Day(90), History: 7}, "from that day": days(60, 90), "from an earlier day": days(50, 90), "the same days again": days(30, 60),
	} {
		r := w.run(t, q)
		patients := map[string]bool{}
		for _, f := range r.Found {
			patients[strings.TrimPrefix(f.Patient, "urn:oid:1.3|")] = true
		}
		if want := q.To == hospital.Day(90); !patients["3"] || !patients["4"] || patients["5"] != want || patients["1"] || r.Run.Late != first.Run.Size {
			t.Errorf("%s: found %v, late from %d, want %d", what, patients, r.Run.Late, first.Run.Size)
		}
	}
	if r := w.run(t, days(61, 90)); r.Run.Late != 0 || r.Run.Accesses != 1 {
		t.Errorf("days apart from what is signed: late from %d, %d accesses", r.Run.Late, r.Run.Accesses)
	}
}

// snooped is an event in which a user opens a patient's record.
func snooped(at time.Time, user, name, department, patient string) hippad.Event {
	return hippad.Event{
		Type: hippad.Code{System: "DCM", Code: "110110"}, Recorded: at, Action: "R", Outcome: "0",
		Agents: []hippad.Agent{{
			Who: hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.9", Value: user}}, Name: name, Requestor: true, Location: hippad.Reference{Display: department},
		}},
		Source:   hippad.Source{Observer: hippad.Reference{Display: "ehr"}},
		Entities: []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{System: "urn:oid:1.3", Value: patient}}, Role: hippad.Code{Code: "1"}}},
	}
}

// Whatever long names a system sends, and however many people come to one record, the review can be written down; and what is cut still tells people apart.
func TestLongNames(t *testing.T) {
	w := open(t)
	at := hospital.Day(10)
	long := strings.Repeat("\u00e9\"", 200_000)
	events := []hippad.Event{snooped(at, long+"a", long, long, long+"1"), snooped(at, long+"b", long, long, long+"1"), snooped(at, "nina", "", "W1", "1")}
	for i := range 3000 {
		events = append(events, snooped(at.Add(time.Minute), fmt.Sprintf("%s%04d", strings.Repeat("\"", 196), i), "", fmt.Sprint("W", i%7), "2"))
	}
	w.report(t, events...)
	r := w.run(t, Question{From: hospital.Day(9), To: hospital.Day(12)})
	if r.Run.Accesses != 3003 || r.Run.Found < 3003 {
		t.Errorf("%d accesses, %d findings", r.Run.Accesses, r.Run.Found)
	}
	crowd := map[string]bool{}
	for _, f := range r.Found {
		for _, user := range f.Users {
			crowd[user] = true
		}
	}
	if len(crowd) != 3000 {
		t.Errorf("%d of the crowd are named", len(crowd))
	}
}

// Rosters: good rows count, bad rows are listed, what is no such table is refused.
func TestRosters(t *testing.T) {
	r := Rosters{
		Staff:     []byte("User ID;Name;Unit;Terminated\na;Ann Hall;W1;2026-01-01\n;x;y;\na;Ann;W1;\nb;Bo;W2;1 May\n"),
		Relations: []byte("patient,user,department,from,to\n1,a,,,\n1,,,,\n1,a,,2026-02-01,2026-01-01\n"),
		Deceased:  []byte("patient,date of death\n1,2026-01-01\n2,\n"),
		VIP:       []byte("mrn\n1\n"),
		Patients:  []byte("patient,vip\n1,yes\n2,perhaps\n"),
	}
	_, kept, bad, err := r.read(nil)
	var got []string
	for _, k := range kept {
		got = append(got, fmt.Sprint(k.Name, " ", k.Rows, " ", k.Bad))
	}
	for _, b := range bad {
		got = append(got, fmt.Sprint(b.Roster, " ", b.Line, ": ", b.Reason))
	}
	want := []string{
		"staff 1 3", "patients 1 1", "relations 1 2", "VIPs 1 0", "deceased 1 1", "staff 3: there is no user", "staff 4: the user is on an earlier line too",
		`staff 5: "end date" is no day like 2026-11-23`, `patients 3: "vip" is neither yes nor no`, "relations 3: a relation needs a patient, and a user or a department",
		"relations 4: the relation ends before it begins", `deceased 3: "died" is no day like 2026-11-23`,
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	_, _, _, err = Rosters{VIP: []byte("name\nx\n")}.read(nil)
	if hippad.KindOf(err) != hippad.Invalid || !strings.Contains(err.Error(), "the roster of VIPs: the table has no column patient") {
		t.Error(err)
	}
}

// Who may not review is refused, and that is an entry.
func TestMayNot(t *testing.T) {
	w := open(t)
	nobody := testlog.Person("pacs", hippad.RoleReporter)
	before := w.Ledger.Size()
	for what, err := range map[string]error{
		"run":   second(w.Run(t.Context(), nobody, Question{}, unwatched)),
		"show":  second(w.Show(t.Context(), nobody, 1)),
		"judge": second(w.Judge(t.Context(), nobody, Judgement{})),
		"sign":  second(w.Sign(t.Context(), nobody, Approval{})),
		"list":  second(w.List(t.Context(), nobody, 0)),
	} {
		if hippad.KindOf(err) != hippad.Unauthorised {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := w.Ledger.Size() - before; n != 5 {
		t.Errorf("%d entries about five refusals", n)
	}
	if _, err := w.Show(t.Context(), vera(), 1); hippad.KindOf(err) != hippad.NotFound {
		t.Error(err)
	}
	w.running <- struct{}{}
	if _, err := w.Run(t.Context(), vera(), Question{}, unwatched); hippad.KindOf(err) != hippad.Busy {
		t.Errorf("two reviews at once: %v", err)
	}
	<-w.running
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("went away"))
	if _, err := w.Run(gone, vera(), Question{}, unwatched); err == nil {
		t.Error("a review for somebody who went away")
	}
}

// stated returns a review that is only stated, not run: its period, and whether it is signed.
func (w *world) stated(from, to regulation.Date, signed bool) {
	id := int64(1_000_000 + len(w.order)*100)
	w.take(id, to.In(time.UTC), record{Run: &Run{From: from.In(time.UTC), To: to.In(time.UTC)}})
	if signed {
		w.take(id+99, to.In(time.UTC), record{Sign: &Signature{Run: id}})
	}
}

// What lies between signed reviews, and is in none of them, is told.
func TestGaps(t *testing.T) {
	w := open(t)
	day := func(month time.Month, day int) regulation.Date {
		return regulation.Date{Year: 2026, Month: month, Day: day}
	}
	gaps := func() (text string) {
		t.Helper()
		list, err := w.List(t.Context(), vera(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range list.Gaps {
			text += g.From.Format("01-02") + "/" + g.To.Format("01-02") + " "
		}
		return text
	}
	for _, x := range []struct {
		from, to regulation.Date
		signed   bool
		want     string
	}{
		{day(3, 1), day(4, 1), false, ""},
		{day(2, 1), day(3, 1), true, ""},
		{day(3, 1), day(3, 10), true, ""},
		{day(4, 1), day(5, 1), true, "03-10/04-01 "},
		{day(6, 1), day(6, 2), true, "03-10/04-01 05-01/06-01 "},
		{day(3, 5), day(3, 20), true, "03-20/04-01 05-01/06-01 "},
		{day(3, 20), day(6, 1), true, ""},
	} {
		w.stated(x.from, x.to, x.signed)
		if got := gaps(); got != x.want {
			t.Errorf("after %v to %v: %q, want %q", x.from, x.to, got, x.want)
		}
	}
}
