package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/identity"
	"hippad/internal/repository"
)

// The calls of hippad authority.
type (
	trustIn struct {
		Name         string        `json:"name"`
		PEM          []byte        `json:"pem"`
		Roles        []hippad.Role `json:"roles"`
		Organisation string        `json:"organisation,omitzero"`
		FromSubject  bool          `json:"fromSubject,omitzero"`
	}
	crlIn struct {
		Name string `json:"name"`
		CRL  []byte `json:"crl"`
	}
)

// authorityRoutes are the server's side.
func (s *server) authorityRoutes() []route {
	needs := hippad.ActConfigure
	return []route{
		{pattern: "POST /admin/authority/list", needs: needs, handler: answers(s, func(context.Context, hippad.Caller, nothing) ([]identity.TrustedAuthority, error) {
			return s.authority.Authorities(), nil
		})},
		{pattern: "POST /admin/authority/add", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in trustIn) (nothing, error) {
			err := s.configured(ctx, c, repository.ActivityMember, fmt.Sprintf("trust the authority %q for %s", in.Name, joinRoles(in.Roles)))
			if err == nil {
				err = s.authority.Trust(in.Name, in.PEM, in.Roles, in.Organisation, in.FromSubject)
			}
			return nothing{}, err
		})},
		{pattern: "POST /admin/authority/remove", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in nameIn) (nothing, error) {
			err := s.configured(ctx, c, repository.ActivityMember, fmt.Sprintf("trust the authority %q no longer", in.Name))
			if err == nil {
				err = s.authority.Distrust(in.Name)
			}
			return nothing{}, err
		})},
		{pattern: "POST /admin/authority/crl", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in crlIn) (nothing, error) {
			err := s.configured(ctx, c, repository.ActivityMember, fmt.Sprintf("revocation list of the authority %q", in.Name))
			if err == nil {
				err = s.authority.SetCRL(in.Name, in.CRL)
			}
			return nothing{}, err
		})},
	}
}

func newAuthority() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "authority",
		Short: "which other certificate authorities are trusted",
		Long:  `Reporters may come with certificates of authorities that exist already, an IHE affinity domain's for one.`,
		Example: `  hippad authority add regional regional-ca.pem --organisation-from-subject
  hippad authority crl regional regional.crl`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuthorityAdd(), newAuthorityList(), newAuthorityRemove(), newAuthorityCRL())
	return cmd
}

func newAuthorityAdd() *cobra.Command {
	var c connection
	var in trustIn
	var roles []string
	cmd := &cobra.Command{
		Use: "add NAME FILE", Short: "trust the authority whose certificate is in FILE (PEM)",
		Example: `  hippad authority add regional regional-ca.pem --organisation "Regional HIE"`, Args: exactArgs("NAME", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in.Name = args[0]
			if in.Roles, err = parseRoles(roles); err != nil {
				return err
			}
			if in.PEM, err = os.ReadFile(args[1]); err != nil {
				return err
			}
			_, err = call[nothing](cmd.Context(), &c, "/admin/authority/add", in)
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().StringArrayVar(&roles, "role", []string{string(hippad.RoleReporter)}, "what its certificates may do, a `ROLE`; may be repeated")
	cmd.Flags().StringVar(&in.Organisation, "organisation", "", "`NAME` of the organisation whose systems it certifies")
	cmd.Flags().BoolVar(&in.FromSubject, "organisation-from-subject", false, "the organisation is the O of each certificate's subject")
	return cmd
}

func newAuthorityList() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "list the trusted authorities", Example: "  hippad authority list", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call[[]identity.TrustedAuthority](cmd.Context(), &c, "/admin/authority/list", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, list)
			}
			rows := [][]string{{"NAME", "ROLES", "ORGANISATION", "UNTIL", "REVOCATION LIST"}}
			for _, a := range list {
				organisation := printable(firstOf(a.Organisation, "-"))
				if a.OrganisationFromSubject {
					organisation = "from subject"
				}
				rows = append(rows, []string{printable(a.Name), joinRoles(a.Roles), organisation, day(a.Expires), day(a.CRLUpdated)})
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newAuthorityRemove() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "trust an authority no longer, and close the connections of its certificates",
		Example: "  hippad authority remove regional", Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := call[nothing](cmd.Context(), &c, "/admin/authority/remove", nameIn{args[0]})
			return err
		},
	}
	c.flags(cmd)
	return cmd
}

func newAuthorityCRL() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "crl NAME FILE", Short: "take in an authority's newest revocation list (PEM or DER)",
		Example: "  hippad authority crl regional regional.crl", Args: exactArgs("NAME", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			_, err = call[nothing](cmd.Context(), &c, "/admin/authority/crl", crlIn{args[0], text})
			return err
		},
	}
	c.flags(cmd)
	return cmd
}
