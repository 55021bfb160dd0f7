package port

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// proc is where the kernel shows processes; tests lay another.
type proc struct{ root string }

func (p proc) path(parts ...string) string {
	return filepath.Join(append([]string{p.root}, parts...)...)
}

// tables are the files of a namespace that proc_pid_net(5) describes.
var tables = [...]struct{ name, transport, state string }{
	{"tcp", "tcp", "0A"}, {"tcp6", "tcp", "0A"}, {"udp", "udp", "07"}, {"udp6", "udp", "07"},
}

// listeners reads the tables of the namespace that a process ("self", or a number) is in. They do not tell whether a socket is
// dual stack, nor its control group.
func (p proc) listeners(process string, want Want) (out []Listener, err error) {
	for _, t := range tables {
		f, err := os.Open(p.path(process, "net", t.name))
		if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(t.name, "6") { // a kernel without IPv6
			continue
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if l, ok := parseSocket(lines.Text(), t.state); ok && want.has(l.Port) {
				l.Transport = t.transport
				out = append(out, l)
			}
		}
		err = lines.Err()
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return out, nil
}

// parseSocket reads a line of such a table; false for the heading and for what is not in the state.
func parseSocket(line, state string) (l Listener, ok bool) {
	// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...
	cells := strings.Fields(line)
	if len(cells) < 10 || cells[3] != state {
		return l, false
	}
	address, number, found := strings.Cut(cells[1], ":")
	port, err := strconv.ParseUint(number, 16, 16)
	if !found || err != nil || port == 0 {
		return l, false
	}
	raw, err := hex.DecodeString(address)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return l, false
	}
	for i := 0; i < len(raw); i += 4 { // the kernel prints words in network order as if they were numbers of this machine
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	l.Address, _ = netip.AddrFromSlice(raw)
	l.Port = uint16(port)
	if uid, err := strconv.ParseUint(cells[7], 10, 32); err == nil {
		n := uint32(uid)
		l.UID = &n
	}
	l.inode, err = strconv.ParseUint(cells[9], 10, 64)
	return l, err == nil
}

// namespaces finds the network namespaces that processes are in, other than our own: for each its processes. /proc/PID/net/tcp is another
// file in every namespace, and its number can be had of every process that is visible at all, while /proc/PID/ns/net is only for
// its owner. What cannot be seen is counted.
func (p proc) namespaces(pids []int) (others map[uint64][]int, unseen int, err error) {
	own, err := inodeOf(p.path("self", "net", "tcp"))
	if err != nil {
		return nil, 0, err
	}
	others = map[uint64][]int{}
	for _, pid := range pids {
		n, err := inodeOf(p.path(strconv.Itoa(pid), "net", "tcp"))
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has ended, or it is a zombie, which holds no socket
		case err != nil:
			unseen++
		case n != own:
			others[n] = append(others[n], pid)
		}
	}
	return others, unseen, nil
}
