package front

import (
	"net"
	"sync"

	"hippad"
)

// guests are the open connections: how many, from where, and whose.
type guests struct {
	limits Limits

	once sync.Once
	mu   sync.Mutex
	open map[*guest]struct{} // guarded by mu
	from map[string]int      // by address without port; guarded by mu
}

// A guest is one connection. Closing it gives its place back.
type guest struct {
	net.Conn
	home    *guests
	address string
	left    sync.Once
	who     hippad.Principal // guarded by home.mu; zero until the handshake is done
}

func (g *guests) init(l Limits) {
	g.once.Do(func() {
		g.limits = l
		g.open, g.from = map[*guest]struct{}{}, map[string]int{}
	})
}

// enter gives a connection its place; false when there is none.
func (g *guests) enter(c net.Conn) (*guest, bool) {
	address := c.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.open) >= g.limits.Connections || g.from[address] >= g.limits.PerAddress {
		return nil, false
	}
	n := &guest{Conn: c, home: g, address: address}
	g.open[n] = struct{}{}
	g.from[address]++
	return n, true
}

// Close implements net.Conn.
func (n *guest) Close() error {
	n.left.Do(func() {
		g := n.home
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.open, n)
		if g.from[n.address]--; g.from[n.address] == 0 {
			delete(g.from, n.address)
		}
	})
	return n.Conn.Close()
}

// name says whose connection it is.
func (g *guests) name(n *guest, who hippad.Principal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n.who = who
}

func (g *guests) evict(stays func(hippad.Principal) bool) int {
	g.mu.Lock()
	var gone []*guest
	for n := range g.open {
		if n.who != (hippad.Principal{}) && !stays(n.who) {
			gone = append(gone, n)
		}
	}
	g.mu.Unlock()
	for _, n := range gone {
		n.Close()
	}
	return len(gone)
}
