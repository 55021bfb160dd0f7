package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"hippad"
	"hippad/internal/identity"
	"hippad/receipt"
	"hippad/spool"
	"hippad/wire"
)

// crashKills is how often the server is killed, and crashReporterKills after how many of these the reporter is killed too.
const (
	crashKills         = 20
	crashReporterKills = 4
)

// A crashID names a report: the life of the reporter process that made it, and its place among that life's reports.
type crashID struct{ Life, N int }

// before is the order in which the reports were put into the spool.
func (a crashID) before(b crashID) bool { return a.Life < b.Life || a.Life == b.Life && a.N < b.N }

// crashReport returns the report with a name: always the same, now and then large.
func crashReport(id crashID) hippad.Report {
	name := fmt.Sprintf("crash-%d-%d", id.Life, id.N)
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	padding := 300 + int(h.Sum32()%800)
	if h.Sum32()%61 == 0 {
		padding += 150_000
	}
	return hippad.Report{Media: hippad.MediaFHIRJSON, Body: fmt.Appendf(nil,
		`{"resourceType":"AuditEvent","type":{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110110"},"action":"R",`+
			`"recorded":"2026-11-22T10:00:00Z","outcome":"0","outcomeDesc":"%s","agent":[{"altId":"reporter","requestor":true}],`+
			`"source":{"observer":{"display":"crash"}},"entity":[{"what":{"identifier":{"value":%q}}}]}`,
		strings.Repeat("x", padding), name)}
}

// crashOrder is what the test tells its reporter process.
type crashOrder struct {
	Spool, Address, CA string
	Life               int
}

// crashEnv holds a crashOrder in the environment of a reporter process.
const crashEnv = "HIPPAD_TEST_REPORTER"

// TestReporterProcess is no test: it is the reporter that TestCrash runs in a process of its own, so that it can be killed. It
// reports without end until its stdin is closed, then sends what is left and ends. Each line on stdout is a fact: what
// Add has made durable, what the log has acknowledged.
func TestReporterProcess(t *testing.T) {
	if os.Getenv(crashEnv) == "" {
		t.Skip("this is a part of TestCrash")
	}
	var o crashOrder
	if err := json.Unmarshal([]byte(os.Getenv(crashEnv)), &o); err != nil {
		t.Fatal(err)
	}
	queue, err := spool.Open(o.Spool)
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()

	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	room := make(chan struct{}, 1)
	var producer sync.WaitGroup
	producer.Go(func() {
		for n := 0; ; {
			for pending := 400; pending >= 400; {
				select {
				case <-stopped:
					return
				default:
				}
				if pending, _ = queue.Pending(); pending >= 400 {
					select {
					case <-stopped:
						return
					case <-room:
					}
				}
			}
			batch := make([]hippad.Report, 1+rand.IntN(16))
			for i := range batch {
				batch[i] = crashReport(crashID{o.Life, n + i})
			}
			first, err := queue.Add(batch...)
			if err != nil {
				t.Errorf("add: %v", err)
				return
			}
			say("added %d %d %d", first, n, len(batch))
			n += len(batch)
		}
	})
	acked := func(number uint64, index int64) {
		say("acked %d %d", number, index)
		select {
		case room <- struct{}{}:
		default:
		}
	}
	for {
		err := crashSend(t.Context(), o, queue, acked)
		pending, _ := queue.Pending()
		select {
		case <-stopped:
			producer.Wait()
			if pending, _ = queue.Pending(); err == nil && pending == 0 {
				if rejected, err := queue.Rejected(); err != nil || len(rejected) > 0 {
					t.Errorf("%d reports were refused, %v", len(rejected), err)
				}
				return
			}
		default:
		}
		if err != nil || pending == 0 {
			if kind := hippad.KindOf(err); err != nil && kind != hippad.Unavailable && kind != hippad.Busy {
				t.Fatalf("send: %v (%v)", err, kind)
			}
			select {
			case <-time.After(20 * time.Millisecond): // the pace of dialling while the server is away
			case <-t.Context().Done():
			}
		}
	}
}

// crashSend is one connection of the reporter.
func crashSend(ctx context.Context, o crashOrder, queue *spool.Spool, acked func(uint64, int64)) error {
	config, err := identity.ReporterTLS(o.CA, "")
	if err != nil {
		return err
	}
	client, err := wire.Dial(ctx, o.Address, config, wire.ClientOptions{Stream: queue.Stream()})
	if err != nil {
		return err
	}
	defer client.Close()
	l := client.Limits()
	return queue.Send(ctx, client, spool.Limits{Report: l.MaxReport, Frame: l.MaxFrame, Reports: l.MaxReports, Window: l.Window}, acked)
}

// A crashReporter is a running reporter process and what it has said.
type crashReporter struct {
	life  int
	cmd   *exec.Cmd
	stdin io.Closer
	talk  *lockedBuffer
	done  chan struct{} // its stdout has ended

	mu    sync.Mutex
	more  *sync.Cond
	ended bool
	added map[uint64]crashID
	acked map[uint64]int64
	other []string
}

func startReporter(t *testing.T, o crashOrder) *crashReporter {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	order, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &crashReporter{life: o.Life, talk: &lockedBuffer{}, done: make(chan struct{}), added: map[uint64]crashID{}, acked: map[uint64]int64{}}
	r.more = sync.NewCond(&r.mu)
	r.cmd = exec.Command(self, "-test.run=^TestReporterProcess$", "-test.timeout=5m")
	r.cmd.Env = append(os.Environ(), crashEnv+"="+string(order))
	r.cmd.Stderr = r.talk
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.done
		_ = r.cmd.Wait()
		if t.Failed() {
			t.Logf("reporter %d:\n%s\n%s", o.Life, strings.Join(r.other, "\n"), r.talk)
		}
	})
	go r.listen(stdout)
	return r
}

func (r *crashReporter) listen(stdout io.Reader) {
	defer close(r.done)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var number uint64
		var a, b int64
		r.mu.Lock()
		if k, _ := fmt.Sscanf(lines.Text(), "added %d %d %d", &number, &a, &b); k == 3 {
			for i := range b {
				r.added[number+uint64(i)] = crashID{r.life, int(a + i)}
			}
		} else if k, _ := fmt.Sscanf(lines.Text(), "acked %d %d", &number, &a); k == 2 {
			r.acked[number] = a
		} else {
			r.other = append(r.other, lines.Text())
		}
		r.more.Broadcast()
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.ended = true
	r.more.Broadcast()
	r.mu.Unlock()
}

// waitAcked waits until n more reports have been acknowledged.
func (r *crashReporter) waitAcked(t *testing.T, n int) {
	t.Helper()
	late := false
	timer := time.AfterFunc(time.Minute, func() {
		r.mu.Lock()
		late = true
		r.more.Broadcast()
		r.mu.Unlock()
	})
	defer timer.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for want := len(r.acked) + n; len(r.acked) < want && !r.ended && !late; {
		r.more.Wait()
	}
	if r.ended || late {
		t.Fatalf("the reporter has stopped: ended %v, late %v, %d acknowledged", r.ended, late, len(r.acked))
	}
}

// operator returns a connection that may read.
func operator(t testing.TB, p *process) *wire.Client {
	t.Helper()
	config, err := identity.OperatorTLS(p.Data)
	if err != nil {
		t.Fatal(err)
	}
	client, err := wire.Dial(bounded(t), p.Address, config, wire.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// The server is killed twenty times under load and the reporter a few times: what was put into the spool is in the log once
// and in order, and what was acknowledged is where the acknowledgement said.
func TestCrash(t *testing.T) {
	began := time.Now()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))
	p := startServer(t, "", "--listen", address)
	order := crashOrder{Spool: t.TempDir(), Address: address, CA: p.CA}
	r := startReporter(t, order)
	lives := []*crashReporter{r}
	for kill := range crashKills {
		if n := rand.IntN(400); kill%5 != 4 { // every fifth time it is killed before it has done anything
			r.waitAcked(t, n)
		}
		kill9(t, p)
		if kill%crashReporterKills == crashReporterKills-1 {
			if err := r.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-r.done
			order.Life++
			r = startReporter(t, order)
			lives = append(lives, r)
		}
		p = startServer(t, p.Data, "--listen", address)
	}
	r.waitAcked(t, 100)
	r.stdin.Close()
	<-r.done
	if err := r.cmd.Wait(); err != nil {
		t.Fatalf("the reporter could not send all: %v", err)
	}
	checkCrash(t, p, lives)
	if code := p.Stop(t); code != 0 {
		t.Errorf("the server's exit code is %d", code)
	}
	audit(t, p.Data)
	t.Logf("server killed %d times, reporter %d times, in %v", crashKills, order.Life, time.Since(began).Round(time.Second))
}

// bounded returns a context in which an answer must come: a failing test says what it was waiting for instead of standing still.
func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// kill9 kills the server, and looks whether the race detector had found something: the exit code cannot say so any more.
func kill9(t testing.TB, p *process) {
	t.Helper()
	p.Kill(t)
	if strings.Contains(p.log.String(), "DATA RACE") {
		t.Error("the server has a data race")
	}
}

// checkCrash reads the whole log back and compares it with what the reporter processes have said.
func checkCrash(t *testing.T, p *process, lives []*crashReporter) {
	t.Helper()
	client := operator(t, p)
	var reports []crashID // by index in the log, without what hippad reports about itself
	at := map[int64]crashID{}
	next := int64(0)
	for e, err := range client.Search(bounded(t), hippad.Query{Ascending: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Index != next {
			t.Fatalf("entry %d follows entry %d", e.Index, next-1)
		}
		next++
		if e.Door == hippad.DoorSelf {
			continue
		}
		ev := read(e.Report)
		var id crashID
		if len(ev.Entities) != 1 {
			t.Fatalf("entry %d: %v, %d entities", e.Index, ev, len(ev.Entities))
		}
		if k, _ := fmt.Sscanf(ev.Entities[0].What.Identifier.Value, "crash-%d-%d", &id.Life, &id.N); k != 2 ||
			e.Media != hippad.MediaFHIRJSON || !bytes.Equal(e.Body, crashReport(id).Body) {
			t.Fatalf("entry %d is not what was reported", e.Index)
		}
		if n := len(reports); n > 0 && !reports[n-1].before(id) {
			t.Errorf("entry %d is %v, after %v: doubled, or out of order", e.Index, id, reports[n-1])
		}
		reports = append(reports, id)
		at[e.Index] = id
	}
	added, acked := 0, 0
	for _, r := range lives {
		for _, id := range r.added {
			added++
			if _, found := slices.BinarySearchFunc(reports, id, func(a, b crashID) int {
				if a.before(b) {
					return -1
				} else if b.before(a) {
					return 1
				}
				return 0
			}); !found {
				t.Errorf("%v was put into the spool and is not in the log", id)
			}
		}
		for number, index := range r.acked {
			acked++
			id, ok := at[index]
			for _, other := range lives { // the number may have been given in an earlier life
				if want, known := other.added[number]; known && (!ok || id != want) {
					t.Errorf("number %d was acknowledged as entry %d, where %v is and not %v", number, index, id, want)
				}
			}
		}
	}
	t.Logf("%d entries, %d of them reports; %d known to be put into the spool; %d acknowledgements", next, len(reports), added, acked)
	if len(reports) < added || added < crashKills*50 {
		t.Errorf("%d reports in the log, %d put into the spool", len(reports), added)
	}
	checkReceipts(t, p, client, at)
}

// checkReceipts proves some entries of the log with the key that the server has left.
func checkReceipts(t *testing.T, p *process, client *wire.Client, at map[int64]crashID) {
	t.Helper()
	verifier := logVerifier(t, p)
	checked := 0
	ctx := bounded(t)
	for index, id := range at { // in the random order of a map
		text, err := client.Receipt(ctx, index)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.Verify(text, crashReport(id).Body, verifier); err != nil {
			t.Errorf("receipt of entry %d: %v", index, err)
		}
		if checked++; checked == 50 {
			break
		}
	}
}

// logVerifier returns the public key in the server's data directory.
func logVerifier(t testing.TB, p *process) note.Verifier {
	t.Helper()
	text, err := os.ReadFile(p.Data + "/log.vkey")
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
