package port

import (
	"os"
	"strconv"
	"strings"
)

// ReadHost reads what this machine does with its ports, ip-sysctl.
func ReadHost() Host {
	h := Host{Source: "net.ipv4.ip_local_port_range"}
	cells := strings.Fields(sysctl("ip_local_port_range"))
	if len(cells) == 2 {
		first, err1 := number(cells[0])
		last, err2 := number(cells[1])
		if err1 == nil && err2 == nil && first <= last {
			h.Ephemeral = Range{first, last}
		}
	}
	if h.Ephemeral == (Range{}) {
		h = Host{Ephemeral: Range{32768, 60999}, Source: "the usual of Linux: net.ipv4.ip_local_port_range cannot be read"}
	}
	for text := range strings.SplitSeq(sysctl("ip_local_reserved_ports"), ",") {
		from, to, isRange := strings.Cut(text, "-")
		if !isRange {
			to = from
		}
		first, err1 := number(from)
		last, err2 := number(to)
		if err1 == nil && err2 == nil {
			h.Reserved = append(h.Reserved, Range{first, last})
		}
	}
	h.Unprivileged = 1024
	if n, err := strconv.ParseUint(sysctl("ip_unprivileged_port_start"), 10, 16); err == nil {
		h.Unprivileged = uint16(n)
	}
	return h
}

func sysctl(name string) string {
	text, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
