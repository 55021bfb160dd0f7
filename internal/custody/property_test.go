package custody_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hippad"
	"hippad/internal/custody"
	"hippad/internal/storetest"
)

// Whatever is done in whatever order, the state that a restart replays is the one that was there.
func TestReplayIsTheLiveState(t *testing.T) {
	stories(t, func(t *rapid.T, w *world) {
		people := []hippad.Caller{olga, otto, admin}
		someone := func() hippad.Caller { return rapid.SampledFrom(people).Draw(t, "who") }
		id := func() int64 { return rapid.Int64Range(0, w.Ledger.Size()).Draw(t, "id") }
		patient := func() string { return rapid.SampledFrom([]string{"1", "2^^^&1.2&ISO", "3"}).Draw(t, "patient") }
		ctx := context.Background()
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				w.report(t, pacs, fact{Patient: patient()}, fact{Patient: patient(), Ends: "2030"})
			case 1:
				_, _ = w.Hold(ctx, someone(), custody.Hold{Reason: "x", Patient: patient()})
			case 2:
				_ = w.Release(ctx, someone(), id(), "x")
			case 3:
				_, _ = w.AskPurge(ctx, someone(), custody.PurgeOrder{}, "x")
			case 4:
				_, _ = w.AskExport(ctx, someone(), hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldPatient, patient())}}}, "x")
			case 5, 6:
				_, _ = w.Confirm(ctx, someone(), id(), nil)
			case 7:
				_, _ = w.Refuse(ctx, someone(), id())
			case 8:
				_ = w.Export(ctx, someone(), id(), discard{})
			case 9:
				time.Sleep(rapid.SampledFrom([]time.Duration{time.Hour, 2 * days, 8 * days, 4 * years}).Draw(t, "time"))
			}
		}
		state := func() string {
			list, err := w.Requests(ctx, admin)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%+v\n%+v\n%+v", w.Holds(), deref(list), w.Certificates())
		}
		live := state()
		w.crash(t)
		if again := state(); again != live {
			t.Fatalf("replayed:\n%s\nlive:\n%s", again, live)
		}
		w.sound(t)
	})
}

// stories checks a property, each time in a bubble and with a world of its own.
func stories(t *testing.T, f func(*rapid.T, *world)) {
	keys := keysFor(t)
	rapid.Check(t, func(rt *rapid.T) {
		var failure any
		synctest.Test(t, func(*testing.T) {
			w := newWorld(keys)
			w.open(rt)
			defer func() { // rapid's way of failing must not leave the bubble's goroutine
				failure = recover()
				_ = w.Ledger.Close(context.Background())
			}()
			f(rt, w)
		})
		if failure != nil {
			panic(failure)
		}
	})
}

// deref makes requests comparable as text.
func deref(list []custody.Request) (out []string) {
	for _, q := range list {
		text := fmt.Sprint(q.ID, q.Kind, q.By, q.At, q.Expires, q.Reason, q.State, q.Confirmed, q.ConfirmedBy, q.ConfirmedAt, q.Refused, q.RefusedBy, q.Begun, q.Certificate)
		if q.Purge != nil {
			text += fmt.Sprintf("%+v", *q.Purge)
		}
		if q.Export != nil {
			text += fmt.Sprint(q.Export.Terms)
		}
		out = append(out, text)
	}
	return out
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// Holds are placed and released before and after, between asking and confirming, and while purges follow each other: what a hold
// in force matches is never destroyed, what the log says about itself never is, and what is destroyed has a certificate.
func TestHoldsWin(t *testing.T) {
	stories(t, func(t *rapid.T, w *world) {
		ctx := context.Background()
		var holds []custody.Hold
		var facts []fact
		for range rapid.IntRange(1, 40).Draw(t, "entries") {
			facts = append(facts, fact{
				Patient: rapid.SampledFrom([]string{"1", "1^^^&1.2&ISO", "2^^^&1.2&ISO", "3"}).Draw(t, "patient"),
				Ends:    rapid.SampledFrom([]string{"", "", "2030", "2040"}).Draw(t, "ends"), Garbage: rapid.IntRange(0, 9).Draw(t, "garbage") == 0,
			})
		}
		reporters := []hippad.Caller{pacs, {Principal: hippad.Principal{Kind: hippad.KindToken, ID: "t", Organisation: "East"}, Grant: pacs.Grant}}
		for part := range slices.Chunk(facts, 5) {
			w.report(t, rapid.SampledFrom(reporters).Draw(t, "reporter"), part...)
			time.Sleep(rapid.SampledFrom([]time.Duration{0, 20 * days}).Draw(t, "pause"))
		}
		all := entries(t, w)
		hold := func() {
			h, err := w.Hold(ctx, olga, custody.Hold{
				Reason:       "x",
				Patient:      rapid.SampledFrom([]string{"", "1", "urn:oid:1.2|1", "3"}).Draw(t, "held patient"),
				Organisation: rapid.SampledFrom([]string{"", "West", "East"}).Draw(t, "held organisation"),
				Entries:      []hippad.Range{{First: rapid.Int64Range(0, 20).Draw(t, "first"), Count: rapid.IntRange(1, 30).Draw(t, "count")}},
			})
			if err != nil {
				t.Fatal(err)
			}
			holds = append(holds, h)
		}
		release := func() {
			if len(holds) == 0 {
				return
			}
			i := rapid.IntRange(0, len(holds)-1).Draw(t, "released")
			if err := w.Release(ctx, otto, holds[i].ID, "x"); err != nil {
				t.Fatal(err)
			}
			holds = slices.Delete(holds, i, i+1)
		}
		var waiting []int64
		gone := map[int64]bool{}
		for range rapid.IntRange(2, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				hold()
			case 1:
				release()
			case 2:
				time.Sleep(10 * years)
			case 3:
				order := custody.PurgeOrder{}
				if rapid.IntRange(0, 3).Draw(t, "override") == 0 {
					order = custody.PurgeOrder{Months: []string{"2000-01"}, Override: "it was never real"}
				}
				if q, err := w.AskPurge(ctx, olga, order, "x"); err == nil {
					waiting = append(waiting, q.ID)
				} else if k := hippad.KindOf(err); k != hippad.NotFound && k != hippad.Invalid {
					t.Fatal(err)
				}
			case 4, 5:
				if len(waiting) == 0 {
					continue
				}
				if _, err := w.Confirm(ctx, otto, waiting[0], nil); err != nil && hippad.KindOf(err) != hippad.Conflict {
					t.Fatal(err)
				}
				waiting = waiting[1:]
			}
			for _, before := range all {
				now := w.entry(t, before.Index)
				switch {
				case !now.Destroyed && gone[before.Index]:
					t.Fatalf("entry %d has come back", before.Index)
				case now.Destroyed && !gone[before.Index] && w.Held(before, read(before.Report)):
					t.Fatalf("entry %d was destroyed under a hold: %+v", before.Index, w.Holds())
				}
				gone[before.Index] = now.Destroyed
			}
		}
		for _, e := range entries(t, w) {
			if e.Destroyed && e.Door == hippad.DoorSelf {
				t.Fatalf("entry %d is the log's own", e.Index)
			}
		}
		w.sound(t)
	})
}

func entries(t fatal, w *world) (all []hippad.Entry) {
	for e, err := range w.Ledger.Entries(context.Background(), 0, w.Ledger.Size()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// A hold that is placed between an interrupted purge and its end wins over what is still there.
func TestHoldBeforeResume(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		all := w.report(t, pacs, fact{Patient: "1"}, fact{Patient: "2"})
		time.Sleep(7 * years)
		q, err := w.AskPurge(t.Context(), olga, custody.PurgeOrder{}, "x")
		if err != nil {
			t.Fatal(err)
		}
		w.store.FailNext(storetest.OpRewrite, storetest.NotStored, 1, nil)
		if _, err := w.Confirm(t.Context(), otto, q.ID, nil); err == nil {
			t.Fatal("nothing broke")
		}
		if _, err := w.Hold(t.Context(), olga, custody.Hold{Reason: "x", Patient: "2"}); err != nil {
			t.Fatal(err)
		}
		w.crash(t)
		if got := w.alive(t, all...); w.resumed != nil || !slices.Equal(got, all[1:]) {
			t.Errorf("%v, there are %v", w.resumed, got)
		}
		w.sound(t)
	})
}
