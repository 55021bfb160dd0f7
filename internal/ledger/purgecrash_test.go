package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/storetest"
)

// purgeable is a log of 400 entries, each in a block of its own, all under one key, with twelve full runs.
func purgeable(t testing.TB, store ledger.Store, v *vault) []string {
	t.Helper()
	l := open(t, store, v.options())
	var want []string
	for i := range 400 {
		want = append(want, fmt.Sprintf("@%d all w%d only%d\nbody of %d", i*1000, i%5, i, i))
		record(t, l, ledger.Stream{}, want[i])
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, store, v.options()).Close(t.Context()) // writes every full run
	return want
}

// thePurge is what the tests here do to that log: two thirds end.
func thePurge(v *vault) ledger.Purge {
	return ledger.Purge{Keys: []uint32{v.key("default", 0)}, Keep: func(e hippad.Entry) bool { return e.Index%3 == 0 }, KeepClass: "hold"}
}

// halfPurged checks a log in which thePurge may have come to any point: it is sound, whatever is kept is whole, in its place and
// found, and of the others nothing is seen in part.
func halfPurged(t *testing.T, store ledger.Store, v *vault, want []string) {
	t.Helper()
	a := audit(t, store, v.options())
	l := open(t, store, v.options())
	defer l.Close(t.Context())
	destroyed := int64(0)
	for i, e := range all(t, l) {
		if e.Destroyed {
			destroyed++
		}
		if e.Destroyed && (i%3 == 0 || e.Body != nil) || !e.Destroyed && (string(e.Body) != want[i] || e.Reporter != reporter) {
			t.Fatalf("entry %d: destroyed %v", i, e.Destroyed)
		}
		if found := find(t, l, ledger.Find{Terms: [][]uint64{{term(fmt.Sprintf("only%d", i))}}}); len(found) != 1 && !e.Destroyed {
			t.Fatalf("entry %d is found at %v", i, found)
		}
		if i%10 == 0 {
			checkReceiptOf(t, l, int64(i), []byte(want[i]))
		}
	}
	if a.Destroyed != destroyed {
		t.Errorf("audit: %d destroyed, there are %d", a.Destroyed, destroyed)
	}
}

// wholePurged checks a log in which thePurge is done and its key destroyed.
func wholePurged(t *testing.T, store ledger.Store, v *vault, want []string, got ledger.Purged) {
	t.Helper()
	if got.Kept != 134 || got.Destroyed != 266 || len(got.Ranges) != 133 {
		t.Fatalf("%d kept, %d destroyed in %d ranges", got.Kept, got.Destroyed, len(got.Ranges))
	}
	v.destroy(thePurge(v).Keys...)
	halfPurged(t, store, v, want)
	for p, err := range store.AllPostings(t.Context()) {
		for i := range want {
			if err != nil || i%3 != 0 && i < 384 && p.Term == term(fmt.Sprintf("only%d", i)) {
				t.Fatalf("the index has the terms of entry %d, %v", i, err)
			}
		}
	}
}

// TestPurgeFaults fails each call of the store that Purge makes in turn, in both flavours.
func TestPurgeFaults(t *testing.T) {
	v := newVault()
	store := storetest.NewMemory(nil)
	want := purgeable(t, store, v)
	before := store.State()
	for _, c := range []struct {
		op    storetest.Op
		times []int
	}{
		{storetest.OpRewrite, []int{1, 2, 4}}, {storetest.OpWriteRun, []int{1, 5, 12}}, {storetest.OpBlocks, []int{1, 2, 9}},
	} {
		for _, flavour := range []storetest.Flavour{storetest.NotStored, storetest.Stored} {
			for _, at := range c.times {
				for _, restart := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s %d %s, restart %v", c.op, at, flavour, restart), func(t *testing.T) {
						v := &vault{ids: v.ids, destroyed: map[uint32]bool{}, lost: map[uint32]bool{}}
						store := storetest.NewMemory(&before)
						l := open(t, store, v.options())
						calls := 0
						store.Before(func(op storetest.Op) {
							if op == c.op {
								if calls++; calls == at {
									store.FailNext(op, flavour, 1, nil)
								}
							}
						})
						if _, err := l.Purge(t.Context(), thePurge(v)); err == nil || calls < at {
							t.Fatalf("%v after %d calls", err, calls)
						}
						store.Before(nil)
						halfPurged(t, store, v, want)
						if restart {
							l.Close(t.Context())
							l = open(t, store, v.options())
						}
						wholePurged(t, store, v, want, mustPurge(t, l, thePurge(v)))
						record(t, l, ledger.Stream{}, "all goes on\n")
					})
				}
			}
		}
	}
}

// TestPowerCutsDuringPurge cuts the power after, or in the middle of, each of the steps of a purge.
func TestPowerCutsDuringPurge(t *testing.T) {
	v := newVault()
	disk := storetest.NewDisk()
	openStore := func(d *storetest.Disk) *localstore.Store {
		t.Helper()
		s, err := localstore.Open("store", localstore.Options{FS: d})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := openStore(disk)
	want := purgeable(t, first, v)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for _, step := range []int{0, 1, 3, 4, 9, 15} { // 4 batches of blocks, then 12 runs
		for _, after := range []bool{false, true} {
			v := &vault{ids: v.ids, destroyed: map[uint32]bool{}, lost: map[uint32]bool{}}
			alive := disk.Cut(vfs.CrashCloneCfg{})
			store := openStore(alive)
			var dead *storetest.Disk
			steps := 0
			w := &watched{Store: store}
			cut := func() {
				if steps == step {
					dead = alive.Cut(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
				}
			}
			w.before = func(string) error {
				if !after {
					cut()
				}
				return nil
			}
			w.after = func(string) {
				if after {
					cut()
				}
				steps++
			}
			l := open(t, w, v.options())
			mustPurge(t, l, thePurge(v))
			l.Close(context.Background())
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			if dead == nil {
				t.Fatalf("%d steps", steps)
			}
			again := openStore(dead)
			halfPurged(t, again, v, want)
			l = open(t, again, v.options())
			got := mustPurge(t, l, thePurge(v))
			l.Close(context.Background())
			wholePurged(t, again, v, want, got)
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A purge that is done twice at different moments comes to the same.
func TestPurgeComesToTheSame(t *testing.T) {
	v := newVault()
	store := storetest.NewMemory(nil)
	purgeable(t, store, v)
	l := open(t, store, v.options())
	first := mustPurge(t, l, thePurge(v))
	blocks := store.State().Blocks
	if second := mustPurge(t, l, thePurge(v)); !reflect.DeepEqual(first, second) || !reflect.DeepEqual(store.State().Blocks, blocks) {
		t.Error("the second purge did something else")
	}
}
