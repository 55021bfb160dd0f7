package localstore

import (
	"encoding/binary"
	"fmt"
)

// The first byte of a key says what it is. Postings and markers of runs stand next to each other, and nothing else between
// them, so that a run is one sorted file that lies across no other key. Integers are big-endian, so that keys sort by number.
const (
	keyBlock      = 'b' // first index (8)                    -> block
	keyCheckpoint = 'c' // size (8)                           -> signed checkpoint of a commit
	keyFormat     = 'f' //                                    -> number of the format (4)
	keyHash       = 'h' // level (1), first index (8)         -> hashes (32 each)
	keyPosting    = 'i' // term (8), run (4)                  -> offsets
	keyRun        = 'r' // run (4)                            -> marker
	keyStream     = 's' // stream (32)                        -> state
)

func key64(kind byte, n int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(n))
}

func hashKey(level int, n int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyHash, byte(level)}, uint64(n))
}

func postingKey(b []byte, term uint64, run int64) []byte {
	b = binary.BigEndian.AppendUint64(append(b, keyPosting), term)
	return binary.BigEndian.AppendUint32(b, uint32(run))
}

func runKey(run int64) []byte {
	return binary.BigEndian.AppendUint32([]byte{keyRun}, uint32(run))
}

func streamKey(key [32]byte) []byte { return append([]byte{keyStream}, key[:]...) }

// number reads the n-byte integer that ends a key of the given length.
func number(key []byte, length, n int) (int64, error) {
	if len(key) != length {
		return 0, fmt.Errorf("key of kind %q has %d bytes, want %d", key[0], len(key), length)
	}
	var v uint64
	for _, b := range key[length-n:] {
		v = v<<8 | uint64(b)
	}
	if int64(v) < 0 {
		return 0, fmt.Errorf("key of kind %q has an impossible number", key[0])
	}
	return int64(v), nil
}
