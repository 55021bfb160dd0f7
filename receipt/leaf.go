// Package receipt makes and checks the proof that a report is in the log: the leaf, the signed checkpoint and the
// receipt, which is a C2SP tlog-proof file.
//
// It does no I/O and reads no clock: whoever holds a receipt, the body and the log's public key can check it anywhere,
// for ever. The log that hands receipts out is internal/ledger. The invariant: a leaf holds nothing of the body, only a
// salted commitment to it, so that leaves can be shown to strangers and outlive the content they commit to. The
// format is specified in docs/receipts.md, with test vectors in vectors/receipt.
package receipt

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"hippad"
)

// leafVersion is the first byte of every leaf.
const leafVersion = 1

// leafFixed is the length of a leaf without its media type.
const leafFixed = 1 + 8 + 1 + 1 + 8 + 8 + 1 + sha256.Size

// A Leaf is what the Merkle tree is built over: one small record for each entry.
//
//	offset  bytes  field
//	     0      1  version, 1
//	     1      8  received, microseconds since 1970-01-01 UTC
//	     9      1  door code
//	    10      1  fault code
//	    11      8  reporter key, see hippad.Principal.Key
//	    19      8  length of the body
//	    27      1  length of the media type, n
//	    28      n  media type
//	28 + n     32  commitment to the body
//
// Integers are big-endian.
type Leaf struct {
	Received   time.Time
	Door       hippad.Door
	Fault      hippad.Fault
	Reporter   [8]byte
	Media      string
	Length     int64
	Commitment [sha256.Size]byte
}

// NewLeaf returns the leaf of e, given its salt and the SHA-256 of its body.
func NewLeaf(e hippad.Entry, salt, digest [sha256.Size]byte) Leaf {
	return Leaf{
		Received: e.Received, Door: e.Door, Fault: e.Fault, Reporter: e.Reporter.Key(),
		Media: e.Media, Length: int64(len(e.Body)), Commitment: Commit(salt, digest),
	}
}

// Commit returns SHA-256(salt ‖ digest), where digest is the SHA-256 of the body. The salt is secret until a receipt shows
// it: without it, a leaf would let anybody test a guess of the body.
func Commit(salt, digest [sha256.Size]byte) [sha256.Size]byte {
	var b [2 * sha256.Size]byte
	copy(b[:], salt[:])
	copy(b[sha256.Size:], digest[:])
	return sha256.Sum256(b[:])
}

// Append appends the bytes of the leaf to b. Media must not be longer than hippad.MaxMedia.
func (l Leaf) Append(b []byte) []byte {
	b = append(b, leafVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Received.UnixMicro()))
	b = append(b, byte(l.Door), byte(l.Fault))
	b = append(b, l.Reporter[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Length))
	b = append(b, byte(len(l.Media)))
	b = append(b, l.Media...)
	return append(b, l.Commitment[:]...)
}

// ParseLeaf reads exactly one leaf. What it accepts, Append writes again to the same bytes.
func ParseLeaf(b []byte) (Leaf, error) {
	if len(b) < leafFixed {
		return Leaf{}, fmt.Errorf("leaf of %d bytes: too short", len(b))
	}
	if b[0] != leafVersion {
		return Leaf{}, fmt.Errorf("leaf version %d: this program knows only %d", b[0], leafVersion)
	}
	n := int(b[27])
	switch length := binary.BigEndian.Uint64(b[19:]); {
	case n > hippad.MaxMedia || len(b) != leafFixed+n:
		return Leaf{}, errors.New("leaf: media type does not fit its length")
	case length > 1<<62:
		return Leaf{}, errors.New("leaf: impossible body length")
	}
	l := Leaf{
		Received: time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:]))).UTC(),
		Door:     hippad.Door(b[9]), Fault: hippad.Fault(b[10]), Reporter: [8]byte(b[11:19]),
		Length: int64(binary.BigEndian.Uint64(b[19:])), Media: string(b[28 : 28+n]),
	}
	copy(l.Commitment[:], b[28+n:])
	return l, nil
}
