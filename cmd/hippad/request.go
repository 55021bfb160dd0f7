package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/custody"
	"hippad/internal/web"
)

// requestRoutes are the server's side of hippad request.
func (s *server) requestRoutes() []route {
	needs := hippad.ActConfirm
	return []route{
		{pattern: "POST /admin/request/list", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, _ nothing) ([]custody.Request, error) {
			return s.custody.Requests(ctx, c)
		})},
		{pattern: "POST /admin/request/confirm", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in idIn) (custody.Request, error) {
			return s.confirm(ctx, c, in.ID)
		})},
		{pattern: "POST /admin/request/refuse", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in idIn) (custody.Request, error) {
			return s.custody.Refuse(ctx, c, in.ID)
		})},
	}
}

// webRequests shows the requests as the pages want them.
func (s *server) webRequests(ctx context.Context, c hippad.Caller) ([]web.Request, error) {
	list, err := s.custody.Requests(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []web.Request
	for _, r := range list {
		out = append(out, web.Request{ID: r.ID, Kind: string(r.Kind), What: r.What(), Reason: r.Reason, By: whoIs(r.By), State: string(r.State), At: r.At, Expires: r.Expires})
	}
	return out, nil
}

func newRequest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "request",
		Short: "what waits for a second pair of eyes",
		Long: `An export and a purge are asked for by one and confirmed by another. The one who confirms runs these commands with a
certificate of their own, or uses the page /requests.`,
		Example: `  hippad request list
  hippad request confirm 1311 --server audit.hospital.example:2988 --ca ca.pem --cert maria.pem`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRequestList(), newRequestDecide("confirm", "let it happen; a purge happens at once"), newRequestDecide("refuse", "let it not happen"))
	return cmd
}

func newRequestList() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "list the requests, newest first", Example: "  hippad request list --json", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call[[]custody.Request](cmd.Context(), &c, "/admin/request/list", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, list)
			}
			rows := [][]string{{"ID", "KIND", "WHAT", "BY", "UNTIL", "STATE", "REASON"}}
			for _, r := range list {
				rows = append(rows, []string{fmt.Sprint(r.ID), string(r.Kind), printable(r.What()), printable(whoIs(r.By)), day(r.Expires), string(r.State), printable(r.Reason)})
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newRequestDecide(what, short string) *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use: what + " ID", Short: short, Example: "  hippad request " + what + " 1311", Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseIndex(args[0])
			if err != nil {
				return usageError{err}
			}
			r, err := call[custody.Request](cmd.Context(), &c, "/admin/request/"+what, idIn{ID: id})
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %d: %s\n", r.Kind, r.ID, r.State)
			}
			return err
		},
	}
	c.flags(cmd)
	return cmd
}
