package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"hippad"
)

const (
	// ALPN is the protocol name offered in TLS.
	ALPN = "hippad/1"
	// Magic is what a client sends first, whether or not ALPN chose the protocol.
	Magic = "hippad/1\n"
	// Version is the one message version that this package speaks.
	Version = 1
)

type frameType uint8

// Frame types, docs/protocol.md section 2.
const (
	typeHello   frameType = 0x01
	typeWelcome frameType = 0x02
	typeReport  frameType = 0x03
	typeAck     frameType = 0x04
	typeBusy    frameType = 0x05
	typeReject  frameType = 0x06
	typePing    frameType = 0x07
	typePong    frameType = 0x08
	typeBye     frameType = 0x09
	typeQuery   frameType = 0x0a
	typeMore    frameType = 0x0b
	typeCancel  frameType = 0x0c
	typeEntry   frameType = 0x0d
	typeProve   frameType = 0x0e
	typeProof   frameType = 0x0f
	typeEnd     frameType = 0x10

	firstIgnorable frameType = 0x80 // from here on, unknown frames are skipped
)

var typeNames = [...]string{"", "HELLO", "WELCOME", "REPORT", "ACK", "BUSY", "REJECT", "PING", "PONG", "BYE", "QUERY", "MORE",
	"CANCEL", "ENTRY", "PROVE", "PROOF", "END"}

func (t frameType) String() string {
	if t > 0 && int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %02x", uint8(t))
}

const (
	headerSize  = 5
	maxControl  = 1 << 20 // payload of any frame but REPORT, towards a server
	minPeerMax  = 65536   // a client must take payloads of this size: the largest ACK fits
	firstChunk  = 1 << 20 // room made for a payload before its bytes have arrived
	bufferSize  = 64 << 10
	writeHigh   = 256 << 10        // senders wait while so much is unwritten
	keepBuffer  = 1 << 20          // a larger write buffer is given back after use
	writeStall  = 30 * time.Second // a write that takes longer ends the connection
	helloWithin = 10 * time.Second
)

// A message is the payload of one frame.
type message interface {
	frame() frameType
	appendTo(b []byte) []byte
}

// appendFrame appends m with its header.
func appendFrame(b []byte, m message) []byte {
	at := len(b)
	b = append(b, byte(m.frame()), 0, 0, 0, 0)
	b = m.appendTo(b)
	binary.BigEndian.PutUint32(b[at+1:], uint32(len(b)-at-headerSize))
	return b
}

// A frameReader takes frames apart. It belongs to one goroutine.
type frameReader struct{ r *bufio.Reader }

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{bufio.NewReaderSize(r, bufferSize)}
}

// header returns io.EOF if the input ends between frames and io.ErrUnexpectedEOF if it ends inside the header.
func (f *frameReader) header() (frameType, int64, error) {
	var h [headerSize]byte
	b, err := f.r.Peek(headerSize)
	if err != nil {
		if err == io.EOF && len(b) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, 0, err
	}
	copy(h[:], b)
	f.r.Discard(headerSize)
	return frameType(h[0]), int64(binary.BigEndian.Uint32(h[1:])), nil
}

// payload returns n bytes that belong to the caller. Room grows with what arrives, not with what was announced.
func (f *frameReader) payload(n int64) ([]byte, error) {
	b := make([]byte, 0, min(n, firstChunk))
	for int64(len(b)) < n {
		if len(b) == cap(b) {
			b = slices.Grow(b, int(min(n-int64(len(b)), int64(len(b)))))
		}
		m, err := io.ReadFull(f.r, b[len(b):min(int64(cap(b)), n)])
		b = b[:len(b)+m]
		if err != nil {
			return nil, unexpected(err)
		}
	}
	return b, nil
}

func (f *frameReader) skip(n int64) error {
	_, err := io.CopyN(io.Discard, f.r, n)
	return unexpected(err)
}

// unexpected turns an end of input that comes inside a frame into io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A frameWriter collects frames from any goroutine and writes whatever has come together in one call, so that frames
// share TLS records and system calls, and nobody has to decide when to flush.
type frameWriter struct {
	conn net.Conn
	done chan struct{} // closed when run has returned

	mu      sync.Mutex
	room    sync.Cond // senders wait here while buf is high
	work    sync.Cond // run waits here while buf is empty
	buf     []byte
	err     error // why nothing more can be written
	closing bool  // no more frames; run returns when buf is empty
}

func newFrameWriter(conn net.Conn) *frameWriter {
	w := &frameWriter{conn: conn, done: make(chan struct{})}
	w.room.L, w.work.L = &w.mu, &w.mu
	return w
}

// send queues m. It blocks while the other side does not read, at most until a write has stalled.
func (w *frameWriter) send(m message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.buf) >= writeHigh && w.err == nil && !w.closing {
		w.room.Wait()
	}
	if w.err != nil {
		return w.err
	}
	if w.closing {
		return net.ErrClosed
	}
	w.buf = appendFrame(w.buf, m)
	w.work.Signal()
	return nil
}

// offer queues m unless too much is unwritten. It never blocks, so it is safe in a goroutine that must go on reading.
func (w *frameWriter) offer(m message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf) < 2*writeHigh && w.err == nil && !w.closing {
		w.buf = appendFrame(w.buf, m)
		w.work.Signal()
	}
}

// sendLast queues m as the last frame, without waiting for room.
func (w *frameWriter) sendLast(m message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && !w.closing && m != nil {
		w.buf = appendFrame(w.buf, m)
	}
	w.closing = true
	w.work.Signal()
	w.room.Broadcast()
}

// fail makes every later send return err. run returns after the write it is in.
func (w *frameWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.work.Signal()
	w.room.Broadcast()
}

// run writes until sendLast or fail. A failed write closes the connection, which wakes its reader.
func (w *frameWriter) run() {
	defer close(w.done)
	var spare []byte
	for {
		w.mu.Lock()
		for len(w.buf) == 0 && !w.closing && w.err == nil {
			w.work.Wait()
		}
		if len(w.buf) == 0 || w.err != nil {
			w.mu.Unlock()
			return
		}
		out := w.buf
		w.buf = spare[:0]
		w.room.Broadcast()
		w.mu.Unlock()

		w.conn.SetWriteDeadline(time.Now().Add(writeStall))
		if _, err := w.conn.Write(out); err != nil {
			w.fail(hippad.Errorf(hippad.Unavailable, "write: %w", err))
			w.conn.Close()
			return
		}
		if spare = out; cap(spare) > keepBuffer {
			spare = nil
		}
	}
}
