package ledger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/receipt"
)

func testBlock(t testing.TB, c *codec, first int64, bodies ...string) (Block, []hippad.Entry) {
	t.Helper()
	return sealedBlock(t, c, dataKey{}, nil, first, bodies...)
}

// sealedBlock is a block with a key, and of which something was purged.
func sealedBlock(t testing.TB, c *codec, key dataKey, purges []purged, first int64, bodies ...string) (Block, []hippad.Entry) {
	t.Helper()
	h := head{key: key.id, first: first, count: len(bodies), purges: purges}
	var living []*hippad.Entry
	var leaves [][]byte
	var entries []hippad.Entry
	for i, body := range bodies {
		e := hippad.Entry{Index: first + int64(i), Received: time.UnixMicro(int64(1e15 + i)).UTC(), Door: hippad.DoorFHIR,
			Reporter: hippad.Principal{Kind: hippad.KindAddress, ID: "192.0.2.1", Name: "n", Organisation: "o"},
			Report:   hippad.Report{Media: hippad.MediaFHIRJSON, Body: []byte(body)}}
		entries = append(entries, e)
		leaves = append(leaves, receipt.NewLeaf(e, [32]byte{byte(i)}, [32]byte{1}).Append(nil))
	}
	for i := range entries {
		if e := &entries[i]; h.destroyed()>>i&1 == 0 {
			living = append(living, e)
		}
	}
	b := c.encodeBlock(h, c.packLeaves(leaves), living, key)
	for i := range entries {
		if e := &entries[i]; h.destroyed()>>i&1 == 1 {
			e.Destroyed, e.Reporter, e.Body = true, hippad.Principal{}, nil
		}
	}
	return b, entries
}

func testCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec(2, testKeys())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestBlockRoundTrip(t *testing.T) {
	c := testCodec(t)
	for n := 1; n <= blockEntries; n++ {
		var bodies []string
		for i := range n {
			bodies = append(bodies, fmt.Sprintf("<AuditMessage>%d</AuditMessage>", i*n))
		}
		b, want := testBlock(t, c, 1<<40, bodies...)
		o, err := c.open(b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.entries(o)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%d entries: %v", n, err)
		}
		if bytes.Contains(bytes.Join(o.leaves, nil), []byte("AuditMessage")) {
			t.Error("a body in a leaf")
		}
	}
}

func TestEveryFlippedBitAndEveryCutOfABlockIsAnError(t *testing.T) {
	c := testCodec(t)
	whole, _ := testBlock(t, c, 77, "one body", "another body", "a third")
	sealed, _ := sealedBlock(t, c, testKey(5), partly, 77, "1", "2", "3", "4", "5")
	for _, b := range []Block{whole, sealed} {
		for i := range b.Value {
			for bit := range 8 {
				bad := Block{b.First, slices.Clone(b.Value)}
				bad.Value[i] ^= 1 << bit
				if _, err := c.open(bad); err == nil {
					t.Fatalf("bit %d of byte %d", bit, i)
				}
			}
			if _, err := c.open(Block{b.First, b.Value[:i]}); err == nil {
				t.Fatalf("cut to %d bytes", i)
			}
		}
		if _, err := c.open(Block{78, b.Value}); err == nil {
			t.Error("a block at another place")
		}
	}
}

// A block whose checksum is right was not made by chance. It still must not take more memory than a block may have, panic,
// or give anything but what is in it.
func FuzzBlockWithRightChecksumIsBounded(f *testing.F) {
	c := testCodec(f)
	b, _ := testBlock(f, c, 3, "one body", "another body")
	f.Add(b.Value)
	f.Add(b.Value[:20])
	for _, id := range []uint32{0, 5, 7, 10} {
		key := dataKey{}
		if id > 0 {
			key = testKey(id)
		}
		b, _ := sealedBlock(f, c, key, partly, 3, "one", "two", "three", "four", "five")
		f.Add(b.Value)
		b, _ = sealedBlock(f, c, key, []purged{{1, 0b11}}, 3, "one", "two")
		f.Add(b.Value)
	}
	old, _ := blockOfFormat1(f, c, 3, "one body", "another body")
	f.Add(old.Value)
	f.Fuzz(func(t *testing.T, v []byte) {
		if len(v) < 7 {
			return
		}
		v = slices.Clone(v)
		at, sum := sumAt(v[0]), blockSum(v)
		v[at], v[at+1], v[at+2], v[at+3] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		o, err := c.open(Block{3, v})
		if err != nil {
			return
		}
		if len(o.leaves) == 0 || len(o.leaves) > blockEntries || o.living() < 0 || len(o.purges) > maxPurges {
			t.Fatalf("%d entries, %d of them living, %d purges", len(o.leaves), o.living(), len(o.purges))
		}
		entries, err := c.entries(o)
		if err != nil {
			return
		}
		total := 0
		for i, e := range entries {
			if e.Index != 3+int64(i) {
				t.Fatalf("entry %d at %d", e.Index, i)
			}
			if gone := o.destroyed()>>i&1 == 1; e.Destroyed != gone || gone && (e.Body != nil || e.Reporter != hippad.Principal{}) {
				t.Fatalf("entry %d: destroyed %v, want %v", e.Index, e.Destroyed, gone)
			}
			total += len(e.Body)
		}
		if total > maxSection {
			t.Fatalf("%d bytes of bodies", total)
		}
		// What is read is written again to the same.
		if o.format == blockFormat2 && o.key == notSealed {
			var living []*hippad.Entry
			for i := range entries {
				if !entries[i].Destroyed {
					living = append(living, &entries[i])
				}
			}
			again, err := c.open(c.encodeBlock(o.head, o.packedLeaves, living, dataKey{}))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.entries(again); err != nil || !reflect.DeepEqual(got, entries) {
				t.Fatalf("written again: %v", err)
			}
		}
	})
}

func FuzzStreamStateIsCanonical(f *testing.F) {
	f.Add(stream{last: 10, places: []place{{3, 0, 4}, {7, 90, 4}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeStream(b)
		if err != nil || b == nil {
			return
		}
		again, err := decodeStream(s.encode())
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%v became %v, %v", s, again, err)
		}
		n := uint64(1)
		for i, p := range s.places {
			if i > 0 && p.number != n || p.number == 0 {
				t.Fatalf("places with a gap: %v", s.places)
			}
			n = p.number + uint64(p.count)
		}
		if len(s.places) > 0 && n != s.last+1 {
			t.Fatalf("places end at %d, last is %d", n, s.last)
		}
	})
}

func FuzzOffsetsAreAscendingAndInside(f *testing.F) {
	f.Add([]byte{0, 1, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := decodeOffsets(nil, b, 1000)
		if err != nil {
			return
		}
		for i, x := range out {
			if x >= 1000 || i > 0 && x <= out[i-1] {
				t.Fatalf("offsets %v", out)
			}
		}
	})
}

func TestSortPostings(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, 1000, 50000} {
		p := make([]posting, n)
		for i := range p {
			p[i] = posting{r.Uint64() >> (r.IntN(8) * 8), uint32(i)}
		}
		want := slices.Clone(p)
		slices.SortStableFunc(want, func(a, b posting) int {
			if a.term < b.term {
				return -1
			} else if a.term > b.term {
				return 1
			}
			return 0
		})
		if got := sortPostings(p, make([]posting, n)); !slices.Equal(got, want) {
			t.Errorf("%d postings are in another order", n)
		}
	}
}

func TestMarkerRoundTrip(t *testing.T) {
	zones := []zone{{-5, 5}, {1 << 50, 1<<50 + 1}, {-1 << 40, 1 << 55}, {0, 0}}
	b := encodeMarker(3, 4*zoneLength, zones)
	if got, ok := decodeMarker(b, 3, 4*zoneLength); !ok || !slices.Equal(got, zones) {
		t.Errorf("%v, %v", got, ok)
	}
	for name, ok := range map[string]bool{
		"version": second(decodeMarker(b, 4, 4*zoneLength)), "length": second(decodeMarker(b, 3, 5*zoneLength)),
		"empty": second(decodeMarker(nil, 3, 4*zoneLength)), "cut": second(decodeMarker(b[:len(b)-1], 3, 4*zoneLength)),
		"longer": second(decodeMarker(append(slices.Clone(b), 0), 3, 4*zoneLength)),
	} {
		if ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func second[A, B any](_ A, b B) B { return b }

// TestTreeIsThatOfTlog compares the edge and the rows with golang.org/x/mod/sumdb/tlog, which stores every hash.
func TestTreeIsThatOfTlog(t *testing.T) {
	var all []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, all[i])
		}
		return out, nil
	})
	var e edge
	var r rows
	have := make(map[[2]int64]tlog.Hash)
	for n := range int64(70000) {
		leaf := fmt.Appendf(nil, "leaf %d", n)
		hashes, err := tlog.StoredHashes(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, hashes...)
		e.append(tlog.RecordHash(leaf), func(level int, index int64, h tlog.Hash) {
			have[[2]int64{int64(level), index}] = h
			r.put(level, index, h)
		})
		if n < 600 || n%997 == 0 || n > 65530 && n < 65540 {
			want, err := tlog.TreeHash(n+1, reader)
			if err != nil || e.tree() != (tlog.Tree{N: n + 1, Hash: want}) {
				t.Fatalf("tree of size %d differs", n+1)
			}
		}
	}
	for level := range int64(3) {
		for i := range e.size >> (8 * level) {
			if have[[2]int64{level, i}] != all[tlog.StoredHashIndex(int(8*level), i)] {
				t.Fatalf("hash %d of level %d differs", i, level)
			}
		}
	}
	n := 0
	for _, row := range r.all() {
		if row.First/tileWidth != (row.First+int64(len(row.Hashes))-1)/tileWidth {
			t.Fatalf("row at %d of level %d crosses a tile", row.First, row.Level)
		}
		n += len(row.Hashes)
	}
	if n != len(have) {
		t.Errorf("%d hashes in rows, want %d", n, len(have))
	}
}

// A snapshot of a segment is a copy of the struct: what comes later must not show in it.
func TestSegmentSnapshotDoesNotChange(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	s := newSegment(0)
	add := func() {
		s.add([]uint64{r.Uint64N(50), 50 + r.Uint64N(50)}, r.Int64N(1000))
	}
	for range 4000 {
		add()
	}
	snapshot := *s
	find := func() (out [][]uint32) {
		for term := range uint64(100) {
			out = append(out, snapshot.find(term))
		}
		return out
	}
	offsets, zones := find(), snapshot.allZones()
	for range 9000 {
		add()
	}
	if !reflect.DeepEqual(offsets, find()) || !slices.Equal(zones, snapshot.allZones()) {
		t.Error("a snapshot changed")
	}
}
