package atna

import (
	"bytes"

	"hippad"
)

// A frame is one syslog message as it came out of the stream.
type frame struct {
	body  []byte
	fault hippad.Fault
}

// A splitter cuts a byte stream into syslog messages: octet counting (RFC 5425 section 4.3, RFC 6587 section 3.4.1) and
// trailers (RFC 6587 section 3.4.2), mixed as they come. It does no I/O. What it repairs, and why:
//
//   - A count too small, by senders that count characters instead of octets: what follows the frame and is not the start of
//     another belongs to the message.
//   - A count too large: the frame holds the header of the next one, and is cut there.
//   - A trailer inside a message, by senders of indented XML: the message goes on until its root element is closed.
//   - No framing at all: a closed audit message ends where the next frame starts.
//   - Bytes that belong to no frame are a message of their own with fault Stray.
//
// It never waits for bytes that a sender may not send: a counted frame that is complete is returned at once, and only what
// has arrived by then takes part in the repair.
type splitter struct {
	max int // octets of one message

	skip      int  // octets of an over-long counted frame that are still to be dropped
	dropping  bool // the rest of an over-long trailer-framed message is to be dropped
	swallowed int  // octets ahead that a wrong count took in: a message that starts there is marked Framing
	regained  int  // the same, set by the message just cut
	line      line // the trailer-framed message in progress
}

// next returns the first message in win, the bytes received and not yet consumed, and how many of them to consume. If ok is
// false more bytes are needed: n are to be consumed all the same, and win must be passed again with at least one byte more.
// ended tells that none will come. The body is a part of win.
func (s *splitter) next(win []byte, ended bool) (f frame, n int, ok bool) {
	f, n, ok = s.cut(win, ended)
	if ok && s.swallowed > 0 && f.fault == hippad.NoFault {
		f.fault = hippad.Framing
	}
	s.swallowed = max(0, s.swallowed-n, s.regained)
	s.regained = 0
	return f, n, ok
}

func (s *splitter) cut(win []byte, ended bool) (f frame, n int, ok bool) {
	n = min(s.skip, len(win))
	s.skip -= n
	if s.dropping {
		k, done := s.drop(win[n:], ended)
		if n += k; !done {
			return frame{}, n, false
		}
	}
	if s.line.pos == 0 {
		n += trailers(win[n:])
	}
	if n == len(win) {
		return frame{}, n, false
	}
	f, k, ok := s.message(win[n:], ended)
	return f, n + k, ok
}

// message cuts the message that starts at win, which is not empty.
func (s *splitter) message(win []byte, ended bool) (frame, int, bool) {
	switch c := win[0]; {
	case s.line.pos > 0:
		return s.trailed(win, ended)
	case c >= '1' && c <= '9':
		switch header, size, v := octetCount(win); {
		case v == yes:
			return s.counted(win, header, size, ended)
		case v == maybe && !ended:
			return frame{}, 0, false
		}
	case c == '<' && len(win) == 1 && !ended:
		return frame{}, 0, false
	case c == '<' && len(win) > 1 && win[1] != '/':
		return s.trailed(win, ended)
	}
	return s.stray(win, ended)
}

// counted cuts a frame of size octets, which follow the header of so many bytes.
func (s *splitter) counted(win []byte, header, size int, ended bool) (frame, int, bool) {
	if room := len(win) - header; room < min(size, s.max) {
		switch {
		case !ended:
			return frame{}, 0, false
		case room == 0: // a count and nothing else
			return s.stray(win, ended)
		}
		if e := countedHeader(win[header:], 1); e > 0 {
			return s.cutAt(win, header, e, room)
		}
		return frame{win[header:], hippad.Truncated}, len(win), true
	}
	if size > s.max {
		s.skip = size - s.max
		return frame{win[header : header+s.max], hippad.Truncated}, header + s.max, true
	}
	body, rest := win[header:header+size], win[header+size:]
	if e := closedAt(body); len(rest) > 0 && e < size && size-e <= maxHeader {
		// What follows the root element looks like the first part of the next header.
		switch v := frameStart(body[e:], rest); {
		case v == yes:
			return s.cutAt(win, header, e, size)
		case v == maybe && !ended:
			return frame{}, 0, false
		}
	}
	if boundary(body, rest, ended) {
		return frame{body, hippad.NoFault}, header + size, true
	}
	if e := countedHeader(win[header:], 1); e > 0 && e < size {
		return s.cutAt(win, header, e, size)
	}
	tail := messageStart(rest, 0)
	if tail < 0 {
		tail = len(rest)
		if !ended {
			tail -= startPrefix(rest)
		}
	}
	n := header + size + tail
	return s.limit(frame{win[header:n], hippad.Framing}, n)
}

// cutAt ends a message, which claimed size octets after its header, at offset e of them.
func (s *splitter) cutAt(win []byte, header, e, size int) (frame, int, bool) {
	s.regained = size - e
	return s.limit(frame{win[header : header+e], hippad.Framing}, header+e)
}

// limit cuts a message that is too long; n bytes are consumed either way.
func (s *splitter) limit(f frame, n int) (frame, int, bool) {
	if len(f.body) > s.max {
		f = frame{f.body[:s.max], hippad.Truncated}
	}
	return f, n, true
}

// stray cuts off what is no frame, up to the next start of one.
func (s *splitter) stray(win []byte, ended bool) (frame, int, bool) {
	n := messageStart(win, 1)
	if n < 0 {
		n = len(win)
		if !ended {
			n = max(1, n-startPrefix(win))
		}
	}
	n = min(n, s.max)
	return frame{win[:n], hippad.Stray}, n, true
}

// trailed cuts a message that ends at a trailer.
func (s *splitter) trailed(win []byte, ended bool) (frame, int, bool) {
	end, next, found := s.line.scan(win, ended)
	l := s.line
	switch {
	case found:
		s.line = line{}
		fault := hippad.NoFault
		if l.unframed {
			fault = hippad.Framing
		}
		return s.limit(frame{bytes.TrimRight(win[:end], "\r\n"), fault}, next)
	case l.pos > s.max:
		s.line.pos -= s.max
		s.dropping = true
		return frame{win[:s.max], hippad.Truncated}, s.max, true
	case !ended:
		return frame{}, 0, false
	}
	s.line = line{}
	if e := countedHeader(win, 1); e > 0 {
		return s.limit(frame{win[:e], hippad.Framing}, e)
	}
	if l.closed { // all there but the trailer
		return s.limit(frame{win, hippad.NoFault}, len(win))
	}
	return s.limit(frame{win, hippad.Truncated}, len(win))
}

// drop passes over the rest of an over-long trailer-framed message.
func (s *splitter) drop(win []byte, ended bool) (n int, done bool) {
	_, next, found := s.line.scan(win, ended)
	if found {
		s.line, s.dropping = line{}, false
		return next, true
	}
	n = s.line.pos
	s.line.pos = 0
	return n, false
}

// maxName is how much of a tag is looked at for the name of the root element.
const maxName = 32

// A line looks for the end of a trailer-framed message, in as many calls as it takes; no byte is looked at twice.
type line struct {
	pos      int  // what comes before has been looked at
	open     bool // an XML document has begun and its root element is not closed
	closed   bool // the root element is closed
	unframed bool // the message ended without trailer
}

// scan returns where the message ends and where the next one may start.
func (l *line) scan(win []byte, ended bool) (end, next int, found bool) {
	for l.pos < len(win) {
		i := bytes.IndexAny(win[l.pos:], "<\n\x00")
		if i < 0 {
			l.pos = len(win)
			break
		}
		at := l.pos + i
		l.pos = at
		switch win[at] {
		case 0:
			return at, at + 1, true
		case '\n':
			v := yes
			if l.open {
				v = frameStart(win[at+1:], nil)
			}
			switch {
			case v == yes:
				return at, at + 1, true
			case v == maybe && !ended:
				return 0, 0, false
			}
		case '<':
			after, more := l.tag(win[at:], ended)
			if more {
				return 0, 0, false
			}
			if l.unframed {
				return at + after, at + after, true
			}
		}
		l.pos = at + 1
	}
	return 0, 0, false
}

// tag looks at the markup at the start of b for the beginning or the end of an XML document. more tells that b is too short
// to say. When the root element is closed and another frame starts right after it, unframed is set, and after is where.
func (l *line) tag(b []byte, ended bool) (after int, more bool) {
	const declaration = "<?xml"
	if hasPrefix(b, declaration) {
		l.open, l.closed = true, false
		return 0, false
	}
	i := 1
	closing := len(b) > 1 && b[1] == '/'
	if closing {
		i = 2
	}
	start := i
	for i < len(b) && i < maxName && b[i] > ' ' && b[i] != '>' && b[i] != '/' {
		i++
	}
	if i == len(b) && !ended || len(b) < len(declaration) && hasPrefix(declaration, string(b)) && !ended {
		return 0, true
	}
	name := b[start:i]
	if k := bytes.LastIndexByte(name, ':'); k >= 0 {
		name = name[k+1:]
	}
	if n := string(name); n != "AuditMessage" && n != "IHEYr4" && n != "AuditEvent" {
		return 0, false
	}
	if !closing {
		l.open, l.closed = true, false
		return 0, false
	}
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	if i == len(b) {
		return 0, !ended
	}
	if b[i] != '>' {
		return 0, false
	}
	l.open, l.closed = false, true
	switch v := frameStart(bytes.TrimLeft(b[i+1:], "0"), nil); {
	case v == yes:
		l.unframed = true
		return i + 1, false
	case v == maybe && !ended:
		return 0, true
	}
	return 0, false
}
