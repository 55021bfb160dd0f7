package seal_test

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hippad"
	"hippad/internal/seal"
)

var november = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func key(t testing.TB, k *seal.Ring, at time.Time, class string) (uint32, cipher.AEAD) {
	t.Helper()
	id, aead, err := k.SealKey(at, class)
	if err != nil {
		t.Fatal(err)
	}
	return id, aead
}

func opens(t testing.TB, k *seal.Ring, id uint32, sealed []byte) {
	t.Helper()
	aead, err := k.OpenKey(id)
	if err != nil {
		t.Errorf("key %d: %v", id, err)
		return
	}
	if plain, err := aead.Open(nil, nil, sealed, []byte("place")); err != nil || string(plain) != "the content" {
		t.Errorf("key %d: %q, %v", id, plain, err)
	}
}

func TestDataKeys(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, seal.Options{Origin: "log.example", Now: func() time.Time { return november }})
	type want struct {
		at    time.Time
		class string
		id    uint32
	}
	sealed := map[uint32][]byte{}
	for _, w := range []want{
		{november, "clinical", 1}, {november, "research", 2}, {november.AddDate(0, 1, 0), "clinical", 3}, {november, "clinical", 1},
		{time.Date(2026, 12, 1, 0, 30, 0, 0, time.FixedZone("", 3600)), "clinical", 1}, // still November in UTC
		{time.Date(2026, 11, 30, 23, 59, 59, 999999999, time.UTC), "research", 2},
		{november.AddDate(0, -1, 0), strings.Repeat("z", 32), 4},
	} {
		id, aead := key(t, k.Ring, w.at, w.class)
		if id != w.id || aead.NonceSize() != 0 || aead.Overhead() != 28 {
			t.Errorf("%v %s: id %d, want %d", w.at, w.class, id, w.id)
		}
		sealed[id] = aead.Seal(nil, nil, []byte("the content"), []byte("place"))
	}
	for _, class := range []string{"", "A", "a b", "ä", strings.Repeat("z", 33), "../x"} {
		_, _, err := k.SealKey(november, class)
		wantKind(t, err, hippad.Invalid)
	}
	for _, at := range []time.Time{{}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)} {
		_, _, err := k.SealKey(at, "clinical")
		wantKind(t, err, hippad.Invalid)
	}
	at := november
	if got, want := k.DataKeys(), []seal.DataKey{
		{1, "2026-11", "clinical", at, time.Time{}}, {2, "2026-11", "research", at, time.Time{}},
		{3, "2026-12", "clinical", at, time.Time{}}, {4, "2026-10", strings.Repeat("z", 32), at, time.Time{}},
	}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	for _, k := range []*seal.Keys{k, open(t, dir, seal.Options{}), open(t, dir, seal.Options{ReadOnly: true})} {
		for id, s := range sealed {
			opens(t, k.Ring, id, s)
		}
		for _, id := range []uint32{0, 5, 1<<32 - 1} {
			_, err := k.OpenKey(id)
			wantKind(t, err, hippad.Unavailable, "no such data key")
		}
	}
	a, _ := k.OpenKey(1)
	if _, err := a.Open(nil, nil, sealed[2], []byte("place")); err == nil {
		t.Error("a key opens what another has sealed")
	}
	_, _, err := open(t, dir, seal.Options{ReadOnly: true}).SealKey(november, "new")
	wantKind(t, err, hippad.Conflict)
}

func TestKeysAreDurableBeforeTheyAreHandedOut(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, named)
	id, aead := key(t, k.Ring, november, "clinical")
	sealed := aead.Seal(nil, nil, []byte("the content"), []byte("place"))
	// kill -9 now: what is on the disk is all that is left.
	opens(t, open(t, dir, seal.Options{}).Ring, id, sealed)

	// A key that cannot be written is not handed out, and neither its id nor anything else is lost by that.
	ring := filepath.Join(dir, "ring.json")
	text := get(t, ring)
	os.Remove(ring)
	_, _, err := k.SealKey(november, "research")
	wantKind(t, err, hippad.Unavailable, "ring.json is gone")
	if err := os.MkdirAll(filepath.Join(ring, "x"), 0o700); err != nil { // cannot be replaced by a file
		t.Fatal(err)
	}
	if _, _, err := k.SealKey(november, "research"); err == nil {
		t.Error("a key that is not on the disk was handed out")
	}
	os.RemoveAll(ring)
	put(t, ring, text)
	if id, _ := key(t, k.Ring, november, "research"); id != 2 {
		t.Errorf("id %d", id)
	}
	opens(t, k.Ring, id, sealed)
}

// A second program that has opened the same directory cannot make the first forget a key, nor the other way round.
func TestTwoProgramsInOneDirectory(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, named)
	b := open(t, dir, named)
	id, aead := key(t, a.Ring, november, "clinical")
	sealed := aead.Seal(nil, nil, []byte("the content"), []byte("place"))
	_, _, err := b.SealKey(november, "clinical")
	wantKind(t, err, hippad.Conflict, "another program")
	wantKind(t, b.Rotate(t.Context(), seal.MasterConfig{}, nil, nil), hippad.Conflict, "another program")
	opens(t, open(t, dir, named).Ring, id, sealed)
}

func TestDestroy(t *testing.T) {
	dir := t.TempDir()
	now := november
	var uses []seal.KeyUse
	var refuse error
	o := seal.Options{Origin: "log.example", Now: func() time.Time { return now }, Used: func(_ context.Context, u seal.KeyUse) error {
		uses = append(uses, u)
		return refuse
	}}
	k := open(t, dir, o)
	sealed := map[uint32][]byte{}
	for _, class := range []string{"a", "b", "c"} {
		id, aead := key(t, k.Ring, november, class)
		sealed[id] = aead.Seal(nil, nil, []byte("the content"), []byte("place"))
	}
	if len(uses) != 0 {
		t.Errorf("opening and making keys asked the hook: %+v", uses)
	}
	text := get(t, filepath.Join(dir, "ring.json"))

	refuse = errors.New("the log is full")
	if err := k.Destroy(t.Context(), 2); !errors.Is(err, refuse) {
		t.Error(err)
	}
	refuse = nil
	wantKind(t, k.Destroy(t.Context(), 1, 4), hippad.NotFound)
	wantKind(t, k.Destroy(t.Context(), 0), hippad.NotFound)
	if get(t, filepath.Join(dir, "ring.json")) != text {
		t.Error("what was refused has changed ring.json")
	}
	opens(t, k.Ring, 2, sealed[2])

	uses, now = nil, november.AddDate(6, 0, 0)
	old, err := os.Open(filepath.Join(dir, "ring.json")) // the file that is about to be replaced
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := k.Destroy(t.Context(), 3, 2, 3); err != nil {
		t.Fatal(err)
	}
	bytes := make([]byte, len(text))
	if n, err := old.ReadAt(bytes, 0); n != len(text) || strings.Trim(string(bytes), "\x00") != "" {
		t.Errorf("the bytes of the old ring.json are still there: %d, %v", n, err)
	}
	want := []seal.KeyUse{
		{What: seal.UseDestroyed, KeyID: 2, Month: "2026-11", Class: "b", Master: k.Master()},
		{What: seal.UseDestroyed, KeyID: 3, Month: "2026-11", Class: "c", Master: k.Master()},
	}
	if !slices.Equal(uses, want) {
		t.Errorf("%+v", uses)
	}
	text = get(t, filepath.Join(dir, "ring.json"))
	if err := k.Destroy(t.Context(), 2, 3); err != nil || get(t, filepath.Join(dir, "ring.json")) != text || len(uses) != 2 {
		t.Errorf("the second time: %v, %+v", err, uses)
	}
	for _, k := range []*seal.Keys{k, open(t, dir, o)} {
		opens(t, k.Ring, 1, sealed[1])
		for _, id := range []uint32{2, 3} {
			if _, err := k.OpenKey(id); err != seal.ErrDestroyed {
				t.Errorf("key %d: %v", id, err)
			}
			if d := k.DataKeys()[id-1]; !d.Destroyed.Equal(now) || d.Month != "2026-11" || d.ID != id {
				t.Errorf("%+v", d)
			}
		}
	}
	// The month's next content gets a key of its own, never the id of the one that is gone.
	if id, _ := key(t, k.Ring, november, "c"); id != 4 {
		t.Errorf("id %d", id)
	}
	wantKind(t, open(t, dir, seal.Options{ReadOnly: true}).Destroy(t.Context(), 1), hippad.Conflict)
}

// The hook writes to the log, and that may need a new key: no lock may be held while it is asked.
func TestTheHookMayMakeKeys(t *testing.T) {
	var k *seal.Keys
	months := 0
	k = open(t, t.TempDir(), seal.Options{Origin: "log.example", Used: func(context.Context, seal.KeyUse) error {
		months++
		_, _, err := k.SealKey(november.AddDate(0, months, 0), "self")
		return err
	}})
	key(t, k.Ring, november, "clinical")
	if err := k.Destroy(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := k.Rotate(t.Context(), seal.MasterConfig{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if keys := k.DataKeys(); len(keys) != 3 || keys[0].Destroyed.IsZero() || !keys[2].Destroyed.IsZero() {
		t.Errorf("%+v", keys)
	}
}

func TestCreatedIsToldUntilItIsRecorded(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, named)
	told := func(k *seal.Keys, ids ...uint32) {
		t.Helper()
		select {
		case <-k.CreatedC():
			if len(ids) == 0 {
				t.Error("woken for nothing")
			}
		default:
			if len(ids) > 0 {
				t.Error("nobody is woken")
			}
		}
		var got []uint32
		for _, u := range k.Created() {
			got = append(got, u.KeyID)
			if u.What != seal.UseCreated || u.Month != "2026-11" || u.Class == "" || u.Master != k.Master() {
				t.Errorf("%+v", u)
			}
		}
		if !slices.Equal(got, ids) {
			t.Errorf("told of %d, want %d", got, ids)
		}
	}
	told(k)
	for _, class := range []string{"a", "b", "c"} {
		key(t, k.Ring, november, class)
	}
	told(k, 1, 2, 3)
	told(open(t, dir, named), 1, 2, 3) // a crash before anything was recorded
	if err := k.Recorded(2); err != nil {
		t.Fatal(err)
	}
	told(open(t, dir, named), 3)
	for _, id := range []uint32{1, 3, 3} {
		if err := k.Recorded(id); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, k.Recorded(4), hippad.NotFound)
	told(k)
	told(open(t, dir, named))
}

func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, named)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]uint32{}
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				month, class := i/40, fmt.Sprintf("class-%d", (i+g)%3)
				id, aead, err := k.SealKey(november.AddDate(0, month, 0), class)
				if err != nil {
					t.Error(err)
					return
				}
				sealed := aead.Seal(nil, nil, []byte("the content"), []byte("place"))
				opens(t, k.Ring, id, sealed)
				mu.Lock()
				name := fmt.Sprint(month, class)
				if ids[name] == 0 {
					ids[name] = id
				} else if ids[name] != id {
					t.Errorf("%s has keys %d and %d", name, ids[name], id)
				}
				mu.Unlock()
				if i%50 == 0 && g == 0 {
					if err := k.Rotate(t.Context(), seal.MasterConfig{}, nil, nil); err != nil {
						t.Error(err)
					}
				}
				k.Created()
				k.DataKeys()
			}
		})
	}
	wg.Wait()
	if again := open(t, dir, named); len(ids) != 15 || len(k.DataKeys()) != 15 || len(again.DataKeys()) != 15 {
		t.Errorf("%d, %d, %d keys", len(ids), len(k.DataKeys()), len(again.DataKeys()))
	}
}

func TestSealBytes(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, named)
	sealed, err := k.SealBytes("log.key", []byte("the secret"))
	if err != nil || strings.Contains(string(sealed), "secret") {
		t.Fatal(err)
	}
	// A backup holds ring.json; the master comes from its safe place.
	backup, safe := t.TempDir(), filepath.Join(t.TempDir(), "master.key")
	put(t, filepath.Join(backup, "ring.json"), get(t, filepath.Join(dir, "ring.json")))
	put(t, safe, get(t, filepath.Join(dir, "master.key")))
	r, err := seal.OpenRing(t.Context(), backup, seal.Options{Master: seal.MasterConfig{File: safe}})
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := r.OpenBytes("log.key", sealed); err != nil || string(plain) != "the secret" {
		t.Errorf("%q, %v", plain, err)
	}
	files, err := os.ReadDir(backup)
	if err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	for name, bad := range map[string][]byte{"empty": nil, "other format": append([]byte{2}, sealed[1:]...), "cut": sealed[:20], "changed": append(slices.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1)} {
		_, err := r.OpenBytes("log.key", bad)
		if err == nil || hippad.KindOf(err) != hippad.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = r.OpenBytes("ca.pem", sealed)
	wantKind(t, err, hippad.Invalid)
	_, err = open(t, t.TempDir(), named).OpenBytes("log.key", sealed)
	wantKind(t, err, hippad.Invalid)
	_, err = seal.OpenRing(t.Context(), backup, seal.Options{})
	wantKind(t, err, hippad.Unavailable, "master.key is gone", "still verify")
	_, err = seal.OpenRing(t.Context(), t.TempDir(), seal.Options{})
	wantKind(t, err, hippad.Unavailable, "ring.json")
}

func BenchmarkSealKey(b *testing.B) {
	k := open(b, b.TempDir(), named)
	key(b, k.Ring, november, "clinical")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := k.SealKey(november, "clinical"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpenKey(b *testing.B) {
	k := open(b, b.TempDir(), named)
	id, _ := key(b, k.Ring, november, "clinical")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := k.OpenKey(id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSeal is what sealing a block of content of 4 KiB costs.
func BenchmarkSeal(b *testing.B) {
	k := open(b, b.TempDir(), named)
	_, aead := key(b, k.Ring, november, "clinical")
	plain, out, place := make([]byte, 4<<10), make([]byte, 0, 4<<10+28), []byte("place")
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		aead.Seal(out, nil, plain, place)
	}
}
