package port

import "golang.org/x/sys/unix"

// ReadHost reads what this machine does with its ports.
func ReadHost() Host {
	first, err1 := unix.SysctlUint32("net.inet.ip.portrange.first")
	last, err2 := unix.SysctlUint32("net.inet.ip.portrange.last")
	if err1 != nil || err2 != nil || first > last || last > 65535 {
		return Host{Ephemeral: Range{49152, 65535}, Unprivileged: 1024, Source: "the usual of macOS: net.inet.ip.portrange cannot be read"}
	}
	return Host{Ephemeral: Range{uint16(first), uint16(last)}, Unprivileged: 1024, Source: "net.inet.ip.portrange"}
}
