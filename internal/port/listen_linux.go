package port

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
)

// Listeners returns who listens on this machine, as far as the caller may see. The error is for a machine that tells nothing at all.
func Listeners(want Want) (View, error) {
	return look(proc{"/proc"}, listenersByNetlink, want)
}

// look is Listeners with what it asks: the kernel's sock_diag, and where that is missing the tables of /proc.
func look(p proc, netlink func(Want) ([]Listener, error), want Want) (View, error) {
	v := View{Complete: true, AllPorts: true, Source: "sock_diag"}
	var err error
	if v.Listeners, err = netlink(want); err != nil {
		reason := err
		v.Source = "/proc/net, because " + reason.Error()
		if v.Listeners, err = p.listeners("self", want); err != nil {
			return v, fmt.Errorf("the listeners of this machine cannot be read: %w; %w", reason, err)
		}
	}
	pids, err := p.pids()
	if err != nil {
		v.hide(true, "listeners in other network namespaces (containers), and who holds a socket: %v", err)
		v.order()
		return v, nil
	}
	_, err = os.Stat(p.path("1"))
	hidden := err != nil
	switch {
	case hidden && os.Geteuid() != 0:
		v.hide(true, "listeners in network namespaces (containers) of other users: this /proc hides their processes (hidepid); run with sudo")
	case hidden:
		v.hide(true, "listeners in other network namespaces (containers): this /proc does not show all processes")
	}
	others, unseen, err := p.namespaces(pids)
	if err != nil {
		v.hide(true, "listeners in other network namespaces (containers): %v", err)
	}
	if unseen > 0 {
		v.hide(true, "listeners in the network namespaces (containers) of %d processes; run with sudo", unseen)
	}
	p.addOthers(&v, others, want)
	if want.Owners && len(v.Listeners) > 0 {
		p.addOwners(&v, pids, hidden)
	}
	v.order()
	return v, nil
}

// addOthers reads the tables of the other namespaces, each by the first of its processes that has not ended meanwhile.
func (p proc) addOthers(v *View, others map[uint64][]int, want Want) {
	for _, n := range slices.Sorted(maps.Keys(others)) {
		pid := 0
		var found []Listener
		var err error
		for _, pid = range others[n] {
			found, err = p.listeners(strconv.Itoa(pid), want)
			if err == nil { // of a process that ends while it is read a table may be missing
				_, err = inodeOf(p.path(strconv.Itoa(pid), "net", "tcp"))
			}
			if !errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // the last of its processes has ended
			continue
		}
		if err != nil {
			v.hide(true, "listeners in the network namespace of process %d: %v", pid, err)
			continue
		}
		name := fmt.Sprintf("of process %d", pid)
		if link, err := os.Readlink(p.path(strconv.Itoa(pid), "ns", "net")); err == nil {
			name = fmt.Sprintf("%s, of process %d", link, pid)
		}
		for _, l := range found {
			l.Namespace = name
			v.Listeners = append(v.Listeners, l)
		}
	}
}

// addOwners says who holds the listeners, and of which unit or container they are. Hidden tells that processes are missing among those given.
func (p proc) addOwners(v *View, pids []int, hidden bool) {
	sockets := map[uint64]bool{}
	for _, l := range v.Listeners {
		if l.inode != 0 {
			sockets[l.inode] = true
		}
	}
	held, unseen := p.holders(pids, sockets)
	howToSee := "the kernel holds them, or processes outside of this container"
	switch {
	case (unseen > 0 || hidden) && os.Geteuid() != 0:
		howToSee = "run with sudo"
	case unseen > 0:
		howToSee = "run it outside of this container"
	}
	var users userNames
	known := map[int]Process{}
	owners := map[uint64][]Process{}
	for _, h := range held {
		if _, ok := known[h.pid]; !ok {
			known[h.pid] = p.process(h.pid, &users)
		}
		owners[h.inode] = append(owners[h.inode], known[h.pid])
	}
	nameless := map[uint64]bool{}
	for i := range v.Listeners {
		l := &v.Listeners[i]
		if l.UID != nil {
			l.User = users.name(*l.UID)
		}
		if l.Owners = owners[l.inode]; len(l.Owners) > 0 {
			l.Unit, l.Container = l.Owners[0].Unit, l.Owners[0].Container
			continue
		}
		nameless[l.cgroup] = true
		switch {
		case (unseen > 0 || hidden) && os.Geteuid() != 0:
			l.Hidden = fmt.Sprintf("open, owner hidden (%s); run with sudo", l.owner())
		case unseen > 0:
			l.Hidden = fmt.Sprintf("open, owner hidden (%s): %d processes may not be looked at even by root; run it outside of this container", l.owner(), unseen)
		default:
			l.Hidden = fmt.Sprintf("open (%s), and no process that is visible here holds it: the kernel does, or a process outside of this container", l.owner())
		}
	}
	delete(nameless, 0)
	if mounts, err := os.ReadFile(p.path("self", "mounts")); err == nil && len(nameless) > 0 {
		if root := unifiedRoot(string(mounts)); root != "" {
			groups := groupsByID(root, nameless)
			for i := range v.Listeners {
				if l := &v.Listeners[i]; len(l.Owners) == 0 {
					l.Unit, l.Container = unitOf(groups[l.cgroup])
				}
			}
		}
	}
	if n := len(slices.DeleteFunc(slices.Clone(v.Listeners), func(l Listener) bool { return len(l.Owners) > 0 })); n > 0 {
		v.hide(false, "the owners of %d of %d listeners; %s", n, len(v.Listeners), howToSee)
	}
}

// owner names the user of a socket.
func (l Listener) owner() string {
	switch {
	case l.UID == nil:
		return "user not told"
	case l.User == "":
		return fmt.Sprintf("uid %d", *l.UID)
	}
	return fmt.Sprintf("uid %d, %s", *l.UID, l.User)
}
