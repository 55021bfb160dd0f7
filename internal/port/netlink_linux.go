package port

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// The kernel tells its sockets by sock_diag(7): one question for each transport and family, with a mask of states so that
// connections are not even sent. Layouts and numbers are of linux/inet_diag.h.
const (
	sizeofRequest = unix.SizeofNlMsghdr + 56 // struct inet_diag_req_v2
	sizeofMessage = 72                       // struct inet_diag_msg

	attrV6Only = 11 // INET_DIAG_SKV6ONLY
	attrCgroup = 21 // INET_DIAG_CGROUP_ID

	stateClose  = 7 // TCP_CLOSE: a UDP socket that is connected to nobody
	stateListen = 10

	dumpTimeout = 5 // seconds
	dumpTries   = 4 // when the tables change while they are read
)

var errChanged = errors.New("the tables changed while they were read")

// listenersByNetlink asks the kernel for the listeners of the caller's network namespace.
func listenersByNetlink(want Want) ([]Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: dumpTimeout}); err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	var out []Listener
	buffer := make([]byte, 64<<10)
	for _, transport := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
			err := errChanged
			for try := uint32(1); try <= dumpTries && errors.Is(err, errChanged); try++ {
				var found []Listener
				if found, err = dump(fd, transport, family, try, buffer, want); err == nil {
					out = append(out, found...)
				}
			}
			if errors.Is(err, unix.ENOENT) && family == unix.AF_INET6 { // a kernel without IPv6
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("sock_diag: %w", err)
			}
		}
	}
	return out, nil
}

// dump asks one question and reads the whole answer.
func dump(fd int, transport, family byte, sequence uint32, buffer []byte, want Want) ([]Listener, error) {
	state := uint32(1) << stateListen
	if transport == unix.IPPROTO_UDP {
		state = 1 << stateClose
	}
	// A number of its own for each question, so that what is left of an answer that was given up is not taken for the next.
	sequence |= uint32(transport)<<16 | uint32(family)<<8
	request := make([]byte, sizeofRequest)
	native := binary.NativeEndian
	native.PutUint32(request, sizeofRequest)
	native.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	native.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	native.PutUint32(request[8:], sequence)
	request[16], request[17] = family, transport
	native.PutUint32(request[20:], state)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var out []Listener
	changed := false
	for {
		n, _, err := unix.Recvfrom(fd, buffer, unix.MSG_TRUNC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n > len(buffer) {
			return nil, errors.New("a message of the kernel is longer than the room for it")
		}
		for rest := buffer[:n]; len(rest) >= unix.SizeofNlMsghdr; {
			length := int(native.Uint32(rest))
			if length < unix.SizeofNlMsghdr || length > len(rest) {
				return nil, errors.New("a message of the kernel is cut off")
			}
			body, kind, flags := rest[unix.SizeofNlMsghdr:length], native.Uint16(rest[4:]), native.Uint16(rest[6:])
			mine := native.Uint32(rest[8:]) == sequence
			rest = rest[min(align(length), len(rest)):]
			if !mine {
				continue
			}
			changed = changed || flags&unix.NLM_F_DUMP_INTR != 0
			switch kind {
			case unix.NLMSG_DONE:
				if changed {
					return nil, errChanged
				}
				return out, nil
			case unix.NLMSG_ERROR:
				if len(body) >= 4 && native.Uint32(body) != 0 {
					return nil, unix.Errno(-int32(native.Uint32(body)))
				}
			default:
				if l, ok := parseMessage(body, transport, want); ok {
					out = append(out, l)
				}
			}
		}
	}
}

func align(n int) int { return (n + 3) &^ 3 }

// parseMessage reads a struct inet_diag_msg and its attributes; false for a socket that is not wanted or not a listener.
func parseMessage(body []byte, transport byte, want Want) (l Listener, ok bool) {
	if len(body) < sizeofMessage {
		return l, false
	}
	native := binary.NativeEndian
	family, state := body[0], body[1]
	l.Port = binary.BigEndian.Uint16(body[4:])
	if !want.has(l.Port) || l.Port == 0 || state != stateListen && state != stateClose {
		return l, false
	}
	l.Transport = "tcp"
	if transport == unix.IPPROTO_UDP {
		l.Transport = "udp"
	}
	if family == unix.AF_INET {
		l.Address = netip.AddrFrom4([4]byte(body[8:12]))
	} else {
		l.Address = netip.AddrFrom16([16]byte(body[8:24]))
	}
	if index := native.Uint32(body[40:]); index != 0 {
		l.Interface = interfaceName(index)
	}
	uid := native.Uint32(body[64:])
	l.UID, l.inode = &uid, uint64(native.Uint32(body[68:]))
	for rest := body[sizeofMessage:]; len(rest) >= 4; {
		length, kind := int(native.Uint16(rest)), native.Uint16(rest[2:])
		if length < 4 || length > len(rest) {
			break
		}
		value := rest[4:length]
		switch {
		case kind == attrV6Only && len(value) >= 1 && family == unix.AF_INET6:
			dual := value[0] == 0
			l.DualStack = &dual
		case kind == attrCgroup && len(value) >= 8:
			l.cgroup = native.Uint64(value)
		}
		rest = rest[min(align(length), len(rest)):]
	}
	return l, true
}

// interfaceName is the name of an index in the caller's namespace, without the list of all that package net makes.
func interfaceName(index uint32) string {
	entries, err := os.ReadDir("/sys/class/net")
	if err == nil {
		for _, e := range entries {
			text, err := os.ReadFile("/sys/class/net/" + e.Name() + "/ifindex")
			if err == nil && string(text) == strconv.Itoa(int(index))+"\n" {
				return e.Name()
			}
		}
	}
	return "interface " + strconv.Itoa(int(index))
}
