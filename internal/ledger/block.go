package ledger

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"

	"hippad"
	"hippad/receipt"
)

// Sizes of a block.
const (
	blockEntries = 16        // entries in a block, at most
	blockBytes   = 256 << 10 // bodies in a block, unless a single one is bigger

	blockFormat   = 1
	notSealed     = 0 // key id of content that is not sealed
	noDictionary  = 0
	dictionary1   = 1
	blockHeader   = 3 + 4 // format, key id, dictionary, checksum
	maxLeafLength = 200
	maxPrincipal  = 4096 // kind, id and name of a reporter together
	// maxSection bounds what one section of a block may unfold to: one body of MaxBody, or sixteen small ones.
	maxSection = MaxBody + blockBytes + blockEntries*(maxPrincipal+64)
)

// MaxBody is the longest body, in bytes, that the ledger takes.
const MaxBody = 64 << 20

//go:embed dictionary/1.txt
var dictionaryText1 []byte

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// codec turns entries into block values and back. It is safe for concurrent use.
//
//	offset  bytes  field
//	     0      1  format, 1
//	     1      1  key id: 0, the content is not sealed
//	     2      1  dictionary of the content: 0 none, 1 dictionary/1.txt
//	     3      4  CRC-32C, big-endian, of the bytes 0 to 2 and of everything after it
//	     7         first index, uvarint
//	               number of entries, uvarint
//	               leaves: length, uvarint, and a zstd frame
//	               content: length, uvarint, and a zstd frame with the dictionary
//
// Leaves, unfolded, are the leaf of each entry, its length (uvarint) in front. Content, unfolded, is for each entry the
// reporter's kind, id and name and the body, each with its length (uvarint) in front. Content can be destroyed without
// touching the leaves.
type codec struct {
	leaves, content     *zstd.Encoder
	decode, decodePlain *zstd.Decoder
}

func newCodec(concurrency int) (*codec, error) {
	var c codec
	var errs [4]error
	options := []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(concurrency)}
	c.leaves, errs[0] = zstd.NewWriter(nil, options...)
	c.content, errs[1] = zstd.NewWriter(nil, append(options, zstd.WithEncoderDictRaw(dictionary1, dictionaryText1))...)
	bounds := []zstd.DOption{zstd.WithDecoderConcurrency(concurrency), zstd.WithDecoderMaxMemory(maxSection)}
	c.decodePlain, errs[2] = zstd.NewReader(nil, bounds...)
	c.decode, errs[3] = zstd.NewReader(nil, append(bounds, zstd.WithDecoderDictRaw(dictionary1, dictionaryText1))...)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &c, nil
}

func (c *codec) close() {
	c.decode.Close()
	c.decodePlain.Close()
}

// encodeBlock returns the block of entries, whose leaves are given as bytes.
func (c *codec) encodeBlock(entries []*item, leaves [][]byte) Block {
	var plain []byte
	for _, leaf := range leaves {
		plain = appendPrefixed(plain, leaf)
	}
	size := 0
	for _, it := range entries {
		size += len(it.entry.Body) + len(it.entry.Reporter.ID) + len(it.entry.Reporter.Name) + 32
	}
	content := make([]byte, 0, size)
	for _, it := range entries {
		content = appendPrefixed(content, string(it.entry.Reporter.Kind))
		content = appendPrefixed(content, it.entry.Reporter.ID)
		content = appendPrefixed(content, it.entry.Reporter.Name)
		content = appendPrefixed(content, it.entry.Body)
	}
	first := entries[0].entry.Index
	packed := c.content.EncodeAll(content, make([]byte, 0, len(content)/4+128))
	value := make([]byte, blockHeader, blockHeader+len(plain)+len(packed)+32)
	copy(value, []byte{blockFormat, notSealed, dictionary1})
	value = binary.AppendUvarint(value, uint64(first))
	value = binary.AppendUvarint(value, uint64(len(entries)))
	value = appendPrefixed(value, c.leaves.EncodeAll(plain, nil))
	value = appendPrefixed(value, packed)
	binary.BigEndian.PutUint32(value[3:], blockSum(value))
	return Block{First: first, Value: value}
}

func appendPrefixed[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func blockSum(value []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, value[:3]), castagnoli, value[blockHeader:])
}

// opened is a block whose leaves are unfolded.
type opened struct {
	first      int64
	leaves     [][]byte
	dictionary byte
	packed     []byte
}

func (o *opened) end() int64 { return o.first + int64(len(o.leaves)) }

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
	switch {
	case len(v) < blockHeader:
		return nil, fmt.Errorf("%w: %d bytes are too few", errBlock, len(v))
	case v[0] != blockFormat:
		return nil, fmt.Errorf("%w: format %d, this program knows only %d", errBlock, v[0], blockFormat)
	case binary.BigEndian.Uint32(v[3:]) != blockSum(v):
		return nil, fmt.Errorf("%w: checksum", errBlock)
	case v[1] != notSealed:
		return nil, fmt.Errorf("sealed with key %d, which this program does not have", v[1])
	case v[2] != noDictionary && v[2] != dictionary1:
		return nil, fmt.Errorf("%w: dictionary %d is not known", errBlock, v[2])
	}
	r := reader{rest: v[blockHeader:]}
	first, count := r.uvarint(), r.uvarint()
	leaves, packed := r.prefixed(), r.prefixed()
	switch {
	case r.bad || len(r.rest) > 0 || count == 0 || count > blockEntries:
		return nil, fmt.Errorf("%w: header", errBlock)
	case first != uint64(b.First):
		return nil, fmt.Errorf("%w: it belongs at %d", errBlock, first)
	}
	plain, err := c.unfold(c.decodePlain, leaves, blockEntries*(maxLeafLength+2))
	if err != nil {
		return nil, fmt.Errorf("leaves: %w", err)
	}
	o := &opened{first: b.First, dictionary: v[2], packed: packed, leaves: make([][]byte, count)}
	r = reader{rest: plain}
	for i := range o.leaves {
		o.leaves[i] = r.prefixed()
	}
	if r.bad || len(r.rest) > 0 {
		return nil, fmt.Errorf("leaves: %w", errBlock)
	}
	return o, nil
}

// unfold decodes one zstd frame of at most limit bytes.
func (c *codec) unfold(d *zstd.Decoder, frame []byte, limit uint64) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(frame); err != nil || h.HasFCS && h.FrameContentSize > limit {
		return nil, fmt.Errorf("%w: zstd header", errBlock)
	}
	out, err := d.DecodeAll(frame, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBlock, err)
	}
	if uint64(len(out)) > limit {
		return nil, fmt.Errorf("%w: unfolds to %d bytes", errBlock, len(out))
	}
	return out, nil
}

// entries unfolds the content. Each entry is what its leaf and its content say; whether the two belong together is for
// Audit to find out.
func (c *codec) entries(o *opened) ([]hippad.Entry, error) {
	fail := func(err error) ([]hippad.Entry, error) {
		return nil, fmt.Errorf("block at %d: content: %w", o.first, err)
	}
	d := c.decodePlain
	if o.dictionary == dictionary1 {
		d = c.decode
	}
	content, err := c.unfold(d, o.packed, maxSection)
	if err != nil {
		return fail(err)
	}
	r := reader{rest: content}
	out := make([]hippad.Entry, len(o.leaves))
	for i := range out {
		leaf, err := receipt.ParseLeaf(o.leaves[i])
		if err != nil {
			return fail(err)
		}
		e := &out[i]
		e.Index, e.Received, e.Door, e.Media, e.Fault = o.first+int64(i), leaf.Received, leaf.Door, leaf.Media, leaf.Fault
		e.Reporter.Kind = hippad.PrincipalKind(r.prefixed())
		e.Reporter.ID = string(r.prefixed())
		e.Reporter.Name = string(r.prefixed())
		e.Body = r.prefixed()
	}
	if r.bad || len(r.rest) > 0 {
		return fail(errBlock)
	}
	return out, nil
}

// hash returns the leaf hash of entry i.
func (o *opened) hash(i int) tlog.Hash { return tlog.RecordHash(o.leaves[i]) }
