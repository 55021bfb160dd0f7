package ledger

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hippad"
)

var errGone = errors.New("gone")

// testKeys are options with the keys 1 to 9, of which 7 was destroyed; the others are missing.
func testKeys() Options {
	return Options{KeyDestroyed: errGone, OpenKey: func(id uint32) (cipher.AEAD, error) {
		switch {
		case id == 7:
			return nil, fmt.Errorf("key 7: %w", errGone)
		case id > 9:
			return nil, errors.New("lost")
		}
		return testAEAD(id), nil
	}}
}

func testAEAD(id uint32) cipher.AEAD {
	block, err := aes.NewCipher(bytes.Repeat([]byte{byte(id)}, 32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func testKey(id uint32) dataKey { return dataKey{id, testAEAD(id)} }

// partly are purges after which the entries 1 and 3 are left of five.
var partly = []purged{{300, 0b00100}, {2, 0b10001}, {4, 0}}

func TestSealedBlockRoundTrip(t *testing.T) {
	c := testCodec(t)
	bodies := []string{"body one", "body two", "body three", "body four", "body five"}
	for name, purges := range map[string][]purged{"whole": nil, "in part": partly} {
		b, want := sealedBlock(t, c, testKey(5), purges, 99, bodies...)
		if bytes.Contains(b.Value, []byte("body")) || bytes.Contains(b.Value, []byte("192.0")) {
			t.Errorf("%s: content can be read", name)
		}
		o, err := c.open(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.entries(o); err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(o.purges, purges) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, want := sealedBlock(t, c, testKey(5), []purged{{3, 0b11111}}, 99, bodies...)
	o, err := c.open(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.entries(o); err != nil || !reflect.DeepEqual(got, want) || len(o.packed) != 0 || o.key != 5 {
		t.Errorf("nothing left: key %d, %v", o.key, err)
	}
}

func TestKeysThatAreNotThere(t *testing.T) {
	c := testCodec(t)
	for id, want := range map[uint32]func(error) bool{
		7: func(err error) bool { return errors.Is(err, errKeyDestroyed) },
		10: func(err error) bool {
			return hippad.KindOf(err) == hippad.Unavailable && strings.Contains(err.Error(), "key 10")
		},
	} {
		b, _ := sealedBlock(t, c, testKey(id), nil, 0, "a body")
		o, err := c.open(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.entries(o); !want(err) {
			t.Errorf("key %d: %v", id, err)
		}
	}
}

// What the reader must not be given instead of what was written: whoever can write to the store can make the checksum
// right.
func TestSealCoversTheHead(t *testing.T) {
	c := testCodec(t)
	for name, change := range map[string]func(o *opened){
		"first index":        func(o *opened) { o.first++ },
		"count":              func(o *opened) { o.count++ },
		"dictionary":         func(o *opened) { o.dictionary = noDictionary },
		"key":                func(o *opened) { o.key = 6 },
		"a purge more":       func(o *opened) { o.purges = append(slices.Clone(o.purges), purged{1, 0}) },
		"a purge less":       func(o *opened) { o.purges = o.purges[:2] },
		"other entries":      func(o *opened) { o.purges = slices.Clone(partly); o.purges[0].bits = 0b00010 },
		"another purged key": func(o *opened) { o.purges = slices.Clone(partly); o.purges[0].key = 301 },
		"content":            func(o *opened) { o.packed = slices.Clone(o.packed); o.packed[30] ^= 1 },
		"nonce":              func(o *opened) { o.packed = slices.Clone(o.packed); o.packed[0] ^= 1 },
		"another block's content": func(o *opened) {
			b, _ := sealedBlock(t, c, testKey(5), partly, 100, "1", "2", "3", "4", "5")
			other, err := c.open(b)
			if err != nil {
				t.Fatal(err)
			}
			o.packed = other.packed
		},
		"nothing": nil,
	} {
		b, _ := sealedBlock(t, c, testKey(5), partly, 99, "one", "two", "three", "four", "five")
		o, err := c.open(b)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(o)
		}
		value := []byte{blockFormat2, o.dictionary, 0, 0, 0, 0}
		value = o.fields(value)
		leaves := o.leaves
		for len(leaves) < o.count {
			leaves = append(leaves, leaves[0])
		}
		value = appendPrefixed(value, c.packLeaves(leaves))
		value = appendPrefixed(value, o.packed)
		sum := blockSum(value)
		value[2], value[3], value[4], value[5] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		forged, err := c.open(Block{o.first, value})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err = c.entries(forged); (err == nil) != (change == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// blockOfFormat1 is written as it was when there was no other format.
func blockOfFormat1(t testing.TB, c *codec, first int64, bodies ...string) (Block, []hippad.Entry) {
	t.Helper()
	b, entries := testBlock(t, c, first, bodies...)
	o, err := c.open(b)
	if err != nil {
		t.Fatal(err)
	}
	var content []byte
	for i := range entries {
		r := &entries[i].Reporter
		r.Organisation = ""
		for _, part := range []string{string(r.Kind), r.ID, r.Name, string(entries[i].Body)} {
			content = appendPrefixed(content, part)
		}
	}
	value := []byte{1, 0, 1, 0, 0, 0, 0}
	value = binary.AppendUvarint(value, uint64(first))
	value = binary.AppendUvarint(value, uint64(len(entries)))
	value = appendPrefixed(value, o.packedLeaves)
	value = appendPrefixed(value, c.content.EncodeAll(content, nil))
	binary.BigEndian.PutUint32(value[3:], crc32.Update(crc32.Checksum(value[:3], castagnoli), castagnoli, value[7:]))
	return Block{first, value}, entries
}

func TestBlockOfFormat1IsRead(t *testing.T) {
	c := testCodec(t)
	b, want := blockOfFormat1(t, c, 300, "one", "", "three")
	o, err := c.open(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.entries(o); err != nil || !reflect.DeepEqual(got, want) || o.key != notSealed || o.living() != 3 {
		t.Errorf("%v", err)
	}
}

// BenchmarkBlock packs and reads a full block of 16 messages of 2 KB.
func BenchmarkBlock(b *testing.B) {
	c := testCodec(b)
	r := rand.New(rand.NewPCG(1, 2))
	var bodies []string
	for range blockEntries {
		var body strings.Builder
		for range 40 {
			fmt.Fprintf(&body, "<ParticipantObjectDetail type=\"StudyDate\" value=\"%d\" />\n", r.IntN(1e6))
		}
		bodies = append(bodies, body.String())
	}
	for _, key := range []dataKey{{}, testKey(5)} {
		block, entries := sealedBlock(b, c, key, nil, 0, bodies...)
		o, err := c.open(block)
		if err != nil {
			b.Fatal(err)
		}
		var living []*hippad.Entry
		for i := range entries {
			living = append(living, &entries[i])
		}
		b.Run(fmt.Sprintf("pack/sealed=%t", key.id > 0), func(b *testing.B) {
			for b.Loop() {
				c.encodeBlock(o.head, o.packedLeaves, living, key)
			}
		})
		b.Run(fmt.Sprintf("read/sealed=%t", key.id > 0), func(b *testing.B) {
			for b.Loop() {
				if _, err := c.entries(o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
