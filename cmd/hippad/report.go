package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/durable"
	"hippad/spool"
)

// spoolBatch is how many bytes of files are read before they are made durable in the spool together.
const spoolBatch = 4 << 20

type reportFlags struct {
	connection
	spool    string
	media    string
	receipts string
	wait     time.Duration
	restart  bool
	json     bool
}

func newReport() *cobra.Command {
	var c reportFlags
	cmd := &cobra.Command{
		Use:   "report [FILE...]",
		Short: "report files to a hippad server",
		Long: `Report each FILE (of a directory, every file in it; "-" is stdin) to a hippad server, as one report each.

Reports go into a spool on this machine first and are forgotten there when the server has acknowledged them as durable. When
the server is away they wait; run hippad report again, with or without files, to send what waits. Nothing is lost or
doubled, whichever side is killed.

A server that was made anew, or restored from an older copy, no longer has what it acknowledged to this spool, and takes nothing
of what follows. With --new-stream what waits is sent all the same; what the server has lost must be reported again.`,
		Example: `  hippad report audit.xml event.json
  hippad report /var/spool/audit --receipts receipts
  some-program | hippad report - --server audit.hospital.example:2988 --ca ca.pem`,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.spool, "spool", "", "`DIRECTORY` of the spool (default: hippad/spool in the user's state directory)")
	f.StringVar(&c.media, "media", "", "media `TYPE` of the reports (default: by their first bytes)")
	f.StringVar(&c.receipts, "receipts", "", "write a receipt for each report into this `DIRECTORY`")
	f.DurationVar(&c.wait, "wait", 0, "keep trying for so long when the server is away, as in 10m")
	f.BoolVar(&c.restart, "new-stream", false, "number the reports anew, for a server that has lost what it acknowledged")
	f.BoolVar(&c.json, "json", false, "one JSON object for each report, a line each")
	return cmd
}

func (c *reportFlags) run(cmd *cobra.Command, args []string) error {
	if len(c.media) > hippad.MaxMedia {
		return usagef("--media is longer than %d bytes", hippad.MaxMedia)
	}
	files, err := listFiles(args)
	if err != nil {
		return err
	}
	if c.spool == "" {
		if c.spool, err = defaultSpool(); err != nil {
			return err
		}
	}
	queue, err := spool.Open(c.spool)
	if err != nil {
		return err
	}
	defer queue.Close()
	if c.restart {
		if err := queue.Renumber(); err != nil {
			return err
		}
	}
	names, err := c.fill(cmd, queue, files)
	if err != nil {
		return err
	}
	s := sending{reportFlags: c, cmd: cmd, queue: queue, names: names, bar: newProgress(cmd.ErrOrStderr(), "reporting")}
	s.waiting, _ = queue.Pending()
	if s.waiting == 0 && len(files) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "hippad: no files given, and nothing waits in the spool")
		return nil
	}
	err = s.drain(cmd.Context())
	s.bar.end()
	return s.result(err)
}

func defaultSpool() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "hippad", "spool"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usagef("no home directory for the spool: give one with --spool")
	}
	return filepath.Join(home, ".local", "state", "hippad", "spool"), nil
}

// listFiles names the files to report, directories opened up, in a stable order. Nothing is spooled before all are known.
func listFiles(args []string) ([]string, error) {
	var files []string
	for _, a := range args {
		if a == "-" {
			files = append(files, a)
			continue
		}
		err := filepath.WalkDir(a, func(path string, d fs.DirEntry, err error) error {
			if err == nil && (d.Type().IsRegular() || path == a && !d.IsDir()) {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, usageError{err}
		}
	}
	return files, nil
}

// fill puts the files into the spool and returns their names by number.
func (c *reportFlags) fill(cmd *cobra.Command, queue *spool.Spool, files []string) (map[uint64]string, error) {
	names := map[uint64]string{}
	var batch []hippad.Report
	var batchNames []string
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		first, err := queue.Add(batch...)
		if err != nil {
			return fmt.Errorf("put reports into the spool: %w", err)
		}
		for i, n := range batchNames {
			names[first+uint64(i)] = n
		}
		batch, batchNames, size = nil, nil, 0
		return nil
	}
	for _, name := range files {
		body, err := readFile(cmd, name)
		if err != nil {
			return nil, err
		}
		r := hippad.Report{Media: c.media, Body: body}
		if r.Media == "" {
			r.Media = mediaOf(body)
		}
		if queue.Contains(r) {
			fmt.Fprintf(cmd.ErrOrStderr(), "hippad: %s waits in the spool already\n", printable(name))
			continue
		}
		batch, batchNames, size = append(batch, r), append(batchNames, name), size+len(body)
		if size >= spoolBatch {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return names, flush()
}

func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(name)
}

// sending is the way of the spool's content to the server.
type sending struct {
	*reportFlags
	cmd     *cobra.Command
	queue   *spool.Spool
	names   map[uint64]string // files of this call, by number; what waited before has no name
	bar     *progress
	waiting int // reports in the spool at the start
	sent    []delivered
}

type delivered struct {
	number uint64
	index  int64
}

// drain sends until the spool is empty, or the server stays away for longer than --wait.
func (s *sending) drain(ctx context.Context) error {
	deadline := time.Now().Add(s.wait)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		before := len(s.sent)
		err := s.attempt(ctx)
		if err == nil || ctx.Err() != nil || !time.Now().Before(deadline) || !worthAnotherTry(err) {
			return err
		}
		if len(s.sent) > before {
			pause = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(pause, time.Until(deadline))):
		}
	}
}

func worthAnotherTry(err error) bool {
	kind := hippad.KindOf(err)
	return kind == hippad.Unavailable || kind == hippad.Busy
}

// patience is how long a server that answers may acknowledge nothing before it counts as away.
const patience = 30 * time.Second

// attempt is one connection. The connection itself repeats for ever what a server has no room for, so it is ended when nothing
// has been acknowledged for a while.
func (s *sending) attempt(ctx context.Context) error {
	stalled := hippad.Errorf(hippad.Busy, "the server answers but takes no reports now, its disk may be full")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(patience, func() { cancel(stalled) })
	defer watch.Stop()
	client, err := s.asReporter(ctx, s.queue.Stream())
	if err != nil {
		return err
	}
	defer client.Close()
	from := len(s.sent)
	limits := client.Limits()
	err = s.queue.Send(ctx, client, spool.Limits{Report: limits.MaxReport, Frame: limits.MaxFrame, Reports: limits.MaxReports, Window: limits.Window},
		func(number uint64, index int64) {
			watch.Reset(patience)
			s.sent = append(s.sent, delivered{number, index})
			s.bar.set(int64(len(s.sent)), int64(s.waiting))
		})
	if err != nil && context.Cause(ctx) == error(stalled) {
		return stalled
	}
	watch.Stop()
	if s.receipts != "" {
		for _, d := range s.sent[from:] {
			if d.index < 0 {
				continue
			}
			text, e := client.Receipt(ctx, d.index)
			if e == nil {
				e = durable.WriteFile(filepath.Join(s.receipts, s.receiptName(d)), text, 0o644)
			}
			if e != nil {
				return errors.Join(err, fmt.Errorf("receipt of entry %d: %w", d.index, e))
			}
		}
	}
	return err
}

// receiptName is the file's own name with the index, because two folders may hold files of one name.
func (s *sending) receiptName(d delivered) string {
	name := s.names[d.number]
	if name == "" || name == "-" {
		name = "entry"
	}
	return fmt.Sprintf("%s.%d.tlog-proof", filepath.Base(name), d.index)
}

// result says what became of the reports.
func (s *sending) result(err error) error {
	out, talk := s.cmd.OutOrStdout(), s.cmd.ErrOrStderr()
	for _, d := range s.sent {
		name := s.names[d.number]
		if s.json {
			_ = json.NewEncoder(out).Encode(struct {
				File  string `json:"file,omitempty"`
				Index int64  `json:"index"`
			}{name, d.index})
			continue
		}
		fmt.Fprintf(out, "%d\t%s\n", d.index, printable(firstOf(name, "(from the spool)")))
	}
	refused, rejectedErr := s.queue.Rejected()
	for _, r := range refused {
		fmt.Fprintf(talk, "hippad: refused: %s: %s\n", printable(firstOf(s.names[r.Number], "a report")), printable(r.Reason))
		// What came from a file of this call is still there as a file. Anything else stays in the spool, and is told of again.
		if s.names[r.Number] != "" && s.names[r.Number] != "-" {
			rejectedErr = errors.Join(rejectedErr, s.queue.Discard(r.Number))
		}
	}
	err = errors.Join(err, rejectedErr)
	left, _ := s.queue.Pending()
	switch {
	case err != nil && left > 0:
		var kinded *hippad.Error
		if !errors.As(err, &kinded) {
			kinded = hippad.Errorf(hippad.Internal, "%w", err)
		}
		if kinded.Kind == hippad.Conflict { // docs/protocol.md section 5: people decide
			return kinded.WithHint("the server does not have what it acknowledged to the spool %s: it is another one, or was restored from an older copy; "+
				"hippad report --new-stream sends the %d reports that wait", s.spool, left)
		}
		return kinded.WithHint("%d of %d reports wait in the spool %s; run hippad report again to send them", left, s.waiting, s.spool)
	case err != nil:
		return err
	case len(refused) > 0:
		return errNo
	}
	return nil
}
