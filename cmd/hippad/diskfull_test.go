package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"hippad"
	"hippad/internal/identity"
	"hippad/internal/localstore"
	"hippad/wire"
)

// A smallDisk is a file system of the test's own that can be filled up.
type smallDisk struct {
	dir     string
	ballast []string
}

// mountSmallDisk mounts a tmpfs, which only root may, and takes its name away again at once: what is left is an open folder,
// reached by /proc, and when the test ends, however it ends, there is nothing to clean up.
func mountSmallDisk(t testing.TB, mib int) *smallDisk {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "only root can mount the small disk that this test fills")
	}
	at := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "hippad-test", at).CombinedOutput(); err != nil {
		missing(t, "cannot mount a tmpfs: %v: %s", err, bytes.TrimSpace(out))
	}
	folder, openErr := os.Open(at)
	if out, err := exec.Command("umount", "--lazy", at).CombinedOutput(); err != nil || openErr != nil {
		t.Fatalf("unmount the tmpfs: %v: %s; open it: %v", err, bytes.TrimSpace(out), openErr)
	}
	t.Cleanup(func() { folder.Close() })
	return &smallDisk{dir: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), folder.Fd())}
}

// free returns how many bytes are left.
func (d *smallDisk) free(t testing.TB) int64 {
	t.Helper()
	usage, err := vfs.Default.GetDiskUsage(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	return int64(usage.AvailBytes)
}

// fill takes room until no more than leave bytes are free.
func (d *smallDisk) fill(t testing.TB, leave int64) {
	t.Helper()
	name := filepath.Join(d.dir, fmt.Sprintf("ballast-%d", len(d.ballast)))
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d.ballast = append(d.ballast, name)
	for {
		n := min(1<<20, d.free(t)-leave)
		if n <= 0 {
			return
		}
		if _, err := f.Write(make([]byte, n)); err != nil { // full before the last byte: as good
			return
		}
	}
}

// release gives all the room back.
func (d *smallDisk) release(t testing.TB) {
	t.Helper()
	for _, name := range d.ballast {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	d.ballast = nil
}

// fullLoad reports by FHIR and by hippad/1 until it is stopped, and remembers what it was told.
type fullLoad struct {
	p    *process
	web  *http.Client
	ctx  context.Context // ends when the load is to stop
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	created map[string]int64  // acknowledged: name of the report and its index
	refused map[string]string // not acknowledged: name and what the server said
	unknown map[string]bool   // sent, and nobody has told what became of it
}

// fullReport returns a report with a name that no compression makes small.
func fullReport(name string) hippad.Report {
	noise := make([]byte, 12<<10)
	_, _ = rand.Read(noise)
	return hippad.Report{Media: hippad.MediaFHIRJSON, Body: fmt.Appendf(nil,
		`{"resourceType":"AuditEvent","type":{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110110"},"action":"R",`+
			`"recorded":"2026-11-22T10:00:00Z","outcome":"0","outcomeDesc":"%s","agent":[{"altId":"reporter","requestor":true}],`+
			`"source":{"observer":{"identifier":{"value":"full"}}},"entity":[{"what":{"identifier":{"value":%q}}}]}`,
		base64.StdEncoding.EncodeToString(noise), name)}
}

// startFullLoad begins to report. The names of its reports begin with tag.
func startFullLoad(t testing.TB, p *process, tag string) *fullLoad {
	t.Helper()
	config, err := identity.ReporterTLS(p.CA, "")
	if err != nil {
		t.Fatal(err)
	}
	l := &fullLoad{p: p, created: map[string]int64{}, refused: map[string]string{}, unknown: map[string]bool{},
		web: &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}, Timeout: time.Minute}}
	l.ctx, l.stop = context.WithCancel(t.Context())
	for worker := range 2 {
		l.wg.Go(func() {
			for n := 0; l.ctx.Err() == nil; n++ {
				l.post(t, fmt.Sprintf("%s-fhir-%d-%d", tag, worker, n))
			}
		})
	}
	client := operator(t, p)
	l.wg.Go(func() {
		for n := 0; l.ctx.Err() == nil; n++ {
			l.record(t, client, fmt.Sprintf("%s-native-%d", tag, n))
		}
	})
	t.Cleanup(l.end)
	return l
}

// end stops the load and waits for the last answers.
func (l *fullLoad) end() {
	l.stop()
	l.wg.Wait()
	l.web.CloseIdleConnections()
}

// post reports by POST /fhir/AuditEvent.
func (l *fullLoad) post(t testing.TB, name string) {
	r, err := l.web.Post("https://"+l.p.Address+"/fhir/AuditEvent", hippad.MediaFHIRJSON, bytes.NewReader(fullReport(name).Body))
	if err != nil {
		l.note(func() { l.unknown[name] = true })
		l.stop() // the server is gone: nobody but this test ends it
		return
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		l.note(func() { l.unknown[name] = true })
		return
	}
	switch r.StatusCode {
	case http.StatusCreated:
		index, err := strconv.ParseInt(r.Header.Get("Location")[strings.LastIndex(r.Header.Get("Location"), "/")+1:], 10, 64)
		if err != nil {
			t.Errorf("Location %q", r.Header.Get("Location"))
		}
		l.note(func() { l.created[name] = index })
	case http.StatusServiceUnavailable:
		if r.Header.Get("Retry-After") == "" || !bytes.Contains(text, []byte("OperationOutcome")) {
			t.Errorf("503 without Retry-After or OperationOutcome: %s", text)
		}
		l.note(func() { l.refused[name] = string(text) })
	default:
		t.Errorf("FHIR: status %d: %s", r.StatusCode, text)
	}
}

// record reports by hippad/1. While the server says BUSY it waits.
func (l *fullLoad) record(t testing.TB, client *wire.Client, name string) {
	var ack hippad.Ack
	wait, err := client.Record(l.ctx, hippad.Frame{Reports: []hippad.Report{fullReport(name)}})
	if err == nil {
		ack, err = wait(l.ctx)
	}
	switch {
	case err == nil:
		l.note(func() { l.created[name] = ack.Ranges[0].First })
	case errors.Is(err, context.Canceled), hippad.KindOf(err) == hippad.Unavailable, hippad.KindOf(err) == hippad.Busy:
		l.note(func() { l.unknown[name] = true })
	default:
		t.Errorf("hippad/1: %v (%v)", err, hippad.KindOf(err))
	}
}

func (l *fullLoad) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *fullLoad) counts() (created, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.created), len(l.refused)
}

// waitRefused waits for more refusals, waitCreated for more acknowledgements.
func (l *fullLoad) waitRefused(t testing.TB, n int) {
	t.Helper()
	_, before := l.counts()
	eventually(t, "503 while the disk is full", func() error {
		if _, now := l.counts(); now < before+n {
			return fmt.Errorf("%d refusals, want %d", now, before+n)
		}
		return nil
	})
}

func (l *fullLoad) waitCreated(t testing.TB, n int) {
	t.Helper()
	before, _ := l.counts()
	eventually(t, "acknowledgements while there is room", func() error {
		if now, _ := l.counts(); now < before+n {
			return fmt.Errorf("%d acknowledged, want %d", now, before+n)
		}
		return nil
	})
}

// A disk that fills up under load, to the reserve or to the last byte, stops the intake and nothing else: what was acknowledged is
// there, what was refused is not, and when there is room again the log goes on by itself.
func TestDiskFull(t *testing.T) {
	// Pebble sets 70 MiB aside for each of its logs, of which there are some from the start.
	disk := mountSmallDisk(t, localstore.DefaultReserve>>20+640)
	p := startServer(t, filepath.Join(disk.dir, "data"))
	load := startFullLoad(t, p, "first")
	load.waitCreated(t, 50)

	// By the load itself, down to what the store keeps in reserve.
	disk.fill(t, localstore.DefaultReserve+4<<20)
	load.waitRefused(t, 5)
	// The store may drop an old log of its own now, and there would be room again while we look.
	disk.fill(t, 64<<20)
	load.waitRefused(t, 5)
	checkWhileFull(t, p, load)
	disk.release(t)
	load.waitCreated(t, 50)

	// By somebody else, at once and to the last byte, in the middle of commits.
	for range 3 {
		disk.fill(t, 0)
		load.waitRefused(t, 3)
		disk.release(t)
		load.waitCreated(t, 50)
	}
	load.end()

	// And killed while it is full.
	last := startFullLoad(t, p, "last")
	last.waitCreated(t, 20)
	disk.fill(t, 0)
	last.waitRefused(t, 1)
	kill9(t, p)
	last.end()
	disk.release(t)
	p = startServer(t, p.Data)
	checkFull(t, p, load, last)
	if code := p.Stop(t); code != 0 {
		t.Errorf("the server's exit code is %d", code)
	}
	audit(t, p.Data)
}

// checkWhileFull checks what else the server does while it takes nothing: it says so, and shows what is public.
func checkWhileFull(t *testing.T, p *process, l *fullLoad) {
	t.Helper()
	l.mu.Lock()
	for name, text := range l.refused {
		if !strings.Contains(text, "disk is full") {
			t.Errorf("%s was refused with %s", name, text)
		}
	}
	l.mu.Unlock()
	// A reading that cannot be recorded is not answered.
	if stdout, stderr, code := hippadRun(t, "search", "--data", p.Data, "--json", "source=full"); code != 1 || stdout != "" || !strings.Contains(stderr, "disk is full") {
		t.Errorf("search: exit code %d, %d bytes\n%s", code, len(stdout), stderr)
	}
	if _, _, text := newWatcher(t, p).checkpoint(t); len(text) == 0 {
		t.Error("no checkpoint")
	}
	answer, err := l.web.Get("https://" + p.Address + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "disk is full") {
		t.Errorf("readyz: %d %s", answer.StatusCode, text)
	}
	// A command does not wait for ever: what it has to report waits in its spool.
	file, queue := filepath.Join(t.TempDir(), "report.txt"), filepath.Join(t.TempDir(), "spool")
	if err := os.WriteFile(file, []byte("reported while the disk is full"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := hippadRun(t, "report", file, "--data", p.Data, "--spool", queue)
	if code != 1 || !strings.Contains(stderr, "takes no reports now") || !strings.Contains(stderr, "1 of 1 reports wait in the spool") {
		t.Errorf("report: exit code %d\n%s", code, stderr)
	}
}

// checkFull reads the whole log back and compares it with what the loads were told.
func checkFull(t *testing.T, p *process, loads ...*fullLoad) {
	t.Helper()
	at := map[string][]int64{}
	for e, err := range operator(t, p).Search(bounded(t), hippad.Query{Terms: [][]hippad.Term{{hippad.NewTerm(hippad.FieldSource, "full")}}}) {
		if err != nil {
			t.Fatal(err)
		}
		name := read(e.Report).Entities[0].What.Identifier.Value
		at[name] = append(at[name], e.Index)
	}
	created, refused, unknown, stored := 0, 0, 0, 0
	for _, l := range loads {
		for name, index := range l.created {
			if len(at[name]) != 1 || at[name][0] != index {
				t.Errorf("%s was acknowledged as entry %d and is at %v", name, index, at[name])
			}
		}
		for name, text := range l.refused {
			if len(at[name]) > 0 && !strings.Contains(text, "not known") {
				t.Errorf("%s was refused and is at %v: %s", name, at[name], text)
			}
		}
		for name := range l.unknown {
			if stored += len(at[name]); len(at[name]) > 1 {
				t.Errorf("%s is in the log %d times", name, len(at[name]))
			}
		}
		created, refused, unknown = created+len(l.created), refused+len(l.refused), unknown+len(l.unknown)
	}
	if len(at) < created {
		t.Errorf("%d reports in the log, %d acknowledged", len(at), created)
	}
	t.Logf("%d acknowledged and there, %d refused and not there, %d of unknown outcome (%d there)", created, refused, unknown, stored)
}
