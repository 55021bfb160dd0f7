package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/seal"
	"hippad/receipt"
)

func newAudit() *cobra.Command {
	var data string
	var known []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "re-read a whole log and prove it sound",
		Long: `Re-read the whole log of a data directory, whose server must be stopped: bodies against leaves, leaves against the tree,
the tree against every signed checkpoint, the search index against the bodies. It names the first entry that is wrong.

What nobody can see from the inside is a log whose newest part was cut off with everything that belongs to it, or that
was replaced by an older copy. Give receipts or checkpoints that were kept elsewhere with --known: the log must contain them.

The exit code is 0 if the log is sound, else 1.`,
		Example: `  hippad audit --data hippad-data
  hippad audit --data /var/lib/hippad --known receipts/audit.xml.41.tlog-proof`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, store, err := openForAudit(data)
			if err != nil {
				return err
			}
			defer store.Close()
			for _, name := range known {
				checkpoint, err := readCheckpoint(name)
				if err != nil {
					return err
				}
				if _, err := receipt.OpenCheckpoint(checkpoint, options.Verifier); err != nil {
					return fmt.Errorf("%s is no receipt or checkpoint of this log: %w", name, err)
				}
				options.Known = append(options.Known, checkpoint)
			}
			bar := newProgress(cmd.ErrOrStderr(), "auditing")
			err = ledger.Audit(cmd.Context(), store, options, bar.set)
			bar.end()
			var wrong *ledger.AuditError
			if err != nil && !errors.As(err, &wrong) {
				return err
			}
			tail, tailErr := store.Tail(cmd.Context())
			return auditResult(cmd, asJSON, tail.Size, wrong, tailErr)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", defaultData, "data `DIRECTORY` of a stopped server, or a copy of one")
	f.StringArrayVar(&known, "known", nil, "a receipt or checkpoint `FILE` that the log must contain; may be repeated")
	f.BoolVar(&asJSON, "json", false, "the result as one JSON object")
	return cmd
}

// openForAudit opens a data directory without changing anything in it.
func openForAudit(data string) (ledger.Options, *localstore.Store, error) {
	keys := filepath.Join(data, "keys")
	if _, err := os.Stat(keys); errors.Is(err, fs.ErrNotExist) {
		return ledger.Options{}, nil, hippad.Errorf(hippad.NotFound, "%s is not the data directory of a hippad server: it has no keys", data).
			WithHint("give the directory with --data")
	}
	k, err := seal.Open(keys, "")
	if err != nil {
		return ledger.Options{}, nil, err
	}
	store, err := localstore.OpenReadOnly(filepath.Join(data, "store"), localstore.Options{})
	if err != nil {
		return ledger.Options{}, nil, err
	}
	return ledgerOptions(k, nil, slog.New(slog.DiscardHandler)), store, nil
}

// readCheckpoint reads a file that is a checkpoint or a receipt, which ends in one.
func readCheckpoint(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, usageError{err}
	}
	if !strings.HasPrefix(string(text), "c2sp.org/tlog-proof@") {
		return text, nil
	}
	proof, err := receipt.Parse(text)
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	return proof.Checkpoint, nil
}

func auditResult(cmd *cobra.Command, asJSON bool, size int64, wrong *ledger.AuditError, tailErr error) error {
	out := cmd.OutOrStdout()
	switch {
	case asJSON:
		result := struct {
			Sound   bool   `json:"sound"`
			Entries int64  `json:"entries"`
			Index   *int64 `json:"firstWrongIndex,omitempty"`
			Problem string `json:"problem,omitempty"`
		}{Sound: wrong == nil, Entries: size}
		if wrong != nil {
			result.Problem = wrong.Error()
			if wrong.Index >= 0 {
				result.Index = &wrong.Index
			}
		}
		if err := json.NewEncoder(out).Encode(result); err != nil {
			return err
		}
	case wrong != nil:
		fmt.Fprintf(out, "%s: %v\n", style(out, red, "wrong"), wrong)
	case tailErr != nil:
		return tailErr
	default:
		fmt.Fprintf(out, "%s: %d entries, every one as it was when it was signed\n", style(out, green, "sound"), size)
	}
	if wrong != nil {
		return errNo
	}
	return nil
}
