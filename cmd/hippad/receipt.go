package main

import (
	"context"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/durable"
	"hippad/internal/front"
)

func newReceipt() *cobra.Command {
	var c connection
	var out, bodyFile string
	cmd := &cobra.Command{
		Use:   "receipt INDEX",
		Short: "fetch the receipt of an entry, and its report",
		Long: `Fetch the receipt of the entry with the given index: a C2SP tlog-proof file that proves offline, with the report and the
log's public key, that the entry is in the log (see hippad verify).`,
		Example: `  hippad receipt 41
  hippad receipt 41 --out 41.tlog-proof --body 41.body`,
		Args: exactArgs("INDEX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := parseIndex(args[0])
			if err != nil {
				return usageError{err}
			}
			client, err := c.asOperator(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			text, err := client.Receipt(cmd.Context(), index)
			if err != nil {
				return err
			}
			if bodyFile != "" {
				e, err := fetchEntry(cmd.Context(), client, index)
				if err != nil {
					return err
				}
				if err := durable.WriteFile(bodyFile, e.Body, 0o600); err != nil {
					return err
				}
			}
			if out != "" {
				return durable.WriteFile(out, text, 0o644)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "write the receipt to this `FILE` instead of stdout")
	cmd.Flags().StringVar(&bodyFile, "body", "", "also write the report, byte for byte, to this `FILE`")
	return cmd
}

func parseIndex(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, hippad.Errorf(hippad.Invalid, "%q is not the index of an entry: want 0, 1, 2 ...", s)
	}
	return n, nil
}

func fetchEntry(ctx context.Context, s hippad.Session, index int64) (hippad.Entry, error) {
	for e, err := range s.Search(ctx, hippad.Query{Indexes: []int64{index}, Limit: 1}) {
		return e, err
	}
	return hippad.Entry{}, hippad.Errorf(hippad.NotFound, "there is no entry %d", index)
}

// receiptHandler answers GET /log/receipt/{index}, where the Link of a FHIR 201 points.
func (s *server) receiptHandler() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		index, err := parseIndex(r.PathValue("index"))
		var text hippad.Receipt
		if err == nil {
			text, err = s.repo.As(front.CallerOf(r), hippad.DoorFHIR).Receipt(r.Context(), index)
		}
		if err != nil {
			status := http.StatusInternalServerError
			switch hippad.KindOf(err) {
			case hippad.Invalid, hippad.NotFound:
				status = http.StatusNotFound
			case hippad.Unauthorised:
				status = http.StatusForbidden
			case hippad.Busy, hippad.Unavailable:
				status = http.StatusServiceUnavailable
			default:
				s.log.Error("receipt", "index", index, "error", err)
			}
			message, _ := hippad.Public(err)
			http.Error(w, message, status)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "private, no-cache")
		_, _ = w.Write(text)
	}
}
