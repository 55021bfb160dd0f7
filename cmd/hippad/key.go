package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hippad"
	"hippad/internal/repository"
	"hippad/internal/seal"
)

// masterFlags say where the master key of a data directory is.
type masterFlags struct {
	file, passphraseFile                         string
	transit, transitKey, transitMount, namespace string
	transitTokenFile, transitCA                  string
}

func (m *masterFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.file, "master-key", "", "`FILE` with the master key, if it is not in the key folder")
	f.StringVar(&m.passphraseFile, "passphrase-file", "", "`FILE` with the passphrase that the master key is drawn from; - asks for it")
	f.StringVar(&m.transit, "transit", "", "`URL` of a server with the transit engine of HashiCorp Vault or OpenBao, which keeps the master key")
	f.StringVar(&m.transitKey, "transit-key", "hippad", "`NAME` of the transit key")
	f.StringVar(&m.transitMount, "transit-mount", "transit", "`PATH` of the transit engine")
	f.StringVar(&m.namespace, "transit-namespace", "", "`NAME` of the namespace, if there are any")
	f.StringVar(&m.transitTokenFile, "transit-token-file", "", "`FILE` with the token for the transit engine; read again for each request")
	f.StringVar(&m.transitCA, "transit-ca", "", "PEM `FILE` with the authority of the transit engine's certificate")
}

// config returns the master that the flags describe; the zero one when they describe none.
func (m *masterFlags) config() (seal.MasterConfig, error) {
	n := 0
	for _, s := range []string{m.file, m.passphraseFile, m.transit} {
		if s != "" {
			n++
		}
	}
	switch {
	case n > 1:
		return seal.MasterConfig{}, usagef("only one of --master-key, --passphrase-file and --transit")
	case m.passphraseFile != "":
		return seal.MasterConfig{Kind: seal.MasterPassphrase}, nil
	case m.transit != "":
		t := seal.Transit{Address: m.transit, Mount: m.transitMount, Key: m.transitKey, Namespace: m.namespace}
		if m.transitCA != "" {
			text, err := os.ReadFile(m.transitCA)
			if err != nil {
				return seal.MasterConfig{}, usageError{err}
			}
			t.CA = string(text)
		}
		return seal.MasterConfig{Kind: seal.MasterTransit, Transit: t}, nil
	case m.file != "":
		return seal.MasterConfig{Kind: seal.MasterFile, File: m.file}, nil
	}
	return seal.MasterConfig{}, nil
}

func (m *masterFlags) options() (o seal.Options, err error) {
	o.Master, err = m.config()
	o.Passphrase, o.TransitToken = m.passphrase, m.token
	return o, err
}

// args returns the flags again, for another command.
func (m *masterFlags) args() (args []string) {
	for _, f := range [][2]string{
		{"master-key", m.file}, {"passphrase-file", m.passphraseFile}, {"transit", m.transit}, {"transit-token-file", m.transitTokenFile},
		{"transit-ca", m.transitCA}, {"transit-namespace", m.namespace},
	} {
		if f[1] != "" {
			args = append(args, "--"+f[0], f[1])
		}
	}
	if m.transit != "" {
		args = append(args, "--transit-key", m.transitKey, "--transit-mount", m.transitMount)
	}
	return args
}

func (m *masterFlags) passphrase() ([]byte, error) {
	switch m.passphraseFile {
	case "":
		return nil, hippad.Errorf(hippad.Unauthorised, "the master key is drawn from a passphrase").WithHint("give it with --passphrase-file FILE, or - to be asked")
	case "-":
		return askSecret("passphrase: ")
	}
	return readSecret(m.passphraseFile)
}

func (m *masterFlags) token() ([]byte, error) {
	if m.transitTokenFile == "" {
		return nil, hippad.Errorf(hippad.Unauthorised, "the transit engine needs a token").WithHint("give it with --transit-token-file FILE")
	}
	return readSecret(m.transitTokenFile)
}

// readSecret reads a file that holds one line.
func readSecret(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, hippad.Errorf(hippad.Unauthorised, "read a secret: %w", err)
	}
	return bytes.TrimRight(text, "\r\n"), nil
}

// askSecret asks on the terminal, without showing what is typed.
func askSecret(prompt string) ([]byte, error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, usagef("there is no terminal to ask for the %s: give a file", prompt[:len(prompt)-2])
	}
	fmt.Fprint(os.Stderr, prompt)
	defer fmt.Fprintln(os.Stderr)
	return term.ReadPassword(fd)
}

// keyRoutes are the server's side of hippad key.
func (s *server) keyRoutes() []route {
	return []route{
		{pattern: "POST /admin/key/list", needs: hippad.ActProve, handler: answers(s, func(context.Context, hippad.Caller, nothing) (keyList, error) {
			return keyList{s.keys.Master(), s.keys.DataKeys()}, nil
		})},
		{pattern: "POST /admin/key/rotate", needs: hippad.ActConfigure, handler: answers(s, func(ctx context.Context, c hippad.Caller, in rotateIn) (nothing, error) {
			err := s.configured(ctx, c, repository.ActivityRotate, "seal every key anew under a new master key")
			if err == nil {
				secret := func() ([]byte, error) { return bytes.Clone(in.Secret), nil }
				err = s.keys.Rotate(ctx, in.Master, secret, secret)
			}
			return nothing{}, err
		})},
	}
}

type (
	keyList struct {
		Master string         `json:"master"`
		Keys   []seal.DataKey `json:"keys"`
	}
	rotateIn struct {
		Master seal.MasterConfig `json:"master"`
		Secret []byte            `json:"secret,omitzero"` // passphrase or transit token
	}
)

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "the keys that seal what is on the disk",
		Long: `Every body is sealed under a data key of its month and retention class; data keys are wrapped by a master key. See
docs/operations.md for what losing each means.`,
		Example: "  hippad key list\n  hippad key rotate --passphrase-file -",
		Args:    onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeyList(), newKeyRotate())
	return cmd
}

func newKeyList() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "list the data keys, without showing them", Example: "  hippad key list --json", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call[keyList](cmd.Context(), &c, "/admin/key/list", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, list)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: wrapped by %s\n", list.Master)
			rows := [][]string{{"ID", "MONTH", "CLASS", "MADE", "DESTROYED"}}
			for _, k := range list.Keys {
				rows = append(rows, []string{fmt.Sprint(k.ID), k.Month, k.Class, day(k.Created), day(k.Destroyed)})
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newKeyRotate() *cobra.Command {
	var c connection
	var m masterFlags
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "seal every key anew under a new master key",
		Long: `Make a new master key, of the same or another kind, and seal every key anew under it. No body is written again, and the
server goes on meanwhile. Old copies of the key folder can be opened with the old master key only: destroy that one, and
what they still hold is gone. Without flags the new master key is a new file in the key folder.`,
		Example: `  hippad key rotate
  hippad key rotate --passphrase-file /run/hippad/passphrase
  hippad key rotate --transit https://vault.hospital.example:8200 --transit-token-file /run/hippad/token`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			in := rotateIn{}
			if in.Master, err = m.config(); err != nil {
				return err
			}
			switch in.Master.Kind {
			case seal.MasterPassphrase:
				in.Secret, err = m.passphrase()
			case seal.MasterTransit:
				in.Secret, err = m.token()
			}
			if err != nil {
				return err
			}
			_, err = call[nothing](cmd.Context(), &c, "/admin/key/rotate", in)
			return err
		},
	}
	c.flags(cmd)
	m.add(cmd)
	return cmd
}
