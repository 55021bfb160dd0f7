package custody_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"hippad"
	"hippad/internal/custody"
	"hippad/receipt"
)

// Two people, and not one of them twice, in time, once.
func TestFourEyes(t *testing.T) {
	ask := func(t *testing.T, w *world) int64 {
		t.Helper()
		q, err := w.AskExport(t.Context(), olga, hippad.Query{}, "for the court")
		if err != nil || q.State != custody.StateWaiting || q.By.ID != "olga" || q.What() == "" {
			t.Fatalf("%+v, %v", q, err)
		}
		return q.ID
	}
	confirm := func(w *world, c hippad.Caller, id int64) error {
		_, err := w.Confirm(context.Background(), c, id, nil)
		return err
	}
	refuse := func(w *world, c hippad.Caller, id int64) error {
		_, err := w.Refuse(context.Background(), c, id)
		return err
	}
	reviewer := person("rita", hippad.RoleReviewer, hippad.RoleAuditor, hippad.RoleReporter)
	other := olga
	other.Name, other.Organisation = "Olga, with another name", "East"
	const ok = hippad.Kind(255)
	for name, c := range map[string]struct {
		do   func(t *testing.T, w *world, id int64) error
		kind hippad.Kind
		end  custody.State
	}{
		"another officer":          {func(_ *testing.T, w *world, id int64) error { return confirm(w, otto, id) }, ok, custody.StateConfirmed},
		"an administrator":         {func(_ *testing.T, w *world, id int64) error { return confirm(w, admin, id) }, ok, custody.StateConfirmed},
		"the same":                 {func(_ *testing.T, w *world, id int64) error { return confirm(w, olga, id) }, hippad.Unauthorised, custody.StateWaiting},
		"the same by another name": {func(_ *testing.T, w *world, id int64) error { return confirm(w, other, id) }, hippad.Unauthorised, custody.StateWaiting},
		"without the role":         {func(_ *testing.T, w *world, id int64) error { return confirm(w, reviewer, id) }, hippad.Unauthorised, custody.StateWaiting},
		"nobody":                   {func(_ *testing.T, w *world, id int64) error { return confirm(w, hippad.Caller{}, id) }, hippad.Unauthorised, custody.StateWaiting},
		"what does not exist":      {func(_ *testing.T, w *world, id int64) error { return confirm(w, otto, id+1000) }, hippad.NotFound, custody.StateWaiting},
		"what is no request":       {func(_ *testing.T, w *world, id int64) error { return confirm(w, otto, -1) }, hippad.NotFound, custody.StateWaiting},
		"just in time": {func(t *testing.T, w *world, id int64) error {
			time.Sleep(7*days - time.Second)
			return confirm(w, otto, id)
		}, ok, custody.StateConfirmed},
		"too late": {func(t *testing.T, w *world, id int64) error {
			time.Sleep(7 * days)
			return confirm(w, otto, id)
		}, hippad.Conflict, custody.StateExpired},
		"refused too late": {func(t *testing.T, w *world, id int64) error {
			time.Sleep(7 * days)
			return refuse(w, otto, id)
		}, hippad.Conflict, custody.StateExpired},
		"twice": {func(t *testing.T, w *world, id int64) error {
			return errors.Join(confirm(w, otto, id), confirm(w, admin, id))
		}, hippad.Conflict, custody.StateConfirmed},
		"refused":                  {func(t *testing.T, w *world, id int64) error { return refuse(w, otto, id) }, ok, custody.StateRefused},
		"taken back":               {func(t *testing.T, w *world, id int64) error { return refuse(w, olga, id) }, ok, custody.StateRefused},
		"refused without the role": {func(t *testing.T, w *world, id int64) error { return refuse(w, reviewer, id) }, hippad.Unauthorised, custody.StateWaiting},
		"refused, then confirmed": {func(t *testing.T, w *world, id int64) error {
			return errors.Join(refuse(w, otto, id), confirm(w, otto, id))
		}, hippad.Conflict, custody.StateRefused},
		"confirmed, then refused": {func(t *testing.T, w *world, id int64) error {
			return errors.Join(confirm(w, otto, id), refuse(w, otto, id))
		}, hippad.Conflict, custody.StateConfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				id := ask(t, w)
				size := w.Ledger.Size()
				err := c.do(t, w, id)
				if c.kind == ok && err != nil || c.kind != ok && hippad.KindOf(err) != c.kind {
					t.Errorf("%v", err)
				}
				if c.kind == hippad.Unauthorised && w.Ledger.Size() != size+1 {
					t.Error("a refusal leaves no entry")
				}
				for range 2 { // as it is, and as it is replayed
					list, err := w.Requests(t.Context(), admin)
					if err != nil || len(list) != 1 || list[0].ID != id || list[0].State != c.end {
						t.Errorf("%+v, %v", list, err)
					}
					w.crash(t)
				}
			})
		})
	}
}

// Who may ask for what.
func TestRights(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name string
			may  []hippad.Role
			do   func(c hippad.Caller) error
		}{
			{"hold", []hippad.Role{hippad.RoleOfficer}, func(c hippad.Caller) error {
				_, err := w.Hold(t.Context(), c, custody.Hold{Reason: "x", Patient: "1"})
				return err
			}},
			{"release", []hippad.Role{hippad.RoleOfficer}, func(c hippad.Caller) error { return w.Release(t.Context(), c, 999, "x") }},
			{"holds", []hippad.Role{hippad.RoleOfficer, hippad.RoleAdministrator}, func(c hippad.Caller) error { _, err := w.HoldsFor(t.Context(), c); return err }},
			{"retention", []hippad.Role{hippad.RoleOfficer}, func(c hippad.Caller) error { _, err := w.Retention(t.Context(), c); return err }},
			{"purge", []hippad.Role{hippad.RoleOfficer}, func(c hippad.Caller) error {
				_, err := w.AskPurge(t.Context(), c, custody.PurgeOrder{}, "x")
				return err
			}},
			{"ask for an export", []hippad.Role{hippad.RoleOfficer}, func(c hippad.Caller) error {
				_, err := w.AskExport(t.Context(), c, hippad.Query{}, "x")
				return err
			}},
			{"export", []hippad.Role{hippad.RoleOfficer}, func(c hippad.Caller) error { return w.Export(t.Context(), c, 999, io.Discard) }},
			{"requests", []hippad.Role{hippad.RoleOfficer, hippad.RoleAdministrator}, func(c hippad.Caller) error { _, err := w.Requests(t.Context(), c); return err }},
		} {
			for _, role := range append([]hippad.Role{""}, hippad.Roles...) {
				err := c.do(person("p", role))
				if denied := hippad.KindOf(err) == hippad.Unauthorised; denied == slices.Contains(c.may, role) {
					t.Errorf("%s as %q: %v", c.name, role, err)
				}
			}
		}
	})
}

func TestHoldsThatAreRefused(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for name, h := range map[string]custody.Hold{
			"nothing":        {Reason: "x"},
			"a case alone":   {Reason: "x", Case: "2026-17"},
			"no reason":      {Patient: "1"},
			"a blank reason": {Patient: "1", Reason: " "},
			"blank patient":  {Patient: " ", Reason: "x"},
			"two lines":      {Patient: "1", Reason: "x\ny"},
			"not UTF-8":      {Patient: "\xff", Reason: "x"},
			"very long":      {Patient: strings.Repeat("1", 3000), Reason: "x"},
			"reporter":       {Reporter: "pacs", Reason: "x"},
			"no time":        {From: day, To: day, Reason: "x"},
			"empty range":    {Entries: []hippad.Range{{First: 1}}, Reason: "x"},
			"negative range": {Entries: []hippad.Range{{First: -1, Count: 5}}, Reason: "x"},
			"many ranges":    {Entries: make([]hippad.Range, 10_001), Reason: "x"},
		} {
			size := w.Ledger.Size()
			if _, err := w.Hold(t.Context(), olga, h); hippad.KindOf(err) != hippad.Invalid || w.Ledger.Size() != size {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := w.Release(t.Context(), olga, 5, "x"); hippad.KindOf(err) != hippad.NotFound {
			t.Errorf("%v", err)
		}
		h, err := w.Hold(t.Context(), olga, custody.Hold{ID: 77, By: otto.Principal, At: day, Late: []int64{5}, Reason: "x", Patient: "1"})
		if err != nil || h.ID == 77 || h.By.ID != "olga" || h.At.Equal(day) || h.Late != nil {
			t.Errorf("%+v, %v", h, err)
		}
		if err := w.Release(t.Context(), olga, h.ID, ""); hippad.KindOf(err) != hippad.Invalid {
			t.Errorf("%v", err)
		}
		if err := errors.Join(w.Release(t.Context(), olga, h.ID, "x"), w.Release(t.Context(), olga, h.ID, "x")); hippad.KindOf(errors.Unwrap(err)) != hippad.NotFound && hippad.KindOf(err) != hippad.NotFound {
			t.Errorf("%v", err)
		}
	})
}

// Every form in which a patient is written meets every form in which a hold may name them.
func TestHoldMatches(t *testing.T) {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	event := func(r hippad.Reference) hippad.Event {
		return hippad.Event{Recorded: at, Entities: []hippad.Entity{{What: r, Role: hippad.Code{Code: "1"}}}}
	}
	value := func(s string) hippad.Event {
		return event(hippad.Reference{Identifier: hippad.Identifier{Value: s}})
	}
	entry := hippad.Entry{Index: 7, Received: at.AddDate(0, 1, 0), Reporter: pacs.Principal}
	for _, c := range []struct {
		name string
		h    custody.Hold
		ev   hippad.Event
		want bool
	}{
		{"value", custody.Hold{Patient: "4711"}, value("4711^^^&1.2&ISO"), true},
		{"CX", custody.Hold{Patient: "4711^^^&1.2&ISO"}, value("4711^^^&1.2&ISO^PI"), true},
		{"system", custody.Hold{Patient: "urn:oid:1.2|4711"}, value("4711^^^&1.2&ISO"), true},
		{"bare oid", custody.Hold{Patient: "1.2|4711"}, value("4711^^^&1.2&ISO"), true},
		{"FHIR", custody.Hold{Patient: "Patient/7"}, event(hippad.Reference{Literal: "https://x.example/fhir/Patient/7/_history/2"}), true},
		{"another system", custody.Hold{Patient: "urn:oid:1.2|4711"}, value("4711^^^&1.3&ISO"), false},
		{"without a system", custody.Hold{Patient: "urn:oid:1.2|4711"}, value("4711"), true},
		{"with a namespace alone", custody.Hold{Patient: "urn:oid:1.2|4711"}, value("4711^^^HOSPITAL"), true},
		{"another's entry with a literal", custody.Hold{Patient: "urn:oid:1.2|4711"}, event(hippad.Reference{Literal: "Patient/4711"}), true},
		{"somebody else", custody.Hold{Patient: "urn:oid:1.2|4711"}, value("471"), false},
		{"linked by the crosswalk", custody.Hold{Patient: "urn:oid:1.2|4711"}, value("815^^^&1.9&ISO"), true},
		{"linked, without a system", custody.Hold{Patient: "4711^^^&1.2&ISO"}, value("815"), true},
		{"linked to somebody else", custody.Hold{Patient: "urn:oid:1.3|4711"}, value("815^^^&1.9&ISO"), false},
		{"an object of that id", custody.Hold{Patient: "4711"}, hippad.Event{Entities: []hippad.Entity{{What: hippad.Reference{Identifier: hippad.Identifier{Value: "4711"}}}}}, false},
		{"unreadable", custody.Hold{Patient: "4711"}, hippad.Event{Unreadable: "x"}, true},
		{"unreadable of another", custody.Hold{Patient: "4711", Organisation: "East"}, hippad.Event{Unreadable: "x"}, false},
		{"reporter", custody.Hold{Reporter: "certificate:sha256:01"}, value("1"), true},
		{"another reporter", custody.Hold{Reporter: "certificate:sha256:02"}, value("1"), false},
		{"organisation", custody.Hold{Organisation: "West", Patient: "1"}, value("1"), true},
		{"another organisation", custody.Hold{Organisation: "East", Patient: "1"}, value("1"), false},
		{"from", custody.Hold{From: at}, value("1"), true},
		{"to", custody.Hold{To: at}, value("1"), false},
		{"to, of itself", custody.Hold{To: at.AddDate(0, 0, 1)}, value("1"), true},
		{"from, received", custody.Hold{From: at.AddDate(0, 0, 1)}, value("1"), true},
		{"between both", custody.Hold{From: at.AddDate(0, 0, 1), To: at.AddDate(0, 0, 2)}, value("1"), false},
		{"entries", custody.Hold{Entries: []hippad.Range{{First: 1, Count: 2}, {First: 5, Count: 3}}}, value("1"), true},
		{"other entries", custody.Hold{Entries: []hippad.Range{{First: 1, Count: 6}, {First: 8, Count: 3}}}, value("1"), false},
		{"all of the log", custody.Hold{Entries: []hippad.Range{{First: 0, Count: 1<<63 - 1}}}, value("1"), true},
		{"entries of a patient", custody.Hold{Entries: []hippad.Range{{First: 7, Count: 1}}, Patient: "2"}, value("1"), false},
	} {
		story(t, func(t *testing.T, w *world) {
			c.h.Reason = "x"
			w.Repository.Same = func(t hippad.Term) []hippad.Term {
				if t.Value == "urn:oid:1.2|4711" {
					return []hippad.Term{hippad.NewTerm(hippad.FieldPatient, "urn:oid:1.9|815")}
				}
				return nil
			}
			if _, err := w.Hold(t.Context(), olga, c.h); err != nil {
				t.Fatal(err)
			}
			if got := w.Held(entry, c.ev); got != c.want {
				t.Errorf("%s: %v", c.name, got)
			}
		})
	}
}

// untar returns the files of an archive.
func untar(t *testing.T, archive []byte) (files map[string]string, last string) {
	t.Helper()
	files = map[string]string{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, last
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := files[h.Name]; twice {
			t.Errorf("%s is there twice", h.Name)
		}
		files[h.Name], last = string(content), h.Name
	}
}

func TestExport(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.report(t, pacs, fact{Patient: "1"}, fact{Patient: "2"}, fact{Patient: "1^^^&1.2&ISO"})
		ctx := t.Context()
		query := hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, "1")}}}
		q, err := w.AskExport(ctx, olga, query, "subject access")
		if err != nil {
			t.Fatal(err)
		}
		try := func(c hippad.Caller, id int64) (string, error) {
			var out bytes.Buffer
			err := w.Export(ctx, c, id, &out)
			if err != nil && out.Len() > 0 {
				t.Errorf("%d bytes and %v", out.Len(), err)
			}
			return out.String(), err
		}
		if _, err := try(olga, q.ID); hippad.KindOf(err) != hippad.Conflict {
			t.Errorf("before it is confirmed: %v", err)
		}
		if _, err := w.Confirm(ctx, admin, q.ID, nil); err != nil {
			t.Fatal(err)
		}
		_, mine := try(otto, q.ID)
		_, none := try(otto, 999)
		if hippad.KindOf(mine) != hippad.NotFound || strings.ReplaceAll(mine.Error(), fmt.Sprint(q.ID), "999") != none.Error() {
			t.Errorf("somebody else: %v, %v", mine, none)
		}
		time.Sleep(23 * time.Hour)
		size := w.Ledger.Size()
		archive, err := try(olga, q.ID)
		if err != nil {
			t.Fatal(err)
		}
		if ev := read(w.entry(t, size).Report); ev.Type.Code != "110106" || !slices.ContainsFunc(ev.Subtypes, func(c hippad.Code) bool { return c.Code == "export" }) {
			t.Errorf("the entry about it: %+v", ev.Type)
		}
		files, last := untar(t, []byte(archive))
		want := []string{"0.body", "0.json", "0.tlog-proof", "2.body", "2.json", "2.tlog-proof", "log.vkey", "manifest.json"}
		if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) || last != "manifest.json" {
			t.Errorf("%v, the last %s", got, last)
		}
		for _, n := range []string{"0", "2"} {
			p, err := receipt.Verify(hippad.Receipt(files[n+".tlog-proof"]), []byte(files[n+".body"]), w.keys.Verifier)
			if err != nil || fmt.Sprint(p.Index) != n {
				t.Errorf("%s: %v", n, err)
			}
		}
		var m custody.Manifest
		if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil || m.Entries != 2 || m.Query != "patient=1" || m.AskedBy.ID != "olga" ||
			m.ConfirmedBy.ID != "ada" || m.VerifierKey == "" || m.Checkpoint == "" || m.Reason != "subject access" || files["log.vkey"] != w.keys.VerifierKey+"\n" {
			t.Errorf("%+v, %v", m, err)
		}
		time.Sleep(5 * days)
		w.crash(t)
		if again, err := try(olga, q.ID); err != nil || len(again) != len(archive) {
			t.Errorf("again: %d bytes, %v", len(again), err)
		}
		time.Sleep(days + time.Hour)
		if _, err := try(olga, q.ID); hippad.KindOf(err) != hippad.Conflict {
			t.Errorf("after it has expired: %v", err)
		}
		// One that nobody began in a day.
		q, err = w.AskExport(ctx, olga, hippad.Query{}, "x")
		if err == nil {
			_, err = w.Confirm(ctx, otto, q.ID, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if _, err := try(olga, q.ID); hippad.KindOf(err) != hippad.Conflict {
			t.Errorf("not begun: %v", err)
		}
	})
}

// What was destroyed is exported as what is left of it; an answer of nothing is an answer; a reader that goes away ends it.
func TestExportOfLittle(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.report(t, pacs, fact{Patient: "1"})
		time.Sleep(7 * years)
		w.purge(t, custody.PurgeOrder{})
		export := func(q hippad.Query, out io.Writer) error {
			r, err := w.AskExport(t.Context(), olga, q, "x")
			if err == nil {
				_, err = w.Confirm(t.Context(), otto, r.ID, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			return w.Export(t.Context(), olga, r.ID, out)
		}
		var out bytes.Buffer
		if err := export(hippad.Query{Indexes: []int64{0, 0, 12345}}, &out); err != nil {
			t.Fatal(err)
		}
		files, _ := untar(t, out.Bytes())
		if _, body := files["0.body"]; body || !strings.Contains(files["0.json"], `"destroyed":true`) || files["0.tlog-proof"] == "" || !strings.Contains(files["manifest.json"], `"destroyed":1`) {
			t.Errorf("%v", files)
		}
		out.Reset()
		if err := export(hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, "nobody")}}}, &out); err != nil {
			t.Fatal(err)
		}
		if files, _ := untar(t, out.Bytes()); len(files) != 2 {
			t.Errorf("%v", files)
		}
		r, w2 := io.Pipe()
		r.Close()
		if err := export(hippad.Query{}, w2); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%v", err)
		}
		for _, q := range []hippad.Query{{Indexes: make([]int64, 10_001)}, {Limit: -1}, {Terms: make([][]hippad.Term, 1001)}, {Terms: [][]hippad.Term{{{Field: "patient", Value: "\xff"}}}}} {
			if _, err := w.AskExport(t.Context(), olga, q, "x"); hippad.KindOf(err) != hippad.Invalid {
				t.Errorf("%v", err)
			}
		}
	})
}
