package repository_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/repository"
	"hippad/internal/seal"
	"hippad/internal/storetest"
)

// inBubble runs a test with a log, alerts being written, and a clock that waits for nobody.
func inBubble(t *testing.T, f func(t *testing.T, w *world, stop func())) {
	keys, err := seal.Open(t.Context(), t.TempDir(), seal.Options{Origin: "log.example"})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewMemory(nil)
		l, err := ledger.Open(context.Background(), store, ledger.Options{
			Signer: keys.Signer, Verifier: keys.Verifier, Salt: keys.Salt, Index: repository.Indexer(read, keys.Term, nil, nil),
		})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{keys: keys, store: store, Repository: &repository.Repository{
			Ledger: l, Read: read, Write: write, Term: keys.Term, Now: time.Now, Self: hippad.Principal{Kind: hippad.KindSelf, ID: "log.example"},
		}}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { w.Run(ctx) })
		stop := sync.OnceFunc(func() {
			cancel()
			wg.Wait()
		})
		f(t, w, stop)
		stop()
		w.close(t)
	})
}

func address(text string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(text), Port: 1234} }

// words returns what the entries of the log say.
func words(t *testing.T, w *world) (all []string) {
	for _, e := range everything(t, w) {
		all = append(all, read(e.Report).OutcomeDescription)
	}
	return all
}

// times returns how many alerts the entries of the log stand for.
func times(t *testing.T, w *world) (n int) {
	for _, text := range words(t, w) {
		count := 1
		if _, after, ok := strings.Cut(text, "; "); ok {
			if _, err := fmt.Sscanf(after, "%d times", &count); err != nil {
				t.Fatalf("%q", text)
			}
		}
		n += count
	}
	return n
}

func TestAlertsAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, stop func()) {
		expect := func(n int, last string) {
			t.Helper()
			synctest.Wait()
			all := words(t, w)
			if len(all) != n || !strings.HasPrefix(all[n-1], last) {
				t.Fatalf("%q, want %d, the last %q", all, n, last)
			}
		}
		w.Alert(address("192.0.2.1"), "handshake", "no certificate")
		expect(1, "handshake: no certificate")
		for range 500 {
			w.Alert(address("192.0.2.1"), "handshake", "no certificate")
		}
		w.Alert(address("192.0.2.1"), "denied", "GET /x")
		expect(2, "denied: GET /x")
		time.Sleep(59 * time.Second)
		expect(2, "denied")
		time.Sleep(2 * time.Second)
		expect(3, "handshake: no certificate; 500 times since ")
		w.Alert(address("192.0.2.1"), "handshake", "no certificate") // the next minute has begun with the entry
		synctest.Wait()
		expect(3, "handshake")
		time.Sleep(time.Hour)
		expect(4, "handshake: no certificate")
		w.Alert(address("192.0.2.1"), "handshake", "again") // all is forgotten
		expect(5, "handshake: again")
		for range 7 {
			w.Alert(address("192.0.2.1"), "handshake", "again")
		}
		stop()
		expect(6, "handshake: again; 7 times since ")
		if e := everything(t, w)[0]; e.Door != hippad.DoorSelf || read(e.Report).Type.Code != "110113" {
			t.Errorf("%v", e)
		}
	})
}

// More addresses than can be kept apart are counted together. Nothing is uncounted, whatever the log does meanwhile.
func TestAlertsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, stop func()) {
		w.store.FailNext(storetest.OpCommit, storetest.NotStored, 3, hippad.Errorf(hippad.Unavailable, "disk full"))
		const n = 5000
		for i := range n {
			w.Alert(address(fmt.Sprintf("10.0.%d.%d", i/250, i%250)), "handshake", "no certificate")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := times(t, w); got != n {
			t.Errorf("%d of %d are in the log", got, n)
		}
		if size := w.Ledger.Size(); size > 1010 {
			t.Errorf("%d entries", size)
		}
		last := words(t, w)
		if !strings.Contains(strings.Join(last, "\n"), "others: from further addresses; 4000 times") {
			t.Errorf("the last says %q", last[len(last)-1])
		}
		for i := range n {
			w.Alert(address(fmt.Sprintf("10.1.%d.%d", i/250, i%250)), "handshake", "no certificate")
		}
		stop()
		if got := times(t, w); got != 2*n {
			t.Errorf("%d of %d are in the log", got, 2*n)
		}
	})
}

func TestAlertOfStrangeAddresses(t *testing.T) {
	w := open(t, t.TempDir(), 0)
	defer w.close(t)
	w.Alert(nil, "handshake", strings.Repeat("ä", 1000))
	w.Alert(&net.UnixAddr{Name: "", Net: "unix"}, "handshake", "x")
	w.Alert(&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 5}, "handshake", "x")
	w.Alert(&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 6}, "handshake", "x")
	w.Alert(&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 6, Zone: "eth0"}, "handshake", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // Run then writes what was counted before it began, all at once
	w.Run(ctx)
	if size := w.Ledger.Size(); size != 3 || times(t, w) != 5 {
		t.Errorf("%d entries of %d alerts", size, times(t, w))
	}
}

// Rates: what comes too fast waits for its turn, within the time that it has.
func TestRates(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, stop func()) {
		w.Limits = repository.Limits{ReporterReports: 10, Reports: 25, Bytes: 1 << 20}
		begin := time.Now()
		elapsed := func() time.Duration { return time.Since(begin).Round(10 * time.Millisecond) }
		s := w.As(reporter, hippad.DoorNative)
		frame := func(n int) hippad.Frame { return hippad.Frame{Reports: reports(make([]fact, n)...)} }
		record(t, s, frame(10))
		if elapsed() != 0 {
			t.Errorf("the first second's worth took %v", elapsed())
		}
		record(t, s, frame(35))                 // more than the bucket ever holds
		if elapsed() != 3900*time.Millisecond { // 35 at 10 a second, and then 10 of them at 25 a second
			t.Errorf("45 reports took %v", elapsed())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if _, err := s.Record(ctx, frame(10)); hippad.KindOf(err) != hippad.Busy {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Minute)
		begin = time.Now()
		for i := range 10 { // each within its own limit
			record(t, w.As(as(hippad.Principal{Kind: hippad.KindAddress, ID: fmt.Sprint(i)}, hippad.RoleReporter), hippad.DoorNative), frame(10))
		}
		if elapsed() != 3*time.Second {
			t.Errorf("100 reports of ten reporters took %v", elapsed())
		}
		begin = time.Now()
		large := hippad.Frame{Reports: []hippad.Report{{Media: "x/y", Body: make([]byte, 3<<20)}}}
		record(t, w.As(as(hippad.Principal{Kind: hippad.KindAddress, ID: "big"}, hippad.RoleReporter), hippad.DoorNative), large)
		if elapsed() < 2*time.Second-100*time.Millisecond {
			t.Errorf("3 MiB took %v", elapsed())
		}
	})
}
