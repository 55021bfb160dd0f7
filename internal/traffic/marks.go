package traffic

// A mark is a beginning that only one protocol has.
type mark struct {
	label Label
	text  string
}

// fixedMarks are the beginnings, of the protocols' own specifications.
var fixedMarks = [...]mark{
	{HTTP2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, // RFC 9113 section 3.4
	{SSH, "SSH-2.0-"}, {SSH, "SSH-1."}, // RFC 4253 section 4.2
	{Hippad, "hippad/1\n"}, // docs/protocol.md
	{ProxyProtocol, "PROXY TCP4 "}, {ProxyProtocol, "PROXY TCP6 "}, {ProxyProtocol, "PROXY UNKNOWN"},
	{ProxyProtocol, "\r\n\r\n\x00\r\nQUIT\n"}, // HAProxy proxy-protocol.txt, sections 2.1 and 2.2
	{HL7, "\x0bMSH"}, {HL7, "\x0bFHS"}, {HL7, "\x0bBHS"}, // HL7 MLLP release 1
	{HL7, "MSH|^~\\&"}, {HL7, "FHS|^~\\&"}, {HL7, "BHS|^~\\&"}, // without the frame
	{EDIFACT, "UNB+UNO"}, {EDIFACT, "UNA:+"}, // ISO 9735
	{JDWP, "JDWP-Handshake"},
	{PostgreSQL, "\x00\x00\x00\x08\x04\xd2\x16\x2f"}, // SSLRequest, GSSENCRequest: PostgreSQL manual, message formats
	{PostgreSQL, "\x00\x00\x00\x08\x04\xd2\x16\x30"},
	{JavaRMI, "JRMI\x00\x02"}, {JavaRMI, "JRMI\x00\x01"}, // Java RMI wire protocol, section 10.2
	{JavaObject, "\xac\xed\x00\x05"}, // Java object serialization, section 6.4
	{VNC, "RFB 00"},                  // RFC 6143 section 7.1.1
	{BitTorrent, "\x13BitTorrent protocol"},
	{Rsync, "@RSYNCD: "},
	{AMQP, "AMQP\x00"}, {AMQP, "AMQP\x01"}, {AMQP, "AMQP\x02"}, {AMQP, "AMQP\x03"}, // AMQP 0-9-1 section 4.2.2; 1.0 section 2.2
	{X11, "l\x00\x0b\x00\x00\x00"}, {X11, "B\x00\x00\x0b\x00\x00"}, // X Window System protocol, chapter 8
	{STOMP, "CONNECT\naccept-version:"}, {STOMP, "CONNECT\r\naccept-version:"}, {STOMP, "STOMP\n"}, {STOMP, "STOMP\r\n"},
	{NATS, "CONNECT {"},
	{ZooKeeperPeer, "\xff\xff\xff\xff\xff\xff\x00\x00"}, // QuorumCnxManager: protocol versions -65536
	{ZooKeeperPeer, "\xff\xff\xff\xff\xff\xff\x00\x01"}, // and -65535
}

// marks are the fixed beginnings.
func marks(b []byte) (Label, answer) {
	partial := no
	for i := range fixedMarks {
		m := &fixedMarks[i]
		if m.text[0] != b[0] {
			continue
		}
		switch begins(b, m.text) {
		case exact:
			return m.label, exact
		case maybe:
			partial = maybe
		}
	}
	return Unknown, partial
}

// records are TLS and its relatives, and what shares their first byte.
func records(b []byte) (Label, answer) {
	switch b[0] {
	case 0x16: // RFC 8446 section 5.1: handshake, version, length, ClientHello
		if fits(b, 1, 3, 3) && fits(b, 2, 0, 4) && fits(b, 3, 0, 0x48) && fits(b, 5, 1, 1) {
			return TLS, enough(b, 6, exact)
		}
	case 0x80: // SSL 2.0 ClientHello with a two-byte header; or a record mark of RFC 5531, or memcached
		if fits(b, 2, 1, 1) && fits(b, 3, 0, 3) && fits(b, 4, 0, 3) && (len(b) < 5 || b[3] == 3 || b[3] == 0 && b[4] == 2) && (len(b) < 2 || b[1] >= 9) {
			return SSL2, enough(b, 5, structural)
		}
		if l, a := sunRPC(b); a != no {
			return l, a
		}
		return memcachedBinary(b)
	}
	return Unknown, no
}

// fits tells whether the byte at i, if it is there, lies between low and high.
func fits(b []byte, i int, low, high byte) bool { return len(b) <= i || b[i] >= low && b[i] <= high }

// zeros tells whether the bytes from..to, as far as they are there, are zero.
func zeros(b []byte, from, to int) bool {
	for i := from; i < min(to, len(b)); i++ {
		if b[i] != 0 {
			return false
		}
	}
	return true
}

// enough is a once n bytes are there, and maybe before.
func enough(b []byte, n int, a answer) answer {
	if len(b) < n {
		return maybe
	}
	return a
}

// sunRPC is a call in a record (RFC 5531 sections 9 and 11).
func sunRPC(b []byte) (Label, answer) {
	if !zeros(b, 8, 12) || !zeros(b, 12, 15) || !fits(b, 15, 2, 2) || !zeros(b, 16, 17) || !zeros(b, 1, 2) {
		return Unknown, no
	}
	return SunRPC, enough(b, 20, exact)
}

// memcachedBinary is a request of its binary protocol: opcode, lengths that agree, raw data type.
func memcachedBinary(b []byte) (Label, answer) {
	if !fits(b, 1, 0, 0x3b) || !fits(b, 4, 0, 20) || !zeros(b, 5, 6) {
		return Unknown, no
	}
	if len(b) < 24 {
		return Unknown, maybe
	}
	if key, extras, body := be16(b[2:]), int(b[4]), be32(b[8:]); int64(key+extras) > int64(body) || key > 250 || body > 1<<20+300 {
		return Unknown, no
	}
	return Memcached, structural
}

// health are the protocols of hospitals whose payload is about patients.
func health(b []byte) (Label, answer) {
	switch b[0] {
	case 0x01: // DICOM PS3.8 table 9-11: A-ASSOCIATE-RQ
		if !zeros(b, 1, 2) || !zeros(b, 2, 3) || !zeros(b, 6, 7) || !zeros(b, 8, 10) || len(b) > 7 && b[7]&1 == 0 {
			return Unknown, no
		}
		for i := 10; i < min(len(b), 42); i++ { // the titles are filled up with spaces, by some with zeros
			if c := b[i]; c > '~' || c < ' ' && (c != 0 || i == 10 || i == 26) {
				return Unknown, no
			}
		}
		if len(b) >= 6 && be32(b[2:]) < 68 {
			return Unknown, no
		}
		return DICOM, enough(b, 42, exact)
	case 'I':
		return x12(b)
	}
	return Unknown, no
}

// x12 is an interchange header: 106 bytes, whose element separator stands where it must (ASC X12.5).
func x12(b []byte) (Label, answer) {
	if begins(b, "ISA") == no {
		return Unknown, no
	}
	if len(b) < 4 {
		return Unknown, maybe
	}
	sep := b[3]
	if isAlnum(sep) || sep == ' ' {
		return Unknown, no
	}
	for _, at := range [...]int{6, 17, 20, 31, 34, 50, 53, 69, 76, 81, 83, 89, 99, 101, 103} {
		if at < len(b) && b[at] != sep {
			return Unknown, no
		}
	}
	switch {
	case len(b) >= 106:
		return X12, exact
	case len(b) >= 18:
		return X12, structural | soFar
	}
	return X12, prefix | soFar
}
