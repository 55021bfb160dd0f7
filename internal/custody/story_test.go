package custody_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
	"hippad/internal/custody"
	"hippad/internal/regulation"
	"hippad/internal/repository"
	"hippad/internal/storetest"
)

// plan returns the state of a key in the plan.
func plan(t *testing.T, w *world, month, class string) custody.KeyPlan {
	t.Helper()
	p, err := w.Retention(t.Context(), olga)
	if err != nil {
		t.Fatal(err)
	}
	var found custody.KeyPlan
	for _, k := range p.Keys {
		if k.Month == month && k.Class == class && (found.ID == 0 || k.State != custody.KeyDestroyed) {
			found = k
		}
	}
	return found
}

// The whole life of content: received, held, due, purged but for what is held, released, gone.
func TestLifeOfContent(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		ctx := t.Context() // the bubble begins in January 2000
		january := w.report(t, pacs, fact{Patient: "1^^^&1.2&ISO"}, fact{Patient: "2"}, fact{Patient: "1"}, fact{Patient: "3", Ends: "2040"})
		time.Sleep(31 * days)
		february := w.report(t, pacs, fact{Patient: "1^^^&1.2&ISO"}, fact{Patient: "2"})
		hold, err := w.Hold(ctx, olga, custody.Hold{Reason: "Lind v. Hospital", Case: "2000-17", Patient: "urn:oid:1.2|1"})
		if err != nil {
			t.Fatal(err)
		}
		if k := plan(t, w, "2000-01", "default"); k.State != custody.KeyKept || !k.Ends.Equal(time.Date(2006, 2, 1, 0, 0, 0, 0, time.UTC)) || k.InMonth != 4 {
			t.Errorf("January: %+v", k)
		}
		if k := plan(t, w, "2000-02", "default"); k.Why != "the month is not over" {
			t.Errorf("February: %+v", k)
		}
		if _, err := w.AskPurge(ctx, olga, custody.PurgeOrder{}, "x"); hippad.KindOf(err) != hippad.NotFound {
			t.Errorf("nothing is due, but: %v", err)
		}
		for _, o := range []custody.PurgeOrder{{Months: []string{"2000-01"}}, {Months: []string{"2000-02"}, Override: "because it was said so"}} {
			if _, err := w.AskPurge(ctx, olga, o, "x"); hippad.KindOf(err) != hippad.Invalid {
				t.Errorf("%v: %v", o, err)
			}
		}
		time.Sleep(7 * years)
		k := plan(t, w, "2000-01", "default")
		if k.State != custody.KeyDue || k.Entries != 3 || k.Kept != 2 || !slices.Equal(k.Holds, []int64{hold.ID}) {
			t.Errorf("January: %+v", k)
		}
		if k := plan(t, w, "2000-01", "until-2040"); k.State != custody.KeyKept {
			t.Errorf("until 2040: %+v", k)
		}
		cert := w.purge(t, custody.PurgeOrder{})
		if cert.Destroyed != 2 || cert.Kept != 3 || !slices.Equal(cert.Holds, []int64{hold.ID}) || cert.AskedBy.ID != "olga" || cert.ConfirmedBy.ID != "otto" ||
			cert.KeptBy[0] != (custody.HoldKept{Hold: hold.ID, Entries: 3}) || cert.Checkpoint == "" || cert.Reason == "" || len(cert.Keys) != 2 {
			t.Errorf("certificate: %+v", cert)
		}
		if got := w.alive(t, append(january, february...)...); !slices.Equal(got, []int64{0, 2, 3, february[0]}) {
			t.Errorf("there are %v", got)
		}
		if w.vault.key("2000-01", "default") != 0 || w.vault.key("2000-01", regulation.Held) == 0 {
			t.Errorf("keys: %v", w.vault.list())
		}
		w.sound(t)
		if k := plan(t, w, "2000-01", regulation.Held); k.State != custody.KeyHeld || k.Entries != 2 {
			t.Errorf("held: %+v", k)
		}
		if _, err := w.AskPurge(ctx, olga, custody.PurgeOrder{}, "again"); hippad.KindOf(err) != hippad.NotFound {
			t.Errorf("all that is due is held, but: %v", err)
		}
		if err := w.Release(ctx, otto, hold.ID, "settled"); err != nil {
			t.Fatal(err)
		}
		second, err := w.Hold(ctx, olga, custody.Hold{Reason: "another", Entries: []hippad.Range{{First: 2, Count: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		cert = w.purge(t, custody.PurgeOrder{})
		if cert.Destroyed != 2 || cert.Kept != 1 || w.vault.key("2000-01", regulation.HeldAgain) == 0 {
			t.Errorf("certificate: %+v", cert)
		}
		if got := w.alive(t, append(january, february...)...); !slices.Equal(got, []int64{2, 3}) {
			t.Errorf("there are %v", got)
		}
		w.sound(t)
		w.crash(t)
		if err := w.Release(ctx, otto, second.ID, "settled"); err != nil {
			t.Fatal(err)
		}
		if cert := w.purge(t, custody.PurgeOrder{}); cert.Destroyed != 1 {
			t.Errorf("certificate: %+v", cert)
		}
		if got := w.alive(t, append(january, february...)...); !slices.Equal(got, []int64{3}) || len(w.Certificates()) != 3 {
			t.Errorf("there are %v, and %d certificates", got, len(w.Certificates()))
		}
		w.sound(t)
	})
}

// Both classes of the held are purged together, while something stays held in each.
func TestHeldTwice(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		all := w.report(t, pacs, fact{Patient: "1"}, fact{Patient: "2"}, fact{Patient: "3", Ends: "2030"}, fact{Patient: "4", Ends: "2030"})
		hold := func(patient string) int64 {
			h, err := w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: patient})
			if err != nil {
				t.Fatal(err)
			}
			return h.ID
		}
		release := func(id int64) {
			if err := w.Release(t.Context(), olga, id, "y"); err != nil {
				t.Fatal(err)
			}
		}
		one, two := hold("1"), hold("2")
		hold("3")
		four := hold("4")
		time.Sleep(8 * years)
		if c := w.purge(t, custody.PurgeOrder{}); c.Kept != 2 || c.Destroyed != 0 {
			t.Fatalf("%+v", c)
		}
		release(two)
		if c := w.purge(t, custody.PurgeOrder{}); c.Kept != 1 || c.Destroyed != 1 { // into the second class
			t.Fatalf("%+v", c)
		}
		time.Sleep(25 * years)
		if c := w.purge(t, custody.PurgeOrder{Classes: []string{"until-2030"}}); c.Kept != 2 { // into the first
			t.Fatalf("%+v", c)
		}
		if w.vault.key("2000-01", regulation.Held) == 0 || w.vault.key("2000-01", regulation.HeldAgain) == 0 {
			t.Fatalf("%+v", w.vault.list())
		}
		release(one)
		release(four)
		c := w.purge(t, custody.PurgeOrder{})
		if got := w.alive(t, all...); !slices.Equal(got, []int64{2}) || c.Destroyed < 2 {
			t.Errorf("there are %v; %+v", got, c)
		}
		w.sound(t)
	})
}

// A purge before the time needs a reason in writing, which the certificate bears. It does not touch what is held, nor the log's own.
func TestOverride(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		all := w.report(t, pacs, fact{Patient: "1"}, fact{Patient: "2"}, fact{Patient: "3", Ends: "2090"}, fact{Garbage: true})
		if _, err := w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: "1"}); err != nil {
			t.Fatal(err)
		}
		self := w.Ledger.Size() - 1
		time.Sleep(40 * days)
		if _, err := w.AskPurge(t.Context(), olga, custody.PurgeOrder{Months: []string{"2000-01"}, Classes: []string{regulation.Self}, Override: "x"}, "y"); hippad.KindOf(err) != hippad.Invalid {
			t.Errorf("%v", err)
		}
		c := w.purge(t, custody.PurgeOrder{Months: []string{"2000-01"}, Override: "test data that was never real"})
		// What nobody can read may be about the patient who is held.
		if got := w.alive(t, append(all, self)...); !slices.Equal(got, []int64{0, 3, self}) || c.Override != "test data that was never real" {
			t.Errorf("there are %v; %+v", got, c)
		}
		w.sound(t)
	})
}

// A class that was made longer keeps what was received before; one that is gone from the configuration keeps everything.
func TestClassesChange(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var err error
		parse := func(text string) {
			if w.classes, err = regulation.Parse(strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			w.crash(t)
		}
		parse(`{"classes": [{"name": "west", "years": 8, "match": [{"field": "_organisation", "any": ["West"]}]}]}`)
		other := pacs
		other.Organisation = "East"
		all := append(w.report(t, pacs, fact{Patient: "1"}), w.report(t, other, fact{Patient: "1"})...)
		time.Sleep(9 * years)
		parse(`{"classes": [{"name": "east", "years": 20, "match": [{"field": "_organisation", "any": ["East"]}]}]}`)
		if k := plan(t, w, "2000-01", "west"); k.State != custody.KeyKept || k.Why != "the class is not configured" {
			t.Errorf("%+v", k)
		}
		if k := plan(t, w, "2000-01", "default"); k.Kept != 1 || k.State != custody.KeyDue {
			t.Errorf("%+v", k)
		}
		w.purge(t, custody.PurgeOrder{})
		if got := w.alive(t, all...); !slices.Equal(got, all) {
			t.Errorf("there are %v", got)
		}
		time.Sleep(12 * years)
		w.purge(t, custody.PurgeOrder{})
		if got := w.alive(t, all...); !slices.Equal(got, all[:1]) {
			t.Errorf("there are %v", got)
		}
		w.sound(t)
	})
}

// A hold that is placed while a purge runs waits for its end, and is told what it came too late for.
func TestHoldWhilePurging(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		all := w.report(t, pacs, fact{Patient: "1"}, fact{Patient: "2"})
		time.Sleep(7 * years)
		purging, goOn := make(chan bool), make(chan bool)
		w.vault.destroy = func([]uint32) error { purging <- true; <-goOn; return nil }
		purged := make(chan custody.Certificate)
		go func() { purged <- w.purge(t, custody.PurgeOrder{}) }()
		<-purging
		placed := make(chan custody.Hold)
		go func() {
			h, err := w.Hold(context.Background(), olga, custody.Hold{Reason: "x", Patient: "1"})
			if err != nil {
				t.Error(err)
			}
			placed <- h
		}()
		synctest.Wait()
		if len(w.Holds()) != 0 { // looking does not wait
			t.Error("there is a hold that cannot win")
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Hold(short, olga, custody.Hold{Reason: "x", Patient: "2"}); hippad.KindOf(err) != hippad.Busy {
			t.Errorf("%v", err)
		}
		close(goOn)
		cert, hold := <-purged, <-placed
		if !slices.Equal(hold.Late, []int64{cert.ID}) || cert.Destroyed != 2 || len(w.alive(t, all...)) != 0 {
			t.Errorf("%+v, %+v", hold, cert)
		}
		if got := w.Holds(); len(got) != 1 || got[0].ID != hold.ID || got[0].Late != nil {
			t.Errorf("%+v", got)
		}
	})
}

// Whoever hangs up while a purge runs does not stop it.
func TestPurgeOutlivesItsCaller(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.report(t, pacs, fact{Patient: "1"})
		time.Sleep(7 * years)
		q, err := w.AskPurge(t.Context(), olga, custody.PurgeOrder{}, "x")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.vault.destroy = func([]uint32) error { cancel(); return nil }
		progress := 0
		q, err = w.Confirm(ctx, otto, q.ID, func(done, total int64) { progress++ })
		if err != nil || q.State != custody.StateDone || len(w.Certificates()) != 1 || progress == 0 {
			t.Errorf("%v, %+v, %d", err, q, progress)
		}
	})
}

// A purge that breaks at any step, with the process or without, is finished later, and has one certificate.
func TestPurgeIsFinished(t *testing.T) {
	broken := errors.New("broken")
	for _, step := range []string{"rewrite", "rewrite stored", "keys", "keys destroyed", "compact", "certificate", "certificate stored"} {
		for _, crash := range []bool{true, false} {
			t.Run(step, func(t *testing.T) {
				story(t, func(t *testing.T, w *world) {
					var facts []fact
					for i := range 200 {
						facts = append(facts, fact{Patient: []string{"1", "2", "3"}[i%3]})
					}
					all := w.report(t, pacs, facts...)
					if _, err := w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: "1"}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(7 * years)
					q, err := w.AskPurge(t.Context(), olga, custody.PurgeOrder{}, "x")
					if err != nil {
						t.Fatal(err)
					}
					full := hippad.Errorf(hippad.Unavailable, "disk full")
					once := func(f func() error) func() error {
						return func() error {
							if f == nil {
								return nil
							}
							now := f
							f = nil
							return now()
						}
					}
					breaks := once(func() error { return broken })
					switch step {
					case "rewrite":
						w.store.FailNext(storetest.OpRewrite, storetest.NotStored, 1, full)
					case "rewrite stored":
						w.store.FailNext(storetest.OpRewrite, storetest.Stored, 1, full)
					case "keys":
						w.vault.destroy = func([]uint32) error { return breaks() }
					case "keys destroyed":
						w.vault.destroy = func(ids []uint32) error {
							w.vault.mu.Lock()
							for _, id := range ids {
								w.vault.keys[id-1].Destroyed = time.Now()
							}
							w.vault.mu.Unlock()
							return breaks()
						}
					case "compact":
						w.compact = breaks
					case "certificate":
						w.compact = once(func() error { w.store.FailNext(storetest.OpCommit, storetest.NotStored, 1, full); return nil })
					case "certificate stored":
						w.compact = once(func() error { w.store.FailNext(storetest.OpCommit, storetest.Stored, 1, full); return nil })
					}
					if got, err := w.Confirm(t.Context(), otto, q.ID, nil); err == nil && step != "certificate stored" {
						t.Fatalf("nothing broke: %+v", got)
					}
					if crash {
						w.crash(t)
					} else if err := w.Resume(t.Context()); err != nil {
						t.Fatal(err)
					}
					certs := w.Certificates()
					if len(certs) != 1 || certs[0].Request != q.ID || certs[0].Destroyed != 133 || certs[0].Kept != 67 {
						t.Fatalf("certificates: %+v", certs)
					}
					if got := w.alive(t, all...); len(got) != 67 || got[1] != 3 {
						t.Errorf("%d are there", len(got))
					}
					w.sound(t)
					w.crash(t)
					if err := w.Resume(t.Context()); err != nil || len(w.Certificates()) != 1 {
						t.Errorf("%v, %d certificates", err, len(w.Certificates()))
					}
					for _, k := range w.vault.list() {
						if k.Class == "default" && k.Month == "2000-01" && k.Destroyed.IsZero() {
							t.Error("the data key is there")
						}
					}
				})
			})
		}
	}
}

// A purge that cannot be finished at the start does not keep the log from opening, and is finished later.
func TestOpenWithAPurgeThatCannotBeFinished(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.report(t, pacs, fact{Patient: "1"})
		time.Sleep(7 * years)
		q, err := w.AskPurge(t.Context(), olga, custody.PurgeOrder{}, "x")
		if err != nil {
			t.Fatal(err)
		}
		w.vault.destroy = func([]uint32) error { return errors.New("the vault is closed") }
		if _, err := w.Confirm(t.Context(), otto, q.ID, nil); err == nil {
			t.Fatal("it was destroyed")
		}
		w.crash(t)
		if len(w.Certificates()) != 0 || w.resumed == nil {
			t.Error("there is a certificate")
		}
		if list, err := w.Requests(t.Context(), olga); err != nil || list[0].State != custody.StateConfirmed {
			t.Errorf("%v, %v", list, err)
		}
		w.vault.destroy = nil
		if err := w.Resume(t.Context()); err != nil || len(w.Certificates()) != 1 || !w.Certificates()[0].Resumed {
			t.Errorf("%v, %+v", err, w.Certificates())
		}
		w.sound(t)
	})
}

// With a log that takes nothing, nothing happens.
func TestNothingWithoutAnEntry(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		all := w.report(t, pacs, fact{Patient: "1"})
		hold, err := w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: "2"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * years)
		purge, err := w.AskPurge(t.Context(), olga, custody.PurgeOrder{}, "x")
		if err != nil {
			t.Fatal(err)
		}
		export, err := w.AskExport(t.Context(), olga, hippad.Query{}, "x")
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for name, f := range map[string]func() error{
			"hold":       func() error { _, err := w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: "1"}); return err },
			"release":    func() error { return w.Release(t.Context(), olga, hold.ID, "x") },
			"ask":        func() error { _, err := w.AskPurge(t.Context(), olga, custody.PurgeOrder{}, "x"); return err },
			"ask export": func() error { _, err := w.AskExport(t.Context(), olga, hippad.Query{}, "x"); return err },
			"confirm":    func() error { _, err := w.Confirm(t.Context(), otto, purge.ID, nil); return err },
			"refuse":     func() error { _, err := w.Refuse(t.Context(), otto, purge.ID); return err },
			"denied":     func() error { _, err := w.Confirm(t.Context(), olga, purge.ID, nil); return err },
			"retention":  func() error { _, err := w.Retention(t.Context(), olga); return err },
			"requests":   func() error { _, err := w.Requests(t.Context(), olga); return err },
			"holds":      func() error { _, err := w.HoldsFor(t.Context(), olga); return err },
		} {
			w.store.FailNext(storetest.OpCommit, storetest.NotStored, 1, hippad.Errorf(hippad.Unavailable, "disk full"))
			if err := f(); hippad.KindOf(err) != hippad.Unavailable {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(w.Holds()) != 1 || len(w.alive(t, all...)) != 1 {
			t.Error("something happened")
		}
		list, err := w.Requests(t.Context(), olga)
		if err != nil || len(list) != 2 || list[0].State != custody.StateWaiting || list[1].State != custody.StateWaiting {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := w.Confirm(t.Context(), otto, export.ID, nil); err != nil {
			t.Fatal(err)
		}
		w.store.FailNext(storetest.OpCommit, storetest.NotStored, 1, hippad.Errorf(hippad.Unavailable, "disk full"))
		if err := w.Export(t.Context(), olga, export.ID, &out); hippad.KindOf(err) != hippad.Unavailable || out.Len() > 0 {
			t.Errorf("%v, %d bytes", err, out.Len())
		}
	})
}

// An entry of which the log cannot say at once whether it was written counts as soon as it is seen.
func TestEntryThatWasWrittenAfterAll(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.store.FailNext(storetest.OpCommit, storetest.Stored, 1, hippad.Errorf(hippad.Unavailable, "disk full"))
		w.store.FailNext(storetest.OpTail, storetest.NotStored, 200, hippad.Errorf(hippad.Unavailable, "disk full"))
		if _, err := w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: "1"}); hippad.KindOf(err) != hippad.Unavailable {
			t.Fatalf("%v", err)
		}
		for tries := 0; ; tries++ {
			_, err := w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: "2"})
			if err == nil {
				break
			}
			if hippad.KindOf(err) != hippad.Unavailable || tries == 300 {
				t.Fatal(err)
			}
		}
		live := w.Holds()
		w.crash(t)
		if again := w.Holds(); len(again) != 2 || len(live) != 2 || again[0].Patient != "1" {
			t.Errorf("%+v, then %+v", live, again)
		}
	})
}

// Only what came by the log's own door counts: a report that says it is a release releases nothing.
func TestForgedEntries(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		hold, err := w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Release(t.Context(), olga, hold.ID, "real"); err != nil {
			t.Fatal(err)
		}
		forged := w.entry(t, w.Ledger.Size()-1).Report
		hold, err = w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: "1"})
		if err != nil {
			t.Fatal(err)
		}
		forged.Body = []byte(strings.ReplaceAll(string(forged.Body), `\"hold\":0`, `\"hold\":2`))
		if !strings.Contains(string(forged.Body), `\"hold\":2`) {
			t.Fatalf("the forgery does not name the hold: %s", forged.Body)
		}
		wait, err := w.Repository.As(pacs, hippad.DoorFHIR).Record(t.Context(), hippad.Frame{Reports: []hippad.Report{forged}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The log itself may say things with the same codes that are no records.
		n := repository.SecurityAlert(repository.SecurityConfiguration, "x")
		n.Subtypes = append(n.Subtypes, repository.ActivityRelease.Code())
		n.Entities = []hippad.Entity{{Details: []hippad.Detail{{Type: "hippad/1 custody", Value: []byte("{")}}}}
		if err := w.Repository.Note(t.Context(), admin, n); err != nil {
			t.Fatal(err)
		}
		w.crash(t)
		if got := w.Holds(); len(got) != 1 || got[0].ID != 2 || hold.ID != 2 {
			t.Errorf("%+v", got)
		}
	})
}
