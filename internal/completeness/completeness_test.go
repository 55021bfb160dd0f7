package completeness

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
)

// expect compares what was said with the beginnings of what is wanted.
func expect(t *testing.T, w *world, want ...string) {
	t.Helper()
	synctest.Wait()
	got := w.heardOf()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("said\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
}

func TestConfiguredSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.SilentAfter = 6 * time.Hour
		w.Silences = map[string]time.Duration{"ct-1": time.Hour, "address:192.0.2.7": 48 * time.Hour}
		stop := w.runs()
		operator := hippad.Principal{Kind: hippad.KindOperator, ID: "operator"}
		w.native(certificate("pacs"))
		w.native(certificate("ct-1"))
		w.native(operator)
		w.native(hippad.Principal{Kind: hippad.KindAddress, ID: "192.0.2.7"})
		time.Sleep(59 * time.Minute)
		expect(t, w)
		time.Sleep(2 * time.Minute)
		expect(t, w, "source-silent source ct-1 (North): silent since 2000-01-01T00:00Z")
		time.Sleep(4 * time.Hour)
		expect(t, w)
		w.native(certificate("ct-1"))
		time.Sleep(time.Minute)
		expect(t, w, "source-heard source ct-1 (North): heard again at 2000-01-01T05:01Z")
		time.Sleep(58 * time.Minute)
		expect(t, w)
		time.Sleep(2 * time.Minute)
		expect(t, w, "source-silent source pacs", "source-silent source ct-1")
		if got := w.Totals(); got.Silent != 2 || got.Reporters != 4 || got.Behind != 0 {
			t.Errorf("%+v", got)
		}
		if s := w.source("pacs", ""); s.SilentSince.IsZero() || s.Limit != 6*3600 || s.Entries != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(100 * time.Hour)
		expect(t, w, "source-silent source address:192.0.2.7")
		stop()
	})
}

// Everybody who falls silent in one moment is in one entry, and the origins beneath a reporter that is silent in none.
func TestSilenceIsOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Every = 5 * time.Minute
		stop := w.runs()
		for range 10 * 24 * 2 { // ten days, every half hour
			for i := range 4 {
				w.native(certificate(fmt.Sprintf("pacs-%02d", i)))
			}
			for i := range 8 {
				w.syslog(certificate("relay"), fmt.Sprintf("host-%02d", i), "app", 0)
			}
			time.Sleep(30 * time.Minute)
		}
		expect(t, w)
		time.Sleep(time.Hour)
		expect(t, w)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got := w.heardOf()
		if len(got) != 1 || strings.Count(got[0], "source ") != 5 || strings.Contains(got[0], "host-") || !strings.Contains(got[0], "usually for 30m at most") {
			t.Fatalf("said %q", got)
		}
		time.Sleep(48 * time.Hour)
		expect(t, w)
		// The relay comes back with one of its hosts. The others have their usual silence from then on.
		for range 5 {
			w.syslog(certificate("relay"), "host-00", "app", 0)
			time.Sleep(30 * time.Minute)
		}
		synctest.Wait()
		if got := w.heardOf(); len(got) != 2 || !strings.HasPrefix(got[0], "source-heard source relay (North): ") ||
			strings.Count(got[1], `source relay (North), "host-`) != 7 || !strings.HasPrefix(got[1], "source-silent") {
			t.Fatalf("said %q", got)
		}
		stop()
	})
}

// A modality works on weekdays from 8 to 18. Its nights and weekends are not silence; when it breaks on a morning, that is found before noon.
func TestHabitOfWeekdays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.runs()
		ct := certificate("ct-1")
		works := func(at time.Time) bool {
			return at.Weekday() != time.Saturday && at.Weekday() != time.Sunday && at.Hour() >= 8 && at.Hour() < 18
		}
		for time.Now().Before(time.Date(2000, 1, 31, 9, 0, 0, 0, time.UTC)) { // four weeks, to a Monday
			if works(time.Now()) {
				w.native(ct)
			}
			time.Sleep(5 * time.Minute)
		}
		expect(t, w)
		if s := w.source("ct-1", ""); s.Usual != 5*60 || s.Limit != 20*60 {
			t.Errorf("usual %d, limit %d", s.Usual, s.Limit)
		}
		time.Sleep(30 * time.Minute)
		expect(t, w, "source-silent source ct-1 (North): silent since 2000-01-31T08:55Z, usually for 5m at most")
		time.Sleep(26 * time.Hour)
		expect(t, w)
		for time.Now().Before(time.Date(2000, 2, 4, 20, 0, 0, 0, time.UTC)) { // Friday evening
			if works(time.Now()) {
				w.native(ct)
			}
			time.Sleep(5 * time.Minute)
		}
		expect(t, w, "source-heard source ct-1")
		if s := w.source("ct-1", ""); s.Usual < 62*3600 || s.Usual > 63*3600 {
			t.Errorf("after a Friday it is usually silent for %d seconds", s.Usual)
		}
		time.Sleep(62 * time.Hour) // Monday, 10 o'clock, a holiday
		expect(t, w)
		time.Sleep(25 * time.Hour)
		expect(t, w, "source-silent source ct-1")
		stop()
	})
}

// What is not the source's own silence is neither reported nor learnt: while the log does not run, nobody is heard.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.runs()
		work := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Minute) {
				w.native(certificate("pacs"))
			}
		}
		work(10 * 24 * time.Hour)
		time.Sleep(3 * time.Hour)
		expect(t, w, "source-silent source pacs")
		before := w.Sources()
		stop()
		if w.saves == 0 {
			t.Fatal("nothing was saved")
		}
		time.Sleep(100 * time.Hour)
		for _, lose := range []bool{false, true} {
			if lose {
				w.saved = []byte(`{"version":1,`)
			}
			w.start()
			stop = w.runs()
			time.Sleep(2 * time.Hour)
			expect(t, w) // it is in the log already
			after := w.Sources()
			if fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("lost snapshot %v:\n%v\nwas\n%v", lose, after, before)
			}
			stop()
		}
		w.start()
		stop = w.runs()
		work(time.Hour)
		expect(t, w, "source-heard source pacs")
		if s := w.source("pacs", ""); s.Usual != 600 {
			t.Errorf("usual silence %d s: it has learnt from when the log did not run", s.Usual)
		}
		stop()
	})
}

// Who is configured to be silent for less time than it is does not fill the log: two entries an hour at most.
func TestNoEntryForEveryMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.SilentAfter = time.Minute
		stop := w.runs()
		for range 24 * 12 {
			w.native(certificate("pacs"))
			time.Sleep(5 * time.Minute)
		}
		synctest.Wait()
		if n := len(w.heardOf()); n < 40 || n > 48 {
			t.Errorf("%d entries in a day", n)
		}
		stop()
	})
}

// As long as the log takes nothing, what there is to say waits; then it is said once.
func TestNoteIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.SilentAfter = time.Hour
		w.refuse = true
		stop := w.runs()
		w.native(certificate("pacs"))
		time.Sleep(3 * time.Hour)
		expect(t, w)
		w.mu.Lock()
		w.refuse = false
		w.mu.Unlock()
		time.Sleep(time.Hour)
		expect(t, w, "source-silent source pacs")
		stop()
	})
}

// An error of the log is not the end.
func TestFollowGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		failures := 3
		w.Follow = func(ctx context.Context, after int64) iter.Seq2[hippad.Entry, error] {
			if failures--; failures >= 0 {
				return func(yield func(hippad.Entry, error) bool) { yield(hippad.Entry{}, errors.New("disk")) }
			}
			return w.follow(ctx, after)
		}
		stop := w.runs()
		w.native(certificate("pacs"))
		time.Sleep(time.Minute)
		if s := w.source("pacs", ""); s.Entries != 1 {
			t.Errorf("%+v", s)
		}
		stop()
	})
}

// A gap is one entry, with the entries on both sides; those of an hour are told together.
func TestGapIsOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.runs()
		ct := certificate("ct-1")
		time.Sleep(130 * time.Minute)
		for n := range int64(10) {
			w.syslog(ct, "ct", "dcm", 1+n)
		}
		time.Sleep(15 * time.Minute)
		w.syslog(ct, "ct", "dcm", 52)
		time.Sleep(time.Second)
		w.syslog(ct, "ct", "dcm", 53)
		time.Sleep(30 * time.Second)
		expect(t, w) // they may still come
		time.Sleep(time.Minute)
		expect(t, w, `source-gap source ct-1 (North), "ct", "dcm": 41 missing, 2000-01-01T02:10Z to 2000-01-01T02:25Z, between entries 10 and 11`)
		s := w.source("ct-1", "ct")
		if len(s.Gaps) != 1 || s.Missing != 41 || s.Gaps[0].First != 11 || s.Gaps[0].Last != 51 || s.Gaps[0].After != 10 || s.Gaps[0].Before != 11 {
			t.Errorf("%+v", s)
		}
		if r := w.source("ct-1", ""); r.Missing != 41 || len(r.Gaps) != 0 {
			t.Errorf("%+v", r)
		}
		for n := range int64(50) { // every other message for 50 minutes
			w.syslog(ct, "ct", "dcm", 55+2*n)
			time.Sleep(time.Minute)
		}
		expect(t, w)
		time.Sleep(15 * time.Minute)
		expect(t, w, `source-gap source ct-1 (North), "ct", "dcm": 50 missing`)
		if s := w.source("ct-1", "ct"); len(s.Gaps) != 1 || s.Missing != 91 {
			t.Errorf("%+v", s)
		}
		w.syslog(ct, "ct", "dcm", 54) // after all
		time.Sleep(time.Minute)
		if s := w.source("ct-1", "ct"); s.Missing != 90 || s.Late != 1 || s.Gaps[0].Missing != 90 {
			t.Errorf("%+v", s)
		}
		time.Sleep(3 * time.Hour)
		expect(t, w)
		if got := w.Totals().Missing; got != 91 {
			t.Errorf("the counter is %d", got)
		}
		stop()
		// Whether the snapshot is there or not, nothing is said again.
		for _, saved := range [][]byte{w.saved, nil} {
			w.saved = saved
			w.start()
			stop = w.runs()
			time.Sleep(3 * time.Hour)
			expect(t, w)
			if s := w.source("ct-1", "ct"); s.Missing != 90 {
				t.Errorf("%+v", s)
			}
			stop()
		}
	})
}

// A certificate that is renewed is the same source; two certificates of one name that are both in use are two.
func TestRenewedCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.runs()
		one, two := certificate("pacs"), certificate("pacs")
		two.ID = "sha256:renewed"
		w.native(one)
		time.Sleep(time.Minute)
		w.native(two)
		w.native(one) // a connection from before
		time.Sleep(time.Minute)
		if all := w.Sources(); len(all) != 1 || all[0].Entries != 3 || all[0].Reporter != two.String() {
			t.Fatalf("%+v", all)
		}
		time.Sleep(2 * time.Hour)
		w.native(one)
		w.native(two)
		w.native(one)
		time.Sleep(time.Minute)
		if all := w.Sources(); len(all) != 2 || all[0].Entries+all[1].Entries != 6 {
			t.Fatalf("%+v", all)
		}
		stop()
		w.start()
		stop = w.runs()
		w.native(one)
		w.native(two)
		time.Sleep(time.Minute)
		if all := w.Sources(); len(all) != 2 || all[0].Entries+all[1].Entries != 8 {
			t.Fatalf("%+v", all)
		}
		stop()
	})
}

// However many sources somebody makes up, what is kept is bounded, and a source that has a habit is not given up for them.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Every = time.Hour
		stop := w.runs()
		for range 10 * 24 {
			w.syslog(certificate("relay"), "old", "app", 0)
			time.Sleep(time.Hour)
		}
		for i := range 3 * maxBeneath {
			w.syslog(certificate("relay"), fmt.Sprint("host-", i), strings.Repeat("\xff\xfe", 4000), int64(i))
			time.Sleep(time.Second)
		}
		for i := range 3 * maxReporters {
			w.native(hippad.Principal{Kind: hippad.KindAddress, ID: fmt.Sprint("10.", i>>16, ".", i>>8&255, ".", i&255)})
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if s := w.source("relay", "old"); s.Usual != 3600 {
			t.Errorf("%+v", s)
		}
		got := w.Totals()
		if got.Reporters > maxReporters || got.Reporters < maxReporters/2 || got.Origins > maxBeneath || got.Origins < maxBeneath/2 {
			t.Errorf("%+v", got)
		}
		stop()
		if _, err := decode(w.saved); err != nil {
			t.Errorf("its own snapshot: %v", err)
		}
	})
}
