package traffic

// An answer is what a rule says of the bytes so far.
//
// A rule must be monotone: once it has said no, or a yes without soFar, it says the same of everything that begins with these
// bytes. That is what makes Exact and Verdict.More promises.
type answer uint8

const (
	no    answer = iota
	maybe        // too few bytes to say
	weak
	prefix
	structural
	exact
	soFar answer = 0x80 // added to a yes that more bytes may take back
)

func (a answer) confidence() Confidence { return Confidence(a&^soFar-weak) + Weak }

// A rule looks at first bytes.
type rule func(b []byte) (Label, answer)

// streamRules are in the order in which they are asked: fixed marks, binary whose lengths and fields agree, text. Earlier
// ones win.
var streamRules = [...]rule{marks, records, health, zookeeper, databases, brokers, desktops, naming, tail, lines, requests}

// packetRules are those of datagrams.
var packetRules = [...]rule{packets, lines, requests}

// Classify says what the beginning of a TCP connection is. It looks at MaxFirst bytes at most, allocates nothing and is a pure
// function: more bytes never change a label whose confidence is Exact, nor anything of a verdict without More.
func Classify(b []byte) Verdict {
	if len(b) == 0 {
		return Verdict{Label: Empty, Confidence: Weak, More: true}
	}
	full := len(b) >= MaxFirst
	b = b[:min(len(b), MaxFirst)]
	v := match(streamRules[:], b)
	if v.Confidence == 0 {
		v.Label, v.Confidence, v.More = leftover(b), Weak, true
	}
	var more bool
	v.Hypothesis, more = suppose(v.Label, b)
	v.More = (v.More || more) && !full
	return v
}

// ClassifyPacket says what a datagram is.
func ClassifyPacket(b []byte) Verdict {
	if len(b) == 0 {
		return Verdict{Label: Empty, Confidence: Weak}
	}
	b = b[:min(len(b), MaxFirst)]
	v := match(packetRules[:], b)
	if v.Confidence == 0 {
		v.Label, v.Confidence = leftover(b), Weak
	}
	v.Hypothesis, _ = suppose(v.Label, b)
	v.More = false
	return v
}

// match asks the rules in turn. A rule that cannot say yet makes everything after it provisional.
func match(rules []rule, b []byte) (v Verdict) {
	for _, r := range rules {
		l, a := r(b)
		switch {
		case a == no:
			continue
		case a == maybe:
			v.More = true
			continue
		}
		v.Label, v.Confidence = l, a.confidence()
		if a&soFar != 0 {
			v.More = true
		}
		if v.More && v.Confidence == Exact {
			v.Confidence = Structural
		}
		return v
	}
	return v
}

// begins answers whether b begins with mark.
func begins[T string | []byte](b []byte, mark T) answer {
	n := min(len(b), len(mark))
	if string(b[:n]) != string(mark[:n]) {
		return no
	}
	if n < len(mark) {
		return maybe
	}
	return exact
}

// Big-endian and little-endian numbers; the caller has looked at the length.
func be16(b []byte) int { return int(b[0])<<8 | int(b[1]) }
func be24(b []byte) int { return int(b[0])<<16 | be16(b[1:]) }
func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
func le32(b []byte) uint32 {
	return uint32(b[3])<<24 | uint32(b[2])<<16 | uint32(b[1])<<8 | uint32(b[0])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isAlnum(c byte) bool { return isDigit(c) || isUpper(c) || c >= 'a' && c <= 'z' }

// graphic tells whether everything is printable ASCII, a space included.
func graphic(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
