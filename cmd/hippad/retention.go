package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/custody"
	"hippad/internal/front"
	"hippad/internal/regulation"
)

// openClasses reads the classes of retention; without a file everything is kept for six years.
func openClasses(file string) (*regulation.Classes, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("--retention: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return regulation.Parse(f)
}

// openCustody replays holds, requests and purges from the log. A purge that was interrupted is finished once the server runs.
func (s *server) openCustody(ctx context.Context) (*custody.Custody, error) {
	return custody.Open(ctx, custody.Config{
		Ledger: s.ledger, Repository: s.repo, Classes: s.classes, Now: s.config.now, Log: s.log, VerifierKey: s.keys.VerifierKey,
		DataKeys: func() (list []custody.DataKey) {
			for _, k := range s.keys.DataKeys() {
				list = append(list, custody.DataKey(k))
			}
			return list
		},
		DestroyKeys: func(ctx context.Context, ids []uint32) error { return s.keys.Destroy(ctx, ids...) },
		Compact:     s.store.Forget,
	})
}

// confirm is the second pair of eyes: a purge is done at once, and goes on when whoever confirmed it does not wait.
func (s *server) confirm(ctx context.Context, c hippad.Caller, id int64) (custody.Request, error) {
	return s.custody.Confirm(context.WithoutCancel(ctx), c, id, nil)
}

type (
	purgeIn struct {
		Months   []string `json:"months,omitzero"`
		Classes  []string `json:"classes,omitzero"`
		Override string   `json:"override,omitzero"`
		Reason   string   `json:"reason"`
	}
	exportIn struct {
		Query  hippad.Query `json:"query"`
		Reason string       `json:"reason"`
	}
)

// custodyRoutes are the server's side of retention, hold, request, purge and export.
func (s *server) custodyRoutes() []route {
	return append(append(s.holdRoutes(), s.requestRoutes()...), []route{
		{pattern: "POST /admin/retention", needs: hippad.ActRetain, handler: answers(s, func(ctx context.Context, c hippad.Caller, _ nothing) (custody.Plan, error) {
			return s.custody.Retention(ctx, c)
		})},
		{pattern: "POST /admin/purge/ask", needs: hippad.ActRetain, handler: answers(s, func(ctx context.Context, c hippad.Caller, in purgeIn) (custody.Request, error) {
			return s.custody.AskPurge(ctx, c, custody.PurgeOrder{Months: in.Months, Classes: in.Classes, Override: in.Override}, in.Reason)
		})},
		{pattern: "POST /admin/export/ask", needs: hippad.ActExport, handler: answers(s, func(ctx context.Context, c hippad.Caller, in exportIn) (custody.Request, error) {
			return s.custody.AskExport(ctx, c, in.Query, in.Reason)
		})},
		{pattern: "POST /admin/export/fetch", needs: hippad.ActExport, handler: s.archive("export", s.custody.Export)},
	}...)
}

// archive answers with the archive that write writes for a number. Once its first byte is out an error can only end the connection, and the archive
// has no end.
func (s *server) archive(what string, write func(context.Context, hippad.Caller, int64, io.Writer) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		var in idIn
		if err := readCall(r, maxCall, &in); err != nil {
			s.refuseCall(w, r, err)
			return
		}
		out := &begun{w: w}
		if err := write(r.Context(), front.CallerOf(r), in.ID, out); err != nil {
			if out.yes {
				s.log.Error(what, "number", in.ID, "error", err)
				panic(http.ErrAbortHandler)
			}
			s.refuseCall(w, r, err)
		}
	})
}

// begun writes an archive as an answer and notes that it has begun.
type begun struct {
	w   http.ResponseWriter
	yes bool
}

func (b *begun) Write(p []byte) (int, error) {
	if !b.yes {
		b.yes = true
		b.w.Header().Set("Content-Type", "application/x-tar")
	}
	return b.w.Write(p)
}

func newRetention() *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "retention",
		Short: "what would go, what would not, and why",
		Long: `Show, for each data key (a month and a class), when its content may go, how much of it is held back by a legal hold, and
why nothing goes yet. Six years are the default (45 CFR 164.316(b)(2)(i), 164.528). Nothing ever goes by itself: see hippad purge.`,
		Example: "  hippad retention\n  hippad retention --json",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, err := call[custody.Plan](cmd.Context(), &c, "/admin/retention", nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, plan)
			}
			rows := [][]string{{"MONTH", "CLASS", "ENDS", "STATE", "ENTRIES", "KEPT", "WHY"}}
			for _, k := range plan.Keys {
				entries, kept := "-", "-"
				if k.Entries > 0 {
					entries, kept = fmt.Sprint(k.Entries), fmt.Sprint(k.Kept)
				}
				rows = append(rows, []string{k.Month, k.Class, day(k.Ends), k.State, entries, kept, printable(firstOf(k.Why, "-"))})
			}
			writeTable(cmd.OutOrStdout(), rows)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newPurge() *cobra.Command {
	var c connection
	var in purgeIn
	cmd := &cobra.Command{
		Use:   "purge --reason WORDS",
		Short: "ask for the end of content whose time is over",
		Long: `Ask for a purge; somebody else must confirm it (hippad request confirm, or the page /requests), and then it is done. The keys of
the content are destroyed, and the content taken out of the store; every receipt, old or new, still holds. What a legal hold
matches stays. A certificate in the log says what went, why, and who decided it.`,
		Example: `  hippad purge --reason "end of retention 2026"
  hippad purge --month 2026-11 --class default --override "test data, agreed with the privacy officer" --reason "test system"`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.Reason == "" {
				return usagef("--reason is missing")
			}
			r, err := call[custody.Request](cmd.Context(), &c, "/admin/purge/ask", in)
			if err != nil {
				return err
			}
			return asked(cmd, r)
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&in.Months, "month", nil, "only this `MONTH` (2020-11); may be repeated")
	f.StringArrayVar(&in.Classes, "class", nil, "only this `CLASS` of retention; may be repeated")
	f.StringVar(&in.Override, "override", "", "`WORDS` why content may go before its time; needs --month. A hold is never overridden")
	f.StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	return cmd
}

// asked tells what is waiting for somebody else.
func asked(cmd *cobra.Command, r custody.Request) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %s; somebody else must confirm it by %s: hippad request confirm %d\n", printable(r.What()), day(r.Expires), r.ID)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), r.ID)
	return err
}

func newExport() *cobra.Command {
	var c connection
	var reason, out string
	var id int64
	cmd := &cobra.Command{
		Use:   "export [QUERY]",
		Short: "take entries out in bulk, with proofs, by two people",
		Long: `Ask for an export of everything that answers a query (as in hippad search); somebody else must confirm it. Then whoever asked fetches
it with --request: a tar of the reports as they came, each with its receipt, and the log's key, all of which verify offline.`,
		Example: `  hippad export patient=4711 --reason "accounting of disclosures for the patient"
  hippad export --request 1311 --out 4711.tar`,
		Args: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			if id < 0 {
				q, err := parseQuery(args)
				if err != nil {
					return err
				}
				if reason == "" {
					return usagef("--reason is missing")
				}
				r, err := call[custody.Request](cmd.Context(), &c, "/admin/export/ask", exportIn{q, reason})
				if err != nil {
					return err
				}
				return asked(cmd, r)
			}
			if out == "" || len(args) > 0 {
				return usagef("--request takes --out FILE and no query")
			}
			return fetchTo(cmd.Context(), &c, id, out)
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&reason, "reason", "", "why, in `WORDS`")
	f.Int64Var(&id, "request", -1, "fetch what was confirmed under this `ID`")
	f.StringVar(&out, "out", "", "`FILE` for the archive; it must not exist")
	return cmd
}

// fetchTo writes an export to a new file, whole or not at all.
func fetchTo(ctx context.Context, c *connection, id int64, out string) error {
	if err := mustBeNew(out); err != nil {
		return err
	}
	body, err := c.post(ctx, "/admin/export/fetch", idIn{ID: id})
	if err != nil {
		return err
	}
	defer body.Close()
	return writeNew(out, func(w io.Writer) error {
		_, err := io.Copy(w, body)
		return err
	})
}
