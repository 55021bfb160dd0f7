package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/storetest"
)

// sender is a reporter with a numbered stream that keeps what is not acknowledged and repeats it.
type sender struct {
	key [32]byte
	rng *rand.Rand

	mu    sync.Mutex
	acked uint64 // numbers up to here are acknowledged
}

func (s *sender) body(number uint64) string {
	return fmt.Sprintf("sender%d all n%d\nreport %d", s.key[0], number%17, number)
}

// send goes on from some number that is not after the first unacknowledged one, until stop or an error.
func (s *sender) send(ctx context.Context, l *ledger.Ledger, stop <-chan struct{}) {
	s.mu.Lock()
	next := s.acked + 1
	s.mu.Unlock()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if next > 1 && s.rng.IntN(5) == 0 { // unsure of what was stored: repeat
			next -= min(next-1, uint64(s.rng.IntN(6)))
		}
		var frame []string
		for i := range 1 + uint64(s.rng.IntN(12)) {
			frame = append(frame, s.body(next+i))
		}
		if _, err := tryRecord(ctx, l, ledger.Stream{Key: s.key, First: next}, entries(frame...)); err != nil {
			return
		}
		next += uint64(len(frame))
		s.mu.Lock()
		s.acked = max(s.acked, next-1)
		s.mu.Unlock()
	}
}

// TestPowerCuts cuts the power at random moments, under load, many times in a row: whatever was acknowledged is there,
// once, in the order of its stream, and the whole log holds.
func TestPowerCuts(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			disk := storetest.NewDisk()
			var senders []*sender
			for i := range 4 {
				senders = append(senders, &sender{key: [32]byte{byte(i + 1)}, rng: rand.New(rand.NewPCG(seed, uint64(i+10)))})
			}
			for range 8 {
				disk = powerCut(t, disk, senders, r)
			}
		})
	}
}

// powerCut lets the senders work on the disk, cuts the power, checks what is left, and returns that disk.
func powerCut(t *testing.T, disk *storetest.Disk, senders []*sender, r *rand.Rand) *storetest.Disk {
	store, err := localstore.Open("store", localstore.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), store, small())
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, s := range senders {
		wg.Go(func() { s.send(t.Context(), l, stop) })
	}
	for until := l.Size() + 100 + r.Int64N(400); l.Size() < until; {
		// Every round trip is a moment at which the power may go.
		record(t, l, ledger.Stream{}, "unnumbered\n")
	}
	acked := make([]uint64, len(senders))
	for i, s := range senders {
		s.mu.Lock()
		acked[i] = s.acked
		s.mu.Unlock()
	}
	unnumbered := len(find(t, l, ledger.Find{Terms: [][]uint64{{term("unnumbered")}}}))
	after := disk.Cut(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
	close(stop)
	wg.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	for i, s := range senders {
		s.acked = acked[i] // what came later happened on a machine that was dead already
	}
	checkAfterPowerCut(t, after, senders, unnumbered)
	return after
}

func checkAfterPowerCut(t *testing.T, disk *storetest.Disk, senders []*sender, unnumbered int) {
	store, err := localstore.Open("store", localstore.Options{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	audit(t, store, small())
	l, err := ledger.Open(t.Context(), store, small())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	for _, s := range senders {
		var got []int64
		for i, err := range l.Find(t.Context(), ledger.Find{Terms: [][]uint64{{term(fmt.Sprintf("sender%d", s.key[0]))}}, Ascending: true}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, i)
		}
		if uint64(len(got)) < s.acked {
			t.Fatalf("sender %d: %d reports are there, %d were acknowledged", s.key[0], len(got), s.acked)
		}
		number := uint64(0)
		for e, err := range l.EntriesAt(t.Context(), got) {
			if number++; err != nil || string(e.Body) != s.body(number) {
				t.Fatalf("sender %d: report %d is %q, %v", s.key[0], number, e.Body, err)
			}
		}
		// The places that the store gives for the newest numbers are where they are.
		if n := min(number, 20); n > 0 {
			var again []string
			for i := number - n + 1; i <= number; i++ {
				again = append(again, s.body(i))
			}
			ack := record(t, l, ledger.Stream{Key: s.key, First: number - n + 1}, again...)
			var places []int64
			for _, r := range ack.Ranges {
				for i := range int64(r.Count) {
					places = append(places, r.First+i)
				}
			}
			if !slices.Equal(places, got[number-n:]) {
				t.Fatalf("sender %d: places %v, want %v", s.key[0], places, got[number-n:])
			}
		}
	}
	if n := len(find(t, l, ledger.Find{Terms: [][]uint64{{term("unnumbered")}}})); n < unnumbered {
		t.Fatalf("%d unnumbered reports, %d were acknowledged", n, unnumbered)
	}
}
