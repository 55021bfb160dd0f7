package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/repository"
)

// The calls of hippad compliance. Nothing of a body is in them.
type (
	complianceIn struct {
		From      regulation.Date `json:"from,omitzero"` // of the organisation's days; zero: a year before To
		To        regulation.Date `json:"to,omitzero"`   // inclusive; zero: today
		Catalogue string          `json:"catalogue"`
	}
	complianceOut struct {
		Facts        regulation.Facts `json:"facts"`
		Organisation organisation     `json:"organisation"`
	}
	// organisation is who answers for the log, for a letterhead.
	organisation struct {
		Name    string   `json:"name"`
		Address []string `json:"address,omitzero"`
	}
)

// complianceRoutes are the server's side: for those who answer for the organisation, and for auditors, who may know counts and no bodies.
func (s *server) complianceRoutes() []route {
	return []route{
		{pattern: "POST /admin/compliance", needs: hippad.ActProve, handler: answersInSteps(s, maxCall, s.compliance)},
	}
}

// compliance counts the log. What is asked is an entry first. Kind Busy while somebody else has it counted.
func (s *server) compliance(ctx context.Context, who hippad.Caller, in complianceIn, progress func(done, total int64)) (complianceOut, error) {
	span, err := s.complianceSpan(in)
	if err != nil {
		return complianceOut{}, err
	}
	if _, err := regulation.FindCatalogue(in.Catalogue); err != nil {
		return complianceOut{}, err
	}
	if !s.counting.TryLock() {
		return complianceOut{}, hippad.Errorf(hippad.Busy, "somebody else has the log counted just now").WithHint("try again later")
	}
	defer s.counting.Unlock()
	text := fmt.Sprintf("compliance catalogue=%s from=%s to=%s", in.Catalogue, span.from, span.to)
	if err := s.repo.Note(ctx, who, s.repo.AuditLogUsed(text, repository.ActivityCompliance.Code())); err != nil {
		return complianceOut{}, err
	}
	facts, err := s.count(ctx, span, progress)
	return complianceOut{facts, organisation{s.entity.Name, s.entity.Address.Written()}}, err
}

// A countedSpan is a period of the organisation's days.
type countedSpan struct {
	from, to regulation.Date // both inclusive
	zone     *time.Location
	now      time.Time
	size     int64 // of the log when it was asked for: the entry about the question is not counted
}

// begin and end are the moments of the first day's beginning and of the last day's end.
func (c countedSpan) begin() time.Time { return c.from.In(c.zone) }
func (c countedSpan) end() time.Time   { return c.to.AddDays(1).In(c.zone) }

func (s *server) complianceSpan(in complianceIn) (countedSpan, error) {
	c := countedSpan{in.From, in.To, s.entity.Zone(), s.config.now(), s.ledger.Size()}
	if c.to.IsZero() {
		c.to = regulation.DateOf(c.now, c.zone)
	}
	if c.from.IsZero() {
		c.from = c.to.YearsBefore(1).AddDays(1)
	}
	if c.to.Before(c.from) {
		return c, hippad.Errorf(hippad.Invalid, "the period ends before it begins")
	}
	return c, nil
}

// countStep is after how many entries the client hears of it.
const countStep = 20_000

// count goes through the entries that were received in a period, month by month on half of the processors, because the doors are open meanwhile.
func (s *server) count(ctx context.Context, c countedSpan, progress func(done, total int64)) (regulation.Facts, error) {
	bounds, err := s.monthBounds(ctx, c)
	if err != nil {
		return regulation.Facts{}, err
	}
	first, total := bounds[0], bounds[len(bounds)-1]-bounds[0]
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu   sync.Mutex // guards all, and what progress writes to
		all  = regulation.NewTally(c.zone)
		done atomic.Int64
		next atomic.Int64
		wg   sync.WaitGroup
	)
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i >= len(bounds) || ctx.Err() != nil {
					return
				}
				t := regulation.NewTally(c.zone)
				if err := s.countEntries(ctx, bounds[i-1], bounds[i], t, func() {
					n := done.Add(countStep)
					mu.Lock()
					defer mu.Unlock()
					progress(min(n, total), total)
				}); err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				all.Merge(t)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return regulation.Facts{}, fmt.Errorf("count the log: %w", err)
	}
	f := all.Facts(c.from, c.to)
	f.Log, f.At, f.First = s.keys.Signer.Name(), c.now.UTC().Truncate(time.Second), first
	s.roomsKnow(c, &f)
	return f, nil
}

// monthBounds returns the indexes at which the period and the months in it begin, and at which it ends. Days are whole between them.
func (s *server) monthBounds(ctx context.Context, c countedSpan) ([]int64, error) {
	first, err := s.ledger.FirstSince(ctx, c.begin(), c.size)
	if err != nil {
		return nil, fmt.Errorf("count from a day on: %w", err)
	}
	end, err := s.ledger.FirstSince(ctx, c.end(), c.size)
	if err != nil {
		return nil, fmt.Errorf("count up to a day: %w", err)
	}
	bounds := []int64{first}
	for e, err := range s.ledger.Entries(ctx, first, min(first+1, end)) { // months in which there is no log yet are not looked for
		if err != nil {
			return nil, fmt.Errorf("count from entry %d on: %w", first, err)
		}
		month := regulation.DateOf(e.Received, c.zone)
		for bounds[len(bounds)-1] < end {
			month.Day = 1
			month = month.AddDays(31)
			month.Day = 1
			next, err := s.ledger.FirstSince(ctx, month.In(c.zone), end)
			if err != nil {
				return nil, fmt.Errorf("count from a month on: %w", err)
			}
			bounds = append(bounds, next)
		}
	}
	return append(bounds, end), nil
}

func (s *server) countEntries(ctx context.Context, from, to int64, t *regulation.Tally, step func()) error {
	n := 0
	for e, err := range s.ledger.Entries(ctx, from, to) {
		if err != nil {
			return err
		}
		var ev hippad.Event
		if !e.Destroyed {
			ev = s.repo.Read(e.Report)
		}
		t.Add(e, ev)
		if n++; n%countStep == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			step()
		}
	}
	return nil
}

// roomsKnow adds what is known of the log without reading it.
func (s *server) roomsKnow(c countedSpan, f *regulation.Facts) {
	for _, cert := range s.custody.Certificates() {
		if !cert.At.Before(c.begin()) && cert.At.Before(c.end()) {
			f.Certificates++
		}
	}
	f.Holds = int64(len(s.custody.Holds()))
	t := s.sources.Totals()
	f.Silent, f.Missing = int64(t.Silent), t.Missing
}

func newCompliance() *cobra.Command {
	var c connection
	var in complianceIn
	var from, to, out string
	var format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "compliance",
		Short: "what was done in a period, section by section, and what remains to be done",
		Long: `State, for each section of 45 CFR part 164 that concerns records of activity, what hippad did in a period, counted from the log itself, and what
remains the organisation's own duty. R is required, A addressable (45 CFR 164.306(d)). Lines with "!" ask for somebody's attention.
Below each section stands how hippad search lists the same entries.

This is not legal advice and no certificate of compliance. The catalogue hipaa-nprm-2025 is what HHS proposed in January 2025: it is not in force.

Days are those of the organisation's time zone (serve --organisation). Making a statement is an entry of the log. It takes the right to prove (auditors)
or to answer for the organisation (officers): it holds counts and names of organisations, no bodies.`,
		Example: `  hippad compliance
  hippad compliance --from 2026-01-01 --to 2026-12-31 --format pdf --out 2026.pdf
  hippad compliance --catalogue hipaa-nprm-2025
  hippad compliance --format csv > evidence.csv`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if in.From, err = parseDate("--from", from); err != nil {
				return err
			}
			if in.To, err = parseDate("--to", to); err != nil {
				return err
			}
			if !in.To.IsZero() && in.To.Before(in.From) {
				return usagef("--to is before --from")
			}
			if asJSON {
				if cmd.Flags().Changed("format") && format != "json" {
					return usagef("--json and --format %s exclude each other", format)
				}
				format = "json"
			}
			write, ok := statementForms[format]
			if !ok {
				return usagef("--format %q: want text, json, csv, html or pdf", format)
			}
			catalogue, err := regulation.FindCatalogue(in.Catalogue)
			if err != nil {
				return usagef("--catalogue %q: want %s", in.Catalogue, strings.Join(catalogueNames(), " or "))
			}
			if format == "pdf" && out == "" && terminalWidth(cmd.OutOrStdout()) > 0 {
				return usagef("a PDF is nothing for a terminal: give --out FILE")
			}
			if out != "" {
				if err := mustBeNew(out); err != nil { // before the log is counted, which takes its time and is an entry
					return err
				}
			}
			counted, err := callInSteps[complianceOut](cmd, &c, "/admin/compliance", in, "counting")
			if err != nil {
				return err
			}
			return writeOut(cmd, out, func(w io.Writer) error {
				return write(w, regulation.Compliance(catalogue, counted.Facts), counted.Organisation)
			})
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "first `DAY` of the period (2026-01-31); a year before its end if not given")
	f.StringVar(&to, "to", "", "last `DAY` of the period; today if not given")
	f.StringVar(&format, "format", "text", "`FORM` of the statement: text, json, csv, html or pdf")
	f.StringVar(&in.Catalogue, "catalogue", catalogueNames()[0], "`NAME` of the catalogue: "+strings.Join(catalogueNames(), ", or ")+" (proposed, not in force)")
	f.StringVar(&out, "out", "", "`FILE` to write; it must not exist")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func catalogueNames() (names []string) {
	for _, c := range regulation.Catalogues() {
		names = append(names, c.Name)
	}
	return names
}

// parseDate reads a day of the organisation's calendar; empty is no day.
func parseDate(flag, text string) (regulation.Date, error) {
	if text == "" {
		return regulation.Date{}, nil
	}
	d, err := regulation.ParseDate(text)
	if err != nil {
		return d, usagef("%s %q: want a day like 2026-11-23", flag, text)
	}
	return d, nil
}

// writeOut writes to a new file, or to stdout if none is named. What could not be written whole does not stay.
func writeOut(cmd *cobra.Command, name string, write func(io.Writer) error) error {
	if name == "" {
		return write(cmd.OutOrStdout())
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return hippad.Errorf(hippad.Conflict, "%w", err)
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(name)
	}
	return err
}
