package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/regulation"
	"hippad/internal/review"
)

// The calls of hippad review.
type (
	reviewShowIn struct {
		ID int64 `json:"id"`
	}
	reviewListIn struct {
		Every int `json:"everyDays,omitzero"`
	}
	reviewOut struct {
		review.Result
		Organisation regulation.Organisation `json:"organisation"`
	}
)

// openReviews replays the activity reviews.
func (s *server) openReviews(ctx context.Context) (*review.Reviews, error) {
	return review.Open(ctx, review.Config{Ledger: s.ledger, Repository: s.repo, Zone: s.entity.Zone(), Every: s.entity.ReviewDays})
}

// reviewRoutes are the server's side.
func (s *server) reviewRoutes() []route {
	needs := hippad.ActReview
	return []route{
		{pattern: "POST /admin/review/run", needs: needs, handler: answersInSteps(s, review.MaxRosters, func(ctx context.Context, c hippad.Caller, q review.Question, progress func(done, total int64)) (reviewOut, error) {
			result, err := s.reviews.Run(ctx, c, q, progress)
			return reviewOut{result, s.letterhead()}, err
		})},
		{pattern: "POST /admin/review/show", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in reviewShowIn) (reviewOut, error) {
			result, err := s.reviews.Show(ctx, c, in.ID)
			return reviewOut{result, s.letterhead()}, err
		})},
		{pattern: "POST /admin/review/judge", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in review.Judgement) (review.Verdict, error) {
			return s.reviews.Judge(ctx, c, in)
		})},
		{pattern: "POST /admin/review/sign", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in review.Approval) (review.Run, error) {
			return s.reviews.Sign(ctx, c, in)
		})},
		{pattern: "POST /admin/review/list", needs: needs, handler: answers(s, func(ctx context.Context, c hippad.Caller, in reviewListIn) (review.List, error) {
			return s.reviews.List(ctx, c, in.Every)
		})},
	}
}

func newReview() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "review",
		Short: "review who opened which record, and sign that it was done",
		Long: `An activity review (45 CFR 164.308(a)(1)(ii)(D)) explains what it can: who worked on a record, or belongs to a department that did, had a reason
to open it. What is left is scored by rules, whose points and numbers are shown, and goes to a person. So does a small sample of
what was explained.

Runs, verdicts and signatures are entries of the log. Verdicts teach: what was found appropriate explains the like for 30 days, who was a victim
is watched, and hippad review list shows how often each rule was right.`,
		Example: `  hippad review run --staff staff.csv --patients patients.csv --relations encounters.csv
  hippad review show 8812 --limit 20
  hippad review judge 8812/3 --verdict inappropriate --reason "no part in the care of her neighbour" --case 2026-17
  hippad review sign 8812 --text "reviewed with the compliance committee"
  hippad review list --every 30`,
		Args: onlyCommands, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newReviewRun(), newReviewShow(), newReviewJudge(), newReviewSign(), newReviewList())
	return cmd
}

// parseReviewTime reads a day, of the organisation, or a time with its zone; empty is neither.
func parseReviewTime(text string) (regulation.Date, time.Time, error) {
	if text == "" {
		return regulation.Date{}, time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return regulation.Date{}, t, nil
	}
	d, err := regulation.ParseDate(text)
	if err != nil {
		return d, time.Time{}, fmt.Errorf("%q: want a day like 2026-11-23, or a time like 2026-11-23T14:00:00Z", text)
	}
	return d, time.Time{}, nil
}

func newReviewRun() *cobra.Command {
	var c connection
	var q review.Question
	var from, to string
	var out reviewOutput
	files := map[string]*[]byte{"staff": &q.Rosters.Staff, "patients": &q.Rosters.Patients, "relations": &q.Rosters.Relations, "vip": &q.Rosters.VIP, "deceased": &q.Rosters.Deceased}
	cmd := &cobra.Command{
		Use: "run", Short: "review a period, and keep what is found",
		Long: `Review a period: by default since the last signed review, or else the last 90 days. Days are those of the organisation's time zone
(serve --organisation).

Rosters are CSV files whose first row names the columns. They are read and forgotten: the log keeps their digests.
  --staff      user, name or last name, department, job, manager, street, zip, phone, patient (the own record), end date
  --patients   patient, name or last name, street, zip, phone, born, died, vip, sensitive
  --relations  patient, user or department, from, to (encounters, appointments, care teams)
  --vip        patient
  --deceased   patient, died
Only user or patient are needed; days are like 2026-11-23. Without a roster its rules are left out, and the answer says so. Rows that are bad
are listed with their lines, the good ones count, and the exit code is 1.`,
		Example: `  hippad review run
  hippad review run --from 2026-10-01 --to 2026-11-01 --staff staff.csv --patients patients.csv --relations encounters.csv
  hippad review run --json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if q.FromDay, q.From, err = parseReviewTime(from); err != nil {
				return usagef("--from: %w", err)
			}
			if q.ToDay, q.To, err = parseReviewTime(to); err != nil {
				return usagef("--to: %w", err)
			}
			if q.Limit < 1 || q.Limit > 1000 || q.Sample < 1 || q.Sample > 1000 {
				return usagef("--threshold and --sample: want 1 to 1000")
			}
			if err := out.check(); err != nil {
				return err
			}
			for name, text := range files {
				if file, _ := cmd.Flags().GetString(name); file != "" {
					if *text, err = os.ReadFile(file); err != nil {
						return usageError{err}
					}
				}
			}
			result, err := callInSteps[reviewOut](cmd, &c, "/admin/review/run", q, "reviewing")
			if err != nil {
				return err
			}
			for _, b := range result.BadRows {
				fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %s, line %d: %s\n", b.Roster, b.Line, printable(b.Reason))
			}
			if err := out.write(cmd, result); err != nil {
				return err
			}
			if len(result.BadRows) > 0 {
				return errNo
			}
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "`DAY` or time at which the period begins (default: the end of the last signed review)")
	f.StringVar(&to, "to", "", "`DAY` or time before which it ends (default: now)")
	f.IntVar(&q.History, "history", regulation.HistoryDays, "`DAYS` before the period that the rules may know")
	f.IntVar(&q.Limit, "threshold", review.Threshold, "`POINTS` from which on a finding must be judged before the review is signed")
	f.IntVar(&q.Sample, "sample", review.Sample, "`N` of 1,000 explained accesses that are shown all the same")
	f.String("staff", "", "CSV `FILE` of the workforce")
	f.String("patients", "", "CSV `FILE` of patients")
	f.String("relations", "", "CSV `FILE` of who treats whom")
	f.String("vip", "", "CSV `FILE` of patients who are VIPs")
	f.String("deceased", "", "CSV `FILE` of patients who have died")
	out.flags(cmd)
	return cmd
}

func newReviewShow() *cobra.Command {
	var c connection
	var out reviewOutput
	cmd := &cobra.Command{
		Use: "show ID[/FINDING]", Short: "show what a review has found",
		Long: `Show a review, or one of its findings with every point and the entries that prove it (hippad search _id=ENTRY shows one). A whole review
also as a table (--csv) or a document (--out FILE.txt, FILE.html or FILE.pdf).`,
		Example: `  hippad review show 8812
  hippad review show 8812/3
  hippad review show 8812 --csv
  hippad review show 8812 --out review.pdf`,
		Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, number, err := parseFinding(args[0])
			if err != nil {
				return err
			}
			if number > 0 && (out.csv || out.out != "") {
				return usagef("--csv and --out are of a whole review, not of a finding")
			}
			if err := out.check(); err != nil {
				return err
			}
			result, err := call[reviewOut](cmd.Context(), &c, "/admin/review/show", reviewShowIn{id})
			if err != nil {
				return err
			}
			if number == 0 {
				return out.write(cmd, result)
			}
			if number > len(result.Found) {
				return hippad.Errorf(hippad.NotFound, "review %d has no finding %d", id, number)
			}
			if out.json {
				return printJSON(cmd, result.Found[number-1])
			}
			writeFinding(cmd.OutOrStdout(), result.Run, result.Found[number-1])
			return nil
		},
	}
	c.flags(cmd)
	out.flags(cmd)
	return cmd
}

// parseFinding reads 8812 or 8812/3; 0 is no finding.
func parseFinding(text string) (id int64, number int, err error) {
	run, finding, some := strings.Cut(text, "/")
	if id, err = parseIndex(run); err == nil && some {
		if number, err = strconv.Atoi(finding); err == nil && number < 1 {
			err = strconv.ErrRange
		}
	}
	if err != nil {
		return 0, 0, usagef("%q: want a review as 8812, or a finding of it as 8812/3", text)
	}
	return id, number, nil
}

func newReviewJudge() *cobra.Command {
	var c connection
	var in review.Judgement
	var asJSON bool
	cmd := &cobra.Command{
		Use: "judge ID/FINDING", Aliases: []string{"verdict"}, Short: "say what you think of a finding",
		Long: `Say whether what was found was appropriate, inappropriate or inconclusive, and why. A later verdict takes the place of an earlier one; both stay in
the log. Nobody judges a finding about themselves, or about somebody above them as the roster of staff told.`,
		Example: `  hippad review judge 8812/3 --verdict inappropriate --reason "no part in the care of her neighbour" --case 2026-17
  hippad review judge 8812/4 --verdict appropriate --reason "covered for ward 2 that night"`,
		Args: exactArgs("ID/FINDING"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Run, in.Finding, err = parseFinding(args[0]); err != nil {
				return err
			}
			switch {
			case in.Finding == 0:
				return usagef("%q: want a finding as 8812/3", args[0])
			case in.Verdict == "":
				return usagef("--verdict is missing: %s, %s or %s", review.Appropriate, review.Inappropriate, review.Inconclusive)
			case in.Reason == "":
				return usagef("--reason is missing")
			}
			v, err := call[review.Verdict](cmd.Context(), &c, "/admin/review/judge", in)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, v)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "judged by entry %d: finding %d/%d is %s\n", v.Entry, v.Run, v.Finding, v.Verdict)
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&in.Verdict, "verdict", "", "appropriate, inappropriate or inconclusive")
	f.StringVar(&in.Reason, "reason", "", "why, in `WORDS`")
	f.StringVar(&in.Case, "case", "", "`NAME` of the incident or breach that it becomes")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newReviewSign() *cobra.Command {
	var c connection
	var in review.Approval
	var asJSON bool
	cmd := &cobra.Command{
		Use: "sign ID", Short: "sign a review: the entry is evidence that it took place",
		Long: `Sign a review as a whole. Findings with as many points as the threshold must be judged first, or --unjudged says why they are not.`,
		Example: `  hippad review sign 8812 --text "reviewed with the compliance committee"
  hippad review sign 8812 --text "first review after the upgrade" --unjudged "findings 40 to 52 wait for the department of surgery"`,
		Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Run, err = parseIndex(args[0]); err != nil {
				return usageError{err}
			}
			if in.Text == "" {
				return usagef("--text is missing")
			}
			n, err := call[review.Run](cmd.Context(), &c, "/admin/review/sign", in)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, n)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "signed by entry %d: %d findings, %d judged, %d above the threshold left unjudged\n", n.Signature.Entry, n.Found+n.Sampled, n.Judged, n.Signature.Open)
			return nil
		},
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&in.Text, "text", "", "what the review came to, in `WORDS`")
	f.StringVar(&in.Unjudged, "unjudged", "", "why findings above the threshold are left unjudged, in `WORDS`")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newReviewList() *cobra.Command {
	var c connection
	var in reviewListIn
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "list the reviews, whether one is overdue, and how often each rule was right",
		Long: `List the reviews, when the last was signed, and how often each rule was right by the verdicts. With a cadence, from --every or from reviewEveryDays
in the organisation's file, it says when the next is due.`,
		Example: `  hippad review list
  hippad review list --every 30 --json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.Every < 0 {
				return usagef("--every %d: want a number of days", in.Every)
			}
			list, err := call[review.List](cmd.Context(), &c, "/admin/review/list", in)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, list)
			}
			writeReviews(cmd.OutOrStdout(), list)
			return nil
		},
	}
	c.flags(cmd)
	cmd.Flags().IntVar(&in.Every, "every", 0, "`DAYS` from the end of one signed period to that of the next (default: reviewEveryDays of the organisation)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}
