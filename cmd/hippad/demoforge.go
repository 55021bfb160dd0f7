package main

import (
	"bytes"
	"context"
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
	keys, err := seal.Open(filepath.Join(data, "keys"), "")
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
	l, err := ledger.Open(ctx, store, ledgerOptions(keys, nil, slog.New(slog.DiscardHandler)))
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

// forge replaces text in the body of an entry, in a data directory that nobody uses, so well that no checksum notices: the
// block is packed anew, as docs/store.md describes it, leaves and all else as they were. What it cannot do is find another
// body for the commitment in the leaf.
func forge(ctx context.Context, data string, index int64, before, after string) error {
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
	first, count, leaves, err := parseBlock(block)
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	entries, err := entriesOf(ctx, data, first, first+count)
	if err != nil {
		return fmt.Errorf("forge: %w", err)
	}
	if int64(len(entries)) != count {
		return fmt.Errorf("forge: the block has %d entries, the log gives %d", count, len(entries))
	}
	body := &entries[index-first].Body
	if !bytes.Contains(*body, []byte(before)) {
		return errors.New("forge: the text is not there")
	}
	*body = bytes.Replace(*body, []byte(before), []byte(after), 1)
	value, err := packBlock(first, leaves, entries)
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

// parseBlock reads the first index, the number of entries and the packed leaves of a block.
func parseBlock(block []byte) (first, count int64, leaves []byte, err error) {
	in := bytes.NewReader(block)
	if _, err := in.Seek(7, 0); err != nil { // format, key id, dictionary, checksum
		return 0, 0, nil, err
	}
	var numbers [3]uint64
	for i := range numbers {
		if numbers[i], err = binary.ReadUvarint(in); err != nil {
			return 0, 0, nil, err
		}
	}
	if numbers[2] > uint64(in.Len()) {
		return 0, 0, nil, errors.New("the block is damaged")
	}
	at := len(block) - in.Len()
	return int64(numbers[0]), int64(numbers[1]), block[at : at+int(numbers[2])], nil
}

// packBlock writes a block with the given leaves, its content without dictionary.
func packBlock(first int64, leaves []byte, entries []hippad.Entry) ([]byte, error) {
	prefixed := func(b, s []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	var content []byte
	for _, e := range entries {
		for _, part := range [][]byte{[]byte(e.Reporter.Kind), []byte(e.Reporter.ID), []byte(e.Reporter.Name), e.Body} {
			content = prefixed(content, part)
		}
	}
	pack, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, err
	}
	value := []byte{1, 0, 0, 0, 0, 0, 0}
	value = binary.AppendUvarint(value, uint64(first))
	value = binary.AppendUvarint(value, uint64(len(entries)))
	value = prefixed(value, leaves)
	value = prefixed(value, pack.EncodeAll(content, nil))
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Update(0, castagnoli, value[:3]), castagnoli, value[7:])
	binary.BigEndian.PutUint32(value[3:], sum)
	return value, errors.Join(pack.Close())
}

// silentLog keeps Pebble quiet. An error that ends Pebble is a panic: there is nothing to save in a forged copy.
type silentLog struct{}

func (silentLog) Infof(string, ...any)              {}
func (silentLog) Errorf(string, ...any)             {}
func (silentLog) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
