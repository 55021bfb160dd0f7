// Package forward sends what the log takes on to others: the Audit Record Forwarder of IHE ITI TF-2 3.20.
//
// The log itself is the queue. Each rule says which entries go to which destination and has a cursor, the place up to which
// that has happened, in a small file of its own. One goroutine for each rule follows the log from its cursor: a destination
// that is away falls behind and slows nobody, and nothing is lost. The package owns rules, cursors, connections to
// destinations and their pauses. It does not own the log (it is given Follow), nor how a report is read or asked for (it is
// given Read and, in Parse, the syntax of searches), nor who may see its state.
//
// The invariant: a cursor passes an entry only when the entry has been delivered, refused for good by the destination, or
// is none of the rule's business; and it is on the disk before anything relies on it. So a crash loses nothing. What it
// repeats depends on what a destination can say:
//
//   - hippad: nothing. Reports are numbered, and which entry has which number is on the disk before it is sent.
//   - https (FHIR): what was delivered since the cursor was last written, a second's worth at most.
//   - syslog+tls: the same, and what was not sure. Syslog has no acknowledgement: what was written counts as delivered when
//     the other machine has confirmed its bytes (Linux) and the connection has lived on for a second. A broken connection
//     repeats the rest. What the other machine has taken and its program has not read is lost if that machine dies.
//   - syslog+udp: a second's worth. What gets lost on the way is lost, and nobody notices (RFC 5426 section 5.2).
package forward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hippad"
)

// A Forwarder sends entries on by the rules of its Config. The fields must be set before Open and not changed.
type Forwarder struct {
	Dir    string // where the cursors are
	Config *Config

	// Follow yields every entry after an index, in the order of the log, and waits for new ones until ctx ends.
	Follow func(ctx context.Context, after int64) iter.Seq2[hippad.Entry, error]
	// Size is the number of entries.
	Size func() int64
	// FirstSince returns the first index that was received at t or later, Size if there is none.
	FirstSince func(ctx context.Context, t time.Time) (int64, error)

	Read  hippad.Reader
	Write hippad.Writer // the R4 AuditEvent for a FHIR base of what came as something else

	// Configured records that a rule is new, changed or gone, before it is followed; Refused that a destination has refused
	// entries for good. The words name no patient. An error means that it is not in the log.
	Configured, Refused func(ctx context.Context, what string) error

	Host     string // HOSTNAME of the syslog header around a report that did not come with one
	Software string // name and version, told to another hippad
	Log      *slog.Logger

	runners []*runner
	removed []*cursor // of rules that are no longer in Config
}

// A Status is how far a rule has come.
type Status struct {
	Name    string    `json:"name"`
	To      string    `json:"to"`
	Next    int64     `json:"next"`            // everything before this index is delivered, or none of the rule's business
	Behind  int64     `json:"behind"`          // entries of the log from there on; not all of them are for the rule
	Oldest  time.Time `json:"oldest,omitzero"` // when the log took the oldest entry that is on its way; zero: none is
	State   string    `json:"state"`           // StateOK or StateRetrying
	Since   time.Time `json:"since,omitzero"`  // of StateRetrying: since when
	Cause   string    `json:"cause,omitzero"`  // of StateRetrying: why
	Refused int64     `json:"refused"`         // by the destination for good, ever

	// Since the server started.
	Delivered int64 `json:"delivered"` // what is repeated counts again
	Destroyed int64 `json:"destroyed"` // passed over: the content is gone at the end of its retention
	Returned  int64 `json:"returned"`  // not sent again: the very bytes came back from elsewhere
	Cut       int64 `json:"cut"`       // datagrams that were cut
}

// The states.
const (
	StateOK       = "ok"
	StateRetrying = "retrying"
)

// Open reads the cursors and gives new rules theirs. A cursor that cannot be read is kind Conflict.
func (f *Forwarder) Open(ctx context.Context) error {
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	known := map[string]bool{}
	for _, rule := range f.Config.Rules {
		known[rule.Name] = true
		c, err := f.cursor(ctx, rule)
		if err != nil {
			return fmt.Errorf("forwarding rule %q: %w", rule.Name, err)
		}
		f.runners = append(f.runners, newRunner(f, rule, c))
	}
	files, err := os.ReadDir(f.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forwarding: %w", err)
	}
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), cursorSuffix)
		if !ok || known[name] || !goodName.MatchString(name) {
			continue
		}
		c, err := readCursor(filepath.Join(f.Dir, file.Name()))
		if err != nil {
			return fmt.Errorf("forwarding rule %q, which is no longer there: %w", name, err)
		}
		if c.Rule != "" {
			f.removed = append(f.removed, c)
		}
	}
	return nil
}

// cursor reads the cursor of a rule, or makes it where the rule says that it begins.
func (f *Forwarder) cursor(ctx context.Context, rule Rule) (*cursor, error) {
	c, err := readCursor(filepath.Join(f.Dir, rule.Name+cursorSuffix))
	if err != nil {
		return nil, err
	}
	size := f.Size()
	switch {
	case c == nil:
		c = &cursor{file: filepath.Join(f.Dir, rule.Name+cursorSuffix), To: rule.To, After: size - 1}
		switch {
		case rule.FromStart:
			c.After = -1
		case !rule.Since.IsZero():
			first, err := f.FirstSince(ctx, rule.Since)
			if err != nil {
				return nil, fmt.Errorf("find where it begins: %w", err)
			}
			c.After = first - 1
		}
		c.renumber()
	case c.After >= size || len(c.Plan) > 0 && c.Plan[len(c.Plan)-1] >= size:
		// An older copy of the log was put back. What it takes from now on is new to the destination, under any number.
		f.Log.Warn("the log is shorter than what was forwarded: it was put back from a copy", "rule", rule.Name, "forwarded", c.After+1, "entries", size)
		c.After = min(c.After, size-1)
		c.renumber()
	case c.To != rule.To: // another destination knows nothing of the numbers
		c.To = rule.To
		c.renumber()
	default:
		return c, nil
	}
	if err := c.save(); err != nil { // a full disk is no reason not to start: nothing is sent before this is written
		f.Log.Warn("forward", "rule", rule.Name, "error", err)
	}
	return c, nil
}

// Run forwards until ctx ends. It is called once, after Open.
func (f *Forwarder) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, c := range f.removed {
		wg.Go(func() { f.forget(ctx, c) })
	}
	for _, r := range f.runners {
		wg.Go(func() { r.run(ctx) })
	}
	wg.Wait()
}

// forget records that a rule is gone. Its cursor stays: if the rule comes back it goes on where it was.
func (f *Forwarder) forget(ctx context.Context, c *cursor) {
	name := strings.TrimSuffix(filepath.Base(c.file), cursorSuffix)
	var pause backoff
	for {
		err := f.Configured(ctx, fmt.Sprintf("forwarding rule %q: taken away; it had come to entry %d", name, c.After+1))
		if err == nil {
			c.Rule = ""
			err = c.save()
		}
		if err == nil {
			return
		}
		f.Log.Error("record that a forwarding rule is gone", "rule", name, "error", err)
		if !pause.wait(ctx, 0) {
			return
		}
	}
}

// Status tells how far every rule has come, in the order of the configuration.
func (f *Forwarder) Status() []Status {
	all := make([]Status, 0, len(f.runners))
	size := f.Size()
	for _, r := range f.runners {
		r.mu.Lock()
		s := r.status
		r.mu.Unlock()
		s.Behind = max(size-s.Next, 0)
		all = append(all, s)
	}
	return all
}
