package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"golang.org/x/mod/sumdb/tlog"

	"hippad/internal/ledger"
	"hippad/internal/storetest"
	"hippad/receipt"
)

// auditable is a log of 1,300 entries in commits of 10, so in blocks of 10, with runs of 32, and one stream.
// The time in it is that of a synctest bubble: the same whenever it is made.
func auditable(t *testing.T) (s storetest.State) {
	synctest.Test(t, func(t *testing.T) { s = makeAuditable(t) })
	return s
}

func makeAuditable(t *testing.T) storetest.State {
	store := storetest.NewMemory(nil)
	l := open(t, store, small())
	for i := range 130 {
		var frame []string
		for j := range 10 {
			frame = append(frame, fmt.Sprintf("@%d all w%d only%d\nbody %d", i*1000, j, 10*i+j, 10*i+j))
		}
		record(t, l, ledger.Stream{Key: [32]byte{7}, First: uint64(10*i + 1)}, frame...)
	}
	l.Close(t.Context())
	open(t, store, small()).Close(t.Context())
	audit(t, store, small())
	return store.State()
}

// elsewhere is the same log, with the same key and at the same time, but with other bodies from an index on: a tamperer's
// workshop.
func elsewhere(t *testing.T, from int64) (s storetest.State) {
	synctest.Test(t, func(t *testing.T) {
		store := storetest.NewMemory(nil)
		l := open(t, store, small())
		for at := int64(0); at < 1300; at += 10 {
			var frame []string
			for i := at; i < at+10; i++ {
				body := fmt.Sprintf("@%d all w%d only%d\nbody %d", at/10*1000, i-at, i, i)
				if i >= from {
					body = fmt.Sprintf("@0 all other\nother %d", i)
				}
				frame = append(frame, body)
			}
			record(t, l, ledger.Stream{}, frame...)
		}
		l.Close(t.Context())
		open(t, store, small()).Close(t.Context())
		s = store.State()
	})
	return s
}

func TestAuditNamesTheFirstWrongIndex(t *testing.T) {
	good := auditable(t)
	other := elsewhere(t, 512)
	signer, _ := testKey()
	flip := func(b []byte, at int) []byte {
		b = slices.Clone(b)
		b[at] ^= 1
		return b
	}
	key := func(word string, run int64) storetest.PostingKey {
		return storetest.PostingKey{Term: term(word), Run: run}
	}
	tests := []struct {
		name   string
		tamper func(s *storetest.State)
		want   int64
	}{
		{"a bit of a block", func(s *storetest.State) { s.Blocks[700] = flip(s.Blocks[700], 60) }, 700},
		{"the checksum of a block", func(s *storetest.State) { s.Blocks[700] = flip(s.Blocks[700], 4) }, 700},
		{"a block is cut", func(s *storetest.State) { s.Blocks[700] = s.Blocks[700][:len(s.Blocks[700])-1] }, 700},
		{"a block is empty", func(s *storetest.State) { s.Blocks[700] = nil }, 700},
		{"a block is missing", func(s *storetest.State) { delete(s.Blocks, 700) }, 700},
		{"the first block is missing", func(s *storetest.State) { delete(s.Blocks, 0) }, 0},
		{"the last block is missing", func(s *storetest.State) { delete(s.Blocks, 1290) }, 1290},
		{"two blocks are swapped", func(s *storetest.State) { s.Blocks[500], s.Blocks[800] = s.Blocks[800], s.Blocks[500] }, 500},
		{"a block is there twice", func(s *storetest.State) { s.Blocks[505] = s.Blocks[500] }, 510},
		{"a block of another log", func(s *storetest.State) { s.Blocks[700] = other.Blocks[700] }, 700},
		{"a block of another log that differs in the middle", func(s *storetest.State) { s.Blocks[510] = other.Blocks[510] }, 512},
		{"a block and its hashes of another log", func(s *storetest.State) {
			s.Blocks[700] = other.Blocks[700]
			for i := range int64(10) {
				s.Hashes[0][700+i] = other.Hashes[0][700+i]
			}
		}, 700},
		{"a block beyond the end", func(s *storetest.State) { s.Blocks[1300] = s.Blocks[1290] }, 1300},
		{"a leaf's hash", func(s *storetest.State) { s.Hashes[0][777] = s.Hashes[0][776] }, 777},
		{"a leaf's hash is missing", func(s *storetest.State) { delete(s.Hashes[0], 777) }, 777},
		{"two leaf hashes are swapped", func(s *storetest.State) { s.Hashes[0][31], s.Hashes[0][900] = s.Hashes[0][900], s.Hashes[0][31] }, 31},
		{"a hash of level 1", func(s *storetest.State) { s.Hashes[1][2] = s.Hashes[1][1] }, 512},
		{"a hash of level 1 is missing", func(s *storetest.State) { delete(s.Hashes[1], 3) }, 768},
		{"everything but the checkpoints is of another log", func(s *storetest.State) {
			s.Blocks, s.Hashes, s.Markers, s.Postings = other.Blocks, other.Hashes, other.Markers, other.Postings
		}, 510}, // the first entry that the checkpoint of size 510 does not vouch for; 512 is the first that was changed
		{"a signature", func(s *storetest.State) { s.Checkpoints[600] = flip(s.Checkpoints[600], len(s.Checkpoints[600])-20) }, 590},
		{"the newest signature", func(s *storetest.State) { s.Checkpoints[1300] = flip(s.Checkpoints[1300], len(s.Checkpoints[1300])-20) }, -1},
		{"a checkpoint of another size", func(s *storetest.State) { s.Checkpoints[600] = s.Checkpoints[610] }, 590},
		{"a checkpoint of another log", func(s *storetest.State) { s.Checkpoints[600] = other.Checkpoints[600] }, 590},
		{"a checkpoint over entries that are not there", func(s *storetest.State) {
			s.Checkpoints[1301], _ = receipt.NewCheckpoint(tlog.Tree{N: 1301}, signer)
		}, 1300},
		{"the tail is dropped", func(s *storetest.State) { delete(s.Checkpoints, 1300) }, 1290},
		{"the tail is dropped with its blocks", func(s *storetest.State) {
			delete(s.Checkpoints, 1300)
			delete(s.Blocks, 1290)
			for i := range int64(10) {
				delete(s.Hashes[0], 1290+i)
			}
		}, 1290}, // the stream still knows
		{"a stream's state", func(s *storetest.State) { s.Streams[[32]byte{7}] = []byte{1, 2, 3} }, -1},
		{"a posting is missing", func(s *storetest.State) { delete(s.Postings, key("only777", 24)) }, 777},
		{"a posting too many", func(s *storetest.State) { s.Postings[key("only777", 25)] = []byte{5} }, 805},
		{"a position is missing", func(s *storetest.State) {
			k := key("all", 10)
			s.Postings[k] = s.Postings[k][:len(s.Postings[k])-1]
		}, 351},
		{"a position is another", func(s *storetest.State) { s.Postings[key("only777", 24)] = []byte{8} }, 776},
		{"a posting is damaged", func(s *storetest.State) { s.Postings[key("only777", 24)] = []byte{0xff} }, 768},
		{"a posting of a run that is not there", func(s *storetest.State) { s.Postings[key("only777", 39)] = []byte{9} }, 39 * 32},
		{"another time in a marker", func(s *storetest.State) { s.Markers[24] = flip(s.Markers[24], len(s.Markers[24])-2) }, 768},
		{"a run beyond the end", func(s *storetest.State) { s.Markers[41] = s.Markers[24] }, 1300},
		{"a body and, in front of it, a posting", func(s *storetest.State) {
			s.Blocks[780] = other.Blocks[780]
			delete(s.Postings, key("only777", 24))
		}, 777},
		{"a body and, after it, a posting", func(s *storetest.State) {
			s.Blocks[770] = other.Blocks[770]
			delete(s.Postings, key("only777", 24))
		}, 770},
	}
	delete(good.Markers, 39) // a run that is missing is no fault: see "a posting of a run that is not there"
	for k := range maps.Clone(good.Postings) {
		if k.Run == 39 {
			delete(good.Postings, k)
		}
	}
	audit(t, storetest.NewMemory(&good), small())
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bad := good.Clone()
			test.tamper(&bad)
			last := int64(0)
			_, err := ledger.Audit(t.Context(), storetest.NewMemory(&bad), small(), func(done, total int64) {
				if done < last || done > total {
					t.Errorf("progress %d of %d after %d", done, total, last)
				}
				last = done
			})
			var wrong *ledger.AuditError
			if !errors.As(err, &wrong) {
				t.Fatalf("%v", err)
			}
			if wrong.Index != test.want {
				t.Errorf("index %d, want %d: %v", wrong.Index, test.want, err)
			}
		})
	}
}

func TestAuditAsksForTheRightSaltAndTerms(t *testing.T) {
	good := auditable(t)
	o := small()
	o.Salt = func(i int64) [32]byte { s := salt(i); s[0] ^= byte(i / 700); return s }
	var wrong *ledger.AuditError
	if _, err := ledger.Audit(t.Context(), storetest.NewMemory(&good), o, nil); !errors.As(err, &wrong) || wrong.Index != 700 {
		t.Errorf("other salts from 700 on: %v", err)
	}
	calls := int64(0)
	if _, err := ledger.Audit(t.Context(), storetest.NewMemory(&good), small(), func(done, total int64) { calls = done }); err != nil || calls != 1300 {
		t.Errorf("%v after %d", err, calls)
	}
}
