package port

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Listener is a socket that takes what comes to a port: TCP in LISTEN, or UDP that is connected to nobody.
type Listener struct {
	Transport string     `json:"transport"` // tcp or udp
	Address   netip.Addr `json:"address"`
	Port      uint16     `json:"port"`
	// DualStack: an IPv6 socket on :: that takes IPv4 too; nil when the system does not tell.
	DualStack *bool  `json:"dualStack,omitzero"`
	Interface string `json:"interface,omitzero"` // the only one that it takes traffic of
	// UID owns the socket; nil when the system does not tell.
	UID  *uint32 `json:"uid,omitzero"`
	User string  `json:"user,omitzero"`
	// Owners are the processes that hold the socket: none when they are hidden, several when it is shared.
	Owners []Process `json:"owners"`
	// Hidden says why Owners is empty, and what would show them.
	Hidden    string `json:"hidden,omitzero"`
	Unit      string `json:"unit,omitzero"`      // of systemd, by the socket's control group; also where the process is hidden
	Container string `json:"container,omitzero"` // likewise
	// Namespace is the network namespace when it is not the caller's: its number, and a process in it.
	Namespace string `json:"namespace,omitzero"`

	inode  uint64
	cgroup uint64
}

// A Process holds a listener.
type Process struct {
	PID       int       `json:"pid"`
	Name      string    `json:"name"`
	User      string    `json:"user,omitzero"`
	Started   time.Time `json:"started,omitzero"`
	Unit      string    `json:"unit,omitzero"`
	Container string    `json:"container,omitzero"`
}

// A View is what was seen of this machine's listeners, and what was not.
type View struct {
	Listeners []Listener `json:"listeners"`
	// Complete tells whether every listener is there, each with a process that holds it.
	Complete bool `json:"complete"`
	// AllPorts tells whether every listener is there, whoever holds it. Without it a port that is not in the list may be open.
	AllPorts bool `json:"allPorts"`
	// Hidden says in words what was not seen and how to see it.
	Hidden []string `json:"hidden"`
	// Source says by what means.
	Source string `json:"source"`
	// Untested: nobody has run this on such a system yet.
	Untested bool `json:"untested,omitzero"`
}

// A Want says what a view should hold. Less is faster: owners need a walk through all processes.
type Want struct {
	Ports  []Range // none: all
	Owners bool
}

func (w Want) has(n uint16) bool {
	return len(w.Ports) == 0 || slices.ContainsFunc(w.Ports, func(r Range) bool { return r.Has(n) })
}

// hide notes that something was not seen. Listeners of other processes are then missing too if ports is set.
func (v *View) hide(ports bool, format string, args ...any) {
	v.Complete = false
	if ports {
		v.AllPorts = false
	}
	v.Hidden = append(v.Hidden, fmt.Sprintf(format, args...))
}

// order sorts listeners for people: by port, transport, address, namespace.
func (v *View) order() {
	slices.SortStableFunc(v.Listeners, func(a, b Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Transport, b.Transport), a.Address.Compare(b.Address), cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.inode, b.inode))
	})
	if v.Listeners == nil {
		v.Listeners = []Listener{}
	}
	if v.Hidden == nil {
		v.Hidden = []string{}
	}
	for i := range v.Listeners {
		if v.Listeners[i].Owners == nil {
			v.Listeners[i].Owners = []Process{}
		}
	}
}

// Reaches names the ways in of a listener, a line each: a dual-stack socket is two.
func (l Listener) Reaches() []string {
	at := netip.AddrPortFrom(l.Address, l.Port).String()
	if l.Interface != "" {
		at += "%" + l.Interface
	}
	switch {
	case !l.Address.Is6() || l.Address.Is4In6() || !l.Address.IsUnspecified():
		return []string{at}
	case l.DualStack == nil:
		return []string{at + " (IPv4 through it unless it is IPv6 only: not told)"}
	case *l.DualStack:
		return []string{at, fmt.Sprintf("0.0.0.0:%d (IPv4 via ::)", l.Port)}
	}
	return []string{at + " (IPv6 only)"}
}
