package completeness

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var monday = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// feed gives numbers a second apart; a negative number -n lets n minutes pass first.
func feed(s *sequence, numbers []int64) (missing, found int64, holes []hole) {
	at, index := monday, int64(0)
	count := func(list []hole) {
		for _, h := range list {
			missing += h.size()
			holes = append(holes, h)
		}
	}
	for _, n := range numbers {
		if n < 0 {
			at = at.Add(time.Duration(-n) * time.Minute)
			continue
		}
		at, index = at.Add(time.Second), index+1
		v, settled := s.take(n, mark{index, at})
		if v == isFound {
			found++
		}
		count(append(settled, s.settle(at)...))
	}
	count(s.settle(at.Add(2 * lateTime)))
	return missing, found, holes
}

func run(from, to int64) (list []int64) {
	for ; from <= to; from++ {
		list = append(list, from)
	}
	return list
}

func TestSequence(t *testing.T) {
	const most = maxSequenceID
	for _, c := range []struct {
		name    string
		numbers []int64
		missing int64
		spans   string
	}{
		{"in order", run(1, 100), 0, ""},
		{"begins anywhere", run(5000, 5100), 0, ""},
		{"one lost", []int64{1, 2, 4, 5}, 1, "3-3"},
		{"41 lost", []int64{7, 8, 50, 51}, 41, "9-49"},
		{"two gaps", []int64{1, 3, 4, 8}, 4, "2-2 5-7"},
		{"many lost", []int64{1, 2_000_001}, 1_999_999, "2-2000000"},
		{"late in time", []int64{1, 2, 5, 3, 4, 6}, 0, ""},
		{"late in time, backwards", []int64{10, 14, 13, 12, 11, 15}, 0, ""},
		{"late, one still lost", []int64{1, 2, 6, 4, 7}, 2, "3-3 5-5"},
		{"repeat", []int64{1, 2, 3, 3, 2, 4}, 0, ""},
		{"repeat of a run", slices.Concat(run(1, 500), run(300, 500), run(501, 600)), 0, ""},
		{"repeat from the beginning", slices.Concat(run(1, 20), run(1, 20), run(21, 30)), 0, ""},
		{"repeat of 1 is no restart", []int64{1, 2, 3, 1, 4, 5}, 0, ""},
		{"repeat from the beginning, in part", slices.Concat(run(1, 20), run(1, 5), run(21, 30)), 0, ""},
		{"restart", slices.Concat(run(1, 3000), run(1, 50)), 0, ""},
		{"restart soon", slices.Concat(run(1, 5), []int64{-5}, run(1, 50)), 0, ""},
		{"restart, first ones lost", slices.Concat(run(1, 3000), []int64{4, 5, 6}), 3, "1-3"},
		{"restart and a gap", slices.Concat(run(1, 3000), []int64{1, 2, 5}), 2, "3-4"},
		{"gap before a restart", slices.Concat(run(1, 3000), []int64{3005, 1, 2}), 4, "3001-3004"},
		{"another place far back", slices.Concat(run(9000, 9010), run(5000, 5010)), 0, ""},
		{"wrap", []int64{most - 1, most, 1, 2}, 0, ""},
		{"gap at the end of the wrap", []int64{most - 3, 1, 2}, 3, fmt.Sprintf("%d-%d", most-2, int64(most))},
		{"gap across the wrap", []int64{most - 1, 3, 4}, 3, fmt.Sprintf("%d-%d 1-2", int64(most), int64(most))},
		{"gap after the wrap", []int64{most, 3}, 2, "1-2"},
		{"late across the wrap", []int64{most - 1, 1, most, 2}, 0, ""},
		{"repeat across the wrap", []int64{most, 1, 2, most, 3}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			missing, _, holes := feed(&sequence{}, c.numbers)
			var spans []string
			for _, h := range holes {
				spans = append(spans, fmt.Sprintf("%d-%d", h.First, h.Last))
			}
			if got := strings.Join(spans, " "); missing != c.missing || got != c.spans {
				t.Errorf("%d missing, %q; want %d, %q", missing, got, c.missing, c.spans)
			}
		})
	}
}

// What comes when it was already given up is found.
func TestFoundAfterAll(t *testing.T) {
	s := &sequence{}
	missing, found, _ := feed(s, []int64{1, 2, 6, -5, 7, 4, 3, 8, 4})
	if missing != 3 || found != 2 {
		t.Errorf("%d missing, %d found; want 3, 2", missing, found)
	}
	if len(s.Lost) != 1 || s.Lost[0].First != 5 || s.Lost[0].Last != 5 {
		t.Errorf("still lost: %v", s.Lost)
	}
}

// Whatever is dropped on the way, and however what is left is shuffled within the window or repeated, as many are missing as were dropped.
func TestMissingIsWhatWasDropped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.OneOf(rapid.Int64Range(2, 100_000), rapid.Int64Range(maxSequenceID-300, maxSequenceID)).Draw(t, "first")
		count := rapid.IntRange(2, 600).Draw(t, "count")
		dropped := rapid.SliceOfN(rapid.IntRange(0, 9), count, count).Draw(t, "dropped")
		percent := rapid.IntRange(0, 9).Draw(t, "percent")
		var sent []int64
		lost, n := int64(0), first
		for i, d := range dropped {
			if d < percent && i > 0 && i < count-1 { // what is lost at the end nobody can know
				lost++
			} else {
				sent = append(sent, n)
			}
			n = follows(n)
		}
		// Neighbours change places, but for the first, which begins the sequence. A repeat is of what has just come.
		for i := 1; i+1 < len(sent); i++ {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				sent[i], sent[i+1] = sent[i+1], sent[i]
			case 1:
				if sent[i] != 1 {
					sent = slices.Insert(sent, i+1, sent[i])
				}
			}
		}
		s := &sequence{}
		missing, late, at := int64(0), int64(0), monday
		for i, n := range sent {
			at = at.Add(time.Millisecond)
			v, settled := s.take(n, mark{int64(i), at})
			if v == isFound {
				late++
			}
			for _, h := range append(settled, s.settle(at)...) {
				missing += h.size()
			}
		}
		for _, h := range s.settle(at.Add(time.Hour)) {
			missing += h.size()
		}
		if missing-late != lost {
			t.Fatalf("%d missing, %d of them late; want %d", missing, late, lost)
		}
		if len(s.Open) > maxHoles || len(s.Lost) > maxHoles {
			t.Fatalf("%d open, %d lost", len(s.Open), len(s.Lost))
		}
	})
}

// A syslog daemon numbers all programs of its host together; libraries number each process.
func TestRoute(t *testing.T) {
	type message struct {
		app string
		n   int64
	}
	for _, c := range []struct {
		name     string
		messages []message
		missing  int64
	}{
		{"one counter for the host", []message{{"syslog-ng", 1}, {"cron", 2}, {"sshd", 3}, {"cron", 4}, {"cron", 6}, {"sshd", 7}}, 1},
		{"one for each process", []message{{"a", 1}, {"b", 1}, {"a", 2}, {"a", 3}, {"b", 2}, {"b", 4}, {"a", 4}}, 1},
		{"found under way", []message{{"a", 900}, {"b", 17}, {"a", 901}, {"b", 18}, {"b", 20}}, 1},
		{"the daemon begins again", []message{{"syslog-ng", 500}, {"cron", 501}, {"syslog-ng2", 1}, {"cron", 2}, {"sshd", 3}, {"cron", 5}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &host{routes: map[process]*sequence{}}
			missing := int64(0)
			for i, m := range c.messages {
				s := h.route(process{m.app, ""}, m.n)
				_, settled := s.take(m.n, mark{int64(i), monday})
				for _, x := range settled {
					missing += x.size()
				}
			}
			for _, s := range h.sequences {
				for _, x := range s.settle(monday.Add(time.Hour)) {
					missing += x.size()
				}
			}
			if missing != c.missing {
				t.Errorf("%d missing, want %d", missing, c.missing)
			}
		})
	}
}

func TestRouteIsBounded(t *testing.T) {
	h := &host{routes: map[process]*sequence{}}
	for i := range int64(5000) {
		h.route(process{"a", fmt.Sprint(i)}, 1+i*1000).take(1+i*1000, mark{i, monday.Add(time.Duration(i) * time.Second)})
	}
	if len(h.sequences) > maxSequences || len(h.routes) > maxRoutes {
		t.Errorf("%d sequences, %d routes", len(h.sequences), len(h.routes))
	}
}

func TestSequenceID(t *testing.T) {
	for sd, want := range map[string]int64{
		``: 0, `-`: 0,
		`[meta sequenceId="1"]`:                                         1,
		`[meta sequenceId="2147483647"]`:                                2147483647,
		`[meta sequenceId="2147483648"]`:                                0,
		`[meta sequenceId="0"]`:                                         0,
		`[meta sequenceId="-1"]`:                                        0,
		`[meta sequenceId="+1"]`:                                        0,
		`[meta sequenceId="99999999999999999999"]`:                      0,
		`[meta sequenceId="x"]`:                                         0,
		`[meta sequenceId=""]`:                                          0,
		`[meta sequenceId="7"`:                                          0,
		`[meta sequenceId="7`:                                           0,
		`[meta sysUpTime="1" sequenceId="29" language="en"]`:            29,
		`[timeQuality tzKnown="1"][meta sequenceId="29"]`:               29,
		`[x@1 a="]\" \\ [meta sequenceId=\"9\"]"][meta sequenceId="5"]`: 5,
		`[x@1 a="[meta sequenceId=\"9\"\]"]`:                            0,
		`[x@1 sequenceId="9"]`:                                          0,
		`[metadata sequenceId="9"]`:                                     0,
		`[meta sequenceId="3"][meta sequenceId="4"]`:                    3,
		`[meta sequenceId=3]`:                                           0,
		`[x@1 bare][meta sequenceId="3"]`:                               0,
	} {
		if got := sequenceID(sd); got != want {
			t.Errorf("%s: %d, want %d", sd, got, want)
		}
	}
}

func TestParamValues(t *testing.T) {
	got := map[string]string{}
	if !params(`[a b="1"][x@2 plain="v" quote="a\"b" back="c\\d" close="e\]f" other="g\hi" empty=""]`, "x@2", func(n, v string) { got[n] = v }) {
		t.Fatal("not found")
	}
	want := map[string]string{"plain": "v", "quote": `a"b`, "back": `c\d`, "close": "e]f", "other": `g\hi`, "empty": ""}
	for n, v := range want {
		if got[n] != v {
			t.Errorf("%s: %q, want %q", n, got[n], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func FuzzStructuredData(f *testing.F) {
	for _, sd := range []string{`[meta sequenceId="7"]`, `[a b="\]"][meta sequenceId="7"]`, `[ssign VER="0121" RSID="1" SG="0" SPRI="0" GBC="2" FMN="1" CNT="1" HB="x" SIGN=""]`, `[ [=" ]`} {
		f.Add(sd)
	}
	f.Fuzz(func(t *testing.T, sd string) {
		if n := sequenceID(sd); n < 0 || n > maxSequenceID {
			t.Errorf("sequenceId %d", n)
		}
		if b, ok := parseBlock(sd); ok && !b.isCertificate && (len(b.hashes) == 0 || len(b.hashes) > maxHashes || b.first < 1 || b.counter < 0) {
			t.Errorf("%+v", b)
		}
	})
}
