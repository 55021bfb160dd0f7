package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/identity"
	"hippad/internal/repository"
)

// The calls of hippad member, and what they take and give.
type (
	inviteIn struct {
		Member identity.Member `json:"member"`
		Life   int64           `json:"life"` // seconds
	}
	pinIn struct {
		Member identity.Member `json:"member"`
		PEM    []byte          `json:"pem"`
	}
	secretOut struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	nameIn struct {
		Name string `json:"name"`
	}
	nothing struct{}
)

// memberRoutes are the server's side.
func (s *server) memberRoutes() []route {
	needs := hippad.ActConfigure
	return []route{
		{pattern: "POST /admin/member/list", needs: needs, handler: answers(s, func(_ context.Context, _ hippad.Caller, _ nothing) ([]identity.Member, error) {
			return s.authority.Members(), nil
		})},
		{pattern: "POST /admin/member/invite", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in inviteIn) (out secretOut, err error) {
			if err = s.configured(ctx, c, repository.ActivityMember, "invite "+describeMember(in.Member)); err == nil {
				out.Secret, out.ID, err = s.authority.Invite(in.Member, time.Duration(in.Life)*time.Second)
			}
			return out, err
		})},
		{pattern: "POST /admin/member/pin", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in pinIn) (out identity.Member, err error) {
			if err = s.configured(ctx, c, repository.ActivityMember, "pin a certificate for "+describeMember(in.Member)); err == nil {
				out, err = s.authority.Pin(in.Member, in.PEM)
			}
			return out, err
		})},
		{pattern: "POST /admin/member/token", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in identity.Member) (out secretOut, err error) {
			if err = s.configured(ctx, c, repository.ActivityMember, "issue a token to "+describeMember(in)); err == nil {
				out.Secret, out.ID, err = s.authority.IssueToken(in)
			}
			return out, err
		})},
		{pattern: "POST /admin/member/revoke", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in nameIn) (nothing, error) {
			err := s.configured(ctx, c, repository.ActivityMember, "revoke "+in.Name)
			if err == nil {
				err = s.authority.Revoke(in.Name)
			}
			return nothing{}, err
		})},
	}
}

// describeMember says what a member may do, for the entry about the change. It is in the log, where bodies are sealed.
func describeMember(m identity.Member) string {
	text := fmt.Sprintf("%q as %s", m.Name, joinRoles(m.Roles))
	if m.Organisation != "" {
		text += fmt.Sprintf(" of %q", m.Organisation)
	}
	if len(m.Scopes) > 0 {
		text += " with " + strings.Join(m.Scopes, " ")
	}
	return text
}

func joinRoles(roles []hippad.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ",")
}

// parseRoles reads --role.
func parseRoles(names []string) ([]hippad.Role, error) {
	var roles []hippad.Role
	for _, name := range names {
		r := hippad.Role(name)
		if !slices.Contains(hippad.Roles, r) {
			return nil, usagef("there is no role %q: want one of %s", name, joinRoles(hippad.Roles))
		}
		roles = append(roles, r)
	}
	return roles, nil
}

func newMember() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "member",
		Short: "who may report or ask: invite, pin, give a token, revoke",
		Long: `Members are the systems and services that may report or ask, by certificate or by bearer token. (People sign in: see
hippad account. Whole certificate authorities are trusted by hippad authority.) Every change is in the log.`,
		Example: `  hippad member invite pacs-1 --organisation "North Hospital"
  hippad member token portal --scope system/AuditEvent.c
  hippad member list`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMemberInvite(), newMemberPin(), newMemberToken(), newMemberList(), newMemberRevoke())
	return cmd
}

// memberFlags are what can be said of a new member.
type memberFlags struct {
	roles []string
	m     identity.Member
}

func (f *memberFlags) add(cmd *cobra.Command, roles ...string) {
	if len(roles) > 0 {
		cmd.Flags().StringArrayVar(&f.roles, "role", roles, "what it may do, a `ROLE` of "+joinRoles(hippad.Roles)+"; may be repeated")
	}
	cmd.Flags().StringVar(&f.m.Organisation, "organisation", "", "whose it is: `NAME` of the organisation that it reports for")
	cmd.Flags().StringArrayVar(&f.m.Sites, "site", nil, "AuditSourceID or AuditEnterpriseSiteID `ID` in whose name it may report; may be repeated (default: not compared)")
	cmd.Flags().StringVar(&f.m.Patient, "patient", "", "with role patient or a patient/ scope: `ID` of the only patient that it sees")
}

func (f *memberFlags) member(name string) (m identity.Member, err error) {
	m = f.m
	m.Name = name
	m.Roles, err = parseRoles(f.roles)
	return m, err
}

func newMemberInvite() *cobra.Command {
	var c connection
	var f memberFlags
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "let a system or service enrol for a certificate, with a one-time token",
		Long: `Make a one-time token. With it the member's machine makes its own key and gets a certificate from this log's authority
(hippad enroll); the key never leaves that machine.`,
		Example: `  hippad member invite pacs-1 --organisation "North Hospital"
  hippad member invite dashboard --role auditor --life 1h`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := f.member(args[0])
			if err != nil {
				return err
			}
			out, err := call[secretOut](cmd.Context(), &c, "/admin/member/invite", inviteIn{m, int64(life / time.Second)})
			if err != nil {
				return err
			}
			address, err := c.address()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %s is invited as %s for %v; on its machine:\n", printable(m.Name), out.ID, life)
			fmt.Fprintf(cmd.OutOrStdout(), "hippad enroll --server %s --token %s\n", address, out.Secret)
			return nil
		},
	}
	c.flags(cmd)
	f.add(cmd, string(hippad.RoleReporter))
	cmd.Flags().DurationVar(&life, "life", 24*time.Hour, "how long the token can be used, a `DURATION`")
	return cmd
}

func newMemberPin() *cobra.Command {
	var c connection
	var f memberFlags
	cmd := &cobra.Command{
		Use:     "pin NAME FILE",
		Short:   "admit one certificate that exists already, self-signed or from anywhere",
		Long:    "Admit exactly the certificate in FILE (PEM), as ITI-19 wants it besides authorities.",
		Example: `  hippad member pin ct-scanner ct.pem --organisation "North Hospital"`,
		Args:    exactArgs("NAME", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := f.member(args[0])
			if err != nil {
				return err
			}
			text, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			out, err := call[identity.Member](cmd.Context(), &c, "/admin/member/pin", pinIn{m, text})
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), out.ID)
			}
			return err
		},
	}
	c.flags(cmd)
	f.add(cmd, string(hippad.RoleReporter))
	return cmd
}

func newMemberToken() *cobra.Command {
	var c connection
	var f memberFlags
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "give a FHIR sender or service a bearer token",
		Long: `Make a bearer token for one that cannot show a certificate. It is shown once. What it may do are SMART scopes:
system/AuditEvent.c to report, system/AuditEvent.rs to search and read, patient/AuditEvent.rs for one patient.`,
		Example: `  hippad member token portal --scope system/AuditEvent.c
  hippad member token ada-portal --scope patient/AuditEvent.rs --patient 'urn:oid:1.2.3|4711'`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := f.member(args[0])
			if err != nil {
				return err
			}
			if len(m.Scopes) == 0 {
				return usagef("--scope is missing: system/AuditEvent.c to report, system/AuditEvent.rs to search and read, patient/AuditEvent.rs for one patient")
			}
			out, err := call[secretOut](cmd.Context(), &c, "/admin/member/token", m)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %s is %s; keep its token, it is not shown again:\n", printable(m.Name), out.ID)
			fmt.Fprintln(cmd.OutOrStdout(), out.Secret)
			return nil
		},
	}
	c.flags(cmd)
	f.add(cmd)
	cmd.Flags().StringArrayVar(&f.m.Scopes, "scope", nil, "a SMART `SCOPE`; may be repeated")
	return cmd
}

func newMemberList() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "list the members", Example: "  hippad member list --json", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			members, err := call[[]identity.Member](cmd.Context(), &c, "/admin/member/list", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, members)
			}
			rows := [][]string{{"ID", "NAME", "KIND", "ROLES", "ORGANISATION", "UNTIL", "STATE"}}
			for _, m := range members {
				state := "good"
				switch {
				case !m.Revoked.IsZero():
					state = "revoked"
				case m.Kind == "certificate" && len(m.Fingerprints) == 0:
					state = "invited"
				}
				rows = append(rows, []string{m.ID, printable(m.Name), m.Kind, joinRoles(m.Roles), printable(firstOf(m.Organisation, "-")), day(m.Expires), state})
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// day writes a time for a table.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("2006-01-02")
}

// printJSON writes v as indented JSON.
func printJSON(cmd *cobra.Command, v any) error {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err == nil {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
	}
	return err
}

func newMemberRevoke() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "admit a member no longer, and close its connections",
		Example: "  hippad member revoke m-7f3a91c2", Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := call[nothing](cmd.Context(), &c, "/admin/member/revoke", nameIn{args[0]})
			return err
		},
	}
	c.flags(cmd)
	return cmd
}
