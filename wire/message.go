package wire

import (
	"encoding/binary"
	"math"

	"hippad"
)

// The messages, one struct for each frame type of docs/protocol.md section 2, except QUERY and ENTRY, which are in
// query.go.

type hello struct {
	versions []uint16
	stream   hippad.StreamID
	maxFrame uint32
	software string
}

type welcome struct {
	version                                 uint16
	maxReport, maxFrame, maxReports, window uint32
	idle                                    uint32 // milliseconds
	origin, key, software                   string
}

type report struct {
	serial  uint32
	first   uint64
	reports []hippad.Report
}

type ack struct {
	serial     uint32
	ranges     []hippad.Range
	checkpoint []byte
}

type busy struct {
	serial uint32
	retry  uint32 // milliseconds
}

type reject struct {
	serial uint32
	status status
}

type ping struct{ token [8]byte }
type pong struct{ token [8]byte }
type bye struct{ status status }

type more struct{ id, credit uint32 }
type cancel struct{ id uint32 }

type prove struct {
	id    uint32
	index int64
}

type proof struct {
	id      uint32
	receipt []byte
}

type end struct {
	id     uint32
	status status
}

func (hello) frame() frameType   { return typeHello }
func (welcome) frame() frameType { return typeWelcome }
func (report) frame() frameType  { return typeReport }
func (ack) frame() frameType     { return typeAck }
func (busy) frame() frameType    { return typeBusy }
func (reject) frame() frameType  { return typeReject }
func (ping) frame() frameType    { return typePing }
func (pong) frame() frameType    { return typePong }
func (bye) frame() frameType     { return typeBye }
func (more) frame() frameType    { return typeMore }
func (cancel) frame() frameType  { return typeCancel }
func (prove) frame() frameType   { return typeProve }
func (proof) frame() frameType   { return typeProof }
func (end) frame() frameType     { return typeEnd }

func (m hello) appendTo(b []byte) []byte {
	b = append(b, byte(len(m.versions)))
	for _, v := range m.versions {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	b = append(b, m.stream[:]...)
	b = appendU32(b, m.maxFrame)
	return appendS16(b, m.software)
}

func (m welcome) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, m.version)
	for _, v := range [...]uint32{m.maxReport, m.maxFrame, m.maxReports, m.window, m.idle} {
		b = appendU32(b, v)
	}
	b = appendS16(b, m.origin)
	b = appendS16(b, m.key)
	return appendS16(b, m.software)
}

// reportOverhead and frameOverhead are what a REPORT payload holds besides media types and bodies.
const (
	reportOverhead = 1 + 1 + 4
	frameOverhead  = 4 + 8 + 4
)

func (m report) appendTo(b []byte) []byte {
	b = appendU32(b, m.serial)
	b = appendU64(b, m.first)
	b = appendU32(b, uint32(len(m.reports)))
	for i := range m.reports {
		b = appendReport(b, &m.reports[i])
	}
	return b
}

func appendReport(b []byte, r *hippad.Report) []byte {
	b = appendS8(b, r.Media)
	b = append(b, byte(r.Fault))
	return appendB32(b, r.Body)
}

func (m ack) appendTo(b []byte) []byte {
	b = appendU32(b, m.serial)
	b = appendU32(b, uint32(len(m.ranges)))
	for _, r := range m.ranges {
		b = appendU64(b, uint64(r.First))
		b = appendU32(b, uint32(r.Count))
	}
	return appendB32(b, m.checkpoint)
}

func (m busy) appendTo(b []byte) []byte   { return appendU32(appendU32(b, m.serial), m.retry) }
func (m reject) appendTo(b []byte) []byte { return m.status.appendTo(appendU32(b, m.serial)) }
func (m ping) appendTo(b []byte) []byte   { return append(b, m.token[:]...) }
func (m pong) appendTo(b []byte) []byte   { return append(b, m.token[:]...) }
func (m bye) appendTo(b []byte) []byte    { return m.status.appendTo(b) }
func (m more) appendTo(b []byte) []byte   { return appendU32(appendU32(b, m.id), m.credit) }
func (m cancel) appendTo(b []byte) []byte { return appendU32(b, m.id) }
func (m prove) appendTo(b []byte) []byte  { return appendU64(appendU32(b, m.id), uint64(m.index)) }
func (m proof) appendTo(b []byte) []byte  { return appendB32(appendU32(b, m.id), m.receipt) }
func (m end) appendTo(b []byte) []byte    { return m.status.appendTo(appendU32(b, m.id)) }

// malformed is the answer to every payload that does not decode: which field it was would help nobody but a fuzzer.
func malformed(t frameType) error { return hippad.Errorf(hippad.Invalid, "malformed %v frame", t) }

// parse decodes the payload of any frame but REPORT. A type that it does not know is an error; callers skip the
// ignorable ones before.
func parse(t frameType, p []byte) (message, error) {
	c := &cursor{b: p}
	var m message
	switch t {
	case typeHello:
		m = c.hello()
	case typeWelcome:
		m = c.welcome()
	case typeAck:
		m = c.ack()
	case typeBusy:
		m = busy{c.u32(), c.u32()}
	case typeReject:
		m = reject{c.u32(), c.status()}
	case typePing:
		m = ping{[8]byte(c.fixed(8))}
	case typePong:
		m = pong{[8]byte(c.fixed(8))}
	case typeBye:
		m = bye{c.status()}
	case typeQuery:
		m = c.query()
	case typeMore:
		m = more{c.u32(), c.u32()}
	case typeCancel:
		m = cancel{c.u32()}
	case typeEntry:
		m = c.entry()
	case typeProve:
		m = prove{c.u32(), int64(c.u64())}
	case typeProof:
		m = proof{c.u32(), c.b32()}
	case typeEnd:
		m = end{c.u32(), c.status()}
	default:
		return nil, hippad.Errorf(hippad.Invalid, "unexpected frame of %v", t)
	}
	if !c.done() {
		return nil, malformed(t)
	}
	return m, nil
}

func (c *cursor) hello() hello {
	var m hello
	n := int(c.u8())
	if n == 0 {
		c.bad = true
	}
	for i := 0; i < n && !c.bad; i++ {
		m.versions = append(m.versions, c.u16())
	}
	m.stream = hippad.StreamID(c.fixed(16))
	m.maxFrame = c.u32()
	m.software = c.s16()
	return m
}

func (c *cursor) welcome() welcome {
	return welcome{version: c.u16(), maxReport: c.u32(), maxFrame: c.u32(), maxReports: c.u32(), window: c.u32(),
		idle: c.u32(), origin: c.s16(), key: c.s16(), software: c.s16()}
}

// parseReport decodes a REPORT payload; the bodies are slices of p. More than maxReports is kind TooLarge, and then
// serial and first are set; anything else that is wrong is malformed.
func parseReport(p []byte, maxReports int) (report, error) {
	c := &cursor{b: p}
	m := report{serial: c.u32(), first: c.u64()}
	n := c.u32()
	if c.bad || int64(n) > int64(len(c.b)/reportOverhead) {
		return m, malformed(typeReport)
	}
	if int64(n) > int64(maxReports) {
		return m, hippad.Errorf(hippad.TooLarge, "%d reports in a frame, at most %d are taken", n, maxReports)
	}
	m.reports = make([]hippad.Report, n)
	media := ""
	for i := range m.reports {
		r := &m.reports[i]
		r.Media = c.media(media)
		media = r.Media
		r.Fault = hippad.Fault(c.u8())
		r.Body = c.b32()
	}
	if !c.done() {
		return m, malformed(typeReport)
	}
	return m, nil
}

func (c *cursor) ack() ack {
	m := ack{serial: c.u32()}
	n := c.u32()
	if int64(n) > int64(len(c.b)/12) {
		c.bad = true
		return m
	}
	m.ranges = make([]hippad.Range, n)
	for i := range m.ranges {
		m.ranges[i].First = int64(c.u64())
		count := c.u32()
		if m.ranges[i].First < 0 || count == 0 || count > math.MaxInt32 {
			c.bad = true
		}
		m.ranges[i].Count = int(count)
	}
	m.checkpoint = c.b32()
	return m
}

// A cursor reads fields off a payload. After the first field that does not fit everything is zero and bad is set.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int64) []byte {
	if c.bad || n > int64(len(c.b)) {
		c.bad = true
		return nil
	}
	p := c.b[:n:n]
	c.b = c.b[n:]
	return p
}

// fixed is take for conversions to arrays, which need the length even when the field is missing.
func (c *cursor) fixed(n int64) []byte {
	if p := c.take(n); p != nil {
		return p
	}
	return make([]byte, n)
}

func (c *cursor) u8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (c *cursor) s8() string  { return string(c.take(int64(c.u8()))) }
func (c *cursor) s16() string { return string(c.take(int64(c.u16()))) }
func (c *cursor) b32() []byte { return c.take(int64(c.u32())) }

// media is s8 without an allocation for the usual types and for the same type again.
func (c *cursor) media(last string) string {
	p := c.take(int64(c.u8()))
	switch string(p) {
	case last:
		return last
	case hippad.MediaXML:
		return hippad.MediaXML
	case hippad.MediaFHIRJSON:
		return hippad.MediaFHIRJSON
	case hippad.MediaFHIRXML:
		return hippad.MediaFHIRXML
	case hippad.MediaSyslog:
		return hippad.MediaSyslog
	}
	return string(p)
}

// done tells that every field fitted and nothing is left.
func (c *cursor) done() bool { return !c.bad && len(c.b) == 0 }

func appendU32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func appendU64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// appendS8 and appendS16 cut text that is too long for its length field; callers that must not lose any check before.
func appendS8(b []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint8)]
	return append(append(b, byte(len(s))), s...)
}

func appendS16(b []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint16)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendB32(b []byte, p []byte) []byte {
	return append(appendU32(b, uint32(len(p))), p...)
}
