package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/account"
	"hippad/internal/repository"
)

// The calls of hippad account.
type (
	accountIn struct {
		Name         string        `json:"name"`
		Display      string        `json:"display,omitzero"`
		Roles        []hippad.Role `json:"roles,omitzero"`
		Organisation string        `json:"organisation,omitzero"`
	}
	codeOut struct {
		Code string `json:"code"`
	}
)

// accountRoutes are the server's side. Every change is an entry before it is made.
func (s *server) accountRoutes() []route {
	needs := hippad.ActConfigure
	change := func(what string, f func(context.Context, accountIn, account.Note) (string, error)) route {
		return route{pattern: "POST /admin/account/" + what, needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in accountIn) (codeOut, error) {
			code, err := f(ctx, in, func(ctx context.Context, about account.Account) error {
				return s.configured(ctx, c, repository.ActivityAccount, fmt.Sprintf("%s %q as %s", what, about.Name, joinRoles(about.Roles)))
			})
			return codeOut{code}, err
		})}
	}
	a := s.accounts
	return []route{
		{pattern: "POST /admin/account/list", needs: needs, handler: answers(s, func(context.Context, hippad.Caller, nothing) ([]account.Account, error) {
			return a.List(), nil
		})},
		change("add", func(ctx context.Context, in accountIn, note account.Note) (string, error) {
			return a.Add(ctx, in.Name, in.Display, in.Roles, in.Organisation, note)
		}),
		change("reset", func(ctx context.Context, in accountIn, note account.Note) (string, error) {
			return a.Reset(ctx, in.Name, note)
		}),
		change("roles", func(ctx context.Context, in accountIn, note account.Note) (string, error) {
			return "", a.SetRoles(ctx, in.Name, in.Roles, note)
		}),
		change("disable", func(ctx context.Context, in accountIn, note account.Note) (string, error) {
			return "", a.Disable(ctx, in.Name, note)
		}),
		change("enable", func(ctx context.Context, in accountIn, note account.Note) (string, error) {
			return "", a.Enable(ctx, in.Name, note)
		}),
		change("remove", func(ctx context.Context, in accountIn, note account.Note) (string, error) {
			return "", a.Remove(ctx, in.Name, note)
		}),
	}
}

func newAccount() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "the people who sign in with a browser",
		Long: `People sign in with a name, a password and a second factor, or by the identity provider that hippad serve --oidc names.
Systems and services are members: see hippad member.`,
		Example: `  hippad account add maria --display "Maria Lind" --role officer
  hippad account list`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAccountAdd(), newAccountList(),
		newAccountChange("reset", "give somebody a new password and second factor, by a one-time code"),
		newAccountChange("disable", "let somebody in no longer, and end the open sessions"),
		newAccountChange("enable", "let somebody in again"),
		newAccountChange("remove", "forget an account; what it did stays in the log"),
		newAccountRoles())
	return cmd
}

func newAccountAdd() *cobra.Command {
	var c connection
	var in accountIn
	var roles []string
	cmd := &cobra.Command{
		Use: "add NAME", Short: "make an account; the code it prints sets password and second factor at /setup",
		Example: `  hippad account add maria --display "Maria Lind" --role officer`, Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in.Name = args[0]
			if in.Roles, err = parseRoles(roles); err != nil {
				return err
			}
			return printCode(cmd, &c, "add", in)
		},
	}
	c.flags(cmd)
	cmd.Flags().StringArrayVar(&roles, "role", []string{string(hippad.RoleReviewer)}, "what the person may do, a `ROLE` of reviewer,officer,auditor,administrator; may be repeated")
	cmd.Flags().StringVar(&in.Display, "display", "", "the person's `NAME`")
	cmd.Flags().StringVar(&in.Organisation, "organisation", "", "the person's organisation, a `NAME`")
	return cmd
}

func printCode(cmd *cobra.Command, c *connection, what string, in accountIn) error {
	out, err := call[codeOut](cmd.Context(), c, "/admin/account/"+what, in)
	if err != nil || out.Code == "" {
		return err
	}
	address, err := c.address()
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "hippad: for %s, once, at https://%s/setup:\n", printable(in.Name), address)
	fmt.Fprintln(cmd.OutOrStdout(), out.Code)
	return nil
}

func newAccountChange(what, short string) *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: what + " NAME", Short: short, Example: "  hippad account " + what + " maria", Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printCode(cmd, &c, what, accountIn{Name: args[0]})
		},
	}
	c.flags(cmd)
	return cmd
}

func newAccountRoles() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "roles NAME ROLE...", Short: "change what somebody may do, and end the open sessions",
		Example: "  hippad account roles maria reviewer auditor",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("NAME and at least one ROLE are needed")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			roles, err := parseRoles(args[1:])
			if err != nil {
				return err
			}
			return printCode(cmd, &c, "roles", accountIn{Name: args[0], Roles: roles})
		},
	}
	c.flags(cmd)
	return cmd
}

func newAccountList() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "list the accounts", Example: "  hippad account list --json", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call[[]account.Account](cmd.Context(), &c, "/admin/account/list", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, list)
			}
			rows := [][]string{{"NAME", "PERSON", "ROLES", "ORGANISATION", "SINCE", "STATE"}}
			for _, a := range list {
				state := "good"
				switch {
				case a.Disabled:
					state = "disabled"
				case !a.Ready:
					state = "not set up"
				}
				rows = append(rows, []string{a.Name, printable(firstOf(a.Display, "-")), joinRoles(a.Roles), printable(firstOf(a.Organisation, "-")), day(a.Created), state})
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
