package atna

import (
	"bytes"
	"io"
)

const (
	minWindow = 8 << 10  // what a connection holds at rest
	midWindow = 64 << 10 // what a busy one reads into
	headroom  = 4 << 10  // beyond the largest message: header, and what is looked at ahead
)

// A frameReader reads syslog messages from a stream. Its buffer grows with the messages that arrive, not with the counts
// that are announced, and never beyond the largest message and a little.
type frameReader struct {
	r      io.Reader
	split  splitter
	buf    []byte
	lo, hi int   // buf[lo:hi] is received and not consumed
	err    error // of the stream; what was received before it is still returned
}

func newFrameReader(r io.Reader, maxMessage int) *frameReader {
	return &frameReader{r: r, split: splitter{max: maxMessage}, buf: make([]byte, minWindow)}
}

// next returns the next message, reading as needed. The body belongs to the caller. After the last message the error of the
// stream is returned, io.EOF at its end.
func (f *frameReader) next() (frame, error) {
	for {
		if fr, ok := f.ready(); ok {
			return fr, nil
		}
		if f.err != nil {
			return frame{}, f.err
		}
		f.fill()
	}
}

// holds tells whether there are bytes that belong to no complete message yet.
func (f *frameReader) holds() bool { return f.lo < f.hi }

// ready returns the next message if it is complete in the buffer.
func (f *frameReader) ready() (frame, bool) {
	if f.lo == f.hi {
		return frame{}, false
	}
	fr, n, ok := f.split.next(f.buf[f.lo:f.hi], f.err != nil)
	f.lo += n
	fr.body = bytes.Clone(fr.body)
	return fr, ok
}

// fill reads once.
func (f *frameReader) fill() {
	held := f.hi - f.lo
	switch {
	case held == 0 && len(f.buf) > midWindow: // give back what a large message took
		f.buf, f.lo, f.hi = make([]byte, midWindow), 0, 0
	case held == 0:
		f.lo, f.hi = 0, 0
	case f.hi == len(f.buf) && held < len(f.buf)/2:
		f.lo, f.hi = 0, copy(f.buf, f.buf[f.lo:f.hi])
	case f.hi == len(f.buf):
		grown := make([]byte, max(len(f.buf), min(2*len(f.buf), f.split.max+headroom)))
		f.lo, f.hi, f.buf = 0, copy(grown, f.buf[f.lo:f.hi]), grown
	}
	for range 100 {
		n, err := f.r.Read(f.buf[f.hi:])
		f.hi += n
		f.err = err
		if n > 0 || err != nil {
			if f.hi == len(f.buf) && len(f.buf) < midWindow {
				f.buf = append(make([]byte, 0, 2*len(f.buf)), f.buf...)[:2*len(f.buf)]
			}
			return
		}
	}
	f.err = io.ErrNoProgress
}
