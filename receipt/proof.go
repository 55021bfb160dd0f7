package receipt

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"hippad"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	// maxProof bounds what Parse looks at: 63 path lines and a checkpoint with dozens of cosignatures fit many times.
	maxProof = 64 << 10
	// maxPath is the depth of a tree with 2^63 leaves.
	maxPath = 63
)

// A Proof is what a receipt says. As text it is a C2SP tlog-proof whose extra line holds salt ‖ leaf: what is needed,
// with the body, to find out that this is the leaf.
type Proof struct {
	Index      int64
	Salt       [sha256.Size]byte
	Leaf       Leaf
	Path       tlog.RecordProof
	Checkpoint []byte
}

// Marshal returns the receipt's text.
func (p Proof) Marshal() hippad.Receipt {
	var b bytes.Buffer
	extra := p.Leaf.Append(bytes.Clone(p.Salt[:]))
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofHeader, base64.StdEncoding.EncodeToString(extra), p.Index)
	for _, h := range p.Path {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// Parse reads the text of a receipt. Nothing is proved by that: see Verify.
func Parse(text hippad.Receipt) (Proof, error) {
	if len(text) > maxProof {
		return Proof{}, fmt.Errorf("receipt of %d bytes: over %d", len(text), maxProof)
	}
	head, checkpoint, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		return Proof{}, errors.New("receipt: no empty line before the checkpoint")
	}
	lines := strings.Split(head, "\n")
	if lines[0] != proofHeader {
		return Proof{}, fmt.Errorf("not a receipt: the first line is not %s", proofHeader)
	}
	if len(lines) < 3 {
		return Proof{}, errors.New("receipt: extra or index line missing")
	}
	p := Proof{Checkpoint: []byte(checkpoint)}
	extra, err := decodeLine(strings.TrimPrefix(lines[1], "extra "))
	if err != nil || !strings.HasPrefix(lines[1], "extra ") || len(extra) < sha256.Size {
		return Proof{}, errors.New("receipt: the second line is not extra with a salt and a leaf")
	}
	copy(p.Salt[:], extra)
	if p.Leaf, err = ParseLeaf(extra[sha256.Size:]); err != nil {
		return Proof{}, fmt.Errorf("receipt: %w", err)
	}
	index, ok := strings.CutPrefix(lines[2], "index ")
	if p.Index, err = strconv.ParseInt(index, 10, 64); !ok || err != nil || p.Index < 0 || strconv.FormatInt(p.Index, 10) != index {
		return Proof{}, errors.New("receipt: the third line is not index and a plain decimal number")
	}
	if len(lines)-3 > maxPath {
		return Proof{}, fmt.Errorf("receipt: more than %d hashes", maxPath)
	}
	for i, line := range lines[3:] {
		h, err := decodeLine(line)
		if err != nil || len(h) != tlog.HashSize {
			return Proof{}, fmt.Errorf("receipt: hash %d is not 32 bytes of base64", i)
		}
		p.Path = append(p.Path, tlog.Hash(h))
	}
	return p, nil
}

func decodeLine(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("line break inside base64")
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// A Mismatch says which step of Verify failed: in a well-formed receipt, something does not belong together.
type Mismatch struct {
	Step string // "body", "path" or "checkpoint"
	Err  error
}

func (m *Mismatch) Error() string { return m.Err.Error() }
func (m *Mismatch) Unwrap() error { return m.Err }

// Verify checks offline that body is the report at the proof's index in the log that v belongs to, and returns
// the proof's content. The error is a *Mismatch when the receipt can be read but does not hold.
func Verify(text hippad.Receipt, body []byte, v note.Verifier) (Proof, error) {
	p, err := Parse(text)
	if err != nil {
		return Proof{}, err
	}
	if p.Leaf.Length != int64(len(body)) || p.Leaf.Commitment != Commit(p.Salt, sha256.Sum256(body)) {
		return Proof{}, &Mismatch{"body", errors.New("this is not the body that the receipt is for")}
	}
	if err := p.included(v); err != nil {
		return Proof{}, err
	}
	return p, nil
}

// VerifyLeaf checks offline that the proof's leaf is at its index in the log that v belongs to, and returns the proof's content. It is what can be
// checked of an entry whose body is gone: of the body it says nothing. The errors are those of Verify.
func VerifyLeaf(text hippad.Receipt, v note.Verifier) (Proof, error) {
	p, err := Parse(text)
	if err != nil {
		return Proof{}, err
	}
	if err := p.included(v); err != nil {
		return Proof{}, err
	}
	return p, nil
}

// included tells why the leaf is not in the log that v belongs to.
func (p Proof) included(v note.Verifier) error {
	tree, err := OpenCheckpoint(p.Checkpoint, v)
	if err != nil {
		return &Mismatch{"checkpoint", err}
	}
	if p.Index >= tree.N {
		return &Mismatch{"path", fmt.Errorf("entry %d is not in a tree of %d", p.Index, tree.N)}
	}
	if err := tlog.CheckRecord(p.Path, tree.N, tree.Hash, p.Index, tlog.RecordHash(p.Leaf.Append(nil))); err != nil {
		return &Mismatch{"path", fmt.Errorf("the hashes do not lead from entry %d to the signed root", p.Index)}
	}
	return nil
}
