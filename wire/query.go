package wire

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"hippad"
)

// A query is a QUERY frame.
type query struct {
	id, credit uint32
	q          hippad.Query
}

// An entry is an ENTRY frame.
type entry struct {
	id uint32
	e  hippad.Entry
}

func (query) frame() frameType { return typeQuery }
func (entry) frame() frameType { return typeEntry }

const (
	flagAscending = 1 << iota
	flagFrom
	flagTo
	flagBefore
	flagAfter
	flagByTime
	flagBeyond
	flagsKnown = flagAscending | flagFrom | flagTo | flagBefore | flagAfter | flagByTime | flagBeyond
)

// Seconds of 0001-01-01T00:00:00Z, which is Go's zero time and means "no bound", and of 9999-12-31T23:59:59Z.
const (
	secondZero = -62135596800
	secondLast = 253402300799
)

// checkQuery tells what of q cannot be put into a frame.
func checkQuery(q hippad.Query) error {
	times := []time.Time{q.From, q.To}
	for _, any := range slices.Concat(q.Times, q.Received) {
		if len(any) == 0 || len(any) > math.MaxUint16 {
			return hippad.Errorf(hippad.Invalid, "a group of times must have 1 to %d alternatives", math.MaxUint16)
		}
		for _, p := range any {
			times = append(times, p.Start, p.End)
		}
	}
	if q.Beyond != nil {
		times = append(times, q.Beyond.At)
	}
	for _, t := range times {
		if s := t.Unix(); !t.IsZero() && (s < secondZero || s > secondLast) {
			return hippad.Errorf(hippad.Invalid, "the time bound of a search must lie in the years 1 to 9999")
		}
	}
	if q.Limit < 0 {
		return hippad.Errorf(hippad.Invalid, "the limit of a search must not be negative")
	}
	if max(len(q.Terms), len(q.Filters), len(q.Times), len(q.Received)) > math.MaxUint16 {
		return hippad.Errorf(hippad.Invalid, "too many terms in a search")
	}
	for _, f := range q.Filters {
		if f.Op < hippad.OpNone || f.Op > hippad.OpPresent || !slices.Contains(hippad.Fields, f.Field) || len(f.Values) > math.MaxUint16 {
			return hippad.Errorf(hippad.Invalid, "a filter of the search is not known or has too many values").WithHint("fields: %v", hippad.Fields)
		}
		for _, v := range f.Values {
			if len(v) > math.MaxUint16 {
				return hippad.Errorf(hippad.TooLarge, "a search value is longer than %d bytes", math.MaxUint16)
			}
		}
	}
	for _, group := range q.Terms {
		if len(group) == 0 || len(group) > math.MaxUint16 {
			return hippad.Errorf(hippad.Invalid, "a group of terms must have 1 to %d alternatives", math.MaxUint16)
		}
		for _, t := range group {
			if !slices.Contains(hippad.Fields, t.Field) {
				return hippad.Errorf(hippad.Invalid, "there is no search field of that name").WithHint("fields: %v", hippad.Fields)
			}
			if len(t.Value) > math.MaxUint16 {
				return hippad.Errorf(hippad.TooLarge, "a search value is longer than %d bytes", math.MaxUint16)
			}
		}
	}
	return nil
}

func (m query) appendTo(b []byte) []byte {
	b = appendU32(b, m.id)
	b = appendU32(b, m.credit)
	q := m.q
	at := len(b)
	b = append(b, 0)
	if q.Ascending {
		b[at] |= flagAscending
	}
	if !q.From.IsZero() {
		b[at] |= flagFrom
		b = appendTime(b, q.From)
	}
	if !q.To.IsZero() {
		b[at] |= flagTo
		b = appendTime(b, q.To)
	}
	if q.Before != nil {
		b[at] |= flagBefore
		b = appendU64(b, uint64(*q.Before))
	}
	if q.After != nil {
		b[at] |= flagAfter
		b = appendU64(b, uint64(*q.After))
	}
	if q.ByTime {
		b[at] |= flagByTime
	}
	if q.Beyond != nil {
		b[at] |= flagBeyond
		b = appendTime(b, q.Beyond.At)
		b = appendU64(b, uint64(q.Beyond.Index))
	}
	// A limit beyond the field is beyond any log that a connection could deliver: the largest number will do.
	b = appendU32(b, uint32(min(int64(q.Limit), math.MaxUint32)))
	b = appendU32(b, uint32(len(q.Indexes)))
	for _, i := range q.Indexes {
		b = appendU64(b, uint64(i))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(q.Terms)))
	for _, group := range q.Terms {
		b = binary.BigEndian.AppendUint16(b, uint16(len(group)))
		for _, t := range group {
			b = appendS8(b, string(t.Field))
			b = appendS16(b, t.Value)
		}
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(q.Filters)))
	for _, f := range q.Filters {
		b = append(b, byte(f.Op))
		b = appendS8(b, string(f.Field))
		b = binary.BigEndian.AppendUint16(b, uint16(len(f.Values)))
		for _, v := range f.Values {
			b = appendS16(b, v)
		}
	}
	return appendPeriods(appendPeriods(b, q.Times), q.Received)
}

func appendPeriods(b []byte, all [][]hippad.Period) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(all)))
	for _, any := range all {
		b = binary.BigEndian.AppendUint16(b, uint16(len(any)))
		for _, p := range any {
			b = appendBound(appendBound(b, p.Start), p.End)
		}
	}
	return b
}

// appendBound writes an end of a period, which may be open.
func appendBound(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return appendTime(append(b, 1), t)
}

func appendTime(b []byte, t time.Time) []byte {
	b = appendU64(b, uint64(t.Unix()))
	return appendU32(b, uint32(t.Nanosecond()))
}

func (c *cursor) time() time.Time {
	s, ns := int64(c.u64()), c.u32()
	if s < secondZero || s > secondLast || ns >= 1e9 || s == secondZero && ns == 0 {
		c.bad = true
		return time.Time{}
	}
	return time.Unix(s, int64(ns)).UTC()
}

func (c *cursor) index() *int64 {
	i := int64(c.u64())
	return &i
}

func (c *cursor) query() query {
	m := query{id: c.u32(), credit: c.u32()}
	flags := c.u8()
	if flags&^flagsKnown != 0 {
		c.bad = true
	}
	m.q.Ascending = flags&flagAscending != 0
	if flags&flagFrom != 0 {
		m.q.From = c.time()
	}
	if flags&flagTo != 0 {
		m.q.To = c.time()
	}
	if flags&flagBefore != 0 {
		m.q.Before = c.index()
	}
	if flags&flagAfter != 0 {
		m.q.After = c.index()
	}
	m.q.ByTime = flags&flagByTime != 0
	if flags&flagBeyond != 0 {
		m.q.Beyond = &hippad.Place{At: c.time(), Index: int64(c.u64())}
	}
	if limit := int64(c.u32()); limit > math.MaxInt {
		m.q.Limit = math.MaxInt
	} else {
		m.q.Limit = int(limit)
	}
	n := int64(c.u32())
	if n > int64(len(c.b)/8) {
		c.bad = true
		return m
	}
	for range n {
		m.q.Indexes = append(m.q.Indexes, int64(c.u64()))
	}
	m.q.Terms = c.terms()
	m.q.Filters = c.filters()
	m.q.Times, m.q.Received = c.periods(), c.periods()
	return m
}

func (c *cursor) filters() []hippad.Filter {
	n := int(c.u16())
	if n > len(c.b)/4 {
		c.bad = true
		return nil
	}
	var all []hippad.Filter
	for i := 0; i < n && !c.bad; i++ {
		f := hippad.Filter{Op: hippad.Op(c.u8()), Field: hippad.Field(c.s8())}
		values := int(c.u16())
		if values > len(c.b)/2 {
			c.bad = true
			return nil
		}
		for range values {
			f.Values = append(f.Values, c.s16())
		}
		all = append(all, f)
	}
	return all
}

func (c *cursor) periods() [][]hippad.Period {
	groups := int(c.u16())
	if groups > len(c.b)/4 {
		c.bad = true
		return nil
	}
	var all [][]hippad.Period
	for i := 0; i < groups && !c.bad; i++ {
		n := int(c.u16())
		if n == 0 || n > len(c.b)/2 {
			c.bad = true
			return nil
		}
		group := make([]hippad.Period, n)
		for k := range group {
			group[k] = hippad.Period{Start: c.bound(), End: c.bound()}
		}
		all = append(all, group)
	}
	return all
}

func (c *cursor) bound() time.Time {
	switch c.u8() {
	case 0:
		return time.Time{}
	case 1:
		return c.time()
	}
	c.bad = true
	return time.Time{}
}

func (c *cursor) terms() [][]hippad.Term {
	groups := int(c.u16())
	if groups > len(c.b)/2 {
		c.bad = true
		return nil
	}
	var all [][]hippad.Term
	for i := 0; i < groups && !c.bad; i++ {
		n := int(c.u16())
		if n == 0 || n > len(c.b)/3 {
			c.bad = true
			return nil
		}
		group := make([]hippad.Term, n)
		for k := range group {
			group[k] = hippad.Term{Field: hippad.Field(c.s8()), Value: c.s16()}
		}
		all = append(all, group)
	}
	return all
}

// entryDestroyed is the flag of an ENTRY whose content is gone.
const entryDestroyed = 1

// size returns the length of the payload.
func (m *entry) size() int {
	return 4 + 8 + 8 + 1 + 1 + len(m.e.Reporter.Kind) + 2 + len(m.e.Reporter.ID) + 2 + len(m.e.Reporter.Name) +
		2 + len(m.e.Reporter.Organisation) + 1 + reportOverhead + len(m.e.Media) + len(m.e.Body)
}

func (m entry) appendTo(b []byte) []byte {
	b = appendU32(b, m.id)
	b = appendU64(b, uint64(m.e.Index))
	b = appendU64(b, uint64(m.e.Received.UnixMicro()))
	b = append(b, byte(m.e.Door))
	b = appendS8(b, string(m.e.Reporter.Kind))
	b = appendS16(b, m.e.Reporter.ID)
	b = appendS16(b, m.e.Reporter.Name)
	b = appendS16(b, m.e.Reporter.Organisation)
	var flags byte
	if m.e.Destroyed {
		flags = entryDestroyed
	}
	b = append(b, flags)
	return appendReport(b, &m.e.Report)
}

func (c *cursor) entry() entry {
	m := entry{id: c.u32()}
	m.e.Index = int64(c.u64())
	m.e.Received = time.UnixMicro(int64(c.u64())).UTC()
	m.e.Door = hippad.Door(c.u8())
	m.e.Reporter = hippad.Principal{Kind: hippad.PrincipalKind(c.s8()), ID: c.s16(), Name: c.s16(), Organisation: c.s16()}
	flags := c.u8()
	c.bad = c.bad || flags&^entryDestroyed != 0
	m.e.Destroyed = flags == entryDestroyed
	m.e.Media = c.media("")
	m.e.Fault = hippad.Fault(c.u8())
	m.e.Body = c.b32()
	return m
}
