package breach

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"hippad"
	"hippad/internal/repository"
	"hippad/receipt"
)

// Verified is what a packet that holds says.
type Verified struct {
	Case      Case   `json:"case"`
	Log       string `json:"log"`
	Own       int    `json:"own"`                // entries of the case itself
	Scope     int    `json:"scope"`              // entries of its scope
	Destroyed int    `json:"destroyed,omitzero"` // of them, those whose content is gone: only that they were is proved
	Sealed    int64  `json:"sealed"`             // index of the entry that has recorded the packet
	Changed   bool   `json:"changed,omitzero"`   // the list of whom it affects is not the one that was written down: README.txt says why
}

// A WrongFile is the first file of a packet that does not hold.
type WrongFile struct {
	Name   string
	Reason string
}

func (w *WrongFile) Error() string { return w.Name + ": " + w.Reason }

const (
	maxPacketFile = 1 << 30
	maxNameLength = 200
)

// VerifyPacket checks offline that a packet is what Packet wrote: every entry by its receipt under the key of the log, the case as its entries replayed, the list
// of whom it affects by its hash, every file by the sums, and the sums by the log. read is the log's reader. The error is a *WrongFile where one can
// be named: the first in the archive, or one that is missing.
func VerifyPacket(r io.Reader, v note.Verifier, read hippad.Reader) (Verified, error) {
	c := &checker{verifier: v, read: read, state: newState(), sums: map[string]sum{}, wanted: map[int64]bool{}}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil && c.last != "" {
			return Verified{}, &WrongFile{c.last, "what comes after it in the archive cannot be read"}
		}
		if err != nil {
			return Verified{}, fmt.Errorf("this is no evidence packet: %w", err)
		}
		if err := c.file(h, t); err != nil {
			return Verified{}, err
		}
	}
	if wrong := c.judge(); wrong != nil {
		return Verified{}, wrong
	}
	c.out.Log = v.Name()
	return c.out, nil
}

type (
	sum struct {
		place int
		hash  [sha256.Size]byte
	}
	finding struct {
		place int
		WrongFile
	}
	// A checker has seen a packet from its beginning up to some file.
	checker struct {
		verifier note.Verifier
		read     hippad.Reader
		out      Verified

		sums     map[string]sum
		state    *state
		wanted   map[int64]bool // entries of the list; true when they were there
		lines    []byte         // of SHA256SUMS
		listed   [sha256.Size]byte
		shown    []byte // case.json
		sealedAs *sealed
		sealedOf int64
		findings []finding

		last  string // the file before
		name  string // of the entry whose files are being read, without suffix
		told  []byte // its .json, as it is in the archive
		meta  *meta
		proof []byte
		open  int // place of its first file
	}
)

func (c *checker) wrong(place int, name, format string, args ...any) {
	c.findings = append(c.findings, finding{place, WrongFile{name, fmt.Sprintf(format, args...)}})
}

func (c *checker) file(h *tar.Header, r io.Reader) error {
	place := len(c.sums)
	if _, twice := c.sums[h.Name]; twice || h.Typeflag != tar.TypeReg || sparse(h) || len(h.Name) > maxNameLength || h.Size > maxPacketFile {
		return &WrongFile{strings.ToValidUTF8(h.Name[:min(len(h.Name), maxNameLength)], "?"), "it is there twice, or is no file of a packet"}
	}
	content, err := io.ReadAll(io.LimitReader(r, maxPacketFile))
	if err != nil {
		return &WrongFile{h.Name, "it cannot be read to its end"}
	}
	hash := sha256.Sum256(content)
	c.sums[h.Name], c.last = sum{place, hash}, h.Name
	name, suffix := h.Name, ""
	for _, s := range []string{suffixMeta, suffixProof, suffixBody} {
		if n, ok := strings.CutSuffix(h.Name, s); ok && h.Name != fileCase {
			name, suffix = n, s
		}
	}
	if c.lines != nil && name != fileSeal { // nothing vouches for it
		c.wrong(place, h.Name, "it comes after %s", fileSums)
	}
	if suffix != "" && (strings.HasPrefix(name, folderCase) || strings.HasPrefix(name, folderScope) || name == fileSeal) {
		c.part(place, name, suffix, content)
		return nil
	}
	c.endEntry()
	switch h.Name {
	case fileReadme:
	case fileKey:
		if key, err := note.NewVerifier(strings.TrimSpace(string(content))); err != nil || key.Name() != c.verifier.Name() || key.KeyHash() != c.verifier.KeyHash() {
			c.wrong(place, h.Name, "it is not the key that was given")
		}
	case fileCase:
		c.shown = content
	case fileScope:
		c.listed = hash
		c.list(place, content)
	case fileSums:
		c.lines = content
	default:
		c.wrong(place, h.Name, "it does not belong to a packet")
	}
	return nil
}

// sparse tells a file whose holes would make it long without bytes.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// list takes the entries that prove whom the case affects.
func (c *checker) list(place int, content []byte) {
	for line := range bytes.Lines(content) {
		var p Person
		if err := json.Unmarshal(line, &p); err != nil {
			c.wrong(place, fileScope, "a line is not a person with entries")
			return
		}
		for _, i := range p.Entries {
			c.wanted[i] = false
		}
	}
}

// part takes one of the files of an entry, which come as .json, .tlog-proof and, if its content was not destroyed, .body.
func (c *checker) part(place int, name, suffix string, content []byte) {
	if suffix == suffixMeta {
		c.endEntry()
		c.name, c.open, c.meta, c.proof, c.told = name, place, &meta{}, nil, content
		if err := json.Unmarshal(content, c.meta); err != nil {
			c.wrong(place, name+suffix, "it does not describe an entry")
		}
		return
	}
	if name != c.name || c.meta == nil {
		c.wrong(place, name+suffix, "it is out of place")
		return
	}
	if suffix == suffixProof {
		c.proof = content
		if c.meta.Destroyed {
			c.gone(place)
		}
		return
	}
	proof, err := receipt.Verify(c.proof, content, c.verifier)
	var mismatch *receipt.Mismatch
	switch {
	case errors.As(err, &mismatch) && mismatch.Step == "body":
		c.wrong(place, name+suffix, "%v", err)
	case err != nil:
		c.wrong(place, name+suffixProof, "%v", err)
	default:
		c.entry(place, proof, content)
	}
	c.meta = nil
}

// gone takes an entry of which nothing but the receipt is left.
func (c *checker) gone(place int) {
	proof, err := receipt.VerifyLeaf(c.proof, c.verifier)
	if err != nil {
		c.wrong(place, c.name+suffixProof, "%v", err)
		c.meta = nil
		return
	}
	c.belongs(place, proof)
	c.out.Destroyed++
	c.meta = nil
}

// endEntry tells an entry without its body.
func (c *checker) endEntry() {
	if c.meta != nil && c.name != "" {
		c.wrong(c.open, c.name+suffixBody, "it is missing")
	}
	c.meta, c.name = nil, ""
}

// belongs compares an entry's description and name with its leaf.
func (c *checker) belongs(place int, p receipt.Proof) bool {
	m, l := c.meta, p.Leaf
	folder, number, _ := strings.Cut(c.name, "/")
	index, err := strconv.ParseInt(number, 10, 64)
	switch {
	case m.Index != p.Index, !m.Received.Equal(l.Received), m.Door != l.Door.String(), m.Media != l.Media, m.Fault != l.Fault.String(), !m.Destroyed && m.Reporter.Key() != l.Reporter,
		c.name != fileSeal && (err != nil || index != p.Index):
		c.wrong(place, c.name+suffixMeta, "it does not describe the entry of the receipt")
		return false
	}
	switch folder + "/" {
	case folderScope:
		if _, ok := c.wanted[index]; !ok {
			c.wrong(place, c.name+suffixBody, "no line of %s names it", fileScope)
		}
		c.wanted[index] = true
		c.out.Scope++
	case folderCase:
		c.out.Own++
	}
	return true
}

// describedBy compares the seal's description, of which no sum is recorded, with the only one that there can be: that of an entry by the log itself.
func (c *checker) describedBy(place int, p receipt.Proof) {
	l := p.Leaf
	self := hippad.Principal{Kind: hippad.KindSelf, ID: c.verifier.Name()}
	text, err := json.Marshal(meta{p.Index, l.Received, l.Door.String(), self, l.Media, l.Fault.String(), false})
	if err != nil || !bytes.Equal(append(text, '\n'), c.told) {
		c.wrong(place, fileSeal+suffixMeta, "it does not describe the entry of the receipt")
	}
}

// entry takes one that is proved.
func (c *checker) entry(place int, p receipt.Proof, body []byte) {
	if !c.belongs(place, p) || strings.HasPrefix(c.name, folderScope) {
		return
	}
	r, ok := repository.RecordOf[record](c.read(hippad.Report{Media: p.Leaf.Media, Fault: p.Leaf.Fault, Body: body}), detailType)
	if !ok || p.Leaf.Door != hippad.DoorSelf {
		c.wrong(place, c.name+suffixBody, "it is no step of a case")
		return
	}
	if c.name == fileSeal {
		c.describedBy(place, p)
		c.sealedAs, c.sealedOf, c.out.Sealed = r.Packet, r.Case, p.Index
		return
	}
	c.state.fold(p.Index, p.Leaf.Received, r)
}

// judge says what is wrong with the whole, nil if nothing is.
func (c *checker) judge() error {
	c.endEntry()
	end := math.MaxInt
	if c.lines == nil {
		c.wrong(end, fileSums, "it is missing: the packet is not whole")
	} else {
		hash := c.sums[fileSums].hash
		switch {
		case c.sealedAs == nil:
			c.wrong(end, fileSeal+suffixBody, "it is missing, or does not say what the packet holds")
			c.compareSums()
		case c.sealedAs.SHA256 != hex.EncodeToString(hash[:]): // so nothing that it says counts
			c.wrong(c.sums[fileSums].place, fileSums, "it is not the one that the log has recorded")
		default:
			c.compareSums()
		}
	}
	c.compareCase()
	missing := []int64{}
	for i, there := range c.wanted {
		if !there {
			missing = append(missing, i)
		}
	}
	if len(missing) > 0 {
		c.wrong(end, fmt.Sprintf("%s%d%s", folderScope, slices.Min(missing), suffixBody), "it is missing")
	}
	if len(c.findings) == 0 {
		return nil
	}
	first := slices.MinFunc(c.findings, func(a, b finding) int { return cmp.Compare(a.place, b.place) })
	return &first.WrongFile
}

// compareSums compares every file before the sums with its line.
func (c *checker) compareSums() {
	end := c.sums[fileSums].place
	listed := map[string]bool{}
	for s := bufio.NewScanner(bytes.NewReader(c.lines)); s.Scan(); {
		text, name, ok := strings.Cut(s.Text(), "  ")
		have, there := c.sums[name]
		switch {
		case !ok:
			c.wrong(end, fileSums, "a line is not a sum and a name")
			return
		case !there:
			c.wrong(math.MaxInt, name, "it is missing")
		case hex.EncodeToString(have.hash[:]) != text:
			c.wrong(have.place, name, "it was changed")
		}
		listed[name] = true
	}
	for name, s := range c.sums {
		if s.place < end && !listed[name] {
			c.wrong(s.place, name, "it is not in %s", fileSums)
		}
	}
}

// compareCase compares what the packet shows of the case with what its entries come to.
func (c *checker) compareCase() {
	at := c.sums[fileCase].place
	if len(c.findings) > 0 { // what is wrong with an entry makes the case another one
		at = math.MaxInt
	}
	if c.shown == nil {
		c.wrong(at, fileCase, "it is missing")
		return
	}
	if len(c.state.cases) != 1 {
		c.wrong(at, fileCase, "the entries in %s are not those of one case", folderCase)
		return
	}
	for id, replayed := range c.state.cases {
		c.out.Case = replayed.clone()
		text, err := json.Marshal(c.out.Case, json.Deterministic(true))
		if err != nil || !bytes.Equal(append(text, '\n'), c.shown) {
			c.wrong(at, fileCase, "it is not what the entries in %s come to", folderCase)
		}
		if c.sealedAs != nil && c.sealedOf != id {
			c.wrong(math.MaxInt, fileSeal+suffixBody, "it is of another case")
		}
		c.out.Changed = replayed.Scope != nil && replayed.Scope.SHA256 != hex.EncodeToString(c.listed[:])
	}
}
