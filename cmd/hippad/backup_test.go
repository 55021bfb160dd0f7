package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"hippad"
	"hippad/internal/identity"
	"hippad/wire"
)

// A backup while reports come in is a log as of one moment: nothing that was acknowledged before it is missing, it is sound, and the
// server's own log continues it.
func TestBackupUnderLoad(t *testing.T) {
	p := startServer(t, "")
	config, err := identity.OperatorTLS(p.Data)
	if err != nil {
		t.Fatal(err)
	}
	client, err := wire.Dial(t.Context(), p.Address, config, wire.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last atomic.Int64 // the newest index that was acknowledged
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			wait, err := client.Record(t.Context(), hippad.Frame{Reports: []hippad.Report{{Media: "text/plain", Body: fmt.Appendf(nil, "report %d", i)}}})
			if err != nil {
				t.Error(err)
				return
			}
			ack, err := wait(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			last.Store(ack.Ranges[0].First)
		}
	})
	eventually(t, "the load", func() error {
		if last.Load() < 200 {
			return fmt.Errorf("%d entries", last.Load())
		}
		return nil
	})
	dir := t.TempDir()
	file, copied, seen := filepath.Join(dir, "backup.tar"), filepath.Join(dir, "copy"), filepath.Join(dir, "seen")
	acknowledged := last.Load()
	if out, talk, code := hippadRun(t, "backup", "--out", file, "--data", p.Data); code != 0 {
		t.Fatalf("backup: %d %s%s", code, out, talk)
	}
	taken := last.Load()
	cancel()
	load.Wait()
	receipt, err := client.Receipt(t.Context(), acknowledged)
	if err != nil {
		t.Fatal(err)
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	master := filepath.Join(p.Data, "keys", "master.key")
	out, talk, code := hippadRun(t, "restore", file, "--data", copied, "--master-key", master)
	if code != 0 {
		t.Fatalf("restore: %d %s%s", code, out, talk)
	}
	var entries int64
	if _, err := fmt.Sscanf(out, "sound: %d entries", &entries); err != nil || entries <= acknowledged {
		t.Errorf("restored %d entries, but entry %d was acknowledged before the backup: %s", entries, acknowledged, out)
	}
	t.Logf("entry %d was acknowledged before, %d when it was done; the backup has %d entries", acknowledged, taken, entries)
	// The same lineage, both ways: the copy has what the receipt is for under a checkpoint of its own, and the server's log
	// continues the checkpoint that the copy ends with.
	checkpoint, err := os.ReadFile(filepath.Join(copied, seenFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(seen, checkpoint, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, talk, code := hippadRun(t, "audit", "--data", p.Data, "--known", seen); code != 0 {
		t.Errorf("the server's log does not continue the backup: %s%s", out, talk)
	}
	kept, err := entryOfCopy(t, copied, master, acknowledged)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(seen, receipt, 0o600); err != nil {
		t.Fatal(err)
	}
	body := filepath.Join(dir, "body")
	if err := os.WriteFile(body, kept.Body, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, talk, code := hippadRun(t, "verify", seen, body, "--key", filepath.Join(p.Data, "log.vkey")); code != 0 {
		t.Errorf("a receipt of the server does not hold for the body of the copy: %s%s", out, talk)
	}
}

// entryOfCopy reads one entry through a server on the copy.
func entryOfCopy(t *testing.T, data, master string, index int64) (hippad.Entry, error) {
	p := startServer(t, data, "--master-key", master)
	defer p.Stop(t)
	config, err := identity.OperatorTLS(data)
	if err != nil {
		return hippad.Entry{}, err
	}
	client, err := wire.Dial(t.Context(), p.Address, config, wire.ClientOptions{})
	if err != nil {
		return hippad.Entry{}, err
	}
	defer client.Close()
	return fetchEntry(t.Context(), client, index)
}
