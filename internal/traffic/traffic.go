// Package traffic owns what first bytes are: it names the protocol that the beginning of a connection, or a datagram, is in, says how
// sure that is and what the sender may be up to, remembers for each source what it did within the last minutes, and counts. It
// also owns the sensor, which does nothing else.
//
// It does not reply: nothing here ever writes to a connection. It does not keep payload. It does not see what the kernel does
// not hand over, a half-open SYN scan for one. The invariant: the cost of a connection and the memory for all sources together
// are bounded, whoever sends whatever.
package traffic

import (
	"fmt"
	"net/netip"
	"time"
)

// MaxFirst is how many bytes of a connection are looked at, and MaxWait for how long. nmap's service detection first waits in silence; a
// port that hangs up within three seconds of that it takes for "tcpwrapped" and leaves, and one silent connection would be all that is
// seen of a scan.
const (
	MaxFirst = 4 << 10
	MaxWait  = 4 * time.Second
)

// A Label names what the first bytes are. Its text is what people and metrics see; its number is not kept anywhere.
type Label uint8

// The labels. Those that a client of the protocol cannot be told apart by, because it waits for the server to speak (MySQL, FTP,
// SMTP, POP3, IMAP, VNC), are Waits.
const (
	Unknown Label = iota
	Empty         // connected and closed without a byte
	Waits         // connected and said nothing as long as it was given
	Unread        // closed before a byte was looked at, for there were too many
	TLS
	SSL2
	DTLS
	QUIC
	HTTP
	HTTPProxy
	HTTP2
	WebSocket
	SSH
	Hippad
	Syslog
	GELF
	RDP
	TPKT
	SMB
	PostgreSQL
	MSSQL
	Oracle
	MongoDB
	Cassandra
	Redis
	Memcached
	MQTT
	AMQP
	NATS
	STOMP
	Kafka
	ZooKeeperPeer
	ZooKeeperClient
	SOCKS4
	SOCKS5
	SIP
	RTSP
	DNS
	LDAP
	Kerberos
	SNMP
	NTP
	STUN
	SSDP
	IPMI
	SunRPC
	DICOM
	HL7
	X12
	EDIFACT
	FHIR
	SMTP
	IMAP
	MailOrFTP
	IRC
	VNC
	Telnet
	JavaRMI
	JavaObject
	JDWP
	WebLogic
	ADB
	AJP
	Erlang
	X11
	LPD
	Modbus
	Minecraft
	BitTorrent
	Git
	Rsync
	ProxyProtocol
	BlankLines
	Help
	JSON
	XML
	Text
	LengthPrefixed
	Scrambled
	Binary

	labels // how many there are
)

// words are the texts of the labels, by number.
var words = [labels]string{
	Unknown: "unknown", Empty: "connect and close", Waits: "waits for server", Unread: "not looked at",
	TLS: "tls", SSL2: "sslv2", DTLS: "dtls", QUIC: "quic", HTTP: "http", HTTPProxy: "http proxy", HTTP2: "http/2", WebSocket: "websocket",
	SSH: "ssh", Hippad: "hippad/1", Syslog: "syslog", GELF: "gelf", RDP: "rdp", TPKT: "iso-tsap", SMB: "smb", PostgreSQL: "postgresql",
	MSSQL: "mssql", Oracle: "oracle", MongoDB: "mongodb", Cassandra: "cassandra", Redis: "redis", Memcached: "memcached", MQTT: "mqtt",
	AMQP: "amqp", NATS: "nats", STOMP: "stomp", Kafka: "kafka", ZooKeeperPeer: "zookeeper peer", ZooKeeperClient: "zookeeper client",
	SOCKS4: "socks4", SOCKS5: "socks5", SIP: "sip", RTSP: "rtsp", DNS: "dns", LDAP: "ldap", Kerberos: "kerberos", SNMP: "snmp", NTP: "ntp", STUN: "stun",
	SSDP: "ssdp", IPMI: "ipmi", SunRPC: "sunrpc", DICOM: "dicom", HL7: "hl7", X12: "x12", EDIFACT: "edifact", FHIR: "fhir", SMTP: "smtp",
	IMAP: "imap", MailOrFTP: "pop3 or ftp", IRC: "irc", VNC: "vnc", Telnet: "telnet", JavaRMI: "java rmi", JavaObject: "java object",
	JDWP: "jdwp", WebLogic: "weblogic t3", ADB: "adb", AJP: "ajp", Erlang: "erlang", X11: "x11", LPD: "lpd", Modbus: "modbus",
	Minecraft: "minecraft", BitTorrent: "bittorrent", Git: "git", Rsync: "rsync", ProxyProtocol: "proxy protocol",
	BlankLines: "blank lines", Help: "help", JSON: "json", XML: "xml", Text: "text", LengthPrefixed: "length-prefixed binary",
	Scrambled: "encrypted or compressed", Binary: "binary",
}

func (l Label) String() string {
	if l >= labels {
		return fmt.Sprintf("label %d", uint8(l))
	}
	return words[l]
}

// MarshalText implements encoding.TextMarshaler.
func (l Label) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. A label that a newer server knows and this program does not is Unknown.
func (l *Label) UnmarshalText(text []byte) error {
	*l = Unknown
	for i, w := range words {
		if w == string(text) {
			*l = Label(i)
		}
	}
	return nil
}

// MayHoldPatientData tells whether what follows such first bytes is likely to be about a patient. Of these nothing but
// label and length is ever shown or kept, whatever was asked for.
func (l Label) MayHoldPatientData() bool {
	switch l {
	case DICOM, HL7, X12, EDIFACT, FHIR, Hippad, Syslog, GELF, JSON, XML:
		return true
	}
	return false
}

// Confidence says what a label rests on.
type Confidence uint8

// The levels, the least first.
const (
	Weak       Confidence = iota + 1 // what is left when nothing fits, or fits by little
	Prefix                           // it begins so
	Structural                       // lengths and fields agree with each other
	Exact                            // a mark that nothing else has; more bytes do not change the label
)

func (c Confidence) String() string {
	switch c {
	case Weak:
		return "weak"
	case Prefix:
		return "prefix"
	case Structural:
		return "structural"
	case Exact:
		return "exact"
	}
	return "none"
}

// MarshalText implements encoding.TextMarshaler.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Confidence) UnmarshalText(text []byte) error {
	*c = 0
	for v := Weak; v <= Exact; v++ {
		if v.String() == string(text) {
			*c = v
		}
	}
	return nil
}

// A Hypothesis is what the sender may be up to. It is never proof: one machine sees too little to know intent.
type Hypothesis uint8

// The hypotheses.
const (
	NoIdea      Hypothesis = iota
	Custom                 // an application with a protocol of its own
	Scan                   // somebody looks at what is here
	Exploit                // an attempt to make a server do what it should not
	Development            // a client of a development server that had this port
	Misdirected            // a client of something else, or of this one spoken to in the wrong way
	HealthCheck            // a probe that comes again at a fixed time
	SlowClient             // a request that is drawn out

	hypotheses // how many there are
)

func (h Hypothesis) String() string {
	switch h {
	case NoIdea:
		return "unknown"
	case Custom:
		return "custom application"
	case Scan:
		return "scan"
	case Exploit:
		return "exploit attempt"
	case Development:
		return "development service"
	case Misdirected:
		return "misdirected client"
	case HealthCheck:
		return "health check"
	case SlowClient:
		return "slow client"
	}
	return fmt.Sprintf("hypothesis %d", uint8(h))
}

// MarshalText implements encoding.TextMarshaler.
func (h Hypothesis) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hypothesis) UnmarshalText(text []byte) error {
	*h = NoIdea
	for v := range hypotheses {
		if v.String() == string(text) {
			*h = v
		}
	}
	return nil
}

// A Verdict is what Classify says of the bytes so far.
type Verdict struct {
	Label      Label
	Confidence Confidence
	Hypothesis Hypothesis
	// More says that further bytes may change the verdict. Without it nothing that follows does.
	More bool
}

// An End says how the looking at a connection ended.
type End string

// The ends.
const (
	EndLabelled End = "labelled" // before the client did anything else
	EndClosed   End = "closed"   // by the client
	EndReset    End = "reset"    // by the client, with RST
	EndWaited   End = "waited"   // the time was over
	EndFull     End = "full"     // MaxFirst bytes were looked at
	EndDatagram End = "datagram"
)

// A Sighting is one connection or datagram that nobody here expected. It holds no payload: Client is a name that programs send of
// themselves, cut and cleaned.
type Sighting struct {
	At         time.Time  `json:"at"`
	Source     netip.Addr `json:"source"`
	SourcePort uint16     `json:"source_port,omitzero"`
	Network    string     `json:"network"` // tcp or udp
	Port       uint16     `json:"port"`    // of this machine
	InTLS      bool       `json:"in_tls,omitzero"`
	Label      Label      `json:"label"`
	Confidence Confidence `json:"confidence"`
	Hypothesis Hypothesis `json:"hypothesis"`
	Likely     bool       `json:"likely,omitzero"` // the hypothesis rests on what else the source did
	Evidence   string     `json:"evidence,omitzero"`
	End        End        `json:"end,omitzero"`
	Bytes      int        `json:"bytes"` // that were looked at
	Millis     int64      `json:"ms"`    // from the connection to the end of looking
	Hello      *Hello     `json:"hello,omitzero"`
	Client     string     `json:"client,omitzero"`
	Digest     string     `json:"sha256,omitzero"`  // of the first bytes, hex; the sensor's, and never of what may hold patient data
	Payload    string     `json:"payload,omitzero"` // hex of the beginning, only where it was asked for
}
