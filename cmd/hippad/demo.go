package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"hippad"
	"hippad/internal/durable"
)

// demoMessages is a day in a small hospital, in our own words. patient 4711 is Ada Example.
//
//go:embed demo
var demoMessages embed.FS

const demoPatient = "urn:oid:2.16.840.1.113883.19.5|4711"

func newDemo() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "a guided tour with a real server",
		Long: `A guided tour: starts a server in a temporary directory on a free port, reports a day of a small hospital through all three
doors, finds a patient, answers what the law asks, finds who snooped, labels strangers, proves an entry, catches a forger. It needs
no network. The server stays up for you to try until Ctrl-C; then everything is removed.`,
		Example: `  hippad demo
  hippad demo --once`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, once) },
	}
	cmd.Flags().BoolVar(&once, "once", false, "leave at the end of the tour")
	return cmd
}

// A demo is one tour. Each step checks what it shows: a tour that shows something wrong ends with an error.
type demo struct {
	ctx    context.Context
	out    io.Writer
	dir    string // of everything; $D on the screen
	server *server
	step   int
}

func runDemo(cmd *cobra.Command, once bool) (err error) {
	dir, err := os.MkdirTemp("", "hippad-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	d := &demo{ctx: ctx, out: cmd.OutOrStdout(), dir: dir}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := d.unpack(); err != nil {
		return err
	}
	d.server, err = openServer(ctx, serveConfig{
		Data: d.path("data"), Listen: []string{"127.0.0.1:0"}, Origin: "hospital.example/demo", MaxMessage: 64 << 10, Entity: d.path("messages", "organisation.json"),
	}, log)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- d.server.run(ctx)
		cancel()
	}()
	err = d.tour()
	if err == nil && !once {
		d.stay()
		<-ctx.Done()
	}
	cancel()
	if e := <-ended; err == nil || errors.Is(err, context.Canceled) {
		err = e
	}
	return err
}

func (d *demo) path(names ...string) string {
	return filepath.Join(append([]string{d.dir}, names...)...)
}

// tour is what there is to see, in order.
func (d *demo) tour() error {
	steps := []func() error{d.start, d.enrol, d.bySyslog, d.byFHIR, d.byNative, d.patient, d.broken, d.accounting, d.review, d.strangers, d.prove, d.thief, d.tamper}
	d.say("%s\n", style(d.out, bold, fmt.Sprintf("hippad demo: %d steps, and everything you see is really done.", len(steps))))
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("demo, step %d: %w", d.step, err)
		}
	}
	return nil
}

// unpack writes the messages to files, so that the commands shown can be typed.
func (d *demo) unpack() error {
	files, err := demoMessages.ReadDir("demo")
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := demoMessages.ReadFile("demo/" + f.Name())
		if err != nil {
			return err
		}
		if err := durable.WriteFile(d.path("messages", f.Name()), text, 0o644); err != nil {
			return err
		}
	}
	return durable.WriteFile(d.path("messages", demoSyslogFile), demoSyslog(), 0o644)
}

func (d *demo) start() error {
	d.say("The commands can be typed in another terminal, after\n\n")
	d.say("  D=%s\n", d.dir)
	d.title("A server", "On first use it makes its keys, its certificate authority and its store.")
	d.command("hippad serve --data $D/data --listen 127.0.0.1:0 --organisation $D/messages/organisation.json")
	d.show(fmt.Sprintf("log %s listens on %s, TLS only\nits public key: %s\n", d.server.keys.Signer.Name(), d.server.address(), d.server.keys.VerifierKey))
	return nil
}

// enrol gets the ward a certificate, with which everything is reported that follows.
func (d *demo) enrol() error {
	d.title("A reporter", "Whoever reports shows a certificate. The ward is invited; its machine makes a key that never leaves it, and trades a one-time "+
		"token for a certificate.")
	said, err := d.output(0, "member", "invite", "ward", "--organisation", "Example Hospital", "--data", d.path("data"))
	if err != nil {
		return err
	}
	d.say("\n")
	_, enroll, _ := strings.Cut(said, "hippad enroll ")
	return d.hippad(0, append(append([]string{"enroll"}, strings.Fields(enroll)...), "--out", d.path("ward"))...)
}

// thief looks for everybody's name in what a stolen disk would hold.
func (d *demo) thief() error {
	d.title("A thief with the disk", "The store is sealed. Without the key folder it tells when, by which door and how much was reported, and of nobody:")
	d.command("grep -rac -e 4711 -e Example -e snoop $D/data/store")
	found := 0
	err := filepath.WalkDir(d.path("data", "store"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, word := range []string{"4711", "Example", "snoop"} {
			found += bytes.Count(text, []byte(word))
		}
		return err
	})
	if err != nil {
		return err
	}
	d.show(fmt.Sprintf("%d lines in all files\n", found))
	if found != 0 {
		return errors.New("the store tells of somebody")
	}
	return nil
}

func (d *demo) byNative() error {
	d.title("Reports by hippad/1", "A disclosure, an emergency access, a nurse who looks up her neighbour at 02:13, and a file that "+
		"is no audit message at all. They go through a spool, so that nothing is lost while the server is away, and each gets a receipt.")
	args := []string{"report"}
	for _, name := range []string{"disclosure.xml", "emergency.xml", "snooping.xml", "random.txt"} {
		args = append(args, d.path("messages", name))
	}
	return d.hippad(0, append(args, "--spool", d.path("spool"), "--receipts", d.path("receipts"), "--server", d.server.address(),
		"--ca", d.path("ward", "ca.pem"), "--cert", d.path("ward", "hippad.pem"))...)
}

func (d *demo) patient() error {
	d.title("Who saw what of Ada Example?", "DICOM writes her number as 4711^^^&2.16.840.1.113883.19.5&ISO, FHIR as system and value. "+
		"It is one patient all the same.")
	entries, err := d.search("patient="+demoPatient, "WHEN", "WHAT", "WHO", "PATIENT", "SOURCE", "DOOR")
	if err != nil {
		return err
	}
	doors := map[hippad.Door]bool{}
	for _, e := range entries {
		doors[e.Door] = true
	}
	if len(entries) != 7 || len(doors) != 3 {
		return fmt.Errorf("%d entries by %d doors are about the patient, want 7 by 3", len(entries), len(doors))
	}
	d.say("\n   Only the nurse:\n\n")
	entries, err = d.search("patient=4711 agent=snoop", "INDEX", "WHEN", "WHAT", "WHO", "PATIENT", "DOOR")
	if err == nil && len(entries) != 1 {
		err = fmt.Errorf("%d entries are about the nurse and the patient, want 1", len(entries))
	}
	return err
}

func (d *demo) broken() error {
	d.title("What was broken is there too", "Wrong octet counts are mended, bytes between messages are kept, and what nobody can read is marked.")
	entries, err := d.search("_mark=unreadable,framing,truncated,stray", "INDEX", "DOOR", "WHAT", "WHO", "MARK")
	if err != nil {
		return err
	}
	if len(entries) != 5 {
		return fmt.Errorf("%d entries are marked, want 5", len(entries))
	}
	d.say("\n   Asking is an event, too: every search so far is in the log (DICOM 110101, Audit Log Used).\n\n")
	entries, err = d.search("type=110101", "INDEX", "WHAT", "WHO", "DOOR")
	if err == nil && len(entries) < 3 {
		err = fmt.Errorf("%d searches are in the log, want 3 or more", len(entries))
	}
	return err
}

func (d *demo) prove() error {
	snooping, err := d.index("agent=snoop")
	if err != nil {
		return err
	}
	d.title("Proof", "Report, receipt and the log's public key are all that it takes: no server, no network.")
	receipt, body := d.path("nurse.tlog-proof"), d.path("nurse.xml")
	if err := d.hippad(0, "receipt", fmt.Sprint(snooping), "--out", receipt, "--body", body, "--data", d.path("data")); err != nil {
		return err
	}
	key := []string{"--key", d.path("data", "log.vkey")}
	if err := d.hippad(0, append([]string{"verify", receipt, body}, key...)...); err != nil {
		return err
	}
	text, err := os.ReadFile(body)
	if err != nil {
		return err
	}
	changed := bytes.Replace(text, []byte("T02:13"), []byte("T12:13"), 1)
	if bytes.Equal(changed, text) {
		return errors.New("nothing was changed")
	}
	if err := os.WriteFile(d.path("changed.xml"), changed, 0o600); err != nil {
		return err
	}
	d.say("\n   One digit changed, so that it looks like a visit at noon:\n\n")
	d.command("sed s/T02:13/T12:13/ $D/nurse.xml > $D/changed.xml")
	return d.hippad(1, append([]string{"verify", receipt, d.path("changed.xml")}, key...)...)
}

func (d *demo) tamper() error {
	snooping, err := d.index("agent=snoop")
	if err != nil {
		return err
	}
	d.title("A forger with every right", "The store is copied while the server runs, and the copy is sound:")
	copied := d.path("copy")
	if err := d.copyData(copied); err != nil {
		return err
	}
	if err := d.hippad(0, "audit", "--data", copied); err != nil {
		return err
	}
	d.say("\n")
	d.text("Now an administrator puts the blame on somebody else. He has the disk, knows the format, packs the block anew with " +
		"the right checksum, and changes no length:")
	d.say("\n")
	if err := forge(d.ctx, copied, snooping, `"snoop" UserName="Nurse Snoop"`, `"gruen" UserName="Jörg Grün"`); err != nil {
		return err
	}
	d.show(fmt.Sprintf("entry %d of the copy: UserName=\"Nurse Snoop\" -> UserName=\"Jörg Grün\"\n", snooping))
	d.say("\n   The copy opens without complaint and tells the new story. But:\n\n")
	said, err := entryOf(d.ctx, copied, snooping)
	if err != nil {
		return err
	}
	if !bytes.Contains(said.Body, []byte("Jörg Grün")) {
		return errors.New("the forgery did not take")
	}
	return d.hippad(1, "audit", "--data", copied)
}

// stay tells what else can be tried.
func (d *demo) stay() {
	d.say("\n%s\n", style(d.out, bold, "The server is up and yours until Ctrl-C. Then everything is removed."))
	d.say("(Came here by go run? Put \"go run ./cmd/hippad\" where it says hippad.)\n\n")
	d.say("  D=%s\n", d.dir)
	for _, line := range []string{
		"hippad search 'patient=4711&date=ge2026-11-20T12:00Z' --data $D/data",
		"hippad search outcome=0 --json --limit 3 --data $D/data",
		"hippad report ANY-FILE --spool $D/spool --data $D/data",
		"hippad bench --duration 5s --data $D/data",
		"curl --cacert $D/data/ca.pem https://" + d.server.address() + "/log/checkpoint",
		"curl --cacert $D/data/ca.pem --cert $D/data/keys/operator.pem \\",
		"  'https://" + d.server.address() + "/fhir/AuditEvent?patient=4711&_count=2'",
	} {
		d.say("  %s\n", line)
	}
}

// index returns the entry that answers query, without showing the search.
func (d *demo) index(query string) (int64, error) {
	entries, err := d.ask(query)
	if err == nil && len(entries) != 1 {
		err = fmt.Errorf("%d entries answer %s, want 1", len(entries), query)
	}
	if err != nil {
		return 0, err
	}
	return entries[0].Index, nil
}

// search shows a search with some of its columns, so that it fits the screen.
func (d *demo) search(query string, columns ...string) ([]hippad.Entry, error) {
	arguments := strings.Fields(query)
	for i, a := range arguments {
		arguments[i] = quoted(a)
	}
	d.command("hippad search " + strings.Join(arguments, " ") + " --data $D/data")
	entries, err := d.ask(strings.Fields(query)...)
	if err != nil {
		return nil, err
	}
	rows := [][]string{columns}
	for _, e := range entries {
		var row []string
		for _, c := range columns {
			row = append(row, entryRow(e)[slices.Index(entryColumns, c)])
		}
		rows = append(rows, row)
	}
	var table bytes.Buffer
	writeTable(&table, rows)
	d.show(table.String())
	return entries, nil
}

// ask is what hippad search does.
func (d *demo) ask(query ...string) ([]hippad.Entry, error) {
	q, err := parseQuery(query)
	if err != nil {
		return nil, err
	}
	c := connection{data: d.path("data")}
	client, err := c.asOperator(d.ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var entries []hippad.Entry
	for e, err := range client.Search(d.ctx, q) {
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// hippad runs a command of this program, shows it with what it says, and checks its exit code.
func (d *demo) hippad(code int, args ...string) error {
	_, err := d.output(code, args...)
	return err
}

// output is hippad, and returns what the command has said.
func (d *demo) output(code int, args ...string) (said string, err error) {
	shown := []string{"hippad"}
	for _, a := range args {
		shown = append(shown, quoted(d.short(a)))
	}
	d.command(strings.Join(shown, " "))
	var out bytes.Buffer
	got := run(d.ctx, args, strings.NewReader(""), &out, &out)
	d.show(out.String())
	if d.ctx.Err() != nil {
		return "", d.ctx.Err()
	}
	if got != code {
		return "", fmt.Errorf("hippad %s ended with exit code %d, want %d", args[0], got, code)
	}
	return out.String(), nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

// demoWidth is how many columns the tour takes, with its margin of three.
const demoWidth = 100

func (d *demo) title(title, text string) {
	d.step++
	d.say("\n%s\n", style(d.out, bold, fmt.Sprintf("%d  %s", d.step, title)))
	d.text(text)
	d.say("\n")
}

// text tells something, in lines that fit.
func (d *demo) text(text string) {
	for _, line := range wrap(text, demoWidth-3) {
		d.say("   %s\n", line)
	}
}

// wrap breaks text between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.SplitAfter(text, " ") {
		if line != "" && utf8.RuneCountInString(line+strings.TrimRight(word, " ")) > width {
			lines, line = append(lines, strings.TrimRight(line, " ")), ""
		}
		line += word
	}
	return append(lines, strings.TrimRight(line, " "))
}

// command shows a command, over several lines when it is long.
func (d *demo) command(text string) {
	lines := wrap(text, demoWidth-10)
	for i, line := range lines {
		lead, end := "$ ", ""
		if i > 0 {
			lead = "    "
		}
		if i < len(lines)-1 {
			end = ` \`
		}
		d.say("   %s\n", style(d.out, green, lead+line+end))
	}
}

// show shows what a command has said.
func (d *demo) show(text string) {
	for line := range strings.Lines(text) {
		code := ""
		if strings.HasPrefix(line, "no: ") || strings.HasPrefix(line, "wrong: ") {
			code = red
		}
		for i, line := range wrap(d.short(strings.TrimRight(line, "\n")), demoWidth-5) {
			if i > 0 {
				line = "  " + line
			}
			if code != "" {
				line = style(d.out, code, line)
			}
			d.say("%s\n", strings.TrimRight("   "+line, " "))
		}
	}
}

// short writes the directory as the reader can type it.
func (d *demo) short(text string) string { return strings.ReplaceAll(text, d.dir, "$D") }

// quoted makes one word for a shell.
func quoted(word string) string {
	if strings.ContainsAny(word, "&|^;<>*?()' ") {
		return "'" + word + "'"
	}
	return word
}
