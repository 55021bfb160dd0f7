package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/front"
	"hippad/internal/repository"
)

// A backup is one tar file:
//
//	hippad-backup-1       the checkpoint as of which it is, as text
//	keys.sealed           the folder keys without the two files below, as a tar sealed under the ring key
//	keys/ring.json        the wrapped keys
//	log.vkey              the log's public key
//	store/...             the store, whose content is sealed
//
// The master key is not in it: whoever finds a backup has nothing. Restoring needs it.
const (
	backupMark   = "hippad-backup-1"
	sealedKeys   = "keys.sealed"
	ringFile     = "ring.json"
	masterFile   = "master.key"
	verifierFile = "log.vkey"
	snapshotDir  = "backup.building" // in the data directory; a crash leaves it, the next backup removes it
	backupSecret = "backup of the key folder"
)

// backupRoutes are the server's side: the archive is the answer.
func (s *server) backupRoutes() []route {
	return []route{{pattern: "POST /admin/backup", needs: hippad.ActBackup, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		var in nothing
		err := readCall(r, maxCall, &in)
		if err == nil {
			err = s.backup(r.Context(), front.CallerOf(r), w)
		}
		if err != nil {
			s.refuseCall(w, r, err)
		}
	})}}
}

// backup writes the archive. Once the first byte is out an error can only end the connection, which the client notices:
// the archive then has no end.
func (s *server) backup(ctx context.Context, c hippad.Caller, w http.ResponseWriter) error {
	if !s.backingUp.TryLock() {
		return hippad.Errorf(hippad.Busy, "another backup is under way")
	}
	defer s.backingUp.Unlock()
	if err := s.configured(ctx, c, repository.ActivityBackup, "copy the sealed store"); err != nil {
		return err
	}
	dir := filepath.Join(s.config.Data, snapshotDir)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer os.RemoveAll(dir)
	// In this order: a store that is newer than the checkpoint continues it, and keys that are newer than the store open
	// everything in it but what was destroyed meanwhile.
	checkpoint := s.ledger.Checkpoint()
	if err := s.store.Snapshot(dir); err != nil {
		return err
	}
	keys, err := s.sealKeyFolder()
	if err != nil {
		return err
	}
	ring, err := os.ReadFile(filepath.Join(s.config.Data, "keys", ringFile))
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	w.Header().Set("Content-Type", "application/x-tar")
	t := tar.NewWriter(w)
	for _, f := range []struct {
		name string
		data []byte
	}{{backupMark, checkpoint}, {"keys/" + ringFile, ring}, {sealedKeys, keys}, {verifierFile, []byte(s.keys.VerifierKey + "\n")}} {
		if err := writeTar(t, f.name, f.data); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	if err := tarFolder(t, dir, "store"); err != nil {
		s.log.Error("backup", "error", err)
		panic(http.ErrAbortHandler)
	}
	return t.Close()
}

func writeTar(t *tar.Writer, name string, data []byte) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := t.Write(data)
	return err
}

// tarFolder writes the files of a folder that nobody changes, under another name.
func tarFolder(t *tar.Writer, dir, as string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Name: as + "/" + filepath.ToSlash(rel), Mode: 0o600, Size: st.Size()}); err != nil {
			return err
		}
		_, err = io.Copy(t, f)
		return err
	})
}

// sealKeyFolder returns the folder keys as a sealed tar, without the master key and without the ring, which stands beside it.
func (s *server) sealKeyFolder() ([]byte, error) {
	var plain strings.Builder
	t := tar.NewWriter(&plain)
	dir := filepath.Join(s.config.Data, "keys")
	err := filepath.WalkDir(dir, func(path string, f fs.DirEntry, err error) error {
		name := f.Name()
		if err != nil || f.IsDir() || strings.HasPrefix(name, masterFile) || name == ringFile || strings.Contains(name, ".new-") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return writeTar(t, filepath.ToSlash(rel), text)
	})
	if err != nil {
		return nil, fmt.Errorf("backup: the key folder: %w", err)
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	return s.keys.SealBytes(backupSecret, []byte(plain.String()))
}

func newBackup() *cobra.Command {
	var c connection
	var out string
	cmd := &cobra.Command{
		Use:   "backup --out FILE",
		Short: "copy the whole log to one file while the server runs",
		Long: `Write one tar file with the store, as of one moment, and the keys, sealed. Without the master key the file tells nothing
to anybody: keep the master key elsewhere. hippad restore makes a data directory of it again.`,
		Example: "  hippad backup --out /backup/hippad-2026-11-23.tar",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("--out FILE is missing")
			}
			if err := mustBeNew(out); err != nil {
				return err
			}
			body, err := c.post(cmd.Context(), "/admin/backup", nothing{})
			if err != nil {
				return err
			}
			defer body.Close()
			checkpoint, n, err := saveBackup(body, out)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes, as of %s entries\n", out, n, checkpointSize(checkpoint))
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write; it must not exist")
	return cmd
}

// saveBackup writes the archive to a new file, whole or not at all, and returns the checkpoint in it.
func saveBackup(body io.Reader, out string) (checkpoint []byte, n int64, err error) {
	err = writeNew(out, func(w io.Writer) error {
		// What passes is read as a tar as well: an archive that is cut off must not look like a backup.
		read, write := io.Pipe()
		checked := make(chan error, 1)
		go func() {
			var err error
			checkpoint, err = checkpointOf(read)
			read.CloseWithError(err)
			checked <- err
		}()
		var err error
		n, err = io.Copy(io.MultiWriter(w, write), body)
		write.CloseWithError(err)
		return errors.Join(err, <-checked)
	})
	return checkpoint, n, err
}

// checkpointOf reads a whole archive and returns the checkpoint as of which it is.
func checkpointOf(r io.Reader) (checkpoint []byte, err error) {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err == nil && h.Name == backupMark {
			checkpoint, err = io.ReadAll(io.LimitReader(t, 1<<20))
		}
		if err != nil {
			return nil, err
		}
	}
	if len(checkpoint) == 0 {
		return nil, errors.New("the server's answer is no backup")
	}
	_, err = io.Copy(io.Discard, r)
	return checkpoint, err
}

func mustBeNew(file string) error {
	if _, err := os.Lstat(file); err == nil {
		return hippad.Errorf(hippad.Conflict, "%s exists already", file)
	}
	return nil
}

// writeNew writes a new file, for its owner only, whole or not at all.
func writeNew(file string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("%s did not come whole: %w", file, err)
	}
	return os.Rename(f.Name(), file)
}

// checkpointSize returns the second line of a checkpoint: how many entries (C2SP tlog-checkpoint).
func checkpointSize(text []byte) string {
	lines := strings.SplitN(string(text), "\n", 3)
	if len(lines) < 3 {
		return "?"
	}
	return lines[1]
}
