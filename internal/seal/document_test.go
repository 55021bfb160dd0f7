package seal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
)

// ringOf returns ring.json and master.key of a directory that has seen something.
func ringOf(t testing.TB, kind MasterKind) (ring, master []byte) {
	t.Helper()
	dir := t.TempDir()
	k, err := Open(t.Context(), dir, Options{Origin: "log.example", Master: MasterConfig{Kind: kind, Cost: Argon2{Memory: 64, Passes: 1, Lanes: 1}},
		Passphrase: func() ([]byte, error) { return []byte("correct horse battery staple"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"a", "b"} {
		if _, _, err := k.SealKey(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), class); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(k.Destroy(t.Context(), 1), k.Recorded(1)); err != nil {
		t.Fatal(err)
	}
	if ring, err = os.ReadFile(filepath.Join(dir, ringFile)); err != nil {
		t.Fatal(err)
	}
	master, _ = os.ReadFile(filepath.Join(dir, masterFile))
	return ring, master
}

// summed puts the right checksum on what can be read at all, as somebody would who wants his changes to pass.
func summed(ring []byte) []byte {
	sum := bytes.Index(ring, []byte(`"sum": "`))
	if sum < 0 {
		return ring
	}
	text := append(bytes.TrimRight(bytes.Clone(ring[:sum]), ",\n\t "), "\n}"...)
	var d document
	if json.Unmarshal(text, &d) != nil {
		return ring
	}
	if d.Sum, _ = d.sum(); d.Sum == nil {
		return ring
	}
	out, err := d.text()
	if err != nil {
		return ring
	}
	return out
}

// Nobody without the master can change anything in ring.json, the checksum notwithstanding, and nothing that is damaged passes.
func TestChangedRing(t *testing.T) {
	ring, master := ringOf(t, MasterFile)
	opened := func(ring []byte) error {
		dir := t.TempDir()
		for name, text := range map[string][]byte{ringFile: ring, masterFile: master} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := OpenRing(t.Context(), dir, Options{})
		return err
	}
	if err := opened(summed(ring)); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`"class": "b"`, `"class": "a"`}, {`"recorded": 1`, `"recorded": 0`}, {`"month": "2026-11",`, `"month": "2026-10",`}, {`"destroyed": "2`, `"destroyed": "1`},
		{`"key": "`, `"key": "AAAA`},
	} {
		changed := bytes.Replace(ring, []byte(c[0]), []byte(c[1]), 1)
		if bytes.Equal(changed, ring) {
			t.Fatal(c)
		}
		err := opened(changed)
		wantError(t, c[0], err, hippad.Unavailable, "its checksum is wrong")
		err = opened(summed(changed))
		wantError(t, c[0]+" with its checksum", err, hippad.Unavailable, "ring.json is damaged")
		if err != nil && strings.Contains(err.Error(), "checksum") {
			t.Errorf("%s: the checksum was not mended", c[0])
		}
	}
	// The newest key taken away, so that its id would be used again.
	last, end := bytes.LastIndex(ring, []byte(",\n\t\t{")), bytes.Index(ring, []byte("\n\t],"))
	less := append(bytes.Clone(ring[:last]), ring[end:]...)
	wantError(t, "a key less", opened(summed(less)), hippad.Unavailable, "somebody without its master has changed it")

	for at := range ring { // one bit, anywhere
		changed := bytes.Clone(ring)
		changed[at] ^= 1 << (at % 7)
		if opened(changed) == nil && len(bytes.TrimSpace(changed)) >= len(bytes.TrimSpace(ring)) && changed[at] > ' ' {
			t.Errorf("byte %d can be changed", at)
		}
	}
	for _, cut := range []int{0, 1, len(ring) / 2, len(ring) - 3} {
		wantError(t, "cut", opened(ring[:cut]), hippad.Unavailable, "ring.json is damaged")
	}
	wantError(t, "newer", opened(bytes.Replace(ring, []byte(`"format": 1`), []byte(`"format": 2`), 1)), hippad.Unavailable, "newer than this program")
}

// What would cost memory or time is refused before it does.
func TestHostileRing(t *testing.T) {
	ring, _ := ringOf(t, MasterPassphrase)
	asked := errors.New("the passphrase was asked for")
	opened := func(ring []byte) error {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ringFile), ring, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenRing(t.Context(), dir, Options{Passphrase: func() ([]byte, error) { return nil, asked }})
		return err
	}
	if err := opened(summed(ring)); !errors.Is(err, asked) {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`"memoryKiB": 64`, `"memoryKiB": 4194304`}, {`"passes": 1`, `"passes": 1000000`}, {`"lanes": 1`, `"lanes": 255`},
		{`"passes": 1`, `"passes": 0`}, {`"lanes": 1`, `"lanes": 0`}, {`"memoryKiB": 64`, `"memoryKiB": 1`},
	} {
		changed := bytes.Replace(ring, []byte(c[0]), []byte(c[1]), 1)
		if bytes.Equal(changed, ring) {
			t.Fatal(c)
		}
		if err := opened(summed(changed)); err == nil || errors.Is(err, asked) {
			t.Errorf("%s: %v", c[1], err)
		}
	}
	many := []byte(`{"format":1,"keys":[` + strings.Repeat(`{},`, 7<<20) + `{}]}`) // 21 MiB; as records they would be 900
	var before, after uint64
	before = allocated(t)
	if err := opened(many); err == nil {
		t.Error("millions of keys are taken")
	}
	if after = allocated(t); after-before > 200<<20 {
		t.Errorf("%d MiB were taken for them", (after-before)>>20)
	}
}

// allocated returns how many bytes have been allocated since the program began.
func allocated(t testing.TB) uint64 {
	t.Helper()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func FuzzRing(f *testing.F) {
	for _, kind := range []MasterKind{MasterFile, MasterPassphrase} {
		ring, _ := ringOf(f, kind)
		f.Add(ring)
		f.Add(summed(bytes.Replace(ring, []byte(`"class": "b"`), []byte(`"class": "c"`), 1)))
	}
	f.Add([]byte(`{"format":1,"keys":[]}`))
	f.Add([]byte(`{"format":1,"master":{"kind":"transit","transit":{"address":"https://h","mount":"m","key":"k"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, summed(data)} {
			d, err := decode(data)
			if err != nil {
				continue
			}
			text, err := d.text()
			if err != nil {
				t.Fatal(err)
			}
			again, err := decode(text)
			if err != nil {
				t.Fatalf("what was read is not read again: %v", err)
			}
			if once, err := again.text(); err != nil || !bytes.Equal(once, text) {
				t.Error("what was read is written differently")
			}
			if c := d.Master.Cost; c != nil && (c.Memory > 256<<10 || c.Passes > 16 || c.Lanes > 16 || c.Passes < 1 || c.Lanes < 1) {
				t.Errorf("a cost of %+v", *c)
			}
			for i, k := range d.Keys {
				if int(k.ID) != i+1 || k.Destroyed.IsZero() == (k.Sealed == nil) {
					t.Errorf("key %d: %+v", i, k)
				}
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, ringFile), data, 0o600); err != nil {
				t.Fatal(err)
			}
			if d.Master.Kind == MasterFile && d.Master.File != "" {
				continue // any file of this machine
			}
			// Without its master no ring opens, whatever it says.
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			no := func() ([]byte, error) { return nil, errors.New("no") }
			if _, err := OpenRing(ctx, dir, Options{Passphrase: no, TransitToken: no}); err == nil {
				t.Error("a ring opens without its master")
			}
		}
	})
}
