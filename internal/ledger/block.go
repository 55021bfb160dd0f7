package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/receipt"
)

// Sizes of a block.
const (
	blockEntries = 16        // entries in a block, at most
	blockBytes   = 256 << 10 // bodies in a block, unless a single one is bigger

	blockFormat1  = 1
	blockFormat2  = 2
	notSealed     = 0 // key id of content that is not sealed
	noDictionary  = 0
	dictionary1   = 1
	maxPurges     = 64 // times that a block may be purged
	maxLeafLength = 200
	maxPrincipal  = 4096 // kind, id, name and organisation of a reporter together
	// maxSection bounds what one section of a block may unfold to: one body of MaxBody, or sixteen small ones.
	maxSection = MaxBody + blockBytes + blockEntries*(maxPrincipal+64)
)

// MaxBody is the longest body, in bytes, that the ledger takes.
const MaxBody = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head is what stands in a block in front of its sections. The format, 2:
//
//	offset  bytes  field
//	     0      1  format, 2
//	     1      1  dictionary of the content: 0 none, 1 dictionary/1.txt
//	     2      4  CRC-32C, big-endian, of the bytes 0 and 1 and of everything after it
//	     6         key id, uvarint: 0, the content is not sealed
//	               first index, uvarint
//	               number of entries, uvarint
//	               number of purges, uvarint, and for each, in order: the key id that was purged, uvarint; a bitmap, uvarint, of the
//	                 entries whose content ended with it, the first entry in the lowest bit
//	               leaves: length, uvarint, and a zstd frame
//	               content: length, uvarint, and a zstd frame with the dictionary, sealed with the key; empty if no entry has any
//
// Leaves, unfolded, are the leaf of each entry, its length (uvarint) in front. Content, unfolded, is for each entry that has
// its content the reporter's kind, id, name and organisation and the body, each with its length (uvarint) in front. What
// the content is sealed with authenticates the bytes 0 and 1 and those from 6 to the end of the purges.
//
// Format 1, which is read but not written any more, had the key id, always 0, as one byte in front of the dictionary, no purges
// and no organisation.
type head struct {
	format     byte
	dictionary byte
	key        uint32
	first      int64
	count      int
	purges     []purged
}

// purged says what of a block ended with a key.
type purged struct {
	key  uint32
	bits uint64
}

// destroyed returns the bitmap of the entries that have no content any more.
func (h *head) destroyed() uint64 {
	var all uint64
	for _, p := range h.purges {
		all |= p.bits
	}
	return all
}

// living returns how many entries have their content.
func (h *head) living() int { return h.count - bits.OnesCount64(h.destroyed()) }

func (h *head) end() int64 { return h.first + int64(h.count) }

// fields appends everything of a head of format 2 that follows the checksum.
func (h *head) fields(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(h.key))
	b = binary.AppendUvarint(b, uint64(h.first))
	b = binary.AppendUvarint(b, uint64(h.count))
	b = binary.AppendUvarint(b, uint64(len(h.purges)))
	for _, p := range h.purges {
		b = binary.AppendUvarint(b, uint64(p.key))
		b = binary.AppendUvarint(b, p.bits)
	}
	return b
}

// sumAt returns where in a block of a format the checksum stands.
func sumAt(format byte) int {
	if format == blockFormat1 {
		return 3
	}
	return 2
}

// blockSum returns the checksum that the block should have. The block must be at least as long as its fixed part.
func blockSum(value []byte) uint32 {
	at := sumAt(value[0])
	return crc32.Update(crc32.Update(0, castagnoli, value[:at]), castagnoli, value[at+4:])
}

// packLeaves writes the section of the leaves.
func (c *codec) packLeaves(leaves [][]byte) []byte {
	var plain []byte
	for _, leaf := range leaves {
		plain = appendPrefixed(plain, leaf)
	}
	return c.leaves.EncodeAll(plain, nil)
}

// encodeBlock writes a block of format 2, whose head names the key of its content. Entries are those that have their
// content, in order; leaves are as packLeaves gives them.
func (c *codec) encodeBlock(h head, leaves []byte, entries []*hippad.Entry, key dataKey) Block {
	h.format, h.dictionary = blockFormat2, dictionary1
	var content []byte
	if len(entries) > 0 {
		content = c.packContent(entries)
	}
	value := make([]byte, 6, 6+len(leaves)+len(content)+96+12*len(h.purges))
	value[0], value[1] = h.format, h.dictionary
	value = h.fields(value)
	authenticated := append(append(make([]byte, 0, len(value)), value[:2]...), value[6:]...)
	value = appendPrefixed(value, leaves)
	if len(content) > 0 && key.id != notSealed {
		value = binary.AppendUvarint(value, uint64(len(content)+key.aead.Overhead()))
		value = key.aead.Seal(value, nil, content, authenticated)
	} else {
		value = appendPrefixed(value, content)
	}
	binary.BigEndian.PutUint32(value[2:], blockSum(value))
	return Block{First: h.first, Value: value}
}

func appendPrefixed[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// opened is a block whose leaves are unfolded.
type opened struct {
	head
	leaves        [][]byte
	packedLeaves  []byte
	packed        []byte // the content, as it stands in the block
	authenticated []byte // what the content's seal covers besides the content
}

var errBlock = errors.New("damaged")

// open checks a block and unfolds its leaves.
func (c *codec) open(b Block) (*opened, error) {
	o, err := c.openValue(b)
	if err != nil {
		return nil, fmt.Errorf("block at %d: %w", b.First, err)
	}
	return o, nil
}

func (c *codec) openValue(b Block) (*opened, error) {
	v := b.Value
	if len(v) == 0 {
		return nil, fmt.Errorf("%w: it is empty", errBlock)
	}
	at := sumAt(v[0])
	switch {
	case v[0] != blockFormat1 && v[0] != blockFormat2:
		return nil, fmt.Errorf("%w: format %d, this program knows only 1 and 2", errBlock, v[0])
	case len(v) < at+4:
		return nil, fmt.Errorf("%w: %d bytes are too few", errBlock, len(v))
	case binary.BigEndian.Uint32(v[at:]) != blockSum(v):
		return nil, fmt.Errorf("%w: checksum", errBlock)
	}
	r := reader{rest: v[at+4:]}
	o := &opened{head: head{format: v[0], dictionary: v[at-1]}}
	if err := o.readHead(v, &r); err != nil {
		return nil, err
	}
	o.authenticated = append(append(make([]byte, 0, len(v)-len(r.rest)), v[:at]...), v[at+4:len(v)-len(r.rest)]...)
	o.packedLeaves, o.packed = r.prefixed(), r.prefixed()
	switch {
	case r.bad || len(r.rest) > 0:
		return nil, fmt.Errorf("%w: sections", errBlock)
	case o.first != b.First:
		return nil, fmt.Errorf("%w: it belongs at %d", errBlock, o.first)
	case (o.living() == 0) != (len(o.packed) == 0):
		return nil, fmt.Errorf("%w: %d of its entries have content, which takes %d bytes", errBlock, o.living(), len(o.packed))
	}
	return o, c.openLeaves(o)
}

// readHead reads what stands between the checksum and the sections.
func (h *head) readHead(v []byte, r *reader) error {
	key := uint64(v[1])
	if h.format == blockFormat2 {
		key = r.uvarint()
	}
	first, count := r.uvarint(), r.uvarint()
	purges := uint64(0)
	if h.format == blockFormat2 {
		purges = r.uvarint()
	}
	switch {
	case h.format == blockFormat1 && key != notSealed:
		return fmt.Errorf("%w: key %d in a block of format 1", errBlock, key)
	case r.bad || count == 0 || count > blockEntries || first > math.MaxInt64-blockEntries || key > math.MaxUint32 || purges > maxPurges:
		return fmt.Errorf("%w: header", errBlock)
	case h.dictionary != noDictionary && h.dictionary != dictionary1:
		return fmt.Errorf("%w: dictionary %d is not known", errBlock, h.dictionary)
	}
	h.key, h.first, h.count = uint32(key), int64(first), int(count)
	var all uint64
	for range purges {
		key, bits := r.uvarint(), r.uvarint()
		if r.bad || key == notSealed || key > math.MaxUint32 || bits>>count != 0 || bits&all != 0 {
			return fmt.Errorf("%w: purges", errBlock)
		}
		all |= bits
		h.purges = append(h.purges, purged{uint32(key), bits})
	}
	return nil
}

func (c *codec) openLeaves(o *opened) error {
	plain, err := c.unfold(c.decodePlain, o.packedLeaves, blockEntries*(maxLeafLength+2))
	if err != nil {
		return fmt.Errorf("leaves: %w", err)
	}
	r := reader{rest: plain}
	o.leaves = make([][]byte, o.count)
	for i := range o.leaves {
		o.leaves[i] = r.prefixed()
	}
	if r.bad || len(r.rest) > 0 {
		return fmt.Errorf("leaves: %w", errBlock)
	}
	return nil
}

// leaf reads the leaf of entry i.
func (o *opened) leaf(i int) (receipt.Leaf, error) {
	leaf, err := receipt.ParseLeaf(o.leaves[i])
	if err != nil {
		return leaf, fmt.Errorf("block at %d: %w", o.first, err)
	}
	return leaf, nil
}

// hash returns the leaf hash of entry i.
func (o *opened) hash(i int) tlog.Hash { return tlog.RecordHash(o.leaves[i]) }
