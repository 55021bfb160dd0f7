package port

import (
	"fmt"
	"net/netip"
)

// What Windows and macOS tell comes as a table of sockets from a library. Here it becomes a view; the library itself is behind
// systemTable, so that this much can be tested anywhere.

// A systemRow is a socket of such a table.
type systemRow struct {
	udp          bool
	state        string // of TCP
	local        string // an IP address; empty or * for any
	port         uint32
	remotePort   uint32
	ipv6         bool
	pid          int32
	uid          int64 // -1: not told
	namesProcess bool  // pid is one
}

// A systemTable is how a system is asked.
type systemTable struct {
	source string
	rows   func() ([]systemRow, error)
	// process tells what is known of a process; an error when it may not be looked at.
	process func(pid int32) (Process, error)
	// onlyOwn says why sockets of other users are not in the table; empty when they are.
	onlyOwn string
	// howToSee says what shows a hidden process.
	howToSee string
}

// view makes a view of a table.
func (t systemTable) view(want Want) (View, error) {
	v := View{Complete: true, AllPorts: true, Source: t.source, Untested: true}
	rows, err := t.rows()
	if err != nil {
		return v, fmt.Errorf("the listeners of this machine cannot be read by %s: %w", t.source, err)
	}
	// The library passes over a table that it could not read. A machine with no socket at all is rarer than that.
	if len(rows) == 0 {
		v.hide(true, "all listeners, perhaps: %s gave no socket at all, which may mean that it could not read them", t.source)
	}
	if t.onlyOwn != "" {
		v.hide(true, "%s", t.onlyOwn)
	}
	type socket struct {
		transport string
		address   netip.Addr
		port      uint16
	}
	places := map[socket]int{}
	for _, r := range rows {
		if r.port == 0 || r.port > 65535 || !want.has(uint16(r.port)) || !r.udp && r.state != "LISTEN" || r.udp && r.remotePort != 0 {
			continue
		}
		s := socket{"tcp", r.address(), uint16(r.port)}
		if r.udp {
			s.transport = "udp"
		}
		i, ok := places[s]
		if !ok {
			i = len(v.Listeners)
			places[s] = i
			v.Listeners = append(v.Listeners, Listener{Transport: s.transport, Address: s.address, Port: s.port})
		}
		if want.Owners {
			t.addOwner(&v.Listeners[i], r)
		}
	}
	if want.Owners {
		hidden := 0
		for _, l := range v.Listeners {
			if len(l.Owners) == 0 {
				hidden++
			}
		}
		if hidden > 0 {
			v.hide(false, "the owners of %d of %d listeners; %s", hidden, len(v.Listeners), t.howToSee)
		}
	}
	v.order()
	return v, nil
}

func (t systemTable) addOwner(l *Listener, r systemRow) {
	if r.uid >= 0 {
		uid := uint32(r.uid)
		l.UID = &uid
	}
	if !r.namesProcess {
		l.Hidden = "open, owner hidden; " + t.howToSee
		return
	}
	for _, p := range l.Owners {
		if p.PID == int(r.pid) {
			return
		}
	}
	p, err := t.process(r.pid)
	if err != nil {
		p = Process{PID: int(r.pid)}
		l.Hidden = fmt.Sprintf("open by process %d, whose name is hidden; %s", r.pid, t.howToSee)
	}
	l.Owners = append(l.Owners, p)
	l.User = p.User
}

// address reads the local address. Any address is written in several ways.
func (r systemRow) address() netip.Addr {
	if a, err := netip.ParseAddr(r.local); err == nil {
		return a
	}
	if r.ipv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}
