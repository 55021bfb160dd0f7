package ledger_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/storetest"
)

// sealedLog is a log of 420 entries in blocks of 7, of two classes, in three months; of the second month's c0 the even
// entries are purged. It ends with the vault of its keys.
func sealedLog(t *testing.T) (storetest.State, *vault) {
	v := newVault()
	store := storetest.NewMemory(nil)
	l := open(t, store, v.options())
	months(t, l, v, 3, 20)
	mustPurge(t, l, ledger.Purge{Keys: []uint32{v.key("c0", 1)}, Keep: keepOdd, KeepClass: "hold"})
	l.Close(t.Context())
	open(t, store, v.options()).Close(t.Context())
	return store.State(), v
}

// rewriteSum makes the checksum of a block of format 2 right, as anybody can who can write to the store.
func rewriteSum(b []byte) []byte {
	c := crc32.MakeTable(crc32.Castagnoli)
	binary.BigEndian.PutUint32(b[2:], crc32.Update(crc32.Update(0, c, b[:2]), c, b[6:]))
	return b
}

func TestAuditOfSealedContent(t *testing.T) {
	good, v := sealedLog(t)
	audit(t, storetest.NewMemory(&good), v.options())
	other, _ := sealedLog(t)
	key := func(word string, run int64) storetest.PostingKey {
		return storetest.PostingKey{Term: term(word), Run: run}
	}
	for name, c := range map[string]struct {
		tamper func(s *storetest.State)
		want   int64
	}{
		"a byte of sealed content": {func(s *storetest.State) {
			b := slices.Clone(s.Blocks[35])
			b[len(b)-1] ^= 1
			s.Blocks[35] = rewriteSum(b)
		}, 35},
		"another key id": {func(s *storetest.State) {
			b := slices.Clone(s.Blocks[35])
			b[6] = 3 - b[6] // the keys of the first month are 1 and 2
			s.Blocks[35] = rewriteSum(b)
		}, 35},
		"a block that is sealed with the same key at another place": {func(s *storetest.State) {
			b := slices.Clone(s.Blocks[14])
			b[7] = 28 // the first index
			s.Blocks[28] = rewriteSum(b)
		}, 28},
		"a block of another log with the same keys":              {func(s *storetest.State) { s.Blocks[35] = other.Blocks[35] }, 35},
		"a posting of a living entry is missing":                 {func(s *storetest.State) { delete(s.Postings, key("only141", 4)) }, 141},
		"a posting too many of a living entry":                   {func(s *storetest.State) { s.Postings[key("extra", 4)] = []byte{13} }, 141},
		"a posting of a destroyed entry is no fault":             {func(s *storetest.State) { s.Postings[key("only140", 4)] = []byte{12} }, -2},
		"a position of a destroyed entry is no fault":            {func(s *storetest.State) { s.Postings[key("c0", 4)] = []byte{12, 2, 2} }, -2},
		"a position of a destroyed entry and one that is wrong":  {func(s *storetest.State) { s.Postings[key("c0", 4)] = []byte{12, 1, 3} }, 141},
		"a zone wider than what is left is no fault":             {func(s *storetest.State) { s.Markers[4] = widen(s.Markers[4], 1<<50) }, -2},
		"a zone that is wider where nothing is destroyed":        {func(s *storetest.State) { s.Markers[0] = widen(s.Markers[0], 1<<50) }, 0},
		"a zone that leaves out an entry that is left":           {func(s *storetest.State) { s.Markers[4] = widen(s.Markers[4], 1) }, 128},
		"a leaf's hash of a destroyed entry":                     {func(s *storetest.State) { s.Hashes[0][140] = s.Hashes[0][141] }, 140},
		"a bit that hides an entry, in a block without any left": {func(s *storetest.State) { hide(s, 35, 0b1111111) }, -2},
		"a bit that hides an entry, and the others with it":      {func(s *storetest.State) { hide(s, 35, 0b100) }, 35},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good.Clone()
			c.tamper(&bad)
			a, err := ledger.Audit(t.Context(), storetest.NewMemory(&bad), v.options(), nil)
			var wrong *ledger.AuditError
			switch {
			case c.want == -2 && err != nil:
				t.Errorf("%v", err)
			case c.want == -2:
				hidden := slices.ContainsFunc(a.Gone, func(g ledger.Gone) bool { return g.First == 35 && g.Count == 7 && g.Key == 2 })
				if hidden != strings.Contains(name, "hides") {
					t.Errorf("audit shows %v as gone", a.Gone)
				}
			case !errors.As(err, &wrong) || wrong.Index != c.want:
				t.Errorf("%v, want %d", err, c.want)
			}
		})
	}
}

// hide sets bits in the block at first, as the purge of its key would, and drops the content if nothing is left.
func hide(s *storetest.State, first int64, bits byte) {
	b := s.Blocks[first]
	at := 9 // key, first index and count are one byte each here, and then there are the purges
	out := append(slices.Clone(b[:at]), 1, b[6], bits)
	rest := b[at+1:]
	if bits == 0b1111111 {
		n, k := binary.Uvarint(rest)
		rest = append(slices.Clone(rest[:k+int(n)]), 0)
	}
	s.Blocks[first] = rewriteSum(append(out, rest...))
}

// widen changes the span of the first zone of a marker, which has only one here, to so many microseconds.
func widen(marker []byte, micros uint64) []byte {
	at := 1
	for range 3 {
		_, k := binary.Uvarint(marker[at:])
		at += k
	}
	_, k := binary.Varint(marker[at:])
	return binary.AppendUvarint(slices.Clone(marker[:at+k]), micros)
}

// An auditor without keys sees everything but bodies and terms.
func TestAuditOfTheStructureOnly(t *testing.T) {
	good, v := sealedLog(t)
	whole := v.options()
	structure := whole
	structure.Salt, structure.Index, structure.OpenKey, structure.SealKey, structure.Signer = nil, nil, nil, nil, nil
	got := audit(t, storetest.NewMemory(&good), structure)
	if got.Entries != 420 || got.Destroyed != 40 || got.NotLookedAt != 380 || len(got.Gone) != 40 || got.Gone[0] != (ledger.Gone{Range: hippad.Range{First: 140, Count: 1}, Key: v.key("c0", 1)}) {
		t.Errorf("%d entries, %d destroyed in %d ranges, %d not looked at", got.Entries, got.Destroyed, len(got.Gone), got.NotLookedAt)
	}
	noKeys := whole
	noKeys.OpenKey = nil
	if got := audit(t, storetest.NewMemory(&good), noKeys); got.NotLookedAt != 380 {
		t.Errorf("without keys %d are not looked at", got.NotLookedAt)
	}
	for name, c := range map[string]struct {
		tamper func(s *storetest.State)
		want   int64
	}{
		"a block is damaged":  {func(s *storetest.State) { s.Blocks[35] = s.Blocks[35][:50] }, 35},
		"a block is missing":  {func(s *storetest.State) { delete(s.Blocks, 35) }, 35},
		"a leaf's hash":       {func(s *storetest.State) { s.Hashes[0][77] = s.Hashes[0][76] }, 77},
		"a hash of level 1":   {func(s *storetest.State) { s.Hashes[1][0] = s.Hashes[0][0] }, 0},
		"a checkpoint":        {func(s *storetest.State) { s.Checkpoints[70] = s.Checkpoints[77] }, 63},
		"the tail is dropped": {func(s *storetest.State) { delete(s.Checkpoints, 420) }, 413},
		"a stream is damaged": {func(s *storetest.State) { s.Streams[[32]byte{1}] = []byte{9} }, -1},
		"content is no matter": {func(s *storetest.State) {
			b := slices.Clone(s.Blocks[35])
			b[len(b)-1] ^= 1
			s.Blocks[35] = rewriteSum(b)
		}, -2},
	} {
		bad := good.Clone()
		c.tamper(&bad)
		for _, o := range []ledger.Options{structure, noKeys} {
			_, err := ledger.Audit(t.Context(), storetest.NewMemory(&bad), o, nil)
			var wrong *ledger.AuditError
			if c.want == -2 && err != nil || c.want != -2 && (!errors.As(err, &wrong) || wrong.Index != c.want) {
				t.Errorf("%s: %v, want %d", name, err, c.want)
			}
		}
	}
	if _, err := ledger.Audit(t.Context(), storetest.NewMemory(&good), ledger.Options{}, nil); err == nil {
		t.Error("an audit without the log's public key")
	}
}
