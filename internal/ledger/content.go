package ledger

import (
	"crypto/cipher"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"hippad"
)

//go:embed dictionary/1.txt
var dictionaryText1 []byte

// codec turns entries into block values and back. It is safe for concurrent use.
type codec struct {
	leaves, content     *zstd.Encoder
	decode, decodePlain *zstd.Decoder
	openKey             func(uint32) (cipher.AEAD, error) // Options.OpenKey, may be nil
	keyDestroyed        error                             // Options.KeyDestroyed, may be nil
}

func newCodec(concurrency int, o Options) (*codec, error) {
	c := codec{openKey: o.OpenKey, keyDestroyed: o.KeyDestroyed}
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

// dataKey is a key that content is sealed with. The zero dataKey seals nothing.
type dataKey struct {
	id   uint32
	aead cipher.AEAD
}

// sealKey asks for the key of what is received at a time and kept as long as a class says.
func (o Options) sealKey(received time.Time, class string) (dataKey, error) {
	if o.SealKey == nil {
		return dataKey{}, nil
	}
	id, aead, err := o.SealKey(received, class)
	switch {
	case err != nil:
		return dataKey{}, hippad.Errorf(hippad.Unavailable, "there is no key to seal content of class %q with: %w", class, err)
	case id == notSealed || aead == nil || aead.NonceSize() != 0:
		return dataKey{}, fmt.Errorf("key %d for content of class %q is not one that content can be sealed with", id, class)
	}
	return dataKey{id, aead}, nil
}

// packContent folds what the entries have besides their leaves.
func (c *codec) packContent(entries []*hippad.Entry) []byte {
	size := 0
	for _, e := range entries {
		size += len(e.Body) + len(e.Reporter.ID) + len(e.Reporter.Name) + len(e.Reporter.Organisation) + 32
	}
	content := make([]byte, 0, size)
	for _, e := range entries {
		content = appendPrefixed(content, string(e.Reporter.Kind))
		content = appendPrefixed(content, e.Reporter.ID)
		content = appendPrefixed(content, e.Reporter.Name)
		content = appendPrefixed(content, e.Reporter.Organisation)
		content = appendPrefixed(content, e.Body)
	}
	return c.content.EncodeAll(content, make([]byte, 0, len(content)/4+128))
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

// errKeyDestroyed says that the key of a block was destroyed: content that is sealed with it is nobody's any more.
var errKeyDestroyed = errors.New("the key was destroyed")

// entries unfolds the content. Each entry is what its leaf and its content say; whether the two belong together is for
// Audit to find out. An entry without content is Destroyed. The error is errKeyDestroyed if there is content that cannot be
// opened for that reason, and of kind Unavailable if the key is missing for another.
func (c *codec) entries(o *opened) ([]hippad.Entry, error) {
	fail := func(err error) ([]hippad.Entry, error) {
		return nil, fmt.Errorf("block at %d: content: %w", o.first, err)
	}
	out, err := o.withoutContent(o.destroyed())
	if err != nil || o.living() == 0 {
		return out, err
	}
	packed, err := c.unseal(o)
	if err != nil {
		return fail(err)
	}
	d := c.decodePlain
	if o.dictionary == dictionary1 {
		d = c.decode
	}
	content, err := c.unfold(d, packed, maxSection)
	if err != nil {
		return fail(err)
	}
	r := reader{rest: content}
	for i := range out {
		e := &out[i]
		if e.Destroyed {
			continue
		}
		e.Reporter.Kind = hippad.PrincipalKind(r.prefixed())
		e.Reporter.ID = string(r.prefixed())
		e.Reporter.Name = string(r.prefixed())
		if o.format >= blockFormat2 {
			e.Reporter.Organisation = string(r.prefixed())
		}
		e.Body = r.prefixed()
	}
	if r.bad || len(r.rest) > 0 {
		return fail(errBlock)
	}
	return out, nil
}

// unseal returns the content as it was before it was sealed.
func (c *codec) unseal(o *opened) ([]byte, error) {
	if o.key == notSealed {
		return o.packed, nil
	}
	if c.openKey == nil {
		return nil, hippad.Errorf(hippad.Unavailable, "it is sealed with key %d, and there are no keys", o.key)
	}
	key, err := c.openKey(o.key)
	switch {
	case err != nil && c.keyDestroyed != nil && errors.Is(err, c.keyDestroyed):
		return nil, errKeyDestroyed
	case err != nil:
		return nil, hippad.Errorf(hippad.Unavailable, "key %d, with which it is sealed, cannot be had: %w", o.key, err).
			WithHint("restore the keys from a backup")
	case key == nil || key.NonceSize() != 0:
		return nil, fmt.Errorf("key %d is not one that content is sealed with", o.key)
	}
	packed, err := key.Open(nil, nil, o.packed, o.authenticated)
	if err != nil {
		return nil, fmt.Errorf("%w: it does not open with key %d", errBlock, o.key)
	}
	return packed, nil
}

// withoutContent returns what the leaves alone say; the entries of the bitmap are Destroyed.
func (o *opened) withoutContent(destroyed uint64) ([]hippad.Entry, error) {
	out := make([]hippad.Entry, o.count)
	for i := range out {
		leaf, err := o.leaf(i)
		if err != nil {
			return nil, err
		}
		e := &out[i]
		e.Index, e.Received, e.Door, e.Media, e.Fault = o.first+int64(i), leaf.Received, leaf.Door, leaf.Media, leaf.Fault
		e.Destroyed = destroyed>>i&1 == 1
	}
	return out, nil
}

// allDestroyed is the bitmap of every entry.
const allDestroyed = 1<<blockEntries - 1
