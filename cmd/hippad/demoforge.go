package main

import (
	"bytes"
	"context"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/klauspost/compress/zstd"

	"hippad"
	"hippad/internal/durable"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/seal"
)

// copyData copies what audit needs of the running server's data directory: a snapshot of the store, and the keys.
func (d *demo) copyData(to string) error {
	keys := d.path("data", "keys")
	files, err := os.ReadDir(keys)
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(keys, f.Name()))
		if err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(to, "keys", f.Name()), text, 0o600); err != nil {
			return err
		}
	}
	return d.server.store.Snapshot(filepath.Join(to, "store"))
}

// entriesOf returns the entries [from, to) of a data directory that nobody uses.
func entriesOf(ctx context.Context, data string, from, to int64) (entries []hippad.Entry, err error) {
	keys, err := seal.Open(ctx, filepath.Join(data, "keys"), seal.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	store, err := localstore.Open(filepath.Join(data, "store"), localstore.Options{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := store.Close(); err == nil {
			err = e
		}
	}()
	l, err := ledger.Open(ctx, store, ledgerOptions(keys, nil, nil, slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := l.Close(ctx); err == nil {
			err = e
		}
	}()
	for e, err := range l.Entries(ctx, from, min(to, l.Size())) {
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// entryOf returns one entry of a data directory that nobody uses.
func entryOf(ctx context.Context, data string, index int64) (hippad.Entry, error) {
	entries, err := entriesOf(ctx, data, index, index+1)
	if err == nil && len(entries) != 1 {
		err = fmt.Errorf("there is no entry %d", index)
	}
	if err != nil {
		return hippad.Entry{}, err
	}
	return entries[0], nil
}

// A forger has every right on the machine: a data directory that nobody uses, and the keys in it.
type forger struct {
	data    string
	openKey func(id uint32) (cipher.AEAD, error) // the key that content is sealed with; nil: content is not sealed
}

// forge replaces text in the body of an entry; see forger.
func forge(ctx context.Context, data string, index int64, before, after string) error {
	keys, err := seal.Open(ctx, filepath.Join(data, "keys"), seal.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	f := forger{data: data, openKey: keys.OpenKey}
	return f.forge(ctx, index, before, after)
}

// forge replaces text in the body of an entry so well that no checksum and no seal notices: the block is packed anew, as
// docs/store.md describes it, leaves and all else as they were. What it cannot do is find another body for the commitment
// in the leaf.
func (f forger) forge(ctx context.Context, index int64, before, after string) error {
	data := f.data
	db, err := pebble.Open(filepath.Join(data, "store"), &pebble.Options{Logger: silentLog{}})
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	key, block, err := blockAt(db, index)
	if e := db.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	old, err := parseBlock(block)
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	entries, err := entriesOf(ctx, data, old.first, old.first+old.count)
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	if int64(len(entries)) != old.count {
		return fmt.Errorf("forge: the block has %d entries, the log gives %d", old.count, len(entries))
	}
	body := &entries[index-old.first].Body
	if !bytes.Contains(*body, []byte(before)) {
		return errors.New("forge: the text is not there")
	}
	*body = bytes.Replace(*body, []byte(before), []byte(after), 1)
	value, err := f.packBlock(old, entries)
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	if db, err = pebble.Open(filepath.Join(data, "store"), &pebble.Options{Logger: silentLog{}}); err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	return errors.Join(db.Set(key, value, pebble.Sync), db.Close())
}

// blockAt returns key and value of the block that holds the entry at index.
func blockAt(db *pebble.DB, index int64) (key, value []byte, err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("b"), UpperBound: []byte("c")})
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	if !it.SeekLT(binary.BigEndian.AppendUint64([]byte("b"), uint64(index+1))) {
		return nil, nil, fmt.Errorf("there is no block with entry %d", index)
	}
	v, err := it.ValueAndErr()
	return bytes.Clone(it.Key()), bytes.Clone(v), err
}

// blockParts are what of a block of format 2 stays as it is.
type blockParts struct {
	key          uint64
	first, count int64
	head         []byte // from behind the checksum to the leaves
	leaves       []byte // packed
}

// parseBlock takes a block apart.
func parseBlock(block []byte) (p blockParts, err error) {
	const checked = 6 // format, dictionary, checksum
	if len(block) < checked || block[0] != 2 {
		return p, errors.New("the block is not of format 2")
	}
	in := bytes.NewReader(block[checked:])
	next := func() (n uint64) {
		if err == nil {
			n, err = binary.ReadUvarint(in)
		}
		return n
	}
	p.key, p.first, p.count = next(), int64(next()), int64(next())
	for purges := next(); purges > 0 && err == nil; purges-- {
		next() // a key
		next() // the entries that ended with it
	}
	p.head = block[checked : len(block)-in.Len()]
	n := next()
	if err == nil && n > uint64(in.Len()) {
		err = errors.New("the block is damaged")
	}
	if err != nil {
		return p, err
	}
	at := len(block) - in.Len()
	p.leaves = block[at : at+int(n)]
	return p, nil
}

// packBlock writes a block again with other content, which is packed without dictionary and sealed with the key that the
// block names.
func (f forger) packBlock(p blockParts, entries []hippad.Entry) ([]byte, error) {
	prefixed := func(b, s []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	var content []byte
	for _, e := range entries {
		if e.Destroyed {
			continue
		}
		r := e.Reporter
		for _, part := range [][]byte{[]byte(r.Kind), []byte(r.ID), []byte(r.Name), []byte(r.Organisation), e.Body} {
			content = prefixed(content, part)
		}
	}
	pack, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, err
	}
	content = pack.EncodeAll(content, nil)
	if err := pack.Close(); err != nil {
		return nil, err
	}
	front := []byte{2, 0}
	if p.key != 0 {
		if f.openKey == nil {
			return nil, fmt.Errorf("the content is sealed with key %d, which the forger was not given", p.key)
		}
		key, err := f.openKey(uint32(p.key))
		if err != nil {
			return nil, err
		}
		content = key.Seal(nil, nil, content, append(bytes.Clone(front), p.head...))
	}
	value := append(front, 0, 0, 0, 0) // the checksum comes last
	value = append(value, p.head...)
	value = prefixed(value, p.leaves)
	value = prefixed(value, content)
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Update(0, castagnoli, value[:2]), castagnoli, value[6:])
	binary.BigEndian.PutUint32(value[2:], sum)
	return value, nil
}

// silentLog keeps Pebble quiet. An error that ends Pebble is a panic: there is nothing to save in a forged copy.
type silentLog struct{}

func (silentLog) Infof(string, ...any)              {}
func (silentLog) Errorf(string, ...any)             {}
func (silentLog) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
