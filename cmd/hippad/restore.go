package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/durable"
	"hippad/internal/seal"
)

func newRestore() *cobra.Command {
	var data string
	var m masterFlags
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "make a data directory from a backup, and audit it",
		Long: `Make a new data directory from a file that hippad backup wrote, with the master key that belongs to it, and audit the
whole of it. What was reported after the backup is not in it: a server that goes on from here gives other entries the same
indexes, and receipts given out since the backup will not hold. Only restore when the original is lost.`,
		Example: `  hippad restore backup.tar --data restored --master-key /media/usb/master.key
  hippad restore backup.tar --data restored --passphrase-file -`,
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			checkpoint, err := restore(cmd.Context(), args[0], data, &m)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %s has the log as of %s entries; auditing it\n", data, checkpointSize(checkpoint))
			audit := newAudit()
			audit.SetArgs(append([]string{"--data", data, "--known", filepath.Join(data, seenFile)}, m.args()...))
			audit.SetOut(cmd.OutOrStdout())
			audit.SetErr(cmd.ErrOrStderr())
			audit.SilenceErrors, audit.SilenceUsage = true, true
			if err := audit.ExecuteContext(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: start it with hippad serve --data %s %s\n", data, strings.Join(m.args(), " "))
			return nil
		},
	}
	cmd.Flags().StringVar(&data, "data", defaultData, "data `DIRECTORY` to make; it must not exist, or be empty")
	m.add(cmd)
	return cmd
}

// restore unpacks a backup beside its place and puts it there when it is whole.
func restore(ctx context.Context, file, data string, m *masterFlags) (checkpoint []byte, err error) {
	if entries, err := os.ReadDir(data); err == nil && len(entries) > 0 {
		return nil, hippad.Errorf(hippad.Conflict, "%s is not empty", data)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	building, err := os.MkdirTemp(filepath.Dir(filepath.Clean(data)), filepath.Base(data)+".restoring-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(building)
	sealed, checkpoint, err := unpackBackup(f, building)
	if err != nil {
		return nil, fmt.Errorf("restore %s: %w", file, err)
	}
	options, err := m.options()
	if err != nil {
		return nil, err
	}
	ring, err := seal.OpenRing(ctx, filepath.Join(building, "keys"), options)
	if err != nil {
		return nil, err
	}
	plain, err := ring.OpenBytes(backupSecret, sealed)
	if err != nil {
		return nil, fmt.Errorf("restore %s: the key folder: %w", file, err)
	}
	if err := unpackKeys(plain, filepath.Join(building, "keys")); err != nil {
		return nil, fmt.Errorf("restore %s: the key folder: %w", file, err)
	}
	if err := durable.WriteFile(filepath.Join(building, seenFile), checkpoint, 0o644); err != nil {
		return nil, err
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return checkpoint, os.Rename(building, data)
}

// unpackBackup writes the store and the ring into dir and returns the rest.
func unpackBackup(r io.Reader, dir string) (sealed, checkpoint []byte, err error) {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, hippad.Errorf(hippad.Invalid, "it is no whole backup: %w", err)
		}
		switch {
		case h.Name == backupMark:
			checkpoint, err = io.ReadAll(io.LimitReader(t, 1<<20))
		case h.Name == sealedKeys:
			sealed, err = io.ReadAll(io.LimitReader(t, 64<<20))
		case filepath.IsLocal(h.Name) && (h.Name == "keys/"+ringFile || h.Name == verifierFile || strings.HasPrefix(h.Name, "store/")) && h.Typeflag == tar.TypeReg:
			err = unpackFile(filepath.Join(dir, filepath.FromSlash(h.Name)), t)
		default:
			err = hippad.Errorf(hippad.Invalid, "it is no backup of hippad: it holds something else")
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if checkpoint == nil || sealed == nil {
		return nil, nil, hippad.Errorf(hippad.Invalid, "it is no whole backup of hippad")
	}
	return sealed, checkpoint, nil
}

func unpackKeys(plain []byte, dir string) error {
	t := tar.NewReader(bytes.NewReader(plain))
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.FromSlash(h.Name)
		if !filepath.IsLocal(name) {
			return hippad.Errorf(hippad.Invalid, "a file has an impossible name")
		}
		if err := unpackFile(filepath.Join(dir, name), t); err != nil {
			return err
		}
	}
}

func unpackFile(name string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
