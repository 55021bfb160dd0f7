//go:build !linux && !darwin

package port

// ReadHost says what such machines usually do with their ports; what this one does is in netsh int ipv4 show dynamicport tcp, whose
// answer is in the language of the machine.
func ReadHost() Host {
	return Host{Ephemeral: Range{49152, 65535}, Source: "the usual of this system; not read"}
}
