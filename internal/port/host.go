package port

import (
	"bufio"
	"io"
	"slices"
	"strings"
)

// A Host is what this machine does with its ports.
type Host struct {
	// Ephemeral is the range from which it takes ports for connections of its own. It may overlap IANA's user ports.
	Ephemeral Range `json:"ephemeral"`
	// Reserved are ports within Ephemeral that it does not take (net.ipv4.ip_local_reserved_ports).
	Reserved []Range `json:"reserved,omitempty"`
	// Unprivileged is the first port that everybody may bind.
	Unprivileged uint16 `json:"unprivileged"`
	Source       string `json:"source"`
}

// TakesEphemeral tells whether a connection of this machine may get a port as its own end.
func (h Host) TakesEphemeral(n uint16) bool {
	return h.Ephemeral.Has(n) && !slices.ContainsFunc(h.Reserved, func(r Range) bool { return r.Has(n) })
}

// maxServices is how many lines a choice of services has at most: Debian's has 350, Windows' 290, a copy of IANA's table more than 10,000.
const maxServices = 2000

// Services reads services(5), this machine's own names of ports: name number/transport alias... # comment. It is read at run time,
// because Debian's list is under another licence, and is evidence where it is a choice of what is in use, as Debian's is and that of Windows.
// macOS, Fedora, Arch and others have a copy of IANA's whole table there, which says nothing of use: it gives no names.
func Services(in io.Reader, n uint16) (names []string) {
	all := 0
	for lines := bufio.NewScanner(io.LimitReader(in, 16<<20)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		cells := strings.Fields(line)
		if len(cells) < 2 {
			continue
		}
		digits, transport, _ := strings.Cut(cells[1], "/")
		if !slices.Contains([]string{"tcp", "udp", "sctp", "dccp"}, strings.ToLower(transport)) { // AppleTalk's ddp has numbers of its own
			continue
		}
		if all++; all > maxServices {
			return nil
		}
		if at, err := number(digits); err == nil && at == n && !slices.Contains(names, cells[0]) {
			names = append(names, cells[0])
		}
	}
	return names
}
