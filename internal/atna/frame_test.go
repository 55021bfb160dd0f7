package atna

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"hippad"

	"pgregory.net/rapid"
)

// split reads all messages from r.
func split(t testing.TB, r io.Reader, limit int) []frame {
	t.Helper()
	fr := newFrameReader(r, limit)
	var got []frame
	for {
		f, err := fr.next()
		if errors.Is(err, io.EOF) {
			if fr.lo != fr.hi {
				t.Fatalf("%d bytes were left in the buffer", fr.hi-fr.lo)
			}
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f)
	}
}

func show(frames []frame) string {
	var b strings.Builder
	for _, f := range frames {
		fmt.Fprintf(&b, "%-9s %q\n", f.fault, f.body)
	}
	return b.String()
}

const (
	head = "<85>1 2024-03-05T08:15:30Z host app 1 - - "
	xmlA = "<AuditMessage><a/></AuditMessage>"
	xmlB = "<?xml version=\"1.0\"?>\n<AuditMessage>\n <b/>\n\n</AuditMessage>\n"
)

func counted(msg string) string { return fmt.Sprintf("%d %s", len(msg), msg) }

func off(msg string, by int) string { return fmt.Sprintf("%d %s", len(msg)+by, msg) }

// TestFrames sends streams in one piece.
func TestFrames(t *testing.T) {
	const ok, fix, cut, odd = hippad.NoFault, hippad.Framing, hippad.Truncated, hippad.Stray
	a, b := head+xmlA, head+xmlB
	bodyB := strings.TrimRight(b, "\n")
	text := head + "plain text"
	for _, c := range []struct {
		name, in string
		want     []frame
	}{
		{"octet counting", counted(a) + counted(b) + counted(text), []frame{{[]byte(a), ok}, {[]byte(b), ok}, {[]byte(text), ok}}},
		{"counted, each with a trailer that is not counted", counted(a) + "\n" + counted(a) + "\r\n" + counted(a) + "\x00", []frame{{[]byte(a), ok}, {[]byte(a), ok}, {[]byte(a), ok}}},
		{"counted, without PRI", counted("hello") + counted(a) + counted("bye"), []frame{{[]byte("hello"), ok}, {[]byte(a), ok}, {[]byte("bye"), ok}}},
		{"LF, CR LF, NUL", a + "\n" + text + "\r\n" + a + "\x00" + text + "\n\n", []frame{{[]byte(a), ok}, {[]byte(text), ok}, {[]byte(a), ok}, {[]byte(text), ok}}},
		{"mixed", a + "\n" + counted(b) + text + "\n" + counted(a), []frame{{[]byte(a), ok}, {[]byte(b), ok}, {[]byte(text), ok}, {[]byte(a), ok}}},
		{"LF inside indented XML", b + b + text + "\n", []frame{{[]byte(bodyB), ok}, {[]byte(bodyB), ok}, {[]byte(text), ok}}},
		{"LF, indented XML that is never closed", head + "<AuditMessage>\n <b/>\n" + text + "\n", []frame{{[]byte(head + "<AuditMessage>\n <b/>"), ok}, {[]byte(text), ok}}},
		{"LF, no header before the XML", xmlB + xmlA + "\n", []frame{{[]byte(strings.TrimRight(xmlB, "\n")), ok}, {[]byte(xmlA), ok}}},
		{"no framing at all", a + a + counted(a) + a + "\n", []frame{{[]byte(a), fix}, {[]byte(a), fix}, {[]byte(a), ok}, {[]byte(a), ok}}},
		{"LF, last without trailer", a + "\n" + a, []frame{{[]byte(a), ok}, {[]byte(a), ok}}},
		{"count too small", off(a, -4) + counted(a) + off(b, -20) + a + "\n", []frame{{[]byte(a), fix}, {[]byte(a), ok}, {[]byte(b), fix}, {[]byte(a), ok}}},
		{"count too small, end of stream", off(a, -9), []frame{{[]byte(a), fix}}},
		{"count too small, next header cut", off(a, -4) + counted(a)[:2], []frame{{[]byte(a), fix}, {[]byte(counted(a)[:2]), odd}}},
		{"count too large by 1", off(a, 1) + counted(a) + counted(a), []frame{{[]byte(a), fix}, {[]byte(a), fix}, {[]byte(a), ok}}},
		{"count too large by 2", off(a, 2) + counted(text) + counted(a), []frame{{[]byte(a), fix}, {[]byte(text), fix}, {[]byte(a), ok}}},
		{"count too large by 3", off(a, 3) + counted(text) + counted(a), []frame{{[]byte(a), fix}, {[]byte(text), fix}, {[]byte(a), ok}}},
		{"count too large by 30", off(a, 30) + counted(a) + counted(a), []frame{{[]byte(a), fix}, {[]byte(a), fix}, {[]byte(a), ok}}},
		{"count too large, text", off(text, 30) + counted(text) + counted(a), []frame{{[]byte(text), fix}, {[]byte(text), fix}, {[]byte(a), ok}}},
		{"count larger than the stream", off(a, 500) + counted(a), []frame{{[]byte(a), fix}, {[]byte(a), fix}}},
		{"cut in a frame", counted(a)[:40], []frame{{[]byte(a[:37]), cut}}},
		{"cut in a line", text, []frame{{[]byte(text), cut}}},
		{"cut in a count", counted(a) + "12", []frame{{[]byte(a), ok}, {[]byte("12"), odd}}},
		{"nothing but a count", "12 ", []frame{{[]byte("12 "), odd}}},
		{"leading zero", "0" + counted(a) + "0" + counted(a), []frame{{[]byte("075 "), odd}, {[]byte(a), fix}, {[]byte("075 "), odd}, {[]byte(a), ok}}},
		{"absurd count", "1234567890 " + a + "\n", []frame{{[]byte("1234567890 "), odd}, {[]byte(a), ok}}},
		{"no space after the count", "75" + a + "\n" + counted(a), []frame{{[]byte("75"), odd}, {[]byte(a), ok}, {[]byte(a), ok}}},
		{"garbage first", "garbage " + counted(a), []frame{{[]byte("garbage "), odd}, {[]byte(a), ok}}},
		{"garbage only", "garbage\n", []frame{{[]byte("garbage\n"), odd}}},
		{"end tag first", "</x>\n" + text + "\n", []frame{{[]byte("</x>\n"), odd}, {[]byte(text), ok}}},
		{"RFC 3164", "<34>Oct 11 22:14:15 h su: a\n<34>Oct 11 22:14:16 h su: b\n", []frame{{[]byte("<34>Oct 11 22:14:15 h su: a"), ok}, {[]byte("<34>Oct 11 22:14:16 h su: b"), ok}}},
		{"trailers only", "\n\n\x00\r\n", nil},
	} {
		if got := split(t, strings.NewReader(c.in), 1000); show(got) != show(c.want) {
			t.Errorf("%s:\n%swant\n%s", c.name, show(got), show(c.want))
		}
	}
}

// TestLateBytes sends streams in pieces: a frame that is complete is not kept back for what may follow.
func TestLateBytes(t *testing.T) {
	a := head + xmlA
	short, long := off(a, -5), off(a, 1)
	const ok, fix, odd = hippad.NoFault, hippad.Framing, hippad.Stray
	for _, c := range []struct {
		name string
		in   []string
		want []frame
	}{
		{"tail of a short count", []string{short[:len(short)-5], "sage>" + counted(a)}, []frame{{[]byte(a[:len(a)-5]), ok}, {[]byte("sage>"), odd}, {[]byte(a), ok}}},
		{"next header in two pieces after a short count", []string{short + counted(a)[:1], counted(a)[1:]}, []frame{{[]byte(a), fix}, {[]byte(a), ok}}},
		{"next header in two pieces after a long count", []string{long + counted(a)[:2], counted(a)[2:]}, []frame{{[]byte(a), fix}, {[]byte(a), fix}}},
		{"next count after a line without trailer", []string{a, counted(a)[:1], counted(a)[1:]}, []frame{{[]byte(a), fix}, {[]byte(a), ok}}},
	} {
		in := &parts{}
		for _, s := range c.in {
			in.list = append(in.list, []byte(s))
		}
		if got := split(t, in, 1000); show(got) != show(c.want) {
			t.Errorf("%s:\n%swant\n%s", c.name, show(got), show(c.want))
		}
	}
}

func TestOverlongMessages(t *testing.T) {
	const limit = 300
	long := head + "<AuditMessage>\n" + strings.Repeat("<x y='z'/>\n", 100) + "</AuditMessage>"
	a := head + xmlA
	for name, in := range map[string]string{
		"counted":                  counted(long) + counted(a),
		"counted, before a line":   counted(long) + a + "\n",
		"line":                     long + "\n" + a + "\n",
		"line before a count":      long + "\n" + counted(a),
		"line without trailer":     long + counted(a),
		"count too small, trailer": off(long, -1000) + "\n" + counted(a),
	} {
		want := []frame{{[]byte(long[:limit]), hippad.Truncated}, {[]byte(a), hippad.NoFault}}
		for kind, r := range map[string]io.Reader{"at once": strings.NewReader(in), "by the byte": iotest.OneByteReader(strings.NewReader(in))} {
			if kind == "by the byte" && strings.HasPrefix(name, "count too small") {
				continue
			}
			if got := split(t, r, limit); show(got) != show(want) {
				t.Errorf("%s, %s:\n%s", name, kind, show(got))
			}
		}
	}
}

// endless delivers so many octets.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range p[:n] {
		p[i] = 'x'
	}
	e.left -= n
	return n, nil
}

func TestHugeCountTakesNoMemory(t *testing.T) {
	const limit = 64 << 10
	in := io.MultiReader(strings.NewReader("999999999 <85>1 "), &endless{999_999_999 - 6}, strings.NewReader(counted(head+xmlA)))
	fr := newFrameReader(in, limit)
	first, err := fr.next()
	if err != nil || len(first.body) != limit || first.fault != hippad.Truncated {
		t.Fatalf("%d bytes, %v, %v", len(first.body), first.fault, err)
	}
	second, err := fr.next()
	if err != nil || string(second.body) != head+xmlA || second.fault != hippad.NoFault {
		t.Fatalf("%q, %v, %v", second.body, second.fault, err)
	}
	if len(fr.buf) > limit+headroom {
		t.Errorf("buffer of %d bytes", len(fr.buf))
	}
	announced := newFrameReader(strings.NewReader("16000000 <85>1 "), 16<<20)
	if _, err := announced.next(); err != nil || len(announced.buf) > minWindow {
		t.Errorf("an announced message takes %d bytes, %v", len(announced.buf), err)
	}
}

// parts gives each of its parts to a Read of its own.
type parts struct{ list [][]byte }

func (p *parts) Read(b []byte) (int, error) {
	if len(p.list) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.list[0])
	if p.list[0] = p.list[0][n:]; len(p.list[0]) == 0 {
		p.list = p.list[1:]
	}
	return n, nil
}

// TestSplitAnywhere: well-framed messages come out as they went in, whatever the pieces in which they arrive.
func TestSplitAnywhere(t *testing.T) {
	payload := rapid.OneOf(
		rapid.StringMatching(`[ -;=-~]{0,60}`),
		rapid.StringMatching(`<AuditMessage>(<x y="[a-z0-9 ]{0,20}"/>){0,9}</AuditMessage>`),
		rapid.StringMatching(`<\?xml version="1\.0"\?>\n<a:AuditMessage>\n(  <x>[0-9]{1,3} [a-z]*</x>\r?\n){0,9}</a:AuditMessage>`),
		rapid.Just(strings.Repeat("0123456789", 2000)),
	)
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []string
		for range rapid.IntRange(1, 12).Draw(t, "messages") {
			msg := head + payload.Draw(t, "payload")
			switch rapid.IntRange(0, 3).Draw(t, "framing") {
			case 0:
				msg = strings.TrimRight(msg, "\r\n")
				stream = append(append(stream, msg...), '\n')
			case 1:
				stream = append(append(stream, msg...), 0)
				msg = strings.TrimRight(msg, "\r\n")
			default:
				stream = append(stream, counted(msg)...)
			}
			want = append(want, msg)
		}
		pieces := &parts{}
		for rest := stream; len(rest) > 0; {
			n := rapid.IntRange(1, min(len(rest), 1+len(stream)/3)).Draw(t, "piece")
			pieces.list = append(pieces.list, rest[:n])
			rest = rest[n:]
		}
		fr := newFrameReader(pieces, 30000)
		for i, msg := range want {
			f, err := fr.next()
			if err != nil || string(f.body) != msg || f.fault != hippad.NoFault {
				t.Fatalf("message %d: %q, %v, %v; want %q", i, f.body, f.fault, err, msg)
			}
		}
		if f, err := fr.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("one message more: %q", f.body)
		}
	})
}

// checkConservation cuts the stream and checks that every byte is in a body, or is framing, or overflow of a message that
// says it was cut; in the order in which they came, and in bounded windows.
func checkConservation(t testing.TB, stream []byte, piece, limit int) {
	t.Helper()
	s := splitter{max: limit}
	before := regexp.MustCompile(`^[\r\n\x00]*([1-9][0-9]{0,8} )?$`)
	after := regexp.MustCompile(`^[\r\n\x00]*$`)
	lo, hi := 0, 0
	overflow := false
	for {
		win := stream[lo:hi]
		f, n, ok := s.next(win, hi == len(stream))
		if n < 0 || n > len(win) {
			t.Fatalf("%d of %d bytes consumed", n, len(win))
		}
		gap := win[:n]
		if ok {
			if len(f.body) == 0 || len(f.body) > limit {
				t.Fatalf("a message of %d bytes", len(f.body))
			}
			start := bytes.Index(win, f.body)
			for start >= 0 && &win[start] != &f.body[0] {
				if next := bytes.Index(win[start+1:], f.body); next >= 0 {
					start += 1 + next
				} else {
					start = -1
				}
			}
			if start < 0 || start+len(f.body) > n {
				t.Fatal("the body is not in what was consumed")
			}
			if !overflow && !before.Match(win[:start]) {
				t.Fatalf("lost before a message: %q", win[:start])
			}
			if gap = win[start+len(f.body) : n]; f.fault != hippad.Truncated && !after.Match(gap) {
				t.Fatalf("lost after a message: %q", gap)
			}
			overflow = f.fault == hippad.Truncated && len(f.body) == limit
		} else if !overflow && !after.Match(gap) {
			t.Fatalf("lost between messages: %q", gap)
		}
		lo += n
		switch {
		case ok && n == 0:
			t.Fatal("no progress")
		case ok:
		case hi < len(stream):
			if hi-lo > limit+headroom {
				t.Fatalf("%d bytes are not enough", hi-lo)
			}
			hi = min(hi+piece, len(stream))
		case lo < len(stream):
			t.Fatalf("%d bytes are left", len(stream)-lo)
		default:
			return
		}
	}
}

// FuzzFrames: nothing is lost, whatever arrives, and it never needs more than the limit in memory.
func FuzzFrames(f *testing.F) {
	a := head + xmlA
	for _, s := range []string{counted(a) + counted(a), off(a, -5) + counted(a), off(a, 3) + counted(a), head + xmlB + a + "\n", "0" + counted(a),
		off(a, 500) + counted(a), a + a, "12 ", "999999999 <1>1 ", "<1>1 -\x00<2>1 -", "</x>" + a, counted(a) + "\n\n" + a} {
		f.Add([]byte(s), uint16(7), uint16(100))
		f.Add([]byte(s), uint16(1000), uint16(1000))
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece, limit uint16) {
		checkConservation(t, stream, int(piece)%200+1, int(limit)%2000+1)
	})
}

func BenchmarkFrames(b *testing.B) {
	msg := head + strings.Repeat(xmlA, 50)
	stream := strings.Repeat(counted(msg), 600)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		fr := newFrameReader(strings.NewReader(stream), DefaultMaxMessage)
		for {
			if _, err := fr.next(); err != nil {
				break
			}
		}
	}
}
