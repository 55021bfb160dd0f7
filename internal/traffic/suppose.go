package traffic

import "bytes"

// suppose is the hypothesis that first bytes allow by themselves. More is true while further bytes may change it; what
// it says without more rests on bytes that are there.
func suppose(l Label, b []byte) (h Hypothesis, more bool) {
	switch l {
	case HTTP, HTTPProxy, WebSocket, RTSP, SIP, SSDP:
		return supposeRequest(l, b)
	case TLS: // until the ClientHello is complete: its details are wanted
		return Misdirected, len(b) < 5 || len(b) < 5+be16(b[3:])
	case SSH:
		end := bytes.IndexByte(b, '\n')
		line := b[:max(end, 0)]
		if end < 0 {
			line = b
		}
		return scannerOr(line, Misdirected), end < 0 && len(b) < 255 // RFC 4253 section 4.2
	case Redis:
		return supposeRedis(b)
	case DNS:
		b = b[:min(len(b), 512)]
		wanted := 0
		if len(b) >= 14 && (statusRequest(b) || be16(b) > 12 && question(b[2:])) { // over TCP there is a length in front
			wanted = min(2+be16(b), 512)
			b = b[:min(len(b), wanted)]
		}
		if containsFold(b, "\x07version\x04bind") || containsFold(b, "\x02id\x06server") {
			return Scan, false
		}
		return Misdirected, len(b) < wanted
	case Git, Rsync, Erlang:
		return Development, false
	case JavaRMI, JavaObject, JDWP, WebLogic, ADB, AJP:
		return Exploit, false
	case SSL2, RDP, TPKT, SMB, SOCKS4, SOCKS5, Telnet, VNC, Modbus, IPMI, BlankLines, Help, SunRPC, Minecraft, X11, LPD, SNMP:
		return Scan, false
	case JSON, XML, Text, LengthPrefixed:
		return Custom, true
	case Unknown, Empty, Waits, Unread, Scrambled, Binary:
		return NoIdea, l != Waits && l != Unread
	}
	return Misdirected, false
}

// scannerNames are what scanners call themselves, and clientNames what else says that nobody sits behind it. It is a claim: who
// hides says something else.
var scannerNames = [...]string{
	"zgrab", "masscan", "nmap", "censys", "expanse", "shodan", "nuclei", "zmap", "internet-measurement", "netsystemsresearch", "nikto",
	"sqlmap", "gobuster", "dirbuster", "wpscan", "fofa", "l9explore", "l9tcpid", "leakix", "paloalto", "odin.io", "onyphe", "binaryedge", "shadowserver",
}

func scannerOr(name []byte, otherwise Hypothesis) Hypothesis {
	for _, s := range scannerNames {
		if containsFold(name, s) {
			return Scan
		}
	}
	return otherwise
}

// attacks are pieces of targets that no client of an honest server asks for, in lower case: of the advisories of the products
// that they are aimed at.
var attacks = [...]string{
	"/cgi-bin/", "/etc/passwd", "/bin/sh", "../", "%2e%2e", "..%2f", "/.env", "/.git/", "/.aws/", "/boaform", "/hnap1", "/gponform", "/setup.cgi",
	"/shell?", "eval-stdin", "think%5capp", "think\\app", "/wp-login", "/wp-admin", "/xmlrpc.php", "/phpmyadmin", "/manager/html", "/actuator/",
	"/_ignition", "/solr/admin", "/vendor/phpunit", "wget+", "wget%20", "curl%20", "classloader", "xdebug_session", "/druid/", "/jolokia",
	"${jndi", "%24%7bjndi", "/containers/json", "/containers/create", "/images/json", "/exec/",
}

// supposeRequest looks at a request line and at the names in its header.
func supposeRequest(l Label, b []byte) (Hypothesis, bool) {
	end := headerEnd(b)
	more := end < 0
	if !more {
		b = b[:end]
	}
	line := b
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		line = b[:i]
	}
	target := line
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		target = line[i+1:]
	}
	if begins(target, "/ ") != exact && len(target) > 1 {
		for _, a := range attacks {
			if containsFold(target, a) {
				return Exploit, more
			}
		}
	}
	if dockerAPI(target) {
		return Exploit, more
	}
	if bytes.Contains(b, []byte("${jndi:")) || bytes.Contains(b, []byte("() {")) { // Log4Shell, Shellshock
		return Exploit, more
	}
	switch l {
	case HTTPProxy, SIP, RTSP, SSDP:
		return Scan, more
	case WebSocket:
		return Development, more
	}
	if host := header(b, "host"); begins(host, "localhost") == exact || begins(host, "127.0.0.1") == exact {
		return scannerOr(header(b, "user-agent"), Development), more
	}
	return scannerOr(header(b, "user-agent"), Misdirected), more
}

// dockerAPI tells whether a target begins with a version of the Docker Engine API: 1.12 to 1.99.
func dockerAPI(target []byte) bool {
	return begins(target, "/v1.") == exact && len(target) > 6 && isDigit(target[4]) && isDigit(target[5]) && target[6] == '/'
}

// supposeRedis looks at the first command: those that make a server write files or follow another are attacks.
func supposeRedis(b []byte) (Hypothesis, bool) {
	end, complete := commandEnd(b)
	b = b[:end]
	for _, w := range [...]string{"config\r\n$3\r\nset", "config set", "slaveof", "replicaof", "module\r\n", "module load", "eval", "debug\r\n"} {
		if containsFold(b, w) {
			return Exploit, !complete
		}
	}
	return Misdirected, !complete
}

// commandEnd returns where the first command of a Redis client ends, 512 bytes at most, and whether it is all there.
func commandEnd(b []byte) (int, bool) {
	b = b[:min(len(b), 512)]
	full := len(b) == 512
	if b[0] != '*' {
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			return i + 1, true
		}
		return len(b), full
	}
	at, left := 0, -1
	for at < len(b) && left != 0 {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return len(b), full
		}
		n, ok := 0, i > 1 && (b[at] == '*' || b[at] == '$')
		for _, c := range b[at+1 : at+max(i, 1)] {
			if c == '\r' {
				break
			}
			if ok = ok && isDigit(c); n < 1<<20 {
				n = 10*n + int(c&15)
			}
		}
		if !ok { // no command that a server would take: what is there is enough
			return at + i + 1, true
		}
		at += i + 1
		if left < 0 {
			left = n
			continue
		}
		at += n + 2
		left--
	}
	if left == 0 && at <= len(b) {
		return at, true
	}
	return len(b), full
}
