package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	"hippad"
	"hippad/internal/fhir"
	"hippad/internal/ledger"
	"hippad/internal/repository"
	"hippad/internal/seal"
	"hippad/internal/storetest"
)

// propWorld is a log with the facts of one throw, each in all three forms.
type propWorld struct {
	*repository.Repository
	facts []fact
}

func openPropWorld(t *testing.T, d dice, facts int) *propWorld {
	t.Helper()
	keys, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), storetest.NewMemory(nil), ledger.Options{
		Signer: keys.Signer, Verifier: keys.Verifier, Salt: keys.Salt, RunLength: 64, SealKey: keys.SealKey, OpenKey: keys.OpenKey, KeyDestroyed: seal.ErrDestroyed,
		Index: repository.Indexer(read, keys.Term, &repository.Unreadable{}, nil), TermsVersion: hippad.TermsVersion,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w := &propWorld{Repository: &repository.Repository{
		Ledger: l, Read: read, Write: fhir.Write, Term: keys.Term, Now: time.Now, Self: hippad.Principal{Kind: hippad.KindSelf, ID: "log.example"},
	}}
	for range facts {
		f := d.fact()
		caller := hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindCertificate, ID: f.reporter, Organisation: f.member}, Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleReporter}}}
		var reports []hippad.Report
		for x := range forms {
			reports = append(reports, d.report(f.as(x)))
		}
		wait, err := w.As(caller, hippad.DoorNative).Record(t.Context(), hippad.Frame{Reports: reports})
		if err != nil {
			t.Fatal(err)
		}
		ack, err := wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first := ack.Ranges[0].First
		for e, err := range l.Entries(t.Context(), first, first+int64(forms)) {
			if err != nil {
				t.Fatal(err)
			}
			f := f.as(form(e.Index - first))
			f.index, f.received = e.Index, e.Received
			if read(e.Report).Unreadable != "" != f.unreadable {
				t.Fatalf("form %d: %s", f.form, e.Body)
			}
			w.facts = append(w.facts, f)
		}
	}
	return w
}

// found returns what a search answers, by one page or by pages that go on where the one before ended, as the door has them.
func (w *propWorld) found(t *testing.T, q hippad.Query, page int) (indexes []int64) {
	t.Helper()
	reviewer := hippad.Caller{Principal: hippad.Principal{Kind: hippad.KindOperator, ID: "sha256:00"}, Grant: hippad.Grant{Roles: []hippad.Role{hippad.RoleReviewer}}}
	session := w.As(reviewer, hippad.DoorFHIR)
	for q.Limit = page; ; {
		n := 0
		for e, err := range session.Search(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			indexes = append(indexes, e.Index)
			n++
			switch {
			case q.ByTime:
				q.Beyond = &hippad.Place{At: hippad.EventTime(e, read(e.Report)), Index: e.Index}
			case q.Ascending:
				q.After = &e.Index
			default:
				q.Before = &e.Index
			}
		}
		if page == 0 || n < page {
			return indexes
		}
	}
}

// TestSearchEqualsNaiveScan: whatever is asked, the log answers what going through the model answers, and the same of a report
// whether it came as DICOM, R4 or R5.
func TestSearchEqualsNaiveScan(t *testing.T) {
	worlds, queries := 16, 160
	if testing.Short() {
		worlds = 2
	}
	asked, hits := 0, 0
	for seed := range worlds {
		d := dice{rand.New(rand.NewPCG(uint64(seed), 81))}
		w := openPropWorld(t, d, 50)
		for range queries {
			q := d.query(w.facts)
			want := q.scan(w.facts)
			values, err := url.ParseQuery(q.text())
			if err != nil {
				t.Fatal(err)
			}
			parsed, unknown, err := fhir.ParseQuery(values)
			if err != nil || len(unknown) > 0 {
				t.Fatalf("seed %d, %s: %v %v", seed, q.text(), unknown, err)
			}
			if got := w.found(t, parsed, pick(d, 0, 0, 0, 0, 9, 40)); !slices.Equal(got, want) {
				t.Fatalf("seed %d, %s:\n got %v\nwant %v%s", seed, q.text(), got, want, w.difference(t, got, want))
			}
			if asked++; len(want) > 0 {
				hits++
			}
			if q.inEveryForm {
				w.sameInEveryForm(t, q, want)
			}
		}
	}
	if hits*3 < asked {
		t.Errorf("of %d questions only %d have an answer: the vocabulary is too large to say much", asked, hits)
	}
	t.Logf("%d questions, %d with an answer", asked, hits)
}

// sameInEveryForm checks that of a fact which every form can say all three reports are found, or none. One that does not say when it
// happened did so when its report was received.
func (w *propWorld) sameInEveryForm(t *testing.T, q propQuery, found []int64) {
	t.Helper()
	for i := 0; i < len(w.facts); i += int(forms) {
		has := func(x form) bool { return slices.Contains(found, w.facts[i+int(x)].index) }
		if f := w.facts[i]; f.plain && !f.recorded.IsZero() && (has(dicom) != has(formR4) || has(formR4) != has(formR5)) {
			t.Fatalf("%s: DICOM %v, R4 %v, R5 %v", q.text(), has(dicom), has(formR4), has(formR5))
		}
	}
}

// difference shows the first report about which the two disagree.
func (w *propWorld) difference(t *testing.T, got, want []int64) string {
	for _, f := range w.facts {
		if slices.Contains(got, f.index) != slices.Contains(want, f.index) {
			for e, err := range w.Ledger.Entries(t.Context(), f.index, f.index+1) {
				return fmt.Sprintf("\n%d wanted %v: %s %v", f.index, slices.Contains(want, f.index), e.Body, err)
			}
		}
	}
	return "\nthe order differs"
}
