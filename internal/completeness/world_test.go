package completeness

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"hippad"
)

// A world is a log in memory, with what follows it. Its syslog header is the body: host, app, procid and structured data, with a bar
// between them.
type world struct {
	*Completeness
	t       testing.TB
	mu      sync.Mutex
	entries []hippad.Entry
	grown   chan struct{}
	notices []Notice
	refuse  bool // the log takes nothing
	saved   []byte
	loads   int
	saves   int
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, grown: make(chan struct{})}
	w.start()
	return w
}

// start makes what follows the log, as a new process does.
func (w *world) start() {
	w.Completeness = &Completeness{
		Follow: w.follow, Size: w.size, Header: header, Read: ownEvent, Note: w.note, Now: time.Now,
		Load: func() ([]byte, error) { w.loads++; return w.saved, nil },
		Save: func(b []byte) error { w.saves++; w.saved = b; return nil },
	}
	w.known = *newKnown()
}

func (w *world) size() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.entries))
}

func (w *world) add(e hippad.Entry) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.Index, e.Received = int64(len(w.entries)), time.Now().UTC().Truncate(time.Microsecond)
	w.entries = append(w.entries, e)
	close(w.grown)
	w.grown = make(chan struct{})
	return e.Index
}

func (w *world) follow(ctx context.Context, after int64) iter.Seq2[hippad.Entry, error] {
	return func(yield func(hippad.Entry, error) bool) {
		for next := after + 1; ; next++ {
			w.mu.Lock()
			for next >= int64(len(w.entries)) {
				grown := w.grown
				w.mu.Unlock()
				select {
				case <-ctx.Done():
					return
				case <-grown:
				}
				w.mu.Lock()
			}
			e := w.entries[next]
			w.mu.Unlock()
			if ctx.Err() != nil || !yield(e, nil) {
				return
			}
		}
	}
}

// ownEvent is what the log's own entries mean: a start, or a notice, of which the test's body holds everything.
func ownEvent(r hippad.Report) hippad.Event {
	kind, rest, _ := strings.Cut(string(r.Body), "\n")
	if kind == "start" {
		return hippad.Event{Type: hippad.Code{System: "DCM", Code: "110100"}, Subtypes: []hippad.Code{{System: "DCM", Code: "110120"}}}
	}
	n := Notice{Activity: kind}
	for line := range strings.Lines(rest) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		var s NoticeSource
		s.Reporter, s.Hostname, s.AppName = f[0], f[1], f[2]
		_, _ = fmt.Sscan(f[3], &s.Last)
		_, _ = fmt.Sscan(f[4], &s.Found)
		n.Sources = append(n.Sources, s)
	}
	return hippad.Event{Subtypes: []hippad.Code{{System: ActivitySystem, Code: kind}}, Entities: n.Entities()}
}

func (w *world) note(_ context.Context, n Notice) error {
	w.mu.Lock()
	refuse := w.refuse
	w.mu.Unlock()
	if refuse {
		return errors.New("full")
	}
	body := n.Activity + "\n"
	for _, s := range n.Sources {
		body += fmt.Sprintf("%s|%s|%s|%d|%d\n", s.Reporter, s.Hostname, s.AppName, s.Last, s.Found)
	}
	w.add(hippad.Entry{Door: hippad.DoorSelf, Report: hippad.Report{Media: hippad.MediaFHIRJSON, Body: []byte(body)}})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = append(w.notices, n)
	return nil
}

// said returns the activities and descriptions of the notices since the last call.
func (w *world) heardOf() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, n := range w.notices {
		list = append(list, n.Activity+" "+n.Description)
	}
	w.notices = nil
	return list
}

func header(r hippad.Report) *hippad.SyslogHeader {
	f := strings.SplitN(string(r.Body), "|", 5)
	if len(f) < 4 {
		return nil
	}
	return &hippad.SyslogHeader{Hostname: f[0], AppName: f[1], ProcID: f[2], StructuredData: f[3]}
}

func certificate(name string) hippad.Principal {
	return hippad.Principal{Kind: hippad.KindCertificate, ID: "sha256:" + name, Name: name, Organisation: "North"}
}

// syslog adds a message of an origin, n being its sequenceId, or 0.
func (w *world) syslog(who hippad.Principal, hostname, app string, n int64) int64 {
	sd := ""
	if n > 0 {
		sd = fmt.Sprintf(`[meta sequenceId="%d"]`, n)
	}
	return w.raw(who, hostname+"|"+app+"|1|"+sd)
}

func (w *world) raw(who hippad.Principal, body string) int64 {
	return w.add(hippad.Entry{Door: hippad.DoorSyslogTLS, Reporter: who, Report: hippad.Report{Media: hippad.MediaSyslog, Body: []byte(body)}})
}

func (w *world) native(who hippad.Principal) int64 {
	return w.add(hippad.Entry{Door: hippad.DoorNative, Reporter: who, Report: hippad.Report{Media: hippad.MediaXML, Body: []byte("x")}})
}

// runs lets it follow until stop is called, which returns when everything is saved.
func (w *world) runs() (stop func()) {
	w.add(hippad.Entry{Door: hippad.DoorSelf, Report: hippad.Report{Media: hippad.MediaFHIRJSON, Body: []byte("start")}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

func (w *world) source(name, hostname string) Source {
	w.t.Helper()
	for _, s := range w.Sources() {
		if s.Name == name && s.Hostname == hostname {
			return s
		}
	}
	w.t.Fatalf("there is no source %s %s", name, hostname)
	return Source{}
}
