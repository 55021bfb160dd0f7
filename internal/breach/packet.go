package breach

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
)

// The files of an evidence packet, in their order: 45 CFR 164.414(b), 164.530(j)(1)(iv). Between them are the folders case/ and scope/ with N.json, N.tlog-proof
// and N.body for each entry N.
const (
	fileReadme  = "README.txt"
	fileKey     = "log.vkey"
	fileCase    = "case.json"
	fileScope   = "scope.jsonl"
	fileSums    = "SHA256SUMS"
	fileSeal    = "packet" // .json, .tlog-proof, .body: the entry in which the log has SHA256SUMS
	folderCase  = "case/"
	folderScope = "scope/"

	suffixMeta  = ".json"
	suffixProof = ".tlog-proof"
	suffixBody  = ".body"
)

const packetReadme = `Evidence of a breach case (45 CFR 164.414(b)), case %d of the log %s, made %s.

case.json      the case: what was found, assessed, decided and noticed. It is nothing but the entries in case/, replayed.
case/          the entries of the case itself: N.body as it is in the log, N.tlog-proof its receipt, N.json when and from whom it came
scope.jsonl    whom the case affects, one person a line, each with the entries that prove it. Its SHA-256 is in the newest scope of case.json.%s
scope/         those entries, likewise
SHA256SUMS     the SHA-256 of every file before it
packet.*       the entry in which the log itself has recorded the SHA-256 of SHA256SUMS, and its receipt
log.vkey       the log's public key, for convenience. Take the key that counts from the log's operator, not from here.

To verify all of it you need no server and no network, only the program hippad and the key:

  hippad breach verify PACKET.tar --key log.vkey

It says yes, or names the first file that is wrong. By hand, after tar xf PACKET.tar:

  sha256sum -c SHA256SUMS
  hippad verify scope/N.tlog-proof scope/N.body --key log.vkey      for any N
  hippad verify packet.tlog-proof packet.body --key log.vkey        and compare the sha256 in packet.body with sha256sum SHA256SUMS

What it shows: that these entries are in the log as they are here, when the log took them, and that the case was decided on and noticed as its entries say, at
those times. What it does not show: that what the entries say is true, or that nothing else happened. It holds patient data: keep it as such.
`

// meta is what is known of an entry besides its body.
type meta struct {
	Index     int64            `json:"index"`
	Received  time.Time        `json:"received"`
	Door      string           `json:"door"`
	Reporter  hippad.Principal `json:"reporter"`
	Media     string           `json:"media"`
	Fault     string           `json:"fault,omitzero"`
	Destroyed bool             `json:"destroyed,omitzero"` // nothing else is left of it
}

// A packet is a tar archive that is being written, and the sums of what is in it.
type packet struct {
	tar  *tar.Writer
	at   time.Time
	sums strings.Builder
}

func (p *packet) file(name string, content []byte) error {
	sum := sha256.Sum256(content)
	fmt.Fprintf(&p.sums, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	return p.add(name, content)
}

// add writes a file that is not in the sums.
func (p *packet) add(name string, content []byte) error {
	h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: p.at, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := p.tar.Write(content)
	return err
}

// Packet writes the evidence of a case as one tar archive, to a caller with hippad.ActAnswer and hippad.ActRead. That it is made is in the log before its first
// byte leaves, and what was in it before its last one does. Memory grows with the case and the list of whom it affects, not with the bodies.
func (b *Breaches) Packet(ctx context.Context, who hippad.Caller, id int64, w io.Writer) error {
	if err := b.permit(ctx, who, "packet"); err != nil {
		return err
	}
	c, entries, a, err := b.evidence(ctx, who, id)
	if err != nil {
		return err
	}
	p := &packet{tar: tar.NewWriter(w), at: b.Now().UTC().Truncate(time.Second)}
	changed := ""
	if d := drift(c, a); d != "" {
		changed = "\n               It has changed: " + d + "."
	}
	text, err := json.Marshal(c, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("packet: %w", err)
	}
	for _, f := range []struct {
		name string
		text []byte
	}{
		{fileReadme, fmt.Appendf(nil, packetReadme, id, b.Repository.Self.ID, p.at.Format(time.RFC3339), changed)},
		{fileKey, []byte(b.VerifierKey + "\n")},
		{fileCase, append(text, '\n')},
	} {
		if err := p.file(f.name, f.text); err != nil {
			return fmt.Errorf("packet: %w", err)
		}
	}
	var list strings.Builder
	if err := a.Lines(&list); err != nil {
		return fmt.Errorf("packet: %w", err)
	}
	if err := p.file(fileScope, []byte(list.String())); err != nil {
		return fmt.Errorf("packet: %w", err)
	}
	var own []int64
	for _, s := range c.Steps {
		own = append(own, s.Entry)
	}
	if err := b.pack(ctx, p, folderCase, own, entries); err != nil {
		return fmt.Errorf("packet: %w", err)
	}
	if err := b.pack(ctx, p, folderScope, a.indexes(), entries); err != nil {
		return fmt.Errorf("packet: %w", err)
	}
	if err := b.seal(ctx, who, id, p, entries); err != nil {
		return fmt.Errorf("packet: %w", err)
	}
	return p.tar.Close()
}

// A fetch yields entries by their places.
type fetch func(ctx context.Context, indexes []int64, take func(hippad.Entry) error) error

// evidence takes a case as it is between two changes, records that its packet is made, and looks whom it affects.
func (b *Breaches) evidence(ctx context.Context, who hippad.Caller, id int64) (Case, fetch, *Affected, error) {
	done, err := b.journal.Begin(ctx)
	if err != nil {
		return Case{}, nil, nil, err
	}
	c, err := b.find(id)
	if err != nil {
		done()
		return c, nil, nil, err
	}
	reading, err := b.Repository.Consult(ctx, who, b.asked(fmt.Sprintf("%d packet", id)))
	done()
	if err != nil {
		return c, nil, nil, err
	}
	a, err := b.again(ctx, reading, c)
	return c, func(ctx context.Context, indexes []int64, take func(hippad.Entry) error) error {
		for chunk := range slices.Chunk(indexes, indexChunk) {
			for e, err := range reading.Search(ctx, hippad.Query{Indexes: chunk, Ascending: true}) {
				if err == nil {
					err = take(e)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	}, a, err
}

func (b *Breaches) pack(ctx context.Context, p *packet, folder string, indexes []int64, entries fetch) error {
	found := 0
	err := entries(ctx, indexes, func(e hippad.Entry) error {
		found++
		return b.packEntry(ctx, fmt.Sprintf("%s%d", folder, e.Index), e, p.file)
	})
	if err == nil && found != len(indexes) {
		err = fmt.Errorf("%d of %d entries are in the log", found, len(indexes))
	}
	return err
}

func (b *Breaches) packEntry(ctx context.Context, name string, e hippad.Entry, file func(string, []byte) error) error {
	proof, err := b.Ledger.Receipt(ctx, e.Index)
	if err != nil {
		return err
	}
	text, err := json.Marshal(meta{e.Index, e.Received, e.Door.String(), e.Reporter, e.Media, e.Fault.String(), e.Destroyed})
	if err == nil {
		err = file(name+suffixMeta, append(text, '\n'))
	}
	if err == nil {
		err = file(name+suffixProof, proof)
	}
	if err == nil && !e.Destroyed {
		err = file(name+suffixBody, e.Body)
	}
	return err
}

// seal writes the sums, has the log record their hash, and adds the proof of that.
func (b *Breaches) seal(ctx context.Context, who hippad.Caller, id int64, p *packet, entries fetch) error {
	sums := []byte(p.sums.String())
	if err := p.add(fileSums, sums); err != nil {
		return err
	}
	done, err := b.journal.Begin(ctx)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(sums)
	index, err := b.enter(ctx, who, "an evidence packet was made", record{Case: id, Packet: &sealed{hex.EncodeToString(hash[:])}})
	done()
	if err != nil {
		return err
	}
	for e, err := range b.Ledger.EntriesAt(ctx, []int64{index}) {
		if err == nil {
			err = b.packEntry(ctx, fileSeal, e, p.add)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
