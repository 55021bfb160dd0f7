package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"hippad/receipt"
)

func newVerify() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "verify RECEIPT BODY",
		Short: "check offline that a report is in a log",
		Long: `Check that the file BODY is the report for which the log with the public key KEY has given RECEIPT.

It needs no network and no server. KEY is the text of a key (C2SP signed-note vkey) or a file with it, such as the
log.vkey in a server's data directory. The exit code is 0 for yes and 1 for no.`,
		Example: `  hippad verify 41.tlog-proof audit.xml --key hippad-data/log.vkey
  hippad verify 41.tlog-proof audit.xml --key audit.hospital.example/log+5f8c1c1e+AQ...`,
		Args: exactArgs("RECEIPT", "BODY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			verifier, err := readVerifier(key)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			body, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			proof, err := receipt.Verify(text, body, verifier)
			var mismatch *receipt.Mismatch
			if errors.As(err, &mismatch) {
				fmt.Fprintf(out, "%s: %v\n", style(out, red, "no"), err)
				return errNo
			}
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			l := proof.Leaf
			fmt.Fprintf(out, "%s: entry %d of %s, received %s by %s, %d bytes of %s\n", style(out, green, "yes"),
				proof.Index, verifier.Name(), l.Received.Format(time.RFC3339Nano), l.Door, l.Length, printable(l.Media))
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log's public `KEY`, or a file with it")
	return cmd
}

// readVerifier reads a public key given as text or as the name of a file.
func readVerifier(key string) (note.Verifier, error) {
	if key == "" {
		return nil, usagef("--key is missing: without the log's public key nothing is proved")
	}
	if text, err := os.ReadFile(key); err == nil {
		v, err := note.NewVerifier(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, usagef("%s holds no public key of a log", key)
		}
		return v, nil
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, usagef("--key %q is neither a file nor a public key", key)
	}
	return v, nil
}
