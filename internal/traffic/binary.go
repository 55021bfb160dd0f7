package traffic

import "bytes"

// Rules for binary protocols without a mark of their own: here fields and lengths have to agree.

// zookeeper is a peer of an ensemble that talks to its leader (QuorumPacket: type, zxid, LearnerInfo), the likeliest real client of
// port 2988, or a client (ConnectRequest).
func zookeeper(b []byte) (Label, answer) {
	if !zeros(b, 0, 3) {
		return Unknown, no
	}
	if len(b) < 4 {
		return Unknown, maybe
	}
	switch b[3] {
	case 0x0b, 0x10: // FOLLOWERINFO, OBSERVERINFO
		if !zeros(b, 12, 15) || len(b) > 15 && b[15] != 0x0c && b[15] != 0x14 || !zeros(b, 24, 25) || !fits(b, 25, 1, 1) || !zeros(b, 26, 28) {
			return Unknown, no
		}
		return ZooKeeperPeer, enough(b, 28, exact)
	case 0x2c, 0x2d: // ConnectRequest, without and with its last field
		if !zeros(b, 4, 8) || !zeros(b, 28, 31) || !fits(b, 31, 0x10, 0x10) {
			return Unknown, no
		}
		return ZooKeeperClient, enough(b, 32, exact)
	}
	return Unknown, no
}

func databases(b []byte) (Label, answer) {
	switch b[0] {
	case 0x00:
		if l, a := oracle(b); a != no {
			return l, a
		}
		// CancelRequest: a process and its secret, of four bytes until protocol 3.2 and up to 256 from there on.
		if zeros(b, 0, 2) && (len(b) < 4 || be32(b) >= 16 && be32(b) <= 268) && begins(b[min(len(b), 4):], "\x04\xd2\x16\x2e") != no {
			return PostgreSQL, enough(b, 8, exact)
		}
		// StartupMessage of protocol 3: a length up to what the server takes, the version, the name of a parameter.
		if !zeros(b, 0, 2) || !zeros(b, 4, 5) || !fits(b, 5, 3, 3) || !zeros(b, 6, 7) || !fits(b, 7, 0, 9) {
			return Unknown, no
		}
		if len(b) > 8 && !(b[8] >= 'a' && b[8] <= 'z' || b[8] == '_') || len(b) >= 4 && (be32(b) < 9 || be32(b) > 10_000) {
			return Unknown, no
		}
		return PostgreSQL, enough(b, 9, exact)
	case 0x12: // MS-TDS 2.2.6.5 PRELOGIN: packet header, token VERSION
		if fits(b, 1, 1, 1) && zeros(b, 4, 6) && zeros(b, 7, 9) {
			return MSSQL, enough(b, 9, exact)
		}
	case 0x10: // MS-TDS 2.2.6.4 LOGIN7
		if fits(b, 1, 1, 1) && zeros(b, 4, 6) && fits(b, 6, 1, 1) && zeros(b, 7, 8) {
			return MSSQL, enough(b, 8, structural)
		}
	case 3, 4, 5: // CQL binary protocol v3 to v5, section 2: OPTIONS, or STARTUP with its map, for SOCKS4 to 1.0.0.1 looks alike up to there
		if fits(b, 1, 0, 0x1f) && (len(b) < 5 || b[4] == 1 || b[4] == 5) && zeros(b, 5, 7) && (len(b) < 9 || (b[4] == 5) == (be16(b[7:]) == 0)) {
			if len(b) > 4 && b[4] == 5 {
				return Cassandra, enough(b, 9, structural)
			}
			if zeros(b, 9, 10) && fits(b, 10, 1, 8) && zeros(b, 11, 12) {
				return Cassandra, enough(b, 12, structural)
			}
		}
	}
	return mongo(b)
}

// oracle is a TNS connect packet.
func oracle(b []byte) (Label, answer) {
	if !zeros(b, 2, 4) || !fits(b, 4, 1, 1) || !zeros(b, 5, 8) || !fits(b, 8, 1, 1) || len(b) > 1 && be16(b) < 32 {
		return Unknown, no
	}
	return Oracle, enough(b, 10, structural)
}

// mongo is a message header: length, request, nothing answered, and OP_QUERY, OP_COMPRESSED or OP_MSG.
func mongo(b []byte) (Label, answer) {
	if !zeros(b, 8, 12) || !zeros(b, 14, 16) || !fits(b, 13, 7, 7) || len(b) > 12 && b[12] != 0xd4 && b[12] != 0xdc && b[12] != 0xdd {
		return Unknown, no
	}
	if len(b) >= 4 && (le32(b) < 16 || le32(b) > 48_000_000) {
		return Unknown, no
	}
	if len(b) < 12 && (graphic(b) || b[0] == 0x80) { // so that words are not waited for
		return Unknown, no
	}
	return MongoDB, enough(b, 16, exact)
}

func brokers(b []byte) (Label, answer) {
	switch b[0] {
	case '*': // RESP: an array of bulk strings
		i := 1
		for i < len(b) && i < 8 && isDigit(b[i]) {
			i++
		}
		if i == len(b) {
			return Unknown, maybe
		}
		if a := begins(b[i:], "\r\n$"); i > 1 {
			return Redis, a
		}
	case 0x10: // MQTT 3.1.1 section 3.1: CONNECT, remaining length, protocol name
		i := 1
		for i < len(b) && i < 4 && b[i]&0x80 != 0 {
			i++
		}
		if i+1 >= len(b) {
			return Unknown, maybe
		}
		if a := begins(b[i+1:], "\x00\x04MQTT"); a != no {
			return MQTT, a
		}
		return MQTT, begins(b[i+1:], "\x00\x06MQIsdp")
	case 0x00:
		return kafka(b)
	}
	return Unknown, no
}

// kafka is a request header: length, API key, version, correlation, and a client id that is printable and fits.
func kafka(b []byte) (Label, answer) {
	if !zeros(b, 4, 5) || !fits(b, 5, 0, 0x60) || !zeros(b, 6, 7) || !fits(b, 7, 0, 25) {
		return Unknown, no
	}
	if len(b) < 14 {
		return Unknown, maybe
	}
	size, id := be32(b), be16(b[12:])
	if id == 0xffff {
		id = 0
	} else if id == 0 {
		return Unknown, no
	}
	if int64(size) < int64(10+id) || id > 255 || !graphic(b[14:min(len(b), 14+id)]) {
		return Unknown, no
	}
	return Kafka, enough(b, 14+id, structural)
}

func desktops(b []byte) (Label, answer) {
	switch b[0] {
	case 0x00: // MS-SMB2 2.1: direct TCP
		if len(b) > 4 && (b[4] == 0xff || b[4] == 0xfe) {
			return SMB, begins(b[5:], "SMB")
		}
		if len(b) <= 4 {
			return SMB, maybe
		}
	case 0x81: // RFC 1002 section 4.3.2: SESSION REQUEST
		if zeros(b, 1, 3) && fits(b, 3, 0x44, 0x44) && fits(b, 4, 0x20, 0x20) {
			return SMB, enough(b, 5, exact)
		}
	case 0x03: // RFC 1006 and X.224 connection request
		if !zeros(b, 1, 2) || !fits(b, 5, 0xe0, 0xe0) || len(b) > 3 && be16(b[2:]) < 11 || len(b) > 4 && int(b[4]) > be16(b[2:])-5 {
			return Unknown, no
		}
		if len(b) < 11 || len(b) < min(be16(b[2:]), 15) {
			return Unknown, maybe
		}
		if be16(b[2:]) >= 15 && (string(b[11:15]) == "Cook" || b[11] == 1 && b[13] == 8 && b[14] == 0) { // MS-RDPBCGR 2.2.1.1
			return RDP, exact
		}
		return TPKT, exact // S7 and others
	}
	return Unknown, no
}

func naming(b []byte) (Label, answer) {
	if l, a := ldap(b); a != no {
		return l, a
	}
	// RFC 4120 section 7.2.2: a length, then AS-REQ or TGS-REQ.
	if zeros(b, 0, 2) && (len(b) < 5 || b[4] == 0x6a || b[4] == 0x6c) && fits(b, 5, 0x81, 0x82) {
		return Kerberos, enough(b, 6, structural)
	}
	if statusRequest(b) {
		return DNS, enough(b, 14, exact)
	}
	// RFC 1035 section 4.2.2: a length, then a query of one question.
	if len(b) > 1 && be16(b) < 17 || !question(b[min(2, len(b)):]) {
		return Unknown, no
	}
	if b[0] >= ' ' && b[0] <= '~' && len(b) < 8 { // so that words are not waited for
		return Unknown, no
	}
	return DNS, enough(b, 15, exact)
}

// statusRequest tells whether b is the beginning of a DNS status request over TCP: a header, and no question.
func statusRequest(b []byte) bool {
	return b[0] == 0 && fits(b, 1, 12, 12) && fits(b, 4, 0x10, 0x10) && zeros(b, 5, 14)
}

// question tells whether b is the beginning of a DNS query with one question and no answers.
func question(b []byte) bool {
	return fits(b, 2, 0, 7) && (len(b) < 4 || b[3]&0x4f == 0) && zeros(b, 4, 5) && fits(b, 5, 1, 1) && zeros(b, 6, 11) && fits(b, 11, 0, 2) && fits(b, 12, 0, 63)
}

// ldap is an LDAPMessage (RFC 4511 section 4.1.1): sequence, message id, bind, unbind, search or extended request.
func ldap(b []byte) (Label, answer) {
	if b[0] != 0x30 {
		return Unknown, no
	}
	if len(b) < 2 {
		return Unknown, maybe
	}
	at := 2
	if b[1]&0x80 != 0 {
		if b[1]&0x7f == 0 || b[1]&0x7f > 4 {
			return Unknown, no
		}
		at += int(b[1] & 0x7f)
	}
	if !fits(b, at, 2, 2) || !fits(b, at+1, 1, 4) {
		return Unknown, no
	}
	if len(b) <= at+1 {
		return Unknown, maybe
	}
	op := at + 2 + int(b[at+1])
	if len(b) <= op {
		return Unknown, maybe
	}
	switch b[op] {
	case 0x60, 0x42, 0x63, 0x77:
		return LDAP, exact
	}
	return Unknown, no
}

// tail is everything else whose beginning is binary.
func tail(b []byte) (Label, answer) {
	switch b[0] {
	case 0xff:
		return telnet(b)
	case 4: // SOCKS4: command, port, address, user until 0
		if !fits(b, 1, 1, 2) || len(b) > 8 && len(b) > 9+255 {
			return Unknown, no
		}
		if len(b) > 8 && bytes.IndexByte(b[8:], 0) >= 0 {
			return SOCKS4, structural | soFar
		}
		return Unknown, maybe
	case 5: // RFC 1928 section 3: as many methods as it says
		if !fits(b, 1, 1, 255) || len(b) > 1 && len(b) > 2+int(b[1]) {
			return Unknown, no
		}
		if len(b) > 1 && len(b) == 2+int(b[1]) {
			return SOCKS5, structural | soFar
		}
		return Unknown, maybe
	case 0x12: // AJP 1.3: packets to the container; forward request with its method and protocol, ping, cping
		switch {
		case !fits(b, 1, 0x34, 0x34):
		case len(b) < 5:
			return Unknown, maybe
		case b[4] == 2 && fits(b, 5, 1, 255) && zeros(b, 6, 7) && fits(b, 7, 8, 8):
			return AJP, begins(b[min(len(b), 8):], "HTTP/")
		case (b[4] == 8 || b[4] == 10) && be16(b[2:]) == 1:
			return AJP, structural
		}
	case 'C': // ADB: CNXN, version, size, and the complement of the command
		if a := begins(b, "CNXN"); a != exact {
			return Unknown, a
		}
		if len(b) < 24 {
			return Unknown, maybe
		}
		return ADB, begins(b[20:], "\xbc\xb1\xa7\xb1")
	case 0xfe:
		return Minecraft, begins(b, "\xfe\x01\xfa") // server list ping until 1.6
	case 1, 2, 3: // RFC 1179 section 5: command, queue, line feed
		end := bytes.IndexByte(b, '\n')
		if len(b) > 1 && len(b) < 64 && end != 1 && graphic(b[1:max(1, end)]) && (end < 0 && graphic(b[1:]) || end == len(b)-1) {
			if end < 0 {
				return Unknown, maybe
			}
			return LPD, structural | soFar
		}
	}
	if l, a := erlang(b); a != no {
		return l, a
	}
	if l, a := modbus(b); a != no {
		return l, a
	}
	return minecraft(b)
}

// telnet is RFC 854: IAC WILL, WONT, DO or DONT, an option, and then another command or what somebody types. Text in UTF-16 begins as
// IAC DONT does, and goes on with a zero.
func telnet(b []byte) (Label, answer) {
	switch {
	case !fits(b, 1, 0xfb, 0xfe) || !fits(b, 2, 0, 0x31):
		return Unknown, no
	case len(b) < 3:
		return Unknown, maybe
	case len(b) == 3:
		return Telnet, structural | soFar
	case b[3] != 0xff && b[3] != '\r' && (b[3] < ' ' || b[3] > '~'), !fits(b, 4, 0xf0, 0xff) && b[3] == 0xff:
		return Unknown, no
	case b[3] != 0xff:
		return Telnet, structural
	case len(b) == 4:
		return Telnet, structural | soFar
	}
	return Telnet, exact
}

// erlang is a name message of the distribution, or a request to the port mapper.
func erlang(b []byte) (Label, answer) {
	if b[0] != 0 || len(b) > 1 && b[1] == 0 {
		return Unknown, no
	}
	if len(b) < 3 {
		return Unknown, maybe
	}
	n, size := int(b[1]), len(b)-2
	switch b[2] {
	case 'n': // NAMES_REQ of the port mapper; send_name, version 5
		if n == 1 && size == 1 {
			return Erlang, structural | soFar
		}
		if n > 7 && zeros(b, 3, 4) && fits(b, 4, 5, 6) {
			return Erlang, enough(b, 5, structural)
		}
	case 'N': // send_name since OTP 23: flags, creation, length of the name
		if n > 15 && (len(b) < 17 || be16(b[15:]) == n-15) {
			return Erlang, enough(b, 17, structural)
		}
	case 'z', 'x': // PORT_PLEASE2_REQ, ALIVE2_REQ
		if n > 1 && size <= n && (b[2] == 'x' || graphic(b[3:])) {
			if size == n {
				return Erlang, structural | soFar
			}
			return Unknown, maybe
		}
	}
	return Unknown, no
}

// modbus is a request of Modbus/TCP: protocol 0 and a length that is right.
func modbus(b []byte) (Label, answer) {
	if !zeros(b, 2, 5) || !fits(b, 5, 2, 254) || !fits(b, 7, 1, 0x2b) || len(b) > 5 && len(b) > 6+int(b[5]) {
		return Unknown, no
	}
	if len(b) > 7 && len(b) == 6+int(b[5]) {
		return Modbus, structural | soFar
	}
	if len(b) < 4 { // nearly everything may go on so
		return Unknown, no
	}
	return Unknown, maybe
}

// minecraft is a handshake: length, packet 0, version, server name, port, and the state 1 or 2.
func minecraft(b []byte) (Label, answer) {
	if b[0] < 7 || b[0] > 0x7f || !zeros(b, 1, 2) {
		return Unknown, no
	}
	if len(b) <= int(b[0]) {
		if len(b) < 2 {
			return Unknown, no
		}
		return Unknown, maybe
	}
	at := 2
	for at < 7 && at < int(b[0]) && b[at]&0x80 != 0 {
		at++
	}
	at++
	if at > int(b[0]) { // the version has no end within the packet
		return Unknown, no
	}
	end := at + 1 + int(b[at])
	if end+2 != int(b[0]) || !graphic(b[at+1:end]) || b[end+2] != 1 && b[end+2] != 2 {
		return Unknown, no
	}
	return Minecraft, structural
}

// packets are the protocols whose datagrams have a mark.
func packets(b []byte) (Label, answer) {
	switch {
	case len(b) >= 13 && b[0] >= 20 && b[0] <= 23 && b[1] == 0xfe && (b[2] == 0xff || b[2] == 0xfd): // RFC 6347 section 4.1
		return DTLS, exact
	case len(b) >= 20 && string(b[4:8]) == "\x21\x12\xa4\x42" && b[0] < 0x40: // RFC 8489 section 5
		return STUN, exact
	case begins(b, "\x06\x00\xff\x07") == exact: // IPMI 2.0 section 13.1.3: RMCP
		return IPMI, exact
	case len(b) >= 1200 && b[0]&0xc0 == 0xc0 && (be32(b[1:]) == 1 || be32(b[1:]) == 0x6b3343cf || be32(b[1:])&0x0f0f0f0f == 0x0a0a0a0a): // RFC 9000 sections 14.1 and 17.2
		return QUIC, exact
	case len(b) > 12 && b[0] == 0x1e && b[1] == 0x0f && b[10] < b[11] && b[11] <= 128: // GELF 1.1, chunked: message, number, count
		return GELF, structural
	case len(b) == 48 && b[0]&7 == 3 && b[0]>>3&7 >= 1 && b[0]>>3&7 <= 4: // RFC 5905 section 7.3: a client
		return NTP, structural
	case len(b) > 12 && question(b):
		return DNS, structural
	case len(b) > 8 && b[0] == 0x30 && snmp(b):
		return SNMP, structural
	case len(b) >= 40 && be32(b[4:]) == 0 && be32(b[8:]) == 2:
		return SunRPC, structural
	case len(b) > 9 && zeros(b, 0, 1) && be16(b[4:]) == 1 && b[6] == 0 && b[7] == 0: // memcached's UDP header: one datagram
		if l, a := lines(b[8:]); l == Memcached {
			return l, a
		}
	case begins(b, "\x0bMSH") == exact || begins(b, "MSH|") == exact:
		return HL7, exact
	}
	return marks(b)
}

// snmp is a message (RFC 3416; versions 1, 2c and 3) whose length is right.
func snmp(b []byte) bool {
	at, size := 2, int(b[1])
	switch b[1] {
	case 0x81:
		at, size = 3, int(b[2])
	case 0x82:
		at, size = 4, be16(b[2:])
	}
	return at+size == len(b) && b[at] == 2 && b[at+1] == 1 && (b[at+2] == 0 || b[at+2] == 1 || b[at+2] == 3)
}
