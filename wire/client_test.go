package wire

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"hippad"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// greeting is what a client sends first.
func greeting(stream hippad.StreamID) []byte {
	return appendFrame([]byte(Magic), hello{versions: []uint16{Version}, stream: stream, maxFrame: 64 << 20, software: "hippad"})
}

func saneWelcome() welcome {
	return welcome{version: 1, maxReport: 1000, maxFrame: 2000, maxReports: 10, window: 4, idle: 60_000}
}

// A server that breaks the protocol ends the connection, with nothing acknowledged and nothing left waiting.
func TestBadServers(t *testing.T) {
	after := func(m ...message) []message { return append([]message{saneWelcome()}, m...) }
	one := []hippad.Range{{First: 0, Count: 1}}
	for name, frames := range map[string][]message{
		"acknowledges another frame": after(ack{serial: 2, ranges: one}),
		"acknowledges too much":      after(ack{serial: 1, ranges: []hippad.Range{{First: 0, Count: 2}}}),
		"acknowledges too little":    after(ack{serial: 1}),
		"negative index":             after(ack{serial: 1, ranges: []hippad.Range{{First: -1, Count: 1}}}),
		"rejects another frame":      after(reject{serial: 7}),
		"refuses another frame":      after(busy{serial: 7}),
		"answers nobody":             after(end{id: 1}),
		"proves to nobody":           after(proof{id: 1}),
		"entry for nobody":           after(entry{id: 1}),
		"asks":                       after(query{id: 1}),
		"welcomes twice":             after(saneWelcome()),
		"reports":                    after(report{serial: 1}),
		"says goodbye":               after(bye{}),
		"says goodbye with a reason": after(bye{status{codeUnavailable, "shutting down", ""}}),
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			go func() {
				var b []byte
				for _, m := range frames {
					b = appendFrame(b, m)
				}
				in := newFrameReader(far)
				in.payload(int64(len(greeting(testStream))))
				far.Write(b[:headerSize+len(saneWelcome().appendTo(nil))])
				in.header()
				far.Write(b[headerSize+len(saneWelcome().appendTo(nil)):])
				io.Copy(io.Discard, in.r)
			}()
			c, err := NewClient(context.Background(), near, ClientOptions{Stream: testStream})
			if err != nil {
				t.Fatal(err)
			}
			_, err = record(c, numbered(1, 1))
			wantKind(t, err, hippad.Unavailable)
			<-c.Done()
			for _, err := range c.Search(context.Background(), hippad.Query{}) {
				wantKind(t, err, hippad.Unavailable)
			}
			_, err = c.Receipt(context.Background(), 0)
			wantKind(t, err, hippad.Unavailable)
			if c.Close() == nil {
				t.Error("Close hides how the connection ended")
			}
		})
	}
}

func TestBadWelcome(t *testing.T) {
	change := func(f func(*welcome)) message {
		w := saneWelcome()
		f(&w)
		return w
	}
	for name, m := range map[string]message{
		"version":   change(func(w *welcome) { w.version = 2 }),
		"window":    change(func(w *welcome) { w.window = 0 }),
		"idle":      change(func(w *welcome) { w.idle = 0 }),
		"reports":   change(func(w *welcome) { w.maxReports = 5000 }),
		"frame":     change(func(w *welcome) { w.maxFrame = 1000 }),
		"not a log": ping{},
		"bye":       bye{status{codeVersion, "this server speaks version 9", ""}},
	} {
		near, far := net.Pipe()
		go func() {
			in := newFrameReader(far)
			in.payload(int64(len(greeting(testStream))))
			far.Write(appendFrame(nil, m))
		}()
		_, err := NewClient(context.Background(), near, ClientOptions{Stream: testStream})
		if k := hippad.KindOf(err); err == nil || k != hippad.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The server refuses for a while and the client is closed meanwhile: nobody waits for ever.
func TestCloseWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{record: func(int, hippad.Frame) (error, error) {
			return hippad.Errorf(hippad.Busy, "always"), nil
		}}
		c, _ := dial(t, &Server{}, log, ClientOptions{})
		first, err := c.Record(context.Background(), plain("x"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		second, err := c.Record(context.Background(), plain("y"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for _, wait := range []hippad.Wait{first, second} {
			_, err := wait(context.Background())
			wantKind(t, err, hippad.Unavailable)
		}
		if log.calls < 30 {
			t.Errorf("tried %d times in a minute", log.calls)
		}
	})
}

// The connection is lost in the middle of a repetition, while frames wait for room in the write buffer: each of them ends.
func TestLostWhileRepeating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		repeating := make(chan struct{})
		const frames = 6
		go func() {
			in := newFrameReader(far)
			in.payload(int64(len(greeting(hippad.StreamID{}))))
			far.Write(appendFrame(nil, welcome{version: 1, maxReport: 1 << 20, maxFrame: 2 << 20, maxReports: 1, window: frames, idle: 60_000}))
			var refusals []byte
			for n := range frames {
				_, size, err := in.header()
				if err != nil {
					t.Error(err)
				}
				in.skip(size)
				refusals = appendFrame(refusals, busy{serial: uint32(n + 1), retry: 10})
			}
			far.Write(refusals)
			<-repeating
			far.Close()
		}()
		c, err := NewClient(context.Background(), near, ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var waits []hippad.Wait
		for range frames {
			f := hippad.Frame{Reports: []hippad.Report{{Body: make([]byte, 200_000)}}}
			wait, err := c.Record(context.Background(), f)
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, wait)
		}
		time.Sleep(time.Second) // the repetition has begun and stands still, because nobody reads
		close(repeating)
		for _, wait := range waits {
			_, err := wait(context.Background())
			wantKind(t, err, hippad.Unavailable)
		}
		c.Close()
	})
}

// The client answers a server that asks whether it is there.
func TestClientPong(t *testing.T) {
	near, far := net.Pipe()
	c := make(chan *Client, 1)
	go func() {
		client, err := NewClient(context.Background(), near, ClientOptions{})
		if err != nil {
			t.Error(err)
		}
		c <- client
	}()
	in := newFrameReader(far)
	in.payload(int64(len(greeting(hippad.StreamID{}))))
	token := [8]byte{8, 7, 6, 5, 4, 3, 2, 1}
	far.Write(appendFrame(appendFrame(nil, saneWelcome()), ping{token}))
	ty, n, err := in.header()
	if err != nil {
		t.Fatal(err)
	}
	p, _ := in.payload(n)
	if m, err := parse(ty, p); err != nil || m != message(pong{token}) {
		t.Errorf("answered %v, %v", m, err)
	}
	far.Close()
	<-(<-c).Done()
}
