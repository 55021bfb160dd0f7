package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"hippad"
	"hippad/internal/custody"
	"hippad/internal/ledger"
	"hippad/internal/localstore"
	"hippad/internal/seal"
	"hippad/receipt"
)

func newAudit() *cobra.Command {
	var data string
	var known []string
	var asJSON, structure bool
	var m masterFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "re-read a whole log and prove it sound",
		Long: `Re-read the whole log of a data directory, whose server must be stopped: bodies against leaves, leaves against the tree,
the tree against every signed checkpoint, the search index against the bodies. It names the first entry that is wrong.

What nobody can see from the inside is a log whose newest part was cut off with everything that belongs to it, or that
was replaced by an older copy. Give receipts or checkpoints that were kept elsewhere with --known: the log must contain them.

An auditor without the keys gives --structure: leaves, tree and checkpoints are audited, bodies and index are not looked at.

The exit code is 0 if the log is sound, else 1.`,
		Example: `  hippad audit --data hippad-data
  hippad audit --data /var/lib/hippad --known receipts/audit.xml.41.tlog-proof
  hippad audit --data copy --structure`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			options, store, err := openForAudit(cmd.Context(), data, structure, &m)
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
			evidence := custody.NewEvidence(read)
			if index := options.Index; index != nil { // what the log says of purges is met along the way
				options.Index = func(e hippad.Entry) ledger.Indexed {
					evidence.See(e)
					return index(e)
				}
			}
			found, err := ledger.Audit(cmd.Context(), store, options, bar.set)
			bar.end()
			var wrong *ledger.AuditError
			if err != nil && !errors.As(err, &wrong) {
				return err
			}
			if wrong == nil && !structure {
				wrong = uncertified(found, evidence)
			}
			return auditResult(cmd, asJSON, found, wrong)
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", defaultData, "data `DIRECTORY` of a stopped server, or a copy of one")
	f.BoolVar(&structure, "structure", false, "without the keys: only leaves, tree and checkpoints, not what is in the bodies")
	m.add(cmd)
	f.StringArrayVar(&known, "known", nil, "a receipt or checkpoint `FILE` that the log must contain; may be repeated")
	f.BoolVar(&asJSON, "json", false, "the result as one JSON object")
	return cmd
}

// uncertified is what is wrong with a log that is otherwise sound and has lost content that no purge accounts for: whoever can write
// to the disk can drop content, and only the certificates in the log tell that from a purge.
func uncertified(found ledger.Audited, evidence *custody.Evidence) *ledger.AuditError {
	gone := make([]hippad.Range, len(found.Gone))
	for i, g := range found.Gone {
		gone[i] = g.Range
	}
	missing := evidence.Uncertified(gone)
	if len(missing) == 0 {
		return nil
	}
	why := "no certificate of a purge names it"
	if unfinished := evidence.Unfinished(); len(unfinished) > 0 {
		why += fmt.Sprintf("; the purge of request %d was interrupted: the next start of the server finishes it", unfinished[0])
	}
	return &ledger.AuditError{Index: missing[0].First, What: "the content is gone, and " + why}
}

// openForAudit opens a data directory without changing anything in it. For the structure alone no key is needed but the public one.
func openForAudit(ctx context.Context, data string, structure bool, m *masterFlags) (o ledger.Options, store *localstore.Store, err error) {
	if structure {
		text, err := os.ReadFile(filepath.Join(data, verifierFile))
		if err != nil {
			return o, nil, hippad.Errorf(hippad.NotFound, "%s is not the data directory of a hippad server: it has no log.vkey", data).WithHint("give the directory with --data")
		}
		if o.Verifier, err = note.NewVerifier(strings.TrimSpace(string(text))); err != nil {
			return o, nil, hippad.Errorf(hippad.Invalid, "%s holds no verifier key", filepath.Join(data, verifierFile))
		}
	} else {
		dir := filepath.Join(data, "keys")
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return o, nil, hippad.Errorf(hippad.NotFound, "%s is not the data directory of a hippad server: it has no keys", data).
				WithHint("give the directory with --data; without keys, --structure audits what can be")
		}
		options, err := m.options()
		if err != nil {
			return o, nil, err
		}
		options.ReadOnly = true
		k, err := seal.Open(ctx, dir, options)
		if err != nil {
			return o, nil, err
		}
		o = ledgerOptions(k, nil, nil, slog.New(slog.DiscardHandler))
	}
	store, err = localstore.OpenReadOnly(filepath.Join(data, "store"), localstore.Options{})
	return o, store, err
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

func auditResult(cmd *cobra.Command, asJSON bool, found ledger.Audited, wrong *ledger.AuditError) error {
	out := cmd.OutOrStdout()
	switch {
	case asJSON:
		result := struct {
			Sound       bool   `json:"sound"`
			Entries     int64  `json:"entries"`
			Destroyed   int64  `json:"destroyed,omitempty"`
			NotLookedAt int64  `json:"notLookedAt,omitempty"`
			Index       *int64 `json:"firstWrongIndex,omitempty"`
			Problem     string `json:"problem,omitempty"`
		}{Sound: wrong == nil, Entries: found.Entries, Destroyed: found.Destroyed, NotLookedAt: found.NotLookedAt}
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
	default:
		text := "every one as it was when it was signed"
		if found.Destroyed > 0 {
			text = fmt.Sprintf("%d destroyed by purges that have their certificates, every other one as it was when it was signed", found.Destroyed)
		}
		if found.NotLookedAt > 0 {
			text = fmt.Sprintf("every leaf as it was when it was signed; the content of %d was not looked at", found.NotLookedAt)
		}
		fmt.Fprintf(out, "%s: %d entries, %s\n", style(out, green, "sound"), found.Entries, text)
	}
	if wrong != nil {
		return errNo
	}
	return nil
}
