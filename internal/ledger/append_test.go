package ledger_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/storetest"
	"hippad/receipt"
)

func stream(n byte, first uint64) ledger.Stream { return ledger.Stream{Key: [32]byte{n}, First: first} }

func wantRanges(t testing.TB, got hippad.Ack, want ...hippad.Range) {
	t.Helper()
	if !slices.Equal(got.Ranges, want) {
		t.Errorf("ranges %v, want %v", got.Ranges, want)
	}
}

func TestAppendGivesEveryEntryAPlaceAndAReceipt(t *testing.T) {
	store := storetest.NewMemory(nil)
	l := open(t, store, small())
	_, verifier := testKey()
	if tree, err := receipt.OpenCheckpoint(l.Checkpoint(), verifier); err != nil || tree.N != 0 {
		t.Fatalf("checkpoint of an empty log: %v, %v", tree, err)
	}
	want := []string{}
	for i := range 300 {
		var frame []string
		for j := range i % 5 {
			frame = append(frame, fmt.Sprintf("w%d all\nbody %d of frame %d", i, j, i))
		}
		ack := record(t, l, ledger.Stream{}, frame...)
		if len(frame) > 0 {
			wantRanges(t, ack, hippad.Range{First: int64(len(want)), Count: len(frame)})
		}
		want = append(want, frame...)
		if tree, err := receipt.OpenCheckpoint(ack.Checkpoint, verifier); err != nil || tree.N < int64(len(want)) {
			t.Fatalf("checkpoint of %v, %v after %d entries", tree.N, err, len(want))
		}
	}
	if got := bodies(t, l); !slices.Equal(got, want) {
		t.Error("other bodies came back")
	}
	checkReceipts(t, l)
	audit(t, store, small())
}

func TestEntryComesBackAsItWent(t *testing.T) {
	l := open(t, storetest.NewMemory(nil), small())
	in := hippad.Entry{Door: hippad.DoorSyslogTLS, Reporter: hippad.Principal{Kind: hippad.KindAddress, ID: "192.0.2.7", Name: ""},
		Report: hippad.Report{Media: hippad.MediaSyslog, Fault: hippad.Truncated, Body: []byte{0, 0xff, '\n'}}}
	empty := hippad.Entry{Reporter: reporter}
	before := time.Now().Add(-time.Microsecond)
	if _, err := tryRecord(t.Context(), l, ledger.Stream{}, []hippad.Entry{in, empty}); err != nil {
		t.Fatal(err)
	}
	i := 0
	for got, err := range l.EntriesAt(t.Context(), []int64{1, 0, 1}) {
		if err != nil {
			t.Fatal(err)
		}
		want := []hippad.Entry{empty, in, empty}[i]
		if got.Door != want.Door || got.Reporter != want.Reporter || got.Media != want.Media || got.Fault != want.Fault || !bytes.Equal(got.Body, want.Body) {
			t.Errorf("entry %d came back changed", got.Index)
		}
		if got.Received.Before(before) || got.Received.Location() != time.UTC || got.Received.Nanosecond()%1000 != 0 {
			t.Errorf("received %v", got.Received)
		}
		i++
	}
	for _, err := range l.EntriesAt(t.Context(), []int64{2}) {
		if hippad.KindOf(err) != hippad.NotFound {
			t.Errorf("entry 2: %v", err)
		}
	}
	for _, index := range []int64{-1, 2} {
		if _, err := l.Receipt(t.Context(), index); hippad.KindOf(err) != hippad.NotFound {
			t.Errorf("receipt %d: %v", index, err)
		}
	}
}

func TestAppendRefusesWhatDoesNotFit(t *testing.T) {
	l := open(t, storetest.NewMemory(nil), small())
	for name, c := range map[string]struct {
		at   ledger.Stream
		e    hippad.Entry
		kind hippad.Kind
	}{
		"media":    {e: hippad.Entry{Report: hippad.Report{Media: strings.Repeat("m", hippad.MaxMedia+1)}}, kind: hippad.Invalid},
		"body":     {e: hippad.Entry{Report: hippad.Report{Body: make([]byte, ledger.MaxBody+1)}}, kind: hippad.TooLarge},
		"reporter": {e: hippad.Entry{Reporter: hippad.Principal{Name: strings.Repeat("n", 5000)}}, kind: hippad.Invalid},
		"number":   {at: stream(1, 0), e: entry("x"), kind: hippad.Invalid},
		"overflow": {at: stream(1, 1<<63), e: entry("x"), kind: hippad.Invalid},
	} {
		if _, err := l.Append(t.Context(), c.at, []hippad.Entry{c.e}); hippad.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l.Size() != 0 {
		t.Error("something was stored")
	}
}

func TestLargeBodies(t *testing.T) {
	store := storetest.NewMemory(nil)
	l := open(t, store, small())
	var want []string
	for _, n := range []int{16<<20 + 1, 0, 1, 300 << 10, 255 << 10, 2 << 10, 64 << 20} {
		b := []byte("word\n" + strings.Repeat("x", n))[:n]
		for i := 5; i < len(b); i++ {
			b[i] = byte(i * i >> 9)
		}
		want = append(want, string(b))
	}
	record(t, l, ledger.Stream{}, want...)
	if !slices.Equal(bodies(t, l), want) {
		t.Error("other bodies came back")
	}
	audit(t, store, small())
}

func TestStreamIsStoredExactlyOnce(t *testing.T) {
	store := storetest.NewMemory(nil)
	l := open(t, store, small())
	record(t, l, ledger.Stream{}, "other")
	wantRanges(t, record(t, l, stream(1, 1), "a", "b"), hippad.Range{First: 1, Count: 2})
	record(t, l, ledger.Stream{}, "other")
	wantRanges(t, record(t, l, stream(1, 1), "a", "b"), hippad.Range{First: 1, Count: 2})
	wantRanges(t, record(t, l, stream(1, 2), "b", "c"), hippad.Range{First: 2, Count: 1}, hippad.Range{First: 4, Count: 1})
	wantRanges(t, record(t, l, stream(2, 1), "a"), hippad.Range{First: 5, Count: 1})
	wantRanges(t, record(t, l, stream(1, 1), "a", "b", "c", "d"), hippad.Range{First: 1, Count: 2}, hippad.Range{First: 4, Count: 1}, hippad.Range{First: 6, Count: 1})
	if _, err := tryRecord(t.Context(), l, stream(1, 6), entries("f")); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("gap: %v", err)
	}
	if _, err := tryRecord(t.Context(), l, stream(3, 2), entries("b")); hippad.KindOf(err) != hippad.Conflict {
		t.Errorf("a new stream that does not begin at 1: %v", err)
	}
	wantRanges(t, record(t, l, stream(1, 5), "e"), hippad.Range{First: 7, Count: 1})
	if got := strings.Join(bodies(t, l), " "); got != "other a b other c a d e" {
		t.Errorf("stored %s", got)
	}
	// The same after a restart: the places were committed with the entries.
	l.Close(t.Context())
	l = open(t, store, small())
	wantRanges(t, record(t, l, stream(1, 4), "d", "e"), hippad.Range{First: 6, Count: 2})
	audit(t, store, small())
}

func TestStreamForgetsOldPlaces(t *testing.T) {
	store := storetest.NewMemory(nil)
	l := open(t, store, small())
	for i := range uint64(200) {
		record(t, l, stream(1, 3*i+1), "a", "b", "c")
		record(t, l, ledger.Stream{}, "between")
	}
	ack := record(t, l, stream(1, 1), make([]string, 600)...)
	if first := ack.Ranges[0]; first != (hippad.Range{First: -1, Count: 3 * 136}) {
		t.Errorf("first range %v", first)
	}
	count := 0
	for i, r := range ack.Ranges {
		if count += r.Count; i > 0 && r != (hippad.Range{First: int64(4 * (136 + i - 1)), Count: 3}) {
			t.Errorf("range %d: %v", i, r)
		}
	}
	if count != 600 || l.Size() != 800 {
		t.Errorf("%d numbers, %d entries", count, l.Size())
	}
	for key, state := range store.State().Streams {
		if len(state) > 300 {
			t.Errorf("stream %x takes %d bytes", key[:1], len(state))
		}
	}
	// Without traffic between, everything is one place and nothing is forgotten.
	for i := range uint64(200) {
		record(t, l, stream(2, 3*i+1), "a", "b", "c")
	}
	wantRanges(t, record(t, l, stream(2, 1), make([]string, 600)...), hippad.Range{First: 800, Count: 600})
}

// gate makes the commits of a memory store wait.
type gate struct{ enter, leave chan struct{} }

func newGate(m *storetest.Memory) gate {
	g := gate{make(chan struct{}), make(chan struct{})}
	m.Before(func(op storetest.Op) {
		if op == storetest.OpCommit {
			g.enter <- struct{}{}
			<-g.leave
		}
	})
	return g
}

func (g gate) pass() { <-g.enter; g.leave <- struct{}{} }

func TestWhatComesDuringACommitIsOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewMemory(nil)
		l := open(t, store, small())
		g := newGate(store)
		var waits []hippad.Wait
		add := func(at ledger.Stream, bodies ...string) {
			w, err := l.Append(t.Context(), at, entries(bodies...))
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, w)
		}
		add(stream(1, 1), "a")
		<-g.enter // the first commit is on its way
		add(stream(1, 1), "a", "b")
		add(stream(1, 1), "a", "b", "c") // repeats of what is in the same pool
		add(stream(1, 9), "gap")
		add(stream(2, 1), "x")
		add(stream(2, 1), "x")
		add(ledger.Stream{}, "last")
		g.leave <- struct{}{}
		g.pass()
		var acks []hippad.Ack
		for i, w := range waits {
			ack, err := w(t.Context())
			if i == 3 {
				if hippad.KindOf(err) != hippad.Conflict {
					t.Errorf("gap: %v", err)
				}
			} else if err != nil {
				t.Errorf("frame %d: %v", i, err)
			}
			acks = append(acks, ack)
		}
		wantRanges(t, acks[0], hippad.Range{First: 0, Count: 1})
		wantRanges(t, acks[1], hippad.Range{First: 0, Count: 2})
		wantRanges(t, acks[2], hippad.Range{First: 0, Count: 3})
		wantRanges(t, acks[4], hippad.Range{First: 3, Count: 1})
		wantRanges(t, acks[5], hippad.Range{First: 3, Count: 1})
		wantRanges(t, acks[6], hippad.Range{First: 4, Count: 1})
		if got := strings.Join(bodies(t, l), " "); got != "a b c x last" {
			t.Errorf("stored %s", got)
		}
		if s := l.Stats(); s.Commits != 2 || s.Entries != 5 || s.Repeats != 4 {
			t.Errorf("stats %+v", s)
		}
		store.Before(nil)
		l.Close(t.Context())
	})
}

func TestFullPoolBlocksAndThenGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewMemory(nil)
		o := small()
		o.PoolReports = 3
		l := open(t, store, o)
		g := newGate(store)
		add := func(ctx context.Context, bodies ...string) error {
			_, err := l.Append(ctx, ledger.Stream{}, entries(bodies...))
			return err
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(add(t.Context(), "1", "2", "3", "4", "5")) // larger than the pool, taken because the pool is empty
		<-g.enter
		must(add(t.Context(), "6", "7"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := add(ctx, "never", "never")
		if hippad.KindOf(err) != hippad.Busy || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		must(add(t.Context(), "8")) // fits
		var order []string
		var mu sync.Mutex
		for _, body := range []string{"9", "10", "11"} {
			go func() {
				if err := add(t.Context(), body, body); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, body)
				mu.Unlock()
			}()
			synctest.Wait() // so that they queue in this order
		}
		if len(order) != 0 {
			t.Errorf("%v got in", order)
		}
		if l.Stats().PoolFull != 2 { // for "never" and "9"; the others wait behind it
			t.Errorf("pool full %d times", l.Stats().PoolFull)
		}
		g.leave <- struct{}{}
		for range 4 {
			g.pass()
		}
		synctest.Wait()
		if got := strings.Join(bodies(t, l), " "); got != "1 2 3 4 5 6 7 8 9 9 10 10 11 11" {
			t.Errorf("stored %s", got)
		}
		store.Before(nil)
		l.Close(t.Context())
	})
}

// Where nobody waits for an acknowledgement, the log gathers for a moment. Anybody who waits, a full commit, a full pool and
// the end are reasons not to.
func TestSyslogIsGathered(t *testing.T) {
	syslog := func(n int) []hippad.Entry {
		var out []hippad.Entry
		for range n {
			e := entry("m")
			e.Door = hippad.DoorSyslogTLS
			out = append(out, e)
		}
		return out
	}
	for name, c := range map[string]struct {
		frames  []int // syslog messages, a frame each two milliseconds
		then    func(l *ledger.Ledger)
		commits int64
		after   time.Duration // from the first frame to the first commit
	}{
		"a few":        {[]int{1, 1, 1, 1}, nil, 2, 5 * time.Millisecond}, // the fourth comes too late
		"much at once": {[]int{256}, nil, 1, 0},
		"much in all":  {[]int{200, 56}, nil, 1, 2 * time.Millisecond},
		"somebody waits": {[]int{1, 1}, func(l *ledger.Ledger) {
			if _, err := l.Append(context.Background(), ledger.Stream{}, entries("now")); err != nil {
				t.Error(err)
			}
		}, 1, 2 * time.Millisecond},
		"the end": {[]int{1}, func(l *ledger.Ledger) { l.Close(context.Background()) }, 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := storetest.NewMemory(nil)
			l := open(t, store, small())
			began, first := time.Now(), time.Duration(-1)
			store.Before(func(op storetest.Op) {
				if op == storetest.OpCommit && first < 0 {
					first = time.Since(began)
				}
			})
			for i, n := range c.frames {
				if i > 0 {
					time.Sleep(2 * time.Millisecond)
				}
				if _, err := l.Append(t.Context(), ledger.Stream{}, syslog(n)); err != nil {
					t.Fatal(err)
				}
			}
			if c.then != nil {
				c.then(l)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if got := l.Stats().Commits; got != c.commits || first != c.after {
				t.Errorf("%s: %d commits, the first after %v; want %d, %v", name, got, first, c.commits, c.after)
			}
			store.Before(nil)
			l.Close(context.Background())
		})
	}
}

// A full pool does not wait to be gathered.
func TestFullPoolIsNotGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small()
		o.PoolReports = 2
		l := open(t, storetest.NewMemory(nil), o)
		began := time.Now()
		for range 10 {
			e := entry("m")
			e.Door = hippad.DoorSyslogUDP
			if _, err := l.Append(t.Context(), ledger.Stream{}, []hippad.Entry{e, e}); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("ten full pools took %v", d)
		}
		l.Close(context.Background())
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewMemory(nil)
		l := open(t, store, small())
		g := newGate(store)
		w, err := l.Append(t.Context(), ledger.Stream{}, entries("a"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w(ctx); hippad.KindOf(err) != hippad.Busy {
			t.Errorf("%v", err)
		}
		g.pass()
		synctest.Wait()
		if l.Size() != 1 {
			t.Error("an entry nobody waits for any more was not stored")
		}
		store.Before(nil)
		l.Close(t.Context())
	})
}

func TestCloseDrainsThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewMemory(nil)
		o := small()
		o.PoolReports = 2
		l := open(t, store, o)
		g := newGate(store)
		var waits []hippad.Wait
		for _, body := range []string{"a", "b"} {
			w, err := l.Append(t.Context(), ledger.Stream{}, entries(body))
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, w)
		}
		<-g.enter
		var late error
		go func() { _, late = l.Append(t.Context(), ledger.Stream{}, entries("c", "d", "e")) }()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- l.Close(t.Context()) }()
		synctest.Wait()
		store.Before(nil)
		g.leave <- struct{}{}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		for _, w := range waits {
			if _, err := w(t.Context()); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if _, err := l.Append(t.Context(), ledger.Stream{}, entries("f")); hippad.KindOf(err) != hippad.Unavailable {
			t.Errorf("append after close: %v", err)
		}
		if n := int64(2); late == nil {
			n = 5
		} else if l.Size() != n {
			t.Errorf("%d entries, the late frame said %v", l.Size(), late)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	store := storetest.NewMemory(nil)
	o := small()
	o.PoolReports = 64
	l := open(t, store, o)
	const callers = 500
	acks := make([][2]hippad.Ack, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			var waits []hippad.Wait
			for i := range uint64(2) {
				w, err := l.Append(t.Context(), ledger.Stream{Key: [32]byte{1, byte(c), byte(c >> 8)}, First: 1 + 2*i},
					entries(fmt.Sprintf("caller%d\n%d", c, 2*i), fmt.Sprintf("caller%d\n%d", c, 2*i+1)))
				if err != nil {
					t.Error(err)
					return
				}
				waits = append(waits, w)
			}
			for i, w := range waits {
				ack, err := w(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				acks[c][i] = ack
				// What is acknowledged can be found.
				for i, err := range l.Find(t.Context(), ledger.Find{Terms: [][]uint64{{term(fmt.Sprintf("caller%d", c))}}}) {
					if err != nil || i < ack.Ranges[0].First {
						t.Errorf("caller %d finds %d, %v", c, i, err)
					}
					break
				}
			}
		})
	}
	wg.Wait()
	all := bodies(t, l)
	if len(all) != 4*callers {
		t.Fatalf("%d entries", len(all))
	}
	for c, a := range acks {
		last := int64(-1)
		for i, ack := range a {
			for j := range 2 {
				at := ack.Ranges[0].First + int64(j)
				if want := fmt.Sprintf("caller%d\n%d", c, 2*i+j); all[at] != want || at <= last {
					t.Errorf("entry %d is %q, want %q", at, all[at], want)
				}
				last = at
			}
		}
	}
	audit(t, store, o)
}

// ranges is one range, as wantRanges takes it.
func ranges(first int64, count int) []hippad.Range {
	return []hippad.Range{{First: first, Count: count}}
}

func TestTimeDoesNotGoBack(t *testing.T) {
	store := storetest.NewMemory(nil)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(200 * 365 * 24 * time.Hour) // a clock that was wrong
		l := open(t, store, small())
		record(t, l, ledger.Stream{}, "late")
		l.Close(t.Context())
	})
	l := open(t, store, small())
	record(t, l, ledger.Stream{}, "now")
	record(t, l, ledger.Stream{}, "and now")
	var last time.Time
	for e, err := range l.Entries(t.Context(), 0, 3) {
		if err != nil || e.Received.Before(last) || e.Received.Year() < 2199 {
			t.Errorf("entry %d received %v, %v", e.Index, e.Received, err)
		}
		last = e.Received
	}
	audit(t, store, small())
}
