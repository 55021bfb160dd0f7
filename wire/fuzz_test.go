package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"hippad"
)

// decode takes one payload apart, of whatever type.
func decode(t frameType, p []byte) (message, error) {
	if t == typeReport {
		return parseReport(p, maxReportsEver)
	}
	return parse(t, p)
}

// FuzzMalleability: whatever decodes must encode to the same bytes, so every message has one encoding.
func FuzzMalleability(f *testing.F) {
	for _, v := range readVectors(f) {
		for _, l := range v.lines {
			for _, fr := range l.frames {
				f.Add(uint8(fr.t), fr.payload)
			}
		}
	}
	f.Fuzz(func(t *testing.T, ty uint8, p []byte) {
		m, err := decode(frameType(ty), p)
		if err != nil {
			if k := hippad.KindOf(err); k != hippad.Invalid && k != hippad.TooLarge {
				t.Fatalf("kind %v", k)
			}
			return
		}
		if got := m.appendTo(nil); !bytes.Equal(got, p) {
			t.Fatalf("%v: %x came back as %x", frameType(ty), p, got)
		}
		if e, ok := m.(entry); ok && e.size() != len(p) {
			t.Fatalf("size %d of %d", e.size(), len(p))
		}
	})
}

// FuzzServer: no bytes make a server panic, hang, or hold much more memory than they are.
func FuzzServer(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(bytes.Join(v.sent('>'), nil))
	}
	f.Add(append(greeting(testStream), 0x03, 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, in []byte) {
		log := &fakeLog{record: func(n int, _ hippad.Frame) (error, error) {
			if n%3 == 2 {
				return hippad.Errorf(hippad.Busy, "full"), nil
			}
			return nil, nil
		}}
		log.add(hippad.Report{Media: "text/plain", Body: []byte("x")})
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			(&Server{Log: discard()}).ServeConn(context.Background(), far, log)
		}()
		go io.Copy(io.Discard, near)
		near.SetWriteDeadline(time.Now().Add(10 * time.Second))
		near.Write(in)
		near.Close()
		<-done
	})
}

// A length that is announced and not sent costs no memory.
func TestAnnouncedLength(t *testing.T) {
	near, far := net.Pipe()
	s := serve(t, &Server{MaxReport: 1 << 30}, far, &fakeLog{})
	go io.Copy(io.Discard, near)
	var before, after runtime.MemStats
	near.Write(greeting(testStream))
	runtime.ReadMemStats(&before)
	near.Write([]byte{byte(typeReport), 0x40, 0, 0, 0})
	near.Write(make([]byte, 1000))
	near.Close()
	s.wait()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
		t.Errorf("allocated %d bytes for 1,000", got)
	}
}

// FuzzClient: no bytes from a server make a client panic or wait for ever.
func FuzzClient(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(bytes.Join(v.sent('<'), nil))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		near, far := net.Pipe()
		go io.Copy(io.Discard, far)
		go func() {
			far.SetWriteDeadline(time.Now().Add(10 * time.Second))
			far.Write(in)
			far.Close()
		}()
		c, err := NewClient(context.Background(), near, ClientOptions{Stream: testStream})
		if err != nil {
			return
		}
		record(c, numbered(1, 2))
		for range c.Search(context.Background(), hippad.Query{}) {
		}
		c.Receipt(context.Background(), 1)
		c.Close()
	})
}

func vectorFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../vectors/wire/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	return files
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	var all []vector
	for _, name := range vectorFiles(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := parseVector(string(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v.name = filepath.Base(name)
		all = append(all, v)
	}
	return all
}
