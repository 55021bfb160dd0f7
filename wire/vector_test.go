package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hippad"
)

// A vector is one file of vectors/wire; its README.md explains the format.
type vector struct {
	name    string
	headers []header
	lines   []line
}

type header struct{ key, value string }

type line struct {
	from   byte // '>' client, '<' server
	raw    []byte
	magic  bool
	frames []rawFrame // none if the bytes are not whole frames
}

type rawFrame struct {
	t       frameType
	payload []byte
}

func (v vector) all(key string) []string {
	var s []string
	for _, h := range v.headers {
		if h.key == key {
			s = append(s, h.value)
		}
	}
	return s
}

func (v vector) one(key string) string { return strings.Join(v.all(key), "\n") }

// sent returns what one side sends, line by line.
func (v vector) sent(from byte) [][]byte {
	var all [][]byte
	for _, l := range v.lines {
		if l.from == from {
			all = append(all, l.raw)
		}
	}
	return all
}

func parseVector(text string) (vector, error) {
	head, body, ok := strings.Cut(text, "\n\n")
	if !ok {
		return vector{}, fmt.Errorf("no empty line after the headers")
	}
	var v vector
	for s := range strings.Lines(head) {
		k, val, ok := strings.Cut(strings.TrimSuffix(s, "\n"), ": ")
		if !ok {
			return v, fmt.Errorf("header %q", s)
		}
		v.headers = append(v.headers, header{k, val})
	}
	for s := range strings.Lines(body) {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(s[1:], " ", ""))
		if err != nil || s[0] != '>' && s[0] != '<' {
			return v, fmt.Errorf("line %q: %v", s, err)
		}
		l := line{from: s[0], raw: raw}
		rest, magic := bytes.CutPrefix(raw, []byte(Magic))
		l.magic = magic
		for len(rest) >= headerSize && len(rest)-headerSize >= int(binary.BigEndian.Uint32(rest[1:])) {
			n := headerSize + int(binary.BigEndian.Uint32(rest[1:]))
			l.frames = append(l.frames, rawFrame{frameType(rest[0]), rest[headerSize:n]})
			rest = rest[n:]
		}
		v.lines = append(v.lines, l)
	}
	return v, nil
}

// describe writes the fields of a message as the headers of a vector do.
func describe(m message) []header {
	var h []header
	add := func(k string, v any) { h = append(h, header{k, fmt.Sprint(v)}) }
	reportLine := func(r hippad.Report) { add("report", fmt.Sprintf("%s %d %x", r.Media, r.Fault, r.Body)) }
	st := func(s status) { add("code", s.code); add("message", s.message); add("hint", s.hint) }
	switch m := m.(type) {
	case hello:
		add("versions", m.versions)
		add("stream", hex.EncodeToString(m.stream[:]))
		add("maxframe", m.maxFrame)
		add("software", m.software)
	case welcome:
		add("version", m.version)
		add("maxreport", m.maxReport)
		add("maxframe", m.maxFrame)
		add("maxreports", m.maxReports)
		add("window", m.window)
		add("idle", m.idle)
		add("origin", m.origin)
		add("key", m.key)
		add("software", m.software)
	case report:
		add("serial", m.serial)
		add("first", m.first)
		for _, r := range m.reports {
			reportLine(r)
		}
	case ack:
		add("serial", m.serial)
		for _, r := range m.ranges {
			add("range", fmt.Sprintf("%d+%d", r.First, r.Count))
		}
		add("checkpoint", hex.EncodeToString(m.checkpoint))
	case busy:
		add("serial", m.serial)
		add("retry", m.retry)
	case reject:
		add("serial", m.serial)
		st(m.status)
	case ping:
		add("token", hex.EncodeToString(m.token[:]))
	case pong:
		add("token", hex.EncodeToString(m.token[:]))
	case bye:
		st(m.status)
	case query:
		add("id", m.id)
		add("credit", m.credit)
		h = append(h, describeQuery(m.q)...)
	case more:
		add("id", m.id)
		add("credit", m.credit)
	case cancel:
		add("id", m.id)
	case entry:
		add("id", m.id)
		add("index", m.e.Index)
		add("received", m.e.Received.UnixMicro())
		add("door", uint8(m.e.Door))
		add("kind", m.e.Reporter.Kind)
		add("reporter", m.e.Reporter.ID)
		add("name", m.e.Reporter.Name)
		add("organisation", m.e.Reporter.Organisation)
		add("destroyed", m.e.Destroyed)
		reportLine(m.e.Report)
	case prove:
		add("id", m.id)
		add("index", m.index)
	case proof:
		add("id", m.id)
		add("receipt", hex.EncodeToString(m.receipt))
	case end:
		add("id", m.id)
		st(m.status)
	}
	return h
}

func describeQuery(q hippad.Query) []header {
	var h []header
	add := func(k string, v any) { h = append(h, header{k, fmt.Sprint(v)}) }
	add("ascending", q.Ascending)
	for _, x := range []struct {
		k string
		t time.Time
	}{{"from", q.From}, {"to", q.To}} {
		if !x.t.IsZero() {
			add(x.k, x.t.Format(time.RFC3339Nano))
		}
	}
	if q.Before != nil {
		add("before", *q.Before)
	}
	if q.After != nil {
		add("after", *q.After)
	}
	if q.ByTime {
		add("bytime", true)
	}
	if q.Beyond != nil {
		add("beyond", fmt.Sprintf("%s %d", q.Beyond.At.Format(time.RFC3339Nano), q.Beyond.Index))
	}
	add("limit", q.Limit)
	for _, i := range q.Indexes {
		add("indexed", i)
	}
	for _, group := range q.Terms {
		var alternatives []string
		for _, t := range group {
			alternatives = append(alternatives, fmt.Sprintf("%s=%s", t.Field, t.Value))
		}
		add("terms", strings.Join(alternatives, " or "))
	}
	for _, f := range q.Filters {
		add("filter", strings.TrimSpace(fmt.Sprintf("%d %s %s", f.Op, f.Field, strings.Join(f.Values, " or "))))
	}
	for _, x := range []struct {
		k   string
		all [][]hippad.Period
	}{{"times", q.Times}, {"received", q.Received}} {
		for _, group := range x.all {
			var alternatives []string
			for _, p := range group {
				alternatives = append(alternatives, bound(p.Start)+" to "+bound(p.End))
			}
			add(x.k, strings.Join(alternatives, " or "))
		}
	}
	return h
}

func bound(t time.Time) string {
	if t.IsZero() {
		return "any"
	}
	return t.Format(time.RFC3339Nano)
}

// Entry points one and two: every frame of every vector is decoded and encoded.
func TestVectorsDecodeEncode(t *testing.T) {
	seen := map[frameType]bool{}
	for _, v := range readVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			if strings.HasPrefix(v.name, "frame-") {
				frameVector(t, v)
			}
			if !strings.HasPrefix(v.name, "bad-") {
				for _, l := range v.lines {
					for _, f := range l.frames {
						roundTrip(t, f, seen)
					}
				}
			}
		})
	}
	for ty := typeHello; ty <= typeEnd; ty++ {
		if !seen[ty] {
			t.Errorf("no vector has a %v frame", ty)
		}
	}
}

func roundTrip(t *testing.T, f rawFrame, seen map[frameType]bool) {
	t.Helper()
	m, err := decode(f.t, f.payload)
	if f.t >= firstIgnorable {
		return
	}
	if err != nil {
		t.Errorf("%v: %v", f.t, err)
		return
	}
	seen[f.t] = true
	if got := m.appendTo(nil); !bytes.Equal(got, f.payload) {
		t.Errorf("%v came back as %x", f.t, got)
	}
}

// frameVector compares the fields of a single frame with the headers, or checks that it does not decode.
func frameVector(t *testing.T, v vector) {
	t.Helper()
	if len(v.lines) != 1 || len(v.lines[0].frames) != 1 {
		t.Fatal("not exactly one frame")
	}
	f := v.lines[0].frames[0]
	if f.t.String() != v.one("type") {
		t.Errorf("type %v", f.t)
	}
	m, err := decode(f.t, f.payload)
	if err != nil {
		t.Fatal(err)
	}
	var want []header
	for _, h := range v.headers {
		if h.key != "comment" && h.key != "type" {
			want = append(want, h)
		}
	}
	if got := describe(m); !slices.Equal(got, want) {
		t.Errorf("fields\n%v, want\n%v", got, want)
	}
}

// What is in a bad- vector does not decode, and a server answers it with BYE 2 and stores nothing.
func TestVectorsMalformed(t *testing.T) {
	n := 0
	for _, v := range readVectors(t) {
		if !strings.HasPrefix(v.name, "bad-") {
			continue
		}
		n++
		t.Run(v.name, func(t *testing.T) {
			f := v.lines[0].frames[0]
			if m, err := decode(f.t, f.payload); hippad.KindOf(err) != hippad.Invalid || err == nil {
				t.Fatalf("decoded to %v, %v", m, err)
			}
			if v.lines[0].from != '>' {
				return
			}
			near, far := net.Pipe()
			log := &fakeLog{}
			serve(t, &Server{}, far, log)
			in := newFrameReader(near)
			near.Write(greeting(testStream))
			go near.Write(v.lines[0].raw)
			var last message
			for {
				ty, n, err := in.header()
				if err != nil {
					t.Fatalf("no BYE: %v", err)
				}
				p, _ := in.payload(n)
				if last, err = decode(ty, p); err != nil || ty == typeBye {
					break
				}
			}
			near.Close()
			if b, ok := last.(bye); !ok || b.status.code != codeInvalid || len(log.entries) != 0 {
				t.Errorf("answered %v", last)
			}
		})
	}
	if n == 0 {
		t.Error("no malformed vectors")
	}
}

// vectorServer is the server that the talks were made with; vectors/wire/README.md says the same in words.
func vectorServer() *Server {
	return &Server{MaxReport: 1000, MaxFrame: 2000, MaxReports: 4, Window: 4, Retry: 10 * time.Millisecond, Idle: time.Minute,
		Origin: "log.example", VerifierKey: "log.example+12345678+AAAA", Software: "vectors", Log: discard()}
}

// vectorLog behaves as the have and log headers say.
func vectorLog(t *testing.T, v vector) *fakeLog {
	t.Helper()
	l := &fakeLog{}
	if have := v.one("have"); have != "" {
		n, err := strconv.Atoi(have)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			l.add(hippad.Report{Media: "text/plain", Body: fmt.Appendf(nil, "entry %d", i)})
		}
	}
	fates := strings.Fields(v.one("log"))
	l.record = func(n int, _ hippad.Frame) (early, late error) {
		if n > len(fates) {
			return nil, nil
		}
		switch fates[n-1] {
		case "busy":
			return hippad.Errorf(hippad.Busy, "no room"), nil
		case "unavailable":
			return nil, hippad.Errorf(hippad.Unavailable, "no room")
		case "unauthorised":
			return hippad.Errorf(hippad.Unauthorised, "this client may not report"), nil
		case "internal":
			return nil, fmt.Errorf("a bug")
		}
		return nil, nil
	}
	return l
}

// Entry point three: a server that reads what the client of a talk sends answers what the server of the talk does.
func TestVectorsServer(t *testing.T) {
	for _, v := range readVectors(t) {
		if !strings.HasPrefix(v.name, "talk-") {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			serve(t, vectorServer(), far, vectorLog(t, v))
			near.SetDeadline(time.Now().Add(20 * time.Second))
			for i, l := range v.lines {
				if l.from == '>' {
					if _, err := near.Write(l.raw); err != nil {
						t.Fatalf("line %d: %v", i+1, err)
					}
					continue
				}
				got := make([]byte, len(l.raw))
				if n, err := io.ReadFull(near, got); err != nil || !bytes.Equal(got, l.raw) {
					t.Fatalf("line %d: got %x (%q), %v; want %x", i+1, got[:n], got[:n], err, l.raw)
				}
			}
			// Nothing more comes. The client of the talk closes, because it has read BYE or has said enough.
			near.SetReadDeadline(time.Now())
			if v.one("then") == "closed" {
				near.SetReadDeadline(time.Now().Add(20 * time.Second))
			}
			if rest, err := io.ReadAll(near); len(rest) > 0 {
				t.Errorf("and then %x, %v", rest, err)
			}
			near.Close()
		})
	}
}

// Entry point four: a client that does what the do headers say sends what the client of the talk does, and gets the
// results.
func TestVectorsClient(t *testing.T) {
	n := 0
	for _, v := range readVectors(t) {
		if !strings.HasPrefix(v.name, "talk-") || len(v.all("do")) == 0 {
			continue
		}
		n++
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			near, far := net.Pipe()
			far.SetDeadline(time.Now().Add(20 * time.Second))
			talked := make(chan error, 1)
			go func() { talked <- playServer(far, v) }()
			results, err := playClient(near, v)
			if err != nil {
				t.Errorf("client: %v", err)
			}
			if err := <-talked; err != nil {
				t.Errorf("talk: %v", err)
			}
			if want := v.all("result"); !slices.Equal(results, want) {
				t.Errorf("results\n%s\nwant\n%s", strings.Join(results, "\n"), strings.Join(want, "\n"))
			}
		})
	}
	if n == 0 {
		t.Error("no talk for the client")
	}
}

// playServer reads what the talk has the client send, byte for byte, and writes what it has the server send.
func playServer(conn net.Conn, v vector) error {
	defer conn.Close()
	for i, l := range v.lines {
		if l.from == '<' {
			if _, err := conn.Write(l.raw); err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
			continue
		}
		got := make([]byte, len(l.raw))
		if n, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, l.raw) {
			return fmt.Errorf("line %d: the client sent %x, %w; want %x", i+1, got[:n], err, l.raw)
		}
	}
	return nil
}

func playClient(conn net.Conn, v vector) (results []string, err error) {
	o := ClientOptions{Software: "test"}
	if s := v.one("stream"); s != "" {
		if _, err := hex.Decode(o.Stream[:], []byte(s)); err != nil {
			return nil, err
		}
	}
	c, err := NewClient(context.Background(), conn, o)
	if err != nil {
		return []string{outcome(err)}, nil
	}
	defer c.Close()
	ctx := context.Background()
	var waits []hippad.Wait
	drain := func() {
		for _, wait := range waits {
			a, err := wait(ctx)
			s := outcome(err)
			if err == nil {
				s = "ack"
				for _, r := range a.Ranges {
					s += fmt.Sprintf(" %d+%d", r.First, r.Count)
				}
			}
			results = append(results, s)
		}
		waits = nil
	}
	for _, do := range v.all("do") {
		w := strings.Fields(do)
		if w[0] != "record" {
			drain()
		}
		switch w[0] {
		case "record":
			f, err := parseRecord(o.Stream, w[1:])
			if err != nil {
				return results, err
			}
			wait, err := c.Record(ctx, f)
			if err != nil {
				results = append(results, outcome(err))
				continue
			}
			waits = append(waits, wait)
		case "search":
			q, err := parseSearch(w[1:])
			if err != nil {
				return results, err
			}
			s := "end"
			for e, err := range c.Search(ctx, q) {
				if err != nil {
					s = outcome(err)
					break
				}
				results = append(results, fmt.Sprintf("entry %d %s", e.Index, e.Body))
			}
			results = append(results, s)
		case "prove":
			at, err := strconv.ParseInt(w[1], 10, 64)
			if err != nil {
				return results, err
			}
			r, err := c.Receipt(ctx, at)
			if err != nil {
				results = append(results, outcome(err))
				continue
			}
			results = append(results, fmt.Sprintf("receipt %x", []byte(r)))
		case "close":
			if err := c.Close(); err != nil {
				return results, err
			}
		default:
			return results, fmt.Errorf("do %q", do)
		}
	}
	drain()
	return results, nil
}

// parseRecord reads "FIRST MEDIA:HEX ...".
func parseRecord(stream hippad.StreamID, w []string) (hippad.Frame, error) {
	first, err := strconv.ParseUint(w[0], 10, 64)
	if err != nil {
		return hippad.Frame{}, err
	}
	f := hippad.Frame{First: first}
	if first != 0 {
		f.Stream = stream
	}
	for _, s := range w[1:] {
		media, body, _ := strings.Cut(s, ":")
		b, err := hex.DecodeString(body)
		if err != nil {
			return f, err
		}
		f.Reports = append(f.Reports, hippad.Report{Media: media, Body: b})
	}
	return f, nil
}

// parseSearch reads "ascending", "limit=N" and "FIELD=VALUE".
func parseSearch(w []string) (hippad.Query, error) {
	var q hippad.Query
	for _, s := range w {
		k, val, _ := strings.Cut(s, "=")
		switch k {
		case "all":
		case "ascending":
			q.Ascending = true
		case "limit":
			n, err := strconv.Atoi(val)
			if err != nil {
				return q, err
			}
			q.Limit = n
		default:
			q.Terms = append(q.Terms, []hippad.Term{hippad.NewTerm(hippad.Field(k), val)})
		}
	}
	return q, nil
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	m, _ := hippad.Public(err)
	return fmt.Sprintf("error %v: %s", hippad.KindOf(err), m)
}
