package custody

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"

	"hippad"
	"hippad/internal/repository"
)

// A Manifest is the last file of an export. An archive without one is not complete.
type Manifest struct {
	Format      string           `json:"format"` // "hippad-export/1"
	Log         string           `json:"log"`    // origin
	VerifierKey string           `json:"verifierKey"`
	Request     int64            `json:"request"`
	Query       string           `json:"query"` // empty: everything
	Reason      string           `json:"reason"`
	AskedBy     hippad.Principal `json:"askedBy"`
	ConfirmedBy hippad.Principal `json:"confirmedBy"`
	At          time.Time        `json:"at"`
	Checkpoint  string           `json:"checkpoint"` // the log's newest when the export began
	Entries     int64            `json:"entries"`
	Destroyed   int64            `json:"destroyed,omitzero"` // of them, those whose content was destroyed
}

// meta is what is known of an exported entry besides its body.
type meta struct {
	Index     int64            `json:"index"`
	Received  time.Time        `json:"received"`
	Door      string           `json:"door"`
	Reporter  hippad.Principal `json:"reporter"`
	Media     string           `json:"media"`
	Fault     string           `json:"fault,omitzero"`
	Destroyed bool             `json:"destroyed,omitzero"`
}

// Export writes what was asked for as a tar archive: to the one who asked, once somebody else has confirmed, begun within a day and then as often as wanted
// until the request expires. That it leaves is in the log before its first byte does. For each entry N the archive holds N.body, N.tlog-proof and
// N.json, who reported it and when; log.vkey, with which "hippad verify N.tlog-proof N.body" needs no server; and manifest.json at its
// end. Memory is bounded whatever the size.
func (c *Custody) Export(ctx context.Context, who hippad.Caller, id int64, w io.Writer) error {
	if err := c.Repository.Permit(ctx, who, "export", hippad.ActExport); err != nil {
		return err
	}
	q, err := c.exportable(ctx, who, id)
	if err != nil {
		return err
	}
	n, err := repository.Noted(c.Repository.Exported(repository.QueryText(*q.Export)), c.Repository.Self, detailType, record{By: who.Principal, Export: &decision{id, KindExport}})
	if err != nil {
		return err
	}
	query := *q.Export
	query.Ascending = true
	m := Manifest{
		Format: "hippad-export/1", Log: c.Repository.Self.ID, VerifierKey: c.VerifierKey, Request: id, Query: repository.QueryText(*q.Export), Reason: q.Reason,
		AskedBy: q.By, ConfirmedBy: q.ConfirmedBy, At: c.Now().UTC(), Checkpoint: string(c.Ledger.Checkpoint()),
	}
	defer c.settle(ctx)
	a := archive{tar.NewWriter(w)}
	for e, err := range c.Repository.Export(ctx, who, query, n) {
		if err == nil {
			err = c.exportEntry(ctx, a, e)
		}
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		m.Entries++
		if e.Destroyed {
			m.Destroyed++
		}
	}
	if err := a.file("log.vkey", []byte(c.VerifierKey+"\n"), m.At); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := a.object("manifest.json", m, m.At); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return a.tar.Close()
}

// settle takes into the state that an export was begun. If it cannot now, the next change does.
func (c *Custody) settle(ctx context.Context) {
	if done, err := c.journal.Begin(context.WithoutCancel(ctx)); err == nil {
		done()
	}
}

// exportable returns a request that the caller may fetch now.
func (c *Custody) exportable(ctx context.Context, who hippad.Caller, id int64) (Request, error) {
	done, err := c.journal.Begin(ctx)
	if err != nil {
		return Request{}, err
	}
	defer done()
	q := c.request(id)
	// Whether there is a request of somebody else is not this caller's business.
	if q.Kind != KindExport || !same(q.By, who.Principal) {
		return Request{}, hippad.Errorf(hippad.NotFound, "there is no export %d of yours", id)
	}
	if q.State != StateConfirmed {
		return Request{}, hippad.Errorf(hippad.Conflict, "export %d cannot be fetched: it is %s", id, q.State)
	}
	return q, nil
}

func (c *Custody) exportEntry(ctx context.Context, a archive, e hippad.Entry) error {
	name := fmt.Sprint(e.Index)
	proof, err := c.Ledger.Receipt(ctx, e.Index)
	if err != nil {
		return err
	}
	if !e.Destroyed {
		if err := a.file(name+".body", e.Body, e.Received); err != nil {
			return err
		}
	}
	if err := a.file(name+".tlog-proof", proof, e.Received); err != nil {
		return err
	}
	return a.object(name+".json", meta{e.Index, e.Received, e.Door.String(), e.Reporter, e.Media, e.Fault.String(), e.Destroyed}, e.Received)
}

// An archive is a tar file that is being written.
type archive struct{ tar *tar.Writer }

func (a archive) file(name string, content []byte, at time.Time) error {
	h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: at.Truncate(time.Second), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if err := a.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := a.tar.Write(content)
	return err
}

func (a archive) object(name string, v any, at time.Time) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.file(name, append(text, '\n'), at)
}
